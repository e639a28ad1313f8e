"""A character model of the tales: trained, stored in a byte a weight, and read unit by unit."""

import base64
from typing import NamedTuple

import numpy as np

from rnncourse._checks import check_ids, check_shape
from rnncourse._numerics import log_softmax, one_hot
from rnncourse.bptt.numpy import cross_entropy_backward, output_backward
from rnncourse.data.tales import tales_text
from rnncourse.data.text import Vocabulary, contiguous_batches
from rnncourse.lstm.numpy import LSTMParams, lstm_backward, lstm_forward, lstm_init
from rnncourse.optim import Adam
from rnncourse.rnn.numpy import OutputParams, cross_entropy_forward, output_forward, output_init
from rnncourse.training.numpy import train


class CharacterModel(NamedTuple):
    """An LSTM that reads characters and says which comes next."""

    characters: str
    """The vocabulary, in the order of the ids."""
    lstm: LSTMParams
    output: OutputParams


class Reading(NamedTuple):
    """What a model did on a text, character by character."""

    h: np.ndarray
    """(T, H), the hidden states, each after its character."""
    c: np.ndarray
    """(T, H), the cell states."""
    f: np.ndarray
    """(T, H), the forget gates."""
    log_probability: np.ndarray
    """(T, V), of each character to come next."""


def split_text(text=None, held_out=0.1):
    """Split the tales, or another text, into the part for training and the last part, held out."""
    text = tales_text() if text is None else text
    # At the end of a paragraph, so that all quotations are complete in both parts.
    cut = text.index("\n\n", int((1 - held_out) * len(text))) + 2
    return text[:cut], text[cut:]


def train_characters(seed=0, H=96, epochs=24, T=64, B=32, lr=0.004, forget_bias=1.0, progress=None):
    """Train a character model on the tales in float32; states are carried from batch to batch.

    Parameters
    ----------
    seed, H, epochs, T, B, lr, forget_bias
        H units; batches of B streams and T steps; Adam, its rate a quarter for the last third of the epochs;
        gradients clipped to norm 1.
    progress : bool, optional
        Whether to show a progress bar.

    Returns
    -------
    CharacterModel
    """
    rng = np.random.default_rng(seed)
    text, _ = split_text()
    vocabulary = Vocabulary.of(tales_text())
    ids, V = vocabulary.encode(text), len(vocabulary)
    params = lstm_init(rng, V, H, forget_bias, np.float32), output_init(rng, H, V, np.float32)
    zeros = np.zeros((B, H), np.float32)
    carried = {}

    def loss(params, batch):
        x, y, first = batch
        start = (zeros, zeros) if first else carried["state"]
        output, carried["state"], cache = lstm_forward(one_hot(x, V, np.float32), start, params[0])
        logits, output_cache = output_forward(output, params[1])
        value, loss_cache = cross_entropy_forward(logits, y)
        doutput, doutput_params = output_backward(cross_entropy_backward(1.0, loss_cache), output_cache)
        _, _, dlstm = lstm_backward(doutput, (zeros, zeros), cache)
        return float(value), (dlstm, doutput_params)

    def batches(epochs):
        for _ in range(epochs):
            for place, (x, y) in enumerate(contiguous_batches(ids, B, T)):
                yield x, y, place == 0

    last = epochs // 3
    for rate, some in ((lr, epochs - last), (lr / 4, last)):
        trained = train(loss, params, batches(some), Adam(rate), clip=1.0, progress=progress)
        params = trained.params
    return CharacterModel(vocabulary.characters, *params)


def pack(model):
    """Store a model as JSON values, one byte a weight: integers of -127 .. 127 and a scale for each row.

    Parameters
    ----------
    model : CharacterModel

    Returns
    -------
    dict
        For :func:`unpack`. The two biases of the LSTM are stored as their sum.
    """
    lstm, output = model.lstm, model.output
    bias = lstm.bias_ih + lstm.bias_hh
    arrays = {
        "weight_ih": lstm.weight_ih,
        "weight_hh": lstm.weight_hh,
        "bias": bias[:, None],
        "output_weight": output.weight,
        "output_bias": output.bias[:, None],
    }
    return {"characters": model.characters} | {name: pack_rows(a) for name, a in arrays.items()}


def pack_rows(array):
    """A matrix as JSON values: one byte a number, and a scale for each row."""
    scale = np.maximum(np.abs(array).max(axis=1), 1e-12).astype("<f4") / np.float32(127)
    values = np.rint(array / scale[:, None]).astype(np.int8)
    text = {
        name: base64.b64encode(a.tobytes()).decode() for name, a in {"scale": scale, "values": values}.items()
    }
    return {"shape": list(array.shape), **text}


def unpack(packed, dtype=np.float64):
    """Model from what :func:`pack` stored.

    Parameters
    ----------
    packed : dict
    dtype : dtype

    Returns
    -------
    CharacterModel
    """
    weights = {name: unpack_rows(rows, dtype) for name, rows in packed.items() if name != "characters"}
    bias = weights["bias"][:, 0]
    lstm = LSTMParams(weights["weight_ih"], weights["weight_hh"], bias, np.zeros_like(bias))
    output = OutputParams(weights["output_weight"], weights["output_bias"][:, 0])
    return CharacterModel(packed["characters"], lstm, output)


def unpack_rows(rows, dtype):
    """A matrix from what :func:`pack_rows` stored."""
    values = np.frombuffer(base64.b64decode(rows["values"]), np.int8).reshape(rows["shape"])
    scale = np.frombuffer(base64.b64decode(rows["scale"]), "<f4")
    return values.astype(dtype) * scale.astype(dtype)[:, None]


