"""GloVe against a slow counter, autograd, central differences, torch's Adagrad and SciPy's SVD."""

import math
import tracemalloc
from collections import Counter
from unittest.mock import patch

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

import rnncourse
import rnncourse.glove.experiment as experiment
from rnncourse.data.words import WordVocabulary
from rnncourse.glove.exercise import QUESTIONS
from rnncourse.glove.experiment import (
    GRAMMAR,
    INTERACTION,
    TALES,
    fit_shares,
    found_neighbours,
    grammar_corpus,
    hold_out,
    overlap,
    purity,
    shuffled_cells,
    word_classes,
)
from rnncourse.glove.explorable import WORDS, explorable
from rnncourse.glove.numpy import (
    Cooccurrence,
    GloVeParams,
    cooccurrence,
    dense,
    glove_backward,
    glove_forward,
    glove_init,
    glove_vectors,
    neighbour_overlap,
    neighbours,
    shifted_ppmi,
    shuffled_batches,
    svd_vectors,
    train_glove,
    weight,
)
from rnncourse.glove.torch import GloVe
from rnncourse.glove.torch import glove_vectors as torch_glove_vectors
from rnncourse.glove.torch import train_glove as torch_train_glove
from rnncourse.glove.torch import weight as torch_weight
from rnncourse.optim import Adagrad
from rnncourse.testing import check_gradient, check_parity
from rnncourse.training.numpy import Diverged, train
from rnncourse.word2vec.numpy import pmi

V, E = 7, 3
X_MAX, EXPONENT = 2.5, 0.6


def drawn(seed=0, cells=20, dtype=np.float64):
    """Cells with counts on both sides of x_max, some words in several cells; random parameters."""
    rng = np.random.default_rng(seed)
    cell = np.sort(rng.choice(V * V, cells, replace=False))
    counts = Cooccurrence(cell // V, cell % V, rng.uniform(0.2, 6, cells), V)
    shapes = (V, E), (V, E), V, V
    return counts, GloVeParams(*(rng.normal(size=shape).astype(dtype) for shape in shapes))


def drawn_sentences(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, V, n) for n in (5, 1, 9, 0, 2, 17)]


def count_slowly(sentences, window, weighting, symmetric):
    """The definition, pair by pair, in a dictionary."""
    total = Counter()
    for sentence in sentences:
        for place, word in enumerate(sentence):
            for d in range(1, window + 1):
                if place - d >= 0:
                    share = 1 / d if weighting == "harmonic" else 1
                    total[word, sentence[place - d]] += share
                    if symmetric:
                        total[sentence[place - d], word] += share
    matrix = np.zeros((V, V))
    for cell, value in total.items():
        matrix[cell] = value
    return matrix


def as_torch(params, dtype=torch.float64, device="cpu"):
    model = GloVe(V, E, device, dtype)
    model.load_state_dict({name: torch.tensor(p) for name, p in params._asdict().items()}, strict=True)
    return model


def torch_cost(counts, params, device="cpu", dtype=torch.float64):
    """Cost and gradients by autograd, from a formula of its own: whole matrices, zero cells masked."""
    X = torch.tensor(dense(counts), dtype=dtype, device=device)
    tensors = {
        name: torch.tensor(p, dtype=dtype, device=device, requires_grad=True)
        for name, p in params._asdict().items()
    }
    prediction = tensors["weight_in"] @ tensors["weight_out"].T
    prediction = prediction + tensors["bias_in"][:, None] + tensors["bias_out"][None]
    f = torch.where(X > X_MAX, torch.ones_like(X), (X / X_MAX) ** EXPONENT)
    squares = f * (prediction - torch.where(X > 0, X, 1).log()) ** 2
    cost = 0.5 * squares.sum()
    cost.backward()
    return cost.detach(), {name: t.grad for name, t in tensors.items()}


@pytest.mark.equation("glove-count")
def test_counts_equal_a_slow_counter():
    for seed in range(5):
        for window in (1, 2, 5, 40):
            for weighting in ("harmonic", "flat"):
                for symmetric in (True, False):
                    sentences = drawn_sentences(seed)
                    counts = cooccurrence(sentences, V, window, weighting, symmetric)
                    expected = count_slowly(sentences, window, weighting, symmetric)
                    check_parity({"X": dense(counts)}, {"X": expected}, 1e-12)
                    assert len(counts.values) == (expected > 0).sum()


@pytest.mark.parametrize("symmetric", [True, False])
def test_counts_in_pieces_are_the_same(symmetric):
    sentences = drawn_sentences() * 3
    whole = cooccurrence(sentences, V, 5, symmetric=symmetric)
    for chunk in (1, 2, 3, 7, 30, 1000):
        with patch.object(rnncourse.glove.numpy, "CHUNK", chunk):
            pieces = cooccurrence(sentences, V, 5, symmetric=symmetric)
        assert np.array_equal(pieces.rows, whole.rows) and np.array_equal(pieces.columns, whole.columns)
        check_parity({"values": pieces.values}, {"values": whole.values}, 1e-12)


