"""A live run: sound, dance, steady frames; from start to summary.

Threads (all named, all started and stopped here):

- ``pacer``: sends the frames; first to start, last to stop, shows the idle dancer from the first moment on;
- ``inference``: builds the dance stream, then sound -> stream -> frame buffer;
- the device's own thread inside a microphone source or player;
- the caller of ``run``: signals, keys, status, events. It owns nothing that the others need.

Time: the epoch is fixed when the session starts; motion frame n is due at ``epoch + n / 30 s`` until the end, so the
index never goes back and frames are never sent in bursts. Sound that comes later is placed on that same line: the dance
stream counts its frames from its own first sample, which lies exactly on a frame boundary, and ``media_map.MediaMap``
knows the whole number of frames between both counts. ``audio_offset_ms`` moves the boundary. Lost audio, stalls and
drifting device clocks change that number, never the pacer.

A model that cannot be loaded ends the session with its error. Anything later is an event, and the show goes on.
"""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType

from soulstream_engine.audio.protocol import AudioSource
from soulstream_engine.clock import FPS, MAX_AUDIO_OFFSET_MS, MAX_SESSION_S, monotonic_ns
from soulstream_engine.errors import ConfigError, InvariantError, SoulstreamError
from soulstream_engine.frames import Provenance, StatusSnapshot
from soulstream_engine.runtime import real_time
from soulstream_engine.runtime.events import Event, EventLog
from soulstream_engine.runtime.frame_buffer import FrameBuffer
from soulstream_engine.runtime.frame_chooser import FrameChooser
from soulstream_engine.runtime.frame_pacer import JUMP_AFTER_FRAMES, OUTPUT_RATES, FramePacer, PoseSink
from soulstream_engine.runtime.keys import KeyReader
from soulstream_engine.runtime.media_map import MediaMap
from soulstream_engine.runtime.summary import SummaryValue, process_start_ns, summarise
from soulstream_engine.runtime.workers import BeatControls, InferenceWorker, MotionStream

_POLL_S = 0.02
_STATUS_S = 0.25
_COLLECT_S = 5.0
_JOIN_S = 0.8
_LOADING_JUMP_FRAMES = 15
"""While libraries load, which stops all threads for moments, up to this many owed frames are sent late. Ours."""

_REST_AT_END_FRAMES = 2 * FPS
"""Motion frames that are shown after the end of a file: the last ones and the way to rest. Ours."""

NUDGE_TURNS = 0.05
"""Part of a beat that one key press moves the beat by. Ours."""


