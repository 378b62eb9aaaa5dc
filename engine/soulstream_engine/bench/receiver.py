"""A real UDP receiver in a process of its own: it stamps what arrives and disturbs nobody.

``PacketReceiver`` starts it and fetches the stamps; ``python -m soulstream_engine.bench.receiver`` is that process.
Both read the system's monotonic clock, which all processes share.
"""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from soulstream_engine.clock import monotonic_ns
from soulstream_engine.errors import SinkError

_HOST = "127.0.0.1"
_STOP = b"soulstream bench: enough"
_PATIENCE_S = 60.0  # without a packet, the receiver ends by itself: whoever started it is gone
_BUFFER_BYTES = 4 * 1024 * 1024
_LARGEST = 65_535
_STAMP = struct.Struct("<qI")
_STOP_TIMEOUT_S = 10.0

_FIRST = b"/VMC/Ext/OK\0"
_TIME = b"/VMC/Ext/T\0\0,f\0\0"
_FLOAT = struct.Struct(">f")


@dataclass(frozen=True, slots=True)
class Packet:
    """A datagram and when it arrived, monotonic nanoseconds."""

    at_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame that arrived: when its first packet came, and that packet."""

    at_ns: int
    first: bytes


class PacketReceiver:
    """Context of a receiving process on a free UDP port of this computer.

    Args:
        is_kept: Keep what arrives; otherwise it is only taken.

    Raises:
        SinkError: If the process cannot receive.
    """

    def __init__(self, *, is_kept: bool = True) -> None:
        command = [sys.executable, "-m", "soulstream_engine.bench.receiver", "keep" if is_kept else "drop"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)  # noqa: S603 (ours)
        self._packets: list[Packet] | None = None
        line = self._process.stdout.readline() if self._process.stdout is not None else b""
        if not line.strip().isdigit():
            self._process.communicate()
            raise SinkError(
                "BENCH_RECEIVER",
                f"The receiver ended with exit code {self._process.returncode} instead of listening on {_HOST}.",
                "Run soulstream doctor.",
            )
        self.port = int(line)
        """UDP port on 127.0.0.1."""

    @property
    def url(self) -> str:
        """The receiver as a target."""
        return f"vmc://{_HOST}:{self.port}"

    def stop(self) -> list[Packet]:
        """Ends the process; what arrived, in order. A second call returns the same."""
        if self._packets is None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(_STOP, (_HOST, self.port))
            try:
                raw, _ = self._process.communicate(timeout=_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                raw, _ = self._process.communicate()
            self._packets = _unpacked(raw)
        return self._packets

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def arrivals(packets: Iterable[Packet], fps: int) -> dict[int, Arrival]:
    """Frames by index, out of the packets of one VMC stream.

    Args:
        packets: In order of arrival.
        fps: Output frames a second of the stream; its time is ``index / fps``.

    Returns:
        Every frame whose first and last packet arrived.
    """
    found: dict[int, Arrival] = {}
    first: Packet | None = None
    for packet in packets:
        if _FIRST in packet.data:
            first = packet
        at = packet.data.find(_TIME)
        if at >= 0 and first is not None:
            (time_s,) = _FLOAT.unpack_from(packet.data, at + len(_TIME))
            found.setdefault(round(time_s * fps), Arrival(first.at_ns, first.data))
            first = None
    return found


def _unpacked(raw: bytes) -> list[Packet]:
    packets: list[Packet] = []
    position = 0
    while position + _STAMP.size <= len(raw):
        at_ns, size = _STAMP.unpack_from(raw, position)
        position += _STAMP.size
        packets.append(Packet(at_ns, raw[position : position + size]))
        position += size
    return packets


def _receive(is_kept: bool) -> None:
    """Body of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us, who then says enough
    out = sys.stdout.buffer
    kept: list[tuple[int, bytes]] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        udp.bind((_HOST, 0))
        udp.settimeout(_PATIENCE_S)
        out.write(f"{udp.getsockname()[1]}\n".encode())
        out.flush()
        try:
            while (data := udp.recv(_LARGEST)) != _STOP:
                if is_kept:
                    kept.append((monotonic_ns(), data))
        except TimeoutError:
            return
    for at_ns, data in kept:
        out.write(_STAMP.pack(at_ns, len(data)) + data)
    out.flush()


if __name__ == "__main__":
    _receive(is_kept=sys.argv[1:] == ["keep"])
