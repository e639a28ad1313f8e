"""What the loop costs beside its steps, and training a small language model in NumPy against PyTorch."""

import numpy as np
import torch

from rnncourse.bench import Row
from rnncourse.gradients.numpy import clip_by_norm
from rnncourse.optim import SGD, Adam
from rnncourse.training.experiment import model_init, model_loss
from rnncourse.training.numpy import train
from rnncourse.training.torch import train as torch_train

# Ten steps of Adam in float32: rounding of the gradient moves a parameter whose gradient is near zero.
TOLERANCES = {"float32": 1e-3, "float64": 1e-9}
# (V, E, H, B, T)
SIZE = 61, 64, 128, 32, 64
STEPS = 10


def rows():
    loop = Row("loop with clipping, 1000 steps of one parameter", bare_loop, package_loop, 0)
    models = [
        Row(
            f"training step, LSTM V61 E64 H128 B32 T64 {dtype}",
            torch_side(dtype),
            numpy_side(dtype),
            TOLERANCES[dtype],
        )
        for dtype in ("float32", "float64")
    ]
    return [loop, *models]


def quadratic(theta, target):
    return float((theta - target) ** 2), 2 * (theta - target)


TARGETS = np.random.default_rng(0).normal(size=1000)


def bare_loop():
    theta, sgd, losses = np.zeros(()), SGD(0.1, 0.5), []
    state = sgd.init(theta)
    for target in TARGETS:
        loss, gradient = quadratic(theta, target)
        losses.append(loss)
        gradient, _ = clip_by_norm(gradient, 1.0)
        theta, state = sgd.step(theta, gradient, state)
    return {"loss": np.array(losses), "theta": theta}


def package_loop():
    trained = train(quadratic, np.zeros(()), TARGETS, SGD(0.1, 0.5), clip=1.0, progress=False)
    return {"loss": trained.history.loss, "theta": trained.params}


def drawn(dtype):
    """Parameters and batches."""
    V, E, H, B, T = SIZE
    rng = np.random.default_rng(1)
    params = model_init(rng, "lstm", V, E, H, dtype=np.dtype(dtype))
    return params, [tuple(rng.integers(0, V, (2, T, B))) for _ in range(STEPS)]


def numpy_side(dtype):
    params, batches = drawn(dtype)

    def run():
        trained = train(lambda p, b: model_loss("lstm", p, b), params, batches, Adam(1e-3), clip=1.0)
        return {"loss": trained.history.loss, "norm": trained.history.gradient_norm}

    return run


class LanguageModel(torch.nn.Module):
    def __init__(self, dtype):
        super().__init__()
        V, E, H, _, _ = SIZE
        self.embedding = torch.nn.Embedding(V, E, dtype=dtype)
        self.lstm = torch.nn.LSTM(E, H, dtype=dtype)
        self.output = torch.nn.Linear(H, V, dtype=dtype)

    def forward(self, x):
        return self.output(self.lstm(self.embedding(x))[0])


def torch_side(dtype):
    (embedding, (lstm,), output), batches = drawn(dtype)
    weights = {"embedding.weight": embedding}
    weights |= {f"lstm.{name}_l0": w for name, w in lstm._asdict().items()}
    weights |= {f"output.{name}": w for name, w in output._asdict().items()}
    weights = {name: torch.tensor(w) for name, w in weights.items()}
    model = LanguageModel(getattr(torch, dtype))
    batches = [tuple(torch.tensor(ids) for ids in batch) for batch in batches]

    def loss(model, batch):
        x, y = batch
        return torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())

    def run():
        model.load_state_dict(weights)
        adam = torch.optim.Adam(model.parameters(), 1e-3)
        trained = torch_train(model, loss, batches, adam, clip=1.0)
        return {"loss": trained.history.loss, "norm": trained.history.gradient_norm}

    return run
