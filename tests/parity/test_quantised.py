"""A bundle in another arithmetic or storage: smaller or larger, whole, and still a dancer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from fakes.toy_bundle import beat_track, toy
from typer.testing import CliRunner

from soulstream_engine.bundle import MANIFEST_NAME, load_bundle
from soulstream_engine.errors import BundleError, ConfigError
from soulstream_engine.frames import Provenance
from soulstream_engine.runtime.dance import DanceStream
from soulstream_engine.runtime.network import Network
from soulstream_engine.runtime.render import render_song
from soulstream_export.cli import app
from soulstream_export.quantise import FLOAT_STEPS, Form, quantise
from soulstream_export.verify import compare, reference_tape

FORMS: tuple[Form, ...] = ("int8-dynamic", "int8-static", "fp16", "fp32")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A toy bundle ("made of") and all its forms."""
    base = tmp_path_factory.mktemp("forms")
    source = toy(tmp_path_factory.getbasetemp()).folder
    bundle = load_bundle(source)
    return {"made of": source} | {form: quantise(bundle, base / form, form) for form in FORMS}


def weight_bytes(folder: Path, step: str = "mask") -> int:
    """Bytes of all constants of a graph."""
    model = onnx.load(folder / f"{step}.onnx")
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def test_sizes_are_what_the_form_promises(made: dict[str, Path]) -> None:
    half, full = weight_bytes(made["made of"]), weight_bytes(made["fp32"])
    assert weight_bytes(made["fp16"]) == half
    assert full > 1.7 * half
    for form in ("int8-dynamic", "int8-static"):
        assert weight_bytes(made[form]) < 0.85 * half


@pytest.mark.parametrize("form", ["fp16", "fp32"])
def test_another_storage_changes_no_number(made: dict[str, Path], form: str) -> None:
    samples = beat_track(4.0)
    before, after = (render_song(samples, load_bundle(made[name])) for name in ("made of", form))
    np.testing.assert_array_equal(after.joint_wxyz, before.joint_wxyz)
    assert load_bundle(made[form]).manifest.arithmetic == "float32"


@pytest.mark.parametrize("form", ["int8-dynamic", "int8-static"])
def test_int8_dances_and_stays_near(made: dict[str, Path], form: str) -> None:
    bundle, source = load_bundle(made[form]), load_bundle(made["made of"])
    assert bundle.manifest.arithmetic == "int8"
    stream = DanceStream(bundle)
    take = render_song(beat_track(6.0), bundle, stream=stream)
    assert np.isfinite(take.joints_m).all()
    assert stream.bad_chunks == 0
    assert Provenance.GENERATED in take.provenance
    parity = compare(reference_tape(bundle, source, 8), Network(bundle).run, form, "int8")
    assert parity.ok, parity.checks()
    assert parity.max_rel_logit > 1e-4, "nothing is computed in int8"


def test_what_must_stay_float_does(made: dict[str, Path]) -> None:
    for form in ("int8-dynamic", "int8-static"):
        for step in FLOAT_STEPS:
            assert (made[form] / f"{step}.onnx").read_bytes() == (made["made of"] / f"{step}.onnx").read_bytes()
        model = onnx.load(made[form] / "mask.onnx")
        makers = {name: node.op_type for node in model.graph.node for name in node.output}
        for node in model.graph.node:
            if node.op_type in ("LayerNormalization", "Softmax", "Gather"):
                assert makers.get(node.input[0]) not in ("DequantizeLinear", "QuantizeLinear")
        assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}


def test_the_command_says_what_became_of_the_size(made: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "small"
    result = CliRunner().invoke(
        app, ["quantise", str(made["made of"]), str(out), "--to", "int8-dynamic", "--json"], catch_exceptions=False
    )
    assert result.exit_code == 0
    document = json.loads(result.stdout.splitlines()[-1])
    assert document["to"] == "int8-dynamic"
    assert document["bytes"] == sum(path.stat().st_size for path in out.iterdir())
    assert json.loads((out / MANIFEST_NAME).read_text())["arithmetic"] == "int8"


def test_int8_is_not_quantised_again_and_torch_needs_its_source(made: dict[str, Path], tmp_path: Path) -> None:
    bundle = load_bundle(made["int8-dynamic"])
    with pytest.raises(BundleError, match="computes in int8"):
        quantise(bundle, tmp_path / "again", "int8-static")
    with pytest.raises(BundleError, match="--reference"):
        reference_tape(bundle, None, 1)


def test_a_folder_of_other_files_is_left_alone(made: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds files but no manifest.json"):
        quantise(load_bundle(made["made of"]), tmp_path, "fp32")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("command", ["verify", "quantise"])
def test_help_shows_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"soulstream-export {command}" in result.stdout
