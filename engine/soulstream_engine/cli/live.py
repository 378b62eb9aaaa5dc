"""Builds a live session from the settings, shows its status line and its summary. Used by ``demo`` and ``run``."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.live import Live
from rich.text import Text

from soulstream_engine.cli.output import TRACEBACK_VARIABLE, console, say
from soulstream_engine.config import Config
from soulstream_engine.errors import SoulstreamError

if TYPE_CHECKING:
    from soulstream_engine.frames import StatusSnapshot
    from soulstream_engine.osc.sender import VmcSender
    from soulstream_engine.preview.process import PreviewProcess
    from soulstream_engine.runtime.backend_swap import LiveStreams
    from soulstream_engine.runtime.events import Event
    from soulstream_engine.runtime.summary import SummaryValue
    from soulstream_engine.runtime.workers import MotionStream

_TOLD_STATES = ("listening", "waiting")
"""States of a source whose reason is printed, too; the others have events of their own or tell it at the end."""


def perform(config: Config) -> tuple[dict[str, SummaryValue], SoulstreamError | None]:
    """Dances until the end of the source, ``seconds``, q, Ctrl-C or SIGTERM.

    Args:
        config: Resolved settings.

    Returns:
        The numbers of the run, and why the music or the motion ended early, if it did.

    Raises:
        SoulstreamError: If a receiver, the source, the page or the model cannot be used.
    """
    from soulstream_engine.audio.sources import open_source
    from soulstream_engine.osc.sender import VmcSender
    from soulstream_engine.osc.target import parse_target
    from soulstream_engine.runtime.frame_pacer import PoseSink
    from soulstream_engine.runtime.session import Session

    targets = [parse_target(url) for url in config.osc.targets]
    _check_bundle_folder(config)
    page: PreviewProcess | None = None
    with ExitStack() as stack:
        senders = [stack.enter_context(VmcSender(target)) for target in targets]
        sinks: list[PoseSink] = [*senders]
        source = open_source(config.audio.source, play=config.audio.play, pipe_format=config.audio.pipe_format)
        stack.callback(source.close)
        say(f"Listening to: {source.description}")
        say(f"Sending VMC to: {', '.join(str(target) for target in targets)}")
        if config.preview.enabled:
            from soulstream_engine.preview.process import PreviewProcess

            page = stack.enter_context(PreviewProcess(config.preview.port))
            sinks.append(page)
        display = stack.enter_context(_StatusLine(page))
        streams = _Streams(config)
        stack.callback(streams.close)
        session = Session(
            source,
            lambda: streams.make(session.events.add),
            sinks,
            fps=config.osc.fps,
            seconds=config.session.seconds,
            audio_offset_ms=config.audio.offset_ms,
            use_keys=True,
            on_status=display.show,
            on_event=display.note,
        )
        summary = session.run()
        failure = session.failure  # before closing: a preparation that is stopped then is no failure
    summary["osc_refused"] = sum(sender.stats.refused for sender in senders)
    summary["osc_incomplete"] = sum(sender.stats.frames_incomplete for sender in senders)
    _print_summary(summary)
    for sender in senders:
        _report_losses(sender)
    return summary, failure


class _Streams:
    """Loads the model; on the inference thread, while the idle dancer already shows."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._streams: LiveStreams | None = None
        self._is_closed = False

    def make(self, note: Callable[[str, str], None]) -> MotionStream:
        from soulstream_engine.bundle import load_bundle

        model = self._config.model
        bundle = load_bundle(model.bundle)

        from soulstream_engine.runtime.backend_swap import BackendWish, LiveStreams

        if self._streams is None:
            wish = BackendWish(model.backend, model.precision, model.require_backend)
            self._streams = LiveStreams(wish, note)
        if self._is_closed:  # while the model was loaded; ``close`` saw no streams then
            self._streams.close()
        return self._streams.make(bundle, model.seed, model.tick_tokens)

    def close(self) -> None:
        self._is_closed = True
        if self._streams is not None:
            self._streams.close()


def _check_bundle_folder(config: Config) -> None:
    """Says before anything starts that a folder or manifest is wrong; the files are verified when they are loaded."""
    from soulstream_engine.bundle import default_bundle_path, read_manifest

    read_manifest(default_bundle_path() if config.model.bundle is None else Path(config.model.bundle))


class _StatusLine:
    """One line that changes in place on a terminal, nothing where there is none.

    Events, and what keeps the source from being all well, are printed above it once.
    """

    def __init__(self, page: PreviewProcess | None) -> None:
        from soulstream_engine.runtime.keys import KEY_HELP

        self._help = KEY_HELP
        self._page = page
        self._is_page_announced = False
        self._reason = ""
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> _StatusLine:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, status: StatusSnapshot) -> None:
        if self._page is not None:
            self._page.set_status(status)
            self._announce(self._page)
        if status.state in _TOLD_STATES and status.reason not in ("", self._reason):
            say(f"{status.state}: {status.reason}", "yellow")
            self._reason = status.reason
        if self._live is not None:
            self._live.update(Text(f"{status_text(status)}\n{self._help}", style="dim"), refresh=True)

    def _announce(self, page: PreviewProcess) -> None:
        """Says once where the page is, or why there is none."""
        if self._is_page_announced:
            return
        if page.url is not None:
            say(f"Page: {page.url}", "bold green")
        elif page.failure is not None:
            say(f"The page could not be shown: {page.failure} The dance goes on.", "yellow")
        else:
            return
        self._is_page_announced = True

    def note(self, event: Event) -> None:
        say(event.message, "yellow")
        if event.detail and os.environ.get(TRACEBACK_VARIABLE) == "1":
            say(event.detail.rstrip())


def status_text(status: StatusSnapshot) -> str:
    """One line for the operator: state, tempo, level, counts."""
    tempo = "tempo ?" if status.tempo_bpm is None else f"{status.tempo_bpm:.1f} bpm ({status.confidence:.0%} sure)"
    level = "silent" if status.is_silent else f"{status.level_dbfs:.0f} dBFS"
    state = f"{status.state}: {status.reason}" if status.reason else status.state
    return (
        f"{state} | {tempo} | {level} | {status.frames_sent} frames, {status.dropped} dropped, "
        f"{status.held} held | late {status.late_ms_p99:.1f} ms"
    )


def _print_summary(summary: dict[str, SummaryValue]) -> None:
    kinds = ", ".join(f"{summary[kind]} {kind}" for kind in ("generated", "blended", "held", "idle"))
    say(f"{summary['frames']} frames: {kinds}; {summary['dropped']} dropped, {summary['duplicated']} duplicated.")
    idle_s, generated_s = summary["first_idle_s"], summary["first_generated_s"]
    generated = "never" if generated_s is None else f"after {generated_s} s"
    say(
        f"Lateness p99 {summary['late_ms_p99']} ms; first idle frame after {idle_s} s, first generated {generated}; "
        f"memory {summary['rss_mb']} MB."
    )
    if summary["backend"] is not None:
        say(f"Computed by {summary['backend']}.")


def _report_losses(sender: VmcSender) -> None:
    """Says what the network did not take; nothing when all is well."""
    stats = sender.stats
    if stats.refused:
        say(f"{sender.target}: nobody listened at times ({stats.refused} packets refused). Is it started?", "yellow")
    elif stats.frames_incomplete:
        say(f"{sender.target}: {stats.frames_incomplete} frames did not leave whole.", "yellow")
