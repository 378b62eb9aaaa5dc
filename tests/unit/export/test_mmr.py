from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from fakes.toy_mmr import MOTION_COLUMNS, STEP, TRAINED_ON, save_toy_mmr, toy_mmr, toy_style
from typer.testing import CliRunner

from soulstream_engine.bundle import sha256_of
from soulstream_engine.errors import BackendError, ConfigError
from soulstream_engine.features.layout import FEATURE_NAMES
from soulstream_engine.style_model import STYLE_MANIFEST_NAME, load_music_style, read_style_model
from soulstream_export import mmr
from soulstream_export.cli import app
from soulstream_export.mmr import PARITY_TOLERANCE, export_mmr


def test_the_json_says_what_the_encoders_read_and_learned(tmp_path_factory: pytest.TempPathFactory) -> None:
    toy = toy_style(tmp_path_factory.getbasetemp())
    document = json.loads((toy.folder / STYLE_MANIFEST_NAME).read_text())
    assert document["schema_version"] == 1
    assert (document["part"], document["licence"], document["step"]) == ("body", "GPL-3.0-or-later", STEP)
    assert document["feature_names"] == list(FEATURE_NAMES)
    assert (document["motion_columns"], document["fps"], document["frames"]) == (MOTION_COLUMNS, 30, 150)
    assert document["width"] == toy.model.config.width
    assert document["trained_on"] == TRAINED_ON
    for name in ("motion", "music"):
        data = (toy.folder / f"{name}.onnx").read_bytes()
        assert (document[name]["sha256"], document[name]["bytes"]) == (sha256_of(data), len(data))
        assert 0.0 < document[name]["parity"] <= PARITY_TOLERANCE
    assert {path.name for path in toy.folder.iterdir()} == {"mmr.json", "motion.onnx", "music.onnx"}


def test_a_failed_export_leaves_the_old_folder_and_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "mmr"
    old.mkdir()
    (old / STYLE_MANIFEST_NAME).write_text("the old one")

    def refuse(*_: object) -> None:
        raise BackendError("PARITY", "differs")

    monkeypatch.setattr(mmr, "export_graph", refuse)
    model = toy_mmr()
    with torch.no_grad():
        model.music.tokens.add_(1e-6)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(BackendError):
        export_mmr(model.train(), old, part="body", trained_on={}, step=1)
    assert (old / STYLE_MANIFEST_NAME).read_text() == "the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["mmr"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_what_cannot_be_used_is_refused_before_anything_is_exported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reads 4800 columns; the engine hears 50 features"):
        export_mmr(toy_mmr(music_dim=4800), tmp_path / "mmr", part="body", trained_on={}, step=1)
    with pytest.raises(ConfigError, match="A window of 152 frames is no multiple of 10"):
        export_mmr(toy_mmr(), tmp_path / "mmr", part="body", trained_on={}, step=1, frames=152)
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="not a retrieval model that may be replaced"):
        export_mmr(toy_mmr(), tmp_path, part="body", trained_on={}, step=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_command_exports_weights_with_the_window_of_their_training(tmp_path: Path) -> None:
    save_toy_mmr(tmp_path / "weights", toy_mmr(), frames=60)
    out = tmp_path / "mmr_body"
    arguments = ["mmr", "--weights", str(tmp_path / "weights"), "--part", "body", "--out", str(out), "--json"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    numbers = json.loads(result.stdout.splitlines()[-1])
    assert (numbers["mmr"], numbers["part"], numbers["frames"]) == (str(out), "body", 60)
    assert numbers["bytes"] == sum(path.stat().st_size for path in out.glob("*.onnx"))
    assert 0.0 < numbers["parity"] <= PARITY_TOLERANCE
    manifest = read_style_model(out).manifest
    assert manifest.step == STEP
    assert {kind: list(keys) for kind, keys in manifest.trained_on.items()} == TRAINED_ON
    assert load_music_style(out).frames == 60


def test_the_command_refuses_what_is_not_there(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    missing = CliRunner().invoke(app, ["mmr", "--weights", str(tmp_path), "--out", out])
    assert isinstance(missing.exception, ConfigError)
    assert "mmr_body.safetensors" in str(missing.exception)
    wrong = CliRunner().invoke(app, ["mmr", "--part", "legs", "--out", out])
    assert wrong.exit_code == 2
    assert "whole" in wrong.output


def test_the_help_of_every_command_teaches_with_an_example() -> None:
    for command in ("bundle", "mmr"):
        result = CliRunner().invoke(app, [command, "--help"])
        assert f"soulstream-export {command}" in result.output.split("Options")[0].split("Usage")[1].split("\n", 1)[1]
