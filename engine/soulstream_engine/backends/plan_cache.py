"""Keeps compiled plans in a private folder, so that the second start needs no compilation.

A plan is code for the graphics card: whoever can write it decides what runs. So the folder belongs to the user alone,
nothing but what this class wrote there is read, and every plan is compared with the hash noted when it was written.
Plans never travel in a bundle. Not for: compiling (``plan_builder``), running (``tensorrt``).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from soulstream_engine.errors import BackendError

MAX_CACHE_BYTES = 4 * 1024**3
"""Plans of all bundles together; the oldest go first. Source: ours; those of a large model have 0.6 GB."""

LEFT_OVER_NS = 3600 * 1_000_000_000
"""Files of a writer that was killed are removed when they are older than this. Source: ours; writing takes seconds."""

MAX_NOTE_BYTES = 16_384
"""Longest note beside a plan. Source: ours; they have fewer than 1,000 bytes."""

NO_PLAN_YET = "there is no plan of it yet"
"""The one reason for compiling that needs no explanation."""

_PLAN, _NOTE = ".plan", ".json"
_BESIDE = "new-"
"""What the name of a file begins with while it is written."""

_ENVIRONMENT = ("version", "driver", "recipe")
"""What changes under a plan without anybody wanting another plan."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class PlanKey:
    """Everything a plan depends on.

    ``graph_sha256`` of the ONNX bytes; ``flavour`` and ``version`` of TensorRT; name and compute ``capability`` of the
    GPU; ``driver``; ``precision``; ``profile``, the sizes of open dimensions; ``recipe``, how we build.
    """

    graph_sha256: str
    flavour: str
    version: str
    gpu: str
    capability: str
    driver: str
    precision: str
    profile: str
    recipe: int

    @property
    def digest(self) -> str:
        """SHA-256 over all of it, hexadecimal: the name of the plan's file."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode("utf-8")).hexdigest()


def profile_text(sizes: Mapping[str, int]) -> str:
    """Sizes of open dimensions as part of a key, for example ``plans=7``; ``fixed`` where nothing is open."""
    return ",".join(f"{name}={size}" for name, size in sorted(sizes.items())) or "fixed"


def user_cache_folder() -> Path:
    """Folder of soulstream's caches for this user."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "soulstream"


class PlanCache:
    """Plans on disk.

    Args:
        folder: Where they lie; ``None`` takes ``plans`` in ``user_cache_folder``. Made if it is missing.

    Raises:
        BackendError: If the folder is a link, belongs to somebody else or can be written by others.

    Source: ours.
    Live: not live.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is None:
            _make_private(user_cache_folder())
            folder = user_cache_folder() / "plans"
        _make_private(folder)
        self.folder = folder

    def find(self, key: PlanKey, step: str) -> tuple[bytes | None, str]:
        """Looks for a plan.

        Args:
            key: What it must have been built for.
            step: Name of the step, to explain why there is none.

        Returns:
            The plan and an empty text, or ``None`` and the reason.

        Raises:
            BackendError: If a file cannot be read although it is there, or a changed one cannot be removed.
        """
        note = self._read_note(key.digest)
        if note is None:
            return None, self._why_missing(key, step)
        plan = _read_private(self.folder / (key.digest + _PLAN), MAX_CACHE_BYTES)
        if plan is not None and note.get("key") == asdict(key):
            if hashlib.sha256(plan).hexdigest() == note.get("plan_sha256"):
                return plan, ""
            reason = "its plan was changed after it was written"
        else:
            reason = "its plan is incomplete or its note is for another plan"
        self._remove(key.digest)
        return None, reason

    def store(self, key: PlanKey, step: str, plan: bytes | memoryview) -> None:
        """Writes a plan, then its note; each appears whole or not at all. Plans that it replaces are removed.

        Another process may use the folder at the same time: a file that it removed first is no fault.

        Raises:
            BackendError: If it cannot be written, or what is too old cannot be removed.
        """
        note = {"step": step, "key": asdict(key), "plan_sha256": hashlib.sha256(plan).hexdigest(), "bytes": len(plan)}
        text = json.dumps(note, indent=1, sort_keys=True) + "\n"
        try:
            _write_private(self.folder / (key.digest + _PLAN), plan)
            _write_private(self.folder / (key.digest + _NOTE), text.encode("utf-8"))
        except OSError as error:
            raise BackendError(
                "BACKEND_CACHE", f"A plan cannot be written to '{self.folder}': {error.strerror}.", "Free some space."
            ) from error
        for digest, other in self._notes().items():
            changed = _differences(other, key)
            if other["step"] == step and changed and set(changed) <= set(_ENVIRONMENT):
                self._remove(digest)
        self._keep_within(MAX_CACHE_BYTES, key.digest)
        self._remove_left_over(key.digest)

    def _why_missing(self, key: PlanKey, step: str) -> str:
        candidates = [_differences(note, key) for note in self._notes().values() if note["step"] == step]
        if not candidates:
            return NO_PLAN_YET
        nearest = min(candidates, key=len)
        changes = [f"{name} changed from {old!r} to {new!r}" for name, (old, new) in nearest.items()]
        return ", ".join(changes) or "its note was renamed"

    def _notes(self) -> dict[str, dict[str, Any]]:
        """Readable notes by digest, in no order."""
        found = {path.stem: self._read_note(path.stem) for path in self.folder.glob("*" + _NOTE)}
        return {digest: note for digest, note in found.items() if note is not None}

    def _read_note(self, digest: str) -> dict[str, Any] | None:
        text = _read_private(self.folder / (digest + _NOTE), MAX_NOTE_BYTES)
        if text is None:
            return None
        try:
            note = json.loads(text)
        except (ValueError, RecursionError):
            return None
        is_note = isinstance(note, dict) and isinstance(note.get("key"), dict) and isinstance(note.get("step"), str)
        return note if is_note else None

    def _keep_within(self, most_bytes: int, newest: str) -> None:
        found = [(path.stem, _status(path)) for path in self.folder.glob("*" + _PLAN)]
        plans = [(digest, status) for digest, status in found if status is not None]
        total = 0
        for digest, status in sorted(plans, key=lambda plan: plan[1].st_mtime_ns, reverse=True):
            total += status.st_size
            if total > most_bytes and digest != newest:
                self._remove(digest)

    def _remove_left_over(self, newest: str) -> None:
        """Removes what killed writers left; ages count from the newest plan, so both come from the disk's own clock."""
        now = _status(self.folder / (newest + _PLAN))
        for path in self.folder.glob(_BESIDE + "*"):
            status = _status(path)
            if now is not None and status is not None and now.st_mtime_ns - status.st_mtime_ns > LEFT_OVER_NS:
                _unlink(path)

    def _remove(self, digest: str) -> None:
        for ending in (_NOTE, _PLAN):
            _unlink(self.folder / (digest + ending))


