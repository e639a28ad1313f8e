"""Attention in PyTorch: the scores, additive attention in chunks, an encoder and decoder that attends."""

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from rnncourse._checks import check_choice, check_positive, check_shape
from rnncourse.seq2seq.torch import Seq2Seq

SCORES = ("additive", "general", "dot", "scaled")
FORMS = ("luong", "bahdanau")


class Score(nn.Module):
    """How well each query fits each key.

    Implements :eq:`attention-additive`, :eq:`attention-general`, :eq:`attention-dot`, :eq:`attention-scaled`
    of book/attention. Sources: Bahdanau, Cho and Bengio (2015) for the additive score, Luong, Pham and
    Manning (2015) for general and dot, Vaswani et al. (2017) for the scaling. The parameters have the names
    of the NumPy reference, so those of either can be given to the other.

    Parameters
    ----------
    H, D : int
        Size of a query and of a key.
    A : int, optional
        Size of the hidden layer of the additive score; by default H.
    score : {"additive", "general", "dot", "scaled"}
    device, dtype
        As in torch.nn.

    Raises
    ------
    ValueError
        If a size is not positive, the score is unknown, or a dot product has H other than D.
    """

    def __init__(self, H, D, A=None, score="additive", device=None, dtype=None):
        super().__init__()
        A = H if A is None else A
        for name, size in {"H": H, "D": D, "A": A}.items():
            check_positive(name, size)
        check_choice("score", score, SCORES)
        if score in ("dot", "scaled") and H != D:
            raise ValueError(f"the dot product needs queries as long as keys, got H = {H} and D = {D}")
        self.score, self.H, self.D = score, H, D
        shapes = {"general": {"weight": (H, D)}}
        shapes["additive"] = {"weight_query": (A, H), "weight_key": (A, D), "weight_score": (A,)}
        for name, shape in shapes.get(score, {}).items():
            weight = torch.empty(shape, device=device, dtype=dtype)
            bound = shape[-1] ** -0.5
            self.register_parameter(name, nn.Parameter(nn.init.uniform_(weight, -bound, bound)))

    def forward(self, query, keys):
        """Score each query against each key.

        Parameters
        ----------
        query : (T, B, H) tensor
        keys : (S, B, D) tensor

        Returns
        -------
        (B, T, S) tensor

        Raises
        ------
        ValueError
            If a shape does not fit.
        """
        check_shape("query", query, T=None, B=None, H=self.H)
        check_shape("keys", keys, S=None, B=query.shape[1], D=self.D)
        if self.score == "additive":
            return additive_scores(query @ self.weight_query.mT, keys @ self.weight_key.mT, self.weight_score)
        query, keys = query.transpose(0, 1), keys.transpose(0, 1)
        if self.score == "general":
            query = query @ self.weight
        scores = query @ keys.mT
        return scores * self.H**-0.5 if self.score == "scaled" else scores


def additive_scores(from_query, from_keys, weight_score):
    """Scores (B, T, S) of projected queries (T, B, A) and keys (S, B, A), all pairs at once."""
    a = from_query.transpose(0, 1)[:, :, None] + from_keys.transpose(0, 1)[:, None]
    return torch.tanh(a) @ weight_score


def _check_mask(mask, B, T, S):
    check_shape("mask", mask, B=None, T=None, S=S)
    if len(mask) not in (1, B) or mask.shape[1] not in (1, T):
        raise ValueError(
            f"mask must have shape (B or 1, T or 1, S) = ({B}, {T}, {S}), got {tuple(mask.shape)}"
        )
    if mask.dtype is not torch.bool:
        raise ValueError(f"mask must hold bools, got dtype {mask.dtype}")


