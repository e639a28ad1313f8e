"""Where translation through one vector breaks: by length, width, order of reading and way of training."""

from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_positive
from rnncourse.bleu.numpy import corpus_bleu
from rnncourse.data.numbers import number_pairs
from rnncourse.data.pairs import (
    PAD,
    decode_targets,
    grammar_pairs,
    length_mask,
    make_pairs,
    pair_batch,
    pair_batches,
)
from rnncourse.language_model.numpy import LMParams
from rnncourse.lstm.character import pack_rows, unpack_rows
from rnncourse.optim import Adam
from rnncourse.rnn.numpy import OutputParams
from rnncourse.seq2seq.numpy import (
    CELLS,
    Seq2SeqParams,
    greedy,
    scheduled_inputs,
    seq2seq_forward,
    seq2seq_init,
    seq2seq_loss,
)
from rnncourse.training.numpy import train

RATES = {"lr": 0.01, "last_lr": 0.002, "clip": 1.0}
SETTING = {"pairs": 20000, "B": 64, "E": 32, "steps": 1300, "last": 300} | RATES
"""Of every training: so many steps at the first rate, then the last ones at the smaller one."""
RUNS = {
    "H32": {"H": 32, "reverse": True},
    "H64": {"H": 64, "reverse": True},
    "H128": {"H": 128, "reverse": True},
    "forwards": {"H": 64, "reverse": False},
    "scheduled": {"H": 64, "reverse": True, "epsilon": 0.5},
}
"""By name: width, whether the source is read backwards, and the share of right words at the end, if not 1."""
SEEDS = 3
EDGES = (4, 6, 8, 10, 12, 15, 19)
"""Source lengths at which a bin begins; the last one is open."""
NUMBER_RUNS = {
    "German, backwards": ("german", True, 7),
    "German, forwards": ("german", False, 7),
    "German in English order, backwards": ("english order", True, 7),
    "digits, backwards": ("digits", True, 3),
}
"""By name: target, whether the source is read backwards, and how many seeds, from 0 on."""
NUMBERS = {"pairs": 10000, "B": 64, "E": 16, "H": 64, "steps": 1200, "last": 300} | RATES
LIVE_STEPS = 20


class Data(NamedTuple):
    """Sentences to learn from and to test on; no test sentence is learnt from."""

    learn: object
    """PairData, as the grammar draws them."""
    natural: object
    """PairData of 1,000 different sentences, as the grammar draws them."""
    long: object
    """PairData with 0 .. 12 words between subject and verb, each equally often: more long ones."""


def draw_data(seed, pairs=SETTING["pairs"]):
    """Draw sentences for one seed.

    Parameters
    ----------
    seed : int
    pairs : int
        Sentences to learn from, those of the tests included, which are then taken out.

    Returns
    -------
    Data
    """
    rng = np.random.default_rng(seed)
    learn = grammar_pairs(rng, pairs)
    natural = _distinct(grammar_pairs(rng, 1500), 1000)
    long = _distinct(grammar_pairs(rng, 1600, range(13)), 1300)
    tested = {*natural.source, *long.source}
    kept = [i for i, sentence in enumerate(learn.source) if sentence not in tested]
    return Data(_chosen(learn, kept), natural, long)


def _distinct(data, count):
    first = {sentence: i for i, sentence in reversed(list(enumerate(data.source)))}
    return _chosen(data, sorted(first.values())[:count])


def _chosen(data, indices):
    return data._replace(
        source=tuple(data.source[i] for i in indices), target=tuple(data.target[i] for i in indices)
    )


def learn_pairs(learn, seed, setting, H, *, reverse=True, epsilon=1.0, steps=None, dtype=np.float32):
    """Train an encoder and a decoder with GRUs.

    Parameters
    ----------
    learn : PairData
    seed : int
        Of the first parameters and the order of the batches.
    setting : dict
        As ``SETTING``.
    H : int
    reverse : bool
        Whether the source is read backwards.
    epsilon : float
        Share of right words that the decoder reads at the end; it falls evenly from 1 at the start.
    steps : int, optional
        Stop early, within the steps at the first rate.
    dtype : dtype

    Returns
    -------
    params : Seq2SeqParams
    losses : (steps,) array

    Raises
    ------
    ValueError
        If `steps` is no integer from 1 to ``setting["steps"]``, or a size is out of range.
    """
    if steps is not None:
        check_positive("steps", steps)
        if steps > setting["steps"]:
            raise ValueError(f"steps must be at most {setting['steps']}, got {steps}")
    rng = np.random.default_rng([seed, 1])
    sizes = len(learn.source_vocabulary), len(learn.target_vocabulary), setting["E"], H
    params = seq2seq_init(rng, *sizes, dtype=dtype)
    first, last, clip = setting["steps"], setting["last"], setting["clip"]
    shares = np.linspace(1, epsilon, first + last)
    batches = zip(pair_batches(learn, setting["B"], rng, reverse=reverse), shares, strict=False)

    def loss(params, item):
        batch, share = item
        if epsilon < 1:
            batch = batch._replace(target_input=scheduled_inputs(rng, batch, params, share))
        return seq2seq_loss(batch, params)

    steps_now = first if steps is None else steps
    run = train(loss, params, batches, Adam(setting["lr"]), steps=steps_now, clip=clip)
    if steps is not None:
        return run.params, run.history.loss
    slow = Adam(setting["last_lr"])
    end = train(loss, run.params, batches, slow, steps=last, clip=clip, state=run.state)
    return end.params, np.concatenate([run.history.loss, end.history.loss])


