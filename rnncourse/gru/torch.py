"""The gated recurrent unit written out in PyTorch, with the reset after or before the matrix product."""

import torch
from torch import nn
from torch.nn import functional as F

from rnncourse._checks import check_choice, check_shape
from rnncourse.rnn.torch import register_uniform


class GRU(nn.Module):
    """One GRU layer over a sequence.

    Implements :eq:`gru-gates`, :eq:`gru-candidate`, :eq:`gru-state`, :eq:`gru-before` of book/gru. The
    parameters have the names of ``torch.nn.GRU`` with one layer, so a state_dict of either loads into the
    other strictly; the two compute the same with ``reset="after"`` only. Where speed counts, use
    ``torch.nn.GRU``, which calls cuDNN on a GPU; this class is the one to read and to change.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    reset : {"after", "before"}
        Where the reset gate multiplies: after the matrix product, as in ``torch.nn.GRU``, or before it, as in
        Cho et al. (2014).
    device, dtype
        As in ``torch.nn.GRU``.
    """

    def __init__(self, input_size, hidden_size, reset="after", device=None, dtype=None):
        super().__init__()
        check_choice("reset", reset, ["after", "before"])
        self.reset = reset
        shapes = [
            ("weight_ih_l0", (3 * hidden_size, input_size)),
            ("weight_hh_l0", (3 * hidden_size, hidden_size)),
            ("bias_ih_l0", (3 * hidden_size,)),
            ("bias_hh_l0", (3 * hidden_size,)),
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
        D, H = self.weight_ih_l0.shape[1], self.weight_hh_l0.shape[1]
        check_shape("x", x, T=None, B=None, D=D)
        h = x.new_zeros(x.shape[1], H) if h_0 is None else h_0
        check_shape("h_0", h, B=x.shape[1], H=H)
        step = self._reset_after if self.reset == "after" else self._reset_before
        states = []
        # unbind, not indexing, or autograd writes a full-size zero at each step.
        for from_input in F.linear(x, self.weight_ih_l0, self.bias_ih_l0).unbind(0):
            h = step(from_input, h)
            states.append(h)
        return torch.stack(states), h

    def _reset_after(self, from_input, h):
        input_r, input_z, input_n = from_input.chunk(3, -1)
        state_r, state_z, state_n = F.linear(h, self.weight_hh_l0, self.bias_hh_l0).chunk(3, -1)
        r, z = torch.sigmoid(input_r + state_r), torch.sigmoid(input_z + state_z)
        n = torch.tanh(input_n + r * state_n)
        return torch.lerp(n, h, z)

    def _reset_before(self, from_input, h):
        H = h.shape[-1]
        (weight_rz, weight_n), (bias_rz, bias_n) = (
            p.split([2 * H, H]) for p in (self.weight_hh_l0, self.bias_hh_l0)
        )
        input_rz, input_n = from_input.split([2 * H, H], -1)
        r, z = torch.sigmoid(input_rz + F.linear(h, weight_rz, bias_rz)).chunk(2, -1)
        n = torch.tanh(input_n + F.linear(r * h, weight_n, bias_n))
        return torch.lerp(n, h, z)
