"""Do GloVe, skip-gram and PMI find the same neighbours over seeds, and the right ones where known?"""

from itertools import combinations, product

import numpy as np
from tqdm import tqdm

from rnncourse.data import grammar
from rnncourse.data.grammar.tables import WORDS
from rnncourse.data.tales import tales_text
from rnncourse.data.words import WordVocabulary, split_sentences
from rnncourse.glove.numpy import (
    Cooccurrence,
    cooccurrence,
    dense,
    glove_forward,
    glove_init,
    glove_vectors,
    neighbour_overlap,
    neighbours,
    shifted_ppmi,
    shuffled_batches,
    svd_vectors,
    train_glove,
)
from rnncourse.word2vec.experiment import pair_counts
from rnncourse.word2vec.numpy import noise_distribution, pmi, shifted_pmi, train_skipgram

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
    "other_settings": {
        "GloVe e, x_max = 100": {"x_max": 100},
        "GloVe e, E = 10": {"E": 10},
        "skip-gram, 30 passes": {"skipgram_epochs": 30},
    },
    "other_seeds": 3,
}
GRAMMAR = TALES | {
    "min_count": 1,
    "E": 16,
    "batch": 256,
    "epochs": 60,
    "neighbours": 1,
    "sentences": [1000, 4000],
    "x_max_flat": 0.01,
    "x_max_large": 100,
    "skipgram_epochs_more": 30,
}
INTERACTION = GRAMMAR | {"sentences": 4000, "E": [4, 16], "held_out": 0.1}


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


def found_neighbours(vectors, n):
    """The n nearest words of each word, among those whose vector is not zero; -1 for a word without one."""
    there = np.flatnonzero(vectors.any(1))
    nearest = np.full((len(vectors), n), -1)
    nearest[there] = there[neighbours(vectors[there], n)]
    return nearest


def overlap(a, b):
    """Overlap of neighbours over the words that have a vector in both sets."""
    both = (a[:, 0] >= 0) & (b[:, 0] >= 0)
    return neighbour_overlap(a[both], b[both])


def purity(nearest, classes):
    """Share of the words whose nearest neighbour is of their own class.

    Counted are the words of one class that has another member in the vocabulary, if they have a vector.
    """
    alone = [i for i, c in enumerate(classes) if len(c) == 1 and classes.count(c) > 1]
    return float(np.mean([classes[nearest[i, 0]] == classes[i] for i in alone if nearest[i, 0] >= 0]))


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


def pmi_vectors(sentences, X, settings):
    """Vectors by SVD from three tables, each cut off below at 0.

    They are the PMI of the counts X; the same less ln k; and what skip-gram as it is run here fits if E is
    large: PMI of counts with its window, relative to its noise, less ln k.
    """
    k, noise = settings["k"], noise_distribution(np.bincount(np.concatenate(sentences), minlength=len(X)))
    with np.errstate(divide="ignore"):
        optimum = shifted_pmi(pair_counts(sentences, len(X), settings["window"]), k, noise)
    tables = {
        "PMI": shifted_ppmi(pmi(X)),
        f"PMI - ln {k}": shifted_ppmi(pmi(X), k),
        "skip-gram's optimum": shifted_ppmi(optimum),
    }
    return {name: svd_vectors(table, settings["E"]) for name, table in tables.items()}


def cooccurring(nearest, X):
    """Share of the neighbours that stand near the word somewhere in the corpus."""
    there = np.flatnonzero(nearest[:, 0] >= 0)
    return float((X[there[:, None], nearest[there]] > 0).mean())


def record_tales():
    """Overlap of neighbours on the tales, eight seeds: ``book/results/glove-tales.json``."""
    s = TALES
    sentences, vocabulary = tales_corpus(s["min_count"])
    V = len(vocabulary)
    counts = cooccurrence(sentences, V, s["window"])
    X = dense(counts)
    vectors = pmi_vectors(sentences, X, s)
    empty = {name: int((~v.any(1)).sum()) for name, v in vectors.items()}
    fixed = {name: [found_neighbours(v, s["neighbours"])] for name, v in vectors.items()}
    found = {"GloVe e": [], "GloVe theta": [], "GloVe e + theta": [], "skip-gram": []} | fixed
    costs = []
    for seed in tqdm(range(s["seeds"]), "tales"):
        trained = fit_glove(counts, seed, s)
        costs.append(glove_forward(counts, trained.params, s["x_max"], s["exponent"])[0] / len(counts.values))
        vectors = {
            "GloVe e": trained.params.weight_in,
            "GloVe theta": trained.params.weight_out,
            "GloVe e + theta": glove_vectors(trained.params),
            "skip-gram": fit_skipgram(sentences, V, seed, s),
        }
        for name, v in vectors.items():
            found[name].append(found_neighbours(v, s["neighbours"]))
    names = list(found)
    one_run = [overlap(x, y) for x, y in zip(found["GloVe e"], found["GloVe theta"], strict=True)]
    overlaps = {"GloVe e | GloVe theta, same run": [round(share, 4) for share in one_run]}
    for place, a in enumerate(names):
        for b in names[place:]:
            if a != b and "GloVe" in a and "GloVe" in b:
                continue  # of one run they are not independent
            both = combinations(found[a], 2) if a == b else product(found[a], found[b])
            overlaps[f"{a} | {b}"] = [round(overlap(x, y), 4) for x, y in both]
    for name, changes in s["other_settings"].items():
        other, runs = s | changes, []
        for seed in tqdm(range(s["other_seeds"]), name):
            if "GloVe" in name:
                v = fit_glove(counts, seed, other).params.weight_in
            else:
                v = fit_skipgram(sentences, V, seed, other)
            runs.append(found_neighbours(v, s["neighbours"]))
        overlaps[f"{name} | {name}"] = [round(overlap(x, y), 4) for x, y in combinations(runs, 2)]
    return {
        "settings": s,
        "words": sum(map(len, sentences)),
        "V": V,
        "cells": len(counts.values),
        "empty": empty,
        "overlap": overlaps,
        "cooccurring": {name: [round(cooccurring(n, X), 4) for n in found[name]] for name in names},
        "cost": [round(cost, 6) for cost in costs],
    }


