"""The course's own text: short tales in plain English."""

import hashlib
from importlib.resources import files
from typing import NamedTuple

PATH = files("rnncourse.data") / "tales.txt"
SHA256 = "d22886ce63f0670ce5d83be20887149a767657411946b889680209b560dba271"


class Tale(NamedTuple):
    """One tale."""

    title: str
    text: str
    """The body; a paragraph is one line, with a blank line between two."""


def load_tales():
    """Read the tales, in the order of the file.

    Returns
    -------
    list of Tale

    Raises
    ------
    ValueError
        If the file is not, byte for byte, the one the course was written with.
    """
    data = PATH.read_bytes()
    actual = hashlib.sha256(data).hexdigest()
    if actual != SHA256:
        raise ValueError(f"{PATH.name} was changed: its SHA-256 is {actual}, expected {SHA256}")
    blocks = ("\n" + data.decode("ascii")).split("\n# ")[1:]
    return [Tale(title, text.rstrip("\n")) for title, text in (block.split("\n\n", 1) for block in blocks)]


def tales_text():
    """All tales as one text, without the titles, a blank line between any two.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        As :func:`load_tales`.
    """
    return "\n\n".join(tale.text for tale in load_tales())
