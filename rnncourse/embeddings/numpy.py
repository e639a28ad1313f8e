"""The embedding layer in NumPy: a lookup forwards, a sum over equal ids backwards, steps of single rows."""

from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_floats, check_ids, check_shape
from rnncourse._numerics import sum_rows
from rnncourse.optim.adam import AdamState


class EmbeddingCache(NamedTuple):
    """What the backward pass needs."""

    ids: np.ndarray
    """(...) array of int."""
    weight: np.ndarray
    """(V, E) array; its shape and dtype are used."""
    padding_idx: int | None
    """The id whose row gets no gradient."""


class RowGradient(NamedTuple):
    """A gradient of which all other rows are zero: torch's sparse tensor, coalesced."""

    ids: np.ndarray
    """(U,) array of int. The rows that have a gradient, each once, in rising order."""
    rows: np.ndarray
    """(U, E) array. Their gradients."""


def embedding_init(rng, V, E, padding_idx=None, dtype=np.float64):
    """Vectors with standard normal elements, as ``torch.nn.Embedding`` draws them.

    Parameters
    ----------
    rng : np.random.Generator
    V, E : int
        Size of the vocabulary, of a vector.
    padding_idx : int, optional
        The id whose vector is zero.
    dtype : dtype

    Returns
    -------
    (V, E) array

    Raises
    ------
    ValueError
        If `padding_idx` is not in 0 .. V - 1.
    """
    weight = rng.normal(size=(V, E)).astype(dtype)
    if padding_idx is not None:
        check_ids("padding_idx", np.asarray(padding_idx), V)
        weight[padding_idx] = 0
    return weight


def embedding_forward(ids, weight, padding_idx=None):
    """Look up the vector of each id.

    Implements :eq:`embeddings-lookup` of book/embeddings. Source: Bengio et al. (2003), their matrix C, which
    has a row for each word as well. They train it with the rest of the network; so does this room.

    Parameters
    ----------
    ids : (...) array of int
        In 0 .. V - 1, in any shape; (T, B) for a batch of sequences.
    weight : (V, E) array
        Row w is the vector of word w.
    padding_idx : int, optional
        The id that fills up short sequences. Its row is returned like any other, but gets no gradient.
        Negative numbers, which ``torch.nn.Embedding`` counts from the end, are refused.

    Returns
    -------
    output : (..., E) array
    cache : EmbeddingCache
        For :func:`embedding_backward`.

    Raises
    ------
    ValueError
        If `weight` is no matrix of floats, an id is out of range, there are no ids, or a vector that is
        looked up is not finite. Other rows are not looked at: the cost does not depend on V.
    """
    check_shape("weight", weight, V=None, E=None)
    check_ids("ids", ids, len(weight))
    if not ids.size:
        raise ValueError(f"ids must hold at least one id, got shape {ids.shape}")
    if padding_idx is not None:
        check_ids("padding_idx", np.asarray(padding_idx), len(weight))
    output = weight[ids]
    check_floats(weight=output)
    return output, EmbeddingCache(ids, weight, padding_idx)


def embedding_backward_rows(doutput, cache):
    """Gradient of the rows that were looked up: for each id, the sum over its places.

    Implements :eq:`embeddings-gradient` of book/embeddings. The gradients of equal ids are made neighbours by
    sorting, then added; nothing of size V is touched. ``np.add.at`` on a dense gradient says the same in one
    line.

    Parameters
    ----------
    doutput : (..., E) array
        dL/d output.
    cache : EmbeddingCache

    Returns
    -------
    RowGradient
        Without the row `padding_idx`; with no rows if all is padding.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    ids, weight, padding_idx = cache
    E = weight.shape[1]
    if doutput.shape != (*ids.shape, E):
        raise ValueError(f"doutput must have shape (*ids.shape, E) = {(*ids.shape, E)}, got {doutput.shape}")
    check_floats(weight=weight[:1], doutput=doutput)
    ids, g = ids.reshape(-1).astype(np.intp, copy=False), doutput.reshape(-1, E)
    if padding_idx is not None:
        keep = ids != padding_idx
        ids, g = ids[keep], g[keep]
    return RowGradient(*sum_rows(ids, g))


def embedding_backward(doutput, cache):
    """Gradient of the whole matrix: the rows of :func:`embedding_backward_rows`, zero elsewhere.

    Implements :eq:`embeddings-gradient` of book/embeddings.

    Parameters
    ----------
    doutput : (..., E) array
        dL/d output.
    cache : EmbeddingCache

    Returns
    -------
    (V, E) array

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    gradient = embedding_backward_rows(doutput, cache)
    dweight = np.zeros(cache.weight.shape, cache.weight.dtype)
    dweight[gradient.ids] = gradient.rows
    return dweight


