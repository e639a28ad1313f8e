"""Attention by hand: take a weight, move it, and see which word the decoder writes."""

from pathlib import Path

import numpy as np

from rnncourse._numerics import softmax
from rnncourse.attention.experiment import as_data, small_model
from rnncourse.attention.numpy import decoder_forward
from rnncourse.data import grammar
from rnncourse.data.pairs import SPECIALS, pair_batch
from rnncourse.explorable import Explorable
from rnncourse.seq2seq.numpy import encoder_forward

SENTENCES = (
    "the black cats that the white cow never knows are tired",
    "the cats upstairs are patient",
    "the girl in the house sees the big houses",
)
DIGITS = 3


def explorable(params=None):
    """Draw the figure of the chapter.

    Parameters
    ----------
    params : AttentionParams, optional
        With a decoder of Luong's form, whose states do not depend on the weights: so moving a weight changes
        one word and no other. By default the small model, which takes seconds to train.

    Returns
    -------
    Explorable
    """
    params = params or small_model()
    combine, output = params.decoder.combine, params.decoder.output
    data = {
        "vocabulary": [*SPECIALS, *grammar.FRENCH],
        "combine": _rounded(combine.weight),
        "combine_bias": _rounded(combine.bias),
        "output": _rounded(output.weight),
        "output_bias": _rounded(output.bias),
        "sentences": [_sentence(words.split(), params) for words in SENTENCES],
    }
    title = "Move the weights of attention and see the word change"
    return Explorable(Path(__file__).with_suffix(".js"), title, data)


def _sentence(english, params):
    """Words, states of encoder and decoder, and weights at each step of the right translation."""
    pair = grammar.parse(english)
    batch = pair_batch(as_data([pair]))
    keys, state, _ = encoder_forward(batch.source, batch.source_lengths, params.embedding, params.encoder)
    _, _, weights, cache = decoder_forward(batch.target_input, state, keys, None, params.decoder)
    (cell,) = cache.cell
    return {
        "source": list(pair.english),
        "target": [*pair.french, "</s>"],
        "keys": _rounded(keys[:, 0]),
        "states": _rounded(cell.h[1:, 0]),
        "weights": _rounded(weights[0]),
    }


def _rounded(array):
    return np.round(array, DIGITS).tolist()


def compute(input):
    """Set one weight, let the others share the rest as before, and read the next word off the new context.

    Parameters
    ----------
    input : dict
        ``weights`` (S numbers, none negative), ``place`` (which of them is moved) and ``value`` in [0, 1];
        ``keys`` (S, H), ``state`` (H numbers), ``combine`` (H, 2H), ``combine_bias``, ``output`` (V, H) and
        ``output_bias``.

    Returns
    -------
    dict
        ``weights`` with the sum 1, ``context`` (H numbers) and ``probabilities`` (V numbers).
    """
    weights = np.array(input["weights"], float)
    others = np.arange(len(weights)) != input["place"]
    rest = weights[others].sum()
    left = 1 - input["value"]
    weights[others] = weights[others] * left / rest if rest > 0 else left / max(1, others.sum())
    weights[input["place"]] = input["value"] if others.any() else 1.0
    context = weights @ np.array(input["keys"], float)
    both = np.concatenate([input["state"], context])
    combined = np.tanh(np.array(input["combine"]) @ both + input["combine_bias"])
    probabilities = softmax(np.array(input["output"]) @ combined + input["output_bias"])
    return {
        "weights": weights.tolist(),
        "context": context.tolist(),
        "probabilities": probabilities.tolist(),
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
    S, H, V = int(rng.integers(1, 7)), int(rng.integers(1, 5)), int(rng.integers(2, 8))
    weights = rng.random(S) * (rng.random(S) < 0.7)
    return {
        "weights": weights.tolist(),
        "place": int(rng.integers(S)),
        "value": float(rng.choice([0.0, 1.0, rng.random()])),
        "keys": rng.normal(size=(S, H)).tolist(),
        "state": rng.normal(size=H).tolist(),
        "combine": rng.normal(size=(H, 2 * H)).tolist(),
        "combine_bias": rng.normal(size=H).tolist(),
        "output": (3 * rng.normal(size=(V, H))).tolist(),
        "output_bias": rng.normal(size=V).tolist(),
    }
