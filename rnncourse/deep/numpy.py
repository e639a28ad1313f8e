"""Stacks of recurrent layers, in one or both directions, over sequences of different lengths, in NumPy."""

import re
from typing import Any, NamedTuple

import numpy as np

from rnncourse._checks import (
    check_choice,
    check_floats,
    check_lengths,
    check_positive,
    check_sequence,
    check_shape,
)
from rnncourse.bptt.numpy import rnn_backward
from rnncourse.deep._checks import check_names
from rnncourse.gru.numpy import GRUParams, gru_backward, gru_forward, gru_init
from rnncourse.lstm.numpy import LSTMCache, LSTMParams, lstm_backward, lstm_forward, lstm_init
from rnncourse.optim._tree import tree_map
from rnncourse.rnn.numpy import RNNCache, RNNParams, rnn_forward, rnn_init

# By the name of the cell: the type of its parameters, and what draws one layer.
_CELLS = {"rnn": (RNNParams, rnn_init), "gru": (GRUParams, gru_init), "lstm": (LSTMParams, lstm_init)}
# How many blocks of H rows the matrices of a cell have.
_BLOCKS = {RNNParams: 1, GRUParams: 3, LSTMParams: 4}

_NONLINEARITIES = {RNNParams: ["tanh", "relu"], GRUParams: ["tanh"], LSTMParams: ["tanh"]}


class Segment(NamedTuple):
    """A stretch of steps in which no sequence ends, and the cell's run over it."""

    start: int
    stop: int
    rows: np.ndarray
    """Which sequences are still running."""
    cache: Any
    """The cell's."""


class DeepCache(NamedTuple):
    """What the forward pass keeps for the backward pass."""

    shape: tuple
    """(T, B, D), the shape of the inputs."""
    params: tuple
    lengths: np.ndarray
    """(B,), the number of real steps of each sequence."""
    masks: tuple
    """Dropout between the layers, an array each, or the number 1 where there is none."""
    runs: tuple
    """By layer and direction, the list of segments."""


def deep_init(rng, cell, D, H, layers, bidirectional=False, dtype=np.float64):
    """Draw the parameters of a stack, each uniform on +-1/sqrt(H), as ``torch.nn.LSTM`` and the others do.

    Parameters
    ----------
    rng : np.random.Generator
    cell : {"rnn", "gru", "lstm"}
    D, H : int
        Input size, and hidden size of each direction.
    layers : int
    bidirectional : bool
    dtype : dtype

    Returns
    -------
    tuple
        One item a layer: a tuple of the parameters of its directions, forwards first.

    Raises
    ------
    ValueError
        If a size is not positive or the cell unknown.
    """
    check_choice("cell", cell, list(_CELLS))
    check_positive("D", D)
    check_positive("H", H)
    check_positive("layers", layers)
    directions = 1 + bool(bidirectional)
    _, init = _CELLS[cell]
    sizes = [D] + [directions * H] * (layers - 1)
    return tuple(tuple(init(rng, F, H, dtype=dtype) for _ in range(directions)) for F in sizes)


def parameter_count(cell, D, H, layers, bidirectional=False):
    """Number of parameters of a stack, by the closed form of book/deep.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    D, H, layers : int
    bidirectional : bool

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If a size is not positive or the cell unknown.
    """
    check_choice("cell", cell, list(_CELLS))
    check_positive("D", D)
    check_positive("H", H)
    check_positive("layers", layers)
    blocks = _BLOCKS[_CELLS[cell][0]]
    directions = 1 + bool(bidirectional)
    first = blocks * H * (D + H + 2)
    other = blocks * H * (directions * H + H + 2)
    return directions * (first + (layers - 1) * other)


def to_state_dict(params):
    """Name the parameters as ``torch.nn`` does: ``weight_ih_l0``, ``weight_ih_l0_reverse`` and so on.

    Parameters
    ----------
    params : tuple
        Of a stack, as from :func:`deep_init`.

    Returns
    -------
    dict of arrays
    """
    return {
        f"{name}_l{k}{'_reverse' * d}": array
        for k, layer in enumerate(params)
        for d, p in enumerate(layer)
        for name, array in p._asdict().items()
    }


