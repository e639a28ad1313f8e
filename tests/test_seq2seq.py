"""Encoder and decoder: parity with torch.nn on packed sequences, differences through the bridge, masks."""

import itertools

import numpy as np
import pytest
import sacrebleu
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnncourse.data import grammar
from rnncourse.data.numbers import write_number
from rnncourse.data.pairs import (
    END,
    PAD,
    SPECIALS,
    START,
    PairBatch,
    decode_targets,
    encode_sources,
    grammar_pairs,
    length_mask,
    make_pairs,
    pad,
    pair_batch,
    pair_batches,
)
from rnncourse.grading.check import check
from rnncourse.optim import Adam
from rnncourse.optim._tree import tree_leaves, tree_map
from rnncourse.seq2seq.experiment import (
    SETTING,
    _ten_first,
    draw_data,
    learn_pairs,
    length_groups,
    measure,
    number_data,
    pack,
    profile,
    summarise,
    unpack,
)
from rnncourse.seq2seq.numpy import (
    decode_step,
    encode,
    encoder_backward,
    encoder_forward,
    greedy,
    scheduled_inputs,
    scheduled_optimum,
    seq2seq_backward,
    seq2seq_forward,
    seq2seq_init,
    seq2seq_logprob,
    seq2seq_loss,
    time_lags,
)
from rnncourse.seq2seq.torch import Seq2Seq, to_tensors
from rnncourse.seq2seq.torch import greedy as torch_greedy
from rnncourse.seq2seq.torch import seq2seq_loss as torch_loss
from rnncourse.testing import check_gradient, check_parity, numerical_gradient

CELLS = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
SIZES = {"V_source": 7, "V_target": 9, "E": 3, "H": 5}
LENGTHS, TARGET_LENGTHS = (4, 2, 6, 1), (3, 5, 2, 4)
cells = pytest.mark.parametrize("cell", CELLS)


def batch_of(rng, lengths=LENGTHS, target_lengths=TARGET_LENGTHS, sizes=SIZES):
    """A random batch; what stands behind the source's ends is random too, as it must not be read."""
    B = len(lengths)
    target_lengths = np.array(target_lengths)
    source = rng.integers(4, sizes["V_source"], (max(lengths), B))
    target = rng.integers(4, sizes["V_target"], (max(target_lengths), B))
    target[target_lengths - 1, np.arange(B)] = END
    target = np.where(length_mask(target_lengths, len(target)), target, PAD)
    target_input = np.concatenate([np.full((1, B), START), np.where(target[:-1] == END, PAD, target[:-1])])
    return PairBatch(source, np.array(lengths), target_input, target, target_lengths)


def drawn(cell="gru", seed=0, sizes=SIZES, **lengths):
    rng = np.random.default_rng(seed)
    return seq2seq_init(rng, **sizes, cell=cell), batch_of(rng, sizes=sizes, **lengths)


def states_of(state):
    return state if isinstance(state, tuple) else (state,)


def weights_of(tree):
    """Parameters or gradients by the names that the twin gives them."""
    named = {"embedding.weight": tree.embedding, "target_embedding.weight": tree.decoder.embedding}
    for name, part in {"encoder": tree.encoder, "decoder": tree.decoder.cell}.items():
        named |= {f"{name}.{key}_l0": value for key, value in part._asdict().items()}
    return named | {f"output.{key}": value for key, value in tree.decoder.output._asdict().items()}


def twin(params, cls, cell, **kind):
    """A model of class `cls` with these parameters, loaded strictly."""
    (V_source, E), (V_target, H) = params.embedding.shape, params.decoder.output.weight.shape
    model = cls(V_source, V_target, E, H, cell, **{"dtype": torch.float64} | kind)
    model.load_state_dict({name: torch.tensor(w) for name, w in weights_of(params).items()}, strict=True)
    return model


class Plain(torch.nn.Module):
    """The oracle: modules of torch.nn, put together in the shortest way."""

    def __init__(self, V_source, V_target, E, H, cell, dtype):
        super().__init__()
        self.embedding = torch.nn.Embedding(V_source, E, dtype=dtype)
        self.target_embedding = torch.nn.Embedding(V_target, E, dtype=dtype)
        self.encoder, self.decoder = (CELLS[cell](E, H, dtype=dtype) for _ in range(2))
        self.output = torch.nn.Linear(H, V_target, dtype=dtype)

    def forward(self, batch):
        packed = pack_padded_sequence(
            self.embedding(batch.source), batch.source_lengths, enforce_sorted=False
        )
        _, self.state = self.encoder(packed)
        for part in states_of(self.state):
            part.retain_grad()
        logits = self.output(self.decoder(self.target_embedding(batch.target_input), self.state)[0])
        targets = batch.target.flatten()
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets, reduction="none")
        return logits, torch.where(targets != PAD, losses, 0).reshape(logits.shape[:2])


