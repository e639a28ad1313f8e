"""Networks over a sliding window, the network that reads its own output, and what a window can reach."""

import math
from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_floats, check_fraction, check_positive, check_sequence, check_shape
from rnncourse._numerics import softmax


class DelayParams(NamedTuple):
    """Parameters of one time-delay layer, named and laid out as in ``torch.nn.Conv1d``."""

    weight: np.ndarray
    """(H, D, n), one matrix (H, D) for each delay; the last one reads the newest input."""
    bias: np.ndarray
    """(H,)."""


class DelayCache(NamedTuple):
    """What a time-delay layer keeps for its backward pass."""

    x: np.ndarray
    """(T, B, D), the inputs."""
    params: DelayParams


class TDNNCache(NamedTuple):
    """What a stack of time-delay layers keeps for its backward pass."""

    delays: tuple
    """One DelayCache a layer."""
    outputs: tuple
    """Each layer's output, after tanh."""


class JordanParams(NamedTuple):
    """Parameters of a Jordan network."""

    weight_ih: np.ndarray
    """(H, D), input to hidden."""
    weight_hc: np.ndarray
    """(H, V), context to hidden."""
    bias_h: np.ndarray
    """(H,)."""
    weight_oh: np.ndarray
    """(V, H), hidden to output."""
    bias_o: np.ndarray
    """(V,)."""


class JordanCache(NamedTuple):
    """What the Jordan network keeps for its backward pass."""

    x: np.ndarray
    """(T, B, D), the inputs."""
    h: np.ndarray
    """(T, B, H), the hidden layer."""
    c: np.ndarray
    """(T+1, B, V), the contexts; index 0 is the initial one."""
    y: np.ndarray
    """(T, B, V), the softmax of the logits."""
    params: JordanParams
    alpha: float
    forced: bool
    """Whether a teacher's outputs, not the network's own, entered the context."""


def window_optimum(sequences, probabilities, n):
    """What a predictor that sees the last n symbols, and knows the step, can at best reach.

    Implements :eq:`sequences-bound` of book/sequences, by summing over all sequences.

    Parameters
    ----------
    sequences : (N, T) array of int
        Every sequence that can occur, each once.
    probabilities : (N,) array
        Their probabilities; they sum to one.
    n : int
        How many symbols before each step are seen, at least 1 (2.0 counts as 2); at the first steps there
        are fewer.

    Returns
    -------
    loss : (T,) array
        Least expected cross-entropy at each step, in nats.
    accuracy : (T,) array
        Largest share of right guesses at each step.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, a sequence is given twice, or the probabilities are none.
    """
    check_sequence("sequences", sequences, N=None, T=None)
    check_shape("probabilities", probabilities, N=len(sequences))
    if sequences.dtype.kind not in "iu":
        raise ValueError(f"sequences must hold integers, got dtype {sequences.dtype}")
    check_floats(probabilities=probabilities)
    if (probabilities < 0).any() or not math.isclose(probabilities.sum(), 1, abs_tol=1e-6):
        raise ValueError(f"probabilities must be at least 0 and sum to 1, got sum {probabilities.sum():.6g}")
    check_positive("n", n)
    if len(np.unique(sequences, axis=0)) < len(sequences):
        raise ValueError("sequences must hold each sequence once, got equal rows")
    n, T = int(n), sequences.shape[1]
    loss, accuracy = np.zeros((2, T), probabilities.dtype)
    for t in range(T):
        _, window = np.unique(sequences[:, max(0, t - n) : t], axis=0, return_inverse=True)
        _, symbol = np.unique(sequences[:, t], return_inverse=True)
        joint = np.zeros((window.max() + 1, symbol.max() + 1), probabilities.dtype)
        np.add.at(joint, (window.reshape(-1), symbol), probabilities)
        given = np.broadcast_to(joint.sum(axis=1, keepdims=True), joint.shape)
        occurs = joint > 0
        loss[t] = (joint[occurs] * np.log(given[occurs] / joint[occurs])).sum()
        accuracy[t] = joint.max(axis=1).sum()
    return loss, accuracy


def delay_init(rng, D, H, n, dtype=np.float64):
    """Draw the parameters of a time-delay layer, uniform on +-1/sqrt(D n).

    The distribution is that of ``torch.nn.Conv1d``; the drawn numbers are not.

    Parameters
    ----------
    rng : np.random.Generator
    D, H : int
        Input and hidden size.
    n : int
        How many inputs a unit sees.
    dtype : dtype

    Returns
    -------
    DelayParams

    Raises
    ------
    ValueError
        If a size is not positive.
    """
    for name, size in {"D": D, "H": H, "n": n}.items():
        check_positive(name, size)
    scale = np.sqrt(D * n, dtype=dtype)
    return DelayParams(*(rng.uniform(-1, 1, shape).astype(dtype) / scale for shape in [(H, D, n), (H,)]))


