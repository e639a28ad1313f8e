"""Plain data in frames: what passes between the grader and its sandbox.

Both sides are untrusting: there is no pickle, and sizes are checked before anything is unpacked. A frame is
the lengths of two parts, a tree in JSON and the bytes of its arrays.
"""

import json
import keyword
import os
import struct
import sys
from collections import namedtuple

import numpy as np

HEADER = struct.Struct("<II")
LARGEST = 64 * 2**20
"""Bytes of a frame's arrays."""
LONGEST = 8 * 2**20
"""Bytes of a frame's tree."""
DEEPEST = 30
MOST = 10_000
"""Items of a set or a dictionary: with chosen hashes, making one takes the square of that."""
KINDS = "biufcU"


class WireError(Exception):
    """A frame that is none: cut off, too large, or not what was agreed."""


def send(fd, tree, arrays=()):
    """Write one frame."""
    head, body = json.dumps(tree).encode(), b"".join(arrays)
    if len(head) > LONGEST or len(body) > LARGEST:
        raise WireError(f"a result of {(len(head) + len(body)) / 1e6:.0f} MB is too large")
    rest = memoryview(HEADER.pack(len(head), len(body)) + head + body)
    while rest:
        rest = rest[os.write(fd, rest) :]


def receive(fd):
    """Read one frame: its tree, and its arrays as bytes. EOFError at a clean end."""
    start = _read(fd, HEADER.size, ended=EOFError)
    head, body = HEADER.unpack(start)
    if head > LONGEST or body > LARGEST:
        raise WireError(f"a frame of {(head + body) / 1e6:.0f} MB was announced")
    try:
        tree = json.loads(_read(fd, head))
    except (ValueError, RecursionError) as error:
        raise WireError(f"a frame is not JSON: {str(error)[:100]}") from None
    if not isinstance(tree, dict):
        raise WireError("a frame must be an object")
    return tree, _read(fd, body)


def _read(fd, count, ended=WireError):
    parts, missing = [], count
    while missing:
        part = os.read(fd, min(missing, 2**20))
        if not part:
            raise ended("the other side is gone")
        parts.append(part)
        missing -= len(part)
        ended = WireError
    return b"".join(parts)


class Encoder:
    """Turns values into a tree and the bytes of its arrays; `keep` gives a number to a callable."""

    def __init__(self, keep):
        self.keep = keep
        self.arrays, self.size = [], 0

    def __call__(self, value, depth=0):
        """Encode one value."""
        if depth > DEEPEST:
            raise WireError("a result is nested too deeply")
        if value is None or isinstance(value, bool | str):
            return value if value is None or isinstance(value, bool) else str(value)
        if isinstance(value, np.generic | np.ndarray):
            return self._array(value)
        if isinstance(value, int | float):
            return int(value) if isinstance(value, int) else float(value)
        if isinstance(value, complex):
            return {"k": "complex", "v": [value.real, value.imag]}
        if isinstance(value, tuple | list | set | frozenset):
            kind = next(
                name for name in ("tuple", "list", "set", "frozenset") if isinstance(value, _BUILTIN[name])
            )
            tree = {"k": kind, "v": [self(item, depth + 1) for item in value]}
            if kind == "tuple" and hasattr(value, "_fields"):
                tree["c"] = f"{type(value).__module__}:{type(value).__name__}"
                tree["f"] = [str(name) for name in value._fields]
            return tree
        if isinstance(value, dict):
            return {
                "k": "dict",
                "v": [[self(key, depth + 1), self(item, depth + 1)] for key, item in value.items()],
            }
        if isinstance(value, range):
            return self(list(value), depth)
        if isinstance(value, np.random.Generator):
            # Not its state: who has that knows what will be drawn.
            return {"k": "rng", "v": int(value.integers(2**63))}
        if isinstance(value, type) and issubclass(value, np.generic):
            return {"k": "dtype", "v": np.dtype(value).str}
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            return {"k": "tensor", "v": self._array(value.detach().cpu().numpy())}
        if callable(value):
            return {"k": "handle", "v": self.keep(value), "n": str(getattr(value, "__name__", "function"))}
        if hasattr(value, "__array__"):
            return self._array(np.asarray(value))
        return {"k": "object", "v": type(value).__name__}

    def _array(self, value):
        array = np.asarray(value)
        if array.dtype.kind not in KINDS:
            return {"k": "object", "v": f"array of dtype {array.dtype}"[:60]}
        data = np.ascontiguousarray(array).tobytes()
        tree = {"k": "array", "d": array.dtype.str, "s": list(array.shape), "o": self.size}
        if not isinstance(value, np.ndarray):
            tree["k"] = "scalar"
        self.arrays.append(data)
        self.size += len(data)
        if self.size > LARGEST:
            raise WireError("a result is too large")
        return tree


