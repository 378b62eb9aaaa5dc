"""A whole song danced faster than it plays, by the very stream that dances live.

The music is heard on a second thread while the network computes, which needs no interpreter.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.bundle import Bundle
from soulstream_engine.clock import FPS, SAMPLES_PER_FRAME
from soulstream_engine.frames import ALL_PARTS, F32, PoseFrame, Provenance
from soulstream_engine.motion.skeleton import PARENTS, REST_OFFSETS_M, forward_kinematics

from .dance import DanceStream
from .real_time import short_thread_switches

REPORT_EVERY_FRAMES = 30


@dataclass(frozen=True, slots=True)
class Take:
    """A finished dance of T frames.

    ``joints_m`` [T, 52, 3], ``joint_wxyz`` [T, 52, 4] parent-local, ``root_m`` [T, 3], ``parents`` [52],
    ``rest_offsets_m`` [52, 3], ``face`` [T, 52], ``contacts`` [T, 4], ``fps`` frames a second, ``provenance`` one per
    frame, ``not_generated`` the parts that a rule drives throughout. Metres, Y up.
    """

    joints_m: F32
    joint_wxyz: F32
    root_m: F32
    parents: NDArray[np.int32]
    rest_offsets_m: F32
    face: F32
    contacts: F32
    fps: int
    provenance: tuple[Provenance, ...]
    not_generated: tuple[str, ...] = ()


def render_song(
    samples: F32,
    bundle: Bundle,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
    stream: DanceStream | None = None,
) -> Take:
    """Dance to a song.

    Args:
        samples: [N] float32 mono at 48 kHz.
        bundle: Verified model.
        seed: Chooses the dance.
        progress: Told the share done, 0..1, about once a second of music.
        stream: Dances instead of a new stream of ``bundle`` (tests and controls).

    Returns:
        One frame for every 1/30 s of the song, the last part frame included.
    """
    dancer = stream or DanceStream(bundle, seed)
    total = -(-samples.shape[0] // SAMPLES_PER_FRAME)
    padded = np.zeros(total * SAMPLES_PER_FRAME, np.float32)
    padded[: samples.shape[0]] = samples
    frames: list[PoseFrame] = []
    block = REPORT_EVERY_FRAMES * SAMPLES_PER_FRAME
    starts = range(0, padded.shape[0], block)
    with ThreadPoolExecutor(1, "features") as ahead, short_thread_switches():
        heard = [ahead.submit(dancer.features, padded[start : start + block]) for start in starts]
        try:
            for number, features in enumerate(heard, 1):
                for feature in features.result():
                    frames += dancer.hear(feature)
                if progress is not None:
                    progress(number / len(starts))
        finally:
            ahead.shutdown(cancel_futures=True)
    return take_of(frames[:total])


def take_of(frames: list[PoseFrame]) -> Take:
    """Stack frames and pose the skeleton."""
    if not frames:
        empty = np.zeros((0, 3), np.float32)
        joints = np.zeros((0, len(PARENTS), 4), np.float32)
        return Take(joints[..., :3], joints, empty, PARENTS, REST_OFFSETS_M, joints[:, :, 0], joints[:, 0], FPS, ())
    root = np.stack([frame.root_m for frame in frames])
    joint = np.stack([frame.joint_wxyz for frame in frames])
    return Take(
        joints_m=np.asarray(forward_kinematics(root, joint), np.float32),
        joint_wxyz=joint,
        root_m=root,
        parents=PARENTS,
        rest_offsets_m=REST_OFFSETS_M,
        face=np.stack([frame.face for frame in frames]),
        contacts=np.stack([frame.contacts for frame in frames]),
        fps=FPS,
        provenance=tuple(frame.provenance for frame in frames),
        not_generated=tuple(part for part in ALL_PARTS if all(part in frame.not_generated for frame in frames)),
    )
