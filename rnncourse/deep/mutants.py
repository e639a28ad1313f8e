"""The classic mistakes in stacks, directions, lengths and dropout."""

from rnncourse.deep.numpy import (
    deep_backward,
    deep_forward,
    drop_recurrent,
    dropout_mask,
    reverse_sequences,
)
from rnncourse.grading.mutant import Mutant

REVERSE = (
    Mutant(
        "padding reversed with the sequence",
        reverse_sequences,
        "np.where(t < lengths, lengths - 1 - t, t)",
        "T - 1 - t + 0 * lengths",
        agrees="equal lengths",
        hint="Your reversal turns the padding round too: it then stands first, and the backward direction "
        "starts on it. Turn each sequence round within its own length.",
        label="deep-reverse",
    ),
    Mutant(
        "reversal rolled by one",
        reverse_sequences,
        "np.where(t < lengths, lengths - 1 - t, t)",
        "np.where(t < lengths, (lengths - t) % lengths, t)",
        agrees="one step",
        hint="Your reversal is one step off: the first step goes to the place of the last, n - 1 counted "
        "from 0.",
        label="deep-reverse",
    ),
)
FORWARD = (
    Mutant(
        "backward outputs not turned back",
        deep_forward,
        "outputs.append(reverse_sequences(output, lengths) if d else output)",
        "outputs.append(output)",
        agrees="one step",
        hint="Your backward direction's outputs stand in the order in which they were made: turn them "
        "back, so that both halves of output t belong to step t.",
        label="deep-bidirectional",
    ),
    Mutant(
        "backward direction reads forwards",
        deep_forward,
        "read = reverse_sequences(h, lengths) if d else h",
        "read = h",
        agrees="one step",
        hint="Your backward direction reads the sequence from its first step: it has to start at the last "
        "real one.",
        label="deep-bidirectional",
    ),
    Mutant(
        "directions in the wrong order",
        deep_forward,
        "np.concatenate(outputs, axis=-1)",
        "np.concatenate(outputs[::-1], axis=-1)",
        agrees="one direction",
        hint="Your output has the backward half first: it is forwards beside backwards, in this order.",
        label="deep-bidirectional",
    ),
    Mutant(
        "padding read as input",
        deep_forward,
        "np.asarray(lengths)",
        "0 * np.asarray(lengths) + T",
        agrees="equal lengths",
        hint="Your network reads the padding: the backward direction starts on it, and the final state is "
        "that of step T, not of each sequence's last real step.",
        label="deep-bidirectional",
    ),
    Mutant(
        "states ordered by direction first",
        deep_forward,
        "place = k * directions + d",
        "place = d * len(params) + k",
        agrees="one direction",
        hint="Your states are in the wrong places: layer 0 forwards, layer 0 backwards, then layer 1.",
        label="deep-stack",
    ),
    Mutant(
        "dropout missing",
        deep_forward,
        "h = h * masks[k - 1]",
        "h = h + 0 * masks[k - 1]",
        agrees="no dropout",
        hint="Your layers read the outputs below undropped: multiply by the mask before the next layer "
        "reads.",
        label="deep-stack",
    ),
)
DROPOUT = (
    Mutant(
        "mask not scaled up",
        dropout_mask,
        ".astype(dtype) / float(keep)",
        ".astype(dtype)",
        agrees="keep one",
        hint="Your mask has the mean `keep`: divide what is kept by `keep`, or the layer above sees "
        "smaller numbers in training than in use.",
        label="deep-dropout",
    ),
    Mutant(
        "scaled by what is dropped",
        dropout_mask,
        "/ float(keep)",
        "/ float(1 - keep)",
        agrees="keep one half",
        hint="Your mask is divided by the probability of dropping: its mean is 1 if you divide by that of "
        "keeping.",
        label="deep-dropout",
    ),
    Mutant(
        "mask on the rows",
        drop_recurrent,
        "p.weight_hh * mask)",
        "(p.weight_hh.reshape(-1, H, H) * mask[:, None]).reshape(-1, H))",
        agrees="all units kept",
        hint="Your mask multiplies the rows of weight_hh, which belong to the units that are written: the "
        "dropped state is what the columns read.",
        label="deep-variational",
    ),
)
BACKWARD = (
    Mutant(
        "gradient of one direction only",
        deep_backward,
        "dh = sum(inputs)",
        "dh = inputs[0]",
        agrees="one direction",
        hint="Your gradient of a layer's input comes from the forward direction alone: both directions "
        "read it, so their gradients add up.",
        label="deep-backward",
    ),
    Mutant(
        "dropout missing on the way back",
        deep_backward,
        "dh = dh * masks[k - 1]",
        "dh = dh + 0 * masks[k - 1]",
        agrees="no dropout",
        hint="Your gradient passes dropped units: on the way back multiply by the same mask.",
        label="deep-backward",
    ),
    Mutant(
        "cotangent not turned round",
        deep_backward,
        "read = reverse_sequences(half, lengths) if d else half",
        "read = half",
        agrees="one step",
        hint="Your backward direction gets the gradient of its outputs in the order of the steps: it made "
        "them in the other order.",
        label="deep-backward",
    ),
    Mutant(
        "input's gradient not turned back",
        deep_backward,
        "inputs.append(reverse_sequences(dx, lengths) if d else dx)",
        "inputs.append(dx)",
        agrees="one step",
        hint="Your backward direction's gradient of the input stands in the order in which it read: turn "
        "it back.",
        label="deep-backward",
    ),
)

MUTANTS = REVERSE + FORWARD + DROPOUT + BACKWARD
