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
        """Loads a step and compares it on one example.

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
        inputs = example_inputs(step.spec)
        found = largest_difference(self._reference.load(graph, name, spec).run(inputs), step.run(inputs))
        self.differences[name] = found
        if not found <= self._tolerance:
            raise BackendError(
                "BACKEND_DISAGREES",
                f"Step {name!r} differs by {found:.1e} of its largest value between {self._reference.name} and "
                f"{self.name}, {self._tolerance:.0e} is allowed.",
                "Use --backend onnxruntime; try --precision fp32, and report this.",
            )
        return step


def example_inputs(spec: StepSpec, seed: int = 0) -> Arrays:
    """Inputs that any of our steps takes: numbers in 0..1, vectors of ones (they are switches), codes 0.

    Args:
        spec: Signature.
        seed: Of the numbers.

    Returns:
        Arrays by name, shapes and dtypes of the signature.
    """
    generator = np.random.default_rng(seed)
    inputs: Arrays = {}
    for tensor in spec.inputs:
        if not tensor.dtype.startswith("float"):
            inputs[tensor.name] = np.zeros(tensor.shape, tensor.dtype)
        elif len(tensor.shape) < 2:
            inputs[tensor.name] = np.ones(tensor.shape, tensor.dtype)
        else:
            inputs[tensor.name] = generator.random(tensor.shape).astype(tensor.dtype)
    return inputs


def largest_difference(reference: Arrays, found: Arrays) -> float:
    """Largest difference of any output, as a share of the largest value of that output; NaN if one is not finite."""
    worst = 0.0
    for name, expected in reference.items():
        scale = max(float(np.abs(expected).max(initial=0.0)), 1e-6)
        worst = float(np.maximum(worst, np.abs(expected - found[name]).max(initial=0.0) / scale))
    return worst
