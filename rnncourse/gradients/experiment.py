"""How far back can a network learn, from which initial weights, and what does clipping save?"""

from functools import partial
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from rnncourse._numerics import one_hot
from rnncourse.bptt.numpy import cross_entropy_backward, output_backward, rnn_backward
from rnncourse.data.memory import adding, parity, recall
from rnncourse.gradients.numpy import (
    angle,
    clip_by_value,
    identity_init,
    orthogonal_init,
    radius_init,
    sigmoid_as_tanh,
)
from rnncourse.optim import SGD, Adam
from rnncourse.rnn.numpy import (
    RNNParams,
    cross_entropy_forward,
    output_forward,
    output_init,
    rnn_forward,
    rnn_init,
)
from rnncourse.training.numpy import Diverged, train

START = {
    "uniform": (rnn_init, "tanh"),
    "orthogonal": (orthogonal_init, "tanh"),
    "identity": (identity_init, "relu"),
    "scaled": (radius_init, "tanh"),
    "uniform, sigmoid": (rnn_init, "sigmoid"),
    "orthogonal, relu": (orthogonal_init, "relu"),
    "identity, tanh": (identity_init, "tanh"),
    "scaled, relu": (radius_init, "relu"),
}
"""Initial weights, and the nonlinearity that they go with."""
RECALL = {"H": 16, "B": 32, "V": 2, "lr": 0.005, "clip": 1.0, "steps": 400, "seeds": 10, "held_out": 1000}
DELAYS = [2, 4, 6, 8, 10, 12, 15, 20, 30, 40, 60, 80]
LONGER = {"steps": 1600, "delays": [8, 10, 12, 15, 20, 30, 40]}
SHORT = {"lr": 0.1, "delays": DELAYS[:8]}
"""The networks that forget sooner; the rate is that of plain gradient descent."""
ADDING = {"H": 32, "B": 32, "lr": 0.005, "clip": 1.0, "steps": 1500, "seeds": 8, "lengths": [10, 20, 50]}
RECIPES = "uniform", "scaled", "orthogonal", "identity"
CONTROLS = "orthogonal, relu", "identity, tanh", "scaled, relu"
PATIENT = {"lr": 0.001, "steps": 8000, "seeds": 3}
"""Orthogonal tanh networks on the adding problem at a lower rate, for longer."""
EXPLODING = {
    "H": 32,
    "B": 32,
    "T": 50,
    "lr": 0.01,
    "norm": 1.0,
    "value": 0.029,  # 1 / sqrt(n) for all n = 1,185 elements: no norm above 1 comes out
    "large value": 1.0,
    "steps": 1000,
    "seeds": 8,
    "each": 50,
}
PARITY = {"H": 8, "B": 64, "lr": 0.005, "clip": 1.0, "steps": 3000, "seeds": 10, "last_T": 50}
NUDGED = {"seed": 3, "by": [1e-9, 2e-9, 3e-9]}


def classify(h_T, y, output_params):
    """Cross-entropy of the classes y (B,) from the last states, dL/dh_T, the output layer's gradients."""
    logits, output_cache = output_forward(h_T[None], output_params)
    loss, loss_cache = cross_entropy_forward(logits, y[None])
    dh, doutput_params = output_backward(cross_entropy_backward(1.0, loss_cache), output_cache)
    return loss, dh[0], doutput_params


def regress(h_T, y, output_params):
    """Mean squared error of the numbers y (B,) from the last states, and the same gradients."""
    prediction, output_cache = output_forward(h_T[None], output_params)
    error = prediction[0, :, 0] - y
    dh, doutput_params = output_backward((2 * error / len(y))[None, :, None], output_cache)
    return (error**2).mean(), dh[0], doutput_params


def last_state_loss(params, batch, read, nonlinearity="tanh"):
    """Loss of a readout of the last state, `classify` or `regress`, and all gradients: for `train`."""
    x, y = batch
    h_T, cache = _last_state(x, params[0], nonlinearity)
    loss, dh_T, doutput_params = read(h_T, y, params[1])
    if nonlinearity == "sigmoid":
        dh_T = dh_T / 2
    _, _, dparams = rnn_backward(np.zeros((len(x), *dh_T.shape), dh_T.dtype), dh_T, cache)
    if nonlinearity == "sigmoid":  # back through `sigmoid_as_tanh`
        dweight_ih, dweight_hh, dbias_ih, dbias_hh = dparams
        shifted = dweight_hh + dbias_hh[:, None]
        dparams = RNNParams(dweight_ih / 2, shifted / 4, dbias_ih / 2, dbias_hh / 2)
    return loss, (dparams, doutput_params)


def _last_state(x, params, nonlinearity):
    """State after the last step, from h_0 = 0, and the cache of ``rnn_forward``."""
    h_0 = np.zeros((x.shape[1], len(params.bias_hh)), x.dtype)
    if nonlinearity != "sigmoid":
        return rnn_forward(x, h_0, params, nonlinearity)[1:]
    _, g_T, cache = rnn_forward(x, h_0 - 1, sigmoid_as_tanh(params))
    return (1 + g_T) / 2, cache


