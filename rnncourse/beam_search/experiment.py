"""Search errors and model errors of trained translation models, and what a wider beam costs."""

import time
import tracemalloc
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from rnncourse._numerics import log_softmax
from rnncourse.beam_search.numpy import beam_search, exact_search
from rnncourse.beam_search.search import STOPPINGS, error_analysis, length_score
from rnncourse.bleu.numpy import corpus_bleu
from rnncourse.data.pairs import (
    END,
    START,
    UNK,
    decode_targets,
    grammar_pairs,
    pair_batch,
    pair_batches,
)
from rnncourse.optim import Adam
from rnncourse.seq2seq.numpy import decode_step, encode, seq2seq_init, seq2seq_logprob, seq2seq_loss
from rnncourse.training.numpy import train

MODELS = {
    "base": {"cell": "gru", "pairs": 2000, "noise": 0.0},
    "more data": {"cell": "gru", "pairs": 8000, "noise": 0.0},
    "other architecture": {"cell": "lstm", "pairs": 2000, "noise": 0.0},
    "regularised": {"cell": "gru", "pairs": 2000, "noise": 0.1},
    "data and architecture": {"cell": "lstm", "pairs": 8000, "noise": 0.0},
}
SETTINGS = {
    "models": MODELS,
    "E": 32,
    "H": 64,
    "B": 32,
    "lr": 0.005,
    "steps": 800,
    "seeds": {"data and architecture": 8, "others": 3},
    "train_clauses": [0, 1, 2, 3],
    "long_clauses": [4, 5],
    "sentences": 200,
    "width_sentences": 100,
    "max_length": 30,
    "widths": [1, 2, 4, 8, 16, 32, 64],
    "alphas": [0.0, 0.5, 1.0, 1.5],
    "stopping_alphas": [0.0, 1.0],
    "exact_limit": 2000,
    "verdict_alpha": 1.0,
    "verdict_widths": [1, 2, 4, 8],
}


class Task(NamedTuple):
    """Sentences to translate, read by a trained encoder."""

    step: object
    """Step function of the decoder."""
    state: object
    """What the encoder hands over, B sentences."""
    references: tuple
    """The right translations."""
    lengths: np.ndarray
    """Their tokens, ``</s>`` counted."""
    logprob: np.ndarray
    """log P of them under the model."""
    vocabulary: object


def train_model(seed, cell, pairs, noise, steps=SETTINGS["steps"]):
    """Train an encoder and decoder on the grammar, clauses of 0 to 3 words.

    Parameters
    ----------
    seed : int
    cell : {"gru", "lstm"}
    pairs : int
        Sentence pairs that there are to train on.
    noise : float
        Share of the words read, on both sides, that are replaced by ``<unk>`` in training.
    steps : int

    Returns
    -------
    Seq2SeqParams
    """
    rng = np.random.default_rng(seed)
    data = grammar_pairs(rng, pairs, clauses=SETTINGS["train_clauses"])
    sizes = len(data.source_vocabulary), len(data.target_vocabulary), SETTINGS["E"], SETTINGS["H"]
    params = seq2seq_init(rng, *sizes, cell)

    def loss(params, batch):
        if noise:
            source, target = (
                np.where((rng.random(ids.shape) < noise) & (ids > UNK), UNK, ids)
                for ids in (batch.source, batch.target_input)
            )
            batch = batch._replace(source=source, target_input=target)
        return seq2seq_loss(batch, params)

    batches = pair_batches(data, SETTINGS["B"], rng)
    return train(loss, params, batches, Adam(SETTINGS["lr"]), steps=steps, clip=5.0, progress=False).params


def make_task(params, clauses, sentences=SETTINGS["sentences"], seed=1000):
    """Fresh sentences with these clauses, for a trained model.

    Parameters
    ----------
    params : Seq2SeqParams
    clauses : sequence of int
        Words between subject and verb.
    sentences, seed : int

    Returns
    -------
    Task
    """
    return task_of(params, grammar_pairs(np.random.default_rng(seed), sentences, clauses=clauses))


def task_of(params, data):
    """The task of translating these pairs, for a trained model."""
    batch = pair_batch(data)
    _, state = encode(batch.source, batch.source_lengths, params)

    def step(tokens, state):
        logits, state = decode_step(tokens, state, params)
        return log_softmax(logits), state

    logprob = seq2seq_logprob(batch, params)
    return Task(step, state, data.target, batch.target_lengths, logprob, data.target_vocabulary)


