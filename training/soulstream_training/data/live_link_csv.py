"""Reads face recordings of Live Link Face (``.csv``): 52 ARKit weights a frame.

A row is a timecode, the number of values, the 52 weights and 9 angles of head and eyes; the angles are not in our face
space and are passed over. Columns may come in any order, the header says which is which. Not for live data.

Letters: ``T`` frames, ``R`` rows.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.faces import ARKIT_NAMES
from soulstream_training.data.asf import parse_numbers, read_lines, refuse

FloatArray = NDArray[np.float64]

MAX_ROWS = 1_000_000
MAX_COLUMNS = 256

LOWEST_WEIGHT = -0.01
HIGHEST_WEIGHT = 2.0
"""Weights outside of these are not weights. ARKit's lie in 0..1; calibration and filters overshoot a little."""

MAX_GAP_S = 0.5
"""Longest time without a face that is bridged. Source: ours; a slow blink."""

MIN_TIMED_S = 2.0
"""Shortest recording whose timecodes show at which frame number they wrap. Source: ours."""

FRAME_RATES = (24, 25, 30, 48, 50, 60)
"""Rates a timecode may count in; Live Link Face records at 60 or 30."""

_TIMECODE = "timecode"
_COUNT = "blendshapecount"
_CODE = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})[:;](\d{2}(?:\.\d{1,9})?)")
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class ArkitTake:
    """A recorded face, frames evenly spaced.

    Attributes:
        values: [T, 52] float64 weights in the order of ``ARKIT_NAMES``.
        fps: Frames a second.
    """

    values: FloatArray
    fps: float


def read_live_link(path: Path, fps: float | None = None) -> ArkitTake:
    """Reads a recording.

    Rows that the device marks as without a face (count 0), and rows it dropped, are bridged linearly up to half a
    second; at both ends they are cut off. Values are never clipped.

    Args:
        path: ``.csv`` or ``.csv.gz`` file.
        fps: Frames a second; timecodes are not looked at then. Without it they must advance from row to row and last
            two seconds. They count whole frames, so 59.94 has to be given.

    Returns:
        The take.

    Raises:
        ConfigError: If ``fps`` is outside 1 to 240.
        MotionFileError: If a column is missing or comes twice, a row does not fit the header, a weight is not a
            number of -0.01 to 2, or the time between two faces is not known or too long; each with its line.
    """
    if fps is not None and not 1.0 <= fps <= 240.0:
        raise ConfigError("FACE_FPS", f"Frame rate {fps} is outside 1 to 240.", "Give the rate the app recorded at.")
    lines = read_lines(path)
    places = _read_header(path, lines, needs_time=fps is None)
    columns = [places[name.lower()] for name in ARKIT_NAMES]
    width = len(places)
    numbers: list[int] = []  # the line of each row
    faces: list[tuple[float, ...] | None] = []
    codes: list[tuple[int, float]] = []
    for number, line in enumerate(lines[1:], 2):
        cells = [cell.strip() for cell in line.split(",")]
        if cells == [""]:
            continue
        if len(numbers) >= MAX_ROWS:
            raise refuse(path, number, f"has more than {MAX_ROWS} rows.", "Cut the recording into shorter files.")
        numbers.append(number)
        has_no_face = _COUNT in places and places[_COUNT] < len(cells) and cells[places[_COUNT]] == "0"
        if not has_no_face and len(cells) != width:
            raise refuse(path, number, f"has {len(cells)} cells, the header has {width}.")
        faces.append(None if has_no_face else _read_weights(path, number, [cells[column] for column in columns]))
        if fps is None:
            codes.append(
                _read_timecode(path, number, cells[places[_TIMECODE]] if places[_TIMECODE] < len(cells) else "")
            )
    if fps is None:
        time_s, rate = _times(path, numbers, codes)
    else:
        time_s, rate = np.arange(len(numbers)) / fps, fps
    has_face = np.array([face is not None for face in faces], dtype=bool)
    values = np.array([face for face in faces if face is not None], dtype=np.float64)
    return ArkitTake(_even(path, np.array(numbers)[has_face], time_s[has_face], values, rate), rate)


