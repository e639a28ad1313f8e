"""Gradients of a recurrent network, in NumPy: backwards through time, truncated, and forwards."""

from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_floats, check_shape, check_windows
from rnncourse.gradients.numpy import slope
from rnncourse.rnn.numpy import OutputParams, RNNCache, RNNParams, rnn_step


def rnn_backward(doutput, dh_T, cache):
    """Backpropagation through time: the vector-Jacobian product of ``rnn_forward``.

    Implements :eq:`bptt-delta`, :eq:`bptt-weights`, :eq:`bptt-input` of book/bptt. Source: Werbos
    (1990), written for matrices and for a batch. The weight gradients of all steps are one matrix product
    each, after the loop: that product is the sum over t.

    Parameters
    ----------
    doutput : (T, B, H) array
        dL/d output: the immediate gradient at each hidden state.
    dh_T : (B, H) array
        dL/d h_T through the second result of ``rnn_forward``; zero where a loss reads outputs only.
    cache : RNNCache

    Returns
    -------
    dx : (T, B, D) array
    dh_0 : (B, H) array
    dparams : RNNParams

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    x, h, params, nonlinearity = cache
    T, B, D = x.shape
    H = h.shape[-1]
    check_shape("doutput", doutput, T=T, B=B, H=H)
    check_shape("dh_T", dh_T, B=B, H=H)
    check_floats(x=x, doutput=doutput, dh_T=dh_T)

    # da starts as the slope of the nonlinearity and is turned into dL/da step by step.
    da = slope(h[1:], nonlinearity)
    dh = np.array(dh_T, dtype=h.dtype)
    for doutput_t, da_t in zip(doutput[::-1], da[::-1], strict=True):
        dh += doutput_t
        da_t *= dh
        da_t.dot(params.weight_hh, out=dh)
    flat = da.reshape(T * B, H)
    dbias = flat.sum(axis=0)
    dparams = RNNParams(
        weight_ih=flat.T @ x.reshape(T * B, D),
        weight_hh=flat.T @ h[:-1].reshape(T * B, H),
        bias_ih=dbias,
        bias_hh=dbias.copy(),
    )
    return (flat @ params.weight_ih).reshape(T, B, D), dh, dparams


def output_backward(dlogits, cache):
    """Vector-Jacobian product of ``output_forward``.

    Implements :eq:`bptt-output` of book/bptt.

    Parameters
    ----------
    dlogits : (T, B, V) array
    cache : OutputCache

    Returns
    -------
    dh : (T, B, H) array
    dparams : OutputParams

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    h, params = cache
    V, H = params.weight.shape
    T, B, _ = h.shape
    check_shape("dlogits", dlogits, T=T, B=B, V=V)
    check_floats(h=h, dlogits=dlogits)
    flat = dlogits.reshape(T * B, V)
    return dlogits @ params.weight, OutputParams(flat.T @ h.reshape(T * B, H), flat.sum(axis=0))


def cross_entropy_backward(dloss, cache):
    """Gradient of the softmax cross-entropy with respect to the logits.

    Implements :eq:`bptt-softmax` of book/bptt.

    Parameters
    ----------
    dloss : float
        dL/d loss; 1 for the loss itself.
    cache : CrossEntropyCache

    Returns
    -------
    (T, B, V) array
    """
    dlogits = cache.probabilities.copy()
    T, B, _ = dlogits.shape
    dlogits[np.arange(T)[:, None], np.arange(B), cache.targets] -= 1
    weight = (dloss * cache.weight)[..., None]
    return np.where(weight == 0, 0, weight * dlogits)


