"""t-SNE in NumPy: neighbour probabilities, cost, gradient and the descent."""

from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_floats, check_positive, check_sequence, check_shape

BLOCK = 128
"""Rows that the descent takes at a time; a block of 128 x 2,000 float32 numbers fits a processor's cache."""


class Pairs(NamedTuple):
    """Joint probabilities of near points only, in both orders: memory linear in the number of points."""

    i: np.ndarray
    """(m,) first point of each pair, ascending; each of the n points occurs."""
    j: np.ndarray
    """(m,) second point."""
    p: np.ndarray
    """(m,) p_ij; all together add up to 1."""


class Map(NamedTuple):
    """A map by t-SNE and how it came about."""

    y: np.ndarray
    """(n, 2) positions."""
    cost: float
    """Kullback-Leibler divergence at the end, in nats."""
    steps: np.ndarray
    """(s,) the steps after which the cost was taken, 0 the start."""
    costs: np.ndarray
    """(s,) the cost there, without exaggeration."""
    history: np.ndarray
    """(s, n, 2) positions there."""


def squared_distances(x, y):
    """Squared Euclidean distance of each row of `x` from each row of `y`, by one matrix product.

    Parameters
    ----------
    x : (n, D) array
    y : (m, D) array

    Returns
    -------
    (n, m) array
        Not negative.
    """
    centre = y.mean(axis=0)
    x, y = x - centre, y - centre  # small numbers round less
    squares = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * (x @ y.T)
    return np.maximum(squares, 0)


def neighbour_distribution(squares, beta):
    """A Gaussian's share for each of the other points, and its entropy.

    Implements :eq:`similarity-conditional` and :eq:`similarity-perplexity` of book/similarity.

    Parameters
    ----------
    squares : (n, m) array
        Squared distances of n points from m others; inf where a point must get nothing.
    beta : (n,) array
        1 / (2 sigma^2) of each point.

    Returns
    -------
    p : (n, m) array
        Rows add up to 1.
    entropy : (n,) array
        In nats; its exponential is the perplexity.
    """
    # Less the nearest distance, so that at least one exponential is 1.
    excess = squares - squares.min(axis=1, keepdims=True)
    p = np.exp(-beta[:, None] * excess)
    total = p.sum(axis=1)
    weighted = (p * np.where(np.isinf(excess), 0, excess)).sum(axis=1)
    return p / total[:, None], np.log(total) + beta * weighted / total


def find_beta(squares, perplexity, iterations=100):
    """Bisection for the widths at which each point's neighbours have the wanted perplexity.

    Implements :eq:`similarity-bisection` of book/similarity. Source: van der Maaten and Hinton (2008); here
    all rows at once, and in the logarithm of beta.

    Parameters
    ----------
    squares : (n, m) array of float64
        As for :func:`neighbour_distribution`.
    perplexity : float
    iterations : int
        At most; it ends when ln beta is known to 1e-13.

    Returns
    -------
    (n,) array
        If more neighbours are nearest of all, at one distance, than the perplexity, the largest beta tried.
    """
    finite = np.where(np.isinf(squares), np.nan, squares)
    spread = np.nanmax(finite, axis=1) - np.nanmin(finite, axis=1)
    # In units of a row's spread: at exp(-60) all neighbours count alike, at exp(60) only the nearest.
    scale = np.where(spread > 0, spread, 1)
    low, high = np.full(len(squares), -60.0), np.full(len(squares), 60.0)
    for _ in range(iterations):
        middle = (low + high) / 2
        _, entropy = neighbour_distribution(squares, np.exp(middle) / scale)
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
        if (high - low).max() < 1e-13:
            break
    return np.exp((low + high) / 2) / scale


def conditional_probabilities(x, perplexity):
    """The chance p(j | i) that point i would pick point j as its neighbour.

    Implements :eq:`similarity-conditional` of book/similarity. Source: Hinton and Roweis (2002). The widths
    come from :func:`find_beta`, computed in float64.

    Parameters
    ----------
    x : (n, D) array
    perplexity : float
        More than 1 and less than n - 1.

    Returns
    -------
    (n, n) array
        Row i holds p(j | i); the diagonal is zero. The dtype is that of `x`.

    Raises
    ------
    ValueError
        If the perplexity is out of range, there are fewer than 4 points, or a number is not finite.
    """
    _check_points(x, perplexity)
    wide = _standard(x)
    squares = squared_distances(wide, wide)
    np.fill_diagonal(squares, np.inf)
    p, _ = neighbour_distribution(squares, find_beta(squares, perplexity))
    return p.astype(x.dtype)


