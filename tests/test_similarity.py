"""Cosine, analogies, ranks and t-SNE against scipy, scikit-learn, gensim, torch and central differences."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from gensim.models import KeyedVectors
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.metrics.distance import edit_distance
from scipy.optimize import brentq
from scipy.spatial.distance import squareform
from scipy.stats import rankdata, spearmanr
from sklearn.manifold import TSNE, trustworthiness
from sklearn.manifold._t_sne import _joint_probabilities, _kl_divergence
from sklearn.metrics.pairwise import cosine_similarity as sklearn_cosine
from sklearn.metrics.pairwise import euclidean_distances

from rnncourse.data.files import read_analogies, read_judgements
from rnncourse.data.words import WordVocabulary
from rnncourse.grading.check import check
from rnncourse.similarity.exercise import answer, scores_of, tailed_cost
from rnncourse.similarity.experiment import (
    DATASETS,
    MEASURES,
    ask,
    clumps,
    difference_by_pair,
    grammar_shares,
    make_map,
    mean_pair_cosine,
)
from rnncourse.similarity.numpy import (
    analogy,
    analogy_scores,
    average_ranks,
    cosine_similarity,
    known_rows,
    nearest,
    spearman,
    unit,
)
from rnncourse.similarity.torch import analogy as torch_analogy
from rnncourse.similarity.torch import analogy_scores as torch_scores
from rnncourse.similarity.torch import cosine_similarity as torch_cosine
from rnncourse.similarity.torch import joint_probabilities as torch_joint
from rnncourse.similarity.torch import nearest as torch_nearest
from rnncourse.similarity.torch import tsne as torch_tsne
from rnncourse.similarity.torch import tsne_cost as torch_cost
from rnncourse.similarity.torch import tsne_gradient as torch_gradient
from rnncourse.similarity.tsne import (
    Pairs,
    conditional_probabilities,
    find_beta,
    joint_probabilities,
    near_probabilities,
    neighbour_distribution,
    similarities,
    squared_distances,
    tsne,
    tsne_cost,
    tsne_gradient,
    tsne_step,
)
from rnncourse.similarity.vectors import count_vectors, tales_vectors
from rnncourse.similarity.word_map import SETTINGS as MAP_SETTINGS
from rnncourse.similarity.word_map import explorable as word_map_figure
from rnncourse.similarity.word_map import map_words, spelling_distance
from rnncourse.testing import check_gradient, check_parity, numerical_gradient

V, E, Q, n, D, d = 23, 5, 7, 17, 4, 2  # all different, all above one
PERPLEXITY = 5.5
SETTINGS = {"perplexity": PERPLEXITY, "exaggeration": 4.0, "exaggerated": 10, "rate": 5.0}


def drawn(seed=0):
    """Vectors of words, and questions whose three words differ."""
    rng = np.random.default_rng(seed)
    questions = np.array([rng.permutation(V)[:3] for _ in range(Q)])
    return rng.normal(size=(V, E)), rng.normal(size=(Q, E)), questions


def points(seed=0):
    """Points of uneven density, and a map of them."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, D)) * rng.uniform(0.2, 3, (n, 1)), rng.normal(size=(n, d))


def gensim_vectors(vectors):
    keyed = KeyedVectors(vectors.shape[1])
    keyed.add_vectors([f"w{i}" for i in range(len(vectors))], vectors)
    return keyed


def gensim_ids(found):
    return [int(word[1:]) for word, _ in found], [score for _, score in found]


# Vectors


@pytest.mark.equation("similarity-cosine")
def test_cosine_equals_sklearn():
    vectors, queries, _ = drawn()
    expected = sklearn_cosine(queries, vectors)
    check_parity({"cosine": cosine_similarity(queries, vectors)}, {"cosine": expected})
    twin = torch_cosine(torch.tensor(queries), torch.tensor(vectors))
    check_parity({"cosine": twin}, {"cosine": expected})


@pytest.mark.equation("similarity-cosine")
def test_the_worked_numbers():
    # man, woman, king, queen; king - man + woman
    words = np.array([[1, 0], [1, 0.3], [3, 0], [3, 1]])
    target = (words[2] - words[0] + words[1])[None]
    np.testing.assert_allclose(cosine_similarity(target, words)[0, 2:], [0.995, 0.975], atol=5e-4)


@pytest.mark.equation("similarity-nearest")
def test_nearest_equals_gensim():
    vectors, _, _ = drawn()
    keyed, own = gensim_vectors(vectors), np.arange(V)[:, None]
    found = nearest(vectors, vectors, 4, own)
    twin_ids, twin_scores = torch_nearest(torch.tensor(vectors), torch.tensor(vectors), 4, torch.tensor(own))
    for i in range(V):
        ids, scores = gensim_ids(keyed.most_similar(f"w{i}", topn=4))
        assert found.ids[i].tolist() == ids == twin_ids[i].tolist()
        # gensim computes in float32
        check_parity({"scores": found.scores[i]}, {"scores": scores}, tolerance=1e-6)
    check_parity({"scores": twin_scores}, {"scores": found.scores})
    unrestricted = nearest(vectors, vectors, 1)
    assert (unrestricted.ids[:, 0] == np.arange(V)).all()
    check_parity({"scores": unrestricted.scores}, {"scores": np.ones((V, 1))})


@pytest.mark.equation("similarity-add")
@pytest.mark.equation("similarity-mul")
def test_analogy_scores_equal_their_sums_and_products():
    vectors, _, questions = drawn()
    cosines = sklearn_cosine(vectors)
    for method in ("add", "mul"):
        expected = np.empty((Q, V))
        for i, (a, b, c) in enumerate(questions):
            for x in range(V):
                if method == "add":
                    expected[i, x] = cosines[x, b] - cosines[x, a] + cosines[x, c]
                else:
                    to_a, to_b, to_c = ((1 + cosines[x, w]) / 2 for w in (a, b, c))
                    expected[i, x] = to_b * to_c / (to_a + 0.01)
        check_parity({"scores": analogy_scores(vectors, questions, method, 0.01)}, {"scores": expected})
        twin = torch_scores(torch.tensor(vectors), torch.tensor(questions), method, 0.01)
        check_parity({"scores": twin}, {"scores": expected})