def measure(params, data, *, reverse=True):
    """How good the translations of each sentence are.

    Parameters
    ----------
    params : Seq2SeqParams
    data : PairData
    reverse : bool

    Returns
    -------
    dict
        ``words``: right words of each sentence when the right words before are read, ``own``: when its own
        are, both position by position; ``length``: words with ``</s>``; ``exact``: whether the greedy
        translation is the reference; ``hypotheses``: the translations; ``mask``, ``words_at`` and ``own_at``
        (T, B): which positions hold a word, and where it is right, counted from the start.
    """
    batch = pair_batch(data, reverse=reverse)
    logits, _ = seq2seq_forward(batch.source, batch.source_lengths, batch.target_input, params)
    T = len(logits)
    mask = length_mask(batch.target_lengths, T)
    ids, _ = greedy(batch.source, batch.source_lengths, params, max_length=T + 10)
    hypotheses = decode_targets(ids, data.target_vocabulary)
    ids = np.concatenate([ids, np.full((T, ids.shape[1]), PAD)])[:T]
    words_at, own_at = ((said == batch.target) & mask for said in (logits.argmax(axis=-1), ids))
    return {
        "words": words_at.sum(axis=0),
        "own": own_at.sum(axis=0),
        "words_at": words_at,
        "own_at": own_at,
        "mask": mask,
        "length": batch.target_lengths,
        "exact": np.array([h == r for h, r in zip(hypotheses, data.target, strict=True)]),
        "hypotheses": hypotheses,
    }


def summarise(measured, data, groups):
    """Scores of groups of sentences.

    Parameters
    ----------
    measured : dict
        From :func:`measure`.
    data : PairData
    groups : sequence of arrays of int
        Indices of sentences.

    Returns
    -------
    dict
        Lists, one number a group: ``words`` and ``own``, shares of right words, ``exact``, the share of
        sentences translated exactly, and ``bleu``.
    """
    found = {"words": [], "own": [], "exact": [], "bleu": []}
    for group in groups:
        for name in ("words", "own"):
            found[name].append(measured[name][group].sum() / measured["length"][group].sum())
        found["exact"].append(measured["exact"][group].mean())
        hypotheses, right = (
            [sentences[i] for i in group] for sentences in (measured["hypotheses"], data.target)
        )
        found["bleu"].append(corpus_bleu(hypotheses, [[sentence] for sentence in right]))
    return {name: np.round(values, 4).tolist() for name, values in found.items()}


def profile(measured, data, groups):
    """Where in the translation groups of sentences go wrong, and how long it is.

    Parameters
    ----------
    measured : dict
        From :func:`measure`.
    data : PairData
    groups : sequence of arrays of int

    Returns
    -------
    dict
        For each group: ``words`` and ``own``, the share of right words at each position that at least half of
        the right translations have, ``</s>`` counted; ``ratio``, words said over words of the references.
    """
    found = {"words": [], "own": [], "ratio": []}
    for group in groups:
        mask = measured["mask"][:, group]
        kept = mask.mean(axis=1) >= 0.5
        for name in ("words", "own"):
            share = measured[f"{name}_at"][:, group].sum(axis=1)[kept] / mask.sum(axis=1)[kept]
            found[name].append(np.round(share, 4).tolist())
        said, right = (sum(len(part[i]) for i in group) for part in (measured["hypotheses"], data.target))
        found["ratio"].append(round(said / right, 4))
    return found


def total(measured, data):
    """Scores of all sentences together, one number each; see :func:`summarise`."""
    every = [np.arange(len(data.source))]
    return {name: values[0] for name, values in summarise(measured, data, every).items()}


def length_groups(data, edges=EDGES):
    """Indices of the sentences in each bin of source lengths.

    Parameters
    ----------
    data : PairData
    edges : sequence of int
        Where a bin begins.

    Returns
    -------
    list of arrays of int
    """
    bins = np.digitize([len(sentence) for sentence in data.source], edges) - 1
    return [np.flatnonzero(bins == k) for k in range(len(edges))]


