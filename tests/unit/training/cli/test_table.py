"""``data table``: what it prints, and what it refuses before it writes."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from fakes.dance_folders import cut, write_joints, write_music
from typer.testing import CliRunner

from soulstream_engine.errors import ConfigError
from soulstream_training.cli import data
from soulstream_training.cli.table import table
from soulstream_training.data.clips import read_clips


@pytest.fixture
def folder(tmp_path):
    for seed in range(8):
        write_joints(tmp_path / "own" / ("waltz", "tango")[seed % 2] / f"take{seed}.npy", seed)
    cut(write_joints(tmp_path / "own" / "tango" / "[broken].npy", 9))
    write_music(tmp_path / "own" / "music", ["take1", "take2"])
    return tmp_path / "own"


def run(*arguments):
    return CliRunner().invoke(data.app, ["table", *map(str, arguments)])


def test_a_table_is_written_and_counted(folder):
    result = run(folder, "--format", "joints", "--fps", 30, "--music", folder / "music", "--json")
    assert result.exit_code == 0, result.output
    numbers = json.loads(result.stdout.splitlines()[-1])
    splits = {split: numbers.pop(split) for split in ("train", "val", "test")}
    assert numbers == {"clips": 8, "left_out": 1, "seconds": 24.0, "genres": {"tango": 4, "waltz": 4}}
    assert sum(splits.values()) == 8
    assert min(splits.values()) > 0
    rows = read_clips(folder / "clips.csv").rows
    assert {split: sum(row.split == split for row in rows) for split in splits} == splits
    assert "left out: tango/[broken].npy: array" in result.stderr
    assert "8 clips, 2 with music, 1 files left out" in result.stderr
    assert "waltz" in result.stderr


def test_a_table_that_is_there_is_kept_unless_forced(folder):
    (folder / "clips.csv").write_text("by hand")
    result = run(folder, "--format", "joints", "--fps", 30)
    assert isinstance(result.exception, ConfigError)
    assert "--force" in result.exception.hint
    assert (folder / "clips.csv").read_text() == "by hand"
    assert run(folder, "--format", "joints", "--fps", 30, "--force").exit_code == 0
    assert len(read_clips(folder / "clips.csv").rows) == 8


def test_the_table_may_lie_above_and_the_shares_be_others(folder):
    out = folder.parent / "all.csv"
    result = run(folder, "--format", "joints", "--fps", 30, "--out", out, "--shares", "1,0,0")
    assert result.exit_code == 0, result.output
    rows = read_clips(out).rows
    assert {row.split for row in rows} == {"train"}
    assert str(rows[0].path) == "own/tango/take1.npy"


def test_options_that_are_wrong_are_refused(folder):
    assert "is not three numbers" in run(folder, "--format", "joints", "--fps", 30, "--shares", "8,x").output
    result = run(folder, "--format", "joints")
    assert isinstance(result.exception, ConfigError)
    assert "--fps" in result.exception.hint
    assert not (folder / "clips.csv").exists()


def test_help_teaches_with_an_example():
    result = run("--help")
    assert "soulstream-train data table aist/motions --format aist++" in result.output


def test_wrong_shares_are_refused_before_any_file_is_read(folder, monkeypatch):
    monkeypatch.setattr("soulstream_training.data.clip_table._find", lambda *_: pytest.fail("files were looked for"))
    result = run(folder, "--format", "joints", "--fps", 30, "--shares", "1,2")
    assert isinstance(result.exception, ConfigError)
    assert result.exception.code == "SPLIT_SHARES_INVALID"


def test_the_recipe_of_the_example_asks_for_music():
    recipe = "training/configs/data_own.toml"
    assert f"data prepare {recipe}" in (table.__doc__ or "")
    assert tomllib.loads(Path(recipe).read_text())["renderings"] > 0
