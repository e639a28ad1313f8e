"""Losses and gradients against autograd and central differences, the trainer, its statistics, the files."""

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from rnncourse.data.vectors import load_vectors, save_vectors
from rnncourse.data.words import WordVocabulary
from rnncourse.glove.numpy import neighbours
from rnncourse.testing import check_gradient, check_parity, numerical_gradient
from rnncourse.word2vec.batches import Block, blocks, falling_rate
from rnncourse.word2vec.experiment import GROUPS, blind_params, group_share
from rnncourse.word2vec.numpy import (
    Word2VecParams,
    block_gradient,
    cbow_block_gradient,
    cbow_loss,
    expected_loss,
    held_out,
    keep_probability,
    negative_sampling_loss,
    noise_distribution,
    pairs,
    pmi,
    shifted_pmi,
    softmax_loss,
    train_skipgram,
    window_weights,
    word2vec_init,
)
from rnncourse.word2vec.torch import Word2Vec, block_loss, cbow_block_loss
from rnncourse.word2vec.torch import held_out as torch_held_out
from rnncourse.word2vec.torch import train_skipgram as torch_train_skipgram

V, E, N, M, C = 7, 3, 11, 4, 5  # all different, all above one


def drawn(seed=0, dtype=np.float64):
    """Parameters, centres, contexts and negatives with repeats."""
    rng = np.random.default_rng(seed)
    params = Word2VecParams(*(rng.normal(size=(V, E)).astype(dtype) for _ in range(2)))
    return params, rng.integers(0, V, N), rng.integers(0, V, N), rng.integers(0, V, (N, M))


def drawn_cbow(seed=0):
    rng = np.random.default_rng(seed)
    inside = rng.random((N, C)) < 0.6
    inside[:, 0] = True
    return rng.integers(0, V, (N, C)), inside, rng.integers(0, V, N)


def autograd(params, read, targets, negatives=None, scale=1.0):
    """Loss and gradients by name, by the plainest torch code: lookup, logits, log-likelihoods."""
    weight_in, weight_out = (torch.tensor(p, requires_grad=True) for p in params)
    logits, targets = read(weight_in) @ weight_out.T, torch.tensor(targets)
    if negatives is None:
        loss = F.nll_loss(F.log_softmax(logits, 1), targets)
    else:
        loss = -F.logsigmoid(logits.gather(1, targets[:, None])).sum()
        loss = loss - scale * F.logsigmoid(-logits.gather(1, torch.tensor(negatives))).sum()
        loss = loss / len(targets)
    loss.backward()
    return {"loss": loss.detach(), "weight_in": weight_in.grad, "weight_out": weight_out.grad}


def by_name(loss, dparams):
    return {"loss": loss, **dparams._asdict()}


def by_differences(function, params, *arguments):
    """Compare a function's gradients with central differences of its loss."""
    _, dparams = function(params, *arguments)
    check_gradient(
        lambda **weights: function(Word2VecParams(**weights), *arguments)[0],
        params._asdict(),
        dparams._asdict(),
    )


@pytest.mark.equation("word2vec-softmax")
@pytest.mark.equation("word2vec-softmax-gradient")
def test_softmax_equals_autograd():
    params, centres, contexts, _ = drawn()
    expected = autograd(params, lambda w: w[centres], contexts)
    check_parity(by_name(*softmax_loss(params, centres, contexts)), expected)


def test_softmax_equals_central_differences():
    params, centres, contexts, _ = drawn(1)
    by_differences(softmax_loss, params, centres, contexts)


@pytest.mark.equation("word2vec-negative")
@pytest.mark.equation("word2vec-negative-gradient")
def test_negative_sampling_equals_autograd():
    params, centres, contexts, negatives = drawn()
    for scale in (1.0, 1.7):
        expected = autograd(params, lambda w: w[centres], contexts, negatives, scale)
        actual = negative_sampling_loss(params, centres, contexts, negatives, scale)
        check_parity(by_name(*actual), expected)


def test_negative_sampling_equals_central_differences():
    by_differences(negative_sampling_loss, *drawn(1), 0.6)


@pytest.mark.equation("word2vec-cbow")
@pytest.mark.equation("word2vec-cbow-gradient")
def test_cbow_equals_autograd():
    params, _, _, negatives = drawn()
    contexts, inside, targets = drawn_cbow()

    def mean(weight_in):
        return torch.stack([weight_in[c[i]].mean(0) for c, i in zip(contexts, inside, strict=True)])

    for arguments in ((), (negatives, 1.7)):
        expected = autograd(params, mean, targets, *arguments)
        check_parity(by_name(*cbow_loss(params, contexts, inside, targets, *arguments)), expected)


def test_cbow_equals_central_differences():
    params, _, _, negatives = drawn(1)
    by_differences(cbow_loss, params, *drawn_cbow(1))
    by_differences(cbow_loss, params, *drawn_cbow(1), negatives, 0.6)


@pytest.mark.equation("word2vec-softmax")
@pytest.mark.equation("word2vec-negative")
@pytest.mark.equation("word2vec-cbow")
def test_twin_equals_the_reference():
    params, centres, contexts, negatives = drawn()
    around, inside, targets = drawn_cbow()
    model = Word2Vec(V, E, dtype=torch.float64)
    model.load_state_dict({name: torch.tensor(p) for name, p in params._asdict().items()}, strict=True)
    i, o, n = (torch.tensor(a) for a in (centres, contexts, negatives))
    a, m, t = (torch.tensor(a) for a in (around, inside, targets))
    cases = [
        (model(i, o), softmax_loss(params, centres, contexts)),
        (model(i, o, n, 0.7), negative_sampling_loss(params, centres, contexts, negatives, 0.7)),
        (model(a, t, inside=m), cbow_loss(params, around, inside, targets)),
        (model(a, t, n, 0.7, inside=m), cbow_loss(params, around, inside, targets, negatives, 0.7)),
    ]
    for loss, expected in cases:
        model.zero_grad()
        loss.backward()
        gradients = Word2VecParams(model.weight_in.grad, model.weight_out.grad)
        check_parity(by_name(loss.detach(), gradients), by_name(*expected))


@pytest.mark.equation("word2vec-softmax")
@pytest.mark.equation("word2vec-cbow")
def test_cbow_with_one_word_around_is_skipgram():
    params, centres, contexts, negatives = drawn()
    one = centres[:, None], np.ones((N, 1), bool), contexts
    check_parity(by_name(*cbow_loss(params, *one)), by_name(*softmax_loss(params, centres, contexts)))


def counted(seed=2):
    counts = np.random.default_rng(seed).integers(1, 30, (V, V)).astype(float)
    return counts + counts.T


