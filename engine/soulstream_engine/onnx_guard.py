"""Looks through the bytes of an ONNX graph before any runtime sees them.

A graph may point at other files (external data), at operators of a plug-in (another domain) or bring functions of its
own; none of that is needed by our models and all of it has been used for attacks, so it is refused. The protobuf wire
format is walked with an explicit stack: no recursion, no copy of the weights, no dependency on the onnx package.

Not for: checking that the graph computes the right thing (``soulstream_export`` does, against the trained model).
"""

from __future__ import annotations

from collections.abc import Iterator

from soulstream_engine.errors import BundleError

ALLOWED_DOMAINS = ("", "ai.onnx")
"""Operator domains that may be used: both are names of the ONNX standard's own."""

MAX_GRAPH_BYTES = 1024 * 1024 * 1024
"""Largest graph accepted, bytes. Source: ours; the embedded model is below 25 MB, protobuf itself ends at 2 GB."""

MAX_DEPTH = 64
"""Deepest nesting of messages (a subgraph costs three). Source: ours; our graphs need six."""

MAX_FIELDS = 20_000_000
"""Fields looked at before giving up. Source: ours; the embedded graphs have fewer than 100,000."""

# Numbers of the fields that can hold what we look for. Source: onnx.proto of ONNX 1.21, `message` by `message`.
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_NODE_DOMAIN = 7
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def check_graph(data: bytes, label: str) -> None:
    """Refuses a graph that is not self-contained.

    Args:
        data: A serialised ONNX model.
        label: File name for messages.

    Raises:
        BundleError: If the graph is malformed, too large or too deep, refers to external data, uses an operator outside
            ``ALLOWED_DOMAINS``, or defines functions or training steps of its own.

    Source: ours.
    Live: not live.
    """
    if not data or len(data) > MAX_GRAPH_BYTES:
        raise _refused(label, f"it has {len(data)} bytes, allowed are 1 to {MAX_GRAPH_BYTES}")
    view = memoryview(data)
    stack: list[tuple[str, int, int, int]] = [("model", 0, len(data), 0)]
    fields = 0
    seen_graph = False
    while stack:
        kind, start, end, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise _refused(label, f"its messages nest deeper than {MAX_DEPTH}")
        children = _CHILDREN[kind]
        for number, wire, value, length in _fields(view, start, end, label):
            fields += 1
            if fields > MAX_FIELDS:
                raise _refused(label, f"it has more than {MAX_FIELDS} fields")
            child = children.get(number)
            if child is not None:
                if wire != _BYTES:
                    raise _refused(label, f"field {number} of a {kind} has wire type {wire}, expected {_BYTES}")
                if child in ("function", "training"):
                    raise _refused(label, f"it defines a {child} of its own")
                seen_graph = seen_graph or kind == "model"
                stack.append((child, value, value + length, depth + 1))
            elif kind == "tensor" and (number == _TENSOR_EXTERNAL_DATA or (number == _TENSOR_DATA_LOCATION and value)):
                raise _refused(label, "it keeps weights in another file (external data)")
            elif kind == "node" and number == _NODE_DOMAIN and wire == _BYTES:
                domain = bytes(view[value : value + length]).decode("utf-8", "replace")
                if domain not in ALLOWED_DOMAINS:
                    raise _refused(
                        label, f"it uses an operator of domain {domain!r}, only standard ONNX operators are allowed"
                    )
    if not seen_graph:
        raise _refused(label, "it holds no graph")


def _fields(view: memoryview, start: int, end: int, label: str) -> Iterator[tuple[int, int, int, int]]:
    """Fields of one message: number, wire type, then value and 0 for numbers, or offset and length for bytes."""
    position = start
    while position < end:
        key, position = _varint(view, position, end, label)
        number, wire = key >> 3, key & 7
        value, length = 0, 0
        if wire == _VARINT:
            value, position = _varint(view, position, end, label)
        elif wire == _BYTES:
            length, position = _varint(view, position, end, label)
            value = position
            position += length
        elif wire in (_FIXED64, _FIXED32):
            position += 8 if wire == _FIXED64 else 4
        else:
            raise _refused(label, f"it has a field of wire type {wire} at byte {position}")
        if number == 0 or position > end:
            raise _refused(label, f"it is cut off or damaged at byte {start}")
        yield number, wire, value, length


def _varint(view: memoryview, position: int, end: int, label: str) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise _refused(label, f"it is cut off at byte {position}")
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _refused(label, f"it is damaged at byte {position}")


def _refused(label: str, why: str) -> BundleError:
    return BundleError(
        "BUNDLE_GRAPH_REFUSED",
        f"Graph '{label}' was refused: {why}.",
        "Export the bundle again with soulstream-export.",
    )
