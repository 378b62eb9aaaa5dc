"""``soulstream bench``: how fast the whole path from sound to pose runs on this computer.

A tick is one run of the sampler with everything around it: features, beat clock, network, decoder, finishing. The
built-in track is played through the same object that dances live, as fast as it goes; what is measured is the work for
each tick's worth of music, so the budget is the length of that music.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Annotated

import typer

from soulstream_engine.cli.output import console, print_json, say

WARM_UP_SECONDS = 8.0
"""Music danced before the clock starts, seconds: until the beat clock has locked and the context is full."""


def bench(
    seconds: Annotated[float, typer.Option(min=2.0, max=600.0, help="Seconds of music to measure.")] = 40.0,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the dance.")] = 0,
    bundle: Annotated[
        Path | None, typer.Option(help="Folder of another model.", show_default="the embedded one")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON last.")] = False,
) -> None:
    """Measure how long the model takes for each tick, against the time it has.

    Live dancing needs the 99th percentile below the budget, with room for everything else on the computer.

    Examples:
      soulstream bench
      soulstream bench --json
    """
    from rich.progress import track
    from rich.table import Table

    from soulstream_engine.audio.demo_track import render_demo_track
    from soulstream_engine.backends import open_backend
    from soulstream_engine.bundle import load_bundle
    from soulstream_engine.clock import FPS, SAMPLES_PER_FRAME, monotonic_ns

    model = load_bundle(bundle)

    from soulstream_engine.runtime.dance import DanceStream
    from soulstream_engine.runtime.summary import resident_megabytes

    frames_per_tick = model.manifest.sampler.commit_tokens * model.manifest.tokenizer.frames_per_token
    budget_ms = 1000.0 * frames_per_tick / FPS
    samples = render_demo_track()
    block = frames_per_tick * SAMPLES_PER_FRAME
    warm_up = round(WARM_UP_SECONDS * 1000.0 / budget_ms)
    dance = DanceStream(model, seed=seed)
    ticks_ms: list[float] = []
    for tick in track(range(warm_up + round(seconds * 1000.0 / budget_ms)), "Dancing", console=console, transient=True):
        start = tick * block % (len(samples) - block)
        before_ns = monotonic_ns()
        dance.push(samples[start : start + block])
        if tick >= warm_up:
            ticks_ms.append((monotonic_ns() - before_ns) / 1e6)

    megabytes = resident_megabytes()
    result = {
        "tick_ms_p50": round(_percentile(ticks_ms, 50), 2),
        "tick_ms_p95": round(_percentile(ticks_ms, 95), 2),
        "tick_ms_p99": round(_percentile(ticks_ms, 99), 2),
        "tick_ms_max": round(max(ticks_ms), 2),
        "tick_budget_ms": round(budget_ms, 2),
        "realtime_factor": round(len(ticks_ms) * budget_ms / sum(ticks_ms), 2),
        "rss_mb": None if megabytes is None else round(megabytes, 1),
        "backend": open_backend().name,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "model": model.manifest.model_id,
        "ticks": len(ticks_ms),
    }
    table = Table("measure", "value")
    for key, value in result.items():
        table.add_row(key, str(value))
    console.print(table)
    share = result["tick_ms_p99"] / budget_ms  # type: ignore[operator]
    say(f"99 of 100 ticks take at most {share:.0%} of the time they have.")
    if as_json:
        print_json(result)


def _percentile(values: list[float], percent: float) -> float:
    """The smallest of ``values`` that ``percent`` per cent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * int(percent) // 100) - 1))]
