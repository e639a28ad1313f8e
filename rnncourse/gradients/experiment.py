"""How far back can a network learn, from which initial weights, and what does clipping save?"""

from functools import partial

import numpy as np
from tqdm import tqdm

from rnncourse._numerics import one_hot
from rnncourse.bptt.numpy import cross_entropy_backward, output_backward, rnn_backward
from rnncourse.data.memory import adding, parity, recall
from rnncourse.gradients.numpy import clip_by_value, identity_init, orthogonal_init
from rnncourse.optim import SGD, Adam
from rnncourse.rnn.numpy import cross_entropy_forward, output_forward, output_init, rnn_forward, rnn_init
from rnncourse.training.numpy import Diverged, train

START = {
    "uniform": (rnn_init, "tanh"),
    "orthogonal": (orthogonal_init, "tanh"),
    "identity": (identity_init, "relu"),
    "orthogonal, relu": (orthogonal_init, "relu"),
    "identity, tanh": (identity_init, "tanh"),
}
"""Initial weights, and the nonlinearity that they go with; the last two are controls."""
RECALL = {"H": 16, "B": 32, "V": 2, "lr": 0.005, "clip": 1.0, "steps": 400, "seeds": 10, "held_out": 1000}
DELAYS = [2, 4, 6, 8, 10, 12, 15, 20, 30, 40, 60, 80]
LONGER = {"steps": 1600, "delays": [8, 10, 12, 15, 20, 30, 40]}
ADDING = {"H": 32, "B": 32, "lr": 0.005, "clip": 1.0, "steps": 1500, "seeds": 8, "lengths": [10, 20, 50]}
RECIPES = "uniform", "orthogonal", "identity"
EXPLODING = {"H": 32, "B": 32, "T": 50, "lr": 0.01, "threshold": 1.0, "steps": 1000, "seeds": 8}
PARITY = {"H": 8, "B": 64, "lr": 0.005, "clip": 1.0, "steps": 3000, "seeds": 10, "last_T": 50}


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
    h_0 = np.zeros((x.shape[1], len(params[0].bias_hh)))
    output, h_T, cache = rnn_forward(x, h_0, params[0], nonlinearity)
    loss, dh_T, doutput_params = read(h_T, y, params[1])
    _, _, dparams = rnn_backward(np.zeros_like(output), dh_T, cache)
    return loss, (dparams, doutput_params)


def _said(x, params, nonlinearity="tanh"):
    """The likeliest class after the last step."""
    h_T = rnn_forward(x, np.zeros((x.shape[1], len(params[0].bias_hh))), params[0], nonlinearity)[1]
    return output_forward(h_T[None], params[1])[0][0].argmax(-1)


def learn_recall(seed, delay, start, steps=RECALL["steps"]):
    """Train a network to say the first of delay + 1 random bits after the last of them.

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
    trained = train(loss, params, batches, Adam(s["lr"]), clip=s["clip"], progress=False)
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
        "accuracy": {start: accuracies(start, DELAYS) for start in RECIPES},
        "longer": LONGER | {"accuracy": accuracies("uniform", LONGER["delays"], steps=LONGER["steps"])},
    }


def learn_adding(seed, T, start, optimiser, steps, clip=None, value_clip=None, H=32, B=32):
    """Train a network on the adding problem; a run that diverges ends there.

    Parameters
    ----------
    seed, T : int
    start : str
        A key of ``START``.
    optimiser : rnncourse.optim.SGD or Adam
    steps : int
    clip, value_clip : float, optional
        Threshold of clipping by norm, or by value.
    H, B : int

    Returns
    -------
    rnncourse.training.numpy.History
        Its gradient norms are those before clipping.
    """
    init, nonlinearity = START[start]
    rng = np.random.default_rng(seed)
    params = init(rng, 2, H), output_init(rng, H, 1)
    loss = partial(last_state_loss, read=regress, nonlinearity=nonlinearity)

    def clipped_loss(params, batch):
        value, gradients = loss(params, batch)
        return value, clip_by_value(gradients, value_clip)

    batches = (adding(rng, T, B) for _ in range(steps))
    chosen = loss if value_clip is None else clipped_loss
    try:
        return train(chosen, params, batches, optimiser, clip=clip, progress=False).history
    except Diverged as diverged:
        return diverged.trained.history


def _means(values, pieces):
    return [float(f"{part.mean():.4g}") for part in np.array_split(values, pieces)]


def record_adding():
    """Loss by length, initial weights and seed: ``book/results/gradients-adding.json``.

    Curves are means over 30 equal stretches of training.
    """
    s = ADDING

    def curve(seed, T, start):
        return _means(learn_adding(seed, T, start, Adam(s["lr"]), s["steps"], s["clip"]).loss, 30)

    def curves(start, lengths):
        return [
            [curve(seed, T, start) for seed in range(s["seeds"])] for T in tqdm(lengths, f"adding, {start}")
        ]

    return {
        "settings": s,
        "loss": {start: curves(start, s["lengths"]) for start in RECIPES},
        "controls": {start: curves(start, s["lengths"][-1:])[0] for start in START if start not in RECIPES},
    }


def exploding_run(seed, how, steps=EXPLODING["steps"]):
    """The adding problem from the identity with plain gradient descent: a run in which gradients explode.

    Parameters
    ----------
    seed : int
    how : {"none", "norm", "value"}
        What is clipped.
    steps : int

    Returns
    -------
    rnncourse.training.numpy.History
    """
    s = EXPLODING
    clips = {"none": {}, "norm": {"clip": s["threshold"]}, "value": {"value_clip": s["threshold"]}}[how]
    with np.errstate(over="ignore", invalid="ignore"):  # train stops where a number is not finite
        return learn_adding(seed, s["T"], "identity", SGD(s["lr"]), steps, **clips)


def record_exploding():
    """Loss and gradient norm without and with clipping: ``book/results/gradients-exploding.json``.

    Every 10th step's loss, and the largest norm of every 10 steps (for "value", after clipping).
    """

    def entry(history):
        norms = np.split(history.gradient_norm, range(10, len(history.loss), 10))
        return {
            "steps": len(history.loss),
            "loss": [float(f"{value:.4g}") for value in history.loss[::10]],
            "norm": [float(f"{part.max():.4g}") for part in norms],
            "last_loss": float(f"{history.loss[-100:].mean():.4g}"),
        }

    seeds = range(EXPLODING["seeds"])
    runs = {
        how: [entry(exploding_run(seed, how)) for seed in tqdm(seeds, f"clipped: {how}")]
        for how in ("none", "norm", "value")
    }
    return {"settings": EXPLODING, "runs": runs}


def clipped_parity(seed, clip=PARITY["clip"], steps=PARITY["steps"]):
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

    trained = train(loss, params, batches(), Adam(s["lr"]), clip=clip, progress=False)
    return np.array(lengths[:-1]), np.array(accuracy), trained.history


def record_parity():
    """The curriculum of the chapter on parity, clipped: ``book/results/gradients-parity.json``."""
    runs = []
    for seed in tqdm(range(PARITY["seeds"]), "parity"):
        T, accuracy, history = clipped_parity(seed)
        runs.append(
            {
                "seed": seed,
                "reached": int(T.max()),
                "accuracy": round(float(accuracy[-100:].mean()), 4),
                "clipped": round(float((history.gradient_norm > PARITY["clip"]).mean()), 4),
            }
        )
    return {"settings": PARITY, "runs": runs}


RECORDS = {
    "recall": record_recall,
    "adding": record_adding,
    "exploding": record_exploding,
    "parity": record_parity,
}
