"""Attention in NumPy: scores, masked weights, contexts, their gradients, and decoders that attend."""

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
from rnncourse._numerics import softmax
from rnncourse.bptt.numpy import cross_entropy_backward, output_backward
from rnncourse.data.pairs import PairBatch, length_mask
from rnncourse.embeddings.numpy import embedding_backward, embedding_forward, embedding_init
from rnncourse.gru.numpy import GRUParams, gru_backward, gru_forward, gru_init
from rnncourse.rnn.numpy import OutputParams, cross_entropy_forward, output_forward, output_init
from rnncourse.seq2seq.numpy import EncoderCache, encoder_backward, encoder_forward, likeliest_words

SCORES = ("additive", "general", "dot", "scaled")
FORMS = ("luong", "bahdanau")


class AdditiveParams(NamedTuple):
    """Parameters of the additive score: a hidden layer of A units that reads a query and a key."""

    weight_query: np.ndarray
    """(A, H)."""
    weight_key: np.ndarray
    """(A, D)."""
    weight_score: np.ndarray
    """(A,), from the hidden layer to the score."""


class GeneralParams(NamedTuple):
    """Parameter of the general score."""

    weight: np.ndarray
    """(H, D), between query and key."""


class DotParams(NamedTuple):
    """The dot product has no parameters."""


class ScaledParams(NamedTuple):
    """The scaled dot product has none either."""


class ScoreCache(NamedTuple):
    """What a score keeps for its backward pass."""

    query: np.ndarray
    """(T, B, H)."""
    keys: np.ndarray
    """(S, B, D)."""
    params: Any
    features: np.ndarray | None
    """(B, T, S, A), the hidden layer of the additive score."""


class AttendCache(NamedTuple):
    """What the weighted mean keeps for its backward pass."""

    weights: np.ndarray
    """(B, T, S)."""
    values: np.ndarray
    """(S, B, D)."""


class AttentionCache(NamedTuple):
    """What attention in chunks keeps: its inputs, nothing of size T x S."""

    query: np.ndarray
    keys: np.ndarray
    values: np.ndarray
    mask: np.ndarray | None
    params: AdditiveParams
    chunk: int


def padding_mask(lengths, S):
    """Which source positions hold a word; the others are padding.

    Parameters
    ----------
    lengths : (B,) array of int
        1 .. S.
    S : int

    Returns
    -------
    (B, 1, S) array of bool
        The same for all queries.

    Raises
    ------
    ValueError
        If a length is out of range.
    """
    return length_mask(lengths, S).T[:, None]


def score_init(rng, H, D, A=None, score="additive", dtype=np.float64):
    """Draw the parameters of a score, uniform on +-1/sqrt(inputs), as ``torch.nn.Linear`` does.

    Parameters
    ----------
    rng : np.random.Generator
    H, D : int
        Size of a query and of a key.
    A : int, optional
        Size of the hidden layer of the additive score; by default H.
    score : {"additive", "general", "dot", "scaled"}
    dtype : dtype

    Returns
    -------
    AdditiveParams, GeneralParams, DotParams or ScaledParams

    Raises
    ------
    ValueError
        If a size is not positive, the score is unknown, or a dot product has H other than D.
    """
    A = H if A is None else A
    for name, size in {"H": H, "D": D, "A": A}.items():
        check_positive(name, size)
    check_choice("score", score, SCORES)

    def uniform(*shape):
        return rng.uniform(-1, 1, shape).astype(dtype) / np.sqrt(shape[-1]).astype(dtype)

    if score == "additive":
        return AdditiveParams(uniform(A, H), uniform(A, D), uniform(A))
    if score == "general":
        return GeneralParams(uniform(H, D))
    if H != D:
        raise ValueError(f"the dot product needs queries as long as keys, got H = {H} and D = {D}")
    return DotParams() if score == "dot" else ScaledParams()


