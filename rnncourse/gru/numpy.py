"""The gated recurrent unit over a sequence, forwards and backwards, in NumPy."""

from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_floats, check_positive, check_sequence, check_shape
from rnncourse._numerics import sigmoid


class GRUParams(NamedTuple):
    """Parameters of one GRU layer, named and ordered as in ``torch.nn.GRU``: rows of r, z, n."""

    weight_ih: np.ndarray
    """(3H, D), from the input."""
    weight_hh: np.ndarray
    """(3H, H), from the previous hidden state."""
    bias_ih: np.ndarray
    """(3H,), added to the input product."""
    bias_hh: np.ndarray
    """(3H,), added to the recurrent product; with reset after, its candidate rows stand inside the reset."""


class GRUCache(NamedTuple):
    """What a forward pass keeps for its backward pass."""

    x: np.ndarray
    """(T, B, D), the inputs."""
    h: np.ndarray
    """(T+1, B, H), the hidden states; index 0 is the initial state."""
    gates: np.ndarray
    """(T, B, 3H), the values of r, z, n."""
    recurrent: np.ndarray
    """(T, B, H), what the reset gate multiplies (reset after), or its product with the state (before)."""
    params: GRUParams


def gru_init(rng, D, H, dtype=np.float64):
    """Draw the parameters of a layer, uniform on +-1/sqrt(H), as ``torch.nn.GRU`` does.

    The distribution is that of ``torch.nn.GRU``; the drawn numbers are not.

    Parameters
    ----------
    rng : np.random.Generator
    D, H : int
        Input and hidden size.
    dtype : dtype

    Returns
    -------
    GRUParams

    Raises
    ------
    ValueError
        If a size is not positive.
    """
    check_positive("D", D)
    check_positive("H", H)
    bound = 1 / np.sqrt(H)
    return GRUParams(
        *(rng.uniform(-bound, bound, s).astype(dtype) for s in [(3 * H, D), (3 * H, H), 3 * H, 3 * H])
    )


def _check_params(params):
    """Sizes H, D of a layer; a wrong shape would be broadcast without a word."""
    check_shape("weight_hh", params.weight_hh, H3=None, H=None)
    H = params.weight_hh.shape[1]
    check_shape("weight_ih", params.weight_ih, H3=3 * H, D=None)
    check_shape("weight_hh", params.weight_hh, H3=3 * H, H=H)
    check_shape("bias_ih", params.bias_ih, H3=3 * H)
    check_shape("bias_hh", params.bias_hh, H3=3 * H)
    return H, params.weight_ih.shape[1]


def _check_sequence(x, h_0, params):
    """Sizes T, B, D, H of a forward pass."""
    H, D = _check_params(params)
    check_sequence("x", x, T=None, B=None, D=D)
    T, B, _ = x.shape
    check_shape("h_0", h_0, B=B, H=H)
    check_floats(x=x, h_0=h_0, **params._asdict())
    return T, B, D, H


def _check_cotangents(doutput, dh_T, cache):
    """Sizes T, B, D, H of a backward pass."""
    T, B, D = cache.x.shape
    H = cache.h.shape[-1]
    check_shape("doutput", doutput, T=T, B=B, H=H)
    check_shape("dh_T", dh_T, B=B, H=H)
    check_floats(x=cache.x, doutput=doutput, dh_T=dh_T)
    return T, B, D, H


