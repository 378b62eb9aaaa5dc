"""Reads marker positions from C3D files, for evaluation only: nothing is trained on markers.

Strict and small: Intel byte order, integer or float points, labels, rate and units; analog samples are skipped. DEC and
MIPS files are refused. Every size is checked against the file before it is used.
Letters: T frames, M markers, J joints. Source: the C3D user guide (c3d.org).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soulstream_training.data.asf import FloatArray, refuse
from soulstream_training.data.body_model import Up, rate, y_up

MAX_C3D_BYTES = 256 * 1024 * 1024
"""Largest file (ours; ten minutes of 60 markers at 120 Hz have 70 MB)."""

MAX_MARKERS = 1000
MAX_PARAMETERS = 10_000
MAX_FRAMES = 1_000_000

UNITS_M = {"mm": 0.001, "cm": 0.01, "m": 1.0}
"""Metres a unit of the file."""

MARKER_GROUPS: dict[str, tuple[tuple[str, ...], ...]] = {
    "pelvis": (("LASI", "RASI", "LPSI", "RPSI"), ("LFWT", "RFWT", "LBWT", "RBWT")),
    "spine3": (("T10", "STRN"),),
    "neck": (("C7", "CLAV"),),
    "head": (("LFHD", "RFHD", "LBHD", "RBHD"),),
    **{
        f"{side}_{joint}": tuple(tuple(side[0].upper() + name for name in group) for group in groups)
        for side in ("left", "right")
        for joint, groups in {
            "knee": (("KNE",),),
            "ankle": (("ANK",),),
            "foot": (("TOE",),),
            "shoulder": (("SHO",),),
            "elbow": (("ELB",),),
            "wrist": (("WRA", "WRB"),),
        }.items()
    },
}
"""Markers whose mean stands for a joint, alternatives best first: the names of Vicon's Plug-in Gait and of CMU.

