"""A language small enough to draw: the probabilities of the next token after each prefix, as a table."""

import numpy as np


def tree_step(tree):
    """Step function of a language that is given prefix by prefix.

    Parameters
    ----------
    tree : dict
        From each prefix, a tuple of tokens 0 .. V - 1 (the empty one included), to the V probabilities of the
        next token. After a prefix that is not in the tree nothing can come.

    Returns
    -------
    step : callable
        ``step(tokens, state)`` as :func:`rnncourse.beam_search.numpy.beam_search` takes it.
    state : (1,) array of int
        The empty prefix, for one sentence.
    bos : int
        The first input, V.

    Raises
    ------
    ValueError
        If the empty prefix is missing, rows differ in length or are no probabilities that add up to 1.
    """
    if () not in tree:
        raise ValueError("tree must have the empty prefix, ()")
    V = len(tree[()])
    for prefix, row in tree.items():
        row = np.asarray(row, float)
        if row.shape != (V,) or not (row >= 0).all() or abs(row.sum() - 1) > 1e-9:
            raise ValueError(f"tree must give {V} probabilities with sum 1 after each prefix, after {prefix}")
    number = {prefix: i for i, prefix in enumerate(tree)}
    with np.errstate(divide="ignore"):
        logp = np.log([*tree.values(), np.zeros(V)])
    nowhere = len(tree)
    after = np.full((nowhere + 1, V + 1), nowhere)
    for prefix, i in number.items():
        after[i, :V] = [number.get((*prefix, token), nowhere) for token in range(V)]
    after[number[()], V] = number[()]

    def step(tokens, state):
        state = after[state, tokens]
        return logp[state], state

    return step, np.array([number[()]]), V
