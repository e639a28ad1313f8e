"""What the graded exercise on language models asks, and how an answer is judged."""

import numpy as np

from rnncourse._numerics import log_softmax
from rnncourse.grading.check import Parity, Property, draw_sizes
from rnncourse.grading.mutant import Mutant
from rnncourse.language_model.mutants import NUCLEUS, TEMPERATURE
from rnncourse.language_model.numpy import at_temperature, keep_nucleus


def _draw_temperature(rng):
    V, B, _, _ = draw_sizes(rng)
    # Large enough that e^o overflows.
    return rng.normal(size=(B, V)) + 1000 * rng.normal(size=(B, 1)), float(rng.uniform(0.3, 3))


def _draw_nucleus(rng):
    V, B, _, _ = draw_sizes(rng)
    return 1.5 * rng.normal(size=(B, V + 4)), float(rng.uniform(0.4, 0.9))


def streams(ids, B, T):
    """Inputs and targets (N, T, B) of all batches of B contiguous streams."""
    N = (len(ids) - 1) // (B * T)
    place = np.arange(B)[:, None] * (N * T) + np.arange(N * T)
    x = ids[place].reshape(B, N, T)
    y = np.roll(ids, -1)[place].reshape(B, N, T)
    return x.transpose(1, 2, 0), y.transpose(1, 2, 0)


def _draw_streams(rng):
    T, B, N, rest = draw_sizes(rng)
    # Every other time one token short of one batch more; else at least two tokens are left over.
    rest = B * T - 1 if rng.random() < 0.5 else 2 + rest % (B * T - 2)
    return rng.integers(0, 50, N * B * T + 1 + rest), B, T


STREAMS = (
    Mutant(
        "windows dealt out to the streams",
        streams,
        "x = ids[place].reshape(B, N, T)",
        "x = ids[place].reshape(N, B, T).transpose(1, 0, 2)",
        agrees="one batch",
        hint="Your windows are dealt out to the streams in turn: stream b of a batch has to go on where "
        "stream b of the batch before ended.",
        label="lm-carried",
    ),
    Mutant(
        "tokens dealt out to the streams",
        streams,
        "x = ids[place].reshape(B, N, T)",
        "x = ids[place].reshape(N, T, B).transpose(2, 0, 1)",
        agrees="one stream",
        hint="Your streams take the tokens in turn: each stream is one stretch of the text.",
        label="lm-carried",
    ),
    Mutant(
        "targets are the inputs",
        streams,
        "np.roll(ids, -1)[place]",
        "ids[place]",
        agrees="one token again and again",
        hint="Your targets are the inputs: each token is the target of the one before it.",
        label="lm-loss",
    ),
    Mutant(
        "targets wrap around",
        streams,
        "np.roll(ids, -1)[place].reshape(B, N, T)",
        "np.roll(x, -1, axis=2)",
        agrees="one token again and again",
        hint="Your last target of a window is its first token: it is the token after the window.",
        label="lm-loss",
    ),
    Mutant(
        "end of each stream dropped",
        streams,
        "np.arange(B)[:, None] * (N * T)",
        "np.arange(B)[:, None] * ((len(ids) - 1) // B)",
        agrees="nothing left over",
        hint="Your streams are longer than their windows, and the end of each is dropped: first cut the text "
        "to what the batches need, then into streams of N T tokens.",
        label="lm-carried",
    ),
    Mutant(
        "last token read",
        streams,
        "(len(ids) - 1) // (B * T)",
        "len(ids) // (B * T)",
        agrees="two tokens left over",
        hint="Your batches read the last token of the text, which has no target: N B T + 1 tokens are needed "
        "for N batches.",
        label="lm-loss",
    ),
)


def tied_gradient(dlogits, h, dx, ids):
    """Gradient of the shared table and of the output's bias."""
    V = dlogits.shape[-1]
    table = np.einsum("tbv,tbh->vh", dlogits, h)
    np.add.at(table, ids, dx)
    return table, dlogits.sum(axis=(0, 1)) + np.zeros(V)


def _draw_tied(rng):
    T, B, V, H = draw_sizes(rng)
    shape = T + 3, B
    return (
        rng.normal(size=(*shape, V)),
        rng.normal(size=(*shape, H)),
        rng.normal(size=(*shape, H)),
        rng.integers(0, V, shape),
    )


