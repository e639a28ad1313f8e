"""What a lookup saves, how far absent words move, and what lost repeats cost."""

import functools
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from rnncourse._numerics import sum_rows
from rnncourse.bptt.numpy import cross_entropy_backward, output_backward, rnn_backward
from rnncourse.data.grammar import sample
from rnncourse.data.grammar.tables import WORDS
from rnncourse.data.tales import tales_text
from rnncourse.data.words import WordVocabulary, split_sentences
from rnncourse.embeddings.numpy import (
    RowGradient,
    adam_rows,
    embedding_backward,
    embedding_backward_rows,
    embedding_forward,
    embedding_init,
    sgd_rows,
    tied_backward,
)
from rnncourse.optim import SGD, Adam
from rnncourse.record import fastest
from rnncourse.rnn.numpy import (
    OutputParams,
    RNNParams,
    cross_entropy_forward,
    output_forward,
    rnn_forward,
    rnn_init,
)
from rnncourse.training.experiment import windows
from rnncourse.training.numpy import train

END = "</s>"
SETTINGS = {"V": 600, "E": 24, "B": 12, "T": 12, "steps": 100, "words": 20, "seeds": 8, "decay": 0.001}


def cost_ms(V, N=64, E=64):
    """Wall times of the ways forward, back and to the next weights, in ms, float32; other ids at each call.

    Parameters
    ----------
    V : int
        Size of the vocabulary.
    N : int
        How many ids are looked up.
    E : int
        Size of a vector.

    Returns
    -------
    dict of float
        ``product`` and ``lookup`` forward, ``product back``, ``sum back`` for the dense gradient and ``rows
        back`` for that of the rows alone; then steps of SGD and Adam with the dense gradient, and on rows
        with and without a copy of the matrix. One-hot vectors and gradients are made beforehand.
    """
    rng = np.random.default_rng(0)
    weight = embedding_init(rng, V, E, dtype=np.float32)
    sgd, adam = SGD(0.01), Adam(0.001)
    velocity, state = sgd.init(weight), adam.init(weight)

    def draw():
        ids = rng.integers(0, V, N)
        output, cache = embedding_forward(ids, weight)
        return ids, output, cache, embedding_backward_rows(output, cache), embedding_backward(output, cache)

    def onehot(ids):
        made = np.zeros((N, V), np.float32)
        made[np.arange(N), ids] = 1
        return made

    calls = {
        "product": lambda ids, *_: functools.partial(np.matmul, onehot(ids), weight),
        "lookup": lambda ids, *_: functools.partial(embedding_forward, ids, weight),
        "product back": lambda ids, output, *_: functools.partial(np.matmul, onehot(ids).T, output),
        "sum back": lambda _, output, cache, *__: functools.partial(embedding_backward, output, cache),
        "rows back": lambda _, output, cache, *__: functools.partial(embedding_backward_rows, output, cache),
        "SGD, dense": lambda *g: functools.partial(sgd.step, weight, g[-1], velocity),
        "SGD, rows": lambda *g: functools.partial(sgd_rows, weight, g[-2], 0.01),
        "SGD, rows in place": lambda *g: functools.partial(sgd_rows, weight, g[-2], 0.01, True),
        "Adam, dense": lambda *g: functools.partial(adam.step, weight, g[-1], state),
        "Adam, rows": lambda *g: functools.partial(adam_rows, weight, g[-2], state, adam),
        "Adam, rows in place": lambda *g: functools.partial(adam_rows, weight, g[-2], state, adam, True),
    }
    return {
        name: 1e3 * min(fastest(make(*draw()), 1) for _ in range(25 if V < 50_000 else 9))
        for name, make in calls.items()
    }


def scatter_ms(N, V, E, dtype):
    """Wall times of three ways to add up gradients of words with frequencies 1 / rank, in ms.

    Parameters
    ----------
    N, V, E : int
        Places, size of the vocabulary, of a vector.
    dtype : dtype

    Returns
    -------
    dict of float
        ``package``, ``np.add.at`` and a ``loop`` over the words that stand several times; all make the dense
        gradient.
    """
    rng = np.random.default_rng(0)
    p = 1 / np.arange(1, V + 1)
    ids, g = rng.choice(V, N, p=p / p.sum()), rng.normal(size=(N, E)).astype(dtype)

    def package():
        dense = np.zeros((V, E), dtype)
        unique, rows = sum_rows(ids, g)
        dense[unique] = rows

    def add_at():
        np.add.at(np.zeros((V, E), dtype), ids, g)

    def loop():
        dense = np.zeros((V, E), dtype)
        order = np.argsort(ids, kind="stable")
        unique, first, counts = np.unique(ids[order], return_index=True, return_counts=True)
        rows = g[order]
        dense[unique] = rows[first]
        for i in np.flatnonzero(counts > 1):
            dense[unique[i]] = rows[first[i] : first[i] + counts[i]].sum(axis=0)

    calls = {"package": package, "np.add.at": add_at, "loop": loop}
    return {name: round(1e3 * fastest(call, 50), 4) for name, call in calls.items()}