def oracle(params, cell, batch):
    """Logits, ln P of each sentence, mean loss, gradients by name, and the model after the backward pass."""
    model = twin(params, Plain, cell)
    logits, losses = model(to_tensors(batch))
    mean = losses.sum() / int(batch.target_lengths.sum())
    mean.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return logits.detach(), -losses.sum(0).detach(), mean.item(), gradients, model


@pytest.mark.equation("seq2seq-encoder")
@pytest.mark.equation("seq2seq-freeze")
@pytest.mark.equation("seq2seq-through")
def test_encoder_equals_torch_on_packed_sequences():
    for cell in CELLS:
        params, batch = drawn(cell)
        rng = np.random.default_rng(1)
        source, lengths = batch[:2]
        outputs, state, cache = encoder_forward(source, lengths, params.embedding, params.encoder)
        model = twin(params, Plain, cell)
        x = model.embedding(torch.tensor(source)).detach().requires_grad_()
        packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
        packed_outputs, expected_state = model.encoder(packed)
        expected = pad_packed_sequence(packed_outputs)[0]
        doutputs = rng.normal(size=outputs.shape)
        dstate = tuple(rng.normal(size=part.shape) for part in states_of(state))
        ends = [part[0] for part in states_of(expected_state)]
        torch.autograd.backward((expected, *ends), tuple(map(torch.tensor, (doutputs, *dstate))))
        dx, dembedding, dcell = encoder_backward(doutputs, dstate if cell == "lstm" else dstate[0], cache)
        expected_embedding = np.zeros_like(dembedding)
        np.add.at(expected_embedding, source, x.grad.numpy())
        check_parity(
            {"outputs": outputs, "dx": dx, "dembedding": dembedding, **dcell._asdict()}
            | dict(zip("hc", states_of(state), strict=False)),
            {"outputs": expected.detach(), "dx": x.grad, "dembedding": expected_embedding}
            | {name: getattr(model.encoder, f"{name}_l0").grad for name in dcell._fields}
            | {name: end.detach() for name, end in zip("hc", ends, strict=False)},
        )
        assert not dx[~length_mask(lengths, len(source))].any()


@pytest.mark.equation("seq2seq-encoder")
@pytest.mark.equation("seq2seq-freeze")
def test_encoding_is_that_of_each_sentence_alone():
    for cell in CELLS:
        params, (source, lengths, *_) = drawn(cell)
        outputs, state = encode(source, lengths, params)
        for b, n in enumerate(lengths):
            model = twin(params, Plain, cell)
            alone, end = model.encoder(model.embedding(torch.tensor(source[:n, b : b + 1])))
            check_parity({"outputs": outputs[:n, b]}, {"outputs": alone[:, 0].detach()})
            for part, expected in zip(states_of(state), states_of(end), strict=True):
                check_parity({"state": part[b]}, {"state": expected[0, 0].detach()})


@pytest.mark.equation("seq2seq-encoder")
@pytest.mark.equation("seq2seq-bridge")
@pytest.mark.equation("seq2seq-decoder")
def test_logits_equal_torch():
    for cell in CELLS:
        params, batch = drawn(cell)
        expected, *_ = oracle(params, cell, batch)
        logits, _ = seq2seq_forward(*batch[:3], params)
        check_parity({"logits": logits}, {"logits": expected})
        twins = twin(params, Seq2Seq, cell)(*to_tensors(batch)[:3])
        check_parity({"logits": twins.detach()}, {"logits": expected})


@pytest.mark.equation("seq2seq-decoder")
def test_steps_are_the_teacher_forced_pass():
    for cell in CELLS:
        params, batch = drawn(cell)
        expected, *_ = oracle(params, cell, batch)
        _, state = encode(batch.source, batch.source_lengths, params)
        steps = []
        for tokens in batch.target_input:
            logits, state = decode_step(tokens, state, params)
            steps.append(logits)
        check_parity({"logits": np.array(steps)}, {"logits": expected})


@pytest.mark.equation("seq2seq-loss")
@pytest.mark.equation("seq2seq-dbridge")
@pytest.mark.equation("seq2seq-through")
def test_loss_and_gradients_equal_torch():
    for cell in CELLS:
        params, batch = drawn(cell)
        _, _, expected, gradients, model = oracle(params, cell, batch)
        loss, dparams = seq2seq_loss(batch, params)
        check_parity({"loss": loss}, {"loss": expected})
        check_parity(weights_of(dparams), gradients)
        logits, cache = seq2seq_forward(*batch[:3], params)
        # The gradient of the mean by the logits: softmax less one-hot, over the words that count.
        p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        dlogits = (p - np.eye(SIZES["V_target"])[batch.target]) * (batch.target != PAD)[..., None]
        dx, dstate, dparams = seq2seq_backward(dlogits / batch.target_lengths.sum(), cache)
        check_parity(weights_of(dparams), gradients)
        for part, end in zip(states_of(dstate), states_of(model.state), strict=True):
            check_parity({"bridge": part}, {"bridge": end.grad[0]})
        expected_embedding = np.zeros_like(params.embedding)
        np.add.at(expected_embedding, batch.source, dx)
        check_parity({"embedding": expected_embedding}, {"embedding": gradients["embedding.weight"]})


