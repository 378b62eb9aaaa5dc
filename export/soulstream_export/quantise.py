"""A bundle in another arithmetic or another storage of its weights.

``fp16`` and ``fp32`` store the weights in two or four bytes and compute in FP32 all the same. ``int8-dynamic`` computes
the products with weights in 8 bits (a scale for each column) and inputs whose scale is found in each call;
``int8-static`` has scales of inputs that were found once, on the built-in track. Everything else stays as it is:
lookups, norms, softmax, attention, the last product before the scores, and the whole decoder: its errors would be seen
(4 mm in the mean), and int8 would save a twentieth of a tick there. Source: ours; chosen by measuring (LOG.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime import quantization

from soulstream_engine.bundle import MANIFEST_NAME, Bundle, load_bundle, read_verified, sha256_of
from soulstream_engine.errors import BundleError, ConfigError
from soulstream_engine.manifest import FileEntry
from soulstream_engine.runtime.network import Network
from soulstream_engine.sampling.dancer import DECODER_STEP
from soulstream_engine.sampling.window import Arrays

from .graph import HALF_ENDING, with_half_weights
from .parity_tape import record_tape
from .whole_folder import refuse_other_folder, write_whole

Form = Literal["int8-dynamic", "int8-static", "fp16", "fp32"]
"""What a bundle may be turned into."""

CALIBRATION_TICKS = 64
"""Length of the dance on which ``int8-static`` finds its scales: 17 s of the built-in track, three of its sections'
worth of loudness (ours)."""

FLOAT_STEPS = (DECODER_STEP,)
"""Steps that int8 leaves alone."""

_LOG_ERRORS_ONLY = 3
_PRODUCTS = ("MatMul", "Gemm")
_PREPARED = {"onnx.quant.pre_process": "onnxruntime.quant"}
"""Tells ONNX Runtime that the graph was prepared: folded, shapes inferred."""


def quantise(bundle: Bundle, out: Path, form: Form) -> Path:
    """Writes a bundle with other graphs; weights, signature and everything else of the manifest stay.

    Args:
        bundle: Verified bundle that computes in float32.
        out: Folder; replaced as a whole when everything has succeeded.
        form: What it becomes.

    Returns:
        ``out``.

    Raises:
        BundleError: If ``bundle`` is int8 already, or the new one cannot be opened.
        BackendError: If ONNX Runtime refuses the new graphs.
        ConfigError: If ``form`` is unknown or ``out`` holds files that are no bundle.

    Source: ours; ``onnxruntime.quantization`` for int8.
    """
    if form not in get_args(Form):
        raise ConfigError("FORM_UNKNOWN", f"'{form}' is not one of {', '.join(get_args(Form))}.", "Name one of these.")
    refuse_other_folder(out, MANIFEST_NAME, "bundle")
    manifest = bundle.manifest
    if manifest.arithmetic != "float32":
        raise BundleError(
            "QUANTISE_AGAIN",
            f"Bundle '{bundle.path}' computes in {manifest.arithmetic}; its weights are rounded already.",
            "Name the bundle that it was made from.",
        )
    tape = record_tape(bundle, Network(bundle).run, CALIBRATION_TICKS) if form == "int8-static" else None
    graphs = {step.file: bundle.graphs[step.name] for step in manifest.steps}
    files = {name: read_verified(bundle.path, name, entry) for name, entry in manifest.files.items()}
    for name, graph in graphs.items():
        steps = {step.name for step in manifest.steps if step.file == name}
        if form in ("fp16", "fp32"):
            files[name] = _stored(graph, form)
        elif steps.isdisjoint(FLOAT_STEPS):
            calls = [call.inputs for call in tape.calls if call.step in steps] if tape else None
            files[name] = _quantised(graph, calls)
    entries = {name: FileEntry(sha256=sha256_of(data), bytes=len(data)) for name, data in files.items()}
    arithmetic = "int8" if form.startswith("int8") else "float32"
    changed = manifest.model_copy(update={"files": entries, "arithmetic": arithmetic})
    files[MANIFEST_NAME] = (json.dumps(changed.model_dump(mode="json"), indent=1) + "\n").encode("utf-8")
    write_whole(out, files, lambda folder: Network(load_bundle(folder)))
    return out


def with_full_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Undoes ``with_half_weights``: constants in float32 under their own names; changes ``model``, returns it."""
    stored = {constant.name: constant for constant in model.graph.initializer if constant.name.endswith(HALF_ENDING)}
    for node in [node for node in model.graph.node if node.op_type == "Cast" and node.input[0] in stored]:
        constant = stored[node.input[0]]
        values = numpy_helper.to_array(constant).astype(np.float32)
        constant.CopyFrom(numpy_helper.from_array(values, node.output[0]))
        model.graph.node.remove(node)
    onnx.checker.check_model(model)
    return model


def _stored(graph: bytes, form: Form) -> bytes:
    """A graph whose weights take two bytes (``fp16``) or four."""
    model = with_full_weights(onnx.load_from_string(graph))
    stored: bytes = (with_half_weights(model) if form == "fp16" else model).SerializeToString()
    return stored


def _quantised(graph: bytes, inputs: list[Arrays] | None) -> bytes:
    """A graph that computes in int8; the scales of its inputs are found in ``inputs`` of calls, or in each call."""
    with TemporaryDirectory() as folder:
        prepared = _prepared(with_full_weights(onnx.load_from_string(graph)), Path(folder))
        result = Path(folder) / "int8.onnx"
        common = {
            "op_types_to_quantize": list(_PRODUCTS),
            "per_channel": True,
            "weight_type": quantization.QuantType.QInt8,
        }
        if inputs is None:
            quantization.quantize_dynamic(prepared, result, extra_options={"MatMulConstBOnly": True}, **common)
        else:
            quantization.quantize_static(
                prepared,
                result,
                _Calls(inputs),
                quant_format=quantization.QuantFormat.QDQ,
                activation_type=quantization.QuantType.QUInt8,
                nodes_to_quantize=_products_with_weights(prepared),
                extra_options={"OpTypesToExcludeOutputQuantization": list(_PRODUCTS)},
                **common,
            )
        quantised: bytes = with_half_weights(_standard(onnx.load(result)), exact=True).SerializeToString()
    return quantised


class _Calls(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Hands out inputs one after another."""

    def __init__(self, inputs: list[Arrays]) -> None:
        self._waiting = iter(inputs)

    def get_next(self) -> Mapping[str, NDArray[Any]] | None:
        return next(self._waiting, None)


def _prepared(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """The graph with everything computed that is constant, so that weights stand as they are multiplied."""
    path = folder / "folded.onnx"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = _LOG_ERRORS_ONLY
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    folded = _standard(onnx.load(path))
    for number, node in enumerate(folded.graph.node):
        node.name = f"node_{number}"
    helper.set_model_props(folded, _PREPARED)
    return onnx.shape_inference.infer_shapes(folded)


def _products_with_weights(model: onnx.ModelProto) -> list[str]:
    """Names of the products with a constant.

    The last one before the scores is not among them: its table is looked up by level.
    """
    constants = {constant.name for constant in model.graph.initializer}
    return [node.name for node in model.graph.node if node.op_type in _PRODUCTS and node.input[1] in constants]


def _standard(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without the sets of operators that no node uses and what tools wrote about themselves; changes ``model``."""
    used = {node.domain for node in model.graph.node}
    versions = [version for version in model.opset_import if version.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(versions)
    del model.metadata_props[:]
    return model
