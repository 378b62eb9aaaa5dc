"""Compiles a graph to a TensorRT plan: parse, fix the sizes, choose the precision of every layer, build.

Networks are strongly typed: what a tensor is in the network is what it is on the card. The bundle holds one FP32 graph;
for ``fp16`` the parsed network is edited (``plan_precision``), so nothing but TensorRT is needed. No GPU is needed
where the flavour can compile for a named one. Not for: keeping plans (``plan_cache``), running them (``tensorrt``).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from soulstream_engine.backends.base import describe
from soulstream_engine.backends.plan_precision import halve_products
from soulstream_engine.backends.plan_progress import OnProgress, interrupts_deferred, progress_monitor
from soulstream_engine.errors import BackendError
from soulstream_engine.manifest import StepSpec, TensorSpec

RECIPE = 1
"""Raised whenever another network is built from the same graph: part of the key of every plan."""

PRECISIONS = ("fp16", "fp32")
"""``fp16``: large matrix products in FP16, everything else in FP32. ``fp32``: all of it, without TF32."""

RTX = "tensorrt-rtx"
FLAVOURS = ("tensorrt", RTX)
"""Runtimes of NVIDIA that this module speaks to."""

_MODULES = {"tensorrt": ("tensorrt", "tensorrt"), RTX: ("tensorrt_rtx", "rtx")}
"""Flavour -> its Python module, and the extra of ours that installs it."""


_WITHOUT_SINGLE = ("SM75",)
"""GPUs for which TensorRT-RTX multiplies no FP32 matrices, so not our last products. Source: ours, measured with 1.7:
"Cannot compile operation for Turing (SM75): FP32 GEMM is not supported"."""


class TensorRt:
    """One installed flavour of TensorRT.

    Args:
        flavour: One of ``FLAVOURS``.

    Attributes:
        module: Its Python module.
        flavour: As given.
        version: Of the module.
        logger: Takes what TensorRT says; keeps errors, prints nothing.

    Raises:
        BackendError: If it is not installed.
    """

    def __init__(self, flavour: str) -> None:
        name, extra = _MODULES[flavour]
        try:
            self.module: Any = importlib.import_module(name)
        except (ImportError, OSError) as error:
            raise BackendError(
                "BACKEND_MISSING", f"{flavour} cannot be imported: {error}.", f"Run pip install 'soulstream[{extra}]'."
            ) from error
        self.flavour = flavour
        self.version = str(self.module.__version__)
        self._errors: list[str] = []
        self.logger = _logger(self.module, self._errors)

    def take_errors(self) -> str:
        """What it said since the last call, newest last, as one text."""
        text = "; ".join(self._errors) or "it gave no reason"
        self._errors.clear()
        return text


@dataclass(frozen=True, slots=True)
class ParsedGraph:
    """A network, the builder that made it and the parser that owns its weights: none is valid without the others."""

    name: str
    builder: Any
    network: Any
    parser: Any

    @property
    def inputs(self) -> list[Any]:
        """Tensors that go in."""
        return [self.network.get_input(index) for index in range(self.network.num_inputs)]

    @property
    def outputs(self) -> list[Any]:
        """Tensors that come out."""
        return [self.network.get_output(index) for index in range(self.network.num_outputs)]


def parse(runtime: TensorRt, graph: bytes, name: str, sizes: Mapping[str, int]) -> ParsedGraph:
    """Reads a graph and fixes its open dimensions: a profile of one size, written into the network itself.

    Args:
        runtime: Installed TensorRT.
        graph: Serialised ONNX model, already checked by ``onnx_guard``.
        name: Name of the step, for messages.
        sizes: Sizes of the open dimensions by name.

    Returns:
        The network.

    Raises:
        BackendError: If TensorRT refuses the graph, a dimension stays open or an input decides a shape.
    """
    trt = runtime.module
    runtime.take_errors()
    builder = trt.Builder(runtime.logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, runtime.logger)
    if not parser.parse(graph):
        found = "; ".join(parser.get_error(number).desc() for number in range(parser.num_errors))
        raise _refused(runtime, name, found.rstrip(".") or runtime.take_errors())
    parsed = ParsedGraph(name, builder, network, parser)
    for tensor in parsed.inputs:
        if tensor.is_shape_tensor:
            raise _refused(runtime, name, f"input {tensor.name!r} decides a shape, and shapes must be fixed")
        names = [tensor.get_dimension_name(axis) for axis in range(len(tensor.shape))]
        shape = [
            sizes.get(key or "", size) if size == -1 else size for key, size in zip(names, tensor.shape, strict=True)
        ]
        if -1 in shape:
            raise _refused(runtime, name, f"dimension {names[shape.index(-1)]!r} of {tensor.name!r} has no size")
        if shape != list(tensor.shape):
            tensor.shape = shape
    return parsed


def build(
    runtime: TensorRt, graph: ParsedGraph, precision: str, capability: str, on_progress: OnProgress | None = None
) -> memoryview:
    """Compiles a network.

    Args:
        runtime: Installed TensorRT.
        graph: From ``parse``; with ``fp16`` it is changed.
        precision: One of ``PRECISIONS``.
        capability: Compute capability of the GPU, such as ``8.9``. TensorRT itself takes the one that is there.
        on_progress: Told how far it is; ``False`` stops.

    Returns:
        The plan, bytes.

    Raises:
        BackendError: If the flavour cannot compile for this GPU, compilation fails or was stopped.

    Live: not live; seconds with TensorRT-RTX, minutes without. Other Python threads run meanwhile.
    """
    trt = runtime.module
    runtime.take_errors()
    if precision == "fp16":
        halve_products(trt, graph.network)
    config = graph.builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    if runtime.flavour == RTX:
        config.num_compute_capabilities = 1
        config.set_compute_capability(_capability(runtime, capability), 0)
    monitor = config.progress_monitor = progress_monitor(trt, graph.name, on_progress)
    with interrupts_deferred(monitor.stop):
        plan = graph.builder.build_serialized_network(graph.network, config)
    if plan is None:
        if monitor.is_stopped:
            raise BackendError("BACKEND_STOPPED", f"Compiling step {graph.name!r} was stopped.", "Start it again.")
        raise _refused(runtime, graph.name, runtime.take_errors())
    if on_progress is not None:
        on_progress(graph.name, 1.0)
    return memoryview(plan).cast("B")


def compile_for(
    runtime: TensorRt,
    graph: bytes,
    spec: StepSpec,
    precision: str,
    capability: str,
    on_progress: OnProgress | None = None,
) -> memoryview:
    """Compiles a step for a GPU that need not be here, and compares its signature with the manifest.

    Args:
        runtime: Installed TensorRT-RTX.
        graph: Serialised ONNX model, already checked by ``onnx_guard``.
        spec: Signature of the step.
        precision: One of ``PRECISIONS``.
        capability: Compute capability, such as ``8.9``.
        on_progress: Told how far it is.

    Returns:
        The plan, bytes.

    Raises:
        BackendError: As ``parse``, ``build`` and ``require_signature``, or if the flavour compiles only on the GPU.
    """
    if runtime.flavour != RTX:
        raise BackendError(
            "BACKEND_NEEDS_GPU", f"{runtime.flavour} compiles on the GPU itself only.", f"Use --backend {RTX}."
        )
    parsed = parse(runtime, graph, spec.name, spec.sizes)
    require_signature(spec, signature(runtime.module, spec.name, parsed.inputs, parsed.outputs))
    return build(runtime, parsed, precision, capability, on_progress)


def signature(trt: Any, name: str, inputs: Iterable[Any], outputs: Iterable[Any]) -> StepSpec:
    """The signature of a network or an engine.

    Args:
        trt: The Python module.
        name: Name of the step.
        inputs: Things with ``name``, ``shape`` and ``dtype``; sizes fixed.
        outputs: The same.

    Raises:
        BackendError: If a tensor has a type that the manifest cannot say.
    """
    dtypes = {trt.float32: "float32", trt.int64: "int64", trt.int32: "int32", trt.bool: "bool", trt.float16: "float16"}

    def tensors(items: Iterable[Any]) -> tuple[TensorSpec, ...]:
        found = []
        for item in items:
            if item.dtype not in dtypes:
                raise BackendError(
                    "BACKEND_SIGNATURE",
                    f"Step {name!r}: tensor {item.name!r} is {item.dtype}; known are {', '.join(dtypes.values())}.",
                    "Export the bundle again with soulstream-export.",
                )
            spec = {"name": item.name, "shape": tuple(item.shape), "dtype": dtypes[item.dtype]}
            found.append(TensorSpec.model_validate(spec))
        return tuple(found)

    return StepSpec(name=name, file=name, inputs=tensors(inputs), outputs=tensors(outputs))


def require_signature(spec: StepSpec, found: StepSpec) -> None:
    """Refuses a step whose signature is not the one of the manifest, whatever the order.

    Args:
        spec: From the manifest.
        found: From the network or the plan.

    Raises:
        BackendError: With the first difference.
    """
    for kind, wanted, have in (("input", spec.inputs, found.inputs), ("output", spec.outputs, found.outputs)):
        theirs = {tensor.name: describe(tensor) for tensor in have}
        for tensor in wanted:
            got = theirs.pop(tensor.name, "nothing")
            if got != describe(tensor):
                raise _differs(
                    spec, f"{kind} {tensor.name!r}: the manifest says {describe(tensor)}, the plan has {got}"
                )
        if theirs:
            raise _differs(spec, f"the plan has {kind}s {sorted(theirs)} that the manifest does not list")


def _capability(runtime: TensorRt, capability: str) -> Any:
    """Its constant in TensorRT-RTX."""
    known = {
        f"{name[2:-1]}.{name[-1]}": constant
        for name, constant in runtime.module.ComputeCapability.__members__.items()
        if name.startswith("SM") and name not in _WITHOUT_SINGLE
    }
    if capability not in known:
        raise BackendError(
            "BACKEND_GPU_UNSUPPORTED",
            f"{runtime.flavour} {runtime.version} does not compile for compute capability {capability}, only for "
            f"{', '.join(sorted(known, key=float))}.",
            "Use --backend tensorrt on this GPU, or --backend onnxruntime.",
        )
    return known[capability]


def _logger(trt: Any, errors: list[str]) -> Any:
    """A logger of TensorRT that keeps what went wrong and prints nothing."""
    severe = (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR)

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in severe:
                errors.append(message.strip().rstrip("."))

    return Logger()


def _refused(runtime: TensorRt, name: str, why: str) -> BackendError:
    return BackendError(
        "BACKEND_LOAD",
        f"{runtime.flavour} {runtime.version} refused step {name!r}: {why}.",
        "Use the bundle that came with this version, or --backend onnxruntime.",
    )


def _differs(spec: StepSpec, problem: str) -> BackendError:
    return BackendError(
        "BACKEND_SIGNATURE", f"Step {spec.name!r}: {problem}.", "Export the bundle again with soulstream-export."
    )
