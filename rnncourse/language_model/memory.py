"""What a character model's prediction depends on: the gradient by each earlier character, to be clicked."""

from pathlib import Path

import numpy as np

from rnncourse.explorable import Explorable
from rnncourse.language_model.numpy import influence, lm_logprob, zero_state

BACK = 40
"""How many characters back the figure shows; beyond, the norms are small."""


def explorable(params, vocabulary, text, start):
    """Draw the figure of the chapter.

    Parameters
    ----------
    params : LMParams
    vocabulary : rnncourse.data.text.Vocabulary
    text : str
        Read from a zero state.
    start : int
        The place in `text` of the prediction that is shown first, at least 1.

    Returns
    -------
    Explorable
    """
    ids = vocabulary.encode(text)
    norms = np.linalg.norm(influence(ids, params), axis=-1)
    logprob, _ = lm_logprob(ids[:, None], zero_state(params, 1), params)
    data = {
        "text": text,
        "start": start,
        "norms": [row[max(0, t + 1 - BACK) : t + 1].round(3).tolist() for t, row in enumerate(norms)],
        "probability": np.exp(logprob[:, 0]).round(4).tolist(),
    }
    title = "What the model remembers: the gradient of a prediction by each earlier character"
    return Explorable(Path(__file__).with_suffix(".js"), title, data)


def compute(input):
    """Say how a prediction's dependence is spread over the earlier characters, as the JavaScript does.

    Parameters
    ----------
    input : dict
        ``norms``, of the gradient of one prediction by each earlier character, the first character first.

    Returns
    -------
    dict
        ``shares`` of the sum; ``reach``, how many of the last characters hold nine tenths of it; ``mean``,
        the mean distance, in which the last character has distance 1. If all norms are zero, so are these.
    """
    norms = np.array(input["norms"], float)
    total = norms.sum()
    if total == 0:
        return {"shares": [0.0] * len(norms), "reach": 0, "mean": 0.0}
    shares = norms / total
    held = np.cumsum(shares[::-1])
    return {
        "shares": shares.tolist(),
        "reach": int(np.argmax(held >= 0.9 - 1e-12)) + 1,
        "mean": float((shares[::-1] * np.arange(1, len(shares) + 1)).sum()),
    }


def random_input(rng):
    """Draw an input for `compute`.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
    """
    n = int(rng.integers(1, 30))
    norms = rng.exponential(size=n) * np.exp(-rng.uniform(0, 1) * np.arange(n)[::-1])
    return {"norms": (norms * (rng.random() > 0.1)).tolist()}
