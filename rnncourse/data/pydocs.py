"""Real technical English that every CPython carries: its language reference."""

from pydoc_data.topics import topics


def pydocs_text():
    """The topics of ``help()`` in the order of their names, a blank line between any two.

    The text differs between Python releases: what is computed from it cannot be compared across them.

    Returns
    -------
    str
    """
    return "\n\n".join(topics[name].strip("\n") for name in sorted(topics))
