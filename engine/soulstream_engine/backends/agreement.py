"""Two runtimes must compute the same: a backend that is compared with another one before anyone dances to it.

A GPU, its driver and its compiler are the user's own and were seen by no test of ours. Not for: bit-exact parity.
"""

from __future__ import annotations

import numpy as np

from soulstream_engine.backends.base import Arrays, Backend, Step
from soulstream_engine.errors import BackendError
from soulstream_engine.manifest import StepSpec

TOLERANCES = {"fp32": 1e-3, "fp16": 1e-2}
"""Largest difference allowed, as a share of the largest value of the output. Rounding the large products to FP16 inside
ONNX Runtime gives 8e-4 at most (measured on three bundles)."""

_DRAWING, _COMMITTING = 0, 1
"""Seeds of the two examples that are compared."""

_SAFE_CODES = 8
"""Codes that every tokenizer has, for steps whose signature does not say how many there are. Ours."""


class CheckedBackend:
    """A backend whose steps are compared with those of another one when they are loaded.

    Args:
        inner: What runs.
        reference: What it is compared with.
        tolerance: Largest difference, see ``TOLERANCES``.

    Attributes:
        differences: What was found, by step.
    """

    def __init__(self, inner: Backend, reference: Backend, tolerance: float) -> None:
        self._inner = inner
        self._reference = reference
        self._tolerance = tolerance
        self.differences: dict[str, float] = {}

    @property
    def name(self) -> str:
        """Name of the backend that runs."""
        return self._inner.name

    def load(self, graph: bytes, name: str, spec: StepSpec | None = None) -> Step:
        """Loads a step and compares it on two examples: as a tick draws and as it commits.

        Args:
            graph: Serialised ONNX model, already checked by ``onnx_guard``.
            name: Name of the step, for messages.
            spec: Signature the graph must have; ``None`` takes the graph's own.

        Returns:
            The step of the backend that runs.

        Raises:
            BackendError: If a backend refuses the graph or they disagree.
        """
        step = self._inner.load(graph, name, spec)
        reference = self._reference.load(graph, name, spec)
        found = 0.0
        for seed in (_DRAWING, _COMMITTING):
            inputs = example_inputs(step.spec, seed)
            found = float(np.maximum(found, largest_difference(reference.run(inputs), step.run(inputs))))
        self.differences[name] = found
        if not found <= self._tolerance:
            raise BackendError(
                "BACKEND_DISAGREES",
                f"Step {name!r} differs by {found:.1e} of its largest value between {self._reference.name} and "
                f"{self.name}, {self._tolerance:.0e} is allowed.",
                "Use --backend onnxruntime; try --precision fp32, and report this.",
            )
        return step


def example_inputs(spec: StepSpec, seed: int = _DRAWING) -> Arrays:
    """Inputs that any of our steps takes: numbers in 0..1, codes that exist, switches as a tick sets them.

    An even seed draws: not committing, the last level, one token kept, the older half of the slots not valid. An odd
    seed commits: committing, the first level, all tokens kept, every slot valid.

    Args:
        spec: Signature.
        seed: Of the numbers and codes; even or odd as above.

    Returns:
        Arrays by name, shapes and dtypes of the signature.
    """
    generator = np.random.default_rng(seed)
    is_drawing = seed % 2 == _DRAWING
    inputs: Arrays = {}
    for tensor in spec.inputs:
        if tensor.name == "codes" and tensor.dtype == "int64":
            inputs[tensor.name] = generator.integers(_num_codes(spec), size=tensor.shape)
        elif not tensor.dtype.startswith("float"):
            inputs[tensor.name] = np.full(tensor.shape, _index(spec, tensor.name, is_drawing), tensor.dtype)
        elif len(tensor.shape) < 2:
            inputs[tensor.name] = np.ones(tensor.shape, tensor.dtype)
            if is_drawing and tensor.name == "committing":
                inputs[tensor.name][:] = 0.0
            elif is_drawing and tensor.name.endswith("_valid"):
                inputs[tensor.name][: tensor.shape[0] // 2] = 0.0  # slots before the start come first
        else:
            inputs[tensor.name] = generator.random(tensor.shape).astype(tensor.dtype)
    return inputs


def _num_codes(spec: StepSpec) -> int:
    """Codes that are safe to look up: as many as a stage scores, few for the decoder."""
    return next((tensor.shape[-1] for tensor in spec.outputs if tensor.name == "logits"), _SAFE_CODES)


def _index(spec: StepSpec, name: str, is_drawing: bool) -> int:
    """Value of an input that counts or chooses: ``kept`` and ``level`` as far as the signature allows, else 0."""
    codes = next((tensor.shape for tensor in spec.inputs if tensor.name == "codes"), ())
    if len(codes) < 2:
        return 0
    planned, levels = codes[-2:]
    if name == "kept":
        return 1 if is_drawing else planned
    if name == "level" and is_drawing and spec.name.startswith("residual"):  # the mask stage has its first level only
        return max(0, levels - 2)
    return 0


def largest_difference(reference: Arrays, found: Arrays) -> float:
    """Largest difference of any output, as a share of the largest value of that output; NaN if one is not finite."""
    worst = 0.0
    for name, expected in reference.items():
        scale = max(float(np.abs(expected).max(initial=0.0)), 1e-6)
        worst = float(np.maximum(worst, np.abs(expected - found[name]).max(initial=0.0) / scale))
    return worst
