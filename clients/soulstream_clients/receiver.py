"""Listen to a VMC stream: what arrives, how often, what is missing; optionally record it.

Run ``python -m soulstream_clients.receiver --port 39539 --seconds 5``. Standard library only. It is a probe ("does the
dance reach this machine?"), a recorder (one JSON line per frame) and an example of a receiver that keeps only the
newest frame.
"""

from __future__ import annotations

import argparse
import json
import math
import socket
import statistics
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import TextIO

from soulstream_clients.osc_parser import Argument, MalformedPacketError, OscMessage, parse_packet

MAX_NAMES = 512
"""Different bones (or blend shapes) kept; a sender that makes up names cannot fill the memory."""

_MAX_PACKET_BYTES = 65_535
_RECENT_FRAMES = 3600  # rates and gaps are of these
_GAP_FACTOR = 1.5  # a pause this many times the usual one is a gap


@dataclass(slots=True)
class VmcFrame:
    """The newest pose: ``root`` and each of ``bones`` are px py pz (metres), qx qy qz qw in Unity axes, parent-local.

    ``time_s`` is the sender's clock. ``blends`` are weights 0..1 by name.
    """

    time_s: float = 0.0
    root: tuple[float, ...] = ()
    bones: dict[str, tuple[float, ...]] = field(default_factory=dict)
    blends: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Report:
    """What was heard. ``gaps`` counts pauses longer than 1.5 times the median one; rate and gaps: last 3600 frames."""

    seconds: float = 0.0
    frames: int = 0
    frames_per_second: float = 0.0
    bones: int = 0
    blends: int = 0
    gaps: int = 0
    longest_gap_ms: float = 0.0
    backward: int = 0
    datagrams: int = 0
    largest_datagram: int = 0
    malformed: int = 0
    ignored: int = 0


class FrameCollector:
    """Puts messages together into frames; a frame is complete at ``/VMC/Ext/Blend/Apply``."""

    def __init__(self) -> None:
        self.newest = VmcFrame()
        self.malformed = 0
        self.ignored = 0
        self.backward = 0
        self.frames = 0
        self._arrivals_s: deque[float] = deque(maxlen=_RECENT_FRAMES)
        self.datagrams = 0
        self.largest_datagram = 0

    def feed(self, packet: bytes, now_s: float) -> int:
        """Take one datagram that arrived at ``now_s`` (any monotonic clock, seconds); returns the frames it completed.

        A malformed packet is counted, never raised.
        """
        self.datagrams += 1
        self.largest_datagram = max(self.largest_datagram, len(packet))
        try:
            messages = parse_packet(packet)
        except MalformedPacketError:
            self.malformed += 1
            return 0
        completed = 0
        for message in messages:
            if message.address == "/VMC/Ext/Blend/Apply":
                completed += 1
                self.frames += 1
                self._arrivals_s.append(now_s)
            elif not self._apply(message):
                self.ignored += 1
        return completed

    def report(self, seconds: float) -> Report:
        """Numbers of the time so far; ``seconds`` is how long was listened."""
        arrivals_s = list(self._arrivals_s)
        pauses = [b - a for a, b in pairwise(arrivals_s)]
        usual = statistics.median(pauses) if pauses else 0.0
        span = arrivals_s[-1] - arrivals_s[0] if pauses else 0.0
        return Report(
            seconds=round(seconds, 3),
            frames=self.frames,
            frames_per_second=round(len(pauses) / span, 2) if span > 0 else 0.0,
            bones=len(self.newest.bones),
            blends=len(self.newest.blends),
            gaps=sum(pause > _GAP_FACTOR * usual for pause in pauses),
            longest_gap_ms=round(1000 * max(pauses, default=0.0), 1),
            backward=self.backward,
            datagrams=self.datagrams,
            largest_datagram=self.largest_datagram,
            malformed=self.malformed,
            ignored=self.ignored,
        )

    def _apply(self, message: OscMessage) -> bool:
        """Write one message into the newest frame; ``False`` if it is not one we know."""
        frame, arguments = self.newest, message.arguments
        match message.address:
            case "/VMC/Ext/OK":
                return bool(arguments)
            case "/VMC/Ext/T":
                values = _floats(arguments[:1], 1)
                if values is None:
                    return False
                self.backward += values[0] < frame.time_s
                frame.time_s = values[0]
                return True
            case "/VMC/Ext/Root/Pos" | "/VMC/Ext/Bone/Pos":
                pose = _floats(arguments[1:8], 7)
                if pose is None or not isinstance(arguments[0], str):
                    return False
                if message.address.startswith("/VMC/Ext/Root"):
                    frame.root = pose
                    return True
                if not _has_room(frame.bones, arguments[0]):
                    return False
                frame.bones[arguments[0]] = pose
                return True
            case "/VMC/Ext/Blend/Val":
                weight = _floats(arguments[1:2], 1)
                if weight is None or not isinstance(arguments[0], str) or not _has_room(frame.blends, arguments[0]):
                    return False
                frame.blends[arguments[0]] = weight[0]
                return True
        return False


