"""Recurrent language models in NumPy: loss and gradient, sampling, and what a prediction depends on."""

from typing import Any, NamedTuple

import numpy as np

from rnncourse._checks import (
    check_choice,
    check_floats,
    check_ids,
    check_positive,
    check_sequence,
    check_shape,
)
from rnncourse._numerics import log_softmax, softmax
from rnncourse.bptt.numpy import cross_entropy_backward, output_backward, rnn_backward
from rnncourse.embeddings.numpy import EmbeddingCache, embedding_backward, embedding_forward, embedding_init
from rnncourse.gru.numpy import GRUParams, gru_backward, gru_forward, gru_init
from rnncourse.lstm.numpy import LSTMParams, lstm_backward, lstm_forward, lstm_init
from rnncourse.rnn.numpy import (
    OutputCache,
    OutputParams,
    RNNParams,
    cross_entropy_forward,
    output_forward,
    output_init,
    rnn_forward,
    rnn_init,
)

CELLS = {
    "rnn": (RNNParams, rnn_init, rnn_forward, rnn_backward),
    "gru": (GRUParams, gru_init, gru_forward, gru_backward),
    "lstm": (LSTMParams, lstm_init, lstm_forward, lstm_backward),
}


class LMParams(NamedTuple):
    """Parameters of a language model."""

    embedding: np.ndarray
    """(V, E), a row for each token."""
    cell: Any
    """RNNParams, GRUParams or LSTMParams with D = E."""
    output: Any
    """OutputParams, or in a model with tied weights the bias alone, (V,), the weight being the embedding."""


class LMCache(NamedTuple):
    """What the forward pass keeps for the backward pass."""

    embedding: EmbeddingCache
    cell: Any
    """The cache of the cell."""
    output: OutputCache
    params: LMParams


def lm_init(rng, V, E, H, cell="lstm", tied=False, dtype=np.float64):
    """Draw the parameters of a language model.

    The embedding is standard normal, as in ``torch.nn.Embedding``; with tied weights it is uniform on
    +-1/sqrt(H), as an output layer is, or the first logits would be too large.

    Parameters
    ----------
    rng : np.random.Generator
    V, E, H : int
        Vocabulary, embedding and hidden size.
    cell : {"rnn", "gru", "lstm"}
    tied : bool
        Whether the output layer uses the embedding as its weight; E must be H.
    dtype : dtype

    Returns
    -------
    LMParams

    Raises
    ------
    ValueError
        If a size is not positive, the cell is unknown, or weights are tied and E is not H.
    """
    for name, size in {"V": V, "E": E, "H": H}.items():
        check_positive(name, size)
    check_choice("cell", cell, list(CELLS))
    if tied and E != H:
        raise ValueError(f"E must be H = {H} where the output layer uses the embedding, got {E}")
    output = output_init(rng, H, V, dtype)
    embedding = output.weight if tied else embedding_init(rng, V, E, dtype=dtype)
    return LMParams(embedding, CELLS[cell][1](rng, E, H, dtype=dtype), output.bias if tied else output)


def is_tied(params):
    """Whether the output layer uses the embedding as its weight."""
    return not isinstance(params.output, OutputParams)


def zero_state(params, B):
    """Initial state of B streams: (B, H) zeros, for an LSTM a pair of them.

    Parameters
    ----------
    params : LMParams
    B : int

    Returns
    -------
    (B, H) array or pair of them
    """
    check_positive("B", B)
    weight_hh = params.cell.weight_hh
    zeros = np.zeros((B, weight_hh.shape[1]), weight_hh.dtype)
    return (zeros, zeros.copy()) if isinstance(params.cell, LSTMParams) else zeros


