"""The classic mistakes in the gated recurrent unit."""

from rnncourse.grading.mutant import Mutant
from rnncourse.gru.numpy import (
    flip_update,
    gru_backward,
    gru_forward,
    gru_reset_before_backward,
    gru_reset_before_forward,
    gru_step,
)

STEP = (
    Mutant(
        "update gate the other way round",
        gru_step,
        "(1 - z) * n + z * h",
        "z * n + (1 - z) * h",
        agrees="update gate one half",
        hint="Your update gate works the other way round: in this form z is the share of the old state that "
        "stays, 1 - z that of the candidate.",
        label="gru-state",
    ),
    Mutant(
        "reset before the product",
        gru_step,
        "r * from_state[:, 2 * H :]",
        "((r * h) @ params.weight_hh[2 * H :].T + params.bias_hh[2 * H :])",
        agrees="reset gate one",
        hint="Your reset gate multiplies the state before the matrix product, as in the paper: in torch.nn's "
        "form it multiplies the product, bias included.",
        label="gru-candidate",
    ),
    Mutant(
        "recurrent bias outside the reset",
        gru_step,
        "r * from_state[:, 2 * H :]",
        "r * (from_state[:, 2 * H :] - params.bias_hh[2 * H :]) + params.bias_hh[2 * H :]",
        agrees="zero biases",
        hint="Your candidate's recurrent bias stands outside the reset: r multiplies it too.",
        label="gru-candidate",
    ),
    Mutant(
        "reset ignored",
        gru_step,
        "r * from_state[:, 2 * H :]",
        "from_state[:, 2 * H :]",
        agrees="reset gate one",
        hint="Your reset gate does nothing: it multiplies what the candidate takes from the old state.",
        label="gru-candidate",
    ),
    Mutant(
        "reset erases the state",
        gru_step,
        "n + z * h",
        "n + z * (r * h)",
        agrees="reset gate one",
        hint="Your reset gate multiplies the state that is kept: it acts inside the candidate and nowhere "
        "else, and z alone decides what is kept.",
        label="gru-state",
    ),
    Mutant(
        "gates swapped",
        gru_step,
        "r, z = np.split",
        "z, r = np.split",
        agrees="equal gates",
        hint="Your gates are swapped: the rows of the weights are those of r, z, n, in this order.",
        label="gru-gates",
    ),
    Mutant(
        "input bias dropped",
        gru_step,
        "+ params.bias_ih",
        "+ 0 * params.bias_ih",
        agrees="zero biases",
        hint="Your step leaves bias_ih out: here both biases count, and their sum does not replace them.",
        label="gru-gates",
    ),
    Mutant(
        "candidate through the sigmoid",
        gru_step,
        "np.tanh(",
        "sigmoid(",
        agrees="update gate one",
        hint="Your candidate goes through the sigmoid: gates do, the candidate goes through tanh.",
        label="gru-candidate",
    ),
)

FORWARD = (
    Mutant(
        "state not carried",
        gru_forward,
        "previous.dot(weight_hh_T",
        "states[0].dot(weight_hh_T",
        agrees="one step",
        hint="Your products read the initial state at every step: step t reads h_{t-1}.",
        label="gru-gates",
    ),
    Mutant(
        "recurrent bias added on the input side",
        gru_forward,
        "bias[2 * H :] = params.bias_ih[2 * H :]",
        "bias[2 * H :] += 0",
        agrees="zero biases",
        hint="Your candidate's recurrent bias is added twice: once on the input side and once in the reset.",
        label="gru-candidate",
    ),
)

