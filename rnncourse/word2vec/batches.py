"""From sentences to training examples: pairs, noise, subsampling, and blocks of the text."""

from itertools import islice
from numbers import Real
from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_choice, check_floats, check_ids, check_positive, check_shape

PART = 100_000
"""Words that are drawn for at once; it bounds the memory, whatever the size of the corpus."""

LONGEST = 1.0
"""How far a row may move in one step of training."""


def pairs(sentences, window, rng=None):
    """All (centre, context) pairs of a corpus: each word with those at most `window` places away.

    Source of the dynamic window: Mikolov et al. (2013a), section 3.2: with `rng` each centre draws its own
    width from 1 .. `window`, so that near words are taken more often, as :func:`window_weights` says.

    Parameters
    ----------
    sentences : sequence of (n,) arrays of int
        No pair crosses the end of a sentence; a sentence of one word gives none.
    window : int
        At least 1.
    rng : np.random.Generator, optional
        For the dynamic window; without it every centre has the full one.

    Returns
    -------
    centres, contexts : (N,) arrays of int
        In the order of the text.

    Raises
    ------
    ValueError
        If there are no words, an id is no integer of at least 0, or `window` is no integer of at least 1.
    """
    check_positive("window", window)
    ids, sentence = flat(sentences)
    width = np.full(len(ids), window) if rng is None else rng.integers(1, window + 1, len(ids))
    i, o = np.nonzero(inside_window(sentence, width, window))
    return ids[i], ids[i + o - window]


def window_weights(window):
    """Probability that the dynamic window takes a word 1, 2, ..., `window` places away.

    Implements :eq:`word2vec-window` of book/word2vec. Source: Mikolov et al. (2013a), section 3.2.

    Parameters
    ----------
    window : int
        At least 1.

    Returns
    -------
    (window,) array of float64

    Raises
    ------
    ValueError
        If `window` is no integer of at least 1.
    """
    check_positive("window", window)
    return np.arange(window, 0, -1) / window


def noise_distribution(counts, power=0.75):
    """The distribution that negative words are drawn from: counts to a power, normalised.

    Implements :eq:`word2vec-noise` of book/word2vec. Source: Mikolov et al. (2013b), section 2.2, who
    report that 3/4 worked best.

    Parameters
    ----------
    counts : (V,) array
        How often each word occurs; not all 0.
    power : float
        0 gives equal chances to every word that occurs, 1 the unigram distribution.

    Returns
    -------
    (V,) array of float64
        Sums to 1; a word that never occurs has probability 0, whatever the power.

    Raises
    ------
    ValueError
        If a count is negative or not finite, all are 0, or `power` is not finite.
    """
    counts = _check_counts(counts)
    if not np.isfinite(power):
        raise ValueError(f"power must be finite, got {power}")
    # By logarithms, largest weight 1: no power overflows.
    logs = np.where(counts > 0, power * np.log(np.where(counts > 0, counts, 1)), -np.inf)
    weights = np.exp(logs - logs.max())
    return weights / weights.sum()


def keep_probability(counts, threshold):
    """Probability that subsampling keeps an occurrence of each word: min(1, sqrt(threshold / frequency)).

    Implements :eq:`word2vec-subsample` of book/word2vec. Source: Mikolov et al. (2013b), section 2.3. Their
    published program keeps a little more, min(1, sqrt(threshold / f) + threshold / f), and so does gensim.

    Parameters
    ----------
    counts : (V,) array
        How often each word occurs; not all 0.
    threshold : float
        Above 0. Words of a relative frequency below it are always kept.

    Returns
    -------
    (V,) array of float64

    Raises
    ------
    ValueError
        If a count is negative or not finite, all are 0, or `threshold` is not above 0.
    """
    counts = _check_counts(counts)
    if not threshold > 0:
        raise ValueError(f"threshold must be above 0, got {threshold!r}")
    frequency = counts / counts.sum()
    return np.minimum(1, np.sqrt(threshold / np.where(frequency > 0, frequency, threshold)))


def _check_counts(counts):
    counts = np.asarray(counts, float)
    check_shape("counts", counts, V=None)
    check_floats(counts=counts)
    if not counts.size or counts.min() < 0 or not counts.any():
        raise ValueError("counts must be at least 0 and not all 0")
    return counts


def flat(sentences):
    """The words of all sentences in one array, and the number of the sentence of each.

    Parameters
    ----------
    sentences : sequence of (n,) arrays of int

    Returns
    -------
    ids, sentence : (N,) arrays of int

    Raises
    ------
    ValueError
        If there are no words, or an id is no integer of at least 0.
    """
    sentences = [np.asarray(s) for s in sentences]
    for n, s in enumerate(sentences):
        if s.size and (s.ndim != 1 or s.dtype.kind not in "iu" or s.min() < 0):
            raise ValueError(f"sentences must hold vectors of ids of at least 0, sentence {n} is {s!r:.60}")
    lengths = [s.size for s in sentences]
    if not sum(lengths):
        raise ValueError("sentences must hold at least one word, got none")
    ids = np.concatenate([s for s in sentences if s.size]).astype(np.int64)
    return ids, np.repeat(np.arange(len(sentences)), lengths)


