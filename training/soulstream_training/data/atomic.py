"""Files that are there whole or not at all, even after a power cut. Not for reading them (``bundle.read_arrays``)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray


def write_npz(path: Path, **arrays: NDArray[Any]) -> int:
    """Writes arrays beside the file, makes sure that they are on the disk, and puts them in its place.

    Args:
        path: The npz.
        arrays: What it holds.

    Returns:
        Its size in bytes, by which a reader can tell later that it is whole.
    """
    return _write(path, lambda stream: np.savez(stream, **arrays))  # type: ignore[arg-type]


def write_text(path: Path, text: str) -> int:
    """Writes text the same way.

    Args:
        path: The file.
        text: What it holds, in UTF-8.

    Returns:
        Its size in bytes.
    """
    return _write(path, lambda stream: stream.write(text.encode()))


def _write(path: Path, write: Callable[[BinaryIO], object]) -> int:
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as stream:
        write(stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)
    return path.stat().st_size
