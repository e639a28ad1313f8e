"""Spelling, British and by the course's own word list, and one term for one thing."""

import ast
import builtins
import re
from collections import Counter
from functools import cache
from pathlib import Path

import codespell_lib
import pytest
from prose import ROOT, labels, pages
from spellchecker import SpellChecker

WORDS = Path(__file__).with_name("words.txt")
CODESPELL = Path(codespell_lib.__file__).with_name("data")
TOKEN = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
PART = re.compile(r"[^\W\d_]{2,}(?:['’][^\W\d_]+)*")
# American forms that British English has too, with another meaning.
BRITISH_TOO = {
    "program": "of a computer",
    "programs": "of a computer",
    "practice": "the noun",
    "license": "the verb",
    "licensed": "the verb",
    "meter": "an instrument",
    "biased": "one s is more frequent in both",
}
IZE = re.compile(r"\w{3,}(?:iz(?:e|es|ed|er|ers|ing|able|ations?)|yz(?:e|es|ed|er|ers|ing))$")
NO_SUFFIX = re.compile(r"(?:down|re|over|under)?siz|prize|seiz|capsiz|magazine|assiz|citiz|horizon")

# (what is refused, what is said instead, why). A pattern stands between word boundaries and has no groups.
TERMS = [
    ("time[- ]?steps?", "step", "steps are counted; what they read need not be ordered by time"),
    ("neurons?", "unit", "a number in a state is no nerve cell"),
    ("mini-?batch(?:es)?", "batch", "the course knows no other batch"),
    ("(?:cost|error|objective) functions?", "loss", "GloVe's cost and word2vec's objectives are their names"),
    ("step sizes?", "learning rate", "a step of what?"),
    ("heldout", "held out, and held-out before a noun", "one form"),
    ("hold-?out", "held-out", "one form"),
    ("dev(?:elopment)?[- ](?:set|part|text|data)", "validation part", "choices are made on it"),
    ("cross entrop(?:y|ies)", "cross-entropy", "one form"),
    ("[nN]grams?|N-grams?", "n-gram", "one form"),
    ("Word2[vV]ec", "word2vec", "the program's own form"),
    ("Glove|GLOVE", "GloVe", "its authors' form"),
    ("Bleu|chrf|CHRF|ChrF", "BLEU, chrF", "their authors' forms"),
    ("non-linear(?:ly|ity|ities)?", "nonlinear", "one form"),
    ("preactivations?", "pre-activation", "one form"),
    ("feedforward|feed forward", "feed-forward", "one form"),
    ("back-propagat\\w+|backprop", "backpropagation", "one form"),
    ("one hot", "one-hot", "one form"),
    ("look-ups?", "lookup", "one form; the verb is to look up"),
    ("bi-directional", "bidirectional", "one form"),
    ("data-?sets?", "data set", "one form"),
    ("cooccur\\w+", "co-occurrence", "one form"),
    ("hyperparameters?", "hyper-parameter", "one form"),
    ("soft-max", "softmax", "one form"),
    ("skip ?grams?", "skip-gram", "one form"),
    ("sub-sampl\\w+|over-fit\\w*|pre-train\\w*", "subsampling, overfitting, pretrained", "one form"),
    ("element-wise", "elementwise", "one form"),
    ("log probabilit(?:y|ies)", "log-probability", "one form"),
    ("tSNE|TSNE|T-SNE", "t-SNE", "its authors' form"),
    ("Kneser[–—]Ney", "Kneser-Ney", "one form, which search finds"),
    ("long short term memory", "long short-term memory", "it is a short-term memory, for long"),
    ("out-of-vocabulary|OOV", "unknown word", "plain words"),
    ("beam sizes?", "beam width", "one name for K"),
    ("seq2seq|sequence to sequence", "sequence-to-sequence", "one form"),
    ("auto-regress\\w+", "autoregressive", "one form"),
    ("percent", "per cent", "British"),
    ("learned", "learnt", "one of two British forms"),
    ("spelled", "spelt", "one of two British forms"),
    ("toward|afterward|math", "towards, afterwards, maths", "British"),
    ("simply|obviously|trivially|of course", "nothing", "what is simple needs no such word"),
]


@cache
def known():
    """English words, and the British forms that the list of the package lacks."""
    return set(SpellChecker().word_frequency.words()) | {british for british, _ in pairs()}


@cache
def pairs():
    lines = (CODESPELL / "dictionary_en-GB_to_en-US.txt").read_text("utf8").splitlines()
    return [tuple(line.split("->")) for line in lines]


