"""What the graded exercise on embeddings asks, and how an answer is judged."""

import copy
import itertools

import numpy as np

from rnncourse.data.words import UNKNOWN
from rnncourse.embeddings.mutants import LOOKUP, SCATTER, TIED
from rnncourse.embeddings.numpy import (
    EmbeddingCache,
    embedding_backward,
    embedding_forward,
    tied_backward,
)
from rnncourse.grading.check import Parity, Property, restoring
from rnncourse.testing import numerical_gradient, relative_error


def _draw(rng, padding_idx=2):
    V, E = int(rng.integers(5, 8)), int(rng.integers(2, 5))
    ids = rng.integers(0, V, (int(rng.integers(5, 8)), 4))
    # The last id occurs, and so do padding and another word, more than once.
    ids[0] = V - 1, padding_idx, padding_idx, 1
    ids[1, :2] = 1
    return ids, rng.normal(size=(V, E)), padding_idx


def _call_lookup(forward, ids, weight):
    return forward(ids, weight)[0]


def _draw_lookup(rng):
    return _draw(rng)[:2]


def _draw_scatter(rng):
    ids, weight, padding_idx = _draw(rng)
    return rng.normal(size=(*ids.shape, weight.shape[1])), ids, len(weight), padding_idx


def _draw_scatter_zero(rng):
    """Padding is id 0, and the last word does not occur."""
    ids, weight, padding_idx = _draw(rng, padding_idx=0)
    return rng.normal(size=(*ids.shape, weight.shape[1])), ids, len(weight) + 1, padding_idx


class _Scatter(Parity):
    """The same question with two kinds of arguments."""

    def judge(self, answer, rng):
        for draw in (self.draw, _draw_scatter_zero):
            Parity(self.reference, draw, self.outputs, self.mutants, self.call).judge(answer, rng)


def _call_scatter(function, doutput, ids, V, padding_idx):
    cache = EmbeddingCache(ids, np.zeros((V, doutput.shape[-1])), padding_idx)
    if function.__name__ == "embedding_backward":
        return function(doutput, cache)
    gradient = function(doutput, cache)
    dweight = np.zeros_like(cache.weight)
    dweight[gradient.ids] = gradient.rows
    return dweight


def _draw_tied(rng):
    doutput, ids, V, _ = _draw_scatter_zero(rng)  # a row that is not looked up
    h = rng.normal(size=doutput.shape)
    return doutput, ids, h, rng.normal(size=(*ids.shape, V))


def _call_tied(function, doutput, ids, h, dlogits):
    V, E = dlogits.shape[-1], h.shape[-1]
    dweight_output = dlogits.reshape(-1, V).T @ h.reshape(-1, E)
    return function(doutput, EmbeddingCache(ids, np.zeros((V, E)), None), dweight_output)


def _judge_vocabulary(answer, rng):
    letters = ["B", "a", "ab", "b", "Z", "zz", "é", "E", "e", "aa"]
    for min_count in (1, 2, 3):
        corpus = [rng.choice(letters, 6).tolist() for _ in range(5)]
        corpus += [["h", "G", "ä", "H", "hh"] * min_count, ["rare"] * (min_count - 1)]
        given = [list(sentence) for sentence in corpus]
        got = restoring(answer)(given, min_count)
        if given != corpus:
            raise AssertionError("your function changes its argument in place: work on a copy")
        if not isinstance(got, list):
            raise AssertionError(f"return a list of words, got {type(got).__name__}")
        if not got or got[0] != UNKNOWN:
            raise AssertionError(f"the first word must be {UNKNOWN!r}, got {got[:1]}")
        text = [word for sentence in corpus for word in sentence]
        right = {word for word in text if text.count(word) >= min_count}
        if set(got[1:]) != right or len(got) != len(right) + 1:
            raise AssertionError(
                f"with min_count = {min_count} the words should be {sorted(right)}, got "
                f"{sorted(got[1:])}: a word that occurs min_count times is kept, a rarer one is not"
            )
        counts = [text.count(word) for word in got[1:]]
        if counts != sorted(counts, reverse=True):
            raise AssertionError("the most common word comes first after <unk>, and so on down")
        if answer([sentence[::-1] for sentence in corpus[::-1]], min_count) != got:
            raise AssertionError(
                "the same corpus in another order gives other ids: what decides between ties?"
            )
        for first, second in itertools.pairwise(got[1:]):
            if text.count(first) == text.count(second) and first > second:
                raise AssertionError(
                    f"words of equal count must stand in the order of their code points: {second!r} before "
                    f"{first!r}"
                )