TIED = (
    Mutant(
        "repeated tokens lost",
        tied_gradient,
        "np.add.at(table, ids, dx)",
        "table[ids] += dx",
        agrees="each token once",
        hint="Your gradient keeps one place of a token that occurs several times: its row is the sum "
        "over all.",
        label="lm-dembedding",
    ),
    Mutant(
        "input's part missing",
        tied_gradient,
        "np.add.at(table, ids, dx)",
        "dx.sum()",
        agrees="no gradient at the input",
        hint="Your gradient has the output layer's part alone: the same table is read at the input.",
        label="lm-dtied",
    ),
    Mutant(
        "output's part missing",
        tied_gradient,
        'table = np.einsum("tbv,tbh->vh", dlogits, h)',
        "table = np.zeros((V, h.shape[-1]))",
        agrees="zero states",
        hint="Your gradient has the lookup's part alone: the same table is the output layer's weight.",
        label="lm-dtied",
    ),
    Mutant(
        "mean over the positions",
        tied_gradient,
        "dlogits.sum(axis=(0, 1))",
        "dlogits.mean(axis=(0, 1))",
        agrees="one position",
        hint="Your bias has the mean over the positions: a shared parameter's gradient is the sum.",
        label="lm-dtied",
    ),
)


def surprise_gap(logits, targets, tau):
    """Surprise of the tokens drawn at `tau` less that of the targets, both to the model at temperature 1."""
    logprob = log_softmax(logits)
    drawn = (at_temperature(logits, tau) * -logprob).sum(axis=-1).mean()
    return float(drawn + np.take_along_axis(logprob, targets[:, None], axis=-1).mean())


def _judge_matching(answer, rng):
    for scale in (0.5, 0.8, 1.3):
        V = int(rng.integers(4, 12))
        logits = 2 * rng.normal(size=(400, V))
        sums = at_temperature(logits, 1 / scale).cumsum(axis=-1)
        targets = (sums < rng.random((400, 1))).sum(axis=-1)
        tau = answer(logits.copy(), targets.copy())
        if not (np.ndim(tau) == 0 and np.isfinite(tau) and tau > 0):
            raise AssertionError(f"return one number above 0, got {tau!r}")
        gap = surprise_gap(logits, targets, float(tau))
        if abs(gap) > 1e-5:
            side = "more" if gap > 0 else "less"
            raise AssertionError(
                f"at your temperature {float(tau):.4f} the samples are {side} surprising than the text, by "
                f"{abs(gap):.2g} nats a token; 1e-5 is allowed"
            )


def _judge_confident(answer, rng):
    for tau in rng.uniform(1.5, 3, 3):
        logits, targets = (np.asarray(part) for part in answer(float(tau)))
        if logits.ndim != 2 or logits.shape[1] < 3 or targets.shape != logits.shape[:1]:
            raise AssertionError(
                f"return logits (N, V) with V at least 3 and targets (N,), got {logits.shape} and "
                f"{targets.shape}"
            )
        if len(targets) < 20 or len(np.unique(logits, axis=0)) < 2:
            raise AssertionError("give at least 20 predictions that are not all alike")
        if targets.dtype.kind not in "iu" or targets.min() < 0 or targets.max() >= logits.shape[1]:
            raise AssertionError("targets must be integers in 0 .. V - 1")
        gap = surprise_gap(logits, targets, tau)
        if abs(gap) > 1e-6:
            raise AssertionError(
                f"at {tau:.3f} samples and text differ by {gap:.2g} nats a token: the matching temperature "
                "of your model is another one"
            )
        right = (logits.argmax(axis=1) == targets).mean()
        if right < 0.6:
            raise AssertionError(f"your model's likeliest token is right in {right:.0%}; 60% are asked for")


QUESTIONS = {
    "q1": Parity(at_temperature, _draw_temperature, ("probabilities",), TEMPERATURE),
    "q2": Parity(keep_nucleus, _draw_nucleus, ("probabilities",), NUCLEUS),
    "q3": Parity(streams, _draw_streams, ("x", "y"), STREAMS),
    "q4": Parity(tied_gradient, _draw_tied, ("dtable", "dbias"), TIED),
    "q5": Property(_judge_matching),
    "q6": Property(_judge_confident),
}
