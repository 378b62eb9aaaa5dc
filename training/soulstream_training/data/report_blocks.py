"""What a report is built from (sections of text, tables and pictures) and its page of HTML.

The page stands alone: its pictures and style sheet are inside, nothing is fetched and nothing runs. All text is
escaped. Not for: paper (``report_pdf``), what is said (``report``).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
from matplotlib.figure import Figure, FigureBase

CONTENT_WIDTH_IN = 7.1
"""Width of every picture, inches: A4 without its margins."""

SHORT_TABLE_ROWS = 12
"""A table of so few rows is not cut by the end of a page."""

NO_NAME = "(none)"
"""Stands where a label is empty."""

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "text.parse_math": False,  # a label with dollar signs is no formula
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a949e",
    "axes.linewidth": 0.6,
    "axes.labelcolor": "#33404c",
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": "#1d2731",
    "text.color": "#1d2731",
    "xtick.color": "#8a949e",
    "ytick.color": "#8a949e",
    "xtick.labelcolor": "#33404c",
    "ytick.labelcolor": "#33404c",
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.unicode_minus": True,
    "pdf.fonttype": 42,  # words that can be searched for
    "svg.hashsalt": "soulstream",
}
"""Settings of matplotlib that all pictures are drawn with."""


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; ``is_small`` for licence texts and remarks."""

    words: str
    is_small: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text.

    Attributes:
        columns: Their headings; one that starts with ``>`` holds numbers and is set to the right.
        rows: Cells as text.
        widths: Share of the page of each column on paper; as wide as their text where empty.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    widths: tuple[float, ...] = ()

    @property
    def headings(self) -> tuple[str, ...]:
        """Headings without the mark."""
        return tuple(column.removeprefix(">") for column in self.columns)

    @property
    def are_numbers(self) -> tuple[bool, ...]:
        """Which columns are set to the right."""
        return tuple(column.startswith(">") for column in self.columns)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture ``CONTENT_WIDTH_IN`` wide.

    Attributes:
        draw: Draws it on an empty figure of its size.
        height_in: Height, inches.
        alt: What it shows, for those who cannot see it.
        caption: Line under it.
        is_dense: Holds so many shapes that pixels are smaller.
    """

    draw: Callable[[FigureBase], None]
    height_in: float
    alt: str
    caption: str = ""
    is_dense: bool = False


Block = Text | Table | Picture


@dataclass(frozen=True, slots=True)
class Section:
    """A chapter."""

    title: str
    blocks: tuple[Block, ...]


def clean(text: str) -> str:
    """Text in one line, without characters that cannot be printed or encoded."""
    encodable = text.encode("utf-8", "replace").decode("utf-8")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in encodable).split())


def shorten(text: str, letters: int) -> str:
    """Text as ``clean`` gives it, cut to so many letters; a sign in its place where there is none."""
    cleaned = clean(text) or NO_NAME
    return cleaned if len(cleaned) <= letters else f"{cleaned[: letters - 1]}…"


def num_clips(count: int) -> str:
    """``1 clip`` or ``2 clips``."""
    return f"{count} clip" if count == 1 else f"{count} clips"


def to_html(
    title: str,
    facts: Sequence[tuple[str, str]],
    sections: Sequence[Section],
    on_picture: Callable[[], None] = lambda: None,
) -> str:
    """The whole page.

    Args:
        title: Title of the report.
        facts: The few numbers at the top: label and value.
        sections: Chapters.
        on_picture: Told after every picture.

    Returns:
        A document of HTML 5, without anything outside of it.
    """
    name = escape(clean(title))
    links = "".join(f'<li><a href="#s{n}">{escape(clean(s.title))}</a></li>' for n, s in enumerate(sections))
    tiles = "".join(
        f'<div class="fact"><b>{escape(clean(value))}</b><span>{escape(clean(label))}</span></div>'
        for label, value in facts
    )
    body = []
    for number, section in enumerate(sections):
        body.append(f'<section id="s{number}"><h2>{escape(clean(section.title))}</h2>')
        for block in section.blocks:
            with matplotlib.rc_context(STYLE):
                body.append(_block_html(block))
            if isinstance(block, Picture):
                on_picture()
        body.append("</section>")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
        f'<header><h1>{name}</h1><div class="facts">{tiles}</div></header>\n'
        f'<nav aria-label="Contents"><ol>{links}</ol></nav>\n<main>\n'
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def picture_bytes(picture: Picture, kind: str, dpi: float = 160.0) -> bytes:
    """A picture as a file.

    Args:
        picture: The picture.
        kind: ``svg`` or ``png``.
        dpi: Pixels an inch of a PNG.

    Returns:
        Content of the file; the same picture gives the same bytes.
    """
    figure = Figure(figsize=(CONTENT_WIDTH_IN, picture.height_in))
    picture.draw(figure)
    stream = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(stream, format=kind, dpi=dpi, metadata=metadata)
    return stream.getvalue()


def _block_html(block: Block) -> str:
    if isinstance(block, Text):
        mark = ' class="small"' if block.is_small else ""
        return f"<p{mark}>{escape(clean(block.words))}</p>"
    if isinstance(block, Picture):
        kind, mime = ("png", "image/png") if block.is_dense else ("svg", "image/svg+xml")
        data = base64.b64encode(picture_bytes(block, kind)).decode("ascii")
        caption = f"<figcaption>{escape(clean(block.caption))}</figcaption>" if block.caption else ""
        return f'<figure><img src="data:{mime};base64,{data}" alt="{escape(clean(block.alt))}">{caption}</figure>'
    marks = [' class="number"' if is_number else "" for is_number in block.are_numbers]
    head = "".join(
        f'<th scope="col"{mark}>{escape(clean(text))}</th>' for mark, text in zip(marks, block.headings, strict=True)
    )
    rows = (
        "<tr>" + "".join(f"<td{m}>{escape(clean(c))}</td>" for m, c in zip(marks, row, strict=True)) + "</tr>"
        for row in block.rows
    )
    columns = "".join(f'<col style="width: {100 * share / sum(block.widths):.0f}%">' for share in block.widths)
    kind = "table short" if len(block.rows) <= SHORT_TABLE_ROWS else "table"
    return (
        f'<div class="{kind}"><table><colgroup>{columns}</colgroup><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


_CSS = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 60rem; color: #1d2731; background: #fff;
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.9rem; margin: 0 0 1rem; letter-spacing: -0.01em; }
h2 { font-size: 1.3rem; margin: 3rem 0 0.75rem; padding-bottom: 0.3rem; border-bottom: 2px solid #1f7a8c; }
p { max-width: 48rem; margin: 0 0 1rem; }
p.small { font-size: 0.82rem; color: #4a5763; }
.facts { display: grid; grid-template-columns: repeat(4, 1fr); gap: 0.75rem; }
.fact { padding: 0.7rem 0.9rem; border: 1px solid #d5dbe0; border-left: 4px solid #1f7a8c; border-radius: 4px; }
.fact b { display: block; font-size: 1.45rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.fact span { font-size: 0.82rem; color: #4a5763; }
nav ol { columns: 2; margin: 1.5rem 0 0; padding-left: 1.4rem; font-size: 0.92rem; }
a { color: #146372; }
figure { margin: 1rem 0 1.5rem; }
img { display: block; width: 100%; height: auto; }
figcaption { font-size: 0.85rem; color: #4a5763; margin-top: 0.4rem; max-width: 48rem; }
.table { overflow-x: auto; margin: 1rem 0 1.5rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 0.28rem 0.7rem 0.28rem 0; }
th { border-bottom: 1.5px solid #8a949e; font-weight: 600; }
td { border-bottom: 1px solid #e6eaed; overflow-wrap: break-word; }
.number { text-align: right; }
@media screen and (max-width: 40rem) { .facts { grid-template-columns: repeat(2, 1fr); } nav ol { columns: 1; } }
@page { size: A4; margin: 15mm 14mm 16mm; }
@media print {
  body { max-width: none; padding: 0; font-size: 9.5pt; line-height: 1.4; print-color-adjust: exact;
    -webkit-print-color-adjust: exact; }
  nav { display: none; }
  h1 { font-size: 20pt; }
  h2 { font-size: 13pt; margin-top: 8mm; break-after: avoid; }
  p { max-width: none; orphans: 3; widows: 3; }
  p.small, figcaption { font-size: 7.5pt; max-width: none; }
  .fact b { font-size: 14pt; }
  .fact span { font-size: 8pt; }
  .fact, figure, tr, .short { break-inside: avoid; }
  .table { overflow: visible; }
  thead { display: table-header-group; }
  figure, .table { margin: 3mm 0 4mm; }
  table { font-size: 8pt; }
  a { color: inherit; text-decoration: none; }
}
"""
