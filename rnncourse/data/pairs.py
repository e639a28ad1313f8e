"""Pairs of sentences for translation: ids, padding, and batches of like length."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_ids, check_lengths, check_positive, check_shape
from rnncourse.data import grammar
from rnncourse.data.words import UNKNOWN, WordVocabulary
from rnncourse.training.numpy import bucket_batches

SPECIALS = ("<pad>", "<s>", "</s>", UNKNOWN)
"""The first words of every vocabulary here; padding, start, end, unknown word."""
PAD, START, END, UNK = range(4)


class PairData(NamedTuple):
    """Sentences in two languages, one the translation of the other."""

    source: tuple
    """Sentences, each a tuple of words."""
    target: tuple
    """Their translations, in the same order."""
    source_vocabulary: WordVocabulary
    """With the ``SPECIALS`` first."""
    target_vocabulary: WordVocabulary


class PairBatch(NamedTuple):
    """What one step of training reads."""

    source: np.ndarray
    """(S, B) of int, padded with ``PAD``."""
    source_lengths: np.ndarray
    """(B,) of int."""
    target_input: np.ndarray
    """(T, B) of int, ``START`` and the words of the translation."""
    target: np.ndarray
    """(T, B) of int, the words of the translation and ``END``."""
    target_lengths: np.ndarray
    """(B,) of int, ``END`` counted."""


def pad(sequences, padding=PAD):
    """Put sequences of different lengths side by side.

    Parameters
    ----------
    sequences : sequence of sequences of int
        At least one, none of them empty.
    padding : int
        Fills up the shorter ones.

    Returns
    -------
    ids : (T, B) array of int
        T is the length of the longest.
    lengths : (B,) array of int

    Raises
    ------
    ValueError
        If there are no sequences, one is empty, or one is no sequence of integers.
    """
    sequences = [np.asarray(sequence) for sequence in sequences]
    if not sequences:
        raise ValueError("sequences must hold at least one sequence, got none")
    for i, sequence in enumerate(sequences):
        if sequence.ndim != 1 or not sequence.size or sequence.dtype.kind not in "iu":
            raise ValueError(
                f"sequences must hold vectors of at least one integer, got shape {sequence.shape} "
                f"of dtype {sequence.dtype} at position {i}"
            )
    lengths = np.array([len(sequence) for sequence in sequences])
    ids = np.full((lengths.max(), len(sequences)), padding, dtype=int)
    for b, sequence in enumerate(sequences):
        ids[: len(sequence), b] = sequence
    return ids, lengths


def length_mask(lengths, T):
    """Which positions hold something: True before the end of each sequence, False at padding.

    Parameters
    ----------
    lengths : (B,) array of int
        1 .. T.
    T : int

    Returns
    -------
    (T, B) array of bool

    Raises
    ------
    ValueError
        If a length is out of range.
    """
    check_positive("T", T)
    lengths = np.asarray(lengths)
    check_shape("lengths", lengths, B=None)
    check_lengths(lengths, T, len(lengths))
    return np.arange(T)[:, None] < lengths


def make_pairs(source, target, *, min_count=1, vocabularies=None):
    """Sentence pairs with vocabularies of their words.

    Parameters
    ----------
    source, target : sequences of sequences of str
        As many of the one as of the other, no sentence empty.
    min_count : int
        Rarer words become ``<unk>``.
    vocabularies : pair of WordVocabulary, optional
        Those of other data, such as the training set's; by default new ones are made.

    Returns
    -------
    PairData

    Raises
    ------
    ValueError
        If there are no pairs, the numbers differ, a sentence is a string or empty, or a vocabulary does not
        start with the ``SPECIALS``.
    """
    sides = {"source": source, "target": target}
    for name, sentences in sides.items():
        for i, sentence in enumerate(sentences):
            if isinstance(sentence, str) or not len(sentence):
                raise ValueError(f"{name} must hold lists of words, got {sentence!r} at position {i}")
    source, target = (tuple(map(tuple, sentences)) for sentences in sides.values())
    if len(source) != len(target) or not source:
        raise ValueError(
            f"source and target must have equally many sentences, at least one, "
            f"got {len(source)} and {len(target)}"
        )
    if vocabularies is None:
        vocabularies = [
            WordVocabulary.of(sentences, min_count=min_count, specials=SPECIALS)
            for sentences in (source, target)
        ]
    for vocabulary in vocabularies:
        if vocabulary.words[: len(SPECIALS)] != SPECIALS:
            raise ValueError(f"vocabularies must start with {SPECIALS}, got {vocabulary.words[:4]}")
    return PairData(source, target, *vocabularies)


def grammar_pairs(rng, count, clauses=None):
    """English sentences of the grammar with their French translations.

    The vocabularies hold all words of the grammar, so that ids are the same for every draw.

    Parameters
    ----------
    rng : np.random.Generator
    count : int
    clauses : sequence of int, optional
        Draw as many sentences, more or less one, with each of these numbers of words between the noun of the
        subject and the main verb, as :func:`rnncourse.data.grammar.sample` takes them; by default the grammar
        decides.

    Returns
    -------
    PairData

    Raises
    ------
    ValueError
        If `count` is no positive integer, or a clause is out of range.
    """
    check_positive("count", count)
    if clauses is not None and not len(clauses):
        raise ValueError("clauses must hold at least one number, got none")
    asked = (None,) if clauses is None else clauses
    pairs = [grammar.sample(rng, asked[i % len(asked)]) for i in range(count)]
    source, target = tuple(p.english for p in pairs), tuple(p.french for p in pairs)
    return PairData(source, target, _all_words(grammar.ENGLISH, source), _all_words(grammar.FRENCH, target))


def _all_words(words, sentences):
    counts = Counter(word for sentence in sentences for word in sentence)
    words = (*SPECIALS, *words)
    return WordVocabulary(words, tuple(counts[word] for word in words))


def encode_sources(sentences, vocabulary, *, reverse=False):
    """Ids of source sentences, side by side.

    Parameters
    ----------
    sentences : sequence of sequences of str
    vocabulary : WordVocabulary
    reverse : bool
        Whether the last word is read first.

    Returns
    -------
    ids : (S, B) array of int
    lengths : (B,) array of int

    Raises
    ------
    ValueError
        If there are no sentences, or one is empty or a string.
    """
    ids = [vocabulary.encode(sentence) for sentence in sentences]
    return pad([row[::-1] for row in ids] if reverse else ids)


def pair_batch(data, indices=None, *, reverse=False):
    """Some of the pairs as ids, ready for teacher forcing.

    Parameters
    ----------
    data : PairData
    indices : sequence of int, optional
        Which pairs; by default all.
    reverse : bool
        Whether the source is read from its last word to its first.

    Returns
    -------
    PairBatch

    Raises
    ------
    ValueError
        If `indices` is empty or out of range.
    """
    indices = np.arange(len(data.source)) if indices is None else np.asarray(indices)
    check_shape("indices", indices, B=None)
    if not indices.size:
        raise ValueError("indices must hold at least one index, got none")
    check_ids("indices", indices, len(data.source))
    source, source_lengths = encode_sources(
        [data.source[i] for i in indices], data.source_vocabulary, reverse=reverse
    )
    ids = [data.target_vocabulary.encode(data.target[i]) for i in indices]
    target, target_lengths = pad([np.append(row, END) for row in ids])
    target_input, _ = pad([np.append(START, row) for row in ids])
    return PairBatch(source, source_lengths, target_input, target, target_lengths)


def pair_batches(data, B, rng, *, reverse=False, pool=50):
    """Batches of pairs of like target length, epoch after epoch without end.

    Parameters
    ----------
    data : PairData
    B : int
        Pairs a batch; the last of an epoch may be smaller.
    rng : np.random.Generator
    reverse : bool
        As :func:`pair_batch` takes it.
    pool : int
        Batches among which pairs are sorted by length, as
        :func:`rnncourse.training.numpy.bucket_batches` takes it.

    Returns
    -------
    iterator of PairBatch

    Raises
    ------
    ValueError
        If a size is out of range.
    """
    lengths = np.array([len(sentence) for sentence in data.target])
    epoch = bucket_batches(lengths, B, rng, pool)

    def endless(epoch):
        while True:
            for indices in epoch:
                yield pair_batch(data, indices, reverse=reverse)
            epoch = bucket_batches(lengths, B, rng, pool)

    return endless(epoch)


def decode_targets(ids, vocabulary):
    """Words of each translation, up to the first ``</s>``.

    Parameters
    ----------
    ids : (T, B) array of int
    vocabulary : WordVocabulary

    Returns
    -------
    list of tuple of str
        One for each of the B columns, without ``</s>``.

    Raises
    ------
    ValueError
        If `ids` is no matrix of ids of the vocabulary.
    """
    ids = np.asarray(ids)
    check_shape("ids", ids, T=None, B=None)
    check_ids("ids", ids, len(vocabulary))
    ended = np.cumsum(ids == END, axis=0) > 0
    return [tuple(vocabulary.decode(column[~over])) for column, over in zip(ids.T, ended.T, strict=True)]
