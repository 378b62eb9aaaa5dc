"""Sound in, posed frames out: the same stream of calls live and when rendering a file.

Every frame index is given out once, in order, without gaps, a few frames ahead of the sound. Silence gives the idle
dancer where she stands; music starts an epoch there. What lies between is a seam (``BLENDED``). Nothing here waits or
reads a clock (tick times are measured, not used), so equal samples and an equal seed give equal frames.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.backends.base import Backend
from soulstream_engine.bundle import Bundle
from soulstream_engine.clock import monotonic_ns
from soulstream_engine.errors import InvariantError
from soulstream_engine.features.extractor import FeatureExtractor
from soulstream_engine.frames import ALL_PARTS, F32, FeatureFrame, MotionChunk, PoseFrame, Provenance
from soulstream_engine.motion import rotations
from soulstream_engine.motion.blend import Seam
from soulstream_engine.motion.finish import PoseFinisher
from soulstream_engine.motion.idle import idle_pose
from soulstream_engine.motion.representation import FACE_START, RootState, decode_pose
from soulstream_engine.sampling.dancer import Dancer, PlanSource
from soulstream_engine.sampling.masked import SamplerSettings

from .network import Network, check_guidance, dancer_settings, sampler_settings, window_shape

SEAM_FRAMES = 15
"""Half a second between idling and dancing (ours)."""

_TIMES_KEPT = 4096


class DanceStream:
    """A dancer that listens.

    Args:
        bundle: Verified model.
        seed: Chooses the dance.
        sampler: Overrides the bundle's sampling.
        plan_source: Replaces the sampler (controls of an evaluation; see ``sampling.dancer``).
        backend: What runs the network; ``None`` is ONNX Runtime.
        commit_tokens: Tokens of a tick, fewer than the bundle wants to react sooner; ``None``: as it wants.

    Attributes:
        tick_ms: Milliseconds of the latest ticks, newest last.
        bad_chunks: Chunks that were not finite; the dancer idled instead and began anew.
    """

    def __init__(
        self,
        bundle: Bundle,
        seed: int = 0,
        *,
        sampler: SamplerSettings | None = None,
        plan_source: PlanSource | None = None,
        backend: Backend | None = None,
        commit_tokens: int | None = None,
    ) -> None:
        self.network = Network(bundle, backend)
        manifest = bundle.manifest
        settings = sampler or sampler_settings(manifest)
        check_guidance(manifest, settings)
        self._has_face = "face" in manifest.representation.parts
        self._settings = dancer_settings(manifest)
        self._dancer = Dancer(
            window_shape(manifest, commit_tokens),
            self.network.run,
            self.network.decoder_states(),
            self._settings,
            settings,
            seed,
            plan_source,
        )
        self._extractor = FeatureExtractor()
        self._finisher = PoseFinisher(seed)
        self._seam = Seam(SEAM_FRAMES)
        self._root = RootState()
        self._idle_anchor: NDArray[np.float64] = np.zeros(3)
        self._idle_heading = 0.0
        self._shown: deque[PoseFrame] = deque(maxlen=2)
        self._next_index = 0
        self._latest: FeatureFrame | None = None
        self._changed_source = False
        self.chunks: list[MotionChunk] | None = None
        self.tick_ms: deque[float] = deque(maxlen=_TIMES_KEPT)
        self.bad_chunks = 0

    @property
    def latest_feature(self) -> FeatureFrame | None:
        """The newest feature frame."""
        return self._latest

    def keep_chunks(self) -> None:
        """Keep every motion chunk in ``chunks`` from now on (tests and evaluation; grows without bound)."""
        self.chunks = []

    def tap(self, time_s: float) -> None:
        """A beat was tapped at this time of the stream, seconds."""
        self._extractor.tap(time_s)

    def double(self) -> None:
        """The tempo is twice what the clock believes."""
        self._extractor.double()

    def halve(self) -> None:
        """The tempo is half of what the clock believes."""
        self._extractor.halve()

    def nudge(self, turns: float) -> None:
        """Move the beat by a fraction of a beat."""
        self._extractor.nudge(turns)

    def push(self, samples: F32) -> list[PoseFrame]:
        """Hear samples.

        Args:
            samples: [N] float32 mono at 48 kHz, continuing where the last call ended.

        Returns:
            New frames in order of their index; frame n belongs to the sound at n / 30 s and is given out before that
            sound has been heard.

        Raises:
            BackendError: If the network fails.
        """
        frames: list[PoseFrame] = []
        for feature in self.features(samples):
            frames += self.hear(feature)
        return frames

    def features(self, samples: F32) -> list[FeatureFrame]:
        """The first half of ``push``: what is heard, for ``hear``; may run ahead on a thread of its own."""
        return self._extractor.push(samples)

    def hear(self, feature: FeatureFrame) -> list[PoseFrame]:
        """The second half of ``push``: dance to the next feature frame."""
        self._latest = feature
        if feature.is_silent:
            if self._dancer.is_dancing:
                self._stop_dancing()
            self._dancer.listen(feature)
            return self._idle_until(feature.index + self._idle_lead)
        frames: list[PoseFrame] = []
        if not self._dancer.is_dancing:
            self._dancer.listen(feature)
            frames += self._idle_until(self._dancer.start() - 1)
            self._start_dancing()
            return frames
        started_ns = monotonic_ns()
        chunk = self._dancer.push(feature)
        if chunk is None:
            return frames
        frames += self._perform(chunk)
        self.tick_ms.append((monotonic_ns() - started_ns) / 1e6)
        return frames

    @property
    def _idle_lead(self) -> int:
        """Frames that idling runs ahead of the sound: as far as dancing is sure to be ahead."""
        return self._settings.lead_frames - self._settings.look_ahead_frames

    def _idle_until(self, last_index: int) -> list[PoseFrame]:
        frames = []
        while self._next_index <= last_index:
            root, joints, face = idle_pose(self._next_index, self._idle_anchor, self._idle_heading)
            contacts = np.ones(4, np.float32)
            idle = PoseFrame(self._next_index, root, joints, face, contacts, Provenance.IDLE, ALL_PARTS)
            frames.append(self._show(idle))
        return frames

    def _start_dancing(self) -> None:
        """Dance from where she stands: the epoch's root starts at the pose shown last."""
        anchor = self._shown[-1] if self._shown else None
        self._finisher.reset(anchor)
        if anchor is None:
            self._root = RootState()
        else:
            angle = -0.5 * _heading_of(anchor.joint_wxyz[0])
            self._root = RootState(angle, float(anchor.root_m[0]), float(anchor.root_m[2]))
        self._changed_source = True

    def _stop_dancing(self) -> None:
        self._dancer.stop()
        shown = self._shown[-1]
        self._idle_anchor = np.array([shown.root_m[0], 0.0, shown.root_m[2]])
        self._idle_heading = _heading_of(shown.joint_wxyz[0])
        self._changed_source = True

    def _perform(self, chunk: MotionChunk) -> list[PoseFrame]:
        """Decode, finish and show a chunk; a chunk that is not finite ends the epoch."""
        if self.chunks is not None:
            self.chunks.append(chunk)
        try:
            if not np.isfinite(chunk.motion).all():
                raise InvariantError("MOTION_NOT_FINITE", f"Chunk at frame {chunk.start_index} is not finite.")
            root, joints, contacts, self._root = decode_pose(chunk.motion, self._root)
            face = chunk.motion[:, FACE_START:] if self._has_face else None
            posed = self._finisher.finish(root, joints, contacts, chunk.start_index, face)
        except InvariantError:
            self.bad_chunks += 1
            self._stop_dancing()
            return self._idle_until(chunk.start_index + len(chunk.motion) - 1)
        after = posed[1] if len(posed) > 1 else None
        return [self._show(frame, after if n == 0 else None) for n, frame in enumerate(posed)]

    def _show(self, frame: PoseFrame, after: PoseFrame | None = None) -> PoseFrame:
        """Smooth a change of source; remember what is shown."""
        if frame.index != self._next_index:
            raise InvariantError("FRAME_ORDER", f"Frame {frame.index} came, {self._next_index} was due.")
        if self._changed_source and self._shown:
            before = self._shown[-2] if len(self._shown) > 1 else None
            self._seam.start(self._shown[-1], frame, shown_before=before, incoming_after=after)
        self._changed_source = False
        shown = self._seam.apply(frame)
        self._shown.append(shown)
        self._next_index += 1
        return shown


def _heading_of(pelvis_wxyz: NDArray[np.float32]) -> float:
    """Direction the pelvis faces, radians about +Y."""
    forward = rotations.rotate(pelvis_wxyz, np.array([0.0, 0.0, 1.0], np.float32))
    return float(np.arctan2(forward[0], forward[2]))
