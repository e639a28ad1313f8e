"""Word vectors without training: counts of neighbours, PMI, SVD."""

from typing import NamedTuple

import numpy as np

from rnncourse.data.tales import tales_text
from rnncourse.data.words import WordVocabulary, split_sentences
from rnncourse.glove.numpy import cooccurrence, dense, shifted_ppmi, svd_vectors
from rnncourse.word2vec.numpy import pmi


class WordVectors(NamedTuple):
    """Vectors and the words they belong to."""

    vocabulary: WordVocabulary
    vectors: np.ndarray
    """(V, E) array, a row a word, in the order of the vocabulary's ids."""


def count_vectors(sentences, *, min_count=5, window=2, E=50, power=0.5, sides=False):
    """Vectors from the positive PMI of words and their neighbours, cut to E dimensions by SVD.

    Source: Levy, Goldberg and Dagan (2015), whose smoothing it uses: a context has the probability of its
    count to the power 3/4. A pair at distance d counts 1/d. Rare words take a place in the window but are no
    context and get no vector.

    Parameters
    ----------
    sentences : sequence of sequence of str
    min_count : int
        Words that occur less often get no vector.
    window : int
        Largest distance that counts.
    E : int
        Size of a vector.
    power : float
        Of the singular values.
    sides : bool
        Whether a neighbour on the left and the same word on the right are two contexts.

    Returns
    -------
    WordVectors

    Raises
    ------
    ValueError
        If no word is common enough or a setting is out of range.
    """
    with_unknown = WordVocabulary.of(sentences, min_count=min_count)
    ids = [with_unknown.encode(sentence) for sentence in sentences]
    before = dense(cooccurrence(ids, len(with_unknown), window, symmetric=False))[1:, 1:]
    matrices = [before, before.T] if sides else [before + before.T]
    positive = np.hstack([shifted_ppmi(_smoothed_pmi(counts)) for counts in matrices])
    # The squares of the singular values, and the left singular vectors.
    vectors = svd_vectors(positive @ positive.T, E, power=power / 2)
    vocabulary = WordVocabulary(with_unknown.words[1:], with_unknown.counts[1:])
    return WordVectors(vocabulary, vectors)


def _smoothed_pmi(counts):
    values = pmi(counts)
    values[np.isnan(values)] = -np.inf  # a word with nothing on this side
    share = counts.sum(axis=0) / counts.sum()
    smoothed = share**0.75 / (share**0.75).sum()
    return values + np.log(np.where(share > 0, share, 1) / np.where(share > 0, smoothed, 1))


def tales_vectors():
    """The vectors of the chapter: words that occur at least 5 times in the tales, window 2, 50 dimensions.

    Returns
    -------
    WordVectors
    """
    return count_vectors(split_sentences(tales_text()))
