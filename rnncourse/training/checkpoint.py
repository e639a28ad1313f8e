"""Checkpoints: a file that is complete or absent, read without running code, and the random state."""

import io
import os
import zipfile
from pathlib import Path

import torch


def save_checkpoint(path, kind, content):
    """Write a checkpoint; a crash at any moment leaves the old file or the new one, complete.

    It is written beside its place, flushed to the disk, and then moved there.

    Parameters
    ----------
    path : str or path
    kind : str
        What it is a checkpoint of; :func:`load_checkpoint` asks for it.
    content : dict
        Of tensors, numbers, strings, None, and dicts, lists and tuples of them.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".partial")
    # Into memory first: of a full disk torch.save does not say that it is full.
    buffer = io.BytesIO()
    torch.save({"kind": kind, **content}, buffer)
    try:
        with open(temporary, "wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = str(temporary)
        raise
    os.replace(temporary, path)
    if os.name == "posix":
        # The move, too, is only in memory until its folder is written.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def load_checkpoint(path, kind):
    """Read a checkpoint onto the CPU. No code in the file is run, whoever wrote it.

    Parameters
    ----------
    path : str or path
    kind : str

    Returns
    -------
    dict
        What :func:`save_checkpoint` was given.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, no checkpoint, or one of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    file = io.BytesIO(path.read_bytes())
    try:
        with zipfile.ZipFile(file) as archive:
            # torch.load does not look at the checksums that torch.save writes.
            damaged = archive.testzip()
        file.seek(0)
        content = None if damaged else torch.load(file, map_location="cpu", weights_only=True)
    except Exception:
        # Of a foreign file the readers may raise anything at all.
        damaged = True
    if damaged:
        raise ValueError(f"{path} is damaged or no checkpoint")
    if not isinstance(content, dict) or content.pop("kind", None) != kind:
        raise ValueError(f"{path} is no checkpoint of {kind}")
    return content


def random_state(device):
    """State of torch's generators on the CPU and on `device`, for a checkpoint.

    Parameters
    ----------
    device : torch.device

    Returns
    -------
    dict of str to tensor
    """
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_state(states, device):
    """Set torch's generators as :func:`random_state` found them; one of a device not in use is left out."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
