"""What the graded exercise on beam search asks, and how an answer is judged."""

from functools import partial

import numpy as np

from rnncourse._numerics import log_softmax
from rnncourse.beam_search.mutants import BOUND, SCORE, SEARCH
from rnncourse.beam_search.numpy import beam_search
from rnncourse.beam_search.search import Settings, best_attainable, length_score, search
from rnncourse.beam_search.tree import tree_step
from rnncourse.grading.check import Parity, Property
from rnncourse.grading.mutant import Mutant


def beam_step(logprob, logp, K):
    """The K best candidates of one sentence: parents, tokens and log-probabilities, the best first."""
    total = logprob[:, None] + logp
    order = np.argsort(-total.ravel(), kind="stable")[:K]
    parents, tokens = np.divmod(order, logp.shape[1])
    return parents, tokens, total.ravel()[order]


STEP = (
    Mutant(
        "log P so far forgotten",
        beam_step,
        "total = logprob[:, None] + logp",
        "total = 0 * logprob[:, None] + logp",
        agrees="one hypothesis with log P zero",
        hint="Your candidates forget how likely their hypotheses are: add the log-probability so far.",
        label="beam-step",
    ),
    Mutant(
        "parent and token swapped",
        beam_step,
        "np.divmod(order, logp.shape[1])",
        "np.divmod(order, logp.shape[1])[::-1]",
        agrees="none: parents and tokens differ",
        hint="Your parents and tokens are swapped: in the flattened (K, V), the place divided by V is the "
        "parent, the remainder the token.",
        label="beam-step",
    ),
    Mutant(
        "divided by K",
        beam_step,
        "np.divmod(order, logp.shape[1])",
        "np.divmod(order, logp.shape[0])",
        agrees="K equal to V",
        hint="Your places are taken apart by K: a row of the flattened (K, V) has V places.",
        label="beam-step",
    ),
)


def _draw_step(rng):
    K, V = (int(size) for size in rng.permutation(np.arange(2, 8))[:2])
    logprob = -np.sort(rng.exponential(size=K))
    logp = log_softmax(rng.normal(size=(K, V)))
    # A tie: two hypotheses, equally likely, with the same continuations.
    logprob[1], logp[1] = logprob[0], logp[0]
    return logprob, logp, K


def _draw_score(rng):
    n = int(rng.integers(3, 7))
    # From 2 on: one of the mistakes divides by (T - 1)^alpha.
    return -rng.exponential(5, size=n), rng.integers(2, 20, n), float(rng.uniform(0.3, 1.2))


def _call_score(function, logprob, T, alpha):
    if function.__name__ == "length_penalty":
        return tuple(logprob / function(T, alpha, normalisation) for normalisation in ("power", "gnmt"))
    return tuple(function(logprob, T, alpha, normalisation) for normalisation in ("power", "gnmt"))


def _draw_search(rng, fault=None):
    """A first-order language: log P of the first token, of the next after each, and what is asked.

    On it the search with the fault gives something else.
    """
    while True:
        V = int(rng.integers(4, 7))
        first, after = log_softmax(2 * rng.normal(size=V)), log_softmax(2 * rng.normal(size=(V, V)))
        drawn = first, after, int(rng.integers(2, 5)), int(rng.integers(5, 8)), float(rng.uniform(0, 1))
        right, wrong = _pool(*drawn, None), _pool(*drawn, fault)
        if fault is None or len(wrong) < len(right) or not np.allclose(wrong, right):
            return drawn


class _Search(Parity):
    """The same question on languages that show each of the faults that its text warns of."""

    def judge(self, answer, rng):
        for fault in (None, "not refilled", "all ends", "full"):
            draw = partial(_draw_search, fault=fault)
            Parity(self.reference, draw, self.outputs, self.mutants, self.call).judge(answer, rng)


def _pool(first, after, K, max_length, alpha, fault):
    """Scores of the pool that a search ends with, the right one or one with a fault."""
    beam, pool = [(0.0, ())], []
    for t in range(1, max_length + 1):
        found = [
            (logprob + p, (*tokens, v))
            for logprob, tokens in beam
            for v, p in enumerate(after[tokens[-1]] if tokens else first)
        ]
        found.sort(key=lambda c: -c[0])
        for logprob, tokens in found if fault == "all ends" and t < max_length else found[:K]:
            if tokens[-1] == 0 or t == max_length:
                pool.append(logprob / t**alpha)
        beam = [c for c in (found[:K] if fault == "not refilled" else found) if c[1][-1] != 0][:K]
        if fault == "full" and len(pool) >= K:
            break
    return sorted(pool, reverse=True)[:K]


