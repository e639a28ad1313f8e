"""Beam search against a plain one, against every output there is, and against greedy search."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnncourse._numerics import log_softmax
from rnncourse.beam_search.exercise import _call_search, _pool
from rnncourse.beam_search.experiment import (
    exact_scores,
    make_task,
    quality,
    stopping_run,
    summary,
    translate,
    verdict_run,
)
from rnncourse.beam_search.explorable import LANGUAGES, compute
from rnncourse.beam_search.numpy import (
    beam_search,
    exact_search,
    exhaustive_search,
    sequence_logprob,
    top_candidates,
)
from rnncourse.beam_search.search import (
    STOPPINGS,
    Settings,
    best_attainable,
    error_analysis,
    length_penalty,
    length_score,
    may_stop,
    search,
)
from rnncourse.beam_search.torch import beam_search as torch_beam_search
from rnncourse.beam_search.torch import top_candidates as torch_top_candidates
from rnncourse.beam_search.tree import tree_step
from rnncourse.data.pairs import decode_targets, grammar_pairs
from rnncourse.grading.check import check
from rnncourse.seq2seq.numpy import seq2seq_init
from rnncourse.testing import check_parity

B, V, H, EOS = 3, 4, 5, 0
BOS = V


def network(seed=0, scale=2.0):
    """Weights of a small random network whose next token depends on the whole prefix, and B start states."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(H, H)), rng.normal(size=(V + 1, H)), scale * rng.normal(size=(H, V))
    return weights, rng.normal(size=(B, H))


def numpy_step(weights):
    W, E, U = weights

    def step(tokens, state):
        assert tokens.shape == (len(state[0]),) and state[1] is None
        h = np.tanh(1.5 * state[0] @ W + 1.5 * E[tokens])
        return log_softmax(h @ U), (h, None)

    return step


def torch_step(weights, kind=torch.float64):
    W, E, U = (torch.tensor(w).to(kind) for w in weights)

    def step(tokens, state):
        W_, E_, U_ = (w.to(tokens.device) for w in (W, E, U))
        h = torch.tanh(1.5 * state[0] @ W_ + 1.5 * E_[tokens])
        return torch.log_softmax(h @ U_, -1), (h,)

    return step


def plain_search(
    step, state, K, max_length, eos=EOS, min_length=0, alpha=0.0, gnmt=False, stopping="never", n_best=1
):
    """Beam search for one sentence with lists: the pool of (score, log P, tokens), and the steps it took."""

    def penalty(t):
        return ((5 + t) / 6) ** alpha if gnmt else t**alpha

    beam, pool = [(0.0, (), state)], []
    for t in range(1, max_length + 1):
        candidates = []
        for logprob, tokens, state in beam:
            logp, after = step(np.array([tokens[-1] if tokens else BOS]), state)
            for token in range(logp.shape[1]):
                if not (token == eos and t < min_length):
                    candidates.append((logprob + logp[0, token], (*tokens, token), after))
        candidates.sort(key=lambda c: -c[0])  # stable: parents in their order, then tokens
        for logprob, tokens, _ in candidates[:K]:
            if tokens[-1] == eos or t == max_length:
                pool.append((logprob / penalty(t), logprob, tokens))
        pool.sort(key=lambda h: -h[0])
        pool = pool[:K]
        beam = [c for c in candidates if c[1][-1] != eos and t < max_length][:K]
        if not beam:
            break
        best = beam[0][0]
        if stopping == "first" and pool:
            break
        if stopping == "full" and len(pool) == K:
            break
        if stopping == "current" and len(pool) == K and best / penalty(t) <= pool[-1][0]:
            break
        reach = max_length if alpha > 0 else t + 1
        if stopping == "safe" and len(pool) >= n_best and best / penalty(reach) <= pool[n_best - 1][0]:
            break
    return pool[:n_best], t


def sentence(state, b):
    return state[b : b + 1], None


CASES = [
    {"K": K, "stopping": stopping, "alpha": alpha, "normalisation": normalisation, "min_length": least}
    for K, stopping in zip((1, 2, 3, 4, 5, 40), (*STOPPINGS, "safe"), strict=True)
    for alpha, normalisation, least in (
        (0.0, "power", 0),
        (0.8, "power", 2),
        (1.3, "gnmt", 0),
        (-0.5, "power", 3),
    )
]


