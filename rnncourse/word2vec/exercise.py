"""What the graded exercise on word2vec asks, and how an answer is judged."""

from functools import partial

import numpy as np

from rnncourse.grading.check import Parity, Property, draw_sizes
from rnncourse.testing import numerical_gradient
from rnncourse.word2vec.mutants import CBOW, NEGATIVE
from rnncourse.word2vec.numpy import (
    Word2VecParams,
    cbow_loss,
    negative_sampling_loss,
    noise_distribution,
    shifted_pmi,
)


def _draw_params(rng, V, E):
    return Word2VecParams(rng.normal(size=(V, E)), rng.normal(size=(V, E)))


def _draw_pairs(rng):
    V, E, M, N = draw_sizes(rng)
    # More pairs than words, so that words repeat.
    N += V
    return _draw_params(rng, V, E), rng.integers(0, V, N), rng.integers(0, V, N), rng.integers(0, V, (N, M))


def _draw_cbow(rng):
    V, E, C, N = draw_sizes(rng)
    N += V
    inside = rng.random((N, C)) < 0.6
    inside[:, 0] = True
    inside[0, 1] = False
    return _draw_params(rng, V, E), rng.integers(0, V, (N, C)), inside, rng.integers(0, V, N)


def sampled_loss_without_hits(x, counts, k, noise):
    """Expected loss of negative sampling that draws again when it draws the context itself.

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
        x = answer(counts.copy(), k, noise.copy())
        if np.shape(x) != (V, V):
            raise AssertionError(f"return an array of shape (V, V) = ({V}, {V}), got {np.shape(x)}")
        if np.allclose(x, shifted_pmi(counts, k, noise), rtol=0, atol=1e-9):
            raise AssertionError(
                "this is the optimum when a negative may be the context itself: how often is each word "
                "drawn for the centre i if it never may?"
            )
        x = np.asarray(x, float)
        loss = partial(sampled_loss_without_hits, counts=counts, k=k, noise=noise)
        slope = np.abs(numerical_gradient(loss, x)).max()
        if not slope < 1e-8:
            raise AssertionError(f"at your x the expected loss still has a slope of {slope:.1e}")


def _judge_counts(answer, rng):
    for _ in range(3):
        a, k = int(rng.integers(2, 9)), int(rng.integers(2, 16))
        given = answer(a, k)
        if not (isinstance(given, tuple) and len(given) == 4):
            raise AssertionError("return the tuple (pair, centre, context, total)")
        if not all(isinstance(n, int | np.integer) and n > 0 for n in given):
            raise AssertionError(f"all four counts must be integers above 0, got {given}")
        pair, centre, context, total = map(int, given)
        if pair > min(centre, context):
            raise AssertionError(f"the pair occurs {pair} times, more often than one of its words")
        if centre + context - pair > total:
            raise AssertionError(
                f"{centre} + {context} - {pair} pairs hold one of the words, more than {total}"
            )
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


QUESTIONS = {
    "q1": Parity(negative_sampling_loss, _draw_pairs, ("loss", "dparams"), NEGATIVE),
    "q2": Parity(cbow_loss, _draw_cbow, ("loss", "dparams"), CBOW),
    "q3": Property(_judge_counts),
    "q4": Property(_judge_without_hits),
    "q5": Property(_judge_frozen),
}
