"""Counting and reporting."""

from __future__ import annotations

import math
import os
import pty
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulstream_engine.clock import monotonic_ns
from soulstream_engine.frames import Provenance
from soulstream_engine.runtime.events import Event, EventLog
from soulstream_engine.runtime.frame_pacer import PacerCounts
from soulstream_engine.runtime.keys import KeyReader
from soulstream_engine.runtime.summary import process_start_ns, resident_megabytes, summarise
from soulstream_engine.stats import DurationHistogram


@given(st.lists(st.floats(0.0, 150.0), min_size=1, max_size=200), st.floats(1.0, 100.0))
def test_percentiles_are_exact_to_a_bin(values: list[float], percent: float) -> None:
    histogram = DurationHistogram()
    for value in values:
        histogram.add(value)
    expected = float(np.percentile(values, percent, method="inverted_cdf"))
    assert expected - 1e-9 <= histogram.percentile(percent) <= expected + 0.011
    assert histogram.max_ms == max(values)


def test_nothing_measured_is_not_zero() -> None:
    histogram = DurationHistogram()
    assert math.isnan(histogram.percentile(99.0))
    assert histogram.max_ms is None
    assert summarise(PacerCounts(), process_start=0)["late_ms_p99"] is None


def test_the_summary_has_every_number_that_was_promised() -> None:
    counts = PacerCounts(sent=3)
    counts.by_provenance[Provenance.GENERATED] = 2
    counts.by_provenance[Provenance.IDLE] = 1
    counts.first_sent_ns = {Provenance.IDLE: 1_500_000_000, Provenance.GENERATED: 2_250_000_000}
    counts.lateness.add(0.4)
    summary = summarise(counts, process_start=1_000_000_000, xruns=4, backend="onnxruntime 1.0 cpu x1")
    promised = "frames dropped duplicated generated held blended idle late_ms_p99 first_idle_s first_generated_s rss_mb"
    assert set(promised.split()) <= set(summary)
    assert (summary["frames"], summary["generated"], summary["idle"], summary["xruns"]) == (3, 2, 1, 4)
    assert (summary["first_idle_s"], summary["first_generated_s"]) == (0.5, 1.25)
    assert summary["late_ms_p99"] == pytest.approx(0.4)
    assert summary["backend"] == "onnxruntime 1.0 cpu x1"


def test_times_count_from_the_start_of_the_process() -> None:
    code = (
        "import time; before = time.monotonic_ns(); time.sleep(0.3);"
        "from soulstream_engine.runtime.summary import process_start_ns;"
        "print((time.monotonic_ns() - process_start_ns()) / 1e9, (time.monotonic_ns() - before) / 1e9)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    age_s, since_first_line_s = map(float, out)
    assert since_first_line_s <= age_s + 0.02 <= since_first_line_s + 5.0
    assert process_start_ns() < monotonic_ns()


def test_memory_is_plausible() -> None:
    megabytes = resident_megabytes()
    assert megabytes is not None
    assert 10 < megabytes < 10_000


def test_a_crash_in_a_thread_is_an_event_with_its_traceback() -> None:
    seen: list[Event] = []
    events = EventLog(seen.append)
    before = threading.excepthook
    with events.catching_thread_crashes():
        thread = threading.Thread(target=lambda: 1 // 0, name="inference")
        thread.start()
        thread.join()
    assert threading.excepthook is before
    assert not seen
    events.deliver()
    assert seen[0].code == "THREAD_CRASHED"
    assert "inference" in seen[0].message
    assert "ZeroDivisionError" in seen[0].detail


def test_keys_come_singly_from_a_terminal_and_the_terminal_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    import termios

    controller, terminal = pty.openpty()
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
    before = termios.tcgetattr(terminal)
    with KeyReader(terminal) as keys:
        assert keys.poll() == ""
        os.write(controller, b"t]q")
        received = ""
        while len(received) < 3:
            received += keys.poll()
        assert received == "t]q"
    assert termios.tcgetattr(terminal) == before


def test_no_terminal_means_no_keys() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"q")
    with KeyReader(read_end) as keys:
        assert keys.poll() == ""
    os.close(read_end)
    os.close(write_end)
