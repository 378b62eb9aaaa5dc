"""What is shown between two sources of motion, between two frames, and when a frame is missing.

``Seam`` removes the jump when the source changes, ``interpolate`` makes in-between frames for other output rates,
``hold`` continues a dancer whose next frame did not come. Pure: time is the frame index.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from soulstream_engine.clock import FPS
from soulstream_engine.frames import F32, PoseFrame, Provenance
from soulstream_engine.motion import rotations
from soulstream_engine.motion.floor import floor_deficit_m

F64 = NDArray[np.float64]

HOLD_FRAMES = 0.150 * FPS
"""Frames over which a held dancer comes to rest (150 ms)."""

_PEAK_RATE = 1.875  # steepest slope of the decay curve, per duration
_MAX_SEAM_RAD = np.radians(20.0)  # largest rotation a frame that a seam may add to one joint (ours)
_MAX_SEAM_M = 0.12  # largest root step a frame that a seam may add, metres (ours)


@dataclass(frozen=True, slots=True)
class _Offset:
    """Difference between what was shown and the new source at frame ``index``, with its rate a frame."""

    index: int
    duration: float
    root: F64
    root_rate: F64
    turn: F64
    turn_rate: F64
    face: F64


class Seam:
    """An inertialised change of source: the new source plays at once, plus an offset that decays smoothly to nothing.

    Positions, rotations and, where neighbours are given, velocities are continuous. Large offsets take longer than
    ``duration_frames``, so that no seam whips an arm around.

    Args:
        duration_frames: Frames at 30 fps in which an ordinary offset decays.

    Source: inertialisation with a quintic, after Bollo, "Inertialization", GDC 2018.
    """

    def __init__(self, duration_frames: int = 12) -> None:
        if duration_frames < 1:
            raise ValueError(f"a seam lasts at least 1 frame, not {duration_frames}")
        self._duration_frames = duration_frames
        self._offset: _Offset | None = None

    @property
    def active(self) -> bool:
        """Whether the next applied frame may still differ from its source."""
        return self._offset is not None

    def start(
        self,
        shown: PoseFrame,
        incoming: PoseFrame,
        *,
        shown_before: PoseFrame | None = None,
        incoming_after: PoseFrame | None = None,
    ) -> None:
        """Begin a seam; also while another one is active.

        Args:
            shown: The frame shown last, with everything that was applied to it.
            incoming: First frame of the new source, due one frame after ``shown`` (its index counts).
            shown_before: The frame shown one frame before ``shown``, to keep its velocity.
            incoming_after: The frame of the new source after ``incoming``, for its velocity.

        Live: allocates.
        """
        root_step, turn_step = _step(incoming, incoming_after)
        # The new source as it would have been when ``shown`` was shown.
        root = incoming.root_m - root_step
        joint = rotations.multiply(Rotation.from_rotvec(-turn_step).as_quat(scalar_first=True), incoming.joint_wxyz)
        root_offset = shown.root_m - root
        turn = _rotvec(shown.joint_wxyz, joint)
        if shown_before is None:
            root_rate, turn_rate = np.zeros(3), np.zeros_like(turn)
        else:
            shown_root_step, shown_turn_step = _step(shown_before, shown)
            root_rate, turn_rate = shown_root_step - root_step, shown_turn_step - turn_step
        largest = max(
            float(np.linalg.norm(turn, axis=-1).max()) / _MAX_SEAM_RAD, float(np.linalg.norm(root_offset)) / _MAX_SEAM_M
        )
        self._offset = _Offset(
            index=incoming.index - 1,
            duration=max(float(self._duration_frames), _PEAK_RATE * largest),
            root=root_offset,
            root_rate=root_rate,
            turn=turn,
            turn_rate=turn_rate,
            face=np.asarray(shown.face, dtype=np.float64) - incoming.face,
        )

    def apply(self, frame: PoseFrame) -> PoseFrame:
        """The frame to show for a frame of the new source: ``BLENDED`` while the seam is active, else unchanged.

        Live: allocates; about 0.4 ms while active.
        """
        offset = self._offset
        if offset is None:
            return frame
        since = max(float(frame.index - offset.index), 0.0)
        if since >= offset.duration:
            self._offset = None
            return frame
        keep, carry = _decay(since / offset.duration)
        carry *= offset.duration
        turn = Rotation.from_rotvec(keep * offset.turn + carry * offset.turn_rate).as_quat(scalar_first=True)
        root = frame.root_m + keep * offset.root + carry * offset.root_rate
        joint = rotations.multiply(turn, frame.joint_wxyz)
        # Bent legs straighten in arcs while the root moves in a line: without this the feet dip into the floor.
        already = floor_deficit_m(frame.root_m, frame.joint_wxyz)
        root[1] += max(float(floor_deficit_m(root, joint) - already), 0.0)
        face = np.clip(frame.face + keep * offset.face, 0.0, 1.0)
        return PoseFrame(
            index=frame.index,
            root_m=root.astype(np.float32),
            joint_wxyz=_near(joint, frame.joint_wxyz),
            face=face.astype(np.float32),
            contacts=frame.contacts,
            provenance=Provenance.BLENDED,
            not_generated=frame.not_generated,
        )

    def cancel(self) -> None:
        """Drop the offset; the next frame is shown as it comes."""
        self._offset = None


def interpolate(first: PoseFrame, second: PoseFrame, t: float) -> PoseFrame:
    """The dancer between two frames.

    Args:
        first: Frame at ``t`` = 0; gives the index.
        second: Frame at ``t`` = 1.
        t: Fraction in 0..1.

    Returns:
        Positions, face and contacts on the line, rotations on the shortest arc; provenance of the nearer frame.

    Raises:
        ValueError: If ``t`` is outside 0..1.

    Live: allocates.
    """
    if not 0.0 <= t <= 1.0:
        raise ValueError(f"the fraction between two frames is 0..1, not {t}")
    if t == 0.0:
        return first
    return PoseFrame(
        index=first.index,
        root_m=_lerp(first.root_m, second.root_m, t),
        joint_wxyz=rotations.slerp(first.joint_wxyz, second.joint_wxyz, t).astype(np.float32),
        face=_lerp(first.face, second.face, t),
        contacts=_lerp(first.contacts, second.contacts, t),
        provenance=(first if t < 0.5 else second).provenance,
        not_generated=(first if t < 0.5 else second).not_generated,
    )


def hold(last: PoseFrame, previous: PoseFrame, frames_missing: int) -> PoseFrame:
    """The dancer ``frames_missing`` frames after the last one that came: on in the same direction, then at rest.

    Args:
        last: The last frame shown from a source.
        previous: The frame before it; the same frame again gives a standstill.
        frames_missing: Frames since ``last``, 1 or more.

    Returns:
        A ``HELD`` frame; the velocity fades to zero within 150 ms and the feet do not sink below the floor.

    Live: allocates.
    """
    passed = min(frames_missing / HOLD_FRAMES, 1.0)
    travelled = HOLD_FRAMES / 3 * (1 - (1 - passed) ** 3)  # velocity (1 - passed)^2, in frames of the last velocity
    root_step, turn_step = _step(previous, last)
    turn = Rotation.from_rotvec(travelled * turn_step).as_quat(scalar_first=True)
    root = last.root_m + travelled * root_step
    joint = rotations.multiply(turn, last.joint_wxyz)
    root[1] += max(float(floor_deficit_m(root, joint) - floor_deficit_m(last.root_m, last.joint_wxyz)), 0.0)
    return PoseFrame(
        index=last.index + frames_missing,
        root_m=root.astype(np.float32),
        joint_wxyz=_near(joint, last.joint_wxyz),
        face=last.face,
        contacts=last.contacts,
        provenance=Provenance.HELD,
        not_generated=last.not_generated,
    )


def _decay(s: float) -> tuple[float, float]:
    """Quintics on 0..1 with zero value, slope and bend at 1: one starts at (1, slope 0), the other at (0, slope 1)."""
    keep = 1 - s**3 * (10 - 15 * s + 6 * s**2)
    carry = s - s**3 * (6 - 8 * s + 3 * s**2)
    return keep, carry


def _step(first: PoseFrame, second: PoseFrame | None) -> tuple[F64, F64]:
    """Change of root [3] and rotations [52, 3] (rotation vectors) from a frame to the next; zero without a next."""
    if second is None:
        return np.zeros(3), np.zeros((len(first.joint_wxyz), 3))
    frames = max(second.index - first.index, 1)
    root = (np.asarray(second.root_m, dtype=np.float64) - first.root_m) / frames
    return root, _rotvec(second.joint_wxyz, first.joint_wxyz) / frames


def _rotvec(to_wxyz: F32 | F64, from_wxyz: rotations.FloatArray) -> F64:
    """Rotation vectors [52, 3] in the parent's axes that turn ``from_wxyz`` into ``to_wxyz``."""
    end = Rotation.from_quat(np.asarray(to_wxyz, dtype=np.float64), scalar_first=True)
    start = Rotation.from_quat(np.asarray(from_wxyz, dtype=np.float64), scalar_first=True)
    return np.asarray((end * start.inv()).as_rotvec())


def _lerp(first: F32, second: F32, t: float) -> F32:
    return np.asarray(first + t * (second - first), dtype=np.float32)


def _near(wxyz: rotations.FloatArray, reference: F32) -> F32:
    """The same rotations [52, 4] float32 with the signs of a reference pose."""
    flip = np.where(np.sum(wxyz * reference, axis=-1, keepdims=True) < 0, -1, 1)
    return np.asarray(wxyz * flip, dtype=np.float32)
