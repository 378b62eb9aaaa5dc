"""``soulstream bench`` as a person starts it: every number is there, and they fit each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.command import run_process
from fakes.toy_bundle import toy

OLDER_KEYS = {
    "tick_ms_p50",
    "tick_ms_p95",
    "tick_ms_p99",
    "tick_ms_max",
    "tick_budget_ms",
    "realtime_factor",
    "rss_mb",
    "backend",
    "machine",
    "model",
    "ticks",
}
KEYS = OLDER_KEYS | {
    "kind",
    "environment",
    "bundle_sha256",
    "threads",
    "click_to_packet_ms_p50",
    "click_to_packet_ms_p95",
    "click_to_packet",
    "stages",
    "not_network_share",
    "dancers_per_core",
    "start_s",
    "start_idle_s",
    "peak_rss_mb",
    "busy",
    "pacer",
    "matrix_limit_gflops",
    "mask_steps",
}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    """Result, what people read, and the file with the result."""
    base = tmp_path_factory.getbasetemp()
    arguments = ["bench", "--bundle", str(toy(base).folder), "--quick", "--dancers", "2", "--json"]
    done = run_process(*arguments, timeout_s=180.0)
    assert done.code == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    path = base / "quick.json"
    path.write_text(done.stdout)
    return json.loads(done.stdout), done.stderr, path


def test_every_number_is_there_and_they_fit_each_other(quick: tuple[dict[str, Any], str, Path]) -> None:
    result, _, _ = quick
    assert set(result) >= KEYS
    assert result["is_quick"] is True
    assert result["model"] == "toy"
    assert len(result["bundle_sha256"]) == 64
    assert result["tick_ms_p50"] <= result["tick_ms_p95"] <= result["tick_ms_p99"] <= result["tick_ms_max"]
    compute = [name for name in result["stages"] if name not in ("audio", "pace", "send")]
    assert sum(result["stages"][name]["p50"] for name in compute) <= sum(result["all_tick_ms"])
    assert max(result["stages"][name]["max"] for name in compute) <= result["tick_ms_max"]
    assert result["ticks"] == len(result["all_tick_ms"])
    assert 0.0 < result["not_network_share"] < 1.0
    assert result["not_network_share_of_budget"] > 0.0
    assert result["start_idle_s"] > 0.0
    assert result["dancers"]["measured"] == 2
    rates = {(run["fps"], run["is_busy"]) for run in result["pacer"]}
    assert rates == {(fps, is_busy) for fps in (30, 60, 120) for is_busy in (False, True)}
    assert all(run["frames"] + run["dropped"] > 0 for run in result["pacer"])
    assert result["matrix_limit_gflops"] > 0.0
    assert 0.0 < result["mask_steps"]["8"]["limit_share_p50"] <= result["mask_steps"]["8"]["limit_share_best"]


def test_clicks_reached_a_receiver_or_it_is_said_that_none_did(quick: tuple[dict[str, Any], str, Path]) -> None:
    result, _, _ = quick
    clicks = result["click_to_packet"]
    assert clicks["clicks"] >= clicks["answered"] >= clicks["arrived"] == len(clicks["all_ms"])
    if clicks["arrived"]:
        assert 0.0 < result["click_to_packet_ms_p50"] <= result["click_to_packet_ms_p95"]
    else:
        assert result["click_to_packet_ms_p50"] is None


def test_people_see_topics_tables_and_pictures(quick: tuple[dict[str, Any], str, Path]) -> None:
    _, shown, _ = quick
    for words in (
        "Latency, ms",
        "A tick, ms",
        "Steadiness",
        "Measured with",
        "█",
        "of the time they have",
        "mean nothing",
    ):
        assert words in shown


def test_a_result_compared_with_itself_is_one(quick: tuple[dict[str, Any], str, Path]) -> None:
    _, _, path = quick
    done = run_process("bench", "compare", str(path), str(path), "--json")
    assert done.code == 0, done.stderr
    ratios = json.loads(done.stdout)["ratios"]
    assert ratios["tick_ms_p50"] == 1.0
    assert "stages.mask.p99" in ratios
    assert set(ratios.values()) <= {1.0, None}
