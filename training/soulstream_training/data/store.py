"""The motion store: one npz a clip and ``index.json``; what training reads instead of raw recordings.

Not for making it (``prepare.py``). Each npz holds plain arrays: ``root_m`` [N, 3], ``joint_wxyz`` [N, 22, 4],
``segments`` [S, 2], ``captured`` [52], ``finger_wxyz`` [N, 30, 4], ``face`` [N, F] and ``synthetic`` [N, 2]. Files are
only ever replaced whole, so any number of training processes may read them. The index is read by ``store_index``.

Letters: ``N`` frames at 30 fps, ``S`` clean segments, ``F`` face values.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.bundle import read_arrays
from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.faces import ARKIT_NAMES, face_dim
from soulstream_engine.motion.representation import encode_body
from soulstream_engine.motion.skeleton import NUM_BODY_JOINTS, NUM_JOINTS
from soulstream_training.data.atomic import write_npz
from soulstream_training.data.clips import SPLITS
from soulstream_training.data.store_index import INDEX_NAME as INDEX_NAME
from soulstream_training.data.store_index import JOURNAL_NAME as JOURNAL_NAME
from soulstream_training.data.store_index import STORE_FORMAT as STORE_FORMAT
from soulstream_training.data.store_index import ClipEntry as ClipEntry
from soulstream_training.data.store_index import append_journal as append_journal
from soulstream_training.data.store_index import close_journal as close_journal
from soulstream_training.data.store_index import read_index as read_index
from soulstream_training.data.store_index import read_known as read_known
from soulstream_training.data.store_index import write_index as write_index

MAX_CLIP_BYTES = 256_000_000
MIN_ENCODED_FRAMES = 2

_REMEDY = "Run the preparation again into an empty folder."


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip of the store.

    Attributes:
        entry: Its line of the index.
        root_m: [N, 3] float32, pelvis in metres, floor at 0.
        joint_wxyz: [N, 22, 4] float32, parent-local unit rotations, joint 0 in the world.
        segments: [S, 2] int32, half-open ranges of clean frames.
        captured: [52] bool, joints that were captured; the others follow their parent and are nobody's motion.
        finger_wxyz: [N, 30, 4] float32, parent-local unit rotations of joints 22..51.
        face: [N, F] float32, in the entry's ``face_space``.
        synthetic: [N, 2] bool, frames whose hands, and whose face, nobody captured: made by rule, or empty.
    """

    entry: ClipEntry
    root_m: NDArray[np.float32]
    joint_wxyz: NDArray[np.float32]
    segments: NDArray[np.int32]
    captured: NDArray[np.bool_]
    finger_wxyz: NDArray[np.float32]
    face: NDArray[np.float32]
    synthetic: NDArray[np.bool_]


def body_rows(clip: Clip) -> list[NDArray[np.float32]]:
    """Encodes the clean segments of a clip as body features.

    Args:
        clip: A clip.

    Returns:
        For each segment of ``n`` frames the rows [n - 1, 263] float32; row t leads from frame t to t + 1.
    """
    rows = []
    for start, stop in clip.segments.tolist():
        if stop - start >= MIN_ENCODED_FRAMES:
            encoded = encode_body(clip.root_m[start:stop], clip.joint_wxyz[start:stop])
            rows.append(np.asarray(encoded, dtype=np.float32))
    return rows


def load_store(folder: Path, splits: Sequence[str] = SPLITS) -> list[Clip]:
    """Loads a store into memory.

    Args:
        folder: Folder made by the preparation.
        splits: Splits to load.

    Returns:
        The clips in index order.

    Raises:
        ConfigError: If the index or a clip is missing, of another format, or inconsistent.
        BundleError: If an archive is broken or holds anything but plain arrays.
    """
    return [load_clip(folder, entry) for entry in read_index(folder) if entry.split in splits]


