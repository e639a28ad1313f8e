"""Kneser-Ney trigrams: the fit against nltk's, the scores of a text against those of kenlm."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from nltk.lm import KneserNeyInterpolated, Vocabulary
from nltk.util import everygrams

from rnncourse.bench import Row
from rnncourse.data.tales import tales_text
from rnncourse.data.words import split_sentences
from rnncourse.ngram.arpa import write_arpa
from rnncourse.ngram.numpy import (
    BEGIN,
    BOS,
    END,
    fit_stream,
    ngram_vocabulary,
    sentence_logprobs,
    stream_logprobs,
    to_stream,
)

try:
    import kenlm
except ImportError:  # it needs a C++ compiler
    kenlm = None

ORDER = 3
# nltk's fit counts only, and leaves the estimates to each query; ours does both.
FIT = {"must": 0.012, "aim": 1 / 80}
QUERY = {"must": 1.25, "aim": 2.0}
WORDS = {"must": 2.3}


@cache
def tales():
    """Sentences with rare words as <unk>, their vocabulary and stream."""
    sentences = split_sentences(tales_text())
    vocabulary = ngram_vocabulary(sentences, min_count=2)
    sentences = [vocabulary.decode(vocabulary.encode(sentence)) for sentence in sentences]
    return sentences, vocabulary, to_stream(sentences, vocabulary)


def rows():
    fits = [Row("Kneser-Ney trigram: fit against nltk's counting", nltk_fit(), our_fit(), 0.0, FIT)]
    if kenlm is None:
        return fits
    reference = kenlm_query()
    return [
        *fits,
        Row("trigram scores from ids against kenlm's full_scores", reference, our_query(), 1e-4, QUERY),
        Row("trigram scores from words against kenlm's full_scores", reference, our_words(), 1e-4, WORDS),
    ]


def our_fit():
    _, vocabulary, stream = tales()

    def run():
        model = fit_stream(stream, vocabulary, ORDER)
        return {"bigrams": len(model.keys[1]), "trigrams": len(model.keys[2])}

    return run


def nltk_fit():
    sentences, vocabulary, _ = tales()
    known = Vocabulary(vocabulary.words)

    def run():
        model = KneserNeyInterpolated(ORDER, vocabulary=known)
        model.fit(everygrams((BEGIN, *sentence, END), max_len=ORDER) for sentence in sentences)
        bigrams, trigrams = (sum(map(len, model.counts[m].values())) for m in (2, 3))
        return {"bigrams": bigrams, "trigrams": trigrams}

    return run


def our_query():
    _, vocabulary, stream = tales()
    model = fit_stream(stream, vocabulary, ORDER)
    return lambda: {"log10": stream_logprobs(model, stream) / np.log(10)}


def our_words():
    sentences, vocabulary, stream = tales()
    model = fit_stream(stream, vocabulary, ORDER)
    return lambda: {"log10": np.concatenate(sentence_logprobs(model, sentences)) / np.log(10)}


def kenlm_query():
    sentences, vocabulary, stream = tales()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tales.arpa"
        write_arpa(path, fit_stream(stream, vocabulary, ORDER))
        model = kenlm.Model(str(path))
    lines, N = [" ".join(sentence) for sentence in sentences], int((stream != BOS).sum())

    def run():
        scores = (score for line in lines for score, _, _ in model.full_scores(line))
        return {"log10": np.fromiter(scores, float, N)}

    return run
