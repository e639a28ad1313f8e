"""The LSTM written out in PyTorch, with peepholes, and with the backward pass by hand."""

import torch
from torch import nn
from torch.nn import functional as F

from rnncourse._checks import check_shape
from rnncourse.rnn.torch import register_uniform


class LSTM(nn.Module):
    """One LSTM layer over a sequence.

    Implements :eq:`lstm-gates`, :eq:`lstm-cell`, :eq:`lstm-hidden` of book/lstm. The parameters have the
    names of ``torch.nn.LSTM`` with one layer, so a state_dict of either loads into the other strictly. Where
    speed counts, use ``torch.nn.LSTM``, which calls cuDNN on a GPU; this class is the one to read and to
    change.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    device, dtype
        As in ``torch.nn.LSTM``.
    """

    def __init__(self, input_size, hidden_size, device=None, dtype=None):
        super().__init__()
        rows = 4 * hidden_size
        shapes = [
            ("weight_ih_l0", (rows, input_size)),
            ("weight_hh_l0", (rows, hidden_size)),
            ("bias_ih_l0", (rows,)),
            ("bias_hh_l0", (rows,)),
            *self.extra(hidden_size),
        ]
        register_uniform(self, shapes, hidden_size, device, dtype)

    def extra(self, hidden_size):
        """Names and shapes of parameters beside those of ``torch.nn.LSTM``: none."""
        return []

    def forward(self, x, state=None):
        """Run the layer over a sequence.

        Parameters
        ----------
        x : (T, B, D) tensor
        state : pair of (B, H) tensors, optional
            Initial h_0 and c_0; zero if not given.

        Returns
        -------
        output : (T, B, H) tensor
        state : pair of (B, H) tensors
            h_T and c_T.

        Raises
        ------
        ValueError
            If a shape does not fit.
        """
        D, H = self.weight_ih_l0.shape[1], self.weight_hh_l0.shape[1]
        check_shape("x", x, T=None, B=None, D=D)
        B = x.shape[1]
        h, c = (x.new_zeros(B, H), x.new_zeros(B, H)) if state is None else state
        check_shape("h_0", h, B=B, H=H)
        check_shape("c_0", c, B=B, H=H)
        # One product for all steps; unbind, not indexing, or autograd writes a full-size zero at each step.
        a = F.linear(x, self.weight_ih_l0, self.bias_ih_l0 + self.bias_hh_l0)
        weight_hh, outputs = self.weight_hh_l0.T, []
        for a_t in a.unbind(0):
            h, c = self.update(torch.addmm(a_t, h, weight_hh), c)
            outputs.append(h)
        return torch.stack(outputs), (h, c)

    def update(self, a, c):
        """New hidden state and cell from the pre-activations (B, 4H) and the old cell."""
        a_i, a_f, a_g, a_o = a.chunk(4, dim=1)
        c = torch.sigmoid(a_f) * c + torch.sigmoid(a_i) * torch.tanh(a_g)
        return torch.sigmoid(a_o) * torch.tanh(c), c


class PeepholeLSTM(LSTM):
    """One LSTM layer whose gates see the cell; autograd finds its gradient.

    Implements :eq:`lstm-peephole` of book/lstm. To the parameters of :class:`LSTM` it adds ``weight_ch_l0``
    (3, H), from a unit's cell to its own gates i, f, o.
    """

    def extra(self, hidden_size):
        """Name and shape of the peepholes."""
        return [("weight_ch_l0", (3, hidden_size))]

    def update(self, a, c):
        """New hidden state and cell from the pre-activations (B, 4H) and the old cell."""
        peep_i, peep_f, peep_o = self.weight_ch_l0
        a_i, a_f, a_g, a_o = a.chunk(4, dim=1)
        i, f = torch.sigmoid(a_i + peep_i * c), torch.sigmoid(a_f + peep_f * c)
        c = f * c + i * torch.tanh(a_g)
        return torch.sigmoid(a_o + peep_o * c) * torch.tanh(c), c


class LSTMFunction(torch.autograd.Function):
    """The layer with the backward pass written by hand, as one node of autograd's graph.

    Implements :eq:`lstm-dcell`, :eq:`lstm-dgates`, :eq:`lstm-carry`, :eq:`lstm-weights` of book/lstm. Call
    ``LSTMFunction.apply(x, h_0, c_0, weight_ih, weight_hh, bias_ih, bias_hh)``; it returns ``output``, h_T
    and c_T.
    """

    @staticmethod
    def forward(ctx, x, h_0, c_0, weight_ih, weight_hh, bias_ih, bias_hh):
        """Run the recurrence and keep states and gates."""
        T, B, _ = x.shape
        H = h_0.shape[1]
        h, c = x.new_empty(2, T + 1, B, H)
        h[0], c[0] = h_0, c_0
        gates = F.linear(x, weight_ih, bias_ih + bias_hh)
        weight = weight_hh.T
        tensors = (h[:-1], h[1:], c[:-1], c[1:], gates, *gates.chunk(4, dim=2))
        for h_prev, h_t, c_prev, c_t, a, i, f, g, o in zip(*(t.unbind(0) for t in tensors), strict=True):
            a.addmm_(h_prev, weight)
            a[:, : 2 * H].sigmoid_()
            g.tanh_()
            o.sigmoid_()
            torch.mul(f, c_prev, out=c_t).addcmul_(i, g)
            torch.tanh(c_t, out=h_t).mul_(o)
        ctx.save_for_backward(x, h, c, gates, weight_ih, weight_hh)
        return h[1:].clone(), h[-1].clone(), c[-1].clone()

    @staticmethod
    def backward(ctx, doutput, dh_T, dc_T):
        """Send the cotangents of the output and of the last states back."""
        x, h, c, gates, weight_ih, weight_hh = ctx.saved_tensors
        i, f, g, o = gates.chunk(4, dim=2)
        tanh_c = c[1:].tanh()
        # What multiplies dc (for i, f, g) or dh (for o); the loop turns it into dL/da.
        da = gates * (1 - gates)
        da_i, da_f, da_g, da_o = da.chunk(4, dim=2)
        da_i.mul_(g)
        da_f.mul_(c[:-1])
        torch.mul(i, 1 - g * g, out=da_g)
        da_o.mul_(tanh_c)
        dc_dh = o * (1 - tanh_c * tanh_c)
        dh, dc = dh_T.clone(), dc_T.clone()
        of_cell = da.unflatten(2, (4, -1))[:, :, :3]
        tensors = (doutput, da, of_cell, da_o, f, dc_dh)
        steps = zip(*(t.unbind(0) for t in tensors), strict=True)
        for doutput_t, da_t, da_ifg, da_o_t, f_t, dc_dh_t in reversed(list(steps)):
            dh += doutput_t
            dc.addcmul_(dh, dc_dh_t)
            da_ifg.mul_(dc[:, None])
            da_o_t.mul_(dh)
            dc.mul_(f_t)
            torch.mm(da_t, weight_hh, out=dh)
        flat = da.flatten(0, 1)
        dbias = flat.sum(0)
        dweight_ih = flat.T @ x.flatten(0, 1)
        dweight_hh = flat.T @ h[:-1].flatten(0, 1)
        return da @ weight_ih, dh, dc, dweight_ih, dweight_hh, dbias, dbias.clone()