def additive_forward(query, keys, params):
    """Score each query against each key with a small feed-forward network.

    Implements :eq:`attention-additive` of book/attention. Source: Bahdanau, Cho and Bengio (2015); there the
    queries come one at a time, here all T at once. The hidden layer takes B T S A numbers: see
    :func:`additive_attention` for the form without it.

    Parameters
    ----------
    query : (T, B, H) array
    keys : (S, B, D) array
    params : AdditiveParams

    Returns
    -------
    scores : (B, T, S) array
    cache : ScoreCache

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    _check_additive(query, keys, params)
    from_query = query.swapaxes(0, 1) @ params.weight_query.T
    from_keys = keys.swapaxes(0, 1) @ params.weight_key.T
    features = np.tanh(from_query[:, :, None] + from_keys[:, None])
    return features @ params.weight_score, ScoreCache(query, keys, params, features)


def additive_backward(dscores, cache):
    """Vector-Jacobian product of :func:`additive_forward`.

    Implements :eq:`attention-dadditive` of book/attention.

    Parameters
    ----------
    dscores : (B, T, S) array
    cache : ScoreCache

    Returns
    -------
    dquery : (T, B, H) array
    dkeys : (S, B, D) array
    dparams : AdditiveParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    query, keys, params, features = cache
    _check_dscores(dscores, query, keys)
    dweight_score = np.tensordot(dscores, features, 3)
    da = dscores[..., None] * (1 - features**2) * params.weight_score
    # A query is read by all keys, a key by all queries: sums over s, over t.
    da_query, da_keys = da.sum(2).swapaxes(0, 1), da.sum(1).swapaxes(0, 1)
    dparams = AdditiveParams(
        np.tensordot(da_query, query, ((0, 1), (0, 1))),
        np.tensordot(da_keys, keys, ((0, 1), (0, 1))),
        dweight_score,
    )
    return da_query @ params.weight_query, da_keys @ params.weight_key, dparams


def dot_forward(query, keys, params):
    """Score each query against each key by their inner product, scaled or not.

    Implements :eq:`attention-dot`, :eq:`attention-scaled` of book/attention. Source: Luong, Pham and Manning
    (2015); the scaling is from Vaswani et al. (2017).

    Parameters
    ----------
    query : (T, B, H) array
    keys : (S, B, H) array
    params : DotParams or ScaledParams

    Returns
    -------
    scores : (B, T, S) array
    cache : ScoreCache

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    check_sequence("query", query, T=None, B=None, H=None)
    check_sequence("keys", keys, S=None, B=query.shape[1], H=query.shape[2])
    check_floats(query=query, keys=keys)
    scores = query.swapaxes(0, 1) @ keys.transpose(1, 2, 0)
    return scores * _factor(query, params), ScoreCache(query, keys, params, None)


def dot_backward(dscores, cache):
    """Vector-Jacobian product of :func:`dot_forward`.

    Implements :eq:`attention-ddot` of book/attention.

    Parameters
    ----------
    dscores : (B, T, S) array
    cache : ScoreCache

    Returns
    -------
    dquery : (T, B, H) array
    dkeys : (S, B, H) array
    dparams : DotParams or ScaledParams
        Empty, as the parameters are.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    query, keys, params, _ = cache
    _check_dscores(dscores, query, keys)
    dproduct = dscores * _factor(query, params)
    dquery = (dproduct @ keys.swapaxes(0, 1)).swapaxes(0, 1)
    dkeys = (dproduct.swapaxes(1, 2) @ query.swapaxes(0, 1)).swapaxes(0, 1)
    return dquery, dkeys, params


