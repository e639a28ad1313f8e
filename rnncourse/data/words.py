"""From text to words, and from words to integers."""

import re
from collections import Counter
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property

import numpy as np

from rnncourse._checks import check_ids, check_positive, check_shape

UNKNOWN = "<unk>"
"""Stands for every word that a vocabulary does not have."""

JOINER = "\N{HALFWIDTH BLACK SQUARE}"
"""At the end of a mark where no blank stood, see :func:`split_words`."""

_SENTENCE_END = re.compile(r"""(?:(?<=[.!?])|(?<=[.!?]["')]))\s+(?=["'(]?[A-Z0-9])""")
_WORD = re.compile(r"\w+(?:['’]\w+)*")
_TOKEN = re.compile(_WORD.pattern + r"|[^\w\s]")


def split_sentences(text, *, lower=True, punctuation=False):
    r"""Cut a text into sentences, and these into words.

    A sentence ends at a blank line, and after ``.``, ``!`` or ``?`` (and a closing quotation mark) before a
    capital or a digit: "Dr. Who" is cut in two. A word is a run of letters, digits and ``_``, with
    apostrophes inside: "it's" is one word, "well-known" two.

    Parameters
    ----------
    text : str
    lower : bool
        Whether to write all in lower case.
    punctuation : bool
        Whether each mark is a word of its own; without it marks are dropped.

    Returns
    -------
    list of list of str
        Sentences without any word are left out.
    """
    find = (_TOKEN if punctuation else _WORD).findall
    parts = (part for block in re.split(r"\n\s*\n", text) for part in _SENTENCE_END.split(block))
    found = (find(part.lower() if lower else part) for part in parts)
    return [words for words in found if words]


def split_words(sentence):
    """Cut a sentence into words and marks such that :func:`join_words` puts it together again.

    A word is what it is to :func:`split_sentences`. A mark has the joiner on each side where it touches its
    neighbour, two marks that touch have one between them: ``"Go!"`` (with the quotation marks) is cut into
    ``"￭``, ``Go``, ``￭!`` and ``￭"``. Source: the tokeniser of OpenNMT marks joints so.

    Parameters
    ----------
    sentence : str

    Returns
    -------
    list of str
    """
    words = []
    for match in _TOKEN.finditer(sentence):
        word, (start, end) = match.group(), match.span()
        if not _WORD.match(word):
            before = start > 0 and not sentence[start - 1].isspace()
            after = end < len(sentence) and _WORD.match(sentence, end)
            word = before * JOINER + word + bool(after) * JOINER
        words.append(word)
    return words


def join_words(words):
    """Put the words of :func:`split_words` together, with one blank where any stood.

    Parameters
    ----------
    words : sequence of str

    Returns
    -------
    str
    """
    return re.sub(f" ?{JOINER} ?", "", " ".join(words))


@dataclass(frozen=True)
class WordVocabulary:
    """The words that a model knows; the id of each is its place in ``words``.

    Where it has ``<unk>``, that stands for every other word.
    """

    words: tuple
    """Each once."""
    counts: tuple = field(repr=False)
    """How often each occurred where the vocabulary was made; that of ``<unk>`` counts all words left out."""

    def __post_init__(self):
        if not self.words or len(set(self.words)) != len(self.words):
            raise ValueError(f"words must be at least one, each once, got {len(self.words)}")
        if len(self.counts) != len(self.words):
            raise ValueError(
                f"counts must be one for each of {len(self.words)} words, got {len(self.counts)}"
            )

    @classmethod
    def of(cls, sentences, *, min_count=1, max_size=None, specials=(UNKNOWN,)):
        """Vocabulary of the words of a corpus: the specials, then the others from the most common on.

        Words of equal count are in the order of their code points, so that the same corpus gives the same ids
        on every machine, however it is ordered.

        Parameters
        ----------
        sentences : iterable of sequence of str
        min_count : int
            Words that occur less often are left out.
        max_size : int, optional
            Of the others keep so many, the most common ones, specials not counted.
        specials : sequence of str
            Words with a use of their own, such as ``<pad>``; they get the first ids, in this order.

        Returns
        -------
        WordVocabulary

        Raises
        ------
        ValueError
            If the corpus has no words, no word is common enough, or a sentence is a string.
        """
        check_positive("min_count", min_count)
        if max_size is not None:
            check_positive("max_size", max_size)
        counted = Counter()
        for sentence in sentences:
            if isinstance(sentence, str):
                raise ValueError(f"sentences must hold lists of words, got the string {sentence[:40]!r}")
            counted.update(sentence)
        if not counted:
            raise ValueError("sentences must hold at least one word, got none")
        ranked = sorted((w for w in counted if w not in specials), key=lambda w: (-counted[w], w))
        kept = [w for w in ranked if counted[w] >= min_count][:max_size]
        if not kept:
            most = f", the most common word occurs {counted[ranked[0]]} times" if ranked else ""
            raise ValueError(f"no word occurs min_count = {min_count} times{most}")
        left_out = sum(counted[w] for w in ranked) - sum(counted[w] for w in kept)
        counts = {special: counted[special] for special in specials}
        if UNKNOWN in counts:
            counts[UNKNOWN] += left_out
        return cls((*specials, *kept), (*counts.values(), *(counted[w] for w in kept)))

    @cached_property
    def _ids(self):
        return {word: i for i, word in enumerate(self.words)}

    def __len__(self):
        return len(self.words)

    def __contains__(self, word):
        return word in self._ids

    def id(self, word):
        """Id of a word that the vocabulary has.

        Parameters
        ----------
        word : str

        Returns
        -------
        int

        Raises
        ------
        ValueError
            If it is no string or unknown; the message offers the nearest spellings.
        """
        if not isinstance(word, str):
            raise ValueError(f"word must be a string, got {word!r}")
        try:
            return self._ids[word]
        except KeyError:
            near = get_close_matches(word, self.words, n=3)
            hint = f"; nearest spellings: {', '.join(near)}" if near else ""
            raise ValueError(f"the vocabulary has no {word!r}{hint}") from None

    def encode(self, sentence):
        """Ids of the words of a sentence.

        Parameters
        ----------
        sentence : sequence of str

        Returns
        -------
        (n,) array of int

        Raises
        ------
        ValueError
            If a word is unknown and the vocabulary has no ``<unk>``, or `sentence` is a string.
        """
        if isinstance(sentence, str):
            raise ValueError(f"sentence must be a list of words, got the string {sentence[:40]!r}")
        if UNKNOWN in self._ids:
            unknown = self._ids[UNKNOWN]
            return np.array([self._ids.get(word, unknown) for word in sentence], int)
        return np.array([self.id(word) for word in sentence], int)

    def decode(self, ids):
        """Words that have these ids.

        Parameters
        ----------
        ids : (n,) array of int

        Returns
        -------
        list of str

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
        return [self.words[i] for i in ids]
