"""The classic mistakes with windows, time delays and the Jordan network."""

from rnncourse.grading.mutant import Mutant
from rnncourse.sequences.numpy import (
    delay_backward,
    delay_forward,
    jordan_backward,
    jordan_forward,
    tdnn_backward,
    window_backward,
    window_forward,
    window_optimum,
)

BOUND = (
    Mutant(
        "window one symbol short",
        window_optimum,
        "t - n) : t]",
        "t - n + 1) : t]",
        agrees="nothing to guess",
        hint="Your window sees one symbol too few: a window of n holds the n symbols before the step.",
        label="sequences-bound",
    ),
    Mutant(
        "window of the whole past",
        window_optimum,
        "max(0, t - n) : t]",
        "0 : t]",
        agrees="window of the whole past",
        hint="Your window sees all symbols before the step: what lies more than n steps back must not count.",
        label="sequences-bound",
    ),
    Mutant(
        "sequences counted, not weighed",
        window_optimum,
        "(window.reshape(-1), symbol), probabilities)",
        "(window.reshape(-1), symbol), np.ones_like(probabilities) / len(probabilities))",
        agrees="equal probabilities",
        hint="Your sum gives every sequence the same weight: each counts with its probability.",
        label="sequences-bound",
    ),
    Mutant(
        "entropy of window and symbol together",
        window_optimum,
        "np.log(given[occurs] / joint[occurs])",
        "-np.log(joint[occurs])",
        agrees="nothing to guess",
        hint="Your loss is the entropy of window and symbol together: divide by the window's own probability "
        "before you take the logarithm.",
        label="sequences-bound",
    ),
)

DELAY = (
    Mutant(
        "bias missing",
        delay_forward,
        "a += params.bias",
        "a += 0 * params.bias",
        agrees="zero bias",
        hint="Your layer leaves out the bias.",
        label="sequences-delay",
    ),
    Mutant(
        "kernel read backwards",
        delay_forward,
        "params.weight.transpose(2, 1, 0)",
        "params.weight[:, :, ::-1].transpose(2, 1, 0)",
        agrees="symmetric kernel",
        hint="Your layer reads its weights backwards: the last of the n matrices is for the newest input.",
        label="sequences-delay",
    ),
    Mutant(
        "oldest input missing",
        delay_forward,
        "a = rows[: steps * B] @ kernels[0]",
        "a = (n == 1) * rows[: steps * B] @ kernels[0]",
        agrees="one delay",
        hint="Your layer leaves out the oldest input: add up the products with all n inputs of the window.",
        label="sequences-delay",
    ),
    Mutant(
        "every delay reads the oldest input",
        delay_forward,
        "rows[k * B : (k + steps) * B] @",
        "rows[0 : steps * B] @",
        agrees="one delay",
        hint="All of your n products read the same input: the one with matrix k reads that of step t + k.",
        label="sequences-delay",
    ),
)

DELAY_BACK = (
    Mutant(
        "gradient of overlapping windows overwritten",
        delay_backward,
        "dx[read] += flat",
        "dx[read] = flat",
        agrees="one delay",
        hint="Your gradient by the inputs keeps one window's part: an input is read by up to n outputs, and "
        "their parts add up.",
        label="sequences-delay-back",
    ),
    Mutant(
        "matrices in the wrong order on the way back",
        delay_backward,
        "dx[read] += flat @ kernels[k]",
        "dx[read] += flat @ kernels[n - 1 - k]",
        agrees="one delay",
        hint="Your gradient by the inputs uses the matrices in the wrong order: matrix k read the input of "
        "step t + k and sends its part back there.",
        label="sequences-delay-back",
    ),
    Mutant(
        "bias gradient averaged",
        delay_backward,
        "flat.sum(axis=0)",
        "flat.mean(axis=0)",
        agrees="one position",
        hint="Your bias gradient is averaged over steps and sequences: every position adds its own.",
        label="sequences-delay-back",
    ),
)

WINDOW = (
    Mutant(
        "past forgotten",
        window_forward,
        "np.concatenate([past, x])",
        "np.concatenate([0 * past, x])",
        agrees="zero past",
        hint="Your first windows see zeros: they must see the inputs that came before.",
        label="sequences-window",
    ),
    Mutant(
        "slope missing",
        tdnn_backward,
        "doutput * (1 - output**2)",
        "doutput * np.ones_like(output)",
        agrees="zero output",
        hint="Your gradient passes the tanh unchanged: multiply by its slope.",
        label="sequences-tdnn-back",
    ),
    Mutant(
        "cotangent of the carried window ignored",
        window_backward,
        "dseen[len(seen) - older :] += dpast",
        "dseen[len(seen) - older :] += 0 * dpast",
        agrees="no cotangent of the past",
        hint="Your gradient ignores what comes back through the inputs that were carried on.",
        label="sequences-tdnn-back",
    ),
)

JORDAN = (
    Mutant(
        "context does not decay",
        jordan_forward,
        "alpha * c[t] + (",
        "(",
        agrees="no decay",
        hint="Your context is the last output alone: alpha times the context before it is added.",
        label="sequences-jordan",
    ),
    Mutant(
        "decay on the output as well",
        jordan_forward,
        "alpha * c[t] + (y[t] if teacher is None else teacher[t])",
        "alpha * c[t] + (1 - alpha) * (y[t] if teacher is None else teacher[t])",
        agrees="no decay",
        hint="Your context is a weighted mean: the output is added whole, only the old context is scaled.",
        label="sequences-jordan",
    ),
    Mutant(
        "teacher ignored",
        jordan_forward,
        "y[t] if teacher is None else teacher[t]",
        "y[t]",
        agrees="own outputs fed",
        hint="Your context takes the network's own outputs: with a teacher, it takes the teacher's.",
        label="sequences-jordan",
    ),
    Mutant(
        "logits fed back",
        jordan_forward,
        "y[t] if teacher is None else teacher[t]",
        "logits[t] if teacher is None else teacher[t]",
        agrees="teacher forced",
        hint="Your context takes the logits: it takes the output, their softmax.",
        label="sequences-jordan",
    ),
    Mutant(
        "initial context ignored",
        jordan_forward,
        "c[0] = c_0",
        "c[0] = 0",
        agrees="zero initial context",
        hint="Your sequence starts from an empty context: it must start from c_0.",
        label="sequences-jordan",
    ),
)

JORDAN_BACK = (
    Mutant(
        "carry of the context does not decay",
        jordan_backward,
        "dc = alpha * dc + ",
        "dc = ",
        agrees="no decay",
        hint="Your gradient by the context loses the way past the network: add alpha times what comes back.",
        label="sequences-jordan-back",
    ),
    Mutant(
        "feedback missing",
        jordan_backward,
        "if not forced:",
        "if False:",
        agrees="teacher forced",
        hint="Your gradient does not go back through the outputs that were fed into the context.",
        label="sequences-jordan-back",
    ),
    Mutant(
        "softmax taken for independent outputs",
        jordan_backward,
        "y[t] * (dc - (dc * y[t]).sum(axis=-1, keepdims=True))",
        "y[t] * (1 - y[t]) * dc",
        agrees="teacher forced",
        hint="Your way back through the softmax keeps its diagonal only: every logit moves every output.",
        label="sequences-jordan-back",
    ),
)

MUTANTS = BOUND + DELAY + DELAY_BACK + WINDOW + JORDAN + JORDAN_BACK