def tied_backward(doutput, cache, dweight_output):
    """Gradient of a matrix that is both embedding and output layer: the sum over both uses.

    Implements :eq:`embeddings-tied` of book/embeddings. Source: Press and Wolf (2017); Inan, Khosravi and
    Socher (2017).

    Parameters
    ----------
    doutput : (..., E) array
        dL/d output of :func:`embedding_forward`.
    cache : EmbeddingCache
    dweight_output : (V, E) array
        The gradient through the use as output layer, from :func:`rnncourse.bptt.numpy.output_backward`.

    Returns
    -------
    (V, E) array
        The row `padding_idx` keeps its gradient through the output layer.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    V, E = cache.weight.shape
    check_shape("dweight_output", dweight_output, V=V, E=E)
    check_floats(doutput=doutput, dweight_output=dweight_output)
    return dweight_output + embedding_backward(doutput, cache)


def sgd_rows(weight, gradient, lr, in_place=False):
    """Gradient descent on the rows that have a gradient.

    Implements :eq:`embeddings-sgd` of book/embeddings. The same step as that of the dense gradient.

    Parameters
    ----------
    weight : (V, E) array
    gradient : RowGradient
    lr : float
        Learning rate, at least 0.
    in_place : bool
        Whether to change `weight` itself. The copy that is made otherwise costs time in proportion to V.

    Returns
    -------
    (V, E) array

    Raises
    ------
    ValueError
        If the gradient does not fit `weight`, an id stands twice in it, `lr` is negative, or a number that
        is used is not finite.
    """
    ids, rows = _check_rows(weight, gradient)
    if not 0 <= lr < np.inf:
        raise ValueError(f"lr must lie in [0, inf), got {lr}")
    weight = weight if in_place else weight.copy()
    weight[ids] -= float(lr) * rows
    return weight


def adam_rows(weight, gradient, state, adam, in_place=False):
    """Adam on the rows that have a gradient; weight and both means of all other rows stay as they are.

    Implements :eq:`embeddings-adam` of book/embeddings, as ``torch.optim.SparseAdam`` does: the number of
    steps t is that of all steps, not of the steps in which a row took part. SparseAdam adds eps to the root
    before the correction of the second mean, this function after it, as both Adams do. It is not the step
    that Adam takes with the dense gradient, which decays the means of absent rows and moves them.

    Parameters
    ----------
    weight : (V, E) array
    gradient : RowGradient
    state : rnncourse.optim.adam.AdamState
        From ``adam.init(weight)`` or the last step.
    adam : rnncourse.optim.Adam
        Its ``lr``, ``beta1``, ``beta2``, ``eps`` are used.
    in_place : bool
        Whether to change `weight` and the arrays of `state` themselves.

    Returns
    -------
    weight : (V, E) array
    state : rnncourse.optim.adam.AdamState

    Raises
    ------
    ValueError
        If the gradient or the state does not fit `weight`, an id stands twice, or a number that is used is
        not finite.
    """
    ids, g = _check_rows(weight, gradient)
    for name in ("mean", "square"):
        array = getattr(state, name)
        check_shape(f"state.{name}", array, V=len(weight), E=weight.shape[1])
        check_floats(**{"weight": weight[ids], f"state.{name}": array[ids]})
    t = state.step + 1
    arrays = weight, state.mean, state.square
    weight, mean, square = arrays if in_place else (a.copy() for a in arrays)
    mean[ids] = adam.beta1 * mean[ids] + (1 - adam.beta1) * g
    square[ids] = adam.beta2 * square[ids] + (1 - adam.beta2) * g * g
    m_hat = mean[ids] / (1 - adam.beta1**t)
    v_hat = square[ids] / (1 - adam.beta2**t)
    weight[ids] -= adam.lr * m_hat / (np.sqrt(v_hat) + adam.eps)
    return weight, AdamState(t, mean, square)


def _check_rows(weight, gradient):
    check_shape("weight", weight, V=None, E=None)
    ids, rows = gradient
    check_shape("gradient.ids", ids, U=None)
    check_ids("gradient.ids", ids, len(weight))
    check_shape("gradient.rows", rows, U=len(ids), E=weight.shape[1])
    check_floats(**{"weight": weight[ids], "gradient.rows": rows})
    if (ids[1:] <= ids[:-1]).any():
        # An indexed assignment would keep one of the rows of an id that stands twice.
        raise ValueError("gradient.ids must rise, each id once: add up the rows of equal ids first")
    return gradient
