"""The classic mistakes in GloVe."""

from rnncourse.glove.numpy import (
    cooccurrence,
    glove_backward,
    glove_forward,
    glove_vectors,
    neighbour_overlap,
    shifted_ppmi,
    svd_vectors,
    train_glove,
    weight,
)
from rnncourse.grading.mutant import Mutant

COUNT = (
    Mutant(
        "distance ignored",
        cooccurrence,
        "1 / np.arange(1, window + 1)",
        "np.ones(window)",
        agrees="window one",
        hint="Your counts are whole numbers: a pair at distance d adds 1/d.",
        label="glove-count",
    ),
    Mutant(
        "across sentences",
        cooccurrence,
        "sentence[word] == sentence[context]",
        "np.ones(stop - first, bool)",
        agrees="one sentence",
        hint="Your window runs over the end of a sentence: the last word of one and the first of "
        "the next are no pair.",
        label="glove-count",
    ),
    Mutant(
        "left context only",
        cooccurrence,
        "np.concatenate([cell, mirrored])",
        "np.concatenate([cell, cell])",
        agrees="context on the left",
        hint="Your matrix is not symmetric: a word to the right is context as much as one to the left.",
        label="glove-count",
    ),
)

WEIGHT = (
    Mutant(
        "no cap",
        weight,
        "np.minimum(x / x_max, 1)",
        "(x / x_max)",
        agrees="counts below x_max",
        hint="Your weight exceeds 1: from x_max on all cells weigh the same.",
        label="glove-weight",
    ),
    Mutant(
        "exponent missing",
        weight,
        "np.minimum(x / x_max, 1) ** exponent",
        "np.minimum(x / x_max, 1)",
        agrees="exponent one",
        hint="Your weight grows in proportion to the count: raise the quotient to the exponent.",
        label="glove-weight",
    ),
)

COST = (
    Mutant(
        "not weighted",
        glove_forward,
        "(f * residual * residual).sum()",
        "(residual * residual).sum()",
        agrees="counts above x_max",
        hint="Your cost weighs all cells alike: each squared residual is multiplied by f of its count.",
        label="glove-cost",
    ),
    Mutant(
        "weight squared",
        glove_forward,
        "(f * residual * residual).sum()",
        "(f * f * residual * residual).sum()",
        agrees="counts above x_max",
        hint="Your weight is inside the square: f multiplies the squared residual once.",
        label="glove-cost",
    ),
    Mutant(
        "mean of the cells",
        glove_forward,
        "(f * residual * residual).sum()",
        "(f * residual * residual).mean()",
        agrees="one cell",
        hint="Your cost is the mean over the cells: J is their sum.",
        label="glove-cost",
    ),
    Mutant(
        "context bias of the word",
        glove_forward,
        "params.bias_out[columns]",
        "params.bias_out[rows]",
        agrees="equal context biases",
        hint="Your context bias is looked up by the word: it belongs to the column.",
        label="glove-cost",
    ),
)

GRADIENT = (
    Mutant(
        "gradient not weighted",
        glove_backward,
        "dcost * f * residual",
        "dcost * residual",
        agrees="counts above x_max",
        hint="Your gradient weighs all cells alike: f stays in front of the residual when you differentiate.",
        label="glove-gradient",
    ),
    Mutant(
        "own vector",
        glove_backward,
        "_row_sums(columns, rows, g, params.weight_in)",
        "_row_sums(columns, rows, g, params.weight_out)",
        agrees="equal matrices",
        hint="Your context vectors move along the wrong vectors: the derivative of e theta by theta is e.",
        label="glove-gradient",
    ),
    Mutant(
        "repeats lost",
        glove_backward,
        "_row_sums(rows, columns, g, params.weight_out)",
        "(rows, g[:, None] * params.weight_out[columns], g)",
        agrees="each word in one cell",
        hint="Your gradient of a word holds one of its cells only: each cell in its row adds its part, and "
        "`d[rows] += ...` keeps the last.",
        label="glove-gradient",
    ),
)

UPSTREAM = (
    Mutant(
        "upstream ignored",
        glove_backward,
        "dcost * f * residual",
        "f * residual",
        agrees="upstream gradient one",
        hint="Your gradient does not depend on the gradient that comes from above.",
        label="glove-gradient",
    ),
)

TRAINING = (
    Mutant(
        "squares forgotten",
        train_glove,
        "_rows(state, touched))",
        "_rows(adagrad.init(params), touched))",
        agrees="one step",
        hint="Your sums of squares start again at each step: Adagrad adds them up over all steps.",
        label="glove-adagrad",
    ),
)

VECTORS = (
    Mutant(
        "one set only",
        glove_vectors,
        "params.weight_in + params.weight_out",
        "params.weight_in + params.weight_in",
        agrees="equal matrices",
        hint="Your vector does not use the word's other vector.",
        label="glove-final",
    ),
    Mutant(
        "logarithm to base two",
        shifted_ppmi,
        "np.log(pmi.dtype.type(k))",
        "np.log2(pmi.dtype.type(k))",
        agrees="k one",
        hint="Your shift is in bits, the PMI in nats.",
        label="glove-ppmi",
    ),
    Mutant(
        "power ignored",
        svd_vectors,
        "s[:E] ** power",
        "s[:E]",
        agrees="power one",
        hint="Your vectors carry the whole singular values: raise them to the power.",
        label="glove-svd",
    ),
    Mutant(
        "order counts",
        neighbour_overlap,
        "(a[:, :, None] == b[:, None]).any(2)",
        "(a == b)",
        agrees="one neighbour",
        hint="Your overlap asks for the same rank: a neighbour counts wherever it stands in the other list.",
        label="glove-overlap",
    ),
)

MUTANTS = COUNT + WEIGHT + COST + GRADIENT + UPSTREAM + TRAINING + VECTORS
