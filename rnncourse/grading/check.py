"""`check`: what a student calls in the notebook to learn whether an answer is right, and if not, why."""

import copy
import importlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from rnncourse.grading.mutant import Mutant
from rnncourse.testing import relative_error

TOLERANCE = 1e-8
ROUNDS = 5


@dataclass(frozen=True)
class Parity:
    """A question whose answer must equal a reference function on random inputs."""

    reference: Callable
    draw: Callable
    """Takes a generator, returns the arguments: arrays of random shapes."""
    outputs: tuple
    """The names of the results, for messages."""
    mutants: tuple[Mutant, ...] = field(default=())
    call: Callable = lambda function, *arguments: function(*arguments)
    """How the reference, or a mutant of it, answers the question's arguments."""

    def judge(self, answer, rng):
        """Raise AssertionError, saying what is wrong, unless `answer` does what the reference does."""
        mistakes = [(mutant, mutant.build()) for mutant in self.mutants]
        failures, contradicted = {}, [set() for _ in mistakes]
        for _ in range(ROUNDS):
            arguments = self.draw(rng)
            given = copy.deepcopy(arguments)
            try:
                result = restoring(answer)(*given)
            except ValueError as error:  # NumPy's own words on shapes that do not fit
                shapes = ", ".join(str(leaf.shape) for leaf in _leaves(given))
                error.add_note(f"{answer.__name__} was called with arrays of the shapes {shapes}")
                raise
            actual = _named(result, self.outputs)
            _check_unchanged(given, arguments)
            wrong = _differences(actual, _named(self.call(self.reference, *arguments), self.outputs))
            failures |= {name: said for name, said in wrong.items() if name not in failures}
            for (_, function), names in zip(mistakes, contradicted, strict=True):
                names.update(_differences(actual, self._mistaken(function, arguments)))
        if not failures:
            return
        # The mistake that gives most of the wrong results, if it gives at least half of them in every round.
        explained = [len(failures.keys() - names) for names in contradicted]
        if explained and 2 * max(explained) >= len(failures):
            mutant, _ = mistakes[explained.index(max(explained))]
            raise AssertionError(f"{mutant.hint} Look again at {mutant.label} (page Equations).")
        raise AssertionError(next(iter(failures.values())))

    def _mistaken(self, function, arguments):
        return _named(self.call(function, *arguments), self.outputs)


@dataclass(frozen=True)
class Property:
    """A question with many right answers: `test` raises AssertionError for a wrong one."""

    test: Callable
    """Takes the answer and a generator."""

    def judge(self, answer, rng):
        """Raise AssertionError, saying what is wrong, unless `answer` has the property."""
        self.test(answer, rng)


@dataclass(frozen=True)
class Each:
    """A question that is asked in several ways, each in every check."""

    parts: tuple

    def judge(self, answer, rng):
        """Raise AssertionError unless `answer` passes every part."""
        for part in self.parts:
            part.judge(answer, rng)


class Partly(AssertionError):
    """An answer that is worth a share of the points."""

    def __init__(self, said, share):
        super().__init__(said)
        self.share = share


@dataclass(frozen=True)
class HeldOut:
    """A question whose answer is a trained model: a figure on data that it has not seen decides."""

    measure: Callable
    """Takes the answer and a generator, which draws the data; returns the figure."""
    none: float
    """The figure that is worth nothing, such as that of guessing; it may lie above or below `full`."""
    full: float
    """The figure that is worth all points. Between the two the points grow in proportion."""
    figure: str
    """Its name, for messages."""

    def judge(self, answer, rng):
        """Raise AssertionError, Partly where there are points, unless the figure reaches `full`."""
        reached = float(self.measure(answer, rng))
        share = (reached - self.none) / (self.full - self.none)
        if not share > 0:
            raise AssertionError(f"{self.figure} is {reached:.4g}, no better than {self.none:g}")
        if share < 1:
            raise Partly(f"{self.figure} is {reached:.4g}; all points are given for {self.full:g}", share)


@dataclass(frozen=True)
class ModuleParity:
    """A question whose answer is a class of torch modules: it must give the outputs of `reference`.

    Both are made with the same arguments and get the same weights, by their names in the state_dict.
    """

    reference: Callable
    draw: Callable
    """Takes a generator, returns the arguments of the class and the inputs, tensors of float64."""
    outputs: tuple

    def judge(self, answer, rng):
        """Raise AssertionError, saying what is wrong, unless the two give the same outputs."""
        import torch

        for _ in range(ROUNDS):
            sizes, inputs = self.draw(rng)
            torch.manual_seed(int(rng.integers(2**31)))
            right = self.reference(*sizes).double()
            module = answer(*sizes)
            module.double()
            try:
                module.load_state_dict(right.state_dict())
            except RuntimeError as error:
                raise AssertionError(f"your module does not take the weights by name: {error}") from None
            with torch.no_grad():
                results = [_detached(f(*(i.clone() for i in inputs))) for f in (module, right)]
            wrong = _differences(*(_named(result, self.outputs) for result in results))
            if wrong:
                raise AssertionError(next(iter(wrong.values())))