@pytest.mark.equation("word2vec-pmi")
def test_pmi_by_hand():
    # The pair 4 times, its words 8 and 10 times, 100 pairs in all: ln 5.
    counts = np.array([[4.0, 4], [6, 86]])
    assert counts.sum(1)[0] == 8 and counts.sum(0)[0] == 10 and counts.sum() == 100
    check_parity({"pmi": pmi(counts)[0, 0]}, {"pmi": np.log(5)})
    rows, columns = counts.sum(1) / 100, counts.sum(0) / 100
    check_parity({"pmi": np.exp(pmi(counts)) * np.outer(rows, columns)}, {"pmi": counts / 100})
    independent = np.outer([3.0, 5], [2.0, 7])
    assert abs(pmi(independent)).max() < 1e-15
    assert pmi(np.array([[0.0, 1], [1, 0]])).tolist() == [[-np.inf, np.log(2)], [np.log(2), -np.inf]]


@pytest.mark.equation("word2vec-optimum")
def test_optimum_by_hand_and_by_differences():
    counts = np.array([[4.0, 4], [6, 86]])
    assert abs(shifted_pmi(counts, 5)[0, 0]) < 1e-15
    # The loss as a function of all dot products: at the optimum no slope is left.
    counts, noise = counted(), noise_distribution(counted().sum(0))
    for q in (None, noise):
        optimum = shifted_pmi(counts, 5, q)
        loss = lambda x, q=q: expected_loss(Word2VecParams(x, np.eye(V)), counts, 5, q)[0]  # noqa: E731
        assert abs(numerical_gradient(loss, optimum)).max() < 1e-10
        wrong = shifted_pmi(counts, 5, None if q is noise else noise)
        assert abs(numerical_gradient(loss, wrong)).max() > 1e-4
        # Strictly convex: no other point has no slope, so that a factor on the optimum shows.
        assert abs(numerical_gradient(loss, 1.001 * shifted_pmi(counts, 5, q))).max() > 1e-6


@pytest.mark.equation("word2vec-expected")
def test_expected_loss_is_the_mean_over_all_draws():
    rng = np.random.default_rng(3)
    V = 3
    counts = np.array([[0, 2, 1], [2, 1, 3], [1, 3, 0.0]])
    params = Word2VecParams(rng.normal(size=(V, E)), rng.normal(size=(V, E)))
    noise = noise_distribution(counts.sum(0))
    centres, contexts = (np.repeat(i.ravel(), counts.ravel().astype(int)) for i in np.indices((V, V)))
    total = []
    for q in (counts.sum(0) / counts.sum(), noise):
        loss, dweight_in, dweight_out = 0.0, 0.0, 0.0
        for draw in itertools.product(range(V), repeat=2):
            p = q[list(draw)].prod()
            value, d = negative_sampling_loss(params, centres, contexts, np.tile(draw, (len(centres), 1)))
            loss, dweight_in = loss + p * value, dweight_in + p * d.weight_in
            dweight_out = dweight_out + p * d.weight_out
        total.append({"loss": loss, "weight_in": dweight_in, "weight_out": dweight_out})
    check_parity(by_name(*expected_loss(params, counts, 2)), total[0])
    check_parity(by_name(*expected_loss(params, counts, 2, noise)), total[1])
    by_differences(expected_loss, params, counts, 2, noise)


@pytest.mark.equation("word2vec-noise")
def test_noise_by_hand():
    # 16 and 81 to the 3/4 are 8 and 27.
    expected = np.array([8, 27, 0, 1]) / 36
    check_parity({"noise": noise_distribution(np.array([16, 81, 0, 1]))}, {"noise": expected})
    check_parity({"p": noise_distribution(np.array([2, 0, 6]), 1)}, {"p": np.array([0.25, 0, 0.75])})
    check_parity({"p": noise_distribution(np.array([2, 0, 6]), 0)}, {"p": np.array([0.5, 0, 0.5])})


@pytest.mark.equation("word2vec-subsample")
def test_subsampling_by_hand():
    # Frequencies 0.64, 0.32, 0.04 at threshold 0.04: sqrt(1/16), sqrt(1/8), 1.
    kept = keep_probability(np.array([64, 32, 4]), 0.04)
    check_parity({"keep": kept}, {"keep": np.array([0.25, 8**-0.5, 1])})


@pytest.mark.equation("word2vec-window")
def test_window_by_enumeration():
    # Each of the widths 1 .. 4 is as likely: count how often the word d places away is inside.
    window = 4
    inside = [[d <= width for d in range(1, window + 1)] for width in range(1, window + 1)]
    check_parity({"weights": window_weights(window)}, {"weights": np.mean(inside, 0)})


def plain_pairs(sentences, window):
    return [
        (s[i], s[j])
        for s in sentences
        for i in range(len(s))
        for j in range(len(s))
        if 0 < abs(i - j) <= window
    ]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1), st.integers(1, 4), st.integers(0, 99))
def test_pairs_equal_the_plain_loops(sentences, window, seed):
    if not any(sentences):
        return
    arrays = [np.array(s, int) for s in sentences]
    full = list(zip(*(a.tolist() for a in pairs(arrays, window)), strict=True))
    assert full == plain_pairs(sentences, window)
    some = pairs(arrays, window, np.random.default_rng(seed))
    assert set(zip(*(a.tolist() for a in some), strict=True)) <= set(full)
    assert len(some[0]) >= len(plain_pairs(sentences, 1))


def test_dynamic_window_has_the_frequencies_of_its_weights():
    sentence = np.arange(4001)
    centres, contexts = pairs([sentence], 4, np.random.default_rng(0))
    distance = np.abs(centres - contexts)
    shares = np.bincount(distance)[1:] / (2 * len(sentence))
    # Four standard deviations of a share of 8,002 draws are at most 0.023.
    assert np.abs(shares - window_weights(4)).max() < 0.023
    assert distance.max() == 4


