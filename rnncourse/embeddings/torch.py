"""The embedding layer in PyTorch, its gradient written by hand."""

import torch
from torch import nn


class EmbeddingFunction(torch.autograd.Function):
    """A lookup with the backward pass written by hand, as one node of autograd's graph.

    Implements :eq:`embeddings-lookup`, :eq:`embeddings-gradient` of book/embeddings. Call
    ``EmbeddingFunction.apply(ids, weight, padding_idx)``.
    """

    @staticmethod
    def forward(ctx, ids, weight, padding_idx=None):
        """Look up the vectors and keep the ids."""
        ctx.save_for_backward(ids)
        ctx.V, ctx.padding_idx = len(weight), padding_idx
        return nn.functional.embedding(ids, weight)

    @staticmethod
    def backward(ctx, doutput):
        """Add the gradients of equal ids."""
        (ids,) = ctx.saved_tensors
        dweight = doutput.new_zeros(ctx.V, doutput.shape[-1])
        # On a GPU the order of the additions is not fixed, so their rounding may differ from run to run.
        dweight.index_add_(0, ids.flatten(), doutput.reshape(-1, doutput.shape[-1]))
        if ctx.padding_idx is not None:
            dweight[ctx.padding_idx] = 0
        return None, dweight, None


class Embedding(nn.Module):
    """The layer that :class:`EmbeddingFunction` makes; loads the state_dict of ``torch.nn.Embedding``.

    Implements :eq:`embeddings-lookup` of book/embeddings. It differs from ``torch.nn.Embedding`` in that it
    has no ``max_norm``, no sparse gradient, no scaling by frequency and no negative ``padding_idx``.

    Parameters
    ----------
    V, E : int
        Size of the vocabulary, of a vector.
    padding_idx : int, optional
        The id whose vector starts as zero and gets no gradient.
    device, dtype
        As for every torch module.

    Raises
    ------
    ValueError
        If `padding_idx` is not in 0 .. V - 1.
    """

    def __init__(self, V, E, padding_idx=None, device=None, dtype=None):
        super().__init__()
        if padding_idx is not None and not 0 <= padding_idx < V:
            raise ValueError(f"padding_idx must lie in 0 .. V - 1 = {V - 1}, got {padding_idx}")
        self.padding_idx = padding_idx
        self.weight = nn.Parameter(torch.randn(V, E, device=device, dtype=dtype))
        if padding_idx is not None:
            with torch.no_grad():
                self.weight[padding_idx] = 0

    def forward(self, ids):
        """Look up the vector of each id.

        Parameters
        ----------
        ids : (...) tensor of int64

        Returns
        -------
        (..., E) tensor

        Raises
        ------
        ValueError
            If an id is no integer.
        IndexError
            If an id is negative or above V - 1; on a GPU it is a CUDA error, since a check would wait for the
            device.
        """
        if ids.dtype not in (torch.int64, torch.int32):
            raise ValueError(f"ids must hold integers, got dtype {str(ids.dtype).removeprefix('torch.')}")
        return EmbeddingFunction.apply(ids, self.weight, self.padding_idx)
