"""BLEU, chrF, and the bootstrap: sentences become counts, counts become scores."""

from itertools import chain
from numbers import Real
from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_choice, check_positive, check_shape

SMOOTHINGS = ("none", "floor", "add-k", "exp")
"""What may be done about an n-gram order without a match."""
DEFAULT_VALUES = {"floor": 0.1, "add-k": 1.0}
"""Settings of those smoothings that have one, as in sacrebleu."""
_LARGEST_ID = 2**31 - 1


def clipped_matches(hypotheses, references, max_order=4):
    """How many n-grams of each hypothesis its references grant it, by order.

    Implements :eq:`bleu-clip` of book/bleu. Clipping is that of Papineni et al. (2002): an n-gram counts as
    often as it occurs in the hypothesis, but no more often than in the one reference that has it most often.
    All sentences are counted at once, by sorting in place of dictionaries.

    Parameters
    ----------
    hypotheses : sequence of S token sequences
        A token is a string without white space, or everywhere an integer in 0 .. 2**31 - 1. A hypothesis may
        be empty.
    references : sequence of S sequences of token sequences
        All references of each sentence, at least one; their numbers may differ. sacrebleu takes a list of
        all first references, one of all second ones, ...: turn them round with ``list(zip(*lists))``.
    max_order : int
        The largest n.

    Returns
    -------
    (S, max_order) array of float64
        Counts.

    Raises
    ------
    ValueError
        If the numbers of sentences differ or are zero, a sentence has no reference, a string stands where a
        token sequence is meant, or a token is no such token.
    """
    check_positive("max_order", max_order)
    hypotheses, references, owner = _flat(hypotheses, references)
    S, texts = len(hypotheses), hypotheses + references
    ids, lengths = _ids(texts), _lengths(texts)
    # Column 0 counts in the hypothesis, column 1 + j in the sentence's reference j.
    number = np.arange(len(owner)) - np.searchsorted(owner, owner)
    columns = 2 + number.max()
    text = np.repeat(np.arange(len(texts)), lengths)
    sentence = np.concatenate([np.arange(S), owner])[text]
    column = np.concatenate([np.zeros(S, int), 1 + number])[text]
    left = lengths.cumsum()[text] - np.arange(len(ids))
    base = ids.max(initial=0) + 1
    matches = np.zeros((S, max_order))
    # An n-gram is the number of its first n - 1 tokens in its sentence, and one token more.
    start, rank = np.arange(len(ids)), sentence
    for n in range(max_order):
        key = rank * base + ids[start + n]
        order = key.argsort()
        start, key = start[order], key[order]
        new = np.diff(key, prepend=-1) > 0
        rank = new.cumsum() - 1
        counts = np.bincount(rank * columns + column[start], minlength=new.sum() * columns)
        counts = counts.reshape(-1, columns)
        matched = np.minimum(counts[:, 0], counts[:, 1:].max(1))
        matches[:, n] = np.bincount(sentence[start[new]], matched, S)
        # A longer n-gram can match only where its beginning does, and needs one word more.
        going_on = (matched > 0)[rank] & (left[start] > n + 1)
        start, rank = start[going_on], rank[going_on]
    return matches


def bleu_statistics(hypotheses, references, max_order=4):
    """Count what BLEU needs of each sentence.

    Implements :eq:`bleu-statistics` of book/bleu. The length of several references is the one nearest to the
    hypothesis's, the shorter of two that are equally near; Papineni et al. (2002) say "best match length" and
    leave ties open, sacrebleu (Post, 2018) takes the shorter.

    Parameters
    ----------
    hypotheses, references, max_order
        As for :func:`clipped_matches`.

    Returns
    -------
    (S, 2 + 2 max_order) array of float64
        Counts: tokens of the hypothesis, tokens of the reference, matches by order, n-grams by order. Those
        of a corpus are the sum over its sentences.

    Raises
    ------
    ValueError
        As :func:`clipped_matches` does.
    """
    matches = clipped_matches(hypotheses, references, max_order)
    _, texts, owner = _flat(hypotheses, references)
    c, lengths = _lengths(hypotheses), _lengths(texts)
    # By sentence, then by distance, then by length; the first of each sentence is the one.
    order = np.lexsort((lengths, np.abs(lengths - c[owner]), owner))
    r = lengths[order[np.searchsorted(owner, np.arange(len(c)))]]
    totals = np.maximum(c[:, None] - np.arange(max_order), 0)
    return np.column_stack([c, r, matches, totals])


