"""Attention: parity with torch, differences, masks, chunks, decoders, the alignment error rate."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from rnncourse.attention.exercise import _judge_effects, logprob
from rnncourse.attention.experiment import (
    as_data,
    by_length,
    diagonal,
    error_rates,
    exact,
    held_out_pairs,
    least_seconds,
    offsets,
    pair_of_forms,
    peak_bytes,
    start,
    training_pairs,
)
from rnncourse.attention.numpy import (
    AdditiveParams,
    DotParams,
    GeneralParams,
    ScaledParams,
    additive_attention,
    additive_attention_backward,
    additive_backward,
    additive_forward,
    alignment_error_rate,
    attend_backward,
    attend_forward,
    attention_encode,
    attention_forward,
    attention_greedy,
    attention_init,
    attention_loss,
    attention_step,
    decoder_backward,
    decoder_forward,
    dot_backward,
    dot_forward,
    general_backward,
    general_forward,
    heaviest,
    padding_mask,
    score_backward,
    score_forward,
    score_init,
)
from rnncourse.attention.torch import AttentionSeq2Seq, Score, attend, scaled_attention
from rnncourse.attention.torch import additive_attention as torch_additive_attention
from rnncourse.data import grammar
from rnncourse.data.pairs import END, PAD, START, PairBatch, length_mask
from rnncourse.seq2seq.torch import greedy as torch_greedy
from rnncourse.seq2seq.torch import seq2seq_loss, to_tensors
from rnncourse.testing import check_gradient, check_parity

T, S, B, H, D, A, E = 5, 7, 3, 4, 6, 8, 2
SCORES = ("additive", "general", "dot", "scaled")
MODELS = [("luong", "general"), ("luong", "additive"), ("bahdanau", "additive"), ("bahdanau", "scaled")]
LENGTHS = np.array([7, 2, 5])


def drawn(score="additive", seed=0, sizes=(T, S, B, H, D)):
    """Queries, keys, parameters, cotangents of the scores."""
    T, S, B, H, D = sizes
    rng = np.random.default_rng(seed)
    D = H if score in ("dot", "scaled") else D
    query, keys = rng.normal(size=(T, B, H)), rng.normal(size=(S, B, D))
    return query, keys, score_init(rng, H, D, A, score), rng.normal(size=(B, T, S))


def drawn_scores(seed=0, S=S):
    """Scores, values, mask, cotangents of contexts and weights."""
    rng = np.random.default_rng(seed)
    mask = padding_mask(np.minimum(LENGTHS, S), S)
    scores, values = 2 * rng.normal(size=(B, T, S)), rng.normal(size=(S, B, D))
    return scores, values, mask, rng.normal(size=(T, B, D)), rng.normal(size=(B, T, S))


def as_torch(*arrays):
    return [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]


def torch_score(Score, params, H, D):
    """The torch module with the same parameters."""
    names = {AdditiveParams: "additive", GeneralParams: "general", DotParams: "dot", ScaledParams: "scaled"}
    A = len(params.weight_score) if isinstance(params, AdditiveParams) else None
    module = Score(H, D, A, names[type(params)], dtype=torch.float64)
    module.load_state_dict({k: torch.tensor(v) for k, v in params._asdict().items()}, strict=True)
    return module


def score_parity(forward, backward, Score, score, sizes=(T, S, B, H, D)):
    """Compare a score and its gradients with the twin and with central differences."""
    query, keys, params, dscores = drawn(score, sizes=sizes)
    scores, cache = forward(query, keys, params)
    dquery, dkeys, dparams = backward(dscores, cache)
    module = torch_score(Score, params, query.shape[2], keys.shape[2])
    query_, keys_ = as_torch(query, keys)
    expected = module(query_, keys_)
    expected.backward(torch.tensor(dscores))
    gradients = {"query": dquery, "keys": dkeys, **dparams._asdict()}
    by_torch = {"query": query_.grad, "keys": keys_.grad}
    by_torch |= {name: p.grad for name, p in module.named_parameters()}
    check_parity({"scores": scores, **gradients}, {"scores": expected.detach(), **by_torch})

    def loss(query, keys, **weights):
        return (forward(query, keys, type(params)(**weights))[0] * dscores).sum()

    check_gradient(loss, {"query": query, "keys": keys, **params._asdict()}, gradients)
    return query, keys, params, scores


@pytest.mark.equation("attention-additive")
@pytest.mark.equation("attention-dadditive")
def test_additive_score():
    query, keys, params, scores = score_parity(additive_forward, additive_backward, Score, "additive")
    hidden = np.tanh(params.weight_query @ query[1, 2] + params.weight_key @ keys[3, 2])
    check_parity({"score": scores[2, 1, 3]}, {"score": params.weight_score @ hidden})


@pytest.mark.equation("attention-general")
@pytest.mark.equation("attention-dgeneral")
def test_general_score():
    # Only a square matrix can be transposed by mistake.
    score_parity(general_forward, general_backward, Score, "general", (T, S, B, H, H))
    query, keys, params, scores = score_parity(general_forward, general_backward, Score, "general")
    check_parity({"score": scores[2, 1, 3]}, {"score": query[1, 2] @ params.weight @ keys[3, 2]})


@pytest.mark.equation("attention-dot")
@pytest.mark.equation("attention-scaled")
@pytest.mark.equation("attention-ddot")
def test_dot_scores():
    for score, factor in {"dot": 1, "scaled": 0.5}.items():
        query, keys, _, scores = score_parity(dot_forward, dot_backward, Score, score)
        check_parity({"score": scores[2, 1, 3]}, {"score": query[1, 2] @ keys[3, 2] * factor})


@pytest.mark.equation("attention-weights")
@pytest.mark.equation("attention-context")
@pytest.mark.equation("attention-dvalues")
@pytest.mark.equation("attention-dscores")
def test_weights_and_contexts():
    scores, values, mask, dcontext, dweights = drawn_scores()
    for allowed in (mask, None, np.tri(T, S, dtype=bool)[None]):
        context, weights, cache = attend_forward(scores, values, allowed)
        dscores, dvalues = attend_backward(dcontext, dweights, cache)
        scores_, values_ = as_torch(scores, values)
        by_torch = attend(scores_, values_, None if allowed is None else torch.tensor(allowed))
        torch.autograd.backward(by_torch, as_torch(dcontext, dweights))
        check_parity(
            {"context": context, "weights": weights, "scores": dscores, "values": dvalues},
            {
                "context": by_torch[0].detach(),
                "weights": by_torch[1].detach(),
                "scores": scores_.grad,
                "values": values_.grad,
            },
        )

        def loss(scores, values, allowed=allowed):
            context, weights, _ = attend_forward(scores, values, allowed)
            return (context * dcontext).sum() + (weights * dweights).sum()

        check_gradient(loss, {"scores": scores, "values": values}, {"scores": dscores, "values": dvalues})


@pytest.mark.equation("attention-weights")
@pytest.mark.equation("attention-context")
@pytest.mark.equation("attention-dscores")
@pytest.mark.equation("attention-dvalues")
def test_numbers_on_paper():
    scores = np.log([[[6.0, 3.0, 1.0]]])
    values = np.array([10.0, 20.0, 30.0])[:, None, None]
    context, weights, cache = attend_forward(scores, values)
    dscores, dvalues = attend_backward(np.ones((1, 1, 1)), np.zeros((1, 1, 3)), cache)
    check_parity({"weights": weights[0, 0]}, {"weights": [0.6, 0.3, 0.1]}, 1e-14)
    check_parity({"context": context[0, 0]}, {"context": [15.0]}, 1e-14)
    check_parity({"scores": dscores[0, 0]}, {"scores": [-3.0, 1.5, 1.5]}, 1e-14)
    check_parity({"values": dvalues[:, 0, 0]}, {"values": [0.6, 0.3, 0.1]}, 1e-14)


@pytest.mark.equation("attention-scaled")
@pytest.mark.equation("attention-context")
def test_scaled_dot_product_attention_is_the_oracle():
    query, keys, params, _ = drawn("scaled")
    values = np.random.default_rng(1).normal(size=(S, B, E))
    mask = padding_mask(LENGTHS, S)
    scores, _ = dot_forward(query, keys, params)
    context, _, _ = attend_forward(scores, values, mask)
    tensors = [torch.tensor(a).transpose(0, 1) for a in (query, keys, values)]
    oracle = scaled_dot_product_attention(*tensors, attn_mask=torch.tensor(mask)).transpose(0, 1)
    twin = scaled_attention(*(torch.tensor(a) for a in (query, keys, values)), torch.tensor(mask))
    check_parity({"context": context, "twin": twin}, {"context": oracle, "twin": oracle})


@pytest.mark.equation("attention-scaled")
@pytest.mark.equation("attention-weights")
@pytest.mark.equation("attention-context")
def test_one_head_of_multihead_attention():
    layer = torch.nn.MultiheadAttention(H, 1, bias=False, dtype=torch.float64)
    x = torch.randn(T, B, H, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    causal = np.tri(T, dtype=bool)[None]
    expected, weights = layer(x, x, x, attn_mask=torch.tensor(~causal[0]))
    query, keys, values = ((x @ part.T).detach().numpy() for part in layer.in_proj_weight.chunk(3))
    scores, _ = dot_forward(query, keys, ScaledParams())
    context, ours, _ = attend_forward(scores, values, causal)
    output = context @ layer.out_proj.weight.detach().numpy().T
    check_parity(
        {"output": output, "weights": ours}, {"output": expected.detach(), "weights": weights.detach()}
    )


@pytest.mark.equation("attention-additive")
@pytest.mark.equation("attention-context")
@pytest.mark.equation("attention-dadditive")
@pytest.mark.equation("attention-dscores")
@pytest.mark.equation("attention-dvalues")
def test_chunks_change_nothing():
    query, keys, params, _ = drawn()
    rng = np.random.default_rng(2)
    values, dcontext = rng.normal(size=(S, B, E)), rng.normal(size=(T, B, E))
    each = rng.random((B, T, S)) < 0.5
    each[..., 0] = True
    for mask in (padding_mask(LENGTHS, S), each, None):
        scores, score_cache = additive_forward(query, keys, params)
        context, weights, cache = attend_forward(scores, values, mask)
        dscores, dvalues = attend_backward(dcontext, np.zeros_like(weights), cache)
        dquery, dkeys, dparams = additive_backward(dscores, score_cache)
        plain = {"context": context, "query": dquery, "keys": dkeys, "values": dvalues, **dparams._asdict()}
        for chunk in (1, 2, 5, 9):
            context, cache = additive_attention(query, keys, values, mask, params, chunk)
            dquery, dkeys, dvalues, dparams = additive_attention_backward(dcontext, cache)
            ours = {"context": context, "query": dquery, "keys": dkeys, "values": dvalues}
            check_parity(ours | dparams._asdict(), plain, 1e-12)


@pytest.mark.equation("attention-additive")
@pytest.mark.equation("attention-context")
def test_chunks_in_torch_change_nothing():
    query, keys, params, _ = drawn()
    values, mask = np.random.default_rng(2).normal(size=(S, B, E)), padding_mask(LENGTHS, S)
    tensors = as_torch(query, keys, values)
    module = torch_score(Score, params, H, D)
    results = []
    for chunk in (2, None):
        if chunk:
            context = torch_additive_attention(*tensors, torch.tensor(mask), module, chunk)
        else:
            context, _ = attend(module(*tensors[:2]), tensors[2], torch.tensor(mask))
        gradients = torch.autograd.grad(context.square().sum(), [*tensors, *module.parameters()])
        results.append({str(i): g for i, g in enumerate([context.detach(), *gradients])})
    check_parity(*results)
    context, _, _ = attend_forward(additive_forward(query, keys, params)[0], values, mask)
    check_parity({"context": results[0]["0"]}, {"context": context})


def test_memory_of_the_chunks_is_linear():
    peaks = {}
    for T in (64, 128, 256):
        plain, chunks = pair_of_forms(T, B=2, A=8, dtype=np.float64)
        peaks[T] = peak_bytes(plain), peak_bytes(chunks)
    for T in (64, 128):
        plain, chunks = (peaks[2 * T][i] / peaks[T][i] for i in (0, 1))
        assert 3.5 < plain < 4.5 and 1.5 < chunks < 2.5


def test_memory_of_the_way_back_is_linear():
    peaks = []
    for T in (64, 128):
        query, keys, params, _ = drawn(sizes=(T, T, B, H, D))
        context, cache = additive_attention(query, keys, keys, None, params)
        peaks.append(peak_bytes(partial(additive_attention_backward, context, cache)))
    assert 1.5 < peaks[1] / peaks[0] < 2.5


def test_torch_keeps_no_hidden_layer_of_all_pairs():
    query, keys, params, _ = drawn(sizes=(40, 30, B, H, D))
    module, kept = torch_score(Score, params, H, D), []

    def pack(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        torch_additive_attention(*as_torch(query, keys, keys), None, module, 2)
    assert 0 < max(kept) < 40 * 30 * B


def test_parameters_of_a_score_are_drawn_as_in_torch_linear():
    module = Score(50, 60, 70)
    by_name = {name: p.detach().numpy() for name, p in module.named_parameters()}
    for drawn_by in (by_name, score_init(np.random.default_rng(0), 50, 60, 70)._asdict()):
        for weight in drawn_by.values():
            bound = weight.shape[-1] ** -0.5
            assert -bound <= weight.min() < -0.8 * bound and 0.8 * bound < weight.max() <= bound


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(SCORES), st.integers(1, 5), st.integers(1, 6))
def test_rows_sum_to_one_and_masked_places_get_nothing(seed, score, T, S):
    query, keys, params, _ = drawn(score, seed, (T, S, 2, 3, 4))
    rng = np.random.default_rng(seed)
    mask = rng.random((2, T, S)) < 0.5
    mask[..., rng.integers(S)] = True
    scores, _ = score_forward(query, keys, params)
    context, weights, cache = attend_forward(scores, keys, mask)
    assert np.abs(weights.sum(-1) - 1).max() < 1e-12 and not weights[~mask].any()
    dscores, dvalues = attend_backward(rng.normal(size=context.shape), 0 * weights, cache)
    assert not dscores[~mask].any() and np.abs(dscores.sum(-1)).max() < 1e-12
    assert not dvalues[~mask.any(1).T].any()
    # What stands at a place that nobody may see does not matter.
    other = np.where(mask.any(1).T[..., None], keys, 100.0)
    again, _, _ = attend_forward(score_forward(query, other, params)[0], other, mask)
    np.testing.assert_allclose(again, context, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(SCORES))
def test_the_order_of_the_source_does_not_matter(seed, score):
    query, keys, params, _ = drawn(score, seed)
    order = np.random.default_rng(seed).permutation(S)
    results = []
    for k in (keys, keys[order]):
        context, weights, _ = attend_forward(score_forward(query, k, params)[0], k)
        results.append((context, weights))
    np.testing.assert_allclose(results[0][0], results[1][0], atol=1e-12)
    np.testing.assert_allclose(results[0][1][..., order], results[1][1], atol=1e-12)


SIZES = {"V_source": 7, "V_target": 9, "E": 3, "H": 5}


def batch_of(seed=0, lengths=(4, 2, 6), target_lengths=(3, 5, 2)):
    rng = np.random.default_rng(seed)
    source = rng.integers(4, SIZES["V_source"], (max(lengths), len(lengths)))
    target = rng.integers(4, SIZES["V_target"], (max(target_lengths), len(lengths)))
    ends = np.array(target_lengths)
    mask = length_mask(ends, len(target))
    target[ends - 1, np.arange(len(ends))] = END
    target_input = np.where(mask, np.roll(target, 1, axis=0), PAD)
    target_input[0] = START
    return PairBatch(source, np.array(lengths), target_input, np.where(mask, target, PAD), ends)


def twin(AttentionSeq2Seq, params, form, score):
    """The torch model with the same parameters."""
    model = AttentionSeq2Seq(**SIZES, form=form, score=score, dtype=torch.float64)
    model.load_state_dict({k: torch.tensor(v) for k, v in named(params).items()}, strict=True)
    return model


def named(params):
    """Parameters or gradients by torch's names."""
    decoder = params.decoder
    found = {"embedding.weight": params.embedding, "target_embedding.weight": decoder.embedding}
    for name, part in {"encoder": params.encoder, "decoder": decoder.cell}.items():
        found |= {f"{name}.{key}_l0": value for key, value in part._asdict().items()}
    for name in ("score", "combine", "output"):
        found |= {f"{name}.{key}": value for key, value in getattr(decoder, name)._asdict().items()}
    return found


