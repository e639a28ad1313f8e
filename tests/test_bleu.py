"""BLEU and chrF against sacrebleu, the bootstrap against its definition, the messages."""

import json
import math
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.significance import _bootstrap_resample

from rnncourse.bleu.exercise import _equal_orderings
from rnncourse.bleu.explorable import compute
from rnncourse.bleu.numpy import (
    SMOOTHINGS,
    bleu,
    bleu_statistics,
    brevity_penalty,
    chrf,
    chrf_statistics,
    clipped_matches,
    corpus_bleu,
    corpus_chrf,
    ngram_precisions,
    paired_bootstrap,
    percentile_interval,
    resample,
    sentence_bleu,
)
from rnncourse.grading.check import check
from rnncourse.testing import check_parity

TOLERANCE = 1e-9
CAT = "the cat sat on the mat".split(), "the cat is on the mat".split()


def drawn(seed=0, S=40, words=6, references=3, shortest=0):
    """Hypotheses, and one to `references` references of each.

    There are few words, so that n-grams repeat; half of the hypotheses are changed references, so that long
    n-grams match.
    """
    rng = np.random.default_rng(seed)

    def text():
        return [f"w{i}" for i in rng.integers(0, words, rng.integers(shortest, 12))]

    def changed(right):
        wrong = [word if rng.random() < 0.8 else f"w{rng.integers(words)}" for word in right]
        return wrong[rng.integers(2) :] if len(wrong) > shortest else wrong

    texts = [[text() for _ in range(rng.integers(1, references + 1))] for _ in range(S)]
    return [changed(some[-1]) if rng.random() < 0.5 else text() for some in texts], texts


def streams(hypotheses, references):
    """The same as sacrebleu takes it: lines, and the n-th references of all sentences; None is none."""
    most = max(map(len, references))
    lines = [[" ".join(text) for text in texts] + [None] * (most - len(texts)) for texts in references]
    return [" ".join(text) for text in hypotheses], [list(stream) for stream in zip(*lines, strict=True)]


def oracle(max_order=4, smoothing="none", value=None, effective_order=False):
    return sacrebleu.BLEU(
        tokenize="none",
        force=True,
        max_ngram_order=max_order,
        smooth_method=smoothing,
        smooth_value=value,
        effective_order=effective_order,
    )


def plain_matches(hypothesis, references, n):
    """The definition, n-gram by n-gram."""

    def grams(text):
        return Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))

    limits = [grams(text) for text in references]
    return sum(min(count, max(limit[gram] for limit in limits)) for gram, count in grams(hypothesis).items())


@pytest.mark.equation("bleu-clip")
def test_matches_are_those_of_the_definition():
    for seed in range(5):
        hypotheses, references = drawn(seed)
        expected = [
            [plain_matches(text, texts, n) for n in range(1, 6)]
            for text, texts in zip(hypotheses, references, strict=True)
        ]
        assert np.array_equal(clipped_matches(hypotheses, references, 5), expected)


@pytest.mark.equation("bleu-clip")
def test_the_seven_articles_of_papineni_match_twice():
    references = ["the cat is on the mat".split(), "there is a cat on the mat".split()]
    assert clipped_matches([["the"] * 7], [references], 2).tolist() == [[2, 0]]


@pytest.mark.equation("bleu-statistics")
def test_statistics_equal_sacrebleu():
    for seed in range(5):
        given = drawn(seed)
        expected = oracle()._extract_corpus_statistics(*streams(*given))
        assert np.array_equal(bleu_statistics(*given), expected)


@pytest.mark.equation("bleu-precision")
@pytest.mark.equation("bleu-smoothing")
@pytest.mark.equation("bleu-penalty")
@pytest.mark.equation("bleu-score")
def test_scores_of_sentences_equal_sacrebleu():
    statistics = bleu_statistics(*drawn(S=200))
    for smoothing in SMOOTHINGS:
        for value in (None, 0.3) if smoothing in ("floor", "add-k") else (None,):
            for effective_order in (False, True):
                settings = smoothing, value, effective_order
                scores = bleu(statistics, *settings)
                precisions = ngram_precisions(statistics, smoothing, value)
                for row, score, p in zip(statistics, scores, precisions, strict=True):
                    right = oracle(4, *settings)._compute_score_from_stats(row.tolist())
                    assert score == pytest.approx(right.score / 100, rel=0, abs=1e-12)
                    assert brevity_penalty(row[0], row[1]) == pytest.approx(right.bp, rel=1e-12)
                    if row[2]:  # else sacrebleu stops before the precisions
                        assert p == pytest.approx(np.array(right.precisions) / 100, rel=0, abs=1e-12)