@pytest.mark.equation("similarity-answer")
def test_answers_equal_gensim():
    vectors, _, questions = drawn()
    # Its 3CosMul does not scale the candidates to length 1.
    keyed = gensim_vectors(unit(vectors))
    for method, eps in ("add", 1e-3), ("mul", 1e-6):
        found = analogy(vectors, questions, method, k=3, eps=eps)
        twin_ids, twin_scores = torch_analogy(
            torch.tensor(vectors), torch.tensor(questions), method, k=3, eps=eps
        )
        for i, (a, b, c) in enumerate(questions):
            ask = keyed.most_similar if method == "add" else keyed.most_similar_cosmul
            with warnings.catch_warnings():
                # gensim's 3CosMul calls a function of its own that it has deprecated.
                warnings.simplefilter("ignore", DeprecationWarning)
                ids, scores = gensim_ids(ask(positive=[f"w{b}", f"w{c}"], negative=[f"w{a}"], topn=3))
            assert found.ids[i].tolist() == ids == twin_ids[i].tolist()
            # gensim scales the sum of the three to length 1: the same order, scores in proportion
            scores = np.array(scores) * (found.scores[i, 0] / scores[0] if method == "add" else 1)
            # in float32
            check_parity({"scores": found.scores[i]}, {"scores": scores}, tolerance=1e-5)
        check_parity({"scores": twin_scores}, {"scores": found.scores})
        scores = analogy_scores(vectors, questions, method, eps)
        check_parity({"best": found.scores[:, 0]}, {"best": allowed(scores, questions).max(axis=1)})
        check_parity(
            {"best": analogy(vectors, questions, method, exclude=False, eps=eps).scores[:, 0]},
            {"best": scores.max(axis=1)},
        )


def allowed(scores, questions):
    scores = scores.copy()
    np.put_along_axis(scores, questions, -np.inf, axis=1)
    return scores


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["add", "mul"]))
def test_answers_do_not_depend_on_lengths(seed, method):
    vectors, _, questions = drawn(seed)
    lengths = np.random.default_rng(seed).uniform(0.1, 9, (V, 1))
    check_parity(
        {"scores": analogy_scores(vectors * lengths, questions, method)},
        {"scores": analogy_scores(vectors, questions, method)},
    )


def test_cosine_of_very_long_and_very_short_vectors():
    vectors = np.array([[1e200, 1e200], [1e-200, 0.0]])
    twin = torch_cosine(*[torch.tensor(vectors)] * 2).numpy()
    for found in (cosine_similarity(vectors, vectors), twin):
        np.testing.assert_allclose(found, [[1, 0.5**0.5], [0.5**0.5, 1]], rtol=1e-12)


@pytest.mark.equation("similarity-ranks")
@pytest.mark.equation("similarity-spearman")
def test_ranks_and_correlation_equal_scipy():
    rng = np.random.default_rng(3)
    for x, y in [
        (rng.normal(size=19), rng.normal(size=19)),
        (rng.integers(0, 5, 19), rng.integers(0, 3, 19)),
        (np.arange(6.0), np.exp(-np.arange(6.0))),
    ]:
        check_parity({"ranks": average_ranks(x)}, {"ranks": rankdata(x)})
        check_parity({"rho": spearman(x, y)}, {"rho": spearmanr(x, y).statistic})


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=3, max_size=12).filter(lambda x: len(set(x)) > 1))
def test_ranks_know_order_only(values):
    x, y = np.array(values, float), np.arange(len(values), dtype=float)
    check_parity({"rho": spearman(np.exp(x), y)}, {"rho": spearman(x, y)})
    assert average_ranks(x).sum() == len(x) * (len(x) + 1) / 2


def test_evaluations_equal_gensim(tmp_path):
    vectors, _, _ = drawn()
    words = [f"w{i}" for i in range(V)]
    keyed, vocabulary = gensim_vectors(vectors), WordVocabulary(tuple(words), (1,) * V)
    rng = np.random.default_rng(4)
    # Each pair once: rounding would break the tie of (a, b) and (b, a).
    drawn_pairs = rng.permutation(list(itertools.combinations(words, 2)))[:30]
    rows = [(a, b, s) for (a, b), s in zip(drawn_pairs, rng.random(30), strict=True)]
    judged = tmp_path / "judged.tsv"
    judged.write_text("# c\n" + "".join(f"{a}\t{b}\t{s}\n" for a, b, s in [*rows, ("no", "w1", 3)]))
    pairs, scores = read_judgements(judged)
    ids, kept = known_rows(pairs, vocabulary)
    cosines = [cosine_similarity(vectors[[i]], vectors[[j]])[0, 0] for i, j in ids]
    _, (rho, _), unknown = keyed.evaluate_word_pairs(judged, dummy4unknown=False)
    check_parity({"rho": spearman(cosines, scores[kept])}, {"rho": rho}, tolerance=1e-6)
    assert len(kept) == 30 and unknown == pytest.approx(100 / 31)

    questions = np.array([rng.permutation(V)[:4] for _ in range(200)])
    questions[:, 3] = np.where(
        rng.random(200) < 0.5, analogy(vectors, questions[:, :3]).ids[:, 0], questions[:, 3]
    )
    asked = tmp_path / "questions.txt"
    asked.write_text(": all\n" + "".join(" ".join(f"w{i}" for i in row) + "\n" for row in questions))
    (read,) = read_analogies(asked).values()
    ids, _ = known_rows(read, vocabulary)
    right = analogy(vectors, ids[:, :3]).ids[:, 0] == ids[:, 3]
    score, _ = keyed.evaluate_word_analogies(asked, case_insensitive=False)
    assert right.mean() == pytest.approx(score) and 0.4 < score < 0.7


# Maps


