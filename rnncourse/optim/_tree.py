"""Parameters and states as nested tuples of arrays, and the checks that the optimisers share."""

import math

import numpy as np

INTERVALS = {
    "[0, inf)": lambda value: 0 <= value < math.inf,
    "(0, inf)": lambda value: 0 < value < math.inf,
    "[0, 1)": lambda value: 0 <= value < 1,
}


def tree_map(function, *trees):
    """Apply `function` to the arrays at the same place of each tree; keep the first one's structure.

    Tensors are mapped too, and a None stays None.
    """
    first = trees[0]
    if first is None:
        return None
    if not isinstance(first, tuple):
        value = function(*trees)
        # Arithmetic turns an array without dimensions into a scalar.
        return np.asarray(value) if isinstance(value, np.generic) else value
    children = [tree_map(function, *place) for place in zip(*trees, strict=True)]
    return type(first)(*children) if hasattr(first, "_fields") else tuple(children)


def tree_leaves(tree, path=""):
    """Yield the path, such as ``0.weight_hh``, and the value of every leaf."""
    if isinstance(tree, tuple):
        for key, child in zip(getattr(tree, "_fields", range(len(tree))), tree, strict=True):
            yield from tree_leaves(child, f"{path}.{key}" if path else str(key))
    else:
        yield path, tree


def zeros_like(params):
    """Zeros in the structure, shapes and dtypes of `params`; raise if a leaf is no array of floats."""
    for path, leaf in tree_leaves(params):
        kind = leaf.dtype if isinstance(leaf, np.ndarray) else type(leaf).__name__
        if not (isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f"):
            raise ValueError(f"{path or 'params'} must be an array of floats, got {kind}")
    return tree_map(np.zeros_like, params)


def check_structure(params, gradients):
    """Raise unless `gradients` has the structure and the shapes of `params`."""
    paths, given = ([path for path, _ in tree_leaves(tree)] for tree in (params, gradients))
    if paths != given:
        raise ValueError(f"gradients must have the structure of params, {paths}, got {given}")
    for (path, parameter), (_, gradient) in zip(tree_leaves(params), tree_leaves(gradients), strict=True):
        if np.shape(gradient) != parameter.shape or gradient is None:
            got = type(gradient).__name__ if gradient is None else np.shape(gradient)
            raise ValueError(f"gradient of {path or 'params'} must have shape {parameter.shape}, got {got}")


def checked_gradients(params, gradients, step=None):
    """Gradients in the dtypes of `params`; raise unless they fit and are finite."""
    check_structure(params, gradients)
    for path, gradient in tree_leaves(gradients):
        if not np.isfinite(gradient).all():
            when = "" if step is None else f" at step {step}"
            raise ValueError(f"gradient of {path or 'params'} is not finite{when}: it holds nan or inf")
    return tree_map(lambda p, g: g.astype(p.dtype, copy=False), params, gradients)


def set_number(optimiser, name, interval):
    """Make a hyper-parameter a float; raise unless it lies in the interval."""
    # A NumPy float64 would turn float32 parameters into float64; a Python float does not.
    value = float(getattr(optimiser, name))
    if not INTERVALS[interval](value):
        raise ValueError(f"{name} must lie in {interval}, got {value}")
    object.__setattr__(optimiser, name, value)
