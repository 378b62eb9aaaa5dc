"""Several dancers to the same music: the one place that drives them, and how many fit on a core."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np

from soulstream_engine.backends import BACKENDS
from soulstream_engine.backends.base import Backend
from soulstream_engine.bench.lockstep import WARM_UP_S, tick_budget_ms
from soulstream_engine.bench.spread import spread
from soulstream_engine.bench.timing import TimedBackend
from soulstream_engine.bundle import Bundle
from soulstream_engine.clock import SAMPLE_RATE, monotonic_ns
from soulstream_engine.frames import F32
from soulstream_engine.runtime.dance import DanceStream
from soulstream_engine.runtime.real_time import short_thread_switches

ROOM = 0.5
"""Share of a tick's time that all dancers may take at the 99th percentile: the other half is for everything else."""


class Troupe:
    """Dancers with other seeds who hear the same; what is heard and the compiled steps are shared.

    Args:
        bundle: Verified model.
        backend: What runs it.
        count: Dancers, 1 or more.
        seed: Of the first; the others follow.
        threads: Threads that share the dancers.
    """

    def __init__(self, bundle: Bundle, backend: Backend, count: int, seed: int = 0, threads: int = 1) -> None:
        self._shared = TimedBackend(backend)
        self._streams = [DanceStream(bundle, seed=seed + number, backend=self._shared) for number in range(count)]
        self._pool = ThreadPoolExecutor(threads, "dancers")
        self._groups = [self._streams[first::threads] for first in range(threads)]

    def push(self, samples: F32) -> None:
        """All dancers hear samples [N] float32 at 48 kHz."""
        features = self._streams[0].features(samples)

        def dance(streams: list[DanceStream]) -> None:
            for stream in streams:
                for feature in features:
                    stream.hear(feature)

        for _ in self._pool.map(dance, self._groups):
            pass
        self._shared.take()

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()


def threads_for(count: int, backend: Backend) -> int:
    """One for each core, and no more than there are dancers; only ONNX Runtime lets several threads share its steps."""
    return max(1, min(count, os.cpu_count() or 1)) if backend.name.startswith(BACKENDS[0]) else 1


def measure_troupe(
    bundle: Bundle,
    backend: Backend,
    samples: F32,
    *,
    count: int = 1,
    num_ticks: int,
    seed: int = 0,
    warm_up_s: float = WARM_UP_S,
    progress: Callable[[float], None] = lambda _: None,
) -> list[float]:
    """Milliseconds that ``count`` dancers take for each tick's worth of music, listening included, on all cores.

    Args:
        bundle: Verified model.
        backend: What runs it.
        samples: [N] float32 mono at 48 kHz, played again and again.
        count: Dancers.
        num_ticks: Ticks measured.
        seed: Of the first dancer.
        warm_up_s: Music danced before, seconds.
        progress: Told the share done, 0..1.
    """
    budget_ms = tick_budget_ms(bundle)
    block = round(budget_ms * SAMPLE_RATE / 1000.0)
    warm_up = round(warm_up_s * 1000.0 / budget_ms)
    troupe = Troupe(bundle, backend, count, seed, threads_for(count, backend))
    times_ms: list[float] = []
    with closing(troupe), short_thread_switches():
        for tick in range(warm_up + num_ticks):
            heard = np.take(samples, np.arange(tick * block, (tick + 1) * block), mode="wrap")
            begin_ns = monotonic_ns()
            troupe.push(heard)
            if tick >= warm_up:
                times_ms.append((monotonic_ns() - begin_ns) / 1e6)
            progress((tick + 1) / (warm_up + num_ticks))
    return times_ms


def dancers_that_fit(tick_ms_p99: float, count: int, budget_ms: float) -> int:
    """How many dancers keep the 99th percentile within ``ROOM`` of the budget, if each costs what these did.

    Args:
        tick_ms_p99: Of ``count`` dancers together, milliseconds, above 0.
        count: 1 or more.
        budget_ms: Time of a tick, milliseconds.
    """
    return math.floor(ROOM * budget_ms / (tick_ms_p99 / count))


def troupe_numbers(times_ms: list[float], count: int, budget_ms: float, threads: int = 1) -> dict[str, Any]:
    """``dancers_per_core`` (estimated from the cost of each of these dancers) and what was measured of them."""
    found = spread(times_ms)
    fits = dancers_that_fit(found["p99"], count, budget_ms)
    return {
        "dancers_per_core": fits // threads,
        "dancers_per_core_is_estimated": fits != count,
        "dancers": {
            "measured": count,
            "threads": threads,
            "tick_ms": found,
            "budget_share_p99": round(found["p99"] / budget_ms, 4),
            "fit": found["p99"] <= ROOM * budget_ms,
        },
    }
