"""Floating-point operations of one pass of a stage, counted from shapes: linear layers and attention.

A multiplication and an addition count as two. Norms, softmax, GELU, look-ups and adding are left out: below 2 %.

What rows share is counted once, as the graphs compute it. Letters: G halves, C plans, N planned positions, W width,
H hidden width, K codes, M keys.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from soulstream_engine.sampling.window import WindowShape

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_GRAPH, _GRAPH_INITIALIZER, _TENSOR_DIMS = 7, 5, 1  # Source: onnx.proto of ONNX 1.21


@dataclass(frozen=True, slots=True)
class StageSize:
    """Sizes of one pass of a stage: see the letters; ``own_keys`` and ``music_keys`` are M of both attentions.

    ``planned`` are the tokens whose music is aligned: N without the parts.
    """

    halves: int
    plans: int
    positions: int
    planned: int
    width: int
    hidden: int
    layers: int
    codes: int
    own_keys: int
    music_keys: int


def stage_flops(size: StageSize) -> int:
    """Operations of one pass.

    A block has six ``W x W`` layers (query, key, value and output of self-attention; query and output of music
    attention, whose keys and values are cached) and two ``W x H`` ones; each attention multiplies every row with its
    keys and with its values. A row is one of ``G x C x N``. Around the blocks: a ``W x W`` head and the scores,
    ``W x K``, for every row; a ``W x W`` entrance for every position of a plan; another for every token of music.
    """
    width = size.width
    block = 6 * width * width + 2 * width * size.hidden + 2 * width * (size.own_keys + size.music_keys)
    row = size.layers * block + width * width + width * size.codes
    shared = size.plans * size.positions + size.halves * size.planned
    return 2 * (size.halves * size.plans * size.positions * row + shared * width * width)


def stage_size(shape: WindowShape, hidden: int, plans: int) -> StageSize:
    """Sizes of a stage that scores ``plans`` plans of a window."""
    return StageSize(
        halves=shape.halves,
        plans=plans,
        positions=shape.positions,
        planned=shape.planned,
        width=shape.heads * shape.head_width,
        hidden=hidden,
        layers=shape.layers,
        codes=shape.num_codes,
        own_keys=shape.context * shape.num_parts + shape.positions,
        music_keys=shape.banked + shape.fresh,
    )


def hidden_width(graph: bytes, width: int, layers: int) -> int | None:
    """Hidden width of the feed-forward part, found by the shapes of the weights: no signature tells it.

    Args:
        graph: Checked ONNX model of a stage.
        width: W.
        layers: Blocks.

    Returns:
        The one size H for which every block has a weight [W, H] and a weight [H, W]; ``None`` if not exactly one fits.
    """
    shapes = Counter(weight_shapes(graph))
    fits = [
        size
        for (first, size), count in shapes.items()
        if first == width and size != width and count >= layers and shapes[size, width] >= layers
    ]
    return fits[0] if len(fits) == 1 else None


def weight_shapes(graph: bytes) -> list[tuple[int, int]]:
    """Shapes of the weights with two axes of a checked ONNX model, in order."""
    view = memoryview(graph)
    found: list[tuple[int, int]] = []
    for number, part in _messages(view):
        if number != _MODEL_GRAPH:
            continue
        for kind, tensor in _messages(part):
            if kind == _GRAPH_INITIALIZER:
                dims = _dims(tensor)
                if len(dims) == 2:
                    found.append((dims[0], dims[1]))
    return found


def _messages(view: memoryview) -> list[tuple[int, memoryview]]:
    """Length-delimited fields of a protobuf message: number and content."""
    return [(number, value) for number, value in _fields(view) if isinstance(value, memoryview)]


def _dims(tensor: memoryview) -> list[int]:
    dims: list[int] = []
    for number, value in _fields(tensor):
        if number != _TENSOR_DIMS:
            continue
        if isinstance(value, int):
            dims.append(value)
        else:  # packed
            position = 0
            while position < len(value):
                size, position = _varint(value, position)
                dims.append(size)
    return dims


def _fields(view: memoryview) -> list[tuple[int, int | memoryview]]:
    found: list[tuple[int, int | memoryview]] = []
    position = 0
    while position < len(view):
        key, position = _varint(view, position)
        wire = key & 7
        value: int | memoryview
        if wire == _VARINT:
            value, position = _varint(view, position)
        else:
            if wire == _BYTES:
                length, position = _varint(view, position)
            else:
                length = {_FIXED64: 8, _FIXED32: 4}[wire]
            value = view[position : position + length]
            position += length
        found.append((key >> 3, value))
    return found


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
