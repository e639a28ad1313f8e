"""Skip-gram and CBOW in PyTorch: the losses by autograd, and the trainer on the device of the vectors."""

import torch
from torch import nn
from torch.nn import functional as F

from rnncourse._checks import check_choice, check_positive
from rnncourse.training.loop import NotFinite, run
from rnncourse.word2vec.batches import LONGEST, blocks, check_rate, falling_rate, held_out_draws, predictions


class Word2Vec(nn.Module):
    """Two vectors for every word, ``weight_in`` and ``weight_out``, both (V, E), and the losses over them.

    Implements :eq:`word2vec-softmax`, :eq:`word2vec-negative`, :eq:`word2vec-cbow` of book/word2vec. Source:
    Mikolov et al. (2013a, b). The first values are those of their program: ``weight_in`` uniform in
    [-1/2E, 1/2E), ``weight_out`` zero.

    Parameters
    ----------
    V, E : int
    generator : torch.Generator, optional
        For the first values.
    device, dtype : optional
        Of the vectors.

    Raises
    ------
    ValueError
        If `V` or `E` is no integer of at least 1.
    """

    def __init__(self, V, E, *, generator=None, device=None, dtype=None):
        super().__init__()
        check_positive("V", V)
        check_positive("E", E)
        drawn = (torch.rand(V, E, generator=generator, dtype=torch.float64) - 0.5) / E
        dtype = dtype or torch.get_default_dtype()
        self.weight_in = nn.Parameter(drawn.to(device, dtype))
        self.weight_out = nn.Parameter(torch.zeros(V, E, device=device, dtype=dtype))

    def forward(self, centres, contexts, negatives=None, scale=1.0, inside=None):
        """Mean loss of predicting one word from another, or, given `inside`, from those around it.

        Parameters
        ----------
        centres : (N,) tensor of int, or with `inside` (N, C)
            The words that are read: skip-gram's centres, or the words around of CBOW.
        contexts : (N,) tensor of int
            The words to predict.
        negatives : (N, M) tensor of int, optional
            Without them the loss is the full softmax.
        scale : float
            Weight of each negative: k / M where M of them stand for k.
        inside : (N, C) tensor of bool, optional
            Which of the words around count.

        Returns
        -------
        tensor
            One number.
        """
        h = F.embedding(centres, self.weight_in)
        if inside is not None:
            if not inside.any(1).all():
                raise ValueError("inside must hold at least one True in each row")
            share = inside.to(h.dtype) / inside.sum(1, keepdim=True)
            h = (share[..., None] * h).sum(1)
        if negatives is None:
            return F.cross_entropy(h @ self.weight_out.T, contexts)
        positive = (h * F.embedding(contexts, self.weight_out)).sum(1)
        negative = torch.einsum("ne,nme->nm", h, F.embedding(negatives, self.weight_out))
        return (F.softplus(-positive) + scale * F.softplus(negative).sum(1)).mean()


def block_loss(h, out, out_negative, inside, negatives):
    """Loss of all pairs of a block from the rows that it reads.

    Implements :eq:`word2vec-block` of book/word2vec. The twin of
    ``rnncourse.word2vec.numpy.block_gradient``, whose gradients autograd gives here.

    Parameters
    ----------
    h : (G, n, E) tensor
        Vectors of the centres.
    out : (G, n + 2 window, E) tensor
        Vectors of the words around.
    out_negative : (M, E) tensor
    inside : (G, n, 2 window + 1) tensor of bool
    negatives : int
        How many each pair has, k.

    Returns
    -------
    tensor
        One number.
    """
    positive = torch.einsum("gne,gneo->gno", h, out.unfold(1, inside.shape[2], 1))
    share = negatives / len(out_negative) * inside.to(h.dtype).sum(2, keepdim=True)
    return F.softplus(-positive)[inside].sum() + (share * F.softplus(h @ out_negative.T)).sum()


def cbow_block_loss(around, out, out_negative, inside, negatives):
    """Loss of all words of a block that have one around, from the rows that it reads.

    Implements :eq:`word2vec-cbow-block` of book/word2vec. The twin of
    ``rnncourse.word2vec.numpy.cbow_block_gradient``.

    Parameters
    ----------
    around : (G, n + 2 window, E) tensor
        Vectors of the words around.
    out : (G, n, E) tensor
        Vectors of the centres, which are predicted.
    out_negative : (M, E) tensor
    inside : (G, n, 2 window + 1) tensor of bool
    negatives : int
        How many each centre has, k.

    Returns
    -------
    tensor
        One number.
    """
    number = inside.sum(2, keepdim=True)
    share = inside.to(out.dtype) / number.clamp(min=1)
    h = torch.einsum("gneo,gno->gne", around.unfold(1, inside.shape[2], 1), share)
    there = number > 0
    positive, negative = F.softplus(-(h * out).sum(2, keepdim=True)), F.softplus(h @ out_negative.T)
    return (there * (positive + negatives / len(out_negative) * negative.sum(2, keepdim=True))).sum()


