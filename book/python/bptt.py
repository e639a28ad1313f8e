# One weight, three steps: h = 1, 2, 4, 8.
# What each use of the weight adds to the gradient of each loss.
import numpy as np

from rnncourse.bptt.numpy import contributions, rnn_backward
from rnncourse.rnn.numpy import RNNParams, rnn_forward

w = 2.0
params = RNNParams(np.zeros((1, 1)), np.array([[w]]), np.zeros(1), np.zeros(1))
x, h_0 = np.zeros((3, 1, 1)), np.ones((1, 1))
output, h_T, cache = rnn_forward(x, h_0, params, "relu")
doutput = np.ones_like(output)  # the loss of each step is its state
print(contributions(doutput, cache)[:, :, 0, 0])
dx, dh_0, dparams = rnn_backward(doutput, np.zeros((1, 1)), cache)
print("gradient of all three losses:", dparams.weight_hh[0, 0])
