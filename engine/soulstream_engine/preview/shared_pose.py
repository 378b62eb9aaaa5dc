"""One pose and one status in memory that two processes share; the newest wins and the writer never waits.

A sequence number is odd while a record is being written, and a checksum catches the rest, so a reader either gets a
whole item or none. One item is one dancer: root, joints and face never travel apart.
"""

from __future__ import annotations

import sys
import zlib
from dataclasses import dataclass
from multiprocessing import resource_tracker, shared_memory

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.errors import InvariantError
from soulstream_engine.frames import PoseFrame, Provenance, StatusSnapshot
from soulstream_engine.motion.skeleton import NUM_JOINTS

F32 = NDArray[np.float32]

_PROVENANCES = tuple(Provenance)
_RETRIES = 3

_POSE = np.dtype(
    [
        ("sequence", "<u8"),
        ("checksum", "<u8"),
        ("index", "<i8"),
        ("media_time_s", "<f8"),
        ("provenance", "<i8"),
        ("root_m", "<f4", (3,)),
        ("joint_wxyz", "<f4", (NUM_JOINTS, 4)),
        ("face", "<f4", (52,)),
        ("contacts", "<f4", (4,)),
    ],
)
_STATUS = np.dtype(
    [
        ("sequence", "<u8"),
        ("checksum", "<u8"),
        *((name, "<i8") for name in ("frames_sent", "dropped", "duplicated", "generated", "held", "blended", "idle")),
        *((name, "<f8") for name in ("late_ms_p99", "tempo_bpm", "confidence", "level_dbfs")),
        ("is_silent", "<i8"),
        ("state", "S64"),
        ("reason", "S192"),
    ],
)
_PAGE = np.dtype([("port", "<i8")])
_HEADER_BYTES = 16  # sequence and checksum: not part of what the checksum covers


@dataclass(frozen=True, slots=True)
class SharedPose:
    """A pose as it was read: the frame, and its media time in seconds."""

    frame: PoseFrame
    media_time_s: float


class _Record:
    """A structured record in shared bytes, written and read whole."""

    def __init__(self, data: memoryview, layout: np.dtype[np.void]) -> None:
        self._bytes = np.frombuffer(data, dtype=np.uint8)
        self._payload = data[_HEADER_BYTES:]
        self.fields = np.frombuffer(data, dtype=layout)
        self._layout = layout
        self._header = np.frombuffer(data[:_HEADER_BYTES], dtype="<u8")
        self._seen = 0

    def begin(self) -> None:
        """Mark the record as being written."""
        self._header[0] += 1 if self._header[0] % 2 == 0 else 2

    def end(self) -> None:
        """Mark the record as whole."""
        self._header[1] = zlib.crc32(self._payload)
        self._header[0] += 1

    def read(self) -> NDArray[np.void] | None:
        """A copy of the record if it is whole and was not read before."""
        for _ in range(_RETRIES):
            before = int(self._header[0])
            if before % 2 or before == self._seen:
                continue
            copy = self._bytes.copy()
            if int(self._header[0]) == before and zlib.crc32(copy[_HEADER_BYTES:].data) == int(
                copy[8:16].view("<u8")[0]
            ):
                self._seen = before
                return copy.view(self._layout)
        return None

    def release(self) -> None:
        """Let go of the shared bytes, so that they can be closed."""
        del self._bytes, self.fields, self._header
        self._payload.release()


