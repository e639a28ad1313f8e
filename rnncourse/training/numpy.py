"""The training loop in NumPy, batches of similar length, and the comparison of seeds."""

from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_floats, check_positive, check_shape
from rnncourse.gradients.numpy import clip_by_norm, global_norm
from rnncourse.optim._tree import check_structure, tree_leaves
from rnncourse.training.loop import Diverged, History, Trained, check_clip, check_finite, check_pair, run

__all__ = [
    "Comparison",
    "Diverged",
    "History",
    "Trained",
    "bucket_batches",
    "compare",
    "misled",
    "padding_share",
    "train",
]


def train(
    loss,
    params,
    batches,
    optimiser,
    *,
    steps=None,
    clip=None,
    state=None,
    evaluate=None,
    every=100,
    patience=None,
    progress=None,
    description=None,
):
    """Train until the batches end, step by step: loss and gradient, clipping, optimiser.

    Implements :eq:`training-step`, :eq:`training-stop` of book/training. Source of the rule for stopping:
    Prechelt (1998), criterion UP; he counts evaluations that got worse one after the other, here all that
    came after the best count.

    Ctrl-C, divergence and any other error raise with what was reached so far: the exception's attribute
    ``trained``, with the parameters that a run would return that ended there. Overflow in `loss` gives no
    warning: the loop looks at every loss and gradient itself. It does not look at what the optimiser returns:
    parameters that overflow in a step show in the next step's loss.

    Parameters
    ----------
    loss : callable
        ``loss(params, batch)`` returns the loss, one number, and its gradients in the structure of `params`.
    params : array, or nested tuples of arrays
        Not changed.
    batches : iterable
        One item a step, handed to `loss` as it is. An iterator that is used again goes on where it stopped.
    optimiser : rnncourse.optim.SGD, Adagrad or Adam
    steps : int, optional
        Stop after so many steps. Without it the run ends with the batches, or never if they never end.
    clip : float, optional
        Largest norm of all gradients together, for ``rnncourse.gradients.numpy.clip_by_norm``.
    state : optional
        The optimiser's state of an earlier run, to go on with.
    evaluate : callable, optional
        ``evaluate(params)`` returns a float, the lower the better; called before the first step, then after
        every `every` steps, and with `patience` after the last step too.
    every : int
    patience : int, optional
        Stop when so many evaluations came after the best one, and return the best one's parameters.
    progress : bool, optional
        Whether to show a progress bar; by default where there is a terminal, so not in a notebook.
    description : str, optional
        What the progress bar says.

    Returns
    -------
    Trained

    Raises
    ------
    Diverged
        At the first loss, gradient or evaluation that is not finite; it says which.
    ValueError
        If a setting is out of range, or `loss` returns something else than a number and gradients that fit.
    """
    check_clip(clip)
    state = optimiser.init(params) if state is None else state

    def step(batch):
        nonlocal params, state
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            value, gradients = check_pair(loss(params, batch))
            check_structure(params, gradients)
            norm = global_norm(gradients)
        check_finite(
            value, norm, ((path or "params", np.isfinite(g).all()) for path, g in tree_leaves(gradients))
        )
        if clip is not None:
            gradients, _ = clip_by_norm(gradients, clip)
        params, state = optimiser.step(params, gradients, state)
        return value, norm

    return run(
        step,
        lambda: params,
        lambda: state,
        batches,
        steps=steps,
        evaluate=evaluate and (lambda: evaluate(params)),
        every=every,
        patience=patience,
        progress=progress,
        description=description,
    )


def padding_share(lengths, batches):
    """Share of the positions of all batches that is padding.

    Implements :eq:`training-padding` of book/training.

    Parameters
    ----------
    lengths : (n,) array of int
    batches : sequence of arrays of int
        The indices of the sequences in each batch; a batch is as long as its longest sequence.

    Returns
    -------
    float
        In [0, 1).

    Raises
    ------
    ValueError
        If a length or an index is out of range, or a batch is empty.
    """
    lengths = _check_lengths(lengths)
    for batch in batches:
        if not len(batch):
            raise ValueError("every batch must hold at least one index, got an empty one")
        if not (0 <= np.min(batch) and np.max(batch) < len(lengths)):
            raise ValueError(f"indices must lie in 0 .. n - 1 = {len(lengths) - 1}, got {np.asarray(batch)}")
    read = sum(lengths[batch].sum() for batch in batches)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    return float(1 - read / padded)


