"""What the graded exercise on word2vec asks, and how an answer is judged."""

from functools import partial

import numpy as np

from rnncourse._numerics import log_softmax, sigmoid
from rnncourse.grading.check import Parity, Property, draw_sizes
from rnncourse.grading.mutant import Mutant
from rnncourse.testing import numerical_gradient
from rnncourse.word2vec.numpy import (
    Word2VecParams,
    negative_sampling_loss,
    noise_distribution,
    shifted_pmi,
)


def _draw_params(rng, V, E):
    return Word2VecParams(rng.normal(size=(V, E)), rng.normal(size=(V, E)))


def weighted_negatives(params, centres, contexts, negatives, weights):
    """Negative sampling in which every negative has a weight of its own, and its gradient.

    Parameters
    ----------
    params : Word2VecParams
    centres, contexts : (N,) arrays of int
    negatives : (N, M) array of int
    weights : (N, M) array

    Returns
    -------
    loss : float
    dparams : Word2VecParams
    """
    loss, dweight_in, dweight_out = 0.0, *(np.zeros_like(p) for p in params)
    for i, j, drawn, weight in zip(centres, contexts, negatives, weights, strict=True):
        v = params.weight_in[i]
        for word, sign, w in [(j, -1, 1.0), *((n, 1, w) for n, w in zip(drawn, weight, strict=True))]:
            x = sign * (v @ params.weight_out[word])
            loss += w * np.logaddexp(0, x)
            dx = w * sign * sigmoid(x)
            dweight_in[i] += dx * params.weight_out[word]
            dweight_out[word] += dx * v
    N = len(centres)
    return loss / N, Word2VecParams(dweight_in / N, dweight_out / N)


def weighted_cbow(params, contexts, weights, targets):
    """CBOW with the full softmax, from a weighted mean of the words around, and its gradient.

    Parameters
    ----------
    params : Word2VecParams
    contexts : (N, C) array of int
    weights : (N, C) array
        At least 0, above 0 somewhere in each row; they are divided by their sum.
    targets : (N,) array of int

    Returns
    -------
    loss : float
    dparams : Word2VecParams
    """
    loss, dweight_in, dweight_out = 0.0, *(np.zeros_like(p) for p in params)
    for around, weight, j in zip(contexts, weights / weights.sum(1, keepdims=True), targets, strict=True):
        h = weight @ params.weight_in[around]
        logp = log_softmax(params.weight_out @ h)
        loss -= logp[j]
        dx = np.exp(logp) - (np.arange(len(logp)) == j)
        dweight_out += np.outer(dx, h)
        np.add.at(dweight_in, around, np.outer(weight, dx @ params.weight_out))
    N = len(targets)
    return loss / N, Word2VecParams(dweight_in / N, dweight_out / N)


def _draw_pairs(rng):
    V, E, M, N = draw_sizes(rng)
    # More pairs than words, so that words repeat.
    N += V
    weights = rng.uniform(0.2, 2, (N, M))
    return (
        _draw_params(rng, V, E),
        rng.integers(0, V, N),
        rng.integers(0, V, N),
        rng.integers(0, V, (N, M)),
        weights,
    )


def _draw_cbow(rng):
    V, E, C, N = draw_sizes(rng)
    N += V
    weights = rng.uniform(0.2, 2, (N, C)) * (rng.random((N, C)) < 0.6)
    weights[:, 0] = rng.uniform(0.2, 2, N)
    weights[0, 1] = 0
    return _draw_params(rng, V, E), rng.integers(0, V, (N, C)), weights, rng.integers(0, V, N)


def sampled_loss_without_hits(x, counts, k, noise):
    """Expected loss of negative sampling that draws again when it draws the context itself.

    It raises AssertionError while an answer is judged: the question asks for a formula.

    Parameters
    ----------
    x : (V, V) array
        Dot product of each centre (row) with each context (column).
    counts : (V, V) array
    k : int
    noise : (V,) array

    Returns
    -------
    float
    """
    if _JUDGING:
        raise AssertionError("the question asks for a formula: the answer must not call the loss")
    return _loss_without_hits(x, counts, k, noise)


_JUDGING = []


def _loss_without_hits(x, counts, k, noise):
    V, loss = len(counts), 0.0
    for j in range(V):
        rest = np.where(np.arange(V) == j, 0.0, noise)
        rest = rest / rest.sum()
        # The pairs (i, j) of every centre i: one pull each, k draws from what is left of the noise.
        pull = np.logaddexp(0, -x[:, j])
        push = k * np.logaddexp(0, x) @ rest
        loss += (counts[:, j] * (pull + push)).sum()
    return loss / counts.sum()


def _judge_without_hits(answer, rng):
    for _ in range(3):
        V, k = int(rng.integers(3, 6)), int(rng.integers(2, 16))
        counts = rng.integers(1, 20, (V, V)).astype(float)
        noise = noise_distribution(counts.sum(0))
        _JUDGING.append(True)
        try:
            x = answer(counts.copy(), k, noise.copy())
        finally:
            _JUDGING.pop()
        if np.shape(x) != (V, V):
            raise AssertionError(f"return an array of shape (V, V) = ({V}, {V}), got {np.shape(x)}")
        if np.allclose(x, shifted_pmi(counts, k, noise), rtol=0, atol=1e-9):
            raise AssertionError(
                "this is the optimum when a negative may be the context itself: how often is each word "
                "drawn for the centre i if it never may?"
            )
        x = np.asarray(x, float)
        # Far out, the differences below vanish in rounding.
        if not (np.abs(x) < 100).all():
            raise AssertionError(f"x has values up to {np.abs(x).max():.3g}")
        loss = partial(_loss_without_hits, counts=counts, k=k, noise=noise)
        slope = np.abs(numerical_gradient(loss, x)).max()
        # float32 and scipy's minimum leave some 1e-7; the wrong formulas tried leave above 1e-3.
        if not slope < 1e-6:
            raise AssertionError(f"at your x the expected loss still has a slope of {slope:.1e}")


