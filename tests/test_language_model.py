from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnncourse.data import grammar
from rnncourse.data.text import Vocabulary
from rnncourse.language_model.experiment import (
    CODE,
    DECOYS,
    Setting,
    code_exposure,
    grammar_data,
    learn,
    lm_ids,
    planted_text,
    sentence_loss,
    text_loss,
    token_classes,
    true_token_logprobs,
    window_logprobs,
)
from rnncourse.language_model.numpy import (
    at_temperature,
    draw,
    entropy,
    entropy_slope,
    excess,
    exposure,
    influence,
    is_tied,
    keep_nucleus,
    keep_top_k,
    lm_backward,
    lm_forward,
    lm_init,
    lm_logprob,
    lm_loss,
    sample,
    sampling_probabilities,
    zero_state,
)
from rnncourse.language_model.torch import LanguageModel
from rnncourse.language_model.torch import sampling_probabilities as torch_probabilities
from rnncourse.ngram.numpy import BOS, EOS
from rnncourse.optim._tree import tree_leaves, tree_map
from rnncourse.testing import check_gradient, check_parity, numerical_gradient

T, B, E, H, V = 6, 3, 4, 5, 8
CELLS = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
KINDS = [(cell, tied) for cell in CELLS for tied in (False, True)]


def drawn(cell="lstm", tied=False, seed=0):
    """Ids (T + 1, B), a random state, and parameters with random biases."""
    rng = np.random.default_rng(seed)
    params = lm_init(rng, V, H if tied else E, H, cell, tied)
    state = tree_map(lambda a: 0.5 * rng.normal(size=a.shape), zero_state(params, B))
    return rng.integers(0, V, (T + 1, B)), state, params


def by_name(prefix, tree):
    return {f"{prefix}.{path}": leaf for path, leaf in tree_leaves(tree)}


def torch_model(params):
    """The model from torch.nn's own parts: leaves by name, and a function from ids and state."""
    (kind,) = (kind for kind in CELLS if kind == type(params.cell).__name__.removesuffix("Params").lower())
    H, E = params.cell.weight_hh.shape[1], params.embedding.shape[1]
    layer = CELLS[kind](E, H, dtype=torch.float64)
    layer.load_state_dict({f"{n}_l0": torch.tensor(p) for n, p in params.cell._asdict().items()})
    embedding = torch.tensor(params.embedding, requires_grad=True)
    output = [params.output] if is_tied(params) else list(params.output)
    output = [torch.tensor(a, requires_grad=True) for a in output]
    weight, bias = (embedding, *output) if is_tied(params) else output

    def forward(ids, state):
        x = embedding[torch.tensor(ids)]
        x.retain_grad()
        start = tuple(s[None] for s in state) if kind == "lstm" else state[0][None]
        h, after = layer(x, start)
        after = [a[0] for a in (after if kind == "lstm" else (after,))]
        return torch.nn.functional.linear(h, weight, bias), after, x

    leaves = [embedding, *layer.parameters(), *output]
    names = [path for path, _ in tree_leaves(params)]
    return dict(zip(names, leaves, strict=True)), forward


def state_tensors(state):
    state = state if isinstance(state, tuple) else (state,)
    return [torch.tensor(s, requires_grad=True) for s in state]


@pytest.mark.equation("lm-model")
@pytest.mark.equation("lm-tied")
@pytest.mark.equation("lm-dembedding")
@pytest.mark.equation("lm-dtied")
def test_model_and_gradient_equal_torch():
    for cell, tied in KINDS:
        ids, state, params = drawn(cell, tied)
        rng = np.random.default_rng(1)
        dlogits = rng.normal(size=(T, B, V))
        dstate = tree_map(lambda a, rng=rng: rng.normal(size=a.shape), state)
        logits, after, cache = lm_forward(ids[:-1], state, params)
        dx, dbefore, dparams = lm_backward(dlogits, dstate, cache)
        leaves, forward = torch_model(params)
        start = state_tensors(state)
        expected, after_torch, x = forward(ids[:-1], start)
        torch.autograd.backward([expected, *after_torch], [torch.tensor(dlogits), *state_tensors(dstate)])
        check_parity(
            {"logits": logits, "dx": dx}
            | by_name("after", (after,))
            | by_name("dbefore", (dbefore,))
            | by_name("d", dparams),
            {"logits": expected.detach(), "dx": x.grad}
            | dict(zip(by_name("after", (after,)), [a.detach() for a in after_torch], strict=True))
            | dict(zip(by_name("dbefore", (dbefore,)), [s.grad for s in start], strict=True))
            | {f"d.{name}": leaf.grad for name, leaf in leaves.items()},
        )


