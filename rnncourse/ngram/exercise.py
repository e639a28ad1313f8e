"""What the graded exercise on n-grams asks, and how an answer is judged."""

import numpy as np

from rnncourse.data.grammar import sample
from rnncourse.data.words import UNKNOWN
from rnncourse.grading.check import Parity, Property
from rnncourse.grading.mutant import Mutant
from rnncourse.ngram.mutants import DISCOUNTS
from rnncourse.ngram.numpy import BEGIN, END, modified_discounts, perplexity


def corpus_perplexity(rows):
    """Perplexity over the tokens of all sentences, each a row of logarithms of probabilities."""
    return float(np.exp(-np.concatenate(rows).mean()))


def kneser_ney_bigram(c, D):
    """Interpolated Kneser-Ney from a matrix of bigram counts, one context a row: all probabilities."""
    total = c.sum(axis=1, keepdims=True)
    followers = (c > 0).sum(axis=1, keepdims=True)
    shorter = (c > 0).sum(axis=0) / (c > 0).sum()
    return np.maximum(c - D, 0) / total + D * followers / total * shorter


def witten_bell(c):
    """Mixture whose weight is the share of new words, from a matrix of bigram counts: all probabilities."""
    total = c.sum(axis=1, keepdims=True)
    new = (c > 0).sum(axis=1, keepdims=True)
    shorter = c.sum(axis=0) / c.sum()
    return (c + new * shorter) / (total + new)


CORPUS = (
    Mutant(
        "mean of the sentences' perplexities",
        corpus_perplexity,
        "np.exp(-np.concatenate(rows).mean())",
        "np.mean([np.exp(-row.mean()) for row in rows])",
        agrees="one sentence",
        hint="Your perplexity is the mean of the sentences' perplexities: take one mean, over the logarithms "
        "of all tokens, then one exponential.",
        label="ngram-perplexity",
    ),
    Mutant(
        "mean of the sentences' losses",
        corpus_perplexity,
        "np.concatenate(rows).mean()",
        "np.mean([row.mean() for row in rows])",
        agrees="sentences of one length",
        hint="Your mean is over sentences, so a token of a short one weighs more. Take it over all tokens.",
        label="ngram-perplexity",
    ),
    Mutant(
        "the end left out",
        corpus_perplexity,
        "np.concatenate(rows)",
        "np.concatenate([row[:-1] for row in rows])",
        agrees="equal probabilities",
        hint="Your mean leaves out the last token of each sentence: </s> is predicted and counted.",
        label="ngram-perplexity",
    ),
    Mutant(
        "logarithms to base 2",
        corpus_perplexity,
        "np.exp(",
        "np.exp2(",
        agrees="certain tokens",
        hint="Your perplexity is a power of 2, but the logarithms are natural.",
        label="ngram-perplexity",
    ),
    Mutant(
        "mean of the inverse probabilities",
        corpus_perplexity,
        "np.exp(-np.concatenate(rows).mean())",
        "np.exp(-np.concatenate(rows)).mean()",
        agrees="equal probabilities",
        hint="Your perplexity is the arithmetic mean of 1/P: take the mean of the logarithms first, then the "
        "exponential.",
        label="ngram-perplexity",
    ),
)
KN = (
    Mutant(
        "words counted where contexts are",
        kneser_ney_bigram,
        "(c > 0).sum(axis=0) / (c > 0).sum()",
        "c.sum(axis=0) / c.sum()",
        agrees="all counts one",
        hint="Your shorter distribution is that of frequent words: it has to count in how many contexts a "
        "word occurs.",
        label="ngram-continuation",
    ),
    Mutant(
        "one discount a context",
        kneser_ney_bigram,
        "D * followers / total",
        "D / total",
        agrees="one word a context",
        hint="Your rows sum to less than one: each different word of a context gives up one discount.",
        label="ngram-kn",
    ),
    Mutant(
        "nothing taken",
        kneser_ney_bigram,
        "np.maximum(c - D, 0)",
        "c",
        agrees="no discount",
        hint="Your rows sum to more than one: what goes to the shorter distribution must be taken from the "
        "counts.",
        label="ngram-kn",
    ),
)
KN += (
    Mutant(
        "unseen pairs discounted",
        kneser_ney_bigram,
        "np.maximum(c - D, 0)",
        "(c - D)",
        agrees="no zero counts",
        hint="Your discount is also taken from counts of 0, which have nothing to give.",
        label="ngram-kn",
    ),
    Mutant(
        "uniform shorter distribution",
        kneser_ney_bigram,
        "(c > 0).sum(axis=0) / (c > 0).sum()",
        "1 / c.shape[1] + 0 * c.sum(axis=0)",
        agrees="all counts one",
        hint="Your shorter distribution is uniform: it counts in how many contexts a word occurs.",
        label="ngram-continuation",
    ),
)
WITTEN_BELL = (
    Mutant(
        "new words not among the events",
        witten_bell,
        "(total + new)",
        "total",
        agrees="no new words",
        hint="Your rows do not sum to one: a first occurrence is counted twice, as a word and as something "
        "new, so both stand in the denominator.",
        label="ngram-interpolation",
    ),
    Mutant(
        "contexts counted where words are",
        witten_bell,
        "c.sum(axis=0) / c.sum()",
        "(c > 0).sum(axis=0) / (c > 0).sum()",
        agrees="all counts one",
        hint="Your shorter distribution is that of Kneser and Ney: here it is the relative frequency.",
        label="ngram-interpolation",
    ),
    Mutant(
        "first occurrences left out of the words",
        witten_bell,
        "(c + new * shorter)",
        "(np.maximum(c - 1, 0) + new * shorter)",
        agrees="no new words",
        hint="Your rows sum to less than one: a first occurrence is also an occurrence of that word.",
        label="ngram-interpolation",
    ),
)


