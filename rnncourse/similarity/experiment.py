"""Analogies on counted and on trained vectors, and what a t-SNE map keeps of data of known structure."""

import itertools
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from rnncourse.data.files import read_analogies, read_judgements
from rnncourse.data.grammar import sample
from rnncourse.data.grammar.tables import WORDS
from rnncourse.similarity.numpy import analogy, known_rows, nearest, spearman, unit
from rnncourse.similarity.tsne import squared_distances, tsne
from rnncourse.similarity.vectors import count_vectors
from rnncourse.word2vec.experiment import tales_corpus, train_tales

PERPLEXITIES = [2, 5, 10, 30, 60]
SEEDS = 10
SETTINGS = {"steps": 400, "rate": 10.0, "exaggeration": 4.0, "exaggerated": 100}
"""Of all maps, chosen for 100 points: the defaults of :func:`tsne` need 1,000 steps."""


def two_widths(rng):
    """Two groups of 50 points in 10 dimensions, the second ten times as wide; points and group numbers."""
    narrow, wide = rng.normal(size=(50, 10)), 10 * rng.normal(size=(50, 10))
    wide[:, 0] += 100
    return np.vstack([narrow, wide]), np.repeat([0, 1], 50)


def two_gaps(rng):
    """Three groups of 33 points on a line, the second gap five times the first; points and group numbers."""
    x = rng.normal(size=(99, 10))
    groups = np.repeat([0, 1, 2], 33)
    x[:, 0] += np.array([0, 10, 60])[groups]
    return x, groups


def noise(rng):
    """100 points of one normal distribution in 10 dimensions; points and group numbers, all 0."""
    return rng.normal(size=(100, 10)), np.zeros(100, int)


DATASETS = {"two widths": two_widths, "two gaps": two_gaps, "noise": noise}


def radius(points):
    """Root mean square distance from the mean."""
    return float(np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()))


def width_ratio(points, groups):
    """Radius of group 1 by that of group 0."""
    return radius(points[groups == 1]) / radius(points[groups == 0])


def gap_ratio(points, groups):
    """Distance of the means of groups 1 and 2 by that of groups 0 and 1."""
    means = [points[groups == g].mean(axis=0) for g in range(3)]
    return float(np.linalg.norm(means[2] - means[1]) / np.linalg.norm(means[1] - means[0]))


def clumps(points, reach=2.5, least=5):
    """How many clumps there are, as an eye may count them.

    Points are joined that are nearer than `reach` times the median distance of a point from its nearest
    neighbour; a clump is `least` or more points that hang together.
    """
    distances = np.sqrt(squared_distances(points, points))
    np.fill_diagonal(distances, np.inf)
    joined = distances < reach * np.median(distances.min(axis=1))
    left, found = set(range(len(points))), 0
    while left:
        stack = [left.pop()]
        size = 0
        while stack:
            size += 1
            near = left.intersection(np.flatnonzero(joined[stack.pop()]).tolist())
            left -= near
            stack += near
        found += size >= least
    return found


MEASURES = {"two widths": width_ratio, "two gaps": gap_ratio, "noise": lambda points, _: clumps(points)}


def make_map(name, perplexity, seed):
    """Data of the named set and its map: points, group numbers, Map."""
    rng = np.random.default_rng(seed)
    x, groups = DATASETS[name](rng)
    return x, groups, tsne(x, rng, perplexity=perplexity, **SETTINGS)


def record_maps():
    """Each measure on data and map, by set, perplexity and seed: ``book/results/similarity-maps.json``."""
    record = {"perplexities": PERPLEXITIES, "seeds": SEEDS, "settings": SETTINGS, "data": {}, "map": {}}
    for name, measure in MEASURES.items():
        drawn = [DATASETS[name](np.random.default_rng(seed)) for seed in range(SEEDS)]
        # What a plane can show of noise is its first two coordinates.
        record["data"][name] = [
            round(float(measure(x[:, :2] if name == "noise" else x, g)), 3) for x, g in drawn
        ]
        record["map"][name] = []
        for perplexity in PERPLEXITIES:
            maps = (make_map(name, perplexity, seed) for seed in range(SEEDS))
            record["map"][name].append([round(float(measure(m.y, g)), 3) for _, g, m in maps])
    return record


KINDS = ["person", "animal", "thing"]


def grammar_questions():
    """Questions "girl is to girls as cat is to ?" across the kinds of the grammar's nouns.

    Returns
    -------
    list of (words, plural, singular)
        Three words, the nouns that are right answers, and the nouns of the class of the third.
    """
    nouns = {
        (kind, number): [word.english for word in WORDS[f"Noun.{kind}.{number}"]]
        for kind in KINDS
        for number in ("sg", "pl")
    }
    return [
        ((a, b, c), set(nouns[other, "pl"]), set(nouns[other, "sg"]))
        for kind, other in itertools.permutations(KINDS, 2)
        for a, b in zip(nouns[kind, "sg"], nouns[kind, "pl"], strict=True)
        for c in nouns[other, "sg"]
        if "patient" not in (a, c)  # an adjective too
    ]


SETTINGS_OF_ANALOGIES = list(itertools.product((False, True), ("add", "mul"), (True, False)))
"""Whether left and right contexts are told apart, the rule, and whether the question's words are excluded."""