@pytest.mark.parametrize("symmetric", [True, False])
def test_memory_is_what_the_docstring_says(symmetric):
    # Many pieces, whose cells repeat: 16 pieces of 5 * 2^12 pairs each, at most 200^2 different cells.
    size, chunk, words = 200, 2**12, 2**16
    sentences = [np.random.default_rng(i).integers(0, size, 64) for i in range(words // 64)]
    with patch.object(rnncourse.glove.numpy, "CHUNK", chunk):
        cooccurrence(sentences[:2], size, 5)  # what is loaded on first use does not count
        tracemalloc.start()
        try:
            counts = cooccurrence(sentences, size, 5, symmetric=symmetric)
            held, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    cells = len(counts.values)
    assert cells > 0.9 * size**2
    assert held < 24 * cells + 20_000
    assert peak < 32 * words + 64 * 5 * chunk + 150 * cells


def test_worked_example():
    words = "the cat sat on the mat".split()
    ids = {word: i for i, word in enumerate(dict.fromkeys(words))}
    X = dense(cooccurrence([[ids[w] for w in words]], len(ids), window=2))
    assert X[ids["cat"], ids["on"]] == 0.5
    assert X[ids["the"], ids["the"]] == 0
    # "the" beside cat and on and mat, at distance two from sat twice.
    assert [X[ids["the"], ids[w]] for w in ("cat", "on", "mat", "sat")] == [1, 1, 1, 1]
    assert np.round(weight(np.array([1.0, 10, 100])), 3).tolist() == [0.032, 0.178, 1]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, V - 1), max_size=8), min_size=1, max_size=6), st.integers(1, 9))
def test_counts_do_not_depend_on_order_and_direction(sentences, window):
    if max(map(len, sentences)) < 2:
        return
    arrays = [np.array(s, int) for s in sentences]
    X = dense(cooccurrence(arrays, V, window))
    assert np.allclose(X, X.T, rtol=0, atol=1e-12)
    reordered = dense(cooccurrence([s[::-1] for s in arrays[::-1]], V, window))
    assert np.allclose(X, reordered, rtol=0, atol=1e-12)
    # Every pair counts once from each side.
    total = sum(2 * sum((n - d) / d for d in range(1, min(window, n - 1) + 1)) for n in map(len, arrays))
    assert np.isclose(X.sum(), total)
    left = dense(cooccurrence(arrays, V, window, symmetric=False))
    assert np.allclose(X, left + left.T, rtol=0, atol=1e-12)


@pytest.mark.equation("glove-weight")
def test_weight_equals_its_definition_in_both_halves():
    x = np.array([0, 1e-3, 0.7, 1, 2.4, 2.5, 2.6, 99])
    expected = [(v / X_MAX) ** EXPONENT if v < X_MAX else 1.0 for v in x]
    check_parity({"f": weight(x, X_MAX, EXPONENT)}, {"f": np.array(expected)})
    check_parity({"f": torch_weight(torch.tensor(x), X_MAX, EXPONENT)}, {"f": np.array(expected)})
    assert weight(np.zeros(2))[0] == 0


@pytest.mark.equation("glove-cost")
def test_cost_equals_autograd_side():
    for seed in range(3):
        counts, params = drawn(seed)
        expected, _ = torch_cost(counts, params)
        cost, _ = glove_forward(counts, params, X_MAX, EXPONENT)
        check_parity({"cost": cost}, {"cost": expected})
        model = as_torch(params)
        rows, columns, values = (torch.tensor(a) for a in counts[:3])
        f = torch.where(values > X_MAX, 1, (values / X_MAX) ** EXPONENT)
        check_parity({"cost": model(rows, columns, values.log(), f).detach()}, {"cost": expected})


@pytest.mark.equation("glove-gradient")
def test_gradient_equals_autograd():
    for seed in range(3):
        counts, params = drawn(seed)
        _, expected = torch_cost(counts, params)
        _, cache = glove_forward(counts, params, X_MAX, EXPONENT)
        scaled = {name: 1.7 * g for name, g in expected.items()}
        check_parity(glove_backward(1.7, cache)._asdict(), scaled)


@pytest.mark.equation("glove-gradient")
def test_gradient_equals_central_differences():
    counts, params = drawn()

    def cost(**named):
        return glove_forward(counts, GloVeParams(**named), X_MAX, EXPONENT)[0]

    _, cache = glove_forward(counts, params, X_MAX, EXPONENT)
    check_gradient(cost, params._asdict(), glove_backward(1.0, cache)._asdict(), tolerance=1e-7)


