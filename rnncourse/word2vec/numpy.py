"""Skip-gram and CBOW with the full softmax and with negative sampling, and a trainer for real text."""

from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_choice, check_floats, check_ids, check_positive, check_shape
from rnncourse._numerics import log_softmax, sigmoid, sum_rows
from rnncourse.training.loop import NotFinite, run
from rnncourse.word2vec.batches import (
    LONGEST,
    Block,
    blocks,
    check_noise,
    check_rate,
    check_seed,
    falling_rate,
    held_out_draws,
    keep_probability,
    noise_distribution,
    pairs,
    predictions,
    window_weights,
)

__all__ = [
    "Block",
    "Word2VecParams",
    "block_gradient",
    "cbow_block_gradient",
    "cbow_loss",
    "expected_loss",
    "held_out",
    "keep_probability",
    "negative_sampling_loss",
    "noise_distribution",
    "pairs",
    "pmi",
    "shifted_pmi",
    "softmax_loss",
    "train_skipgram",
    "window_weights",
    "word2vec_init",
]


class Word2VecParams(NamedTuple):
    """Two vectors for every word."""

    weight_in: np.ndarray
    """(V, E), of the words as centres; they are kept as the word vectors."""
    weight_out: np.ndarray
    """(V, E), of the words as contexts."""


def word2vec_init(rng, V, E, dtype=np.float32):
    """Draw ``weight_in`` uniformly from [-1/2E, 1/2E); ``weight_out`` is zero.

    Source: the program published with Mikolov et al. (2013b); the papers do not say.

    Parameters
    ----------
    rng : np.random.Generator
    V, E : int
    dtype : dtype

    Returns
    -------
    Word2VecParams

    Raises
    ------
    ValueError
        If `V` or `E` is no integer of at least 1.
    """
    check_positive("V", V)
    check_positive("E", E)
    return Word2VecParams(((rng.random((V, E)) - 0.5) / E).astype(dtype), np.zeros((V, E), dtype))


def _softplus(a):
    """log(1 + e^a) = -log sigmoid(-a), stable at any input."""
    return np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))


def softmax_loss(params, centres, contexts):
    """Skip-gram with the full softmax: mean of -log P(context | centre), and its gradients.

    Implements :eq:`word2vec-softmax`, :eq:`word2vec-softmax-gradient` of book/word2vec. Source: Mikolov et
    al. (2013a, b). One step costs O(N V E).

    Parameters
    ----------
    params : Word2VecParams
    centres, contexts : (N,) arrays of int

    Returns
    -------
    loss : float
    dparams : Word2VecParams

    Raises
    ------
    ValueError
        If a shape, a dtype or an id is wrong, or there are no pairs.
    """
    V = _check_params(params)
    N = _check_words(V, centres=centres, contexts=contexts)
    h = params.weight_in[centres]
    loss, dh, dweight_out = _softmax_head(h, params.weight_out, contexts, N)
    return loss, Word2VecParams(_scattered(params.weight_in, centres, dh), dweight_out)


def negative_sampling_loss(params, centres, contexts, negatives, scale=1.0):
    """Skip-gram with negative sampling: mean over the pairs, and its gradients.

    Implements :eq:`word2vec-negative`, :eq:`word2vec-negative-gradient` of book/word2vec. Source: Mikolov et
    al. (2013b), equation 4. A negative that happens to be the context itself counts like any other; the
    published program leaves it out.

    Parameters
    ----------
    params : Word2VecParams
    centres, contexts : (N,) arrays of int
    negatives : (N, M) array of int
        Drawn from the noise distribution, for each pair.
    scale : float
        Weight of each negative: k / M where M of them stand for k.

    Returns
    -------
    loss : float
    dparams : Word2VecParams

    Raises
    ------
    ValueError
        If a shape, a dtype or an id is wrong, there are no pairs or no negatives, or `scale` is not above 0.
    """
    V = _check_params(params)
    N = _check_words(V, centres=centres, contexts=contexts)
    h = params.weight_in[centres]
    loss, dh, dweight_out = _negative_head(h, params.weight_out, contexts, negatives, scale, N)
    return loss, Word2VecParams(_scattered(params.weight_in, centres, dh), dweight_out)