def _differences(note: Mapping[str, Any], key: PlanKey) -> dict[str, tuple[Any, Any]]:
    """Component -> (value in the note, value wanted), for those that differ; hashes cut to 12 digits."""
    short = {"graph_sha256": 12}
    pairs = {field.name: (note["key"].get(field.name), getattr(key, field.name)) for field in fields(key)}
    return {
        name: (str(old)[: short[name]], new[: short[name]]) if name in short else (old, new)
        for name, (old, new) in pairs.items()
        if old != new
    }


def _make_private(folder: Path) -> None:
    """Makes a folder for this user alone, or refuses the one that is there."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise _refused(folder, f"it cannot be made: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise _refused(folder, "it is a link")
    _check_owner(folder, status)


def _check_owner(path: Path, status: os.stat_result) -> None:
    if sys.platform == "win32":  # what lies under the user's profile is private there
        return
    if status.st_uid != os.geteuid():
        raise _refused(path, f"it belongs to user {status.st_uid}, not to you ({os.geteuid()})")
    if status.st_mode & _OTHERS_WRITE:
        raise _refused(path, f"others can write to it (mode {stat.S_IMODE(status.st_mode):o}, 700 is expected)")


def _read_private(path: Path, limit: int) -> bytes | None:
    """Bytes of a plain file that only this user can write; ``None`` where there is none."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
                raise _refused(path, f"it is no plain file of up to {limit} bytes")
            _check_owner(path, status)
            return stream.read(status.st_size)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refused(path, f"it cannot be read: {error.strerror}") from error


def _write_private(path: Path, data: bytes | memoryview) -> None:
    """Writes a file of mode 600 that appears whole: written beside, flushed, renamed."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=_BESIDE)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(beside).replace(path)
    except OSError:
        Path(beside).unlink(missing_ok=True)
        raise


def _status(path: Path) -> os.stat_result | None:
    """Of a file itself, not of what it links to; ``None`` where it is gone."""
    try:
        return path.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _untidy(path, "read", error) from error


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _untidy(path, "removed", error) from error


def _untidy(path: Path, deed: str, error: OSError) -> BackendError:
    return BackendError(
        "BACKEND_CACHE",
        f"A file of the compiled plans, '{path}', cannot be {deed}: {error.strerror}.",
        "Close other soulstream programs and remove it by hand. XDG_CACHE_HOME names another place.",
    )


def _refused(path: Path, why: str) -> BackendError:
    return BackendError(
        "BACKEND_CACHE_UNSAFE",
        f"Plans are not kept in '{path}': {why}.",
        "Remove it; it is made again. XDG_CACHE_HOME names another place.",
    )
