"""Translation of the reader's own pairs: training that can be resumed, and translating."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from rnncourse._checks import check_choice, check_positive
from rnncourse.attention.torch import AttentionSeq2Seq
from rnncourse.beam_search.torch import beam_search
from rnncourse.data.pairs import (
    END,
    SPECIALS,
    START,
    decode_targets,
    encode_sources,
    make_pairs,
    pair_batch,
)
from rnncourse.data.words import WordVocabulary, join_words, split_words
from rnncourse.seq2seq.torch import Seq2Seq, greedy, seq2seq_loss, to_tensors
from rnncourse.training.numpy import bucket_batches
from rnncourse.training.resume import load_resumable, text_hash, train_resumable

KIND = "rnncourse translate, format 1"
LEVELS = ("word", "char")
ATTENTION = ("none", "additive", "general", "dot")
POOL = 50
"""Batches among which pairs are sorted by length."""


class Settings(NamedTuple):
    """What a run is, beside its pairs and its length."""

    source_level: str = "word"
    """``"word"`` or ``"char"``."""
    target_level: str = "word"
    cell: str = "gru"
    hidden: int = 128
    embedding: int | None = None
    """As many as hidden if not given."""
    attention: str = "none"
    """Score by which the decoder attends to the source, ``"additive"``, ``"general"`` or ``"dot"``."""
    reverse: bool = False
    """Whether the source is read from its end."""
    batch: int = 64
    """Pairs, those of all processes together."""
    lr: float = 0.002
    clip: float = 1.0
    seed: int = 0
    held_out: float = 0.1
    """Share of the different sources, drawn with the seed, that are not trained on."""


def tokenise(sentence, level):
    """Cut a sentence into tokens.

    Parameters
    ----------
    sentence : str
    level : {"word", "char"}
        Words as :func:`rnncourse.data.words.split_words` finds them.

    Returns
    -------
    list of str
    """
    check_choice("level", level, LEVELS)
    return split_words(sentence) if level == "word" else list(sentence)


def join(tokens, level):
    """Sentence of the tokens."""
    return join_words(tokens) if level == "word" else "".join(tokens)


def split_pairs(pairs, settings):
    """Sentence pairs to train on, and pairs held out; no source is in both.

    Parameters
    ----------
    pairs : sequence of (str, str)
        Source and target.
    settings : Settings

    Returns
    -------
    train, held_out : PairData
        With the vocabularies of those to train on. Words that occur there once are learnt as the unknown
        word; characters are few.

    Raises
    ------
    ValueError
        If a part is empty, or no word occurs twice.
    """
    levels = settings.source_level, settings.target_level
    sides = [[tokenise(pair[i], level) for pair in pairs] for i, level in enumerate(levels)]
    sources = list(dict.fromkeys(map(tuple, sides[0])))
    count = round(settings.held_out * len(sources))
    if not 0 < count < len(sources):
        raise ValueError(
            f"there are too few pairs: of {len(sources)} different sources, {count} are held out and "
            f"{len(sources) - count} trained on"
        )
    drawn = np.random.default_rng(settings.seed).permutation(len(sources))[:count]
    kept_apart = {sources[i] for i in drawn}
    apart = [tuple(source) in kept_apart for source in sides[0]]
    train, held_out = (
        [[row for row, a in zip(side, apart, strict=True) if a == held] for side in sides]
        for held in (False, True)
    )
    vocabularies = []
    for name, side, level in zip(("sources", "targets"), train, levels, strict=True):
        try:
            made = WordVocabulary.of(side, min_count=2 if level == "word" else 1, specials=SPECIALS)
        except ValueError:
            raise ValueError(
                f"no word of the {name} occurs twice, as a word must to be learnt: more pairs or level char "
                "may help"
            ) from None
        vocabularies.append(made)
    return make_pairs(*train, vocabularies=vocabularies), make_pairs(*held_out, vocabularies=vocabularies)


def pairs_hash(pairs):
    """SHA-256 of sentence pairs."""
    return text_hash("\n".join(f"{source}\t{target}" for source, target in pairs))


def train_pairs(
    pairs, settings, path, processes, *, steps=None, epochs=None, every=100, resumed=None, say=print
):
    """Train a translator on sentence pairs, with a checkpoint after each evaluation on pairs held out.

    The loop and its promise, the same bits after stopping and resuming, are those of
    :func:`rnncourse.training.resume.train_resumable`. Batches have targets of like length and are drawn anew
    for each epoch. The loss is a mean over the tokens of the targets; several processes share a batch pair by
    pair and count each token alike, so that their loss is that of one process.

    Parameters
    ----------
    pairs : sequence of (str, str)
        Source and target.
    settings : Settings
    path : str or path
        Of the checkpoint.
    processes : rnncourse.training.distributed.Processes
    steps, epochs, every, resumed, say
        As :func:`rnncourse.training.resume.train_resumable` takes them.

    Returns
    -------
    Trained
        The model as it is after the last step; the best one is in the checkpoint.

    Raises
    ------
    ValueError
        If there are too few pairs or other ones than those of `resumed`, or a setting is out of range.
    """
    if resumed is not None and resumed["pairs"] != pairs_hash(pairs):
        raise ValueError(f"{path} is of other pairs: it goes on with those it was started with")
    data, held_out = split_pairs(pairs, settings)
    lengths = np.array([len(target) + 1 for target in data.target])
    rank, size, device = processes

    @lru_cache(maxsize=1)
    def order(epoch):
        rng = np.random.default_rng((settings.seed, epoch))
        return bucket_batches(lengths, settings.batch, rng, POOL)

    per_epoch = len(order(0))

    def batch(place):
        epoch, k = divmod(place, per_epoch)
        indices = order(epoch)[k]
        mine = indices[rank::size]
        share = lengths[mine].sum() / lengths[indices].sum()
        # A process without a pair goes through the motions, as the others wait for its gradient.
        part = pair_batch(data, mine if len(mine) else indices[:1], reverse=settings.reverse)
        return to_tensors(part, device), float(size * share)

    def loss(model, batch):
        part, weight = batch
        return processes.mean(weight * seq2seq_loss(model, part))

    own = np.argsort([len(target) for target in held_out.target], kind="stable")[rank::size]
    own = [own[i : i + settings.batch] for i in range(0, len(own), settings.batch)]
    own = [pair_batch(held_out, indices, reverse=settings.reverse) for indices in own]
    tokens = sum(len(target) + 1 for target in held_out.target)

    def evaluate(model):
        total = torch.zeros((), dtype=torch.float64, device=device)
        for part in own:
            total += seq2seq_loss(model, to_tensors(part, device)) * int(part.target_lengths.sum())
        return processes.mean(total).item() * size / tokens

    sides = {"source": data.source_vocabulary, "target": data.target_vocabulary}
    return train_resumable(
        lambda: build_model(settings, *map(len, sides.values())),
        loss,
        batch,
        evaluate,
        path=path,
        kind=KIND,
        settings=settings,
        content={
            "pairs": pairs_hash(pairs),
            **{f"{side}_words": list(vocabulary.words) for side, vocabulary in sides.items()},
            **{f"{side}_counts": list(vocabulary.counts) for side, vocabulary in sides.items()},
            "longest": int(lengths.max()),
        },
        epoch=per_epoch,
        unit={"char": "character", "word": "word"}[settings.target_level],
        processes=processes,
        steps=steps,
        epochs=epochs,
        every=every,
        resumed=resumed,
        say=say,
    )


def build_model(settings, V_source, V_target):
    """Encoder and decoder of the settings, with so many tokens on each side."""
    H, cell, score = settings.hidden, settings.cell, settings.attention
    E = H if settings.embedding is None else settings.embedding
    check_choice("attention", score, ATTENTION)
    if score == "none":
        return Seq2Seq(V_source, V_target, E, H, cell)
    if cell != "gru":
        raise ValueError(f"attention is for the cell 'gru', got {cell!r}")
    return AttentionSeq2Seq(V_source, V_target, E, H, score=score)


def load_run(path):
    """Read a checkpoint of :func:`train_pairs`.

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