def _read_header(path: Path, lines: list[str], *, needs_time: bool) -> dict[str, int]:
    """Column of each name in lower case; apps do not agree on capitals."""
    names = [name.strip().lower() for name in lines[0].split(",")] if lines else []
    if len(names) > MAX_COLUMNS:
        raise refuse(path, 1, f"has {len(names)} columns, {MAX_COLUMNS} are allowed.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise refuse(path, 1, f"column '{twice[0][:40]}' comes twice.")
    missing = [name for name in ARKIT_NAMES if name.lower() not in names]
    if needs_time and _TIMECODE not in names:
        missing.insert(0, "Timecode")
    if missing:
        shown = ", ".join(missing[:8]) + (" ..." if len(missing) > 8 else "")
        raise refuse(path, 1, f"lacks {len(missing)} columns: {shown}.", "Record with Live Link Face (ARKit), as CSV.")
    return {name: column for column, name in enumerate(names)}


def _read_weights(path: Path, line: int, cells: list[str]) -> tuple[float, ...]:
    weights = parse_numbers(path, line, cells, len(ARKIT_NAMES))
    for name, weight in zip(ARKIT_NAMES, weights, strict=True):
        if not LOWEST_WEIGHT <= weight <= HIGHEST_WEIGHT:
            raise refuse(path, line, f"{name} is {weight:g}, {LOWEST_WEIGHT:g} to {HIGHEST_WEIGHT:g} are allowed.")
    return weights


def _read_timecode(path: Path, line: int, text: str) -> tuple[int, float]:
    """Whole seconds of the day, and the frame number within the second."""
    match = _CODE.fullmatch(text)
    if match is None or not (int(match[1]) < 24 and int(match[2]) < 60 and int(match[3]) < 60):
        raise refuse(
            path, line, f"timecode '{text[:40]}' is not hours:minutes:seconds:frames.", "Give the frame rate instead."
        )
    return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3]), float(match[4])


def _times(path: Path, lines: list[int], codes: list[tuple[int, float]]) -> tuple[FloatArray, float]:
    """Seconds since the first row [R], and the frame rate."""
    hint = "Give the frame rate."
    seconds, frame = np.array(codes, dtype=np.float64).reshape(-1, 2).T
    bases = [rate for rate in FRAME_RATES if rate > math.floor(frame.max(initial=0.0))]
    if not bases:
        raise refuse(path, 0, f"has frame {frame.max():g} in a timecode, {FRAME_RATES[-1]} a second are known.", hint)
    step = np.diff(seconds + frame / bases[0]) % _DAY_S
    wrong = np.flatnonzero((step == 0.0) | (step > _DAY_S / 2))
    if len(wrong):
        raise refuse(path, lines[wrong[0] + 1], "the timecode does not advance.", hint)
    time_s = np.concatenate([[0.0], np.cumsum(step)])
    if time_s[-1] < MIN_TIMED_S:
        raise refuse(path, 0, f"lasts {time_s[-1]:.2f} s, too short to tell the frame rate.", hint)
    rate = bases[0] / max(1, round(float(np.median(step)) * bases[0]))  # the device may record every other frame
    if rate not in FRAME_RATES:
        raise refuse(path, 0, f"has {rate:.2f} rows a second by its timecodes, no known frame rate.", hint)
    return time_s, rate


def _even(path: Path, lines: NDArray[np.int64], time_s: FloatArray, values: FloatArray, fps: float) -> FloatArray:
    """Frames [T, 52] at even distances; the rows as they are if none is missing."""
    if len(values) == 0:
        raise refuse(path, 0, "has no row with a face.")
    gap = np.diff(time_s)
    if len(gap) and gap.max() > MAX_GAP_S:
        line = int(lines[gap.argmax() + 1])
        raise refuse(
            path, line, f"no face for {gap.max():.2f} s before, {MAX_GAP_S:g} are allowed.", "Cut the recording there."
        )
    num_frames = round(float(time_s[-1] - time_s[0]) * fps) + 1
    if num_frames == len(values):
        return values
    grid = time_s[0] + np.arange(num_frames) / fps
    return np.stack([np.interp(grid, time_s, column) for column in values.T], axis=1)