def test_blocks_hold_the_pairs_and_the_noise():
    rng = np.random.default_rng(4)
    sentences = [rng.integers(0, 9, n) for n in (1, 40, 3, 0, 77)]
    counts = np.bincount(np.concatenate(sentences), minlength=9)
    arguments = dict(window=3, epochs=40, seed=5, size=7, groups=3, shared=50)
    drawn = list(blocks(sentences, 9, **arguments))
    full, some, noise, done = plain_pairs(sentences, 3), [], [], []
    for block in drawn:
        for g, i, o in np.argwhere(block.inside):
            some.append((block.centres[g, i], block.around[g, i + o]))
        noise.append(block.negatives)
        done.append(block.done)
    assert set(some) == set(full)
    # A neighbour is inside with probability (3 + 2 + 1) / 9 on average: 2/3 of the pairs of a full window.
    assert abs(len(some) / (40 * len(full)) - 2 / 3) < 0.03
    share = np.bincount(np.concatenate(noise), minlength=9) / np.concatenate(noise).size
    assert np.abs(share - noise_distribution(counts)).max() < 0.02
    assert done == sorted(done) and done[0] == 0 and 0.95 < done[-1] < 1
    for block, again in zip(drawn, blocks(sentences, 9, **arguments), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(block, again, strict=True))
    given = np.arange(9) / 36
    negatives = [b.negatives for b in blocks(sentences, 9, **arguments, noise=given)]
    share = np.bincount(np.concatenate(negatives), minlength=9) / np.concatenate(negatives).size
    assert np.abs(share - given).max() < 0.02
    long = [rng.integers(0, 9, 9000) ** 2 // 8]
    counts = np.bincount(long[0], minlength=9)
    thinned = blocks(long, 9, window=1, epochs=1, seed=0, subsample=0.05)
    left = np.bincount(np.concatenate([b.centres[b.inside.any(2)] for b in thinned]), minlength=9)
    # Four standard deviations of a share of a thousand draws.
    assert (
        np.abs(left[counts > 0] / counts[counts > 0] - keep_probability(counts, 0.05)[counts > 0]).max()
        < 0.064
    )


def drawn_block(seed=6, dtype=np.float64):
    rng = np.random.default_rng(seed)
    inside = rng.random((2, 4, 5)) < 0.5
    inside[:, :, 2] = False
    inside[0, 0, 0] = True
    block = Block(rng.integers(0, V, (2, 4)), rng.integers(0, V, (2, 8)), inside, rng.integers(0, V, M), 0.25)
    return drawn(seed, dtype)[0], block


@pytest.mark.equation("word2vec-block")
def test_block_equals_its_pairs():
    params, block = drawn_block()
    g, i, o = np.nonzero(block.inside)
    centres, contexts = block.centres[g, i], block.around[g, i + o]
    negatives = np.tile(block.negatives, (len(g), 1))
    mean, dmean = negative_sampling_loss(params, centres, contexts, negatives, 3 / M)
    loss, dcentres, daround, dnegatives = block_gradient(params, block, 3)
    dweight_in, dweight_out = np.zeros((V, E)), np.zeros((V, E))
    np.add.at(dweight_in, block.centres, dcentres)
    np.add.at(dweight_out, block.around, daround)
    np.add.at(dweight_out, block.negatives, dnegatives)
    expected = {"loss": mean, **dmean._asdict()}
    check_parity(
        {"loss": loss, "weight_in": dweight_in, "weight_out": dweight_out},
        {name: len(g) * value for name, value in expected.items()},
    )


@pytest.mark.equation("word2vec-block")
def test_block_twins_agree():
    params, block = drawn_block()
    read = (
        params.weight_in[block.centres],
        params.weight_out[block.around],
        params.weight_out[block.negatives],
    )
    rows = [torch.tensor(r, requires_grad=True) for r in read]
    loss = block_loss(*rows, torch.tensor(block.inside), 3)
    loss.backward()
    names = "loss", "centres", "around", "negatives"
    expected = dict(zip(names, block_gradient(params, block, 3), strict=True))
    actual = dict(zip(names, (loss.detach(), *(r.grad for r in rows)), strict=True))
    check_parity(actual, expected)


def cbow_pairs(block):
    """Arguments of cbow_loss for the centres of a block that have a word around."""
    g, i = np.nonzero(block.inside.any(-1))
    offsets = np.arange(block.inside.shape[2])
    return block.around[g[:, None], i[:, None] + offsets], block.inside[g, i], block.centres[g, i]


@pytest.mark.equation("word2vec-cbow-block")
def test_cbow_block_equals_its_words():
    params, block = drawn_block()
    block.inside[1, 2] = False
    around, inside, targets = cbow_pairs(block)
    negatives = np.tile(block.negatives, (len(targets), 1))
    mean, dmean = cbow_loss(params, around, inside, targets, negatives, 3 / M)
    loss, dcentres, daround, dnegatives = cbow_block_gradient(params, block, 3)
    dweight_in, dweight_out = np.zeros((V, E)), np.zeros((V, E))
    np.add.at(dweight_out, block.centres, dcentres)
    np.add.at(dweight_in, block.around, daround)
    np.add.at(dweight_out, block.negatives, dnegatives)
    expected = {"loss": mean, **dmean._asdict()}
    check_parity(
        {"loss": loss, "weight_in": dweight_in, "weight_out": dweight_out},
        {name: len(targets) * value for name, value in expected.items()},
    )


@pytest.mark.equation("word2vec-cbow-block")
def test_cbow_block_twins_agree():
    params, block = drawn_block()
    block.inside[1, 2] = False
    read = (
        params.weight_in[block.around],
        params.weight_out[block.centres],
        params.weight_out[block.negatives],
    )
    rows = [torch.tensor(r, requires_grad=True) for r in read]
    loss = cbow_block_loss(*rows, torch.tensor(block.inside), 3)
    loss.backward()
    names = "loss", "around", "centres", "negatives"
    actual = dict(zip(names, (loss.detach(), *(r.grad for r in rows)), strict=True))
    value, dcentres, daround, dnegatives = cbow_block_gradient(params, block, 3)
    check_parity(actual, dict(zip(names, (value, daround, dcentres, dnegatives), strict=True)))


def test_parts_of_a_long_text(monkeypatch):
    monkeypatch.setattr("rnncourse.word2vec.batches.PART", 60)
    rng = np.random.default_rng(0)
    sentences = [rng.integers(0, 20, 50) for _ in range(5)]
    arguments = dict(window=2, epochs=2, seed=0, size=5, groups=2, shared=3)
    whole = blocks(sentences, 20, **arguments)
    drawn = list(whole)
    # Five parts an epoch, the last of 10 words; the words come once each, in their order.
    assert len(drawn) == len(whole) == 2 * 25
    words = np.concatenate([b.centres.ravel() for b in drawn])
    assert np.array_equal(words, np.tile(np.concatenate(sentences), 2))
    done = [b.done for b in drawn]
    assert np.allclose(done, np.arange(50) / 50, rtol=0, atol=1e-12)
    # Every part and every epoch draws anew.
    firsts = {tuple(drawn[i].negatives.tolist()) for i in (0, 6, 12, 18, 24, 25, 31)}
    assert len(firsts) == 7
    rest = blocks(sentences, 20, **arguments).after(40)
    assert len(rest) == 10 and [b.done for b in rest] == done[40:]


def test_subsampling_draws_anew_in_each_epoch():
    sentence = [np.arange(400) % 20]
    drawn = list(blocks(sentence, 20, window=1, epochs=2, seed=0, subsample=0.02))
    epochs = [[b.centres[b.inside.any(2)].tolist() for b in drawn if (b.done >= 0.5) == e] for e in (0, 1)]
    assert epochs[0] != epochs[1]


def test_rate_falls_to_its_floor():
    assert falling_rate(0.5, 0.99) == pytest.approx(0.005)
    assert falling_rate(0.5, 0.9999999) == pytest.approx(0.5e-4)


def test_first_values():
    weight_in, weight_out = word2vec_init(np.random.default_rng(0), 500, 4)
    torch_in = Word2Vec(500, 4, generator=torch.Generator().manual_seed(0)).weight_in.detach().numpy()
    for weight in (weight_in, torch_in):
        assert 0.124 < np.abs(weight).max() <= 0.125 and np.abs(weight.mean()) < 0.01
    assert not weight_out.any()
    for seed in (3, 4):
        drawn = word2vec_init(np.random.default_rng(seed), 9, E)
        one, two = (
            train_skipgram(corpus(), 9, E, **{**SMALL, "seed": seed}, **p) for p in ({}, {"params": drawn})
        )
        assert np.array_equal(one.params.weight_in, two.params.weight_in)


def test_group_share():
    class Words:
        words = GROUPS["days"].split() + GROUPS["colours"].split()

        def __contains__(self, word):
            return word in self.words

        def id(self, word):
            return self.words.index(word)

    known = Words()
    # Neighbours in the order of the words stand close together; the seven days begin.
    angles = np.arange(len(known.words)) * 0.1
    angles[6] = angles[7] - 0.01
    vectors = np.column_stack([np.cos(angles), np.sin(angles)])
    shares = {}
    for name in ("days", "colours"):
        ids = [known.id(w) for w in GROUPS[name].split()]
        nearest = [min((abs(a - angles[i]), j) for j, a in enumerate(angles) if j != i)[1] for i in ids]
        shares[name] = np.mean([j in ids for j in nearest])
    assert 0 < shares["days"] < 1 and 0 < shares["colours"] < 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rnncourse.word2vec.experiment.GROUPS", {k: GROUPS[k] for k in shares})
        given = group_share(vectors, known)
    assert {k: given[k] for k in shares} == pytest.approx(shares)


def test_no_blind_parameters_are_better():
    # Of all parameters with the same dot products for every centre.
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 50, (V, V)).astype(float)
    noise = noise_distribution(counts.sum(0), 0.3)
    blind = blind_params(counts.sum(0) - 0.5, noise, 4)
    assert counts.sum() > 0

    def loss(x):
        return expected_loss(Word2VecParams(np.ones((V, 1)), x), counts, 4, noise)[0]

    slope = numerical_gradient(loss, blind.weight_out)
    assert np.abs(slope).max() < 2e-4 < np.abs(numerical_gradient(loss, blind.weight_out + 0.1)).max()


