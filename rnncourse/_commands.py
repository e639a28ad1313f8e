"""What the commands share: errors in one sentence, the device, and the options and ends of a training run."""

import os
from contextlib import contextmanager
from pathlib import Path

import click

CHECKPOINT = "checkpoint.pt"
AT_LEAST_1 = click.IntRange(min=1)
SEED = click.IntRange(min=0, max=2**32 - 1)


class Fault(click.ClickException):
    """A mistake of the caller's: one sentence, exit code 2."""

    exit_code = 2


class Stopped(click.ClickException):
    """Ctrl-C: the exit code that a shell gives it."""

    exit_code = 130


@contextmanager
def one_sentence(smaller="--hidden, --batch or --window"):
    """Turn what a caller can mend into one sentence; where memory is short, `smaller` says what to reduce."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise Fault("this command needs PyTorch: pip install rnncourse[torch]") from None
    except BrokenPipeError:
        # Whoever reads the output has read enough; click ends quietly.
        raise
    except OSError as error:
        raise Fault(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from None
    except ValueError as error:
        raise Fault(str(error)) from None
    except (RuntimeError, MemoryError) as error:
        # PyTorch has an exception of its own for a full GPU, none for a full CPU.
        full = ("out of memory", "not enough memory", "can't allocate memory")
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in full):
            raise
        raise Fault(f"out of memory: take a smaller {smaller}") from None


def find_device(name):
    """Device of that name, or the best there is for None; a Fault if it is not there."""
    import torch

    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise Fault(f"unknown device {name!r}: it is cpu, cuda or, for the second GPU, cuda:1")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise Fault(f"--device {name}: this PyTorch finds no CUDA device")
    index = int(os.environ.get("LOCAL_RANK", 0)) if device.index is None else device.index
    if device.type == "cuda" and index >= (found := torch.cuda.device_count()):
        raise Fault(f"--device {name}: the machine has {found} CUDA device{'s' * (found != 1)}")
    return device


def options(*options):
    """Decorate a command with many options, in their order."""

    def decorate(function):
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def model_options(cell):
    """What a recurrent model is made of; the default is `cell`."""
    cells = click.Choice(["lstm", "gru", "rnn"])
    return options(
        click.option("--cell", type=cells, default=cell, help="The recurrent layer."),
        click.option("--hidden", type=AT_LEAST_1, default=128, help="Units of a layer."),
        click.option("--embedding", type=AT_LEAST_1, help="Size of the embedding.  [default: as --hidden]"),
    )


def run_options(data, held_out, out):
    """How a model is trained on `data`, with a share of `held_out` kept apart, into the folder `out`."""
    positive, share = (click.FloatRange(0, top, min_open=True, max_open=top == 1) for top in (None, 1))
    return options(
        click.option(
            "--lr", type=click.FloatRange(0, 1e6, min_open=True), default=0.002, help="Rate of Adam."
        ),
        click.option("--clip", type=positive, default=1.0, help="Largest norm of the gradient."),
        click.option("--seed", type=SEED, default=0),
        click.option("--held-out", type=share, default=0.1, help=f"Share of the {held_out}, to evaluate on."),
        click.option("--steps", type=AT_LEAST_1, help="Length of the whole run."),
        click.option("--epochs", type=AT_LEAST_1, help=f"The same in passes over the {data}.  [default: 10]"),
        click.option("--every", type=AT_LEAST_1, default=100, help="Steps between checkpoints."),
        click.option("--device", help="cpu, cuda or cuda:1.  [default: a GPU if there is one]"),
        click.option("--out", type=Path, default=out, help="Folder of the checkpoint."),
        click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out, with its settings."),
    )


def checkpoint_file(checkpoint):
    """Path of a checkpoint that may be named by its folder."""
    path = Path(checkpoint)
    return path / CHECKPOINT if path.is_dir() else path


def run_training(
    context, settings, read, load, train, *, steps, epochs, every, device, out, resume, finish=None
):
    """Train a model as the options of :func:`run_options` say; to be called within :func:`one_sentence`.

    Parameters
    ----------
    context : click.Context
        Of the command: which settings were given on the command line.
    settings : NamedTuple
    read : callable
        ``read()`` returns the data.
    load : callable
        ``load(path)`` returns the content of a checkpoint.
    train : callable
        ``train(data, settings, path, processes, steps=, epochs=, every=, resumed=, say=)`` returns a Trained.
    steps, epochs, every, device, out, resume
        The options.
    finish : callable, optional
        ``finish(data, path, device)`` returns one more sentence on the finished run.
    """
    from tqdm import tqdm

    from rnncourse.training.distributed import processes
    from rnncourse.training.loop import TRAINED, Diverged

    if steps and epochs:
        raise Fault("--steps and --epochs both say how long the run is: give one")
    path = out / CHECKPOINT
    device = find_device(device)
    # PyTorch's manual asks for it, or cuDNN's recurrent layers may differ from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:2")
    data, resumed = read(), None
    if resume:
        resumed = load(path)
        settings = _resumed_settings(context, settings, resumed["settings"], path)
    elif path.exists():
        raise Fault(f"{path} exists: go on with --resume, or take another --out")
    out.mkdir(parents=True, exist_ok=True)
    with processes(device) as group:
        first = group.rank == 0

        def say(line):
            if first:
                tqdm.write(line)

        try:
            trained = train(
                data, settings, path, group, steps=steps, epochs=epochs, every=every, resumed=resumed, say=say
            )
        except Diverged as error:
            reached = str(error).removesuffix(f"; {TRAINED}")
            raise Fault(f"{reached}; a smaller --lr may help") from None
        except KeyboardInterrupt as error:
            if not hasattr(error, "trained") or not path.exists():
                raise
            taken = len(error.trained.history.loss)
            # Not by the last evaluation: its checkpoint may be what was interrupted.
            kept = len(load(path)["history"]["loss"])
            raise Stopped(
                f"stopped after {taken} steps; {path} has {kept} of them: go on with --resume"
            ) from None
        device = group.device
    history = trained.history
    best = history.evaluation.argmin()
    say(
        f"{path}: the best held-out loss, {history.evaluation[best]:.4f} nats, came after "
        f"{history.evaluated[best]} of {len(history.loss)} steps"
    )
    if finish is not None and first:
        say(finish(data, path, device))


def _resumed_settings(context, given, saved, path):
    """Settings of the checkpoint; rate and clipping may be changed on the way, nothing else."""
    explicit = {
        name: value
        for name, value in given._asdict().items()
        if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
    }
    for name, value in explicit.items():
        if name not in ("lr", "clip") and value != getattr(saved, name):
            option = name.replace("_", "-")
            raise Fault(f"--{option} is {value}, but the run in {path} has {getattr(saved, name)}")
    return saved._replace(**explicit)
