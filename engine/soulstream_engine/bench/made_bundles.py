"""Bundles of a named size with random weights, made once and kept in the user's cache folder.

The engine has no torch, so a process of the exporter makes them; without it nothing of that size can be measured.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from soulstream_engine.bundle import MANIFEST_NAME, read_manifest, sha256_of
from soulstream_engine.errors import BundleError, ConfigError

_SOURCES = {"soulstream_export": "*.py", "soulstream_training": "models/*.py"}
_NEEDED = (*_SOURCES, "torch", "onnx")
_EXPORT = "from soulstream_export.cli import main; main()"
_TIMEOUT_S = 900.0


def cache_folder() -> Path:
    """Where bundles are kept: ``soulstream/bench`` in the user's cache folder of this system."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "soulstream" / "bench"


@cache
def exporter_key() -> str:
    """Twelve characters that change when the code that makes bundles does: another exporter, another bundle."""
    texts: list[bytes] = []
    for name, pattern in _SOURCES.items():
        spec = importlib.util.find_spec(name)
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            texts += [path.read_bytes() for path in sorted(Path(place).glob(pattern))]
    return sha256_of(b"\0".join(texts))[:12]


def made_bundle(size: str, planned: int = 8, commit: int = 2, *, note: Callable[[str], None] = lambda _: None) -> Path:
    """Folder of a bundle with random weights; made on the first call.

    Args:
        size: ``toy``, ``stage`` or ``paper``.
        planned: Tokens that a tick plans.
        commit: Tokens that it commits.
        note: Told before the long work of making one.

    Raises:
        ConfigError: If the exporter or torch is not installed.
        BundleError: If the exporter fails.
    """
    _check_exporter(f"the size '{size}'")
    folder = cache_folder() / f"{size}-{planned}-{commit}-{exporter_key()}"
    if not (folder / MANIFEST_NAME).is_file():
        note(f"Making a bundle of the size '{size}' with random weights, once: {folder}")
        options = ["--random", size, "--planned", str(planned), "--commit", str(commit)]
        _export(["bundle", str(folder), *options])
        for older in folder.parent.glob(f"{size}-{planned}-{commit}-*"):
            if not older.name.startswith(folder.name):
                shutil.rmtree(older, ignore_errors=True)
    return folder


def int8_bundle(source: Path, *, note: Callable[[str], None] = lambda _: None) -> Path:
    """Folder of the same model in int8; made on the first call.

    Args:
        source: Folder of a bundle.
        note: Told before the long work of making one.

    Raises:
        ConfigError: If the exporter or torch is not installed.
        BundleError: If there is no bundle, or the exporter fails.
    """
    _check_exporter("in int8")
    read_manifest(source)
    key = sha256_of((source / MANIFEST_NAME).read_bytes())[:12]
    beside = source.parent == cache_folder()
    folder = source.with_name(f"{source.name}-int8") if beside else cache_folder() / f"int8-{key}-{exporter_key()}"
    if not (folder / MANIFEST_NAME).is_file():
        note(f"Quantising the bundle to int8, once: {folder}")
        _export(["quantise", str(source), str(folder), "--to", "int8-dynamic"])
    return folder


def _check_exporter(what: str) -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            "BENCH_NEEDS_EXPORT",
            f"Measuring {what} needs a bundle made here, and {' and '.join(missing)} is not installed.",
            "Run pip install 'soulstream[export]', or name a bundle with --bundle FOLDER.",
        )


def _export(arguments: list[str]) -> None:
    """Runs ``soulstream-export`` in a process of its own."""
    cache_folder().parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # compiled plans lie beside, and must be safe
    cache_folder().mkdir(exist_ok=True)
    command = [sys.executable, "-c", _EXPORT, *arguments]
    try:
        done = subprocess.run(  # noqa: S603 (our own exporter)
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BundleError(
            "BENCH_EXPORT_FAILED",
            f"The exporter did not end within {_TIMEOUT_S:.0f} s.",
            f"Run it alone to see more: soulstream-export {' '.join(arguments)}",
        ) from error
    if done.returncode != 0:
        raise BundleError(
            "BENCH_EXPORT_FAILED",
            f"The exporter ended with exit code {done.returncode}: {done.stderr.strip()[-300:]}",
            f"Run it alone to see more: soulstream-export {' '.join(arguments)}",
        )
