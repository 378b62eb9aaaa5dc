"""A dozen named hand poses, left and right, that synthetic hands are mixed from.

The poses are read from the data folder each time and are never part of this repository: hand-keyed fingers of
Mesh2Motion clips, three hands of the iwer package, and a relaxed hand made by rule. Where the folder is absent only
poses made by rule are left, and ``note`` says so. Every pose is kept within what a human hand can do, and the right
hand is always the mirror image of the left one.

Not for hands that move (``synthetic_hands``). Letters: ``P`` poses. Rotation vectors in radians, ``wxyz``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from soulstream_engine.motion.hands import relaxed_hands
from soulstream_engine.motion.skeleton import NUM_BODY_JOINTS, NUM_JOINTS
from soulstream_training.data.asf import FloatArray, refuse
from soulstream_training.data.bvh import read_bvh
from soulstream_training.data.joint_maps import find_map
from soulstream_training.data.named_retarget import retarget_named
from soulstream_training.data.webxr_hands import read_webxr_hand

HAND_JOINTS = 15
"""Finger joints of a hand: three each of index, middle, little, ring finger and thumb."""

KEYED_DIR, WEBXR_DIR = Path("mesh2motion-cc0") / "bvh", Path("iwer-handposes")
"""Where the poses lie in the data folder."""

RULE = "rule"
"""Source of a pose that is made by ``soulstream_engine.motion.hands``."""

_KEYED_UNIT_M, _KEYED_MAP = 0.01, "mesh2motion"

# Name, share of the time, clip, side and frame. Source: ours, by eye; what a dancer's hands do most comes first.
_KEYED: tuple[tuple[str, float, str, str, int], ...] = (
    ("soft", 0.16, "dizzy", "left", 0),
    ("open", 0.12, "head-nod", "left", 0),
    ("cupped", 0.09, "confused", "right", 33),
    ("spread", 0.08, "jumping-jacks", "left", 14),
    ("fist", 0.06, "victory", "left", 0),
    ("poised", 0.06, "levitate-entrance", "left", 0),
    ("holding", 0.03, "consume-powerup", "right", 0),
    ("ring", 0.02, "meditate", "left", 0),
)
_WEBXR: tuple[tuple[str, float, str], ...] = (
    ("hanging", 0.12, "relaxed.js"),
    ("point", 0.03, "point.js"),
    ("pinch", 0.03, "pinch.js"),
)
_RELAXED = ("relaxed", 0.20, 1.0)  # name, share, factor on the natural curl
_BY_RULE = (_RELAXED, ("flat", 0.10, 0.25), ("curled", 0.10, 1.8))

# Range of the rotation vector of a left finger joint in degrees: about the bone, to the side, bend (about -Z). Source:
# rounded from the normal ranges of motion of the American Academy of Orthopaedic Surgeons (90, 100 and 80 degrees of
# bend); to the side, about the bone and backwards ours.
_KNUCKLE = ((-20.0, 20.0), (-25.0, 25.0), (-20.0, 90.0))
_MIDDLE = ((-10.0, 10.0), (-10.0, 10.0), (-5.0, 100.0))
_LAST = ((-10.0, 10.0), (-10.0, 10.0), (-5.0, 80.0))
_THUMB_DEG = (60.0, 60.0, 80.0)  # the thumb's joints turn about slanting axes: largest angle, whatever the axis

MIRROR = np.array([1.0, -1.0, -1.0])
"""Factors on a rotation vector that mirror it left to right (at x = 0)."""


@dataclass(frozen=True, slots=True)
class HandLibrary:
    """Named hand poses; pose 0 is the hand at rest.

    Attributes:
        names: P names.
        left_rotvec: [P, 15, 3] float64, rotation vectors of the left finger joints against their parents.
        shares: [P] float64, how often each pose is taken; their sum is 1.
        sources: P sources: ``rule`` or the file in the data folder.
        note: What a reader of a data sheet has to know, for example that files were missing; empty if nothing.
    """

    names: tuple[str, ...]
    left_rotvec: FloatArray
    shares: FloatArray
    sources: tuple[str, ...]
    note: str = ""

    @property
    def id(self) -> str:
        """Short name of the poses: what was made of one library is not what another would give."""
        return hashlib.sha256(self.left_rotvec.tobytes() + self.shares.tobytes()).hexdigest()[:16]

    def hand_wxyz(self, side: str) -> FloatArray:
        """The poses as rotations.

        Args:
            side: ``left`` or ``right``.

        Returns:
            [P, 15, 4] float64, parent-local; the right hand mirrors the left.

        Raises:
            ValueError: If the side is another word.
        """
        if side not in ("left", "right"):
            raise ValueError(f"side '{side}' is neither left nor right")
        rotvec = self.left_rotvec if side == "left" else self.left_rotvec * MIRROR
        return rotvec_to_wxyz(rotvec)


@cache
def hand_library(data_dir: Path) -> HandLibrary:
    """As ``load_hand_library``, read once a process."""
    return load_hand_library(data_dir)


def load_hand_library(data_dir: Path) -> HandLibrary:
    """Reads the poses that the data folder has.

    Args:
        data_dir: Folder with ``mesh2motion-cc0`` and ``iwer-handposes``; either or both may be absent.

    Returns:
        The library; ``rule_library`` if there is no file at all. Files that are absent are named in ``note``.

    Raises:
        MotionFileError: If a file is there but broken or too short.
    """
    names, shares, poses, sources = [_RELAXED[0]], [_RELAXED[1]], [_rule_pose(_RELAXED[2])], [RULE]
    absent: list[str] = []
    for name, share, stem, side, frame in _KEYED:
        source = KEYED_DIR / f"{stem}.bvh"
        if (data_dir / source).is_file():
            names, shares, sources = [*names, name], [*shares, share], [*sources, source.as_posix()]
            poses.append(_keyed_pose(data_dir / source, side, frame))
        else:
            absent.append(source.as_posix())
    for name, share, file in _WEBXR:
        source = WEBXR_DIR / file
        if (data_dir / source).is_file():
            names, shares, sources = [*names, name], [*shares, share], [*sources, source.as_posix()]
            poses.append(_rotvec(read_webxr_hand(data_dir / source)))
        else:
            absent.append(source.as_posix())
    if len(names) == 1:
        return rule_library()
    note = f"Hand poses that are absent: {', '.join(absent)}." if absent else ""
    return _library(names, shares, poses, sources, note)


def rule_library() -> HandLibrary:
    """The poses that need no data: relaxed, flat and curled.

    Returns:
        The library; its ``note`` says that no pose was keyed or captured.
    """
    note = "Hands are made of poses by rule only: no keyed or captured hand pose was there."
    names, shares = [name for name, _, _ in _BY_RULE], [share for _, share, _ in _BY_RULE]
    return _library(names, shares, [_rule_pose(curl) for _, _, curl in _BY_RULE], [RULE] * len(_BY_RULE), note)


def within_range(left_rotvec: ArrayLike) -> FloatArray:
    """The nearest pose that a human hand can take.

    The allowed set is convex: what is mixed from poses within it lies within it.

    Args:
        left_rotvec: [..., 15, 3] rotation vectors of left finger joints, radians.

    Returns:
        [..., 15, 3] float64.
    """
    vectors = np.asarray(left_rotvec, dtype=np.float64)
    boxed = np.clip(vectors, _RANGE_RAD[..., 0], _RANGE_RAD[..., 1])
    length = np.linalg.norm(boxed[..., 12:, :], axis=-1, keepdims=True)
    boxed[..., 12:, :] *= np.minimum(1.0, np.radians(_THUMB_DEG)[:, None] / np.maximum(length, 1e-9))
    return boxed


def rotvec_to_wxyz(rotvec: FloatArray) -> FloatArray:
    """Unit quaternions of rotation vectors.

    Args:
        rotvec: [..., 3] radians.

    Returns:
        [..., 4] float64 ``wxyz``; the real part is not negative up to half a turn.
    """
    return np.asarray(Rotation.from_rotvec(rotvec).as_quat(scalar_first=True), dtype=np.float64)


def _ranges() -> FloatArray:
    """Least and largest rotation vector [15, 3, 2]; those of the thumb are limited by angle instead."""
    finger = np.array([_KNUCKLE, _MIDDLE, _LAST])
    finger[:, 2] = -finger[:, 2, ::-1]  # bending turns about -Z
    thumb = np.tile([-180.0, 180.0], (3, 3, 1))
    return np.radians(np.concatenate([np.tile(finger, (4, 1, 1)), thumb]))


_RANGE_RAD = _ranges()


def _library(
    names: list[str], shares: list[float], poses: list[FloatArray], sources: list[str], note: str
) -> HandLibrary:
    part = np.array(shares) / sum(shares)
    return HandLibrary(tuple(names), within_range(np.stack(poses)), part, tuple(sources), note)


def _rotvec(wxyz: ArrayLike) -> FloatArray:
    return np.asarray(Rotation.from_quat(np.asarray(wxyz), scalar_first=True).as_rotvec(), dtype=np.float64)


def _rule_pose(curl: float) -> FloatArray:
    return _rotvec(relaxed_hands(curl)[:HAND_JOINTS])


def _keyed_pose(path: Path, side: str, frame: int) -> FloatArray:
    """A hand of one frame of a keyed clip, as a left hand."""
    recording = read_bvh(path, unit_m=_KEYED_UNIT_M, up_axis="Y")
    if frame >= len(recording.position_m):
        raise refuse(path, 0, f"has {len(recording.position_m)} frames, the hand is taken from frame {frame}.")
    motion, _ = retarget_named(recording, find_map(_KEYED_MAP, recording.names))
    if motion.joint_wxyz.shape[1] != NUM_JOINTS:
        raise refuse(path, 0, "has no fingers.")
    fingers = _rotvec(motion.joint_wxyz[frame, NUM_BODY_JOINTS:])
    return fingers[:HAND_JOINTS] if side == "left" else fingers[HAND_JOINTS:] * MIRROR
