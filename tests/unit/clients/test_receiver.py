"""The probe tells a performer whether the dance arrives, and survives whatever else arrives."""

from __future__ import annotations

import json
import math
import socket
import struct
import threading
from pathlib import Path

import pytest
from pythonosc.osc_message_builder import build_msg

from soulstream_clients import receiver
from soulstream_clients.receiver import MAX_NAMES, FrameCollector

POSE = [0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 1.0]


def packets(time_s: float, bone: str = "Hips") -> list[bytes]:
    messages = [
        build_msg("/VMC/Ext/OK", 1),
        build_msg("/VMC/Ext/Root/Pos", ["root", *POSE]),
        build_msg("/VMC/Ext/Bone/Pos", [bone, *POSE]),
        build_msg("/VMC/Ext/Blend/Val", ["JawOpen", 0.5]),
        build_msg("/VMC/Ext/T", time_s),
        build_msg("/VMC/Ext/Blend/Apply"),
    ]
    return [m.dgram for m in messages]


def test_frames_rate_and_gaps() -> None:
    collector = FrameCollector()
    for index in (0, 1, 2, 3, 6, 7, 8):
        for packet in packets(index / 30):
            collector.feed(packet, index / 30)
    report = collector.report(0.3)
    assert (report.frames, report.bones, report.blends, report.gaps) == (7, 1, 1, 1)
    assert report.frames_per_second == pytest.approx(6 / (8 / 30), abs=0.01)
    assert report.longest_gap_ms == pytest.approx(100, abs=0.1)
    assert collector.newest.bones["Hips"] == tuple(POSE)
    assert collector.newest.blends == {"JawOpen": 0.5}


def test_bad_packets_are_counted_and_change_nothing() -> None:
    collector = FrameCollector()
    bad = struct.pack(">8sQi", b"#bundle\0", 1, -20)
    for packet in (
        bad,
        b"",
        build_msg("/VMC/Ext/Bone/Pos", ["Hips", *POSE[:6], math.nan]).dgram,
        build_msg("/VMC/Ext/Bone/Pos", ["Hips", 1.0]).dgram,
        build_msg("/VMC/Ext/Bone/Pos").dgram,
        build_msg("/VMC/Ext/T").dgram,
        build_msg("/else", 3).dgram,
    ):
        assert collector.feed(packet, 0.0) == 0
    assert (collector.malformed, collector.ignored) == (2, 5)
    assert not collector.newest.bones


def test_made_up_names_do_not_fill_the_memory() -> None:
    collector = FrameCollector()
    for index in range(MAX_NAMES + 50):
        collector.feed(packets(0.0, f"bone{index}")[2], 0.0)
    assert len(collector.newest.bones) == MAX_NAMES
    assert collector.ignored == 50


def test_records_each_frame_and_reports_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stop = threading.Event()

    def play() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            while not stop.wait(0.01):
                for packet in packets(1.5):
                    udp.sendto(packet, ("127.0.0.1", port))

    sender = threading.Thread(target=play)
    sender.start()
    try:
        take = tmp_path / "take.jsonl"
        code = receiver.main(["--port", str(port), "--seconds", "0.3", "--record", str(take), "--json"])
    finally:
        stop.set()
        sender.join()
    report = json.loads(capsys.readouterr().out)
    frames = [json.loads(line) for line in take.read_text().splitlines()]
    assert code == 0
    assert report["frames"] == len(frames) > 0
    assert frames[0] == {"time_s": 1.5, "root": POSE, "bones": {"Hips": POSE}, "blends": {"JawOpen": 0.5}}


def test_a_port_in_use_is_one_line_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        assert receiver.main(["--port", str(port), "--seconds", "0.1"]) == 2
    assert f"Cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err
