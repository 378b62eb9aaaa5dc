"""Runs the command ``soulstream``, in this process (fast) or in one of its own (real)."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Result:
    """What a command left: exit code, what programs read, what people read."""

    code: int
    stdout: str
    stderr: str


def run_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: str) -> Result:
    """Runs the command in this process, through its real entry point."""
    from soulstream_engine.cli import main

    monkeypatch.setattr(sys, "argv", ["soulstream", *arguments])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as caught:
        main()
    captured = capfd.readouterr()
    return Result(int(caught.value.code or 0), captured.out, captured.err)


def run_process(*arguments: str, cwd: Path | None = None, timeout_s: float = 60.0, stdin: bytes = b"") -> Result:
    """Runs the installed script in a process of its own."""
    script = Path(sys.executable).parent / "soulstream"
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "120"}
    done = subprocess.run(
        [str(script), *arguments],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        timeout=timeout_s,
        env=environment,
        check=False,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())
