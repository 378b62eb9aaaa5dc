"""How far a compilation is: TensorRT reports nested phases, people want one number and a way to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from soulstream_engine.clock import monotonic_ns

OnProgress = Callable[[str, float], bool]
"""(step name, share of its compilation 0..1) -> whether to go on. Called on threads of TensorRT."""


TELL_EVERY_S = 10.0
"""How far a preparation is, is said this often. Ours."""

_SMALLEST_STEP = 0.002
"""Shares are told when they have grown by this much. Ours."""


@dataclass(slots=True)
class _Phase:
    """A phase of the compilation: ``num`` steps, ``done`` of them, the latest phase inside it."""

    num: int
    done: int = 0
    inner: _Phase | None = None

    @property
    def share(self) -> float:
        inner = 0.0 if self.inner is None else self.inner.share
        return min(1.0, (self.done + min(inner, 1.0)) / max(1, self.num))


@dataclass(slots=True)
class Phases:
    """Nested phases as TensorRT reports them, as one share that never falls."""

    share: float = 0.0
    _known: dict[str, _Phase] = field(default_factory=dict)
    _first: _Phase | None = None

    def start(self, name: str, parent: str | None, num_steps: int) -> None:
        """A phase of ``num_steps`` steps began inside another one, or as the outermost."""
        phase = self._known[name] = _Phase(num_steps)
        outer = self._known.get(parent) if parent is not None else None
        if outer is not None:
            outer.inner = phase
        elif self._first is None:
            self._first = phase

    def step(self, name: str, number: int) -> None:
        """Step ``number``, 0-based, of a phase is done."""
        phase = self._known.get(name)
        if phase is not None:
            phase.done, phase.inner = number + 1, None
        if self._first is not None:
            self.share = max(self.share, self._first.share)


def progress_monitor(trt: Any, step: str, on_progress: OnProgress | None) -> Any:
    """A progress monitor of TensorRT that tells ``on_progress`` and stops where it says so."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.phases = Phases()
            self.told = 0.0
            self.is_stopped = False

        def stop(self) -> None:
            self.is_stopped = True

        def phase_start(self, phase: str, parent: str | None, num_steps: int) -> None:
            self.phases.start(phase, parent, num_steps)

        def phase_finish(self, phase: str) -> None:
            pass

        def step_complete(self, phase: str, number: int) -> bool:
            self.phases.step(phase, number)
            if self.phases.share - self.told >= _SMALLEST_STEP or number == 0:
                self.told = self.phases.share
                self.is_stopped = self.is_stopped or (on_progress is not None and not on_progress(step, self.told))
            return not self.is_stopped

    return Monitor()


class Preparation:
    """How far all steps are, weighted by the size of their graphs, and how long the rest may take.

    Args:
        sizes: Bytes of the graph of every step, by name.
        say: Told how far it is every ``TELL_EVERY_S`` seconds; ``None`` for nobody.
        now_ns: Monotonic clock.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        say: Callable[[str], None] | None = None,
        now_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._sizes = dict(sizes)
        self._shares = dict.fromkeys(sizes, 0.0)
        self._say = say
        self._now_ns = now_ns
        self._started_ns = self._told_ns = now_ns()

    @property
    def share(self) -> float:
        """Of everything, 0..1."""
        done = sum(self._sizes[name] * share for name, share in self._shares.items())
        return done / max(1, sum(self._sizes.values()))

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; ``None`` before anything is done."""
        return None if self.share <= 0.0 else self._seconds(self._started_ns) * (1.0 - self.share) / self.share

    def tell(self, name: str, share: float) -> None:
        """A step is so far, 0..1."""
        if name in self._shares:
            self._shares[name] = max(self._shares[name], share)
        if self._say is not None and self._seconds(self._told_ns) >= TELL_EVERY_S:
            self._told_ns = self._now_ns()
            left = self.seconds_left
            self._say(f"{self.share:.0%} is prepared" + ("." if left is None else f", about {left:.0f} s are left."))

    def _seconds(self, since_ns: int) -> float:
        return (self._now_ns() - since_ns) / 1e9


@contextmanager
def interrupts_deferred(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM call ``stop`` and are raised at the end, not inside a callback of TensorRT, which would abort.

    Raises:
        KeyboardInterrupt: At the end, if one of them came. Other threads than the main one get no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, _frame: Any) -> None:
        came.append(number)
        stop()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt
