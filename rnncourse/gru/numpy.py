"""The gated recurrent unit over a sequence, forwards and backwards, in NumPy."""

from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_floats, check_sequence, check_shape
from rnncourse._numerics import sigmoid


class GRUParams(NamedTuple):
    """Parameters of one GRU layer, named and ordered as in ``torch.nn.GRU``: gates r, z, n."""

    weight_ih: np.ndarray
    """(3H, D), from the input."""
    weight_hh: np.ndarray
    """(3H, H), from the previous hidden state."""
    bias_ih: np.ndarray
    """(3H,), added to the input product."""
    bias_hh: np.ndarray
    """(3H,), added to the recurrent product; its candidate rows stand inside the reset."""


class GRUCache(NamedTuple):
    """What the forward pass keeps for the backward pass."""

    x: np.ndarray
    """(T, B, D), the inputs."""
    h: np.ndarray
    """(T+1, B, H), the hidden states; index 0 is the initial state."""
    gates: np.ndarray
    """(T, B, 3H), the values of r, z, n."""
    recurrent: np.ndarray
    """(T, B, H), what the reset gate multiplies: W_hn h + b_hn."""
    params: GRUParams


def gru_init(rng, D, H, dtype=np.float64):
    """Draw the parameters of a layer, uniform on +-1/sqrt(H), as ``torch.nn.GRU`` does.

    Parameters
    ----------
    rng : np.random.Generator
    D, H : int
        Input and hidden size.
    dtype : dtype

    Returns
    -------
    GRUParams
    """
    bound = 1 / np.sqrt(H)
    return GRUParams(
        *(rng.uniform(-bound, bound, s).astype(dtype) for s in [(3 * H, D), (3 * H, H), 3 * H, 3 * H])
    )


def _check_params(params):
    check_shape("weight_hh", params.weight_hh, H3=None, H=None)
    H = params.weight_hh.shape[1]
    check_shape("weight_ih", params.weight_ih, H3=3 * H, D=None)
    check_shape("weight_hh", params.weight_hh, H3=3 * H, H=H)
    check_shape("bias_ih", params.bias_ih, H3=3 * H)
    check_shape("bias_hh", params.bias_hh, H3=3 * H)
    return H, params.weight_ih.shape[1]


def gru_forward(x, h_0, params):
    """Run the recurrence over a sequence; the reset gate acts after the matrix product, as in torch.nn.

    Parameters
    ----------
    x : (T, B, D) array
        Inputs, time first.
    h_0 : (B, H) array
        Initial hidden state.
    params : GRUParams

    Returns
    -------
    output : (T, B, H) array
        Hidden state after each step.
    h_T : (B, H) array
    cache : GRUCache
        For :func:`gru_backward`.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    H, D = _check_params(params)
    check_sequence("x", x, T=None, B=None, D=D)
    T, B, _ = x.shape
    check_shape("h_0", h_0, B=B, H=H)
    check_floats(x=x, h_0=h_0, **params._asdict())
    h, recurrent = np.empty((T + 1, B, H), x.dtype), np.empty((T, B, H), x.dtype)
    h[0] = h_0
    gates = x @ params.weight_ih.T + params.bias_ih
    for t in range(T):
        a = h[t] @ params.weight_hh.T + params.bias_hh
        recurrent[t] = a[:, 2 * H :]
        gates[t, :, : 2 * H] = sigmoid(gates[t, :, : 2 * H] + a[:, : 2 * H])
        r, z, n = np.split(gates[t], 3, axis=-1)
        n[:] = np.tanh(n + r * recurrent[t])
        h[t + 1] = (1 - z) * n + z * h[t]
    return h[1:], h[-1], GRUCache(x, h, gates, recurrent, params)


def gru_backward(doutput, dh_T, cache):
    """Vector-Jacobian product of :func:`gru_forward`.

    Parameters
    ----------
    doutput : (T, B, H) array
        dL/d output.
    dh_T : (B, H) array
        dL/d h_T through the second result.
    cache : GRUCache

    Returns
    -------
    dx : (T, B, D) array
    dh_0 : (B, H) array
    dparams : GRUParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    x, h, gates, recurrent, params = cache
    T, B, D = x.shape
    H = h.shape[-1]
    check_shape("doutput", doutput, T=T, B=B, H=H)
    check_shape("dh_T", dh_T, B=B, H=H)
    check_floats(x=x, doutput=doutput, dh_T=dh_T)
    da_ih, da_hh = np.empty_like(gates), np.empty_like(gates)
    dh = dh_T
    for t in reversed(range(T)):
        r, z, n = np.split(gates[t], 3, axis=-1)
        dh = dh + doutput[t]
        da_n = dh * (1 - z) * (1 - n**2)
        da_r, da_z = da_n * recurrent[t] * r * (1 - r), dh * (h[t] - n) * z * (1 - z)
        da_ih[t] = np.concatenate([da_r, da_z, da_n], axis=-1)
        da_hh[t] = np.concatenate([da_r, da_z, da_n * r], axis=-1)
        dh = dh * z + da_hh[t] @ params.weight_hh
    flat_ih, flat_hh = da_ih.reshape(T * B, 3 * H), da_hh.reshape(T * B, 3 * H)
    dparams = GRUParams(
        weight_ih=flat_ih.T @ x.reshape(T * B, D),
        weight_hh=flat_hh.T @ h[:-1].reshape(T * B, H),
        bias_ih=flat_ih.sum(axis=0),
        bias_hh=flat_hh.sum(axis=0),
    )
    return da_ih @ params.weight_ih, dh, dparams
