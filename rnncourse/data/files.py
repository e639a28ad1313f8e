"""The reader's own files."""

import codecs
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np


def read_text(path):
    r"""Read a text file in UTF-8.

    Every line end becomes ``\n`` and a byte order mark is dropped.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    ValueError
        If it holds no text, or bytes that are not UTF-8; the message has the line of the first of them.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory, not a text file")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    data = path.read_bytes().removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path} is not UTF-8: line {line} has the byte 0x{data[error.start]:02x}") from None
    if not text.strip():
        raise ValueError(f"{path} is empty or blank")
    return text


class Judgements(NamedTuple):
    """Pairs of words, and how alike people find them."""

    pairs: tuple
    """(first word, second word) tuples."""
    scores: np.ndarray
    """(n,) floats, larger for more alike."""


HEADINGS = ("score", "human", "mean", "rating", "similarity", "relatedness")
"""How the heading of a column of scores may begin."""


def read_judgements(path, lower=True):
    """Read pairs of words with a score, in the form of WordSim-353: word, tab, word, tab, score.

    Blank lines and lines that start with ``#`` are left out, and so is a heading, a first line whose third
    field begins with one of :data:`HEADINGS`; fields after the third are ignored. Source of the form:
    Finkelstein et al. (2002).

    Parameters
    ----------
    path : str or path
    lower : bool
        Whether to write the words in lower case.

    Returns
    -------
    Judgements

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    ValueError
        If it is not UTF-8, holds no pair, or a line has another form; the message has the line.
    """
    pairs, scores = [], []
    first = True
    for number, line in _lines(path):
        if line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) < 3 or not fields[0] or not fields[1]:
            raise ValueError(
                f"{path}, line {number}: expected word, tab, word, tab, score, got {line[:60]!r}"
            )
        heading, first = first and fields[2].lower().startswith(HEADINGS), False
        if heading:
            continue
        try:
            score = float(fields[2].replace("_", "?"))  # Python would read 1_0 as ten
        except ValueError:
            raise ValueError(f"{path}, line {number}: {fields[2]!r} is no number") from None
        if not math.isfinite(score):
            raise ValueError(f"{path}, line {number}: the score must be finite, got {fields[2]}")
        pairs.append(tuple(word.lower() if lower else word for word in fields[:2]))
        scores.append(score)
    if not pairs:
        raise ValueError(f"{path} holds no pair of words")
    return Judgements(tuple(pairs), np.array(scores))


def read_analogies(path, lower=True):
    """Read analogy questions in the form of Google's set: four words a line, ``: name`` before each section.

    A line "man woman king queen" says: man is to woman as king is to queen. Source of the form: Mikolov et
    al. (2013).

    Parameters
    ----------
    path : str or path
    lower : bool
        Whether to write the words in lower case.

    Returns
    -------
    dict of str to tuple
        For each section its (a, b, c, d) tuples of words. Questions before the first name are in the section
        "".

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    ValueError
        If it is not UTF-8, holds no question, or a line has not four words; the message has the line.
    """
    sections, name = {}, ""
    for number, line in _lines(path):
        if line.startswith(":"):
            name = line[1:].strip()
            continue
        words = (line.lower() if lower else line).split()
        if len(words) != 4:
            raise ValueError(f"{path}, line {number}: expected four words, got {len(words)}: {line[:60]!r}")
        sections.setdefault(name, []).append(tuple(words))
    if not sections:
        raise ValueError(f"{path} holds no question")
    return {name: tuple(questions) for name, questions in sections.items()}


def read_pairs(path):
    """Read sentences with their translations: source, tab, target, one pair a line.

    Blank lines and fields after the second are left out; the files of the Tatoeba project have such fields.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    list of (str, str)
        In the order of the file, without blanks at the ends.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    ValueError
        If it is not UTF-8, holds no pair, or a line lacks the tab or one of the sides; the message has the
        line.
    """
    pairs = []
    for number, line in _lines(path):
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) < 2:
            raise ValueError(
                f"{path}, line {number}: expected source, tab, target, got no tab: {line[:60]!r}"
            )
        for side, field in zip(("source", "target"), fields, strict=False):
            if not field:
                raise ValueError(f"{path}, line {number}: the {side} is empty: {line[:60]!r}")
        pairs.append((fields[0], fields[1]))
    return pairs


def _lines(path):
    """The lines that are not blank, with their numbers."""
    numbered = enumerate(read_text(path).split("\n"), start=1)
    return [(number, line.strip(" \r")) for number, line in numbered if line.strip()]