def test_module_passes_sparse_gradients():
    counts, params = drawn()
    model = as_torch(params)
    rows, columns, values = (torch.tensor(a) for a in counts[:3])
    f = torch.where(values > X_MAX, 1, (values / X_MAX) ** EXPONENT)
    model(rows, columns, values.log(), f).backward()
    assert all(p.grad.is_sparse for p in model.parameters())
    _, expected = torch_cost(counts, params)
    check_parity({name: p.grad.to_dense() for name, p in model.named_parameters()}, expected)


def batches(cells=20, epochs=3):
    return list(shuffled_batches(np.random.default_rng(3), cells, 6, epochs))


@pytest.mark.equation("glove-adagrad")
def test_trainer_equals_dense_adagrad():
    counts, params = drawn()

    def loss(p, batch):
        part = Cooccurrence(*(a[batch] for a in counts[:3]), V)
        cost, cache = glove_forward(part, p, X_MAX, EXPONENT)
        return cost, glove_backward(1.0, cache)

    expected = train(loss, params, batches(), Adagrad(0.1), progress=False)
    ours = train_glove(counts, params, batches(), lr=0.1, x_max=X_MAX, exponent=EXPONENT, progress=False)
    check_parity(ours.params._asdict(), expected.params._asdict())
    check_parity(ours.state._asdict(), expected.state._asdict())
    sizes = np.array([len(b) for b in batches()])
    check_parity({"loss": ours.history.loss * sizes}, {"loss": expected.history.loss})
    check_parity({"norm": ours.history.gradient_norm}, {"norm": expected.history.gradient_norm})


@pytest.mark.equation("glove-adagrad")
def test_twin_equals_the_numpy_trainer():
    counts, params = drawn()
    settings = {"lr": 0.1, "x_max": X_MAX, "exponent": EXPONENT, "progress": False}
    ours = train_glove(counts, params, batches(), **settings)
    twin = torch_train_glove(as_torch(params), counts, batches(), **settings)
    check_parity(ours.params._asdict(), twin.params)
    check_parity(ours.history._asdict(), twin.history._asdict())


def test_full_batch_descends_to_an_exact_fit():
    # With E = V any table of logarithms can be written exactly, so the cost goes to zero.
    rng = np.random.default_rng(0)
    counts, _ = drawn(cells=V * V)
    trained = train_glove(
        counts, glove_init(rng, V, V), [np.arange(V * V)] * 2000, lr=0.2, x_max=X_MAX, progress=False
    )
    cost, cache = glove_forward(counts, trained.params, X_MAX)
    assert cost < 1e-6 * trained.history.loss[0] * V * V
    assert np.abs(cache.residual).max() < 0.01


def per_cell(counts, params, orders, lr, x_max, exponent):
    """Step after every single cell, Stanford's way: sums of squares start at 1 and lag by a step."""
    w = [np.column_stack([p, b]) for p, b in zip(params[:2], params[2:], strict=True)]
    s = [np.ones_like(a) for a in w]
    for order in orders:
        for cell in order:
            i, j, x = counts.rows[cell], counts.columns[cell], counts.values[cell]
            u, v = w[0][i].copy(), w[1][j].copy()
            r = u[:-1] @ v[:-1] + u[-1] + v[-1] - math.log(x)
            g = lr * min(x / x_max, 1) ** exponent * r
            for array, squares, at, other in ((w[0], s[0], i, v), (w[1], s[1], j, u)):
                d = g * np.append(other[:-1], 1)
                array[at] -= d / np.sqrt(squares[at])
                squares[at] += d * d
    return GloVeParams(w[0][:, :-1], w[1][:, :-1], w[0][:, -1], w[1][:, -1])


def test_final_cost_is_no_higher_than_cell_by_cell():
    rng = np.random.default_rng(5)
    ids, vocabulary = grammar_corpus(rng, 30)
    counts = cooccurrence(ids, len(vocabulary), 5)
    n, epochs = len(counts.values), 10
    params = glove_init(rng, len(vocabulary), 8)
    orders = list(shuffled_batches(rng, n, n, epochs))
    reference = per_cell(counts, params, orders, 0.05, 10.0, 0.75)
    batched = [order[start : start + 64] for order in orders for start in range(0, n, 64)]
    ours = train_glove(counts, params, batched, x_max=10.0, progress=False)
    assert glove_forward(counts, ours.params, 10.0)[0] < glove_forward(counts, reference, 10.0)[0]


