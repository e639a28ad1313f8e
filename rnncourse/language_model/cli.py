"""The commands `rnncourse lm`: a language model of the reader's own text."""

import click

from rnncourse._commands import (
    AT_LEAST_1,
    SEED,
    checkpoint_file,
    find_device,
    model_options,
    one_sentence,
    options,
    run_options,
    run_training,
)


@click.group()
def lm():
    """Train a language model on a text of your own, sample from it, score texts with it."""


@lm.command(context_settings={"show_default": True})
@click.argument("file")
@click.option("--level", type=click.Choice(["char", "word"]), default="char", help="What a token is.")
@model_options("lstm")
@options(
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
)
@run_options("text", "text, its end", "lm")
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
    with one_sentence():
        from rnncourse.data.files import read_text
        from rnncourse.language_model.training import Settings, load_run, train_text

        run_training(
            context,
            Settings(**settings),
            lambda: read_text(file),
            load_run,
            train_text,
            steps=steps,
            epochs=epochs,
            every=every,
            device=device,
            out=out,
            resume=resume,
        )


@lm.command(context_settings={"show_default": True})
@click.argument("checkpoint")
@options(
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

        click.echo(
            sample_text(load_model(checkpoint_file(checkpoint), find_device(device)), prompt, **settings)
        )


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
        result = score_text(load_model(checkpoint_file(checkpoint), find_device(device)), text, progress=True)
    click.echo(f"bits per token: {result.per_token:.4f} ({result.tokens} tokens)")
    click.echo(f"bits per character: {result.per_character:.4f} ({result.characters} characters)")
    click.echo(f"perplexity: {result.perplexity:.4f}")
    if result.unknown:
        known = result.tokens - result.unknown
        without = f"; the others take {result.bits_known / known:.4f} bits each" if known else ""
        click.echo(f"unknown to the model: {result.unknown} tokens, scored as <unk>{without}")