@pytest.mark.equation("attention-luong")
@pytest.mark.equation("attention-bahdanau")
@pytest.mark.equation("attention-readout")
def test_models_equal_their_twins():
    for form, score in MODELS:
        check_model(AttentionSeq2Seq, form, score)


def check_model(AttentionSeq2Seq, form, score):
    """Loss, gradients, weights and greedy translations of a model and of its twin."""
    params, batch = attention_init(np.random.default_rng(3), **SIZES, form=form, score=score), batch_of()
    model, tensors = twin(AttentionSeq2Seq, params, form, score), to_tensors(batch_of())
    loss, dparams = attention_loss(batch, params)
    expected = seq2seq_loss(model, tensors)
    expected.backward()
    check_parity({"loss": loss}, {"loss": expected.item()})
    check_parity(named(dparams), {name: p.grad for name, p in model.named_parameters()})
    logits, weights, _ = attention_forward(*batch[:3], params)
    _, state = model.encode(tensors.source, tensors.source_lengths)
    by_torch, _, torch_weights = model.decode(tensors.target_input, state)
    check_parity(
        {"logits": logits, "weights": weights},
        {"logits": by_torch.detach(), "weights": torch_weights.detach()},
    )
    ids = attention_greedy(batch.source, batch.source_lengths, params, max_length=12)
    np.testing.assert_array_equal(
        ids, torch_greedy(model, tensors.source, tensors.source_lengths, max_length=12)
    )


