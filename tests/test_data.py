"""The texts, the synthetic tasks, and the way from text to batches."""

import codecs
import hashlib
import itertools
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from num2words import num2words

from rnncourse.data import tales
from rnncourse.data.files import read_pairs, read_text
from rnncourse.data.memory import adding, anbn, anbncn, copy_memory, dyck, parity, recall
from rnncourse.data.numbers import LARGEST, number_pairs, write_number
from rnncourse.data.pydocs import pydocs_text
from rnncourse.data.tales import Tale, load_tales, tales_text
from rnncourse.data.text import Vocabulary, contiguous_batches
from rnncourse.data.words import JOINER, WordVocabulary, join_words, split_sentences, split_words

sizes = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)


def words(text):
    return re.findall(r"[a-z']+", text.lower())


# Tales


def test_tales_are_many_and_long_enough():
    lengths = [len(words(tale.text)) for tale in load_tales()]
    assert len(lengths) >= 150
    assert sum(lengths) >= 40_000
    assert 200 <= min(lengths) and max(lengths) <= 400


def test_tales_have_their_form():
    loaded = load_tales()
    for tale in loaded:
        assert re.fullmatch(r"[A-Z][A-Za-z ,!?'-]*", tale.title), tale.title
        assert re.fullmatch(r"(?:[A-Za-z .,!?'\"\-;:]+\n\n)+[A-Za-z .,!?'\"\-;:]+", tale.text), tale.title
        assert tale.text.count('"') % 2 == 0, tale.title
    assert len({tale.title for tale in loaded}) == len(loaded)
    assert tales_text().split("\n\n") == [p for tale in loaded for p in tale.text.split("\n\n")]
    whole = "\n\n".join(f"# {tale.title}\n\n{tale.text}" for tale in loaded) + "\n"
    assert whole.encode("ascii") == tales.PATH.read_bytes()


def test_no_sentence_of_the_tales_occurs_twice():
    where = defaultdict(list)
    for tale in load_tales():
        for sentence in re.split(r"(?<=[.!?])\"?\s+(?=[\"']?[A-Z])", tale.text):
            where[" ".join(words(sentence))].append(tale.title)
    assert {sentence: titles for sentence, titles in where.items() if len(titles) > 1} == {}


def test_tales_share_few_runs_of_six_words():
    runs = []
    for tale in load_tales():
        w = words(tale.text)
        runs.append([tuple(w[i : i + 6]) for i in range(len(w) - 5)])
    tales_with = Counter(run for tale in runs for run in set(tale))
    shared = [tales_with[run] > 1 for tale in runs for run in tale]
    assert np.mean(shared) <= 0.01