@pytest.mark.equation("bleu-corpus")
@pytest.mark.equation("bleu-score")
def test_corpus_score_equals_sacrebleu():
    for seed in range(5):
        given = drawn(seed)
        for smoothing in SMOOTHINGS:
            right = oracle(4, smoothing).corpus_score(*streams(*given)).score / 100
            assert 0 < right == pytest.approx(corpus_bleu(*given, smoothing=smoothing), rel=1e-12)
            assert right == pytest.approx(bleu(bleu_statistics(*given).sum(0), smoothing), rel=1e-12)


TOKENS = st.sampled_from("abc") | st.text(min_size=1, max_size=4).filter(lambda t: t.split() == [t])
TEXTS = st.lists(TOKENS, max_size=8)
CORPORA = st.lists(st.tuples(TEXTS, st.lists(TEXTS, min_size=1, max_size=3)), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(
    CORPORA,
    st.integers(1, 5),
    st.sampled_from(
        [(s, None) for s in SMOOTHINGS] + [(s, v) for s in ("floor", "add-k") for v in (0, 0.4, 2)]
    ),
    st.booleans(),
)
def test_any_tokens_give_what_sacrebleu_gives(corpus, max_order, smoothing, effective_order):
    hypotheses, references = (list(side) for side in zip(*corpus, strict=True))
    method, value = smoothing
    right = oracle(max_order, method, value, effective_order).corpus_score(*streams(hypotheses, references))
    settings = {"smoothing": method, "value": value, "effective_order": effective_order}
    score = corpus_bleu(hypotheses, references, max_order, **settings)
    assert score == pytest.approx(right.score / 100, rel=0, abs=TOLERANCE)
    one = corpus_bleu(hypotheses[:1], references[:1], max_order, **settings)
    assert sentence_bleu(hypotheses[0], references[0], max_order, **settings) == one


@settings(max_examples=100, deadline=None)
@given(CORPORA, st.integers(1, 7), st.sampled_from([1, 2, 3]))
def test_any_tokens_give_the_chrf_of_sacrebleu(corpus, max_order, beta):
    hypotheses, references = (list(side) for side in zip(*corpus, strict=True))
    right = sacrebleu.CHRF(char_order=max_order, beta=beta).corpus_score(*streams(hypotheses, references))
    score = corpus_chrf(hypotheses, references, max_order, beta)
    assert score == pytest.approx(right.score / 100, rel=0, abs=TOLERANCE)


@pytest.mark.equation("bleu-chrf-statistics")
@pytest.mark.equation("bleu-chrf")
def test_chrf_equals_sacrebleu():
    metric = sacrebleu.CHRF()
    for seed in range(5):
        given = drawn(seed)
        right = np.array(metric._extract_corpus_statistics(*streams(*given)))
        statistics = chrf_statistics(*given)
        assert np.array_equal(statistics, right.reshape(-1, 6, 3).swapaxes(1, 2))
        expected = [metric._compute_f_score(row.tolist()) / 100 for row in right]
        check_parity({"scores": chrf(statistics)}, {"scores": np.array(expected)}, 1e-12)
        whole = metric.corpus_score(*streams(*given)).score / 100
        assert whole == pytest.approx(corpus_chrf(*given), rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 39))
