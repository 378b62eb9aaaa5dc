"""Compiling with the real TensorRT-RTX, which needs no GPU: sizes, precision of every layer, refusals, stopping."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import onnx
import pytest
from fakes.bundle_files import add_graph
from fakes.toy_bundle import toy
from onnx import TensorProto, helper, numpy_helper

from soulstream_engine.backends import plan_builder, tensorrt
from soulstream_engine.backends.plan_builder import (
    PRECISIONS,
    TensorRt,
    build,
    compile_for,
    parse,
    require_signature,
    signature,
)
from soulstream_engine.backends.plan_precision import halve_products
from soulstream_engine.backends.plan_progress import Phases, Preparation
from soulstream_engine.bundle import Bundle, load_bundle
from soulstream_engine.errors import BackendError

trt = pytest.importorskip("tensorrt_rtx")
ADA = "8.9"
STEPS = ["music", "mask", "mask_one", "residual", "residual_one", "decoder"]


@pytest.fixture(scope="module")
def runtime() -> TensorRt:
    return TensorRt("tensorrt-rtx")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(toy(tmp_path_factory.getbasetemp()).folder)


def layers_of(network: Any) -> list[Any]:
    return [network.get_layer(index) for index in range(network.num_layers)]


def two_products(width: int = 32, output: str = "logits", operators: tuple[str, ...] = ()) -> bytes:
    """x -> product -> layer norm -> softmax -> product -> ``output``; FP32."""
    generator = np.random.default_rng(0)
    weights = {name: generator.normal(size=(width, width)).astype(np.float32) for name in ("w1", "w2")}
    weights |= {"scale": np.ones(width, np.float32), "shift": np.zeros(width, np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], name="first"),
        helper.make_node("LayerNormalization", ["a", "scale", "shift"], ["b"], name="norm"),
        helper.make_node("Softmax", ["b"], ["c"], name="softmax"),
        *(helper.make_node(operator, ["c"], [f"d{n}"]) for n, operator in enumerate(operators)),
        helper.make_node("MatMul", ["c", "w2"], [output], name="last"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "two",
        [value("x", TensorProto.FLOAT, ["plans", width])],
        [value(output, TensorProto.FLOAT, ["plans", width])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", STEPS)
def test_every_step_compiles_with_the_signature_of_the_manifest(
    name: str, precision: str, runtime: TensorRt, bundle: Bundle
) -> None:
    shares: list[float] = []
    spec = bundle.manifest.step(name)

    def note(step: str, share: float) -> bool:
        assert step == name
        shares.append(share)
        return True

    plan = compile_for(runtime, bundle.graphs[name], spec, precision, ADA, note)
    assert len(plan) > 10_000
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) > 10


@pytest.mark.parametrize("name", STEPS)
def test_norms_softmax_sums_and_scores_stay_single(name: str, runtime: TensorRt, bundle: Bundle) -> None:
    network = parse(runtime, bundle.graphs[name], name, bundle.manifest.step(name).sizes).network
    assert halve_products(trt, network) > 0
    kinds = trt.LayerType
    in_half = set()
    for layer in layers_of(network):
        inputs = [layer.get_input(index) for index in range(layer.num_inputs)]
        tensors = [tensor for tensor in (*inputs, layer.get_output(0)) if tensor is not None]
        if any(tensor.dtype == trt.float16 for tensor in tensors):
            in_half.add(layer.type)
        if layer.type in (kinds.MATRIX_MULTIPLY, kinds.EINSUM):
            assert len({tensor.dtype for tensor in tensors}) == 1, layer.name
    stored = {kinds.CONSTANT, kinds.CAST}  # weights are stored in half precision and cast before they are used
    assert in_half - stored <= {kinds.MATRIX_MULTIPLY, kinds.CONVOLUTION}
    assert {network.get_output(index).dtype for index in range(network.num_outputs)} == {trt.float32}


def test_the_first_product_is_half_and_everything_behind_it_single(runtime: TensorRt) -> None:
    network = parse(runtime, two_products(), "two", {"plans": 4}).network
    assert halve_products(trt, network) == 1
    types = {layer.name: layer.get_output(0).dtype for layer in layers_of(network)}
    assert types["first"] == trt.float16
    assert types["norm"] == types["softmax"] == types["last"] == trt.float32
    assert plan_builder.RECIPE >= 1


def test_the_last_product_of_other_outputs_may_be_half(runtime: TensorRt) -> None:
    graph = two_products(output="new_k", operators=("Relu",))
    network = parse(runtime, graph, "two", {"plans": 4}).network
    assert halve_products(trt, network) == 1  # the product that is an output itself keeps its type
    assert network.get_output(0).dtype == trt.float32


def test_small_products_stay_single(runtime: TensorRt) -> None:
    assert halve_products(trt, parse(runtime, two_products(width=15), "two", {"plans": 4}).network) == 0


def test_tf32_is_off_so_that_fp32_means_it(runtime: TensorRt, monkeypatch: pytest.MonkeyPatch) -> None:
    flags: list[bool] = []
    real = trt.IBuilderConfig.clear_flag
    monkeypatch.setattr(trt.IBuilderConfig, "clear_flag", lambda self, flag: (flags.append(flag), real(self, flag))[1])
    build(runtime, parse(runtime, two_products(), "two", {"plans": 4}), "fp32", ADA)
    assert flags == [trt.BuilderFlag.TF32]


def test_every_operator_of_our_graphs_is_supported(runtime: TensorRt, bundle: Bundle) -> None:
    network = trt.Builder(runtime.logger).create_network(1)
    parser = trt.OnnxParser(network, runtime.logger)
    used = {node.op_type for data in bundle.graphs.values() for node in onnx.load_from_string(data).graph.node}
    assert "MatMul" in used
    assert not {operator for operator in used if not parser.supports_operator(operator)}
    assert not parser.supports_operator("NoSuchOperator")


def test_a_signature_that_differs_is_refused_before_compiling(runtime: TensorRt, bundle: Bundle) -> None:
    spec = bundle.manifest.step("mask")
    other = spec.model_copy(update={"sizes": {"plans": 5}})
    with pytest.raises(BackendError, match=r"input 'codes': the manifest says \[3, .*, the plan has \[5, "):
        compile_for(runtime, bundle.graphs["mask"], other, "fp32", ADA)


def test_a_missing_or_further_tensor_is_named(runtime: TensorRt) -> None:
    parsed = parse(runtime, add_graph().SerializeToString(), "add", {})
    found = signature(trt, "add", parsed.inputs, parsed.outputs)
    with pytest.raises(BackendError, match=r"the plan has inputs \['x'\] that the manifest does not list"):
        require_signature(found.model_copy(update={"inputs": found.inputs[1:]}), found)
    with pytest.raises(BackendError, match=r"output 'state_out': .* the plan has nothing"):
        require_signature(found, found.model_copy(update={"outputs": found.outputs[:1]}))


@pytest.mark.parametrize(
    ("graph", "sizes", "message"),
    [
        (b"not a graph", {}, "refused step 'x': .*Failed to parse"),
        (two_products(), {}, "dimension 'plans' of 'x' has no size"),
        (two_products(), {"others": 3}, "dimension 'plans' of 'x' has no size"),
    ],
)
def test_a_graph_that_cannot_be_used_is_refused(
    graph: bytes, sizes: dict[str, int], message: str, runtime: TensorRt
) -> None:
    with pytest.raises(BackendError, match=message):
        parse(runtime, graph, "x", sizes)


@pytest.mark.parametrize("capability", ["9.0", "6.1", "99.9", "7.5"])
def test_a_gpu_that_rtx_does_not_know_is_named_with_those_it_knows(capability: str, runtime: TensorRt) -> None:
    with pytest.raises(BackendError, match=rf"capability {capability}, only for 8\.0, .*8\.9, 12\.0") as caught:
        build(runtime, parse(runtime, two_products(), "two", {"plans": 1}), "fp16", capability)
    assert "--backend tensorrt " in caught.value.hint


def test_turing_lacks_what_our_scores_need(runtime: TensorRt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why ``_WITHOUT_SINGLE`` exists; when this fails, TensorRT-RTX has learned it and the list can go."""
    monkeypatch.setattr(plan_builder, "_WITHOUT_SINGLE", ())
    with pytest.raises(BackendError, match="FP32 GEMM is not supported"):
        build(runtime, parse(runtime, two_products(), "two", {"plans": 4}), "fp16", "7.5")


