"""Cosine, analogies and t-SNE in PyTorch; on the device and in the dtype of their tensors."""

from typing import NamedTuple

import torch

from rnncourse._checks import check_choice, check_positive, check_shape
from rnncourse.similarity.tsne import _check_settings


class Map(NamedTuple):
    """A map by t-SNE."""

    y: torch.Tensor
    """(n, 2) positions."""
    cost: float
    """Kullback-Leibler divergence at the end, in nats."""


def cosine_similarity(queries, vectors):
    """Cosine of the angle between each of the queries and each of the vectors.

    Implements :eq:`similarity-cosine` of book/similarity.

    Parameters
    ----------
    queries : (Q, E) tensor
    vectors : (V, E) tensor

    Returns
    -------
    (Q, V) tensor

    Raises
    ------
    ValueError
        If a row is zero or a shape does not fit.
    """
    check_shape("queries", queries, Q=None, E=None)
    check_shape("vectors", vectors, V=None, E=queries.shape[1])
    return _unit(queries) @ _unit(vectors).T


def _unit(vectors):
    if not torch.isfinite(vectors).all():
        raise ValueError("vectors must be finite, got nan or inf")
    largest = vectors.abs().amax(dim=1, keepdim=True)  # first, so that no square overflows or vanishes
    if (largest == 0).any():
        raise ValueError("vectors must have no zero rows, a zero row has no direction")
    scaled = vectors / largest
    return scaled / torch.linalg.vector_norm(scaled, dim=1, keepdim=True)


def _check_ids(name, ids, V):
    if ids.numel() and (ids.min() < 0 or ids.max() >= V):
        raise ValueError(f"{name} must lie in 0 .. V - 1 = {V - 1}, got {ids.min()} .. {ids.max()}")


def nearest(queries, vectors, k, exclude=None):
    """Ids and cosines (Q, k) of the nearest vectors, without the ids `exclude` (Q, m).

    Implements :eq:`similarity-nearest` of book/similarity. Which of two equally near vectors comes first is
    up to the device.
    """
    return _best(cosine_similarity(queries, vectors), k, exclude)


def _best(scores, k, exclude):
    check_positive("k", k)
    left = scores.shape[1]
    if exclude is not None:
        check_shape("exclude", exclude, Q=len(scores), m=None)
        _check_ids("exclude", exclude, left)
        scores = scores.scatter(1, exclude, -torch.inf)
        left = int((scores > -torch.inf).sum(dim=1).min()) if len(scores) else left
    if k > left:
        raise ValueError(f"k must be at most {left}, the vectors that are not excluded, got {k}")
    scores, ids = scores.topk(k, dim=1)
    return ids, scores


def analogy_scores(vectors, questions, method="add", eps=1e-3):
    """How well each vector x answers "a is to b as c is to x", (Q, V), for `questions` (Q, 3).

    Implements :eq:`similarity-add` and :eq:`similarity-mul` of book/similarity.
    """
    check_choice("method", method, ("add", "mul"))
    check_shape("questions", questions, Q=None, abc=3)
    _check_ids("questions", questions, len(vectors))
    if not 0 < eps < float("inf"):
        raise ValueError(f"eps must be a finite number above 0, got {eps}")
    directions = _unit(vectors)
    to_a, to_b, to_c = (directions[ids] @ directions.T for ids in questions.T)
    if method == "add":
        return to_b - to_a + to_c
    return (1 + to_b) / 2 * (1 + to_c) / 2 / ((1 + to_a) / 2 + eps)


def analogy(vectors, questions, method="add", k=1, exclude=True, eps=1e-3):
    """Ids and scores (Q, k) of the best answers.

    Implements :eq:`similarity-answer` of book/similarity.
    """
    scores = analogy_scores(vectors, questions, method, eps)
    return _best(scores, k, questions if exclude else None)


