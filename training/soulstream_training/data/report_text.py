"""Widths and lines of text on paper, in the one font of the report.

Not for HTML, where the reader's program breaks the lines. All lengths are points, 72 an inch.
"""

from __future__ import annotations

from functools import lru_cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

_MEASURE = TextToPath()


@lru_cache(maxsize=20_000)
def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of a line of text in points."""
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal", size=size)
    return float(_MEASURE.get_text_width_height_descent(text, font, ismath=False)[0])


def wrap(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """Breaks text into lines.

    Args:
        text: Words with single spaces.
        width: Points a line may be wide; a longer word is cut.
        size: Size of the letters, points.
        bold: Bold letters.

    Returns:
        At least one line, maybe empty.
    """
    space = text_width("a a", size, bold=bold) - 2.0 * text_width("a", size, bold=bold)
    lines, line, used = [], "", 0.0
    for whole_word in text.split(" "):
        for word in _pieces(whole_word, width, size, bold):
            wide = text_width(word, size, bold=bold)
            if line and used + space + wide > width:
                lines.append(line)
                line, used = word, wide
            else:
                used += wide + (space if line else 0.0)
                line = f"{line} {word}" if line else word
    return [*lines, line]


def _pieces(word: str, width: float, size: float, bold: bool) -> list[str]:
    """A word, cut where it is wider than a line."""
    pieces = []
    while word and text_width(word, size, bold=bold) > width:
        keep = max(1, int(len(word) * width / text_width(word, size, bold=bold)) - 1)
        pieces.append(word[:keep])
        word = word[keep:]
    return [*pieces, word]
