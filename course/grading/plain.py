"""Values that cross between a submission and its judge: as plain data, never as pickled objects.

What comes back from a submission is hostile. ``from_plain`` makes of it only numbers, texts, ``None``, lists, tuples,
sets, dicts, ranges, arrays of exact NumPy types, tables and series of pandas, and stand-ins: for a function, one that
calls it where it is; for a model, or anything else, an empty one of the same name, so that a message can name it.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

DEEPEST = 20  # containers in containers
MOST = 200_000  # things in all containers of a value together
KINDS = "biufc"  # of arrays that cross as bytes; texts and objects cross one by one


class NotPlainError(ValueError):
    """What crossed is no plain data of the known form."""


class Stranger:
    """Stands for something that does not cross; its class has the name of the thing's class."""


def to_plain(value: Any, keep: Callable[[Any], int], depth: int = 0) -> Any:
    """Return a value as what JSON can hold; see ``from_plain``.

    Args:
        value: anything.
        keep: is given each function in it; returns the number by which the other side calls it.
        depth: containers around the value.
    """
    import keras
    import tensorflow as tf

    def inner(part: Any) -> Any:
        return to_plain(part, keep, depth + 1)

    if value is None or type(value) in (bool, str, float) or (type(value) is int and abs(value) < 10**300):
        return value
    if depth > DEEPEST:
        return {"stranger": type(value).__name__}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, np.generic):
        return {"scalar": inner(np.array(value))}
    if isinstance(value, int | float):  # of a class that the student made
        return inner(int.__int__(value) if isinstance(value, int) else float.__float__(value))
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray):
        array = np.array(value, subok=False)
        if array.dtype.kind in KINDS:
            data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
            return {"array": array.dtype.str, "shape": list(array.shape), "data": data}
        kind = "U" if array.dtype.kind == "U" else "O"
        return {"array": kind, "shape": list(array.shape), "data": [inner(each) for each in array.reshape(-1).tolist()]}
    if isinstance(value, tf.Tensor | tf.Variable | keras.Variable):
        return {"tensor": inner(np.asarray(keras.ops.convert_to_numpy(value)))}
    if isinstance(value, pd.DataFrame):
        columns = [inner(value.iloc[:, number].to_numpy()) for number in range(value.shape[1])]
        return {"table": columns, "columns": inner(list(value.columns)), "index": inner(value.index.to_numpy())}
    if isinstance(value, pd.Series):
        return {"series": inner(value.to_numpy()), "index": inner(value.index.to_numpy()), "name": inner(value.name)}
    if isinstance(value, range):
        return {"range": [value.start, value.stop, value.step]}
    if isinstance(value, dict):
        return {"dict": [[inner(key), inner(item)] for key, item in dict.items(value)]}
    for container in (list, tuple, set, frozenset):
        if isinstance(value, container):
            return {container.__name__: [inner(each) for each in itertools.islice(value, MOST)]}
    if isinstance(value, keras.Model):
        return {"model": type(value).__name__}
    if callable(value):
        return {"function": keep(value)}
    if hasattr(value, "__iter__"):  # a generator, say
        return {"list": [inner(each) for each in itertools.islice(value, MOST)]}
    return {"stranger": type(value).__name__}


