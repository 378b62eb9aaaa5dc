"""The inference worker: sound in, motion frames out, on its own thread, late or broken without harm.

It builds the dance stream itself, so that the pacer is already showing the idle dancer meanwhile. It reads blocks,
places them on the clock (``media_map``), pushes them through the stream and puts valid frames into the buffer. When it
falls behind, it drops sound up to the newest and counts. A typed error becomes an event and the stream is built anew.
"""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from soulstream_engine.audio.protocol import AudioSource
from soulstream_engine.clock import SAMPLE_RATE, monotonic_ns
from soulstream_engine.errors import AudioError, SoulstreamError
from soulstream_engine.frames import F32, AudioBlock, FeatureFrame, PoseFrame
from soulstream_engine.runtime.events import EventLog
from soulstream_engine.runtime.frame_buffer import FrameBuffer
from soulstream_engine.runtime.media_map import MediaMap

MAX_LAG_NS = 1_000_000_000
"""Sound older than this is dropped, until only ``_CAUGHT_UP_NS`` are missing. Ours."""

_CAUGHT_UP_NS = 60_000_000
_START_AFTER_NS = 30_000_000
"""Paced sources start this long after the stream is ready, so that the first block is on time. Ours."""

_MAX_RESTARTS = 3
"""Times a failing stream is built again in one run before the dancer stays idle. Ours."""

_UNIT_TOLERANCE = 1e-3


class MotionStream(Protocol):
    """Sound to motion; what the worker drives."""

    def push(self, samples: F32) -> list[PoseFrame]:
        """Takes the next samples [N] float32 mono 48 kHz of the stream.

        Returns:
            New frames, ``index`` rising from 0; frame n belongs to the sound at n / 30 s.

        Raises:
            SoulstreamError: the stream is broken and must be built again.
        """


@runtime_checkable
class BeatControls(Protocol):
    """Streams whose beat clock can be corrected by hand."""

    def tap(self, time_s: float) -> None:
        """A beat was tapped at this time of the stream, seconds."""

    def double(self) -> None:
        """The tempo is twice what the clock believes."""

    def halve(self) -> None:
        """The tempo is half of what the clock believes."""

    def nudge(self, turns: float) -> None:
        """Moves the beat by a fraction of a beat."""


@runtime_checkable
class ReportsFeatures(Protocol):
    """Streams that can tell what they hear."""

    @property
    def latest_feature(self) -> FeatureFrame | None:
        """The newest feature frame."""


@runtime_checkable
class CountsBadChunks(Protocol):
    """Streams that idle and begin anew when the model gives motion that cannot be shown."""

    bad_chunks: int
    """How often that was so."""


class NamesBackend(Protocol):
    """A network that knows what computes it (``runtime.network``)."""

    @property
    def backend_name(self) -> str:
        """Name of the backend that computes now."""


@runtime_checkable
class HasNetwork(Protocol):
    """Streams that dance with a network."""

    @property
    def network(self) -> NamesBackend:
        """What computes the dance."""


@dataclass(slots=True)
class WorkerCounts:
    """What the worker dropped or repaired.

    ``skipped_blocks`` of sound, because inference was behind; ``invalid_frames`` of the stream; ``bad_chunks`` that the
    stream itself refused; ``restarts`` of the stream.
    """

    blocks: int = 0
    skipped_blocks: int = 0
    invalid_frames: int = 0
    bad_chunks: int = 0
    restarts: int = 0


