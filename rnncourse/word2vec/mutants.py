"""The classic mistakes in word2vec."""

from rnncourse.grading.mutant import Mutant
from rnncourse.word2vec.batches import keep_probability, noise_distribution, window_weights
from rnncourse.word2vec.numpy import (
    block_gradient,
    cbow_loss,
    expected_loss,
    negative_sampling_loss,
    pmi,
    shifted_pmi,
    softmax_loss,
)

SOFTMAX = (
    Mutant(
        "repeated centres of the softmax lost",
        softmax_loss,
        "_scattered(params.weight_in, centres, dh)",
        "np.array([dh[centres == w][-1] if (centres == w).any() else 0 * dh[0] for w in range(V)])",
        agrees="words once each",
        hint="Your weight_in gradient keeps one pair of each centre: those of a repeated word add up.",
        label="word2vec-softmax-gradient",
    ),
    Mutant(
        "matrices swapped",
        softmax_loss,
        "h = params.weight_in[centres]",
        "h = params.weight_out[centres]",
        agrees="equal matrices",
        hint="Your centre vectors come from weight_out: a centre reads weight_in, a context weight_out.",
        label="word2vec-softmax",
    ),
)

NEGATIVE = (
    Mutant(
        "summed over the pairs",
        negative_sampling_loss,
        "return loss, Word2VecParams(_scattered(params.weight_in, centres, dh), dweight_out)",
        "return N * loss, Word2VecParams(N * _scattered(params.weight_in, centres, dh), N * dweight_out)",
        agrees="one pair",
        hint="Your loss is the sum over the pairs: it must be their mean.",
        label="word2vec-negative",
    ),
    Mutant(
        "negatives averaged",
        negative_sampling_loss,
        "negatives, scale, N)",
        "negatives, scale / negatives.shape[1], N)",
        agrees="one negative",
        hint="Your negatives are averaged: each of the k counts in full.",
        label="word2vec-negative",
    ),
    Mutant(
        "first negative only",
        negative_sampling_loss,
        "contexts, negatives, scale, N)",
        "contexts, negatives[:, :1], scale, N)",
        agrees="one negative",
        hint="Your loss has one negative a pair: there are M of them.",
        label="word2vec-negative",
    ),
    Mutant(
        "negatives taken from weight_in",
        negative_sampling_loss,
        "loss, dh, dweight_out = _negative_head(h, params.weight_out, contexts",
        "loss, dh, dweight_out = _negative_head(h, params.weight_in, contexts",
        agrees="equal matrices",
        hint="Your contexts and negatives read weight_in: in that role words have the vectors weight_out.",
        label="word2vec-negative",
    ),
    Mutant(
        "repeated centres lost",
        negative_sampling_loss,
        "_scattered(params.weight_in, centres, dh)",
        "np.array([dh[centres == w][-1] if (centres == w).any() else 0 * dh[0] for w in range(V)])",
        agrees="words once each",
        hint="Your weight_in gradient keeps one pair of each centre: those of a repeated word add up.",
        label="word2vec-negative-gradient",
    ),
)

CBOW = (
    Mutant(
        "summed context",
        cbow_loss,
        "inside / inside.sum(axis=1, keepdims=True)",
        "inside / 1",
        agrees="one word around",
        hint="Your hidden vector is the sum of the words around: it must be their mean.",
        label="word2vec-cbow",
    ),
    Mutant(
        "mean over the padding too",
        cbow_loss,
        "inside / inside.sum(axis=1, keepdims=True)",
        "inside / inside.shape[1]",
        agrees="all around",
        hint="Your mean divides by the width of the window: only the words that are inside count.",
        label="word2vec-cbow",
    ),
    Mutant(
        "mean's share missing in the gradient",
        cbow_loss,
        "drows = share[..., None] * dh[:, None]",
        "drows = inside[..., None] * dh[:, None]",
        agrees="one word around",
        hint="Your gradient gives each word around the whole of dh, as the published program does: each has "
        "a share of the mean, and so of the gradient.",
        label="word2vec-cbow-gradient",
    ),
)

OTHERS = (
    Mutant(
        "count of contexts ignored",
        block_gradient,
        "* block.inside.sum(-1, h.dtype, keepdims=True)",
        "* np.ones_like(block.inside[..., :1], h.dtype)",
        agrees="one context each",
        hint="Your centres have k negatives each: every pair has k, so a centre with m contexts has m k.",
        label="word2vec-block",
    ),
    Mutant(
        "shared negatives not scaled",
        block_gradient,
        "negatives / len(out_negative)",
        "1",
        agrees="as many negatives as are shared",
        hint="Your M shared negatives count in full: they stand for k, so each has the weight k / M.",
        label="word2vec-block",
    ),
    Mutant(
        "power forgotten",
        noise_distribution,
        "power * np.log(",
        "1.0 * np.log(",
        agrees="uniform counts",
        hint="Your noise is the unigram distribution: the counts are raised to the power first.",
        label="word2vec-noise",
    ),
    Mutant(
        "root forgotten",
        keep_probability,
        "np.sqrt(threshold / np.where(frequency > 0, frequency, threshold))",
        "threshold / np.where(frequency > 0, frequency, threshold)",
        agrees="rare words",
        hint="Your keeping probability lacks the square root.",
        label="word2vec-subsample",
    ),
    Mutant(
        "window counted from its far end",
        window_weights,
        "np.arange(window, 0, -1)",
        "np.arange(1, window + 1)",
        agrees="window of one",
        hint="Your weights grow with the distance: the nearest word is inside every width.",
        label="word2vec-window",
    ),
    Mutant(
        "total missing",
        pmi,
        "+ np.log(counts.sum())",
        "+ 0.0",
        agrees="total of one",
        hint="Your PMI lacks the number of all pairs: #(i, j) #() / (#(i) #(j)).",
        label="word2vec-pmi",
    ),
    Mutant(
        "shift forgotten",
        shifted_pmi,
        "- np.log(negatives)",
        "- 0 * np.log(negatives)",
        agrees="k = 1",
        hint="Your optimum is the PMI itself: k negatives shift it by -ln k.",
        label="word2vec-optimum",
    ),
    Mutant(
        "noise term the wrong way round",
        shifted_pmi,
        "+ np.log(unigram) - np.log(noise)",
        "- np.log(unigram) + np.log(noise)",
        agrees="unigram noise",
        hint="Your noise term has the wrong sign: a word drawn more often as noise is pushed further down.",
        label="word2vec-optimum",
    ),
    Mutant(
        "one negative in the expectation",
        expected_loss,
        "negative = negatives *",
        "negative = 1 *",
        agrees="k = 1",
        hint="Your expected loss has one negative a pair: there are k.",
        label="word2vec-expected",
    ),
)

MUTANTS = SOFTMAX + NEGATIVE + CBOW + OTHERS
