"""The clock around the steps: several dancers share what was loaded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fakes.bundle_files import write_bundle

from soulstream_engine.backends import open_backend
from soulstream_engine.backends.base import Step
from soulstream_engine.bench.timing import TimedBackend
from soulstream_engine.bundle import load_bundle
from soulstream_engine.manifest import StepSpec


class Counted:
    """ONNX Runtime that counts what it loads."""

    name = "counted"

    def __init__(self) -> None:
        self.loads: list[str] = []

    def load(self, graph: bytes, name: str, spec: StepSpec | None = None) -> Step:
        self.loads.append(name)
        return open_backend().load(graph, name, spec)


def test_a_graph_is_loaded_once_however_often_it_is_read_from_its_file(tmp_path: Path) -> None:
    bundle, inner = load_bundle(write_bundle(tmp_path / "toy")), Counted()
    timed, spec = TimedBackend(inner), bundle.manifest.step("step")
    steps = [timed.load(bundle.graphs["step"], "step", spec) for _ in range(3)]
    assert inner.loads == ["step"]
    assert steps[0] is steps[1] is steps[2]
    inputs = {tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in spec.inputs}
    steps[0].run(inputs)
    (call,) = timed.take()
    assert call.stage == "step"
    assert call.end_ns >= call.begin_ns
    assert timed.take() == []
