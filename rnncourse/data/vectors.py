"""Word vectors in files: the text and the binary format of word2vec."""

import os
import re
import tempfile
from pathlib import Path

import numpy as np

from rnncourse._checks import check_floats, check_shape

_NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf(inity)?)", re.IGNORECASE)
"""What text takes for a number; Python's float() reads more, such as 1_0."""


def save_vectors(path, words, vectors, *, binary=False):
    """Write word vectors in the format of word2vec, which gensim and most other tools read.

    The first line holds V and E. Then comes each word, a space, and its vector: as decimal numbers, short but
    exact, or as 4 E bytes, float32 with the lowest byte first; a line feed ends it. The file appears when it
    is complete: an error leaves what was there before.

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
        finite, or too large for float32.
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
        if not word.isascii():
            try:
                word.encode("utf-8")
            except UnicodeEncodeError:
                raise ValueError(f"words must hold text that UTF-8 can write, got {word!r}") from None
    if vectors.dtype.itemsize > 4 and np.abs(vectors).max() > np.finfo(np.float32).max:
        raise ValueError("vectors must lie within float32, 3.4e38, as their readers take it")
    path = Path(path)
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(b"%d %d\n" % vectors.shape)
            for word, vector in zip(words, vectors, strict=True):
                numbers = vector.astype("<f4").tobytes() if binary else " ".join(map(str, vector)).encode()
                file.write(word.encode("utf-8") + b" " + numbers + b"\n")
        # As open() would have made it: a temporary file is readable by its owner only.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(partial, path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def load_vectors(path, *, binary=None):
    """Read word vectors in the text or the binary format of word2vec.

    Parameters
    ----------
    path : str or path
    binary : bool, optional
        By default what the first vector is consistent with. Text, if its line is a word and E numbers, or if
        of the 4 E bytes after the first space half are of digits, signs, points and white space, or all are
        printable, as in a broken line of text. With one or two numbers a word a binary file may look so by
        chance (of normal numbers 5 files in 100 and 5 in 10,000): say then which it is.

    Returns
    -------
    words : list of str
    vectors : (V, E) array of float32

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not of the format; the message has the line, or in a binary file the vector and the
        byte where it starts.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    header, _, rest = data.partition(b"\n")
    numbers = header.split()
    if len(numbers) != 2 or not all(re.fullmatch(rb"0*[1-9]\d{0,17}", n) for n in numbers):
        raise ValueError(f"{path}: line 1 must hold two numbers, V and E, got {header[:60]!r}")
    V, E = map(int, numbers)
    if binary is None:
        binary = _looks_binary(rest, E)
    # A word, what ends it and E numbers take at least this, as bytes of float32 or as digits with spaces.
    least = V * (2 + 4 * E if binary else 1 + 2 * E)
    if V * E > 10**6 and least > len(rest) + 1:
        raise ValueError(
            f"{path}: line 1 says V = {V}, E = {E}, which needs {least} bytes, but {len(rest)} follow"
        )
    words, vectors = (_read_binary if binary else _read_text)(path, rest, V, E, len(data) - len(rest))
    first = {}
    for i, word in enumerate(words):
        if first.setdefault(word, i) != i:
            where = "vectors {} and {}" if binary else "lines {} and {}"
            at = (n + (1 if binary else 2) for n in (first[word], i))
            raise ValueError(f"{path}: {where.format(*at)} have the same word {word!r}")
    return words, vectors


def _looks_binary(rest, E):
    fields = rest.partition(b"\n")[0].split()[1:]
    if len(fields) == E and all(map(_NUMBER.fullmatch, fields)):
        return False
    first = rest.partition(b" ")[2][: 4 * E]
    return 2 * len(re.findall(rb"[-+.0-9eE\s]", first)) < len(first) and not re.fullmatch(
        rb"[\t\r\n\x20-\x7e]+", first
    )


def _read_text(path, rest, V, E, _):
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
        if not all(n.isascii() and _NUMBER.fullmatch(n.encode()) for n in numbers):
            raise ValueError(f"{path}: line {number} has a number that is none: {line[:60]!r}")
        with np.errstate(over="ignore"):
            vectors[len(words)] = np.array(numbers, dtype=float)
        if not word or not np.isfinite(vectors[len(words)]).all():
            raise ValueError(f"{path}: line {number} has no word, or a number that is not finite")
        words.append(word)
    if len(words) < V:
        raise ValueError(f"{path} ends after line {len(lines) + 1}: line 1 says V = {V}, got {len(words)}")
    return words, vectors


def _read_binary(path, rest, V, E, start):
    words, vectors, at = [], np.empty((V, E), np.float32), 0
    for i in range(V):
        space = rest.find(b" ", at)
        stop = space + 1 + 4 * E
        if space < 0 or stop > len(rest):
            raise ValueError(
                f"{path} ends within vector {i + 1} of V = {V}, at byte {start + at}: the file is cut, "
                f"or E is not {E}"
            )
        try:
            # The published program writes a line feed after each vector, gensim does not.
            word = rest[at:space].decode("utf-8").lstrip("\n")
        except UnicodeDecodeError:
            raise ValueError(
                f"{path}: the word of vector {i + 1}, at byte {start + at}, is not UTF-8; is E = {E} right?"
            ) from None
        vectors[i] = np.frombuffer(rest[space + 1 : stop], "<f4")
        if not word or not np.isfinite(vectors[i]).all():
            raise ValueError(
                f"{path}: vector {i + 1}, at byte {start + at}, has no word, or a number that is not finite"
            )
        words.append(word)
        at = stop
    if rest[at:].strip(b"\n"):
        raise ValueError(
            f"{path} goes on after vector {V}, at byte {start + at}: line 1 says V = {V}, E = {E}"
        )
    return words, vectors
