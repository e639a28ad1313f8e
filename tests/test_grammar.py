"""The synchronous grammar: one derivation per sentence, exact probabilities, right French."""

import math
from collections import Counter, defaultdict
from functools import cache

import numpy as np
import pytest

from rnncourse.data import grammar
from rnncourse.data.grammar import (
    CLAUSE_MAX,
    ENGLISH,
    FRENCH,
    OTHER_NUMBER,
    PLURAL_VERBS,
    clause_probability,
    entropy,
    entropy_per_token,
    expected_length,
    next_word_probabilities,
    parse,
    sample,
    true_logprob,
    window_accuracy,
)
from rnncourse.data.grammar.tables import CHOICES, PROBABILITIES, WORDS


def french(english):
    return " ".join(parse(english.split()).french)


@cache
def samples():
    rng = np.random.default_rng(0)
    return [sample(rng) for _ in range(5000)]


@cache
def derivations(symbols, n):
    """All derivations of n words by a plain recursion: (words, probability, classes of the words)."""
    if not symbols:
        return [((), 1.0, ())] if n == 0 else []
    first, rest = symbols[0], symbols[1:]
    found = []
    for p, choice in zip(PROBABILITIES[first], CHOICES[first], strict=True):
        if first not in WORDS:
            found += [(w, p * q, c) for w, q, c in derivations(choice.symbols + rest, n)]
        elif n:
            found += [((choice.english, *w), p * q, (first, *c)) for w, q, c in derivations(rest, n - 1)]
    return found


@cache
def skeletons(symbols, n):
    """All derivations of n classes of words: (classes, probability)."""
    if not symbols:
        return [((), 1.0)] if n == 0 else []
    first, rest = symbols[0], symbols[1:]
    if first in WORDS:
        return [((first, *c), q) for c, q in skeletons(rest, n - 1)] if n else []
    return [
        (c, p * q)
        for p, rule in zip(PROBABILITIES[first], CHOICES[first], strict=True)
        for c, q in skeletons(rule.symbols + rest, n)
    ]


# The tables


def test_probabilities_of_each_symbol_sum_to_one():
    for symbol, p in PROBABILITIES.items():
        assert len(p) == len(CHOICES[symbol])
        assert min(p) > 0 and math.fsum(p) == pytest.approx(1, abs=1e-12), symbol
    used = {part for symbol in CHOICES if symbol not in WORDS for r in CHOICES[symbol] for part in r.symbols}
    assert used | {"Sentence"} == set(CHOICES)
    for symbol in set(CHOICES) - set(WORDS):
        for rule in CHOICES[symbol]:
            assert sorted(rule.order) == list(range(len(rule.symbols)))


def test_sizes_of_the_vocabularies():
    assert (len(ENGLISH), len(FRENCH)) == (119, 173)
    assert {word for pair in samples() for word in pair.english} == set(ENGLISH)
    assert {word for pair in samples() for word in pair.french} == set(FRENCH)


def test_verbs_and_their_other_number():
    assert (
        OTHER_NUMBER["is"] == "are" and OTHER_NUMBER["see"] == "sees" and OTHER_NUMBER["watches"] == "watch"
    )
    assert len(OTHER_NUMBER) == 14
    for verb, other in OTHER_NUMBER.items():
        assert OTHER_NUMBER[other] == verb
        assert (verb in PLURAL_VERBS) != (other in PLURAL_VERBS)
    assert {"are", "see"} <= PLURAL_VERBS


# Unambiguous, and exact