def general_forward(query, keys, params):
    """Score each query against each key by an inner product with a matrix between them.

    Implements :eq:`attention-general` of book/attention. Source: Luong, Pham and Manning (2015). The matrix
    is applied to the queries, so the cost of a pair is that of an inner product.

    Parameters
    ----------
    query : (T, B, H) array
    keys : (S, B, D) array
    params : GeneralParams

    Returns
    -------
    scores : (B, T, S) array
    cache : ScoreCache

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    check_sequence("query", query, T=None, B=None, H=None)
    check_sequence("keys", keys, S=None, B=query.shape[1], D=None)
    check_shape("weight", params.weight, H=query.shape[2], D=keys.shape[2])
    check_floats(query=query, keys=keys, weight=params.weight)
    scores = (query @ params.weight).swapaxes(0, 1) @ keys.transpose(1, 2, 0)
    return scores, ScoreCache(query, keys, params, None)


def general_backward(dscores, cache):
    """Vector-Jacobian product of :func:`general_forward`.

    Implements :eq:`attention-dgeneral` of book/attention.

    Parameters
    ----------
    dscores : (B, T, S) array
    cache : ScoreCache

    Returns
    -------
    dquery : (T, B, H) array
    dkeys : (S, B, D) array
    dparams : GeneralParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    query, keys, params, _ = cache
    _check_dscores(dscores, query, keys)
    dprojected = (dscores @ keys.swapaxes(0, 1)).swapaxes(0, 1)  # at W^T q
    dkeys = (dscores.swapaxes(1, 2) @ (query @ params.weight).swapaxes(0, 1)).swapaxes(0, 1)
    dweight = np.tensordot(query, dprojected, ((0, 1), (0, 1)))
    return dprojected @ params.weight.T, dkeys, GeneralParams(dweight)


def score_forward(query, keys, params):
    """Score by the function that belongs to the type of `params`; as :func:`additive_forward`."""
    return _FUNCTIONS[type(params)][0](query, keys, params)


def score_backward(dscores, cache):
    """Vector-Jacobian product of :func:`score_forward`."""
    return _FUNCTIONS[type(cache.params)][1](dscores, cache)


_FUNCTIONS = {
    AdditiveParams: (additive_forward, additive_backward),
    GeneralParams: (general_forward, general_backward),
    DotParams: (dot_forward, dot_backward),
    ScaledParams: (dot_forward, dot_backward),
}


def attend_forward(scores, values, mask=None):
    """Turn scores into weights over the source, and take the weighted mean of the values.

    Implements :eq:`attention-weights`, :eq:`attention-context` of book/attention. Source: Bahdanau, Cho and
    Bengio (2015); the values there are the keys.

    Parameters
    ----------
    scores : (B, T, S) array
    values : (S, B, D) array
    mask : (B or 1, T or 1, S) array of bool, optional
        True where a query may look. Each query needs one such place; the others get the weight 0.

    Returns
    -------
    context : (T, B, D) array
    weights : (B, T, S) array
        Each row sums to 1.
    cache : AttendCache

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, a number is not finite, or a query may look nowhere.
    """
    check_sequence("scores", scores, B=None, T=None, S=None)
    check_sequence("values", values, S=scores.shape[2], B=len(scores), D=None)
    check_floats(scores=scores, values=values)
    weights = softmax(_masked(scores, _check_mask(mask, *scores.shape)))
    context = (weights @ values.swapaxes(0, 1)).swapaxes(0, 1)
    return context, weights, AttendCache(weights, values)


