"""What the graded exercise on BLEU asks, and how an answer is judged."""

from dataclasses import dataclass
from functools import partial, wraps
from itertools import permutations
from math import factorial

import numpy as np

from rnncourse.bleu.mutants import CLIPPED, PRECISIONS, REWARD, SCORE
from rnncourse.bleu.numpy import bleu, bleu_statistics, clipped_matches, ngram_precisions
from rnncourse.grading.check import Each, Parity, Property
from rnncourse.grading.mutant import Mutant


@dataclass(frozen=True)
class Counts:
    """A question whose answer is counts: integers and lists are as good as floats."""

    part: Parity | Each

    def judge(self, answer, rng):
        """Raise AssertionError unless the part's answer is right."""

        @wraps(answer)
        def as_floats(*arguments):
            return np.asarray(answer(*arguments), float)

        self.part.judge(as_floats, rng)


NO_LOGARITHM = Mutant(
    "logarithm missing",
    bleu,
    "np.log(p)",
    "p",
    agrees="none: exp(p) is above p everywhere",
    hint="Your score is the exponential of the mean of the precisions, a slip that is in print: take the "
    "logarithms first. A perfect translation scores 1.",
    label="bleu-score",
)


def _draw_texts(rng, shortest, longest):
    """A hypothesis and its references as ids, few and repeated."""
    hypothesis = rng.integers(0, 4, rng.integers(shortest, longest + 1))
    references = [rng.integers(0, 4, rng.integers(8, 15)) for _ in range(rng.integers(2, 4))]
    return hypothesis, tuple(references)


def _call_matches(function, hypothesis, references):
    return function([hypothesis], [list(references)])[0]


def _draw_counts(rng, least, most):
    """Counts of a hypothesis that lacks from `least` to `most` words; below 0 it has too many."""
    c = int(rng.integers(20, 40))
    matches = np.sort(rng.integers(3, 17, 4))[::-1]
    return (np.array([c, c + rng.integers(least, most + 1), *matches, *(c - np.arange(4))], float),)


def _draw_missed(rng):
    """Counts of a sentence, with two or three orders that have no match."""
    c, found = int(rng.integers(7, 12)), int(rng.integers(1, 3))
    matches = np.zeros(4)
    matches[:found] = np.sort(rng.integers(1, 5, found))[::-1]
    counts = np.array([c, c, *matches, *(c - np.arange(4))], float)
    return counts, float(rng.uniform(0.05, 0.5)), float(rng.integers(2, 5))


def _call_smoothed(precisions, statistics, epsilon, k):
    settings = ("floor", epsilon), ("add-k", k), ("exp", None)
    return tuple(precisions(statistics, *setting) for setting in settings)


def randomisation(first, second, swap):
    """Share of random swaps of the two systems' sentences that set them at least as far apart."""
    observed = bleu(first.sum(0)) - bleu(second.sum(0))
    swapped = swap.astype(float) @ (second - first)
    differences = bleu(first.sum(0) + swapped) - bleu(second.sum(0) - swapped)
    return (1 + (np.abs(differences) >= np.abs(observed)).sum()) / (1 + len(swap))


RANDOMISATION = (
    Mutant(
        "ties left out",
        randomisation,
        "np.abs(differences) >= np.abs(observed)",
        "np.abs(differences) > np.abs(observed)",
        agrees="none: some trials are ties",
        hint="Your share leaves out the trials with exactly the observed difference: "
        "at least as large means >=.",
        label="bleu-paired",
    ),
    Mutant(
        "one side only",
        randomisation,
        "np.abs(differences) >= np.abs(observed)",
        "differences >= observed",
        agrees="none: a difference of either sign counts",
        hint="Your share looks at one sign of the difference only: take the absolute values.",
        label="bleu-paired",
    ),
    Mutant(
        "observed difference left out",
        randomisation,
        "(1 + (np.abs(differences) >= np.abs(observed)).sum()) / (1 + len(swap))",
        "(np.abs(differences) >= np.abs(observed)).sum() / len(swap)",
        agrees="none: the observed assignment is one of those counted",
        hint="Your share leaves out the assignment that was observed: it counts above and below the line.",
        label="bleu-paired",
    ),
    Mutant(
        "only the first system changed",
        randomisation,
        "bleu(second.sum(0) - swapped)",
        "bleu(second.sum(0))",
        agrees="none: a swap changes both systems",
        hint="You give the second system's sentences to the first, but not the first's to the second.",
        label="bleu-paired",
    ),
)


