"""Who counts? a^n b^n and a^n b^n c^n, learnt at small n and tested far beyond; and what a step costs."""

from functools import partial
from itertools import repeat
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from rnncourse._numerics import one_hot
from rnncourse.bptt.numpy import cross_entropy_backward, output_backward, rnn_backward
from rnncourse.data.memory import anbn, anbncn
from rnncourse.gru.machines import SYMBOLS
from rnncourse.gru.numpy import GRUParams, gru_backward, gru_forward, gru_init
from rnncourse.lstm.numpy import LSTMParams, lstm_backward, lstm_forward, lstm_init
from rnncourse.optim import Adam
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
from rnncourse.training.numpy import train

LANGUAGES = {"anbn": anbn, "anbncn": anbncn}
SETTINGS = {
    "H": 8,
    "wide_H": 10,  # a GRU with a few more parameters than the LSTM
    "n_train": 20,
    "n_test": 200,
    "steps": 2000,
    "lr": 0.01,
    "clip": 1.0,
    "forget_bias": 1.0,
    "seeds": 10,
}


class Cell(NamedTuple):
    """A recurrent layer that starts from a zero state, in one form for all kinds."""

    init: callable
    """(rng, D, H) -> params."""
    forward: callable
    """(x, params) -> hidden states (T, B, H), cache."""
    backward: callable
    """(dhidden states, cache) -> dparams."""
    params: type


def _zeros(x, params):
    return np.zeros((x.shape[1], params.weight_hh.shape[1]), x.dtype)


def _lstm_forward(x, params):
    output, _, cache = lstm_forward(x, (_zeros(x, params), _zeros(x, params)), params)
    return output, cache


def _lstm_backward(doutput, cache):
    return lstm_backward(doutput, (np.zeros_like(doutput[0]), np.zeros_like(doutput[0])), cache)[2]


def _gru_forward(x, params):
    output, _, cache = gru_forward(x, _zeros(x, params), params)
    return output, cache


def _gru_backward(doutput, cache):
    return gru_backward(doutput, np.zeros_like(doutput[0]), cache)[2]


def _relu_init(rng, D, H):
    """Identity recurrent weights and no bias, after Le, Jaitly and Hinton (2015)."""
    params = rnn_init(rng, D, H)
    return params._replace(weight_hh=np.eye(H), bias_ih=np.zeros(H), bias_hh=np.zeros(H))


def _relu_forward(x, params):
    output, _, cache = rnn_forward(x, _zeros(x, params), params, "relu")
    return output, cache


def _relu_backward(doutput, cache):
    return rnn_backward(doutput, np.zeros_like(doutput[0]), cache)[2]


CELLS = {
    "lstm": Cell(
        partial(lstm_init, forget_bias=SETTINGS["forget_bias"]), _lstm_forward, _lstm_backward, LSTMParams
    ),
    "gru": Cell(gru_init, _gru_forward, _gru_backward, GRUParams),
    "relu": Cell(_relu_init, _relu_forward, _relu_backward, RNNParams),
}


def encode(strings):
    """Strings as inputs, next symbols, and where the next symbol is determined.

    ``$`` is read first and predicted last. What follows an a may be another a or a b; after each other
    symbol only one can come.

    Parameters
    ----------
    strings : list of str
        Of a, b and c.

    Returns
    -------
    x : (T, B, 4) array
        One-hot, in the order of ``SYMBOLS``; zero-padded, T being the longest length plus one.
    targets : (T, B) array of int
        The next symbol.
    mask : (T, B) array of bool
        True where it is determined, False after an a and at padding.
    """
    T, B = max(map(len, strings)) + 1, len(strings)
    ids, targets, mask = np.zeros((T, B), int), np.zeros((T, B), int), np.zeros((T, B), bool)
    for column, string in enumerate(strings):
        steps = len(string) + 1
        ids[1:steps, column] = targets[: steps - 1, column] = [SYMBOLS.index(symbol) for symbol in string]
        mask[:steps, column] = ids[:steps, column] != SYMBOLS.index("a")
    return one_hot(ids, len(SYMBOLS)), targets, mask


