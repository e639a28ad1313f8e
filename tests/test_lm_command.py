"""`rnncourse lm`: resuming to the bit, kills, several processes, sampling and scoring by hand, messages."""

import io
import itertools
import math
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from runs import (
    assert_same_run,
    flat,
    in_two_processes,
    killed_by_the_clock,
    killed_in_the_program,
)

from rnncourse._commands import Fault, find_device, one_sentence
from rnncourse.cli import main
from rnncourse.data.tales import tales_text
from rnncourse.data.words import WordVocabulary
from rnncourse.language_model.numpy import lm_forward, lm_init, lm_loss
from rnncourse.language_model.numpy import sampling_probabilities as numpy_probabilities
from rnncourse.language_model.torch import CELLS, LanguageModel, sample, sampling_probabilities
from rnncourse.language_model.training import (
    KIND,
    Score,
    Settings,
    TextModel,
    build_model,
    join,
    load_model,
    load_run,
    sample_text,
    score_text,
    token_losses,
    tokenise,
)
from rnncourse.testing import check_parity
from rnncourse.training.checkpoint import load_checkpoint, random_state, save_checkpoint, set_random_state
from rnncourse.training.distributed import Processes, processes

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
SMALL = ["--hidden", "12", "--batch", "4", "--window", "8", "--every", "5", "--device", "cpu"]
V, E, H, T, B, LAYERS = 7, 5, 6, 8, 3, 2


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def sigint():
    """Python's own answer to Ctrl-C, which a shell's background job or nohup switches off."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(tales_text()[:4000], encoding="utf8")
    return path


def lm(*arguments, code=0):
    result = CliRunner().invoke(main, ["lm", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


# The model.


@pytest.mark.parametrize("cell", CELLS)
def test_the_model_is_a_stack_of_torch_layers_and_carries_its_state(cell):
    torch.manual_seed(0)
    model = LanguageModel(V, E, H, cell, LAYERS, dtype=torch.float64)
    stack = CELLS[cell](E, H, LAYERS, dtype=torch.float64)
    state_dict = {
        name.replace("l0", f"l{i}"): p
        for i, layer in enumerate(model.rnn)
        for name, p in layer.state_dict().items()
    }
    stack.load_state_dict(state_dict)
    ids = torch.randint(V, (T, B))
    logits, state = model(ids)
    output, expected = stack(model.embedding(ids))
    torch.testing.assert_close(logits, model.output(output))
    torch.testing.assert_close(state, expected)
    first, between = model(ids[:3])
    second, after = model(ids[3:], between)
    torch.testing.assert_close(torch.cat([first, second]), logits)
    torch.testing.assert_close(after, state)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_model_loss_and_gradient_equal_the_numpy_half(cell, tied):
    rng = np.random.default_rng(0)
    params = lm_init(rng, V, H if tied else E, H, cell, tied)
    bias = rng.normal(size=V)
    params = params._replace(output=bias if tied else params.output._replace(bias=bias))
    model = LanguageModel(V, H if tied else E, H, cell, tied=tied, dtype=torch.float64)
    state_dict = {
        "embedding.weight": params.embedding,
        **{f"rnn.0.{name}_l0": part for name, part in params.cell._asdict().items()},
        "output.weight": params.embedding if tied else params.output.weight,
        "output.bias": bias,
    }
    model.load_state_dict({name: torch.tensor(part) for name, part in state_dict.items()})
    ids = rng.integers(0, V, (T + 1, B))
    start = tuple(rng.normal(size=(B, H)) for _ in range(2 if cell == "lstm" else 1))
    state = tuple(torch.tensor(part)[None] for part in start)
    if cell != "lstm":
        (start,), (state,) = start, state
    logits, after = model(torch.tensor(ids[:-1]), state)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(ids[1:]).flatten())
    loss.backward()
    expected_loss, expected_after, gradient = lm_loss(ids[:-1], ids[1:], start, params)
    expected, _, _ = lm_forward(ids[:-1], start, params)
    parts = after if cell == "lstm" else (after,)
    found = {
        "loss": loss.detach(),
        "logits": logits.detach(),
        "embedding": model.embedding.weight.grad,
        "bias": model.output.bias.grad,
        **{name: getattr(model.rnn[0], f"{name}_l0").grad for name in params.cell._fields},
        **{f"state {i}": part[0].detach() for i, part in enumerate(parts)},
    }
    wanted = {
        "loss": expected_loss,
        "logits": expected,
        "embedding": gradient.embedding,
        "bias": gradient.output if tied else gradient.output.bias,
        **gradient.cell._asdict(),
        **{
            f"state {i}": part
            for i, part in enumerate(expected_after if cell == "lstm" else (expected_after,))
        },
    }
    if not tied:
        found["weight"], wanted["weight"] = model.output.weight.grad, gradient.output.weight
    check_parity(found, wanted, 1e-10)


def test_tied_weights_are_one_parameter():
    model = LanguageModel(V, H, H, tied=True)
    assert model.embedding.weight is model.output.weight
    untied = LanguageModel(V, H, H)
    count = [sum(p.numel() for p in m.parameters()) for m in (untied, model)]
    assert count[0] - count[1] == V * H


def test_dropout_acts_in_training_alone_and_never_on_the_carried_state():
    torch.manual_seed(0)
    model = LanguageModel(V, E, H, layers=1, dropout=0.9)
    ids = torch.randint(V, (1, B))
    assert not torch.equal(model(ids)[0], model(ids)[0])
    assert all((part != 0).all() for part in model(ids)[1])
    model.eval()
    assert torch.equal(model(ids)[0], model(ids)[0])


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"V": 0}, "V must be an integer of at least 1, got 0"),
        ({"layers": 1.5}, "layers must be an integer of at least 1, got 1.5"),
        ({"cell": "elman"}, "cell must be one of 'rnn', 'gru', 'lstm', got 'elman'"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ({"tied": True}, "tied needs E = H, one table for both ends, got E = 5 and H = 6"),
    ],
)
def test_settings_of_the_model_out_of_range(wrong, message):
    with pytest.raises(ValueError, match=message):
        LanguageModel(**{"V": V, "E": E, "H": H} | wrong)


def test_input_of_the_model_that_does_not_fit():
    model, ids = LanguageModel(V, E, H), torch.zeros(T, B, dtype=torch.long)
    for wrong, message in [
        (ids[0], r"ids must have shape \(T, B\) = \(any, any\), got \(3,\)"),
        (ids[:0], r"ids must have shape \(T, B\) with no size 0, got \(0, 3\)"),
        (ids.float(), "ids must hold integers, got dtype torch.float32"),
        (ids + V, r"ids must lie in 0 .. V - 1 = 6, got 7 .. 7"),
    ]:
        with pytest.raises(ValueError, match=message):
            model(wrong)
    _, state = model(ids)
    with pytest.raises(
        ValueError, match=r"h_0 must have shape \(layers, B, H\) = \(1, 2, 6\), got \(1, 3, 6\)"
    ):
        model(ids[:, :2], state)


# Sampling.


def by_hand(logits, temperature, top_k, nucleus):
    """Probabilities of one row: a sorted list, cut step by step."""
    weights = {i: math.exp((x - max(logits)) / temperature) for i, x in enumerate(logits)}
    ranked = sorted(weights, key=lambda i: (-weights[i], i))[: top_k or len(logits)]
    total = sum(weights[i] for i in ranked)
    kept, mass = [], 0.0
    for i in ranked:
        kept.append(i)
        mass += weights[i] / total
        if mass >= (nucleus or 1):
            break
    total = sum(weights[i] for i in kept)
    return [weights[i] / total if i in kept else 0.0 for i in range(len(logits))]


@pytest.mark.parametrize(
    "temperature, top_k, nucleus", [*itertools.product([0.5, 1.0, 3.0], [None, 3, 99], [None, 0.6, 1.0])]
)
def test_sampling_probabilities_against_a_list(temperature, top_k, nucleus):
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 9)))
    actual = sampling_probabilities(logits, temperature, top_k, nucleus)
    expected = [by_hand(row, temperature, top_k, nucleus) for row in logits.tolist()]
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("settings", [(0.7,), (1.3, 4), (0.8, None, 0.7), (2.0, 5, 0.5), (1.0, 99, 1.0)])
def test_sampling_probabilities_equal_the_numpy_half(settings):
    logits = np.random.default_rng(0).normal(0, 3, (4, 5, 9))
    actual = sampling_probabilities(torch.from_numpy(logits), *settings)
    check_parity({"p": actual}, {"p": numpy_probabilities(logits, *settings)}, 1e-10)


def test_sampling_probabilities_of_the_example():
    logits = torch.tensor([2.0, 1.0, 0.0])
    np.testing.assert_allclose(sampling_probabilities(logits), [0.665, 0.245, 0.090], atol=5e-4)
    np.testing.assert_allclose(sampling_probabilities(logits, 0.5), [0.867, 0.117, 0.016], atol=5e-4)
    assert (sampling_probabilities(logits, nucleus=0.9) > 0).sum() == 2


def test_equal_and_huge_logits():
    assert sampling_probabilities(torch.zeros(5), top_k=2).tolist() == [0.5, 0.5, 0, 0, 0]
    huge = torch.tensor([-1e4, 1e4, 9e3, -math.inf])
    assert sampling_probabilities(huge, 1e-30, nucleus=0.5).tolist() == [0, 1, 0, 0]
    assert sampling_probabilities(huge, 1e4).isfinite().all()


def test_samples_have_the_distribution_of_the_formula():
    torch.manual_seed(0)
    n, model = 20_000, LanguageModel(V, E, H)
    ids = torch.tensor([[1], [2]])
    settings = {"temperature": 0.7, "top_k": 5, "nucleus": 0.95}
    drawn, _ = sample(
        model, ids.expand(2, n), 2, **settings, without=[0], generator=torch.Generator().manual_seed(1)
    )
    logits = model(ids)[0][-1, 0].detach()
    logits[0] = -math.inf
    first = np.array(by_hand(logits.tolist(), *settings.values()))
    second = np.zeros((V, V))
    for i in np.flatnonzero(first):
        logits = model(torch.cat([ids, torch.tensor([[i]])]))[0][-1, 0].detach()
        logits[0] = -math.inf
        second[i] = by_hand(logits.tolist(), *settings.values())
    counts = np.zeros((V, V))
    np.add.at(counts, tuple(drawn.numpy()), 1)
    expected = first[:, None] * second
    # Five standard deviations of a count of each pair, and none at all where the probability is zero.
    assert (np.abs(counts / n - expected) <= 5 * np.sqrt(expected * (1 - expected) / n)).all()
    assert (expected > 0).sum() >= 12 and not counts[0].any() and not counts[:, 0].any()


def test_the_state_of_a_sample_goes_on():
    torch.manual_seed(0)
    model, ids = LanguageModel(V, E, H), torch.randint(V, (2, B))
    generator = torch.Generator().manual_seed(3)
    at_once, _ = sample(model, ids, 5, generator=generator)
    generator.manual_seed(3)
    first, state = sample(model, ids, 2, generator=generator)
    second, _ = sample(model, first[-1:], 3, generator=generator, state=state)
    assert torch.equal(torch.cat([first, second]), at_once)
    _, expected = model(torch.cat([ids, first[:-1]]))
    torch.testing.assert_close(state, expected)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"temperature": 0.0}, "temperature must be a number above 0, got 0.0"),
        ({"temperature": math.nan}, "temperature must be a number above 0, got nan"),
        ({"temperature": math.inf}, "temperature must be a number above 0, got inf"),
        ({"top_k": 0}, "top_k must be an integer of at least 1, got 0"),
        ({"nucleus": 0.0}, r"nucleus must lie in \(0, 1\], got 0.0"),
        ({"nucleus": 1.1}, r"nucleus must lie in \(0, 1\], got 1.1"),
        ({"length": 0}, "length must be an integer of at least 1, got 0"),
    ],
)
def test_settings_of_sampling_out_of_range(wrong, message):
    with pytest.raises(ValueError, match=message):
        sample(LanguageModel(V, E, H), torch.zeros(1, 1, dtype=torch.long), **{"length": 1} | wrong)


# Training and resuming.


def resumes_to_the_bit(text, folder, device):
    """40 steps at once, and as 20 and 20: over the end of an epoch, with dropout between two layers."""
    command = [
        "train",
        text,
        *SMALL,
        "--layers",
        "2",
        "--dropout",
        "0.3",
        "--every",
        "10",
        "--device",
        device,
    ]
    whole, parts = folder / f"whole-{device}", folder / f"parts-{device}"
    lm(*command, "--steps", "40", "--window", "31", "--out", whole)
    lm(*command, "--steps", "20", "--window", "31", "--out", parts)
    # Its settings come from the checkpoint.
    lm("train", text, "--resume", "--steps", "40", "--every", "10", "--device", device, "--out", parts)
    run = load_run(parts / "checkpoint.pt")
    assert run["history"]["evaluated"].tolist() == [0, 10, 20, 30, 40]
    assert run["history"]["loss"][-5:].mean() < run["history"]["loss"][:5].mean()
    assert_same_run(KIND, whole / "checkpoint.pt", parts / "checkpoint.pt")


def test_a_resumed_run_is_the_same_to_the_bit(text, tmp_path):
    resumes_to_the_bit(text, tmp_path, "cpu")


@pytest.mark.gpu
def test_a_resumed_run_is_the_same_to_the_bit_on_the_gpu(text, tmp_path):
    resumes_to_the_bit(text, tmp_path, "cuda")
    prompted = ["sample", tmp_path / "whole-cuda", "--length", "20", "--prompt", "The"]
    assert lm(*prompted, "--device", "cuda").startswith("The")


def test_the_losses_are_those_of_a_loop_written_out(text, tmp_path):
    lm("train", text, *SMALL, "--steps", "7", "--window", "300", "--cell", "gru", "--out", tmp_path)
    run = load_run(tmp_path / "checkpoint.pt")
    tokens = text.read_text("utf8")
    cut = round(0.9 * len(tokens))
    ids = torch.tensor([run["words"].index(token) for token in tokens[:cut]])
    torch.manual_seed(0)
    model = build_model(Settings(cell="gru", hidden=12), len(run["words"]))
    optimiser = torch.optim.Adam(model.parameters(), 0.002)
    x, y = (ids[start : start + 2400].reshape(4, 600).T for start in (0, 1))
    losses, state = [], None
    for k in range(7):
        window = slice(k % 2 * 300, k % 2 * 300 + 300)
        logits, state = model(x[window], None if k % 2 == 0 else state.detach())
        loss = torch.nn.functional.cross_entropy(logits.reshape(1200, -1), y[window].reshape(1200))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    assert losses == pytest.approx(run["history"]["loss"].tolist(), rel=1e-5)


def steps_of(path):
    return len(load_run(path)["history"]["loss"])


@pytest.mark.parametrize("moment, kept", [("a step", 10), ("writing a checkpoint", 5)])
def test_ctrl_c_loses_the_last_interval_alone(text, tmp_path, monkeypatch, sigint, moment, kept):
    """SIGINT in the middle of step 13, or while the checkpoint of step 10 is written."""
    owner, name, call = (torch.optim.Adam, "step", 13) if moment == "a step" else (os, "replace", 3)
    function, calls = getattr(owner, name), itertools.count(1)

    def interrupted(*arguments):
        if next(calls) == call:
            signal.raise_signal(signal.SIGINT)
        return function(*arguments)

    path = tmp_path / "out" / "checkpoint.pt"
    command = ["train", text, *SMALL, "--steps", "20", "--out"]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        output = lm(*command, path.parent, code=130)
    taken = 12 if moment == "a step" else 10
    message = f"Error: stopped after {taken} steps; {path} has {kept} of them: go on with --resume\n"
    assert message in output and steps_of(path) == kept
    lm(*command, path.parent, "--resume")
    lm(*command, tmp_path / "whole")
    assert_same_run(KIND, path, tmp_path / "whole" / "checkpoint.pt")


def test_a_run_killed_ten_times_anywhere_in_the_program_goes_on_to_the_bit(text, tmp_path):
    path = tmp_path / "killed" / "checkpoint.pt"
    command = ["train", text, *SMALL, "--every", "3", "--out"]
    places = killed_in_the_program(["lm", *command, path.parent, "--steps", "9999"], path, seed=1)
    assert 2 <= sum("an update" in place for place in places) <= 8
    assert "writing: half of the file" in places
    end = steps_of(path) + 10
    lm(*command, path.parent, "--resume", "--steps", end)
    lm(*command, tmp_path / "whole", "--steps", end)
    assert_same_run(KIND, path, tmp_path / "whole" / "checkpoint.pt")


def test_a_run_killed_ten_times_by_the_clock_goes_on_to_the_bit(text, tmp_path):
    path = tmp_path / "killed" / "checkpoint.pt"
    command = ["train", text, *SMALL, "--dropout", "0.3", "--every", "3", "--out"]
    killed_by_the_clock(["lm", *command, path.parent, "--steps", "9999"], path, seed=0)
    end = steps_of(path) + 10
    lm(*command, path.parent, "--resume", "--steps", end)
    lm(*command, tmp_path / "whole", "--steps", end)
    assert_same_run(KIND, path, tmp_path / "whole" / "checkpoint.pt")


def test_two_processes_resume_to_the_bit_each_with_its_own_dropout(text, tmp_path):
    command = ["lm", "train", text, *SMALL, "--dropout", "0.3", "--out"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    in_two_processes([*command, whole, "--steps", "10"], tmp_path)
    in_two_processes([*command, parts, "--steps", "5"], tmp_path)
    in_two_processes([*command, parts, "--resume", "--steps", "10"], tmp_path)
    assert_same_run(KIND, whole / "checkpoint.pt", parts / "checkpoint.pt")
    first, second = (dict(flat(state)) for state in load_run(whole / "checkpoint.pt")["random"])
    assert not all(torch.equal(part, second[name]) for name, part in first.items())


def test_two_processes_of_torchrun_do_what_one_does(text, tmp_path):
    command = ["train", text, *SMALL, "--out"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "rnncourse.cli", "lm", *map(str, command), tmp_path / "two", "--steps", "10"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("step 10:") == 1
    lm(*command, tmp_path / "one", "--steps", "10")
    assert len(load_run(tmp_path / "two" / "checkpoint.pt")["random"]) == 2
    # And go on in one process: the parts of the carried state were put together in their order.
    for folder in ("one", "two"):
        lm(*command, tmp_path / folder, "--resume", "--steps", "20")
    one, two = (load_run(tmp_path / folder / "checkpoint.pt") for folder in ("one", "two"))
    for name in ("loss", "gradient_norm", "evaluated", "evaluation"):
        torch.testing.assert_close(two["history"][name], one["history"][name], rtol=1e-6, atol=0)
    assert not torch.equal(one["history"]["loss"][:5], one["history"]["loss"][5:10])


def test_parts_of_a_batch():
    tensor = torch.arange(24).reshape(2, 12)
    parts = [Processes(rank, 3, torch.device("cpu")).share(tensor, 1) for rank in range(3)]
    assert torch.equal(torch.cat(parts, 1), tensor)
    with pytest.raises(ValueError, match="a batch of 12 cannot be shared out evenly to 5 processes"):
        Processes(0, 5, torch.device("cpu")).share(tensor, 1)
    with processes(torch.device("cpu")) as alone:
        assert alone.size == 1 and alone.mean(tensor) is tensor and alone.collect("x") == ["x"]
        assert alone.parallel(tensor) is tensor and torch.equal(alone.gather(tensor, 1), tensor)


def test_the_best_weights_are_kept(text, tmp_path):
    """A rate so large that the loss rises: the best model is one from before."""
    output = lm("train", text, *SMALL, "--lr", "3", "--steps", "15", "--out", tmp_path)
    run = load_run(tmp_path / "checkpoint.pt")
    best = int(run["history"]["evaluation"].argmin())
    steps = int(run["history"]["evaluated"][best])
    assert best < 3, "the example no longer gets worse"
    assert f"came after {steps} of 15 steps" in output
    ids = load_model(tmp_path / "checkpoint.pt").vocabulary.encode(list(text.read_text("utf8")))
    held_out = torch.from_numpy(ids[round(0.9 * len(ids)) :])
    model = load_model(tmp_path / "checkpoint.pt").model
    loss = token_losses(model, held_out, 4, 8).mean().item()
    assert loss == pytest.approx(run["history"]["evaluation"][best].item(), rel=1e-6)
    resume = ["train", text, "--resume", "--device", "cpu", "--out", tmp_path, "--every", "5", "--steps"]
    assert f"came after {steps} of 20 steps" in lm(*resume, "20")
    again = load_run(tmp_path / "checkpoint.pt")["best"]
    assert all(torch.equal(again[name], tensor) for name, tensor in run["best"].items())
    # It went on from the last weights, not from the best.
    lm("train", text, *SMALL, "--lr", "3", "--steps", "20", "--out", tmp_path / "whole")
    assert_same_run(KIND, tmp_path / "checkpoint.pt", tmp_path / "whole" / "checkpoint.pt")


# Checkpoints.


def test_what_is_saved_comes_back(tmp_path):
    content = {"a": torch.arange(6.0).reshape(2, 3), "b": [1, None, "x", {"c": (2.5, True)}]}
    save_checkpoint(tmp_path / "x.pt", "kind", content)
    loaded = load_checkpoint(tmp_path / "x.pt", "kind")
    assert torch.equal(loaded.pop("a"), content.pop("a")) and loaded == content
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]


@pytest.mark.parametrize("place", ["write", "fsync", "replace"])
def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch, place):
    path = tmp_path / "x.pt"
    save_checkpoint(path, "kind", {"n": 1})

    class Crash(BaseException):
        pass

    def crash(*_):
        raise Crash

    def save_half(content, file):
        whole = io.BytesIO()
        save(content, whole)
        file.write(whole.getvalue()[:100])
        raise Crash

    save = torch.save
    if place == "write":
        monkeypatch.setattr(torch, "save", save_half)
    else:
        monkeypatch.setattr(os, place, crash)
    with pytest.raises(Crash):
        save_checkpoint(path, "kind", {"n": 2})
    monkeypatch.undo()
    assert load_checkpoint(path, "kind") == {"n": 1}
    save_checkpoint(path, "kind", {"n": 2})
    assert load_checkpoint(path, "kind") == {"n": 2}


def test_a_full_disk_is_said_and_leaves_the_old_file(tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "x.pt", "kind", {"n": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Fault) as error, one_sentence():
        save_checkpoint(tmp_path / "x.pt", "kind", {"n": 2})
    assert error.value.message == f"{tmp_path / 'x.pt.partial'}: No space left on device"
    assert load_checkpoint(tmp_path / "x.pt", "kind") == {"n": 1}


class Foreign:
    """A pickle that runs a function."""

    def __reduce__(self):
        return (os.mkdir, (self.folder,))


def test_files_that_are_no_checkpoints(tmp_path):
    path = tmp_path / "x.pt"
    with pytest.raises(FileNotFoundError, match=r"^there is no checkpoint .*x\.pt$"):
        load_checkpoint(path, "kind")
    save_checkpoint(path, "kind", {"a": torch.arange(1000.0)})
    data = path.read_bytes()
    with pytest.raises(ValueError, match=r"x\.pt is no checkpoint of another kind$"):
        load_checkpoint(path, "another kind")
    with zipfile.ZipFile(path) as archive:
        (place,) = [i.header_offset for i in archive.infolist() if i.filename.endswith("data/0")]
    flipped = bytearray(data)
    flipped[place + 2000] ^= 1
    foreign = Foreign()
    foreign.folder = str(tmp_path / "was-run")
    pickled, other = io.BytesIO(), io.BytesIO()
    torch.save(foreign, pickled)
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("a.txt", "hello")
    for wrong in (b"", b"a text", data[: len(data) // 2], flipped, pickled.getvalue(), other.getvalue()):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"x\.pt is damaged or no checkpoint$"):
            load_checkpoint(path, "kind")
    assert not (tmp_path / "was-run").exists()
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match=r"x\.pt is no checkpoint of kind$"):
        load_checkpoint(path, "kind")


def test_the_random_state_comes_back():
    device = torch.device("cpu")
    state = random_state(device)
    first = torch.rand(5)
    set_random_state(state, device)
    assert torch.equal(torch.rand(5), first)


# Text, scores and samples.


def test_tokens():
    text = 'She said: "Go!" He didn\'t.\n\nThe end'
    words = tokenise(text, "word")
    assert words == [
        *'She said : " Go ! "'.split(),
        "</s>",
        "He",
        "didn't",
        ".",
        "</s>",
        "The",
        "end",
        "</s>",
    ]
    assert join(words, "word") == 'She said : " Go ! "\nHe didn\'t .\nThe end'
    assert join(tokenise(text, "char"), "char") == text
    assert join(["</s>", "</s>", "a", "</s>", "</s>", "b", "</s>"], "word") == "a\n\nb"
    with pytest.raises(ValueError, match="level must be one of 'char', 'word', got 'byte'"):
        tokenise(text, "byte")


def test_token_losses_one_at_a_time():
    torch.manual_seed(0)
    model, ids = LanguageModel(V, E, H, dtype=torch.float64), torch.randint(V, (14,))
    expected, state = [], None
    with torch.no_grad():
        for now, after in itertools.pairwise(ids):
            logits, state = model(now[None, None], state)
            expected.append(-logits.log_softmax(-1)[0, 0, after].item())
    for window in (1, 5, 100):
        np.testing.assert_allclose(token_losses(model, ids, window=window)[:, 0], expected, rtol=1e-12)
    streams = token_losses(model, ids, 3, 3)
    assert streams.shape == (4, 3)
    for b in range(3):
        alone = token_losses(model, ids[4 * b : 4 * b + 5])
        np.testing.assert_allclose(streams[:, b], alone[:, 0], rtol=1e-12)
    with pytest.raises(ValueError, match="ids must have at least B \\+ 1 = 15 elements, got 14"):
        token_losses(model, ids, 14)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A run on characters and one on words, each with its text."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "text.txt").write_text(tales_text()[:12000], encoding="utf8")
    for level in ("char", "word"):
        lm("train", folder / "text.txt", *SMALL, "--level", level, "--steps", "10", "--out", folder / level)
    return folder


@pytest.mark.parametrize("level", ["char", "word"])
def test_the_score_by_hand(models, tmp_path, level):
    text = "The old man saw a zyx and Äpfel. He went home."
    model, vocabulary, _ = loaded = load_model(models / level / "checkpoint.pt")
    tokens = tokenise(text, level)
    ids = [vocabulary.words.index(t if t in vocabulary else "<unk>") for t in tokens]
    with torch.no_grad():
        log_p = model(torch.tensor(ids)[:, None])[0][:, 0].double().log_softmax(-1)
    bits = [-log_p[t, ids[t + 1]].item() / math.log(2) for t in range(len(ids) - 1)]
    known = [b for b, token in zip(bits, tokens[1:], strict=True) if token in vocabulary]
    assert 0 < len(known) < len(bits)
    score = score_text(loaded, text)
    assert score.tokens == len(tokens) - 1 and score.unknown == len(bits) - len(known)
    assert score.bits == pytest.approx(sum(bits), rel=1e-6)
    assert score.bits_known == pytest.approx(sum(known), rel=1e-6)
    characters = len(text) - (1 if level == "char" else 3)
    (tmp_path / "other.txt").write_text(text, encoding="utf8")
    assert lm("score", models / level, tmp_path / "other.txt") == (
        f"bits per token: {sum(bits) / len(bits):.4f} ({len(bits)} tokens)\n"
        f"bits per character: {sum(bits) / characters:.4f} ({characters} characters)\n"
        f"perplexity: {2 ** (sum(bits) / len(bits)):.4f}\n"
        f"unknown to the model: {len(bits) - len(known)} tokens, scored as <unk>; "
        f"the others take {sum(known) / len(known):.4f} bits each\n"
    )


def test_samples_from_the_command_line(models):
    command = ["sample", models / "char", "--length", "30", "--prompt", "The "]
    first = lm(*command)
    assert first == lm(*command) != lm(*command, "--seed", "1")
    assert first.startswith("The ") and len(first) == len("The ") + 30 + 1
    assert lm(*command, "--top-k", "1") == lm(*command, "--top-k", "1", "--seed", "1")
    assert lm(*command, "--nucleus", "0.001") == lm(*command, "--top-k", "1")
    assert "<unk>" not in lm("sample", models / "word", "--length", "300", "--prompt", "The old")
    assert lm("sample", models / "word", "--length", "3").strip()


def test_an_empty_prompt_starts_a_line():
    torch.manual_seed(0)
    model = LanguageModel(V, E, H)
    for words, start in (("\nabcde", 1), ("abcdef", 1), ("abcd\ne", 5)):
        vocabulary = ("<unk>", *words)
        text_model = TextModel(model, WordVocabulary(vocabulary, (1,) * V), "char")
        drawn = sample_text(text_model, "", 8, seed=4)
        generator = torch.Generator().manual_seed(4)
        expected, _ = sample(model, torch.tensor([[start]]), 8, without=[0], generator=generator)
        assert drawn == "".join(vocabulary[i] for i in expected[:, 0])


# Messages: one sentence, exit code 2.


def error(*arguments):
    output = lm(*arguments, code=2)
    assert output.count("Error: ") == 1
    return output.split("Error: ")[1].removesuffix("\n")


def test_texts_that_cannot_be_trained_on(tmp_path):
    def train(name, data=None):
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        return error("train", path, *SMALL, "--out", tmp_path / "out")

    assert train("absent") == f"there is no file {tmp_path / 'absent'}"
    assert train("empty", b"") == f"{tmp_path / 'empty'} is empty or blank"
    assert train("latin", b"a\nb\n\xe9\n") == f"{tmp_path / 'latin'} is not UTF-8: line 3 has the byte 0xe9"
    assert train("short", b"abc def") == (
        "the text is too short: of 6 characters to train on and 1 held out, "
        "one batch of 4 streams in windows of 8 needs 33 and 5"
    )
    assert error("train", tmp_path, "--out", tmp_path) == f"{tmp_path} is a directory, not a text file"


def test_runs_that_cannot_be_resumed(text, tmp_path):
    out, command = tmp_path / "out", ["train", text, *SMALL, "--out", tmp_path / "out"]
    path = out / "checkpoint.pt"
    assert error(*command, "--resume") == f"there is no checkpoint {path}"
    lm(*command, "--steps", "5")
    assert error(*command) == f"{path} exists: go on with --resume, or take another --out"
    assert error(*command, "--resume", "--hidden", "13") == f"--hidden is 13, but the run in {path} has 12"
    assert error(*command, "--resume", "--steps", "4") == (
        f"{path} has 5 steps already, more than the 4 asked for"
    )
    before = path.read_bytes()
    assert "came after 5 of 5 steps" in lm(*command, "--resume", "--lr", "0.1", "--clip", "2")
    assert path.read_bytes() == before
    lm(*command, "--resume", "--lr", "0.1", "--steps", "6")
    run = load_run(path)
    assert run["settings"].lr == run["optimiser"]["param_groups"][0]["lr"] == 0.1
    text.write_text(text.read_text("utf8") + "x", encoding="utf8")
    assert (
        error(*command, "--resume")
        == f"{path} is of another text: it goes on with the one it was started with"
    )
    path.write_bytes(before[:500])
    assert error(*command, "--resume") == f"{path} is damaged or no checkpoint"
    assert error("sample", out) == f"{path} is damaged or no checkpoint"
    assert error("score", text, text) == f"{text} is damaged or no checkpoint"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--device", "tpu"], "unknown device 'tpu': it is cpu, cuda or, for the second GPU, cuda:1"),
        (["--device", "meta"], "unknown device 'meta': it is cpu, cuda or, for the second GPU, cuda:1"),
        (["--steps", "3", "--epochs", "1"], "--steps and --epochs both say how long the run is: give one"),
        (["--embedding", "5", "--tied"], "tied needs E = H, one table for both ends, got E = 5 and H = 12"),
        (["--lr", "1e38"], "Invalid value for '--lr': 1e+38 is not in the range 0<x<=1000000.0."),
        (
            ["--hidden", "10000000", "--embedding", "1"],
            "out of memory: take a smaller --hidden, --batch or --window",
        ),
        (["--hidden", "0"], "Invalid value for '--hidden': 0 is not in the range x>=1."),
        (["--dropout", "1"], "Invalid value for '--dropout': 1.0 is not in the range 0<=x<1."),
    ],
)
def test_options_that_do_not_fit(text, tmp_path, arguments, message):
    assert error("train", text, *SMALL, "--out", tmp_path / "out", *arguments).startswith(message)


def test_a_run_that_diverges_keeps_its_last_checkpoint(text, tmp_path, monkeypatch):
    def spoil(optimiser):
        optimiser.param_groups[0]["params"][0].data.fill_(math.nan)

    command = ["train", text, *SMALL, "--out", tmp_path]
    lm(*command, "--steps", "5")
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", spoil)
        message = error(*command, "--resume", "--steps", "20")
    assert message.startswith("step 7: the loss is nan; the gradient's norm in the step before was ")
    assert message.endswith("; a smaller --lr may help")
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_devices_that_are_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device(None) == torch.device("cpu")
    with pytest.raises(Fault, match="^--device cuda: this PyTorch finds no CUDA device$"):
        find_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert find_device(None) == torch.device("cuda")
    with pytest.raises(Fault, match="^--device cuda:1: the machine has 1 CUDA device$"):
        find_device("cuda:1")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(Fault, match="^--device cuda: the machine has 1 CUDA device$"):
        find_device("cuda")


def test_prompts_and_temperatures_that_do_not_fit(models):
    command = ["sample", models / "char"]
    assert error(*command, "--temperature", "0") == "temperature must be a number above 0, got 0.0"
    likeliest = lm(*command, "--top-k", "1", "--length", "20")
    assert lm(*command, "--temperature", "1e-50", "--length", "20") == likeliest
    assert len(lm(*command, "--temperature", "1e300", "--length", "20")) > 20
    assert error(*command, "--nucleus", "2") == "nucleus must lie in (0, 1], got 2.0"
    assert error(*command, "--prompt", "naïve") == "the vocabulary has no 'ï'"
    unknown = error("sample", models / "word", "--prompt", "The olld")
    assert unknown.startswith("the vocabulary has no 'olld'; nearest spellings: ")
    assert error("sample", models / "absent") == f"there is no checkpoint {models / 'absent'}"


def test_a_perplexity_beyond_all_numbers():
    assert Score(2, 2, 0, 6.0, 6.0).perplexity == 8
    assert Score(1, 1, 0, 2000.0, 2000.0).perplexity == math.inf


def test_a_score_of_one_token(models, tmp_path):
    (tmp_path / "one.txt").write_text("a")
    assert (
        error("score", models / "char", tmp_path / "one.txt")
        == "the text must have at least two tokens, got 1"
    )


def test_without_torch_the_command_says_what_to_install(text, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "rnncourse.language_model.training")
    message = "this command needs PyTorch: pip install rnncourse[torch]"
    assert error("train", text, "--out", tmp_path / "out") == message


def test_the_command_line_starts_without_torch():
    code = "import sys, rnncourse.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == 0


def test_every_option_has_its_place_in_the_settings():
    context = main.commands["lm"].commands["train"].make_context("train", ["text.txt"])
    assert {name: context.params[name] for name in Settings._fields} == Settings()._asdict()


def test_the_readme_has_the_three_commands():
    text = (Path(__file__).parent.parent / "README.md").read_text("utf8")
    for command in ("rnncourse lm train", "rnncourse lm sample", "rnncourse lm score", "torchrun"):
        assert command in text
