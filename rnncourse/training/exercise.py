"""What the graded exercise on training asks, and how an answer is judged."""

import math
from itertools import combinations

import numpy as np

from rnncourse.grading.check import Parity, Property
from rnncourse.grading.mutant import Mutant


def fit(w, b, x, y, lr, clip):
    """Gradient descent with clipping by the common norm on the mean squared error of a linear model."""
    losses, norms = [], []
    for x_k, y_k in zip(x, y, strict=True):
        error = x_k @ w + b - y_k
        losses.append((error**2).mean())
        dw, db = 2 * x_k.T @ error / len(error), 2 * error.mean()
        norm = np.sqrt(dw @ dw + db**2)
        norms.append(norm)
        factor = min(1.0, clip / norm)
        w, b = w - lr * factor * dw, b - lr * factor * db
    return w, b, np.array(losses), np.array(norms)


def _draw_fit(rng):
    steps, B, D = (int(size) for size in rng.permutation(np.arange(3, 8))[:3])
    x = rng.normal(size=(steps, B, D))
    y = x @ rng.normal(size=D) + 3 + rng.normal(size=(steps, B))
    clip = float(rng.uniform(1, 2))
    w_0, b_0 = rng.normal(size=D), np.float64(rng.normal())
    # A last batch whose gradient is short: it must not be lengthened.
    w, b, _, _ = fit(w_0, b_0, x[:-1], y[:-1], 0.2, clip)
    y[-1] = x[-1] @ w + b + 0.01 * rng.normal(size=B)
    return w_0, b_0, x, y, 0.2, clip


FIT = (
    Mutant(
        "each clipped apart",
        fit,
        "w, b = w - lr * factor * dw, b - lr * factor * db",
        "w, b = (w - lr * min(1.0, clip / np.sqrt(dw @ dw)) * dw, b - lr * min(1.0, clip / abs(db)) * db)",
        agrees="no clipping",
        hint="Your clipping gives weight and bias a norm each: one factor, from the norm of both together, "
        "keeps the direction.",
        label="training-step",
    ),
    Mutant(
        "always of the norm clip",
        fit,
        "min(1.0, clip / norm)",
        "clip / norm",
        agrees="every gradient too long",
        hint="Your step always has the norm clip: a gradient that is shorter stays as it is.",
        label="training-step",
    ),
    Mutant(
        "never clipped",
        fit,
        "min(1.0, clip / norm)",
        "1.0",
        agrees="no clipping",
        hint="Your step takes the gradient as it is, however long.",
        label="training-step",
    ),
    Mutant(
        "norm after clipping",
        fit,
        "norms.append(norm)",
        "norms.append(min(norm, clip))",
        agrees="no clipping",
        hint="Your norms are those after clipping: return them as they were before.",
        label="training-step",
    ),
)


def stopping(evaluation, patience):
    """Index of the evaluation after which a run stops, and of the best one it saw."""
    best = 0
    for i in range(len(evaluation)):
        if evaluation[i] < evaluation[best]:
            best = i
        if i - best >= patience:
            return i, best
    return len(evaluation) - 1, best


def _draw_stopping(rng):
    # Ties, worse ones between better ones, and a best that comes too late.
    falling = np.repeat(np.arange(9, 5, -1), 2) + rng.permutation([0.0, 0, 0, 0.5, 0.5, 0, 0, 0])
    plateau = falling.min() + np.concatenate([rng.permutation([0.0, 1, 0.5]), [2, 1, 3]])
    return np.concatenate([falling, plateau, [3.0, 1, 4, 2]]), int(rng.integers(2, 4))


STOPPING = (
    Mutant(
        "equal counts as better",
        stopping,
        "evaluation[i] < evaluation[best]",
        "evaluation[i] <= evaluation[best]",
        agrees="no ties",
        hint="Your rule takes an evaluation that only equals the best for a new best.",
        label="training-stop",
    ),
    Mutant(
        "one too many",
        stopping,
        "i - best >= patience",
        "i - best > patience",
        agrees="falling to the end",
        hint="Your run goes on for one evaluation too many: it stops as soon as `patience` of them came "
        "after the best.",
        label="training-stop",
    ),
    Mutant(
        "best of all",
        stopping,
        "return i, best",
        "return i, int(np.argmin(evaluation))",
        agrees="best before the stop",
        hint="Your best is that of all evaluations, but the run never sees those after its stop.",
        label="training-stop",
    ),
)


def paired(a, b):
    """Mean difference of results with the same seeds, and its standard error."""
    d = a - b
    return d.mean(), np.sqrt(((d - d.mean()) ** 2).sum() / (len(d) - 1) / len(d))


