"""The notices that go with weights in the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from soulstream_training.data.notices import MIT_TEXT, NOTICES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("licence", ["CMU-MOCAP", "CC-BY-4.0-G1MOVES", "MIT-ANIMATEDDRAWINGS", "MIT-IWER"])
def test_what_weights_were_made_from_is_named(licence: str) -> None:
    words = " ".join((ROOT / "NOTICES.md").read_text(encoding="utf-8").split())
    assert " ".join(NOTICES[licence].text.split()) in words
    assert not licence.startswith("MIT") or " ".join(MIT_TEXT.split()) in words