def _judge_counts(answer, rng):
    for _ in range(3):
        a, k = int(rng.integers(2, 9)), int(rng.integers(2, 16))
        given = answer(a, k)
        if np.shape(given) != (4,):
            raise AssertionError("return the four numbers (pair, centre, context, total)")
        if not all(n == int(n) > 0 for n in given):
            raise AssertionError(f"all four counts must be whole numbers above 0, got {given}")
        pair, centre, context, total = map(int, given)
        if pair > min(centre, context):
            raise AssertionError(f"the pair occurs {pair} times, more often than one of its words")
        if centre + context - pair > total:
            raise AssertionError(
                f"{centre} + {context} - {pair} pairs hold one of the words, more than {total}"
            )
        if len({pair, centre, context}) < 3:
            raise AssertionError(f"pair, centre and context must be three different numbers, got {given}")
        if pair * total != a * k * centre * context:
            got = np.log(pair * total / (k * centre * context))
            raise AssertionError(f"for a = {a}, k = {k} your counts have the optimum {got:.4f}, not ln {a}")


def _judge_frozen(answer, rng):
    for _ in range(3):
        V, E = int(rng.integers(6, 10)), int(rng.integers(4, 8))
        r = int(rng.integers(1, E - 1))
        start = answer(rng, V, E, r)
        if not isinstance(start, Word2VecParams):
            raise AssertionError(f"return Word2VecParams, got {type(start).__name__}")
        for name, weight in start._asdict().items():
            if np.shape(weight) != (V, E):
                raise AssertionError(f"{name} must have shape (V, E) = ({V}, {E}), got {np.shape(weight)}")
        now = start
        for _ in range(30):
            pairs = rng.integers(0, V, (2, 40))
            _, d = negative_sampling_loss(now, *pairs, rng.integers(0, V, (40, 3)))
            now = Word2VecParams(*(p - 0.5 * g for p, g in zip(now, d, strict=True)))
        moved = [np.abs(a - b).max(axis=0) > 0 for a, b in zip(now, start, strict=True)]
        still = int((~(moved[0] | moved[1])).sum())
        if still != r:
            raise AssertionError(f"r = {r} columns should stay as they are in both matrices, {still} do")
        if (moved[0] != moved[1]).any():
            raise AssertionError("a column learns in one matrix and not in the other")


Q1 = (
    Mutant(
        "weights forgotten",
        weighted_negatives,
        "zip(drawn, weight, strict=True)",
        "((n, 1.0) for n in drawn)",
        agrees="weights of one",
        hint="Your negatives all have the weight 1: each has its own, in the loss and in the gradient.",
        label="word2vec-negative",
    ),
    Mutant(
        "summed over the pairs",
        weighted_negatives,
        "return loss / N, Word2VecParams(dweight_in / N, dweight_out / N)",
        "return loss, Word2VecParams(dweight_in, dweight_out)",
        agrees="one pair",
        hint="Your loss is the sum over the pairs: it must be their mean.",
        label="word2vec-negative",
    ),
    Mutant(
        "repeated words lost",
        weighted_negatives,
        "dweight_out[word] += dx * v",
        "dweight_out[word] = dx * v",
        agrees="words once each",
        hint="Your weight_out gradient keeps one term of each word: those of a repeated word add up.",
        label="word2vec-negative-gradient",
    ),
)
Q1 += (
    Mutant(
        "sign of the negatives",
        weighted_negatives,
        "((n, 1, w) for n, w in",
        "((n, -1, w) for n, w in",
        agrees="no negatives",
        hint="Your negatives are pulled towards the centre: the loss of a negative is -log sigmoid(-x).",
        label="word2vec-negative",
    ),
)
Q2 = (
    Mutant(
        "all of dh",
        weighted_cbow,
        "np.outer(weight, dx @ params.weight_out)",
        "np.outer(weight > 0, dx @ params.weight_out)",
        agrees="one word around",
        hint="Your words around get all of dh: each gets its share of the mean.",
        label="word2vec-cbow-gradient",
    ),
    Mutant(
        "plain mean",
        weighted_cbow,
        "weights / weights.sum(1, keepdims=True)",
        "(weights > 0) / (weights > 0).sum(1, keepdims=True)",
        agrees="weights of one",
        hint="Your mean counts all words around alike: each has its weight.",
        label="word2vec-cbow",
    ),
    Mutant(
        "sum in place of the mean",
        weighted_cbow,
        "weights / weights.sum(1, keepdims=True)",
        "weights",
        agrees="weights that sum to one",
        hint="Your hidden vector is the weighted sum: divide by the sum of the weights.",
        label="word2vec-cbow",
    ),
)

QUESTIONS = {
    "q1": Parity(weighted_negatives, _draw_pairs, ("loss", "dparams"), Q1),
    "q2": Parity(weighted_cbow, _draw_cbow, ("loss", "dparams"), Q2),
    "q3": Property(_judge_counts),
    "q4": Property(_judge_without_hits),
    "q5": Property(_judge_frozen),
}
