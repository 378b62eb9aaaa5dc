"""Operations of a pass against a count made by hand, and widths read out of graphs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from soulstream_engine.bench.flops import StageSize, hidden_width, stage_flops, weight_shapes

SIZE = StageSize(
    halves=2, plans=3, positions=4, planned=2, width=8, hidden=16, layers=2, codes=5, own_keys=10, music_keys=7
)


def test_operations_are_those_counted_by_hand() -> None:
    # One row of one block: q, k, v, out, q, out are 8 x 8 each (384), the feed-forward part 8 x 16 twice (256),
    # scores and values of 10 and of 7 keys, 8 wide (160 + 112): 912 products, 1824 in both blocks.
    # Head 8 x 8 (64) and scores 8 x 5 (40): 1928 a row, and 2 x 3 x 4 = 24 rows: 46272.
    # Entrance of 3 x 4 positions and music of 2 x 2 tokens, 8 x 8 each: 16 x 64 = 1024.
    assert stage_flops(SIZE) == 2 * (46272 + 1024)


def test_a_pass_for_twice_the_plans_does_not_align_the_music_twice() -> None:
    music = 2 * SIZE.halves * SIZE.planned * SIZE.width**2
    assert stage_flops(replace(SIZE, plans=6)) == 2 * stage_flops(SIZE) - music


def graph_with(shapes: list[tuple[int, ...]], dtype: int = TensorProto.FLOAT) -> bytes:
    weights = [
        helper.make_tensor(f"w{number}", dtype, shape, np.zeros(shape, np.float32).ravel())
        for number, shape in enumerate(shapes)
    ]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    node = helper.make_node("Identity", ["x"], ["y"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    return helper.make_model(helper.make_graph([node], "g", [value], [out], weights)).SerializeToString()


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_shapes_of_weights_are_read_from_the_bytes(dtype: int) -> None:
    shapes: list[tuple[int, ...]] = [(8, 300), (3,), (2, 8, 8), (300, 8)]
    data = graph_with(shapes, dtype)
    assert weight_shapes(data) == [(8, 300), (300, 8)]
    assert weight_shapes(data) == [
        tuple(w.dims) for w in onnx.load_from_string(data).graph.initializer if len(w.dims) == 2
    ]


def test_the_hidden_width_is_the_one_that_every_block_has_both_ways() -> None:
    key_value = [(8, 16)] * 2  # as wide as a hidden layer could be, but only one way
    feed = [(8, 24), (24, 8)] * 2
    assert hidden_width(graph_with([*key_value, *feed, (8, 8)]), width=8, layers=2) == 24
    assert hidden_width(graph_with(feed), width=8, layers=3) is None
    assert hidden_width(graph_with([*feed, *[(8, 40), (40, 8)] * 2]), width=8, layers=2) is None
