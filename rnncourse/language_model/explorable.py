"""Temperature, top-k and nucleus on real predictions of a character model, with a meter of the entropy."""

from pathlib import Path

import numpy as np

from rnncourse._checks import check_shape
from rnncourse.explorable import Explorable
from rnncourse.language_model.numpy import (
    at_temperature,
    entropy,
    lm_forward,
    sampling_probabilities,
    zero_state,
)


def explorable(params, vocabulary, openings):
    """Draw the figure of the chapter.

    Parameters
    ----------
    params : LMParams
    vocabulary : rnncourse.data.text.Vocabulary
    openings : sequence of str
        Texts after which the next character is to be drawn, each read from a zero state.

    Returns
    -------
    Explorable
    """
    cases = []
    for text in openings:
        ids = vocabulary.encode(text)[:, None]
        logits, _, _ = lm_forward(ids, zero_state(params, 1), params)
        cases.append({"text": text, "logits": logits[-1, 0].astype(float).round(4).tolist()})
    data = {"cases": cases, "characters": list(vocabulary.characters)}
    title = "The next character: temperature, top-k, nucleus, and the entropy that they leave"
    return Explorable(Path(__file__).with_suffix(".js"), title, data)


def compute(input):
    """Apply the three settings to one prediction, as the figure's JavaScript does.

    The numbers are those of :func:`rnncourse.language_model.numpy.sampling_probabilities` and
    :func:`rnncourse.language_model.numpy.entropy`.

    Parameters
    ----------
    input : dict
        ``logits``, V numbers; ``temperature``; ``k``, from 1 to V; ``mass`` of the nucleus, in (0, 1].

    Returns
    -------
    dict
        ``own``, the probabilities of the model; ``probabilities`` to draw from; ``kept``, how many are not
        cut; ``bits``, the entropies of ``own``, after the temperature alone, and of ``probabilities``.
    """
    logits = np.array(input["logits"], float)
    check_shape("logits", logits, V=None)
    p = sampling_probabilities(logits, input["temperature"], input["k"], input["mass"])
    own, warm = at_temperature(logits, 1.0), at_temperature(logits, input["temperature"])
    return {
        "own": own.tolist(),
        "probabilities": p.tolist(),
        "kept": int((p > 0).sum()),
        "bits": [float(entropy(q) / np.log(2)) for q in (own, warm, p)],
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
    V = int(rng.integers(2, 20))
    return {
        "logits": (3 * rng.normal(size=V)).tolist(),
        "temperature": float(rng.uniform(0.3, 3)),
        "k": int(rng.integers(1, V + 1)),
        "mass": float(rng.choice([1.0, rng.uniform(0.1, 1)])),
    }