def test_no_sentence_of_any_length_has_two_derivations():
    # All pairs of derivations that agree on the words so far, as (what is left of the one, of the other).
    # Classes with a word in common count as one word: no word-by-word pair is missed. Only pairs that differ
    # are followed; those that do not differ yet have the same rest.
    names = {symbol: {word.english for word in words} for symbol, words in WORDS.items()}
    assert all(len(names[symbol]) == len(words) for symbol, words in WORDS.items())

    def heads(stack):
        """Each way to bring a class of words to the front of the stack."""
        if not stack:
            return [(None, ())]
        first, rest = stack[0], stack[1:]
        if first in WORDS:
            return [(first, rest)]
        return [head for rule in CHOICES[first] for head in heads(rule.symbols + rest)]

    def agree(a, b):
        return a == b if a is None or b is None else bool(names[a] & names[b])

    same, different = [("Sentence",)], []
    seen_same, seen_different = set(same), set()
    ambiguous = []
    while same or different:
        if same:
            ways = heads(same.pop())
            pairs = [(a, b, i != j) for i, a in enumerate(ways) for j, b in enumerate(ways) if i <= j]
        else:
            left, right = different.pop()
            pairs = [(a, b, True) for a in heads(left) for b in heads(right)]
        for (a, left), (b, right), differ in pairs:
            if not agree(a, b):
                continue
            if a is None:
                ambiguous += [differ] * differ
            elif differ and (left, right) not in seen_different:
                seen_different.add((left, right))
                different.append((left, right))
            elif not differ and left not in seen_same:
                seen_same.add(left)
                same.append(left)
    assert not ambiguous
    # A finite number of rests: the search was complete. It was no empty one.
    assert len(seen_same) > 50 and len(seen_different) > 50


def test_every_short_sentence_has_its_probability():
    for n in range(1, 6):
        found = derivations(("Sentence",), n)
        assert len({words for words, _, _ in found}) == len(found)
        for words, p, classes in found[:: 1 if n < 5 else 11]:
            assert true_logprob(words) == pytest.approx(math.log(p), abs=1e-12)
            pair = parse(words)
            assert pair.english == words
            assert pair.tags == tuple(TAGS[c.split(".")[0]] for c in classes)
            assert pair.entities == tuple(ENTITIES.get(c, "O") for c in classes)
    assert len(found) > 50_000


# What a class of words is called, written down a second time.
TAGS = {
    **dict.fromkeys(["The", "Determiner"], "DET"),
    **dict.fromkeys(["Before", "After", "Mood"], "ADJ"),
    **dict.fromkeys(["Place", "Often", "Very"], "ADV"),
    **dict.fromkeys(["With", "From", "Into"], "ADP"),
    **dict.fromkeys(["First", "Last", "City", "New", "York"], "PROPN"),
    **{"Noun": "NOUN", "Verb": "VERB", "Be": "AUX", "Which": "PRON"},
}
ENTITIES = {"First": "B-PER", "Last": "I-PER", "City": "B-LOC", "New": "B-LOC", "York": "I-LOC"}


@cache
def mass_and_surprise(stack, n):
    """Sums of P and of -P ln P over the derivations of n words."""
    if not stack:
        return float(n == 0), 0.0
    first, rest = stack[0], stack[1:]
    if n == 0 and first in WORDS:
        return 0.0, 0.0
    mass = surprise = 0.0
    for p, choice in zip(PROBABILITIES[first], CHOICES[first], strict=True):
        left = (rest, n - 1) if first in WORDS else (choice.symbols + rest, n)
        m, s = mass_and_surprise(*left)
        mass += p * m
        surprise += p * s - p * math.log(p) * m
    return mass, surprise


def test_probabilities_sum_to_one_and_the_entropy_is_theirs():
    mass, surprise = np.array([mass_and_surprise(("Sentence",), n) for n in range(100)]).T
    enumerated = [[p for _, p, _ in derivations(("Sentence",), n)] for n in range(6)]
    assert mass[:6] == pytest.approx([math.fsum(p) for p in enumerated], abs=1e-12)
    assert surprise[:6] == pytest.approx(
        [-math.fsum(q * math.log(q) for q in p) for p in enumerated], abs=1e-12
    )
    # What is left falls to nothing: 18% after 5 words, under 1e-11 after 60.
    remainder = 1 - mass.cumsum()
    assert 0.8 < remainder[5] < 0.85 and 0 < remainder[60] < 1e-11 and abs(remainder[99]) < 1e-14
    assert np.arange(100) @ mass == pytest.approx(expected_length(), abs=1e-11)
    assert surprise.sum() == pytest.approx(entropy(), abs=1e-11)
    assert entropy_per_token() == pytest.approx(entropy() / (np.arange(1, 101) @ mass), abs=1e-11)
    assert (round(entropy(), 4), round(expected_length(), 4)) == (18.8674, 8.6042)
    assert (round(entropy_per_token(), 4), round(math.exp(entropy_per_token()), 3)) == (1.9645, 7.131)