class Translator(NamedTuple):
    """A trained model with what it takes to read and write sentences."""

    model: Seq2Seq
    """In evaluation mode, with the weights of the best evaluation."""
    source_vocabulary: WordVocabulary
    target_vocabulary: WordVocabulary
    settings: Settings
    longest: int
    """Tokens of the longest target trained on, ``</s>`` counted."""


def load_translator(path, device="cpu"):
    """Read the best model of a run.

    Parameters
    ----------
    path : str or path
        Of a checkpoint of :func:`train_pairs`.
    device : torch.device or str

    Returns
    -------
    Translator

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`rnncourse.training.checkpoint.load_checkpoint`.
    """
    run = load_run(path)
    vocabularies = [
        WordVocabulary(tuple(run[f"{side}_words"]), tuple(run[f"{side}_counts"]))
        for side in ("source", "target")
    ]
    model = build_model(run["settings"], *map(len, vocabularies))
    model.load_state_dict(run["best"])
    return Translator(model.to(device).eval(), *vocabularies, run["settings"], run["longest"])


class Translation(NamedTuple):
    """A translation, and what a reader of it should know."""

    text: str
    """Of a blank sentence it is empty. A word that the model would not know is ``<unk>``."""
    unknown: tuple
    """Tokens of the source that were read as ``<unk>``."""
    cut: bool
    """Whether it was cut off at the largest length."""


