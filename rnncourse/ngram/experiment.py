"""How near n-gram models come to the entropy of a source, by order and amount of text."""

import numpy as np
from tqdm import tqdm

from rnncourse.data.grammar import ENGLISH, sample, true_logprob
from rnncourse.data.words import WordVocabulary
from rnncourse.ngram.numpy import (
    FALLBACK,
    SPECIALS,
    adjusted_counts,
    count_ngrams,
    fit_stream,
    modified_discounts,
    stream_logprobs,
    to_stream,
)

SETTINGS = {
    "orders": [1, 2, 3, 4, 5],
    "sizes": [30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000],
    "seeds": 8,
    "tests": 2000,
    "test_seed": 2026,
}
VOCABULARY = WordVocabulary((*SPECIALS, *ENGLISH), (0,) * (len(ENGLISH) + 3))
"""All words of the grammar: none is unknown."""


def draw_sentences(rng, count):
    """Sentences of the grammar as lists of words."""
    return [list(sample(rng).english) for _ in range(count)]


def true_losses(sentences):
    """Loss in nats of the grammar itself on each sentence."""
    return -np.array([true_logprob(sentence) for sentence in sentences])


def fallbacks(stream, order):
    """For how many orders up to this one a stream has no discounts of its own."""
    counts = count_ngrams(stream, len(VOCABULARY), order)
    return sum(tuple(modified_discounts(count)) == FALLBACK for count in adjusted_counts(counts))


def grammar_run(seed, sizes, orders=tuple(SETTINGS["orders"]), tests=SETTINGS["tests"]):
    """Fit models of several orders to the first sentences of one drawn corpus, and score them.

    Parameters
    ----------
    seed : int
        Of the training sentences; those of the test are the same for all seeds.
    sizes : sequence of int
        Sentences to train on, in rising order.
    orders : sequence of int
    tests : int
        Sentences to test on.

    Returns
    -------
    dict
        ``test`` and ``train``, (sizes, orders) nested lists: loss per token in nats, ``</s>`` counted, on
        fresh sentences and on the model's own; ``train_true``, (sizes,): that of the grammar on the latter;
        ``test_true``: that on the former; ``entries``, (sizes, orders): m-grams of all orders in the tables;
        ``fallback``, (sizes, orders): for how many of the m, 1 .. n, the formulas give no discounts.
    """
    rng = np.random.default_rng(seed)
    sentences = draw_sentences(rng, max(sizes))
    fresh = draw_sentences(np.random.default_rng(SETTINGS["test_seed"]), tests)
    test_stream = to_stream(fresh, VOCABULARY)
    true, lengths = true_losses(sentences), np.array([len(s) + 1 for s in sentences])
    result = {"test": [], "train": [], "train_true": [], "entries": [], "fallback": []}
    for size in sizes:
        stream = to_stream(sentences[:size], VOCABULARY)
        models = [fit_stream(stream, VOCABULARY, n) for n in orders]
        result["test"].append([float(-stream_logprobs(model, test_stream).mean()) for model in models])
        result["train"].append([float(-stream_logprobs(model, stream).mean()) for model in models])
        result["train_true"].append(float(true[:size].sum() / lengths[:size].sum()))
        result["entries"].append([sum(map(len, model.keys)) for model in models])
        result["fallback"].append([fallbacks(stream, n) for n in orders])
    result["test_true"] = float(true_losses(fresh).sum() / sum(len(s) + 1 for s in fresh))
    return result


def record_grammar():
    """Loss of orders 1 to 5 for eight corpora of each size: ``book/results/ngram-grammar.json``."""
    runs = [grammar_run(seed, SETTINGS["sizes"]) for seed in tqdm(range(SETTINGS["seeds"]), "corpora")]
    return {"settings": SETTINGS, "runs": runs}


RECORDS = {"grammar": record_grammar}