def check_against_plain(found, case, T, eos, start, step):
    """Beams of every sentence equal the plain search's, the number of steps included."""
    case = dict(case)
    gnmt = case.pop("normalisation") == "gnmt"
    for b in range(B):
        n_best = min(case["K"], 3)
        pool, steps = plain_search(
            step, sentence(start, b), max_length=T, eos=eos, gnmt=gnmt, n_best=n_best, **case
        )
        assert found.steps[b] == steps
        assert [found.best(b, n) for n in range(len(pool))] == [list(tokens) for _, _, tokens in pool]
        assert (found.lengths[b, len(pool) :] == 0).all()
        numbers = {"score": found.score[b, : len(pool)], "logprob": found.logprob[b, : len(pool)]}
        check_parity(numbers, {"score": [p[0] for p in pool], "logprob": [p[1] for p in pool]}, 1e-12)


def plain_extend(step, start):
    """What `search` wants, by sorting all candidates; each search begins at `start`."""
    state = start

    def extend(rows, tokens, live, M, banned):
        nonlocal state
        if (tokens == BOS).all():
            state = start
        logp, state = step(tokens, (state[0][rows], None))
        total = live[:, :, None] + logp.reshape(*live.shape, -1)
        if banned is not None:
            total[:, :, banned] = -np.inf
        flat = total.reshape(len(live), -1)
        order = np.argsort(-flat, axis=1, kind="stable")[:, :M]
        return np.take_along_axis(flat, order, 1), order, total.shape[2]

    return extend


@pytest.mark.equation("beam-step")
@pytest.mark.equation("beam-pool")
@pytest.mark.equation("beam-score")
@pytest.mark.equation("beam-stop")
def test_search_equals_the_plain_one():
    weights, start = network()
    step = numpy_step(weights)
    for case in CASES:
        for T, eos in ((6, EOS), (4, None)):
            asked = Settings(bos=BOS, eos=eos, max_length=T, n_best=min(case["K"], 3), **case)
            found = search(plain_extend(step, (start, None)), B, asked)
            check_against_plain(found, case, T, eos, start, step)


@pytest.mark.equation("beam-step")
@pytest.mark.equation("beam-pool")
@pytest.mark.equation("beam-score")
@pytest.mark.equation("beam-stop")
def test_both_halves_equal_the_plain_search():
    weights, start = network(1)
    step = numpy_step(weights)
    for case in CASES:
        asked = {"bos": BOS, "eos": EOS, "max_length": 6, "n_best": min(case["K"], 3), **case}
        found = beam_search(step, (start, None), B, **asked)
        check_against_plain(found, case, 6, EOS, start, step)
        tensors = torch_beam_search(torch_step(weights), (torch.tensor(start),), B, **asked)
        check_against_plain(tensors, case, 6, EOS, start, step)
        assert np.array_equal(found.tokens, tensors.tokens)


def every_output(T, eos=EOS):
    """All outputs of at most T tokens, without looking at probabilities."""
    if eos is None:
        return list(product(range(V), repeat=T))
    words = [v for v in range(V) if v != eos]
    ended = [(*text, eos) for t in range(T) for text in product(words, repeat=t)]
    return ended + list(product(words, repeat=T))


def by_hand(step, state, text):
    total, last = 0.0, BOS
    for token in text:
        logp, state = step(np.array([last]), state)
        total, last = total + logp[0, token], token
    return total


@pytest.mark.equation("beam-chain")
def test_log_probability_of_given_outputs():
    weights, start = network(2)
    step = numpy_step(weights)
    tokens = np.array([[1, 2, 3], [0, 3, 1], [2, 0, 1], [3, 3, 0]])  # what follows </s> is padding
    lengths = np.array([2, 3, 4])
    found = sequence_logprob(step, (start, None), tokens, lengths, BOS)
    right = [by_hand(step, sentence(start, b), tokens[: lengths[b], b]) for b in range(B)]
    check_parity({"logprob": found}, {"logprob": np.array(right)}, 1e-13)


