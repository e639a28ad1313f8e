"""How often intervals of BLEU hold what they promise, in a world whose true scores are known."""

import numpy as np
from tqdm import tqdm

from rnncourse.bleu.numpy import bleu, bleu_statistics, percentile_interval, resample
from rnncourse.data import grammar

SETTINGS = {
    "sizes": [10, 30, 100, 300],
    "seeds": 10,
    "tests": 250,
    "resamples": 400,
    "world": 20_000,
    "world_seed": 11,
    "damage": 0.12,
    "mended": 0.1,
}
_FRENCH = np.array(grammar.FRENCH)


def damaged(rng, sentence, rate):
    """Drop or replace words by other French words, each with probability `rate` / 2."""
    u = rng.random(len(sentence))
    others = rng.choice(_FRENCH, len(sentence)).tolist()
    return [
        other if chance < rate else word
        for word, other, chance in zip(sentence, others, u, strict=True)
        if not rate / 2 <= chance < rate
    ]


def draw_world():
    """Draw the sentences of all test sets, with the counts of two systems.

    Returns
    -------
    (M, 2, 10) array
        Column 0: a system that damages 12% of the words. Column 1: the same outputs, but with probability 0.1
        a sentence's output is its reference.
    """
    rng, M = np.random.default_rng(SETTINGS["world_seed"]), SETTINGS["world"]
    references = [list(grammar.sample(rng).french) for _ in range(M)]
    outputs = [damaged(rng, words, SETTINGS["damage"]) for words in references]
    right = rng.random(M) < SETTINGS["mended"]
    mended = [r if yes else o for r, o, yes in zip(references, outputs, right, strict=True)]
    lists = [[words] for words in references]
    return np.stack([bleu_statistics(system, lists) for system in (outputs, mended)], 1)


def interval_run(world, seed, S):
    """Draw test sets of S sentences, and see what their 95% intervals hold.

    Returns
    -------
    dict
        Shares of the test sets: ``score`` and ``difference``, the interval holds the true value; ``paired``
        and ``separate``, the interval of the difference excludes 0, with the sentences drawn for both systems
        at once or for each on its own; ``false``, the paired one excludes 0 after the systems' outputs were
        swapped with probability 1/2 in each sentence, so that neither is better.
    """
    rng, R = np.random.default_rng([seed, S]), SETTINGS["resamples"]
    truth = bleu(world.sum(0))
    hits = []
    for _ in range(SETTINGS["tests"]):
        test = world[rng.integers(0, len(world), S)]
        scores = bleu(resample(test, rng, R))
        paired = percentile_interval(scores[:, 1] - scores[:, 0])
        separate = percentile_interval(bleu(resample(test[:, 1], rng, R)) - scores[:, 0])
        swapped = np.where((rng.random(S) < 0.5)[:, None, None], test[:, ::-1], test)
        scores_swapped = bleu(resample(swapped, rng, R))
        false = percentile_interval(scores_swapped[:, 1] - scores_swapped[:, 0])
        score = percentile_interval(scores[:, 0])
        hits.append(
            (
                score[0] <= truth[0] <= score[1],
                paired[0] <= truth[1] - truth[0] <= paired[1],
                *(low > 0 or high < 0 for low, high in (paired, separate, false)),
            )
        )
    names = "score", "difference", "paired", "separate", "false"
    return dict(zip(names, np.mean(hits, 0).tolist(), strict=True))


def record_intervals():
    """Run ten seeds of 250 test sets for each size: ``book/results/bleu-intervals.json``."""
    world = draw_world()
    runs = {
        str(S): [interval_run(world, seed, S) for seed in tqdm(range(SETTINGS["seeds"]), f"S = {S}")]
        for S in SETTINGS["sizes"]
    }
    return {"settings": SETTINGS, "true": bleu(world.sum(0)).tolist(), "runs": runs}


RECORDS = {"intervals": record_intervals}
