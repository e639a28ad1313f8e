"""Jacobians through time, initial weights and clipping against autograd, torch.nn and linear algebra."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import torch_rnn

from rnncourse.data.memory import adding
from rnncourse.gradients.exercise import QUESTIONS
from rnncourse.gradients.experiment import (
    PARITY,
    START,
    ClippedByValue,
    classify,
    clipped_parity,
    exploding_run,
    last_state_loss,
    learn_adding,
    learn_recall,
    regress,
    units_on,
)
from rnncourse.gradients.explorable import compute, random_input
from rnncourse.gradients.numpy import (
    activation,
    angle,
    clip_by_norm,
    clip_by_value,
    global_norm,
    identity_init,
    jacobian_products,
    norm_bound,
    orthogonal_init,
    radius_init,
    sigmoid_as_tanh,
    slope,
    spectral_norm,
    spectral_radius,
    step_jacobians,
)
from rnncourse.gradients.torch import clip_by_norm as torch_clip_by_norm
from rnncourse.gradients.torch import clip_by_value as torch_clip_by_value
from rnncourse.gradients.torch import jacobian_products as torch_jacobian_products
from rnncourse.gradients.torch import orthogonal_init as torch_orthogonal_init
from rnncourse.gradients.torch import slope as torch_slope
from rnncourse.grading.check import check
from rnncourse.optim import SGD, Adam
from rnncourse.rnn.numpy import OutputParams, RNNParams, output_init, rnn_forward, rnn_init
from rnncourse.testing import check_parity, numerical_gradient

T, B, D, H = 6, 3, 4, 5  # all different, all above one
NONLINEARITIES = ("tanh", "relu", "sigmoid")
RECURRENT = ("tanh", "relu")


def drawn(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(T, B, D)), rng.normal(size=(B, H)), rnn_init(rng, D, H)


def drawn_gradients(seed=0, size=10.0):
    """Random gradients in the structure of a network's parameters."""
    rng = np.random.default_rng(seed)
    groups = rnn_init(rng, D, H), output_init(rng, H, 2)
    return tuple(type(group)(*(size * rng.normal(size=p.shape) for p in group)) for group in groups)


def leaves(tree):
    return [leaf for group in tree for leaf in group]


def plain_states(x, h, params, nonlinearity):
    """States (T+1, B, H) by the activation of this room: an implementation apart from rnn's, sigmoid too."""
    states = [h]
    for x_t in x:
        a = x_t @ params.weight_ih.T + params.bias_ih + states[-1] @ params.weight_hh.T + params.bias_hh
        states.append(activation(a, nonlinearity))
    return np.stack(states)


@pytest.mark.equation("gradients-activations")
def test_activations_equal_torch():
    a = np.random.default_rng(0).normal(size=(7, 3)) * 5
    for name in NONLINEARITIES:
        check_parity({name: activation(a, name)}, {name: getattr(torch, name)(torch.tensor(a))})


@pytest.mark.equation("gradients-slopes")
def test_slopes_equal_autograd_and_central_differences():
    a = np.random.default_rng(0).normal(size=(7, 3)) * 3
    for name in NONLINEARITIES:
        tensor = torch.tensor(a, requires_grad=True)
        h = getattr(torch, name)(tensor)
        h.sum().backward()
        check_parity({name: slope(activation(a, name), name)}, {name: tensor.grad})
        check_parity({name: torch_slope(h.detach(), name)}, {name: tensor.grad})
        by_difference = numerical_gradient(lambda a, name=name: activation(a, name).sum(), a)
        check_parity({name: slope(activation(a, name), name)}, {name: by_difference}, tolerance=1e-7)


@pytest.mark.equation("gradients-sigmoid")
def test_a_sigmoid_network_is_a_tanh_network():
    x, h_0, params = drawn()
    expected = plain_states(x, h_0, params, "sigmoid")
    disguised = sigmoid_as_tanh(params)
    _, _, cache = rnn_forward(x, 2 * h_0 - 1, disguised)
    check_parity({"h": (1 + cache.h) / 2}, {"h": expected})
    check_parity(
        {"jacobians": step_jacobians(cache.h[1:], disguised.weight_hh, "tanh")},
        {"jacobians": step_jacobians(expected[1:], params.weight_hh, "sigmoid")},
    )


