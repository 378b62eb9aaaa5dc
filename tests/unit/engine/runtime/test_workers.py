"""The inference worker: places frames, survives broken and slow streams, never lets a bad pose through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from soulstream_engine.errors import AudioError, BackendError, BundleError
from soulstream_engine.frames import AudioBlock, PoseFrame, Provenance
from soulstream_engine.runtime.events import EventLog
from soulstream_engine.runtime.frame_buffer import FrameBuffer
from soulstream_engine.runtime.media_map import MediaMap
from soulstream_engine.runtime.workers import InferenceWorker, MotionStream

SECOND = 1_000_000_000


def pose(index: int) -> PoseFrame:
    joint_wxyz = np.zeros((52, 4), np.float32)
    joint_wxyz[:, 0] = 1.0
    zeros = np.zeros(52, np.float32)
    return PoseFrame(index, zeros[:3], joint_wxyz, zeros, zeros[:4], Provenance.GENERATED)


@dataclass
class Source:
    """Plays ``num_blocks`` blocks on the test's own time; ``gap_after`` maps a block to seconds that are missing."""

    num_blocks: int
    start_ns: int = 0
    gap_after: dict[int, float] = field(default_factory=dict)
    fails_at: int | None = None
    now_ns: int = 0
    description: str = "test"
    state: str = "listening"
    reason: str = ""
    is_aligned: bool = False
    xruns: int = 0
    reconnects: int = 0

    def blocks(self, align: Callable[[int], int] = lambda now_ns: now_ns) -> Iterator[AudioBlock]:
        time_ns = self.start_ns
        for number in range(self.num_blocks):
            if number == self.fails_at:
                raise AudioError("AUDIO_FILE_DAMAGED", "The file is damaged.", "Convert it.")
            self.now_ns = max(self.now_ns, time_ns + 10_000_000)
            yield AudioBlock(np.full(480, number, np.float32), number * 480, time_ns)
            time_ns += 10_000_000 + int(self.gap_after.get(number, 0.0) * SECOND)

    def close(self) -> None:
        pass


