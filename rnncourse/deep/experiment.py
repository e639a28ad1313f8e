"""What depth, a second direction, packing and dropout are worth, on small tasks."""

from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from rnncourse._numerics import one_hot
from rnncourse.bptt.numpy import cross_entropy_backward, output_backward
from rnncourse.data.tales import tales_text
from rnncourse.data.text import Vocabulary
from rnncourse.deep.numpy import (
    deep_backward,
    deep_forward,
    deep_init,
    dropout_mask,
    parameter_count,
)
from rnncourse.optim import Adam
from rnncourse.rnn.numpy import cross_entropy_forward, output_forward, output_init
from rnncourse.training.numpy import train


class Batch(NamedTuple):
    """A batch of padded sequences with a class at each step."""

    x: np.ndarray
    """(T, B, D)."""
    y: np.ndarray
    """(T, B) of int."""
    lengths: np.ndarray
    """(B,) of int: the steps whose class counts."""
    masks: list | None = None
    """Dropout between the layers."""
    packed: bool = True
    """Whether the network is told the lengths, too."""


def logits_of(params, batch):
    """Logits (T, B, V) at each step of `batch`, and what the backward pass needs."""
    lengths = batch.lengths if batch.packed else None
    output, _, cache = deep_forward(batch.x, None, params[0], lengths, batch.masks)
    logits, output_cache = output_forward(output, params[1])
    return logits, cache, output_cache


def real_steps(batch):
    """Mask (T, B) of the steps that count."""
    return np.arange(len(batch.x))[:, None] < batch.lengths


def tagging_loss(params, batch):
    """Mean cross-entropy of the steps that count, and its gradients: what ``train`` asks for."""
    logits, cache, output_cache = logits_of(params, batch)
    value, loss_cache = cross_entropy_forward(logits, batch.y, real_steps(batch))
    doutput, doutput_params = output_backward(cross_entropy_backward(1.0, loss_cache), output_cache)
    _, _, dparams = deep_backward(doutput, None, cache)
    return value, (dparams, doutput_params)


def accuracy(params, batch):
    """Share of right classes among the steps that count."""
    right = logits_of(params, batch)[0].argmax(-1) == batch.y
    return float(right[real_steps(batch)].mean())


def width(cell, D, V, layers, bidirectional, budget):
    """Largest hidden size with at most `budget` parameters in stack and output layer, and their number."""
    H, count = 0, 0
    while True:
        F = (1 + bidirectional) * (H + 1)
        more = parameter_count(cell, D, H + 1, layers, bidirectional) + V * (F + 1)
        if more > budget:
            return H, count
        H, count = H + 1, more


def network(rng, cell, D, V, layers, bidirectional, budget, forget_bias=0.0):
    """Draw a stack and its output layer with at most `budget` parameters; the bias is that of LSTM cells."""
    H, _ = width(cell, D, V, layers, bidirectional, budget)
    stack = deep_init(rng, cell, D, H, layers, bidirectional)
    if forget_bias:
        for p in (p for layer in stack for p in layer):
            p.bias_ih[H : 2 * H] += forget_bias
    return stack, output_init(rng, (1 + bidirectional) * H, V)


SYMBOLS = 5
AGAIN = {"T": 16, "B": 32, "budget": 1500, "lr": 0.01, "steps": 500, "seeds": 8, "pads": [0, 1, 2, 4, 8, 16]}


def will_come_again(rng, T, B, pads=0):
    """Random symbols; the class says whether the symbol comes again later in its sequence.

    Parameters
    ----------
    rng : np.random.Generator
    T, B : int
        Steps and sequences.
    pads : int
        Steps of padding after them, zeros.

    Returns
    -------
    Batch
    """
    ids = rng.integers(0, SYMBOLS, (T, B))
    same = ids[:, None] == ids
    later = np.triu(np.ones((T, T), bool), 1)[..., None]
    y = (same & later).any(1).astype(int)
    fill = ((0, pads), (0, 0))
    x = np.pad(one_hot(ids, SYMBOLS), (*fill, (0, 0)))
    return Batch(x, np.pad(y, fill), np.full(B, T))


