"""Long short-term memory over a sequence, forwards and backwards, in NumPy."""

from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_floats, check_positive, check_sequence, check_shape
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

    A positive bias of the forget gate lets a new network remember: Gers, Schmidhuber and Cummins (2000);
    :func:`forget_bias` gives the bias for a time span.

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

    Raises
    ------
    ValueError
        If a size is not positive.
    """
    check_positive("D", D)
    check_positive("H", H)
    bound = 1 / np.sqrt(H)
    params = LSTMParams(
        *(rng.uniform(-bound, bound, s).astype(dtype) for s in [(4 * H, D), (4 * H, H), 4 * H, 4 * H])
    )
    params.bias_ih[H : 2 * H] += forget_bias
    return params


def lstm_step(x_t, state, params):
    """One step of the recurrence.

    Implements :eq:`lstm-gates`, :eq:`lstm-cell`, :eq:`lstm-hidden` of book/lstm. Source: Hochreiter and
    Schmidhuber (1997) with the forget gate of Gers, Schmidhuber and Cummins (2000). Both squash the candidate
    and the cell with scaled logistic functions, here both are tanh; the 1997 cell has f = 1.

    Parameters
    ----------
    x_t : (B, D) array
    state : pair of (B, H) arrays
        Hidden state and cell state of the step before.
    params : LSTMParams

    Returns
    -------
    pair of (B, H) arrays
        The new hidden state and cell state.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    check_shape("x_t", x_t, B=None, D=None)
    check_inputs(x_t[None], state, params, 4)
    h, c = state
    a = x_t @ params.weight_ih.T + params.bias_ih + h @ params.weight_hh.T + params.bias_hh
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=-1)
    c = sigmoid(a_f) * c + sigmoid(a_i) * np.tanh(a_g)
    return sigmoid(a_o) * np.tanh(c), c


def lstm_forward(x, state, params):
    """Run the recurrence over a sequence.

    Implements :eq:`lstm-gates`, :eq:`lstm-cell`, :eq:`lstm-hidden`, :eq:`lstm-half` of book/lstm; the source
    is that of :func:`lstm_step`. The input products of all steps are one matrix product, made before the
    loop, and one tanh serves the four gates. By that a gate near 0 is right to a rounding of 1 only: in
    float32 a gate is 0 from a pre-activation of about -20 down, where :func:`lstm_step` still gives 2e-9.

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
        Hidden state after each step; like the last states a view of what the cache holds, so copy it before
        you change it.
    state : pair of (B, H) arrays
        h_T and c_T.
    cache : LSTMCache
        For :func:`lstm_backward`.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    T, B, D, H = check_inputs(x, state, params, 4)
    h, c = np.empty((2, T + 1, B, H), x.dtype)
    h[0], c[0] = state
    # sigmoid(a) = (1 + tanh(a / 2)) / 2: the rows of i, f and o are halved, those of g are not.
    scale = np.repeat(np.array([[0.5, 0.5, 1, 0.5]], x.dtype), H, axis=1)
    shift = 1 - scale
    weight_hh = np.ascontiguousarray(params.weight_hh.T) * scale
    gates = x.reshape(T * B, D) @ (params.weight_ih.T * scale)
    gates += scale * (params.bias_ih + params.bias_hh)
    gates = gates.reshape(T, B, 4 * H)
    recurrent, new = np.empty_like(gates[0]), np.empty_like(c[0])
    steps = zip(h[:-1], h[1:], c[:-1], c[1:], gates, *blocks(gates, 4), strict=True)
    for h_prev, h_t, c_prev, c_t, a, i, f, g, o in steps:
        h_prev.dot(weight_hh, out=recurrent)
        a += recurrent
        np.tanh(a, out=a)
        a *= scale
        a += shift  # a now holds the four gates
        np.multiply(f, c_prev, out=c_t)
        np.multiply(i, g, out=new)
        c_t += new
        np.tanh(c_t, out=h_t)
        h_t *= o
    return h[1:], (h[-1], c[-1]), LSTMCache(x, h, c, gates, params)


def lstm_backward(doutput, dstate, cache):
    """Vector-Jacobian product of :func:`lstm_forward`.

    Implements :eq:`lstm-dcell`, :eq:`lstm-dgates`, :eq:`lstm-carry`, :eq:`lstm-weights` of book/lstm. The
    gradient of 1997 was cut where it would leave the cell through the gates; this one is whole, as in Graves
    and Schmidhuber (2005). What does not depend on the gradient is computed for all steps before the loop.

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
    dh, dc = check_cotangents(doutput, dstate, cache)
    x, h, c, gates, params = cache
    T, B, D = x.shape
    i, f, g, o = blocks(gates, 4)
    tanh_c = np.tanh(c[1:])
    # da starts as what multiplies dc (for i, f, g) or dh (for o), and becomes dL/da in the loop.
    da = gates * gates
    np.subtract(gates, da, out=da)  # the slope s (1 - s) of the three sigmoids
    da_i, da_f, da_g, da_o = blocks(da, 4)
    da_i *= g
    da_f *= c[:-1]
    np.multiply(1 - g * g, i, out=da_g)
    da_o *= tanh_c
    dc_dh = (1 - tanh_c * tanh_c) * o
    from_h = np.empty_like(dc)
    of_cell = da.reshape(T, B, 4, -1)[:, :, :3]  # the blocks of i, f, g
    steps = zip(doutput[::-1], da[::-1], of_cell[::-1], da_o[::-1], f[::-1], dc_dh[::-1], strict=True)
    for doutput_t, da_t, da_ifg, da_o_t, f_t, dc_dh_t in steps:
        dh += doutput_t
        np.multiply(dh, dc_dh_t, out=from_h)
        dc += from_h
        da_ifg *= dc[:, None]
        da_o_t *= dh
        dc *= f_t
        da_t.dot(params.weight_hh, out=dh)
    dx, weights = weight_gradients(da, x, h[:-1], params)
    return dx, (dh, dc), LSTMParams(*weights)