def lm_forward(ids, state, params):
    """Read tokens and say, after each, what comes next.

    Implements :eq:`lm-model`, :eq:`lm-tied` of book/language_model. Source: Mikolov et al. (2010); they had
    an Elman network whose input is one-hot, here an embedding stands before any of three cells. Tying: Inan,
    Khosravi and Socher (2017), Press and Wolf (2017).

    Parameters
    ----------
    ids : (T, B) array of int
        B streams of T tokens.
    state : (B, H) array or pair of them
        The state before the first token: :func:`zero_state`, or what an earlier call returned.
    params : LMParams

    Returns
    -------
    logits : (T, B, V) array
        ``logits[t]`` is for the token after ``ids[t]``.
    state : like `state`
        After the last token.
    cache : LMCache
        For :func:`lm_backward`.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or an id is out of range.
    """
    V = _check_params(params)
    ids = np.asarray(ids)
    check_sequence("ids", ids, T=None, B=None)
    check_ids("ids", ids, V)
    _, _, forward, _ = _cell(params)
    x, embedding_cache = embedding_forward(ids, params.embedding)
    output, state, cell_cache = forward(x, state, params.cell)
    weights = OutputParams(params.embedding, params.output) if is_tied(params) else params.output
    logits, output_cache = output_forward(output, weights)
    return logits, state, LMCache(embedding_cache, cell_cache, output_cache, params)


def lm_backward(dlogits, dstate, cache):
    """Vector-Jacobian product of :func:`lm_forward`.

    Implements :eq:`lm-dembedding`, :eq:`lm-dtied` of book/language_model.

    Parameters
    ----------
    dlogits : (T, B, V) array
        dL/d logits.
    dstate : (B, H) array or pair of them
        dL/d state after the last token; zero where the gradient is cut.
    cache : LMCache

    Returns
    -------
    dx : (T, B, E) array
        dL by the vector that each token was read as.
    dstate : like `dstate`
        dL/d state before the first token.
    dparams : LMParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit.
    """
    params = cache.params
    doutput, dweights = output_backward(dlogits, cache.output)
    _, _, _, backward = _cell(params)
    dx, dstate, dcell = backward(doutput, dstate, cache.cell)
    dembedding = embedding_backward(dx, cache.embedding)
    if is_tied(params):
        return dx, dstate, LMParams(dembedding + dweights.weight, dcell, dweights.bias)
    return dx, dstate, LMParams(dembedding, dcell, dweights)


def lm_loss(x, y, state, params):
    """Mean cross-entropy of a batch in nats, the state to carry on, and the gradient within the batch.

    Implements :eq:`lm-loss`, :eq:`lm-carried` of book/language_model: the state comes from the batch before
    and goes on to the next, the gradient stops at both ends.

    Parameters
    ----------
    x, y : (T, B) arrays of int
        Tokens, and for each the token that follows it, as from
        :func:`rnncourse.data.text.contiguous_batches`.
    state : (B, H) array or pair of them
    params : LMParams

    Returns
    -------
    loss : float
    state : like `state`
    dparams : LMParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or an id is out of range.
    """
    logits, after, cache = lm_forward(x, state, params)
    loss, loss_cache = cross_entropy_forward(logits, np.asarray(y))
    cut = zero_state(params, logits.shape[1])
    _, _, dparams = lm_backward(cross_entropy_backward(1.0, loss_cache), cut, cache)
    return float(loss), after, dparams


def lm_logprob(ids, state, params):
    """ln P of each token given those before it.

    Implements :eq:`lm-chain` of book/language_model: the sum over a stream is the ln P of its tokens but the
    first.

    Parameters
    ----------
    ids : (T + 1, B) array of int
    state : (B, H) array or pair of them
        Before the first token.
    params : LMParams

    Returns
    -------
    logprob : (T, B) array
        In nats, of ``ids[1:]``.
    state : like `state`
        After ``ids[:-1]``: the last token has not been read.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or an id is out of range.
    """
    ids = np.asarray(ids)
    check_shape("ids", ids, **{"T + 1": None, "B": None})
    check_ids("ids", ids, _check_params(params))
    logits, state, _ = lm_forward(ids[:-1], state, params)
    return np.take_along_axis(log_softmax(logits), ids[1:, :, None], axis=-1)[..., 0], state


