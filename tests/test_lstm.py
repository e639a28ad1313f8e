"""The LSTM, its variants and what the chapter measures, against torch, autograd and central differences."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rnncourse.lstm.character as character_module
import rnncourse.lstm.experiment as experiment_module
from rnncourse._numerics import sigmoid
from rnncourse.lstm.character import (
    CharacterModel,
    ablate,
    auc,
    correlations,
    inside_quotes,
    pack,
    probe,
    quote_scores,
    read_text,
    split_text,
    train_characters,
    unpack,
)
from rnncourse.lstm.diagram import draw_cell
from rnncourse.lstm.experiment import (
    LATCH,
    adding_loss,
    copy_loss,
    latch,
    latch_loss,
    new_layer,
    quote_units,
    train_latch,
)
from rnncourse.lstm.explorable import NET, SEQUENCES, compute
from rnncourse.lstm.numpy import (
    LSTMParams,
    forget_bias,
    half_life,
    lstm_backward,
    lstm_forward,
    lstm_init,
    lstm_step,
)
from rnncourse.lstm.torch import LSTM, LSTMFunction, PeepholeLSTM
from rnncourse.lstm.variants import (
    CoupledParams,
    PeepholeParams,
    RelevanceParams,
    coupled_backward,
    coupled_forward,
    coupled_to_lstm,
    peephole_backward,
    peephole_forward,
    relevance_backward,
    relevance_forward,
    variant_init,
)
from rnncourse.rnn.numpy import OutputParams, output_init
from rnncourse.testing import check_gradient, check_parity, relative_error

T, B, D, H = 6, 3, 4, 5  # all different, all above one
ROOT = Path(__file__).parents[1]


def draw_params(rng, cls=LSTMParams, D=D, H=H):
    return lstm_init(rng, D, H) if cls is LSTMParams else variant_init(rng, cls, D, H)


def drawn(cls=LSTMParams, seed=0, T=T):
    """Inputs, state, parameters, and random cotangents for every output."""
    rng = np.random.default_rng(seed)
    x, state = rng.normal(size=(T, B, D)), tuple(rng.normal(size=(2, B, H)))
    return x, state, draw_params(rng, cls), rng.normal(size=(T, B, H)), tuple(rng.normal(size=(2, B, H)))


def by_name(dx, dstate, dparams):
    return {"x": dx, "h_0": dstate[0], "c_0": dstate[1], **dparams._asdict()}


def results(output, state):
    return {"output": output, "h_T": state[0], "c_T": state[1]}


def torch_layer(params, cls=torch.nn.LSTM, dtype=torch.float64, device=None):
    """A layer of class `cls` with these weights, loaded strictly."""
    H, D = params.weight_hh.shape[1], params.weight_ih.shape[1]
    layer = cls(D, H, dtype=dtype, device=device)
    layer.load_state_dict({f"{name}_l0": torch.tensor(p) for name, p in params._asdict().items()})
    return layer


def tensors(arrays, requires_grad=True):
    return [torch.tensor(a, requires_grad=requires_grad) for a in arrays]


def autograd(run, x, state, parameters, doutput, dstate):
    """Results and gradients by autograd of ``run(x, (h_0, c_0)) -> output, (h_T, c_T)``."""
    x, h_0, c_0 = tensors((x, *state))
    output, (h_T, c_T) = run(x, (h_0, c_0))
    names, weights = zip(*parameters.items(), strict=True)
    inputs = {"x": x, "h_0": h_0, "c_0": c_0} | dict(zip(names, weights, strict=True))
    cotangents = tensors((doutput, *dstate), False)
    gradients = torch.autograd.grad((output, h_T, c_T), tuple(inputs.values()), cotangents)
    return results(output.detach(), (h_T.detach(), c_T.detach())), dict(zip(inputs, gradients, strict=True))


def nn_lstm(x, state, params, doutput, dstate):
    """The same from torch.nn.LSTM."""
    layer = torch_layer(params)

    def run(x, state):
        output, (h, c) = layer(x, (state[0][None], state[1][None]))
        return output, (h[0], c[0])

    named = {name.removesuffix("_l0"): p for name, p in layer.named_parameters()}
    return autograd(run, x, state, named, doutput, dstate)


@pytest.mark.equation("lstm-gates")
@pytest.mark.equation("lstm-cell")
@pytest.mark.equation("lstm-hidden")
def test_forward_equals_torch_nn():
    x, state, params, doutput, dstate = drawn()
    expected, _ = nn_lstm(x, state, params, doutput, dstate)
    output, after, _ = lstm_forward(x, state, params)
    check_parity(results(output, after), expected)
    h, c = state
    for x_t, h_t in zip(x, output, strict=True):
        h, c = lstm_step(x_t, (h, c), params)
        check_parity({"h": h}, {"h": h_t})
    check_parity({"c": c}, {"c": expected["c_T"]})


@pytest.mark.equation("lstm-gates")
@pytest.mark.equation("lstm-cell")
@pytest.mark.equation("lstm-hidden")
def test_step_equals_torch_cell():
    x, state, params, _, _ = drawn()
    cell = torch.nn.LSTMCell(D, H, dtype=torch.float64)
    cell.load_state_dict({name: torch.tensor(p) for name, p in params._asdict().items()})
    with torch.no_grad():
        expected = cell(torch.tensor(x[0]), tuple(tensors(state, False)))
    h, c = lstm_step(x[0], state, params)
    check_parity({"h": h, "c": c}, {"h": expected[0], "c": expected[1]})


@pytest.mark.equation("lstm-half")
def test_one_tanh_serves_the_gates():
    # The forward pass computes its gates by the identity, the step by the logistic function itself.
    x, state, params, _, _ = drawn()
    output, _, cache = lstm_forward(x, state, params)
    a = x @ params.weight_ih.T + params.bias_ih + cache.h[:-1] @ params.weight_hh.T + params.bias_hh
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=-1)
    gates = np.concatenate([sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)], axis=-1)
    check_parity({"gates": cache.gates}, {"gates": gates})
    check_parity({"output": output}, {"output": gates[..., 3 * H :] * np.tanh(cache.c[1:])})


@pytest.mark.equation("lstm-dcell")
@pytest.mark.equation("lstm-dgates")
@pytest.mark.equation("lstm-carry")
@pytest.mark.equation("lstm-weights")
def test_backward_equals_autograd():
    x, state, params, doutput, dstate = drawn()
    _, expected = nn_lstm(x, state, params, doutput, dstate)
    _, _, cache = lstm_forward(x, state, params)
    check_parity(by_name(*lstm_backward(doutput, dstate, cache)), expected)


def central_differences(forward, backward, cls):
    x, state, params, doutput, dstate = drawn(cls)
    _, _, cache = forward(x, state, params)

    def loss(x, h_0, c_0, **weights):
        output, (h_T, c_T), _ = forward(x, (h_0, c_0), cls(**weights))
        return (output * doutput).sum() + (h_T * dstate[0]).sum() + (c_T * dstate[1]).sum()

    arguments = by_name(x, state, params)
    check_gradient(loss, arguments, by_name(*backward(doutput, dstate, cache)), tolerance=1e-7)


@pytest.mark.equation("lstm-dcell")
@pytest.mark.equation("lstm-dgates")
@pytest.mark.equation("lstm-carry")
@pytest.mark.equation("lstm-weights")
def test_backward_equals_central_differences():
    central_differences(lstm_forward, lstm_backward, LSTMParams)


@pytest.mark.equation("lstm-peephole-back")
def test_peephole_backward_equals_central_differences():
    central_differences(peephole_forward, peephole_backward, PeepholeParams)


@pytest.mark.equation("lstm-coupled-back")
def test_coupled_backward_equals_central_differences():
    central_differences(coupled_forward, coupled_backward, CoupledParams)


@pytest.mark.equation("lstm-relevance-back")
def test_relevance_backward_equals_central_differences():
    central_differences(relevance_forward, relevance_backward, RelevanceParams)


def test_backward_twice_gives_the_same():
    for forward, backward, cls in PAIRS:
        x, state, params, doutput, dstate = drawn(cls)
        _, _, cache = forward(x, state, params)
        held = [x, *state, *params, doutput, *dstate, cache.h, cache.c, cache.gates]
        before = [a.copy() for a in held]
        first, second = (by_name(*backward(doutput, dstate, cache)) for _ in range(2))
        assert all(np.array_equal(first[name], second[name]) for name in first)
        assert all(np.array_equal(a, b) for a, b in zip(held, before, strict=True))
        owned = list(first.values())
        assert not any(np.shares_memory(a, b) for n, a in enumerate(owned) for b in owned[:n])


PAIRS = [
    (lstm_forward, lstm_backward, LSTMParams),
    (peephole_forward, peephole_backward, PeepholeParams),
    (coupled_forward, coupled_backward, CoupledParams),
    (relevance_forward, relevance_backward, RelevanceParams),
]
SIGMOIDS = {PeepholeParams: "ifgo", CoupledParams: "igo", RelevanceParams: "iforg"}


@pytest.mark.equation("lstm-peephole")
@pytest.mark.equation("lstm-peephole-back")
def test_peephole_equals_autograd_of_the_twin():
    x, state, params, doutput, dstate = drawn(PeepholeParams)
    layer = torch_layer(params, PeepholeLSTM)
    named = {name.removesuffix("_l0"): p for name, p in layer.named_parameters()}
    expected, gradients = autograd(layer, x, state, named, doutput, dstate)
    output, after, cache = peephole_forward(x, state, params)
    check_parity(results(output, after), expected)
    check_parity(by_name(*peephole_backward(doutput, dstate, cache)), gradients)


def plain_variant(cls, x, state, params):
    """A variant written gate by gate, in torch: the oracle of its forward and backward pass."""
    weight_ih, weight_hh, bias_ih, bias_hh = (p.chunk(len(SIGMOIDS[cls])) for p in params)
    (h, c), outputs = state, []
    for x_t in x:

        def act(gate, seen, activation=torch.sigmoid):
            n = SIGMOIDS[cls].index(gate)
            return activation(x_t @ weight_ih[n].T + bias_ih[n] + seen @ weight_hh[n].T + bias_hh[n])  # noqa: B023

        i, o = act("i", h), act("o", h)
        if cls is CoupledParams:
            c = (1 - i) * c + i * act("g", h, torch.tanh)
            h = o * torch.tanh(c)
        else:
            c = act("f", h) * c + i * act("g", act("r", h) * h, torch.tanh)
            h = o * c
        outputs.append(h)
    return torch.stack(outputs), (h, c)


@pytest.mark.equation("lstm-coupled")
@pytest.mark.equation("lstm-coupled-back")
def test_coupled_equals_autograd():
    x, state, params, doutput, dstate = drawn(CoupledParams)
    weights = dict(zip(params._fields, tensors(params), strict=True))

    def run(x, state):
        return plain_variant(CoupledParams, x, state, weights.values())

    expected, gradients = autograd(run, x, state, weights, doutput, dstate)
    output, after, cache = coupled_forward(x, state, params)
    check_parity(results(output, after), expected)
    check_parity(by_name(*coupled_backward(doutput, dstate, cache)), gradients)


@pytest.mark.equation("lstm-coupled")
def test_coupled_cell_is_an_lstm_with_tied_gates():
    x, state, params, _, _ = drawn(CoupledParams)
    tied = coupled_to_lstm(params)
    i, f, g, o = np.split(tied.weight_hh, 4)
    check_parity({"i": i, "f": f}, {"i": params.weight_hh[:H], "f": -params.weight_hh[:H]})
    check_parity({"g": g, "o": o}, {"g": params.weight_hh[H : 2 * H], "o": params.weight_hh[2 * H :]})
    _, _, cache = lstm_forward(x, state, tied)
    assert np.allclose(cache.gates[..., :H] + cache.gates[..., H : 2 * H], 1, rtol=0, atol=1e-14)


@pytest.mark.equation("lstm-relevance")
@pytest.mark.equation("lstm-relevance-back")
def test_relevance_equals_autograd():
    x, state, params, doutput, dstate = drawn(RelevanceParams)
    weights = dict(zip(params._fields, tensors(params), strict=True))

    def run(x, state):
        return plain_variant(RelevanceParams, x, state, weights.values())

    expected, gradients = autograd(run, x, state, weights, doutput, dstate)
    output, after, cache = relevance_forward(x, state, params)
    check_parity(results(output, after), expected)
    check_parity(by_name(*relevance_backward(doutput, dstate, cache)), gradients)


def gru_of_the_cheatsheet(x, h, params):
    """Reset before the product, h = (1 - u) h + u g: the GRU of the table whose LSTM has a relevance gate."""
    u_f_o_r_g = [np.split(p, 5) for p in params]
    for x_t in x:

        def a(n, seen):
            weight_ih, weight_hh, bias_ih, bias_hh = (p[n] for p in u_f_o_r_g)
            return x_t @ weight_ih.T + bias_ih + seen @ weight_hh.T + bias_hh  # noqa: B023

        u, r = sigmoid(a(0, h)), sigmoid(a(3, h))
        h = u * np.tanh(a(4, r * h)) + (1 - u) * h
    return h


@pytest.mark.equation("lstm-relevance")
def test_relevance_cell_contains_the_gru_in_a_limit():
    x, (h_0, _), params, _, _ = drawn(RelevanceParams)
    for p in params:  # W_f = -W_u and b_f = -b_u
        p[H : 2 * H] = -p[:H]
    for bias, bound in ((40, 1e-12), (8, 1e-2)):
        # A sigmoid stays below one, but in float64 that of 40 rounds to one: hence the small bound there.
        params.bias_ih[2 * H : 3 * H] = bias
        _, (h_T, _), _ = relevance_forward(x, (h_0, h_0), params)
        error = relative_error(h_T, gru_of_the_cheatsheet(x, h_0, params))
        assert error < bound and (bias == 40 or error > 1e-5)
    # With W_f = -W_u but a bias of the forget gate of its own it is no GRU.
    params.bias_ih[H : 2 * H] += 1
    _, (h_T, _), _ = relevance_forward(x, (h_0, h_0), params)
    assert relative_error(h_T, gru_of_the_cheatsheet(x, h_0, params)) > 0.05


@pytest.mark.equation("lstm-half-life")
def test_half_life_halves():
    for f in (0.1, 0.5, 0.9, 0.999):
        check_parity({"left": f ** half_life(f)}, {"left": 0.5})
    assert half_life(1.0) == np.inf and half_life(0.0) == 0
    check_parity({"steps": half_life(np.array([0.25, 0.5]))}, {"steps": [0.5, 1]})


@pytest.mark.equation("lstm-bias")
def test_forget_bias_gives_its_half_life():
    for steps in (0.5, 1, 38, 1000):
        check_parity({"steps": half_life(sigmoid(forget_bias(steps)))}, {"steps": steps})
    assert abs(forget_bias(1000) - np.log(1000 / np.log(2))) < 1e-3
    # Far below one step e^r overflows, but b is -r to the last digit.
    check_parity({"b": forget_bias(1e-4)}, {"b": -1e4 * np.log(2)})
    assert forget_bias(np.inf) == np.inf


@pytest.mark.equation("lstm-gates")
@pytest.mark.equation("lstm-cell")
@pytest.mark.equation("lstm-hidden")
@pytest.mark.equation("lstm-dcell")
@pytest.mark.equation("lstm-dgates")
@pytest.mark.equation("lstm-carry")
@pytest.mark.equation("lstm-weights")
def test_twins_equal_torch_nn():
    x, state, params, doutput, dstate = drawn()
    expected, gradients = nn_lstm(x, state, params, doutput, dstate)
    layer = torch_layer(params, LSTM)
    named = {name.removesuffix("_l0"): p for name, p in layer.named_parameters()}
    found, dfound = autograd(layer, x, state, named, doutput, dstate)
    check_parity(found, expected)
    check_parity(dfound, gradients)
    weights = dict(zip(params._fields, tensors(params), strict=True))

    def by_hand(x, state):
        output, h_T, c_T = LSTMFunction.apply(x, *state, *weights.values())
        return output, (h_T, c_T)

    found, dfound = autograd(by_hand, x, state, weights, doutput, dstate)
    check_parity(found, expected)
    check_parity(dfound, gradients)


def test_function_by_hand_passes_gradcheck():
    x, state, params, _, _ = drawn(T=2)
    assert torch.autograd.gradcheck(LSTMFunction.apply, tensors((x, *state, *params)))


def test_weights_travel_both_ways():
    layer = torch.nn.LSTM(D, H, dtype=torch.float64)
    ours = LSTM(D, H, dtype=torch.float64)
    ours.load_state_dict(layer.state_dict(), strict=True)
    x, state, params, _, _ = drawn()
    params = LSTMParams(*(p.detach().numpy() for p in ours.parameters()))
    output, _, _ = lstm_forward(x, state, params)
    back = torch_layer(params)
    with torch.no_grad():
        expected, _ = layer(torch.tensor(x), tuple(s[None] for s in tensors(state, False)))
        again, _ = back(torch.tensor(x), tuple(s[None] for s in tensors(state, False)))
    check_parity({"output": output, "back": again}, {"output": expected, "back": expected})


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.sampled_from(PAIRS), st.integers(0, 2**32 - 1))
def test_a_split_sequence_with_carried_state_is_the_same(cut, pair, seed):
    forward, backward, cls = pair
    x, state, params, doutput, dstate = drawn(cls, seed)
    output, after, cache = forward(x, state, params)
    first, middle, one = forward(x[:cut], state, params)
    second, end, two = forward(x[cut:], middle, params)
    check_parity(results(np.concatenate([first, second]), end), results(output, after))
    whole = by_name(*backward(doutput, dstate, cache))
    dx_2, dmiddle, dparams_2 = backward(doutput[cut:], dstate, two)
    dx_1, dstart, dparams_1 = backward(doutput[:cut], dmiddle, one)
    total = cls(*(a + b for a, b in zip(dparams_1, dparams_2, strict=True)))
    check_parity(by_name(np.concatenate([dx_1, dx_2]), dstart, total), whole)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(B)), st.sampled_from(PAIRS), st.integers(0, 2**32 - 1))
def test_the_order_of_the_batch_does_not_matter(order, pair, seed):
    forward, _, cls = pair
    x, (h_0, c_0), params, _, _ = drawn(cls, seed)
    output, _, _ = forward(x, (h_0, c_0), params)
    permuted, _, _ = forward(x[:, order], (h_0[order], c_0[order]), params)
    check_parity({"output": permuted}, {"output": output[:, order]})


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1), st.integers(1, 60))
def test_a_closed_input_gate_leaves_powers_of_f(f, steps):
    params = LSTMParams(np.zeros((4, 1)), np.zeros((4, 1)), np.zeros(4), np.zeros(4))
    with np.errstate(divide="ignore"):
        params.bias_ih[:2] = -1e3, np.clip(np.log(f) - np.log1p(-f), -1e3, 1e3)
    _, (_, c), _ = lstm_forward(np.ones((steps, 1, 1)), (np.zeros((1, 1)), np.ones((1, 1))), params)
    assert abs(c[0, 0] - f**steps) < 1e-12


def cast(tree, dtype):
    if isinstance(tree, tuple):
        parts = [cast(item, dtype) for item in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return tree.astype(dtype)


def test_dtype_is_kept():
    for forward, backward, cls in PAIRS:
        x, state, params, doutput, dstate = cast(drawn(cls), np.float32)
        output, after, cache = forward(x, state, params)
        found = [output, *after, *by_name(*backward(doutput, dstate, cache)).values()]
        assert {a.dtype for a in found} == {np.dtype(np.float32)}
    x, state, params, _, _ = cast(drawn(), np.float32)
    assert {a.dtype for a in lstm_step(x[0], state, params)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_pre_activations_are_no_trouble(dtype):
    for forward, backward, cls in PAIRS:
        x, state, params, doutput, dstate = cast(drawn(cls), dtype)
        signs = np.where(np.arange(params.bias_ih.size) % 2, 1e4, -1e4)
        output, _, cache = forward(x, state, params._replace(bias_ih=signs.astype(dtype)))
        found = by_name(*backward(doutput, dstate, cache))
        assert np.isfinite(output).all() and all(np.isfinite(a).all() for a in found.values())


def test_messages():
    x, (h_0, c_0), params, doutput, (dh, dc) = drawn()
    _, _, cache = lstm_forward(x, (h_0, c_0), params)
    _, _, coupled, _, _ = drawn(CoupledParams)
    bad = np.where(np.arange(D) == 1, np.nan, x)
    peep = drawn(PeepholeParams)[2]
    cases = [
        (
            lambda: lstm_forward(x[0], (h_0, c_0), params),
            "x must have shape (T, B, D) = (any, any, 4), got (3, 4)",
        ),
        (
            lambda: lstm_forward(x[:0], (h_0, c_0), params),
            "x must have shape (T, B, D) with no size 0, got (0, 3, 4)",
        ),
        (lambda: lstm_forward(x, (h_0.T, c_0), params), "h_0 must have shape (B, H) = (3, 5), got (5, 3)"),
        (lambda: lstm_forward(x, (h_0, c_0[1:]), params), "c_0 must have shape (B, H) = (3, 5), got (2, 5)"),
        (lambda: lstm_forward(bad, (h_0, c_0), params), "x must be finite, got nan or inf"),
        (
            lambda: lstm_forward(x.astype(np.float32), (h_0, c_0), params),
            "h_0 must have the dtype of x, float32, got float64",
        ),
        (lambda: lstm_forward(x.astype(int), (h_0, c_0), params), "x must hold floats, got dtype int64"),
        (
            lambda: lstm_forward(x, (h_0, c_0), coupled),
            "weight_hh must have shape (4H, H) = (20, 5), got (15, 5)",
        ),
        (
            lambda: lstm_forward(x, (h_0, c_0), params._replace(bias_hh=np.zeros(5))),
            "bias_hh must have shape (4H,) = (20,), got (5,)",
        ),
        (
            lambda: coupled_forward(x, (h_0, c_0), params),
            "weight_hh must have shape (3H, H) = (15, 5), got (20, 5)",
        ),
        (
            lambda: relevance_forward(x, (h_0, c_0), params),
            "weight_hh must have shape (5H, H) = (25, 5), got (20, 5)",
        ),
        (
            lambda: peephole_forward(x, (h_0, c_0), peep._replace(weight_ch=np.zeros((4, 5)))),
            "weight_ch must have shape (gates, H) = (3, 5), got (4, 5)",
        ),
        (lambda: lstm_step(x, (h_0, c_0), params), "x_t must have shape (B, D) = (any, any), got (6, 3, 4)"),
        (
            lambda: lstm_backward(doutput[1:], (dh, dc), cache),
            "doutput must have shape (T, B, H) = (6, 3, 5), got (5, 3, 5)",
        ),
        (
            lambda: lstm_backward(doutput, (dh.T, dc), cache),
            "dh_T must have shape (B, H) = (3, 5), got (5, 3)",
        ),
        (
            lambda: lstm_backward(doutput, (dh, dc.T), cache),
            "dc_T must have shape (B, H) = (3, 5), got (5, 3)",
        ),
        (lambda: lstm_backward(doutput, (dh, dc * np.nan), cache), "dc_T must be finite, got nan or inf"),
        (lambda: lstm_init(np.random.default_rng(0), 0, 3), "D must be an integer of at least 1, got 0"),
        (lambda: half_life(1.5), "f must lie in [0, 1], got 1.5"),
        (lambda: forget_bias(0), "steps must be above 0, got 0.0"),
        (
            lambda: LSTM(D, H)(torch.zeros(T, B, D + 1)),
            "x must have shape (T, B, D) = (any, any, 4), got (6, 3, 5)",
        ),
        (
            lambda: PeepholeLSTM(D, H)(torch.zeros(T, B, D), (torch.zeros(B, H), torch.zeros(H, B))),
            "c_0 must have shape (B, H) = (3, 5), got (5, 3)",
        ),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message


def mutant_arguments(function, condition):
    """Arguments on which a mistake hides under `condition`; not all of them zero."""
    steps = 1 if "one step" in condition else T
    rng = np.random.default_rng(7)
    cls = {
        peephole_forward: PeepholeParams,
        peephole_backward: PeepholeParams,
        coupled_backward: CoupledParams,
        relevance_forward: RelevanceParams,
        relevance_backward: RelevanceParams,
    }.get(function, LSTMParams)
    x, (h_0, c_0), params, doutput, (dh, dc) = drawn(cls, 7, steps)
    order = {RelevanceParams: "iforg"}.get(cls, "ifgo")
    names = {"input": "i", "forget": "f", "output": "o", "relevance": "r"}
    kind, _, gate = condition.partition(" ")
    if kind in ("open", "shut"):
        n = order.index(names[gate.removesuffix(" gate")])
        params.bias_ih[n * H : (n + 1) * H] = 1e3 if kind == "open" else -1e3
    if condition == "zero hidden states":
        params.bias_ih[3 * H :] = -1e3
        h_0 = 0 * h_0
    if condition == "equal rows of f and g":
        for p in params:
            p[2 * H : 3 * H] = p[H : 2 * H]
    if condition == "zero candidate, zero cell":
        for p in params:
            p[2 * H : 3 * H] = 0
    if condition == "batch of one":
        x, h_0, c_0, doutput, dh, dc = x[:, :1], h_0[:1], c_0[:1], doutput[:, :1], dh[:1], dc[:1]
    if condition == "two equal sequences, opposite gradients":
        x, doutput = np.repeat(x[:, :1], 2, axis=1), doutput[:, :1] * [[[1], [-1]]]
        h_0, c_0 = (np.repeat(a[:1], 2, axis=0) for a in (h_0, c_0))
        dh, dc = (a[:1] * [[1], [-1]] for a in (dh, dc))
    if condition == "zero bias_hh":
        params = params._replace(bias_hh=0 * params.bias_hh)
    if condition == "zero peepholes":
        params = params._replace(weight_ch=0 * params.weight_ch)
    if "zero cell" in condition:
        c_0 = 0 * c_0
    if condition.startswith("zero state"):
        h_0 = 0 * h_0
    if "no cotangent of h_T" in condition:
        dh = 0 * dh
    if "no cotangent of c_T" in condition:
        dc = 0 * dc
    if function is lstm_step:
        return rng.normal(size=(B, D)), (h_0, c_0), params
    forward = next(forward for forward, backward, _ in PAIRS if function in (forward, backward))
    if function is forward:
        return x, (h_0, c_0), params
    return doutput, (dh, dc), forward(x, (h_0, c_0), params)[2]


def small_model(seed=0, characters=' "abc.'):
    rng = np.random.default_rng(seed)
    V = len(characters)
    return CharacterModel(
        characters, lstm_init(rng, V, H), OutputParams(*(rng.normal(size=s) for s in [(V, H), V]))
    )


def test_a_packed_model_is_the_same_to_half_a_step():
    model = small_model()
    again = unpack(json.loads(json.dumps(pack(model))))
    assert again.characters == model.characters
    for a, b in zip(again.output, model.output, strict=True):
        rows = b if b.ndim == 2 else b[:, None]
        assert (np.abs(np.reshape(a, rows.shape) - rows) <= np.abs(rows).max(1, keepdims=True) / 253).all()
    assert relative_error(again.lstm.weight_hh, model.lstm.weight_hh) < 1 / 253
    assert relative_error(again.lstm.bias_ih, model.lstm.bias_ih + model.lstm.bias_hh) < 1e-6
    assert pack(again) == pack(model)
    assert unpack(pack(model), np.float32).lstm.weight_ih.dtype == np.float32


def test_an_ablated_unit_is_read_by_nobody():
    model, text = small_model(), 'ab "c." a b' * 3
    reading = read_text(model, text)
    for unit in range(H):
        # The reading with the unit's hidden state replaced at every step, written out.
        h, c = np.zeros((2, 1, H))
        x = np.eye(6)[[model.characters.index(character) for character in text]]
        logits = []
        for x_t in x:
            h[:, unit] = 0.3
            h, c = lstm_step(x_t[None], (h, c), model.lstm)
            seen = np.where(np.arange(H) == unit, 0.3, h[0])
            logits.append(model.output.weight @ seen + model.output.bias)
        found = read_text(ablate(model, unit, 0.3), text).log_probability
        expected = np.array(logits) - np.log(np.exp(logits).sum(1, keepdims=True))
        check_parity({"log_probability": found}, {"log_probability": expected})
        assert np.abs(found - reading.log_probability).max() > 1e-6
    with pytest.raises(ValueError, match=r"unit must lie in 0 .. V - 1 = 4, got 5 .. 5"):
        ablate(model, H, 0.0)


def test_readings_of_units():
    text = 'a. "bc." a'
    assert inside_quotes(text).tolist() == [False, False, False, True, True, True, True, False, False, False]
    labels = inside_quotes(text)
    states = np.column_stack([labels, ~labels, np.arange(10) % 2, np.zeros(10)]).astype(float)
    expected = [1, -1, np.corrcoef(labels, np.arange(10) % 2)[0, 1], 0]
    check_parity({"r": correlations(states, labels)}, {"r": expected})
    model = small_model()
    log_p = read_text(model, text).log_probability
    scores = quote_scores(model, text)
    ids = [model.characters.index(character) for character in text]
    assert np.isclose(scores["loss"], -np.mean([log_p[t, ids[t + 1]] for t in range(9)]))
    assert np.isclose(scores["closing"], -log_p[6, 1])
    assert np.isclose(scores["inside"], np.exp(log_p[6, 1]))
    assert np.isclose(scores["outside"], np.exp(log_p[1, 1]))
    assert len(split_text()[1]) > 20_000 and "".join(split_text()).count('"') == 2668


def latch_layer():
    """The explorable's net as a layer of one unit."""
    weight_ih, weight_hh, bias = (np.array(NET[name], float) for name in ("weight_ih", "weight_hh", "bias"))
    return LSTMParams(weight_ih, weight_hh[:, None], bias, np.zeros(4))


