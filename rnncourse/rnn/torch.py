"""The Elman network written out in PyTorch; it runs wherever its tensors are."""

import torch
from torch import nn
from torch.nn import functional as F

from rnncourse._checks import check_choice, check_shape


def register_uniform(layer, shapes, hidden_size, device, dtype):
    """Give `layer` parameters of these names and shapes, uniform on +-1/sqrt(H) as in ``torch.nn``."""
    for name, shape in shapes:
        weight = torch.empty(shape, device=device, dtype=dtype)
        nn.init.uniform_(weight, -(hidden_size**-0.5), hidden_size**-0.5)
        layer.register_parameter(name, nn.Parameter(weight))


class RNN(nn.Module):
    """One tanh or ReLU recurrent layer over a sequence.

    Implements :eq:`rnn-forward` of book/rnn. The parameters have the names of ``torch.nn.RNN`` with one
    layer, so a state_dict of either loads into the other strictly. Where speed counts, use ``torch.nn.RNN``,
    which calls cuDNN on a GPU; this class is the one to read and to change.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    nonlinearity : {"tanh", "relu"}
    device, dtype
        As in ``torch.nn.RNN``.
    """

    def __init__(self, input_size, hidden_size, nonlinearity="tanh", device=None, dtype=None):
        super().__init__()
        check_choice("nonlinearity", nonlinearity, ["tanh", "relu"])
        self.nonlinearity = nonlinearity
        shapes = [
            ("weight_ih_l0", (hidden_size, input_size)),
            ("weight_hh_l0", (hidden_size, hidden_size)),
            ("bias_ih_l0", (hidden_size,)),
            ("bias_hh_l0", (hidden_size,)),
        ]
        register_uniform(self, shapes, hidden_size, device, dtype)

    def forward(self, x, h_0=None):
        """Run the layer over a sequence.

        Parameters
        ----------
        x : (T, B, D) tensor
        h_0 : (B, H) tensor, optional
            Initial state; zero if not given.

        Returns
        -------
        output : (T, B, H) tensor
        h_T : (B, H) tensor

        Raises
        ------
        ValueError
            If a shape does not fit.
        """
        H, D = self.weight_ih_l0.shape
        check_shape("x", x, T=None, B=None, D=D)
        h = x.new_zeros(x.shape[1], H) if h_0 is None else h_0
        check_shape("h_0", h, B=x.shape[1], H=H)
        activation = torch.tanh if self.nonlinearity == "tanh" else torch.relu
        # One product for all steps; unbind, not indexing, or autograd writes a full-size zero at each step.
        a = F.linear(x, self.weight_ih_l0, self.bias_ih_l0 + self.bias_hh_l0)
        states = []
        for a_t in a.unbind(0):
            h = activation(torch.addmm(a_t, h, self.weight_hh_l0.T))
            states.append(h)
        return torch.stack(states), h
