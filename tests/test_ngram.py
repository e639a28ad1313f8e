"""n-gram models: against a slow estimator written from the formulas, kenlm, nltk, and one another."""

import itertools
import json
import math
import os
import re
from collections import Counter
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.lm import KneserNeyInterpolated
from nltk.lm.preprocessing import padded_everygram_pipeline
from nltk.util import everygrams

from rnncourse.data.grammar import sample, true_logprob
from rnncourse.data.words import WordVocabulary
from rnncourse.grading.check import check
from rnncourse.ngram.arpa import SPACE, read_arpa, write_arpa
from rnncourse.ngram.exercise import judge_model
from rnncourse.ngram.experiment import VOCABULARY, fallbacks, grammar_run
from rnncourse.ngram.explorable import compute, explorable, random_input
from rnncourse.ngram.numpy import (
    BOS,
    EOS,
    FALLBACK,
    SMOOTHINGS,
    SPECIALS,
    absolute_discount,
    add_k,
    adjusted_counts,
    bits,
    count_ngrams,
    estimate,
    fit,
    fit_stream,
    interpolate,
    jelinek_mercer,
    kneser_ney,
    maximum_likelihood,
    modified_discounts,
    next_word_probabilities,
    ngram_vocabulary,
    perplexity,
    prune,
    sentence_logprobs,
    stream_logprobs,
    to_stream,
    tune_lambdas,
)
from rnncourse.testing import relative_error

TINY = [list("ab"), list("aab")]
SETTINGS = {"add-k": {"k": 0.3}, "jelinek-mercer": {"lambdas": [0.1, 0.15, 0.2, 0.25, 0.2, 0.1]}}


def options(smoothing, order):
    """What a smoothing needs, for models of that order."""
    chosen = dict(SETTINGS.get(smoothing, {}))
    if "lambdas" in chosen:
        weights = np.array(chosen["lambdas"][: order + 1])
        chosen["lambdas"] = weights / weights.sum()
    return chosen


def random_corpus(seed, size=40, letters="abcdef"):
    """Sentences of 0 to 7 words; frequent and rare words, and one that the vocabulary does not have."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(len(letters)))
    sentences = [list(rng.choice(list(letters), rng.integers(0, 8), p=p)) for _ in range(size)]
    sentences[0] = list("abcdef"[: len(letters)]) + ["rare"]
    return sentences, WordVocabulary((*SPECIALS, *letters, "never"), (0,) * (len(letters) + 4))


# The oracle: dictionaries and the formulas of Chen and Goodman (1999), one probability at a time.


class Slow:
    """Any of the five estimates, from tuples of words."""

    def __init__(self, sentences, vocabulary, order, smoothing, k=None, lambdas=None):
        known = set(vocabulary.words)
        self.events = [word for word in vocabulary.words if word != "<s>"]
        self.n, self.smoothing, self.k, self.lambdas = order, smoothing, k, lambdas
        self.c = Counter()
        for sentence in sentences:
            line = ("<s>", *(word if word in known else "<unk>" for word in sentence), "</s>")
            for end in range(1, len(line)):
                for m in range(1, min(order, end + 1) + 1):
                    self.c[line[end - m + 1 : end + 1]] += 1
        self.followers = {}
        for gram, count in self.c.items():
            self.followers.setdefault(gram[:-1], {})[gram[-1]] = count
        lefts = {}
        for gram in self.c:
            lefts.setdefault(gram[1:], set()).add(gram[0])
        self.a = {
            gram: count if len(gram) == order or gram[0] == "<s>" else len(lefts[gram])
            for gram, count in self.c.items()
        }
        self.D = {m: self.discounts(m) for m in range(1, order + 1)}

    def discounts(self, m):
        """Of order m; the modified ones by the rule of KenLM.

        D_n(k) = k - (k + 1) t_1 t_(k+1) / ((t_1 + 2 t_2) t_k) with t_k the m-grams whose adjusted count is k
        (Heafield et al., 2013, section 3.2). KenLM gives the order up where it would divide by a t_k of 0, or
        one D_n(k) is not between 0 and k; --discount_fallback then has 0.5, 1 and 1.5.
        """
        t = Counter(a for gram, a in self.a.items() if len(gram) == m)
        if self.smoothing == "kneser-ney":
            D = t[1] / (t[1] + 2 * t[2]) if t[1] and t[2] else 0.5
            return [D, D, D]
        found = []
        for k in (1, 2, 3):
            if t[k] == 0:
                return [0.5, 1.0, 1.5]
            found.append(k - (k + 1) * t[1] * t[k + 1] / ((t[1] + 2 * t[2]) * t[k]))
            if not 0 <= found[-1] <= k:
                return [0.5, 1.0, 1.5]
        return found

    def p(self, word, context):
        """P(word | context), a tuple that begins with <s> or has n - 1 words."""
        context = context[max(0, len(context) - self.n + 1) :]
        while context and context not in self.followers and self.smoothing != "add-k":
            context = context[1:]
        if self.smoothing == "maximum-likelihood":
            seen = self.followers[context]
            return seen.get(word, 0) / sum(seen.values())
        if self.smoothing == "add-k":
            seen = self.followers.get(context, {})
            return (seen.get(word, 0) + self.k) / (sum(seen.values()) + self.k * len(self.events))
        if self.smoothing == "jelinek-mercer":
            total = self.lambdas[0] / len(self.events)
            for j in range(len(context) + 1):
                seen = self.followers[context[len(context) - j :]]
                total += self.lambdas[j + 1] * seen.get(word, 0) / sum(seen.values())
            return total / sum(self.lambdas[: len(context) + 2])
        return self.discounted(word, context)

    def discounted(self, word, context):
        shorter = self.p(word, context[1:]) if context else 1 / len(self.events)
        grams = {w: self.a[(*context, w)] for w in self.followers[context]}
        D = self.D[len(context) + 1]
        total = sum(grams.values())
        N = [sum(a == r for a in grams.values()) for r in (1, 2)]
        N.append(sum(a >= 3 for a in grams.values()))
        gamma = sum(d * n for d, n in zip(D, N, strict=True)) / total
        count = grams.get(word, 0)
        return (count - D[min(count, 3) - 1] if count else 0) / total + gamma * shorter


def contexts_of(sentences, vocabulary, seed=0):
    """Beginnings of sentences: none, those of the corpus, and some that never occur."""
    rng = np.random.default_rng(seed)
    words = [w for w in vocabulary.words if w not in ("<s>", "</s>")]
    seen = [s[: rng.integers(0, len(s) + 1)] for s in sentences[:12]]
    return [[], *seen, *(list(rng.choice(words, rng.integers(1, 6))) for _ in range(12))]


def compare_with_slow(sentences, vocabulary, model, smoothing, order):
    oracle = Slow(sentences, vocabulary, order, smoothing, **options(smoothing, order))
    known = set(vocabulary.words)
    for context in contexts_of(sentences, vocabulary):
        ours = next_word_probabilities(model, context)
        line = ("<s>", *(w if w in known else "<unk>" for w in context))
        theirs = [0.0 if w == "<s>" else oracle.p(w, line) for w in vocabulary.words]
        assert relative_error(ours, theirs) < 1e-10, (smoothing, order, context)
        assert abs(ours.sum() - 1) < 1e-12


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("order", range(1, 6))
def test_every_estimate_is_the_slow_one(smoothing, order):
    for seed in range(3):
        sentences, vocabulary = random_corpus(seed, size=(8, 40, 150)[seed])
        model = fit(sentences, order, smoothing, vocabulary=vocabulary, **options(smoothing, order))
        compare_with_slow(sentences, vocabulary, model, smoothing, order)


def test_the_random_corpora_use_discounts_and_the_fallback():
    used, no_four = set(), 0
    for seed, size in ((0, 8), (1, 40), (2, 150)):
        sentences, vocabulary = random_corpus(seed, size=size)
        counts = count_ngrams(to_stream(sentences, vocabulary), len(vocabulary), 5)
        for count in adjusted_counts(counts):
            discounts = modified_discounts(count)
            used.add(tuple(discounts) == FALLBACK)
            no_four += discounts[2] == 3
    assert used == {True, False} and no_four > 0


@given(
    st.lists(st.lists(st.sampled_from("abc"), max_size=5), min_size=1, max_size=12),
    st.sampled_from(SMOOTHINGS),
)
@settings(max_examples=60, deadline=None)
def test_any_corpus_gives_distributions_and_the_slow_estimate(sentences, smoothing):
    vocabulary = WordVocabulary((*SPECIALS, "a", "b", "d"), (0,) * 6)
    model = fit(sentences, 3, smoothing, vocabulary=vocabulary, **options(smoothing, 3))
    compare_with_slow(sentences, vocabulary, model, smoothing, 3)


def prepared(seed=1, order=3, size=60):
    """Counts of a random corpus, its vocabulary and its stream."""
    sentences, vocabulary = random_corpus(seed, size)
    stream = to_stream(sentences, vocabulary)
    return count_ngrams(stream, len(vocabulary), order), vocabulary, stream, sentences


def table(vocabulary, counts, probs):
    """Each m-gram's words and its number."""
    grams, found = [()], {}
    for prefix, word, values in zip(counts.prefix, counts.word, probs, strict=True):
        grams = [(*grams[p], vocabulary.words[w]) for p, w in zip(prefix, word, strict=True)]
        found |= dict(zip(grams, values.tolist(), strict=True))
    return found


