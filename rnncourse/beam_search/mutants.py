"""The classic mistakes in beam search."""

from rnncourse.beam_search.numpy import sequence_logprob
from rnncourse.beam_search.search import best_attainable, length_penalty, length_score, search
from rnncourse.grading.mutant import Mutant

SCORE = (
    Mutant(
        "multiplied by the penalty",
        length_score,
        "logprob / length_penalty(T, alpha, normalisation)",
        "logprob * length_penalty(T, alpha, normalisation)",
        agrees="alpha zero",
        hint="Your score multiplies by the length penalty: log P is negative and is divided by it.",
        label="beam-score",
    ),
    Mutant(
        "</s> not counted",
        length_score,
        "length_penalty(T, alpha, normalisation)",
        "length_penalty(np.asarray(T) - 1, alpha, normalisation)",
        agrees="alpha zero",
        hint="Your length leaves out </s>: its log-probability is in the sum, so it counts.",
        label="beam-score",
    ),
    Mutant(
        "sixth missing",
        length_penalty,
        "(5.0 + np.asarray(T)) / 6.0",
        "(5.0 + np.asarray(T))",
        agrees="alpha zero",
        hint="Your GNMT penalty is (5 + T)^alpha: it is divided by (5 + 1)^alpha, so that it is 1 at T = 1.",
        label="beam-penalty",
    ),
    Mutant(
        "alpha as a factor",
        length_penalty,
        "base**alpha",
        "base * alpha",
        agrees="alpha one",
        hint="Your penalty is alpha times the length: alpha is its exponent.",
        label="beam-penalty",
    ),
)

BOUND = (
    Mutant(
        "present length in the bound",
        best_attainable,
        "max_length if alpha > 0 else t + 1",
        "t",
        agrees="alpha zero",
        hint="Your bound divides by the penalty of the present length: the output may still grow, and with "
        "alpha > 0 a longer one is divided by more.",
        label="beam-bound",
    ),
)

SEARCH = (
    Mutant(
        "histories not carried along",
        search,
        "np.take_along_axis(history[:, going], parent[None, going], 2)",
        "history[:, going]",
        agrees="width one",
        hint="Your outputs mix hypotheses: a survivor takes over all tokens of its parent, whatever place "
        "the parent had.",
        label="beam-step",
    ),
    Mutant(
        "states not carried along",
        search,
        "rows = (going[:, None] * K + parent[going]).ravel()",
        "rows = (going[:, None] * K + np.arange(K)).ravel()",
        agrees="width one",
        hint="Your states stay in their places: a survivor goes on from the state of its parent.",
        label="beam-step",
    ),
    Mutant(
        "K copies of the start",
        search,
        "live[:, 0] = 0",
        "live[:] = 0",
        agrees="width one",
        hint="Your search starts from K equal hypotheses, so that each candidate of the first step is there "
        "K times: before the first step there is one.",
        label="beam-step",
    ),
    Mutant(
        "ended hypotheses keep their places",
        search,
        'np.argsort(ends, axis=1, kind="stable")',
        'np.argsort(ends & False, axis=1, kind="stable")',
        agrees="nothing ends",
        hint="Your beam gets narrower with each output that ends: an ended hypothesis leaves the beam, and "
        "the best K that go on fill it.",
        label="beam-pool",
    ),
    Mutant(
        "only the best candidate may end",
        search,
        "ends[:, :K] & (value[:, :K] > -np.inf)",
        "ends[:, :K] & (value[:, :K] > -np.inf) & (np.arange(K) == 0)",
        agrees="width one",
        hint="Your pool takes an ended candidate only if it is the best of its step: being among the K best "
        "is enough.",
        label="beam-pool",
    ),
    Mutant(
        "shortest output one token too long",
        search,
        "t < min_length",
        "t <= min_length",
        agrees="no shortest length",
        hint="Your shortest output is one token too long: min_length counts </s>.",
        label="beam-pool",
    ),
)

CHAIN = (
    Mutant(
        "own words not read",
        sequence_logprob,
        "step(last, state)",
        "step(np.full(B, bos), state)",
        agrees="one token",
        hint="Your model reads the first input at every step: step t reads the token of step t - 1.",
        label="beam-chain",
    ),
    Mutant(
        "</s> left out of the sum",
        sequence_logprob,
        "t < lengths",
        "t < lengths - 1",
        agrees="a certain end",
        hint="Your log-probability leaves out </s>: that the output ends there is part of it.",
        label="beam-chain",
    ),
)

MUTANTS = SCORE + BOUND + SEARCH + CHAIN
