"""A language model of the reader's own text: training that can be resumed, sampling, scoring."""

import math
import re
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch.nn import functional as F
from tqdm import tqdm

from rnncourse._checks import check_choice
from rnncourse.data.text import contiguous_batches
from rnncourse.data.words import UNKNOWN, WordVocabulary, split_sentences
from rnncourse.language_model.torch import LanguageModel, sample
from rnncourse.optim._tree import tree_map
from rnncourse.training.resume import load_resumable, text_hash, train_resumable

KIND = "rnncourse lm, format 1"
END = "</s>"
"""Ends a sentence, at the level of words."""


class Settings(NamedTuple):
    """What a run is, beside its text and its length."""

    level: str = "char"
    """``"char"`` or ``"word"``."""
    cell: str = "lstm"
    hidden: int = 128
    embedding: int | None = None
    """As many as hidden if not given."""
    layers: int = 1
    dropout: float = 0.0
    tied: bool = False
    batch: int = 32
    """Streams, those of all processes together."""
    window: int = 64
    """Steps from one truncation of backpropagation to the next."""
    lr: float = 0.002
    clip: float = 1.0
    seed: int = 0
    held_out: float = 0.1
    """Share of the text, its end, that is not trained on."""


def tokenise(text, level):
    """Cut a text into tokens.

    Parameters
    ----------
    text : str
    level : {"char", "word"}
        Words as :func:`rnncourse.data.words.split_sentences` finds them, with marks and capitals; each
        sentence ends with ``</s>``.

    Returns
    -------
    list of str
    """
    check_choice("level", level, ("char", "word"))
    if level == "char":
        return list(text)
    sentences = split_sentences(text, lower=False, punctuation=True)
    return [token for words in sentences for token in (*words, END)]


def join(tokens, level):
    """Text of the tokens; of words with a blank between any two, and a line for each sentence."""
    if level == "char":
        return "".join(tokens)
    lines = " ".join("\n" if token == END else token for token in tokens)
    return re.sub(" ?\n ?", "\n", lines).strip()


def token_losses(model, ids, B=1, window=1024, progress=False):
    """-ln P of each token of a text, given all those before it in its stream.

    Parameters
    ----------
    model : LanguageModel
    ids : (n,) tensor of int64
    B : int
        The text is cut into so many streams of equal length, each read from a zero state; the few tokens left
        over at the end are dropped. One stream drops nothing.
    window : int
        Steps at once; the result does not depend on it.
    progress : bool
        Whether to show a progress bar on a terminal.

    Returns
    -------
    ((n - 1) // B, B) tensor
        In nats.

    Raises
    ------
    ValueError
        If the text is shorter than B + 1 tokens.
    """
    length = (len(ids) - 1) // B
    if length < 1:
        raise ValueError(f"ids must have at least B + 1 = {B + 1} elements, got {len(ids)}")
    device = model.output.weight.device
    x, y = (part.reshape(B, length).T.to(device) for part in (ids[: B * length], ids[1 : B * length + 1]))
    state, losses = None, []
    with torch.no_grad():
        for start in tqdm(range(0, length, window), disable=None if progress else True):
            logits, state = model(x[start : start + window], state)
            part = y[start : start + window]
            losses.append(F.cross_entropy(logits.flatten(0, 1), part.flatten(), reduction="none"))
    return torch.cat(losses).reshape(length, B)