def test_counts_are_those_of_a_counter():
    for order in range(1, 6):
        counts, vocabulary, _, sentences = prepared(order=order)
        oracle = Slow(sentences, vocabulary, order, "kneser-ney")
        found = table(vocabulary, counts, counts.count)
        assert {g: c for g, c in found.items() if c} == oracle.c
        assert {g: c for g, c in table(vocabulary, counts, adjusted_counts(counts)).items() if c} == oracle.a
        assert {len(g) for g, c in found.items() if not c} == {1}
        places = table(vocabulary, counts, [np.arange(len(w)) for w in counts.word])
        for m in range(1, order):
            suffixes = table(vocabulary, counts, counts.suffix)
            assert all(places[g[1:]] == s for g, s in suffixes.items() if len(g) == m + 1)


def test_ids_may_be_too_many_for_one_integer():
    counts, vocabulary, stream, _ = prepared(order=5)
    scale = 400_000
    spread = np.where(stream < 3, stream, stream * scale)
    V = len(vocabulary) * scale
    assert V**5 > np.iinfo(int).max
    large = count_ngrams(spread, V, 5)
    for m in range(1, 5):
        np.testing.assert_array_equal(large.count[m], counts.count[m])
        small = counts.word[m]
        np.testing.assert_array_equal(large.word[m], np.where(small < 3, small, small * scale))


# Equations.


def per_gram(order, smoothing, probs, counts, vocabulary, sentences):
    """Compare an estimate's tables with the slow one, whole contexts only."""
    oracle = Slow(sentences, vocabulary, order, smoothing, **options(smoothing, order))
    pairs = [
        (p, oracle.p(g[-1], g[:-1]))
        for g, p in table(vocabulary, counts, probs).items()
        if g != ("<s>",) and (len(g) == order or g[0] == "<s>")
    ]
    ours, theirs = np.array(pairs).T
    assert len(ours) > 5 and relative_error(ours, theirs) < 1e-12


@pytest.mark.equation("ngram-ml")
def test_maximum_likelihood():
    counts, vocabulary, _, sentences = prepared()
    per_gram(3, "maximum-likelihood", maximum_likelihood(counts).prob, counts, vocabulary, sentences)


@pytest.mark.equation("ngram-add-k")
def test_add_k():
    counts, vocabulary, _, sentences = prepared()
    per_gram(3, "add-k", add_k(counts, 0.3).prob, counts, vocabulary, sentences)


@pytest.mark.equation("ngram-jm")
def test_jelinek_mercer():
    counts, vocabulary, _, sentences = prepared()
    lambdas = options("jelinek-mercer", 3)["lambdas"]
    per_gram(3, "jelinek-mercer", jelinek_mercer(counts, lambdas).prob, counts, vocabulary, sentences)


