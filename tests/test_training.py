"""The two loops against one another and against loops written out; comparison of seeds by counting."""

import importlib
import json
import math
import subprocess
import sys
from itertools import combinations, count, product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from rnncourse.bptt.numpy import cross_entropy_backward, output_backward, rnn_backward
from rnncourse.data.tales import tales_text
from rnncourse.gradients.numpy import clip_by_norm, global_norm
from rnncourse.optim import SGD, Adagrad, Adam
from rnncourse.optim._tree import tree_leaves
from rnncourse.rnn.numpy import cross_entropy_forward, output_forward, output_init, rnn_forward, rnn_init
from rnncourse.rnn.torch import RNN
from rnncourse.testing import check_gradient, check_parity
from rnncourse.training.architectures import ARCHITECTURES, Architecture, Embedding, Output, Recurrent
from rnncourse.training.exercise import QUESTIONS
from rnncourse.training.experiment import (
    CELLS,
    Setting,
    characters,
    held_out,
    learn,
    model_init,
    model_loss,
    windows,
    words,
)
from rnncourse.training.explorable import EQUAL, compute
from rnncourse.training.explorable import explorable as figure
from rnncourse.training.loop import since_best
from rnncourse.training.numpy import Diverged, bucket_batches, compare, misled, padding_share, train
from rnncourse.training.torch import build, cost
from rnncourse.training.torch import train as torch_train

T, B, D, H, V = 5, 3, 4, 6, 7
STEPS = 12


def drawn(seed=0):
    """Parameters of a small classifier, and batches."""
    rng = np.random.default_rng(seed)
    params = rnn_init(rng, D, H), output_init(rng, H, V)
    batches = [(rng.normal(size=(T, B, D)), rng.integers(0, V, (T, B))) for _ in range(STEPS)]
    return params, batches


def loss(params, batch):
    x, y = batch
    output, h_T, cache = rnn_forward(x, np.zeros((x.shape[1], H)), params[0])
    logits, output_cache = output_forward(output, params[1])
    value, loss_cache = cross_entropy_forward(logits, y)
    doutput, d_output = output_backward(cross_entropy_backward(1.0, loss_cache), output_cache)
    _, _, d_rnn = rnn_backward(doutput, np.zeros_like(h_T), cache)
    return value, (d_rnn, d_output)


class Classifier(torch.nn.Module):
    def __init__(self, params):
        super().__init__()
        kind = torch.float64
        self.rnn, self.out = torch.nn.RNN(D, H, dtype=kind), torch.nn.Linear(H, V, dtype=kind)
        self.rnn.load_state_dict({f"{n}_l0": torch.tensor(p) for n, p in params[0]._asdict().items()})
        self.out.load_state_dict({n: torch.tensor(p) for n, p in params[1]._asdict().items()})

    def forward(self, x):
        return self.out(self.rnn(x)[0])


def torch_loss(model, batch):
    x, y = (torch.as_tensor(a) for a in batch)
    return torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())


def by_path(tree):
    return dict(tree_leaves(tree))


def torch_names(params):
    """Parameters of the NumPy classifier under the module's names."""
    return {f"rnn.{n}_l0": p for n, p in params[0]._asdict().items()} | {
        f"out.{n}": p for n, p in params[1]._asdict().items()
    }


@pytest.mark.equation("training-step")
def test_loops_agree():
    params, batches = drawn()
    held = batches[0]
    optimisers = [
        (SGD(0.3, 0.9), lambda p: torch.optim.SGD(p, 0.3, momentum=0.9)),
        (Adam(0.05), lambda p: torch.optim.Adam(p, 0.05)),
        (Adagrad(0.1), lambda p: torch.optim.Adagrad(p, 0.1)),
    ]
    for clip, (ours, theirs) in product((None, 0.4), optimisers):
        model = Classifier(params)
        twin = torch_train(
            model,
            torch_loss,
            batches,
            theirs(model.parameters()),
            clip=clip,
            evaluate=lambda model: torch_loss(model, held).item(),
            every=5,
        )
        own = train(loss, params, batches, ours, clip=clip, evaluate=lambda p: loss(p, held)[0], every=5)
        # Twelve steps with momentum leave 1e-12 of rounding.
        check_parity(own.history._asdict(), twin.history._asdict())
        check_parity(torch_names(own.params), twin.params)
        assert (own.history.gradient_norm > 0.4).any()
        assert own.history.evaluated.tolist() == [0, 5, 10]
        assert own.history.evaluated.dtype == twin.history.evaluated.dtype == int


@pytest.mark.equation("training-step")
def test_loop_equals_the_loop_written_out():
    params, batches = drawn(1)
    for clip in (None, 0.4):
        optimiser = SGD(0.2, 0.5)
        trained = train(loss, params, batches, optimiser, clip=clip)
        p, state, losses, norms = params, optimiser.init(params), [], []
        for batch in batches:
            value, gradients = loss(p, batch)
            losses.append(value)
            norms.append(global_norm(gradients))
            if clip:
                gradients, _ = clip_by_norm(gradients, clip)
            p, state = optimiser.step(p, gradients, state)
        check_parity(by_path(trained.params), by_path(p))
        check_parity(by_path(trained.state), by_path(state))
        check_parity(
            {"loss": trained.history.loss, "norm": trained.history.gradient_norm},
            {"loss": losses, "norm": norms},
        )
        if clip:
            assert min(norms) < clip < max(norms)


def runs_of(train, torch_train, values, patience):
    """Runs whose evaluations are `values`, by both loops; the only parameter counts the steps."""
    given = iter(values)
    settings = {"every": 1, "patience": patience}

    def count_loss(params, _):
        return float(params[0]), -np.ones(1)

    own = train(count_loss, np.zeros(1), count(), SGD(1.0), evaluate=lambda params: next(given), **settings)
    again = iter(values)
    model = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
    torch.nn.init.zeros_(model.weight)
    twin = torch_train(
        model,
        lambda model, _: -model.weight.sum(),
        count(),
        torch.optim.SGD(model.parameters(), 1.0),
        evaluate=lambda model: next(again),
        **settings,
    )
    return own, twin, model.weight.item()


