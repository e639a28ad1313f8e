"""Recurrent networks whose weights were set by hand, to show what a recurrence can compute."""

import numpy as np

from rnncourse.rnn.numpy import OutputParams, RNNParams


def parity_machine(dtype=np.float64):
    """Ten numbers that read bits and say after each whether the number of ones so far is odd.

    Two ReLU units. With y the parity so far and s = y + x, the units hold relu(s) and relu(s - 1), and
    relu(s) - 2 relu(s - 1) folds 0, 1, 2 onto 0, 1, 0: the new parity, which the recurrent matrix reads back.
    Implements :eq:`rnn-parity` of book/rnn; ``bias_hh`` and the output's bias are zero and not among the ten.

    Returns
    -------
    params : RNNParams
        D = 1, H = 2.
    output_params : OutputParams
        V = 1.
    """
    params = RNNParams(
        weight_ih=np.array([[1], [1]], dtype),
        weight_hh=np.array([[1, -2], [1, -2]], dtype),
        bias_ih=np.array([0, -1], dtype),
        bias_hh=np.zeros(2, dtype),
    )
    return params, OutputParams(np.array([[1, -2]], dtype), np.zeros(1, dtype))
