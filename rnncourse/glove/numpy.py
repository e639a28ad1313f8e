"""GloVe in NumPy: co-occurrence counts, the weighted fit of their logarithms, and vectors from PMI by SVD."""

from numbers import Real
from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_choice, check_floats, check_ids, check_positive, check_shape
from rnncourse._numerics import sum_rows
from rnncourse.glove.checks import check_batch, check_counts, check_weighting
from rnncourse.optim import Adagrad
from rnncourse.training.loop import check_finite, run

CHUNK = 2**18
"""Words that :func:`cooccurrence` counts at once."""


class Cooccurrence(NamedTuple):
    """The cells of the matrix X (V, V) that are not zero, by row, then by column."""

    rows: np.ndarray
    """(n,) of int, the words i."""
    columns: np.ndarray
    """(n,) of int, their contexts j."""
    values: np.ndarray
    """(n,) of float, the counts, all above 0."""
    V: int
    """Size of the vocabulary."""


def cooccurrence(sentences, V, window=10, weighting="harmonic", symmetric=True):
    """Count which words stand near which, within sentences.

    Implements :eq:`glove-count` of book/glove. Source: Pennington, Socher and Manning (2014), who count over
    a text without ends of sentences. Memory: the text is worked through in pieces of ``CHUNK`` words, and the
    cells of the pieces are merged whenever they have become as many as those held. The result takes 24 bytes
    a cell that is not zero. While it is made, at most 32 bytes a word, 64 window bytes for each word of a
    piece, and 150 bytes a cell; a test measures it. A full matrix would take 8 V^2 bytes.

    Parameters
    ----------
    sentences : sequence of (n,) arrays of int
        Ids of the words; one of no or one word adds nothing.
    V : int
        Size of the vocabulary.
    window : int
        Largest distance that counts.
    weighting : {"harmonic", "flat"}
        A pair at distance d adds 1/d, or 1.
    symmetric : bool
        Whether words on both sides are context, or those to the left alone.

    Returns
    -------
    Cooccurrence

    Raises
    ------
    ValueError
        If no two words stand near each other, an id is out of range, or a setting is.
    """
    check_positive("V", V)
    check_positive("window", window)
    if V * V * window >= 2**63:
        raise ValueError(f"V^2 window must be below 2^63, got V = {V}, window = {window}")
    check_choice("weighting", weighting, ["harmonic", "flat"])
    sentences = [np.asarray(sentence) for sentence in sentences]
    for sentence in sentences:
        check_shape("sentence", sentence, n=None)
    sentences = [sentence for sentence in sentences if sentence.size]
    if not any(len(sentence) > 1 for sentence in sentences):
        words = sum(map(len, sentences))
        raise ValueError(
            f"sentences must hold two words side by side, got {len(sentences)} of {words} words in all"
        )
    ids = np.concatenate(sentences)
    check_ids("sentences", ids, V)
    ids = ids.astype(np.int64, copy=False)
    sentence = np.repeat(np.arange(len(sentences)), [len(s) for s in sentences])
    share = 1 / np.arange(1, window + 1) if weighting == "harmonic" else np.ones(window)
    parts, pending = [], 0  # the cells of all pieces but the latest ones, and these
    for start in range(0, len(ids), CHUNK):
        stop = min(start + CHUNK, len(ids))
        pairs = [np.empty(0, np.int64)]
        for d in range(1, min(window, stop - 1) + 1):
            first = max(start, d)
            word, context = slice(first, stop), slice(first - d, stop - d)
            near = sentence[word] == sentence[context]
            pairs.append(((ids[word] * V + ids[context]) * window + d - 1)[near])
        # The distance is the last digit of a pair's number: one sort brings equal cells together.
        pairs = np.sort(np.concatenate(pairs))
        parts.append(sum_rows(pairs // window, share[pairs % window]))
        pending += len(parts[-1][0])
        if pending >= len(parts[0][0]):
            parts, pending = [_merged(parts)], 0
    cell, value = _merged(parts)
    if symmetric:
        mirrored = cell % V * V + cell // V
        cell, value = sum_rows(np.concatenate([cell, mirrored]), np.concatenate([value, value]))
    return Cooccurrence(cell // V, cell % V, value, V)


def _merged(parts):
    """Cells and values of all parts, each cell once."""
    if len(parts) == 1:
        return parts[0]
    return sum_rows(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def dense(counts):
    """The whole matrix, zeros included.

    Parameters
    ----------
    counts : Cooccurrence

    Returns
    -------
    (V, V) array
    """
    X = np.zeros((counts.V, counts.V), counts.values.dtype)
    X[counts.rows, counts.columns] = counts.values
    return X


def weight(x, x_max=100.0, exponent=0.75):
    """How much a cell with the count x weighs in the cost.

    Implements :eq:`glove-weight` of book/glove. Source: Pennington, Socher and Manning (2014), equation 9.

    Parameters
    ----------
    x : array
        Counts, at least 0.
    x_max : float
        Count from which on all cells weigh 1, above 0.
    exponent : float
        In (0, 1].

    Returns
    -------
    array
        Of the shape of `x`, in [0, 1].

    Raises
    ------
    ValueError
        If a count is negative or not finite, or a setting is out of range.
    """
    check_weighting(x_max, exponent)
    x = np.asarray(x)
    check_floats(x=x)
    if (x < 0).any():
        raise ValueError(f"x must be at least 0, got {x.min()}")
    with np.errstate(over="ignore"):  # inf is above x_max too
        return np.minimum(x / x_max, 1) ** exponent


class GloVeParams(NamedTuple):
    """Two vectors and two biases for each word."""

    weight_in: np.ndarray
    """(V, E), the vectors e of the words in the rows of X."""
    weight_out: np.ndarray
    """(V, E), the vectors theta of the words in the columns."""
    bias_in: np.ndarray
    """(V,)"""
    bias_out: np.ndarray
    """(V,)"""


class GloVeCache(NamedTuple):
    """What ``glove_backward`` needs."""

    rows: np.ndarray
    """(n,) of int."""
    columns: np.ndarray
    """(n,) of int."""
    residual: np.ndarray
    """(n,), the prediction of the logarithm minus the logarithm."""
    weight: np.ndarray
    """(n,), f of the counts."""
    params: GloVeParams


def glove_init(rng, V, E, dtype=np.float64):
    """Draw initial parameters: uniform in ±1/(2E), as Stanford's C program does.

    Parameters
    ----------
    rng : np.random.Generator
    V, E : int
        Size of the vocabulary and of a vector.
    dtype : dtype

    Returns
    -------
    GloVeParams
    """
    check_positive("V", V)
    check_positive("E", E)
    shapes = (V, E), (V, E), V, V
    return GloVeParams(*(((rng.random(shape) - 0.5) / E).astype(dtype) for shape in shapes))


def glove_forward(counts, params, x_max=100.0, exponent=0.75):
    """Cost of the weighted least-squares fit to the logarithms of the counts.

    Implements :eq:`glove-cost` of book/glove. Source: Pennington, Socher and Manning (2014), equation 8; the
    factor 1/2 is not there, but in their program.

    Parameters
    ----------
    counts : Cooccurrence
    params : GloVeParams
    x_max, exponent : float
        Of :func:`weight`.

    Returns
    -------
    cost : float
    cache : GloVeCache

    Raises
    ------
    ValueError
        If a shape does not fit, an id or a setting is out of range, or a number is not finite.
    """
    rows, columns, log_count, f = _targets(counts, params, x_max, exponent)
    e, theta = params.weight_in.take(rows, 0), params.weight_out.take(columns, 0)
    residual = np.einsum("ne,ne->n", e, theta) + params.bias_in[rows] + params.bias_out[columns] - log_count
    return (f * residual * residual).sum() / 2, GloVeCache(rows, columns, residual, f, params)


def _targets(counts, params, x_max, exponent):
    """Check counts and parameters; return rows, columns, logarithms and weights of the cells."""
    rows, columns, values, V = counts
    E = params.weight_in.shape[-1]
    check_counts(counts)
    for name, size in zip(GloVeParams._fields, ({"E": E}, {"E": E}, {}, {}), strict=True):
        check_shape(name, getattr(params, name), V=V, **size)
    check_floats(**params._asdict())
    dtype = params.weight_in.dtype
    return rows, columns, np.log(values).astype(dtype), weight(values, x_max, exponent).astype(dtype)


def glove_backward(dcost, cache):
    """Gradient of the cost: the vector-Jacobian product of ``glove_forward``.

    Implements :eq:`glove-gradient` of book/glove.

    Parameters
    ----------
    dcost : float
        dL/d cost; 1 for the cost itself.
    cache : GloVeCache

    Returns
    -------
    GloVeParams
    """
    rows, columns, residual, f, params = cache
    g = dcost * f * residual
    dparams = GloVeParams(*map(np.zeros_like, params))
    at, dparams.weight_in[at], dparams.bias_in[at] = _row_sums(rows, columns, g, params.weight_out)
    at, dparams.weight_out[at], dparams.bias_out[at] = _row_sums(columns, rows, g, params.weight_in)
    return dparams


def _row_sums(words, others, g, vectors):
    """Sum g times the other word's vector, and g itself, over the cells of each word.

    Returns the words, each once, and both sums: a word stands in many cells, and each adds its part.
    """
    # As sum_rows does, but cells are put in order before rows are gathered: no row is copied twice.
    order = np.argsort(words)
    words, g = words[order], g[order]
    first = np.flatnonzero(np.concatenate([[True], words[1:] != words[:-1]]))
    rows = vectors.take(others[order], 0)
    rows *= g[:, None]
    return words[first], np.add.reduceat(rows, first, axis=0), np.add.reduceat(g, first)


def shuffled_batches(rng, n, batch, epochs=None):
    """Indices of n cells in random order, cut into batches; each epoch holds every cell once.

    Parameters
    ----------
    rng : np.random.Generator
    n, batch : int
        The last batch of an epoch may be smaller.
    epochs : int, optional
        Without it the batches never end.

    Yields
    ------
    (batch,) array of int
    """
    check_positive("n", n)
    check_positive("batch", batch)
    epoch = 0
    while epochs is None or epoch < epochs:
        order = rng.permutation(n)
        yield from (order[start : start + batch] for start in range(0, n, batch))
        epoch += 1


def train_glove(
    counts,
    params,
    batches,
    *,
    lr=0.05,
    x_max=100.0,
    exponent=0.75,
    steps=None,
    state=None,
    evaluate=None,
    every=100,
    patience=None,
    progress=None,
    description=None,
):
    """Train by Adagrad on batches of cells, touching only the rows of the words in the batch.

    Implements :eq:`glove-adagrad` of book/glove: :class:`rnncourse.optim.Adagrad`, to the rounding of the
    last digit. A row without a gradient keeps its parameters and its sum of squares, so leaving it out
    changes nothing and saves passes over all 2 V (E + 1) parameters at every step. Source: Duchi, Hazan and
    Singer (2011); Stanford's C program steps after every single cell, starts the sums of squares at 1 and
    divides by the sum before the step.

    What `steps`, `state`, `evaluate`, `every`, `patience`, `progress` and `description` mean, and what
    happens on Ctrl-C and on divergence, is as in :func:`rnncourse.training.numpy.train`.

    Parameters
    ----------
    counts : Cooccurrence
    params : GloVeParams
        Not changed.
    batches : iterable of (m,) arrays of int
        Indices of cells, as :func:`shuffled_batches` draws them. An iterator that is used again goes on where
        it stopped.
    lr : float
        Learning rate.
    x_max, exponent : float
        Of :func:`weight`.

    Returns
    -------
    Trained
        ``history.loss`` is the mean over the cells of each batch of f r^2 / 2, before the step.

    Raises
    ------
    Diverged, ValueError
        As :func:`rnncourse.training.numpy.train`, and if the arguments do not fit.
    """
    rows, columns, log_count, f = _targets(counts, params, x_max, exponent)
    adagrad = Adagrad(lr)
    params = GloVeParams(*(p.copy() for p in params))
    state = GloVeParams(*(s.copy() for s in (adagrad.init(params) if state is None else state)))

    def step(batch):
        batch = np.asarray(batch)
        check_batch(batch, len(rows))
        i, j = rows[batch], columns[batch]
        with np.errstate(over="ignore", invalid="ignore"):
            e, theta = params.weight_in.take(i, 0), params.weight_out.take(j, 0)
            residual = np.einsum("ne,ne->n", e, theta)
            residual += params.bias_in[i] + params.bias_out[j] - log_count[batch]
            g = f[batch] * residual
            loss = float(g @ residual) / (2 * len(batch))
            at_in, dweight_in, dbias_in = _row_sums(i, j, g, params.weight_out)
            at_out, dweight_out, dbias_out = _row_sums(j, i, g, params.weight_in)
            gradients = GloVeParams(dweight_in, dweight_out, dbias_in, dbias_out)
            norm = float(np.sqrt(sum(np.vdot(d, d) for d in gradients)))
        named = gradients._asdict().items()
        check_finite(loss, norm, ((name, np.isfinite(d).all()) for name, d in named))
        touched = at_in, at_out, at_in, at_out
        new = adagrad.step(_rows(params, touched), gradients, _rows(state, touched))
        for whole, parts in zip((params, state), new, strict=True):
            for array, at, part in zip(whole, touched, parts, strict=True):
                array[at] = part
        return loss, norm

    def copied(arrays):
        return GloVeParams(*(a.copy() for a in arrays))

    return run(
        step,
        lambda: copied(params),
        lambda: copied(state),
        batches,
        steps=steps,
        evaluate=evaluate and (lambda: evaluate(params)),
        every=every,
        patience=patience,
        progress=progress,
        description=description,
    )


def _rows(arrays, touched):
    return GloVeParams(*(a.take(at, 0) for a, at in zip(arrays, touched, strict=True)))


def glove_vectors(params, how="sum"):
    """The final vector of each word, from its two.

    Implements :eq:`glove-final` of book/glove. Source: Pennington, Socher and Manning (2014), who take the
    sum; cosines of sum and mean are the same.

    Parameters
    ----------
    params : GloVeParams
    how : {"sum", "mean"}

    Returns
    -------
    (V, E) array

    Raises
    ------
    ValueError
        If `how` is neither, or the two sets do not fit.
    """
    check_choice("how", how, ["sum", "mean"])
    check_shape("weight_out", params.weight_out, **dict(zip("VE", params.weight_in.shape, strict=True)))
    total = params.weight_in + params.weight_out
    return total if how == "sum" else total / 2


def shifted_ppmi(pmi, k=1):
    """Positive part of PMI minus ln k.

    Implements :eq:`glove-ppmi` of book/glove. Source: Levy and Goldberg (2014).

    Parameters
    ----------
    pmi : (V, V) array
        Minus infinity where a pair was never seen.
    k : float
        At least 1.

    Returns
    -------
    (V, V) array
        Finite, at least 0.

    Raises
    ------
    ValueError
        If `pmi` is no square matrix of floats, holds nan or plus infinity, or `k` is below 1.
    """
    _check_square("pmi", pmi)
    if np.isnan(pmi).any() or np.isposinf(pmi).any():
        raise ValueError("pmi must be finite or minus infinity, got nan or plus infinity")
    if not isinstance(k, Real) or not 1 <= k < np.inf:
        raise ValueError(f"k must lie in [1, inf), got {k!r}")
    return np.maximum(pmi - np.log(pmi.dtype.type(k)), 0)


def svd_vectors(matrix, E, power=0.5):
    """Vectors from the E largest singular values of a matrix and what belongs to them.

    Implements :eq:`glove-svd` of book/glove. Source: Levy and Goldberg (2014).

    Parameters
    ----------
    matrix : (V, V) array
    E : int
        At most V.
    power : float
        Of the singular values, in [0, 1]; with 1/2 words and contexts share them equally.

    Returns
    -------
    (V, E) array
        Each column has its sign chosen so that its largest element is positive. A word that has no part in
        them, such as one whose row is zero, has the vector zero.

    Raises
    ------
    ValueError
        If `matrix` is no square matrix of finite floats, or a setting is out of range.
    """
    _check_square("matrix", matrix)
    check_floats(matrix=matrix)
    check_positive("E", E)
    if E > len(matrix):
        raise ValueError(f"E must be at most V = {len(matrix)}, got {E}")
    if not isinstance(power, Real) or not 0 <= power <= 1:
        raise ValueError(f"power must lie in [0, 1], got {power!r}")
    u, s, _ = np.linalg.svd(matrix)
    u = u[:, :E]
    u = u * np.sign(u[np.abs(u).argmax(0), np.arange(E)])
    u[np.abs(u).max(1) < len(u) * np.finfo(u.dtype).eps] = 0  # rounding alone
    return u * s[:E] ** power


def _check_square(name, matrix):
    check_shape(name, matrix, V=len(matrix), V_=len(matrix))
    if matrix.dtype.kind != "f":
        raise ValueError(f"{name} must hold floats, got dtype {matrix.dtype}")


def neighbours(vectors, n):
    """The n words with the largest cosine to each word, itself left out.

    Parameters
    ----------
    vectors : (V, E) array
        A zero vector has the cosine 0 with all.
    n : int
        Below V.

    Returns
    -------
    (V, n) array of int
        The nearest first; of equal ones the one with the lower id.

    Raises
    ------
    ValueError
        If `vectors` is no matrix of finite floats, or `n` is out of range.
    """
    check_shape("vectors", vectors, V=None, E=None)
    check_floats(vectors=vectors)
    check_positive("n", n)
    if n >= len(vectors):
        raise ValueError(f"n must be below V = {len(vectors)}, got {n}")
    largest = np.abs(vectors).max(1, keepdims=True)  # first, or the squares over- or underflow
    unit = vectors / np.where(largest > 0, largest, 1)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1, kind="stable")[:, :n]


def neighbour_overlap(a, b):
    """Share of the nearest neighbours that two sets of vectors have in common, mean over the words.

    Implements :eq:`glove-overlap` of book/glove.

    Parameters
    ----------
    a, b : (V, n) arrays of int
        Nearest words of the same words in each set, as :func:`neighbours` gives them.

    Returns
    -------
    float
        In [0, 1]; for unrelated vectors n / (V - 1) on average.

    Raises
    ------
    ValueError
        If the two have different shapes.
    """
    check_shape("a", a, V=None, n=None)
    check_shape("b", b, V=len(a), n=a.shape[1])
    return float((a[:, :, None] == b[:, None]).any(2).mean())
