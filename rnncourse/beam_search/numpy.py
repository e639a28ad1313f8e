"""Beam search on NumPy arrays, and searches that miss nothing, to check it by."""

import heapq
from itertools import count

import numpy as np

from rnncourse._checks import check_ids, check_lengths, check_sequence
from rnncourse.beam_search.search import (
    Beams,
    Settings,
    check_logp,
    check_settings,
    check_state,
    length_score,
    search,
)
from rnncourse.optim._tree import tree_map


def top_candidates(values, M):
    """The M largest of each row; of equal ones those that stand first.

    Parameters
    ----------
    values : (B, N) array
    M : int
        At most N.

    Returns
    -------
    value, place : (B, M) arrays
        The largest and where they stand, in no particular order.
    """
    N = values.shape[1]
    place = np.argpartition(values, N - M, axis=1)[:, N - M :]
    value = np.take_along_axis(values, place, 1)
    least = value.min(axis=1, keepdims=True)
    # Where more are equal to the least than were taken, which of them were is chance: choose the first.
    for b in np.nonzero((values == least).sum(1) > (value == least).sum(1))[0]:
        place[b] = np.argsort(-values[b], kind="stable")[:M]
        value[b] = values[b, place[b]]
    return value, place


def beam_search(
    step,
    state,
    B,
    *,
    K,
    bos,
    eos,
    max_length,
    min_length=0,
    alpha=0.0,
    normalisation="power",
    stopping="safe",
    n_best=1,
    axis=0,
):
    """Beam search for B sentences at once, by any step function.

    Implements :eq:`beam-step`, :eq:`beam-pool`, :eq:`beam-score`, :eq:`beam-stop` of book/beam_search.
    Source: Sutskever, Vinyals and Le (2014) for translation; the bookkeeping of ends is that of the library
    transformers: a hypothesis that ends leaves the beam for a pool, and the beam keeps its width.

    An output has at most `max_length` tokens: it ends with `eos`, or it is cut off there. A candidate that
    ends is taken into the pool if it is among the K likeliest of its step. The pool keeps the K of best
    score. Of equal candidates, the one from the better parent comes first, then the one with the lower id;
    of equal scores in the pool, the one that ended earlier. float16 is added up in float32.

    What `step` returns is checked for values above 0 (1e-4 is let pass, for rounding; the safe rule holds up
    to that), not for sum 1: raw scores that are all negative are taken for log-probabilities.

    Parameters
    ----------
    step : callable
        ``step(tokens, state)`` takes n ids (n,) and the state of n hypotheses and returns log-probabilities
        (n, V) of the next token and the state after. It may depend on these two alone: hypotheses change
        places, and sentences that are done are left out.
    state : nested tuple of arrays, or None
        The state before the first step, B sentences on `axis` of each array.
    B : int
        Sentences.
    K : int
        Beam width.
    bos, eos : int
        First input, and the token that ends an output; `eos` None if nothing ends before `max_length`.
    max_length, min_length : int
        Most and fewest tokens of an output, ``</s>`` counted.
    alpha : float
        Exponent of the length penalty; 0 ranks by log P.
    normalisation : {"power", "gnmt"}
        T ** alpha, or ((5 + T) / 6) ** alpha.
    stopping : {"first", "full", "current", "safe", "never"}
        When the search of a sentence stops: with the first finished hypothesis; with K of them
        (transformers: ``early_stopping=True``); when the best unfinished one, taken at its present length,
        is no better than the worst of K finished ones (``False``); when no unfinished one can be better than
        the `n_best` finished ones (``"never"``, which asks it of K); not before `max_length`.
    n_best : int
        Hypotheses returned for each sentence, at most K.
    axis : int
        Where the hypotheses stand in each array of the state.

    Returns
    -------
    Beams

    Raises
    ------
    ValueError
        If a setting makes no sense, a shape does not fit, `step` returns what are no log-probabilities, or
        every output of a sentence has probability 0.
    """
    settings = Settings(K, bos, eos, max_length, min_length, alpha, normalisation, stopping, n_best)
    check_settings(B, settings)
    check_state(state, B, axis)

    def extend(rows, tokens, live, M, banned):
        nonlocal state
        n, width = live.shape
        state = tree_map(lambda part: part.take(rows, axis), state)
        logp, state = step(tokens, state)
        if logp.dtype == np.float16:  # too coarse to add up in
            logp = logp.astype(np.float32)
        check_logp(logp, n * width, eos, logp.max() if logp.size else -np.inf)
        total = live.astype(logp.dtype)[:, :, None] + logp.reshape(n, width, -1)
        V = total.shape[2]
        if banned is not None:
            total[:, :, banned] = -np.inf
        return *top_candidates(total.reshape(n, -1), min(M, width * V)), V

    return search(extend, B, settings)


def sequence_logprob(step, state, tokens, lengths, bos):
    """log P of given outputs, token by token through `step`.

    Implements :eq:`beam-chain` of book/beam_search.

    Parameters
    ----------
    step, state
        As for :func:`beam_search`.
    tokens : (T, B) array of int
        Outputs, each with its ``</s>``; what follows is padding.
    lengths : (B,) array of int
        Tokens of each, ``</s>`` counted.
    bos : int

    Returns
    -------
    (B,) array

    Raises
    ------
    ValueError
        If a shape does not fit, or an id or a length is out of range.
    """
    check_sequence("tokens", tokens, T=None, B=None)
    T, B = tokens.shape
    check_lengths(lengths, T, B)
    total, last = 0.0, np.full(B, bos)
    for t in range(T):
        logp, state = step(last, state)
        check_ids("tokens", tokens, logp.shape[1])
        last = tokens[t]
        total = total + np.where(t < lengths, logp[np.arange(B), last], 0).astype(logp.dtype)
    return total


