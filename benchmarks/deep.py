"""Forward and backward pass of a bidirectional stack of LSTMs, all gradients, against torch.nn.LSTM."""

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnncourse.bench import Row
from rnncourse.deep.numpy import deep_backward, deep_forward, deep_init, to_state_dict

# Rounding of sums over T B = 3200 products in another order, through two layers.
TOLERANCES = {"float32": 1e-4, "float64": 1e-12}
T, B, D, H, LAYERS = 100, 32, 64, 128, 2
SIZE = f"T{T} B{B} D{D} H{H}"


def rows():
    lengths = np.random.default_rng(1).integers(T // 2, T + 1, B)
    return [
        Row(
            f"{LAYERS} bidirectional LSTM layers, {name}, {SIZE} {dtype}",
            nn_side(*drawn(dtype), given),
            numpy_side(*drawn(dtype), given),
            TOLERANCES[dtype],
        )
        for name, given in [("one length", None), ("lengths 50 to 100", lengths)]
        for dtype in ("float32", "float64")
    ]


def drawn(dtype):
    """Inputs, parameters and a random cotangent of the output."""
    rng = np.random.default_rng(0)
    x, doutput = rng.normal(size=(T, B, D)).astype(dtype), rng.normal(size=(T, B, 2 * H)).astype(dtype)
    return x, deep_init(rng, "lstm", D, H, LAYERS, True, dtype=dtype), doutput


def numpy_side(x, params, doutput, lengths):
    def run():
        output, _, cache = deep_forward(x, None, params, lengths)
        dx, _, dparams = deep_backward(doutput, None, cache)
        return {"output": output, "x": dx, **to_state_dict(dparams)}

    return run


def nn_side(x, params, doutput, lengths):
    layer = torch.nn.LSTM(D, H, LAYERS, bidirectional=True, dtype=getattr(torch, x.dtype.name))
    layer.load_state_dict({name: torch.tensor(p) for name, p in to_state_dict(params).items()})
    x, doutput = torch.tensor(x, requires_grad=True), torch.tensor(doutput)
    names, weights = zip(*layer.named_parameters(), strict=True)

    def run():
        if lengths is None:
            output, _ = layer(x)
        else:
            packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
            output, _ = pad_packed_sequence(layer(packed)[0], total_length=T)
        dx, *gradients = torch.autograd.grad(output, (x, *weights), doutput)
        return {"output": output, "x": dx, **dict(zip(names, gradients, strict=True))}

    return run
