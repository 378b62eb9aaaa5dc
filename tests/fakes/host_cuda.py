"""A CUDA driver whose card is this computer's memory, and a TensorRT context that ONNX Runtime computes.

With them the code around the GPU runs everywhere: what lies where, what is copied when, what is recorded and freed.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from soulstream_engine.backends.base import Step
from soulstream_engine.manifest import TensorSpec

NAME, MAJOR, MINOR = b"Card of a test", 8, 9


class HostCuda:
    """Functions of the driver. ``fails`` maps the name of a function to the error it gives; ``calls`` counts."""

    def __init__(
        self, *, num_devices: int = 1, fails: dict[str, int] | None = None, lacks: tuple[str, ...] = ()
    ) -> None:
        self.calls: Counter[str] = Counter()
        self.uploaded: list[int] = []
        self.memory: dict[int, Any] = {}
        self._num_devices = num_devices
        self._fails = fails or {}
        self._lacks = lacks
        self._recording: list[Callable[[], None]] | None = None
        self._graphs: dict[int, list[Callable[[], None]]] = {}

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.startswith("cu") or name in self._lacks:
            raise AttributeError(name)

        def function(*arguments: Any) -> int:
            self.calls[name] += 1
            if name in self._fails:
                return self._fails[name]
            body = getattr(self, "_" + name, None)
            if body is not None:
                body(*arguments)
            return 0

        return function

    def enqueue(self, work: Callable[[], None]) -> None:
        """Does work of the stream now, or records it."""
        if self._recording is None:
            work()
        else:
            self._recording.append(work)

    def _cuDeviceGetCount(self, count: Any) -> None:
        count._obj.value = self._num_devices

    def _cuDeviceGetName(self, text: Any, size: Any, _device: Any) -> None:
        text.value = NAME[: size.value]

    def _cuDeviceGetAttribute(self, value: Any, attribute: Any, _device: Any) -> None:
        value._obj.value = {75: MAJOR, 76: MINOR}[attribute.value]

    def _cuDriverGetVersion(self, version: Any) -> None:
        version._obj.value = 13_000

    def _cuCtxGetStreamPriorityRange(self, lowest: Any, highest: Any) -> None:
        lowest._obj.value, highest._obj.value = 0, -5

    def _cuStreamCreateWithPriority(self, stream: Any, _flags: Any, priority: Any) -> None:
        stream._obj.value = 1000 + priority.value

    def _cuMemAlloc_v2(self, address: Any, size: Any) -> None:
        address._obj.value = self._allocate(size.value)

    def _cuMemHostAlloc(self, address: Any, size: Any, _flags: Any) -> None:
        address._obj.value = self._allocate(size.value)

    def _allocate(self, size: int) -> int:
        block = (ctypes.c_uint8 * size)(*([0xAB] * size))  # nobody may count on zeros
        self.memory[ctypes.addressof(block)] = block
        return ctypes.addressof(block)

    def _cuMemFree_v2(self, address: Any) -> None:
        del self.memory[address.value]

    def _cuMemFreeHost(self, address: Any) -> None:
        del self.memory[address.value]

    def _cuMemcpyHtoDAsync_v2(self, device: Any, host: Any, size: Any, _stream: Any) -> None:
        self.uploaded.append(size.value)
        self.enqueue(lambda: ctypes.memmove(device.value, host.value, size.value) and None)

    def _cuMemcpyDtoHAsync_v2(self, host: Any, device: Any, size: Any, _stream: Any) -> None:
        self.enqueue(lambda: ctypes.memmove(host.value, device.value, size.value) and None)

    def _cuStreamBeginCapture_v2(self, _stream: Any, _mode: Any) -> None:
        self._recording = []

    def _cuStreamEndCapture(self, _stream: Any, graph: Any) -> None:
        graph._obj.value = len(self._graphs) + 1
        self._graphs[graph._obj.value], self._recording = self._recording or [], None

    def _cuGraphInstantiateWithFlags(self, ready: Any, graph: Any, _flags: Any) -> None:
        ready._obj.value = graph.value

    def _cuGraphLaunch(self, ready: Any, _stream: Any) -> None:
        for work in self._graphs[ready.value]:
            work()

    def _cuGetErrorString(self, code: Any, text: Any) -> None:
        text._obj.value = b"out of memory" if code.value == 2 else b"unknown"


class HostContext:
    """An execution context of TensorRT whose network is a step of ONNX Runtime; ``starts`` counts."""

    def __init__(self, step: Step, cuda: HostCuda) -> None:
        self._step = step
        self._cuda = cuda
        self._addresses: dict[str, int] = {}
        self.starts = 0
        self.is_broken = False

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return name in {tensor.name for tensor in (*self._step.spec.inputs, *self._step.spec.outputs)}

    def execute_async_v3(self, _stream: int) -> bool:
        self.starts += 1
        self._cuda.enqueue(self._compute)
        return not self.is_broken

    def _compute(self) -> None:
        inputs = {tensor.name: self._array(tensor).copy() for tensor in self._step.spec.inputs}
        outputs = self._step.run(inputs)
        for tensor in self._step.spec.outputs:
            self._array(tensor)[...] = outputs[tensor.name]

    def _array(self, tensor: TensorSpec) -> Any:
        size = int(np.prod(tensor.shape)) * np.dtype(tensor.dtype).itemsize
        memory = (ctypes.c_uint8 * size).from_address(self._addresses[tensor.name])
        return np.frombuffer(memory, tensor.dtype).reshape(tensor.shape)