def attend(scores, values, mask=None):
    """Turn scores into weights over the source, and take the weighted mean of the values.

    Implements :eq:`attention-weights`, :eq:`attention-context` of book/attention.

    Parameters
    ----------
    scores : (B, T, S) tensor
    values : (S, B, D) tensor
    mask : (B or 1, T or 1, S) tensor of bool, optional
        True where a query may look; a query that may look nowhere gets nan.

    Returns
    -------
    context : (T, B, D) tensor
    weights : (B, T, S) tensor

    Raises
    ------
    ValueError
        If a shape does not fit, or the mask does not hold bools.
    """
    check_shape("scores", scores, B=None, T=None, S=None)
    check_shape("values", values, S=scores.shape[2], B=len(scores), D=None)
    if mask is not None:
        _check_mask(mask, *scores.shape)
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(-1)
    return (weights @ values.transpose(0, 1)).transpose(0, 1), weights


def additive_attention(query, keys, values, mask, score, chunk=16):
    """Contexts of the additive score, with the hidden layer of at most `chunk` queries in memory.

    Implements :eq:`attention-additive`, :eq:`attention-context` of book/attention. Each chunk is a checkpoint
    (Chen et al., 2016): the backward pass computes it again.

    Parameters
    ----------
    query : (T, B, H) tensor
    keys : (S, B, D) tensor
    values : (S, B, E) tensor
    mask : (B or 1, 1, S) tensor of bool, or None
        The same for all queries.
    score : Score
        An additive one.
    chunk : int
        Queries at a time.

    Returns
    -------
    (T, B, E) tensor

    Raises
    ------
    ValueError
        If a shape does not fit, the mask does not hold bools, the score is another, or `chunk` is not
        positive.
    """
    check_choice("score", score.score, ["additive"])
    check_positive("chunk", chunk)
    check_shape("query", query, T=None, B=None, H=score.H)
    check_shape("keys", keys, S=None, B=query.shape[1], D=score.D)
    check_shape("values", values, S=len(keys), B=query.shape[1], E=None)
    if mask is not None:
        _check_mask(mask, query.shape[1], 1, len(keys))
    from_query, from_keys = query @ score.weight_query.mT, keys @ score.weight_key.mT

    def contexts(part):
        return attend(additive_scores(part, from_keys, score.weight_score), values, mask)[0]

    return torch.cat([checkpoint(contexts, part, use_reentrant=False) for part in from_query.split(chunk)])


def scaled_attention(query, keys, values, mask=None):
    """Contexts of the scaled dot product by PyTorch's fused function, which returns no weights.

    Implements :eq:`attention-scaled`, :eq:`attention-context` of book/attention.

    Parameters
    ----------
    query : (T, B, H) tensor
    keys : (S, B, H) tensor
    values : (S, B, E) tensor
    mask : (B or 1, T or 1, S) tensor of bool, optional

    Returns
    -------
    (T, B, E) tensor

    Raises
    ------
    ValueError
        If a shape does not fit, or the mask does not hold bools.
    """
    check_shape("query", query, T=None, B=None, H=None)
    check_shape("keys", keys, S=None, B=query.shape[1], H=query.shape[2])
    check_shape("values", values, S=len(keys), B=query.shape[1], E=None)
    if mask is not None:
        _check_mask(mask, query.shape[1], len(query), len(keys))
    query, keys, values = (tensor.transpose(0, 1) for tensor in (query, keys, values))
    return scaled_dot_product_attention(query, keys, values, attn_mask=mask).transpose(0, 1)