def test_training_goes_on_where_it_stopped():
    counts, params = drawn()
    whole = train_glove(counts, params, batches(), progress=False)
    source = iter(batches())
    first = train_glove(counts, params, source, steps=5, progress=False)
    second = train_glove(counts, first.params, source, state=first.state, progress=False)
    check_parity(second.params._asdict(), whole.params._asdict(), 1e-14)


def test_interruption_keeps_what_was_reached():
    counts, params = drawn()

    def interrupted():
        yield from batches()[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        train_glove(counts, params, interrupted(), progress=False)
    expected = train_glove(counts, params, batches(), steps=5, progress=False)
    check_parity(caught.value.trained.params._asdict(), expected.params._asdict(), 1e-14)
    with pytest.raises(Diverged, match="the loss is (inf|nan)"):
        train_glove(
            counts, params._replace(weight_in=params.weight_in * 1e200), batches(), lr=1e200, progress=False
        )


def test_every_cell_comes_once_an_epoch():
    rng = np.random.default_rng(0)
    drawn_batches = list(shuffled_batches(rng, 20, 6, 2))
    assert [len(b) for b in drawn_batches] == [6, 6, 6, 2] * 2
    for epoch in (drawn_batches[:4], drawn_batches[4:]):
        assert sorted(np.concatenate(epoch)) == list(range(20))
    assert not np.array_equal(*(np.concatenate(epoch) for epoch in (drawn_batches[:4], drawn_batches[4:])))


@pytest.mark.equation("glove-final")
def test_final_vectors_are_sum_and_mean():
    _, params = drawn()
    expected = np.array(
        [[a + b for a, b in zip(*pair, strict=True)] for pair in zip(*params[:2], strict=True)]
    )
    for how, factor in (("sum", 1), ("mean", 0.5)):
        check_parity({"vectors": glove_vectors(params, how)}, {"vectors": factor * expected})
        check_parity({"vectors": torch_glove_vectors(as_torch(params), how)}, {"vectors": factor * expected})


def test_centred_logarithms_are_centred_pmi():
    rng = np.random.default_rng(2)
    X = rng.uniform(0.1, 9, (V, V))
    total = X.sum()
    expected = np.array(
        [[math.log(X[i, j] * total / (X[i].sum() * X[:, j].sum())) for j in range(V)] for i in range(V)]
    )
    check_parity({"pmi": pmi(X)}, {"pmi": expected})

    def centred(table):
        return table - table.mean(0) - table.mean(1)[:, None] + table.mean()

    check_parity({"interaction": centred(np.log(X))}, {"interaction": centred(expected)})


@pytest.mark.equation("glove-ppmi")
def test_shifted_ppmi_equals_a_loop():
    X = dense(cooccurrence(drawn_sentences(), V, 2))
    matrix, k = pmi(X), 1.5
    expected = [
        [
            0.0 if X[i, j] == 0 else max(math.log(X[i, j] * X.sum() / X[i].sum() / X[j].sum() / k), 0)
            for j in range(V)
        ]
        for i in range(V)
    ]
    check_parity({"ppmi": shifted_ppmi(matrix, k)}, {"ppmi": np.array(expected)})


@pytest.mark.equation("glove-svd")
def test_svd_vectors_equal_scipy():
    rng = np.random.default_rng(4)
    matrix = rng.normal(size=(V, V))
    for power in (0.0, 0.5, 1.0):
        u, s, _ = scipy.sparse.linalg.svds(matrix, k=E)
        order = np.argsort(-s)
        expected = u[:, order] * s[order] ** power
        expected *= np.sign(expected[np.abs(expected).argmax(0), np.arange(E)])
        check_parity({"vectors": svd_vectors(matrix, E, power)}, {"vectors": expected}, 1e-9)


@pytest.mark.equation("glove-overlap")
def test_overlap_equals_sets():
    rng = np.random.default_rng(5)
    a, b = (neighbours(rng.normal(size=(12, 4)), 5) for _ in range(2))
    shared = [len(set(x) & set(y)) / 5 for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    check_parity({"overlap": neighbour_overlap(a, b)}, {"overlap": np.mean(shared)})
    assert neighbour_overlap(a, a[:, ::-1]) == 1


def test_neighbours_equal_scikit_learn():
    vectors = np.random.default_rng(6).normal(size=(30, 5))
    _, found = NearestNeighbors(n_neighbors=5, metric="cosine").fit(vectors).kneighbors(vectors)
    assert (neighbours(vectors, 4) == found[:, 1:]).all()
    # The squares of such numbers over- and underflow; their directions do not.
    for scale in (1e200, 1e-200):
        assert (neighbours(vectors * scale, 4) == found[:, 1:]).all()
    # Of equal cosines the lower id comes first, however many there are.
    assert (neighbours(np.ones((100, 2)), 99)[50] == np.delete(np.arange(100), 50)).all()
    # All cosines to a zero vector are 0, and it is not its own neighbour.
    vectors[3] = 0
    assert 3 not in neighbours(vectors, 4)[3] and (neighbours(vectors, 4)[3] == [0, 1, 2, 4]).all()


def test_classes_of_the_grammar():
    words = ["cat", "dog", "cats", "patient", "that", "sees", "watches"]
    classes = word_classes(words)
    assert classes[0] == classes[1] != classes[2] and len(classes[3]) == 3 and len(classes[4]) == 2
    nearest = np.array([[1], [2], [0], [0], [0], [6], [5]])
    assert purity(nearest, classes) == 3 / 4  # cat, sees, watches of cat, dog, sees, watches
    assert GRAMMAR["neighbours"] == 1


def test_words_without_a_vector_are_left_out():
    matrix = np.random.default_rng(8).normal(size=(V, V))
    matrix[2] = 0
    vectors = svd_vectors(matrix, E)
    assert (vectors.any(1) == (np.arange(V) != 2)).all()
    parts = np.kron(np.diag([3.0, 2, 1]), np.ones((2, 2)))  # of three groups two singular values reach two
    assert (svd_vectors(parts, 2).any(1) == [True] * 4 + [False] * 2).all()
    nearest = found_neighbours(vectors, 2)
    assert (nearest[2] == -1).all() and 2 not in nearest
    rest = np.delete(np.arange(V), 2)
    assert (nearest[rest] == rest[neighbours(vectors[rest], 2)]).all()
    other = found_neighbours(np.eye(V), 2)
    assert overlap(nearest, other) == neighbour_overlap(nearest[rest], other[rest])
    assert purity(nearest, [frozenset("a")] * V) == 1


def test_shuffled_cells_keep_the_pairs_and_the_counts():
    X = dense(cooccurrence(drawn_sentences(), V, 2))
    Y = shuffled_cells(X, np.random.default_rng(0))
    assert (Y == Y.T).all() and ((X > 0) == (Y > 0)).all() and not np.array_equal(X, Y)
    upper = np.triu_indices(V)
    assert (np.sort(X[upper]) == np.sort(Y[upper])).all()


def test_held_out_pairs_are_not_fitted_either_way_round():
    X = dense(cooccurrence(drawn_sentences(), V, 5))
    fitted, out = hold_out(X, 0.4, np.random.default_rng(0))
    assert np.array_equal(dense(fitted) + dense(out), X)
    assert (dense(out) > 0).any() and not ((dense(fitted) > 0) & (dense(out) > 0).T).any()


def test_shares_tell_structure_from_chance():
    rng = np.random.default_rng(0)
    u = rng.normal(size=30)
    X = np.exp(np.outer(u, u))
    settings = INTERACTION | {"epochs": 100, "batch": 64}
    fitted, held_out, pairs = fit_shares(X, 0, 2, settings)
    assert fitted > 0.9 and held_out > 0.9 and 0.85 < pairs / (30 * 31 / 2) < 0.95
    fitted, held_out, _ = fit_shares(shuffled_cells(X, rng), 0, 2, settings)
    assert held_out < 0.1 < fitted < 0.9


def test_records_draw_a_new_seed_for_each_run(monkeypatch):
    few = {"seeds": 2, "epochs": 1, "skipgram_epochs": 1, "E": 4, "min_count": 40, "other_settings": {}}
    monkeypatch.setattr(experiment, "TALES", TALES | few)
    record = experiment.record_tales()
    assert len(set(record["cost"])) == 2
    assert all(record["overlap"][f"{name} | {name}"][0] < 1 for name in ("GloVe e", "skip-gram"))
    few |= {"sentences": [200], "skipgram_epochs_more": 1}
    monkeypatch.setattr(experiment, "GRAMMAR", GRAMMAR | few)
    monkeypatch.setattr(experiment, "grammar_run", lambda seed, sentences: {"run": (seed, sentences)})
    assert [run["run"] for run in experiment.record_grammar()["runs"]] == [(0, 200), (1, 200)]
    monkeypatch.undo()
    first, second = (experiment.grammar_run(seed, 200, GRAMMAR | few, quick=True) for seed in (0, 1))
    assert first["purity"]["rows of X"] != second["purity"]["rows of X"]  # no start: another corpus
    monkeypatch.setattr(experiment, "INTERACTION", INTERACTION | few | {"sentences": 200, "E": [2]})
    runs = experiment.record_interaction()["runs"]
    assert len({run["fitted"] for run in runs}) == 4


def test_judge_of_the_same_cost():
    judge = QUESTIONS["q5"].judge

    def scaled(p, low, high, error=1.0):
        factors = np.geomspace(low, high, p.weight_in.shape[1])
        return p._replace(weight_in=p.weight_in * factors * error, weight_out=p.weight_out / factors)

    def turned(p):
        Q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(p.weight_in.shape[1],) * 2))
        return p._replace(weight_in=p.weight_in @ Q, weight_out=p.weight_out @ Q)

    def mixed(p):
        A = np.random.default_rng(0).normal(size=(p.weight_in.shape[1],) * 2)
        return p._replace(weight_in=p.weight_in @ A.T, weight_out=p.weight_out @ np.linalg.inv(A))

    def shifted(p):
        c = np.random.default_rng(0).normal(size=p.weight_in.shape[1]) * 10
        return p._replace(weight_in=p.weight_in + c, bias_out=p.bias_out - p.weight_out @ c)

    def in_place(p):
        p.weight_in[:] *= 2
        return p

    for right in (mixed, shifted, lambda p: scaled(p, 0.01, 100), lambda p: scaled(p, 0.1, 10)):
        judge(right, np.random.default_rng(1))
    wrong = [
        (lambda p: p, "0% of the words"),
        (turned, "0% of the words"),
        (lambda p: scaled(p, 0.9, 1.1), "% of the words"),
        (lambda p: scaled(p, 0.01, 100, 1 + 1e-6), "the cost must stay the same"),
        (lambda p: tuple(p), "return GloVeParams, got tuple"),
        (lambda p: p._replace(bias_in=p.bias_in[:, None]), "bias_in must be finite and have shape"),
        (in_place, "changes its argument in place"),
    ]
    for answer, message in wrong:
        with pytest.raises(AssertionError, match=message):
            judge(answer, np.random.default_rng(1))


