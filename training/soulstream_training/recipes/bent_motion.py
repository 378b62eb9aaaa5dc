"""The motion of a rendering as rows: the clip bent in time to its music, clean, danced, and mirrored where that is.

Not for: which renderings there are and what they weigh (``takes`` for the sampler, ``mmr_pairs`` for retrieval).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from soulstream_engine.clock import FPS
from soulstream_engine.motion.faces import FACE_SPACES
from soulstream_engine.motion.representation import BODY_DIM, decode_joints, encode, encode_body
from soulstream_training.data.kinematic_beats import mean_speed
from soulstream_training.data.music_index import MusicClip
from soulstream_training.data.pairing import resample_motion
from soulstream_training.data.store import Clip

from .motion_rows import check_face_space, mirrored

F32 = NDArray[np.float32]

STILL_M_S = 0.25
"""A second in which the body is slower than this on average is waiting, not dancing. Source: ours; salsa takes begin
and end with two to four seconds of standing at 0.05 m/s, and dance at 0.5. A sampler that had learned them fell
into that stance and never left it (LOG.md, 2026-11-27)."""

MIN_ROWS = 24
"""Shorter stretches of dance are left out (ours)."""


def bent_rows(clip: Clip, music: MusicClip, columns: str = "body") -> list[tuple[slice, F32]]:
    """The stretches of a rendering whose motion is clean throughout.

    Args:
        clip: The clip that was bent.
        music: Its rendering.
        columns: ``body`` alone, body and hands (``none``), or these and the clip's face of that space.

    Returns:
        For each stretch its frames of the rendering [first, last] and rows [last - first, D] float32, one fewer than
        the frames: a row needs the frame after it.

    Raises:
        ConfigError: If the clip's face is of another space.
    """
    check_face_space(clip, columns)
    joints = clip.joint_wxyz
    if columns != "body":
        joints = np.concatenate([joints, clip.finger_wxyz], axis=1)
    root, joints = resample_motion(clip.root_m, joints, music.source_frame)
    found = []
    for first, last in clip.segments.tolist():
        inside = np.flatnonzero((music.source_frame >= first) & (music.source_frame <= last - 1))
        if inside.size < 2:
            continue
        frames = slice(int(inside[0]), int(inside[-1]) + 1)
        if columns == "body":
            rows = encode_body(root[frames], joints[frames])
        else:
            rows = encode(root[frames], joints[frames], _face(clip, music.source_frame[frames], columns))
        dance = danced(rows[:, :BODY_DIM])
        if dance.stop - dance.start < MIN_ROWS:
            continue
        heard = slice(frames.start + dance.start, frames.start + dance.stop + 1)
        shown = rows[dance]
        found.append((heard, mirrored(shown, columns) if music.entry.is_mirrored else shown))
    return found


def danced(rows: F32) -> slice:
    """The body rows [T, D] between the waiting at the beginning and that at the end; empty where nobody moves."""
    pace = mean_speed(decode_joints(rows)[0])
    moving = np.flatnonzero(uniform_filter1d(pace, FPS, mode="nearest") >= STILL_M_S) if len(pace) else pace
    return slice(int(moving[0]), int(moving[-1]) + 2) if len(moving) else slice(0, 0)


def _face(clip: Clip, source_frame: NDArray[np.float64], columns: str) -> F32:
    """Face at fractional frames of the clip, [U, C]."""
    if columns not in FACE_SPACES:
        return np.zeros((len(source_frame), 0), np.float32)
    before = np.minimum(source_frame.astype(np.int64), len(clip.face) - 1)
    after = np.minimum(before + 1, len(clip.face) - 1)
    share = (source_frame - before)[:, None].astype(np.float32)
    return np.asarray(clip.face[before] * (1.0 - share) + clip.face[after] * share, dtype=np.float32)
