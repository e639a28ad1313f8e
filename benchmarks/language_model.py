"""A training step of a language model and sampling from it, NumPy against the PyTorch twin."""

import numpy as np
import torch

from rnncourse.bench import Row
from rnncourse.language_model.numpy import (
    lm_init,
    lm_loss,
    sampling_probabilities,
    zero_state,
)
from rnncourse.language_model.torch import LanguageModel
from rnncourse.language_model.torch import sampling_probabilities as torch_probabilities
from rnncourse.optim._tree import tree_leaves

# Sums over T B positions in another order.
TOLERANCES = {"float32": 1e-4, "float64": 1e-12}
# (V, E, H, B, T): words of the tales, characters of the tales.
SIZES = {"V1035 E64 H64 B16 T32": (1035, 64, 64, 16, 32), "V61 E24 H96 B16 T50": (61, 24, 96, 16, 50)}

# Must: what the first version reached plus 10%.
TARGETS = {
    "V1035 E64 H64 B16 T32": {"must": 1.55, "aim": 1.4},
    "V61 E24 H96 B16 T50": {"must": 2.25, "aim": 2.0},
    "sampling": {"must": 1.75, "aim": 1.5},
}


def rows():
    steps = [
        Row(
            f"loss and gradient, LSTM, {size} {dtype}",
            torch_side(size, dtype),
            numpy_side(size, dtype),
            TOLERANCES[dtype],
            TARGETS[size] if dtype == "float32" else {},
        )
        for size in SIZES
        for dtype in ("float32", "float64")
    ]
    logits = 3 * np.random.default_rng(0).normal(size=(64, 1035))
    tensor = torch.tensor(logits)
    settings = Row(
        "temperature, top-k and nucleus, 64 predictions of V1035 float64",
        lambda: {"p": torch_probabilities(tensor, 0.8, 200, 0.9)},
        lambda: {"p": sampling_probabilities(logits, 0.8, 200, 0.9)},
        TOLERANCES["float64"],
        TARGETS["sampling"],
    )
    return [*steps, settings]


def drawn(size, dtype):
    """Parameters, inputs and targets."""
    V, E, H, B, T = SIZES[size]
    rng = np.random.default_rng(0)
    params = lm_init(rng, V, E, H, dtype=np.dtype(dtype))
    return params, *rng.integers(0, V, (2, T, B))


def numpy_side(size, dtype):
    params, x, y = drawn(size, dtype)
    state = zero_state(params, x.shape[1])

    def run():
        loss, _, dparams = lm_loss(x, y, state, params)
        return {"loss": np.array(loss)} | dict(tree_leaves(dparams))

    return run


def torch_side(size, dtype):
    params, x, y = drawn(size, dtype)
    (V, E), H = params.embedding.shape, params.cell.weight_hh.shape[1]
    model = LanguageModel(V, E, H, dtype=getattr(torch, dtype))
    ours = {
        "embedding": "embedding.weight",
        "output.weight": "output.weight",
        "output.bias": "output.bias",
        **{f"cell.{name}": f"rnn.0.{name}_l0" for name in params.cell._fields},
    }
    leaves = dict(tree_leaves(params))
    model.load_state_dict({theirs: torch.tensor(leaves[name]) for name, theirs in ours.items()})
    weights = dict(model.named_parameters())
    x, y = torch.tensor(x), torch.tensor(y).flatten()

    def run():
        logits, _ = model(x)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y)
        gradients = torch.autograd.grad(loss, [weights[theirs] for theirs in ours.values()])
        return {"loss": loss} | dict(zip(ours, gradients, strict=True))

    return run
