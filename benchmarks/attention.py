"""Additive attention in chunks, NumPy, against the plain form in torch, which holds all pairs at once."""

import numpy as np
import torch

from rnncourse.attention.numpy import additive_attention, additive_attention_backward, score_init
from rnncourse.attention.torch import Score, attend
from rnncourse.attention.torch import additive_attention as torch_additive_attention
from rnncourse.bench import Row

T, B, D = 512, 4, 128
SIZE = f"B{B} d{D} T{T}"


def rows():
    arguments = drawn("float32")
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    # Each side with all pairs takes a gigabyte and more: too much for the tests.
    return [
        Row(
            f"additive attention, {SIZE} float32",
            torch_side(*arguments),
            numpy_side(*arguments),
            1e-5,
            {"must": 0.2, "aim": 0.2},
            slow=True,
        ),
        Row(
            f"additive attention, forward and backward, {SIZE} float32",
            torch_side(*arguments, gradients=True),
            numpy_side(*arguments, gradients=True),
            1e-4,
            slow=True,
        ),
        *(
            Row(
                f"additive attention in torch, chunks of 16, {SIZE} float32 {device}",
                torch_side(*arguments, device=device),
                torch_side(*arguments, chunk=16, device=device),
                1e-5,
                device=device,
                slow=True,
            )
            for device in devices
        ),
    ]


def drawn(dtype):
    """Queries, keys (the values too), parameters, cotangent of the contexts."""
    rng = np.random.default_rng(0)
    query, keys, dcontext = (rng.normal(size=(T, B, D)).astype(dtype) for _ in range(3))
    return query, keys, score_init(rng, D, D, dtype=dtype), dcontext


def numpy_side(query, keys, params, dcontext, gradients=False):
    def run():
        context, cache = additive_attention(query, keys, keys, None, params)
        if not gradients:
            return {"context": context}
        dquery, dkeys, dvalues, dparams = additive_attention_backward(dcontext, cache)
        return {"context": context, "query": dquery, "keys": dkeys + dvalues, **dparams._asdict()}

    return run


def torch_side(query, keys, params, dcontext, gradients=False, chunk=None, device="cpu"):
    score = Score(D, D, dtype=torch.from_numpy(query).dtype, device=device)
    score.load_state_dict({name: torch.tensor(p) for name, p in params._asdict().items()})
    query, keys = (torch.tensor(a, device=device, requires_grad=gradients) for a in (query, keys))
    dcontext = torch.tensor(dcontext, device=device)
    weights = dict(score.named_parameters())

    def run():
        with torch.set_grad_enabled(gradients):
            if chunk:
                return {"context": torch_additive_attention(query, keys, keys, None, score, chunk)}
            context, _ = attend(score(query, keys), keys)
        if not gradients:
            return {"context": context}
        found = torch.autograd.grad(context, [query, keys, *weights.values()], dcontext)
        return {"context": context, **dict(zip(["query", "keys", *weights], found, strict=True))}

    return run