def test_the_explorable_runs_the_layer():
    for sequence in SEQUENCES:
        t = np.arange(len(sequence["x"]))
        x = np.stack([sequence["x"], t == sequence["store"], t == sequence["ask"]], axis=1)[:, None]
        zeros = np.zeros((1, 1))
        output, _, cache = lstm_forward(x.astype(float), (zeros, zeros), latch_layer())
        found = compute({"net": NET, **sequence, "gates": {"i": None, "f": None, "o": None}})
        gates = np.array([found[name] for name in "ifgo"]).T
        check_parity({"gates": gates, "h": found["h"]}, {"gates": cache.gates[:, 0], "h": output[:, 0, 0]})
        assert found["error"] < 0.1 and found["leak"] < 0.1
        assert np.isclose(found["own"] + found["noise"], found["c"][sequence["ask"]])
        # By hand, with a gate of one's own: the input gate open at one step, all kept, shown at another.
        hand = {name: [0.0] * len(t) for name in "io"} | {"f": [1.0] * len(t)}
        hand["i"][sequence["store"]] = hand["o"][sequence["ask"]] = 1.0
        found = compute({"net": NET, **sequence, "gates": hand})
        assert abs(found["noise"]) < 1e-12 and found["error"] < 0.15 and found["path"] == 1