def test_compiling_stops_when_it_is_told_to(runtime: TensorRt, bundle: Bundle) -> None:
    parsed = parse(runtime, bundle.graphs["decoder"], "decoder", {})
    with pytest.raises(BackendError, match="was stopped") as caught:
        build(runtime, parsed, "fp32", ADA, lambda _name, share: share < 0.2)
    assert caught.value.code == "BACKEND_STOPPED"


def test_ctrl_c_ends_a_compilation_without_a_crash(runtime: TensorRt, bundle: Bundle) -> None:
    sent: list[float] = []

    def interrupt(_name: str, share: float) -> bool:
        if not sent:
            sent.append(share)
            os.kill(os.getpid(), signal.SIGINT)
        return True

    parsed = parse(runtime, bundle.graphs["decoder"], "decoder", {})
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises((KeyboardInterrupt, BackendError)) as caught:
        build(runtime, parsed, "fp32", ADA, interrupt)
    assert caught.type is KeyboardInterrupt
    assert signal.getsignal(signal.SIGINT) is handler


def test_only_rtx_compiles_without_a_gpu(runtime: TensorRt, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "flavour", "tensorrt")
    with pytest.raises(BackendError, match="tensorrt compiles on the GPU itself only"):
        compile_for(runtime, bundle.graphs["mask"], bundle.manifest.step("mask"), "fp32", ADA)