@pytest.mark.equation("beam-argmax")
def test_exhaustive_search_sees_every_output_once():
    weights, start = network(3)
    step, state = numpy_step(weights), sentence(start, 0)
    for T, eos, alpha in ((3, EOS, 0.0), (3, EOS, 0.9), (3, None, 0.5)):
        found = exhaustive_search(step, state, bos=BOS, eos=eos, max_length=T, alpha=alpha)
        texts = [tuple(found.best(0, n)) for n in range(found.score.shape[1])]
        assert sorted(texts) == sorted(every_output(T, eos))
        right = np.array([by_hand(step, state, text) for text in texts])
        check_parity({"logprob": found.logprob[0]}, {"logprob": right}, 1e-13)
        assert np.exp(right).sum() == pytest.approx(1, abs=1e-12)
        score = np.array([p / len(text) ** alpha for p, text in zip(right, texts, strict=True)])
        check_parity({"score": found.score[0]}, {"score": score}, 1e-13)
        assert (np.diff(score) <= 0).all()


@pytest.mark.equation("beam-argmax")
@pytest.mark.equation("beam-bound")
def test_exact_search_finds_the_best_of_all():
    for seed in range(6):
        weights, start = network(seed, scale=1.0)
        step, state = numpy_step(weights), sentence(start, 1)
        for alpha, normalisation in ((0.0, "power"), (0.7, "power"), (2.0, "gnmt"), (-0.4, "power")):
            asked = {"bos": BOS, "eos": EOS, "max_length": 5, "alpha": alpha, "normalisation": normalisation}
            right = exhaustive_search(step, state, **asked)
            for width in (1, 3):
                found, proved = exact_search(step, state, width=width, **asked)
                assert proved and found.best() == right.best()
                check_parity({"score": found.score[0, 0]}, {"score": right.score[0, 0]}, 1e-12)
            nothing, proved = exact_search(step, state, floor=right.score[0, 0] + 1e-9, **asked)
            assert nothing is None and proved
    assert not exact_search(step, state, limit=1, **asked)[1]


def test_exact_search_keeps_its_limit():
    weights, start = network(2, scale=0.1)
    step, continued = numpy_step(weights), []

    def counting(tokens, state):
        continued.append(len(tokens))
        return step(tokens, state)

    asked = {"bos": BOS, "eos": EOS, "max_length": 8, "alpha": 1.0, "limit": 10, "width": 4}
    assert not exact_search(counting, sentence(start, 0), **asked)[1] and sum(continued) == 10


def test_exhaustive_search_with_a_least_length():
    weights, start = network(3)
    asked = {"bos": BOS, "eos": EOS, "max_length": 4, "alpha": 0.5}
    step, state = numpy_step(weights), sentence(start, 0)
    every, long = (exhaustive_search(step, state, min_length=least, **asked) for least in (0, 3))
    texts, kept = ([found.best(0, n) for n in range(found.score.shape[1])] for found in (every, long))
    assert kept == [text for text in texts if len(text) >= 3] and len(kept) < len(texts)


@pytest.mark.equation("beam-bound")
def test_bound_holds_and_is_reached():
    for alpha in (-0.5, 0.0, 0.3, 1.0, 2.0):
        for normalisation in ("power", "gnmt"):
            bound = best_attainable(np.array([-1.0, -7.5]), 3, 9, alpha, normalisation)
            reached = [
                max(length_score(p, T, alpha, normalisation) for T in range(4, 10)) for p in (-1.0, -7.5)
            ]
            check_parity({"bound": bound}, {"bound": np.array(reached)}, 1e-14)


@pytest.mark.equation("beam-penalty")
@pytest.mark.equation("beam-score")
def test_penalties_by_hand():
    T = np.array([1, 4, 7])
    numbers = {"power": length_penalty(T, 0.5), "gnmt": length_penalty(T, 2.0, "gnmt")}
    check_parity(numbers, {"power": np.array([1, 2, 7**0.5]), "gnmt": np.array([1, 2.25, 4])}, 1e-15)
    assert length_score(-3.0, 4, 0.5) == pytest.approx(-1.5, rel=1e-12)
    tie = np.log(2) / np.log(3)  # of log P = -1.2 with 2 tokens and -2.4 with 6
    assert length_score(-1.2, 2, tie) == pytest.approx(length_score(-2.4, 6, tie), rel=1e-12)
    assert length_score(np.float32(-3), 4, 0.5).dtype == np.float32
    assert length_score(-3, 2, 1.0) == -1.5 and best_attainable(-3, 2, 8, 1.0) == -0.375  # integers too