@pytest.mark.equation("lm-loss")
@pytest.mark.equation("lm-carried")
def test_two_batches_equal_torch_with_detached_state():
    for cell, tied in KINDS:
        ids, state, params = drawn(cell, tied)
        ids = np.concatenate([ids, ids[1:] ^ 1])
        leaves, forward = torch_model(params)
        start = state_tensors(state)
        for begin in (0, T):
            x, y = ids[begin : begin + T], ids[begin + 1 : begin + T + 1]
            loss, state, dparams = lm_loss(x, y, state, params)
            logits, after, _ = forward(x, start)
            expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(y).flatten())
            gradients = torch.autograd.grad(expected, leaves.values())
            start = [a.detach() for a in after]
            check_parity(
                {"loss": loss} | by_name("d", dparams) | by_name("state", (state,)),
                {"loss": expected.detach()}
                | {f"d.{name}": g for name, g in zip(leaves, gradients, strict=True)}
                | dict(zip(by_name("state", (state,)), start, strict=True)),
            )


def test_loss_equals_central_differences():
    for cell, tied in KINDS:
        ids, state, params = drawn(cell, tied)
        _, _, dparams = lm_loss(ids[:3], ids[1:4], state, params)
        arguments, gradients = by_name("", params), by_name("", dparams)

        def loss(params=params, ids=ids, state=state, **changed):
            leaves = iter(changed.values())
            return lm_loss(ids[:3], ids[1:4], state, tree_map(lambda _: next(leaves), params))[0]

        check_gradient(loss, arguments, gradients)


@pytest.mark.equation("lm-chain")
def test_probabilities_of_all_continuations_sum_to_one():
    rng = np.random.default_rng(2)
    params = lm_init(rng, 3, E, H)
    texts = np.array([(1, *rest) for rest in product(range(3), repeat=4)]).T
    logprob, _ = lm_logprob(texts, zero_state(params, texts.shape[1]), params)
    assert np.exp(logprob.sum(axis=0)).sum() == pytest.approx(1, abs=1e-12)
    ids, state, params = drawn()
    logits, _, _ = lm_forward(ids[:-1], state, params)
    chosen = torch.tensor(logits).log_softmax(-1).gather(-1, torch.tensor(ids[1:, :, None]))[..., 0]
    check_parity({"logprob": lm_logprob(ids, state, params)[0]}, {"logprob": chosen})


@settings(max_examples=15, deadline=None)
@given(st.integers(1, T - 1), st.sampled_from(KINDS), st.integers(0, 2**32 - 1))
def test_a_carried_state_makes_the_cut_invisible(cut, kind, seed):
    ids, state, params = drawn(*kind, seed)
    whole, after = lm_logprob(ids, state, params)
    first, middle = lm_logprob(ids[: cut + 1], state, params)
    second, end = lm_logprob(ids[cut:], middle, params)
    check_parity(
        {"logprob": np.concatenate([first, second])} | by_name("state", (end,)),
        {"logprob": whole} | by_name("state", (after,)),
    )


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(B)), st.sampled_from(KINDS))
def test_streams_do_not_see_each_other(order, kind):
    ids, state, params = drawn(*kind)
    order = list(order)
    logits, _, _ = lm_forward(ids, state, params)
    permuted, _, _ = lm_forward(ids[:, order], tree_map(lambda a: a[order], state), params)
    check_parity({"logits": permuted}, {"logits": logits[:, order]})