def test_counts_of_parts_add_up_and_order_does_not_matter(seed, cut):
    hypotheses, references = drawn(seed)
    whole = bleu_statistics(hypotheses, references)
    parts = [bleu_statistics(hypotheses[s], references[s]) for s in (slice(cut), slice(cut, None))]
    assert np.array_equal(whole, np.concatenate(parts))
    order = np.random.default_rng(seed).permutation(len(hypotheses))
    moved = bleu_statistics([hypotheses[i] for i in order], [references[i] for i in order])
    assert np.array_equal(moved, whole[order])
    assert np.array_equal(bleu_statistics(hypotheses, [texts[::-1] for texts in references]), whole)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_ids_give_what_strings_give(seed):
    hypotheses, references = drawn(seed)
    right = bleu_statistics(hypotheses, references)
    # Any numbers, as long as they are different: large ones too.
    table = {f"w{i}": v for i, v in enumerate((2**31 - 1, 0, 5, 2**30, 77, 6))}

    def as_lists(text):
        return [table[word] for word in text]

    for convert in (as_lists, lambda text: np.array(as_lists(text)), lambda t: np.array(t, "U4")):
        texts = [[convert(text) for text in texts] for texts in references]
        assert np.array_equal(bleu_statistics([convert(text) for text in hypotheses], texts), right)
    objects, texts = ([np.array(t, object) for t in ts] for ts in (hypotheses, sum(references, [])))
    owner = np.cumsum([0, *map(len, references)])
    texts = [texts[a:b] for a, b in zip(owner, owner[1:], strict=False)]
    assert np.array_equal(bleu_statistics(objects, texts), right)
    # Integers of several kinds, none of them wide enough for the products of the count.
    texts = [[np.array(as_lists(text), np.uint64) for text in texts] for texts in references]
    unlike = [np.array(as_lists(text), np.int32) for text in hypotheses]
    assert np.array_equal(bleu_statistics(unlike, texts), right)
    texts = [[np.array(as_lists(text), np.int32) for text in texts] for texts in references]
    assert np.array_equal(bleu_statistics(unlike, texts), right)
    small = [np.array(as_lists(text), np.int32) if text else np.zeros(0) for text in hypotheses]
    texts = [[tuple(as_lists(text)) for text in texts] for texts in references]
    assert np.array_equal(bleu_statistics(small, texts), right)


def test_the_cat_on_paper():
    statistics = bleu_statistics([CAT[0]], [[CAT[1]]])[0]
    assert statistics.tolist() == [6, 6, 5, 3, 1, 0, 6, 5, 4, 3]
    assert ngram_precisions(statistics).tolist() == [5 / 6, 3 / 5, 1 / 4, 0]
    assert sentence_bleu(CAT[0], [CAT[1]], max_order=2) == pytest.approx(math.sqrt(0.5))
    assert sentence_bleu(CAT[0], [CAT[1]]) == 0
    assert brevity_penalty(5, 6) == pytest.approx(math.exp(-0.2))


def test_values_at_the_edges():
    nothing = [[]], [[["a"]]]
    assert corpus_bleu(*nothing) == corpus_bleu(*nothing, smoothing="exp", effective_order=True) == 0
    assert corpus_chrf(*nothing) == 0
    assert corpus_bleu([["a"]], [[[]]]) == corpus_bleu([[]], [[[]]], smoothing="add-k") == 0
    assert corpus_bleu([np.zeros(0)], [[np.zeros(0)]]) == 0
    assert corpus_bleu([["b"]], [[["a"]]], smoothing="floor", value=1) == 0  # no word matches
    assert [float(brevity_penalty(*lengths)) for lengths in ((0, 0), (0, 3), (3, 0), (3, 3))] == [1, 0, 1, 1]
    long = [list("abcde") * 1000]
    assert corpus_bleu(long, [long]) == corpus_chrf(long, [long]) == 1


def test_lengths_below_one_are_lengths():
    # Means of lengths, say.
    for c, r in ((0.5, 1), (0.9, 3)):
        assert brevity_penalty(c, r) == pytest.approx(math.exp(1 - r / c))


def test_beta_chooses_among_references():
    hypothesis, references = ["abcd"], [["ab"], ["abcdefghij"]]
    for beta in (0.2, 1, 2, 5):
        scores = [corpus_chrf([hypothesis], [[text]], 1, beta) for text in references]
        assert corpus_chrf([hypothesis], [references], 1, beta) == max(scores)
    first, last = (chrf_statistics([hypothesis], [references], 1, beta)[0, 1, 0] for beta in (0.2, 5))
    assert (first, last) == (10, 2)


