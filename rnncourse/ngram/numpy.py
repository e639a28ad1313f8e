"""n-gram language models by counting, smoothed in five ways, over integer ids.

One convention holds everywhere, and it is KenLM's. A sentence of n words is ``<s> w_1 ... w_n </s>``.
``</s>`` is predicted like a word, ``<s>`` is not: it only stands in contexts, once, so the context of the
first word is ``<s>`` alone. Every word outside the vocabulary is read as ``<unk>``, which has a probability
like any other. Logarithms are natural, but for the ARPA files.

A corpus is one array of ids, its *stream*: all sentences, one after the other, each with its ``<s>`` and
``</s>``. An m-gram is known by its place in a sorted table; the next longer one by the place of its first
words and its last word. So tables of any order need keys of one integer.
"""

from numbers import Real
from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_choice, check_ids, check_positive, check_shape
from rnncourse.data.words import UNKNOWN, WordVocabulary

BEGIN, END = "<s>", "</s>"
SPECIALS = (UNKNOWN, BEGIN, END)
"""The first three words of every vocabulary here."""
UNK, BOS, EOS = range(3)
SMOOTHINGS = ("maximum-likelihood", "add-k", "jelinek-mercer", "kneser-ney", "modified-kneser-ney")
FALLBACK = (0.5, 1.0, 1.5)
"""KenLM's discounts of counts 1, 2 and above where the counts of counts give none."""

LEAST = 1e-6
"""How near to 0 or 1 a tuned weight may come."""


class Counts(NamedTuple):
    """How often each m-gram occurs, m = 1 .. n; element m - 1 of a field is on the m-grams.

    Of order 1 there are all V words, in the order of the ids. The m-grams of the other orders are those that
    occur, sorted by their words.
    """

    V: int
    """Words, the three specials included."""
    prefix: tuple
    """For each m an array (N_m,), the place of the first m - 1 words among the (m - 1)-grams; 0 for m = 1."""
    word: tuple
    """For each m an array (N_m,), the last word."""
    suffix: tuple
    """For each m an array (N_m,), the place of the last m - 1 words among the (m - 1)-grams; 0 for m = 1."""
    begins: tuple
    """For each m an array (N_m,) of bool, whether the first word is ``<s>``."""
    count: tuple
    """For each m an array (N_m,); 0 for ``<s>`` alone, which is never predicted."""


class Estimate(NamedTuple):
    """Probabilities of the m-grams of :class:`Counts`, and what contexts leave to shorter ones."""

    prob: tuple
    """For each m an array (N_m,), P(last word | context)."""
    backoff: tuple
    """For each m below n an array (N_m,), the factor of the shorter context's probability of a new word."""


class NGram(NamedTuple):
    """A model of order n - 1 in the sense of Markov, as tables of m-grams, m = 1 .. n."""

    vocabulary: WordVocabulary
    """It begins with the three specials."""
    keys: tuple
    """For each m a sorted array (N_m,), the place of the first m - 1 words times V, plus the last word."""
    logprob: tuple
    """For each m an array (N_m,), ln P(last word | context)."""
    backoff: tuple
    """For each m below n an array (N_m,), ln of the factor of the shorter context's probability."""

    @property
    def order(self):
        """n, the words that an n-gram has, the predicted one included."""
        return len(self.keys)


def ngram_vocabulary(sentences, *, min_count=1, max_size=None):
    """Vocabulary of a corpus with ``<unk>``, ``<s>`` and ``</s>`` in front.

    Parameters
    ----------
    sentences : sequence of sequence of str
    min_count, max_size
        As in :meth:`rnncourse.data.words.WordVocabulary.of`.

    Returns
    -------
    WordVocabulary

    Raises
    ------
    ValueError
        If a sentence is a string or holds ``<s>`` or ``</s>``, or the corpus has no words.
    """
    sentences = _check_sentences(sentences)
    return WordVocabulary.of(sentences, min_count=min_count, max_size=max_size, specials=SPECIALS)


def to_stream(sentences, vocabulary):
    """Write sentences as one array of ids, each between ``<s>`` and ``</s>``.

    Parameters
    ----------
    sentences : sequence of sequence of str
    vocabulary : WordVocabulary
        Of :func:`ngram_vocabulary`.

    Returns
    -------
    (N,) array of int

    Raises
    ------
    ValueError
        If there is no sentence, one is a string or holds ``<s>`` or ``</s>``, or the vocabulary does not
        begin with the three specials.
    """
    _check_vocabulary(vocabulary)
    sentences = _check_sentences(sentences)
    return vocabulary.encode([word for s in sentences for word in (BEGIN, *s, END)])


