"""What the commands share: errors in one sentence, and the device."""

import os
from contextlib import contextmanager

import click


class Fault(click.ClickException):
    """A mistake of the caller's: one sentence, exit code 2."""

    exit_code = 2


class Stopped(click.ClickException):
    """Ctrl-C: the exit code that a shell gives it."""

    exit_code = 130


@contextmanager
def one_sentence():
    """Turn what a caller can mend into one sentence."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise Fault("this command needs PyTorch: pip install rnncourse[torch]") from None
    except OSError as error:
        raise Fault(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from None
    except ValueError as error:
        raise Fault(str(error)) from None
    except (RuntimeError, MemoryError) as error:
        # PyTorch has an exception of its own for a full GPU, none for a full CPU.
        full = ("out of memory", "not enough memory", "can't allocate memory")
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in full):
            raise
        raise Fault("out of memory: take a smaller --hidden, --batch or --window") from None


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
