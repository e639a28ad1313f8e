"""What the graded exercise on the LSTM asks, and how an answer is judged."""

import numpy as np

from rnncourse.grading.check import Parity, Property, draw_sizes
from rnncourse.lstm.mutants import BACKWARD, PEEPHOLE, STEP
from rnncourse.lstm.numpy import LSTMCache, lstm_backward, lstm_forward, lstm_init, lstm_step
from rnncourse.lstm.variants import (
    PeepholeParams,
    VariantCache,
    peephole_backward,
    peephole_forward,
    variant_init,
)


def _draw_step(rng):
    T, B, D, H = draw_sizes(rng)
    return rng.normal(size=(B, D)), tuple(rng.normal(size=(2, B, H))), lstm_init(rng, D, H)


def _draw(rng, forward=lstm_forward, init=lstm_init, T=None):
    drawn_T, B, D, H = draw_sizes(rng)
    T = T or drawn_T
    params = init(rng, D, H)
    _, _, cache = forward(rng.normal(size=(T, B, D)), tuple(rng.normal(size=(2, B, H))), params)
    doutput, dstate = rng.normal(size=(T, B, H)), tuple(rng.normal(size=(2, B, H)))
    return doutput, dstate, cache.x, cache.h, cache.c, cache.gates, params


def _draw_one(rng):
    _, dstate, x, h, c, gates, params = _draw(rng, T=1)
    return *dstate, x[0], h[0], c[0], c[1], gates[0], params


def _call_one(backward, dh, dc, x_t, h_prev, c_prev, c_t, gates, params):
    h_t = gates[:, -h_prev.shape[1] :] * np.tanh(c_t)
    cache = LSTMCache(x_t[None], np.stack([h_prev, h_t]), np.stack([c_prev, c_t]), gates[None], params)
    dx, dstate, dparams = backward(dh[None], (np.zeros_like(dh), dc), cache)
    return dx[0], *dstate, dparams


def _call(backward, doutput, dstate, x, h, c, gates, params):
    dx, (dh_0, dc_0), dparams = backward(doutput, dstate, LSTMCache(x, h, c, gates, params))
    return dx, dh_0, dc_0, dparams


def _call_peephole(backward, doutput, dstate, x, h, c, gates, params):
    dx, (dh_0, dc_0), dparams = backward(doutput, dstate, VariantCache(x, h, c, gates, params))
    return dx, dh_0, dc_0, dparams


def _draw_peephole(rng):
    return _draw(rng, peephole_forward, lambda rng, D, H: variant_init(rng, PeepholeParams, D, H))


def count(n, i, f, g):
    """The cell after n steps with the same gates and candidate, from zero."""
    c = 0.0
    for _ in range(n):
        c = f * c + i * g
    return c


def _number(said, kinds, what):
    if isinstance(said, bool) or not isinstance(said, kinds):
        raise AssertionError(f"return {what}, got {type(said).__name__}")


def _judge_ceiling(answer, rng):
    for sign in (-1, 1, 1, -1, 1):
        # So near 1 that nobody can wait for the end.
        f = 1 - float(10 ** rng.uniform(-8, -1))
        i, g = float(rng.uniform(0.3, 0.99)), float(sign * rng.uniform(0.2, 0.95))
        said = answer(i, f, g)
        _number(said, (int, float, np.number), "a number")
        gates = f"with i = {i:.3f}, 1 - f = {1 - f:.3g}, g = {g:.3f}"
        if not said >= 0:
            raise AssertionError(f"{gates} you say {said}: a size is not negative")
        change = f * said + i * abs(g) - said
        if change > 1e-5 * i * abs(g):
            raise AssertionError(f"{gates} the content passes {said:.6g}")
        if not change >= -1e-5 * i * abs(g):
            raise AssertionError(f"{gates} the content never comes near {said:.6g}")


def _judge_told_apart(answer, rng):
    for sign in (1, -1, 1, -1, 1):
        i, f, g = rng.uniform(0.2, 0.99), rng.uniform(0.8, 0.995), sign * rng.uniform(0.2, 0.95)
        shown = np.tanh([count(n, i, f, g) for n in range(11)])
        steps = np.abs(np.diff(shown))
        # Between two differences that follow one another, so that rounding decides nothing.
        n = int(rng.integers(1, 10))
        step = float(np.sqrt(steps[n - 1] * steps[n]))
        said = answer(float(i), float(f), float(g), step)
        _number(said, (int, np.integer), "an integer")
        if said != n:
            raise AssertionError(
                f"with i = {i:.3f}, f = {f:.3f}, g = {g:.3f} and a step of {step:.3g} the last count that "
                f"shows is not {said}: which two counts does the output still tell apart?"
            )


# In one step the carry of the hidden state comes in as dh, and the two mistakes with dc_T are one.
ONE = tuple(m for m in BACKWARD if "carry of the hidden" not in m.name and "final cell" not in m.name)
GRADIENTS = ("dx", "dh_0", "dc_0", "dparams")
QUESTIONS = {
    "q1": Parity(lstm_step, _draw_step, ("h", "c"), STEP),
    "q2": Parity(lstm_backward, _draw_one, ("dx_t", "dh_prev", "dc_prev", "dparams"), ONE, _call_one),
    "q3": Parity(lstm_backward, _draw, GRADIENTS, BACKWARD, _call),
    "q4": Parity(peephole_backward, _draw_peephole, GRADIENTS, PEEPHOLE, _call_peephole),
    "q5": Property(_judge_ceiling),
    "q6": Property(_judge_told_apart),
}