def joint_probabilities(x, perplexity, iterations=60):
    """The probabilities p_ij of pairs, (n, n), for points `x` (n, D).

    Implements :eq:`similarity-conditional`, :eq:`similarity-bisection` and :eq:`similarity-joint` of
    book/similarity. The bisection runs in float64, all rows at once.

    Raises
    ------
    ValueError
        If the perplexity is not between 1 and n - 1, or a number is not finite.
    """
    check_shape("x", x, n=None, D=None)
    n = len(x)
    if not 1 < perplexity < n - 1:
        raise ValueError(f"perplexity must lie between 1 and n - 1 = {n - 1}, got {perplexity}")
    if not torch.isfinite(x).all():
        raise ValueError("x must be finite, got nan or inf")
    wide = x.double()
    for _ in range(2):  # p has no unit and no place: no square may overflow
        wide = wide / wide.abs().max().clamp_min(torch.finfo(torch.float64).tiny)
        wide = wide - wide.mean(dim=0)
    squares = torch.cdist(wide, wide, compute_mode="donot_use_mm_for_euclid_dist") ** 2
    squares = squares[~torch.eye(n, dtype=torch.bool, device=x.device)].reshape(n, n - 1)
    squares = squares - squares.amin(dim=1, keepdim=True)
    scale = squares.amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    squares = squares / scale
    low = torch.full((n, 1), -60.0, dtype=torch.float64, device=x.device)
    high = -low
    target = torch.log(torch.tensor(float(perplexity), dtype=torch.float64))
    for _ in range(iterations):
        beta = torch.exp((low + high) / 2)
        logits = -beta * squares
        p = torch.softmax(logits, dim=1)
        entropy = torch.logsumexp(logits, dim=1) - (p * logits).sum(dim=1)
        wide_rows = (entropy > target)[:, None]
        middle = (low + high) / 2
        low, high = torch.where(wide_rows, middle, low), torch.where(wide_rows, high, middle)
    p = torch.softmax(-torch.exp((low + high) / 2) * squares, dim=1)
    full = torch.zeros(n, n, dtype=torch.float64, device=x.device)
    full[~torch.eye(n, dtype=torch.bool, device=x.device)] = p.reshape(-1)
    return ((full + full.T) / (2 * n)).to(x.dtype)


def _student(y):
    w = 1 / (1 + ((y[:, None] - y[None]) ** 2).sum(dim=2))
    return w - torch.diag(torch.diag(w))


def tsne_cost(p, y):
    """Kullback-Leibler divergence of the map `y` (n, d) from `p` (n, n), a tensor with a gradient.

    Implements :eq:`similarity-student` and :eq:`similarity-kl` of book/similarity.
    """
    check_shape("p", p, n=len(y), m=len(y))
    w = _student(y)
    q = w / w.sum()
    off = ~torch.eye(len(y), dtype=torch.bool, device=y.device)
    return (torch.xlogy(p[off], p[off]) - p[off] * torch.log(q[off])).sum()


def tsne_gradient(p, y):
    """Gradient of :func:`tsne_cost` by `y`, by hand.

    Implements :eq:`similarity-gradient` of book/similarity.
    """
    check_shape("p", p, n=len(y), m=len(y))
    w = _student(y)
    force = (p - w / w.sum()) * w
    y = y - y.mean(dim=0)
    return 4 * (force.sum(dim=1, keepdim=True) * y - force @ y)


def tsne(x, y_0, *, perplexity=30.0, steps=1000, exaggeration=12.0, exaggerated=250, rate=None):
    """Place the points `x` (n, D) on a map, from `y_0` (n, d) on.

    Implements :eq:`similarity-momentum` of book/similarity, with the settings of
    :func:`rnncourse.similarity.tsne.tsne`. Memory: a few matrices (n, n).

    Returns
    -------
    Map
    """
    check_positive("steps", steps)
    check_shape("y_0", y_0, n=len(x), d=None)
    rate = _check_settings(len(x), rate, exaggeration, exaggerated)
    p = joint_probabilities(x, perplexity)
    y, velocity, gains = y_0, torch.zeros_like(y_0), torch.ones_like(y_0)
    for step in range(1, steps + 1):
        early = step <= exaggerated
        if step == exaggerated + 1:
            velocity, gains = torch.zeros_like(y), torch.ones_like(y)
        gradient = tsne_gradient(p * exaggeration if early else p, y)
        turned = velocity * gradient > 0
        gains = torch.where(turned, gains * 0.8, gains + 0.2).clamp_min(0.01)
        velocity = (0.5 if early else 0.8) * velocity - rate * gains * gradient
        y = y + velocity
    return Map(y, float(tsne_cost(p, y)))
