"""Where the time of a tick goes: the real worker, chooser and sender, one after the other, without any waiting.

Sound goes in as fast as it is danced to; a frame is chosen and sent as soon as its sound has been heard. So the work is
that of a live run, and nothing of it is waiting. A record is closed at every tick and holds all the work since the last
one: that for one tick's worth of music.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from soulstream_engine.audio.protocol import BLOCK_SAMPLES, start_now
from soulstream_engine.backends.base import Backend
from soulstream_engine.bench.timing import TimedBackend
from soulstream_engine.bundle import Bundle
from soulstream_engine.clock import FPS, SAMPLE_RATE, frame_due_ns, frame_to_seconds, monotonic_ns
from soulstream_engine.errors import InvariantError
from soulstream_engine.frames import F32, AudioBlock, FeatureFrame, PoseFrame
from soulstream_engine.runtime.dance import DanceStream
from soulstream_engine.runtime.events import EventLog
from soulstream_engine.runtime.frame_buffer import FrameBuffer
from soulstream_engine.runtime.frame_chooser import FrameChooser
from soulstream_engine.runtime.frame_pacer import PoseSink
from soulstream_engine.runtime.media_map import MediaMap
from soulstream_engine.runtime.workers import InferenceWorker

NETWORK = ("music", "mask", "residual", "commit", "decoder")
"""Stages that are the network's."""

COMPUTE = ("features", *NETWORK, "sampler", "finish")
"""Stages that together are a tick's compute: what happens between a block of sound and the frames made of it."""

STAGES = ("audio", *COMPUTE, "pace", "send")
"""All stages, in the order in which a frame passes them."""

WARM_UP_S = 8.0
"""Music danced before anything counts, seconds: until the beat clock has locked and the context is full."""


@dataclass(slots=True)
class TickTimes:
    """Milliseconds of every stage for one tick's worth of music.

    ``features`` listening; ``sampler`` what of a tick is neither network nor finishing; ``finish`` from
    decoded codes to frames; ``audio`` placing blocks in time, checking and buffering frames; ``pace`` choosing the
    poses; ``send`` writing and sending the packets.
    """

    ms: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    @property
    def compute_ms(self) -> float:
        """The tick: sum of ``COMPUTE``."""
        return sum(self.ms[name] for name in COMPUTE)

    @property
    def network_ms(self) -> float:
        """Sum of ``NETWORK``."""
        return sum(self.ms[name] for name in NETWORK)


def tick_budget_ms(bundle: Bundle) -> float:
    """Length of the music that one tick makes motion for, milliseconds."""
    manifest = bundle.manifest
    return 1000.0 * manifest.sampler.commit_tokens * manifest.tokenizer.frames_per_token / FPS


