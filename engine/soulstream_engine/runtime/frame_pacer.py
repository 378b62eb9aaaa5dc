"""Sends one frame for every index at its time, whatever anybody else does.

Output frame k is due at ``epoch + k / fps``: absolute deadlines, so nothing drifts. The pose is chosen shortly before
and sent at the deadline. After a stall the pacer sends the frames it owes one by one, never closer than a quarter of a
period; when more than a few are owed it skips them, counts them as dropped, and blends. It never waits for motion.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from soulstream_engine.clock import FPS, frame_due_ns, frame_to_seconds, monotonic_ns
from soulstream_engine.errors import SinkError
from soulstream_engine.frames import PoseFrame, Provenance
from soulstream_engine.motion import blend
from soulstream_engine.runtime.events import EventLog
from soulstream_engine.runtime.frame_chooser import FrameChooser
from soulstream_engine.stats import DurationHistogram

OUTPUT_RATES = (30, 60, 120)
"""Frame rates that can be sent, frames a second."""

CHOOSE_AHEAD_NS = 5_000_000
"""How long before its deadline a pose is chosen. Ours: choosing takes up to 2 ms."""

JUMP_AFTER_FRAMES = 8
"""Motion frames (a quarter of a second) owed after which the pacer skips instead of catching up.

Ours: a skipped frame is a hole in every recording, and 8 frames are caught up within 0.1 s.
"""

_TICKS_PER_PERIOD = 4  # a catching-up pacer sends at most this many frames in one period


class PoseSink(Protocol):
    """Where frames go."""

    def send(self, frame: PoseFrame, media_time_s: float) -> None:
        """Sends one frame; must return within a few milliseconds and wait for nobody.

        Args:
            frame: ``index`` counts output frames.
            media_time_s: Time of the frame since the start, seconds.

        Raises:
            SinkError, OSError: counted by the pacer, which goes on.
        """


class Clock(Protocol):
    """Time for the pacer; tests bring their own."""

    def now_ns(self) -> int:
        """Monotonic time, nanoseconds."""

    def sleep_until(self, due_ns: int) -> None:
        """Returns at or after ``due_ns``."""


class MonotonicClock:
    """The real clock."""

    def now_ns(self) -> int:
        """Monotonic time, nanoseconds."""
        return monotonic_ns()

    def sleep_until(self, due_ns: int) -> None:
        """Sleeps; returns at once when ``due_ns`` has passed."""
        wait_ns = due_ns - monotonic_ns()
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)


@dataclass(slots=True)
class PacerCounts:
    """What was sent. Written by the pacer alone; others may read at any time."""

    sent: int = 0
    dropped: int = 0
    duplicated: int = 0
    sink_errors: int = 0
    by_provenance: dict[Provenance, int] = field(default_factory=lambda: dict.fromkeys(Provenance, 0))
    first_sent_ns: dict[Provenance, int] = field(default_factory=dict)
    lateness: DurationHistogram = field(default_factory=DurationHistogram)


class FramePacer:
    """The steady sender.

    Args:
        chooser: Gives the pose of every motion frame.
        sinks: Where every frame goes, in this order.
        events: Takes note when a sink begins or ceases to fail.
        epoch_ns: Monotonic time at which frame 0 is due.
        fps: Output frames a second, one of ``OUTPUT_RATES``; frames between two motion frames are interpolated.
        num_frames: Stop after this many indices; ``None`` runs until ``stop``.
        clock: Time.

    Raises:
        ValueError: ``fps`` is not an output rate.
    """

    def __init__(
        self,
        chooser: FrameChooser,
        sinks: Sequence[PoseSink],
        events: EventLog,
        *,
        epoch_ns: int,
        fps: int = FPS,
        num_frames: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        if fps not in OUTPUT_RATES:
            raise ValueError(f"{fps} frames a second cannot be sent; use one of {OUTPUT_RATES}.")
        self._chooser = chooser
        self._sinks = tuple(sinks)
        self._failing = [False] * len(self._sinks)
        self._events = events
        self._epoch_ns = epoch_ns
        self._fps = fps
        self._clock = clock or MonotonicClock()
        self._stopped = threading.Event()
        self._chosen: tuple[PoseFrame, ...] = ()  # the last two motion frames
        self._last_index = -1
        self.num_frames = num_frames
        """Indices to send in all; may be set while running."""
        self.jump_after_frames = JUMP_AFTER_FRAMES * fps // FPS
        """Output frames owed after which some are skipped; larger while the process is still loading things."""
        self.next_index = 0
        """Index of the output frame that is sent next."""
        self.counts = PacerCounts()

    @property
    def motion_index(self) -> int:
        """Motion frame (30 a second) that is shown now."""
        return self.next_index * FPS // self._fps

    def stop(self) -> None:
        """Ends ``run`` within one period. Any thread."""
        self._stopped.set()

    def run(self) -> None:
        """Sends until ``stop`` or ``num_frames``; the body of the pacer's thread."""
        period_ns = 1_000_000_000 // self._fps
        earliest_ns = 0
        while not self._stopped.is_set() and (self.num_frames is None or self.next_index < self.num_frames):
            due_ns = frame_due_ns(self.next_index, self._epoch_ns, self._fps)
            self._clock.sleep_until(due_ns - CHOOSE_AHEAD_NS)
            owed = (self._clock.now_ns() - due_ns) // period_ns
            if owed > self.jump_after_frames:
                self._skip(owed)
                due_ns = frame_due_ns(self.next_index, self._epoch_ns, self._fps)
            frame = self._frame(self.next_index)
            self._clock.sleep_until(max(due_ns, earliest_ns))
            self._send(frame)
            sent_ns = self._clock.now_ns()
            self._count(frame, sent_ns, sent_ns - due_ns)
            earliest_ns = sent_ns + period_ns // _TICKS_PER_PERIOD
            self.next_index += 1

    def _skip(self, owed: int) -> None:
        if self.num_frames is not None:
            owed = min(owed, self.num_frames - 1 - self.next_index)
        self.counts.dropped += owed
        self._events.add("FRAMES_DROPPED", f"{owed} frames were skipped after a stall of {owed / self._fps:.2f} s.")
        self.next_index += owed

    def _frame(self, index: int) -> PoseFrame:
        """Output frame ``index``: a motion frame, or the pose between two."""
        number, rest = divmod(index * FPS, self._fps)
        pose = self._motion_frame(number)
        if rest:
            pose = blend.interpolate(pose, self._motion_frame(number + 1), rest / self._fps)
        return pose if pose.index == index else replace(pose, index=index)

    def _motion_frame(self, number: int) -> PoseFrame:
        """Motion frame ``number``; each is chosen once."""
        for frame in self._chosen:
            if frame.index == number:
                return frame
        frame = self._chooser.choose(number)
        self._chosen = (*self._chosen[-1:], frame)
        return frame

    def _send(self, frame: PoseFrame) -> None:
        media_time_s = frame_to_seconds(frame.index, self._fps)
        for number, sink in enumerate(self._sinks):
            try:
                sink.send(frame, media_time_s)
            except (SinkError, OSError) as error:
                self.counts.sink_errors += 1
                if not self._failing[number]:
                    self._failing[number] = True
                    self._events.add("SINK_FAILING", f"Output {number + 1} of {len(self._sinks)} fails: {error}")
                continue
            if self._failing[number]:
                self._failing[number] = False
                self._events.add("SINK_RECOVERED", f"Output {number + 1} of {len(self._sinks)} works again.")

    def _count(self, frame: PoseFrame, sent_ns: int, late_ns: int) -> None:
        counts = self.counts
        counts.sent += 1
        counts.duplicated += frame.index <= self._last_index
        self._last_index = frame.index
        counts.by_provenance[frame.provenance] += 1
        counts.first_sent_ns.setdefault(frame.provenance, sent_ns)
        counts.lateness.add(late_ns / 1e6)