class Reader:
    """Makes values of plain data.

    Args:
        function: is given the number of a function of the other side; returns a function that calls it.
    """

    def __init__(self, function: Callable[[int], Callable]) -> None:
        self.function = function
        self.left = MOST

    def read(self, plain: Any) -> Any:
        """Return the value.

        Raises:
            NotPlainError: it is nothing that ``to_plain`` makes.
        """
        try:
            return self.read_part(plain)
        except NotPlainError:
            raise
        except Exception as error:  # whatever a hostile message leads to
            raise NotPlainError(f"An answer is no plain data ({type(error).__name__}).") from error

    def read_part(self, plain: Any) -> Any:
        """Return a part of the value."""
        self.left -= 1
        if self.left < 0:
            raise NotPlainError(f"An answer holds more than {MOST:,} things.")
        if plain is None or type(plain) in (bool, str, float, int):
            return plain
        if type(plain) is not dict or not plain:
            raise NotPlainError("An answer is no plain data.")
        kind = next(iter(plain))
        content = plain[kind]
        if kind in ("list", "tuple", "set", "frozenset"):
            parts = map(self.read_part, content)
            return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind](parts)
        if kind == "dict":
            return {self.read_part(key): self.read_part(item) for key, item in content}
        if kind == "array":
            return self.array(content, plain["shape"], plain["data"])
        if kind == "scalar":
            return self.read_part(content)[()]
        if kind == "tensor":
            import tensorflow as tf

            return tf.constant(self.read_part(content))
        if kind == "table":
            return self.table(plain)
        if kind == "series":
            return pd.Series(
                self.read_part(content), self.read_part(plain["index"]), name=self.read_part(plain["name"])
            )
        if kind == "range":
            return range(*(whole(each) for each in content))
        if kind == "bytes":
            return base64.b64decode(content, validate=True)
        if kind == "function":
            return self.function(whole(content))
        if kind == "model":
            import keras

            return type(named(content), (keras.Model,), {})()
        if kind == "stranger":
            return type(named(content), (Stranger,), {})()
        raise NotPlainError("An answer is no plain data.")

    def array(self, dtype: str, shape: list, data: Any) -> np.ndarray:
        """Return an array: of numbers from their bytes, of texts or objects from a list."""
        size = [whole(each) for each in shape]
        if type(data) is str:
            kind = np.dtype(dtype)
            if kind.kind not in KINDS or kind.hasobject:
                raise NotPlainError("An answer is no plain data.")
            return np.frombuffer(base64.b64decode(data, validate=True), kind).reshape(size).copy()
        parts = [self.read_part(each) for each in data]
        if dtype == "U":
            return np.array([text if type(text) is str else "" for text in parts], str).reshape(size)
        array = np.empty(len(parts), object)
        for place, part in enumerate(parts):
            array[place] = part
        return array.reshape(size)

    def table(self, plain: dict) -> pd.DataFrame:
        """Return a table, column by column."""
        columns, names = [self.read_part(each) for each in plain["table"]], self.read_part(plain["columns"])
        table = pd.DataFrame(dict(enumerate(columns)), index=pd.Index(self.read_part(plain["index"])))
        table.columns = pd.Index(names)
        return table


def whole(value: Any) -> int:
    """Return an integer that is one, and not a large one."""
    if type(value) is not int or abs(value) > 2**40:
        raise NotPlainError("An answer is no plain data.")
    return value


def named(value: Any) -> str:
    """Return the name of a class, cut if it is long."""
    return value[:80].replace("\0", " ") if type(value) is str and value else "something"


def change(old: Any, new: Any) -> None:
    """Change a value in place into another one, as a submission did with its copy; what cannot be changed stays."""
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray) and old.shape == new.shape:
        if old.flags.writeable and old.dtype == new.dtype:
            old[...] = new
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        for place, (part, new_part) in enumerate(zip(old, new, strict=True)):
            if isinstance(part, np.ndarray | list | dict | pd.DataFrame):
                change(part, new_part)
            elif isinstance(old, list):
                old[place] = new_part
    elif isinstance(old, list) and isinstance(new, list):
        old[:] = new
    elif isinstance(old, dict) and isinstance(new, dict):
        kept = dict(old)
        old.clear()
        for key, part in new.items():
            if key in kept and isinstance(kept[key], np.ndarray | list | dict | pd.DataFrame):
                change(kept[key], part)
                old[key] = kept[key]
            else:
                old[key] = part
    elif isinstance(old, pd.DataFrame) and isinstance(new, pd.DataFrame):
        change_table(old, new)


def change_table(old: pd.DataFrame, new: pd.DataFrame) -> None:
    """Change a table in place into another one; one of another length only loses its rows."""
    if old.shape[0] != new.shape[0]:
        old.drop(index=old.index, inplace=True)
        return
    old.drop(columns=list(old.columns), inplace=True)
    old.index = new.index
    for number, name in enumerate(new.columns):
        old.insert(number, name, new.iloc[:, number], allow_duplicates=True)