@pytest.mark.equation("similarity-conditional")
@pytest.mark.equation("similarity-perplexity")
def test_shares_and_entropy_equal_their_definitions():
    rng = np.random.default_rng(5)
    squares, beta = rng.uniform(0, 4, (n, V)), rng.uniform(0.1, 3, n)
    squares[0, 3] = np.inf
    p, entropy = neighbour_distribution(squares, beta)
    weights = np.exp(-squares * beta[:, None])
    expected = weights / weights.sum(axis=1, keepdims=True)
    terms = np.where(expected > 0, expected * np.log(np.where(expected > 0, expected, 1)), 0)
    check_parity({"p": p, "entropy": entropy}, {"p": expected, "entropy": -terms.sum(axis=1)})


@pytest.mark.equation("similarity-bisection")
def test_bisection_equals_a_root_finder():
    x, _ = points()
    squares = euclidean_distances(x, squared=True)
    others = squares[~np.eye(n, dtype=bool)].reshape(n, n - 1)

    def excess(beta, row):
        p = np.exp(-beta * (row - row.min()))
        p /= p.sum()
        return -(p[p > 0] * np.log(p[p > 0])).sum() - np.log(PERPLEXITY)

    expected = np.array([brentq(excess, 1e-6, 1e4, args=(row,), xtol=1e-14, rtol=1e-14) for row in others])
    check_parity({"beta": find_beta(others, PERPLEXITY)}, {"beta": expected})
    # The twin keeps no widths: it is right if its shares are.
    p = np.exp(-expected[:, None] * (others - others.min(axis=1, keepdims=True)))
    full = np.zeros((n, n))
    full[~np.eye(n, dtype=bool)] = (p / p.sum(axis=1, keepdims=True)).ravel()
    check_parity({"p": torch_joint(torch.tensor(x), PERPLEXITY)}, {"p": (full + full.T) / (2 * n)})


@pytest.mark.equation("similarity-conditional")
@pytest.mark.equation("similarity-joint")
def test_probabilities_have_their_perplexity_and_equal_sklearn():
    x, _ = points()
    p = conditional_probabilities(x, PERPLEXITY)
    rows = np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(axis=1)
    check_parity({"perplexity": np.exp(-rows)}, {"perplexity": np.full(n, PERPLEXITY)})
    check_parity({"sums": p.sum(axis=1)}, {"sums": np.ones(n)})
    # scikit-learn takes float32 distances and ends its bisection at 1e-5.
    expected = squareform(_joint_probabilities(euclidean_distances(x, squared=True), PERPLEXITY, 0))
    for joint in joint_probabilities(x, PERPLEXITY), torch_joint(torch.tensor(x), PERPLEXITY):
        check_parity({"p": joint}, {"p": expected}, tolerance=1e-4)
    check_parity({"p": torch_joint(torch.tensor(x), PERPLEXITY)}, {"p": joint_probabilities(x, PERPLEXITY)})


def full(pairs):
    p = np.zeros((pairs.i[-1] + 1,) * 2)
    p[pairs.i, pairs.j] = pairs.p
    return p


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_all_neighbours_are_the_exact_probabilities(seed, block):
    x, _ = points(seed)
    pairs = near_probabilities(x, PERPLEXITY, n - 1, block)
    check_parity({"p": full(pairs)}, {"p": joint_probabilities(x, PERPLEXITY)})
    few = full(near_probabilities(x, PERPLEXITY, 6, block))
    check_parity({"p": few, "sum": few.sum()}, {"p": few.T, "sum": 1.0})


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_probabilities_know_no_unit_and_no_place(seed, scale):
    x, _ = points(seed)
    p = joint_probabilities(x, PERPLEXITY)
    check_parity({"p": joint_probabilities(scale * x + scale, PERPLEXITY)}, {"p": p}, tolerance=1e-8)
    order = np.random.default_rng(seed).permutation(n)
    check_parity({"p": joint_probabilities(x[order], PERPLEXITY)}, {"p": p[order][:, order]}, tolerance=1e-8)


@pytest.mark.equation("similarity-student")
@pytest.mark.equation("similarity-kl")
@pytest.mark.equation("similarity-gradient")
def test_cost_and_gradient_equal_sklearn():
    x, y = points()
    p = joint_probabilities(x, PERPLEXITY)
    cost, gradient = _kl_divergence(y.ravel(), squareform(p, checks=False), 1, n, 2)
    expected = {"cost": cost, "gradient": gradient.reshape(n, 2)}
    for block, form in itertools.product((1, 5, n, 99), (p, near_probabilities(x, PERPLEXITY, n - 1))):
        check_parity({"cost": tsne_cost(form, y, block), "gradient": tsne_gradient(form, y, block)}, expected)
    p_t, y_t = torch.tensor(p), torch.tensor(y)
    check_parity({"cost": torch_cost(p_t, y_t), "gradient": torch_gradient(p_t, y_t)}, expected)
    q = similarities(y)
    off = ~np.eye(n, dtype=bool)
    check_parity(
        {"cost": (p[off] * np.log(p[off] / q[off])).sum(), "sum": q.sum()}, {"cost": cost, "sum": 1.0}
    )


@pytest.mark.equation("similarity-gradient")
def test_gradient_equals_central_differences_and_autograd():
    x, y = points()
    p = joint_probabilities(x, PERPLEXITY)
    check_gradient(lambda y: tsne_cost(p, y), {"y": y}, {"y": tsne_gradient(p, y)})
    y_t = torch.tensor(y, requires_grad=True)
    torch_cost(torch.tensor(p), y_t).backward()
    check_parity({"y": tsne_gradient(p, y)}, {"y": y_t.grad})
    check_parity({"y": torch_gradient(torch.tensor(p), torch.tensor(y))}, {"y": y_t.grad})


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_forces_cancel_and_do_not_depend_on_blocks(seed, block):
    x, y = points(seed)
    p = joint_probabilities(x, PERPLEXITY)
    gradient = tsne_gradient(p, y, block)
    assert np.abs(gradient.sum(axis=0)).max() < 1e-12
    check_parity({"gradient": gradient}, {"gradient": tsne_gradient(p, y + 3.0)})


