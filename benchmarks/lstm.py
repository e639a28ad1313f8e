"""Forward and backward pass of an LSTM, all gradients, against torch.nn.LSTM."""

import numpy as np
import torch

from rnncourse.bench import Row
from rnncourse.lstm.numpy import lstm_backward, lstm_forward, lstm_init
from rnncourse.lstm.torch import LSTM, LSTMFunction

# Rounding of sums over T B = 3200 products in another order: 1e-6 of the largest element in float32.
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
# (T, B, D, H)
SIZES = {"T100 B32 D128 H256": (100, 32, 128, 256), "T200 B1 D100 H100": (200, 1, 100, 100)}
# Must: what a trial reached plus 10%.
TARGETS = {
    ("T100 B32 D128 H256", "float32"): {"must": 1.33, "aim": 1.15},
    ("T100 B32 D128 H256", "float64"): {"must": 1.01, "aim": 0.9},
    ("T200 B1 D100 H100", "float32"): {"must": 1.68, "aim": 1.4},
    ("T200 B1 D100 H100", "float64"): {"must": 0.22, "aim": 0.2},
}
TWIN_TARGETS = {"must": 1.46, "aim": 1.35}


def rows():
    numpy_rows = [
        Row(
            f"LSTM, {size} {dtype}",
            nn_side(*drawn(size, dtype)),
            numpy_side(*drawn(size, dtype)),
            TOLERANCES[dtype],
            targets,
        )
        for (size, dtype), targets in TARGETS.items()
    ]
    size, dtype = "T100 B32 D128 H256", "float32"
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    torch_rows = [
        Row(
            f"{name}, {size} {dtype} {device}",
            nn_side(*drawn(size, dtype), device),
            side(*drawn(size, dtype), device),
            TOLERANCES[dtype],
            targets if device == "cpu" else {},
            device=device,
        )
        for device in devices
        for name, side, targets in [
            ("written-out LSTM", twin_side, {}),
            ("LSTMFunction", function_side, TWIN_TARGETS),
        ]
    ]
    return numpy_rows + torch_rows


def drawn(size, dtype):
    """Inputs, initial states, parameters, and random cotangents of all outputs."""
    T, B, D, H = SIZES[size]
    rng = np.random.default_rng(0)
    shapes = (T, B, D), (B, H), (B, H), (T, B, H), (B, H), (B, H)
    x, h_0, c_0, doutput, dh_T, dc_T = (rng.normal(size=shape).astype(dtype) for shape in shapes)
    return x, (h_0, c_0), lstm_init(rng, D, H, dtype=dtype), doutput, (dh_T, dc_T)


def named(output, gradients):
    names = "x", "h_0", "c_0", "weight_ih", "weight_hh", "bias_ih", "bias_hh"
    return {"output": output} | dict(zip(names, gradients, strict=True))


def numpy_side(x, state, params, doutput, dstate):
    def run():
        output, _, cache = lstm_forward(x, state, params)
        dx, dstart, dparams = lstm_backward(doutput, dstate, cache)
        return named(output, (dx, *dstart, *dparams))

    return run


def nn_side(x, state, params, doutput, dstate, device="cpu"):
    return layer_side(torch.nn.LSTM, lambda s: s[None], x, state, params, doutput, dstate, device)


def twin_side(x, state, params, doutput, dstate, device="cpu"):
    return layer_side(LSTM, lambda s: s, x, state, params, doutput, dstate, device)


def layer_side(cls, stacked, x, state, params, doutput, dstate, device):
    """A layer by autograd; `stacked` gives a state the layer axis that torch.nn.LSTM wants."""
    H, D = params.weight_hh.shape[1], params.weight_ih.shape[1]
    layer = cls(D, H, dtype=getattr(torch, x.dtype.name), device=device)
    layer.load_state_dict({f"{name}_l0": torch.tensor(p) for name, p in params._asdict().items()})
    inputs = [torch.tensor(a, device=device, requires_grad=True) for a in (x, *state)]
    doutput, *dstate = (torch.tensor(a, device=device) for a in (doutput, *dstate))
    weights = tuple(layer.parameters())

    def run():
        output, after = layer(inputs[0], tuple(stacked(s) for s in inputs[1:]))
        cotangents = (doutput, *(stacked(d) for d in dstate))
        return named(output, torch.autograd.grad((output, *after), (*inputs, *weights), cotangents))

    return run


def function_side(x, state, params, doutput, dstate, device="cpu"):
    inputs = [torch.tensor(a, device=device, requires_grad=True) for a in (x, *state, *params)]
    cotangents = [torch.tensor(a, device=device) for a in (doutput, *dstate)]

    def run():
        outputs = LSTMFunction.apply(*inputs)
        return named(outputs[0], torch.autograd.grad(outputs, inputs, cotangents))

    return run