def test_the_empty_reference_among_several_counts_for_the_length():
    assert bleu_statistics([["a"]], [[[], list("bcd")]])[0, :2].tolist() == [1, 0]


@pytest.mark.equation("bleu-bootstrap")
def test_resampled_counts_are_sums_over_the_drawn_sentences():
    for statistics in (bleu_statistics(*drawn()), chrf_statistics(*drawn())):
        drawn_sentences = np.random.default_rng(3).integers(0, len(statistics), (50, len(statistics)))
        expected = np.array([statistics[sentences].sum(0) for sentences in drawn_sentences])
        assert np.array_equal(resample(statistics, np.random.default_rng(3), 50), expected)


def test_resampled_scores_equal_those_of_sacrebleu(monkeypatch):
    monkeypatch.setenv("SACREBLEU_SEED", "7")
    metric, given = oracle(4, "exp"), drawn(shortest=4)
    _, right = _bootstrap_resample(metric._extract_corpus_statistics(*streams(*given)), metric, 100)
    scores = bleu(resample(bleu_statistics(*given), np.random.default_rng(7), 100), "exp")
    # The same sentences, drawn by another method of the generator; sacrebleu adds them up in float32.
    check_parity({"scores": 100 * scores}, {"scores": np.array([r.score for r in right])}, 1e-5)


@pytest.mark.equation("bleu-interval")
def test_interval_leaves_out_both_ends():
    values = np.random.default_rng(0).permutation(np.arange(1, 1002.0))
    check_parity(
        dict(enumerate(percentile_interval(values))), dict(enumerate((26.0, 976.0))), tolerance=1e-12
    )
    check_parity(
        dict(enumerate(percentile_interval(values, 0.9))), dict(enumerate((51.0, 951.0))), tolerance=1e-12
    )


@pytest.mark.equation("bleu-paired")
def test_pairs_are_drawn_together():
    hypotheses, references = drawn(shortest=4)
    first, second = (
        bleu_statistics([text[cut] for text in hypotheses], references)
        for cut in (slice(1, None), slice(None, -1))
    )
    for a, b in ((first, second), (second, first)):
        found = paired_bootstrap(a, b, np.random.default_rng(1), 200, lambda s: bleu(s, "exp"), 0.9)
        sentences = np.random.default_rng(1).integers(0, len(a), (200, len(a)))
        scores = [bleu(side[sentences].sum(1), "exp") for side in (a, b)]
        differences = scores[0] - scores[1]
        observed = bleu(a.sum(0), "exp") - bleu(b.sum(0), "exp")
        behind = differences <= 0 if observed > 0 else differences >= 0
        expected = observed, *np.quantile(differences, [0.05, 0.95]), behind.mean()
        check_parity(found._asdict(), dict(zip(found._fields, expected, strict=True)), 1e-12)
        assert 0 < found.reversals < 1


def test_equal_systems_do_not_differ():
    statistics = bleu_statistics(*drawn())
    assert paired_bootstrap(statistics, statistics, np.random.default_rng(0), 10) == (0, 0, 0, 1)


def test_explorable_marks_what_is_clipped():
    shown = compute(
        {
            "hypothesis": "the the the cat",
            "references": ["the cat the"],
            "smoothing": "none",
            "effective_order": False,
        }
    )
    words = shown["orders"][0]
    assert [gram["status"] for gram in words["grams"]] == ["match", "match", "clipped", "match"]
    assert words["matches"] == 3
    statistics = bleu_statistics(["the the the cat".split()], [["the cat the".split()]])[0]
    assert [order["matches"] for order in shown["orders"]] == statistics[2:6].tolist()
    json.dumps(shown)


def test_wrong_orderings_are_refused():
    rng = np.random.default_rng(0)

    def shuffled(hypothesis, reference, count):
        return np.stack([rng.permutation(hypothesis) for _ in range(count)])

    wrong = {
        "orderings have other counts; one has": shuffled,
        "return an array of shape": lambda h, r, count: h,
        "each row must hold the words": lambda h, r, count: np.stack([r] * count),
        "the rows must differ": lambda h, r, count: np.stack([h] * count),
    }
    for message, answer in wrong.items():
        with pytest.raises(AssertionError, match=message):
            check("bleu.q5", answer, seed=0)
    for answer, message in ((lambda h, r: len(h), "you count"), (lambda h, r: 6.0, "return an integer")):
        with pytest.raises(AssertionError, match=message):
            check("bleu.q6", answer, seed=0)


