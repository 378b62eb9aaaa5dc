"""Wrong settings: one message that lists all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from soulstream_engine.errors import ConfigError
from soulstream_training.cli.common import read_section
from soulstream_training.data.recipe import DataRecipe
from soulstream_training.recipes.hrvq import HrvqRecipe
from soulstream_training.recipes.magm import MagmRecipe

CONFIGS = Path(__file__).resolve().parents[4] / "training" / "configs"


def read(tmp_path: Path, text: str, section: str = "hrvq") -> HrvqRecipe | MagmRecipe:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return read_section(path, section, HrvqRecipe if section == "hrvq" else MagmRecipe)  # type: ignore[type-var]


@pytest.mark.parametrize("name", ["stage.toml", "toy.toml"])
def test_the_configs_that_ship_are_valid(name: str) -> None:
    assert read_section(CONFIGS / name, "hrvq", HrvqRecipe).steps > 0
    assert read_section(CONFIGS / name, "magm", MagmRecipe).steps > 0


def test_all_wrong_keys_and_values_are_listed_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, '[hrvq]\nstpes = 3\nbatch = "many"\nseeed = 1\n')
    for word in ("hrvq.stpes", "hrvq.batch", "hrvq.seeed"):
        assert word in caught.value.message
    assert "steps" in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("section", "table", "key"),
    [("hrvq", "model", "widht"), ("hrvq", "loss", "metrik"), ("magm", "model", "layerz")],
)
def test_wrong_keys_of_an_inner_table_are_listed_too(tmp_path: Path, section: str, table: str, key: str) -> None:
    text = f"[{section}]\nstpes = 3\n[{section}.{table}]\n{key} = 3\nother = 1\n"
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, section)
    for word in (key, "other", f"{section}.stpes"):
        assert word in caught.value.message


def test_unreadable_configs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path, "[hrvq\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_section(tmp_path / "none.toml", "hrvq", HrvqRecipe)


@pytest.mark.parametrize("name", ["data_open.toml", "data_stage.toml"])
def test_settings_of_data_sets_are_read_whole_and_unknown_keys_refused(name: str, tmp_path: Path) -> None:
    assert read_section(CONFIGS / name, "", DataRecipe).table == "clips.csv"
    (tmp_path / name).write_text((CONFIGS / name).read_text().replace("table =", "tabel ="))
    with pytest.raises(ConfigError, match=r": tabel: Extra inputs"):
        read_section(tmp_path / name, "", DataRecipe)