def count_ngrams(stream, V, order):
    """Count all m-grams inside sentences, m = 1 .. order, by one sort.

    The windows of n ids that start at each place of the stream are sorted. Windows that begin with the same m
    words then stand together, so the m-grams of all orders are runs of that one list. Windows that go on
    beyond an ``</s>`` count up to there only.

    Parameters
    ----------
    stream : (N,) array of int
        Of :func:`to_stream`.
    V : int
        Size of the vocabulary.
    order : int
        n, at least 1.

    Returns
    -------
    Counts

    Raises
    ------
    ValueError
        If `order` is not positive, or `stream` holds no sentences, ids out of range or ``<s>`` inside one.
    """
    check_positive("order", order)
    stream = _check_stream(stream, V)
    N = len(stream)
    padded = np.concatenate([stream, np.full(order, EOS)])
    rows = np.argsort(_window_keys(padded, N, V, order))
    place = np.empty(N, int)
    place[rows] = np.arange(N)

    column = padded[rows]
    index = column
    counted = np.bincount(stream, minlength=V)
    counted[BOS] = 0
    zeros, words = np.zeros(V, int), np.arange(V)
    tables = [(zeros, words, zeros, words == BOS, counted)]
    new, inside = np.ones(N, bool), np.ones(N, bool)
    new[1:] = column[1:] != column[:-1]
    for m in range(2, order + 1):
        inside &= column != EOS
        column = padded[rows + (m - 1)]
        new[1:] |= column[1:] != column[:-1]
        opens = new & inside
        starts = np.flatnonzero(opens)
        run = np.cumsum(opens) - 1
        prefix = index[starts]
        counted = np.bincount(run[inside], minlength=len(starts))
        tables.append(
            (prefix, column[starts], index[place[rows[starts] + 1]], tables[-1][3][prefix], counted)
        )
        index = run
    return Counts(V, *zip(*tables, strict=True))


def _window_keys(padded, N, V, order):
    """One integer for each window, in the order of the windows' words."""
    keys, size = padded[:N], V
    for m in range(1, order):
        if size > np.iinfo(int).max // V:  # keep the order, close the gaps
            values, keys = np.unique(keys, return_inverse=True)
            size = len(values)
        keys = keys * V + padded[m : m + N]
        size *= V
    return keys


def interpolate(counts, own, share):
    """Mix each context's own estimate with the probability in the context one word shorter.

    Implements :eq:`ngram-interpolation` of book/ngram.

    Parameters
    ----------
    counts : Counts
    own : sequence of arrays
        For each m = 1 .. n, (N_m,): what an m-gram has of its own.
    share : sequence of arrays
        For each m, (N_(m-1),), of shape (1,) for m = 1: what a context of m - 1 words leaves to the shorter
        one; below the empty context every word but ``<s>`` has the same probability.

    Returns
    -------
    Estimate
    """
    uniform = np.full(counts.V, 1 / (counts.V - 1))
    uniform[BOS] = 0
    probs, lower = [], uniform
    for m, (own_m, share_m) in enumerate(zip(own, share, strict=True)):
        shorter = lower if m == 0 else lower[counts.suffix[m]]
        lower = own_m + share_m[counts.prefix[m]] * shorter
        probs.append(lower)
    return Estimate(tuple(probs), tuple(share[1:]))


def _by_context(counts, m, values):
    """Sum of values of the (m + 1)-grams over each context of m words."""
    contexts = len(counts.word[m - 1]) if m else 1
    return np.bincount(counts.prefix[m], values, contexts)


def _ratio(numerator, total, otherwise):
    """The numerator over the total, and a number where the total is 0."""
    return np.divide(numerator, total, out=np.full(len(total), float(otherwise)), where=total > 0)


def maximum_likelihood(counts):
    """Relative frequencies; a context that was never seen takes those of the next shorter one.

    Implements :eq:`ngram-ml` of book/ngram.

    Parameters
    ----------
    counts : Counts

    Returns
    -------
    Estimate
    """
    own, share = [], []
    for m, count in enumerate(counts.count):
        total = _by_context(counts, m, count)
        own.append(count / total[counts.prefix[m]])
        share.append((total == 0).astype(float))
    return interpolate(counts, own, share)


