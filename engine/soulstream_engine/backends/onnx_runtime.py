"""Runs steps with ONNX Runtime on the CPU: FP32, one thread, no spinning.

One thread is the fastest choice for steps this small, and it leaves the other core to the frame pacer. Threads that
spin while they wait are slower than one thread on a busy two-core machine, so spinning stays off whatever the count.
Source: ours, measured; ONNX Runtime threading documentation.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from typing import Any, get_args

from numpy.typing import NDArray

from soulstream_engine.backends.base import Arrays, check_inputs, describe
from soulstream_engine.errors import BackendError
from soulstream_engine.manifest import DTypeName, StepSpec, TensorSpec

_LOG_ERRORS_ONLY = 3
_ELEMENT_TYPES = {"tensor(float)": "float32", "tensor(double)": "float64"} | {
    f"tensor({name})": name for name in get_args(DTypeName)
}


class OnnxRuntimeStep:
    """A graph loaded by ONNX Runtime. Made by ``OnnxRuntimeBackend.load``."""

    def __init__(self, session: Any, spec: StepSpec, failures: tuple[type[Exception], ...]) -> None:
        self._session = session
        self._spec = spec
        self._failures = failures
        self._output_names = [tensor.name for tensor in spec.outputs]

    @property
    def spec(self) -> StepSpec:
        """Signature of the step."""
        return self._spec

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Runs the step once.

        Args:
            inputs: Every input by name, exactly the shape and dtype of ``spec``.

        Returns:
            Every output by name, newly allocated.

        Raises:
            BackendError: If an input does not fit the signature or the runtime fails.

        Live: inference thread only; allocates outputs.
        """
        check_inputs(self._spec, inputs)
        try:
            outputs = self._session.run(self._output_names, dict(inputs))
        except self._failures as error:
            raise BackendError(
                "BACKEND_RUN", f"Step {self._spec.name!r} failed in ONNX Runtime: {error}.", "Run 'soulstream doctor'."
            ) from error
        return dict(zip(self._output_names, outputs, strict=True))


class OnnxRuntimeBackend:
    """Loads graphs from bytes on the CPU.

    Args:
        threads: Threads inside one operator. One is the measured best for our steps.

    Raises:
        BackendError: If ONNX Runtime is not installed.
    """

    def __init__(self, *, threads: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendError(
                "BACKEND_MISSING", f"ONNX Runtime cannot be imported: {error}.", "Run 'pip install onnxruntime'."
            ) from error
        self._runtime = onnxruntime
        self._failures = _failure_classes(onnxruntime)
        self._threads = threads

    @property
    def name(self) -> str:
        """Runtime, version and device, for example ``onnxruntime 1.22.0 cpu x1``."""
        return f"onnxruntime {self._runtime.__version__} cpu x{self._threads}"

    def load(self, graph: bytes, name: str, spec: StepSpec | None = None) -> OnnxRuntimeStep:
        """Compiles a graph.

        Args:
            graph: Serialised ONNX model. It is loaded from memory, so it has no folder to read other files from.
            name: Name of the step, for messages.
            spec: Signature the graph must have; ``None`` takes the graph's own, which must have fixed shapes.

        Returns:
            The step.

        Raises:
            BackendError: If ONNX Runtime refuses the graph or the signature differs.
        """
        options = self._options()
        for dimension, size in (spec.sizes if spec is not None else {}).items():
            options.add_free_dimension_override_by_name(dimension, size)
        try:
            session = self._runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except self._failures as error:
            raise BackendError(
                "BACKEND_LOAD",
                f"ONNX Runtime refused graph {name!r}: {error}.",
                "Use the bundle that came with this version.",
            ) from error
        if hasattr(session, "_model_bytes"):
            session._model_bytes = None  # kept for other providers only, and as large as the graph
        _give_back_memory()
        found = StepSpec(
            name=name,
            file=spec.file if spec is not None else name,
            inputs=tuple(_tensor_spec(name, node) for node in session.get_inputs()),
            outputs=tuple(_tensor_spec(name, node) for node in session.get_outputs()),
        )
        if spec is not None:
            _require_same(name, "input", spec.inputs, found.inputs)
            _require_same(name, "output", spec.outputs, found.outputs)
        return OnnxRuntimeStep(session, spec if spec is not None else found, self._failures)

    def _options(self) -> Any:
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = self._runtime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = self._runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = _LOG_ERRORS_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        return options


def _give_back_memory() -> None:
    """Returns to the system what loading took and freed; glibc alone keeps about a fifth of a large model."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _failure_classes(runtime: Any) -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: its own classes derive from ``Exception`` directly and have no common base."""
    native = vars(runtime.capi.onnxruntime_pybind11_state).values()
    own = [item for item in native if isinstance(item, type) and issubclass(item, Exception)]
    return (*own, RuntimeError, ValueError, TypeError)


def _tensor_spec(step: str, node: Any) -> TensorSpec:
    dtype = _ELEMENT_TYPES.get(node.type)
    if dtype is None or not all(isinstance(size, int) for size in node.shape):
        raise BackendError(
            "BACKEND_SIGNATURE",
            f"Step {step!r}: tensor {node.name!r} is {node.shape} {node.type}; expected fixed sizes and numbers.",
            "Export the bundle again with soulstream-export.",
        )
    return TensorSpec.model_validate({"name": node.name, "shape": tuple(node.shape), "dtype": dtype})


def _require_same(step: str, kind: str, wanted: tuple[TensorSpec, ...], found: tuple[TensorSpec, ...]) -> None:
    theirs = {tensor.name: tensor for tensor in found}
    for tensor in wanted:
        other = theirs.pop(tensor.name, None)
        if other is None or (other.shape, other.dtype) != (tensor.shape, tensor.dtype):
            got = "nothing" if other is None else describe(other)
            raise BackendError(
                "BACKEND_SIGNATURE",
                f"Step {step!r}: {kind} {tensor.name!r}: the manifest says {describe(tensor)}, the graph has {got}.",
                "Export the bundle again with soulstream-export.",
            )
    if theirs:
        raise BackendError(
            "BACKEND_SIGNATURE",
            f"Step {step!r}: the graph has {kind}s {sorted(theirs)} that the manifest does not list.",
            "Export the bundle again with soulstream-export.",
        )
