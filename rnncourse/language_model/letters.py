"""A character model goes on with the reader's opening; one of its units colours the letters."""

import json
from pathlib import Path

from rnncourse.explorable import Explorable
from rnncourse.lstm.character import CharacterModel, pack, read_text, unpack
from rnncourse.lstm.numpy import lstm_init
from rnncourse.rnn.numpy import output_init

RECORD = Path(__file__).parents[2] / "book/results/language_model-characters.json"


def explorable():
    """Draw the recorded model, one byte a weight, with what is known of its units.

    Returns
    -------
    Explorable
    """
    record = json.loads(RECORD.read_text("utf8"))
    data = {name: record[name] for name in ("model", "units", "whole")}
    data["opening"] = 'The old woman opened the door. "Come in," she said. "'
    return Explorable(Path(__file__).with_suffix(".js"), "A character model writes, letter by letter", data)


def compute(input):
    """Read a text with a stored model, as the figure's JavaScript does.

    Parameters
    ----------
    input : dict
        ``model``, as :func:`rnncourse.lstm.character.pack` stores it; ``text``, at least one character; and
        ``unit``.

    Returns
    -------
    dict
        ``h`` and ``c`` of the unit after each character, and ``log_probability`` of each character to come
        next.
    """
    reading = read_text(unpack(input["model"]), input["text"])
    return {
        "h": reading.h[:, input["unit"]].tolist(),
        "c": reading.c[:, input["unit"]].tolist(),
        "log_probability": reading.log_probability[-1].tolist(),
    }


def random_input(rng):
    """Draw a small model, a text and a unit.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
    """
    characters = "".join(sorted(rng.permutation(list(' "abc.'))[: rng.integers(2, 6)]))
    V, H = len(characters), int(rng.integers(2, 5))
    lstm = lstm_init(rng, V, H)
    lstm = lstm._replace(weight_ih=4 * lstm.weight_ih, weight_hh=4 * lstm.weight_hh)
    model = pack(CharacterModel(characters, lstm, output_init(rng, H, V)))
    text = "".join(characters[i] for i in rng.integers(0, V, rng.integers(1, 12)))
    return {"model": model, "text": text, "unit": int(rng.integers(H))}