@pytest.mark.equation("beam-verdict")
def test_verdicts():
    verdict = error_analysis(np.array([-1.0, -2.0, -3.0]), np.array([-1.5, -2.0, -2.5]))
    assert verdict.search.tolist() == [True, False, False]
    check_parity({"margin": verdict.margin}, {"margin": np.array([0.5, 0, -0.5])}, 1e-15)
    assert not error_analysis(np.array([-1 + 1e-9]), np.array([-1.0])).search  # rounding proves nothing


def test_an_equal_bound_stops():
    pool, live = np.array([[-0.5, -1.0]] * 3), np.array([-1.0, -1 + 1e-9, -1 - 1e-9])
    for stopping in ("current", "safe"):
        asked = Settings(2, BOS, EOS, 9, stopping=stopping, n_best=2)
        assert may_stop(pool, live, 3, asked).tolist() == [True, False, True]


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(1, 4), st.sampled_from(["power", "gnmt"]), st.sampled_from(STOPPINGS)
)
def test_a_larger_alpha_never_shortens(seed, K, normalisation, stopping):
    weights, start = network(seed)
    step, asked = (
        numpy_step(weights),
        {"bos": BOS, "eos": EOS, "max_length": 6, "normalisation": normalisation},
    )
    alphas = 0.0, 0.3, 0.9, 1.6
    found = [beam_search(step, (start, None), B, K=K, alpha=a, stopping=stopping, **asked) for a in alphas]
    assert (np.diff([beams.lengths[:, 0] for beams in found], axis=0) >= 0).all()
    if stopping == "never" and K == 1:
        best = [exhaustive_search(step, sentence(start, 0), alpha=a, **asked) for a in alphas]
        assert (np.diff([beams.lengths[0, 0] for beams in best]) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.floats(-1, 2), st.sampled_from(["power", "gnmt"]))
def test_safe_stopping_changes_nothing(seed, K, alpha, normalisation):
    weights, start = network(seed)
    asked = {"K": K, "bos": BOS, "eos": EOS, "max_length": 7, "alpha": alpha, "normalisation": normalisation}
    for n_best in {1, K}:
        safe, never = (
            beam_search(numpy_step(weights), (start, None), B, stopping=rule, n_best=n_best, **asked)
            for rule in ("safe", "never")
        )
        assert (safe.steps <= never.steps).all()
        assert np.array_equal(safe.tokens, never.tokens) and np.array_equal(safe.lengths, never.lengths)
        # The products of fewer rows, where sentences are done, may round in another way.
        some = safe.lengths > 0
        check_parity({"score": safe.score[some]}, {"score": never.score[some]}, 1e-13)
        assert (never.score[~some] == -np.inf).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(-1, 2), st.integers(2, 4))
def test_enough_width_is_exhaustive(seed, alpha, T):
    weights, start = network(seed)
    step, asked = numpy_step(weights), {"bos": BOS, "max_length": T, "alpha": alpha}
    for eos in (EOS, None):
        found = beam_search(step, (start, None), B, K=V ** (T - 1), eos=eos, **asked)
        for b in range(B):
            right = exhaustive_search(step, sentence(start, b), eos=eos, **asked)
            assert found.score[b, 0] == pytest.approx(right.score[0, 0], rel=1e-12)


def greedy(step, state, T):
    text, last = [], BOS
    while len(text) < T and last != EOS:
        logp, state = step(np.array([last]), state)
        last = int(logp[0].argmax())
        text.append(last)
    return text


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(-1, 2))
def test_width_one_is_greedy(seed, alpha):
    weights, start = network(seed)
    step = numpy_step(weights)
    for stopping, a in (("safe", 0.0), ("never", 0.0), ("first", alpha)):
        asked = {"K": 1, "bos": BOS, "eos": EOS, "max_length": 8, "alpha": a}
        found = beam_search(step, (start, None), B, stopping=stopping, **asked)
        for b in range(B):
            assert found.best(b) == greedy(step, sentence(start, b), 8)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.floats(-1, 2), st.sampled_from(STOPPINGS))
