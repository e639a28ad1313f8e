"""Adam: momentum, and a learning rate for each parameter, both corrected for their start at zero."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rnncourse.optim._tree import checked_gradients, set_number, tree_map, zeros_like


class AdamState(NamedTuple):
    """What Adam carries from step to step."""

    step: int
    """Steps taken so far."""
    mean: Any
    """Like the parameters: decaying mean of the gradients, m in the paper."""
    square: Any
    """Like the parameters: decaying mean of the squared gradients, v in the paper."""


@dataclass(frozen=True)
class Adam:
    """Adaptive moments: the mean gradient over the root of the mean squared gradient.

    Source: Kingma and Ba (2015), Algorithm 1, with their symbols; the default rate is theirs too.
    ``torch.optim.Adam`` takes beta1 and beta2 as one pair ``betas``.

    Parameters
    ----------
    lr : float
        Learning rate, the paper's alpha, at least 0; about the largest change of a parameter in a step.
    beta1, beta2 : float
        Decay of the two means, in [0, 1).
    eps : float
        Added to the root, outside it, above 0.

    Raises
    ------
    ValueError
        If a hyper-parameter is out of range.
    """

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self):
        set_number(self, "lr", "[0, inf)")
        set_number(self, "beta1", "[0, 1)")
        set_number(self, "beta2", "[0, 1)")
        set_number(self, "eps", "(0, inf)")

    def init(self, params):
        """State before the first step.

        Parameters
        ----------
        params : array, or nested tuples of arrays

        Returns
        -------
        AdamState

        Raises
        ------
        ValueError
            If a leaf is no array of floats.
        """
        return AdamState(0, zeros_like(params), zeros_like(params))

    def step(self, params, gradients, state):
        """Take one step; no argument is changed.

        Parameters
        ----------
        params : array, or nested tuples of arrays
        gradients : like `params`
        state : AdamState

        Returns
        -------
        params : like `params`
            After the step, in the same dtypes.
        state : AdamState

        Raises
        ------
        ValueError
            If a gradient does not fit its parameter or is not finite; it names the parameter and the step.
        """
        t = state.step + 1
        gradients = checked_gradients(params, gradients, t)
        m = tree_map(lambda m, g: self.beta1 * m + (1 - self.beta1) * g, state.mean, gradients)
        v = tree_map(lambda v, g: self.beta2 * v + (1 - self.beta2) * g * g, state.square, gradients)

        def update(p, m, v):
            m_hat = m / (1 - self.beta1**t)
            v_hat = v / (1 - self.beta2**t)
            return p - self.lr * m_hat / (np.sqrt(v_hat) + self.eps)

        return tree_map(update, params, m, v), AdamState(t, m, v)
