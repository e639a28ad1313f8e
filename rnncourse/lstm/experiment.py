"""Does the cell remember, what does the forget bias do, and what do a character model's units hold?"""

import numpy as np
from tqdm import tqdm

from rnncourse._numerics import one_hot
from rnncourse.bptt.numpy import cross_entropy_backward, output_backward, rnn_backward
from rnncourse.data.memory import adding, copy_memory
from rnncourse.lstm.character import (
    ablate,
    correlations,
    inside_quotes,
    pack,
    probe,
    quote_scores,
    read_text,
    split_text,
    train_characters,
    unpack,
)
from rnncourse.lstm.numpy import half_life, lstm_backward, lstm_forward, lstm_init
from rnncourse.optim import Adam
from rnncourse.rnn.numpy import cross_entropy_forward, output_forward, output_init, rnn_forward, rnn_init
from rnncourse.training.numpy import train

SEEDS = 8
ADDING = {"T": 50, "B": 32, "H": 24, "steps": 1200, "lr": 0.01, "clip": 1.0}
COPY = {"lag": 20, "length": 3, "symbols": 8, "B": 32, "H": 32, "steps": 1200, "lr": 0.01, "clip": 1.0}
LONG_COPY = COPY | {"length": 10, "lr": 0.005}
CHARACTERS = {"H": 96, "epochs": 24, "T": 64, "B": 32, "lr": 0.004, "forget_bias": 1.0, "seeds": 3}
LATCH = {"T": 12, "B": 64, "H": 1, "steps": 2000, "lr": 0.03, "clip": 1.0}
CELLS = ("rnn", 0, 1, 4)
"""The plain network, and LSTMs by the bias added to the forget gate."""


def new_layer(rng, cell, D, H):
    """Parameters of a tanh network ("rnn"), or of an LSTM with this forget bias; "4 shut" has i at -4 too."""
    if cell == "rnn":
        return rnn_init(rng, D, H)
    bias, _, shut = str(cell).partition(" ")
    params = lstm_init(rng, D, H, forget_bias=int(bias))
    if shut:
        params.bias_ih[:H] -= 4
    return params


def run_layer(x, params):
    """States of a layer from a zero state, and a function from their gradient to that of the parameters."""
    zeros = np.zeros((x.shape[1], params.weight_hh.shape[1]), x.dtype)
    if len(params.weight_hh) == params.weight_hh.shape[1]:
        output, _, cache = rnn_forward(x, zeros, params)
        return output, lambda doutput: rnn_backward(doutput, zeros, cache)[2]
    output, _, cache = lstm_forward(x, (zeros, zeros), params)
    return output, lambda doutput: lstm_backward(doutput, (zeros, zeros), cache)[2]


def adding_loss(params, batch):
    """Mean squared error of the sum, read from the last state, and its gradients."""
    x, y = batch
    output, backward = run_layer(x, params[0])
    answer, cache = output_forward(output[-1:], params[1])
    error = answer[0, :, 0] - y
    dlast, doutput_params = output_backward((2 * error / len(y))[None, :, None], cache)
    doutput = np.zeros_like(output)
    doutput[-1] = dlast[0]
    return float((error**2).mean()), (backward(doutput), doutput_params)


def copy_loss(params, batch):
    """Mean cross-entropy of the copying problem and its gradients."""
    ids, targets = batch
    output, backward = run_layer(one_hot(ids, params[1].weight.shape[0] + 1), params[0])
    logits, cache = output_forward(output, params[1])
    loss, loss_cache = cross_entropy_forward(logits, targets)
    doutput, doutput_params = output_backward(cross_entropy_backward(1.0, loss_cache), cache)
    return loss, (backward(doutput), doutput_params)


def train_adding(seed, cell, steps=None):
    """Train on the adding problem, a fresh batch each step; return the loss of each step."""
    s, rng = ADDING, np.random.default_rng(seed)
    params = new_layer(rng, cell, 2, s["H"]), output_init(rng, s["H"], 1)
    batches = iter(lambda: adding(rng, s["T"], s["B"]), None)
    steps = steps or s["steps"]
    trained = train(adding_loss, params, batches, Adam(s["lr"]), steps=steps, clip=s["clip"], progress=False)
    return trained.history.loss


