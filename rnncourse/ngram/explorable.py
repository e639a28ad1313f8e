"""Back-off step by step: a typed context, a word, and the path through the tables to its probability."""

from functools import cache
from pathlib import Path

import numpy as np

from rnncourse.data.tales import tales_text
from rnncourse.data.words import split_sentences
from rnncourse.explorable import Explorable
from rnncourse.ngram.numpy import (
    count_ngrams,
    fit_stream,
    ngram_vocabulary,
    prune,
    to_stream,
)

ORDER = 4
LEAST = (2, 3, 3)
"""How often pairs, triples and quadruples of words must have been seen to be kept: the page stays small."""
SHOWN = 8
START = {"text": "he stood in", "word": "his"}


@cache
def _data():
    """A model of the tales, rare words and n-grams left out, as one table for each context."""
    sentences = split_sentences(tales_text())
    vocabulary = ngram_vocabulary(sentences, min_count=3)
    stream, V = to_stream(sentences, vocabulary), len(vocabulary)
    counts = count_ngrams(stream, V, ORDER).count
    keep = [count >= least for count, least in zip(counts[1:], LEAST, strict=True)]
    model = prune(fit_stream(stream, vocabulary, ORDER), keep)
    unigrams = np.maximum(model.logprob[0], -99).round(2).tolist()
    contexts, places = {}, [[str(i)] for i in range(V)]
    for m in range(1, ORDER):
        prefix, word = np.divmod(model.keys[m], V)
        opens = np.flatnonzero(np.diff(prefix, prepend=-1))
        logs = model.logprob[m].round(2)
        for first, last in zip(opens, [*opens[1:], len(prefix)], strict=True):
            context = places[prefix[first]]
            left = round(float(model.backoff[m - 1][prefix[first]]), 4)
            contexts[" ".join(context)] = [left, word[first:last].tolist(), logs[first:last].tolist()]
        places = [[*places[p], str(w)] for p, w in zip(prefix, word, strict=True)]
    return {"words": list(vocabulary.words), "unigrams": unigrams, "contexts": contexts, "start": START}


def explorable():
    """Draw the figure of the chapter; it starts with a word that was not seen after the whole context.

    Returns
    -------
    Explorable
    """
    title = "The back-off path of a word after a context"
    return Explorable(Path(__file__).with_suffix(".js"), title, _data())


def compute(input):
    """Follow the back-off from the longest context down to the single words.

    Parameters
    ----------
    input : dict
        ``unigrams``, ln P of each word with no context; ``levels``, for the contexts of 1, 2, ... words
        None, or a list of the ln of the back-off factor, the words seen after it, and their ln P; ``word``,
        an id.

    Returns
    -------
    dict
        ``level``, the length of the context whose table has the word; ``path``, the ln that each context
        from the longest to that one adds, None where the context is unknown; ``logprob``, their sum; ``top``,
        the likeliest words, each with its ln P and the length of the context that it comes from.
    """
    logs = list(input["unigrams"])
    source = [0] * len(logs)
    for length, level in enumerate(input["levels"], 1):
        if level is None:
            continue
        left, words, logprobs = level
        logs = [value + left for value in logs]
        for word, logprob in zip(words, logprobs, strict=True):
            logs[word], source[word] = logprob, length
    best = sorted(range(len(logs)), key=lambda i: (-logs[i], i))[:SHOWN]
    word = input["word"]
    path = []
    for length in range(len(input["levels"]), source[word] - 1, -1):
        level = input["levels"][length - 1] if length else None
        if length == source[word]:
            path.append(level[2][level[1].index(word)] if length else input["unigrams"][word])
        else:
            path.append(None if level is None else level[0])
    return {
        "level": source[word],
        "path": path,
        "logprob": float(logs[word]),
        "top": [[i, float(logs[i]), source[i]] for i in best],
    }


def random_input(rng):
    """Draw an input for `compute` from the figure's own data: a context of one to three words, and a word.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
    """
    data = _data()
    known = list(data["contexts"])
    context = known[rng.integers(len(known))].split()
    if rng.integers(3) == 0:  # one that is unknown as a whole
        context = [str(rng.integers(3, len(data["words"]))), *context][-(ORDER - 1) :]
    levels = [data["contexts"].get(" ".join(context[-j:])) for j in range(1, len(context) + 1)]
    seen = [word for level in levels if level for word in level[1]]
    word = seen[rng.integers(len(seen))] if rng.integers(2) else int(rng.integers(3, len(data["words"])))
    return {"unigrams": data["unigrams"], "levels": levels, "word": int(word)}
