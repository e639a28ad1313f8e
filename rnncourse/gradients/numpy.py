"""How gradients shrink and grow on their way through time, initial weights, and clipping, in NumPy."""

import math

import numpy as np

from rnncourse._checks import check_choice, check_floats, check_positive, check_shape
from rnncourse._numerics import sigmoid
from rnncourse.optim._tree import tree_leaves, tree_map
from rnncourse.rnn.numpy import RNNParams, rnn_init

LARGEST_SLOPE = {"tanh": 1.0, "relu": 1.0, "sigmoid": 0.25}
"""Least upper bound of the slope of each nonlinearity."""


def activation(a, nonlinearity):
    """The nonlinearity, element by element.

    Implements :eq:`gradients-activations` of book/gradients.

    Parameters
    ----------
    a : array of floats
        Pre-activations.
    nonlinearity : {"tanh", "relu", "sigmoid"}

    Returns
    -------
    array
        Of the shape of `a`.

    Raises
    ------
    ValueError
        If `a` holds no finite floats or the nonlinearity is unknown.
    """
    check_floats(a=a)
    check_choice("nonlinearity", nonlinearity, LARGEST_SLOPE)
    if nonlinearity == "relu":
        return np.maximum(a, 0)
    return np.tanh(a) if nonlinearity == "tanh" else sigmoid(a)


def slope(h, nonlinearity):
    """Derivative of the nonlinearity, read off its value: 1 - h^2, 1 where h > 0, or h (1 - h).

    Implements :eq:`gradients-slopes` of book/gradients. Where h has rounded to 1 the slope comes out as 0:
    in float64 from pre-activations of 20 (tanh) and 37 (sigmoid) on, where the true one is below 1e-15.

    Parameters
    ----------
    h : array of floats
        Values of the nonlinearity, such as hidden states.
    nonlinearity : {"tanh", "relu", "sigmoid"}

    Returns
    -------
    array
        Of the shape of `h`.

    Raises
    ------
    ValueError
        If `h` holds no finite floats or the nonlinearity is unknown.
    """
    check_floats(h=h)
    check_choice("nonlinearity", nonlinearity, LARGEST_SLOPE)
    if nonlinearity == "relu":
        return (h > 0).astype(h.dtype)
    return 1 - h**2 if nonlinearity == "tanh" else h * (1 - h)


def sigmoid_as_tanh(params):
    """Parameters of the tanh network that a sigmoid network is, up to a shift and a scale of its states.

    Implements :eq:`gradients-sigmoid` of book/gradients. If h follows the sigmoid network, 2 h - 1 follows
    this one; both have the same Jacobians from state to state.

    Parameters
    ----------
    params : RNNParams
        Of a network h_t = sigmoid(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh).

    Returns
    -------
    RNNParams

    Raises
    ------
    ValueError
        If a shape or dtype does not fit.
    """
    H = len(params.weight_hh)
    check_shape("weight_ih", params.weight_ih, H=H, D=None)
    check_shape("weight_hh", params.weight_hh, H=H, H_=H)
    check_shape("bias_ih", params.bias_ih, H=H)
    check_shape("bias_hh", params.bias_hh, H=H)
    check_floats(**params._asdict())
    quarter = params.weight_hh / 4
    return RNNParams(
        params.weight_ih / 2, quarter, params.bias_ih / 2, params.bias_hh / 2 + quarter.sum(axis=1)
    )


