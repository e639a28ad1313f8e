# A network with random weights reads the same input at every step.
# Where does its state go?
import numpy as np

from rnncourse.rnn.numpy import rnn_forward, rnn_init

rng = np.random.default_rng(0)
params = rnn_init(rng, D=1, H=3)
x = np.ones((8, 1, 1))  # T steps, B sequences, D numbers
output, h_T, cache = rnn_forward(x, np.zeros((1, 3)), params)
print(output[:, 0].round(3))
