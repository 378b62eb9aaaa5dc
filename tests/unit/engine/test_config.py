"""Settings come from four places, and everything wrong with them is said at once."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from soulstream_engine.config import Config, describe_settings, resolve
from soulstream_engine.errors import ConfigError


def test_without_anything_the_defaults_hold() -> None:
    config, origins = resolve()
    assert config == Config()
    assert config.osc.targets == ("vmc://127.0.0.1:39539",)
    assert config.osc.fps == 30
    assert set(origins.values()) == {"default"}


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "show.toml"
    file.write_text('[osc]\nfps = 30\ntargets = ["vmc://file:1"]\n[model]\nseed = 1\n[audio]\noffset_ms = -20.5\n')
    config, origins = resolve(
        file=file,
        environ={
            "SOULSTREAM_MODEL__SEED": "2",
            "SOULSTREAM_OSC__FPS": "60",
            "SOULSTREAM_OSC__TARGETS": "vmc://a:1, vmc://b:2",
            "HOME": "/x",
        },
        options={"model.seed": 3, "session.seconds": None},
    )
    assert config.osc.fps == 60
    assert config.osc.targets == ("vmc://a:1", "vmc://b:2")
    assert config.model.seed == 3
    assert config.audio.offset_ms == -20.5
    assert config.session.seconds is None
    assert origins["audio.offset_ms"] == str(file)
    assert origins["osc.targets"] == "SOULSTREAM_OSC__TARGETS"
    assert origins["model.seed"] == "command line"
    assert origins["preview.port"] == "default"


def test_everything_wrong_is_listed_with_value_limit_origin_and_nearest_key(tmp_path: Path) -> None:
    file = tmp_path / "show.toml"
    file.write_text('colour = "red"\n[osc]\nfsp = 60\n[audio]\noffset_ms = 5000\n')
    with pytest.raises(ConfigError) as caught:
        resolve(file=file, environ={"SOULSTREAM_PREVIEW__PORT": "80"}, options={"osc.fps": 25})
    message = caught.value.message
    assert "5 setting(s)" in message
    assert f"osc.fsp: unknown key; did you mean 'fps'? (from {file})" in message
    assert "audio.offset_ms: input should be less than or equal to 2000, got 5000" in message
    assert (
        "preview.port: input should be greater than or equal to 1024, got '80' (from SOULSTREAM_PREVIEW__PORT)"
        in message
    )
    assert "osc.fps: input should be 30, 60 or 120, got 25 (from command line)" in message
    assert "colour: unknown key" in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["[osc", "osc = 3\n", "[[osc]]\nfps = 30\n", "a = " + "[" * 5000, "\x00"])
def test_a_file_that_is_no_settings_file_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        resolve(file=file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml' cannot be read"):
        resolve(file=tmp_path / "none.toml")


def test_the_documented_settings_are_all_there_are(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "settings.md").read_text(encoding="utf-8")
    example = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    file = tmp_path / "show.toml"
    file.write_text(re.sub(r"^# (\w+ = )", r"\1", example.group(1), flags=re.MULTILINE))
    _, origins = resolve(file=file)
    assert set(origins.values()) == {str(file)}, "a key is missing from docs/settings.md"


def test_what_print_config_shows_can_be_used_as_a_file(tmp_path: Path) -> None:
    config, origins = resolve(options={"osc.fps": 60, "audio.source": "a 'song'.wav", "model.bundle": "x\\y"})
    text = describe_settings(config, origins)
    assert "fps = 60  # command line" in text
    file = tmp_path / "again.toml"
    file.write_text(text)
    tomllib.loads(text)
    assert resolve(file=file)[0] == config