def test_hypotheses_are_what_they_say(seed, K, alpha, stopping):
    weights, start = network(seed)
    step = numpy_step(weights)
    asked = {"bos": BOS, "eos": EOS, "max_length": 6, "min_length": 2, "alpha": alpha, "n_best": K}
    found = beam_search(step, (start, None), B, K=K, stopping=stopping, **asked)
    for b in range(B):
        texts = [tuple(found.best(b, n)) for n in range(K) if found.lengths[b, n]]
        assert len(set(texts)) == len(texts) >= 1
        for n, text in enumerate(texts):
            assert EOS not in text[:-1] and (len(text) == 6 or text[-1] == EOS) and len(text) >= 2
            assert found.logprob[b, n] == pytest.approx(by_hand(step, sentence(start, b), text), rel=1e-12)
        assert (np.diff(found.score[b, : len(texts)]) <= 0).all()
        assert (found.tokens[found.lengths[b, 0] :, b, 0] == EOS).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(B)), st.integers(1, 4))
def test_sentences_do_not_touch_each_other(seed, order, K):
    weights, start = network(seed)
    asked = {"K": K, "bos": BOS, "eos": EOS, "max_length": 6, "alpha": 0.7, "n_best": K}
    step = numpy_step(weights)
    found = beam_search(step, (start, None), B, **asked)
    moved = beam_search(step, (start[list(order)], None), B, **asked)
    for b in range(B):
        alone = beam_search(step, sentence(start, order[b]), 1, **asked)
        assert moved.best(b) == found.best(order[b]) == alone.best()
        assert moved.steps[b] == found.steps[order[b]] == alone.steps[0]


def test_ties_go_to_the_better_parent_then_to_the_lower_token():
    uniform = np.full((1, 3), 0.0) - np.log(3)

    def step(tokens, state):
        return np.repeat(uniform, len(tokens), 0), state

    def tensor_step(tokens, state):
        return torch.tensor(uniform).repeat(len(tokens), 1), state

    asked = {"K": 4, "bos": 0, "eos": None, "max_length": 2, "n_best": 4}
    right = [[0, 0], [0, 1], [0, 2], [1, 0]]
    for found in (beam_search(step, None, 2, **asked), torch_beam_search(tensor_step, None, 2, **asked)):
        assert [found.best(b, n) for b in range(2) for n in range(4)] == 2 * right
    values = np.array([[1.0, 2, 1, 1, 0], [5, 5, 5, 5, 5]])
    for top, give in ((top_candidates, np.array), (torch_top_candidates, torch.tensor)):
        assert np.sort(np.asarray(top(give(values), 2)[1])).tolist() == [[0, 1], [0, 1]]


def tied(tree, **asked):
    step, state, bos = tree_step(tree)
    return beam_search(step, state, 1, bos=bos, **asked)


def test_of_equal_scores_the_earlier_end_comes_first():
    tree = {(): [0.5, 0.5, 0], (0,): [0, 0, 1.0], (1,): [1.0, 0, 0], (1, 0): [0, 0, 1.0]}
    found = tied(tree, K=3, eos=2, max_length=3, n_best=2, stopping="never")
    assert [found.best(0, n) for n in range(2)] == [[0, 2], [1, 0, 2]]
    assert found.score[0, 0] == found.score[0, 1]


def test_the_worked_examples():
    tree = {(): [0.6, 0.4], (0,): [0.5, 0.5], (1,): [0.9, 0.1]}
    for K, text, p in ((1, [0, 0], 0.30), (2, [1, 0], 0.36)):
        found = tied(tree, K=K, eos=None, max_length=2)
        assert found.best() == text and np.exp(found.score[0, 0]) == pytest.approx(p)


def test_dead_ends_are_no_outputs():
    found = tied({(): [0.7, 0.3, 0], (1,): [0, 0, 1.0]}, K=2, eos=2, max_length=4, n_best=2)
    assert found.best() == [1, 2] and found.lengths.tolist() == [[2, 0]] and found.score[0, 1] == -np.inf
    with pytest.raises(ValueError, match="every output of sentence 0 probability 0"):
        tied({(): [1.0, 0, 0]}, K=2, eos=2, max_length=4)


def test_dtype_is_kept_and_arguments_are_not_changed():
    weights, start = network()
    single = [w.astype(np.float32) for w in weights]
    state, asked = (start.astype(np.float32), None), {"K": 2, "bos": BOS, "eos": EOS, "max_length": 5}
    kept = state[0].copy()
    for alpha in (0.0, 0.7):
        found = beam_search(numpy_step(single), state, B, alpha=alpha, **asked)
        assert found.score.dtype == found.logprob.dtype == np.float32
    assert np.array_equal(state[0], kept)
    assert sequence_logprob(
        numpy_step(single), state, found.tokens[..., 0], found.lengths[:, 0], BOS
    ).dtype == (np.float32)
    half = torch_beam_search(
        torch_step(weights, torch.bfloat16), (torch.tensor(start).bfloat16(),), B, **asked
    )
    assert half.score.dtype == np.float32


