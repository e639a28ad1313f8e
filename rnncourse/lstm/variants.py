"""Three relatives of the LSTM cell in NumPy: peepholes, coupled gates, a relevance gate."""

from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_positive, check_shape
from rnncourse._numerics import sigmoid
from rnncourse.lstm.numpy import (
    LSTMParams,
    blocks,
    check_cotangents,
    check_inputs,
    lstm_backward,
    lstm_forward,
    weight_gradients,
)


class VariantCache(NamedTuple):
    """What a variant's forward pass keeps for its backward pass."""

    x: np.ndarray
    """(T, B, D), the inputs."""
    h: np.ndarray
    """(T+1, B, H), the hidden states; index 0 is the initial state."""
    c: np.ndarray
    """(T+1, B, H), the cell states; index 0 is the initial state."""
    gates: np.ndarray
    """(T, B, n H), the values of the gates and of the candidate, in the order of the weights' blocks."""
    params: tuple


class PeepholeParams(NamedTuple):
    """Parameters of an LSTM layer with peepholes: blocks i, f, g, o."""

    weight_ih: np.ndarray
    """(4H, D), from the input."""
    weight_hh: np.ndarray
    """(4H, H), from the previous hidden state."""
    bias_ih: np.ndarray
    """(4H,), added to the input product."""
    bias_hh: np.ndarray
    """(4H,), added to the recurrent product."""
    weight_ch: np.ndarray
    """(3, H), from a unit's cell to its own gates i, f, o."""


def variant_init(rng, cls, D, H, dtype=np.float64):
    """Draw the parameters of a variant, uniform on +-1/sqrt(H).

    Parameters
    ----------
    rng : np.random.Generator
    cls : type
        :class:`PeepholeParams`, :class:`CoupledParams` or :class:`RelevanceParams`.
    D, H : int
        Input and hidden size.
    dtype : dtype

    Returns
    -------
    cls

    Raises
    ------
    ValueError
        If a size is not positive.
    """
    check_positive("D", D)
    check_positive("H", H)
    n = {PeepholeParams: 4, CoupledParams: 3, RelevanceParams: 5}[cls] * H
    shapes = [(n, D), (n, H), n, n, (3, H)][: len(cls._fields)]
    return cls(*(rng.uniform(-1, 1, shape).astype(dtype) / np.sqrt(H).astype(dtype) for shape in shapes))