def test_the_explorable_net_is_the_recorded_one():
    record = json.loads((ROOT / "book/results/lstm-latch.json").read_text())
    weights = record["weights"]
    assert record["settings"] == LATCH
    assert NET["weight_ih"] == weights["weight_ih"]
    assert np.array_equal(NET["weight_hh"], np.ravel(weights["weight_hh"]))
    assert np.allclose(NET["bias"], np.add(weights["bias_ih"], weights["bias_hh"]), rtol=0, atol=1e-9)
    assert (NET["readout"], NET["readout_bias"]) == (weights["weight"][0][0], weights["bias"][0])
    x, y = latch(np.random.default_rng(5), LATCH["T"], 500)
    zeros = np.zeros((500, 1))
    output, _, _ = lstm_forward(x, (zeros, zeros), latch_layer())
    answers = NET["readout"] * output[..., 0] + NET["readout_bias"]
    assert np.sqrt(((answers - y) ** 2).mean()) < 0.02


def test_new_layers_are_drawn_as_in_torch():
    rng, D, H = np.random.default_rng(0), 400, 25
    for params, gates in [
        (lstm_init(rng, D, H), 4),
        (variant_init(rng, PeepholeParams, D, H), 4),
        (variant_init(rng, RelevanceParams, D, H), 5),
        (LSTMParams(*(p.detach().numpy() for p in LSTM(D, H).parameters())), 4),
    ]:
        assert params.weight_ih.shape == (gates * H, D)
        for p in params:
            assert 0.15 < np.abs(p).max() <= 0.2 * (1 + 1e-6)  # 1 / sqrt(H), not 1 / sqrt(D) = 0.05


