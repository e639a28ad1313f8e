"""Networks over a sliding window and the Jordan network in PyTorch; they run wherever their tensors are."""

import torch
from torch import nn
from torch.nn import functional as F

from rnncourse._checks import check_fraction, check_positive, check_sequence, check_shape


def delay_forward(x, weight, bias):
    """Time-delay layer written out: unfold the windows, then one product.

    Implements :eq:`sequences-delay` of book/sequences. :class:`TDNN` calls ``torch.nn.Conv1d`` instead.

    Parameters
    ----------
    x : (T, B, D) tensor
    weight : (H, D, n) tensor
    bias : (H,) tensor

    Returns
    -------
    (T - n + 1, B, H) tensor

    Raises
    ------
    ValueError
        If a shape does not fit or there are fewer than n inputs.
    """
    check_shape("weight", weight, H=None, D=None, n=None)
    H, D, n = weight.shape
    check_positive("n", n)
    check_shape("bias", bias, H=H)
    check_sequence("x", x, T=None, B=None, D=D)
    if len(x) < n:
        raise ValueError(f"x must have at least n = {n} steps, got T = {len(x)}")
    windows = x.unfold(0, n, 1)  # (T - n + 1, B, D, n), a view
    return F.linear(windows.flatten(2), weight.flatten(1), bias)


class TDNN(nn.Module):
    """Time-delay layers, each followed by tanh.

    Implements :eq:`sequences-tdnn`, :eq:`sequences-window` of book/sequences, the second where the inputs
    before the first are given. The layers are ``torch.nn.Conv1d``: ``layers.0.weight``, ``layers.0.bias``
    and so on.

    Parameters
    ----------
    sizes : sequence of int
        D and the hidden size of each layer.
    windows : sequence of int
        How many inputs a unit of each layer sees.
    device, dtype
        As in ``torch.nn.Conv1d``.

    Raises
    ------
    ValueError
        If there is not one window for each layer, or a number is not positive.
    """

    def __init__(self, sizes, windows, device=None, dtype=None):
        super().__init__()
        if not windows or len(sizes) != len(windows) + 1:
            raise ValueError(
                "sizes must be one more than windows, of which there is at least one, "
                f"got {len(sizes)} sizes and {len(windows)} windows"
            )
        for name, numbers in {"sizes": sizes, "windows": windows}.items():
            for i, number in enumerate(numbers):
                check_positive(f"{name}[{i}]", number)
        self.layers = nn.ModuleList(
            nn.Conv1d(D, H, n, device=device, dtype=dtype)
            for D, H, n in zip(sizes[:-1], sizes[1:], windows, strict=True)
        )

    def forward(self, x, past=None):
        """Run the layers over a sequence.

        Parameters
        ----------
        x : (T, B, D) tensor
        past : (r - 1, B, D) tensor, optional
            The inputs before them, with the reach r of the network. Without it the output is shorter.

        Returns
        -------
        (T, B, H) tensor, or (T - r + 1, B, H) without `past`

        Raises
        ------
        ValueError
            If a shape does not fit or there are fewer inputs than the network reaches.
        """
        D = self.layers[0].in_channels
        check_sequence("x", x, T=None, B=None, D=D)
        reach = 1 + sum(layer.kernel_size[0] - 1 for layer in self.layers)
        if past is not None:
            check_shape("past", past, **{"r-1": reach - 1, "B": x.shape[1], "D": D})
            x = torch.cat([past, x])
        if len(x) < reach:
            raise ValueError(f"x must have at least r = {reach} steps, got T = {len(x)}")
        x = x.permute(1, 2, 0)  # Conv1d wants (B, D, T)
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x.permute(2, 0, 1)


class Jordan(nn.Module):
    """Network whose context is a decaying sum of its own outputs.

    Implements :eq:`sequences-jordan` of book/sequences; gradients by autograd.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        D, H and V.
    alpha : float
        What stays of the context from step to step, in [0, 1).
    device, dtype
        As in ``torch.nn.Linear``.

    Raises
    ------
    ValueError
        If a size is not positive or alpha is out of range.
    """

    def __init__(self, input_size, hidden_size, output_size, alpha=0.0, device=None, dtype=None):
        super().__init__()
        D, H, V = input_size, hidden_size, output_size
        for name, size in {"input_size": D, "hidden_size": H, "output_size": V}.items():
            check_positive(name, size)
        check_fraction("alpha", alpha)
        self.alpha = float(alpha)
        for name, shape in [
            ("weight_ih", (H, D)),
            ("weight_hc", (H, V)),
            ("bias_h", (H,)),
            ("weight_oh", (V, H)),
            ("bias_o", (V,)),
        ]:
            weight = torch.empty(shape, device=device, dtype=dtype)
            nn.init.uniform_(weight, -(H**-0.5), H**-0.5)
            self.register_parameter(name, nn.Parameter(weight))

    def forward(self, x, c_0=None, teacher=None):
        """Run the network over a sequence.

        Parameters
        ----------
        x : (T, B, D) tensor
        c_0 : (B, V) tensor, optional
            Initial context; zero if not given.
        teacher : (T, B, V) tensor, optional
            The right outputs, which then enter the context in place of the network's own.

        Returns
        -------
        logits : (T, B, V) tensor
        c_T : (B, V) tensor

        Raises
        ------
        ValueError
            If a shape does not fit.
        """
        H, D = self.weight_ih.shape
        V = len(self.bias_o)
        check_sequence("x", x, T=None, B=None, D=D)
        T, B, _ = x.shape
        c = x.new_zeros(B, V) if c_0 is None else c_0
        check_shape("c_0", c, B=B, V=V)
        if teacher is not None:
            check_shape("teacher", teacher, T=T, B=B, V=V)
        a, logits = F.linear(x, self.weight_ih, self.bias_h), []
        for t, a_t in enumerate(a.unbind(0)):
            h = torch.tanh(torch.addmm(a_t, c, self.weight_hc.T))
            logits.append(F.linear(h, self.weight_oh, self.bias_o))
            c = self.alpha * c + (logits[-1].softmax(-1) if teacher is None else teacher[t])
        return torch.stack(logits), c