def inside_window(sentence, width, window):
    """Which of the neighbours of each word are in its window and its sentence.

    Parameters
    ----------
    sentence, width : (N,) arrays of int
        The number of each word's sentence, rising, and how far its window reaches.
    window : int
        Largest width.

    Returns
    -------
    (N, 2 window + 1) array of bool
        Column o stands for the word o - window places on.
    """
    place = np.arange(len(sentence))
    first = np.searchsorted(sentence, sentence, side="left")
    last = np.searchsorted(sentence, sentence, side="right") - 1
    left, right = np.minimum(width, place - first), np.minimum(width, last - place)
    offsets = np.arange(-window, window + 1)
    return (offsets >= -left[:, None]) & (offsets <= right[:, None]) & (offsets != 0)


class Block(NamedTuple):
    """G groups of n neighbouring words as centres, the words around each group, and one set of negatives."""

    centres: np.ndarray
    """(G, n), of int."""
    around: np.ndarray
    """(G, n + 2 window), of int; the text from window places before a group to as many after it."""
    inside: np.ndarray
    """(G, n, 2 window + 1), of bool; whether ``around[g, i + o]`` is a context of centre i of group g."""
    negatives: np.ndarray
    """(M,), of int; drawn from the noise distribution, for all pairs of the block."""
    done: float
    """How much of the whole training lies before the block, in [0, 1)."""


def predictions(block, cbow):
    """How many words a block predicts: one a pair, with CBOW one a centre that has a word around."""
    return int((block.inside.any(-1) if cbow else block.inside).sum())


