"""Which pose is shown at a frame: generated, or blended, or held, or idle. One decision a frame, no clock, no threads.

Order of preference: the generated frame; over a hole of one frame, the pose between its neighbours; held,
with the velocity fading over 150 ms; the idle dancer, standing where the dance left her. Whenever the origin changes, a
``Seam`` takes out the jump, and the frames it touches say so (``BLENDED``).
"""

from __future__ import annotations

import math
from dataclasses import replace
from enum import Enum

import numpy as np

from soulstream_engine.frames import ALL_PARTS, F32, PoseFrame, Provenance
from soulstream_engine.motion import blend, idle, rotations
from soulstream_engine.runtime.frame_buffer import FrameBuffer

HOLD_FRAMES = math.ceil(blend.HOLD_FRAMES)
"""Missing frames that are bridged by holding before the dancer eases to idle."""

RECOVERY_FRAMES = 12
"""Length of the seam into generated motion: 0.4 s. Ours."""

REST_FRAMES = 24
"""Length of the seam into idle: 0.8 s. Ours."""


class _Mode(Enum):
    IDLE = 0
    GENERATED = 1
    HELD = 2


class FrameChooser:
    """Chooses one ``PoseFrame`` for every index, in rising order.

    Args:
        buffer: Where generated frames arrive.
        position_m: Where the dancer stands at first [3], metres, on the floor.
        heading_rad: Where she faces at first; 0 is +Z.

    Threading: belongs to the pacer.
    """

    def __init__(
        self, buffer: FrameBuffer, position_m: tuple[float, float, float] = (0.0, 0.0, 0.0), heading_rad: float = 0.0
    ) -> None:
        self._buffer = buffer
        self._anchor_m: F32 = np.asarray(position_m, np.float32)
        self._heading_rad = heading_rad
        self._mode = _Mode.IDLE
        self._shown: PoseFrame | None = None
        self._shown_before: PoseFrame | None = None
        self._generated: PoseFrame | None = None  # the last one, without what a seam added
        self._held_from: tuple[PoseFrame, PoseFrame] | None = None
        self._seam = blend.Seam(RECOVERY_FRAMES)

    def choose(self, index: int) -> PoseFrame:
        """The pose of frame ``index`` (30 a second); after a jump in ``index`` it blends.

        Live: allocates; about 2 ms at most.
        """
        shown = self._shown
        has_jumped = shown is not None and index != shown.index + 1
        frame = self._buffer.take(index)
        if frame is None and shown is not None and self._mode is _Mode.GENERATED and not has_jumped:
            following = self._buffer.peek(index + 1)
            if following is not None and self._generated is not None:
                between = blend.interpolate(self._generated, following, 0.5)
                self._generated = replace(between, index=index, provenance=Provenance.BLENDED)
                return self._show(self._seam.apply(self._generated))
        if frame is not None:
            if shown is not None and (self._mode is not _Mode.GENERATED or has_jumped):
                self._start_seam(shown, frame, self._buffer.peek(index + 1), RECOVERY_FRAMES)
            self._mode = _Mode.GENERATED
            self._generated = frame
            return self._show(self._seam.apply(frame))
        if shown is None:
            return self._show(self._idle(index))
        return self._show(self._without_motion(index, shown, has_jumped))

    def _without_motion(self, index: int, shown: PoseFrame, has_jumped: bool) -> PoseFrame:
        if self._mode is _Mode.GENERATED:
            self._mode = _Mode.HELD
            self._held_from = (shown, self._shown_before or shown)
        if self._mode is _Mode.HELD and self._held_from is not None:
            last, previous = self._held_from
            if index - last.index <= HOLD_FRAMES:
                return blend.hold(last, previous, index - last.index)
        if self._mode is _Mode.HELD or has_jumped:
            if self._mode is _Mode.HELD:
                self._anchor_m = shown.root_m
                forward = rotations.rotate(shown.joint_wxyz[0], [0.0, 0.0, 1.0])
                self._heading_rad = math.atan2(float(forward[0]), float(forward[2]))
            self._mode = _Mode.IDLE
            self._start_seam(shown, self._idle(index), self._idle(index + 1), REST_FRAMES)
        return self._seam.apply(self._idle(index))

    def _start_seam(self, shown: PoseFrame, incoming: PoseFrame, after: PoseFrame | None, frames: int) -> None:
        self._seam = blend.Seam(frames)
        self._seam.start(shown, incoming, shown_before=self._shown_before, incoming_after=after)

    def _idle(self, index: int) -> PoseFrame:
        root_m, joint_wxyz, face = idle.idle_pose(index, self._anchor_m, self._heading_rad)
        return PoseFrame(index, root_m, joint_wxyz, face, np.ones(4, np.float32), Provenance.IDLE, ALL_PARTS)

    def _show(self, frame: PoseFrame) -> PoseFrame:
        self._shown_before, self._shown = self._shown, frame
        return frame