@pytest.mark.equation("seq2seq-loss")
def test_twins_agree_on_loss_and_gradients():
    for cell in CELLS:
        params, batch = drawn(cell)
        _, _, expected, gradients, _ = oracle(params, cell, batch)
        model = twin(params, Seq2Seq, cell)
        loss = torch_loss(model, to_tensors(batch))
        loss.backward()
        check_parity({"loss": loss.item()}, {"loss": expected})
        check_parity({name: p.grad for name, p in model.named_parameters()}, gradients)


@pytest.mark.equation("seq2seq-through")
def test_gradient_through_the_bridge_equals_central_differences():
    sizes = {"V_source": 6, "V_target": 5, "E": 2, "H": 3}
    for cell in CELLS:
        params, batch = drawn(cell, 2, sizes, lengths=(3, 1), target_lengths=(2, 4))
        rng = np.random.default_rng(3)
        logits, cache = seq2seq_forward(*batch[:3], params)
        dlogits = rng.normal(size=logits.shape)
        _, _, dparams = seq2seq_backward(dlogits, cache)

        def projected(embedding, params=params, batch=batch, dlogits=dlogits, **weights):
            encoder = params.encoder._replace(**weights)
            changed = params._replace(embedding=embedding, encoder=encoder)
            return (seq2seq_forward(*batch[:3], changed)[0] * dlogits).sum()

        check_gradient(
            projected,
            {"embedding": params.embedding, **params.encoder._asdict()},
            {"embedding": dparams.embedding, **dparams.encoder._asdict()},
        )


@pytest.mark.equation("seq2seq-chain")
def test_logprob_equals_torch():
    for cell in CELLS:
        params, batch = drawn(cell)
        _, expected, _, _, _ = oracle(params, cell, batch)
        check_parity({"logprob": seq2seq_logprob(batch, params)}, {"logprob": expected})


def test_probabilities_of_all_translations_sum_to_one():
    # Every sentence of at most two words over a vocabulary of five, and all that have not ended then.
    sizes = {"V_source": 6, "V_target": 5, "E": 2, "H": 3}
    params, batch = drawn("gru", 4, sizes, lengths=(3,), target_lengths=(1,))
    words = [w for w in range(5) if w != END]
    total = 0.0
    for n in range(3):
        for sentence in itertools.product(words, repeat=n):
            for last in [END] if n < 2 else range(5):
                ids = np.array([*sentence, last])[:, None]
                inputs = np.concatenate([[[START]], ids[:-1]])
                lengths = np.array([len(ids)])
                total += np.exp(seq2seq_logprob(PairBatch(*batch[:2], inputs, ids, lengths), params))[0]
    assert abs(total - 1) < 1e-12


@pytest.mark.equation("seq2seq-scheduled")
def test_scheduled_optimum_minimises_the_expected_loss():
    rng = np.random.default_rng(5)
    joint = rng.dirichlet(np.ones(9)).reshape(3, 3)
    for epsilon in (0.0, 0.3, 1.0):
        first = joint.sum(axis=1)

        def expected_loss(logits, epsilon=epsilon, first=first):
            """By enumeration: the pair of the data, the coin, the word that is read, the word asked for."""
            logq = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            total = 0.0
            for one, two, read in itertools.product(range(3), repeat=3):
                share = epsilon * (read == one) + (1 - epsilon) * first[read]
                total -= joint[one, two] * share * logq[read, two]
            return total

        q = scheduled_optimum(joint, epsilon)
        assert np.abs(q.sum(axis=1) - 1).max() < 1e-12
        assert np.abs(numerical_gradient(expected_loss, np.log(q))).max() < 1e-9


@pytest.mark.equation("seq2seq-lag")
def test_lags_count_the_steps_of_a_trace():
    rng = np.random.default_rng(6)
    for reverse in (False, True):
        for _ in range(10):
            S, T = rng.integers(1, 8, 2)
            alignment = [(int(rng.integers(S)), j) for j in range(T)]
            # Write down when each word is read and said, one step after the other.
            order = list(range(S))[::-1] if reverse else list(range(S))
            read = {i: step for step, i in enumerate(order)}
            said = {j: S + j for j in range(T)}
            expected = np.array([said[j] - read[i] for i, j in alignment], float)
            check_parity({"lags": time_lags(alignment, int(S), reverse)}, {"lags": expected})


def test_reversal_of_three_words():
    pairs = [(i, i) for i in range(3)]
    assert time_lags(pairs, 3).tolist() == [3, 3, 3]
    assert time_lags(pairs, 3, reverse=True).tolist() == [1, 3, 5]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(list(CELLS)))