def _draw_systems(rng):
    """Counts of a system whose outputs are too short and of one whose outputs are too long, or both short."""
    S = int(rng.integers(20, 40))
    references = [rng.integers(0, 9, rng.integers(6, 14)) for _ in range(S)]
    systems = []
    for rate, change in rng.permutation([[0.1, -0.2], [0.16, rng.choice([-0.1, 0.1])]]):
        texts = [
            np.where(rng.random(len(text)) < rate, rng.integers(0, 9, len(text)), text) for text in references
        ]
        kept = [text[: len(text) + min(0, round(change * len(text) + rng.integers(-1, 2)))] for text in texts]
        longer = [rng.integers(0, 9, max(0, round(change * len(text)))) for text in texts]
        systems.append([np.concatenate(pair) for pair in zip(kept, longer, strict=True)])
    counts = [bleu_statistics(system, [[text] for text in references]) for system in systems]
    swap = rng.random((150, S)) < 0.5
    # Two ties: nothing swapped, and everything.
    swap[rng.permutation(150)[:2]] = [[False], [True]]
    return *counts, swap


def _draw_replaced(rng, length, replaced):
    """A reference of different words, and a copy with some inner words replaced by new ones."""
    words = rng.permutation(1000)[: length + replaced]
    reference, hypothesis = words[:length], words[:length].copy()
    # No two of them side by side.
    places = 1 + np.sort(rng.choice(length - 1 - replaced, replaced, replace=False)) + np.arange(replaced)
    hypothesis[places] = words[length:]
    return hypothesis, reference


def _judge_orderings(answer, rng):
    for _ in range(2):
        hypothesis, reference = _draw_replaced(rng, int(rng.integers(150, 201)), 5)
        count = 1000
        found = np.asarray(answer(hypothesis.copy(), reference.copy(), count))
        if found.shape != (count, len(hypothesis)):
            raise AssertionError(
                f"return an array of shape (count, c) = {(count, len(hypothesis))}, got {found.shape}"
            )
        if not (np.sort(found, axis=1) == np.sort(hypothesis)).all():
            raise AssertionError("each row must hold the words of the hypothesis, each once")
        if len(np.unique(found, axis=0)) < count or (found == hypothesis).all(1).any():
            raise AssertionError("the rows must differ from one another and from the hypothesis")
        right = clipped_matches([hypothesis], [[reference]])[0]
        counts = clipped_matches(list(found), [[reference]] * count)
        wrong = (counts != right).any(1)
        if wrong.any():
            raise AssertionError(
                f"{wrong.sum()} of {count} orderings have other counts; one has {counts[wrong.argmax()]} "
                f"matches where the hypothesis has {right}"
            )


def _equal_orderings(hypothesis, reference):
    """Number of orderings of the hypothesis with its own counts, each of them looked at."""
    n = len(hypothesis)
    place = {word: i for i, word in enumerate(reference.tolist())}
    follows = np.array([[place.get(b, -9) == place.get(a, -5) + 1 for b in hypothesis] for a in hypothesis])
    orders = np.array(list(permutations(range(n))))
    pairs = follows[orders[:, :-1], orders[:, 1:]]
    # Words are different, so an n-gram matches where all its pairs do.
    longer = pairs[:, :-1] & pairs[:, 1:]
    counts = np.stack([pairs.sum(1), longer.sum(1), (longer[:, :-1] & pairs[:, 2:]).sum(1)])
    assert len(orders) == factorial(n)
    return int((counts == counts[:, :1]).all(0).sum())


def _judge_ways(answer, rng):
    for replaced in (0, 1, 1, 2, 2, 3):
        words = rng.permutation(1000)
        reference = words[: rng.integers(6, 9)]
        hypothesis = reference.copy()
        places = rng.choice(len(reference), replaced, replace=False)
        hypothesis[places] = words[-1 - np.arange(replaced)]
        found, right = answer(hypothesis.copy(), reference.copy()), _equal_orderings(hypothesis, reference)
        if isinstance(found, bool) or not isinstance(found, int | np.integer):
            raise AssertionError(f"return an integer, got {type(found).__name__}")
        if found != right:
            raise AssertionError(
                f"for hypothesis {hypothesis} and reference {reference} you count {found} orderings; looking "
                "at each of them gives another number"
            )


QUESTIONS = {
    "q1": Counts(
        Each(
            tuple(
                Parity(
                    clipped_matches,
                    partial(_draw_texts, shortest=a, longest=b),
                    ("m",),
                    CLIPPED,
                    _call_matches,
                )
                for a, b in ((8, 14), (1, 3))
            )
        )
    ),
    "q2": Each(
        tuple(
            Parity(
                bleu,
                partial(_draw_counts, least=a, most=b),
                ("score",),
                (NO_LOGARITHM, *SCORE, *REWARD),
            )
            for a, b in ((-6, -1), (0, 0), (1, 11))
        )
    ),
    "q3": Parity(ngram_precisions, _draw_missed, ("floor", "add_k", "exp"), PRECISIONS, _call_smoothed),
    "q4": Parity(randomisation, _draw_systems, ("p",), RANDOMISATION),
    "q5": Property(_judge_orderings),
    "q6": Property(_judge_ways),
}