def add_k(counts, k):
    """Add k to the count of every word in every context of full length.

    Implements :eq:`ngram-add-k` of book/ngram. A context has full length if it has n - 1 words or begins with
    ``<s>``. Shorter ones do not count: in them, every word has the same probability.

    Parameters
    ----------
    counts : Counts
    k : float
        Above 0.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        If `k` is not above 0.
    """
    if not isinstance(k, Real) or not 0 < k < np.inf:
        raise ValueError(f"k must be a number above 0, got {k!r}")
    own, share = [], []
    for m, count in enumerate(counts.count):
        total = _by_context(counts, m, count)
        whole = counts.begins[m - 1] if m else np.zeros(1, bool)
        if m == len(counts.count) - 1:
            whole = np.ones(len(total), bool)
        added = total + k * (counts.V - 1)
        full = whole[counts.prefix[m]]
        own.append(np.where(full, count / added[counts.prefix[m]], 0.0))
        share.append(np.where(whole, 1 - total / added, 1.0))
    return interpolate(counts, own, share)


def jelinek_mercer(counts, lambdas):
    """Mix the relative frequencies of all orders with fixed weights.

    Implements :eq:`ngram-jm` of book/ngram. Source: Jelinek and Mercer (1980), whose weights are not fixed:
    they also depend on how often the context was seen.

    Parameters
    ----------
    counts : Counts
    lambdas : (n + 1,) sequence of float
        Weights of the uniform distribution, which must be above 0, and of the orders 1 .. n. They sum to one.
        In a context that was never seen, its weight is shared among the shorter ones.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        If there are not n + 1 weights, one is negative, or they do not sum to one.
    """
    lambdas = _check_lambdas(lambdas, len(counts.count))
    own, share = [], []
    for m, count in enumerate(counts.count):
        total = _by_context(counts, m, count)
        weight = lambdas[m + 1] / lambdas[: m + 2].sum()
        own.append(weight * count / total[counts.prefix[m]])
        share.append(np.where(total > 0, 1 - weight, 1.0))
    return interpolate(counts, own, share)


def adjusted_counts(counts):
    """Counts for Kneser-Ney: below the highest order, in how many ways an m-gram is continued to the left.

    Nothing stands to the left of ``<s>``, so m-grams that begin with it keep their counts, as in KenLM
    (Heafield et al., 2013).

    Parameters
    ----------
    counts : Counts

    Returns
    -------
    tuple of (N_m,) arrays
    """
    return (
        *(
            np.where(begins, count, np.bincount(longer, minlength=len(count)))
            for begins, count, longer in zip(
                counts.begins[:-1], counts.count[:-1], counts.suffix[1:], strict=True
            )
        ),
        counts.count[-1],
    )


def absolute_discount(counts):
    """One discount for all counts above 0, from how many counts are 1 and 2.

    Implements :eq:`ngram-discount` of book/ngram. Source: Ney, Essen and Kneser (1994).

    Parameters
    ----------
    counts : (N,) array of int
        Of all m-grams of one order.

    Returns
    -------
    (3,) array
        The same discount for the counts 1, 2 and above; 0.5 where no count is 1 or none is 2.
    """
    n_1, n_2 = ((counts == r).sum() for r in (1, 2))
    if n_1 == 0 or n_2 == 0:
        return np.full(3, FALLBACK[0])
    return np.full(3, n_1 / (n_1 + 2 * n_2))


def modified_discounts(counts):
    """Discounts of the counts 1, 2 and above, from how many counts are 1, 2, 3 and 4.

    Implements :eq:`ngram-discounts` of book/ngram. Source: Chen and Goodman (1999). The fallback is that of
    KenLM (Heafield et al., 2013), whose `lmplz` takes it with ``--discount_fallback`` and stops without.

    Parameters
    ----------
    counts : (N,) array of int
        Of all m-grams of one order.

    Returns
    -------
    (3,) array
        0.5, 1 and 1.5 where no count is 1, none is 2 or none is 3, or a discount is negative. Where none is
        4 the third discount is 3.
    """
    n_1, n_2, n_3, n_4 = ((counts == r).sum() for r in (1, 2, 3, 4))
    if min(n_1, n_2, n_3) == 0:
        return np.array(FALLBACK)
    Y = n_1 / (n_1 + 2 * n_2)
    discounts = np.array([1 - 2 * Y * n_2 / n_1, 2 - 3 * Y * n_3 / n_2, 3 - 4 * Y * n_4 / n_3])
    return discounts if discounts.min() >= 0 else np.array(FALLBACK)