@pytest.mark.equation("similarity-momentum")
def test_descent_equals_its_equations():
    x, y = points()
    p = joint_probabilities(x, PERPLEXITY)
    velocity, gains = np.zeros_like(y), np.ones_like(y)
    y_0 = y
    for step in range(1, 26):
        if step == 11:  # the second phase starts afresh
            velocity, gains = np.zeros_like(y), np.ones_like(y)
        gradient = tsne_gradient(4 * p if step <= 10 else p, y)
        expected_gains = gains.copy()
        for i, j in np.ndindex(n, d):
            grown = gains[i, j] * 0.8 if velocity[i, j] * gradient[i, j] > 0 else gains[i, j] + 0.2
            expected_gains[i, j] = max(grown, 0.01)
        expected_velocity = (0.5 if step <= 10 else 0.8) * velocity - 5 * expected_gains * gradient
        expected = {"y": y + expected_velocity, "velocity": expected_velocity, "gains": expected_gains}
        y, velocity, gains = tsne_step(y, velocity, gains, gradient, 5.0, 0.5 if step <= 10 else 0.8)
        check_parity({"y": y, "velocity": velocity, "gains": gains}, expected)
    found = tsne(x, y_0=y_0, steps=25, every=10, block=4, **SETTINGS)
    check_parity({"y": found.y, "cost": found.cost}, {"y": y, "cost": tsne_cost(p, y)}, tolerance=1e-8)
    assert found.steps.tolist() == [0, 10, 20, 25] and found.history.shape == (4, n, d)
    near = tsne(x, y_0=y_0, steps=25, neighbours=n - 1, **SETTINGS)
    check_parity({"y": near.y}, {"y": y}, tolerance=1e-8)
    twin = torch_tsne(torch.tensor(x), torch.tensor(y_0), steps=25, **SETTINGS)
    check_parity({"y": twin.y, "cost": twin.cost}, {"y": y, "cost": found.cost}, tolerance=1e-8)


def test_defaults_are_those_of_sklearn():
    x, y = points()
    explicit = {"exaggeration": 12.0, "exaggerated": 250, "rate": 50.0, "perplexity": PERPLEXITY}
    start = 1e-4 * np.random.default_rng(5).standard_normal((n, 2))
    drawn = tsne(x, np.random.default_rng(5), perplexity=PERPLEXITY, steps=260, every=260)
    given = tsne(x, y_0=start, steps=260, every=260, **explicit)
    assert np.array_equal(drawn.y, given.y)
    twin = torch_tsne(torch.tensor(x), torch.tensor(y), steps=3, perplexity=PERPLEXITY)
    check_parity({"y": twin.y}, {"y": tsne(x, y_0=y, steps=3, perplexity=PERPLEXITY).y}, tolerance=1e-8)
    many = np.random.default_rng(6).normal(size=(60, 3))
    counts = np.bincount(near_probabilities(many, 7.0).i, minlength=60)
    assert counts.min() == 21  # three times the perplexity, and those that picked the point


def test_whole_runs_end_where_sklearn_ends():
    costs, trust = [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(100, 10)) + 3 * rng.normal(size=(4, 10))[rng.integers(4, size=100)]
        start = 1e-4 * rng.normal(size=(100, 2))
        model = TSNE(perplexity=10, init=start, method="exact").fit(x)
        ours = tsne(x, y_0=start, perplexity=10.0)
        costs.append((ours.cost, model.kl_divergence_))
        trust.append([trustworthiness(x, y, n_neighbors=10) for y in (ours.y, model.embedding_)])
    ours, theirs = np.mean(costs, axis=0)
    assert abs(ours - theirs) < 0.05 * theirs, costs
    assert abs(np.subtract(*np.mean(trust, axis=0))) < 0.02 and np.min(trust) > 0.85, trust


def test_place_and_unit_lose_no_digits():
    x, y = points()
    p = joint_probabilities(x, PERPLEXITY)
    for moved, tolerance in ((x + 1e6, 1e-8), (x + 1e8, 1e-6), (x * 1e160, 1e-8), (x * 1e-160, 1e-8)):
        check_parity({"p": joint_probabilities(moved, PERPLEXITY)}, {"p": p}, tolerance)
        check_parity({"p": torch_joint(torch.tensor(moved), PERPLEXITY)}, {"p": p}, tolerance)
        check_parity({"p": full(near_probabilities(moved, PERPLEXITY, n - 1))}, {"p": p}, tolerance)
    far = (y + 1000).astype(np.float32)
    near = p.astype(np.float32)
    expected = {"g": tsne_gradient(p, far.astype(float)), "cost": tsne_cost(p, far.astype(float))}
    for form in (near, near_probabilities(x.astype(np.float32), PERPLEXITY, n - 1)):
        check_parity({"g": tsne_gradient(form, far), "cost": tsne_cost(form, far)}, expected, 1e-5)
    twin = torch_gradient(torch.tensor(near), torch.tensor(far))
    check_parity({"g": twin}, {"g": expected["g"]}, 1e-5)


def test_cost_falls_and_groups_come_apart():
    x, groups, found = make_map("two gaps", 10, seed=0)
    assert found.costs[-1] < 0.5 * found.costs[0]
    nearest_other = np.sqrt(squared_distances(found.y, found.y)) + np.diag(np.full(len(x), np.inf))
    assert (groups[nearest_other.argmin(axis=1)] == groups).all()


def test_measures_of_known_data():
    rng = np.random.default_rng(0)
    x, groups = DATASETS["two widths"](rng)
    assert MEASURES["two widths"](x, groups) == pytest.approx(10, rel=0.2)
    assert x[groups == 1, 0].mean() - x[groups == 0, 0].mean() == pytest.approx(100, abs=6)
    x, groups = DATASETS["two gaps"](rng)
    assert MEASURES["two gaps"](x, groups) == pytest.approx(5, rel=0.1)
    corners = np.array([[0, 0], [9, 0], [0, 9.0]])
    spots = np.concatenate([corner + rng.uniform(0, 1, (30, 2)) for corner in corners])
    assert clumps(spots, reach=4.0) == 3