def test_probability_of_a_sentence_by_hand():
    # 1 + 1/2 + ... + 1/7 = 363/140 and 1 + ... + 1/8 = 761/280.
    cat, tired = 280 / 761, 140 / 363
    number, animal, bare, nothing, is_mood = 0.5, 0.5, 0.6, 0.3, 0.2
    p = number * animal * bare * cat * nothing * is_mood * tired
    assert true_logprob("the cat is tired".split()) == pytest.approx(math.log(p), abs=1e-12)
    # "behind" is the second of four words, "house" the first of eight, "the" the first of three.
    phrase = 0.25 * 0.6 * (1 / 2) / (25 / 12) * 0.5 * (6 / 11) * 0.6 * (280 / 761) * 0.75
    words = "the cat behind the house is tired".split()
    assert true_logprob(words) == pytest.approx(math.log(p / nothing * phrase), abs=1e-12)


def test_samples_are_as_surprising_and_as_long_as_expected():
    surprise = -np.array([true_logprob(pair.english) for pair in samples()])
    lengths = np.array([len(pair.english) for pair in samples()])
    for values, mean in [(surprise, entropy()), (lengths, expected_length())]:
        assert abs(values.mean() - mean) < 4 * values.std() / math.sqrt(len(values)) < 0.03 * mean


def test_samples_have_their_probabilities():
    # The words, each against its probability among those that can follow the words before it.
    expected, variance, counts = Counter(), Counter(), Counter()
    for pair in samples()[:1500]:
        for t, word in enumerate((*pair.english, "</s>")):
            counts[word] += 1
            for other, p in next_word_probabilities(pair.english[:t]).items():
                expected[other] += p
                variance[other] += p * (1 - p)
    assert set(counts) == set(expected) == {*ENGLISH, "</s>"}
    # Of 120 words, one beyond 4 standard deviations would be an event of probability 0.008.
    for word, count in counts.items():
        assert abs(count - expected[word]) <= 4 * math.sqrt(variance[word]), word


def test_next_words_multiply_to_the_sentence():
    for pair in samples()[:300]:
        total = 0.0
        for t, word in enumerate((*pair.english, "</s>")):
            following = next_word_probabilities(pair.english[:t])
            assert math.fsum(following.values()) == pytest.approx(1, abs=1e-12)
            total += math.log(following[word])
        assert total == pytest.approx(true_logprob(pair.english), abs=1e-11)


def test_next_words_by_hand():
    after = next_word_probabilities(["the", "cat"])
    assert after["is"] == pytest.approx(0.3 * 0.5, abs=1e-12)
    assert "are" not in after and "see" not in after and "</s>" not in after
    assert after["that"] == pytest.approx(0.35, abs=1e-12)
    assert next_word_probabilities([]) == {"the": pytest.approx(1)}
    # "New" and "York" are a town only together; "Florence" is a person here, and a town there.
    assert next_word_probabilities("the cat near New".split()) == {"York": pytest.approx(1)}
    assert "Martin" in next_word_probabilities("the cat with Florence".split())
    assert "Martin" not in next_word_probabilities("the cat near Florence".split())
    # An object ends the sentence unless a phrase or a clause follows.
    end = next_word_probabilities("the cat sees my house".split())["</s>"]
    assert end == pytest.approx(0.8, abs=1e-12)


def test_many_words_do_not_underflow():
    words = ["the", "cat", *["under", "the", "old", "tent"] * 200]
    assert math.fsum(next_word_probabilities(words).values()) == pytest.approx(1, abs=1e-12)
    assert true_logprob([*words, "is", "tired"]) < -1500


# Agreement at a distance


@pytest.mark.parametrize("clause", range(13))
def test_clause_has_the_length_asked_for(clause):
    rng = np.random.default_rng(clause)
    pairs = [sample(rng, clause) for _ in range(100)]
    for pair in pairs:
        assert pair.clause == clause
        assert pair.tags[pair.verb] in ("VERB", "AUX")
        # The noun of the subject is the first noun.
        noun = pair.tags.index("NOUN")
        assert pair.verb == noun + 1 + clause
        assert parse(pair.english) == pair
        plural = pair.english[noun] in PLURAL_NOUNS
        assert plural == (pair.english[pair.verb] in PLURAL_VERBS)
        assert pair.english[0] == "the"
    assert 30 <= sum(pair.english[pair.verb] in PLURAL_VERBS for pair in pairs) <= 70


PLURAL_NOUNS = set(
    "girls boys women kings queens farmers patients cats dogs horses cows mice wolves goats foxes "
    "houses gardens cars boats trains towers castles tents".split()
)


