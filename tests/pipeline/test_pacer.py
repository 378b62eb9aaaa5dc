"""The pacer on a clock of the test's own: exact deadlines, no burst, no gap, whatever happens to the motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pytest

from soulstream_engine.clock import frame_due_ns
from soulstream_engine.errors import SinkError
from soulstream_engine.frames import PoseFrame, Provenance
from soulstream_engine.motion import idle, rotations
from soulstream_engine.runtime.events import EventLog
from soulstream_engine.runtime.frame_buffer import FrameBuffer
from soulstream_engine.runtime.frame_chooser import HOLD_FRAMES, FrameChooser
from soulstream_engine.runtime.frame_pacer import FramePacer

EPOCH_NS = 123_456_789_000
GENERATED, BLENDED, HELD, IDLE = Provenance.GENERATED, Provenance.BLENDED, Provenance.HELD, Provenance.IDLE


@dataclass
class ManualClock:
    """Jumps to every deadline; ``late_ns`` says how much too late it wakes, by wake-up time."""

    time_ns: int = EPOCH_NS - 20_000_000
    late_ns: Callable[[int], int] = lambda _due_ns: 0

    def now_ns(self) -> int:
        return self.time_ns

    def sleep_until(self, due_ns: int) -> None:
        if due_ns > self.time_ns:
            self.time_ns = due_ns + self.late_ns(due_ns)


@dataclass
class Recorder:
    """A sink that keeps everything; ``on_frame`` may act before a frame is kept."""

    clock: ManualClock
    on_frame: Callable[[int], None] = lambda _index: None
    frames: list[PoseFrame] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)
    media_s: list[float] = field(default_factory=list)

    def send(self, frame: PoseFrame, media_time_s: float) -> None:
        self.on_frame(frame.index)
        self.frames.append(frame)
        self.times_ns.append(self.clock.time_ns)
        self.media_s.append(media_time_s)

    @property
    def origins(self) -> list[Provenance]:
        return [frame.provenance for frame in self.frames]


@cache
def dance(index: int) -> PoseFrame:
    """A swaying dancer: smooth, moving, easy to tell from idle."""
    root_m, joint_wxyz, face = idle.idle_pose(0, [0.0, 0.0, 0.0], 0.0)
    t = index / 30
    turn = rotations.from_axis_angle([0.0, 0.0, 1.0], 0.8 * np.sin(2 * np.pi * t))
    joint_wxyz = joint_wxyz.copy()
    joint_wxyz[16:20] = rotations.multiply(joint_wxyz[16:20], turn)
    root_m = root_m + np.float32([0.3 * np.sin(np.pi * t), 0.0, 0.2 * t])
    return PoseFrame(index, root_m.astype(np.float32), joint_wxyz, face, np.ones(4, np.float32), GENERATED)


def run(
    num_frames: int,
    available: Callable[[int], bool] = lambda _: True,
    *,
    fps: int = 30,
    late_ns: Callable[[int], int] = lambda _: 0,
    extra_sinks: tuple[object, ...] = (),
) -> tuple[Recorder, FramePacer, EventLog]:
    """Runs the pacer; motion frame n is put into the buffer just in time where ``available(n)``."""
    clock = ManualClock(late_ns=late_ns)
    buffer, events = FrameBuffer(), EventLog()
    put = [0]

    def supply(index: int) -> None:
        while put[0] <= index * 30 // fps + 4:
            if available(put[0]):
                buffer.put([dance(put[0])], 0)
            put[0] += 1

    supply(0)
    recorder = Recorder(clock, supply)
    sinks = [*extra_sinks, recorder]
    pacer = FramePacer(
        FrameChooser(buffer),
        sinks,  # type: ignore[arg-type]
        events,
        epoch_ns=EPOCH_NS,
        fps=fps,
        num_frames=num_frames,
        clock=clock,
    )
    pacer.run()
    return recorder, pacer, events


def largest_step_rad(frames: list[PoseFrame]) -> float:
    """Largest rotation of any joint between two frames that follow each other."""
    pose = np.stack([frame.joint_wxyz for frame in frames]).astype(np.float64)
    cosine = np.abs(np.sum(pose[1:] * pose[:-1], axis=-1)).clip(0, 1)
    return float((2 * np.arccos(cosine)).max())


@pytest.mark.parametrize("fps", [30, 60])
def test_every_frame_leaves_exactly_when_due_even_after_an_hour(fps: int) -> None:
    recorder, pacer, _ = run(90 * fps // 30, fps=fps)
    due = [frame_due_ns(k, EPOCH_NS, fps) for k in range(90 * fps // 30)]
    assert recorder.times_ns == due
    assert [frame.index for frame in recorder.frames] == list(range(90 * fps // 30))
    assert recorder.media_s == pytest.approx(np.arange(90 * fps // 30) / fps)
    assert pacer.counts.lateness.max_ms == 0.0
    assert frame_due_ns(108_000, EPOCH_NS) - EPOCH_NS == 3_600_000_000_000


def test_an_hour_on_the_test_clock_loses_nothing_and_keeps_nothing() -> None:
    clock, buffer = ManualClock(late_ns=lambda due_ns: due_ns % 900_000), FrameBuffer()
    one_second = [dance(n) for n in range(30)]
    sent: list[int] = []

    class Counter:
        def send(self, frame: PoseFrame, media_time_s: float) -> None:
            sent.append(frame.index)
            if frame.index % 30 == 0:
                second = frame.index + 30
                buffer.put([replace(pose, index=second + n) for n, pose in enumerate(one_second)], 0)

    buffer.put(one_second, 0)
    pacer = FramePacer(
        FrameChooser(buffer), [Counter()], EventLog(), epoch_ns=EPOCH_NS, num_frames=108_000, clock=clock
    )
    pacer.run()
    assert sent == list(range(108_000))
    assert pacer.counts.by_provenance[GENERATED] == 108_000
    assert (clock.time_ns - EPOCH_NS) / 1e9 == pytest.approx(3600 - 1 / 30, abs=0.001)
    assert pacer.counts.lateness.max_ms is not None
    assert pacer.counts.lateness.max_ms < 0.9
    assert len(buffer) <= 60


def test_waking_late_does_not_add_up() -> None:
    recorder, pacer, _ = run(300, late_ns=lambda _: 700_000)
    late = np.array(recorder.times_ns) - [frame_due_ns(k, EPOCH_NS) for k in range(300)]
    assert late.max() <= 700_000
    assert pacer.counts.lateness.percentile(99.0) == pytest.approx(0.7, abs=0.011)


def test_with_motion_in_time_all_frames_are_generated_and_unchanged() -> None:
    recorder, pacer, _ = run(60)
    assert recorder.origins == [GENERATED] * 60
    assert np.array_equal(recorder.frames[42].joint_wxyz, dance(42).joint_wxyz)
    assert (pacer.counts.dropped, pacer.counts.duplicated) == (0, 0)


def test_without_motion_the_idle_dancer_shows_from_the_first_frame() -> None:
    recorder, _, _ = run(20, lambda _: False)
    assert recorder.origins == [IDLE] * 20


def test_one_missing_frame_is_bridged() -> None:
    recorder, _, _ = run(40, lambda n: n != 20)
    assert recorder.origins == [GENERATED] * 20 + [BLENDED] + [GENERATED] * 19
    assert largest_step_rad(recorder.frames) < 1.3 * largest_step_rad([dance(n) for n in range(40)])


def test_missing_motion_is_held_then_eases_to_idle_and_comes_back_without_a_jump() -> None:
    recorder, pacer, _ = run(200, lambda n: n < 40 or n >= 120)
    origins = recorder.origins
    assert origins[:40] == [GENERATED] * 40
    assert origins[40 : 40 + HOLD_FRAMES] == [HELD] * HOLD_FRAMES
    assert origins[40 + HOLD_FRAMES] is BLENDED
    assert origins[119] is IDLE
    assert origins[120] is BLENDED
    assert origins[150:] == [GENERATED] * 50
    assert set(origins[40 + HOLD_FRAMES : 120]) == {BLENDED, IDLE}
    # 20 degrees a frame is the most that a seam may add; the dance itself moves up to 10.
    assert largest_step_rad(recorder.frames) < np.radians(25.0)
    assert sum(pacer.counts.by_provenance.values()) == pacer.counts.sent == 200


def test_the_idle_dancer_stands_where_the_dance_left_her() -> None:
    recorder, _, _ = run(150, lambda n: n < 60)
    assert np.linalg.norm((recorder.frames[149].root_m - recorder.frames[64].root_m)[[0, 2]]) < 0.06


@pytest.mark.parametrize("fps", [60, 120])
def test_more_than_thirty_frames_a_second_are_interpolated(fps: int) -> None:
    times = fps // 30
    recorder, _, _ = run(60 * times, fps=fps)
    frames = recorder.frames
    assert recorder.origins == [GENERATED] * len(frames)
    assert np.array_equal(frames[20 * times].joint_wxyz, dance(20).joint_wxyz)
    for part in range(1, times):
        share, frame = part / times, frames[20 * times + part]
        between = rotations.slerp(dance(20).joint_wxyz, dance(21).joint_wxyz, share)
        assert np.allclose(frame.joint_wxyz, between, atol=1e-6)
        assert np.allclose(frame.root_m, (1 - share) * dance(20).root_m + share * dance(21).root_m, atol=1e-6)


@pytest.mark.parametrize("periods", [2, 6])
@pytest.mark.parametrize("fps", [30, 60, 120])
def test_a_short_stall_is_caught_up_without_a_burst_or_a_gap(fps: int, periods: int) -> None:
    stall_at = frame_due_ns(50, EPOCH_NS, fps)
    period_ns = 1_000_000_000 // fps
    recorder, pacer, _ = run(100, fps=fps, late_ns=lambda due: periods * period_ns if abs(due - stall_at) < 1000 else 0)
    assert [frame.index for frame in recorder.frames] == list(range(100))
    assert np.diff(recorder.times_ns).min() >= period_ns // 4
    assert recorder.times_ns[60] == frame_due_ns(60, EPOCH_NS, fps)
    assert pacer.counts.dropped == 0


def test_a_long_stall_is_skipped_counted_and_blended() -> None:
    stall_at = frame_due_ns(50, EPOCH_NS)
    recorder, pacer, events = run(500, late_ns=lambda due: 10_000_000_000 if abs(due - stall_at) < 1000 else 0)
    indices = [frame.index for frame in recorder.frames]
    assert indices[:51] == list(range(51))
    assert indices[51] == pytest.approx(350, abs=2)
    assert indices[51:] == list(range(indices[51], 500))
    assert pacer.counts.dropped == 500 - len(indices)
    assert np.diff(recorder.times_ns).min() >= 1_000_000_000 // 30 // 4
    assert recorder.origins[51] is BLENDED
    assert largest_step_rad(recorder.frames) < np.radians(25.0)
    assert [event.code for event in events.recent] == ["FRAMES_DROPPED"]


def test_a_failing_output_disturbs_nobody_and_is_reported_once() -> None:
    class Broken:
        def send(self, frame: PoseFrame, media_time_s: float) -> None:
            if 10 <= frame.index < 20:
                raise SinkError("SINK_UNREACHABLE", "No route to the host.")
            if 20 <= frame.index < 30:
                raise OSError(90, "Message too long")

    recorder, pacer, events = run(60, extra_sinks=(Broken(),))
    assert len(recorder.frames) == 60
    assert pacer.counts.sink_errors == 20
    assert [event.code for event in events.recent] == ["SINK_FAILING", "SINK_RECOVERED"]


def test_every_pose_is_valid_under_random_losses() -> None:
    rng = np.random.default_rng(3)
    there = rng.random(2000) > 0.5
    there[500:800] = False
    there[1200:1400] = True
    recorder, pacer, _ = run(1400, lambda n: bool(there[n]), late_ns=lambda _: int(rng.integers(0, 3_000_000)))
    pose = np.stack([frame.joint_wxyz for frame in recorder.frames])
    assert np.isfinite(pose).all()
    assert np.abs(np.linalg.norm(pose, axis=-1) - 1.0).max() < 1e-4
    assert np.isfinite([frame.root_m for frame in recorder.frames]).all()
    assert largest_step_rad(recorder.frames) < np.radians(35.0)
    assert (pacer.counts.dropped, pacer.counts.duplicated) == (0, 0)
