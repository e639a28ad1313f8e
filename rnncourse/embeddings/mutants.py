"""The classic mistakes with embeddings."""

from rnncourse.embeddings.numpy import (
    adam_rows,
    embedding_backward,
    embedding_backward_rows,
    embedding_forward,
    sgd_rows,
    tied_backward,
)
from rnncourse.grading.mutant import Mutant

LOOKUP = (
    Mutant(
        "ids count from one",
        embedding_forward,
        "weight[ids]",
        "weight[ids - 1]",
        agrees="equal rows",
        hint="Your lookup returns the row before the right one: ids count from 0.",
        label="embeddings-lookup",
    ),
    Mutant(
        "unknown words beyond the end",
        embedding_forward,
        "weight[ids]",
        "weight[np.minimum(ids, len(weight) - 2)]",
        agrees="last id absent",
        hint="Your lookup never returns the last row: V ids run from 0 to V - 1.",
        label="embeddings-lookup",
    ),
    Mutant(
        "padding looked up as zero",
        embedding_forward,
        "weight[ids]",
        "np.where((ids == padding_idx)[..., None], 0, weight[ids])",
        agrees="zero padding row",
        hint="Your lookup returns zeros for padding: its row is returned as it stands; what padding changes "
        "is the gradient.",
        label="embeddings-lookup",
    ),
)
SCATTER = (
    Mutant(
        "last of the repeats kept",
        embedding_backward_rows,
        "*sum_rows(ids, g)",
        "u := np.unique(ids), np.array([g[ids == i][-1] for i in u])",
        agrees="no repeats",
        hint="Your gradient is what dE[ids] += g gives: of a word that stands several times only the last "
        "place counts. The gradients of all its places are added.",
        label="embeddings-gradient",
    ),
    Mutant(
        "first of the repeats kept",
        embedding_backward_rows,
        "*sum_rows(ids, g)",
        "u := np.unique(ids), np.array([g[ids == i][0] for i in u])",
        agrees="no repeats",
        hint="Your gradient keeps the first place of a word that stands several times: the gradients of all "
        "its places are added.",
        label="embeddings-gradient",
    ),
    Mutant(
        "repeats averaged",
        embedding_backward_rows,
        "*sum_rows(ids, g)",
        "u := np.unique(ids), np.array([g[ids == i].mean(axis=0) for i in u])",
        agrees="no repeats",
        hint="Your gradient is the mean over a word's places: it is the sum.",
        label="embeddings-gradient",
    ),
    Mutant(
        "gradients not sorted with their ids",
        embedding_backward_rows,
        "sum_rows(ids, g)",
        "sum_rows(np.sort(ids), g)",
        agrees="rising ids",
        hint="Your gradients stand in the order of the text while the ids are sorted: sort both alike.",
        label="embeddings-gradient",
    ),
    Mutant(
        "padding gets a gradient",
        embedding_backward_rows,
        "if padding_idx is not None:",
        "if False:",
        agrees="no padding",
        hint="Your gradient has a row for padding: it stays zero, whatever arrives there.",
        label="embeddings-gradient",
    ),
    Mutant(
        "rows written from the top",
        embedding_backward,
        "dweight[gradient.ids] = gradient.rows",
        "dweight[: len(gradient.ids)] = gradient.rows",
        agrees="each of the first ids",
        hint="Your rows of the gradient stand at the top of the matrix: each belongs at its id.",
        label="embeddings-gradient",
    ),
)
STEPS = (
    Mutant(
        "uphill",
        sgd_rows,
        "weight[ids] -= float(lr) * rows",
        "weight[ids] -= -float(lr) * rows",
        agrees="rate zero",
        hint="Your step goes uphill: subtract the gradient.",
        label="embeddings-sgd",
    ),
    Mutant(
        "means without correction",
        adam_rows,
        "square[ids] / (1 - adam.beta2**t)",
        "square[ids]",
        agrees="late step",
        hint="Your second mean is not corrected for its start at zero.",
        label="embeddings-adam",
    ),
    Mutant(
        "means of absent rows decayed",
        adam_rows,
        "mean[ids] = adam.beta1 * mean[ids]",
        "mean *= adam.beta1; mean[ids] = mean[ids]",
        agrees="each row present",
        hint="Your first mean decays in rows without a gradient: they are left alone.",
        label="embeddings-adam",
    ),
    Mutant(
        "gradient not squared",
        adam_rows,
        "(1 - adam.beta2) * g * g",
        "(1 - adam.beta2) * np.abs(g)",
        agrees="gradients of one",
        hint="Your second mean is that of the gradient's size: it is that of its square.",
        label="embeddings-adam",
    ),
)
TIED = (
    Mutant(
        "use as input missing",
        tied_backward,
        "dweight_output + embedding_backward(doutput, cache)",
        "dweight_output + 0 * embedding_backward(doutput, cache)",
        agrees="zero doutput",
        hint="Your gradient leaves out the use as embedding: the matrix is used twice, and both parts are "
        "added.",
        label="embeddings-tied",
    ),
    Mutant(
        "use as output missing",
        tied_backward,
        "dweight_output + embedding_backward(doutput, cache)",
        "0 * dweight_output + embedding_backward(doutput, cache)",
        agrees="zero dweight_output",
        hint="Your gradient leaves out the use as output layer: the matrix is used twice, and both parts are "
        "added.",
        label="embeddings-tied",
    ),
    Mutant(
        "written over the other use",
        tied_backward,
        "dweight_output + embedding_backward(doutput, cache)",
        "np.where((e := embedding_backward(doutput, cache)) == 0, dweight_output, e)",
        agrees="zero dweight_output",
        hint="Your gradient keeps the output layer's part only where no word was looked up: every row has "
        "it.",
        label="embeddings-tied",
    ),
    Mutant(
        "repeats lost in the use as input",
        tied_backward,
        "dweight_output + embedding_backward(doutput, cache)",
        "np.array([w + doutput[cache.ids == v][-1:].sum(axis=0) for v, w in enumerate(dweight_output)])",
        agrees="no repeats",
        hint="Your gradient adds the places with dweight[ids] += ...: of a word that stands several times "
        "only the last place counts.",
        label="embeddings-tied",
    ),
)
MUTANTS = LOOKUP + SCATTER + STEPS + TIED
