"""The reader's own files."""

import codecs
from pathlib import Path


def read_text(path):
    r"""Read a text file in UTF-8.

    Every line end becomes ``\n`` and a byte order mark is dropped.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    ValueError
        If it holds no text, or bytes that are not UTF-8; the message has the line of the first of them.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory, not a text file")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    data = path.read_bytes().removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path} is not UTF-8: line {line} has the byte 0x{data[error.start]:02x}") from None
    if not text.strip():
        raise ValueError(f"{path} is empty or blank")
    return text