def test_batch_order_and_padding_change_nothing(seed, cell):
    params, batch = drawn(cell, seed)
    order = np.random.default_rng(seed).permutation(len(LENGTHS))
    changed = PairBatch(*(part[..., order] for part in batch))
    longer = changed._replace(
        source=np.concatenate([changed.source, np.full((2, len(order)), 5)]),
        target_input=np.concatenate([changed.target_input, np.full((1, len(order)), 6)]),
        target=np.concatenate([changed.target, np.full((1, len(order)), 7)]),
    )
    (loss, dparams), (other, dother) = (seq2seq_loss(b, params) for b in (batch, longer))
    check_parity({"loss": other}, {"loss": loss})
    check_parity(weights_of(dother), weights_of(dparams))


@cells
def test_greedy_equals_torch_and_says_where_it_ends(cell):
    for seed in range(4):
        params, batch = drawn(cell, seed)
        ids, ends = greedy(batch.source, batch.source_lengths, params, max_length=6)
        expected = torch_greedy(
            twin(params, Seq2Seq, cell), *(torch.tensor(part) for part in batch[:2]), max_length=6
        )
        assert np.array_equal(ids, expected)
        behind = ~length_mask(ends, len(ids))
        assert not ids[behind].any()
        words = decode_targets(ids, make_pairs([["a"]], [list("uvwxy")]).target_vocabulary)
        ended = (ids == END).any(axis=0)
        assert [len(w) for w in words] == (ends - ended).tolist()


def test_greedy_takes_the_best_word_of_a_hand_made_model():
    # A decoder that ignores its state and always prefers </s>, or word 5.
    params, batch = drawn("gru")
    for best, T in ((END, 1), (5, 3)):
        bias = np.eye(9)[best] * 100.0
        output = params.decoder.output._replace(weight=0 * params.decoder.output.weight, bias=bias)
        model = params._replace(decoder=params.decoder._replace(output=output))
        ids, ends = greedy(*batch[:2], model, max_length=3)
        assert ids.shape == (T, 4) and (ids == best).all() and (ends == T).all()


def test_scheduled_inputs():
    params, batch = drawn("gru")
    rng, copies = np.random.default_rng(7), 3000
    many = PairBatch(*(np.repeat(part, copies, axis=-1) for part in batch))
    assert np.array_equal(scheduled_inputs(rng, many, params, 1), many.target_input)
    own = scheduled_inputs(rng, many, params, 0)
    assert (own[0] == START).all()
    _, state = encode(*batch[:2], params)
    logits, _ = decode_step(batch.target_input[0], state, params)
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    shares = (own[1].reshape(4, copies, 1) == np.arange(9)).mean(axis=1)
    # Standard error at most 0.0092; 32 + 4 numbers are compared.
    assert np.abs(shares - p).max() < 0.046
    half = scheduled_inputs(rng, many, params, 0.5)
    kept = (half[1] == many.target_input[1]).reshape(4, copies).mean(axis=1)
    expected = 0.5 + 0.5 * p[np.arange(4), batch.target_input[1]]
    assert np.abs(kept - expected).max() < 0.046


def test_scheduled_inputs_go_on_from_what_was_said():
    # A model that is sure of its words draws them as greedy decoding does, and reads them at the next step.
    params, batch = drawn("gru")
    output = params.decoder.output
    sure = params.decoder._replace(output=output._replace(weight=1e4 * output.weight))
    params = params._replace(decoder=sure)
    ids, ends = greedy(*batch[:2], params, max_length=len(batch.target))
    own = scheduled_inputs(np.random.default_rng(7), batch, params, 0)
    said = length_mask(ends, len(ids))[: len(own) - 1]
    assert said[1:].any() and (own[1:][said] == ids[: len(own) - 1][said]).all()
    assert (own[1:] != batch.target_input[1:]).any()


def test_pad_and_mask():
    ids, lengths = pad([[1, 2, 3], [4]], padding=9)
    assert ids.tolist() == [[1, 4], [2, 9], [3, 9]] and lengths.tolist() == [3, 1]
    assert length_mask(lengths, 3).tolist() == [[True, True], [True, False], [True, False]]


def test_batches_hold_every_pair_once_an_epoch():
    data = grammar_pairs(np.random.default_rng(8), 70)
    batches = pair_batches(data, 16, np.random.default_rng(9), reverse=True, pool=2)
    seen = []
    for _ in range(5):
        batch = next(batches)
        assert (batch.target_input[0] == START).all()
        assert np.array_equal(
            batch.target == END, np.arange(len(batch.target))[:, None] == batch.target_lengths - 1
        )
        assert np.array_equal(
            batch.target_input[1:], np.where(batch.target[:-1] == END, PAD, batch.target[:-1])
        )
        words = decode_targets(batch.target, data.target_vocabulary)
        for b, n in enumerate(batch.source_lengths):
            read = tuple(data.source_vocabulary.decode(batch.source[:n, b]))[::-1]
            seen.append((read, words[b]))
    assert sorted(seen) == sorted(zip(data.source, data.target, strict=True))


