"""Finds and runs the programs that make sound and films: they write one file and do not take for ever."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from soulstream_engine.errors import ConfigError

TIMEOUT_S = 300.0
"""Longest run of a program. A piece of some minutes takes each of them a few seconds (ours)."""


def find_program(name: str, what: str, *, code: str, packages: str) -> str:
    """Path of a program.

    Args:
        name: Its command.
        what: What it does for us, as in "which plays the training music".
        code: How the codes of its errors begin.
        packages: Debian packages that bring it.

    Returns:
        The path.

    Raises:
        ConfigError: If it is not installed; names the packages.
    """
    program = shutil.which(name)
    if program is None:
        message = f"The program {name}, {what}, is not installed."
        raise ConfigError(f"{code}_MISSING", message, f"Install it: apt-get install {packages}")
    return program


def run_program(
    command: Sequence[str],
    out: Path,
    *,
    code: str,
    remedy: str,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Runs a program and waits for it.

    Args:
        command: Path of the program and its arguments.
        out: File that it writes.
        code: How the codes of its errors begin.
        remedy: What to do when it fails.
        folder: Folder it runs in.
        environment: Its environment variables; ours if ``None``.

    Raises:
        ConfigError: If it takes longer than ``TIMEOUT_S`` or fails; tells what it said last.
    """
    name = Path(command[0]).name
    try:
        result = subprocess.run(  # noqa: S603 - our own arguments
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"{name} did not end within {TIMEOUT_S:.0f} s and was stopped."
        raise ConfigError(f"{code}_TIMEOUT", message, "Run it again; if it stays so: " + remedy) from error
    if result.returncode != 0 or not out.is_file():
        said = " ".join((result.stdout + result.stderr).split())
        message = f"{name} ended with status {result.returncode}: {said[-200:]}"
        raise ConfigError(f"{code}_FAILED", message, remedy)