class InferenceWorker:
    """Body and state of the inference thread.

    Args:
        source: Where sound comes from; closed by whoever opened it.
        make_stream: Builds the dance stream, ready to run (warmed up).
        buffer: Where frames go.
        make_map: Makes the map that joins sound and frames; a new one for every stream.
        events: Takes note of everything that goes wrong.
        now_ns: Monotonic clock.

    Threading: ``run`` is the thread's body; ``stop`` and ``control`` may be called anywhere; attributes may be read.
    """

    def __init__(
        self,
        source: AudioSource,
        make_stream: Callable[[], MotionStream],
        buffer: FrameBuffer,
        make_map: Callable[[], MediaMap],
        events: EventLog,
        *,
        now_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._source = source
        self._make_stream = make_stream
        self._buffer = buffer
        self._make_map = make_map
        self._map = make_map()
        self._events = events
        self._now_ns = now_ns
        self._commands: deque[tuple[Callable[[BeatControls, float], None], int]] = deque(maxlen=32)
        self._stopped = threading.Event()
        self._is_behind = False
        self._bad_before = 0  # bad chunks of streams that are no more
        self.ready = threading.Event()
        """Set when the first stream was built."""
        self.counts = WorkerCounts()
        self.failure: SoulstreamError | None = None
        """Why there is no motion any more, if there is none."""
        self.has_ended = False
        """Whether the source came to its end, by itself or by an error."""
        self.feature: FeatureFrame | None = None
        """What was heard last."""
        self.backend: str | None = None
        """Name of the backend that computed last; ``None``: no stream was built, or it does not tell."""

    @property
    def state(self) -> tuple[str, str]:
        """A word and a reason, for people: ``starting``, ``failed``, ``behind`` or the state of the source."""
        if self.failure is not None:
            return "failed", str(self.failure)
        if not self.ready.is_set():
            return "starting", "loading the model"
        if self._is_behind:
            return "behind", "inference is slower than the music; old sound is dropped"
        return self._source.state, self._source.reason

    def stop(self) -> None:
        """Ends ``run`` at the next block."""
        self._stopped.set()

    def control(self, command: Callable[[BeatControls, float], None], at_ns: int) -> None:
        """Asks for a command to be run on the worker's thread before the next block.

        Args:
            command: Gets the stream and the position in it, seconds, that sounded at ``at_ns``.
            at_ns: Monotonic time at which the operator acted.
        """
        self._commands.append((command, at_ns))

    def run(self) -> None:
        """Works until the source ends or ``stop`` is called."""
        stream = self._build()
        if stream is None:
            return
        self.ready.set()
        try:
            for block in self._source.blocks(self._align):
                if self._stopped.is_set():
                    return
                if stream is not None and not self._is_too_old(block):
                    stream = self._push(stream, block)
        except AudioError as error:
            self.failure = error
            self._events.add(error.code, str(error))
        self.has_ended = not self._stopped.is_set()

    def _align(self, now_ns: int) -> int:
        return self._map.align(now_ns + _START_AFTER_NS)

    def _build(self) -> MotionStream | None:
        try:
            stream = self._make_stream()
        except SoulstreamError as error:
            self.failure = error
            self._events.add(error.code, str(error))
            return None
        self._note_backend(stream)
        return stream

    def _is_too_old(self, block: AudioBlock) -> bool:
        end_ns = block.captured_ns + len(block.samples) * 1_000_000_000 // SAMPLE_RATE
        limit_ns = _CAUGHT_UP_NS if self._is_behind else MAX_LAG_NS
        is_behind = self._now_ns() - end_ns > limit_ns
        if is_behind and not self._is_behind:
            self._events.add("INFERENCE_BEHIND", "Inference is slower than the music; old sound is dropped.")
        self._is_behind = is_behind
        self.counts.skipped_blocks += is_behind
        return is_behind

    def _push(self, stream: MotionStream, block: AudioBlock) -> MotionStream | None:
        """Pushes one block; returns the stream to go on with, ``None`` when there is none any more."""
        cut = self._map.place(block.captured_ns, len(block.samples))
        if cut == len(block.samples):
            return stream
        self._run_commands(stream)
        try:
            frames = stream.push(block.samples[cut:])
        except SoulstreamError as error:
            self._events.add(error.code, str(error), traceback.format_exc())
            return self._rebuild(error)
        self.counts.blocks += 1
        self._note_backend(stream)
        if isinstance(stream, ReportsFeatures):
            self.feature = stream.latest_feature
        if isinstance(stream, CountsBadChunks):
            self._note_invalid(self.counts.invalid_frames, self._bad_before + stream.bad_chunks)
        if frames:
            valid = [replace(frame, index=frame.index + self._map.offset_frames) for frame in frames if is_valid(frame)]
            self._note_invalid(self.counts.invalid_frames + len(frames) - len(valid), self.counts.bad_chunks)
            self._buffer.put(valid, self._buffer.epoch)
        return stream

    def _note_backend(self, stream: MotionStream) -> None:
        """Takes note of who computes now: a backend may be changed, or fall back, in any push."""
        if isinstance(stream, HasNetwork):
            self.backend = stream.network.backend_name

    def _note_invalid(self, invalid_frames: int, bad_chunks: int) -> None:
        """Counts motion that cannot be shown; says so the first time."""
        if not (self.counts.invalid_frames or self.counts.bad_chunks) and (invalid_frames or bad_chunks):
            self._events.add("MOTION_INVALID", "The model gave motion that is not finite; the dancer idles meanwhile.")
        self.counts.invalid_frames, self.counts.bad_chunks = invalid_frames, bad_chunks

    def _rebuild(self, error: SoulstreamError) -> MotionStream | None:
        self._buffer.reset()
        if self.counts.restarts >= _MAX_RESTARTS:
            self.failure = error
            return None
        self.counts.restarts += 1
        self._bad_before = self.counts.bad_chunks
        stream = self._build()
        self._map = self._make_map()
        return stream

    def _run_commands(self, stream: MotionStream) -> None:
        while self._commands:
            command, at_ns = self._commands.popleft()
            if isinstance(stream, BeatControls):
                command(stream, self._map.stream_seconds(at_ns))


def is_valid(frame: PoseFrame) -> bool:
    """Whether a pose may be shown: all numbers finite, all rotations of unit length."""
    lengths = np.einsum("jk,jk->j", frame.joint_wxyz, frame.joint_wxyz)
    return bool(
        np.isfinite(frame.root_m).all()
        and np.isfinite(frame.face).all()
        and np.isfinite(frame.contacts).all()
        and (np.abs(lengths - 1.0) < _UNIT_TOLERANCE).all()
    )