@pytest.mark.equation("training-stop")
def test_early_stopping_returns_the_best():
    # Evaluations, patience, steps taken, step of the best.
    cases = [
        ([3, 2, 2.5, 2.4, 2.3, 9], 3, 4, 1),
        ([3, 2, 2, 2, 2], 2, 3, 1),
        ([1, 2, 3], 1, 1, 0),
        ([5, 6, 4, 6, 3, 4, 5, 1], 2, 6, 4),
    ]
    for values, patience, steps, best in cases:
        own, twin, weight = runs_of(train, torch_train, values, patience)
        for run in (own, twin):
            check_parity({"evaluation": run.history.evaluation}, {"evaluation": values[: steps + 1]})
            assert len(run.history.loss) == steps
        check_parity({"own": own.params, "twin": twin.params["weight"][0]}, {"own": [best], "twin": [best]})
        assert weight == best
        seen = values[: steps + 1]
        assert since_best(seen) == patience and since_best(seen[:-1]) == patience - 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_since_best_counts(evaluation):
    n = since_best(evaluation)
    kept, after = evaluation[: len(evaluation) - n], evaluation[len(evaluation) - n :]
    assert kept[-1] == min(evaluation) and kept[-1] not in kept[:-1] and all(e >= kept[-1] for e in after)


def stepping(values, steps, every, patience=3, error=None):
    """Both loops, where the parameter counts the steps and the evaluations are `values` by steps taken."""

    def items():
        yield from range(steps)
        if error:
            raise error

    model = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
    torch.nn.init.zeros_(model.weight)
    yield lambda: train(
        lambda p, _: (1.0, -np.ones(1)),
        np.zeros(1),
        items(),
        SGD(1.0),
        evaluate=lambda p: values[int(p[0])],
        every=every,
        patience=patience,
    )
    yield lambda: torch_train(
        model,
        lambda model, _: -model.weight.sum(),
        items(),
        torch.optim.SGD(model.parameters(), 1.0),
        evaluate=lambda model: values[int(model.weight.item())],
        every=every,
        patience=patience,
    )


def at(params):
    """After which step the parameters of `stepping` are."""
    return float(params["weight"].item() if isinstance(params, dict) else params[0])


@pytest.mark.parametrize("steps, every, evaluated", [(5, 100, [0, 5]), (5, 3, [0, 3, 5]), (6, 3, [0, 3, 6])])
def test_patience_evaluates_after_the_last_step_too(steps, every, evaluated):
    for run in stepping([9, 8, 7, 6, 5, 4, 3], steps, every):
        trained = run()
        assert trained.history.evaluated.tolist() == evaluated
        assert at(trained.params) == steps


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("here")])
def test_what_an_interrupt_carries_is_the_best_with_patience_else_the_last(error):
    for patience, expected in ((5, 1), (None, 4)):
        for run in stepping([9, 5, 6, 7, 8], 4, 1, patience, error):
            with pytest.raises(type(error)) as caught:
                run()
            assert at(caught.value.trained.params) == expected
    for bad in (math.nan, math.inf):
        for run in stepping([9, 5, 6, bad], 4, 1):
            with pytest.raises(Diverged, match=f"the evaluation after 3 steps gave {bad}") as caught:
                run()
            assert at(caught.value.trained.params) == 1


def test_results_of_the_twin_are_copies():
    params, batches = drawn()
    model = Classifier(params)
    adam = torch.optim.Adam(model.parameters(), 0.1)
    first = torch_train(model, torch_loss, batches, adam, steps=3)
    kept = {name: p.clone() for name, p in first.params.items()}
    moment = first.state["state"][0]["exp_avg"].clone()
    torch_train(model, torch_loss, batches, adam, steps=3)
    check_parity(first.params, kept)
    check_parity({"moment": first.state["state"][0]["exp_avg"]}, {"moment": moment})
    assert not any(p.requires_grad for p in first.params.values())


def test_norm_and_clipping_of_the_twin_are_over_the_optimisers_parameters():
    params, batches = drawn()
    model = Classifier(params)
    run = torch_train(model, torch_loss, [batches[0]] * 4, torch.optim.SGD(model.out.parameters(), 0.0))
    _, (_, d_output) = loss(params, batches[0])
    expected = np.full(4, global_norm(d_output))
    check_parity({"norm": run.history.gradient_norm}, {"norm": expected})
    clip = 0.5 * expected[0]
    torch_train(model, torch_loss, batches[:1], torch.optim.SGD(model.out.parameters(), 1.0), clip=clip)
    after = {n: p.detach().numpy() for n, p in model.out.named_parameters()}
    check_parity(after, {n: p - 0.5 * getattr(d_output, n) for n, p in params[1]._asdict().items()})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_keeps_loss_and_norm(dtype):
    model = torch.nn.Linear(4, 1, bias=False, dtype=dtype)
    torch.nn.init.zeros_(model.weight)
    value = 70000.40625  # above float16, below the digits of bfloat16
    slope = torch.tensor([[40000.0] * 4])  # each fits into float16, their norm does not

    def large(model, _):
        return (model.weight.float() * slope).sum() + value

    run = torch_train(model, large, range(1), torch.optim.SGD(model.parameters(), 0.0))
    assert run.history.loss[0] == pytest.approx(value, rel=1e-7)
    assert run.history.gradient_norm[0] == pytest.approx(80000, rel=5e-3)
    for bad in (math.inf, math.nan):
        with pytest.raises(Diverged, match=f"the loss is {bad}"):
            torch_train(
                model, lambda m, _, bad=bad: large(m, _) * bad, [0], torch.optim.SGD(model.parameters(), 0.0)
            )


@pytest.mark.parametrize("mode", [True, False])
def test_evaluation_leaves_the_mode_as_it_was(mode):
    params, batches = drawn()
    model = Classifier(params).train(mode)
    torch_train(
        model, torch_loss, batches, torch.optim.SGD(model.parameters(), 0.1), evaluate=lambda m: 1.0, every=6
    )
    assert model.training is mode


@pytest.mark.filterwarnings("error")
def test_overflow_in_the_loss_gives_no_warning():
    def overflowing(params, _):
        return float(np.exp(params * 1e4).sum()), np.exp(params * 1e4) - np.exp(params * 1e4)

    with pytest.raises(Diverged, match="the loss is inf"):
        train(overflowing, np.ones(2), range(3), SGD(0.1))