def held_out(sentences, noise, *, window=5, negatives=5, seed=0, keep=None, objective="skip-gram"):
    """As ``rnncourse.word2vec.numpy.held_out``, with the same draws, of a model on its device.

    Parameters
    ----------
    sentences : sequence of (n,) arrays of int
    noise : (V,) array
    window, negatives, seed, keep, objective
        As the NumPy function takes them.

    Returns
    -------
    callable
        ``evaluate(model)`` returns the mean loss, a float.
    """
    draws = held_out_draws(sentences, noise, window, negatives, seed, keep, objective)
    read, share, targets, drawn = map(torch.as_tensor, draws)

    @torch.no_grad()
    def evaluate(model):
        total, device = 0.0, model.weight_in.device
        for i in range(0, len(targets), 4096):
            r, s, t, d = (a[i : i + 4096].to(device) for a in (read, share, targets, drawn))
            # Not in bfloat16: the sum over the corpus is long.
            weight_in, weight_out = (
                w[rows].double() for w, rows in ((model.weight_in, r), (model.weight_out, t))
            )
            h = torch.einsum("nc,nce->ne", s, weight_in)
            negative = torch.einsum("ne,nme->nm", h, model.weight_out[d].double())
            total += (F.softplus(-(h * weight_out).sum(1)).sum() + F.softplus(negative).sum()).item()
        return total / len(targets)

    return evaluate


def train_skipgram(
    sentences,
    model,
    *,
    objective="skip-gram",
    window=5,
    negatives=5,
    epochs=5,
    lr=0.025,
    seed=0,
    subsample=None,
    power=0.75,
    noise=None,
    size=None,
    groups=None,
    shared=64,
    state=0,
    steps=None,
    evaluate=None,
    every=1000,
    progress=None,
):
    """Train a model in place: skip-gram, or CBOW, with negative sampling; the twin of the NumPy trainer.

    Implements :eq:`word2vec-update` of book/word2vec. The same blocks as
    ``rnncourse.word2vec.numpy.train_skipgram`` draws, so that from the same vectors both reach the same
    but for rounding. Autograd gives the gradients of the rows, and ``index_add_`` adds them up: on CUDA in no
    fixed order, so that there the seed fixes the draws and not the last digits.

    Parameters
    ----------
    sentences : sequence of (n,) arrays of int
    model : Word2Vec
        On any device.
    objective, window, negatives, epochs, lr, seed, subsample, power, noise, size, groups, shared
        As the NumPy trainer takes them.
    state, steps, every, progress
        As the NumPy trainer takes them.
    evaluate : callable, optional
        ``evaluate(model)`` returns a number, such as what :func:`held_out` gives.

    Returns
    -------
    Trained
        ``params`` is a copy of the model's ``state_dict``, ``state`` the steps done.

    Raises
    ------
    Diverged
        At the first loss that is not finite.
    ValueError
        If a setting is out of range, `state` above the number of blocks, or the corpus is empty, has one word
        only or no pair.
    """
    check_positive("negatives", negatives)
    check_choice("objective", objective, ("skip-gram", "cbow"))
    check_rate(lr)
    cbow = objective == "cbow"
    weight_in, weight_out = model.weight_in, model.weight_out
    done = state

    def step(block):
        nonlocal done
        centres, around, inside, negative = (
            torch.as_tensor(a, device=weight_in.device) for a in (*(b.copy() for b in block[:3]), block[3])
        )
        # What is read in weight_in first, then the other two, both in weight_out.
        first, second = (around, centres) if cbow else (centres, around)
        rows = weight_in[first], weight_out[second], weight_out[negative]
        rows = [r.detach().requires_grad_() for r in rows]
        loss = (cbow_block_loss if cbow else block_loss)(*rows, inside, negatives)
        gradients = torch.autograd.grad(loss, rows)
        norm = (
            sum(g.to(torch.promote_types(g.dtype, torch.float32)).square().sum() for g in gradients)
            .sqrt()
            .item()
        )
        if not norm < float("inf"):
            raise NotFinite(f"the loss is {loss.item():.4g}, the gradient's norm {norm}")
        rate = falling_rate(lr, block.done)
        E = weight_in.shape[1]
        out = torch.cat([second.flatten(), negative])
        dfirst, *dout = (g.reshape(-1, E) for g in gradients)
        with torch.no_grad():
            for weight, ids, g in (
                (weight_in, first.flatten(), dfirst),
                (weight_out, out, torch.cat(dout)),
            ):
                words, place = ids.unique(return_inverse=True)
                sums = g.new_zeros(len(words), E).index_add_(0, place, g)
                length = rate * sums.norm(dim=1, keepdim=True)
                weight.index_add_(0, words, -rate / (length / LONGEST).clamp(min=1) * sums)
        done += 1
        return loss.item() / max(predictions(block, cbow), 1), norm

    batches = blocks(
        sentences,
        len(weight_in),
        epochs=epochs,
        seed=seed,
        subsample=subsample,
        power=power,
        noise=noise,
        window=window,
        size=size,
        groups=groups,
        shared=shared,
    ).after(state)
    return run(
        step,
        lambda: {name: p.clone() for name, p in model.state_dict().items()},
        lambda: done,
        batches,
        steps=steps,
        evaluate=evaluate and (lambda: evaluate(model)),
        every=every,
        patience=None,
        progress=progress,
        description=objective,
    )
