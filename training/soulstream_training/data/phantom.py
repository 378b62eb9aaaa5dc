"""Reads the motions of PhantomDance: JSON with the rotations of 24 SMPL bones in the world, 30 frames a second.

The data are Unity's: left-handed, Y up, X to the right of a dancer who faces +Z, quaternions xyzw, every bone relative
to the T-pose *in the world* and not to its parent. Ours is the mirror image: X changes sign. Letters: T frames.
Source: README and toolkit of libuyu/PhantomDanceDataset.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from soulstream_engine.motion.skeleton import JOINT_NAMES, NUM_BODY_JOINTS, local_rotations
from soulstream_training.data.asf import FloatArray, refuse
from soulstream_training.data.body_model import checked, model_motion, unit
from soulstream_training.data.recording import ModelMotion

PHANTOM_FPS = 30.0
"""Frames a second of all motions. Source: PhantomDance."""

MAX_JSON_BYTES = 100_000_000
"""Largest file (ours; five minutes have about 20 MB)."""

MAX_LISTS = 3_000_000
"""Most opening brackets in a file; each costs far more memory than its byte (ours; enough for an hour)."""

_HANDS = ("L_Hand", "R_Hand")


def _bone_name(joint: str) -> str:
    """``left_hip`` is ``L_Hip``, ``spine1`` is ``Spine1``."""
    side, _, part = joint.rpartition("_")
    return f"{side[0].upper()}_{part.capitalize()}" if side else part.capitalize()


BONE_NAMES: tuple[str, ...] = (*(_bone_name(joint) for joint in JOINT_NAMES[:NUM_BODY_JOINTS]), *_HANDS)
"""Names of the 24 bones, in the order of our 22 joints, the hands last."""


def read_phantom(path: Path, *, fps: float | None = None, leg_length_m: float | None = None) -> list[ModelMotion]:
    """Reads one motion; the two hand bones are dropped.

    Args:
        path: ``.json`` with ``bone_name`` (24 names in any order), ``root_positions`` [T, 3] in metres and
            ``rotations`` [T, 24, 4].
        fps: Frames a second; ``None`` takes 30.
        leg_length_m: Hip to knee to ankle of the character, metres, to scale the path; ``None`` keeps it.

    Returns:
        One motion, 22 joints, Y up.

    Raises:
        MotionFileError: If the file is missing, too large, nested too deeply, no JSON of this form, or has values that
            are not finite or no unit quaternions.
    """
    document = _load(path)
    names = document["bone_name"]
    if not isinstance(names, list) or sorted(map(str, names)) != sorted(BONE_NAMES):
        found = [str(name)[:20] for name in names[:30]] if isinstance(names, list) else type(names).__name__
        raise refuse(path, 0, f"'bone_name' is {found}, expected the {len(BONE_NAMES)} bones of SMPL.")
    root = checked(path, "root_positions", _numbers(path, document, "root_positions"), (None, 3))
    xyzw = checked(path, "rotations", _numbers(path, document, "rotations"), (len(root), len(BONE_NAMES), 4))
    ours = xyzw[:, [names.index(name) for name in BONE_NAMES[:NUM_BODY_JOINTS]]]
    # The mirror image in X: (x, y, z, w) turns into w, x, -y, -z.
    world = unit(path, "rotations", ours[..., [3, 0, 1, 2]] * [1.0, 1.0, -1.0, -1.0])
    local = np.asarray(local_rotations(world), dtype=np.float64)
    rate = PHANTOM_FPS if fps is None else fps
    return [model_motion(path, root * [-1.0, 1.0, 1.0], local, fps=rate, leg_length_m=leg_length_m)]


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise refuse(path, 0, f"cannot be read ({error.strerror}).", "Check the path and its permissions.") from error
    if len(raw) > MAX_JSON_BYTES:
        raise refuse(path, 0, f"is larger than {MAX_JSON_BYTES} bytes.", "Cut the recording into shorter files.")
    lists = raw.count(b"[") + raw.count(b"{")
    if lists > MAX_LISTS:
        raise refuse(path, 0, f"has {lists} lists, {MAX_LISTS} are allowed.", "Cut the recording into shorter files.")
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError as error:
        raise refuse(path, 0, "is nested too deeply, three levels are needed.") from error
    except ValueError as error:
        raise refuse(path, 0, f"is not valid JSON ({error}).") from error
    keys = set(document) if isinstance(document, dict) else set()
    missing = [key for key in ("bone_name", "root_positions", "rotations") if key not in keys]
    if missing:
        raise refuse(path, 0, f"holds a {type(document).__name__} without {missing}.", "Use a motion of PhantomDance.")
    return dict(document)


def _numbers(path: Path, document: dict[str, Any], key: str) -> FloatArray:
    """A regular list of numbers as an array; texts, objects and ragged lists are refused."""
    try:
        values = np.asarray(document[key])
    except ValueError as error:
        raise refuse(path, 0, f"'{key}' is not a regular list of numbers.") from error
    if values.dtype.kind not in "fi":
        raise refuse(path, 0, f"'{key}' holds {values.dtype}, expected numbers.")
    return values.astype(np.float64)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")
