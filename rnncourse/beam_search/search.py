"""What beam search decides, once the candidates of a step are known: the same for arrays and tensors."""

from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_choice, check_positive
from rnncourse.optim._tree import tree_map

NORMALISATIONS = "power", "gnmt"
STOPPINGS = "first", "full", "current", "safe", "never"


class Beams(NamedTuple):
    """The best hypotheses of each sentence, the best first."""

    tokens: np.ndarray
    """(T, B, N), ids with ``</s>`` where it was said; what follows a hypothesis is ``eos`` too."""
    lengths: np.ndarray
    """(B, N), tokens of each, ``</s>`` counted; 0 where there are fewer than N hypotheses."""
    logprob: np.ndarray
    """(B, N), log P; -inf where there are fewer."""
    score: np.ndarray
    """(B, N), log P over the length penalty, by which they are ranked."""
    steps: np.ndarray
    """(B,), steps until the search of the sentence stopped."""

    def best(self, b=0, n=0):
        """Tokens of sentence b's hypothesis n as a list."""
        return self.tokens[: self.lengths[b, n], b, n].tolist()


class Settings(NamedTuple):
    """What a search is asked for, as :func:`rnncourse.beam_search.numpy.beam_search` explains it."""

    K: int
    bos: int
    eos: int | None
    max_length: int
    min_length: int = 0
    alpha: float = 0.0
    normalisation: str = "power"
    stopping: str = "safe"
    n_best: int = 1


def length_penalty(T, alpha, normalisation="power"):
    """What the log-probability of T tokens is divided by.

    Implements :eq:`beam-penalty` of book/beam_search. Source: Wu et al. (2016), equation 14, for "gnmt",
    without their coverage penalty.

    Parameters
    ----------
    T : int or array of int
        Tokens, ``</s>`` counted.
    alpha : float
    normalisation : {"power", "gnmt"}

    Returns
    -------
    float or array

    Raises
    ------
    ValueError
        If `normalisation` is neither.
    """
    check_choice("normalisation", normalisation, NORMALISATIONS)
    base = np.asarray(T, float) if normalisation == "power" else (5.0 + np.asarray(T)) / 6.0
    return base**alpha


def length_score(logprob, T, alpha, normalisation="power"):
    """The objective that the search maximises.

    Implements :eq:`beam-score` of book/beam_search.

    Parameters
    ----------
    logprob : float or array
        log P of whole hypotheses, in nats.
    T : int or array of int
        Their tokens, ``</s>`` counted.
    alpha : float
    normalisation : {"power", "gnmt"}

    Returns
    -------
    float or array
        Of the dtype of `logprob`; float64 for integers.
    """
    logprob = np.asarray(logprob)
    if logprob.dtype.kind != "f":
        logprob = logprob.astype(float)
    return (logprob / length_penalty(T, alpha, normalisation)).astype(logprob.dtype)[()]


def best_attainable(logprob, t, max_length, alpha, normalisation="power"):
    """No output that continues a hypothesis of t tokens scores above this.

    Implements :eq:`beam-bound` of book/beam_search.

    Parameters
    ----------
    logprob : float or array
        log P of the unfinished hypothesis.
    t : int
        Its tokens.
    max_length : int
        Most tokens of an output, above t.
    alpha : float
    normalisation : {"power", "gnmt"}

    Returns
    -------
    float or array
    """
    return length_score(logprob, max_length if alpha > 0 else t + 1, alpha, normalisation)


def may_stop(pool, live, t, settings):
    """Whether the search of a sentence stops after t steps: the rules of book/beam_search.

    Parameters
    ----------
    pool : (B, K) array
        Scores of the best finished hypotheses, falling; -inf where there are fewer.
    live : (B,) array
        log P of the best unfinished hypothesis.
    t : int
    settings : Settings

    Returns
    -------
    (B,) array of bool
    """
    _, _, _, max_length, _, alpha, normalisation, stopping, n_best = settings
    if stopping == "first":
        return pool[:, 0] > -np.inf
    if stopping == "full":
        return pool[:, -1] > -np.inf
    if stopping == "current":
        return length_score(live, t, alpha, normalisation) <= pool[:, -1]
    if stopping == "safe":
        return best_attainable(live, t, max_length, alpha, normalisation) <= pool[:, n_best - 1]
    return np.zeros(len(pool), bool)


