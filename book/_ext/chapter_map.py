"""``{chapter_map}``: the course as a drawing, chapters that are there as links, those in work as outlines."""

from html import escape

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

# Each row is a part of the course; the order is the order of reading.
PARTS = [
    ("Sequences", ["sequences", "ngram"]),
    ("Recurrence", ["rnn", "bptt", "gradients"]),
    ("Gates", ["lstm", "gru", "deep", "training"]),
    ("Words", ["embeddings", "word2vec", "glove", "similarity"]),
    ("Text", ["language_model", "bleu"]),
    ("Translation", ["seq2seq", "beam_search", "attention"]),
]
WIDTH, HEIGHT, GAP, LEFT = 128, 34, 14, 104


class ChapterMap(SphinxDirective):
    """Draw the map as SVG in the page, in the theme's colours."""

    def run(self):
        """Build the drawing from the chapters that this build has."""
        self.env.note_reread()
        rows = [self._row(row, *part) for row, part in enumerate(PARTS)]
        width = LEFT + 4 * (WIDTH + GAP)
        height = len(PARTS) * (HEIGHT + 2 * GAP)
        svg = (
            f'<div class="chapter-map"><svg viewBox="0 0 {width} {height}" role="group" '
            f'aria-label="Map of the chapters">{"".join(rows)}</svg></div>'
        )
        return [nodes.raw("", svg, format="html")]

    def _row(self, row, part, topics):
        y = row * (HEIGHT + 2 * GAP) + GAP
        drawn = [f'<text class="part" x="0" y="{y + HEIGHT / 2 + 5}">{escape(part)}</text>']
        for column, topic in enumerate(topics):
            x = LEFT + column * (WIDTH + GAP)
            name = topic.replace("_", " ")
            middle = f'x="{x + WIDTH / 2}" y="{y + HEIGHT / 2 + 5}" text-anchor="middle"'
            box = (
                f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="7"/>'
                f"<text {middle}>{escape(name)}</text>"
            )
            if f"book/{topic}" in self.env.found_docs:
                box = f'<a class="ready" href="{topic}.html">{box}</a>'
            else:
                box = f'<g class="planned"><title>{escape(name)}: in work</title>{box}</g>'
            drawn.append(box)
            if column:
                start = x - GAP
                drawn.append(f'<path d="M{start} {y + HEIGHT / 2}h{GAP}"/>')
        return "".join(drawn)


def setup(app):
    """Register the directive."""
    app.add_directive("chapter_map", ChapterMap)
    return {
        "version": "1",
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