def test_without_patience_the_last_parameters_come_back():
    values = iter([1.0, 2.0, 3.0])
    trained = train(
        lambda p, _: (0.0, -np.ones(1)),
        np.zeros(1),
        range(2),
        SGD(1.0),
        evaluate=lambda p: next(values),
        every=1,
    )
    assert trained.params == 2


@settings(max_examples=10, deadline=None)
@given(st.integers(1, STEPS - 1), st.sampled_from([SGD(0.1, 0.9), Adam(0.02), Adagrad(0.1)]))
def test_a_run_in_two_parts_is_the_same_run(first, optimiser):
    params, batches = drawn(2)
    whole = train(loss, params, batches, optimiser, clip=0.5)
    iterator = iter(batches)
    part = train(loss, params, iterator, optimiser, clip=0.5, steps=first)
    rest = train(loss, part.params, iterator, optimiser, clip=0.5, state=part.state)
    assert len(part.history.loss) == first
    assert np.array_equal(np.append(part.history.loss, rest.history.loss), whole.history.loss)
    assert all(np.array_equal(p, by_path(whole.params)[n]) for n, p in by_path(rest.params).items())


def test_a_run_of_the_twin_in_two_parts_is_one_run_with_one_history():
    params, batches = drawn(4)

    def part(model, optimiser, start, steps, history, kept):
        return torch_train(
            model,
            torch_loss,
            batches[start:],
            optimiser,
            steps=steps,
            evaluate=lambda model: torch_loss(model, batches[0]),
            every=3,
            history=history,
            keep=lambda history: kept.append(history),
        )

    runs = []
    for split in (STEPS - 1, 6, 4):
        model, kept = Classifier(params), []
        optimiser = torch.optim.Adam(model.parameters(), 0.1)
        run = part(model, optimiser, 0, split, None, kept)
        if split < STEPS - 1:
            run = part(model, optimiser, split, STEPS - 1, run.history, kept)
        runs.append((run, kept))
    (whole, kept), (even, kept_even), (odd, kept_odd) = runs
    for a, b in zip(whole.history, even.history, strict=True):
        assert np.array_equal(a, b)
    assert whole.history.evaluated.tolist() == [0, 3, 6, 9, STEPS - 1]
    # A part ends with an evaluation; later ones stay at the multiples of three, counted over both parts.
    assert odd.history.evaluated.tolist() == [0, 3, 4, 6, 9, STEPS - 1]
    assert np.array_equal(odd.history.loss, whole.history.loss)
    for history in (kept, kept_even, kept_odd):
        assert [len(h.loss) for h in history] == history[-1].evaluated.tolist()
    assert np.array_equal(kept_even[2].loss, whole.history.loss[:6])


def test_a_run_of_the_twin_goes_on_from_its_first_evaluation():
    params, batches = drawn(4)
    model, kept = Classifier(params), []
    settings = {
        "optimiser": torch.optim.SGD(model.parameters(), 0.1),
        "steps": 4,
        "evaluate": lambda model: torch_loss(model, batches[0]),
        "keep": kept.append,
    }
    torch_train(model, torch_loss, batches, **settings)
    model.load_state_dict(Classifier(params).state_dict())
    again = torch_train(model, torch_loss, batches, **settings, history=kept[0])
    for a, b in zip(kept[-1], again.history, strict=True):
        assert np.array_equal(a, b)


def test_a_history_that_does_not_fit():
    params, batches = drawn(4)
    model = Classifier(params)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    history = torch_train(model, torch_loss, batches, optimiser, steps=3).history
    for wrong, message in [
        ({"history": history, "steps": 2}, "steps must be at least the 3 of the history, got 2"),
        (
            {"history": history, "patience": 1, "evaluate": lambda model: 0.0},
            "patience needs all evaluations in one run, got a history",
        ),
        ({"keep": lambda history: None}, "keep needs evaluate, got None"),
    ]:
        with pytest.raises(ValueError, match=message):
            torch_train(model, torch_loss, batches, optimiser, **wrong)


def test_arguments_are_not_changed_and_dtype_is_kept():
    params, batches = drawn()
    kept = {name: p.copy() for name, p in by_path(params).items()}
    trained = train(loss, params, batches, Adam(0.1))
    assert all(np.array_equal(p, kept[name]) for name, p in by_path(params).items())
    assert all(not np.array_equal(p, kept[name]) for name, p in by_path(trained.params).items())
    half = train(
        lambda p, _: (np.float32(1), np.float32([1.0])), np.float32([2.0]), range(3), Adam(0.1), clip=0.5
    )
    assert half.params.dtype == np.float32
    assert half.history.loss.dtype == half.history.gradient_norm.dtype == np.float64


def test_no_steps_and_no_evaluations():
    trained = train(loss, drawn()[0], [], SGD(0.1))
    assert [len(a) for a in trained.history] == [0, 0, 0, 0]
    assert trained.history.evaluated.dtype == int


def poisoned(params, batch):
    """The loss, with what the batch says put into value or gradients."""
    value, (d_rnn, d_output) = loss(params, batch[:2])
    what, number = batch[2:]
    if what == "loss":
        value = number
    if what == "gradient":
        d_rnn = d_rnn._replace(weight_hh=np.full_like(d_rnn.weight_hh, number))
        d_output = d_output._replace(bias=d_output.bias * number)
    if what == "size":
        d_rnn = d_rnn._replace(weight_hh=np.full_like(d_rnn.weight_hh, 1.7e308))
    return value, (d_rnn, d_output)


