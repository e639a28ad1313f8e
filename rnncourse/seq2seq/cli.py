"""The commands `rnncourse translate`: a translator of the reader's own sentence pairs."""

import sys
from contextlib import nullcontext
from itertools import islice

import click

from rnncourse._commands import (
    AT_LEAST_1,
    Fault,
    checkpoint_file,
    find_device,
    model_options,
    one_sentence,
    options,
    run_options,
    run_training,
)

SMALLER = "--hidden or --batch"
BATCH = 64
"""Sentences translated at once."""


@click.group()
def translate():
    """Train a translator on sentence pairs of your own, and translate with it."""


def _level(side):
    return click.option(
        f"--{side}-level",
        type=click.Choice(["word", "char"]),
        default="word",
        help=f"What a token of the {side} is.",
    )


@translate.command(context_settings={"show_default": True})
@click.argument("file", metavar="PAIRS")
@_level("source")
@_level("target")
@model_options("gru")
@options(
    click.option(
        "--attention",
        type=click.Choice(["none", "additive", "general", "dot"]),
        default="none",
        help="How the decoder scores what it attends to; needs the GRU.",
    ),
    click.option("--reverse", is_flag=True, help="Read the source from its end."),
    click.option("--batch", type=AT_LEAST_1, default=64, help="Pairs, over all processes."),
)
@run_options("pairs", "sources, drawn by --seed", "translator")
@click.pass_context
def train(context, file, steps, epochs, every, device, out, resume, **settings):
    """Train a translator on PAIRS, a file in UTF-8 with a source, a tab and its translation on each line.

    After every so many steps it is evaluated on pairs held out and a checkpoint is written: Ctrl-C or a crash
    loses what came after the last one. A resumed run ends with the same bits as one that was never stopped,
    on the same machine with the same number of threads.

    Words that occur once are learnt as the unknown word, <unk>.

    Several GPUs: torchrun --nproc-per-node 2 -m rnncourse.cli translate train PAIRS; several machines: the
    same on each, with torchrun's --nnodes and --rdzv-endpoint. The processes share each batch; all must see
    the same PAIRS and --out, and the first one writes.
    """
    with one_sentence(SMALLER):
        from rnncourse.data.files import read_pairs
        from rnncourse.seq2seq.training import Settings, count_exact, load_run, load_translator, train_pairs

        def finish(pairs, path, device):
            exact, sources = count_exact(load_translator(path, device), pairs)
            return f"with it, {exact} of {sources} held-out sources are translated to the letter"

        run_training(
            context,
            Settings(**settings),
            lambda: read_pairs(file),
            load_run,
            train_pairs,
            steps=steps,
            epochs=epochs,
            every=every,
            device=device,
            out=out,
            resume=resume,
            finish=finish,
        )


@translate.command(context_settings={"show_default": True})
@click.argument("checkpoint")
@click.argument("file", default="-")
@click.option(
    "--beam",
    type=AT_LEAST_1,
    default=1,
    help="Width of the search; 1 takes the likeliest token at each step.",
)
@click.option(
    "--alpha", type=float, default=0.0, help="Divide log P by length ** alpha, with --beam above 1."
)
@click.option(
    "--max-length", type=AT_LEAST_1, help="Tokens of a translation.  [default: twice the longest in training]"
)
@click.option("--device", default="cpu")
def run(checkpoint, file, device, max_length, **search):
    """Translate FILE with the best model in CHECKPOINT, a file or its folder: a line for each line.

    Without FILE, or with -, it reads what it is sent. Words that the model does not know are read as <unk>,
    and named once.
    """
    with one_sentence("--beam"):
        if search["alpha"] and search["beam"] == 1:
            raise Fault("--alpha compares translations of a beam: it needs --beam of 2 or more")
        from rnncourse.seq2seq.training import load_translator
        from rnncourse.seq2seq.training import translate as translated

        translator = load_translator(checkpoint_file(checkpoint), find_device(device))
        named = set()
        for number, sentences in _chunks(file):
            found = translated(translator, sentences, max_length, **search)
            for i, translation in enumerate(found, start=number):
                click.echo(translation.text)
                unknown = [token for token in dict.fromkeys(translation.unknown) if token not in named]
                named.update(unknown)
                if unknown:
                    click.echo(f"line {i}: unknown, read as <unk>: {' '.join(unknown)}", err=True)
                if translation.cut:
                    tokens = 2 * translator.longest if max_length is None else max_length
                    click.echo(f"line {i}: cut off after {tokens} tokens, see --max-length", err=True)


def _chunks(file):
    """The lines of a file or of the standard input, some at a time, with the number of the first of them."""
    with nullcontext(sys.stdin.buffer) if file == "-" else open(file, "rb") as stream:
        numbered = enumerate(stream, start=1)
        # Whoever types a line waits for its translation.
        while chunk := list(islice(numbered, 1 if stream.isatty() else BATCH)):
            lines = []
            for number, line in chunk:
                try:
                    lines.append(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                except UnicodeDecodeError as error:
                    name = "the input" if file == "-" else file
                    raise ValueError(
                        f"{name} is not UTF-8: line {number} has the byte 0x{line[error.start]:02x}"
                    ) from None
            yield chunk[0][0], lines
