"""The commands `rnncourse translate`: a translator of the reader's own sentence pairs."""

import click

from rnncourse._commands import (
    AT_LEAST_1,
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
@model_options()
@options(
    click.option("--reverse", is_flag=True, help="Read the source from its end."),
    click.option("--batch", type=AT_LEAST_1, default=64, help="Pairs, over all processes."),
)
@run_options("pairs", " (of different sources), drawn", "translator")
@click.pass_context
def train(context, file, steps, epochs, every, device, out, resume, **settings):
    """Train a translator on PAIRS, a file in UTF-8 with a source, a tab and its translation on each line.

    After every so many steps it is evaluated on pairs held out and a checkpoint is written: Ctrl-C or a crash
    loses what came after the last one. A resumed run ends with the same bits as one that was never stopped,
    on the same machine with the same number of threads.

    Words that occur once are learnt as the unknown word, <unk>.

    Several GPUs: torchrun --nproc-per-node 2 -m rnncourse.cli translate train PAIRS; several machines: the
    same on each, with torchrun's --nnodes and --rdzv-endpoint. The processes share --batch evenly; all must
    see the same PAIRS and --out, and the first one writes.
    """
    with one_sentence(SMALLER):
        from rnncourse.data.files import read_pairs
        from rnncourse.seq2seq.training import Settings, load_run, train_pairs

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
        )


@translate.command(context_settings={"show_default": True})
@click.argument("checkpoint")
@click.argument("file", default="-")
@click.option(
    "--max-length", type=AT_LEAST_1, help="Tokens of a translation.  [default: twice the longest in training]"
)
@click.option("--device", default="cpu")
def run(checkpoint, file, max_length, device):
    """Translate FILE with the best model in CHECKPOINT, a file or its folder: a line for each line.

    Without FILE, or with -, it reads what it is sent. Words that the model does not know are read as <unk>,
    and named once.
    """
    with one_sentence("FILE"):
        from rnncourse.seq2seq.training import load_translator
        from rnncourse.seq2seq.training import translate as translated

        translator = load_translator(checkpoint_file(checkpoint), find_device(device))
        named = set()
        for number, sentences in _chunks(file):
            for i, translation in enumerate(translated(translator, sentences, max_length), start=number):
                click.echo(translation.text)
                unknown = [token for token in dict.fromkeys(translation.unknown) if token not in named]
                named.update(unknown)
                if unknown:
                    click.echo(f"line {i}: unknown, read as <unk>: {' '.join(unknown)}", err=True)
                if translation.cut:
                    click.echo(
                        f"line {i}: the translation is cut off, --max-length makes it longer", err=True
                    )


def _chunks(file):
    """The lines of a file or of the standard input, some at a time, with the number of the first of them."""
    name = "the input" if file == "-" else file
    stream = click.get_binary_stream("stdin") if file == "-" else click.open_file(file, "rb")
    at_once = 1 if stream.isatty() else BATCH
    with stream:
        chunk = []
        for number, line in enumerate(stream, start=1):
            try:
                chunk.append(line.decode("utf-8-sig" if number == 1 else "utf-8").strip())
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{name} is not UTF-8: line {number} has the byte 0x{line[error.start]:02x}"
                ) from None
            if len(chunk) == at_once:
                yield number - len(chunk) + 1, chunk
                chunk = []
        if chunk:
            yield number - len(chunk) + 1, chunk
