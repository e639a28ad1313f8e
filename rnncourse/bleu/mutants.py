"""The classic mistakes in BLEU and chrF."""

from rnncourse.bleu.numpy import (
    bleu,
    bleu_statistics,
    brevity_penalty,
    chrf,
    chrf_statistics,
    clipped_matches,
    corpus_bleu,
    ngram_precisions,
)
from rnncourse.grading.mutant import Mutant

CLIPPED = (
    Mutant(
        "no clipping",
        clipped_matches,
        "np.minimum(counts[:, 0], counts[:, 1:].max(1))",
        "counts[:, 0] * (counts[:, 1:].max(1) > 0)",
        agrees="no word twice",
        hint="Your matches are not clipped: an n-gram that the hypothesis repeats counts only as often as a "
        "reference has it.",
        label="bleu-clip",
    ),
    Mutant(
        "sets in place of counts",
        clipped_matches,
        "np.minimum(counts[:, 0], counts[:, 1:].max(1))",
        "np.minimum(np.minimum(counts[:, 0], 1), counts[:, 1:].max(1))",
        agrees="no word twice",
        hint="Your n-grams count once each: one that both sides have twice matches twice.",
        label="bleu-clip",
    ),
    Mutant(
        "references added up",
        clipped_matches,
        "counts[:, 1:].max(1)",
        "counts[:, 1:].sum(1)",
        agrees="one reference",
        hint="Your matches add the counts of all references: the limit is the count in the one reference "
        "that has the n-gram most often.",
        label="bleu-clip",
    ),
    Mutant(
        "first reference only",
        clipped_matches,
        "counts[:, 1:].max(1)",
        "counts[:, 1]",
        agrees="one reference",
        hint="Your matches look at the first reference alone: an n-gram may match in any of them.",
        label="bleu-clip",
    ),
)
STATISTICS = (
    Mutant(
        "shortest reference",
        bleu_statistics,
        "(lengths, np.abs(lengths - c[owner]), owner)",
        "(lengths, owner)",
        agrees="one reference",
        hint="Your reference length is that of the shortest reference: the nearest one counts.",
        label="bleu-statistics",
    ),
    Mutant(
        "tie to the longer reference",
        bleu_statistics,
        "(lengths, np.abs(lengths - c[owner]), owner)",
        "(-lengths, np.abs(lengths - c[owner]), owner)",
        agrees="one reference",
        hint="Of two references that are equally near you take the longer: the shorter counts.",
        label="bleu-statistics",
    ),
    Mutant(
        "n-grams of the reference as total",
        bleu_statistics,
        "c[:, None] - np.arange(max_order)",
        "r[:, None] - np.arange(max_order)",
        agrees="equal lengths",
        hint="Your totals count the n-grams of the reference: that is recall. Precision divides by the "
        "hypothesis's.",
        label="bleu-statistics",
    ),
)
PRECISIONS = (
    Mutant(
        "k added for single words too",
        ngram_precisions,
        "(np.arange(matches.shape[-1]) > 0)",
        "np.ones(matches.shape[-1])",
        agrees="no smoothing",
        hint="Your add-k changes the precision of single words: it starts at n = 2.",
        label="bleu-smoothing",
    ),
    Mutant(
        "k added to the matches only",
        ngram_precisions,
        "totals + added",
        "totals",
        agrees="no smoothing",
        hint="Your add-k adds to the matches alone: the n-grams get k more too.",
        label="bleu-smoothing",
    ),
    Mutant(
        "exp without doubling",
        ngram_precisions,
        "missed.cumsum(-1)",
        "missed",
        agrees="at most one order missed",
        hint="Your exp smoothing gives each missed order one half of a match: the second gets a quarter, the "
        "third an eighth.",
        label="bleu-smoothing",
    ),
    Mutant(
        "exp halves by the order",
        ngram_precisions,
        "missed.cumsum(-1)",
        "(1 + np.arange(matches.shape[-1]))",
        agrees="no smoothing",
        hint="Your exp smoothing takes the order n for the exponent: it counts the missed orders so far.",
        label="bleu-smoothing",
    ),
    Mutant(
        "floor under every order",
        ngram_precisions,
        "np.where(missed, value, matches)",
        "np.where(totals > 0, matches + value, 0)",
        agrees="no smoothing",
        hint="Your floor raises every order: it stands in for zero matches only.",
        label="bleu-smoothing",
    ),
)
PENALTY = (
    Mutant(
        "ratio upside down in the penalty",
        brevity_penalty,
        "1 - r / np.where(c > 0, c, 1)",
        "1 - c / np.maximum(r, 1)",
        agrees="equal lengths",
        hint="Your penalty has c / r where r / c is meant: it rewards what is short.",
        label="bleu-penalty",
    ),
    Mutant(
        "penalty without the exponential",
        brevity_penalty,
        "np.exp(1 - r / np.where(c > 0, c, 1)) * (c > 0)",
        "c / np.maximum(r, 1)",
        agrees="equal lengths",
        hint="Your penalty is the ratio c / r itself: it is exp(1 - r / c).",
        label="bleu-penalty",
    ),
)
SCORE = (
    Mutant(
        "arithmetic mean",
        bleu,
        "np.exp(total / np.maximum(used.sum(-1), 1))",
        "p.mean(-1)",
        agrees="equal precisions",
        hint="Your mean of the precisions is the arithmetic one: BLEU takes the geometric mean.",
        label="bleu-score",
    ),
    Mutant(
        "product in place of the mean",
        bleu,
        "total / np.maximum(used.sum(-1), 1)",
        "total",
        agrees="perfect hypothesis",
        hint="You multiply the precisions and take no root: the logarithms are divided by their number.",
        label="bleu-score",
    ),
    Mutant(
        "no brevity penalty",
        bleu,
        "brevity_penalty(c, r) * mean",
        "mean",
        agrees="equal lengths",
        hint="Your score lacks the brevity penalty: it is part of BLEU.",
        label="bleu-score",
    ),
    Mutant(
        "penalty for length",
        bleu,
        "brevity_penalty(c, r)",
        "brevity_penalty(r, c)",
        agrees="equal lengths",
        hint="You punish hypotheses that are too long: precision does that already, the penalty is for those "
        "that are too short.",
        label="bleu-score",
    ),
)
REWARD = (
    Mutant(
        "reward for length",
        bleu,
        "brevity_penalty(c, r) * mean",
        "np.exp(1 - r / np.maximum(c, 1)) * mean",
        agrees="equal lengths",
        hint="Your penalty goes on above c = r and rewards hypotheses that are too long: it is 1 there.",
        label="bleu-penalty",
    ),
)
OTHERS = (
    Mutant(
        "mean of sentence scores",
        corpus_bleu,
        "bleu(bleu_statistics(hypotheses, references, max_order).sum(0), **smoothing)",
        "np.mean(bleu(bleu_statistics(hypotheses, references, max_order), **smoothing))",
        agrees="one sentence",
        hint="Your score is the mean of sentence scores: add the counts over the corpus, then score once.",
        label="bleu-corpus",
    ),
    Mutant(
        "effective order divides by all orders",
        bleu,
        "np.maximum(used.sum(-1), 1)",
        "used.shape[-1]",
        agrees="four words or more",
        hint="You leave out the orders that the hypothesis is too short for, and divide by all of them: "
        "divide by the number of those used.",
        label="bleu-score",
    ),
    Mutant(
        "beta on the side of recall",
        chrf,
        "beta**2 * precision + recall",
        "precision + beta**2 * recall",
        agrees="beta one",
        hint="Your F score has beta at the recall in the denominator: there it belongs to the precision, "
        "which makes recall weigh more.",
        label="bleu-chrf",
    ),
    Mutant(
        "beta not squared",
        chrf,
        "beta**2 * precision + recall",
        "beta * precision + recall",
        agrees="beta one",
        hint="Your F score has beta where its square is meant.",
        label="bleu-chrf",
    ),
    Mutant(
        "last reference in chrF",
        chrf_statistics,
        "a + scores[a:b].argmax()",
        "b - 1",
        agrees="one reference",
        hint="Your chrF takes the last reference: the one with the best sentence score counts.",
        label="bleu-chrf-statistics",
    ),
)
MUTANTS = CLIPPED + STATISTICS + PRECISIONS + PENALTY + SCORE + REWARD + OTHERS
