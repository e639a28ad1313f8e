# A window of three steps sees nothing of what came before.
# Change input 4: which outputs move?
import numpy as np

from rnncourse.sequences.numpy import delay_init, tdnn_forward

rng = np.random.default_rng(0)
layers = (delay_init(rng, D=1, H=4, n=2), delay_init(rng, D=4, H=1, n=2))
x = rng.normal(size=(12, 1, 1))
changed = x.copy()
changed[4] += 1
output, other = (tdnn_forward(inputs, layers)[0] for inputs in (x, changed))
print("changed outputs:", np.flatnonzero(np.abs(output - other) > 0))
print("length in, length out:", len(x), len(output))