@pytest.mark.parametrize(
    "what, number, cause",
    [
        ("loss", math.nan, r"the loss is nan"),
        ("loss", math.inf, r"the loss is inf"),
        ("gradient", math.nan, r"the loss is [\d.]+, but the gradient of 0.weight_hh, 1.bias is not finite"),
        ("size", 0, r"the loss is [\d.]+ and every gradient is finite, but their norm overflows"),
    ],
)
def test_divergence_says_what_and_keeps_what_was_reached(what, number, cause):
    params, batches = drawn(3)
    batches = [(*batch, *((what, number) if i == 4 else ("", 0))) for i, batch in enumerate(batches)]
    with pytest.raises(
        Diverged, match=f"^step 5: {cause}; the gradient's norm in the step before was "
    ) as caught:
        train(poisoned, params, batches, SGD(0.1))
    before = train(poisoned, params, batches, SGD(0.1), steps=4)
    assert np.array_equal(caught.value.trained.history.loss, before.history.loss)
    after = by_path(caught.value.trained.params)
    assert all(np.array_equal(p, after[name]) for name, p in by_path(before.params).items())


def test_divergence_of_the_twin_names_the_parameter():
    params, batches = drawn(3)
    model = Classifier(params)
    model.rnn.weight_hh_l0.register_hook(lambda g: g * math.nan)
    with pytest.raises(
        Diverged, match=r"^step 1: .* the gradient of rnn.weight_hh_l0 is not finite; "
    ) as caught:
        torch_train(model, torch_loss, batches, torch.optim.SGD(model.parameters(), 0.1))
    check_parity(caught.value.trained.params, torch_names(params))
    model = Classifier(params)
    with pytest.raises(Diverged, match="^step 1: the loss is nan"):
        torch_train(
            model, lambda m, b: torch_loss(m, b) * math.nan, batches, torch.optim.SGD(model.parameters(), 0.1)
        )
    check_parity(dict(model.state_dict()), torch_names(params))


def test_an_evaluation_that_is_not_finite_stops():
    params, batches = drawn()
    with pytest.raises(Diverged, match="the evaluation after 0 steps gave nan") as caught:
        train(loss, params, batches, SGD(0.1), evaluate=lambda p: math.nan)
    assert len(caught.value.trained.history.loss) == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupts_and_errors_carry_what_was_reached(error):
    params, batches = drawn()

    def interrupted():
        yield from batches[:4]
        raise error("here")

    with pytest.raises(error) as caught:
        train(loss, params, interrupted(), Adam(0.1))
    before = train(loss, params, batches, Adam(0.1), steps=4)
    assert caught.value.trained.state.step == 4
    assert np.array_equal(caught.value.trained.history.loss, before.history.loss)
    assert caught.value.__notes__[0].startswith("in training, after 4 steps; ")
    model = Classifier(params)
    with pytest.raises(error) as caught:
        torch_train(model, torch_loss, interrupted(), torch.optim.SGD(model.parameters(), 0.1))
    assert len(caught.value.trained.history.loss) == 4


def test_evaluation_of_the_twin_is_in_evaluation_mode():
    params, batches = drawn()
    model = Classifier(params)
    modes = []

    def evaluate(model):
        modes.append((model.training, torch.is_grad_enabled()))
        return 1.0

    torch_train(
        model, torch_loss, batches, torch.optim.SGD(model.parameters(), 0.1), evaluate=evaluate, every=6
    )
    assert modes == [(False, False)] * 3 and model.training


def test_parameters_without_gradient_are_left_alone():
    params, batches = drawn()
    model = Classifier(params)
    for p in model.rnn.parameters():
        p.requires_grad_(False)
    torch_train(model, torch_loss, batches, torch.optim.SGD(model.parameters(), 0.1), clip=0.1)
    after = dict(model.state_dict())
    frozen = {n: p for n, p in torch_names(params).items() if n.startswith("rnn")}
    check_parity({n: after[n] for n in frozen}, frozen)
    assert not np.allclose(after["out.bias"], params[1].bias)


def test_progress_bar_shows_on_demand(capsys):
    params, batches = drawn()
    train(loss, params, batches, SGD(0.1), progress=True, description="a run", steps=5)
    shown = capsys.readouterr().err
    assert "a run" in shown and "5/5" in shown and "loss" in shown
    train(loss, params, batches, SGD(0.1), progress=False)
    train(loss, params, batches, SGD(0.1))  # no terminal
    assert capsys.readouterr().err == ""


def test_progress_bar_shows_by_default_on_a_terminal(capsys, monkeypatch):
    params, batches = drawn()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    train(loss, params, batches, SGD(0.1), description="a run")
    assert "a run" in capsys.readouterr().err


def test_numpy_half_needs_no_torch():
    modules = "rnncourse.training.numpy, rnncourse.training.experiment"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_padding_by_hand():
    lengths = np.array([2, 5, 3, 5])
    assert padding_share(lengths, [[0, 1], [2, 3]]) == 1 - 15 / 20
    assert padding_share(lengths, [[0, 2], [1, 3]]) == pytest.approx(1 - 15 / 16)
    assert padding_share(lengths, [[i] for i in range(4)]) == 0


@pytest.mark.equation("training-padding")
def test_padding_is_what_a_padded_array_holds():
    rng = np.random.default_rng(4)
    lengths = rng.integers(1, 9, 11)
    batches = [np.array([0, 3, 5, 10]), np.array([2, 1]), np.array([9]), np.array([4, 6, 7, 8])]
    real = positions = 0
    for batch in batches:
        padded = np.zeros((len(batch), max(lengths[i] for i in batch)))
        for row, i in enumerate(batch):
            padded[row, : lengths[i]] = 1
        real, positions = real + padded.sum(), positions + padded.size
    check_parity({"share": padding_share(lengths, batches)}, {"share": 1 - real / positions})


lengths_drawn = st.lists(st.integers(1, 30), min_size=1, max_size=40).map(np.array)


