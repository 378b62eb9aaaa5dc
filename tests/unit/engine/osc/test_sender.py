"""The sender finds its receiver at start, and nothing that the network does later stops the dance."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import numpy as np
import pytest

from soulstream_engine.errors import ConfigError, SinkError
from soulstream_engine.frames import PoseFrame, Provenance
from soulstream_engine.osc.sender import VmcSender


def frame(root_x_m: float = 0.0) -> PoseFrame:
    wxyz = np.zeros((52, 4), np.float32)
    wxyz[:, 0] = 1
    root = np.array([root_x_m, 1, 0], np.float32)
    return PoseFrame(0, root, wxyz, np.zeros(52, np.float32), np.zeros(4, np.float32), Provenance.IDLE)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(5)
        yield udp


def drain(udp: socket.socket) -> list[bytes]:
    packets = [udp.recv(65535)]
    while b"Blend/Apply" not in packets[-1]:
        packets.append(udp.recv(65535))
    return packets


def test_frames_arrive_from_one_port_with_time_to_live_one(listener: socket.socket) -> None:
    with VmcSender(f"vmc://127.0.0.1:{listener.getsockname()[1]}") as sender:
        assert sender._socket.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 1
        for index in range(3):
            sender.send(frame(), index / 30)
            packets = drain(listener)
            assert 1 < len(packets) < 8
            assert all(len(p) <= 1432 for p in packets)
        assert sender.stats.frames_sent == 3


def test_nobody_listening_is_counted_and_a_late_receiver_misses_nothing(listener: socket.socket) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.bind(("127.0.0.1", 0))
        port = late.getsockname()[1]
    with VmcSender(f"vmc://127.0.0.1:{port}") as sender:
        for _ in range(20):
            sender.send(frame(), 0.0)
        assert sender.stats.refused > 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
            late.bind(("127.0.0.1", port))
            late.settimeout(5)
            sender.send(frame(), 1.0)
            assert b"/VMC/Ext/OK" in drain(late)[0]


@pytest.mark.parametrize(
    ("number", "counter"),
    [(errno.EAGAIN, "congested"), (errno.ENOBUFS, "congested"), (errno.EMSGSIZE, "too_long"), (101, "other_errors")],
)
def test_errors_of_the_network_are_counted_not_raised(listener: socket.socket, number: int, counter: str) -> None:
    class Failing:
        def send(self, _: memoryview) -> int:
            raise OSError(number, "planted")

        def close(self) -> None:
            pass

    with VmcSender(f"vmc://127.0.0.1:{listener.getsockname()[1]}") as sender:
        sender._socket.close()
        sender._socket = Failing()  # type: ignore[assignment]
        sender.send(frame(), 0.0)
        assert getattr(sender.stats, counter) > 0
        assert (sender.stats.frames_sent, sender.stats.frames_incomplete) == (0, 1)


def test_a_receiver_that_does_not_read_never_blocks_us(listener: socket.socket) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with VmcSender(f"vmc://127.0.0.1:{listener.getsockname()[1]}") as sender:
        for _ in range(500):
            sender.send(frame(), 0.0)
        assert not sender._socket.getblocking()


def test_a_frame_that_is_not_finite_stays_here(listener: socket.socket) -> None:
    with VmcSender(f"vmc://127.0.0.1:{listener.getsockname()[1]}") as sender:
        sender.send(frame(float("nan")), 0.0)
        assert (sender.stats.not_finite, sender.stats.frames_sent) == (1, 0)


def test_sending_after_close_is_counted() -> None:
    sender = VmcSender("vmc://127.0.0.1:9")
    sender.close()
    sender.close()
    sender.send(frame(), 0.0)
    assert sender.stats.other_errors > 0


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 300, "bad host"])
def test_a_host_that_cannot_be_resolved(host: str) -> None:
    with pytest.raises(SinkError) as raised:
        VmcSender(f"vmc://{host}:39539")
    assert raised.value.code == "OSC_HOST_UNRESOLVED"
    assert host[:20] in raised.value.message


def test_multicast_and_broadcast_are_refused() -> None:
    with pytest.raises(ConfigError, match="multicast"):
        VmcSender("vmc://239.1.1.1:39539")
    with pytest.raises(SinkError, match=r"Cannot send to vmc://255\.255\.255\.255:39539"):
        VmcSender("vmc://255.255.255.255:39539")


def test_ipv6_loopback() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 in this Python")
    try:
        udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        udp.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")
    with udp, VmcSender(f"vmc://[::1]:{udp.getsockname()[1]}") as sender:
        udp.settimeout(5)
        sender.send(frame(), 0.0)
        assert udp.recv(65535).startswith(b"#bundle\0")