def _said(x, params, nonlinearity="tanh"):
    """The likeliest class after the last step."""
    h_T, _ = _last_state(x, params[0], nonlinearity)
    return output_forward(h_T[None], params[1])[0][0].argmax(-1)


def learn_recall(seed, delay, start, steps=RECALL["steps"], optimiser=None):
    """Train a network to say the first of delay + 1 random bits after the last of them.

    The settings stand in ``RECALL``; the optimiser is Adam if none is given.

    Returns
    -------
    accuracy : float
        On fresh sequences.
    history : rnncourse.training.numpy.History
    """
    s, (init, nonlinearity) = RECALL, START[start]
    rng = np.random.default_rng(seed)
    params = init(rng, s["V"], s["H"]), output_init(rng, s["H"], s["V"])

    def draw(B):
        x, y, _ = recall(rng, delay, delay + 1, B, s["V"])
        return one_hot(x, s["V"]), y[-1]

    loss = partial(last_state_loss, read=classify, nonlinearity=nonlinearity)
    batches = (draw(s["B"]) for _ in range(steps))
    optimiser = optimiser or Adam(s["lr"])
    trained = train(loss, params, batches, optimiser, clip=s["clip"], progress=False)
    x, y = draw(s["held_out"])
    return float((_said(x, trained.params, nonlinearity) == y).mean()), trained.history


def record_recall():
    """Accuracy by initial weights, delay and seed: ``book/results/gradients-recall.json``."""
    seeds = range(RECALL["seeds"])

    def accuracies(start, delays, **budget):
        return [
            [learn_recall(seed, delay, start, **budget)[0] for seed in seeds]
            for delay in tqdm(delays, f"recall, {start}")
        ]

    return {
        "settings": RECALL,
        "delays": DELAYS,
        "accuracy": {start: accuracies(start, DELAYS) for start in ("uniform", "orthogonal", "identity")},
        "longer": LONGER | {"accuracy": accuracies("uniform", LONGER["delays"], steps=LONGER["steps"])},
        "short": SHORT
        | {
            "sigmoid": accuracies("uniform, sigmoid", SHORT["delays"]),
            "SGD": accuracies("uniform", SHORT["delays"], optimiser=SGD(SHORT["lr"])),
        },
    }


class ClippedByValue(NamedTuple):
    """An optimiser that clips by value first, so that `train` records the norm before clipping."""

    optimiser: SGD | Adam
    threshold: float
    turned: list
    """Gets the angle between each gradient and what is left of it, in degrees."""

    def init(self, params):
        """State of the optimiser before the first step."""
        return self.optimiser.init(params)

    def step(self, params, gradients, state):
        """Clip, and take a step."""
        clipped = clip_by_value(gradients, self.threshold)
        self.turned.append(angle(gradients, clipped))
        return self.optimiser.step(params, clipped, state)


def learn_adding(seed, T, start, optimiser, steps, clip=None, H=32, B=32):
    """Train a network on the adding problem; a run that diverges ends there.

    Parameters
    ----------
    seed, T : int
    start : str
        A key of ``START``.
    optimiser : rnncourse.optim.SGD or Adam, or ClippedByValue
    steps : int
    clip : float, optional
        Threshold of clipping by norm.
    H, B : int

    Returns
    -------
    rnncourse.training.numpy.Trained
        Its gradient norms are those before clipping.
    """
    init, nonlinearity = START[start]
    rng = np.random.default_rng(seed)
    params = init(rng, 2, H), output_init(rng, H, 1)
    loss = partial(last_state_loss, read=regress, nonlinearity=nonlinearity)

    batches = (adding(rng, T, B) for _ in range(steps))
    try:
        return train(loss, params, batches, optimiser, clip=clip, progress=False)
    except Diverged as diverged:
        return diverged.trained


def _means(values, pieces):
    return [float(f"{part.mean():.4g}") for part in np.array_split(values, pieces)]


def record_adding():
    """Loss by length, initial weights and seed: ``book/results/gradients-adding.json``.

    Curves are means over 30 equal stretches of training.
    """
    s = ADDING

    def curve(seed, T, start, lr=s["lr"], steps=s["steps"], clip=s["clip"]):
        return _means(learn_adding(seed, T, start, Adam(lr), steps, clip).history.loss, 30)

    def curves(start, T, seeds=s["seeds"], **budget):
        return [curve(seed, T, start, **budget) for seed in tqdm(range(seeds), f"adding, {start}, {T}")]

    last = s["lengths"][-1]
    return {
        "settings": s,
        "loss": {start: [curves(start, T) for T in s["lengths"]] for start in RECIPES},
        "controls": {start: curves(start, last) for start in CONTROLS},
        "unclipped": curves("identity", last, clip=None),
        "patient": PATIENT | {"loss": curves("orthogonal", last, **PATIENT)},
    }