@settings(max_examples=50, deadline=None)
@given(lengths_drawn, st.integers(1, 7), st.none() | st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_buckets_hold_every_index_once(lengths, B, pool, seed):
    batches = bucket_batches(lengths, B, np.random.default_rng(seed), pool)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert max(map(len, batches)) <= B and len(batches) == math.ceil(len(lengths) / B)
    again = bucket_batches(lengths, B, np.random.default_rng(seed), pool)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    if len(lengths) % B == 0:  # batches of one size: neighbours in the sorted list pad least
        best = np.sort(lengths).reshape(-1, B)
        everything = bucket_batches(lengths, B, np.random.default_rng(seed))
        share = 1 - lengths.sum() / (B * best.max(1).sum())
        assert padding_share(lengths, everything) == pytest.approx(share, abs=1e-12)
        assert padding_share(lengths, batches) >= share - 1e-12


def test_larger_pools_pad_less():
    rng = np.random.default_rng(0)
    lengths = rng.geometric(0.1, 640)
    shares = [padding_share(lengths, bucket_batches(lengths, 16, rng, pool)) for pool in (1, 4, None)]
    assert shares[0] > shares[1] > shares[2] > 0


def test_buckets_are_shuffled_and_so_is_their_order():
    lengths = np.arange(1, 41)
    rng = np.random.default_rng(1)
    for pool in (None, 2):
        drawn = [bucket_batches(lengths, 4, rng, pool) for _ in range(20)]
        firsts = {tuple(batches[0]) for batches in drawn}
        assert len(firsts) > 5  # of ten batches, each comes first about twice
        assert len({tuple(np.sort(np.concatenate(batches[:2]))) for batches in drawn}) > 5
    # Equal lengths: who meets whom is drawn anew.
    alike = [bucket_batches(np.full(12, 3), 4, np.random.default_rng(seed)) for seed in range(8)]
    assert len({frozenset(frozenset(b) for b in batches) for batches in alike}) == 8


def test_one_small_batch_can_pad_more_than_it_must():
    lengths = np.array([1, 1, 9, 9])
    sorted_share = padding_share(lengths, bucket_batches(lengths, 3, np.random.default_rng(0)))
    assert sorted_share > 0.3 and padding_share(lengths, [[0, 1], [2, 3]]) == 0


@pytest.mark.equation("training-paired")
def test_paired_error_is_that_of_the_differences():
    rng = np.random.default_rng(11)
    common = rng.normal(size=7)
    a, b = common + 0.1 * rng.normal(size=7), common + 0.2 * rng.normal(size=7) - 0.5
    result = compare(a, b, paired=True)
    # var(a - b) = var(a) + var(b) - 2 cov(a, b)
    moments = np.cov(a, b)
    by_hand = np.sqrt((moments[0, 0] + moments[1, 1] - 2 * moments[0, 1]) / 7)
    check_parity({"d": result.difference, "e": result.error}, {"d": np.mean(a - b), "e": by_hand})
    assert result.error < 0.5 * compare(a, b).error


def test_equal_settings_give_what_the_chapter_and_the_figure_say():
    rng = np.random.default_rng(12)
    pairs = rng.normal(size=(400, 2, 10))
    for k, expected in zip((1, 3), EQUAL, strict=True):
        shares = [misled(a, b, k) for a, b in pairs[: 400 if k == 1 else 200]]
        error = np.std(shares, ddof=1) / np.sqrt(len(shares))
        assert abs(np.mean(shares) - expected) < 0.005 + 3 * error
        assert error < 0.012


@pytest.mark.equation("training-error")
def test_standard_error_is_that_of_simulated_comparisons():
    rng = np.random.default_rng(5)
    a, b = rng.normal(2, 0.5, 9), rng.normal(1, 1.5, 5)
    result = compare(a, b)
    by_hand = np.sqrt(np.sum((a - a.mean()) ** 2) / 8 / 9 + np.sum((b - b.mean()) ** 2) / 4 / 5)
    check_parity({"d": result.difference, "e": result.error}, {"d": a.mean() - b.mean(), "e": by_hand})
    # The squared error has the variance of the difference as its mean: 0.5^2 / 9 + 1.5^2 / 5.
    many = [compare(rng.normal(2, 0.5, 9), rng.normal(1, 1.5, 5)) for _ in range(4000)]
    variance = 0.25 / 9 + 2.25 / 5
    assert np.mean([m.error**2 for m in many]) == pytest.approx(variance, rel=0.05)
    assert np.var([m.difference for m in many]) == pytest.approx(variance, rel=0.1)
    flat = compare(np.array([1.0, 1.0]), np.array([2.0, 4.0, 3.0]))
    check_parity({"d": flat.difference, "e": flat.error}, {"d": -2.0, "e": np.sqrt(1 / 3)})


@pytest.mark.equation("training-misled")
def test_misled_counts_choices():
    rng = np.random.default_rng(6)
    a, b = rng.normal(0, 1, 5), rng.normal(0.3, 1, 4)
    b[0] = a[2]  # a tie
    higher = a.mean() > b.mean()
    for k in (1, 2, 3):
        outcomes = []
        for of_a in combinations(a, k):
            for of_b in combinations(b, k):
                difference = sum(of_a) / k - sum(of_b) / k
                outcomes.append(0.5 if difference == 0 else float((difference > 0) != higher))
        check_parity({"share": misled(a, b, k)}, {"share": np.mean(outcomes)})
    check_parity({"by hand": misled(np.array([1.0, 3]), np.array([2.0, 5]), 1)}, {"by hand": 0.25})


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=6), st.lists(st.floats(-5, 5), min_size=2, max_size=6))
def test_misled_is_symmetric_and_zero_for_all_seeds(a, b):
    a, b = np.array(a), np.array(b)
    if abs(a.mean() - b.mean()) < 1e-9:
        return
    assert misled(a, b, 1) == pytest.approx(misled(b, a, 1)) == pytest.approx(misled(-a, -b, 1))
    if len(a) == len(b):
        assert misled(a, b, len(a)) == 0


@pytest.mark.parametrize("cell, layers", list(product(CELLS, (1, 2))))
def test_language_model_gradient(cell, layers):
    rng = np.random.default_rng(7)
    params = model_init(rng, cell, V, D, H, layers)
    batch = rng.integers(0, V, (2, T, B))
    _, gradients = model_loss(cell, params, batch, drop=0.4, rng=np.random.default_rng(8))
    names = by_path(params)

    def value(**changed):
        leaves = iter((names | {name.replace("_of_", "."): p for name, p in changed.items()}).items())

        def rebuilt(tree):
            if not isinstance(tree, tuple):
                return next(leaves)[1]
            children = [rebuilt(child) for child in tree]
            return type(tree)(*children) if hasattr(tree, "_fields") else tuple(children)

        return model_loss(cell, rebuilt(params), batch, 0.4, np.random.default_rng(8), backward=False)

    flat = {name.replace(".", "_of_"): leaf for name, leaf in names.items()}
    check_gradient(value, flat, {name.replace(".", "_of_"): g for name, g in by_path(gradients).items()})