def _draw_rows(rng):
    # Sentences of different lengths, so that a mean over sentences differs from one over tokens.
    lengths = rng.permutation([2, 5, 9, int(rng.integers(3, 8))])
    return (tuple(np.log(rng.uniform(0.02, 0.9, n)) for n in lengths),)


def _draw_counts(rng):
    numbers = [int(rng.integers(*limits)) for limits in [(60, 90), (20, 28), (9, 12), (4, 6), (3, 9)]]
    return (rng.permutation(np.repeat([1, 2, 3, 4, 7], numbers)),)


def _draw_matrix(rng):
    V = int(rng.integers(4, 8))
    c = rng.poisson(1.2, (V, V + 2))
    c[:, 0] += 1  # no empty context
    c[0] += 1  # no word without a context
    return c, float(rng.uniform(0.3, 0.9))


def draw_sentences(rng, count):
    """Sentences of the grammar, as lists of words.

    Parameters
    ----------
    rng : np.random.Generator
    count : int

    Returns
    -------
    list of list of str
    """
    return [list(sample(rng).english) for _ in range(count)]


def judge_model(vocabulary, probability, sentences, rng):
    """Perplexity of a model on sentences, after a look at whether it is one.

    Parameters
    ----------
    vocabulary : set or frozenset of str
        Its words, without the three specials. Every other word is read as ``<unk>``.
    probability : callable
        ``probability(context, word)``, where the context is a tuple of what was read from ``<s>`` on.
    sentences : list of list of str
        They are scored with ``</s>`` and without ``<s>``.
    rng : np.random.Generator
        Draws the order in which the probabilities in a context are asked for.

    Returns
    -------
    float

    Raises
    ------
    AssertionError
        If the probabilities of the vocabulary, ``<unk>`` and ``</s>`` do not sum to one, or one is negative.
    """
    if not isinstance(vocabulary, (set, frozenset)) or not all(isinstance(word, str) for word in vocabulary):
        raise AssertionError("the vocabulary must be a set of words")
    if vocabulary & {UNKNOWN, BEGIN, END}:
        raise AssertionError(f"leave {UNKNOWN}, {BEGIN} and {END} out of the vocabulary")
    if len(vocabulary) > 1000:
        raise AssertionError(f"a vocabulary of 1,000 words is enough, got {len(vocabulary):,d}")
    events = sorted(vocabulary | {UNKNOWN, END})
    logs = []
    for sentence in sentences:
        read = (BEGIN, *(word if word in vocabulary else UNKNOWN for word in sentence), END)
        for t in range(1, len(read)):
            # What came is scored from the answers that must sum to one, asked for in a random order.
            p = {events[i]: probability(read[:t], events[i]) for i in rng.permutation(len(events))}
            _check_distribution(p, read[:t])
            logs.append(_log(p[read[t]]))
    return perplexity(np.array(logs))


def _check_distribution(p, context):
    values = np.array(list(p.values()), float)
    if not (values >= 0).all() or not abs(values.sum() - 1) <= 1e-9:
        raise AssertionError(
            f"after {' '.join(context)!r} the probabilities must be at least 0 and sum to one, "
            f"got a smallest of {values.min():.3g} and a sum of {values.sum():.6f}"
        )


def _log(p):
    with np.errstate(divide="ignore"):
        return min(float(np.log(p)), 0.0)


def _judge_low(answer, rng):
    bound = float(rng.uniform(1.7, 2.0))
    train, test = draw_sentences(rng, 300), draw_sentences(rng, 200)
    returned = answer([list(sentence) for sentence in train])
    if not isinstance(returned, (tuple, list)) or len(returned) != 2 or not callable(returned[1]):
        raise AssertionError("return a set of words and a function (context, word) -> probability")
    reached = judge_model(*returned, test, rng)
    if reached == np.inf:
        raise AssertionError("something occurred to which your model gives the probability 0")
    if not reached < bound:
        raise AssertionError(
            f"your model is one, with a perplexity of {reached:.3f} on 200 fresh sentences; asked for is "
            f"less than {bound:.3f}."
        )


QUESTIONS = {
    "q1": Parity(corpus_perplexity, _draw_rows, ("perplexity",), CORPUS),
    "q2": Parity(modified_discounts, _draw_counts, ("discounts",), DISCOUNTS),
    "q3": Parity(kneser_ney_bigram, _draw_matrix, ("P",), KN),
    "q4": Parity(witten_bell, lambda rng: _draw_matrix(rng)[:1], ("P",), WITTEN_BELL),
    "q5": Property(_judge_low),
}
