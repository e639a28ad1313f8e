"""The training loop for a torch module, and what a module costs."""

import copy
from typing import NamedTuple

import torch

from rnncourse.training.architectures import Embedding, Output, Recurrent
from rnncourse.training.loop import Diverged, History, Trained, check_clip, check_finite, run

__all__ = ["Cost", "Diverged", "History", "Trained", "build", "cost", "train"]


def train(
    model,
    loss,
    batches,
    optimiser,
    *,
    steps=None,
    clip=None,
    evaluate=None,
    every=100,
    patience=None,
    progress=None,
    description=None,
    history=None,
    keep=None,
):
    """Train a module in place until the batches end; the twin of :func:`rnncourse.training.numpy.train`.

    Implements :eq:`training-step`, :eq:`training-stop` of book/training. It differs from the NumPy loop in
    that module and optimiser are changed in place, gradients come from autograd, and `evaluate` runs with the
    module in evaluation mode and without gradients. Norm and clipping are over the parameters of the
    optimiser, those that a step changes; of gradients narrower than float32 the norm is taken in float32.
    Each step waits for the device, to look at loss and norm.

    Parameters
    ----------
    model : torch.nn.Module
    loss : callable
        ``loss(model, batch)`` returns the loss, a tensor with one number.
    batches : iterable
        One item a step, handed to `loss` as it is.
    optimiser : torch.optim.Optimizer
        Over all parameters of `model` or some. To go on with an earlier run, pass the same one again.
    steps : int, optional
        Stop after so many steps. Without it the run ends with the batches, or never if they never end.
    clip : float, optional
        Largest norm of all gradients together. The factor is exactly threshold / norm;
        ``torch.nn.utils.clip_grad_norm_`` adds 1e-6 to the norm.
    evaluate : callable, optional
        ``evaluate(model)`` returns a number, the lower the better; called before the first step, then after
        every `every` steps, and with `patience` after the last step too.
    every : int
    patience : int, optional
        Stop when so many evaluations came after the best one, and set the module back to that. After an error
        the module stays as it is; the best parameters are then in the exception's ``trained``.
    progress : bool, optional
        Whether to show a progress bar; by default where there is a terminal, so not in a notebook.
    description : str, optional
        What the progress bar says.
    history : History, optional
        Of the part of this run that was done before: `steps`, `every` and the history returned count it in,
        and there is no evaluation before the first step. Not with `patience`.
    keep : callable, optional
        ``keep(history)`` is called after each evaluation, of which there is then one after the last step too:
        the place to write a checkpoint (:mod:`rnncourse.training.checkpoint`).

    Returns
    -------
    Trained
        Its ``params`` are a copy of the module's state_dict, its ``state`` of the optimiser's.

    Raises
    ------
    Diverged
        At the first loss, gradient or evaluation that is not finite; it says which.
    ValueError
        If a setting is out of range, or `loss` returns something else than one number.
    """
    check_clip(clip)

    def step(batch):
        model.zero_grad()
        optimiser.zero_grad()
        value = loss(model, batch)
        if not isinstance(value, torch.Tensor) or value.ndim:
            got = f"shape {tuple(value.shape)}" if hasattr(value, "shape") else type(value).__name__
            raise ValueError(f"loss must return a tensor with one number, got {got}")
        value.backward()
        updated = [p for group in optimiser.param_groups for p in group["params"]]
        names = {p: name for name, p in model.named_parameters()}
        gradients = {names.get(p, i): p.grad for i, p in enumerate(updated) if p.grad is not None}
        wide = [g.float() if g.dtype.itemsize < 4 else g for g in gradients.values()]
        norm = torch.nn.utils.get_total_norm(wide)
        number, norm = value.item(), norm.item()
        check_finite(number, norm, ((str(name), bool(g.isfinite().all())) for name, g in gradients.items()))
        if clip is not None and norm > clip:
            for gradient in gradients.values():
                gradient.mul_(clip / norm)
        optimiser.step()
        return number, norm

    def evaluated():
        training = model.training
        model.eval()
        try:
            with torch.no_grad():
                return evaluate(model)
        finally:
            model.train(training)

    trained = run(
        step,
        lambda: {name: tensor.detach().clone() for name, tensor in model.state_dict().items()},
        lambda: copy.deepcopy(optimiser.state_dict()),
        batches,
        steps=steps,
        evaluate=evaluate and evaluated,
        every=every,
        patience=patience,
        progress=progress,
        description=description,
        history=history,
        keep=keep,
    )
    if patience is not None:
        model.load_state_dict(trained.params)
    return trained


LAYERS = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


def build(architecture, device="meta"):
    """Build the parts of a published architecture; on the meta device this takes no memory.

    Parameters
    ----------
    architecture : rnncourse.training.architectures.Architecture
    device : torch.device or str

    Returns
    -------
    torch.nn.ModuleList
        One module a part, in the order of the parts. They are not connected: it is for counting.
    """

    def module(part):
        match part:
            case Embedding(V, E):
                return torch.nn.Embedding(V, E, device=device)
            case Output(H, V):
                return torch.nn.Linear(H, V, device=device)
            case Recurrent(cell, D, H, layers, bidirectional):
                return LAYERS[cell](D, H, layers, bidirectional=bidirectional, device=device)

    return torch.nn.ModuleList(map(module, architecture.parts))


class Cost(NamedTuple):
    """What a module costs before any data is seen."""

    parameters: int
    bytes: int
    """Of the parameters alone, in the dtypes they have."""
    operations: int
    """Additions and multiplications of one step of one sequence, forwards, matrix products alone."""


def cost(module):
    """Count parameters, their bytes, and the operations of one step.

    A matrix that multiplies a vector takes one multiplication and one addition for each of its elements. An
    embedding is looked up, so its table costs none. Biases and what is done element by element are left out:
    they grow with H, not with H^2.

    Parameters
    ----------
    module : torch.nn.Module
        Of torch.nn's Embedding, Linear, RNN, GRU and LSTM, without shared parameters.

    Returns
    -------
    Cost

    Raises
    ------
    ValueError
        If it holds another kind of module with parameters: how often that uses them is not known here.
    """
    counted = torch.nn.Embedding, torch.nn.Linear, torch.nn.RNNBase
    operations = 0
    for part in module.modules():
        own = list(part.parameters(recurse=False))
        if own and not isinstance(part, counted):
            raise ValueError(
                f"module must consist of Embedding, Linear, RNN, GRU and LSTM, got {type(part).__name__}"
            )
        if not isinstance(part, torch.nn.Embedding):
            operations += sum(2 * p.numel() for p in own if p.ndim == 2)
    parameters = list(module.parameters())
    return Cost(
        sum(p.numel() for p in parameters), sum(p.numel() * p.element_size() for p in parameters), operations
    )
