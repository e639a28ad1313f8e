"""How well networks of each kind agree a verb with a subject that lies further and further back."""

from functools import cache
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from rnncourse._numerics import one_hot, softmax
from rnncourse.bptt.numpy import (
    cross_entropy_backward,
    output_backward,
    rnn_backward,
    rnn_backward_truncated,
)
from rnncourse.data.grammar import ENGLISH, OTHER_NUMBER, PLURAL_VERBS, parse, sample, window_accuracy
from rnncourse.lstm.numpy import lstm_backward, lstm_forward, lstm_init
from rnncourse.optim import Adam
from rnncourse.rnn.numpy import cross_entropy_forward, output_forward, output_init, rnn_forward, rnn_init
from rnncourse.sequences.numpy import (
    delay_init,
    jordan_backward,
    jordan_forward,
    jordan_init,
    tdnn_reach,
    window_backward,
    window_forward,
)
from rnncourse.training.numpy import train

DTYPE = np.float32
VERBS = sorted(OTHER_NUMBER.keys() - PLURAL_VERBS), sorted(PLURAL_VERBS)
"""Singular and plural."""
SETTINGS = {
    "H": 32,
    "B": 32,
    "lr": 0.01,
    "clip": 1.0,
    "steps": 1200,
    "seeds": 8,
    "pool": 20_000,
    "trained_clauses": list(range(13)),
    "tested_clauses": list(range(17)),
    "tests": 200,
    "probe_windows": list(range(1, 15)),
}
BETWEEN = [
    "",
    "outside",
    "with Marie",
    "that Marie sees",
    "that Marie often sees",
    "that the dogs often see",
    "that the old dogs often see",
    "that the dogs behind the house see",
    "that the dogs behind the house often see",
    "that the dogs behind the house near Paris see",
    "that the dogs behind the house near Paris often see",
    "that the old dogs behind the house near Paris often see",
    "that the old dogs behind the big house near Paris often see",
]
"""What stands between subject and verb in the sentences of the explorable: 0 to 12 words."""


class Sentences(NamedTuple):
    """Beginnings of sentences up to the main verb, as ids, padded with 0."""

    x: np.ndarray
    """(T, B), the words before the verb."""
    y: np.ndarray
    """(T, B), the word after each: the last one is the verb."""
    mask: np.ndarray
    """(T, B), False at padding."""
    plural: np.ndarray
    """(B,), whether the verb is plural."""


class Task(NamedTuple):
    """Words, training sentences and tests, the same for every network and seed."""

    words: dict
    """Id of each word; 0 is padding."""
    pool: Sentences
    tests: list
    """Sentences for each tested length of the clause."""


def encode(pairs, words):
    """Turn sentences of the grammar into :class:`Sentences`."""
    T, B = max(pair.verb for pair in pairs), len(pairs)
    ids = np.zeros((T + 1, B), int)
    for b, pair in enumerate(pairs):
        ids[: pair.verb + 1, b] = [words[word] for word in pair.english[: pair.verb + 1]]
    mask = ids[1:] > 0
    return Sentences(
        ids[:-1] * mask, ids[1:], mask, np.array([p.english[p.verb] in PLURAL_VERBS for p in pairs])
    )


@cache
def agreement_task():
    """Draw the sentences: clauses of 0 to 12 words, equally often, to train on; 0 to 16 words to test."""
    rng = np.random.default_rng(2026)
    trained = rng.choice(SETTINGS["trained_clauses"], SETTINGS["pool"])
    pool = [sample(rng, int(clause)) for clause in trained]
    tests = [[sample(rng, c) for _ in range(SETTINGS["tests"])] for c in SETTINGS["tested_clauses"]]
    words = {word: i + 1 for i, word in enumerate(ENGLISH)}
    return Task(words, encode(pool, words), [encode(test, words) for test in tests])


class Network(NamedTuple):
    """One kind of network with its output layer."""

    init: object
    """``init(rng, V, H)`` draws the parameters."""
    run: object
    """``run(params, x, teacher)`` returns logits and a function from their gradient to the parameters'."""


def _read_out(layer):
    """A layer under an output layer; `layer(x, params)` returns states and their backward pass."""

    def run(params, x, teacher):
        states, backward = layer(x, params[0])
        logits, cache = output_forward(states, params[1])

        def gradients(dlogits):
            dstates, doutput = output_backward(dlogits, cache)
            return backward(dstates), doutput

        return logits, gradients

    return run


def _window(*windows):
    def init(rng, V, H):
        sizes = [V] + [H] * (len(windows) - 1)
        layers = tuple(delay_init(rng, D, H, n, DTYPE) for D, n in zip(sizes, windows, strict=True))
        return layers, output_init(rng, H, V, DTYPE)

    def layer(x, layers):
        past = np.zeros((tdnn_reach(layers) - 1, *x.shape[1:]), DTYPE)
        states, _, cache = window_forward(x, past, layers)
        return states, lambda dstates: window_backward(dstates, past, cache)[2]

    return Network(init, _read_out(layer))


def _elman(whole=True):
    def layer(x, params):
        h_0 = np.zeros((x.shape[1], len(params.bias_hh)), DTYPE)
        states, _, cache = rnn_forward(x, h_0, params)
        if whole:
            return states, lambda dstates: rnn_backward(dstates, h_0, cache)[2]
        return states, lambda dstates: rnn_backward_truncated(dstates, cache, 1, 1)[2]

    return Network(
        lambda rng, V, H: (rnn_init(rng, V, H, DTYPE), output_init(rng, H, V, DTYPE)), _read_out(layer)
    )