class AttentionSeq2Seq(Seq2Seq):
    """Encoder, and a decoder that attends to the encoder's states.

    Implements :eq:`attention-luong`, :eq:`attention-bahdanau`, :eq:`attention-readout` of book/attention.
    Sources: Luong, Pham and Manning (2015), global attention without input feeding; Bahdanau, Cho and Bengio
    (2015), with one layer in place of their maxout. :func:`rnncourse.seq2seq.torch.seq2seq_loss` and
    :func:`rnncourse.seq2seq.torch.greedy` take it as they take a :class:`rnncourse.seq2seq.torch.Seq2Seq`.

    Parameters
    ----------
    V_source, V_target : int
        Vocabulary sizes.
    E, H : int
        Size of an embedding and of a hidden state, on both sides.
    form : {"luong", "bahdanau"}
    score : {"additive", "general", "dot", "scaled"}
    A : int, optional
        Size of the hidden layer of the additive score; by default H.
    device, dtype
        As in torch.nn.

    Raises
    ------
    ValueError
        If a size is not positive, or the form or the score is unknown.
    """

    def __init__(
        self, V_source, V_target, E, H, form="luong", score="general", A=None, device=None, dtype=None
    ):
        super().__init__(V_source, V_target, E, H, "gru", device, dtype)
        check_choice("form", form, FORMS)
        self.form = form
        if form == "bahdanau":
            self.decoder = nn.GRU(E + H, H, device=device, dtype=dtype)
        self.score = Score(H, H, A, score, device, dtype)
        self.combine = nn.Linear(2 * H, H, device=device, dtype=dtype)

    def encode(self, source, lengths):
        """Read source sentences.

        Parameters
        ----------
        source : (S, B) tensor of int
        lengths : (B,) tensor of int

        Returns
        -------
        outputs : (S, B, H) tensor
        state : tuple
            State (1, B, H), keys (S, B, H) and mask (S, B): the sentence is the second axis of all three.

        Raises
        ------
        ValueError
            As :meth:`rnncourse.seq2seq.torch.Seq2Seq.encode`.
        """
        keys, state = super().encode(source, lengths)
        mask = torch.arange(len(keys), device=keys.device)[:, None] < lengths.to(keys.device)
        return keys, (state, keys, mask)

    def forward(self, source, source_lengths, target_input):
        """Logits of each target word given the source and the right words before it.

        Parameters
        ----------
        source : (S, B) tensor of int
        source_lengths : (B,) tensor of int
        target_input : (T, B) tensor of int

        Returns
        -------
        (T, B, V_target) tensor

        Raises
        ------
        ValueError
            As :meth:`encode`.
        """
        _, state = self.encode(source, source_lengths)
        return self.decode(target_input, state)[0]

    def step(self, tokens, state):
        """Read one target word in each of B translations and say what comes next.

        Parameters
        ----------
        tokens : (B,) tensor of int
        state : tuple
            From :meth:`encode`, then from this function.

        Returns
        -------
        logits : (B, V_target) tensor
        state : tuple

        Raises
        ------
        ValueError
            If a shape does not fit.
        """
        check_shape("tokens", tokens, B=None)
        logits, state, _ = self.decode(tokens[None], state)
        return logits[0], state

    def decode(self, tokens, state):
        """Read target words, attend at each, and say what comes next.

        Parameters
        ----------
        tokens : (T, B) tensor of int
        state : tuple
            From :meth:`encode`, :meth:`step` or this function.

        Returns
        -------
        logits : (T, B, V_target) tensor
        state : tuple
        weights : (B, T, S) tensor

        Raises
        ------
        ValueError
            If a shape does not fit.
        """
        hidden, keys, mask = state
        check_shape("tokens", tokens, T=None, B=keys.shape[1])
        x = self.target_embedding(tokens)
        allowed = mask.T[:, None]
        if self.form == "luong":
            output, hidden = self.decoder(x, hidden)
            context, weights = attend(self.score(output, keys), keys, allowed)
        else:
            steps = []
            for x_t in x.split(1):
                context, weights = attend(self.score(hidden, keys), keys, allowed)
                output, hidden = self.decoder(torch.cat([x_t, context], -1), hidden)
                steps.append((output, context, weights.transpose(0, 1)))
            output, context, weights = (torch.cat(part) for part in zip(*steps, strict=True))
            weights = weights.transpose(0, 1)
        combined = torch.tanh(self.combine(torch.cat([output, context], -1)))
        return self.output(combined), (hidden, keys, mask), weights
