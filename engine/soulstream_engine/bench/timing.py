"""A clock around every compiled step, put between the sampler and the backend from outside.

Steps are also loaded only once however many dancers ask for them: they keep nothing between calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from soulstream_engine.backends.base import Arrays, Backend, Step
from soulstream_engine.bundle import sha256_of
from soulstream_engine.clock import monotonic_ns
from soulstream_engine.manifest import StepSpec
from soulstream_engine.sampling.window import FOR_ONE

COMMIT = "commit"
"""What a pass of a stage counts as when it commits tokens and draws none."""


@dataclass(frozen=True, slots=True)
class StepCall:
    """One run of a step: its stage (``music mask residual commit decoder``), begin and end, monotonic nanoseconds."""

    stage: str
    begin_ns: int
    end_ns: int


class TimedBackend:
    """A backend whose steps note when they ran.

    Args:
        backend: What really runs them.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._loaded: dict[tuple[str, str, tuple[tuple[str, int], ...]], Step] = {}
        self._calls: list[StepCall] = []

    @property
    def name(self) -> str:
        """Name of the backend inside."""
        return self._backend.name

    def load(self, graph: bytes, name: str, spec: StepSpec | None = None) -> Step:
        """Compiles a graph, or gives the step of the same bytes, name and sizes (``Backend.load``)."""
        key = (sha256_of(graph), name, () if spec is None else tuple(sorted(spec.sizes.items())))
        if key not in self._loaded:
            self._loaded[key] = _TimedStep(self._backend.load(graph, name, spec), name, self._calls)
        return self._loaded[key]

    def take(self) -> list[StepCall]:
        """The calls since the last time this was asked, oldest first."""
        calls = self._calls.copy()
        self._calls.clear()
        return calls


class _TimedStep:
    """A step with a clock around it."""

    def __init__(self, step: Step, name: str, calls: list[StepCall]) -> None:
        self._step = step
        self._stage = name.removesuffix(FOR_ONE)
        self._calls = calls

    @property
    def spec(self) -> StepSpec:
        """Signature of the step inside."""
        return self._step.spec

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        begin_ns = monotonic_ns()
        outputs = self._step.run(inputs)
        end_ns = monotonic_ns()
        is_commit = "committing" in inputs and inputs["committing"][0] > 0.0
        self._calls.append(StepCall(COMMIT if is_commit else self._stage, begin_ns, end_ns))
        return outputs
