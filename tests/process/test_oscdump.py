"""A receiver that nobody here wrote (liblo's oscdump) hears every frame: order, types, sizes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from soulstream_engine.frames import PoseFrame, Provenance
from soulstream_engine.osc.sender import VmcSender

NUM_FRAMES = 60
ORDER = [
    *("/VMC/Ext/OK", "/VMC/Ext/Root/Pos"),
    *["/VMC/Ext/Bone/Pos"] * 52,
    *["/VMC/Ext/Blend/Val"] * 52,
    *("/VMC/Ext/T", "/VMC/Ext/Blend/Apply"),
]
TYPES = {
    "/VMC/Ext/OK": "i",
    "/VMC/Ext/Root/Pos": "sfffffff",
    "/VMC/Ext/Bone/Pos": "sfffffff",
    "/VMC/Ext/Blend/Val": "sf",
    "/VMC/Ext/T": "f",
    "/VMC/Ext/Blend/Apply": "",
}


def frame(index: int) -> PoseFrame:
    wxyz = np.zeros((52, 4), np.float32)
    wxyz[:, 0] = 1
    root = np.array([0.25, 1.0, index / 64], np.float32)
    return PoseFrame(index, root, wxyz, np.full(52, 0.5, np.float32), np.zeros(4, np.float32), Provenance.GENERATED)


def wait_until_bound(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("::", port))
            except OSError:
                return
        time.sleep(0.02)
    pytest.fail(f"oscdump did not open port {port} in 10 s")


def wait_for_lines(path: Path, count: int) -> list[str]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        lines = path.read_text().splitlines()
        if len(lines) >= count:
            return lines
        time.sleep(0.05)
    pytest.fail(f"oscdump wrote {len(lines)} of {count} lines in 20 s")


@pytest.mark.timeout(60)
def test_oscdump_hears_every_frame(tmp_path: Path) -> None:
    if shutil.which("oscdump") is None:
        pytest.skip("needs oscdump (package liblo-tools)")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    heard = tmp_path / "heard.txt"  # a file: a full pipe would stop oscdump
    with heard.open("w") as out:
        dump = subprocess.Popen(["oscdump", "-L", str(port)], stdout=out)
    try:
        wait_until_bound(port)
        with VmcSender(f"vmc://127.0.0.1:{port}") as sender:
            sizes = []
            original = sender._send_datagram
            sender._send_datagram = lambda d: (sizes.append(len(d)), original(d))[1]  # type: ignore[method-assign]
            for index in range(NUM_FRAMES):
                sender.send(frame(index), index / 32)
                time.sleep(0.005)
            assert sender.stats.frames_sent == NUM_FRAMES
        lines = wait_for_lines(heard, NUM_FRAMES * len(ORDER))
    finally:
        os.kill(dump.pid, signal.SIGTERM)
        dump.wait(timeout=10)

    assert max(sizes) <= 1432
    parsed = [line.split() for line in lines]
    assert [fields[1] for fields in parsed] == ORDER * NUM_FRAMES
    for fields in parsed:
        assert ("" if len(fields) == 2 else fields[2]) == TYPES[fields[1]]
    times = [float(fields[3]) for fields in parsed if fields[1] == "/VMC/Ext/T"]
    assert times == pytest.approx([index / 32 for index in range(NUM_FRAMES)], abs=1e-6)
    hips = [fields for fields in parsed if fields[1] == "/VMC/Ext/Bone/Pos" and "Hips" in fields[3]]
    assert float(hips[-1][4]) == pytest.approx(-0.25)
    assert float(hips[-1][6]) == pytest.approx((NUM_FRAMES - 1) / 64, abs=1e-5)