def test_biases_are_added_to_their_gates():
    plain, remembering = (lstm_init(np.random.default_rng(3), D, H, b) for b in (0.0, 2.0))
    added = remembering.bias_ih - plain.bias_ih
    expected = np.repeat([0.0, 2.0, 0.0, 0.0], H)
    check_parity({"added": added + 1}, {"added": expected + 1})
    shut = new_layer(np.random.default_rng(3), "4 shut", D, H)
    check_parity({"bias": shut.bias_ih}, {"bias": plain.bias_ih + np.repeat([-4.0, 4.0, 0.0, 0.0], H)})
    assert all(np.array_equal(shut[n], plain[n]) for n in (0, 1, 3))


def test_a_layer_without_a_state_starts_from_zero():
    x = torch.tensor(drawn()[0])
    for cls in (LSTM, PeepholeLSTM):
        layer = cls(D, H, dtype=torch.float64)
        zeros = torch.zeros(B, H, dtype=torch.float64)
        assert torch.equal(layer(x)[0], layer(x, (zeros, zeros))[0])


def test_losses_of_the_tasks():
    rng, (lag, n, V) = np.random.default_rng(0), (3, 2, 4)
    ids = rng.integers(0, V + 2, (lag + 2 * n, B))
    tasks = {
        adding_loss: (2, 1, (rng.normal(size=(T, B, 2)), rng.normal(size=B))),
        latch_loss: (3, 1, latch(rng, T, B)),
        copy_loss: (V + 2, V + 1, (ids, rng.integers(0, V + 1, ids.shape))),
    }
    for loss, (inputs, outputs, batch) in tasks.items():
        lstm, output = lstm_init(rng, inputs, H), output_init(rng, H, outputs)
        value, gradients = loss((lstm, output), batch)

        def of(weight_ih, weight_hh, bias_ih, bias_hh, weight, bias, loss=loss, batch=batch):
            return loss(
                (LSTMParams(weight_ih, weight_hh, bias_ih, bias_hh), OutputParams(weight, bias)), batch
            )[0]

        named = [p._asdict() for p in (lstm, output)]
        found = [g._asdict() for g in gradients]
        check_gradient(of, named[0] | named[1], found[0] | found[1], tolerance=1e-7)
        if loss is copy_loss:
            continue
        x, y = batch
        h, _, _ = lstm_forward(x, (np.zeros((B, H)),) * 2, lstm)
        answers = (h @ output.weight.T + output.bias)[..., 0]
        # Over the batch a mean, over the steps a sum; the adding problem reads the last step only.
        errors = (answers[-1] - y) ** 2 if loss is adding_loss else ((answers - y) ** 2).sum(axis=0)
        check_parity({"loss": value}, {"loss": errors.mean()})


