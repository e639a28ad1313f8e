"""What the graded exercise on similarity asks, and how an answer is judged."""

from functools import partial

import numpy as np

from rnncourse.grading.check import Parity, Property
from rnncourse.grading.mutant import Mutant
from rnncourse.similarity.numpy import unit
from rnncourse.similarity.tsne import find_beta, neighbour_distribution, squared_distances
from rnncourse.testing import numerical_gradient, relative_error


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


def _judge_answer(given, rng):
    changed, wrong = 0, []
    for _ in range(40):
        vectors, a, b, c = _draw_words(rng)
        got, right = given(vectors.copy(), a, b, c), answer(vectors, a, b, c)
        changed += scores_of(vectors, a, b, c).argmax() != right
        if np.size(got) != 1 or int(got) != right:
            wrong.append((got, (a, b, c)))
    if wrong:
        got, question = wrong[0]
        inside = sum(np.size(g) == 1 and int(g) in q for g, q in wrong)
        if inside == len(wrong):
            raise AssertionError(
                f"your answer to the question {question} is {got}, a word of the question; the best other "
                "word is asked for"
            )
        raise AssertionError(f"your answer to {question} is {got}: {len(wrong)} of 40 answers are wrong")


def row_probabilities(squares, perplexity):
    """Shares of one point's neighbours with the given perplexity."""
    beta = find_beta(squares[None], perplexity)
    return neighbour_distribution(squares[None], beta)[0][0]


def _draw_row(rng):
    m = int(rng.integers(6, 30))
    squares = rng.uniform(0.1, 1, m) * 10 ** rng.uniform(-3, 3)
    return squares, float(rng.uniform(1.5, m - 1.5))


ROWS = (
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


def gradient(p, y):
    """Gradient of the cost of t-SNE by the positions, written with matrices."""
    w = 1 / (1 + squared_distances(y, y))
    np.fill_diagonal(w, 0)
    q = w / w.sum()
    force = (p - q) * w
    return 4 * (force.sum(axis=1, keepdims=True) * y - force @ y)


def _draw_map(rng):
    n = int(rng.integers(5, 12))
    p = rng.random((n, n)) ** 3
    np.fill_diagonal(p, 0)
    p += p.T
    return p / p.sum(), rng.normal(size=(n, 2))


GRADIENT = (
    Mutant(
        "kernel missing",
        gradient,
        "force = (p - q) * w",
        "force = (p - q) * 1.0",
        agrees="all points at one place",
        hint="Your gradient lacks the factor w_ij, the derivative of the logarithm of the kernel.",
        label="similarity-gradient",
    ),
    Mutant(
        "half the gradient",
        gradient,
        "4 * (force",
        "2 * (force",
        agrees="p equals q",
        hint="Your gradient is half of the right one: y_i stands in d_ij and in d_ji.",
        label="similarity-gradient",
    ),
    Mutant(
        "uphill",
        gradient,
        "(p - q)",
        "(q - p)",
        agrees="p equals q",
        hint="Your gradient has the wrong sign: where p is larger than q the points attract each other.",
        label="similarity-gradient",
    ),
    Mutant(
        "own share counted",
        gradient,
        "np.fill_diagonal(w, 0)",
        "np.fill_diagonal(w, 1)",
        agrees="very many points",
        hint="Your q gives a share to each point with itself: w_ii is 0.",
        label="similarity-student",
    ),
)


def tailed_cost(p, y, alpha):
    """The cost of question 4: t-SNE with alpha degrees of freedom in the place of one."""
    squares = squared_distances(y, y)
    w = (1 + squares / alpha) ** (-(alpha + 1) / 2)
    np.fill_diagonal(w, 0)
    q, off = w / w.sum(), ~np.eye(len(y), dtype=bool)
    return float((p[off] * np.log(p[off] / q[off])).sum())


def _judge_tailed_gradient(given, rng):
    for alpha in (1.0, float(rng.uniform(0.4, 0.9)), float(rng.uniform(1.5, 4))):
        p, y = _draw_map(rng)
        got = given(p.copy(), y.copy(), alpha)
        if np.shape(got) != y.shape:
            raise AssertionError(f"return an array of the shape of y, {y.shape}, got {np.shape(got)}")
        error = relative_error(got, numerical_gradient(partial(tailed_cost, p, alpha=alpha), y))
        if not error < 1e-7:
            raise AssertionError(
                f"at alpha = {alpha:.2f} the gradient differs from the central differences of the cost: "
                f"relative error {error:.1e}"
            )


def mean_pair_cosine(vectors):
    """Mean cosine of all pairs of different rows."""
    total = unit(vectors).sum(axis=0)
    n = len(vectors)
    return float((total @ total - n) / (n * (n - 1)))


def _judge_culprit(given, rng):
    for _ in range(4):
        n, E = int(rng.integers(300, 500)), int(rng.integers(8, 20))
        common = rng.normal(size=E)
        # Random pairs have a mean cosine of some 0.4 to 0.5.
        vectors = rng.normal(size=(n, E)) + 0.9 * np.sqrt(E) * common / np.linalg.norm(common)
        got = np.asarray(given(vectors.copy()))
        if got.shape != (E,):
            raise AssertionError(f"return one vector of shape {(E,)}, got {got.shape}")
        if np.linalg.norm(vectors - got, axis=1).min() < 1e-9:
            raise AssertionError("your vector is one of the words: taken away, it leaves a zero vector")
        before, after = mean_pair_cosine(vectors), mean_pair_cosine(vectors - got)
        if abs(after) > 0.02:
            raise AssertionError(
                f"random pairs have the mean cosine {before:.2f}; with your vector taken away from all it "
                f"is {after:.2f}, it should be within 0.02 of zero"
            )


QUESTIONS = {
    "q1": Parity(scores_of, _draw_words, ("scores",), SCORES),
    "q2": Property(_judge_answer),
    "q3": Parity(row_probabilities, _draw_row, ("p",), ROWS),
    "q4": Parity(gradient, _draw_map, ("gradient",), GRADIENT),
    "q5": Property(_judge_tailed_gradient),
    "q6": Property(_judge_culprit),
}