def attend_backward(dcontext, dweights, cache):
    """Vector-Jacobian product of :func:`attend_forward`.

    Implements :eq:`attention-dvalues`, :eq:`attention-dscores` of book/attention.

    Parameters
    ----------
    dcontext : (T, B, D) array
    dweights : (B, T, S) array
        dL/d weights through the second result; zero where the loss reads the context alone.
    cache : AttendCache

    Returns
    -------
    dscores : (B, T, S) array
        Zero where the mask is False; each row sums to 0.
    dvalues : (S, B, D) array

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    weights, values = cache
    B, T, S = weights.shape
    check_shape("dcontext", dcontext, T=T, B=B, D=values.shape[2])
    check_shape("dweights", dweights, B=B, T=T, S=S)
    check_floats(values=values, dcontext=dcontext, dweights=dweights)
    dcontext = dcontext.swapaxes(0, 1)
    dvalues = (weights.swapaxes(1, 2) @ dcontext).swapaxes(0, 1)
    dtotal = dweights + dcontext @ values.transpose(1, 2, 0)
    dscores = weights * (dtotal - (weights * dtotal).sum(-1, keepdims=True))
    return dscores, dvalues


def additive_attention(query, keys, values, mask, params, chunk=1):
    """Contexts of the additive score, without ever holding all pairs of a query and a key.

    Implements :eq:`attention-additive`, :eq:`attention-context` of book/attention: `chunk` queries of one
    sequence at a time. Beside inputs and contexts it holds the projections of queries and keys,
    (T + S) x B x A numbers, and one chunk of the hidden layer, chunk x S x A. Rabe and Staats (2021) go
    further, and cut the source too.

    Parameters
    ----------
    query : (T, B, H) array
    keys : (S, B, D) array
    values : (S, B, E) array
    mask : (B or 1, T or 1, S) array of bool, or None
        One of its own for each query is of size T x S again.
    params : AdditiveParams
    chunk : int
        Queries at a time. One is enough to keep a processor busy once S A is some thousands.

    Returns
    -------
    context : (T, B, E) array
    cache : AttentionCache
        The arguments: the backward pass computes the rest again.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, a number is not finite, or a query may look nowhere.
    """
    mask = _check_attention(query, keys, values, mask, params, chunk)
    context = np.empty((*query.shape[:2], values.shape[2]), query.dtype)
    for b, t, _, weights in _chunks(query, keys, mask, params, chunk):
        context[t, b] = weights @ values[:, b]
    return context, AttentionCache(query, keys, values, mask, params, chunk)


def additive_attention_backward(dcontext, cache):
    """Vector-Jacobian product of :func:`additive_attention`, in memory that grows with T + S.

    Implements :eq:`attention-dadditive`, :eq:`attention-dscores`, :eq:`attention-dvalues` of book/attention.
    The weights and the hidden layer are computed a second time, chunk by chunk.

    Parameters
    ----------
    dcontext : (T, B, E) array
    cache : AttentionCache

    Returns
    -------
    dquery : (T, B, H) array
    dkeys : (S, B, D) array
    dvalues : (S, B, E) array
    dparams : AdditiveParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    query, keys, values, mask, params, chunk = cache
    T, B, _ = query.shape
    check_shape("dcontext", dcontext, T=T, B=B, E=values.shape[2])
    check_floats(query=query, dcontext=dcontext)
    A = len(params.weight_score)
    dvalues, dweight_score = np.zeros_like(values), np.zeros_like(params.weight_score)
    da_query, da_keys = np.empty((T, B, A), query.dtype), np.zeros((len(keys), B, A), query.dtype)
    for b, t, features, weights in _chunks(query, keys, mask, params, chunk):
        dvalues[:, b] += weights.T @ dcontext[t, b]
        dweights = dcontext[t, b] @ values[:, b].T
        dscores = weights * (dweights - (weights * dweights).sum(-1, keepdims=True))
        dweight_score += np.tensordot(dscores, features, 2)
        features *= features
        np.subtract(1, features, out=features)
        features *= dscores[..., None]
        da_query[t, b] = features.sum(1)
        da_keys[:, b] += features.sum(0)
    da_query *= params.weight_score
    da_keys *= params.weight_score
    dparams = AdditiveParams(
        np.tensordot(da_query, query, ((0, 1), (0, 1))),
        np.tensordot(da_keys, keys, ((0, 1), (0, 1))),
        dweight_score,
    )
    return da_query @ params.weight_query, da_keys @ params.weight_key, dvalues, dparams


def _chunks(query, keys, mask, params, chunk):
    """Sequence, queries, hidden layer (chunk, S, A) and weights (chunk, S) of one chunk after the other."""
    (T, B, _), (S, _, _) = query.shape, keys.shape
    from_query, from_keys = query @ params.weight_query.T, keys @ params.weight_key.T
    A = len(params.weight_score)
    buffer = np.empty((min(chunk, T), S, A), query.dtype)
    for b in range(B):
        of_keys = np.ascontiguousarray(from_keys[:, b])
        for start in range(0, T, chunk):
            t = slice(start, min(start + chunk, T))
            features = buffer[: t.stop - start]
            np.add(from_query[t, b, None], of_keys, out=features)
            np.tanh(features, out=features)
            scores = (features.reshape(-1, A) @ params.weight_score).reshape(-1, S)
            allowed = None if mask is None else np.broadcast_to(mask, (B, T, S))[b, t]
            yield b, t, features, softmax(_masked(scores, allowed))