def learn(kind, language, seed, H=SETTINGS["H"], steps=SETTINGS["steps"]):
    """Train one network on all strings up to ``n_train``, the whole batch at every step.

    Parameters
    ----------
    kind : {"lstm", "gru", "relu"}
    language : {"anbn", "anbncn"}
    seed : int
    H, steps : int
        Hidden size and training steps.

    Returns
    -------
    rnncourse.training.numpy.Trained
        Its parameters are a pair: of the recurrent layer and of the output layer.
    """
    cell, rng = CELLS[kind], np.random.default_rng(seed)
    x, targets, mask = encode(LANGUAGES[language](SETTINGS["n_train"]))

    def loss(params, _):
        output, cache = cell.forward(x, params[0])
        logits, output_cache = output_forward(output, params[1])
        value, loss_cache = cross_entropy_forward(logits, targets, mask)
        doutput, doutput_params = output_backward(cross_entropy_backward(1.0, loss_cache), output_cache)
        return value, (cell.backward(doutput, cache), doutput_params)

    params = cell.init(rng, len(SYMBOLS), H), output_init(rng, H, len(SYMBOLS))
    return train(
        loss,
        params,
        repeat(None),
        Adam(SETTINGS["lr"]),
        steps=steps,
        clip=SETTINGS["clip"],
        progress=False,
    )


def largest_n(kind, language, params, n_test=SETTINGS["n_test"]):
    """The largest n up to which every determined symbol of every string is predicted.

    Parameters
    ----------
    kind : {"lstm", "gru", "relu"}
    language : {"anbn", "anbncn"}
    params : pair
        Of the recurrent layer and of the output layer.
    n_test : int
        Where the test ends.

    Returns
    -------
    int
        From 0 to `n_test`.
    """
    x, targets, mask = encode(LANGUAGES[language](n_test))
    logits, _ = output_forward(CELLS[kind].forward(x, params[0])[0], params[1])
    right = ((logits.argmax(axis=-1) == targets) | ~mask).all(axis=0)
    return n_test if right.all() else int(right.argmin())


def record_counting():
    """All runs of the record ``book/results/gru-counting.json``, some four minutes.

    The weights of one run of the LSTM and of the GRU on a^n b^n are kept: the one with the median largest n
    (the lower of two; the first of equals).
    """
    H, wide_H = SETTINGS["H"], SETTINGS["wide_H"]
    runs = [(kind, language, H) for language in LANGUAGES for kind in CELLS] + [("gru", "anbn", wide_H)]
    results, weights = [], {}
    for kind, language, width in runs:
        trained = []
        for seed in tqdm(range(SETTINGS["seeds"]), f"{kind}, {language}, H = {width}"):
            run = learn(kind, language, seed, width)
            trained.append(run)
            results.append(
                {
                    "cell": kind,
                    "language": language,
                    "H": width,
                    "seed": seed,
                    "loss": float(f"{run.history.loss[-1]:.4g}"),
                    "largest_n": largest_n(kind, language, run.params),
                }
            )
        if kind != "relu" and language == "anbn" and width == H:
            reached = [result["largest_n"] for result in results[-len(trained) :]]
            median = int(np.argsort(reached, kind="stable")[(len(reached) - 1) // 2])
            weights[kind] = {"seed": median, **packed(trained[median].params)}
    return {"settings": SETTINGS, "runs": results, "weights": weights}


def packed(params):
    """Parameters of both layers as lists of numbers, eight decimals."""
    named = params[0]._asdict() | {f"output_{name}": p for name, p in params[1]._asdict().items()}
    return {name: p.round(8).tolist() for name, p in named.items()}


def unpacked(kind, weights):
    """The pair of parameters that :func:`packed` made into lists."""
    layer, output = CELLS[kind].params, OutputParams
    return (
        layer(*(np.array(weights[name]) for name in layer._fields)),
        output(*(np.array(weights[f"output_{name}"]) for name in output._fields)),
    )


def pass_seconds(H, T=50, B=16, D=32, repeats=9):
    """Wall time of a forward and backward pass in float32 by kind, the fastest of some that take turns."""
    rng = np.random.default_rng(0)
    x, doutput = (rng.normal(size=(T, B, size)).astype(np.float32) for size in (D, H))

    def pass_of(cell):
        params = cell.params(*(p.astype(np.float32) for p in cell.init(rng, D, H)))
        return lambda: cell.backward(doutput, cell.forward(x, params)[1])

    passes = [pass_of(cell) for cell in CELLS.values()]
    times = [[fastest(both, 1) for both in passes] for _ in range(repeats)]
    return dict(zip(CELLS, np.min(times, axis=0), strict=True))


def record_cost():
    """Time of a forward and backward pass by hidden size, in ms: ``book/results/gru-cost.json``."""
    sizes = [16, 32, 64, 128, 256, 512]
    seconds = [pass_seconds(H) for H in sizes]
    ms = {kind: [round(1e3 * times[kind], 4) for times in seconds] for kind in CELLS}
    return {"sizes": sizes, "T": 50, "B": 16, "D": 32, "dtype": "float32", "ms": ms}


RECORDS = {"counting": record_counting, "cost": record_cost}
