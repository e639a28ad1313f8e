"""You are the beam: choose which beginnings survive, in a language of three tokens and three steps."""

from pathlib import Path

import numpy as np

from rnncourse.beam_search.numpy import beam_search, exhaustive_search
from rnncourse.beam_search.search import length_score
from rnncourse.beam_search.tree import tree_step
from rnncourse.explorable import Explorable

T, V, END = 3, 3, 2
# Prefixes without </s>, as a binary heap: after node i come 2 i + 1 (by a) and 2 i + 2 (by b).
PREFIXES = (), (0,), (1,), (0, 0), (0, 1), (1, 0), (1, 1)
# Probabilities of a, b, </s> after each of them.
LANGUAGES = {
    "the greedy trap": [
        [0.55, 0.4, 0.05],
        [0.4, 0.35, 0.25],
        [0.06, 0.85, 0.09],
        [0.4, 0.32, 0.28],
        [0.3, 0.32, 0.38],
        [0.3, 0.3, 0.4],
        [0.06, 0.04, 0.9],
    ],
    "short or long": [
        [0.55, 0.07, 0.38],
        [0.75, 0.1, 0.15],
        [0.3, 0.3, 0.4],
        [0.12, 0.08, 0.8],
        [0.3, 0.2, 0.5],
        [0.3, 0.25, 0.45],
        [0.2, 0.3, 0.5],
    ],
    "three are needed": [
        [0.5, 0.45, 0.05],
        [0.45, 0.4, 0.15],
        [0.4, 0.38, 0.22],
        [0.4, 0.31, 0.29],
        [0.36, 0.34, 0.3],
        [0.06, 0.04, 0.9],
        [0.35, 0.33, 0.32],
    ],
}


def explorable():
    """Draw the figure of the chapter; it starts with the search of width 1 in the first language.

    Returns
    -------
    Explorable
    """
    title = "Beam search step by step: choose the survivors"
    return Explorable(Path(__file__).with_suffix(".js"), title, {"languages": LANGUAGES})


def compute(input):
    """Search a language of three tokens, with the beam's own choice or with another's.

    Parameters
    ----------
    input : dict
        ``rows`` (7, 3) probabilities after each prefix, ``K``, ``alpha``, and ``picks``: for the first two
        steps a list of at most K candidates that go on, or None for the search's own choice. A candidate is
        3 * node + token.

    Returns
    -------
    dict
        ``steps``: for each step the candidates, the likeliest first, with ``id``, ``logprob``, ``score``
        (None unless it ends), ``taken`` (into the pool) and ``kept``; ``pool``: ids and scores of the ended,
        the best first; ``beam`` and ``exact``: tokens and score of what the search of width K finds by its
        own choice, and of the best output.
    """
    K, alpha = input["K"], float(input["alpha"])
    tree = dict(zip(PREFIXES, input["rows"], strict=True))
    step, state, bos = tree_step(tree)
    asked = {"bos": bos, "eos": END, "max_length": T, "alpha": alpha}
    logp = np.log(np.array(input["rows"], float))
    live, steps, pool = [(0, 0.0)], [], []
    for t in range(1, T + 1):
        found = [
            {"id": V * node + token, "logprob": logprob + float(logp[node, token])}
            for node, logprob in live
            for token in range(V)
        ]
        found.sort(key=lambda c: -c["logprob"])
        going = [c for c in found if c["id"] % V != END and t < T]
        picks = input["picks"][t - 1] if t < T else []
        kept = {c["id"] for c in going[:K]} if picks is None else set(picks)
        for rank, c in enumerate(found):
            ends = c["id"] % V == END or t == T
            c["score"] = float(length_score(c["logprob"], t, alpha)) if ends else None
            c["taken"], c["kept"] = ends and rank < K, c["id"] in kept
        pool += [[c["id"], c["score"]] for c in found if c["taken"]]
        live = [(2 * (c["id"] // V) + 1 + c["id"] % V, c["logprob"]) for c in going if c["id"] in kept]
        steps.append(found)
    pool.sort(key=lambda entry: -entry[1])
    beam = beam_search(step, state, 1, K=K, **asked)
    exact = exhaustive_search(step, state, **asked)
    return {"steps": steps, "pool": pool[:K], "beam": _output(beam), "exact": _output(exact)}


def _output(found):
    return {"tokens": found.best(), "score": float(found.score[0, 0])}


def random_input(rng):
    """Draw an input for `compute`.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
    """
    K = int(rng.integers(1, 5))
    first = sorted(rng.permutation(2)[: rng.integers(1, min(K, 2) + 1)].tolist())
    second = [V * (1 + token) + int(rng.integers(2)) for token in first]
    return {
        "rows": rng.dirichlet([2, 2, 1], size=len(PREFIXES)).tolist(),
        "K": K,
        "alpha": float(rng.uniform(0, 1.5)),
        "picks": [None, None] if rng.random() < 0.5 else [first, second],
    }