def corpus(seed=8, words=9, sentences=30):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, words, rng.integers(2, 12)) for _ in range(sentences)]


SMALL = dict(
    window=2, negatives=3, epochs=2, lr=0.1, seed=3, size=5, groups=2, shared=6, subsample=0.1, power=0.2
)


def plain_training(params, lr, cbow=False):
    """The trainer's steps, by the loss of the pairs and dense gradients."""
    drawn = dict(window=2, epochs=2, seed=3, size=5, groups=2, shared=6, subsample=0.1, power=0.2)
    losses, cut = [], 0
    for block in blocks(corpus(), 9, **drawn):
        g, i, o = np.nonzero(block.inside)
        if cbow:
            g, i = np.nonzero(block.inside.any(-1))
        negatives = np.tile(block.negatives, (len(g), 1))
        if cbow:
            loss, d = cbow_loss(params, *cbow_pairs(block), negatives, 3 / 6)
        else:
            centres, contexts = block.centres[g, i], block.around[g, i + o]
            loss, d = negative_sampling_loss(params, centres, contexts, negatives, 3 / 6)
        losses.append(loss)
        steps = [lr * (1 - block.done) * len(g) * part for part in d]
        for step in steps:
            length = np.linalg.norm(step, axis=1)
            cut += (length > 1).sum()
            step /= np.maximum(length, 1)[:, None]
        params = Word2VecParams(*(p - step for p, step in zip(params, steps, strict=True)))
    return params, losses, cut


@pytest.mark.equation("word2vec-update")
def test_training_equals_plain_steps():
    params = word2vec_init(np.random.default_rng(1), 9, E, np.float64)
    for objective, lr in itertools.product(("skip-gram", "cbow"), (0.1, 5.0)):
        expected, losses, cut = plain_training(params, lr, objective == "cbow")
        assert (cut > 0) == (lr == 5.0)
        trained = train_skipgram(corpus(), 9, E, **{**SMALL, "lr": lr}, objective=objective, params=params)
        check_parity(trained.params._asdict(), expected._asdict())
        check_parity({"loss": trained.history.loss}, {"loss": losses})
        assert trained.state == len(losses) > 5
    assert not params.weight_out.any()  # the start is not changed


@pytest.mark.equation("word2vec-update")
def test_trained_twins_agree():
    params = word2vec_init(np.random.default_rng(1), 9, E, np.float64)
    for objective, lr in itertools.product(("skip-gram", "cbow"), (0.1, 1.0)):
        model = Word2Vec(9, E, dtype=torch.float64)
        model.load_state_dict({name: torch.tensor(p) for name, p in params._asdict().items()})
        twin = torch_train_skipgram(corpus(), model, **{**SMALL, "lr": lr}, objective=objective)
        expected = train_skipgram(corpus(), 9, E, **{**SMALL, "lr": lr}, objective=objective, params=params)
        check_parity(twin.params, expected.params._asdict())
        check_parity(twin.history._asdict(), expected.history._asdict())


def test_training_goes_on_where_it_stopped():
    sentences, whole = corpus(), train_skipgram(corpus(), 9, E, **SMALL)
    part = train_skipgram(sentences, 9, E, **SMALL, steps=7)
    rest = train_skipgram(sentences, 9, E, **SMALL, params=part.params, state=part.state)
    assert all(np.array_equal(a, b) for a, b in zip(whole.params, rest.params, strict=True))
    assert np.array_equal(whole.history.loss, np.append(part.history.loss, rest.history.loss))
    again = train_skipgram(sentences, 9, E, **SMALL)
    assert all(np.array_equal(a, b) for a, b in zip(whole.params, again.params, strict=True))
    other = train_skipgram(sentences, 9, E, **{**SMALL, "seed": 4})
    assert not np.array_equal(whole.params.weight_in, other.params.weight_in)