def delay_forward(x, params):
    """Time-delay layer, without its nonlinearity: each output reads n successive inputs.

    Implements :eq:`sequences-delay` of book/sequences: one product for each of the n delays, over all steps
    at once. It is ``torch.nn.Conv1d`` with stride 1 and no padding. Source: Waibel et al. (1989).

    Parameters
    ----------
    x : (T, B, D) array
        Inputs, time first, at least n of them.
    params : DelayParams

    Returns
    -------
    a : (T - n + 1, B, H) array
        Row t reads ``x[t : t + n]``.
    cache : DelayCache
        For :func:`delay_backward`.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, a number is not finite, or there are fewer than n inputs.
    """
    check_shape("weight", params.weight, H=None, D=None, n=None)
    H, D, n = params.weight.shape
    check_positive("n", n)
    check_shape("bias", params.bias, H=H)
    check_sequence("x", x, T=None, B=None, D=D)
    check_floats(x=x, **params._asdict())
    T, B, _ = x.shape
    steps = T - n + 1
    if steps < 1:
        raise ValueError(f"x must have at least n = {n} steps, got T = {T}")
    # Steps and sequences as rows, so that each delay is one matrix product; a delay of one is B rows.
    rows, kernels = x.reshape(T * B, D), np.ascontiguousarray(params.weight.transpose(2, 1, 0))
    a = rows[: steps * B] @ kernels[0]
    for k in range(1, n):
        a += rows[k * B : (k + steps) * B] @ kernels[k]
    a += params.bias
    return a.reshape(steps, B, H), DelayCache(x, params)


def delay_backward(da, cache):
    """Vector-Jacobian product of :func:`delay_forward`.

    Implements :eq:`sequences-delay-back` of book/sequences.

    Parameters
    ----------
    da : (T - n + 1, B, H) array
    cache : DelayCache

    Returns
    -------
    dx : (T, B, D) array
    dparams : DelayParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    x, params = cache
    T, B, D = x.shape
    H, _, n = params.weight.shape
    steps = T - n + 1
    check_shape("da", da, **{"T-n+1": steps, "B": B, "H": H})
    check_floats(x=x, da=da)
    flat, rows = da.reshape(steps * B, H), x.reshape(T * B, D)
    kernels = np.ascontiguousarray(params.weight.transpose(2, 0, 1))
    dx, dkernels = np.zeros_like(rows), np.empty_like(kernels)
    for k in range(n):
        read = slice(k * B, (k + steps) * B)
        dx[read] += flat @ kernels[k]
        np.matmul(flat.T, rows[read], out=dkernels[k])
    dweight = np.ascontiguousarray(dkernels.transpose(1, 2, 0))
    return dx.reshape(T, B, D), DelayParams(dweight, flat.sum(axis=0))


def tdnn_reach(layers):
    """How many successive inputs one output of a stack of time-delay layers sees.

    Parameters
    ----------
    layers : tuple of DelayParams

    Returns
    -------
    int
        One more than the sum of n - 1 over the layers.

    Raises
    ------
    ValueError
        If `layers` is no tuple of layers that fit one another.
    """
    _check_layers(layers)
    return 1 + sum(layer.weight.shape[2] - 1 for layer in layers)


def _check_layers(layers):
    if not isinstance(layers, tuple) or not layers or not all(isinstance(p, DelayParams) for p in layers):
        kind = "an empty tuple" if layers == () else type(layers).__name__
        raise ValueError(f"layers must be a tuple of at least one DelayParams, got {kind}")
    D = None
    for i, params in enumerate(layers):
        check_shape(f"layers[{i}].weight", params.weight, H=None, D=D, n=None)
        D, _, n = params.weight.shape
        check_positive(f"n of layers[{i}]", n)
        check_shape(f"layers[{i}].bias", params.bias, H=D)


def tdnn_forward(x, layers):
    """Time-delay neural network: time-delay layers, each followed by tanh.

    Implements :eq:`sequences-tdnn`, :eq:`sequences-reach` of book/sequences. Source: Waibel et al. (1989);
    their units squash with the logistic function, and they add up the last layer's outputs over time.

    Parameters
    ----------
    x : (T, B, D) array
    layers : tuple of DelayParams
        From the input upwards.

    Returns
    -------
    output : (T - r + 1, B, H) array
        With the reach r of the network, :func:`tdnn_reach`.
    cache : TDNNCache
        For :func:`tdnn_backward`.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, a number is not finite, or there are fewer inputs than the reach.
    """
    r = tdnn_reach(layers)
    check_sequence("x", x, T=None, B=None, D=layers[0].weight.shape[1])
    named = [
        (f"layers[{i}].{name}", p) for i, layer in enumerate(layers) for name, p in layer._asdict().items()
    ]
    check_floats(x=x, **dict(named))
    if len(x) < r:
        raise ValueError(f"x must have at least r = {r} steps, got T = {len(x)}")
    delays, outputs = [], []
    for layer in layers:
        a, cache = delay_forward(x, layer)
        x = np.tanh(a, out=a)
        delays.append(cache)
        outputs.append(x)
    return x, TDNNCache(tuple(delays), tuple(outputs))


def tdnn_backward(doutput, cache):
    """Vector-Jacobian product of :func:`tdnn_forward`.

    Implements :eq:`sequences-tdnn-back` of book/sequences.

    Parameters
    ----------
    doutput : (T - r + 1, B, H) array
    cache : TDNNCache

    Returns
    -------
    dx : (T, B, D) array
    dlayers : tuple of DelayParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    steps, B, H = cache.outputs[-1].shape
    check_shape("doutput", doutput, **{"T-r+1": steps, "B": B, "H": H})
    check_floats(output=cache.outputs[-1], doutput=doutput)
    dlayers = []
    for delay, output in zip(cache.delays[::-1], cache.outputs[::-1], strict=True):
        doutput, dparams = delay_backward(doutput * (1 - output**2), delay)
        dlayers.append(dparams)
    return doutput, tuple(dlayers[::-1])


