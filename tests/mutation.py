"""Tests of the tests: run a test with another function in the place of the one it imports."""

import inspect
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import torch


def equation_tests(module):
    """The tests of `module` marked with an equation's label: (label, test) pairs."""
    return [
        (mark.args[0], test)
        for test in vars(module).values()
        for mark in getattr(test, "pytestmark", [])
        if mark.name == "equation"
    ]


@contextmanager
def replaced(module, **functions):
    """`module` with its imported functions replaced."""
    with patch.multiple(module, **functions):
        yield


def fails(test):
    """Whether `test` raises AssertionError; any other error is a fault of the test."""
    assert not inspect.signature(test).parameters, f"{test.__name__} must run without arguments"
    try:
        test()
    except AssertionError:
        return True
    return False


def names_used(test):
    """Global names that a test's code, nested functions included, refers to."""
    test = inspect.unwrap(test)
    names, codes = set(), [test.__code__]
    while codes:
        code = codes.pop()
        names |= set(code.co_names)
        codes += [constant for constant in code.co_consts if inspect.iscode(constant)]
    return names


def scaled(function, factor=1.001):
    """`function`, a module class or an autograd function, with every number of its result times `factor`."""
    if inspect.isclass(function) and issubclass(function, torch.nn.Module):
        return type(function.__name__, (function,), {"forward": scaled(function.forward, factor)})
    if inspect.isclass(function) and issubclass(function, torch.autograd.Function):
        return type(function.__name__, (), {"apply": staticmethod(scaled(function.apply, factor))})

    def wrong(*args, **kwargs):
        return _times(function(*args, **kwargs), factor)

    return wrong


def _times(value, factor):
    if isinstance(value, dict):
        return {key: _times(item, factor) for key, item in value.items()}
    if isinstance(value, tuple):
        items = [_times(item, factor) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value * factor
    if isinstance(value, (float, np.floating)) or (isinstance(value, np.ndarray) and value.dtype.kind == "f"):
        return value * factor
    return value