@pytest.mark.equation("lm-excess")
def test_expected_excess_is_the_divergence():
    rng = np.random.default_rng(3)
    p, q = rng.dirichlet(np.ones(V), 2)
    divergence = (p * excess(np.log(q), np.log(p))).sum()
    assert divergence == pytest.approx(scipy.stats.entropy(p, q), rel=1e-12)


@pytest.mark.equation("lm-entropy")
def test_entropy_equals_scipy():
    p = np.random.default_rng(4).dirichlet(np.ones(V), 5)
    p[0] = [0.5, 0.25, 0.25] + [0] * (V - 3)
    check_parity({"entropy": entropy(p)}, {"entropy": scipy.stats.entropy(p, axis=-1)}, 1e-12)
    assert entropy(p)[0] == pytest.approx(1.5 * np.log(2))


@pytest.mark.equation("lm-temperature")
def test_temperature_raises_probabilities_to_a_power():
    logits = np.random.default_rng(5).normal(size=(B, V)) * 2
    for tau in (0.3, 1.0, 2.5):
        power = np.exp(logits) ** (1 / tau)
        check_parity(
            {"p": at_temperature(logits, tau)}, {"p": power / power.sum(axis=-1, keepdims=True)}, 1e-12
        )
    worked = np.array([2.0, 1, 0])
    assert at_temperature(worked, 1.0).round(3).tolist() == [0.665, 0.245, 0.090]
    assert at_temperature(worked, 0.5).round(3).tolist() == [0.867, 0.117, 0.016]


@pytest.mark.equation("lm-slope")
def test_slope_of_the_entropy_equals_central_differences():
    logits = np.random.default_rng(6).normal(size=(B, V)) * 2
    for tau in (0.4, 1.0, 3.0):
        slopes = [
            numerical_gradient(lambda t, row=row: entropy(at_temperature(row, t)), tau) for row in logits
        ]
        check_parity({"slope": entropy_slope(logits, tau)}, {"slope": np.array(slopes)}, 1e-7)
        assert (entropy_slope(logits, tau) > 0).all()


@pytest.mark.equation("lm-top-k")
def test_top_k_equals_torch():
    logits = np.random.default_rng(7).normal(size=(B, V))
    for k in (1, 3, V, V + 4):
        top = torch.tensor(logits).topk(min(k, V))
        masked = torch.full((B, V), -torch.inf, dtype=torch.float64).scatter(-1, top.indices, top.values)
        check_parity({"p": keep_top_k(logits, k)}, {"p": masked.softmax(-1)}, 1e-12)
    assert keep_top_k(np.zeros(4), 2).tolist() == [0.5, 0.5, 0, 0]


@pytest.mark.equation("lm-nucleus")
def test_nucleus_is_the_smallest_set():
    rng = np.random.default_rng(8)
    subsets = np.array(list(product([0, 1], repeat=V)))[1:]
    for logits in rng.normal(size=(4, V)) * 2:
        p = np.exp(logits) / np.exp(logits).sum()
        for mass in (0.05, 0.5, 0.9, 0.999):
            held = subsets @ p
            enough = subsets[held >= mass]
            fewest = enough[enough.sum(axis=1) == enough.sum(axis=1).min()]
            best = fewest[np.argmax(fewest @ p)]
            check_parity({"p": keep_nucleus(logits, mass)}, {"p": best * p / (best @ p)}, 1e-12)
        check_parity({"p": keep_nucleus(logits, 1)}, {"p": p}, 1e-12)
    worked = np.array([2.0, 1, 0])
    assert (keep_nucleus(worked, 0.9) > 0).tolist() == [True, True, False]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, V), st.floats(0.01, 1), st.floats(0.1, 1))
def test_cutting_and_cooling_never_raise_the_entropy(seed, k, mass, tau):
    logits = 3 * np.random.default_rng(seed).normal(size=V)
    own = entropy(at_temperature(logits, 1.0))
    for p in (keep_top_k(logits, k), keep_nucleus(logits, mass), at_temperature(logits, tau)):
        assert p.sum() == pytest.approx(1) and entropy(p) <= own + 1e-12


