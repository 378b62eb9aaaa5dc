"""Runs steps with OpenVINO on the CPU: one thread, FP32 unless bfloat16 is asked for.

Left to itself OpenVINO computes in bfloat16 on every CPU that has it; here the precision is always said. One thread,
for the reasons given in ``onnx_runtime``. Source: ours, measured; OpenVINO documentation of precision hints.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.backends.base import Arrays, check_inputs, describe
from soulstream_engine.errors import BackendError
from soulstream_engine.manifest import DTypeName, StepSpec, TensorSpec

Precision = Literal["f32", "bf16"]
"""What is computed in: float32, or bfloat16 (8 bits of mantissa) where the CPU has it."""

_CONVERTER = "openvino.tools.ovc"
"""Converts models, which is not needed here, and brings telemetry, which is not wanted. The package is made to do
without it: its import of it may fail."""


class OpenVinoStep:
    """A graph compiled by OpenVINO. Made by ``OpenVinoBackend.load``."""

    def __init__(self, request: Any, spec: StepSpec) -> None:
        self._request = request
        self._spec = spec

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
        given = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        try:
            outputs = self._request.infer(given, share_inputs=True, share_outputs=False)
        except (RuntimeError, ValueError, TypeError) as error:
            raise BackendError(
                "BACKEND_RUN", f"Step {self._spec.name!r} failed in OpenVINO: {error}.", "Run 'soulstream doctor'."
            ) from error
        return {tensor.name: np.asarray(outputs[tensor.name]) for tensor in self._spec.outputs}


class OpenVinoBackend:
    """Loads graphs from bytes on the CPU.

    Args:
        threads: Threads inside one step. One is the measured best for our steps.
        precision: What is computed in.

    Raises:
        BackendError: If OpenVINO is not installed, ``precision`` is unknown, or the CPU lacks bfloat16.
    """

    def __init__(self, threads: int = 1, precision: Precision = "f32") -> None:
        sys.modules.setdefault(_CONVERTER, None)  # type: ignore[arg-type]  # the package then does without it
        try:
            import openvino
        except ImportError as error:
            raise BackendError(
                "BACKEND_MISSING", f"OpenVINO cannot be imported: {error}.", "Run pip install 'soulstream[openvino]'."
            ) from error
        if precision not in get_args(Precision):
            raise BackendError(
                "BACKEND_PRECISION",
                f"Precision {precision!r} is not known.",
                f"Use {' or '.join(get_args(Precision))}.",
            )
        self._core = openvino.Core()
        self._threads = threads
        self._precision = precision
        self._version = openvino.__version__.split("-")[0]
        if precision == "bf16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise BackendError(
                "BACKEND_PRECISION", "This CPU does not compute in bfloat16.", "Use OpenVINO with precision f32."
            )

    @property
    def name(self) -> str:
        """Runtime, version, precision and device, for example ``openvino 2026.4.1 f32 cpu x1``."""
        return f"openvino {self._version} {self._precision} cpu x{self._threads}"

    def load(self, graph: bytes, name: str, spec: StepSpec | None = None) -> OpenVinoStep:
        """Compiles a graph.

        Args:
            graph: Serialised ONNX model. It is loaded from memory, so it has no folder to read other files from.
            name: Name of the step, for messages.
            spec: Signature the graph must have; its shapes fix the dimensions that the graph leaves open. ``None``
                takes the graph's own, which must have fixed shapes.

        Returns:
            The step.

        Raises:
            BackendError: If OpenVINO refuses the graph or the signature differs.
        """
        settings = {
            "INFERENCE_PRECISION_HINT": self._precision,
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # a pinned thread waits for a busy core while another is free
            "SNIPPETS_MODE": "DISABLE",  # its compiler crashes the process on some of our graphs (2026.4.1); no slower
        }
        try:
            model = self._core.read_model(graph)
            if spec is not None:
                model.reshape(_shapes(model.inputs, spec))
            found = StepSpec(
                name=name,
                file=spec.file if spec is not None else name,
                inputs=tuple(_tensor_spec(name, port) for port in model.inputs),
                outputs=tuple(_tensor_spec(name, port) for port in model.outputs),
            )
            if spec is not None:
                _require_same(name, "input", spec.inputs, found.inputs)
                _require_same(name, "output", spec.outputs, found.outputs)
            request = self._core.compile_model(model, "CPU", settings).create_infer_request()
        except (RuntimeError, ValueError, TypeError) as error:
            raise BackendError(
                "BACKEND_LOAD",
                f"OpenVINO refused graph {name!r}: {str(error).strip()}.",
                "Use the bundle that came with this version.",
            ) from error
        return OpenVinoStep(request, spec if spec is not None else found)


def _shapes(ports: Sequence[Any], spec: StepSpec) -> dict[str, list[int]]:
    """Shapes of the inputs that have open dimensions, by name: the graph's own sizes where it says some."""
    wanted = {tensor.name: tensor.shape for tensor in spec.inputs}
    shapes = {}
    for port in ports:
        name, shape = port.get_any_name(), port.partial_shape
        if shape.is_dynamic and len(wanted.get(name, ())) == len(shape):
            sizes = zip(shape, wanted[name], strict=True)
            shapes[name] = [size if own.is_dynamic else own.get_length() for own, size in sizes]
    return shapes


def _tensor_spec(step: str, port: Any) -> TensorSpec:
    name, shape = port.get_any_name(), port.partial_shape
    dtype = port.element_type.to_dtype().name
    if dtype not in get_args(DTypeName) or shape.is_dynamic:
        raise BackendError(
            "BACKEND_SIGNATURE",
            f"Step {step!r}: tensor {name!r} is {shape} {port.element_type}; expected fixed sizes and numbers.",
            "Export the bundle again with soulstream-export.",
        )
    sizes = tuple(dimension.get_length() for dimension in shape)
    return TensorSpec.model_validate({"name": name, "shape": sizes, "dtype": dtype})


def _require_same(step: str, kind: str, wanted: tuple[TensorSpec, ...], found: tuple[TensorSpec, ...]) -> None:
    """Refuse a graph whose inputs or outputs (``kind``) are not those of the manifest."""
    theirs, ours = ({tensor.name: describe(tensor) for tensor in tensors} for tensors in (found, wanted))
    for name in sorted(theirs.keys() | ours.keys()):
        if theirs.get(name) != ours.get(name):
            raise BackendError(
                "BACKEND_SIGNATURE",
                f"Step {step!r}: {kind} {name!r}: the manifest says {ours.get(name, 'nothing')}, the graph has "
                f"{theirs.get(name, 'nothing')}.",
                "Export the bundle again with soulstream-export.",
            )
