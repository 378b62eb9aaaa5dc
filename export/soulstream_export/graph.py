"""A torch module to one self-contained ONNX graph: named tensors, weights stored as float16.

Weights keep the names and shapes that they have in the module, so that torch can be given them back
(``torch_reference``): what would transpose, join or drop them is left to the runtime, which does it when it loads the
graph. Half-precision storage halves the bundle; a Cast node behind each weight gives float32 back when the graph is
loaded, so every backend computes in FP32. Not for: computing in half precision.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx_ir.passes import Sequential, common
from onnxscript import optimizer, rewriter
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from soulstream_engine.errors import BackendError

OPSET = 18
HALF_FROM_ELEMENTS = 256
"""Smaller constants stay float32: biases of masks and the like cost nothing."""
HALF_ENDING = "_half"
"""What the name of a weight ends with where it is stored as float16."""
MOST_OPEN = 64
"""Largest value of a dimension that a graph leaves open."""
LARGEST_HALF = 65504.0
"""Constants with larger values stay float32 too."""


def export_graph(
    module: nn.Module,
    example: tuple[Tensor, ...],
    input_names: list[str],
    output_names: list[str],
    open_sizes: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """Trace a step.

    Args:
        module: The step, in evaluation mode.
        example: One input of each name; their shapes become the graph's.
        input_names: Names in the order of ``module.forward``.
        output_names: Names in the order of what it returns.
        open_sizes: Inputs whose first dimension stays open, and the dimension's name; 2 or more in ``example``.

    Returns:
        A checked model without external data.

    Raises:
        BackendError: If the exporter renames, adds or drops a tensor.
    """
    open_sizes = open_sizes or {}
    dimensions = {size: torch.export.Dim(size, min=1, max=MOST_OPEN) for size in open_sizes.values()}
    shapes = tuple({0: dimensions[open_sizes[name]]} if name in open_sizes else None for name in input_names)
    with sdpa_kernel(SDPBackend.MATH):  # the exporter cannot decompose the fused kernel's memory layout
        program = torch.onnx.export(
            module.eval(),
            example,
            input_names=input_names,
            output_names=output_names,
            dynamic_shapes=shapes if open_sizes else None,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            optimize=False,
            verbose=False,
        )
    if program is None:
        raise BackendError("EXPORT_FAILED", "The exporter returned no graph.", "Check the torch and onnx versions.")
    _simplify(program.model, {name for name, value in module.state_dict().items() if value.is_floating_point()})
    model = program.model_proto
    found_in = [value.name for value in model.graph.input]
    found_out = [value.name for value in model.graph.output]
    if found_in != input_names or found_out != output_names:
        raise BackendError(
            "EXPORT_SIGNATURE",
            f"The graph has inputs {found_in}, outputs {found_out}; expected {input_names} and {output_names}.",
            "An input that the step ignores is dropped by the exporter: use it or leave it out.",
        )
    _gather_rows(model)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    onnx.checker.check_model(model)
    return model


def _simplify(model: onnx_ir.Model, weights: set[str]) -> None:
    """Compute what is constant, in place, but leave ``weights`` (names) as they are.

    As ``onnxscript.optimizer.optimize_ir``, without its merging of equal weights.
    """

    def should_fold(node: onnx_ir.Node) -> bool | None:
        reads_weight = any(value is not None and value.name in weights for value in node.inputs)
        return False if reads_weight else None

    common.InlinePass()(model)
    for _ in range(2):
        optimizer.fold_constants_ir(model, onnx_shape_inference=True, should_fold=should_fold)
        rewriter.rewrite(model)
    Sequential(
        common.RemoveUnusedNodesPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.CommonSubexpressionEliminationPass(),
        common.NameFixPass(),
    )(model)


def _gather_rows(model: onnx.ModelProto) -> None:
    """Look rows up with Gather where the exporter wrote GatherND with one constant index a row; changes ``model``.

    OpenVINO 2026.4 does not compute GatherND of constants when it compiles, but at the first run, and then lets a later
    node write over the result: biases of attention grew from call to call.
    """
    constants = {constant.name: constant for constant in model.graph.initializer}
    for node in model.graph.node:
        is_batched = any(attribute.i for attribute in node.attribute)
        if node.op_type != "GatherND" or is_batched or node.input[1] not in constants:
            continue
        index = numpy_helper.to_array(constants[node.input[1]])
        if index.shape[-1] == 1:
            name = node.output[0] + "_rows"
            model.graph.initializer.append(numpy_helper.from_array(index[..., 0].copy(), name))
            node.op_type, node.input[1] = "Gather", name
            del node.attribute[:]
    used = {name for node in model.graph.node for name in node.input}
    for name, constant in constants.items():
        if name not in used:
            model.graph.initializer.remove(constant)


def round_to_half(module: nn.Module) -> None:
    """Give torch, in place, the weights that a graph stores: parity then compares arithmetic and nothing else."""
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())


def with_half_weights(model: onnx.ModelProto, *, exact: bool = False) -> onnx.ModelProto:
    """Store large float32 constants as float16 with a Cast behind each; changes ``model`` in place and returns it.

    ``exact``: only those that float16 holds as they are, so rounded weights, but no table that the exporter computed.
    """
    casts = []
    for initializer in model.graph.initializer:
        if initializer.data_type != TensorProto.FLOAT or int(np.prod(initializer.dims)) < HALF_FROM_ELEMENTS:
            continue
        values = numpy_helper.to_array(initializer)
        if np.abs(values).max() > LARGEST_HALF:
            continue
        half = values.astype(np.float16)
        if exact and not np.array_equal(half, values):
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(half, name + HALF_ENDING))
        casts.append(helper.make_node("Cast", [name + HALF_ENDING], [name], to=TensorProto.FLOAT))
    for index, node in enumerate(casts):
        model.graph.node.insert(index, node)
    onnx.checker.check_model(model)
    return model
