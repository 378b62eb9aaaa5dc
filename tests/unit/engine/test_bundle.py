"""A bundle is opened only when every byte of it is what its manifest says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.bundle_files import write_bundle

from soulstream_engine.bundle import check_features, default_bundle_path, load_bundle, sha256_of
from soulstream_engine.errors import BundleError


def test_a_valid_bundle_gives_manifest_graphs_and_statistics(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tmp_path / "toy"))
    assert bundle.manifest.model_id == "toy"
    assert bundle.manifest.sampler.commit_tokens == 2
    assert bundle.manifest.representation.not_generated == ("hands", "face")
    assert sha256_of(bundle.graphs["step"]) == bundle.manifest.files["step.onnx"].sha256
    np.testing.assert_array_equal(bundle.arrays["std"], np.ones(263, np.float32))
    with pytest.raises(ValueError, match="read-only"):
        bundle.arrays["std"][0] = 2.0


def test_the_embedded_bundle_is_valid_where_there_is_one() -> None:
    try:
        path = default_bundle_path()
    except BundleError as error:
        pytest.skip(f"no embedded model yet: {error.message}")
    bundle = load_bundle(path)
    total = sum(entry.bytes for entry in bundle.manifest.files.values())
    assert total <= 25_000_000
    assert bundle.manifest.notices


def test_features_in_another_order_are_refused_with_the_first_difference(tmp_path: Path) -> None:
    manifest = load_bundle(write_bundle(tmp_path / "toy")).manifest
    check_features(manifest, ["mel_0", "onset"])
    with pytest.raises(BundleError, match="column 1: 'onset' against 'level'"):
        check_features(manifest, ["mel_0", "level"])
    with pytest.raises(BundleError, match="column 2: 'nothing' against 'extra'"):
        check_features(manifest, ["mel_0", "onset", "extra"])


def test_every_unknown_and_wrong_field_is_reported_at_once_with_the_nearest_key(tmp_path: Path) -> None:
    def edit(document: dict) -> None:
        document["sampler"]["iteratons"] = document["sampler"].pop("iterations")
        document["tokenizer"]["levels"] = 0
        document["colour"] = "red"

    with pytest.raises(BundleError) as caught:
        load_bundle(write_bundle(tmp_path / "toy", edit=edit))
    message = caught.value.message
    assert "sampler.iteratons: unknown key; did you mean 'iterations'?" in message
    assert "sampler.iterations: missing" in message
    assert "tokenizer.levels" in message
    assert "got 0" in message
    assert "colour: unknown key" in message


def test_a_state_that_changes_shape_is_refused(tmp_path: Path) -> None:
    def edit(document: dict) -> None:
        document["steps"][0]["outputs"][1]["shape"] = [5]

    with pytest.raises(BundleError, match=r"state 'state_in' of step 'step' is \[4\] float32 going in and \[5\]"):
        load_bundle(write_bundle(tmp_path / "toy", edit=edit))


def test_files_beside_the_listed_ones_are_ignored(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "toy")
    (folder / "MODEL_CARD.md").write_text("# toy\n")
    assert set(load_bundle(folder).manifest.files) == {"step.onnx", "stats.npz"}


def test_a_graph_that_was_changed_after_the_bundle_was_opened_is_not_run(tmp_path: Path) -> None:
    """Graphs are read when a runtime asks for them, so they are checked then."""
    folder = write_bundle(tmp_path / "toy")
    bundle = load_bundle(folder)
    path = folder / "step.onnx"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(BundleError, match="was changed"):
        bundle.graphs["step"]
    path.unlink()
    with pytest.raises(BundleError, match="lacks its file"):
        bundle.graphs["step"]
    assert list(bundle.graphs) == ["step"]
