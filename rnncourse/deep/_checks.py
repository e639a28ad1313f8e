"""Checks that the reference and its twin share."""

import numpy as np

from rnncourse._checks import check_positive


def check_sizes(**sizes):
    """Raise unless every size, given by name, is an integer of at least 1; 2.0 is none."""
    for name, value in sizes.items():
        if not isinstance(value, int | np.integer):
            raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
        check_positive(name, value)


def check_names(given, wanted):
    """Raise unless a state_dict has the names that are wanted."""
    if set(given) != set(wanted):
        missing = ", ".join(name for name in wanted if name not in given) or "nothing"
        unknown = ", ".join(name for name in given if name not in wanted) or "nothing"
        raise ValueError(f"the state_dict does not fit: missing {missing}; unknown {unknown}")
