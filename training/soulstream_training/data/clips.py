"""Reads the clip table (``clips.csv``): what each motion clip is, at which rate it runs and how it may be used.

A line that is wrong is refused by its number and the others are kept. Not for the motion itself (``sources``), nor for
making a table of a data set (``clip_table``). Frame ranges are half-open, 0-based, in source frames.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from soulstream_engine.errors import ConfigError

MAX_ROWS = 100_000
SPLITS = ("train", "val", "test", "aux")
PAIRING_CLASSES = ("A", "B", "C", "real", "none")
MAX_DANCERS = 5
"""Most dancers of a take. Source: the SoulDance data set has 1 to 5."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ClipRow:
    """One clip of the table.

    Attributes:
        clip_id: Unique name.
        path: Motion file, relative to the data folder.
        format: For example ``amc+asf``.
        skeleton: Skeleton file relative to the data folder, or empty.
        true_fps: Frame rate to use; headers of the files are not to be trusted.
        num_frames: Frames of the file.
        split: ``train``, ``val``, ``test`` or ``aux`` (motion prior only).
        pairing_class: How it may be paired with music: ``A`` sure tempo, ``B`` beats only, ``C`` free, ``real`` danced
            to ``music``, ``none``.
        tempo_bpm: Tempo known from the motion, beats a minute; trustworthy for class A only, which needs it.
        partner_id: Other dancer of the same take, or empty.
        performer: Performer label.
        style: Style label.
        bad_frames: Half-open ranges to repair or mask, ascending.
        unit_m: Metres of a unit of length in the file, where the format does not say; a hundredth if the table has no
            such column.
        up_axis: ``Y`` or ``Z``; ``Y`` if the table has no such column.
        licence: Licence id, or empty.
        dancer: Which dancer of a file that holds several, from 1; 0 for a file of one.
        music: Recording it was danced to, relative to the data folder, frame 0 at its start; or ``None``.
        face: Live Link Face recording of its face, frame 0 at its start; or ``None``.
    """

    clip_id: str
    path: PurePosixPath
    format: str
    skeleton: PurePosixPath | None
    true_fps: float
    num_frames: int
    split: str
    pairing_class: str
    tempo_bpm: float | None
    partner_id: str
    performer: str
    style: str
    bad_frames: tuple[tuple[int, int], ...]
    unit_m: float = 0.01
    up_axis: str = "Y"
    licence: str = ""
    dancer: int = 0
    music: PurePosixPath | None = None
    face: PurePosixPath | None = None


@dataclass(frozen=True, slots=True)
class ClipTable:
    """A table: its good ``rows`` in file order, and of each line that was ``refused`` its id and the reason."""

    rows: tuple[ClipRow, ...]
    refused: tuple[tuple[str, str], ...] = ()


