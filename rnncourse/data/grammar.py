"""A synchronous grammar, English - French: sentences whose probability, translation and labels are known exactly.

A sentence is a subject, whatever stands between it and its verb, and a predicate::

    the old cat | that the dogs behind the house often see | is tired
    le vieux chat que les chiens derrière la maison voient souvent est fatigué

What is built in, and where:

- *Agreement at a distance.* The main verb agrees with the subject's noun. Between them stand 0, 1, 2, ...
  words: nothing, an adverb of place, a phrase such as "behind the house", or an object relative clause, whose
  own verb agrees with its own noun. They say nothing on the number of the subject, which is singular or
  plural with probability 1/2; nor does "the", with which every subject starts.
- *Order.* Colours and moods follow the French noun, "small", "big", "old", "young" and "beautiful" precede it, and
  adverbs of frequency follow the French verb: alignments cross, but not always. "never" is "ne ... jamais".
- *Gender.* French articles and adjectives agree with their noun, a predicate with the subject far to its left.
- *Words with two labels.* "patient" is an adjective or a noun, "that" a pronoun or a determiner, and
  "Florence" a person or a town.

Each English sentence has one derivation, hence one translation, and ln P(sentence) is the sum of the logarithms of
the probabilities of its rules. Phrases nest without bound ("behind the house under the tower ..."). Words of one class
have probabilities proportional to 1, 1/2, 1/3, ... in the order of the tables below.

The sentences are licensed under CC BY 4.0.
"""

import math
from bisect import bisect
from functools import cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np

END = "</s>"
CLAUSE_MAX = 40
"""The longest ``clause`` that can be asked of :func:`sample`."""

# Each line is a symbol and what it becomes, with probabilities. # is sg or pl, * is person, animal or thing, the
# same in the whole line. After a colon stands the French order, where it is another.
RULES = """
Sentence    = .5 Subject.sg Between Predicate.sg | .5 Subject.pl Between Predicate.pl
Subject.#   = .5 The Group.person.# | .5 The Group.animal.#
Group.*.#   = .6 Noun.*.# | .15 Before.* Noun.*.# | .2 After.* Noun.*.# : 2 1
            | .05 Before.* After.* Noun.*.# : 1 3 2
Between     = .3 | .1 Place | .25 Phrase | .35 Relative
Relative    = .2 Which Name Active.sg | .4 Which Subject.sg Tail Active.sg | .4 Which Subject.pl Tail Active.pl
Active.#    = .75 Verb.# | .25 Often Verb.# : 2 1
Phrase      = .2 With Name | .2 From Town | .6 Into Thing
Thing       = .5 Determiner.sg Group.thing.sg Tail | .5 Determiner.pl Group.thing.pl Tail
Tail        = .75 | .25 Phrase
Predicate.# = .2 Be.# Mood | .1 Be.# Very Mood | .1 Be.# Often Mood | .1 Be.# Phrase | .5 Verb.# Object
Object      = .2 Name | .4 Determiner.sg Kind.sg Rest | .4 Determiner.pl Kind.pl Rest
Kind.#      = .35 Group.person.# | .35 Group.animal.# | .3 Group.thing.#
Rest        = .8 | .1 Phrase | .1 Relative
Name        = .8 First | .2 First Last
Town        = .85 City | .15 New York
"""

# English singular and plural, French singular and plural, gender.
NOUNS = {
    "person": """
        girl girls fille filles f       boy boys garçon garçons m       woman women femme femmes f
        king kings roi rois m           queen queens reine reines f     farmer farmers fermier fermiers m
        patient patients patient patients m""",
    "animal": """
        cat cats chat chats m           dog dogs chien chiens m         horse horses cheval chevaux m
        cow cows vache vaches f         mouse mice souris souris f      wolf wolves loup loups m
        goat goats chèvre chèvres f     fox foxes renard renards m""",
    "thing": """
        house houses maison maisons f   garden gardens jardin jardins m car cars voiture voitures f
        boat boats bateau bateaux m     train trains train trains m     tower towers tour tours f
        castle castles château châteaux m                               tent tents tente tentes f""",
}

# Singular and plural, English then French.
VERBS = """
    sees see voit voient                loves love aime aiment          watches watch regarde regardent
    knows know connaît connaissent      finds find trouve trouvent      draws draw dessine dessinent"""