def kneser_ney(counts, discounts):
    """Take a discount from each count; give it to the shorter context, which counts contexts, not words.

    Implements :eq:`ngram-continuation`, :eq:`ngram-kn` of book/ngram. Source: the
    interpolated form of Chen and Goodman (1999) after Kneser and Ney (1995); the shortest distribution is
    mixed with the uniform one, as in KenLM.

    Parameters
    ----------
    counts : Counts
    discounts : sequence of (3,) arrays
        For each m = 1 .. n, what is taken from the counts 1, 2 and above, between 0 and 1, 2, 3.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        If there is not one row of three discounts in range for each order.
    """
    discounts = np.asarray(discounts, float)
    check_shape("discounts", discounts, n=len(counts.count), r=3)
    if not ((discounts >= 0) & (discounts <= [1, 2, 3])).all():
        raise ValueError(f"discounts must lie between 0 and 1, 2, 3, got {discounts.tolist()}")
    own, share = [], []
    for m, count in enumerate(adjusted_counts(counts)):
        total = _by_context(counts, m, count)
        taken = np.append(0.0, discounts[m])[np.minimum(count, 3)]
        own.append((count - taken) / total[counts.prefix[m]])
        share.append(_ratio(_by_context(counts, m, taken), total, 1))
    return interpolate(counts, own, share)


def estimate(counts, smoothing="modified-kneser-ney", *, k=None, lambdas=None):
    """Estimate the probabilities by one of the five ways.

    Parameters
    ----------
    counts : Counts
    smoothing : str
        "maximum-likelihood", "add-k", "jelinek-mercer", "kneser-ney" or "modified-kneser-ney".
    k : float
        For "add-k", and only there.
    lambdas : (n + 1,) sequence of float
        For "jelinek-mercer", and only there.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        If the smoothing is unknown, or `k` or `lambdas` is missing or bad or does not belong to it.
    """
    check_choice("smoothing", smoothing, SMOOTHINGS)
    for name, value, owner in (("k", k, "add-k"), ("lambdas", lambdas, "jelinek-mercer")):
        if (value is not None) != (smoothing == owner):
            raise ValueError(f"{name} must be given for {owner!r}, and there only, got {value!r}")
    if smoothing == "maximum-likelihood":
        return maximum_likelihood(counts)
    if smoothing == "add-k":
        return add_k(counts, k)
    if smoothing == "jelinek-mercer":
        return jelinek_mercer(counts, lambdas)
    rule = absolute_discount if smoothing == "kneser-ney" else modified_discounts
    return kneser_ney(counts, [rule(count) for count in adjusted_counts(counts)])


def fit_stream(stream, vocabulary, order, smoothing="modified-kneser-ney", *, k=None, lambdas=None):
    """Fit a model to a stream of ids.

    Parameters
    ----------
    stream : (N,) array of int
        Of :func:`to_stream`.
    vocabulary : WordVocabulary
        Of :func:`ngram_vocabulary`.
    order : int
        n, at least 1.
    smoothing, k, lambdas
        As in :func:`estimate`.

    Returns
    -------
    NGram

    Raises
    ------
    ValueError
        As :func:`count_ngrams` and :func:`estimate`.
    """
    _check_vocabulary(vocabulary)
    V = len(vocabulary)
    counts = count_ngrams(stream, V, order)
    probs, backoffs = estimate(counts, smoothing, k=k, lambdas=lambdas)
    with np.errstate(divide="ignore"):  # ln 0 of what cannot occur
        return NGram(
            vocabulary,
            tuple(prefix * V + word for prefix, word in zip(counts.prefix, counts.word, strict=True)),
            tuple(np.log(prob) for prob in probs),
            tuple(np.log(backoff) for backoff in backoffs),
        )