def gru_step(x_t, h, params):
    """One step of the recurrence, the reset gate after the matrix product, as in ``torch.nn.GRUCell``.

    Implements :eq:`gru-gates`, :eq:`gru-candidate`, :eq:`gru-state` of book/gru. Source: Cho et al. (2014);
    there the reset gate stands before the product, see :func:`gru_reset_before_forward`. For a batch, with
    torch's parameter names and its two biases.

    Parameters
    ----------
    x_t : (B, D) array
        Input of this step.
    h : (B, H) array
        Hidden state before this step.
    params : GRUParams

    Returns
    -------
    (B, H) array
        Hidden state after this step.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    H, D = _check_params(params)
    check_sequence("x_t", x_t, B=None, D=D)
    check_shape("h", h, B=len(x_t), H=H)
    check_floats(x_t=x_t, h=h, **params._asdict())
    from_input = x_t @ params.weight_ih.T + params.bias_ih
    from_state = h @ params.weight_hh.T + params.bias_hh
    r, z = np.split(sigmoid(from_input[:, : 2 * H] + from_state[:, : 2 * H]), 2, axis=-1)
    n = np.tanh(from_input[:, 2 * H :] + r * from_state[:, 2 * H :])
    return (1 - z) * n + z * h


def gru_forward(x, h_0, params):
    """Run the recurrence over a sequence; the reset gate acts after the matrix product, as in torch.nn.

    Implements :eq:`gru-gates`, :eq:`gru-candidate`, :eq:`gru-state` of book/gru: :func:`gru_step`, T times.
    The input products of all steps are one matrix product before the loop, and each step has one recurrent
    product for its three parts. Source: Cho et al. (2014), in the form of torch.nn. The gates come from
    sigma(a) = (1 + tanh(a / 2)) / 2, with the half taken into the weights.
    That is exact to the precision next to 1: in float32 a gate far below 1e-7 comes out as 0 or about 3e-8.
    `output` and `h_T` are views of the cache; changing them changes what the backward pass sees.

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
        The last of them.
    cache : GRUCache
        For :func:`gru_backward`.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    T, B, D, H = _check_sequence(x, h_0, params)
    half = np.ones(3 * H, x.dtype)
    half[: 2 * H] = 0.5
    # The candidate's recurrent bias stays behind: it is added inside the reset.
    bias = (params.bias_ih + params.bias_hh) * half
    bias[2 * H :] = params.bias_ih[2 * H :]
    weight_hh_T = np.ascontiguousarray((params.weight_hh * half[:, None]).T)
    bias_n = params.bias_hh[2 * H :]

    h, recurrent = np.empty((T + 1, B, H), x.dtype), np.empty((T, B, H), x.dtype)
    h[0] = h_0
    gates = (x.reshape(T * B, D) @ (params.weight_ih * half[:, None]).T).reshape(T, B, 3 * H)
    gates += bias
    product, buffer = np.empty((B, 3 * H), x.dtype), np.empty((B, H), x.dtype)
    product_rz, product_n = product[:, : 2 * H], product[:, 2 * H :]
    states = list(h)
    steps = zip(
        gates[..., : 2 * H],
        gates[..., :H],
        gates[..., H : 2 * H],
        gates[..., 2 * H :],
        recurrent,
        strict=True,
    )
    for previous, current, (rz, r, z, n, inside) in zip(states, states[1:], steps, strict=False):
        previous.dot(weight_hh_T, out=product)
        rz += product_rz
        np.tanh(rz, out=rz)
        rz *= 0.5
        rz += 0.5
        np.add(product_n, bias_n, out=inside)
        np.multiply(r, inside, out=buffer)
        n += buffer
        np.tanh(n, out=n)
        # (1 - z) n + z h = n + z (h - n)
        np.subtract(previous, n, out=current)
        current *= z
        current += n
    return h[1:], h[-1], GRUCache(x, h, gates, recurrent, params)


