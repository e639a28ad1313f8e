"""Encoder and decoder in NumPy: translation with teacher forcing, its gradient, and greedy decoding."""

from typing import Any, NamedTuple

import numpy as np

from rnncourse._checks import (
    check_choice,
    check_floats,
    check_ids,
    check_lengths,
    check_positive,
    check_sequence,
    check_shape,
)
from rnncourse._numerics import log_softmax, softmax
from rnncourse.bptt.numpy import cross_entropy_backward
from rnncourse.data.pairs import END, PAD, START, PairBatch, length_mask
from rnncourse.embeddings.numpy import EmbeddingCache, embedding_backward, embedding_forward, embedding_init
from rnncourse.language_model.numpy import CELLS, LMCache, LMParams, draw, lm_backward, lm_forward, lm_init
from rnncourse.lstm.numpy import LSTMParams
from rnncourse.rnn.numpy import cross_entropy_forward


class Seq2SeqParams(NamedTuple):
    """Parameters of an encoder and a decoder with the same cell."""

    embedding: np.ndarray
    """(V_source, E), a row for each source word."""
    encoder: Any
    """RNNParams, GRUParams or LSTMParams with D = E."""
    decoder: LMParams
    """A language model of the target language; its H is that of the encoder."""


class EncoderCache(NamedTuple):
    """What the encoder keeps for its backward pass."""

    embedding: EmbeddingCache
    parts: tuple
    """(start, end, which sequences are still running, cache of the cell) for each stretch of steps."""
    cell: Any
    """The parameters of the cell."""


class Seq2SeqCache(NamedTuple):
    """What the forward pass keeps for the backward pass."""

    encoder: EncoderCache
    decoder: LMCache
    outputs: np.ndarray
    """(S, B, H), the encoder's; the backward pass needs its shape."""


def seq2seq_init(rng, V_source, V_target, E, H, cell="gru", dtype=np.float64):
    """Draw the parameters of an encoder and a decoder, distributed as in torch.nn.

    Parameters
    ----------
    rng : np.random.Generator
    V_source, V_target : int
        Vocabulary sizes.
    E, H : int
        Size of an embedding and of a hidden state, on both sides.
    cell : {"rnn", "gru", "lstm"}
    dtype : dtype

    Returns
    -------
    Seq2SeqParams

    Raises
    ------
    ValueError
        If a size is not positive, or the cell is unknown.
    """
    for name, size in {"V_source": V_source, "V_target": V_target, "E": E, "H": H}.items():
        check_positive(name, size)
    check_choice("cell", cell, list(CELLS))
    return Seq2SeqParams(
        embedding_init(rng, V_source, E, dtype=dtype),
        CELLS[cell][1](rng, E, H, dtype=dtype),
        lm_init(rng, V_target, E, H, cell, dtype=dtype),
    )


def encoder_forward(source, lengths, embedding, cell):
    """Read source sentences of different lengths; padding is not read.

    Implements :eq:`seq2seq-encoder`, :eq:`seq2seq-freeze` of book/seq2seq. Steps between two lengths are run
    for those sequences alone that have not ended, as ``torch.nn.utils.rnn.pack_padded_sequence`` lets
    torch.nn do.

    Parameters
    ----------
    source : (S, B) array of int
    lengths : (B,) array of int
        1 .. S; what stands behind them is not looked at, but must be an id.
    embedding : (V_source, E) array
    cell : RNNParams, GRUParams or LSTMParams

    Returns
    -------
    outputs : (S, B, H) array
        Hidden state after each word, zero behind the end.
    state : (B, H) array, for an LSTM a pair of them
        After the last word of each sentence.
    cache : EncoderCache
        For :func:`encoder_backward`.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or an id or a length is out of range.
    """
    _, _, forward, _ = _cell(cell)
    source, lengths = np.asarray(source), np.asarray(lengths)
    check_sequence("source", source, S=None, B=None)
    S, B = source.shape
    check_lengths(lengths, S, B)
    x, embedding_cache = embedding_forward(source, embedding)
    H = cell.weight_hh.shape[-1]
    outputs = np.zeros((S, B, H), x.dtype)
    paired = isinstance(cell, LSTMParams)
    states = tuple(np.zeros((B, H), x.dtype) for _ in range(1 + paired))
    parts, start = [], 0
    for end in np.unique(lengths):
        running = np.flatnonzero(lengths > start)
        before = tuple(state[running] for state in states)
        output, after, cache = forward(x[start:end, running], before if paired else before[0], cell)
        outputs[start:end, running] = output
        for state, new in zip(states, after if paired else (after,), strict=True):
            state[running] = new
        parts.append((start, end, running, cache))
        start = end
    return outputs, states if paired else states[0], EncoderCache(embedding_cache, tuple(parts), cell)


