"""Checks of a gradient or of a second implementation, for tests, notebooks and students."""

import numpy as np


def relative_error(actual, expected):
    """Largest difference of two arrays, relative to the largest element of `expected`.

    Element by element, correct code fails near zero; per array it does not.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        raise AssertionError(f"shape {actual.shape} differs from the expected shape {expected.shape}")
    difference = np.abs(actual - expected).max(initial=0.0)
    scale = np.abs(expected).max(initial=0.0)
    return float(difference / scale) if scale else float(difference)


def numerical_gradient(function, array, eps=1e-5):
    """Gradient of a scalar function by central differences, two calls an element.

    Implements :eq:`bptt-differences` of book/bptt.

    Parameters
    ----------
    function : callable
        Takes an array of the shape of `array`, returns a number.
    array : array of float64, or float
        Where to differentiate. It is not changed.
    eps : float
        Half the distance of the two points.

    Returns
    -------
    array
        Of the shape of `array`.

    Raises
    ------
    ValueError
        If `array` is not float64: in float32 the difference drowns in rounding.
    """
    array = np.asarray(array)
    if array.dtype != np.float64:
        raise ValueError(f"array must be float64 for central differences, got {array.dtype}")
    gradient = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        step = np.zeros(array.shape)
        step[index] = eps
        gradient[index] = (function(array + step) - function(array - step)) / (2 * eps)
    return gradient


def check_gradient(function, arguments, gradients, tolerance=1e-7, eps=1e-5):
    """Compare gradients with central differences and return the error of each.

    Parameters
    ----------
    function : callable
        Takes the arguments by name, returns a number.
    arguments : dict of float64 arrays
    gradients : dict of arrays
        What is claimed to be the gradient, by argument name.
    tolerance : float
        Largest :func:`relative_error` that passes.
    eps : float

    Returns
    -------
    dict
        Error by name.

    Raises
    ------
    AssertionError
        If an error exceeds the tolerance; it names the gradients and their errors.
    """
    numerical = {
        name: numerical_gradient(
            lambda a, name=name: function(**{**arguments, name: a}), arguments[name], eps
        )
        for name in gradients
    }
    return check_parity(gradients, numerical, tolerance)


def check_parity(actual, expected, tolerance=1e-10):
    """Compare arrays by name and return the error of each.

    Parameters
    ----------
    actual, expected : dict of arrays
        With the same names. Anything NumPy can read, detached tensors on the CPU included.
    tolerance : float
        Largest :func:`relative_error` that passes.

    Returns
    -------
    dict
        Error by name.

    Raises
    ------
    AssertionError
        If names differ, a shape differs or an error exceeds the tolerance.
    """
    if set(actual) != set(expected):
        raise AssertionError(f"names differ: {sorted(actual)} against {sorted(expected)}")
    errors = {name: relative_error(actual[name], expected[name]) for name in expected}
    # `not <=` also catches nan.
    wrong = {name: error for name, error in errors.items() if not error <= tolerance}
    if wrong:
        listed = ", ".join(f"{name}: {error:.1e}" for name, error in wrong.items())
        raise AssertionError(f"relative error above {tolerance:.0e} in {listed}")
    return errors
