"""The training loop, in NumPy."""

import math
from itertools import islice
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from rnncourse._checks import check_positive
from rnncourse.gradients.numpy import clip_by_norm, global_norm


class History(NamedTuple):
    """What one run of training went through."""

    loss: np.ndarray
    """(steps,), the loss of each step's batch, before the step."""
    gradient_norm: np.ndarray
    """(steps,), the norm of all gradients of that batch, before clipping."""
    evaluated: np.ndarray
    """(evaluations,), after how many steps each evaluation came."""
    evaluation: np.ndarray
    """(evaluations,), what it gave."""


class Trained(NamedTuple):
    """Where one run of training ended."""

    params: tuple
    """The parameters; with ``patience`` those of the best evaluation, else the last."""
    state: tuple
    """The optimiser's state after the last step."""
    history: History


class Diverged(FloatingPointError):
    """A loss or a gradient was not finite; ``trained`` holds what was there before that step."""

    def __init__(self, message, trained):
        super().__init__(message)
        self.trained = trained


def train(
    loss,
    params,
    batches,
    optimiser,
    *,
    steps=None,
    clip=None,
    state=None,
    evaluate=None,
    every=100,
    patience=None,
    progress=None,
    description=None,
):
    """Train until the batches end, step by step: loss and gradient, clipping, optimiser.

    Ctrl-C and divergence raise with what was reached so far: the exception's ``trained``.

    Parameters
    ----------
    loss : callable
        ``loss(params, batch)`` returns the loss, a float, and its gradients in the structure of `params`.
    params : nested tuples of arrays
        Not changed.
    batches : iterable
        One item a step, handed to `loss` as it is.
    optimiser : rnncourse.optim.SGD, Adagrad or Adam
    steps : int, optional
        Stop after so many steps; needed when `batches` does not end.
    clip : float, optional
        Threshold of :func:`rnncourse.gradients.numpy.clip_by_norm`.
    state : optional
        The optimiser's state of an earlier run, to go on with.
    evaluate : callable, optional
        ``evaluate(params)`` returns a float, the lower the better; called before the first step, then after
        every `every` steps.
    every : int
    patience : int, optional
        Stop when so many evaluations in a row were not better than the best.
    progress : bool, optional
        Whether to show a progress bar; by default where there is a terminal.
    description : str, optional
        What the progress bar says.

    Returns
    -------
    Trained

    Raises
    ------
    Diverged
        At the first loss or gradient that is not finite.
    ValueError
        If a setting is out of range.
    """
    check_positive("every", every)
    if patience is not None:
        check_positive("patience", patience)
        if evaluate is None:
            raise ValueError("patience needs evaluate, got None")
    state = optimiser.init(params) if state is None else state
    losses, norms, evaluated, evaluation = [], [], [], []
    best, best_params = math.inf, params

    def trained(params):
        history = History(*(np.array(a) for a in (losses, norms, evaluated, evaluation)))
        return Trained(params, state, history)

    def improves():
        """Evaluate; say whether to go on."""
        nonlocal best, best_params
        evaluated.append(len(losses))
        evaluation.append(float(evaluate(params)))
        if evaluation[-1] < best:
            best, best_params = evaluation[-1], params
        return patience is None or evaluation.index(best) >= len(evaluation) - patience

    bar = tqdm(
        islice(batches, steps),
        description,
        _length(batches, steps),
        disable=None if progress is None else not progress,
    )
    try:
        if evaluate is not None:
            improves()
        for batch in bar:
            value, gradients = loss(params, batch)
            norm = global_norm(gradients)
            if not (math.isfinite(value) and math.isfinite(norm)):
                before = f"the gradient norm before was {norms[-1]:.3g}; " if norms else ""
                raise Diverged(
                    f"step {len(losses)}: loss {value:.3g}, gradient norm {norm:.3g}; {before}"
                    f"lower the learning rate or clip the gradient",
                    trained(params),
                )
            losses.append(float(value))
            norms.append(norm)
            if clip is not None:
                gradients, _ = clip_by_norm(gradients, clip)
            params, state = optimiser.step(params, gradients, state)
            if evaluate is not None and len(losses) % every == 0 and not improves():
                break
    except KeyboardInterrupt as interrupt:
        interrupt.trained = trained(params)
        raise
    finally:
        bar.close()
    return trained(params if patience is None else best_params)


def _length(batches, steps):
    """How many steps there will be, if that can be known."""
    lengths = [n for n in (steps, len(batches) if hasattr(batches, "__len__") else None) if n is not None]
    return min(lengths, default=None)