def test_ctrl_c_keeps_what_was_reached():
    calls = []

    def evaluate(params):
        calls.append(params)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return 1.0

    whole = train_skipgram(corpus(), 9, E, **SMALL)
    with pytest.raises(KeyboardInterrupt) as caught:
        train_skipgram(corpus(), 9, E, **SMALL, evaluate=evaluate, every=3)
    trained = caught.value.trained
    assert trained.state == 6
    rest = train_skipgram(corpus(), 9, E, **SMALL, params=trained.params, state=trained.state)
    assert all(np.array_equal(a, b) for a, b in zip(whole.params, rest.params, strict=True))


def test_progress_bar_and_divergence(capsys):
    train_skipgram(corpus(), 9, E, **SMALL, progress=True)
    shown = capsys.readouterr().err
    assert "skip-gram" in shown and "100%" in shown
    with pytest.raises(FloatingPointError, match=r"^step \d+: the loss is .*exception's attribute trained$"):
        train_skipgram(corpus(), 9, E, **{**SMALL, "lr": 1e39})


def test_training_learns_who_stands_together():
    # Words 0-3 only stand with each other, and so do 4-7.
    rng = np.random.default_rng(0)
    sentences = [rng.integers(0, 4, 8) + 4 * (n % 2) for n in range(300)]
    evaluate = held_out(sentences[:20], noise_distribution(np.ones(8)))
    trained = train_skipgram(sentences[20:], 8, 6, epochs=3, evaluate=evaluate, every=50)
    assert trained.history.evaluation[-1] < 0.85 * trained.history.evaluation[0]
    assert trained.history.evaluation[0] == pytest.approx(6 * np.log(2), rel=1e-6)
    x = trained.params.weight_in @ trained.params.weight_out.T
    assert x[:4, :4].min() > x[:4, 4:].max() and x[4:, 4:].min() > x[4:, :4].max()


