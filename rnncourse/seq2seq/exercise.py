"""What the graded exercise on encoder and decoder asks, and how an answer is judged."""

import numpy as np

from rnncourse._numerics import log_softmax
from rnncourse.data.pairs import END, PAD, START, PairBatch, length_mask, pad
from rnncourse.grading.check import Parity, Property
from rnncourse.grading.mutant import Mutant
from rnncourse.gru.numpy import gru_backward, gru_forward, gru_init
from rnncourse.seq2seq.mutants import ENCODER
from rnncourse.seq2seq.numpy import encoder_forward, greedy, seq2seq_forward, seq2seq_init, time_lags


def _draw_lengths(rng):
    """Lengths of some sentences, not all the same."""
    return np.append(rng.integers(2, 6, rng.integers(1, 4)), [6, 3])


def _draw_encode(rng):
    lengths = _draw_lengths(rng)
    V, E, H = (int(n) for n in rng.integers(3, 7, 3))
    source = rng.integers(0, V, (lengths.max(), len(lengths)))
    return source, lengths, rng.normal(size=(V, E)), gru_init(rng, E, H)


def _call_encode(encode, *arguments):
    return encode(*arguments)[:2]


def sentence_logprob(logits, target, lengths):
    """ln P (B,) of each translation: logits (T, B, V), target (T, B), lengths (B,) with </s> counted."""
    chosen = np.take_along_axis(log_softmax(logits), target[..., None], axis=-1)[..., 0]
    return np.where(length_mask(lengths, len(logits)), chosen, 0).sum(axis=0)


def _draw_logprob(rng):
    lengths = _draw_lengths(rng)
    T, B, V = lengths.max(), len(lengths), int(rng.integers(3, 8))
    logits, target = 3 * rng.normal(size=(T, B, V)), rng.integers(0, V, (T, B))
    # Both far above 0 and far below, where exp overflows or gives 0 alone, and a word with exp(-1000).
    logits += 1000.0 * rng.integers(-1, 2, (T, B, 1))
    logits[0, 0, target[0, 0]] = logits[0, 0].min() - 1000
    return logits, target, lengths


LOGPROB = (
    Mutant(
        "padding counted",
        sentence_logprob,
        "np.where(length_mask(lengths, len(logits)), chosen, 0)",
        "chosen",
        agrees="equal lengths",
        hint="Your probability counts padding: leave out what stands behind </s>.",
        label="seq2seq-chain",
    ),
    Mutant(
        "mean",
        sentence_logprob,
        "np.where(length_mask(lengths, len(logits)), chosen, 0).sum(axis=0)",
        "np.where(length_mask(lengths, len(logits)), chosen, 0).sum(axis=0) / lengths",
        agrees="one word",
        hint="Your logarithm is a mean over words: the probability is a product, so its logarithm is a sum.",
        label="seq2seq-chain",
    ),
    Mutant(
        "end left out",
        sentence_logprob,
        "length_mask(lengths, len(logits))",
        "length_mask(lengths - 1, len(logits))",
        agrees="an end that is certain",
        hint="Your probability leaves out </s>: without it, the probabilities of all sentences do not sum "
        "to 1.",
        label="seq2seq-chain",
    ),
)


def bridge_backward(dstate, x, lengths, params):
    """What comes over the bridge, dstate (B, H), sent back into sentences x (S, B, E) of these lengths."""
    nothing = np.zeros_like(dstate)
    _, _, cache = gru_forward(x, nothing, params)
    doutput = np.zeros_like(cache.h[1:])
    doutput[lengths - 1, np.arange(len(lengths))] = dstate
    dx, _, dparams = gru_backward(doutput, nothing, cache)
    return dx, dparams


def _draw_bridge(rng):
    lengths = _draw_lengths(rng)
    E, H = (int(n) for n in rng.integers(3, 7, 2))
    x = rng.normal(size=(lengths.max(), len(lengths), E))
    return rng.normal(size=(len(lengths), H)), x, lengths, gru_init(rng, E, H)


BRIDGE = (
    Mutant(
        "at the end of the batch",
        bridge_backward,
        "doutput[lengths - 1, np.arange(len(lengths))]",
        "doutput[-1, np.arange(len(lengths))]",
        agrees="equal lengths",
        hint="Your gradient enters at the end of the batch: each sentence gets it at its own last word.",
        label="seq2seq-through",
    ),
    Mutant(
        "a step early",
        bridge_backward,
        "lengths - 1",
        "np.maximum(lengths - 2, 0)",
        agrees="one word",
        hint="Your gradient enters one word before the end of each sentence.",
        label="seq2seq-through",
    ),
    Mutant(
        "at every word",
        bridge_backward,
        "doutput[lengths - 1, np.arange(len(lengths))]",
        "doutput[:]",
        agrees="one word",
        hint="Your gradient enters at every word: the decoder reads the last state only.",
        label="seq2seq-through",
    ),
)