def gru_backward(doutput, dh_T, cache):
    """Vector-Jacobian product of :func:`gru_forward`.

    Implements :eq:`gru-delta`, :eq:`gru-carry`, :eq:`gru-weights` of book/gru. Each pre-activation's gradient
    is dh_t times a factor that the forward pass has fixed, so the factors of all steps are made at once.

    Parameters
    ----------
    doutput : (T, B, H) array
        dL/d output.
    dh_T : (B, H) array
        dL/d h_T through the second result of :func:`gru_forward`.
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
    T, B, D, H = _check_cotangents(doutput, dh_T, cache)
    x, h, gates, recurrent, params = cache
    r, z, n = gates[..., :H], gates[..., H : 2 * H], gates[..., 2 * H :]
    # da_n and da start as the factors of dh_t and are turned into gradients step by step; the last part of
    # da is the gradient of what the reset multiplies.
    da_n = (1 - z) * (1 - n**2)
    da = np.empty((T, B, 3, H), x.dtype)
    np.multiply(da_n, recurrent * r * (1 - r), out=da[:, :, 0])
    np.multiply(h[:-1] - n, z * (1 - z), out=da[:, :, 1])
    np.multiply(da_n, r, out=da[:, :, 2])
    flat = da.reshape(T * B, 3 * H)
    dh, product = np.array(dh_T, dtype=h.dtype), np.empty((B, H), h.dtype)
    steps = zip(doutput, z, da_n, da, flat.reshape(T, B, 3 * H), strict=True)
    for doutput_t, z_t, da_n_t, da_t, flat_t in reversed(list(steps)):
        dh += doutput_t
        da_n_t *= dh
        da_t *= dh[:, None]
        dh *= z_t
        flat_t.dot(params.weight_hh, out=product)
        dh += product
    dweight_hh, dbias_hh = flat.T @ h[:-1].reshape(T * B, H), flat.sum(axis=0)
    da[:, :, 2] = da_n  # from the recurrent side to the input side
    dparams = GRUParams(flat.T @ x.reshape(T * B, D), dweight_hh, flat.sum(axis=0), dbias_hh)
    return (flat @ params.weight_ih).reshape(T, B, D), dh, dparams


def gru_reset_before_forward(x, h_0, params):
    """Run the recurrence with the reset gate before the matrix product.

    Implements :eq:`gru-before` of book/gru. Source: Cho et al. (2014), with torch's parameter names and
    biases, of which their equations have none. Each step needs a second recurrent product, since the
    candidate's waits for r.

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
        The last of them.
    cache : GRUCache
        For :func:`gru_reset_before_backward`.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    T, B, _, H = _check_sequence(x, h_0, params)
    h, recurrent = np.empty((T + 1, B, H), x.dtype), np.empty((T, B, H), x.dtype)
    h[0] = h_0
    weight_rz, weight_n = np.split(params.weight_hh, [2 * H])
    gates = x @ params.weight_ih.T + (params.bias_ih + params.bias_hh)
    for t in range(T):
        rz, n = gates[t, :, : 2 * H], gates[t, :, 2 * H :]
        rz[:] = sigmoid(rz + h[t] @ weight_rz.T)
        r, z = rz[:, :H], rz[:, H:]
        recurrent[t] = r * h[t]
        n[:] = np.tanh(n + recurrent[t] @ weight_n.T)
        h[t + 1] = (1 - z) * n + z * h[t]
    return h[1:], h[-1], GRUCache(x, h, gates, recurrent, params)


def gru_reset_before_backward(doutput, dh_T, cache):
    """Vector-Jacobian product of :func:`gru_reset_before_forward`.

    Implements :eq:`gru-before-delta`, :eq:`gru-before-weights` of book/gru.

    Parameters
    ----------
    doutput : (T, B, H) array
        dL/d output.
    dh_T : (B, H) array
        dL/d h_T through the second result of :func:`gru_reset_before_forward`.
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
    T, B, D, H = _check_cotangents(doutput, dh_T, cache)
    x, h, gates, recurrent, params = cache
    weight_rz, weight_n = np.split(params.weight_hh, [2 * H])
    da = np.empty_like(gates)
    dh = dh_T
    for t in reversed(range(T)):
        r, z, n = np.split(gates[t], 3, axis=-1)
        dh = dh + doutput[t]
        da_n = dh * (1 - z) * (1 - n**2)
        dreset = da_n @ weight_n  # the gradient of r * h
        da[t, :, :H] = dreset * h[t] * r * (1 - r)
        da[t, :, H : 2 * H] = dh * (h[t] - n) * z * (1 - z)
        da[t, :, 2 * H :] = da_n
        dh = dh * z + dreset * r + da[t, :, : 2 * H] @ weight_rz
    flat = da.reshape(T * B, 3 * H)
    dweight_rz = flat[:, : 2 * H].T @ h[:-1].reshape(T * B, H)
    dweight_n = flat[:, 2 * H :].T @ recurrent.reshape(T * B, H)
    dbias = flat.sum(axis=0)
    dparams = GRUParams(
        flat.T @ x.reshape(T * B, D), np.concatenate([dweight_rz, dweight_n]), dbias, dbias.copy()
    )
    return da @ params.weight_ih, dh, dparams


def flip_update(params):
    """The same network in the other convention, in which the update gate multiplies the candidate.

    Implements :eq:`gru-flip` of book/gru: sigma(-a) = 1 - sigma(a), so the rows of z change sign. Doing it
    twice gives the parameters back.

    Parameters
    ----------
    params : GRUParams

    Returns
    -------
    GRUParams

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    H, _ = _check_params(params)
    update = np.arange(3 * H) // H == 1
    return GRUParams(*(np.where(update.reshape(-1, *[1] * (p.ndim - 1)), -p, p) for p in params))
