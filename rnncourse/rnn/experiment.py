"""Can parity be learnt, and what does a forward pass cost?"""

from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from rnncourse.bptt.numpy import cross_entropy_backward, output_backward, rnn_backward
from rnncourse.data.memory import parity
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

SETTINGS = {
    "H": 8,
    "B": 64,
    "lr": 0.005,
    "seeds": 10,
    "steps": 3000,
    "direct_T": [2, 3, 4, 8, 16],
    "faster_lr": 0.03,
    "faster_T": [4, 8],
    "curriculum_last_T": 50,
    "long_T": 1000,
}


class ParityRun(NamedTuple):
    """One training run, by training step."""

    T: np.ndarray
    """Sequence length at each step."""
    accuracy: np.ndarray
    """Share of the batch's last labels that were right."""
    rnn: RNNParams
    output: OutputParams


def learn_parity(seed, steps, T, last_T=None, H=8, B=64, lr=0.005):
    """Train a tanh network to say the parity of T random bits after the last of them.

    Parameters
    ----------
    seed : int
    steps : int
        Training steps, one fresh batch each.
    T : int
        Length of the sequences.
    last_T : int, optional
        With it, a curriculum: whenever the running accuracy (a decaying mean, rate 1/20, restarted at chance)
        passes 95%, sequences grow by one bit, up to this length.
    H, B, lr
        Hidden size, batch size, learning rate of Adam.

    Returns
    -------
    ParityRun
    """
    rng = np.random.default_rng(seed)
    params = rnn_init(rng, 1, H), output_init(rng, H, 2)
    adam = Adam(lr)
    state = adam.init(params)
    h_0 = np.zeros((B, H))
    lengths, accuracies, running = np.empty(steps, int), np.empty(steps), 0.5
    for step in range(steps):
        x, y = parity(rng, T, B)
        output, h_T, cache = rnn_forward(x, h_0, params[0])
        logits, output_cache = output_forward(h_T[None], params[1])
        _, loss_cache = cross_entropy_forward(logits, y[-1:])
        dh_T, doutput_params = output_backward(cross_entropy_backward(1.0, loss_cache), output_cache)
        _, _, dparams = rnn_backward(np.zeros_like(output), dh_T[0], cache)
        params, state = adam.step(params, (dparams, doutput_params), state)
        lengths[step], accuracies[step] = T, (logits.argmax(-1) == y[-1:]).mean()
        running += (accuracies[step] - running) / 20
        if last_T and running > 0.95 and T < last_T:
            T, running = T + 1, 0.5
    return ParityRun(lengths, accuracies, *params)


def read_long(run, T=1000, B=64, seed=12345):
    """Share of right answers at all T steps of fresh random sequences."""
    x, y = parity(np.random.default_rng(seed), T, B)
    output, _, _ = rnn_forward(x, np.zeros((B, len(run.rnn.bias_hh))), run.rnn)
    return float((output_forward(output, run.output)[0].argmax(-1) == y).mean())


def record_parity():
    """All runs of the record ``book/results/rnn-parity.json``: ten seeds a setting, two minutes in all.

    Curves are means over 30 equal stretches of training.
    """
    seeds, steps = range(SETTINGS["seeds"]), SETTINGS["steps"]
    sizes = {name: SETTINGS[name] for name in ("H", "B", "lr")}

    def direct_runs(T, sizes):
        for seed in tqdm(seeds, f"length {T}, rate {sizes['lr']}"):
            yield {"T": T, "seed": seed, **_curve(learn_parity(seed, steps, T, **sizes))}

    direct = [run for T in SETTINGS["direct_T"] for run in direct_runs(T, sizes)]
    faster_sizes = sizes | {"lr": SETTINGS["faster_lr"]}
    faster = [run for T in SETTINGS["faster_T"] for run in direct_runs(T, faster_sizes)]
    curriculum = []
    for seed in tqdm(seeds, "curriculum"):
        run = learn_parity(seed, steps, 1, SETTINGS["curriculum_last_T"], **sizes)
        long = read_long(run, SETTINGS["long_T"])
        curve = _curve(run)
        curve["T"] = run.T[np.array(curve["step"]) - 1].tolist()
        curriculum.append(
            {"seed": seed, **curve, "long_accuracy": round(long, 4), "reached": int(run.T.max())}
        )
    return {"settings": SETTINGS, "direct": direct, "faster": faster, "curriculum": curriculum}


def _curve(run):
    steps = len(run.accuracy) // 30 * 30
    means = run.accuracy[:steps].reshape(30, -1).mean(axis=1)
    ends = np.arange(1, 31) * (steps // 30)
    return {"step": ends.tolist(), "accuracy": means.round(4).tolist()}


def forward_seconds(T, B, D=61, H=128):
    """Wall time of one forward pass of B sequences, the fastest of seven."""
    rng = np.random.default_rng(0)
    x, h_0, params = rng.normal(size=(T, B, D)), np.zeros((B, H)), rnn_init(rng, D, H)
    return fastest(lambda: rnn_forward(x, h_0, params), repeats=7)


def record_cost():
    """Time of the forward pass by length and by batch size, in ms: ``book/results/rnn-cost.json``."""
    lengths, batches = [50, 100, 200, 400, 800], [1, 2, 4, 8, 16, 32]
    return {
        "lengths": lengths,
        "ms_by_length": [round(1e3 * forward_seconds(T, 8), 4) for T in lengths],
        "batches": batches,
        "ms_by_batch": [round(1e3 * forward_seconds(100, B), 4) for B in batches],
    }


RECORDS = {"parity": record_parity, "cost": record_cost}