def from_state_dict(named):
    """Read the parameters of a stack by their names in ``torch.nn``.

    The cell is told by the shape of ``weight_hh_l0``: 1, 3 or 4 blocks of H rows.

    Parameters
    ----------
    named : dict of arrays, or of tensors on the CPU
        The state_dict of a ``torch.nn.RNN``, ``GRU`` or ``LSTM``.

    Returns
    -------
    tuple

    Raises
    ------
    ValueError
        If a name is missing or unknown, a shape does not fit, or the numbers are not finite floats of one
        dtype that NumPy has.
    """
    named = {name: _as_array(name, array) for name, array in named.items()}
    if "weight_hh_l0" not in named:
        raise ValueError(f"the state_dict must hold weight_hh_l0, got {', '.join(named) or 'nothing'}")
    check_shape("weight_hh_l0", named["weight_hh_l0"], rows=None, H=None)
    rows, H = named["weight_hh_l0"].shape
    kinds = {blocks * H: kind for kind, blocks in _BLOCKS.items()}
    if rows not in kinds:
        raise ValueError(f"weight_hh_l0 must have H, 3H or 4H rows, H = {H}, got {rows}")
    kind = kinds[rows]
    layers = 1 + max(int(n) for name in named for n in re.findall(r"_l(\d+)", name))
    suffixes = [""] + ["_reverse"] * any(name.endswith("_reverse") for name in named)
    wanted = [f"{name}_l{k}{end}" for k in range(layers) for end in suffixes for name in kind._fields]
    check_names(named, wanted)
    check_floats(**{name: named[name] for name in wanted})
    params = tuple(
        tuple(kind(*(named[f"{name}_l{k}{end}"] for name in kind._fields)) for end in suffixes)
        for k in range(layers)
    )
    _check_params(params)
    return params


def _as_array(name, tensor):
    try:
        return np.asarray(tensor).copy()
    except TypeError as error:  # a tensor on the GPU, or of bfloat16
        raise ValueError(f"{name} must fit into a NumPy array: {error}") from None


def _check_params(params):
    """Sizes of a stack: directions, D, H."""
    kinds = {type(p) for layer in params for p in layer}
    directions = {len(layer) for layer in params}
    if len(kinds) != 1 or not kinds <= _BLOCKS.keys() or len(directions) != 1 or not directions <= {1, 2}:
        raise ValueError(
            "params must hold one kind of cell, and one or two directions, the same in each layer"
        )
    (kind,), (directions,) = kinds, directions
    first = params[0][0]
    check_shape("weight_ih_l0", first.weight_ih, rows=None, D=None)
    check_shape("weight_hh_l0", first.weight_hh, rows=None, H=None)
    D, H = first.weight_ih.shape[1], first.weight_hh.shape[1]
    rows = {f"{_BLOCKS[kind]}H".removeprefix("1"): _BLOCKS[kind] * H}
    for k, layer in enumerate(params):
        inputs = {"D": D} if k == 0 else {f"{directions}H".removeprefix("1"): directions * H}
        for d, p in enumerate(layer):
            end = f"_l{k}{'_reverse' * d}"
            check_shape(f"weight_ih{end}", p.weight_ih, **rows, **_other(inputs, rows))
            check_shape(f"weight_hh{end}", p.weight_hh, **rows, **_other({"H": H}, rows))
            check_shape(f"bias_ih{end}", p.bias_ih, **rows)
            check_shape(f"bias_hh{end}", p.bias_hh, **rows)
    return directions, D, H


def _other(sizes, rows):
    """The sizes under names that differ from those of the rows."""
    return {name + "_" * (name in rows): size for name, size in sizes.items()}


