"""`rnncourse translate`: resuming to the bit, kills, two processes, translations by hand, messages."""

import errno
import itertools
import signal
import sys
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from runs import assert_same_run, in_two_processes, killed_by_the_clock, killed_in_the_program

from rnncourse.cli import main
from rnncourse.data.numbers import number_pairs
from rnncourse.data.pairs import END, SPECIALS, START
from rnncourse.seq2seq.training import (
    KIND,
    Settings,
    build_model,
    count_exact,
    join,
    load_run,
    load_translator,
    split_pairs,
    tokenise,
    translate,
)
from rnncourse.training.numpy import bucket_batches

SMALL = ["--hidden", "12", "--batch", "7", "--every", "3", "--target-level", "char", "--device", "cpu"]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_pairs(path, pairs):
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), encoding="utf8")
    return path


def numbers(count, high, seed=0):
    """Numbers in English words and in digits."""
    drawn = number_pairs(np.random.default_rng(seed), count, target="digits", high=high)
    return [(" ".join(words), "".join(digits)) for words, digits in drawn]


@pytest.fixture
def pairs(tmp_path):
    """40 pairs, of which 36 are trained on: five batches of seven, and one of a single pair."""
    return write_pairs(tmp_path / "pairs.tsv", numbers(40, 999))


def command(*arguments, code=0, input=None):
    result = CliRunner().invoke(main, ["translate", *map(str, arguments)], input=input)
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def train(*arguments, code=0):
    return command("train", *arguments, code=code).output


def steps_of(path):
    return len(load_run(path)["history"]["loss"])


# Sentences and pairs.


def test_tokens():
    assert tokenise("Go to 21!", "word") == ["Go", "to", "21", "￭!"]
    assert tokenise("Go!", "char") == ["G", "o", "!"]
    for level in ("word", "char"):
        assert join(tokenise('"Go!", he said.', level), level) == '"Go!", he said.'
    with pytest.raises(ValueError, match="level must be one of 'word', 'char', got 'byte'"):
        tokenise("x", "byte")


def test_no_source_is_in_both_parts():
    pairs = numbers(30, 99) + [(source, "again") for source, _ in numbers(30, 99)]
    train, held_out = split_pairs(pairs, Settings(held_out=0.2, target_level="char"))
    parts = [set(data.source) for data in (train, held_out)]
    assert [len(part) for part in parts] == [24, 6] and not parts[0] & parts[1]
    found = [
        (" ".join(source), "".join(target))
        for data in (train, held_out)
        for source, target in zip(*data[:2], strict=True)
    ]
    assert sorted(found) == sorted(pairs)
    # The vocabularies are those of the part trained on, its words at least twice.
    words = {w for source in train.source for w in source if sum(s.count(w) for s in train.source) > 1}
    assert {*train.source_vocabulary.words} == {*SPECIALS, *words}
    assert held_out.source_vocabulary is train.source_vocabulary
    again = split_pairs(pairs, Settings(held_out=0.2, target_level="char"))
    assert again[1].source == held_out.source
    other = split_pairs(pairs, Settings(held_out=0.2, target_level="char", seed=1))
    assert other[1].source != held_out.source


# Training and resuming.


def test_the_losses_are_those_of_a_loop_over_single_pairs(pairs, tmp_path):
    train(pairs, *SMALL, "--steps", "5", "--reverse", "--held-out", "0.3", "--out", tmp_path / "out")
    run = load_run(tmp_path / "out" / "checkpoint.pt")
    settings = Settings(target_level="char", hidden=12, batch=7, reverse=True, held_out=0.3)
    assert run["settings"] == settings
    rows = [line.split("\t") for line in pairs.read_text("utf8").splitlines()]
    data, held_out = split_pairs(rows, settings)

    def ids(words, side):
        known = run[f"{side}_words"]
        return [known.index(word if word in known else "<unk>") for word in words]

    def losses(model, data, indices):
        """-ln P of each target token, pair by pair, without padding."""
        for i in indices:
            source = torch.tensor(ids(data.source[i][::-1], "source"))[:, None]
            target = ids(data.target[i], "target")
            read = torch.tensor([START, *target])[:, None]
            logits = model(source, torch.tensor([len(source)]), read)[:, 0]
            yield -logits.log_softmax(-1)[range(len(read)), [*target, END]]

    torch.manual_seed(0)
    model = build_model(settings, len(run["source_words"]), len(run["target_words"]))
    optimiser = torch.optim.Adam(model.parameters(), 0.002)
    lengths = [len(target) + 1 for target in data.target]
    batches = [
        b for epoch in range(2) for b in bucket_batches(lengths, 7, np.random.default_rng((0, epoch)), 50)
    ]
    found, evaluation = [], []
    for k, batch in enumerate(batches[:5]):
        if k % 3 == 0:
            with torch.no_grad():
                evaluation.append(torch.cat([*losses(model, held_out, range(len(held_out.source)))]).mean())
        loss = torch.cat([*losses(model, data, batch)]).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        found.append(loss.item())
    assert len(data.source) == 28
    assert found == pytest.approx(run["history"]["loss"].tolist(), rel=1e-5)
    assert evaluation == pytest.approx(run["history"]["evaluation"].tolist()[:2], rel=1e-5)


