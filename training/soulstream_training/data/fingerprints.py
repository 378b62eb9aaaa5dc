"""What a recording is, whatever it is called and however it is prepared: hashes of content, and who dances together.

A packed file (``.gz``) counts as what is in it. Every file is read once. Not for what a prepared clip was made from
(``prepare.hash_inputs``). Letters: none.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from soulstream_training.data.asf import MAX_FILE_BYTES, MotionFileError
from soulstream_training.data.clips import ClipRow

_BLOCK_BYTES = 1 << 20


class _Digest(Protocol):
    """A hash that is being made."""

    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True)
class FileHash:
    """SHA-256 of a file: of its bytes as they lie there, and in hexadecimal of its ``content``, unpacked."""

    raw: bytes
    content: str


class Fingerprints:
    """Hashes of files, each read once however many clips it is part of."""

    def __init__(self) -> None:
        self._known: dict[Path, FileHash] = {}

    def of(self, path: Path) -> FileHash:
        """Hashes a file.

        Args:
            path: The file.

        Returns:
            Its hashes.

        Raises:
            MotionFileError: If it cannot be read.
        """
        if path not in self._known:
            try:
                with path.open("rb") as stream:
                    self._known[path] = _hash(stream, is_packed=path.suffix == ".gz")
            except OSError as error:
                raise MotionFileError(
                    "MOTION_FILE_MISSING", f"'{path.name}' cannot be read ({error.strerror}).", "Check the data folder."
                ) from error
        return self._known[path]

    def recording(self, data_dir: Path, row: ClipRow) -> str:
        """Names what a clip shows: the content of its motion file, and which dancer of it.

        Args:
            data_dir: Folder with the recordings.
            row: The clip.

        Returns:
            Hexadecimal SHA-256 of the content and the number of the dancer, from 1.

        Raises:
            MotionFileError: If the file cannot be read.
        """
        return f"{self.of(data_dir / row.path).content}.{max(row.dancer, 1)}"

    def song(self, data_dir: Path, row: ClipRow) -> str:
        """Hexadecimal SHA-256 of the music of a clip; empty if it has none, or none that can be read."""
        if row.music is None:
            return ""
        try:
            return self.of(data_dir / row.music).content
        except MotionFileError:
            return ""


def takes_of(rows: Iterable[ClipRow]) -> dict[str, str]:
    """Finds who dances together: partners, theirs and so on, and all dancers of a file.

    Args:
        rows: The clips of a table.

    Returns:
        By clip id the name of its take, which is the first, by letters, of the ids in it; clips that share their take
        with nobody are absent.
    """
    above: dict[str, str] = {}

    def top(name: str) -> str:
        above.setdefault(name, name)
        while above[name] != name:
            above[name] = above[above[name]]
            name = above[name]
        return name

    first: dict[object, str] = {}
    ids = []
    for row in rows:
        ids.append(row.clip_id)
        with_whom = [row.partner_id] if row.partner_id else []
        if row.dancer:
            with_whom.append(first.setdefault(row.path, row.clip_id))
        for other in with_whom:
            one, two = sorted((top(row.clip_id), top(other)))
            above[two] = one
    sizes = Counter(top(name) for name in [*above])
    return {name: top(name) for name in ids if sizes[top(name)] > 1}


class _Tee:
    """A stream that hashes what is read of it."""

    def __init__(self, stream: BinaryIO, digest: _Digest) -> None:
        self._stream = stream
        self._digest = digest

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._digest.update(data)
        return data


def _hash(stream: BinaryIO, *, is_packed: bool) -> FileHash:
    raw = hashlib.sha256()
    tee = _Tee(stream, raw)
    content, left = hashlib.sha256(), MAX_FILE_BYTES
    is_whole = is_packed
    try:
        if is_packed:
            unpacked = gzip.GzipFile(fileobj=tee)  # type: ignore[call-overload]
            while left >= 0 and (block := unpacked.read(_BLOCK_BYTES)):
                content.update(block)
                left -= len(block)
    except (OSError, EOFError, zlib.error):  # no archive: it will be refused by its reader
        is_whole = False
    while tee.read(_BLOCK_BYTES):
        pass
    return FileHash(raw.digest(), content.hexdigest() if is_whole and left >= 0 else raw.hexdigest())
