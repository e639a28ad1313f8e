"""Stacks of recurrent layers in PyTorch: packing, and dropout with one mask for all steps."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnncourse._checks import check_choice, check_lengths, check_positive, check_sequence, check_shape
from rnncourse.deep._checks import check_names


def run_packed(layer, x, lengths, state=None):
    """Run a layer of ``torch.nn`` over padded sequences so that no step reads padding.

    Implements :eq:`deep-bidirectional` of book/deep.

    Parameters
    ----------
    layer : torch.nn.RNN, GRU or LSTM
        Time first.
    x : (T, B, D) tensor
    lengths : (B,) tensor or list of int
        Real steps of each sequence, in any order. Packing wants them on the CPU, and takes them there.
    state : optional
        Initial states as the layer takes them, (layers x directions, B, H); for an LSTM a pair.

    Returns
    -------
    output : (T, B, directions x H) tensor
        Zero at padding.
    state
        Final states as the layer gives them, each after the sequence's last real step.

    Raises
    ------
    ValueError
        If a shape or length does not fit.
    """
    check_sequence("x", x, T=None, B=None, D=layer.input_size)
    lengths = torch.as_tensor(lengths).cpu()
    check_lengths(lengths.numpy(), *x.shape[:2])
    if state is not None:
        names = ("h_0", "c_0") if isinstance(layer, nn.LSTM) else ("h_0",)
        states = (state,) if isinstance(state, torch.Tensor) else tuple(state)
        if len(states) != len(names) or isinstance(state, torch.Tensor) != (len(names) == 1):
            raise ValueError(f"state must be {' and '.join(names)}, got {len(states)} tensors")
        N = layer.num_layers * (1 + layer.bidirectional)
        for name, s in zip(names, states, strict=True):
            check_shape(name, s, N=N, B=x.shape[1], H=layer.hidden_size)
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    output, state = layer(packed, state)
    return pad_packed_sequence(output, total_length=len(x))[0], state


class VariationalDropout(nn.Module):
    """Dropout with one mask for all steps of a sequence.

    Implements :eq:`deep-dropout` of book/deep. Source: Gal and Ghahramani (2016).

    Parameters
    ----------
    p : float
        Probability of dropping a unit, as in ``torch.nn.Dropout``: 1 - keep.
    """

    def __init__(self, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p must lie in [0, 1), got {p!r}")
        self.p = p

    def forward(self, x, generator=None):
        """Multiply (T, B, F) by a mask of shape (1, B, F); in evaluation mode return it as it is.

        Parameters
        ----------
        x : (T, B, F) tensor
        generator : torch.Generator, optional
            On the device of `x`.

        Returns
        -------
        (T, B, F) tensor
        """
        check_shape("x", x, T=None, B=None, F=None)
        if not self.training or self.p == 0:
            return x
        mask = torch.empty_like(x[:1]).bernoulli_(1 - self.p, generator=generator)
        return x * mask.div_(1 - self.p)


class DeepRNN(nn.Module):
    """A stack of one-layer networks of ``torch.nn``, with a dropout of one's choice on the way up.

    Implements :eq:`deep-stack` of book/deep. With ``dropout=torch.nn.Dropout(p)`` it is what ``torch.nn``'s
    ``num_layers`` and ``dropout`` do in one call; another dropout, or none, is the reason to use it.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    input_size, hidden_size, num_layers : int
    bidirectional : bool
    dropout : torch.nn.Module, optional
        Applied to the output of each layer but the last.
    device, dtype
        As in ``torch.nn``.

    Raises
    ------
    ValueError
        If a size is not positive or the cell unknown.
    """

    def __init__(
        self,
        cell,
        input_size,
        hidden_size,
        num_layers,
        bidirectional=False,
        dropout=None,
        device=None,
        dtype=None,
    ):
        super().__init__()
        cells = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
        check_choice("cell", cell, list(cells))
        check_positive("input_size", input_size)
        check_positive("hidden_size", hidden_size)
        check_positive("num_layers", num_layers)
        self.dropout = dropout or nn.Identity()
        sizes = [input_size] + [(1 + bidirectional) * hidden_size] * (num_layers - 1)
        self.layers = nn.ModuleList(
            cells[cell](size, hidden_size, bidirectional=bidirectional, device=device, dtype=dtype)
            for size in sizes
        )

    def load_torch_nn(self, state_dict):
        """Load the weights of a ``torch.nn`` stack of the same form, strictly by name.

        Parameters
        ----------
        state_dict : dict of tensors

        Raises
        ------
        ValueError
            If a name is missing or unknown, or a shape does not fit.
        """
        own = self.layers.state_dict()
        names = {}
        for key in own:  # such as 1.weight_ih_l0_reverse
            k, _, name = key.partition(".")
            names[key] = name.replace("_l0", f"_l{k}")
        check_names(state_dict, list(names.values()))
        for key, name in names.items():
            if state_dict[name].shape != own[key].shape:
                wanted, got = tuple(own[key].shape), tuple(state_dict[name].shape)
                raise ValueError(f"{name} must have shape {wanted}, got {got}")
        self.layers.load_state_dict({key: state_dict[name] for key, name in names.items()})

    def forward(self, x, lengths):
        """Run the stack from zero states.

        Parameters
        ----------
        x : (T, B, D) tensor
        lengths : (B,) tensor of int

        Returns
        -------
        output : (T, B, directions x H) tensor
            Zero at padding.
        """
        for k, layer in enumerate(self.layers):
            x, _ = run_packed(layer, self.dropout(x) if k else x, lengths)
        return x