def _bleu_as_written(counts, penalty):
    c, r = counts[:2]
    factor = {"right": min(1, math.exp(1 - r / c)), "none": 1, "no limit": math.exp(1 - r / c)}[penalty]
    return factor * np.prod(counts[2:6] / counts[6:]) ** 0.25


def _randomised(penalty, strict=False):
    def answer(first, second, swap):
        def apart(a, b):
            return abs(_bleu_as_written(a.sum(0), penalty) - _bleu_as_written(b.sum(0), penalty))

        observed = apart(first, second)
        rows = swap[:, :, None]
        found = [apart(np.where(w, second, first), np.where(w, first, second)) for w in rows]
        return (1 + sum(d > observed if strict else d >= observed for d in found)) / (1 + len(swap))

    return answer


def test_plausible_mistakes_fail_every_check():
    def single_reference(hypothesis, references):
        best = [
            max(plain_matches(hypothesis.tolist(), [r.tolist()], n) for r in references) for n in range(1, 5)
        ]
        return np.array(best)

    def four_words_or_more(hypothesis, references):
        assert len(hypothesis) >= 4, "too short"
        return [plain_matches(hypothesis.tolist(), [r.tolist() for r in references], n) for n in range(1, 5)]

    wrong = [
        ("bleu.q1", single_reference, "m has the right shape but wrong values"),
        ("bleu.q1", four_words_or_more, "too short"),
        ("bleu.q2", lambda counts: _bleu_as_written(counts, "none"), "Your score lacks the brevity penalty"),
        ("bleu.q2", lambda counts: _bleu_as_written(counts, "no limit"), "Your penalty goes on above c = r"),
        ("bleu.q4", _randomised("none"), "p has the right shape but wrong values"),
        ("bleu.q4", _randomised("no limit"), "p has the right shape but wrong values"),
        ("bleu.q4", _randomised("right", strict=True), "Your share leaves out the trials"),
        ("bleu.q6", lambda h, r: (1, 6, 120, 5040)[len(set(h) - set(r))], "you count"),
    ]
    for question, answer, message in wrong:
        for seed in range(5):
            with pytest.raises(AssertionError, match=message):
                check(question, answer, seed=seed)


def test_exact_counts_and_any_form_of_the_score_pass():
    for seed in range(5):
        check(
            "bleu.q1",
            lambda h, texts: [plain_matches(h.tolist(), [t.tolist() for t in texts], n) for n in range(1, 5)],
            seed=seed,
        )
        check("bleu.q2", lambda counts: _bleu_as_written(counts, "right"), seed=seed)
        check("bleu.q4", _randomised("right"), seed=seed)


def test_counted_orderings_are_those_that_the_package_finds():
    hypothesis, reference = np.array([7, 1, 9, 3, 4]), np.array([0, 1, 2, 3, 4])
    right = clipped_matches([hypothesis], [[reference]])
    same = [
        np.array_equal(clipped_matches([np.array(order)], [[reference]]), right)
        for order in permutations(hypothesis)
    ]
    assert _equal_orderings(hypothesis, reference) == sum(same)


