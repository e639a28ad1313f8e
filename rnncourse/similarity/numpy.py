"""Cosine, neighbours, analogies and rank correlation of vectors, in NumPy."""

from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_choice, check_floats, check_ids, check_positive, check_shape


class Neighbours(NamedTuple):
    """The best candidates of each query, best first; of equal ones the smaller id first."""

    ids: np.ndarray
    """(Q, k) integers."""
    scores: np.ndarray
    """(Q, k), what the candidates are ranked by."""


def unit(vectors):
    """Scale each row to length 1.

    Parameters
    ----------
    vectors : (V, E) array

    Returns
    -------
    (V, E) array

    Raises
    ------
    ValueError
        If a row is zero, and so has no direction.
    """
    check_shape("vectors", vectors, V=None, E=None)
    check_floats(vectors=vectors)
    # The largest element first, so that no square overflows or vanishes.
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0)
    zero = np.flatnonzero(largest == 0)
    if zero.size:
        raise ValueError(f"vectors must have no zero rows, row {zero[0]} has no direction")
    scaled = vectors / largest
    return scaled / np.sqrt((scaled * scaled).sum(axis=1, keepdims=True))


def cosine_similarity(queries, vectors):
    """Cosine of the angle between each of the queries and each of the vectors.

    Implements :eq:`similarity-cosine` of book/similarity.

    Parameters
    ----------
    queries : (Q, E) array
    vectors : (V, E) array

    Returns
    -------
    (Q, V) array
        From -1 to 1, up to rounding.

    Raises
    ------
    ValueError
        If a row is zero, a number is not finite, or shapes or dtypes do not fit.
    """
    check_shape("queries", queries, Q=None, E=None)
    check_shape("vectors", vectors, V=None, E=queries.shape[1])
    check_floats(queries=queries, vectors=vectors)
    return unit(queries) @ unit(vectors).T


def nearest(queries, vectors, k, exclude=None):
    """The k vectors of largest cosine to each query.

    Implements :eq:`similarity-nearest` of book/similarity.

    Parameters
    ----------
    queries : (Q, E) array
    vectors : (V, E) array
    k : int
    exclude : (Q, m) array of int, optional
        Ids that may not be found, for each query; often the query itself.

    Returns
    -------
    Neighbours

    Raises
    ------
    ValueError
        If fewer than k vectors are left, an id is out of range, or as :func:`cosine_similarity` does.
    """
    return _best(cosine_similarity(queries, vectors), k, exclude)


def _best(scores, k, exclude):
    Q, V = scores.shape
    check_positive("k", k)
    left = V
    if exclude is not None:
        check_shape("exclude", exclude, Q=Q, m=None)
        check_ids("exclude", exclude, V)
        scores = scores.copy()
        np.put_along_axis(scores, exclude, -np.inf, axis=1)
        left = V - max((len(set(row)) for row in exclude.tolist()), default=0)
    if k > left:
        raise ValueError(f"k must be at most {left}, the vectors that are not excluded, got {k}")
    ids = np.empty((Q, k), int)
    for row, found in zip(scores, ids, strict=True):
        # Of all that reach the k-th best score, so that equal ones come in the order of their ids.
        reach = np.flatnonzero(row >= np.partition(row, V - k)[V - k])
        found[:] = reach[np.argsort(-row[reach], kind="stable")[:k]]
    return Neighbours(ids, np.take_along_axis(scores, ids, axis=1))


def analogy_scores(vectors, questions, method="add", eps=1e-3):
    """How well each vector x answers "a is to b as c is to x".

    Implements :eq:`similarity-add` and :eq:`similarity-mul` of book/similarity. Sources: Mikolov, Yih and
    Zweig (2013), whose program scales all vectors to length 1 first; Levy and Goldberg (2014), who name the
    two rules 3CosAdd and 3CosMul.

    Parameters
    ----------
    vectors : (V, E) array
    questions : (Q, 3) array of int
        Ids of a, b and c.
    method : {"add", "mul"}
        3CosAdd: cos(x, b) - cos(x, a) + cos(x, c). 3CosMul: the same with products, of cosines moved
        to 0 .. 1.
    eps : float
        Keeps 3CosMul from dividing by zero.

    Returns
    -------
    (Q, V) array

    Raises
    ------
    ValueError
        If an id is out of range, the method unknown, eps not above 0, a vector zero or not finite, or a shape
        does not fit.
    """
    check_choice("method", method, ("add", "mul"))
    if not 0 < eps < np.inf:
        raise ValueError(f"eps must be a finite number above 0, got {eps}")
    check_shape("questions", questions, Q=None, abc=3)
    check_ids("questions", questions, len(vectors))
    directions = unit(vectors)
    a, b, c = (directions[ids] for ids in questions.T)
    if method == "add":
        return (b - a + c) @ directions.T
    to_a, to_b, to_c = ((1 + word @ directions.T) / 2 for word in (a, b, c))
    return to_b * to_c / (to_a + eps)


def analogy(vectors, questions, method="add", k=1, exclude=True, eps=1e-3):
    """Answer "a is to b as c is to ?" for each question.

    Implements :eq:`similarity-answer` of book/similarity.

    Parameters
    ----------
    vectors : (V, E) array
    questions : (Q, 3) array of int
    method : {"add", "mul"}
    k : int
        How many answers to give.
    exclude : bool
        Whether the words of the question may not be the answer, as in the published evaluations.
    eps : float

    Returns
    -------
    Neighbours

    Raises
    ------
    ValueError
        As :func:`analogy_scores` and :func:`nearest` do.
    """
    return _best(analogy_scores(vectors, questions, method, eps), k, questions if exclude else None)


def known_rows(rows, vocabulary):
    """Ids of the rows of words, of those rows whose words the vocabulary has.

    Parameters
    ----------
    rows : sequence of tuple of str
        Of one length: pairs, or the questions of an analogy.
    vocabulary : rnncourse.data.words.WordVocabulary

    Returns
    -------
    ids : (n, m) array of int
    kept : (n,) array of int
        Places of these rows in `rows`.

    Raises
    ------
    ValueError
        If no row is known.
    """
    kept = [i for i, row in enumerate(rows) if all(word in vocabulary for word in row)]
    if not kept:
        first = f", the first is {rows[0]}" if rows else ""
        raise ValueError(f"none of {len(rows)} rows has all its words in the vocabulary{first}")
    return np.array([[vocabulary.id(word) for word in rows[i]] for i in kept]), np.array(kept)


def average_ranks(values):
    """Rank of each value, from 1; equal values share the mean of their ranks.

    Implements :eq:`similarity-ranks` of book/similarity.

    Parameters
    ----------
    values : (n,) array of float

    Returns
    -------
    (n,) array of float64
    """
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts - 1) / 2)[where]


def spearman(x, y):
    """Spearman's rank correlation: Pearson's correlation of the ranks.

    Implements :eq:`similarity-spearman` of book/similarity. Source: Spearman (1904); equal values share the
    mean of their ranks.

    Parameters
    ----------
    x, y : (n,) array

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there are fewer than two values, or all values of one side are equal.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    check_shape("x", x, n=None)
    check_shape("y", y, n=len(x))
    check_floats(x=x, y=y)
    if len(x) < 2:
        raise ValueError(f"x and y must hold at least two values, got {len(x)}")
    for name, values in ("x", x), ("y", y):
        if (values == values[0]).all():
            raise ValueError(f"{name} must not be constant, or there is nothing to rank")
    x, y = (ranks - ranks.mean() for ranks in (average_ranks(x), average_ranks(y)))
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))
