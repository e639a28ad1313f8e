"""The recurrent network against torch.nn, its written-out twin, its properties and its messages."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import torch_rnn

from rnncourse.rnn.machines import parity_machine
from rnncourse.rnn.numpy import (
    OutputParams,
    RNNParams,
    cross_entropy_forward,
    output_forward,
    output_init,
    rnn_forward,
    rnn_init,
    rnn_sample,
    rnn_step,
)
from rnncourse.rnn.torch import RNN
from rnncourse.testing import check_parity

T, B, D, H, V = 6, 3, 4, 5, 7  # all different, all above one


def drawn(seed=0, dtype=np.float64):
    """Random inputs, initial state and parameters; biases too, or a dropped bias would not show."""
    rng = np.random.default_rng(seed)
    x, h_0 = rng.normal(size=(T, B, D)).astype(dtype), rng.normal(size=(B, H)).astype(dtype)
    return x, h_0, rnn_init(rng, D, H, dtype)


@pytest.mark.equation("rnn-state")
def test_step_equals_torch_cell():
    for nonlinearity in ("tanh", "relu"):
        x, h_0, params = drawn()
        cell = torch.nn.RNNCell(D, H, nonlinearity=nonlinearity, dtype=torch.float64)
        cell.load_state_dict({name: torch.tensor(p) for name, p in params._asdict().items()}, strict=True)
        expected = cell(torch.tensor(x[0]), torch.tensor(h_0)).detach()
        check_parity({"h": rnn_step(x[0], h_0, params, nonlinearity)}, {"h": expected})


@pytest.mark.equation("rnn-forward")
def test_forward_equals_torch():
    for nonlinearity in ("tanh", "relu"):
        x, h_0, params = drawn()
        output, h_T, cache = rnn_forward(x, h_0, params, nonlinearity)
        expected, expected_h_T = torch_rnn(params, nonlinearity)(torch.tensor(x), torch.tensor(h_0)[None])
        check_parity(
            {"output": output, "h_T": h_T, "cached states": cache.h},
            {
                "output": expected.detach(),
                "h_T": expected_h_T[0].detach(),
                "cached states": torch.cat([torch.tensor(h_0)[None], expected]).detach(),
            },
        )


@pytest.mark.equation("rnn-forward")
def test_twin_equals_torch():
    for nonlinearity in ("tanh", "relu"):
        x, h_0, params = drawn()
        output, h_T = torch_rnn(params, nonlinearity, RNN)(torch.tensor(x), torch.tensor(h_0))
        expected, expected_h_T = torch_rnn(params, nonlinearity)(torch.tensor(x), torch.tensor(h_0)[None])
        check_parity(
            {"output": output.detach(), "h_T": h_T.detach()},
            {"output": expected.detach(), "h_T": expected_h_T[0].detach()},
        )


@pytest.mark.equation("rnn-output")
def test_output_equals_torch_linear():
    rng = np.random.default_rng(1)
    h, params = rng.normal(size=(T, B, H)), output_init(rng, H, V)
    linear = torch.nn.Linear(H, V, dtype=torch.float64)
    linear.load_state_dict({name: torch.tensor(p) for name, p in params._asdict().items()}, strict=True)
    check_parity({"logits": output_forward(h, params)[0]}, {"logits": linear(torch.tensor(h)).detach()})


def drawn_loss(seed=2):
    rng = np.random.default_rng(seed)
    mask = rng.random((T, B)) < 0.7
    return rng.normal(size=(T, B, V)) * 3, rng.integers(0, V, (T, B)), mask


@pytest.mark.equation("rnn-loss")
def test_loss_equals_torch():
    logits, targets, mask = drawn_loss()
    ignored = torch.tensor(np.where(mask, targets, -100)).flatten()
    for reduction in ("mean", "sum"):
        loss, _ = cross_entropy_forward(logits, targets, mask, reduction)
        expected = torch.nn.functional.cross_entropy(
            torch.tensor(logits).flatten(0, 1), ignored, reduction=reduction
        )
        unmasked, _ = cross_entropy_forward(logits, targets, reduction=reduction)
        expected_unmasked = torch.nn.functional.cross_entropy(
            torch.tensor(logits).flatten(0, 1), torch.tensor(targets).flatten(), reduction=reduction
        )
        check_parity(
            {"masked": loss, "unmasked": unmasked}, {"masked": expected, "unmasked": expected_unmasked}
        )


def test_loss_is_stable():
    logits = np.array([[[1e4, -1e4]]])
    assert cross_entropy_forward(logits, np.array([[0]]))[0] == 0
    assert cross_entropy_forward(logits, np.array([[1]]))[0] == 2e4


def test_masked_positions_cannot_reach_the_loss():
    logits, targets, mask = drawn_loss()
    spoilt = np.where(mask[..., None], logits, np.nan)
    assert cross_entropy_forward(spoilt, targets, mask)[0] == cross_entropy_forward(logits, targets, mask)[0]


@pytest.mark.equation("rnn-parity")
def test_parity_machine_is_exact():
    bits = np.random.default_rng(3).integers(0, 2, 100_000)
    params, output_params = parity_machine(np.float32)
    states, _, _ = rnn_forward(
        bits[:, None, None].astype(np.float32), np.zeros((1, 2), np.float32), params, "relu"
    )
    # Not rounded: every output is 0 or 1 to the last bit.
    assert np.array_equal(output_forward(states, output_params)[0][:, 0, 0], bits.cumsum() % 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 8), st.integers(1, 4), st.integers(0, 2**32 - 1), st.sampled_from(["tanh", "relu"]))
def test_splitting_a_sequence_changes_nothing(T, B, seed, nonlinearity):
    rng = np.random.default_rng(seed)
    params = rnn_init(rng, D, H)
    x, h_0 = rng.normal(size=(T, B, D)), rng.normal(size=(B, H))
    whole, h_T, _ = rnn_forward(x, h_0, params, nonlinearity)
    cut = int(rng.integers(1, T)) if T > 1 else 1
    first, h, _ = rnn_forward(x[:cut], h_0, params, nonlinearity)
    parts = [first]
    if cut < T:
        second, h, _ = rnn_forward(x[cut:], h, params, nonlinearity)
        parts.append(second)
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=1e-14)
    np.testing.assert_allclose(h, h_T, rtol=0, atol=1e-14)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(B)), st.integers(0, 2**32 - 1))
def test_permuting_the_batch_commutes(order, seed):
    x, h_0, params = drawn(seed)
    output, _, _ = rnn_forward(x, h_0, params)
    permuted, _, _ = rnn_forward(x[:, order], h_0[order], params)
    np.testing.assert_allclose(permuted, output[:, order], rtol=0, atol=1e-14)


def test_dtype_is_kept():
    x, h_0, params = drawn(dtype=np.float32)
    output, h_T, _ = rnn_forward(x, h_0, params)
    logits, _ = output_forward(output, output_init(np.random.default_rng(0), H, V, np.float32))
    loss, cache = cross_entropy_forward(logits, np.zeros((T, B), int))
    kinds = {a.dtype for a in (rnn_step(x[0], h_0, params), output, h_T, logits, loss, cache.probabilities)}
    assert kinds == {np.dtype(np.float32)}


def test_arguments_are_not_changed():
    x, h_0, params = drawn()
    before = [a.copy() for a in (x, h_0, *params)]
    rnn_forward(x, h_0, params)
    assert all(np.array_equal(a, b) for a, b in zip(before, (x, h_0, *params), strict=True))


def test_init_has_torch_s_distribution():
    params = rnn_init(np.random.default_rng(0), 300, 400)
    layer = torch.nn.RNN(300, 400)
    for name, drawn_here in params._asdict().items():
        theirs = getattr(layer, f"{name}_l0").detach().numpy()
        assert abs(drawn_here).max() <= 400**-0.5
        # Standard deviation of n uniform draws: relative standard error 0.45 / sqrt(n), five of them allowed.
        assert abs(drawn_here.std() / theirs.std() - 1) < 5 * 0.45 * (2 / drawn_here.size) ** 0.5


def test_sample_draws_from_the_softmax():
    rng = np.random.default_rng(4)
    params, output_params = rnn_init(rng, V, H), output_init(rng, H, V)
    logits = rnn_step(np.eye(V)[[2]], np.zeros((1, H)), params) @ output_params.weight.T + output_params.bias
    expected = torch.softmax(torch.tensor(logits[0]), 0).numpy()
    draws = [rnn_sample(2, np.zeros(H), params, output_params, 1, rng)[0] for _ in range(4000)]
    frequency = np.bincount(draws, minlength=V) / 4000
    assert np.abs(frequency - expected).max() < 5 * (0.25 / 4000) ** 0.5  # five standard errors at most


def test_greedy_sample_feeds_its_output_back():
    # An identity-like net that says "one more, modulo V": any other feedback breaks the count.
    params = RNNParams(5 * np.eye(V), np.zeros((V, V)), np.zeros(V), np.zeros(V))
    output_params = OutputParams(np.roll(np.eye(V), 1, axis=0), np.zeros(V))
    assert rnn_sample(0, np.zeros(V), params, output_params, 9).tolist() == [1, 2, 3, 4, 5, 6, 0, 1, 2]


def test_messages():
    x, h_0, params = drawn()
    logits, targets, mask = drawn_loss()
    cases = [
        (lambda: rnn_forward(x, h_0.T, params), "h_0 must have shape (B, H) = (3, 5), got (5, 3)"),
        (lambda: rnn_forward(x[0], h_0, params), "x must have shape (T, B, D) = (any, any, 4), got (3, 4)"),
        (
            lambda: rnn_forward(x[:0], h_0, params),
            "x must have shape (T, B, D) with no size 0, got (0, 3, 4)",
        ),
        (lambda: rnn_forward(x.astype(int), h_0, params), "x must hold floats, got dtype int64"),
        (
            lambda: rnn_forward(x, h_0.astype(np.float32), params),
            "h_0 must have the dtype of x, float64, got float32",
        ),
        (lambda: rnn_forward(x, h_0 * np.nan, params), "h_0 must be finite, got nan or inf"),
        (lambda: rnn_step(x[0], h_0 + np.inf, params), "h must be finite, got nan or inf"),
        (lambda: rnn_forward(x, h_0, params, "sin"), "nonlinearity must be one of 'tanh', 'relu', got 'sin'"),
        (
            lambda: rnn_forward(x, h_0, params._replace(bias_hh=np.zeros(1))),
            "bias_hh must have shape (H,) = (5,), got (1,)",
        ),
        (
            lambda: rnn_step(x[0], h_0, params._replace(weight_hh=np.zeros((1, H)))),
            "weight_hh must have shape (H, H_) = (5, 5), got (1, 5)",
        ),
        (lambda: rnn_step(x[0], h_0[:2], params), "h must have shape (B, H) = (3, 5), got (2, 5)"),
        (
            lambda: output_forward(x, OutputParams(np.zeros((V, H)), np.zeros(V))),
            "h must have shape (T, B, H) = (any, any, 5), got (6, 3, 4)",
        ),
        (
            lambda: cross_entropy_forward(logits, targets + V),
            "targets must lie in 0 .. V - 1 = 6, got",
        ),
        (
            lambda: cross_entropy_forward(logits, targets * 1.0),
            "targets must hold integers, got dtype float64",
        ),
        (
            lambda: cross_entropy_forward(logits, targets, mask & False),
            "mask must keep at least one position, got none",
        ),
        (
            lambda: cross_entropy_forward(logits, targets, mask[1:]),
            "mask must have shape (T, B) = (6, 3), got (5, 3)",
        ),
        (
            lambda: rnn_sample(V, np.zeros(H), rnn_init(np.random.default_rng(0), V, H), output_params(), 1),
            "first must lie in 0 .. V - 1 = 6, got 7",
        ),
        (
            lambda: RNN(D, H)(torch.zeros(T, B, H)),
            "x must have shape (T, B, D) = (any, any, 4), got (6, 3, 5)",
        ),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value).startswith(message)


def output_params():
    return output_init(np.random.default_rng(0), H, V)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_twin_on_cuda(dtype):
    layer = torch.nn.RNN(D, H, device="cuda", dtype=dtype)
    twin = RNN(D, H, device="cuda", dtype=dtype)
    twin.load_state_dict(layer.state_dict(), strict=True)
    x = torch.randn(T, B, D, device="cuda", dtype=dtype)
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5  # float32: some 1e-7 a step, cuDNN may use TF32
    check_parity({"output": twin(x)[0].detach().cpu()}, {"output": layer(x)[0].detach().cpu()}, tolerance)


def test_twin_runs_where_its_tensors_are():
    # The CPU's share of the case above: every tensor the twin makes takes device and dtype from its input.
    twin = RNN(D, H, device="meta", dtype=torch.float32)
    output, h_T = twin(torch.empty(T, B, D, device="meta"))
    assert (output.device.type, output.dtype, tuple(h_T.shape)) == ("meta", torch.float32, (B, H))


@pytest.mark.parametrize("room", ["rnn", "bptt"])
def test_numpy_half_leaves_torch_out(room):
    code = f"import rnncourse.{room}.numpy, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