def bucket_batches(lengths, B, rng, pool=None):
    """Cut sequences into batches of similar length, in random order.

    The sequences are shuffled, cut into pools, sorted by length within each pool, and cut into batches; the
    batches of all pools are shuffled. A pool of one batch is plain shuffling; one pool of everything gives
    the least padding, but always the same neighbours, but for ties.

    Parameters
    ----------
    lengths : (n,) array of int
    B : int
        Sequences a batch; the last batch of a pool may be smaller.
    rng : np.random.Generator
    pool : int, optional
        Batches in a pool; by default all.

    Returns
    -------
    list of arrays of int
        The indices of each batch; every index occurs once.

    Raises
    ------
    ValueError
        If a length or a size is out of range.
    """
    lengths = _check_lengths(lengths)
    check_positive("B", B)
    if pool is not None:
        check_positive("pool", pool)
    order = rng.permutation(len(lengths))
    size = len(order) if pool is None else pool * B
    batches = []
    for start in range(0, len(order), size):
        members = order[start : start + size]
        # A stable sort keeps the shuffled order among equal lengths.
        members = members[np.argsort(lengths[members], kind="stable")]
        batches += [members[i : i + B] for i in range(0, len(members), B)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _check_lengths(lengths):
    lengths = np.asarray(lengths)
    check_shape("lengths", lengths, n=None)
    if lengths.dtype.kind not in "iu" or not len(lengths):
        raise ValueError(
            f"lengths must hold at least one integer, got {len(lengths)} of dtype {lengths.dtype}"
        )
    if lengths.min() < 1:
        raise ValueError(f"lengths must be at least 1, got {lengths.min()}")
    return lengths


class Comparison(NamedTuple):
    """Two settings compared by the results of several seeds each."""

    difference: float
    """Mean of the first minus mean of the second."""
    error: float
    """Standard error of the difference."""


def compare(a, b, paired=False):
    """Difference of two means over seeds, and its standard error.

    Implements :eq:`training-error`, :eq:`training-paired` of book/training. Source of the first: Welch
    (1947): the two settings may have different spreads and numbers of seeds; the test that goes with it is
    left out.

    Parameters
    ----------
    a, b : (n,) and (m,) arrays of float
        One result a seed; at least two each.
    paired : bool
        Whether ``a[i]`` and ``b[i]`` are of the same seed; otherwise all seeds must be different.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If there are fewer than two results, one is not finite, or pairs are asked for and n is not m.
    """
    a, b = _check_results(a, b, 2)
    if paired:
        check_shape("b", b, n=len(a))
        d = a - b
        return Comparison(float(d.mean()), float(np.sqrt(d.var(ddof=1) / len(d))))
    error = np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    return Comparison(float(a.mean() - b.mean()), float(error))


def misled(a, b, k):
    """How often k seeds of each setting would have put the two in the opposite order of all seeds.

    Implements :eq:`training-misled` of book/training: the share of all pairs of k results of the one and k of
    the other whose means are in the opposite order of the means of all; a tie counts half. The order of all
    is not the truth: two equal settings with ten results each give 0.4 for k = 1 on average, not 0.5.

    Parameters
    ----------
    a, b : (n,) and (m,) arrays of float
        One result a seed.
    k : int
        From 1 to the smaller of n and m.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If `k` is out of range, there are more than ten million pairs of choices, the two means are equal, or
        a result is not finite.
    """
    a, b = _check_results(a, b, 1)
    check_positive("k", k)
    if k > min(len(a), len(b)):
        raise ValueError(f"k must be at most {min(len(a), len(b))}, the number of results, got {k}")
    if (pairs := comb(len(a), k) * comb(len(b), k)) > 10**7:
        raise ValueError(f"k = {k} of {len(a)} and {len(b)} results gives {pairs} pairs, over ten million")
    sign = np.sign(a.mean() - b.mean())
    if not sign:
        raise ValueError("a and b must have different means: there is no order to get wrong")
    of_a, of_b = (np.array([np.mean(chosen) for chosen in combinations(r, k)]) for r in (a, b))
    opposite = -sign * np.sign(of_a[:, None] - of_b)
    return float((1 + opposite).mean() / 2)


def _check_results(a, b, least):
    a, b = np.asarray(a), np.asarray(b)
    for name, results in {"a": a, "b": b}.items():
        check_shape(name, results, n=None)
        if len(results) < least:
            raise ValueError(f"{name} must hold at least {least} results, got {len(results)}")
    check_floats(a=a, b=b)
    return a, b
