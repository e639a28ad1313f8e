"""What a lookup saves, how far absent words move, and what lost repeats cost."""

import functools
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from rnncourse.bptt.numpy import cross_entropy_backward, output_backward, rnn_backward
from rnncourse.data.tales import tales_text
from rnncourse.data.words import WordVocabulary, split_sentences
from rnncourse.embeddings.numpy import (
    RowGradient,
    adam_rows,
    embedding_backward,
    embedding_backward_rows,
    embedding_forward,
    embedding_init,
    tied_backward,
)
from rnncourse.optim import SGD, Adam
from rnncourse.record import fastest
from rnncourse.rnn.numpy import (
    OutputParams,
    RNNParams,
    cross_entropy_forward,
    output_forward,
    output_init,
    rnn_forward,
    rnn_init,
)
from rnncourse.training.experiment import windows
from rnncourse.training.numpy import train

END = "</s>"
SETTINGS = {"V": 600, "E": 24, "B": 12, "T": 12, "steps": 100, "words": 20, "seeds": 8, "decay": 0.001}


def cost_ms(V, N=64, E=64):
    """Wall times of the ways forward and back, in ms, float32.

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
        back`` for that of the rows alone. The one-hot vectors are made beforehand.
    """
    rng = np.random.default_rng(0)
    weight, ids = embedding_init(rng, V, E, dtype=np.float32), rng.integers(0, V, N)
    onehot = np.zeros((N, V), np.float32)
    onehot[np.arange(N), ids] = 1
    output, cache = embedding_forward(ids, weight)
    calls = {
        "product": lambda: onehot @ weight,
        "lookup": lambda: embedding_forward(ids, weight),
        "product back": lambda: onehot.T @ output,
        "sum back": lambda: embedding_backward(output, cache),
        "rows back": lambda: embedding_backward_rows(output, cache),
    }
    return {name: 1e3 * fastest(call, 25) for name, call in calls.items()}


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

    The embedding's elements have variance 1 / E, which gives logits of moderate size where the matrix is the
    output layer's too.
    """
    embedding, rnn = embedding_init(rng, V, E) / np.sqrt(E), rnn_init(rng, E, E)
    return (
        TiedParams(embedding, rnn, np.zeros(V))
        if tied
        else UntiedParams(embedding, rnn, output_init(rng, E, V))
    )


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


def absence(name, tied, seed, steps=None, data=None):
    """Train a language model while some of its words are absent.

    Twenty words never occur; twenty others occur in the first half of training and not in the second.

    Parameters
    ----------
    name : str
        A key of ``OPTIMISERS``.
    tied : bool
        Whether embedding and output layer are one matrix.
    seed : int
        Draws the words, the initial weights and the batches.
    steps : int, optional
        In each half.

    Returns
    -------
    Absence
    """
    steps = steps or SETTINGS["steps"]
    rng = np.random.default_rng(seed)
    chosen = draw_words(rng, 2 * SETTINGS["words"])
    never, since = chosen[: SETTINGS["words"]], chosen[SETTINGS["words"] :]
    optimiser, decay = OPTIMISERS[name]
    loss = functools.partial(model_loss, decay=decay)
    params = model_init(rng, len(sentences()[1]), SETTINGS["E"], tied)
    halves, state = [params], None
    for absent in (never, chosen):
        batches = windows(rng, corpus(absent), SETTINGS["B"], SETTINGS["T"])
        run = train(loss, halves[-1], batches, optimiser, steps=steps, state=state)
        halves.append(run.params)
        state = run.state
    start, middle, end = (half.embedding for half in halves)
    return Absence(run.history.loss[-20:].mean(), (end - start)[never], (end - middle)[since])


def record_cost():
    """Times of lookup and product by size of the vocabulary: ``book/results/embeddings-cost.json``."""
    sizes = [100, 1000, 10_000, 100_000]
    times = [cost_ms(V) for V in sizes]
    return {"sizes": sizes, "N": 64, "E": 64, "ms": {k: [round(t[k], 5) for t in times] for k in times[0]}}


def record_absent():
    """Distances moved by the vectors of absent words: ``book/results/embeddings-absent.json``.

    Each is the mean norm of a word's displacement, by optimiser, tied or not, and seed.
    """
    moved = {}
    runs = [(name, tied) for name in OPTIMISERS for tied in (False, True)]
    for name, tied in tqdm(runs):
        found = [absence(name, tied, seed) for seed in range(SETTINGS["seeds"])]
        moved[f"{name}, {'tied' if tied else 'untied'}"] = {
            "never": [round(float(np.linalg.norm(a.never, axis=1).mean()), 6) for a in found],
            "since": [round(float(np.linalg.norm(a.since, axis=1).mean()), 6) for a in found],
            "loss": [round(float(a.loss), 5) for a in found],
        }
    return {**SETTINGS, "moved": moved}


def learn(seed, lossy, optimiser, steps=200):
    """Train the untied model on the tales, with or without the mistake ``dE[ids] += g``.

    Parameters
    ----------
    seed : int
        Draws the initial weights and the batches: they are the same with the mistake and without.
    lossy : bool
    optimiser : rnncourse.optim.SGD or rnncourse.optim.Adam
    steps : int

    Returns
    -------
    rnncourse.training.loop.Trained
    """
    rng = np.random.default_rng(seed)
    params = model_init(rng, len(sentences()[1]), SETTINGS["E"], tied=False)
    batches = windows(rng, corpus([]), SETTINGS["B"], SETTINGS["T"])
    return train(functools.partial(model_loss, lossy=lossy), params, batches, optimiser, steps=steps)


def record_lost():
    """Loss with and without lost repeats, last 50 of 1,000 steps: ``book/results/embeddings-lost.json``."""
    kinds, steps = {"SGD": SGD(1.0), "Adam": Adam(0.01)}, 1000

    def last(seed, lossy, optimiser):
        return round(float(learn(seed, lossy, optimiser, steps).history.loss[-50:].mean()), 5)

    return {
        "steps": steps,
        "loss": {
            f"{name}, {'lossy' if lossy else 'right'}": [
                last(seed, lossy, optimiser) for seed in range(SETTINGS["seeds"])
            ]
            for name, optimiser in kinds.items()
            for lossy in (False, True)
        },
    }


RECORDS = {"cost": record_cost, "absent": record_absent, "lost": record_lost}