def train_copy(seed, cell, steps=None, settings=COPY):
    """Train on the copying problem, a fresh batch each step; return the loss of each step."""
    s, rng = settings, np.random.default_rng(seed)
    V = s["symbols"] + 2
    # The delimiter is read but never said.
    params = new_layer(rng, cell, V, s["H"]), output_init(rng, s["H"], V - 1)
    batches = iter(lambda: copy_memory(rng, s["lag"], s["length"], s["symbols"], s["B"]), None)
    steps = steps or s["steps"]
    trained = train(copy_loss, params, batches, Adam(s["lr"]), steps=steps, clip=s["clip"], progress=False)
    return trained.history.loss


def latch(rng, T, B):
    """A number to carry through noise: what came with the first mark is the answer at the second.

    Returns
    -------
    x : (T, B, 3) array
        Numbers from -0.9 to 0.9, the mark "store" at one step of the first third, and the mark "ask" at one
        of the last third.
    y : (T, B) array
        The stored number at the step that asks, else 0.
    """
    x = np.zeros((T, B, 3))
    x[..., 0] = rng.uniform(-0.9, 0.9, (T, B))
    store, ask, columns = rng.integers(0, T // 3, B), rng.integers(2 * T // 3, T, B), np.arange(B)
    x[store, columns, 1] = x[ask, columns, 2] = 1
    y = np.zeros((T, B))
    y[ask, columns] = x[store, columns, 0]
    return x, y


def latch_loss(params, batch):
    """Squared error of the answers, summed over the steps, and its gradients."""
    x, y = batch
    output, backward = run_layer(x, params[0])
    answer, cache = output_forward(output, params[1])
    error = answer[..., 0] - y
    doutput, doutput_params = output_backward((2 * error / y.shape[1])[..., None], cache)
    return float((error**2).sum() / y.shape[1]), (backward(doutput), doutput_params)


def train_latch(seed, steps=None):
    """Train one unit on :func:`latch`; return the run."""
    s, rng = LATCH, np.random.default_rng(seed)
    params = lstm_init(rng, 3, s["H"], forget_bias=1.0), output_init(rng, s["H"], 1)
    batches = iter(lambda: latch(rng, s["T"], s["B"]), None)
    steps = steps or s["steps"]
    return train(latch_loss, params, batches, Adam(s["lr"]), steps=steps, clip=s["clip"], progress=False)


def quote_units(model, progress=None):
    """Which unit goes with quotations, and what does it do? Read on one half of a text, cut off on the other.

    Parameters
    ----------
    model : CharacterModel
    progress : bool, optional

    Returns
    -------
    dict
        ``correlation`` and ``half_life`` of each unit's cell on the first half of the held-out text,
        ``correlation_h`` of its hidden state and ``mean_h`` there, ``whole``, the scores of the model on the
        second half, and ``ablated``, the same without each unit. ``probe``: the share of characters of the
        second half of which a linear reader of all ``c``, or of all ``h``, fitted on the first, says rightly
        whether a quotation is open; ``base`` is the share of the commoner case.
    """
    first, second = split_text(split_text()[1], 0.5)
    reading, other = read_text(model, first), read_text(model, second)
    labels, truth = inside_quotes(first), inside_quotes(second)
    mean_h = reading.h.mean(axis=0)
    units = tqdm(range(len(mean_h)), "ablation", disable=None if progress is None else not progress)
    ablated = [quote_scores(ablate(model, unit, mean_h[unit]), second) for unit in units]
    return {
        "correlation": correlations(reading.c, labels),
        "correlation_h": correlations(reading.h, labels),
        "half_life": half_life(np.exp(np.log(reading.f).mean(axis=0))),
        "mean_h": mean_h,
        "whole": quote_scores(model, second),
        "ablated": {name: np.array([scores[name] for scores in ablated]) for name in ablated[0]},
        "probe": {
            "c": (probe(reading.c, labels)(other.c) == truth).mean(),
            "h": (probe(reading.h, labels)(other.h) == truth).mean(),
            "base": max(truth.mean(), 1 - truth.mean()),
        },
    }


def curves(run, settings, cells=CELLS, points=20):
    """Loss curves of all cells and seeds, as means over equal stretches of training."""
    steps = settings["steps"]
    found = {}
    for cell in cells:
        losses = [run(seed, cell) for seed in tqdm(range(SEEDS), f"{run.__name__}, {cell}")]
        means = np.array(losses).reshape(SEEDS, points, -1).mean(axis=2)
        found[str(cell)] = means.round(5).tolist()
    ends = (np.arange(points) + 1) * (steps // points)
    return {"settings": settings | {"seeds": SEEDS}, "step": ends.tolist(), "loss": found}


def record_adding():
    """The adding problem, eight seeds a cell: ``book/results/lstm-adding.json``."""
    return curves(train_adding, ADDING)


def record_shut():
    """The adding problem with shut input gates and three forget biases: ``book/results/lstm-shut.json``."""
    return curves(train_adding, ADDING, ("0 shut", "1 shut", "4 shut"))


def record_copy():
    """The copying problem, eight seeds a cell: ``book/results/lstm-copy.json``.

    Beside it ``long``: the mean loss of the last tenth in four seeds of one cell with ten symbols to keep, as
    in the literature.
    """
    s = LONG_COPY
    tail = s["steps"] // 10
    seeds = tqdm(range(4), "ten symbols")
    long = [float(train_copy(seed, 1, settings=s)[-tail:].mean()) for seed in seeds]
    return curves(train_copy, COPY) | {"long_settings": s, "long": np.round(long, 5).tolist()}


def record_latch():
    """Eight seeds of one unit that learns to carry a number: ``book/results/lstm-latch.json``.

    ``start`` is the mean loss of the first 100 steps, ``loss`` that of the last tenth, ``weights`` are those
    of the best seed, to three decimals.
    """
    runs = [train_latch(seed) for seed in tqdm(range(SEEDS), "latch")]
    tail = LATCH["steps"] // 10
    loss = [float(run.history.loss[-tail:].mean()) for run in runs]
    start = [float(run.history.loss[:100].mean()) for run in runs]
    lstm, output = runs[int(np.argmin(loss))].params
    weights = {name: p.round(3).tolist() for name, p in (lstm._asdict() | output._asdict()).items()}
    return {
        "settings": LATCH,
        "start": np.round(start, 5).tolist(),
        "loss": np.round(loss, 5).tolist(),
        "weights": weights,
    }


def record_characters():
    """Three seeds of the character model, their units, and the first model: ``lstm-characters.json``."""
    settings = {name: value for name, value in CHARACTERS.items() if name != "seeds"}
    models, seeds = [], []
    for seed in range(CHARACTERS["seeds"]):
        # What is studied is what is stored: the model with one byte a weight.
        models.append(pack(train_characters(seed, **settings)))
        units = quote_units(unpack(models[-1]))
        parts = {name: _rounded(units.pop(name)) for name in ("whole", "ablated", "probe")}
        # The loss on the same number of characters at the end of the text that it learnt from.
        text, held = split_text()
        parts["learnt"] = round(quote_scores(unpack(models[-1]), text[-len(held) :])["loss"], 5)
        parts["held_out"] = round(quote_scores(unpack(models[-1]), held)["loss"], 5)
        seeds.append({"seed": seed, **_rounded(units), **parts})
    return {"settings": CHARACTERS, "seeds": seeds, "model": models[0]}


def _rounded(arrays):
    return {name: np.round(array, 5).tolist() for name, array in arrays.items()}


RECORDS = {
    "adding": record_adding,
    "shut": record_shut,
    "copy": record_copy,
    "latch": record_latch,
    "characters": record_characters,
}
