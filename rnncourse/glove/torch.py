"""GloVe in PyTorch: the cost as a module, and training with sparse gradients on any device."""

import numpy as np
import torch
from torch.nn import functional as F

from rnncourse._checks import check_choice, check_positive, check_shape
from rnncourse.glove.checks import check_batch, check_counts, check_weighting
from rnncourse.training.loop import check_finite, run


def weight(x, x_max=100.0, exponent=0.75):
    """How much a cell with the count x weighs in the cost.

    Implements :eq:`glove-weight` of book/glove.

    Parameters
    ----------
    x : tensor
    x_max, exponent : float

    Returns
    -------
    tensor
        Of the shape of `x`, in [0, 1].

    Raises
    ------
    ValueError
        If a count is negative or not finite, or a setting is out of range.
    """
    check_weighting(x_max, exponent)
    if not x.is_floating_point():
        raise ValueError(f"x must hold floats, got dtype {x.dtype}")
    if not x.isfinite().all():
        raise ValueError("x must be finite, got nan or inf")
    if (x < 0).any():
        raise ValueError(f"x must be at least 0, got {x.min().item()}")
    return (x / x_max).clamp(max=1) ** exponent


class GloVe(torch.nn.Module):
    """The four parameters, named as in the NumPy half; calling it gives the cost of some cells.

    Implements :eq:`glove-cost` of book/glove. The gradients are sparse: they hold the rows of the words that
    were called for, so a step does not touch the others. ``torch.optim.Adagrad`` takes such gradients.

    Parameters
    ----------
    V, E : int
        Size of the vocabulary and of a vector.
    device, dtype
        Of the parameters.
    """

    def __init__(self, V, E, device=None, dtype=None):
        super().__init__()
        check_positive("V", V)
        check_positive("E", E)
        for name, shape in {"weight_in": (V, E), "weight_out": (V, E), "bias_in": V, "bias_out": V}.items():
            start = (torch.rand(shape, device=device, dtype=dtype) - 0.5) / E
            setattr(self, name, torch.nn.Parameter(start))

    def forward(self, rows, columns, log_count, f):
        """Cost of the cells (rows, columns), each a vector of n; no gradient flows to counts and weights."""
        for name, cells in {"columns": columns, "log_count": log_count, "f": f}.items():
            check_shape(name, cells, n=len(rows))
        e = F.embedding(rows, self.weight_in, sparse=True)
        theta = F.embedding(columns, self.weight_out, sparse=True)
        biases = self.bias_in.gather(0, rows, sparse_grad=True)
        biases = biases + self.bias_out.gather(0, columns, sparse_grad=True)
        residual = (e * theta).sum(1) + biases - log_count
        return (f * residual**2).sum() / 2


def train_glove(
    model,
    counts,
    batches,
    *,
    lr=0.05,
    x_max=100.0,
    exponent=0.75,
    steps=None,
    optimiser=None,
    progress=None,
    description=None,
):
    """Train a module in place by Adagrad on batches of cells.

    Implements :eq:`glove-adagrad` of book/glove; the twin of the NumPy function, equal to it for the same
    batches and start.

    Parameters
    ----------
    model : GloVe
    counts : rnncourse.glove.numpy.Cooccurrence
    batches : iterable of (m,) arrays of int
        Indices of cells.
    lr, x_max, exponent : float
    steps : int, optional
    optimiser : torch.optim.Adagrad, optional
        Of an earlier run, to go on with.
    progress : bool, optional
    description : str, optional

    Returns
    -------
    Trained
        Its ``params`` are a copy of the module's state_dict, its ``state`` is the optimiser.

    Raises
    ------
    Diverged, ValueError
        As the NumPy function.
    """
    check_counts(counts)
    check_shape("weight_in", model.weight_in, V=counts.V, E=None)
    like = {"device": model.weight_in.device, "dtype": model.weight_in.dtype}
    rows, columns = (torch.as_tensor(a, device=like["device"]) for a in counts[:2])
    values = torch.as_tensor(counts.values, device=like["device"])
    log_count, f = values.log().to(**like), weight(values, x_max, exponent).to(**like)
    optimiser = optimiser or torch.optim.Adagrad(model.parameters(), lr)

    def step(batch):
        batch = np.asarray(batch)
        check_batch(batch, len(rows))
        batch = torch.as_tensor(batch, device=like["device"])
        optimiser.zero_grad()
        cost = model(rows[batch], columns[batch], log_count[batch], f[batch])
        cost.backward()
        for p in model.parameters():
            p.grad = p.grad.coalesce()  # a word of several cells: one row, the sum
        parts = [(name, p.grad.values()) for name, p in model.named_parameters()]
        norm = torch.stack([g.float().norm() if g.itemsize < 4 else g.norm() for _, g in parts]).norm()
        loss = cost.item() / len(batch)
        check_finite(loss, norm.item(), ((name, g.isfinite().all()) for name, g in parts))
        # torch wants to be told whether to check the sparse tensors that Adagrad makes.
        with torch.sparse.check_sparse_tensor_invariants():
            optimiser.step()
        return loss, norm.item()

    return run(
        step,
        lambda: {name: p.clone() for name, p in model.state_dict().items()},
        lambda: optimiser,
        batches,
        steps=steps,
        evaluate=None,
        every=1,
        patience=None,
        progress=progress,
        description=description,
    )


def glove_vectors(model, how="sum"):
    """The final vector of each word, from its two.

    Implements :eq:`glove-final` of book/glove.

    Parameters
    ----------
    model : GloVe
    how : {"sum", "mean"}

    Returns
    -------
    (V, E) tensor
    """
    check_choice("how", how, ["sum", "mean"])
    total = (model.weight_in + model.weight_out).detach()
    return total if how == "sum" else total / 2
