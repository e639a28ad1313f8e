"""What negative sampling learns: against the PMI of a corpus small enough to count, and on the tales."""

import time

import numpy as np

from rnncourse._numerics import log_softmax
from rnncourse.data.grammar import sample
from rnncourse.data.tales import tales_text
from rnncourse.data.words import WordVocabulary, split_sentences
from rnncourse.optim import Adam
from rnncourse.training.numpy import train
from rnncourse.word2vec.batches import Block
from rnncourse.word2vec.numpy import (
    Word2VecParams,
    block_gradient,
    expected_loss,
    negative_sampling_loss,
    noise_distribution,
    pairs,
    pmi,
    shifted_pmi,
    softmax_loss,
    train_skipgram,
)

WINDOW = 2
K = [1, 5, 15]
SEEDS = range(8)

GROUPS = {
    "days": "monday tuesday wednesday thursday friday saturday sunday",
    "numbers": "two three four five six seven eight nine ten eleven twelve twenty",
    "months": "january february march april may june july august september october november december",
    "family": "mother father sister brother aunt uncle grandmother grandfather daughter son wife husband",
    "colours": "red blue green white black grey brown yellow",
    "animals": "dog cat horse cow pig sheep goat fox wolf bear mouse hen crow owl rooster lamb",
}
"""Words of the tales that belong together; the groups and the measure were chosen after first trials."""
BASE = {"window": 5, "negatives": 5, "epochs": 15, "lr": 0.05, "subsample": 1e-3, "power": 0.75}
CHOICES = {
    "base": {},
    "no subsampling": {"subsample": None},
    "unigram noise": {"power": 1.0},
    "uniform noise": {"power": 0.0},
    "1 negative": {"negatives": 1},
    "15 negatives": {"negatives": 15},
    "window 2": {"window": 2},
    "window 10": {"window": 10},
}


def grammar_corpus(seed=0, sentences=3000, words=30):
    """Sentences of the course's grammar with all but the most common words left out.

    Parameters
    ----------
    seed : int
    sentences, words : int

    Returns
    -------
    vocabulary : WordVocabulary
    corpus : list of (n,) arrays of int
    """
    rng = np.random.default_rng(seed)
    english = [sample(rng).english for _ in range(sentences)]
    vocabulary = WordVocabulary.of(english, max_size=words, specials=())
    return vocabulary, [vocabulary.encode([w for w in s if w in vocabulary]) for s in english]


def tales_corpus(min_count=5):
    """The tales as ids, with rarer words left out.

    Parameters
    ----------
    min_count : int

    Returns
    -------
    vocabulary : WordVocabulary
    corpus : list of (n,) arrays of int
    """
    sentences = split_sentences(tales_text())
    vocabulary = WordVocabulary.of(sentences, min_count=min_count, specials=())
    return vocabulary, [vocabulary.encode([w for w in s if w in vocabulary]) for s in sentences]


def pair_counts(corpus, V, window=WINDOW):
    """How often each pair is expected with the dynamic window: the mean over its widths.

    Parameters
    ----------
    corpus : list of (n,) arrays of int
    V, window : int

    Returns
    -------
    (V, V) array of float64
    """
    counts = np.zeros((V, V))
    for width in range(1, window + 1):
        np.add.at(counts, pairs(corpus, width), 1 / window)
    return counts


def fit_line(x, y, counts):
    """Slope and intercept of x against y over the pairs that occur, weighted by their counts.

    Parameters
    ----------
    x, y, counts : (V, V) arrays

    Returns
    -------
    slope, intercept : float
    """
    there = counts > 0
    weight = np.sqrt(counts[there])
    design = np.column_stack([y[there], np.ones(there.sum())])
    (slope, intercept), *_ = np.linalg.lstsq(design * weight[:, None], x[there] * weight, rcond=None)
    return float(slope), float(intercept)


def distance(x, y, counts):
    """Root mean square difference of x and y over the pairs that occur, weighted by their counts.

    Parameters
    ----------
    x, y, counts : (V, V) arrays

    Returns
    -------
    float
    """
    there = counts > 0
    return float(np.sqrt((counts[there] * (x - y)[there] ** 2).sum() / counts.sum()))


