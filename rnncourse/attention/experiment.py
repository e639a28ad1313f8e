"""What attention brings on sentences of each length, what its weights say, and what it costs."""

import tracemalloc
from functools import cache
from time import process_time

import numpy as np

from rnncourse.attention.numpy import (
    AttentionParams,
    additive_attention,
    additive_forward,
    alignment_error_rate,
    attend_forward,
    attention_forward,
    attention_greedy,
    attention_init,
    attention_loss,
    heaviest,
    score_init,
)
from rnncourse.data import grammar
from rnncourse.data.pairs import (
    PairData,
    decode_targets,
    encode_sources,
    grammar_pairs,
    pair_batch,
    pair_batches,
)
from rnncourse.optim import Adam
from rnncourse.optim._tree import tree_leaves
from rnncourse.seq2seq.numpy import greedy, seq2seq_init, seq2seq_loss
from rnncourse.training.numpy import train

SETTING = {"pairs": 4000, "E": 32, "B": 32, "lr": 0.005, "clip": 1.0, "steps": 1200, "dtype": "float32"}
MODELS = {
    "plain": {"H": 56},
    "luong": {"H": 48, "form": "luong", "score": "general"},
    "bahdanau": {"H": 43, "form": "bahdanau", "score": "additive"},
    "plain, larger": {"H": 96},
    "plain, longer": {"H": 56, "steps": 2400},
    "small": {
        "H": 40,
        "form": "luong",
        "score": "general",
        "pairs": 8000,
        "B": 96,
        "lr": 0.01,
        "steps": 300,
        "dtype": "float64",
    },
}
"""What differs from ``SETTING``. The first three have about equally many parameters."""
CLAUSES = (0, 1, 2, 3, 4, 6, 8, 10)
EDGES = (0, 6, 8, 10, 12, 14, 60)
"""Sentences are counted by English words: up to 6, 7 and 8, and so on."""
SEEDS = range(8)


def start(name, seed):
    """Initial parameters of one of the ``MODELS``, and the loss that trains it."""
    rng, options = np.random.default_rng(seed), SETTING | MODELS[name]
    sizes = len(grammar.ENGLISH) + 4, len(grammar.FRENCH) + 4, options["E"], options["H"]
    dtype = np.dtype(options["dtype"])
    if "form" in options:
        params = attention_init(rng, *sizes, options["form"], options["score"], dtype=dtype)
        return params, lambda params, batch: attention_loss(batch, params)
    return seq2seq_init(rng, *sizes, dtype=dtype), lambda params, batch: seq2seq_loss(batch, params)


def trained(name, seed, progress=None):
    """One of the ``MODELS`` after training on sentences of its seed.

    Parameters
    ----------
    name : str
    seed : int
        For initial weights, training sentences and batches.
    progress : bool, optional

    Returns
    -------
    AttentionParams or Seq2SeqParams
    """
    options = SETTING | MODELS[name]
    params, loss = start(name, seed)
    data = training_pairs(seed, options["pairs"])
    batches = pair_batches(data, options["B"], np.random.default_rng(2000 + seed))
    settings = {"steps": options["steps"], "clip": options["clip"], "progress": progress}
    return train(loss, params, batches, Adam(options["lr"]), **settings).params


