"""Forward and backward pass of a time-delay layer against torch.nn.Conv1d."""

import numpy as np
import torch

from rnncourse.bench import Row
from rnncourse.sequences.numpy import delay_backward, delay_forward, delay_init
from rnncourse.sequences.torch import delay_forward as torch_delay_forward

# Rounding of sums over up to T B = 3200 products in another order.
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
# (T, B, D, H, n)
SIZES = {"T100 B32 D128 H256 n3": (100, 32, 128, 256, 3), "T200 B1 D100 H100 n8": (200, 1, 100, 100, 8)}

# Must: what the first version reached plus 10%, for the two sizes in float32.
TARGETS = {
    "T100 B32 D128 H256 n3": {"must": 1.93, "aim": 1.2},
    "T200 B1 D100 H100 n8": {"must": 1.08, "aim": 0.9},
}


def rows():
    numpy_rows = [
        Row(
            f"time-delay layer, {size} {dtype}",
            conv_side(*drawn(size, dtype)),
            numpy_side(*drawn(size, dtype)),
            TOLERANCES[dtype],
            TARGETS[size] if dtype == "float32" else {},
        )
        for size in SIZES
        for dtype in ("float32", "float64")
    ]
    size, dtype = "T100 B32 D128 H256 n3", "float32"
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    torch_rows = [
        Row(
            f"time-delay layer by unfold, {size} {dtype} {device}",
            conv_side(*drawn(size, dtype), device),
            unfold_side(*drawn(size, dtype), device),
            TOLERANCES[dtype],
            device=device,
        )
        for device in devices
    ]
    return numpy_rows + torch_rows


def drawn(size, dtype):
    """Inputs, parameters, and a random cotangent of the output."""
    T, B, D, H, n = SIZES[size]
    rng = np.random.default_rng(0)
    x, da = (rng.normal(size=shape).astype(dtype) for shape in [(T, B, D), (T - n + 1, B, H)])
    return x, delay_init(rng, D, H, n, dtype), da


def named(a, gradients):
    return {"a": a} | dict(zip(("x", "weight", "bias"), gradients, strict=True))


def numpy_side(x, params, da):
    def run():
        a, cache = delay_forward(x, params)
        dx, dparams = delay_backward(da, cache)
        return named(a, (dx, *dparams))

    return run


def conv_side(x, params, da, device="cpu"):
    """Conv1d in its own layout: (B, D, T) in memory, which is its best case; the names' order is ours."""
    x, da = (torch.tensor(a, device=device).permute(1, 2, 0).contiguous() for a in (x, da))
    x.requires_grad_()
    weight, bias = (torch.tensor(p, device=device, requires_grad=True) for p in params)

    def run():
        a = torch.nn.functional.conv1d(x, weight, bias)
        dx, *gradients = torch.autograd.grad(a, (x, weight, bias), da)
        return named(a.permute(2, 0, 1), (dx.permute(2, 0, 1), *gradients))

    return run


def unfold_side(x, params, da, device="cpu"):
    inputs = [torch.tensor(a, device=device, requires_grad=True) for a in (x, *params)]
    da = torch.tensor(da, device=device)

    def run():
        a = torch_delay_forward(*inputs)
        return named(a, torch.autograd.grad(a, inputs, da))

    return run
