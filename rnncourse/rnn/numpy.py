"""The Elman network over a sequence, its output layer and its loss, in NumPy."""

from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_choice, check_floats, check_ids, check_sequence, check_shape
from rnncourse._numerics import log_softmax, one_hot, softmax


class RNNParams(NamedTuple):
    """Parameters of one recurrent layer, named as in ``torch.nn.RNN``."""

    weight_ih: np.ndarray
    """(H, D), from the input."""
    weight_hh: np.ndarray
    """(H, H), from the previous hidden state."""
    bias_ih: np.ndarray
    """(H,), added to the input product."""
    bias_hh: np.ndarray
    """(H,), added to the recurrent product; redundant beside ``bias_ih``, kept for parity."""


class OutputParams(NamedTuple):
    """Parameters of the output layer, named as in ``torch.nn.Linear``."""

    weight: np.ndarray
    """(V, H)."""
    bias: np.ndarray
    """(V,)."""


class RNNCache(NamedTuple):
    """What the forward pass keeps for the backward pass."""

    x: np.ndarray
    """(T, B, D), the inputs."""
    h: np.ndarray
    """(T+1, B, H), the hidden states; index 0 is the initial state."""
    params: RNNParams
    nonlinearity: str


class OutputCache(NamedTuple):
    """What the output layer keeps for its backward pass."""

    h: np.ndarray
    """(T, B, H), the hidden states it read."""
    params: OutputParams


class CrossEntropyCache(NamedTuple):
    """What the loss keeps for its backward pass."""

    probabilities: np.ndarray
    """(T, B, V), the softmax of the logits."""
    targets: np.ndarray
    """(T, B), integers in 0 .. V - 1."""
    weight: np.ndarray
    """(T, B), the factor of each position in the loss, 0 where masked."""


def rnn_init(rng, D, H, dtype=np.float64):
    """Draw the parameters of a recurrent layer, uniform on +-1/sqrt(H).

    The distribution is that of ``torch.nn.RNN``; the drawn numbers are not.

    Parameters
    ----------
    rng : np.random.Generator
    D, H : int
        Input and hidden size.
    dtype : dtype

    Returns
    -------
    RNNParams
    """
    return RNNParams(*(_uniform(rng, shape, H, dtype) for shape in [(H, D), (H, H), (H,), (H,)]))


def output_init(rng, H, V, dtype=np.float64):
    """Draw the parameters of an output layer, uniform on +-1/sqrt(H), as ``torch.nn.Linear`` does.

    Parameters
    ----------
    rng : np.random.Generator
    H, V : int
        Hidden size and number of outputs.
    dtype : dtype

    Returns
    -------
    OutputParams
    """
    return OutputParams(*(_uniform(rng, shape, H, dtype) for shape in [(V, H), (V,)]))


def _uniform(rng, shape, H, dtype):
    return rng.uniform(-1, 1, shape).astype(dtype) / np.sqrt(H, dtype=dtype)


def _check_params(params):
    """Sizes H, D of a recurrent layer; a wrong shape would be broadcast without a word."""
    check_shape("weight_ih", params.weight_ih, H=None, D=None)
    H, D = params.weight_ih.shape
    check_shape("weight_hh", params.weight_hh, H=H, H_=H)
    check_shape("bias_ih", params.bias_ih, H=H)
    check_shape("bias_hh", params.bias_hh, H=H)
    return H, D


def rnn_step(x_t, h, params, nonlinearity="tanh"):
    """One step of the recurrence.

    Implements :eq:`rnn-state` of book/rnn. Source: Elman (1990); his units squash with the logistic function
    and have one bias.

    Parameters
    ----------
    x_t : (B, D) array
        Input of this step.
    h : (B, H) array
        Hidden state before this step.
    params : RNNParams
    nonlinearity : {"tanh", "relu"}

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
    check_shape("x_t", x_t, B=None, D=D)
    check_shape("h", h, B=len(x_t), H=H)
    check_floats(x_t=x_t, h=h, **params._asdict())
    check_choice("nonlinearity", nonlinearity, ["tanh", "relu"])
    a = x_t @ params.weight_ih.T + params.bias_ih + h @ params.weight_hh.T + params.bias_hh
    return np.tanh(a) if nonlinearity == "tanh" else np.maximum(a, 0)


def rnn_forward(x, h_0, params, nonlinearity="tanh"):
    """Run the recurrence over a sequence.

    Implements :eq:`rnn-forward` of book/rnn: :func:`rnn_step`, T times. The input product of all steps
    is one matrix product before the loop.

    Parameters
    ----------
    x : (T, B, D) array
        Inputs, time first.
    h_0 : (B, H) array
        Initial hidden state.
    params : RNNParams
    nonlinearity : {"tanh", "relu"}

    Returns
    -------
    output : (T, B, H) array
        Hidden state after each step.
    h_T : (B, H) array
        The last of them.
    cache : RNNCache
        For :func:`rnncourse.bptt.numpy.rnn_backward`.

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
    check_choice("nonlinearity", nonlinearity, ["tanh", "relu"])

    h = np.empty((T + 1, B, H), x.dtype)
    h[0] = h_0
    np.matmul(x.reshape(T * B, D), params.weight_ih.T, out=h[1:].reshape(T * B, H))
    h[1:] += params.bias_ih + params.bias_hh
    # h[t] holds the input's share of the pre-activation until step t turns it into the state.
    weight_hh_T = np.ascontiguousarray(params.weight_hh.T)
    product = np.empty((B, H), h.dtype)
    states = list(h)
    for previous, current in zip(states, states[1:], strict=False):
        previous.dot(weight_hh_T, out=product)
        current += product
        if nonlinearity == "tanh":
            np.tanh(current, out=current)
        else:
            np.maximum(current, 0, out=current)
    return h[1:], h[-1], RNNCache(x, h, params, nonlinearity)


