"""The loads that papers and other programs are compared by, at the paper's size.

- ``full``: 8 tokens planned and all committed, 10 rounds, 5 residual passes: seconds of compute for a second of dance;
- ``live``: a live tick: 8 planned, 2 committed, 6 rounds, 5 residual passes;
- ``lean``: 2 planned, 2 committed, 6 rounds, 1 residual pass.

Guidance is on in all of them: every pass computes both halves, because the graphs hold both. Leaving the half without
music out of every other round needs graphs with one half, and no bundle has both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from soulstream_engine.backends.base import Backend
from soulstream_engine.bench.lockstep import tick_budget_ms
from soulstream_engine.bench.made_bundles import int8_bundle, made_bundle
from soulstream_engine.bench.matrix_limit import mask_step_rate
from soulstream_engine.bench.spread import percentile, spread
from soulstream_engine.bench.step_driver import Load, measure_load
from soulstream_engine.bundle import load_bundle
from soulstream_engine.runtime.network import window_shape

LOADS: dict[str, tuple[int, int, Load]] = {
    "full": (8, 8, Load(iterations=10, residual_passes=5)),
    "live": (8, 2, Load(iterations=6, residual_passes=5)),
    "lean": (2, 2, Load(iterations=6, residual_passes=1)),
}
"""Planned tokens, committed tokens and what a tick does."""

WIDE_MASK = (32, 8)
"""Planned and committed tokens of the bundle whose mask step is set against the matrix limit."""


def measure_paper_loads(
    backend: Backend,
    *,
    num_ticks: int,
    limit_s: float,
    size: str = "paper",
    is_int8: bool = False,
    note: Callable[[str], None] = lambda _: None,
    progress: Callable[[float], None] = lambda _: None,
) -> dict[str, Any]:
    """Runs every load.

    Args:
        backend: What runs the steps.
        num_ticks: Ticks of each.
        limit_s: Stop a load after this many seconds.
        size: Size of the bundles.
        is_int8: Whether they are quantised.
        note: Told before a bundle is made.
        progress: Told the share done, 0..1.

    Returns:
        By load: ``planned commit iterations residual_passes halves ticks``, ``tick_ms`` (spread), ``p99_over_p50``,
        ``budget_ms`` and ``compute_per_second`` (seconds of compute for one of dance, median).

    Raises:
        ConfigError, BundleError: If the bundles cannot be made.
    """
    found: dict[str, Any] = {}
    for number, (name, (planned, commit, load)) in enumerate(LOADS.items()):
        folder = made_bundle(size, planned, commit, note=note)
        bundle = load_bundle(int8_bundle(folder, note=note) if is_int8 else folder)
        passes = min(load.residual_passes, bundle.manifest.tokenizer.levels - 1)
        load = Load(load.iterations, passes)

        def told(share: float, before: int = number) -> None:
            progress((before + share) / len(LOADS))

        times_ms = measure_load(bundle, backend, load, num_ticks=num_ticks, limit_s=limit_s, progress=told)
        budget_ms = tick_budget_ms(bundle)
        tick_ms = spread(times_ms)
        found[name] = {
            "planned": planned,
            "commit": commit,
            "iterations": load.iterations,
            "residual_passes": load.residual_passes,
            "halves": window_shape(bundle.manifest).halves,
            "ticks": len(times_ms),
            "tick_ms": tick_ms,
            "p99_over_p50": round(tick_ms["p99"] / percentile(times_ms, 50.0), 3),
            "budget_ms": round(budget_ms, 2),
            "compute_per_second": round(percentile(times_ms, 50.0) / budget_ms, 4),
        }
    return found


def wide_mask_rate(
    backend: Backend,
    *,
    repeats: int,
    size: str = "paper",
    is_int8: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """``matrix_limit.mask_step_rate`` of the bundle with ``WIDE_MASK`` tokens."""
    folder = made_bundle(size, *WIDE_MASK, note=note)
    bundle = load_bundle(int8_bundle(folder, note=note) if is_int8 else folder)
    return mask_step_rate(bundle, backend, repeats=repeats)
