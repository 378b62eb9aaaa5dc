"""Reads arrays of ``.npy`` and ``.npz`` files from anywhere: the header is checked before anything is allocated.

Other people's npz hold texts and objects beside the numbers (AMASS, BEAT2). ``bundle.read_arrays`` takes all members or
none; here only the members that are asked for are ever opened. Objects are never read. Not for: our own archives.
"""

from __future__ import annotations

import io
import math
import os
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from soulstream_engine.arrays import ALLOWED_DTYPES, MAX_HEADER_BYTES, MAX_MEMBERS, MAX_RATIO, RATIO_FREE_BYTES
from soulstream_training.data.asf import refuse

MAX_ARRAY_BYTES = 256 * 1024 * 1024
"""Largest file, and most unpacked bytes of all members read from one archive. Source: ours; an hour has 140 MB."""

_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(ValueError, OverflowError, NotImplementedError, RuntimeError),
)
_SMALLER = "Cut the recording into shorter files."


def read_npy(path: Path, *, max_bytes: int = MAX_ARRAY_BYTES) -> NDArray[Any]:
    """Reads one array file.

    Args:
        path: ``.npy`` file.
        max_bytes: Largest file accepted.

    Returns:
        The array in native byte order, of a type in ``soulstream_engine.arrays.ALLOWED_DTYPES``, writable.

    Raises:
        MotionFileError: If the file is missing, too large, holds objects or texts, or its header does not fit its size.
    """
    with _open(path, max_bytes) as stream:
        return _parse(path, path.name, stream, os.fstat(stream.fileno()).st_size)


def list_npz(path: Path, *, max_bytes: int = MAX_ARRAY_BYTES) -> tuple[str, ...]:
    """Lists the arrays of an archive without opening any.

    Args:
        path: ``.npz`` file.
        max_bytes: Largest file accepted.

    Returns:
        Member names without ``.npy``, in file order.

    Raises:
        MotionFileError: If the file is missing, too large or no archive of plain, distinct array names.
    """
    try:
        with _open(path, max_bytes) as stream, zipfile.ZipFile(stream) as archive:
            return tuple(_members(path, archive))
    except _DAMAGED as error:
        raise refuse(path, 0, f"is not a readable npz archive ({error}).") from error


def read_npz(path: Path, wanted: Iterable[str], *, max_bytes: int = MAX_ARRAY_BYTES) -> dict[str, NDArray[Any]]:
    """Reads those of the wanted arrays that an archive has; the others are never opened.

    Args:
        path: ``.npz`` file.
        wanted: Names without ``.npy``.
        max_bytes: Largest file, and most unpacked bytes of the wanted members together.

    Returns:
        Arrays by name, each as ``read_npy`` returns them.

    Raises:
        MotionFileError: If the file is missing, too large or damaged, a member unpacks to far more than its size, or a
            wanted member is no plain array.
    """
    try:
        with _open(path, max_bytes) as stream, zipfile.ZipFile(stream) as archive:
            members = _members(path, archive)
            chosen = {name: members[name] for name in wanted if name in members}
            total = sum(info.file_size for info in chosen.values())
            if total > max_bytes:
                raise refuse(path, 0, f"unpacks to {total} bytes, {max_bytes} are allowed.", _SMALLER)
            return {name: _unpack(path, archive, name, info) for name, info in chosen.items()}
    except _DAMAGED as error:
        raise refuse(path, 0, f"is not a readable npz archive ({error}).") from error


def read_single(path: Path, preferred: Iterable[str] = ()) -> NDArray[Any]:
    """Reads the one array of a ``.npy``, or of a ``.npz`` that has one array or one of a preferred name.

    Args:
        path: The file; the ending decides.
        preferred: Names to look for in an archive of several arrays, best first.

    Returns:
        The array as ``read_npy`` returns it.

    Raises:
        MotionFileError: As ``read_npy`` and ``read_npz``, or if it is not clear which array is meant.
    """
    if path.suffix != ".npz":
        return read_npy(path)
    names = list_npz(path)
    found = names if len(names) == 1 else [name for name in preferred if name in names][:1]
    if not found:
        hint = f"Name the array one of {', '.join(preferred)}, or store it alone."
        raise refuse(path, 0, f"holds {len(names)} arrays {list(names[:8])}, expected one.", hint)
    return read_npz(path, found)[found[0]]


def _open(path: Path, max_bytes: int) -> IO[bytes]:
    """An open regular file within the size cap."""
    try:
        stream = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb")
    except OSError as error:
        raise refuse(path, 0, f"cannot be read ({error.strerror}).", "Check the path and its permissions.") from error
    status = os.fstat(stream.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size <= max_bytes:
        return stream
    stream.close()
    if not stat.S_ISREG(status.st_mode):
        raise refuse(path, 0, "is not a plain file.", "Name a file.")
    raise refuse(path, 0, f"has {status.st_size} bytes, {max_bytes} are allowed.", _SMALLER)


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise refuse(path, 0, f"holds {len(infos)} members, {MAX_MEMBERS} are allowed.")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename.removesuffix(".npy")
        if name == info.filename or not name or name in members or any(letter in name for letter in "/\\\0"):
            raise refuse(path, 0, f"member {info.filename[:60]!r} is not a plain array name, or appears twice.")
        members[name] = info
    return members


def _unpack(path: Path, archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> NDArray[Any]:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 0x1:
        raise refuse(path, 0, f"array '{name}' is encrypted or packed by an unknown method.")
    ratio = info.file_size // max(info.compress_size, 1)
    if info.file_size > RATIO_FREE_BYTES and ratio > MAX_RATIO:
        raise refuse(path, 0, f"array '{name}' unpacks to {ratio} times its size, {MAX_RATIO} are allowed.")
    with archive.open(info) as stream:
        data = stream.read(info.file_size + 1)
    return _parse(path, name, io.BytesIO(data), len(data))


def _parse(path: Path, name: str, stream: IO[bytes], size: int) -> NDArray[Any]:
    """The array in a stream of ``size`` bytes; nothing is allocated before header and size agree."""
    try:
        version = npy.read_magic(stream)
        readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        if version not in readers:
            raise refuse(path, 0, f"array '{name}' has format {version}, only 1.0 and 2.0 are read.")
        shape, fortran, dtype = readers[version](stream, max_header_size=MAX_HEADER_BYTES)
    except (ValueError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as error:
        raise refuse(path, 0, f"array '{name}' has a bad header ({type(error).__name__}).") from error
    if dtype.hasobject or dtype.name not in ALLOWED_DTYPES:
        hint = "Store plain numbers; objects could run code and are never read."
        raise refuse(path, 0, f"array '{name}' has type {dtype}, allowed are {', '.join(ALLOWED_DTYPES)}.", hint)
    held, expected = size - stream.tell(), math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or expected != held:
        raise refuse(path, 0, f"array '{name}' says {dtype}{list(shape)}, {expected} bytes, and holds {held}.")
    flat = np.frombuffer(stream.read(held), dtype=dtype)
    return flat.reshape(shape, order="F" if fortran else "C").astype(dtype.newbyteorder("="))