def peephole_forward(x, state, params):
    """Run an LSTM whose gates see the cell: i and f the old one, o the new one.

    Implements :eq:`lstm-peephole` of book/lstm. Source: Gers, Schraudolph and Schmidhuber (2002); each gate
    sees the cell of its own unit only.

    Parameters
    ----------
    x : (T, B, D) array
    state : pair of (B, H) arrays
        h_0 and c_0.
    params : PeepholeParams

    Returns
    -------
    output : (T, B, H) array
    state : pair of (B, H) arrays
    cache : VariantCache

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    T, B, _, H = check_inputs(x, state, params, 4)
    check_shape("weight_ch", params.weight_ch, gates=3, H=H)
    peep_i, peep_f, peep_o = params.weight_ch
    h, c = np.empty((2, T + 1, B, H), x.dtype)
    h[0], c[0] = state
    gates = x @ params.weight_ih.T + (params.bias_ih + params.bias_hh)
    i, f, g, o = blocks(gates, 4)
    for t in range(T):
        gates[t] += h[t] @ params.weight_hh.T
        i[t] = sigmoid(i[t] + peep_i * c[t])
        f[t] = sigmoid(f[t] + peep_f * c[t])
        g[t] = np.tanh(g[t])
        c[t + 1] = f[t] * c[t] + i[t] * g[t]
        o[t] = sigmoid(o[t] + peep_o * c[t + 1])
        h[t + 1] = o[t] * np.tanh(c[t + 1])
    return h[1:], (h[-1], c[-1]), VariantCache(x, h, c, gates, params)


def peephole_backward(doutput, dstate, cache):
    """Vector-Jacobian product of :func:`peephole_forward`.

    Implements :eq:`lstm-peephole-back` of book/lstm. Gers, Schraudolph and Schmidhuber (2002) cut the
    gradient at the peepholes; this one is whole.

    Parameters
    ----------
    doutput : (T, B, H) array
    dstate : pair of (B, H) arrays
        dL/d h_T and dL/d c_T through the second result.
    cache : VariantCache

    Returns
    -------
    dx : (T, B, D) array
    dstate : pair of (B, H) arrays
    dparams : PeepholeParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    dh, dc = check_cotangents(doutput, dstate, cache)
    x, h, c, gates, params = cache
    peep_i, peep_f, peep_o = params.weight_ch
    i, f, g, o = blocks(gates, 4)
    da = np.empty_like(gates)
    da_i, da_f, da_g, da_o = blocks(da, 4)
    for t in reversed(range(len(x))):
        tanh_c = np.tanh(c[t + 1])
        dh = dh + doutput[t]
        da_o[t] = dh * tanh_c * o[t] * (1 - o[t])
        dc = dc + dh * o[t] * (1 - tanh_c**2) + peep_o * da_o[t]
        da_i[t] = dc * g[t] * i[t] * (1 - i[t])
        da_f[t] = dc * c[t] * f[t] * (1 - f[t])
        da_g[t] = dc * i[t] * (1 - g[t] ** 2)
        dc = dc * f[t] + peep_i * da_i[t] + peep_f * da_f[t]
        dh = da[t] @ params.weight_hh
    dweight_ch = [(da_i * c[:-1]).sum((0, 1)), (da_f * c[:-1]).sum((0, 1)), (da_o * c[1:]).sum((0, 1))]
    dx, weights = weight_gradients(da, x, h[:-1], params)
    return dx, (dh, dc), PeepholeParams(*weights, np.stack(dweight_ch))


class CoupledParams(NamedTuple):
    """Parameters of an LSTM layer with f = 1 - i: blocks i, g, o."""

    weight_ih: np.ndarray
    """(3H, D), from the input."""
    weight_hh: np.ndarray
    """(3H, H), from the previous hidden state."""
    bias_ih: np.ndarray
    """(3H,), added to the input product."""
    bias_hh: np.ndarray
    """(3H,), added to the recurrent product."""


def coupled_to_lstm(params):
    """The LSTM that a coupled cell is: its forget rows are minus its input rows, biases too.

    Implements :eq:`lstm-coupled` of book/lstm.

    Parameters
    ----------
    params : CoupledParams

    Returns
    -------
    LSTMParams
    """

    def expand(rows):
        i, g, o = np.split(rows, 3)
        return np.concatenate([i, -i, g, o])

    return LSTMParams(*map(expand, params))


