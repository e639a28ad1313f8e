"""What the graded exercise on the gated recurrent unit asks, and how an answer is judged."""

import numpy as np

from rnncourse.grading.check import Parity, Property, draw_sizes
from rnncourse.grading.mutant import Mutant
from rnncourse.gru.mutants import BEFORE_BACKWARD, BEFORE_FORWARD
from rnncourse.gru.numpy import (
    GRUParams,
    gru_forward,
    gru_init,
    gru_reset_before_backward,
    gru_reset_before_forward,
)


def _draw_step(rng):
    _, B, D, H = draw_sizes(rng)
    # Large weights, so that gates are far from one half and each mistake shows.
    params = GRUParams(*(2 * p for p in gru_init(rng, D, H)))
    return rng.normal(size=(B, D)), rng.normal(size=(B, H)), params


def _draw_backward(rng):
    x_t, h, params = _draw_step(rng)
    return rng.normal(size=h.shape), x_t, h, params


def _call_step(forward, x_t, h, params):
    return forward(x_t[None], h, params)[1]


def _call_backward(backward, dh, x_t, h, params):
    _, _, cache = gru_reset_before_forward(x_t[None], h, params)
    dx, dh_prev, dparams = backward(dh[None], np.zeros_like(dh), cache)
    return dx[0], dh_prev, dparams


def from_other(kernel, recurrent, bias):
    """Parameters of ``torch.nn.GRU`` from those of the library that the question describes."""
    stored = kernel.T, recurrent.T, bias[0], bias[1]
    blocks = [np.split(array, 3) for array in stored]
    return GRUParams(*(np.concatenate([r, -u, n]) for u, r, n in blocks))


def _draw_other(rng):
    _, _, D, H = draw_sizes(rng)
    return rng.normal(size=(D, 3 * H)), rng.normal(size=(H, 3 * H)), rng.normal(size=(2, 3 * H))


OTHER = (
    Mutant(
        "blocks not reordered",
        from_other,
        "for u, r, n in blocks",
        "for r, u, n in blocks",
        agrees="equal gates, zero update gate",
        hint="Your blocks are in the library's order: torch.nn wants r, z, n.",
        label="gru-gates",
    ),
    Mutant(
        "biases not converted",
        from_other,
        "[r, -u, n]",
        "[r, u if u.ndim == 1 else -u, n]",
        agrees="zero biases",
        hint="Your update gate's biases keep their sign: the whole pre-activation is negated.",
        label="gru-flip",
    ),
    Mutant(
        "update gate not converted",
        from_other,
        "[r, -u, n]",
        "[r, u, n]",
        agrees="zero update gate",
        hint="Your update gate still multiplies the candidate: in torch.nn z multiplies the old state.",
        label="gru-flip",
    ),
)


def _draw_grouped(rng):
    """Parameters whose reset gates are equal within groups of units, whatever is read.

    Groups 1, 2, 3 differ from group 0 in W_ir alone, in W_hr alone, and in the sum of the biases alone, so
    each of the three must be compared.
    """
    H = int(rng.integers(6, 9))
    D = int(rng.integers(2, 4))
    groups = rng.permutation(np.concatenate([[0, 0, 1, 2, 3], rng.integers(0, 4, H - 5)]))
    weight_ih, weight_hh, bias_ih, bias_hh = (p.copy() for p in gru_init(rng, D, H))
    # A quarter in one column: no column alone tells all units apart.
    weight_ih[:H], weight_hh[:H] = weight_ih[0], weight_hh[0]
    weight_ih[:H, rng.integers(D)] += (groups == 1) / 4
    weight_hh[:H, rng.integers(H)] += (groups == 2) / 4
    # Eighths: the sum of the two biases is the same to the last bit, though their parts differ.
    bias_ih[:H] = rng.integers(-8, 9, H) / 8
    bias_hh[:H] = (1 + (groups == 3)) / 8 - bias_ih[:H]
    bias_hh[2 * H :] = 0
    return GRUParams(weight_ih, weight_hh, bias_ih, bias_hh), groups[:, None] == groups


def _judge_mask(answer, rng):
    for _ in range(5):
        params, most = _draw_grouped(rng)
        H, D = most.shape[0], params.weight_ih.shape[1]
        mask = np.asarray(answer(GRUParams(*(p.copy() for p in params))))
        if mask.shape != (H, H) or mask.dtype != bool:
            raise AssertionError(
                f"return bools of shape (H, H) = ({H}, {H}), got {mask.dtype} of {mask.shape}"
            )
        weight_hh = params.weight_hh.copy()
        weight_hh[2 * H :] = rng.normal(size=(H, H)) * mask
        x, h_0 = 2 * rng.normal(size=(6, 3, D)), rng.normal(size=(3, H))
        masked = params._replace(weight_hh=weight_hh)
        after, before = (f(x, h_0, masked)[0] for f in (gru_forward, gru_reset_before_forward))
        if np.abs(after - before).max() > 1e-12:
            raise AssertionError(
                f"with random numbers where you allow them the two forms differ by up to "
                f"{np.abs(after - before).max():.2g}: which entries does r multiply differently in the two?"
            )
        if mask.sum() < most.sum():
            raise AssertionError(
                f"the two forms coincide, but you allow {mask.sum()} entries and {most.sum()} are possible"
            )


def _values_taken(i, dtype):
    i, c = dtype(i), dtype(0)
    f, seen = dtype(1) - i, set()
    while c not in seen:
        seen.add(c)
        c = f * c + i * dtype(1)
    return len(seen)


def _judge_levels(answer, rng):
    gates = rng.permutation([1 / 2, 1 / 4, 1 / 8, 3 / 4, 3 / 8, 7 / 8])[:4]
    # In float16, 1 - 0.7 rounded once and rounded twice are two numbers, with 7 and 8 values.
    for i in [*gates, 0.7, float(rng.uniform(0.2, 0.9))]:
        for dtype in (np.float16, np.float32):
            levels, right = answer(float(i), dtype), _values_taken(i, dtype)
            if isinstance(levels, bool) or not isinstance(levels, int | np.integer):
                raise AssertionError(f"return a whole number, got {levels!r}")
            if levels != right:
                raise AssertionError(
                    f"with i = {i:.4g} in {dtype.__name__} the cell does not take {levels} different values: "
                    "run the update until a value comes back, each operation in that precision, "
                    "1 - dtype(i) too; 0 counts as a value"
                )


QUESTIONS = {
    "q1": Parity(gru_reset_before_forward, _draw_step, ("h",), BEFORE_FORWARD, _call_step),
    "q2": Parity(
        gru_reset_before_backward,
        _draw_backward,
        ("dx_t", "dh_prev", "dparams"),
        BEFORE_BACKWARD,
        _call_backward,
    ),
    "q3": Parity(from_other, _draw_other, ("params",), OTHER),
    "q4": Property(_judge_mask),
    "q5": Property(_judge_levels),
}
