"""The check that the reference and its twin share."""


def check_names(given, wanted):
    """Raise unless a state_dict has the names that are wanted."""
    if set(given) != set(wanted):
        missing = ", ".join(name for name in wanted if name not in given) or "nothing"
        unknown = ", ".join(name for name in given if name not in wanted) or "nothing"
        raise ValueError(f"the state_dict does not fit: missing {missing}; unknown {unknown}")