def excess(logprob, true_logprob):
    """How many nats a model spends on each token beyond what the source itself does.

    Implements :eq:`lm-excess` of book/language_model. The mean over text from the source estimates the
    Kullback-Leibler divergence of the model from it; a single token may come out negative.

    Parameters
    ----------
    logprob, true_logprob : arrays of float of one shape
        ln P of each token, by the model and by the source.

    Returns
    -------
    array

    Raises
    ------
    ValueError
        If the shapes differ, or a number is not finite.
    """
    logprob, true_logprob = np.asarray(logprob), np.asarray(true_logprob)
    if logprob.shape != true_logprob.shape:
        raise ValueError(
            f"logprob must have the shape of true_logprob, {true_logprob.shape}, got {logprob.shape}"
        )
    check_floats(logprob=logprob, true_logprob=true_logprob)
    return true_logprob - logprob


def entropy(probabilities):
    """Entropy over the last axis, in nats; a probability of zero adds nothing.

    Implements :eq:`lm-entropy` of book/language_model.

    Parameters
    ----------
    probabilities : (..., V) array

    Returns
    -------
    (...) array

    Raises
    ------
    ValueError
        If a number is negative or not finite, or a row does not sum to 1.
    """
    p = _check_probabilities(probabilities)
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)


def at_temperature(logits, tau):
    """Softmax of the logits divided by a temperature.

    Implements :eq:`lm-temperature` of book/language_model. Source: Ackley, Hinton and Sejnowski (1985), who
    use it for the states of a Boltzmann machine.

    Parameters
    ----------
    logits : (..., V) array
    tau : float
        Above 0 and finite. Towards 0 all goes to the largest logit, towards infinity all become equal.

    Returns
    -------
    (..., V) array

    Raises
    ------
    ValueError
        If `tau` is not above 0, or the logits are no finite floats.
    """
    logits = _check_logits(logits)
    if not 0 < tau < np.inf:
        raise ValueError(f"tau must lie in (0, inf), got {tau!r}")
    with np.errstate(over="ignore", under="ignore"):
        return softmax(_scaled(logits, tau)).astype(logits.dtype)


def entropy_slope(logits, tau):
    """Derivative of the entropy by the temperature, in nats per unit.

    Implements :eq:`lm-slope` of book/language_model: the variance of the logits over tau cubed.

    Parameters
    ----------
    logits : (..., V) array
    tau : float
        Above 0.

    Returns
    -------
    (...) array, never negative

    Raises
    ------
    ValueError
        If `tau` is not above 0, or the logits are no finite floats.
    """
    logits = np.asarray(logits)
    check_floats(logits=logits)
    p = at_temperature(logits.astype(np.float64), tau)
    with np.errstate(over="ignore", under="ignore"):
        # The variance of o / tau over tau: tau cubed might be 0. Where p is 0, o may be anything.
        scaled = np.where(p > 0, _scaled(logits, tau), 0)
        deviation = scaled - (p * scaled).sum(axis=-1, keepdims=True)
        return ((p * deviation**2).sum(axis=-1) / tau).astype(logits.dtype)


def keep_top_k(logits, k):
    """Softmax over the k largest logits; all other tokens get zero.

    Implements :eq:`lm-top-k` of book/language_model. Source: Fan, Lewis and Dauphin (2018). Of equal logits
    those with the smaller ids are kept, so that k tokens remain.

    Parameters
    ----------
    logits : (..., V) array
    k : int
        At least 1; from V on nothing is cut.

    Returns
    -------
    (..., V) array

    Raises
    ------
    ValueError
        If `k` is no integer of at least 1, or the logits are no finite floats.
    """
    check_positive("k", k)
    logits = _check_logits(logits)
    order = np.argsort(-logits, axis=-1, kind="stable")
    kept = np.zeros_like(logits)
    np.put_along_axis(kept, order[..., :k], 1, axis=-1)
    p = kept * softmax(logits)
    return p / p.sum(axis=-1, keepdims=True)