def fit(sentences, order, smoothing="modified-kneser-ney", *, vocabulary=None, k=None, lambdas=None):
    """Fit a model to sentences.

    Parameters
    ----------
    sentences : sequence of sequence of str
        Words, or characters: a string is no sentence, its list of characters is.
    order : int
        n, at least 1.
    smoothing, k, lambdas
        As in :func:`estimate`.
    vocabulary : WordVocabulary, optional
        Of :func:`ngram_vocabulary`; without it, that of all words of the sentences.

    Returns
    -------
    NGram

    Raises
    ------
    ValueError
        As :func:`to_stream` and :func:`fit_stream`.
    """
    sentences = _check_sentences(sentences)
    if vocabulary is None:
        vocabulary = ngram_vocabulary(sentences)
    return fit_stream(to_stream(sentences, vocabulary), vocabulary, order, smoothing, k=k, lambdas=lambdas)


def _find(keys, wanted):
    """Place of each wanted key, and -1 where there is none."""
    if not len(keys):
        return np.full(len(wanted), -1)
    place = np.searchsorted(keys, wanted)
    place[place == len(keys)] = 0
    return np.where(keys[place] == wanted, place, -1)


def _score(model, stream):
    """ln P of each id of a stream given those before it in its sentence; of ``<s>`` something or other."""
    V = len(model.vocabulary)
    score, index = model.logprob[0][stream], stream
    for keys, logprob, backoff in zip(model.keys[1:], model.logprob[1:], model.backoff, strict=True):
        context = index[:-1]
        found = _find(keys, context * V + stream[1:])  # a missing context makes the key negative
        left = np.append(backoff, 0.0)[context]  # ... and takes the 0 at the end
        score[1:] = np.where(found < 0, score[1:] + left, np.append(logprob, 0.0)[found])
        index = np.append(-1, found)
    return score


def stream_logprobs(model, stream):
    """ln P of each word and each ``</s>`` of a stream, given what stands before it in its sentence.

    Implements :eq:`ngram-backoff` of book/ngram.

    Parameters
    ----------
    model : NGram
    stream : (N,) array of int
        Of :func:`to_stream`, with the model's vocabulary.

    Returns
    -------
    (N - S,) array
        In nats, for all but the ``<s>`` of the S sentences.

    Raises
    ------
    ValueError
        If `stream` holds no sentences, ids out of range or ``<s>`` inside one.
    """
    stream = _check_stream(stream, len(model.vocabulary))
    return _score(model, stream)[stream != BOS]


def sentence_logprobs(model, sentences):
    """ln P of each word of each sentence, and of its ``</s>``, given what stands before it.

    Parameters
    ----------
    model : NGram
    sentences : sequence of sequence of str

    Returns
    -------
    list of (n + 1,) arrays
        For each sentence of n words; in nats.

    Raises
    ------
    ValueError
        As :func:`to_stream`.
    """
    sentences = _check_sentences(sentences)
    stream = to_stream(sentences, model.vocabulary)
    ends = np.cumsum([len(sentence) + 1 for sentence in sentences])
    return np.split(stream_logprobs(model, stream), ends[:-1])


def next_word_probabilities(model, words):
    """P(next word | the words of the sentence so far), for all words.

    Parameters
    ----------
    model : NGram
    words : sequence of str
        From the sentence's first word on, maybe none.

    Returns
    -------
    (V,) array
        By id; that of ``<s>`` is 0, the sum is 1.

    Raises
    ------
    ValueError
        If `words` is a string or holds ``<s>`` or ``</s>``.
    """
    V = len(model.vocabulary)
    stream = to_stream([words], model.vocabulary)[:-1][-(model.order - 1) or len(words) + 1 :]
    logprob = model.logprob[0].copy()
    for j in range(1, min(len(stream), model.order - 1) + 1):
        index = stream[-j]  # the place of the last j words
        for keys, word in zip(model.keys[1:j], stream[len(stream) - j + 1 :], strict=True):
            index = _find(keys, np.array([index * V + word]))[0]
            if index < 0:
                break
        if index < 0:
            break
        logprob += model.backoff[j - 1][index]
        first, last = np.searchsorted(model.keys[j], [index * V, (index + 1) * V])
        logprob[model.keys[j][first:last] - index * V] = model.logprob[j][first:last]
    return np.exp(logprob)


