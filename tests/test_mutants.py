"""Each classic mistake is caught by its room's tests, and hides where it says it hides."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from mutation import equation_tests, fails, replaced

import rnncourse
from rnncourse.bptt.numpy import rnn_backward, rnn_backward_truncated
from rnncourse.rnn.numpy import (
    cross_entropy_forward,
    output_forward,
    output_init,
    rnn_forward,
    rnn_init,
    rnn_step,
)
from rnncourse.testing import relative_error

ROOMS = sorted(path.parent.name for path in Path(rnncourse.__file__).parent.glob("*/mutants.py"))
BANKS = {room: importlib.import_module(f"rnncourse.{room}.mutants").MUTANTS for room in ROOMS}
CASES = [pytest.param(room, m, id=f"{room}: {m.name}") for room, bank in BANKS.items() for m in bank]
T, B, D, H, V = 4, 3, 4, 4, 5


@pytest.mark.parametrize("room", ROOMS)
def test_bank_is_large_enough(room):
    assert len(BANKS[room]) >= 8
    assert len({m.name for m in BANKS[room]}) == len(BANKS[room])


@pytest.mark.parametrize("room, mutant", CASES)
def test_mutant_is_caught(room, mutant):
    module = importlib.import_module(f"test_{room}")
    tests = [test for _, test in equation_tests(module)]
    with replaced(module, **{mutant.function.__name__: mutant.build()}):
        assert any(fails(test) for test in tests)


def arguments(function, condition):
    """Arguments on which a mistake of rnn or bptt hides under `condition`; not all of them zero.

    Another room's tests have a function ``mutant_arguments`` for the same.
    """
    rng = np.random.default_rng(7)
    steps = 1 if condition in ("one step", "one position", "zero state, one step") else T
    batch = 1 if condition in ("one sequence", "one position") else B
    nonlinearity = "relu" if condition == "relu" else "tanh"
    params = rnn_init(rng, D, H)
    h_0 = rng.normal(size=(batch, H))
    x = rng.normal(size=(steps, batch, D))
    output_params = output_init(rng, H, V)
    if condition.startswith("zero state"):
        h_0 = 0 * h_0
    if condition == "zero biases":
        params = params._replace(bias_ih=0 * params.bias_ih, bias_hh=0 * params.bias_hh)
        output_params = output_params._replace(bias=0 * output_params.bias)
    if condition == "zero weight_hh":
        params = params._replace(weight_hh=0 * params.weight_hh)
    if condition == "identity weight_hh":
        params = params._replace(weight_hh=np.eye(H))
    if condition == "symmetric weight_hh":
        params = params._replace(weight_hh=params.weight_hh + params.weight_hh.T)
    if condition == "fixed point":  # every step maps the state onto itself
        params = params._replace(bias_ih=np.arctanh(0.3 * np.ones(H)) - params.weight_hh @ (0.3 * np.ones(H)))
        params = params._replace(bias_hh=0 * params.bias_hh, weight_ih=0 * params.weight_ih)
        h_0 = 0.3 * np.ones((batch, H))
    if function is rnn_step:
        return x[0], h_0, params, nonlinearity
    if function is rnn_forward:
        return x, h_0, params, nonlinearity
    output, _, cache = rnn_forward(x, h_0, params, nonlinearity)
    logits, output_cache = output_forward(output, output_params)
    if function is output_forward:
        return output, output_params
    mask = np.ones((steps, batch), bool)
    mask[-1, 1:] = condition == "no padding"
    targets = rng.integers(0, V, (steps, batch))
    reduction = "sum" if condition == "sum of the loss" else "mean"
    if function is cross_entropy_forward:
        return logits, targets, mask, reduction
    doutput, dh_T = rng.normal(size=output.shape), rng.normal(size=h_0.shape)
    if condition == "no final cotangent" or condition == "one step":
        dh_T = 0 * dh_T
    if function is rnn_backward:
        return doutput, dh_T, cache
    if function is rnn_backward_truncated:
        windows = {
            "equal windows": (2, 2),
            "window as long as the sequence": (T, T),
            "zero state, one window": (2, T),
            "period one": (1, 2),
        }
        return doutput, cache, *windows[condition]
    if condition == "one position":
        return rng.normal(size=logits.shape), output_cache
    _, loss_cache = cross_entropy_forward(logits, targets, mask, reduction)
    return 1.0 if condition == "upstream gradient one" else 1.7, loss_cache


@pytest.mark.parametrize("room, mutant", CASES)
def test_mutant_keeps_shapes_and_hides_where_it_says(room, mutant):
    build = getattr(importlib.import_module(f"test_{room}"), "mutant_arguments", arguments)
    given = build(mutant.function, mutant.agrees)
    right, wrong = leaves(mutant.function(*given)), leaves(mutant.build()(*given))
    assert [(a.shape, a.dtype) for a in right] == [(a.shape, a.dtype) for a in wrong]
    assert any(np.abs(a).max() > 0 for a in right)
    assert max(relative_error(a, b) for a, b in zip(wrong, right, strict=True)) < 1e-12


def leaves(result):
    """The arrays of a result; what a cache holds is not part of it."""
    if isinstance(result, tuple):
        return [leaf for item in result if not type(item).__name__.endswith("Cache") for leaf in leaves(item)]
    return [np.asarray(result)]
