"""Minute 8: fill in one line, and the check names the mistake."""

import ast
from pathlib import Path

import numpy as np

from rnncourse.explorable import Explorable
from rnncourse.rnn.numpy import rnn_forward
from rnncourse.welcome.forward import WEIGHTS, draw, rnn_params

ANSWER = "np.tanh(W_ih @ x + W_hh @ h + b_ih + b_hh)"

# The answer in parts, each right or wrong in one of the ways below; the check looks for the fewest wrong
# parts that give the reader's numbers.
PARTS = [
    [
        ["W_ih @ x", None],
        ["", "The input term W_ih @ x is missing."],
        ["-W_ih @ x", "There is a minus sign before the input term; all terms are added."],
        ["W_ih.T @ x", "W_ih is transposed (x @ W_ih is W_ih.T @ x)."],
        ["W_ih * x", "W_ih * x multiplies entry by entry; the matrix product is W_ih @ x."],
        ["W_ih @ h", "W_ih is given the state h; it belongs to the input x."],
        ["W_hh @ x", "The input x is given to W_hh; it belongs to W_ih."],
    ],
    [
        ["W_hh @ h", None],
        ["", "The recurrent term W_hh @ h is missing: nothing read earlier reaches the new state."],
        ["-W_hh @ h", "There is a minus sign before the recurrent term; all terms are added."],
        ["W_hh.T @ h", "W_hh is transposed (h @ W_hh is W_hh.T @ h)."],
        ["W_hh * h", "W_hh * h multiplies entry by entry; the matrix product is W_hh @ h."],
        ["W_hh @ x", "W_hh is given the input x; it belongs to the state h."],
        ["W_ih @ h", "The state h is given to W_ih; it belongs to W_hh."],
    ],
    [
        ["b_ih + b_hh", None],
        ["b_ih", "The bias b_hh is missing."],
        ["b_hh", "The bias b_ih is missing."],
        ["", "Both biases, b_ih and b_hh, are missing."],
        ["-b_ih + b_hh", "There is a minus sign before b_ih; all terms are added."],
        ["b_ih - b_hh", "There is a minus sign before b_hh; all terms are added."],
        ["-b_ih - b_hh", "There is a minus sign before both biases; all terms are added."],
        ["2 * b_ih", "b_ih is added twice, b_hh not at all."],
        ["2 * b_hh", "b_hh is added twice, b_ih not at all."],
    ],
]
# What is done to the sum; an underscore stands for it.
WRAPS = [
    ["np.tanh(_)", None],
    ["_", "The nonlinearity is missing: the sum goes through np.tanh."],
    ["relu(_)", "This is relu; here the nonlinearity is tanh."],
    ["-np.tanh(_)", "There is a minus sign before tanh."],
    ["np.tanh(np.tanh(_))", "tanh is applied twice."],
]
SWAPPED = "x and h, or W_ih and W_hh, have changed places: W_ih belongs to the input x, W_hh to the state h."
EACH_TERM = "tanh is applied to each term; it acts on the sum of all."
# Mistakes that are not one wrong part; tried first.
WHOLE = [
    ["np.tanh(W_ih @ h + W_hh @ x + b_ih + b_hh)", SWAPPED],
    ["np.tanh(W_ih @ x) + np.tanh(W_hh @ h) + b_ih + b_hh", EACH_TERM],
    ["np.tanh(W_ih @ x + b_ih) + np.tanh(W_hh @ h + b_hh)", EACH_TERM],
    ["np.tanh(W_ih @ x) + np.tanh(W_hh @ h)", f"{EACH_TERM} Both biases, b_ih and b_hh, are missing."],
    ["h", "This returns the state as it came: the input is not read."],
    ["x", "This is the input itself, without a weight."],
]


def explorable():
    """Ask for the line that computes the new state; check what is typed on seeded numbers.

    Returns
    -------
    Explorable
    """
    rng = np.random.default_rng(7)
    cases = []
    for D, H in [(2, 3), (2, 2)]:
        numbers = draw(rng, D, H, T=4)
        _, states = _run(numbers, np.zeros(H))
        h = rng.integers(1, 10, H) / 10
        x = numbers["x"][1]
        after, _ = _run({**numbers, "x": [x]}, h)
        cases.append(
            {
                "numbers": {**numbers, "x": x, "h": h.tolist()},
                "expected": after.tolist(),
                "sequence": numbers["x"],
                "states": states.tolist(),
            }
        )
    data = {"cases": cases, "answer": ANSWER, "parts": PARTS, "wraps": WRAPS, "whole": WHOLE}
    return Explorable(Path(__file__).with_suffix(".js"), "Fill in one line: the new hidden state", data)


def _run(numbers, h_0):
    """The last state and all states after `h_0`, without the batch axis."""
    output, h_T, _ = rnn_forward(np.array(numbers["x"])[:, None], h_0[None], rnn_params(numbers))
    return h_T[0], output[:, 0]


