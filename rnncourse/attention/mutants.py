"""The classic mistakes in attention."""

from rnncourse.attention.numpy import (
    additive_backward,
    additive_forward,
    alignment_error_rate,
    attend_backward,
    attend_forward,
    decoder_backward,
    decoder_forward,
    dot_backward,
    dot_forward,
    general_backward,
)
from rnncourse.grading.mutant import Mutant

SCORES = (
    Mutant(
        "tanh of each part alone",
        additive_forward,
        "np.tanh(from_query[:, :, None] + from_keys[:, None])",
        "np.tanh(from_query)[:, :, None] + np.tanh(from_keys)[:, None]",
        agrees="zero queries",
        hint="Your hidden layer takes tanh of query and key apart, so every query orders the source in the "
        "same way: add the two first, then take tanh.",
        label="attention-additive",
    ),
    Mutant(
        "no tanh",
        additive_forward,
        "np.tanh(from_query[:, :, None] + from_keys[:, None])",
        "from_query[:, :, None] + from_keys[:, None]",
        agrees="no hidden layer to speak of",
        hint="Your score has no tanh between its two layers: it is linear, and the query's part is the same "
        "for all source states.",
        label="attention-additive",
    ),
    Mutant(
        "product not scaled",
        dot_forward,
        "_factor(query, params)",
        "_factor(query[..., :1], params)",
        agrees="one unit",
        hint="Your scores are the products themselves: divide them by the root of the query's size.",
        label="attention-scaled",
    ),
    Mutant(
        "gradient of the product not scaled",
        dot_backward,
        "_factor(query, params)",
        "_factor(query[..., :1], params)",
        agrees="one unit",
        hint="Your gradient forgets the factor: what multiplies on the way there multiplies on the way back.",
        label="attention-ddot",
    ),
    Mutant(
        "matrix transposed on the way back",
        general_backward,
        "dprojected @ params.weight.T",
        "dprojected @ params.weight",
        agrees="symmetric weight",
        hint="Your gradient of the query multiplies by the matrix the wrong way round.",
        label="attention-dgeneral",
    ),
    Mutant(
        "slope of tanh missing",
        additive_backward,
        "(1 - features**2)",
        "(1 - 0 * features)",
        agrees="no hidden layer to speak of",
        hint="Your gradient passes tanh unchanged: multiply by its slope, 1 - tanh(a) ** 2.",
        label="attention-dadditive",
    ),
    Mutant(
        "keys' gradient from the last query only",
        additive_backward,
        "da.sum(1)",
        "da[:, -1]",
        agrees="one target step",
        hint="Your gradient of the keys comes from one query: every query reads every key, so sum over t.",
        label="attention-dadditive",
    ),
)

ATTEND = (
    Mutant(
        "padding not masked",
        attend_forward,
        "softmax(_masked(scores, _check_mask(mask, *scores.shape)))",
        "softmax(scores)",
        agrees="no padding",
        hint="Your weights give padding a share: its scores must be minus infinity before the softmax.",
        label="attention-weights",
    ),
    Mutant(
        "masked after the softmax",
        attend_forward,
        "softmax(_masked(scores, _check_mask(mask, *scores.shape)))",
        "softmax(scores) * (True if mask is None else mask)",
        agrees="no padding",
        hint="Your weights are masked after the softmax, so they do not sum to one: mask the scores before "
        "it.",
        label="attention-weights",
    ),
    Mutant(
        "softmax over the queries",
        attend_forward,
        "softmax(_masked(scores, _check_mask(mask, *scores.shape)))",
        "softmax(np.where(True if mask is None else mask, scores, -1e30).swapaxes(1, 2)).swapaxes(1, 2) "
        "* (scores.shape[1] / scores.shape[2])",
        agrees="no padding, all scores equal",
        hint="Your softmax runs over the target steps: each step shares out one unit over the source.",
        label="attention-weights",
    ),
)

ATTEND_BACKWARD = (
    Mutant(
        "softmax's mean missing",
        attend_backward,
        "(dtotal - (weights * dtotal).sum(-1, keepdims=True))",
        "dtotal",
        agrees="gradients with a mean of zero",
        hint="Your gradient of a score leaves out the mean: raising one score lowers all other weights, so "
        "subtract the weighted mean of the gradients of the weights.",
        label="attention-dscores",
    ),
    Mutant(
        "plain mean in place of the weighted one",
        attend_backward,
        "(weights * dtotal).sum(-1, keepdims=True)",
        "dtotal.mean(-1, keepdims=True)",
        agrees="equal scores, no padding",
        hint="Your gradient subtracts the plain mean over the source: it is the mean under the weights.",
        label="attention-dscores",
    ),
    Mutant(
        "weights' own gradient ignored",
        attend_backward,
        "dweights + dcontext",
        "0 * dweights + dcontext",
        agrees="weights unused",
        hint="Your gradient ignores dweights: the weights are a result too, with a gradient of their own.",
        label="attention-dscores",
    ),
    Mutant(
        "values' gradient not weighted",
        attend_backward,
        "(weights.swapaxes(1, 2) @ dcontext)",
        "((0 * weights.swapaxes(1, 2) + 1 / weights.shape[2]) @ dcontext)",
        agrees="equal scores, no padding",
        hint="Your values all get the same gradient: each gets its weight's share.",
        label="attention-dvalues",
    ),
)

DECODERS = (
    Mutant(
        "no tanh before the output",
        decoder_backward,
        "dcombined * (1 - cache.combined**2)",
        "dcombined * (1 - 0 * cache.combined**2)",
        agrees="Luong, nothing combined",
        hint="Your gradient passes the tanh before the output layer unchanged.",
        label="attention-readout",
    ),
    Mutant(
        "query's gradient lost",
        decoder_backward,
        "gru_backward(doutput + dquery, dstate, cache.cell[0])",
        "gru_backward(doutput, dstate, cache.cell[0])",
        agrees="Bahdanau",
        hint="Your decoder's state gets no gradient as a query: it is read by the output and by the scores.",
        label="attention-dluong",
    ),
    Mutant(
        "context's way through the cell lost",
        decoder_backward,
        "dcontext[t, None] + dinput[..., E:]",
        "dcontext[t, None]",
        agrees="Luong",
        hint="Your context gets the gradient of the output alone: in Bahdanau's decoder the cell reads it "
        "too.",
        label="attention-dbahdanau",
    ),
    Mutant(
        "state and context swapped",
        decoder_forward,
        "np.concatenate([output, context], axis=-1)",
        "np.concatenate([context, output], axis=-1)",
        agrees="Luong, both halves of combine equal",
        hint="Your combining layer reads context and state in the wrong order.",
        label="attention-readout",
    ),
)

LINKS = (
    Mutant(
        "precision only",
        alignment_error_rate,
        "len(a) + len(s)",
        "2 * len(a)",
        agrees="as many links",
        hint="Your rate counts the guessed links twice: the right ones that were missed count as well.",
        label="attention-aer",
    ),
)

MUTANTS = SCORES + ATTEND + ATTEND_BACKWARD + DECODERS + LINKS
