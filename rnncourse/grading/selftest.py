"""The instructor's self-test: the course's own notebooks and mistakes get the points that they deserve."""

import json
from dataclasses import asdict

import click
import numpy as np
from tqdm import tqdm

from rnncourse.grading import run
from rnncourse.grading.check import parities
from rnncourse.grading.topic import load_topic, solution_cells


def hides(question, mutant, rng, rounds=20):
    """Whether a mistake changes no result of the question, on any of the inputs drawn."""
    mistaken = mutant.build()
    for parity in parities(question):
        for _ in range(rounds):
            arguments = parity.draw(rng)
            with np.errstate(all="ignore"):
                right, wrong = (parity.call(f, *arguments) for f in (parity.reference, mistaken))
            if not _same(right, wrong):
                return False
    return True


def _same(a, b):
    if isinstance(a, tuple):
        return all(_same(x, y) for x, y in zip(a, b, strict=True))
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True)


def mistakes(topic):
    """The mistakes of each question: (number, place in its parities, mutant), each mistake once."""
    for number, question in topic.judges.items():
        places = enumerate(parities(question))
        found = {mutant.name: (place, mutant) for place, parity in places for mutant in parity.mutants}
        for place, mutant in found.values():
            yield number, place, mutant


ANSWER = """import numpy as np
from rnncourse.grading.check import parities
from rnncourse.{topic}.exercise import QUESTIONS

parity = parities(QUESTIONS["{number}"])[{index}]
mistaken = next(m for m in parity.mutants if m.name == {name!r}).build()


def {function}(*arguments):
    return parity.call(mistaken, *arguments)
"""


def _notebook(source):
    cells = [{"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None}]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}).encode()


def expectations(topic, root, seed):
    """What is to be graded and what must come out: (name, bytes, whole, test) each.

    `test` takes the result and returns what is wrong with it, or None. `whole` runs with the whole package in
    the sandbox, since a mistake is made of the package's own code.
    """
    full = sum(q.points for q in topic.questions if q.function)
    solution = solution_cells(root / f"solutions/{topic.name}.ipynb").encode()
    yield "the solution", solution, False, lambda r: _differs(r, "graded", full)
    yield (
        "the exercise as given out",
        topic.exercise.encode(),
        False,
        lambda r: _differs(r, "not attempted", 0),
    )
    functions = {q.number: q for q in topic.questions}
    for number, index, mutant in mistakes(topic):
        asked = functions[number]
        names = {"topic": topic.name, "number": number, "index": index, "name": mutant.name}
        source = ANSWER.format(**names, function=asked.function)
        hidden = hides(topic.judges[number], mutant, np.random.default_rng(seed))
        points, said = (asked.points, "") if hidden else (0, f"{mutant.hint} Look again at {mutant.label}")
        yield f"{number}, {mutant.name}", _notebook(source), True, _question_test(number, points, said)


def _question_test(number, points, said):
    def test(result):
        question = next((q for q in result["questions"] if q["number"] == number), None)
        if question is None:
            return f"it is {result['status']}: {result['message']}"
        if question["points"] != points:
            return f"it gets {question['points']} points, not {points}: {question['message']}"
        if not question["message"].startswith(said):
            return f"its hint should be {said!r}, got {question['message']!r}"
        return None

    return test


def _differs(result, status, points):
    if (result["status"], result["total"]) != (status, points):
        return f"it is {result['status']} with {result['total']} of {points} points: {result['message']}"
    return None


def check(name, root, open_pool, seed, limits):
    """Grade what is known of the topic `name`.

    Raises
    ------
    ValueError
        If there is no such topic, or a grade is not what it should be; it lists them.
    """
    topic, faults = load_topic(name, root), []
    cases = list(expectations(topic, root, seed))
    common = {"topic": name, "exercise": topic.exercise, "libraries": list(topic.libraries), "seed": seed}
    common |= {"limits": asdict(limits), "boxed": True}
    with open_pool() as pool:
        futures = [pool.submit(run.grade_job, common | {"data": d, "whole": w}) for _, d, w, _ in cases]
        for (case, _, _, test), future in zip(tqdm(cases, unit="notebook"), futures, strict=True):
            wrong = test(future.result())
            if wrong:
                faults.append(f"{case}: {wrong}")
    if faults:
        raise ValueError(f"{name}: {len(faults)} of {len(cases)} grades are wrong:\n" + "\n".join(faults))
    click.echo(f"{name}: all {len(cases)} notebooks get the points that they deserve")
