"""What the graded exercise on sequences asks, and how an answer is judged."""

import itertools

import numpy as np

from rnncourse._checks import check_positive
from rnncourse._numerics import one_hot
from rnncourse.bptt.numpy import cross_entropy_backward
from rnncourse.grading.check import Parity, Property, draw_sizes, restoring
from rnncourse.optim import Adam
from rnncourse.rnn.numpy import cross_entropy_forward
from rnncourse.sequences.mutants import BOUND, DELAY, DELAY_BACK, JORDAN
from rnncourse.sequences.numpy import (
    DelayCache,
    JordanParams,
    delay_backward,
    delay_forward,
    delay_init,
    jordan_backward,
    jordan_forward,
    jordan_init,
    window_optimum,
)
from rnncourse.training.numpy import train


def _draw_source(rng):
    # A window shorter than the longest past, and some strings that never occur.
    T = int(rng.integers(4, 6))
    sequences = np.array(list(itertools.product(range(2), repeat=T)))
    kept = rng.permutation(len(sequences))[: len(sequences) - 3]
    return sequences[kept], rng.dirichlet(0.5 * np.ones(len(kept))), int(rng.integers(1, T - 1))


def _draw_delay(rng):
    # At least two delays, overlapping windows, biases that are not zero.
    T, B, D, H = draw_sizes(rng)
    n = int(rng.integers(2, 4))
    return rng.normal(size=(T + n, B, D)), delay_init(rng, D, H, n)


def _draw_delay_back(rng):
    x, params = _draw_delay(rng)
    H, _, n = params.weight.shape
    return rng.normal(size=(len(x) - n + 1, x.shape[1], H)), x, params


def _draw_jordan(rng):
    T, B, D, H = draw_sizes(rng)
    V = int(rng.integers(2, 5))
    params = JordanParams(*(3 * p for p in jordan_init(rng, D, H, V)))
    # A decay far from one half, or it could be taken for 1 - alpha.
    x, c_0 = rng.normal(size=(T, B, D)), rng.random((B, V))
    return x, c_0, params, float(rng.uniform(0.7, 0.95)), one_hot(rng.integers(0, V, (T, B)), V)


def _call_jordan(forward, x, c_0, params, alpha, teacher):
    return tuple(forward(x, c_0, params, alpha, taught)[0] for taught in (None, teacher))


def draw_brackets(rng, T, B, openers, closers):
    """Sequences that open with one of some letters, go on with filler and ask at the end which it was.

    Parameters
    ----------
    rng : np.random.Generator
    T, B : int
        Steps, the first and the last included, at least 3, and sequences.
    openers : sequence of int
        Input ids that may stand first. Filler is 0 and the question at the end is 1.
    closers : sequence of int
        The output class that answers each opener. Class 0 is for "nothing to say".

    Returns
    -------
    x, y : (T, B) arrays of int
        Inputs and targets; the targets are 0 but for the last.

    Raises
    ------
    ValueError
        If there are fewer than 3 steps, no sequence, or not one closer for each opener.
    """
    check_positive("T", T)
    check_positive("B", B)
    if T < 3:
        raise ValueError(f"T must be at least 3, got {T}")
    if not openers or len(closers) != len(openers):
        raise ValueError(
            f"closers must be as many as openers, at least one, got {len(closers)} and {len(openers)}"
        )
    chosen = rng.integers(0, len(openers), B)
    x, y = np.zeros((2, T, B), int)
    x[0], x[-1], y[-1] = np.array(openers)[chosen], 1, np.array(closers)[chosen]
    return x, y