def drawn_decoder(form, score, seed=4):
    """Tokens, state, keys, mask, parameters, cotangents of logits and state."""
    rng = np.random.default_rng(seed)
    params = attention_init(rng, **SIZES, form=form, score=score).decoder
    B, S, T, H, V = 2, 4, 3, SIZES["H"], SIZES["V_target"]
    tokens, mask = rng.integers(0, V, (T, B)), padding_mask(np.array([4, 2]), S)
    shapes = (B, H), (S, B, H), (T, B, V), (B, H)
    state, keys, dlogits, dstate = (rng.normal(size=shape) for shape in shapes)
    return tokens, state, keys, mask, params, dlogits, dstate


def check_decoder(forward, backward, form, score):
    """Every gradient of a decoder against central differences."""
    tokens, state, keys, mask, params, dlogits, dstate = drawn_decoder(form, score)
    _, _, _, cache = forward(tokens, state, keys, mask, params)
    dbefore, dkeys, dparams = backward(dlogits, dstate, cache)
    parts = ("cell", "score", "combine", "output")
    flat = {f"{p}-{k}": v for p in parts for k, v in getattr(params, p)._asdict().items()}
    gradients = {f"{p}-{k}": v for p in parts for k, v in getattr(dparams, p)._asdict().items()}

    def loss(state, keys, embedding, **weights):
        changed = {
            p: type(getattr(params, p))(*(weights[f"{p}-{k}"] for k in getattr(params, p)._fields))
            for p in parts
        }
        logits, after, _, _ = forward(
            tokens, state, keys, mask, params._replace(embedding=embedding, **changed)
        )
        return (logits * dlogits).sum() + (after * dstate).sum()

    check_gradient(
        loss,
        {"state": state, "keys": keys, "embedding": params.embedding, **flat},
        {"state": dbefore, "keys": dkeys, "embedding": dparams.embedding, **gradients},
    )


