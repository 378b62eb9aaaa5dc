"""Which runtime computes the dance: the one that was asked for, or ONNX Runtime until it is ready or instead of it.

A runtime that must compile first is prepared on a thread of its own while ONNX Runtime dances. The change happens at
the first step of a tick, on the inference thread; states are numpy arrays that either runtime takes. If the new one
fails later, the same call is made again with ONNX Runtime, so that no frame is lost, and that is where it stays.
Every change and every failure is told with a name and a reason.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.backends import BACKENDS, open_backend
from soulstream_engine.backends.agreement import TOLERANCES, CheckedBackend
from soulstream_engine.backends.base import Arrays, Backend, Step
from soulstream_engine.backends.plan_builder import FLAVOURS, PRECISIONS
from soulstream_engine.backends.plan_cache import NO_PLAN_YET
from soulstream_engine.backends.plan_progress import OnProgress, Preparation
from soulstream_engine.backends.tensorrt import PlanReport, TensorRtBackend
from soulstream_engine.bundle import Bundle
from soulstream_engine.clock import monotonic_ns
from soulstream_engine.errors import BackendError
from soulstream_engine.manifest import StepSpec
from soulstream_engine.runtime.dance import DanceStream

FIRST_STEP = "music"
"""Every tick begins with it; backends change here and nowhere else."""

_JOIN_S = 1.5

Note = Callable[[str, str], None]
"""(code, message) -> told to people; ``EventLog.add`` is one."""


@dataclass(frozen=True, slots=True)
class BackendWish:
    """What was asked for: ``name`` of a backend, ``precision`` (TensorRT only), whether another one will not do."""

    name: str = BACKENDS[0]
    precision: str = PRECISIONS[0]
    is_required: bool = False


def open_wished(wish: BackendWish, note: Note, on_progress: OnProgress | None = None) -> Backend:
    """Opens the backend of a wish; steps of TensorRT are compared with ONNX Runtime when they are loaded.

    Args:
        wish: What was asked for.
        note: Told ``BACKEND_PLAN`` and the reason, if what was compiled before cannot be used.
        on_progress: Told how far a compilation is; asked after every step, too, whether to go on.

    Raises:
        BackendError: If the backend is not known, not installed or has no device.
    """
    if wish.name not in FLAVOURS:
        return open_backend(wish.name)

    def tell(report: PlanReport) -> None:
        if report.was_built and report.reason != NO_PLAN_YET:
            note("BACKEND_PLAN", f"{wish.name}: step {report.step} was compiled anew, because {report.reason}.")
        if on_progress is not None and not on_progress(report.step, 1.0):
            raise _stopped(wish.name)

    inner = TensorRtBackend(wish.name, wish.precision, on_progress=on_progress, on_plan=tell)
    return CheckedBackend(inner, open_backend(), TOLERANCES[wish.precision])


def prepared_stream(
    bundle: Bundle,
    seed: int,
    wish: BackendWish,
    note: Note,
    on_progress: OnProgress | None = None,
    tick_tokens: int | None = None,
) -> DanceStream:
    """A dance stream whose backend is ready before it begins.

    Args:
        bundle: Verified model.
        seed: Chooses the dance.
        wish: What was asked for.
        note: Told ``BACKEND_FALLBACK`` and the reason, if ONNX Runtime must do instead.
        on_progress: Told how far a compilation is.
        tick_tokens: Tokens that a tick commits; ``None``: as the bundle wants.

    Raises:
        BackendError: If the backend cannot be used and is required, or ONNX Runtime cannot be used.
        ConfigError: If the bundle has no such ticks.
    """
    try:
        backend = open_wished(wish, note, on_progress)
        return DanceStream(bundle, seed, backend=backend, commit_tokens=tick_tokens)
    except BackendError as error:
        if wish.is_required or wish.name == BACKENDS[0]:
            raise
        note("BACKEND_FALLBACK", _fallback_text(wish.name, error))
    return DanceStream(bundle, seed, commit_tokens=tick_tokens)


class LiveStreams:
    """Makes the dance streams of a live run; the backend is prepared once for all of them.

    Args:
        wish: What was asked for.
        note: Told what happens; any thread.

    Threading: ``make`` on the inference thread, ``close`` on any.
    """

    def __init__(self, wish: BackendWish, note: Note) -> None:
        self._wish = wish
        self._note = note
        self._swap: BackendSwap | None = None
        self._is_closed = threading.Event()

    def make(self, bundle: Bundle, seed: int, tick_tokens: int | None = None) -> DanceStream:
        """A stream that dances at once, unless its backend is required and must be compiled first.

        Args:
            bundle: Verified model.
            seed: Chooses the dance.
            tick_tokens: Tokens that a tick commits; ``None``: as the bundle wants.

        Raises:
            BackendError: As ``prepared_stream``, or if it was closed.
            ConfigError: As ``prepared_stream``.
        """
        if self._is_closed.is_set():
            raise _stopped(self._wish.name)
        if self._wish.name not in FLAVOURS or self._wish.is_required:
            sizes = {step.name: len(bundle.graphs[step.name]) for step in _different_steps(bundle)}
            tell = _watch(self._wish.name, sizes, self._note, self._is_closed)
            return prepared_stream(bundle, seed, self._wish, self._note, tell, tick_tokens)
        if self._swap is None:
            self._swap = BackendSwap(
                self._wish.name, lambda tell: open_wished(self._wish, self._note, tell), self._note
            )
        stream = DanceStream(bundle, seed, backend=self._swap, commit_tokens=tick_tokens)
        if self._is_closed.is_set():
            raise _stopped(self._wish.name)
        self._swap.start()
        return stream

    def close(self) -> None:
        """Stops a preparation that is still going on; none begins afterwards."""
        self._is_closed.set()
        if self._swap is not None:
            self._swap.close()


@dataclass(frozen=True, slots=True)
class _Wanted:
    graph: bytes
    name: str
    spec: StepSpec | None


class BackendSwap:
    """A backend that begins as ONNX Runtime and becomes another one.

    Args:
        label: Name of the other one.
        open_next: Opens it; gets a function that is told how far a compilation is.
        note: Told what happens; any thread.
        first: What begins; ``None`` is ONNX Runtime.

    Threading: ``load`` and the steps on the inference thread, ``start`` and ``close`` on any.
    """

    def __init__(
        self, label: str, open_next: Callable[[OnProgress], Backend], note: Note, first: Backend | None = None
    ) -> None:
        self._label = label
        self._open_next = open_next
        self._note = note
        self._first = open_backend() if first is None else first
        self._wanted: dict[str, _Wanted] = {}  # until they are prepared
        self._ready: dict[str, Step] | None = None  # set once by the thread, taken once by the inference thread
        self._current: dict[str, Step] = {}
        self._name = self._first.name
        self._next_name = ""
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._is_closed = threading.Event()

    @property
    def name(self) -> str:
        """Name of the backend that computes now."""
        return self._name

    def load(self, graph: bytes, name: str, spec: StepSpec | None = None) -> Step:
        """Loads a step with the first backend; the other one will load it too, if its preparation has not begun.

        Raises:
            BackendError: If the first backend refuses it.
        """
        step = self._first.load(graph, name, spec)
        if self._thread is None:
            self._wanted[name] = _Wanted(graph, name, spec)
        return _SwapStep(name, step, self)

    def start(self) -> None:
        """Begins to prepare the other backend, once and not after ``close``; every step must have been loaded."""
        with self._starting:
            if self._thread is None and not self._is_closed.is_set():
                self._thread = threading.Thread(target=self._prepare, name="backend", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stops the preparation; waits a moment for it."""
        with self._starting:
            self._is_closed.set()
        if self._thread is not None:
            self._thread.join(_JOIN_S)

    def run(self, name: str, first: Step, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Runs a step on the backend that computes now.

        Args:
            name: Name under which it was loaded.
            first: The step of the first backend.
            inputs: As ``Step.run``.

        Returns:
            As ``Step.run``.

        Raises:
            BackendError: If the first backend fails.
        """
        if name == FIRST_STEP and self._ready is not None:
            self._current, self._ready = self._ready, None
            before, self._name = self._name, self._next_name
            self._note("BACKEND_CHANGED", f"{self._name} computes from now on, instead of {before}.")
        step = self._current.get(name)
        if step is None:
            return first.run(inputs)
        try:
            outputs = step.run(inputs)
            _require_finite(name, outputs)
        except BackendError as error:
            self._current = {}
            self._name = self._first.name
            self._note("BACKEND_FALLBACK", _fallback_text(self._label, error))
            return first.run(inputs)
        return outputs

    def _prepare(self) -> None:
        """Body of the thread."""
        try:
            self._prepare_wanted(list(self._wanted.values()))
        finally:
            self._wanted.clear()

    def _prepare_wanted(self, wanted: list[_Wanted]) -> None:
        self._note("BACKEND_PREPARING", f"{self._label} is being prepared; {self._first.name} computes meanwhile.")
        started_ns = monotonic_ns()
        sizes = {item.name: len(item.graph) for item in wanted}
        tell = _watch(self._label, sizes, self._note, self._is_closed)
        try:
            backend = self._open_next(tell)
            steps = {}
            for item in wanted:
                if self._is_closed.is_set():
                    return
                steps[item.name] = backend.load(item.graph, item.name, item.spec)
                tell(item.name, 1.0)
            if self._is_closed.is_set():
                return
        except BackendError as error:
            if not self._is_closed.is_set():
                self._note("BACKEND_FALLBACK", _fallback_text(self._label, error))
            return
        seconds = (monotonic_ns() - started_ns) / 1e9
        self._note("BACKEND_READY", f"{self._label} is ready after {seconds:.1f} s.")
        self._next_name = backend.name
        self._ready = steps


class _SwapStep:
    """A step that asks its ``BackendSwap`` at every run who computes."""

    def __init__(self, name: str, first: Step, swap: BackendSwap) -> None:
        self._name = name
        self._first = first
        self._swap = swap

    @property
    def spec(self) -> StepSpec:
        return self._first.spec

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        return self._swap.run(self._name, self._first, inputs)


def _require_finite(name: str, outputs: Arrays) -> None:
    """What is compared, shown or remembered must be finite; FP16 ends at 65,504."""
    for output, array in outputs.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise BackendError("BACKEND_NOT_FINITE", f"Step {name!r} gave {output} that are not finite.", "")


def _different_steps(bundle: Bundle) -> list[StepSpec]:
    """Steps that are loaded: one for each graph and its sizes, as in ``Network``."""
    different = {(spec.file, tuple(sorted(spec.sizes.items()))): spec for spec in reversed(bundle.manifest.steps)}
    return list(different.values())


def _watch(label: str, sizes: Mapping[str, int], note: Note, is_closed: threading.Event) -> OnProgress:
    """Notes every ``TELL_EVERY_S`` seconds how far a preparation is, and goes on until ``is_closed``."""
    progress = Preparation(sizes, lambda text: note("BACKEND_PREPARING", f"{label}: {text}"))

    def tell(name: str, share: float) -> bool:
        if is_closed.is_set():
            return False
        progress.tell(name, share)
        return True

    return tell


def _stopped(label: str) -> BackendError:
    return BackendError("BACKEND_STOPPED", f"Preparing {label} was stopped.", "Start it again.")


def _fallback_text(label: str, error: BackendError) -> str:
    return f"{label} is not used, {BACKENDS[0]} computes instead: {error}"