def test_a_flavour_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plan_builder._MODULES, "tensorrt", ("no_such_tensorrt", "tensorrt"))
    with pytest.raises(BackendError, match="No module named 'no_such_tensorrt'") as caught:
        TensorRt("tensorrt")
    assert caught.value.code == "BACKEND_MISSING"
    assert caught.value.hint == "Run pip install 'soulstream[tensorrt]'."


def test_a_plan_that_is_none_is_refused_with_what_tensorrt_says(runtime: TensorRt) -> None:
    with pytest.raises(BackendError, match=r"cannot load the plan of step 'x': .*[A-Za-z]{4}") as caught:
        tensorrt.deserialise(runtime, b"no plan" * 100, "x")
    assert "it gave no reason" not in caught.value.message


def test_nested_phases_become_one_share_that_rises() -> None:
    phases = Phases()
    phases.start("all", None, 2)
    phases.start("inner", "all", 4)
    seen = []
    for number in range(4):
        phases.step("inner", number)
        seen.append(phases.share)
    phases.step("all", 0)
    phases.start("again", "all", 10)
    phases.step("again", 4)
    phases.step("unknown", 7)
    assert seen == [0.125, 0.25, 0.375, 0.5]
    assert phases.share == 0.75
    phases.start("again", "all", 10)
    phases.step("again", 0)
    assert phases.share == 0.75


def test_a_preparation_says_how_much_is_left() -> None:
    said: list[str] = []
    seconds = [0.0]
    preparation = Preparation({"small": 100, "large": 300}, said.append, lambda: int(seconds[0] * 1e9))
    assert preparation.seconds_left is None
    seconds[0] = 5.0
    preparation.tell("small", 1.0)
    assert said == []
    assert preparation.share == 0.25
    assert preparation.seconds_left == 15.0
    seconds[0] = 12.0
    preparation.tell("large", 1 / 3)
    preparation.tell("large", 0.1)
    assert said == ["50% is prepared, about 12 s are left."]
