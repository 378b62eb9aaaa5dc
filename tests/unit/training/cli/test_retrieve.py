"""``retrieve``: what it prints and draws, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch
from fakes.motion_store import write_motion
from typer.testing import CliRunner

from soulstream_engine.clock import SAMPLE_RATE
from soulstream_engine.errors import ConfigError
from soulstream_engine.features.layout import NUM_FEATURES
from soulstream_training.cli import app
from soulstream_training.data.guard import learned_from
from soulstream_training.data.store import read_index
from soulstream_training.models.mmr import Mmr, MmrConfig
from soulstream_training.recipes.checkpoint import save_weights
from soulstream_training.recipes.mmr_recipe import SIZES

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store, toy weights for both parts, and clicks at 120 beats a minute for 16 s."""
    path = tmp_path_factory.mktemp("retrieve")
    write_motion(path / "motion")
    torch.manual_seed(0)
    for part, columns in (("body", 263), ("whole", 675)):
        model = Mmr(MmrConfig(motion_dim=columns, music_dim=NUM_FEATURES, **SIZES["toy"]))
        learned = learned_from(entry for entry in read_index(path / "motion") if entry.split == "train")
        about = {"model": model.config.to_json(), "trained_on": learned}
        save_weights(path / "weights", f"mmr_{part}", model.state_dict(), 0, about)
    samples = np.zeros(16 * SAMPLE_RATE, np.float32)
    click = np.sin(np.arange(2400) * 0.13) * np.exp(-np.arange(2400) / 400)
    for start in range(0, len(samples), SAMPLE_RATE // 2):
        samples[start : start + len(click)] += 0.5 * click
    soundfile.write(path / "clicks.wav", samples, SAMPLE_RATE)
    return path


def run(folder, out, *arguments, song="clicks.wav"):
    paths = ["--store", folder / "motion", "--weights", folder / "weights", "--out", out / "found.png"]
    return CliRunner().invoke(app, ["retrieve", *map(str, [folder / song, *paths, *arguments])])


def test_best_and_worst_are_printed_and_drawn(folder, tmp_path):
    result = run(folder, tmp_path, "--best", 2, "--worst", 1, "--json")
    assert result.exit_code == 0, result.output
    numbers = json.loads(result.stdout.splitlines()[-1])
    assert (numbers["at_s"], numbers["dances"]) == (5.5, 4)
    assert [dance["rank"] for dance in numbers["best"]] == [1, 2]
    assert [dance["rank"] for dance in numbers["worst"]] == [4]
    scores = [dance["score"] for dance in numbers["best"] + numbers["worst"]]
    assert scores == sorted(scores, reverse=True)
    shown = numbers["best"] + numbers["worst"]
    assert all(dance["learned"] == (dance["split"] == "train") for dance in shown)
    assert {dance["second"] for dance in shown} <= {0.0, 1.0, 2.0, 3.0}
    assert numbers["picture"] == str(tmp_path / "found.png")
    content = (tmp_path / "found.png").read_bytes()
    assert content.startswith(PNG)
    assert len(content) < 400_000
    for dance in shown:
        assert dance["clip"] in result.stderr
    assert "Only 5.5 s of music come before" in result.stderr


def test_there_are_no_more_than_there_are(folder, tmp_path):
    result = run(folder, tmp_path, "--at", "9.5", "--worst", 20, "--part", "whole", "--json")
    assert result.exit_code == 0, result.output
    numbers = json.loads(result.stdout.splitlines()[-1])
    assert numbers["at_s"] == 9.5
    assert sorted(dance["clip"] for dance in numbers["best"]) == [f"clip_{n}" for n in range(4)]
    assert numbers["worst"] == []
    assert "of music come before" not in result.stderr


def test_only_splits_that_are_named_are_looked_at(folder, tmp_path):
    result = run(folder, tmp_path, "--splits", "val,test", "--json")
    numbers = json.loads(result.stdout.splitlines()[-1])
    assert sorted(dance["clip"] for dance in numbers["best"]) == ["clip_2", "clip_3"]
    assert not any(dance["learned"] for dance in numbers["best"])
    result = run(folder, tmp_path, "--splits", "aux")
    assert isinstance(result.exception, ConfigError)
    assert result.exception.code == "GALLERY_EMPTY"


def test_music_that_is_too_short_is_refused(folder, tmp_path):
    soundfile.write(folder / "short.wav", np.zeros(4 * SAMPLE_RATE, np.float32), SAMPLE_RATE)
    result = run(folder, tmp_path, song="short.wav")
    assert isinstance(result.exception, ConfigError)
    assert result.exception.code == "MUSIC_TOO_SHORT"
    assert "4.00 s" in result.exception.message
    result = run(folder, tmp_path, "--at", "11.5")
    assert isinstance(result.exception, ConfigError)
    assert "from 11.50 s on" in result.exception.message
    assert "0 to 11.00 s" in result.exception.hint
    result = run(folder, tmp_path, song="nothing.wav")
    assert isinstance(result.exception, ConfigError)
    assert not (tmp_path / "found.png").exists()


def test_missing_weights_are_named(folder, tmp_path):
    result = run(folder, tmp_path, "--weights", tmp_path)
    assert isinstance(result.exception, ConfigError)
    assert result.exception.code == "WEIGHTS_MISSING"
    assert "mmr_body" in result.exception.message
    assert "--weights" in result.exception.hint


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--part", "hands", "'hands' is not one of body, whole"),
        ("--splits", "train,valid", "'valid' is not one of train, val, test, aux"),
        ("--out", "found.jpg", "'found.jpg' is not a png"),
        ("--out", "no/where.png", "'no/where.png' is not a png"),
        ("--best", "0", "--best"),
        ("--worst", "21", "--worst"),
    ],
)
def test_options_that_are_wrong_are_refused(folder, tmp_path, option, value, words):
    result = run(folder, tmp_path, option, value)
    assert result.exit_code == 2
    assert words in result.output