def encoder_backward(doutputs, dstate, cache):
    """Vector-Jacobian product of :func:`encoder_forward`.

    Implements :eq:`seq2seq-through` of book/seq2seq. A sentence's last state gets its gradient where the
    sentence ends, not where the batch does.

    Parameters
    ----------
    doutputs : (S, B, H) array
        dL/d outputs; not looked at behind the end of a sentence.
    dstate : (B, H) array, for an LSTM a pair of them
        dL/d state: what comes over the bridge.
    cache : EncoderCache

    Returns
    -------
    dx : (S, B, E) array
        dL by the vector as which each word was read, zero at padding.
    dembedding : (V_source, E) array
    dcell : as the cell's parameters

    Raises
    ------
    ValueError
        If a shape or dtype does not fit.
    """
    kind, _, _, backward = _cell(cache.cell)
    S, B = cache.embedding.ids.shape
    H = cache.cell.weight_hh.shape[-1]
    paired = kind is LSTMParams
    dstates = tuple(dstate) if paired else (dstate,)
    check_shape("doutputs", doutputs, S=S, B=B, H=H)
    for name, part in zip(("dh", "dc"), dstates, strict=False):
        check_shape(name, part, B=B, H=H)
    dstates = tuple(part.copy() for part in dstates)
    dx = np.zeros((S, B, cache.cell.weight_ih.shape[1]), cache.cell.weight_ih.dtype)
    dcell = kind(*(np.zeros_like(p) for p in cache.cell))
    for start, end, running, part in reversed(cache.parts):
        after = tuple(d[running] for d in dstates)
        dpart, before, dparams = backward(doutputs[start:end, running], after if paired else after[0], part)
        dx[start:end, running] = dpart
        for d, new in zip(dstates, before if paired else (before,), strict=True):
            d[running] = new
        dcell = kind(*(a + b for a, b in zip(dcell, dparams, strict=True)))
    return dx, embedding_backward(dx, cache.embedding), dcell


def encode(source, lengths, params):
    """Read source sentences; what a decoder needs of them.

    Implements :eq:`seq2seq-encoder`, :eq:`seq2seq-freeze` of book/seq2seq. Source: Cho et al. (2014) and
    Sutskever, Vinyals and Le (2014).

    Parameters
    ----------
    source : (S, B) array of int
    lengths : (B,) array of int
    params : Seq2SeqParams

    Returns
    -------
    outputs : (S, B, H) array
        Hidden state after each word, zero behind the end.
    state : (B, H) array, for an LSTM a pair of them
        After the last word of each sentence; the decoder starts from it.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or an id or a length is out of range.
    """
    outputs, state, _ = encoder_forward(source, lengths, params.embedding, params.encoder)
    return outputs, state


def decode_step(tokens, state, params):
    """Read one target word in each of B translations and say what comes next.

    Implements :eq:`seq2seq-decoder` of book/seq2seq.

    Parameters
    ----------
    tokens : (B,) array of int
        The words before: ``START``, then whatever was chosen.
    state : (B, H) array, for an LSTM a pair of them
        From :func:`encode`, then from this function.
    params : Seq2SeqParams

    Returns
    -------
    logits : (B, V_target) array
    state : like `state`

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or an id is out of range.
    """
    tokens = np.asarray(tokens)
    check_shape("tokens", tokens, B=None)
    logits, state, _ = lm_forward(tokens[None], state, params.decoder)
    return logits[0], state


def seq2seq_forward(source, lengths, target_input, params):
    """Logits of each target word given the source and the right words before it: teacher forcing.

    Implements :eq:`seq2seq-encoder`, :eq:`seq2seq-bridge`, :eq:`seq2seq-decoder` of book/seq2seq. Source:
    Sutskever, Vinyals and Le (2014): the decoder starts from the encoder's last state and sees nothing else
    of the source. They had four layers of LSTM on each side, here it is one of any cell.

    Parameters
    ----------
    source : (S, B) array of int
    lengths : (B,) array of int
    target_input : (T, B) array of int
        ``START`` and the right translation.
    params : Seq2SeqParams

    Returns
    -------
    logits : (T, B, V_target) array
    cache : Seq2SeqCache
        For :func:`seq2seq_backward`.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or an id or a length is out of range.
    """
    outputs, state, encoder_cache = encoder_forward(source, lengths, params.embedding, params.encoder)
    target_input = np.asarray(target_input)
    check_sequence("target_input", target_input, T=None, B=outputs.shape[1])
    logits, _, decoder_cache = lm_forward(target_input, state, params.decoder)
    return logits, Seq2SeqCache(encoder_cache, decoder_cache, outputs)