@pytest.mark.equation("gradients-step")
def test_step_jacobians_equal_autograd():
    for name in NONLINEARITIES:
        x, h_0, params = drawn()
        states = plain_states(x, h_0, params, name)
        claimed = step_jacobians(states[1:], params.weight_hh, name)
        weight_ih, weight_hh, bias_ih, bias_hh = map(torch.tensor, params)
        for t in range(T):
            for b in range(B):
                a = weight_ih @ torch.tensor(x[t, b]) + bias_ih + bias_hh

                def step(h, a=a, name=name, weight_hh=weight_hh):
                    return getattr(torch, name)(a + weight_hh @ h)

                expected = torch.autograd.functional.jacobian(step, torch.tensor(states[t, b]))
                check_parity({"jacobian": claimed[t, b]}, {"jacobian": expected})


@pytest.mark.equation("gradients-product")
@pytest.mark.equation("gradients-step")
def test_products_equal_autograd_of_torch_nn():
    for name in RECURRENT:
        x, h_0, params = drawn()
        output, _, _ = rnn_forward(x, h_0, params, name)
        products = jacobian_products(output, params.weight_hh, name)
        twin = torch_jacobian_products(torch.tensor(output), torch.tensor(params.weight_hh), name)
        layer = torch_rnn(params, name)
        for b in range(B):

            def states(h, x=x, b=b, layer=layer):
                return layer(torch.tensor(x[:, b : b + 1]), h[None, None])[0][:, 0]

            expected = torch.autograd.functional.jacobian(states, torch.tensor(h_0[b]))
            check_parity({"products": products[1:, b]}, {"products": expected})
            check_parity({"products": twin[1:, b]}, {"products": expected})
        assert (products[0] == np.eye(H)).all() and (twin[0].numpy() == np.eye(H)).all()


@pytest.mark.equation("gradients-product")
@pytest.mark.equation("gradients-step")
def test_products_equal_central_differences():
    x, h_0, params = drawn()
    output, _, _ = rnn_forward(x, h_0, params)
    v = np.random.default_rng(1).normal(size=(B, H))
    claimed = np.einsum("bi,bij->bj", v, jacobian_products(output, params.weight_hh, "tanh")[-1])
    expected = numerical_gradient(lambda h_0: (rnn_forward(x, h_0, params)[1] * v).sum(), h_0)
    check_parity({"vJ": claimed}, {"vJ": expected}, tolerance=1e-7)
    # The step's Jacobian is the product over one step.
    one = step_jacobians(output, params.weight_hh, "tanh")[0]
    by_step = numerical_gradient(lambda h: (rnn_forward(x[:1], h, params)[1] * v).sum(), h_0)
    check_parity({"vJ": np.einsum("bi,bij->bj", v, one)}, {"vJ": by_step}, tolerance=1e-7)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, T), st.integers(0, 2**32 - 1), st.sampled_from(RECURRENT))
def test_a_product_splits_anywhere_and_sequences_do_not_mix(middle, seed, name):
    x, h_0, params = drawn(seed)
    output, _, _ = rnn_forward(x, h_0, params, name)
    products = jacobian_products(output, params.weight_hh, name)
    if 0 < middle < T:
        later = jacobian_products(output[middle:], params.weight_hh, name)
        check_parity({"split": later[-1] @ products[middle]}, {"split": products[-1]})
    order = np.random.default_rng(seed).permutation(B)
    permuted = jacobian_products(output[:, order], params.weight_hh, name)
    check_parity({"permuted": permuted}, {"permuted": products[:, order]})


@pytest.mark.equation("gradients-norm")
def test_spectral_norm_is_the_largest_stretch():
    rng = np.random.default_rng(3)
    matrices = rng.normal(size=(4, 3, H, 2))
    check_parity(
        {"norm": spectral_norm(matrices)},
        {"norm": np.sqrt(np.linalg.eigvalsh(np.swapaxes(matrices, -1, -2) @ matrices)[..., -1])},
    )
    angles = np.linspace(0, np.pi, 20001)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    stretch = np.linalg.norm(matrices[0, 0] @ circle, axis=0).max()
    check_parity({"stretch": spectral_norm(matrices[0, 0])}, {"stretch": stretch}, tolerance=1e-7)


@pytest.mark.equation("gradients-radius")
def test_spectral_radius_is_what_powers_grow_by():
    rng = np.random.default_rng(4)
    matrix = rng.normal(size=(H, H))
    expected = torch.linalg.eigvals(torch.tensor(matrix)).abs().max()
    check_parity({"radius": np.array(spectral_radius(matrix))}, {"radius": expected})
    growth = np.linalg.norm(np.linalg.matrix_power(matrix / spectral_radius(matrix), 3000), 2) ** (1 / 3000)
    assert abs(growth - 1) < 1e-3
    assert spectral_radius(np.array([[0.5, 10], [0, 0.5]])) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.equation("gradients-bound")