def output_forward(h, params):
    """Read out every hidden state: logits from an affine map.

    Implements :eq:`rnn-output` of book/rnn.

    Parameters
    ----------
    h : (T, B, H) array
        Hidden states.
    params : OutputParams

    Returns
    -------
    logits : (T, B, V) array
    cache : OutputCache
        For :func:`rnncourse.bptt.numpy.output_backward`.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    check_shape("weight", params.weight, V=None, H=None)
    V, H = params.weight.shape
    check_shape("bias", params.bias, V=V)
    check_shape("h", h, T=None, B=None, H=H)
    check_floats(h=h, **params._asdict())
    return h @ params.weight.T + params.bias, OutputCache(h, params)


def cross_entropy_forward(logits, targets, mask=None, reduction="mean"):
    """Softmax cross-entropy of all steps, in nats.

    Implements :eq:`rnn-loss` of book/rnn, the sum over steps and sequences, or its mean over the
    positions that the mask keeps.

    Parameters
    ----------
    logits : (T, B, V) array
    targets : (T, B) array of int
        The right class at each position, 0 .. V - 1; any valid class where masked.
    mask : (T, B) array of bool, optional
        False at padding; those positions count neither in the sum nor in the mean.
    reduction : {"mean", "sum"}

    Returns
    -------
    loss : float
    cache : CrossEntropyCache
        For :func:`rnncourse.bptt.numpy.cross_entropy_backward`.

    Raises
    ------
    ValueError
        If a shape does not fit, a target is out of range, or the mask keeps no position.
    """
    check_shape("logits", logits, T=None, B=None, V=None)
    T, B, V = logits.shape
    check_shape("targets", targets, T=T, B=B)
    check_ids("targets", targets, V)
    check_choice("reduction", reduction, ["mean", "sum"])
    if mask is None:
        mask = np.ones((T, B), bool)
    check_shape("mask", mask, T=T, B=B)
    if not mask.any():
        raise ValueError("mask must keep at least one position, got none")
    weight = mask.astype(logits.dtype)
    if reduction == "mean":
        weight /= weight.sum()
    log_probabilities = log_softmax(logits)
    chosen = np.take_along_axis(log_probabilities, targets[..., None], axis=-1)[..., 0]
    # A masked position may hold -inf or nan, which a zero weight would not remove.
    loss = -(weight * np.where(mask, chosen, 0)).sum()
    return loss, CrossEntropyCache(np.exp(log_probabilities), targets, weight)


def rnn_sample(first, h, params, output_params, length, rng=None):
    """Generate a sequence by feeding each output back as the next input.

    Parameters
    ----------
    first : int
        The class that is read first.
    h : (H,) array
        Hidden state before it.
    params : RNNParams
        With D = V: inputs are one-hot classes. The nonlinearity is tanh.
    output_params : OutputParams
    length : int
        How many classes to generate.
    rng : np.random.Generator, optional
        Draws each class from the softmax; without it the likeliest class is taken.

    Returns
    -------
    (length,) array of int

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    V, H = output_params.weight.shape
    check_shape("h", h, H=H)
    check_ids("first", np.asarray(first), V)
    generated = np.empty(length, int)
    h, token = h[None], first
    for i in range(length):
        h = rnn_step(one_hot([token], V, h.dtype), h, params)
        logits = output_forward(h[None], output_params)[0][0, 0]
        if rng is None:
            token = int(logits.argmax())
        else:
            token = min(int(np.searchsorted(softmax(logits).cumsum(), rng.random())), V - 1)
        generated[i] = token
    return generated
