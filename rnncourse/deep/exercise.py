"""What the graded exercise on stacks, directions and dropout asks, and how an answer is judged."""

import math

import numpy as np

from rnncourse.bptt.numpy import rnn_backward
from rnncourse.deep.mutants import BACKWARD, FORWARD, REVERSE
from rnncourse.deep.numpy import deep_backward, deep_forward, deep_init, reverse_sequences
from rnncourse.grading.check import Parity, Property, draw_sizes
from rnncourse.grading.mutant import Mutant
from rnncourse.rnn.numpy import rnn_forward, rnn_init


def run_over_padding(x, lengths, forward, backward):
    """One bidirectional layer that runs on over the padding: what question 2 asks for."""
    h_0, last = np.zeros((x.shape[1], len(forward.bias_hh))), (lengths - 1, np.arange(len(lengths)))
    real = (np.arange(len(x))[:, None] < lengths)[..., None]
    right, _, _ = rnn_forward(x, h_0, forward)
    left, _, _ = rnn_forward(reverse_sequences(x, lengths), h_0, backward)
    final = np.stack([right[last], left[last]])
    output = np.concatenate([right, reverse_sequences(left, lengths)], axis=-1)
    return np.where(real, output, 0), final


def run_over_padding_backward(doutput, dfinal, x, lengths, forward, backward):
    """Its backward pass: what question 3 asks for."""
    h_0, last = np.zeros((x.shape[1], len(forward.bias_hh))), (lengths - 1, np.arange(len(lengths)))
    real = (np.arange(len(x))[:, None] < lengths)[..., None]
    right, left = np.split(np.where(real, doutput, 0), 2, axis=-1)
    left = reverse_sequences(left, lengths)
    right[last] += dfinal[0]
    left[last] += dfinal[1]
    _, _, cache = rnn_forward(x, h_0, forward)
    dx, _, dforward = rnn_backward(right, 0 * h_0, cache)
    _, _, cache = rnn_forward(reverse_sequences(x, lengths), h_0, backward)
    dx_left, _, dbackward = rnn_backward(left, 0 * h_0, cache)
    return dx + reverse_sequences(dx_left, lengths), dforward, dbackward


LAYER = (
    Mutant(
        "final states at step T",
        run_over_padding,
        "np.stack([right[last], left[last]])",
        "np.stack([right[-1], left[-1]])",
        agrees="equal lengths",
        hint="Your final states are those after step T: a shorter sequence has read padding by then. Take "
        "each sequence's state after its own n steps.",
        label="deep-bidirectional",
    ),
    Mutant(
        "backward final state from the last row",
        run_over_padding,
        "np.stack([right[last], left[last]])",
        "np.stack([right[last], reverse_sequences(left, lengths)[last]])",
        agrees="one step",
        hint="Your final state of the backward direction stands beside the forward one, at the last real "
        "step: there it has read one input only. It ends at the first step.",
        label="deep-bidirectional",
    ),
    Mutant(
        "padding not zeroed",
        run_over_padding,
        "np.where(real, output, 0)",
        "output",
        agrees="equal lengths",
        hint="Your outputs at padding are not zero: the states run on over it. Put zeros there.",
        label="deep-bidirectional",
    ),
)
LAYER_BACKWARD = (
    Mutant(
        "gradient of the final states at step T",
        run_over_padding_backward,
        "right[last] += dfinal[0]\n    left[last] += dfinal[1]",
        "right[-1] += dfinal[0]\n    left[-1] += dfinal[1]",
        agrees="equal lengths",
        hint="Your gradient of the final states enters at step T (as dh_T does): a shorter sequence ends "
        "earlier. Where is its final state an output?",
        label="deep-backward",
    ),
    Mutant(
        "gradient of the final states ignored",
        run_over_padding_backward,
        "right[last] += dfinal[0]\n    left[last] += dfinal[1]",
        "dfinal = None",
        agrees="no final cotangent",
        hint="Your gradients leave out that of the final states: it is added to the outputs' where each "
        "direction ends.",
        label="deep-backward",
    ),
    Mutant(
        "gradient of the backward final state at the wrong end",
        run_over_padding_backward,
        "left[last] += dfinal[1]",
        "left[0] += dfinal[1]",
        agrees="one step",
        hint="Your gradient of the backward final state enters at the last real step: that direction starts "
        "there. It ends at the first.",
        label="deep-backward",
    ),
    Mutant(
        "padding's cotangent counted",
        run_over_padding_backward,
        "np.where(real, doutput, 0)",
        "doutput.copy()",
        agrees="equal lengths",
        hint="Your gradients count what `doutput` holds at padding: the outputs there are constant zeros, so "
        "nothing goes back through them.",
        label="deep-backward",
    ),
)


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
    if function.__name__ == run_over_padding.__name__:  # mistakes of its own; the others are the package's
        return function(x, lengths, forward, backward)
    return function(x, None, ((forward, backward),), lengths)[:2]


def _draw_layer_backward(rng):
    x, lengths, forward, backward = _draw_layer(rng)
    T, B, _ = x.shape
    H = len(forward.bias_hh)
    return rng.normal(size=(T, B, 2 * H)), rng.normal(size=(2, B, H)), x, lengths, forward, backward


def _call_layer_backward(function, doutput, dfinal, x, lengths, forward, backward):
    if function.__name__ == run_over_padding_backward.__name__:
        return function(doutput, dfinal, x, lengths, forward, backward)
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
        LAYER + _without(FORWARD, "states ordered by direction first", "dropout missing"),
        _call_layer,
    ),
    "q3": Parity(
        deep_backward,
        _draw_layer_backward,
        ("dx", "dforward", "dbackward"),
        LAYER_BACKWARD + _without(BACKWARD, "dropout missing on the way back"),
        _call_layer_backward,
    ),
    "q4": Property(_judge_reads_ahead),
    "q5": Property(_judge_moments),
}