class TiedParams(NamedTuple):
    """A language model with one matrix for input and output."""

    embedding: np.ndarray
    """(V, E), and E = H."""
    rnn: RNNParams
    bias: np.ndarray
    """(V,)"""


class UntiedParams(NamedTuple):
    """A language model with two matrices."""

    embedding: np.ndarray
    """(V, E)"""
    rnn: RNNParams
    output: OutputParams


def model_init(rng, V, E, tied):
    """Parameters of a word language model, a tanh network of E units between embedding and output layer.

    The elements of the embedding, and of the output matrix, have variance 1 / E, which gives logits of
    moderate size.
    """
    embedding, rnn, bias = embedding_init(rng, V, E) / np.sqrt(E), rnn_init(rng, E, E), np.zeros(V)
    if tied:
        return TiedParams(embedding, rnn, bias)
    return UntiedParams(embedding, rnn, OutputParams(embedding_init(rng, V, E) / np.sqrt(E), bias))


def model_loss(params, batch, decay=0.0, lossy=False):
    """Mean cross-entropy of the next word in nats, and the gradients.

    Parameters
    ----------
    params : TiedParams or UntiedParams
    batch : pair of (T, B) arrays of int
        Words and next words.
    decay : float
        Weight decay as a penalty: ``decay / 2`` times the squared norm of the embedding is added to the loss.
    lossy : bool
        Make the mistake ``dE[ids] += g`` in the gradient of the lookup.

    Returns
    -------
    loss : float
    gradients : like `params`
    """
    x, y = batch
    tied = isinstance(params, TiedParams)
    embedding = params.embedding
    layer, cache = embedding_forward(x, embedding)
    h, _, rnn_cache = rnn_forward(layer, np.zeros((x.shape[1], embedding.shape[1])), params.rnn)
    logits, output_cache = output_forward(h, OutputParams(embedding, params.bias) if tied else params.output)
    loss, loss_cache = cross_entropy_forward(logits, y)
    dh, d_output = output_backward(cross_entropy_backward(1.0, loss_cache), output_cache)
    dlayer, _, d_rnn = rnn_backward(dh, np.zeros_like(h[0]), rnn_cache)
    if lossy:
        d_embedding = np.zeros_like(embedding)
        d_embedding[x] += dlayer
        if tied:
            d_embedding += d_output.weight
    elif tied:
        d_embedding = tied_backward(dlayer, cache, d_output.weight)
    else:
        d_embedding = embedding_backward(dlayer, cache)
    loss += decay / 2 * (embedding**2).sum()
    d_embedding = d_embedding + decay * embedding
    if tied:
        return loss, TiedParams(d_embedding, d_rnn, d_output.bias)
    return loss, UntiedParams(d_embedding, d_rnn, d_output)


class Decoupled(NamedTuple):
    """Decoupled weight decay of the embedding around another optimiser (Loshchilov and Hutter, 2019)."""

    optimiser: object
    decay: float

    def init(self, params):
        """The other optimiser's state."""
        return self.optimiser.init(params)

    def step(self, params, gradients, state):
        """Its step, and the embedding shrunk by lr times decay."""
        shrunk = self.optimiser.lr * self.decay * params.embedding
        params, state = self.optimiser.step(params, gradients, state)
        return params._replace(embedding=params.embedding - shrunk), state


class Lazy(NamedTuple):
    """Adam, with :func:`rnncourse.embeddings.numpy.adam_rows` for the embedding."""

    adam: Adam

    def init(self, params):
        """State of the embedding, and of the rest."""
        return self.adam.init(params.embedding), self.adam.init(tuple(params[1:]))

    def step(self, params, gradients, state):
        """Take one step."""
        ids = np.flatnonzero(gradients.embedding.any(axis=1))
        rows = RowGradient(ids, gradients.embedding[ids])
        embedding, first = adam_rows(params.embedding, rows, state[0], self.adam)
        rest, second = self.adam.step(tuple(params[1:]), tuple(gradients[1:]), state[1])
        return type(params)(embedding, *rest), (first, second)


