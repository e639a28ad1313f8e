"""Windows, time delays and the Jordan network: against torch, differences, brute force and one another."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnncourse._numerics import one_hot
from rnncourse.grading.check import check
from rnncourse.sequences.exercise import draw_brackets
from rnncourse.sequences.experiment import (
    NETWORKS,
    VERBS,
    Network,
    Sentences,
    agreement_accuracy,
    agreement_loss,
    agreement_task,
    plural_probability,
    run_network,
    train_agreement,
)
from rnncourse.sequences.numpy import (
    DelayParams,
    JordanParams,
    delay_backward,
    delay_forward,
    delay_init,
    jordan_backward,
    jordan_forward,
    jordan_init,
    tdnn_backward,
    tdnn_forward,
    tdnn_reach,
    window_backward,
    window_forward,
    window_optimum,
)
from rnncourse.sequences.torch import TDNN, Jordan
from rnncourse.sequences.torch import delay_forward as torch_delay_forward
from rnncourse.testing import check_gradient, check_parity

T, B, D, H, V, N = 9, 3, 4, 5, 7, 2  # all different, all above one
SIZES, WINDOWS = (4, 5, 6, 7), (3, 2, 4)
REACH = 7
STEPS = T - N + 1


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


def drawn_layers(seed=1, sizes=SIZES, windows=WINDOWS):
    rng = np.random.default_rng(seed)
    return tuple(delay_init(rng, *io, n) for *io, n in zip(sizes, sizes[1:], windows, strict=False))


def drawn_jordan(seed=2, scale=2.0):
    """Inputs, initial context, a teacher, and parameters large enough for the context to matter."""
    x, c_0, teacher = arrays((T, B, D), (B, V), (T, B, V), seed=seed)
    params = jordan_init(np.random.default_rng(seed), D, H, V)
    return x, c_0, teacher, JordanParams(*(scale * p for p in params))


def flat_names(layers, prefix=""):
    return {f"{prefix}{i}.{name}": p for i, layer in enumerate(layers) for name, p in layer._asdict().items()}


def torch_tdnn(layers, cls):
    sizes = [layers[0].weight.shape[1], *(len(layer.bias) for layer in layers)]
    windows = [layer.weight.shape[2] for layer in layers]
    twin = cls(sizes, windows, dtype=torch.float64)
    state = {name: torch.tensor(p) for name, p in flat_names(layers, "layers.").items()}
    twin.load_state_dict(state, strict=True)
    return twin


def torch_jordan(params, alpha, cls):
    twin = cls(D, H, V, alpha, dtype=torch.float64)
    twin.load_state_dict({name: torch.tensor(p) for name, p in params._asdict().items()}, strict=True)
    return twin


def conv1d(params):
    """torch.nn.Conv1d with these parameters, time first outside."""
    H, D, n = params.weight.shape
    conv = torch.nn.Conv1d(D, H, n, dtype=torch.float64)
    conv.load_state_dict({name: torch.tensor(p) for name, p in params._asdict().items()}, strict=True)
    return conv, lambda x: conv(x.permute(1, 2, 0)).permute(2, 0, 1)


def plain_jordan(x, c_0, params, alpha, teacher):
    """The oracle: one sequence and one step at a time, every sum an einsum, in torch."""
    logits, contexts = [], []
    for b in range(x.shape[1]):
        c, rows = c_0[b], []
        for t in range(len(x)):
            a = torch.einsum("hd,d->h", params["weight_ih"], x[t, b]) + params["bias_h"]
            hidden = (a + torch.einsum("hv,v->h", params["weight_hc"], c)).tanh()
            rows.append(torch.einsum("vh,h->v", params["weight_oh"], hidden) + params["bias_o"])
            said = teacher[t, b] if teacher is not None else rows[-1].exp() / rows[-1].exp().sum()
            c = alpha * c + said
        logits.append(torch.stack(rows))
        contexts.append(c)
    return torch.stack(logits, 1), torch.stack(contexts)


# What a window can reach.


def two_words(filler=3):
    """axxxa and bxxxb, a fair coin between them."""
    x = [2] * filler
    return np.array([[0, *x, 0], [1, *x, 1]]), np.array([0.5, 0.5])


def optimum_by_hand(sequences, probabilities, n):
    """Loss and accuracy by dictionaries, one sequence at a time."""
    losses, accuracies = [], []
    for t in range(sequences.shape[1]):
        table = {}
        for row, p in zip(sequences.tolist(), probabilities.tolist(), strict=True):
            table.setdefault(tuple(row[max(0, t - n) : t]), {}).setdefault(row[t], []).append(p)
        loss = right = 0.0
        for symbols in table.values():
            total = math.fsum(p for ps in symbols.values() for p in ps)
            for ps in symbols.values():
                loss -= math.fsum(ps) * math.log(math.fsum(ps) / total)
            right += max(map(math.fsum, symbols.values()))
        losses.append(loss)
        accuracies.append(right)
    return np.array(losses), np.array(accuracies)


def drawn_source(seed, length=4, V=3):
    """A random distribution over all strings of that length, a few of them dominant."""
    sequences = np.array(list(itertools.product(range(V), repeat=length)))
    return sequences, np.random.default_rng(seed).dirichlet(0.2 * np.ones(len(sequences)))


@pytest.mark.equation("sequences-bound")
def test_two_words_lose_a_coin_until_the_window_reaches_the_first_letter():
    for n in range(1, 6):
        loss, accuracy = window_optimum(*two_words(), n)
        last = 0 if n >= 4 else math.log(2)
        check_parity(
            {"loss": loss, "accuracy": accuracy},
            {"loss": [math.log(2), 0, 0, 0, last], "accuracy": [0.5, 1, 1, 1, 1 if n >= 4 else 0.5]},
        )


@pytest.mark.equation("sequences-bound")
def test_optimum_equals_counting_by_hand():
    for n in range(1, 5):
        source = drawn_source(n)
        loss, accuracy = window_optimum(*source, n)
        expected_loss, expected_accuracy = optimum_by_hand(*source, n)
        check_parity({"loss": loss}, {"loss": expected_loss})
        check_parity({"accuracy": accuracy}, {"accuracy": expected_accuracy})


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_longer_window_never_loses_more_and_the_longest_pays_the_entropy(seed):
    sequences, p = drawn_source(seed)
    losses, accuracies = zip(*(window_optimum(sequences, p, n) for n in range(1, 5)), strict=True)
    assert (np.diff(losses, axis=0) <= 1e-12).all() and (np.diff(accuracies, axis=0) >= -1e-12).all()
    entropy = -(p[p > 0] * np.log(p[p > 0])).sum()
    assert math.isclose(losses[-1].sum(), entropy, rel_tol=1e-9)  # the chain rule


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_no_predictor_of_the_window_beats_the_optimum(seed, n):
    sequences, p = drawn_source(seed)
    loss, _ = window_optimum(sequences, p, n)
    rng, t = np.random.default_rng(seed), 3
    table = rng.dirichlet(np.ones(3), size=(3,) * n)  # any prediction from the last n symbols
    predicted = table[(*sequences[:, t - n : t].T, sequences[:, t])]
    assert -(p * np.log(predicted)).sum() >= loss[t] - 1e-12


# Time delays.


@pytest.mark.equation("sequences-delay")
@pytest.mark.equation("sequences-delay-back")
def test_delay_equals_conv1d():
    (params,) = drawn_layers(sizes=(D, H), windows=(N,))
    x, da = arrays((T, B, D), (STEPS, B, H))
    a, cache = delay_forward(x, params)
    dx, dparams = delay_backward(da, cache)
    conv, run = conv1d(params)
    tensor = torch.tensor(x, requires_grad=True)
    expected = run(tensor)
    expected.backward(torch.tensor(da))
    check_parity(
        {"a": a, "x": dx, **dparams._asdict()},
        {"a": expected.detach(), "x": tensor.grad, "weight": conv.weight.grad, "bias": conv.bias.grad},
    )


@pytest.mark.equation("sequences-delay")
def test_delay_by_unfolding_equals_conv1d():
    (params,) = drawn_layers(sizes=(D, H), windows=(N,))
    (x,) = map(torch.tensor, arrays((T, B, D)))
    a = torch_delay_forward(x, *map(torch.tensor, params))
    check_parity({"a": a}, {"a": conv1d(params)[1](x).detach()})


@pytest.mark.equation("sequences-delay-back")
def test_delay_backward_equals_central_differences():
    (params,) = drawn_layers(sizes=(D, H), windows=(N,))
    x, da = arrays((T, B, D), (STEPS, B, H))

    def loss(x, **weights):
        return (delay_forward(x, DelayParams(**weights))[0] * da).sum()

    dx, dparams = delay_backward(da, delay_forward(x, params)[1])
    check_gradient(loss, {"x": x, **params._asdict()}, {"x": dx, **dparams._asdict()})


def drawn_tdnn():
    layers = drawn_layers()
    x, doutput = arrays((T, B, D), (T - REACH + 1, B, SIZES[-1]))
    return x, layers, doutput


@pytest.mark.equation("sequences-tdnn")
@pytest.mark.equation("sequences-reach")
@pytest.mark.equation("sequences-tdnn-back")
def test_tdnn_equals_stacked_conv1d():
    x, layers, doutput = drawn_tdnn()
    output, cache = tdnn_forward(x, layers)
    assert len(output) == T - tdnn_reach(layers) + 1
    dx, dlayers = tdnn_backward(doutput, cache)
    tensor = torch.tensor(x, requires_grad=True)
    expected, convs = tensor, []
    for layer in layers:
        conv, run = conv1d(layer)
        expected = run(expected).tanh()
        convs.append(conv)
    expected.backward(torch.tensor(doutput))
    grads = {f"{i}.{name}": p.grad for i, conv in enumerate(convs) for name, p in conv.named_parameters()}
    check_parity(
        {"output": output, "x": dx, **flat_names(dlayers)},
        {"output": expected.detach(), "x": tensor.grad, **grads},
    )


@pytest.mark.equation("sequences-tdnn-back")
def test_tdnn_backward_equals_central_differences():
    x, layers, doutput = drawn_tdnn()
    names = flat_names(layers)

    def loss(x, **weights):
        rebuilt = tuple(DelayParams(weights[f"{i}.weight"], weights[f"{i}.bias"]) for i in range(len(layers)))
        return (tdnn_forward(x, rebuilt)[0] * doutput).sum()

    dx, dlayers = tdnn_backward(doutput, tdnn_forward(x, layers)[1])
    check_gradient(loss, {"x": x, **names}, {"x": dx, **flat_names(dlayers)})


def drawn_window():
    layers = drawn_layers()
    x, past, doutput, dpast = arrays((T, B, D), (REACH - 1, B, D), (T, B, SIZES[-1]), (REACH - 1, B, D))
    return x, past, layers, doutput, dpast


@pytest.mark.equation("sequences-tdnn")
@pytest.mark.equation("sequences-window")
def test_twin_equals_unfolded_products():
    x, past, layers, _, _ = drawn_window()
    expected = torch.tensor(np.concatenate([past, x]))
    for layer in layers:
        weight, bias = map(torch.tensor, layer)
        expected = (expected.unfold(0, weight.shape[2], 1).flatten(2) @ weight.flatten(1).T + bias).tanh()
    twin = torch_tdnn(layers, TDNN)
    with torch.no_grad():
        output = twin(torch.tensor(x), torch.tensor(past))
        shorter = twin(torch.tensor(x))
    check_parity({"output": output}, {"output": expected})
    check_parity({"without past": shorter}, {"without past": expected[REACH - 1 :]})


@pytest.mark.equation("sequences-window")
@pytest.mark.equation("sequences-tdnn-back")
def test_window_equals_autograd_of_the_twin():
    x, past, layers, doutput, dpast = drawn_window()
    output, last, cache = window_forward(x, past, layers)
    dx, dfirst, dlayers = window_backward(doutput, dpast, cache)
    twin = torch_tdnn(layers, TDNN)
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, past)]
    expected = twin(*tensors)
    expected_last = torch.cat(tensors[::-1])[-(REACH - 1) :]
    torch.autograd.backward((expected, expected_last), (torch.tensor(doutput), torch.tensor(dpast)))
    grads = {name.removeprefix("layers."): p.grad for name, p in twin.named_parameters()}
    check_parity(
        {"output": output, "last": last, "x": dx, "past": dfirst, **flat_names(dlayers)},
        {
            "output": expected.detach(),
            "last": expected_last.detach(),
            "x": tensors[0].grad,
            "past": tensors[1].grad,
            **grads,
        },
    )


@pytest.mark.equation("sequences-window")
def test_window_equals_one_product_of_the_joined_window():
    # The other way to write it: join the last n inputs to one long vector, oldest first.
    (params,) = drawn_layers(sizes=(D, H), windows=(3,))
    x, past = arrays((T, B, D), (2, B, D))
    output, _, _ = window_forward(x, past, (params,))
    seen = np.concatenate([past, x])
    matrix = np.concatenate([params.weight[:, :, k] for k in range(3)], axis=1)
    expected = [
        np.tanh(np.concatenate(list(seen[t : t + 3]), axis=1) @ matrix.T + params.bias) for t in range(T)
    ]
    check_parity({"output": output}, {"output": np.stack(expected)})


def test_reach_is_what_moves_the_output():
    x, past, layers, _, _ = drawn_window()
    output, _, _ = window_forward(x, past, layers)
    moved = []
    for age in range(T):
        changed = x.copy()
        changed[T - 1 - age] += 1.0
        moved.append(bool((window_forward(changed, past, layers)[0][-1] != output[-1]).any()))
    assert moved == [age < REACH for age in range(T)]
    assert tdnn_reach(layers) == REACH
    assert tdnn_reach(layers[:1]) == WINDOWS[0]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, T - 1), st.integers(0, 2**32 - 1))
def test_a_split_sequence_gives_the_same_when_the_window_is_carried(cut, seed):
    layers = drawn_layers(seed)
    x, past = arrays((T, B, D), (REACH - 1, B, D), seed=seed)
    whole, last, _ = window_forward(x, past, layers)
    first, between, _ = window_forward(x[:cut], past, layers)
    second, end, _ = window_forward(x[cut:], between, layers)
    check_parity(
        {"output": np.concatenate([first, second]), "past": end}, {"output": whole, "past": last}, 1e-13
    )


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(B)), st.integers(0, 2**32 - 1))
def test_sequences_of_a_batch_do_not_meet(order, seed):
    layers = drawn_layers(seed)
    x, past = arrays((T, B, D), (REACH - 1, B, D), seed=seed)
    expected = window_forward(x, past, layers)[0][:, order]
    check_parity({"window": window_forward(x[:, order], past[:, order], layers)[0]}, {"window": expected})
    x, c_0, _, params = drawn_jordan(seed)
    expected = jordan_forward(x, c_0, params, 0.3)[0][:, order]
    check_parity({"Jordan": jordan_forward(x[:, order], c_0[order], params, 0.3)[0]}, {"Jordan": expected})


# The Jordan network.


def both_ways(teacher):
    """Its own outputs or the teacher's, without and with decay."""
    return [(alpha, fed) for alpha in (0.0, 0.4) for fed in (None, teacher)]


