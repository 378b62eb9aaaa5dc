"""The command that reports the beat clock: a line of JSON last, clear errors for bad lists."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from soulstream_engine.cli.beats import beats, table_of
from soulstream_engine.errors import ConfigError

_HEADER = "id,path,mix_with,bpm,first_beat_s,use\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("music")
    t = np.arange(10 * 22_050) / 22_050
    soundfile.write(root / "low.wav", 0.4 * np.sin(2 * np.pi * 90 * t) * np.exp(-20 * (t % 0.5)), 22_050)
    soundfile.write(root / "high.wav", 0.2 * np.sin(2 * np.pi * 900 * t) * np.exp(-40 * (t % 0.25)), 22_050)
    (root / "list.csv").write_text(_HEADER + "a,low.wav,high.wav,120,0.0,tune\nb,low.wav,,120,0.0,test\n", "utf-8")
    return root


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(beats)
    return CliRunner().invoke(app, list(arguments))


def test_a_list_is_scored_and_filtered_by_use(folder: Path) -> None:
    result = run("--music-csv", str(folder / "list.csv"), "--use", "tune", "--json")
    report = json.loads(result.stdout.splitlines()[-1])
    (track,) = report["tracks"]
    assert track["track"] == "a"
    assert track["bpm_8s"] == pytest.approx(120, rel=0.03)
    assert report["summary"]["tempo_ok_8s"] == report["by_use"]["tune"]["tempo_ok_8s"] == 1


def test_a_plain_file_needs_no_truth(folder: Path) -> None:
    result = run(str(folder / "low.wav"), "--json")
    report = json.loads(result.stdout.splitlines()[-1])
    assert set(report["tracks"][0]) == {"track", "seconds", "bpm", "confidence", "locked_s", "silent"}
    assert "summary" not in report


def test_square_brackets_in_a_name_are_part_of_the_name() -> None:
    printed = io.StringIO()
    report = {"track": "low [live] [/x].wav", "seconds": 1.0, "bpm": None, "confidence": 0.0}
    Console(file=printed, width=160).print(table_of([report]))
    assert "low [live] [/x].wav" in printed.getvalue()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "BEATS_LIST_MISSING"),
        ("id,path\n", "BEATS_LIST_COLUMNS"),
        (_HEADER + "a,low.wav,,fast,0,tune\n", "BEATS_LIST_NUMBER"),
        (_HEADER, "BEATS_NOTHING_TO_HEAR"),
    ],
)
def test_bad_lists_name_the_problem(tmp_path: Path, text: str | None, code: str) -> None:
    path = tmp_path / "list.csv"
    if text is not None:
        path.write_text(text, "utf-8")
    error = run("--music-csv", str(path)).exception
    assert isinstance(error, ConfigError)
    assert error.code == code
