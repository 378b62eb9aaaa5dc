"""ONNX Runtime dances until the other backend is ready, and again when that one fails; nothing happens silently."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from fakes.toy_bundle import beat_track, toy
from numpy.typing import NDArray

from soulstream_engine.backends import BACKENDS, open_backend, plan_progress
from soulstream_engine.backends.agreement import CheckedBackend, example_inputs, largest_difference
from soulstream_engine.backends.base import Arrays, Backend, Step
from soulstream_engine.backends.plan_cache import NO_PLAN_YET
from soulstream_engine.backends.plan_progress import OnProgress
from soulstream_engine.backends.tensorrt import PlanReport
from soulstream_engine.bundle import Bundle, load_bundle
from soulstream_engine.cli.live import _Streams
from soulstream_engine.config import Config, ModelConfig
from soulstream_engine.errors import BackendError
from soulstream_engine.manifest import StepSpec
from soulstream_engine.runtime import backend_swap
from soulstream_engine.runtime.backend_swap import BackendSwap, BackendWish, LiveStreams, prepared_stream
from soulstream_engine.runtime.dance import DanceStream

PATIENCE_S = 20.0
NO_DEVICE = BackendError("BACKEND_NO_DEVICE", "There is no card.", "Buy one.")


@dataclass
class Other:
    """A backend that computes what ONNX Runtime computes; notes its calls, waits, fails or lies as told."""

    may_load: threading.Event = field(default_factory=threading.Event)
    fails_at: str = ""
    gives_nan: str = ""
    nan_in: str = "logits"
    lies_in: str = ""
    factor: float = 1.0
    ran: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    name: str = "other 1.0"

    def load(self, graph: bytes, name: str, spec: StepSpec | None = None) -> Step:
        assert self.may_load.wait(PATIENCE_S)
        self.loaded.append(name)
        return OtherStep(open_backend().load(graph, name, spec), self)


@dataclass
class OtherStep:
    inner: Step
    owner: Other

    @property
    def spec(self) -> StepSpec:
        return self.inner.spec

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        name = self.spec.name
        self.owner.ran.append(name)
        if name == self.owner.fails_at:
            raise BackendError("BACKEND_CUDA", "The card fell off the bus.", "Push it in.")
        outputs = self.inner.run(inputs)
        if name == self.owner.gives_nan:
            outputs[self.owner.nan_in].flat[0] = np.inf
        if self.owner.lies_in in outputs and inputs.get("kept", [0])[0] > 1:
            outputs[self.owner.lies_in] *= np.float32(1.02)
        return {key: value * np.asarray(self.owner.factor, value.dtype) for key, value in outputs.items()}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(toy(tmp_path_factory.getbasetemp()).folder)


@pytest.fixture
def notes() -> list[tuple[str, str]]:
    return []


def swap_to(open_next: Callable[[OnProgress], Backend], notes: list[tuple[str, str]]) -> BackendSwap:
    return BackendSwap("other", open_next, lambda code, message: notes.append((code, message)))


def wait_for(code: str, notes: list[tuple[str, str]]) -> None:
    for _ in range(int(PATIENCE_S / 0.01)):
        if any(found == code for found, _ in notes):
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{code} did not come; there are {notes}")


def codes_of(notes: list[tuple[str, str]]) -> list[str]:
    return [code for code, _ in notes]


def test_it_dances_at_once_and_changes_between_two_ticks(bundle: Bundle, notes: list[tuple[str, str]]) -> None:
    other = Other()
    swap = swap_to(lambda _: other, notes)
    stream, plain = DanceStream(bundle, 3, backend=swap), DanceStream(bundle, 3)
    swap.start()
    music = beat_track(4.0)
    early = stream.push(music[:96_000])
    assert len(early) > 30
    assert other.ran == []
    assert "onnxruntime" in swap.name
    other.may_load.set()
    wait_for("BACKEND_READY", notes)
    assert other.ran == []
    late = stream.push(music[96_000:])
    assert other.ran[0] == "music"
    assert "decoder" in other.ran
    assert swap.name == "other 1.0"
    assert codes_of(notes) == ["BACKEND_PREPARING", "BACKEND_READY", "BACKEND_CHANGED"]
    assert notes[-1][1].startswith("other 1.0 computes from now on, instead of onnxruntime")
    for ours, theirs in zip(early + late, plain.push(music), strict=True):
        np.testing.assert_array_equal(ours.joint_wxyz, theirs.joint_wxyz)


def test_no_step_inside_a_tick_changes(bundle: Bundle, notes: list[tuple[str, str]]) -> None:
    other = Other()
    other.may_load.set()
    swap = swap_to(lambda _: other, notes)
    specs = {name: bundle.manifest.step(name) for name in ("music", "mask")}
    steps = {name: swap.load(bundle.graphs[name], name, spec) for name, spec in specs.items()}
    swap.start()
    wait_for("BACKEND_READY", notes)
    steps["mask"].run(example_inputs(specs["mask"]))
    assert other.ran == []
    steps["music"].run(example_inputs(specs["music"]))
    steps["mask"].run(example_inputs(specs["mask"]))
    assert other.ran == ["music", "mask"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"fails_at": "residual"}, "fell off the bus"),
        ({"gives_nan": "residual"}, "logits that are not finite"),
        ({"gives_nan": "residual", "nan_in": "new_k"}, "new_k that are not finite"),
    ],
)
def test_a_failure_during_the_dance_costs_no_frame(
    fault: dict[str, str], reason: str, bundle: Bundle, notes: list[tuple[str, str]]
) -> None:
    other = Other(**fault)
    other.may_load.set()
    swap = swap_to(lambda _: other, notes)
    stream, plain = DanceStream(bundle, 5, backend=swap), DanceStream(bundle, 5)
    swap.start()
    wait_for("BACKEND_READY", notes)
    music = beat_track(3.0)
    for ours, theirs in zip(stream.push(music), plain.push(music), strict=True):
        np.testing.assert_array_equal(ours.joint_wxyz, theirs.joint_wxyz)
    assert other.ran.count("residual") == 1
    assert codes_of(notes)[-2:] == ["BACKEND_CHANGED", "BACKEND_FALLBACK"]
    assert "other is not used, onnxruntime computes instead" in notes[-1][1]
    assert reason in notes[-1][1]
    assert "onnxruntime" in swap.name
    assert stream.bad_chunks == 0


def test_a_backend_that_cannot_be_opened_is_told_and_the_dance_goes_on(
    bundle: Bundle, notes: list[tuple[str, str]]
) -> None:
    def refuse(_: OnProgress) -> Backend:
        raise NO_DEVICE

    swap = swap_to(refuse, notes)
    stream = DanceStream(bundle, 0, backend=swap)
    swap.start()
    wait_for("BACKEND_FALLBACK", notes)
    assert "There is no card. Buy one." in notes[-1][1]
    assert len(stream.push(beat_track(2.0))) > 30


def test_closing_stops_a_preparation_without_a_word(bundle: Bundle, notes: list[tuple[str, str]]) -> None:
    started = threading.Event()

    def compile_until_told(tell: OnProgress) -> Backend:
        while tell("music", 0.5):
            started.set()
            threading.Event().wait(0.01)
        raise BackendError("BACKEND_STOPPED", "Compiling was stopped.", "")

    swap = swap_to(compile_until_told, notes)
    swap.load(bundle.graphs["music"], "music", bundle.manifest.step("music"))
    swap.start()
    assert started.wait(PATIENCE_S)
    swap.close()
    assert not any(thread.name == "backend" for thread in threading.enumerate())
    assert codes_of(notes) == ["BACKEND_PREPARING"]


def test_a_preparation_never_begins_after_closing(bundle: Bundle, notes: list[tuple[str, str]]) -> None:
    opened: list[str] = []

    def open_next(_: OnProgress) -> Backend:
        opened.append("other")
        return Other()

    swap = swap_to(open_next, notes)
    swap.load(bundle.graphs["music"], "music", bundle.manifest.step("music"))
    swap.close()
    swap.start()
    assert not any(thread.name == "backend" for thread in threading.enumerate())
    assert (opened, notes) == ([], [])


@pytest.mark.parametrize("is_required", [False, True])
def test_closing_while_the_model_is_loaded_begins_nothing(
    is_required: bool, bundle: Bundle, notes: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(backend_swap, "open_wished", lambda wish, note, tell=None: opened.append(wish.name))

    def note(code: str, message: str) -> None:
        notes.append((code, message))

    live = LiveStreams(BackendWish("tensorrt", is_required=is_required), note)
    live.close()
    with pytest.raises(BackendError, match="Preparing tensorrt was stopped"):
        live.make(bundle, 0)
    live = LiveStreams(BackendWish("tensorrt"), note)
    monkeypatch.setattr(backend_swap, "DanceStream", lambda *_, **__: live.close())
    with pytest.raises(BackendError, match="was stopped"):
        live.make(bundle, 0)
    assert (opened, notes) == ([], [])


def test_closing_a_live_run_while_the_bundle_is_read_begins_nothing(
    bundle: Bundle, notes: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = _Streams(Config(model=ModelConfig(backend="tensorrt")))

    def read_until_closed(_: object) -> Bundle:
        streams.close()
        return bundle

    monkeypatch.setattr("soulstream_engine.bundle.load_bundle", read_until_closed)
    with pytest.raises(BackendError, match="Preparing tensorrt was stopped"):
        streams.make(lambda code, message: notes.append((code, message)))
    assert notes == []


def test_a_required_backend_tells_how_far_it_is_and_stops_when_closed(
    bundle: Bundle, notes: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiled(name: str, precision: str, *, on_progress: OnProgress, on_plan: Callable[[PlanReport], None]) -> None:
        monkeypatch.setattr(plan_progress, "TELL_EVERY_S", 0.0)
        assert on_progress("decoder", 0.5)
        monkeypatch.setattr(plan_progress, "TELL_EVERY_S", 3600.0)
        on_plan(PlanReport("decoder", True, NO_PLAN_YET, 10))
        live.close()
        assert not on_progress("music", 0.1)
        on_plan(PlanReport("music", False, "", 10))

    monkeypatch.setattr(backend_swap, "TensorRtBackend", compiled)
    live = LiveStreams(BackendWish("tensorrt", is_required=True), lambda code, message: notes.append((code, message)))
    with pytest.raises(BackendError, match="Preparing tensorrt was stopped") as caught:
        live.make(bundle, 0)
    assert caught.value.code == "BACKEND_STOPPED"
    assert codes_of(notes) == ["BACKEND_PREPARING"]
    assert "% is prepared, about" in notes[0][1]


def test_graphs_are_forgotten_once_they_are_prepared(bundle: Bundle, notes: list[tuple[str, str]]) -> None:
    other = Other()
    swap = swap_to(lambda _: other, notes)
    spec = bundle.manifest.step("music")
    swap.load(bundle.graphs["music"], "music", spec)
    swap.start()
    other.may_load.set()
    wait_for("BACKEND_READY", notes)
    swap.close()
    swap.load(bundle.graphs["music"], "music", spec)
    assert swap._wanted == {}


def test_a_stream_that_is_built_again_keeps_the_backend(
    bundle: Bundle, notes: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Other()
    other.may_load.set()
    monkeypatch.setattr(backend_swap, "open_wished", lambda wish, note, tell=None: other)
    live = LiveStreams(BackendWish("tensorrt-rtx"), lambda code, message: notes.append((code, message)))
    live.make(bundle, 0)
    wait_for("BACKEND_READY", notes)
    loaded = list(other.loaded)
    again = live.make(bundle, 0)
    again.push(beat_track(2.0))
    live.close()
    assert other.loaded == loaded
    assert "decoder" in other.ran


@pytest.mark.parametrize("name", ["openvino", "tensorrt"])
def test_what_is_loaded_before_the_dance_falls_back_or_refuses(
    name: str, bundle: Bundle, notes: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(wish: BackendWish, note: object, tell: OnProgress | None = None) -> Backend:
        raise NO_DEVICE

    monkeypatch.setattr(backend_swap, "open_wished", refuse)

    def note(code: str, message: str) -> None:
        notes.append((code, message))

    stream = prepared_stream(bundle, 0, BackendWish(name), note)
    assert "onnxruntime" in stream.network.backend_name
    assert notes == [
        ("BACKEND_FALLBACK", f"{name} is not used, onnxruntime computes instead: There is no card. Buy one.")
    ]
    with pytest.raises(BackendError, match="There is no card"):
        prepared_stream(bundle, 0, BackendWish(name, is_required=True), note)
    with pytest.raises(BackendError, match="There is no card"):
        LiveStreams(BackendWish(name, is_required=True), note).make(bundle, 0)
    assert len(notes) == 1


def test_compiling_anew_is_explained_and_compiling_first_is_not(
    notes: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(name: str, precision: str, *, on_progress: object, on_plan: Callable[[PlanReport], None]) -> Backend:
        assert (name, precision) == ("tensorrt-rtx", "fp32")
        on_plan(PlanReport("music", True, NO_PLAN_YET, 10))
        on_plan(PlanReport("mask", True, "driver changed from 'a' to 'b'", 10))
        on_plan(PlanReport("residual", False, "", 10))
        return Other()

    monkeypatch.setattr(backend_swap, "TensorRtBackend", opened)
    wish = BackendWish("tensorrt-rtx", "fp32")
    assert isinstance(backend_swap.open_wished(wish, lambda *note: notes.append(note)), CheckedBackend)
    told = "tensorrt-rtx: step mask was compiled anew, because driver changed from 'a' to 'b'."
    assert notes == [("BACKEND_PLAN", told)]


def test_a_backend_that_computes_something_else_is_not_danced_to(bundle: Bundle) -> None:
    spec = bundle.manifest.step("music")
    liar = Other(factor=1.02)
    liar.may_load.set()
    with pytest.raises(BackendError, match=r"differs by 2\.0e-02 of its largest value .* 1e-02 is allowed") as caught:
        CheckedBackend(liar, open_backend(), 1e-2).load(bundle.graphs["music"], "music", spec)
    assert caught.value.code == "BACKEND_DISAGREES"
    honest = Other()
    honest.may_load.set()
    checked = CheckedBackend(honest, open_backend(), 1e-2)
    checked.load(bundle.graphs["music"], "music", spec)
    assert checked.differences == {"music": 0.0}


@pytest.mark.parametrize("index", [0, -1])
def test_states_after_what_was_committed_are_compared(index: int, bundle: Bundle) -> None:
    spec = bundle.manifest.step("decoder")
    liar = Other(lies_in=spec.states[index].output)
    liar.may_load.set()
    with pytest.raises(BackendError, match=r"differs by 2\.0e-02"):
        CheckedBackend(liar, open_backend(), 1e-2).load(bundle.graphs["decoder"], "decoder", spec)


def test_a_difference_that_is_not_a_number_is_refused(bundle: Bundle) -> None:
    broken = Other(gives_nan="mask")
    broken.may_load.set()
    with pytest.raises(BackendError, match="differs by inf"):
        CheckedBackend(broken, open_backend(), 1e-2).load(bundle.graphs["mask"], "mask", bundle.manifest.step("mask"))
    nan = {"y": np.array([1.0, np.nan], np.float32)}
    assert np.isnan(largest_difference({"y": np.ones(2, np.float32)}, nan))


def test_the_settings_know_every_backend() -> None:
    assert set(ModelConfig.model_fields["backend"].annotation.__args__) == set(BACKENDS)  # type: ignore[union-attr]
    assert ModelConfig().backend == BACKENDS[0] == BackendWish().name
    assert ModelConfig().precision == BackendWish().precision
