from __future__ import annotations

from pathlib import Path

import pytest

from soulstream_engine.errors import ConfigError
from soulstream_engine.manifest import Sampler
from soulstream_export.cli import read_facts

CONFIGS = Path(__file__).resolve().parents[3] / "training" / "configs"


def test_facts_of_the_bundle_that_ships_are_complete() -> None:
    facts = read_facts(CONFIGS / "bundle.toml")
    assert facts.model_id
    assert facts.licence == "GPL-3.0-or-later"
    assert set(facts.not_generated) == {"hands", "face"}
    assert any("mocap.cs.cmu.edu" in notice for notice in facts.notices)
    assert any("Groove" in notice for notice in facts.notices)
    sizes = {"context_tokens": 24, "planned_tokens": 8, "commit_tokens": 2}
    assert Sampler.model_validate(sizes | facts.sampler).lead_frames == facts.sampler["lead_frames"]


@pytest.mark.parametrize(
    "text", ["model_id = 3 = 4", 'model_id = "toy"', 'model_id = "toy"\nnotices = []\nwrong = 1', None]
)
def test_facts_that_cannot_be_read_are_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "facts.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"facts\.toml") as caught:
        read_facts(path)
    assert caught.value.exit_code == 2
