"""What rooms share and no chapter derives: stable functions, and the messages for bad input."""

from decimal import Decimal

import numpy as np
import pytest
import torch

from rnncourse._checks import check_floats, check_lengths, check_sequence, check_shape
from rnncourse._numerics import log_softmax, sigmoid, softmax, sum_rows


def test_sigmoid_keeps_its_digits_in_both_tails():
    a = np.array([-700, -40, -1.5, -1e-9, 0, 1e-9, 0.3, 36, 700])
    exact = [float(1 / (1 + (-Decimal(float(v))).exp())) for v in a]
    np.testing.assert_allclose(sigmoid(a), exact, rtol=1e-15, atol=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits_give_no_warning(dtype):
    a = np.array([-1e4, -1, 0, 1e4], dtype)
    np.testing.assert_array_equal(sigmoid(a)[[0, 3]], [0, 1])
    np.testing.assert_array_equal(softmax(a), [0, 0, 0, 1])
    np.testing.assert_allclose(log_softmax(a), torch.log_softmax(torch.tensor(a), 0).numpy(), rtol=1e-6)
    assert {f(a).dtype for f in (sigmoid, softmax, log_softmax)} == {np.dtype(dtype)}


@pytest.mark.parametrize("n", [0, 1, 50])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_equal_ids_are_added(n, dtype):
    rng = np.random.default_rng(n)
    ids, rows = rng.integers(0, 9, n), rng.normal(size=(n, 3)).astype(dtype)
    dense = np.zeros((9, 3), dtype)
    np.add.at(dense, ids, rows)
    unique, sums = sum_rows(ids, rows)
    np.testing.assert_array_equal(unique, np.unique(ids))
    np.testing.assert_allclose(sums, dense[unique], rtol=1e-5 if dtype == np.float32 else 1e-13)
    assert sums.dtype == dtype and sums.shape == (len(unique), 3)


def test_messages():
    floats, lengths = np.zeros((4, 3, 2)), np.array([4, 1, 2])
    cases = [
        (lambda: check_shape("h", floats, B=None, H=2), "h must have shape (B, H) = (any, 2), got (4, 3, 2)"),
        (lambda: check_shape("h", [[1, 2]], B=None, H=2), "h must be an array of shape (B, H), got a list"),
        (
            lambda: check_sequence("x", floats[:, :0], T=None, B=None, D=2),
            "x must have shape (T, B, D) with no size 0, got (4, 0, 2)",
        ),
        (lambda: check_floats(x=lengths), "x must hold floats, got dtype int64"),
        (
            lambda: check_floats(x=floats, h=floats.astype(np.float32)),
            "h must have the dtype of x, float64, got float32",
        ),
        (lambda: check_floats(x=floats, h=floats + np.nan), "h must be finite, got nan or inf"),
        (lambda: check_lengths(lengths, 4, 2), "lengths must have shape (B,) = (2,), got (3,)"),
        (lambda: check_lengths(lengths, 3, 3), "lengths must lie in 1 .. T = 3, got 1 .. 4"),
        (lambda: check_lengths(lengths - 1, 4, 3), "lengths must lie in 1 .. T = 4, got 0 .. 3"),
        (lambda: check_lengths(lengths * 1.0, 4, 3), "lengths must hold integers, got dtype float64"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message
    check_lengths(lengths, 4, 3)
    check_floats(x=floats, h=floats)
