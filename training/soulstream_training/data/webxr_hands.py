"""Reads hand poses as WebXR names them: 25 joints with a 4x4 matrix each, as in the text of the iwer package.

The text is read as data, never run. From the joints' places follow the rotations of our 15 finger joints; how a finger
is turned about its own bone is not kept. Only left hands are read: the right one is their mirror image.

Not for choosing poses (``hand_library``). Metres, ``wxyz``.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import JOINT_INDEX, REST_OFFSETS_M
from soulstream_training.data.asf import FloatArray, parse_numbers, read_lines, refuse
from soulstream_training.data.named_source import unit

MAX_CHARACTERS = 200_000
"""Longest text of a hand pose (ours; those of iwer have 12,000)."""

_WRIST = "wrist"
_LONG = ("metacarpal", "phalanx-proximal", "phalanx-intermediate", "phalanx-distal", "tip")
_THUMB = tuple(f"thumb-{part}" for part in _LONG if part != "phalanx-intermediate")
# The four places of a finger of ours, in the order of our skeleton: three joints and the tip.
_FINGERS: dict[str, tuple[str, ...]] = {
    **{name: tuple(f"{name}-finger-{part}" for part in _LONG[1:]) for name in ("index", "middle", "pinky", "ring")},
    "thumb": _THUMB,
}
JOINT_NAMES = (_WRIST, *_THUMB, *(f"{name}-finger-{part}" for name in _FINGERS if name != "thumb" for part in _LONG))
"""Names of the 25 joints of a WebXR hand."""

_ENTRY = re.compile(r"""["']?([a-z-]+)["']?\s*:\s*\{\s*["']?offsetMatrix["']?\s*:\s*\[([^\]]*)\]""")


def read_webxr_hand(path: Path) -> FloatArray:
    """Reads a pose of the left hand.

    Args:
        path: Text with ``name: { offsetMatrix: [16 numbers]`` for each of the 25 joints, column-major, metres.

    Returns:
        [15, 4] float64, parent-local rotations of the left finger joints in the order of our skeleton.

    Raises:
        MotionFileError: If the file cannot be read, is too long, lacks a joint, has one twice, a matrix is not 16
            finite numbers, or the hand is a right one.
    """
    text = "\n".join(read_lines(path))
    if len(text) > MAX_CHARACTERS:
        raise refuse(path, 0, f"has {len(text)} characters, the limit is {MAX_CHARACTERS}.")
    matrices: dict[str, FloatArray] = {}
    for found in _ENTRY.finditer(text):
        name, line = found[1], text.count("\n", 0, found.start()) + 1
        if name in matrices:
            raise refuse(path, line, f"joint '{name[:40]}' appears twice.")
        words = found[2].replace(",", " ").split()
        matrices[name] = np.array(parse_numbers(path, line, words, 16)).reshape(4, 4).T
    missing = [name for name in JOINT_NAMES if name not in matrices]
    if missing:
        raise refuse(path, 0, f"lacks {len(missing)} of {len(JOINT_NAMES)} joints: {', '.join(missing[:5])}.")
    place = {name: matrix[:3, 3] for name, matrix in matrices.items()}
    along = place["middle-finger-phalanx-proximal"] - place[_WRIST]
    across = place["index-finger-phalanx-proximal"] - place["pinky-finger-phalanx-proximal"]
    back_of_hand = matrices[_WRIST][:3, 1]
    if np.cross(along, across) @ back_of_hand >= 0:
        raise refuse(path, 0, "is not a left hand.", "Mirror it: only left hands are read.")
    return _to_ours(place, along, across)


def _to_ours(place: dict[str, FloatArray], along: FloatArray, across: FloatArray) -> FloatArray:
    """Rotations [15, 4] that point our finger bones where those of the hand point, each turned as little as can be."""
    ours = _frame(_rest_m("middle1"), _rest_m("index1") - _rest_m("pinky1"))
    hand = np.asarray(rotations.multiply(_frame(along, across), rotations.conjugate(ours)), dtype=np.float64)
    local = np.empty((0, 4))
    for finger, names in _FINGERS.items():
        bones = (_rest_m(f"{finger}2"), _rest_m(f"{finger}3"), _rest_m(f"{finger}3"))
        above = hand
        for bone, start, end in zip(bones, names, names[1:], strict=False):
            turn = rotations.between(rotations.rotate(above, bone), place[end] - place[start])
            world = np.asarray(rotations.multiply(turn, above), dtype=np.float64)
            local = np.vstack([local, rotations.multiply(rotations.conjugate(above), world)])
            above = world
    return local


def _rest_m(part: str) -> FloatArray:
    """Our rest offset [3] of a joint of the left hand from its parent."""
    return np.asarray(REST_OFFSETS_M[JOINT_INDEX[f"left_{part}"]], dtype=np.float64)


def _frame(along: FloatArray, across: FloatArray) -> FloatArray:
    """Rotation [4] whose first axis is ``along`` [3], its third the part of ``across`` [3] at right angles to it."""
    x = unit(along)
    z = unit(across - x * (across @ x))
    return np.asarray(rotations.from_matrix(np.stack([x, np.cross(z, x), z], axis=-1)), dtype=np.float64)
