"""After a run it is known which backend danced: the one that computed last, not the one that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from fakes.toy_bundle import beat_track, toy
from numpy.typing import NDArray

from soulstream_engine.audio.paced import PacedSource
from soulstream_engine.backends import open_backend
from soulstream_engine.backends.base import Arrays, Step
from soulstream_engine.bundle import Bundle, load_bundle
from soulstream_engine.errors import BackendError
from soulstream_engine.frames import PoseFrame, StatusSnapshot
from soulstream_engine.manifest import StepSpec
from soulstream_engine.runtime.dance import DanceStream
from soulstream_engine.runtime.events import EventLog
from soulstream_engine.runtime.frame_buffer import FrameBuffer
from soulstream_engine.runtime.media_map import MediaMap
from soulstream_engine.runtime.network import Network
from soulstream_engine.runtime.session import Session
from soulstream_engine.runtime.workers import InferenceWorker


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(toy(tmp_path_factory.getbasetemp()).folder)


@dataclass
class Renamed:
    """ONNX Runtime under another name, which changes to ``after`` at its first step, as a fallback would."""

    name: str
    after: str

    def load(self, graph: bytes, name: str, spec: StepSpec | None = None) -> Step:
        return RenamedStep(open_backend().load(graph, name, spec), self)


@dataclass
class RenamedStep:
    inner: Step
    owner: Renamed

    @property
    def spec(self) -> StepSpec:
        return self.inner.spec

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        self.owner.name = self.owner.after
        return self.inner.run(inputs)


class Nobody:
    def send(self, frame: PoseFrame, media_time_s: float) -> None:
        pass


def test_a_network_tells_who_computes_now(bundle: Bundle) -> None:
    backend = Renamed("wanted 1.0", "")
    network = Network(bundle, backend)
    assert network.backend_name == "wanted 1.0"
    backend.name = "other 2.0"
    assert network.backend_name == "other 2.0"


def test_a_fallback_is_seen_in_the_summary_and_in_the_status(bundle: Bundle) -> None:
    statuses: list[StatusSnapshot] = []
    samples = beat_track(4.0)
    source = PacedSource("beats", lambda: iter([samples]), play=False, loop=True)
    stream = DanceStream(bundle, backend=Renamed("wanted 1.0", "onnxruntime 1.0"))
    summary = Session(source, lambda: stream, [Nobody()], seconds=2.5, on_status=statuses.append).run()
    assert summary["backend"] == "onnxruntime 1.0"
    named = list(dict.fromkeys(status.backend for status in statuses if status.backend))
    assert named[-1] == "onnxruntime 1.0"
    assert set(named) <= {"wanted 1.0", "onnxruntime 1.0"}


class Silent:
    """A stream without a network."""

    def push(self, samples: NDArray[np.float32]) -> list[PoseFrame]:
        return []


def test_a_stream_without_a_network_or_no_stream_at_all_names_none() -> None:
    def refuse() -> Silent:
        raise BackendError("BACKEND_NO_DEVICE", "There is no card.")

    for make in (Silent, refuse):
        source = PacedSource("nothing", lambda: iter([np.zeros(480, np.float32)]), play=False, loop=False)
        worker = InferenceWorker(source, make, FrameBuffer(), lambda: MediaMap(0), EventLog())
        worker.run()
        assert worker.backend is None