class Exact(NamedTuple):
    """How many held-out sources are translated to the letter."""

    exact: int
    sources: int
    """All, or as many as were tried."""


def count_exact(translator, pairs, most=1000, B=64):
    """Translate the sources that a run held out, and compare with their translations.

    Parameters
    ----------
    translator : Translator
        Of a run on these pairs.
    pairs : sequence of (str, str)
        Source and target.
    most : int
        Try so many of the sources.
    B : int
        Sentences at a time.

    Returns
    -------
    Exact
        A source with several translations counts once, and any of them is right.
    """
    settings = translator.settings
    _, held_out = split_pairs(pairs, settings)
    right = {}
    for source, target in zip(held_out.source, held_out.target, strict=True):
        right.setdefault(join(source, settings.source_level), set()).add(join(target, settings.target_level))
    sources = list(right)[:most]
    # Longer ones would be wrong.
    longest = max(len(target) for target in held_out.target) + 1
    exact = 0
    for start in range(0, len(sources), B):
        part = sources[start : start + B]
        found = translate(translator, part, longest)
        exact += sum(f.text in right[source] for source, f in zip(part, found, strict=True))
    return Exact(exact, len(sources))


def translate(translator, sentences, max_length=None, beam=1, alpha=0.0):
    """Translate sentences.

    Parameters
    ----------
    translator : Translator
    sentences : sequence of str
    max_length : int, optional
        Cut a translation after so many tokens; by default after twice as many as the longest in training had.
    beam : int
        1 takes the likeliest token at each step; more are the width of a beam search.
    alpha : float
        Exponent of the length by which a beam search divides log P.

    Returns
    -------
    list of Translation

    Raises
    ------
    ValueError
        If a setting is out of range.
    """
    model, source_vocabulary, target_vocabulary, settings, longest = translator
    check_positive("beam", beam)
    max_length = 2 * longest if max_length is None else max_length
    tokens = [tokenise(sentence.strip(), settings.source_level) for sentence in sentences]
    places = [i for i, row in enumerate(tokens) if row]
    found = [Translation("", (), False)] * len(tokens)
    if not places:
        return found
    device = model.output.weight.device
    rows = [tokens[i] for i in places]
    source, lengths = encode_sources(rows, source_vocabulary, reverse=settings.reverse)
    source, lengths = torch.from_numpy(source).to(device), torch.from_numpy(lengths)
    if beam == 1:
        ids = greedy(model, source, lengths, max_length).cpu().numpy()
    else:
        ids = _search(model, source, lengths, K=beam, alpha=alpha, max_length=max_length)
    texts = decode_targets(ids, target_vocabulary)
    for place, row, words, column in zip(places, rows, texts, ids.T, strict=True):
        unknown = tuple(join([t], settings.source_level) for t in row if t not in source_vocabulary)
        found[place] = Translation(join(words, settings.target_level), unknown, END not in column)
    return found


@torch.no_grad()
def _search(model, source, lengths, **settings):
    """Ids (T, B) of the best of a beam, with ``END`` where one ends, and behind it."""

    def step(tokens, state):
        logits, state = model.step(tokens, state)
        return logits.log_softmax(-1), state

    _, state = model.encode(source, lengths)
    return beam_search(step, state, source.shape[1], bos=START, eos=END, axis=1, **settings).tokens[:, :, 0]
