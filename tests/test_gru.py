"""The gated recurrent unit against torch.nn, autograd, central differences and its own algebra."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnncourse._numerics import sigmoid
from rnncourse.data.memory import anbn, anbncn
from rnncourse.grading.check import check
from rnncourse.gru.exercise import OTHER, QUESTIONS, from_other
from rnncourse.gru.experiment import CELLS, encode, largest_n, learn, packed, unpacked
from rnncourse.gru.machines import counter_lstm, counter_rnn
from rnncourse.gru.numpy import (
    GRUParams,
    flip_update,
    gru_backward,
    gru_forward,
    gru_init,
    gru_reset_before_backward,
    gru_reset_before_forward,
    gru_step,
)
from rnncourse.gru.torch import GRU
from rnncourse.lstm.numpy import LSTMParams, lstm_forward
from rnncourse.rnn.numpy import OutputParams, RNNParams, output_forward, rnn_forward
from rnncourse.testing import check_gradient, check_parity

T, B, D, H = 6, 3, 4, 5  # all different, all above one


def drawn(seed=0, dtype=np.float64):
    """Inputs, parameters, and random cotangents for both outputs."""
    rng = np.random.default_rng(seed)
    x, h_0 = rng.normal(size=(T, B, D)), rng.normal(size=(B, H))
    arrays = x, h_0, gru_init(rng, D, H), rng.normal(size=(T, B, H)), rng.normal(size=(B, H))
    return tuple(
        GRUParams(*(p.astype(dtype) for p in a)) if isinstance(a, tuple) else a.astype(dtype) for a in arrays
    )


def layer_of(params, cls=torch.nn.GRU, **kwargs):
    """A layer of class `cls` with the weights of `params`, loaded strictly."""
    H3, D = params.weight_ih.shape
    layer = cls(D, H3 // 3, dtype=torch.float64, **kwargs)
    weights = {f"{name}_l0": torch.tensor(p) for name, p in params._asdict().items()}
    layer.load_state_dict(weights, strict=True)
    return layer


def autograd(layer, x, h_0, doutput, dh_T):
    """Outputs and every gradient by name, from `layer`."""
    x, h_0 = torch.tensor(x, requires_grad=True), torch.tensor(h_0, requires_grad=True)
    stacked = isinstance(layer, torch.nn.GRU)
    output, h_T = layer(x, h_0[None] if stacked else h_0)
    h_T = h_T[0] if stacked else h_T
    torch.autograd.backward((output, h_T), (torch.tensor(doutput), torch.tensor(dh_T)))
    grads = {name.removesuffix("_l0"): p.grad for name, p in layer.named_parameters()}
    return {"output": output.detach(), "h_T": h_T.detach()}, {"x": x.grad, "h_0": h_0.grad, **grads}


def by_name(dx, dh_0, dparams):
    return {"x": dx, "h_0": dh_0, **dparams._asdict()}


@pytest.mark.equation("gru-gates")
@pytest.mark.equation("gru-candidate")
@pytest.mark.equation("gru-state")
def test_step_equals_torch_cell():
    x, h_0, params, _, _ = drawn()
    cell = torch.nn.GRUCell(D, H, dtype=torch.float64)
    cell.load_state_dict({name: torch.tensor(p) for name, p in params._asdict().items()}, strict=True)
    expected = cell(torch.tensor(x[0]), torch.tensor(h_0)).detach()
    check_parity({"h": gru_step(x[0], h_0, params)}, {"h": expected})


@pytest.mark.equation("gru-gates")
@pytest.mark.equation("gru-candidate")
@pytest.mark.equation("gru-state")
def test_forward_equals_torch():
    x, h_0, params, doutput, dh_T = drawn()
    expected, _ = autograd(layer_of(params), x, h_0, doutput, dh_T)
    output, h_T, cache = gru_forward(x, h_0, params)
    check_parity({"output": output, "h_T": h_T}, expected)
    check_parity({"h": cache.h[1:]}, {"h": expected["output"]})


@pytest.mark.equation("gru-gates")
@pytest.mark.equation("gru-candidate")
@pytest.mark.equation("gru-state")
def test_twin_equals_torch():
    x, h_0, params, doutput, dh_T = drawn()
    expected = autograd(layer_of(params), x, h_0, doutput, dh_T)
    for twin, nn in zip(autograd(layer_of(params, GRU), x, h_0, doutput, dh_T), expected, strict=True):
        check_parity(twin, nn)
    zero, _ = layer_of(params, GRU)(torch.tensor(x))
    check_parity({"output": zero.detach()}, {"output": layer_of(params)(torch.tensor(x))[0].detach()})


@pytest.mark.equation("gru-delta")
@pytest.mark.equation("gru-carry")
@pytest.mark.equation("gru-weights")
def test_backward_equals_autograd():
    x, h_0, params, doutput, dh_T = drawn()
    _, expected = autograd(layer_of(params), x, h_0, doutput, dh_T)
    _, _, cache = gru_forward(x, h_0, params)
    check_parity(by_name(*gru_backward(doutput, dh_T, cache)), expected)
    check_parity(by_name(*gru_backward(doutput, dh_T, cache)), expected)  # the cache is as it was


def projected(forward, doutput, dh_T):
    """A scalar function of every argument by name: the outputs weighted by the cotangents."""

    def loss(x, h_0, **weights):
        output, h_T, _ = forward(x, h_0, GRUParams(**weights))
        return (output * doutput).sum() + (h_T * dh_T).sum()

    return loss


@pytest.mark.equation("gru-delta")
@pytest.mark.equation("gru-carry")
@pytest.mark.equation("gru-weights")
def test_backward_equals_central_differences():
    x, h_0, params, doutput, dh_T = drawn()
    _, _, cache = gru_forward(x, h_0, params)
    check_gradient(
        projected(gru_forward, doutput, dh_T),
        {"x": x, "h_0": h_0, **params._asdict()},
        by_name(*gru_backward(doutput, dh_T, cache)),
        tolerance=1e-7,
    )


def plain_reset_before(x, h_0, params):
    """States of the paper's form, written with one weight matrix a letter."""
    W_r, W_z, W_n = np.split(params.weight_ih, 3)
    U_r, U_z, U_n = np.split(params.weight_hh, 3)
    b_r, b_z, b_n = np.split(params.bias_ih + params.bias_hh, 3)
    states = [h_0]
    for x_t in x:
        h = states[-1]
        r, z = sigmoid(x_t @ W_r.T + h @ U_r.T + b_r), sigmoid(x_t @ W_z.T + h @ U_z.T + b_z)
        candidate = np.tanh(x_t @ W_n.T + (r * h) @ U_n.T + b_n)
        states.append(z * h + (1 - z) * candidate)
    return np.stack(states)