_BUILTIN = {"tuple": tuple, "list": list, "set": set, "frozenset": frozenset}


class Decoder:
    """Turns a tree and bytes back into values; `far` makes a function of a callable's number."""

    def __init__(self, data, far):
        self.data, self.far, self.used = data, far, 0

    def __call__(self, tree, depth=0):
        """Decode one value."""
        try:
            return self._decode(tree, depth)
        except (LookupError, TypeError, ValueError, OverflowError, AttributeError, ImportError) as error:
            raise WireError(f"a value is malformed: {type(error).__name__}") from None

    def _decode(self, tree, depth):
        if depth > DEEPEST:
            raise WireError("a value is nested too deeply")
        if tree is None or isinstance(tree, bool | int | float | str):
            return tree
        kind, value = tree["k"], tree.get("v")
        if kind in ("set", "frozenset", "dict") and len(value) > MOST:
            raise WireError(f"a {kind} has more than {MOST} items")
        if kind in ("array", "scalar"):
            return self._array(tree)
        if kind == "complex":
            return complex(float(value[0]), float(value[1]))
        if kind in _BUILTIN:
            items = [self._decode(item, depth + 1) for item in value]
            return _named(tree, items) if "c" in tree else _BUILTIN[kind](items)
        if kind == "dict":
            return {self._decode(key, depth + 1): self._decode(item, depth + 1) for key, item in value}
        if kind == "rng":
            return np.random.default_rng(abs(int(value)))
        if kind == "dtype":
            return _dtype(value).type
        if kind == "tensor":
            import torch

            return torch.from_numpy(self._array(value))
        if kind == "handle":
            return self.far(int(value), _identifier(tree["n"]))
        if kind == "object":
            return type(_identifier(value), (), {})()
        raise WireError("a value is of no known kind")

    def _array(self, tree):
        dtype, shape, start = _dtype(tree["d"]), tuple(int(n) for n in tree["s"]), int(tree["o"])
        size = dtype.itemsize
        for n in shape:
            if n < 0:
                raise WireError("an array has a negative size")
            size *= n
        if len(shape) > 32 or start < 0 or start + size > len(self.data):
            raise WireError("an array is larger than its frame")
        self.used += size
        if self.used > len(self.data):
            raise WireError("the arrays are larger than their frame")
        count = size // dtype.itemsize
        array = np.frombuffer(self.data, dtype, count, start) if count else np.empty(0, dtype)
        array = array.reshape(shape).copy()
        return array[()] if tree["k"] == "scalar" else array


def _dtype(text):
    dtype = np.dtype(str(text)[:20])
    if dtype.kind not in KINDS or not dtype.itemsize:
        raise WireError("an array has a dtype that is not allowed")
    return dtype


def _identifier(text):
    text = str(text)[:60]
    return text if text.isidentifier() else "object"


def _named(tree, items):
    """A named tuple of the package if such a class is loaded, else one made for the purpose."""
    module, _, name = str(tree["c"]).partition(":")
    fields = tuple(tree["f"])
    known = None
    if module.partition(".")[0] == "rnncourse" and name.isidentifier():
        known = vars(sys.modules.get(module, object)).get(name)
    if isinstance(known, type) and issubclass(known, tuple) and getattr(known, "_fields", None) == fields:
        return known._make(items)
    if len(fields) != len(items) or len(fields) > 100:
        raise WireError("a named tuple has other fields than items")
    for field in (name, *fields):
        if not field.isidentifier() or keyword.iskeyword(field) or len(field) > 60:
            raise WireError("a named tuple has a name that is none")
    made = namedtuple(name, fields)
    made.__module__ = module[:100]
    return made._make(items)


def pack(value, keep):
    """A value as a tree and its arrays."""
    encoder = Encoder(keep)
    return encoder(value), encoder.arrays


def restore(given, after):
    """Give `given` the contents of `after`, in place, wherever that can be done."""
    if isinstance(given, np.ndarray) and isinstance(after, np.ndarray) and given.shape == after.shape:
        np.copyto(given, after, casting="unsafe")
    elif isinstance(given, list) and isinstance(after, list):
        given[:] = after
    elif isinstance(given, tuple) and isinstance(after, tuple):
        for a, b in zip(given, after, strict=False):
            restore(a, b)
    elif isinstance(given, dict) and isinstance(after, dict):
        given.clear()
        given.update(after)
    elif isinstance(given, set) and isinstance(after, set):
        given.clear()
        given.update(after)
