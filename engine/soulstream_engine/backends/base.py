"""The interface between the sampler and whatever runs the network.

A step is a pure function with a fixed signature: named arrays in, named arrays out, states among both. It keeps nothing
between calls, so a call can be repeated, recorded and compared across backends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.errors import BackendError
from soulstream_engine.manifest import DTypeName, StepSpec, TensorSpec

Arrays = dict[str, NDArray[Any]]

_DTYPES = {name: np.dtype(name) for name in get_args(DTypeName)}


class Step(Protocol):
    """One compiled step, ready to run."""

    @property
    def spec(self) -> StepSpec:
        """Signature: names, shapes and dtypes of inputs and outputs."""
        ...

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Runs the step once.

        Args:
            inputs: Every input of ``spec`` by name, exactly its shape and dtype.

        Returns:
            Every output of ``spec`` by name.

        Raises:
            BackendError: If an input is missing, unknown or has another shape or dtype, or if the runtime fails.

        Live: inference thread only; allocates outputs.
        """
        ...


class Backend(Protocol):
    """A runtime that turns a graph into a step."""

    @property
    def name(self) -> str:
        """Name shown to people and written in benchmarks."""
        ...

    def load(self, graph: bytes, name: str, spec: StepSpec | None = None) -> Step:
        """Compiles a graph.

        Args:
            graph: Serialised ONNX model, already checked by ``onnx_guard``.
            name: Name of the step, for messages.
            spec: Signature the graph must have; ``None`` takes the graph's own.

        Returns:
            The step.

        Raises:
            BackendError: If the runtime refuses the graph or its signature differs from ``spec``.

        Live: not live.
        """
        ...


def check_inputs(spec: StepSpec, inputs: Mapping[str, NDArray[Any]]) -> None:
    """Refuses inputs that differ from a signature.

    Args:
        spec: Signature of the step.
        inputs: Arrays by name.

    Raises:
        BackendError: Naming the step, the input, what was expected and what came.

    Live: pure.
    """
    for tensor in spec.inputs:
        array = inputs.get(tensor.name)
        if array is None:
            raise _mismatch(spec, f"input {tensor.name!r} is missing", sorted(inputs))
        if array.shape != tensor.shape or array.dtype != _DTYPES[tensor.dtype]:  # names of dtypes are slow to make
            raise _mismatch(
                spec, f"input {tensor.name!r}: expected {describe(tensor)}", f"{list(array.shape)} {array.dtype.name}"
            )
    if len(inputs) != len(spec.inputs):
        extra = sorted(set(inputs) - {tensor.name for tensor in spec.inputs})
        raise _mismatch(
            spec, f"unknown inputs {extra}, expected {[tensor.name for tensor in spec.inputs]}", sorted(inputs)
        )


def initial_states(spec: StepSpec) -> Arrays:
    """States of a step before its first call, by input name: filled with the value the manifest gives (0 unless said).

    Live: allocates.
    """
    inputs = {tensor.name: tensor for tensor in spec.inputs}
    return {
        state.input: np.full(inputs[state.input].shape, state.initial, dtype=inputs[state.input].dtype)
        for state in spec.states
    }


def next_states(spec: StepSpec, outputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """The states for the following call, by input name, picked from the outputs of this one. Live: pure."""
    return {state.input: outputs[state.output] for state in spec.states}


def describe(tensor: TensorSpec) -> str:
    """Shape and dtype of a tensor as text, for example ``[1, 4, 128] float32``."""
    return f"{list(tensor.shape)} {tensor.dtype}"


def _mismatch(spec: StepSpec, problem: str, got: object) -> BackendError:
    return BackendError(
        "BACKEND_SIGNATURE",
        f"Step {spec.name!r}: {problem}, got {got}.",
        "The bundle and this engine do not fit; update both.",
    )
