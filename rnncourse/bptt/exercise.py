"""What the graded exercise on backpropagation through time asks, and how an answer is judged."""

import numpy as np

from rnncourse.bptt.mutants import BACKWARD, TRUNCATED
from rnncourse.bptt.numpy import rnn_backward, rnn_backward_truncated
from rnncourse.grading.check import Parity, Property
from rnncourse.grading.mutant import Mutant
from rnncourse.rnn.exercise import draw_sequence
from rnncourse.rnn.numpy import RNNCache, RNNParams, rnn_forward, rnn_step
from rnncourse.testing import numerical_gradient, relative_error


def _draw(rng, T=None):
    x, h_0, params = draw_sequence(rng, T)
    _, _, cache = rnn_forward(x, h_0, params)
    return rng.normal(size=cache.h[1:].shape), rng.normal(size=h_0.shape), x, cache.h, params


def _draw_step(rng):
    _, dh, x, h, params = _draw(rng)
    return dh, x[0], h[0], h[1], params


def _call_step(backward, dh, x_t, h_prev, h_t, params):
    dx, dh_prev, dparams = backward(
        dh[None], np.zeros_like(dh), RNNCache(x_t[None], np.stack([h_prev, h_t]), params, "tanh")
    )
    return dx[0], dh_prev, dparams


def _call_backward(backward, doutput, dh_T, x, h, params):
    return backward(doutput, dh_T, RNNCache(x, h, params, "tanh"))


def _draw_truncated(rng):
    # The last block is always shorter than the others, and windows overlap.
    k1 = int(rng.integers(2, 4))
    doutput, _, x, h, params = _draw(rng, T=k1 * int(rng.integers(2, 5)) + 1)
    return doutput, x, h, params, k1, k1 + int(rng.integers(1, 3))


def _call_truncated(truncated, doutput, x, h, params, k1, k2):
    return truncated(doutput, RNNCache(x, h, params, "tanh"), k1, k2)[2]


def leaky_forward(x, h_0, params, alpha):
    """States (T+1, B, H) of the leaky network, whose forward pass the question defines."""
    h = [h_0]
    for x_t in x:
        h.append((1 - alpha) * h[-1] + alpha * rnn_step(x_t, h[-1], params))
    return np.stack(h)


def _draw_leaky(rng):
    return *draw_sequence(rng), float(rng.uniform(0.2, 0.9))


LEAKY = (
    Mutant(
        "leak the wrong way round",
        leaky_forward,
        "(1 - alpha) * h[-1] + alpha *",
        "alpha * h[-1] + (1 - alpha) *",
        agrees="alpha one half",
        hint="Your leak is the wrong way round: alpha is the part of the new value.",
        label="rnn-state",
    ),
    Mutant(
        "no leak",
        leaky_forward,
        "(1 - alpha) * h[-1] + alpha *",
        "h[-1] + alpha *",
        agrees="zero state, one step",
        hint="Your state keeps all of the old value: only the part 1 - alpha of it stays.",
        label="rnn-state",
    ),
)


def _leaky_errors(answer, arguments, doutput):
    """Relative error of each gradient against central differences of the forward pass."""
    x, h_0, params, alpha = arguments
    result = answer(doutput, x, leaky_forward(*arguments), params, alpha)
    if not isinstance(result, tuple) or len(result) != 4 or len(result[2]) != len(params):
        raise AssertionError("return the tuple (dx, dh_0, dparams, dalpha), dparams an RNNParams")
    claimed = dict(
        zip(("x", "h_0", "alpha", *params._fields), (*result[:2], result[3], *result[2]), strict=True)
    )
    values = {"x": x, "h_0": h_0, "alpha": np.array(alpha), **params._asdict()}

    def loss(**values):
        weights = type(params)(*(values[name] for name in params._fields))
        return (leaky_forward(values["x"], values["h_0"], weights, values["alpha"])[1:] * doutput).sum()

    errors = {}
    for name, value in values.items():
        gradient = numerical_gradient(lambda v, name=name: loss(**{**values, name: v}), value)
        errors[name] = relative_error(claimed[name], gradient)
    return errors


def _judge_leaky_backward(answer, rng):
    single = _draw_leaky(rng)
    rounds = [(single[0][:1], *single[1:]), _draw_leaky(rng), _draw_leaky(rng)]
    for steps, arguments in zip(("one step", "several steps", "several steps"), rounds, strict=True):
        x, h_0, _, _ = arguments
        errors = _leaky_errors(answer, arguments, rng.normal(size=(len(x), *h_0.shape)))
        wrong = [name for name, error in errors.items() if not error < 1e-7]
        if wrong:
            right = ", ".join(sorted(errors.keys() - set(wrong))) or "none"
            raise AssertionError(
                f"with {steps}, the gradient of {', '.join(wrong)} differs from the central differences of "
                f"the forward pass (right: {right})"
            )


def recall_accuracy(params, lag, rng, T=4000):
    """How well a linear readout of the states says the bit of `lag` steps before, on fresh bits.

    The readout is fitted by least squares; no gradient reaches the recurrent weights. It sees the states with
    noise of standard deviation 0.01: without it, float64 would keep a bit readable long after it has faded.
    """
    H = len(params.bias_hh)
    bits = rng.integers(0, 2, T)
    output, _, _ = rnn_forward(bits[:, None, None].astype(float), np.zeros((1, H)), params)
    seen = output[lag:, 0] + 0.01 * rng.normal(size=(T - lag, H))
    states = np.column_stack([seen, np.ones(T - lag)])
    targets, half = 2.0 * bits[: T - lag] - 1, T // 2
    readout, *_ = np.linalg.lstsq(states[:half], targets[:half], rcond=None)
    return float((((states[half:] @ readout) > 0) == (targets[half:] > 0)).mean())


def _judge_keeper(answer, rng):
    for lag in rng.permutation(np.arange(8, 15))[:3]:
        params = answer(int(lag))
        if not isinstance(params, RNNParams):
            raise AssertionError(f"return RNNParams, got {type(params).__name__}")
        H = np.size(params.bias_hh)
        if H > lag + 1:
            raise AssertionError(f"use at most lag + 1 = {lag + 1} units, got {H}")
        accuracy = recall_accuracy(params, int(lag), rng)
        if accuracy < 0.95:
            raise AssertionError(
                f"from your states a linear readout recalls the bit of {lag} steps before in "
                f"{accuracy:.0%} of the cases; 95% are asked for: what keeps an old bit in the state, and "
                "apart from newer ones?"
            )


QUESTIONS = {
    "q1": Parity(rnn_backward, _draw_step, ("dx_t", "dh_prev", "dparams"), BACKWARD, _call_step),
    "q2": Parity(rnn_backward, _draw, ("dx", "dh_0", "dparams"), BACKWARD, _call_backward),
    "q3": Parity(rnn_backward_truncated, _draw_truncated, ("dparams",), TRUNCATED, _call_truncated),
    "q4": Parity(leaky_forward, _draw_leaky, ("h",), LEAKY),
    "q5": Property(_judge_leaky_backward),
    "q6": Property(_judge_keeper),
}
