"""Words of the tales on a map by t-SNE, with the neighbours that their vectors really have."""

from pathlib import Path

import numpy as np

from rnncourse.explorable import Explorable
from rnncourse.similarity.numpy import nearest, unit
from rnncourse.similarity.tsne import squared_distances, tsne
from rnncourse.similarity.vectors import tales_vectors

LEAST, MOST = 20, 110
SETTINGS = {"perplexity": 12.0, "steps": 750, "rate": 20.0, "exaggeration": 4.0, "exaggerated": 150}


def map_words(found=None, seed=0):
    """The words that occur LEAST to MOST times, their unit vectors, and their places on a map.

    Parameters
    ----------
    found : rnncourse.similarity.vectors.WordVectors, optional
        By default those of the tales.
    seed : int
        Of the map's start.

    Returns
    -------
    words : list of str
    vectors : (n, E) array
    y : (n, 2) array
    """
    vocabulary, vectors = found or tales_vectors()
    counts = np.array(vocabulary.counts)
    ids = np.flatnonzero((LEAST <= counts) & (counts <= MOST))
    directions = unit(vectors[ids])
    y = tsne(directions, np.random.default_rng(seed), **SETTINGS).y
    return vocabulary.decode(ids), directions, y


def explorable():
    """Draw the figure of the chapter; it starts at "mother".

    Returns
    -------
    Explorable
    """
    words, directions, y = map_words()
    y = y - y.min(axis=0)
    data = {
        "words": words,
        # Thousandths of the longest component and of the map's width.
        "vectors": (directions * (999 / np.abs(directions).max())).round().astype(int).tolist(),
        "positions": (1000 * y / y.max()).round().astype(int).tolist(),
        "start": "mother",
        "k": 8,
    }
    return Explorable(Path(__file__).with_suffix(".js"), "A map of words and their nearest vectors", data)


def spelling_distance(a, b):
    """Fewest insertions, deletions and replacements of letters that turn one word into the other.

    Source: Levenshtein (1966).
    """
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, start=1):
        before, row = row, [i]
        for j, other in enumerate(b, start=1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (letter != other)))
    return row[-1]


def compute(input):
    """Neighbours of a word in the space of the vectors and on the map, as the figure's JavaScript does.

    Parameters
    ----------
    input : dict
        ``vectors`` (n, E), ``positions`` (n, 2), ``query``, the place of a word, ``k``, the ``words`` (n,)
        and ``typed``, a word that may not be among them.

    Returns
    -------
    dict
        ``ids`` and ``cosines`` of the k nearest by cosine, ``near``, the ids of the k nearest on the map,
        ``kept``, how many of the first are among the second, and ``spellings``, the ids of the words spelt
        most like what was typed. Of equals the first comes first.
    """
    vectors, positions = (np.array(input[name], float) for name in ("vectors", "positions"))
    query, k = input["query"], input["k"]
    found = nearest(vectors[[query]], vectors, k, np.array([[query]]))
    squares = squared_distances(positions[[query]], positions)[0]
    squares[query] = np.inf
    near = np.argsort(squares.round(6), kind="stable")[:k]
    spelling = [spelling_distance(input["typed"], word) for word in input["words"]]
    return {
        "ids": found.ids[0].tolist(),
        "cosines": found.scores[0].tolist(),
        "near": near.tolist(),
        "kept": len(set(found.ids[0].tolist()) & set(near.tolist())),
        "spellings": np.argsort(spelling, kind="stable")[:4].tolist(),
    }


def random_input(rng):
    """Draw an input for `compute`.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
    """
    n = int(rng.integers(5, 30))
    return {
        "vectors": rng.integers(-99, 100, (n, int(rng.integers(3, 9)))).tolist(),
        "positions": rng.integers(0, 1001, (n, 2)).tolist(),
        "query": int(rng.integers(n)),
        "k": int(rng.integers(1, n)),
        "words": [_letters(rng) for _ in range(n)],
        "typed": _letters(rng),
    }


def _letters(rng):
    return "".join(rng.choice(list("abc"), rng.integers(0, 7)))
