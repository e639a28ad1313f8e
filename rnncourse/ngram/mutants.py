"""The classic mistakes in counting, smoothing and scoring n-grams."""

from rnncourse.grading.mutant import Mutant
from rnncourse.ngram.numpy import (
    add_k,
    adjusted_counts,
    bits,
    jelinek_mercer,
    kneser_ney,
    modified_discounts,
    perplexity,
    stream_logprobs,
)

PERPLEXITY = (
    Mutant(
        "mean of the inverse probabilities",
        perplexity,
        "np.exp(-_check_logprobs(logprobs).mean())",
        "np.exp(-_check_logprobs(logprobs)).mean()",
        agrees="equal probabilities",
        hint="Your perplexity is the arithmetic mean of 1/P: take the mean of the logarithms first, then the "
        "exponential.",
        label="ngram-perplexity",
    ),
    Mutant(
        "perplexity without the exponential",
        perplexity,
        "float(np.exp(-_check_logprobs(logprobs).mean()))",
        "float(1 - _check_logprobs(logprobs).mean())",
        agrees="certain tokens",
        hint="Your perplexity grows in proportion to the loss: it is its exponential.",
        label="ngram-perplexity",
    ),
)
BITS = (
    Mutant(
        "bits per token where another symbol is asked for",
        bits,
        "(symbols or len(logprobs))",
        "len(logprobs)",
        agrees="tokens",
        hint="Your bits are per token: divide the sum of the logarithms by the number of the other symbols.",
        label="ngram-bits",
    ),
)
DISCOUNTS = (
    Mutant(
        "one discount for all counts",
        modified_discounts,
        "discounts = np.array([1 - 2 * Y * n_2 / n_1, 2 - 3 * Y * n_3 / n_2, 3 - 4 * Y * n_4 / n_3])",
        "discounts = np.array([1 - 2 * Y * n_2 / n_1] * 3)",
        agrees="no threefold",
        hint="Your three discounts are the same: that is plain Kneser-Ney.",
        label="ngram-discounts",
    ),
    Mutant(
        "counts of counts one place off",
        modified_discounts,
        "3 - 4 * Y * n_4 / n_3",
        "3 - 4 * Y * n_3 / n_2",
        agrees="geometric counts of counts",
        hint="Your discount for counts of 3 and more uses the counts of counts of the discount before it.",
        label="ngram-discounts",
    ),
)
SMOOTH = (
    Mutant(
        "one added to the total for each word",
        add_k,
        "k * (counts.V - 1)",
        "(counts.V - 1)",
        agrees="k of one",
        hint="Your denominator grows by one for each word that can come: it grows by k for each.",
        label="ngram-add-k",
    ),
    Mutant(
        "weights not shared among the orders that are left",
        jelinek_mercer,
        "lambdas[m + 1] / lambdas[: m + 2].sum()",
        "lambdas[m + 1]",
        agrees="one order",
        hint="Your weights below the highest order do not sum to one with those of the orders below.",
        label="ngram-jm",
    ),
    Mutant(
        "weights exchanged",
        jelinek_mercer,
        "own.append(weight *",
        "own.append((1 - weight) *",
        agrees="weights of one half",
        hint="Your mixture gives the context's own frequency the weight of the shorter context.",
        label="ngram-jm",
    ),
    Mutant(
        "counts of words where contexts are counted",
        adjusted_counts,
        "np.bincount(longer, minlength=len(count))",
        "count",
        agrees="order one",
        hint="Your shorter distributions count how often a word occurs: they count in how many different "
        "contexts it does.",
        label="ngram-continuation",
    ),
    Mutant(
        "continuation counts at the start of a sentence",
        adjusted_counts,
        "np.where(begins, count,",
        "np.where(begins & False, count,",
        agrees="order two",
        hint="Your m-grams that begin with <s> count what stands to their left, where nothing can stand.",
        label="ngram-continuation",
    ),
    Mutant(
        "mass by tokens, not by types",
        kneser_ney,
        "_by_context(counts, m, taken)",
        "_by_context(counts, m, taken * count)",
        agrees="all counts one",
        hint="Your back-off weight counts each word as often as it occurs: each different word gives up one "
        "discount.",
        label="ngram-kn",
    ),
    Mutant(
        "counts above two discounted like two",
        kneser_ney,
        "np.minimum(count, 3)",
        "np.minimum(count, 2)",
        agrees="counts of one and two",
        hint="Your counts of 3 and more are discounted like those of 2.",
        label="ngram-kn",
    ),
    Mutant(
        "back-off weight left out",
        stream_logprobs,
        "_score(model, stream)",
        "_score(model._replace(backoff=tuple(0 * b for b in model.backoff)), stream)",
        agrees="all n-grams seen",
        hint="Your score of an n-gram that was not seen is that of the shorter one: the back-off weight of "
        "the context is missing.",
        label="ngram-backoff",
    ),
)
MUTANTS = PERPLEXITY + BITS + DISCOUNTS + SMOOTH