def load_clip(folder: Path, entry: ClipEntry) -> Clip:
    """Loads one clip.

    Args:
        folder: The store.
        entry: Its line of the index.

    Returns:
        The clip, shapes and values checked.

    Raises:
        ConfigError: If the arrays do not fit the index.
        BundleError: If the archive is broken or holds anything but plain arrays.
    """
    path = clip_path(folder, entry.clip_id)
    arrays = read_arrays(path, max_bytes=MAX_CLIP_BYTES)
    num_frames = entry.num_frames
    expected: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
        "root_m": ((num_frames, 3), np.float32),
        "joint_wxyz": ((num_frames, NUM_BODY_JOINTS, 4), np.float32),
        "segments": ((len(arrays.get("segments", ())), 2), np.int32),
        "captured": ((NUM_JOINTS,), np.bool_),
        "finger_wxyz": ((num_frames, NUM_JOINTS - NUM_BODY_JOINTS, 4), np.float32),
        "face": ((num_frames, face_dim(entry.face_space)), np.float32),
        "synthetic": ((num_frames, 2), np.bool_),
    }
    for name, (shape, dtype) in expected.items():
        if name not in arrays or arrays[name].shape != shape or arrays[name].dtype != dtype:
            found = f"{arrays[name].dtype}{list(arrays[name].shape)}" if name in arrays else "nothing"
            raise _refuse(path, f"holds {found} as '{name}', expected {np.dtype(dtype)}{list(shape)}")
        if not np.isfinite(arrays[name]).all():
            raise _refuse(path, f"holds values in '{name}' that are not finite")
    flat = arrays["segments"].ravel()
    if len(flat) and (flat[0] < 0 or flat[-1] > num_frames or (np.diff(flat) < 0).any()):
        raise _refuse(path, f"has segments out of order or outside of {num_frames} frames")
    return Clip(
        entry=entry,
        root_m=arrays["root_m"],
        joint_wxyz=arrays["joint_wxyz"],
        segments=arrays["segments"],
        captured=arrays["captured"],
        finger_wxyz=arrays["finger_wxyz"],
        face=arrays["face"],
        synthetic=arrays["synthetic"],
    )


def save_clip(
    folder: Path,
    clip_id: str,
    *,
    root_m: NDArray[np.float32],
    joint_wxyz: NDArray[np.float32],
    segments: NDArray[np.int32],
    captured: NDArray[np.bool_] | None = None,
    finger_wxyz: NDArray[np.float32] | None = None,
    face: NDArray[np.float32] | None = None,
    synthetic: NDArray[np.bool_] | None = None,
) -> int:
    """Writes the arrays of one clip, whole or not at all.

    Args:
        folder: The store.
        clip_id: Plain name of the clip.
        root_m: [N, 3] float32.
        joint_wxyz: [N, 22, 4] float32.
        segments: [S, 2] int32.
        captured: [52] bool; the body if ``None``.
        finger_wxyz: [N, 30, 4] float32; at rest if ``None``.
        face: [N, F] float32; an ``arkit52`` face at rest if ``None``.
        synthetic: [N, 2] bool, hands and face; all true if ``None``.

    Returns:
        Size of the file in bytes.
    """
    num_frames = len(root_m)
    if captured is None:
        captured = np.arange(NUM_JOINTS) < NUM_BODY_JOINTS
    if finger_wxyz is None:
        rest = np.array([1.0, 0.0, 0.0, 0.0], dtype=np.float32)
        finger_wxyz = np.tile(rest, (num_frames, NUM_JOINTS - NUM_BODY_JOINTS, 1))
    arrays: dict[str, NDArray[Any]] = {
        "root_m": root_m,
        "joint_wxyz": joint_wxyz,
        "segments": segments,
        "captured": captured,
        "finger_wxyz": finger_wxyz,
        "face": np.zeros((num_frames, len(ARKIT_NAMES)), np.float32) if face is None else face,
        "synthetic": np.ones((num_frames, 2), np.bool_) if synthetic is None else synthetic,
    }
    return write_npz(clip_path(folder, clip_id), **arrays)


def is_whole(folder: Path, entry: ClipEntry) -> bool:
    """Whether the file of a clip is there and not cut off, by its size, without opening it if the size is known.

    Args:
        folder: The store.
        entry: The clip.

    Returns:
        True if it need not be made again.
    """
    path = clip_path(folder, entry.clip_id)
    try:
        size = path.stat().st_size
    except OSError:
        return False
    return size == entry.size if entry.size else zipfile.is_zipfile(path)


def remove_clips(folder: Path, clip_ids: Iterable[str]) -> None:
    """Deletes the arrays of clips that are no longer part of the store; what is not there is passed over.

    Args:
        folder: The store.
        clip_ids: Plain names of the clips.

    Raises:
        ConfigError: If a name could point elsewhere.
    """
    for clip_id in clip_ids:
        clip_path(folder, clip_id).unlink(missing_ok=True)


def clip_path(folder: Path, clip_id: str) -> Path:
    """Where a clip's arrays lie.

    Args:
        folder: The store.
        clip_id: Plain name of the clip.

    Returns:
        Path of the npz.

    Raises:
        ConfigError: If the name could point elsewhere.
    """
    if not clip_id or clip_id.startswith(".") or not all(letter.isalnum() or letter in "_-." for letter in clip_id):
        raise ConfigError("STORE_INVALID", f"'{clip_id[:60]}' is not a plain clip name.", _REMEDY)
    return folder / f"{clip_id}.npz"


def _refuse(path: Path, message: str) -> ConfigError:
    return ConfigError("STORE_INVALID", f"'{path.name}' {message}.", _REMEDY)
