"""Two counters on one string: the trained LSTM and GRU of the chapter's record, side by side."""

import json
from pathlib import Path

import numpy as np

from rnncourse.explorable import Explorable
from rnncourse.gru.experiment import CELLS, encode, packed, unpacked
from rnncourse.gru.machines import SYMBOLS, counter_lstm
from rnncourse.rnn.numpy import output_forward

RECORD = Path(__file__).parents[2] / "book/results/gru-counting.json"
LONGEST = 120


def _machines():
    """The networks of the figure: their weights, and the unit that counts."""
    weights = json.loads(RECORD.read_text("utf8"))["weights"]
    by_hand = packed(counter_lstm())
    machines = {
        "lstm": {"kind": "lstm", "label": "trained LSTM", "weights": weights["lstm"]},
        "hand": {"kind": "lstm", "label": "LSTM set by hand", "weights": by_hand},
        "gru": {"kind": "gru", "label": "trained GRU", "weights": weights["gru"]},
    }
    for machine in machines.values():
        machine["unit"] = counting_unit(machine["kind"], machine["weights"])
    return machines


def states_of(kind, params, x):
    """Cell states of an LSTM, hidden states of a GRU, after each step: (T, B, H)."""
    _, cache = CELLS[kind].forward(x, params)
    return cache.c[1:] if kind == "lstm" else cache.h[1:]


def counting_unit(kind, weights, n=20):
    """The unit whose state goes most nearly in proportion to the number of a's read, over a^n."""
    x, _, _ = encode(["a" * n])
    states = states_of(kind, unpacked(kind, weights)[0], x)[:, 0]
    moving = np.flatnonzero(states.std(axis=0) > 1e-6)
    straight = [abs(np.corrcoef(np.arange(n + 1), states[:, unit])[0, 1]) for unit in moving]
    return int(moving[np.argmax(straight)])


def explorable():
    """Draw the figure of the chapter; it starts with n = 24, the first that the GRU misses.

    Returns
    -------
    Explorable
    """
    data = {"machines": _machines(), "n": 24, "longest": LONGEST, "trained_to": 20}
    return Explorable(Path(__file__).with_suffix(".js"), "Two counters on your string", data)


def compute(input):
    """Run one network over a string, as the figure's JavaScript does.

    Parameters
    ----------
    input : dict
        ``kind`` "lstm" or "gru", ``weights`` of both layers by name, ``string`` of a's and b's.

    Returns
    -------
    dict
        ``states`` (T, H): cell states of the LSTM or hidden states of the GRU after ``$`` and each symbol;
        ``said``, the likeliest next symbol after each; ``expected``, the only one that continues to a string
        a^n b^n, or None after an a and from where the string has left the language; ``first_wrong``, the
        first step at which the two differ, or None.
    """
    kind, string = input["kind"], input["string"]
    params = unpacked(kind, input["weights"])
    x = np.eye(len(SYMBOLS))[[SYMBOLS.index(symbol) for symbol in "$" + string]][:, None]
    output, _ = CELLS[kind].forward(x, params[0])
    logits, _ = output_forward(output, params[1])
    said = [SYMBOLS[i] for i in logits[:, 0].argmax(axis=-1)]
    expected, opened = ["a"], 0
    for i, symbol in enumerate(string):
        opened += 1 if symbol == "a" else -1
        if opened < 0 or string[max(i - 1, 0) : i + 1] == "ba":
            break
        expected.append(None if symbol == "a" else "b" if opened else "$")
    expected += [None] * (len(string) + 1 - len(expected))
    wrong = [t for t, symbol in enumerate(expected) if symbol not in (None, said[t])]
    return {
        "states": states_of(kind, params[0], x)[:, 0].tolist(),
        "said": said,
        "expected": expected,
        "first_wrong": wrong[0] if wrong else None,
    }


def random_input(rng):
    """Draw a network, its weights disturbed in half of the cases, and a string.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
    """
    machines = list(_machines().values())
    machine = machines[rng.integers(len(machines))]
    spread = rng.choice([0, 0.02])
    weights = {
        name: (np.array(values) + spread * rng.standard_normal(np.shape(values))).tolist()
        for name, values in machine["weights"].items()
        if name != "seed"
    }
    n = int(rng.integers(0, 41))
    string = "a" * n + "b" * (n + int(rng.integers(-1, 2)) if n else 0)
    if rng.random() < 0.3:
        string = "".join("ab"[i] for i in rng.integers(0, 2, int(rng.integers(1, 20))))
    return {"kind": machine["kind"], "weights": weights, "string": string}