def test_the_first_steps_of_the_latch_are_the_recorded_ones():
    record = json.loads((ROOT / "book/results/lstm-latch.json").read_text())
    assert np.isclose(train_latch(3, steps=100).history.loss.mean(), record["start"][3], rtol=1e-3)


def test_character_training_carries_the_state_and_slows_down(monkeypatch):
    calls = []

    def spy(loss, params, batches, optimiser, *, clip, progress):
        batches = list(batches)
        if not calls:
            (x_1, y_1, first), (x_2, y_2, second) = batches[:2]
            assert first and not second
            loss(params, (x_1, y_1, first))
            apart, _ = loss(params, (x_2, y_2, second))
            # The second half of both batches in one, from zero.
            both = np.concatenate([x_1, x_2]), np.concatenate([y_1, y_2])
            whole, _ = loss(params, (*both, True))
            alone, _ = loss(params, (x_1, y_1, True))
            assert abs(2 * whole - alone - apart) < 1e-5
            assert abs(loss(params, (x_2, y_2, True))[0] - apart) > 1e-5
        calls.append((optimiser.lr, sum(first for _, _, first in batches), clip))
        return type("Trained", (), {"params": params})

    monkeypatch.setattr(character_module, "train", spy)
    monkeypatch.setattr(character_module, "split_text", lambda: ('It was "so", he said. ' * 40, ""))
    model = train_characters(0, H=6, epochs=6, T=8, B=2, lr=0.01)
    assert calls == [(0.01, 4, 1.0), (0.0025, 2, 1.0)]
    assert model.lstm.weight_hh.shape == (24, 6)


