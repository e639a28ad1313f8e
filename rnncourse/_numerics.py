"""Functions that several rooms share, stable at any input."""

import numpy as np


def sigmoid(a):
    """The logistic function 1 / (1 + e^-a); keeps relative precision in both tails, never overflows."""
    small = np.exp(-np.abs(a))
    return np.where(a >= 0, 1, small) / (1 + small)


def log_softmax(logits):
    """Logarithm of the softmax over the last axis; no overflow at any finite input."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax(logits):
    """Softmax over the last axis; no overflow at any finite input."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def one_hot(ids, V, dtype=np.float64):
    """One-hot vectors (..., V) of the integers `ids` (...)."""
    return np.eye(V, dtype=dtype)[ids]


def sum_rows(ids, rows):
    """Each of the `ids` (n,) once, rising, and the sum of its `rows` (n, ...), added in their order."""
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    first = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]])) if len(ids) else order
    counts = np.diff(first, append=len(ids))
    sums, repeated = rows[order[first]], counts > 1
    if repeated.any():
        n = counts[repeated]
        places = order[np.repeat(repeated, counts)]
        sums[repeated] = np.add.reduceat(rows[places], np.cumsum(n) - n, axis=0)
    return ids[first], sums
