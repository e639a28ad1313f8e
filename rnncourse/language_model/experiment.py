"""Networks against n-gram models, carried against reset state, what sampling settings do, a planted number."""

import functools
from typing import NamedTuple

import numpy as np

from rnncourse.data import grammar
from rnncourse.data.tales import load_tales
from rnncourse.data.text import contiguous_batches
from rnncourse.data.words import UNKNOWN, WordVocabulary, split_sentences
from rnncourse.language_model.numpy import (
    lm_init,
    lm_logprob,
    lm_loss,
    zero_state,
)
from rnncourse.optim import Adam
from rnncourse.training.numpy import train

END = grammar.END
SEEDS = 8


class Setting(NamedTuple):
    """How a language model is trained."""

    cell: str = "lstm"
    E: int = 32
    H: int = 64
    B: int = 16
    T: int = 20
    lr: float = 0.005
    steps: int = 1200
    every: int = 100
    tied: bool = False
    carry: bool = True


def learn(ids, V, setting, seed, validation=None, dtype=np.float32):
    """Train a language model on one text; with `validation`, return its best parameters on that text.

    Parameters
    ----------
    ids : (n,) array of int
        The text, read again and again in `setting.B` streams.
    V : int
    setting : Setting
        With ``carry`` false, every batch starts from a zero state.
    seed : int
        Of the weights; the batches are the same for all.
    validation : (m,) array of int, optional
    dtype : dtype

    Returns
    -------
    Trained
    """
    s = setting
    start = lm_init(np.random.default_rng(seed), V, s.E, s.H, s.cell, s.tied, dtype)
    carried = {}

    def loss(params, batch):
        x, y, first = batch
        state = zero_state(params, s.B) if first or not s.carry else carried["state"]
        value, carried["state"], gradients = lm_loss(x, y, state, params)
        return value, gradients

    def batches():
        while True:
            for place, (x, y) in enumerate(contiguous_batches(ids, s.B, s.T)):
                yield x, y, place == 0

    # Patience as long as the run: the parameters of the best evaluation are returned.
    best = {} if validation is None else {"patience": s.steps, "every": s.every}
    evaluate = None if validation is None else lambda params: text_loss(validation, params)
    return train(
        loss, start, batches(), Adam(s.lr), steps=s.steps, clip=1.0, evaluate=evaluate, progress=False, **best
    )


def text_loss(ids, params):
    """Mean -ln P of each token but the first, read as one stream."""
    return float(-lm_logprob(ids[:, None], zero_state(params, 1), params)[0].mean())


# The grammar.


@functools.cache
def grammar_sentences(seed, count):
    """Sentences drawn from the grammar."""
    rng = np.random.default_rng(seed)
    return tuple(grammar.sample(rng) for _ in range(count))


GRAMMAR_WORDS = (END, *grammar.ENGLISH)
_GRAMMAR_IDS = {word: i for i, word in enumerate(GRAMMAR_WORDS)}


def grammar_ids(pairs):
    """The sentences as one stream; each ends with ``</s>``, and one more stands in front."""
    words = [END, *(word for pair in pairs for word in (*pair.english, END))]
    return np.array([_GRAMMAR_IDS[word] for word in words])


@functools.cache
def tale_words(min_count=3):
    """The tales as words and marks: ids of training, validation and test part (8 : 1 : 1), and the vocabulary.

    The vocabulary has the words of the training part with at least `min_count` occurrences.
    """
    tales = load_tales()
    cuts = len(tales) * 8 // 10, len(tales) * 9 // 10
    parts = [
        [s for tale in some for s in split_sentences(tale.text, punctuation=True)]
        for some in (tales[: cuts[0]], tales[cuts[0] : cuts[1]], tales[cuts[1] :])
    ]
    vocabulary = WordVocabulary.of(parts[0], min_count=min_count, specials=(END, UNKNOWN))
    ids = [vocabulary.encode([END, *(w for s in part for w in (*s, END))]) for part in parts]
    return *ids, vocabulary
