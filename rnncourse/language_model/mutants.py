"""The classic mistakes in language models and in sampling from them."""

from rnncourse.grading.mutant import Mutant
from rnncourse.language_model.numpy import (
    at_temperature,
    entropy_slope,
    exposure,
    influence,
    keep_nucleus,
    keep_top_k,
    lm_backward,
    lm_forward,
    lm_logprob,
    lm_loss,
)

TEMPERATURE = (
    Mutant(
        "temperature divides the probabilities",
        at_temperature,
        "softmax(_scaled(logits, tau))",
        "softmax(np.log(softmax(_scaled(logits, 1)) / tau))",
        agrees="temperature one",
        hint="Your temperature divides the probabilities: scaled back to a sum of 1 they are what they were. "
        "It divides the logits.",
        label="lm-temperature",
    ),
    Mutant(
        "temperature multiplies",
        at_temperature,
        "_scaled(logits, tau)",
        "_scaled(logits, 1 / tau)",
        agrees="temperature one",
        hint="Your temperature multiplies the logits: a low temperature has to make the likely likelier.",
        label="lm-temperature",
    ),
)
TOP_K = (
    Mutant(
        "least likely kept",
        keep_top_k,
        "np.argsort(-logits,",
        "np.argsort(logits,",
        agrees="nothing cut",
        hint="Your top-k keeps the k least likely tokens.",
        label="lm-top-k",
    ),
    Mutant(
        "top-k not scaled back",
        keep_top_k,
        "p / p.sum(axis=-1, keepdims=True)",
        "p / softmax(logits).sum(axis=-1, keepdims=True)",
        agrees="nothing cut",
        hint="Your probabilities no longer sum to 1: divide those that are kept by their sum.",
        label="lm-top-k",
    ),
)
NUCLEUS = (
    Mutant(
        "token that reaches the mass is cut",
        keep_nucleus,
        "np.cumsum(ranked, axis=-1) - ranked < mass",
        "(np.cumsum(ranked, axis=-1) <= mass) | (np.arange(ranked.shape[-1]) == 0)",
        agrees="mass reached exactly",
        hint="Your nucleus stops before the token with which the sum reaches the mass: the set has to hold "
        "at least that much.",
        label="lm-nucleus",
    ),
    Mutant(
        "nucleus by place, not by token",
        keep_nucleus,
        "np.put_along_axis(kept, order, np.cumsum(ranked, axis=-1) - ranked < mass, axis=-1)",
        "np.copyto(kept, np.cumsum(ranked, axis=-1) - ranked < mass)",
        agrees="sorted logits",
        hint="Your nucleus is right in the order of the probabilities, but you keep the tokens at these "
        "places: undo the sorting.",
        label="lm-nucleus",
    ),
    Mutant(
        "nucleus without sorting",
        keep_nucleus,
        'np.argsort(-logits, axis=-1, kind="stable")',
        "np.broadcast_to(np.arange(logits.shape[-1]), logits.shape)",
        agrees="sorted logits",
        hint="Your nucleus adds up the probabilities in the order of the ids: begin with the likeliest.",
        label="lm-nucleus",
    ),
    Mutant(
        "nucleus not scaled back",
        keep_nucleus,
        "p / p.sum(axis=-1, keepdims=True)",
        "p / softmax(logits).sum(axis=-1, keepdims=True)",
        agrees="nothing cut",
        hint="Your probabilities no longer sum to 1: divide those that are kept by their sum.",
        label="lm-nucleus",
    ),
)
TIED = (
    Mutant(
        "tied gradient from the output alone",
        lm_backward,
        "dembedding + dweights.weight",
        "dweights.weight",
        agrees="untied",
        hint="Your gradient has the output layer's part alone: the same table is read at the input.",
        label="lm-dtied",
    ),
    Mutant(
        "tied gradient from the input alone",
        lm_backward,
        "dembedding + dweights.weight",
        "dembedding",
        agrees="untied",
        hint="Your gradient has the lookup's part alone: the same table is the output layer's weight.",
        label="lm-dtied",
    ),
    Mutant(
        "repeated tokens lost",
        lm_backward,
        "embedding_backward(dx, cache.embedding)",
        "np.zeros_like(params.embedding)\n    dembedding[cache.embedding.ids] = dx",
        agrees="each token once",
        hint="Your gradient keeps one place of a token that occurs several times: its row is the sum "
        "over all.",
        label="lm-dembedding",
    ),
)
LOSS = (
    Mutant(
        "old state handed on",
        lm_loss,
        "return float(loss), after, dparams",
        "return float(loss), state, dparams",
        agrees="zero weights",
        hint="You hand on the state from before the batch: the next batch goes on where this one ended.",
        label="lm-carried",
    ),
    Mutant(
        "predicts what it has read",
        lm_loss,
        "np.asarray(y)",
        "np.asarray(x)",
        agrees="one token again and again",
        hint="Your targets are the inputs: each token is the target of the one before it.",
        label="lm-loss",
    ),
    Mutant(
        "sum in place of the mean",
        lm_loss,
        "cross_entropy_forward(logits, np.asarray(y))",
        'cross_entropy_forward(logits, np.asarray(y), None, "sum")',
        agrees="one position",
        hint="Your loss is the sum over the batch: divide by its T B positions.",
        label="lm-loss",
    ),
)
OTHERS = (
    Mutant(
        "state ignored",
        lm_forward,
        "forward(x, state, params.cell)",
        "forward(x, zero_state(params, ids.shape[1]), params.cell)",
        agrees="zero state",
        hint="Your model starts every batch from a zero state: what it was handed is lost.",
        label="lm-model",
    ),
    Mutant(
        "probability of the token read",
        lm_logprob,
        "ids[1:, :, None]",
        "ids[:-1, :, None]",
        agrees="one token again and again",
        hint="You look up the token that was read: the logits are for the one after it.",
        label="lm-chain",
    ),
    Mutant(
        "slope over the square",
        entropy_slope,
        ".sum(axis=-1) / tau)",
        ".sum(axis=-1) / 1)",
        agrees="temperature one",
        hint="Your slope divides by the square of the temperature: there is one more factor, from "
        "d(1 / tau).",
        label="lm-slope",
    ),
    Mutant(
        "all predictions at once",
        influence,
        "np.eye(T, dtype=bool)",
        "np.ones((T, T), bool)",
        agrees="one step",
        hint="Your gradient is that of the sum over all predictions: send them back one by one.",
        label="lm-influence",
    ),
    Mutant(
        "rank from below",
        exposure,
        "others > secret",
        "others < secret",
        agrees="secret in the middle",
        hint="Your rank counts the candidates that are less likely: the likeliest has rank 1.",
        label="lm-exposure",
    ),
    Mutant(
        "ties not counted",
        exposure,
        "(others == secret).sum() / 2",
        "0 * (others == secret).sum()",
        agrees="no ties",
        hint="Your rank leaves out the candidates of equal probability: half of them count as above.",
        label="lm-exposure",
    ),
)
MUTANTS = TEMPERATURE + TOP_K + NUCLEUS + TIED + LOSS + OTHERS