def best_from_the_left(T):
    """Accuracy of the best guess by who knows the step and the past, but nothing to the right."""
    again = 1 - (1 - 1 / SYMBOLS) ** np.arange(T)
    return float(np.maximum(again, 1 - again).mean())


def learn_again(seed, bidirectional, steps=AGAIN["steps"], padded=False):
    """Train a one-layer GRU to say whether each symbol comes again, on sequences of one length.

    Parameters
    ----------
    seed : int
    bidirectional : bool
    steps : int
    padded : bool
        Whether each batch has padding, as many steps as drawn from 0 to the most that is tested, of which
        the network is not told. The loss leaves it out.

    Returns
    -------
    params : tuple
        Stack and output layer.
    """
    rng = np.random.default_rng(seed)
    params = network(rng, "gru", SYMBOLS, 2, 1, bidirectional, AGAIN["budget"])

    def batches():
        while True:
            pads = int(rng.integers(0, AGAIN["pads"][-1] + 1)) if padded else 0
            yield will_come_again(rng, AGAIN["T"], AGAIN["B"], pads)._replace(packed=not padded)

    trained = train(tagging_loss, params, batches(), Adam(AGAIN["lr"]), steps=steps, progress=False)
    return trained.params


def accuracy_with_pads(params, pads, packed):
    """Accuracy on 500 fresh sequences with `pads` steps of padding, the same sequences for every call."""
    batch = will_come_again(np.random.default_rng(12345), AGAIN["T"], 500, pads)
    return accuracy(params, batch._replace(packed=packed))


def record_again():
    """Both directions against one, and padding against packing: ``book/results/deep-again.json``."""
    runs = []
    for seed in tqdm(range(AGAIN["seeds"]), "again"):
        one, both = (learn_again(seed, bidirectional) for bidirectional in (False, True))
        careless = learn_again(seed, True, padded=True)
        runs.append(
            {
                "seed": seed,
                "one": round(accuracy_with_pads(one, 0, True), 4),
                "packed": [round(accuracy_with_pads(both, n, True), 4) for n in AGAIN["pads"]],
                "padded": [round(accuracy_with_pads(both, n, False), 4) for n in AGAIN["pads"]],
                "careless": [round(accuracy_with_pads(careless, n, False), 4) for n in AGAIN["pads"]],
            }
        )
    widths = [width("gru", SYMBOLS, 2, 1, both, AGAIN["budget"]) for both in (False, True)]
    return {"settings": AGAIN, "widths": widths, "runs": runs}


DEPTH = {
    "T": 40,
    "B": 16,
    "budget": 20_000,
    "forget_bias": 1.0,
    "clip": 1.0,
    "steps": 700,
    "every": 100,
    "seeds": 8,
    "layers": [1, 2, 3],
    "rates": [0.01, 0.02, 0.04, 0.08],
    "rate_seeds": [100, 101, 102],
    "rate_steps": 300,
}
DROPOUT = {"characters": 4000, "layers": 2, "budget": 40_000, "keep": 0.5, "steps": 500, "seeds": 8}
DROPOUT |= {"lr": 0.02} | {name: DEPTH[name] for name in ("T", "B", "clip", "every")}


class Text(NamedTuple):
    """The tales as ids."""

    train: np.ndarray
    held_out: np.ndarray
    V: int


def tales():
    """The tales as ids, the last tenth held out."""
    corpus = tales_text()
    vocabulary = Vocabulary.of(corpus)
    ids = vocabulary.encode(corpus)
    cut = len(ids) * 9 // 10
    return Text(ids[:cut], ids[cut:], len(vocabulary))


def windows(ids, starts, T, V):
    """Pieces of a text with the next character as the class, one a start."""
    pieces = ids[starts + np.arange(T + 1)[:, None]]
    return Batch(one_hot(pieces[:-1], V), pieces[1:], np.full(len(starts), T))


def held_out_loss(params, text, T):
    """Nats a character on 200 pieces of the held-out text, evenly spaced."""
    starts = np.linspace(0, len(text.held_out) - T - 1, 200).astype(int)
    batch = windows(text.held_out, starts, T, text.V)
    return float(cross_entropy_forward(logits_of(params, batch)[0], batch.y)[0])