def test_equal_distances_and_copies():
    beta = find_beta(np.ones((2, 5)), 3.0)
    assert np.isfinite(beta).all()
    twice = np.repeat(np.random.default_rng(6).normal(size=(6, 3)), 3, axis=0)
    p = conditional_probabilities(twice, 2.0)
    check_parity({"sums": p.sum(axis=1)}, {"sums": np.ones(18)})
    assert np.isfinite(tsne_cost(joint_probabilities(np.zeros((9, 2)), 3.0), np.zeros((9, 2))))


def test_far_points_give_no_warning():
    y = np.random.default_rng(7).normal(size=(n, d)) * 1e4
    p = joint_probabilities(y, PERPLEXITY)
    for dtype in (np.float64, np.float32):
        assert np.isfinite(tsne_cost(p.astype(dtype), y.astype(dtype)))
        assert np.isfinite(tsne_gradient(p.astype(dtype), y.astype(dtype))).all()


def test_dtype_is_kept():
    vectors, queries, questions = drawn()
    vectors, queries = vectors.astype(np.float32), queries.astype(np.float32)
    x, y = (a.astype(np.float32) for a in points())
    found = tsne(x, np.random.default_rng(0), perplexity=PERPLEXITY, steps=3)
    near = tsne(x, np.random.default_rng(0), perplexity=PERPLEXITY, steps=3, neighbours=9)
    p = joint_probabilities(x, PERPLEXITY)
    results = [
        cosine_similarity(queries, vectors),
        nearest(queries, vectors, 2).scores,
        analogy(vectors, questions).scores,
        analogy(vectors, questions, "mul").scores,
        conditional_probabilities(x, PERPLEXITY),
        p,
        near_probabilities(x, PERPLEXITY).p,
        similarities(y),
        tsne_gradient(p, y),
        found.y,
        found.history,
        near.y,
    ]
    assert {a.dtype for a in results} == {np.dtype(np.float32)}


def test_arguments_are_not_changed():
    vectors, queries, questions = drawn()
    x, y = points()
    p = joint_probabilities(x, PERPLEXITY)
    given = (vectors, queries, questions, x, y, p)
    kept = [a.copy() for a in given]
    analogy(vectors, questions)
    nearest(queries, vectors, 2, questions)
    tsne(x, y_0=y, steps=3, perplexity=PERPLEXITY)
    tsne_gradient(p, y)
    tsne_cost(p, y)
    assert all(np.array_equal(a, b) for a, b in zip(kept, given, strict=True))


def test_vectors_of_counts():
    sentences = [s.split() for s in ("the cat sees the dog", "the dog sees the cat", "a cat and a dog sleep")]
    for sides in (False, True):
        found = count_vectors(sentences, min_count=2, E=3, sides=sides)
        assert found.vocabulary.words == ("the", "cat", "dog", "a", "sees") and found.vectors.shape == (5, 3)
    # Exchanging "cat" and "dog" changes nothing but the order of the last sentence.
    both = count_vectors(sentences[:2], min_count=2, E=2)
    cat, dog = (both.vectors[both.vocabulary.id(word)] for word in ("cat", "dog"))
    np.testing.assert_allclose(cat, dog, atol=1e-9)


@pytest.mark.parametrize("sides", [False, True])
def test_vectors_of_counts_equal_their_definition(sides):
    rng = np.random.default_rng(8)
    sentences = [list(rng.choice(list("aabbcdefgh"), rng.integers(2, 9))) for _ in range(60)]
    words, vectors = count_vectors(sentences, min_count=20, window=3, E=3, power=0.4, sides=sides)
    V = len(words)
    before = np.zeros((V, V))
    for sentence in sentences:
        for i, j in itertools.combinations(range(len(sentence)), 2):
            if j - i <= 3 and sentence[i] in words and sentence[j] in words:
                before[words.id(sentence[j]), words.id(sentence[i])] += 1 / (j - i)
    positive = []
    for counts in ([before, before.T], [before.T, before]) if sides else ([before + before.T],) * 2:
        shares = []
        for matrix in counts:
            context = matrix.sum(axis=0) ** 0.75
            with np.errstate(divide="ignore"):
                pmi = np.log(matrix / matrix.sum(axis=1, keepdims=True) / (context / context.sum()))
            shares.append(np.maximum(pmi, 0))
        positive.append(np.hstack(shares))
    left, singular, _ = np.linalg.svd(positive[0], full_matrices=False)
    expected = left[:, :3] * singular[:3] ** 0.4
    check_parity({"gram": vectors @ vectors.T}, {"gram": expected @ expected.T}, tolerance=1e-8)


def test_vectors_of_the_tales_have_their_settings():
    from rnncourse.data.tales import tales_text
    from rnncourse.data.words import split_sentences

    words, vectors = tales_vectors()
    settings = {"min_count": 5, "window": 2, "E": 50, "power": 0.5, "sides": False}
    expected = count_vectors(split_sentences(tales_text()), **settings)
    assert words.words == expected.vocabulary.words and vectors.shape == (1151, 50)
    check_parity({"v": vectors}, {"v": expected.vectors})


def test_map_of_words_holds_the_words_it_says(monkeypatch):
    monkeypatch.setitem(MAP_SETTINGS, "steps", 1)
    found = tales_vectors()
    shown, hats, y = map_words(found)
    counts = dict(zip(found.vocabulary.words, found.vocabulary.counts, strict=True))
    assert set(shown) == {word for word, count in counts.items() if 20 <= count <= 110}
    check_parity({"lengths": np.linalg.norm(hats, axis=1)}, {"lengths": np.ones(len(shown))})
    # As rounded for the figure, the neighbours are the same.
    data = word_map_figure().data
    own = np.arange(len(shown))[:, None]
    drawn_ids = nearest(np.array(data["vectors"], float), np.array(data["vectors"], float), 8, own).ids
    same = [set(a) == set(b) for a, b in zip(drawn_ids, nearest(hats, hats, 8, own).ids, strict=True)]
    assert np.mean(same) > 0.97


def test_spelling_distance_equals_nltk():
    rng = np.random.default_rng(9)
    words = ["", "queen", "qeen", "kitten", "sitting"]
    words += ["".join(rng.choice(list("abc"), rng.integers(0, 7))) for _ in range(20)]
    for a, b in itertools.product(words, words):
        assert spelling_distance(a, b) == edit_distance(a, b)


