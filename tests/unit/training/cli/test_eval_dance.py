"""``soulstream-train eval dance --quick`` on toy models: the whole way from songs to the table and the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
from fakes.beat_dancers import Figure, write_figures
from fakes.toy_bundle import beat_track, toy
from fakes.toy_mmr import save_toy_mmr, toy_mmr
from typer.testing import CliRunner

from soulstream_engine.clock import SAMPLE_RATE
from soulstream_engine.errors import ConfigError
from soulstream_training.cli import app
from soulstream_training.evaluation.judge import BEAT_METRICS

HEADER = "id,path,mix_with,seconds,bpm,bpm_certainty,first_beat_s,genre,licence,notes,use\n"
METRICS = {"bas", "beat_f1", "shift_p", "fid_k", "fid_g", "div_k", "div_g", "foot_slide", "jerk", "pfc", "mmr_ms"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("judge")
    tests = [Figure(f"t{n}", "test", bpm=90.0 + 10 * n, seconds=12.0) for n in range(8)]
    write_figures(path / "store", path / "test_music", tests)
    write_figures(path / "trained", path / "music", [Figure("one"), Figure("two", bpm=110.0, timbre=1.0)])
    save_toy_mmr(path / "weights", toy_mmr())
    (path / "data").mkdir()
    rows = []
    for name in "abc":
        soundfile.write(path / "data" / f"{name}.wav", beat_track(12.0), SAMPLE_RATE)
        rows.append(f"{name},{name}.wav,,12,120,sure,0.1,x,x,,test\n")
    (path / "data" / "music.csv").write_text(HEADER + "".join(rows))
    return path


def _run(folder: Path, bundle: Path, names: str, *more: object):
    config = folder / "judge.toml"
    listed = ", ".join(f'"{name}"' for name in ("real_a", "real_shifted", *names.split()))
    config.write_text(f'[judge]\nuses = ["test"]\nsystems = [{listed}]\n')
    paths = [
        "--data", folder / "data", "--store", folder / "store", "--music", folder / "music",
        "--test-music", folder / "test_music", "--weights", folder / "weights", "--bundle", bundle,
    ]  # fmt: skip
    return CliRunner().invoke(app, ["eval", "dance", *map(str, [config, "--quick", *paths, *more])])


def test_every_system_has_every_number(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    bundle = toy(tmp_path_factory.getbasetemp()).folder
    result = _run(folder, bundle, "idle random_codes soulstream", "--json")
    assert result.exit_code == 0, result.output
    table = json.loads(result.stdout.splitlines()[-1])
    assert list(table["systems"]) == ["real_a", "real_shifted", "idle", "random_codes", "soulstream"]
    for name, row in table["systems"].items():
        assert row.keys() >= METRICS, name
        for metric, found in row.items():
            assert found["low"] <= found["high"], (name, metric)
    real, shifted = table["systems"]["real_a"], table["systems"]["real_shifted"]
    assert real["bas"]["value"] > 0.85
    assert real["fid_k"]["value"] < 1e-3
    assert shifted["bas"]["value"] < real["bas"]["value"]
    assert table["systems"]["soulstream"]["boundary_jerk"]["value"] > 0.0
    assert table["beat_metrics"].keys() == BEAT_METRICS.keys()
    assert table["beat_metrics"]["bas"]["p"] == pytest.approx(1 / 45, abs=5e-3), "8 songs and 2 cannot tell more"
    assert not table["beat_metrics"]["mmr_ms"]["used"], "a random judge cannot tell real dancers from anybody"
    assert table["conditions"]["soulstream"]["dances"] == 2
    assert table["about"]["songs"] == ["a", "b"]


def test_a_system_without_weights_or_an_unknown_one_is_named(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = toy(tmp_path_factory.getbasetemp()).folder
    result = _run(folder, bundle, "diffusion")
    assert isinstance(result.exception, ConfigError)
    assert "diffusion.safetensors" in str(result.exception)
    result = _run(folder, bundle, "nobody")
    assert "'nobody' is not one of" in str(result.exception)
    result = _run(folder, bundle, "idle", "--only", "soulstreem")
    assert "'soulstreem' is not one of" in str(result.exception)
