"""Gradients of a recurrent network in PyTorch: by autograd, truncated by detach, and by hand."""

import torch
from torch.nn import functional as F

from rnncourse._checks import check_choice, check_windows


def rnn_backward(doutput, dh_T, x, h_0, rnn):
    """Full backpropagation through time by autograd.

    Implements :eq:`bptt-delta`, :eq:`bptt-weights`, :eq:`bptt-input` of book/bptt.

    Parameters
    ----------
    doutput : (T, B, H) tensor
    dh_T : (B, H) tensor
    x : (T, B, D) tensor
    h_0 : (B, H) tensor
    rnn : rnncourse.rnn.torch.RNN

    Returns
    -------
    dx : (T, B, D) tensor
    dh_0 : (B, H) tensor
    dparams : dict
        Gradients by parameter name.
    """
    x, h_0 = x.detach().requires_grad_(), h_0.detach().requires_grad_()
    names, weights = zip(*rnn.named_parameters(), strict=True)
    dx, dh_0, *grads = torch.autograd.grad(rnn(x, h_0), (x, h_0, *weights), (doutput, dh_T))
    return dx, dh_0, dict(zip(names, grads, strict=True))


def rnn_backward_truncated(doutput, x, h_0, rnn, k1, k2):
    """Truncated backpropagation through time: the state goes on, ``detach`` cuts its history.

    Implements :eq:`bptt-truncated` of book/bptt. With k1 = k2 this is the usual training loop.

    Parameters
    ----------
    doutput : (T, B, H) tensor
    x : (T, B, D) tensor
    h_0 : (B, H) tensor
    rnn : rnncourse.rnn.torch.RNN
    k1, k2 : int
        Steps between two backward passes, and steps that each covers.

    Returns
    -------
    dict
        Gradients by parameter name.

    Raises
    ------
    ValueError
        If not 1 <= k1 <= k2.
    """
    check_windows(k1, k2)
    with torch.no_grad():
        states = torch.cat([h_0[None], rnn(x, h_0)[0]])
    names, weights = zip(*rnn.named_parameters(), strict=True)
    total = [torch.zeros_like(w) for w in weights]
    for start in range(0, len(x), k1):
        stop = min(start + k1, len(x))
        first = max(0, stop - k2)
        output, _ = rnn(x[first:stop], states[first].detach())
        grads = torch.autograd.grad(output[start - first :], weights, doutput[start:stop])
        total = [t + g for t, g in zip(total, grads, strict=True)]
    return dict(zip(names, total, strict=True))


class RNNFunction(torch.autograd.Function):
    """The recurrent layer with the backward pass written by hand, as one node of autograd's graph.

    Implements :eq:`bptt-delta`, :eq:`bptt-weights`, :eq:`bptt-input` of book/bptt. It keeps the states and no
    other intermediate result. Call ``RNNFunction.apply(x, h_0, weight_ih, weight_hh, bias_ih, bias_hh,
    nonlinearity)``; it returns ``output`` (T, B, H), whose last row is the final state.
    """

    @staticmethod
    def forward(ctx, x, h_0, weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity="tanh"):
        """Run the recurrence and keep inputs and states."""
        check_choice("nonlinearity", nonlinearity, ["tanh", "relu"])
        h = torch.empty(len(x) + 1, *h_0.shape, dtype=h_0.dtype, device=h_0.device)
        h[0] = h_0
        h[1:] = F.linear(x, weight_ih, bias_ih + bias_hh)
        for previous, current in zip(h[:-1], h[1:], strict=True):
            current.addmm_(previous, weight_hh.T)
            current.tanh_() if nonlinearity == "tanh" else current.relu_()
        ctx.save_for_backward(x, h, weight_ih, weight_hh)
        ctx.nonlinearity = nonlinearity
        return h[1:].clone()

    @staticmethod
    def backward(ctx, doutput):
        """Send the cotangent of the output back."""
        x, h, weight_ih, weight_hh = ctx.saved_tensors
        da = 1 - h[1:] ** 2 if ctx.nonlinearity == "tanh" else (h[1:] > 0).to(h.dtype)
        dh = torch.zeros_like(h[0])
        for t in reversed(range(len(x))):
            dh = dh + doutput[t]
            da[t].mul_(dh)
            dh = da[t] @ weight_hh
        flat = da.flatten(0, 1)
        dbias = flat.sum(0)
        dweight_ih = flat.T @ x.flatten(0, 1)
        dweight_hh = flat.T @ h[:-1].flatten(0, 1)
        return da @ weight_ih, dh, dweight_ih, dweight_hh, dbias, dbias.clone(), None
