"""Computes the large matrix products of a TensorRT network in FP16 and everything else in FP32.

The network is edited after it was parsed, so a bundle holds one graph for all precisions. Not for: parsing, building.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXACT_OUTPUTS = ("logits", "motion")
"""Outputs whose last product stays FP32: scores that are compared, and motion that is seen."""

LARGE_FROM_ELEMENTS = 256
"""Elements of a product's second matrix from which it is large. Rotations have 9, the smallest head 16 x 16. Ours."""


def halve_products(trt: Any, network: Any) -> int:
    """Computes the large matrix products of a network in FP16: casts to FP16 before them and to FP32 behind them.

    Norms, softmax, sums, small products and the last product before ``EXACT_OUTPUTS`` stay FP32, because layer norms
    behind attention overflow in FP16 and scores that differ little must keep their order.

    Args:
        trt: The Python module.
        network: FP32; changed in place.

    Returns:
        How many products were changed.

    Source: ours; overflow as in NVIDIA/TensorRT issues 2564 and 4493.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    readers: dict[str, list[tuple[Any, int]]] = {}
    makers: dict[str, Any] = {}
    for layer in layers:
        for index, tensor in _layer_inputs(layer):
            readers.setdefault(tensor.name, []).append((layer, index))
        makers.update({layer.get_output(index).name: layer for index in range(layer.num_outputs)})
    kept = _last_products(trt, network, makers)
    count = 0
    for layer in layers:
        result = layer.get_output(0)
        if not _is_large_product(trt, layer) or layer.name in kept or result.is_network_output:
            continue
        for index, tensor in _layer_inputs(layer):
            if tensor.dtype == trt.float32:
                cast = network.add_cast(tensor, trt.float16)
                cast.name = f"{layer.name}_half_{index}"
                layer.set_input(index, cast.get_output(0))
        back = network.add_cast(result, trt.float32)
        back.name = f"{layer.name}_single"
        for reader, index in readers.get(result.name, []):
            reader.set_input(index, back.get_output(0))
        count += 1
    return count


def _is_large_product(trt: Any, layer: Any) -> bool:
    kinds = trt.LayerType
    if layer.type == kinds.CONVOLUTION:
        return True
    if layer.type not in (kinds.MATRIX_MULTIPLY, kinds.EINSUM) or layer.num_inputs < 2:
        return False
    rows, columns = (1, *tuple(layer.get_input(1).shape))[-2:]
    return bool(rows * columns >= LARGE_FROM_ELEMENTS)


def _last_products(trt: Any, network: Any, makers: Mapping[str, Any]) -> set[str]:
    """Names of the large products between which and an exact output no other large product lies."""
    waiting = [tensor.name for tensor in _outputs(network) if tensor.name in EXACT_OUTPUTS]
    seen: set[str] = set()
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in makers:
            continue
        seen.add(name)
        layer = makers[name]
        if _is_large_product(trt, layer):
            found.add(layer.name)
        else:
            waiting += [tensor.name for _, tensor in _layer_inputs(layer)]
    return found


def _layer_inputs(layer: Any) -> list[tuple[int, Any]]:
    found = ((index, layer.get_input(index)) for index in range(layer.num_inputs))
    return [(index, tensor) for index, tensor in found if tensor is not None]


def _outputs(network: Any) -> list[Any]:
    return [network.get_output(index) for index in range(network.num_outputs)]