def test_dropout_drops_the_share_it_says_and_keeps_the_mean():
    rng = np.random.default_rng(13)
    embedding, stack, output = model_init(rng, "rnn", V, D, 50)
    # Logits of the right id alone: the loss of one step is then a function of the sum of what was kept.
    output = output._replace(weight=np.zeros_like(output.weight), bias=np.zeros_like(output.bias))
    batch = rng.integers(0, V, (2, 40, 30))
    for drop in (0.1, 0.4):
        _, (_, _, gradients) = model_loss(
            "rnn", (embedding, stack, output), batch, drop, np.random.default_rng(14)
        )
        _, (_, _, without) = model_loss("rnn", (embedding, stack, output), batch)
        # With zero logits the output weight's gradient is linear in what the layer reads: its mean over masks
        # is that without dropout, and its spread is that of a share `drop` of zeros.
        many = [
            model_loss("rnn", (embedding, stack, output), batch, drop, np.random.default_rng(seed))[1][2]
            for seed in range(40)
        ]
        weights = np.array([g.weight for g in many])
        spread = weights.std(0, ddof=1)
        assert np.abs(weights.mean(0) - without.weight).mean() < 0.25 * spread.mean()
        x, y = batch
        layer, _, _ = rnn_forward(embedding[x], np.zeros((30, 50)), stack[0])
        error = (1 / V - (y[..., None] == np.arange(V))) / y.size
        variance = np.einsum("tbv,tbh->vh", error**2, layer**2) * drop / (1 - drop)
        np.testing.assert_allclose(np.mean(spread**2), np.mean(variance), rtol=0.1)
        assert not np.allclose(gradients.weight, without.weight)


def test_embeddings_have_one_norm_at_every_size():
    for E in (4, 64, 300):
        embedding, _, _ = model_init(np.random.default_rng(0), "rnn", 2000, E, 3)
        assert np.mean((embedding**2).sum(1)) == pytest.approx(16, rel=0.05)


def test_training_and_held_out_text_do_not_overlap():
    for data in (characters, words):
        training, last, n = data()
        assert abs(len(last) / (len(training) + len(last)) - 0.1) < 1e-3
        assert max(training.max(), last.max()) < n
    training, last, _ = characters()
    assert len(training) + len(last) == len(tales_text())


def test_a_study_run_is_its_seeds_and_reads_only_the_first_characters():
    setting, short = Setting("rnn", 4, 4), {"steps": 3, "B": 2, "T": 5, "drop": 0.2}
    losses = [learn(setting, seed, **short).history.loss for seed in (0, 0, 1)]
    assert np.array_equal(losses[0], losses[1]) and not np.array_equal(losses[0], losses[2])
    training, last, V = characters()
    # A text whose later part has other ids: a run on the first part must never meet them.
    poisoned = training.copy()
    poisoned[100:] = (poisoned[100:] + 1) % V
    runs = [
        learn(setting, 0, data=lambda text=text: (text, last, V), first=100, **short).history.loss
        for text in (training, poisoned)
    ]
    assert np.array_equal(*runs)


def lstm_size(D, H, layers=1, directions=1):
    """Parameters of a stack of LSTM layers, written out."""
    inputs = [D] + [H * directions] * (layers - 1)
    return sum(directions * 4 * H * (d + H + 2) for d in inputs)


def test_architectures_without_a_published_count_have_the_counts_of_their_rows():
    counts = {a.task: cost(build(a)).parameters for a in ARCHITECTURES if not a.published}
    gru = 3 * 200 * (100 + 200 + 2)
    assert counts == {
        "speech (notes: 500K words)": lstm_size(1, 1000, 7, 2),
        "speech (notes: 82K words)": lstm_size(1, 600, 5, 2),
        "captions": lstm_size(512, 512),
        "images, 256 units": lstm_size(264, 256) + lstm_size(100, 256),
        "images, 400 units": 2 * lstm_size(1, 400),
        "images, 800 units": 2 * lstm_size(1, 800),
        "answer selection": lstm_size(300, 500, 2, 2),
        "summaries": 119_000 * 100 + 2 * gru + 68_000 * 100 + gru + 200 * 68_000 + 68_000,
    }


def test_explorable_judges_by_two_paired_errors_and_its_first_draws_mislead_somewhere():
    d = np.array([-1.0, 1.0, 0.0, 2.0, 0.5, -0.3, 1.2, 0.1])
    error = d.std(ddof=1) / np.sqrt(len(d))
    base = np.linspace(0, 9, len(d)) ** 1.5  # what both owe to the seed
    for errors, answer in ((1.5, "neither"), (1.95, "neither"), (2.05, "b"), (-2.05, "a")):
        a = base + d - d.mean() + errors * error
        assert compute({"a": a.tolist(), "b": base.tolist(), "k": 1})["answer"] == answer
    record = json.loads((Path(__file__).parents[1] / "book/results/training-study.json").read_text())
    told, first = [], []
    for pair in figure(record).data["pairs"]:
        a, b = pair["losses"]
        told.append(compute({"a": a, "b": b, "k": 1})["answer"])
        first.append("a" if a[0] < b[0] else "b")
    decided = [(t, f) for t, f in zip(told, first, strict=True) if t != "neither"]
    assert len(decided) >= 2 and any(t != f for t, f in decided) and any(t == f for t, f in decided)
    assert "neither" in told