def test_answers_by_pair():
    rng = np.random.default_rng(10)
    pairs = rng.permutation(V)[:12].reshape(6, 2)
    ids = np.array([[*p, *q] for p, q in itertools.permutations(pairs, 2)])
    vectors = rng.normal(size=(V, E))
    vectors[pairs[:3, 1]] = vectors[pairs[:3, 0]] + 0.1 * rng.normal(size=(3, E))
    found = ask(vectors, ids)
    hats = unit(vectors)
    gains = {tuple(pair): [] for pair in pairs.tolist()}
    for i, (a, b, c, d) in enumerate(ids):
        order = np.argsort(-(hats @ (hats[b] - hats[a] + hats[c])))
        best = next(x for x in order if x not in (a, b, c))
        by_c = next(x for x in np.argsort(-(hats @ hats[c])) if x not in (a, b, c))
        assert found.add[i] == (best == d) and found.alone[i] == (by_c == d)
        gains[c, d].append(float(by_c == d) - float(best == d))
        others = np.delete(hats, c, axis=0)
        r = np.sqrt(((others - hats[c]) ** 2).sum(axis=1)).min()
        assert found.neighbour[i] == pytest.approx(r)
        assert found.offset[i] == pytest.approx(np.linalg.norm(hats[a] - hats[b]))
    means = np.array([np.mean(values) for values in gains.values()])
    expected = (means.mean(), means.std(ddof=1) / 6**0.5)
    assert difference_by_pair(found) == pytest.approx(expected) and found.alone.any()


def test_classes_of_answers_add_up():
    shares = grammar_shares(0, sentences=1500)
    assert shares.shape == (8, 3) and (shares.sum(axis=1) < 1 + 1e-9).all() and shares[:, 1].max() > 0.1


def _answer_without(names):
    def best(vectors, a, b, c):
        scores = scores_of(vectors, a, b, c)
        scores[[{"a": a, "b": b, "c": c}[name] for name in names]] = -np.inf
        return int(scores.argmax())

    return best


def _masked_with_zero(vectors, a, b, c):
    scores = scores_of(vectors, a, b, c)
    scores[[a, b, c]] = 0
    return int(scores.argmax())


def _shares_to(high, subtract=True):
    def shares(squares, perplexity):
        low, top = 0.0, high
        for _ in range(100):
            beta = (low + top) / 2
            with np.errstate(all="ignore"):
                p = np.exp(-beta * (squares - subtract * squares.min()))
                p /= p.sum()
                wide = -(p[p > 0] * np.log(p[p > 0])).sum() > np.log(perplexity)
            low, top = (beta, top) if wide else (low, beta)
        return p

    return shares


def _tailed(p, y, alpha):
    difference = y[:, None] - y
    base = 1 + (difference**2).sum(axis=2) / alpha
    w = base ** (-(alpha + 1) / 2)
    np.fill_diagonal(w, 0)
    force = (alpha + 1) / (2 * alpha) * (p - w / w.sum()) / base
    return 4 * (force[..., None] * difference).sum(axis=1)