def twin(Model, params, dtype=torch.float64, device="cpu"):
    """The PyTorch twin with the same weights, and the names of its parameters by ours."""
    (kind,) = (kind for kind in CELLS if kind == type(params.cell).__name__.removesuffix("Params").lower())
    H, E = params.cell.weight_hh.shape[1], params.embedding.shape[1]
    model = Model(V, E, H, kind, tied=is_tied(params), dtype=dtype, device=device)
    names = {"embedding": "embedding.weight"}
    names |= {f"cell.{name}": f"rnn.0.{name}_l0" for name in params.cell._fields}
    bias = {"output": "output.bias"}
    names |= bias if is_tied(params) else {f"output.{name}": f"output.{name}" for name in ("weight", "bias")}
    weights = {
        theirs: torch.tensor(leaf)
        for (_, leaf), theirs in zip(tree_leaves(params), names.values(), strict=False)
    }
    model.load_state_dict({"output.weight": weights["embedding.weight"]} | weights)
    return model, names


def check_twin(Model, dtype, device, tolerance):
    for cell, tied in KINDS:
        ids, state, params = drawn(cell, tied)
        logits, after, cache = lm_forward(ids[:-1], state, params)
        dlogits = np.random.default_rng(2).normal(size=logits.shape)
        _, _, dparams = lm_backward(dlogits, tree_map(np.zeros_like, state), cache)
        model, names = twin(Model, params, dtype, device)
        start = [torch.tensor(s, dtype=dtype, device=device)[None] for _, s in tree_leaves((state,))]
        found, end = model(
            torch.tensor(ids[:-1], device=device), tuple(start) if cell == "lstm" else start[0]
        )
        found.backward(torch.tensor(dlogits, dtype=dtype, device=device))
        weights = dict(model.named_parameters())
        ends = end if cell == "lstm" else (end,)
        check_parity(
            {"logits": found.detach().double().cpu()}
            | dict(
                zip(by_name("after", (after,)), [e[0].detach().double().cpu() for e in ends], strict=False)
            )
            | {name: weights[theirs].grad.double().cpu() for name, theirs in names.items()},
            {"logits": logits} | by_name("after", (after,)) | dict(tree_leaves(dparams)),
            tolerance,
        )


@pytest.mark.equation("lm-model")
@pytest.mark.equation("lm-tied")
def test_twins_agree():
    check_twin(LanguageModel, torch.float64, "cpu", 1e-10)
    # Rounding to 24 and to 8 bits, over some products.
    check_twin(LanguageModel, torch.float32, "cpu", 1e-4)
    check_twin(LanguageModel, torch.bfloat16, "cpu", 0.1)


@pytest.mark.gpu
def test_twins_agree_on_cuda():
    check_twin(LanguageModel, torch.float32, "cuda", 1e-2)
    check_twin(LanguageModel, torch.bfloat16, "cuda", 0.1)


@pytest.mark.equation("lm-temperature")
@pytest.mark.equation("lm-top-k")
@pytest.mark.equation("lm-nucleus")
def test_settings_agree_with_the_twin():
    logits = np.random.default_rng(12).normal(size=(B, V)) * 3
    for setting in ({}, {"temperature": 0.6}, {"top_k": 3}, {"nucleus": 0.7}):
        p, q = (
            sampling_probabilities(logits, **setting),
            torch_probabilities(torch.tensor(logits), **setting),
        )
        check_parity({"p": p}, {"p": q}, 1e-12)
    p, q = (
        f(a, 1.5, 5, 0.8)
        for f, a in ((sampling_probabilities, logits), (torch_probabilities, torch.tensor(logits)))
    )
    check_parity({"p": p}, {"p": q}, 1e-12)