def test_grammar_pairs():
    data = grammar_pairs(np.random.default_rng(10), 30, clauses=[0, 5])
    assert data.source_vocabulary.words == (*SPECIALS, *grammar.ENGLISH)
    parsed = [grammar.parse(sentence) for sentence in data.source]
    assert [p.french for p in parsed] == list(data.target)
    assert [p.clause for p in parsed] == [0, 5] * 15
    assert len(grammar_pairs(np.random.default_rng(10), 3).source) == 3


def test_scores_equal_sacrebleu_and_plain_counting():
    data = grammar_pairs(np.random.default_rng(11), 40, clauses=[0, 8])
    params = seq2seq_init(np.random.default_rng(12), 123, 177, 4, 6)
    measured = measure(params, data)
    # A random model says nothing right: put references, and one cut short, in the place of its translations.
    measured["hypotheses"] = [*data.target[:30], *(t[:-1] for t in data.target[30:])]
    groups = length_groups(data)
    found = summarise(measured, data, [g for g in groups if len(g)])["bleu"]
    tool = sacrebleu.BLEU(tokenize="none", smooth_method="none")
    for score, group in zip(found, [g for g in groups if len(g)], strict=True):
        hypotheses, references = (
            [" ".join(s[i]) for i in group] for s in (measured["hypotheses"], data.target)
        )
        assert abs(score - tool.corpus_score(hypotheses, [references]).score / 100) < 1e-4
    for b in range(3):
        one = pair_batch(data, [b], reverse=True)
        logits, _ = seq2seq_forward(*one[:3], params)
        assert measured["words"][b] == (logits.argmax(-1) == one.target).sum()
        ids, _ = greedy(*one[:2], params)
        own = sum(a == b for a, b in zip(ids[:, 0], one.target[:, 0], strict=False))
        assert measured["own"][b] == own and not measured["exact"][b]


def test_a_packed_model_is_nearly_the_model():
    params = seq2seq_init(np.random.default_rng(13), 123, 177, 8, 12)
    unpacked = unpack(pack(params))
    assert type(unpacked) is type(params)
    for (name, a), (_, b) in zip(tree_leaves(params), tree_leaves(unpacked), strict=True):
        assert a.shape == b.shape, name
        # Half a step of 1/127 of the row's largest.
        limit = np.abs(a).max(axis=-1, keepdims=a.ndim > 1) / 127 * 0.5001
        assert (np.abs(a - b) <= limit).all(), name


def test_training_lowers_the_loss_and_tests_are_not_learnt_from():
    data = draw_data(0, pairs=300)
    assert not set(data.learn.source) & {*data.natural.source, *data.long.source}
    assert len(set(data.natural.source)) == 1000 and len(set(data.long.source)) == 1300
    setting = SETTING | {"steps": 40, "last": 10, "B": 32}
    for epsilon in (1.0, 0.5):
        _, losses = learn_pairs(data.learn, 0, setting, 8, epsilon=epsilon)
        assert len(losses) == 50 and losses[-9:].mean() < losses[:9].mean() - 0.5


def seen_in_training(monkeypatch, data, **options):
    """Shares of right words, rates, and (batch, batch read) of each step of a training."""
    shares, rates, read = [], [], []

    def inputs(rng, batch, params, epsilon):
        shares.append(epsilon)
        return batch.target_input + 1

    def loss(batch, params):
        read.append(batch)
        return seq2seq_loss(batch._replace(target_input=np.minimum(batch.target_input, 176)), params)

    class Rated(Adam):
        def __init__(self, rate):
            rates.append(rate)
            super().__init__(rate)

    for name, value in {"scheduled_inputs": inputs, "seq2seq_loss": loss, "Adam": Rated}.items():
        monkeypatch.setattr(f"rnncourse.seq2seq.experiment.{name}", value)
    learn_pairs(data, 0, SETTING | {"steps": 3, "last": 2, "B": 8}, 4, **options)
    return shares, rates, read


def test_training_does_what_its_options_say(monkeypatch):
    data = grammar_pairs(np.random.default_rng(15), 40)
    for reverse in (True, False):
        shares, rates, read = seen_in_training(monkeypatch, data, reverse=reverse)
        assert shares == [] and rates == [SETTING["lr"], SETTING["last_lr"]] and len(read) == 5
        for batch in read:
            assert (batch.target_input[0] == START).all()
            for b, n in enumerate(batch.source_lengths):
                words = tuple(data.source_vocabulary.decode(batch.source[:n, b]))
                assert (words[::-1] if reverse else words) in data.source
    shares, _, read = seen_in_training(monkeypatch, data, epsilon=0.6)
    assert np.allclose(shares, [1, 0.9, 0.8, 0.7, 0.6])
    assert all((batch.target_input[0] == START + 1).all() for batch in read)


