"""Word vectors in files: the text and the binary format of word2vec."""

import re
from pathlib import Path

import numpy as np

from rnncourse._checks import check_floats, check_shape


def save_vectors(path, words, vectors, *, binary=False):
    """Write word vectors in the format of word2vec, which gensim and most other tools read.

    The first line holds V and E. Then comes each word, a space, and its vector: as decimal numbers, short but
    exact, or as 4 E bytes, float32 with the lowest byte first; a line feed ends it.

    Parameters
    ----------
    path : str or path
    words : sequence of str
        Each once, without white space.
    vectors : (V, E) array of float
        The binary format holds float32 only; other floats are rounded.
    binary : bool

    Raises
    ------
    ValueError
        If words and vectors do not fit, a word is empty, has white space or comes twice, or a number is not
        finite.
    """
    vectors = np.asarray(vectors)
    check_shape("vectors", vectors, V=len(words), E=None)
    check_floats(vectors=vectors)
    if 0 in vectors.shape:
        raise ValueError(f"vectors must have shape (V, E) with no size 0, got {vectors.shape}")
    seen = set()
    for word in words:
        if not isinstance(word, str) or not word or re.search(r"\s", word):
            raise ValueError(f"words must hold strings without white space, got {word!r}")
        if word in seen:
            raise ValueError(f"words must hold each word once, got {word!r} twice")
        seen.add(word)
    with Path(path).open("wb") as file:
        file.write(b"%d %d\n" % vectors.shape)
        for word, vector in zip(words, vectors, strict=True):
            numbers = vector.astype("<f4").tobytes() if binary else " ".join(map(str, vector)).encode()
            file.write(word.encode("utf-8") + b" " + numbers + b"\n")


def load_vectors(path, *, binary=None):
    """Read word vectors in the text or the binary format of word2vec.

    Parameters
    ----------
    path : str or path
    binary : bool, optional
        By default what the first vector looks like. With three numbers a word or fewer it may look like text
        by chance: say which it is.

    Returns
    -------
    words : list of str
    vectors : (V, E) array of float32

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not of the format; the message has the line, or in a binary file the vector.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    data = path.read_bytes()
    header, _, rest = data.partition(b"\n")
    if not re.fullmatch(rb"\s*[1-9]\d* [1-9]\d*\s*", header):
        raise ValueError(f"{path}: line 1 must hold two numbers, V and E, got {header[:60]!r}")
    V, E = map(int, header.split())
    if binary is None:
        binary = _looks_binary(rest, E)
    words, vectors = (_read_binary if binary else _read_text)(path, rest, V, E)
    if len(set(words)) < V:
        twice = next(word for i, word in enumerate(words) if word in words[:i])
        raise ValueError(f"{path} has the word {twice!r} twice")
    return words, vectors


def _looks_binary(rest, E):
    # What follows the first word: numbers as text, or float32, of which nearly every one has some byte that
    # text has not.
    first = rest.partition(b" ")[2][: 4 * E].partition(b"\n")[0]
    return not re.fullmatch(rb"[\t\r\x20-\x7e]+", first)


def _read_text(path, rest, V, E):
    words, vectors = [], np.empty((V, E), np.float32)
    lines = rest.removesuffix(b"\n").split(b"\n")
    for number, line in enumerate(lines, 2):
        try:
            word, *numbers = line.decode("utf-8").rstrip("\r ").split(" ")
        except UnicodeDecodeError as error:
            byte = f"0x{line[error.start]:02x}"
            raise ValueError(f"{path} is not UTF-8: line {number} has the byte {byte}") from None
        if len(words) == V:
            raise ValueError(f"{path}: line {number} is one too many, line 1 says V = {V}")
        if len(numbers) != E:
            raise ValueError(
                f"{path}: line {number} must hold a word and E = {E} numbers, got {len(numbers)}"
            )
        try:
            vectors[len(words)] = [float(n) for n in numbers]
        except ValueError:
            raise ValueError(f"{path}: line {number} has a number that is none: {line[:60]!r}") from None
        if not word or not np.isfinite(vectors[len(words)]).all():
            raise ValueError(f"{path}: line {number} has no word, or a number that is not finite")
        words.append(word)
    if len(words) < V:
        raise ValueError(f"{path} ends after line {len(lines) + 1}: line 1 says V = {V}, got {len(words)}")
    return words, vectors


def _read_binary(path, rest, V, E):
    words, vectors, at = [], np.empty((V, E), np.float32), 0
    for i in range(V):
        space = rest.find(b" ", at)
        stop = space + 1 + 4 * E
        if space < 0 or stop > len(rest):
            raise ValueError(
                f"{path} ends within vector {i + 1} of V = {V}: the file is cut, or E is not {E}"
            )
        try:
            # The published program writes a line feed after each vector, gensim does not.
            word = rest[at:space].decode("utf-8").lstrip("\n")
        except UnicodeDecodeError:
            raise ValueError(f"{path}: the word of vector {i + 1} is not UTF-8; is E = {E} right?") from None
        vectors[i] = np.frombuffer(rest[space + 1 : stop], "<f4")
        if not word or not np.isfinite(vectors[i]).all():
            raise ValueError(f"{path}: vector {i + 1} has no word, or a number that is not finite")
        words.append(word)
        at = stop
    if rest[at:].strip(b"\n"):
        raise ValueError(f"{path} goes on after vector {V}: line 1 says V = {V}, E = {E}")
    return words, vectors