def test_settings_combine_in_order():
    logits = np.random.default_rng(9).normal(size=(B, V)) * 2
    p = sampling_probabilities(logits, 0.7, 4, 0.8)
    q = keep_top_k(logits / 0.7, 4)
    for row, expected in zip(p, q, strict=True):
        kept = keep_nucleus(np.log(expected[expected > 0]), 0.8)
        full = np.zeros(V)
        full[expected > 0] = kept
        check_parity({"p": row}, {"p": full}, 1e-12)
    assert (sampling_probabilities(logits, top_k=1).argmax(-1) == logits.argmax(-1)).all()


def test_draw_inverts_the_cumulated_probabilities():
    p = np.array([[0.2, 0, 0.5, 0.3]] * 6)
    numbers = np.array([0, 0.19, 0.2, 0.69, 0.71, 1 - 1e-16])
    rng = SimpleNamespace(random=lambda n: numbers[:n])
    assert draw(rng, p).tolist() == [0, 0, 2, 2, 3, 3]
    many = draw(np.random.default_rng(0), np.repeat(p[:1], 20000, axis=0))
    shares = np.bincount(many, minlength=4) / 20000
    assert np.abs(shares - p[0]).max() < 0.02 and shares[1] == 0


def test_samples_have_the_probabilities_of_the_model():
    params = lm_init(np.random.default_rng(10), 3, E, H)
    params = params._replace(output=params.output._replace(weight=8 * params.output.weight))
    prompt = np.ones((1, 20000), int)
    added = sample(np.random.default_rng(0), prompt, params, 2)
    texts = np.array([(1, a, b) for a in range(3) for b in range(3)]).T
    expected = np.exp(lm_logprob(texts, zero_state(params, 9), params)[0].sum(axis=0))
    found = np.bincount(3 * added[0] + added[1], minlength=9) / 20000
    assert np.abs(found - expected).max() < 0.02 and np.ptp(expected) > 0.05
    first = sample(np.random.default_rng(1), prompt[:, :3], params, 5, top_k=1)
    assert (first == first[:, :1]).all()


@pytest.mark.equation("lm-influence")
def test_influence_equals_autograd_of_each_prediction():
    for cell, tied in KINDS:
        ids, _, params = drawn(cell, tied)
        _, forward = torch_model(params)
        start = [torch.zeros(1, H, dtype=torch.float64)] * (2 if cell == "lstm" else 1)
        logits, _, x = forward(ids[:-1, :1], start)
        chosen = logits.log_softmax(-1)[torch.arange(T), 0, torch.tensor(ids[1:, 0])]
        rows = [torch.autograd.grad(one, x, retain_graph=True)[0][:, 0] for one in chosen]
        found = influence(ids[:, 0], params)
        check_parity({"influence": found}, {"influence": torch.stack(rows)})
        assert not np.triu(np.abs(found).sum(-1), 1).any()


@pytest.mark.equation("lm-exposure")
def test_exposure_is_the_rank_in_bits():
    rng = np.random.default_rng(11)
    others = rng.normal(size=31)
    for secret in (others.max() + 1, np.median(others) + 1e-9, others.min() - 1):
        rank = 32 - np.sort(others).searchsorted(secret)
        assert exposure(secret, others) == pytest.approx(5 - np.log2(rank), abs=1e-12)
    assert exposure(1.0, np.ones(7)) == pytest.approx(3 - np.log2(4.5))


def test_dtype_is_kept_and_extremes_are_finite():
    for cell, tied in KINDS:
        ids, state, params = drawn(cell, tied)
        small = tree_map(lambda a: a.astype(np.float32), params)
        start = tree_map(lambda a: a.astype(np.float32), state)
        logits, after, cache = lm_forward(ids, start, small)
        results = [logits, *(leaf for _, leaf in tree_leaves((after, lm_backward(logits, start, cache))))]
        results += [at_temperature(logits, 0.5), keep_top_k(logits, 2), keep_nucleus(logits, 0.5)]
        results += [entropy_slope(logits, 0.5), influence(ids[:, 0], small)]
        assert {a.dtype for a in results} == {np.dtype(np.float32)}
    for scale in (1e4, -1e4):
        loud = tree_map(lambda a, scale=scale: scale * a, params)
        loss, _, gradient = lm_loss(ids[:-1], ids[1:], state, loud)
        assert np.isfinite([loss, *(np.abs(leaf).max() for _, leaf in tree_leaves(gradient))]).all()
        logits = scale * np.arange(4.0)
        for tau in (1e-300, 1e-4, 1e300):
            p = at_temperature(logits, tau)
            assert np.isfinite(p).all() and p.sum() == pytest.approx(1)
        assert np.isfinite(sampling_probabilities(logits, 0.5, 2, 0.5)).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("tau", [1e-320, 1e-120, 1e-50, 1e-9, 1e-4, 1e9, 1e300])