def coupled_forward(x, state, params):
    """Run an LSTM whose forget gate is 1 - i.

    Implements :eq:`lstm-coupled` of book/lstm. Source: the variant CIFG of Greff et al. (2017), here without
    their peepholes.

    Parameters
    ----------
    x : (T, B, D) array
    state : pair of (B, H) arrays
        h_0 and c_0.
    params : CoupledParams

    Returns
    -------
    output : (T, B, H) array
    state : pair of (B, H) arrays
    cache : rnncourse.lstm.numpy.LSTMCache
        Of the LSTM that the cell is.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    check_inputs(x, state, params, 3)
    return lstm_forward(x, state, coupled_to_lstm(params))


def coupled_backward(doutput, dstate, cache):
    """Vector-Jacobian product of :func:`coupled_forward`.

    Implements :eq:`lstm-coupled-back` of book/lstm.

    Parameters
    ----------
    doutput : (T, B, H) array
    dstate : pair of (B, H) arrays
        dL/d h_T and dL/d c_T through the second result.
    cache : rnncourse.lstm.numpy.LSTMCache

    Returns
    -------
    dx : (T, B, D) array
    dstate : pair of (B, H) arrays
    dparams : CoupledParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """

    def fold(rows):
        i, f, g, o = np.split(rows, 4)
        return np.concatenate([i - f, g, o])

    dx, dstate, dparams = lstm_backward(doutput, dstate, cache)
    return dx, dstate, CoupledParams(*map(fold, dparams))


class RelevanceParams(NamedTuple):
    """Parameters of the cell with a relevance gate: blocks i (update), f, o, r (relevance), g (candidate)."""

    weight_ih: np.ndarray
    """(5H, D), from the input."""
    weight_hh: np.ndarray
    """(5H, H), from the previous hidden state; the block of g from what r lets through of it."""
    bias_ih: np.ndarray
    """(5H,), added to the input product."""
    bias_hh: np.ndarray
    """(5H,), added to the recurrent product."""


def relevance_forward(x, state, params):
    """Run an LSTM with a relevance gate inside the candidate, and no tanh on the way out.

    Implements :eq:`lstm-relevance` of book/lstm. Source: the lecture notes from which the course is made, two
    of which print it; r is their relevance gate, i their update gate.

    Parameters
    ----------
    x : (T, B, D) array
    state : pair of (B, H) arrays
        h_0 and c_0.
    params : RelevanceParams

    Returns
    -------
    output : (T, B, H) array
    state : pair of (B, H) arrays
    cache : VariantCache

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    T, B, _, H = check_inputs(x, state, params, 5)
    weight_gates, weight_g = params.weight_hh[: 4 * H], params.weight_hh[4 * H :]
    h, c = np.empty((2, T + 1, B, H), x.dtype)
    h[0], c[0] = state
    gates = x @ params.weight_ih.T + (params.bias_ih + params.bias_hh)
    i, f, o, r, g = blocks(gates, 5)
    for t in range(T):
        gates[t, :, : 4 * H] = sigmoid(gates[t, :, : 4 * H] + h[t] @ weight_gates.T)
        g[t] = np.tanh(g[t] + (r[t] * h[t]) @ weight_g.T)
        c[t + 1] = f[t] * c[t] + i[t] * g[t]
        h[t + 1] = o[t] * c[t + 1]
    return h[1:], (h[-1], c[-1]), VariantCache(x, h, c, gates, params)


def relevance_backward(doutput, dstate, cache):
    """Vector-Jacobian product of :func:`relevance_forward`.

    Implements :eq:`lstm-relevance-back` of book/lstm.

    Parameters
    ----------
    doutput : (T, B, H) array
    dstate : pair of (B, H) arrays
        dL/d h_T and dL/d c_T through the second result.
    cache : VariantCache

    Returns
    -------
    dx : (T, B, D) array
    dstate : pair of (B, H) arrays
    dparams : RelevanceParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    dh, dc = check_cotangents(doutput, dstate, cache)
    x, h, c, gates, params = cache
    T, B, H = h[1:].shape
    weight_gates, weight_g = params.weight_hh[: 4 * H], params.weight_hh[4 * H :]
    i, f, o, r, g = blocks(gates, 5)
    da = gates * (1 - gates)  # the slopes of the four sigmoids
    da_i, da_f, da_o, da_r, da_g = blocks(da, 5)
    for t in reversed(range(T)):
        dh = dh + doutput[t]
        dc = dc + dh * o[t]
        da_i[t] *= dc * g[t]
        da_f[t] *= dc * c[t]
        da_o[t] *= dh * c[t + 1]
        da_g[t] = dc * i[t] * (1 - g[t] ** 2)
        dgated = da_g[t] @ weight_g  # dL/d(r h)
        da_r[t] *= dgated * h[t]
        dc = dc * f[t]
        dh = da[t, :, : 4 * H] @ weight_gates + dgated * r[t]
    dx, (dweight_ih, dweight_hh, *dbiases) = weight_gradients(da, x, h[:-1], params)
    # The candidate read r h in place of h.
    dweight_hh[4 * H :] = np.einsum("tbi,tbj->ij", da_g, r * h[:-1])
    return dx, (dh, dc), RelevanceParams(dweight_ih, dweight_hh, *dbiases)
