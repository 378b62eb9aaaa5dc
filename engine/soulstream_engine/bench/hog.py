"""A neighbour that never rests: one process that keeps one core busy while something is measured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_WORK = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""
"""Ends by itself when whoever started it is gone."""

_END_TIMEOUT_S = 5.0


@contextmanager
def busy_neighbour() -> Iterator[int]:
    """Starts the process and ends it; gives its id."""
    command = [sys.executable, "-c", _WORK]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 (ours)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait(_END_TIMEOUT_S)