Markers lie on the skin: knees, ankles, elbows and shoulders are 3 to 6 cm beside the joint."""

_BLOCK = 512
_MOST_COUNTED = 65535
_INTEL = 84
_PROCESSORS = {84: "Intel", 85: "DEC", 86: "MIPS"}


@dataclass(frozen=True, slots=True)
class MarkerTake:
    """Markers of one take. Y up, metres.

    Attributes:
        labels: M names, without the name of the subject.
        position_m: [T, M, 3] float64; NaN where a marker was not seen.
        fps: Frames a second.
    """

    labels: tuple[str, ...]
    position_m: FloatArray
    fps: float


@dataclass(frozen=True, slots=True)
class MarkerJoints:
    """Joint centres estimated from markers. Y up, metres.

    Attributes:
        names: J joint names of ``motion.skeleton``.
        position_m: [T, J, 3] float64; NaN where a marker of the group was not seen.
        fps: Frames a second.
    """

    names: tuple[str, ...]
    position_m: FloatArray
    fps: float


def read_c3d(path: Path, *, up: Up = "z") -> MarkerTake:
    """Reads a take.

    Args:
        path: ``.c3d``.
        up: The axis that points up.

    Returns:
        The markers.

    Raises:
        MotionFileError: If the file is missing, too large or cut off, not Intel's byte order, without labels, rate or
            known units, or a marker that was seen is not finite.
    """
    raw = _read(path)
    header = _header(path, raw)
    parameters = _parameters(path, raw, header.parameter_block)
    labels = _labels(path, parameters, header.num_points)
    unit = parameters.text(path, "POINT", "UNITS").lower()
    if unit not in UNITS_M:
        raise refuse(path, 0, f"has the unit '{unit[:20]}', {', '.join(UNITS_M)} are read.", "Correct POINT:UNITS.")
    given = parameters.number("POINT", "RATE")
    fps = rate(path, header.fps if given is None else given)
    frames = parameters.number("POINT", "FRAMES")
    if frames is not None and frames != header.num_frames:
        raise refuse(path, 0, f"has {header.num_frames} frames in its header, {frames:.0f} in POINT:FRAMES.")
    position = _points(path, raw, header, labels) * UNITS_M[unit]
    return MarkerTake(labels, y_up(position, up), fps)


def marker_joints(
    take: MarkerTake, groups: Mapping[str, tuple[tuple[str, ...], ...]] = MARKER_GROUPS
) -> MarkerJoints | None:
    """Averages groups of markers to joint centres.

    A joint is NaN in a frame in which a marker of its group is missing: a mean of fewer markers would jump.

    Args:
        take: The markers.
        groups: Groups of marker names by joint; the first group of which the take has all markers is used.

    Returns:
        The joints that have a group, or ``None`` if none has.
    """
    places: dict[str, list[int]] = {}
    for joint, alternatives in groups.items():
        for group in alternatives:
            if all(take.labels.count(name) == 1 for name in group):
                places[joint] = [take.labels.index(name) for name in group]
                break
    if not places:
        return None
    centres = [take.position_m[:, indices].mean(axis=1) for indices in places.values()]
    return MarkerJoints(tuple(places), np.stack(centres, axis=1), take.fps)


@dataclass(frozen=True, slots=True)
class _Header:
    parameter_block: int
    num_points: int
    num_analog: int
    num_frames: int
    scale: float
    data_block: int
    fps: float


class _Parameters:
    """Parameters of a file by group and name: the type (-1, 1, 2, 4), the dimensions and the bytes of each."""

    def __init__(self) -> None:
        self.groups: dict[int, str] = {}
        self.values: dict[tuple[int, str], tuple[int, tuple[int, ...], bytes]] = {}

    def find(self, group: str, name: str) -> tuple[int, tuple[int, ...], bytes] | None:
        number = next((key for key, value in self.groups.items() if value == group), 0)
        return self.values.get((number, name))

    def number(self, group: str, name: str) -> float | None:
        """First number of a parameter; integers of two bytes count without a sign."""
        kind, _, data = self.find(group, name) or (0, (), b"")
        form = {1: "<B", 2: "<H", 4: "<f"}.get(kind)
        return None if form is None or len(data) < struct.calcsize(form) else float(struct.unpack_from(form, data)[0])

    def texts(self, group: str, name: str) -> list[str] | None:
        """Texts of a parameter: one for each entry of its second dimension."""
        kind, sizes, data = self.find(group, name) or (0, (), b"")
        if kind != -1 or not 1 <= len(sizes) <= 2:
            return None
        length = sizes[0]
        pieces = [data[start : start + length] for start in range(0, len(data), length)] if length else []
        return [piece.decode("latin-1").strip(" \0") for piece in pieces]

    def text(self, path: Path, group: str, name: str) -> str:
        found = self.texts(group, name)
        if not found:
            raise refuse(path, 0, f"has no {group}:{name}.", "Export the take again with all parameters.")
        return found[0]


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_C3D_BYTES + 1)
    except OSError as error:
        raise refuse(path, 0, f"cannot be read ({error.strerror}).", "Check the path and its permissions.") from error
    if len(raw) > MAX_C3D_BYTES:
        raise refuse(path, 0, f"is larger than {MAX_C3D_BYTES} bytes.", "Cut the recording into shorter files.")
    return raw


def _header(path: Path, raw: bytes) -> _Header:
    if len(raw) < _BLOCK or raw[1] != 0x50:
        raise refuse(path, 0, f"is no C3D file ({len(raw)} bytes, key {raw[1:2].hex() or 'missing'}, expected 50).")
    start = (raw[0] - 1) * _BLOCK
    if start < _BLOCK or start + 4 > len(raw):
        raise refuse(path, 0, f"has its parameters in block {raw[0]}, beyond its {len(raw)} bytes.")
    if raw[start + 3] != _INTEL:
        name = _PROCESSORS.get(raw[start + 3], f"number {raw[start + 3]}")
        raise refuse(path, 0, f"is in the byte order of processor {name}, only Intel (84) is read.", "Convert it.")
    points, analog, first, last = struct.unpack_from("<HHHH", raw, 2)
    scale, data_block, _, fps = struct.unpack_from("<fHHf", raw, 12)
    num_frames = last - first + 1
    if last == _MOST_COUNTED:
        raise refuse(
            path, 0, f"has {last} frames or more, which its header cannot count.", "Cut it into shorter takes."
        )
    if not 1 <= num_frames <= MAX_FRAMES or not 1 <= points <= MAX_MARKERS or not np.isfinite(scale) or scale == 0:
        message = f"has {num_frames} frames of {points} markers with scale {scale:g}; "
        raise refuse(path, 0, message + f"1 to {MAX_FRAMES} frames of 1 to {MAX_MARKERS} markers are read.")
    return _Header(raw[0], points, analog, num_frames, scale, data_block, fps)


def _parameters(path: Path, raw: bytes, block: int) -> _Parameters:
    start = (block - 1) * _BLOCK
    section = raw[start : start + raw[start + 2] * _BLOCK]
    found = _Parameters()
    at = 4
    try:
        for _ in range(MAX_PARAMETERS):
            length, group = struct.unpack_from("<bb", section, at)
            if length == 0 or group == 0:
                return found
            name = section[at + 2 : at + 2 + abs(length)].decode("latin-1").upper()
            place = at + 2 + abs(length)
            (offset,) = struct.unpack_from("<H", section, place)
            if group < 0:
                found.groups[-group] = name
            else:
                found.values[group, name] = _value(section, place + 2)
            if offset == 0:
                return found
            at = place + offset
    except (struct.error, IndexError) as error:
        raise refuse(path, 0, f"has parameters that run past their {len(section)} bytes.") from error
    raise refuse(path, 0, f"has more than {MAX_PARAMETERS} parameters.")


def _value(section: bytes, at: int) -> tuple[int, tuple[int, ...], bytes]:
    kind, axes = struct.unpack_from("<bB", section, at)
    sizes = struct.unpack_from(f"<{axes}B", section, at + 2)
    count = abs(kind)
    for size in sizes:
        count *= size
    data = section[at + 2 + axes : at + 2 + axes + count]
    if len(data) != count or axes > 7:
        raise IndexError
    return kind, sizes, data


def _labels(path: Path, parameters: _Parameters, num_points: int) -> tuple[str, ...]:
    """Names of the markers; beyond 255 they go on in LABELS2 and so on."""
    labels: list[str] = []
    for name in ("LABELS", *(f"LABELS{number}" for number in range(2, 10))):
        labels += parameters.texts("POINT", name) or []
    if len(labels) < num_points:
        raise refuse(path, 0, f"has {len(labels)} labels for {num_points} markers.", "Export the take with its labels.")
    return tuple(label.rpartition(":")[2] for label in labels[:num_points])


def _points(path: Path, raw: bytes, header: _Header, labels: tuple[str, ...]) -> FloatArray:
    """Positions [T, M, 3] in file units, NaN where the fourth word of a point is negative."""
    dtype = np.dtype("<f4" if header.scale < 0 else "<i2")
    words = header.num_points * 4 + header.num_analog
    start = (header.data_block - 1) * _BLOCK
    needed = header.num_frames * words * dtype.itemsize
    if start < _BLOCK or start + needed > len(raw):
        message = f"needs {needed} bytes from {start} for {header.num_frames} frames and has {len(raw)}: it is cut off."
        raise refuse(path, 0, message)
    flat = np.frombuffer(raw, dtype, count=header.num_frames * words, offset=start).reshape(-1, words)
    points = flat[:, : header.num_points * 4].astype(np.float64).reshape(header.num_frames, header.num_points, 4)
    is_seen = points[..., 3] >= 0
    position = points[..., :3] * (1.0 if header.scale < 0 else header.scale)
    bad = np.argwhere(is_seen & ~np.isfinite(position).all(axis=-1))
    if len(bad):
        frame, marker = bad[0].tolist()
        raise refuse(path, 0, f"marker '{labels[marker][:40]}' is not finite in frame {frame}.")
    position[~is_seen] = np.nan
    return position