class Stream:
    """Gives frame n as soon as its sound has begun; keeps what it heard."""

    def __init__(self) -> None:
        self.heard: list[np.ndarray] = []
        self.num_samples = 0
        self.made = 0
        self.taps: list[float] = []

    def push(self, samples: np.ndarray) -> list[PoseFrame]:
        self.heard.append(samples)
        self.num_samples += len(samples)
        frames = [pose(n) for n in range(self.made, self.num_samples // 1600 + 1)]
        self.made += len(frames)
        return frames

    def tap(self, time_s: float) -> None:
        self.taps.append(time_s)

    def double(self) -> None: ...
    def halve(self) -> None: ...
    def nudge(self, turns: float) -> None: ...


def work(
    source: Source, make_stream: Callable[[], MotionStream], epoch_ns: int = 0
) -> tuple[InferenceWorker, FrameBuffer, EventLog]:
    buffer, events = FrameBuffer(capacity=100_000), EventLog()
    worker = InferenceWorker(
        source, make_stream, buffer, lambda: MediaMap(epoch_ns), events, now_ns=lambda: source.now_ns
    )
    worker.run()
    return worker, buffer, events


def indices(buffer: FrameBuffer) -> list[int]:
    return [n for n in range(buffer.newest_index + 1) if buffer.peek(n) is not None]


def test_frames_land_where_their_sound_was_captured() -> None:
    stream = Stream()
    worker, buffer, _ = work(Source(100, start_ns=2 * SECOND), lambda: stream)
    assert indices(buffer) == list(range(60, 91))
    assert worker.has_ended
    assert worker.failure is None


def test_an_unaligned_device_is_cut_to_a_frame_boundary() -> None:
    stream = Stream()
    _, buffer, _ = work(Source(100, start_ns=2 * SECOND + 15_000_000), lambda: stream)
    assert indices(buffer)[0] == 61
    assert np.concatenate(stream.heard)[0] == 1.0  # the first block and a part of the second were cut off
    assert 48000 - stream.num_samples == pytest.approx((1 / 30 - 0.015) * 48000, abs=1.5)


def test_lost_audio_moves_the_frames_that_follow() -> None:
    _, buffer, _ = work(Source(200, gap_after={99: 1.0}), Stream)
    assert indices(buffer)[-1] == 30 + 30 + 30
    assert not set(range(40, 58)) & set(indices(buffer))


def test_when_inference_is_behind_old_sound_is_dropped_and_counted() -> None:
    source = Source(300)

    class Slow(Stream):
        def push(self, samples: np.ndarray) -> list[PoseFrame]:
            if len(self.heard) == 50:
                source.now_ns += 2 * SECOND
            return super().push(samples)

    worker, buffer, events = work(source, Slow)
    assert worker.counts.skipped_blocks == pytest.approx(200, abs=10)
    assert [event.code for event in events.recent] == ["INFERENCE_BEHIND"]
    assert buffer.newest_index == 90  # in step with the clock again


def test_poses_that_are_not_poses_are_dropped() -> None:
    class Broken(Stream):
        def push(self, samples: np.ndarray) -> list[PoseFrame]:
            frames = super().push(samples)
            for position, frame in enumerate(frames):
                if frame.index == 5:
                    frames[position] = replace(frame, root_m=np.float32([0, np.nan, 0]))
                if frame.index == 6:
                    frames[position] = replace(frame, joint_wxyz=frame.joint_wxyz * np.float32(1.1))
            return frames

    worker, buffer, events = work(Source(100), Broken)
    assert set(range(31)) - set(indices(buffer)) == {5, 6}
    assert worker.counts.invalid_frames == 2
    assert [event.code for event in events.recent] == ["MOTION_INVALID"]


def test_motion_that_the_stream_refused_is_counted_over_restarts_and_said_once() -> None:
    class Refuses(Stream):
        bad_chunks = 0

        def push(self, samples: np.ndarray) -> list[PoseFrame]:
            if len(self.heard) == 40:
                raise BackendError("BACKEND_OUT_OF_MEMORY", "Out of memory.", "Close something.")
            self.bad_chunks += len(self.heard) in (10, 20)
            return super().push(samples)

    worker, _, events = work(Source(70), Refuses)
    assert worker.counts.restarts == 1
    assert worker.counts.bad_chunks == 4
    assert [event.code for event in events.recent] == ["MOTION_INVALID", "BACKEND_OUT_OF_MEMORY"]


def test_a_stream_that_fails_is_built_again_a_few_times() -> None:
    built: list[Stream] = []

    class Fails(Stream):
        def push(self, samples: np.ndarray) -> list[PoseFrame]:
            if len(self.heard) == 40:
                raise BackendError("BACKEND_OUT_OF_MEMORY", "Out of memory.", "Close something.")
            return super().push(samples)

    def make() -> Stream:
        built.append(Fails())
        return built[-1]

    worker, buffer, events = work(Source(600), make)
    assert len(built) == 4
    assert worker.counts.restarts == 3
    assert worker.failure is not None
    assert worker.state[0] == "failed"
    assert [event.code for event in events.recent] == ["BACKEND_OUT_OF_MEMORY"] * 4
    assert "Traceback" in events.recent[0].detail
    assert buffer.epoch == 4
    assert buffer.counts.late == 0


def test_a_bundle_that_cannot_be_loaded_is_kept_for_the_session() -> None:
    def make() -> MotionStream:
        raise BundleError("BUNDLE_HASH", "step.onnx has the wrong hash.", "Install again.")

    worker, _, _ = work(Source(10), make)
    assert not worker.ready.is_set()
    assert worker.failure is not None
    assert worker.failure.code == "BUNDLE_HASH"


def test_a_file_that_is_damaged_in_the_middle_is_an_event() -> None:
    worker, _, events = work(Source(50, fails_at=30), Stream)
    assert [event.code for event in events.recent] == ["AUDIO_FILE_DAMAGED"]
    assert worker.has_ended
    assert worker.failure is not None


def test_a_tap_reaches_the_stream_in_its_own_time() -> None:
    stream, source = Stream(), Source(100, start_ns=SECOND)
    worker = InferenceWorker(
        source, lambda: stream, FrameBuffer(), lambda: MediaMap(0), EventLog(), now_ns=lambda: source.now_ns
    )
    worker.control(lambda controls, time_s: controls.tap(time_s), 3 * SECOND // 2)
    worker.run()
    assert stream.taps == [pytest.approx(0.5)]