def read_text(model, text):
    """Read a text from a zero state.

    Parameters
    ----------
    model : CharacterModel
    text : str

    Returns
    -------
    Reading

    Raises
    ------
    ValueError
        If a character is unknown.
    """
    ids = Vocabulary(model.characters).encode(text)
    H = model.lstm.weight_hh.shape[1]
    zeros = np.zeros((1, H), model.lstm.weight_hh.dtype)
    x = one_hot(ids, len(model.characters), zeros.dtype)[:, None]
    output, _, cache = lstm_forward(x, (zeros, zeros), model.lstm)
    logits, _ = output_forward(output, model.output)
    f = cache.gates[:, 0, H : 2 * H]
    return Reading(output[:, 0], cache.c[1:, 0], f, log_softmax(logits[:, 0]))


def ablate(model, unit, value):
    """Cut a unit off: all that read its hidden state read a constant in its place.

    Nothing reads a cell but through its hidden state, so the unit's content reaches neither the other units
    nor the output.

    Parameters
    ----------
    model : CharacterModel
    unit : int
    value : float
        The constant; its mean over a text leaves the others' inputs right on average.

    Returns
    -------
    CharacterModel

    Raises
    ------
    ValueError
        If there is no such unit.
    """
    lstm, output = model.lstm, model.output
    check_ids("unit", np.array(unit), lstm.weight_hh.shape[1])
    weight_hh, weight = lstm.weight_hh.copy(), output.weight.copy()
    weight_hh[:, unit] = weight[:, unit] = 0
    bias_hh = lstm.bias_hh + value * lstm.weight_hh[:, unit]
    bias = output.bias + value * output.weight[:, unit]
    return model._replace(
        lstm=lstm._replace(weight_hh=weight_hh, bias_hh=bias_hh), output=OutputParams(weight, bias)
    )


def inside_quotes(text):
    """For each character, whether a quotation is open after it: from its opening mark to its last letter.

    Parameters
    ----------
    text : str
        Quotation marks come in pairs.

    Returns
    -------
    (len(text),) array of bool
    """
    return np.cumsum([character == '"' for character in text]) % 2 == 1


def correlations(states, labels):
    """Correlation of each unit with a yes-or-no label.

    Parameters
    ----------
    states : (T, H) array
    labels : (T,) array of bool

    Returns
    -------
    (H,) array
    """
    check_shape("labels", labels, T=len(states))
    centred = states - states.mean(axis=0)
    label = labels - labels.mean()
    return centred.T @ label / np.sqrt((centred**2).sum(axis=0) * (label**2).sum() + 1e-300)


def auc(scores, labels):
    """Area under the curve: how often a labelled case scores above one that is not; ties count half.

    Parameters
    ----------
    scores : (N,) array
    labels : (N,) array of bool
        Some true, some false.

    Returns
    -------
    float
        1 if the scores separate the two, 0.5 if they know nothing of the labels.
    """
    check_shape("labels", labels, N=len(scores))
    others = np.sort(scores[~labels])
    below = np.searchsorted(others, scores[labels], "left") + np.searchsorted(others, scores[labels], "right")
    return float(below.mean() / 2 / len(others))


def probe(states, labels, penalty=10.0):
    """A linear reader of the units, fitted by ridge regression to standardised states.

    Parameters
    ----------
    states : (T, H) array
    labels : (T,) array of bool
    penalty : float

    Returns
    -------
    function
        From states (T, H) to guesses (T,) of bool.
    """
    check_shape("labels", labels, T=len(states))
    mean, scale = states.mean(axis=0), states.std(axis=0) + 1e-9

    def standardised(states):
        return np.column_stack([(states - mean) / scale, np.ones(len(states))])

    seen = standardised(states)
    weights = np.linalg.solve(seen.T @ seen + penalty * np.eye(seen.shape[1]), seen.T @ (2.0 * labels - 1))
    return lambda states: standardised(states) @ weights > 0


def quote_scores(model, text):
    """How a model treats quotation marks.

    Parameters
    ----------
    model : CharacterModel
    text : str

    Returns
    -------
    dict
        ``loss``, the mean over all characters but the first, in nats; ``closing``, the mean over the closing
        marks; ``inside`` and ``outside``, the mean probability of a mark after a full stop, comma, question
        or exclamation mark while a quotation is open, and while none is; ``auc``, how often a stop in a
        quotation gets a higher probability than one outside, and ``log_odds``, the difference of the mean
        log odds of the two.
    """
    ids = np.array([model.characters.index(character) for character in text])
    log_probability = read_text(model, text).log_probability[:-1]
    losses = -log_probability[np.arange(len(ids) - 1), ids[1:]]
    now = inside_quotes(text)[:-1]
    mark = model.characters.index('"')
    stop = np.isin(list(text[:-1]), list(".,?!"))
    probability = np.exp(log_probability[:, mark])
    log_odds = log_probability[:, mark] - np.log1p(-probability)
    return {
        "loss": float(losses.mean()),
        "closing": float(losses[(ids[1:] == mark) & now].mean()),
        "inside": float(probability[stop & now].mean()),
        "outside": float(probability[stop & ~now].mean()),
        "auc": auc(log_odds[stop], now[stop]),
        "log_odds": float(log_odds[stop & now].mean() - log_odds[stop & ~now].mean()),
    }