DECAY = SETTINGS["decay"]
OPTIMISERS = {
    "SGD": (SGD(1.0), 0.0),
    "SGD, momentum": (SGD(0.1, 0.9), 0.0),
    "SGD, decay": (SGD(1.0), DECAY),
    "Adam": (Adam(0.01), 0.0),
    "Adam, decay in the gradient": (Adam(0.01), DECAY),
    "Adam, decay decoupled": (Decoupled(Adam(0.01), DECAY / 0.01), 0.0),
    "Adam on rows": (Lazy(Adam(0.01)), 0.0),
}
"""Optimiser, and weight decay as a penalty."""


@functools.cache
def sentences():
    """Sentences of the tales, each with ``</s>``, and the vocabulary of the 600 most common words."""
    found = [[*words, END] for words in split_sentences(tales_text())]
    return found, WordVocabulary.of(found, max_size=SETTINGS["V"])


def draw_words(rng, count):
    """Ids of words from the rarer half of the vocabulary, which occur 12 to 27 times in the tales."""
    _, vocabulary = sentences()
    candidates = np.arange(len(vocabulary) // 2, len(vocabulary))
    return rng.choice(candidates, count, replace=False)


def corpus(without):
    """Ids of the tales, one sentence after the other, less the sentences that hold one of these ids."""
    found, vocabulary = sentences()
    encoded = (vocabulary.encode(words) for words in found)
    return np.concatenate([ids for ids in encoded if not np.isin(ids, without).any()])


class Absence(NamedTuple):
    """How far vectors moved while their words were absent."""

    loss: float
    """Mean training loss over the last 20 steps, in nats."""
    never: np.ndarray
    """Displacement (20, E) of the vectors of words that never occurred, over all steps."""
    since: np.ndarray
    """That of words that occurred in the first half only, (20, E), over the second half."""
    lengths: tuple
    """Of the vectors of each group where its displacement begins, (20,) each."""

    def shares(self):
        """Mean distance moved over the mean length at its beginning, of both groups."""
        moved = (np.linalg.norm(group, axis=1).mean() for group in (self.never, self.since))
        return tuple(float(m / length.mean()) for m, length in zip(moved, self.lengths, strict=True))


def absence(name, tied, seed, steps=None):
    """Train a language model while some of its words are absent.

    Twenty words never occur; twenty others occur in the first half of training and not in the second.

    Parameters
    ----------
    name : str
        A key of ``OPTIMISERS``.
    tied : bool
        Whether embedding and output layer are one matrix.
    seed : int
        Draws the words, the initial weights and the batches, each from a generator of its own: tied and
        untied runs of a seed see the same batches.
    steps : int, optional
        In each half.

    Returns
    -------
    Absence
    """
    steps = steps or SETTINGS["steps"]
    words_rng, weights_rng, batch_rng = np.random.default_rng(seed).spawn(3)
    chosen = draw_words(words_rng, 2 * SETTINGS["words"])
    never, since = chosen[: SETTINGS["words"]], chosen[SETTINGS["words"] :]
    optimiser, decay = OPTIMISERS[name]
    loss = functools.partial(model_loss, decay=decay)
    params = model_init(weights_rng, len(sentences()[1]), SETTINGS["E"], tied)
    halves, state = [params], None
    for absent in (never, chosen):
        batches = windows(batch_rng, corpus(absent), SETTINGS["B"], SETTINGS["T"])
        run = train(loss, halves[-1], batches, optimiser, steps=steps, state=state)
        halves.append(run.params)
        state = run.state
    start, middle, end = (half.embedding for half in halves)
    lengths = np.linalg.norm(start[never], axis=1), np.linalg.norm(middle[since], axis=1)
    return Absence(run.history.loss[-20:].mean(), (end - start)[never], (end - middle)[since], lengths)


def record_cost():
    """Times by size of the vocabulary, and of three sums: ``book/results/embeddings-cost.json``."""
    sizes = [100, 1000, 10_000, 100_000]
    times = [cost_ms(V) for V in sizes]
    kinds = [(144, 601, 24, "float64"), (2048, 10_000, 64, "float32"), (1120, 10_000, 200, "float32")]
    return {
        "sizes": sizes,
        "N": 64,
        "E": 64,
        "ms": {k: [round(t[k], 5) for t in times] for k in times[0]},
        "scatter": [
            dict(zip("NVE", kind, strict=False)) | {"dtype": kind[3]} | scatter_ms(*kind) for kind in kinds
        ],
    }


def record_absent():
    """Distances moved by the vectors of absent words: ``book/results/embeddings-absent.json``.

    Each is the mean norm of a word's displacement as a share of the vectors' mean length, by optimiser, tied
    or not, and seed.
    """
    moved = {}
    runs = [(name, tied) for name in OPTIMISERS for tied in (False, True)]
    for name, tied in tqdm(runs):
        found = [absence(name, tied, seed) for seed in range(SETTINGS["seeds"])]
        moved[f"{name}, {'tied' if tied else 'untied'}"] = {
            "never": [round(a.shares()[0], 6) for a in found],
            "since": [round(a.shares()[1], 6) for a in found],
            "loss": [round(float(a.loss), 5) for a in found],
        }
    return {**SETTINGS, "moved": moved}


def learn(seed, lossy, optimiser, steps=200, places=12):
    """Train the untied model on the tales, with or without the mistake ``dE[ids] += g``.

    Parameters
    ----------
    seed : int
        Draws the initial weights and the batches: they are the same with the mistake and without.
    lossy : bool
    optimiser : rnncourse.optim.SGD or rnncourse.optim.Adam
    steps : int
    places : int
        Sequences of a batch, and words of a sequence.

    Returns
    -------
    rnncourse.training.numpy.Trained
    """
    rng = np.random.default_rng(seed)
    params = model_init(rng, len(sentences()[1]), SETTINGS["E"], tied=False)
    batches = windows(rng, corpus([]), places, places)
    return train(functools.partial(model_loss, lossy=lossy), params, batches, optimiser, steps=steps)


def record_lost():
    """Loss with and without lost repeats by batch and optimiser: ``book/results/embeddings-lost.json``.

    Each loss is the mean of the 50 steps up to the one that is named.
    """
    runs = []
    for places, steps in ((12, [200, 400]), (24, [200])):
        for name, optimiser in {"SGD": SGD(1.0), "Adam": Adam(0.01)}.items():
            found = {
                kind: [
                    learn(seed, kind == "lossy", optimiser, steps[-1], places).history.loss
                    for seed in range(SETTINGS["seeds"])
                ]
                for kind in ("right", "lossy")
            }
            for step in steps:
                ends = {
                    kind: [round(float(loss[step - 50 : step].mean()), 5) for loss in losses]
                    for kind, losses in found.items()
                }
                runs.append({"optimiser": name, "places": places**2, "steps": step, **ends})
    return {"runs": runs}


GRAMMAR_CLASSES = "Noun.animal.sg", "Noun.animal.pl", "Noun.thing.sg", "Noun.thing.pl", "Verb.sg", "Verb.pl"


def grammar_classes(seed, steps=300, sample_size=1500):
    """Embeddings of a language model of the grammar, by classes of words that it cannot tell apart.

    Any word of a class may stand wherever another may, and says the same of what comes next; they differ in
    frequency alone.

    Parameters
    ----------
    seed : int
    steps, sample_size : int
        Steps of Adam, sentences to learn from.

    Returns
    -------
    start, end : pair of float
        Before and after training: mean cosine between two words of one class, and of two classes.
    """
    rng = np.random.default_rng(seed)
    found = [[*sample(rng).english, END] for _ in range(sample_size)]
    vocabulary = WordVocabulary.of(found)
    params = model_init(rng, len(vocabulary), SETTINGS["E"], tied=False)
    ids = np.concatenate([vocabulary.encode(words) for words in found])
    run = train(model_loss, params, windows(rng, ids, SETTINGS["B"], SETTINGS["T"]), Adam(0.01), steps=steps)
    kinds, members = zip(
        *((kind, vocabulary.id(word.english)) for kind in GRAMMAR_CLASSES for word in WORDS[kind]),
        strict=True,
    )
    same = np.array(kinds)[:, None] == np.array(kinds)
    pair = np.triu(np.ones_like(same), 1)

    def cosines(embedding):
        unit = embedding[list(members)] / np.linalg.norm(embedding[list(members)], axis=1, keepdims=True)
        return tuple(float((unit @ unit.T)[pair & kind].mean()) for kind in (same, ~same))

    return cosines(params.embedding), cosines(run.params.embedding)


RECORDS = {"cost": record_cost, "absent": record_absent, "lost": record_lost}
