"""A synchronous grammar, English - French: probability, translation and labels are known exactly.

A sentence is a subject, whatever stands between it and its verb, and a predicate::

    the old cat | that the dogs behind the house often see | is tired
    le vieux chat que les chiens derrière la maison voient souvent est fatigué

What is built in, and where:

- *Agreement at a distance.* The main verb agrees with the subject's noun. Between them stand 0, 1, 2, ...
  words: nothing, an adverb of place, a phrase such as "behind the house", or an object relative clause, whose
  own verb agrees with its own noun. They say nothing on the number of the subject, which is singular or
  plural with probability 1/2; nor does "the", with which every subject starts.
- *Order.* Colours and moods follow the French noun; "small", "big", "old", "young" and "beautiful" precede
  it. Adverbs of frequency follow the French verb. So alignments cross, but not always. "never" is
  "ne ... jamais", around the verb.
- *Gender.* French articles and adjectives agree with their noun, a predicate with the subject far to its
  left.
- *Words with two labels.* "patient" is an adjective or a noun, "that" a pronoun or a determiner, and
  "Florence" a person or a town.

Each English sentence has one derivation, hence one translation, and ln P(sentence) is the sum of the
logarithms of the probabilities of its rules; the entropy is the expected sum of their entropies. Phrases nest
without bound ("behind the house under the tower ..."). The rules and the words stand in the tables of
``rnncourse/data/grammar/tables.py``; words of one class have probabilities proportional to 1, 1/2, 1/3, ...
in their order there. There are 119 English words and 173 French ones; a sentence has 8.60 English words and
18.87 nats on average, which is 1.96 nats a token and a perplexity of 7.13.

The sentences are licensed under CC BY 4.0.
"""

import math
from bisect import bisect
from functools import cache
from itertools import accumulate, combinations
from typing import NamedTuple

import numpy as np

from rnncourse.data.grammar.tables import CHOICES, PROBABILITIES, WORDS

END = "</s>"
CLAUSE_MAX = 40
"""The longest ``clause`` that can be asked of :func:`sample`."""

ENGLISH = tuple(sorted({word.english for words in WORDS.values() for word in words}))
"""The English words, without ``</s>``.

:meta hide-value:
"""
FRENCH = tuple(
    sorted(
        {"ne", "n'"}.union(*(form.split("_") for words in WORDS.values() for w in words for form in w.french))
    )
)
"""The French words.

:meta hide-value:
"""
OTHER_NUMBER = {
    a.english: b.english
    for x, y in (("sg", "pl"), ("pl", "sg"))
    for kind in ("Be", "Verb")
    for a, b in zip(WORDS[f"{kind}.{x}"], WORDS[f"{kind}.{y}"], strict=True)
}
"""The other number of each English verb form, as "are" for "is" and "sees" for "see".

:meta hide-value:
"""
PLURAL_VERBS = frozenset(word.english for kind in ("Be", "Verb") for word in WORDS[f"{kind}.pl"])
"""The English verb forms of the plural.

:meta hide-value:
"""

_CUMULATED = {symbol: list(accumulate(p))[:-1] for symbol, p in PROBABILITIES.items()}


class Pair(NamedTuple):
    """A sentence in both languages, with its labels."""

    english: tuple
    """Words."""
    french: tuple
    """Words; "n'" is one."""
    tags: tuple
    """Part of speech of each English word, as in Universal Dependencies."""
    entities: tuple
    """Label of each English word, ``O``, ``B-PER``, ``I-PER``, ``B-LOC`` or ``I-LOC``."""
    alignment: tuple
    """Pairs (index of an English word, index of a French word), sorted. Each word is in at least one."""
    clause: int
    """How many words stand between the noun of the subject and the main verb."""
    verb: int
    """Index of the main verb in ``english``."""


