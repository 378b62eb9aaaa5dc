"""Reads npz archives from anywhere without trusting them: sizes and types are checked before anything is unpacked.

Not for: hashes and manifests (``bundle``). Nothing here runs code from a file; object arrays are refused.
"""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from soulstream_engine.errors import BundleError

DEFAULT_MAX_BYTES = 256 * 1024 * 1024
"""Unpacked size allowed for one archive unless the caller says otherwise, bytes. Source: ours."""

MAX_MEMBERS = 1024
"""Arrays allowed in one archive. Source: ours; a bundle has a few dozen."""

MAX_RATIO = 100
"""Unpacked over packed size allowed for members above ``RATIO_FREE_BYTES``. Source: ours; zeros pack 1:1025."""

RATIO_FREE_BYTES = 1024 * 1024
"""Members up to this size may pack as well as they like (small arrays of zeros are legitimate), bytes."""

MAX_HEADER_BYTES = 4096
"""Longest array header accepted, bytes. Source: ours; a plain header has 118."""

ALLOWED_DTYPES = (
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "bool",
)
"""Element types that may be read; everything else (objects, strings, records) is refused."""


_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(ValueError, OverflowError, NotImplementedError, RuntimeError),
)
"""Everything that zipfile raises on damaged archives; found by damaging them."""


def read_arrays(source: str | Path | bytes, *, max_bytes: int = DEFAULT_MAX_BYTES) -> dict[str, NDArray[Any]]:
    """Reads every array of an npz archive.

    Args:
        source: Path of the archive, or its bytes.
        max_bytes: Most unpacked bytes of all arrays together.

    Returns:
        Arrays by name, each of a dtype in ``ALLOWED_DTYPES``, native byte order, writable.

    Raises:
        BundleError: If the archive is missing, is not an npz, holds anything but plain arrays of allowed types, or is
            larger than ``max_bytes`` or than the caps of this module. Declared sizes are checked before unpacking.

    Source: ours; the archive may come from anyone.
    Live: not live.
    """
    if isinstance(source, bytes):
        label, data = "the archive", source
    else:
        label, data = f"'{source}'", _read_capped(Path(source), max_bytes)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _checked_members(archive, label, max_bytes)
            return {name: _read_member(archive, info, label) for name, info in members.items()}
    except _DAMAGED as error:
        raise BundleError(
            "ARRAYS_CORRUPT", f"{label} is not a readable npz archive: {error}.", "Fetch or export the file again."
        ) from error


def _read_capped(path: Path, max_bytes: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise BundleError(
                "ARRAYS_TOO_LARGE",
                f"'{path}' has {size} bytes, {max_bytes} are allowed.",
                "Use a smaller file; archives this large do not come from soulstream.",
            )
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            "ARRAYS_MISSING", f"'{path}' cannot be read: {error.strerror}.", "Check the path and its permissions."
        ) from error


def _checked_members(archive: zipfile.ZipFile, label: str, max_bytes: int) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise _refused(label, f"it holds {len(infos)} members, {MAX_MEMBERS} are allowed")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename
        if not name.endswith(".npy") or PurePosixPath(name).name != name or "\\" in name or name.startswith("."):
            raise _refused(label, f"member {name!r} is not a plain array name")
        if name[:-4] in members:
            raise _refused(label, f"member {name!r} appears twice")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 0x1:
            raise _refused(label, f"member {name!r} is encrypted or packed by an unknown method")
        if info.file_size > RATIO_FREE_BYTES and info.file_size > MAX_RATIO * max(info.compress_size, 1):
            ratio = info.file_size // max(info.compress_size, 1)
            raise _refused(label, f"member {name!r} unpacks to {ratio} times its size, {MAX_RATIO} are allowed")
        members[name[:-4]] = info
    total = sum(info.file_size for info in infos)
    if total > max_bytes:
        raise BundleError(
            "ARRAYS_TOO_LARGE",
            f"{label} unpacks to {total} bytes, {max_bytes} are allowed.",
            "Use a smaller file; archives this large do not come from soulstream.",
        )
    return members


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, label: str) -> NDArray[Any]:
    with archive.open(info) as stream:
        data = stream.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise _refused(label, f"member {info.filename!r} declares {info.file_size} bytes and holds {len(data)}")
    header = io.BytesIO(data)
    try:
        version = npy.read_magic(header)
        if version == (1, 0):
            shape, fortran, dtype = npy.read_array_header_1_0(header, max_header_size=MAX_HEADER_BYTES)
        elif version == (2, 0):
            shape, fortran, dtype = npy.read_array_header_2_0(header, max_header_size=MAX_HEADER_BYTES)
        else:
            raise _refused(label, f"member {info.filename!r} has array format {version}, 1.0 and 2.0 are read")
    except (ValueError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as error:
        raise _refused(label, f"member {info.filename!r} has a bad array header ({type(error).__name__})") from error
    if dtype.hasobject or dtype.name not in ALLOWED_DTYPES:
        raise _refused(label, f"member {info.filename!r} has type {dtype}, allowed are {', '.join(ALLOWED_DTYPES)}")
    offset = header.tell()
    expected = math.prod(shape) * dtype.itemsize
    if any(n < 0 for n in shape) or expected != len(data) - offset:
        raise _refused(
            label, f"member {info.filename!r} says shape {shape} {dtype} and holds {len(data) - offset} bytes"
        )
    flat = np.frombuffer(data, dtype=dtype, offset=offset)
    return flat.reshape(shape, order="F" if fortran else "C").astype(dtype.newbyteorder("="))


def _refused(label: str, why: str) -> BundleError:
    return BundleError(
        "ARRAYS_REFUSED", f"{label} was refused: {why}.", "Use files made by soulstream-export or soulstream render."
    )
