"""Clipping, in NumPy."""

import math

import numpy as np

from rnncourse.optim._tree import tree_leaves, tree_map


def global_norm(gradients):
    """Euclidean norm of all gradients taken as one vector."""
    return math.sqrt(sum(float(np.vdot(leaf, leaf)) for _, leaf in tree_leaves(gradients)))


def clip_by_norm(gradients, threshold):
    """Scale all gradients by one factor, so that their common norm is at most `threshold`.

    Parameters
    ----------
    gradients : array, or nested tuples of arrays
    threshold : float
        Positive.

    Returns
    -------
    clipped : like `gradients`
    norm : float
        The norm before clipping.
    """
    norm = global_norm(gradients)
    factor = min(1.0, threshold / norm) if norm else 1.0
    return tree_map(lambda g: g * factor, gradients), norm


def clip_by_value(gradients, threshold):
    """Limit every element to -threshold .. threshold; this turns the gradient.

    Parameters
    ----------
    gradients : array, or nested tuples of arrays
    threshold : float
        Positive.

    Returns
    -------
    like `gradients`
    """
    return tree_map(lambda g: np.clip(g, -threshold, threshold), gradients)