@pytest.mark.equation("sequences-jordan")
@pytest.mark.equation("sequences-jordan-back")
def test_jordan_equals_autograd_of_the_written_out_network():
    x, c_0, teacher, params = drawn_jordan()
    dlogits, dc_T = arrays((T, B, V), (B, V), seed=5)
    for alpha, fed in both_ways(teacher):
        logits, c_T, cache = jordan_forward(x, c_0, params, alpha, fed)
        dx, dc_0, dparams = jordan_backward(dlogits, dc_T, cache)
        named = {"x": x, "c_0": c_0, **params._asdict()}
        tensors = {name: torch.tensor(a, requires_grad=True) for name, a in named.items()}
        weights = {name: tensors[name] for name in params._fields}
        fed_tensor = None if fed is None else torch.tensor(fed)
        expected = plain_jordan(tensors["x"], tensors["c_0"], weights, alpha, fed_tensor)
        torch.autograd.backward(expected, (torch.tensor(dlogits), torch.tensor(dc_T)))
        check_parity(
            {"logits": logits, "c_T": c_T},
            dict(zip(("logits", "c_T"), (e.detach() for e in expected), strict=True)),
        )
        grads = {name: t.grad for name, t in tensors.items()}
        if fed is not None and alpha == 0:  # the initial context enters the first step alone
            assert grads["c_0"].abs().max() > 0
        check_parity({"x": dx, "c_0": dc_0, **dparams._asdict()}, grads)


