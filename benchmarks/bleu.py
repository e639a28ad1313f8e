"""Corpus BLEU against sacrebleu, from strings and from ids."""

import numpy as np
import sacrebleu

from rnncourse.bench import Row
from rnncourse.bleu.numpy import corpus_bleu
from rnncourse.data.tales import tales_text
from rnncourse.data.words import WordVocabulary, split_sentences

S, ERRORS = 2000, 0.2


def rows():
    strings, ids = drawn()
    reference = sacrebleu.BLEU(tokenize="none", force=True)
    lines = [[" ".join(text) for text in texts] for texts in strings]

    def by_sacrebleu():
        return {"score": np.array(reference.corpus_score(lines[0], [lines[1]]).score / 100)}

    def from_strings():
        # Both sides start from lines, so splitting them is part of the time.
        hypotheses, references = ([line.split() for line in texts] for texts in lines)
        return score(hypotheses, references)

    return [
        Row("corpus BLEU from strings", by_sacrebleu, from_strings, 1e-9, {"must": 0.3846, "aim": 0.3333}),
        Row("corpus BLEU from ids", by_sacrebleu, lambda: score(*ids), 1e-9, {"must": 0.1389, "aim": 0.125}),
    ]


def score(hypotheses, references):
    return {"score": np.array(corpus_bleu(hypotheses, [[text] for text in references], smoothing="exp"))}


def drawn():
    """Sentences of the tales, and the same with a fifth of the words replaced: as words and as ids."""
    rng = np.random.default_rng(0)
    references = split_sentences(tales_text(), punctuation=True)[:S]
    vocabulary = WordVocabulary.of(references, specials=())
    right = [vocabulary.encode(text) for text in references]
    wrong = [
        np.where(rng.random(len(ids)) < ERRORS, rng.integers(0, len(vocabulary), len(ids)), ids)
        for ids in right
    ]
    return ([vocabulary.decode(ids) for ids in wrong], references), (wrong, right)