def test_quote_units_reads_one_half_and_cuts_on_the_other(monkeypatch):
    halves = ('a "b.c" a. ' * 4, 'a. "c." b' * 3)
    monkeypatch.setattr(experiment_module, "split_text", lambda *arguments: halves)
    model = small_model()
    found, reading = quote_units(model, progress=False), read_text(model, halves[0])
    labels = inside_quotes(halves[0])
    lives = [np.log(0.5) / np.log(f).mean() for f in reading.f.T]
    expected = {
        "correlation": [np.corrcoef(c, labels)[0, 1] for c in reading.c.T],
        "correlation_h": [np.corrcoef(h, labels)[0, 1] for h in reading.h.T],
        "half_life": lives,
        "mean_h": reading.h.mean(axis=0),
    }
    check_parity({name: found[name] for name in expected}, expected)
    assert found["whole"] == quote_scores(model, halves[1])
    for unit in range(H):
        scores = quote_scores(ablate(model, unit, reading.h[:, unit].mean()), halves[1])
        check_parity({name: of[unit] for name, of in found["ablated"].items()}, scores)
    truth = inside_quotes(halves[1])
    right = (probe(reading.c, labels)(read_text(model, halves[1]).c) == truth).mean()
    assert found["probe"]["c"] == right
    assert found["probe"]["base"] == max(truth.mean(), 1 - truth.mean())