def _judge_greedy(answer, rng):
    for _ in range(4):
        B, H, V, longest = (int(n) for n in rng.integers([3, 3, 5, 4], [7, 6, 9, 9]))
        W, E, U = rng.normal(size=(H, H)), rng.normal(size=(V, H)), 2 * rng.normal(size=(H, V))

        def step(tokens, state, W=W, E=E, U=U):
            state = np.tanh(state @ W + E[tokens])
            logits = state @ U
            logits[:, [PAD, START]] = -1e3  # never said
            return logits, state

        start = rng.normal(size=(B, H))
        given = start.copy()
        found = answer(step, given, longest)
        if not np.array_equal(given, start):
            raise AssertionError("your function changes the state that it is given in place")
        if not isinstance(found, list) or len(found) != B:
            raise AssertionError(f"return a list of B = {B} translations, got {type(found).__name__}")
        for b in range(B):
            # One sentence at a time, so nothing can leak from one to another.
            state, token, words = start[b : b + 1], START, []
            while len(words) < longest:
                logits, state = step(np.array([token]), state)
                token = int(logits.argmax())
                if token == END:
                    break
                words.append(token)
            if list(map(int, found[b])) != words:
                raise AssertionError(
                    f"sentence {b} of {B} must be {words} with max_length = {longest}, got {list(found[b])}"
                )


def _judge_order(answer, rng):
    for n in rng.permutation(np.arange(3, 9))[:3]:
        pairs = [tuple(map(int, pair)) for pair in answer(int(n))]
        if sorted(i for i, _ in pairs) != list(range(n)) or sorted(j for _, j in pairs) != list(range(n)):
            raise AssertionError(f"with n = {n}, each of 0 .. {n - 1} must be on each side once, got {pairs}")
        forwards, backwards = (time_lags(pairs, int(n), reverse).min() for reverse in (False, True))
        if backwards - forwards < n - 1:
            raise AssertionError(
                f"with n = {n} the smallest lag is {forwards:.0f} forwards and {backwards:.0f} backwards: "
                f"a larger loss by reversal is possible"
            )


def _draw_translated(rng):
    """A model, sources, and references, some of which are what the model says."""
    params = seq2seq_init(rng, 12, 7, 6, 8)
    output = params.decoder.output._replace(weight=8 * params.decoder.output.weight)
    params = params._replace(decoder=params.decoder._replace(output=output))
    lengths = rng.integers(1, 7, 40)
    source = rng.integers(4, 12, (lengths.max(), 40))
    params = params._replace(embedding=2 * params.embedding)
    ids, ends = greedy(source, lengths, params, max_length=9)
    references = []
    for b, n in enumerate(ends):
        words = [int(w) for w in ids[:n, b] if w != END]
        if words and rng.random() < 0.5:
            place = int(rng.integers(len(words)))
            words[place] = 3 + (words[place] - 3 + int(rng.integers(1, 4))) % 4
        references.append(words)
    target, target_lengths = pad([[*words, END] for words in references])
    target_input, _ = pad([[START, *words] for words in references], PAD)
    return PairBatch(source, lengths, target_input, target, target_lengths), params


def _decoded_exactly(batch, params):
    """Which sentences greedy decoding translates exactly: it is run."""
    ids, _ = greedy(batch.source, batch.source_lengths, params, max_length=len(batch.target) + 9)
    said, wanted = (_columns(part) for part in (ids, batch.target))
    return np.array([a == b for a, b in zip(said, wanted, strict=True)])


def _judge_exact(answer, rng):
    judged = 0
    while judged < 3:
        batch, params = _draw_translated(rng)
        expected = _decoded_exactly(batch, params)
        if not 8 <= expected.sum() <= 32:  # a model that says nothing, or does not end
            continue
        judged += 1
        calls = []

        def forward(inputs, batch=batch, params=params, calls=calls):
            calls.append(inputs)
            if len(calls) > 1:
                raise AssertionError("your function calls forward more than once: one call is enough")
            return seq2seq_forward(batch.source, batch.source_lengths, inputs, params)[0]

        found = np.asarray(answer(batch, forward))
        if found.shape != expected.shape or found.dtype != bool:
            raise AssertionError(
                f"return B = {len(expected)} truth values, got {found.dtype} of shape {found.shape}"
            )
        if (found != expected).any():
            raise AssertionError(
                f"of {len(expected)} sentences, greedy decoding translates {expected.sum()} exactly; your "
                f"answer differs from it in {(found != expected).sum()}"
            )


def _columns(ids):
    """Words of each column up to the first ``</s>``, and whether it came."""
    return [(tuple(c[: np.argmax(c == END)]) if (c == END).any() else (*c, None)) for c in ids.T]


QUESTIONS = {
    "q1": Parity(encoder_forward, _draw_encode, ("outputs", "state"), ENCODER, _call_encode),
    "q2": Parity(sentence_logprob, _draw_logprob, ("logprob",), LOGPROB),
    "q3": Parity(bridge_backward, _draw_bridge, ("dx", "dparams"), BRIDGE),
    "q4": Property(_judge_greedy),
    "q5": Property(_judge_order),
    "q6": Property(_judge_exact),
}