# French masculine and feminine singular, masculine and feminine plural.
ADJECTIVES = """
    small petit petite petits petites           big grand grande grands grandes
    old vieux vieille vieux vieilles            young jeune jeune jeunes jeunes
    beautiful beau belle beaux belles
    black noir noire noirs noires               white blanc blanche blancs blanches
    brown brun brune bruns brunes               grey gris grise gris grises
    red rouge rouge rouges rouges               green vert verte verts vertes
    blue bleu bleue bleus bleues                yellow jaune jaune jaunes jaunes
    tired fatigué fatiguée fatigués fatiguées   happy heureux heureuse heureux heureuses
    sad triste triste tristes tristes           patient patient patiente patients patientes
    quiet calme calme calmes calmes             proud fier fière fiers fières
    ready prêt prête prêts prêtes"""
ADJECTIVE_CLASSES = {
    "Before.person": "old young small",
    "Before.animal": "small old big young",
    "Before.thing": "big small old beautiful",
    "After.person": "tired happy sad patient quiet proud",
    "After.animal": "black white brown grey",
    "After.thing": "red green blue yellow",
    "Mood": "tired happy sad patient quiet proud ready",
}

# Part of speech, entity, and the words: English=French; French with / has the four forms of an adjective.
OTHERS = {
    "The": ("DET", "O", "the=le/la/les/les"),
    "Determiner.sg": ("DET", "O", "the=le/la/les/les my=mon/ma/mes/mes that=ce/cette/ces/ces"),
    "Determiner.pl": ("DET", "O", "the=le/la/les/les my=mon/ma/mes/mes those=ce/cette/ces/ces"),
    "Which": ("PRON", "O", "that=que"),
    "Place": ("ADV", "O", "outside=dehors there=là-bas upstairs=en_haut downstairs=en_bas"),
    "Often": ("ADV", "O", "often=souvent always=toujours never=jamais sometimes=parfois"),
    "Very": ("ADV", "O", "very=très"),
    "Be.sg": ("AUX", "O", "is=est"),
    "Be.pl": ("AUX", "O", "are=sont"),
    "With": ("ADP", "O", "with=avec without=sans"),
    "From": ("ADP", "O", "near=près_de from=de"),
    "Into": ("ADP", "O", "in=dans behind=derrière on=sur under=sous"),
    "First": ("PROPN", "B-PER", "Marie Paul Julie Lucas Florence Thomas Sophie Victor"),
    "Last": ("PROPN", "I-PER", "Martin Petit Moreau Roux"),
    "City": ("PROPN", "B-LOC", "Paris London=Londres Rome Florence Brussels=Bruxelles Geneva=Genève"),
    "New": ("PROPN", "B-LOC", "New"),
    "York": ("PROPN", "I-LOC", "York"),
}


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


class _Word(NamedTuple):
    english: str
    french: tuple
    tag: str
    entity: str
    # 2 * plural + feminine, the index of the form that agrees; None of a word that is no common noun.
    agreement: int | None


class _Rule(NamedTuple):
    symbols: tuple
    order: tuple


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
    return _expectation(lambda symbol: -sum(p * math.log(p) for p in _PROBABILITIES[symbol]))


def expected_length():
    """Expected number of English words of a sentence, without ``</s>``."""
    return _expectation(lambda symbol: float(symbol in _WORDS))


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
    verb. Computed over all of them: words of classes that share a word are treated as the same word, which cannot
    make it larger, and the tests show that it does not make it smaller. It is 1 if ``window > clause`` and
    1/2 if not, also for a model that is not told `clause`.

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
    _check_whole("window", window, 0, math.inf)
    _check_whole("clause", clause, 0, 16)
    joint = _windows(window, clause, _SHARED)
    return math.fsum(max(p) for p in joint.values()) / math.fsum(sum(p) for p in joint.values())


# The tables, compiled.


def _compile():
    """Choices of each symbol, rules or words, and their probabilities."""
    choices, probabilities = {}, {}
    for line in RULES.replace("\n            |", "|").strip().splitlines():
        for form in _instances(line):
            symbol, right = form.split("=")
            options = [option.strip().split(":") for option in right.split("|")]
            found = []
            for option in options:
                probability, *symbols = option[0].split()
                order = [int(i) - 1 for i in option[1].split()] if option[1:] else range(len(symbols))
                found.append((float(probability), _Rule(tuple(symbols), tuple(order))))
            probabilities[symbol.strip()], choices[symbol.strip()] = zip(*found, strict=True)
    for symbol, words in _words().items():
        choices[symbol] = words
        total = sum(1 / (i + 1) for i in range(len(words)))
        probabilities[symbol] = tuple(1 / (i + 1) / total for i in range(len(words)))
    return choices, probabilities


def _instances(line):
    """A line with its # and * filled in, in each way."""
    lines = [line]
    for sign, values in {"#": ("sg", "pl"), "*": ("person", "animal", "thing")}.items():
        lines = [form.replace(sign, value) for form in lines for value in (values if sign in form else [""])]
    return lines


