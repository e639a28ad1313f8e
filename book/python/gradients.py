# How far does a state reach? Norm of dh_t/dh_0, for three spectral radii of the
# recurrent matrix.
import matplotlib.pyplot as plt
import numpy as np

from rnncourse.gradients.numpy import (
    jacobian_products,
    radius_init,
    spectral_norm,
)
from rnncourse.rnn.numpy import rnn_forward

for radius in (0.5, 1.0, 2.0):
    params = radius_init(np.random.default_rng(0), 4, 16, radius)
    x = 0.1 * np.random.default_rng(1).normal(size=(20, 1, 4))
    states = rnn_forward(x, np.zeros((1, 16)), params)[0]
    products = jacobian_products(states, params.weight_hh, "tanh")
    norms = [spectral_norm(product)[0] for product in products]
    plt.semilogy(norms, label=f"radius {radius}")
plt.xlabel("steps")
plt.ylabel("norm of the Jacobian")
plt.legend()
