"""A small language model of the tales, and the studies of learning rate, settings, seeds and overfitting."""

import functools
import re
from collections import Counter
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from rnncourse.bptt.numpy import cross_entropy_backward, output_backward, rnn_backward
from rnncourse.data.tales import tales_text
from rnncourse.data.text import Vocabulary
from rnncourse.embeddings.numpy import EmbeddingCache, embedding_backward
from rnncourse.gru.numpy import gru_backward, gru_forward, gru_init
from rnncourse.lstm.numpy import lstm_backward, lstm_forward, lstm_init
from rnncourse.optim import SGD, Adam
from rnncourse.optim._tree import tree_leaves
from rnncourse.rnn.numpy import (
    cross_entropy_forward,
    output_forward,
    output_init,
    rnn_forward,
    rnn_init,
)
from rnncourse.training.numpy import Diverged, train

CELLS = {
    "rnn": (rnn_init, rnn_forward, rnn_backward),
    "gru": (gru_init, gru_forward, gru_backward),
    "lstm": (lstm_init, lstm_forward, lstm_backward),
}


def model_init(rng, cell, V, E, H, layers=1, dtype=np.float64):
    """Parameters of a language model: embedding (V, E), recurrent layers of width H, output layer.

    The embedding's elements are normal with variance 16 / E, so that the squared norm of a row is 16 on
    average at every E, and what the first layer reads does not grow with E.
    """
    init, _, _ = CELLS[cell]
    embedding = (np.sqrt(16 / E) * rng.normal(size=(V, E))).astype(dtype)
    stack = tuple(init(rng, E if i == 0 else H, H, dtype=dtype) for i in range(layers))
    return embedding, stack, output_init(rng, H, V, dtype)


def model_loss(cell, params, batch, drop=0.0, rng=None, backward=True):
    """Mean cross-entropy of the next id in nats, and its gradients; every sequence starts with zero state.

    With `drop`, each component of what the output layer reads is zero with this probability, drawn afresh at
    each step, and the others are divided by 1 - drop. Without `backward` there are no gradients.
    """
    x, y = batch
    embedding, stack, output_params = params
    _, forward, send_back = CELLS[cell]
    layer, caches = embedding[x], []
    for weights in stack:
        zero = np.zeros((x.shape[1], weights.weight_hh.shape[1]), layer.dtype)
        state = (zero, zero) if cell == "lstm" else zero
        layer, _, cache = forward(layer, state, weights)
        caches.append(cache)
    keep = (
        np.ones_like(layer)
        if not drop
        else (rng.random(layer.shape) >= drop).astype(layer.dtype) / (1 - drop)
    )
    logits, output_cache = output_forward(layer * keep, output_params)
    loss, loss_cache = cross_entropy_forward(logits, y)
    if not backward:
        return loss
    dlayer, doutput_params = output_backward(cross_entropy_backward(1.0, loss_cache), output_cache)
    dlayer, dstack = dlayer * keep, []
    for cache in reversed(caches):
        zero = np.zeros_like(dlayer[0])
        dlayer, _, dweights = send_back(dlayer, (zero, zero) if cell == "lstm" else zero, cache)
        dstack.insert(0, dweights)
    dembedding = embedding_backward(dlayer, EmbeddingCache(x, embedding, None))
    return loss, (dembedding, tuple(dstack), doutput_params)


def windows(rng, ids, B, T):
    """Endless batches of B random windows of T ids; the target is the next id."""
    while True:
        starts = rng.integers(0, len(ids) - T, B)
        window = ids[starts + np.arange(T + 1)[:, None]]
        yield window[:-1], window[1:]


def held_out(ids, B, T):
    """One batch of B windows, evenly spaced over `ids`."""
    starts = np.linspace(0, len(ids) - T - 1, B).astype(int)
    window = ids[starts + np.arange(T + 1)[:, None]]
    return window[:-1], window[1:]


