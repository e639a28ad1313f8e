"""Encoder and decoder in PyTorch."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnncourse._checks import check_choice, check_positive, check_shape
from rnncourse.data.pairs import END, PAD, START, PairBatch
from rnncourse.language_model.torch import CELLS


class Seq2Seq(nn.Module):
    """Encoder and decoder with the same cell, joined by the state.

    Implements :eq:`seq2seq-encoder`, :eq:`seq2seq-bridge`, :eq:`seq2seq-decoder` of book/seq2seq. Source:
    Sutskever, Vinyals and Le (2014), with one layer on each side.

    Parameters
    ----------
    V_source, V_target : int
        Vocabulary sizes.
    E, H : int
        Size of an embedding and of a hidden state.
    cell : {"rnn", "gru", "lstm"}
    device, dtype
        As in torch.nn.

    Raises
    ------
    ValueError
        If a size is not positive, or the cell is unknown.
    """

    def __init__(self, V_source, V_target, E, H, cell="gru", device=None, dtype=None):
        super().__init__()
        for name, size in {"V_source": V_source, "V_target": V_target, "E": E, "H": H}.items():
            check_positive(name, size)
        check_choice("cell", cell, tuple(CELLS))
        kind = {"device": device, "dtype": dtype}
        self.embedding = nn.Embedding(V_source, E, **kind)
        self.encoder = CELLS[cell](E, H, **kind)
        self.target_embedding = nn.Embedding(V_target, E, **kind)
        self.decoder = CELLS[cell](E, H, **kind)
        self.output = nn.Linear(H, V_target, **kind)

    def encode(self, source, lengths):
        """Read source sentences; padding is not read.

        Parameters
        ----------
        source : (S, B) tensor of int
        lengths : (B,) tensor of int
            1 .. S. On the CPU the encoder need not wait for the device.

        Returns
        -------
        outputs : (S, B, H) tensor
            Zero behind the end of a sentence.
        state : (1, B, H) tensor, for an LSTM a pair of them
            After the last word of each sentence.

        Raises
        ------
        ValueError
            If a shape or dtype does not fit or, looked at on the CPU only, an id or a length is out of range.
        """
        check_shape("source", source, S=None, B=None)
        _check_ids("source", source, self.embedding.num_embeddings)
        check_shape("lengths", lengths, B=source.shape[1])
        lengths = lengths.cpu()
        if lengths.min() < 1 or lengths.max() > len(source):
            raise ValueError(
                f"lengths must lie in 1 .. S = {len(source)}, got {lengths.min()} .. {lengths.max()}"
            )
        packed = pack_padded_sequence(self.embedding(source), lengths, enforce_sorted=False)
        outputs, state = self.encoder(packed)
        return pad_packed_sequence(outputs, total_length=len(source))[0], state

    def forward(self, source, source_lengths, target_input):
        """Logits of each target word given the source and the right words before it.

        Parameters
        ----------
        source : (S, B) tensor of int
        source_lengths : (B,) tensor of int
        target_input : (T, B) tensor of int
            ``START`` and the right translation.

        Returns
        -------
        (T, B, V_target) tensor

        Raises
        ------
        ValueError
            As :meth:`encode`.
        """
        _, state = self.encode(source, source_lengths)
        check_shape("target_input", target_input, T=None, B=source.shape[1])
        _check_ids("target_input", target_input, self.output.out_features)
        return self.output(self.decoder(self.target_embedding(target_input), state)[0])

    def step(self, tokens, state):
        """Read one target word in each of B translations and say what comes next.

        Parameters
        ----------
        tokens : (B,) tensor of int
        state : (1, B, H) tensor, for an LSTM a pair of them
            From :meth:`encode`, then from this function.

        Returns
        -------
        logits : (B, V_target) tensor
        state : like `state`

        Raises
        ------
        ValueError
            If a shape does not fit.
        """
        check_shape("tokens", tokens, B=None)
        output, state = self.decoder(self.target_embedding(tokens)[None], state)
        return self.output(output[0]), state


def to_tensors(batch, device=None):
    """A batch as tensors; the lengths stay on the CPU, where packing wants them.

    Parameters
    ----------
    batch : PairBatch
    device : optional

    Returns
    -------
    PairBatch
    """
    tensors = PairBatch(*(torch.as_tensor(part) for part in batch))
    lengths = {"source_lengths": tensors.source_lengths, "target_lengths": tensors.target_lengths}
    return PairBatch(*(part.to(device) for part in tensors))._replace(**lengths)


def seq2seq_loss(model, batch):
    """Mean cross-entropy of the target words in nats, ``</s>`` counted and padding not.

    Implements :eq:`seq2seq-loss` of book/seq2seq.

    Parameters
    ----------
    model : Seq2Seq
    batch : PairBatch of tensors
        Where a target is ``PAD``, it does not count.

    Returns
    -------
    tensor
        One number.

    Raises
    ------
    ValueError
        As :meth:`Seq2Seq.forward`.
    """
    logits = model(batch.source, batch.source_lengths, batch.target_input)
    check_shape("target", batch.target, T=logits.shape[0], B=logits.shape[1])
    return cross_entropy(logits.flatten(0, 1), batch.target.flatten(), ignore_index=PAD)


@torch.no_grad()
def greedy(model, source, lengths, max_length=50):
    """Translate, taking the likeliest word at each step and reading it as the next input.

    Parameters
    ----------
    model : Seq2Seq
    source : (S, B) tensor of int
    lengths : (B,) tensor of int
    max_length : int
        Stop a translation after so many words, ``END`` counted.

    Returns
    -------
    (T, B) tensor of int
        With ``END`` where a translation ends, and ``PAD`` behind it.

    Raises
    ------
    ValueError
        As :meth:`Seq2Seq.encode`, or if `max_length` is not positive.
    """
    check_positive("max_length", max_length)
    _, state = model.encode(source, lengths)
    tokens = torch.full_like(source[0], START)
    over, ids = torch.zeros_like(tokens, dtype=torch.bool), []
    while len(ids) < max_length and not over.all():
        logits, state = model.step(tokens, state)
        tokens = logits.argmax(-1).masked_fill(over, PAD)
        over = over | (tokens == END)
        ids.append(tokens)
    return torch.stack(ids)


def _check_ids(name, ids, V):
    if 0 in ids.shape:
        raise ValueError(f"{name} must have no size 0, got shape {tuple(ids.shape)}")
    if ids.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"{name} must hold integers, got dtype {ids.dtype}")
    if not ids.is_cuda and (ids.min() < 0 or ids.max() >= V):
        raise ValueError(f"{name} must lie in 0 .. V - 1 = {V - 1}, got {ids.min()} .. {ids.max()}")
