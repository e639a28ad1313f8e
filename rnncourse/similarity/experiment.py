"""What a t-SNE map keeps of data whose structure is known: sizes, gaps, and clumps in noise."""

import numpy as np

from rnncourse.similarity.tsne import squared_distances, tsne

PERPLEXITIES = [2, 5, 10, 30, 60]
SEEDS = 10
SETTINGS = {"steps": 400, "rate": 10.0, "exaggeration": 4.0, "exaggerated": 100}
"""Of all maps; with the defaults of :func:`tsne` so few points do not settle within some hundred steps."""


def two_widths(rng):
    """Two groups of 50 points in 10 dimensions, the second ten times as wide; points and group numbers."""
    narrow, wide = rng.normal(size=(50, 10)), 10 * rng.normal(size=(50, 10))
    wide[:, 0] += 100
    return np.vstack([narrow, wide]), np.repeat([0, 1], 50)


def two_gaps(rng):
    """Three groups of 33 points on a line, the second gap five times the first; points and group numbers."""
    x = rng.normal(size=(99, 10))
    groups = np.repeat([0, 1, 2], 33)
    x[:, 0] += np.array([0, 10, 60])[groups]
    return x, groups


def noise(rng):
    """100 points of one normal distribution in 10 dimensions; points and group numbers, all 0."""
    return rng.normal(size=(100, 10)), np.zeros(100, int)


DATASETS = {"two widths": two_widths, "two gaps": two_gaps, "noise": noise}


def radius(points):
    """Root mean square distance from the mean."""
    return float(np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()))


def width_ratio(points, groups):
    """Radius of group 1 by that of group 0."""
    return radius(points[groups == 1]) / radius(points[groups == 0])


def gap_ratio(points, groups):
    """Distance of the means of groups 1 and 2 by that of groups 0 and 1."""
    means = [points[groups == g].mean(axis=0) for g in range(3)]
    return float(np.linalg.norm(means[2] - means[1]) / np.linalg.norm(means[1] - means[0]))


def clumps(points, reach=2.5, least=5):
    """How many clumps there are, as an eye may count them.

    Points are joined that are nearer than `reach` times the median distance of a point from its nearest
    neighbour; a clump is `least` or more points that hang together.
    """
    distances = np.sqrt(squared_distances(points, points))
    np.fill_diagonal(distances, np.inf)
    joined = distances < reach * np.median(distances.min(axis=1))
    left, found = set(range(len(points))), 0
    while left:
        stack = [left.pop()]
        size = 0
        while stack:
            size += 1
            near = left.intersection(np.flatnonzero(joined[stack.pop()]).tolist())
            left -= near
            stack += near
        found += size >= least
    return found


MEASURES = {"two widths": width_ratio, "two gaps": gap_ratio, "noise": lambda points, _: clumps(points)}


def make_map(name, perplexity, seed):
    """Data of the named set and its map: points, group numbers, Map."""
    rng = np.random.default_rng(seed)
    x, groups = DATASETS[name](rng)
    return x, groups, tsne(x, rng, perplexity=perplexity, **SETTINGS)


def record_maps():
    """Each measure on data and map, by set, perplexity and seed: ``book/results/similarity-maps.json``."""
    record = {"perplexities": PERPLEXITIES, "seeds": SEEDS, "settings": SETTINGS, "data": {}, "map": {}}
    for name, measure in MEASURES.items():
        drawn = [DATASETS[name](np.random.default_rng(seed)) for seed in range(SEEDS)]
        # What a plane can show of noise is its first two coordinates.
        record["data"][name] = [
            round(float(measure(x[:, :2] if name == "noise" else x, g)), 3) for x, g in drawn
        ]
        record["map"][name] = []
        for perplexity in PERPLEXITIES:
            maps = (make_map(name, perplexity, seed) for seed in range(SEEDS))
            record["map"][name].append([round(float(measure(m.y, g)), 3) for _, g, m in maps])
    return record


RECORDS = {"maps": record_maps}