def test_auc_counts_pairs():
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 5, 40).astype(float), rng.random(40) < 0.4
    inside, outside = scores[labels][:, None], scores[~labels]
    assert np.isclose(auc(scores, labels), ((inside > outside) + 0.5 * (inside == outside)).mean())
    assert auc(labels.astype(float), labels) == 1 and auc(np.zeros(40), labels) == 0.5


def test_a_probe_finds_what_is_linear():
    rng = np.random.default_rng(0)
    states = rng.normal(size=(400, 3))
    labels = states @ [1.0, -2.0, 0.0] > 0.1
    assert (probe(states[:200], labels[:200])(states[200:]) == labels[200:]).mean() > 0.9


def test_every_stop_counts_in_the_scores():
    model = small_model(characters=' "abc.,?!')
    texts = [f'a{stop} b "c{stop}" a' for stop in ".,?!"]
    for text in texts:
        probabilities = np.exp(read_text(model, text).log_probability[:, 1])
        scores = quote_scores(model, text)
        check_parity(
            {"inside": scores["inside"], "outside": scores["outside"]},
            {"inside": probabilities[7], "outside": probabilities[1]},
        )
        odds = probabilities / (1 - probabilities)
        check_parity({"log_odds": scores["log_odds"]}, {"log_odds": np.log(odds[7] / odds[1])})
        assert scores["auc"] == (probabilities[7] > probabilities[1])


