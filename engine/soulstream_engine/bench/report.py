"""A result for people: one table a topic, two small pictures, one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from soulstream_engine.bench.compare import Comparison
from soulstream_engine.bench.lockstep import STAGES
from soulstream_engine.bench.spread import bars

_UNKNOWN = "-"


def tables(result: dict[str, Any]) -> list[Table]:
    """All tables of a result, in the order in which one reads them."""
    found = [_clicks(result), _stages(result), _capacity(result), _steadiness(result)]
    if "paper_loads" in result:
        found.append(_paper(result["paper_loads"]))
    return [*found, _machine(result)]


def pictures(result: dict[str, Any]) -> list[str]:
    """Lines of text: how latencies and tick times are spread."""
    lines: list[str] = []
    if result["click_to_packet"]["all_ms"]:
        lines += ["Click to packet", *bars(result["click_to_packet"]["all_ms"], "ms"), ""]
    return [*lines, "Tick", *bars(result["all_tick_ms"], "ms")]


def verdict(result: dict[str, Any]) -> str:
    """The sentence at the end."""
    share = result["tick_ms_p99"] / result["tick_budget_ms"]
    return f"99 of 100 ticks take at most {share:.0%} of the time they have."


def comparison_table(comparison: Comparison) -> Table:
    """Numbers of A and B and their ratio."""
    table = Table("measure", "A", "B", "B / A")
    for name, ratio in comparison.ratios.items():
        a, b = comparison.numbers[name]
        table.add_row(name, f"{a:g}", f"{b:g}", _UNKNOWN if ratio is None else f"{ratio:.3f}")
    return table


def _table(title: str, columns: Iterable[str], rows: Iterable[Sequence[object]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    return table


def _text(cell: object) -> str:
    if cell is None:
        return _UNKNOWN
    return f"{cell:.4g}" if isinstance(cell, float) and abs(cell) < 1000 else str(cell)


def _clicks(result: dict[str, Any]) -> Table:
    runs = {"bundle": result["click_to_packet"]} | result["click_to_packet_by_tick_tokens"]
    rows: list[Sequence[object]] = []
    for name, run in runs.items():
        label = "" if name == "bundle" else f", ticks of {name}"
        for what, found in ((f"click to packet{label}", run["ms"]), (f"soonest possible{label}", run["soonest_ms"])):
            spread = found or {}
            rows.append((what, spread.get("p50"), spread.get("p95"), spread.get("max")))
        for part, value in (run["parts_ms"] or {}).items():
            rows.append((f"  {part} (in lead)" if part == "compute" else f"  {part}", value, None, None))
        answers = (
            f"{run['answered']} of {run['clicks']} clicks changed the dance, {run['arrived']} of these arrived in time"
        )
        rows.append((answers + label, None, None, None))
    return _table("Latency, ms", ("from the sound to the packet", "p50", "p95", "max"), rows)


def _stages(result: dict[str, Any]) -> Table:
    names = ("p50", "p95", "p99", "p999")
    rows: list[Sequence[object]] = [(name, *(result["stages"][name][key] for key in names)) for name in STAGES]
    rows.append(("tick", *(result[f"tick_ms_{key}"] for key in names)))
    return _table(f"A tick, ms ({result['ticks']} ticks)", ("stage", "p50", "p95", "p99", "p99.9"), rows)


def _capacity(result: dict[str, Any]) -> Table:
    per_core = f"{result['dancers_per_core']}{' (estimated)' if result['dancers_per_core_is_estimated'] else ''}"
    rows: list[Sequence[object]] = [
        ("time of a tick, ms", result["tick_budget_ms"]),
        ("real-time factor", result["realtime_factor"]),
        ("tick p99 / median", result["tick_p99_over_p50"]),
        ("not network, share of the work", result["not_network_share"]),
        ("not network, share of the time", result["not_network_share_of_budget"]),
        ("dancers on a core", per_core),
        ("first idle frame after, s", result["start_idle_s"]),
        ("first generated frame after, s", result["start_s"]),
        ("peak memory, MB", result["peak_rss_mb"]),
        ("matrix limit, GFLOP/s", result["matrix_limit_gflops"]),
    ]
    troupe = result["dancers"]
    if troupe["measured"] > 1:
        rows.append((f"{troupe['measured']} dancers, tick p99, ms", troupe["tick_ms"]["p99"]))
    for planned, step in result["mask_steps"].items():
        rows.append((f"mask step, {planned} tokens, GFLOP/s", step["gflops_p50"]))
        rows.append(("  share of the limit", step["limit_share_p50"]))
    return _table("Speed and size", ("measure", "value"), rows)


def _steadiness(result: dict[str, Any]) -> Table:
    busy = result["busy"]
    rows: list[Sequence[object]] = [
        ("tick beside a busy process", busy["tick_ms"]["p50"], busy["tick_ms"]["p99"], busy["p99_over_p50"], None)
    ]
    for run in result["pacer"]:
        label = f"pacer late, {run['fps']} a second{', busy' if run['is_busy'] else ''}"
        rows.append((label, run["late_ms_p50"], run["late_ms_p99"], None, run["dropped"]))
    return _table("Steadiness, ms", ("measure", "p50", "p99", "p99 / p50", "dropped"), rows)


def _paper(loads: dict[str, Any]) -> Table:
    rows = [
        (
            f"{name}: {load['planned']} planned, {load['commit']} committed, {load['iterations']} rounds, "
            f"{load['residual_passes']} residual",
            load["tick_ms"]["p50"],
            load["tick_ms"]["p99"],
            load["budget_ms"],
            load["compute_per_second"],
        )
        for name, load in loads.items()
    ]
    columns = ("load", "p50 ms", "p99 ms", "time ms", "s of compute for 1 s")
    return _table("Loads at the paper's size", columns, rows)


def _machine(result: dict[str, Any]) -> Table:
    facts = result["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    commit = "" if facts["commit"] is None else f", commit {facts['commit'][:12]}{'+' if facts['is_modified'] else ''}"
    rows = [
        ("model", f"{result['model']} ({result['bundle_sha256'][:12]})"),
        ("backend", result["backend"]),
        ("computer", f"{facts['cpu']}, {facts['cores']} cores, {facts['os']}"),
        ("soulstream", f"{facts['soulstream']}{commit}, Python {facts['python']}"),
        ("versions", versions),
    ]
    return _table("Measured with", ("what", "which"), rows)