def train_text(
    text, settings, path, processes, *, steps=None, epochs=None, every=100, resumed=None, say=print
):
    """Train a language model on a text, with a checkpoint after each evaluation on its held-out end.

    The loop and its promise, the same bits after stopping and resuming, are those of
    :func:`rnncourse.training.resume.train_resumable`.

    Parameters
    ----------
    text : str
    settings : Settings
    path : str or path
        Of the checkpoint.
    processes : rnncourse.training.distributed.Processes
    steps, epochs : int, optional
        How long the whole run is, in steps or in passes over the text; on resuming without either, as long as
        was planned before. Else it is 10 epochs.
    every : int
        Steps from one evaluation to the next.
    resumed : dict, optional
        A checkpoint of :func:`load_run`, to go on from.
    say : callable
        Is called with one line of text at a time.

    Returns
    -------
    Trained
        The model as it is after the last step; the best one is in the checkpoint.

    Raises
    ------
    ValueError
        If the text is too short or another one than that of `resumed`, or a setting is out of range.
    """
    if resumed is not None and resumed["text"] != text_hash(text):
        raise ValueError(f"{path} is of another text: it goes on with the one it was started with")
    vocabulary, ids, held_out = _split(text, settings)
    batches = [
        tuple(processes.share(torch.from_numpy(part), 1) for part in batch)
        for batch in contiguous_batches(ids, settings.batch, settings.window)
    ]
    held_out = _share_of_streams(held_out, settings.batch, processes)
    device, carried = processes.device, SimpleNamespace(state=None)

    def batch(place):
        x, y = batches[place % len(batches)]
        return x.to(device), y.to(device), place % len(batches) == 0

    def loss(model, batch):
        x, y, starts = batch
        logits, state = model(x, None if starts else carried.state)
        carried.state = tree_map(torch.Tensor.detach, state)
        return processes.mean(F.cross_entropy(logits.flatten(0, 1), y.flatten()))

    def evaluate(model):
        return processes.mean(token_losses(model, *held_out, settings.window).mean()).item()

    return train_resumable(
        lambda: build_model(settings, len(vocabulary)),
        loss,
        batch,
        evaluate,
        path=path,
        kind=KIND,
        settings=settings,
        content={
            "text": text_hash(text),
            "words": list(vocabulary.words),
            "counts": list(vocabulary.counts),
        },
        epoch=len(batches),
        unit={"char": "character", "word": "word"}[settings.level],
        processes=processes,
        steps=steps,
        epochs=epochs,
        every=every,
        resumed=resumed,
        carried=carried,
        say=say,
    )


def _split(text, settings):
    """Vocabulary of the part for training, ids of that part, ids of the part held out."""
    tokens = tokenise(text, settings.level)
    cut = round((1 - settings.held_out) * len(tokens))
    unit, B, T = {"char": "characters", "word": "words"}[settings.level], settings.batch, settings.window
    if cut < B * T + 1 or len(tokens) - cut < B + 1:
        raise ValueError(
            f"the text is too short: of {cut} {unit} to train on and {len(tokens) - cut} held out, one batch "
            f"of {B} streams in windows of {T} needs {B * T + 1} and {B + 1}"
        )
    # Words that occur once are learnt as the unknown word; characters are few.
    common, specials = (1, (UNKNOWN,)) if settings.level == "char" else (2, (UNKNOWN, END))
    vocabulary = WordVocabulary.of([tokens[:cut]], min_count=common, specials=specials)
    ids = vocabulary.encode(tokens)
    return vocabulary, ids[:cut], ids[cut:]


def _share_of_streams(ids, B, processes):
    """This process's part of the held-out text, as :func:`token_losses` takes it: ids and streams."""
    streams, length = B // processes.size, (len(ids) - 1) // B
    start = processes.rank * streams * length
    return torch.from_numpy(ids[start : start + streams * length + 1]), streams


def build_model(settings, V):
    """Language model of the settings, with V tokens."""
    E = settings.hidden if settings.embedding is None else settings.embedding
    return LanguageModel(
        V, E, settings.hidden, settings.cell, settings.layers, settings.dropout, settings.tied
    )


def load_run(path):
    """Read a checkpoint of :func:`train_text`.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    dict

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`rnncourse.training.checkpoint.load_checkpoint`.
    """
    return load_resumable(path, KIND, Settings)


