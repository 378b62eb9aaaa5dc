"""What runs a compiled step. One small interface (``base``), one module for each runtime.

Not for: choosing what to sample (``sampling``) or when (``runtime``).
"""

from __future__ import annotations

from soulstream_engine.backends.base import Backend, Step
from soulstream_engine.errors import BackendError

__all__ = ["BACKENDS", "Backend", "Step", "open_backend"]


BACKENDS = ("onnxruntime", "openvino", "tensorrt", "tensorrt-rtx")
"""Runtimes that have a name. The first is always there; the others are extras."""


def open_backend(name: str = BACKENDS[0]) -> Backend:
    """Opens a backend by name.

    Args:
        name: One of ``BACKENDS``.

    Returns:
        A backend that loads steps.

    Raises:
        BackendError: If the name is unknown, the runtime is not installed, or there is no device for it.
    """
    if name == "onnxruntime":
        from soulstream_engine.backends.onnx_runtime import OnnxRuntimeBackend

        return OnnxRuntimeBackend()
    if name == "openvino":
        from soulstream_engine.backends.openvino import OpenVinoBackend

        return OpenVinoBackend()
    if name in BACKENDS:
        from soulstream_engine.backends.tensorrt import TensorRtBackend

        return TensorRtBackend(name)
    raise BackendError(
        "BACKEND_UNKNOWN", f"Backend {name!r} is not known; known are: {', '.join(BACKENDS)}.", "Name one of these."
    )
