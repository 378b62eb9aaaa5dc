"""OpenVINO runs a step as ONNX Runtime does, refuses what does not fit, and says how to install it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from fakes.bundle_files import add_graph, manifest_document

from soulstream_engine.backends.base import Backend, initial_states, next_states
from soulstream_engine.errors import BackendError
from soulstream_engine.manifest import StepSpec

SPEC = StepSpec.model_validate(manifest_document()["steps"][0])
GRAPH = add_graph().SerializeToString()
WITHOUT_OPENVINO = """
import sys
sys.modules["openvino"] = None
from soulstream_engine.backends import open_backend
from soulstream_engine.errors import BackendError
try:
    open_backend("openvino")
except BackendError as error:
    print(error.code, error.hint)
"""


@pytest.fixture(scope="module")
def backend() -> Backend:
    pytest.importorskip("openvino")
    from soulstream_engine.backends.openvino import OpenVinoBackend

    return OpenVinoBackend()


def test_a_missing_runtime_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_OPENVINO], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "BACKEND_MISSING Run pip install 'soulstream[openvino]'."


def test_states_go_round_and_outputs_are_not_overwritten(backend: Backend) -> None:
    step = backend.load(GRAPH, "step", SPEC)
    states = initial_states(step.spec)
    kept = []
    for _ in range(3):
        outputs = step.run({"x": np.ones(4, np.float32), **states})
        states = next_states(step.spec, outputs)
        kept.append(states["state_in"])
    np.testing.assert_array_equal(outputs["y"], [2, 3, 4, 5])
    np.testing.assert_array_equal(kept, [[1, 2, 3, 4], [2, 4, 6, 8], [3, 6, 9, 12]])


def test_arrays_that_are_read_only_or_not_contiguous_are_taken_as_they_are(backend: Backend) -> None:
    step = backend.load(GRAPH, "step", SPEC)
    spread = np.arange(8, dtype=np.float32)[::2]
    spread.flags.writeable = False
    plain = step.run({"x": spread.copy(), **initial_states(SPEC)})
    np.testing.assert_array_equal(step.run({"x": spread, **initial_states(SPEC)})["y"], plain["y"])


def test_a_graph_without_manifest_uses_its_own_signature(backend: Backend) -> None:
    found = backend.load(GRAPH, "step").spec
    assert set(found.inputs) == set(SPEC.inputs)
    assert set(found.outputs) == set(SPEC.outputs)


def test_inputs_that_do_not_fit_are_refused(backend: Backend) -> None:
    with pytest.raises(BackendError, match=r"expected \[4\] float32, got \[5\] float32"):
        backend.load(GRAPH, "step", SPEC).run({"x": np.ones(5, np.float32), **initial_states(SPEC)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": SPEC.inputs[:1], "states": ()}, "input 'state_in': the manifest says nothing"),
        (
            {"outputs": (SPEC.outputs[0].model_copy(update={"shape": (5,)}), SPEC.outputs[1])},
            r"output 'y': the manifest says \[5\] float32, the graph has \[4\] float32",
        ),
    ],
)
def test_a_graph_that_differs_from_its_manifest_is_refused(backend: Backend, change: dict, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        backend.load(GRAPH, "step", SPEC.model_copy(update=change))


def test_a_damaged_graph_and_an_unknown_precision_are_our_errors(backend: Backend) -> None:
    from soulstream_engine.backends.openvino import OpenVinoBackend

    with pytest.raises(BackendError, match="refused graph 'step'"):
        backend.load(GRAPH[:-30], "step", SPEC)
    with pytest.raises(BackendError, match="'f16' is not known"):
        OpenVinoBackend(precision="f16")  # type: ignore[arg-type]
    assert " f32 cpu x1" in backend.name


def test_no_telemetry_is_loaded() -> None:
    """SECURITY.md promises none; the package brings some with its converter."""
    code = (
        "import sys; from soulstream_engine.backends import open_backend; open_backend('openvino');"
        "print([name for name in sys.modules if 'telemetry' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