@pytest.mark.parametrize("reverse", [True, False])
def test_measure_counts_what_is_said(monkeypatch, reverse):
    data = grammar_pairs(np.random.default_rng(16), 6, clauses=[2, 12])
    params = seq2seq_init(np.random.default_rng(12), 123, 177, 4, 6)
    wanted = pair_batch(data, reverse=reverse)
    said = wanted.target.copy()
    said[[0, 1], 1] = said[[1, 0], 1]  # the same words in another order
    said[:, 2] = np.roll(said[:, 2], 1)  # one word too many in front

    def says(source, lengths, params, max_length):
        assert np.array_equal(source, wanted.source)
        return said[:max_length], None

    monkeypatch.setattr("rnncourse.seq2seq.experiment.greedy", says)
    found = measure(params, data, reverse=reverse)
    assert max(wanted.target_lengths) > 13
    assert found["exact"].tolist() == [True, False, False, True, True, True]
    inside = length_mask(wanted.target_lengths, len(wanted.target))
    assert np.array_equal(found["own_at"], (said == wanted.target) & inside)
    logits, _ = seq2seq_forward(*wanted[:3], params)
    assert np.array_equal(found["words_at"], (logits.argmax(-1) == wanted.target) & inside)
    assert np.array_equal(found["words"], found["words_at"].sum(0))
    shares = profile(found, data, [np.array([0, 1]), np.array([2])])
    kept = inside[:, :2].mean(1) >= 0.5
    both = found["own_at"][:, :2].sum(1)[kept] / inside[:, :2].sum(1)[kept]
    assert np.allclose(shares["own"][0], both, atol=1e-4)
    n = len(data.target[2])
    assert shares["ratio"][0] == 1 and len(shares["words"][1]) == n + 1


def test_english_order_moves_the_unit_alone():
    sides = [number_data(1, form, pairs=300, tests=80)[0] for form in ("german", "english order")]
    assert sides[0].source == sides[1].source
    found = _ten_first(write_number(21034, "german"))
    assert found == ("zwanzig", "und", "ein", "tausend", "dreißig", "und", "vier")
    moved = 0
    for german, other in zip(*(side.target for side in sides), strict=True):
        assert sorted(german) == sorted(other)
        moved += german != other
    assert 0.8 * 300 < moved < 300


def test_steps_of_a_training_are_checked():
    data = grammar_pairs(np.random.default_rng(15), 40)
    for steps, message in (
        (0, "steps must be an integer of at least 1, got 0"),
        (1301, "steps must be at most 1300, got 1301"),
    ):
        with pytest.raises(ValueError) as caught:
            learn_pairs(data, 0, SETTING, 4, steps=steps)
        assert str(caught.value) == message


def right_or_not(batch, forward):
    """Answer of question 6."""
    right = forward(batch.target_input).argmax(axis=-1) == batch.target
    return (right | ~length_mask(batch.target_lengths, len(right))).all(axis=0)


def one_wrong(batch, forward):
    found = right_or_not(batch, forward)
    found[0] = not found[0]
    return found


def two_calls(batch, forward):
    forward(batch.target_input[:1])
    return right_or_not(batch, forward)


def last_first(n):
    """The last source word first, the others in order: reversal harms, by less than is possible."""
    return [(n - 1, 0), *((i, i + 1) for i in range(n - 1))]


def naive_logprob(logits, target, lengths):
    with np.errstate(all="ignore"):
        p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        chosen = np.log(np.take_along_axis(p, target[..., None], axis=-1)[..., 0])
    return np.where(length_mask(lengths, len(logits)), chosen, 0).sum(axis=0)


def half_mended_logprob(logits, target, lengths):
    return naive_logprob(logits - logits.max(axis=-1, keepdims=True), target, lengths)


@pytest.mark.parametrize(
    "question, answer",
    [
        ("q2", naive_logprob),
        ("q2", half_mended_logprob),
        ("q5", last_first),
        ("q6", one_wrong),
        ("q6", two_calls),
    ],
)
def test_wrong_answers_are_refused(question, answer):
    for seed in range(3):
        with pytest.raises(AssertionError):
            check(f"seq2seq.{question}", answer, seed)
    check("seq2seq.q6", right_or_not, 0)


def test_number_data_is_apart():
    learn, test = number_data(0, "digits", pairs=300, tests=80)
    assert not set(learn.source) & set(test.source)
    assert (len(learn.source), len(test.source)) == (300, 80)


def as_float32(tree):
    return tree_map(lambda a: a.astype(np.float32), tree)


def test_dtype_is_kept():
    params, batch = drawn("lstm")
    params = as_float32(params)
    loss, dparams = seq2seq_loss(batch, params)
    logits, cache = seq2seq_forward(*batch[:3], params)
    results = [a for _, a in tree_leaves(dparams)] + [logits, seq2seq_logprob(batch, params)]
    results += [a for _, a in tree_leaves(seq2seq_backward(logits, cache))]
    assert {a.dtype for a in results} == {np.dtype(np.float32)}


def test_large_pre_activations_are_harmless():
    for cell in CELLS:
        params, batch = drawn(cell)
        params = tree_map(lambda a: 1e4 * np.sign(a), params)
        with np.errstate(all="raise", under="ignore"):
            loss, dparams = seq2seq_loss(batch, params)
            assert np.isfinite(seq2seq_logprob(batch, params)).all()
        assert np.isfinite(loss) and all(np.isfinite(a).all() for _, a in tree_leaves(dparams))