def train_jordan(retarget, seed, T, openers, closers, H=16, B=32, steps=400):
    """Train a Jordan network, teacher-forced and without decay, and test it on its own outputs.

    Parameters
    ----------
    retarget : callable
        ``retarget(x, y)`` returns the targets that are taught in place of `y`.
    seed : int
    T, openers, closers
        As in :func:`draw_brackets`.
    H, B, steps : int
        Hidden units, batch size, steps of Adam with rate 0.02.

    Returns
    -------
    taught, own : float
        Share of right answers at the last step on 500 fresh sequences, under the teacher and free-running.
    """
    rng = np.random.default_rng(seed)
    D, V = max(openers) + 1, max(closers) + 1
    zero = np.zeros((B, V))

    def batches():
        while True:
            x, y = draw_brackets(rng, T, B, openers, closers)
            yield one_hot(x, D), np.asarray(retarget(x.copy(), y.copy()))

    def loss(params, batch):
        x, y = batch
        logits, _, cache = jordan_forward(x, zero, params, 0.0, one_hot(y, V))
        value, loss_cache = cross_entropy_forward(logits, y)
        return value, jordan_backward(cross_entropy_backward(1.0, loss_cache), zero, cache)[2]

    params = train(loss, jordan_init(rng, D, H, V), batches(), Adam(0.02), steps=steps, progress=False).params
    x, y = draw_brackets(rng, T, 500, openers, closers)
    teacher = one_hot(np.asarray(retarget(x.copy(), y.copy())), V)
    shares = []
    for fed in (teacher, None):
        logits, _, _ = jordan_forward(one_hot(x, D), np.zeros((500, V)), params, 0.0, fed)
        shares.append(float((logits[-1].argmax(-1) == y[-1]).mean()))
    return tuple(shares)


def draw_letters(rng):
    """Length, openers and closers of a task: 2 to 4 letters, answered by classes in any order.

    Two of the letters are the same modulo the number of classes: a code made of the letter alone,
    which does not name the answer, fails.
    """
    count = int(rng.integers(2, 5))
    first = int(rng.integers(2, 5))
    twin = first + count + 1
    others = [i for i in rng.permutation(np.arange(2, 11)).tolist() if i not in (first, twin)]
    openers = rng.permutation([first, twin, *others[: count - 2]])
    return int(rng.integers(5, 12)), openers.tolist(), (1 + rng.permutation(count)).tolist()


def _judge_targets(answer, rng):
    for _ in range(2):
        T, openers, closers = draw_letters(rng)
        x, y = draw_brackets(rng, T, 20, openers, closers)
        given_x, given_y = x.copy(), y.copy()
        given = np.asarray(restoring(answer)(given_x, given_y))
        if (given_x != x).any() or (given_y != y).any():
            raise AssertionError("your function changes one of its arguments in place: work on a copy")
        if given.shape != y.shape or given.dtype.kind not in "iu":
            raise AssertionError(f"return integers of the shape of y, {y.shape}, got {given.shape}")
        if (given[-1] != y[-1]).any():
            raise AssertionError("the targets of the last step are the question: leave them as they are")
        if given.min() < 0 or given.max() > max(closers):
            raise AssertionError(f"use the classes 0 .. {max(closers)} that the network has")
        _, own = train_jordan(answer, int(rng.integers(2**31)), T, openers, closers)
        if own < 0.95:
            raise AssertionError(
                f"{T} steps, {len(openers)} letters: on its own outputs the network answers {own:.0%} of the "
                "questions; 95% are asked for. What does it have at a step, and where did that come from?"
            )


QUESTIONS = {
    "q1": Parity(window_optimum, _draw_source, ("loss", "accuracy"), BOUND),
    "q2": Parity(delay_forward, _draw_delay, ("a",), DELAY, lambda f, *arguments: f(*arguments)[0]),
    "q3": Parity(
        delay_backward,
        _draw_delay_back,
        ("dx", "dparams"),
        DELAY_BACK,
        lambda f, da, x, params: f(da, DelayCache(x, params)),
    ),
    "q4": Parity(jordan_forward, _draw_jordan, ("own", "taught"), JORDAN, _call_jordan),
    "q5": Property(_judge_targets),
}
