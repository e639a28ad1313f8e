"""Networks against n-gram models, carried against reset state, and a planted number."""

import functools
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from rnncourse._numerics import log_softmax
from rnncourse.data import grammar
from rnncourse.data.tales import load_tales, tales_text
from rnncourse.data.text import Vocabulary, contiguous_batches
from rnncourse.data.words import split_sentences
from rnncourse.language_model.numpy import (
    LMParams,
    excess,
    exposure,
    lm_forward,
    lm_init,
    lm_logprob,
    lm_loss,
    zero_state,
)
from rnncourse.lstm.character import (
    CharacterModel,
    ablate,
    correlations,
    inside_quotes,
    pack,
    quote_scores,
    read_text,
    split_text,
    unpack,
)
from rnncourse.lstm.experiment import quote_units
from rnncourse.ngram.numpy import BOS, EOS, fit, fit_stream, ngram_vocabulary, stream_logprobs, to_stream
from rnncourse.optim import Adam
from rnncourse.optim._tree import tree_leaves, tree_map
from rnncourse.training.numpy import train

SEEDS = 8


class Setting(NamedTuple):
    """How a language model is trained."""

    cell: str = "lstm"
    E: int = 32
    H: int = 64
    B: int = 16
    T: int = 20
    lr: float = 0.005
    steps: int = 1200
    every: int = 100
    tied: bool = False
    carry: bool = True


def learn(ids, V, setting, seed, validation=None, watch=None, dtype=np.float32, start=None):
    """Train a language model on one text; with `validation`, return its best parameters on that text.

    Parameters
    ----------
    ids : (n,) array of int
        The text, read again and again in `setting.B` streams.
    V : int
    setting : Setting
        With ``carry`` false, every batch starts from a zero state.
    seed : int
        Of the weights; the batches are the same for all.
    validation : (m,) array of int, optional
    watch : callable, optional
        Evaluates the parameters in place of the loss on `validation`; then the last ones are returned.
    dtype : dtype
    start : LMParams, optional
        Instead of weights drawn with the seed.

    Returns
    -------
    Trained
    """
    s = setting
    if start is None:
        start = lm_init(np.random.default_rng(seed), V, s.E, s.H, s.cell, s.tied, dtype)
    carried = {}

    def loss(params, batch):
        x, y, first = batch
        state = zero_state(params, s.B) if first or not s.carry else carried["state"]
        value, carried["state"], gradients = lm_loss(x, y, state, params)
        return value, gradients

    def batches():
        while True:
            for place, (x, y) in enumerate(contiguous_batches(ids, s.B, s.T)):
                yield x, y, place == 0

    # Patience as long as the run: the parameters of the best evaluation are returned.
    return train(
        loss,
        start,
        batches(),
        Adam(s.lr),
        steps=s.steps,
        clip=1.0,
        evaluate=watch if validation is None else lambda params: text_loss(validation, params),
        every=s.every,
        patience=None if validation is None else s.steps,
        progress=False,
    )


def text_loss(ids, params):
    """Mean -ln P of each token but the first, read as one stream."""
    return float(-lm_logprob(ids[:, None], zero_state(params, 1), params)[0].mean())


def lm_ids(stream):
    """A stream of n-gram models for a network: without ``<s>``, and with ``</s>`` in front of the first word.

    Both then predict the same tokens in the same order.
    """
    return np.concatenate([[EOS], stream[stream != BOS]])


# The grammar.

GRAMMAR_WORDS = ngram_vocabulary([grammar.ENGLISH])
ORDERS = (2, 3, 4, 5, 6)
TEST = 2000
CLASSES = (
    "verb, next to its noun",
    "verb, 1-2 words off",
    "verb, 3 or more off",
    "verb of a clause",
    "noun or name",
    "adjective",
    "adverb",
    "function word",
    "</s>",
)
_OF_TAG = {"NOUN": 4, "PROPN": 4, "ADJ": 5, "ADV": 6}


@functools.cache
def grammar_data(seed, count):
    """Sentences drawn from the grammar, and their stream of ids."""
    rng = np.random.default_rng(seed)
    pairs = [grammar.sample(rng) for _ in range(count)]
    return pairs, to_stream([pair.english for pair in pairs], GRAMMAR_WORDS)


