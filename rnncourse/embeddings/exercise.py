"""What the graded exercise on embeddings asks, and how an answer is judged."""

import numpy as np

from rnncourse._numerics import softmax
from rnncourse.data.words import UNKNOWN, WordVocabulary
from rnncourse.embeddings.mutants import LOOKUP, SCATTER, TIED
from rnncourse.embeddings.numpy import (
    EmbeddingCache,
    embedding_backward,
    embedding_forward,
    tied_backward,
)
from rnncourse.grading.check import Parity, Property
from rnncourse.testing import relative_error


def _draw(rng):
    V, E = int(rng.integers(5, 8)), int(rng.integers(2, 5))
    ids = rng.integers(0, V, (int(rng.integers(5, 8)), 4))
    # The last id occurs, and so does padding, more than once.
    padding_idx = int(rng.integers(0, V - 2))
    ids[0] = V - 1, padding_idx, padding_idx, 1
    return ids, rng.normal(size=(V, E)), padding_idx


def _call_lookup(forward, ids, weight):
    return forward(ids, weight)[0]


def _draw_lookup(rng):
    return _draw(rng)[:2]


def _draw_scatter(rng):
    ids, weight, padding_idx = _draw(rng)
    return rng.normal(size=(*ids.shape, weight.shape[1])), ids, len(weight), padding_idx


def _call_scatter(function, doutput, ids, V, padding_idx):
    cache = EmbeddingCache(ids, np.zeros((V, doutput.shape[-1])), padding_idx)
    if function.__name__ == "embedding_backward":
        return function(doutput, cache)
    gradient = function(doutput, cache)
    dweight = np.zeros_like(cache.weight)
    dweight[gradient.ids] = gradient.rows
    return dweight


def _draw_tied(rng):
    doutput, ids, V, _ = _draw_scatter(rng)
    h = rng.normal(size=doutput.shape)
    return doutput, ids, h, rng.normal(size=(*ids.shape, V))


def _call_tied(function, doutput, ids, h, dlogits):
    V, E = dlogits.shape[-1], h.shape[-1]
    dweight_output = dlogits.reshape(-1, V).T @ h.reshape(-1, E)
    return function(doutput, EmbeddingCache(ids, np.zeros((V, E)), None), dweight_output)


def _judge_vocabulary(answer, rng):
    letters = np.array(list("abcdefgh"))
    for min_count in (1, 2, 3):
        corpus = [rng.choice(letters[:6], 4).tolist() for _ in range(4)] + [["h", "g"] * min_count]
        expected = WordVocabulary.of(corpus, min_count=min_count)
        got = answer(corpus, min_count)
        if not isinstance(got, list):
            raise AssertionError(f"return a list of words, got {type(got).__name__}")
        if not got or got[0] != UNKNOWN:
            raise AssertionError(f"the first word must be {UNKNOWN!r}, got {got[:1]}")
        right = list(expected.words)
        if set(got) != set(right) or len(got) != len(right):
            raise AssertionError(
                f"with min_count = {min_count} the words should be {sorted(right[1:])}, got "
                f"{sorted(got[1:])}: a word that occurs min_count times is kept, a rarer one is not"
            )
        counts = dict(zip(expected.words, expected.counts, strict=True))
        if [counts[word] for word in got[1:]] != [counts[word] for word in right[1:]]:
            raise AssertionError("the most common word comes first after <unk>, and so on down")
        if answer([sentence[::-1] for sentence in corpus[::-1]], min_count) != got:
            raise AssertionError(
                "the same corpus in another order gives other ids: what decides between ties?"
            )
        if got != right:
            raise AssertionError("words of equal count must stand in the order of their code points")


def unseen_gradient(h, weight, bias, targets, unseen):
    """Gradient of the mean cross-entropy by these rows of the matrix, through the output layer.

    Parameters
    ----------
    h : (N, E) array
        What the output layer reads.
    weight : (V, E) array
    bias : (V,) array
    targets : (N,) array of int
    unseen : (U,) array of int
        Rows.

    Returns
    -------
    (U, E) array
    """
    dlogits = softmax(h @ weight.T + bias)
    dlogits[np.arange(len(h)), targets] -= 1
    return dlogits[:, unseen].T @ h / len(h)


def cross_entropy(h, weight, bias, targets):
    """Mean cross-entropy in nats.

    Parameters
    ----------
    h, weight, bias, targets
        As for :func:`unseen_gradient`.

    Returns
    -------
    float
    """
    probabilities = softmax(h @ weight.T + bias)
    return float(-np.log(probabilities[np.arange(len(h)), targets]).mean())


def _judge_still(answer, rng):
    for _ in range(3):
        N, V, E = 30, 12, 4
        unseen = rng.permutation(V)[:4]
        seen = np.setdiff1d(np.arange(V), unseen)
        h, weight, bias = rng.normal(size=(N, E)), rng.normal(size=(V, E)), 0.1 * rng.normal(size=V)
        targets = rng.choice(seen, N)
        new = answer(bias.copy(), unseen.copy())
        if np.shape(new) != (V,) or not np.isfinite(new).all():
            raise AssertionError(f"return finite numbers of shape (V,) = ({V},), got shape {np.shape(new)}")
        if cross_entropy(h, weight, new, targets) > cross_entropy(h, weight, bias, targets) + 1e-9:
            raise AssertionError("with your bias the loss on the words that do occur is higher than before")
        before = np.abs(unseen_gradient(h, weight, bias, targets, unseen)).max()
        after = np.abs(unseen_gradient(h, weight, new, targets, unseen)).max()
        if after > 1e-6 * before:
            raise AssertionError(
                f"the rows of the unseen words still get {after / before:.0e} of their gradient: which "
                "factor of it can a bias change?"
            )


def _judge_unseen(answer, rng):
    V, E, N = 10, 3, 25
    for _ in range(3):
        unseen = rng.permutation(V)[:3]
        h, weight, bias = rng.normal(size=(N, E)), rng.normal(size=(V, E)), rng.normal(size=V)
        targets = rng.choice(np.setdiff1d(np.arange(V), unseen), N)
        expected = unseen_gradient(h, weight, bias, targets, unseen)
        got = np.asarray(answer(h, weight, bias, targets, unseen))
        if got.shape != expected.shape:
            raise AssertionError(f"return shape (U, E) = {expected.shape}, got {got.shape}")
        if relative_error(-got, expected) < 1e-8:
            raise AssertionError("this is the step, downhill: the gradient is asked for")
        if relative_error(got / N, expected) < 1e-8:
            raise AssertionError("this is the gradient of the sum: the loss is the mean over the N places")
        if not relative_error(got, expected) < 1e-8:
            raise AssertionError(
                "your gradient differs from that of the mean cross-entropy; compare it with central "
                "differences of rnncourse.embeddings.exercise.cross_entropy"
            )


QUESTIONS = {
    "q1": Parity(embedding_forward, _draw_lookup, ("output",), LOOKUP[:2], _call_lookup),
    "q2": Parity(embedding_backward, _draw_scatter, ("dweight",), SCATTER, _call_scatter),
    "q3": Property(_judge_vocabulary),
    "q4": Parity(tied_backward, _draw_tied, ("dweight",), TIED, _call_tied),
    "q5": Property(_judge_unseen),
    "q6": Property(_judge_still),
}
