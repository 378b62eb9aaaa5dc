"""Reads the files that published systems write of their dances: FACT, Bailando, EDGE and FineNet.

Not for data sets, which have readers of their own (``data.readers``), nor for frame rates, floors and songs
(``importers``). Letters: T frames.
Source: the code that writes them: google-research/mint ``single_task_evaluator.py`` and ``calculate_scores.py``,
lisiyao21/Bailando ``utils/functional.py``, Stanford-TML/EDGE and li-ronghui/FineDance ``model/diffusion.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import LEG_LENGTH_M, NUM_BODY_JOINTS, NUM_JOINTS
from soulstream_training.data.asf import FloatArray, refuse
from soulstream_training.data.body_model import Up, as_frames, check_leg, checked, from_rotvec, model_motion
from soulstream_training.data.npy_guard import read_single
from soulstream_training.data.phantom import MAX_JSON_BYTES, MAX_LISTS
from soulstream_training.data.position_fit import fit_rotations, leg_length
from soulstream_training.data.recording import ModelMotion
from soulstream_training.data.safe_pickle import read_pickle_arrays

SMPL_JOINTS = 24
"""Joints of SMPL: our 22 of the body, then two hands, which are dropped."""

FACT_FPS, BAILANDO_FPS, EDGE_FPS, FINENET_FPS = 60.0, 60.0, 30.0, 30.0
"""Frames a second of what they write. Source: their code; EDGE and FineNet work at 30."""

FACT_PADDING = 6
"""Columns before the translation in the files that FACT itself writes; its network fills them, they mean nothing."""

MATRIX_TOLERANCE = 0.5
"""How far the stretch of a matrix may be from one, median of all: a network does not give exact rotations (ours)."""

POSITION_KEYS = ("pred_position", "dance_array", "joint_positions", "joints", "positions")
"""What joint positions may be called in a file of several arrays, best first; Bailando's are the first two."""

_FACT_DIM = 3 + 9 * SMPL_JOINTS
_HINT = "Use a file as the system wrote it."


@dataclass(frozen=True, slots=True)
class JointPath:
    """A dance of which positions alone are known. Y up, metres, scaled so that its legs are as long as ours.

    Attributes:
        joints_m: [T, 22, 3] float64, the bones being the dancer's own.
        fps: Frames a second.
    """

    joints_m: FloatArray
    fps: float


def read_fact(path: Path, *, fps: float | None = None) -> ModelMotion:
    """Reads a dance of FACT: SMPL rotation matrices, each brought to the nearest rotation, as FACT's own scores do.

    The first two seconds of what FACT writes are not its own: they are the real motion that it was started with.

    Args:
        path: ``.npy`` [T, 219]: position 3, matrices 24 x 9 row by row; or [T, 225] with six columns before them.
        fps: Frames a second; ``None`` takes 60.

    Returns:
        The motion, 22 joints.

    Raises:
        MotionFileError: If the file is damaged, has another shape, values that are not finite or no rotations.
    """
    values = read_single(path)
    width = values.shape[-1] if values.ndim == 2 else -1
    if width not in (_FACT_DIM, _FACT_DIM + FACT_PADDING):
        message = f"has shape {list(values.shape)}, expected [T, {_FACT_DIM}] or [T, {_FACT_DIM + FACT_PADDING}]."
        raise refuse(path, 0, message, _HINT)
    rows = checked(path, "motion", values, (None, width))[:, width - _FACT_DIM :]
    matrices = rows[:, 3:].reshape(len(rows), SMPL_JOINTS, 3, 3)[:, :NUM_BODY_JOINTS]
    joints = _nearest_rotations(path, matrices)
    return model_motion(path, rows[:, :3], joints, fps=FACT_FPS if fps is None else fps)


def _nearest_rotations(path: Path, matrices: FloatArray) -> FloatArray:
    """The rotations [T, J, 4] nearest to matrices [T, J, 3, 3]."""
    left, stretch, right = np.linalg.svd(matrices)
    off = float(np.median(np.abs(stretch - 1.0).max(axis=-1)))
    if off > MATRIX_TOLERANCE:
        message = f"holds matrices that are off a rotation by {off:.2f} in the median, {MATRIX_TOLERANCE} is allowed."
        raise refuse(path, 0, message, "Store rotation matrices row by row after the position.")
    left[..., 2] *= np.sign(np.linalg.det(left @ right))[..., None]
    return np.asarray(rotations.from_matrix(left @ right), dtype=np.float64)


def read_bailando(path: Path, *, fps: float | None = None) -> JointPath:
    """Reads a dance of Bailando: the joint positions of SMPL, Y up.

    Args:
        path: ``.npy`` [T, 24, 3] or [T, 72]; or ``.npz``, ``.json``, ``.pkl`` or ``.pkl.npy`` (as Bailando writes)
            that holds it under one of ``POSITION_KEYS``; metres.
        fps: Frames a second; ``None`` takes 60.

    Returns:
        The positions of our 22 joints.

    Raises:
        MotionFileError: If the file is damaged, has another shape, units or up axis, or values that are not finite.
    """
    values = _positions(path)
    if values.ndim == 2 and values.shape[1] == 3 * SMPL_JOINTS:
        values = values.reshape(len(values), SMPL_JOINTS, 3)
    if values.ndim != 3 or values.shape[1:] != (SMPL_JOINTS, 3):
        message = f"has shape {list(values.shape)}, expected [T, {SMPL_JOINTS}, 3] or [T, {3 * SMPL_JOINTS}]."
        raise refuse(path, 0, message, _HINT)
    joints = checked(path, "joints", values, (None, SMPL_JOINTS, 3))[:, :NUM_BODY_JOINTS]
    joints = joints * (LEG_LENGTH_M / check_leg(path, leg_length(joints)))
    # Nothing but the checks of rate, place and up axis is wanted of it: the positions stay the dancer's own.
    motion = model_motion(path, joints[:, 0], fit_rotations(joints), fps=BAILANDO_FPS if fps is None else fps)
    return JointPath(joints, motion.fps)