@pytest.mark.equation("sequences-jordan-back")
def test_jordan_backward_equals_central_differences():
    x, c_0, teacher, params = drawn_jordan()
    dlogits, dc_T = arrays((T, B, V), (B, V), seed=6)
    for alpha, fed in both_ways(teacher):

        def loss(x, c_0, *, alpha=alpha, fed=fed, **weights):
            logits, c_T, _ = jordan_forward(x, c_0, JordanParams(**weights), alpha, fed)
            return (logits * dlogits).sum() + (c_T * dc_T).sum()

        dx, dc_0, dparams = jordan_backward(dlogits, dc_T, jordan_forward(x, c_0, params, alpha, fed)[2])
        check_gradient(
            loss, {"x": x, "c_0": c_0, **params._asdict()}, {"x": dx, "c_0": dc_0, **dparams._asdict()}
        )


@pytest.mark.equation("sequences-jordan")
def test_jordan_twin_equals_the_written_out_network():
    x, c_0, teacher, params = drawn_jordan()
    for alpha, fed in both_ways(teacher):
        fed_tensor = None if fed is None else torch.tensor(fed)
        twin = torch_jordan(params, alpha, Jordan)
        with torch.no_grad():
            logits, c_T = twin(torch.tensor(x), torch.tensor(c_0), fed_tensor)
            weights = {name: torch.tensor(p) for name, p in params._asdict().items()}
            expected, expected_c_T = plain_jordan(
                torch.tensor(x), torch.tensor(c_0), weights, alpha, fed_tensor
            )
        check_parity({"logits": logits, "c_T": c_T}, {"logits": expected, "c_T": expected_c_T})