def _masked(scores, mask):
    return scores if mask is None else np.where(mask, scores, -np.inf)


def _factor(query, params):
    """What the dot product is multiplied by, in the dtype of the query."""
    return query.dtype.type(query.shape[2] ** -0.5 if isinstance(params, ScaledParams) else 1)


def _check_mask(mask, B, T, S):
    """The mask as an array, or None."""
    if mask is None:
        return None
    mask = np.asarray(mask)
    check_shape("mask", mask, B=None, T=None, S=S)
    if len(mask) not in (1, B) or mask.shape[1] not in (1, T):
        raise ValueError(f"mask must have shape (B or 1, T or 1, S) = ({B}, {T}, {S}), got {mask.shape}")
    if mask.dtype != bool:
        raise ValueError(f"mask must hold bools, got dtype {mask.dtype}")
    if not mask.any(-1).all():
        raise ValueError("mask must leave each query at least one place to look at, got a row of False")
    return mask


def _check_additive(query, keys, params):
    check_shape("weight_query", params.weight_query, A=None, H=None)
    A, H = params.weight_query.shape
    check_shape("weight_key", params.weight_key, A=A, D=None)
    check_shape("weight_score", params.weight_score, A=A)
    check_sequence("query", query, T=None, B=None, H=H)
    check_sequence("keys", keys, S=None, B=query.shape[1], D=params.weight_key.shape[1])
    check_floats(query=query, keys=keys, **params._asdict())


def _check_attention(query, keys, values, mask, params, chunk):
    check_positive("chunk", chunk)
    _check_additive(query, keys, params)
    check_sequence("values", values, S=len(keys), B=query.shape[1], E=None)
    check_floats(query=query, values=values)
    return _check_mask(mask, query.shape[1], len(query), len(keys))


def _check_dscores(dscores, query, keys):
    check_shape("dscores", dscores, B=query.shape[1], T=len(query), S=len(keys))
    check_floats(query=query, dscores=dscores)


class DecoderParams(NamedTuple):
    """Parameters of a decoder that attends."""

    embedding: np.ndarray
    """(V_target, E), a row for each target word."""
    cell: GRUParams
    """With D = E in Luong's form, D = E + H in Bahdanau's, whose cell reads the context too."""
    score: Any
    """AdditiveParams, GeneralParams, DotParams or ScaledParams, of queries and keys of size H."""
    combine: OutputParams
    """(H, 2H) and (H,), from state and context to the vector that the output layer reads."""
    output: OutputParams
    """(V_target, H) and (V_target,)."""


class AttentionParams(NamedTuple):
    """Parameters of an encoder and a decoder that attends to its states."""

    embedding: np.ndarray
    """(V_source, E), a row for each source word."""
    encoder: GRUParams
    """With D = E."""
    decoder: DecoderParams


class DecoderCache(NamedTuple):
    """What the decoder keeps for its backward pass; of one entry in Luong's form, of T in Bahdanau's."""

    embedding: Any
    cell: tuple
    score: tuple
    attend: tuple
    combine: Any
    combined: np.ndarray
    """(T, B, H), what the output layer reads."""
    output: Any
    params: DecoderParams


class ModelCache(NamedTuple):
    """What the whole model keeps for its backward pass."""

    encoder: EncoderCache
    decoder: DecoderCache


