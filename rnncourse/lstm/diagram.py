"""The cell as a diagram."""

from matplotlib.patches import FancyBboxPatch

from rnncourse.plot import BLUE, GREY, INK, LINE, ORANGE, SOFT

GATES = {"f": 2.0, "i": 3.8, "g": 5.4, "o": 7.2}


def draw_cell(ax):
    """Draw one step of the LSTM: the cell's path on top, the gates below it, peepholes dashed.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    """

    def arrow(*points, colour=SOFT, style="-", width=1.4):
        x, y = zip(*points, strict=True)
        ax.plot(x[:-1], y[:-1], style, color=colour, lw=width, solid_capstyle="round")
        ends = {"xy": points[-1], "xytext": points[-2]}
        line = {"arrowstyle": "-|>", "color": colour, "lw": width, "ls": style, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", **ends, arrowprops=line)

    def box(x, y, text, colour):
        edge = {"boxstyle": "round,pad=0.02,rounding_size=0.08", "fc": "white", "ec": colour, "lw": 1.6}
        ax.add_patch(FancyBboxPatch((x - 0.42, y - 0.24), 0.84, 0.48, zorder=3, **edge))
        ax.text(x, y, text, ha="center", va="center", fontsize=9.5, zorder=4)

    def operation(x, y, text):
        ax.plot(x, y, "o", ms=15, mfc="white", mec=INK, mew=1.3, zorder=3)
        ax.text(x, y, text, ha="center", va="center", fontsize=11, zorder=4)

    arrow((0.2, 3), (2, 3), (4.6, 3), (9.9, 3), colour=BLUE, width=2.6)
    ax.plot((0.2, 7.2), (0, 0), color=ORANGE, lw=2.0)
    for name, x in GATES.items():
        arrow((x, 0), (x, 0.74), colour=ORANGE)
        box(
            x,
            1,
            r"$\tanh\ g_t$" if name == "g" else rf"$\sigma\ \ {name}_t$",
            LINE if name == "g" else ORANGE,
        )
    arrow((2, 1.26), (2, 2.82))
    arrow((3.8, 1.26), (3.8, 2.1), (4.42, 2.1))
    arrow((5.4, 1.26), (5.4, 2.1), (4.78, 2.1))
    arrow((4.6, 2.28), (4.6, 2.82))
    arrow((8.6, 3), (8.6, 2.36), colour=BLUE)
    box(8.6, 2.1, r"$\tanh$", LINE)
    arrow((8.6, 1.84), (8.6, 1.18))
    arrow((7.64, 1), (8.42, 1))
    arrow((8.78, 1), (9.9, 1), colour=ORANGE, width=2.0)
    for x, y, text in ((2, 3, r"$\odot$"), (4.6, 3, "+"), (4.6, 2.1, r"$\odot$"), (8.6, 1, r"$\odot$")):
        operation(x, y, text)
    arrow((1.1, 3), (1.1, 1.6), (1.7, 1.6), (1.7, 1.28), colour=GREY, style="--", width=1.1)
    arrow((1.1, 1.6), (3.5, 1.6), (3.5, 1.28), colour=GREY, style="--", width=1.1)
    arrow((7.2, 3), (7.2, 1.28), colour=GREY, style="--", width=1.1)
    names = ((0.1, 3, "$c_{t-1}$", "right"), (10, 3, "$c_t$", "left"), (10, 1, "$h_t$", "left"))
    for x, y, text, side in (*names, (0.1, 0, "$x_t,\\ h_{t-1}$", "right")):
        ax.text(x, y, text, ha=side, va="center", fontsize=11)
    ax.set(xlim=(-1.1, 10.6), ylim=(-0.25, 3.35))
    ax.axis("off")