@pytest.mark.equation("gru-before")
def test_reset_before_equals_the_paper_s_equations():
    x, h_0, params, _, _ = drawn()
    output, h_T, cache = gru_reset_before_forward(x, h_0, params)
    expected = plain_reset_before(x, h_0, params)
    check_parity(
        {"output": output, "h_T": h_T, "h": cache.h},
        {"output": expected[1:], "h_T": expected[-1], "h": expected},
    )
    with torch.no_grad():
        twin, twin_h_T = layer_of(params, GRU, reset="before")(torch.tensor(x), torch.tensor(h_0))
    check_parity({"output": twin, "h_T": twin_h_T}, {"output": expected[1:], "h_T": expected[-1]})


@pytest.mark.equation("gru-before-delta")
@pytest.mark.equation("gru-before-weights")
def test_reset_before_backward_equals_autograd_and_central_differences():
    x, h_0, params, doutput, dh_T = drawn()
    _, expected = autograd(layer_of(params, GRU, reset="before"), x, h_0, doutput, dh_T)
    _, _, cache = gru_reset_before_forward(x, h_0, params)
    gradients = by_name(*gru_reset_before_backward(doutput, dh_T, cache))
    check_parity(gradients, expected)
    check_gradient(
        projected(gru_reset_before_forward, doutput, dh_T),
        {"x": x, "h_0": h_0, **params._asdict()},
        gradients,
        tolerance=1e-7,
    )


