"""A translator in the page: the sentence grows by phrases, the state that crosses the bridge does not."""

from pathlib import Path

import numpy as np

from rnncourse._numerics import softmax
from rnncourse.data.grammar import ENGLISH, FRENCH, parse
from rnncourse.data.pairs import END, SPECIALS, START
from rnncourse.explorable import Explorable
from rnncourse.gru.numpy import GRUParams
from rnncourse.language_model.numpy import LMParams
from rnncourse.rnn.numpy import OutputParams
from rnncourse.seq2seq.numpy import Seq2SeqParams, decode_step, encode, seq2seq_forward, seq2seq_init

STORIES = (
    (
        "the old farmer is tired",
        "the old farmer behind the house is tired",
        "the old farmer behind the house under the tower is tired",
        "the old farmer behind the house under the tower in my garden is tired",
        "the old farmer behind the house under the tower in my garden near Paris is tired",
    ),
    (
        "the girls love Paul",
        "the girls that Marie sees love Paul",
        "the girls that the king near Paris sees love Paul",
        "the girls that the king in the garden near Paris often sees love Paul",
        "the girls that the king in the garden behind the tower near Paris often sees love Paul",
    ),
    (
        "the farmer watches the girl",
        "the farmer watches the girl that Marie sees",
        "the farmer in the boat watches the girl that Marie sees",
        "the farmer in the green boat behind the castle watches the girl that Marie sees",
        "the farmer in the green boat behind the old castle watches the girl that Marie often sees",
    ),
)
"""Sentences that grow by a phrase or a clause; none was learnt from, both models get each first one right."""
CELL = GRUParams._fields


def explorable(models):
    """Draw the figure of the chapter; it starts with a short sentence.

    Parameters
    ----------
    models : dict
        Models by name, as :func:`rnncourse.seq2seq.experiment.pack` stores them.

    Returns
    -------
    Explorable
    """
    source, target = ((*SPECIALS, *words) for words in (ENGLISH, FRENCH))
    stories = [
        [
            {
                "source": [source.index(word) for word in sentence.split()],
                "target": [target.index(word) for word in parse(sentence.split()).french],
            }
            for sentence in story
        ]
        for story in STORIES
    ]
    data = {"models": models, "source": source, "target": target, "stories": stories}
    return Explorable(Path(__file__).with_suffix(".js"), "Add clauses until the translation breaks", data)


def compute(input):
    """Translate one sentence, as the figure's JavaScript does.

    Parameters
    ----------
    input : dict
        ``model``: ``encoder``, ``decoder`` (weights of a GRU and ``embedding``) and ``output`` (``weight``,
        ``bias``), nested lists; ``source``, ids of the sentence, which is read from its end; ``target``, ids
        of the right translation without ``</s>``; ``longest``, words after which to stop.

    Returns
    -------
    dict
        ``state`` (H,), what crosses the bridge; ``said``, the ids of the greedy translation, with ``</s>`` if
        it came, and ``sure``, the probability of each; ``forced``, the likeliest id at each position when the
        right words are read, and ``right``, the probability of the right one there.
    """
    params = _params(input["model"])
    source = np.array(input["source"])[::-1, None]
    _, state = encode(source, np.array([len(source)]), params)
    crossed, token, said, sure = state[0].tolist(), START, [], []
    while len(said) < input["longest"] and token != END:
        logits, state = decode_step(np.array([token]), state, params)
        token = int(logits[0].argmax())
        said.append(token)
        sure.append(float(softmax(logits)[0, token]))
    target = np.array([*input["target"], END])
    logits, _ = seq2seq_forward(
        source, np.array([len(source)]), np.array([START, *target[:-1]])[:, None], params
    )
    p = softmax(logits)[:, 0]
    return {
        "state": crossed,
        "said": said,
        "sure": sure,
        "forced": logits[:, 0].argmax(axis=-1).tolist(),
        "right": p[np.arange(len(target)), target].tolist(),
    }


def _params(model):
    encoder, decoder, output = (
        {name: np.array(a, float) for name, a in model[part].items()}
        for part in ("encoder", "decoder", "output")
    )
    cells = (GRUParams(*(part[name] for name in CELL)) for part in (encoder, decoder))
    encoder_cell, decoder_cell = cells
    return Seq2SeqParams(
        encoder["embedding"],
        encoder_cell,
        LMParams(decoder["embedding"], decoder_cell, OutputParams(**output)),
    )


def random_input(rng):
    """Draw an input for `compute`.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
    """
    V_source, V_target = (int(v) for v in rng.integers(6, 12, 2))
    params = seq2seq_init(rng, V_source, V_target, int(rng.integers(1, 5)), int(rng.integers(1, 6)))
    decoder = params.decoder
    model = {
        "encoder": params.encoder._asdict() | {"embedding": params.embedding},
        "decoder": decoder.cell._asdict() | {"embedding": decoder.embedding},
        "output": decoder.output._asdict(),
    }
    return {
        "model": {name: {key: a.tolist() for key, a in part.items()} for name, part in model.items()},
        "source": rng.integers(4, V_source, rng.integers(1, 7)).tolist(),
        "target": rng.integers(4, V_target, rng.integers(1, 7)).tolist(),
        "longest": int(rng.integers(1, 10)),
    }