def test_bound_is_reached_by_an_orthogonal_relu_network():
    rng = np.random.default_rng(5)
    lags = np.arange(T + 1)
    # Every unit on, all singular values equal: each step has the norm of the bound.
    params = orthogonal_init(rng, D, H, gain=1.3)
    norms = spectral_norm(jacobian_products(np.ones((T, B, H)), params.weight_hh, "relu"))
    bound = norm_bound(params.weight_hh, "relu", lags)
    check_parity({"bound": np.repeat(bound[:, None], B, 1)}, {"bound": norms})
    quarter = norm_bound(params.weight_hh, "sigmoid", lags)
    check_parity({"bound": quarter}, {"bound": norms[:, 0] / 4.0**lags})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert norm_bound(10 * params.weight_hh, "relu", 1000) == math.inf
    # Over one step with all units on any matrix reaches it, whatever its eigenvalues are.
    skewed = rng.normal(size=(H, H))
    largest = torch.linalg.svdvals(torch.tensor(skewed)).max()
    check_parity({"bound": norm_bound(skewed, "relu", 1)}, {"bound": largest})


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(NONLINEARITIES), st.floats(0.1, 5))
def test_no_product_passes_the_bound(seed, name, scale):
    x, h_0, params = drawn(seed)
    params = params._replace(weight_hh=scale * params.weight_hh)
    states = plain_states(x, h_0, params, name)
    norms = spectral_norm(jacobian_products(states[1:], params.weight_hh, name))
    assert (norms <= norm_bound(params.weight_hh, name, np.arange(T + 1))[:, None] * (1 + 1e-9)).all()


@pytest.mark.equation("gradients-orthogonal")
def test_orthogonal_matrix_keeps_every_length():
    for gain in (1.0, 0.7):
        params = orthogonal_init(np.random.default_rng(6), D, H, gain)
        state = torch_orthogonal_init(D, H, gain, torch.Generator().manual_seed(6), dtype=torch.float64)
        torch.nn.RNN(D, H, dtype=torch.float64).load_state_dict(state, strict=True)
        for weights in (params, RNNParams(*(tensor.numpy() for tensor in state.values()))):
            W = weights.weight_hh
            check_parity({"WtW": W.T @ W}, {"WtW": gain**2 * np.eye(H)})
            assert len(np.unique(W)) > H and not weights.bias_ih.any() and not weights.bias_hh.any()
            assert 0 < np.abs(weights.weight_ih).min() <= np.abs(weights.weight_ih).max() <= H**-0.5
            assert weights.weight_ih.min() < 0 < weights.weight_ih.max()


def test_orthogonal_matrices_have_no_preferred_sign():
    rng = np.random.default_rng(7)
    draws = np.array([orthogonal_init(rng, 1, 3).weight_hh for _ in range(2000)])
    # Mean zero in every element, with a standard error of 1 / sqrt(3 x 2000); without the signs of r, -0.5.
    assert np.abs(draws.mean(0)).max() < 5 / math.sqrt(6000)
    assert (np.linalg.det(draws) > 0).mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.equation("gradients-identity")
def test_identity_matrix_adds_the_input_to_the_state():
    rng = np.random.default_rng(8)
    params = identity_init(rng, D, H, scale=0.9)
    h_0, x = rng.random((B, H)), rng.normal(size=(1, B, D))
    _, h_T, _ = rnn_forward(x, h_0, params, "relu")
    expected = np.maximum(0.9 * h_0 + x[0] @ params.weight_ih.T, 0)
    check_parity({"h": h_T, "W": params.weight_hh}, {"h": expected, "W": 0.9 * np.eye(H)})
    assert 0 < np.abs(params.weight_ih).max() <= H**-0.5
    assert not params.bias_ih.any() and not params.bias_hh.any()


