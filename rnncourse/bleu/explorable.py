"""The BLEU workbench: which n-grams of a sentence match, which are clipped, and what the score is made of."""

from collections import Counter
from pathlib import Path

from rnncourse.bleu.numpy import SMOOTHINGS, bleu, bleu_statistics, brevity_penalty, ngram_precisions
from rnncourse.explorable import Explorable

EXAMPLES = {
    "the cat of the chapter": ("the cat sat on the mat", "the cat is on the mat", ""),
    "seven times the": ("the the the the the the the", "the cat is on the mat", "there is a cat on the mat"),
    "too short": ("the cat is on the", "the cat is on the mat", ""),
    "another word, the same sense": (
        "the weary king looks at the old garden",
        "the tired king looks at the old garden",
        "",
    ),
    "another word, another sense": (
        "the happy king looks at the old garden",
        "the tired king looks at the old garden",
        "",
    ),
}
ORDERS = 4


def explorable():
    """Draw the figure of the chapter; it starts at the sentences that the chapter counts on paper.

    Returns
    -------
    Explorable
    """
    examples = [
        {"name": name, "hypothesis": hypothesis, "references": list(references)}
        for name, (hypothesis, *references) in EXAMPLES.items()
    ]
    return Explorable(Path(__file__).with_suffix(".js"), "A workbench for BLEU", {"examples": examples})


def compute(input):
    """Score one sentence, as the figure's JavaScript does; the numbers are those of the package.

    Parameters
    ----------
    input : dict
        ``hypothesis``, a sentence; ``references``, at least one sentence; ``smoothing``, one of
        :data:`~rnncourse.bleu.numpy.SMOOTHINGS`; ``effective_order``, a bool.

    Returns
    -------
    dict
        ``orders``: for n = 1 .. 4 the n-grams in their order, each with a status ("match", "clipped": it is
        in a reference, but used up, or "miss"), ``matches``, ``total`` and ``precision``; the lengths ``c``
        and ``r``, the ``penalty`` and the ``score``.
    """
    hypothesis = input["hypothesis"].split()
    references = [reference.split() for reference in input["references"]]
    statistics = bleu_statistics([hypothesis], [references], ORDERS)[0]
    precisions = ngram_precisions(statistics, input["smoothing"])
    orders = []
    for n in range(1, ORDERS + 1):
        limit = Counter()
        for reference in references:
            limit |= Counter(_grams(reference, n))
        used, grams = Counter(), []
        for gram in _grams(hypothesis, n):
            used[gram] += 1
            status = "match" if used[gram] <= limit[gram] else "clipped" if gram in limit else "miss"
            grams.append({"text": gram, "status": status})
        orders.append(
            {
                "grams": grams,
                "matches": int(statistics[1 + n]),
                "total": int(statistics[1 + ORDERS + n]),
                "precision": float(precisions[n - 1]),
            }
        )
    c, r = statistics[:2]
    return {
        "orders": orders,
        "c": int(c),
        "r": int(r),
        "penalty": float(brevity_penalty(c, r)),
        "score": float(bleu(statistics, input["smoothing"], effective_order=input["effective_order"])),
    }


def _grams(words, n):
    return [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]


def random_input(rng):
    """Draw an input for `compute`.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
    """

    def sentence():
        # All that str.split takes for white space, and one that it does not.
        blanks = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2003\u2028\u202f\u205f\u3000\ufeff"
        drawn = rng.choice(["the", "cat", "sat", "on", "mat"], rng.integers(0, 10))
        return "".join(word + blanks[rng.integers(len(blanks))] for word in drawn)

    return {
        "hypothesis": sentence(),
        "references": [sentence() for _ in range(rng.integers(1, 3))],
        "smoothing": SMOOTHINGS[rng.integers(4)],
        "effective_order": bool(rng.integers(2)),
    }