def test_questions_draw_the_cases_that_matter():
    assert all((QUESTIONS["q1"].draw(np.random.default_rng(i))[0] == 0).any() for i in range(5))
    assert {0, 1} <= set(map(len, QUESTIONS["q2"].draw(np.random.default_rng(0))[0]))


def test_explorable_opens_at_red_and_wool():
    vocabulary = WordVocabulary.of([WORDS], specials=())
    data = explorable([vocabulary.encode(WORDS)], vocabulary).data
    assert [data["words"][i] for i in data["chosen"]] == ["red", "wool"]


def test_dtype_is_kept_and_arguments_are_not_changed():
    counts, params = drawn(dtype=np.float32)
    kept = [a.copy() for a in (*counts[:3], *params)]
    cost, cache = glove_forward(counts, params, X_MAX)
    trained = train_glove(counts, params, batches(), progress=False)
    results = [np.asarray(cost), *glove_backward(1.0, cache), *trained.params, *trained.state]
    results += [glove_vectors(params, "mean"), *glove_init(np.random.default_rng(0), V, E, np.float32)]
    results += [weight(np.ones(2, np.float32)), shifted_ppmi(np.ones((2, 2), np.float32), 2)]
    results += [svd_vectors(np.eye(3, dtype=np.float32), 2)]
    assert {a.dtype for a in results} == {np.dtype(np.float32)}
    assert all(np.array_equal(a, b) for a, b in zip(kept, (*counts[:3], *params), strict=True))