@pytest.mark.equation("attention-luong")
@pytest.mark.equation("attention-readout")
@pytest.mark.equation("attention-dluong")
def test_luong_by_differences():
    check_decoder(decoder_forward, decoder_backward, "luong", "general")
    check_plain(decoder_forward, "luong", "scaled")


@pytest.mark.equation("attention-bahdanau")
@pytest.mark.equation("attention-readout")
@pytest.mark.equation("attention-dbahdanau")
def test_bahdanau_by_differences():
    check_decoder(decoder_forward, decoder_backward, "bahdanau", "additive")
    check_plain(decoder_forward, "bahdanau", "general")


def check_plain(forward, form, score):
    """The decoder of one sentence, written with torch.nn's own cell, step by step."""
    tokens, state, keys, _, params, _, _ = drawn_decoder(form, score)
    tokens, h, keys_ = tokens[:, :1], torch.tensor(state[:1]), torch.tensor(keys[:, :1])
    cell = torch.nn.GRUCell(params.cell.weight_ih.shape[1], SIZES["H"], dtype=torch.float64)
    cell.load_state_dict({k: torch.tensor(v) for k, v in params.cell._asdict().items()})
    module = torch_score(Score, params.score, SIZES["H"], SIZES["H"])
    logits = []
    for token in tokens:
        x = torch.tensor(params.embedding[token])
        if form == "bahdanau":
            context = attend(module(h[None], keys_), keys_)[0][0]
            h = cell(torch.cat([x, context], -1), h)
        else:
            h = cell(x, h)
            context = attend(module(h[None], keys_), keys_)[0][0]
        both = torch.cat([h, context], -1).detach().numpy()
        combined = np.tanh(both @ params.combine.weight.T + params.combine.bias)
        logits.append(combined @ params.output.weight.T + params.output.bias)
    ours, after, weights, _ = forward(tokens, state[:1], keys[:, :1], None, params)
    check_parity({"logits": ours, "state": after}, {"logits": np.array(logits), "state": h.detach()})
    assert np.abs(weights.sum(-1) - 1).max() < 1e-12