def seq2seq_backward(dlogits, cache):
    """Vector-Jacobian product of :func:`seq2seq_forward`.

    Implements :eq:`seq2seq-through`, :eq:`seq2seq-dbridge` of book/seq2seq.

    Parameters
    ----------
    dlogits : (T, B, V_target) array
        dL/d logits, zero at padding.
    cache : Seq2SeqCache

    Returns
    -------
    dx : (S, B, E) array
        dL by the vector as which each source word was read.
    dstate : (B, H) array, for an LSTM a pair of them
        dL by the state that crosses the bridge.
    dparams : Seq2SeqParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit.
    """
    nothing = np.zeros_like(cache.outputs[0])
    paired = isinstance(cache.encoder.cell, LSTMParams)
    _, dstate, ddecoder = lm_backward(dlogits, (nothing, nothing) if paired else nothing, cache.decoder)
    dx, dembedding, dencoder = encoder_backward(np.zeros_like(cache.outputs), dstate, cache.encoder)
    return dx, dstate, Seq2SeqParams(dembedding, dencoder, ddecoder)


def seq2seq_loss(batch, params):
    """Mean cross-entropy of the target words, ``</s>`` counted and padding not, and its gradient.

    Implements :eq:`seq2seq-loss` of book/seq2seq.

    Parameters
    ----------
    batch : PairBatch
    params : Seq2SeqParams

    Returns
    -------
    loss : float
        In nats a word.
    dparams : Seq2SeqParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or an id or a length is out of range.
    """
    batch = PairBatch(*map(np.asarray, batch))
    logits, cache = seq2seq_forward(batch.source, batch.source_lengths, batch.target_input, params)
    mask = length_mask(batch.target_lengths, len(logits))
    loss, loss_cache = cross_entropy_forward(logits, batch.target, mask)
    _, _, dparams = seq2seq_backward(cross_entropy_backward(1.0, loss_cache), cache)
    return float(loss), dparams


def seq2seq_logprob(batch, params):
    """ln P(translation | source) of each pair, ``</s>`` counted.

    Implements :eq:`seq2seq-chain` of book/seq2seq.

    Parameters
    ----------
    batch : PairBatch
    params : Seq2SeqParams

    Returns
    -------
    (B,) array
        In nats.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or an id or a length is out of range.
    """
    batch = PairBatch(*map(np.asarray, batch))
    logits, _ = seq2seq_forward(batch.source, batch.source_lengths, batch.target_input, params)
    T, B, V = logits.shape
    check_shape("target", batch.target, T=T, B=B)
    check_ids("target", batch.target, V)
    chosen = np.take_along_axis(log_softmax(logits), batch.target[..., None], axis=-1)[..., 0]
    return np.where(length_mask(batch.target_lengths, T), chosen, 0).sum(axis=0)


def greedy(source, lengths, params, max_length=50):
    """Translate, taking the likeliest word at each step and reading it as the next input.

    Parameters
    ----------
    source : (S, B) array of int
    lengths : (B,) array of int
    params : Seq2SeqParams
    max_length : int
        Stop a translation after so many words, ``END`` counted.

    Returns
    -------
    ids : (T, B) array of int
        With ``END`` where a translation ends, and ``PAD`` behind it; T is the length of the longest.
    lengths : (B,) array of int
        ``END`` counted.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or an id, a length or `max_length` is out of range.
    """
    check_positive("max_length", max_length)
    _, state = encode(source, lengths, params)
    ids = likeliest_words(decode_step, state, np.shape(source)[1], params, max_length)
    ended = ids == END
    return ids, np.where(ended.any(axis=0), ended.argmax(axis=0) + 1, len(ids))


