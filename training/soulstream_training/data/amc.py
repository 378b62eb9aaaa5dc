"""Reads Acclaim motions (``.amc``, ``.amc.gz``) against their skeleton; not for posing them (``asf``).

The files carry no frame rate: it comes from ``clips.csv``. Letters: ``T`` frames, ``D`` channels.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from soulstream_training.data.asf import ROOT_CHANNELS, FloatArray, Skeleton, parse_numbers, read_lines, refuse

MAX_FRAMES = 1_000_000

_HEADER = frozenset({":fully-specified", ":degrees"})


def read_amc(path: Path, skeleton: Skeleton) -> FloatArray:
    """Reads a motion.

    Every frame must list every moving bone of the skeleton exactly once; a frame that stops early is refused.

    Args:
        path: ``.amc`` or ``.amc.gz`` file.
        skeleton: The skeleton it belongs to.

    Returns:
        [T, D] float64: root translation in file units, root angles, then the angles of every bone in skeleton order,
        in degrees.

    Raises:
        MotionFileError: If a line does not fit, a frame is incomplete, there are no frames or more than 1,000,000.
    """
    places: dict[str, slice] = {"root": slice(0, len(ROOT_CHANNELS))}
    column = len(ROOT_CHANNELS)
    for bone in skeleton.bones[1:]:
        if bone.dofs:
            places[bone.name] = slice(column, column + len(bone.dofs))
            column += len(bone.dofs)

    frames: list[list[float]] = []
    values: list[float] = []
    seen: set[str] = set()
    frame_line = 0
    header_over = False
    number = 0
    for number, text in enumerate(read_lines(path), 1):
        words = text.split()
        if not words or words[0].startswith("#"):
            continue
        key = words[0]
        if key.startswith(":"):
            if header_over or key.lower() not in _HEADER:
                raise refuse(path, number, f"unexpected header '{key[:40]}', only :FULLY-SPECIFIED and :DEGREES.")
        elif len(words) == 1 and key.isdecimal():
            header_over = True
            if frames:
                _check_complete(path, number, len(frames), frame_line, seen, places)
            if int(key) != len(frames) + 1:
                raise refuse(path, number, f"frame number {key[:20]} should be {len(frames) + 1}.")
            if len(frames) >= MAX_FRAMES:
                raise refuse(
                    path, number, f"has more than {MAX_FRAMES} frames.", "Cut the recording into shorter files."
                )
            values = [math.nan] * column
            seen = set()
            frame_line = number
            frames.append(values)
        elif not frames:
            raise refuse(path, number, f"'{key[:40]}' stands before the first frame.")
        else:
            place = places.get(key)
            if place is None:
                raise refuse(
                    path, number, f"bone '{key[:40]}' does not move in this skeleton.", "Use its own .asf file."
                )
            if key in seen:
                raise refuse(path, number, f"bone '{key[:40]}' appears twice in frame {len(frames)}.")
            seen.add(key)
            values[place] = parse_numbers(path, number, words[1:], place.stop - place.start)
    if not frames:
        raise refuse(path, number, "has no frames.")
    _check_complete(path, number, len(frames), frame_line, seen, places)
    return np.asarray(frames, dtype=np.float64)


def _check_complete(path: Path, line: int, frame: int, start: int, seen: set[str], places: dict[str, slice]) -> None:
    missing = [name for name in places if name not in seen]
    if missing:
        raise refuse(
            path, line, f"frame {frame} (from line {start}) lacks {len(missing)} of {len(places)} bones: {missing[:4]}."
        )
