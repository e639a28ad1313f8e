"""The lookup, its gradient and the steps of single rows, against torch, differences and one-hot products."""

import json
from collections import Counter
from pathlib import Path

import gensim
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from rnncourse._numerics import one_hot
from rnncourse.bptt.numpy import output_backward
from rnncourse.data.tales import tales_text
from rnncourse.data.words import WordVocabulary, split_sentences
from rnncourse.embeddings.experiment import (
    OPTIMISERS,
    SETTINGS,
    Lazy,
    absence,
    corpus,
    cost_ms,
    draw_words,
    grammar_classes,
    learn,
    model_init,
    model_loss,
    sentences,
)
from rnncourse.embeddings.numpy import (
    EmbeddingCache,
    RowGradient,
    adam_rows,
    embedding_backward,
    embedding_backward_rows,
    embedding_forward,
    embedding_init,
    sgd_rows,
    tied_backward,
)
from rnncourse.embeddings.torch import Embedding, EmbeddingFunction
from rnncourse.optim import SGD, Adam
from rnncourse.optim.adam import AdamState
from rnncourse.rnn.numpy import OutputParams, output_forward
from rnncourse.testing import check_gradient, check_parity

ROOT = Path(__file__).parents[1]
T, B, E, V, PAD = 6, 3, 4, 7, 2  # all different, all above one; 18 places of 7 ids hold repeats


