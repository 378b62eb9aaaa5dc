"""ONNX Runtime computes what torch computes, for every step and every way in which the sampler calls it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from fakes.toy_bundle import CANDIDATES, Toy
from onnx import TensorProto, numpy_helper
from torch import nn

from soulstream_engine.backends.onnx_runtime import OnnxRuntimeBackend, OnnxRuntimeStep
from soulstream_engine.bundle import Bundle, load_bundle
from soulstream_engine.errors import BackendError
from soulstream_export.bundle_writer import check_parity, example_inputs
from soulstream_export.graph import HALF_FROM_ELEMENTS
from soulstream_export.steps import DecoderStep, MusicStep, StageStep
from soulstream_training.losses.kinematics import speed_of_rows

TOLERANCE = 1e-4  # measured 2e-5; logits are of order 10
STEPS = ("music", "mask", "residual", "decoder")


@pytest.fixture(scope="module")
def bundle(networks: Toy) -> Bundle:
    return load_bundle(networks.folder)


def example(networks: Toy, seed: int = 0) -> dict[str, dict[str, torch.Tensor]]:
    return example_inputs(networks.tokenizer, networks.mask, CANDIDATES, networks.halves, seed)


def torch_step(networks: Toy, name: str) -> nn.Module:
    tokenizer, mask, residual, _, halves = networks
    config = mask.config
    made = {"music": lambda: MusicStep(mask, residual, halves), "mask": lambda: StageStep(mask)}
    made |= {"residual": lambda: StageStep(residual)}
    made |= {"decoder": lambda: DecoderStep(tokenizer, config.levels)}
    return made[name]().eval()


def onnx_step(bundle: Bundle, name: str) -> OnnxRuntimeStep:
    return OnnxRuntimeBackend().load(bundle.graphs[name], name, bundle.manifest.step(name))


def assert_equal(networks: Toy, bundle: Bundle, name: str, inputs: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        expected = torch_step(networks, name)(*inputs.values())
    found = onnx_step(bundle, name).run({key: value.numpy() for key, value in inputs.items()})
    outputs = [tensor.name for tensor in bundle.manifest.step(name).outputs]
    assert len(outputs) == len(expected)
    for output, value in zip(outputs, expected, strict=True):
        assert found[output].shape == tuple(value.shape)
        assert np.abs(found[output] - value.numpy()).max() <= TOLERANCE, output


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", STEPS)
def test_random_inputs(networks: Toy, bundle: Bundle, name: str, seed: int) -> None:
    torch.manual_seed(seed)
    assert_equal(networks, bundle, name, example(networks, seed)[name])


@pytest.mark.parametrize("name", ["mask", "residual"])
def test_the_start_of_a_stream_and_committing(networks: Toy, bundle: Bundle, name: str) -> None:
    inputs = example(networks, 3)[name]
    for valid in ("past_valid", "music_valid"):
        half = len(inputs[valid]) // 2
        inputs[valid] = (torch.arange(len(inputs[valid])) >= half).float()
    for committing in (0.0, 1.0):
        inputs["committing"] = torch.tensor([committing])
        assert_equal(networks, bundle, name, inputs)
    inputs["past_valid"] = torch.zeros_like(inputs["past_valid"])
    assert_equal(networks, bundle, name, inputs)


@pytest.mark.parametrize("name", ["mask", "residual"])
def test_one_plan_alone_is_scored_as_among_several(networks: Toy, bundle: Bundle, name: str) -> None:
    inputs = example(networks, 5)[name]
    together = onnx_step(bundle, name).run({key: value.numpy() for key, value in inputs.items()})
    step = onnx_step(bundle, f"{name}_one")
    for plan in range(CANDIDATES):
        single = inputs | {key: inputs[key][plan : plan + 1] for key in ("codes", "level_seen")}
        alone = step.run({key: value.numpy() for key, value in single.items()})
        assert np.abs(alone["logits"][:, 0] - together["logits"][:, plan]).max() < TOLERANCE
        if plan == 0:
            assert np.abs(alone["new_k"] - together["new_k"]).max() < TOLERANCE


def test_every_level_of_the_residual_stage(networks: Toy, bundle: Bundle) -> None:
    inputs = example(networks, 4)["residual"]
    scores = []
    for level in range(networks.residual.config.levels_out):
        inputs["level"] = torch.tensor([level])
        assert_equal(networks, bundle, "residual", inputs)
        step = onnx_step(bundle, "residual")
        scores.append(step.run({key: value.numpy() for key, value in inputs.items()})["logits"])
    assert all(not np.allclose(scores[0], other) for other in scores[1:])


@pytest.mark.parametrize("commit", [1, 2])
def test_plans_decoded_tick_by_tick_equal_the_whole_clip(networks: Toy, bundle: Bundle, commit: int) -> None:
    """Every plan goes on from the one that was danced, and what it foresees is what the whole clip does."""
    tokenizer, planned = networks.tokenizer, networks.mask.config.planned
    config = networks.mask.config
    codes = torch.randint(config.num_codes, (CANDIDATES, config.num_parts, 4 * commit + planned, config.levels))
    codes[1:, :, : 4 * commit] = codes[:1, :, : 4 * commit]  # one past, several futures
    with torch.no_grad():
        whole = tokenizer.detokenize(codes)[0]
        speeds = speed_of_rows(whole).numpy()
    step = onnx_step(bundle, "decoder")
    initial = DecoderStep(tokenizer, config.levels).initial_states(CANDIDATES)
    states = {f"state_{number}": state.numpy() for number, state in enumerate(initial)}
    for tick in range(5):
        frame = 4 * commit * tick
        given = codes[:, :, tick * commit : tick * commit + planned].numpy()
        out = step.run({"codes": given, "kept": np.array([commit]), **states})
        states = {name: np.repeat(out[f"next_{name}"][:1], CANDIDATES, axis=0) for name in states}
        motion = whole[:, frame : frame + 4 * planned].numpy()
        assert np.abs(out["motion"] - motion).max() < TOLERANCE
        if tick:
            seen = speeds[:, frame - 1 : frame - 1 + 4 * planned]
            assert np.abs(out["pace"] - seen).max() < 10 * TOLERANCE


@pytest.mark.parametrize("name", STEPS)
def test_graphs_are_self_contained_and_standard(bundle: Bundle, name: str) -> None:
    model = onnx.load_from_string(bundle.graphs[name])
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    assert {opset.domain for opset in model.opset_import} <= {"", "ai.onnx"}
    assert not model.functions
    for tensor in model.graph.initializer:
        assert tensor.data_location == TensorProto.DEFAULT
        assert not tensor.external_data
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)


@pytest.mark.parametrize("name", STEPS)
def test_weights_take_two_bytes_each(networks: Toy, bundle: Bundle, name: str) -> None:
    model = onnx.load_from_string(bundle.graphs[name])
    large = [t for t in model.graph.initializer if int(np.prod(t.dims)) >= HALF_FROM_ELEMENTS]
    floats = [t for t in large if t.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16)]
    assert floats
    assert all(t.data_type == TensorProto.FLOAT16 for t in floats)
    numbers = sum(int(np.prod(t.dims)) for t in model.graph.initializer)
    others = len(bundle.graphs[name]) - sum(len(t.raw_data) for t in model.graph.initializer)
    assert len(bundle.graphs[name]) - others < 3 * numbers


@pytest.mark.parametrize("name", ["mask", "decoder"])
def test_a_damaged_weight_is_noticed(networks: Toy, bundle: Bundle, name: str) -> None:
    model = onnx.load_from_string(bundle.graphs[name])
    weights = [tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16]
    weight = max(weights, key=lambda tensor: int(np.prod(tensor.dims)))
    values = numpy_helper.to_array(weight).copy()
    values.flat[::7] += 0.25
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    inputs = example(networks)[name]
    spec = bundle.manifest.step(name)
    outputs = [tensor.name for tensor in spec.outputs]
    intact = check_parity(name, torch_step(networks, name), bundle.graphs[name], spec, inputs, outputs)
    assert intact < TOLERANCE
    with pytest.raises(BackendError, match=f"'{name}' differs by"):
        check_parity(name, torch_step(networks, name), model.SerializeToString(), spec, inputs, outputs)


def test_a_network_that_is_not_finite_is_not_shipped(networks: Toy, bundle: Bundle) -> None:
    class Broken(nn.Module):
        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(value * float("nan") for value in torch_step(networks, "mask")(*inputs))

    inputs = example(networks)["mask"]
    spec = bundle.manifest.step("mask")
    with pytest.raises(BackendError, match="nan"):
        check_parity("mask", Broken(), bundle.graphs["mask"], spec, inputs, [t.name for t in spec.outputs])