def keep_nucleus(logits, mass):
    """Softmax over the smallest set of tokens that holds a share of the probability; all others get zero.

    Implements :eq:`lm-nucleus` of book/language_model. Source: Holtzman et al. (2020). The token that brings
    the sum to `mass` is kept, so at least one is.

    Parameters
    ----------
    logits : (..., V) array
    mass : float
        In (0, 1], the paper's p.

    Returns
    -------
    (..., V) array

    Raises
    ------
    ValueError
        If `mass` is out of range, or the logits are no finite floats.
    """
    if not 0 < mass <= 1:
        raise ValueError(f"mass must lie in (0, 1], got {mass!r}")
    logits = _check_logits(logits)
    p = softmax(logits)
    if mass == 1:
        return p  # rounding of the sums must cut nothing
    order = np.argsort(-logits, axis=-1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=-1)
    # A token stays while those before it fall short.
    kept = np.zeros_like(p)
    np.put_along_axis(kept, order, np.cumsum(ranked, axis=-1) - ranked < mass, axis=-1)
    p = kept * p
    return p / p.sum(axis=-1, keepdims=True)


def sampling_probabilities(logits, temperature=1.0, top_k=None, nucleus=None):
    """Probabilities to draw the next token from: temperature first, then top-k, then the nucleus.

    The nucleus holds its share of what top-k has left.

    Parameters
    ----------
    logits : (..., V) array
    temperature : float
        As :func:`at_temperature` takes it.
    top_k : int, optional
        As :func:`keep_top_k`.
    nucleus : float, optional
        As :func:`keep_nucleus`.

    Returns
    -------
    (..., V) array

    Raises
    ------
    ValueError
        If a setting is out of range, or the logits are no floats.
    """
    p = at_temperature(logits, temperature)
    # ln 0 is -inf, a token that is ruled out.
    with np.errstate(divide="ignore"):
        if top_k is not None:
            p = keep_top_k(np.log(p), top_k)
        if nucleus is not None:
            p = keep_nucleus(np.log(p), nucleus)
    return p


def draw(rng, probabilities):
    """Draw a token from each row: the first at which the cumulated probability exceeds a uniform number.

    Parameters
    ----------
    rng : np.random.Generator
        Gives one number for each row.
    probabilities : (B, V) array

    Returns
    -------
    (B,) array of int

    Raises
    ------
    ValueError
        If a row is no distribution.
    """
    p = _check_probabilities(probabilities)
    check_shape("probabilities", p, B=None, V=None)
    sums = np.cumsum(p, axis=-1, dtype=np.float64)
    # Scaled by the sum, which rounding may leave below 1: no token of probability zero is drawn.
    return (sums <= rng.random(len(p))[:, None] * sums[:, -1:]).sum(axis=-1)


def sample(rng, prompt, params, length, *, temperature=1.0, top_k=None, nucleus=None):
    """Continue B streams, each token drawn and read as the next input.

    Parameters
    ----------
    rng : np.random.Generator
    prompt : (T, B) array of int
        What is read first, from a zero state.
    params : LMParams
    length : int
        How many tokens to add.
    temperature, top_k, nucleus
        As :func:`sampling_probabilities` takes them; ``top_k=1`` takes the likeliest token each time.

    Returns
    -------
    (length, B) array of int

    Raises
    ------
    ValueError
        If a shape does not fit, or an id or a setting is out of range.
    """
    check_positive("length", length)
    prompt = np.asarray(prompt)
    check_sequence("prompt", prompt, T=None, B=None)
    logits, state, _ = lm_forward(prompt, zero_state(params, prompt.shape[1]), params)
    added = np.empty((length, prompt.shape[1]), int)
    for t in range(length):
        if t:
            logits, state, _ = lm_forward(added[t - 1 : t], state, params)
        added[t] = draw(rng, sampling_probabilities(logits[-1], temperature, top_k, nucleus))
    return added


