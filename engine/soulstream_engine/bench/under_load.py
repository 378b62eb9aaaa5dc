"""Steadiness: ticks and the pacer, alone and beside a busy process, at every output rate."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from soulstream_engine.audio.paced import DemoSource
from soulstream_engine.backends.base import Backend
from soulstream_engine.bench.hog import busy_neighbour
from soulstream_engine.bench.live_run import run_live
from soulstream_engine.bench.lockstep import WARM_UP_S
from soulstream_engine.bench.spread import percentile, spread
from soulstream_engine.bench.timing import TimedBackend
from soulstream_engine.bench.troupe import measure_troupe
from soulstream_engine.bundle import Bundle
from soulstream_engine.clock import monotonic_ns
from soulstream_engine.frames import F32
from soulstream_engine.runtime.dance import DanceStream
from soulstream_engine.runtime.frame_pacer import OUTPUT_RATES


def measure_busy_ticks(
    bundle: Bundle,
    backend: Backend,
    samples: F32,
    *,
    num_ticks: int,
    seed: int = 0,
    warm_up_s: float = WARM_UP_S,
    progress: Callable[[float], None] = lambda _: None,
) -> dict[str, Any]:
    """Ticks of one dancer without waiting beside a process that keeps one core busy.

    Returns:
        ``tick_ms`` (spread) and ``p99_over_p50``.
    """
    with busy_neighbour():
        times_ms = measure_troupe(
            bundle, backend, samples, num_ticks=num_ticks, seed=seed, warm_up_s=warm_up_s, progress=progress
        )
    return _ticks(times_ms)


def measure_pacer(
    bundle: Bundle,
    backend: Backend,
    *,
    seconds: float,
    rates: tuple[int, ...] = OUTPUT_RATES,
    seed: int = 0,
    progress: Callable[[float], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Live runs to the built-in track, at each rate alone and beside a busy process.

    Args:
        bundle: Verified model.
        backend: What runs it.
        seconds: Length of each run.
        rates: Frames a second.
        seed: Of the dance.
        progress: Told the share done, 0..1.

    Returns:
        One entry a run: ``fps``, ``is_busy``, ``late_ms_p50 late_ms_p99 late_ms_max`` of the pacer, ``frames dropped
        held`` (counts) and, where a tick ran, ``tick_ms`` and ``p99_over_p50`` of the live ticks.
    """
    shared = TimedBackend(backend)
    runs = [(fps, is_busy) for fps in rates for is_busy in (False, True)]
    found: list[dict[str, Any]] = []
    for fps, is_busy in runs:
        stream = DanceStream(bundle, seed=seed, backend=shared)
        begin_ns, before = monotonic_ns(), len(found)

        def told(begin_ns: int = begin_ns, before: int = before) -> None:
            progress((before + min(1.0, (monotonic_ns() - begin_ns) / 1e9 / seconds)) / len(runs))

        with busy_neighbour() if is_busy else nullcontext():
            run = run_live(DemoSource(play=False), stream, fps=fps, seconds=seconds, on_status=told)
        shared.take()
        names = ("late_ms_p50", "late_ms_p99", "late_ms_max", "frames", "dropped", "held")
        entry: dict[str, Any] = {"fps": fps, "is_busy": is_busy} | {name: run.summary[name] for name in names}
        found.append(entry | (_ticks(list(stream.tick_ms)) if stream.tick_ms else {}))
    return found


def _ticks(times_ms: list[float]) -> dict[str, Any]:
    found = spread(times_ms)
    return {"tick_ms": found, "p99_over_p50": round(found["p99"] / percentile(times_ms, 50.0), 3)}
