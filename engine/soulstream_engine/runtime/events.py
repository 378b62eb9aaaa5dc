"""What happened, as data: threads add events, the session hands them on. Nothing raises across threads.

The log is bounded; ``total`` tells how many there ever were.
"""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from soulstream_engine.clock import monotonic_ns

_KEPT = 256


@dataclass(frozen=True, slots=True)
class Event:
    """Something an operator may want to know.

    ``code`` is stable and upper-case, ``message`` for people, ``detail`` may hold a traceback, ``at_ns`` is monotonic.
    """

    code: str
    message: str
    detail: str
    at_ns: int


class EventLog:
    """Collects events from any thread.

    Args:
        on_event: Called for every event by ``deliver``, on the thread that calls it.
    """

    def __init__(self, on_event: Callable[[Event], None] | None = None) -> None:
        self._on_event = on_event
        self._waiting: deque[Event] = deque(maxlen=_KEPT)
        self.recent: deque[Event] = deque(maxlen=_KEPT)
        """The newest events."""
        self.total = 0

    def add(self, code: str, message: str, detail: str = "") -> None:
        """Notes an event. Any thread; never blocks."""
        event = Event(code, message, detail, monotonic_ns())
        self.recent.append(event)
        self._waiting.append(event)
        self.total += 1

    def deliver(self) -> None:
        """Hands the new events to ``on_event``."""
        while self._waiting:
            event = self._waiting.popleft()
            if self._on_event is not None:
                self._on_event(event)

    @contextmanager
    def catching_thread_crashes(self) -> Iterator[None]:
        """While active, an exception that ends a thread becomes an event ``THREAD_CRASHED`` with its traceback."""
        before = threading.excepthook

        def note(crash: threading.ExceptHookArgs) -> None:
            name = crash.thread.name if crash.thread is not None else "unknown"
            detail = "".join(traceback.format_exception(crash.exc_type, crash.exc_value, crash.exc_traceback))
            self.add("THREAD_CRASHED", f"The thread '{name}' ended: {crash.exc_value!r}.", detail)

        threading.excepthook = note
        try:
            yield
        finally:
            threading.excepthook = before