def fit_exact(counts, negatives, noise=None, steps=300, seed=0):
    """Dot products that minimise the expected loss, with d = V and nothing sampled.

    Parameters
    ----------
    counts : (V, V) array
    negatives : int
    noise : (V,) array, optional
    steps, seed : int

    Returns
    -------
    (V, V) array of float64
    """
    V, rng = len(counts), np.random.default_rng(seed)
    params = Word2VecParams(*(rng.normal(size=(V, V)) / np.sqrt(V) for _ in range(2)))

    def loss(params, _):
        return expected_loss(params, counts, negatives, noise)

    trained = train(loss, params, range(steps), Adam(0.03))
    return trained.params.weight_in @ trained.params.weight_out.T


def fit_sampled(corpus, V, negatives, seed, noise):
    """Dot products after five epochs of ordinary training, with d = V.

    Parameters
    ----------
    corpus : list of (n,) arrays of int
    V, negatives, seed : int
    noise : (V,) array
        What the negatives are drawn from.

    Returns
    -------
    (V, V) array of float64
    """
    trained = train_skipgram(
        corpus, V, V, window=WINDOW, negatives=negatives, epochs=5, lr=0.05, seed=seed, noise=noise
    )
    weight_in, weight_out = (p.astype(np.float64) for p in trained.params)
    return weight_in @ weight_out.T


def record_pmi():
    """Lines of dot product against PMI, by k and seed: ``book/results/word2vec-pmi.json``."""
    vocabulary, corpus = grammar_corpus()
    V = len(vocabulary)
    counts = pair_counts(corpus, V)
    contexts = counts.sum(axis=0)
    unigram, power = noise_distribution(contexts, 1), noise_distribution(contexts)
    lines = {k: [] for k in K}
    with_term, without = [], []
    for seed in SEEDS:
        for k in K:
            x = fit_sampled(corpus, V, k, seed, unigram)
            lines[k].append(fit_line(x, pmi(counts), counts))
        x = fit_sampled(corpus, V, 5, seed, power)
        with_term.append(round(distance(x, shifted_pmi(counts, 5, power), counts), 4))
        without.append(round(distance(x, shifted_pmi(counts, 5), counts), 4))
    return {
        "corpus": f"grammar, 3,000 sentences, seed 0, the {V} most common words",
        "noise": "the distribution of the contexts, to the power 1 or 3/4",
        "words": sum(map(len, corpus)),
        "seeds": list(SEEDS),
        "k": K,
        "slope": [[round(slope, 4) for slope, _ in lines[k]] for k in K],
        "intercept": [[round(intercept, 4) for _, intercept in lines[k]] for k in K],
        "noise 3/4, distance with the term": with_term,
        "noise 3/4, distance without": without,
    }


def blind_params(counts, noise, negatives=5):
    """The best parameters that ignore the centre: every centre has the same dot products, ln(p(j) / k q(j)).

    Parameters
    ----------
    counts : (V,) array
        How often each word is a context (with CBOW, is predicted); 0.5 is added, so that none is missing.
    noise : (V,) array
        What the negatives are drawn from.
    negatives : int

    Returns
    -------
    Word2VecParams
        With E = 1.
    """
    p = (counts + 0.5) / (counts + 0.5).sum()
    x = np.log(p) - np.log(negatives * np.maximum(noise, noise[noise > 0].min()))
    return Word2VecParams(np.ones((len(p), 1)), x[:, None])


