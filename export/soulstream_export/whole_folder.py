"""A folder that is written as a whole: what fails leaves the folder that was there before.

Not for: what is in the folder (``bundle_writer``, ``mmr``).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from soulstream_engine.errors import ConfigError


def refuse_other_folder(folder: Path, marker: str, kind: str) -> None:
    """Refuses to replace a folder that is not ours; for before the work begins.

    Args:
        folder: What is to be replaced; missing and empty folders are fine.
        marker: File that shows that it may be.
        kind: What such a folder is called.

    Raises:
        ConfigError: If ``folder`` holds other files.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / marker).is_file():
        raise ConfigError(
            "BUNDLE_TARGET",
            f"'{folder}' holds files but no {marker}; it is not a {kind} that may be replaced.",
            f"Name a new folder, or the {kind} to replace.",
        )


def write_whole(folder: Path, files: Mapping[str, bytes], check: Callable[[Path], object]) -> None:
    """Writes a folder beside its name, checks it, and renames it.

    Args:
        folder: Where it goes; replaced.
        files: Contents by name.
        check: Opens the folder as its reader will; what it raises leaves the old folder as it was.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, data in files.items():
        (partial / name).write_bytes(data)
    check(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
