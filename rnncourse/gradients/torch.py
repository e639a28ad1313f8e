"""Jacobians through time, initial weights and clipping in PyTorch."""

import math

import torch

from rnncourse._checks import check_choice


def slope(h, nonlinearity):
    """Derivative of the nonlinearity, read off its value.

    Implements :eq:`gradients-slopes` of book/gradients.

    Parameters
    ----------
    h : tensor
    nonlinearity : {"tanh", "relu", "sigmoid"}

    Returns
    -------
    tensor
        Of the shape of `h`.

    Raises
    ------
    ValueError
        If the nonlinearity is unknown.
    """
    check_choice("nonlinearity", nonlinearity, ["tanh", "relu", "sigmoid"])
    if nonlinearity == "relu":
        return (h > 0).to(h.dtype)
    return 1 - h**2 if nonlinearity == "tanh" else h * (1 - h)


def jacobian_products(h, weight_hh, nonlinearity):
    """Jacobian of each state by the initial state.

    Implements :eq:`gradients-step`, :eq:`gradients-product` of book/gradients.

    Parameters
    ----------
    h : (T, B, H) tensor
        The states after each step.
    weight_hh : (H, H) tensor
    nonlinearity : {"tanh", "relu", "sigmoid"}

    Returns
    -------
    (T+1, B, H, H) tensor
        Element [k] is dh_k / dh_0.
    """
    product = torch.eye(h.shape[-1], dtype=h.dtype, device=h.device).expand(h.shape[1], -1, -1)
    products = [product]
    for slope_t in slope(h, nonlinearity).unbind(0):
        product = (slope_t[..., None] * weight_hh) @ product
        products.append(product)
    return torch.stack(products)


def orthogonal_init(D, H, gain=1.0, generator=None, device=None, dtype=None):
    """Initial weights with an orthogonal recurrent matrix, as a state_dict of a one-layer network.

    Implements :eq:`gradients-orthogonal` of book/gradients, by ``torch.nn.init.orthogonal_``. Input weights
    uniform on +-1/sqrt(H) as in ``torch.nn.RNN``, biases zero.

    Parameters
    ----------
    D, H : int
    gain : float
        All singular values of the recurrent matrix.
    generator : torch.Generator, optional
    device, dtype
        As in ``torch.nn.RNN``.

    Returns
    -------
    dict
        For ``load_state_dict`` of :class:`rnncourse.rnn.torch.RNN` or ``torch.nn.RNN``.
    """
    weight_ih, weight_hh, bias = (
        torch.zeros(shape, device=device, dtype=dtype) for shape in ((H, D), (H, H), (H,))
    )
    torch.nn.init.uniform_(weight_ih, -(H**-0.5), H**-0.5, generator)
    torch.nn.init.orthogonal_(weight_hh, gain, generator)
    return {
        "weight_ih_l0": weight_ih,
        "weight_hh_l0": weight_hh,
        "bias_ih_l0": bias,
        "bias_hh_l0": bias.clone(),
    }


def clip_by_norm(gradients, threshold):
    """Scale all gradients by one factor, so that their common norm is at most `threshold`.

    Implements :eq:`gradients-global`, :eq:`gradients-clip-norm` of book/gradients. Nothing is read back from
    the device, so a GPU does not wait; if an element is not finite, all of them and the norm come out as nan.
    ``torch.nn.utils.clip_grad_norm_`` does the same in place, with 1e-6 added to the norm; it squares the
    elements as they are, which overflows in float32 from 1e19 on.

    Parameters
    ----------
    gradients : sequence of tensors
    threshold : float
        Above 0.

    Returns
    -------
    clipped : tuple of tensors
    norm : tensor
        Without axes; the norm before clipping.

    Raises
    ------
    ValueError
        If the threshold is not above 0.
    """
    _check_threshold(threshold)
    largest = torch.stack([torch.linalg.vector_norm(g, math.inf) for g in gradients]).amax()
    # Elements of at most 1 have squares that do not overflow; zero gradients are divided by 1.
    largest = torch.where(largest == 0, torch.ones_like(largest), largest)
    relative = torch.linalg.vector_norm(
        torch.stack([torch.linalg.vector_norm(g / largest) for g in gradients])
    )
    factor = torch.clamp(threshold / largest / relative, max=1.0)
    return tuple(g * factor for g in gradients), largest * relative


def clip_by_value(gradients, threshold):
    """Limit every element to -threshold .. threshold.

    Implements :eq:`gradients-clip-value` of book/gradients.

    Parameters
    ----------
    gradients : sequence of tensors
    threshold : float
        Above 0.

    Returns
    -------
    tuple of tensors

    Raises
    ------
    ValueError
        If the threshold is not above 0.
    """
    _check_threshold(threshold)
    return tuple(g.clamp(-threshold, threshold) for g in gradients)


def _check_threshold(threshold):
    if not 0 < threshold < math.inf:
        raise ValueError(f"threshold must be a finite number above 0, got {threshold!r}")
