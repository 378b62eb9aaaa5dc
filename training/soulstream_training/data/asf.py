"""Reads Acclaim skeletons (``.asf``) and poses them; not for the Acclaim motions themselves (``amc.py``).

The parser is iterative and strict: an unknown key, a bone out of place or a number that is not finite is an error that
names the file, the line and the value. Letters: ``T`` frames, ``B`` bones, bone 0 being the root.

Positions are in file units; ``unit_m`` converts them to metres. Rotations are unit quaternions ``wxyz``.
"""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from soulstream_engine.errors import ConfigError

FloatArray = NDArray[np.float64]

MAX_FILE_BYTES = 100_000_000
MAX_BONES = 512
ROOT = "root"
ROOT_CHANNELS = ("TX", "TY", "TZ", "RX", "RY", "RZ")
INCH_M = 0.0254

_BONE_KEYS = frozenset({"id", "name", "direction", "length", "axis", "dof", "limits", "bodymass", "cofmass"})
_DOFS = ("rx", "ry", "rz")


class MotionFileError(ConfigError):
    """A motion or skeleton file cannot be used: the message names the file, the line and the value."""


def refuse(path: Path, line: int, message: str, hint: str = "Replace the file with an intact copy.") -> MotionFileError:
    """Builds the error for one place in one file.

    Args:
        path: The file.
        line: 1-based line, or 0 when the whole file is meant.
        message: What is wrong, with the value and the limit.
        hint: The remedy.

    Returns:
        The error, to be raised by the caller.
    """
    where = f"{path.name}:{line}" if line else path.name
    return MotionFileError("MOTION_FILE_INVALID", f"{where}: {message}", hint)


@dataclass(frozen=True, slots=True)
class Bone:
    """One bone of an Acclaim skeleton.

    Attributes:
        name: Bone name; ``root`` for bone 0.
        parent: Index of the parent bone, -1 for the root.
        direction: [3] unit vector from start to end in the zero pose, world axes; zeros for the root.
        length: Length in file units; 0 for the root.
        axis_deg: [3] extrinsic x, y, z angles in degrees of the frame the joint angles are given in.
        dofs: Subset of ``rx ry rz`` in the order the motion file lists the values.
    """

    name: str
    parent: int
    direction: tuple[float, float, float]
    length: float
    axis_deg: tuple[float, float, float]
    dofs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Skeleton:
    """An Acclaim skeleton, parents before children, the root first.

    Attributes:
        bones: The bones.
        unit_m: Metres per file unit: an inch over the ``length`` unit of the file.
    """

    bones: tuple[Bone, ...]
    unit_m: float

    def index(self, name: str) -> int:
        """Finds a bone.

        Args:
            name: Bone name.

        Returns:
            Its index in ``bones``.

        Raises:
            MotionFileError: If the skeleton has no such bone.
        """
        for i, bone in enumerate(self.bones):
            if bone.name == name:
                return i
        raise MotionFileError(
            "MOTION_BONE_MISSING",
            f"The skeleton has no bone '{name}' among its {len(self.bones)} bones.",
            "Use a skeleton with the bone names of the CMU motion capture data base.",
        )


@dataclass(frozen=True, slots=True)
class Posed:
    """World poses of a skeleton.

    Attributes:
        global_wxyz: [T, B, 4] float64, world rotation of every bone relative to its zero pose.
        end_m: [T, B, 3] float64, world position of every bone's end in metres; for the root its own position.
    """

    global_wxyz: FloatArray
    end_m: FloatArray


