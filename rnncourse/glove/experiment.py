"""Do GloVe, skip-gram and PMI find the same neighbours over seeds, and the right ones where known?"""

from itertools import combinations, product

import numpy as np
from tqdm import tqdm

from rnncourse.data import grammar
from rnncourse.data.grammar.tables import WORDS
from rnncourse.data.tales import tales_text
from rnncourse.data.words import WordVocabulary, split_sentences
from rnncourse.glove.numpy import (
    cooccurrence,
    dense,
    glove_init,
    glove_vectors,
    neighbour_overlap,
    neighbours,
    shifted_ppmi,
    shuffled_batches,
    svd_vectors,
    train_glove,
)
from rnncourse.word2vec.numpy import pmi, train_skipgram

TALES = {
    "seeds": 8,
    "min_count": 5,
    "window": 5,
    "E": 50,
    "x_max": 10,
    "exponent": 0.75,
    "lr": 0.05,
    "batch": 1024,
    "epochs": 30,
    "skipgram_epochs": 10,
    "k": 5,
    "neighbours": 10,
}
GRAMMAR = TALES | {
    "min_count": 1,
    "E": 16,
    "batch": 256,
    "epochs": 60,
    "neighbours": 1,
    "sentences": [1000, 4000],
    "x_max_flat": 0.01,
}


def tales_corpus(min_count=TALES["min_count"]):
    """Sentences of the tales as ids, and their vocabulary; rare words are ``<unk>``."""
    sentences = split_sentences(tales_text())
    vocabulary = WordVocabulary.of(sentences, min_count=min_count)
    return [vocabulary.encode(sentence) for sentence in sentences], vocabulary


def grammar_corpus(rng, sentences):
    """English sentences of the grammar as ids, and their vocabulary."""
    drawn = [grammar.sample(rng).english for _ in range(sentences)]
    vocabulary = WordVocabulary.of(drawn, specials=())
    return [vocabulary.encode(sentence) for sentence in drawn], vocabulary


def word_classes(words):
    """The classes of the grammar's tables to which each word belongs, as a set of names.

    Two words that belong to the same classes, and to one only, are interchangeable: in the expected counts
    their rows are proportional.
    """
    classes = {word: set() for word in words}
    for name, members in WORDS.items():
        for member in members:
            if member.english in classes:
                classes[member.english].add(name)
    return [frozenset(classes[word]) for word in words]


def purity(nearest, classes):
    """Share of the words whose nearest neighbour is of their own class.

    Counted are the words of one class that has another member in the vocabulary.
    """
    counted = [i for i, c in enumerate(classes) if len(c) == 1 and classes.count(c) > 1]
    return float(np.mean([classes[nearest[i, 0]] == classes[i] for i in counted]))


def fit_glove(counts, seed, settings, x_max=None, progress=False):
    """Train GloVe on counts by the settings of a record.

    Returns
    -------
    Trained
    """
    rng = np.random.default_rng(seed)
    return train_glove(
        counts,
        glove_init(rng, counts.V, settings["E"]),
        shuffled_batches(rng, len(counts.values), settings["batch"], settings["epochs"]),
        lr=settings["lr"],
        x_max=settings["x_max"] if x_max is None else x_max,
        exponent=settings["exponent"],
        progress=progress,
    )


def fit_skipgram(sentences, V, seed, settings):
    """Input vectors of skip-gram with k negative samples, by the settings of a record."""
    trained = train_skipgram(
        sentences,
        V,
        settings["E"],
        window=settings["window"],
        negatives=settings["k"],
        epochs=settings["skipgram_epochs"],
        seed=seed,
        progress=False,
    )
    return trained.params.weight_in


def cooccurring(nearest, X):
    """Share of the neighbours that stand near the word somewhere in the corpus."""
    return float((X[np.arange(len(X))[:, None], nearest] > 0).mean())


