"""Published recurrent architectures, as far as their sources state them, to be built on the meta device."""

from typing import NamedTuple


class Embedding(NamedTuple):
    """A table of vectors."""

    V: int
    E: int


class Recurrent(NamedTuple):
    """A stack of recurrent layers."""

    cell: str
    """"rnn", "gru" or "lstm"."""
    D: int
    """Input size; 1 where no source at hand states it, so that the count is a lower bound."""
    H: int
    layers: int = 1
    bidirectional: bool = False


class Output(NamedTuple):
    """A linear layer with bias."""

    H: int
    V: int


class Architecture(NamedTuple):
    """One row of the table."""

    task: str
    source: str
    """Key of the paper in ``book/references.bib``."""
    parts: tuple
    """Embedding, Recurrent and Output."""
    left_out: str = ""
    """What the paper's network has beside the parts, or what its source does not state."""
    published: str = ""
    """Number of parameters that the paper gives, as it rounds it."""
    data: str = ""
    """What it was trained on, where a source at hand states it."""


def _graves(layers, published):
    parts = Recurrent("lstm", 123, 250, layers, True), Output(500, 62)
    return Architecture(
        f"phonemes, layers: {layers}", "graves2013", parts, "peepholes", published, "3,696 utterances"
    )


ARCHITECTURES = (
    Architecture(
        "speech (notes: 500K words)",
        "soltau2017",
        (Recurrent("lstm", 1, 1000, 7, True),),
        "input, output layer",
        data="125,000 hours",
    ),
    Architecture(
        "speech (notes: 82K words)",
        "soltau2017",
        (Recurrent("lstm", 1, 600, 5, True),),
        "input, output layer",
        data="125,000 hours",
    ),
    _graves(1, "0.8M"),
    _graves(3, "3.8M"),
    _graves(5, "6.8M"),
    Architecture(
        "translation",
        "sutskever2014",
        (
            Embedding(160_000, 1000),
            Recurrent("lstm", 1000, 1000, 4),
            Embedding(80_000, 1000),
            Recurrent("lstm", 1000, 1000, 4),
            Output(1000, 80_000),
        ),
        "",
        "384M",
        "652 million words",
    ),
    Architecture(
        "captions", "vinyals2015", (Recurrent("lstm", 512, 512),), "image network, embedding, output layer"
    ),
    Architecture(
        "images, 256 units",
        "gregor2015",
        # A window of 2 x 2 of image and of error image, and the decoder's output; 100 latent numbers.
        (Recurrent("lstm", 2 * 2 * 2 + 256, 256), Recurrent("lstm", 100, 256)),
        "reading and writing",
    ),
    *(
        Architecture(
            f"images, {H} units",
            "gregor2015",
            (Recurrent("lstm", 1, H), Recurrent("lstm", 1, H)),
            "inputs, reading and writing",
        )
        for H in (400, 800)
    ),
    Architecture(
        "answer selection",
        "wang2015",
        (Recurrent("lstm", 300, 500, 2, True),),
        "embedding, output layer",
    ),
    Architecture(
        "summaries",
        "nallapati2016",
        (
            Embedding(119_000, 100),
            Recurrent("gru", 100, 200, 1, True),
            Embedding(68_000, 100),
            Recurrent("gru", 100, 200),
            Output(200, 68_000),
        ),
        "attention",
    ),
)
"""The rows of the source notes' table, in their order; the three depths and widths are rows of their own."""