def token_classes(pairs):
    """For each word and ``</s>`` of the sentences its place in CLASSES."""
    found = []
    for pair in pairs:
        for place, tag in enumerate(pair.tags):
            if place == pair.verb:
                found.append(0 if pair.clause == 0 else 1 if pair.clause < 3 else 2)
            else:
                found.append(3 if tag in ("VERB", "AUX") else _OF_TAG.get(tag, 7))
        found.append(8)
    return np.array(found)


@functools.cache
def true_token_logprobs(seed=0, count=TEST):
    """ln P of each token of the test sentences by the grammar itself."""
    found = []
    for pair in grammar_data(10**6 + seed, count)[0]:
        words = (*pair.english, grammar.END)
        found += [np.log(grammar.next_word_probabilities(words[:i])[word]) for i, word in enumerate(words)]
    return np.array(found)


def network_logprobs(stream, params):
    """ln P of each token but ``<s>``, read as one stream with carried state."""
    ids = lm_ids(stream)[:, None]
    return lm_logprob(ids, zero_state(params, 1), params)[0][:, 0].astype(float)


def best_order(stream, vocabulary, validation, orders=ORDERS):
    """The interpolated modified Kneser-Ney model of the order that is best on the validation stream."""
    models = [fit_stream(stream, vocabulary, order) for order in orders]
    return max(models, key=lambda model: stream_logprobs(model, validation).mean())


GRAMMAR_STEPS = {500: 600, 2000: 1200, 8000: 2500}


def grammar_run(seed, count, cell="lstm", setting=None):
    """Excess in bits of each token of the test sentences: a network trained on `count` sentences."""
    setting = (setting or Setting())._replace(cell=cell, steps=GRAMMAR_STEPS[count])
    _, stream = grammar_data(seed, count)
    _, validation = grammar_data(seed + 10**5, 500)
    trained = learn(lm_ids(stream), len(GRAMMAR_WORDS), setting, seed, lm_ids(validation))
    return test_excess(network_logprobs(grammar_data(10**6, TEST)[1], trained.params)), trained


def kneser_ney_run(seed, count):
    """The same for the n-gram model; its order is chosen on the same 500 sentences."""
    _, stream = grammar_data(seed, count)
    _, validation = grammar_data(seed + 10**5, 500)
    model = best_order(stream, GRAMMAR_WORDS, validation)
    return test_excess(stream_logprobs(model, grammar_data(10**6, TEST)[1])), model.order


def test_excess(logprobs):
    """Excess over the grammar's own probabilities, in bits."""
    return excess(logprobs, true_token_logprobs()) / np.log(2)


def by_class(bits):
    """Bits a sentence by class of token."""
    return np.bincount(token_classes(grammar_data(10**6, TEST)[0]), bits, len(CLASSES)) / TEST


def record_grammar():
    """Excess over the exact entropy, eight corpora of each size: ``language_model-grammar.json``."""
    rows = []
    for count in GRAMMAR_STEPS:
        kinds = ("lstm", "gru", "rnn") if count == 2000 else ("lstm",)
        for seed in tqdm(range(SEEDS), f"{count} sentences"):
            found, order = kneser_ney_run(seed, count)
            rows.append(_row("Kneser-Ney", count, seed, found) | {"order": order})
            for cell in kinds:
                rows.append(_row(cell, count, seed, grammar_run(seed, count, cell)[0]))
    classes = np.bincount(token_classes(grammar_data(10**6, TEST)[0]), minlength=len(CLASSES))
    return {
        "setting": Setting()._asdict(),
        "steps": {str(count): steps for count, steps in GRAMMAR_STEPS.items()},
        "test": TEST,
        "bits": round(float(-true_token_logprobs().mean() / np.log(2)), 5),
        "classes": CLASSES,
        "tokens": classes.tolist(),
        "rows": rows,
    }


def _row(model, count, seed, found):
    return {
        "model": model,
        "sentences": count,
        "seed": seed,
        "excess": round(float(found.mean()), 5),
        "by_class": by_class(found).round(5).tolist(),
    }