def test_longest_clause():
    assert sample(np.random.default_rng(0), np.int64(CLAUSE_MAX)).clause == CLAUSE_MAX


def test_sentences_of_a_given_clause_have_the_probabilities_of_the_grammar():
    # The classes of the words between noun and verb, against their probability given their number.
    rng = np.random.default_rng(0)
    for clause in (4, 6):
        exact = Counter()
        for classes, p in skeletons(("Between",), clause):
            exact[tuple(TAGS[c.split(".")[0]] for c in classes)] += p / clause_probability(clause)
        assert math.fsum(exact.values()) == pytest.approx(1, abs=1e-12)
        n = 4000
        counts = Counter(
            pair.tags[pair.verb - clause : pair.verb] for pair in (sample(rng, clause) for _ in range(n))
        )
        assert set(counts) <= set(exact) and len(exact) > 3
        for tags, p in exact.items():
            assert abs(counts[tags] - n * p) <= 4 * math.sqrt(n * p * (1 - p)) + 1, tags


def test_clause_probability():
    clauses = Counter(pair.clause for pair in samples())
    n = len(samples())
    for clause in range(13):
        p = clause_probability(clause)
        assert p == pytest.approx(math.fsum(q for _, q in skeletons(("Between",), clause)), abs=1e-14)
        assert 0 < p and abs(clauses[clause] - n * p) <= 4 * math.sqrt(n * p)
    assert math.fsum(clause_probability(c) for c in range(41)) == pytest.approx(1, abs=1e-6)
    assert clause_probability(0) == 0.3


def test_window_sees_the_number_or_nothing():
    for clause in range(11):
        for window in range(14):
            optimum = 1.0 if window > clause else 0.5
            assert window_accuracy(window, clause) == pytest.approx(optimum, abs=1e-12)
            # All classes told apart: a model that knows more than the words cannot do better either.
            joint = grammar._windows(window, clause, {symbol: symbol for symbol in WORDS})
            told = sum(max(p) for p in joint.values()) / sum(sum(p) for p in joint.values())
            assert told == pytest.approx(optimum, abs=1e-12)


def joint_windows(window, clauses):
    """Probabilities [singular, plural] of the windows before main verbs, the clause not told."""
    joint = defaultdict(lambda: [0.0, 0.0])
    for clause in clauses:
        for seen, p in grammar._windows(window, clause, grammar._shared_names()).items():
            joint[seen] = [a + b for a, b in zip(joint[seen], p, strict=True)]
    return joint


def test_window_without_knowing_the_clause():
    clauses = range(12)
    share = [clause_probability(clause) for clause in clauses]
    for window in range(10):
        joint = joint_windows(window, clauses)
        assert math.fsum(sum(p) for p in joint.values()) == pytest.approx(math.fsum(share), abs=1e-12)
        best = math.fsum(max(p) for p in joint.values())
        told = math.fsum(p * window_accuracy(window, clause) for clause, p in enumerate(share))
        assert best == pytest.approx(told, abs=1e-12)
        # A window shows the number for certain, or nothing of it.
        for singular, plural in joint.values():
            assert min(singular, plural) == 0 or singular == pytest.approx(plural, rel=1e-12)


def test_verbs_of_clauses_do_not_mislead():
    # A window that shows the number of the main verb never shows the other number of a verb in a clause.
    # So a model of all words, which does not know which verb is next, can be right as well.
    names = grammar._shared_names()
    for window in range(1, 9):
        main = joint_windows(window, range(8))
        meant = {seen: p[1] > 0 for seen, p in main.items() if min(p) == 0}
        inner = defaultdict(set)
        for head in HEADS:
            for middle, plural in [
                (("Name",), False),
                (("Subject.sg", "Tail"), False),
                (("Subject.pl", "Tail"), True),
            ]:
                for often in [(), ("Often",)]:
                    for n in range(12):
                        for classes, _ in skeletons((*head, "Which", *middle, *often), n):
                            inner[tuple(names[c] for c in classes[-window:])].add(plural)
        common = meant.keys() & inner.keys()
        assert all(inner[seen] == {meant[seen]} for seen in common)
        assert len(meant) > 2 and len(common) > 2


HEADS = [
    ("Subject.sg",),
    ("Subject.pl",),
    ("Verb.sg", "Determiner.sg", "Kind.sg"),
    ("Verb.sg", "Determiner.pl", "Kind.pl"),
]


