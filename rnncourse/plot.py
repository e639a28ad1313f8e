"""The style of the book's figures, and the diagrams of unrolled networks."""

import matplotlib as mpl
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

INK, SOFT, LINE, PAPER = "#1c2430", "#5a6675", "#c6ccd4", "#fbfbf9"
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0b5fa5", "#b34700", "#1a6b3c", "#6b3fa0", "#7a8594"
"""Told apart by lightness as well as by hue; lines that matter differ in dash or marker too."""
STYLE = {
    "figure.figsize": (7.2, 3.4),
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.prop_cycle": mpl.cycler(color=[BLUE, ORANGE, GREEN, PURPLE, GREY]),
    "font.size": 10.5,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "image.cmap": "cividis",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "rnncourse",  # the same ids in every run
}


def use_style():
    """Set the book's style for this notebook: vector figures on a light card, in both themes."""
    mpl.rcParams.update(STYLE)
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    set_matplotlib_formats("svg", metadata={"Date": None})


def draw_unrolled(ax, inputs, states, outputs, labels=("input", "state", "output"), annotate=None):
    """Draw an unrolled network: one column a step, values in the nodes, the same weights on every arrow.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    inputs, outputs : sequence of str, numbers, vectors or None
        What stands in each step's input and output node, rounded to integers; None leaves the node out.
    states : sequence of str, numbers or vectors
        What stands in each state, the initial state first: one more than there are steps.
    labels : tuple of str
        Names of the three rows.
    annotate : tuple of str, optional
        Names of the weights on the arrows: input, recurrent, output.
    """
    steps = len(states) - 1
    for t, state in enumerate(states):
        _node(ax, t, 1, state, LINE if t == 0 else BLUE)
        if t == 0:
            continue
        _arrow(ax, (t - 1, 1), (t, 1))
        if inputs[t - 1] is not None:
            _node(ax, t, 0, inputs[t - 1], LINE)
            _arrow(ax, (t, 0), (t, 1))
        if outputs[t - 1] is not None:
            _node(ax, t, 2, outputs[t - 1], ORANGE)
            _arrow(ax, (t, 1), (t, 2))
        if annotate:
            for name, (x, y) in zip(
                annotate, [(t + 0.05, 0.5), (t - 0.5, 1.1), (t + 0.05, 1.5)], strict=True
            ):
                ax.text(
                    x, y, name, fontsize=8.5, color=SOFT, ha="left" if y != 1.1 else "center", va="center"
                )
    for row, name in enumerate(labels):
        ax.text(-0.55, row, name, ha="right", va="center", color=SOFT)
    ax.set(xlim=(-1.3, steps + 0.5), ylim=(-0.45, 2.45))
    ax.axis("off")


def _node(ax, x, y, content, colour):
    if isinstance(content, str):
        text = content
    else:
        numbers = [f"{value:.0f}" for value in np.atleast_1d(content)]
        text = numbers[0] if len(numbers) == 1 else f"({', '.join(numbers)})"
    box = FancyBboxPatch(
        (x - 0.3, y - 0.2),
        0.6,
        0.4,
        boxstyle="round,pad=0.02,rounding_size=0.1",
        fc="white",
        ec=colour,
        lw=1.6,
    )
    ax.add_patch(box)
    ax.text(x, y, text, ha="center", va="center", fontsize=9.5)


def _arrow(ax, start, end):
    # The ends stop at the boxes' edges, which are wider than they are high.
    (x0, y0), (x1, y1) = start, end
    gap_x, gap_y = (0.34, 0) if y0 == y1 else (0, 0.24)
    ax.add_patch(
        FancyArrowPatch(
            (x0 + gap_x, y0 + gap_y),
            (x1 - gap_x, y1 - gap_y),
            arrowstyle="-|>",
            mutation_scale=10,
            color=SOFT,
        )
    )