def exploding_run(seed, how, steps=EXPLODING["steps"]):
    """The adding problem from the identity with plain gradient descent: a run in which gradients explode.

    Parameters
    ----------
    seed : int
    how : {"none", "norm", "value", "large value"}
        What is clipped; the thresholds stand in ``EXPLODING``.
    steps : int

    Returns
    -------
    trained : rnncourse.training.numpy.Trained
        Its gradient norms are those before clipping.
    turned : list of float
        With clipping by value, the angle by which it turned each step's gradient, in degrees.
    """
    s, turned = EXPLODING, []
    optimiser = SGD(s["lr"])
    if how in ("value", "large value"):
        optimiser = ClippedByValue(optimiser, s[how], turned)
    clip = s["norm"] if how == "norm" else None
    with np.errstate(over="ignore", invalid="ignore"):  # train stops where a number is not finite
        return learn_adding(seed, s["T"], "identity", optimiser, steps, clip), turned


def units_on(params):
    """Share of the ReLU units that are on after the last step, over 100 sequences of the adding problem."""
    x, _ = adding(np.random.default_rng(1), EXPLODING["T"], 100)
    return float((_last_state(x, params[0], "relu")[0] > 0).mean())


def record_exploding():
    """Runs without clipping and clipped in three ways: ``book/results/gradients-exploding.json``.

    Loss and gradient norm (before clipping) of each of the first 50 steps, then of every tenth; what is left
    at the end.
    """
    s = EXPLODING
    shown = [*range(s["each"]), *range(s["each"], s["steps"], 10)]

    def entry(seed, how):
        trained, turned = exploding_run(seed, how)
        history = trained.history
        return {
            "steps": len(history.loss),
            "loss": [float(f"{history.loss[i]:.4g}") for i in shown if i < len(history.loss)],
            "norm": [float(f"{history.gradient_norm[i]:.4g}") for i in shown if i < len(history.loss)],
            "last_loss": float(f"{history.loss[-100:].mean():.4g}"),
            "units_on": round(units_on(trained.params), 4),
            "turned": [round(float(np.mean(part)), 2) for part in (turned[: s["each"]], turned) if part],
        }

    runs = {
        how: [entry(seed, how) for seed in tqdm(range(s["seeds"]), f"clipped: {how}")]
        for how in ("none", "norm", "value", "large value")
    }
    return {"settings": s, "shown": shown, "runs": runs}


def clipped_parity(seed, clip=PARITY["clip"], steps=PARITY["steps"], lr=PARITY["lr"]):
    """The curriculum of :func:`rnncourse.rnn.experiment.learn_parity`, with clipping.

    Returns
    -------
    T : (steps,) array of int
        Sequence length at each step.
    accuracy : (steps,) array
        Share of the batch's last labels that were right.
    history : rnncourse.training.numpy.History
    """
    s = PARITY
    rng = np.random.default_rng(seed)
    params = rnn_init(rng, 1, s["H"]), output_init(rng, s["H"], 2)
    lengths, accuracy, running = [1], [], 0.5

    def batches():
        for _ in range(steps):
            x, y = parity(rng, lengths[-1], s["B"])
            yield x, y[-1]

    def loss(params, batch):
        nonlocal running
        accuracy.append((_said(batch[0], params) == batch[1]).mean())
        running += (accuracy[-1] - running) / 20
        grows = running > 0.95 and lengths[-1] < s["last_T"]
        running = 0.5 if grows else running
        lengths.append(lengths[-1] + grows)
        return last_state_loss(params, batch, classify)

    trained = train(loss, params, batches(), Adam(lr), clip=clip, progress=False)
    return np.array(lengths[:-1]), np.array(accuracy), trained.history


def record_parity():
    """The curriculum of the chapter on parity, clipped: ``book/results/gradients-parity.json``.

    One seed once more for each of three rates that differ from the rate in the ninth digit.
    """

    def entry(seed, by=0.0):
        T, accuracy, history = clipped_parity(seed, lr=PARITY["lr"] * (1 + by))
        return {
            "seed": seed,
            "reached": int(T.max()),
            "accuracy": round(float(accuracy[-100:].mean()), 4),
            "clipped": round(float((history.gradient_norm > PARITY["clip"]).mean()), 4),
        }

    runs = [entry(seed) for seed in tqdm(range(PARITY["seeds"]), "parity")]
    nudged = [entry(NUDGED["seed"], by) for by in tqdm(NUDGED["by"], "parity, rate nudged")]
    return {"settings": PARITY | NUDGED, "runs": runs, "nudged": nudged}


RECORDS = {
    "recall": record_recall,
    "adding": record_adding,
    "exploding": record_exploding,
    "parity": record_parity,
}
