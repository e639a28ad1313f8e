"""Clear errors for bad input at the public entry of a function."""

from numbers import Real

import numpy as np


def check_shape(name, array, **sizes):
    """Raise unless `array` has the shape given by `sizes`, in their order.

    ``check_shape("h_0", h_0, B=3, H=4)`` says of a wrong array:
    ``h_0 must have shape (B, H) = (3, 4), got (4, 3)``. A size of None fits any length.
    """
    if not hasattr(array, "shape"):
        raise ValueError(f"{name} must be an array of shape {_tuple(sizes)}, got a {type(array).__name__}")
    shape = tuple(array.shape)
    wanted = tuple(sizes.values())
    if len(shape) != len(wanted) or any(w not in (None, s) for s, w in zip(shape, wanted, strict=True)):
        symbols = _tuple(sizes)
        numbers = _tuple("any" if w is None else w for w in wanted)
        raise ValueError(f"{name} must have shape {symbols} = {numbers}, got {_tuple(shape)}")


def check_sequence(name, array, **sizes):
    """Raise as :func:`check_shape` does, and if the sequence or the batch is empty."""
    check_shape(name, array, **sizes)
    if 0 in array.shape:
        raise ValueError(f"{name} must have shape {_tuple(sizes)} with no size 0, got {_tuple(array.shape)}")


def check_floats(**arrays):
    """Raise unless all arrays, given by name, hold finite floats of one dtype."""
    first = None
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise ValueError(f"{name} must hold floats, got dtype {array.dtype}")
        first = first or (name, array.dtype)
        if array.dtype != first[1]:
            raise ValueError(f"{name} must have the dtype of {first[0]}, {first[1]}, got {array.dtype}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite, got nan or inf")


def check_lengths(lengths, T, B):
    """Raise unless `lengths` holds B integers in 1 .. T."""
    check_shape("lengths", lengths, B=B)
    if lengths.dtype.kind not in "iu":
        raise ValueError(f"lengths must hold integers, got dtype {lengths.dtype}")
    if lengths.min() < 1 or lengths.max() > T:
        raise ValueError(f"lengths must lie in 1 .. T = {T}, got {lengths.min()} .. {lengths.max()}")


def check_choice(name, value, choices):
    """Raise unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def check_positive(name, value):
    """Raise unless `value` is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")


def check_fraction(name, value):
    """Raise unless `value` is a number in [0, 1)."""
    if not isinstance(value, Real) or not 0 <= value < 1:
        raise ValueError(f"{name} must lie in [0, 1), got {value!r}")


def check_windows(k1, k2):
    """Raise unless `k1` and `k2` describe truncated backpropagation, 1 <= k1 <= k2."""
    check_positive("k1", k1)
    check_positive("k2", k2)
    if k2 < k1:
        raise ValueError(f"k2 must be at least k1 = {k1}, or some losses would not be sent back, got {k2}")


def check_ids(name, ids, V):
    """Raise unless every element of `ids` is an integer in 0 .. V - 1."""
    if ids.dtype.kind not in "iu":
        raise ValueError(f"{name} must hold integers, got dtype {ids.dtype}")
    if ids.size and (ids.min() < 0 or ids.max() >= V):
        raise ValueError(f"{name} must lie in 0 .. V - 1 = {V - 1}, got {ids.min()} .. {ids.max()}")


def _tuple(items):
    items = [str(item) for item in items]
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