def record_tales():
    """Overlap of neighbours on the tales, eight seeds: ``book/results/glove-tales.json``."""
    s = TALES
    sentences, vocabulary = tales_corpus()
    V = len(vocabulary)
    counts = cooccurrence(sentences, V, s["window"])
    X = dense(counts)
    matrix = pmi(X)
    found = {
        name: [neighbours(svd_vectors(shifted_ppmi(matrix, k), s["E"]), s["neighbours"])]
        for name, k in (("PMI", 1), (f"PMI - ln {s['k']}", s["k"]))
    }
    found = {"GloVe e": [], "GloVe theta": [], "GloVe e + theta": [], "skip-gram": []} | found
    costs = []
    for seed in tqdm(range(s["seeds"]), "tales"):
        trained = fit_glove(counts, seed, s)
        costs.append(float(trained.history.loss[-len(counts.values) // s["batch"] :].mean()))
        vectors = {
            "GloVe e": trained.params.weight_in,
            "GloVe theta": trained.params.weight_out,
            "GloVe e + theta": glove_vectors(trained.params),
            "skip-gram": fit_skipgram(sentences, V, seed, s),
        }
        for name, v in vectors.items():
            found[name].append(neighbours(v, s["neighbours"]))
    names = list(found)
    one_run = [neighbour_overlap(x, y) for x, y in zip(found["GloVe e"], found["GloVe theta"], strict=True)]
    overlaps = {"GloVe e | GloVe theta, same run": [round(share, 4) for share in one_run]}
    for place, a in enumerate(names):
        for b in names[place:]:
            if a != b and "GloVe" in a and "GloVe" in b:
                continue  # of one run they are not independent
            both = combinations(found[a], 2) if a == b else product(found[a], found[b])
            overlaps[f"{a} | {b}"] = [round(neighbour_overlap(x, y), 4) for x, y in both]
    return {
        "settings": s,
        "words": sum(map(len, sentences)),
        "V": V,
        "cells": len(counts.values),
        "overlap": overlaps,
        "cooccurring": {name: [round(cooccurring(n, X), 4) for n in found[name]] for name in names},
        "cost": [round(cost, 6) for cost in costs],
    }


def grammar_run(seed, sentences, settings=GRAMMAR, skipgram=True):
    """Purity of each method on a fresh corpus, and the share of neighbours that stand near each other.

    Returns
    -------
    dict
        ``purity`` and ``cooccurring``, each by method.
    """
    ids, vocabulary = grammar_corpus(np.random.default_rng(1000 + seed), sentences)
    V, classes = len(vocabulary), word_classes(vocabulary.words)
    counts = cooccurrence(ids, V, settings["window"])
    X = dense(counts)
    weighted = fit_glove(counts, seed, settings).params
    vectors = {"GloVe e": weighted.weight_in, "GloVe e + theta": glove_vectors(weighted)}
    if skipgram:
        flat = fit_glove(counts, seed, settings, settings["x_max_flat"]).params
        vectors |= {"GloVe e, f = 1": flat.weight_in, "GloVe e + theta, f = 1": glove_vectors(flat)}
        vectors["skip-gram"] = fit_skipgram(ids, V, seed, settings)
    vectors["PMI"] = svd_vectors(shifted_ppmi(pmi(X)), settings["E"])
    vectors[f"PMI - ln {settings['k']}"] = svd_vectors(shifted_ppmi(pmi(X), settings["k"]), settings["E"])
    vectors["rows of X"] = X
    nearest = {name: neighbours(v, settings["neighbours"]) for name, v in vectors.items()}
    return {
        "purity": {name: round(purity(n, classes), 4) for name, n in nearest.items()},
        "cooccurring": {name: round(cooccurring(n, X), 4) for name, n in nearest.items()},
    }


def record_grammar():
    """Purity on the grammar, eight corpora of each size: ``book/results/glove-grammar.json``."""
    runs = [
        {"sentences": sentences, "seed": seed, **grammar_run(seed, sentences)}
        for sentences in GRAMMAR["sentences"]
        for seed in tqdm(range(GRAMMAR["seeds"]), f"{sentences} sentences")
    ]
    return {"settings": GRAMMAR, "runs": runs}


RECORDS = {"tales": record_tales, "grammar": record_grammar}