def resumes_to_the_bit(pairs, folder, device):
    """12 steps at once, and as 6 and 6: the second epoch begins after step 6."""
    options = [*SMALL, "--attention", "dot", "--device", device]
    whole, parts = folder / f"whole-{device}", folder / f"parts-{device}"
    train(pairs, *options, "--steps", "12", "--out", whole)
    train(pairs, *options, "--steps", "6", "--out", parts)
    # Its settings come from the checkpoint.
    train(pairs, "--resume", "--steps", "12", "--every", "3", "--device", device, "--out", parts)
    run = load_run(parts / "checkpoint.pt")
    assert run["history"]["evaluated"].tolist() == [0, 3, 6, 9, 12]
    assert run["history"]["loss"][-3:].mean() < run["history"]["loss"][:3].mean()
    assert_same_run(KIND, whole / "checkpoint.pt", parts / "checkpoint.pt")


def test_a_resumed_run_is_the_same_to_the_bit(pairs, tmp_path):
    resumes_to_the_bit(pairs, tmp_path, "cpu")


@pytest.mark.gpu
def test_a_resumed_run_is_the_same_to_the_bit_on_the_gpu(pairs, tmp_path):
    resumes_to_the_bit(pairs, tmp_path, "cuda")
    found = command("run", tmp_path / "whole-cuda", "--device", "cuda", input="one hundred\n").stdout
    assert found.count("\n") == 1


def test_a_run_of_epochs(pairs, tmp_path):
    train(pairs, *SMALL, "--epochs", "2", "--out", tmp_path / "out")
    assert steps_of(tmp_path / "out" / "checkpoint.pt") == 2 * 6


@pytest.mark.parametrize("kill", [killed_in_the_program, killed_by_the_clock])
def test_a_run_killed_ten_times_goes_on_to_the_bit(pairs, tmp_path, kill):
    path = tmp_path / "killed" / "checkpoint.pt"
    options = ["train", pairs, *SMALL, "--out"]
    places = kill(["translate", *options, path.parent, "--steps", "9999"], path, seed=1)
    if kill is killed_in_the_program:
        assert 2 <= sum("an update" in place for place in places) <= 8
        assert "writing: half of the file" in places
    end = steps_of(path) + 10
    command(*options, path.parent, "--resume", "--steps", end)
    command(*options, tmp_path / "whole", "--steps", end)
    assert_same_run(KIND, path, tmp_path / "whole" / "checkpoint.pt")


def test_ctrl_c_loses_the_last_interval_alone(pairs, tmp_path, monkeypatch):
    """SIGINT in the middle of step 5."""
    step, calls = torch.optim.Adam.step, itertools.count(1)

    def interrupted(*arguments):
        if next(calls) == 5:
            signal.raise_signal(signal.SIGINT)
        return step(*arguments)

    path = tmp_path / "out" / "checkpoint.pt"
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", interrupted)
        output = train(pairs, *SMALL, "--steps", "9", "--out", path.parent, code=130)
    signal.signal(signal.SIGINT, handler)
    assert f"Error: stopped after 4 steps; {path} has 3 of them: go on with --resume\n" in output
    assert steps_of(path) == 3