def measure_ticks(
    bundle: Bundle,
    backend: Backend,
    samples: F32,
    sink: PoseSink,
    *,
    num_ticks: int,
    seed: int = 0,
    warm_up_s: float = WARM_UP_S,
    limit_s: float | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> list[TickTimes]:
    """Dances to a loop and says where the time went.

    Args:
        bundle: Verified model.
        backend: What runs it.
        samples: [N] float32 mono at 48 kHz, played again and again.
        sink: Where frames are sent.
        num_ticks: Ticks to measure.
        seed: Of the dance.
        warm_up_s: Music danced before, seconds.
        limit_s: Stop measuring after this many seconds, with at least one tick.
        progress: Told the share done, 0..1.

    Raises:
        InvariantError: If the worker lost or refused something, which cannot happen without waiting.
    """
    timed = TimedBackend(backend)
    stream = _TimedStream(DanceStream(bundle, seed=seed, backend=timed), timed)
    warm_up = round(warm_up_s * 1000.0 / tick_budget_ms(bundle))
    buffer = FrameBuffer()
    source = _LockstepSource(samples, stream, FrameChooser(buffer), sink, warm_up + num_ticks, progress)
    source.measure_from, source.limit_s = warm_up, limit_s
    events = EventLog()
    worker = InferenceWorker(source, lambda: stream, buffer, lambda: MediaMap(0), events, now_ns=source.now_ns)
    worker.run()
    if worker.counts.skipped_blocks or worker.counts.restarts or worker.counts.bad_chunks or worker.failure:
        raise InvariantError(
            "BENCH_LOST",
            f"Something was lost without waiting: {worker.counts}, {[event.message for event in events.recent]}.",
            "Please report this.",
        )
    return stream.ticks[warm_up:]


class _TimedStream:
    """A dance stream that notes what its pushes took."""

    def __init__(self, stream: DanceStream, backend: TimedBackend) -> None:
        self._stream = stream
        self._backend = backend
        self.ticks: list[TickTimes] = []
        self.now = TickTimes()
        self.begin_ns = self.end_ns = 0

    @property
    def latest_feature(self) -> FeatureFrame | None:
        return self._stream.latest_feature

    @property
    def bad_chunks(self) -> int:
        return self._stream.bad_chunks

    def push(self, samples: F32) -> list[PoseFrame]:
        self.begin_ns = monotonic_ns()
        frames = self._stream.push(samples)
        self.end_ns = monotonic_ns()
        calls, ms = self._backend.take(), self.now.ms
        pushed_ms = (self.end_ns - self.begin_ns) / 1e6
        if not calls:
            ms["features"] += pushed_ms
            return frames
        tick_ms = self._stream.tick_ms[-1]
        for call in calls:
            ms[call.stage] += (call.end_ns - call.begin_ns) / 1e6
        finish_ms = (self.end_ns - calls[-1].end_ns) / 1e6
        ms["finish"] += finish_ms
        ms["features"] += max(0.0, pushed_ms - tick_ms)
        ms["sampler"] += max(0.0, tick_ms - finish_ms - sum(call.end_ns - call.begin_ns for call in calls) / 1e6)
        self.ticks.append(self.now)
        self.now = TickTimes()
        return frames


class _LockstepSource:
    """Sound without waiting; between two blocks it plays the part of the pacer."""

    description = "benchmark"
    state = "listening"
    reason = ""
    is_aligned = True
    xruns = 0
    reconnects = 0

    def __init__(
        self,
        samples: F32,
        stream: _TimedStream,
        chooser: FrameChooser,
        sink: PoseSink,
        num_ticks: int,
        progress: Callable[[float], None],
    ) -> None:
        self._samples = samples
        self._stream = stream
        self._chooser = chooser
        self._sink = sink
        self._num_ticks = num_ticks
        self._progress = progress
        self._next_frame = 0
        self._position_ns = 0
        self.measure_from = 0
        self.limit_s: float | None = None

    def now_ns(self) -> int:
        """Time as the worker is to see it: what was played so far."""
        return self._position_ns

    def close(self) -> None:
        """Nothing to end."""

    def blocks(self, align: Callable[[int], int] = start_now) -> Iterator[AudioBlock]:
        """Blocks until all ticks ran (``AudioSource.blocks``)."""
        start_ns = self._position_ns = align(0)
        position, done = 0, 0
        measured_since_ns: int | None = None
        while done < self._num_ticks:
            taken = np.take(self._samples, np.arange(position, position + BLOCK_SAMPLES), mode="wrap")
            captured_ns = self._position_ns
            self._position_ns = start_ns + (position + BLOCK_SAMPLES) * 1_000_000_000 // SAMPLE_RATE
            record = self._stream.now
            given_ns = monotonic_ns()
            yield AudioBlock(taken, position, captured_ns)
            back_ns = monotonic_ns()
            around_ns = (self._stream.begin_ns - given_ns) + (back_ns - self._stream.end_ns)
            record.ms["audio"] += max(0, around_ns) / 1e6
            position += BLOCK_SAMPLES
            while frame_due_ns(self._next_frame, 0) <= self._position_ns:
                self._show(self._next_frame)
            if len(self._stream.ticks) > done:
                done = len(self._stream.ticks)
                self._progress(done / self._num_ticks)
            if done > self.measure_from:
                measured_since_ns = measured_since_ns or back_ns
                if self.limit_s is not None and back_ns - measured_since_ns > self.limit_s * 1e9:
                    return

    def _show(self, number: int) -> None:
        """Frame ``number`` as the pacer would choose and send it."""
        begin_ns = monotonic_ns()
        frame = self._chooser.choose(number)
        chosen_ns = monotonic_ns()
        self._sink.send(frame, frame_to_seconds(number))
        ms = self._stream.now.ms
        ms["pace"] += (chosen_ns - begin_ns) / 1e6
        ms["send"] += (monotonic_ns() - chosen_ns) / 1e6
        self._next_frame = number + 1