@pytest.mark.parametrize(("objective", "lr"), [("skip-gram", 0.05), ("cbow", 0.1)])
def test_gensim_gains_no_more_and_has_the_same_neighbours(objective, lr):
    from gensim.models import Word2Vec as Gensim

    # Twelve kinds of words, each with contexts of its own: kind of a word and of its neighbours are equal.
    rng = np.random.default_rng(0)
    sentences = [rng.integers(0, 8, 12) + 8 * rng.integers(0, 12) for _ in range(1000)]
    train, test = sentences[100:], sentences[:100]
    cbow = objective == "cbow"
    model = Gensim(
        [[str(w) for w in s] for s in train], vector_size=20, sg=int(not cbow), sample=0, min_count=1,
        window=3, negative=5, epochs=6, alpha=lr, seed=1, workers=1,
    )  # fmt: skip
    rows = [model.wv.key_to_index[str(w)] for w in range(96)]
    theirs = Word2VecParams(model.wv.vectors[rows], model.syn1neg[rows])
    settings = dict(window=3, epochs=6, lr=lr, objective=objective)
    ours = train_skipgram(train, 96, 20, **settings).params
    counts = np.bincount(np.concatenate(train), minlength=96)
    noise = noise_distribution(counts)
    evaluate = held_out(test, noise, window=3, objective=objective)
    blind = evaluate(blind_params(counts, noise))
    share = (blind - evaluate(ours)) / (blind - evaluate(theirs))
    assert blind - evaluate(theirs) > 0.3
    assert share > 0.8
    for vectors in (ours.weight_in, theirs.weight_in):
        assert (neighbours(vectors, 1)[:, 0] // 8 == np.arange(96) // 8).all()
    # Vectors of a text with all words shuffled gain nothing over the blind ones.
    mixed = np.split(rng.permutation(np.concatenate(train)), np.cumsum([len(s) for s in train])[:-1])
    worse = train_skipgram(mixed, 96, 20, **settings).params
    assert blind - evaluate(worse) < 0.1 * (blind - evaluate(theirs))


def test_softmax_training_needs_no_trainer_of_its_own():
    from rnncourse.optim import SGD
    from rnncourse.training.numpy import train

    rng = np.random.default_rng(0)
    sentences = [rng.integers(0, 4, 8) + 4 * (n % 2) for n in range(60)]
    centres, contexts = pairs(sentences, 2)
    cut = [rng.integers(0, len(centres), 200) for _ in range(100)]
    params = word2vec_init(rng, 8, 6, np.float64)
    trained = train(lambda p, n: softmax_loss(p, centres[n], contexts[n]), params, cut, SGD(1.0))
    # Knowing the kind leaves four words.
    assert softmax_loss(params, centres, contexts)[0] == pytest.approx(np.log(8))
    assert softmax_loss(trained.params, centres, contexts)[0] == pytest.approx(np.log(4), abs=0.05)


def test_held_out_equals_the_loss_of_its_pairs():
    params = drawn()[0]
    sentences = [np.array([0, 1, 2, 3, 6]), np.array([5, 4]), np.tile(np.arange(V), 300)]
    noise = noise_distribution(np.arange(1, V + 1))
    centres, contexts = pairs(sentences, 2)
    assert len(centres) > 2 * 4096
    losses = []
    for seed in (0, 1):
        negatives = np.random.default_rng(seed).choice(V, (len(centres), 4), p=noise)
        expected, _ = negative_sampling_loss(params, centres, contexts, negatives)
        evaluate = held_out(sentences, noise, window=2, negatives=4, seed=seed)
        check_parity({"loss": evaluate(params)}, {"loss": expected})
        losses.append(expected)
    assert losses[0] != losses[1]
    # CBOW: every word, from all around it.
    rows = [
        ([s[j] for j in range(max(0, i - 2), min(len(s), i + 3)) if j != i], s[i])
        for s in sentences
        for i in range(len(s))
    ]
    around = np.array([c + [0] * (4 - len(c)) for c, _ in rows])
    inside = np.array([[True] * len(c) + [False] * (4 - len(c)) for c, _ in rows])
    targets = np.array([t for _, t in rows])
    negatives = np.random.default_rng(0).choice(V, (len(targets), 4), p=noise)
    expected, _ = cbow_loss(params, around, inside, targets, negatives)
    evaluate = held_out(sentences, noise, window=2, negatives=4, objective="cbow")
    check_parity({"loss": evaluate(params)}, {"loss": expected})
    # Thinned: a word that is never kept is in no pair.
    keep = np.ones(V)
    keep[3] = 0
    without = [s[s != 3] for s in sentences]
    thin = held_out(sentences, noise, window=2, keep=keep)
    other = params._replace(weight_in=params.weight_in + (np.arange(V) == 3)[:, None])
    assert thin(params) == thin(other) and evaluate(params) != evaluate(other)
    assert len(pairs(without, 2)[0]) < len(centres)


def test_torch_trains_with_a_held_out_loss():
    evaluate = torch_held_out(corpus(1), np.full(9, 1 / 9), window=2)
    model = Word2Vec(9, E, dtype=torch.bfloat16)
    history = torch_train_skipgram(corpus(), model, **SMALL, evaluate=evaluate, every=5).history
    assert history.evaluation[0] == pytest.approx(6 * np.log(2), rel=1e-6) and len(history.evaluation) > 2
    model = Word2Vec(9, E, dtype=torch.float64)
    params = Word2VecParams(*(p.detach().numpy() for p in model.parameters()))
    params = Word2VecParams(params.weight_in, params.weight_in[::-1].copy())
    model.weight_out.data.copy_(torch.tensor(params.weight_out))
    for objective in ("skip-gram", "cbow"):
        arguments = corpus(1), noise_distribution(np.arange(1, 10))
        sets = dict(window=2, objective=objective, keep=np.full(9, 0.8))
        expected = held_out(*arguments, **sets)(params)
        check_parity({"loss": torch_held_out(*arguments, **sets)(model)}, {"loss": expected})


def test_both_at_zero_is_a_saddle():
    params, centres, contexts, negatives = drawn()
    zero = np.zeros((V, E))
    one = params._replace(weight_out=zero)
    gradients = negative_sampling_loss(Word2VecParams(zero, zero), centres, contexts, negatives)[1]
    assert not gradients.weight_in.any() and not gradients.weight_out.any()
    assert negative_sampling_loss(one, centres, contexts, negatives)[1].weight_out.any()


def test_dtype_is_kept_and_scores_of_any_size_are_finite():
    params, centres, contexts, negatives = drawn(dtype=np.float32)
    contexts_, inside, targets = drawn_cbow()
    _, block = drawn_block()
    large = Word2VecParams(*(100 * np.sign(p) for p in params))  # scores up to 3e4
    for p in (params, large):
        results = [
            softmax_loss(p, centres, contexts),
            negative_sampling_loss(p, centres, contexts, negatives),
            cbow_loss(p, contexts_, inside, targets),
            cbow_loss(p, contexts_, inside, targets, negatives),
            expected_loss(p, counted(), 5),
            (0.0, block_gradient(p, block, 5)[1:]),
        ]
        for loss, gradients in results:
            assert np.isfinite(loss)
            assert {g.dtype for g in gradients} == {np.dtype(np.float32)}
            assert all(np.isfinite(g).all() for g in gradients)
    assert train_skipgram(corpus(), 9, E, **SMALL).params.weight_in.dtype == np.float32


def test_arguments_are_not_changed():
    arguments = drawn()
    kept = [a.copy() for a in (*arguments[0], *arguments[1:])]
    softmax_loss(*arguments[:3])
    negative_sampling_loss(*arguments)
    train_skipgram(corpus(words=V), V, E, **SMALL, params=arguments[0])
    now = (*arguments[0], *arguments[1:])
    assert all(np.array_equal(a, b) for a, b in zip(kept, now, strict=True))


def test_messages():
    params, centres, contexts, negatives = drawn()
    around, inside, targets = drawn_cbow()
    none = np.zeros((N, C), bool)
    cases = [
        (lambda: pairs([], 2), "sentences must hold at least one word, got none"),
        (lambda: pairs([np.array([0, 1])], 0), "window must be an integer of at least 1, got 0"),
        (
            lambda: pairs([np.array([1]), np.array([0.5])], 2),
            "sentences must hold vectors of ids of at least 0, sentence 1 is array([0.5])",
        ),
        (lambda: train_skipgram([], 9, E), "sentences must hold at least one word, got none"),
        (
            lambda: train_skipgram([np.array([3, 3]), np.array([3])], 9, E),
            "sentences must hold at least two different words, got one",
        ),
        (
            lambda: train_skipgram([np.array([3, 9])], 9, E),
            "sentences must lie in 0 .. V - 1 = 8, got 3 .. 9",
        ),
        (lambda: train_skipgram(corpus(), 9, E, window=0), "window must be an integer of at least 1, got 0"),
        (
            lambda: train_skipgram(corpus(), 9, E, negatives=0),
            "negatives must be an integer of at least 1, got 0",
        ),
        (lambda: train_skipgram(corpus(), 9, E, lr=0), "lr must be above 0, got 0"),
        (
            lambda: train_skipgram(corpus(), 9, E, state=-1),
            "state must be the steps done, 0 .. 905, got -1",
        ),
        (
            lambda: train_skipgram(corpus(), 9, E, state=10**6),
            "state must be the steps done, 0 .. 905, got 1000000",
        ),
        (
            lambda: train_skipgram([np.array([0]), np.array([1])], 9, E),
            "sentences must hold a pair, two words of one sentence, that subsampling leaves; got none",
        ),
        (
            lambda: train_skipgram(corpus(), 9, E, subsample=1e-30),
            "sentences must hold a pair, two words of one sentence, that subsampling leaves; got none",
        ),
        (
            lambda: train_skipgram(corpus(), 9, E, seed=-1),
            "seed must be an integer of at least 0, got -1",
        ),
        (lambda: train_skipgram(corpus(), 9, E, lr="a"), "lr must be above 0, got 'a'"),
        (
            lambda: train_skipgram(corpus(), 9, E, objective="glove"),
            "objective must be one of 'skip-gram', 'cbow', got 'glove'",
        ),
        (
            lambda: train_skipgram(corpus(), 9, E, noise=np.ones(9)),
            "noise must be at least 0 and sum to 1, got the sum 9",
        ),
        (
            lambda: held_out(corpus(), np.full(5, 1 / 5)),
            "sentences must lie in 0 .. V - 1 = 4, got 0 .. 8",
        ),
        (
            lambda: held_out(corpus(), np.full(9, 1 / 9))(params),
            "weight_in must have shape (V, E) = (9, any), got (7, 3)",
        ),
        (
            lambda: expected_loss(params, counted(), 1, 3 * np.ones(V)),
            "noise must be at least 0 and sum to 1, got the sum 21",
        ),
        (
            lambda: Word2Vec(V, E)(torch.tensor([[1]]), torch.tensor([1]), inside=torch.tensor([[False]])),
            "inside must hold at least one True in each row",
        ),
        (lambda: train_skipgram(corpus(), 9, E, subsample=0), "threshold must be above 0, got 0"),
        (
            lambda: train_skipgram(corpus(), 9, 4, params=params),
            "weight_in must have shape (V, E) = (9, 4), got (7, 3)",
        ),
        (
            lambda: torch_train_skipgram(corpus(), Word2Vec(9, E), negatives=0),
            "negatives must be an integer of at least 1, got 0",
        ),
        (lambda: torch_train_skipgram(corpus(), Word2Vec(9, E), lr=-1), "lr must be above 0, got -1"),
        (lambda: Word2Vec(0, E), "V must be an integer of at least 1, got 0"),
        (lambda: word2vec_init(None, 5, 0), "E must be an integer of at least 1, got 0"),
        (
            lambda: softmax_loss(params._replace(weight_out=params.weight_out.T), centres, contexts),
            "weight_out must have shape (V, E) = (7, 3), got (3, 7)",
        ),
        (
            lambda: softmax_loss(params._replace(weight_out=params.weight_out * np.nan), centres, contexts),
            "weight_out must be finite, got nan or inf",
        ),
        (
            lambda: softmax_loss(params._replace(weight_out=np.ones((V, E), int)), centres, contexts),
            "weight_out must hold floats, got dtype int64",
        ),
        (
            lambda: softmax_loss(params, centres, contexts[1:]),
            "contexts must have shape (N,) = (11,), got (10,)",
        ),
        (
            lambda: softmax_loss(params, centres + 7, contexts),
            f"centres must lie in 0 .. V - 1 = 6, got {centres.min() + 7} .. {centres.max() + 7}",
        ),
        (
            lambda: softmax_loss(params, centres[:0], contexts),
            "centres must hold at least one word, got none",
        ),
        (
            lambda: negative_sampling_loss(params, centres, contexts, negatives[:, :0]),
            "negatives must hold at least one word a pair, got none",
        ),
        (
            lambda: negative_sampling_loss(params, centres, contexts, negatives, 0),
            "scale must be above 0, got 0",
        ),
        (
            lambda: cbow_loss(params, around, none, targets),
            "inside must hold bool, at least one True in each row, got dtype bool",
        ),
        (
            lambda: cbow_loss(params, around, inside[:, 1:], targets),
            "inside must have shape (N, C) = (11, 5), got (11, 4)",
        ),
        (lambda: noise_distribution(np.zeros(3)), "counts must be at least 0 and not all 0"),
        (lambda: noise_distribution(np.array([1, -1])), "counts must be at least 0 and not all 0"),
        (lambda: noise_distribution(np.ones(3), np.inf), "power must be finite, got inf"),
        (lambda: keep_probability(np.ones(3), 0), "threshold must be above 0, got 0"),
        (lambda: window_weights(0), "window must be an integer of at least 1, got 0"),
        (lambda: pmi(np.ones((2, 3))), "counts must have shape (V, V_) = (any, 2), got (2, 3)"),
        (lambda: pmi(np.zeros((2, 2))), "counts must be at least 0 and not all 0"),
        (lambda: shifted_pmi(counted(), 0), "negatives must be an integer of at least 1, got 0"),
        (
            lambda: shifted_pmi(counted(), 1, np.eye(V)[0]),
            "noise must be above 0 at every context that occurs",
        ),
        (
            lambda: expected_loss(params, counted()[1:, 1:], 1),
            "counts must have shape (V, V_) = (7, 7), got (6, 6)",
        ),
        (
            lambda: held_out([np.array([1])], np.full(V, 1 / V)),
            "sentences must hold at least one pair, got none",
        ),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message


def mutant_arguments(function, condition):
    """Arguments on which a mistake hides under `condition`."""
    params, centres, contexts, negatives = drawn(9)
    around, inside, targets = drawn_cbow(9)
    _, block = drawn_block(9)
    counts, k = counted(), 5
    if condition == "words once each":
        centres, contexts, negatives = np.arange(V), np.arange(V)[::-1], negatives[:V]
    if condition == "one pair":
        centres, contexts, negatives = centres[:1], contexts[:1], negatives[:1]
    if condition == "one negative":
        negatives = negatives[:, :1]
    if condition == "equal matrices":
        params = Word2VecParams(params.weight_in, params.weight_in)
    if condition == "one word around":
        inside = np.eye(C, dtype=bool)[np.arange(N) % C]
    if condition == "all around":
        inside = np.ones_like(inside)
    if condition == "one context each":
        one = np.zeros_like(block.inside)
        one[:, :, 1] = True
        block = block._replace(inside=one)
    if condition == "total of one":
        counts = counts / counts.sum()
    unigram = counts.sum(0) / counts.sum()
    given = {
        softmax_loss: (params, centres, contexts),
        negative_sampling_loss: (params, centres, contexts, negatives),
        cbow_loss: (params, around, inside, targets),
        block_gradient: (params, block, M if condition == "as many negatives as are shared" else 3),
        noise_distribution: (np.full(V, 3),),
        keep_probability: (np.array([64, 32, 4]), 0.7),
        window_weights: (1,),
        pmi: (counts,),
        shifted_pmi: (counts, 1) if condition == "k = 1" else (counts, k, unigram),
        expected_loss: (params, counts, 1),
    }
    return given[function]


WORDS = ["the", "über", "naïve", "2", "a-b"]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 8), st.integers(0, 99), st.booleans(), st.sampled_from([np.float32, np.float64]))
def test_vectors_come_back(E, seed, binary, dtype):
    vectors = np.random.default_rng(seed).normal(size=(len(WORDS), E)).astype(dtype) * 10.0 ** (
        seed % 30 - 20
    )
    vectors = vectors.astype(dtype)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors"
        save_vectors(path, WORDS, vectors, binary=binary)
        for given in (binary, None) if E > 3 else (binary,):
            words, loaded = load_vectors(path, binary=given)
            assert words == WORDS and loaded.dtype == np.float32
            assert np.array_equal(loaded, vectors.astype(np.float32))