def sample(rng, clause=None):
    """Draw a sentence from the grammar.

    Parameters
    ----------
    rng : np.random.Generator
    clause : int, optional
        Draw among the sentences with this many words between the noun of the subject and the main verb,
        0 .. CLAUSE_MAX; the probabilities are those of the grammar, given that. None draws among all.

    Returns
    -------
    Pair

    Raises
    ------
    ValueError
        If `clause` is out of range.
    """
    if clause is not None:
        _check_whole("clause", clause, 0, CLAUSE_MAX)
    return _pair(_draw(rng, "Sentence", clause))


def parse(english):
    """The one analysis of an English sentence: its translation and its labels.

    Parameters
    ----------
    english : sequence of str

    Returns
    -------
    Pair

    Raises
    ------
    ValueError
        If it is no sentence of the grammar.
    """
    return _pair(_derivation(english).choices)


def true_logprob(english):
    """ln P(sentence): the sum of the logarithms of the probabilities of its rules.

    Parameters
    ----------
    english : sequence of str
        Without ``</s>``, which is certain or impossible once the words are given.

    Returns
    -------
    float
        In nats.

    Raises
    ------
    ValueError
        If it is no sentence of the grammar.
    """
    return _derivation(english).logprob


def next_word_probabilities(prefix):
    """P(next word | words so far), which the best possible language model would say.

    Parameters
    ----------
    prefix : sequence of str
        The first words of a sentence, maybe none.

    Returns
    -------
    dict of str to float
        The words that can follow, and "</s>" if the sentence can end; the sum is 1.

    Raises
    ------
    ValueError
        If no sentence of the grammar starts so.
    """
    partial = _read(prefix)
    # An offset that cancels, so that nothing underflows after many words.
    most = max(p.logprob for p in partial)
    weights = {}
    for p in partial:
        for word, steps in _next(p.stack).items():
            for step in steps:
                weights[word] = weights.get(word, 0.0) + math.exp(p.logprob - most + step.logprob)
    total = sum(weights.values())
    return {word: weight / total for word, weight in weights.items()}


def entropy():
    """Entropy of a sentence in nats: the expected sum of the entropies of its rules."""
    return _expectation(lambda symbol: -sum(p * math.log(p) for p in PROBABILITIES[symbol]))


def expected_length():
    """Expected number of English words of a sentence, without ``</s>``."""
    return _expectation(lambda symbol: float(symbol in WORDS))


def entropy_per_token():
    """Entropy in nats per token, ``</s>`` counted: ``entropy() / (expected_length() + 1)``."""
    return entropy() / (expected_length() + 1)


def clause_probability(clause):
    """Probability that this many words stand between the noun of the subject and the main verb.

    Parameters
    ----------
    clause : int
        0 .. CLAUSE_MAX.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If `clause` is out of range.
    """
    _check_whole("clause", clause, 0, CLAUSE_MAX)
    return _length_probability(("Between",), clause)


def window_accuracy(window, clause):
    """Best possible accuracy in the number of the main verb for a model that sees only the last words.

    The expectation of max(p, 1 - p), where p is the probability of a plural verb given the last `window`
    words before the verb, over the sentences with `clause` words between the noun of the subject and the
    verb. It is 1 if ``window > clause``, when the window shows the noun, and 1/2 if not; the same holds
    for a model that is not told `clause`.

    It is computed over all such sentences, words by their class. Classes with a word in common count as
    one, so the result is at most the optimum; the tests find the same with all classes told apart, which
    gives at least the optimum.

    Parameters
    ----------
    window : int
        At least 0.
    clause : int
        0 .. 16.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If `window` or `clause` is out of range.
    """
    _check_whole("window", window, 0)
    _check_whole("clause", clause, 0, 16)
    joint = _windows(window, clause, _shared_names())
    return math.fsum(max(p) for p in joint.values()) / math.fsum(sum(p) for p in joint.values())


# Derivations: the choices made, from left to right, each for the leftmost symbol.


def _draw(rng, symbol, clause):
    """Choices of a random derivation."""
    choices, stack = [], [symbol]
    while stack:
        symbol = stack.pop()
        if symbol == "Between" and clause is not None:
            choices += _draw_length(rng, (symbol,), clause)
            continue
        choice = bisect(_CUMULATED[symbol], rng.random())
        choices.append(choice)
        if symbol not in WORDS:
            stack += reversed(CHOICES[symbol][choice].symbols)
    return choices