def translate(task, K, max_length=SETTINGS["max_length"], **settings):
    """Beam search on a task.

    Parameters
    ----------
    task : Task
    K, max_length, **settings
        As for :func:`rnncourse.beam_search.numpy.beam_search`.

    Returns
    -------
    Beams
    """
    B = len(task.lengths)
    return beam_search(task.step, task.state, B, K=K, bos=START, eos=END, max_length=max_length, **settings)


def exact_scores(task, beams, alpha=0.0, max_length=SETTINGS["max_length"]):
    """The best score there is for each sentence, searched for above that of `beams`.

    Returns
    -------
    score : (B,) array
    proved : (B,) array of bool
        Whether the search covered every output.
    """
    score, proved = beams.score[:, 0].copy(), np.zeros(len(beams.score), bool)
    for b in range(len(score)):
        one = tuple(s[b : b + 1] for s in task.state) if isinstance(task.state, tuple) else task.state[[b]]
        best, proved[b] = exact_search(
            task.step,
            one,
            bos=START,
            eos=END,
            max_length=max_length,
            alpha=alpha,
            floor=score[b],
            limit=SETTINGS["exact_limit"],
        )
        if best is not None:
            score[b] = best.score[0, 0]
    return score, proved


def quality(task, beams):
    """Corpus BLEU, and which outputs are the reference.

    Returns
    -------
    bleu : float
    right : (B,) array of bool
    """
    words = decode_targets(beams.tokens[:, :, 0], task.vocabulary)
    right = np.array([a == b for a, b in zip(words, task.references, strict=True)])
    return corpus_bleu([list(w) for w in words], [[list(r)] for r in task.references]), right


def summary(task, beams, alpha=0.0, normalisation="power", exact=None):
    """What one search did, as numbers: means and counts over the sentences.

    ``search_by_margin`` counts the wrong outputs whose reference scores higher, the test of the notes;
    ``search_by_exact`` those for which exact search found a higher score.
    """
    bleu, right = quality(task, beams)
    score = beams.score[:, 0]
    reference = length_score(task.logprob, task.lengths, alpha, normalisation)
    found = {
        "score": float(score.mean()),
        "logprob": float(beams.logprob[:, 0].mean()),
        "length": float(beams.lengths[:, 0].mean()),
        "bleu": float(bleu),
        "right": int(right.sum()),
        "search_by_margin": int((error_analysis(reference, score).search & ~right).sum()),
        "steps": float(beams.steps.mean()),
    }
    if exact is not None:
        missed = exact > score + 1e-9
        found |= {"missed": int(missed.sum()), "search_by_exact": int((missed & ~right).sum())}
    return found


def width_run(params, clauses):
    """One model and one kind of sentences: every width at alpha 0; alphas and stopping rules at K = 8.

    Returns
    -------
    dict
    """
    task = make_task(params, clauses, SETTINGS["width_sentences"])
    searches = {K: translate(task, K) for K in SETTINGS["widths"]}
    exact, proved = exact_scores(task, searches[SETTINGS["widths"][-1]])
    run = {
        "reference_length": float(task.lengths.mean()),
        "reference_logprob": float(task.logprob.mean()),
        "exact": float(exact.mean()),
        "proved": int(proved.sum()),
        "widths": [summary(task, beams, exact=exact) for beams in searches.values()],
        "worse": [
            int((searches[2 * K].score[:, 0] < searches[K].score[:, 0] - 1e-9).sum())
            for K in SETTINGS["widths"][:-1]
        ],
    }
    for normalisation in ("power", "gnmt"):
        run[normalisation] = [
            summary(task, translate(task, 8, alpha=alpha, normalisation=normalisation), alpha, normalisation)
            for alpha in SETTINGS["alphas"]
        ]
    run["stopping"] = [stopping_run(task, alpha) for alpha in SETTINGS["stopping_alphas"]]
    return run


def stopping_run(task, alpha, K=8):
    """How many sentences each stopping rule ends with a lower score than the safe one, and its mean steps."""
    safe = translate(task, K, alpha=alpha).score[:, 0]
    run = {}
    for stopping in STOPPINGS[:4]:
        beams = translate(task, K, alpha=alpha, stopping=stopping)
        lower = int((beams.score[:, 0] < safe - 1e-9).sum())
        run[stopping] = {"lower": lower, "steps": float(beams.steps.mean())}
    return run