def exhaustive_search(
    step, state, *, bos, eos, max_length, min_length=0, alpha=0.0, normalisation="power", axis=0
):
    """Every output of one sentence, the best score first: for small V and max_length only.

    Implements :eq:`beam-argmax` of book/beam_search. There are (V - 1)^max_length unfinished prefixes in the
    end, V^max_length without `eos`.

    Parameters
    ----------
    step, state, bos, eos, max_length, min_length, alpha, normalisation, axis
        As for :func:`beam_search`; the state is that of one sentence.

    Returns
    -------
    Beams
        B = 1, and N the number of outputs of probability above 0.
    """
    check_settings(1, Settings(1, bos, eos, max_length, min_length, alpha, normalisation))
    check_state(state, 1, axis)
    prefixes, logprob, last = np.zeros((1, 0), int), np.zeros(1), np.array([bos])
    outputs = []
    for t in range(1, max_length + 1):
        logp, state = step(last, state)
        V = logp.shape[1]
        total = (logprob[:, None] + logp).ravel()
        parent, token = np.divmod(np.arange(len(total)), V)
        ends = (token == eos) & (t >= min_length) if eos is not None else np.zeros(len(total), bool)
        forbidden = (token == eos) & ~ends if eos is not None else ends
        texts = np.column_stack([prefixes[parent], token])
        for place in np.flatnonzero((ends | (t == max_length)) & ~forbidden & (total > -np.inf)):
            outputs.append((length_score(total[place], t, alpha, normalisation), total[place], texts[place]))
        going = np.flatnonzero(~ends & ~forbidden & (total > -np.inf))
        prefixes, logprob, last = texts[going], total[going], token[going]
        rows = parent[going]
        state = tree_map(lambda part, rows=rows: part.take(rows, axis), state)
    outputs.sort(key=lambda output: -output[0])
    return _as_beams(outputs, eos)


def exact_search(
    step,
    state,
    *,
    bos,
    eos,
    max_length,
    alpha=0.0,
    normalisation="power",
    axis=0,
    floor=-np.inf,
    limit=20000,
    width=64,
):
    """The best output of one sentence, with proof: best-first search that leaves out what cannot win.

    Implements :eq:`beam-argmax`, :eq:`beam-bound` of book/beam_search. The prefix with the highest bound is
    continued first, `width` prefixes in one call of `step`; a prefix whose bound is no higher than the best
    score so far is dropped. Source: the depth-first search of Stahlberg and Byrne (2019), in another order.

    Parameters
    ----------
    step, state, bos, eos, max_length, alpha, normalisation, axis
        As for :func:`beam_search`; the state is that of one sentence.
    floor : float
        A score that is known to be reached, as that of a beam search: only better outputs are looked for.
    limit : int
        Most prefixes to continue.
    width : int

    Returns
    -------
    best : Beams or None
        None if no output scores above `floor`, as far as the search went.
    proved : bool
        Whether every output was covered; False if `limit` ended the search.
    """
    check_settings(1, Settings(1, bos, eos, max_length, 0, alpha, normalisation))
    check_state(state, 1, axis)
    number, best, continued = count(), None, 0
    # Heaps give the smallest first, so bounds are negated; the number settles ties.
    heap = [(-0.0, next(number), 0.0, (), state)]
    while heap and -heap[0][0] > floor and continued < limit:
        nodes = [heapq.heappop(heap) for _ in range(min(width, len(heap), limit - continued))]
        continued += len(nodes)
        states = _stack([node[4] for node in nodes], axis)
        logp, states = step(np.array([node[3][-1] if node[3] else bos for node in nodes]), states)
        total = np.array([[node[2]] for node in nodes]) + logp
        t = np.array([[len(node[3]) + 1] for node in nodes])
        ends = np.full(total.shape, t == max_length)
        if eos is not None:
            ends[:, eos] = True
        reach = np.where(ends, t, max_length if alpha > 0 else t + 1)
        bound = length_score(total, reach, alpha, normalisation)
        # What ends first: its score is reached, and may leave out some of the others.
        for i, token in zip(*np.nonzero(ends & (bound > floor)), strict=True):
            if bound[i, token] > floor:
                text = (*nodes[i][3], int(token))
                floor, best = bound[i, token], (bound[i, token], total[i, token], text)
        for i, token in zip(*np.nonzero(~ends & (bound > floor)), strict=True):
            after = tree_map(lambda part, i=i: part.take([i], axis), states)
            text = (*nodes[i][3], int(token))
            heapq.heappush(heap, (-bound[i, token], next(number), total[i, token], text, after))
    proved = not heap or -heap[0][0] <= floor
    return (None if best is None else _as_beams([best], eos)), proved


def _stack(states, axis):
    """One state for n hypotheses from n states for one."""
    if states[0] is None:
        return None
    if isinstance(states[0], tuple):
        parts = [_stack(part, axis) for part in zip(*states, strict=True)]
        return type(states[0])(*parts) if hasattr(states[0], "_fields") else tuple(parts)
    return np.concatenate(states, axis)


def _as_beams(outputs, eos):
    """Beams of one sentence from (score, log P, tokens) triples."""
    lengths = np.array([[len(text) for _, _, text in outputs]])
    tokens = np.full((lengths.max(), 1, len(outputs)), 0 if eos is None else eos)
    for n, (_, _, text) in enumerate(outputs):
        tokens[: len(text), 0, n] = text
    score, logprob = (np.array([[output[i] for output in outputs]]) for i in (0, 1))
    return Beams(tokens, lengths, logprob, score, lengths[:, 0])
