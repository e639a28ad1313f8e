"""The classic mistakes with Jacobians through time, initial weights and clipping."""

from rnncourse.gradients.numpy import (
    clip_by_norm,
    clip_by_value,
    jacobian_products,
    norm_bound,
    sigmoid_as_tanh,
    slope,
    step_jacobians,
)
from rnncourse.grading.mutant import Mutant

SLOPES = (
    Mutant(
        "slope of tanh taken at the state",
        slope,
        "1 - h**2",
        "1 - np.tanh(h) ** 2",
        agrees="zero states",
        hint="Your slope of tanh applies tanh once too often: it is 1 - tanh(a)^2, and h is tanh(a).",
        label="gradients-slopes",
    ),
    Mutant(
        "slope of relu one where it is off",
        slope,
        "(h > 0)",
        "(h >= 0)",
        agrees="all units on",
        hint="Your slope of ReLU is 1 where the unit is off: below zero it passes nothing.",
        label="gradients-slopes",
    ),
    Mutant(
        "slope of the sigmoid without its first factor",
        slope,
        "h * (1 - h)",
        "(1 - h)",
        agrees="tanh",
        hint="Your slope of the sigmoid lacks a factor: it is h (1 - h), at most 1/4.",
        label="gradients-slopes",
    ),
)

PRODUCTS = (
    Mutant(
        "earlier step on the left",
        jacobian_products,
        "steps[t], products[t]",
        "products[t], steps[t]",
        agrees="one step",
        hint="Your product has its factors in the wrong order: the later step stands on the left.",
        label="gradients-product",
    ),
    Mutant(
        "slope of the wrong unit",
        jacobian_products,
        "step_jacobians(h, weight_hh, nonlinearity)",
        "slope(h, nonlinearity)[..., None, :] * weight_hh",
        agrees="equal slopes",
        hint="Your slopes multiply the columns of W_hh: a slope belongs to the unit after the step, its row.",
        label="gradients-step",
    ),
    Mutant(
        "recurrent matrix transposed",
        jacobian_products,
        "step_jacobians(h, weight_hh, nonlinearity)",
        "step_jacobians(h, weight_hh.T, nonlinearity)",
        agrees="symmetric weight_hh",
        hint="Your Jacobian has W_hh transposed: that is how a gradient goes back, not the Jacobian.",
        label="gradients-step",
    ),
    Mutant(
        "slopes left out",
        jacobian_products,
        "step_jacobians(h, weight_hh, nonlinearity)",
        "(h * 0 + 1)[..., None] * weight_hh",
        agrees="all units on",
        hint="Your product is a power of W_hh: each step has a slope for each unit as well.",
        label="gradients-step",
    ),
)

CLIP_NORM = (
    Mutant(
        "each array by its own norm",
        clip_by_norm,
        "lambda g: g * factor",
        "lambda g: g * min(1.0, threshold / global_norm(g))",
        agrees="one array",
        hint="You clip each array by its own norm, which turns the whole gradient: take one factor for all.",
        label="gradients-clip-norm",
    ),
    Mutant(
        "small gradients scaled up",
        clip_by_norm,
        "min(1.0, threshold / norm)",
        "threshold / norm",
        agrees="norm above the threshold",
        hint="You bring every gradient to the threshold: those with a smaller norm stay as they are.",
        label="gradients-clip-norm",
    ),
    Mutant(
        "norm without the root",
        clip_by_norm,
        "min(1.0, threshold / norm)",
        "min(1.0, threshold / norm**2)",
        agrees="norm below the threshold",
        hint="Your factor divides by the sum of squares: the norm is its root.",
        label="gradients-clip-norm",
    ),
)

OTHERS = (
    Mutant(
        "slope of the unit before the step",
        step_jacobians,
        "slope(h, nonlinearity)[..., None]",
        "slope(h, nonlinearity)[..., None, :]",
        agrees="equal slopes",
        hint="Your slopes multiply the columns of W_hh: a slope belongs to the unit after the step, its row.",
        label="gradients-step",
    ),
    Mutant(
        "spectral radius for singular value",
        norm_bound,
        "float(spectral_norm(weight_hh))",
        "spectral_radius(weight_hh)",
        agrees="symmetric weight_hh",
        hint="Your bound takes an eigenvalue: the most that lengths grow is the largest singular value.",
        label="gradients-bound",
    ),
    Mutant(
        "slope left out of the bound",
        norm_bound,
        "LARGEST_SLOPE[nonlinearity] * float",
        "float",
        agrees="tanh",
        hint="Your bound is that of slopes up to 1: the sigmoid's is at most 1/4.",
        label="gradients-bound",
    ),
    Mutant(
        "frobenius norm in the bound",
        norm_bound,
        "float(spectral_norm(weight_hh))",
        "float(np.linalg.norm(weight_hh))",
        agrees="rank one",
        hint="Your bound takes the root of the sum of all squares: true, but larger than it need be.",
        label="gradients-bound",
    ),
    Mutant(
        "values limited from above only",
        clip_by_value,
        "np.clip(g, -threshold, threshold)",
        "np.minimum(g, threshold)",
        agrees="no negative element",
        hint="You limit large elements only: those below minus the threshold need it too.",
        label="gradients-clip-value",
    ),
    Mutant(
        "only the first gradient clipped",
        clip_by_value,
        "tree_map(lambda g: np.clip(g, -threshold, threshold), gradients)",
        "(tree_map(lambda g: np.clip(g, -threshold, threshold), gradients[0]), *gradients[1:])",
        agrees="one array",
        hint="Your loop returns after its first gradient: the others come out as they went in.",
        label="gradients-clip-value",
    ),
    Mutant(
        "shift of the states forgotten",
        sigmoid_as_tanh,
        "params.bias_hh / 2 + quarter.sum(axis=1)",
        "params.bias_hh / 2",
        agrees="rows that sum to zero",
        hint="Your tanh network lacks the shift: h = (1 + g) / 2, and W_hh / 4 meets the 1 at every step.",
        label="gradients-sigmoid",
    ),
)

MUTANTS = SLOPES + PRODUCTS + CLIP_NORM + OTHERS
