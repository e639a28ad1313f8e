"""What the graded exercise on similarity asks, and how an answer is judged."""

from functools import cache, partial

import numpy as np

from rnncourse.data.tales import tales_text
from rnncourse.data.words import split_sentences
from rnncourse.grading.check import Each, Parity, Property
from rnncourse.grading.mutant import Mutant
from rnncourse.similarity.experiment import mean_pair_cosine
from rnncourse.similarity.tsne import find_beta, neighbour_distribution
from rnncourse.similarity.vectors import count_vectors
from rnncourse.testing import relative_error


def answer(vectors, a, b, c):
    """Id of the best answer to "a is to b as c is to ?" by 3CosAdd; the three words are left out."""
    hats = vectors / np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    scores = hats @ (hats[b] - hats[a] + hats[c])
    scores[[a, b, c]] = -np.inf
    return int(scores.argmax())


def _draw_words(rng):
    # Lengths differ much, so that they matter; the answer to a question is often one of its words.
    V = int(rng.integers(20, 40))
    vectors = rng.normal(size=(V, 4)) * np.exp(rng.normal(size=(V, 1)))
    return vectors, *(int(i) for i in rng.permutation(V)[:3])


def scores_of(vectors, a, b, c):
    """All scores of 3CosAdd, before anything is left out."""
    hats = vectors / np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    return hats @ (hats[b] - hats[a] + hats[c])


SCORES = (
    Mutant(
        "lengths left in",
        scores_of,
        "hats = vectors / np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))",
        "hats = vectors * 1.0",
        agrees="vectors of length 1",
        hint="Your scores grow with the lengths of the vectors: scale each to length 1 first.",
        label="similarity-add",
    ),
    Mutant(
        "a and b swapped",
        scores_of,
        "hats[b] - hats[a] + hats[c]",
        "hats[a] - hats[b] + hats[c]",
        agrees="a equals b",
        hint='Your offset points backwards: "a is to b as c is to x" adds b and takes a away.',
        label="similarity-add",
    ),
    Mutant(
        "c forgotten",
        scores_of,
        "hats[b] - hats[a] + hats[c]",
        "hats[b] - hats[a]",
        agrees="c at right angles",
        hint="Your target is the offset alone: it starts at c.",
        label="similarity-add",
    ),
)


def _draw_close_words(rng):
    # The question's words lie together, all others behind them: every score that counts is below zero.
    V = int(rng.integers(20, 40))
    ahead = np.array([3.0, 0, 0, 0])
    vectors = rng.normal(size=(V, 4)) - ahead
    a, b, c = (int(i) for i in rng.permutation(V)[:3])
    vectors[[a, b, c]] = ahead + 0.3 * rng.normal(size=(3, 4))
    return vectors, a, b, c


def _judge_answer(given, rng):
    wrong = []
    for draw in [_draw_words] * 30 + [_draw_close_words] * 10:
        vectors, a, b, c = draw(rng)
        got, right = given(vectors.copy(), a, b, c), answer(vectors, a, b, c)
        if np.size(got) != 1:
            raise AssertionError(f"return one id, an integer, got {got!r}")
        got = int(np.ravel(got)[0])
        if got != right:
            wrong.append((got, (a, b, c)))
    if wrong:
        got, question = wrong[0]
        if all(g in q for g, q in wrong):
            raise AssertionError(
                f"your answer to the question {question} is {got}, a word of the question; the best other "
                "word is asked for"
            )
        raise AssertionError(f"your answer to {question} is {got}: {len(wrong)} of 40 answers are wrong")


def row_probabilities(squares, perplexity):
    """Shares of one point's neighbours with the given perplexity."""
    beta = find_beta(squares[None], perplexity)
    return neighbour_distribution(squares[None], beta)[0][0]


def _draw_row(rng, scale=1.0, least=0.0):
    m = int(rng.integers(6, 30))
    return least + scale * rng.uniform(0.1, 1, m), float(rng.uniform(1.5, m - 1.5))


ROWS = (
    Mutant(
        "spread too wide",
        row_probabilities,
        "find_beta(squares[None], perplexity)",
        "find_beta(squares[None], (perplexity + len(squares)) / 2)",
        agrees="equal distances",
        hint="Your shares are spread over too many neighbours: the exponential of their entropy must be the "
        "perplexity.",
        label="similarity-perplexity",
    ),
    Mutant(
        "perplexity in bits",
        row_probabilities,
        "find_beta(squares[None], perplexity)",
        "find_beta(squares[None], perplexity ** np.log(2))",
        agrees="equal distances",
        hint="Your entropy mixes bases: with natural logarithms it must be ln(perplexity), with log2 "
        "log2(perplexity).",
        label="similarity-perplexity",
    ),
    Mutant(
        "distances not squared",
        row_probabilities,
        "find_beta(squares[None], perplexity)\n    return neighbour_distribution(squares[None], beta)",
        "find_beta(np.sqrt(squares[None]), perplexity)\n"
        "    return neighbour_distribution(np.sqrt(squares[None]), beta)",
        agrees="equal distances",
        hint="Your Gaussian falls with the distance, not with its square: `squares` are squared already.",
        label="similarity-conditional",
    ),
)