def _standard(x):
    """The points in float64, around 0 and with coordinates of at most 1: p has no unit and no place."""
    x = x.astype(np.float64)
    for _ in range(2):  # once against overflow, once after centring
        x = x / (np.abs(x).max() or 1)
        x = x - x.mean(axis=0)
    return x


def joint_probabilities(x, perplexity):
    """The symmetric probabilities p_ij of pairs that a map is fitted to.

    Implements :eq:`similarity-joint` of book/similarity. Source: van der Maaten and Hinton (2008).

    Parameters
    ----------
    x : (n, D) array
    perplexity : float

    Returns
    -------
    (n, n) array
        Symmetric, zero on the diagonal, with the sum 1.

    Raises
    ------
    ValueError
        As :func:`conditional_probabilities` does.
    """
    p = conditional_probabilities(x, perplexity)
    return (p + p.T) / (2 * len(x))


def near_probabilities(x, perplexity, neighbours=None, block=BLOCK):
    """Joint probabilities from each point's nearest neighbours only.

    Source: van der Maaten (2014), who takes three times the perplexity of neighbours. With n - 1 neighbours
    they are those of :func:`joint_probabilities`.

    Parameters
    ----------
    x : (n, D) array
    perplexity : float
    neighbours : int, optional
        How many; 3 times the perplexity if None, at most n - 1.
    block : int
        Rows taken at a time.

    Returns
    -------
    Pairs

    Raises
    ------
    ValueError
        As :func:`conditional_probabilities` does, or if there are no more neighbours than the perplexity.
    """
    _check_points(x, perplexity)
    check_positive("block", block)
    n = len(x)
    k = min(n - 1, int(3 * perplexity)) if neighbours is None else neighbours
    check_positive("neighbours", k)
    if not perplexity < k <= n - 1:
        raise ValueError(f"neighbours must be more than the perplexity, {perplexity}, at most n - 1, got {k}")
    wide, picked, p = _standard(x), np.empty((n, k), int), np.empty((n, k))
    for start in range(0, n, block):
        rows = slice(start, min(start + block, n))
        squares = squared_distances(wide[rows], wide)
        squares[np.arange(len(squares)), np.arange(rows.start, rows.stop)] = np.inf
        picked[rows] = np.argpartition(squares, k - 1, axis=1)[:, :k]
        near = np.take_along_axis(squares, picked[rows], axis=1)
        p[rows], _ = neighbour_distribution(near, find_beta(near, perplexity))
    i, j = np.repeat(np.arange(n), k), picked.ravel()
    # Both orders of each pair; where the two points picked each other, their shares are added.
    keys, where = np.unique(np.concatenate([i * n + j, j * n + i]), return_inverse=True)
    total = np.bincount(where, np.tile(p.ravel(), 2)) / (2 * n)
    return Pairs(keys // n, keys % n, total.astype(x.dtype))


def similarities(y):
    """The shares q_ij of the pairs of a map, under Student's t distribution.

    Implements :eq:`similarity-student` of book/similarity.

    Parameters
    ----------
    y : (n, d) array

    Returns
    -------
    (n, n) array
    """
    w = 1 / (1 + squared_distances(y, y))
    np.fill_diagonal(w, 0)
    return w / w.sum()


def tsne_cost(p, y, block=BLOCK):
    """Kullback-Leibler divergence of the map's shares q from the probabilities p.

    Implements :eq:`similarity-kl` of book/similarity.

    Parameters
    ----------
    p : (n, n) array or Pairs
        A matrix with zero diagonal and the sum 1.
    y : (n, d) array
    block : int
        Rows taken at a time.

    Returns
    -------
    float
        In nats.

    Raises
    ------
    ValueError
        If a shape or a dtype does not fit, or a number is not finite.
    """
    _check_map(p, y, block)
    *_, total = _repulsion(y, block)
    cost = np.log(total)
    if isinstance(p, Pairs):
        parts = [(p.p, ((y[p.i] - y[p.j]) ** 2).sum(axis=1))]
    else:
        parts = ((values, squared_distances(y[rows], y)) for rows, values in _rows(p, block))
    for values, squares in parts:
        cost += (values * np.log1p(squares)).sum(dtype=np.float64)
        positive = values[values > 0]
        cost += (positive * np.log(positive)).sum(dtype=np.float64)
    return float(cost)


def tsne_gradient(p, y, block=BLOCK):
    """Gradient of :func:`tsne_cost` by the positions.

    Implements :eq:`similarity-gradient` of book/similarity. Source: van der Maaten and Hinton (2008); here
    attraction and repulsion apart, so that no matrix larger than `block` rows is held beside `p`.

    Parameters
    ----------
    p : (n, n) array or Pairs
        It may be exaggerated: its sum need not be 1.
    y : (n, d) array
    block : int

    Returns
    -------
    (n, d) array

    Raises
    ------
    ValueError
        As :func:`tsne_cost` does.
    """
    _check_map(p, y, block)
    repulsion, total = _repulsion(y, block)
    return 4 * (_attraction(p, y, block) - repulsion / total)


def _attraction(p, y, block):
    """Sum over j of p_ij w_ij (y_i - y_j)."""
    if isinstance(p, Pairs):
        differences = [column[p.i] - column[p.j] for column in y.T.copy()]
        w = p.p / (1 + sum(d * d for d in differences))
        starts = np.searchsorted(p.i, np.arange(len(y)))
        return np.stack([np.add.reduceat(w * d, starts) for d in differences], axis=1)
    y = y - y.mean(axis=0)
    force = np.zeros_like(y)
    for rows, values in _rows(p, block):
        w = values / (1 + squared_distances(y[rows], y))
        force[rows] = w.sum(axis=1)[:, None] * y[rows] - w @ y
    return force


def _repulsion(y, block):
    """Sum over j of w_ij^2 (y_i - y_j), and the sum of all w_ij, i != j."""
    n = len(y)
    y = y - y.mean(axis=0)  # small numbers round less
    ones, squares = np.ones((n, 1), y.dtype), (y * y).sum(axis=1, keepdims=True)
    # 1 + |y_i|^2 + |y_j|^2 - 2 y_i y_j is one product of these two.
    left, right = np.hstack([-2 * y, squares + 1, ones]), np.hstack([y, ones, squares]).T.copy()
    points = np.hstack([y, ones])
    sums, total = np.zeros_like(points), 0.0
    for start in range(0, n, block):
        stop = min(start + block, n)
        # The matrix is symmetric: a block holds the columns from its own rows on.
        w = left[start:stop] @ right[:, start:]
        np.maximum(w, 1, out=w)
        np.reciprocal(w, out=w)
        square = w[:, : stop - start]
        np.fill_diagonal(square, 0)
        total += float(square.sum()) + 2 * float(w[:, stop - start :].sum())
        w *= w
        sums[start:stop] += w @ points[start:]
        sums[stop:] += w[:, stop - start :].T @ points[start:stop]
    return sums[:, -1:] * y - sums[:, :-1], y.dtype.type(total)


def _rows(p, block):
    for start in range(0, len(p), block):
        rows = slice(start, start + block)
        yield rows, p[rows]


def tsne_step(y, velocity, gains, gradient, rate, momentum):
    """One step of gradient descent with momentum and a gain for each coordinate.

    Implements :eq:`similarity-momentum` of book/similarity. Source: Jacobs (1988) for the gains, with the
    constants of van der Maaten's programs.

    Parameters
    ----------
    y, velocity, gains, gradient : (n, d) array
    rate, momentum : float

    Returns
    -------
    y, velocity, gains : (n, d) array
    """
    turned = velocity * gradient > 0  # the last step went uphill here
    gains = np.maximum(np.where(turned, gains * 0.8, gains + 0.2), 0.01).astype(y.dtype)
    velocity = momentum * velocity - rate * gains * gradient
    return y + velocity, velocity, gains


def tsne(
    x,
    rng=None,
    *,
    perplexity=30.0,
    steps=1000,
    y_0=None,
    exaggeration=12.0,
    exaggerated=250,
    rate=None,
    neighbours=None,
    block=BLOCK,
    every=50,
):
    """Place points on a map so that neighbours stay neighbours.

    Implements :eq:`similarity-momentum` of book/similarity, with the gradient of :func:`tsne_gradient`.
    Source: van der Maaten and Hinton (2008); exaggeration, learning rate and steps are the defaults of
    scikit-learn, and as there the second phase starts with no velocity and gains of 1. The repulsion is
    exact, without a tree. Look whether the costs still fall at the end.

    Parameters
    ----------
    x : (n, D) array
    rng : np.random.Generator, optional
        Draws the start, normal with standard deviation 1e-4, where there is no `y_0`.
    perplexity : float
        More than 1 and less than n - 1.
    steps : int
    y_0 : (n, d) array, optional
        Where to start.
    exaggeration : float
        Factor on the probabilities during the first `exaggerated` steps, with momentum 0.5; then 0.8.
    exaggerated : int
    rate : float, optional
        Learning rate; n / exaggeration / 4, at least 50, if None.
    neighbours : int, optional
        Attract only so many nearest neighbours; memory is then linear in n. All if None.
    block : int
        Rows of the map taken at a time.
    every : int
        Steps between two entries of the history.

    Returns
    -------
    Map

    Raises
    ------
    ValueError
        If a setting is out of range, there is neither `y_0` nor `rng`, or a position is no longer finite.
    """
    _check_points(x, perplexity)
    for name, value in {"steps": steps, "block": block, "every": every}.items():
        check_positive(name, value)
    if y_0 is None:
        if rng is None:
            raise ValueError("rng must be given where y_0 is not")
        y_0 = 1e-4 * rng.standard_normal((len(x), 2)).astype(x.dtype)
    check_shape("y_0", y_0, n=len(x), d=None)
    check_floats(x=x, y_0=y_0)
    rate = _check_settings(len(x), rate, exaggeration, exaggerated)
    if neighbours is None:
        p = joint_probabilities(x, perplexity)
    else:
        p = near_probabilities(x, perplexity, neighbours, block)
    y, velocity, gains = y_0, np.zeros_like(y_0), np.ones_like(y_0)
    history = [(0, y)]
    early = p._replace(p=p.p * x.dtype.type(exaggeration)) if isinstance(p, Pairs) else p * exaggeration
    for step in range(1, steps + 1):
        is_early = step <= exaggerated
        if step == exaggerated + 1:  # another cost: a fresh descent
            velocity, gains = np.zeros_like(y), np.ones_like(y)
        # tsne_gradient without its checks, which would take as long again.
        repulsion, total = _repulsion(y, block)
        gradient = 4 * (_attraction(early if is_early else p, y, block) - repulsion / total)
        y, velocity, gains = tsne_step(y, velocity, gains, gradient, rate, 0.5 if is_early else 0.8)
        if step % every == 0 or step == steps:
            if not np.isfinite(y).all():
                raise ValueError(f"rate {rate:g} is too large: positions are not finite after step {step}")
            history.append((step, y))
    taken, maps = zip(*history, strict=True)
    costs = np.array([tsne_cost(p, y, block) for y in maps])
    return Map(y, float(costs[-1]), np.array(taken), costs, np.stack(maps))


def _check_points(x, perplexity):
    check_sequence("x", x, n=None, D=None)
    check_floats(x=x)
    if len(x) < 4:
        raise ValueError(f"x must hold at least 4 points, got {len(x)}")
    if not 1 < perplexity < len(x) - 1:
        raise ValueError(f"perplexity must lie between 1 and n - 1 = {len(x) - 1}, got {perplexity}")


def _check_settings(n, rate, exaggeration, exaggerated):
    """The learning rate, by default that of scikit-learn, after a check of the three."""
    if not 0 < exaggeration < np.inf:
        raise ValueError(f"exaggeration must be a finite number above 0, got {exaggeration}")
    if exaggerated != 0:
        check_positive("exaggerated", exaggerated)
    if rate is None:
        return max(n / exaggeration / 4, 50)
    if not 0 < rate < np.inf:
        raise ValueError(f"rate must be a finite number above 0, got {rate}")
    return rate


def _check_map(p, y, block):
    check_positive("block", block)
    check_sequence("y", y, n=None, d=None)
    if isinstance(p, Pairs):
        check_shape("y", y, n=p.i[-1] + 1, d=None)
        check_floats(p=p.p, y=y)
    else:
        check_shape("p", p, n=len(y), m=len(y))
        check_floats(p=p, y=y)