def ngram_precisions(statistics, smoothing="none", value=None):
    """Precision of each order, smoothed or not.

    Implements :eq:`bleu-precision` and :eq:`bleu-smoothing` of book/bleu. "floor", "add-k" and "exp" are
    methods 1, 2 and 3 of Chen and Cherry (2014), as sacrebleu has them: "add-k" leaves n = 1 alone.

    Parameters
    ----------
    statistics : (..., 2 + 2N) array
        Counts from :func:`bleu_statistics`, of a sentence or summed over a corpus.
    smoothing : str
        One of :data:`SMOOTHINGS`.
    value : float, optional
        What "floor" puts in place of zero matches, or the k of "add-k"; None takes 0.1 and 1.

    Returns
    -------
    (..., N) array
        Zero where the hypothesis has no n-gram.

    Raises
    ------
    ValueError
        If `statistics` has no such shape or holds no counts, the smoothing is unknown, or the value negative
        or not for it.
    """
    _, _, matches, totals = _split(statistics)
    value = _smoothing_value(smoothing, value)
    if smoothing == "add-k":
        added = value * (np.arange(matches.shape[-1]) > 0)
        matches, totals = matches + added, totals + added
    missed = (matches == 0) & (totals > 0)
    if smoothing == "floor":
        matches = np.where(missed, value, matches)
    if smoothing == "exp":
        matches = np.where(missed, 0.5 ** missed.cumsum(-1), matches)
    return matches / np.where(totals > 0, totals, 1)


def brevity_penalty(c, r):
    """Factor that a corpus loses for being shorter than its reference.

    Implements :eq:`bleu-penalty` of book/bleu (Papineni et al., 2002). With ``c = 0 < r`` it is 0.

    Parameters
    ----------
    c, r : number or array
        Tokens of the hypotheses and of the references.

    Returns
    -------
    number or array of float64
        In 0 .. 1.

    Raises
    ------
    ValueError
        If a number is negative or not finite.
    """
    c, r = np.asarray(c, float), np.asarray(r, float)
    if not all((0 <= length).all() and (length < np.inf).all() for length in (c, r)):
        raise ValueError("c and r must be numbers of tokens, finite and at least 0")
    short = np.exp(1 - r / np.where(c > 0, c, 1)) * (c > 0)
    return np.where(c < r, short, 1.0)[()]


def bleu(statistics, smoothing="none", value=None, effective_order=False):
    """BLEU of counts: brevity penalty times the geometric mean of the precisions.

    Implements :eq:`bleu-score` of book/bleu (Papineni et al., 2002), in 0 .. 1 where sacrebleu (Post, 2018)
    prints 0 .. 100. Without any matching word it is 0 with every smoothing, as in sacrebleu.

    Parameters
    ----------
    statistics : (..., 2 + 2N) array
        Counts from :func:`bleu_statistics`: each last axis gives a score. For a corpus sum over its sentences
        first.
    smoothing, value
        As for :func:`ngram_precisions`.
    effective_order : bool
        Whether to leave out the orders for which the hypothesis is too short.

    Returns
    -------
    number or (...) array of float64

    Raises
    ------
    ValueError
        As :func:`ngram_precisions` does.
    """
    c, r, matches, totals = _split(statistics)
    p = ngram_precisions(statistics, smoothing, value)
    # With add-k every order above 1 has something to count.
    used = (totals > 0) | (p > 0) if effective_order else np.ones(p.shape, bool)
    with np.errstate(divide="ignore"):  # ln 0 = -inf, and exp(-inf) = 0 is meant
        total = np.where(used, np.log(p), 0.0).sum(-1)
    mean = np.exp(total / np.maximum(used.sum(-1), 1))
    return np.where(matches.any(-1), brevity_penalty(c, r) * mean, 0.0)[()]


def corpus_bleu(hypotheses, references, max_order=4, **smoothing):
    """BLEU of a corpus: counts are added over the sentences, then scored once.

    Implements :eq:`bleu-corpus` of book/bleu (Papineni et al., 2002).

    Parameters
    ----------
    hypotheses, references, max_order
        As for :func:`clipped_matches`.
    **smoothing
        ``smoothing``, ``value`` and ``effective_order`` of :func:`bleu`. sacrebleu's default is "exp".

    Returns
    -------
    float
        In 0 .. 1.

    Raises
    ------
    ValueError
        As :func:`clipped_matches` and :func:`bleu` do.
    """
    return float(bleu(bleu_statistics(hypotheses, references, max_order).sum(0), **smoothing))


