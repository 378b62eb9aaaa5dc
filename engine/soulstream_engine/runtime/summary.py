"""What a run achieved, in numbers: printed at the end of every run, and what tests and operators judge it by."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from soulstream_engine.clock import monotonic_ns
from soulstream_engine.frames import Provenance
from soulstream_engine.runtime.frame_pacer import PacerCounts
from soulstream_engine.runtime.workers import WorkerCounts

_IMPORTED_NS = monotonic_ns()
_START_FIELD = 19  # of /proc/self/stat after the command name: start time in clock ticks after boot

SummaryValue = int | float | str | None


def process_start_ns() -> int:
    """Monotonic time at which this process started; exact to 10 ms on Linux, elsewhere the import of this module."""
    try:
        stat = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace")
        ticks = int(stat.rpartition(")")[2].split()[_START_FIELD])
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return _IMPORTED_NS
    return monotonic_ns() - int(age_s * 1e9)


def resident_megabytes() -> float | None:
    """Memory of this process in use now, 10^6 bytes; the peak where only that is known, ``None`` where neither is."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError, IndexError):
        pass
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def summarise(
    counts: PacerCounts,
    *,
    process_start: int,
    xruns: int = 0,
    reconnects: int = 0,
    worker: WorkerCounts | None = None,
    backend: str | None = None,
) -> dict[str, SummaryValue]:
    """The numbers of a run.

    Args:
        counts: What the pacer counted.
        process_start: Monotonic time to measure ``first_*_s`` from, nanoseconds.
        xruns: Times that audio was lost on the way in.
        reconnects: Times that a lost device was opened again.
        worker: What the inference worker dropped or repaired.
        backend: Name of the backend that computed last.

    Returns:
        ``frames dropped duplicated generated held blended idle`` (counts), ``late_ms_p50 late_ms_p99 late_ms_max``,
        ``first_idle_s first_generated_s`` (from the start of the process; ``None``: never), ``rss_mb``,
        ``xruns reconnects skipped_blocks sink_errors invalid_frames bad_chunks restarts``, ``backend`` (name of what
        computed last, so a fallback is seen; ``None``: the model was never loaded).
    """
    worked = worker or WorkerCounts()

    def first_s(provenance: Provenance) -> float | None:
        sent_ns = counts.first_sent_ns.get(provenance)
        return None if sent_ns is None else round((sent_ns - process_start) / 1e9, 3)

    def milliseconds(value: float | None) -> float | None:
        return None if value is None or value != value else round(value, 3)

    megabytes = resident_megabytes()
    return {
        "frames": counts.sent,
        "dropped": counts.dropped,
        "duplicated": counts.duplicated,
        "generated": counts.by_provenance[Provenance.GENERATED],
        "held": counts.by_provenance[Provenance.HELD],
        "blended": counts.by_provenance[Provenance.BLENDED],
        "idle": counts.by_provenance[Provenance.IDLE],
        "late_ms_p50": milliseconds(counts.lateness.percentile(50.0)),
        "late_ms_p99": milliseconds(counts.lateness.percentile(99.0)),
        "late_ms_max": milliseconds(counts.lateness.max_ms),
        "first_idle_s": first_s(Provenance.IDLE),
        "first_generated_s": first_s(Provenance.GENERATED),
        "rss_mb": None if megabytes is None else round(megabytes, 1),
        "xruns": xruns,
        "reconnects": reconnects,
        "skipped_blocks": worked.skipped_blocks,
        "sink_errors": counts.sink_errors,
        "invalid_frames": worked.invalid_frames,
        "bad_chunks": worked.bad_chunks,
        "restarts": worked.restarts,
        "backend": backend,
    }