def _lstm():
    def layer(x, params):
        zero = np.zeros((x.shape[1], params.weight_hh.shape[1]), DTYPE)
        states, _, cache = lstm_forward(x, (zero, zero), params)
        return states, lambda dstates: lstm_backward(dstates, (zero, zero), cache)[2]

    return Network(
        lambda rng, V, H: (lstm_init(rng, V, H, 1.0, DTYPE), output_init(rng, H, V, DTYPE)), _read_out(layer)
    )


def _jordan(alpha, forced):
    def run(params, x, teacher):
        c_0 = np.zeros((x.shape[1], len(params.bias_o)), DTYPE)
        logits, _, cache = jordan_forward(x, c_0, params, alpha, teacher if forced else None)
        return logits, lambda dlogits: jordan_backward(dlogits, c_0, cache)[2]

    return Network(lambda rng, V, H: jordan_init(rng, V, H, V, DTYPE), run)


NETWORKS = {
    "window 2": _window(2),
    "window 4": _window(4),
    "window 8": _window(8),
    "TDNN": _window(2, 3, 5),
    "Elman": _elman(),
    "Elman, one-step gradient": _elman(whole=False),
    "LSTM": _lstm(),
    "Jordan, own outputs": _jordan(0.0, False),
    "Jordan, own outputs, decay": _jordan(0.8, False),
    "Jordan, taught": _jordan(0.0, True),
    "Jordan, taught, decay": _jordan(0.8, True),
}
"""The kinds that are compared. "decay" is alpha = 0.8, else it is 0; "taught" is teacher forcing.

"One-step gradient": none goes through the state, as in Elman (1990). The others send it through the whole
sequence. The forget bias of the LSTM starts at 1.
"""


def run_network(network, params, sentences):
    """Logits of a network on sentences, and the function that turns their gradient into the parameters'."""
    V = len(agreement_task().words) + 1
    return network.run(params, one_hot(sentences.x, V, DTYPE), one_hot(sentences.y, V, DTYPE))


def agreement_loss(network, params, batch):
    """Mean loss over the words of a batch, padding left out, and its gradient by the parameters."""
    logits, gradients = run_network(network, params, batch)
    value, cache = cross_entropy_forward(logits, batch.y, batch.mask)
    return value, gradients(cross_entropy_backward(1.0, cache))


def train_agreement(network, seed, steps=None):
    """Train a network to predict each next word, up to the main verb.

    Parameters
    ----------
    network : Network
    seed : int
    steps : int, optional
        By default those of ``SETTINGS``.

    Returns
    -------
    rnncourse.training.numpy.Trained
    """
    task, rng = agreement_task(), np.random.default_rng(seed)
    pool = task.pool
    params = network.init(rng, len(task.words) + 1, SETTINGS["H"])

    def batches():
        while True:
            chosen = rng.integers(0, len(pool.plural), SETTINGS["B"])
            yield Sentences(*(part[..., chosen] for part in pool))

    def loss(params, batch):
        return agreement_loss(network, params, batch)

    steps = steps or SETTINGS["steps"]
    return train(loss, params, batches(), Adam(SETTINGS["lr"]), steps=steps, clip=SETTINGS["clip"])


def plural_probability(network, params, sentences):
    """P(plural) of the verb, given that it is a verb, after the words before it.

    Returns
    -------
    (B,) array
    """
    logits, _ = run_network(network, params, sentences)
    last = sentences.mask.sum(axis=0) - 1
    p = softmax(logits[last, np.arange(len(last))])
    words = agreement_task().words
    singular, plural = (p[:, [words[verb] for verb in verbs]].sum(axis=1) for verbs in VERBS)
    return plural / (singular + plural)


def agreement_accuracy(network, params):
    """Share of verbs whose number is right, for each tested length of the clause."""
    return [
        float(((plural_probability(network, params, test) > 0.5) == test.plural).mean())
        for test in agreement_task().tests
    ]


def record_agreement():
    """Accuracy of every kind and seed by the length of the clause: ``book/results/sequences-agreement.json``.

    A wider window has more parameters; their number is recorded too.
    """
    runs = []
    for name, network in NETWORKS.items():
        for seed in tqdm(range(SETTINGS["seeds"]), name):
            trained = train_agreement(network, seed)
            accuracy = [round(a, 4) for a in agreement_accuracy(network, trained.params)]
            runs.append({"network": name, "seed": seed, "accuracy": accuracy, "size": _size(trained.params)})
    clauses = SETTINGS["tested_clauses"]
    best = {str(n): [window_accuracy(n, clause) for clause in clauses] for n in (2, 4, 8)}
    return {"settings": SETTINGS, "best": best, "runs": runs}


def _size(params):
    return sum(map(_size, params)) if isinstance(params, tuple) else params.size


def probes():
    """The sentences of the explorable, analysed: for each of BETWEEN a pair, singular and plural."""
    return [
        [
            parse(f"the {noun} {between} {verb} tired".split())
            for noun, verb in (("cat", "is"), ("cats", "are"))
        ]
        for between in BETWEEN
    ]


def record_probes():
    """P(plural) that trained networks give for each probe: ``book/results/sequences-probes.json``.

    Networks of window 1 to 14, and the Elman network, seed 0 each.
    """
    kinds = {str(n): _window(n) for n in SETTINGS["probe_windows"]} | {"Elman": NETWORKS["Elman"]}
    pairs = [pair for both in probes() for pair in both]
    sentences, plural = encode(pairs, agreement_task().words), {}
    for name, network in tqdm(kinds.items(), "probes"):
        p = plural_probability(network, train_agreement(network, 0).params, sentences)
        plural[name] = p.astype(float).round(4).reshape(-1, 2).tolist()
    return {"settings": SETTINGS, "between": BETWEEN, "plural": plural}


RECORDS = {"agreement": record_agreement, "probes": record_probes}