def search(extend, B, settings):
    """Beam search over candidates that `extend` finds: what the searches on arrays and on tensors share.

    Implements :eq:`beam-step`, :eq:`beam-pool`, :eq:`beam-score`, :eq:`beam-stop` of book/beam_search.

    Parameters
    ----------
    extend : callable
        ``extend(rows, tokens, live, M, banned)`` puts the hypotheses in the places `rows`, gives them the
        next tokens, and returns the best M candidates of each of the n sentences that are left: log P (n, M),
        its places (n, M) in the flattened (K, V), both in any order, and V. `live` (n, K) is log P so far;
        the token `banned` may not be said, if it is not None.
    B : int
        Sentences.
    settings : Settings

    Returns
    -------
    Beams

    Raises
    ------
    ValueError
        If every output of a sentence has probability 0.
    """
    K, bos, eos, max_length, min_length, alpha, normalisation, _, n_best = settings
    asked = np.arange(B)  # sentences that are still searched
    live = np.full((B, K), -np.inf)
    live[:, 0] = 0  # before the first step the hypotheses of a sentence are alike: only one counts
    rows, last = np.repeat(asked, K), np.full(B * K, bos)
    history = np.zeros((max_length, B, K), int)
    pool = _empty_pool(B, settings)
    for t in range(1, max_length + 1):
        # K hypotheses have at most K candidates that end, so the best 2 K hold the best K that go on.
        value, place, V = extend(rows, last, live, 2 * K, eos if t < min_length else None)
        # Of equal candidates the one from the better parent comes first, then the one with the lower id.
        rank = np.lexsort((place, -value), axis=-1)
        value = np.take_along_axis(value, rank, 1)
        parent, token = np.divmod(np.take_along_axis(place, rank, 1), V)
        ends = np.full(token.shape, t == max_length)
        if eos is not None:
            ends |= token == eos

        finished = ends[:, :K] & (value[:, :K] > -np.inf)
        if finished.any():
            tokens = np.take_along_axis(history, parent[None, :, :K], 2)
            tokens[t - 1] = token[:, :K]
            logprob = np.where(finished, value[:, :K], -np.inf).astype(value.dtype)
            score = length_score(logprob, t, alpha, normalisation)
            new = Beams(tokens, t * finished, logprob, score, None)
            pool = _merge(pool, new, asked)
        pool.steps[asked] = t

        order = np.argsort(ends, axis=1, kind="stable")[:, :K]
        parent, token, value, ends = (np.take_along_axis(a, order, 1) for a in (parent, token, value, ends))
        live = np.where(ends, -np.inf, value).astype(value.dtype)
        stop = may_stop(pool.score[asked], live[:, 0], t, settings)
        (going,) = np.nonzero(~stop & (live[:, 0] > -np.inf))
        if not len(going):
            break
        rows = (going[:, None] * K + parent[going]).ravel()
        history = np.take_along_axis(history[:, going], parent[None, going], 2)
        history[t - 1] = token[going]
        asked, live, last = asked[going], live[going], token[going].ravel()
    return _answer(pool, n_best, eos)


def _empty_pool(B, settings):
    K = settings.K
    tokens, lengths = np.zeros((settings.max_length, B, K), int), np.zeros((B, K), int)
    return Beams(tokens, lengths, *np.full((2, B, K), -np.inf), np.zeros(B, int))


def _merge(pool, new, asked):
    """`pool` with the best K of its own and the new hypotheses of the sentences `asked`; the older first."""
    both = [np.concatenate([a[..., asked, :], b], -1) for a, b in zip(pool[:4], new[:4], strict=True)]
    order = np.argsort(-both[3], axis=1, kind="stable")[:, : pool.score.shape[1]]
    merged = Beams(*(a.astype(b.dtype) for a, b in zip(pool[:4], new[:4], strict=True)), pool.steps)
    merged.tokens[:, asked] = np.take_along_axis(both[0], order[None], 2)
    for target, source in zip(merged[1:4], both[1:4], strict=True):
        target[asked] = np.take_along_axis(source, order, 1)
    return merged


