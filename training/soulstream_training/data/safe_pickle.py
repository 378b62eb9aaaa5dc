"""Reads the arrays of a pickle without running it here: a limited process turns it into an npz (``pickle_worker``).

No pickle comes back: what the process wrote is read as any npz from anywhere, with all checks. Some data sets come as
pickles only (AIST++); for everything else there is npz. Needs an operating system that can limit a process (Linux).
"""

from __future__ import annotations

import math
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray

from soulstream_engine.bundle import read_arrays
from soulstream_engine.errors import BundleError
from soulstream_training.data import pickle_worker
from soulstream_training.data.asf import refuse

MAX_PICKLE_BYTES = 64 * 1024 * 1024
"""Largest pickle accepted. Source: ours; those of AIST++ have about 1 MB."""

MEMORY_BYTES = 512 * 1024 * 1024
"""Address space of the process that reads it (ours)."""

TIMEOUT_S = 30.0
"""Longest time it may take, seconds (ours; a file of AIST++ takes a tenth of a second)."""

_MAX_NOTE_BYTES = 500
_HINT = "Get the file from its publisher again, or store its arrays as npz."


def read_pickle_arrays(
    path: Path, *, memory_bytes: int = MEMORY_BYTES, timeout_s: float = TIMEOUT_S
) -> dict[str, NDArray[Any]]:
    """Reads a pickled dictionary of arrays and numbers.

    Args:
        path: The pickle, protocols 0 to 5, written by numpy 1 or 2; or the ``.npy`` that ``numpy.save`` makes of one.
        memory_bytes: Address space of the process that reads it.
        timeout_s: Longest time it may take, seconds.

    Returns:
        Arrays by key; numbers are 0-dimensional. Texts and ``None`` are left out.

    Raises:
        MotionFileError: If the file is missing, too large, damaged, asks for a forbidden name, holds anything but
            arrays and numbers, or needs more memory or time than allowed.
    """
    with _open(path) as stream, tempfile.TemporaryFile() as result, tempfile.TemporaryFile() as note:
        limits = (memory_bytes, max(1, math.ceil(timeout_s)), MAX_PICKLE_BYTES)
        # Isolated, without site packages: the worker is one file of the standard library and needs nothing else.
        command = [sys.executable, "-I", "-S", "-B", str(Path(pickle_worker.__file__)), *map(str, limits)]
        try:
            done = subprocess.run(  # noqa: S603 - our own file with numbers as arguments
                command, stdin=stream, stdout=result, stderr=note, env={}, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise refuse(path, 0, f"took longer than {timeout_s:g} s to read.", _HINT) from error
        if done.returncode == pickle_worker.REFUSED:
            raise refuse(path, 0, f"{_tail(note)}.", _HINT)
        if done.returncode:
            raise refuse(path, 0, f"stopped the process that read it (exit code {done.returncode}).", _HINT)
        result.seek(0)
        data = result.read(MAX_PICKLE_BYTES + 1)
    try:
        return read_arrays(data, max_bytes=MAX_PICKLE_BYTES)
    except BundleError as error:
        raise refuse(path, 0, f"cannot be used: {error.message}", _HINT) from error


def _open(path: Path) -> IO[bytes]:
    """The open file, if it is a regular one within the size cap."""
    try:
        stream = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb")
    except OSError as error:
        raise refuse(path, 0, f"cannot be read ({error.strerror}).", "Check the path and its permissions.") from error
    status = os.fstat(stream.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_PICKLE_BYTES:
        _skip_npy_header(stream)
        return stream
    stream.close()
    raise refuse(path, 0, f"is not a plain file of at most {MAX_PICKLE_BYTES} bytes (it has {status.st_size}).", _HINT)


def _skip_npy_header(stream: IO[bytes]) -> None:
    """Moves to the pickle in a ``.npy`` of objects; the process that reads it starts where the descriptor stands."""
    start, place = os.read(stream.fileno(), 12), 0
    if start[:6] == b"\x93NUMPY" and len(start) == 12:
        size = 2 if start[6] == 1 else 4
        place = 8 + size + int.from_bytes(start[8 : 8 + size], "little")
    os.lseek(stream.fileno(), place, os.SEEK_SET)


def _tail(note: IO[bytes]) -> str:
    note.seek(0)
    return note.read(_MAX_NOTE_BYTES).decode("ascii", "replace").strip()
