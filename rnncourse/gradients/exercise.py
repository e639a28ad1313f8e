"""What the graded exercise on gradients asks, and how an answer is judged."""

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
    spectral_radius,
)
from rnncourse.grading.check import Parity, Property, draw_sizes
from rnncourse.optim import Adam
from rnncourse.optim._tree import tree_map
from rnncourse.rnn.numpy import output_init, rnn_init


def _draw_preactivations(rng):
    a = 2 * rng.normal(size=tuple(draw_sizes(rng))[:2])
    # Whatever is drawn, some units of each row are on and some are off.
    a[:, 0], a[:, 1] = np.abs(a[:, 0]), -np.abs(a[:, 1])
    return (a,)


def _call_slopes(slope, a):
    return tuple(slope(activation(a, name), name) for name in ("tanh", "relu", "sigmoid"))


def _draw_states(rng):
    T, H, *_ = draw_sizes(rng)
    return rng.uniform(-1, 1, (T, H)), rng.normal(size=(H, H))


def _call_product(products, h, weight_hh):
    return products(h[:, None], weight_hh, "tanh")[-1, 0]


def _draw_gradients(rng):
    H, D, V, _ = draw_sizes(rng)
    gradients = tuple(rng.normal(size=shape) for shape in [(H, D), (H, H), (V, H), (V,)])
    factor = rng.choice([0.2, 0.5, 2.0])
    # In a third of the rounds there is nothing to clip.
    return gradients, float(factor * global_norm(gradients))


def _judge_growing(answer, rng):
    for _ in range(4):
        radius, steps = float(rng.uniform(0.3, 0.9)), int(rng.integers(3, 9))
        size = float(np.round(10 ** rng.uniform(1, 4)))
        W = answer(radius, steps, size)
        if not isinstance(W, np.ndarray) or W.shape != (2, 2):
            raise AssertionError(f"return a (2, 2) array, got {getattr(W, 'shape', type(W).__name__)}")
        W = W.astype(float)
        if spectral_radius(W) > radius * (1 + 1e-9):
            raise AssertionError(
                f"the spectral radius must be at most {radius:.2f}, got {spectral_radius(W):.2f}"
            )
        norm = float(spectral_norm(np.linalg.matrix_power(W, steps)))
        if norm < size * (1 - 1e-9):
            raise AssertionError(
                f"with radius {radius:.2f} the power {steps} must have a norm of at least {size:g}, got "
                f"{norm:.3g}: eigenvalues bound no norm; what else may a triangular matrix hold?"
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


def _judge_responsive(answer, rng):
    settings = answer()
    if not isinstance(settings, dict) or not set(settings) <= {"lr", "beta1", "beta2", "eps"}:
        raise AssertionError("return a dict with settings of Adam: lr, beta1, beta2, eps")
    for seed in rng.integers(0, 1000, 3):
        whole, half = (follow(Adam(**settings), threshold, seed=int(seed))[0] for threshold in (0.01, 0.005))
        if whole < 0.01:
            raise AssertionError(
                f"with the threshold 0.01 the path is only {whole:.2g} long; 0.01 is asked for"
            )
        if not 0.45 < half / whole < 0.55:
            raise AssertionError(
                f"half the threshold makes the path {half / whole:.3f} times as long; asked: 0.45 to 0.55"
            )


QUESTIONS = {
    "q1": Parity(slope, _draw_preactivations, ("tanh", "relu", "sigmoid"), SLOPES, _call_slopes),
    "q2": Parity(jacobian_products, _draw_states, ("J",), PRODUCTS, _call_product),
    "q3": Parity(clip_by_norm, _draw_gradients, ("clipped", "norm"), CLIP_NORM),
    "q4": Property(_judge_growing),
    "q5": Property(_judge_responsive),
}