@pytest.mark.parametrize("form, score", MODELS)
def test_steps_equal_the_whole(form, score):
    params, batch = attention_init(np.random.default_rng(3), **SIZES, form=form, score=score), batch_of()
    logits, _, _ = attention_forward(*batch[:3], params)
    state, by_step = attention_encode(batch.source, batch.source_lengths, params), []
    assert all(len(part) == 3 for part in state)
    for tokens in batch.target_input:
        step, state = attention_step(tokens, state, params)
        by_step.append(step)
    check_parity({"logits": np.array(by_step)}, {"logits": logits})
    order = np.array([2, 0, 1])
    mixed, _, _ = attention_forward(
        batch.source[:, order], batch.source_lengths[order], batch.target_input[:, order], params
    )
    check_parity({"logits": mixed}, {"logits": logits[:, order]})


@pytest.mark.equation("attention-aer")
def test_alignment_error_rate():
    weights = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
    assert heaviest(weights) == {(1, 0), (0, 1)}
    # By hand: of three guessed links one is sure, one more is possible; there are two sure ones.
    a, s, p = {(0, 0), (1, 1), (2, 2)}, {(0, 0), (1, 2)}, {(0, 0), (1, 2), (1, 1)}
    check_parity({"rate": alignment_error_rate([a], [s], [p])}, {"rate": 1 - (1 + 2) / 5}, 1e-14)
    check_parity({"rate": alignment_error_rate([a], [s])}, {"rate": 1 - 2 / 5}, 1e-14)
    check_parity({"rate": alignment_error_rate([a, s], [s, s])}, {"rate": 1 - (2 + 4) / 9}, 1e-14)
    assert alignment_error_rate([s], [s]) == 0 and alignment_error_rate([{(5, 5)}], [s]) == 1


def test_alignment_error_rate_equals_nltk():
    from nltk.translate.metrics import alignment_error_rate as oracle

    rng = np.random.default_rng(0)
    for _ in range(20):
        a, s, more = ({tuple(map(int, link)) for link in rng.integers(0, 4, (6, 2))} for _ in range(3))
        expected = oracle(s, a, s | more)
        check_parity({"rate": alignment_error_rate([a], [s], [more])}, {"rate": expected}, 1e-12)


