"""Adagrad: a learning rate for each parameter, from the sum of its squared gradients."""

from dataclasses import dataclass

import numpy as np

from rnncourse.optim._tree import checked_gradients, set_number, tree_map, zeros_like


@dataclass(frozen=True)
class Adagrad:
    """Gradient descent with the step of each parameter divided by the root of its squared gradients' sum.

    ``s = s + g**2; p = p - lr g / (sqrt(s) + eps)``, as ``torch.optim.Adagrad`` does. Source: Duchi,
    Hazan and Singer (2011), the composite mirror descent form with a diagonal matrix, without
    regularisation; they add their delta to the root as well.

    Parameters
    ----------
    lr : float
        Learning rate, at least 0.
    eps : float
        Keeps the division defined where no gradient has been seen yet, above 0.

    Raises
    ------
    ValueError
        If a hyper-parameter is out of range.
    """

    lr: float = 1e-2
    eps: float = 1e-10

    def __post_init__(self):
        set_number(self, "lr", "[0, inf)")
        set_number(self, "eps", "(0, inf)")

    def init(self, params):
        """Sum of squared gradients before the first step: zeros in the structure of `params`.

        Parameters
        ----------
        params : array, or nested tuples of arrays

        Returns
        -------
        like `params`

        Raises
        ------
        ValueError
            If a leaf is no array of floats.
        """
        return zeros_like(params)

    def step(self, params, gradients, state):
        """Take one step; no argument is changed.

        Parameters
        ----------
        params : array, or nested tuples of arrays
        gradients : like `params`
        state : like `params`
            The sum of squared gradients.

        Returns
        -------
        params, state : like `params`
            After the step, in the dtypes of `params`.

        Raises
        ------
        ValueError
            If a gradient does not fit its parameter or is not finite; it names the parameter.
        """
        gradients = checked_gradients(params, gradients)
        squares = tree_map(lambda s, g: s + g * g, state, gradients)
        params = tree_map(
            lambda p, g, s: p - self.lr * g / (np.sqrt(s) + self.eps), params, gradients, squares
        )
        return params, squares