BACKWARD = (
    Mutant(
        "direct path missing",
        gru_backward,
        "dh *= z_t",
        "dh *= 0 * z_t",
        agrees="update gate zero",
        hint="Your gradient at the state before the step lacks the direct path: the share z of the old state "
        "that was kept passes its gradient on.",
        label="gru-carry",
    ),
    Mutant(
        "path through the gates missing",
        gru_backward,
        "flat_t.dot(params.weight_hh, out=product)",
        "flat_t.dot(0 * params.weight_hh, out=product)",
        agrees="zero weight_hh",
        hint="Your gradient at the state before the step has the direct path alone: the gates and the "
        "candidate read that state too.",
        label="gru-carry",
    ),
    Mutant(
        "one gradient for both biases",
        gru_backward,
        "flat.sum(axis=0), dbias_hh)",
        "flat.sum(axis=0), flat.sum(axis=0))",
        agrees="reset gate one",
        hint="Your two biases have the same gradient: the candidate's part of bias_hh stands inside the "
        "reset, so its gradient is multiplied by r.",
        label="gru-weights",
    ),
    Mutant(
        "reset missing on the way back",
        gru_backward,
        "np.multiply(da_n, r, out=da[:, :, 2])",
        "np.multiply(da_n, r**0, out=da[:, :, 2])",
        agrees="reset gate one",
        hint="Your gradient passes the reset gate unchanged: what reaches the candidate's recurrent product "
        "is multiplied by r.",
        label="gru-delta",
    ),
    Mutant(
        "reset on the input's way back too",
        gru_backward,
        "da[:, :, 2] = da_n",
        "da[:, :, 2] = da_n * r",
        agrees="reset gate one",
        hint="Your gradient of the input side is multiplied by r: the reset gate stands on the recurrent "
        "side alone.",
        label="gru-weights",
    ),
    Mutant(
        "update gate's sign",
        gru_backward,
        "h[:-1] - n",
        "n - h[:-1]",
        agrees="update gate one",
        hint="Your gradient of z has the wrong sign: z multiplies the old state and 1 - z the candidate.",
        label="gru-delta",
    ),
    Mutant(
        "update gate compares with the new state",
        gru_backward,
        "h[:-1] - n",
        "h[1:] - n",
        agrees="update gate one",
        hint="Your gradient of z compares the candidate with the state after the step: z keeps the state "
        "before it.",
        label="gru-delta",
    ),
    Mutant(
        "slope of the candidate missing",
        gru_backward,
        "(1 - z) * (1 - n**2)",
        "(1 - z) * n**0",
        agrees="zero candidate",
        hint="Your gradient passes the candidate's tanh unchanged: multiply by its slope, 1 - n ** 2.",
        label="gru-delta",
    ),
    Mutant(
        "reset gate's gradient from the state",
        gru_backward,
        "recurrent * r * (1 - r)",
        "h[:-1] * r * (1 - r)",
        agrees="identity candidate",
        hint="Your gradient of r has the state as its factor: r multiplies the recurrent product, bias "
        "included, so that product is the factor.",
        label="gru-delta",
    ),
)

SEQUENCE = (
    Mutant(
        "own loss missing",
        gru_backward,
        "dh += doutput_t",
        "dh += 0 * doutput_t",
        agrees="no cotangent of the output",
        hint="Your gradient starts from the last state alone: each step's own loss is added on the way back.",
        label="gru-carry",
    ),
    Mutant(
        "gradient of the final state ignored",
        gru_backward,
        "np.array(dh_T, dtype=h.dtype)",
        "np.zeros_like(h[0])",
        agrees="no final cotangent",
        hint="Your pass starts from zero: it must start from dh_T.",
        label="gru-carry",
    ),
    Mutant(
        "weight_hh paired with the state after the step",
        gru_backward,
        "flat.T @ h[:-1].reshape",
        "flat.T @ h[1:].reshape",
        agrees="update gate one",
        hint="Your dweight_hh pairs each step with h_t: step t read h_{t-1}.",
        label="gru-weights",
    ),
)