def perplexity(logprobs):
    """Exponential of the mean loss: one over the geometric mean of the probabilities.

    Implements :eq:`ngram-perplexity` of book/ngram.

    Parameters
    ----------
    logprobs : (N,) array
        ln P of each predicted token, ``</s>`` included: those of :func:`stream_logprobs`.

    Returns
    -------
    float
        inf if one of them is -inf.

    Raises
    ------
    ValueError
        If there is none, or one is above 0 or no number.
    """
    return float(np.exp(-_check_logprobs(logprobs).mean()))


def bits(logprobs, symbols=None):
    """Loss in bits per token, or per symbol of another kind, such as characters.

    Implements :eq:`ngram-bits` of book/ngram.

    Parameters
    ----------
    logprobs : (N,) array
        As in :func:`perplexity`.
    symbols : int, optional
        Divide the sum by this in place of N: the number of characters in the same text, say, to compare
        models of words and of characters.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        As :func:`perplexity`, or if `symbols` is not positive.
    """
    logprobs = _check_logprobs(logprobs)
    if symbols is not None:
        check_positive("symbols", symbols)
    return float(-logprobs.sum() / np.log(2) / (symbols or len(logprobs)))


def prune(model, keep):
    """Drop m-grams from a model, and make its distributions sum to one again.

    Implements :eq:`ngram-prune` of book/ngram. What is kept keeps its probability; what a context leaves to
    the shorter one is computed anew.

    Parameters
    ----------
    model : NGram
    keep : sequence of arrays of bool
        For each m = 2 .. n, (N_m,): which m-grams stay. With an m-gram, its first and its last m - 1 words
        must.

    Returns
    -------
    NGram

    Raises
    ------
    ValueError
        If there is not one array of bool for each order, of the right length, or an m-gram is kept without a
        shorter one that it needs.
    """
    V, n = len(model.vocabulary), model.order
    if len(keep) != n - 1:
        raise ValueError(f"keep must have one array for each order from 2 to {n}, got {len(keep)}")
    keys, logprobs, backoffs = [model.keys[0]], [model.logprob[0]], []
    place = suffix = np.arange(V)  # of the old m-grams among those that are kept; of their last words
    for m, kept in enumerate(map(np.asarray, keep), 1):
        check_shape(f"keep[{m - 1}]", kept, N=len(model.keys[m]))
        if kept.dtype != bool:
            raise ValueError(f"keep[{m - 1}] must hold True and False, got dtype {kept.dtype}")
        prefix, word = np.divmod(model.keys[m], V)
        suffix = word if m == 1 else _find(model.keys[m - 1], suffix[prefix] * V + word)
        context, shorter = place[prefix[kept]], place[suffix[kept]]
        if min(context.min(initial=0), shorter.min(initial=0)) < 0:
            raise ValueError(f"keep[{m - 1}] holds m-grams whose first or last words are not kept")
        logprob = model.logprob[m][kept]
        size = len(keys[-1])
        left = np.maximum(1 - np.bincount(context, np.exp(logprob), size), 0)
        below = np.maximum(1 - np.bincount(context, np.exp(logprobs[-1][shorter]), size), 0)
        with np.errstate(divide="ignore"):  # ln 0: nothing is left
            backoffs.append(np.log(_ratio(left, below, 0)))
        keys.append(context * V + word[kept])
        logprobs.append(logprob)
        place = np.where(kept, np.cumsum(kept) - 1, -1)
    return NGram(model.vocabulary, tuple(keys), tuple(logprobs), tuple(backoffs))


def tune_lambdas(counts, stream, steps=50):
    """Weights for :func:`jelinek_mercer` that make held-out text likely, by expectation-maximisation.

    Implements :eq:`ngram-em` of book/ngram. Source: Jelinek and Mercer (1980). Where a context was never seen
    the longer orders have no say, so the weights are found as a chain of choices: use order n, or else
    n - 1, and so on. No choice gets nearer to 0 or 1 than a millionth: every word keeps a probability. An
    order whose contexts the held-out text never has is chosen in one case of two.

    Parameters
    ----------
    counts : Counts
        Of the training text.
    stream : (N,) array of int
        Held-out text.
    steps : int

    Returns
    -------
    (n + 1,) array

    Raises
    ------
    ValueError
        As :func:`stream_logprobs`, or if `steps` is not positive.
    """
    check_positive("steps", steps)
    stream = _check_stream(stream, counts.V)
    frequencies = _frequencies(counts, stream)  # (n + 1, N), nan where the context is unknown
    known = ~np.isnan(frequencies)
    frequencies = np.where(known, frequencies, 0.0)
    chosen = np.full(len(frequencies), 0.5)
    chosen[0] = 1.0  # the uniform distribution is the last resort
    for _ in range(steps):
        joint = _stick(np.where(known, chosen[:, None], 0.0)) * frequencies
        posterior = joint / joint.sum(axis=0)
        reached = np.cumsum(posterior, axis=0) * known
        stopped = _ratio(posterior[1:].sum(axis=1), reached[1:].sum(axis=1), 0.5)
        chosen[1:] = np.clip(stopped, LEAST, 1 - LEAST)
    return _stick(chosen)


