"""The ARPA format: a text file with the tables of an n-gram model, logarithms to base 10."""

import math
import re
from pathlib import Path

import numpy as np

from rnncourse.data.words import WordVocabulary
from rnncourse.ngram.numpy import BEGIN, SPECIALS, NGram

ZERO = -99.0
"""What stands for the logarithm of 0, which the format does not have."""
SPACE = "<space>"
"""What stands for the blank of a model of characters, since blanks separate the words of the file."""


def write_arpa(path, model):
    """Write a model as an ARPA file. A blank, as models of characters have it, is written as `SPACE`.

    To have another tool score characters, write its text likewise: ``t h e <space> c a t``.

    Parameters
    ----------
    path : str or pathlib.Path
    model : NGram
        Of :func:`rnncourse.ngram.numpy.fit`.

    Raises
    ------
    ValueError
        If a word is `SPACE`, is empty or holds white space, the blank alone excepted.
    """
    names = [SPACE if word == " " else word for word in model.vocabulary.words]
    for name, word in zip(names, model.vocabulary.words, strict=True):
        if not word or name.split() != [name]:
            raise ValueError(f"a word in an ARPA file must hold no white space, got {word!r}")
        if word == SPACE:
            raise ValueError(f"{SPACE} stands for the blank in an ARPA file, and must not be a word")
    lines = ["\\data\\", *(f"ngram {m}={len(keys)}" for m, keys in enumerate(model.keys, 1)), ""]
    grams = [""]
    for m, (keys, logprob) in enumerate(zip(model.keys, model.logprob, strict=True)):
        places, ids = np.divmod(keys, len(model.vocabulary))
        words = (names[i] for i in ids.tolist())
        grams = [f"{grams[p]} {w}".lstrip() for p, w in zip(places.tolist(), words, strict=True)]
        columns = [_log10(logprob), grams]
        if m < len(model.backoff):
            columns.append(_log10(model.backoff[m]))
        lines += [f"\\{m + 1}-grams:", *map("\t".join, zip(*columns, strict=True)), ""]
    Path(path).write_text("\n".join([*lines, "\\end\\", ""]), encoding="utf8")


def _log10(logs):
    return [f"{max(value, ZERO):.10g}" for value in (logs / math.log(10)).tolist()]


def read_arpa(path):
    r"""Read a model from an ARPA file, ours or that of another tool.

    What stands before ``\data\`` is skipped. The word `SPACE` is read as a blank. Where a line has no
    back-off weight, it is one. A logarithm of -99 or below is that of 0. ``<unk>`` has
    probability 0 if the file does not have it.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    NGram

    Raises
    ------
    ValueError
        If the file is broken: it names the line.
    """
    lines = _Lines(Path(path))
    while lines.peek() not in ("", "\\data\\"):
        lines.next()
    lines.expect("\\data\\")
    sizes = []
    while match := re.fullmatch(r"ngram (\d+)\s*=\s*(\d+)", lines.peek()):
        lines.next()
        if int(match[1]) != len(sizes) + 1:
            lines.fail(f"the size of order {len(sizes) + 1} must come here, got that of order {match[1]}")
        sizes.append(int(match[2]))
    if not sizes:
        lines.next()
        lines.fail("'ngram 1=...' must stand after \\data\\")

    tables = [_section(lines, m, size, m == len(sizes)) for m, size in enumerate(sizes, 1)]
    lines.expect("\\end\\")
    words = [gram for (gram,) in tables[0]]
    for special in SPECIALS[1:]:
        if special not in words:
            raise ValueError(f"{lines.path.name}: {special} must be among the 1-grams")
    order = [*SPECIALS, *(word for word in words if word not in SPECIALS)]
    vocabulary = WordVocabulary(tuple(order), (0,) * len(order))
    tables[0].setdefault((SPECIALS[0],), (-math.inf, 0.0, 0))
    return _to_model(vocabulary, tables, lines)


class _Lines:
    """The lines of a file that are not empty, with their numbers."""

    def __init__(self, path):
        self.path = path
        text = path.read_text(encoding="utf8")
        self.lines = [(i, line.strip()) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
        self.at = 0

    def peek(self):
        return self.lines[self.at][1] if self.at < len(self.lines) else ""

    def next(self):
        self.at += 1
        return self.lines[self.at - 1][1] if self.at <= len(self.lines) else ""

    def expect(self, wanted):
        if (got := self.next()) != wanted:
            self.fail(f"{wanted} must stand here, got {got!r}")

    def fail(self, message):
        number = self.lines[self.at - 1][0] if self.at <= len(self.lines) else "at the end"
        raise ValueError(f"{self.path.name}, line {number}: {message}")


def _section(lines, m, size, last):
    """The m-grams by their words: log-probability, log back-off and line."""
    lines.expect(f"\\{m}-grams:")
    table = {}
    for _ in range(size):
        line = lines.next()
        number = lines.at
        if line.startswith("\\") or not line:
            lines.fail(f"order {m} must have {size} lines, got {len(table)}")
        logprob, *rest = line.split()
        gram, weight = tuple(" " if word == SPACE else word for word in rest[:m]), rest[m:]
        if len(gram) < m or len(weight) > (not last):
            lines.fail(f"a line must hold a logarithm, {m} words{'' if last else ' and maybe a weight'}")
        try:
            values = float(logprob), float(weight[0] if weight else 0)
        except ValueError:
            lines.fail(f"a logarithm must be a number, got {line!r}")
        if not values[0] <= 0 and gram != (BEGIN,) or math.isnan(sum(values)):
            lines.fail(f"the logarithm of a probability must not be above 0, got {logprob}")
        if gram in table:
            lines.fail(f"{' '.join(gram)!r} stands there a second time")
        table[gram] = (*(v * math.log(10) if v > ZERO else -math.inf for v in values), number)
    return table


def _to_model(vocabulary, tables, lines):
    """The tables sorted by id, each m-gram found by the place of its context."""
    V, ids = len(vocabulary), {word: i for i, word in enumerate(vocabulary.words)}
    keys, logprobs, backoffs, places = [], [], [], {(): 0}
    for m, table in enumerate(tables):
        found = []
        for gram, (logprob, backoff, number) in table.items():
            if gram[-1] not in ids or gram[:-1] not in places:
                lines.at = number
                parts = f"{gram[-1]!r} and {' '.join(gram[:-1])!r}"
                lines.fail(f"{' '.join(gram)!r} needs {parts} among the shorter")
            found.append((places[gram[:-1]] * V + ids[gram[-1]], logprob, backoff, gram))
        found.sort()
        places = {gram: place for place, (*_, gram) in enumerate(found)}
        keys.append(np.array([key for key, *_ in found], int))
        logprobs.append(np.array([logprob for _, logprob, *_ in found], float))
        if m < len(tables) - 1:
            backoffs.append(np.array([backoff for *_, backoff, _ in found], float))
    return NGram(vocabulary, tuple(keys), tuple(logprobs), tuple(backoffs))