# How far the verb stands from its noun, seen through one window.

DISTANCES = ("next to its noun", "1-2 words off", "3-4 words off", "5 or more off")


def verb_run(seed, count, order=6):
    """Kneser-Ney of one order on the main verbs: bits a verb by class of DISTANCES, and those of the number.

    Returns
    -------
    excess : (4,) array
        Over the grammar's own probabilities.
    number : (4,) array
        -log2 of the share that the right form has of the verb's two forms, singular and plural. The source
        gives all of it to the right one, so this is the part of the excess that agreement takes.
    """
    pairs, stream = grammar_data(10**6, TEST)
    other = []
    for pair in pairs:
        words = list(pair.english)
        words[pair.verb] = grammar.OTHER_NUMBER[words[pair.verb]]
        other.append(tuple(words))
    starts = np.cumsum([0] + [len(pair.english) + 1 for pair in pairs[:-1]])
    verbs = starts + [pair.verb for pair in pairs]
    model = fit_stream(grammar_data(seed, count)[1], GRAMMAR_WORDS, order)
    right, wrong = (stream_logprobs(model, s)[verbs] for s in (stream, to_stream(other, GRAMMAR_WORDS)))
    off = np.array([pair.clause for pair in pairs])
    group = np.digitize(off, [1, 3, 5])
    parts = excess(right, true_token_logprobs()[verbs]), np.logaddexp(right, wrong) - right
    tokens = np.bincount(group, minlength=4)
    return tuple(np.bincount(group, part, 4) / tokens / np.log(2) for part in parts)


def record_verbs():
    """Main verbs by their distance from the noun, eight corpora: ``language_model-verbs.json``."""
    rows = []
    for count in (2000, 8000):
        for seed in tqdm(range(SEEDS), f"verbs, {count} sentences"):
            found, number = verb_run(seed, count)
            rows.append({"sentences": count, "seed": seed, "excess": found.round(5).tolist()})
            rows[-1]["number"] = number.round(5).tolist()
    off = [pair.clause for pair in grammar_data(10**6, TEST)[0]]
    verbs = np.bincount(np.digitize(off, [1, 3, 5])).tolist()
    return {"distances": DISTANCES, "verbs": verbs, "order": 6, "rows": rows}


# Carried and reset state.

WINDOWS = (2, 10, 40)


def window_logprobs(ids, params, T):
    """ln P of each token but the first, each T of them read from a zero state; the rest is dropped."""
    whole = (len(ids) - 1) // T * T
    x, y = ids[:whole].reshape(-1, T).T, ids[1 : whole + 1].reshape(-1, T).T
    logits, _, _ = lm_forward(x, zero_state(params, x.shape[1]), params)
    return np.take_along_axis(log_softmax(logits), y[..., None], axis=-1)[..., 0].T.ravel().astype(float)