def drawn(seed=0):
    """Ids with repeats and padding, the matrix, and a random cotangent."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, V, (T, B))
    ids[-2:, 0] = PAD
    return ids, rng.normal(size=(V, E)), rng.normal(size=(T, B, E))


def nn_embedding(weight, **options):
    layer = torch.nn.Embedding(*weight.shape, dtype=torch.float64, **options)
    layer.load_state_dict({"weight": torch.tensor(weight)})
    return layer


def gradient_of(ids, weight, doutput, padding_idx=None):
    return embedding_backward_rows(doutput, embedding_forward(ids, weight, padding_idx)[1])


@pytest.mark.equation("embeddings-lookup")
def test_lookup_equals_the_product_with_one_hot_vectors_and_torch():
    ids, weight, _ = drawn()
    for padding_idx in (None, PAD):
        output, _ = embedding_forward(ids, weight, padding_idx)
        check_parity({"output": output}, {"output": one_hot(ids, V) @ weight})
        expected = torch.nn.functional.embedding(torch.tensor(ids), torch.tensor(weight), padding_idx)
        check_parity({"output": output}, {"output": expected})


@pytest.mark.equation("embeddings-gradient")
def test_gradient_equals_torch_and_the_product_with_one_hot_vectors():
    ids, weight, doutput = drawn()
    for padding_idx in (None, PAD):
        _, cache = embedding_forward(ids, weight, padding_idx)
        layer = nn_embedding(weight, padding_idx=padding_idx)
        layer(torch.tensor(ids)).backward(torch.tensor(doutput))
        check_parity({"weight": embedding_backward(doutput, cache)}, {"weight": layer.weight.grad})
        layer = nn_embedding(weight, padding_idx=padding_idx, sparse=True)
        layer(torch.tensor(ids)).backward(torch.tensor(doutput))
        sparse = layer.weight.grad.coalesce()
        rows = embedding_backward_rows(doutput, cache)
        check_parity(rows._asdict(), {"ids": sparse.indices()[0], "rows": sparse.values()})
        onehot = one_hot(ids.ravel(), V)
        product = onehot.T @ doutput.reshape(-1, E)
        if padding_idx is not None:
            product[padding_idx] = 0
        check_parity({"weight": embedding_backward(doutput, cache)}, {"weight": product})


@pytest.mark.equation("embeddings-gradient")
def test_gradient_equals_central_differences():
    ids, weight, doutput = drawn()
    _, cache = embedding_forward(ids, weight)
    check_gradient(
        lambda weight: (embedding_forward(ids, weight)[0] * doutput).sum(),
        {"weight": weight},
        {"weight": embedding_backward(doutput, cache)},
    )


@pytest.mark.equation("embeddings-gradient")
def test_gradient_of_the_example_on_paper():
    g = np.array([[1.0, 0], [0, 1], [2, 3]])
    gradient = gradient_of(np.array([2, 0, 2]), np.zeros((3, 2)), g)
    assert gradient.ids.tolist() == [0, 2] and gradient.rows.tolist() == [[0, 1], [3, 3]]
    assert embedding_backward(g, EmbeddingCache(np.array([2, 0, 2]), np.zeros((3, 2)), 0)).tolist() == [
        [0, 0],
        [0, 0],
        [3, 3],
    ]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=12),
    st.integers(0, 2**32 - 1),
    st.sampled_from([None, 1]),
)
def test_gradient_adds_up_and_has_no_order(ids, seed, padding_idx):
    rng = np.random.default_rng(seed)
    ids, weight, g = np.array(ids), rng.normal(size=(5, 3)), rng.normal(size=(len(ids), 3))
    gradient = gradient_of(ids, weight, g, padding_idx)
    expected = np.zeros((5, 3))
    for i, row in zip(ids, g, strict=True):
        if i != padding_idx:
            expected[i] += row
    assert gradient.ids.tolist() == sorted(set(ids.tolist()) - {padding_idx})
    np.testing.assert_allclose(gradient.rows, expected[gradient.ids], rtol=0, atol=1e-14)
    order = rng.permutation(len(ids))
    shuffled = gradient_of(ids[order], weight, g[order], padding_idx)
    np.testing.assert_allclose(shuffled.rows, gradient.rows, rtol=0, atol=1e-14)
    # Two pieces of a batch give two gradients whose sum is that of the whole.
    cut = len(ids) // 2
    pieces = [slice(0, cut), slice(cut, None)] if cut else [slice(None)]
    parts = [embedding_backward(g[p], EmbeddingCache(ids[p], weight, padding_idx)) for p in pieces]
    np.testing.assert_allclose(sum(parts)[gradient.ids], gradient.rows, rtol=0, atol=1e-14)


def test_a_batch_of_nothing_but_padding_has_no_rows():
    gradient = gradient_of(np.full((2, 3), PAD), np.ones((V, E)), np.ones((2, 3, E)), PAD)
    assert gradient.ids.shape == (0,) and gradient.rows.shape == (0, E)
    weight = np.ones((V, E))
    assert (sgd_rows(weight, gradient, 0.1) == weight).all()


def trained(make_optimiser, sparse, batches, weight):
    """The matrix after steps of a torch optimiser on these gradients."""
    layer = nn_embedding(weight, sparse=sparse)
    optimiser = make_optimiser(layer.parameters())
    for ids, g in batches:
        optimiser.zero_grad()
        layer(torch.tensor(ids)).backward(torch.tensor(g))
        optimiser.step()
    return layer.weight.detach()


def batches_of(seed):
    # The last batches leave ids out that the first ones had, so that absent rows have a past.
    rng = np.random.default_rng(seed)
    return [(rng.integers(0, high, 8), rng.normal(size=(8, E))) for high in (V, V, 3, 4, 3)]


@pytest.mark.equation("embeddings-sgd")
def test_sgd_of_rows_equals_torch_and_the_dense_step():
    _, weight, _ = drawn()
    batches, ours, dense = batches_of(1), weight, weight
    for ids, g in batches:
        gradient = gradient_of(ids, ours, g)
        ours = sgd_rows(ours, gradient, 0.3)
        dense, _ = SGD(0.3).step(
            dense, embedding_backward(g, EmbeddingCache(ids, dense, None)), np.zeros((V, E))
        )
    expected = trained(lambda p: torch.optim.SGD(p, 0.3), True, batches, weight)
    check_parity({"weight": ours}, {"weight": expected})
    check_parity({"weight": ours}, {"weight": dense})


@pytest.mark.equation("embeddings-adam")
def test_adam_of_rows_equals_sparse_adam_of_torch():
    _, weight, _ = drawn()
    # SparseAdam adds eps in another place: take one that is nothing beside the gradients.
    adam = Adam(0.1, 0.8, 0.95, 1e-14)
    batches, ours, state = batches_of(2), weight, adam.init(weight)
    for ids, g in batches:
        ours, state = adam_rows(ours, gradient_of(ids, ours, g), state, adam)
    assert state.step == len(batches)

    def sparse_adam(parameters):
        return torch.optim.SparseAdam(list(parameters), 0.1, (0.8, 0.95), 1e-14)

    check_parity({"weight": ours}, {"weight": trained(sparse_adam, True, batches, weight)})
    # It is another step than Adam's with the dense gradient, which moves rows that are absent.
    dense = trained(lambda p: torch.optim.Adam(p, 0.1, (0.8, 0.95), 1e-14), False, batches, weight)
    assert np.abs(dense.numpy() - ours).max() > 1e-3


@pytest.mark.equation("embeddings-adam")
def test_adam_of_rows_equals_adam_where_every_row_is_present():
    _, weight, _ = drawn()
    adam, rng = Adam(0.1), np.random.default_rng(3)
    ours, state, dense, dense_state = weight, adam.init(weight), weight, adam.init(weight)
    for _ in range(3):
        g = rng.normal(size=(V, E))
        ours, state = adam_rows(ours, RowGradient(np.arange(V), g), state, adam)
        dense, dense_state = adam.step(dense, g, dense_state)
    check_parity(
        {"weight": ours, "mean": state.mean, "square": state.square},
        {"weight": dense, "mean": dense_state.mean, "square": dense_state.square},
    )


def test_lazy_adam_carries_both_states():
    ids, weight, _ = drawn()
    lazy, adam, rng = Lazy(Adam(0.1)), Adam(0.1), np.random.default_rng(8)
    params = model_init(rng, V, E, tied=False)
    other, state, other_state = params, lazy.init(params), adam.init(params)
    for _ in range(3):  # every row has a gradient, so it is Adam
        gradients = model_loss(other, (np.arange(V)[:, None], np.arange(V)[::-1, None]))[1]
        params, state = lazy.step(params, gradients, state)
        other, other_state = adam.step(other, gradients, other_state)
    check_parity({"embedding": params.embedding}, {"embedding": other.embedding})
    check_parity({"weight": params.output.weight}, {"weight": other.output.weight})


def test_the_first_step_of_a_late_word_is_longer_than_the_rate():
    weight, adam = np.zeros((V, E)), Adam(0.1)
    for steps, length in ((0, 1.0), (999, 2.515)):  # the chapter's exercise says 2.5
        state = adam.init(weight)._replace(step=steps)
        moved, _ = adam_rows(weight, RowGradient(np.array([3]), np.ones((1, E))), state, adam)
        np.testing.assert_allclose(moved[3], -0.1 * length, rtol=1e-3)


def test_steps_in_place_change_the_same_and_others_change_nothing():
    ids, weight, g = drawn()
    gradient, adam = gradient_of(ids[:1], weight, g[:1]), Adam(0.1)
    assert len(gradient.ids) < V
    past = AdamState(3, np.full((V, E), 0.5), np.full((V, E), 2.0))
    kept = weight.copy()
    adam_rows(weight, gradient, past, adam)
    assert (past.mean == 0.5).all() and (past.square == 2).all()
    stepped, state = adam_rows(weight, gradient, adam.init(weight), adam)
    descended = sgd_rows(weight, gradient, 0.1)
    assert (weight == kept).all()
    absent = np.setdiff1d(np.arange(V), gradient.ids)
    for moved in (stepped, descended):
        assert (moved[absent] == weight[absent]).all() and (moved != weight).any()
    assert not state.mean[absent].any() and not state.square[absent].any()
    mine, own = weight.copy(), adam.init(weight)
    result, new = adam_rows(mine, gradient, own, adam, in_place=True)
    assert result is mine and new.mean is own.mean and (mine == stepped).all()
    mine = weight.copy()
    assert sgd_rows(mine, gradient, 0.1, in_place=True) is mine and (mine == descended).all()


@pytest.mark.equation("embeddings-tied")
def test_tied_gradient_equals_autograd():
    ids, weight, _ = drawn()
    rng = np.random.default_rng(4)
    bias, dlogits = rng.normal(size=V), rng.normal(size=(T, B, V))
    # Something between the two uses, so that the gradient at the embeddings is not that of the output layer.
    middle = rng.normal(size=(E, E))
    for padding_idx in (None, PAD):
        output, cache = embedding_forward(ids, weight, padding_idx)
        _, output_cache = output_forward(output @ middle, OutputParams(weight, bias))
        dh, d_output = output_backward(dlogits, output_cache)
        dweight = tied_backward(dh @ middle.T, cache, d_output.weight)
        tied = torch.tensor(weight, requires_grad=True)
        looked_up = torch.nn.functional.embedding(torch.tensor(ids), tied, padding_idx)
        logits = looked_up @ torch.tensor(middle) @ tied.T + torch.tensor(bias)
        logits.backward(torch.tensor(dlogits))
        check_parity({"weight": dweight}, {"weight": tied.grad})


@pytest.mark.equation("embeddings-lookup")
@pytest.mark.equation("embeddings-gradient")
def test_twin_equals_torch_nn():
    ids, weight, doutput = drawn()
    for padding_idx in (None, PAD):
        layer, expected = (
            Embedding(V, E, padding_idx, dtype=torch.float64),
            nn_embedding(weight, padding_idx=padding_idx),
        )
        layer.load_state_dict(expected.state_dict())
        for module in (layer, expected):
            module(torch.tensor(ids)).backward(torch.tensor(doutput))
        check_parity({"weight": layer.weight.grad}, {"weight": expected.weight.grad})
        output, cache = embedding_forward(ids, weight, padding_idx)
        check_parity({"output": output}, {"output": layer(torch.tensor(ids)).detach()})
        check_parity({"weight": layer.weight.grad}, {"weight": embedding_backward(doutput, cache)})


@pytest.mark.equation("embeddings-lookup")
@pytest.mark.equation("embeddings-gradient")
def test_function_by_hand_equals_torch():
    ids, weight, doutput = drawn()
    mine, theirs = (torch.tensor(weight, requires_grad=True) for _ in "ab")
    output = EmbeddingFunction.apply(torch.tensor(ids), mine, PAD)
    expected = torch.nn.functional.embedding(torch.tensor(ids), theirs, PAD)
    output.backward(torch.tensor(doutput))
    expected.backward(torch.tensor(doutput))
    check_parity(
        {"output": output.detach(), "weight": mine.grad}, {"output": expected.detach(), "weight": theirs.grad}
    )
    assert torch.autograd.gradcheck(
        lambda w: EmbeddingFunction.apply(torch.tensor(ids), w), torch.tensor(weight, requires_grad=True)
    )


def test_initial_vectors_are_standard_normal_and_padding_is_zero():
    weight = embedding_init(np.random.default_rng(0), 400, 30, padding_idx=5)
    assert not weight[5].any() and abs(weight.mean()) < 0.05 and abs(weight.std() - 1) < 0.05
    assert not Embedding(V, E, PAD).weight[PAD].any()
    twin = Embedding(400, 30).weight.detach().numpy()
    assert abs(twin.mean()) < 0.05 and abs(twin.std() - 1) < 0.05
    for wrong in (-1, V):
        with pytest.raises(IndexError):
            Embedding(V, E)(torch.tensor([wrong]))
    assert embedding_init(np.random.default_rng(0), V, E, dtype=np.float32).dtype == np.float32


def test_dtypes_are_kept_and_any_integers_and_shapes_will_do():
    ids, weight, doutput = drawn()
    weight, doutput, adam = weight.astype(np.float32), doutput.astype(np.float32), Adam(0.1)
    for kind in (np.uint8, np.int32, np.uint64, np.int64):
        output, cache = embedding_forward(ids.astype(kind), weight, PAD)
        gradient = embedding_backward_rows(doutput, cache)
        step, state = adam_rows(weight, gradient, adam.init(weight), adam)
        arrays = [output, gradient.rows, embedding_backward(doutput, cache), step, state.mean, state.square]
        arrays += [sgd_rows(weight, gradient, np.float64(0.1)), tied_backward(doutput, cache, weight)]
        assert {a.dtype for a in arrays} == {np.dtype(np.float32)}
    output, cache = embedding_forward(np.array(3), weight)
    assert output.shape == (E,) and embedding_backward(output, cache)[3].tolist() == weight[3].tolist()


def test_large_numbers_pass():
    ids, weight, doutput = drawn()
    output, cache = embedding_forward(ids, 1e4 * weight)
    adam = Adam(0.1)
    gradient = embedding_backward_rows(1e4 * doutput, cache)
    step, _ = adam_rows(weight, gradient, adam.init(weight), adam)
    assert np.isfinite(output).all() and np.isfinite(step).all()


def test_messages():
    ids, weight, doutput = drawn()
    _, cache = embedding_forward(ids, weight)
    bad = weight.copy()
    bad[ids[0, 0]] = np.nan
    gradient = embedding_backward_rows(doutput, cache)
    twice = RowGradient(np.array([1, 1]), np.zeros((2, E)))
    half = doutput.astype(np.float32)
    cases = [
        (lambda: embedding_forward(ids, weight[0]), "weight must have shape (V, E) = (any, any), got (4,)"),
        (lambda: embedding_forward(ids + 3, weight), "ids must lie in 0 .. V - 1 = 6, got 3 .. 9"),
        (lambda: embedding_forward(ids - 1, weight), "ids must lie in 0 .. V - 1 = 6, got -1 .. 5"),
        (lambda: embedding_forward(ids / 2, weight), "ids must hold integers, got dtype float64"),
        (lambda: embedding_forward(ids[:0], weight), "ids must hold at least one id, got shape (0, 3)"),
        (lambda: embedding_forward(ids, weight.astype(int)), "weight must hold floats, got dtype int64"),
        (lambda: embedding_forward(ids, bad), "weight must be finite, got nan or inf"),
        (lambda: embedding_forward(ids, weight, V), "padding_idx must lie in 0 .. V - 1 = 6, got 7 .. 7"),
        (lambda: embedding_forward(ids, weight, -1), "padding_idx must lie in 0 .. V - 1 = 6, got -1 .. -1"),
        (
            lambda: embedding_init(np.random.default_rng(0), V, E, V),
            "padding_idx must lie in 0 .. V - 1 = 6, got 7 .. 7",
        ),
        (
            lambda: embedding_backward(doutput[1:], cache),
            "doutput must have shape (*ids.shape, E) = (6, 3, 4), got (5, 3, 4)",
        ),
        (
            lambda: embedding_backward(half, cache),
            "doutput must have the dtype of weight, float64, got float32",
        ),
        (lambda: embedding_backward(doutput * np.nan, cache), "doutput must be finite, got nan or inf"),
        (
            lambda: tied_backward(doutput, cache, weight.T),
            "dweight_output must have shape (V, E) = (7, 4), got (4, 7)",
        ),
        (
            lambda: tied_backward(doutput, cache, weight.astype(np.float32)),
            "dweight_output must have the dtype of doutput, float64, got float32",
        ),
        (
            lambda: sgd_rows(weight, twice, 0.1),
            "gradient.ids must rise, each id once: add up the rows of equal ids first",
        ),
        (
            lambda: sgd_rows(weight, gradient._replace(rows=gradient.rows[1:]), 0.1),
            "gradient.rows must have shape (U, E) = (7, 4), got (6, 4)",
        ),
        (
            lambda: adam_rows(weight[:3], gradient, None, Adam()),
            "gradient.ids must lie in 0 .. V - 1 = 2, got 0 .. 6",
        ),
        (
            lambda: adam_rows(weight, gradient._replace(rows=gradient.rows * np.inf), None, Adam()),
            "gradient.rows must be finite, got nan or inf",
        ),
        (lambda: sgd_rows(weight, gradient, np.nan), "lr must lie in [0, inf), got nan"),
        (lambda: sgd_rows(weight, gradient, -1.0), "lr must lie in [0, inf), got -1.0"),
        (
            lambda: adam_rows(weight, gradient, Adam().init(weight[:5]), Adam()),
            "state.mean must have shape (V, E) = (7, 4), got (5, 4)",
        ),
        (
            lambda: adam_rows(weight, gradient, AdamState(1, weight, weight * np.nan), Adam()),
            "state.square must be finite, got nan or inf",
        ),
        (lambda: WordVocabulary(("a",), (1,)).id(3), "word must be a string, got 3"),
        (lambda: Embedding(V, E, -1), "padding_idx must lie in 0 .. V - 1 = 6, got -1"),
        (lambda: Embedding(V, E)(torch.zeros(3)), "ids must hold integers, got dtype float32"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message


def test_vocabulary_counts_equal_those_of_scikit_learn_and_gensim():
    found = split_sentences(tales_text())
    vocabulary = WordVocabulary.of(found, min_count=5)
    assert (len(found), sum(map(len, found)), len(vocabulary)) == (4350, 46771, 1152)
    vectorizer = CountVectorizer(analyzer=lambda words: words)
    totals = np.asarray(vectorizer.fit_transform(found).sum(axis=0)).ravel()
    theirs = dict(zip(vectorizer.get_feature_names_out(), totals.tolist(), strict=True))
    dictionary = gensim.corpora.Dictionary(found)
    assert {dictionary[i]: count for i, count in dictionary.cfs.items()} == theirs
    kept = {word: count for word, count in theirs.items() if count >= 5}
    assert dict(zip(vocabulary.words[1:], vocabulary.counts[1:], strict=True)) == kept
    assert vocabulary.counts[0] == sum(theirs.values()) - sum(kept.values())
    pairs = list(zip(vocabulary.counts[1:], vocabulary.words[1:], strict=True))
    assert pairs == sorted(pairs, key=lambda pair: (-pair[0], pair[1]))


def test_model_gradients_equal_central_differences():
    rng = np.random.default_rng(5)
    batch = rng.integers(0, V, (T, B)), rng.integers(0, V, (T, B))
    for tied in (True, False):
        params = model_init(rng, V, E, tied)
        _, gradients = model_loss(params, batch, decay=0.1)

        def loss(embedding, params=params):
            return model_loss(params._replace(embedding=embedding), batch, decay=0.1)[0]

        check_gradient(loss, {"embedding": params.embedding}, {"embedding": gradients.embedding})
        # The mistake keeps one place of each repeated word, and all of the output layer's part.
        _, lossy = model_loss(params, batch, decay=0.1, lossy=True)
        repeated = [word for word, count in Counter(batch[0].ravel().tolist()).items() if count > 1]
        wrong = np.abs(lossy.embedding - gradients.embedding).max(axis=1) > 1e-12
        assert sorted(repeated) == np.flatnonzero(wrong).tolist()


def test_held_out_words_do_not_occur_and_others_do():
    rng = np.random.default_rng(6)
    chosen = draw_words(rng, 2 * SETTINGS["words"])
    assert len(set(chosen.tolist())) == 2 * SETTINGS["words"]
    counts = np.bincount(corpus([]), minlength=len(sentences()[1]))
    assert counts[chosen].min() >= 12 and counts[chosen].max() <= 27
    assert not np.isin(corpus(chosen), chosen).any()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_absent_rows_move_as_the_rule_says(name):
    steps, run = 3, absence(name, tied=False, seed=0, steps=3)
    never, since = (np.linalg.norm(moved, axis=1) for moved in (run.never, run.since))
    start = model_init_of(0).embedding
    if name in ("SGD", "Adam on rows"):
        assert not never.any() and not since.any()
    elif name in ("SGD, momentum", "Adam"):
        assert not never.any() and since.any()
    elif name in ("SGD, decay", "Adam, decay decoupled"):
        shrunk = (1 - (1 - 0.001) ** (2 * steps)) * start
        np.testing.assert_allclose(run.never, -shrunk, rtol=1e-12)
    else:  # Adam turns the gradient of the decay, small as it is, into steps of its full rate
        far = np.abs(start) > 0.15
        np.testing.assert_allclose(run.never[far], -2 * steps * 0.01 * np.sign(start)[far], rtol=0.02)


def test_shares_are_of_the_lengths_and_the_loss_is_that_of_the_end():
    run = absence("SGD, decay", tied=False, seed=1, steps=30)
    never, since = run.shares()
    np.testing.assert_allclose(never, 1 - 0.999**60, rtol=1e-9)
    assert 0 < since < 0.1
    start = np.log(len(sentences()[1]))
    assert absence("Adam", tied=False, seed=1, steps=30).loss < start - 1


def test_tied_and_untied_runs_of_a_seed_see_the_same_batches(monkeypatch):
    seen = {}
    for tied in (True, False):

        def loss(params, batch, decay, tied=tied):
            seen.setdefault(tied, []).append(batch)
            return model_loss(params, batch, decay)

        monkeypatch.setattr("rnncourse.embeddings.experiment.model_loss", loss)
        absence("SGD", tied, seed=2, steps=2)
    assert len(seen[True]) == 4 and np.array_equal(seen[True], seen[False])


@pytest.mark.parametrize("kind", ["SGD, untied", "Adam on rows, tied", "Adam, untied"])
def test_a_recorded_run_comes_out_again(kind):
    record = json.loads((ROOT / "book/results/embeddings-absent.json").read_text())["moved"][kind]
    name, tied = kind.rsplit(", ", 1)
    run = absence(name, tied == "tied", seed=0)
    again = (*run.shares(), run.loss)
    np.testing.assert_allclose(again, [record[k][0] for k in ("never", "since", "loss")], rtol=1e-3)


def test_the_mistake_is_made_in_training_and_costs():
    right, lossy = (learn(0, mistake, SGD(1.0), 120).history.loss for mistake in (False, True))
    assert right[0] == lossy[0] and lossy[-20:].mean() > right[-20:].mean() + 0.01


def test_vectors_start_with_length_one_and_words_of_a_class_become_alike():
    embedding = model_init(np.random.default_rng(0), 2000, 24, tied=False)
    for weight in (embedding.embedding, embedding.output.weight):
        assert abs(np.mean((weight**2).sum(axis=1)) - 1) < 0.05
    start, end = grammar_classes(5, steps=150, sample_size=400)
    assert max(map(abs, start)) < 0.1 and end[0] > end[1] + 0.1


def test_costs_are_those_of_the_named_ways():
    # The product makes all V x E numbers pass; neither the lookup nor the step on rows does.
    cost = cost_ms(20_000)
    assert cost["product"] > 10 * cost["lookup"] and cost["product back"] > 5 * cost["rows back"]
    for kind in ("SGD", "Adam"):
        assert cost[f"{kind}, dense"] > 3 * cost[f"{kind}, rows in place"]


def model_init_of(seed):
    """The words that never occur in that run, as they start."""
    words_rng, weights_rng, _ = np.random.default_rng(seed).spawn(3)
    never = draw_words(words_rng, 2 * SETTINGS["words"])[: SETTINGS["words"]]
    params = model_init(weights_rng, len(sentences()[1]), SETTINGS["E"], tied=False)
    return params._replace(embedding=params.embedding[never])


def mutant_arguments(function, condition):
    """Arguments on which a mistake hides under `condition`; not all of them zero."""
    ids, weight, doutput = drawn()
    rng = np.random.default_rng(7)
    padding_idx = PAD
    if condition == "equal rows":
        weight = np.tile(weight[:1], (V, 1))
    if condition == "last id absent":
        ids = ids % (V - 1)
    if condition == "zero padding row":
        weight[PAD] = 0
    if condition in ("no repeats", "rising ids"):
        ids, doutput = np.array([[0, 3, 5]]), doutput[:1]
        padding_idx = None
    if condition == "no repeats":
        ids = ids[:, [2, 0, 1]]
    if condition == "rising ids":
        ids, doutput = np.array([[0, 3, 3]]), doutput[:1]
    if condition == "no padding":
        padding_idx = None
    if condition == "each of the first ids":
        ids, padding_idx = np.arange(T * B).reshape(T, B) % 4, None
    if function is embedding_forward:
        return ids, weight, padding_idx
    _, cache = embedding_forward(ids, weight, padding_idx)
    if function in (embedding_backward, embedding_backward_rows):
        return doutput, cache
    gradient = embedding_backward_rows(doutput[:1], EmbeddingCache(ids[:1], weight, None))
    if condition == "rate zero":
        return weight, gradient, 0.0
    if function is adam_rows:
        mean, square = rng.normal(size=(V, E)), rng.random((V, E)) + 0.1
        if condition == "each row present":
            gradient = RowGradient(np.arange(V), rng.normal(size=(V, E)))
        if condition == "gradients of one":
            gradient = gradient._replace(rows=np.sign(gradient.rows))
        return weight, gradient, AdamState(10**6 if condition == "late step" else 3, mean, square), Adam(0.1)
    dweight_output = rng.normal(size=(V, E))
    if condition == "zero doutput":
        doutput = 0 * doutput
    if condition == "zero dweight_output":
        dweight_output = 0 * dweight_output
    return doutput, cache, dweight_output


def small_run(device, dtype):
    """Gradient of the twin and of torch.nn.Embedding, whose sums may be rounded in another order."""
    torch.manual_seed(0)
    ids = torch.randint(0, 50, (20, 8), device=device)
    layer = Embedding(50, 16, 3, device=device, dtype=dtype)
    expected = torch.nn.Embedding(50, 16, 3, device=device, dtype=dtype)
    expected.load_state_dict(layer.state_dict())
    doutput = torch.randn(20, 8, 16, device=device, dtype=dtype)
    for module in (layer, expected):
        module(ids).backward(doutput)
    assert not layer.weight.grad[3].any()
    grads = [module.weight.grad.double().cpu() for module in (layer, expected)]
    return check_parity({"weight": grads[0]}, {"weight": grads[1]}, 2e-2 if dtype == torch.bfloat16 else 1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_small_run_on_the_processor(dtype):
    small_run("cpu", dtype)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_small_run_on_cuda(dtype):
    small_run("cuda", dtype)