# French


NOUNS = """
    girl: la fille, les filles; boy: le garçon, les garçons; woman: la femme, les femmes;
    king: le roi, les rois; queen: la reine, les reines; farmer: le fermier, les fermiers;
    patient: le patient, les patients; cat: le chat, les chats; dog: le chien, les chiens;
    horse: le cheval, les chevaux; cow: la vache, les vaches; mouse: la souris, les souris;
    wolf: le loup, les loups; goat: la chèvre, les chèvres; fox: le renard, les renards;
    house: la maison, les maisons; garden: le jardin, les jardins; car: la voiture, les voitures;
    boat: le bateau, les bateaux; train: le train, les trains; tower: la tour, les tours;
    castle: le château, les châteaux; tent: la tente, les tentes"""
PLURALS = {"woman": "women", "mouse": "mice", "wolf": "wolves", "fox": "foxes"}


def test_nouns_and_their_determiners():
    determiners = {"le": ("mon", "ce"), "la": ("ma", "cette"), "les": ("mes", "ces")}
    for entry in NOUNS.split(";"):
        singular, forms = entry.strip().split(": ")
        plural = PLURALS.get(singular, singular + "s")
        for english, that, words in zip(
            (singular, plural), ("that", "those"), forms.split(", "), strict=True
        ):
            the, noun = words.split()
            my, this = determiners[the]
            assert french(f"the girl sees the {english}") == f"la fille voit {the} {noun}"
            assert french(f"the girl sees my {english}") == f"la fille voit {my} {noun}"
            assert french(f"the girl sees {that} {english}") == f"la fille voit {this} {noun}"
    nouns = {w.english for symbol, words in WORDS.items() if symbol.startswith("Noun.") for w in words}
    assert len(nouns) == 2 * len(NOUNS.split(";")) == 46
    assert PLURAL_NOUNS < nouns and len(PLURAL_NOUNS) == 23


def test_verbs():
    for singular, plural, expected in [
        ("sees", "see", "voit voient"),
        ("loves", "love", "aime aiment"),
        ("watches", "watch", "regarde regardent"),
        ("knows", "know", "connaît connaissent"),
        ("finds", "find", "trouve trouvent"),
        ("draws", "draw", "dessine dessinent"),
    ]:
        one, many = expected.split()
        assert french(f"the cat {singular} Paul") == f"le chat {one} Paul"
        assert french(f"the cats {plural} Paul") == f"les chats {many} Paul"
    assert len(WORDS["Verb.sg"]) == 6


# The masculine singular; the other forms follow the rules, but for these.
ADJECTIVES = {
    "person": "old vieux, young jeune, small petit; "
    "tired fatigué, happy heureux, sad triste, patient patient, quiet calme, proud fier",
    "animal": "small petit, old vieux, big grand, young jeune; "
    "black noir, white blanc, brown brun, grey gris",
    "thing": "big grand, small petit, old vieux, beautiful beau; "
    "red rouge, green vert, blue bleu, yellow jaune",
}
EXCEPTIONS = {
    "vieux": "vieille vieux vieilles",
    "beau": "belle beaux belles",
    "blanc": "blanche blancs blanches",
    "heureux": "heureuse heureux heureuses",
    "fier": "fière fiers fières",
}


def four_forms(masculine):
    if masculine in EXCEPTIONS:
        return [masculine, *EXCEPTIONS[masculine].split()]
    feminine = masculine if masculine.endswith("e") else masculine + "e"
    plural = masculine if masculine[-1] in "sx" else masculine + "s"
    return [masculine, feminine, plural, feminine + "s"]


@pytest.mark.parametrize("kind", ADJECTIVES)
def test_adjectives_agree_and_have_their_place(kind):
    nouns = {
        "person": "boy girl boys girls garçon fille garçons filles",
        "animal": "cat cow cats cows chat vache chats vaches",
        "thing": "train car trains cars train voiture trains voitures",
    }[kind].split()
    before, after = ([pair.split() for pair in part.split(", ")] for part in ADJECTIVES[kind].split("; "))
    for form in range(4):
        the = ["le", "la", "les", "les"][form]
        noun, nom = nouns[form], nouns[4 + form]
        for english, masculine in before:
            adjective = four_forms(masculine)[form]
            assert french(f"the king sees the {english} {noun}") == f"le roi voit {the} {adjective} {nom}"
        for english, masculine in after:
            adjective = four_forms(masculine)[form]
            assert french(f"the king sees the {english} {noun}") == f"le roi voit {the} {nom} {adjective}"
    listed = {word.english for place in ("Before", "After") for word in WORDS[f"{place}.{kind}"]}
    assert listed == {english for english, _ in before + after}