def test_extreme_temperatures_in_both_halves(dtype, tau):
    logits = np.array([[1, 0, 0.5], [-60000, 60000, 59000], [-np.inf, 3, 1]], dtype)
    p, q = sampling_probabilities(logits, tau), torch_probabilities(torch.tensor(logits), tau)
    expected = [[1, 0, 0], [0, 1, 0], [0, 1, 0]] if tau < 1 else [[1 / 3] * 3, [1 / 3] * 3, [0, 0.5, 0.5]]
    assert p.dtype == dtype == str(q.dtype).removeprefix("torch.")
    # Beyond 1e4, the logits of the second row are told apart by 1e9 no more than by 1e-3.
    np.testing.assert_allclose(p, expected, atol=1e-3)
    np.testing.assert_allclose(q, expected, atol=1e-3)
    slope = entropy_slope(logits[:2], tau)
    assert slope.dtype == dtype and (slope >= 0).all() and np.isfinite(slope).all()


def test_the_slope_of_huge_logits_and_equal_ones():
    assert entropy_slope(np.array([1e200, 0.0, 0.0]), 1.0) == 0
    assert entropy_slope(np.zeros(3), 1e-120) == 0


def test_what_has_probability_zero_keeps_it():
    logits = np.array([[900.0, 0.0, -np.inf]])
    for p in (sampling_probabilities(logits, 1.0, 3), sampling_probabilities(logits, 1.0, 3, 1.0)):
        assert p[0, 1:].tolist() == [0, 0]


def test_arguments_are_not_changed():
    ids, state, params = drawn("lstm", True)
    kept = [leaf.copy() for _, leaf in tree_leaves((ids, state, params))]
    lm_loss(ids[:-1], ids[1:], state, params)
    influence(ids[:, 0], params)
    sample(np.random.default_rng(0), ids, params, 3, temperature=0.5, top_k=3, nucleus=0.9)
    after = [leaf for _, leaf in tree_leaves((ids, state, params))]
    assert all(np.array_equal(a, b) for a, b in zip(kept, after, strict=True))


