"""The classic mistakes in backpropagation through time."""

from rnncourse.bptt.numpy import (
    cross_entropy_backward,
    output_backward,
    rnn_backward,
    rnn_backward_truncated,
)
from rnncourse.grading.mutant import Mutant

BACKWARD = (
    Mutant(
        "carry missing",
        rnn_backward,
        "dh += doutput_t",
        "dh[:] = doutput_t",
        agrees="one step",
        hint="Your gradient is what one gets when the carry is missing: dL/dh_t has a part from its own loss "
        "and a part that comes back from step t + 1.",
        label="bptt-delta",
    ),
    Mutant(
        "own loss missing",
        rnn_backward,
        "zip(doutput[::-1], ",
        "zip(np.concatenate([doutput[-1:], 0 * doutput[:-1]]), ",
        agrees="one step",
        hint="Your gradient starts from the last loss alone: each step's own loss is added on the way back.",
        label="bptt-delta",
    ),
    Mutant(
        "weight_hh transposed on the way back",
        rnn_backward,
        "np.dot(da_t, params.weight_hh, out=dh)",
        "np.dot(da_t, params.weight_hh.T, out=dh)",
        agrees="symmetric weight_hh",
        hint="Your step back multiplies by the transpose: forwards it is h @ W.T, so backwards it is da @ W.",
        label="bptt-delta",
    ),
    Mutant(
        "slope missing",
        rnn_backward,
        "da = 1 - h[1:] ** 2 if",
        "da = np.ones_like(h[1:]) if",
        agrees="relu",
        hint="Your gradient passes the nonlinearity unchanged: multiply by its slope, 1 - h_t ** 2.",
        label="bptt-delta",
    ),
    Mutant(
        "slope taken one step early",
        rnn_backward,
        "da = 1 - h[1:] ** 2 if",
        "da = 1 - h[:-1] ** 2 if",
        agrees="fixed point",
        hint="Your slope is that of the state before the step: it belongs to the state after it.",
        label="bptt-delta",
    ),
    Mutant(
        "slope squared wrongly",
        rnn_backward,
        "da = 1 - h[1:] ** 2 if",
        "da = (1 - h[1:]) ** 2 if",
        agrees="relu",
        hint="Your slope is (1 - h) ** 2: the derivative of tanh is 1 - h ** 2.",
        label="bptt-delta",
    ),
    Mutant(
        "gradient of the final state ignored",
        rnn_backward,
        "dh = np.array(dh_T, dtype=h.dtype)",
        "dh = np.zeros_like(h[0])",
        agrees="no final cotangent",
        hint="Your pass starts from zero: it must start from dh_T.",
        label="bptt-delta",
    ),
    Mutant(
        "weight_hh paired with the state after the step",
        rnn_backward,
        "h[:-1].reshape",
        "h[1:].reshape",
        agrees="fixed point",
        hint="Your dweight_hh pairs each da_t with h_t: step t read h_{t-1}.",
        label="bptt-weights",
    ),
    Mutant(
        "weight_ih from the last step only",
        rnn_backward,
        "weight_ih=flat.T @ x.reshape(T * B, D)",
        "weight_ih=da[-1].T @ x[-1]",
        agrees="one step",
        hint="Your dweight_ih is that of the last step: the weights are shared, so all steps add up.",
        label="bptt-weights",
    ),
    Mutant(
        "bias averaged",
        rnn_backward,
        "dbias = flat.sum(axis=0)",
        "dbias = da.sum(axis=0).mean(axis=0)",
        agrees="one sequence",
        hint="Your bias gradient is averaged over the batch: the loss sums over it, so its gradient does.",
        label="bptt-weights",
    ),
)

LOSS = (
    Mutant(
        "mean's factor missing",
        cross_entropy_backward,
        "dloss * cache.weight",
        "dloss * (cache.weight > 0)",
        agrees="sum of the loss",
        hint="Your gradient is that of the summed loss: the mean divides it by the number of positions.",
        label="bptt-softmax",
    ),
    Mutant(
        "upstream gradient dropped",
        cross_entropy_backward,
        "dloss * cache.weight",
        "cache.weight",
        agrees="upstream gradient one",
        hint="Your gradient ignores dloss, the gradient that comes from above.",
        label="bptt-softmax",
    ),
    Mutant(
        "output bias averaged",
        output_backward,
        "flat.sum(axis=0)",
        "flat.mean(axis=0)",
        agrees="one position",
        hint="Your bias gradient is averaged over the positions: every position adds its own.",
        label="bptt-output",
    ),
)

TRUNCATED = (
    Mutant(
        "losses sent back twice",
        rnn_backward_truncated,
        "dwindow[: start - first] = 0",
        "dwindow[:0] = 0",
        agrees="equal windows",
        hint="Your windows overlap, and the losses in the overlap are sent back more than once.",
        label="bptt-truncated",
    ),
    Mutant(
        "window too long",
        rnn_backward_truncated,
        "first = max(0, stop - k2)",
        "first = max(0, start - k2)",
        agrees="window as long as the sequence",
        hint="Your window covers k2 steps before the block: it must cover k2 steps with the block's own.",
        label="bptt-truncated",
    ),
    Mutant(
        "gradient not cut",
        rnn_backward_truncated,
        "first = max(0, stop - k2)",
        "first = 0",
        agrees="window as long as the sequence",
        hint="Your gradient is the full one: each window reaches back to step 1.",
        label="bptt-truncated",
    ),
    Mutant(
        "state reset at each window",
        rnn_backward_truncated,
        "h[first : stop + 1], params",
        "np.concatenate([0 * h[first : first + 1], h[first + 1 : stop + 1]]), params",
        agrees="zero state, one window",
        hint="Your windows start from a zero state: truncation cuts the gradient, the state is carried.",
        label="bptt-truncated",
    ),
)

MUTANTS = BACKWARD + LOSS + TRUNCATED