CASES = [
    (lambda: corpus_bleu([], []), "hypotheses must hold at least one sentence, got none"),
    (
        lambda: corpus_bleu([["a"]], [[["a"]]] * 2),
        "references must have an entry for each of the S = 1 hypotheses, that sentence's references, got 2 "
        "entries",
    ),
    (lambda: corpus_bleu("a b", [["a"]]), "hypotheses must be a list with an entry for each sentence"),
    (lambda: corpus_bleu([["a"]], "a"), "references must be a list with an entry for each sentence"),
    (
        lambda: corpus_bleu(["the cat"], [[["the"]]]),
        "hypotheses must hold token lists, got the string 'the cat' in place of a token list",
    ),
    (
        lambda: corpus_bleu([["a"]], [["the cat"]]),
        "references must hold lists of token lists, got the string 'the cat' in place of a token list",
    ),
    (lambda: corpus_bleu([["a"]], ["a"]), "references must hold a list of references for each sentence"),
    (lambda: corpus_bleu([["a"]], [5]), "references must hold a list of references for each sentence"),
    (lambda: sentence_bleu("a b", [["a"]]), "hypotheses must hold token lists, got the string 'a b'"),
    (lambda: corpus_bleu([["a"], ["b"]], [[["a"]], []]), "references[1] must hold at least one reference"),
    (lambda: corpus_bleu([None], [[["a"]]]), "hypotheses must hold token lists, got NoneType"),
    (
        lambda: corpus_bleu([["a b"]], [[["a"]]]),
        "a token must be a string without white space and not empty, got 'a b'",
    ),
    (lambda: corpus_bleu([["a"]], [[["a", ""]]]), "a token must be a string without white space"),
    (lambda: corpus_bleu([["a", 1]], [[["a"]]]), "tokens must all be strings, or all integers, got int, str"),
    (lambda: corpus_bleu([[1]], [[[True]]]), "tokens must all be strings, or all integers, got bool, int"),
    (
        lambda: corpus_bleu([np.ones(2)], [[np.ones(2)]]),
        "tokens must all be strings, or all integers, got float64",
    ),
    (lambda: corpus_bleu([[-1]], [[[1]]]), "tokens must lie in 0 .. 2**31 - 1, got -1 .. 1"),
    (lambda: corpus_bleu([[2**70]], [[[1]]]), "tokens must lie in 0 .. 2**31 - 1"),
    (
        lambda: corpus_bleu([np.ones((2, 2), int)], [[np.ones((2, 2), int)]]),
        "tokens must have shape (n,) = (any,), got (2, 2)",
    ),
    (lambda: corpus_bleu([["a"]], [[["a"]]], 0), "max_order must be an integer of at least 1, got 0"),
    (
        lambda: corpus_bleu([["a"]], [[["a"]]], smoothing="epsilon"),
        "smoothing must be one of 'none', 'floor', 'add-k', 'exp', got 'epsilon'",
    ),
    (lambda: corpus_bleu([["a"]], [[["a"]]], value=1), "smoothing 'none' has no value, got 1"),
    (
        lambda: corpus_bleu([["a"]], [[["a"]]], smoothing="floor", value=-1),
        "value must be a number of at least 0, got -1",
    ),
    (
        lambda: corpus_bleu([["a"]], [[["a"]]], smoothing="floor", value="much"),
        "value must be a number of at least 0, got 'much'",
    ),
    (lambda: bleu(np.ones(5)), "statistics must have shape (..., 2 + 2N), got (5,)"),
    (lambda: bleu(np.full(4, np.nan)), "statistics must be counts, got nan, inf or a negative number"),
    (lambda: bleu(np.full(4, np.inf)), "statistics must be counts, got nan, inf or a negative number"),
    (lambda: bleu([5, 5, 6, 5]), "statistics must not have more matches than n-grams"),
    (lambda: chrf(-np.ones((3, 6))), "statistics must be counts"),
    (lambda: chrf(np.full((3, 6), np.nan)), "statistics must be counts"),
    (lambda: chrf([[3], [2], [3]]), "statistics must not have more matches than n-grams"),
    (lambda: chrf([[2], [3], [3]]), "statistics must not have more matches than n-grams"),
    (lambda: resample(np.full((3, 4), np.nan), np.random.default_rng(0)), "statistics must be counts"),
    (lambda: percentile_interval([np.nan, 1, 2]), "values must be finite, got nan or inf"),
    (lambda: brevity_penalty(-1, 2), "c and r must be numbers of tokens, finite and at least 0"),
    (lambda: brevity_penalty(1, np.nan), "c and r must be numbers of tokens, finite and at least 0"),
    (lambda: brevity_penalty(np.inf, 1), "c and r must be numbers of tokens, finite and at least 0"),
    (
        lambda: corpus_bleu((t for t in [["a"]]), [[["a"]]]),
        "hypotheses must be a list with an entry for each",
    ),
    (lambda: corpus_bleu([["a"]], {0: [["a"]]}), "references must be a list with an entry for each"),
    (
        lambda: corpus_bleu([list("abcd") + ["e f"]], [[["a"]]]),
        "a token must be a string without white space",
    ),
    (
        lambda: corpus_chrf([list("abcd") + ["e f"]], [[["a"]]]),
        "a token must be a string without white space",
    ),
    (
        lambda: corpus_bleu([np.array([1, 2, 3, 4])], [[np.array(["1", "2", "3", "4"])]]),
        "tokens must all be strings, or all integers, got int64, str_",
    ),
    (
        lambda: corpus_bleu([np.array([1.0, 2.0])], [[np.array(["1.0", "2.0"])]]),
        "tokens must all be strings, or all integers, got float64, str_",
    ),
    (
        lambda: corpus_bleu([np.array([True, False])], [[np.array([1, 0])]]),
        "tokens must all be strings, or all integers, got bool, int64",
    ),
    (lambda: chrf(np.ones((2, 6))), "statistics must have shape (..., 3, N), got (2, 6)"),
    (lambda: chrf(np.ones((3, 6)), 0), "beta must be above 0, got 0"),
    (lambda: corpus_chrf([np.arange(3)], [[np.arange(3)]]), "chrF needs words, got integers"),
    (lambda: corpus_chrf([[1, 2]], [[[1, 2]]]), "chrF needs words, got integers"),
    (lambda: corpus_chrf(["ab"], [[["ab"]]]), "hypotheses must hold token lists, got the string 'ab'"),
    (
        lambda: resample(np.zeros((0, 10)), np.random.default_rng(0)),
        "statistics must have shape (S, ...) with S of at least 1, got (0, 10)",
    ),
    (
        lambda: resample(np.zeros((3, 10)), np.random.default_rng(0), 0),
        "resamples must be an integer of at least 1, got 0",
    ),
    (lambda: percentile_interval([]), "values must have shape (R,) with R of at least 1, got (0,)"),
    (lambda: percentile_interval([1.0], 1), "level must lie between 0 and 1, got 1"),
    (
        lambda: paired_bootstrap(np.ones((3, 10)), np.ones((2, 10)), np.random.default_rng(0)),
        "second must have the shape of first, (3, 10), got (2, 10)",
    ),
]