def test_states_on_another_axis_and_in_named_tuples():
    weights, start = network(4)
    step, asked = numpy_step(weights), {"K": 3, "bos": BOS, "eos": EOS, "max_length": 5}
    right = beam_search(step, (start, None), B, **asked)

    def layered(tokens, state):
        logp, (h, _) = step(tokens, (state.score[0], None))
        return logp, state._replace(score=h[None])

    named = right._replace(tokens=None, lengths=None, logprob=None, steps=None, score=start[None])
    found = beam_search(layered, named, B, axis=1, **asked)
    assert np.array_equal(found.tokens, right.tokens)
    layer = named._replace(score=start[None, [0]])
    for whole in (exhaustive_search, lambda *args, **kw: exact_search(*args, width=3, **kw)[0]):
        asked = {"bos": BOS, "eos": EOS, "max_length": 5, "alpha": 0.7}
        apart = whole(step, sentence(start, 0), **asked)
        assert whole(layered, layer, axis=1, **asked).best() == apart.best()


def test_any_layout_and_the_device_that_is_asked_for():
    weights, start = network(4)
    asked = {"K": 3, "bos": BOS, "eos": EOS, "max_length": 5}

    def columns(tokens, state):  # log-probabilities that are not contiguous
        logp, state = torch_step(weights)(tokens, state)
        return logp.T.contiguous().T, state

    found = torch_beam_search(columns, (torch.tensor(start),), B, **asked)
    assert np.array_equal(found.tokens, beam_search(numpy_step(weights), (start, None), B, **asked).tokens)

    def elsewhere(tokens, state):
        assert tokens.device.type == "meta"
        return torch.full((len(tokens), V), -np.log(V)), state

    torch_beam_search(elsewhere, None, B, device=torch.device("meta"), **asked)


def test_half_precision_is_added_up_in_single():
    row = np.log(np.array([0.1, 0.3, 0.3, 0.3])).astype(np.float16)

    def step(tokens, state):
        return np.repeat(row[None], len(tokens), 0), state

    found = beam_search(step, None, 1, K=2, bos=BOS, eos=None, max_length=1000)
    assert found.score.dtype == np.float32
    assert found.score[0, 0] == pytest.approx(1000 * float(row[1]), rel=1e-5)


def test_large_logits_give_no_warning():
    weights, start = network(5, scale=1e4)
    found = beam_search(numpy_step(weights), (start, None), B, K=3, bos=BOS, eos=EOS, max_length=5, alpha=1.0)
    assert np.isfinite(found.score).all()


