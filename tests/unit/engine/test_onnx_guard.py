"""Only self-contained graphs of standard operators reach a runtime."""

from __future__ import annotations

import random

import onnx
import pytest
from fakes.bundle_files import add_graph
from onnx import TensorProto, helper

from soulstream_engine.errors import BundleError
from soulstream_engine.onnx_guard import check_graph


def external(tensor: onnx.TensorProto) -> onnx.TensorProto:
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return tensor


def with_external_initializer() -> onnx.ModelProto:
    model = add_graph()
    external(model.graph.initializer[0])
    return model


def with_location_only() -> onnx.ModelProto:
    model = add_graph()
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    return model


def with_external_constant_in_a_branch() -> onnx.ModelProto:
    model = add_graph()
    constant = helper.make_node("Constant", [], ["c"], value=external(helper.make_tensor("c", 1, [1], [1.0])))
    branch = helper.make_graph([constant], "branch", [], [helper.make_tensor_value_info("c", 1, [1])])
    model.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=branch, else_branch=branch))
    return model


def with_external_sparse_weights() -> onnx.ModelProto:
    model = add_graph()
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(external(helper.make_tensor("s", 1, [1], [1.0])))
    return model


def with_function() -> onnx.ModelProto:
    model = add_graph()
    node = helper.make_node("Loop", ["a"], ["b"], domain="own")
    model.functions.append(helper.make_function("own", "Loop", ["a"], ["b"], [node], [helper.make_opsetid("", 17)]))
    return model


def nested(depth: int) -> onnx.ModelProto:
    graph = add_graph().graph
    for _ in range(depth):
        node = helper.make_node("If", ["x"], ["z"], then_branch=graph)
        graph = helper.make_graph([node], "outer", [], [])
    return helper.make_model(graph)


def test_our_own_graphs_pass() -> None:
    check_graph(add_graph().SerializeToString(), "step.onnx")
    check_graph(nested(5).SerializeToString(), "step.onnx")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (with_external_initializer(), "external data"),
        (with_location_only(), "external data"),
        (with_external_constant_in_a_branch(), "external data"),
        (with_external_sparse_weights(), "external data"),
        (add_graph(domain="com.example", op="Run"), "domain 'com.example'"),
        (with_function(), "defines a function"),
        (nested(24), "nest deeper than 64"),
    ],
)
def test_what_is_not_self_contained_is_refused(model: onnx.ModelProto, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        check_graph(model.SerializeToString(), "step.onnx")


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 40, b"\x3a\xff\xff\xff\xff\x0f", b"hello world", b"\x08\x08"])
def test_what_is_no_graph_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"Graph 'step\.onnx' was refused"):
        check_graph(data, "step.onnx")


def test_damaged_graphs_are_refused_or_pass_but_never_crash() -> None:
    good = add_graph().SerializeToString()
    source = random.Random(1)  # noqa: S311 - not a secret, a reproducible damage
    for _ in range(2000):
        data = bytearray(good)
        for _ in range(source.randint(1, 4)):
            data[source.randrange(len(data))] = source.randrange(256)
        try:
            check_graph(bytes(data[: source.randint(1, len(data))]), "step.onnx")
        except BundleError:
            continue
