"""One UDP socket to one receiver: connected once, never blocking, never raising while the dance runs.

Only the pacer thread may use a sender. Trouble on the way (nobody listens, no buffer space, network gone) is counted.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass
from typing import Self

import numpy as np

from soulstream_engine.errors import ConfigError, SinkError
from soulstream_engine.frames import PoseFrame
from soulstream_engine.osc.target import VmcTarget, parse_target
from soulstream_engine.osc.vmc import VmcEncoder

_SEND_BUFFER_BYTES = 256 * 1024  # thirty-odd frames: room for a stall of the network, not for a backlog
_HOPS = 1  # packets stay in the local network


@dataclass(slots=True)
class SendStats:
    """Counters of one sender since it was made.

    ``frames_sent`` left complete; ``frames_incomplete`` lost at least one datagram. ``refused``: the receiver's machine
    says that nobody listens on the port (also counted when a retry succeeded). ``congested``: no buffer space.
    ``too_long``: a datagram the network will not carry. ``other_errors``: anything else, ``last_errno`` says what.
    ``not_finite``: frames kept back because a number was infinite or not a number.
    """

    frames_sent: int = 0
    frames_incomplete: int = 0
    refused: int = 0
    congested: int = 0
    too_long: int = 0
    other_errors: int = 0
    last_errno: int = 0
    not_finite: int = 0


class VmcSender:
    """Sends poses to one VMC receiver.

    The name of the host is resolved here, once. The socket stays the same for the whole run, because some receivers
    take over whichever source port spoke last.

    Args:
        target: A target or its URL, for example ``vmc://127.0.0.1:39539``.

    Raises:
        ConfigError: If the URL is wrong or names a multicast address.
        SinkError: If the host cannot be resolved or there is no route to it.
    """

    def __init__(self, target: VmcTarget | str) -> None:
        self.target = parse_target(target) if isinstance(target, str) else target
        self.stats = SendStats()
        self._encoder = VmcEncoder(self.target.options)
        self._socket = _connect(self.target)

    def send(self, frame: PoseFrame, media_time_s: float) -> None:
        """Send one pose.

        Args:
            frame: The pose.
            media_time_s: Media time of the pose, seconds.

        Live: pacer thread only; never blocks, never raises for anything the network does.
        """
        if not (
            np.isfinite(frame.joint_wxyz).all() and np.isfinite(frame.root_m).all() and np.isfinite(frame.face).all()
        ):
            self.stats.not_finite += 1
            return
        is_complete = True
        for datagram in self._encoder.encode(frame, media_time_s):
            is_complete &= self._send_datagram(datagram)
        if is_complete:
            self.stats.frames_sent += 1
        else:
            self.stats.frames_incomplete += 1

    def close(self) -> None:
        """Close the socket. A second call does nothing."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send_datagram(self, datagram: memoryview) -> bool:
        """Send one datagram; ``False`` and a counter when it did not leave."""
        for _ in range(2):
            try:
                self._socket.send(datagram)
            except ConnectionRefusedError:
                # The system reports an *earlier* datagram that found nobody, and this one was not sent: try again.
                self.stats.refused += 1
            except OSError as error:
                self._count(error)
                return False
            else:
                return True
        return False

    def _count(self, error: OSError) -> None:
        """Sort a failed send by what a person would do about it."""
        if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS):
            self.stats.congested += 1
        elif error.errno == errno.EMSGSIZE:
            self.stats.too_long += 1
        else:
            self.stats.other_errors += 1
            self.stats.last_errno = error.errno or 0


def _connect(target: VmcTarget) -> socket.socket:
    """Resolve the host once and connect a non-blocking socket to it."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise SinkError(
            "OSC_HOST_UNRESOLVED",
            f"Host {target.host!r} of {target} cannot be resolved ({getattr(error, 'strerror', None) or error}).",
            "Check the spelling, or give the address, for example vmc://192.168.0.20:39539.",
            retryable=True,
        ) from error
    family, kind, protocol, _, address = found[0]
    if ipaddress.ip_address(str(address[0]).partition("%")[0]).is_multicast:
        raise ConfigError(
            "OSC_TARGET_MULTICAST",
            f"Host {target.host!r} of {target} is a multicast address; the stream goes to one machine at a time.",
            "Give the address of one machine, or repeat --osc for several.",
        )
    udp = socket.socket(family, kind, protocol)
    try:
        udp.setblocking(False)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        if family == socket.AF_INET6:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, _HOPS)
        else:
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, _HOPS)
        udp.connect(address)
    except OSError as error:
        udp.close()
        raise SinkError(
            "OSC_HOST_UNREACHABLE",
            f"Cannot send to {target}: {error.strerror}.",
            "Check the network connection and the address; broadcast addresses are not used.",
            retryable=True,
        ) from error
    return udp
