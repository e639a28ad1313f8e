"""Clear errors for bad input, shared by both halves of the room."""

from numbers import Real

import numpy as np

from rnncourse._checks import check_floats, check_ids, check_shape


def check_weighting(x_max, exponent):
    """Raise unless the two settings of the weight are in range."""
    if not isinstance(x_max, Real) or not 0 < x_max < np.inf:
        raise ValueError(f"x_max must lie in (0, inf), got {x_max!r}")
    if not isinstance(exponent, Real) or not 0 < exponent <= 1:
        raise ValueError(f"exponent must lie in (0, 1], got {exponent!r}")


def check_counts(counts):
    """Raise unless `counts` holds cells (rows, columns, values, V) above 0, at least one."""
    rows, columns, values, V = counts
    check_shape("rows", rows, n=None)
    check_shape("columns", columns, n=len(rows))
    check_shape("values", values, n=len(rows))
    check_ids("rows", rows, V)
    check_ids("columns", columns, V)
    check_floats(values=values)
    if not len(values) or values.min() <= 0:
        raise ValueError("values must be above 0, at least one of them: cells that are zero are left out")


def check_batch(batch, n):
    """Raise unless `batch` holds indices of n cells, at least one."""
    check_ids("batch", batch, n)
    if batch.ndim != 1 or not len(batch):
        raise ValueError(f"batch must hold indices of cells, at least one, got shape {batch.shape}")
