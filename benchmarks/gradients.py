"""Clipping by norm against torch.nn.utils.clip_grad_norm_, and Jacobians through time against torch.func."""

import numpy as np
import torch

from rnncourse.bench import Row
from rnncourse.gradients.numpy import clip_by_norm, jacobian_products
from rnncourse.gradients.torch import jacobian_products as torch_products
from rnncourse.lstm.numpy import lstm_init
from rnncourse.rnn.numpy import rnn_forward, rnn_init
from rnncourse.rnn.torch import RNN

# A sum of 395,000 squares in another order, and torch's 1e-6 beside a norm of 628.
TOLERANCES = {"float32": 1e-5, "float64": 1e-8}
T, H = 50, 64


def rows():
    clipping = [
        Row(
            f"clip by norm, LSTM D128 H256 {dtype}",
            torch_clip_side(drawn(dtype)),
            clip_side(drawn(dtype)),
            TOLERANCES[dtype],
        )
        for dtype in ("float32", "float64")
    ]
    jacobians = [
        Row(f"{name}, T{T} H{H} float64", jacrev_side(), side(), 1e-10)
        for name, side in [("Jacobian products", products_side), ("Jacobian products in torch", twin_side)]
    ]
    return clipping + jacobians


def drawn(dtype):
    """Gradients of the sizes of an LSTM's parameters."""
    rng = np.random.default_rng(0)
    return tuple(rng.normal(size=p.shape).astype(dtype) for p in lstm_init(rng, 128, 256))


def named(gradients, norm):
    return {str(i): g for i, g in enumerate(gradients)} | {"norm": norm}


def clip_side(gradients):
    return lambda: named(*clip_by_norm(gradients, 1.0))


def torch_clip_side(gradients):
    """The gradients are copied first: PyTorch clips in place, where ours writes a new array as well."""
    gradients = [torch.tensor(g) for g in gradients]
    parameters = [torch.zeros_like(g) for g in gradients]

    def run():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.clone()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        return named([p.grad for p in parameters], norm)

    return run


def network():
    """Inputs (T, 1, D) and parameters."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(T, 1, 8)), rnn_init(rng, 8, H)


def products_side():
    x, params = network()
    h_0 = np.zeros((1, H))

    def run():
        output, _, _ = rnn_forward(x, h_0, params)
        return {"J": jacobian_products(output, params.weight_hh, "tanh")[-1, 0]}

    return run


def layer():
    """The same network in PyTorch: its inputs, initial state and layer."""
    x, params = network()
    rnn = RNN(8, H, dtype=torch.float64)
    rnn.load_state_dict({f"{name}_l0": torch.tensor(p) for name, p in params._asdict().items()})
    return torch.tensor(x), torch.zeros(1, H, dtype=torch.float64), rnn.requires_grad_(False)


def twin_side():
    x, h_0, rnn = layer()
    return lambda: {"J": torch_products(rnn(x, h_0)[0], rnn.weight_hh_l0, "tanh")[-1, 0]}


def jacrev_side():
    x, h_0, rnn = layer()
    jacobian = torch.func.jacrev(lambda h: rnn(x, h)[1])
    return lambda: {"J": jacobian(h_0)[0, :, 0]}
