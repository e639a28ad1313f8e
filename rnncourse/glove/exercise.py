"""What the graded exercise on GloVe asks, and how an answer is judged."""

import numpy as np

from rnncourse.glove.mutants import COST, COUNT, GRADIENT, WEIGHT
from rnncourse.glove.numpy import (
    Cooccurrence,
    GloVeParams,
    cooccurrence,
    dense,
    glove_backward,
    glove_forward,
    neighbours,
    weight,
)
from rnncourse.grading.check import Parity, Property, restoring


def _draw_weight(rng):
    x = rng.uniform(0, 20, int(rng.integers(6, 12)))
    x[int(rng.integers(len(x)))] = 0
    return (
        x,
        float(rng.uniform(2, 9)),
        float(rng.uniform(0.3, 0.9)),
    )


def _draw_sentences(rng):
    V = int(rng.integers(4, 7))
    lengths = int(rng.integers(3, 9)), 0, 1, int(rng.integers(2, 9)), int(rng.integers(3, 9))
    sentences = tuple(rng.integers(0, V, length) for length in lengths)
    return sentences, V, int(rng.integers(2, 5))


def _call_counts(count, sentences, V, window):
    return dense(count(sentences, V, window))


def draw_fit(rng, V=None, E=None):
    """A table of counts, half of its cells zero, and parameters."""
    V = V or int(rng.integers(5, 8))
    E = E or int(rng.integers(2, 5))
    X = rng.uniform(0.2, 9, (V, V)) * (rng.random((V, V)) < 0.5)
    X[0, 1] = 3.0
    return X, GloVeParams(*(rng.normal(size=shape) for shape in ((V, E), (V, E), V, V)))


def _cells(X):
    rows, columns = X.nonzero()
    return Cooccurrence(rows, columns, X[rows, columns], len(X))


def _draw_fit(rng):
    return *draw_fit(rng), float(rng.uniform(2, 7)), float(rng.uniform(0.3, 0.9))


def _call_cost(forward, X, params, x_max, exponent):
    return forward(_cells(X), params, x_max, exponent)[0]


def _call_gradient(backward, X, params, x_max, exponent):
    return tuple(backward(1.0, glove_forward(_cells(X), params, x_max, exponent)[1]))


def moved(params, others):
    """Share of the words whose nearest neighbour by ``weight_in`` is another one."""
    a, b = (neighbours(p.weight_in, 1)[:, 0] for p in (params, others))
    return float((a != b).mean())


def _judge_other(answer, rng):
    for _ in range(3):
        X, params = draw_fit(rng, V=int(rng.integers(50, 80)), E=int(rng.integers(8, 14)))
        given = GloVeParams(*(p.copy() for p in params))
        others = restoring(answer)(given)
        if not all(np.array_equal(a, b) for a, b in zip(given, params, strict=True)):
            raise AssertionError("your function changes its argument in place: work on a copy")
        if not isinstance(others, GloVeParams):
            raise AssertionError(f"return GloVeParams, got {type(others).__name__}")
        for name, given in params._asdict().items():
            own = np.asarray(getattr(others, name))
            if own.shape != given.shape or not np.isfinite(own).all():
                raise AssertionError(f"{name} must be finite and have shape {given.shape}, got {own.shape}")
        # Other tables than any that a student could have seen: the cost must agree for every one.
        for table in (X, draw_fit(rng, V=len(X))[0]):
            old, new = (glove_forward(_cells(table), p, 5.0)[0] for p in (params, others))
            if not abs(new - old) <= 1e-10 * old:
                raise AssertionError(
                    f"the cost must stay the same to 1e-10, it went from {old:.6g} to {new:.6g}"
                )
        share = moved(params, others)
        if share < 0.25:
            raise AssertionError(
                f"{share:.0%} of the words have another nearest neighbour, at least 25% are asked for: what "
                "have you changed that a cosine does not see?"
            )


QUESTIONS = {
    "q1": Parity(weight, _draw_weight, ("f",), WEIGHT),
    "q2": Parity(cooccurrence, _draw_sentences, ("X",), COUNT, _call_counts),
    "q3": Parity(glove_forward, _draw_fit, ("cost",), COST, _call_cost),
    "q4": Parity(glove_backward, _draw_fit, GloVeParams._fields, GRADIENT, _call_gradient),
    "q5": Property(_judge_other),
}