class Session:
    """One live run.

    Args:
        source: Opened source; the session closes it.
        make_stream: Builds the dance stream; called on the inference thread while the idle dancer already shows.
        sinks: Where frames go; closed by whoever made them.
        fps: Output frames a second, 30, 60 or 120.
        seconds: End by itself after exactly ``seconds * fps`` frames; ``None``: at the end of the source, or never.
        audio_offset_ms: Show motion later than its sound (negative: earlier), for example to match a sound system.
        use_keys: Read single keys from the terminal (``runtime.keys.KEY_HELP``).
        on_status: Called about four times a second on the thread of ``run``.
        on_event: Called for every event on the thread of ``run``.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(
        self,
        source: AudioSource,
        make_stream: Callable[[], MotionStream],
        sinks: Sequence[PoseSink],
        *,
        fps: int = FPS,
        seconds: float | None = None,
        audio_offset_ms: float = 0.0,
        use_keys: bool = False,
        on_status: Callable[[StatusSnapshot], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        check_options(fps=fps, seconds=seconds, audio_offset_ms=audio_offset_ms)
        self._source = source
        self._make_stream = make_stream
        self._sinks = tuple(sinks)
        self._fps = fps
        self._num_frames = None if seconds is None else round(seconds * fps)
        self._offset_ns = int(audio_offset_ms * 1e6)
        self._use_keys = use_keys
        self._on_status = on_status
        self._stopped = threading.Event()
        self.events = EventLog(on_event)
        self._buffer = FrameBuffer()
        self._worker: InferenceWorker | None = None
        self._pacer: FramePacer | None = None

    @property
    def failure(self) -> SoulstreamError | None:
        """Why there was no motion towards the end, if so; the run itself went on with the idle dancer."""
        return None if self._worker is None else self._worker.failure

    def stop(self) -> None:
        """Ends ``run`` within two seconds. Any thread, signal handlers too."""
        self._stopped.set()

    def run(self) -> dict[str, SummaryValue]:
        """Runs until ``seconds``, the end of the source, ``stop``, the key q, Ctrl-C or SIGTERM.

        Returns:
            The numbers of the run, see ``summary.summarise``.

        Raises:
            SoulstreamError: the dance stream could not be built.
            InvariantError: the pacer died.
        """
        process_start = process_start_ns()
        epoch_ns = monotonic_ns() + 10_000_000
        pacer = FramePacer(
            FrameChooser(self._buffer),
            self._sinks,
            self.events,
            epoch_ns=epoch_ns,
            fps=self._fps,
            num_frames=self._num_frames,
        )
        pacer.jump_after_frames = _LOADING_JUMP_FRAMES * self._fps // FPS
        worker = InferenceWorker(
            self._source,
            self._make_stream,
            self._buffer,
            lambda: MediaMap(epoch_ns, self._offset_ns),
            self.events,
        )
        self._pacer, self._worker = pacer, worker
        pacer_thread = threading.Thread(target=pacer.run, name="pacer", daemon=True)
        worker_thread = threading.Thread(target=worker.run, name="inference", daemon=True)
        with ExitStack() as stack:
            stack.enter_context(self.events.catching_thread_crashes())
            stack.enter_context(_live_interpreter())
            stack.enter_context(_stop_signals(self.stop))
            keys = stack.enter_context(KeyReader()) if self._use_keys else None
            pacer_thread.start()
            real_time.ask_for(pacer_thread)
            worker_thread.start()
            try:
                self._watch(pacer, worker, pacer_thread, worker_thread, keys)
            finally:
                worker.stop()
                self._source.close()
                worker_thread.join(_JOIN_S)
                pacer.stop()
                pacer_thread.join(_JOIN_S)
                self.events.deliver()
        if worker.failure is not None and not worker.ready.is_set():
            raise worker.failure
        return summarise(
            pacer.counts,
            process_start=process_start,
            xruns=self._source.xruns,
            reconnects=self._source.reconnects,
            worker=worker.counts,
            backend=worker.backend,
        )

    def status(self) -> StatusSnapshot | None:
        """What an operator sees; ``None`` before ``run``. Any thread."""
        pacer, worker = self._pacer, self._worker
        if pacer is None or worker is None:
            return None
        counts, feature = pacer.counts, worker.feature
        state, reason = worker.state
        return StatusSnapshot(
            frames_sent=counts.sent,
            dropped=counts.dropped,
            duplicated=counts.duplicated,
            generated=counts.by_provenance[Provenance.GENERATED],
            held=counts.by_provenance[Provenance.HELD],
            blended=counts.by_provenance[Provenance.BLENDED],
            idle=counts.by_provenance[Provenance.IDLE],
            late_ms_p99=counts.lateness.percentile(99.0),
            tempo_bpm=None if feature is None else feature.tempo_bpm,
            confidence=0.0 if feature is None else feature.confidence,
            level_dbfs=-120.0 if feature is None else feature.level_dbfs,
            is_silent=feature is None or feature.is_silent,
            state=state,
            reason=reason,
            backend=worker.backend or "",
        )

    def _watch(
        self,
        pacer: FramePacer,
        worker: InferenceWorker,
        pacer_thread: threading.Thread,
        worker_thread: threading.Thread,
        keys: KeyReader | None,
    ) -> None:
        """The loop of the caller's thread: nothing here is needed by the pacer."""
        next_status_ns = next_collect_ns = monotonic_ns()
        is_warm = False
        while not self._stopped.wait(_POLL_S) and pacer_thread.is_alive():
            now_ns = monotonic_ns()
            if worker.failure is not None and not worker.ready.is_set():
                return
            if worker.ready.is_set() and not is_warm:
                is_warm = True
                gc.freeze()
                real_time.ask_for(worker_thread)
                real_time.ask_for(threading.current_thread())
                pacer.jump_after_frames = JUMP_AFTER_FRAMES * self._fps // FPS
            if not worker_thread.is_alive() and not worker.has_ended:
                worker.has_ended = True
                worker.failure = InvariantError(
                    "INFERENCE_DIED", "The inference thread ended by a bug of ours.", "Please report the event above."
                )
            if worker.has_ended and pacer.num_frames is None:
                last = max(self._buffer.newest_index, pacer.motion_index) + _REST_AT_END_FRAMES
                pacer.num_frames = last * self._fps // FPS
            if keys is not None:
                self._press(keys.poll(), worker, now_ns - int(_POLL_S * 0.5e9))  # half a poll ago, on average
            if now_ns >= next_status_ns:
                next_status_ns = now_ns + int(_STATUS_S * 1e9)
                self._publish()
            if is_warm and now_ns >= next_collect_ns:
                next_collect_ns = now_ns + int(_COLLECT_S * 1e9)
                gc.collect(0)
        if not self._stopped.is_set() and pacer.num_frames != pacer.next_index:
            self.events.deliver()
            detail = "".join(event.detail for event in self.events.recent if event.code == "THREAD_CRASHED")
            raise InvariantError(
                "PACER_DIED", f"The pacer ended at frame {pacer.next_index}.", f"Please report this.\n{detail}"
            )

    def _publish(self) -> None:
        self.events.deliver()
        snapshot = self.status()
        if self._on_status is not None and snapshot is not None:
            self._on_status(snapshot)

    def _press(self, keys: str, worker: InferenceWorker, now_ns: int) -> None:
        for key in keys:
            if key == "q":
                self._stopped.set()
            elif key in _KEY_COMMANDS:
                worker.control(_KEY_COMMANDS[key], now_ns)