class TextModel(NamedTuple):
    """A trained model with what it takes to read and write text."""

    model: LanguageModel
    """In evaluation mode, with the weights of the best evaluation."""
    vocabulary: WordVocabulary
    level: str


def load_model(path, device="cpu"):
    """Read the best model of a run.

    Parameters
    ----------
    path : str or path
        Of a checkpoint of :func:`train_text`.
    device : torch.device or str

    Returns
    -------
    TextModel

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`rnncourse.training.checkpoint.load_checkpoint`.
    """
    run = load_run(path)
    vocabulary = WordVocabulary(tuple(run["words"]), tuple(run["counts"]))
    model = build_model(run["settings"], len(vocabulary))
    model.load_state_dict(run["best"])
    return TextModel(model.to(device).eval(), vocabulary, run["settings"].level)


def sample_text(text_model, prompt="", length=200, *, temperature=1.0, top_k=None, nucleus=None, seed=0):
    """Write a text that goes on from a prompt; the unknown token is never drawn.

    Parameters
    ----------
    text_model : TextModel
    prompt : str
        If empty, the text starts on a new line or with a new sentence.
    length : int
        Tokens to draw.
    temperature, top_k, nucleus
        As :func:`rnncourse.language_model.torch.sampling_probabilities` takes them.
    seed : int

    Returns
    -------
    str
        Prompt and continuation.

    Raises
    ------
    ValueError
        If a setting is out of range, or the prompt has a token that the model does not know.
    """
    model, vocabulary, level = text_model
    tokens = tokenise(prompt, level)
    if level == "word" and tokens:
        # A prompt is the beginning of a sentence, not a whole one.
        tokens.pop()
    start = END if level == "word" else "\n"
    if not tokens and start not in vocabulary:
        start = vocabulary.words[1]
    ids = [vocabulary.id(token) for token in tokens or [start]]
    device = model.output.weight.device
    drawn, _ = sample(
        model,
        torch.tensor(ids, device=device)[:, None],
        length,
        temperature=temperature,
        top_k=top_k,
        nucleus=nucleus,
        without=[vocabulary.id(UNKNOWN)],
        generator=torch.Generator(device).manual_seed(seed),
    )
    return join(tokens + vocabulary.decode(drawn[:, 0].cpu().numpy()), level)


class Score(NamedTuple):
    """How well a model predicts a text."""

    tokens: int
    """How many are predicted, all but the first."""
    characters: int
    """Of the text without its first token."""
    unknown: int
    """How many of the tokens the model does not know."""
    bits: float
    """Of all tokens together; an unknown one counts as <unk>, without what it would take to spell it."""
    bits_known: float
    """Of the known tokens alone."""

    @property
    def per_token(self):
        """Bits per token."""
        return self.bits / self.tokens

    @property
    def per_character(self):
        """Bits per character of the text, blanks included."""
        return self.bits / self.characters

    @property
    def perplexity(self):
        """Two to the bits per token."""
        return 2**self.per_token if self.per_token < 1024 else math.inf


def score_text(text_model, text, progress=False):
    """Bits that a model spends on a text, read in one stream from a zero state.

    Parameters
    ----------
    text_model : TextModel
    text : str
    progress : bool
        Whether to show a progress bar on a terminal.

    Returns
    -------
    Score

    Raises
    ------
    ValueError
        If the text has fewer than two tokens.
    """
    model, vocabulary, level = text_model
    tokens = tokenise(text, level)
    if len(tokens) < 2:
        raise ValueError(f"the text must have at least two tokens, got {len(tokens)}")
    ids = torch.from_numpy(vocabulary.encode(tokens))
    bits = token_losses(model, ids, progress=progress)[:, 0].cpu().double() / math.log(2)
    known = ids[1:] != vocabulary.id(UNKNOWN)
    return Score(
        len(tokens) - 1,
        len(text) - len(tokens[0]),
        int((~known).sum()),
        bits.sum().item(),
        bits[known].sum().item(),
    )