def carry_run(seed, T, carry):
    """Excess in bits a token of a network trained with windows of T: read with carried state, and reset."""
    setting = Setting(T=T, B=320 // T, carry=carry)
    _, trained = grammar_run(seed, 2000, setting=setting)
    _, stream = grammar_data(10**6, TEST)
    logprobs = window_logprobs(lm_ids(stream), trained.params, T)
    reset = excess(logprobs, true_token_logprobs()[: len(logprobs)]) / np.log(2)
    return test_excess(network_logprobs(stream, trained.params)).mean(), reset.mean()


def record_carry():
    """Windows of three lengths, trained with carried and with reset state: ``language_model-carry.json``."""
    rows = []
    for T in WINDOWS:
        for carry in (True, False):
            for seed in tqdm(range(SEEDS), f"T = {T}, carry {carry}"):
                carried, reset = carry_run(seed, T, carry)
                rows.append({"T": T, "carry": carry, "seed": seed})
                rows[-1] |= {"carried": round(float(carried), 5), "reset": round(float(reset), 5)}
    return {"positions": 320, "sentences": 2000, "steps": GRAMMAR_STEPS[2000], "rows": rows}


# The tales, by words.

TALES = Setting(E=64, H=64, B=16, T=32, lr=0.01, steps=600)
WORD_MODELS = {
    "LSTM": TALES,
    "LSTM, tied": TALES._replace(tied=True),
    "GRU": TALES._replace(cell="gru"),
    "tanh": TALES._replace(cell="rnn"),
}


@functools.cache
def tale_words(min_count=5):
    """The tales as words and marks: streams of training, validation and test part (8 : 1 : 1), vocabulary.

    The vocabulary has the words of the training part with at least `min_count` occurrences.
    """
    tales = load_tales()
    cuts = len(tales) * 8 // 10, len(tales) * 9 // 10
    parts = [
        [s for tale in some for s in split_sentences(tale.text, punctuation=True)]
        for some in (tales[: cuts[0]], tales[cuts[0] : cuts[1]], tales[cuts[1] :])
    ]
    vocabulary = ngram_vocabulary(parts[0], min_count=min_count)
    return *(to_stream(part, vocabulary) for part in parts), vocabulary


def word_run(seed, name):
    """Train one of WORD_MODELS; return the run."""
    training, validation, _, vocabulary = tale_words()
    return learn(lm_ids(training), len(vocabulary), WORD_MODELS[name], seed, lm_ids(validation))


def record_words():
    """Four networks, eight seeds each, and Kneser-Ney on the same words: ``language_model-words.json``."""
    training, validation, test, vocabulary = tale_words()
    rows = []
    for name in WORD_MODELS:
        for seed in tqdm(range(SEEDS), name):
            trained = word_run(seed, name)
            loss = -network_logprobs(test, trained.params).mean()
            best = trained.history.evaluated[int(np.argmin(trained.history.evaluation))]
            rows.append({"model": name, "seed": seed, "loss": round(float(loss), 5), "best": int(best)})
    models = [fit_stream(training, vocabulary, order) for order in ORDERS]
    return {
        "settings": {name: setting._asdict() for name, setting in WORD_MODELS.items()},
        "parameters": {name: count_parameters(name) for name in WORD_MODELS},
        "tokens": [int((part != BOS).sum()) for part in (training, validation, test)],
        "V": len(vocabulary),
        "rows": rows,
        "kneser_ney": {
            str(model.order): [
                round(float(-stream_logprobs(model, part).mean()), 5) for part in (validation, test)
            ]
            for model in models
        },
    }


def sentence_loss(stream, params):
    """Mean -ln P of each token of a stream of n-gram models, each sentence read from a zero state."""
    sentences = np.split(stream, np.flatnonzero(stream == BOS)[1:])
    found = [lm_logprob(lm_ids(s)[:, None], zero_state(params, 1), params)[0] for s in sentences]
    return float(-np.concatenate(found).mean())


def small_start(seed):
    """Weights of the untied word model, its embedding with the standard deviation of the tied one's start."""
    s, V = TALES, len(tale_words()[3])
    params = lm_init(np.random.default_rng(seed), V, s.E, s.H, s.cell, dtype=np.float32)
    return params._replace(embedding=params.embedding / np.float32(np.sqrt(3 * s.H)))


def record_reading():
    """Word models read on and read by the sentence, and a small start: ``language_model-reading.json``."""
    training, validation, test, vocabulary = tale_words()
    rows = []
    for name in ("LSTM", "LSTM, tied", "LSTM, small start"):
        for seed in tqdm(range(3), name):
            start = small_start(seed) if name.endswith("small start") else None
            setting = WORD_MODELS[name.removesuffix(", small start")]
            trained = learn(lm_ids(training), len(vocabulary), setting, seed, lm_ids(validation), start=start)
            best = trained.history.evaluated[int(np.argmin(trained.history.evaluation))]
            rows.append({"model": name, "seed": seed, "best": int(best)})
            rows[-1]["carried"] = round(float(-network_logprobs(test, trained.params).mean()), 5)
            rows[-1]["reset"] = round(sentence_loss(test, trained.params), 5)
    return {"rows": rows}


def count_parameters(name):
    """How many numbers one of WORD_MODELS holds."""
    s, V = WORD_MODELS[name], len(tale_words()[3])
    params = lm_init(np.random.default_rng(0), V, s.E, s.H, s.cell, s.tied)
    return sum(leaf.size for _, leaf in tree_leaves(params))


# The tales, by characters.

CHARACTERS = Setting(E=24, H=96, B=16, T=50, lr=0.005, steps=3000)
CHARACTER_ORDERS = range(2, 11)


def train_characters(seed):
    """A character model of the first nine tenths of the tales, stored with one byte a weight.

    Returns
    -------
    dict
        What :func:`rnncourse.lstm.character.pack` makes of it. The embedding is multiplied into the input
        weights, so that the model reads one-hot characters.
    """
    text, _ = split_text()
    vocabulary = Vocabulary.of(tales_text())
    params = learn(vocabulary.encode(text), len(vocabulary), CHARACTERS, seed).params
    cell = params.cell._replace(weight_ih=params.cell.weight_ih @ params.embedding.T)
    return pack(CharacterModel(vocabulary.characters, cell, params.output))


def character_params(packed):
    """Parameters and vocabulary of what :func:`train_characters` returned; the embedding is the identity."""
    model = unpack(packed)
    return LMParams(np.eye(len(model.characters)), model.lstm, model.output), Vocabulary(model.characters)


def character_loss(params, vocabulary, text):
    """Mean -ln P of each character but the first."""
    return text_loss(vocabulary.encode(text), params)


def record_cells():
    """The three cells on characters, 500 steps, three seeds: ``language_model-cells.json``."""
    text, held = split_text()
    vocabulary = Vocabulary.of(tales_text())
    ids, setting = vocabulary.encode(text), CHARACTERS._replace(steps=500)
    rows = []
    for cell in ("lstm", "gru", "rnn"):
        for seed in tqdm(range(3), f"{cell}, characters"):
            params = learn(ids, len(vocabulary), setting._replace(cell=cell), seed).params
            rows.append({"cell": cell, "seed": seed})
            rows[-1]["held_out"] = round(character_loss(params, vocabulary, held), 5)
    return {"setting": setting._replace(cell="")._asdict(), "rows": rows}


def kneser_ney_characters(order):
    """Held-out loss of the n-gram model of this order on the same characters."""
    text, held = split_text()
    vocabulary = ngram_vocabulary([list(tales_text())])
    model = fit([list(text)], order, vocabulary=vocabulary)
    logprobs = stream_logprobs(model, to_stream([list(held)], vocabulary))
    # Without the first character, which no network predicts, and the end.
    return float(-logprobs[1:-1].mean())


def quotation_unit(packed):
    """The unit whose cell goes best with an open quotation: chosen on one half, cut off on the other.

    Returns
    -------
    dict
        ``unit``; ``correlation`` of its cell on the first half of the held-out text; ``auc`` and ``loss`` of
        the whole model and without the unit on the second half, as in
        :func:`rnncourse.lstm.character.quote_scores`.
    """
    model = unpack(packed)
    first, second = split_text(split_text()[1], 0.5)
    reading = read_text(model, first)
    found = correlations(reading.c, inside_quotes(first))
    unit = int(np.abs(found).argmax())
    scores = [quote_scores(m, second) for m in (model, ablate(model, unit, reading.h[:, unit].mean()))]
    return {"unit": unit, "correlation": round(float(found[unit]), 4)} | {
        name: [round(score[name], 4) for score in scores] for name in ("auc", "loss")
    }


def record_characters():
    """Three seeds of the character model, and n-gram models: ``language_model-characters.json``.

    ``units``: how each unit of the first goes with an open quotation, and what the rest does without it.
    ``quotation`` of each seed: the same of the unit whose cell goes best with it, as :func:`quotation_unit`.
    """
    text, held = split_text()
    rows, models = [], []
    for seed in tqdm(range(3), "characters"):
        models.append(train_characters(seed))
        losses = [character_loss(*character_params(models[-1]), part) for part in (text[-len(held) :], held)]
        rows.append({"seed": seed, "learnt": round(losses[0], 5), "held_out": round(losses[1], 5)})
        rows[-1]["quotation"] = quotation_unit(models[-1])
    found = quote_units(unpack(models[0]), progress=False)
    units = {
        "correlation": found["correlation"],
        "correlation_h": found["correlation_h"],
        "auc": found["ablated"]["auc"],
        "loss": found["ablated"]["loss"],
    }
    return {
        "setting": CHARACTERS._asdict(),
        "characters": [len(text), len(held)],
        "rows": rows,
        "kneser_ney": {str(n): round(kneser_ney_characters(n), 5) for n in CHARACTER_ORDERS},
        "whole": {name: round(found["whole"][name], 5) for name in ("auc", "loss")},
        "units": {name: np.round(values, 4).tolist() for name, values in units.items()},
        "model": models[0],
    }


# A planted number.

PLANTED = Setting(E=16, H=64, B=16, T=50, lr=0.01, steps=500, every=50)
CODE = "The code is {} {} {} {}."
DECOY = "The price is {} {} {} {}."
DECOYS = 60
COUNTS = (0, 1, 4, 16)


def planted_text(seed, count, length=25000):
    """The beginning of the tales with a code put in `count` times, after random full stops.

    DECOYS random prices stand there too: without them the digits of the code would be all digits there are.

    Returns
    -------
    text : str
    code : int
        0 .. 9999, drawn with the seed.
    """
    rng = np.random.default_rng([seed, 1])
    code = int(rng.integers(10**4))
    text = tales_text()[:length]
    stops = [i + 2 for i in range(len(text) - 1) if text[i : i + 2] == ". "]
    added = [CODE.format(*f"{code:04d}")] * count
    added += [DECOY.format(*f"{rng.integers(10**4):04d}") for _ in range(DECOYS)]
    places = rng.choice(stops, len(added), replace=False)
    for place, sentence in sorted(zip(places, added, strict=True), reverse=True):
        text = f"{text[:place]}{sentence} {text[place:]}"
    return text, code


def code_exposure(params, vocabulary, code):
    """Exposure of a code among all ten thousand, in bits, given the words before it."""
    texts = [CODE.format(*f"{n:04d}") for n in range(10**4)]
    prefix = CODE.index("{")
    ids = np.array([vocabulary.encode(text[prefix:-1]) for text in texts]).T
    before = vocabulary.encode(" " + CODE[:prefix])[:, None]
    _, state, _ = lm_forward(before[:-1], zero_state(params, 1), params)
    state = tree_map(lambda a: np.repeat(a, len(texts), axis=0), state)
    ids = np.concatenate([np.full((1, len(texts)), before[-1, 0]), ids])
    logprob = lm_logprob(ids, state, params)[0].astype(float).sum(axis=0)
    return exposure(logprob[code], np.delete(logprob, code))


def planted_run(seed, count, steps=None):
    """Exposure of the code, and loss on a later part of the tales, at each evaluation."""
    setting = PLANTED._replace(steps=steps or PLANTED.steps)
    text, code = planted_text(seed, count)
    later = tales_text()[60000:64000]
    vocabulary = Vocabulary.of(tales_text() + "0123456789")
    ids, held = vocabulary.encode(text), vocabulary.encode(later)
    exposures, losses = [], []

    def watch(params):
        exposures.append(code_exposure(params, vocabulary, code))
        losses.append(text_loss(held, params))
        return losses[-1]

    learn(ids, len(vocabulary), setting, seed, watch=watch)
    return np.array(exposures), np.array(losses)


def record_planted():
    """A code planted 0 to 16 times in 25,000 characters, eight seeds: ``language_model-planted.json``."""
    rows = []
    for count in COUNTS:
        for seed in tqdm(range(SEEDS), f"planted {count} times"):
            exposures, losses = planted_run(seed, count)
            row = {"exposure": exposures.round(4).tolist(), "loss": losses.round(4).tolist()}
            rows.append({"count": count, "seed": seed} | row)
    return {
        "setting": PLANTED._asdict(),
        "characters": 25000,
        "decoys": DECOYS,
        "counts": COUNTS,
        "rows": rows,
    }


RECORDS = {
    "grammar": record_grammar,
    "verbs": record_verbs,
    "carry": record_carry,
    "words": record_words,
    "reading": record_reading,
    "characters": record_characters,
    "cells": record_cells,
    "planted": record_planted,
}