@pytest.mark.equation("gradients-scaled")
def test_scaled_matrix_has_the_radius():
    params = radius_init(np.random.default_rng(9), D, H, radius=1.25)
    radius = torch.linalg.eigvals(torch.tensor(params.weight_hh)).abs().max()
    check_parity({"radius": np.array(1.25)}, {"radius": radius})
    assert spectral_norm(params.weight_hh) > 1.25
    assert 0 < np.abs(params.weight_ih).max() <= H**-0.5
    # Gaussian: of 3,600 elements the mean has a standard error of 1/60, the fourth moment one of 0.16.
    many = radius_init(np.random.default_rng(9), 1, 60).weight_hh
    many = many / many.std()
    assert abs(many.mean()) < 5 / 60 and abs((many**4).mean() - 3) < 0.8
    assert not params.bias_ih.any() and not params.bias_hh.any()


def torch_parameters(gradients):
    """Parameters whose .grad are the gradients."""
    parameters = [torch.zeros(g.shape, dtype=torch.float64) for g in leaves(gradients)]
    for p, g in zip(parameters, leaves(gradients), strict=True):
        p.grad = torch.tensor(g)
    return parameters


@pytest.mark.equation("gradients-clip-norm")
@pytest.mark.equation("gradients-global")
def test_clipping_by_norm_equals_torch():
    for threshold in (1.0, 7.0, 1e4):
        gradients = drawn_gradients()
        clipped, norm = clip_by_norm(gradients, threshold)
        twin, twin_norm = torch_clip_by_norm([torch.tensor(g) for g in leaves(gradients)], threshold)
        parameters = torch_parameters(gradients)
        expected_norm = float(torch.nn.utils.clip_grad_norm_(parameters, threshold))
        # torch divides by the norm plus 1e-6; taken back here, so that the rest is compared to 1e-10.
        undo = (expected_norm + 1e-6) / expected_norm if threshold < expected_norm else 1.0
        expected = {str(i): p.grad * undo for i, p in enumerate(parameters)}
        check_parity({str(i): g for i, g in enumerate(leaves(clipped))}, expected)
        check_parity({str(i): g for i, g in enumerate(twin)}, expected)
        norms = {"norm": np.array(norm), "twin": twin_norm, "alone": np.array(global_norm(gradients))}
        check_parity(norms, dict.fromkeys(norms, np.array(expected_norm)))


@pytest.mark.equation("gradients-clip-value")
def test_clipping_by_value_equals_torch():
    gradients = drawn_gradients()
    parameters = torch_parameters(gradients)
    torch.nn.utils.clip_grad_value_(parameters, 3.0)
    expected = {str(i): p.grad for i, p in enumerate(parameters)}
    check_parity({str(i): g for i, g in enumerate(leaves(clip_by_value(gradients, 3.0)))}, expected)
    twin = torch_clip_by_value([torch.tensor(g) for g in leaves(gradients)], 3.0)
    check_parity({str(i): g for i, g in enumerate(twin)}, expected)


@pytest.mark.equation("gradients-angle")
def test_angles_equal_the_arc_cosine():
    gradients, others = drawn_gradients(1), drawn_gradients(2)
    u, v = (np.concatenate([g.ravel() for g in leaves(tree)]) for tree in (gradients, others))
    cosine = torch.nn.functional.cosine_similarity(torch.tensor(u), torch.tensor(v), dim=0)
    expected = math.degrees(math.acos(float(cosine)))
    check_parity({"angle": np.array(angle(gradients, others))}, {"angle": np.array(expected)})
    # On paper: (1, 100) clipped to (1, 1) stands at 45 degrees; before, at atan(100).
    pair = np.array([1.0, 100.0])
    by_hand = math.degrees(math.atan(100)) - 45
    turned = angle(pair, clip_by_value(pair, 1.0))
    check_parity({"turned": np.array(turned)}, {"turned": np.array(by_hand)})
    assert angle(pair, clip_by_norm(pair, 1.0)[0]) < 1e-13
    assert angle(pair, -pair) == pytest.approx(180)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_clipping_keeps_what_it_should(seed, threshold, size):
    gradients = drawn_gradients(seed, size)
    by_norm, norm = clip_by_norm(gradients, threshold)
    assert global_norm(by_norm) == pytest.approx(min(norm, threshold))
    assert angle(gradients, by_norm) < 1e-6
    again, _ = clip_by_norm(by_norm, threshold)
    assert all(
        np.allclose(a, b, rtol=1e-12, atol=0) for a, b in zip(*map(leaves, (again, by_norm)), strict=True)
    )
    by_value = clip_by_value(gradients, threshold)
    assert max(np.abs(leaf).max() for leaf in leaves(by_value)) <= threshold
    # No element changes its sign, and the gradient turns by less than a right angle.
    pairs = zip(leaves(by_value), leaves(gradients), strict=True)
    assert all((a * b >= 0).all() for a, b in pairs) and angle(gradients, by_value) < 90


