"""Every backend computes a real dance as torch does, and what is damaged is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from fakes.toy_bundle import CANDIDATES, Toy, toy
from onnx import TensorProto, numpy_helper
from typer.testing import CliRunner

from soulstream_engine.bundle import MANIFEST_NAME, load_bundle, sha256_of
from soulstream_engine.errors import BundleError, ConfigError
from soulstream_engine.runtime.network import Network
from soulstream_export.bundle_writer import example_inputs
from soulstream_export.cli import app
from soulstream_export.parity_tape import Tape, record_tape
from soulstream_export.steps import DecoderStep, MusicStep, StageStep
from soulstream_export.torch_reference import TorchReference
from soulstream_export.verify import CANDIDATES as BACKENDS
from soulstream_export.verify import compare, reference_tape

TICKS = 16


@pytest.fixture(scope="module")
def tape(networks: Toy) -> Tape:
    return reference_tape(load_bundle(networks.folder), None, TICKS)


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def changed(folder: Path, out: Path, file: str, change: Callable[[onnx.ModelProto], None]) -> Path:
    """A copy of a bundle with one graph changed and its hash redone."""
    out.mkdir()
    for path in folder.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    model = onnx.load(folder / file)
    change(model)
    data = model.SerializeToString()
    (out / file).write_bytes(data)
    document = json.loads((out / MANIFEST_NAME).read_text())
    document["files"][file] = {"sha256": sha256_of(data), "bytes": len(data)}
    (out / MANIFEST_NAME).write_text(json.dumps(document))
    return out


def damage_weight(model: onnx.ModelProto) -> None:
    weights = [tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16]
    weight = max(weights, key=lambda tensor: int(np.prod(tensor.dims)))
    values = numpy_helper.to_array(weight).copy()
    values.flat[::7] += 0.05
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))


def damage_norm(model: onnx.ModelProto) -> None:
    """Not a weight: what torch is given back stays whole, so the graph alone is wrong."""
    norm = next(node for node in model.graph.node if node.op_type == "LayerNormalization")
    epsilon = next(attribute for attribute in norm.attribute if attribute.name == "epsilon")
    epsilon.f = 0.1


@pytest.mark.parametrize("step", ["music", "mask", "residual", "decoder"])
def test_torch_is_given_back_its_weights(networks: Toy, step: str) -> None:
    tokenizer, mask, residual, folder, halves = networks
    made = {"music": MusicStep(mask, residual, halves), "mask": StageStep(mask), "residual": StageStep(residual)}
    made["decoder"] = DecoderStep(tokenizer, mask.config.levels)
    inputs = example_inputs(tokenizer, mask, CANDIDATES, halves)[step]
    with torch.no_grad():
        wanted = made[step].eval()(*inputs.values())
    found = TorchReference(load_bundle(folder)).run(step, {name: value.numpy() for name, value in inputs.items()})
    for value, other in zip(wanted, found.values(), strict=True):
        np.testing.assert_array_equal(other, value.numpy())


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "openvino-bf16"])
def test_a_dance_is_computed_as_torch_computes_it(networks: Toy, tape: Tape, name: str) -> None:
    if name != "onnxruntime":
        openvino = pytest.importorskip("openvino")
        if name.endswith("bf16") and "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip("this CPU does not compute in bfloat16")
    make, arithmetic = BACKENDS[name]
    parity = compare(tape, Network(load_bundle(networks.folder), make()).run, name, arithmetic)
    assert parity.ok, parity.checks()
    if arithmetic == "float32":
        assert parity.codes_equal == 1.0
        assert parity.max_abs_logit < 3e-5  # measured 3e-6


def test_the_tape_draws_the_codes_that_were_danced(networks: Toy, tape: Tape) -> None:
    """Codes from written-down scores and noise are those that the next call was given."""
    parts = networks.mask.config.num_parts
    checked = 0
    for call, following in zip(tape.calls, tape.calls[1:], strict=False):
        if call.step != "mask" or following.step != "mask":
            continue
        drawn = tape.codes(call, call.outputs["logits"])
        first = following.inputs["codes"].shape[1] - drawn.shape[1]
        np.testing.assert_array_equal(following.inputs["codes"][:, first : first + parts, 0], drawn[:, :parts])
        checked += 1
    assert checked >= TICKS


def test_the_command_shows_error_and_limit_and_writes_json(networks: Toy) -> None:
    result = run("verify", networks.folder, "--backend", "onnxruntime", "--ticks", 3, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout.splitlines()[-1])
    found = document["backends"]["onnxruntime"]
    assert found["ok"]
    assert document["ticks"] == 3
    assert 0.0 < document["max_abs_logit"] == found["max_abs_logit"] <= found["tolerance"]["logit"] == 1e-4
    assert document["codes_equal"] == found["codes_equal"] == 1.0
    assert "1e-04" in result.stderr


def test_a_graph_that_computes_something_else_fails(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = toy(tmp_path_factory.getbasetemp()).folder
    damaged = changed(folder, tmp_path / "damaged", "mask.onnx", damage_norm)
    result = run("verify", damaged, "--backend", "onnxruntime", "--ticks", 3, "--json")
    assert result.exit_code == 1
    assert not json.loads(result.stdout.splitlines()[-1])["backends"]["onnxruntime"]["ok"]


@pytest.mark.parametrize("file", ["music.onnx", "mask.onnx", "residual.onnx", "decoder.onnx"])
def test_a_damaged_weight_is_found_beside_the_bundle_it_should_be(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, file: str
) -> None:
    folder = toy(tmp_path_factory.getbasetemp()).folder
    damaged = changed(folder, tmp_path / "damaged", file, damage_weight)
    options = ("--backend", "onnxruntime", "--ticks", 3, "--reference", folder)
    assert run("verify", damaged, *options).exit_code == 1
    assert run("verify", folder, *options).exit_code == 0


def test_a_damaged_weight_whose_hash_was_not_redone_is_not_even_read(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = toy(tmp_path_factory.getbasetemp()).folder
    damaged = changed(folder, tmp_path / "damaged", "mask.onnx", damage_weight)
    (damaged / MANIFEST_NAME).write_bytes((folder / MANIFEST_NAME).read_bytes())
    result = run("verify", damaged, "--backend", "onnxruntime")
    assert isinstance(result.exception, BundleError)
    assert result.exception.code == "BUNDLE_HASH"


def test_weights_without_names_ask_for_another_export(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    def forget(model: onnx.ModelProto) -> None:
        old = "stage.enter.weight"
        for tensor in model.graph.initializer:
            tensor.name = tensor.name.replace(old, "val_1")
        for node in model.graph.node:
            node.input[:] = [name.replace(old, "val_1") for name in node.input]
            node.output[:] = [name.replace(old, "val_1") for name in node.output]

    folder = changed(toy(tmp_path_factory.getbasetemp()).folder, tmp_path / "old", "mask.onnx", forget)
    with pytest.raises(BundleError, match=r"no weight 'enter.weight'\. Export the bundle again"):
        TorchReference(load_bundle(folder))


def test_what_cannot_be_compared_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.getbasetemp()
    bundle = load_bundle(toy(base).folder)
    result = run("verify", bundle.path, "--backend", "abacus")
    assert isinstance(result.exception, ConfigError)
    assert "'abacus' is not one of onnxruntime, openvino" in str(result.exception)
    with pytest.raises(ConfigError, match="the built-in track has 217"):
        record_tape(bundle, Network(bundle).run, 100_000)
    with pytest.raises(BundleError, match="other steps or another sampler"):
        reference_tape(bundle, load_bundle(toy(base, 1, 2, 2, False).folder), 1)


@pytest.mark.parametrize("step", ["mask", "residual", "decoder"])
def test_constant_rows_are_looked_up_in_a_way_that_runtimes_compute_beforehand(networks: Toy, step: str) -> None:
    """OpenVINO computes GatherND of constants at the first run only, and then writes over what it found."""
    model = onnx.load(networks.folder / f"{step}.onnx")
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "GatherND" and node.input[1] in constants:
            assert constants[node.input[1]].dims[-1] > 1
