"""The formats of body-model motions by name, and the one way to read any of them.

Not for skeletons of their own (``asf``, BVH): those are ``Recording``s and need a map. Letters: none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from soulstream_engine.errors import ConfigError
from soulstream_training.data.aist import read_aist
from soulstream_training.data.finedance import read_finedance
from soulstream_training.data.joints_npy import read_joints
from soulstream_training.data.phantom import read_phantom
from soulstream_training.data.recording import ModelMotion
from soulstream_training.data.smplx_npz import read_motionx, read_smplx_npz


@dataclass(frozen=True, slots=True)
class ModelFormat:
    """One format.

    Attributes:
        read: Reads a file; takes the path and ``fps``, gives one motion a dancer.
        needs_fps: Whether the file carries no rate, so that the caller must give it.
        about: What it is, in a line.
    """

    read: Callable[..., list[ModelMotion]]
    needs_fps: bool
    about: str


MODEL_FORMATS: dict[str, ModelFormat] = {
    "smplx": ModelFormat(read_smplx_npz, False, "npz of SMPL-X or SMPL-H, Y up (BEAT2)"),
    "amass": ModelFormat(partial(read_smplx_npz, up="z"), False, "npz of SMPL-X or SMPL-H, Z up (AMASS)"),
    "motionx322": ModelFormat(read_motionx, True, "322 columns of Motion-X, Y up"),
    "souldance322": ModelFormat(
        partial(read_motionx, face_columns="face100"), True, "322 columns, the face in 209:309 (SoulDance)"
    ),
    "aist++": ModelFormat(read_aist, False, "pickled SMPL poses of AIST++"),
    "finedance": ModelFormat(read_finedance, False, "315 or 319 columns of FineDance"),
    "phantomdance": ModelFormat(read_phantom, False, "JSON of PhantomDance"),
    "joints": ModelFormat(read_joints, True, "positions of 22 or 52 joints, Y up"),
    "joints-z-up": ModelFormat(partial(read_joints, up="z"), True, "positions of 22 or 52 joints, Z up"),
}
"""Formats by name, as the clip table calls them."""


def read_model_motion(path: Path, format: str, *, fps: float | None = None) -> list[ModelMotion]:
    """Reads a motion of any of the formats.

    Args:
        path: The file.
        format: A name in ``MODEL_FORMATS``.
        fps: Frames a second, over what the file says; needed if it says nothing.

    Returns:
        One motion a dancer.

    Raises:
        ConfigError: If there is no such format.
        MotionFileError: If the file cannot be used, or carries no rate and none was given.
    """
    found = MODEL_FORMATS.get(format)
    if found is None:
        known = ", ".join(MODEL_FORMATS)
        hint = f"Use one of {known}; amc+asf and bvh are read elsewhere."
        raise ConfigError("MOTION_FORMAT_UNKNOWN", f"'{format[:40]}' is no format of body-model motions.", hint)
    return found.read(path, fps=fps)
