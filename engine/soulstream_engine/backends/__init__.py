"""What runs a compiled step. One small interface (``base``), one module for each runtime.

Not for: choosing what to sample (``sampling``) or when (``runtime``).
"""

from __future__ import annotations

from soulstream_engine.backends.base import Backend, Step
from soulstream_engine.errors import BackendError

__all__ = ["Backend", "Step", "open_backend"]


def open_backend(name: str = "onnxruntime") -> Backend:
    """Opens a backend by name.

    Args:
        name: ``onnxruntime``, the only one built in.

    Returns:
        A backend that loads steps.

    Raises:
        BackendError: If the name is unknown or the runtime is not installed.
    """
    if name != "onnxruntime":
        raise BackendError(
            "BACKEND_UNKNOWN", f"Backend {name!r} is not known; known are: onnxruntime.", "Name one of these."
        )
    from soulstream_engine.backends.onnx_runtime import OnnxRuntimeBackend

    return OnnxRuntimeBackend()