@pytest.mark.equation("ngram-continuation")
@pytest.mark.equation("ngram-kn")
def test_kneser_ney():
    for order in (1, 2, 3, 4):
        counts, vocabulary, _, sentences = prepared(size=150, order=order)
        for smoothing, rule in (
            ("kneser-ney", absolute_discount),
            ("modified-kneser-ney", modified_discounts),
        ):
            probs = kneser_ney(counts, [rule(a) for a in adjusted_counts(counts)]).prob
            per_gram(order, smoothing, probs, counts, vocabulary, sentences)


@pytest.mark.equation("ngram-interpolation")
def test_interpolation_by_hand():
    # Two words after <s> and a; b comes after a two times of three.
    stream = to_stream(TINY, ngram_vocabulary(TINY))
    counts = count_ngrams(stream, 5, 2)
    own = [np.array([0, 0, 0.2, 0.3, 0.1]), np.full(len(counts.word[1]), 0.25)]
    share = [np.array([0.4]), np.array([1, 0.5, 1, 0.6, 0.7])]
    probs, (backoff,) = interpolate(counts, own, share)
    np.testing.assert_allclose(probs[0], [0.1, 0, 0.3, 0.4, 0.2], rtol=1e-14)
    # The pairs are <s> a, a a, a b, b </s>.
    np.testing.assert_allclose(
        probs[1], 0.25 + np.array([0.5 * 0.4, 0.6 * 0.4, 0.6 * 0.2, 0.7 * 0.3]), rtol=1e-14
    )
    np.testing.assert_allclose(backoff, share[1], rtol=1e-14)


@pytest.mark.equation("ngram-discount")
def test_one_discount():
    counts = np.array([0, 1, 1, 1, 1, 1, 2, 2, 3, 7])
    np.testing.assert_allclose(absolute_discount(counts), 5 / 9 * np.ones(3), rtol=1e-14)
    # The discount is the zero of the leaving-one-out slope, if counts above 2 are left out.
    D = absolute_discount(counts)[0]
    assert abs(5 / D - 2 * 2 / (1 - D)) < 1e-12
    for none in ([1, 1, 3], [2, 2, 3], []):
        np.testing.assert_array_equal(absolute_discount(np.array(none, int)), 3 * [0.5])


@pytest.mark.equation("ngram-discounts")
def test_three_discounts():
    counts = np.repeat([0, 1, 2, 3, 4, 9], [5, 40, 15, 8, 5, 3])
    Y = 40 / 70
    right = [1 - 2 * Y * 15 / 40, 2 - 3 * Y * 8 / 15, 3 - 4 * Y * 5 / 8]
    np.testing.assert_allclose(modified_discounts(counts), right, rtol=1e-14)
    assert abs(modified_discounts(counts)[0] - absolute_discount(counts)[0]) < 1e-15
    # None is 1, 2 or 3; D_2 < 0; D_3 < 0.
    for numbers in ([0, 15, 8, 5], [40, 0, 8, 5], [40, 15, 0, 5], [4, 2, 20, 5], [40, 15, 2, 9]):
        counts = np.repeat([1, 2, 3, 4], numbers)
        np.testing.assert_array_equal(modified_discounts(counts), FALLBACK)
    # None is 4: as in KenLM, nothing is divided by that.
    no_four = modified_discounts(np.repeat([1, 2, 3, 7], [40, 15, 8, 2]))
    np.testing.assert_allclose(no_four, [*right[:2], 3], rtol=1e-14)


@pytest.mark.equation("ngram-backoff")
def test_scores_are_the_slow_ones():
    for order in (1, 2, 3, 4):
        counts, vocabulary, stream, sentences = prepared(order=order)
        fresh, _ = random_corpus(99, size=20)
        model = fit_stream(stream, vocabulary, order)
        oracle = Slow(sentences, vocabulary, order, "modified-kneser-ney")
        known = set(vocabulary.words)
        expected = []
        for sentence in fresh:
            line = ("<s>", *(w if w in known else "<unk>" for w in sentence), "</s>")
            expected += [math.log(oracle.p(line[i], line[:i])) for i in range(1, len(line))]
        ours = stream_logprobs(model, to_stream(fresh, vocabulary))
        assert relative_error(ours, np.array(expected)) < 1e-10
        by_sentence = sentence_logprobs(model, fresh)
        assert [len(s) + 1 for s in fresh] == [len(row) for row in by_sentence]
        np.testing.assert_array_equal(np.concatenate(by_sentence), ours)


@pytest.mark.equation("ngram-perplexity")
def test_perplexity_of_the_two_words():
    model = fit(TINY, 2, "maximum-likelihood")
    (logprobs,) = sentence_logprobs(model, [list("ab")])
    assert abs(perplexity(logprobs) - 1.5 ** (1 / 3)) < 1e-14
    assert abs(perplexity(np.log([0.5, 0.125])) - 4) < 1e-14
    assert abs(perplexity(np.log([0.5, 0.25, 0.5, 1])) - 2) < 1e-14
    assert perplexity(np.array([-1.0, -np.inf])) == np.inf


@pytest.mark.equation("ngram-bits")
def test_bits():
    logprobs = np.log([0.5, 0.125, 1, 0.25])
    assert abs(bits(logprobs) - 1.5) < 1e-14
    assert abs(bits(logprobs, 12) - 0.5) < 1e-14
    assert abs(2 ** bits(logprobs) - perplexity(logprobs)) < 1e-12


def held_out_loss(counts, vocabulary, lambdas, stream):
    probs, backoffs = jelinek_mercer(counts, lambdas)
    keys = tuple(p * counts.V + w for p, w in zip(counts.prefix, counts.word, strict=True))
    with np.errstate(divide="ignore"):
        model = fit_stream(stream, vocabulary, len(keys))._replace(
            keys=keys, logprob=tuple(map(np.log, probs)), backoff=tuple(map(np.log, backoffs))
        )
    return -stream_logprobs(model, stream).mean()


