"""The data report on paper: the same sections as the page of HTML, laid out on pages of A4.

Text, tables and pictures flow down the page in the order they come; a table that is cut goes on under its headings.
Not for: what is said (``report``) and drawn (``report_figures``).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import matplotlib
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from soulstream_training.data.report_blocks import (
    CONTENT_WIDTH_IN,
    SHORT_TABLE_ROWS,
    STYLE,
    Picture,
    Section,
    Table,
    Text,
    clean,
)
from soulstream_training.data.report_text import text_width, wrap

A4_IN = (8.27, 11.69)
TOP_IN, BOTTOM_IN = 0.6, 0.7
"""Margins above and below the text, inches."""

MAX_TABLE_ROWS = 300
"""Rows of a table that are put on paper; the page of HTML has them all."""

INK, GREY, ACCENT, RULE = "#1d2731", "#4a5763", "#1f7a8c", "#d5dbe0"
_LINE = 1.35  # height of a line over the size of its letters
_GAP_PT = 9.0
_CELL_PT = 10.0  # between columns


def to_pdf(
    title: str,
    facts: Sequence[tuple[str, str]],
    sections: Sequence[Section],
    on_picture: Callable[[], None] = lambda: None,
) -> bytes:
    """The whole document.

    Args:
        title: Title of the report.
        facts: The few numbers at the top: label and value.
        sections: Chapters.
        on_picture: Told after every picture.

    Returns:
        Content of the PDF; the same report gives the same bytes.
    """
    with matplotlib.rc_context(STYLE):
        paper = _Paper(clean(title))
        paper.opening(facts)
        for section in sections:
            paper.heading(clean(section.title), paper.room(section))
            for block in section.blocks:
                if isinstance(block, Text):
                    size = 7.0 if block.is_small else 8.5
                    paper.paragraph(clean(block.words), size, GREY if block.is_small else INK)
                elif isinstance(block, Table):
                    paper.table(block)
                else:
                    paper.picture(block)
                    on_picture()
        return paper.save()


class _Paper:
    """Pages that are filled from the top; ``y`` is the distance of the next line from the top edge, in points."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.pages: list[Figure] = []
        self.width, self.height = (size * 72.0 for size in A4_IN)
        self.left = (A4_IN[0] - CONTENT_WIDTH_IN) / 2.0 * 72.0
        self.right = self.width - self.left
        self.end = self.height - BOTTOM_IN * 72.0
        self.new_page()

    def new_page(self) -> None:
        """Goes to the top of a new page."""
        self.pages.append(Figure(figsize=A4_IN))
        self.y = TOP_IN * 72.0

    def need(self, points: float) -> None:
        """Goes to a new page if so much does not fit on this one, unless it is still empty."""
        if self.y + points > self.end and self.y > TOP_IN * 72.0 + 1.0:
            self.new_page()

    def write(
        self, x: float, text: str, size: float, color: str = INK, *, bold: bool = False, right: bool = False
    ) -> None:
        """A line of text at ``x`` whose top is at ``y``."""
        self.pages[-1].text(
            x / self.width,
            1.0 - (self.y + size) / self.height,
            text,
            size=size,
            color=color,
            weight="bold" if bold else "normal",
            ha="right" if right else "left",
            va="baseline",
        )

    def rule(self, y: float, color: str = RULE, width: float = 0.5) -> None:
        """A line across the page."""
        where = 1.0 - y / self.height
        across = [self.left / self.width, self.right / self.width]
        self.pages[-1].add_artist(Line2D(across, [where, where], color=color, linewidth=width))

    def opening(self, facts: Sequence[tuple[str, str]]) -> None:
        """Title and the numbers in boxes, four in a row."""
        self.write(self.left, self.title, 20.0, bold=True)
        self.y += 40.0
        gap, columns, height = 8.0, 4, 40.0
        wide = (self.right - self.left - gap * (columns - 1)) / columns
        for start in range(0, len(facts), columns):
            for place, (label, value) in enumerate(facts[start : start + columns]):
                x = self.left + place * (wide + gap)
                self._box(x, wide, height, "none", RULE)
                self._box(x, 3.0, height, ACCENT, ACCENT)
                top, self.y = self.y, self.y + 7.0
                self.write(x + 11.0, clean(value), 14.0, bold=True)
                self.y += 19.0
                self.write(x + 11.0, clean(label), 7.5, GREY)
                self.y = top
            self.y += height + gap
        self.y += _GAP_PT

    def _box(self, x: float, width: float, height: float, face: str, edge: str) -> None:
        corner = (x / self.width, 1.0 - (self.y + height) / self.height)
        size = (width / self.width, height / self.height)
        self.pages[-1].add_artist(Rectangle(corner, *size, facecolor=face, edgecolor=edge, linewidth=0.6))

    def room(self, section: Section) -> float:
        """Points that should be free under a heading: for text, and the first picture or a few rows after it."""
        room = 0.0
        for block in section.blocks:
            if isinstance(block, Text):
                room += 40.0
                continue
            return room + (60.0 if isinstance(block, Table) else self._picture_points(block))
        return room

    def heading(self, text: str, room: float) -> None:
        """A heading that is not left alone at the foot of a page: ``room`` points after it belong to it."""
        self.need(min(36.0 + room, self.end - TOP_IN * 72.0))
        self.y += _GAP_PT if self.y > TOP_IN * 72.0 + 1.0 else 0.0
        self.write(self.left, text, 12.5, bold=True)
        self.rule(self.y + 18.0, ACCENT, 1.2)
        self.y += 26.0

    def paragraph(self, text: str, size: float, color: str = INK) -> None:
        """Lines of text that stay together if they are few."""
        lines = wrap(text, self.right - self.left, size)
        self.need(min(len(lines), 8) * size * _LINE)
        for line in lines:
            self.need(size * _LINE)
            self.write(self.left, line, size, color)
            self.y += size * _LINE
        self.y += _GAP_PT * 0.7

    def picture(self, picture: Picture) -> None:
        """A picture with its caption."""
        self.need(self._picture_points(picture))
        height = picture.height_in * 72.0
        grid = GridSpec(
            3,
            3,
            figure=self.pages[-1],
            height_ratios=[self.y, height, max(self.height - self.y - height, 0.01)],
            width_ratios=[self.left, self.right - self.left, self.width - self.right],
        )
        picture.draw(self.pages[-1].add_subfigure(grid[1, 1]))
        self.y += height + 4.0
        for line in self._caption(picture):
            self.write(self.left, line, 7.5, GREY)
            self.y += 7.5 * _LINE
        self.y += _GAP_PT

    def _caption(self, picture: Picture) -> list[str]:
        return wrap(clean(picture.caption), self.right - self.left, 7.5) if picture.caption else []

    def _picture_points(self, picture: Picture) -> float:
        return picture.height_in * 72.0 + 4.0 + len(self._caption(picture)) * 7.5 * _LINE

    def table(self, table: Table) -> None:
        """Rows under headings; the headings again on every page."""
        size = 7.5
        widths = self._widths(table, size)
        together = len(table.rows) if len(table.rows) <= SHORT_TABLE_ROWS else 3
        self.need((together + 2) * (size * _LINE + 3.0))
        self._row(table.headings, widths, table.are_numbers, size, is_head=True)
        for row in table.rows[:MAX_TABLE_ROWS]:
            self._row(row, widths, table.are_numbers, size, head=table.headings)
        left_off = len(table.rows) - MAX_TABLE_ROWS
        if left_off > 0:
            self.y += 4.0
            self.need(12.0)
            self.write(self.left, f"{left_off} more rows are in index.html.", size, GREY)
            self.y += 12.0
        self.y += _GAP_PT

    def _row(
        self,
        cells: Sequence[str],
        widths: Sequence[float],
        are_numbers: Sequence[bool],
        size: float,
        *,
        is_head: bool = False,
        head: Sequence[str] = (),
    ) -> None:
        lines = [
            wrap(clean(cell), width - _CELL_PT, size, bold=is_head) for cell, width in zip(cells, widths, strict=True)
        ]
        height = max(len(cell) for cell in lines) * size * _LINE + 3.0
        num_pages = len(self.pages)
        self.need(height)
        if head and len(self.pages) > num_pages:
            self._row(head, widths, are_numbers, size, is_head=True)
        top, x = self.y, self.left
        for cell, width, is_number in zip(lines, widths, are_numbers, strict=True):
            self.y = top + 1.5 + (height - 3.0 - len(cell) * size * _LINE if is_head else 0.0)
            for line in cell:
                self.write(x + width - _CELL_PT if is_number else x, line, size, bold=is_head, right=is_number)
                self.y += size * _LINE
            x += width
        self.y = top + height
        self.rule(self.y, GREY if is_head else RULE, 0.8 if is_head else 0.4)

    def _widths(self, table: Table, size: float) -> list[float]:
        """Points of each column: as said, or as wide as their longest text; the page is filled."""
        whole = self.right - self.left
        if table.widths:
            return [whole * share / sum(table.widths) for share in table.widths]
        wanted = []
        for number, heading in enumerate(table.headings):
            texts = [clean(row[number]) for row in table.rows[:MAX_TABLE_ROWS]]
            longest = max([text_width(text, size) for text in texts], default=0.0)
            word = max(text_width(word, size, bold=True) for word in (clean(heading).split() or [""]))
            wanted.append(min(max(longest, word), whole / 2.0) + _CELL_PT + 2.0)
        return [whole * width / sum(wanted) for width in wanted]

    def save(self) -> bytes:
        """All pages with their numbers."""
        stream = io.BytesIO()
        metadata = {"Title": self.title, "CreationDate": None, "ModDate": None}
        with PdfPages(stream, metadata=metadata) as pdf:
            for number, page in enumerate(self.pages, start=1):
                foot = 0.4 / A4_IN[1]
                page.text(self.left / self.width, foot, self.title, size=7.0, color=GREY)
                page.text(
                    self.right / self.width, foot, f"{number} / {len(self.pages)}", size=7.0, color=GREY, ha="right"
                )
                pdf.savefig(page)
        return stream.getvalue()
