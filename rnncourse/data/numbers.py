"""Numbers written in digits, in English and in German: pairs to translate, as many as one likes."""

import re

import numpy as np
from num2words import num2words

from rnncourse._checks import check_choice, check_positive

LARGEST = 999_999
"""From a million on German writes nouns, apart and with a plural ("zwei Millionen")."""

FORMS = ("digits", "english", "german")
"""How a number can be written."""

_WORD = re.compile("[a-z]+")
# Longest first where one begins another: "eins" before "ein", "dreizehn" before "drei".
_PART = re.compile(
    "null|eins|ein|zwölf|elf|"
    "(?:drei|vier|fünf|sech|sieb|acht|neun)zehn|zehn|"
    "zwanzig|dreißig|(?:vier|fünf|sech|sieb|acht|neun)zig|"
    "zwei|drei|vier|fünf|sechs|sieben|acht|neun|und|hundert|tausend"
)


def write_number(number, form):
    """Write a number, as a sequence of words.

    English is written without hyphens and commas: ``("twenty", "one")``. German writes any number below a
    million as one word; this is cut into its parts: 21 is ``("ein", "und", "zwanzig")``, the unit before the
    ten, where English and the digits have the ten before the unit. The parts, put together, are the German
    spelling: ``"".join(write_number(21, "german"))`` is "einundzwanzig". The words from 13 to 19
    ("dreizehn") and the tens ("dreißig") are one part each, as in English. The digits are one word each.

    Source: the spelling is that of num2words, which writes "one hundred and one" and "einhunderteins".

    Parameters
    ----------
    number : int
        In 0 .. 999,999.
    form : {"digits", "english", "german"}

    Returns
    -------
    tuple of str
        Out of 10 digits, 31 English words, or 32 German parts.

    Raises
    ------
    ValueError
        If the number is out of range or the form none of these.
    """
    check_choice("form", form, FORMS)
    _check_number("number", number)
    # num2words does not know NumPy's integers.
    number = int(number)
    if form == "digits":
        return tuple(str(number))
    if form == "english":
        return tuple(_WORD.findall(num2words(number, lang="en")))
    return tuple(_PART.findall(num2words(number, lang="de")))


def number_pairs(rng, count, *, source="english", target="german", low=0, high=LARGEST):
    """Draw different numbers, each equally likely, and write each in two ways.

    No number is drawn twice, so that pairs held out are of numbers that a model has not seen.

    Parameters
    ----------
    rng : np.random.Generator
    count : int
    source, target : {"digits", "english", "german"}
        How to write them, see :func:`write_number`.
    low, high : int
        The least and the largest number, both in 0 .. 999,999.

    Returns
    -------
    list of (tuple of str, tuple of str)
        In random order.

    Raises
    ------
    ValueError
        If `low` is above `high`, there are fewer than `count` numbers between them, or an argument is out of
        range.
    """
    check_positive("count", count)
    check_choice("source", source, FORMS)
    check_choice("target", target, FORMS)
    _check_number("low", low)
    _check_number("high", high)
    if high - low + 1 < count:
        raise ValueError(
            f"low .. high must hold count = {count} numbers, got {max(high - low + 1, 0)}: {low} .. {high}"
        )
    numbers = low + rng.choice(high - low + 1, size=count, replace=False)
    return [(write_number(number, source), write_number(number, target)) for number in numbers]


def _check_number(name, number):
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or not 0 <= number <= LARGEST:
        raise ValueError(f"{name} must be an integer in 0 .. {LARGEST}, got {number!r}")