def half_life(f):
    """Steps after which a cell that keeps the part f of itself at each step has lost half of its content.

    Implements :eq:`lstm-half-life` of book/lstm.

    Parameters
    ----------
    f : float or array
        Value of a forget gate, in [0, 1]; infinite half-life at 1, none at 0.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError
        If a value lies outside [0, 1].
    """
    f = np.asarray(f, float)
    if not ((f >= 0) & (f <= 1)).all():
        raise ValueError(f"f must lie in [0, 1], got {f}")
    with np.errstate(divide="ignore"):
        return np.log(2) / np.abs(np.log(f))


def forget_bias(steps):
    """Bias at which a forget gate without other input keeps a half-life of so many steps.

    Implements :eq:`lstm-bias` of book/lstm.

    Parameters
    ----------
    steps : float or array
        Half-life, above 0; for an infinite one the bias is infinite.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError
        If a value is not above 0.
    """
    steps = np.asarray(steps, float)
    if not (steps > 0).all():
        raise ValueError(f"steps must be above 0, got {steps}")
    # -ln(e^r - 1) with r = ln 2 / steps, written so that e^r cannot overflow.
    rate = np.log(2) / steps
    with np.errstate(divide="ignore"):
        return -rate - np.log(-np.expm1(-rate))


def blocks(rows, count):
    """Views (count, T, B, H) of the blocks of an array (T, B, count H)."""
    T, B, _ = rows.shape
    return rows.reshape(T, B, count, -1).transpose(2, 0, 1, 3)


def check_inputs(x, state, params, count):
    """Raise unless inputs, state and parameters of a cell with `count` blocks fit; return T, B, D, H."""
    size = f"{count}H"
    check_shape("weight_hh", params.weight_hh, **{size: None, "H": None})
    H = params.weight_hh.shape[1]
    check_shape("weight_hh", params.weight_hh, **{size: count * H, "H": H})
    check_shape("weight_ih", params.weight_ih, **{size: count * H, "D": None})
    for name in ("bias_ih", "bias_hh"):
        check_shape(name, getattr(params, name), **{size: count * H})
    D = params.weight_ih.shape[1]
    check_sequence("x", x, T=None, B=None, D=D)
    T, B, _ = x.shape
    h_0, c_0 = state
    check_shape("h_0", h_0, B=B, H=H)
    check_shape("c_0", c_0, B=B, H=H)
    check_floats(x=x, h_0=h_0, c_0=c_0, **params._asdict())
    return T, B, D, H


def check_cotangents(doutput, dstate, cache):
    """Raise unless the cotangents fit the cache; return copies of the last states'."""
    T, B, H = cache.h[1:].shape
    dh, dc = dstate
    check_shape("doutput", doutput, T=T, B=B, H=H)
    check_shape("dh_T", dh, B=B, H=H)
    check_shape("dc_T", dc, B=B, H=H)
    check_floats(x=cache.x, doutput=doutput, dh_T=dh, dc_T=dc)
    return dh.copy(), dc.copy()


def weight_gradients(da, x, h_prev, params):
    """Gradients behind the pre-activations: dx, and the tuple of those of both weights and both biases."""
    T, B, D = x.shape
    flat = da.reshape(T * B, -1)
    dbias = flat.sum(axis=0)
    dweight_ih = flat.T @ x.reshape(T * B, D)
    dweight_hh = flat.T @ h_prev.reshape(T * B, -1)
    dx = (flat @ params.weight_ih).reshape(T, B, D)
    return dx, (dweight_ih, dweight_hh, dbias, dbias.copy())