def test_gensim_reads_ours_and_we_read_its(tmp_path):
    from gensim.models import KeyedVectors

    vectors = np.random.default_rng(0).normal(size=(len(WORDS), E)).astype(np.float32)
    vectors = np.concatenate([vectors, vectors], axis=1)
    theirs = KeyedVectors(2 * E)
    theirs.add_vectors(WORDS, vectors)
    for binary in (False, True):
        path = tmp_path / f"{binary}.vec"
        save_vectors(path, WORDS, vectors, binary=binary)
        read = KeyedVectors.load_word2vec_format(str(path), binary=binary)
        assert read.index_to_key == WORDS and np.array_equal(read.vectors, vectors)
        theirs.save_word2vec_format(str(path), binary=binary)
        words, loaded = load_vectors(path)
        assert words == WORDS and np.array_equal(loaded, vectors)


def test_broken_vector_files_are_named_by_line(tmp_path):
    path = tmp_path / "v.txt"
    binary = b"2 2\n" + b"a " + np.ones(2, "<f4").tobytes() + b"\nb " + np.zeros(2, "<f4").tobytes() + b"\n"
    cases = [
        (b"a 1 2\n", "line 1 must hold two numbers, V and E, got b'a 1 2'"),
        (b"", "line 1 must hold two numbers, V and E, got b''"),
        (b"2 2\na 1 2\nb 3\n", "line 3 must hold a word and E = 2 numbers, got 1"),
        (b"2 2\na 1 2\nb 3 4 5\n", "line 3 must hold a word and E = 2 numbers, got 3"),
        (b"2 2\na 1 2\nb 3 x\n", "line 3 has a number that is none: b'b 3 x'"),
        (b"2 2\na 1 2\nb 3 nan\n", "line 3 has no word, or a number that is not finite"),
        (b"2 2\na 1 2\n", " ends after line 2: line 1 says V = 2, got 1"),
        (b"1 2\na 1 2\nb 3 4\n", "line 3 is one too many, line 1 says V = 1"),
        (b"2 2\na 1 2\na 3 4\n", "lines 2 and 3 have the same word 'a'"),
        (b"2 3\nbread\ndog 1 2 3\n", "line 2 must hold a word and E = 3 numbers, got 0"),
        (b"2 3\nbread \ndog 1 2 3\n", "line 2 must hold a word and E = 3 numbers, got 0"),
        (b"2 2\na\t1\t2\nb\t3\t4\n", "line 2 must hold a word and E = 2 numbers, got 0"),
        (b"1 2\na 1 \xe2\x88\x922\n", "line 2 has a number that is none: b'a 1 \\xe2\\x88\\x922'"),
        (b"2 2\na 1 \xfc\nb 3 4\n", " is not UTF-8: line 2 has the byte 0xfc"),
        (b"1 2\n", "line 2 must hold a word and E = 2 numbers, got 0"),
        (b"1 2\na 1_0 2\n", "line 2 has a number that is none: b'a 1_0 2'"),
        (
            b"999999999999 300\na 1\n",
            "line 1 says V = 999999999999, E = 300, which needs 600999999999399 bytes, but 4 follow",
        ),
        (b"9" * 30 + b" 3\n", f"line 1 must hold two numbers, V and E, got {b'9' * 30 + b' 3'!r}"),
        (b"2 2\na 1 2\n\xfcber 3 4\n", " is not UTF-8: line 3 has the byte 0xfc"),
        (binary[:-4], " ends within vector 2 of V = 2, at byte 14: the file is cut, or E is not 2"),
        (binary + b"c", " goes on after vector 2, at byte 25: line 1 says V = 2, E = 2"),
    ]
    for content, message in cases:
        path.write_bytes(content)
        with pytest.raises(ValueError) as caught:
            load_vectors(path, binary=True if content.startswith(binary[:8]) else None)
        said = str(caught.value)
        assert said in (f"{path}: {message}", f"{path}{message}")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_vectors(tmp_path / "none")


