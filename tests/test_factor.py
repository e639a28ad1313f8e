"""Tests of the tests: each test that an equation's row names fails when the function's result is 0.1% off."""

import importlib

import pytest
from mutation import fails, names_used, replaced, scaled
from test_equations import ROOT, equations

CASES = [
    (equation.label, function, test)
    for equation in equations.scan(ROOT)
    for function in equation.functions
    for test in equation.tests
]


def resolve(dotted):
    """The object with this dotted name."""
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


def pairs():
    """The (label, function, test) triples whose test calls that function."""
    for label, function, test in CASES:
        module = importlib.import_module(test.partition("::")[0].removeprefix("tests/").removesuffix(".py"))
        check = getattr(module, test.partition("::")[2])
        names = [n for n in names_used(check) if vars(module).get(n) is resolve(function)]
        if names:
            yield pytest.param(module, check, names[0], id=f"{label}: {function} by {check.__name__}")


@pytest.mark.parametrize("module, check, name", list(pairs()))
def test_a_factor_of_1_001_is_noticed(module, check, name):
    assert not fails(check)
    with replaced(module, **{name: scaled(getattr(module, name))}):
        assert fails(check)


def test_every_function_of_an_equation_is_called_by_one_of_its_tests():
    called = {param.id.partition(" by ")[0] for param in pairs()}
    assert called == {f"{label}: {function}" for label, function, _ in CASES}