def steady(seed, every, steps, lr, wrong=None):
    """Answers to question 6: a right one, and those with one mistake."""
    rng, looking = np.random.default_rng(seed).spawn(2)
    if wrong == "second generator of the same seed":
        rng, looking = np.random.default_rng(seed), np.random.default_rng(seed)
    if wrong == "evaluation without seed":
        looking = np.random.default_rng()
    truth, w = rng.normal(size=8), np.zeros(8)
    fixed = (np.random.default_rng(0).random((16, 8)) < 0.9) / 0.9
    losses, evaluations = [], []
    for step in range(1, steps + 1):
        if wrong == "same batches for every seed":
            rng = np.random.default_rng(step)
        x = rng.normal(size=(16, 8))
        mask = (rng.random(x.shape) < 0.9) / 0.9
        mask = {"no mask": np.ones_like(x), "mask not scaled": 0.9 * mask, "one mask": fixed}.get(wrong, mask)
        error = (x * mask) @ w - x @ truth
        losses.append((error**2).mean())
        before = w
        w = w - (0.1 if wrong == "rate ignored" and lr else lr) * 2 * (x * mask).T @ error / len(x)
        if step % every:
            continue
        if wrong == "restored generator":
            state = rng.bit_generator.state
            x = rng.normal(size=(16, 8))
            rng.bit_generator.state = state
        elif wrong == "one generator":
            x = rng.normal(size=(16, 8))
        elif wrong == "one fixed batch":
            x = np.random.default_rng([seed, 7]).normal(size=(16, 8))
        elif wrong != "training batch":
            x = looking.normal(size=(16, 8))
        kept = (looking.random(x.shape) < 0.9) / 0.9 if wrong == "dropout in evaluation" else 1
        read = before if wrong == "w before the step" else w
        error = (x * kept) @ read - x @ truth
        evaluations.append(
            np.random.default_rng().random() if wrong == "random numbers" else (error**2).mean()
        )
        if wrong == "evaluation updates":
            w = w - lr * 2 * x.T @ error / len(x)
    return np.array(losses), np.array(evaluations)


QUESTION_6 = {
    "random numbers": "called twice",
    "evaluation without seed": "called twice",
    "one generator": "the losses differ from step",
    "evaluation updates": "the losses differ from step",
    "one fixed batch": "each evaluation must draw a fresh batch",
    "training batch": "also trained on",
    "restored generator": "also trained on",
    "second generator of the same seed": "training draws as well|also trained on",
    "same batches for every seed": "different seeds must draw different batches",
    "no mask": "your losses are not those of this training",
    "mask not scaled": "your evaluations are not those of this training",
    "one mask": "your losses are not those of this training",
    "rate ignored": "your losses are not those of this training",
    "dropout in evaluation": "your evaluations are not those of this training",
    "w before the step": "your evaluations are not those of this training",
}


@pytest.mark.parametrize("wrong", QUESTION_6)
def test_wrong_answers_to_question_6_are_refused(wrong):
    with pytest.raises(AssertionError, match=QUESTION_6[wrong]):
        QUESTIONS["q6"].judge(lambda *arguments: steady(*arguments, wrong), np.random.default_rng(0))


def test_right_answers_to_question_6_pass():
    # Generator 38 once drew the same seed twice.
    for seed in (0, 38):
        QUESTIONS["q6"].judge(steady, np.random.default_rng(seed))


def test_windows_are_pieces_of_the_text():
    ids = np.arange(50)
    x, y = next(windows(np.random.default_rng(0), ids, 4, 6))
    assert x.shape == y.shape == (6, 4) and (y == x + 1).all() and (np.diff(x, axis=0) == 1).all()
    x, y = held_out(ids, 3, 10)
    assert x[0].tolist() == [0, 19, 39] and y[-1, -1] == 49


