"""A whole session on the real clock, with a small dance stream in place of the model."""

from __future__ import annotations

import gc
import os
import pty
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import ClassVar

import numpy as np
import pytest

from soulstream_engine.audio.paced import PacedSource
from soulstream_engine.errors import BundleError, ConfigError, InvariantError
from soulstream_engine.frames import FeatureFrame, PoseFrame, Provenance, StatusSnapshot
from soulstream_engine.motion import idle
from soulstream_engine.runtime.events import Event
from soulstream_engine.runtime.session import Session


def tone(seconds: float, *, loop: bool = False) -> PacedSource:
    samples = np.sin(np.arange(int(seconds * 48000)) * 0.05).astype(np.float32)
    return PacedSource("tone", lambda: iter([samples]), play=False, loop=loop)


class Stream:
    """Eight frames ahead of the sound, like a model that predicts."""

    latest_feature: FeatureFrame | None = None

    def __init__(self) -> None:
        self.num_samples = 0
        self.made = 0
        self.pose = idle.idle_pose(0, [0.0, 0.0, 0.0], 0.5)

    def push(self, samples: np.ndarray) -> list[PoseFrame]:
        self.num_samples += len(samples)
        frames = []
        while self.made < self.num_samples // 1600 + 8:
            frames.append(PoseFrame(self.made, *self.pose, np.ones(4, np.float32), Provenance.GENERATED))
            self.made += 1
        return frames


class Recorder:
    def __init__(self) -> None:
        self.frames: list[PoseFrame] = []

    def send(self, frame: PoseFrame, media_time_s: float) -> None:
        self.frames.append(frame)


@pytest.mark.parametrize("fps", [30, 60])
def test_a_run_of_some_seconds_sends_exactly_its_frames(fps: int) -> None:
    recorder, statuses, events = Recorder(), list[StatusSnapshot](), list[Event]()
    session = Session(
        tone(0.5, loop=True),
        Stream,
        [recorder],
        fps=fps,
        seconds=1.5,
        on_status=statuses.append,
        on_event=events.append,
    )
    summary = session.run()
    assert [frame.index for frame in recorder.frames] == list(range(round(1.5 * fps)))
    assert summary["frames"] == round(1.5 * fps)
    assert (summary["dropped"], summary["duplicated"], summary["held"]) == (0, 0, 0)
    assert sum(int(summary[name] or 0) for name in ("generated", "held", "blended", "idle")) == summary["frames"]
    assert int(summary["generated"] or 0) > 0.4 * int(summary["frames"])
    assert statuses[-1].state == "listening"
    assert not [event for event in events if event.code != "SINK_FAILING"]
    assert gc.isenabled()
    assert sys.getswitchinterval() == pytest.approx(0.005)
    assert {thread.name for thread in threading.enumerate()} & {"pacer", "inference"} == set()


def test_a_file_that_ends_lets_the_dancer_come_to_rest_and_ends_the_run() -> None:
    recorder = Recorder()
    summary = Session(tone(0.6), Stream, [recorder]).run()
    origins = [frame.provenance for frame in recorder.frames]
    assert origins[0] is Provenance.IDLE
    assert origins[-1] is Provenance.IDLE
    assert Provenance.HELD in origins
    assert int(summary["frames"] or 0) == pytest.approx(0.6 * 30 + 8 + 60, abs=10)


class Controlled(Stream):
    """Remembers what the operator did."""

    done: ClassVar[list[str]] = []

    def tap(self, time_s: float) -> None:
        self.done.append("tap" if 0.0 < time_s < 1.5 else f"tap at {time_s}")

    def double(self) -> None:
        self.done.append("double")

    def halve(self) -> None:
        self.done.append("halve")

    def nudge(self, turns: float) -> None:
        self.done.append(f"nudge {turns}")


@pytest.mark.parametrize("is_sound_on_stdin", [False, True])
def test_keys_reach_the_beat_clock(is_sound_on_stdin: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    controller, terminal = pty.openpty()
    open_file = os.open
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
    monkeypatch.setattr(
        os, "open", lambda path, *rest: os.dup(terminal) if path == "/dev/tty" else open_file(path, *rest)
    )
    with open(os.devnull) if is_sound_on_stdin else os.fdopen(os.dup(terminal)) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        threading.Timer(0.5, os.write, (controller, b"t[]bxh?")).start()
        Session(tone(0.5, loop=True), Controlled, [Recorder()], seconds=1.2, use_keys=True).run()
    os.close(controller)
    os.close(terminal)
    assert Controlled.done == ["tap", "nudge -0.05", "nudge 0.05", "nudge 0.5", "double", "halve"]
    Controlled.done.clear()


def test_a_model_that_takes_long_to_load_delays_no_frame() -> None:
    recorder = Recorder()

    def slow() -> Stream:
        time.sleep(0.5)
        return Stream()

    summary = Session(tone(1.0, loop=True), slow, [recorder], seconds=1.2).run()
    assert summary["frames"] == 36
    assert recorder.frames[10].provenance is Provenance.IDLE
    assert recorder.frames[-1].provenance in (Provenance.BLENDED, Provenance.GENERATED)


def test_a_model_that_cannot_be_loaded_ends_the_run_with_its_error() -> None:
    def refuse() -> Stream:
        raise BundleError("BUNDLE_SCHEMA", "Schema 9 is newer than 1.", "Update soulstream.")

    with pytest.raises(BundleError, match="Schema 9"):
        Session(tone(1.0), refuse, [Recorder()], seconds=30).run()


def test_a_bug_in_the_stream_is_an_event_and_the_show_goes_on() -> None:
    class Buggy(Stream):
        def push(self, samples: np.ndarray) -> list[PoseFrame]:
            raise ZeroDivisionError("a bug")

    events: list[Event] = []
    session = Session(tone(1.0, loop=True), Buggy, [Recorder()], seconds=0.5, on_event=events.append)
    summary = session.run()
    assert summary["frames"] == summary["idle"] == 15
    assert session.failure is not None
    assert session.failure.exit_code == 70
    assert [event.code for event in events] == ["THREAD_CRASHED"]
    assert "a bug" in events[0].detail


def test_a_bug_in_an_output_ends_the_run_as_our_fault() -> None:
    class Buggy:
        def send(self, frame: PoseFrame, media_time_s: float) -> None:
            raise KeyError("left_elbow")

    with pytest.raises(InvariantError, match="left_elbow"):
        Session(tone(1.0), Stream, [Buggy()], seconds=5).run()


def test_stop_ends_a_run_soon() -> None:
    session = Session(tone(5.0, loop=True), Stream, [Recorder()])
    threading.Timer(0.3, session.stop).start()
    begin = time.monotonic()
    session.run()
    assert time.monotonic() - begin < 1.5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_the_process_cleanly_within_two_seconds(number: int) -> None:
    code = """
        import json
        from soulstream_engine.audio.sources import open_source
        from soulstream_engine.runtime.session import Session
        class Stream:
            def push(self, samples): return []
        class Sink:
            def send(self, frame, media_time_s):
                if frame.index == 5: print("started", flush=True)
        print(json.dumps(Session(open_source("demo"), Stream, [Sink()]).run()))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    begin = time.monotonic()
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=10)
    assert time.monotonic() - begin < 2.0
    assert process.returncode == 0
    assert '"frames":' in out
    assert err == ""


@pytest.mark.parametrize(
    "options",
    [{"fps": 25}, {"seconds": 0.0}, {"seconds": float("nan")}, {"audio_offset_ms": 9999.0}],
)
def test_impossible_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Session(tone(1.0), Stream, [], **options)  # type: ignore[arg-type]