def test_arguments_are_not_changed():
    params, batch = drawn("lstm")
    kept = [a.copy() for a in (*batch, *(a for _, a in tree_leaves(params)))]
    seq2seq_loss(batch, params)
    greedy(*batch[:2], params)
    scheduled_inputs(np.random.default_rng(0), batch, params, 0.3)
    now = (*batch, *(a for _, a in tree_leaves(params)))
    assert all(np.array_equal(a, b) for a, b in zip(kept, now, strict=True))


def test_messages():
    params, batch = drawn("gru")
    source, lengths, target_input, target, target_lengths = batch
    model = twin(params, Seq2Seq, "gru")
    tensors = to_tensors(batch)
    data = make_pairs([["a"], ["b", "c"]], [["x"], ["y"]])
    outputs, state, cache = encoder_forward(source, lengths, params.embedding, params.encoder)
    rng = np.random.default_rng(0)
    joint = np.full((2, 2), 0.25)
    cases = [
        (lambda: pad([]), "sequences must hold at least one sequence, got none"),
        (
            lambda: pad([[1], []]),
            "sequences must hold vectors of at least one integer, "
            "got shape (0,) of dtype float64 at position 1",
        ),
        (lambda: length_mask([0, 2], 3), "lengths must lie in 1 .. T = 3, got 0 .. 2"),
        (lambda: make_pairs(["a"], [["x"]]), "source must hold lists of words, got 'a' at position 0"),
        (
            lambda: make_pairs([["a"]], []),
            "source and target must have equally many sentences, at least one, got 1 and 0",
        ),
        (lambda: grammar_pairs(rng, 0), "count must be an integer of at least 1, got 0"),
        (lambda: grammar_pairs(rng, 3, []), "clauses must hold at least one number, got none"),
        (lambda: pair_batch(data, [2]), "indices must lie in 0 .. V - 1 = 1, got 2 .. 2"),
        (lambda: pair_batch(data, []), "indices must hold at least one index, got none"),
        (lambda: pair_batches(data, 0, rng), "B must be an integer of at least 1, got 0"),
        (
            lambda: encode_sources(["a"], data.source_vocabulary),
            "sentence must be a list of words, got the string 'a'",
        ),
        (
            lambda: decode_targets([[99]], data.target_vocabulary),
            "ids must lie in 0 .. V - 1 = 5, got 99 .. 99",
        ),
        (lambda: seq2seq_init(rng, 5, 5, 0, 3), "E must be an integer of at least 1, got 0"),
        (
            lambda: seq2seq_init(rng, 5, 5, 2, 3, "gruu"),
            "cell must be one of 'rnn', 'gru', 'lstm', got 'gruu'",
        ),
        (
            lambda: encode(source[:0], lengths, params),
            "source must have shape (S, B) with no size 0, got (0, 4)",
        ),
        (lambda: encode(source, lengths + 6, params), "lengths must lie in 1 .. T = 6, got 7 .. 12"),
        (lambda: encode(source, lengths - 1, params), "lengths must lie in 1 .. T = 6, got 0 .. 5"),
        (lambda: encode(source, lengths * 1.0, params), "lengths must hold integers, got dtype float64"),
        (lambda: encode(source + 3, lengths, params), "ids must lie in 0 .. V - 1 = 6, got 7 .. 9"),
        (
            lambda: encoder_forward(source, lengths, params.embedding, params.decoder),
            "encoder must be RNNParams, GRUParams or LSTMParams, got LMParams",
        ),
        (
            lambda: encoder_backward(outputs[1:], state, cache),
            "doutputs must have shape (S, B, H) = (6, 4, 5), got (5, 4, 5)",
        ),
        (
            lambda: encoder_backward(outputs, state[1:], cache),
            "dh must have shape (B, H) = (4, 5), got (3, 5)",
        ),
        (lambda: encoder_backward(outputs, state * np.nan, cache), "dh_T must be finite, got nan or inf"),
        (lambda: decode_step(target, state, params), "tokens must have shape (B,) = (any,), got (5, 4)"),
        (
            lambda: seq2seq_forward(source, lengths, target_input[:, 1:], params),
            "target_input must have shape (T, B) = (any, 4), got (5, 3)",
        ),
        (
            lambda: seq2seq_loss(batch._replace(target_lengths=target_lengths + 2), params),
            "lengths must lie in 1 .. T = 5, got 4 .. 7",
        ),
        (
            lambda: seq2seq_logprob(batch._replace(target=target[1:]), params),
            "target must have shape (T, B) = (5, 4), got (4, 4)",
        ),
        (lambda: greedy(source, lengths, params, 0), "max_length must be an integer of at least 1, got 0"),
        (lambda: scheduled_inputs(rng, batch, params, 1.5), "epsilon must lie in [0, 1], got 1.5"),
        (lambda: scheduled_optimum(joint, -1), "epsilon must lie in [0, 1], got -1"),
        (lambda: scheduled_optimum(joint[:1], 0), "joint must have shape (V, V_) = (1, 1), got (1, 2)"),
        (lambda: scheduled_optimum(0.3, 0.5), "joint must have shape (V, V_) = (any, any), got ()"),
        (
            lambda: scheduled_optimum(1.01 * joint, 0),
            "joint must be at least 0, sum to 1, and have no row of zeros",
        ),
        (
            lambda: scheduled_optimum(2 * joint, 0),
            "joint must be at least 0, sum to 1, and have no row of zeros",
        ),
        (lambda: time_lags([(3, 0)], 3), "alignment must hold source indices below S = 3, got 3"),
        (lambda: time_lags([], 3), "alignment must have shape (n, two) = (any, 2), got (0,)"),
        (lambda: Seq2Seq(5, 5, 2, 3, "gruu"), "cell must be one of 'rnn', 'gru', 'lstm', got 'gruu'"),
        (
            lambda: model.encode(tensors.source + 3, tensors.source_lengths),
            "source must lie in 0 .. V - 1 = 6, got 7 .. 9",
        ),
        (
            lambda: model.encode(tensors.source, tensors.source_lengths - 1),
            "lengths must lie in 1 .. S = 6, got 0 .. 5",
        ),
        (
            lambda: model(*tensors[:2], tensors.target_input * 1.0),
            "target_input must hold integers, got dtype torch.float32",
        ),
        (lambda: torch_greedy(model, *tensors[:2], 0), "max_length must be an integer of at least 1, got 0"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message


def check_twin_on(device, dtype, tolerance):
    """Loss, gradients and greedy words of the twin in a narrower type, against float64 on the CPU."""
    params, batch = drawn("gru")
    _, _, expected, gradients, _ = oracle(params, "gru", batch)
    model = twin(params, Seq2Seq, "gru", device=device, dtype=dtype)
    loss = torch_loss(model, to_tensors(batch, device))
    loss.backward()
    check_parity({"loss": loss.item()}, {"loss": expected}, tolerance)
    found = {name: p.grad.double().cpu() for name, p in model.named_parameters()}
    check_parity(found, gradients, 10 * tolerance)
    assert torch_greedy(model, *to_tensors(batch, device)[:2], max_length=5).shape[1] == len(LENGTHS)


# float32 rounds at 6e-8 and bfloat16 at 4e-3; a dozen operations lie one behind the other.
TOLERANCES = [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)]


@pytest.mark.parametrize("dtype, tolerance", TOLERANCES)
def test_twin_in_narrow_types(dtype, tolerance):
    check_twin_on("cpu", dtype, tolerance)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype, tolerance", TOLERANCES)
def test_twin_on_cuda(dtype, tolerance):
    check_twin_on("cuda", dtype, tolerance)


def mutant_arguments(function, condition):
    """Arguments on which a mistake of this room hides under `condition`."""
    rng = np.random.default_rng(14)
    if function is scheduled_optimum:
        joint = rng.dirichlet(np.ones(9)).reshape(3, 3)
        return (
            joint + joint.T
        ) / 2 if condition == "symmetric joint" else joint, 0.5 if "half" in condition else 0.3
    if function is time_lags:
        if condition == "one source word":
            return [(0, 0), (0, 1)], 1, False
        return [(0, 0), (2, 1), (1, 2)], 4, condition == "reversed source"
    lengths = (4, 4, 4) if condition in ("equal lengths", "every word once") else (4, 2, 3)
    target_lengths = {"equal target lengths": (3, 3, 3), "one target word": (1, 1, 1)}.get(
        condition, (3, 5, 2)
    )
    cell = "rnn" if condition == "decoder that reads no state" else "gru"
    sizes = SIZES | ({"V_source": 4 + 12} if condition == "every word once" else {})
    params, batch = drawn(cell, 14, sizes, lengths=lengths, target_lengths=target_lengths)
    if condition == "every word once":
        batch = batch._replace(source=4 + np.arange(12).reshape(4, 3))
    if condition == "encoder of zeros":
        params = params._replace(encoder=tree_map(np.zeros_like, params.encoder))
    if condition == "decoder that reads no state":
        silent = params.decoder.cell._replace(weight_hh=0 * params.decoder.cell.weight_hh)
        params = params._replace(decoder=params.decoder._replace(cell=silent))
    if function in (seq2seq_loss, seq2seq_logprob):
        return batch, params
    if function is encoder_forward:
        return *batch[:2], params.embedding, params.encoder
    if function is seq2seq_forward:
        return *batch[:3], params
    outputs, state, cache = encoder_forward(*batch[:2], params.embedding, params.encoder)
    if function is encoder_backward:
        return rng.normal(size=outputs.shape), rng.normal(size=state.shape), cache
    logits, cache = seq2seq_forward(*batch[:3], params)
    return rng.normal(size=logits.shape), cache
