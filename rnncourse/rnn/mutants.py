"""The classic mistakes in a recurrent network's forward pass and loss."""

from rnncourse.grading.mutant import Mutant
from rnncourse.rnn.numpy import cross_entropy_forward, output_forward, rnn_forward, rnn_step

STEP = (
    Mutant(
        "recurrent term missing",
        rnn_step,
        " + h @ params.weight_hh.T",
        "",
        agrees="zero state",
        hint="Your step ignores the hidden state before it: the product with weight_hh is missing.",
        label="rnn-state",
    ),
    Mutant(
        "weight_hh transposed",
        rnn_step,
        "h @ params.weight_hh.T",
        "h @ params.weight_hh",
        agrees="symmetric weight_hh",
        hint="Your recurrent product uses weight_hh the other way round: row i of it makes unit i, "
        "so a batch of rows is multiplied by its transpose.",
        label="rnn-state",
    ),
    Mutant(
        "bias_hh missing",
        rnn_step,
        " + params.bias_hh",
        "",
        agrees="zero biases",
        hint="Your step leaves out bias_hh: there are two biases.",
        label="rnn-state",
    ),
    Mutant(
        "bias_ih missing",
        rnn_step,
        " + params.bias_ih",
        "",
        agrees="zero biases",
        hint="Your step leaves out bias_ih: there are two biases.",
        label="rnn-state",
    ),
    Mutant(
        "nonlinearity missing",
        rnn_step,
        "np.tanh(a) if",
        "a if",
        agrees="relu",
        hint="Your step returns the pre-activation: the nonlinearity is missing.",
        label="rnn-state",
    ),
    Mutant(
        "relu for tanh",
        rnn_step,
        "np.tanh(a) if",
        "np.maximum(a, 0) if",
        agrees="relu",
        hint="Your step uses ReLU where tanh is asked for.",
        label="rnn-state",
    ),
)

FORWARD = (
    Mutant(
        "state not carried",
        rnn_forward,
        "zip(states, states[1:]",
        "zip(states[:1] * T, states[1:]",
        agrees="one step",
        hint="Every one of your steps starts from h_0: the state of step t must enter step t + 1.",
        label="rnn-forward",
    ),
    Mutant(
        "initial state ignored",
        rnn_forward,
        "h[0] = h_0",
        "h[0] = 0",
        agrees="zero state",
        hint="Your sequence starts from zero: it must start from h_0.",
        label="rnn-forward",
    ),
    Mutant(
        "states returned one step early",
        rnn_forward,
        "return h[1:]",
        "return h[:-1]",
        agrees="fixed point",
        hint="Your output holds the states before each step: output[t] is the state after input x[t].",
        label="rnn-forward",
    ),
    Mutant(
        "inputs read backwards",
        rnn_forward,
        "np.matmul(x.reshape(T * B, D)",
        "np.matmul(x[::-1].reshape(T * B, D)",
        agrees="one step",
        hint="Your loop reads the sequence from its end.",
        label="rnn-forward",
    ),
    Mutant(
        "bias_hh missing from the sequence",
        rnn_forward,
        "params.bias_ih + params.bias_hh",
        "params.bias_ih",
        agrees="zero biases",
        hint="Your forward pass leaves out bias_hh: there are two biases.",
        label="rnn-forward",
    ),
)

LOSS = (
    Mutant(
        "mean over padding too",
        cross_entropy_forward,
        "weight /= weight.sum()",
        "weight /= weight.size",
        agrees="no padding",
        hint="Your mean divides by T * B: divide by the number of positions that the mask keeps.",
        label="rnn-loss",
    ),
    Mutant(
        "mask ignored",
        cross_entropy_forward,
        "weight = mask.astype(logits.dtype)",
        "mask = np.ones_like(mask); weight = mask.astype(logits.dtype)",
        agrees="no padding",
        hint="Your loss counts the padded positions: the mask takes them out of the sum and of the count.",
        label="rnn-loss",
    ),
    Mutant(
        "sum for mean",
        cross_entropy_forward,
        "weight /= weight.sum()",
        "weight /= 1",
        agrees="one position",
        hint="Your loss is the sum over the positions: the mean is asked for.",
        label="rnn-loss",
    ),
    Mutant(
        "mean over steps of means over sequences",
        cross_entropy_forward,
        "weight /= weight.sum()",
        "weight /= np.maximum(weight.sum(axis=0), 1) * weight.any(axis=0).sum()",
        agrees="no padding",
        hint="Your mean is taken within each sequence first: positions of short sequences count for more.",
        label="rnn-loss",
    ),
)

OUTPUT = (
    Mutant(
        "output bias missing",
        output_forward,
        " + params.bias",
        "",
        agrees="zero biases",
        hint="Your output layer leaves out its bias.",
        label="rnn-output",
    ),
)

MUTANTS = STEP + FORWARD + LOSS + OUTPUT
