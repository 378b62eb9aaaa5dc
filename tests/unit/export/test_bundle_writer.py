from __future__ import annotations

from pathlib import Path

import pytest
from fakes.toy_bundle import CANDIDATES, SAMPLER, toy, toy_networks

from soulstream_engine.bundle import MANIFEST_NAME, load_bundle
from soulstream_engine.errors import BackendError, ConfigError
from soulstream_engine.features.layout import FEATURE_NAMES
from soulstream_engine.runtime.network import window_shape
from soulstream_export import bundle_writer
from soulstream_export.bundle_writer import BundleFacts, write_bundle
from soulstream_training.models.hrvq import LOOK_AHEAD


def test_manifest_says_what_the_networks_are(tmp_path_factory: pytest.TempPathFactory) -> None:
    made = toy(tmp_path_factory.getbasetemp())
    manifest = load_bundle(made.folder).manifest
    assert manifest.features.names == FEATURE_NAMES
    assert manifest.representation.parts == ("body",)
    assert manifest.representation.not_generated == ("hands", "face")
    tokenizer, config = manifest.tokenizer, made.mask.config
    assert (tokenizer.levels, tokenizer.codes, tokenizer.frames_per_token) == (3, 16, 4)
    assert tokenizer.look_ahead_frames == LOOK_AHEAD
    sampler = manifest.sampler
    assert (sampler.context_tokens, sampler.planned_tokens) == (config.context, config.planned)
    assert (sampler.commit_tokens, sampler.fresh_past_tokens) == (config.commit, config.fresh_past)
    assert sampler.iterations == SAMPLER["iterations"]
    assert {step.name for step in manifest.steps} == {
        "music",
        "mask",
        "mask_one",
        "residual",
        "residual_one",
        "decoder",
    }
    assert manifest.step("mask").file == manifest.step("mask_one").file, "the same weights are stored once"
    assert manifest.step("mask_one").inputs[0].shape[0] == 1
    decoder = manifest.step("decoder")
    assert len(decoder.states) == len(decoder.inputs) - 2 == len(decoder.outputs) - 2
    assert (window_shape(manifest).candidates, window_shape(manifest).halves) == (CANDIDATES, made.halves)
    without_guidance = BundleFacts("toy", "x", (), SAMPLER | {"guidance": 1.0, "residual_guidance": 1.0})
    assert without_guidance.halves == 1, "scores that nobody uses are computed"
    assert not list(made.folder.parent.glob("*.partial"))


def test_a_failed_export_leaves_the_old_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "bundle"
    old.mkdir()
    (old / MANIFEST_NAME).write_text("the old one")

    def refuse(*_: object) -> float:
        raise BackendError("PARITY", "differs")

    monkeypatch.setattr(bundle_writer, "check_parity", refuse)
    facts = BundleFacts("toy", "x", (), SAMPLER)
    with pytest.raises(BackendError):
        write_bundle(old, *toy_networks(1, 2), facts)
    assert (old / MANIFEST_NAME).read_text() == "the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="not a bundle"):
        write_bundle(tmp_path, *toy_networks(1, 2), BundleFacts("toy", "x", (), SAMPLER))
    assert (tmp_path / "thesis.txt").exists()
