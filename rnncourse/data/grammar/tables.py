"""The grammar as data: what each symbol becomes with which probability, and the words."""

import re
from typing import NamedTuple

# A symbol, and what it becomes with which probability. # is sg or pl, * is person, animal or thing, the same
# in the whole rule. After a colon stands the order in French, where it is another.
RULES = """
Sentence    = .5 Subject.sg Between Predicate.sg | .5 Subject.pl Between Predicate.pl
Subject.#   = .5 The Group.person.# | .5 The Group.animal.#
Group.*.#   = .6 Noun.*.# | .15 Before.* Noun.*.# | .2 After.* Noun.*.# : 2 1
            | .05 Before.* After.* Noun.*.# : 1 3 2
Between     = .3 | .1 Place | .25 Phrase | .35 Relative
Relative    = .2 Which Name Active.sg | .4 Which Subject.sg Tail Active.sg
            | .4 Which Subject.pl Tail Active.pl
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


class Word(NamedTuple):
    """An English word of one class, and what it is in French."""

    english: str
    french: tuple
    """One form, or the four of an adjective; ``_`` stands between two words."""
    tag: str
    entity: str
    agreement: int | None
    """2 * plural + feminine, the form of the adjectives with it; None of all but common nouns."""


class Rule(NamedTuple):
    """What a symbol can become."""

    symbols: tuple
    order: tuple
    """The indices of the symbols in the French order."""


def _words():
    """The words of each class, the most frequent first."""
    words = {}
    for plural, number in enumerate(("sg", "pl")):
        for kind, table in NOUNS.items():
            words[f"Noun.{kind}.{number}"] = [
                Word(row[plural], (row[2 + plural],), "NOUN", "O", 2 * plural + (row[4] == "f"))
                for row in _rows(table, 5)
            ]
        words[f"Verb.{number}"] = [
            Word(row[plural], (row[2 + plural],), "VERB", "O", None) for row in _rows(VERBS, 4)
        ]
    adjectives = {row[0]: Word(row[0], row[1:], "ADJ", "O", None) for row in _rows(ADJECTIVES, 5)}
    for symbol, names in ADJECTIVE_CLASSES.items():
        words[symbol] = [adjectives[name] for name in names.split()]
    for symbol, (tag, entity, pairs) in OTHERS.items():
        # A name without "=" is the same in French.
        sides = [(pair.split("=") * 2)[:2] for pair in pairs.split()]
        words[symbol] = [Word(e, tuple(f.split("/")), tag, entity, None) for e, f in sides]
    return words


def _rows(table, n):
    cells = table.split()
    return [tuple(cells[i : i + n]) for i in range(0, len(cells), n)]


def _rules():
    """The rules of each symbol, and their probabilities."""
    rules, probabilities = {}, {}
    lines = re.split(r"\n(?=\S)", RULES.strip())
    for sign, values in {"#": ("sg", "pl"), "*": ("person", "animal", "thing")}.items():
        lines = [line.replace(sign, v) for line in lines for v in (values if sign in line else values[:1])]
    for line in lines:
        symbol, right = line.split("=")
        symbol = symbol.strip()
        rules[symbol], probabilities[symbol] = [], []
        for option in right.split("|"):
            english, _, order = option.partition(":")
            probability, *symbols = english.split()
            order = [int(i) - 1 for i in order.split()] or range(len(symbols))
            rules[symbol].append(Rule(tuple(symbols), tuple(order)))
            probabilities[symbol].append(float(probability))
    return rules, probabilities


def _harmonic(n):
    total = sum(1 / (i + 1) for i in range(n))
    return [1 / (i + 1) / total for i in range(n)]


WORDS = _words()
_RULES, _PROBABILITIES = _rules()
CHOICES = {**_RULES, **WORDS}
"""What each symbol can become: rules, or words if it is a class of words."""
PROBABILITIES = {**_PROBABILITIES, **{symbol: _harmonic(len(words)) for symbol, words in WORDS.items()}}
"""The probabilities of the choices."""
