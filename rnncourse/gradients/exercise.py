"""What the graded exercise on gradients asks, and how an answer is judged."""

from functools import partial

import numpy as np

from rnncourse.gradients.experiment import classify, last_state_loss
from rnncourse.gradients.mutants import CLIP_NORM, PRODUCTS, SLOPES
from rnncourse.gradients.numpy import (
    activation,
    clip_by_norm,
    global_norm,
    jacobian_products,
    slope,
    spectral_norm,
)
from rnncourse.grading.check import Each, Parity, Property, draw_sizes
from rnncourse.optim import Adam
from rnncourse.optim._tree import tree_map
from rnncourse.rnn.numpy import output_init, rnn_init


def _draw_preactivations(rng):
    a = 2 * rng.normal(size=tuple(draw_sizes(rng))[:2])
    # Whatever is drawn, some units are on, some are off, and one stands at 0.
    a[:, 0], a[:, 1] = np.abs(a[:, 0]), -np.abs(a[:, 1])
    a[0, 0] = 0
    return (a,)


def _call_slopes(slope, a):
    return tuple(slope(activation(a, name), name) for name in ("tanh", "relu", "sigmoid"))


def _draw_states(rng):
    T, H, *_ = draw_sizes(rng)
    return rng.uniform(-1, 1, (T, H)), rng.normal(size=(H, H))


def _call_product(products, h, weight_hh):
    return products(h[:, None], weight_hh, "tanh")[-1, 0]


def _draw_gradients(rng, factor):
    """Gradients, and `factor` times their norm as the threshold."""
    H, D, V, _ = draw_sizes(rng)
    gradients = tuple(rng.normal(size=shape) for shape in [(H, D), (H, H), (V, H), (V,)])
    return gradients, float(factor * global_norm(gradients))


def _clip(factor):
    return Parity(clip_by_norm, partial(_draw_gradients, factor=factor), ("clipped", "norm"), CLIP_NORM)


def _judge_growing(answer, rng):
    drawn = [(rng.uniform(0.5, 0.9), rng.integers(3, 9), 10 ** rng.uniform(1, 3)) for _ in range(4)]
    for radius, steps, size in [(0.5, 8, 1000.0), (0.9, 3, 10.0), *drawn]:
        radius, steps, size = float(radius), int(steps), float(np.round(size))
        W = answer(radius, steps, size)
        if not isinstance(W, np.ndarray) or W.shape != (2, 2):
            raise AssertionError(f"return a (2, 2) array, got {getattr(W, 'shape', type(W).__name__)}")
        W = W.astype(float)
        half, determinant = np.trace(W) / 2, W[0, 0] * W[1, 1] - W[0, 1] * W[1, 0]
        found = np.abs(half + np.array([1, -1]) * np.emath.sqrt(half**2 - determinant)).max()
        # A double eigenvalue moves by the root of the rounding of the determinant.
        if found > radius + 1e-7 * spectral_norm(W):
            raise AssertionError(f"the spectral radius must be at most {radius:.4f}, got {found:.4f}")
        norm = float(spectral_norm(np.linalg.matrix_power(W, steps)))
        if not size * (1 - 1e-6) <= norm <= 2 * size:
            raise AssertionError(
                f"with radius {radius:.2f} the power {steps} must have a norm of {size:g} to {2 * size:g}, "
                f"got {norm:.3g}: eigenvalues do not set it; what else may a triangular matrix hold?"
            )


def follow(optimiser, threshold, steps=30, seed=0):
    """Train on fixed random batches with clipping by norm; every gradient is above the threshold.

    Returns
    -------
    path : float
        Sum of the lengths of all steps.
    params : nested tuples of arrays
    """
    rng = np.random.default_rng(seed)
    params = rnn_init(rng, 3, 8), output_init(rng, 8, 2)
    state, path = optimiser.init(params), 0.0
    for _ in range(steps):
        batch = rng.normal(size=(6, 16, 3)), rng.integers(0, 2, 16)
        _, gradients = last_state_loss(params, batch, classify)
        clipped, norm = clip_by_norm(gradients, threshold)
        if norm <= threshold:
            raise AssertionError(f"a gradient of norm {norm:.3g} was not clipped at {threshold:g}")
        before = params
        params, state = optimiser.step(params, clipped, state)
        path += global_norm(tree_map(np.subtract, params, before))
    return path, params


def _judge_responsive(answer, _):
    settings = answer()
    if not isinstance(settings, dict) or not set(settings) <= {"lr", "beta1", "beta2", "eps"}:
        raise AssertionError("return a dict with settings of Adam: lr, beta1, beta2, eps")
    for seed in range(3):
        paths = [follow(Adam(**settings), threshold, seed=seed)[0] for threshold in (0.01, 0.005, 0.0025)]
        if not 0.01 <= paths[0] <= 1:
            raise AssertionError(
                f"network {seed}: with the threshold 0.01 the path is {paths[0]:.2g} long; asked: 0.01 to 1"
            )
        for whole, half in zip(paths, paths[1:], strict=False):
            if not 0.4 < half / whole < 0.6:
                raise AssertionError(
                    f"network {seed}: half the threshold makes the path {half / whole:.3f} times as long; "
                    f"asked: 0.4 to 0.6"
                )


QUESTIONS = {
    "q1": Parity(slope, _draw_preactivations, ("tanh", "relu", "sigmoid"), SLOPES, _call_slopes),
    "q2": Parity(jacobian_products, _draw_states, ("J",), PRODUCTS, _call_product),
    "q3": Each((_clip(0.5), _clip(2.0), _clip(0.2))),
    "q4": Property(_judge_growing),
    "q5": Property(_judge_responsive),
}