@pytest.mark.equation("ngram-em")
def test_tuned_weights_are_the_best_nearby():
    train, _, _ = corpus_for_tools()
    vocabulary = ngram_vocabulary(train[:160])
    counts = count_ngrams(to_stream(train[:60], vocabulary), len(vocabulary), 3)
    rng = np.random.default_rng(5)
    stream = to_stream(train[60:160], vocabulary)
    lambdas = tune_lambdas(counts, stream, steps=500)
    assert abs(lambdas.sum() - 1) < 1e-12 and (lambdas > 1e-3).all()
    best = held_out_loss(counts, vocabulary, lambdas, stream)
    for _ in range(40):
        other = lambdas * np.exp(rng.normal(scale=0.2, size=4))
        assert held_out_loss(counts, vocabulary, other / other.sum(), stream) > best
    # Expectation-maximisation never goes up.
    losses = [
        held_out_loss(counts, vocabulary, tune_lambdas(counts, stream, s), stream) for s in (1, 2, 4, 8, 16)
    ]
    assert (np.diff(losses) < 1e-12).all()


@pytest.mark.equation("ngram-prune")
def test_pruned_models_sum_to_one():
    counts, vocabulary, stream, sentences = prepared(order=4, size=120)
    model = fit_stream(stream, vocabulary, 4)
    keep = [count > 1 for count in counts.count[1:]]
    pruned = prune(model, keep)
    assert [len(k) for k in pruned.keys[1:]] == [int(k.sum()) for k in keep]
    full, kept = table(vocabulary, counts, model.logprob), set()
    for context in contexts_of(sentences, vocabulary):
        p = next_word_probabilities(pruned, context)
        assert abs(p.sum() - 1) < 1e-12
        line = ("<s>", *context)[-3:]
        for word in vocabulary.words:
            gram = (*line, word)
            if gram in full and table(vocabulary, counts, counts.count)[gram] > 1:
                kept.add(gram)
                assert abs(math.log(p[vocabulary.id(word)]) - full[gram]) < 1e-12
    assert len(kept) > 5
    everything = prune(model, [np.ones(len(k), bool) for k in keep])
    for ours, theirs in zip(everything.backoff, model.backoff, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-10)


def test_without_the_end_every_length_sums_to_one():
    sentences = [list("ab"), list("ba"), list("aab")]
    model = fit(sentences, 2, "add-k", k=0.5)
    without = np.log(
        1 - np.array([next_word_probabilities(model, c)[EOS] for c in ([], ["a"], ["b"], ["x"])])
    )
    stop = dict(zip([(), "a", "b", "<unk>"], without, strict=True))
    with_end = []
    for length in range(6):
        words = [list(w) for w in itertools.product(["a", "b", "<unk>"], repeat=length)]
        rows = sentence_logprobs(model, words)
        with_end.append(sum(np.exp(row.sum()) for row in rows))
        # Without </s> among the events, the others share its probability.
        given = [[stop[before] for before in ((), *w[:-1])][:length] for w in words]
        total = sum(np.exp(row[:-1].sum() - sum(g)) for row, g in zip(rows, given, strict=True))
        assert abs(total - 1) < 1e-12
    assert 0.8 < sum(with_end) < 1


def test_the_loss_is_above_that_of_the_source_but_on_its_own_text():
    train, test, vocabulary = corpus_for_tools()
    model = fit(train, 4)
    loss = {
        n: -np.concatenate(sentence_logprobs(model, s)).mean()
        for n, s in (("own", train), ("new", test[:60]))
    }
    true = {
        n: -sum(map(true_logprob, s)) / sum(len(w) + 1 for w in s)
        for n, s in (("own", train), ("new", test[:60]))
    }
    assert loss["own"] < true["own"] - 0.3 and loss["new"] > true["new"] + 0.1


# Other tools.


@cache
def corpus_for_tools():
    rng = np.random.default_rng(3)
    train = [list(sample(rng).english) for _ in range(800)]
    test = [list(sample(rng).english) for _ in range(60)] + [["unheard", "cat"], []]
    return train, test, ngram_vocabulary(train, min_count=3)


def kenlm_module():
    """The module; skip the test without it, or fail if RNNCOURSE_REQUIRE_KENLM is 1."""
    try:
        import kenlm
    except ImportError:
        if os.environ.get("RNNCOURSE_REQUIRE_KENLM") == "1":
            pytest.fail("kenlm is not installed: `pip install kenlm` needs a C++ compiler")
        pytest.skip("kenlm is not installed")
    return kenlm


# Not maximum likelihood: KenLM reads the -99 that stands for a logarithm of 0 as a number.
@pytest.mark.parametrize("smoothing", [s for s in SMOOTHINGS if s != "maximum-likelihood"])
@pytest.mark.parametrize("order", range(2, 6))
def test_kenlm_scores_our_file_of_a_smoothed_model_as_we_do(tmp_path, order, smoothing):
    kenlm = kenlm_module()
    train, test, vocabulary = corpus_for_tools()
    model = fit(train, order, smoothing, vocabulary=vocabulary, **options(smoothing, order))
    write_arpa(tmp_path / "model.arpa", model)
    theirs = kenlm.Model(str(tmp_path / "model.arpa"))
    for sentence, ours in zip(test, sentence_logprobs(model, test), strict=True):
        scores = [score for score, _, _ in theirs.full_scores(" ".join(sentence))]
        np.testing.assert_allclose(ours / math.log(10), scores, atol=1e-4)


