"""The recurrent language model in PyTorch, and sampling from it in batches."""

import math

import torch
from torch import nn

from rnncourse._checks import check_choice, check_fraction, check_positive, check_shape

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class LanguageModel(nn.Module):
    """Embedding, recurrent layers, and a linear layer to one logit for each token.

    Implements :eq:`lm-model`, :eq:`lm-tied` of book/language_model. Source: Mikolov et al. (2010); they had
    an Elman network whose input is one-hot, here an embedding stands before any of three cells. Dropout is
    where Zaremba et al. (2014) put it, never from step to step; one table for both ends is from Press and
    Wolf (2017). The layers are modules of one layer each, as PyTorch keeps the random state of cuDNN's own
    dropout where no checkpoint can reach it.

    Parameters
    ----------
    V, E, H : int
        Tokens, size of the embedding, hidden units.
    cell : str
        ``"rnn"``, ``"gru"`` or ``"lstm"``.
    layers : int
    dropout : float
        In [0, 1), after the embedding and after each layer.
    tied : bool
        Whether embedding and output share their weight; needs E = H.
    device, dtype
        As in torch.nn.

    Raises
    ------
    ValueError
        If a setting is out of range.
    """

    def __init__(self, V, E, H, cell="lstm", layers=1, dropout=0.0, tied=False, device=None, dtype=None):
        super().__init__()
        for name, size in {"V": V, "E": E, "H": H, "layers": layers}.items():
            check_positive(name, size)
        check_choice("cell", cell, tuple(CELLS))
        check_fraction("dropout", dropout)
        if tied and E != H:
            raise ValueError(f"tied needs E = H, one table for both ends, got E = {E} and H = {H}")
        kind = {"device": device, "dtype": dtype}
        self.embedding = nn.Embedding(V, E, **kind)
        self.rnn = nn.ModuleList(CELLS[cell](H if layer else E, H, **kind) for layer in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(H, V, **kind)
        if tied:
            # Of the two, the output's start: the embedding's standard deviation of 1 gives logits of sqrt(H).
            self.embedding.weight = self.output.weight

    def forward(self, ids, state=None):
        """Logits of the token after each one.

        Parameters
        ----------
        ids : (T, B) tensor of int32 or int64
        state : optional
            As it is returned; zero if not given.

        Returns
        -------
        logits : (T, B, V) tensor
            ``logits[t]`` is for the token that follows ``ids[t]``.
        state : (layers, B, H) tensor, for an LSTM the pair of h and c
            As in torch.nn.

        Raises
        ------
        ValueError
            If a shape or dtype does not fit or, looked at on the CPU only, an id is not in 0 .. V - 1.
        """
        check_shape("ids", ids, T=None, B=None)
        if 0 in ids.shape:
            raise ValueError(f"ids must have shape (T, B) with no size 0, got {tuple(ids.shape)}")
        if ids.dtype not in (torch.int32, torch.int64):
            raise ValueError(f"ids must hold integers, got dtype {ids.dtype}")
        V, H, B = self.output.out_features, self.output.in_features, ids.shape[1]
        if not ids.is_cuda and (ids.min() < 0 or ids.max() >= V):
            raise ValueError(f"ids must lie in 0 .. V - 1 = {V - 1}, got {ids.min()} .. {ids.max()}")
        paired = isinstance(self.rnn[0], nn.LSTM)
        if state is None:
            before = [None] * len(self.rnn)
        else:
            for name, part in zip(("h_0", "c_0"), state if paired else [state], strict=False):
                check_shape(name, part, layers=len(self.rnn), B=B, H=H)
            before = list(zip(*(s.split(1) for s in state), strict=True)) if paired else state.split(1)
        x, after = self.dropout(self.embedding(ids)), []
        for layer, start in zip(self.rnn, before, strict=True):
            x, end = layer(x, start)
            x = self.dropout(x)
            after.append(end)
        after = tuple(map(torch.cat, zip(*after, strict=True))) if paired else torch.cat(after)
        return self.output(x), after


def sampling_probabilities(logits, temperature=1.0, top_k=None, nucleus=None):
    """Probabilities to draw the next token from: those of the model, sharpened and cut.

    Implements :eq:`lm-temperature`, :eq:`lm-top-k`, :eq:`lm-nucleus` of book/language_model. The order is
    temperature, then top-k (Fan et al., 2018), then nucleus (Holtzman et al., 2020): the fewest most likely
    tokens whose probabilities, taken after top-k, sum to at least `nucleus`. Of equally likely tokens those
    with the lower ids are kept.

    Parameters
    ----------
    logits : (..., V) tensor
        -inf for a token that is ruled out.
    temperature : float
        Above 0; it divides the logits.
    top_k : int, optional
        Keep so many tokens; more than V keeps all.
    nucleus : float, optional
        In (0, 1].

    Returns
    -------
    (..., V) tensor
        Zero for the tokens cut off.

    Raises
    ------
    ValueError
        If a setting is out of range.
    """
    _check_sampling(temperature, top_k, nucleus)
    # The largest logit first becomes 0, or a low temperature would make it overflow; in double precision,
    # in which the temperature and its reciprocal are numbers above 0.
    logits64 = logits.double()
    scaled = (logits64 - logits64.amax(-1, keepdim=True)) / min(max(temperature, 1e-300), 1e300)
    sorted_logits, order = scaled.sort(dim=-1, descending=True, stable=True)
    probabilities = sorted_logits.softmax(-1)
    if top_k is not None:
        probabilities[..., top_k:] = 0
        probabilities /= probabilities.sum(-1, keepdim=True)
    if nucleus is not None and nucleus < 1:
        # A token stays while those before it fall short.
        probabilities[probabilities.cumsum(-1) - probabilities >= nucleus] = 0
        probabilities /= probabilities.sum(-1, keepdim=True)
    return torch.zeros_like(probabilities).scatter(-1, order, probabilities).to(logits.dtype)


def _check_sampling(temperature, top_k=None, nucleus=None):
    """Raise ValueError unless the settings of :func:`sampling_probabilities` are in range."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be a number above 0, got {temperature!r}")
    if top_k is not None:
        check_positive("top_k", top_k)
    if nucleus is not None and not 0 < nucleus <= 1:
        raise ValueError(f"nucleus must lie in (0, 1], got {nucleus!r}")


@torch.no_grad()
def sample(
    model, ids, length, *, temperature=1.0, top_k=None, nucleus=None, without=(), generator=None, state=None
):
    """Continue several texts at once, each token drawn given all before it.

    Parameters
    ----------
    model : LanguageModel
        Used as it is: call ``model.eval()`` first to switch dropout off.
    ids : (T, B) tensor of int64
        What each text begins with, on the model's device.
    length : int
        How many tokens to draw.
    temperature, top_k, nucleus
        As :func:`sampling_probabilities` takes them.
    without : sequence of int
        Ids never to draw; the others' probabilities are scaled to sum to 1.
    generator : torch.Generator, optional
        On the model's device; torch's own one if not given.
    state : optional
        The model's state before `ids`.

    Returns
    -------
    ids : (length, B) tensor
        The tokens drawn.
    state
        The model's state before the last of them.

    Raises
    ------
    ValueError
        If a setting is out of range.
    """
    check_positive("length", length)
    _check_sampling(temperature, top_k, nucleus)
    drawn, without = [], torch.tensor(without, dtype=torch.long, device=ids.device)
    for _ in range(length):
        logits, state = model(ids, state)
        last = logits[-1].index_fill(-1, without, -math.inf)
        probabilities = sampling_probabilities(last, temperature, top_k, nucleus)
        ids = torch.multinomial(probabilities, 1, generator=generator).T
        drawn.append(ids)
    return torch.cat(drawn), state