def likeliest_words(step, state, B, params, max_length):
    """The loop of :func:`greedy`, for any `step` and state that go together as :func:`decode_step`'s do.

    Parameters
    ----------
    step : callable
        ``step(tokens, state, params)`` returns logits and the state after.
    state
        Of B translations before their first word.
    B : int
    params
    max_length : int

    Returns
    -------
    (T, B) array of int
    """
    tokens = np.full(B, START)
    over, ids = np.zeros(B, bool), []
    while not over.all() and len(ids) < max_length:
        logits, state = step(tokens, state, params)
        tokens = np.where(over, PAD, logits.argmax(axis=-1))
        over = over | (tokens == END)
        ids.append(tokens)
    return np.array(ids)


def scheduled_inputs(rng, batch, params, epsilon):
    """What the decoder reads in scheduled sampling: each word the right one or the model's own, by a coin.

    Source: Bengio et al. (2015), with the model's word drawn from its distribution. No gradient goes through
    the choice, so a step of training is :func:`seq2seq_loss` with these inputs, the targets unchanged.

    Parameters
    ----------
    rng : np.random.Generator
    batch : PairBatch
    params : Seq2SeqParams
    epsilon : float
        Probability of the right word, in [0, 1]: 1 is teacher forcing, 0 feeds the model's words alone.

    Returns
    -------
    (T, B) array of int
        The first row is that of ``batch.target_input``: nothing was said before it.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or an id, a length or `epsilon` is out of range.
    """
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon must lie in [0, 1], got {epsilon!r}")
    inputs = np.array(batch.target_input)
    _, state = encode(batch.source, batch.source_lengths, params)
    for t in range(1, len(inputs)):
        logits, state = decode_step(inputs[t - 1], state, params)
        right = rng.random(inputs.shape[1]) < epsilon
        inputs[t] = np.where(right, inputs[t], draw(rng, softmax(logits)))
    return inputs


def scheduled_optimum(joint, epsilon):
    """What scheduled sampling makes the best model of two words say about the second one.

    Implements :eq:`seq2seq-scheduled` of book/seq2seq. Source: Huszár (2015), who writes the loss for any
    epsilon and looks at epsilon = 0; here is its minimum for any.

    Parameters
    ----------
    joint : (V, V) array
        P(first word, second word); every first word has some probability.
    epsilon : float
        Probability with which the right first word is read; otherwise one drawn from its distribution.

    Returns
    -------
    (V, V) array
        Row i is the distribution of the second word after the first word i was read.

    Raises
    ------
    ValueError
        If `joint` is no such distribution, or `epsilon` is out of range.
    """
    joint = np.asarray(joint)
    check_shape("joint", joint, V=None, V_=None)
    check_shape("joint", joint, V=len(joint), V_=len(joint))
    check_floats(joint=joint)
    if joint.min() < 0 or joint.sum(axis=1).min() <= 0 or abs(joint.sum() - 1) > 1e-6:
        raise ValueError("joint must be at least 0, sum to 1, and have no row of zeros")
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon must lie in [0, 1], got {epsilon!r}")
    return epsilon * joint / joint.sum(axis=1, keepdims=True) + (1 - epsilon) * joint.sum(axis=0)


def time_lags(alignment, S, reverse=False):
    """Steps between reading a source word and saying each word that translates it.

    Implements :eq:`seq2seq-lag` of book/seq2seq. Source: Sutskever, Vinyals and Le (2014) speak of the
    "minimal time lag"; the term is from Hochreiter and Schmidhuber's "LSTM can solve hard
    long time lag problems" (1997).

    Parameters
    ----------
    alignment : (n, 2) array of int
        Pairs (index of a source word, index of a target word), from 0.
    S : int
        Words of the source.
    reverse : bool
        Whether the source is read from its last word to its first.

    Returns
    -------
    (n,) array of float
        In steps; the reading of ``<s>`` is the first step of the target.

    Raises
    ------
    ValueError
        If there are no pairs, or an index is out of range.
    """
    check_positive("S", S)
    alignment = np.asarray(alignment)
    check_sequence("alignment", alignment, n=None, two=2)
    check_ids("alignment", alignment, alignment.max() + 1)
    i, j = alignment.T
    if i.max() >= S:
        raise ValueError(f"alignment must hold source indices below S = {S}, got {i.max()}")
    return 1.0 + j + (i if reverse else S - 1 - i)


def _cell(params):
    for entry in CELLS.values():
        if isinstance(params, entry[0]):
            return entry
    raise ValueError(f"encoder must be RNNParams, GRUParams or LSTMParams, got {type(params).__name__}")
