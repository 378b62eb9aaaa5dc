"""A step runs on exactly the arrays its signature names."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.bundle_files import add_graph, manifest_document

from soulstream_engine.backends import open_backend
from soulstream_engine.backends.base import Step, initial_states, next_states
from soulstream_engine.errors import BackendError
from soulstream_engine.manifest import StepSpec

SPEC = StepSpec.model_validate(manifest_document()["steps"][0])
GRAPH = add_graph().SerializeToString()


@pytest.fixture(scope="module")
def step() -> Step:
    return open_backend().load(GRAPH, "step", SPEC)


def test_states_go_round(step: Step) -> None:
    states = initial_states(step.spec)
    for _ in range(3):
        outputs = step.run({"x": np.ones(4, np.float32), **states})
        states = next_states(step.spec, outputs)
    np.testing.assert_array_equal(outputs["y"], [2, 3, 4, 5])
    np.testing.assert_array_equal(states["state_in"], [3, 6, 9, 12])


def test_a_graph_without_manifest_uses_its_own_signature() -> None:
    found = open_backend().load(GRAPH, "step").spec
    assert found.inputs == SPEC.inputs
    assert found.outputs == SPEC.outputs


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": np.ones(4, np.float32)}, "input 'state_in' is missing"),
        (
            {"x": np.ones(5, np.float32), "state_in": np.ones(4, np.float32)},
            r"expected \[4\] float32, got \[5\] float32",
        ),
        ({"x": np.ones(4), "state_in": np.ones(4, np.float32)}, r"expected \[4\] float32, got \[4\] float64"),
        ({name: np.ones(4, np.float32) for name in ("x", "state_in", "z")}, r"unknown inputs \['z'\]"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(step: Step, inputs: dict, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        step.run(inputs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": SPEC.inputs[:1], "states": ()}, r"has inputs \['state_in'\] that the manifest does not list"),
        (
            {"outputs": (SPEC.outputs[0].model_copy(update={"shape": (5,)}), SPEC.outputs[1])},
            r"output 'y': the manifest says \[5\] float32, the graph has \[4\] float32",
        ),
    ],
)
def test_a_graph_that_differs_from_its_manifest_is_refused(change: dict, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        open_backend().load(GRAPH, "step", SPEC.model_copy(update=change))


def test_a_damaged_graph_is_our_error_not_the_runtimes() -> None:
    with pytest.raises(BackendError, match="refused graph 'step'"):
        open_backend().load(GRAPH[:-30], "step", SPEC)


def test_an_unknown_backend_is_named() -> None:
    with pytest.raises(BackendError, match="'abacus' is not known"):
        open_backend("abacus")