def window_forward(x, past, layers):
    """Slide a feed-forward network over a sequence: step t sees the last r inputs, x[t] the newest.

    Implements :eq:`sequences-window` of book/sequences: a time-delay network over the inputs with what came
    before them in front. With one layer it is the hidden layer of the language model of Bengio et al.
    (2003), without their word vectors and direct connections.

    Parameters
    ----------
    x : (T, B, D) array
        Inputs, time first.
    past : (r - 1, B, D) array
        The inputs before them; zeros at the start of a sequence. All that the network knows of the past.
    layers : tuple of DelayParams
        With reach r.

    Returns
    -------
    output : (T, B, H) array
    past : (r - 1, B, D) array
        The last r - 1 inputs, to go on with.
    cache : TDNNCache
        For :func:`window_backward`.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    r = tdnn_reach(layers)
    check_sequence("x", x, T=None, B=None, D=layers[0].weight.shape[1])
    T, B, D = x.shape
    check_shape("past", past, **{"r-1": r - 1, "B": B, "D": D})
    check_floats(x=x, past=past)
    seen = np.concatenate([past, x])
    output, cache = tdnn_forward(seen, layers)
    return output, seen[T:], cache


def window_backward(doutput, dpast, cache):
    """Vector-Jacobian product of :func:`window_forward`.

    Implements :eq:`sequences-tdnn-back` of book/sequences, with the inputs before the first split off.

    Parameters
    ----------
    doutput : (T, B, H) array
    dpast : (r - 1, B, D) array
        dL/d of the second result; zero where a loss reads outputs only.
    cache : TDNNCache

    Returns
    -------
    dx : (T, B, D) array
    dpast : (r - 1, B, D) array
        By the inputs before the first.
    dlayers : tuple of DelayParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    seen, output = cache.delays[0].x, cache.outputs[-1]
    older = len(seen) - len(output)
    check_shape("doutput", doutput, T=len(output), B=output.shape[1], H=output.shape[2])
    check_shape("dpast", dpast, **{"r-1": older, "B": seen.shape[1], "D": seen.shape[2]})
    check_floats(output=output, doutput=doutput, dpast=dpast)
    dseen, dlayers = tdnn_backward(doutput, cache)
    dseen[len(seen) - older :] += dpast
    return dseen[older:], dseen[:older], dlayers


def jordan_init(rng, D, H, V, dtype=np.float64):
    """Draw the parameters of a Jordan network, uniform on +-1/sqrt(H).

    Parameters
    ----------
    rng : np.random.Generator
    D, H, V : int
        Inputs, hidden units, outputs.
    dtype : dtype

    Returns
    -------
    JordanParams

    Raises
    ------
    ValueError
        If a size is not positive.
    """
    for name, size in {"D": D, "H": H, "V": V}.items():
        check_positive(name, size)
    shapes = [(H, D), (H, V), (H,), (V, H), (V,)]
    return JordanParams(*(rng.uniform(-1, 1, s).astype(dtype) / np.sqrt(H, dtype=dtype) for s in shapes))