@functools.cache
def characters():
    """The tales as character ids: training part, last tenth, number of characters."""
    text = tales_text()
    vocabulary = Vocabulary.of(text)
    ids = vocabulary.encode(text)
    cut = len(ids) * 9 // 10
    return ids[:cut], ids[cut:], len(vocabulary)


@functools.cache
def words(V=1000):
    """The tales as ids of the most frequent words and marks, 0 for all others: training part, last tenth."""
    tokens = re.findall(r"[a-z']+|[.,;:!?\"]", tales_text().lower())
    frequent = [token for token, _ in Counter(tokens).most_common(V - 1)]
    number = {token: i for i, token in enumerate(frequent, start=1)}
    ids = np.array([number.get(token, 0) for token in tokens])
    cut = len(ids) * 9 // 10
    return ids[:cut], ids[cut:], V


class Setting(NamedTuple):
    """What a study varies; the rest is the same for all its runs."""

    cell: str = "lstm"
    H: int = 32
    E: int = 16
    layers: int = 1
    lr: float = 0.01


def parameters(params):
    """How many numbers a tree of parameters holds."""
    return sum(leaf.size for _, leaf in tree_leaves(params))


def learn(
    setting,
    seed,
    steps=300,
    data=characters,
    B=16,
    T=32,
    clip=1.0,
    sgd=False,
    drop=0.0,
    every=None,
    first=None,
    dtype=np.float32,
):
    """Train one language model from one seed; the evaluation is the loss on 128 windows of the last tenth.

    With `first`, only so many ids of the training part are used. Called again with the same arguments, it
    returns the same numbers.

    Returns
    -------
    Trained
    """
    weights_rng, batch_rng, drop_rng = np.random.default_rng(seed).spawn(3)
    training, last, V = data()
    held = held_out(last, 128, 64)
    params = model_init(weights_rng, setting.cell, V, setting.E, setting.H, setting.layers, dtype)
    return train(
        lambda params, batch: model_loss(setting.cell, params, batch, drop, drop_rng),
        params,
        windows(batch_rng, training[:first], B, T),
        (SGD if sgd else Adam)(setting.lr),
        steps=steps,
        clip=clip,
        evaluate=lambda params: model_loss(setting.cell, params, held, backward=False),
        every=every or steps,
        description=f"{setting} seed {seed}",
    )


RATES = {"adam": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1], "sgd": [0.03, 0.1, 0.3, 1, 3, 10, 30, 100]}
CHOICE_SEEDS = range(100, 103)


def record_rate():
    """Held-out loss after 200 steps by learning rate, eight seeds: Adam on an LSTM, SGD on a tanh network.

    SGD runs with and without clipping. None stands for a run that ended in Diverged or above 20 nats.
    """

    def end(*arguments, **settings):
        try:
            value = float(learn(*arguments, steps=200, **settings).history.evaluation[-1])
        except (Diverged, ValueError):
            return None
        return round(value, 4) if value < 20 else None

    def row(setting, **settings):
        return [end(setting, seed, **settings) for seed in range(8)]

    adam = [row(Setting(lr=lr)) for lr in tqdm(RATES["adam"], "Adam")]
    plain = [row(Setting("rnn", lr=lr), sgd=True, clip=None) for lr in tqdm(RATES["sgd"], "SGD")]
    clipped = [row(Setting("rnn", lr=lr), sgd=True) for lr in tqdm(RATES["sgd"], "SGD, clipped")]
    return {"rates": RATES, "adam": adam, "sgd": plain, "sgd_clipped": clipped}


STUDY = {
    "LSTM, 32 units": Setting(),
    "GRU, 32 units": Setting("gru"),
    "tanh, 32 units": Setting("rnn"),
    "GRU, 37 units": Setting("gru", 37),
    "tanh, 60 units": Setting("rnn", 60),
    "LSTM, 64 units": Setting(H=64),
    "LSTM, 2 layers of 21": Setting(H=21, layers=2),
    "LSTM, embedding 4": Setting(E=4),
    "LSTM, embedding 64": Setting(E=64),
}
"""GRU of 37, tanh network of 60 and two layers of 21 have as many parameters as the LSTM of 32, to 1%."""
EQUAL = "LSTM, 32 units", "GRU, 37 units", "tanh, 60 units"