def test_the_two_resets_differ_and_coincide_where_the_matrix_commutes_with_the_gate():
    x, h_0, params, _, _ = drawn()
    after, before = (f(x, h_0, params)[0] for f in (gru_forward, gru_reset_before_forward))
    assert np.abs(after - before).max() > 0.01
    # A diagonal matrix commutes with every diagonal gate; its bias must not stand inside the reset.
    weight_hh, bias_hh = params.weight_hh.copy(), params.bias_hh.copy()
    weight_hh[2 * H :] = np.diag(np.diag(weight_hh[2 * H :]))
    bias_hh[2 * H :] = 0
    diagonal = params._replace(weight_hh=weight_hh, bias_hh=bias_hh)
    check_parity(
        {"output": gru_reset_before_forward(x, h_0, diagonal)[0]},
        {"output": gru_forward(x, h_0, diagonal)[0]},
    )
    with_bias = diagonal._replace(bias_hh=params.bias_hh)
    after, before = (f(x, h_0, with_bias)[0] for f in (gru_forward, gru_reset_before_forward))
    assert np.abs(after - before).max() > 0.01


def plain_other_convention(x, h_0, params):
    """States where the update gate u multiplies the candidate, as in Chung et al. (2014), reset after."""
    states = [h_0]
    for x_t in x:
        h = states[-1]
        from_input = np.split(x_t @ params.weight_ih.T + params.bias_ih, 3, axis=-1)
        from_state = np.split(h @ params.weight_hh.T + params.bias_hh, 3, axis=-1)
        r, u = (sigmoid(from_input[i] + from_state[i]) for i in (0, 1))
        states.append((1 - u) * h + u * np.tanh(from_input[2] + r * from_state[2]))
    return np.stack(states)


@pytest.mark.equation("gru-flip")
def test_flipped_parameters_give_the_other_convention():
    x, h_0, params, _, _ = drawn()
    flipped = flip_update(params)
    check_parity(
        {"output": plain_other_convention(x, h_0, flipped)[1:]}, {"output": gru_forward(x, h_0, params)[0]}
    )
    check_parity(flip_update(flipped)._asdict(), params._asdict(), tolerance=0)


def test_worked_numbers():
    # h = 0.8, r = 0, z = 0.9, x = 0 and no bias: 0.9 of the state stays although the reset is shut.
    saturated = GRUParams(
        np.zeros((3, 1)), np.array([[0.0], [0], [5]]), np.array([-800, np.log(9), 0]), np.zeros(3)
    )
    h = np.full((1, 1), 0.8)
    np.testing.assert_allclose(gru_step(np.zeros((1, 1)), h, saturated), [[0.72]], rtol=0, atol=1e-15)
    # U = [[0, 1], [1, 0]], h = r = (1, 0).
    U, v = np.array([[0.0, 1], [1, 0]]), np.array([1.0, 0])
    assert (U @ (v * v)).tolist() == [0, 1] and (v * (U @ v)).tolist() == [0, 0]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 8), st.integers(0, 2**32 - 1), st.booleans())
def test_splitting_a_sequence_changes_nothing(T, seed, before):
    rng = np.random.default_rng(seed)
    forward = gru_reset_before_forward if before else gru_forward
    params = gru_init(rng, D, H)
    x, h_0 = rng.normal(size=(T, B, D)), rng.normal(size=(B, H))
    whole, h_T, _ = forward(x, h_0, params)
    cut = int(rng.integers(1, T)) if T > 1 else 1
    first, h, _ = forward(x[:cut], h_0, params)
    parts = [first]
    if cut < T:
        second, h, _ = forward(x[cut:], h, params)
        parts.append(second)
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=1e-14)
    np.testing.assert_allclose(h, h_T, rtol=0, atol=1e-14)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(B)), st.integers(0, 2**32 - 1))
def test_permuting_the_batch_commutes(order, seed):
    x, h_0, params, doutput, dh_T = drawn(seed)
    output, _, cache = gru_forward(x, h_0, params)
    permuted, _, permuted_cache = gru_forward(x[:, order], h_0[order], params)
    np.testing.assert_allclose(permuted, output[:, order], rtol=0, atol=1e-14)
    dx, dh_0, dparams = gru_backward(doutput, dh_T, cache)
    permuted = gru_backward(doutput[:, order], dh_T[order], permuted_cache)
    check_parity(by_name(*permuted), by_name(dx[:, order], dh_0[order], dparams))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 100), st.booleans())