def step_jacobians(h, weight_hh, nonlinearity):
    """Jacobian of each state by the state before it: the rows of W_hh, each times the slope of its unit.

    Implements :eq:`gradients-step` of book/gradients.

    Parameters
    ----------
    h : (T, B, H) array
        The states after each step: ``output`` of :func:`rnncourse.rnn.numpy.rnn_forward`.
    weight_hh : (H, H) array
    nonlinearity : {"tanh", "relu", "sigmoid"}

    Returns
    -------
    (T, B, H, H) array
        Element [t, b, i, j] is the derivative of unit i after the step by unit j before it.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    check_shape("h", h, T=None, B=None, H=None)
    T, _, H = h.shape
    check_positive("T", T)
    check_shape("weight_hh", weight_hh, H=H, H_=H)
    check_floats(h=h, weight_hh=weight_hh)
    return slope(h, nonlinearity)[..., None] * weight_hh


def jacobian_products(h, weight_hh, nonlinearity):
    """Jacobian of each state by the initial state.

    Implements :eq:`gradients-product` of book/gradients. For the Jacobian by a later state, hand over the
    states after that one only.

    Parameters
    ----------
    h : (T, B, H) array
        The states after each step: ``output`` of :func:`rnncourse.rnn.numpy.rnn_forward`.
    weight_hh : (H, H) array
    nonlinearity : {"tanh", "relu", "sigmoid"}

    Returns
    -------
    (T+1, B, H, H) array
        Element [k] is dh_k / dh_0; [0] is the identity.

    Raises
    ------
    ValueError
        If a shape or dtype does not fit, or a number is not finite.
    """
    steps = step_jacobians(h, weight_hh, nonlinearity)
    T, B, H, _ = steps.shape
    products = np.empty((T + 1, B, H, H), h.dtype)
    products[0] = np.eye(H)
    for t in range(T):
        # The later step stands on the left.
        np.matmul(steps[t], products[t], out=products[t + 1])
    return products


def spectral_norm(matrices):
    """Largest singular value: the most by which a matrix lengthens a vector.

    Implements :eq:`gradients-norm` of book/gradients.

    Parameters
    ----------
    matrices : (..., M, N) array

    Returns
    -------
    (...) array

    Raises
    ------
    ValueError
        If there are no two axes, or no finite floats.
    """
    if matrices.ndim < 2:
        raise ValueError(f"matrices must have shape (..., M, N), got {matrices.shape}")
    check_floats(matrices=matrices)
    return np.linalg.norm(matrices, 2, axis=(-2, -1))


def spectral_radius(matrix):
    """Largest absolute value of an eigenvalue.

    Implements :eq:`gradients-radius` of book/gradients.

    Parameters
    ----------
    matrix : (H, H) array

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the matrix is not square, or holds no finite floats.
    """
    check_shape("matrix", matrix, H=None, H_=matrix.shape[0] if matrix.ndim else None)
    check_floats(matrix=matrix)
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def norm_bound(weight_hh, nonlinearity, lags):
    """The most that the norm of dh_s / dh_t can be, by the number of steps s - t.

    Implements :eq:`gradients-bound` of book/gradients. Source: Pascanu, Mikolov and Bengio (2013), for the
    states h in place of their pre-activations x.

    Parameters
    ----------
    weight_hh : (H, H) array
    nonlinearity : {"tanh", "relu", "sigmoid"}
    lags : array of int, or int
        Steps between the two states, at least 0.

    Returns
    -------
    array of float64
        Of the shape of `lags`; inf where it is too large for a float.

    Raises
    ------
    ValueError
        If the matrix is not square, a lag is no integer of at least 0, or the nonlinearity is unknown.
    """
    check_shape("weight_hh", weight_hh, H=None, H_=weight_hh.shape[0] if weight_hh.ndim else None)
    check_choice("nonlinearity", nonlinearity, LARGEST_SLOPE)
    lags = np.asarray(lags)
    if lags.dtype.kind not in "iu" or (lags < 0).any():
        raise ValueError(f"lags must be integers of at least 0, got {lags}")
    with np.errstate(over="ignore"):
        return np.float64(LARGEST_SLOPE[nonlinearity] * float(spectral_norm(weight_hh))) ** lags


def _with_recurrent(rng, D, H, weight_hh, dtype):
    params = rnn_init(rng, D, H, dtype)
    zeros = np.zeros(H, dtype)
    return params._replace(weight_hh=weight_hh.astype(dtype), bias_ih=zeros, bias_hh=zeros.copy())


def _check_sizes(D, H, name, value):
    check_positive("D", D)
    check_positive("H", H)
    _check_above_zero(name, value)


def _check_above_zero(name, value):
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")


def orthogonal_init(rng, D, H, gain=1.0, dtype=np.float64):
    """Initial weights with an orthogonal recurrent matrix, all such matrices equally likely.

    Implements :eq:`gradients-orthogonal` of book/gradients. Source: Saxe, McClelland and Ganguli (2014), who
    draw so the layers of deep networks; drawn by the QR decomposition of a Gaussian matrix, as
    ``torch.nn.init.orthogonal_`` does. Input weights as in :func:`rnncourse.rnn.numpy.rnn_init`, biases zero.

    Parameters
    ----------
    rng : np.random.Generator
    D, H : int
        Input and hidden size.
    gain : float
        All singular values of the recurrent matrix, above 0.
    dtype : dtype

    Returns
    -------
    RNNParams

    Raises
    ------
    ValueError
        If a size or the gain is not positive.
    """
    _check_sizes(D, H, "gain", gain)
    q, r = np.linalg.qr(rng.normal(size=(H, H)))
    # QR makes the diagonal of r negative more often than not; its signs, given to q, undo the preference.
    return _with_recurrent(rng, D, H, gain * q * np.sign(np.diag(r)), dtype)


def identity_init(rng, D, H, scale=1.0, dtype=np.float64):
    """Initial weights with a multiple of the identity as recurrent matrix, for ReLU networks.

    Implements :eq:`gradients-identity` of book/gradients. Source: Le, Jaitly and Hinton (2015), whose
    input weights are smaller: Gaussian with standard deviation 0.001. Here they are as in
    :func:`rnncourse.rnn.numpy.rnn_init`; biases zero.

    Parameters
    ----------
    rng : np.random.Generator
    D, H : int
        Input and hidden size.
    scale : float
        Diagonal of the recurrent matrix, above 0.
    dtype : dtype

    Returns
    -------
    RNNParams

    Raises
    ------
    ValueError
        If a size or the scale is not positive.
    """
    _check_sizes(D, H, "scale", scale)
    return _with_recurrent(rng, D, H, scale * np.eye(H), dtype)


def radius_init(rng, D, H, radius=1.0, dtype=np.float64):
    """Initial weights with a Gaussian recurrent matrix that is scaled to a spectral radius.

    Implements :eq:`gradients-scaled` of book/gradients. Source: Jaeger (2001), for networks whose recurrent
    weights are not trained. Input weights as in :func:`rnncourse.rnn.numpy.rnn_init`, biases zero.

    Parameters
    ----------
    rng : np.random.Generator
    D, H : int
        Input and hidden size.
    radius : float
        Largest absolute eigenvalue of the recurrent matrix, above 0.
    dtype : dtype

    Returns
    -------
    RNNParams

    Raises
    ------
    ValueError
        If a size or the radius is not positive.
    """
    _check_sizes(D, H, "radius", radius)
    weight_hh = rng.normal(size=(H, H))
    return _with_recurrent(rng, D, H, radius / spectral_radius(weight_hh) * weight_hh, dtype)


def global_norm(gradients):
    """Euclidean norm of all gradients taken as one vector.

    Implements :eq:`gradients-global` of book/gradients. Squares that overflow or vanish do not matter.

    Parameters
    ----------
    gradients : array, or nested tuples of arrays

    Returns
    -------
    float
        Not finite if an element is not.

    Raises
    ------
    ValueError
        If a gradient is no array of floats; it names the gradient.
    """
    leaves = []
    for path, leaf in tree_leaves(gradients):
        if not (isinstance(leaf, np.ndarray | np.floating) and leaf.dtype.kind == "f"):
            kind = getattr(leaf, "dtype", type(leaf).__name__)
            raise ValueError(f"{_named(path)} must be an array of floats, got {kind}")
        leaves.append(leaf)
    with np.errstate(over="ignore"):
        squares = sum(float(np.vdot(leaf, leaf)) for leaf in leaves)
    # Squares of float32 leave their range at 1e19 and 1e-23: sizes that exploding gradients do have.
    if 1e-30 < squares < math.inf:
        return math.sqrt(squares)
    largest = float(np.max([np.abs(leaf).max(initial=0.0) for leaf in leaves], initial=0.0))
    if largest == 0 or not math.isfinite(largest):
        return largest
    scaled = [leaf.astype(np.float64) / largest for leaf in leaves]
    return largest * math.sqrt(sum(float(np.vdot(leaf, leaf)) for leaf in scaled))


def clip_by_norm(gradients, threshold):
    """Scale all gradients by one factor, so that their common norm is at most `threshold`.

    Implements :eq:`gradients-clip-norm` of book/gradients. Source: Pascanu, Mikolov and Bengio (2013),
    Algorithm 1. ``torch.nn.utils.clip_grad_norm_`` divides by the norm plus 1e-6, in place.

    Parameters
    ----------
    gradients : array, or nested tuples of arrays
    threshold : float
        Above 0.

    Returns
    -------
    clipped : like `gradients`
    norm : float
        The norm before clipping.

    Raises
    ------
    ValueError
        If the threshold is not above 0, or a gradient is no array of finite floats; it names the gradient.
    """
    _check_above_zero("threshold", threshold)
    norm = global_norm(gradients)
    if not math.isfinite(norm):
        _check_gradients(gradients)
    factor = min(1.0, threshold / norm) if norm else 1.0
    return tree_map(lambda g: g * factor, gradients), norm


def clip_by_value(gradients, threshold):
    """Limit every element to -threshold .. threshold; this turns the gradient.

    Implements :eq:`gradients-clip-value` of book/gradients. ``torch.nn.utils.clip_grad_value_`` does the same
    in place.

    Parameters
    ----------
    gradients : array, or nested tuples of arrays
    threshold : float
        Above 0.

    Returns
    -------
    like `gradients`

    Raises
    ------
    ValueError
        If the threshold is not above 0, or a gradient is no array of finite floats; it names the gradient.
    """
    _check_above_zero("threshold", threshold)
    _check_gradients(gradients)
    return tree_map(lambda g: np.clip(g, -threshold, threshold), gradients)


def angle(gradients, others):
    """Angle between two gradients taken as vectors, in degrees.

    Implements :eq:`gradients-angle` of book/gradients; by half the angle, which keeps its precision near 0.

    Parameters
    ----------
    gradients, others : arrays, or nested tuples of arrays
        Of the same structure and shapes, neither of them zero.

    Returns
    -------
    float
        0 to 180.

    Raises
    ------
    ValueError
        If a gradient is no array of finite floats, or zero, or if structures or shapes differ.
    """
    places, given = ([(path, np.shape(g)) for path, g in tree_leaves(tree)] for tree in (gradients, others))
    if places != given:
        raise ValueError(f"others must have the names and shapes of gradients, {places}, got {given}")
    units = []
    for name, tree in {"gradients": gradients, "others": others}.items():
        _check_gradients(tree)
        norm = global_norm(tree)
        if norm == 0:
            raise ValueError(f"{name} must not be zero: it has no direction")
        units.append(tree_map(lambda g, norm=norm: g / norm, tree))
    apart = global_norm(tree_map(np.subtract, *units))
    together = global_norm(tree_map(np.add, *units))
    return math.degrees(2 * math.atan2(apart, together))


def _check_gradients(gradients):
    global_norm(gradients)
    for path, leaf in tree_leaves(gradients):
        check_floats(**{_named(path): leaf})


def _named(path):
    return f"gradient of {path}" if path else "gradients"
