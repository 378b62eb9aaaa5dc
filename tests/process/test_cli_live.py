"""``soulstream demo`` and ``run`` as a performer starts them: a real process, a real clock, a real socket."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.command import run_process

from soulstream_engine.bundle import default_bundle_path
from soulstream_engine.errors import BundleError

try:
    default_bundle_path()
except BundleError as error:
    pytest.skip(f"needs the embedded model: {error.message}", allow_module_level=True)

KEYS = {
    "frames",
    "dropped",
    "duplicated",
    "generated",
    "held",
    "blended",
    "idle",
    "late_ms_p99",
    "first_idle_s",
    "first_generated_s",
    "rss_mb",
    "backend",
}
MAX_STOP_S = 2.0
MAX_RSS_MB = 700.0
# Twice the promise (1.5 s and 5 s), because other tests may run beside this one.
MAX_FIRST_IDLE_S = 3.0
MAX_FIRST_GENERATED_S = 10.0


def test_demo_sends_every_frame_and_prints_its_numbers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(1.0)
        target = f"vmc://127.0.0.1:{receiver.getsockname()[1]}"
        result = run_process("demo", "--seconds", "6", "--no-preview", "--no-play", "--json", "--osc", target)
        first = receiver.recv(2048)
    assert result.code == 0, result.stderr
    assert len(result.stdout.splitlines()) == 1
    summary = json.loads(result.stdout)
    assert set(summary) >= KEYS
    assert summary["frames"] == 180
    assert summary["duplicated"] == 0
    assert summary["generated"] > 0
    assert summary["first_idle_s"] < MAX_FIRST_IDLE_S
    assert summary["first_generated_s"] < MAX_FIRST_GENERATED_S
    assert summary["rss_mb"] < MAX_RSS_MB
    assert summary["backend"].startswith("onnxruntime ")
    assert summary["osc_refused"] == 0
    assert len(first) <= 1432
    assert first.startswith(b"#bundle\0")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_at_once_and_still_prints_its_numbers(number: signal.Signals) -> None:
    script = Path(sys.executable).parent / "soulstream"
    command = [str(script), "demo", "--no-preview", "--no-play", "--json", "--osc", "vmc://127.0.0.1:39999"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "Sending VMC" not in process.stderr.readline():
            assert process.poll() is None
        time.sleep(1.5)
        asked = time.monotonic()
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert time.monotonic() - asked < MAX_STOP_S
    assert json.loads(output)["frames"] > 0


def test_raw_sound_on_standard_input_is_danced_to_its_end() -> None:
    quiet = b"\0\0" * 48_000
    options = ["--audio", "-", "--pipe-format", "s16le:24000:2", "--no-preview", "--json"]
    result = run_process("run", *options, "--osc", "vmc://127.0.0.1:39999", stdin=quiet)
    assert result.code == 0, result.stderr
    assert "standard input (s16le, 2 ch, 24000 Hz)" in result.stderr
    assert "nobody listened at times" in result.stderr
    assert 30 <= json.loads(result.stdout)["frames"] < 400