def test_norms_that_float32_cannot_square():
    for size in (1e25, 1e-25, 3e-22):
        gradients = (np.full(4, size, np.float32), np.full((2, 6), size, np.float32))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert global_norm(gradients) == pytest.approx(4 * size, rel=1e-6, abs=0)
            clipped, norm = clip_by_norm(gradients, 1.0)
        assert norm == pytest.approx(4 * size, rel=1e-6, abs=0)
        assert global_norm(clipped) == pytest.approx(min(1.0, 4 * size), rel=1e-6, abs=0)
        twin, twin_norm = torch_clip_by_norm([torch.tensor(g) for g in gradients], size)
        assert float(twin_norm) == pytest.approx(4 * size, rel=1e-6, abs=0)
        assert global_norm(tuple(g.numpy() for g in twin)) == pytest.approx(size, rel=1e-6, abs=0)
    zero = np.zeros(3)
    clipped, norm = clip_by_norm(zero, 1.0)
    assert norm == 0 and (clipped == 0).all() and clipped is not zero
    twin, norm = torch_clip_by_norm([torch.zeros(3)], 1.0)
    assert norm == 0 and (twin[0] == 0).all()
    for bad in (math.inf, math.nan):
        twin, norm = torch_clip_by_norm([torch.tensor([bad, 1.0]), torch.ones(2)], 1.0)
        assert norm.isnan() and all(g.isnan().all() for g in twin)
    assert math.isnan(global_norm(np.array([1, np.nan]))) and global_norm(np.array([1, np.inf])) == math.inf


def test_large_preactivations_are_no_trouble():
    a = np.array([-1e4, -40.0, 0, 40, 1e4])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in NONLINEARITIES:
            for dtype in (np.float32, np.float64):
                h = activation(a.astype(dtype), name)
                assert np.isfinite(h).all() and np.isfinite(slope(h, name)).all()
        big = np.full((T, B, D), 1e4), np.zeros((B, H)), rnn_init(np.random.default_rng(0), D, H)
        output, _, _ = rnn_forward(*big)
        assert np.isfinite(jacobian_products(output, big[2].weight_hh, "tanh")).all()


def test_dtype_is_kept_and_arguments_are_not_changed():
    x, h_0, params = drawn()
    x, h_0 = x.astype(np.float32), h_0.astype(np.float32)
    params = RNNParams(*(p.astype(np.float32) for p in params))
    output, _, _ = rnn_forward(x, h_0, params)
    gradients = (params, OutputParams(output[0], output[1, 0]))
    kept = [a.copy() for a in (output, *leaves(gradients))]
    rng = np.random.default_rng(0)
    results = [
        activation(output, "sigmoid"),
        slope(output, "tanh"),
        slope(output, "relu"),
        *sigmoid_as_tanh(params),
        step_jacobians(output, params.weight_hh, "tanh"),
        jacobian_products(output, params.weight_hh, "tanh"),
        spectral_norm(params.weight_hh),
        *orthogonal_init(rng, D, H, dtype=np.float32),
        *identity_init(rng, D, H, dtype=np.float32),
        *radius_init(rng, D, H, dtype=np.float32),
        *leaves(clip_by_norm(gradients, 0.1)[0]),
        *leaves(clip_by_value(gradients, 0.1)),
    ]
    assert {a.dtype for a in results} == {np.dtype(np.float32)}
    assert all(np.array_equal(a, b) for a, b in zip(kept, (output, *leaves(gradients)), strict=True))