def test_links_of_the_diagonal():
    pairs = [grammar.sample(np.random.default_rng(seed)) for seed in range(5)]
    assert as_data(pairs).source == tuple(pair.english for pair in pairs)
    for pair, links in zip(pairs, diagonal(pairs), strict=True):
        assert {t for _, t in links} == set(range(len(pair.french)))
        assert max(s for s, _ in links) < len(pair.english)
    right = [set(pair.alignment) for pair in pairs]
    assert not offsets(right, pairs).any()
    later = [{(s + 2, t) for s, t in links} for links in right]
    assert (offsets(later, pairs) == 2).all()


def test_no_model_trains_on_a_sentence_of_the_test():
    test = {pair.english for pair in held_out_pairs()}
    data = training_pairs(3, 400)
    assert len(test) == 800 and len(data.source) == len(data.target) == 400
    assert not test & set(data.source)
    assert all(grammar.parse(list(words)).french == data.target[i] for i, words in enumerate(data.source[:9]))


def test_measures_of_the_experiment(monkeypatch):
    pair = grammar.parse("the cats upstairs are patient".split())
    S, T = len(pair.english), len(pair.french)
    assert (S, T) == (5, 6)
    # (t + 0.5) 5 / 6 = 0.42, 1.25, 2.08, 2.92, 3.75, 4.58, rounded down.
    links = {(0, 0), (1, 1), (2, 2), (2, 3), (3, 4), (4, 5)}
    assert diagonal([pair]) == [links] and set(pair.alignment) == links
    off = {(1, 0), (1, 1), (2, 2), (2, 3), (3, 4), (3, 5)}  # the article and the last word
    lengths = [6, 7, 8, 9, 11, 13, 15]
    values = np.array([1.0, 2, 4, 8, 16, 32, 64])
    pairs = [pair._replace(english=("a",) * n) for n in lengths]
    assert by_length(values, pairs) == [1, 3, 8, 16, 32, 64]
    rates = error_rates([off] * 6 + [links], pairs)
    assert rates["aer"] == pytest.approx(12 / 42) and rates["aer_others"] == pytest.approx(6 / 35)
    assert rates["aer_by_length"] == pytest.approx([1 / 3] * 5 + [0])
    times = iter([0, 3, 3, 5, 5, 9])
    monkeypatch.setattr("rnncourse.attention.experiment.process_time", lambda: next(times))
    assert least_seconds(lambda: None, 3) == 2
    for name in ("plain", "luong"):
        assert exact(start(name, 0)[0], [pair]).shape == (1,)


def test_the_last_question_refuses_what_erases_nothing_or_too_much(monkeypatch):
    model = start("small", 0)[0]
    monkeypatch.setattr("rnncourse.attention.exercise.small_model", lambda: model)
    answers = {
        "about zero": lambda source, *rest: np.zeros(len(source)),
        "one word at a time": lambda source, *rest: np.full(len(source), logprob(source, *rest)),
        "still knows": lambda source, *rest: np.full(len(source), 0.1),
    }
    for message, answer in answers.items():
        with pytest.raises(AssertionError, match=message):
            _judge_effects(answer, np.random.default_rng(0))


def test_large_scores_and_states():
    query, keys, params, _ = drawn()
    scores, cache = additive_forward(1e4 * query, 1e4 * keys, params)
    context, weights, attend_cache = attend_forward(1e4 * np.sign(scores), 1e4 * keys)
    chunks, _ = additive_attention(1e4 * query, 1e4 * keys, keys, None, params)
    dscores, _ = attend_backward(context, 0 * weights, attend_cache)
    for array in (scores, context, weights, chunks, dscores, *additive_backward(dscores, cache)[:2]):
        assert np.isfinite(array).all()


