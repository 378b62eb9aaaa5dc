from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from soulstream_export.graph import HALF_FROM_ELEMENTS, with_half_weights


def linear(values: np.ndarray) -> onnx.ModelProto:
    """``y = x @ w``."""
    rows, columns = values.shape
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [value("x", TensorProto.FLOAT, [2, rows])],
        [value("y", TensorProto.FLOAT, [2, columns])],
        [numpy_helper.from_array(values.astype(np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def test_large_weights_are_stored_in_half_the_bytes_and_computed_in_full() -> None:
    weights = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    x = np.random.default_rng(1).normal(size=(2, 64)).astype(np.float32)
    before = len(linear(weights).SerializeToString())
    model = with_half_weights(linear(weights))
    assert len(model.SerializeToString()) < 0.55 * before
    assert [node.op_type for node in model.graph.node] == ["Cast", "MatMul"]
    rounded = weights.astype(np.float16).astype(np.float32)
    assert np.allclose(run(model, x), x @ rounded, atol=1e-5)


def test_small_constants_and_whole_numbers_stay_as_they_are() -> None:
    small = linear(np.ones((HALF_FROM_ELEMENTS // 4, 3)))
    assert with_half_weights(small).graph.initializer[0].data_type == TensorProto.FLOAT
    whole = linear(np.ones((64, 64)))
    whole.graph.initializer.append(numpy_helper.from_array(np.arange(1000), "index"))
    kept = {t.name: t.data_type for t in with_half_weights(whole).graph.initializer}
    assert kept["index"] == TensorProto.INT64


def test_constants_that_half_does_not_hold_stay_whole_where_that_is_asked() -> None:
    values = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    assert with_half_weights(linear(values), exact=True).graph.initializer[0].data_type == TensorProto.FLOAT
    rounded = linear(values.astype(np.float16))
    assert with_half_weights(rounded, exact=True).graph.initializer[0].data_type == TensorProto.FLOAT16


@pytest.mark.parametrize("large", [7e4, -1e30])
def test_weights_too_large_for_half_stay_whole(large: float) -> None:
    weights = np.ones((64, 64), np.float32)
    weights[3, 3] = large
    model = with_half_weights(linear(weights))
    assert model.graph.initializer[0].data_type == TensorProto.FLOAT
    assert np.array_equal(numpy_helper.to_array(model.graph.initializer[0]), weights)