def jordan_forward(x, c_0, params, alpha=0.0, teacher=None):
    """Jordan network over a sequence: the context is a decaying sum of the outputs so far.

    Implements :eq:`sequences-jordan` of book/sequences. Source: Jordan (1986). The outputs are a softmax, so
    that they fit classes. On its own outputs the gradient goes back through time, which Jordan's did not.

    Parameters
    ----------
    x : (T, B, D) array
        Inputs, time first.
    c_0 : (B, V) array
        Initial context.
    params : JordanParams
    alpha : float
        What stays of the context from step to step, in [0, 1).
    teacher : (T, B, V) array, optional
        The right outputs, which then enter the context in place of the network's own (teacher forcing).

    Returns
    -------
    logits : (T, B, V) array
        Whose softmax is the output.
    c_T : (B, V) array
        Context after the last step.
    cache : JordanCache
        For :func:`jordan_backward`.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, a number is not finite, or alpha is out of range.
    """
    check_shape("weight_ih", params.weight_ih, H=None, D=None)
    H, D = params.weight_ih.shape
    check_shape("bias_o", params.bias_o, V=None)
    V = len(params.bias_o)
    check_shape("weight_hc", params.weight_hc, H=H, V=V)
    check_shape("bias_h", params.bias_h, H=H)
    check_shape("weight_oh", params.weight_oh, V=V, H=H)
    check_sequence("x", x, T=None, B=None, D=D)
    T, B, _ = x.shape
    check_shape("c_0", c_0, B=B, V=V)
    check_floats(x=x, c_0=c_0, **params._asdict())
    check_fraction("alpha", alpha)
    if teacher is not None:
        check_shape("teacher", teacher, T=T, B=B, V=V)
        check_floats(x=x, teacher=teacher)

    alpha = float(alpha)
    h = x @ params.weight_ih.T + params.bias_h
    logits, c = np.empty((T, B, V), x.dtype), np.empty((T + 1, B, V), x.dtype)
    y = np.empty_like(logits)
    c[0] = c_0
    for t in range(T):
        h[t] = np.tanh(h[t] + c[t] @ params.weight_hc.T)
        logits[t] = h[t] @ params.weight_oh.T + params.bias_o
        y[t] = softmax(logits[t])
        c[t + 1] = alpha * c[t] + (y[t] if teacher is None else teacher[t])
    return logits, c[-1], JordanCache(x, h, c, y, params, alpha, teacher is not None)


def jordan_backward(dlogits, dc_T, cache):
    """Vector-Jacobian product of :func:`jordan_forward`, the teacher held fixed.

    Implements :eq:`sequences-jordan-back` of book/sequences. On its own outputs the gradient goes back
    through time, by way of the context; that of Jordan (1986) stayed within the step.

    Parameters
    ----------
    dlogits : (T, B, V) array
    dc_T : (B, V) array
        dL/d c_T through the second result; zero where a loss reads outputs only.
    cache : JordanCache

    Returns
    -------
    dx : (T, B, D) array
    dc_0 : (B, V) array
    dparams : JordanParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    x, h, c, y, params, alpha, forced = cache
    T, B, D = x.shape
    V, H = params.weight_oh.shape
    check_shape("dlogits", dlogits, T=T, B=B, V=V)
    check_shape("dc_T", dc_T, B=B, V=V)
    check_floats(x=x, dlogits=dlogits, dc_T=dc_T)
    do, da = dlogits.copy(), 1 - h**2
    dc = dc_T
    for t in reversed(range(T)):
        if not forced:  # through the softmax that entered the context
            do[t] += y[t] * (dc - (dc * y[t]).sum(axis=-1, keepdims=True))
        da[t] *= do[t] @ params.weight_oh
        dc = alpha * dc + da[t] @ params.weight_hc
    flat, flat_o = da.reshape(T * B, H), do.reshape(T * B, V)
    dparams = JordanParams(
        weight_ih=flat.T @ x.reshape(T * B, D),
        weight_hc=flat.T @ c[:-1].reshape(T * B, V),
        bias_h=flat.sum(axis=0),
        weight_oh=flat_o.T @ h.reshape(T * B, H),
        bias_o=flat_o.sum(axis=0),
    )
    return da @ params.weight_ih, dc, dparams