def test_messages():
    x, h_0, params = drawn()
    output, _, _ = rnn_forward(x, h_0, params)
    nan = np.array([1.0, np.nan])
    rng = np.random.default_rng(0)
    W = params.weight_hh
    cases = [
        (lambda: activation(np.arange(3), "tanh"), "a must hold floats, got dtype int64"),
        (
            lambda: slope(output, "linear"),
            "nonlinearity must be one of 'tanh', 'relu', 'sigmoid', got 'linear'",
        ),
        (
            lambda: step_jacobians(output[0], W, "tanh"),
            "h must have shape (T, B, H) = (any, any, any), got (3, 5)",
        ),
        (
            lambda: jacobian_products(output, W[:4], "tanh"),
            "weight_hh must have shape (H, H_) = (5, 5), got (4, 5)",
        ),
        (
            lambda: jacobian_products(output.astype(np.float32), W, "tanh"),
            "weight_hh must have the dtype of h, float32, got float64",
        ),
        (lambda: jacobian_products(output[:0], W, "tanh"), "T must be an integer of at least 1, got 0"),
        (lambda: slope(nan, "tanh"), "h must be finite, got nan or inf"),
        (
            lambda: sigmoid_as_tanh(params._replace(weight_hh=W[:, :4])),
            "weight_hh must have shape (H, H_) = (5, 5), got (5, 4)",
        ),
        (lambda: spectral_norm(nan), "matrices must have shape (..., M, N), got (2,)"),
        (lambda: spectral_radius(W[:4]), "matrix must have shape (H, H_) = (any, 4), got (4, 5)"),
        (lambda: norm_bound(W, "tanh", -1), "lags must be integers of at least 0, got -1"),
        (lambda: norm_bound(W, "tanh", 0.5), "lags must be integers of at least 0, got 0.5"),
        (lambda: orthogonal_init(rng, D, H, gain=0), "gain must be a finite number above 0, got 0"),
        (lambda: identity_init(rng, D, 0), "H must be an integer of at least 1, got 0"),
        (lambda: radius_init(rng, D, H, radius=-1.0), "radius must be a finite number above 0, got -1.0"),
        (lambda: clip_by_norm(W, 0), "threshold must be a finite number above 0, got 0"),
        (lambda: clip_by_value(W, math.nan), "threshold must be a finite number above 0, got nan"),
        (lambda: clip_by_norm((params, nan), 1.0), "gradient of 1 must be finite, got nan or inf"),
        (lambda: clip_by_norm(np.array([1, np.inf]), 1.0), "gradients must be finite, got nan or inf"),
        (lambda: clip_by_norm(np.arange(3), 1.0), "gradients must be an array of floats, got int64"),
        (lambda: clip_by_norm((W, [3.0]), 1.0), "gradient of 1 must be an array of floats, got list"),
        (lambda: torch_clip_by_norm([], -1.0), "threshold must be a finite number above 0, got -1.0"),
        (lambda: torch_clip_by_value([], 0), "threshold must be a finite number above 0, got 0"),
        (
            lambda: angle(np.ones((3, 1)), np.ones(3)),
            "others must have the names and shapes of gradients, [('', (3, 1))], got [('', (3,))]",
        ),
        (
            lambda: clip_by_value(params._replace(bias_hh=np.full(H, np.inf)), 1.0),
            "gradient of bias_hh must be finite, got nan or inf",
        ),
        (lambda: clip_by_value(np.arange(3), 1.0), "gradients must be an array of floats, got int64"),
        (lambda: angle(W, 0 * W), "others must not be zero: it has no direction"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message


def test_losses_of_the_experiments_equal_autograd():
    rng = np.random.default_rng(10)
    heads = {
        classify: (rng.integers(0, 3, B), lambda out, y: torch.nn.functional.cross_entropy(out, y)),
        regress: (rng.normal(size=B), lambda out, y: torch.nn.functional.mse_loss(out[:, 0], y)),
    }
    for name in NONLINEARITIES:
        for read, (y, torch_loss) in heads.items():
            x, _, layer = drawn()
            params = layer, output_init(rng, H, 3 if read is classify else 1)
            loss, gradients = last_state_loss(params, (x, y), read, name)
            tensors = [torch.tensor(p, requires_grad=True) for p in leaves(params)]
            weight_ih, weight_hh, bias_ih, bias_hh, weight, bias = tensors
            h = torch.zeros(B, H, dtype=torch.float64)
            for x_t in torch.tensor(x):
                h = getattr(torch, name)(x_t @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh)
            expected = torch_loss(h @ weight.T + bias, torch.tensor(y))
            expected.backward()
            claimed = {str(i): g for i, g in enumerate(leaves(gradients))}
            check_parity(
                claimed | {"loss": np.array(loss)},
                {str(i): p.grad for i, p in enumerate(tensors)} | {"loss": expected.detach()},
            )


def test_experiments_train_what_they_say():
    named = {start: nonlinearity for start, (_, nonlinearity) in START.items()}
    assert named["uniform"] == named["orthogonal"] == named["scaled"] == named["identity, tanh"] == "tanh"
    assert named["identity"] == named["orthogonal, relu"] == named["scaled, relu"] == "relu"
    assert named["uniform, sigmoid"] == "sigmoid"
    # Chance is a half; the bit judged is the one trained.
    for start, optimiser in (("uniform", None), ("uniform, sigmoid", None), ("orthogonal", SGD(0.1))):
        assert learn_recall(0, 2, start, 400, optimiser)[0] > 0.95
    trained = learn_adding(0, 10, "identity", Adam(0.005), 200, 1.0)
    assert trained.history.loss[-20:].mean() < 0.1
    bias = np.array([-1.0, 1.0, 1.0, 0.0])
    assert units_on((RNNParams(np.zeros((4, 2)), np.zeros((4, 4)), bias, 0 * bias),)) == 0.5


def test_experiments_clip():
    unclipped, _ = exploding_run(0, "none", 3)
    for how in ("norm", "value"):
        clipped, turned = exploding_run(0, how, 3)
        assert clipped.history.loss.max() < 10 < 1e4 < unclipped.history.loss.max()
        # The norm recorded is that before clipping, the same at the first step.
        assert clipped.history.gradient_norm[0] == unclipped.history.gradient_norm[0] > 10
        assert len(turned) == (3 if how == "value" else 0) and all(0 < turn < 90 for turn in turned)
    params, gradients, turned = np.zeros(2), np.array([1.0, 100.0]), []
    optimiser = ClippedByValue(SGD(0.5), 1.0, turned)
    after, _ = optimiser.step(params, gradients, optimiser.init(params))
    check_parity({"after": after}, {"after": np.array([-0.5, -0.5])})
    assert turned == [pytest.approx(math.degrees(math.atan(100)) - 45)]


def test_the_parity_curriculum_is_clipped_and_counts_right_answers():
    T, accuracy, _ = clipped_parity(0, steps=200)
    right = accuracy * PARITY["B"]
    assert T.max() > 1 and accuracy.max() == 1 and np.allclose(right, right.round())
    # Gradients of next to nothing teach nothing: not even one bit is learnt.
    T, accuracy, _ = clipped_parity(0, clip=1e-14, steps=200)
    assert T.max() == 1 and np.ptp(accuracy) < 0.5


def test_adding_keeps_float32():
    _, _, layer = drawn()
    layer = RNNParams(*(p.astype(np.float32) for p in rnn_init(np.random.default_rng(0), 2, H)))
    params = layer, OutputParams(*(p.astype(np.float32) for p in output_init(np.random.default_rng(1), H, 1)))
    _, gradients = last_state_loss(
        params, adding(np.random.default_rng(0), T, B, np.float32), regress, "tanh"
    )
    assert {g.dtype for g in leaves(gradients)} == {np.dtype(np.float32)}


def judged(question, answer):
    """None if the answer is right, else what the check says."""
    try:
        QUESTIONS[question].judge(answer, np.random.default_rng(0))
    except AssertionError as error:
        return str(error)


def test_the_check_of_small_eigenvalues():
    def shear(radius, steps, size, times=1.0):
        return np.array([[radius, times * size / (steps * radius ** (steps - 1))], [0, radius]])

    def turned(radius, steps, size):
        q = np.array([[0.8, -0.6], [0.6, 0.8]])
        return q @ shear(radius, steps, size) @ q.T

    for right in (shear, turned, lambda *case: shear(*case, times=1.5)):
        assert judged("q4", right) is None
    wrong = {
        "must have a norm": [
            lambda r, k, s: np.diag([r, r]),
            lambda r, k, s: np.array([[r, s], [0, r]]),
            lambda r, k, s: np.array([[r, 1e12], [0, r]]),
            lambda *case: shear(*case, times=0.9),
        ],
        "the spectral radius must be": [lambda r, k, s: np.diag([s ** (1 / k), r])],
        "return a (2, 2) array": [lambda r, k, s: np.eye(3)],
    }
    for message, answers in wrong.items():
        for answer in answers:
            assert message in judged("q4", answer)


def test_the_check_of_responsive_settings():
    right = [{"lr": 1.0, "eps": 1.0}, {"lr": 1e8, "eps": 1e8}, {"lr": 0.1, "eps": 0.1}]
    for answer in [*right, {"lr": 1.0, "eps": 1.0, "beta1": 0.0}]:
        assert judged("q5", lambda answer=answer: answer) is None
    wrong = [{}, {"lr": 0.01}, {"eps": 1e-3}, {"lr": 1.0, "eps": 0.01}, {"lr": 0.1, "eps": 0.01}]
    for answer in [*wrong, {"eps": 1.0}, {"lr": 1e-3, "beta2": 0.0}, {"rate": 1.0}]:
        assert judged("q5", lambda answer=answer: answer)


def test_the_checks_see_every_edge():
    def slopes(a):
        return 1 - np.tanh(a) ** 2, (a >= 0).astype(a.dtype), slope(activation(a, "sigmoid"), "sigmoid")

    def to_the_threshold(gradients, threshold):
        norm = global_norm(gradients)
        return tuple(threshold / norm * g for g in gradients), norm

    def in_a_list(gradients, threshold):
        clipped, norm = clip_by_norm(gradients, threshold)
        return list(clipped), norm

    for seed in range(5):
        with pytest.raises(AssertionError, match="relu"):
            check("gradients.q1", slopes, seed)
        with pytest.raises(AssertionError, match="smaller norm stay"):
            check("gradients.q3", to_the_threshold, seed)
        with pytest.raises(AssertionError, match="by value"):
            check("gradients.q3", lambda g, c: (clip_by_value(g, c), global_norm(g)), seed)
        with pytest.raises(AssertionError, match="tuple of arrays, got a list"):
            check("gradients.q3", in_a_list, seed)


def test_explorable_computes_singular_values():
    for seed in range(5):
        result = compute(random_input(np.random.default_rng(seed)))
        values = torch.linalg.svdvals(torch.tensor(result["products"], dtype=torch.float64))
        found = {"largest": np.array(result["largest"]), "least": np.array(result["least"])}
        check_parity(found, {"largest": values[:, 0], "least": values[:, 1]})


def products_on(device, dtype):
    """Worst relative error of the twin's products on a device, in a dtype, against float64 in NumPy."""
    x, h_0, params = drawn()
    output, _, _ = rnn_forward(x, h_0, params)
    expected = jacobian_products(output, params.weight_hh, "tanh")
    h, weight_hh = (torch.tensor(a, dtype=dtype, device=device) for a in (output, params.weight_hh))
    products = torch_jacobian_products(h, weight_hh, "tanh")
    clipped, norm = torch_clip_by_norm([products[1], products[2]], 0.5)
    assert products.dtype == clipped[0].dtype == dtype and products.device.type == device
    assert global_norm(tuple(g.double().cpu().numpy() for g in clipped)) == pytest.approx(0.5, rel=0.02)
    return np.abs(products.double().cpu().numpy() - expected).max() / np.abs(expected).max()


def test_twin_in_low_precision():
    assert products_on("cpu", torch.float32) < 1e-5
    assert products_on("cpu", torch.bfloat16) < 0.05  # 8 bits, six steps


@pytest.mark.gpu
def test_twin_on_cuda():
    assert products_on("cuda", torch.float32) < 1e-2  # TF32 products may be on
    assert products_on("cuda", torch.bfloat16) < 0.05


def mutant_arguments(function, condition):
    """Arguments on which a mistake of the room hides under `condition`; not all of them zero."""
    rng = np.random.default_rng(7)
    nonlinearity = "relu" if condition == "all units on" else "tanh"
    h = rng.uniform(-1, 1, (1 if condition == "one step" else T, B, H))
    if condition.startswith("zero states"):
        h = 0 * h
    if condition == "equal slopes":
        h = np.sign(h) / 3
    if condition == "all units on":
        h = np.abs(h) + 0.1
    W = rng.normal(size=(H, H))
    if condition.endswith("symmetric weight_hh"):
        W = W + W.T
    if condition == "rank one":
        W = np.outer(W[0], W[1])
    gradients = {
        "one array": (10 * rng.normal(size=(3, 2)),),
        "no negative element": tuple(np.abs(g) for g in leaves(drawn_gradients())),
    }.get(condition, drawn_gradients())
    threshold = 1e4 if condition == "norm below the threshold" else 1.5
    params = rnn_init(rng, D, H)
    if condition == "rows that sum to zero":
        params = params._replace(weight_hh=W - W.mean(axis=1, keepdims=True))
    return {
        slope: (h, nonlinearity),
        step_jacobians: (h, W, nonlinearity),
        jacobian_products: (h, W, nonlinearity),
        norm_bound: (W, nonlinearity, np.arange(4)),
        clip_by_norm: (gradients, threshold),
        clip_by_value: (gradients, threshold),
        sigmoid_as_tanh: (params,),
    }[function]
