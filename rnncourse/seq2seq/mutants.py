"""The classic mistakes with an encoder and a decoder."""

from rnncourse.grading.mutant import Mutant
from rnncourse.seq2seq.numpy import (
    encoder_backward,
    encoder_forward,
    scheduled_optimum,
    seq2seq_backward,
    seq2seq_forward,
    seq2seq_logprob,
    seq2seq_loss,
    time_lags,
)

ENCODER = (
    Mutant(
        "padding read",
        encoder_forward,
        "np.flatnonzero(lengths > start)",
        "np.arange(B)",
        agrees="equal lengths",
        hint="Your encoder reads on behind the end of a sentence: the state must stay as it is there.",
        label="seq2seq-freeze",
    ),
    Mutant(
        "state lost where a sentence ends",
        encoder_forward,
        "tuple(state[running] for state in states)",
        "tuple(0 * state[running] for state in states)",
        agrees="equal lengths",
        hint="Your sentences that go on start again from zero where a shorter one ends.",
        label="seq2seq-encoder",
    ),
)

BACKWARD = (
    Mutant(
        "gradient for the longest sentences only",
        encoder_backward,
        "tuple(part.copy() for part in dstates)",
        "tuple(part * np.isin(np.arange(B), cache.parts[-1][2])[:, None] for part in dstates)",
        agrees="equal lengths",
        hint="Your gradient over the bridge enters at the end of the batch: each sentence gets it at its own "
        "last word.",
        label="seq2seq-through",
    ),
    Mutant(
        "carry lost where a sentence ends",
        encoder_backward,
        "d[running] = new",
        "d[running] = d[running]",
        agrees="equal lengths",
        hint="Your gradient does not go on to earlier words where a shorter sentence ends.",
        label="seq2seq-through",
    ),
    Mutant(
        "weights from the first stretch only",
        encoder_backward,
        "kind(*(a + b for a, b in zip(dcell, dparams, strict=True)))",
        "kind(*(b for a, b in zip(dcell, dparams, strict=True)))",
        agrees="equal lengths",
        hint="Your weights get the gradient of some steps only: they are shared by all steps.",
        label="seq2seq-through",
    ),
    Mutant(
        "one occurrence of each word",
        encoder_backward,
        "embedding_backward(dx, cache.embedding)",
        "np.array([dx[cache.embedding.ids == w][-1:].sum(axis=0) "
        "for w in range(len(cache.embedding.weight))])",
        agrees="every word once",
        hint="Your embedding gets the gradient of one occurrence of each word: all of them add up.",
        label="seq2seq-through",
    ),
    Mutant(
        "bridge cut",
        seq2seq_backward,
        "np.zeros_like(cache.outputs), dstate, cache.encoder",
        "np.zeros_like(cache.outputs), "
        "tuple(0 * d for d in dstate) if isinstance(dstate, tuple) else 0 * dstate, cache.encoder",
        agrees="decoder that reads no state",
        hint="Your encoder gets no gradient: what the decoder sends back to its first state is the gradient "
        "of the encoder's last one.",
        label="seq2seq-dbridge",
    ),
)

FORWARD = (
    Mutant(
        "decoder from zero",
        seq2seq_forward,
        "lm_forward(target_input, state, params.decoder)",
        "lm_forward(target_input, tuple(0 * s for s in state) if isinstance(state, tuple) else 0 * state, "
        "params.decoder)",
        agrees="encoder of zeros",
        hint="Your decoder starts from zero, so it is a language model that has not seen the source.",
        label="seq2seq-bridge",
    ),
)

LOSS = (
    Mutant(
        "padding counted in the loss",
        seq2seq_loss,
        "cross_entropy_forward(logits, batch.target, mask)",
        "cross_entropy_forward(logits, batch.target)",
        agrees="equal target lengths",
        hint="Your loss counts padding: leave out what stands behind </s>.",
        label="seq2seq-loss",
    ),
    Mutant(
        "padding counted in the probability",
        seq2seq_logprob,
        "np.where(length_mask(batch.target_lengths, T), chosen, 0)",
        "chosen",
        agrees="equal target lengths",
        hint="Your probability counts padding: leave out what stands behind </s>.",
        label="seq2seq-chain",
    ),
    Mutant(
        "mean in place of the sum",
        seq2seq_logprob,
        ".sum(axis=0)",
        ".mean(axis=0)",
        agrees="one target word",
        hint="Your logarithm is a mean over steps: the probability of a sentence is a product, so its "
        "logarithm is a sum.",
        label="seq2seq-chain",
    ),
    Mutant(
        "end not counted",
        seq2seq_logprob,
        "length_mask(batch.target_lengths, T)",
        "length_mask(np.maximum(batch.target_lengths - 1, 1), T)",
        agrees="one target word",
        hint="Your probability leaves out </s>: without it, the probabilities of all sentences do not sum "
        "to 1.",
        label="seq2seq-chain",
    ),
)

LAGS = (
    Mutant(
        "first step of the target not counted",
        time_lags,
        "(i if reverse else S - 1 - i)",
        "(i if reverse else S - 2 - i)",
        agrees="reversed source",
        hint="Your lags are one step too short when the source is read forwards.",
        label="seq2seq-lag",
    ),
    Mutant(
        "orders of reading exchanged",
        time_lags,
        "i if reverse else S - 1 - i",
        "S - 1 - i if reverse else i",
        agrees="one source word",
        hint="Your two orders of reading are exchanged: forwards, the first word is read first and waits "
        "longest.",
        label="seq2seq-lag",
    ),
)

SCHEDULED = (
    Mutant(
        "coin the wrong way round",
        scheduled_optimum,
        "return epsilon * joint / joint.sum(axis=1, keepdims=True) + (1 - epsilon) * ",
        "return (1 - epsilon) * joint / joint.sum(axis=1, keepdims=True) + epsilon * ",
        agrees="one half",
        hint="Your coin is the wrong way round: epsilon is the share of right words.",
        label="seq2seq-scheduled",
    ),
    Mutant(
        "marginal of the wrong word",
        scheduled_optimum,
        "joint.sum(axis=0)",
        "joint.sum(axis=1)",
        agrees="symmetric joint",
        hint="Your marginal is that of the first word: the second one is predicted.",
        label="seq2seq-scheduled",
    ),
)

MUTANTS = ENCODER + BACKWARD + FORWARD + LOSS + LAGS + SCHEDULED
