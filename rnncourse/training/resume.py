"""Training that can be stopped at any moment and resumed to the bit: what the commands share."""

import hashlib
import math
from itertools import count
from types import SimpleNamespace

import torch

from rnncourse.optim._tree import tree_map
from rnncourse.training.checkpoint import load_checkpoint, random_state, save_checkpoint, set_random_state
from rnncourse.training.loop import History
from rnncourse.training.torch import train


def text_hash(text):
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def load_resumable(path, kind, Settings):
    """Read a checkpoint of :func:`train_resumable`, its settings as `Settings`.

    Parameters
    ----------
    path : str or path
    kind : str
    Settings : type

    Returns
    -------
    dict

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`rnncourse.training.checkpoint.load_checkpoint`.
    """
    content = load_checkpoint(path, kind)
    return content | {"settings": Settings(**content["settings"])}


def train_resumable(
    build,
    loss,
    batch,
    evaluate,
    *,
    path,
    kind,
    settings,
    content,
    epoch,
    unit,
    processes,
    steps=None,
    epochs=None,
    every=100,
    resumed=None,
    carried=None,
    say=print,
):
    """Train a module with Adam, with a checkpoint after each evaluation.

    The loop is :func:`rnncourse.training.torch.train`. Everything random comes from torch's generator, whose
    state is in the checkpoint beside weights, optimiser and carried state; the place in the data follows from
    the number of steps. So a run that was stopped and resumed ends with the same bits as one that was not, on
    the same machine with the same numbers of threads and processes.

    Parameters
    ----------
    build : callable
        ``build()`` makes the module, drawing its parameters from torch's generator.
    loss : callable
        ``loss(model, batch)`` returns the mean over all processes, as a tensor whose gradient is that of this
        process's share times the number of processes.
    batch : callable
        ``batch(place)`` is what step number `place`, from 0, reads.
    evaluate : callable
        ``evaluate(model)`` returns the loss on what is held out, in nats.
    path : str or path
        Of the checkpoint.
    kind : str
        Of the checkpoint.
    settings : NamedTuple
        With ``lr``, ``clip``, ``seed`` and, where there is any, ``dropout``; goes into the checkpoint.
    content : dict
        What else goes there.
    epoch : int
        Batches of one pass over the data.
    unit : str
        What the loss is a mean over.
    processes : rnncourse.training.distributed.Processes
    steps, epochs : int, optional
        How long the whole run is, in steps or in passes over the data; on resuming without either, as long as
        was planned before. Else it is 10 epochs.
    every : int
        Steps from one evaluation to the next.
    resumed : dict, optional
        A checkpoint of :func:`load_resumable`, to go on from.
    carried : object, optional
        Its attribute ``state``, a tensor (layers, B, H), a tuple of them or None, is what `loss` carries from
        batch to batch.
    say : callable
        Is called with one line of text at a time.

    Returns
    -------
    Trained
        The model as it is after the last step; the best one is in the checkpoint.

    Raises
    ------
    ValueError
        If the run was longer already, or a setting is out of range.
    """
    device, first = processes.device, processes.rank == 0
    carried = SimpleNamespace(state=None) if carried is None else carried
    if steps is None:
        planned = 10 * epoch if resumed is None else resumed["steps"]
        steps = planned if epochs is None else epochs * epoch

    torch.manual_seed(settings.seed)
    model = build().to(device)
    optimiser = torch.optim.Adam(model.parameters(), settings.lr)
    history, best = None, {}
    if processes.rank:
        # The weights are the first process's; each draws its own dropout.
        torch.manual_seed(settings.seed + processes.rank)
    if resumed is not None:
        model.load_state_dict(resumed["model"])
        optimiser.load_state_dict(resumed["optimiser"])
        for group in optimiser.param_groups:
            group["lr"] = settings.lr
        history, best = History(**{k: v.numpy() for k, v in resumed["history"].items()}), resumed["best"]
        if resumed["carried"] is not None:
            carried.state = tree_map(lambda part: processes.share(part, 1).to(device), resumed["carried"])
        if len(resumed["random"]) == processes.size:
            set_random_state(resumed["random"][processes.rank], device)
        elif first and getattr(settings, "dropout", 0):
            say(f"{len(resumed['random'])} processes wrote {path}: dropout is drawn anew")
    done = 0 if history is None else len(history.loss)
    if done > steps:
        raise ValueError(f"{path} has {done} steps already, more than the {steps} asked for")

    def keep(history):
        nonlocal best
        now = history.evaluation[-1]
        better = now < min(history.evaluation[:-1], default=math.inf)
        if better:
            best = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        gathered = None
        if carried.state is not None:
            gathered = tree_map(lambda part: processes.gather(part, 1), carried.state)
        random = processes.collect(random_state(device))
        if not first:
            return
        whole = content | {
            "settings": settings._asdict(),
            "steps": steps,
            "model": model.state_dict(),
            "best": best,
            "optimiser": optimiser.state_dict(),
            "carried": gathered,
            "random": random,
            "history": {name: torch.from_numpy(part) for name, part in history._asdict().items()},
        }
        save_checkpoint(path, kind, whole)
        taken = len(history.loss)
        recent = history.loss[max(0, taken - every) :]
        training = f"training {recent.mean() / math.log(2):.4f}, " if taken else ""
        say(
            f"step {taken}: {training}held-out {now / math.log(2):.4f} bits per {unit}"
            + (", the best so far" if better and taken else "")
        )

    return train(
        processes.parallel(model),
        loss,
        map(batch, count(done)),
        optimiser,
        steps=steps,
        clip=settings.clip,
        # The module inside: the wrapper for several processes is for backward passes.
        evaluate=lambda _: evaluate(model),
        every=every,
        history=history,
        keep=keep,
        progress=None if first else False,
    )
