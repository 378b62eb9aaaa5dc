"""Opens a model bundle without trusting it: a folder with ``manifest.json``, ONNX graphs and npz statistics.

Every file is read into memory, its size and hash are compared with the manifest, and only those bytes are used: what
was checked is what runs. Graphs are not kept; whoever asks for one gets bytes that are checked anew. Not for: writing
bundles (``soulstream_export``), running graphs (``backends``).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from soulstream_engine.arrays import read_arrays
from soulstream_engine.errors import BundleError
from soulstream_engine.manifest import SCHEMA_VERSION, FileEntry, Manifest
from soulstream_engine.onnx_guard import check_graph
from soulstream_engine.validation import describe

__all__ = [
    "MANIFEST_NAME",
    "MAX_BUNDLE_BYTES",
    "Bundle",
    "check_features",
    "default_bundle_path",
    "load_bundle",
    "read_arrays",
    "read_document",
    "read_verified",
    "sha256_of",
]

MANIFEST_NAME = "manifest.json"
"""File name of the manifest inside the folder."""

MAX_MANIFEST_BYTES = 1024 * 1024
"""Longest manifest accepted, bytes. Source: ours; ours have a few kilobytes."""

MAX_BUNDLE_BYTES = 1024 * 1024 * 1024
"""Most declared bytes of all files together. Source: ours; the embedded bundle is below 25 MB."""

MAX_FILES = 64
"""Most files a manifest may list. Source: ours; ours list fewer than ten."""

Document = TypeVar("Document", bound=BaseModel)

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_REPAIR = "Fetch the bundle again, or export it again with soulstream-export."


class GraphFiles(Mapping[str, bytes]):
    """ONNX bytes by *step* name, read from the folder and verified each time, because they are large and needed once.

    Args:
        folder: The bundle.
        manifest: What its files must be.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._files = {step.name: step.file for step in manifest.steps}
        self._entries = manifest.files

    def __getitem__(self, name: str) -> bytes:
        """Bytes of a step's graph.

        Raises:
            KeyError: If there is no such step.
            BundleError: If the file was changed or removed since the bundle was opened.
        """
        file = self._files[name]
        return read_verified(self._folder, file, self._entries[file])

    def __iter__(self) -> Iterator[str]:
        """Names of the steps."""
        return iter(self._files)

    def __len__(self) -> int:
        """Number of steps."""
        return len(self._files)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle.

    ``graphs`` gives the ONNX bytes of each step by *step* name; ``arrays`` the statistics by array name.
    """

    manifest: Manifest
    graphs: Mapping[str, bytes]
    arrays: dict[str, NDArray[Any]]
    path: Path


def default_bundle_path() -> Path:
    """Folder of the embedded bundle.

    Raises:
        BundleError: If this installation carries none.
    """
    root = Path(__file__).parent / "bundles"
    found = sorted(child for child in root.iterdir() if (child / MANIFEST_NAME).is_file()) if root.is_dir() else []
    if not found:
        raise BundleError(
            "BUNDLE_MISSING",
            f"This installation carries no model: no folder under '{root}' holds a {MANIFEST_NAME}.",
            "Reinstall soulstream, or name a bundle with --bundle FOLDER.",
        )
    return found[0]


def load_bundle(path: str | Path | None = None) -> Bundle:
    """Reads and verifies a bundle.

    Args:
        path: Its folder; ``None`` takes the embedded one.

    Returns:
        The manifest, the graphs by step name and the statistics.

    Raises:
        BundleError: If the folder or a file is missing, is a link, was changed, is too large, comes from a newer
            release, has unknown or wrong fields (all listed at once), or holds a graph that is not self-contained.

    Source: ours.
    Live: not live.
    """
    folder = default_bundle_path() if path is None else Path(path)
    if not folder.is_dir():
        raise BundleError(
            "BUNDLE_MISSING", f"Bundle '{folder}' is not a folder.", f"Name the folder that holds {MANIFEST_NAME}."
        )
    manifest = read_manifest(folder)
    used = {step.file for step in manifest.steps}
    archives = {}
    for name, entry in manifest.files.items():
        data = read_verified(folder, name, entry)
        if name in used:
            check_graph(data, name)
        if name.endswith(".npz"):
            archives[name] = data
    return Bundle(manifest, GraphFiles(folder, manifest), _collect_arrays(archives), folder)


def read_manifest(folder: Path) -> Manifest:
    """Reads and validates the manifest of a bundle; the other files are not looked at.

    Args:
        folder: The bundle.

    Returns:
        The validated manifest, every listed name plain, sizes within the caps.

    Raises:
        BundleError: As ``load_bundle``, for the manifest alone.
    """
    manifest = read_document(folder, MANIFEST_NAME, Manifest, SCHEMA_VERSION)
    _check_listing(folder, manifest)
    return manifest


def read_document(
    folder: Path, name: str, model: type[Document], newest: int, limit: int = MAX_MANIFEST_BYTES
) -> Document:
    """Reads and validates a JSON document that has a ``schema_version``.

    Args:
        folder: Where it lies.
        name: Of the file.
        model: What it must be.
        newest: Schema version that this release reads up to.
        limit: Longest document accepted, bytes.

    Returns:
        The validated document.

    Raises:
        BundleError: If it is missing, a link, too large, no JSON, of a newer schema, or has unknown or wrong fields
            (all listed at once).
    """
    raw = _read_file(folder, name, limit)
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique_keys)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise BundleError("BUNDLE_MANIFEST", f"'{folder / name}' is not valid JSON: {error}.", _REPAIR) from error
    schema = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(schema, int) and schema > newest:
        raise BundleError(
            "BUNDLE_TOO_NEW",
            f"Bundle '{folder}' has schema version {schema}, this soulstream reads up to {newest}.",
            "Update soulstream, or use a bundle made for this version.",
        )
    try:
        return model.model_validate(document)
    except ValidationError as error:
        lines = "\n  ".join(describe(model, error))
        raise BundleError("BUNDLE_MANIFEST", f"'{folder / name}' is not valid:\n  {lines}\n", _REPAIR) from error


def read_verified(folder: Path, name: str, entry: FileEntry) -> bytes:
    """Reads a file whose size and hash are known.

    Args:
        folder: Where it lies.
        name: Of the file; plain.
        entry: What the manifest says of it.

    Returns:
        Its bytes.

    Raises:
        BundleError: If it is missing, a link, or of another size or hash.
    """
    data = _read_file(folder, name, entry.bytes, exact=True)
    found = sha256_of(data)
    if found != entry.sha256:
        raise BundleError(
            "BUNDLE_HASH",
            f"File '{folder / name}' was changed: its SHA-256 is {found[:16]}, the manifest says {entry.sha256[:16]}.",
            _REPAIR,
        )
    return data


def check_features(manifest: Manifest, names: Sequence[str]) -> None:
    """Refuses a bundle trained on other music features than this engine computes.

    Args:
        manifest: Of the bundle.
        names: Feature names of the engine, in order (``features.layout.FEATURE_NAMES``).

    Raises:
        BundleError: With the first difference.
    """
    theirs, ours = manifest.features.names, tuple(names)
    if theirs == ours:
        return
    at = next((i for i, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b), min(len(theirs), len(ours)))
    expected, got = (part[at] if at < len(part) else "nothing" for part in (theirs, ours))
    raise BundleError(
        "BUNDLE_FEATURES",
        f"Bundle '{manifest.model_id}' wants {len(theirs)} music features and this engine computes {len(ours)}; "
        f"the first difference is column {at}: {expected!r} against {got!r}.",
        "Use the bundle that came with this version of soulstream.",
    )


def sha256_of(data: bytes) -> str:
    """Lower-case hexadecimal SHA-256 of ``data``, as written in manifests."""
    return hashlib.sha256(data).hexdigest()


def _check_listing(folder: Path, manifest: Manifest) -> None:
    if len(manifest.files) > MAX_FILES:
        raise BundleError(
            "BUNDLE_TOO_LARGE", f"'{folder}' lists {len(manifest.files)} files, {MAX_FILES} are allowed.", _REPAIR
        )
    for name in manifest.files:
        if not _PLAIN_NAME.fullmatch(name) or name == MANIFEST_NAME:
            raise BundleError(
                "BUNDLE_FILE_NAME",
                f"'{folder}' lists file {name!r}; only plain names inside the folder are allowed.",
                _REPAIR,
            )
    total = sum(entry.bytes for entry in manifest.files.values())
    if total > MAX_BUNDLE_BYTES:
        raise BundleError(
            "BUNDLE_TOO_LARGE",
            f"'{folder}' declares {total} bytes, {MAX_BUNDLE_BYTES} are allowed.",
            "Use a smaller model.",
        )


def _read_file(folder: Path, name: str, limit: int, *, exact: bool = False) -> bytes:
    """Bytes of a regular file inside the folder; links, sizes other than agreed and missing files are errors."""
    path = folder / name
    if path.is_symlink():
        raise BundleError("BUNDLE_LINK", f"'{path}' is a symbolic link; a bundle holds plain files only.", _REPAIR)
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    if path.is_dir():
        raise BundleError("BUNDLE_LINK", f"'{path}' is not a plain file.", _REPAIR)
    try:
        with os.fdopen(os.open(path, flags), "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BundleError("BUNDLE_LINK", f"'{path}' is not a plain file.", _REPAIR)
            if exact and status.st_size != limit:
                raise BundleError(
                    "BUNDLE_SIZE", f"File '{path}' has {status.st_size} bytes, the manifest says {limit}.", _REPAIR
                )
            if status.st_size > limit:
                raise BundleError(
                    "BUNDLE_TOO_LARGE", f"'{path}' has {status.st_size} bytes, {limit} are allowed.", _REPAIR
                )
            return stream.read(limit + 1)[:limit]
    except FileNotFoundError as error:
        raise BundleError("BUNDLE_FILE_MISSING", f"Bundle '{folder}' lacks its file '{name}'.", _REPAIR) from error
    except OSError as error:
        raise BundleError(
            "BUNDLE_UNREADABLE", f"'{path}' cannot be read: {error.strerror}.", "Check its permissions."
        ) from error


def _collect_arrays(archives: dict[str, bytes]) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for name, data in archives.items():
        for key, values in read_arrays(data).items():
            if key in arrays:
                raise BundleError(
                    "BUNDLE_ARRAYS", f"Array {key!r} is in two files of the bundle, again in '{name}'.", _REPAIR
                )
            values.flags.writeable = False
            arrays[key] = values
    return arrays


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key!r} appears twice")
        found[key] = value
    return found
