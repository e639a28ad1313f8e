"""What the graded exercise on the recurrent network asks, and how an answer is judged."""

import numpy as np

from rnncourse.grading.check import Parity, Property, draw_sizes
from rnncourse.rnn.machines import parity_machine
from rnncourse.rnn.mutants import FORWARD, LOSS, STEP
from rnncourse.rnn.numpy import (
    OutputParams,
    RNNParams,
    cross_entropy_forward,
    output_forward,
    rnn_forward,
    rnn_init,
    rnn_step,
)


def draw_sequence(rng, T=None):
    """Inputs, initial state and parameters of a network of random sizes; with `T`, of that length."""
    drawn_T, B, D, H = draw_sizes(rng)
    return rng.normal(size=(T or drawn_T, B, D)), rng.normal(size=(B, H)), rnn_init(rng, D, H)


def _draw_step(rng):
    x, h, params = draw_sequence(rng)
    return x[0], h, params


def _draw_loss(rng):
    T, B, V, _ = draw_sizes(rng)
    lengths = rng.integers(1, T + 1, B)
    lengths[0], lengths[-1] = T, T - 1  # padding in every draw
    mask = np.arange(T)[:, None] < lengths
    logits = 3 * rng.normal(size=(T, B, V))
    logits[0, 0, 0] = 1000  # its exponential overflows, in every draw
    return logits, rng.integers(0, V, (T, B)), mask


def run_machine(bits, params, output_params):
    """Outputs (T,) of a ReLU network with one input and one output on a string of bits, from a zero state."""
    H = len(params.bias_hh)
    x = np.asarray(bits, float)[:, None, None]
    states, _, _ = rnn_forward(x, np.zeros((1, H)), params, "relu")
    return output_forward(states, output_params)[0][:, 0, 0]


def scaled_machine(scale):
    """The parity machine with its recurrent matrix times `scale`."""
    params, output_params = parity_machine()
    return params._replace(weight_hh=scale * params.weight_hh), output_params


def _judge_detector(answer, rng):
    for _ in range(5):
        c = float(rng.uniform(0.5, 3))
        returned = answer(c)
        kinds = [type(part) for part in returned] if isinstance(returned, tuple) else []
        if kinds != [RNNParams, OutputParams]:
            raise AssertionError("return RNNParams and OutputParams, in this order")
        params, output_params = (type(part)(*map(np.asarray, part)) for part in returned)
        bits = rng.integers(0, 2, 200)
        try:
            outputs = run_machine(bits, params, output_params)
        except ValueError as error:
            raise AssertionError(str(error)) from None
        expected = c * (np.diff(bits, prepend=0) != 0)
        wrong = np.flatnonzero(np.abs(outputs - expected) > 1e-9)
        if wrong.size:
            t = wrong[0]
            before = bits[t - 1] if t else 0
            raise AssertionError(
                f"with c = {c:.3f}, at step {t + 1} the bit before is {before} and the bit is {bits[t]}: "
                f"the output {outputs[t]:.3f} does not say so"
            )


def _first_wrong(bits, scale):
    """Index of the first bit after which the rounded output is not the parity, or None."""
    said = run_machine(bits, *scaled_machine(scale)) > 0.5
    wrong = np.flatnonzero(said != np.cumsum(bits) % 2)
    return int(wrong[0]) if wrong.size else None


def _judge_leak(answer, rng):
    for scale in rng.uniform(0.9, 0.999, 10):
        zeros = answer(float(scale))
        if isinstance(zeros, bool) or not isinstance(zeros, int | np.integer):
            raise AssertionError(f"return a whole number of zeros, got {zeros!r}")
        right = _first_wrong([1] + [0] * 2000, scale)
        if zeros != right:
            many = "few" if zeros < right else "many"
            raise AssertionError(
                f"with W_hh times {scale:.4f}, {zeros} zeros are too {many}: "
                "what does one zero do to the output?"
            )


def _judge_breaker(answer, rng):
    for scale in rng.uniform(1.005, 1.05, 10):
        bits = answer(float(scale))
        bits = np.array([int(bit) for bit in bits] if isinstance(bits, str) else bits)
        if bits.ndim != 1 or not 0 < len(bits) <= 5000 or not np.isin(bits, (0, 1)).all():
            raise AssertionError("return a list of 1 to 5,000 bits, each the number 0 or 1")
        if _first_wrong(bits, scale) is None:
            error = np.abs(run_machine(bits, *scaled_machine(scale)) - np.cumsum(bits) % 2)
            raise AssertionError(
                f"with W_hh times {scale:.4f}, the machine reads your string without a mistake; its output "
                f"is furthest from the parity, by {error.max():.3f}, after bit {error.argmax() + 1}. Look "
                "for a state in which a small error grows and nothing folds it back"
            )


QUESTIONS = {
    "q1": Parity(rnn_step, _draw_step, ("h",), STEP),
    "q2": Parity(
        rnn_forward, draw_sequence, ("output", "h_T"), FORWARD, lambda f, *arguments: f(*arguments)[:2]
    ),
    "q3": Parity(cross_entropy_forward, _draw_loss, ("loss",), LOSS, lambda f, *arguments: f(*arguments)[0]),
    "q4": Property(_judge_detector),
    "q5": Property(_judge_leak),
    "q6": Property(_judge_breaker),
}