def read_clips(path: Path) -> ClipTable:
    """Reads the table.

    Args:
        path: ``clips.csv``. The columns ``unit_cm up_axis licence dancer music face`` may be absent.

    Returns:
        Its rows; those with a value out of range or an id that was there before are refused.

    Raises:
        ConfigError: If the file or a column is missing, or it has too many rows.
    """
    refused: list[tuple[str, str]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = _COLUMNS - set(reader.fieldnames or ())
            if missing:
                raise _refuse(path, 1, f"lacks the columns {sorted(missing)}")
            rows: list[ClipRow] = []
            ids: set[str] = set()
            for record in reader:
                if len(rows) + len(refused) >= MAX_ROWS:
                    raise _refuse(path, reader.line_num, f"has more than {MAX_ROWS} rows")
                try:
                    row = _Record(path, reader.line_num, record).clip()
                    if row.clip_id in ids:
                        raise _refuse(path, reader.line_num, f"id '{row.clip_id}' appears twice")
                except LineError as error:
                    refused.append(((record.get("id") or "")[:60] or f"line {reader.line_num}", str(error)))
                    continue
                ids.add(row.clip_id)
                rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _refuse(path, 0, f"cannot be read ({error})") from error
    return ClipTable(tuple(rows), tuple(refused))


def list_styles(rows: Iterable[ClipRow]) -> tuple[str, ...]:
    """Lists the styles that occur.

    Args:
        rows: Clips.

    Returns:
        Distinct styles, sorted.
    """
    return tuple(sorted({row.style for row in rows}))


_COLUMNS = frozenset(
    (
        *("id", "path", "format", "skeleton", "true_fps", "frames", "split"),
        *("pairing_class", "tempo_bpm", "partner_id", "performer", "style", "bad_frames"),
    )
)


class LineError(ConfigError):
    """One line of the table is wrong; the others may be used."""


def _refuse(path: Path, line: int, message: str) -> LineError:
    where = f"{path.name}:{line}" if line else str(path.name)
    return LineError("CLIP_TABLE_INVALID", f"{where}: {message}.", "Correct the clip table.")


class _Record:
    """One line of the table, with checks that name line, column and value."""

    def __init__(self, path: Path, line: int, values: dict[str, str]) -> None:
        self.path = path
        self.line = line
        self.values = values

    def clip(self) -> ClipRow:
        num_frames = self._number("frames", int, 1, 10_000_000)
        tempo = self._text("tempo_bpm")
        skeleton = self._text("skeleton")
        kind = self._choice("pairing_class", PAIRING_CLASSES)
        if kind == "real" and not self._text("music"):
            raise self._refuse("pairing_class", "needs the column music")
        if kind == "A" and not tempo:
            raise self._refuse("tempo_bpm", "is needed by class A")
        return ClipRow(
            clip_id=self._identifier(),
            path=self._relative("path"),
            format=self._text("format"),
            skeleton=self._relative("skeleton") if skeleton else None,
            true_fps=self._number("true_fps", float, 1.0, 1000.0),
            num_frames=num_frames,
            split=self._choice("split", SPLITS),
            pairing_class=kind,
            tempo_bpm=self._number("tempo_bpm", float, 20.0, 400.0) if tempo else None,
            partner_id=self._text("partner_id"),
            performer=self._text("performer"),
            style=self._text("style"),
            bad_frames=self._ranges("bad_frames", num_frames),
            unit_m=0.01 * self._number("unit_cm", float, 0.001, 1000.0) if self._text("unit_cm") else 0.01,
            up_axis=self._choice("up_axis", ("Y", "Z")) if self._text("up_axis") else "Y",
            licence=self._text("licence"),
            dancer=self._number("dancer", int, 0, MAX_DANCERS) if self._text("dancer") else 0,
            music=self._relative("music") if self._text("music") else None,
            face=self._relative("face") if self._text("face") else None,
        )

    def _refuse(self, column: str, message: str) -> ConfigError:
        return _refuse(self.path, self.line, f"{column} '{self._text(column)[:60]}' {message}")

    def _text(self, column: str) -> str:
        return (self.values.get(column) or "").strip()

    def _identifier(self) -> str:
        name = self._text("id")
        if not name or not all(letter.isalnum() or letter in "_-." for letter in name) or name.startswith("."):
            raise self._refuse("id", "must be letters, digits, '_', '-' and '.'")
        return name

    def _relative(self, column: str) -> PurePosixPath:
        relative = PurePosixPath(self._text(column))
        if relative.is_absolute() or ".." in relative.parts or not relative.parts:
            raise self._refuse(column, "must be a path inside the data folder")
        return relative

    def _choice(self, column: str, choices: tuple[str, ...]) -> str:
        value = self._text(column)
        if value not in choices:
            raise self._refuse(column, f"is not one of {', '.join(choices)}")
        return value

    def _number(self, column: str, kind: Callable[[str], _T], low: float, high: float) -> _T:
        try:
            value = kind(self._text(column))
        except ValueError as error:
            raise self._refuse(column, "is not a number") from error
        if not (math.isfinite(value) and low <= value <= high):  # type: ignore[arg-type, operator]
            raise self._refuse(column, f"is outside {low} to {high}")
        return value

    def _ranges(self, column: str, num_frames: int) -> tuple[tuple[int, int], ...]:
        ranges = []
        end = 0
        for word in filter(None, self._text(column).split(";")):
            first, _, last = word.strip().partition("-")
            if not (first.isdecimal() and (last or first).isdecimal()):
                raise self._refuse(column, "must be ranges like 3-5;9-12")
            start, stop = int(first), int(last or first) + 1
            if not end <= start < stop <= num_frames:
                raise self._refuse(column, f"has a range out of order or beyond {num_frames} frames")
            ranges.append((start, stop))
            end = stop
        return tuple(ranges)
