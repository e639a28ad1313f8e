# Does it matter where the reset gate acts? And what turns one convention for
# the update gate into the other?
import numpy as np

from rnncourse.gru.numpy import (
    flip_update,
    gru_forward,
    gru_init,
    gru_reset_before_forward,
)

rng = np.random.default_rng(0)
params = gru_init(rng, D=2, H=3)
x, h_0 = rng.normal(size=(5, 1, 2)), np.zeros((1, 3))
after = gru_forward(x, h_0, params)[0]
before = gru_reset_before_forward(x, h_0, params)[0]
print("the states differ by at most", np.abs(after - before).max().round(3))
flipped = flip_update(params)
print("the update gate's rows change their sign:")
print(params.weight_hh[3].round(3), flipped.weight_hh[3].round(3))