def attention_init(rng, V_source, V_target, E, H, form="luong", score="general", A=None, dtype=np.float64):
    """Draw the parameters of encoder and decoder, distributed as in torch.nn.

    Parameters
    ----------
    rng : np.random.Generator
    V_source, V_target : int
        Vocabulary sizes.
    E, H : int
        Size of an embedding and of a hidden state, on both sides.
    form : {"luong", "bahdanau"}
        Which decoder.
    score : {"additive", "general", "dot", "scaled"}
    A : int, optional
        Size of the hidden layer of the additive score; by default H.
    dtype : dtype

    Returns
    -------
    AttentionParams

    Raises
    ------
    ValueError
        If a size is not positive, or the form or the score is unknown.
    """
    for name, size in {"V_source": V_source, "V_target": V_target, "E": E, "H": H}.items():
        check_positive(name, size)
    check_choice("form", form, FORMS)
    return AttentionParams(
        embedding_init(rng, V_source, E, dtype=dtype),
        gru_init(rng, E, H, dtype),
        DecoderParams(
            embedding_init(rng, V_target, E, dtype=dtype),
            gru_init(rng, E if form == "luong" else E + H, H, dtype),
            score_init(rng, H, H, A, score, dtype),
            output_init(rng, 2 * H, H, dtype),
            output_init(rng, H, V_target, dtype),
        ),
    )


def decoder_forward(tokens, state, keys, mask, params):
    """Read target words, attend to the source at each, and say what comes next.

    Implements :eq:`attention-luong`, :eq:`attention-bahdanau`, :eq:`attention-readout` of book/attention.
    Sources: Luong, Pham and Manning (2015), global attention without input feeding, there on stacked LSTMs;
    Bahdanau, Cho and Bengio (2015), there with a maxout layer before the output that reads the last word
    again, and an initial state through a layer of its own. The form follows from the size of the cell's
    input.

    Parameters
    ----------
    tokens : (T, B) array of int
        What has been written: ``START``, then the words of the translation.
    state : (B, H) array
        Before the first token.
    keys : (S, B, H) array
        States of the encoder; they are the values too.
    mask : (B or 1, 1, S) array of bool, or None
    params : DecoderParams

    Returns
    -------
    logits : (T, B, V_target) array
    state : (B, H) array
        After the last token.
    weights : (B, T, S) array
        ``weights[:, t]`` belong to ``logits[t]``.
    cache : DecoderCache

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or an id is out of range.
    """
    luong = _is_luong(params)
    tokens = np.asarray(tokens)
    check_sequence("tokens", tokens, T=None, B=None)
    check_ids("tokens", tokens, len(params.embedding))
    x, embedding_cache = embedding_forward(tokens, params.embedding)
    steps = [_luong(x, state, keys, mask, params)] if luong else []
    for x_t in () if luong else x:
        steps.append(_bahdanau(x_t, steps[-1][0][-1] if steps else state, keys, mask, params))
    outputs, contexts, weights, *caches = zip(*steps, strict=True)
    output, context = np.concatenate(outputs), np.concatenate(contexts)
    a, combine_cache = output_forward(np.concatenate([output, context], axis=-1), params.combine)
    combined = np.tanh(a)
    logits, output_cache = output_forward(combined, params.output)
    cache = DecoderCache(embedding_cache, *caches, combine_cache, combined, output_cache, params)
    return logits, output[-1], np.concatenate(weights, axis=1), cache


def _luong(x, state, keys, mask, params):
    """All steps at once: the states first, then each asks."""
    output, _, cell_cache = gru_forward(x, state, params.cell)
    scores, score_cache = score_forward(output, keys, params.score)
    context, weights, attend_cache = attend_forward(scores, keys, mask)
    return output, context, weights, cell_cache, score_cache, attend_cache


def _bahdanau(x_t, state, keys, mask, params):
    """One step: the state before it asks, and the cell reads the answer."""
    scores, score_cache = score_forward(state[None], keys, params.score)
    context, weights, attend_cache = attend_forward(scores, keys, mask)
    x = np.concatenate([x_t[None], context], axis=-1)
    output, _, cell_cache = gru_forward(x, state, params.cell)
    return output, context, weights, cell_cache, score_cache, attend_cache