def test_large_numbers_do_not_warn():
    counts, params = drawn()
    params = params._replace(bias_in=params.bias_in + 1e4, weight_in=params.weight_in * 1e4)
    cost, cache = glove_forward(counts, params)
    assert np.isfinite(cost) and all(np.isfinite(d).all() for d in glove_backward(1.0, cache))
    assert weight(np.array([1e300]), 1e-300) == 1
    extreme = counts._replace(values=np.geomspace(1e-300, 1e300, len(counts.values)))
    assert np.isfinite(glove_forward(extreme, params)[0])


def test_messages():
    counts, params = drawn()
    sentences = [np.array([0, 1, 2])]
    nan = np.full((2, 2), np.nan)
    cases = [
        (lambda: cooccurrence([], V), "sentences must hold two words side by side, got 0 of 0 words in all"),
        (
            lambda: cooccurrence([np.array([3])], V),
            "sentences must hold two words side by side, got 1 of 1 words in all",
        ),
        (lambda: cooccurrence(sentences, V, 0), "window must be an integer of at least 1, got 0"),
        (lambda: cooccurrence(sentences, 2), "sentences must lie in 0 .. V - 1 = 1, got 0 .. 2"),
        (
            lambda: cooccurrence([np.array([0.5, 1])], V),
            "sentences must hold integers, got dtype float64",
        ),
        (
            lambda: cooccurrence([np.zeros((2, 2), int)], V),
            "sentence must have shape (n,) = (any,), got (2, 2)",
        ),
        (
            lambda: cooccurrence(sentences, V, weighting="linear"),
            "weighting must be one of 'harmonic', 'flat', got 'linear'",
        ),
        (
            lambda: cooccurrence(sentences, 2**31, 5),
            "V^2 window must be below 2^63, got V = 2147483648, window = 5",
        ),
        (lambda: weight(np.ones(2), 0), "x_max must lie in (0, inf), got 0"),
        (lambda: weight(np.ones(2), np.nan), "x_max must lie in (0, inf), got nan"),
        (lambda: weight(np.ones(2), 10, 0), "exponent must lie in (0, 1], got 0"),
        (lambda: weight(np.ones(2), 10, 1.5), "exponent must lie in (0, 1], got 1.5"),
        (lambda: weight(nan), "x must be finite, got nan or inf"),
        (lambda: weight(-np.ones(2)), "x must be at least 0, got -1.0"),
        (lambda: weight(np.ones(2, int)), "x must hold floats, got dtype int64"),
        (
            lambda: glove_forward(counts, params._replace(weight_out=params.weight_out.T)),
            "weight_out must have shape (V, E) = (7, 3), got (3, 7)",
        ),
        (
            lambda: glove_forward(counts, params._replace(bias_in=params.bias_in[1:])),
            "bias_in must have shape (V,) = (7,), got (6,)",
        ),
        (
            lambda: glove_forward(counts, params._replace(bias_out=params.bias_out * np.nan)),
            "bias_out must be finite, got nan or inf",
        ),
        (
            lambda: glove_forward(counts, params._replace(bias_out=params.bias_out.astype(np.float32))),
            "bias_out must have the dtype of weight_in, float64, got float32",
        ),
        (
            lambda: glove_forward(counts._replace(rows=counts.rows + V), params),
            "rows must lie in 0 .. V - 1 = 6, got 7 .. 13",
        ),
        (
            lambda: glove_forward(counts._replace(values=counts.values * 0), params),
            "values must be above 0, at least one of them: cells that are zero are left out",
        ),
        (
            lambda: glove_forward(counts._replace(values=counts.values * np.nan), params),
            "values must be finite, got nan or inf",
        ),
        (
            lambda: train_glove(counts, params, batches(), exponent=2),
            "exponent must lie in (0, 1], got 2",
        ),
        (
            lambda: train_glove(counts, params, [np.array([], int)], progress=False),
            "batch must hold indices of cells, at least one, got shape (0,)",
        ),
        (
            lambda: train_glove(counts, params, [np.array([20])], progress=False),
            "batch must lie in 0 .. V - 1 = 19, got 20 .. 20",
        ),
        (lambda: glove_vectors(params, "max"), "how must be one of 'sum', 'mean', got 'max'"),
        (lambda: shifted_ppmi(nan), "pmi must be finite or minus infinity, got nan or plus infinity"),
        (lambda: shifted_ppmi(np.ones((2, 2)), 0.5), "k must lie in [1, inf), got 0.5"),
        (lambda: svd_vectors(np.ones((2, 3)), 1), "matrix must have shape (V, V_) = (2, 2), got (2, 3)"),
        (lambda: svd_vectors(np.eye(2), 3), "E must be at most V = 2, got 3"),
        (lambda: svd_vectors(np.eye(2), 1, -1), "power must lie in [0, 1], got -1"),
        (lambda: neighbours(np.eye(3), 3), "n must be below V = 3, got 3"),
        (lambda: neighbours(nan, 1), "vectors must be finite, got nan or inf"),
        (
            lambda: neighbour_overlap(np.ones((3, 2)), np.ones((3, 1))),
            "b must have shape (V, n) = (3, 2), got (3, 1)",
        ),
        (lambda: next(shuffled_batches(np.random, 0, 5)), "n must be an integer of at least 1, got 0"),
        (lambda: glove_init(np.random, V, 0), "E must be an integer of at least 1, got 0"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message


def test_messages_of_the_twin():
    counts, params = drawn()
    x, model = torch.ones(2), as_torch(params)

    def train_on(counts, batches=batches, **settings):
        return torch_train_glove(model, counts, batches(), progress=False, **settings)

    cases = [
        (lambda: torch_weight(x, 0), "x_max must lie in (0, inf), got 0"),
        (lambda: torch_weight(x, 10, 2), "exponent must lie in (0, 1], got 2"),
        (lambda: torch_weight(-x), "x must be at least 0, got -1.0"),
        (lambda: torch_weight(x / 0), "x must be finite, got nan or inf"),
        (lambda: torch_weight(x.int()), "x must hold floats, got dtype torch.int32"),
        (lambda: GloVe(0, E), "V must be an integer of at least 1, got 0"),
        (lambda: GloVe(V, 0), "E must be an integer of at least 1, got 0"),
        (
            lambda: model(torch.arange(3), torch.arange(3), torch.ones(2), torch.ones(3)),
            "log_count must have shape (n,) = (3,), got (2,)",
        ),
        (
            lambda: train_on(counts._replace(values=counts.values * 0)),
            "values must be above 0, at least one of them: cells that are zero are left out",
        ),
        (
            lambda: train_on(counts._replace(rows=counts.rows + V)),
            "rows must lie in 0 .. V - 1 = 6, got 7 .. 13",
        ),
        (
            lambda: train_on(counts._replace(V=V + 1)),
            "weight_in must have shape (V, E) = (8, any), got (7, 3)",
        ),
        (lambda: train_on(counts, x_max=0), "x_max must lie in (0, inf), got 0"),
        (
            lambda: train_on(counts, lambda: [np.array([], int)]),
            "batch must hold indices of cells, at least one, got shape (0,)",
        ),
        (lambda: torch_glove_vectors(model, "max"), "how must be one of 'sum', 'mean', got 'max'"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message


def test_twin_starts_as_the_reference_does():
    torch.manual_seed(0)
    for params in (
        dict(GloVe(50, 4).named_parameters()),
        glove_init(np.random.default_rng(0), 50, 4)._asdict(),
    ):
        for p in params.values():
            p = np.asarray(p.detach() if isinstance(p, torch.Tensor) else p)
            assert -1 / 8 <= p.min() < -0.1 and 0.1 < p.max() <= 1 / 8


def test_twin_goes_on_with_its_optimiser():
    counts, params = drawn()
    whole = torch_train_glove(as_torch(params), counts, batches(), progress=False)
    model = as_torch(params)
    first = torch_train_glove(model, counts, batches()[:5], progress=False)
    second = torch_train_glove(model, counts, batches()[5:], optimiser=first.state, progress=False)
    check_parity(second.params, whole.params, 1e-14)


def trained_on(device, dtype, tolerance):
    """Train the twin in a narrow type; the cost must be near the reference's."""
    counts, params = drawn()
    settings = {"x_max": X_MAX, "exponent": EXPONENT, "progress": False}
    ours = train_glove(counts, params, batches(), **settings)
    twin = torch_train_glove(as_torch(params, dtype, device), counts, batches(), **settings)
    check_parity({"loss": twin.history.loss}, {"loss": ours.history.loss}, tolerance)
    assert {p.device.type for p in twin.params.values()} == {device}


def test_twin_in_float32_and_bfloat16():
    trained_on("cpu", torch.float32, 1e-5)
    trained_on("cpu", torch.bfloat16, 0.05)


@pytest.mark.gpu
def test_twin_on_cuda():
    trained_on("cuda", torch.float32, 1e-5)
    trained_on("cuda", torch.bfloat16, 0.05)


def mutant_arguments(function, condition):
    """Arguments on which a mistake hides under `condition`."""
    counts, params = drawn(1)
    if condition == "counts above x_max":
        counts = counts._replace(values=counts.values + X_MAX)
    if condition == "counts below x_max":
        counts = counts._replace(values=counts.values / 6 * X_MAX)
    if condition == "one cell":
        counts = Cooccurrence(*(a[:1] for a in counts[:3]), V)
    if condition == "each word in one cell":
        order = np.random.default_rng(1).permutation(V)
        counts = Cooccurrence(np.arange(V), order, counts.values[:V], V)
    if condition == "equal context biases":
        params = params._replace(bias_out=np.full(V, 0.3))
    if condition == "equal matrices":
        params = params._replace(weight_out=params.weight_in)
    if function is cooccurrence:
        window = 1 if condition == "window one" else 3
        sentences = drawn_sentences()
        sentences = sentences[-1:] if condition == "one sentence" else sentences
        return sentences, V, window, "harmonic", condition != "context on the left"
    exponent = 1.0 if condition == "exponent one" else EXPONENT
    if function is weight:
        return counts.values, X_MAX, exponent
    if function is glove_forward:
        return counts, params, X_MAX, exponent
    if function is glove_backward:
        _, cache = glove_forward(counts, params, X_MAX, exponent)
        return 1.0 if condition == "upstream gradient one" else 1.7, cache
    if function is train_glove:
        return counts, params, batches()[:1]
    if function is glove_vectors:
        return (params,)
    rng = np.random.default_rng(2)
    if function is shifted_ppmi:
        return rng.normal(size=(V, V)), 1.0 if condition == "k one" else 3.0
    if function is svd_vectors:
        return rng.normal(size=(V, V)), E, 1.0 if condition == "power one" else 0.5
    n = 1 if condition == "one neighbour" else 3
    vectors = rng.normal(size=(V, E))
    return neighbours(vectors, n), neighbours(vectors + rng.normal(size=(V, E)) / 4, n)