@cache
def typos():
    lines = (CODESPELL / "dictionary.txt").read_text("utf8").splitlines()
    return dict(line.split("->") for line in lines)


@cache
def own():
    return set(WORDS.read_text("utf8").split())


@cache
def american():
    british_for = {us: gb for gb, us in pairs()}
    return {us: gb for us, gb in british_for.items() if us not in BRITISH_TOO}


@cache
def identifiers(file):
    """What a docstring may name without marking it as code: names of its file and Python's own."""
    nodes = list(ast.walk(ast.parse((ROOT / file).read_text("utf8"))))
    names = {getattr(node, key, None) for node in nodes for key in ("id", "arg", "attr", "name")}
    return names | set(dir(builtins))


def unknown(text, names=frozenset()):
    """Yield the words of a text that are in no list."""
    for token in TOKEN.findall(text):
        if is_own(token.replace("’", "'")):
            continue
        for part in PART.findall(token):
            word = re.sub(r"['’]s?$", "", part)
            # The strings of the small languages, and symbols such as h₁.
            toy = re.fullmatch("[abc]+|[a-z][₀-₉]", word)
            if not (toy or word.lower() in known() or is_own(word) or word in names):
                yield word


def is_own(word):
    forms = {word, word.lower()}
    forms |= {re.sub(r"(?<!s)(s|'s?)$", "", form) for form in forms}
    return bool(forms & own())


def americanisms(text):
    """Yield (American word, British word)."""
    for word in PART.findall(text):
        small = word.lower()
        if small in american():
            yield word, american()[small]
        elif IZE.match(small) and not NO_SUFFIX.search(small):
            yield word, re.sub(r"z(?=[^z]*$)", "s", small)


ANY_TERM = re.compile(rf"(?<![\w-])(?:{'|'.join(f'({pattern})' for pattern, *_ in TERMS)})(?![\w-])")


def refused(text):
    """Yield (term, what to say instead)."""
    for found in ANY_TERM.finditer(text):
        _, instead, reason = TERMS[found.lastindex - 1]
        yield found[0], f"{instead} ({reason})"


def faults(find, texts):
    """Each fault once a file, with its first place."""
    said = {}
    for file, place, text in texts:
        for fault in find(file, text):
            said.setdefault((file, fault), f"{file}, {place}: {fault}")
    return list(said.values())


def test_every_word_is_spelt_as_a_word_list_has_it():
    def find(file, text):
        names = identifiers(file) if file.endswith(".py") else set()
        for word in unknown(text, names):
            guess = typos().get(word.lower())
            yield f"{word}: {guess}?" if guess else f"{word} (if it is right, add it to tests/words.txt)"

    assert faults(find, pages()) == []


def test_spelling_is_british():
    def find(file, text):
        return (f"{word}: {instead}" for word, instead in americanisms(text))

    assert faults(find, [*pages(), *labels()]) == []


def test_one_thing_has_one_name():
    def find(file, text):
        return (f"{word}: say {instead}" for word, instead in refused(text))

    # CONTRIBUTING.md names what it forbids.
    said = [page for page in [*pages(), *labels()] if page[0] != "CONTRIBUTING.md"]
    assert faults(find, said) == []


def test_own_words_are_sorted_and_needed():
    words = WORDS.read_text("utf8").splitlines()
    assert words == sorted(set(words), key=lambda word: (word.lower(), word))
    assert [word for word in words if word in known()] == []


@pytest.mark.parametrize(
    ("find", "text", "expected"),
    [
        (unknown, "The gradeint of a softmax, recieved by LSTMs' gates.", ["gradeint", "recieved"]),
        (unknown, "Pytorch and Numpy; PyTorch and NumPy; word2vec", ["Pytorch", "Numpy"]),
        (americanisms, "One size, a prize, a program; Behavior", [("Behavior", "behaviour")]),
        (americanisms, "Initialization", [("Initialization", "initialisation")]),
        (americanisms, "analyzing centers", [("analyzing", "analysing"), ("centers", "centres")]),
    ],
)
def test_faults_are_found(find, text, expected):
    assert list(find(text)) == expected


def test_refused_terms_are_found():
    text = "A timestep of two neurons. The n-gram of a step, held-out; heldout, cross entropy."
    found = [word for word, _ in refused(text)]
    assert Counter(found) == Counter(["timestep", "neurons", "heldout", "cross entropy"])