FUNCTIONS = {
    "np.tanh": (np.tanh, 1),
    "tanh": (np.tanh, 1),
    "relu": (lambda a: np.maximum(a, 0), 1),
    "np.maximum": (np.maximum, 2),
}
OPERATORS = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.MatMult: np.matmul}


def _value(node, numbers):
    match node:
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_value(left, numbers), _value(right, numbers))
        case ast.UnaryOp(ast.USub(), operand):
            return -_value(operand, numbers)
        case ast.UnaryOp(ast.UAdd(), operand):
            return _value(operand, numbers)
        case ast.Constant(value) if type(value) in (int, float):
            return np.float64(value)
        case ast.Name(name) if name in numbers:
            return numbers[name]
        case ast.Attribute(of, "T"):
            return _value(of, numbers).T
        case ast.Call(func, args, []) if ast.unparse(func) in FUNCTIONS:
            function, arity = FUNCTIONS[ast.unparse(func)]
            if len(args) == arity:
                return function(*(_value(arg, numbers) for arg in args))
    raise ValueError(f"{ast.unparse(node)} is not part of the exercise")


def compute(input):
    """Evaluate an expression in NumPy's notation, without executing it as code.

    Parameters
    ----------
    input : dict
        ``expression``, at most 200 characters: the names of ``numbers``, numbers, ``+ - * @``, ``.T``,
        parentheses, ``tanh``, ``np.tanh``, ``relu`` and ``np.maximum``; ``numbers``, a dict of lists.

    Returns
    -------
    dict
        ``value``, a number or nested lists; or ``error``, True, where the expression does not parse, uses
        anything else, or its shapes do not fit.
    """
    numbers = {name: np.array(value, float) for name, value in input["numbers"].items()}
    expression = input["expression"].strip()
    try:
        if len(expression) > 200:
            raise ValueError("longer than 200 characters")
        with np.errstate(over="ignore", invalid="ignore"):
            value = _value(ast.parse(expression, mode="eval").body, numbers)
        if not np.isfinite(value).all():
            raise ValueError("not finite")
    except (SyntaxError, ValueError):
        return {"error": True}
    return {"value": value.tolist()}


EXPRESSIONS = [
    ANSWER,
    "tanh(b_hh + b_ih + h @ W_hh.T + x @ W_ih.T)",
    "np.tanh(W_ih@x+W_hh@h+(b_ih+b_hh))",
    "np.tanh(W_hh @ h - -b_ih + W_ih @ x + 1.0 * b_hh)",
    "W_ih @ x + W_hh @ h + b_ih + b_hh",
    "relu(W_ih @ x + W_hh @ h + b_ih + b_hh)",
    "np.maximum(W_ih @ x + W_hh @ h + b_ih + b_hh, 0)",
    "np.tanh(W_ih @ x) + W_hh @ h + b_ih + b_hh",
    "np.tanh(W_ih @ h + W_hh @ x + b_ih + b_hh)",
    "np.tanh(W_ih.T @ x + W_hh.T @ h + b_ih + b_hh)",
    "np.tanh(W_ih * x + W_hh * h + b_ih + b_hh)",
    "np.tanh(W_ih @ x + W_hh * h + b_ih + b_hh)",
    "-(W_hh - 2 * W_hh.T @ W_hh) @ h * b_ih - .5",
    "-W_hh @ h + +b_ih * h @ h",
    "h @ h * b_ih + W_hh @ W_ih @ x",
    "W_ih + W_hh",
    "W_ih.T @ W_hh @ h",
    "x + h",
    "np.maximum(W_hh, h)",
    "np.maximum(h.T.T, W_hh).T * 1e-2",
    "2 * 3 - -1.5",
    "2 @ h",
    "h @ W_ih @ x",
    "np.tanh(W_ih @ x + W_hh @ h + b_ih + b_hh",
    "np.tanh",
    "np.exp(h)",
    "np.tanh(h, x)",
    "W_xh @ x",
    "W_ih @ x / 2",
    "h ** 2",
    "h[0]",
    "h x",
    "",
    "h.shape",
    "__import__('os')",
    "h if x else h",
    "1e999 * h",
]


def random_input(rng):
    """Draw an expression, right or wrong, and numbers with H = 3, D = 2 or H = D = 2.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
        An input of :func:`compute`.
    """
    D, H = 2, int(rng.choice([3, 2]))
    shapes = [(H, D), (H, H), (H,), (H,)]
    numbers = {name: rng.normal(size=shape).tolist() for name, shape in zip(WEIGHTS, shapes, strict=True)}
    numbers |= {"x": rng.normal(size=D).tolist(), "h": rng.normal(size=H).tolist()}
    return {"expression": str(rng.choice(EXPRESSIONS)), "numbers": numbers}