def _stick(chosen):
    """Probability of stopping at each order, from the highest down, if one stops there with `chosen`."""
    passed = np.cumprod((1 - chosen)[::-1], axis=0)[::-1]
    return chosen * np.concatenate([passed[1:], np.ones_like(passed[:1])])


def _frequencies(counts, stream):
    """Relative frequency of each predicted token by order 0 .. n, order 0 uniform; (n + 1, tokens)."""
    predicted = stream != BOS
    rows = [np.full(len(stream), 1 / (counts.V - 1)), counts.count[0][stream] / counts.count[0].sum()]
    index = stream
    for m in range(1, len(counts.count)):
        total = _by_context(counts, m, counts.count[m])
        context = np.append(-1, index[:-1])
        keys = counts.prefix[m] * counts.V + counts.word[m]
        index = _find(keys, context * counts.V + stream)
        number = np.append(counts.count[m], 0)[index]
        of = np.append(total, 0.0)[context]
        rows.append(_ratio(number, of, np.nan))
    return np.array(rows)[:, predicted]


def _check_sentences(sentences):
    """The sentences as a list, each known to be a sequence of words without ``<s>`` and ``</s>``."""
    if isinstance(sentences, str):
        raise ValueError(f"sentences must be lists of words, got the string {sentences[:40]!r}")
    sentences = list(sentences)
    if not sentences:
        raise ValueError("sentences must hold at least one sentence, got none")
    for i, sentence in enumerate(sentences):
        if isinstance(sentence, str):
            raise ValueError(f"sentences must hold lists of words, got the string {sentence[:40]!r}")
        for special in (BEGIN, END):
            if special in sentence:
                raise ValueError(f"{special} must not stand inside a sentence, sentence {i} has one")
    return sentences


def _check_vocabulary(vocabulary):
    if tuple(vocabulary.words[:3]) != SPECIALS:
        raise ValueError(
            f"vocabulary must begin with {', '.join(SPECIALS)}, got {', '.join(vocabulary.words[:3])}"
        )


def _check_stream(stream, V):
    stream = np.asarray(stream)
    check_shape("stream", stream, N=None)
    if not len(stream):
        raise ValueError("stream must hold at least one sentence, got none")
    check_ids("stream", stream, V)
    begins, ends = stream == BOS, stream == EOS
    if not begins[0] or not ends[-1]:
        raise ValueError(f"stream must begin with {BEGIN} (id {BOS}) and end with {END} (id {EOS})")
    wrong = np.flatnonzero(begins[1:] != ends[:-1])
    if len(wrong):
        place = wrong[0] + 1
        what = f"{BEGIN} inside a sentence" if begins[place] else f"no {BEGIN} after {END}"
        raise ValueError(f"stream must have {BEGIN} at the start of each sentence, got {what} at {place}")
    return stream.astype(int, copy=False)


def _check_logprobs(logprobs):
    logprobs = np.asarray(logprobs)
    check_shape("logprobs", logprobs, N=None)
    if not len(logprobs) or not (logprobs <= 0).all():
        raise ValueError("logprobs must hold at least one number, none above 0")
    return logprobs


def _check_lambdas(lambdas, order):
    lambdas = np.asarray(lambdas, float)
    check_shape("lambdas", lambdas, **{"n+1": order + 1})
    if not (lambdas >= 0).all() or not lambdas[0] > 0 or abs(lambdas.sum() - 1) > 1e-9:
        raise ValueError(
            f"lambdas must sum to one, none negative and the first above 0, got {lambdas.tolist()}"
        )
    return lambdas