def remedy_run(params):
    """The errors of one model at K = 1, 8 and 64, on sentences as long as those it was trained on."""
    task = make_task(params, SETTINGS["train_clauses"])
    searches = {K: translate(task, K) for K in (1, 8, 64)}
    exact, proved = exact_scores(task, searches[64])
    found = {str(K): summary(task, beams, exact=exact) for K, beams in searches.items()}
    return found | {"proved": int(proved.sum())}


def record_errors():
    """Every model and seed: ``book/results/beam_search-errors.json``, about three minutes."""
    runs, widths = {name: [] for name in MODELS}, []
    for name, settings in MODELS.items():
        seeds = SETTINGS["seeds"].get(name, SETTINGS["seeds"]["others"])
        for seed in tqdm(range(seeds), name):
            params = train_model(seed, **settings)
            runs[name].append(remedy_run(params))
            if name == "data and architecture":
                widths.append(
                    {
                        "usual": width_run(params, SETTINGS["train_clauses"]),
                        "long": width_run(params, SETTINGS["long_clauses"]),
                    }
                )
    return {"settings": SETTINGS, "models": runs, "widths": widths}


def verdict_run(params):
    """Wrong outputs at alpha = 1, and verdicts on them by the score searched for and by log P alone.

    Returns
    -------
    dict
        For the stopping rules "first" and "current", one dict for each width: ``wrong``, ``by_score`` and
        ``by_logprob`` (search errors by either comparison), ``differ`` (outputs on which they differ).
    """
    task, alpha = make_task(params, SETTINGS["train_clauses"]), SETTINGS["verdict_alpha"]
    reference = length_score(task.logprob, task.lengths, alpha)
    run = {"first": [], "current": []}
    for stopping, rows in run.items():
        for K in SETTINGS["verdict_widths"]:
            beams = translate(task, K, alpha=alpha, stopping=stopping)
            wrong = ~quality(task, beams)[1]
            by_score = wrong & error_analysis(reference, beams.score[:, 0]).search
            by_logprob = wrong & error_analysis(task.logprob, beams.logprob[:, 0]).search
            counts = wrong, by_score, by_logprob, by_score != by_logprob
            names = "wrong", "by_score", "by_logprob", "differ"
            rows.append({name: int(count.sum()) for name, count in zip(names, counts, strict=True)})
    return run


def fit_run(params, seed, sentences=SETTINGS["sentences"]):
    """Nats a token and right outputs at K = 8, on sentences of the training and on fresh ones."""
    seen = grammar_pairs(np.random.default_rng(seed), sentences, clauses=SETTINGS["train_clauses"])
    tasks = {"seen": task_of(params, seen), "fresh": make_task(params, SETTINGS["train_clauses"], sentences)}
    return {
        name: {
            "nats": float(-task.logprob.sum() / task.lengths.sum()),
            "right": int(quality(task, translate(task, 8))[1].sum()),
        }
        for name, task in tasks.items()
    }


def record_verdicts():
    """Verdicts with a length penalty, and the gap between seen and fresh sentences, about two minutes."""
    verdicts, fits = [], {name: [] for name in MODELS}
    for name, settings in MODELS.items():
        seeds = SETTINGS["seeds"].get(name, SETTINGS["seeds"]["others"])
        for seed in tqdm(range(seeds), name):
            params = train_model(seed, **settings)
            fits[name].append(fit_run(params, seed))
            if name == "data and architecture":
                verdicts.append(verdict_run(params))
    return {"settings": SETTINGS, "verdicts": verdicts, "fits": fits}


def record_cost():
    """Time and memory of a search by its width: ``book/results/beam_search-cost.json``.

    Eight sentences, the model "data and architecture" of seed 0, 20 steps each (no hypothesis may end
    before). Time is that of the processor, the least of seven searches.
    """
    task = make_task(train_model(0, **MODELS["data and architecture"]), [0], sentences=8)
    milliseconds, megabytes = [], []
    for K in SETTINGS["widths"]:

        def call(K=K):
            return translate(task, K, max_length=20, min_length=20)

        times = []
        for _ in range(7):
            begin = time.process_time()
            call()
            times.append(time.process_time() - begin)
        milliseconds.append(round(1e3 * min(times), 3))
        tracemalloc.start()
        call()
        megabytes.append(round(tracemalloc.get_traced_memory()[1] / 1e6, 3))
        tracemalloc.stop()
    return {"widths": SETTINGS["widths"], "ms": milliseconds, "megabytes": megabytes}


RECORDS = {"errors": record_errors, "verdicts": record_verdicts, "cost": record_cost}
