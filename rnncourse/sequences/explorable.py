"""A window over a sentence: what it shows of the subject decides what can be said of the verb."""

import json
import math
from pathlib import Path

from rnncourse.data.grammar import window_accuracy
from rnncourse.explorable import Explorable

RECORD = Path(__file__).parents[2] / "book/results/sequences-probes.json"
NOUNS = ["cat", "cats"]


def _data():
    record = json.loads(RECORD.read_text("utf8"))
    sentences = [[["the", noun, *between.split()] for noun in NOUNS] for between in record["between"]]
    windows = [record["plural"][str(n)] for n in record["settings"]["probe_windows"]]
    return {
        "sentences": sentences,
        "windows": windows,
        "recurrent": record["plural"]["Elman"],
        "start": {"clause": 6, "plural": 0, "n": 4},
    }


def explorable():
    """Draw the figure of the chapter; it starts with the subject outside a window of four words.

    Returns
    -------
    Explorable
    """
    title = "A window over a sentence, and what it lets one say of the verb"
    return Explorable(Path(__file__).with_suffix(".js"), title, _data())


def compute(input):
    """Say what is seen through the window and how well the verb can be, and was, predicted.

    Parameters
    ----------
    input : dict
        ``words`` before the verb, ``noun``, the index of the subject's noun, ``plural`` 0 or 1, its number,
        ``n``, the length of the window, ``window`` and ``recurrent``, the P(plural) of a trained network
        with that window and of a trained recurrent network.

    Returns
    -------
    dict
        ``seen``, 0 or 1 for each word; ``best``, P(plural) of the best prediction from the window;
        ``right``, the probability of the right verb by ``best``, ``window`` and ``recurrent``, and ``nats``,
        its loss.
    """
    words, n, plural = input["words"], input["n"], input["plural"]
    clause = len(words) - 1 - input["noun"]
    accuracy = window_accuracy(n, clause)
    best = accuracy if plural else 1 - accuracy
    said = {"best": best, "window": input["window"], "recurrent": input["recurrent"]}
    right = {name: float(p if plural else 1 - p) for name, p in said.items()}
    return {
        "seen": [int(i >= len(words) - n) for i in range(len(words))],
        "best": float(best),
        "right": right,
        "nats": {name: -math.log(p) for name, p in right.items()},
    }


def random_input(rng):
    """Draw an input for `compute` from the figure's own data.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
    """
    data = _data()
    clause, plural = int(rng.integers(len(data["sentences"]))), int(rng.integers(2))
    n = int(rng.integers(1, len(data["windows"]) + 1))
    return {
        "words": data["sentences"][clause][plural],
        "noun": 1,
        "plural": plural,
        "n": n,
        "window": data["windows"][n - 1][clause][plural],
        "recurrent": data["recurrent"][clause][plural],
    }
