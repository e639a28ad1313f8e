"""A language small enough to draw: the probabilities of the next token after each prefix, as a table."""

import numpy as np

from rnncourse import plot


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


def draw_tree(ax, tree, T, names, lit, drawn=None):
    """Draw the prefixes of a language up to T tokens, from left to right, each with its probability.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    tree : dict
        As :func:`tree_step` takes it.
    T : int
    names : sequence of str
        The tokens' names.
    lit : dict
        From prefixes to (colour, line style): the edges that lead to them are drawn so.
    drawn : collection of prefixes, optional
        Draw the continuations of these alone; by default of all.
    """
    height, rows = {}, iter(range(len(names) ** T))

    def draw(prefix, p):
        inner = len(prefix) < T and prefix in tree and (drawn is None or prefix in drawn)
        after = [(*prefix, token) for token in range(len(names))] if inner else []
        for longer in after:
            draw(longer, p * tree[prefix][longer[-1]])
        height[prefix] = sum(height[a] for a in after) / len(after) if after else -next(rows)
        x, y = len(prefix), height[prefix]
        for longer in after:
            colour, style = lit.get(longer, (plot.LINE, "-"))
            ax.plot([x, x + 0.62], [y, height[longer]], style, color=colour, lw=2.4 if longer in lit else 1.2)
            label = f"{tree[prefix][longer[-1]]:g}"
            place = 0.36 * y + 0.64 * height[longer]
            ax.text(
                x + 0.4,
                place,
                label,
                fontsize=8.5,
                ha="center",
                va="center",
                color=plot.SOFT,
                bbox={"fc": plot.PAPER, "ec": "none", "pad": 0.8},
            )
        text = " ".join(names[token] for token in prefix)
        if prefix:
            strong = prefix in lit
            ax.text(
                x - 0.36,
                y,
                f" {text}   {p:.3g}",
                va="center",
                fontsize=9.5,
                color=plot.INK if strong else plot.SOFT,
                fontweight="bold" if strong else "normal",
            )

    draw((), 1.0)
    ax.set(xlim=(-0.05, T + 0.35), ylim=(min(height.values()) - 0.6, 0.6))
    ax.axis("off")
