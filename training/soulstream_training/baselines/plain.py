"""Systems that hear nothing: somebody who waits, and a real dance that was danced to something else.

Also how motion rows are played at another pace, cross-faded and looped: rows are relative to the dancer, so what
follows begins where she stands and faces. Not for: dances chosen by the music (``retrieval``).

Letters: N frames of a piece, T frames, D motion columns (263, the body).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.errors import ConfigError
from soulstream_engine.motion import rotations
from soulstream_engine.motion.floor import floor_deficit_m
from soulstream_engine.motion.idle import idle_poses
from soulstream_engine.motion.representation import BODY_JP, BODY_JR, BODY_JV, CONTACT, decode_pose, encode_body
from soulstream_engine.motion.skeleton import forward_kinematics
from soulstream_training.data.store import body_rows, load_clip, read_index
from soulstream_training.recipes.bent_motion import danced

from .common import Danced

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

BLEND_FRAMES = FPS // 2
"""Half a second from one stretch of motion to the next (ours), as long as the engine's seam."""

LEAST_FRAMES = 5 * FPS
"""Shorter stretches of dance are not looped (ours)."""

DANCED_CLASSES = ("A", "B", "real")
"""Classes of clips that are danced to a beat."""

_IDLE_SPAN = 100_000
_TRAVEL = slice(0, 3)  # ra, rx, rz: the root's velocities


class IdleDancer:
    """The engine's waiting dancer; the seed chooses when in her waiting she is met."""

    wait_s = 0.0

    def dance(self, music: F32, seed: int) -> Danced:
        """Waits for as long as ``music`` [T, F] lasts."""
        first = int(np.random.default_rng(seed).integers(_IDLE_SPAN))
        root_m, joint_wxyz, _ = idle_poses(np.arange(first, first + len(music) + 1), np.zeros(3), 0.0)
        return Danced(encode_body(root_m, joint_wxyz))


class ShiftedDancer:
    """A real dance at its own pace, from a random frame on and over and over; the seed chooses both.

    Args:
        store: Prepared motion; the split ``train`` is danced, unbent.

    Raises:
        ConfigError: If it has no clip of that split that people danced.
    """

    wait_s = 0.0

    def __init__(self, store: Path) -> None:
        self._store = store
        self._entries = [
            entry for entry in read_index(store) if entry.split == "train" and entry.pairing_class in DANCED_CLASSES
        ]
        if not self._entries:
            raise _nothing_danced(store)

    def dance(self, music: F32, seed: int) -> Danced:
        """Dances for as long as ``music`` [T, F] lasts.

        Raises:
            ConfigError: If every clip is too short.
        """
        generator = np.random.default_rng(seed)
        for number in generator.permutation(len(self._entries)):
            stretches = [rows[danced(rows)] for rows in body_rows(load_clip(self._store, self._entries[number]))]
            longest = max(stretches, key=len, default=np.zeros((0, 263), np.float32))
            if len(longest) >= LEAST_FRAMES:
                return looped(longest, int(generator.integers(len(longest))), len(music))
        raise _nothing_danced(self._store)


def looped(rows: F32, first: int, num_frames: int) -> Danced:
    """Motion over and over, its end cross-faded into its beginning.

    Args:
        rows: [N, 263] float32, N >= 2 ``BLEND_FRAMES``.
        first: Row to begin at, any number.
        num_frames: T.

    Returns:
        Rows [T, 263]; ``edges`` where a pass begins, and 0.

    Raises:
        ValueError: If there are too few rows.
    """
    if len(rows) < 2 * BLEND_FRAMES:
        raise ValueError(f"{len(rows)} rows cannot be looped, at least {2 * BLEND_FRAMES} are needed")
    stop = len(rows) - BLEND_FRAMES
    cycle = rows[:stop].copy()
    cycle[:BLEND_FRAMES] = cross_fade(rows[stop:], rows[:BLEND_FRAMES])
    shown = (first + np.arange(num_frames)) % stop
    starts = np.flatnonzero(shown == 0)
    return Danced(cycle[shown], np.union1d([0], starts).astype(np.int64))


def played(rows: F32, at: F64, pace: F64) -> F32:
    """Motion shown at fractional rows and at another pace.

    Args:
        rows: [N, 263] float32, N >= 2.
        at: [T] row shown at each frame, fractional, 0..N - 1.
        pace: [T] rows by which the motion goes on from each frame to the next.

    Returns:
        [T, 263] float32.
    """
    shown = _between(rows, at)
    travelled = np.concatenate([np.zeros((1, 3)), np.cumsum(rows[:, _TRAVEL], axis=0, dtype=np.float64)])
    shown[:, _TRAVEL] = _between(travelled, np.minimum(at + pace, len(rows))) - _between(travelled, at)
    shown[:, BODY_JV] *= pace[:, None]
    shown[:, CONTACT] = np.round(shown[:, CONTACT])
    return shown.astype(np.float32)


def cross_fade(fading: F32, coming: F32) -> F32:
    """From one motion to another while both go on: rotations on the shortest arc, velocities and height in between.

    Args:
        fading: [T, 263] float32, T <= ``BLEND_FRAMES``: the beginning of the blend, which always takes that long.
        coming: [T, 263] float32.

    Returns:
        [T, 263] float32; no foot is deeper in the floor than in either motion.
    """
    turn = np.arange(1, len(fading) + 1) / (BLEND_FRAMES + 1)
    share = turn**2 * (3.0 - 2.0 * turn)
    faded: F32 = (fading + share[:, None] * (coming - fading)).astype(np.float32)
    (root_m, first), (other_m, second) = _standing(fading), _standing(coming)
    joint_wxyz = rotations.slerp(first, second, share[:, None])
    under = np.maximum(floor_deficit_m(root_m, first), floor_deficit_m(other_m, second))
    root_m = root_m + share[:, None] * (other_m - root_m)
    root_m[:, 1] += np.maximum(floor_deficit_m(root_m, joint_wxyz) - under, 0.0)
    joints_m = forward_kinematics(root_m, joint_wxyz)
    faded[:, 3] = root_m[:, 1]
    faded[:, BODY_JP] = joints_m[:, 1:].reshape(len(faded), -1)
    faded[:, BODY_JR] = rotations.to_sixd(joint_wxyz[:, 1:]).reshape(len(faded), -1)
    faded[:, CONTACT] = np.round(faded[:, CONTACT])
    return faded


def _between(values: NDArray[np.floating], at: F64) -> F64:
    """Values [N, C] at fractional places [T]: [T, C]."""
    before = np.minimum(at.astype(np.int64), len(values) - 2)
    between: F64 = values[before] + (at - before)[:, None] * (values[before + 1] - values[before])
    return between


def _standing(rows: F32) -> tuple[F64, F32]:
    """Root [T, 3] and rotations [T, 22, 4] of rows in the dancer's own heading, above the origin."""
    still = rows.copy()
    still[:, _TRAVEL] = 0.0
    root_m, joint_wxyz, _, _ = decode_pose(still)
    return root_m.astype(np.float64), joint_wxyz


def _nothing_danced(store: Path) -> ConfigError:
    return ConfigError(
        "DANCES_EMPTY",
        f"'{store}' has no clean dance of {LEAST_FRAMES / FPS:.0f} s in the split train.",
        "Prepare longer clips of class A, B or real.",
    )