def read_lines(path: Path) -> list[str]:
    """Reads a text file, gzipped if its name ends in ``.gz``, within the size cap.

    Args:
        path: File to read.

    Returns:
        The lines without line ends.

    Raises:
        MotionFileError: If the file is missing, larger than 100 MB (unpacked), a broken archive or not text.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise refuse(
            path, 0, f"cannot be read ({error}).", "Check the path and that the download is complete."
        ) from error
    if len(raw) > MAX_FILE_BYTES:
        raise refuse(path, 0, f"is larger than {MAX_FILE_BYTES} bytes.", "Cut the recording into shorter files.")
    try:
        return raw.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise refuse(path, 0, f"is not plain text (byte {error.start}).") from error


def parse_numbers(path: Path, line: int, words: list[str], count: int) -> tuple[float, ...]:
    """Converts exactly ``count`` words to finite numbers.

    Args:
        path: File, for the error.
        line: 1-based line, for the error.
        words: The words.
        count: How many there must be.

    Returns:
        The numbers.

    Raises:
        MotionFileError: If there are more or fewer, or one is not a finite number.
    """
    if len(words) != count:
        raise refuse(path, line, f"has {len(words)} values {words[:8]}, expected {count}.")
    numbers = []
    for word in words:
        try:
            number = float(word)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise refuse(path, line, f"'{word[:40]}' is not a finite number.")
        numbers.append(number)
    return tuple(numbers)


def read_asf(path: Path) -> Skeleton:
    """Reads a skeleton.

    Args:
        path: ``.asf`` file, may end in ``.gz``.

    Returns:
        The skeleton, parents before children.

    Raises:
        MotionFileError: On any deviation from the format, or more than 512 bones.
    """
    parser = _Parser(path)
    section = ""
    for number, text in enumerate(read_lines(path), 1):
        words = text.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0].startswith(":"):
            section = words[0].lower()
            if section not in _SECTIONS:
                raise refuse(path, number, f"unknown section '{words[0][:40]}'.")
        elif section == "":
            raise refuse(path, number, f"'{words[0][:40]}' stands before the first section.")
        else:
            _SECTIONS[section](parser, number, words)
    return parser.finish()


def forward_kinematics(skeleton: Skeleton, channels: FloatArray) -> Posed:
    """Poses a skeleton: the local rotation of a bone is ``C R C^-1``.

    ``C`` comes from the bone's ``axis`` and ``R = Rz Ry Rx`` from its angles. A bone hangs at the end of its parent.

    Args:
        skeleton: The skeleton.
        channels: [T, 6 + sum of dofs] float64, as ``read_amc`` returns it: root translation in file units, then
            degrees.

    Returns:
        World rotations and end positions.

    Source: the Acclaim format; scale and angle order checked on the CMU data (ours).
    """
    num_frames = len(channels)
    rotations: list[Rotation] = [Rotation.from_euler("xyz", channels[:, 3:6], degrees=True)]
    end = np.empty((num_frames, len(skeleton.bones), 3))
    end[:, 0] = channels[:, :3]
    column = 6
    for i, bone in enumerate(skeleton.bones[1:], 1):
        angles = np.zeros((num_frames, 3))
        for dof in bone.dofs:
            angles[:, _DOFS.index(dof)] = channels[:, column]
            column += 1
        frame = Rotation.from_euler("xyz", bone.axis_deg, degrees=True)
        local = frame * Rotation.from_euler("xyz", angles, degrees=True) * frame.inv()
        rotations.append(rotations[bone.parent] * local)
        end[:, i] = end[:, bone.parent] + rotations[i].apply(np.asarray(bone.direction) * bone.length)
    wxyz = np.stack([rotation.as_quat(scalar_first=True) for rotation in rotations], axis=1)
    return Posed(wxyz, end * skeleton.unit_m)


class _Parser:
    """State of one reading: bones by name, the bone being read, the hierarchy."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bones: dict[str, dict[str, object]] = {}
        self.current: dict[str, object] | None = None
        self.parents: dict[str, str] = {}
        self.order: list[str] = [ROOT]
        self.in_hierarchy = False
        self.unit_length = math.nan

    def ignore(self, line: int, words: list[str]) -> None:
        """Sections that carry nothing we use."""

    def units(self, line: int, words: list[str]) -> None:
        if words[0] == "length":
            (self.unit_length,) = parse_numbers(self.path, line, words[1:], 1)
            if self.unit_length <= 0:
                raise refuse(self.path, line, f"length unit {self.unit_length} must be positive.")
        elif words[0] == "angle" and words[1:] != ["deg"]:
            raise refuse(self.path, line, f"angle unit {words[1:]} is not supported, only 'deg'.")

    def root(self, line: int, words: list[str]) -> None:
        key, values = words[0], words[1:]
        if key == "order":
            if tuple(value.upper() for value in values) != ROOT_CHANNELS:
                raise refuse(self.path, line, f"root order {values} is not supported, only {' '.join(ROOT_CHANNELS)}.")
        elif key == "axis":
            if values != ["XYZ"]:
                raise refuse(self.path, line, f"root axis {values} is not supported, only XYZ.")
        elif key in ("position", "orientation"):
            if any(parse_numbers(self.path, line, values, 3)):
                raise refuse(self.path, line, f"root {key} {values} is not supported, only 0 0 0.")
        else:
            raise refuse(self.path, line, f"unknown root key '{key[:40]}'.")

    def bonedata(self, line: int, words: list[str]) -> None:
        key, values = words[0], words[1:]
        if key == "begin":
            if self.current is not None:
                raise refuse(self.path, line, "'begin' inside a bone.")
            self.current = {"line": line, "dofs": ()}
            return
        if self.current is None:
            raise refuse(self.path, line, f"'{key[:40]}' outside of begin ... end.")
        if key == "end":
            self._close_bone(line)
        elif key == "name":
            if len(values) != 1:
                raise refuse(self.path, line, f"bone name {values} must be one word.")
            self.current["name"] = values[0]
        elif key == "direction":
            self.current["direction"] = self._unit_vector(line, values)
        elif key == "length":
            (length,) = parse_numbers(self.path, line, values, 1)
            if length < 0:
                raise refuse(self.path, line, f"bone length {length} is negative.")
            self.current["length"] = length
        elif key == "axis":
            if values[-1:] != ["XYZ"]:
                raise refuse(self.path, line, f"axis order {values[-1:]} is not supported, only XYZ.")
            self.current["axis"] = parse_numbers(self.path, line, values[:-1], 3)
        elif key == "dof":
            if not set(values) <= set(_DOFS) or len(set(values)) != len(values):
                raise refuse(self.path, line, f"dof {values} must be distinct ones of rx ry rz.")
            self.current["dofs"] = tuple(values)
        elif key not in _BONE_KEYS and not key.startswith("("):
            raise refuse(self.path, line, f"unknown bone key '{key[:40]}'.")

    def hierarchy(self, line: int, words: list[str]) -> None:
        if words[0] in ("begin", "end"):
            self.in_hierarchy = words[0] == "begin"
            return
        if not self.in_hierarchy:
            raise refuse(self.path, line, f"'{words[0][:40]}' outside of begin ... end.")
        parent, children = words[0], words[1:]
        if parent not in self.order:
            raise refuse(self.path, line, f"bone '{parent[:40]}' has children before it has a parent.")
        for child in children:
            if child not in self.bones:
                raise refuse(self.path, line, f"bone '{child[:40]}' is not in :bonedata.")
            if child in self.parents:
                raise refuse(self.path, line, f"bone '{child[:40]}' has two parents.")
            self.parents[child] = parent
            self.order.append(child)

    def finish(self) -> Skeleton:
        if self.current is not None or self.in_hierarchy:
            raise refuse(self.path, 0, "ends inside begin ... end: the file is cut off.")
        if math.isnan(self.unit_length):
            raise refuse(self.path, 0, "has no length unit.")
        orphans = sorted(set(self.bones) - set(self.parents))
        if orphans or not self.bones:
            raise refuse(self.path, 0, f"has {len(self.bones)} bones, without a parent: {orphans[:5]}.")
        index = {name: i for i, name in enumerate(self.order)}
        root = Bone(ROOT, -1, (0.0, 0.0, 0.0), 0.0, (0.0, 0.0, 0.0), _DOFS)
        bones = [root]
        for name in self.order[1:]:
            data = self.bones[name]
            bones.append(
                Bone(name, index[self.parents[name]], data["direction"], data["length"], data["axis"], data["dofs"])  # type: ignore[arg-type]
            )
        return Skeleton(tuple(bones), INCH_M / self.unit_length)

    def _unit_vector(self, line: int, values: list[str]) -> tuple[float, float, float]:
        x, y, z = parse_numbers(self.path, line, values, 3)
        norm = math.sqrt(x * x + y * y + z * z)
        if abs(norm - 1.0) > 1e-2:
            raise refuse(self.path, line, f"direction {values} has length {norm:.4f}, expected 1.")
        return x / norm, y / norm, z / norm

    def _close_bone(self, line: int) -> None:
        bone = self.current or {}
        missing = [key for key in ("name", "direction", "length", "axis") if key not in bone]
        if missing:
            raise refuse(self.path, line, f"the bone lacks {', '.join(missing)}.")
        name = str(bone["name"])
        if name in self.bones or name == ROOT:
            raise refuse(self.path, line, f"bone '{name[:40]}' appears twice.")
        if len(self.bones) >= MAX_BONES - 1:
            raise refuse(self.path, line, f"has more than {MAX_BONES} bones.")
        self.bones[name] = bone
        self.current = None


_SECTIONS = {
    ":version": _Parser.ignore,
    ":name": _Parser.ignore,
    ":documentation": _Parser.ignore,
    ":units": _Parser.units,
    ":root": _Parser.root,
    ":bonedata": _Parser.bonedata,
    ":hierarchy": _Parser.hierarchy,
}