def _detached(result):
    if isinstance(result, tuple):
        return tuple(_detached(item) for item in result)
    return result.detach().numpy() if hasattr(result, "detach") else result


def parities(question):
    """The questions of parity that a question consists of."""
    if isinstance(question, Parity):
        return [question]
    parts = getattr(question, "parts", None) or [getattr(question, "part", None)]
    return [parity for part in parts if part is not None for parity in parities(part)]


def references(questions):
    """The functions that answer some of these questions (by number)."""
    return [parity.reference for question in questions.values() for parity in parities(question)]


def check(question, answer, seed=None):
    """Check the answer to a graded question on random inputs.

    Parameters
    ----------
    question : str
        Topic and number, as in ``"bptt.q2"``.
    answer : callable
        What the question asks for.
    seed : int, optional
        Makes the random inputs repeatable.

    Raises
    ------
    ValueError
        If there is no such question.
    AssertionError
        If the answer is wrong; it says what is wrong in terms of the topic.
    """
    topic, _, number = question.partition(".")
    try:
        questions = importlib.import_module(f"rnncourse.{topic}.exercise").QUESTIONS
    except ModuleNotFoundError:
        raise ValueError(f"no exercise has the topic {topic!r}, asked for {question!r}") from None
    if number not in questions:
        raise ValueError(f"{topic} has the questions {', '.join(questions)}, asked for {question!r}")
    if not callable(answer):
        raise AssertionError(f"{question} asks for a function, got {type(answer).__name__}")
    questions[number].judge(answer, np.random.default_rng(seed))
    print(f"{question}: passed")


def restoring(answer):
    """The answer, such that one sees what it changes in its arguments, even if it runs elsewhere.

    Only for copies: what the judge compares with must stay as it is.
    """
    return getattr(answer, "restoring", answer)


def draw_sizes(rng):
    """Four sizes from 2 to 6, all different, so that swapped axes show."""
    return (int(size) for size in rng.permutation(np.arange(2, 7))[:4])


def _named(result, names):
    """Arrays by name; nested tuples of parameters become name.field."""
    if len(names) == 1:
        result = (result,)
    if not isinstance(result, tuple) or len(result) != len(names):
        got = f"{len(result)} of them" if isinstance(result, tuple) else type(result).__name__
        raise AssertionError(f"return a tuple ({', '.join(names)}), got {got}")
    arrays = {}
    for name, value in zip(names, result, strict=True):
        if isinstance(value, tuple):
            fields = getattr(value, "_fields", range(len(value)))
            arrays |= {f"{name}.{f}": np.asarray(v) for f, v in zip(fields, value, strict=True)}
        else:
            try:
                arrays[name] = np.asarray(value)
            except ValueError:  # a list of arrays of different shapes
                kind = type(value).__name__
                raise AssertionError(f"{name} must be an array or a tuple of arrays, got a {kind}") from None
    return arrays


def _differences(actual, expected):
    """A sentence on each array that differs, by name."""
    if set(actual) != set(expected):
        raise AssertionError(f"return the fields {', '.join(expected)}, got {', '.join(actual)}")
    said = {}
    for name, right in expected.items():
        if actual[name].shape != right.shape:
            said[name] = f"{name} must have shape {right.shape}, got {actual[name].shape}"
        elif actual[name].dtype != right.dtype:
            said[name] = f"{name} must have dtype {right.dtype}, got {actual[name].dtype}"
        elif not np.isfinite(actual[name]).all():
            said[name] = f"{name} holds nan or inf"
        elif not (error := relative_error(actual[name], right)) <= TOLERANCE:
            said[name] = f"{name} has the right shape but wrong values: relative error {error:.1e}"
    return said


def _check_unchanged(given, arguments):
    for after, before in zip(_leaves(given), _leaves(arguments), strict=True):
        if not np.array_equal(after, before, equal_nan=True):
            raise AssertionError("your function changes one of its arguments in place: work on a copy")


def _leaves(tree):
    if isinstance(tree, tuple):
        return [leaf for item in tree for leaf in _leaves(item)]
    return [np.asarray(tree)]