class Blocks:
    """What :func:`blocks` gives: an iterable of known length, the same blocks each time."""

    def __init__(self, ids, sentence, keep, cumulated, *, window, epochs, seed, size, groups, shared):
        self.ids, self.sentence, self.keep, self.cumulated = ids, sentence, keep, cumulated
        self.window, self.epochs, self.seed = window, epochs, seed
        self.size, self.groups, self.shared = size, groups, shared
        self.done, self.total, pair = 0, 0, False
        for _, _, _, kept, here in self._parts():
            of = sentence[here][kept]
            pair = pair or bool((of[1:] == of[:-1]).any())
            self.total += -(-len(of) // (size * groups))
        if not pair:
            raise ValueError(
                "sentences must hold a pair, two words of one sentence, that subsampling leaves; got none"
            )

    def after(self, state):
        """The same blocks without the first `state`, in place."""
        if isinstance(state, bool) or not isinstance(state, int | np.integer) or not 0 <= state <= self.total:
            raise ValueError(f"state must be the steps done, 0 .. {self.total}, got {state!r}")
        self.done = int(state)
        return self

    def __len__(self):
        return self.total - self.done

    def __iter__(self):
        return islice(self._draw(), self.done, None)

    def _parts(self):
        for epoch in range(self.epochs):
            for part, start in enumerate(range(0, len(self.ids), PART)):
                rng = np.random.default_rng([self.seed, epoch, part])
                here = slice(start, start + PART)
                kept = rng.random(len(self.ids[here])) < self.keep[self.ids[here]]
                if kept.any():
                    yield rng, epoch, start, kept, here

    def _draw(self):
        size, groups, window = self.size, self.groups, self.window
        for rng, epoch, start, kept, here in self._parts():
            words, of = self.ids[here][kept], self.sentence[here][kept]
            inside = inside_window(of, rng.integers(1, window + 1, len(words)), window)
            G = -(-len(words) // size)
            fill = G * size - len(words)
            inside = np.pad(inside, ((0, fill), (0, 0))).reshape(G, size, -1)
            padded = np.pad(words, (window, window + fill))
            around = np.lib.stride_tricks.sliding_window_view(padded, size + 2 * window)[::size]
            centres = around[:, window : window + size]
            draws = rng.random((-(-G // groups), self.shared)) * self.cumulated[-1]
            negatives = np.searchsorted(self.cumulated, draws, side="right")
            for b, g in enumerate(range(0, G, groups)):
                done = (epoch + (start + g / G * len(kept)) / len(self.ids)) / self.epochs
                now = slice(g, g + groups)
                yield Block(centres[now], around[now], inside[now], negatives[b], done)


def blocks(
    sentences,
    V,
    *,
    window,
    epochs,
    seed,
    subsample=None,
    power=0.75,
    noise=None,
    size=None,
    groups=None,
    shared=64,
):
    """Draw training blocks: subsample, draw the windows and the negatives, cut the text.

    The draws of a part of the text (100,000 words) depend on the seed, the epoch and the part alone, so that
    the same arguments give the same blocks again: training goes on by leaving out those that are done. A
    sentence that the end of a part cuts in two loses the pairs across the cut.

    Parameters
    ----------
    sentences : sequence of (n,) arrays of int
    V : int
    window, epochs : int
    seed : int
        At least 0.
    subsample : float, optional
        Threshold of :func:`keep_probability`; without it every word is kept.
    power : float
        Of :func:`noise_distribution`.
    noise : (V,) array, optional
        What the negatives are drawn from, in place of the counts to the `power`; sums to 1.
    size, groups : int, optional
        Centres of a group, groups of a block; by default 32 and 4, at most V / 8 centres together.
    shared : int
        Negatives that a block shares.

    Returns
    -------
    Blocks
        An iterable of :class:`Block` with a length. The last group of a part is filled up with centres that
        have no context, the last block of a part may have fewer groups.

    Raises
    ------
    ValueError
        If the corpus is empty, has one word only or no pair, also after subsampling, or an id or a setting
        is out of range.
    """
    size = min(32, max(1, V // 8)) if size is None else size
    groups = min(4, max(1, V // (8 * size))) if groups is None else groups
    settings = {"window": window, "epochs": epochs, "size": size, "groups": groups, "shared": shared}
    for name, value in settings.items():
        check_positive(name, value)
    check_seed(seed)
    ids, sentence = flat(sentences)
    check_ids("sentences", ids, V)
    if (ids == ids[0]).all():
        raise ValueError("sentences must hold at least two different words, got one")
    counts = np.bincount(ids, minlength=V)
    noise = noise_distribution(counts, power) if noise is None else check_noise(noise, V)
    keep = np.ones(V) if subsample is None else keep_probability(counts, subsample)
    return Blocks(ids, sentence, keep, np.cumsum(noise), seed=seed, **settings)


def held_out_draws(sentences, noise, window, negatives, seed, keep, objective):
    """What the held-out loss reads, drawn once; the arguments are those of ``held_out``.

    Returns
    -------
    read : (N, C) array of int
        The words that each prediction reads; one with skip-gram.
    share : (N, C) array of float64
        Their weights in the mean.
    targets : (N,) array of int
    drawn : (N, negatives) array of int
    """
    check_positive("negatives", negatives)
    check_choice("objective", objective, ("skip-gram", "cbow"))
    check_seed(seed)
    noise = check_noise(noise, len(noise))
    V, rng = len(noise), np.random.default_rng(seed)
    if keep is not None:
        keep = np.asarray(keep, float)
        check_shape("keep", keep, V=V)
        sentences = [s[rng.random(len(s)) < keep[s]] for s in map(np.asarray, sentences)]
    centres, contexts = pairs(sentences, window)
    if not len(centres):
        raise ValueError("sentences must hold at least one pair, got none")
    check_ids("sentences", centres, V)
    if objective == "cbow":
        ids, sentence = flat(sentences)
        inside = inside_window(sentence, np.full(len(ids), window), window)
        around = np.pad(ids, window)[np.arange(len(ids))[:, None] + np.arange(2 * window + 1)]
        read, inside, targets = (a[inside.any(axis=1)] for a in (around, inside, ids))
        share = inside / inside.sum(axis=1, keepdims=True)
    else:
        read, share, targets = centres[:, None], np.ones((len(centres), 1)), contexts
    drawn = rng.choice(V, (len(targets), negatives), p=noise / noise.sum())
    return read, share, targets, drawn


def check_seed(seed):
    """Raise ValueError unless `seed` is an integer of at least 0."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be an integer of at least 0, got {seed!r}")


def check_noise(noise, V):
    """The distribution `noise` (V,) as float64; raise ValueError unless it is one."""
    noise = np.asarray(noise)
    check_shape("noise", noise, V=V)
    check_floats(noise=noise)
    noise = noise.astype(float)
    if noise.min() < 0 or abs(noise.sum() - 1) > 1e-5:
        raise ValueError(f"noise must be at least 0 and sum to 1, got the sum {noise.sum():.6g}")
    return noise


def check_rate(lr):
    """Raise ValueError unless `lr` is a number above 0."""
    if not isinstance(lr, Real) or not lr > 0:
        raise ValueError(f"lr must be above 0, got {lr!r}")


def falling_rate(lr, done):
    """The learning rate when the part `done` of the training lies behind: falls linearly to 1e-4 of `lr`."""
    return lr * max(1 - done, 1e-4)