def _positions(path: Path) -> NDArray[Any]:
    """The array of positions in a file of any of the kinds."""
    if path.suffix not in (".json", ".pkl") and not path.name.endswith(".pkl.npy"):
        return read_single(path, POSITION_KEYS)
    found = _read_json(path) if path.suffix == ".json" else read_pickle_arrays(path)
    key = next((key for key in POSITION_KEYS if key in found), "")
    if not key:
        raise refuse(path, 0, f"has {sorted(found)[:8]}, expected one of {', '.join(POSITION_KEYS)}.", _HINT)
    try:
        values = np.asarray(found[key])
    except ValueError as error:
        raise refuse(path, 0, f"'{key}' is not a regular list of numbers.", _HINT) from error
    if values.dtype.kind not in "fi":
        raise refuse(path, 0, f"'{key}' holds {values.dtype}, expected numbers.", _HINT)
    return values


def _read_json(path: Path) -> Mapping[str, Any]:
    """The values of a JSON document by key."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_JSON_BYTES + 1)
        lists = raw.count(b"[") + raw.count(b"{")
        if len(raw) > MAX_JSON_BYTES or lists > MAX_LISTS:
            message = f"has over {MAX_JSON_BYTES} bytes or {lists} lists, {MAX_LISTS} are allowed."
            raise refuse(path, 0, message, "Cut the dance into shorter files.")
        document = json.loads(raw.decode("utf-8"))
    except OSError as error:
        raise refuse(path, 0, f"cannot be read ({error.strerror}).", "Check the path and its permissions.") from error
    except (ValueError, RecursionError) as error:
        raise refuse(path, 0, f"is not valid JSON ({type(error).__name__}: {error}).", _HINT) from error
    if not isinstance(document, dict):
        raise refuse(path, 0, f"holds a {type(document).__name__}, expected keys and values.", _HINT)
    return document


def read_edge(path: Path, *, fps: float | None = None) -> ModelMotion:
    """Reads a dance of EDGE: SMPL rotations, Z up; the path is scaled by the legs of its positions, if it has any.

    Args:
        path: ``.pkl`` with ``smpl_poses`` [T, 72] rotation vectors in radians, ``smpl_trans`` [T, 3] in metres and
            ``full_pose`` [T, 24, 3], which may be missing.
        fps: Frames a second; ``None`` takes 30.

    Returns:
        The motion, 22 joints, Y up.

    Raises:
        MotionFileError: If the pickle is refused (``read_pickle_arrays``), lacks an array, has another shape or up
            axis, or values that are not finite.
    """
    return _read_smpl(path, (SMPL_JOINTS,), up="z", fps=EDGE_FPS if fps is None else fps)


def read_finenet(path: Path, *, fps: float | None = None) -> ModelMotion:
    """Reads a dance of FineNet: SMPL-X rotations, Y up.

    Args:
        path: ``.pkl`` with ``smpl_poses`` [T, 156] or, without hands, [T, 66] rotation vectors in radians, and
            ``smpl_trans`` [T, 3] in metres.
        fps: Frames a second; ``None`` takes 30.

    Returns:
        The motion, 52 or 22 joints.

    Raises:
        MotionFileError: As ``read_edge``.
    """
    return _read_smpl(path, (NUM_JOINTS, NUM_BODY_JOINTS), up="y", fps=FINENET_FPS if fps is None else fps)


def _read_smpl(path: Path, counts: Sequence[int], *, up: Up, fps: float) -> ModelMotion:
    """The motion of a pickle with as many joints as one of ``counts``."""
    arrays = read_pickle_arrays(path)
    missing = [name for name in ("smpl_poses", "smpl_trans") if name not in arrays]
    if missing:
        raise refuse(path, 0, f"lacks {missing}; it has {sorted(arrays)}.", _HINT)
    poses = as_frames(arrays["smpl_poses"])
    widths = [3 * count for count in counts]
    if poses.ndim != 2 or poses.shape[1] not in widths:
        expected = " or ".join(f"[T, {width}]" for width in widths)
        raise refuse(path, 0, f"'smpl_poses' has shape {list(poses.shape)}, expected {expected}.", _HINT)
    rotvec = checked(path, "smpl_poses", poses, (None, poses.shape[1]))
    trans = checked(path, "smpl_trans", arrays["smpl_trans"], (len(poses), 3))
    joints = from_rotvec(path, "smpl_poses", rotvec)
    leg = None
    if "full_pose" in arrays:
        leg = leg_length(checked(path, "full_pose", arrays["full_pose"], (len(poses), joints.shape[1], 3)))
    if joints.shape[1] == SMPL_JOINTS:
        joints = joints[:, :NUM_BODY_JOINTS]
    return model_motion(path, trans, joints, fps=fps, up=up, leg_length_m=leg)
