"""Several bundles in one table: each dances with its own network, under a name of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.toy_bundle import beat_track, toy
from pydantic import ValidationError

from soulstream_engine.errors import BundleError
from soulstream_training.evaluation.judge_systems import JudgeConfig, Places, takes_of
from soulstream_training.evaluation.systems import Song, bundle_takes

SYSTEMS = ("real_a", "real_shifted", "soulstream")


def config(**bundles: Path) -> JudgeConfig:
    named = {name: {"folder": folder, "note": f"This is {name}."} for name, folder in bundles.items()}
    return JudgeConfig.model_validate({"systems": SYSTEMS, "seeds": (3,), "bundles": named})


@pytest.fixture(scope="module")
def songs() -> list[Song]:
    return [Song("clicks", beat_track(5.0), np.arange(0.0, 5.0, 0.5))]


def test_each_bundle_dances_with_its_own_network(tmp_path_factory: pytest.TempPathFactory, songs: list[Song]) -> None:
    base = tmp_path_factory.getbasetemp()
    ours, other = toy(base).folder, toy(base, 1, 2, 2, False).folder
    settings, places = config(other=other), Places(base, base, base, base, ours)
    assert settings.names == (*SYSTEMS, "other")
    steps: list[None] = []
    found = takes_of("other", settings, places, songs, lambda: steps.append(None))
    wanted = bundle_takes(other, songs, settings.seeds)
    np.testing.assert_array_equal(found.takes[0][0].joints_m, wanted[0][0].joints_m)
    embedded = takes_of("soulstream", settings, places, songs)
    assert not np.array_equal(found.takes[0][0].joints_m, embedded.takes[0][0].joints_m)
    assert (found.name, found.note, found.is_causal, len(steps)) == ("other", "This is other.", True, 1)


def test_a_bundle_that_is_not_there_is_named(tmp_path: Path, songs: list[Song]) -> None:
    settings = config(gone=tmp_path / "gone")
    with pytest.raises(BundleError, match="gone"):
        takes_of("gone", settings, Places(tmp_path, tmp_path, tmp_path, tmp_path), songs)


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="'soulstream' is the name of another system"):
        config(soulstream=tmp_path)
    imported = {"edge": {"folder": tmp_path, "format": "edge", "wait_s": 0.0, "is_causal": True}}
    with pytest.raises(ValidationError, match="'edge' is the name of another system"):
        JudgeConfig.model_validate(
            {"systems": SYSTEMS, "imported": imported, "bundles": {"edge": {"folder": tmp_path}}}
        )
