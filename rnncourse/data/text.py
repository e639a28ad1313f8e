"""From text to integers, and from integers to batches."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnncourse._checks import check_ids, check_positive, check_shape


@dataclass(frozen=True)
class Vocabulary:
    """The characters that a model knows; the id of each is its place in ``characters``."""

    characters: str
    """Each once; :meth:`of` sorts them."""

    def __post_init__(self):
        if not self.characters or len(set(self.characters)) != len(self.characters):
            raise ValueError(f"characters must be at least one, each once, got {self.characters!r}")

    @classmethod
    def of(cls, text):
        """Vocabulary of the characters that occur in `text`."""
        return cls("".join(sorted(set(text))))

    @cached_property
    def _ids(self):
        return {character: i for i, character in enumerate(self.characters)}

    def __len__(self):
        return len(self.characters)

    def encode(self, text):
        """Ids of the characters of `text`.

        Parameters
        ----------
        text : str

        Returns
        -------
        (len(text),) array of int

        Raises
        ------
        ValueError
            If a character is unknown; it names the first one and its position.
        """
        try:
            return np.array([self._ids[character] for character in text], int)
        except KeyError as error:
            (unknown,) = error.args
            position = text.index(unknown)
            raise ValueError(f"the vocabulary has no {unknown!r}, got one at position {position}") from None

    def decode(self, ids):
        """Text whose characters have these ids.

        Parameters
        ----------
        ids : (n,) array of int

        Returns
        -------
        str

        Raises
        ------
        ValueError
            If `ids` is no vector of integers in 0 .. V - 1.
        """
        ids = np.asarray(ids)
        check_shape("ids", ids, n=None)
        # NumPy takes an empty list for floats.
        if ids.size:
            check_ids("ids", ids, len(self))
        return "".join(self.characters[i] for i in ids)


def contiguous_batches(ids, B, T):
    """Cut a text into batches through which a state can be carried.

    The text is cut into B streams of equal length, and these into batches of T steps: row b of a
    batch goes on where row b of the batch before ended. What is left at the end of the text is dropped.

    Parameters
    ----------
    ids : (n,) array of int
    B, T : int
        Streams and steps a batch.

    Returns
    -------
    iterator of (x, y), each a (T, B) array of int
        ``y`` is ``x`` one step later in the text.

    Raises
    ------
    ValueError
        If the text is too short for one batch.
    """
    check_positive("B", B)
    check_positive("T", T)
    ids = np.asarray(ids)
    check_shape("ids", ids, n=None)
    batches = (len(ids) - 1) // (B * T)
    if batches < 1:
        raise ValueError(
            f"ids must have at least B T + 1 = {B * T + 1} elements for one batch, got {len(ids)}"
        )
    n = batches * B * T
    # The copy keeps a caller who writes into a batch from writing into the text.
    return zip(
        *(part.reshape(B, batches, T).transpose(1, 2, 0).copy() for part in (ids[:n], ids[1 : n + 1])),
        strict=True,
    )