def cbow_loss(params, contexts, inside, targets, negatives=None, scale=1.0):
    """CBOW: predict a word from the mean of the vectors around it; mean over the words, and its gradients.

    Implements :eq:`word2vec-cbow`, :eq:`word2vec-cbow-gradient` of book/word2vec. Source: Mikolov et al.
    (2013a), section 3.1. Here the words around have the vectors ``weight_in``. With `negatives` the loss is
    negative sampling, without them the full softmax.

    Parameters
    ----------
    params : Word2VecParams
    contexts : (N, C) array of int
    inside : (N, C) array of bool
        Which of them count; at least one in each row.
    targets : (N,) array of int
    negatives : (N, M) array of int, optional
    scale : float
        As in :func:`negative_sampling_loss`.

    Returns
    -------
    loss : float
    dparams : Word2VecParams

    Raises
    ------
    ValueError
        If a shape, a dtype or an id is wrong, or a row has no word around.
    """
    V = _check_params(params)
    N = _check_words(V, targets=targets)
    contexts, inside = np.asarray(contexts), np.asarray(inside)
    check_shape("contexts", contexts, N=N, C=None)
    check_ids("contexts", contexts, V)
    check_shape("inside", inside, N=N, C=contexts.shape[1])
    if inside.dtype != bool or not inside.any(axis=1).all():
        raise ValueError(f"inside must hold bool, at least one True in each row, got dtype {inside.dtype}")
    share = (inside / inside.sum(axis=1, keepdims=True)).astype(params.weight_in.dtype)
    h = (share[..., None] * params.weight_in[contexts]).sum(axis=1)
    if negatives is None:
        loss, dh, dweight_out = _softmax_head(h, params.weight_out, targets, N)
    else:
        loss, dh, dweight_out = _negative_head(h, params.weight_out, targets, negatives, scale, N)
    drows = share[..., None] * dh[:, None]
    return loss, Word2VecParams(_scattered(params.weight_in, contexts, drows), dweight_out)


def _softmax_head(h, weight_out, targets, N):
    logp = log_softmax(h @ weight_out.T)
    dlogits = np.exp(logp)
    dlogits[np.arange(N), targets] -= 1
    dlogits /= N
    return float(-logp[np.arange(N), targets].mean()), dlogits @ weight_out, dlogits.T @ h


def _negative_head(h, weight_out, targets, negatives, scale, N):
    check_shape("negatives", negatives, N=N, M=None)
    check_ids("negatives", negatives, len(weight_out))
    if not negatives.size:
        raise ValueError("negatives must hold at least one word a pair, got none")
    if not scale > 0:
        raise ValueError(f"scale must be above 0, got {scale!r}")
    scale = weight_out.dtype.type(scale)
    out, out_negative = weight_out[targets], weight_out[negatives]
    positive = (h * out).sum(axis=1)
    negative = np.einsum("ne,nme->nm", h, out_negative)
    loss = (_softplus(-positive).sum() + scale * _softplus(negative).sum()) / N
    dpositive = (sigmoid(positive) - 1) / N
    dnegative = scale * sigmoid(negative) / N
    dh = dpositive[:, None] * out + np.einsum("nm,nme->ne", dnegative, out_negative)
    dweight_out = _scattered(weight_out, targets, dpositive[:, None] * h)
    dweight_out += _scattered(weight_out, negatives, dnegative[..., None] * h[:, None])
    return float(loss), dh, dweight_out