def test_predicates_agree_with_the_subject_far_away():
    moods = "tired fatigué, happy heureux, sad triste, patient patient, quiet calme, proud fier, ready prêt"
    for english, masculine in (pair.split() for pair in moods.split(", ")):
        m, f, ms, fs = four_forms(masculine)
        assert french(f"the cow that the dogs see is {english}") == f"la vache que les chiens voient est {f}"
        assert french(f"the cows behind the train are {english}") == f"les vaches derrière le train sont {fs}"
        assert french(f"the dog in my cars is very {english}") == f"le chien dans mes voitures est très {m}"
        assert french(f"the dogs are often {english}") == f"les chiens sont souvent {ms}"
    assert {w.english for w in WORDS["Mood"]} == {pair.split()[0] for pair in moods.split(", ")}


@pytest.mark.parametrize(
    "english, expected",
    [
        ("the black cat is tired", "le chat noir est fatigué"),
        ("the small white goats outside are happy", "les petites chèvres blanches dehors sont heureuses"),
        ("the mice upstairs love the big yellow tent", "les souris en haut aiment la grande tente jaune"),
        ("the king there watches those castles", "le roi là-bas regarde ces châteaux"),
        ("the farmer downstairs finds the fox", "le fermier en bas trouve le renard"),
        ("the queen is never sad", "la reine n' est jamais triste"),
        ("the queens are never sad", "les reines ne sont jamais tristes"),
        ("the boy that the girl never loves is ready", "le garçon que la fille n' aime jamais est prêt"),
        ("the girl that Paul Roux never sees is quiet", "la fille que Paul Roux ne voit jamais est calme"),
        ("the horses are near London", "les chevaux sont près de Londres"),
        ("the women in the train know Marie Petit", "les femmes dans le train connaissent Marie Petit"),
        (
            "the patient girl sees the patient that the patients always find",
            "la fille patiente voit le patient que les patients trouvent toujours",
        ),
        ("the dog sees that dog that Florence sees", "le chien voit ce chien que Florence voit"),
        (
            "the cow without Victor draws my beautiful red tower under the house",
            "la vache sans Victor dessine ma belle tour rouge sous la maison",
        ),
        (
            "the fox from New York knows my old blue boats",
            "le renard de New York connaît mes vieux bateaux bleus",
        ),
        ("the foxes near Geneva are from Brussels", "les renards près de Genève sont de Bruxelles"),
        ("the girls on the tower find Lucas", "les filles sur la tour trouvent Lucas"),
        ("the cat with Julie is behind the car", "le chat avec Julie est derrière la voiture"),
        ("the wolf with Thomas is sometimes proud", "le loup avec Thomas est parfois fier"),
    ],
)
def test_french(english, expected):
    assert french(english) == expected


def test_french_needs_no_other_elision():
    # "le", "la", "de", "que" and "ne" lose their vowel before another: only "ne" ever stands there.
    for pair in samples():
        for word, following in zip(pair.french, pair.french[1:], strict=False):
            if following[0] in "aeiouyhéèê":
                assert word not in ("le", "la", "de", "que", "ne", "ce", "ma"), pair.french
            else:
                assert word != "n'"
        assert ("jamais" in pair.french) == ("never" in pair.english)


# Alignments and labels


def aligned(pair):
    return [(pair.english[i], pair.french[j]) for i, j in pair.alignment]


def test_alignment_by_hand():
    pair = parse("the small black cat that the dogs near Geneva never see is often happy".split())
    assert " ".join(pair.french) == (
        "le petit chat noir que les chiens près de Genève ne voient jamais est souvent heureux"
    )
    assert " ".join(f"{i}-{j}" for i, j in pair.alignment) == (
        "0-0 1-1 2-3 3-2 4-4 5-5 6-6 7-7 7-8 8-9 9-10 9-12 10-11 11-13 12-14 13-15"
    )
    assert pair.tags == tuple("DET ADJ ADJ NOUN PRON DET NOUN ADP PROPN ADV VERB AUX ADV ADJ".split())
    assert pair.entities == ("O",) * 8 + ("B-LOC",) + ("O",) * 5
    assert (pair.clause, pair.verb) == (7, 11)


