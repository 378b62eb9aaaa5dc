"""``soulstream-train eval retrieval`` on a toy store: the table, and what it refuses to judge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.motion_store import write_motion, write_music
from typer.testing import CliRunner

from soulstream_engine.errors import ConfigError
from soulstream_training.cli import app
from soulstream_training.data.guard import learned_from
from soulstream_training.data.store import read_index
from soulstream_training.models.mmr import Mmr, MmrConfig
from soulstream_training.recipes.checkpoint import save_weights
from soulstream_training.recipes.mmr_recipe import SIZES, MmrRecipe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_motion(tmp_path / "store")
    write_music(tmp_path / "music")
    model = Mmr(MmrConfig(263, 50, **SIZES["toy"]))
    learned = learned_from(entry for entry in read_index(tmp_path / "store") if entry.split == "train")
    about = {"model": model.config.to_json(), "recipe": MmrRecipe().model_dump(mode="json"), "trained_on": learned}
    save_weights(tmp_path / "weights", "mmr_body", model.state_dict(), 0, about)
    return tmp_path


def _run(folder: Path, *more: str):
    paths = ["--store", folder / "store", "--music", folder / "music", "--weights", folder / "weights"]
    return CliRunner().invoke(app, ["eval", "retrieval", *map(str, paths), *more])


def test_the_table_has_a_row_for_each_direction_and_gallery(folder: Path) -> None:
    result = _run(folder, "--split", "val", "--json")
    assert result.exit_code == 0, result.output
    numbers = json.loads(result.stdout.splitlines()[-1])
    assert [(row["direction"], row["protocol"], row["class"]) for row in numbers["rows"]] == [
        (direction, protocol, "A") for direction in ("m2d", "d2m") for protocol in ("full", "batch32", "dissimilar100")
    ]
    for row in numbers["rows"]:
        assert {"gallery", "chance_r1", "r1", "r2", "r3", "r5", "r10", "medr", "p"} <= row.keys()
        assert (row["gallery"], row["chance_r1"]) == (2, 50.0)
    assert 0.0 <= numbers["half_beat_drop"] <= 1.0
    assert numbers["mmr_ms"]["A"]["true"] > 0.0
    assert "No pairs of class B, real in this split." in result.stderr


def test_it_does_not_judge_on_what_was_learned(folder: Path) -> None:
    result = _run(folder, "--split", "train")
    assert isinstance(result.exception, ConfigError)
    assert result.exception.code == "JUDGED_BY_WHAT_WAS_LEARNED"


def test_music_of_other_splits_is_no_gallery(folder: Path) -> None:
    result = _run(folder, "--split", "test")
    assert isinstance(result.exception, ConfigError)
    assert "no music for the splits test" in result.exception.message
    assert "--test" in str(result.exception)


def test_music_that_was_never_made_is_named_with_its_command(folder: Path) -> None:
    result = _run(folder, "--music", str(folder / "nowhere"))
    assert isinstance(result.exception, ConfigError)
    assert "nowhere" in str(result.exception)
    assert "data music" in str(result.exception)
