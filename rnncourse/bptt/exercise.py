"""What the graded exercise on backpropagation through time asks, and how an answer is judged."""

import numpy as np

from rnncourse.bptt.mutants import BACKWARD, TRUNCATED
from rnncourse.bptt.numpy import rnn_backward, rnn_backward_truncated
from rnncourse.grading.check import Parity, Property
from rnncourse.rnn.numpy import RNNCache, rnn_forward, rnn_init, rnn_step
from rnncourse.testing import numerical_gradient, relative_error


def _sizes(rng):
    return (int(size) for size in rng.permutation(np.arange(2, 7))[:4])


def _draw(rng):
    T, B, D, H = _sizes(rng)
    params = rnn_init(rng, D, H)
    x, h_0 = rng.normal(size=(T, B, D)), rng.normal(size=(B, H))
    h = rnn_forward(x, h_0, params)[2].h
    return rng.normal(size=(T, B, H)), rng.normal(size=(B, H)), x, h, params


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
    T = int(rng.integers(5, 12))
    _, B, D, H = _sizes(rng)
    params = rnn_init(rng, D, H)
    h = rnn_forward(rng.normal(size=(T, B, D)), rng.normal(size=(B, H)), params)[2]
    k1 = int(rng.integers(1, 4))
    return rng.normal(size=(T, B, H)), h.x, h.h, params, k1, k1 + int(rng.integers(0, 3))


def _call_truncated(truncated, doutput, x, h, params, k1, k2):
    return truncated(doutput, RNNCache(x, h, params, "tanh"), k1, k2)[2]


def leaky_forward(x, h_0, params, alpha):
    """States (T+1, B, H) of the leaky network, whose forward pass the question defines."""
    h = [h_0]
    for x_t in x:
        h.append((1 - alpha) * h[-1] + alpha * rnn_step(x_t, h[-1], params))
    return np.stack(h)


def _draw_leaky(rng):
    T, B, D, H = _sizes(rng)
    x, h_0 = rng.normal(size=(T, B, D)), rng.normal(size=(B, H))
    return x, h_0, rnn_init(rng, D, H), float(rng.uniform(0.2, 0.9))


def _judge_leaky_backward(answer, rng):
    names = ("dx", "dh_0", "dparams", "dalpha")
    for _ in range(3):
        x, h_0, params, alpha = _draw_leaky(rng)
        h = leaky_forward(x, h_0, params, alpha)
        doutput = rng.normal(size=h[1:].shape)
        result = answer(doutput, x, h, params, alpha)
        if not isinstance(result, tuple) or len(result) != len(names):
            raise AssertionError(f"return the tuple ({', '.join(names)})")
        dx, dh_0, dparams, dalpha = result
        arguments = {"x": x, "h_0": h_0, "alpha": np.array(alpha), **params._asdict()}
        claimed = {"x": dx, "h_0": dh_0, "alpha": dalpha}
        claimed |= dict(zip(params._fields, dparams, strict=True))

        def loss(name, value, arguments=arguments, params=params, doutput=doutput):
            given = arguments | {name: value}
            weights = type(params)(*(given[field] for field in params._fields))
            return (leaky_forward(given["x"], given["h_0"], weights, given["alpha"])[1:] * doutput).sum()

        for name, value in arguments.items():
            gradient = numerical_gradient(lambda v, name=name, loss=loss: loss(name, v), value)
            error = relative_error(np.asarray(claimed[name]), gradient)
            if not error < 1e-7:
                raise AssertionError(
                    f"the gradient of {name} differs from the central differences of the forward pass: "
                    f"relative error {error:.1e}"
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


def _judge_reservoir(answer, rng):
    for lag in rng.permutation(np.arange(8, 15))[:3]:
        params = answer(int(lag), rng)
        H = len(params.bias_hh)
        if H > 64:
            raise AssertionError(f"use at most 64 units, got {H}")
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
    "q4": Parity(leaky_forward, _draw_leaky, ("h",)),
    "q5": Property(_judge_leaky_backward),
    "q6": Property(_judge_reservoir),
}