def _draw_paired(rng):
    n = int(rng.integers(4, 9))
    common = rng.normal(size=n)
    return common + 0.3 * rng.normal(size=n), common + 0.2 + 0.3 * rng.normal(size=n)


PAIRED = (
    Mutant(
        "seeds not paired",
        paired,
        "((d - d.mean()) ** 2).sum()",
        "(((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum())",
        agrees="uncorrelated results",
        hint="Your error is that of independent runs: what both settings owe to the seed cancels in each "
        "difference.",
        label="training-error",
    ),
    Mutant(
        "spread of one difference",
        paired,
        "(len(d) - 1) / len(d)",
        "(len(d) - 1)",
        agrees="no spread",
        hint="Your error is the spread of a single difference: the mean of n of them varies less.",
        label="training-error",
    ),
    Mutant(
        "n in place of n - 1",
        paired,
        "(len(d) - 1) / len(d)",
        "len(d) / len(d)",
        agrees="no spread",
        hint="Your variance divides by n: the mean was taken from the same differences, so it is n - 1.",
        label="training-error",
    ),
)


def expected_best(results, k):
    """Mean, over all choices of k results, of the lowest one chosen."""
    return np.mean([min(chosen) for chosen in combinations(results, k)])


def _draw_best(rng):
    n = int(rng.integers(4, 9))
    return rng.normal(2, 0.1, n), int(rng.integers(2, n))


BEST = (
    Mutant(
        "drawn with replacement",
        expected_best,
        "np.mean([min(chosen) for chosen in combinations(results, k)])",
        "sum(r * (((len(results) - i) / len(results)) ** k - ((len(results) - i - 1) / len(results)) ** k) "
        "for i, r in enumerate(sorted(results)))",
        agrees="one drawn",
        hint="Your k results may hold the same one twice: a seed is run once.",
        label="training-misled",
    ),
    Mutant(
        "mean in place of the lowest",
        expected_best,
        "min(chosen)",
        "np.mean(chosen)",
        agrees="one drawn",
        hint="Your number is the mean of the chosen results: the report gives the lowest of them.",
        label="training-misled",
    ),
    Mutant(
        "first k only",
        expected_best,
        "combinations(results, k)",
        "[results[:k]]",
        agrees="all drawn",
        hint="Your number is the lowest of the first k results: average over all choices of k.",
        label="training-misled",
    ),
)


def _least(lengths, B):
    """Fewest positions of at most ceil(n / B) batches of at most B."""
    lengths = np.sort(lengths)
    n, most = len(lengths), math.ceil(len(lengths) / B)
    cost = np.full((most + 1, n + 1), np.inf)
    cost[:, 0] = 0
    for batches in range(1, most + 1):
        for end in range(1, n + 1):
            starts = range(max(0, end - B), end)
            cost[batches, end] = min(cost[batches - 1, s] + (end - s) * lengths[end - 1] for s in starts)
    return int(cost[most, n])


def _judge_padding(answer, rng):
    drawn = [np.array([9, 1, 9, 1]), *(rng.geometric(0.1, int(rng.integers(8, 24))) for _ in range(6))]
    for lengths in drawn:
        B = 3 if len(lengths) == 4 else int(rng.integers(3, 6))
        batches = [np.asarray(batch, int) for batch in answer(lengths.copy(), B)]
        indices = np.concatenate(batches) if batches else np.array([], int)
        if sorted(indices) != list(range(len(lengths))):
            raise AssertionError(f"every index 0 .. {len(lengths) - 1} must occur once, got {indices}")
        most = math.ceil(len(lengths) / B)
        if len(batches) > most or not all(0 < len(batch) <= B for batch in batches):
            sizes = [len(batch) for batch in batches]
            raise AssertionError(f"at most {most} batches of 1 to B = {B} sequences are allowed, got {sizes}")
        positions = sum(len(batch) * lengths[batch].max() for batch in batches)
        least = _least(lengths, B)
        if positions > least:
            raise AssertionError(
                f"lengths {np.sort(lengths).tolist()}, B = {B}: your batches fill {positions} positions, "
                f"{least} are enough; yours are {[np.sort(lengths[batch]).tolist() for batch in batches]}"
            )


STEPS = 60


def _simulated(rng, runs, lr):
    """Losses and evaluations after every step of many runs of question 6 at once, each (runs, STEPS)."""
    truth, w = rng.normal(size=(runs, 8, 1)), np.zeros((runs, 8, 1))
    losses, evaluations = [], []
    for _ in range(STEPS):
        x = rng.normal(size=(runs, 16, 8))
        read = x * (rng.random(x.shape) < 0.9) / 0.9
        error = read @ w - x @ truth
        losses.append((error**2).mean((1, 2)))
        w = w - lr * 2 * np.swapaxes(read, 1, 2) @ error / 16
        evaluations.append(((rng.normal(size=(runs, 16, 8)) @ (w - truth)) ** 2).mean((1, 2)))
    return np.transpose(losses), np.transpose(evaluations)


