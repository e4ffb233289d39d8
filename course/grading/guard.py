"""What keeps checks honest that share their process with the student's code, because they need its models and layers.

- ``Watch`` sees what only a forger asks Python for: the frames of other code, all objects in memory, the memory itself,
  functions that are told of each call.
- ``Snapshot`` sees what was replaced: in all modules of the helpers and of the libraries that checks use, functions,
  classes and their methods, by identity and code; tables, constants and targets of the checks, by identity and type.
- ``Strict`` makes answers plain before a check sees them: a number, text, list or array of a class that the student
  wrote becomes a true one.

What this cannot stop is code that reaches memory through a library written in C.
"""

from __future__ import annotations

import builtins
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

# What is defined below keeps these, whatever becomes of the module builtins.
globals()["__builtins__"] = dict(vars(builtins))

# Nobody needs these for an exercise, and no library of the course calls them.
NEVER = {
    "gc.get_objects",
    "gc.get_referrers",
    "gc.get_referents",
    "sys.addaudithook",
    "sys._current_frames",
    "sys._current_exceptions",
    "ctypes.PyObj_FromPtr",
    "sys.monitoring.register_callback",
}
# Libraries need these; in the student's own code they are a forgery.
FROM_LIBRARIES = {
    "sys._getframe",
    "sys._getframemodulename",
    "sys.settrace",
    "sys.setprofile",
    "code.__new__",
    "function.__new__",
    "ctypes.dlopen",
    "ctypes.dlsym",
    "ctypes.cdata",
    "ctypes.cdata/buffer",
    "ctypes.addressof",
    "ctypes.string_at",
    "ctypes.wstring_at",
    "ctypes.set_errno",
    "object.__getattr__",
}
REPLACED = {"__code__", "__defaults__", "__kwdefaults__", "__globals__", "__class__", "__bases__"}
# Modules that call whatever they are given: who stands behind them counts.
PASSED_THROUGH = ("threading", "concurrent", "inspect", "functools", "traceback", "asyncio", "contextlib", "ctypes")
LIBRARIES = ("helpers", "numpy", "keras", "pandas", "builtins", "math", "itertools", "functools", "inspect", "operator")


class Watch:
    """Notes what the student's code asks Python for, from ``begin`` on. It cannot be taken away again.

    Attributes:
        seen: names of what only a forger asks for.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.on = False
        self.inside = threading.local()
        self.installed = tuple(
            f"{path}/" for path in {sys.prefix, sys.base_prefix, *sys.path} if path and path != "/" and "/" in path
        )
        sys.addaudithook(self.hear)

    def begin(self) -> None:
        """Begin to note."""
        self.on = True

    def hear(self, event: str, args: tuple) -> None:
        """Take in an event, whoever causes it."""
        if not self.on or getattr(self.inside, "hook", False):
            return
        self.inside.hook = True  # what stands below asks for frames itself
        try:
            self.judge(event, args)
        finally:
            self.inside.hook = False

    def judge(self, event: str, args: tuple) -> None:
        """Note an event, if it is a forger's."""
        if event in NEVER:
            self.note(event)
        elif event in FROM_LIBRARIES:
            if self.by_student(sys._getframe(2)):
                self.note(event if event != "object.__getattr__" else f"attribute {args[1]}")
        elif event == "object.__setattr__":
            if args[1] in REPLACED and isinstance(args[0], FunctionType) and not self.is_students(args[0].__code__):
                self.note(f"attribute {args[1]} of {args[0].__name__}")
        elif event == "open" and isinstance(args[0], str | bytes) and memory_file(args[0]):
            self.note("memory of the process")

    def note(self, what: str) -> None:
        """Remember what was seen, once, and not more than a few."""
        if what not in self.seen and len(self.seen) < 10:
            self.seen.append(what)

    def threads(self) -> list[str]:
        """Return a word for a thread of the student's that still runs: it could replace something in between."""
        targets = [getattr(thread, "_target", None) for thread in threading.enumerate()]
        code = [getattr(target, "__code__", None) for target in targets]
        return ["a thread that goes on"] if any(each and self.is_students(each) for each in code) else []

    def is_students(self, code: Any) -> bool:
        """Tell whether code is none of an installed module; frozen ones are Python's own."""
        file = code.co_filename
        return not (file.startswith(self.installed) or file.startswith("<frozen "))

    def by_student(self, frame: FrameType | None) -> bool:
        """Tell whether a call comes from the student's code, straight or through a module that calls what it is given.

        A thread whose first call it is has been given it by somebody, so it counts as the student's.
        """
        while frame is not None:
            if self.is_students(frame.f_code):
                return True
            name = frame.f_globals.get("__name__", "")
            if str(name).split(".")[0] not in PASSED_THROUGH:
                return False
            frame = frame.f_back
        return True