def small_tales(tmp_path, monkeypatch):
    path = tmp_path / "tales.txt"
    path.write_bytes(b"# One\n\nA cat.\n\nA # dog.\n\n# Two, too\n\nA hen.\n")
    monkeypatch.setattr(tales, "PATH", path)
    monkeypatch.setattr(tales, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_tales_are_parsed(tmp_path, monkeypatch):
    small_tales(tmp_path, monkeypatch)
    assert load_tales() == [Tale("One", "A cat.\n\nA # dog."), Tale("Two, too", "A hen.")]
    assert tales_text() == "A cat.\n\nA # dog.\n\nA hen."


def test_a_changed_file_of_tales_is_refused(tmp_path, monkeypatch):
    path = small_tales(tmp_path, monkeypatch)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(ValueError, match=r"^tales\.txt was changed: its SHA-256 is \w{64}, expected \w{64}$"):
        load_tales()


# The language reference


def test_pydocs():
    text = pydocs_text()
    assert len(text.split()) > 50_000
    # Two topics by their titles, in the order of the names "assert" and "while".
    assert 0 <= text.index('The "assert" statement') < text.index('The "while" statement')
    assert text.strip("\n") == text


# Synthetic tasks


@given(seeds, st.integers(2, 9), sizes)
def test_adding(seed, T, B):
    x, y = adding(np.random.default_rng(seed), T, B)
    assert x.shape == (T, B, 2) and y.shape == (B,)
    for b in range(B):
        first, second = np.flatnonzero(x[:, b, 1])
        assert first < T // 2 <= second
        assert x[first, b, 1] == x[second, b, 1] == 1
        assert y[b] == x[first, b, 0] + x[second, b, 0]
    assert ((0 <= x[..., 0]) & (x[..., 0] < 1)).all()


def test_adding_without_the_marks():
    x, y = adding(np.random.default_rng(0), 10, 100_000, np.float32)
    assert x.dtype == y.dtype == np.float32
    # Var(y) is 1/6; the standard error of its estimate is 0.0006.
    assert np.mean((y - 1) ** 2) == pytest.approx(1 / 6, abs=0.003)
    assert (x[..., 1].sum(axis=1) > 0).all()


@given(seeds, sizes, sizes, sizes, sizes)
def test_copy_memory(seed, lag, length, symbols, B):
    x, y = copy_memory(np.random.default_rng(seed), lag, length, symbols, B)
    blank, delimiter = symbols, symbols + 1
    for column, target in zip(x.T.tolist(), y.T.tolist(), strict=True):
        sequence = column[:length]
        assert set(sequence) <= set(range(symbols))
        assert column == sequence + [blank] * (lag - 1) + [delimiter] + [blank] * length
        assert target == [blank] * (lag + length) + sequence
        assert column.index(delimiter) + 1 == len(target) - length


def test_copy_memory_uses_every_symbol():
    x, _ = copy_memory(np.random.default_rng(0), 3, 5, 4, 50)
    assert set(x.ravel().tolist()) == {0, 1, 2, 3, 4, 5}


@given(seeds, sizes, sizes)
def test_parity(seed, T, B):
    x, y = parity(np.random.default_rng(seed), T, B)
    assert x.shape == (T, B, 1) and y.shape == (T, B) and y.dtype.kind == "i"
    state = [0] * B
    for t, b in np.ndindex(T, B):
        assert x[t, b, 0] in (0, 1)
        state[b] ^= int(x[t, b, 0])
        assert y[t, b] == state[b]


@given(seeds, sizes, st.integers(1, 6), sizes, sizes)
def test_recall(seed, lag, more, B, V):
    T = lag + more
    x, y, mask = recall(np.random.default_rng(seed), lag, T, B, V)
    assert x.shape == y.shape == mask.shape == (T, B) and mask.dtype == bool
    assert x.min() >= 0 and x.max() < V
    for t, b in np.ndindex(T, B):
        assert mask[t, b] == (t >= lag)
        assert y[t, b] == (x[t - lag, b] if t >= lag else 0)


def test_parity_and_recall_use_every_value():
    rng = np.random.default_rng(0)
    assert set(parity(rng, 9, 9, np.float32)[0].ravel().tolist()) == {0, 1}
    assert parity(rng, 2, 2, np.float32)[0].dtype == np.float32
    assert set(recall(rng, 2, 9, 9, 5)[0].ravel().tolist()) == {0, 1, 2, 3, 4}


def test_counting_languages():
    assert anbn(3) == ["ab", "aabb", "aaabbb"]
    assert anbncn(3) == ["abc", "aabbcc", "aaabbbccc"]


def depth_of(string):
    """Largest depth of a balanced string, None of any other."""
    depth, stack = 0, []
    for character in string:
        if character in "([{<":
            stack.append(character)
            depth = max(depth, len(stack))
        elif not stack or stack.pop() + character not in ("()", "[]", "{}", "<>"):
            return None
    return None if stack else depth


@given(seeds, st.integers(1, 12), sizes, st.integers(1, 4))
def test_dyck_is_balanced(seed, pairs, depth_max, kinds):
    string = dyck(np.random.default_rng(seed), pairs, depth_max, kinds)
    assert len(string) == 2 * pairs
    assert set(string) <= set("()[]{}<>"[: 2 * kinds])
    assert 1 <= depth_of(string) <= depth_max


@pytest.mark.parametrize("pairs, depth_max, kinds", [(4, 9, 1), (5, 2, 1), (3, 2, 2)])
def test_dyck_is_uniform(pairs, depth_max, kinds):
    every = map("".join, itertools.product("()[]"[: 2 * kinds], repeat=2 * pairs))
    possible = [string for string in every if (depth_of(string) or depth_max + 1) <= depth_max]
    rng = np.random.default_rng(0)
    counts = Counter(dyck(rng, pairs, depth_max, kinds) for _ in range(200 * len(possible)))
    assert set(counts) == set(possible)
    # Chi-square: its mean is the number of degrees of freedom and its variance twice that.
    chi_square = sum((count - 200) ** 2 / 200 for count in counts.values())
    freedom = len(possible) - 1
    assert abs(chi_square - freedom) < 4 * np.sqrt(2 * freedom)


def test_dyck_reaches_long_strings():
    assert depth_of(dyck(np.random.default_rng(0), 200, 10_000, 4)) > 5


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda rng: adding(rng, 1, 2), "T must be at least 2, got 1"),
        (lambda rng: adding(rng, 2, 0), "B must be an integer of at least 1, got 0"),
        (lambda rng: adding(rng, 2, 2, int), "dtype must be one of floats, got int64"),
        (lambda rng: copy_memory(rng, 0, 1, 1, 1), "lag must be an integer of at least 1, got 0"),
        (lambda rng: copy_memory(rng, 1, 1.5, 1, 1), "length must be an integer of at least 1, got 1.5"),
        (lambda rng: copy_memory(rng, 1, 1, -1, 1), "symbols must be an integer of at least 1, got -1"),
        (lambda rng: parity(rng, 0, 1), "T must be an integer of at least 1, got 0"),
        (lambda rng: recall(rng, 4, 4, 1, 2), "lag must be less than T = 4, got 4"),
        (lambda rng: recall(rng, 1, 4, 1, 0), "V must be an integer of at least 1, got 0"),
        (lambda rng: anbn(0), "n_max must be an integer of at least 1, got 0"),
        (lambda rng: anbncn(0), "n_max must be an integer of at least 1, got 0"),
        (lambda rng: dyck(rng, 0, 1), "pairs must be an integer of at least 1, got 0"),
        (lambda rng: dyck(rng, 1, 0), "depth_max must be an integer of at least 1, got 0"),
        (lambda rng: dyck(rng, 1, 1, 5), "kinds must be at most 4, got 5"),
    ],
)
def test_sizes_out_of_range(make, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make(np.random.default_rng(0))


# Text to integers


@given(st.text(min_size=1))
def test_vocabulary_round_trip(text):
    vocabulary = Vocabulary.of(text)
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text
    assert ids.shape == (len(text),) and ids.dtype.kind == "i"
    assert vocabulary.characters == "".join(sorted(set(text)))
    assert len(vocabulary) == len(set(ids.tolist())) == ids.max() + 1


def test_vocabulary_of_known_text():
    vocabulary = Vocabulary.of("hello")
    assert vocabulary.encode("hole").tolist() == [1, 3, 2, 0]
    assert vocabulary.decode([0, 1, 2, 3]) == "ehlo"
    assert vocabulary.decode(vocabulary.encode("")) == vocabulary.decode([]) == ""
    assert vocabulary == Vocabulary.of("ohell")


def test_vocabulary_errors():
    vocabulary = Vocabulary.of("hello")
    with pytest.raises(ValueError, match="^the vocabulary has no 'x', got one at position 2$"):
        vocabulary.encode("hexxy")
    with pytest.raises(ValueError, match=r"^ids must lie in 0 \.\. V - 1 = 3, got -1 \.\. 2$"):
        vocabulary.decode([2, -1])
    with pytest.raises(ValueError, match="^ids must hold integers, got dtype float64$"):
        vocabulary.decode([0.0])
    with pytest.raises(ValueError, match=r"^ids must have shape \(n,\) = \(any,\), got \(1, 1\)$"):
        vocabulary.decode([[1]])
    for characters in ["", "aba"]:
        message = f"^characters must be at least one, each once, got '{characters}'$"
        with pytest.raises(ValueError, match=message):
            Vocabulary(characters)


# Words

sentences_of_words = st.lists(
    st.lists(st.sampled_from("ant bee cow dog eel".split()), min_size=1), min_size=1
)


def test_sentences_of_a_known_text():
    text = """"Who's there?" asked Kate. "It is me!" He ran.\n\nThe end, at 3.5 well-known feet"""
    assert split_sentences(text) == [
        ["who's", "there", "asked", "kate"],
        ["it", "is", "me"],
        ["he", "ran"],
        ["the", "end", "at", "3", "5", "well", "known", "feet"],
    ]
    assert split_sentences("A cow. (B, c?)", lower=False, punctuation=True) == [
        ["A", "cow", "."],
        ["(", "B", ",", "c", "?", ")"],
    ]
    assert split_sentences(" \n\n -- ") == []


def test_sentences_hold_the_words_of_the_tales():
    expected = re.findall(r"[a-z]+(?:'[a-z]+)*", tales_text().lower())
    assert [word for sentence in split_sentences(tales_text()) for word in sentence] == expected


@given(sentences_of_words, st.randoms(use_true_random=False))
def test_the_order_of_a_corpus_does_not_change_its_vocabulary(sentences, random):
    vocabulary = WordVocabulary.of(sentences)
    shuffled = [random.sample(sentence, len(sentence)) for sentence in sentences]
    random.shuffle(shuffled)
    assert WordVocabulary.of(shuffled) == vocabulary
    assert vocabulary.counts[0] == 0 and sum(vocabulary.counts) == sum(map(len, sentences))
    for sentence in sentences:
        assert vocabulary.decode(vocabulary.encode(sentence)) == sentence


def test_word_vocabulary_of_known_sentences():
    sentences = [["b", "a", "b", "c"], ["a", "d", "<pad>"]]
    vocabulary = WordVocabulary.of(sentences, specials=("<pad>", "<unk>"), max_size=3)
    assert vocabulary.words == ("<pad>", "<unk>", "a", "b", "c")
    assert vocabulary.counts == (1, 1, 2, 2, 1)
    assert vocabulary.encode(["c", "d", "a"]).tolist() == [4, 1, 2]
    assert vocabulary.id("b") == 3 and "d" not in vocabulary
    assert WordVocabulary.of(sentences, min_count=2, specials=()).words == ("a", "b")


def test_word_vocabulary_errors():
    of = WordVocabulary.of
    for call, message in {
        lambda: of([]): "sentences must hold at least one word, got none",
        lambda: of([[]]): "sentences must hold at least one word, got none",
        lambda: of(["a b"]): "sentences must hold lists of words, got the string 'a b'",
        lambda: of([["a", "a", "b"]], min_count=3): (
            "no word occurs min_count = 3 times, the most common word occurs 2 times"
        ),
        lambda: of([["<unk>"]]): "no word occurs min_count = 1 times",
        lambda: of([["a"]], min_count=0): "min_count must be an integer of at least 1, got 0",
        lambda: of([["a"]], max_size=0): "max_size must be an integer of at least 1, got 0",
        lambda: WordVocabulary((), ()): "words must be at least one, each once, got 0",
        lambda: WordVocabulary(("a", "a"), (1, 1)): "words must be at least one, each once, got 2",
        lambda: WordVocabulary(("a",), ()): "counts must be one for each of 1 words, got 0",
        lambda: of([["queen", "hut"]]).id("quen"): "the vocabulary has no 'quen'; nearest spellings: queen",
        lambda: of([["queen"]]).id("xyz"): "the vocabulary has no 'xyz'",
        lambda: of([["a"]], specials=()).encode(["b"]): "the vocabulary has no 'b'",
        lambda: of([["a"]]).encode("a"): "sentence must be a list of words, got the string 'a'",
        lambda: of([["a"]]).decode([2]): "ids must lie in 0 .. V - 1 = 1, got 2 .. 2",
    }.items():
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            call()


# Batches


@given(sizes, sizes, st.integers(1, 5), st.data())
def test_carrying_across_batches_reproduces_the_text(B, T, batches, data):
    dropped = data.draw(st.integers(0, B * T - 1))
    text = np.arange(batches * B * T + 1 + dropped)
    pieces = list(contiguous_batches(text, B, T))
    assert len(pieces) == batches
    assert all(x.shape == y.shape == (T, B) and (y == x + 1).all() for x, y in pieces)
    # Joined in time, each column is a stream; joined in turn, the streams are the text.
    streams = np.concatenate([x for x, _ in pieces])
    assert streams.T.ravel().tolist() == list(range(batches * B * T))


def test_batches_of_a_known_text():
    vocabulary = Vocabulary.of("abcdefghi")
    (x0, y0), (x1, y1) = contiguous_batches(vocabulary.encode("abcdefghi"), 2, 2)
    assert [vocabulary.decode(column) for column in x0.T] == ["ab", "ef"]
    assert [vocabulary.decode(column) for column in y0.T] == ["bc", "fg"]
    assert [vocabulary.decode(column) for column in x1.T] == ["cd", "gh"]
    assert [vocabulary.decode(column) for column in y1.T] == ["de", "hi"]


@pytest.mark.parametrize("B, T", [(1, 3), (3, 1), (2, 2)])
def test_batches_do_not_share_memory_with_the_text(B, T):
    ids = np.arange(13)
    for x, y in contiguous_batches(ids, B, T):
        assert not np.shares_memory(x, ids) and not np.shares_memory(y, ids)


def test_batches_of_too_short_a_text():
    message = r"^ids must have at least B T \+ 1 = 13 elements for one batch, got {}$"
    assert len(list(contiguous_batches(np.arange(13), 4, 3))) == 1
    for n in (12, 0):
        # The error comes with the call, before the first batch is asked for.
        with pytest.raises(ValueError, match=message.format(n)):
            contiguous_batches(np.arange(n), 4, 3)
    with pytest.raises(ValueError, match="^B must be an integer of at least 1, got 0$"):
        contiguous_batches(np.arange(9), 0, 3)
    with pytest.raises(ValueError, match=r"^ids must have shape \(n,\) = \(any,\), got \(3, 3\)$"):
        contiguous_batches(np.zeros((3, 3), int), 1, 1)


# Files


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_read_text(tmp_path, end, mark):
    path = tmp_path / "a.txt"
    path.write_bytes(mark + f"Zoë{end}{end}naïve 日本{end}".encode())
    assert read_text(path) == read_text(str(path)) == "Zoë\n\nnaïve 日本\n"


def test_read_text_of_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^there is no file .*none\.txt$"):
        read_text(tmp_path / "none.txt")
    with pytest.raises(
        IsADirectoryError, match=f"^{re.escape(str(tmp_path))} is a directory, not a text file$"
    ):
        read_text(tmp_path)


@pytest.mark.parametrize("content", [b"", codecs.BOM_UTF8, b" \r\n\n"])
def test_read_text_of_an_empty_file(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.txt is empty or blank$"):
        read_text(tmp_path / "a.txt")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_read_text_in_another_encoding(tmp_path, end, mark):
    (tmp_path / "a.txt").write_bytes(mark + end.join([b"one", b"two", "naïve".encode("latin-1"), b"\xff"]))
    with pytest.raises(ValueError, match=r"a\.txt is not UTF-8: line 3 has the byte 0xef$"):
        read_text(tmp_path / "a.txt")


# Sentences


@pytest.mark.parametrize(
    "sentence, words",
    [
        ("Go on.", "Go on ￭."),
        ('"Go!" he said.', '"￭ Go ￭! ￭" he said ￭.'),
        ("well-known", "well ￭-￭ known"),
        ("Allez -y , n'est-ce pas ?", "Allez -￭ y , n'est ￭-￭ ce pas ?"),
        ("n' aime", "n ￭' aime"),
        ("(a)(b) ...", "(￭ a ￭) ￭(￭ b ￭) . ￭. ￭."),
        ("", ""),
    ],
)
def test_words_and_marks_of_a_sentence(sentence, words):
    assert split_words(sentence) == words.split()
    assert join_words(split_words(sentence)) == sentence


@given(st.text(st.characters(exclude_characters=JOINER)))
def test_a_sentence_comes_back_but_for_its_blanks(sentence):
    assert join_words(split_words(sentence)) == " ".join(sentence.split())


def test_pairs_of_a_file(tmp_path):
    (tmp_path / "a.tsv").write_text("Go.\tVa !\tCC-BY\n\n  Hi \t Salut\r\n", encoding="utf8")
    assert read_pairs(tmp_path / "a.tsv") == [("Go.", "Va !"), ("Hi", "Salut")]


# Numbers

ENGLISH = {
    word: n
    for n, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen".split()
    )
}
ENGLISH |= {
    word: 10 * n for n, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
}
GERMAN = {
    word: n
    for n, word in enumerate(
        "null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn "
        "sechzehn siebzehn achtzehn neunzehn".split()
    )
}
GERMAN |= {
    word: 10 * n
    for n, word in enumerate("zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split(), 2)
}
GERMAN["eins"] = 1


def value(words, small, hundred, thousand):
    """Value of number words: below a hundred all add, a hundred multiplies, a thousand closes the group."""
    total = group = 0
    for word in words:
        if word == thousand:
            total, group = 1000 * group, 0
        elif word == hundred:
            group *= 100
        elif word not in ("and", "und"):
            group += small[word]
    return total + group


SOME_NUMBERS = [*range(1200), *range(1200, LARGEST, 1237), 21_021, 100_000, 101_001, 200_000, LARGEST]


def test_written_numbers_have_their_value():
    for n in SOME_NUMBERS:
        assert value(write_number(n, "english"), ENGLISH, "hundred", "thousand") == n
        assert value(write_number(n, "german"), GERMAN, "hundert", "tausend") == n
        assert int("".join(write_number(n, "digits"))) == n


def test_german_parts_make_the_german_word():
    for n in SOME_NUMBERS:
        assert "".join(write_number(n, "german")) == num2words(n, lang="de")


def test_there_are_so_many_number_words():
    def vocabulary(form):
        return {word for n in SOME_NUMBERS for word in write_number(n, form)}

    assert vocabulary("digits") == set("0123456789")
    assert vocabulary("english") == {*ENGLISH, "and", "hundred", "thousand"} and len(ENGLISH) + 3 == 31
    assert vocabulary("german") == {*GERMAN, "und", "hundert", "tausend"} and len(GERMAN) + 3 == 32


@pytest.mark.parametrize(
    "number, english, german",
    [
        (0, "zero", "null"),
        (1, "one", "eins"),
        (16, "sixteen", "sechzehn"),
        (21, "twenty one", "ein und zwanzig"),
        (77, "seventy seven", "sieben und siebzig"),
        (101, "one hundred and one", "ein hundert eins"),
        (21_030, "twenty one thousand and thirty", "ein und zwanzig tausend dreißig"),
    ],
)
def test_number_in_words(number, english, german):
    assert write_number(number, "english") == tuple(english.split())
    assert write_number(number, "german") == tuple(german.split())


def test_number_pairs():
    pairs = number_pairs(np.random.default_rng(3), 50, source="german", target="digits", low=30, high=90)
    numbers = [int("".join(digits)) for _, digits in pairs]
    assert len(set(numbers)) == 50 and min(numbers) >= 30 and max(numbers) <= 90
    assert numbers != sorted(numbers)
    assert [german for german, _ in pairs] == [write_number(n, "german") for n in numbers]
    again = number_pairs(np.random.default_rng(3), 50, source="german", target="digits", low=30, high=90)
    assert again == pairs
    everything = number_pairs(np.random.default_rng(0), 10, source="digits", low=0, high=9)
    assert sorted(everything) == [((str(n),), write_number(n, "german")) for n in range(10)]


def test_number_pairs_are_drawn_evenly():
    pairs = number_pairs(np.random.default_rng(0), 400, target="digits")
    mean = np.mean([int("".join(digits)) for _, digits in pairs])
    # The mean of 400 numbers has the standard deviation 1,000,000 / sqrt(12) / 20 = 14,434.
    assert abs(mean - LARGEST / 2) < 4 * 14_434


@pytest.mark.parametrize(
    "change, message",
    [
        ({"count": 0}, "count must be an integer of at least 1, got 0"),
        ({"count": 12}, "low .. high must hold count = 12 numbers, got 11: 10 .. 20"),
        ({"low": 30}, "low .. high must hold count = 5 numbers, got 0: 30 .. 20"),
        ({"low": -1}, "low must be an integer in 0 .. 999999, got -1"),
        ({"low": 1.5}, "low must be an integer in 0 .. 999999, got 1.5"),
        ({"high": 1_000_000}, "high must be an integer in 0 .. 999999, got 1000000"),
        ({"target": "french"}, "target must be one of 'digits', 'english', 'german', got 'french'"),
        ({"source": "french"}, "source must be one of 'digits', 'english', 'german', got 'french'"),
    ],
)
def test_number_pairs_refuse(change, message):
    arguments = {"count": 5, "low": 10, "high": 20} | change
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        number_pairs(np.random.default_rng(0), **arguments)
