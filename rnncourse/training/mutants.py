"""The classic mistakes in training loops and in the comparison of runs."""

from rnncourse.grading.mutant import Mutant
from rnncourse.training.loop import since_best
from rnncourse.training.numpy import compare, misled, padding_share, train

LOOP = (
    Mutant(
        "clipping forgotten",
        train,
        "gradients, _ = clip_by_norm(gradients, clip)",
        "clip_by_norm(gradients, clip)",
        agrees="no clipping",
        hint="Your step takes the gradient as it is: what clipping returns is what the optimiser must get.",
        label="training-step",
    ),
    Mutant(
        "parameters clipped apart",
        train,
        "gradients, _ = clip_by_norm(gradients, clip)",
        "gradients = tuple(clip_by_norm(g, clip)[0] for g in gradients)",
        agrees="no clipping",
        hint="Your clipping gives every parameter a norm of its own: one factor, from the norm of all "
        "gradients together, keeps the direction.",
        label="training-step",
    ),
    Mutant(
        "norm recorded after clipping",
        train,
        "gradients, _ = clip_by_norm(gradients, clip)",
        "gradients, norm = clip_by_norm(gradients, clip); norm = min(norm, clip)",
        agrees="no clipping",
        hint="Your history holds the norm after clipping: it then says nothing of how often clipping acts.",
        label="training-step",
    ),
    Mutant(
        "optimiser's state thrown away",
        train,
        "params, state = optimiser.step(params, gradients, state)",
        "params, _ = optimiser.step(params, gradients, state)",
        agrees="zero gradients",
        hint="Your optimiser starts afresh at each step: hand the state that it returns to its next step.",
        label="training-step",
    ),
)
STOPPING = (
    Mutant(
        "last of equal evaluations",
        since_best,
        "len(evaluation) - 1 - int(np.argmin(evaluation))",
        "int(np.argmin(evaluation[::-1]))",
        agrees="no ties",
        hint="Your rule takes an evaluation that only equals the best for a new best: a run that stands "
        "still would never stop.",
        label="training-stop",
    ),
    Mutant(
        "compared with the evaluation before",
        since_best,
        "len(evaluation) - 1 - int(np.argmin(evaluation))",
        "next((i for i, (a, b) in enumerate(zip(evaluation[-2::-1], evaluation[::-1])) if b < a), "
        "len(evaluation) - 1)",
        agrees="rising after the best",
        hint="Your rule compares with the evaluation before: one that is worse than the best, but better "
        "than its neighbour, starts the count again.",
        label="training-stop",
    ),
)
PADDING = (
    Mutant(
        "every batch padded to the longest of all",
        padding_share,
        "len(batch) * lengths[batch].max()",
        "len(batch) * lengths.max()",
        agrees="one batch",
        hint="Your padding goes up to the longest sequence of all: a batch is as long as its own longest.",
        label="training-padding",
    ),
    Mutant(
        "mean of the batches' shares",
        padding_share,
        "1 - read / padded",
        "np.mean([1 - lengths[b].sum() / (len(b) * lengths[b].max()) for b in batches])",
        agrees="batches of one size",
        hint="Your share is the mean over batches: a small batch then counts as much as a large one.",
        label="training-padding",
    ),
)
SEEDS = (
    Mutant(
        "spreads added, not squares",
        compare,
        "np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))",
        "a.std(ddof=1) / np.sqrt(len(a)) + b.std(ddof=1) / np.sqrt(len(b))",
        agrees="second without spread",
        hint="Your standard errors are added: of independent means the squares add up.",
        label="training-error",
    ),
    Mutant(
        "numbers of seeds swapped",
        compare,
        "np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))",
        "np.sqrt(a.var(ddof=1) / len(b) + b.var(ddof=1) / len(a))",
        agrees="equally many seeds",
        hint="Your variances are divided by the other setting's number of seeds.",
        label="training-error",
    ),
    Mutant(
        "spread of one run",
        compare,
        "np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))",
        "np.sqrt(a.var(ddof=1) + b.var(ddof=1))",
        agrees="no spread",
        hint="Your error is that of the difference of two single runs: the mean of n runs varies less, by "
        "a factor of root n.",
        label="training-error",
    ),
    Mutant(
        "n in place of n - 1",
        compare,
        "np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))",
        "np.sqrt(a.var() / len(a) + b.var() / len(b))",
        agrees="no spread",
        hint="Your variance divides by n: the mean was taken from the same runs, so it is n - 1.",
        label="training-error",
    ),
    Mutant(
        "same seeds paired",
        misled,
        "of_a[:, None] - of_b",
        "of_a - of_b[: len(of_a)] if len(of_a) <= len(of_b) else of_a[: len(of_b)] - of_b",
        agrees="second without spread",
        hint="Your count pairs the i-th choice of the one with the i-th of the other: every choice of the "
        "one meets every choice of the other.",
        label="training-misled",
    ),
    Mutant(
        "ties count as wrong",
        misled,
        "np.sign(of_a[:, None] - of_b)",
        "np.sign(of_a[:, None] - of_b - 1e-12 * sign)",
        agrees="no ties",
        hint="Your count takes a tie for a wrong order: it counts half.",
        label="training-misled",
    ),
)
MUTANTS = LOOP + STOPPING + PADDING + SEEDS
