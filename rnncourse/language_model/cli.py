"""The commands `rnncourse lm`: a language model of the reader's own text."""

import os
from pathlib import Path

import click

from rnncourse._commands import Fault, Stopped, find_device, one_sentence

CHECKPOINT = "checkpoint.pt"
AT_LEAST_1 = click.IntRange(min=1)
SEED = click.IntRange(min=0, max=2**32 - 1)


def _file(checkpoint):
    """Path of a checkpoint that may be named by its folder."""
    path = Path(checkpoint)
    return path / CHECKPOINT if path.is_dir() else path


@click.group()
def lm():
    """Train a language model on a text of your own, sample from it, score texts with it."""


def _options(*options):
    def decorate(function):
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@lm.command(context_settings={"show_default": True})
@click.argument("file")
@_options(
    click.option("--level", type=click.Choice(["char", "word"]), default="char", help="What a token is."),
    click.option(
        "--cell", type=click.Choice(["lstm", "gru", "rnn"]), default="lstm", help="The recurrent layer."
    ),
    click.option("--hidden", type=AT_LEAST_1, default=128, help="Units of a layer."),
    click.option("--embedding", type=AT_LEAST_1, help="Size of the embedding.  [default: as --hidden]"),
    click.option("--layers", type=AT_LEAST_1, default=1, help="Recurrent layers, one on the other."),
    click.option(
        "--dropout",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.0,
        help="After embedding and layers.",
    ),
    click.option("--tied", is_flag=True, help="Share the weight of embedding and output."),
    click.option("--batch", type=AT_LEAST_1, default=32, help="Streams, over all processes."),
    click.option("--window", type=AT_LEAST_1, default=64, help="Steps that gradients are sent back."),
    click.option("--lr", type=click.FloatRange(0, 1e6, min_open=True), default=0.002, help="Rate of Adam."),
    click.option(
        "--clip", type=click.FloatRange(0, min_open=True), default=1.0, help="Largest norm of the gradient."
    ),
    click.option("--seed", type=SEED, default=0),
    click.option(
        "--held-out",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        default=0.1,
        help="Share of the text, its end, to evaluate on.",
    ),
    click.option("--steps", type=AT_LEAST_1, help="Length of the whole run."),
    click.option("--epochs", type=AT_LEAST_1, help="The same in passes over the text.  [default: 10]"),
    click.option("--every", type=AT_LEAST_1, default=100, help="Steps between checkpoints."),
    click.option("--device", help="cpu, cuda or cuda:1.  [default: a GPU if there is one]"),
    click.option("--out", type=Path, default="lm", help="Folder of the checkpoint."),
    click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out, with its settings."),
)
@click.pass_context
def train(context, file, steps, epochs, every, device, out, resume, **settings):
    """Train a model on FILE, a text in UTF-8.

    After every so many steps it is evaluated on the held-out end of the text and a checkpoint is written:
    Ctrl-C or a crash loses what came after the last one. A resumed run ends with the same bits as one that
    was never stopped, on the same machine with the same number of threads.

    Several GPUs: torchrun --nproc-per-node 2 -m rnncourse.cli lm train FILE; several machines: the same on
    each, with torchrun's --nnodes and --rdzv-endpoint. The processes share --batch evenly; all must see the
    same FILE and --out, and the first one writes.
    """
    path = out / CHECKPOINT
    with one_sentence():
        from tqdm import tqdm

        from rnncourse.data.files import read_text
        from rnncourse.language_model.training import Settings, load_run, train_text
        from rnncourse.training.distributed import processes
        from rnncourse.training.loop import TRAINED, Diverged

        if steps and epochs:
            raise Fault("--steps and --epochs both say how long the run is: give one")
        device = find_device(device)
        # PyTorch's manual asks for it, or cuDNN's recurrent layers may differ from run to run.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:2")
        text = read_text(file)
        resumed, settings = None, Settings(**settings)
        if resume:
            resumed = load_run(path)
            settings = _resumed_settings(context, settings, resumed["settings"], path)
        elif path.exists():
            raise Fault(f"{path} exists: go on with --resume, or take another --out")
        out.mkdir(parents=True, exist_ok=True)
        with processes(device) as group:
            first = group.rank == 0

            def say(line):
                if first:
                    tqdm.write(line)

            try:
                trained = train_text(
                    text,
                    settings,
                    path,
                    group,
                    steps=steps,
                    epochs=epochs,
                    every=every,
                    resumed=resumed,
                    say=say,
                )
            except Diverged as error:
                reached = str(error).removesuffix(f"; {TRAINED}")
                raise Fault(f"{reached}; a smaller --lr may help") from None
            except KeyboardInterrupt as error:
                if not hasattr(error, "trained") or not path.exists():
                    raise
                taken = len(error.trained.history.loss)
                # Not by the last evaluation: its checkpoint may be what was interrupted.
                kept = len(load_run(path)["history"]["loss"])
                raise Stopped(
                    f"stopped after {taken} steps; {path} has {kept} of them: go on with --resume"
                ) from None
        history = trained.history
        best = history.evaluation.argmin()
        say(
            f"{path}: the best held-out loss, {history.evaluation[best]:.4f} nats, came after "
            f"{history.evaluated[best]} of {len(history.loss)} steps"
        )


def _resumed_settings(context, given, saved, path):
    """Settings of the checkpoint; rate and clipping may be changed on the way, nothing else."""
    explicit = {
        name: value
        for name, value in given._asdict().items()
        if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
    }
    for name, value in explicit.items():
        if name not in ("lr", "clip") and value != getattr(saved, name):
            option = name.replace("_", "-")
            raise Fault(f"--{option} is {value}, but the run in {path} has {getattr(saved, name)}")
    return saved._replace(**explicit)


@lm.command(context_settings={"show_default": True})
@click.argument("checkpoint")
@_options(
    click.option("--prompt", default="", help="How the text begins; of words, how a sentence begins."),
    click.option("--length", type=AT_LEAST_1, default=200, help="Tokens to write."),
    click.option("--temperature", type=float, default=1.0),
    click.option("--top-k", type=AT_LEAST_1, help="Draw from so many of the likeliest tokens."),
    click.option("--nucleus", type=float, help="Draw from the fewest that have this probability together."),
    click.option("--seed", type=SEED, default=0),
    click.option("--device", default="cpu"),
)
def sample(checkpoint, prompt, device, **settings):
    """Write a text with the best model in CHECKPOINT, a file or its folder."""
    with one_sentence():
        from rnncourse.language_model.training import load_model, sample_text

        click.echo(sample_text(load_model(_file(checkpoint), find_device(device)), prompt, **settings))


@lm.command(context_settings={"show_default": True})
@click.argument("checkpoint")
@click.argument("file")
@click.option("--device", default="cpu")
def score(checkpoint, file, device):
    """Say how well the best model in CHECKPOINT predicts FILE."""
    with one_sentence():
        from rnncourse.data.files import read_text
        from rnncourse.language_model.training import load_model, score_text

        text = read_text(file)
        result = score_text(load_model(_file(checkpoint), find_device(device)), text, progress=True)
    click.echo(f"bits per token: {result.per_token:.4f} ({result.tokens} tokens)")
    click.echo(f"bits per character: {result.per_character:.4f} ({result.characters} characters)")
    click.echo(f"perplexity: {result.perplexity:.4f}")
    if result.unknown:
        known = result.tokens - result.unknown
        without = f"; the others take {result.bits_known / known:.4f} bits each" if known else ""
        click.echo(f"unknown to the model: {result.unknown} tokens, scored as <unk>{without}")