def dropout_mask(rng, shape, keep, dtype=np.float64):
    """Draw a mask for dropout: 0, or 1 / keep with probability `keep`, so that its mean is 1.

    Implements :eq:`deep-dropout` of book/deep. Source: Srivastava et al. (2014), who scale the weights
    down after training; here, as is usual now, what is kept is scaled up in training. With the shape
    (T, B, F) every step has its own mask (Zaremba et al., 2014), with (1, B, F) a sequence has one mask for
    all its steps (Gal and Ghahramani, 2016).

    Parameters
    ----------
    rng : np.random.Generator
    shape : tuple of int
    keep : float
        Probability of keeping a unit, in (0, 1].
    dtype : dtype

    Returns
    -------
    array

    Raises
    ------
    ValueError
        If `keep` is out of range.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep must lie in (0, 1], got {keep!r}")
    return (rng.random(shape) < keep).astype(dtype) / float(keep)


def drop_recurrent(params, masks):
    """Variational dropout of the state that the next step reads, folded into the recurrent matrices.

    Implements :eq:`deep-variational` of book/deep. Source: Gal and Ghahramani (2016); they draw a
    mask for each sequence, here one mask serves the whole batch. The map is linear and its own transpose:
    the gradient of `params` is this function of the gradient of the result, with the same masks.

    Parameters
    ----------
    params : tuple
        Of a stack.
    masks : tuple of tuples of (H,) arrays
        By layer and direction, each from :func:`dropout_mask`.

    Returns
    -------
    tuple
        Like `params`.

    Raises
    ------
    ValueError
        If the masks do not fit.
    """
    directions, _, H = _check_params(params)
    if len(masks) != len(params) or any(len(layer) != directions for layer in masks):
        raise ValueError(f"masks must hold {len(params)} layers of {directions} masks")
    for k, layer in enumerate(masks):
        for d, mask in enumerate(layer):
            check_shape(f"masks[{k}][{d}]", mask, H=H)
            check_floats(**{f"weight_hh_l{k}": params[k][d].weight_hh, f"masks[{k}][{d}]": mask})
    return tuple(
        tuple(p._replace(weight_hh=p.weight_hh * mask) for p, mask in zip(layer, drawn, strict=True))
        for layer, drawn in zip(params, masks, strict=True)
    )


def reverse_sequences(x, lengths):
    """Turn each sequence round within its length; padding stays where it is.

    Implements :eq:`deep-reverse` of book/deep. It is its own inverse, and its own transpose.

    Parameters
    ----------
    x : (T, B, ...) array
    lengths : (B,) array or list of int

    Returns
    -------
    array
        Of the shape of `x`.

    Raises
    ------
    ValueError
        If the lengths do not fit, or there is no step or no sequence.
    """
    if x.ndim < 2 or 0 in x.shape[:2]:
        raise ValueError(f"x must have shape (T, B, ...) with T and B at least 1, got {x.shape}")
    T, B = x.shape[:2]
    lengths = np.asarray(lengths)
    check_lengths(lengths, T, B)
    t = np.arange(T)[:, None]
    order = np.where(t < lengths, lengths - 1 - t, t)
    return x[order, np.arange(B)]


def _run_forward(x, state, params, lengths, nonlinearity):
    """One direction of one layer, a segment at a time: what packing does.

    A sequence leaves at its last real step and its state stays as it is then: no step reads padding.
    """
    output = np.zeros((*x.shape[:2], params.weight_hh.shape[1]), x.dtype)
    state, segments, start = [np.array(s) for s in state], [], 0
    for stop in np.unique(lengths):
        rows = np.flatnonzero(lengths > start)
        given = [s[rows] for s in state]
        if isinstance(params, LSTMParams):
            part, last, cache = lstm_forward(x[start:stop, rows], given, params)
        else:
            run = (rnn_forward, nonlinearity) if isinstance(params, RNNParams) else (gru_forward,)
            part, *last, cache = run[0](x[start:stop, rows], *given, params, *run[1:])
        output[start:stop, rows] = part
        for s, now in zip(state, last, strict=True):
            s[rows] = now
        segments.append(Segment(start, stop, rows, cache))
        start = stop
    return output, state, segments


def _run_backward(doutput, dstate, segments, inputs):
    """Vector-Jacobian product of `_run_forward`: a sequence joins at its last real step."""
    dx = np.zeros((*doutput.shape[:2], inputs), doutput.dtype)
    dstate, total = [np.array(d) for d in dstate], None
    for start, stop, rows, cache in reversed(segments):
        part, given = doutput[start:stop, rows], [d[rows] for d in dstate]
        if isinstance(cache, LSTMCache):
            dx_part, dfirst, dparams = lstm_backward(part, given, cache)
        else:
            backward = rnn_backward if isinstance(cache, RNNCache) else gru_backward
            dx_part, *dfirst, dparams = backward(part, *given, cache)
        dx[start:stop, rows] = dx_part
        for d, now in zip(dstate, dfirst, strict=True):
            d[rows] = now
        total = dparams if total is None else tree_map(np.add, total, dparams)
    return dx, dstate, total


def _states(names, state, params, B, H, dtype):
    """The states of a stack by name, each (layers x directions, B, H); zeros if none are given."""
    names = names if isinstance(params[0][0], LSTMParams) else names[:1]
    N = len(params) * len(params[0])
    if state is None:
        state = [np.zeros((N, B, H), dtype) for _ in names]
    state = list(state) if isinstance(state, tuple | list) else [state]
    if len(state) != len(names):
        raise ValueError(f"the state must hold {' and '.join(names)}, got {len(state)} arrays")
    for name, s in zip(names, state, strict=True):
        check_shape(name, s, N=N, B=B, H=H)
    return dict(zip(names, state, strict=True))


def deep_forward(x, state, params, lengths=None, masks=None, nonlinearity="tanh"):
    """Run a stack over a batch of sequences.

    Implements :eq:`deep-stack`, :eq:`deep-bidirectional` of book/deep. Sources: Graves (2013) for
    the stack, whose layers all read the input, too, and whose output reads all layers; Schuster and Paliwal
    (1997) for the two directions; Zaremba et al. (2014) for dropout on the way up only. The result is that
    of ``torch.nn`` with ``pack_padded_sequence`` before and ``pad_packed_sequence`` after it. Padding is not
    read: it may hold anything, nan included.

    Parameters
    ----------
    x : (T, B, D) array
        Inputs, time first.
    state : array, pair of arrays, or None
        Initial states h_0, for LSTM cells (h_0, c_0), each (layers x directions, B, H) in ``torch.nn``'s
        order: layer 0 forwards, layer 0 backwards, layer 1 forwards, ...; None is zero.
    params : tuple
        As from :func:`deep_init`.
    lengths : (B,) array or list of int, optional
        Real steps of each sequence, 1 .. T; all T if not given.
    masks : sequence of arrays, optional
        What multiplies the output of each layer but the last before the next one reads it:
        (T, B, directions x H), or (1, B, directions x H) for all steps alike.
    nonlinearity : {"tanh", "relu"}
        Of cells "rnn"; the others have none to choose.

    Returns
    -------
    output : (T, B, directions x H) array
        The last layer's states, forwards beside backwards; zero at padding.
    state : array or pair of arrays
        Each sequence's states after its last real step, backwards after its first, in the form of `state`.
    cache : DeepCache
        For :func:`deep_backward`.

    Raises
    ------
    ValueError
        If a shape, dtype or length does not fit, or a number outside the padding is not finite.
    """
    directions, D, H = _check_params(params)
    check_sequence("x", x, T=None, B=None, D=D)
    T, B, _ = x.shape
    lengths = np.full(B, T) if lengths is None else np.asarray(lengths)
    check_lengths(lengths, T, B)
    check_choice("nonlinearity", nonlinearity, _NONLINEARITIES[type(params[0][0])])
    h = np.where((np.arange(T)[:, None] < lengths)[..., None], x, x.dtype.type(0))
    states = _states(("h_0", "c_0"), state, params, B, H, x.dtype)
    check_floats(x=h, **states, **to_state_dict(params))
    masks = _checked_masks(masks, len(params), T, B, directions * H, x)

    final, runs = [np.empty_like(s) for s in states.values()], []
    for k, layer in enumerate(params):
        if k > 0:
            h = h * masks[k - 1]
        outputs, segments = [], []
        for d, p in enumerate(layer):
            place = k * directions + d
            read = reverse_sequences(h, lengths) if d else h
            given = [s[place] for s in states.values()]
            output, last, run = _run_forward(read, given, p, lengths, nonlinearity)
            outputs.append(reverse_sequences(output, lengths) if d else output)
            for array, now in zip(final, last, strict=True):
                array[place] = now
            segments.append(run)
        h = np.concatenate(outputs, axis=-1)
        runs.append(tuple(segments))
    cache = DeepCache(x.shape, params, lengths, masks, tuple(runs))
    return h, tuple(final) if len(final) == 2 else final[0], cache


def _checked_masks(masks, layers, T, B, F, x):
    if masks is None:
        return (x.dtype.type(1),) * (layers - 1)
    if len(masks) != layers - 1:
        raise ValueError(f"masks must hold one mask between two layers, {layers - 1}, got {len(masks)}")
    for k, mask in enumerate(masks):
        check_shape(f"masks[{k}]", mask, T=1 if mask.shape[:1] == (1,) else T, B=B, F=F)
        check_floats(x=np.zeros(1, x.dtype), **{f"masks[{k}]": mask})
    return tuple(masks)


def deep_backward(doutput, dstate, cache):
    """Vector-Jacobian product of :func:`deep_forward`.

    Implements :eq:`deep-backward` of book/deep.

    Parameters
    ----------
    doutput : (T, B, directions x H) array
        dL/d output; at padding it is not read.
    dstate : array, pair of arrays, or None
        dL/d the final states, for LSTM cells (dh_T, dc_T), each (layers x directions, B, H); None is zero.
    cache : DeepCache

    Returns
    -------
    dx : (T, B, D) array
        Zero at padding.
    dstate : array or pair of arrays
        dL/d the initial states.
    dparams : tuple
        Like the parameters.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number outside the padding is not finite.
    """
    (T, B, D), params, lengths, masks, runs = cache
    directions, H = len(params[0]), params[0][0].weight_hh.shape[1]
    check_shape("doutput", doutput, T=T, B=B, F=directions * H)
    real = (np.arange(T)[:, None] < lengths)[..., None]
    dh = np.where(real, doutput, doutput.dtype.type(0))
    dstates = _states(("dh_T", "dc_T"), dstate, params, B, H, dh.dtype)
    check_floats(params=params[0][0].weight_hh, doutput=dh, **dstates)

    dfirst, dparams = [np.empty_like(d) for d in dstates.values()], []
    for k in reversed(range(len(params))):
        halves = np.split(dh, directions, axis=-1)
        inputs, layer = [], []
        for d, half in enumerate(halves):
            place = k * directions + d
            read = reverse_sequences(half, lengths) if d else half
            given = [s[place] for s in dstates.values()]
            dx, first, dp = _run_backward(read, given, runs[k][d], params[k][d].weight_ih.shape[1])
            inputs.append(reverse_sequences(dx, lengths) if d else dx)
            for array, now in zip(dfirst, first, strict=True):
                array[place] = now
            layer.append(dp)
        dh = sum(inputs)
        if k > 0:
            dh = dh * masks[k - 1]
        dparams.insert(0, tuple(layer))
    return dh, tuple(dfirst) if len(dfirst) == 2 else dfirst[0], tuple(dparams)


def count_paths(T, layers, direction):
    """In how many ways an input can reach an output.

    Implements :eq:`deep-paths` of book/deep: a path goes up through the layers, and along the steps
    as each layer reads them. It is the gradient of a network with all weights 1 and no nonlinearity.

    Parameters
    ----------
    T, layers : int
    direction : {"forward", "backward", "bidirectional", "alternating"}
        Of all layers; alternating ones read forwards, backwards, forwards, ...

    Returns
    -------
    (T, T) array
        Element [t, s] for output t and input s; whole numbers, as floats.

    Raises
    ------
    ValueError
        If a size is not positive or the direction unknown.
    """
    check_positive("T", T)
    check_positive("layers", layers)
    check_choice("direction", direction, ["forward", "backward", "bidirectional", "alternating"])
    forward = np.tril(np.ones((T, T)))
    kinds = {
        "forward": [forward],
        "backward": [forward.T],
        "bidirectional": [forward + forward.T],
        "alternating": [forward, forward.T],
    }[direction]
    paths = np.eye(T)
    for k in range(layers):
        paths = kinds[k % len(kinds)] @ paths
    return paths