def test_messages():
    weights, start = network()
    step, state = numpy_step(weights), (start, None)
    asked = {"K": 2, "bos": BOS, "eos": EOS, "max_length": 5}

    def call(step=step, state=state, B=B, **changes):
        return lambda: beam_search(step, state, B, **(asked | changes))

    def tensors(**changes):
        return lambda: torch_beam_search(torch_step(weights), (torch.tensor(start),), B, **(asked | changes))

    def wrong(change):
        return lambda tokens, state: (change(step(tokens, state)[0]), step(tokens, state)[1])

    ids, lengths = np.zeros((2, B), int), np.full(B, 2)
    cases = [
        (call(K=0), "K must be an integer of at least 1, got 0"),
        (call(B=0), "B must be an integer of at least 1, got 0"),
        (call(max_length=0), "max_length must be an integer of at least 1, got 0"),
        (call(min_length=6), "min_length must lie in 0 .. max_length = 5, got 6"),
        (call(min_length=1.5), "min_length must be an integer, got 1.5"),
        (call(n_best=3), "n_best must be at most K = 2, got 3"),
        (call(alpha=np.nan), "alpha must be finite, got nan"),
        (call(eos=9), "eos must lie in 0 .. V - 1 = 3, got 9"),
        (
            call(stopping="early"),
            "stopping must be one of 'first', 'full', 'current', 'safe', 'never', got 'early'",
        ),
        (call(normalisation="mean"), "normalisation must be one of 'power', 'gnmt', got 'mean'"),
        (call(state=(start[1:], None)), "state must hold B = 3 sentences on axis 0, got shape (2, 5)"),
        (call(axis=2), "state must hold B = 3 sentences on axis 2, got shape (3, 5)"),
        (
            call(wrong(lambda logp: logp[:2])),
            "step must return log-probabilities of shape (B * K, V) = (6, V), got (2, 4)",
        ),
        (call(wrong(lambda logp: logp + 3.0)), "step must return log-probabilities, at most 0, got 2.99"),
        (
            call(wrong(lambda logp: logp - logp.max() + 0.01)),
            "step must return log-probabilities, at most 0, got 0.01",
        ),
        (
            call(wrong(lambda logp: logp.astype(int))),
            "step must return floating-point log-probabilities, got int64",
        ),
        (call(state=[start]), "state must be a nested tuple of arrays, got a list in it"),
        (call(wrong(lambda logp: logp * np.nan)), "step must return log-probabilities, at most 0, got nan"),
        (tensors(K=0), "K must be an integer of at least 1, got 0"),
        (tensors(axis=1), "state must hold B = 3 sentences on axis 1, got shape (3, 5)"),
        (
            lambda: sequence_logprob(step, state, ids, lengths + 1, BOS),
            "lengths must lie in 1 .. T = 2, got 3 .. 3",
        ),
        (
            lambda: sequence_logprob(step, state, ids + 9, lengths, BOS),
            "tokens must lie in 0 .. V - 1 = 3, got 9 .. 9",
        ),
        (
            lambda: exhaustive_search(step, state, bos=BOS, eos=EOS, max_length=3),
            "state must hold B = 1 sentences on axis 0, got shape (3, 5)",
        ),
        (lambda: tree_step({(0,): [1.0]}), "tree must have the empty prefix, ()"),
        (
            lambda: tree_step({(): [0.5, 0.6]}),
            "tree must give 2 probabilities with sum 1 after each prefix, after ()",
        ),
        (lambda: length_penalty(3, 1.0, "mean"), "normalisation must be one of 'power', 'gnmt', got 'mean'"),
    ]
    for function, message in cases:
        with pytest.raises(ValueError) as caught:
            function()
        assert str(caught.value).startswith(message), message


def mutant_arguments(function, condition):
    """Arguments on which a mistake hides under `condition`."""
    alpha = {"alpha zero": 0.0, "alpha one": 1.0}.get(condition, 0.7)
    if function.__name__ == "length_penalty":
        return np.array([2, 5, 9]), alpha, "power" if condition == "alpha one" else "gnmt"
    if function.__name__ == "length_score":
        return np.array([-2.0, -3.0]), np.array([3, 7]), alpha
    if function.__name__ == "best_attainable":
        return np.array([-2.0, -3.0]), 3, 8, alpha
    weights, start = network(6)
    step = numpy_step(weights)
    if function.__name__ == "sequence_logprob":
        if condition == "one token":
            return step, (start, None), np.array([[1, 2, 0]]), np.ones(B, int), BOS
        tree = {(): [0.2, 0.8], (0,): [0.3, 0.7], (0, 1): [1.0, 0.0]}
        step, state, bos = tree_step(tree)
        return step, state, np.array([[0], [1], [0]]), np.array([3]), bos
    asked = {
        "width one": {"K": 1, "eos": EOS},
        "nothing ends": {"K": 3, "eos": None},
        "no shortest length": {"K": 3, "eos": EOS},
    }[condition]
    return plain_extend(step, (start, None)), B, Settings(bos=BOS, max_length=5, **asked)


def check_device(device, kind, tolerance):
    """The search on a device in one dtype: the tokens' own log P is the one that it reports."""
    weights, start = network(7)
    step = torch_step(weights, kind)
    state = (torch.tensor(start).to(device=device, dtype=kind),)
    found = torch_beam_search(step, state, B, K=3, bos=BOS, eos=EOS, max_length=6, alpha=0.7, n_best=3)
    assert found.score.dtype == np.float32 and (found.lengths > 0).all()
    right = [
        [by_hand(numpy_step(weights), sentence(start, b), found.best(b, n)) for n in range(3)]
        for b in range(B)
    ]
    assert np.abs(found.logprob - right).max() < tolerance


def test_half_precision():
    check_device("cpu", torch.float32, 1e-5)
    check_device("cpu", torch.bfloat16, 0.5)


