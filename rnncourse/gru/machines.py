"""Networks that count by construction, with weights set by hand."""

import numpy as np

from rnncourse.lstm.numpy import LSTMParams
from rnncourse.rnn.numpy import OutputParams, RNNParams

SYMBOLS = "$abc"
"""The symbols of the counting languages; ``$`` stands before and after each string."""


def counter_lstm(dtype=np.float64):
    """An LSTM of two units that reads a^n b^n: its first cell state is the number of open a's.

    Implements :eq:`gru-counter` of book/gru. Every saturated gate is one or zero to the last bit, so the
    count is exact as long as whole numbers are: to 2^24 in float32, to 2^53 in float64. The second unit
    says whether the last symbol was a b. Source: after Gers and Schmidhuber (2001), who let training find
    such counters.

    Parameters
    ----------
    dtype : dtype

    Returns
    -------
    params : LSTMParams
        With D = 4 inputs, one-hot in the order of ``SYMBOLS``, and H = 2.
    output_params : OutputParams
        With one logit a symbol.
    """
    one = 40  # sigma(40) and tanh(40) are 1 to the last bit
    bias = [one, one, one, -800, 0, -one, one, one]  # i, f, g, o; sigma(-800) is 0
    weight_ih = np.zeros((8, 4), dtype)
    weight_ih[4, 1:3] = one, -one  # a counts up, b counts down
    weight_ih[5, 2] = 2 * one  # the second candidate is 1 for b, else -1
    params = LSTMParams(weight_ih, np.zeros((8, 2), dtype), np.array(bias, dtype), np.zeros(8, dtype))
    weight, bias = np.zeros((4, 2), dtype), np.zeros(4, dtype)
    weight[1, 1] = -8  # after the first $ comes a
    weight[2, 0], bias[2] = 8, -3  # b as long as the count is at least 1: tanh(1) = 0.76
    bias[3] = -99  # c never
    return params, OutputParams(weight, bias)


def counter_rnn(dtype=np.float64):
    """A ReLU network of two units that reads a^n b^n: its first state is the number of open a's.

    Implements :eq:`gru-counter-relu` of book/gru.

    Parameters
    ----------
    dtype : dtype

    Returns
    -------
    params : RNNParams
        With D = 4 inputs, one-hot in the order of ``SYMBOLS``, and H = 2, for ``nonlinearity="relu"``.
    output_params : OutputParams
        With one logit a symbol.
    """
    weight_ih = np.array([[0, 1, -1, 0], [0, 0, 1, 0]], dtype)
    weight_hh = np.array([[1, 0], [0, 0]], dtype)
    params = RNNParams(weight_ih, weight_hh, np.zeros(2, dtype), np.zeros(2, dtype))
    weight = np.array([[0, 0], [0, -8], [8, 0], [0, 0]], dtype)
    return params, OutputParams(weight, np.array([0, 4, -4, -99], dtype))
