"""Writes a finished dance to a file, whole or not at all.

The kind of file is decided by the ending, and whether it can be written is tried before any work starts. The content
goes into a temporary file beside the target that takes its name only when it is complete.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from soulstream_engine.errors import ConfigError, SinkError
from soulstream_engine.frames import ALL_PARTS

if TYPE_CHECKING:
    from soulstream_engine.runtime.render import Take

PROVENANCE_ORDER = ("generated", "blended", "held", "idle")
"""Meaning of the numbers in the array ``provenance`` of an npz take."""


def check_output(path: Path) -> None:
    """Refuses a file that could not be written later.

    Args:
        path: Where the take will go.

    Raises:
        ConfigError: If the ending is unknown.
        SinkError: If the folder is missing, nothing can be written there, or the path is a folder.
    """
    if path.suffix.lower() not in WRITERS:
        raise ConfigError(
            "OUTPUT_ENDING",
            f"Output '{path}' ends in '{path.suffix}'; known endings are {', '.join(sorted(WRITERS))}.",
            "Write for example --out take.bvh",
        )
    if path.is_dir():
        raise SinkError("OUTPUT_IS_FOLDER", f"Output '{path}' is a folder.", "Name a file in it.")
    temporary = _temporary_beside(path)
    temporary.unlink()


def write_take(take: Take, path: Path) -> None:
    """Writes a take; after an error or Ctrl-C nothing new is left behind and an older file is untouched.

    Args:
        take: What was danced.
        path: File ending in ``.bvh`` or ``.npz``.

    Raises:
        SinkError: If the file cannot be written, for example because the disk is full.
    """
    temporary = _temporary_beside(path)
    try:
        with temporary.open("wb") as stream:
            WRITERS[path.suffix.lower()](take, stream)
        temporary.replace(path)
    except OSError as error:
        raise _not_writable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _write_npz(take: Take, stream: IO[bytes]) -> None:
    import numpy as np

    names = [item.value for item in take.provenance]
    np.savez_compressed(
        stream,
        joints_m=take.joints_m.astype(np.float32),
        joint_wxyz=take.joint_wxyz.astype(np.float32),
        root_m=take.root_m.astype(np.float32),
        parents=take.parents.astype(np.int32),
        rest_offsets_m=take.rest_offsets_m.astype(np.float32),
        face=take.face.astype(np.float32),
        contacts=take.contacts.astype(np.float32),
        fps=np.int32(take.fps),
        not_generated=np.array([part in take.not_generated for part in ALL_PARTS]),
        provenance=np.array([PROVENANCE_ORDER.index(name) for name in names], dtype=np.uint8),
    )


def _write_bvh(take: Take, stream: IO[bytes]) -> None:
    from soulstream_engine.motion.bvh import bvh_lines

    for line in bvh_lines(take.root_m, take.joint_wxyz, take.fps):
        stream.write(f"{line}\n".encode("ascii"))


WRITERS: dict[str, Callable[[Take, IO[bytes]], None]] = {".npz": _write_npz, ".bvh": _write_bvh}
"""What each known ending is written by."""


def _temporary_beside(path: Path) -> Path:
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise _not_writable(path, error) from error
    os.close(handle)
    os.chmod(name, 0o666 & ~_umask())
    return Path(name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _not_writable(path: Path, error: OSError) -> SinkError:
    return SinkError(
        "OUTPUT_NOT_WRITABLE",
        f"Output '{path}' cannot be written: {error.strerror or error}.",
        "Choose a folder that exists and that you may write to.",
    )
