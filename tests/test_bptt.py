"""Gradients against autograd, central differences and one another."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import torch_rnn

from rnncourse.bptt.numpy import (
    contributions,
    cross_entropy_backward,
    output_backward,
    rnn_backward,
    rnn_backward_truncated,
    rtrl_gradient,
    rtrl_init,
    rtrl_step,
)
from rnncourse.bptt.torch import RNNFunction
from rnncourse.bptt.torch import rnn_backward as torch_rnn_backward
from rnncourse.bptt.torch import rnn_backward_truncated as torch_rnn_backward_truncated
from rnncourse.rnn.numpy import (
    OutputParams,
    RNNParams,
    cross_entropy_forward,
    output_forward,
    output_init,
    rnn_forward,
    rnn_init,
)
from rnncourse.rnn.torch import RNN
from rnncourse.testing import check_gradient, check_parity, numerical_gradient

T, B, D, H, V = 6, 3, 4, 5, 7  # all different, all above one
NONLINEARITIES = ("tanh", "relu")


def drawn(seed=0):
    """Inputs, parameters, and random cotangents for every output."""
    rng = np.random.default_rng(seed)
    x, h_0 = rng.normal(size=(T, B, D)), rng.normal(size=(B, H))
    return x, h_0, rnn_init(rng, D, H), rng.normal(size=(T, B, H)), rng.normal(size=(B, H))


def autograd(x, h_0, params, doutput, dh_T, nonlinearity):
    """Every gradient by name, from torch.nn.RNN."""
    layer = torch_rnn(params, nonlinearity)
    x, h_0 = torch.tensor(x, requires_grad=True), torch.tensor(h_0, requires_grad=True)
    output, h_T = layer(x, h_0[None])
    torch.autograd.backward((output, h_T[0]), (torch.tensor(doutput), torch.tensor(dh_T)))
    grads = {name: getattr(layer, f"{name}_l0").grad for name in params._fields}
    return {"x": x.grad, "h_0": h_0.grad, **grads}


def by_name(dx, dh_0, dparams):
    return {"x": dx, "h_0": dh_0, **dparams._asdict()}


@pytest.mark.equation("bptt-delta")
@pytest.mark.equation("bptt-weights")
@pytest.mark.equation("bptt-input")
def test_backward_equals_autograd():
    for nonlinearity in NONLINEARITIES:
        x, h_0, params, doutput, dh_T = drawn()
        _, _, cache = rnn_forward(x, h_0, params, nonlinearity)
        check_parity(
            by_name(*rnn_backward(doutput, dh_T, cache)),
            autograd(x, h_0, params, doutput, dh_T, nonlinearity),
        )


@pytest.mark.equation("bptt-delta")
@pytest.mark.equation("bptt-weights")
@pytest.mark.equation("bptt-input")
def test_backward_equals_central_differences():
    x, h_0, params, doutput, dh_T = drawn()
    _, _, cache = rnn_forward(x, h_0, params)

    def loss(x, h_0, **weights):
        output, h_T, _ = rnn_forward(x, h_0, RNNParams(**weights))
        return (output * doutput).sum() + (h_T * dh_T).sum()

    gradients = by_name(*rnn_backward(doutput, dh_T, cache))
    check_gradient(loss, {"x": x, "h_0": h_0, **params._asdict()}, gradients, tolerance=1e-7)


@pytest.mark.equation("bptt-delta")
@pytest.mark.equation("bptt-weights")
@pytest.mark.equation("bptt-input")
def test_twin_equals_autograd_of_torch_nn():
    for nonlinearity in NONLINEARITIES:
        x, h_0, params, doutput, dh_T = drawn()
        tensors = [torch.tensor(a) for a in (doutput, dh_T, x, h_0)]
        dx, dh_0, dparams = torch_rnn_backward(*tensors, torch_rnn(params, nonlinearity, RNN))
        named = {"x": dx, "h_0": dh_0} | {name.removesuffix("_l0"): g for name, g in dparams.items()}
        check_parity(named, autograd(x, h_0, params, doutput, dh_T, nonlinearity))


@pytest.mark.equation("bptt-delta")
@pytest.mark.equation("bptt-weights")
@pytest.mark.equation("bptt-input")
def test_function_by_hand_equals_autograd():
    for nonlinearity in NONLINEARITIES:
        x, h_0, params, doutput, _ = drawn()
        inputs = {"x": x, "h_0": h_0, **params._asdict()}
        tensors = {name: torch.tensor(a, requires_grad=True) for name, a in inputs.items()}
        output = RNNFunction.apply(*tensors.values(), nonlinearity)
        expected, _ = torch_rnn(params, nonlinearity)(torch.tensor(x), torch.tensor(h_0)[None])
        check_parity({"output": output.detach()}, {"output": expected.detach()})
        output.backward(torch.tensor(doutput))
        check_parity(
            {name: t.grad for name, t in tensors.items()},
            autograd(x, h_0, params, doutput, np.zeros((B, H)), nonlinearity),
        )


def test_function_by_hand_passes_gradcheck():
    x, h_0, params, _, _ = drawn()
    tensors = [torch.tensor(a[:2] if a is x else a, requires_grad=True) for a in (x, h_0, *params)]
    assert torch.autograd.gradcheck(RNNFunction.apply, tensors)


@pytest.mark.equation("bptt-output")
def test_output_backward_equals_autograd():
    rng = np.random.default_rng(1)
    h, params, dlogits = rng.normal(size=(T, B, H)), output_init(rng, H, V), rng.normal(size=(T, B, V))
    _, cache = output_forward(h, params)
    dh, dparams = output_backward(dlogits, cache)
    tensors = [torch.tensor(a, requires_grad=True) for a in (h, *params)]
    torch.nn.functional.linear(*tensors).backward(torch.tensor(dlogits))
    check_parity(
        {"h": dh, **dparams._asdict()},
        dict(zip(("h", *OutputParams._fields), [t.grad for t in tensors], strict=True)),
    )


@pytest.mark.equation("bptt-softmax")
def test_cross_entropy_backward_equals_autograd():
    rng = np.random.default_rng(2)
    logits, targets, mask = (
        rng.normal(size=(T, B, V)) * 3,
        rng.integers(0, V, (T, B)),
        rng.random((T, B)) < 0.7,
    )
    ignored = torch.tensor(np.where(mask, targets, -100)).flatten()
    for reduction in ("mean", "sum"):
        _, cache = cross_entropy_forward(logits, targets, mask, reduction)
        tensor = torch.tensor(logits, requires_grad=True)
        torch.nn.functional.cross_entropy(tensor.flatten(0, 1), ignored, reduction=reduction).backward(
            torch.tensor(1.7, dtype=torch.float64)
        )
        check_parity({"logits": cross_entropy_backward(1.7, cache)}, {"logits": tensor.grad})


def test_whole_network_equals_central_differences():
    rng = np.random.default_rng(3)
    x, h_0, params, _, _ = drawn()
    output_params, targets, mask = (
        output_init(rng, H, V),
        rng.integers(0, V, (T, B)),
        rng.random((T, B)) < 0.7,
    )

    def loss(weight, bias, **weights):
        output, _, _ = rnn_forward(x, h_0, RNNParams(**weights))
        return cross_entropy_forward(output_forward(output, OutputParams(weight, bias))[0], targets, mask)[0]

    output, _, cache = rnn_forward(x, h_0, params)
    logits, output_cache = output_forward(output, output_params)
    _, loss_cache = cross_entropy_forward(logits, targets, mask)
    doutput, doutput_params = output_backward(cross_entropy_backward(1.0, loss_cache), output_cache)
    _, _, dparams = rnn_backward(doutput, np.zeros((B, H)), cache)
    check_gradient(
        loss,
        params._asdict() | output_params._asdict(),
        dparams._asdict() | doutput_params._asdict(),
        tolerance=1e-7,
    )


@pytest.mark.equation("bptt-triangle")
def test_contributions_equal_autograd_of_untied_weights():
    # The oracle unties the matrix: step t gets a copy of its own, and loss s is differentiated by copy t.
    for nonlinearity in NONLINEARITIES:
        x, h_0, params, doutput, _ = drawn()
        _, _, cache = rnn_forward(x, h_0, params, nonlinearity)
        parts = contributions(doutput, cache)
        copies = [torch.tensor(params.weight_hh, requires_grad=True) for _ in range(T)]
        weight_ih, bias = torch.tensor(params.weight_ih), torch.tensor(params.bias_ih + params.bias_hh)
        h, expected = torch.tensor(h_0), np.zeros((T, T, H, H))
        for s in range(T):
            h = getattr(torch, nonlinearity)(torch.tensor(x[s]) @ weight_ih.T + bias + h @ copies[s].T)
            grads = torch.autograd.grad(
                (h * torch.tensor(doutput[s])).sum(), copies[: s + 1], retain_graph=True
            )
            expected[s, : s + 1] = torch.stack(grads)
        check_parity({"contributions": parts}, {"contributions": expected})


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 7), st.integers(0, 2**32 - 1), st.sampled_from(NONLINEARITIES))
def test_contributions_add_up_to_the_gradient(T, seed, nonlinearity):
    rng = np.random.default_rng(seed)
    x, h_0, params = rng.normal(size=(T, B, D)), rng.normal(size=(B, H)), rnn_init(rng, D, H)
    doutput = rng.normal(size=(T, B, H))
    _, _, cache = rnn_forward(x, h_0, params, nonlinearity)
    parts = contributions(doutput, cache)
    assert not np.triu(np.abs(parts).sum((2, 3)), 1).any()  # no loss depends on a later use
    _, _, full = rnn_backward(doutput, np.zeros((B, H)), cache)
    check_parity({"weight_hh": parts.sum((0, 1))}, {"weight_hh": full.weight_hh})


@pytest.mark.equation("bptt-truncated")
def test_truncation_is_a_band_of_the_triangle():
    x, h_0, params, doutput, _ = drawn()
    _, _, cache = rnn_forward(x, h_0, params)
    parts = contributions(doutput, cache)
    s, t = np.indices((T, T))
    for k1, k2 in [(1, 1), (1, 3), (2, 2), (2, 3), (4, 5), (6, 6), (1, 9)]:
        stop = np.minimum((s // k1 + 1) * k1, T)
        inside = (t <= s) & (t >= stop - k2)
        _, _, truncated = rnn_backward_truncated(doutput, cache, k1, k2)
        check_parity({"weight_hh": truncated.weight_hh}, {"weight_hh": parts[inside].sum(0)})


@pytest.mark.equation("bptt-truncated")
def test_truncated_twins_agree():
    x, h_0, params, doutput, _ = drawn()
    _, _, cache = rnn_forward(x, h_0, params)
    tensors = [torch.tensor(a) for a in (doutput, x, h_0)]
    for k1, k2 in [(1, 1), (1, 3), (2, 2), (2, 3), (4, 5)]:
        _, _, dparams = rnn_backward_truncated(doutput, cache, k1, k2)
        twin = torch_rnn_backward_truncated(*tensors, torch_rnn(params, "tanh", RNN), k1, k2)
        check_parity(dparams._asdict(), {name.removesuffix("_l0"): g for name, g in twin.items()})


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(0, 9), st.integers(0, 2**32 - 1))
def test_a_window_of_the_whole_sequence_is_no_truncation(k1, extra, seed):
    x, h_0, params, doutput, _ = drawn(seed)
    _, _, cache = rnn_forward(x, h_0, params)
    full = by_name(*rnn_backward(doutput, np.zeros((B, H)), cache))
    check_parity(by_name(*rnn_backward_truncated(doutput, cache, k1, T + extra)), full)


@pytest.mark.equation("bptt-rtrl")
def test_rtrl_equals_backpropagation():
    for nonlinearity in NONLINEARITIES:
        x, h_0, params, doutput, _ = drawn()
        _, _, cache = rnn_forward(x, h_0, params, nonlinearity)
        _, _, expected = rnn_backward(doutput, np.zeros((B, H)), cache)
        state, total = rtrl_init(h_0, params), [0, 0, 0, 0]
        for x_t, dh in zip(x, doutput, strict=True):
            state = rtrl_step(x_t, state, params, nonlinearity)
            total = [a + b for a, b in zip(total, rtrl_gradient(dh, state), strict=True)]
        check_parity(RNNParams(*total)._asdict(), expected._asdict())
        check_parity({"h": state.h}, {"h": cache.h[-1]})


@pytest.mark.equation("bptt-rtrl")
def test_sensitivities_equal_central_differences():
    x, h_0, params, doutput, _ = drawn()
    state = rtrl_init(h_0, params)
    for x_t in x[:3]:
        state = rtrl_step(x_t, state, params)

    def projected(weight_hh):
        return (rnn_forward(x[:3], h_0, params._replace(weight_hh=weight_hh))[0][-1] * doutput[2]).sum()

    claimed = np.einsum("bi,bijk->jk", doutput[2], state.dh_dparams.weight_hh)
    check_gradient(projected, {"weight_hh": params.weight_hh}, {"weight_hh": claimed})


@pytest.mark.equation("bptt-differences")
def test_central_differences_are_exact_for_quadratics():
    A = np.random.default_rng(5).normal(size=(4, 4))
    v = np.random.default_rng(6).normal(size=4)
    check_parity(
        {"gradient": numerical_gradient(lambda v: v @ A @ v, v)}, {"gradient": (A + A.T) @ v}, tolerance=1e-9
    )


def test_dtype_is_kept():
    x, h_0, params, doutput, dh_T = (
        RNNParams(*(p.astype(np.float32) for p in a)) if isinstance(a, tuple) else a.astype(np.float32)
        for a in drawn()
    )
    _, _, cache = rnn_forward(x, h_0, params)
    results = [
        *by_name(*rnn_backward(doutput, dh_T, cache)).values(),
        *by_name(*rnn_backward_truncated(doutput, cache, 2, 3)).values(),
        contributions(doutput, cache),
        rtrl_step(x[0], rtrl_init(h_0, params), params).dh_dparams.weight_hh,
    ]
    assert {a.dtype for a in results} == {np.dtype(np.float32)}


def test_arguments_are_not_changed():
    x, h_0, params, doutput, dh_T = drawn()
    _, _, cache = rnn_forward(x, h_0, params)
    kept = [a.copy() for a in (doutput, dh_T, cache.x, cache.h, *params)]
    rnn_backward(doutput, dh_T, cache)
    rnn_backward_truncated(doutput, cache, 2, 3)
    contributions(doutput, cache)
    now = (doutput, dh_T, cache.x, cache.h, *params)
    assert all(np.array_equal(a, b) for a, b in zip(kept, now, strict=True))


def test_messages():
    x, h_0, params, doutput, dh_T = drawn()
    _, _, cache = rnn_forward(x, h_0, params)
    cases = [
        (
            lambda: rnn_backward(doutput[1:], dh_T, cache),
            "doutput must have shape (T, B, H) = (6, 3, 5), got (5, 3, 5)",
        ),
        (
            lambda: rnn_backward(doutput.astype(np.float32), dh_T, cache),
            "doutput must have the dtype of x, float64, got float32",
        ),
        (lambda: rnn_backward(doutput, dh_T * np.nan, cache), "dh_T must be finite, got nan or inf"),
        (lambda: rnn_backward(doutput, dh_T.T, cache), "dh_T must have shape (B, H) = (3, 5), got (5, 3)"),
        (lambda: rnn_backward_truncated(doutput, cache, 0, 3), "k1 must be an integer of at least 1, got 0"),
        (
            lambda: rnn_backward_truncated(doutput, cache, 4, 3),
            "k2 must be at least k1 = 4, or some losses would not be sent back, got 3",
        ),
        (
            lambda: torch_rnn_backward_truncated(None, None, None, None, 4, 3),
            "k2 must be at least k1 = 4, or some losses would not be sent back, got 3",
        ),
        (
            lambda: contributions(doutput[0], cache),
            "doutput must have shape (T, B, H) = (6, 3, 5), got (3, 5)",
        ),
        (
            lambda: rtrl_gradient(dh_T.T, rtrl_init(h_0, params)),
            "dh must have shape (B, H) = (3, 5), got (5, 3)",
        ),
        (
            lambda: numerical_gradient(np.sum, np.zeros(2, np.float32)),
            "array must be float64 for central differences, got float32",
        ),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message


@pytest.mark.gpu
def test_function_by_hand_on_cuda():
    x, h_0, params, doutput, _ = drawn()
    tensors = [torch.tensor(a, device="cuda", requires_grad=True) for a in (x, h_0, *params)]
    RNNFunction.apply(*tensors).backward(torch.tensor(doutput, device="cuda"))
    expected = autograd(x, h_0, params, doutput, np.zeros((B, H)), "tanh")
    check_parity(dict(zip(expected, [t.grad.cpu() for t in tensors], strict=True)), expected)