def choose(setting, rates, **settings):
    """Final held-out losses of three seeds by learning rate, and the rate with the lowest mean."""
    losses = {
        lr: [final(learn(setting._replace(lr=lr), seed, **settings)) for seed in CHOICE_SEEDS] for lr in rates
    }
    return losses, min(losses, key=lambda lr: np.mean(losses[lr]))


def final(trained):
    """The last evaluation, rounded."""
    return round(float(trained.history.evaluation[-1]), 4)


STUDY_RATES = 0.005, 0.01, 0.02, 0.04, 0.08


def record_study():
    """Held-out loss after 300 steps for each setting of ``STUDY``.

    Its learning rate is chosen by three seeds (100 to 102); the result is that of seeds 0 to 9 at this rate.
    The first three cells of equal size also run with seeds 0 to 9 at 0.01.
    """
    rows = []
    for name, setting in tqdm(STUDY.items(), "study"):
        choice, best = choose(setting, STUDY_RATES)
        rates = {best, 0.01} if name in EQUAL else {best}
        loss = {
            str(lr): [final(learn(setting._replace(lr=lr), seed)) for seed in range(10)]
            for lr in sorted(rates)
        }
        rows.append(
            {
                "name": name,
                **setting._asdict(),
                "lr": best,
                "parameters": count(setting),
                "choice": {str(lr): values for lr, values in choice.items()},
                "loss": loss,
            }
        )
    return {"steps": 300, "rows": rows}


def count(setting):
    """Number of parameters of the character model with this setting."""
    _, _, V = characters()
    rng = np.random.default_rng(0)
    return parameters(model_init(rng, setting.cell, V, setting.E, setting.H, setting.layers))


def record_words():
    """Held-out loss after 300 steps, words, by embedding size: LSTM of 32 units.

    The learning rate of each size is chosen by three seeds (100 to 102), the result is that of seeds 0 to 7.
    """
    rows = []
    for E in tqdm([4, 16, 50, 200, 300], "words"):
        settings = {"data": words, "T": 16}
        choice, best = choose(Setting(E=E), STUDY_RATES, **settings)
        loss = [final(learn(Setting(E=E, lr=best), seed, **settings)) for seed in range(8)]
        rows.append(
            {"E": E, "lr": best, "choice": {str(lr): values for lr, values in choice.items()}, "loss": loss}
        )
    return {"steps": 300, "V": 1000, "rows": rows}


def record_stopping():
    """Training and held-out loss on 4,000 characters by dropout and clipping, LSTM of 64 units, 400 steps.

    Eight seeds each. Also the share of steps whose gradient's norm was above the threshold, and the median
    of the norms after the first hundred steps.
    """
    runs = []
    for drop, clip in ((0.0, 1.0), (0.25, 1.0), (0.5, 1.0), (0.0, 0.2), (0.5, 0.2)):
        for seed in tqdm(range(8), f"dropout {drop}, clip {clip}"):
            history = learn(Setting(H=64), seed, 400, drop=drop, clip=clip, every=20, first=4000).history
            runs.append(
                {
                    "drop": drop,
                    "clip": clip,
                    "seed": seed,
                    "training": history.loss.reshape(20, 20).mean(1).round(4).tolist(),
                    "held_out": history.evaluation.round(4).tolist(),
                    "clipped": round(float((history.gradient_norm > clip).mean()), 4),
                    "norm": round(float(np.median(history.gradient_norm[100:])), 4),
                }
            )
    return {"steps": 400, "every": 20, "characters": 4000, "runs": runs}


RECORDS = {"rate": record_rate, "study": record_study, "words": record_words, "stopping": record_stopping}