def _loss(h, weight, bias, targets):
    logits = h @ weight.T + bias
    return np.mean([np.logaddexp.reduce(row) - row[y] for row, y in zip(logits, targets, strict=True)])


def _measured(h, weight, bias, targets, unseen):
    """Central differences of the loss by these rows."""

    def loss(rows):
        changed = weight.copy()
        changed[unseen] = rows
        return _loss(h, changed, bias, targets)

    return numerical_gradient(loss, weight[unseen])


def _draw_unseen(rng, N, V, E):
    order = rng.permutation(V)
    h, weight, bias = rng.normal(size=(N, E)), rng.normal(size=(V, E)), rng.normal(size=V)
    return h, weight, bias, rng.choice(order[3:], N), order[:3]


def _called(answer, *arguments):
    given = copy.deepcopy(arguments)
    result = np.asarray(restoring(answer)(*given))
    if not all(np.array_equal(a, b) for a, b in zip(given, arguments, strict=True)):
        raise AssertionError("your function changes one of its arguments in place: work on a copy")
    return result


def _judge_unseen(answer, rng):
    N = 25
    for _ in range(3):
        arguments = _draw_unseen(rng, N, 10, 3)
        measured = _measured(*arguments)
        got = _called(answer, *arguments)
        if got.shape != measured.shape:
            raise AssertionError(f"return shape (U, E) = {measured.shape}, got {got.shape}")
        if relative_error(-got, measured) < 1e-6:
            raise AssertionError("this is the step, downhill: the gradient is asked for")
        if relative_error(got / N, measured) < 1e-6:
            raise AssertionError("this is the gradient of the sum: the loss is the mean over the N places")
        if not relative_error(got, measured) < 1e-6:
            raise AssertionError(
                "your gradient differs from central differences of the mean cross-entropy by these rows"
            )


def _judge_still(answer, rng):
    V = 12
    for _ in range(3):
        h, weight, bias, targets, unseen = _draw_unseen(rng, 30, V, 4)
        new = _called(answer, bias, unseen)
        if new.shape != (V,):
            raise AssertionError(f"return shape (V,) = ({V},), got {new.shape}")
        if not np.isfinite(new).all():
            raise AssertionError("return finite numbers: inf minus inf is no number in the next step")
        if not np.array_equal(np.delete(new, unseen), np.delete(bias, unseen)):
            raise AssertionError("leave the bias of the words that do occur as it is")
        before, after = (np.abs(_measured(h, weight, b, targets, unseen)).max() for b in (bias, new))
        if after > 1e-6 * before:
            raise AssertionError(
                f"the rows of the unseen words still get {after / before:.0e} of their gradient: which "
                "factor of it can a bias change?"
            )


QUESTIONS = {
    "q1": Parity(embedding_forward, _draw_lookup, ("output",), LOOKUP[:2], _call_lookup),
    "q2": _Scatter(embedding_backward, _draw_scatter, ("dweight",), SCATTER, _call_scatter),
    "q3": Property(_judge_vocabulary),
    "q4": Parity(tied_backward, _draw_tied, ("dweight",), TIED, _call_tied),
    "q5": Property(_judge_unseen),
    "q6": Property(_judge_still),
}