def _summaries(values):
    """What of a run is compared: mean logarithms early, later and at the end, and their spread at the end."""
    logs = np.log(np.maximum(values, 1e-12))
    parts = [logs[:, :1], logs[:, 1:4], logs[:, 10:20], logs[:, 30:]]
    return np.column_stack([*(part.mean(1) for part in parts), logs[:, 30:].var(1)])


def _far(actual, expected):
    """Whether a mean over runs lies more than six standard errors from the simulated one."""
    error = np.sqrt(actual.var(0, ddof=1) / len(actual) + expected.var(0, ddof=1) / len(expected))
    return (np.abs(actual.mean(0) - expected.mean(0)) > 6 * error).any()


def _judge_run(answer, rng):
    def run(seed, every, steps, lr):
        losses, evaluations = (np.asarray(part, float) for part in answer(int(seed), every, steps, lr))
        if losses.shape != (steps,) or evaluations.shape != (steps // every,):
            raise AssertionError(
                f"with every = {every} and {steps} steps, return {steps} losses and {steps // every} "
                f"evaluations, got {losses.shape} and {evaluations.shape}"
            )
        return losses, evaluations

    seeds = rng.choice(10**6, 160, replace=False)
    for seed in seeds[:4]:
        losses, evaluations = run(seed, 3, 30, 0.1)
        for every in (5, 7, 1):
            differ = np.flatnonzero(losses != run(seed, every, 30, 0.1)[0])
            if differ.size:
                raise AssertionError(
                    f"seed {seed}: with every = {every} in place of 3 the losses differ from step "
                    f"{differ[0] + 1} on"
                )
        if not np.array_equal(evaluations, run(seed, 3, 30, 0.1)[1]):
            raise AssertionError(f"seed {seed}: called twice, your function gives two different evaluations")
    for lr in (0.0, 0.1, 0.03):
        chosen = seeds if lr == 0.1 else seeds[:80]
        losses, evaluations = map(np.array, zip(*(run(seed, 1, STEPS, lr) for seed in chosen), strict=True))
        if lr == 0:
            _judge_draws(losses, evaluations)
            continue
        expected = _simulated(rng, 1000, lr)
        if _far(_summaries(losses), _summaries(expected[0])):
            raise AssertionError(
                f"lr = {lr}: your losses are not those of this training. Each step takes a fresh batch and a "
                "fresh mask, divides what is kept by 0.9, and updates w with the rate lr"
            )
        if _far(_summaries(evaluations), _summaries(expected[1])):
            raise AssertionError(
                f"lr = {lr}: your evaluations are not those of this training. Each one is the mean squared "
                "error on a fresh batch, of the w after that step, with nothing dropped"
            )


def _judge_draws(losses, evaluations):
    """Judge runs with w = 0 throughout, where a loss shows which batch was drawn; arrays (runs, STEPS)."""
    rounded, looked = losses.round(12), evaluations.round(12)
    if any(len(set(row)) < STEPS for row in rounded):
        raise AssertionError("each step must draw a fresh batch: with lr = 0 your losses repeat")
    if any(len(set(row)) < STEPS for row in looked):
        raise AssertionError("each evaluation must draw a fresh batch: with lr = 0 yours repeat")
    for a, b in zip(losses, evaluations, strict=True):
        if (np.abs(a[:, None] - b) < 1e-9 * a[:, None]).any():
            raise AssertionError("you evaluate on a batch that is also trained on")
    # Sizes of the batches, without that of the truth, which all of a run have in common.
    trained, looked = (np.log(v / losses.mean(1, keepdims=True)) for v in (losses, evaluations))
    if np.abs(np.corrcoef(trained.T, looked.T)[:STEPS, STEPS:]).max() > 0.7:
        raise AssertionError("your evaluations use the numbers that the training draws as well")
    for values in (trained, looked):
        error = values.std(0, ddof=1) / np.sqrt(len(values))
        if np.mean(((values.mean(0) - values.mean()) / error) ** 2) > 4:
            raise AssertionError("different seeds must draw different batches: yours draw the same")


QUESTIONS = {
    "q1": Parity(fit, _draw_fit, ("w", "b", "losses", "norms"), FIT),
    "q2": Parity(stopping, _draw_stopping, ("stop", "best"), STOPPING),
    "q3": Property(_judge_padding),
    "q4": Parity(paired, _draw_paired, ("difference", "error"), PAIRED),
    "q5": Parity(expected_best, _draw_best, ("expected",), BEST),
    "q6": Property(_judge_run),
}