def test_the_state_never_leaves_its_bounds(seed, scale, before):
    rng = np.random.default_rng(seed)
    params = GRUParams(*(scale * p for p in gru_init(rng, D, H)))
    h_0 = 3 * rng.uniform(-1, 1, (B, H))
    forward = gru_reset_before_forward if before else gru_forward
    output, _, _ = forward(scale * rng.normal(size=(20, B, D)), h_0, params)
    assert (np.abs(output) <= np.maximum(1, np.abs(h_0)) * (1 + 1e-15)).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_backward_pass_is_linear_in_its_cotangents(seed):
    x, h_0, params, doutput, dh_T = drawn(seed)
    _, _, cache = gru_forward(x, h_0, params)
    twice = by_name(*gru_backward(2 * doutput, 2 * dh_T, cache))
    once = by_name(*gru_backward(doutput, dh_T, cache))
    check_parity(twice, {name: 2 * gradient for name, gradient in once.items()}, tolerance=1e-14)


@pytest.mark.equation("gru-counter")
def test_the_lstm_by_hand_counts_exactly():
    for dtype in (np.float32, np.float64):
        params, output_params = counter_lstm(dtype)
        assert {p.dtype for p in (*params, *output_params)} == {np.dtype(dtype)}
        x, targets, mask = encode(["a" * 3000 + "b" * 3000])
        zero = np.zeros((1, 2), dtype)
        output, _, cache = lstm_forward(x.astype(dtype), (zero, zero), params)
        count = np.concatenate([[0], np.arange(3001), np.arange(3000)[::-1]])
        check_parity({"c": cache.c[:, 0, 0]}, {"c": count}, tolerance=0)  # not rounded
        logits, _ = output_forward(output, output_params)
        assert (logits.argmax(-1) == targets)[mask].all()
        check_parity({"logit of b": logits[-1, 0, 2]}, {"logit of b": -3.0})
    assert largest_n("lstm", "anbn", counter_lstm(), 60) == 60


@pytest.mark.equation("gru-counter-relu")
def test_the_relu_network_by_hand_counts_exactly():
    for dtype in (np.float32, np.float64):
        params, output_params = counter_rnn(dtype)
        x, targets, mask = encode(["a" * 3000 + "b" * 3000])
        output, _, _ = rnn_forward(x.astype(dtype), np.zeros((1, 2), dtype), params, "relu")
        count = np.concatenate([np.arange(3001), np.arange(3000)[::-1]])
        check_parity({"h": output[:, 0, 0]}, {"h": count}, tolerance=0)
        logits, _ = output_forward(output, output_params)
        assert (logits.argmax(-1) == targets)[mask].all()
        check_parity({"logit of b": logits[-1, 0, 2]}, {"logit of b": -4.0})
    assert largest_n("relu", "anbn", counter_rnn(), 60) == 60


def test_strings_are_encoded_with_what_can_be_known():
    x, targets, mask = encode(anbn(2))
    assert x.argmax(-1).T.tolist() == [[0, 1, 2, 0, 0], [0, 1, 1, 2, 2]]
    assert targets.T.tolist() == [[1, 2, 0, 0, 0], [1, 1, 2, 2, 0]]
    assert mask.T.tolist() == [[True, False, True, False, False], [True, False, False, True, True]]
    x, targets, mask = encode(anbncn(1))
    assert targets[:, 0].tolist() == [1, 2, 3, 0] and mask[:, 0].tolist() == [True, False, True, True]


def test_largest_n_is_where_the_first_string_fails():
    # A counter that leaks one part in fifty at each step: the strings one by one say where it fails.
    params, output_params = counter_rnn()
    leaky = params._replace(weight_hh=0.98 * params.weight_hh)
    right = []
    for n in range(1, 31):
        x, targets, mask = encode(["a" * n + "b" * n])
        output, _, _ = rnn_forward(x, np.zeros((1, 2)), leaky, "relu")
        right.append((output_forward(output, output_params)[0].argmax(-1) == targets)[mask].all())
    first = right.index(False)
    assert 2 < first < 30
    assert largest_n("relu", "anbn", (leaky, output_params), 30) == first
    assert largest_n("relu", "anbn", (leaky, output_params), first) == first