@pytest.mark.gpu
def test_search_on_cuda():
    # bfloat16 keeps 8 bits: a logit of 10 is off by up to 0.04 at each of six steps, and the state drifts.
    check_device("cuda", torch.float32, 1e-4)
    check_device("cuda", torch.bfloat16, 0.5)


def test_explorable_chooses_as_the_search_does_and_wider_is_no_worse_there():
    for rows in LANGUAGES.values():
        for alpha in (0.0, 0.4, 1.0, 1.5):
            scores = []
            for K in range(1, 5):
                found = compute({"rows": rows, "K": K, "alpha": alpha, "picks": [None, None]})
                assert found["pool"][0][1] == pytest.approx(found["beam"]["score"], rel=1e-12)
                scores.append(found["beam"]["score"])
            assert (np.diff(scores) >= 0).all()


def small_task():
    """Six sentences and a model that was not trained."""
    rng = np.random.default_rng(0)
    data = grammar_pairs(rng, 2)
    params = seq2seq_init(rng, len(data.source_vocabulary), len(data.target_vocabulary), 4, 5, "lstm")
    output = params.decoder.output
    output = output._replace(weight=20 * output.weight)
    params = params._replace(decoder=params.decoder._replace(output=output))
    return make_task(params, [0], sentences=6), params


def test_experiment_counts_errors_among_the_wrong_outputs_only():
    task, params = small_task()
    beams = translate(task, 2, max_length=8)
    words = decode_targets(beams.tokens[:, :, 0], task.vocabulary)
    task = task._replace(references=(*words[:2], *task.references[2:]), logprob=task.logprob * 0)
    assert quality(task, beams)[1].tolist() == [True, True, False, False, False, False]
    found = summary(task, beams, exact=beams.score[:, 0] + 1)
    assert found["right"] == 2 and found["search_by_margin"] == found["search_by_exact"] == 4
    assert found["missed"] == 6
    assert summary(task, beams, exact=beams.score[:, 0])["missed"] == 0
    exact, proved = exact_scores(task, beams, max_length=2)
    assert proved.shape == (6,) and (exact >= beams.score[:, 0]).all()


def test_experiment_counts_what_a_stopping_rule_loses():
    task, params = small_task()
    run = stopping_run(task, 1.0, K=2)
    safe = translate(task, 2, alpha=1.0).score[:, 0]
    for rule, row in run.items():
        beams = translate(task, 2, alpha=1.0, stopping=rule)
        assert row["lower"] == sum(beams.score[b, 0] < safe[b] - 1e-9 for b in range(6))
        assert row["steps"] == pytest.approx(beams.steps.mean())
    assert run["safe"]["lower"] == 0


@pytest.mark.parametrize("fault", ["negative alpha forgotten", "present length", "one more token"])
def test_bounds_that_hold_for_some_alpha_are_refused(fault):
    def bound(logprob, t, max_length, alpha):
        T = {"negative alpha forgotten": max_length, "present length": t, "one more token": t + 1}[fault]
        return logprob / T**alpha

    for seed in range(2):
        with pytest.raises(AssertionError):
            check("beam_search.q5", bound, seed)


@pytest.mark.parametrize("fault", ["not refilled", "all ends", "full"])
def test_searches_that_the_exercise_warns_of_are_refused(fault):
    def answer(first, after, K, max_length, alpha):
        pool = np.array(_pool(first, after, K, max_length, alpha, fault))
        tokens, scores = _call_search(search, first, after, K, max_length, alpha)
        return tokens, np.pad(pool, (0, K - len(pool)))

    for seed in range(2):
        with pytest.raises(AssertionError):
            check("beam_search.q4", answer, seed)


def test_experiment_compares_under_the_score_searched_for_and_under_log_p():
    params = small_task()[1]
    task = make_task(params, [0, 1, 2, 3])
    row = verdict_run(params)["first"][1]
    beams = translate(task, 2, alpha=1.0, stopping="first")
    ahead = {
        "by_score": task.logprob / task.lengths > beams.score[:, 0] + 1e-6,
        "by_logprob": task.logprob > beams.logprob[:, 0] + 1e-6,
    }
    assert row["wrong"] == len(task.lengths)
    for name, which in ahead.items():
        assert row[name] == which.sum()
    assert row["differ"] == (ahead["by_score"] != ahead["by_logprob"]).sum() > 0