def _answer(pool, n_best, eos):
    """The `n_best` of each sentence, with `eos` behind the end."""
    (empty,) = np.nonzero(pool.lengths[:, 0] == 0)
    if len(empty):
        raise ValueError(f"step gives every output of sentence {empty[0]} probability 0")
    tokens, lengths, logprob, score = (a[..., :n_best] for a in pool[:4])
    tokens = tokens[: lengths.max()]
    if eos is not None:
        tokens = np.where(np.arange(len(tokens))[:, None, None] < lengths, tokens, eos)
    return Beams(tokens, lengths, logprob, score, pool.steps)


def check_settings(B, settings):
    """Raise unless the settings of a search make sense."""
    K, _, _, max_length, min_length, alpha, normalisation, stopping, n_best = settings
    for name, size in (("B", B), ("K", K), ("max_length", max_length), ("n_best", n_best)):
        check_positive(name, size)
    if isinstance(min_length, bool) or not isinstance(min_length, int | np.integer):
        raise ValueError(f"min_length must be an integer, got {min_length!r}")
    if not 0 <= min_length <= max_length:
        raise ValueError(f"min_length must lie in 0 .. max_length = {max_length}, got {min_length}")
    if n_best > K:
        raise ValueError(f"n_best must be at most K = {K}, got {n_best}")
    if not np.isfinite(alpha):
        raise ValueError(f"alpha must be finite, got {alpha!r}")
    check_choice("normalisation", normalisation, NORMALISATIONS)
    check_choice("stopping", stopping, STOPPINGS)


def check_state(state, B, axis):
    """Raise unless each part of a state has B sentences on `axis`."""

    def check(part):
        if not hasattr(part, "shape"):
            raise ValueError(f"state must be a nested tuple of arrays, got a {type(part).__name__} in it")
        shape = tuple(part.shape)
        if not -len(shape) <= axis < len(shape) or shape[axis] != B:
            raise ValueError(f"state must hold B = {B} sentences on axis {axis}, got shape {shape}")

    tree_map(check, state)


def check_logp(logp, n, eos, most):
    """Raise unless a step gave log-probabilities of n hypotheses; `most` is the largest of them."""
    shape = logp.shape
    if "float" not in str(logp.dtype):
        raise ValueError(f"step must return floating-point log-probabilities, got {logp.dtype}")
    if len(shape) != 2 or shape[0] != n:
        wanted = f"(B * K, V) = ({n}, V)"
        raise ValueError(f"step must return log-probabilities of shape {wanted}, got {tuple(shape)}")
    if eos is not None and not 0 <= eos < shape[1]:
        raise ValueError(f"eos must lie in 0 .. V - 1 = {shape[1] - 1}, got {eos}")
    if not most <= 1e-4:  # nan too; rounding may leave a little above 0
        raise ValueError(f"step must return log-probabilities, at most 0, got {most:.3g}")


class Verdict(NamedTuple):
    """Whose fault a bad output is."""

    margin: np.ndarray
    """(B,), the score of the reference less that of the output, in nats over the length penalty."""
    search: np.ndarray
    """(B,) of bool, whether a search error is proved. If not, a model error, maybe a search error too."""


def error_analysis(reference, output, tolerance=1e-6):
    """Search error or model error, from the scores of reference and output under the search's own objective.

    Implements :eq:`beam-verdict` of book/beam_search.

    Parameters
    ----------
    reference, output : (B,) array
        Scores, both by :func:`length_score` with the alpha of the search.
    tolerance : float
        Rounding: what the reference must be ahead by.

    Returns
    -------
    Verdict
    """
    margin = np.asarray(reference) - np.asarray(output)
    return Verdict(margin, margin > tolerance)