def test_jordan_twin_starts_from_an_empty_context():
    x, c_0, _, params = drawn_jordan()
    twin = torch_jordan(params, 0.4, Jordan)
    with torch.no_grad():
        logits, c_T = twin(torch.tensor(x))
    expected, expected_c_T, _ = jordan_forward(x, 0 * c_0, params, 0.4)
    check_parity({"logits": logits, "c_T": c_T}, {"logits": expected, "c_T": expected_c_T})


@pytest.mark.equation("sequences-jordan")
def test_a_teacher_without_decay_makes_it_a_feed_forward_network():
    # Its context is then the teacher's last output, and torch.nn layers without recurrence do the same.
    x, c_0, teacher, params = drawn_jordan()
    logits, _, _ = jordan_forward(x, c_0, params, 0.0, teacher)
    hidden, out = (
        torch.nn.Linear(D + V, H, dtype=torch.float64),
        torch.nn.Linear(H, V, dtype=torch.float64),
    )
    joined = np.concatenate([params.weight_ih, params.weight_hc], axis=1)
    hidden.load_state_dict({"weight": torch.tensor(joined), "bias": torch.tensor(params.bias_h)})
    out.load_state_dict({"weight": torch.tensor(params.weight_oh), "bias": torch.tensor(params.bias_o)})
    context = np.concatenate([c_0[None], teacher[:-1]])
    with torch.no_grad():
        expected = out(hidden(torch.tensor(np.concatenate([x, context], axis=2))).tanh())
    check_parity({"logits": logits}, {"logits": expected})


def test_the_context_is_a_decaying_sum_of_what_was_taught():
    x, c_0, teacher, params = drawn_jordan()
    _, c_T, _ = jordan_forward(x, c_0, params, 0.4, teacher)
    weights = 0.4 ** np.arange(T)[::-1]
    expected = 0.4**T * c_0 + np.einsum("t,tbv->bv", weights, teacher)
    check_parity({"c_T": c_T}, {"c_T": expected})


@settings(max_examples=20, deadline=None)
@given(st.integers(1, T - 1), st.integers(0, 2**32 - 1), st.booleans())
def test_a_split_sequence_gives_the_same_when_the_context_is_carried(cut, seed, forced):
    x, c_0, teacher, params = drawn_jordan(seed)
    whole, c_T, _ = jordan_forward(x, c_0, params, 0.4, teacher if forced else None)
    first, c, _ = jordan_forward(x[:cut], c_0, params, 0.4, teacher[:cut] if forced else None)
    second, c, _ = jordan_forward(x[cut:], c, params, 0.4, teacher[cut:] if forced else None)
    check_parity({"logits": np.concatenate([first, second]), "c_T": c}, {"logits": whole, "c_T": c_T}, 1e-12)


# Dtypes, extremes, messages.


