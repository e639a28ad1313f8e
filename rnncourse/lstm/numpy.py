"""Long short-term memory over a sequence, forwards and backwards, in NumPy."""

from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_floats, check_sequence, check_shape
from rnncourse._numerics import sigmoid


class LSTMParams(NamedTuple):
    """Parameters of one LSTM layer, named and ordered as in ``torch.nn.LSTM``: gates i, f, g, o."""

    weight_ih: np.ndarray
    """(4H, D), from the input."""
    weight_hh: np.ndarray
    """(4H, H), from the previous hidden state."""
    bias_ih: np.ndarray
    """(4H,), added to the input product."""
    bias_hh: np.ndarray
    """(4H,), added to the recurrent product; redundant beside ``bias_ih``, kept for parity."""


class LSTMCache(NamedTuple):
    """What the forward pass keeps for the backward pass."""

    x: np.ndarray
    """(T, B, D), the inputs."""
    h: np.ndarray
    """(T+1, B, H), the hidden states; index 0 is the initial state."""
    c: np.ndarray
    """(T+1, B, H), the cell states; index 0 is the initial state."""
    gates: np.ndarray
    """(T, B, 4H), the values of i, f, g, o."""
    params: LSTMParams


def lstm_init(rng, D, H, forget_bias=0.0, dtype=np.float64):
    """Draw the parameters of a layer, uniform on +-1/sqrt(H), as ``torch.nn.LSTM`` does.

    Parameters
    ----------
    rng : np.random.Generator
    D, H : int
        Input and hidden size.
    forget_bias : float
        Added to the forget gate's rows of ``bias_ih``.
    dtype : dtype

    Returns
    -------
    LSTMParams
    """
    bound = 1 / np.sqrt(H)
    params = LSTMParams(
        *(rng.uniform(-bound, bound, s).astype(dtype) for s in [(4 * H, D), (4 * H, H), 4 * H, 4 * H])
    )
    params.bias_ih[H : 2 * H] += forget_bias
    return params


def _check_params(params):
    check_shape("weight_hh", params.weight_hh, H4=None, H=None)
    H = params.weight_hh.shape[1]
    check_shape("weight_ih", params.weight_ih, H4=4 * H, D=None)
    check_shape("weight_hh", params.weight_hh, H4=4 * H, H=H)
    check_shape("bias_ih", params.bias_ih, H4=4 * H)
    check_shape("bias_hh", params.bias_hh, H4=4 * H)
    return H, params.weight_ih.shape[1]


def lstm_step(x_t, state, params):
    """One step of the recurrence: (B, D) input, (h, c) each (B, H) -> the new (h, c)."""
    h, c = state
    a = x_t @ params.weight_ih.T + params.bias_ih + h @ params.weight_hh.T + params.bias_hh
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=-1)
    c = sigmoid(a_f) * c + sigmoid(a_i) * np.tanh(a_g)
    return sigmoid(a_o) * np.tanh(c), c


def lstm_forward(x, state, params):
    """Run the recurrence over a sequence.

    Parameters
    ----------
    x : (T, B, D) array
        Inputs, time first.
    state : pair of (B, H) arrays
        Initial hidden state h_0 and cell state c_0.
    params : LSTMParams

    Returns
    -------
    output : (T, B, H) array
        Hidden state after each step.
    state : pair of (B, H) arrays
        h_T and c_T.
    cache : LSTMCache
        For :func:`lstm_backward`.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    H, D = _check_params(params)
    check_sequence("x", x, T=None, B=None, D=D)
    T, B, _ = x.shape
    h_0, c_0 = state
    check_shape("h_0", h_0, B=B, H=H)
    check_shape("c_0", c_0, B=B, H=H)
    check_floats(x=x, h_0=h_0, c_0=c_0, **params._asdict())
    h, c = np.empty((T + 1, B, H), x.dtype), np.empty((T + 1, B, H), x.dtype)
    h[0], c[0] = h_0, c_0
    gates = x @ params.weight_ih.T + (params.bias_ih + params.bias_hh)
    for t in range(T):
        gates[t] += h[t] @ params.weight_hh.T
        g = np.tanh(gates[t, :, 2 * H : 3 * H])
        gates[t] = sigmoid(gates[t])
        gates[t, :, 2 * H : 3 * H] = g
        i, f, g, o = np.split(gates[t], 4, axis=-1)
        c[t + 1] = f * c[t] + i * g
        h[t + 1] = o * np.tanh(c[t + 1])
    return h[1:], (h[-1], c[-1]), LSTMCache(x, h, c, gates, params)


def lstm_backward(doutput, dstate, cache):
    """Vector-Jacobian product of :func:`lstm_forward`.

    Parameters
    ----------
    doutput : (T, B, H) array
        dL/d output.
    dstate : pair of (B, H) arrays
        dL/d h_T and dL/d c_T through the second result.
    cache : LSTMCache

    Returns
    -------
    dx : (T, B, D) array
    dstate : pair of (B, H) arrays
        dL/d h_0 and dL/d c_0.
    dparams : LSTMParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    x, h, c, gates, params = cache
    T, B, D = x.shape
    H = h.shape[-1]
    dh, dc = dstate
    check_shape("doutput", doutput, T=T, B=B, H=H)
    check_shape("dh_T", dh, B=B, H=H)
    check_shape("dc_T", dc, B=B, H=H)
    check_floats(x=x, doutput=doutput, dh_T=dh, dc_T=dc)
    da = np.empty_like(gates)
    for t in reversed(range(T)):
        i, f, g, o = np.split(gates[t], 4, axis=-1)
        tanh_c = np.tanh(c[t + 1])
        dh = dh + doutput[t]
        dc = dc + dh * o * (1 - tanh_c**2)
        slopes = [
            dc * g * i * (1 - i),
            dc * c[t] * f * (1 - f),
            dc * i * (1 - g**2),
            dh * tanh_c * o * (1 - o),
        ]
        da[t] = np.concatenate(slopes, axis=-1)
        dc = dc * f
        dh = da[t] @ params.weight_hh
    flat = da.reshape(T * B, 4 * H)
    dbias = flat.sum(axis=0)
    dparams = LSTMParams(flat.T @ x.reshape(T * B, D), flat.T @ h[:-1].reshape(T * B, H), dbias, dbias.copy())
    return da @ params.weight_ih, (dh, dc), dparams