def _draw_length(rng, symbols, n):
    """Choices of a random derivation of n words."""
    if not symbols:
        return []
    if len(symbols) > 1:
        first, rest = symbols[:1], symbols[1:]
        weights = [_length_probability(first, k) * _length_probability(rest, n - k) for k in range(n + 1)]
        k = _weighted(rng, weights)
        return _draw_length(rng, first, k) + _draw_length(rng, rest, n - k)
    (symbol,) = symbols
    if symbol in WORDS:
        return [bisect(_CUMULATED[symbol], rng.random())]
    rules = CHOICES[symbol]
    p = PROBABILITIES[symbol]
    choice = _weighted(rng, [q * _length_probability(r.symbols, n) for q, r in zip(p, rules, strict=True)])
    return [choice, *_draw_length(rng, rules[choice].symbols, n)]


def _weighted(rng, weights):
    *sums, total = accumulate(weights)
    return bisect(sums, rng.random() * total)


@cache
def _length_probability(symbols, n):
    """Probability that the symbols become n words."""
    if len(symbols) != 1:
        if not symbols:
            return float(n == 0)
        total = 0.0
        for k in range(n + 1):
            first = _length_probability(symbols[:1], k)
            # Without the test, a rule that calls itself at its end would not come to an end here.
            total += first and first * _length_probability(symbols[1:], n - k)
        return total
    (symbol,) = symbols
    if symbol in WORDS:
        return float(n == 1)
    rules = zip(PROBABILITIES[symbol], CHOICES[symbol], strict=True)
    return sum(p * _length_probability(rule.symbols, n) for p, rule in rules)


def _pair(choices):
    """The sentence that the choices derive."""
    words, places = [], {}
    tree = _tree("Sentence", iter(choices), words, places)
    french = []
    _speak(tree, None, words, french)
    # "jamais" follows its verb, and "ne" goes before that.
    for j in reversed(range(len(french))):
        if french[j][0] == "jamais":
            ne = "n'" if french[j - 1][0][0] in "aeiouéê" else "ne"
            french.insert(j - 1, (ne, french[j][1]))
    return Pair(
        tuple(word.english for word in words),
        tuple(word for word, _ in french),
        tuple(word.tag for word in words),
        tuple(word.entity for word in words),
        tuple(sorted((i, j) for j, (_, i) in enumerate(french))),
        places["Predicate"] - places["Between"],
        places["Predicate"],
    )


def _tree(symbol, choices, words, places):
    """A phrase: its agreement, and its parts in the French order, or the place of its word."""
    places[symbol.split(".")[0]] = len(words)
    choice = CHOICES[symbol][next(choices)]
    if symbol in WORDS:
        words.append(choice)
        return choice.agreement, len(words) - 1
    parts = [_tree(part, choices, words, places) for part in choice.symbols]
    # A phrase agrees with the first noun in it: the subject, in a sentence.
    agreement = next((part[0] for part in parts if part[0] is not None), None)
    return agreement, [parts[i] for i in choice.order]


def _speak(tree, agreement, words, french):
    """Append the French words of a phrase, each with the index of its English word."""
    own, parts = tree
    agreement = agreement if own is None else own
    if isinstance(parts, int):
        forms = words[parts].french
        form = forms[agreement] if len(forms) > 1 else forms[0]
        french += [(word, parts) for word in form.split("_")]
    else:
        for part in parts:
            _speak(part, agreement, words, french)


# Reading from left to right: what has been chosen, and what is still to come.


class _Partial(NamedTuple):
    logprob: float
    stack: tuple
    choices: tuple


@cache
def _next(stack):
    """The words that the stack can start with, and what can be left then."""
    if not stack:
        return {END: (_Partial(0.0, (), ()),)}
    symbol, *rest = stack
    found = {}
    for i, (p, choice) in enumerate(zip(PROBABILITIES[symbol], CHOICES[symbol], strict=True)):
        if symbol in WORDS:
            found.setdefault(choice.english, []).append(_Partial(math.log(p), tuple(rest), (i,)))
            continue
        for word, steps in _next((*choice.symbols, *rest)).items():
            found.setdefault(word, []).extend(
                _Partial(math.log(p) + s.logprob, s.stack, (i, *s.choices)) for s in steps
            )
    return {word: tuple(steps) for word, steps in found.items()}


