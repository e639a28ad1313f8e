"""The gradient of an embedding matrix for a sentence, right and with the repeats lost."""

from pathlib import Path

import numpy as np

from rnncourse.data.words import UNKNOWN, WordVocabulary, split_sentences
from rnncourse.embeddings.numpy import EmbeddingCache, embedding_backward
from rnncourse.explorable import Explorable

WORDS = (UNKNOWN, *"a and bird cat dog house in mat mouse old on ran sat saw small the to under was".split())
SENTENCE = "the cat and the dog sat on the mat and saw the mouse"
MOST = 160


def explorable():
    """Draw the figure of the chapter; it starts with a sentence of repeats and the mistake.

    Returns
    -------
    Explorable
    """
    data = {
        "start": {"text": SENTENCE, "words": list(WORDS), "lossy": True},
        "most": MOST,
        "examples": [
            SENTENCE,
            "the old bird and the small bird sat on the old house",
            "a small bird saw the old house",
            "quick brown fox and lazy hen",
        ],
    }
    title = "The gradient of an embedding matrix for your sentence"
    return Explorable(Path(__file__).with_suffix(".js"), title, data)


def compute(input):
    """Send the gradient (1, t) of place t = 1, 2, ... back to the rows of the matrix.

    Parameters
    ----------
    input : dict
        ``text``, ``words`` of the vocabulary with ``<unk>`` among them, and ``lossy``: whether dE is
        made by ``dE[ids] += g``.

    Returns
    -------
    dict
        ``tokens`` of the text, their ``ids``, ``dE`` (V, 2), ``counts`` (V) of the places of each word, and
        ``kept`` of 0 and 1: whether a place is part of dE.
    """
    vocabulary = WordVocabulary(tuple(input["words"]), (0,) * len(input["words"]))
    tokens = [word for sentence in split_sentences(input["text"]) for word in sentence]
    ids, V = vocabulary.encode(tokens), len(vocabulary)
    g = np.column_stack([np.ones(len(ids)), np.arange(1.0, len(ids) + 1)])
    if input["lossy"]:
        dE = np.zeros((V, 2))
        dE[ids] += g
    elif len(ids):
        dE = embedding_backward(g, EmbeddingCache(ids, np.zeros((V, 2)), None))
    else:
        dE = np.zeros((V, 2))
    last = {i: place for place, i in enumerate(ids.tolist())}
    return {
        "tokens": tokens,
        "ids": ids.tolist(),
        "dE": dE.tolist(),
        "counts": np.bincount(ids, minlength=V).tolist(),
        "kept": [int(not input["lossy"] or last[i] == place) for place, i in enumerate(ids.tolist())],
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
    pieces = [*WORDS[1:], "fox", "it's", "Dog", "THE", "2", "mat.", "cat,", "well-known", "-", "don’t", "été"]
    text = " ".join(rng.choice(pieces, rng.integers(0, 14)))
    return {"text": text, "words": list(WORDS), "lossy": bool(rng.integers(2))}
