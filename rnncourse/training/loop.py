"""The loop around a training step, its history and its ends: what the NumPy and the torch half share."""

import math
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from rnncourse._checks import check_positive

TRAINED = "what was reached is in the exception's attribute trained"


class History(NamedTuple):
    """What one run of training went through."""

    loss: np.ndarray
    """(steps,), the loss of each step's batch, before the step."""
    gradient_norm: np.ndarray
    """(steps,), the norm of all gradients of that batch, before clipping."""
    evaluated: np.ndarray
    """(evaluations,) of int, after how many steps each evaluation came."""
    evaluation: np.ndarray
    """(evaluations,), what it gave."""


class Trained(NamedTuple):
    """Where one run of training ended."""

    params: Any
    """The parameters, which later runs leave alone; with ``patience`` those of the best evaluation, else the
    last."""
    state: Any
    """The optimiser's state after the last step; with ``patience`` it is thus later than ``params``."""
    history: History


class Diverged(FloatingPointError):
    """A loss, a gradient or an evaluation was not finite; ``trained`` holds what was reached before that."""

    def __init__(self, message, trained):
        super().__init__(message)
        self.trained = trained


class NotFinite(FloatingPointError):
    """What a step raises, with the cause, instead of updating."""


def since_best(evaluation):
    """How many evaluations came after the best one; of equal ones the first is the best.

    Parameters
    ----------
    evaluation : sequence of float
        The lower the better.

    Returns
    -------
    int
    """
    return len(evaluation) - 1 - int(np.argmin(evaluation))


def run(
    step,
    params,
    state,
    batches,
    *,
    steps,
    evaluate,
    every,
    patience,
    progress,
    description,
    history=None,
    keep=None,
):
    """Take a step for each batch and keep the books; see :func:`rnncourse.training.numpy.train`.

    Parameters
    ----------
    step : callable
        ``step(batch)`` updates the parameters and returns the loss and the gradient's norm before that, or
        raises :class:`NotFinite` and changes nothing.
    params, state : callable
        Return the parameters and the optimiser's state as they are now, so that later steps leave them alone.
    batches : iterable
    steps, evaluate, every, patience, progress, description
        As :func:`rnncourse.training.numpy.train` takes them, but that ``evaluate()`` has no argument.
    history, keep
        As :func:`rnncourse.training.torch.train` takes them.

    Returns
    -------
    Trained
    """
    check_settings(steps, every, patience, evaluate, history, keep)
    losses, norms, evaluated, evaluation = ([], [], [], []) if history is None else map(list, history)
    done = len(losses)
    best = []

    def so_far():
        return History(
            np.array(losses, float),
            np.array(norms, float),
            np.array(evaluated, int),
            np.array(evaluation, float),
        )

    def trained():
        return Trained(best[0] if best else params(), state(), so_far())

    def goes_on():
        """Evaluate; say whether to go on."""
        value = float(evaluate())
        if not math.isfinite(value):
            raise Diverged(f"the evaluation after {len(losses)} steps gave {value}; {TRAINED}", trained())
        evaluated.append(len(losses))
        evaluation.append(value)
        if keep is not None:
            keep(so_far())
        if patience is None:
            return True
        if not since_best(evaluation):
            best[:] = [params()]
        return since_best(evaluation) < patience

    left = None if steps is None else steps - done
    length = _length(batches, left)
    bar = tqdm(
        islice(batches, left),
        description,
        None if length is None else done + length,
        initial=done,
        disable=None if progress is None else not progress,
    )
    try:
        if evaluate is not None and history is None:
            goes_on()
        for batch in bar:
            try:
                loss, norm = step(batch)
            except NotFinite as error:
                before = f"; the gradient's norm in the step before was {norms[-1]:.3g}" if norms else ""
                raise Diverged(f"step {len(losses) + 1}: {error}{before}; {TRAINED}", trained()) from None
            losses.append(loss)
            norms.append(norm)
            if not bar.disable:
                bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)
            if evaluate is not None and len(losses) % every == 0 and not goes_on():
                break
        if (patience is not None or keep is not None) and evaluated[-1:] != [len(losses)]:
            goes_on()
    except (Exception, KeyboardInterrupt) as error:
        if not isinstance(error, Diverged):
            error.trained = trained()
            error.add_note(f"in training, after {len(losses)} steps; {TRAINED}")
        raise
    finally:
        bar.close()
    return trained()


def check_settings(steps, every, patience, evaluate, history=None, keep=None):
    """Raise ValueError unless the settings of a run fit together."""
    if steps is not None:
        check_positive("steps", steps)
        if history is not None and steps < len(history.loss):
            raise ValueError(f"steps must be at least the {len(history.loss)} of the history, got {steps}")
    check_positive("every", every)
    if patience is not None:
        check_positive("patience", patience)
        if evaluate is None:
            raise ValueError("patience needs evaluate, got None")
        if history is not None:
            raise ValueError("patience needs all evaluations in one run, got a history")
    if keep is not None and evaluate is None:
        raise ValueError("keep needs evaluate, got None")


def check_clip(clip):
    """Raise ValueError unless `clip` is None or a number above 0."""
    if clip is not None and not clip > 0:
        raise ValueError(f"clip must be above 0, got {clip!r}")


def check_pair(returned):
    """The loss and the gradients that a loss function returned; raise ValueError if it is no such pair."""
    if not (isinstance(returned, tuple) and len(returned) == 2):
        raise ValueError(f"loss must return the pair (value, gradients), got {type(returned).__name__}")
    return check_number(returned[0]), returned[1]


def check_number(value):
    """The loss as a float; raise ValueError if it is no single number."""
    shape = tuple(np.shape(value))
    if shape:
        raise ValueError(f"loss must return one number, got an array of shape {shape}: take its mean")
    try:
        return float(value)
    except TypeError:
        raise ValueError(f"loss must return one number, got {type(value).__name__}") from None


def check_finite(loss, norm, gradients):
    """Raise NotFinite with the cause; `gradients` yields (name, whether finite), read if the norm is not."""
    if not math.isfinite(loss):
        raise NotFinite(f"the loss is {loss}")
    if not math.isfinite(norm):
        names = [name for name, finite in gradients if not finite]
        if names:
            raise NotFinite(f"the loss is {loss:.4g}, but the gradient of {', '.join(names)} is not finite")
        raise NotFinite(f"the loss is {loss:.4g} and every gradient is finite, but their norm overflows")


def _length(batches, steps):
    """How many steps there will be, if that can be known."""
    lengths = [n for n in (steps, len(batches) if hasattr(batches, "__len__") else None) if n is not None]
    return min(lengths, default=None)