def _advance(partial, word):
    return [
        _Partial(p.logprob + step.logprob, step.stack, p.choices + step.choices)
        for p in partial
        for step in _next(p.stack).get(word, ())
    ]


def _read(words):
    """The derivations of which the words are a beginning."""
    if isinstance(words, str):
        raise ValueError(f"a sentence must be a sequence of words, got the string {words!r}")
    partial = [_Partial(0.0, ("Sentence",), ())]
    for t, word in enumerate(words):
        partial = _advance(partial, word) if word != END else []
        if not partial:
            if word not in ENGLISH:
                raise ValueError(f"the grammar has no word {word!r}, got one at position {t}")
            raise ValueError(f"no sentence of the grammar has {word!r} after {' '.join(words[:t])!r}")
    return partial


def _derivation(english):
    complete = _advance(_read(english), END)
    if not complete:
        raise ValueError(f"no sentence of the grammar ends after {' '.join(english)!r}")
    (derivation,) = complete
    return derivation


# Expectations and windows.


def _expectation(value):
    """Expected sum over a derivation of a value of each of its symbols."""
    symbols = list(CHOICES)
    index = {symbol: i for i, symbol in enumerate(symbols)}
    # x = value + M x, where M[a, b] is how often a is expected to call b.
    M = np.zeros((len(symbols), len(symbols)))
    for symbol in set(symbols) - set(WORDS):
        for p, rule in zip(PROBABILITIES[symbol], CHOICES[symbol], strict=True):
            for part in rule.symbols:
                M[index[symbol], index[part]] += p
    x = np.linalg.solve(np.eye(len(symbols)) - M, [value(symbol) for symbol in symbols])
    return float(x[index["Sentence"]])


@cache
def _skeletons(symbols, n):
    """The sequences of n classes of words that the symbols become, with probabilities."""
    if not symbols:
        return {(): 1.0} if n == 0 else {}
    found = {}
    if len(symbols) > 1:
        for k in range(n + 1):
            for first, p in _skeletons(symbols[:1], k).items():
                for rest, q in _skeletons(symbols[1:], n - k).items():
                    found[first + rest] = found.get(first + rest, 0.0) + p * q
        return found
    (symbol,) = symbols
    if symbol in WORDS:
        return {symbols: 1.0} if n == 1 else {}
    for p, rule in zip(PROBABILITIES[symbol], CHOICES[symbol], strict=True):
        for skeleton, q in _skeletons(rule.symbols, n).items():
            found[skeleton] = found.get(skeleton, 0.0) + p * q
    return found


def _windows(window, clause, names):
    """Probabilities [singular, plural] of what the window shows of subject and clause."""
    joint = {}
    between = _skeletons(("Between",), clause)
    for plural, number in enumerate(("sg", "pl")):
        for n in range(2, 5):
            for subject, p in _skeletons((f"Subject.{number}",), n).items():
                for words, q in between.items():
                    seen = tuple(names[symbol] for symbol in subject + words)
                    seen = seen[max(len(seen) - window, 0) :]
                    joint.setdefault(seen, [0.0, 0.0])[plural] += p * q / 2
    return joint


@cache
def _shared_names():
    """A name for each class of words, the same for two classes that have a word in common."""
    names = {symbol: symbol for symbol in WORDS}
    for a, b in combinations(WORDS, 2):
        if {word.english for word in WORDS[a]} & {word.english for word in WORDS[b]}:
            old, new = names[b], names[a]
            names = {symbol: new if name == old else name for symbol, name in names.items()}
    return names


def _check_whole(name, value, least, most=None):
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        bounds = f"of at least {least}" if most is None else f"in {least} .. {most}"
        raise ValueError(f"{name} must be an integer {bounds}, got {value!r}")