def _row(scale, least):
    draw = partial(_draw_row, scale=scale, least=least)
    return Parity(row_probabilities, draw, ("p",), ROWS if not least else ())


def _draw_map(rng):
    n = int(rng.integers(5, 12))
    p = rng.random((n, n)) ** 3
    np.fill_diagonal(p, 0)
    p += p.T
    return p / p.sum(), rng.normal(size=(n, 2))


def tailed_cost(p, y, alpha):
    """The cost of question 4: t-SNE with alpha degrees of freedom in the place of one."""
    squares = ((y[:, None] - y) ** 2).sum(axis=2)
    w = (1 + squares / alpha) ** (-(alpha + 1) / 2)
    np.fill_diagonal(w, 0)
    q, off = w / w.sum(), ~np.eye(len(y), dtype=bool)
    return (p[off] * np.log(p[off] / q[off])).sum()


def _slope(p, y, alpha, i, k, step=1e-30):
    # A step along the imaginary axis takes no difference, so it has no rounding error.
    moved = y.astype(complex)
    moved[i, k] += 1j * step
    return tailed_cost(p, moved, alpha).imag / step


def _judge_tailed_gradient(given, rng):
    for alpha in (1.0, float(rng.uniform(0.4, 0.9)), float(rng.uniform(1.5, 4))):
        p, y = _draw_map(rng)
        got = given(p.copy(), y.copy(), alpha)
        if np.shape(got) != y.shape:
            raise AssertionError(f"return an array of the shape of y, {y.shape}, got {np.shape(got)}")
        expected = np.array([[_slope(p, y, alpha, i, k) for k in range(2)] for i in range(len(y))])
        for factor, slip in SLIPS:
            if relative_error(np.asarray(got), factor * expected) < 1e-7 < abs(factor - 1):
                raise AssertionError(f"at alpha = {alpha:.2f} your gradient is {slip} the right one")
        error = relative_error(got, expected)
        if not error < 1e-11:
            where = "" if alpha == 1 else "; at alpha = 1 it is right, so look where alpha comes in"
            near = "" if error > 1e-6 else "; nearly right: differences of the cost are not exact enough"
            raise AssertionError(
                f"at alpha = {alpha:.2f} the gradient has a relative error of {error:.1e}{near or where}"
            )


SLIPS = ((-1.0, "minus"), (0.5, "half"), (2.0, "twice"), (0.25, "a quarter of"))


@cache
def _tales():
    return count_vectors(split_sentences(tales_text()), E=20, power=1.0).vectors


def _draw_rows(rng):
    # Numbers that lean to one side, turned; the first rows are longer. No direction is named here.
    n, E = int(rng.integers(300, 500)), int(rng.integers(8, 20))
    turn, _ = np.linalg.qr(rng.normal(size=(E, E)))
    return rng.uniform(-0.25, 1, (n, E)) @ turn * np.geomspace(1.5, 1 / 1.5, n)[:, None]


def _judge_culprit(given, rng):
    for vectors in (_tales(), *(_draw_rows(rng) for _ in range(3))):
        E = vectors.shape[1]
        got = np.asarray(given(vectors.copy()))
        if got.shape != (E,):
            raise AssertionError(f"return one vector of shape {(E,)}, got {got.shape}")
        if np.linalg.norm(vectors - got, axis=1).min() < 1e-9:
            raise AssertionError("your vector is one of the words: taken away, it leaves a zero vector")
        before, after = mean_pair_cosine(vectors), mean_pair_cosine(vectors - got)
        if not abs(after) < 0.02:
            raise AssertionError(
                f"random pairs have the mean cosine {before:.2f}; with your vector taken away from all it "
                f"is {after:.2f}, it should be within 0.02 of zero"
            )


QUESTIONS = {
    "q1": Parity(scores_of, _draw_words, ("scores",), SCORES),
    "q2": Property(_judge_answer),
    # Thousandths, ones, thousands, and small differences of large numbers: each time.
    "q3": Each((_row(1.0, 0.0), _row(1e-3, 0.0), _row(1e3, 0.0), _row(1.0, 5000.0))),
    "q4": Property(_judge_tailed_gradient),
    "q5": Property(_judge_culprit),
}