def single(tree):
    if isinstance(tree, tuple):
        parts = [single(item) for item in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return tree.astype(np.float32)


def test_dtype_is_kept():
    x, past, layers, doutput, dpast = single(drawn_window())
    output, last, cache = window_forward(x, past, layers)
    dx, dfirst, dlayers = window_backward(doutput, dpast, cache)
    x, c_0, teacher, params = single(drawn_jordan())
    dlogits, dc_T = single(tuple(arrays((T, B, V), (B, V))))
    results = [output, last, dx, dfirst, *flat_names(dlayers).values()]
    # A NumPy number as alpha must not turn float32 into float64.
    for alpha, fed in [*both_ways(teacher), (np.float64(0.4), None), (np.float64(0.4), teacher)]:
        logits, c_T, cache = jordan_forward(x, c_0, params, alpha, fed)
        dx, dc_0, dparams = jordan_backward(dlogits, dc_T, cache)
        results += [logits, c_T, dx, dc_0, *dparams]
    results += [
        *delay_init(np.random.default_rng(0), D, H, N, np.float32),
        *window_optimum(two_words()[0], np.float32([0.5, 0.5]), 2),
    ]
    assert {a.dtype for a in results} == {np.dtype(np.float32)}
    assert {p.dtype for p in jordan_init(np.random.default_rng(0), D, H, V, np.float32)} == {
        np.dtype(np.float32)
    }


def test_arguments_are_not_changed():
    x, past, layers, doutput, dpast = drawn_window()
    jordan = drawn_jordan()
    dlogits, dc_T = arrays((T, B, V), (B, V))
    given = (x, past, *flat_names(layers).values(), doutput, dpast, *jordan[:3], *jordan[3], dlogits, dc_T)
    kept = [a.copy() for a in given]
    window_backward(doutput, dpast, window_forward(x, past, layers)[2])
    x, c_0, teacher, params = jordan
    for fed in (None, teacher):
        cache = jordan_forward(x, c_0, params, 0.4, fed)[2]
        once = jordan_backward(dlogits, dc_T, cache)
        twice = jordan_backward(dlogits, dc_T, cache)  # the cache is not used up
        assert all(np.array_equal(a, b) for a, b in zip(once[2], twice[2], strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(kept, given, strict=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_pre_activations_saturate_without_a_word(dtype):
    cast = single if dtype is np.float32 else tuple
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        for sign in (1e4, -1e4):
            x, c_0, _, params = cast(drawn_jordan())
            steps = sign * np.arange(V, dtype=dtype)
            large = params._replace(bias_h=params.bias_h + dtype(sign), bias_o=params.bias_o + steps)
            logits, c_T, cache = jordan_forward(x, c_0, large, 0.4)
            results = jordan_backward(np.ones_like(logits), np.ones_like(c_T), cache)
            x, past, layers, doutput, dpast = cast(drawn_window())
            layers = tuple(layer._replace(bias=layer.bias + dtype(sign)) for layer in layers)
            output, _, cache = window_forward(x, past, layers)
            more = window_backward(doutput, dpast, cache)
            arrays_out = [logits, c_T, *results[:2], *results[2], output, *more[:2]]
            assert all(np.isfinite(a).all() and a.dtype == dtype for a in arrays_out)


def test_messages():
    rng = np.random.default_rng(0)
    params, above = drawn_layers(sizes=(D, H, 6), windows=(N, 3))
    x, past = arrays((T, B, D), (N - 1, B, D))
    c_0, teacher = arrays((B, V), (T, B, V))
    jordan = jordan_init(np.random.default_rng(0), D, H, V)
    sequences, p = two_words()
    a, cache = delay_forward(x, params)
    _, window_cache_of_x = tdnn_forward(x, (params,))
    output, _, window_cache = window_forward(x, past, (params,))
    logits, c_T, jordan_cache = jordan_forward(x, c_0, jordan)
    nan = x.copy()
    nan[0, 0, 0] = np.nan
    twin, twin_jordan = TDNN((D, H), (N,)), Jordan(D, H, V)
    cases = [
        (
            lambda: delay_forward(x[..., :3], params),
            "x must have shape (T, B, D) = (any, any, 4), got (9, 3, 3)",
        ),
        (lambda: delay_forward(x[0], params), "x must have shape (T, B, D) = (any, any, 4), got (3, 4)"),
        (lambda: delay_forward(x[:1], params), "x must have at least n = 2 steps, got T = 1"),
        (
            lambda: delay_forward(x, params._replace(bias=params.bias[1:])),
            "bias must have shape (H,) = (5,), got (4,)",
        ),
        (
            lambda: delay_forward(x, params._replace(weight=params.weight[0])),
            "weight must have shape (H, D, n) = (any, any, any), got (4, 2)",
        ),
        (
            lambda: delay_forward(x, params._replace(weight=params.weight[..., :0])),
            "n must be an integer of at least 1, got 0",
        ),
        (lambda: delay_forward(x.astype(int), params), "x must hold floats, got dtype int64"),
        (
            lambda: delay_forward(x.astype(np.float32), params),
            "weight must have the dtype of x, float32, got float64",
        ),
        (lambda: delay_forward(nan, params), "x must be finite, got nan or inf"),
        (lambda: delay_backward(a[1:], cache), "da must have shape (T-n+1, B, H) = (8, 3, 5), got (7, 3, 5)"),
        (lambda: delay_backward(np.nan * a, cache), "da must be finite, got nan or inf"),
        (
            lambda: delay_backward(a.astype(np.float32), cache),
            "da must have the dtype of x, float64, got float32",
        ),
        (
            lambda: delay_forward(x[:, :0], params),
            "x must have shape (T, B, D) with no size 0, got (9, 0, 4)",
        ),
        (lambda: delay_init(rng, D, H, 0), "n must be an integer of at least 1, got 0"),
        (lambda: delay_init(rng, None, H, N), "D must be an integer of at least 1, got None"),
        (
            lambda: tdnn_forward(x, ()),
            "layers must be a tuple of at least one DelayParams, got an empty tuple",
        ),
        (
            lambda: tdnn_forward(x, params),
            "layers must be a tuple of at least one DelayParams, got DelayParams",
        ),
        (lambda: tdnn_reach(params), "layers must be a tuple of at least one DelayParams, got DelayParams"),
        (lambda: tdnn_reach([params]), "layers must be a tuple of at least one DelayParams, got list"),
        (
            lambda: window_forward(x, past, params),
            "layers must be a tuple of at least one DelayParams, got DelayParams",
        ),
        (
            lambda: tdnn_forward(x, (params, params)),
            "layers[1].weight must have shape (H, D, n) = (any, 5, any), got (5, 4, 2)",
        ),
        (
            lambda: tdnn_forward(x, (params, above._replace(bias=above.bias[1:]))),
            "layers[1].bias must have shape (H,) = (6,), got (5,)",
        ),
        (
            lambda: tdnn_forward(x, (params, above._replace(weight=np.nan * above.weight))),
            "layers[1].weight must be finite, got nan or inf",
        ),
        (lambda: tdnn_forward(x[:3], (params, above)), "x must have at least r = 4 steps, got T = 3"),
        (
            lambda: tdnn_backward(np.nan * a, window_cache_of_x),
            "doutput must be finite, got nan or inf",
        ),
        (
            lambda: tdnn_backward(a.astype(np.float32), window_cache_of_x),
            "doutput must have the dtype of output, float64, got float32",
        ),
        (
            lambda: window_backward(output[1:], past, window_cache),
            "doutput must have shape (T, B, H) = (9, 3, 5), got (8, 3, 5)",
        ),
        (
            lambda: window_backward(output, np.nan * past, window_cache),
            "dpast must be finite, got nan or inf",
        ),
        (
            lambda: window_backward(np.nan * output, past, window_cache),
            "doutput must be finite, got nan or inf",
        ),
        (
            lambda: window_backward(output, past.astype(np.float32), window_cache),
            "dpast must have the dtype of output, float64, got float32",
        ),
        (
            lambda: window_forward(x[..., :3], past, (params,)),
            "x must have shape (T, B, D) = (any, any, 4), got (9, 3, 3)",
        ),
        (
            lambda: tdnn_backward(a[:, 1:], window_cache_of_x),
            "doutput must have shape (T-r+1, B, H) = (8, 3, 5), got (8, 2, 5)",
        ),
        (
            lambda: window_forward(x[:0], past, (params,)),
            "x must have shape (T, B, D) with no size 0, got (0, 3, 4)",
        ),
        (
            lambda: window_forward(x, past[:0], (params,)),
            "past must have shape (r-1, B, D) = (1, 3, 4), got (0, 3, 4)",
        ),
        (lambda: window_forward(x, np.nan * past, (params,)), "past must be finite, got nan or inf"),
        (
            lambda: window_backward(output, past[:, 1:], window_cache),
            "dpast must have shape (r-1, B, D) = (1, 3, 4), got (1, 2, 4)",
        ),
        (
            lambda: jordan_forward(x, c_0.T, jordan),
            "c_0 must have shape (B, V) = (3, 7), got (7, 3)",
        ),
        (
            lambda: jordan_forward(x[:0], c_0, jordan),
            "x must have shape (T, B, D) with no size 0, got (0, 3, 4)",
        ),
        (lambda: jordan_init(rng, D, 0, V), "H must be an integer of at least 1, got 0"),
        (lambda: jordan_init(rng, D, H, "7"), "V must be an integer of at least 1, got '7'"),
        (lambda: jordan_forward(x, c_0, jordan, 1.0), "alpha must lie in [0, 1), got 1.0"),
        (lambda: jordan_forward(x, c_0, jordan, -0.1), "alpha must lie in [0, 1), got -0.1"),
        (lambda: jordan_forward(x, c_0, jordan, None), "alpha must lie in [0, 1), got None"),
        (lambda: jordan_forward(x, c_0, jordan, "a"), "alpha must lie in [0, 1), got 'a'"),
        (
            lambda: jordan_forward(x, c_0, jordan._replace(bias_h=jordan.bias_h[1:])),
            "bias_h must have shape (H,) = (5,), got (4,)",
        ),
        (
            lambda: jordan_forward(x, c_0, jordan._replace(weight_oh=jordan.weight_oh.T)),
            "weight_oh must have shape (V, H) = (7, 5), got (5, 7)",
        ),
        (
            lambda: jordan_forward(x, c_0, jordan._replace(bias_o=np.nan * jordan.bias_o)),
            "bias_o must be finite, got nan or inf",
        ),
        (
            lambda: jordan_forward(x, c_0, single(jordan)),
            "weight_ih must have the dtype of x, float64, got float32",
        ),
        (
            lambda: jordan_backward(np.nan * logits, c_T, jordan_cache),
            "dlogits must be finite, got nan or inf",
        ),
        (
            lambda: jordan_backward(logits, c_T.astype(np.float32), jordan_cache),
            "dc_T must have the dtype of x, float64, got float32",
        ),
        (lambda: jordan_forward(x, c_0, jordan, np.nan), "alpha must lie in [0, 1), got nan"),
        (
            lambda: jordan_forward(x, c_0, jordan, 0.0, teacher[1:]),
            "teacher must have shape (T, B, V) = (9, 3, 7), got (8, 3, 7)",
        ),
        (
            lambda: jordan_forward(x, c_0, jordan, 0.0, one_hot(np.zeros((T, B), int), V, int)),
            "teacher must hold floats, got dtype int64",
        ),
        (
            lambda: jordan_forward(x, c_0, jordan._replace(weight_hc=jordan.weight_hc.T)),
            "weight_hc must have shape (H, V) = (5, 7), got (7, 5)",
        ),
        (
            lambda: jordan_backward(logits[..., 1:], c_T, jordan_cache),
            "dlogits must have shape (T, B, V) = (9, 3, 7), got (9, 3, 6)",
        ),
        (
            lambda: jordan_backward(logits, c_T.T, jordan_cache),
            "dc_T must have shape (B, V) = (3, 7), got (7, 3)",
        ),
        (
            lambda: window_optimum(sequences[0], p, 1),
            "sequences must have shape (N, T) = (any, any), got (5,)",
        ),
        (lambda: window_optimum(sequences, p[1:], 1), "probabilities must have shape (N,) = (2,), got (1,)"),
        (lambda: window_optimum(sequences / 2, p, 1), "sequences must hold integers, got dtype float64"),
        (
            lambda: window_optimum(sequences, 2 * p, 1),
            "probabilities must be at least 0 and sum to 1, got sum 2",
        ),
        (lambda: window_optimum(sequences, p, 0), "n must be an integer of at least 1, got 0"),
        (lambda: window_optimum(sequences, p, 1.5), "n must be an integer of at least 1, got 1.5"),
        (lambda: window_optimum(sequences, p, None), "n must be an integer of at least 1, got None"),
        (
            lambda: window_optimum(sequences[[0, 0]], p, 1),
            "sequences must hold each sequence once, got equal rows",
        ),
        (
            lambda: window_optimum(sequences[:, :0], p, 1),
            "sequences must have shape (N, T) with no size 0, got (2, 0)",
        ),
        (
            lambda: torch_delay_forward(torch.zeros(1, B, D), *map(torch.tensor, params)),
            "x must have at least n = 2 steps, got T = 1",
        ),
        (
            lambda: torch_delay_forward(torch.zeros(T, B, D), torch.zeros(H, D, 0), torch.zeros(H)),
            "n must be an integer of at least 1, got 0",
        ),
        (
            lambda: torch_delay_forward(torch.zeros(T, B, D), torch.zeros(H, D), torch.zeros(H)),
            "weight must have shape (H, D, n) = (any, any, any), got (5, 4)",
        ),
        (
            lambda: torch_delay_forward(torch.zeros(T, B, D), torch.zeros(H, D, N), torch.zeros(V)),
            "bias must have shape (H,) = (5,), got (7,)",
        ),
        (
            lambda: TDNN((D, H), (N, N)),
            "sizes must be one more than windows, of which there is at least one, got 2 sizes and 2 windows",
        ),
        (lambda: TDNN((D, H), (0,)), "windows[0] must be an integer of at least 1, got 0"),
        (lambda: TDNN((D, 0), (N,)), "sizes[1] must be an integer of at least 1, got 0"),
        (lambda: Jordan(D, 0, V), "hidden_size must be an integer of at least 1, got 0"),
        (
            lambda: twin(torch.zeros(T, B, H)),
            "x must have shape (T, B, D) = (any, any, 4), got (9, 3, 5)",
        ),
        (
            lambda: twin_jordan(torch.zeros(T, B, D), None, torch.zeros(T, B, H)),
            "teacher must have shape (T, B, V) = (9, 3, 7), got (9, 3, 5)",
        ),
        (
            lambda: draw_brackets(rng, 2, B, [2, 3], [1, 2]),
            "T must be at least 3, got 2",
        ),
        (
            lambda: draw_brackets(rng, T, B, [2, 3], [1]),
            "closers must be as many as openers, at least one, got 1 and 2",
        ),
        (lambda: twin(torch.zeros(1, B, D)), "x must have at least r = 2 steps, got T = 1"),
        (
            lambda: twin(torch.zeros(T, B, D), torch.zeros(2, B, D)),
            "past must have shape (r-1, B, D) = (1, 3, 4), got (2, 3, 4)",
        ),
        (lambda: Jordan(D, H, V, 1.5), "alpha must lie in [0, 1), got 1.5"),
        (
            lambda: twin_jordan(torch.zeros(T, B, D), torch.zeros(B, H)),
            "c_0 must have shape (B, V) = (3, 7), got (3, 5)",
        ),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message


# The experiment.


def made_up(choose):
    """A network whose logits `choose` computes from a teacher's one-hot words."""
    return Network(None, lambda params, x, teacher: (choose(x, teacher), None))


def next_verb(teacher, plural, others=0.0):
    """Logits that give the plural verbs together `plural`, the singular ones the rest; `others` elsewhere."""
    words = agreement_task().words
    logits = np.full_like(teacher, others, dtype=float)
    for verbs, p in zip(VERBS, (1 - plural, plural), strict=True):
        logits[..., [words[verb] for verb in verbs]] = np.log(p / len(verbs))
    return logits


def test_probability_of_a_plural_adds_up_the_verb_forms():
    sentences = agreement_task().tests[3]
    for plural in (0.3, 0.9):
        # Other words are likelier than any verb; they must not count.
        network = made_up(lambda x, teacher, plural=plural: next_verb(teacher, plural, others=5.0))
        p = plural_probability(network, None, sentences)
        assert p.shape == sentences.plural.shape and np.allclose(p, plural, rtol=0, atol=1e-6)


def test_probability_is_read_at_the_verb():
    sentences = agreement_task().tests[3]
    last = sentences.mask.sum(axis=0) - 1
    here = np.arange(len(sentences.mask))[:, None] == last

    def choose(x, teacher):
        return np.where(here[..., None], next_verb(teacher, 0.9), next_verb(teacher, 0.2))

    assert len(set(last.tolist())) > 1  # sentences of several lengths
    assert np.allclose(plural_probability(made_up(choose), None, sentences), 0.9, rtol=0, atol=1e-6)


def test_accuracy_counts_what_is_above_one_half():
    shares = [test.plural.mean() for test in agreement_task().tests]
    for plural, right in ((0.4, 1 - np.array(shares)), (0.6, np.array(shares))):
        network = made_up(lambda x, teacher, plural=plural: next_verb(teacher, plural))
        assert np.allclose(agreement_accuracy(network, None), right, rtol=0, atol=1e-12)


def few(count=6):
    return Sentences(*(part[..., :count] for part in agreement_task().pool))


def test_padding_has_no_part_in_the_loss():
    batch, seen = few(), []
    assert not batch.mask.all()

    def run(params, x, teacher):
        logits = np.random.default_rng(0).normal(size=teacher.shape)
        logits[~batch.mask] += params * np.arange(teacher.shape[-1])
        return logits, lambda dlogits: seen.append(dlogits) or dlogits

    values = [agreement_loss(Network(None, run), scale, batch)[0] for scale in (0.0, 9.0)]
    assert values[0] == values[1] > 0
    assert (seen[1][~batch.mask] == 0).all() and (seen[1][batch.mask] != 0).any(axis=-1).all()


def drawn_networks(seed=0):
    V = len(agreement_task().words) + 1
    inits = {name: net.init(np.random.default_rng(seed), V, 32) for name, net in NETWORKS.items()}
    return V, inits


def test_networks_have_the_windows_and_decays_of_their_names():
    V, inits = drawn_networks()
    windows = {name: [p.weight.shape[2] for p in inits[name][0]] for name in list(NETWORKS)[:4]}
    assert windows == {"window 2": [2], "window 4": [4], "window 8": [8], "TDNN": [2, 3, 5]}
    batch = few()
    x, teacher = one_hot(batch.x, V, np.float32), one_hot(batch.y, V, np.float32)
    zero = np.zeros((x.shape[1], V), np.float32)
    for name, alpha, fed in [
        ("Jordan, own outputs", 0.0, None),
        ("Jordan, own outputs, decay", 0.8, None),
        ("Jordan, taught", 0.0, teacher),
        ("Jordan, taught, decay", 0.8, teacher),
    ]:
        logits, _ = run_network(NETWORKS[name], inits[name], batch)
        assert np.array_equal(logits, jordan_forward(x, zero, inits[name], alpha, fed)[0])


def test_one_step_gradient_holds_the_state_fixed():
    # Only the output layer's gradient and the last step's are those of the whole sequence.
    _, inits = drawn_networks()
    batch, params = few(), inits["Elman"]
    one = Sentences(*(part[:1] if part.ndim == 2 else part for part in batch))
    names = ("Elman", "Elman, one-step gradient")
    for sentences, same in ((one, True), (batch, False)):
        (whole, out), (step, out_step) = (agreement_loss(NETWORKS[n], params, sentences)[1] for n in names)
        assert all(np.array_equal(a, b) for a, b in zip(out, out_step, strict=True))
        assert np.allclose(whole.weight_ih, step.weight_ih, rtol=0, atol=1e-6) == same


@pytest.mark.parametrize("name", NETWORKS)
def test_training_lowers_the_loss_of_each_network(name):
    _, inits = drawn_networks()
    trained = train_agreement(NETWORKS[name], seed=0, steps=8)
    batch = few(64)
    before, after = (agreement_loss(NETWORKS[name], p, batch)[0] for p in (inits[name], trained.params))
    assert after < before - 0.1


# The graded question on targets.


def test_targets_may_be_given_as_a_list():
    check("sequences.q5", lambda x, y: np.repeat(y[-1:], len(y), axis=0).tolist(), seed=0)


def test_decay_is_not_its_complement():
    def complement(x, c_0, params, alpha, teacher):
        return tuple(jordan_forward(x, c_0, params, 1 - alpha, fed)[0] for fed in (None, teacher))

    for seed in range(3):
        with pytest.raises(AssertionError):
            check("sequences.q4", complement, seed=seed)


def test_targets_that_leave_the_network_without_the_letter_are_refused():
    def late(x, y):
        return np.concatenate([y[:-2], y[-1:], y[-1:]])

    with pytest.raises(AssertionError, match="on its own outputs the network answers"):
        check("sequences.q5", late, seed=0)
    with pytest.raises(AssertionError, match="the last step are the question"):
        check("sequences.q5", lambda x, y: 0 * y, seed=0)
    with pytest.raises(AssertionError, match="use the classes 0"):
        check("sequences.q5", lambda x, y: np.concatenate([y[:-1] + 9, y[-1:]]), seed=0)
    with pytest.raises(AssertionError, match="return integers of the shape of y"):
        check("sequences.q5", lambda x, y: y[1:], seed=0)


# The twins on a device, in both precisions. Bounds: rounding of sums of at most some tens of terms.
DEVICE_TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 0.1}


def twins_on(device):
    x, past, layers, _, _ = drawn_window()
    window, _, _ = window_forward(x, past, layers)
    x_j, c_0, teacher, params = drawn_jordan(scale=1.0)
    expected = [window, *(jordan_forward(x_j, c_0, params, 0.4, fed)[0] for fed in (None, teacher))]
    for dtype, tolerance in DEVICE_TOLERANCES.items():

        def on(array, dtype=dtype):
            return torch.tensor(array, device=device, dtype=dtype)

        tdnn = torch_tdnn(layers, TDNN).to(device, dtype)
        jordan = torch_jordan(params, 0.4, Jordan).to(device, dtype)
        results = [tdnn(on(x), on(past))]
        results += [jordan(on(x_j), on(c_0), fed)[0] for fed in (None, on(teacher))]
        sum(r.float().square().sum() for r in results).backward()
        grads = [p.grad for p in (*tdnn.parameters(), *jordan.parameters())]
        assert all(g.device.type == device and g.dtype == dtype and g.isfinite().all() for g in grads)
        for result, right in zip(results, expected, strict=True):
            assert result.device.type == device and result.dtype == dtype
            check_parity({"output": result.detach().float().cpu()}, {"output": right}, tolerance)


@pytest.mark.gpu
def test_twins_on_cuda():
    twins_on("cuda")


def test_twins_on_the_cpu():
    twins_on("cpu")


def mutant_arguments(function, condition):
    """Arguments on which a mistake of this room hides under `condition`."""
    windows = (1,) if condition == "one delay" else (3,)
    (params,) = drawn_layers(sizes=(D, H), windows=windows)
    x, past, da = arrays((T, B, D), (windows[0] - 1, B, D), (T - windows[0] + 1, B, H))
    if condition == "zero bias":
        params = params._replace(bias=0 * params.bias)
    if condition == "symmetric kernel":
        params = params._replace(weight=params.weight + params.weight[:, :, ::-1])
    if condition == "one position":
        x, da = x[:3, :1], da[:1, :1]
    if function is delay_forward:
        return x, params
    if function is delay_backward:
        return da, delay_forward(x, params)[1]
    layers = drawn_layers(windows=(1, 1, 1)) if condition == "one delay" else drawn_layers()
    if function is tdnn_backward:
        _, cache = tdnn_forward(x, layers)
        if condition == "zero output":
            layers = tuple(DelayParams(layer.weight, 0 * layer.bias) for layer in layers)
            _, cache = tdnn_forward(1e-9 * x, layers)
        return arrays(cache.outputs[-1].shape)[0], cache
    if function is tdnn_reach:
        return (layers,)
    past = arrays((tdnn_reach(layers) - 1, B, D), seed=3)[0]
    if function is window_forward:
        return x, 0 * past if condition == "zero past" else past, layers
    if function is window_backward:
        dpast = 0 * past if condition == "no cotangent of the past" else past
        output, _, cache = window_forward(x, past, layers)
        return arrays(output.shape, seed=4)[0], dpast, cache
    if function is window_optimum:
        sequences, p = two_words()
        return {
            "window of the whole past": (sequences, p, 9),
            "nothing to guess": (sequences[:1], np.ones(1), 2),
            "equal probabilities": (sequences, p, 2),
        }[condition]
    x, c_0, teacher, params = drawn_jordan()
    alpha = 0.0 if condition == "no decay" else 0.4
    fed = teacher if condition == "teacher forced" else None
    if condition == "own outputs fed":
        fed = None
    if condition == "zero initial context":
        c_0 = 0 * c_0
    if condition == "zero biases":
        params = params._replace(bias_h=0 * params.bias_h, bias_o=0 * params.bias_o)
    if condition == "one step":
        x, teacher = x[:1], teacher[:1]
    if function is jordan_forward:
        return x, c_0, params, alpha, fed
    logits, c_T, cache = jordan_forward(x, c_0, params, alpha, fed)
    dlogits, dc_T = arrays(logits.shape, c_T.shape, seed=5)
    return dlogits, 0 * dc_T if condition == "one step" else dc_T, cache