def test_messages():
    ids, state, params = drawn()
    logits = np.zeros((2, 3))
    rng = np.random.default_rng(0)
    cases = [
        (
            lambda: lm_init(rng, V, 4, 5, tied=True),
            "E must be H = 5 where the output layer uses the embedding, got 4",
        ),
        (lambda: lm_init(rng, V, 4, 0), "H must be an integer of at least 1, got 0"),
        (lambda: lm_init(rng, V, 4, 5, "lstn"), "cell must be one of 'rnn', 'gru', 'lstm', got 'lstn'"),
        (lambda: lm_forward(ids[0], state, params), "ids must have shape (T, B) = (any, any), got (3,)"),
        (lambda: lm_forward(ids[:0], state, params), "ids must have shape (T, B) with no size 0, got (0, 3)"),
        (
            lambda: lm_forward(ids + V, state, params),
            f"ids must lie in 0 .. V - 1 = 7, got {V + ids.min()} .. {V + ids.max()}",
        ),
        (lambda: lm_forward(1.0 * ids, state, params), "ids must hold integers, got dtype float64"),
        (lambda: lm_forward(ids[:, :2], state, params), "h_0 must have shape (B, H) = (2, 5), got (3, 5)"),
        (
            lambda: lm_loss(ids[1:], ids[:3], state, params),
            "targets must have shape (T, B) = (6, 3), got (3, 3)",
        ),
        (
            lambda: lm_forward(ids, state, params._replace(cell=(1,))),
            "cell must be RNNParams, GRUParams or LSTMParams, got tuple",
        ),
        (
            lambda: lm_forward(ids, state, params._replace(embedding=params.embedding.T)),
            "weight_ih must have shape (rows, E) = (any, 8), got (20, 4)",
        ),
        (
            lambda: lm_logprob(ids[:, 0], state, params),
            "ids must have shape (T + 1, B) = (any, any), got (7,)",
        ),
        (
            lambda: excess(np.zeros(2), np.zeros(3)),
            "logprob must have the shape of true_logprob, (3,), got (2,)",
        ),
        (lambda: entropy(logits), "probabilities must be at least 0 and sum to 1 in each row"),
        (lambda: at_temperature(logits, 0), "tau must lie in (0, inf), got 0"),
        (lambda: at_temperature(logits + np.nan, 1), "logits must be finite, got nan or inf"),
        (lambda: at_temperature(np.arange(3), 1), "logits must hold floats, got dtype int64"),
        (lambda: keep_top_k(logits, 0), "k must be an integer of at least 1, got 0"),
        (
            lambda: keep_top_k(logits - np.inf, 1),
            "logits must have one finite number in each row, got a row of -inf",
        ),
        (lambda: keep_nucleus(logits, 1.5), "mass must lie in (0, 1], got 1.5"),
        (
            lambda: keep_nucleus(np.float64(1), 0.5),
            "logits must have shape (..., V) with V at least 1, got ()",
        ),
        (lambda: draw(rng, np.ones(1)), "probabilities must have shape (B, V) = (any, any), got (1,)"),
        (lambda: sample(rng, ids, params, 0), "length must be an integer of at least 1, got 0"),
        (lambda: influence(ids[:1, 0], params), "ids must have at least two elements, got 1"),
        (lambda: exposure(0.0, np.zeros(0)), "others must hold at least one candidate, got none"),
        (lambda: zero_state(params, 0), "B must be an integer of at least 1, got 0"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message


def mutant_arguments(function, condition):
    """Arguments on which a mistake of this room hides under `condition`; see test_mutants.py."""
    rng = np.random.default_rng(7)
    logits = 2 * rng.normal(size=(B, V))
    if condition == "sorted logits":
        logits = -np.sort(-logits, axis=-1)
    if condition == "mass reached exactly":
        logits = np.zeros((B, V))
    if function in (at_temperature, entropy_slope):
        return logits, 1.0
    if function is keep_top_k:
        return logits, V
    if function is keep_nucleus:
        return logits, {"nothing cut": 1 - 1e-9, "mass reached exactly": 0.5, "sorted logits": 0.7}[condition]
    if function is exposure:
        others = rng.normal(size=20)
        return float(np.median(others)), others
    ids, state, params = drawn(tied=condition not in ("untied", "each token once"))
    if condition == "each token once":
        ids = rng.permutation(V)[: V // B * B].reshape(-1, B)
        ids = np.concatenate([ids, ids[:1]])
    if condition == "one token again and again":
        ids = np.full_like(ids, 3)
    if condition == "zero weights":
        state, params = (tree_map(np.zeros_like, tree) for tree in (state, params))
    if condition == "zero state":
        state = zero_state(params, B)
    if condition == "one position":
        ids, state = ids[:2, :1], tree_map(lambda a: a[:1], state)
    if condition == "one step":
        ids = ids[:2]
    if function is influence:
        return ids[:, 0], params
    if function is lm_forward:
        return ids, state, params
    if function is lm_logprob:
        return ids, state, params
    if function is lm_loss:
        return ids[:-1], ids[1:], state, params
    logits, _, cache = lm_forward(ids[:-1], state, params)
    return rng.normal(size=logits.shape), tree_map(lambda a: rng.normal(size=a.shape), state), cache


def test_networks_and_ngrams_predict_the_same_tokens():
    pairs, stream = grammar_data(3, 30)
    ids = lm_ids(stream)
    assert ids[0] == EOS and np.array_equal(ids[1:], stream[stream != BOS])
    assert len(token_classes(pairs)) == len(ids) - 1
    logprobs = true_token_logprobs(3, 30)
    pairs, _ = grammar_data(10**6 + 3, 30)
    ends = np.cumsum([len(pair.english) + 1 for pair in pairs])
    found = [part.sum() for part in np.split(logprobs, ends[:-1])]
    check_parity({"logprob": found}, {"logprob": [grammar.true_logprob(pair.english) for pair in pairs]})


def test_main_verbs_are_classed_by_the_words_before_them():
    expected = {0: 0, 1: 1, 2: 1, 3: 2, 4: 2, 5: 2, 6: 2}
    for clause, place in expected.items():
        pair = grammar.sample(np.random.default_rng(clause), clause)
        # The noun stands as many words before the verb.
        assert pair.tags[pair.verb - clause - 1] in ("NOUN", "PROPN")
        assert token_classes([pair])[pair.verb] == place


def test_windows_and_sentences_from_a_zero_state():
    _, _, params = drawn()
    ids = np.random.default_rng(5).integers(0, V, 25)
    for window, whole in ((5, 20), (8, 24), (7, 21)):
        expected = [
            lm_logprob(ids[i : i + window + 1, None], zero_state(params, 1), params)[0][:, 0]
            for i in range(0, whole, window)
        ]
        check_parity({"logprob": window_logprobs(ids, params, window)}, {"logprob": np.concatenate(expected)})
    stream = np.array([BOS, 4, 5, EOS, BOS, 6, EOS])
    texts = [np.array([EOS, 4, 5, EOS]), np.array([EOS, 6, EOS])]
    total = sum((len(text) - 1) * text_loss(text, params) for text in texts)
    assert sentence_loss(stream, params) == pytest.approx(total / 5, rel=1e-12)


def test_exposure_of_a_code_whose_digits_a_model_likes():
    vocabulary = Vocabulary.of(CODE + "0123456789")
    params = lm_init(np.random.default_rng(0), len(vocabulary), 3, 4)
    bias = np.zeros(len(vocabulary))
    bias[vocabulary.encode("1234567890")] = np.arange(10, 0, -1) + 0.01 * np.arange(10) ** 2
    output = params.output._replace(weight=0 * params.output.weight, bias=bias)
    params = params._replace(output=output)
    assert code_exposure(params, vocabulary, 1111) == pytest.approx(np.log2(10**4))
    assert code_exposure(params, vocabulary, 0) == pytest.approx(0, abs=1e-3)


def test_a_planted_code_stands_as_often_as_asked():
    for count in (0, 3):
        text, code = planted_text(5, count)
        assert text.count(CODE.format(*f"{code:04d}")) == count
        assert text.count("The code is") == count and text.count("The price is") == DECOYS


def test_learning_repeats_and_carries():
    ids = np.random.default_rng(0).integers(0, V, 200)
    setting = Setting(E=3, H=4, B=2, T=5, steps=8)
    first, second = (learn(ids, V, setting, 1, dtype=np.float64) for _ in range(2))
    assert np.array_equal(first.history.loss, second.history.loss)
    reset = learn(ids, V, setting._replace(carry=False), 1, dtype=np.float64)
    # At a rate that changes nothing a second reading of the text has the losses of the first.
    still = learn(ids[:21], V, setting._replace(lr=1e-12, steps=4), 1, dtype=np.float64).history.loss
    check_parity({"loss": still[2:]}, {"loss": still[:2]}, 1e-8)
    # With a validation text the best parameters come back, not the last.
    worse = setting._replace(lr=0.5, steps=40, every=4)
    trained = learn(ids, V, worse, 1, ids[:60] ^ 1, dtype=np.float64)
    found = trained.history.evaluation
    assert text_loss(ids[:60] ^ 1, trained.params) == pytest.approx(found.min(), rel=1e-12)
    assert found.min() < found[-1]
    # The first batch starts from zero either way.
    assert reset.history.loss[0] == first.history.loss[0] and reset.history.loss[1] != first.history.loss[1]