@pytest.mark.parametrize("call, message", CASES, ids=[message[:40] for _, message in CASES])
def test_messages(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value).startswith(message)


def test_arguments_are_not_changed():
    hypotheses, references = drawn()
    before = json.dumps([hypotheses, references])
    statistics = bleu_statistics(hypotheses, references)
    kept = statistics.copy()
    for smoothing in SMOOTHINGS:
        bleu(statistics, smoothing, effective_order=True)
    resample(statistics, np.random.default_rng(0), 3)
    corpus_chrf(hypotheses, references)
    assert json.dumps([hypotheses, references]) == before and np.array_equal(statistics, kept)


def mutant_arguments(function, condition):
    """Arguments on which a mistake hides under `condition`; the result is not all zero."""
    hypotheses, references = drawn(words=12 if condition == "one reference" else 6, shortest=4)
    if condition == "no word twice":
        hypotheses = [list(dict.fromkeys(text)) for text in hypotheses]
    if condition in ("one reference", "equal lengths"):
        references = [texts[:1] for texts in references]
    if condition == "equal lengths":
        references = [
            [(texts[0] * 3)[: len(text)]] for text, texts in zip(hypotheses, references, strict=True)
        ]
    if condition == "one sentence":
        hypotheses, references = [CAT[0] + CAT[1]], [[CAT[1] + CAT[1]]]
    if condition == "perfect hypothesis":
        references = [[text] for text in hypotheses]
    if function in (clipped_matches, bleu_statistics, chrf_statistics, corpus_bleu):
        return hypotheses, references
    if function is brevity_penalty:
        return 7, 7
    if function is chrf:
        return chrf_statistics(hypotheses, references), 1.0
    statistics = bleu_statistics(hypotheses, references)
    if condition == "equal precisions":
        return (np.array([9.0, 10, 4, 4, 4, 4, 8, 8, 8, 8]),)
    if condition == "at most one order missed":
        return statistics[(statistics[:, 2:6] == 0).sum(1) <= 1], "exp"
    if condition == "four words or more":
        return statistics, "none", None, True
    return (statistics,)