def memory_file(path: str | bytes) -> bool:
    """Tell whether a path is a process' memory, as Linux shows it; its maps, which libraries read, are harmless."""
    text = path.decode(errors="replace") if isinstance(path, bytes) else path
    return "/proc" in text and text.rsplit("/", 1)[-1] == "mem"


class Snapshot:
    """What the checks use, as it is now. It holds each thing itself, so that no other one can get its place in memory.

    Names that come later are no change, except a method that hides one of a base class.
    """

    def __init__(self) -> None:
        self.names: dict[str, tuple] = {}
        self.classes: dict[type, dict[str, tuple]] = {}
        for module in used_modules():
            own = module.__name__.split(".")[0] == "helpers"
            for name, value in list(vars(module).items()):
                if isinstance(value, type):
                    for kind in value.__mro__:
                        if kind not in self.classes:
                            self.classes[kind] = {key: parts(item) for key, item in list(vars(kind).items())}
                if callable(value) or isinstance(value, ModuleType) or (own and name.isupper()):
                    self.names[f"{module.__name__}.{name}"] = parts(value, deep=own)
        self.modules = {module.__name__: module for module in used_modules()}

    def changed(self) -> list[str]:
        """Return the names of what is something else now, or hidden."""
        found = []
        if sys.gettrace() or sys.getprofile() or threading.gettrace() or threading.getprofile():
            found.append("a function that sees each call")
        for name, then in self.names.items():
            module, _, short = name.rpartition(".")
            if sys.modules.get(module) is not self.modules[module]:
                found.append(module)
            elif not alike(then, parts(vars(self.modules[module]).get(short), deep=module.startswith("helpers"))):
                found.append(name)
        for place, helper in self.modules.items():
            if place.startswith("helpers"):  # a name in a module hides the built-in one
                found += [
                    f"{place}.{name}"
                    for name in vars(helper)
                    if name in vars(builtins) and f"{place}.{name}" not in self.names and name[:2] != "__"
                ]
        for kind, then_of in self.classes.items():
            now_of = dict(vars(kind))
            for key, then in then_of.items():
                is_method = callable(then[0]) or hasattr(then[0], "__get__")
                if is_method and not alike(then, parts(now_of.get(key))):
                    found.append(f"{kind.__name__}.{key}")
            for key in now_of.keys() - then_of.keys():
                value = now_of[key]
                if (callable(value) or hasattr(value, "__get__")) and any(
                    key in self.classes.get(base, ()) for base in kind.__mro__[1:]
                ):
                    found.append(f"{kind.__name__}.{key}")
        return found


def used_modules() -> list[ModuleType]:
    """Return the loaded modules of the helpers and of the libraries that checks use."""
    used = {}
    for name, module in sorted(sys.modules.items()):
        if isinstance(module, ModuleType) and module.__name__ == name and name.split(".")[0] in LIBRARIES:
            used[name] = module
            if name.split(".")[0] == "helpers":
                others = [other for other in vars(module).values() if isinstance(other, ModuleType)]
                used |= {other.__name__: other for other in others if sys.modules.get(other.__name__) is other}
    return list(used.values())