def test_cost_by_hand_and_by_torch():
    parts = Embedding(50, 8), Recurrent("lstm", 8, 6, 2, True), Recurrent("gru", 9, 5), Output(12, 50)
    module = build(Architecture("a task", "a paper", parts), "cpu")
    lstm = 2 * 4 * 6 * ((8 + 6) + (12 + 6)), 2 * 4 * 6 * 2 * 2
    gru = 3 * 5 * (9 + 5), 3 * 5 * 2
    matrices = lstm[0] + gru[0] + 12 * 50
    result = cost(module)
    assert result.parameters == 50 * 8 + matrices + lstm[1] + gru[1] + 50
    assert result.bytes == 4 * result.parameters
    assert result.operations == 2 * matrices
    # torch counts the products of one step of a written-out network and of the output layer.
    rnn, out = RNN(8, 6, dtype=torch.float64), torch.nn.Linear(6, 50, dtype=torch.float64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        out(rnn(torch.zeros(1, 1, 8, dtype=torch.float64))[0])
    twin = torch.nn.ModuleList([torch.nn.RNN(8, 6), out])
    assert counter.get_total_flops() == cost(twin).operations


def test_every_architecture_is_built_without_memory_and_matches_what_is_published():
    for architecture in ARCHITECTURES:
        module = build(architecture)
        assert all(p.is_meta for p in module.parameters())
        if architecture.published:
            millions = cost(module).parameters / 1e6
            digits = len(architecture.published.partition(".")[2].rstrip("M"))
            assert f"{millions:.{digits}f}M" == architecture.published, architecture.task


def nothing(params, batch):
    return 0.0, np.zeros(2)


ZEROS = np.zeros(2)
LINEAR = torch.nn.Linear(1, 1)
MESSAGES = [
    (lambda: train(nothing, ZEROS, [], SGD(1), steps=0), "steps must be an integer of at least 1, got 0"),
    (lambda: train(nothing, ZEROS, [], SGD(1), every=0), "every must be an integer of at least 1, got 0"),
    (lambda: train(nothing, ZEROS, [], SGD(1), patience=2), "patience needs evaluate, got None"),
    (
        lambda: train(nothing, ZEROS, [], SGD(1), patience=0, evaluate=len),
        "patience must be an integer of at least 1, got 0",
    ),
    (lambda: train(nothing, ZEROS, [], SGD(1), clip=0), "clip must be above 0, got 0"),
    (lambda: train(nothing, ZEROS, [], SGD(1), clip=math.nan), "clip must be above 0, got nan"),
    (lambda: train(nothing, [0.0], [], SGD(1)), "params must be an array of floats, got list"),
    (
        lambda: train(lambda p, b: 0.0, ZEROS, [0], SGD(1)),
        "loss must return the pair (value, gradients), got float",
    ),
    (
        lambda: train(lambda p, b: (np.zeros(3), ZEROS), ZEROS, [0], SGD(1)),
        "loss must return one number, got an array of shape (3,): take its mean",
    ),
    (
        lambda: train(lambda p, b: (None, ZEROS), ZEROS, [0], SGD(1)),
        "loss must return one number, got NoneType",
    ),
    (
        lambda: train(lambda p, b: (0.0, (ZEROS,)), ZEROS, [0], SGD(1)),
        "gradients must have the structure of params, [''], got ['0']",
    ),
    (
        lambda: train(lambda p, b: (0.0, (ZEROS, None)), (ZEROS, ZEROS), [0], SGD(1)),
        "gradient of 1 must have shape (2,), got NoneType",
    ),
    (
        lambda: train(lambda p, b: (0.0, np.zeros(3)), ZEROS, [0], SGD(1)),
        "gradient of params must have shape (2,), got (3,)",
    ),
    (lambda: torch_train(None, None, [], None, clip=-1), "clip must be above 0, got -1"),
    (
        lambda: torch_train(LINEAR, lambda m, b: 1.0, [0], torch.optim.SGD(LINEAR.parameters(), 1)),
        "loss must return a tensor with one number, got float",
    ),
    (
        lambda: torch_train(
            LINEAR, lambda m, b: torch.zeros(3), [0], torch.optim.SGD(LINEAR.parameters(), 1)
        ),
        "loss must return a tensor with one number, got shape (3,)",
    ),
    (
        lambda: padding_share(np.array([1.0]), [[0]]),
        "lengths must hold at least one integer, got 1 of dtype float64",
    ),
    (lambda: padding_share(np.array([2, 0]), [[0]]), "lengths must be at least 1, got 0"),
    (
        lambda: padding_share(np.array([2, 1]), [[0], []]),
        "every batch must hold at least one index, got an empty one",
    ),
    (lambda: padding_share(np.array([2, 1]), [[0, 2]]), "indices must lie in 0 .. n - 1 = 1, got [0 2]"),
    (lambda: bucket_batches(np.array([2, 1]), 0, None), "B must be an integer of at least 1, got 0"),
    (lambda: bucket_batches(np.array([2, 1]), 1, None, 0), "pool must be an integer of at least 1, got 0"),
    (lambda: bucket_batches(np.array([[2]]), 1, None), "lengths must have shape (n,) = (any,), got (1, 1)"),
    (lambda: compare(ZEROS, np.zeros(1)), "b must hold at least 2 results, got 1"),
    (lambda: compare(np.zeros((2, 2)), ZEROS), "a must have shape (n,) = (any,), got (2, 2)"),
    (lambda: compare(ZEROS, np.array([1.0, math.nan])), "b must be finite, got nan or inf"),
    (lambda: compare(np.array([1, 2]), ZEROS), "a must hold floats, got dtype int64"),
    (lambda: compare(ZEROS, np.ones(3), paired=True), "b must have shape (n,) = (2,), got (3,)"),
    (
        lambda: misled(np.arange(20.0), np.ones(20), 10),
        "k = 10 of 20 and 20 results gives 34134779536 pairs, over ten million",
    ),
    (lambda: misled(ZEROS, np.ones(3), 3), "k must be at most 2, the number of results, got 3"),
    (lambda: misled(ZEROS, ZEROS, 1), "a and b must have different means: there is no order to get wrong"),
    (
        lambda: cost(torch.nn.LayerNorm(3)),
        "module must consist of Embedding, Linear, RNN, GRU and LSTM, got LayerNorm",
    ),
]


@pytest.mark.parametrize("call, message", MESSAGES, ids=[message for _, message in MESSAGES])
def test_messages(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


def mutant_arguments(function, condition):
    """Arguments on which a mistake of this room hides under `condition`."""
    rng = np.random.default_rng(9)
    if function is train:
        params, batches = drawn()
        if condition == "zero gradients":
            return (
                lambda p, b: (1.5, tuple(type(t)(*(0 * a for a in t)) for t in p)),
                params,
                batches,
                SGD(0.1, 0.9),
            )
        return loss, params, batches, SGD(0.1, 0.9)
    if function is since_best:
        return (
            ([4.0, 2.0, 1.0, 3.0, 5.0],)
            if condition == "rising after the best"
            else ([4.0, 1.0, 3.0, 2.0, 5.0],)
        )
    if function is padding_share:
        lengths = np.array([2, 5, 3, 5, 1, 4])
        return lengths, [np.arange(6)] if condition == "one batch" else [np.array([0, 1]), np.array([3, 4])]
    a, b = rng.normal(0, 1, 5), rng.normal(0.3, 1, 5 if condition == "equally many seeds" else 4)
    if condition == "second without spread":
        a, b = np.array([0.0, 1, 2, 3, 9]), np.full(5, 2.5)
    if condition == "no spread":
        a, b = np.full(5, 1.0), np.full(4, 2.0)
    return (a, b) if function is compare else (a, b, 1)


def on(device, dtype):
    """Losses of the twin on a device and the NumPy loop's in float64, ten steps of one LSTM classifier."""
    rng = np.random.default_rng(10)
    torch.manual_seed(0)
    model = torch.nn.LSTM(D, H, dtype=torch.float64)
    start = {name: p.clone() for name, p in model.state_dict().items()}
    batches = [torch.tensor(rng.normal(size=(T, B, D))) for _ in range(10)]

    def squares(model, x):
        return model(x)[0].float().square().mean()

    losses = []
    for place, kind in (("cpu", torch.float64), (device, dtype)):
        model = torch.nn.LSTM(D, H, dtype=kind, device=place)
        model.load_state_dict(start)
        data = [x.to(place, kind) for x in batches]
        run = torch_train(model, squares, data, torch.optim.SGD(model.parameters(), 0.5), clip=0.05)
        losses.append(run.history.loss)
    return losses


def test_float32_on_cpu_follows_float64():
    expected, actual = on("cpu", torch.float32)
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype, rtol", [(torch.float32, 1e-3), (torch.bfloat16, 0.1)])
def test_twin_on_cuda(dtype, rtol):
    expected, actual = on("cuda", dtype)
    np.testing.assert_allclose(actual, expected, rtol=rtol)


def test_the_room_has_one_loop():
    for half in ("numpy", "torch"):
        module = importlib.import_module(f"rnncourse.training.{half}")
        assert module.Diverged is Diverged