def sentence_bleu(hypothesis, references, max_order=4, **smoothing):
    """BLEU of a corpus of one sentence; without smoothing it is mostly 0.

    Parameters
    ----------
    hypothesis : token sequence
    references : sequence of token sequences
    max_order, **smoothing
        As for :func:`corpus_bleu`.

    Returns
    -------
    float
        In 0 .. 1.

    Raises
    ------
    ValueError
        As :func:`corpus_bleu` does.
    """
    return corpus_bleu([hypothesis], [references], max_order, **smoothing)


def chrf_statistics(hypotheses, references, max_order=6, beta=2.0):
    """Count what chrF needs of each sentence: n-grams of characters, white space left out.

    Implements :eq:`bleu-chrf-statistics` of book/bleu. Of several references the one with the best score of
    the sentence counts, the first of equals, as in sacrebleu.

    Parameters
    ----------
    hypotheses : sequence of S sequences of strings
        A sentence may be empty.
    references : sequence of S sequences of sequences of strings
        All references of each sentence.
    max_order : int
        The largest n.
    beta : float
        As for :func:`chrf`.

    Returns
    -------
    (S, 3, max_order) array of float64
        n-grams of the hypothesis, of the reference, matches. An order that the reference lacks has no
        n-grams of the hypothesis either.

    Raises
    ------
    ValueError
        As :func:`clipped_matches` does.
    """
    check_positive("max_order", max_order)
    hypotheses, references, owner = _flat(hypotheses, references)
    texts = hypotheses + references
    if any(isinstance(token, int | np.integer) for text in texts for token in text):
        raise ValueError("chrF needs words, got integers")
    _ids(texts)  # checks the tokens
    characters, reference_characters = map(_characters, (hypotheses, references))
    pairs = [characters[s] for s in owner]
    matches = clipped_matches(pairs, [[text] for text in reference_characters], max_order)
    lengths = np.array([[len(a), len(b)] for a, b in zip(pairs, reference_characters, strict=True)])
    totals = np.maximum(lengths[:, :, None] - np.arange(max_order), 0)
    statistics = np.concatenate([totals, matches[:, None]], axis=1)
    statistics[:, 0] *= statistics[:, 1] > 0
    scores = chrf(statistics, beta)
    first = np.searchsorted(owner, np.arange(len(hypotheses) + 1))
    best = [a + scores[a:b].argmax() for a, b in zip(first, first[1:], strict=False)]
    return statistics[best]


def chrf(statistics, beta=2.0):
    """Compute chrF of counts: an F score of the mean precision and the mean recall over the orders.

    Implements :eq:`bleu-chrf` of book/bleu (Popović, 2015). Orders that hypothesis or reference lack are left
    out, as in sacrebleu.

    Parameters
    ----------
    statistics : (..., 3, N) array
        From :func:`chrf_statistics`, of a sentence or summed over a corpus.
    beta : float
        How many times recall weighs as much as precision.

    Returns
    -------
    number or (...) array of float64
        In 0 .. 1.

    Raises
    ------
    ValueError
        If `statistics` has no such shape or holds no counts, or `beta` is not above 0.
    """
    statistics = np.asarray(statistics, float)
    if statistics.ndim < 2 or statistics.shape[-2] != 3:
        raise ValueError(f"statistics must have shape (..., 3, N), got {statistics.shape}")
    _check_counts(statistics)
    if not 0 < beta < np.inf:
        raise ValueError(f"beta must be above 0, got {beta!r}")
    hypothesis, reference, matches = np.moveaxis(statistics, -2, 0)
    if (matches > reference).any() or (matches > hypothesis).any():
        raise ValueError("statistics must not have more matches than n-grams")
    used = (hypothesis > 0) & (reference > 0)
    orders = np.maximum(used.sum(-1), 1)
    precision = (used * matches / np.maximum(hypothesis, 1)).sum(-1) / orders
    recall = (used * matches / np.maximum(reference, 1)).sum(-1) / orders
    weighted = beta**2 * precision + recall
    return ((1 + beta**2) * precision * recall / np.where(weighted > 0, weighted, 1))[()]