class PoseMemory:
    """The shared memory. One process makes it and writes; another opens it by ``name`` and reads.

    Args:
        name: Name of an existing memory, or ``None`` to make one.

    Raises:
        FileNotFoundError: If no memory of that name exists.
    """

    def __init__(self, name: str | None = None) -> None:
        size = _POSE.itemsize + _STATUS.itemsize + _PAGE.itemsize
        self._is_owner = name is None
        self._memory = _open(name, size)
        data = self._memory.buf
        if data is None:
            raise InvariantError("PREVIEW_MEMORY_CLOSED", f"Shared memory {self._memory.name} is closed.")
        middle, end = _POSE.itemsize, _POSE.itemsize + _STATUS.itemsize
        self._pose = _Record(data[:middle], _POSE)
        self._status = _Record(data[middle:end], _STATUS)
        self._page = np.frombuffer(data[end:size], dtype=_PAGE)
        self._is_open = True

    @property
    def name(self) -> str:
        """Name by which another process opens it."""
        return self._memory.name

    @property
    def page_port(self) -> int:
        """Port on which the reader serves its page; 0 until it does."""
        return int(self._page["port"][0]) if self._is_open else 0

    @page_port.setter
    def page_port(self, port: int) -> None:
        self._page["port"] = port

    def write_pose(self, frame: PoseFrame, media_time_s: float) -> None:
        """Publish a pose. Live: one writer thread; never waits, a few microseconds."""
        fields = self._pose.fields
        self._pose.begin()
        fields["index"] = frame.index
        fields["media_time_s"] = media_time_s
        fields["provenance"] = _PROVENANCES.index(frame.provenance)
        fields["root_m"] = frame.root_m
        fields["joint_wxyz"] = frame.joint_wxyz
        fields["face"] = frame.face
        fields["contacts"] = frame.contacts
        self._pose.end()

    def read_pose(self) -> SharedPose | None:
        """The newest pose, or ``None`` if there is none since the last call (or it is just being written)."""
        copy = self._pose.read()
        if copy is None:
            return None
        item = copy[0]
        provenance = _PROVENANCES[int(item["provenance"]) % len(_PROVENANCES)]
        root_m, joint_wxyz, face, contacts = (np.array(item[n]) for n in ("root_m", "joint_wxyz", "face", "contacts"))
        frame = PoseFrame(int(item["index"]), root_m, joint_wxyz, face, contacts, provenance)
        return SharedPose(frame, float(item["media_time_s"]))

    def write_status(self, status: StatusSnapshot) -> None:
        """Publish a status. One writer thread; never waits."""
        fields = self._status.fields
        self._status.begin()
        for name in _STATUS.names[2:] if _STATUS.names else ():
            value = getattr(status, name)
            if name == "tempo_bpm":
                value = np.nan if value is None else value
            fields[name] = value.encode("utf-8")[:191] if isinstance(value, str) else value
        self._status.end()

    def read_status(self) -> StatusSnapshot | None:
        """The newest status, or ``None`` if there is none since the last call."""
        copy = self._status.read()
        if copy is None or _STATUS.names is None:
            return None
        values = {name: copy[0][name].item() for name in _STATUS.names[2:]}
        tempo = values.pop("tempo_bpm")
        texts = {name: values.pop(name).decode("utf-8", "replace") for name in ("state", "reason")}
        is_silent = bool(values.pop("is_silent"))
        return StatusSnapshot(**values, **texts, is_silent=is_silent, tempo_bpm=None if np.isnan(tempo) else tempo)

    def close(self) -> None:
        """Let go of the memory; the process that made it removes it. A second call does nothing."""
        if not self._is_open:
            return
        self._is_open = False
        self._pose.release()
        self._status.release()
        del self._page
        self._memory.close()
        if self._is_owner:
            self._memory.unlink()


def _open(name: str | None, size: int) -> shared_memory.SharedMemory:
    """Make a memory, or open one without becoming responsible for removing it."""
    if name is None:
        return shared_memory.SharedMemory(create=True, size=size)
    if sys.version_info >= (3, 13):
        return shared_memory.SharedMemory(name, track=False)
    memory = shared_memory.SharedMemory(name)
    # Before Python 3.13 whoever opens a memory is registered to remove it when it ends; only its maker should.
    resource_tracker.unregister(memory._name, "shared_memory")  # type: ignore[attr-defined]
    return memory
