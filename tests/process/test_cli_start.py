"""The command starts at once and speaks to people on one stream and to programs on the other."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from fakes.command import run_process

COMMANDS = ["demo", "run", "render", "beats", "devices", "doctor", "bench", "build"]
HEAVY = ["numpy", "scipy", "onnxruntime", "sounddevice", "soundfile", "viser", "aubio", "torch", "pydantic"]


def test_help_lists_every_command() -> None:
    result = run_process("--help")
    assert result.code == 0
    for command in COMMANDS:
        assert command in result.stdout
    assert "Exit codes: 0 done" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_teaches_with_an_example(command: str) -> None:
    result = run_process(command, "--help")
    assert result.code == 0
    assert f"soulstream {command}" in result.stdout.split("Options")[0].split("Usage")[1].split("\n", 1)[1]


def test_help_needs_none_of_the_heavy_modules() -> None:
    code = f"import sys, soulstream_engine.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_what_runs_before_the_first_idle_frame_needs_no_slow_module() -> None:
    """The idle dancer shows 1.5 s after the start of the process; sound, model and page are imported behind her."""
    slow = [
        "scipy.ndimage",
        "scipy.signal",
        "onnxruntime",
        "aubio",
        "soundfile",
        "soxr",
        "sounddevice",
        "viser",
        "torch",
    ]
    code = (
        "import sys\n"
        "import soulstream_engine.cli, soulstream_engine.cli.live, soulstream_engine.osc.sender\n"
        "import soulstream_engine.preview.process, soulstream_engine.runtime.session, soulstream_engine.bundle\n"
        "from soulstream_engine.audio.sources import open_source\n"
        "open_source('demo', play=None).close()\n"
        f"print([name for name in {slow!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_version_is_printed() -> None:
    result = run_process("--version")
    assert result.code == 0
    assert result.stdout.startswith("soulstream ")


def test_an_unknown_command_names_the_nearest() -> None:
    result = run_process("rum")
    assert result.code == 2
    assert "run" in result.stderr
    assert "Traceback" not in result.stderr


def test_print_config_shows_every_setting_and_its_origin() -> None:
    result = run_process("run", "--print-config", "--fps", "60")
    assert result.code == 0
    assert "fps = 60  # command line" in result.stdout
    assert "port = 8080  # default" in result.stdout


def test_doctor_prints_json_last_and_checks_the_essentials() -> None:
    result = run_process("doctor", "--json")
    report = json.loads(result.stdout.splitlines()[-1])
    assert result.code == (0 if report["healthy"] else 1)
    names = [check["name"] for check in report["checks"]]
    assert {"Python", "PortAudio", "runtime", "model", "UDP on this computer", "preview page"} <= set(names)
    assert all(check["fix"] for check in report["checks"] if not check["ok"])