def test_the_leak_is_the_largest_in_size():
    gates = {"i": [1.0] * 3, "f": [1.0] * 3, "o": [1.0] * 3}
    net = NET | {"weight_hh": [0.0] * 4, "weight_ih": [[0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]]}
    net |= {"bias": [0.0] * 4, "readout_bias": 0.0}
    found = compute({"net": net, "x": [-0.8, 0.9, 0.1], "store": 1, "ask": 2, "gates": gates})
    assert found["leak"] == -found["answer"][0] > abs(found["answer"][1])


def test_the_diagram_draws():
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    draw_cell(ax)
    texts = {text.get_text() for text in ax.texts}
    assert {"$c_{t-1}$", "$c_t$", "$h_t$", "+"} <= texts
    plt.close(fig)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype, bound", [(torch.float32, 1e-5), (torch.bfloat16, 5e-2)])
def test_twins_on_cuda(dtype, bound):
    on_device("cuda", dtype, bound)


@pytest.mark.parametrize("dtype, bound", [(torch.float32, 1e-5), (torch.bfloat16, 5e-2)])
def test_twins_in_low_precision(dtype, bound):
    on_device("cpu", dtype, bound)


def on_device(device, dtype, bound):
    """Forward and backward of both twins against float64 of the same, rounded weights."""
    x, state, params, doutput, dstate = drawn()

    def rounded(arrays, kind):
        return [torch.tensor(a, device=device).to(dtype).to(kind) for a in arrays]

    def run(kind, function):
        inputs = [t.requires_grad_() for t in rounded((x, *state, *params), kind)]
        outputs = function(*inputs)
        gradients = torch.autograd.grad(outputs, inputs, rounded((doutput, *dstate), kind))
        return {f"{n}": t.detach().double().cpu() for n, t in enumerate((*outputs, *gradients))}

    def written_out(x, h_0, c_0, *weights):
        layer = LSTM(D, H, device=device, dtype=x.dtype)
        named = dict(zip((f"{name}_l0" for name in params._fields), weights, strict=True))
        output, after = torch.func.functional_call(layer, named, (x, (h_0, c_0)))
        return output, *after

    for function in (LSTMFunction.apply, written_out):
        check_parity(run(dtype, function), run(torch.float64, function), tolerance=bound)