def decoder_backward(dlogits, dstate, cache):
    """Vector-Jacobian product of :func:`decoder_forward`, for a loss that does not read the weights.

    Implements :eq:`attention-dluong`, :eq:`attention-dbahdanau` of book/attention.

    Parameters
    ----------
    dlogits : (T, B, V_target) array
    dstate : (B, H) array
        dL/d state after the last token.
    cache : DecoderCache

    Returns
    -------
    dstate : (B, H) array
        dL/d state before the first token.
    dkeys : (S, B, H) array
    dparams : DecoderParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    params = cache.params
    dcombined, doutput_params = output_backward(dlogits, cache.output)
    dboth, dcombine = output_backward(dcombined * (1 - cache.combined**2), cache.combine)
    doutput, dcontext = np.split(dboth, 2, axis=-1)
    dkeys, dx, parts = 0, [], []
    E = params.embedding.shape[1]
    if _is_luong(params):
        dquery, dkeys, dscore = _attention_backward(dcontext, cache.score[0], cache.attend[0])
        dx, dstate, dcell = gru_backward(doutput + dquery, dstate, cache.cell[0])
        parts.append((dcell, dscore))
    else:
        for t in reversed(range(len(dlogits))):
            dinput, dstate, dcell = gru_backward(doutput[t, None], dstate, cache.cell[t])
            # The context is read twice: by the cell and by the output.
            dcontext_t = dcontext[t, None] + dinput[..., E:]
            dquery, dkeys_t, dscore = _attention_backward(dcontext_t, cache.score[t], cache.attend[t])
            dstate, dkeys = dstate + dquery[0], dkeys + dkeys_t
            dx.insert(0, dinput[0, :, :E])
            parts.append((dcell, dscore))
    dcell, dscore = (type(first)(*map(sum, zip(*all_, strict=True))) for first, all_ in _columns(parts))
    dembedding = embedding_backward(np.asarray(dx), cache.embedding)
    return dstate, dkeys, DecoderParams(dembedding, dcell, dscore, dcombine, doutput_params)


def _columns(parts):
    return [(column[0], column) for column in zip(*parts, strict=True)]


def _attention_backward(dcontext, score_cache, attend_cache):
    """Through context, weights and scores; the keys are the values, so both gradients add up."""
    dscores, dvalues = attend_backward(dcontext, np.zeros_like(attend_cache.weights), attend_cache)
    dquery, dkeys, dparams = score_backward(dscores, score_cache)
    return dquery, dkeys + dvalues, dparams


def attention_forward(source, lengths, target_input, params):
    """Logits and attention weights of a translation with teacher forcing.

    Parameters
    ----------
    source : (S, B) array of int
    lengths : (B,) array of int
    target_input : (T, B) array of int
    params : AttentionParams

    Returns
    -------
    logits : (T, B, V_target) array
    weights : (B, T, S) array
        Zero at padding.
    cache : ModelCache

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or an id or a length is out of range.
    """
    keys, state, encoder_cache = encoder_forward(source, lengths, params.embedding, params.encoder)
    mask = padding_mask(lengths, len(keys))
    logits, _, weights, cache = decoder_forward(target_input, state, keys, mask, params.decoder)
    return logits, weights, ModelCache(encoder_cache, cache)


def attention_loss(batch, params):
    """Mean cross-entropy of the target words in nats, ``</s>`` counted and padding not, and its gradient.

    Parameters
    ----------
    batch : PairBatch
    params : AttentionParams

    Returns
    -------
    loss : float
    dparams : AttentionParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or an id or a length is out of range.
    """
    batch = PairBatch(*map(np.asarray, batch))
    logits, _, cache = attention_forward(batch.source, batch.source_lengths, batch.target_input, params)
    mask = length_mask(batch.target_lengths, len(logits))
    loss, loss_cache = cross_entropy_forward(logits, batch.target, mask)
    dlogits = cross_entropy_backward(1.0, loss_cache)
    H = params.encoder.weight_hh.shape[1]
    zeros = np.zeros((logits.shape[1], H), logits.dtype)
    dstate, dkeys, ddecoder = decoder_backward(dlogits, zeros, cache.decoder)
    _, dembedding, dencoder = encoder_backward(dkeys, dstate, cache.encoder)
    return float(loss), AttentionParams(dembedding, dencoder, ddecoder)


def attention_encode(source, lengths, params):
    """Read source sentences; what the decoder's steps begin with.

    Parameters
    ----------
    source : (S, B) array of int
    lengths : (B,) array of int
    params : AttentionParams

    Returns
    -------
    tuple
        State (B, H), keys (B, S, H) and mask (B, S): the sentence is the first axis of all three, so that
        hypotheses of a beam can be put in another order.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or an id or a length is out of range.
    """
    keys, state, _ = encoder_forward(source, lengths, params.embedding, params.encoder)
    return state, keys.swapaxes(0, 1), padding_mask(lengths, len(keys))[:, 0]


def attention_step(tokens, state, params):
    """Read one target word in each of B translations and say what comes next.

    Parameters
    ----------
    tokens : (B,) array of int
    state : tuple
        From :func:`attention_encode`, then from this function.
    params : AttentionParams

    Returns
    -------
    logits : (B, V_target) array
    state : tuple

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or an id is out of range.
    """
    hidden, keys, mask = state
    tokens = np.asarray(tokens)[None]
    logits, hidden, _, _ = decoder_forward(tokens, hidden, keys.swapaxes(0, 1), mask[:, None], params.decoder)
    return logits[0], (hidden, keys, mask)


def attention_greedy(source, lengths, params, max_length=50):
    """Translate, taking the likeliest word at each step: :func:`rnncourse.seq2seq.numpy.greedy`, attending.

    Parameters
    ----------
    source : (S, B) array of int
    lengths : (B,) array of int
    params : AttentionParams
    max_length : int
        Stop a translation after so many words, ``END`` counted.

    Returns
    -------
    (T, B) array of int
        With ``END`` where a translation ends, and ``PAD`` behind it.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or an id, a length or `max_length` is out of range.
    """
    check_positive("max_length", max_length)
    state = attention_encode(source, lengths, params)
    return likeliest_words(attention_step, state, np.shape(source)[1], params, max_length)


def heaviest(weights):
    """The links that attention suggests: each target position with the source position it weighs most.

    Parameters
    ----------
    weights : (T, S) array

    Returns
    -------
    set of (int, int)
        Pairs (source position, target position).

    Raises
    ------
    ValueError
        If `weights` is no matrix of finite floats.
    """
    weights = np.asarray(weights)
    check_sequence("weights", weights, T=None, S=None)
    check_floats(weights=weights)
    return {(int(s), t) for t, s in enumerate(weights.argmax(axis=1))}


def alignment_error_rate(guessed, sure, possible=None):
    """How far the links of a corpus are from the right ones: 0 if they are all right, 1 if none is.

    Implements :eq:`attention-aer` of book/attention. Source: Och and Ney (2003). They let annotators mark
    links as sure or possible; where a grammar made the sentences all links are sure, and the rate is 1 minus
    the F-score.

    Parameters
    ----------
    guessed, sure : sequences of collections of (int, int)
        The links of each sentence.
    possible : sequence of collections of (int, int), optional
        By default the sure ones; the sure ones are possible in any case.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If the numbers of sentences differ, or there are no links at all.
    """
    possible = sure if possible is None else possible
    if not len(guessed) == len(sure) == len(possible):
        raise ValueError(
            f"guessed, sure and possible must have equally many sentences, "
            f"got {len(guessed)}, {len(sure)} and {len(possible)}"
        )
    hits = links = 0
    for a, s, p in zip(map(set, guessed), map(set, sure), map(set, possible), strict=True):
        hits += len(a & s) + len(a & (s | p))
        links += len(a) + len(s)
    if not links:
        raise ValueError("guessed and sure must hold at least one link, got none")
    return 1 - hits / links


def _is_luong(params):
    """Whether the cell reads words alone; raise if the sizes of the parts do not fit each other."""
    check_shape("embedding", params.embedding, V=None, E=None)
    V, E = params.embedding.shape
    H, D = params.cell.weight_hh.shape[1], params.cell.weight_ih.shape[1]
    if D not in (E, E + H):
        raise ValueError(f"weight_ih of the cell must read E = {E} or E + H = {E + H} numbers, got {D}")
    check_shape("weight of combine", params.combine.weight, H=H, H2=2 * H)
    check_shape("weight of output", params.output.weight, V=V, H=H)
    return D == E