def parts(value: Any, deep: bool = False) -> tuple:
    """Return a value and what is in it, to be compared by ``alike``: a function's code, what containers hold.

    Args:
        value: anything.
        deep: look into containers, tasks and arrays, too; for the checks' own constants.
    """
    return tuple(flat(value, deep, 8))


def flat(value: Any, deep: bool, levels: int) -> Iterator[Any]:
    """Give a value, and then what is in it."""
    yield value
    if levels == 0:
        return
    if isinstance(value, FunctionType):
        yield from (value.__code__, value.__defaults__, value.__kwdefaults__)
        if deep:
            for cell in value.__closure__ or ():
                with_value = [cell.cell_contents] if cell_filled(cell) else []
                yield from with_value
    elif isinstance(value, staticmethod | classmethod):
        yield from flat(value.__func__, deep, levels - 1)
    elif isinstance(value, property):
        for each in (value.fget, value.fset):
            yield from flat(each, deep, levels - 1)
    elif isinstance(value, functools.partial):
        for each in (value.func, *value.args, *value.keywords.values()):
            yield from flat(each, deep, levels - 1)
    elif deep and type(value) in (list, tuple, set, frozenset):
        for each in value:
            yield from flat(each, deep, levels - 1)
    elif deep and type(value) is dict:
        for key, each in value.items():
            yield key
            yield from flat(each, deep, levels - 1)
    elif deep and type(value) is np.ndarray and value.dtype != object:
        yield Bytes(value.tobytes())
    elif deep and hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        for each in vars(value).values():
            yield from flat(each, deep, levels - 1)


def cell_filled(cell: Any) -> bool:
    """Tell whether a variable of an enclosing function has a value."""
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


class Bytes(bytes):
    """Bytes that are compared by what is in them, not by identity."""


def alike(then: tuple, now: tuple) -> bool:
    """Tell whether two results of ``parts`` hold the same things: by identity, and contents of arrays by value."""
    return len(then) == len(now) and all(
        a is b or (type(a) is Bytes and type(b) is Bytes and bytes(a) == bytes(b))
        for a, b in zip(then, now)  # noqa: B905
    )


class Strict:
    """Makes a student's function give true numbers, texts, containers and arrays, and functions that do so, too."""

    def __init__(self, returned: Callable[[], object]) -> None:
        self.returned = returned  # called each time that the student's code has come to its end

    def function(self, function: Callable) -> Callable:
        """Return a function that calls ``function`` and makes its answer plain."""

        def call(*args: Any, **named: Any) -> Any:
            try:
                return self.plain(function(*args, **named))
            finally:
                self.returned()

        return call

    def plain(self, value: Any, depth: int = 0) -> Any:
        """Return a value of exact types; models, layers, and what else libraries make, stay as they are."""
        kind = type(value)
        if value is None or kind in (bool, int, float, str, bytes, complex, range):
            return value
        if isinstance(value, np.ndarray):
            array = np.array(value, subok=False) if kind is not np.ndarray else value
            if array.dtype == object:
                array = np.array([self.plain(each, depth + 1) for each in array.reshape(-1)] or None, object)
                return array.reshape(np.shape(value))
            return array
        if isinstance(value, np.generic):
            return np.array(value)[()]
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return int.__int__(value)
        if isinstance(value, float):
            return float.__float__(value)
        if depth < 20 and kind in (list, tuple, set, frozenset):
            return kind(self.plain(each, depth + 1) for each in value)
        if depth < 20 and isinstance(value, dict) and (kind is dict or kind.__module__ == "__main__"):
            return {self.plain(key, depth + 1): self.plain(item, depth + 1) for key, item in dict.items(value)}
        if isinstance(value, FunctionType | MethodType | functools.partial):
            return self.function(value)
        if isinstance(value, list | tuple) and kind.__module__ == "__main__":
            return (list if isinstance(value, list) else tuple)(self.plain(each, depth + 1) for each in value)
        return value
