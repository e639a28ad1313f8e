"""Optimisers in NumPy: pure functions of parameters, gradients and a state."""

from rnncourse.optim.adagrad import Adagrad
from rnncourse.optim.adam import Adam
from rnncourse.optim.sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam"]