@pytest.mark.parametrize("seed, size, order", [(0, 8, 4), (1, 40, 3), (2, 150, 3), (2, 150, 5)])
def test_kenlm_reads_from_our_file_what_its_own_rule_estimates(tmp_path, seed, size, order):
    """The module kenlm has no estimator: its query against the slow one, which states the rule of KenLM's."""
    kenlm = kenlm_module()
    sentences, vocabulary = random_corpus(seed, size=size)
    write_arpa(tmp_path / "model.arpa", fit(sentences, order, vocabulary=vocabulary))
    theirs = kenlm.Model(str(tmp_path / "model.arpa"))
    oracle = Slow(sentences, vocabulary, order, "modified-kneser-ney")
    known = set(vocabulary.words)
    for context in contexts_of(sentences, vocabulary):
        line = ("<s>", *(word if word in known else "<unk>" for word in context), "</s>")
        expected = [math.log10(oracle.p(line[t], line[:t])) for t in range(1, len(line))]
        scores = [score for score, _, _ in theirs.full_scores(" ".join(context))]
        np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_kenlm_scores_a_model_of_characters(tmp_path):
    kenlm = kenlm_module()
    train, test, _ = corpus_for_tools()
    train, test = ([list(" ".join(words)) for words in part] for part in (train[:200], test))
    model = fit(train, 5)
    write_arpa(tmp_path / "model.arpa", model)
    theirs = kenlm.Model(str(tmp_path / "model.arpa"))
    known = 0
    for sentence, ours in zip(test, sentence_logprobs(model, test), strict=True):
        scores = list(theirs.full_scores(" ".join(SPACE if c == " " else c for c in sentence)))
        np.testing.assert_allclose(ours / math.log(10), [score for score, _, _ in scores], atol=1e-4)
        known += sum(c == " " and not oov for c, (_, _, oov) in zip(sentence, scores, strict=False))
    assert known > 300
    again = read_arpa(tmp_path / "model.arpa")
    assert again.vocabulary.words == model.vocabulary.words and " " in again.vocabulary


def test_trigrams_are_those_of_nltk():
    train, _, _ = corpus_for_tools()
    train = train[:60]
    vocabulary = ngram_vocabulary(train)
    counts = count_ngrams(to_stream(train, vocabulary), len(vocabulary), 3)
    probs = kneser_ney(counts, [np.zeros(3), np.full(3, 0.3), np.full(3, 0.3)]).prob
    oracle = KneserNeyInterpolated(3, discount=0.3)
    oracle.fit((everygrams(("<s>", *s, "</s>"), max_len=3) for s in train), vocabulary.words)
    trigrams = [(g, p) for g, p in table(vocabulary, counts, probs).items() if len(g) == 3]
    # nltk has no continuation counts of pairs that begin with <s>, so after those the two differ.
    inner = [(g, p) for g, p in trigrams if g[0] != "<s>"][::5]
    assert len(inner) > 40
    for gram, p in inner:
        assert abs(p - oracle.score(gram[2], gram[:2])) < 1e-12


def test_bigrams_are_those_of_nltk():
    train, _, _ = corpus_for_tools()
    train = train[:60]
    vocabulary = ngram_vocabulary(train)
    counts = count_ngrams(to_stream(train, vocabulary), len(vocabulary), 2)
    # nltk has one discount, and none for single words.
    probs = kneser_ney(counts, [np.zeros(3), np.full(3, 0.3)]).prob
    oracle = KneserNeyInterpolated(2, discount=0.3)
    oracle.fit(*padded_everygram_pipeline(2, train))
    ours = {g: p for g, p in table(vocabulary, counts, probs).items() if len(g) == 2}
    for gram in list(ours)[::5]:
        assert abs(ours[gram] - oracle.score(gram[1], gram[:1])) < 1e-12


# Files.


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_a_file_gives_the_model_back(tmp_path, smoothing):
    train, test, vocabulary = corpus_for_tools()
    model = fit(train, 3, smoothing, vocabulary=vocabulary, **options(smoothing, 3))
    write_arpa(tmp_path / "a.arpa", model)
    again = read_arpa(tmp_path / "a.arpa")
    assert again.vocabulary.words == vocabulary.words
    for field in ("keys", "logprob", "backoff"):
        for ours, theirs in zip(getattr(again, field), getattr(model, field), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-8)
    write_arpa(tmp_path / "b.arpa", again)
    assert (tmp_path / "a.arpa").read_bytes() == (tmp_path / "b.arpa").read_bytes()


SMALL = """\
\\data\\
ngram 1=4
ngram 2=2

\\1-grams:
-0.30103\ta\t-0.2
-99\t<s>\t-0.1
-0.4\t</s>
-1\tb

\\2-grams:
-0.1\t<s> a
-0.2\ta b

\\end\\
"""


def test_files_of_other_tools_are_read(tmp_path):
    path = tmp_path / "small.arpa"
    path.write_text("# Input file: x.txt\n# Token count: 7\n" + SMALL)
    model = read_arpa(path)
    assert model.vocabulary.words == (*SPECIALS, "a", "b")
    (logprobs,) = sentence_logprobs(model, [["a", "b", "b"]])
    # <s> a and a b are there; b b is not, and b has no weight; b </s> neither.
    np.testing.assert_allclose(logprobs / math.log(10), [-0.1, -0.2, -1, -0.4], rtol=1e-12)
    (logprobs,) = sentence_logprobs(model, [["b", "x"]])
    assert abs(logprobs[0] / math.log(10) + 1.1) < 1e-12 and logprobs[1] == -np.inf


BROKEN = [
    ("\\data\\", "\\date\\", r"small.arpa, line at the end: \\data\\ must stand here"),
    ("ngram 2=2", "ngram 3=2", "line 3: the size of order 2 must come here"),
    ("ngram 1=4\nngram 2=2\n", "", r"line 3: 'ngram 1=...' must stand after"),
    ("ngram 1=4", "ngram 1=5", "line 11: order 1 must have 5 lines, got 4"),
    ("ngram 1=4", "ngram 1=3", r"line 9: \\2-grams: must stand here, got '-1\\tb'"),
    ("-0.4\t</s>", "-0.4", "line 8: a line must hold a logarithm, 1 words and maybe a weight"),
    ("-0.1\t<s> a", "-0.1\t<s> a\t-1", "line 12: a line must hold a logarithm, 2 words"),
    ("-0.1\t<s> a", "minus\t<s> a", "line 12: a logarithm must be a number"),
    ("-0.1\t<s> a", "0.1\t<s> a", "line 12: the logarithm of a probability must not be above 0"),
    ("-0.2\ta b", "-0.2\t<s> a", "line 13: '<s> a' stands there a second time"),
    ("-0.2\ta b", "-0.2\tc b", "line 13: 'c b' needs 'b' and 'c' among the shorter"),
    ("\n\\end\\\n", "", r"line at the end: \\end\\ must stand here"),
    ("-99\t<s>\t-0.1", "-99\tz\t-0.1", "small.arpa: <s> must be among the 1-grams"),
]


