"""Two processes that call each other's functions: a check, and the submission that it judges.

Both sides send lines of JSON: a call, the value that came of it, or the error. All values are plain data, see
``course.grading.plain``; a function is sent as a number, and calling it on the other side is another call.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from course.grading.plain import NotPlainError, Reader, change, to_plain
from helpers.checks.faults import where

LONGEST = 2000  # characters of a message


class Talk:
    """One side of the talk.

    Args:
        send: sends a dict to the other side.
        receive: waits for the next dict of the other side.
        named: returns a function of this side that the other side asks for by its name.

    Attributes:
        failed: where and why a function of the other side stopped last, in one line; empty if none did.
        not_plain: what was no plain data; empty if all was.
    """

    def __init__(self, send: Callable[[dict], None], receive: Callable[[], dict], named: Callable[[str], Any]) -> None:
        self.send, self.receive, self.named = send, receive, named
        self.near: list[Callable] = []
        self.failed = self.not_plain = ""

    def keep(self, function: Callable) -> int:
        """Keep a function of this side; return its number for the other side."""
        self.near.append(function)
        return len(self.near) - 1

    def far(self, what: int | str) -> Callable:
        """Return a function that calls one of the other side, by its number or name."""

        def call(*args: Any, **named: Any) -> Any:
            return self.call(what, args, named)

        return call

    def read(self, plain: Any) -> Any:
        """Return the value of what the other side has sent.

        Raises:
            NotPlainError: it is no plain data.
        """
        try:
            return Reader(self.far).read(plain)
        except NotPlainError as error:
            self.not_plain = str(error)
            raise

    def call(self, what: int | str, args: tuple, named: dict) -> Any:
        """Call a function of the other side; changes that it makes to arguments are made here, too.

        Raises:
            Exception: what the function raised, as an error of the same name.
            NotPlainError: what came back is no plain data.
        """
        self.send({"call": what, "args": [to_plain(each, self.keep) for each in args], "named": self.plain(named)})
        while True:
            message = self.receive()
            if "call" in message:
                self.answer(message)
            elif "error" in message:
                kind, text, self.failed = (text_of(each) for each in message["error"])
                raise error_of(kind, text)
            else:
                value = self.read(message.get("value"))
                for number, plain in message.get("changed") or []:
                    change(args[number], self.read(plain))
                return value

    def plain(self, value: Any) -> Any:
        """Return a value as plain data."""
        return to_plain(value, self.keep)

    def answer(self, message: dict) -> None:
        """Call the function of this side that the other side wants, and send what came of it."""
        try:
            what = message["call"]
            args = [self.read(each) for each in message["args"]]
            before = [to_plain(each, lambda _: 0) for each in args]
            named = self.read(message["named"])
            function = self.named(what) if isinstance(what, str) else self.near[what]
            value = self.plain(function(*args, **named))
            after = [to_plain(each, lambda _: 0) for each in args]
            changed = [[number, new] for number, new in enumerate(after) if new != before[number]]
            reply = {"value": value, "changed": changed}
        except BaseException as error:  # whatever a student's code raises, SystemExit too
            reply = {"error": [type(error).__name__, str(error)[:LONGEST], where(error)[:LONGEST]]}
        self.send(reply)


def text_of(value: Any) -> str:
    """Return a short text that the other side has sent."""
    return value[:LONGEST] if type(value) is str else ""


def error_of(kind: str, text: str) -> Exception:
    """Return an error of this name: a built-in one, or a new one."""
    known = getattr(builtins, kind, None)
    if isinstance(known, type) and issubclass(known, Exception) and not issubclass(known, UnicodeError):
        return known(text)
    return type(kind.replace("\0", " ")[:80] or "Exception", (Exception,), {})(text)