def learn_tales(rng, params, text, steps, lr, mask_shape=None):
    """Train a stack on random pieces of the tales, each read from a zero state.

    Parameters
    ----------
    rng : np.random.Generator
    params : tuple
        Stack and output layer.
    text : Text
    steps : int
    lr : float
    mask_shape : tuple of int, optional
        Of a dropout mask between two layers.

    Returns
    -------
    list of float
        Held-out loss without dropout, nats a character: before training, then after every 100 steps.
    """
    T, B = DEPTH["T"], DEPTH["B"]
    starts = rng.integers(0, len(text.train) - T, (steps, B))

    def batches():
        for row in starts:
            masks = mask_shape and [dropout_mask(rng, mask_shape, DROPOUT["keep"]) for _ in params[0][1:]]
            yield windows(text.train, row, T, text.V)._replace(masks=masks)

    trained = train(
        tagging_loss,
        params,
        batches(),
        Adam(lr),
        clip=DEPTH["clip"],
        evaluate=lambda params: held_out_loss(params, text, T),
        every=DEPTH["every"],
        progress=False,
    )
    return trained.history.evaluation.tolist()


def learn_depth(seed, layers, text, lr, steps=DEPTH["steps"]):
    """Held-out losses of a stack of LSTM layers with the record's number of parameters."""
    rng = np.random.default_rng(seed)
    sizes = text.V, text.V, layers, False, DEPTH["budget"]
    params = network(rng, "lstm", *sizes, DEPTH["forget_bias"])
    return learn_tales(rng, params, text, steps, lr)


def record_depth():
    """One, two and three layers with as many parameters: ``book/results/deep-depth.json``.

    Each depth has the learning rate that is best for it in short trials with other seeds.
    """
    text, record = tales(), {"settings": DEPTH, "widths": [], "trials": [], "rates": [], "losses": []}
    for layers in tqdm(DEPTH["layers"], "depth"):
        trials = [
            [round(learn_depth(s, layers, text, lr, DEPTH["rate_steps"])[-1], 4) for s in DEPTH["rate_seeds"]]
            for lr in DEPTH["rates"]
        ]
        lr = DEPTH["rates"][int(np.mean(trials, axis=1).argmin())]
        losses = [np.round(learn_depth(s, layers, text, lr), 4).tolist() for s in range(DEPTH["seeds"])]
        record["widths"].append(width("lstm", text.V, text.V, layers, False, DEPTH["budget"]))
        record["trials"].append(trials)
        record["rates"].append(lr)
        record["losses"].append(losses)
    return record


def learn_with_dropout(seed, kind, text, steps=DROPOUT["steps"]):
    """Held-out losses of two LSTM layers that learn from a few characters only.

    Parameters
    ----------
    seed : int
    kind : {"none", "each step", "all steps"}
        Dropout between the layers: none, a mask for each step, one mask for all steps.
    text : Text
    steps : int

    Returns
    -------
    list of float
    """
    rng = np.random.default_rng(seed)
    small = text._replace(train=text.train[: DROPOUT["characters"]])
    params = network(rng, "lstm", text.V, text.V, DROPOUT["layers"], False, DROPOUT["budget"])
    H = params[0][0][0].weight_hh.shape[1]
    steps_of_mask = {"none": None, "each step": DROPOUT["T"], "all steps": 1}[kind]
    mask_shape = steps_of_mask and (steps_of_mask, DROPOUT["B"], H)
    return learn_tales(rng, params, small, steps, DROPOUT["lr"], mask_shape)


def record_dropout():
    """Dropout between two layers on a small text: ``book/results/deep-dropout.json``."""
    text = tales()
    losses = {
        kind: [np.round(learn_with_dropout(seed, kind, text), 4).tolist() for seed in range(DROPOUT["seeds"])]
        for kind in tqdm(["none", "each step", "all steps"], "dropout")
    }
    return {"settings": DROPOUT, "losses": losses}


RECORDS = {"again": record_again, "depth": record_depth, "dropout": record_dropout}
