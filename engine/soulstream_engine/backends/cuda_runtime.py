"""The little of CUDA that a step needs: memory, one stream and captured graphs, through the driver's own library.

That library comes with the driver, so there is nothing to install and no version to match. It works in the device's
primary context, which is the one TensorRT uses. Not for: computing anything.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any

from soulstream_engine.errors import BackendError

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_MANAGEMENT = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"

# Numbers of cuda.h. Source: CUDA driver API reference, 12.8.
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_STREAM_NON_BLOCKING = 1
_CAPTURE_THREAD_LOCAL = 1

_TEXT_BYTES = 256


@dataclass(frozen=True, slots=True)
class CudaDevice:
    """What a plan depends on: name, compute ``capability`` such as ``8.9``, release of the driver."""

    name: str
    capability: str
    driver: str


class Cuda:
    """The first CUDA device and a stream of the highest priority on it.

    Args:
        library: The driver's functions; ``None`` loads the driver.

    Raises:
        BackendError: If there is no driver, no device, or the driver is too old.

    Threading: ``use`` before anything else on a thread; one thread at a time.
    Source: ours; CUDA driver API.
    """

    def __init__(self, library: Any = None) -> None:
        self._library = _load_driver() if library is None else library
        self.call("cuInit", c_uint(0))
        count, device = c_int(), c_int()
        self.call("cuDeviceGetCount", byref(count))
        if count.value < 1:
            raise BackendError(
                "BACKEND_NO_DEVICE",
                "The NVIDIA driver shows no device, 1 is needed.",
                "Check CUDA_VISIBLE_DEVICES and nvidia-smi, or use --backend onnxruntime.",
            )
        self.call("cuDeviceGet", byref(device), c_int(0))
        self.device = self._describe_device(device)
        self._context, self._stream = c_void_p(), c_void_p()
        self.call("cuDevicePrimaryCtxRetain", byref(self._context), device)
        self.use()
        lowest, highest = c_int(), c_int()
        self.call("cuCtxGetStreamPriorityRange", byref(lowest), byref(highest))
        self.call("cuStreamCreateWithPriority", byref(self._stream), c_uint(_STREAM_NON_BLOCKING), highest)

    @property
    def stream(self) -> int:
        """Handle of the stream, as TensorRT takes it."""
        return int(self._stream.value or 0)

    def use(self) -> None:
        """Makes the device current on the calling thread."""
        self.call("cuCtxSetCurrent", self._context)

    def device_memory(self, num_bytes: int) -> tuple[int, Callable[[], None]]:
        """Allocates memory of the device.

        Returns:
            Its address and a function that frees it.

        Raises:
            BackendError: If there is not enough.
        """
        address = c_uint64()
        self.call("cuMemAlloc_v2", byref(address), c_size_t(num_bytes))
        return address.value, lambda: self._free("cuMemFree_v2", address)

    def pinned_memory(self, num_bytes: int) -> tuple[int, Callable[[], None]]:
        """Allocates memory of the host that the device reads without a copy in between; as ``device_memory``."""
        address = c_void_p()
        self.call("cuMemHostAlloc", byref(address), c_size_t(num_bytes), c_uint(0))
        return int(address.value or 0), lambda: self._free("cuMemFreeHost", address)

    def upload(self, device: int, host: int, num_bytes: int) -> None:
        """Starts a copy from pinned memory to the device."""
        self.call("cuMemcpyHtoDAsync_v2", c_uint64(device), c_void_p(host), c_size_t(num_bytes), self._stream)

    def download(self, host: int, device: int, num_bytes: int) -> None:
        """Starts a copy from the device to pinned memory."""
        self.call("cuMemcpyDtoHAsync_v2", c_void_p(host), c_uint64(device), c_size_t(num_bytes), self._stream)

    def wait(self) -> None:
        """Waits for everything that was started. Other Python threads run meanwhile."""
        self.call("cuStreamSynchronize", self._stream)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Records what ``work`` starts on the stream; nothing of it runs.

        Args:
            work: Starts copies and kernels; has run before, so that nothing is set up while recording.

        Returns:
            A function that starts all of it with one call.

        Raises:
            BackendError: If something of it cannot be recorded.
        """
        graph, ready = c_void_p(), c_void_p()
        with self._recording(graph):
            work()
        try:
            self.call("cuGraphInstantiateWithFlags", byref(ready), graph, c_uint64(0))
        finally:
            self.call("cuGraphDestroy", graph)
        return lambda: self.call("cuGraphLaunch", ready, self._stream)

    @contextmanager
    def _recording(self, graph: c_void_p) -> Iterator[None]:
        """The stream records instead of running; it never stays in that state."""
        self.call("cuStreamBeginCapture_v2", self._stream, c_uint(_CAPTURE_THREAD_LOCAL))
        try:
            yield
        except BackendError:
            self._library.cuStreamEndCapture(self._stream, byref(graph))  # the first error is the one to tell
            raise
        self.call("cuStreamEndCapture", self._stream, byref(graph))

    def call(self, name: str, *arguments: Any) -> None:
        """Calls a function of the driver.

        Raises:
            BackendError: With what the driver says, if it fails or lacks the function.
        """
        function = getattr(self._library, name, None)
        if function is None:
            raise BackendError("BACKEND_DRIVER_OLD", f"The NVIDIA driver lacks {name}.", "Update the driver.")
        code = function(*arguments)
        if code:
            text = c_char_p()
            self._library.cuGetErrorString(c_int(code), byref(text))
            said = (text.value or b"no text").decode("utf-8", "replace")
            raise BackendError(
                "BACKEND_CUDA", f"{name} failed: {said} (CUDA error {code}).", "Check the driver with nvidia-smi."
            )

    def _free(self, name: str, address: Any) -> None:
        self.use()
        self.call(name, address)

    def _describe_device(self, device: c_int) -> CudaDevice:
        name = ctypes.create_string_buffer(_TEXT_BYTES)
        major, minor, version = c_int(), c_int(), c_int()
        self.call("cuDeviceGetName", name, c_int(_TEXT_BYTES), device)
        self.call("cuDeviceGetAttribute", byref(major), c_int(_CAPABILITY_MAJOR), device)
        self.call("cuDeviceGetAttribute", byref(minor), c_int(_CAPABILITY_MINOR), device)
        self.call("cuDriverGetVersion", byref(version))
        supported = f"CUDA {version.value // 1000}.{version.value % 1000 // 10}"
        release = _driver_release()
        return CudaDevice(
            name=name.value.decode("utf-8", "replace"),
            capability=f"{major.value}.{minor.value}",
            driver=f"{release}, {supported}" if release else supported,
        )


def _load_driver() -> Any:
    try:
        return ctypes.CDLL(_DRIVER)
    except OSError as error:
        raise BackendError(
            "BACKEND_NO_DRIVER",
            f"No NVIDIA driver was found: {error}.",
            "Install the driver of the graphics card; without one use the default backend, onnxruntime.",
        ) from error


def _driver_release() -> str:
    """Release of the driver such as ``580.65.06``; empty where its management library is not installed."""
    try:
        library = ctypes.CDLL(_MANAGEMENT)
    except OSError:
        return ""
    text = ctypes.create_string_buffer(_TEXT_BYTES)
    if library.nvmlInit_v2():
        return ""
    failed = library.nvmlSystemGetDriverVersion(text, c_uint(_TEXT_BYTES))
    library.nvmlShutdown()
    return "" if failed else text.value.decode("utf-8", "replace")