def run_once(name, seed, data):
    """Train and test one of ``RUNS``.

    Returns
    -------
    params : Seq2SeqParams
    scores : dict
    """
    options = dict(RUNS[name])
    reverse = options["reverse"]
    params, losses = learn_pairs(data.learn, seed, SETTING, **options)
    groups = length_groups(data.long)
    measured = measure(params, data.long, reverse=reverse)
    scores = {
        "seed": seed,
        "loss": losses.reshape(-1, 100).mean(axis=1).round(4).tolist(),
        "by_length": summarise(measured, data.long, groups),
        "natural": total(measure(params, data.natural, reverse=reverse), data.natural),
    }
    if name == "H64":
        sizes = {"learnt": length_groups(data.learn), "tested": groups}
        scores |= {key: [len(group) for group in parts] for key, parts in sizes.items()}
        scores["profile"] = profile(measured, data.long, groups)
    return params, scores


def record_length():
    """Every run of ``RUNS`` with every seed: ``book/results/seq2seq-length.json``.

    Two models are kept, H = 32 and H = 64 of the first seed, one byte a weight, for the chapter to look at.
    """
    runs, models = {name: [] for name in RUNS}, {}
    for seed in range(SEEDS):
        data = draw_data(seed)
        for name in RUNS:
            params, scores = run_once(name, seed, data)
            runs[name].append(scores)
            if seed == 0 and name in ("H32", "H64"):
                models[name] = pack(params)
    return {
        "setting": SETTING,
        "edges": list(EDGES),
        "runs": {name: RUNS[name] | {"seeds": scores} for name, scores in runs.items()},
        "start": start_losses(),
        "models": models,
    }


def start_losses():
    """The losses of the first steps of the run H32, seed 0, in float64 on fewer sentences."""
    data = draw_data(0, pairs=1000)
    _, losses = learn_pairs(data.learn, 0, SETTING, 32, steps=LIVE_STEPS, dtype=np.float64)
    return losses.tolist()


def number_data(seed, target="german", pairs=NUMBERS["pairs"], tests=2000):
    """Numbers to learn from and others to test on, English words to another form.

    Parameters
    ----------
    seed : int
        The same numbers for every target.
    target : {"german", "digits", "english order"}
        The last one is German with the ten before the unit: the words and their number are the same, the
        order is that of the English.
    pairs, tests : int

    Returns
    -------
    learn, test : PairData
    """
    rng = np.random.default_rng([seed, 2])
    form = "german" if target == "english order" else target
    source, written = zip(*number_pairs(rng, pairs + tests, source="english", target=form), strict=True)
    data = make_pairs(source, [_ten_first(words) for words in written] if form != target else written)
    return _chosen(data, range(pairs)), _chosen(data, range(pairs, pairs + tests))


def _ten_first(words):
    """("ein", "und", "zwanzig") as ("zwanzig", "und", "ein")."""
    words = list(words)
    for i, word in enumerate(words):
        if word == "und":
            words[i - 1], words[i + 1] = words[i + 1], words[i - 1]
    return tuple(words)


def number_scores(name, seed):
    """Train and test one of ``NUMBER_RUNS``: its scores."""
    target, reverse, _ = NUMBER_RUNS[name]
    learn, test = number_data(seed, target)
    params, _ = learn_pairs(learn, seed, NUMBERS, NUMBERS["H"], reverse=reverse)
    return {"seed": seed} | total(measure(params, test, reverse=reverse), test)


def record_numbers():
    """English numbers to German ones and to digits: ``book/results/seq2seq-numbers.json``."""
    runs = {
        name: [number_scores(name, seed) for seed in range(seeds)]
        for name, (_, _, seeds) in NUMBER_RUNS.items()
    }
    return {"setting": NUMBERS, "runs": runs}


def pack(params):
    """Store a model as JSON values, one byte a weight and a scale for each row.

    Parameters
    ----------
    params : Seq2SeqParams

    Returns
    -------
    dict
        For :func:`unpack`.
    """
    decoder = params.decoder
    parts = {
        "encoder": params.encoder._asdict() | {"embedding": params.embedding},
        "decoder": decoder.cell._asdict() | {"embedding": decoder.embedding},
        "output": decoder.output._asdict(),
    }
    return {
        name: {key: pack_rows(a.reshape(len(a), -1)) for key, a in part.items()}
        for name, part in parts.items()
    }


def unpack(packed, dtype=np.float64):
    """Parameters from what :func:`pack` stored.

    Parameters
    ----------
    packed : dict
    dtype : dtype

    Returns
    -------
    Seq2SeqParams
    """
    parts = {name: {key: unpack_rows(a, dtype) for key, a in part.items()} for name, part in packed.items()}
    kind = CELLS["gru"][0]

    def build(kind, part):
        return kind(*(part[f] if f.startswith("weight") else part[f][:, 0] for f in kind._fields))

    encoder, decoder, output = parts["encoder"], parts["decoder"], parts["output"]
    return Seq2SeqParams(
        encoder["embedding"],
        build(kind, encoder),
        LMParams(decoder["embedding"], build(kind, decoder), build(OutputParams, output)),
    )


RECORDS = {"length": record_length, "numbers": record_numbers}