def _call_search(function, first, after, K, max_length, alpha):
    """The reference, or a mistake in it, on a first-order language whose token 0 ends an output."""
    V = len(first)
    table = np.vstack([after, first])

    def extend(rows, tokens, live, M, banned):
        # All that such a language remembers is the last token, so there is no other state.
        total = (live[:, :, None] + table[tokens].reshape(*live.shape, V)).reshape(len(live), -1)
        order = np.argsort(-total, axis=1, kind="stable")[:, :M]
        return np.take_along_axis(total, order, 1), order, V

    found = function(extend, 1, Settings(K, V, 0, max_length, alpha=alpha, stopping="never", n_best=K))
    tokens = found.tokens[:, 0, 0]
    padded = np.zeros(max_length, int)
    padded[: len(tokens)] = tokens
    # Only a mistaken search has fewer than K.
    return padded, np.where(found.score[0] > -np.inf, found.score[0], 0)


def _draw_bound(rng, alpha=0.7):
    t = int(rng.integers(2, 6))
    return -float(rng.exponential(5)), t, t + int(rng.integers(2, 9)), alpha


class _Bound(Parity):
    """The same question with alpha above, at and below 0."""

    def judge(self, answer, rng):
        for alpha in (0.7, 1.2, 0.0, -0.6):
            draw = partial(_draw_bound, alpha=alpha)
            Parity(self.reference, draw, self.outputs, self.mutants, self.call).judge(answer, rng)


def _judge_worse(answer, rng):
    for _ in range(3):
        V = int(rng.integers(3, 6))
        p = float(rng.uniform(0.51, 0.56))
        ratio = float(rng.uniform(0.5, 0.7))
        rows = answer(p, V, ratio)
        if not isinstance(rows, dict):
            raise AssertionError(f"return a dict from prefixes to probabilities, got {type(rows).__name__}")
        tree = {tuple(prefix): np.asarray(row, float) for prefix, row in rows.items()}
        if any(row.shape != (V,) for row in tree.values()):
            raise AssertionError(f"each prefix must have V = {V} probabilities")
        step, state, bos = tree_step(tree)
        missing = [w for w in ((), *_prefixes(V, 1), *_prefixes(V, 2)) if w not in tree]
        if missing:
            raise AssertionError(
                f"the table must have every prefix of 0, 1 and 2 tokens; {missing[0]} is missing"
            )
        if abs(tree[()].max() - p) > 1e-9:
            raise AssertionError(f"the likeliest first token must have probability {p:.3f}")
        one, two = (
            float(np.exp(beam_search(step, state, 1, K=K, bos=bos, eos=None, max_length=3).score[0, 0]))
            for K in (1, 2)
        )
        if not two <= ratio * one:
            raise AssertionError(
                f"for p = {p:.3f} and V = {V} width 1 finds an output of probability {one:.4f}, width 2 one "
                f"of {two:.4f}; asked for is at most {ratio:.2f} of the former"
            )


def _prefixes(V, length):
    return [tuple(int(token) for token in index) for index in np.ndindex(*(V,) * length)]


def _judge_alpha(answer, rng):
    for _ in range(5):
        T = np.sort(rng.choice(np.arange(2, 25), 2, replace=False))
        first = -float(rng.uniform(1, 6))
        second = first * float(rng.uniform(1.05, 0.95 * T[1] / T[0]) if T[1] / T[0] > 1.2 else 1.1)
        alpha = answer(first, int(T[0]), second, int(T[1]))
        # Far out, both scores are zero.
        if not abs(alpha) < 100:
            raise AssertionError(f"return a number of a few units at most, got {alpha:.3g}")
        scores = length_score(np.array([first, second]), T, alpha)
        if not np.isfinite(alpha) or abs(scores[0] - scores[1]) > 1e-9 * abs(scores[0]):
            raise AssertionError(
                f"log P = {first:.3f} with {T[0]} tokens and {second:.3f} with {T[1]}: at your alpha, "
                f"{alpha:.4f}, the scores are {scores[0]:.4f} and {scores[1]:.4f}; they must be equal"
            )


# A first-order language has no state but the last token, and no shortest output is asked for.
SHOWN = tuple(mutant for mutant in SEARCH if not mutant.name.startswith(("states not", "shortest output")))
QUESTIONS = {
    "q1": Parity(beam_step, _draw_step, ("parents", "tokens", "logprob"), STEP),
    "q2": Parity(length_score, _draw_score, ("power", "gnmt"), SCORE, _call_score),
    "q3": Property(_judge_alpha),
    "q4": _Search(search, _draw_search, ("tokens", "scores"), SHOWN, _call_search),
    "q5": _Bound(best_attainable, _draw_bound, ("bound",), BOUND),
    "q6": Property(_judge_worse),
}