def test_training_lowers_the_loss_and_packs_its_weights():
    for kind in CELLS:
        trained = learn(kind, "anbn", 0, H=3, steps=40)
        assert trained.history.loss[-1] < 0.7 * trained.history.loss[0]
        back = unpacked(kind, packed(trained.params))
        assert [type(p) for p in back] == [type(p) for p in trained.params]
        for a, b in zip(back, trained.params, strict=True):
            check_parity(a._asdict(), b._asdict(), tolerance=1e-7)
    assert [cell.params for cell in CELLS.values()] == [LSTMParams, GRUParams, RNNParams]
    assert isinstance(back[1], OutputParams)


def test_dtype_is_kept():
    x, h_0, params, doutput, dh_T = drawn(dtype=np.float32)
    results = [gru_step(x[0], h_0, params), *flip_update(params)]
    results += gru_init(np.random.default_rng(0), D, H, np.float32)
    for forward, backward in (
        (gru_forward, gru_backward),
        (gru_reset_before_forward, gru_reset_before_backward),
    ):
        output, h_T, cache = forward(x, h_0, params)
        results += [output, h_T, cache.gates, cache.recurrent]
        results += by_name(*backward(doutput, dh_T, cache)).values()
    assert {a.dtype for a in results} == {np.dtype(np.float32)}
    # float32 has 24 bits: 1e-7 an operation, some hundred of them on the longest path.
    exact = drawn()
    expected = by_name(*gru_backward(exact[3], exact[4], gru_forward(*exact[:3])[2]))
    single = by_name(*gru_backward(doutput, dh_T, gru_forward(x, h_0, params)[2]))
    check_parity(single, expected, tolerance=1e-5)


def test_huge_pre_activations_give_no_warning_and_no_nan():
    for sign in (1, -1):
        x, h_0, params, doutput, dh_T = drawn()
        params = params._replace(bias_ih=np.full(3 * H, sign * 1e4))
        with warnings.catch_warnings(), np.errstate(over="raise", invalid="raise", divide="raise"):
            warnings.simplefilter("error")
            results = [gru_step(x[0], h_0, params)]
            for forward, backward in (
                (gru_forward, gru_backward),
                (gru_reset_before_forward, gru_reset_before_backward),
            ):
                output, _, cache = forward(x, h_0, params)
                results += [output, *by_name(*backward(doutput, dh_T, cache)).values()]
        assert all(np.isfinite(a).all() for a in results)
    # With the update gate at one the state stands still, but for the rounding of n + (h - n).
    _, h_T, _ = gru_forward(x, h_0, params._replace(bias_ih=np.full(3 * H, 1e4)))
    check_parity({"h_T": h_T}, {"h_T": h_0}, tolerance=1e-14)


def test_arguments_are_not_changed():
    x, h_0, params, doutput, dh_T = drawn()
    kept = [a.copy() for a in (x, h_0, *params, doutput, dh_T)]
    for forward, backward in (
        (gru_forward, gru_backward),
        (gru_reset_before_forward, gru_reset_before_backward),
    ):
        _, _, cache = forward(x, h_0, params)
        cached = [a.copy() for a in cache[:-1]]
        backward(doutput, dh_T, cache)
        assert all(np.array_equal(a, b) for a, b in zip(cached, cache[:-1], strict=True))
    flip_update(params)
    now = (x, h_0, *params, doutput, dh_T)
    assert all(np.array_equal(a, b) for a, b in zip(kept, now, strict=True))


def test_init_has_torch_s_distribution():
    params = gru_init(np.random.default_rng(0), 100, 150)
    layer = torch.nn.GRU(100, 150)
    for name, drawn_here in params._asdict().items():
        theirs = getattr(layer, f"{name}_l0").detach().numpy()
        assert drawn_here.shape == theirs.shape and abs(drawn_here).max() <= 150**-0.5
        # Standard deviation of n uniform draws: relative standard error 0.45 / sqrt(n), five of them allowed.
        assert abs(drawn_here.std() / theirs.std() - 1) < 5 * 0.45 * (2 / drawn_here.size) ** 0.5


