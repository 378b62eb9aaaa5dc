"""One live session for a measurement: real threads, real clock, real socket, and a receiver in its own process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from soulstream_engine.audio.protocol import AudioSource
from soulstream_engine.bench.receiver import Packet, PacketReceiver
from soulstream_engine.osc.sender import VmcSender
from soulstream_engine.runtime.dance import DanceStream
from soulstream_engine.runtime.session import Session
from soulstream_engine.runtime.summary import SummaryValue


@dataclass(frozen=True, slots=True)
class LiveRun:
    """What a session did (``runtime.summary``) and every packet that arrived, with its time."""

    summary: dict[str, SummaryValue]
    packets: list[Packet]


def run_live(
    source: AudioSource,
    stream: DanceStream,
    *,
    fps: int,
    seconds: float,
    on_status: Callable[[], None] = lambda: None,
) -> LiveRun:
    """Dances live for exactly ``seconds``.

    Args:
        source: What is heard; closed at the end.
        stream: Who dances; made beforehand, so that loading disturbs nothing.
        fps: Output frames a second.
        seconds: Length.
        on_status: Called some times a second.

    Raises:
        SinkError: If the receiver or the sender cannot be opened.
        KeyboardInterrupt: If the run was stopped from outside: a session takes Ctrl-C for its own end.
    """
    with PacketReceiver() as receiver, VmcSender(receiver.url) as sender:
        session = Session(source, lambda: stream, [sender], fps=fps, seconds=seconds, on_status=lambda _: on_status())
        summary = session.run()
        packets = receiver.stop()
    sent = int(summary["frames"] or 0) + int(summary["dropped"] or 0)
    if sent < round(seconds * fps):
        raise KeyboardInterrupt
    if session.failure is not None:
        raise session.failure
    return LiveRun(summary, packets)
