"""What the graded exercise on stacks, directions and dropout asks, and how an answer is judged."""

import math

import numpy as np

from rnncourse.deep.mutants import BACKWARD, FORWARD, REVERSE
from rnncourse.deep.numpy import deep_backward, deep_forward, deep_init, reverse_sequences
from rnncourse.grading.check import Parity, Property, draw_sizes
from rnncourse.rnn.numpy import rnn_init


def _draw_lengths(rng, T, B):
    lengths = rng.integers(1, T + 1, B)
    lengths[0], lengths[-1] = T, T - 1  # padding in every draw
    return lengths


def _draw_reverse(rng):
    T, B, D, _ = draw_sizes(rng)
    return rng.normal(size=(T, B, D)), _draw_lengths(rng, T, B)


def _draw_layer(rng):
    T, B, D, H = draw_sizes(rng)
    x, lengths = rng.normal(size=(T, B, D)), _draw_lengths(rng, T, B)
    return x, lengths, rnn_init(rng, D, H), rnn_init(rng, D, H)


def _call_layer(function, x, lengths, forward, backward):
    return function(x, None, ((forward, backward),), lengths)[:2]


def _draw_layer_backward(rng):
    x, lengths, forward, backward = _draw_layer(rng)
    T, B, _ = x.shape
    H = len(forward.bias_hh)
    return rng.normal(size=(T, B, 2 * H)), rng.normal(size=(2, B, H)), x, lengths, forward, backward


def _call_layer_backward(function, doutput, dfinal, x, lengths, forward, backward):
    _, _, cache = deep_forward(x, None, ((forward, backward),), lengths)
    dx, _, dparams = function(doutput, dfinal, cache)
    return dx, *dparams[0]


def _without(bank, *names):
    return tuple(mutant for mutant in bank if mutant.name not in names)


def example_networks(rng, D, H=4):
    """Networks (T, 1, D) -> (T, 1, F) by name, and whether an output of theirs depends on a later input."""
    stack = deep_init(rng, "gru", D, H, 2)
    both = deep_init(rng, "gru", D, H, 1, bidirectional=True)

    def forward(x):
        return deep_forward(x, None, stack)[0]

    def one_ahead(x):
        return forward(np.concatenate([x[1:], 0 * x[:1]]))

    def ahead_at(step):
        def network(x):
            y = forward(x)
            y[step] += x[step + 1, :, :1]
            return y

        return network

    def two_ahead(x):
        return forward(x) + np.concatenate([x[2:], 0 * x[:2]])[..., :1]

    def last_feature_ahead(x):
        return forward(x) + np.concatenate([x[1:], 0 * x[:1]])[..., -1:]

    def faint(x):
        return forward(x) + 1e-6 * forward(x[::-1])[::-1]

    return {
        "a stack that reads forwards": (forward, False),
        "a bidirectional layer": (lambda x: deep_forward(x, None, both)[0], True),
        "a stack that reads one step ahead": (one_ahead, True),
        "a stack whose inputs are centred over all steps": (lambda x: forward(x - x.mean(0)), True),
        "a stack with a faint second direction": (faint, True),
        "a stack whose first output alone reads ahead": (ahead_at(0), True),
        "a stack whose last output but one alone reads ahead": (ahead_at(-2), True),
        "a stack that reads two steps ahead and not one": (two_ahead, True),
        "a stack that reads one feature ahead": (last_feature_ahead, True),
        "a stack of its input and the input before": (
            lambda x: forward(x + np.concatenate([0 * x[:1], x[:-1]])),
            False,
        ),
    }


def _judge_reads_ahead(answer, rng):
    for T in (3, 5, 8):
        D = int(rng.integers(2, 4))
        for name, (network, truth) in example_networks(rng, D).items():
            said = answer(network, T, D)
            if not isinstance(said, bool | np.bool_):
                raise AssertionError(f"return True or False, got {type(said).__name__}")
            if said != truth:
                raise AssertionError(
                    f"T = {T}: of {name} you say {bool(said)}. What changes in the outputs before step t "
                    "when input t changes, and how small may the change be?"
                )


def _moments(keep, T, fixed):
    """Mean and variance of a state after T steps, by going through how often it was kept."""
    values, chances = [], []
    for kept in range(T + 1):
        if fixed and 0 < kept < T:
            continue
        chance = keep if fixed else keep**kept
        if kept < T:
            chance = 1 - keep if fixed else math.comb(T, kept) * chance * (1 - keep) ** (T - kept)
        values.append((1 / keep) ** T if kept == T else 0.0)
        chances.append(chance)
    mean = sum(c * v for c, v in zip(chances, values, strict=True))
    return mean, sum(c * (v - mean) ** 2 for c, v in zip(chances, values, strict=True))


def _judge_moments(answer, rng):
    for T in (1, 2, int(rng.integers(3, 12)), int(rng.integers(30, 60))):
        keep = float(rng.uniform(0.5, 0.95))
        returned = answer(keep, T)
        if not isinstance(returned, tuple) or len(returned) != 4:
            raise AssertionError("return the tuple (fresh mean, fresh variance, fixed mean, fixed variance)")
        right = (*_moments(keep, T, False), *_moments(keep, T, True))
        names = "fresh mean", "fresh variance", "fixed mean", "fixed variance"
        for name, given, wanted in zip(names, returned, right, strict=True):
            if not abs(given - wanted) <= 1e-6 * abs(wanted):
                raise AssertionError(
                    f"keep = {keep:.3f}, T = {T}: the {name} is wrong. Which products of masks are not zero, "
                    "and how likely is each?"
                )


QUESTIONS = {
    "q1": Parity(reverse_sequences, _draw_reverse, ("reversed",), REVERSE),
    "q2": Parity(
        deep_forward,
        _draw_layer,
        ("output", "final"),
        _without(FORWARD, "states ordered by direction first", "dropout missing"),
        _call_layer,
    ),
    "q3": Parity(
        deep_backward,
        _draw_layer_backward,
        ("dx", "dforward", "dbackward"),
        _without(BACKWARD, "dropout missing on the way back"),
        _call_layer_backward,
    ),
    "q4": Property(_judge_reads_ahead),
    "q5": Property(_judge_moments),
}