def single(tree):
    if isinstance(tree, tuple):
        parts = [single(part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return tree.astype(np.float32) if tree.dtype.kind == "f" else tree


def leaves(tree):
    return [leaf for part in tree for leaf in leaves(part)] if isinstance(tree, tuple) else [tree]


def test_dtype_is_kept_and_arguments_are_not_changed():
    for score in SCORES:
        query, keys, params, dscores = single(drawn(score))
        given = [a.copy() for a in leaves((query, keys, params, dscores))]
        scores, cache = score_forward(query, keys, params)
        context, weights, attend_cache = attend_forward(scores, keys, padding_mask(LENGTHS, S))
        results = [scores, context, weights, *score_backward(dscores, cache)[:2]]
        results += attend_backward(context, weights, attend_cache)
        if score == "additive":
            chunks, chunk_cache = additive_attention(query, keys, keys, None, params)
            results += [chunks, *leaves(additive_attention_backward(chunks, chunk_cache))]
        assert {a.dtype for a in results} == {np.dtype(np.float32)}
        now = leaves((query, keys, params, dscores))
        assert all(np.array_equal(a, b) for a, b in zip(given, now, strict=True))
    for form, score in MODELS:
        params = attention_init(np.random.default_rng(0), **SIZES, form=form, score=score, dtype=np.float32)
        _, dparams = attention_loss(batch_of(), params)
        assert {a.dtype for a in leaves(dparams)} == {np.dtype(np.float32)}


def test_messages():
    query, keys, params, dscores = drawn()
    scores, values, mask, dcontext, dweights = drawn_scores()
    _, _, cache = attend_forward(scores, values, mask)
    none = np.zeros_like(mask)
    whole = attention_init(np.random.default_rng(0), **SIZES)
    tokens, state, keys_, mask_, decoder, _, _ = drawn_decoder("luong", "general")
    wrong = decoder._replace(embedding=decoder.embedding[:, :2])
    attend_ = partial(attend_forward, scores, values)
    cases = [
        (
            lambda: additive_forward(query[:, 0], keys, params),
            "query must have shape (T, B, H) = (any, any, 4), got (5, 4)",
        ),
        (
            lambda: additive_forward(query[:0], keys, params),
            "query must have shape (T, B, H) with no size 0, got (0, 3, 4)",
        ),
        (
            lambda: additive_forward(query, keys[:, :2], params),
            "keys must have shape (S, B, D) = (any, 3, 6), got (7, 2, 6)",
        ),
        (
            lambda: additive_forward(query, keys.astype(np.float32), params),
            "keys must have the dtype of query, float64, got float32",
        ),
        (
            lambda: additive_forward(query.astype(int), keys, params),
            "query must hold floats, got dtype int64",
        ),
        (lambda: additive_forward(query * np.nan, keys, params), "query must be finite, got nan or inf"),
        (
            lambda: general_forward(query, keys, GeneralParams(np.eye(4))),
            "weight must have shape (H, D) = (4, 6), got (4, 4)",
        ),
        (
            lambda: dot_forward(query, keys, DotParams()),
            "keys must have shape (S, B, H) = (any, 3, 4), got (7, 3, 6)",
        ),
        (
            lambda: score_init(np.random.default_rng(0), 3, 4, score="dot"),
            "the dot product needs queries as long as keys, got H = 3 and D = 4",
        ),
        (
            lambda: Score(3, 4, score="dot"),
            "the dot product needs queries as long as keys, got H = 3 and D = 4",
        ),
        (lambda: score_init(np.random.default_rng(0), 0, 4), "H must be an integer of at least 1, got 0"),
        (
            lambda: Score(3, 4, score="cosine"),
            "score must be one of 'additive', 'general', 'dot', 'scaled', got 'cosine'",
        ),
        (
            lambda: additive_backward(dscores[:2], additive_forward(query, keys, params)[1]),
            "dscores must have shape (B, T, S) = (3, 5, 7), got (2, 5, 7)",
        ),
        (
            lambda: attend_forward(scores, values[:4]),
            "values must have shape (S, B, D) = (7, 3, any), got (4, 3, 6)",
        ),
        (lambda: attend_(mask[:2]), "mask must have shape (B or 1, T or 1, S) = (3, 5, 7), got (2, 1, 7)"),
        (lambda: attend_(mask[..., :3]), "mask must have shape (B, T, S) = (any, any, 7), got (3, 1, 3)"),
        (lambda: attend_(mask.astype(int)), "mask must hold bools, got dtype int64"),
        (
            lambda: attend(*map(torch.tensor, (scores, values, mask[0, 0]))),
            "mask must have shape (B, T, S) = (any, any, 7), got (7,)",
        ),
        (
            lambda: attend(*map(torch.tensor, (scores, values, mask.astype(int)))),
            "mask must hold bools, got dtype torch.int64",
        ),
        (
            lambda: torch_additive_attention(
                *map(torch.tensor, (query, keys, keys, np.ones((B, T, S), bool))),
                torch_score(Score, params, H, D),
            ),
            "mask must have shape (B or 1, T or 1, S) = (3, 1, 7), got (3, 5, 7)",
        ),
        (
            lambda: attend_(none),
            "mask must leave each query at least one place to look at, got a row of False",
        ),
        (
            lambda: attend_backward(dcontext[1:], dweights, cache),
            "dcontext must have shape (T, B, D) = (5, 3, 6), got (4, 3, 6)",
        ),
        (
            lambda: attend_backward(dcontext, dweights * np.inf, cache),
            "dweights must be finite, got nan or inf",
        ),
        (lambda: padding_mask(np.array([8, 1]), 7), "lengths must lie in 1 .. T = 7, got 1 .. 8"),
        (
            lambda: additive_attention(query, keys, keys, None, params, 0),
            "chunk must be an integer of at least 1, got 0",
        ),
        (
            lambda: additive_attention(query, keys, keys[:3], None, params),
            "values must have shape (S, B, E) = (7, 3, any), got (3, 3, 6)",
        ),
        (
            lambda: attention_init(np.random.default_rng(0), 5, 5, 2, 3, form="hard"),
            "form must be one of 'luong', 'bahdanau', got 'hard'",
        ),
        (
            lambda: AttentionSeq2Seq(5, 5, 2, 3, form="hard"),
            "form must be one of 'luong', 'bahdanau', got 'hard'",
        ),
        (
            lambda: decoder_forward(tokens, state, keys_, mask_, wrong),
            "weight_ih of the cell must read E = 2 or E + H = 7 numbers, got 3",
        ),
        (
            lambda: decoder_forward(tokens + 9, state, keys_, mask_, decoder),
            "tokens must lie in 0 .. V - 1 = 8, got 9 .. 1",
        ),
        (
            lambda: attention_greedy(*batch_of()[:2], whole, max_length=0),
            "max_length must be an integer of at least 1, got 0",
        ),
        (lambda: heaviest(np.zeros((0, 3))), "weights must have shape (T, S) with no size 0, got (0, 3)"),
        (
            lambda: alignment_error_rate([set()], [set()]),
            "guessed and sure must hold at least one link, got none",
        ),
        (
            lambda: alignment_error_rate([set()], []),
            "guessed, sure and possible must have equally many sentences, got 1, 0 and 0",
        ),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value).startswith(message), str(caught.value)


def run_twin(device, dtype):
    """Contexts in chunks and a loss with its gradients on a device."""
    torch.manual_seed(0)
    score = Score(8, 8, 6, device=device, dtype=dtype)
    query, keys = torch.randn(5, 3, 8).to(device, dtype), torch.randn(7, 3, 8).to(device, dtype)
    chunks = torch_additive_attention(query, keys, keys, None, score, 2)
    whole, _ = attend(score(query, keys), keys)
    assert (chunks - whole).abs().max() < (0.1 if dtype is torch.bfloat16 else 1e-5)
    fused = scaled_attention(query, keys, keys)
    written, _ = attend(Score(8, 8, score="scaled")(query, keys), keys)
    assert (fused - written).abs().max() < (0.1 if dtype is torch.bfloat16 else 1e-5)
    for form, kind in MODELS:
        model = AttentionSeq2Seq(**SIZES, form=form, score=kind, device=device, dtype=dtype)
        loss = seq2seq_loss(model, to_tensors(batch_of(), device))
        loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())
        assert loss.item() < 4


def test_twin_runs_in_float32_on_the_cpu():
    run_twin("cpu", torch.float32)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_twin_runs_on_cuda(dtype):
    run_twin("cuda", dtype)


def mutant_arguments(function, condition):
    """Arguments on which a mistake hides under `condition`."""
    rng = np.random.default_rng(11)
    steps = 1 if condition == "one target step" else T
    places = S
    sizes = (steps, places, B, *([1, 1] if condition == "one unit" else [H, H]))
    kind = {dot_forward: "scaled", dot_backward: "scaled", general_backward: "general"}
    query, keys, params, scores = drawn(kind.get(function, "additive"), 1, sizes)
    if function in (additive_forward, additive_backward, dot_forward, dot_backward, general_backward):
        if condition == "zero queries":
            query = 0 * query
        if condition == "no hidden layer to speak of":  # so small that tanh is the identity
            query, keys = 1e-9 * query, 1e-9 * keys
        if condition == "symmetric weight":
            params = GeneralParams(params.weight + params.weight.T)
        if function in (additive_forward, dot_forward):
            return query, keys, params
        return scores, score_forward(query, keys, params)[1]
    if function in (decoder_forward, decoder_backward):
        form = "bahdanau" if condition == "Bahdanau" else "luong"
        tokens, state, keys, mask, params, dlogits, dstate = drawn_decoder(form, "general")
        weight, bias = params.combine
        if condition == "Luong, both halves of combine equal":
            weight = np.concatenate([weight[:, : SIZES["H"]]] * 2, axis=1)
        if condition == "Luong, nothing combined":
            weight, bias = 0 * weight, 0 * bias
        params = params._replace(combine=type(params.combine)(weight, bias))
        if function is decoder_forward:
            return tokens, state, keys, mask, params
        return dlogits, dstate, decoder_forward(tokens, state, keys, mask, params)[3]
    if function is alignment_error_rate:
        return [{(0, 0), (1, 1), (2, 2)}], [{(0, 0), (1, 1), (2, 3)}]
    values = rng.normal(size=(places, B, D))
    mask = None if "no padding" in condition else padding_mask(np.minimum(LENGTHS, places), places)
    scores = 0 * scores if "equal" in condition else scores
    if function is attend_forward:
        return scores, values, mask
    context, weights, cache = attend_forward(scores, values, mask)
    dweights = rng.normal(size=weights.shape) * (condition != "weights unused")
    if condition == "gradients with a mean of zero":
        return 0 * context, dweights - (weights * dweights).sum(-1, keepdims=True), cache
    return rng.normal(size=context.shape), dweights, cache