def influence(ids, params):
    """Gradient of each prediction by each vector that was read before it.

    Implements :eq:`lm-influence` of book/language_model. The predictions are sent back one by one, as many
    copies of the stream side by side: time and memory grow with the square of T.

    Parameters
    ----------
    ids : (T + 1,) array of int
        One stream, read from a zero state.
    params : LMParams

    Returns
    -------
    (T, T, E) array
        Element [t, s] is the derivative of ln P(ids[t + 1] | ids[:t + 1]) by the vector as which ids[s] was
        read; it is zero for s > t.

    Raises
    ------
    ValueError
        If `ids` has fewer than two elements, or one is out of range.
    """
    ids = np.asarray(ids)
    check_shape("ids", ids, **{"T + 1": None})
    if len(ids) < 2:
        raise ValueError(f"ids must have at least two elements, got {len(ids)}")
    T = len(ids) - 1
    copies = np.repeat(ids[:, None], T, axis=1)
    logits, state, cache = lm_forward(copies[:-1], zero_state(params, T), params)
    _, loss_cache = cross_entropy_forward(logits, copies[1:], np.eye(T, dtype=bool), "sum")
    # Copy b holds the loss of step b alone; the loss is -ln P.
    dx, _, _ = lm_backward(cross_entropy_backward(-1.0, loss_cache), zero_state(params, T), cache)
    return dx.transpose(1, 0, 2)


def exposure(secret, others):
    """How far a secret stands out among those that might have been planted in its place, in bits.

    Implements :eq:`lm-exposure` of book/language_model. Source: Carlini et al. (2019); candidates of equal
    probability count as half above the secret, so that a model that knows nothing is not favoured.

    Parameters
    ----------
    secret : float
        ln P of the planted candidate.
    others : (n,) array of float
        ln P of all other candidates.

    Returns
    -------
    float
        log2(n + 1) - log2(rank): log2(n + 1) if the secret is the likeliest of all, 0 if it is the least.

    Raises
    ------
    ValueError
        If there are no others, or a number is not finite.
    """
    others = np.asarray(others)
    check_shape("others", others, n=None)
    if not others.size:
        raise ValueError("others must hold at least one candidate, got none")
    secret = np.asarray(secret, others.dtype)
    check_floats(others=others, secret=secret)
    rank = 1 + (others > secret).sum() + (others == secret).sum() / 2
    return float(np.log2(len(others) + 1) - np.log2(rank))


def _cell(params):
    for entry in CELLS.values():
        if isinstance(params.cell, entry[0]):
            return entry
    raise ValueError(f"cell must be RNNParams, GRUParams or LSTMParams, got {type(params.cell).__name__}")


def _check_params(params):
    """The size V of the vocabulary; what the cell and the output layer need they check themselves."""
    _cell(params)
    check_shape("embedding", params.embedding, V=None, E=None)
    V, E = params.embedding.shape
    check_shape("weight_ih", params.cell.weight_ih, rows=None, E=E)
    if is_tied(params):
        check_shape("output", params.output, V=V)
    else:
        check_shape("output.weight", params.output.weight, V=V, H=params.cell.weight_hh.shape[1])
    return V


def _check_logits(logits):
    logits = np.asarray(logits)
    if not logits.ndim or not logits.shape[-1]:
        raise ValueError(f"logits must have shape (..., V) with V at least 1, got {logits.shape}")
    # -inf is a token that is ruled out; one must be left.
    check_floats(logits=np.where(logits == -np.inf, logits.dtype.type(0), logits))
    if logits.size and logits.max(axis=-1).min() == -np.inf:
        raise ValueError("logits must have one finite number in each row, got a row of -inf")
    return logits


def _scaled(logits, tau):
    """Logits over tau, the largest 0, so that a small tau can overflow downwards alone; in float64."""
    logits = logits.astype(np.float64)
    return (logits - logits.max(axis=-1, keepdims=True)) / tau


def _check_probabilities(probabilities):
    p = np.asarray(probabilities)
    if not p.ndim or not p.shape[-1]:
        raise ValueError(f"probabilities must have shape (..., V) with V at least 1, got {p.shape}")
    check_floats(probabilities=p)
    total = p.sum(axis=-1)
    if p.min(initial=0) < 0 or np.abs(total - 1).max(initial=0) > 1e-3:
        raise ValueError("probabilities must be at least 0 and sum to 1 in each row")
    return p
