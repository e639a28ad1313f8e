"""Skip-gram with negative sampling on the tales, against gensim with one worker, at equal held-out gain."""

import numpy as np
from gensim.models import Word2Vec

from rnncourse.bench import Row
from rnncourse.data.tales import tales_text
from rnncourse.data.words import WordVocabulary, split_sentences
from rnncourse.word2vec.experiment import blind_params
from rnncourse.word2vec.numpy import Word2VecParams, held_out, noise_distribution, train_skipgram

EPOCHS = 5
LR = 0.05
# Must: a trial reached 206k words a second against gensim's 290k, plus 10%.
TARGETS = {"must": 1.55, "aim": 1.0}
# Of gensim's gain over the model that ignores the centre; with E = 50 three seeds had 0.95 to 1.05.
GAIN = 0.85


def rows():
    sentences = split_sentences(tales_text())
    vocabulary = WordVocabulary.of(sentences, min_count=5, specials=())
    corpus = [vocabulary.encode([w for w in s if w in vocabulary]) for s in sentences]
    train = [s for i, s in enumerate(corpus) if i % 10]
    counts = np.bincount(np.concatenate(train), minlength=len(vocabulary))
    noise = noise_distribution(counts)
    evaluate = held_out(corpus[::10], noise)
    blind = evaluate(blind_params(counts, noise))

    def check(ours, reference):
        gains = [blind - evaluate(Word2VecParams(**side)) for side in (ours, reference)]
        assert gains[0] >= GAIN * gains[1] > 0, f"held-out gain {gains[0]:.4f} against {gains[1]:.4f}"

    words = EPOCHS * sum(map(len, train))
    return [
        Row(
            f"skip-gram, negative sampling, tales, {words} words",
            gensim_side(train, vocabulary),
            numpy_side(train, vocabulary),
            0.0,
            TARGETS,
            check=check,
            slow=True,
        )
    ]


def gensim_side(train, vocabulary):
    """Window 5, five negatives, 100 numbers a word; without subsampling, whose formula differs."""
    text = [vocabulary.decode(s) for s in train]
    model = Word2Vec(
        vector_size=100, window=5, sg=1, negative=5, sample=0, min_count=1, workers=1, alpha=LR, seed=1
    )
    model.build_vocab(text)
    places = [model.wv.key_to_index[word] for word in vocabulary.words]

    def run():
        model.init_weights()
        model.train(text, total_examples=len(text), epochs=EPOCHS, start_alpha=LR)
        return {"weight_in": model.wv.vectors[places], "weight_out": model.syn1neg[places]}

    return run


def numpy_side(train, vocabulary):
    def run():
        return train_skipgram(train, len(vocabulary), 100, epochs=EPOCHS, lr=LR).params._asdict()

    return run