def _floats(arguments: tuple[Argument, ...], count: int) -> tuple[float, ...] | None:
    """The arguments as finite floats, or ``None`` if they are fewer or something else."""
    values = [a for a in arguments if isinstance(a, float) and math.isfinite(a)]
    return tuple(values) if len(values) == len(arguments) == count else None


def _has_room(table: Mapping[str, object], name: str) -> bool:
    return name in table or len(table) < MAX_NAMES


def listen(
    port: int, *, host: str = "127.0.0.1", seconds: float | None = None, record: TextIO | None = None, live: bool = True
) -> Report:
    """Listen until ``seconds`` have passed (or Ctrl-C) and report.

    Args:
        port: UDP port; 0 lets the system choose.
        host: Address of the interface to listen on; ``0.0.0.0`` hears other machines.
        seconds: How long; ``None`` means until Ctrl-C.
        record: Where each complete frame is written as one JSON line.
        live: Whether a line is printed every second.

    Raises:
        OSError: If the port is in use.
    """
    collector = FrameCollector()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        udp.bind((host, port))
        start_s = now_s = time.monotonic()
        shown_s = start_s
        try:
            while seconds is None or now_s - start_s < seconds:
                udp.settimeout(0.1 if seconds is None else max(0.001, min(0.1, start_s + seconds - now_s)))
                try:
                    packet = udp.recv(_MAX_PACKET_BYTES)
                except TimeoutError:
                    packet = None
                now_s = time.monotonic()
                if packet is not None and collector.feed(packet, now_s) and record is not None:
                    record.write(json.dumps(asdict(collector.newest)) + "\n")
                if live and now_s - shown_s >= 1.0:
                    shown_s = now_s
                    sys.stdout.write(_line(collector.report(now_s - start_s)) + "\n")
                    sys.stdout.flush()
        except KeyboardInterrupt:
            pass
        return collector.report(now_s - start_s)


def _line(report: Report) -> str:
    """One readable line."""
    if not report.datagrams:
        return (
            f"{report.seconds:6.1f} s  nothing yet: is the sender's target this address and port? is a firewall open?"
        )
    return (
        f"{report.seconds:6.1f} s  {report.frames_per_second:5.1f} frames/s  {report.bones} bones  "
        f"{report.blends} blend shapes  {report.gaps} gaps (longest {report.longest_gap_ms:.0f} ms)  "
        f"{report.malformed} malformed"
    )


def main(argv: list[str] | None = None) -> int:
    """Command line. Exit code 0 when frames arrived, 1 when none did, 2 when the port could not be opened."""
    parser = argparse.ArgumentParser(
        prog="python -m soulstream_clients.receiver", description="Listen to a VMC stream."
    )
    parser.add_argument("--port", type=int, default=39539, help="UDP port (default 39539)")
    parser.add_argument("--host", default="127.0.0.1", help="interface to listen on (0.0.0.0: other machines too)")
    parser.add_argument("--seconds", type=float, default=None, help="how long (default: until Ctrl-C)")
    parser.add_argument("--record", default=None, metavar="FILE", help="write each frame as a line of JSON")
    parser.add_argument("--json", action="store_true", help="print the report as one line of JSON")
    options = parser.parse_args(argv)
    try:
        if options.record:
            with open(options.record, "w", encoding="utf-8") as record:
                report = listen(
                    options.port, host=options.host, seconds=options.seconds, record=record, live=not options.json
                )
        else:
            report = listen(options.port, host=options.host, seconds=options.seconds, live=not options.json)
    except (OSError, OverflowError) as error:
        sys.stderr.write(
            f"Cannot listen on {options.host}:{options.port}: {error}. Close the other program or use --port.\n"
        )
        return 2
    sys.stdout.write((json.dumps(asdict(report)) if options.json else _line(report)) + "\n")
    return 0 if report.frames else 1


if __name__ == "__main__":
    sys.exit(main())