def contributions(doutput, cache):
    """Each loss step's gradient through each use of the recurrent matrix.

    Implements :eq:`bptt-triangle` of book/bptt. Summed over both time axes they are ``weight_hh``'s gradient.

    Parameters
    ----------
    doutput : (T, B, H) array
        dL/d output, as for :func:`rnn_backward`.
    cache : RNNCache

    Returns
    -------
    (T, T, H, H) array
        Element [s, t] is the part of step s's gradient that flows through use t of the matrix; it is zero for
        t > s.

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    x, h, params, nonlinearity = cache
    T, B, _ = x.shape
    H = h.shape[-1]
    check_shape("doutput", doutput, T=T, B=B, H=H)
    slopes = slope(h[1:], nonlinearity)
    parts = np.zeros((T, T, H, H), h.dtype)
    dh = np.zeros((T, B, H), h.dtype)  # row s: dL_s/dh_t at the current t
    for t in reversed(range(T)):
        dh[t] = doutput[t]
        da = dh[t:] * slopes[t]
        parts[t:, t] = da.transpose(0, 2, 1) @ h[t]
        dh[t:] = da @ params.weight_hh
    return parts


def rnn_backward_truncated(doutput, cache, k1, k2):
    """Truncated backpropagation through time.

    Implements :eq:`bptt-truncated` of book/bptt. Every `k1` steps, the losses of those steps are sent back
    over the last `k2` steps. The forward states are those of the whole sequence: state is carried,
    gradient is not. Source: Williams and Peng (1990), BPTT(h; h'), with h = k2 and h' = k1; the names k1, k2
    are those of Sutskever (2013). ``dx`` and ``dh_0`` are the sums of what the windows give; ``dh_0`` comes
    from those that reach the first step.

    Parameters
    ----------
    doutput : (T, B, H) array
        dL/d output.
    cache : RNNCache
    k1 : int
        Steps between two backward passes.
    k2 : int
        Steps that each backward pass covers, at least `k1`.

    Returns
    -------
    dx : (T, B, D) array
    dh_0 : (B, H) array
    dparams : RNNParams

    Raises
    ------
    ValueError
        If a shape does not fit, or not 1 <= k1 <= k2.
    """
    x, h, params, nonlinearity = cache
    T, B, _ = x.shape
    check_shape("doutput", doutput, T=T, B=B, H=h.shape[-1])
    check_windows(k1, k2)
    dx, dh_0 = np.zeros_like(x), np.zeros_like(h[0])
    dparams = RNNParams(*map(np.zeros_like, params))
    for start in range(0, T, k1):
        stop = min(start + k1, T)
        first = max(0, stop - k2)
        window = RNNCache(x[first:stop], h[first : stop + 1], params, nonlinearity)
        dwindow = doutput[first:stop].copy()
        dwindow[: start - first] = 0  # earlier losses have been sent back already
        dx_w, dh_w, dparams_w = rnn_backward(dwindow, np.zeros_like(h[0]), window)
        dx[first:stop] += dx_w
        if first == 0:
            dh_0 += dh_w
        dparams = RNNParams(*(total + part for total, part in zip(dparams, dparams_w, strict=True)))
    return dx, dh_0, dparams


class RTRLState(NamedTuple):
    """State and sensitivities that real-time recurrent learning carries forward."""

    h: np.ndarray
    """(B, H), the hidden state."""
    dh_dparams: RNNParams
    """The derivative of ``h`` by each parameter: (B, H) followed by the parameter's own shape."""


def rtrl_init(h_0, params):
    """State before the first step: an initial state does not depend on the parameters.

    Parameters
    ----------
    h_0 : (B, H) array
    params : RNNParams

    Returns
    -------
    RTRLState
    """
    return RTRLState(h_0, RNNParams(*(np.zeros(h_0.shape + p.shape, h_0.dtype) for p in params)))


def rtrl_step(x_t, state, params, nonlinearity="tanh"):
    """One step of real-time recurrent learning: the state and its derivative, forwards.

    Implements :eq:`bptt-rtrl` of book/bptt. Source: Williams and Zipser (1989), for a batch and with torch's
    parameter names; their unit squashes with the logistic function.

    Parameters
    ----------
    x_t : (B, D) array
    state : RTRLState
    params : RNNParams
    nonlinearity : {"tanh", "relu"}

    Returns
    -------
    RTRLState

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    h_prev, sensitivities = state
    h = rnn_step(x_t, h_prev, params, nonlinearity)
    slopes = slope(h, nonlinearity)
    H = h.shape[-1]
    unit = np.arange(H)
    after = []
    for name, before in zip(RNNParams._fields, sensitivities, strict=True):
        total = np.einsum("ij,bj...->bi...", params.weight_hh, before)
        # The immediate part: pre-activation i reads row i of each parameter and no other.
        if name == "weight_ih":
            total[:, unit, unit] += x_t[:, None]
        elif name == "weight_hh":
            total[:, unit, unit] += h_prev[:, None]
        else:
            total[:, unit, unit] += 1
        after.append(slopes.reshape(slopes.shape + (1,) * (total.ndim - 2)) * total)
    return RTRLState(h, RNNParams(*after))


def rtrl_gradient(dh, state):
    """Gradient of one step's loss by the parameters, from that step's sensitivities.

    Implements :eq:`bptt-rtrl` of book/bptt: one term of its sum.

    Parameters
    ----------
    dh : (B, H) array
        Immediate gradient dL_t/dh_t.
    state : RTRLState
        After step t.

    Returns
    -------
    RNNParams

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    check_shape("dh", dh, B=state.h.shape[0], H=state.h.shape[1])
    return RNNParams(*(np.einsum("bi,bi...->...", dh, s) for s in state.dh_dparams))