def group_share(vectors, vocabulary):
    """Share of the grouped words whose nearest neighbour by cosine is of their group, by group and in all.

    Parameters
    ----------
    vectors : (V, E) array
        The neighbour may be any word of the vocabulary but the word itself.
    vocabulary : WordVocabulary

    Returns
    -------
    dict of str to float
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    shares, hits = {}, []
    for name, words in GROUPS.items():
        ids = np.array([vocabulary.id(word) for word in words.split() if word in vocabulary])
        cosines = unit[ids] @ unit.T
        cosines[np.arange(len(ids)), ids] = -2
        hit = np.isin(cosines.argmax(axis=1), ids)
        shares[name] = float(hit.mean())
        hits.append(hit)
    return {**shares, "all": float(np.concatenate(hits).mean())}


def train_tales(seed, corpus, V, **changes):
    """Vectors of 50 numbers, trained on the tales.

    Parameters
    ----------
    seed : int
    corpus : list of (n,) arrays of int
    V : int
    changes
        Settings that differ from ``BASE``.

    Returns
    -------
    Trained
    """
    return train_skipgram(corpus, V, 50, seed=seed, **{**BASE, **changes})


def record_choices():
    """Share of neighbours in the right group by setting and seed: ``book/results/word2vec-choices.json``."""
    vocabulary, corpus = tales_corpus()
    V = len(vocabulary)
    shares = {}
    for name, changes in CHOICES.items():
        runs = [train_tales(seed, corpus, V, **changes).params.weight_in for seed in SEEDS]
        shares[name] = [round(group_share(run, vocabulary)["all"], 4) for run in runs]
    return {
        "corpus": f"tales, words that occur 5 times, V = {V}",
        "words": sum(map(len, corpus)),
        "seeds": list(SEEDS),
        "share": shares,
    }


def step_seconds(V, E=100, size=32, groups=4, shared=64, repeats=5):
    """Processor time of loss and gradient, by pair, of both objectives, each with nothing and all shared.

    With nothing shared each pair is by itself. Shared are, in the softmax, the scores of a centre by its ten
    contexts; in negative sampling the negatives of a block, as the trainer has it. k = 5.

    Parameters
    ----------
    V, E, size, groups, shared : int
        As :func:`rnncourse.word2vec.numpy.train_skipgram` takes them; the window is 5.
    repeats : int
        The fastest counts.

    Returns
    -------
    softmax, sampled, shared softmax, shared sampled : float
        In seconds.
    """
    rng = np.random.default_rng(0)
    params = Word2VecParams(*(rng.normal(size=(V, E)).astype(np.float32) for _ in range(2)))
    inside = np.ones((groups, size, 11), bool)
    inside[:, :, 5] = False
    around = rng.integers(0, V, (groups, size + 10))
    block = Block(around[:, 5:-5], around, inside, rng.integers(0, V, shared), 0.0)
    N, pairs_ = groups * size, int(inside.sum())
    centres, contexts = rng.integers(0, V, (2, pairs_))
    negatives = rng.integers(0, V, (pairs_, 5))
    ten = rng.integers(0, V, (N, 10))

    def shared_softmax():
        h = params.weight_in[centres[:N]]
        logp = log_softmax(h @ params.weight_out.T)
        loss = -np.take_along_axis(logp, ten, axis=1).sum()
        dlogits = 10 * np.exp(logp)
        np.subtract.at(dlogits, (np.arange(N)[:, None], ten), 1)
        return loss, dlogits @ params.weight_out, dlogits.T @ h

    def least(call, number):
        times = []
        for _ in range(repeats):
            start = time.process_time()
            call()
            times.append(time.process_time() - start)
        return min(times) / number

    return (
        least(lambda: softmax_loss(params, centres[:N], contexts[:N]), N),
        least(lambda: negative_sampling_loss(params, centres, contexts, negatives), pairs_),
        least(shared_softmax, 10 * N),
        least(lambda: [block_gradient(params, block, 5) for _ in range(10)], 10 * pairs_),
    )


def record_cost():
    """Time of a pair by size of the vocabulary, in microseconds: ``book/results/word2vec-cost.json``."""
    sizes = [1000, 3000, 10_000, 30_000]
    times = 1e6 * np.array([step_seconds(V) for V in sizes])
    names = "softmax", "sampled", "shared softmax", "shared sampled"
    return {
        "sizes": sizes,
        "us": {name: column.round(3).tolist() for name, column in zip(names, times.T, strict=True)},
    }


RECORDS = {"pmi": record_pmi, "choices": record_choices, "cost": record_cost}