def grammar_shares(seed, sentences=20_000):
    """Answers by class, for each of SETTINGS_OF_ANALOGIES.

    Returns
    -------
    (8, 3) array
        Shares of answers in the right class, of the word c, and of other words of the class of c.
    """
    rng = np.random.default_rng(seed)
    drawn = [sample(rng).english for _ in range(sentences)]
    questions = grammar_questions()
    rows = []
    for sides in (False, True):
        vocabulary, vectors = count_vectors(drawn, E=20, sides=sides)
        ids, _ = known_rows([words for words, *_ in questions], vocabulary)
        for method, exclude in itertools.product(("add", "mul"), (True, False)):
            answers = vocabulary.decode(analogy(vectors, ids, method, 1, exclude).ids[:, 0])
            kinds = [
                (x in plural, x == words[2], x in singular and x != words[2])
                for x, (words, plural, singular) in zip(answers, questions, strict=True)
            ]
            rows.append(np.mean(kinds, axis=0))
    return np.array(rows)


def record_grammar():
    """The shares for ten draws of sentences: ``book/results/similarity-grammar.json``."""
    shares = [grammar_shares(seed) for seed in range(SEEDS)]
    return {
        "settings": [list(setting) for setting in SETTINGS_OF_ANALOGIES],
        "seeds": SEEDS,
        "shares": np.round(shares, 4).tolist(),
    }


class Answers(NamedTuple):
    """Answers to the questions of one section."""

    add: np.ndarray
    """(Q,) whether 3CosAdd is right, the question's words excluded."""
    mul: np.ndarray
    """(Q,) 3CosMul."""
    alone: np.ndarray
    """(Q,) whether the nearest neighbour of c is right, a and b left out."""
    found: dict
    """For "add" and "mul" the shares of the open search: right, b, c."""
    offset: np.ndarray
    """(Q,) length of b - a."""
    neighbour: np.ndarray
    """(Q,) distance of c from its nearest neighbour."""
    pair: np.ndarray
    """(Q,) number of the pair c, d that the question asks for."""


def ask(vectors, ids):
    """Ask the questions of one section.

    Parameters
    ----------
    vectors : (V, E) array
    ids : (Q, 4) array of int

    Returns
    -------
    Answers
    """
    a, b, c, d = ids.T
    hats = unit(vectors)
    excluded, found = {}, {}
    for rule in ("add", "mul"):
        excluded[rule] = analogy(vectors, ids[:, :3], rule).ids[:, 0] == d
        x = analogy(vectors, ids[:, :3], rule, exclude=False).ids[:, 0]
        found[rule] = [float((x == w).mean()) for w in (d, b, c)]
    alone = nearest(vectors[c], vectors, 1, ids[:, :3]).ids[:, 0] == d
    cosine = nearest(vectors[c], vectors, 1, c[:, None]).scores[:, 0]
    _, pair = np.unique(ids[:, 2:], axis=0, return_inverse=True)
    offset = np.linalg.norm(hats[b] - hats[a], axis=1)
    return Answers(
        **excluded,
        alone=alone,
        found=found,
        offset=offset,
        neighbour=np.sqrt(2 - 2 * cosine),
        pair=pair.ravel(),
    )


def difference_by_pair(answers):
    """Mean of alone - add and its standard error; the unit is the pair, not the question."""
    pairs = range(answers.pair.max() + 1)
    gain = answers.alone.astype(float) - answers.add
    by_pair = np.array([gain[answers.pair == k].mean() for k in pairs])
    return by_pair.mean(), by_pair.std(ddof=1) / np.sqrt(len(by_pair))


def mean_pair_cosine(vectors):
    """Mean cosine of all pairs of different rows."""
    total = unit(vectors).sum(axis=0)
    n = len(vectors)
    return float((total @ total - n) / (n * (n - 1)))


def evaluate(vectors, vocabulary):
    """What the chapter measures of vectors of the tales' words.

    Returns
    -------
    dict
        For each section the shares "add", "mul", "alone", "open" and "c" of 3CosAdd; "rho" and "cosine", the
        mean of all pairs.
    """
    result = {}
    for name, rows in read_analogies(files("rnncourse.data") / "analogies.txt").items():
        answers = ask(vectors, known_rows(rows, vocabulary)[0])
        result[name] = {rule: float(getattr(answers, rule).mean()) for rule in ("add", "mul", "alone")}
        result[name] |= {"open": answers.found["add"][0], "c": answers.found["add"][2]}
    pairs, scores = read_judgements(files("rnncourse.data") / "judgements.tsv")
    ids, kept = known_rows(pairs, vocabulary)
    hats = unit(vectors)
    result["rho"] = spearman((hats[ids[:, 0]] * hats[ids[:, 1]]).sum(axis=1), scores[kept])
    return result | {"cosine": mean_pair_cosine(vectors)}


def skipgram(seed):
    """What :func:`evaluate` says of vectors trained with the settings of book/word2vec, window 2."""
    vocabulary, corpus = tales_corpus()
    params = train_tales(seed, corpus, len(vocabulary), window=2).params
    return evaluate(params.weight_in.astype(np.float64), vocabulary)


def record_skipgram(seeds=8):
    """The same for eight seeds: ``book/results/similarity-skipgram.json``."""

    def rounded(value):
        return {k: rounded(v) for k, v in value.items()} if isinstance(value, dict) else round(value, 4)

    return {"seeds": seeds, "runs": [rounded(skipgram(seed)) for seed in range(seeds)]}


RECORDS = {"maps": record_maps, "grammar": record_grammar, "skipgram": record_skipgram}
