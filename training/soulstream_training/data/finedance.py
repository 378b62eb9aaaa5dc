"""Reads the motions of FineDance: 52 rotations of six numbers each at 30 frames a second, one dancer.

The six numbers are the first two *rows* of the rotation matrix (the convention of PyTorch3D, with which the data was
made), not columns as in ``rotations.from_sixd``. The joints are ours: 22 of the body, then 15 of each hand in the order
index, middle, pinky, ring, thumb. Letters: T frames.
Source: li-ronghui/FineDance, ``pre_motion.py`` and ``vis.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import NUM_JOINTS
from soulstream_training.data.asf import FloatArray, refuse
from soulstream_training.data.body_model import Up, checked, model_motion
from soulstream_training.data.npy_guard import read_single
from soulstream_training.data.recording import ModelMotion

FINEDANCE_FPS = 30.0
"""Frames a second of all motions. Source: FineDance."""

NUM_CONTACTS = 4
"""Contact columns that come first in a row of 319."""

ROW_TOLERANCE = 0.05
"""How far the two rows may be from unit length and from a right angle (ours; float32 is off by 1e-6)."""

_DIM = 3 + 6 * NUM_JOINTS


def read_finedance(
    path: Path, *, fps: float | None = None, up: Up = "y", leg_length_m: float | None = None
) -> list[ModelMotion]:
    """Reads one motion.

    Args:
        path: ``.npy`` (or ``.npz`` with one array) [T, 315]: position 3, rotations 52 x 6; or [T, 319] with four
            contacts before them, which are dropped.
        fps: Frames a second; ``None`` takes 30.
        up: The axis that points up.
        leg_length_m: Hip to knee to ankle of the dancer, metres, to scale the path; ``None`` keeps it.

    Returns:
        One motion, 52 joints.

    Raises:
        MotionFileError: If the file is damaged, has another shape, values that are not finite, or six numbers that are
            no two rows of a rotation.
    """
    values = read_single(path)
    width = values.shape[-1] if values.ndim == 2 else -1
    if width not in (_DIM, _DIM + NUM_CONTACTS):
        message = f"has shape {list(values.shape)}, expected [T, {_DIM}] or [T, {_DIM + NUM_CONTACTS}]."
        raise refuse(path, 0, message, "Use a file of the folder motion.")
    rows = checked(path, "motion", values, (None, width))[:, width - _DIM :]
    sixd = rows[:, 3:].reshape(len(rows), NUM_JOINTS, 6)
    _check_rows(path, sixd)
    # from_sixd takes the numbers for columns, which gives the transposed matrix: the inverse rotation.
    joints = np.asarray(rotations.conjugate(rotations.from_sixd(sixd)), dtype=np.float64)
    rate = FINEDANCE_FPS if fps is None else fps
    return [model_motion(path, rows[:, :3], joints, fps=rate, up=up, leg_length_m=leg_length_m)]


def _check_rows(path: Path, sixd: FloatArray) -> None:
    first, second = sixd[..., :3], sixd[..., 3:]
    off = np.max(
        [
            np.abs(np.linalg.norm(first, axis=-1) - 1),
            np.abs(np.linalg.norm(second, axis=-1) - 1),
            np.abs(np.sum(first * second, axis=-1)),
        ],
        axis=0,
    )
    if off.max() > ROW_TOLERANCE:
        frame, joint = (int(i) for i in np.unravel_index(int(off.argmax()), off.shape))
        message = (
            f"has no rotation in frame {frame}, joint {joint}: off by {off.max():.3g}, {ROW_TOLERANCE} is allowed."
        )
        raise refuse(path, 0, message, "Store the first two rows of each rotation matrix.")
