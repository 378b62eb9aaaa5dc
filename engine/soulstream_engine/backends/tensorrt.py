"""Runs steps with TensorRT on an NVIDIA GPU, as fast as launching allows.

Every step owns its memory: one pinned block and one block on the card for the inputs, the same for the outputs, at
addresses that never change. So a call is copies and one launch: TensorRT-RTX records a CUDA graph of its own, for
TensorRT we record one. A plan is only read from the user's own cache (``plan_cache``), never from a bundle.
Not for: compiling (``plan_builder``).
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.backends.base import Arrays, check_inputs
from soulstream_engine.backends.cuda_runtime import Cuda
from soulstream_engine.backends.plan_builder import (
    PRECISIONS,
    RECIPE,
    RTX,
    TensorRt,
    build,
    parse,
    require_signature,
    signature,
)
from soulstream_engine.backends.plan_cache import PlanCache, PlanKey, profile_text
from soulstream_engine.backends.plan_progress import OnProgress
from soulstream_engine.bundle import sha256_of
from soulstream_engine.errors import BackendError
from soulstream_engine.manifest import StepSpec, TensorSpec

_ALIGNMENT = 256
"""Tensors start at multiples of this many bytes, as the allocator of CUDA would place them."""

_WARM_UP_RUNS = 3
"""Calls before a step counts as loaded: the first sets up, TensorRT-RTX then compiles and records. Ours."""


class _Block:
    """Tensors side by side: pinned memory that numpy sees, and as much memory on the card."""

    def __init__(self, cuda: Cuda, tensors: Iterable[TensorSpec]) -> None:
        places: dict[str, tuple[int, int, TensorSpec]] = {}
        total = 0
        for tensor in tensors:
            num_bytes = int(np.prod(tensor.shape, dtype=np.int64)) * np.dtype(tensor.dtype).itemsize
            places[tensor.name] = total, total + num_bytes, tensor
            total += max(1, -(-num_bytes // _ALIGNMENT)) * _ALIGNMENT
        self.num_bytes = total
        self.device, free_device = cuda.device_memory(total)
        self.host, free_host = cuda.pinned_memory(total)
        self.frees = (free_device, free_host)
        memory = np.frombuffer(memoryview((ctypes.c_uint8 * total).from_address(self.host)), np.uint8)
        self.views: Arrays = {}
        self.spans: dict[str, tuple[int, int]] = {}
        for name, (start, end, tensor) in places.items():
            self.views[name] = memory[start:end].view(tensor.dtype).reshape(tensor.shape)
            self.spans[name] = start, end


class TensorRtStep:
    """A plan on the card, warmed up. Made by ``TensorRtBackend.load``.

    Args:
        spec: Its signature.
        owners: Objects of TensorRT that must live as long as the step; the last is the execution context.
        cuda: The card.
        record: Whether to record a CUDA graph here; TensorRT-RTX does it itself.

    Raises:
        BackendError: If the card has too little memory or the first runs fail.
    """

    def __init__(self, spec: StepSpec, owners: tuple[Any, ...], cuda: Cuda, *, record: bool) -> None:
        self._spec = spec
        self._owners = owners
        self._context = owners[-1]
        self._cuda = cuda
        cuda.use()
        self._inputs = _Block(cuda, spec.inputs)
        self._outputs = _Block(cuda, spec.outputs)
        for block in (self._inputs, self._outputs):
            for free in block.frees:
                weakref.finalize(self, free).atexit = False  # at the end of the process the driver frees everything
            for name, (start, _) in block.spans.items():
                if not self._context.set_tensor_address(name, block.device + start):
                    raise BackendError(
                        "BACKEND_SIGNATURE", f"Step {spec.name!r} has no tensor {name!r}.", "Export the bundle again."
                    )
        self._sent: Arrays = {}
        self._launch: Callable[[], None] = self._start
        zeros: Arrays = {tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in spec.inputs}
        for _ in range(_WARM_UP_RUNS):
            self.run(zeros)
        if record:
            self._launch = cuda.capture(self._start)
            self.run(zeros)

    @property
    def spec(self) -> StepSpec:
        """Signature of the step."""
        return self._spec

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Runs the step once.

        Args:
            inputs: Every input by name, exactly the shape and dtype of ``spec``. An array that owns its memory, cannot
                be written and was given the last time too is on the card already and is not sent again.

        Returns:
            Every output by name, newly allocated.

        Raises:
            BackendError: If an input does not fit the signature or the card fails.

        Live: inference thread only; allocates outputs; other threads run while it waits for the card.
        """
        check_inputs(self._spec, inputs)
        self._cuda.use()
        self._send(inputs)
        self._launch()
        self._cuda.wait()
        return {name: view.copy() for name, view in self._outputs.views.items()}

    def _send(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Copies what is new to the card, neighbours together."""
        block = self._inputs
        run: tuple[int, int] | None = None
        for name, (start, end) in block.spans.items():
            array = inputs[name]
            if array.flags.writeable or array.base is not None:
                self._sent.pop(name, None)
            elif self._sent.get(name) is array:
                continue
            else:
                self._sent[name] = array
            np.copyto(block.views[name], array)
            if run is not None and start - run[1] < _ALIGNMENT:
                run = run[0], end
                continue
            self._upload(run)
            run = start, end
        self._upload(run)

    def _upload(self, run: tuple[int, int] | None) -> None:
        if run is not None and run[1] > run[0]:
            self._cuda.upload(self._inputs.device + run[0], self._inputs.host + run[0], run[1] - run[0])

    def _start(self) -> None:
        """Starts the network and the copy of what it gives."""
        if not self._context.execute_async_v3(self._cuda.stream):
            raise BackendError(
                "BACKEND_RUN", f"Step {self._spec.name!r} failed in TensorRT.", "Use --backend onnxruntime."
            )
        self._cuda.download(self._outputs.host, self._outputs.device, self._outputs.num_bytes)


@dataclass(frozen=True, slots=True)
class PlanReport:
    """Where the plan of a step came from: ``was_built``, and why; its size."""

    step: str
    was_built: bool
    reason: str
    num_bytes: int


class TensorRtBackend:
    """Loads graphs on the first NVIDIA GPU, compiling those that have no plan in the cache yet.

    Args:
        flavour: ``tensorrt`` or ``tensorrt-rtx``.
        precision: One of ``PRECISIONS``.
        cache: Where plans are kept; ``None`` is the user's own folder.
        on_progress: Told how far a compilation is.
        on_plan: Told about every plan, once it is there.
        cuda: The card; ``None`` opens it.

    Raises:
        BackendError: If TensorRT, the driver or a GPU is missing, or the folder of plans is not private.
    """

    def __init__(
        self,
        flavour: str,
        precision: str = PRECISIONS[0],
        *,
        cache: PlanCache | None = None,
        on_progress: OnProgress | None = None,
        on_plan: Callable[[PlanReport], None] | None = None,
        cuda: Cuda | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise BackendError(
                "BACKEND_PRECISION", f"Precision {precision!r} is not known.", f"Use {' or '.join(PRECISIONS)}."
            )
        self._runtime = TensorRt(flavour)
        self._cuda = Cuda() if cuda is None else cuda
        self._precision = precision
        self._cache = PlanCache() if cache is None else cache
        self._on_progress = on_progress
        self._on_plan = on_plan

    @property
    def name(self) -> str:
        """Flavour, version, precision and GPU, for example ``tensorrt-rtx 1.7.1.116 fp16 NVIDIA GeForce RTX 4090``."""
        return f"{self._runtime.flavour} {self._runtime.version} {self._precision} {self._cuda.device.name}"

    @property
    def cache_folder(self) -> Path:
        """Where its plans are kept."""
        return self._cache.folder

    def load(self, graph: bytes, name: str, spec: StepSpec | None = None) -> TensorRtStep:
        """Takes the plan of a graph from the cache, or compiles it; puts it on the card and warms it up.

        Args:
            graph: Serialised ONNX model, already checked by ``onnx_guard``.
            name: Name of the step, for messages.
            spec: Signature the graph must have; ``None`` takes the graph's own, which must have fixed shapes.

        Returns:
            The step.

        Raises:
            BackendError: If TensorRT refuses the graph, compilation fails, or the signature differs.

        Live: not live; compiling takes seconds with TensorRT-RTX and minutes with TensorRT.
        """
        sizes = spec.sizes if spec is not None else {}
        key = plan_key(self._runtime, graph, self._cuda, self._precision, profile_text(sizes))
        self._cuda.use()
        plan: bytes | memoryview | None
        plan, reason = self._cache.find(key, name)
        was_built = plan is None
        if plan is None:
            parsed = parse(self._runtime, graph, name, sizes)
            plan = build(self._runtime, parsed, self._precision, self._cuda.device.capability, self._on_progress)
            self._cache.store(key, name, plan)
        if self._on_plan is not None:
            self._on_plan(PlanReport(name, was_built, reason, len(plan)))
        loader, engine = deserialise(self._runtime, plan, name)
        found = _engine_signature(self._runtime.module, engine, name)
        if spec is not None:
            require_signature(spec, found)
        context = _execution_context(self._runtime, engine, name)
        return TensorRtStep(spec or found, (loader, engine, context), self._cuda, record=self._runtime.flavour != RTX)


def plan_key(runtime: TensorRt, graph: bytes, cuda: Cuda, precision: str, profile: str) -> PlanKey:
    """Everything that the plan of a graph depends on, here and now."""
    return PlanKey(
        graph_sha256=sha256_of(graph),
        flavour=runtime.flavour,
        version=runtime.version,
        gpu=cuda.device.name,
        capability=cuda.device.capability,
        driver=cuda.device.driver,
        precision=precision,
        profile=profile,
        recipe=RECIPE,
    )


def deserialise(runtime: TensorRt, plan: bytes | memoryview, name: str) -> tuple[Any, Any]:
    """Puts a plan that this program built on the card.

    Args:
        runtime: Installed TensorRT.
        plan: From ``build`` or the cache, nothing else.
        name: Name of the step, for messages.

    Returns:
        The runtime that loaded it, which must live as long, and the engine.

    Raises:
        BackendError: With what TensorRT says, for example that the driver is too old.
    """
    runtime.take_errors()
    loader = runtime.module.Runtime(runtime.logger)
    engine = loader.deserialize_cuda_engine(plan)
    if engine is None:
        raise BackendError(
            "BACKEND_LOAD",
            f"{runtime.flavour} {runtime.version} cannot load the plan of step {name!r}: {runtime.take_errors()}.",
            "Update the driver of the graphics card, or use --backend onnxruntime.",
        )
    return loader, engine


def _execution_context(runtime: TensorRt, engine: Any, name: str) -> Any:
    runtime.take_errors()
    if runtime.flavour == RTX:
        config = engine.create_runtime_config()
        config.cuda_graph_strategy = runtime.module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        context = engine.create_execution_context(config)
    else:
        context = engine.create_execution_context()
    if context is None:
        raise BackendError(
            "BACKEND_LOAD", f"Step {name!r} cannot be set up: {runtime.take_errors()}.", "Close other GPU programs."
        )
    return context


def _engine_signature(trt: Any, engine: Any, name: str) -> StepSpec:
    inputs: list[SimpleNamespace] = []
    outputs: list[SimpleNamespace] = []
    for index in range(engine.num_io_tensors):
        key = engine.get_tensor_name(index)
        found = SimpleNamespace(name=key, shape=engine.get_tensor_shape(key), dtype=engine.get_tensor_dtype(key))
        (inputs if engine.get_tensor_mode(key) == trt.TensorIOMode.INPUT else outputs).append(found)
    return signature(trt, name, inputs, outputs)
