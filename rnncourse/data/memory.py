"""Synthetic tasks that ask for memory: random sequences, time first, and formal languages."""

import numpy as np

from rnncourse._checks import check_positive

BRACKETS = ["()", "[]", "{}", "<>"]


def adding(rng, T, B, dtype=np.float64):
    """The adding problem: the sum of the two numbers that are marked.

    Source: Hochreiter and Schmidhuber (1997), experiment 4, in the form of Arjovsky, Shah and Bengio
    (2016): numbers uniform on [0, 1), not [-1, 1); one marker in the first half and one in the second,
    not both in the first; one length; no marks at the ends; the sum is not scaled. Always answering 1 has a
    mean squared error of 1/6.

    Parameters
    ----------
    rng : np.random.Generator
    T, B : int
        Steps, at least 2, and batch size.
    dtype : dtype

    Returns
    -------
    x : (T, B, 2) array
        The numbers, and the markers: 1 at two steps, else 0.
    y : (B,) array
        The sum of the two marked numbers.

    Raises
    ------
    ValueError
        If a size is too small or `dtype` is not one of floats.
    """
    check_positive("B", B)
    _check_least("T", T, 2)
    if np.dtype(dtype).kind != "f":
        raise ValueError(f"dtype must be one of floats, got {np.dtype(dtype)}")
    x = np.zeros((T, B, 2), dtype)
    x[..., 0] = rng.random((T, B))
    columns = np.arange(B)
    x[rng.integers(0, T // 2, B), columns, 1] = 1
    x[rng.integers(T // 2, T, B), columns, 1] = 1
    return x, (x[..., 0] * x[..., 1]).sum(axis=0)


def copy_memory(rng, lag, length, symbols, B):
    """The copying problem: say the symbols again after a pause.

    The symbols are the ids 0 .. symbols - 1, the blank is ``symbols``, the delimiter ``symbols + 1``. Input:
    the sequence, ``lag`` - 1 blanks, the delimiter, blanks to the end. Target: blanks, and from the step
    after the delimiter the sequence. Without memory of the symbols the best mean
    cross-entropy is ``length log(symbols) / (lag + 2 length)`` nats a step.

    Source: after Hochreiter and Schmidhuber (1997), the form is that of Arjovsky, Shah and Bengio (2016),
    who take length 10 and 8 symbols.

    Parameters
    ----------
    rng : np.random.Generator
    lag : int
        Steps from the last symbol to the delimiter.
    length : int
        Symbols to keep.
    symbols : int
        Different symbols.
    B : int
        Batch size.

    Returns
    -------
    x, y : (lag + 2 length, B) arrays of int
        Ids in 0 .. symbols + 1.

    Raises
    ------
    ValueError
        If a size is too small.
    """
    for name, value in {"lag": lag, "length": length, "symbols": symbols, "B": B}.items():
        check_positive(name, value)
    x, y = np.full((2, lag + 2 * length, B), symbols)
    x[:length] = y[-length:] = rng.integers(0, symbols, (length, B))
    x[length + lag - 1] = symbols + 1
    return x, y


def parity(rng, T, B, dtype=np.float64):
    """Running parity: is the number of ones so far odd?

    Source: Bengio, Simard and Frasconi (1994), who ask only at the end of the sequence.

    Parameters
    ----------
    rng : np.random.Generator
    T, B : int
        Steps and batch size.
    dtype : dtype

    Returns
    -------
    x : (T, B, 1) array
        Bits, 0 or 1.
    y : (T, B) array of int
        The sum of the bits up to each step, that step included, modulo 2.

    Raises
    ------
    ValueError
        If a size is too small.
    """
    check_positive("T", T)
    check_positive("B", B)
    bits = rng.integers(0, 2, (T, B))
    return bits[..., None].astype(dtype), bits.cumsum(axis=0) % 2


def recall(rng, lag, T, B, V):
    """Delayed recall: at each step the id that was read ``lag`` steps before.

    Source: Jaeger (2001), who measures the short-term memory of a network so, with real numbers.

    Parameters
    ----------
    rng : np.random.Generator
    lag : int
        Steps from reading an id to saying it, less than T.
    T, B : int
        Steps and batch size.
    V : int
        Different ids.

    Returns
    -------
    x : (T, B) array of int
        Ids in 0 .. V - 1.
    y : (T, B) array of int
        ``y[t] = x[t - lag]``, and 0 where ``t < lag``.
    mask : (T, B) array of bool
        False where ``t < lag``.

    Raises
    ------
    ValueError
        If a size is too small or the lag too long.
    """
    for name, value in {"lag": lag, "T": T, "B": B, "V": V}.items():
        check_positive(name, value)
    if lag >= T:
        raise ValueError(f"lag must be less than T = {T}, got {lag}")
    x = rng.integers(0, V, (T, B))
    y = np.zeros_like(x)
    y[lag:] = x[:-lag]
    mask = np.zeros((T, B), bool)
    mask[lag:] = True
    return x, y, mask


def anbn(n_max):
    """The strings a^n b^n for n = 1 .. n_max: a network must count.

    Source: Gers and Schmidhuber (2001), the context-free language.

    Parameters
    ----------
    n_max : int

    Returns
    -------
    list of str
        From the shortest.

    Raises
    ------
    ValueError
        If `n_max` is less than 1.
    """
    check_positive("n_max", n_max)
    return ["a" * n + "b" * n for n in range(1, n_max + 1)]


def anbncn(n_max):
    """The strings a^n b^n c^n for n = 1 .. n_max: a network must count twice.

    Source: Gers and Schmidhuber (2001), the context-sensitive language.

    Parameters
    ----------
    n_max : int

    Returns
    -------
    list of str
        From the shortest.

    Raises
    ------
    ValueError
        If `n_max` is less than 1.
    """
    check_positive("n_max", n_max)
    return ["a" * n + "b" * n + "c" * n for n in range(1, n_max + 1)]


def dyck(rng, pairs, depth_max, kinds=1):
    """A random balanced string of brackets, each such string equally likely.

    Source: the bounded Dyck language of Hewitt et al. (2020), who draw with a distribution of their own.

    Parameters
    ----------
    rng : np.random.Generator
    pairs : int
        Pairs of brackets; the string has twice as many characters.
    depth_max : int
        The most brackets open at once.
    kinds : int
        How many of ``()``, ``[]``, ``{}`` and ``<>`` occur, 1 to 4.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If a size is too small or there are too many kinds.
    """
    for name, value in {"pairs": pairs, "depth_max": depth_max, "kinds": kinds}.items():
        check_positive(name, value)
    if kinds > len(BRACKETS):
        raise ValueError(f"kinds must be at most {len(BRACKETS)}, got {kinds}")
    depth_max = min(depth_max, pairs)
    # ways[n][d]: how many shapes of n more characters close d open brackets. The last entry, always 0,
    # stands for depth_max + 1 and, as index -1, for depth -1.
    ways = [[1] + [0] * (depth_max + 1)]
    for _ in range(2 * pairs):
        ways.append([ways[-1][d - 1] + ways[-1][d + 1] for d in range(depth_max + 1)] + [0])
    text, stack = "", []
    for left in reversed(range(2 * pairs)):
        d = len(stack)
        # Python divides integers of any size with correct rounding: exactly 0 or 1 where there is no choice.
        if rng.random() < ways[left][d + 1] / ways[left + 1][d]:
            bracket = BRACKETS[rng.integers(kinds)]
            text += bracket[0]
            stack.append(bracket[1])
        else:
            text += stack.pop()
    return text


def _check_least(name, value, least):
    check_positive(name, value)
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
