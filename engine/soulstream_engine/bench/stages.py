"""Tick records as numbers: spread of every stage, and how much of the work is not the network's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from soulstream_engine.bench.lockstep import STAGES, TickTimes
from soulstream_engine.bench.spread import percentile, spread


def stage_numbers(ticks: Sequence[TickTimes], budget_ms: float) -> dict[str, Any]:
    """What ``ticks`` say.

    Args:
        ticks: At least one.
        budget_ms: Length of the music of a tick, milliseconds.

    Returns:
        ``tick_ms_*`` (compute of a tick), ``tick_p99_over_p50``, ``realtime_factor`` (music / compute), ``ticks``,
        ``stages`` (spread of each stage, ms a tick), ``not_network_share`` (of all work, what is not network) and
        ``not_network_share_of_budget`` (the same work against the time there is).
    """
    compute = [tick.compute_ms for tick in ticks]
    of_tick = spread(compute)
    total = sum(sum(tick.ms.values()) for tick in ticks)
    rest = total - sum(tick.network_ms for tick in ticks)
    return {
        "tick_ms_p50": of_tick["p50"],
        "tick_ms_p95": of_tick["p95"],
        "tick_ms_p99": of_tick["p99"],
        "tick_ms_p999": of_tick["p999"],
        "tick_ms_max": of_tick["max"],
        "tick_p99_over_p50": round(of_tick["p99"] / max(percentile(compute, 50.0), 1e-9), 3),
        "tick_budget_ms": round(budget_ms, 2),
        "realtime_factor": round(len(compute) * budget_ms / sum(compute), 2),
        "ticks": len(compute),
        "stages": {name: spread([tick.ms[name] for tick in ticks]) for name in STAGES},
        "not_network_share": round(rest / total, 4),
        "not_network_share_of_budget": round(rest / (len(ticks) * budget_ms), 4),
    }
