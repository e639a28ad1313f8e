"""Encoder and decoder: parity with torch.nn and packed sequences, differences through the bridge, masks."""

import numpy as np
import pytest
import torch

from rnncourse.data.pairs import (
    END,
    PAD,
    START,
    length_mask,
)
from rnncourse.seq2seq.numpy import (
    decode_step,
    encode,
    encoder_backward,
    encoder_forward,
    greedy,
    seq2seq_forward,
    seq2seq_init,
    seq2seq_loss,
)
from rnncourse.seq2seq.torch import Seq2Seq, to_tensors
from rnncourse.seq2seq.torch import greedy as torch_greedy
from rnncourse.seq2seq.torch import seq2seq_loss as torch_loss
from rnncourse.testing import check_gradient, check_parity

CELLS = ["rnn", "gru", "lstm"]
SIZES = {"V_source": 7, "V_target": 9, "E": 3, "H": 5}


def twin(params, cell):
    """The torch model with the same parameters."""
    V_source, E = params.embedding.shape
    V_target = len(params.decoder.embedding)
    model = Seq2Seq(V_source, V_target, E, params.encoder.weight_hh.shape[1], cell, dtype=torch.float64)
    state = {"embedding.weight": params.embedding, "target_embedding.weight": params.decoder.embedding}
    for name in ("encoder", "decoder"):
        part = params.encoder if name == "encoder" else params.decoder.cell
        state |= {f"{name}.{key}_l0": value for key, value in part._asdict().items()}
    state |= {f"output.{key}": value for key, value in params.decoder.output._asdict().items()}
    dtype = torch.from_numpy(params.embedding).dtype
    model.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()}, strict=True)
    return model.to(dtype)


def gradients_of(model):
    named = {name: p.grad.numpy() for name, p in model.named_parameters()}
    return named


def numpy_gradients(dparams):
    named = {"embedding.weight": dparams.embedding, "target_embedding.weight": dparams.decoder.embedding}
    for name, part in {"encoder": dparams.encoder, "decoder": dparams.decoder.cell}.items():
        named |= {f"{name}.{key}_l0": value for key, value in part._asdict().items()}
    return named | {f"output.{key}": value for key, value in dparams.decoder.output._asdict().items()}


def batch_of(rng, lengths=(4, 2, 4, 1), target_lengths=(3, 6, 2, 4), sizes=SIZES):
    """A random batch; what stands behind the source's ends is random too, as it must not be read."""
    B = len(lengths)
    source = rng.integers(4, sizes["V_source"], (max(lengths), B))
    target = rng.integers(4, sizes["V_target"], (max(target_lengths), B))
    target_lengths = np.array(target_lengths)
    mask = length_mask(target_lengths, len(target))
    target[target_lengths - 1, np.arange(B)] = END
    target_input = np.where(mask, np.roll(target, 1, axis=0), PAD)
    target_input[0] = START
    return source, np.array(lengths), target_input, np.where(mask, target, PAD), target_lengths


@pytest.mark.parametrize("cell", CELLS)
def test_loss_and_gradients_equal_torch(cell):
    rng = np.random.default_rng(0)
    params = seq2seq_init(rng, **SIZES, cell=cell)
    batch = batch_of(rng)
    model = twin(params, cell)
    expected = torch_loss(model, to_tensors(batch))
    expected.backward()
    loss, dparams = seq2seq_loss(batch, params)
    check_parity({"loss": loss}, {"loss": expected.item()})
    check_parity(numpy_gradients(dparams), gradients_of(model))


@pytest.mark.parametrize("cell", CELLS)
def test_encoder_equals_torch_on_packed_sequences(cell):
    rng = np.random.default_rng(1)
    params = seq2seq_init(rng, **SIZES, cell=cell)
    source, lengths, *_ = batch_of(rng)
    outputs, state, cache = encoder_forward(source, lengths, params.embedding, params.encoder)
    model = twin(params, cell)
    x = model.embedding(torch.from_numpy(source)).detach().requires_grad_()
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.from_numpy(lengths), enforce_sorted=False)
    expected, after = model.encoder(packed)
    expected = torch.nn.utils.rnn.pad_packed_sequence(expected)[0]
    doutputs = rng.normal(size=outputs.shape)
    parts = state if cell == "lstm" else (state,)
    after = after if cell == "lstm" else (after,)
    dparts = tuple(rng.normal(size=part.shape) for part in parts)
    loss = (expected * torch.from_numpy(doutputs)).sum()
    loss = loss + sum((a[0] * torch.from_numpy(d)).sum() for a, d in zip(after, dparts, strict=True))
    loss.backward()
    dx, dembedding, dcell = encoder_backward(doutputs, dparts if cell == "lstm" else dparts[0], cache)
    check_parity(
        {"outputs": outputs, "dx": dx, **dict(zip("hc", parts, strict=False)), **dcell._asdict()},
        {
            "outputs": expected.detach(),
            "dx": x.grad,
            **{name: a[0].detach() for name, a in zip("hc", after, strict=False)},
            **{name: getattr(model.encoder, f"{name}_l0").grad for name in dcell._fields},
        },
    )
    expected_embedding = np.zeros_like(dembedding)
    np.add.at(expected_embedding, source, dx)
    check_parity({"dembedding": dembedding}, {"dembedding": expected_embedding})


@pytest.mark.parametrize("cell", CELLS)
def test_gradient_through_the_bridge_by_differences(cell):
    rng = np.random.default_rng(2)
    params = seq2seq_init(rng, 6, 5, 2, 3, cell=cell)
    batch = batch_of(rng, (3, 1), (2, 4), {"V_source": 6, "V_target": 5})
    _, dparams = seq2seq_loss(batch, params)

    def loss(embedding, weight_ih, weight_hh):
        encoder = params.encoder._replace(weight_ih=weight_ih, weight_hh=weight_hh)
        return seq2seq_loss(batch, params._replace(embedding=embedding, encoder=encoder))[0]

    check_gradient(
        loss,
        {
            "embedding": params.embedding,
            "weight_ih": params.encoder.weight_ih,
            "weight_hh": params.encoder.weight_hh,
        },
        {
            "embedding": dparams.embedding,
            "weight_ih": dparams.encoder.weight_ih,
            "weight_hh": dparams.encoder.weight_hh,
        },
    )


@pytest.mark.parametrize("cell", CELLS)
def test_steps_are_the_teacher_forced_pass(cell):
    rng = np.random.default_rng(3)
    params = seq2seq_init(rng, **SIZES, cell=cell)
    source, lengths, target_input, target, target_lengths = batch_of(rng)
    expected, _ = seq2seq_forward(source, lengths, target_input, params)
    _, state = encode(source, lengths, params)
    steps = []
    for tokens in target_input:
        logits, state = decode_step(tokens, state, params)
        steps.append(logits)
    check_parity({"logits": np.array(steps)}, {"logits": expected}, 1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_greedy_equals_torch_and_ends(cell):
    rng = np.random.default_rng(4)
    params = seq2seq_init(rng, **SIZES, cell=cell)
    source, lengths, *_ = batch_of(rng)
    ids, ends = greedy(source, lengths, params, max_length=6)
    expected = torch_greedy(twin(params, cell), torch.from_numpy(source), torch.from_numpy(lengths), 6)
    assert np.array_equal(ids, expected)
    assert ((ids == PAD) == ~length_mask(ends, len(ids))).all()