ANSWERS = [
    ("q2", answer, None),
    ("q2", lambda *question: [answer(*question)], None),
    ("q2", lambda *question: list(question[1:]), "return one id"),
    ("q2", lambda vectors, a, b, c: 0, "of 40 answers are wrong"),
    *(("q2", _answer_without(names), "a word of the question") for names in ("ab", "ac", "bc", "")),
    ("q2", _masked_with_zero, "a word of the question"),
    ("q3", _shares_to(1e6), None),
    ("q3", _shares_to(1e3), "wrong values"),
    ("q3", _shares_to(1e6, subtract=False), "nan|wrong values"),
    ("q4", _tailed, None),
    ("q4", lambda p, y, alpha: _tailed(p, y, 1.0), "look where alpha comes in"),
    ("q4", lambda p, y, alpha: _tailed(p, y, alpha) / 2, "half the right one"),
    ("q4", lambda p, y, alpha: -_tailed(p, y, alpha), "minus the right one"),
    ("q4", lambda p, y, alpha: _tailed(p, y, alpha)[0], "of the shape of y"),
    (
        "q4",
        lambda p, y, alpha: numerical_gradient(lambda z: float(tailed_cost(p, z, alpha)), y),
        "not exact enough",
    ),
    ("q5", lambda vectors: vectors.mean(axis=0), None),
    ("q5", lambda vectors: vectors[:100].mean(axis=0), "it should be within 0.02"),
    ("q5", lambda vectors: vectors[: len(vectors) // 2].mean(axis=0), "it should be within 0.02"),
    ("q5", lambda vectors: unit(vectors).mean(axis=0), "it should be within 0.02"),
    ("q5", lambda vectors: 0 * vectors[0], "it should be within 0.02"),
    ("q5", lambda vectors: vectors[3], "one of the words"),
    ("q5", lambda vectors: vectors.mean(axis=1), "return one vector"),
]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("number", range(len(ANSWERS)))
def test_graders_pass_right_and_refuse_wrong_answers(number, seed):
    question, given, message = ANSWERS[number]
    if message is None:
        check(f"similarity.{question}", given, seed=seed)
        return
    with pytest.raises(AssertionError, match=message):
        check(f"similarity.{question}", given, seed=seed)


def test_mean_pair_cosine_equals_its_definition():
    vectors, _, _ = drawn()
    cosines = sklearn_cosine(vectors)[~np.eye(V, dtype=bool)]
    check_parity({"mean": mean_pair_cosine(vectors)}, {"mean": cosines.mean()})


def test_messages():
    vectors, queries, questions = drawn()
    x, y = points()
    p = joint_probabilities(x, PERPLEXITY)
    zero, broken = vectors.copy(), x.copy()
    zero[3], broken[0, 0] = 0, np.nan
    vocabulary = WordVocabulary(("cat", "dog", "boat"), (3, 2, 1))
    own = np.arange(V)[:, None]
    cases = [
        (lambda: vocabulary.id("bat"), "the vocabulary has no 'bat'; nearest spellings: boat, cat"),
        (lambda: unit(zero), "vectors must have no zero rows, row 3 has no direction"),
        (lambda: cosine_similarity(queries, zero), "vectors must have no zero rows, row 3 has no direction"),
        (
            lambda: cosine_similarity(queries[:, 1:], vectors),
            f"vectors must have shape (V, E) = (any, 4), got ({V}, {E})",
        ),
        (lambda: cosine_similarity(queries, 0 * vectors + np.nan), "vectors must be finite, got nan or inf"),
        (lambda: unit(questions), "vectors must hold floats, got dtype int64"),
        (
            lambda: nearest(vectors, vectors, V, own),
            f"k must be at most {V - 1}, the vectors that are not excluded, got {V}",
        ),
        (
            lambda: nearest(vectors, vectors, 1, own + 1),
            f"exclude must lie in 0 .. V - 1 = {V - 1}, got 1 .. {V}",
        ),
        (lambda: nearest(vectors, vectors, 0), "k must be an integer of at least 1, got 0"),
        (lambda: analogy(vectors, questions, "sum"), "method must be one of 'add', 'mul', got 'sum'"),
        (
            lambda: analogy(vectors, questions[:, :2]),
            f"questions must have shape (Q, abc) = (any, 3), got ({Q}, 2)",
        ),
        (lambda: analogy(vectors, questions + V), None),
        (lambda: spearman([1, 2], [1, 1]), "y must not be constant, or there is nothing to rank"),
        (lambda: spearman([1], [2]), "x and y must hold at least two values, got 1"),
        (lambda: spearman([1, 2, np.nan], [1, 2, 3]), "x must be finite, got nan or inf"),
        (
            lambda: known_rows([("tiger", "cat")], vocabulary),
            "none of 1 rows has all its words in the vocabulary, the first is ('tiger', 'cat')",
        ),
        (lambda: known_rows([], vocabulary), "none of 0 rows has all its words in the vocabulary"),
        (lambda: joint_probabilities(x, 1.0), "perplexity must lie between 1 and n - 1 = 16, got 1.0"),
        (lambda: joint_probabilities(x, 16), "perplexity must lie between 1 and n - 1 = 16, got 16"),
        (lambda: joint_probabilities(x, np.nan), "perplexity must lie between 1 and n - 1 = 16, got nan"),
        (
            lambda: torch_joint(torch.tensor(x), 16),
            "perplexity must lie between 1 and n - 1 = 16, got 16",
        ),
        (lambda: joint_probabilities(broken, 5), "x must be finite, got nan or inf"),
        (lambda: joint_probabilities(x[:3], 1.5), "x must hold at least 4 points, got 3"),
        (
            lambda: near_probabilities(x, 5.5, 5),
            "neighbours must be more than the perplexity, 5.5, at most n - 1, got 5",
        ),
        (lambda: tsne_cost(p[1:], y), "p must have shape (n, m) = (17, 17), got (16, 17)"),
        (lambda: tsne_gradient(p, y.astype(np.float32)), "y must have the dtype of p, float64, got float32"),
        (
            lambda: tsne_gradient(near_probabilities(x, 5), y[1:]),
            "y must have shape (n, d) = (17, any), got (16, 2)",
        ),
        (lambda: tsne(x, perplexity=5), "rng must be given where y_0 is not"),
        (lambda: tsne(x, y_0=y[1:], perplexity=5), "y_0 must have shape (n, d) = (17, any), got (16, 2)"),
        (
            lambda: tsne(x, y_0=y, perplexity=5, rate=-1),
            "rate must be a finite number above 0, got -1",
        ),
        (
            lambda: tsne(x, y_0=y, perplexity=5, rate=np.nan),
            "rate must be a finite number above 0, got nan",
        ),
        (
            lambda: tsne(x, y_0=y, perplexity=5, exaggeration=0),
            "exaggeration must be a finite number above 0, got 0",
        ),
        (
            lambda: tsne(x, y_0=y, perplexity=5, exaggerated=-5),
            "exaggerated must be an integer of at least 1, got -5",
        ),
        (
            lambda: torch_tsne(*map(torch.tensor, (x, y)), perplexity=5, exaggeration=-4),
            "exaggeration must be a finite number above 0, got -4",
        ),
        (
            lambda: analogy_scores(vectors, questions, "mul", 0),
            "eps must be a finite number above 0, got 0",
        ),
        (
            lambda: torch_scores(*map(torch.tensor, (vectors, questions)), "mul", -1),
            "eps must be a finite number above 0, got -1",
        ),
        (
            lambda: torch_nearest(*[torch.tensor(vectors)] * 2, V, torch.tensor(own)),
            f"k must be at most {V - 1}, the vectors that are not excluded, got {V}",
        ),
        (
            lambda: torch_analogy(*map(torch.tensor, (vectors, questions)), k=V - 2),
            f"k must be at most {V - 3}, the vectors that are not excluded, got {V - 2}",
        ),
        (
            lambda: torch_nearest(*[torch.tensor(vectors)] * 2, 1, torch.tensor(own - 1)),
            f"exclude must lie in 0 .. V - 1 = {V - 1}, got -1 .. {V - 2}",
        ),
        (
            lambda: torch_scores(torch.tensor(vectors), torch.tensor(questions - V)),
            None,
        ),
        (
            lambda: torch_cosine(torch.tensor(queries), torch.tensor(zero)),
            "vectors must have no zero rows, a zero row has no direction",
        ),
        (
            lambda: torch_cosine(torch.tensor(queries), torch.tensor(vectors) * np.nan),
            "vectors must be finite, got nan or inf",
        ),
        (lambda: torch_joint(torch.tensor(broken), 5), "x must be finite, got nan or inf"),
        (lambda: tsne(x, y_0=y, perplexity=5, steps=0), "steps must be an integer of at least 1, got 0"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert message is None or str(caught.value) == message


def test_a_rate_that_is_too_large_is_named():
    x, y = points()
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"rate 1e\+200 is too large"):
        tsne(x, y_0=y, perplexity=5, rate=1e200, steps=50, every=1)


FILES = {
    "tab missing": (
        read_judgements,
        "cat\tdog\t5\ncat dog 5\n",
        "line 2: expected word, tab, word, tab, score",
    ),
    "word missing": (
        read_judgements,
        "cat\tdog\t5\n\tdog\t5\n",
        "line 2: expected word, tab, word, tab, score",
    ),
    "no number": (read_judgements, "a\tb\tscore\n\ncat\tdog\tfive\n", "line 3: 'five' is no number"),
    "no number at once": (read_judgements, "cat\tdog\tfive\na\tb\t3\n", "line 1: 'five' is no number"),
    "comma": (read_judgements, "cat\tdog\t7,35\n", "line 1: '7,35' is no number"),
    "zero byte": (read_judgements, "cat\tdog\t5\0\n", "line 1: "),
    "underscore": (read_judgements, "cat\tdog\t1_0\n", "line 1: '1_0' is no number"),
    "nan": (read_judgements, "cat\tdog\tnan\n", "line 1: the score must be finite, got nan"),
    "heading only": (read_judgements, "a\tb\tscore\n", "holds no pair of words"),
    "three words": (
        read_analogies,
        ": family\na b c d\na b c\n",
        "line 3: expected four words, got 3: 'a b c'",
    ),
    "names only": (read_analogies, ": family\n", "holds no question"),
}


@pytest.mark.parametrize("name", FILES)
def test_broken_files_are_named_with_their_line(name, tmp_path):
    read, text, message = FILES[name]
    path = tmp_path / "file.txt"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        read(path)
    assert str(path) in str(caught.value) and message in str(caught.value)


def test_files_are_read(tmp_path):
    path = tmp_path / "judged.tsv"
    path.write_bytes(
        b"\xef\xbb\xbfWord 1\tWord 2\tHuman (mean)\r\n\r\nTiger\tcat\t7.35\r\nking\tqueen\t8.58\tmore\r\n"
    )
    pairs, scores = read_judgements(path)
    assert pairs == (("tiger", "cat"), ("king", "queen")) and scores.tolist() == [7.35, 8.58]
    assert read_judgements(path, lower=False).pairs[0] == ("Tiger", "cat")
    path.write_text("a b c d\n: capitals\nAthens Greece  Oslo Norway\n")
    assert read_analogies(path) == {
        "": (("a", "b", "c", "d"),),
        "capitals": (("athens", "greece", "oslo", "norway"),),
    }
    assert read_analogies(path, lower=False)["capitals"][0][0] == "Athens"
    path.write_bytes(b"caf\xe9\tcup\t3\n")
    for read in (read_judgements, read_analogies):
        with pytest.raises(ValueError, match="is not UTF-8: line 1 has the byte 0xe9"):
            read(path)
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_twin_in_low_precision(device, dtype):
    vectors, queries, questions = drawn()
    x, y = points()
    kind, tolerance = getattr(torch, dtype), {"float32": 1e-5, "bfloat16": 0.05}[dtype]
    vectors_t, queries_t, x_t, y_t = (
        torch.tensor(a, dtype=kind, device=device) for a in (vectors, queries, x, y)
    )
    p = joint_probabilities(x, PERPLEXITY)
    p_t = torch_joint(x_t, PERPLEXITY)
    found = {
        "cosine": torch_cosine(queries_t, vectors_t),
        "scores": torch_scores(vectors_t, torch.tensor(questions, device=device)),
        "p": p_t,
        "gradient": torch_gradient(torch.tensor(p, dtype=kind, device=device), y_t),
    }
    assert {t.dtype for t in found.values()} == {kind}
    assert {t.device.type for t in found.values()} == {device}
    expected = {
        "cosine": cosine_similarity(queries, vectors),
        "scores": analogy_scores(vectors, questions),
        "p": p,
        "gradient": tsne_gradient(p, y),
    }
    check_parity({name: t.double().cpu() for name, t in found.items()}, expected, tolerance)
    twin = torch_tsne(x_t, y_t, steps=5, **SETTINGS)
    assert twin.y.dtype == kind and torch.isfinite(twin.y).all()


def mutant_arguments(function, condition):
    """Arguments on which a mistake hides under `condition`."""
    vectors, queries, questions = drawn()
    x, y = points()
    if function is cosine_similarity:
        return unit(queries), vectors
    if function is nearest:
        return queries, vectors, 3, None
    if function is analogy_scores:
        questions[:, 1] = questions[:, 0]
        return vectors, questions, *(("mul", 1e-300) if "eps" in condition else ("add",))
    if function is analogy:
        return vectors, questions, "add", 2, False
    if function is spearman:
        return np.random.default_rng(1).permutation(9.0 + np.arange(9)), np.arange(9.0)
    if function is average_ranks:
        return (queries[0],)
    if function is neighbour_distribution:
        return np.full((4, 6), 2.5), np.array([0.1, 1, 2, 3])
    if function is joint_probabilities:
        angle = 2 * np.pi * np.arange(12) / 12
        return np.stack([np.cos(angle), np.sin(angle)], axis=1), 4.0
    if function in (tsne_cost, tsne_gradient):
        spread = brentq(lambda s: _total(s * y) - 1, 1, 1e4, xtol=1e-14, rtol=1e-14)
        return joint_probabilities(x, PERPLEXITY), spread * y
    gradient = tsne_gradient(joint_probabilities(x, PERPLEXITY), y)
    velocity, gains = np.random.default_rng(2).normal(size=y.shape), np.ones_like(y)
    if condition == "no velocity":
        velocity = 0 * velocity
    if condition == "gains that become one":
        velocity, gains = 0 * velocity, 0.8 * gains
    if condition == "gains at their smallest, turned or not":
        gains = -1.0 * gains  # below the least, so that either rule ends at it
    return y, velocity, gains, gradient, 5.0, 0.7


def _total(y):
    w = 1 / (1 + euclidean_distances(y, squared=True))
    return w.sum() - len(y)


def test_pairs_are_a_named_tuple_of_both_orders():
    x, _ = points()
    pairs = near_probabilities(x, PERPLEXITY, 6)
    assert isinstance(pairs, Pairs) and (np.diff(pairs.i) >= 0).all() and set(pairs.i) == set(range(n))