def corpus_chrf(hypotheses, references, max_order=6, beta=2.0):
    """Compute chrF of a corpus: counts are added over the sentences, then scored once.

    Implements :eq:`bleu-chrf` of book/bleu (Popović, 2015).

    Parameters
    ----------
    hypotheses, references, max_order, beta
        As for :func:`chrf_statistics`.

    Returns
    -------
    float
        In 0 .. 1.

    Raises
    ------
    ValueError
        As :func:`chrf_statistics` and :func:`chrf` do.
    """
    return float(chrf(chrf_statistics(hypotheses, references, max_order, beta).sum(0), beta))


def resample(statistics, rng, resamples=1000):
    """Draw test sets of S sentences with replacement, and add up the counts of each.

    Implements :eq:`bleu-bootstrap` of book/bleu (Efron, 1979; for BLEU Koehn, 2004).

    Parameters
    ----------
    statistics : (S, ...) array
        Counts by sentence, of BLEU or of chrF.
    rng : np.random.Generator
        Two systems resampled by generators of the same seed get the same sentences.
    resamples : int
        R, how many test sets. They need the memory of 3 R S numbers.

    Returns
    -------
    (R, ...) array
        Counts of each test set.

    Raises
    ------
    ValueError
        If there are no sentences, `statistics` holds no counts, or `resamples` is no positive integer.
    """
    check_positive("resamples", resamples)
    statistics = np.asarray(statistics, float)
    if statistics.ndim < 2 or not len(statistics):
        raise ValueError(f"statistics must have shape (S, ...) with S of at least 1, got {statistics.shape}")
    _check_counts(statistics)
    S = len(statistics)
    drawn = rng.integers(0, S, (resamples, S)) + S * np.arange(resamples)[:, None]
    # How often each sentence was drawn: the sum over the draws is then one matrix product.
    times = np.bincount(drawn.ravel(), minlength=resamples * S).reshape(resamples, S)
    return np.tensordot(times.astype(float), statistics, 1)


def percentile_interval(values, level=0.95):
    """Interval that leaves out equal shares of the resampled values at both ends.

    Implements :eq:`bleu-interval` of book/bleu: Efron's percentile method.

    Parameters
    ----------
    values : (R,) array
    level : float
        Share inside.

    Returns
    -------
    low, high : float

    Raises
    ------
    ValueError
        If there are no values, one is nan or infinite, or the level is not between 0 and 1.
    """
    values = np.asarray(values, float)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"values must have shape (R,) with R of at least 1, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("values must be finite, got nan or inf")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level!r}")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


class PairedBootstrap(NamedTuple):
    """Two systems on the same test set."""

    difference: float
    """Score of the first minus that of the second."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end."""
    reversals: float
    """Share of the resampled test sets on which the system that was behind is not behind."""