def test_two_processes_do_what_one_does(pairs, tmp_path):
    options = ["train", pairs, *SMALL, "--attention", "general", "--steps"]
    command(*options, "12", "--out", tmp_path / "one")
    said = in_two_processes(["translate", *options, "12", "--out", tmp_path / "two"], tmp_path)
    assert said.count("step 12:") == 1 and said.count("held-out sources") == 1
    # 36 pairs in batches of seven: of the last, a single pair, one process has nothing.
    one, two = (load_run(tmp_path / folder / "checkpoint.pt") for folder in ("one", "two"))
    for name in ("loss", "gradient_norm", "evaluated", "evaluation"):
        torch.testing.assert_close(two["history"][name], one["history"][name], rtol=1e-5, atol=0)
    for name, weight in one["model"].items():
        torch.testing.assert_close(two["model"][name], weight, rtol=1e-4, atol=1e-6)
    # And stopped in between.
    in_two_processes(["translate", *options, "6", "--out", tmp_path / "parts"], tmp_path)
    in_two_processes(["translate", *options, "12", "--resume", "--out", tmp_path / "parts"], tmp_path)
    assert_same_run(KIND, *(tmp_path / folder / "checkpoint.pt" for folder in ("two", "parts")))


# Translating.


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A run from words to digits, which learns something, and one from digits to words, with their pairs."""
    folder = tmp_path_factory.mktemp("models")
    write_pairs(folder / "pairs.tsv", numbers(300, 999))
    write_pairs(folder / "swapped.tsv", [pair[::-1] for pair in numbers(300, 999)])
    learning = ["--hidden", "32", "--steps", "110", "--lr", "0.01", "--device", "cpu"]
    attending = ["--target-level", "char", "--attention", "additive", "--out", folder / "char"]
    train(folder / "pairs.tsv", *learning, *attending)
    words = ["--source-level", "char", "--cell", "lstm", "--out", folder / "word"]
    train(folder / "swapped.tsv", *learning, "--steps", "3", *words)
    return folder


def by_hand(translator, sentence, most):
    """Ids of one translation, a token at a time."""
    model, known, _, settings, _ = translator
    ids = [known.words.index(t if t in known else "<unk>") for t in tokenise(sentence, settings.source_level)]
    _, state = model.encode(torch.tensor(ids)[:, None], torch.tensor([len(ids)]))
    found = [START]
    while len(found) <= most and found[-1] != END:
        logits, state = model.step(torch.tensor(found[-1:]), state)
        found.append(int(logits[0].argmax()))
    return found[1:]


@torch.no_grad()
@pytest.mark.parametrize(
    "run, sentences, unknown",
    [
        ("char", ["nine hundred and two", "blah twenty blah-blah two", "", "  six  "], "blah blah - blah"),
        ("word", ["902", "x20-2", "", "  6  "], "x -"),
    ],
)
def test_translations_by_hand(models, run, sentences, unknown):
    translator = load_translator(models / run / "checkpoint.pt")
    for most in (2, 6):
        found = translate(translator, sentences, most)
        for sentence, translation in zip(sentences, found, strict=True):
            if not sentence:
                assert translation == ("", (), False)
                continue
            ids = by_hand(translator, sentence.strip(), most)
            assert translation.cut == (END not in ids)
            words = translator.target_vocabulary.decode([i for i in ids if i != END])
            assert translation.text == join(words, run)
    assert [translation.unknown for translation in found] == [(), tuple(unknown.split()), (), ()]
    assert translate(translator, ["", " "]) == [("", (), False)] * 2


@torch.no_grad()
def by_enumeration(translator, sentence, most, alpha):
    """The best of all translations, each scored a token at a time: (text, whether it ended)."""
    model, known, vocabulary, settings, _ = translator
    ids = [known.words.index(t if t in known else "<unk>") for t in tokenise(sentence, settings.source_level)]
    _, start = model.encode(torch.tensor(ids)[:, None], torch.tensor([len(ids)]))
    best, beginnings = (-np.inf, None), [((), 0.0, start)]
    for length in range(1, most + 1):
        longer = []
        for tokens, logp, state in beginnings:
            logits, after = model.step(torch.tensor([tokens[-1] if tokens else START]), state)
            for i, gain in enumerate(logits[0].double().log_softmax(-1).tolist()):
                longer.append(((*tokens, i), logp + gain, after))
        complete = [item for item in longer if item[0][-1] == END or length == most]
        best = max(best, *((logp / length**alpha, tokens) for tokens, logp, _ in complete))
        beginnings = [item for item in longer if item[0][-1] != END]
    words = vocabulary.decode([i for i in best[1] if i != END])
    return join(words, settings.target_level), END in best[1]


@pytest.mark.parametrize("run, sentence", [("char", "three hundred and two"), ("word", "902")])
def test_a_wide_beam_finds_the_best_of_all(models, run, sentence):
    translator = load_translator(models / run / "checkpoint.pt")
    # A beam that holds all beginnings of the length before the last.
    most = 3 if run == "char" else 2
    width = len(translator.target_vocabulary) ** (most - 1)
    for alpha in (0.0, 1.0):
        (found,) = translate(translator, [sentence], most, width, alpha)
        assert (found.text, not found.cut) == by_enumeration(translator, sentence, most, alpha)


def test_a_beam_from_the_command_line(models):
    lines = [digits for _, digits in numbers(80, 999, seed=5)]
    options = ["run", models / "word", "--max-length", "9"]
    wide = command(*options, "--beam", "4", "--alpha", "0.6", input="\n".join(lines)).stdout
    translator = load_translator(models / "word" / "checkpoint.pt")
    assert wide == "".join(f"{translate(translator, [line], 9, 4, 0.6)[0].text}\n" for line in lines)
    assert wide != command(*options, input="\n".join(lines)).stdout
    with pytest.raises(ValueError, match="beam must be an integer of at least 1, got 0"):
        translate(translator, lines, beam=0)


def test_exact_translations_by_hand(models):
    translator = load_translator(models / "char" / "checkpoint.pt")
    pairs = [line.split("\t") for line in (models / "pairs.tsv").read_text("utf8").splitlines()]
    _, held_out = split_pairs(pairs, translator.settings)
    sources = [" ".join(words) for words in held_out.source]
    right = [translate(translator, [source])[0].text == dict(pairs)[source] for source in sources]
    assert 3 <= sum(right) < len(right) == 30, "the example is too easy or too hard"
    assert count_exact(translator, pairs) == (sum(right), 30)
    assert count_exact(translator, pairs, most=4, B=3) == (sum(right[:4]), 4)
    # Any of several translations is right, and the source counts once.
    several = pairs + [(source, "another") for source in sources]
    assert count_exact(translator, several) == (sum(right), 30)


def test_lines_are_translated_in_their_order(models, tmp_path):
    lines = [source for source, _ in numbers(150, 999, seed=5)]
    lines[70:72] = ["", "two blah three"]
    (tmp_path / "lines.txt").write_text("\ufeff" + "\r\n".join(lines), encoding="utf8")
    result = command("run", models / "char", tmp_path / "lines.txt", "--max-length", "9")
    translator = load_translator(models / "char" / "checkpoint.pt")
    singly = [translate(translator, [line], 9)[0] for line in lines]
    assert result.stdout == "".join(f"{translation.text}\n" for translation in singly)
    said = result.stderr.splitlines()
    assert "line 72: unknown, read as <unk>: blah" in said
    cut = [f"line {i}: cut off after 9 tokens, see --max-length" for i, t in enumerate(singly, 1) if t.cut]
    assert [line for line in said if "cut off" in line] == cut
    piped = command("run", models / "char", "--max-length", "9", input="\n".join(lines))
    assert piped.stdout == result.stdout and piped.stderr == result.stderr
    assert command("run", models / "char", "-", input="").output == ""


def test_an_unknown_word_is_named_once(models):
    said = command("run", models / "char", input="blah two\nblah three\nfoo blah\n").stderr
    assert [line for line in said.splitlines() if "unknown" in line] == [
        "line 1: unknown, read as <unk>: blah",
        "line 3: unknown, read as <unk>: foo",
    ]


# Messages: one sentence, exit code 2.


def error(*arguments, input=None):
    output = command(*arguments, code=2, input=input).output
    assert output.count("Error: ") == 1
    return output.split("Error: ")[1].removesuffix("\n")


@pytest.mark.parametrize(
    "data, message",
    [
        (None, "there is no file {path}"),
        (b"", "{path} is empty or blank"),
        (b"a\tb\n\nno tab here\n", "{path}, line 3: expected source, tab, target, got no tab: 'no tab here'"),
        (b"a\tb\n\tc\n", "{path}, line 2: the source is empty: '\\tc'"),
        (b"a\tb\nc\t \tx\n", "{path}, line 2: the target is empty: 'c\\t \\tx'"),
        (b"a\tb\nc\t\xe9\n", "{path} is not UTF-8: line 2 has the byte 0xe9"),
        (
            b"a\tb\na\tc\nd\te\n",
            "there are too few pairs: of 2 different sources, 0 are held out and 2 trained on",
        ),
        (
            b"".join(b"%d\t%d\n" % (i, i) for i in range(20)),
            "no word of the sources occurs twice, as a word must to be learnt: "
            "more pairs or level char may help",
        ),
    ],
)
def test_files_that_cannot_be_trained_on(tmp_path, data, message):
    path = tmp_path / "pairs.tsv"
    if data is not None:
        path.write_bytes(data)
    found = error("train", path, *SMALL, "--out", tmp_path / "out")
    assert found == message.format(path=path)


def test_a_third_field_is_left_out(tmp_path):
    lines = [f"{source}\t{target}\tfrom somewhere" for source, target in numbers(40, 999)]
    (tmp_path / "three.tsv").write_text("\n".join(lines))
    train(tmp_path / "three.tsv", *SMALL, "--steps", "1", "--out", tmp_path / "three")
    train(
        write_pairs(tmp_path / "two.tsv", numbers(40, 999)), *SMALL, "--steps", "1", "--out", tmp_path / "two"
    )
    assert_same_run(KIND, *(tmp_path / folder / "checkpoint.pt" for folder in ("three", "two")))


def test_runs_that_cannot_be_resumed(pairs, tmp_path):
    options = ["train", pairs, *SMALL, "--out", tmp_path / "out"]
    path = tmp_path / "out" / "checkpoint.pt"
    assert error(*options, "--resume") == f"there is no checkpoint {path}"
    command(*options, "--steps", "3")
    assert error(*options) == f"{path} exists: go on with --resume, or take another --out"
    changed = error(*options, "--resume", "--source-level", "char")
    assert changed == f"--source-level is char, but the run in {path} has word"
    assert (
        error(*options, "--resume", "--steps", "2")
        == f"{path} has 3 steps already, more than the 2 asked for"
    )
    write_pairs(pairs, numbers(40, 999, seed=1))
    other = error(*options, "--resume")
    assert other == f"{path} is of other pairs: it goes on with those it was started with"
    lm = tmp_path / "lm"
    (tmp_path / "text.txt").write_text("abcdefgh " * 30)
    small = ["--hidden", "4", "--batch", "2", "--window", "5", "--steps", "1", "--out", str(lm)]
    CliRunner().invoke(main, ["lm", "train", str(tmp_path / "text.txt"), *small])
    assert error("run", lm, input="x") == f"{lm / 'checkpoint.pt'} is no checkpoint of {KIND}"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--attention", "dot", "--cell", "lstm"], "attention is for the cell 'gru', got 'lstm'"),
        (["--steps", "3", "--epochs", "1"], "--steps and --epochs both say how long the run is: give one"),
        (["--hidden", "10000000", "--embedding", "1"], "out of memory: take a smaller --hidden or --batch"),
        (["--device", "tpu"], "unknown device 'tpu': it is cpu, cuda or, for the second GPU, cuda:1"),
        (["--held-out", "1"], "Invalid value for '--held-out': 1.0 is not in the range 0<x<1."),
    ],
)
def test_options_that_do_not_fit(pairs, tmp_path, arguments, message):
    assert error("train", pairs, *SMALL, "--out", tmp_path / "out", *arguments) == message


def test_input_that_cannot_be_translated(models, tmp_path):
    assert error("run", models / "absent", input="x") == f"there is no checkpoint {models / 'absent'}"
    path = tmp_path / "lines.txt"
    assert error("run", models / "char", path) == f"{path}: No such file or directory"
    path.write_bytes(b"one\ntwo \xff\n")
    assert error("run", models / "char", path).endswith(f"{path} is not UTF-8: line 2 has the byte 0xff")
    needs = "--alpha compares translations of a beam: it needs --beam of 2 or more"
    assert error("run", models / "char", "--alpha", "1", input="x") == needs
    piped = error("run", models / "char", input=b"\xff")
    assert piped == "the input is not UTF-8: line 1 has the byte 0xff"


def test_the_end_of_a_reader_is_no_error(models, monkeypatch):
    def closed(*_, **__):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(click, "echo", closed)
    assert command("run", models / "char", input="one", code=1).output == ""


def test_without_torch_the_command_says_what_to_install(pairs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "rnncourse.seq2seq.training")
    message = "this command needs PyTorch: pip install rnncourse[torch]"
    assert error("train", pairs, "--out", tmp_path / "out") == message


def test_every_option_has_its_place_in_the_settings():
    context = main.commands["translate"].commands["train"].make_context("train", ["pairs.tsv"])
    assert {name: context.params[name] for name in Settings._fields} == Settings()._asdict()


def test_the_readme_has_the_two_commands():
    text = (Path(__file__).parent.parent / "README.md").read_text("utf8")
    for words in ("rnncourse translate train", "rnncourse translate run"):
        assert words in text
