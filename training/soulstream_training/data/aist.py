"""Reads the motions of AIST++: pickled SMPL poses at 60 frames a second, one dancer, no fingers.

The pickle is opened by ``safe_pickle``, never here. Letters: T frames.
Source: the loader of google/aistplusplus_api; positions are in centimetres times a fitted scale and become metres when
divided by ``smpl_scaling``.
"""

from __future__ import annotations

from pathlib import Path

from soulstream_engine.motion.skeleton import NUM_BODY_JOINTS
from soulstream_training.data.asf import refuse
from soulstream_training.data.body_model import as_frames, checked, from_rotvec, model_motion
from soulstream_training.data.recording import ModelMotion
from soulstream_training.data.safe_pickle import read_pickle_arrays

AIST_FPS = 60.0
"""Frames a second of all motions. Source: AIST++."""

SCALING_RANGE = (0.01, 1000.0)
"""File units a metre that are believed; those of AIST++ lie near 100 (ours)."""

_SMPL_COLUMNS = 72


def read_aist(path: Path, *, fps: float | None = None, leg_length_m: float | None = None) -> list[ModelMotion]:
    """Reads one motion; the two hand joints of SMPL are dropped.

    Args:
        path: ``.pkl`` with ``smpl_poses`` [T, 72] or [T, 24, 3] rotation vectors in radians, ``smpl_trans`` [T, 3] and
            ``smpl_scaling`` [1].
        fps: Frames a second; ``None`` takes 60.
        leg_length_m: Hip to knee to ankle of the dancer after the scaling, metres; ``None`` keeps the path.

    Returns:
        One motion, 22 joints, Y up.

    Raises:
        MotionFileError: If the pickle is refused (``read_pickle_arrays``), lacks an array, has another shape, values
            that are not finite or a scaling out of range.
    """
    arrays = read_pickle_arrays(path)
    missing = [name for name in ("smpl_poses", "smpl_trans", "smpl_scaling") if name not in arrays]
    if missing:
        raise refuse(path, 0, f"lacks {missing}; it has {sorted(arrays)}.", "Use a file of the folder motions.")
    poses = checked(path, "smpl_poses", as_frames(arrays["smpl_poses"]), (None, _SMPL_COLUMNS))
    trans = checked(path, "smpl_trans", arrays["smpl_trans"], (len(poses), 3))
    scaling = checked(path, "smpl_scaling", arrays["smpl_scaling"].reshape(-1), (1,)).item()
    low, high = SCALING_RANGE
    if not low <= scaling <= high:
        raise refuse(path, 0, f"'smpl_scaling' is {scaling:g}, {low:g} to {high:g} is read.")
    joints = from_rotvec(path, "smpl_poses", poses)[:, :NUM_BODY_JOINTS]
    return [
        model_motion(path, trans / scaling, joints, fps=AIST_FPS if fps is None else fps, leg_length_m=leg_length_m)
    ]