def paired_bootstrap(first, second, rng, resamples=1000, score=bleu, level=0.95):
    """Compare two systems on the same sentences: each resample draws them for both.

    Implements :eq:`bleu-paired` of book/bleu (Koehn, 2004).

    Parameters
    ----------
    first, second : (S, ...) array
        Counts of each system by sentence, the same sentences in the same order.
    rng : np.random.Generator
    resamples : int
    score : callable
        From counts to score: :func:`bleu`, with a smoothing or without, or :func:`chrf`.
    level : float
        Of the interval.

    Returns
    -------
    PairedBootstrap

    Raises
    ------
    ValueError
        If the shapes differ, or as :func:`resample` does.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape:
        raise ValueError(f"second must have the shape of first, {first.shape}, got {second.shape}")
    both = resample(np.stack([first, second], 1), rng, resamples)
    difference = float(score(first.sum(0)) - score(second.sum(0)))
    differences = score(both[:, 0]) - score(both[:, 1])
    low, high = percentile_interval(differences, level)
    reversals = float((np.sign(difference) * differences <= 0).mean())
    return PairedBootstrap(difference, low, high, reversals)


def _flat(hypotheses, references):
    """Lists of all hypotheses and of all references, and the sentence that each reference belongs to."""
    for name, given in (("hypotheses", hypotheses), ("references", references)):
        if not isinstance(given, list | tuple | np.ndarray):
            kind = "a string" if isinstance(given, str) else type(given).__name__
            raise ValueError(f"{name} must be a list with an entry for each sentence, got {kind}")
    if len(hypotheses) != len(references):
        raise ValueError(
            f"references must have an entry for each of the S = {len(hypotheses)} hypotheses, that "
            f"sentence's references, got {len(references)} entries"
        )
    if not len(hypotheses):
        raise ValueError("hypotheses must hold at least one sentence, got none")
    if not all(issubclass(kind, list | tuple | np.ndarray) for kind in set(map(type, references))):
        raise ValueError("references must hold a list of references for each sentence")
    numbers = _lengths(references)
    if not numbers.all():
        raise ValueError(f"references[{numbers.argmin()}] must hold at least one reference, got none")
    texts = list(chain.from_iterable(references))
    _check_texts(hypotheses, "hypotheses must hold token lists")
    _check_texts(texts, "references must hold lists of token lists")
    return list(hypotheses), texts, np.repeat(np.arange(len(references)), numbers)


def _check_texts(texts, rule):
    wrong = [kind for kind in set(map(type, texts)) if not issubclass(kind, list | tuple | np.ndarray)]
    if wrong:
        text = next(text for text in texts if type(text) in wrong)
        got = f"the string {text[:40]!r}" if isinstance(text, str) else type(text).__name__
        raise ValueError(f"{rule}, got {got} in place of a token list")


def _lengths(texts):
    return np.fromiter(map(len, texts), int, len(texts))


def _ids(texts):
    """All tokens of the texts as integers, equal if and only if the tokens are."""
    if set(map(type, texts)) == {np.ndarray} and not any(text.dtype.kind == "O" for text in texts):
        # Before they are joined, which would turn numbers into strings. An empty array is one of floats.
        filled = [text for text in texts if text.size] or [np.zeros(0, int)]
        for text in filled:
            check_shape("tokens", text, n=None)
        kinds = {text.dtype.type for text in filled}
        if len(kinds) > 1 and all(issubclass(kind, np.integer) for kind in kinds):
            filled = [text.astype(int) for text in filled]
        tokens = np.concatenate(filled)
    else:
        tokens = list(chain.from_iterable(texts))
        kinds = set(map(type, tokens))
    if all(issubclass(kind, int | np.integer) and kind is not bool for kind in kinds):
        ids = np.asarray(tokens)
        if ids.size and not 0 <= ids.min() <= ids.max() <= _LARGEST_ID:
            raise ValueError(f"tokens must lie in 0 .. 2**31 - 1, got {ids.min()} .. {ids.max()}")
        return ids.astype(int, copy=False)
    if not all(issubclass(kind, str) for kind in kinds):
        found = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(f"tokens must all be strings, or all integers, got {found}")
    table = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    for token in table:
        if token.split() != [token]:
            raise ValueError(f"a token must be a string without white space and not empty, got {token!r}")
    return np.fromiter(map(table.__getitem__, tokens), int, len(tokens))


def _characters(texts):
    """Code points of each text without white space."""
    return [np.array([ord(character) for character in "".join(text)], int) for text in texts]


def _check_counts(statistics):
    if not (0 <= statistics).all() or not (statistics < np.inf).all():
        raise ValueError("statistics must be counts, got nan, inf or a negative number")


def _split(statistics):
    """Lengths, matches and totals of counts for BLEU."""
    statistics = np.asarray(statistics, float)
    if statistics.ndim == 0 or statistics.shape[-1] < 4 or statistics.shape[-1] % 2:
        raise ValueError(f"statistics must have shape (..., 2 + 2N), got {statistics.shape}")
    _check_counts(statistics)
    matches, totals = np.split(statistics[..., 2:], 2, axis=-1)
    if (matches > totals).any():
        raise ValueError("statistics must not have more matches than n-grams")
    return statistics[..., 0], statistics[..., 1], matches, totals


def _smoothing_value(smoothing, value):
    check_choice("smoothing", smoothing, SMOOTHINGS)
    if value is None:
        return DEFAULT_VALUES.get(smoothing)
    if smoothing not in DEFAULT_VALUES:
        raise ValueError(f"smoothing {smoothing!r} has no value, got {value!r}")
    if not isinstance(value, Real) or not 0 <= value < np.inf:
        raise ValueError(f"value must be a number of at least 0, got {value!r}")
    return value