def grammar_run(seed, sentences, settings=GRAMMAR, quick=False):
    """Purity of each method on a fresh corpus, and the number of words that it gives no vector.

    Parameters
    ----------
    seed, sentences : int
    settings : dict
    quick : bool
        Leave out skip-gram and GloVe's other weights.

    Returns
    -------
    dict
        ``purity`` and ``empty``, each by method.
    """
    ids, vocabulary = grammar_corpus(np.random.default_rng(1000 + seed), sentences)
    V, classes = len(vocabulary), word_classes(vocabulary.words)
    counts = cooccurrence(ids, V, settings["window"])
    X = dense(counts)
    large, more = settings["x_max_large"], settings["skipgram_epochs_more"]
    weights = {"": None}
    if not quick:
        weights |= {", f = 1": settings["x_max_flat"], f", x_max = {large}": large}
    vectors = {}
    for name, x_max in weights.items():
        params = fit_glove(counts, seed, settings, x_max).params
        vectors |= {f"GloVe e{name}": params.weight_in, f"GloVe e + theta{name}": glove_vectors(params)}
    if not quick:
        vectors["skip-gram"] = fit_skipgram(ids, V, seed, settings)
        longer = settings | {"skipgram_epochs": more}
        vectors[f"skip-gram, {more} passes"] = fit_skipgram(ids, V, seed, longer)
    vectors |= pmi_vectors(ids, X, settings) | {"rows of X": X}
    return {
        "purity": {
            name: round(purity(found_neighbours(v, settings["neighbours"]), classes), 4)
            for name, v in vectors.items()
        },
        "empty": {name: int((~v.any(1)).sum()) for name, v in vectors.items()},
    }


def record_grammar():
    """Purity on the grammar, eight corpora of each size: ``book/results/glove-grammar.json``."""
    runs = [
        {"sentences": sentences, "seed": seed, **grammar_run(seed, sentences)}
        for sentences in GRAMMAR["sentences"]
        for seed in tqdm(range(GRAMMAR["seeds"]), f"{sentences} sentences")
    ]
    return {"settings": GRAMMAR, "runs": runs}


def shuffled_cells(X, rng):
    """The same table with its values exchanged at random among the cells that are not zero, symmetric."""
    i, j = np.nonzero(np.triu(X))
    shuffled = np.zeros_like(X)
    shuffled[i, j] = shuffled[j, i] = rng.permutation(X[i, j])
    return shuffled


def hold_out(X, share, rng):
    """Split the cells of a symmetric table into those to fit and others, pairs with their mirror images."""
    out = np.triu(rng.random(X.shape) < share)
    out |= out.T
    parts = []
    for inside in (~out, out):
        i, j = np.nonzero(X * inside)
        parts.append(Cooccurrence(i, j, X[i, j], len(X)))
    return parts


def fit_shares(X, seed, E, settings=INTERACTION):
    """Share of the cost of biases alone that vectors of E numbers take away, in fitted and in other cells.

    Parameters
    ----------
    X : (V, V) array, symmetric
    seed : int
        Of the cells that are held out, the start and the order.
    E : int
    settings : dict

    Returns
    -------
    fitted, held_out : float
    cells : int
        How many different pairs of words are fitted.
    """
    rng = np.random.default_rng(seed)
    parts = hold_out(X, settings["held_out"], rng)
    blind = glove_init(rng, len(X), 1)
    blind = blind._replace(weight_in=0 * blind.weight_in, weight_out=0 * blind.weight_out)  # stays zero
    costs = []
    for start in (blind, glove_init(rng, len(X), E)):
        batches = shuffled_batches(rng, len(parts[0].values), settings["batch"], settings["epochs"])
        x_max, exponent = settings["x_max"], settings["exponent"]
        trained = train_glove(
            parts[0], start, batches, lr=settings["lr"], x_max=x_max, exponent=exponent, progress=False
        )
        costs.append([glove_forward(part, trained.params, x_max, exponent)[0] for part in parts])
    fitted, held_out = 1 - np.array(costs[1]) / costs[0]
    return float(fitted), float(held_out), int((parts[0].rows <= parts[0].columns).sum())


def record_interaction():
    """What vectors explain of the grammar's counts, and of shuffled ones: ``glove-interaction.json``."""
    runs = []
    for seed in tqdm(range(INTERACTION["seeds"]), "interaction"):
        ids, vocabulary = grammar_corpus(np.random.default_rng(1000 + seed), INTERACTION["sentences"])
        X = dense(cooccurrence(ids, len(vocabulary), INTERACTION["window"]))
        tables = {"counts": X, "shuffled": shuffled_cells(X, np.random.default_rng(seed))}
        for E, (name, table) in product(INTERACTION["E"], tables.items()):
            fitted, held_out, pairs = fit_shares(table, seed, E)
            runs.append(
                {
                    "seed": seed,
                    "E": E,
                    "table": name,
                    "parameters": 2 * len(X) * (E + 1),
                    "pairs": pairs,
                    "fitted": round(fitted, 4),
                    "held_out": round(held_out, 4),
                }
            )
    return {"settings": INTERACTION, "runs": runs}


RECORDS = {"tales": record_tales, "grammar": record_grammar, "interaction": record_interaction}