def test_what_cannot_be_saved_is_refused(tmp_path):
    path, ones = tmp_path / "v", np.ones((2, 3))
    cases = [
        (["a"], ones, "vectors must have shape (V, E) = (1, any), got (2, 3)"),
        (["a", "a"], ones, "words must hold each word once, got 'a' twice"),
        (["a", "b c"], ones, "words must hold strings without white space, got 'b c'"),
        (["a", ""], ones, "words must hold strings without white space, got ''"),
        (["a", "b"], ones * np.inf, "vectors must be finite, got nan or inf"),
        (["a", "b"], np.ones((2, 3), int), "vectors must hold floats, got dtype int64"),
        (["a", "b"], ones * 1e39, "vectors must lie within float32, 3.4e38, as their readers take it"),
        (["a", "\udc80"], ones, "words must hold text that UTF-8 can write, got '\\udc80'"),
        ([], ones[:0], "vectors must have shape (V, E) with no size 0, got (0, 3)"),
    ]
    for words, vectors, message in cases:
        with pytest.raises(ValueError) as caught:
            save_vectors(path, words, vectors)
        assert str(caught.value) == message
    assert not path.exists()
    save_vectors(path, ["a", "b"], ones)
    before = path.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.replace", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            save_vectors(path, ["c", "d"], ones)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_binary_files_are_told_from_text(tmp_path):
    path, rng = tmp_path / "v", np.random.default_rng(0)
    for E in (5, 50):
        for _ in range(100):
            # A line feed after three printable bytes, early in the vector.
            vectors = rng.normal(size=(2, E)).astype("<f4")
            vectors.view(np.uint8)[0, :4] = np.frombuffer(b"12\n?", np.uint8)
            save_vectors(path, ["a", "b"], vectors, binary=True)
            assert np.array_equal(load_vectors(path)[1], vectors)
    for header in (b"1\t2\n", b" 1  2 \n", b"\xef\xbb\xbf1 2\n"):
        path.write_bytes(header + b"a 1 2\n")
        assert load_vectors(path)[1].tolist() == [[1, 2]]
    words = [f"w{i}" for i in range(20_000)]
    path.write_text("20001 1\n" + "".join(f"{w} 1\n" for w in [*words, "w7"]))
    with pytest.raises(ValueError, match="lines 9 and 20002 have the same word 'w7'"):
        load_vectors(path)


def test_unknown_query_words_are_refused():
    vocabulary = WordVocabulary(tuple(WORDS), (1,) * len(WORDS))
    with pytest.raises(ValueError, match="the vocabulary has no 'naive'; nearest spellings: naïve"):
        vocabulary.id("naive")


def device_run(device, dtype, objective="skip-gram"):
    """Train on a device; the held-out loss there before and after."""
    generator = torch.Generator().manual_seed(0)
    model = Word2Vec(9, 8, generator=generator, device=device, dtype=dtype)
    centres, contexts = (torch.tensor(a, device=device) for a in pairs(corpus(1), 2))
    negatives = torch.randint(9, (len(centres), 5), generator=generator).to(device)
    before = model(centres, contexts, negatives).item()
    torch_train_skipgram(corpus(1), model, **{**SMALL, "lr": 0.05, "epochs": 10}, objective=objective)
    return before, model(centres, contexts, negatives).item()


def test_device_run_on_the_cpu():
    for objective in ("skip-gram", "cbow"):
        before, after = device_run("cpu", torch.float32, objective)
        assert before == pytest.approx(6 * np.log(2), rel=1e-6)
        assert after < before


@pytest.mark.gpu
def test_device_run_on_cuda():
    for objective in ("skip-gram", "cbow"):
        expected = device_run("cpu", torch.float32, objective)
        assert device_run("cuda", torch.float32, objective) == pytest.approx(expected, rel=1e-3)
        assert device_run("cuda", torch.bfloat16, objective) == pytest.approx(expected, rel=3e-2)