_KEY_COMMANDS: dict[str, Callable[[BeatControls, float], None]] = {
    "t": lambda stream, time_s: stream.tap(time_s),
    "[": lambda stream, _: stream.nudge(-NUDGE_TURNS),
    "]": lambda stream, _: stream.nudge(NUDGE_TURNS),
    "b": lambda stream, _: stream.nudge(0.5),
    "x": lambda stream, _: stream.double(),
    "h": lambda stream, _: stream.halve(),
}


def check_options(*, fps: int, seconds: float | None, audio_offset_ms: float) -> None:
    """Refuses values that cannot work.

    Raises:
        ConfigError: names the value, the limit and the option.
    """
    if fps not in OUTPUT_RATES:
        raise ConfigError("CONFIG_FPS", f"{fps} frames a second cannot be sent.", "Use --fps 30, 60 or 120.")
    if seconds is not None and not 0.0 < seconds <= MAX_SESSION_S:
        raise ConfigError(
            "CONFIG_SECONDS",
            f"--seconds is {seconds}; above 0 and up to {MAX_SESSION_S:.0f} is possible.",
            "Change it.",
        )
    if not abs(audio_offset_ms) <= MAX_AUDIO_OFFSET_MS:
        raise ConfigError(
            "CONFIG_AUDIO_OFFSET",
            f"--audio-offset is {audio_offset_ms} ms; the limit is {MAX_AUDIO_OFFSET_MS:.0f} ms either way.",
            "Give it in milliseconds.",
        )


@contextmanager
def _live_interpreter() -> Iterator[None]:
    """Short thread switches, no automatic garbage collection while live. Source: ours, measured."""
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        with real_time.short_thread_switches():
            yield
    finally:
        real_time.give_up()
        gc.unfreeze()
        if was_collecting:
            gc.enable()


@contextmanager
def _stop_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal call ``stop`` (the first time and every time); main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop()

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), handle) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
