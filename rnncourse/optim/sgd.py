"""Stochastic gradient descent, plain or with momentum."""

from dataclasses import dataclass

from rnncourse.optim._tree import checked_gradients, set_number, tree_map, zeros_like


@dataclass(frozen=True)
class SGD:
    """Gradient descent; with momentum, along a decaying sum of the gradients.

    ``v = momentum v + g; p = p - lr v``, as ``torch.optim.SGD`` does. Source: Polyak (1964), the
    heavy-ball method. Sutskever et al. (2013) keep the rate inside the velocity instead,
    ``v = momentum v - lr g; p = p + v``: the same steps while the rate stays the same. When it
    changes, here the new rate applies at once to all of the velocity, there to new gradients only.
    Their Nesterov variant is not implemented.

    Parameters
    ----------
    lr : float
        Learning rate, at least 0. ``dataclasses.replace(optimiser, lr=...)`` changes it in a run;
        the state stays valid.
    momentum : float
        Decay of the velocity, in [0, 1).

    Raises
    ------
    ValueError
        If a hyper-parameter is out of range.
    """

    lr: float
    momentum: float = 0.0

    def __post_init__(self):
        set_number(self, "lr", "[0, inf)")
        set_number(self, "momentum", "[0, 1)")

    def init(self, params):
        """Velocity before the first step: zeros in the structure of `params`.

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
            The velocity.

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
        velocity = tree_map(lambda v, g: self.momentum * v + g, state, gradients)
        return tree_map(lambda p, v: p - self.lr * v, params, velocity), velocity