BEFORE_FORWARD = (
    Mutant(
        "reset after the product",
        gru_reset_before_forward,
        "recurrent[t] @ weight_n.T",
        "r * (h[t] @ weight_n.T)",
        agrees="reset gate one",
        hint="Your reset gate multiplies the matrix product, as in torch.nn: here it multiplies the state, "
        "before the product.",
        label="gru-before",
    ),
    Mutant(
        "update gate of the paper's form the other way round",
        gru_reset_before_forward,
        "(1 - z) * n + z * h[t]",
        "z * n + (1 - z) * h[t]",
        agrees="update gate one half",
        hint="Your update gate works the other way round: here z is the share of the old state that stays.",
        label="gru-state",
    ),
    Mutant(
        "reset erases the state in the paper's form",
        gru_reset_before_forward,
        "z * h[t]",
        "z * recurrent[t]",
        agrees="reset gate one",
        hint="Your reset gate multiplies the state that is kept, too: it acts on what the candidate reads "
        "alone.",
        label="gru-state",
    ),
    Mutant(
        "gates of the paper's form swapped",
        gru_reset_before_forward,
        "r, z = rz[:, :H], rz[:, H:]",
        "z, r = rz[:, :H], rz[:, H:]",
        agrees="equal gates",
        hint="Your gates are swapped: the rows of the weights are those of r, z, n, in this order.",
        label="gru-gates",
    ),
    Mutant(
        "biases of the paper's form dropped",
        gru_reset_before_forward,
        "params.bias_ih + params.bias_hh",
        "0 * params.bias_ih",
        agrees="zero biases",
        hint="Your step leaves biases out: here the sum of the two is added to all pre-activations.",
        label="gru-before",
    ),
    Mutant(
        "reset ignored in the paper's form",
        gru_reset_before_forward,
        "recurrent[t] = r * h[t]",
        "recurrent[t] = h[t]",
        agrees="reset gate one",
        hint="Your reset gate does nothing: the candidate reads r * h.",
        label="gru-before",
    ),
)

BEFORE_BACKWARD = (
    Mutant(
        "direct path missing in the paper's form",
        gru_reset_before_backward,
        "dh * z + dreset",
        "0 * dh + dreset",
        agrees="update gate zero",
        hint="Your gradient at the state before the step lacks the direct path through z.",
        label="gru-before-delta",
    ),
    Mutant(
        "update gate's sign in the paper's form",
        gru_reset_before_backward,
        "h[t] - n",
        "n - h[t]",
        agrees="update gate one",
        hint="Your gradient of z has the wrong sign: z multiplies the old state and 1 - z the candidate.",
        label="gru-delta",
    ),
    Mutant(
        "reset missing on the way to the state",
        gru_reset_before_backward,
        "dreset * r +",
        "dreset +",
        agrees="reset gate one",
        hint="Your gradient reaches the state past the reset gate: the candidate read r * h, multiply by r.",
        label="gru-before-delta",
    ),
    Mutant(
        "product missing on the way to the reset gate",
        gru_reset_before_backward,
        "dreset * h[t] * r",
        "da_n * h[t] * r",
        agrees="identity candidate",
        hint="Your gradient of r has not gone through the candidate's matrix: before the product, it must.",
        label="gru-before-delta",
    ),
    Mutant(
        "candidate's matrix paired with the whole state",
        gru_reset_before_backward,
        ".T @ recurrent.reshape",
        ".T @ h[:-1].reshape",
        agrees="reset gate one",
        hint="Your gradient of the candidate's matrix pairs with h: that matrix read r * h.",
        label="gru-before-weights",
    ),
)

FLIP = (
    Mutant(
        "biases not flipped",
        flip_update,
        "-p, p)",
        "-p if p.ndim == 2 else p, p)",
        agrees="zero biases",
        hint="Your biases keep their sign: the whole pre-activation of z is negated, biases included.",
        label="gru-flip",
    ),
    Mutant(
        "wrong gate flipped",
        flip_update,
        "// H == 1",
        "// H == 0",
        agrees="update gate one half, reset gate one half",
        hint="Your negated rows are those of r: the rows are those of r, z, n, in this order.",
        label="gru-flip",
    ),
)

MUTANTS = STEP + FORWARD + BACKWARD + SEQUENCE + BEFORE_FORWARD + BEFORE_BACKWARD + FLIP
