"""What the graded exercise on attention asks, and how an answer is judged."""

import numpy as np

from rnncourse._numerics import log_softmax
from rnncourse.attention.experiment import as_data, small_model
from rnncourse.attention.mutants import ATTEND, ATTEND_BACKWARD, SCORES
from rnncourse.attention.numpy import (
    AttendCache,
    ScoreCache,
    additive_backward,
    additive_forward,
    attend_backward,
    attend_forward,
    attention_forward,
    padding_mask,
    score_init,
)
from rnncourse.data import grammar
from rnncourse.data.pairs import pair_batch
from rnncourse.grading.check import Parity, Property, draw_sizes


def _draw_attend(rng):
    T, S, B, D = draw_sizes(rng)
    lengths = rng.integers(1, S + 1, B)
    lengths[0] = max(1, S - 1)  # some padding in every draw
    scores, values = 2 * rng.normal(size=(B, T, S)), rng.normal(size=(S, B, D))
    return scores, values, padding_mask(lengths, S)


def _call_attend(attend, scores, values, mask):
    context, weights, _ = attend(scores, values, mask)
    return context, weights


def _draw_attend_backward(rng):
    scores, values, mask = _draw_attend(rng)
    context, weights, _ = attend_forward(scores, values, mask)
    return rng.normal(size=context.shape), rng.normal(size=weights.shape), weights, values


def _call_attend_backward(backward, dcontext, dweights, weights, values):
    return backward(dcontext, dweights, AttendCache(weights, values))


def _draw_additive(rng):
    T, S, B, H = draw_sizes(rng)
    query, keys = rng.normal(size=(T, B, H)), rng.normal(size=(S, B, H + 1))
    return query, keys, score_init(rng, H, H + 1, 7)


def _call_additive(forward, query, keys, params):
    return forward(query, keys, params)[0]


def _draw_additive_backward(rng):
    query, keys, params = _draw_additive(rng)
    scores, cache = additive_forward(query, keys, params)
    return rng.normal(size=scores.shape), query, keys, cache.features, params


def _call_additive_backward(backward, dscores, query, keys, features, params):
    return backward(dscores, ScoreCache(query, keys, params, features))


def logprob(source, target_input, target, t, params):
    """ln P of the word at step t of one translation, given the right words before it.

    Parameters
    ----------
    source : (S,) array of int
    target_input : (T,) array of int
    target : (T,) array of int
    t : int
    params : AttentionParams

    Returns
    -------
    float
        In nats.
    """
    lengths = np.array([len(source)])
    logits, _, _ = attention_forward(source[:, None], lengths, target_input[:, None], params)
    return float(log_softmax(logits)[t, 0, target[t]])


def draw_step(rng):
    """A sentence of the grammar and one step of its translation, as ids: source, target_input, target, t."""
    batch = pair_batch(as_data([grammar.sample(rng)]))
    return (
        batch.source[:, 0],
        batch.target_input[:, 0],
        batch.target[:, 0],
        int(rng.integers(len(batch.target))),
    )


def _judge_effects(answer, rng):
    params = small_model()
    words = np.arange(4, len(params.embedding))
    total = 0.0
    for _ in range(8):
        source, target_input, target, t = draw_step(rng)
        # The word at s is erased: another word there is no difference, another word elsewhere is one.
        s, elsewhere = (int(place) for place in rng.choice(len(source), 2, replace=False))
        whole, effect = [], []
        for place in (None, s, elsewhere):
            ids = source.copy()
            if place is not None:
                ids[place] = rng.choice(words[words != source[place]])
            effects = np.asarray(answer(ids.copy(), target_input.copy(), target.copy(), t, params))
            if effects.shape != ids.shape or effects.dtype.kind != "f":
                raise AssertionError(
                    f"return {len(ids)} floats, got shape {effects.shape} of {effects.dtype}"
                )
            if not np.isfinite(effects).all():
                raise AssertionError("your effects hold nan or inf")
            # Far out, the differences below vanish in rounding.
            if np.abs(effects).max() > 1000:
                raise AssertionError(f"no word changes ln P by {np.abs(effects).max():.3g} nats")
            total += np.abs(effects).sum()
            whole.append(logprob(ids, target_input, target, t, params))
            effect.append(effects[s])
        if not np.any(effect):
            continue
        erased, negated = np.subtract(whole, effect), np.add(whole, effect)
        if not abs(erased[0] - erased[1]) < 1e-8:
            if abs(negated[0] - negated[1]) < 1e-8:
                raise AssertionError(
                    "the sign: a word that helps makes ln P fall, and that counts as positive"
                )
            raise AssertionError(
                f"the model still knows which word stands at position {s}: with another word there, ln P "
                f"after your erasure is {erased[1]:.8g}, not {erased[0]:.8g}. By which ways does a word "
                "reach the decoder?"
            )
        if abs(erased[0] - erased[2]) < 1e-12:
            raise AssertionError(
                f"with position {s} erased, ln P stays {erased[0]:.8g} when the word at {elsewhere} becomes "
                "another: erase one word at a time and leave the others"
            )
    if total < 1:
        raise AssertionError("your effects are all about zero: no word seems to matter for any translation")


def _of(mutants, function):
    return tuple(mutant for mutant in mutants if mutant.function is function)


QUESTIONS = {
    "q1": Parity(attend_forward, _draw_attend, ("context", "weights"), ATTEND, _call_attend),
    "q2": Parity(
        attend_backward, _draw_attend_backward, ("dscores", "dvalues"), ATTEND_BACKWARD, _call_attend_backward
    ),
    "q3": Parity(
        additive_forward, _draw_additive, ("scores",), _of(SCORES, additive_forward), _call_additive
    ),
    "q4": Parity(
        additive_backward,
        _draw_additive_backward,
        ("dquery", "dkeys", "dparams"),
        _of(SCORES, additive_backward),
        _call_additive_backward,
    ),
    "q5": Property(_judge_effects),
}
