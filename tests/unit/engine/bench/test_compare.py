"""Two results side by side: ratios of what both have, doubts said aloud, anything else refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.command import Result, run_here

from soulstream_engine.bench.compare import compare, read_result
from soulstream_engine.errors import ConfigError

Command = Callable[..., Result]


@pytest.fixture
def soulstream(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    return lambda *arguments: run_here(monkeypatch, capfd, *arguments)


def result(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "soulstream-bench",
        "schema": 1,
        "is_quick": False,
        "environment": {"cpu": "one", "cores": 2, "os": "Linux", "versions": {"numpy": "2"}},
        "model": "m",
        "backend": "onnxruntime 1 cpu x1",
        "bundle_sha256": "a" * 64,
        "tick_ms_p50": 10.0,
        "stages": {"mask": {"p50": 4.0}},
        "all_tick_ms": [1.0, 2.0],
        "start_s": None,
    } | changes


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_ratios_are_b_over_a_of_the_numbers_that_both_have() -> None:
    found = compare(result(only_a=1, zero=0), result(tick_ms_p50=15, stages={"mask": {"p50": 1.0}}, only_b=2, zero=3))
    assert found.ratios == {"tick_ms_p50": 1.5, "stages.mask.p50": 0.25, "zero": None}
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"environment": {"cpu": "two", "cores": 2, "os": "Linux"}}, ["machines", "'one'", "'two'"]),
        ({"environment": {"cpu": "one", "cores": 4, "os": "Linux"}}, ["cores", "2", "4"]),
        ({"bundle_sha256": "b" * 64}, ["bundles", "aaaa", "bbbb"]),
        ({"backend": "openvino"}, ["backends", "openvino"]),
        ({"is_quick": True}, ["--quick"]),
    ],
)
def test_what_makes_a_ratio_doubtful_is_said(
    changes: dict[str, Any], words: list[str], tmp_path: Path, soulstream: Command
) -> None:
    first, second = write(tmp_path / "a.json", result()), write(tmp_path / "b.json", result(**changes))
    shown = soulstream("bench", "compare", str(first), str(second), "--json")
    assert shown.code == 0
    assert "Warning" in shown.stderr
    for word in words:
        assert word in shown.stderr
    assert json.loads(shown.stdout)["ratios"]["tick_ms_p50"] == 1.0


def test_lines_before_the_result_do_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path / "log.txt", "Listening\n" + json.dumps(result()) + "\n")
    assert read_result(path)["tick_ms_p50"] == 10.0


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "kind"),
        ("no json", "no JSON"),
        ('{"tick_ms_p50": 1}', "kind None"),
        ("[1]", "list"),
        (json.dumps(result(schema=99)), "schema 99"),
    ],
)
def test_files_that_are_no_result_are_refused(content: str, word: str, tmp_path: Path, soulstream: Command) -> None:
    good, bad = write(tmp_path / "good.json", result()), write(tmp_path / "bad.json", content)
    shown = soulstream("bench", "compare", str(good), str(bad))
    assert shown.code == 2
    assert "bad.json" in shown.stderr
    assert word in shown.stderr
    assert shown.stdout == ""
    assert "Traceback" not in shown.stderr


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.json"):
        read_result(tmp_path / "gone.json")
