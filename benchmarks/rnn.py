"""A training step of the chapter's character network: forward, loss, backward, Adam."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from rnncourse._numerics import one_hot
from rnncourse.bench import Row
from rnncourse.bptt.numpy import cross_entropy_backward, output_backward, rnn_backward
from rnncourse.optim import Adam
from rnncourse.rnn.numpy import cross_entropy_forward, output_forward, output_init, rnn_forward, rnn_init

T, B, H, V = 25, 32, 128, 61
LR = 0.005


def rows():
    return [
        Row(
            f"character RNN, training step, T{T} B{B} H{H} V{V} {dtype}",
            torch_step(*drawn(dtype)),
            numpy_step(*drawn(dtype)),
            tolerance=1e-6,
        )
        for dtype in ("float64", "float32")
    ]


def drawn(dtype):
    """A batch of ids and the next ones, and the parameters of both layers."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, V, (T + 1, B))
    return ids[:-1], ids[1:], rnn_init(rng, V, H, dtype), output_init(rng, H, V, dtype)


def numpy_step(ids, targets, rnn_params, output_params):
    adam = Adam(LR)
    params = rnn_params, output_params
    state = adam.init(params)
    dtype = output_params.bias.dtype
    h = np.zeros((B, H), dtype)

    def step():
        nonlocal params, state, h
        output, h_T, cache = rnn_forward(one_hot(ids, V, dtype), h, params[0])
        logits, output_cache = output_forward(output, params[1])
        loss, loss_cache = cross_entropy_forward(logits, targets)
        doutput, doutput_params = output_backward(cross_entropy_backward(1.0, loss_cache), output_cache)
        _, _, dparams = rnn_backward(doutput, np.zeros_like(h), cache)
        params, state = adam.step(params, (dparams, doutput_params), state)
        h = h_T
        return {"loss": loss}

    return step


def torch_step(ids, targets, rnn_params, output_params):
    dtype = getattr(torch, output_params.bias.dtype.name)
    rnn, linear = nn.RNN(V, H, dtype=dtype), nn.Linear(H, V, dtype=dtype)
    rnn.load_state_dict({f"{name}_l0": torch.tensor(p) for name, p in rnn_params._asdict().items()})
    linear.load_state_dict({name: torch.tensor(p) for name, p in output_params._asdict().items()})
    adam = torch.optim.Adam([*rnn.parameters(), *linear.parameters()], LR)
    ids, targets = torch.tensor(ids), torch.tensor(targets).flatten()
    h = torch.zeros(1, B, H, dtype=dtype)

    def step():
        nonlocal h
        output, h_T = rnn(F.one_hot(ids, V).to(dtype), h)
        loss = F.cross_entropy(linear(output).flatten(0, 1), targets)
        adam.zero_grad()
        loss.backward()
        adam.step()
        h = h_T.detach()
        return {"loss": loss.detach()}

    return step
