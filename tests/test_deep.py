"""Stacks and directions against torch.nn with packing, central differences and one another."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnncourse.deep.exercise import QUESTIONS, run_over_padding, run_over_padding_backward
from rnncourse.deep.experiment import (
    DEPTH,
    DROPOUT,
    SYMBOLS,
    Batch,
    learn_again,
    learn_depth,
    learn_with_dropout,
    logits_of,
    network,
    tales,
    will_come_again,
)
from rnncourse.deep.numpy import (
    count_paths,
    deep_backward,
    deep_forward,
    deep_init,
    drop_recurrent,
    dropout_mask,
    from_state_dict,
    parameter_count,
    reverse_sequences,
    to_state_dict,
)
from rnncourse.deep.torch import DeepRNN, VariationalDropout, run_packed
from rnncourse.grading.check import check
from rnncourse.rnn.numpy import RNNParams, rnn_forward
from rnncourse.testing import check_gradient, check_parity

T, B, D, H = 6, 4, 3, 5  # all different, all above one
LENGTHS = np.array([3, 6, 1, 3])  # unsorted, one repeated, one of a single step
CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
FORMS = list(itertools.product(CELLS, (1, 2, 3), (False, True), (None, LENGTHS)))


def drawn(cell, layers, bidirectional, seed=0, T=T):
    """Inputs, states, parameters, and random cotangents for every output; states as tuples of arrays."""
    rng = np.random.default_rng(seed)
    directions = 1 + bidirectional
    x, doutput = rng.normal(size=(T, B, D)), rng.normal(size=(T, B, directions * H))
    shape = (1 + (cell == "lstm"), layers * directions, B, H)
    state, dstate = tuple(rng.normal(size=shape)), tuple(rng.normal(size=shape))
    return x, state, deep_init(rng, cell, D, H, layers, bidirectional), doutput, dstate


def bare(state):
    """The only array of a tuple of one, as torch.nn and the package have states of cells without c."""
    return state if len(state) == 2 else state[0]


def states(name, state):
    return dict(
        zip((f"h_{name}", f"c_{name}"), state if isinstance(state, tuple) else (state,), strict=False)
    )


def torch_layer(params, cell, layers, bidirectional, **options):
    layer = CELLS[cell](D, H, layers, bidirectional=bidirectional, dtype=torch.float64, **options)
    layer.load_state_dict({n: torch.tensor(p) for n, p in to_state_dict(params).items()}, strict=True)
    return layer


def reference(x, state, params, doutput, dstate, form):
    """Outputs, final states and every gradient by name, from torch.nn with packing."""
    cell, layers, bidirectional, lengths = form
    layer = torch_layer(params, cell, layers, bidirectional)
    x = torch.tensor(x, requires_grad=True)
    initial = tuple(torch.tensor(s, requires_grad=True) for s in state)
    if lengths is None:
        output, final = layer(x, bare(initial))
    else:
        packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
        output, final = layer(packed, bare(initial))
        output, _ = pad_packed_sequence(output, total_length=len(x))
    final = final if isinstance(final, tuple) else (final,)
    torch.autograd.backward((output, *final), [torch.tensor(d) for d in (doutput, *dstate)])
    gradients = {"x": x.grad, **states(0, tuple(s.grad for s in initial))}
    gradients |= {name: p.grad for name, p in layer.named_parameters()}
    return {"output": output.detach(), **states("T", tuple(f.detach() for f in final))}, gradients


@pytest.mark.equation("deep-stack")
@pytest.mark.equation("deep-bidirectional")
def test_forward_equals_torch_nn_with_packing():
    for form in FORMS:
        x, state, params, doutput, dstate = drawn(*form[:3])
        output, final, _ = deep_forward(x, bare(state), params, form[3])
        expected, _ = reference(x, state, params, doutput, dstate, form)
        check_parity({"output": output, **states("T", final)}, expected)


@pytest.mark.equation("deep-backward")
def test_backward_equals_autograd_of_torch_nn_with_packing():
    for form in FORMS:
        x, state, params, doutput, dstate = drawn(*form[:3])
        _, _, cache = deep_forward(x, bare(state), params, form[3])
        dx, dfirst, dparams = deep_backward(doutput, bare(dstate), cache)
        _, expected = reference(x, state, params, doutput, dstate, form)
        check_parity({"x": dx, **states(0, dfirst), **to_state_dict(dparams)}, expected)


@pytest.mark.equation("deep-backward")
@pytest.mark.equation("deep-dropout")
def test_backward_with_dropout_equals_central_differences():
    for cell in CELLS:
        with_dropout_equals_central_differences(cell)


def with_dropout_equals_central_differences(cell):
    x, state, params, doutput, dstate = drawn(cell, 2, True, T=3)
    lengths = np.array([3, 1, 2, 2])
    masks = [dropout_mask(np.random.default_rng(1), (3, B, 2 * H), 0.6)]

    def loss(x, **more):
        named = to_state_dict(params)
        weights = from_state_dict(named | {name: a for name, a in more.items() if name in named})
        first = bare(tuple(more[name] for name in states(0, state)))
        output, final, _ = deep_forward(x, first, weights, lengths, masks)
        ends = zip(states("T", final).values(), dstate, strict=True)
        return (output * doutput).sum() + sum((f * d).sum() for f, d in ends)

    _, _, cache = deep_forward(x, bare(state), params, lengths, masks)
    dx, dfirst, dparams = deep_backward(doutput, bare(dstate), cache)
    names = ["weight_ih_l1", "weight_hh_l0_reverse", "bias_ih_l1_reverse"]
    some = {name: to_state_dict(params)[name] for name in names}
    claimed = {"x": dx, **states(0, dfirst), **{n: to_state_dict(dparams)[n] for n in names}}
    check_gradient(loss, {"x": x, **states(0, state), **some}, claimed, tolerance=1e-7)


@pytest.mark.equation("deep-stack")
def test_dropout_stands_where_torch_nn_has_it():
    # torch.nn draws its own masks; dropping everything needs none. The last layer's output is not dropped.
    for cell in CELLS:
        x, state, params, _, _ = drawn(cell, 3, True)
        layer = torch_layer(params, cell, 3, True, dropout=1.0).train()
        with torch.no_grad():
            expected, _ = layer(torch.tensor(x), bare(tuple(map(torch.tensor, state))))
        output, _, _ = deep_forward(x, bare(state), params, None, [np.zeros((1, B, 2 * H))] * 2)
        check_parity({"output": output}, {"output": expected})


@pytest.mark.equation("deep-stack")
@pytest.mark.equation("deep-dropout")
def test_dropout_on_the_way_up_equals_layer_by_layer():
    x, state, params, _, _ = drawn("gru", 3, False)
    rng = np.random.default_rng(2)
    masks = [dropout_mask(rng, (T, B, H), 0.7), dropout_mask(rng, (1, B, H), 0.4)]
    assert set(np.unique(masks[0] * 0.7)) == set(np.unique(masks[1] * 0.4)) == {0.0, 1.0}
    output, _, _ = deep_forward(x, bare(state), params, LENGTHS, masks)
    h = torch.tensor(x)
    for k in range(3):
        layer = nn.GRU(h.shape[-1], H, dtype=torch.float64)
        layer.load_state_dict({f"{n}_l0": torch.tensor(p) for n, p in params[k][0]._asdict().items()})
        packed = pack_padded_sequence(h, torch.tensor(LENGTHS), enforce_sorted=False)
        with torch.no_grad():
            h = pad_packed_sequence(layer(packed, torch.tensor(state[0][k])[None])[0], total_length=T)[0]
        top = h
        if k < 2:
            h = h * torch.tensor(masks[k])
    check_parity({"output": output}, {"output": top})


@pytest.mark.equation("deep-dropout")
def test_masks_have_mean_one_and_the_right_variance():
    for keep in (0.25, 0.5, 0.9, 1.0):
        mask = dropout_mask(np.random.default_rng(3), (400, 500), keep)
        sd = np.sqrt((1 - keep) / keep)
        # Six standard errors of a mean of 200,000, fixed beforehand; at keep = 1 the mask is exactly 1.
        assert abs(mask.mean() - 1) <= 6 * sd / np.sqrt(mask.size)
        assert {float(v) for v in np.unique(mask)} <= {0.0, 1 / keep}
        assert (mask > 0).any() and (keep == 1 or (mask == 0).any())


@pytest.mark.equation("deep-dropout")
def test_twin_drops_the_same_units_at_all_steps():
    module, x = VariationalDropout(0.4), torch.ones(T, 50, 40, dtype=torch.float64)
    dropped = module(x, torch.Generator().manual_seed(0))
    assert (dropped == dropped[:1]).all()
    assert len(np.unique(dropped[0].numpy(), axis=0)) == 50  # a mask for each sequence
    check_parity({"values": dropped.unique()}, {"values": np.array([0, 1 / 0.6])})
    assert abs(dropped[0].mean() - 1) < 6 * np.sqrt(0.4 / 0.6 / 2000)
    assert module.eval()(x) is x
    for p in (0.01, 0.05, 0.99):
        dropped = VariationalDropout(p)(x[:1].expand(T, 50, 40), torch.Generator().manual_seed(0))
        check_parity({"values": dropped.unique()}, {"values": np.array([0, 1 / (1 - p)])})
        assert abs((dropped == 0).double().mean() - p) < 6 * np.sqrt(p * (1 - p) / 2000)


@pytest.mark.equation("deep-variational")
def test_folded_masks_equal_masks_in_the_loop():
    # The oracle drops the state that each step reads, with torch's cells, and differentiates.
    cells = {"rnn": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}
    for cell in ("rnn", "lstm"):
        x, state, params, doutput, _ = drawn(cell, 1, False)
        mask = dropout_mask(np.random.default_rng(4), H, 0.6)
        one = cells[cell](D, H, dtype=torch.float64)
        one.load_state_dict({n: torch.tensor(p) for n, p in params[0][0]._asdict().items()})
        h, *c = (torch.tensor(s[0]) for s in state)
        outputs = []
        for x_t in torch.tensor(x):
            read = h * torch.tensor(mask)
            h, *c = one(x_t, (read, *c)) if c else (one(x_t, read),)
            outputs.append(h)
        torch.stack(outputs).backward(torch.tensor(doutput))
        output, _, cache = deep_forward(x, bare(state), drop_recurrent(params, [[mask]]))
        _, _, dparams = deep_backward(doutput, None, cache)
        check_parity({"output": output}, {"output": torch.stack(outputs).detach()})
        gradients = drop_recurrent(dparams, [[mask]])[0][0]._asdict()
        check_parity(gradients, {name: p.grad for name, p in one.named_parameters()})


@pytest.mark.equation("deep-variational")
def test_a_gru_drops_what_its_gates_read_and_not_what_they_keep():
    x, state, params, _, _ = drawn("gru", 1, False)
    mask = dropout_mask(np.random.default_rng(5), H, 0.6)
    dropped = drop_recurrent(params, [[mask]])
    output, _, _ = deep_forward(x, bare(state), dropped)
    p, h = params[0][0], state[0][0]
    for t in range(T):
        a_ih, a_hh = x[t] @ p.weight_ih.T + p.bias_ih, (h * mask) @ p.weight_hh.T + p.bias_hh
        r, z = (1 / (1 + np.exp(-(a_ih + a_hh)[:, k * H : (k + 1) * H])) for k in (0, 1))
        n = np.tanh(a_ih[:, 2 * H :] + r * a_hh[:, 2 * H :])
        h = (1 - z) * n + z * h
        check_parity({"h": output[t]}, {"h": h})


@pytest.mark.equation("deep-reverse")
def test_reversed_sequences_equal_slices():
    x = np.random.default_rng(6).normal(size=(T, B, D))
    reversed_x = reverse_sequences(x, LENGTHS)
    for b, n in enumerate(LENGTHS):
        check_parity({"real": reversed_x[:n, b]}, {"real": x[:n, b][::-1]})
        check_parity({"padding": reversed_x[n:, b]}, {"padding": x[n:, b]})
    assert np.array_equal(reverse_sequences(reversed_x, LENGTHS), x)


@pytest.mark.equation("deep-paths")
def test_paths_equal_gradients_of_a_network_of_ones():
    # One unit, weights 1, ReLU on positive numbers: the gradient of an output by an input counts the ways.
    for direction, bidirectional in (("forward", False), ("bidirectional", True)):
        for layers in (1, 2, 4):
            params = deep_init(np.random.default_rng(0), "rnn", 1, 1, layers, bidirectional)
            ones = tuple(
                tuple(RNNParams(p.weight_ih**0, p.weight_hh**0, 0 * p.bias_ih, 0 * p.bias_hh) for p in layer)
                for layer in params
            )
            output, _, cache = deep_forward(np.ones((T, T, 1)), None, ones, None, None, "relu")
            dx, _, _ = deep_backward(np.eye(T)[..., None] * np.ones(output.shape), None, cache)
            check_parity({"paths": count_paths(T, layers, direction)}, {"paths": dx[..., 0].T})


@pytest.mark.equation("deep-paths")
def test_alternating_paths_equal_enumeration():
    for layers in (1, 2, 3):
        counted = np.zeros((4, 4))
        for walk in itertools.product(range(4), repeat=layers + 1):
            steps = zip(walk, walk[1:], strict=False)
            counted[walk[-1], walk[0]] += all(
                (a <= b) if k % 2 == 0 else (a >= b) for k, (a, b) in enumerate(steps)
            )
        check_parity({"paths": count_paths(4, layers, "alternating")}, {"paths": counted})
    check_parity({"paths": count_paths(4, 2, "backward")}, {"paths": count_paths(4, 2, "forward").T})


def test_parameters_are_as_many_as_torch_nn_has():
    for cell, layers, bidirectional in itertools.product(CELLS, (1, 2, 3), (False, True)):
        layer = CELLS[cell](D, H, layers, bidirectional=bidirectional, device="meta")
        assert parameter_count(cell, D, H, layers, bidirectional) == sum(
            p.numel() for p in layer.parameters()
        )


def test_state_dicts_go_both_ways():
    for cell, layers, bidirectional in itertools.product(CELLS, (1, 3), (False, True)):
        layer = CELLS[cell](D, H, layers, bidirectional=bidirectional, dtype=torch.float64)
        named = to_state_dict(from_state_dict(layer.state_dict()))
        assert list(named) == list(layer.state_dict())
        assert all(np.array_equal(named[n], w) for n, w in layer.state_dict().items())


@pytest.mark.equation("deep-bidirectional")
def test_packed_twin_equals_the_reference():
    for cell, layers, bidirectional in itertools.product(CELLS, (1, 2), (False, True)):
        x, state, params, _, _ = drawn(cell, layers, bidirectional)
        output, final, _ = deep_forward(x, bare(state), params, LENGTHS)
        layer = torch_layer(params, cell, layers, bidirectional)
        tensors = torch.tensor(x), torch.tensor(LENGTHS), bare(tuple(map(torch.tensor, state)))
        with torch.no_grad():
            twin_output, twin_final = run_packed(layer, *tensors)
        check_parity(
            {"output": twin_output, **states("T", twin_final)}, {"output": output, **states("T", final)}
        )


@pytest.mark.equation("deep-stack")
def test_stack_of_layers_loads_torch_nn_and_equals_the_reference():
    for cell in CELLS:
        x, _, params, _, _ = drawn(cell, 3, True)
        stack = DeepRNN(cell, D, H, 3, bidirectional=True, dtype=torch.float64)
        stack.load_torch_nn(torch_layer(params, cell, 3, True).state_dict())
        with torch.no_grad():
            output = stack(torch.tensor(x), torch.tensor(LENGTHS))
        check_parity({"output": output}, {"output": deep_forward(x, None, params, LENGTHS)[0]})


def test_stack_with_variational_dropout_equals_the_reference_with_its_masks():
    x, _, params, _, _ = drawn("lstm", 3, True)
    stack = DeepRNN("lstm", D, H, 3, True, VariationalDropout(0.5), dtype=torch.float64)
    stack.load_torch_nn(torch_layer(params, "lstm", 3, True).state_dict())
    torch.manual_seed(1)
    ones = torch.ones(1, B, 2 * H, dtype=torch.float64)
    masks = [VariationalDropout(0.5)(ones).numpy() for _ in range(2)]
    torch.manual_seed(1)
    with torch.no_grad():
        output = stack(torch.tensor(x), torch.tensor(LENGTHS))
    check_parity({"output": output}, {"output": deep_forward(x, None, params, LENGTHS, masks)[0]})


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(sorted(CELLS)), st.integers(1, 3), st.booleans(), st.integers(0, 2**32 - 1))
def test_each_sequence_is_as_if_alone(cell, layers, bidirectional, seed):
    x, state, params, _, _ = drawn(cell, layers, bidirectional, seed)
    lengths = np.random.default_rng(seed).integers(1, T + 1, B)
    output, final, _ = deep_forward(x, bare(state), params, lengths)
    for b, n in enumerate(lengths):
        alone = tuple(s[:, b : b + 1] for s in state)
        expected, last, _ = deep_forward(x[:n, b : b + 1], bare(alone), params)
        own = states("T", tuple(f[:, b : b + 1] for f in (final if isinstance(final, tuple) else (final,))))
        check_parity({"output": output[:n, b : b + 1], **own}, {"output": expected, **states("T", last)})
        assert not output[n:, b].any()


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(sorted(CELLS)), st.integers(1, T - 1), st.integers(0, 2**32 - 1))
def test_one_direction_may_be_split_with_its_state_carried(cell, split, seed):
    x, state, params, _, _ = drawn(cell, 3, False, seed)
    output, final, _ = deep_forward(x, bare(state), params)
    first, middle, _ = deep_forward(x[:split], bare(state), params)
    second, last, _ = deep_forward(x[split:], middle, params)
    check_parity(
        {"output": np.concatenate([first, second]), **states("T", last)},
        {"output": output, **states("T", final)},
    )


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(B)), st.sampled_from(sorted(CELLS)))
def test_permuting_the_batch_commutes(order, cell):
    x, state, params, doutput, dstate = drawn(cell, 2, True)
    output, _, cache = deep_forward(x, bare(state), params, LENGTHS)
    dx, _, dparams = deep_backward(doutput, bare(dstate), cache)
    moved = tuple(s[:, order] for s in state), tuple(s[:, order] for s in dstate)
    output_p, _, cache = deep_forward(x[:, order], bare(moved[0]), params, LENGTHS[order])
    dx_p, _, dparams_p = deep_backward(doutput[:, order], bare(moved[1]), cache)
    check_parity(
        {"output": output_p, "dx": dx_p, **to_state_dict(dparams_p)},
        {"output": output[:, order], "dx": dx[:, order], **to_state_dict(dparams)},
    )


def test_padding_may_hold_anything():
    x, state, params, doutput, dstate = drawn("lstm", 2, True)
    spoilt_x, spoilt_doutput = x.copy(), doutput.copy()
    for b, n in enumerate(LENGTHS):
        spoilt_x[n:, b], spoilt_doutput[n:, b] = np.nan, np.inf
    results = []
    for given_x, given_doutput in ((x, doutput), (spoilt_x, spoilt_doutput)):
        output, final, cache = deep_forward(given_x, state, params, LENGTHS)
        dx, dfirst, dparams = deep_backward(given_doutput, dstate, cache)
        results.append([output, *final, dx, *dfirst, *to_state_dict(dparams).values()])
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def test_dtype_is_kept_and_arguments_are_not_changed():
    for cell in CELLS:
        x, state, params, doutput, dstate = drawn(cell, 2, True)
        x, doutput = x.astype(np.float32), doutput.astype(np.float32)
        state, dstate = (tuple(a.astype(np.float32) for a in s) for s in (state, dstate))
        params = from_state_dict({n: p.astype(np.float32) for n, p in to_state_dict(params).items()})
        masks = [dropout_mask(np.random.default_rng(0), (1, B, 2 * H), 0.5, np.float32)]
        given_arrays = [x, *state, doutput, *dstate, *masks, *to_state_dict(params).values()]
        kept = [a.copy() for a in given_arrays]
        output, final, cache = deep_forward(x, bare(state), params, LENGTHS, masks)
        dx, dfirst, dparams = deep_backward(doutput, bare(dstate), cache)
        drop_recurrent(params, [[np.ones(H, np.float32)] * 2] * 2)
        results = [output, dx, *states("T", final).values(), *states(0, dfirst).values()]
        results += to_state_dict(dparams).values()
        assert {a.dtype for a in results} == {np.dtype(np.float32)}
        assert all(np.array_equal(a, b) for a, b in zip(kept, given_arrays, strict=True))


def test_float32_is_kept_where_states_lengths_and_masks_are_left_out():
    for cell in CELLS:
        x, _, params, doutput, _ = drawn(cell, 2, True)
        params = from_state_dict({n: p.astype(np.float32) for n, p in to_state_dict(params).items()})
        output, final, cache = deep_forward(x.astype(np.float32), None, params)
        dx, dfirst, dparams = deep_backward(doutput.astype(np.float32), None, cache)
        results = [output, dx, *states("T", final).values(), *states(0, dfirst).values()]
        results += to_state_dict(dparams).values()
        assert {a.dtype for a in results} == {np.dtype(np.float32)}
    assert dropout_mask(np.random.default_rng(0), 3, 0.5, np.float32).dtype == np.float32


def test_lengths_may_be_a_list():
    x, state, params, _, _ = drawn("gru", 2, True)
    output, _, _ = deep_forward(x, None, params, LENGTHS)
    assert np.array_equal(deep_forward(x, None, params, LENGTHS.tolist())[0], output)
    assert np.array_equal(reverse_sequences(x, LENGTHS.tolist()), reverse_sequences(x, LENGTHS))
    with torch.no_grad():
        twin, _ = run_packed(torch_layer(params, "gru", 2, True), torch.tensor(x), LENGTHS.tolist())
    check_parity({"output": twin}, {"output": output})


def test_large_numbers_give_no_warning_and_no_nan():
    for cell in CELLS:
        x, state, params, doutput, dstate = drawn(cell, 2, True)
        output, _, cache = deep_forward(1e4 * x, bare(state), params, LENGTHS)
        dx, _, _ = deep_backward(doutput, bare(dstate), cache)
        assert np.isfinite(output).all() and np.isfinite(dx).all()


def test_without_states_they_are_zero():
    x, state, params, doutput, dstate = drawn("lstm", 2, True)
    output, _, cache = deep_forward(x, None, params, LENGTHS)
    expected, _, zero_cache = deep_forward(x, tuple(0 * s for s in state), params, LENGTHS)
    dx, _, _ = deep_backward(doutput, None, cache)
    zero_dx, _, _ = deep_backward(doutput, tuple(0 * s for s in dstate), zero_cache)
    assert np.array_equal(output, expected) and np.array_equal(dx, zero_dx)


def test_messages():
    x, state, params, doutput, dstate = drawn("lstm", 2, True)
    _, _, cache = deep_forward(x, state, params, LENGTHS)
    named = to_state_dict(params)
    spoilt = x.copy()
    spoilt[0, 0] = np.nan
    gru = deep_init(np.random.default_rng(0), "gru", D, H, 2)
    wrong = ((params[0][0], params[0][1]), (params[0][0], params[0][1]))
    cases = [
        (
            lambda: deep_forward(x[:0], state, params),
            "x must have shape (T, B, D) with no size 0, got (0, 4, 3)",
        ),
        (
            lambda: deep_forward(x[:, :0], None, params),
            "x must have shape (T, B, D) with no size 0, got (6, 0, 3)",
        ),
        (
            lambda: deep_forward(x, state, params, LENGTHS, [np.ones((T, B, 2 * H), np.float32)]),
            "masks[0] must have the dtype of x, float64, got float32",
        ),
        (
            lambda: deep_forward(x, state, params, LENGTHS, [np.ones((T, B, 2 * H), int)]),
            "masks[0] must hold floats, got dtype int64",
        ),
        (
            lambda: deep_forward(x, state, params, LENGTHS, [np.full((1, B, 2 * H), np.nan)]),
            "masks[0] must be finite, got nan or inf",
        ),
        (
            lambda: deep_backward(doutput.astype(np.float32), None, cache),
            "doutput must have the dtype of params, float64, got float32",
        ),
        (
            lambda: deep_backward(np.full_like(doutput, np.nan), None, cache),
            "doutput must be finite, got nan or inf",
        ),
        (
            lambda: deep_backward(doutput, (dstate[0], dstate[1].astype(np.float32)), cache),
            "dc_T must have the dtype of params, float64, got float32",
        ),
        (
            lambda: deep_backward(doutput, (np.inf * dstate[0], dstate[1]), cache),
            "dh_T must be finite, got nan or inf",
        ),
        (
            lambda: reverse_sequences(x[:, :0], LENGTHS[:0]),
            "x must have shape (T, B, ...) with T and B at least 1, got (6, 0, 3)",
        ),
        (
            lambda: deep_forward(x[0], state, params),
            "x must have shape (T, B, D) = (any, any, 3), got (4, 3)",
        ),
        (
            lambda: deep_forward(x, state, params, np.array([3, 0, 1, 3])),
            "lengths must lie in 1 .. T = 6, got 0 .. 3",
        ),
        (
            lambda: deep_forward(x, state, params, np.array([3, 7, 1, 3])),
            "lengths must lie in 1 .. T = 6, got 1 .. 7",
        ),
        (
            lambda: deep_forward(x, state, params, LENGTHS[1:]),
            "lengths must have shape (B,) = (4,), got (3,)",
        ),
        (
            lambda: deep_forward(x, state, params, LENGTHS / 1.0),
            "lengths must hold integers, got dtype float64",
        ),
        (
            lambda: deep_forward(x.astype(np.float32), state, params),
            "h_0 must have the dtype of x, float32, got float64",
        ),
        (lambda: deep_forward(x.astype(int), None, params), "x must hold floats, got dtype int64"),
        (lambda: deep_forward(spoilt, state, params), "x must be finite, got nan or inf"),
        (
            lambda: deep_forward(x, (state[0], state[1][1:]), params),
            "c_0 must have shape (N, B, H) = (4, 4, 5), got (3, 4, 5)",
        ),
        (lambda: deep_forward(x, state[0], params), "the state must hold h_0 and c_0, got 1 arrays"),
        (lambda: deep_forward(x, state, gru), "the state must hold h_0, got 2 arrays"),
        (
            lambda: deep_forward(x, state, params, LENGTHS, []),
            "masks must hold one mask between two layers, 1, got 0",
        ),
        (
            lambda: deep_forward(x, state, params, LENGTHS, [np.ones((T, B, H))]),
            "masks[0] must have shape (T, B, F) = (6, 4, 10), got (6, 4, 5)",
        ),
        (
            lambda: deep_forward(x, state, params, nonlinearity="relu"),
            "nonlinearity must be one of 'tanh', got 'relu'",
        ),
        (
            lambda: deep_forward(x, state, wrong),
            "weight_ih_l1 must have shape (4H, 2H) = (20, 10), got (20, 3)",
        ),
        (
            lambda: deep_forward(x, None, (params[0], params[1][:1])),
            "params must hold one kind of cell, and one or two directions, the same in each layer",
        ),
        (
            lambda: deep_backward(doutput[1:], dstate, cache),
            "doutput must have shape (T, B, F) = (6, 4, 10), got (5, 4, 10)",
        ),
        (
            lambda: deep_backward(doutput, (dstate[0], dstate[1][..., 1:]), cache),
            "dc_T must have shape (N, B, H) = (4, 4, 5), got (4, 4, 4)",
        ),
        (
            lambda: reverse_sequences(x, LENGTHS + 4),
            "lengths must lie in 1 .. T = 6, got 5 .. 10",
        ),
        (
            lambda: reverse_sequences(LENGTHS, LENGTHS),
            "x must have shape (T, B, ...) with T and B at least 1, got (4,)",
        ),
        (lambda: dropout_mask(np.random.default_rng(0), 3, 0), "keep must lie in (0, 1], got 0"),
        (lambda: drop_recurrent(params, [[np.ones(H)]]), "masks must hold 2 layers of 2 masks"),
        (
            lambda: drop_recurrent(params, [[np.ones(H), np.ones(3)]] * 2),
            "masks[0][1] must have shape (H,) = (5,), got (3,)",
        ),
        (
            lambda: from_state_dict({n: p for n, p in named.items() if n != "bias_hh_l1"}),
            "the state_dict does not fit: missing bias_hh_l1; unknown nothing",
        ),
        (
            lambda: from_state_dict(named | {"weight_hr_l0": x}),
            "the state_dict does not fit: missing nothing; unknown weight_hr_l0",
        ),
        (lambda: from_state_dict({}), "the state_dict must hold weight_hh_l0, got nothing"),
        (
            lambda: from_state_dict({"weight_hh_l0": np.ones((10, 5))}),
            "weight_hh_l0 must have H, 3H or 4H rows, H = 5, got 10",
        ),
        (
            lambda: deep_init(np.random.default_rng(0), "lstn", D, H, 2),
            "cell must be one of 'rnn', 'gru', 'lstm', got 'lstn'",
        ),
        (
            lambda: deep_init(np.random.default_rng(0), "lstm", D, H, 0),
            "layers must be an integer of at least 1, got 0",
        ),
        (
            lambda: deep_init(np.random.default_rng(0), "lstm", D, H, 2.0),
            "layers must be an integer of at least 1, got 2.0",
        ),
        (
            lambda: parameter_count("lstm", D, H, 0),
            "layers must be an integer of at least 1, got 0",
        ),
        (lambda: parameter_count("lstm", D, -1, 2), "H must be an integer of at least 1, got -1"),
        (lambda: count_paths(3, 1.0, "forward"), "layers must be an integer of at least 1, got 1.0"),
        (
            lambda: from_state_dict({n: p.astype(int) for n, p in named.items()}),
            "weight_ih_l0 must hold floats, got dtype int64",
        ),
        (
            lambda: from_state_dict(named | {"bias_hh_l1": named["bias_hh_l1"].astype(np.float32)}),
            "bias_hh_l1 must have the dtype of weight_ih_l0, float64, got float32",
        ),
        (
            lambda: from_state_dict(nn.GRU(D, H, dtype=torch.bfloat16).state_dict()),
            "weight_ih_l0 must fit into a NumPy array: Got unsupported ScalarType BFloat16",
        ),
        (
            lambda: DeepRNN("gru", D, H, 0),
            "num_layers must be an integer of at least 1, got 0",
        ),
        (
            lambda: DeepRNN("gru", D, H, 2).load_torch_nn(nn.GRU(D, H, 1).state_dict()),
            "the state_dict does not fit: missing weight_ih_l1, weight_hh_l1, bias_ih_l1, bias_hh_l1; "
            "unknown nothing",
        ),
        (
            lambda: DeepRNN("gru", D, H, 1).load_torch_nn(nn.GRU(D, H, 1, bias=False).state_dict()),
            "the state_dict does not fit: missing bias_ih_l0, bias_hh_l0; unknown nothing",
        ),
        (
            lambda: DeepRNN("gru", D, H, 1).load_torch_nn(nn.GRU(D, H + 1, 1).state_dict()),
            "weight_ih_l0 must have shape (15, 3), got (18, 3)",
        ),
        (
            lambda: run_packed(nn.GRU(D, H), torch.zeros(T, 0, D), []),
            "x must have shape (T, B, D) with no size 0, got (6, 0, 3)",
        ),
        (
            lambda: run_packed(nn.GRU(D, H), torch.zeros(T, B, D), LENGTHS, torch.zeros(2, B, H)),
            "h_0 must have shape (N, B, H) = (1, 4, 5), got (2, 4, 5)",
        ),
        (
            lambda: run_packed(nn.LSTM(D, H), torch.zeros(T, B, D), LENGTHS, torch.zeros(1, B, H)),
            "state must be h_0 and c_0, got 1 tensors",
        ),
        (
            lambda: count_paths(3, 1, "sideways"),
            "direction must be one of 'forward', 'backward', 'bidirectional', 'alternating', got 'sideways'",
        ),
        (lambda: VariationalDropout(1), "p must lie in [0, 1), got 1"),
        (
            lambda: run_packed(nn.GRU(D, H), torch.zeros(T, B, D), torch.tensor([1, 2, 3, 7])),
            "lengths must lie in 1 .. T = 6, got 1 .. 7",
        ),
        (
            lambda: run_packed(nn.GRU(D, H), torch.zeros(T, B, H), torch.tensor([1, 2, 3, 4])),
            "x must have shape (T, B, D) = (any, any, 3), got (6, 4, 5)",
        ),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message


def test_the_worked_example():
    # h <- h / 2 + x + 1, backwards over (1, 2): 3, 3.5; with two zeros of padding read first 3.875.
    p = RNNParams(
        *(np.full(shape, value) for shape, value in (((1, 1), 1.0), ((1, 1), 0.5), (1, 1.0), (1, 0.0)))
    )
    x = np.array([1.0, 2, 0, 0])[:, None, None]
    packed, final, _ = deep_forward(x, None, ((p, p),), np.array([2]), None, "relu")
    assert packed[:, 0].tolist() == [[2, 3.5], [4, 3], [0, 0], [0, 0]] and final[:, 0, 0].tolist() == [4, 3.5]
    padded, _, _ = deep_forward(x, None, ((p, p),), None, None, "relu")
    assert padded[:2, 0].tolist() == [[2, 3.875], [4, 3.75]]
    assert rnn_forward(x[::-1], np.zeros((1, 1)), p, "relu")[1] == 3.875


def test_wrong_answers_to_the_exercise_are_refused():
    def only_next(network, T, D):
        x = np.ones((T, 1, D))
        changed = x.copy()
        changed[1] += 1
        return bool(np.abs(network(changed)[0] - network(x)[0]).max() > 1e-12)

    with pytest.raises(
        AssertionError, match="of a stack whose last output but one alone reads ahead you say False"
    ):
        check("deep.q4", only_next, seed=0)
    with pytest.raises(AssertionError, match="T = 3: of a stack that reads forwards you say True"):
        check("deep.q4", lambda network, T, D: True, seed=0)
    with pytest.raises(AssertionError, match="return True or False, got NoneType"):
        check("deep.q4", lambda network, T, D: None, seed=0)
    with pytest.raises(AssertionError, match="the fresh variance is wrong"):
        check("deep.q5", lambda keep, T: (1.0, T * (1 - keep) / keep + 1e-3, 1.0, 1.0), seed=0)
    with pytest.raises(AssertionError, match="the fixed variance is wrong"):
        check("deep.q5", lambda keep, T: (1.0, keep**-T - 1, 1.0, 1.0), seed=0)
    with pytest.raises(AssertionError, match="return the tuple"):
        check("deep.q5", lambda keep, T: 1.0, seed=0)


def test_mistakes_of_the_exercise_hide_where_they_say():
    rng = np.random.default_rng(9)
    hidden = {
        "equal lengths": (T, np.full(B, T), 1),
        "one step": (1, np.ones(B, int), 1),
        "no final cotangent": (T, LENGTHS, 0),
    }
    functions = run_over_padding, run_over_padding_backward
    seen = set()
    for question in (QUESTIONS["q2"], QUESTIONS["q3"]):
        for mutant in question.mutants:
            if mutant.function not in functions:
                continue
            steps, lengths, factor = hidden[mutant.agrees]
            ((forward, backward),) = deep_init(rng, "rnn", D, H, 1, True)
            arguments = rng.normal(size=(steps, B, D)), lengths, forward, backward
            if mutant.function is run_over_padding_backward:
                dfinal = factor * rng.normal(size=(2, B, H))
                arguments = rng.normal(size=(steps, B, 2 * H)), dfinal, *arguments
            for a, b in zip(mutant.build()(*arguments), mutant.function(*arguments), strict=True):
                np.testing.assert_allclose(
                    np.concatenate([np.ravel(v) for v in a]),
                    np.concatenate([np.ravel(v) for v in b]),
                    rtol=0,
                    atol=1e-13,
                )
            seen.add(mutant.name)
    assert len(seen) == 7


def test_the_exercise_takes_answers_that_run_over_the_padding():
    check("deep.q2", run_over_padding, seed=0)
    check("deep.q3", run_over_padding_backward, seed=0)


@pytest.fixture
def batches(monkeypatch):
    """The batches that an experiment gives to `train`, and the parameters, instead of a training."""
    caught = []

    def caught_train(loss, params, batches, optimiser, *, steps=None, **options):
        caught.extend(itertools.islice(batches, steps))
        caught.append((params, optimiser, options))
        history = type("History", (), {"evaluation": np.zeros(1)})
        return type("Trained", (), {"params": params, "history": history})

    monkeypatch.setattr("rnncourse.deep.experiment.train", caught_train)
    return caught


def places(text, batch):
    """Where in `text` each piece of the batch stands; each must stand there with its next characters."""
    joined, found = "".join(map(chr, text)), []
    for x, y in zip(batch.x.argmax(-1).T, batch.y.T, strict=True):
        assert np.array_equal(x[1:], y[:-1])
        found.append(joined.find("".join(map(chr, [*x, y[-1]]))))
    return found


def test_depth_reads_pieces_of_all_the_text_with_the_settings_of_the_record(batches):
    text, settings_ = tales(), DEPTH
    learn_depth(0, 2, text, 0.04, steps=5)
    *batches, (params, optimiser, options) = batches
    starts = [place for batch in batches for place in places(text.train, batch)]
    assert len(starts) == 5 * settings_["B"] and all(b.masks is None for b in batches)
    assert min(starts) >= 0 and np.ptp(starts) > 0.8 * len(text.train)
    rows = params[0][0][0].bias_ih.reshape(4, -1).mean(1)
    assert 0.8 < rows[1] < 1.2 and np.abs(rows[[0, 2, 3]]).max() < 0.2  # the forget gate's alone
    assert (
        sum(p.size for layer in params[0] for q in layer for p in q) + sum(p.size for p in params[1])
        <= settings_["budget"]
    )
    assert optimiser.lr == 0.04 and options["clip"] == settings_["clip"]


@pytest.mark.parametrize("kind, steps", [("none", None), ("each step", 40), ("all steps", 1)])
def test_dropout_learns_from_the_first_characters_with_its_masks(batches, kind, steps):
    text, settings_ = tales(), DROPOUT
    learn_with_dropout(0, kind, text, steps=5)
    *batches, (params, _, _) = batches
    starts = [place for batch in batches for place in places(text.train[: settings_["characters"]], batch)]
    assert min(starts) >= 0 and np.ptp(starts) > 0.8 * settings_["characters"]
    assert [len(batch.masks or []) for batch in batches] == [int(kind != "none")] * 5
    for (mask,) in (batch.masks for batch in batches if batch.masks):
        assert mask.shape == (steps, settings_["B"], params[0][0][0].weight_hh.shape[1])
        assert set(np.unique(mask)) == {0.0, 2.0} and abs(mask.mean() - 1) < 0.15
        assert len(np.unique(mask, axis=0)) == steps  # no two steps have the same
    if steps:
        assert (batches[0].masks[0] != batches[1].masks[0]).any()


def test_comes_again_pads_and_tells_as_asked(batches):
    learn_again(0, True, steps=30, padded=True)
    learn_again(0, True, steps=3)
    padded, told = batches[:30], batches[31:34]
    lengths = {len(batch.x) for batch in padded}
    assert min(lengths) < 16 + 4 and max(lengths) > 32 - 4 and len(lengths) > 8
    assert all((batch.lengths == 16).all() for batch in batches[:30])
    assert not any(batch.packed for batch in padded)
    assert all(batch.packed and len(batch.x) == 16 for batch in told)


def test_a_batch_tells_the_network_its_lengths_only_if_packed():
    params = network(np.random.default_rng(0), "gru", SYMBOLS, 2, 1, True, 500)
    batch = will_come_again(np.random.default_rng(1), T, B, pads=3)
    short, _, _ = logits_of(params, Batch(batch.x[:T], batch.y[:T], batch.lengths))
    packed, _, _ = logits_of(params, batch)
    unpacked, _, _ = logits_of(params, batch._replace(packed=False))
    check_parity({"packed": packed[:T]}, {"packed": short})
    assert np.abs(unpacked[:T] - short).max() > 1e-3
    for b, ids in enumerate(batch.x[:T].argmax(-1).T):
        assert batch.y[:T, b].tolist() == [int(i in ids[t + 1 :]) for t, i in enumerate(ids)]


def twin_agrees_with_the_reference(device, dtype, tolerance):
    """A bidirectional stack of LSTMs with packing, against float64, with every gradient."""
    x, state, params, doutput, _ = drawn("lstm", 2, True)
    output, _, cache = deep_forward(x, None, params, LENGTHS)
    dx, _, dparams = deep_backward(doutput, None, cache)
    layer = torch_layer(params, "lstm", 2, True).to(device, dtype)
    tensor = torch.tensor(x, device=device, dtype=dtype, requires_grad=True)
    twin, _ = run_packed(layer, tensor, torch.tensor(LENGTHS, device=device))
    twin.backward(torch.tensor(doutput, device=device, dtype=dtype))
    results = {"output": twin.detach(), "x": tensor.grad}
    results |= {name: p.grad for name, p in layer.named_parameters()}
    check_parity(
        {name: result.cpu().double() for name, result in results.items()},
        {"output": output, "x": dx, **to_state_dict(dparams)},
        tolerance,
    )


def test_packing_in_low_precision():
    # float32 keeps 7 digits, bfloat16 three.
    twin_agrees_with_the_reference("cpu", torch.float32, 1e-5)
    twin_agrees_with_the_reference("cpu", torch.bfloat16, 0.05)


@pytest.mark.gpu
def test_packing_on_cuda():
    twin_agrees_with_the_reference("cuda", torch.float32, 1e-5)
    twin_agrees_with_the_reference("cuda", torch.bfloat16, 0.05)


class SameNumbers:
    """A generator that draws the same numbers at each call."""

    def random(self, shape):
        return np.random.default_rng(8).random(shape)


def mutant_arguments(function, condition):
    """Arguments on which a mistake hides under `condition`; not all of them zero."""
    rng = np.random.default_rng(8)
    if function is dropout_mask:
        return SameNumbers(), (T, B, H), {"keep one": 1.0, "keep one half": 0.5}[condition]
    layers = 1 if condition == "one layer" else 2
    bidirectional = condition != "one direction"
    x, state, params, doutput, dstate = drawn(
        "gru", layers, bidirectional, T=1 if condition == "one step" else T
    )
    lengths = np.full(B, len(x)) if condition in ("equal lengths", "one step", "one direction") else LENGTHS
    if function is reverse_sequences:
        return x, lengths
    if function is drop_recurrent:
        return deep_init(rng, "rnn", D, H, 2), [[np.full(H, 2.0)]] * 2  # condition "all units kept"
    masks = [dropout_mask(rng, (1, B, (1 + bidirectional) * H), 0.5)] * (layers - 1)
    if condition == "no dropout":
        masks = None
    arguments = x, bare(state), params, lengths, masks
    if function is deep_forward:
        return arguments
    _, _, cache = deep_forward(*arguments)
    return doutput, bare(dstate), cache
