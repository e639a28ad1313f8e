# A forget gate near one keeps the cell. How long does half of it stay, by the
# gate's bias?
import numpy as np

from rnncourse.lstm.numpy import forget_bias, half_life, lstm_forward, lstm_init

for bias in (0.0, 1.0, 3.0, 5.0):
    gate = 1 / (1 + np.exp(-bias))
    steps = half_life(gate)
    print(f"bias {bias}: gate {gate:.3f}, half-life {steps:6.1f} steps")
params = lstm_init(np.random.default_rng(0), D=2, H=1)
for array in params:
    array[:] = 0
params.bias_ih[1] = forget_bias(10)  # the blocks are i, f, g, o
x, h_0, c_0 = np.zeros((10, 1, 2)), np.zeros((1, 1)), np.ones((1, 1))
output, (h, c), cache = lstm_forward(x, (h_0, c_0), params)
print("a cell of 1 after ten steps:", c[0].round(3))