def pmi(counts):
    """Pointwise mutual information of centres and contexts: ln(#(i, j) #() / (#(i) #(j))).

    Implements :eq:`word2vec-pmi` of book/word2vec. Source: Church and Hanks (1990), who use log2.

    Parameters
    ----------
    counts : (V, V) array
        Pairs by centre (row) and context (column).

    Returns
    -------
    (V, V) array of float64
        -inf where a pair never occurs; nan where one of the two words never occurs.

    Raises
    ------
    ValueError
        If `counts` is not square, a count is negative or not finite, or all are 0.
    """
    counts = _check_pair_counts(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        centres, contexts = np.log(counts.sum(axis=1, keepdims=True)), np.log(counts.sum(axis=0))
        return np.log(counts) + np.log(counts.sum()) - centres - contexts


def _check_pair_counts(counts):
    counts = np.asarray(counts, float)
    check_shape("counts", counts, V=None, V_=len(counts) if counts.ndim else None)
    check_floats(counts=counts)
    if not counts.size or counts.min() < 0 or not counts.any():
        raise ValueError("counts must be at least 0 and not all 0")
    return counts


def shifted_pmi(counts, negatives, noise=None):
    """What negative sampling drives the dot products to: PMI - ln k, where the noise is the unigram.

    Implements :eq:`word2vec-optimum` of book/word2vec. Source: Levy and Goldberg (2014), section 3.1; the
    chapter derives the term for another noise.

    Parameters
    ----------
    counts : (V, V) array
        Pairs by centre (row) and context (column).
    negatives : int
        How many each pair has, k.
    noise : (V,) array, optional
        What they are drawn from; without it the distribution of the contexts.

    Returns
    -------
    (V, V) array of float64
        -inf where a pair never occurs; nan where one of the two words never occurs.

    Raises
    ------
    ValueError
        As :func:`pmi`, or if `negatives` is no integer of at least 1, or `noise` is no distribution
        over V words, or 0 at a context that occurs.
    """
    check_positive("negatives", negatives)
    counts = np.asarray(counts, float)
    shifted = pmi(counts) - np.log(negatives)
    if noise is None:
        return shifted
    noise, unigram = _check_noise(noise, counts), counts.sum(axis=0) / counts.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        return shifted + np.log(unigram) - np.log(noise)


def _check_noise(noise, counts):
    noise = check_noise(noise, len(counts))
    if (noise[counts.sum(axis=0) > 0] == 0).any():
        raise ValueError("noise must be above 0 at every context that occurs")
    return noise


def expected_loss(params, counts, negatives, noise=None):
    """Negative sampling with nothing sampled: its expectation over the noise, for the average pair.

    Implements :eq:`word2vec-expected` of book/word2vec. Source: Levy and Goldberg (2014), equation 5. For a
    vocabulary that a V x V matrix can hold.

    Parameters
    ----------
    params : Word2VecParams
    counts : (V, V) array
        Pairs by centre (row) and context (column).
    negatives : int
        How many each pair has, k.
    noise : (V,) array, optional
        What they are drawn from; without it the distribution of the contexts.

    Returns
    -------
    loss : float
    dparams : Word2VecParams

    Raises
    ------
    ValueError
        If a shape or a dtype is wrong, a count is negative or all are 0, or `negatives` is no integer of at
        least 1.
    """
    V = _check_params(params)
    check_positive("negatives", negatives)
    counts = _check_pair_counts(counts).astype(params.weight_in.dtype)
    check_shape("counts", counts, V=V, V_=V)
    positive = counts / counts.sum()
    noise = positive.sum(axis=0) if noise is None else _check_noise(noise, counts).astype(counts.dtype)
    negative = negatives * positive.sum(axis=1, keepdims=True) * noise
    x = params.weight_in @ params.weight_out.T
    loss = (positive * _softplus(-x) + negative * _softplus(x)).sum()
    dx = (positive + negative) * sigmoid(x) - positive
    return float(loss), Word2VecParams(dx @ params.weight_out, dx.T @ params.weight_in)


def block_gradient(params, block, negatives):
    """Loss of all pairs of a block, and the gradients of the rows that it reads.

    Implements :eq:`word2vec-block` of book/word2vec. It is the sum, not the mean, of
    :func:`negative_sampling_loss` over the pairs, with the block's M negatives for each of them, scaled by
    k / M. All scores are matrix products; of those with the words around only the band of the windows counts.

    Parameters
    ----------
    params : Word2VecParams
    block : Block
    negatives : int
        How many each pair has, k.

    Returns
    -------
    loss : float
    dcentres : (G, n, E) array
        By row of ``weight_in[block.centres]``; a word that occurs twice has two rows.
    daround : (G, n + 2 window, E) array
        By row of ``weight_out[block.around]``.
    dnegatives : (M, E) array
        By row of ``weight_out[block.negatives]``.
    """
    h, out = params.weight_in[block.centres], params.weight_out[block.around]
    out_negative = params.weight_out[block.negatives]
    positive, negative = h @ out.swapaxes(1, 2), h @ out_negative.T
    offsets = block.inside.shape[2]
    scores = _band(positive, offsets)
    share = h.dtype.type(negatives / len(out_negative)) * block.inside.sum(-1, h.dtype, keepdims=True)
    losses, losses_negative = _softplus(-scores), _softplus(negative)
    loss = (block.inside * losses).sum() + (share * losses_negative).sum()
    dpositive = np.zeros_like(positive)
    # sigmoid(a) = exp(a - softplus(a)): one exponential less than a new sigmoid.
    _band(dpositive, offsets)[:] = block.inside * -np.exp(-scores - losses)
    dnegative = share * np.exp(negative - losses_negative)
    dcentres = dpositive @ out + dnegative @ out_negative
    dnegatives = dnegative.reshape(-1, len(out_negative)).T @ h.reshape(-1, h.shape[2])
    return float(loss), dcentres, dpositive.swapaxes(1, 2) @ h, dnegatives


def cbow_block_gradient(params, block, negatives):
    """As :func:`block_gradient`, for CBOW: the words around predict each centre of the block.

    Implements :eq:`word2vec-cbow-block` of book/word2vec. It is the sum of :func:`cbow_loss` over the centres
    that have a word around, with the block's M negatives for each, scaled by k / M. The words around are read
    in ``weight_in``, centres and negatives in ``weight_out``.

    Parameters
    ----------
    params : Word2VecParams
    block : Block
    negatives : int
        How many each centre has, k.

    Returns
    -------
    loss : float
    dcentres : (G, n, E) array
        By row of ``weight_out[block.centres]``.
    daround : (G, n + 2 window, E) array
        By row of ``weight_in[block.around]``.
    dnegatives : (M, E) array
        By row of ``weight_out[block.negatives]``.
    """
    v, out = params.weight_in[block.around], params.weight_out[block.centres]
    out_negative, number = params.weight_out[block.negatives], block.inside.sum(-1, keepdims=True)
    there = (number > 0).astype(v.dtype)
    share = np.zeros((*block.centres.shape, block.around.shape[1]), v.dtype)
    _band(share, block.inside.shape[2])[:] = block.inside / np.maximum(number, 1)
    h = share @ v
    positive, negative = (h * out).sum(-1, keepdims=True), h @ out_negative.T
    scale = v.dtype.type(negatives / len(out_negative)) * there
    loss = (there * _softplus(-positive)).sum() + (scale * _softplus(negative)).sum()
    dpositive, dnegative = there * (sigmoid(positive) - 1), scale * sigmoid(negative)
    dh = dpositive * out + dnegative @ out_negative
    dnegatives = dnegative.reshape(-1, len(out_negative)).T @ h.reshape(-1, h.shape[2])
    return float(loss), dpositive * h, share.swapaxes(1, 2) @ dh, dnegatives


def _band(matrices, offsets):
    """View (G, n, offsets) of the elements (i, i + o) of each matrix."""
    G, n, _ = matrices.shape
    group, row, column = matrices.strides
    return np.lib.stride_tricks.as_strided(matrices, (G, n, offsets), (group, row + column, column))


def train_skipgram(
    sentences,
    V,
    E,
    *,
    objective="skip-gram",
    window=5,
    negatives=5,
    epochs=5,
    lr=0.025,
    seed=0,
    subsample=None,
    power=0.75,
    noise=None,
    size=None,
    groups=None,
    shared=64,
    params=None,
    state=0,
    steps=None,
    evaluate=None,
    every=1000,
    dtype=np.float32,
    progress=None,
):
    """Train skip-gram, or CBOW, with negative sampling on a corpus, block by block.

    Implements :eq:`word2vec-update` of book/word2vec. The full softmax needs no trainer of its own:
    ``rnncourse.training.numpy.train`` takes :func:`softmax_loss`. Source: Mikolov et al. (2013a, b) and their
    published program. Like it, a step is plain gradient descent on the sum over the pairs, with a learning
    rate that falls linearly to 1e-4 of the first. Unlike there, the pairs of a block of centres are one step
    and share their negatives, in the spirit of Ji et al. (2016), who share them within one window; with CBOW
    a word around gets its part of the gradient of the mean, not all of it; and no row moves further than 1 in
    a step: the gradients of a
    word that is read very often would add up to too long a one.

    The gradient is kept as the rows that it touches: a dense one would cost O(V E) a step, more than the step
    itself. So this is not ``rnncourse.training.numpy.train``, though the loop around the step is the same.
    Ctrl-C, divergence and any other error raise with what was reached so far in the exception's attribute
    ``trained``.

    Parameters
    ----------
    sentences : sequence of (n,) arrays of int
        Ids in 0 .. V - 1, of at least two different words.
    V, E : int
        Vocabulary and length of the vectors.
    objective : str
        ``"skip-gram"``, or ``"cbow"``: each word of the text is then one prediction, from the mean of the
        words around it, so that it takes a higher learning rate.
    window : int
        Largest window; each centre draws its own from 1 .. `window`.
    negatives : int
        Negative words a pair, k; with CBOW a word.
    epochs : int
        Times through the corpus.
    lr : float
        Learning rate at the start, above 0.
    seed : int
        At least 0, of every draw. The same arguments give the same result to the digit on the same machine.
    subsample : float, optional
        Threshold of ``keep_probability``, such as 1e-3; without it every word is kept.
    power : float
        Of :func:`rnncourse.word2vec.batches.noise_distribution`, by the counts of the words.
    noise : (V,) array, optional
        What the negatives are drawn from in place of that; sums to 1.
    size, groups : int, optional
        Neighbouring centres of a group, and groups of a block. By default 32 and 4, and fewer where the
        vocabulary is small: a step adds up the gradients of all pairs of a block, which is too long a step
        if they fall on few rows.
    shared : int
        Negatives that all pairs of a block share.
    params : Word2VecParams, optional
        Where to start, not changed; by default :func:`word2vec_init` with `seed`.
    state : int
        Steps that an earlier run has done, from its result or exception: the first `state` blocks are left
        out, and training goes on from `params`. Only with the same corpus, settings and seed is that what the
        earlier run would have done. The number does not tell them: with another seed the remaining blocks
        are those of that seed, with another rate they are taken at that rate. To go on in a later process,
        save both matrices, with ``numpy.savez``, and this number.
    steps : int, optional
        Stop after so many more steps.
    evaluate : callable, optional
        ``evaluate(params)`` returns a float, such as what :func:`held_out` gives.
    every : int
        Steps from one evaluation to the next.
    dtype : dtype
        Of the parameters that are drawn here.
    progress : bool, optional
        Whether to show a progress bar; by default where there is a terminal.

    Returns
    -------
    Trained
        ``params``, ``state`` (steps done), ``history`` (its loss is the mean over the pairs of each block,
        with CBOW over its words).

    Raises
    ------
    Diverged
        At the first loss or gradient that is not finite.
    ValueError
        If a setting is out of range, `state` above the number of blocks, or the corpus is empty, has one word
        only or no pair.
    """
    check_positive("negatives", negatives)
    check_choice("objective", objective, ("skip-gram", "cbow"))
    check_rate(lr)
    check_seed(seed)
    cbow = objective == "cbow"
    gradient = cbow_block_gradient if cbow else block_gradient
    if params is None:
        params = word2vec_init(np.random.default_rng(seed), V, E, dtype)
    _check_params(params)
    check_shape("weight_in", params.weight_in, V=V, E=E)
    # One array for both matrices, so that one sum over equal rows serves both.
    both, done = np.concatenate(params), state
    params = Word2VecParams(both[:V], both[V:])

    def step(block):
        nonlocal done
        # Overflow shows in the next step's loss.
        with np.errstate(over="ignore", invalid="ignore"):
            loss, *rows = gradient(params, block, negatives)
            norm = float(np.sqrt(sum(np.vdot(d, d) for d in rows)))
            if not np.isfinite(norm):
                raise NotFinite(f"the loss is {loss:.4g}, the gradient's norm {norm}")
            rate = params.weight_in.dtype.type(falling_rate(lr, block.done))
            first, second = (V, 0) if cbow else (0, V)
            read = [first + block.centres.ravel(), second + block.around.ravel(), V + block.negatives]
            rows = np.concatenate([d.reshape(-1, E) for d in rows])
            _descend(both, np.concatenate(read), rows, rate)
        done += 1
        return loss / max(predictions(block, cbow), 1), norm

    batches = blocks(
        sentences,
        V,
        window=window,
        epochs=epochs,
        seed=seed,
        subsample=subsample,
        power=power,
        noise=noise,
        size=size,
        groups=groups,
        shared=shared,
    ).after(state)
    return run(
        step,
        lambda: Word2VecParams(*(p.copy() for p in params)),
        lambda: done,
        batches,
        steps=steps,
        evaluate=evaluate and (lambda: evaluate(params)),
        every=every,
        patience=None,
        progress=progress,
        description=objective,
    )


def held_out(sentences, noise, *, window=5, negatives=5, seed=0, keep=None, objective="skip-gram"):
    """The loss of negative sampling on text kept out of training, as a function of the parameters.

    The windows are full, and subsampling and negatives are drawn once, so that the values of different
    parameters compare.

    Parameters
    ----------
    sentences : sequence of (n,) arrays of int
    noise : (V,) array
        What the negatives are drawn from, such as ``noise_distribution`` of the training counts; sums to 1.
    window, negatives, seed : int
    keep : (V,) array, optional
        Probability of keeping an occurrence of each word: ``keep_probability`` of the training counts, for
        vectors that were trained with subsampling. A text that is not thinned has other frequencies.
    objective : str
        ``"skip-gram"`` for the mean over the pairs, ``"cbow"`` over the words with a word around.

    Returns
    -------
    callable
        ``evaluate(params)`` returns the mean loss, a float.

    Raises
    ------
    ValueError
        If there are no pairs, `noise` is no distribution, or a setting is out of range.
    """
    V = len(noise)
    read, share, targets, drawn = held_out_draws(sentences, noise, window, negatives, seed, keep, objective)

    def evaluate(params):
        _check_params(params)
        check_shape("weight_in", params.weight_in, V=V, E=None)
        total = 0.0
        for i in range(0, len(targets), 4096):
            part = slice(i, i + 4096)
            h = np.einsum(
                "nc,nce->ne", share[part].astype(params.weight_in.dtype), params.weight_in[read[part]]
            )
            positive = (h * params.weight_out[targets[part]]).sum(axis=1)
            negative = np.einsum("ne,nme->nm", h, params.weight_out[drawn[part]])
            total += _softplus(-positive).sum(dtype=float) + _softplus(negative).sum(dtype=float)
        return total / len(targets)

    return evaluate


def _descend(weight, ids, rows, rate):
    """Subtract `rate` times the summed rows of each id from its row, in place, none longer than LONGEST."""
    words, sums = sum_rows(ids, rows)
    length = rate * np.sqrt(np.einsum("ne,ne->n", sums, sums))
    weight[words] -= (rate / np.maximum(1, length / LONGEST))[:, None] * sums


def _scattered(weight, ids, rows):
    """The gradient of a table of which the rows `ids` were read: zero elsewhere."""
    words, sums = sum_rows(ids.ravel(), rows.reshape(-1, weight.shape[1]))
    gradient = np.zeros_like(weight)
    gradient[words] = sums
    return gradient


def _check_params(params):
    V = len(params.weight_in)
    check_shape("weight_in", params.weight_in, V=V, E=None)
    check_shape("weight_out", params.weight_out, V=V, E=params.weight_in.shape[1])
    check_floats(weight_in=params.weight_in, weight_out=params.weight_out)
    return V


def _check_words(V, **vectors):
    N = None
    for name, ids in vectors.items():
        ids = np.asarray(ids)
        check_shape(name, ids, N=N)
        check_ids(name, ids, V)
        N = len(ids)
        if not N:
            raise ValueError(f"{name} must hold at least one word, got none")
    return N