def training_pairs(seed, count):
    """The first `count` sentences that a seed draws from the grammar, those of the test left out."""
    test = {pair.english for pair in held_out_pairs()}
    data = grammar_pairs(np.random.default_rng(1000 + seed), count + count // 8)
    kept = [i for i, words in enumerate(data.source) if words not in test][:count]
    source, target = (tuple(side[i] for i in kept) for side in data[:2])
    return data._replace(source=source, target=target)


@cache
def small_model():
    """The model "small" of seed 0, trained in seconds: for figures, the explorable and the exercise."""
    return trained("small", 0)


@cache
def held_out_pairs(count=800):
    """Different sentences that no model trains on, as many of each clause length; the same for all models."""
    rng, found = np.random.default_rng(9), {}
    while len(found) < count:
        pair = grammar.sample(rng, CLAUSES[len(found) % len(CLAUSES)])
        found.setdefault(pair.english, pair)
    return tuple(found.values())


def as_data(pairs):
    """Pairs of the grammar with the vocabularies of all its words."""
    vocabularies = grammar_pairs(np.random.default_rng(0), 1)[2:]
    return PairData(tuple(p.english for p in pairs), tuple(p.french for p in pairs), *vocabularies)


def exact(params, pairs):
    """Which sentences are translated without a mistake by greedy decoding, (n,) of bool."""
    data = as_data(pairs)
    source, lengths = encode_sources(data.source, data.source_vocabulary)
    translate = attention_greedy if isinstance(params, AttentionParams) else greedy
    ids = translate(source, lengths, params)
    ids = ids[0] if isinstance(ids, tuple) else ids
    written = decode_targets(ids, data.target_vocabulary)
    return np.array([ours == right for ours, right in zip(written, data.target, strict=True)])


def by_length(values, pairs):
    """Mean of one value a sentence in each of the groups that ``EDGES`` part."""
    lengths = np.array([len(pair.english) for pair in pairs])
    group = np.digitize(lengths, EDGES, right=True)
    return [float(np.mean(values[group == g])) for g in range(1, len(EDGES))]


def weights_of(params, pairs):
    """Attention weights (T, S) of each right translation, ``</s>`` left out."""
    batch = pair_batch(as_data(pairs))
    _, weights, _ = attention_forward(batch.source, batch.source_lengths, batch.target_input, params)
    return [w[: len(p.french), : len(p.english)] for w, p in zip(weights, pairs, strict=True)]


def diagonal(pairs):
    """Links that know nothing but the two lengths: each French word with the English one as far along."""
    links = []
    for pair in pairs:
        S, T = len(pair.english), len(pair.french)
        links.append({(int((t + 0.5) * S / T), t) for t in range(T)})
    return links


def error_rates(guessed, pairs):
    """Alignment error rate of all words, of all but determiners, and in each group of ``EDGES``."""
    sure = [pair.alignment for pair in pairs]
    kept = [{t for s, t in pair.alignment if pair.tags[s] != "DET"} for pair in pairs]
    others = [
        [{(s, t) for s, t in links if t in words} for links, words in zip(side, kept, strict=True)]
        for side in (guessed, sure)
    ]
    each = np.array([alignment_error_rate([a], [b]) for a, b in zip(guessed, sure, strict=True)])
    return {
        "aer": alignment_error_rate(guessed, sure),
        "aer_others": alignment_error_rate(*others),
        "aer_by_length": by_length(each, pairs),
    }


def offsets(guessed, pairs):
    """By how many places each guessed source word stands after the right one."""
    return np.array(
        [
            s - dict((j, i) for i, j in pair.alignment)[t]
            for links, pair in zip(guessed, pairs, strict=True)
            for s, t in sorted(links)
        ]
    )


def measure(name, seed):
    """Train one model and measure it on the test sentences."""
    began = process_time()
    params = trained(name, seed)
    seconds = process_time() - began
    pairs = held_out_pairs()
    right = exact(params, pairs)
    result = {
        "parameters": int(sum(leaf.size for _, leaf in tree_leaves(params))),
        "exact": float(right.mean()),
        "by_length": by_length(right, pairs),
        "seconds": round(seconds, 1),
    }
    if isinstance(params, AttentionParams):
        links = [heaviest(w) for w in weights_of(params, pairs)]
        moved = offsets(links, pairs)
        result |= error_rates(links, pairs)
        moved = np.clip(moved, -3, 4)  # the last bars hold what lies further off
        result["offsets"] = {str(k): float((moved == k).mean()) for k in range(-3, 5)}
    return result


def record_translation():
    """Exact match by length and alignment error: ``book/results/attention-translation.json``."""
    pairs = held_out_pairs()
    lengths = np.array([len(pair.english) for pair in pairs])
    counts = np.bincount(np.digitize(lengths, EDGES, right=True), minlength=len(EDGES))[1:]
    runs = {}
    for name in MODELS:
        results = [measure(name, seed) for seed in SEEDS]
        runs[name] = {key: [result[key] for result in results] for key in results[0]} | MODELS[name]
        print(
            name, np.round(np.mean(runs[name]["exact"]), 3), np.round(runs[name].get("aer", 0), 3), flush=True
        )
    return {
        "setting": SETTING,
        "seeds": list(SEEDS),
        "sentences": len(pairs),
        "edges": EDGES,
        "counts": counts.tolist(),
        "diagonal": error_rates(diagonal(pairs), pairs),
        "runs": runs,
    }


def pair_of_forms(T, B=4, A=128, dtype=np.float32):
    """Additive attention of T queries over T states, plain and in chunks: two functions of no arguments."""
    rng = np.random.default_rng(0)
    query, keys = (rng.normal(size=(T, B, A)).astype(dtype) for _ in range(2))
    params = score_init(rng, A, A, dtype=dtype)

    def plain():
        scores, _ = additive_forward(query, keys, params)
        return attend_forward(scores, keys)[0]

    return plain, lambda: additive_attention(query, keys, keys, None, params)[0]


def peak_bytes(call):
    """Most bytes that NumPy held during a call, beyond what was there before."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def least_seconds(call, repeats=5):
    """Processor time of the fastest of several calls, in seconds."""
    times = []
    for _ in range(repeats):
        began = process_time()
        call()
        times.append(process_time() - began)
    return min(times)


def record_cost():
    """Processor time and memory of additive attention by length: ``book/results/attention-cost.json``."""
    sizes = [32, 64, 128, 256, 512]
    forms = {"plain": 0, "chunks": 1}
    calls = {T: pair_of_forms(T) for T in sizes}
    ms = {f: [1e3 * least_seconds(calls[T][i]) for T in sizes] for f, i in forms.items()}
    mb = {f: [peak_bytes(calls[T][i]) / 1e6 for T in sizes] for f, i in forms.items()}
    return {
        "sizes": sizes,
        "B": 4,
        "A": 128,
        **{f"ms_{form}": np.round(values, 3).tolist() for form, values in ms.items()},
        **{f"mb_{form}": np.round(values, 4).tolist() for form, values in mb.items()},
    }


RECORDS = {"translation": record_translation, "cost": record_cost}