def test_messages():
    x, h_0, params, doutput, dh_T = drawn()
    nan = x.copy()
    nan[0, 0, 0] = np.nan
    _, _, cache = gru_forward(x, h_0, params)
    for forward, backward in (
        (gru_forward, gru_backward),
        (gru_reset_before_forward, gru_reset_before_backward),
    ):
        cases = [
            (
                lambda f=forward: f(x[0], h_0, params),
                "x must have shape (T, B, D) = (any, any, 4), got (3, 4)",
            ),
            (
                lambda f=forward: f(x[:0], h_0, params),
                "x must have shape (T, B, D) with no size 0, got (0, 3, 4)",
            ),
            (lambda f=forward: f(x, h_0.T, params), "h_0 must have shape (B, H) = (3, 5), got (5, 3)"),
            (lambda f=forward: f(nan, h_0, params), "x must be finite, got nan or inf"),
            (lambda f=forward: f(x.astype(int), h_0, params), "x must hold floats, got dtype int64"),
            (
                lambda f=forward: f(x.astype(np.float32), h_0, params),
                "h_0 must have the dtype of x, float32, got float64",
            ),
            (
                lambda f=forward: f(x, h_0, params._replace(bias_ih=params.bias_ih[:H])),
                "bias_ih must have shape (H3,) = (15,), got (5,)",
            ),
            (
                lambda b=backward: b(doutput[1:], dh_T, cache),
                "doutput must have shape (T, B, H) = (6, 3, 5), got (5, 3, 5)",
            ),
            (
                lambda b=backward: b(doutput, dh_T.T, cache),
                "dh_T must have shape (B, H) = (3, 5), got (5, 3)",
            ),
            (
                lambda b=backward: b(doutput.astype(np.float32), dh_T, cache),
                "doutput must have the dtype of x, float64, got float32",
            ),
        ]
        for call, message in cases:
            with pytest.raises(ValueError) as caught:
                call()
            assert str(caught.value) == message
    cases = [
        (lambda: gru_step(x[0], h_0[:2], params), "h must have shape (B, H) = (3, 5), got (2, 5)"),
        (lambda: gru_step(nan[0], h_0, params), "x_t must be finite, got nan or inf"),
        (
            lambda: gru_step(x[0], h_0.astype(np.float32), params),
            "h must have the dtype of x_t, float64, got float32",
        ),
        (
            lambda: gru_step(x[0], h_0, params._replace(weight_ih=params.weight_ih[:, 0])),
            "weight_ih must have shape (H3, D) = (15, any), got (15,)",
        ),
        (lambda: gru_step(x, h_0, params), "x_t must have shape (B, D) = (any, 4), got (6, 3, 4)"),
        (
            lambda: gru_forward(x, h_0, params._replace(weight_hh=params.weight_hh[: 2 * H])),
            "weight_hh must have shape (H3, H) = (15, 5), got (10, 5)",
        ),
        (
            lambda: flip_update(params._replace(bias_hh=params.bias_hh[1:])),
            "bias_hh must have shape (H3,) = (15,), got (14,)",
        ),
        (lambda: gru_init(np.random.default_rng(0), 0, H), "D must be an integer of at least 1, got 0"),
        (lambda: gru_init(np.random.default_rng(0), D, 0), "H must be an integer of at least 1, got 0"),
        (lambda: GRU(D, H, reset="during"), "reset must be one of 'after', 'before', got 'during'"),
        (
            lambda: GRU(D, H)(torch.zeros(T, B, H)),
            "x must have shape (T, B, D) = (any, any, 4), got (6, 3, 5)",
        ),
        (
            lambda: GRU(D, H)(torch.zeros(T, B, D), torch.zeros(H, B)),
            "h_0 must have shape (B, H) = (3, 5), got (5, 3)",
        ),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message


def mutant_arguments(function, condition):
    """Arguments on which a mistake of this room hides under `condition`; not all of them zero."""
    x, h_0, params, doutput, dh_T = drawn(7)
    steps = 1 if condition == "one step" else T
    x, doutput = x[:steps], doutput[:steps]
    weight_ih, weight_hh, bias_ih, bias_hh = (p.copy() for p in params)
    r, z, n = slice(0, H), slice(H, 2 * H), slice(2 * H, 3 * H)
    saturated = {"reset gate one": (r, 1e3), "update gate one": (z, 1e3), "update gate zero": (z, -1e3)}
    if condition in saturated:
        rows, value = saturated[condition]
        bias_ih[rows] = value
    if "one half" in condition:
        for rows in (r, z) if "reset" in condition else (z,):
            weight_ih[rows], weight_hh[rows], bias_ih[rows], bias_hh[rows] = 0, 0, 0, 0
    if condition == "equal gates":
        for p in (weight_ih, weight_hh, bias_ih, bias_hh):
            p[z] = p[r]
    if condition == "zero biases":
        bias_ih[:], bias_hh[:] = 0, 0
    if condition == "zero weight_hh":
        weight_hh[:] = 0
    if condition == "zero candidate":
        weight_ih[n], weight_hh[n], bias_ih[n], bias_hh[n] = 0, 0, 0, 0
    if condition == "identity candidate":
        weight_hh[n], bias_hh[n] = np.eye(H), 0
    if condition == "no cotangent of the output":
        doutput = 0 * doutput
    if condition == "no final cotangent":
        dh_T = 0 * dh_T
    params = GRUParams(weight_ih, weight_hh, bias_ih, bias_hh)
    if function is flip_update:
        return (params,)
    if function is gru_step:
        return x[0], h_0, params
    if function in (gru_forward, gru_reset_before_forward):
        return x, h_0, params
    forward = gru_forward if function is gru_backward else gru_reset_before_forward
    return doutput, dh_T, forward(x, h_0, params)[2]


def test_mistakes_in_the_exercise_hide_where_they_say():
    rng = np.random.default_rng(3)
    for mutant in OTHER:
        arrays = [np.split(a.copy(), 3, axis=-1) for a in QUESTIONS["q3"].draw(rng)]
        if "zero update gate" in mutant.agrees:
            arrays = [[0 * u, r, n] for u, r, n in arrays]
        if "equal gates" in mutant.agrees:
            arrays = [[u, u, n] for u, _, n in arrays]
        if mutant.agrees == "zero biases":
            arrays[2] = [0 * a for a in arrays[2]]
        given = [np.concatenate(blocks, axis=-1) for blocks in arrays]
        check_parity(mutant.build()(*given)._asdict(), mutant.function(*given)._asdict(), tolerance=0)
        drawn_here = QUESTIONS["q3"].draw(rng)
        with pytest.raises(AssertionError):
            check_parity(
                mutant.build()(*drawn_here)._asdict(), mutant.function(*drawn_here)._asdict(), tolerance=0.01
            )


def test_weights_from_elsewhere_compute_the_same():
    # The library of the question, written out: blocks u, r, candidate; u multiplies the candidate.
    rng = np.random.default_rng(4)
    kernel, recurrent, bias = (rng.normal(size=s) for s in [(D, 3 * H), (H, 3 * H), (2, 3 * H)])
    x, h, _, _, _ = drawn()
    x_u, x_r, x_n = np.split(x[0] @ kernel + bias[0], 3, axis=1)
    h_u, h_r, h_n = np.split(h @ recurrent + bias[1], 3, axis=1)
    u, r = sigmoid(x_u + h_u), sigmoid(x_r + h_r)
    expected = u * np.tanh(x_n + r * h_n) + (1 - u) * h
    check_parity({"h": gru_step(x[0], h, from_other(kernel, recurrent, bias))}, {"h": expected})


def test_wrong_masks_and_level_counts_are_refused():
    with pytest.raises(AssertionError, match="the two forms differ by up to"):
        check("gru.q4", lambda params: np.ones((params.weight_hh.shape[1],) * 2, bool), seed=0)
    with pytest.raises(AssertionError, match="the two forms coincide, but you allow"):
        check("gru.q4", lambda params: np.eye(params.weight_hh.shape[1], dtype=bool), seed=0)
    with pytest.raises(AssertionError, match=r"return bools of shape \(H, H\)"):
        check("gru.q4", lambda params: np.eye(params.weight_hh.shape[1]), seed=0)

    def parts_of_the_bias(params):
        H = params.weight_hh.shape[1]
        rows = np.column_stack([params.weight_ih, params.weight_hh, params.bias_ih, params.bias_hh])[:H]
        return (rows[:, None] == rows).all(axis=2)

    with pytest.raises(AssertionError, match="the two forms coincide, but you allow"):
        check("gru.q4", parts_of_the_bias, seed=0)

    def equal_in(*kept):
        def mask(params):
            H = params.weight_hh.shape[1]
            parts = (*params[:2], (params.bias_ih + params.bias_hh)[:, None])
            rows = np.concatenate([parts[k] for k in kept], axis=1)[:H]
            return (rows[:, None] == rows).all(axis=2)

        return mask

    check("gru.q4", equal_in(0, 1, 2), seed=0)
    for too_little in [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]:
        for seed in range(3):
            with pytest.raises(AssertionError, match="the two forms differ by up to"):
                check("gru.q4", equal_in(*too_little), seed=seed)
    with pytest.raises(AssertionError, match="does not take 2 different values"):
        check("gru.q5", lambda i, dtype: 2, seed=0)
    with pytest.raises(AssertionError, match="return a whole number, got 2.0"):
        check("gru.q5", lambda i, dtype: 2.0, seed=0)

    def rounded_once(i, dtype):
        f, g, c, seen = dtype(1 - i), dtype(i), dtype(0), set()
        while c not in seen:
            seen.add(c)
            c = f * c + g
        return len(seen)

    for seed in range(3):
        with pytest.raises(AssertionError, match="each operation in that precision"):
            check("gru.q5", rounded_once, seed=seed)


def test_starts_and_seeds_of_the_counting_runs():
    relu = CELLS["relu"].init(np.random.default_rng(0), 4, 3)
    assert np.array_equal(relu.weight_hh, np.eye(3)) and not relu.bias_ih.any() and not relu.bias_hh.any()
    plain, biased = (
        init(np.random.default_rng(0), 4, 3)
        for init in (lambda *a: CELLS["lstm"].init(*a, forget_bias=0.0), CELLS["lstm"].init)
    )
    forget = [(p.bias_ih + p.bias_hh)[3:6] for p in (plain, biased)]
    assert np.allclose(forget[1] - forget[0], 1, rtol=0, atol=1e-14)
    runs = [learn("gru", "anbn", seed, H=3, steps=2).params[0].weight_hh for seed in (0, 0, 1)]
    assert np.array_equal(runs[0], runs[1]) and not np.allclose(runs[0], runs[2])


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_twin_on_cuda(dtype):
    layer = torch.nn.GRU(D, H, device="cuda", dtype=dtype)
    twin = GRU(D, H, device="cuda", dtype=dtype)
    twin.load_state_dict(layer.state_dict(), strict=True)
    x = torch.randn(T, B, D, device="cuda", dtype=dtype)
    expected = layer(x)[0].detach().float().cpu()
    # float32: some 1e-7 a step, cuDNN may use TF32; bfloat16 has 8 bits.
    tolerance = 1e-3 if dtype == torch.float32 else 0.05
    check_parity({"output": twin(x)[0].detach().float().cpu()}, {"output": expected}, tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_twin_runs_where_its_tensors_are(dtype):
    # The CPU's share of the case above.
    for reset in ("after", "before"):
        twin = GRU(D, H, reset, device="meta", dtype=dtype)
        output, h_T = twin(torch.empty(T, B, D, device="meta", dtype=dtype))
        assert (output.device.type, output.dtype, tuple(h_T.shape)) == ("meta", dtype, (B, H))
    x, h_0, params, _, _ = drawn()
    twin = layer_of(params, GRU).to(dtype)
    with torch.no_grad():
        output, _ = twin(torch.tensor(x).to(dtype), torch.tensor(h_0).to(dtype))
    expected, _, _ = gru_forward(x, h_0, params)
    # bfloat16 has 8 bits of precision, 2e-3 to 4e-3 an operation, and errors add up over six steps.
    check_parity({"output": output.float()}, {"output": expected}, 1e-6 if dtype == torch.float32 else 0.05)