def test_words_with_two_labels():
    pair = parse("the patient that Florence Martin loves is near Florence".split())
    assert pair.entities == tuple("O O O B-PER I-PER O O O B-LOC".split())
    pair = parse("the patient patient sees that house".split())
    assert pair.tags == tuple("DET ADJ NOUN VERB DET NOUN".split())
    assert " ".join(pair.french) == "le patient patient voit cette maison"
    # The adjective moves behind its noun.
    assert pair.alignment == ((0, 0), (1, 2), (2, 1), (3, 3), (4, 4), (5, 5))
    assert parse("the dog from New York is sad".split()).entities == tuple("O O O B-LOC I-LOC O O".split())


def test_alignments_of_samples():
    # Each word's translations, learnt from the tables alone, and each position covered.
    translations = defaultdict(set)
    for words in WORDS.values():
        for word in words:
            translations[word.english] |= {f for form in word.french for f in form.split("_")}
    translations["never"] = {"ne", "n'", "jamais"}
    crossing = 0
    for pair in samples():
        assert {i for i, _ in pair.alignment} == set(range(len(pair.english)))
        # Each French word comes from one English word.
        assert sorted(j for _, j in pair.alignment) == list(range(len(pair.french)))
        assert list(pair.alignment) == sorted(pair.alignment)
        assert all(f in translations[e] for e, f in aligned(pair))
        assert len(pair.english) == len(pair.tags) == len(pair.entities)
        crossing += any(b[1] < a[1] for a, b in zip(pair.alignment, pair.alignment[1:], strict=False))
    # Neither rare nor the rule.
    assert 0.2 < crossing / len(samples()) < 0.8


def test_parse_gives_what_was_drawn():
    for pair in samples()[:1000]:
        assert parse(pair.english) == pair
        assert parse(list(pair.english)) == pair


def test_sampling_is_repeatable_and_leaves_no_trace():
    assert samples()[:20] == [sample(rng) for rng in [np.random.default_rng(0)] for _ in range(20)]
    first = next_word_probabilities(["the"])
    first["the"] = 5.0
    assert "the" not in next_word_probabilities(["the"])


# Errors


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: true_logprob(["the", "zebra"]), "the grammar has no word 'zebra', got one at position 1"),
        (lambda: parse("the cat </s>".split()), "the grammar has no word '</s>', got one at position 2"),
        (
            lambda: true_logprob("the cat is tired </s>".split()),
            "the grammar has no word '</s>', got one at position 4",
        ),
        (
            lambda: parse("the cat that the dogs sees is tired".split()),
            "no sentence of the grammar has 'sees' after 'the cat that the dogs'",
        ),
        (lambda: parse("the cat are".split()), "no sentence of the grammar has 'are' after 'the cat'"),
        (lambda: parse("The cat is tired".split()), "the grammar has no word 'The', got one at position 0"),
        (lambda: true_logprob([]), "no sentence of the grammar ends after ''"),
        (lambda: true_logprob(["the", "cat"]), "no sentence of the grammar ends after 'the cat'"),
        (
            lambda: next_word_probabilities("the cat is tired tired".split()),
            "no sentence of the grammar has 'tired' after 'the cat is tired'",
        ),
        (
            lambda: true_logprob("the cat is tired"),
            "a sentence must be a sequence of words, got the string 'the cat is tired'",
        ),
        (lambda: sample(np.random.default_rng(0), -1), "clause must be an integer in 0 .. 40, got -1"),
        (lambda: sample(np.random.default_rng(0), 41), "clause must be an integer in 0 .. 40, got 41"),
        (lambda: sample(np.random.default_rng(0), 2.0), "clause must be an integer in 0 .. 40, got 2.0"),
        (lambda: sample(np.random.default_rng(0), True), "clause must be an integer in 0 .. 40, got True"),
        (lambda: clause_probability(41), "clause must be an integer in 0 .. 40, got 41"),
        (lambda: window_accuracy(-1, 2), "window must be an integer of at least 0, got -1"),
        (lambda: window_accuracy(1, 17), "clause must be an integer in 0 .. 16, got 17"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == message