@pytest.mark.parametrize("old, new, message", BROKEN)
def test_broken_files_name_the_line(tmp_path, old, new, message):
    path = tmp_path / "small.arpa"
    assert SMALL.count(old) == 1
    path.write_text(SMALL.replace(old, new))
    with pytest.raises(ValueError, match=message):
        read_arpa(path)


def test_words_with_blanks_do_not_fit_into_a_file(tmp_path):
    for word in ("a b", "\t", "", "  "):
        with pytest.raises(ValueError, match="must hold no white space, got " + re.escape(repr(word))):
            write_arpa(tmp_path / "x.arpa", fit([["a", word]], 2))
    with pytest.raises(ValueError, match="<space> stands for the blank"):
        write_arpa(tmp_path / "x.arpa", fit([["a", SPACE]], 2))


def test_messages():
    vocabulary = ngram_vocabulary(TINY)
    stream = to_stream(TINY, vocabulary)
    counts = count_ngrams(stream, 5, 2)
    model = fit(TINY, 2)
    plain = WordVocabulary(("a", "b"), (1, 1))
    cases = [
        (lambda: fit(TINY, 0), "order must be an integer of at least 1, got 0"),
        (lambda: fit(TINY, 2.0), "order must be an integer"),
        (lambda: fit([], 2), "sentences must hold at least one sentence, got none"),
        (lambda: fit([[]], 2), "sentences must hold at least one word"),
        (lambda: fit("ab", 2), "sentences must be lists of words, got the string 'ab'"),
        (lambda: fit(["ab"], 2), "sentences must hold lists of words, got the string 'ab'"),
        (lambda: fit([["a"], ["<s>", "a"]], 2), "<s> must not stand inside a sentence, sentence 1 has one"),
        (lambda: sentence_logprobs(model, [["a", "</s>"]]), "</s> must not stand inside a sentence"),
        (lambda: sentence_logprobs(model, "ab"), "sentences must be lists of words"),
        (lambda: next_word_probabilities(model, "ab"), "must hold lists of words, got the string 'ab'"),
        (lambda: fit(TINY, 2, vocabulary=plain), "vocabulary must begin with <unk>, <s>, </s>, got a, b"),
        (lambda: fit(TINY, 2, "witten-bell"), "smoothing must be one of 'maximum-likelihood', 'add-k'"),
        (lambda: fit(TINY, 2, "add-k"), "k must be given for 'add-k', and there only, got None"),
        (lambda: fit(TINY, 2, k=1), "k must be given for 'add-k', and there only, got 1"),
        (lambda: fit(TINY, 2, "add-k", k=0), "k must be a number above 0, got 0"),
        (lambda: fit(TINY, 2, "add-k", k=-0.5), "k must be a number above 0, got -0.5"),
        (lambda: fit(TINY, 2, "add-k", k=math.nan), "k must be a number above 0, got nan"),
        (lambda: fit(TINY, 2, "jelinek-mercer"), "lambdas must be given for 'jelinek-mercer'"),
        (lambda: jelinek_mercer(counts, [0.5, 0.2, 0.2]), "lambdas must sum to one, none negative"),
        (lambda: jelinek_mercer(counts, [0.6, 0.6, -0.2]), "lambdas must sum to one, none negative"),
        (lambda: jelinek_mercer(counts, [0, 0.5, 0.5]), "and the first above 0, got"),
        (
            lambda: jelinek_mercer(counts, [0.5, 0.5]),
            r"lambdas must have shape \(n\+1,\) = \(3,\), got \(2,\)",
        ),
        (lambda: kneser_ney(counts, [[1, 1, 1]]), r"discounts must have shape \(n, r\) = \(2, 3\)"),
        (lambda: kneser_ney(counts, [[1, 1, 1], [1, 1, 4]]), "discounts must lie between 0 and 1, 2, 3"),
        (lambda: count_ngrams(stream, 4, 2), "stream must lie in 0 .. V - 1 = 3, got 1 .. 4"),
        (lambda: count_ngrams(-stream, 5, 2), "stream must lie in 0 .. V - 1"),
        (lambda: count_ngrams(stream * 1.0, 5, 2), "stream must hold integers, got dtype float64"),
        (lambda: count_ngrams(stream[:0], 5, 2), "stream must hold at least one sentence, got none"),
        (lambda: count_ngrams(stream[None], 5, 2), r"stream must have shape \(N,\)"),
        (lambda: count_ngrams(stream[1:], 5, 2), "stream must begin with <s>"),
        (lambda: stream_logprobs(model, stream[:-1]), "stream must begin with <s> .* and end with </s>"),
        (lambda: stream_logprobs(model, np.array([BOS, 3, BOS, EOS])), "got <s> inside a sentence at 2"),
        (lambda: stream_logprobs(model, np.array([BOS, EOS, 3, EOS])), "got no <s> after </s> at 2"),
        (lambda: stream_logprobs(model, stream + 1), "stream must lie in 0 .. V - 1 = 4, got 2 .. 5"),
        (lambda: perplexity(np.array([])), "logprobs must hold at least one number, none above 0"),
        (lambda: perplexity(np.array([0.5])), "none above 0"),
        (lambda: perplexity(np.array([np.nan])), "none above 0"),
        (lambda: perplexity(np.zeros((2, 2))), r"logprobs must have shape \(N,\)"),
        (lambda: bits(np.zeros(2), 0), "symbols must be an integer of at least 1, got 0"),
        (lambda: tune_lambdas(counts, stream, 0), "steps must be an integer of at least 1"),
        (lambda: prune(model, []), "keep must have one array for each order from 2 to 2, got 0"),
        (lambda: prune(model, [np.ones(3, bool)]), r"keep\[0\] must have shape \(N,\)"),
        (lambda: prune(model, [np.ones(4, int)]), r"keep\[0\] must hold True and False, got dtype int64"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()


def test_pruning_keeps_what_is_needed():
    counts, vocabulary, stream, _ = prepared(order=3)
    keep = [np.zeros(len(counts.word[1]), bool), np.ones(len(counts.word[2]), bool)]
    with pytest.raises(ValueError, match=r"keep\[1\] holds m-grams whose first or last words are not kept"):
        prune(fit_stream(stream, vocabulary, 3), keep)


def test_pruning_of_relative_frequencies_leaves_nothing_and_no_nan():
    train, _, vocabulary = corpus_for_tools()
    model = fit(train, 3, "maximum-likelihood", vocabulary=vocabulary)
    pruned = prune(model, [np.ones(len(keys), bool) for keys in model.keys[1:]])
    assert not any(np.isnan(backoff).any() for backoff in pruned.backoff)
    for context in contexts_of(train, vocabulary):
        np.testing.assert_allclose(
            next_word_probabilities(pruned, context), next_word_probabilities(model, context), atol=1e-12
        )


def test_weights_of_a_context_that_the_held_out_text_never_has():
    vocabulary = ngram_vocabulary(TINY)
    counts = count_ngrams(to_stream(TINY, vocabulary), 5, 5)
    lambdas = tune_lambdas(counts, to_stream([["b", "b"]], vocabulary))
    assert np.isfinite(lambdas).all() and abs(lambdas.sum() - 1) < 1e-12
    assert abs(lambdas[5] - 0.5) < 1e-12


def test_weights_of_one_step_by_hand():
    # n = 1: after one step the weight of the order is the mean of 0.5 f / (0.5 f + 0.5 u).
    vocabulary = ngram_vocabulary(TINY)
    counts = count_ngrams(to_stream(TINY, vocabulary), 5, 1)
    f = np.array([2 / 7, 2 / 7])  # b and </s>; a has 3 of 7
    right = (f / (f + 1 / 4)).mean()
    lambdas = tune_lambdas(counts, to_stream([["b"]], vocabulary), 1)
    np.testing.assert_allclose(lambdas, [1 - right, right], rtol=1e-12)
    # Held-out words that were never seen: no weight reaches 0 or 1.
    np.testing.assert_allclose(
        tune_lambdas(count_ngrams(np.array([BOS, 3, EOS]), 5, 2), np.array([BOS, 4, EOS]), 200)[2],
        1e-6,
        rtol=1e-3,
    )


def test_vocabularies_may_be_bounded():
    assert ngram_vocabulary(TINY, max_size=1).words == (*SPECIALS, "a")
    assert ngram_vocabulary([*TINY, ["c"]], min_count=2).words == (*SPECIALS, "a", "b")


def test_sentences_may_come_from_a_generator():
    model = fit((s for s in TINY), 2)
    for ours, again in zip(fit(TINY, 2).logprob, model.logprob, strict=True):
        np.testing.assert_array_equal(ours, again)
    rows = sentence_logprobs(model, (s for s in TINY))
    assert [len(row) for row in rows] == [3, 4]


def test_estimate_needs_counts_only():
    counts, vocabulary, stream, _ = prepared()
    for smoothing in SMOOTHINGS:
        probs, _ = estimate(counts, smoothing, **options(smoothing, 3))
        model = fit_stream(stream, vocabulary, 3, smoothing, **options(smoothing, 3))
        with np.errstate(divide="ignore"):
            np.testing.assert_array_equal(np.log(probs[2]), model.logprob[2])


@given(st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_the_order_of_the_sentences_changes_nothing(random):
    sentences, vocabulary = random_corpus(4, size=30)
    shuffled = random.sample(sentences, len(sentences))
    one, other = (fit(s, 3, vocabulary=vocabulary) for s in (sentences, shuffled))
    for a, b in zip(one.keys + one.logprob, other.keys + other.logprob, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    scores = dict(zip(map(tuple, sentences), sentence_logprobs(one, sentences), strict=True))
    for sentence, row in zip(shuffled, sentence_logprobs(one, shuffled), strict=True):
        np.testing.assert_array_equal(row, scores[tuple(sentence)])


def test_a_sentence_is_the_product_of_its_next_words():
    sentences, vocabulary = random_corpus(5)
    model = fit(sentences, 3, vocabulary=vocabulary)
    words = ["a", "unheard", "c", "b"]
    steps = [next_word_probabilities(model, words[:t]) for t in range(5)]
    ids = [*vocabulary.encode(words), EOS]
    (logprobs,) = sentence_logprobs(model, [words])
    np.testing.assert_allclose(np.exp(logprobs), [p[i] for p, i in zip(steps, ids, strict=True)], rtol=1e-12)
    assert all(p[BOS] == 0 for p in steps)


def test_the_recorded_experiment_is_run_again_in_part():
    run = grammar_run(1, [20, 60], orders=(1, 3), tests=40)
    assert np.shape(run["test"]) == np.shape(run["train"]) == np.shape(run["entries"]) == (2, 2)
    assert min(map(min, run["test"])) > run["test_true"] > 1.5
    # n = 3 on 20 sentences has stored them.
    assert run["train"][0][1] < run["train_true"][0] < run["train"][0][0]
    assert run["entries"][1][1] > run["entries"][0][1] > run["entries"][0][0] == 122
    rng = np.random.default_rng(1)
    own = [list(sample(rng).english) for _ in range(60)]
    rng = np.random.default_rng(2026)
    fresh = [list(sample(rng).english) for _ in range(40)]
    for floor, sentences in ((run["train_true"][1], own), (run["test_true"], fresh)):
        tokens = sum(len(words) + 1 for words in sentences)
        assert abs(floor + sum(map(true_logprob, sentences)) / tokens) < 1e-12
    grams = {tuple(g) for s in own for g in lines_of(s, 3)} | {tuple(g) for s in own for g in lines_of(s, 2)}
    assert run["entries"][1][1] == 122 + len(grams)
    for i, size in enumerate((20, 60)):
        oracle = Slow(own[:size], VOCABULARY, 3, "modified-kneser-ney")
        assert run["fallback"][i][1] == sum(D == [0.5, 1.0, 1.5] for D in oracle.D.values())
    assert fallbacks(to_stream([["the"]], VOCABULARY), 2) == 2


def lines_of(sentence, n):
    """The n-grams of a sentence."""
    line = ["<s>", *sentence, "</s>"]
    return [line[i : i + n] for i in range(len(line) - n + 1)]


def test_the_figure_shows_a_distribution():
    data = explorable().data
    assert len(json.dumps(data)) < 200_000
    # What the chapter says of it.
    size = sum(len(words) for _, words, _ in data["contexts"].values())
    assert 8_350 < size < 8_500 and len(data["words"]) - 3 == 1_478
    ids = {word: i for i, word in enumerate(data["words"])}

    def probability(text, word):
        context = [ids.get(w, 0) for w in ("<s>", *text.split())][-3:]
        names = [" ".join(map(str, context[-j:])) for j in range(1, len(context) + 1)]
        levels = [data["contexts"].get(name) for name in names]
        result = compute({"unigrams": data["unigrams"], "levels": levels, "word": ids[word]})
        return math.exp(result["logprob"])

    opening, unknown = (probability(text, "his") for text in ("he stood in", "he goose in"))
    assert 3 < unknown / opening < 3.6
    assert 10 < probability("because behind", "because") / probability("because behind", "queen") < 20
    for context, (left, words, logprobs) in data["contexts"].items():
        below = [data["unigrams"][w] for w in words] if " " not in context else None
        if below and len(words) > 1:
            kept, known = np.exp(logprobs).sum(), np.exp(below).sum()
            assert abs(math.exp(left) - (1 - kept) / (1 - known)) < 0.01
    rng = np.random.default_rng(0)
    for i in range(20):
        given = random_input(rng)
        result = compute(given)
        words = range(len(data["unigrams"]))
        if i == 0:
            total = sum(math.exp(compute(given | {"word": w})["logprob"]) for w in words)
            assert abs(total - 1) < 0.01  # of rounding to two decimals
        assert sum(p for p in result["path"] if p is not None) == pytest.approx(result["logprob"])
        assert len(result["path"]) == len(given["levels"]) - result["level"] + 1


def test_models_that_are_none_are_refused():
    def answer(vocabulary, p):
        return lambda sentences: (vocabulary, lambda context, word: p)

    uniform = {"the", "is"}
    cases = [
        (
            answer(uniform, 0.24),
            "must be at least 0 and sum to one, got a smallest of 0.24 and a sum of 0.96",
        ),
        (answer(uniform, 0.5), "must be at least 0 and sum to one, got a smallest of 0.5 and a sum of 2"),
        (answer(uniform, 2), "must be at least 0 and sum to one, got a smallest of 2 and a sum of 8"),
        (answer(uniform, math.nan), "must be at least 0 and sum to one"),
        (
            lambda sentences: (set(), lambda context, word: float(word == "<unk>")),
            "something occurred to which your model gives the probability 0",
        ),
        (answer(uniform, 0.25), "your model is one, with a perplexity of 4.000 on 200"),
        (answer(["the", "is"], 0.25), "the vocabulary must be a set of words"),
        (answer({"the", "</s>"}, 0.25), "leave <unk>, <s> and </s> out of the vocabulary"),
        (answer({str(i) for i in range(1001)}, 0.1), "a vocabulary of 1,000 words is enough, got 1,001"),
        (lambda sentences: uniform, "return a set of words and a function"),
    ]
    for wrong, message in cases:
        with pytest.raises(AssertionError, match=message):
            check("ngram.q5", wrong, seed=0)


def test_a_function_that_follows_the_judge_is_no_model():
    known = {word for word in VOCABULARY.words if word not in SPECIALS}
    last = [()]

    def follows(context, word):
        grew, last[0] = context[:-1] == last[0], (*context, word)[:-1]
        return 0.99 if grew else 1 / (len(known) + 2)

    with pytest.raises(AssertionError, match="sum to one"):
        check("ngram.q5", lambda sentences: (known, follows), seed=0)


def test_the_judge_counts_the_end_and_unknown_words():
    def probability(context, word):
        return {"a": 0.5, "<unk>": 0.375, "</s>": 0.125}[word]

    reached = judge_model(frozenset("a"), probability, [["a", "b"], ["a"]], np.random.default_rng(0))
    assert abs(reached - (0.5**2 * 0.375 * 0.125**2) ** (-1 / 5)) < 1e-12


def mutant_arguments(function, condition):
    """Arguments on which a mistake hides under `condition`."""
    if function in (perplexity, bits):
        logprobs = {
            "equal probabilities": np.log([0.3, 0.3, 0.3]),
            "certain tokens": np.zeros(3),
            "tokens": np.log([0.5, 0.2, 0.9]),
        }[condition]
        return (logprobs, 3) if function is bits else (logprobs,)
    if function is modified_discounts:
        # Y = 1/2 and n_3/n_2 = n_4/n_3, or the fallback.
        numbers = {"no threefold": [6, 3, 0, 2], "geometric counts of counts": [8, 4, 2, 1]}[condition]
        return (np.repeat([1, 2, 3, 4], numbers),)
    order = {"one order": 1, "order one": 1, "order two": 2, "weights of one half": 2}.get(condition, 3)
    if condition in ("all counts one", "counts of one and two"):
        sentences = [list("abcd")] if condition == "all counts one" else [list("abc"), list("bacd")]
        vocabulary = ngram_vocabulary(sentences)
        counts = count_ngrams(to_stream(sentences, vocabulary), len(vocabulary), order)
        return counts, np.tile([0.4, 0.7, 1.1], (order, 1))
    counts, vocabulary, stream, _ = prepared(order=order)
    if function is add_k:
        return counts, 1.0
    if function is jelinek_mercer:
        return counts, {1: [0.3, 0.7], 2: [0.25, 0.25, 0.5]}[order]
    if function is stream_logprobs:
        return fit_stream(stream, vocabulary, order), stream
    return (counts,)