def _words():
    words = {}
    for kind, table in NOUNS.items():
        rows = _rows(table, 5)
        for plural, number in enumerate(("sg", "pl")):
            words[f"Noun.{kind}.{number}"] = tuple(
                _Word(row[plural], (row[2 + plural],), "NOUN", "O", 2 * plural + (row[4] == "f"))
                for row in rows
            )
    for plural, number in enumerate(("sg", "pl")):
        words[f"Verb.{number}"] = tuple(
            _Word(row[plural], (row[2 + plural],), "VERB", "O", None) for row in _rows(VERBS, 4)
        )
    adjectives = {row[0]: _Word(row[0], row[1:], "ADJ", "O", None) for row in _rows(ADJECTIVES, 5)}
    for symbol, names in ADJECTIVE_CLASSES.items():
        words[symbol] = tuple(adjectives[name] for name in names.split())
    for symbol, (tag, entity, pairs) in OTHERS.items():
        split = [(pair.split("=") * 2)[:2] for pair in pairs.split()]
        words[symbol] = tuple(_Word(e, tuple(f.split("/")), tag, entity, None) for e, f in split)
    return words


def _rows(table, n):
    cells = table.split()
    return [tuple(cells[i : i + n]) for i in range(0, len(cells), n)]


def _shared(words):
    """A name for each class of words, the same for classes that have a word in common."""
    names = {symbol: symbol for symbol in words}
    for a in words:
        for b in words:
            if {w.english for w in words[a]} & {w.english for w in words[b]}:
                names = {symbol: names[a] if name == names[b] else name for symbol, name in names.items()}
    return names


_CHOICES, _PROBABILITIES = _compile()
_WORDS = _words()
_SHARED = _shared(_WORDS)
_CUMULATED = {symbol: list(accumulate(p))[:-1] for symbol, p in _PROBABILITIES.items()}

ENGLISH = tuple(sorted({word.english for words in _WORDS.values() for word in words}))
"""The English words."""
FRENCH = tuple(
    sorted(
        {f for words in _WORDS.values() for word in words for form in word.french for f in form.split("_")}
        | {"ne", "n'"}
    )
)
"""The French words."""
OTHER_NUMBER = {
    a.english: b.english
    for x, y in (("sg", "pl"), ("pl", "sg"))
    for kind in ("Be", "Verb")
    for a, b in zip(_WORDS[f"{kind}.{x}"], _WORDS[f"{kind}.{y}"], strict=True)
}
"""For each English verb form its other number: "is" to "are", "see" to "sees"."""
PLURAL_VERBS = frozenset(word.english for kind in ("Be", "Verb") for word in _WORDS[f"{kind}.pl"])
"""The English verb forms that go with a plural subject."""


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
        if symbol not in _WORDS:
            stack += reversed(_CHOICES[symbol][choice].symbols)
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
    if symbol in _WORDS:
        return [bisect(_CUMULATED[symbol], rng.random())]
    rules = _CHOICES[symbol]
    p = _PROBABILITIES[symbol]
    choice = _weighted(rng, [q * _length_probability(r.symbols, n) for q, r in zip(p, rules, strict=True)])
    return [choice, *_draw_length(rng, rules[choice].symbols, n)]


def _weighted(rng, weights):
    sums = list(accumulate(weights))
    return bisect(sums, rng.random() * sums[-1])


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
    if symbol in _WORDS:
        return float(n == 1)
    rules = zip(_PROBABILITIES[symbol], _CHOICES[symbol], strict=True)
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
    choice = _CHOICES[symbol][next(choices)]
    if symbol in _WORDS:
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
    for i, (p, choice) in enumerate(zip(_PROBABILITIES[symbol], _CHOICES[symbol], strict=True)):
        if symbol in _WORDS:
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
    symbols = list(_CHOICES)
    index = {symbol: i for i, symbol in enumerate(symbols)}
    # x = value + M x, where M[a, b] is how often a is expected to call b.
    M = np.zeros((len(symbols), len(symbols)))
    for symbol in set(symbols) - set(_WORDS):
        for p, rule in zip(_PROBABILITIES[symbol], _CHOICES[symbol], strict=True):
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
    if symbol in _WORDS:
        return {symbols: 1.0} if n == 1 else {}
    for p, rule in zip(_PROBABILITIES[symbol], _CHOICES[symbol], strict=True):
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


def _check_whole(name, value, least, most):
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise ValueError(f"{name} must be an integer in {least} .. {most}, got {value!r}")
