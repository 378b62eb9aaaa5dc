"""The motion store: one npz a clip and ``index.json``; what training reads instead of raw recordings.

Not for making it (``prepare.py``). Each npz holds plain arrays: ``root_m`` [N, 3], ``joint_wxyz`` [N, 22, 4],
``segments`` [S, 2], ``captured`` [52] and, where fingers were captured, ``finger_wxyz`` [N, 30, 4]. Files are only ever
replaced whole, so any number of training processes may read them.

Letters: ``N`` frames at 30 fps, ``S`` clean segments.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.bundle import read_arrays
from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.representation import encode_body
from soulstream_engine.motion.skeleton import NUM_BODY_JOINTS, NUM_JOINTS
from soulstream_training.data.clips import PAIRING_CLASSES, SPLITS

STORE_FORMAT = 2
"""Version of the layout on disk."""

INDEX_NAME = "index.json"
MAX_CLIP_BYTES = 256_000_000
MAX_INDEX_BYTES = 64_000_000
MIN_ENCODED_FRAMES = 2

_REMEDY = "Run the preparation again into an empty folder."


@dataclass(frozen=True, slots=True)
class ClipEntry:
    """What the index says about a clip.

    Attributes:
        clip_id: Unique name; the arrays are in ``<clip_id>.npz``.
        input_hash: Hash of everything the arrays were made from.
        split: ``train``, ``val``, ``test`` or ``aux``.
        pairing_class: ``A``, ``B``, ``C`` or ``none``.
        style: Style label.
        tempo_bpm: Beats a minute where known from the motion.
        partner_id: Other dancer of the same take, or empty.
        performer: Performer label.
        num_frames: Frames at 30 fps.
        num_clean_frames: Frames inside clean segments.
        format: Format of the recording, as in the clip table.
        licence: Licence id, as in the clip table.
        foot_slide_mps: Mean horizontal speed of planted feet, metres a second.
        source_slide_mps: The same of the recording's own feet in the same frames, scaled; 0 where it has none.
        jitter_mps3: Mean jerk of the joints, metres a second cubed.
        limit_share: Share of clean frames with a joint beyond what a human can do.
        floor_penetration_m: 99th percentile of how far a joint is under the floor, metres.
    """

    clip_id: str
    input_hash: str
    split: str
    pairing_class: str
    style: str
    tempo_bpm: float | None
    partner_id: str
    performer: str
    num_frames: int
    num_clean_frames: int
    format: str = ""
    licence: str = ""
    foot_slide_mps: float = 0.0
    source_slide_mps: float = 0.0
    jitter_mps3: float = 0.0
    limit_share: float = 0.0
    floor_penetration_m: float = 0.0


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip of the store.

    Attributes:
        entry: Its line of the index.
        root_m: [N, 3] float32, pelvis in metres, floor at 0.
        joint_wxyz: [N, 22, 4] float32, parent-local unit rotations, joint 0 in the world.
        segments: [S, 2] int32, half-open ranges of clean frames.
        captured: [52] bool, joints that were captured; the others follow their parent and are nobody's motion.
        finger_wxyz: [N, 30, 4] float32, parent-local rotations of joints 22..51, or ``None`` without fingers.
    """

    entry: ClipEntry
    root_m: NDArray[np.float32]
    joint_wxyz: NDArray[np.float32]
    segments: NDArray[np.int32]
    captured: NDArray[np.bool_]
    finger_wxyz: NDArray[np.float32] | None = None


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
    }
    if "finger_wxyz" in arrays:
        expected["finger_wxyz"] = ((num_frames, NUM_JOINTS - NUM_BODY_JOINTS, 4), np.float32)
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
        finger_wxyz=arrays.get("finger_wxyz"),
    )


def save_clip(
    folder: Path,
    clip_id: str,
    *,
    root_m: NDArray[np.float32],
    joint_wxyz: NDArray[np.float32],
    segments: NDArray[np.int32],
    captured: NDArray[np.bool_] | None = None,
) -> None:
    """Writes the arrays of one clip, whole or not at all.

    Args:
        folder: The store.
        clip_id: Plain name of the clip.
        root_m: [N, 3] float32.
        joint_wxyz: [N, 22 or 52, 4] float32.
        segments: [S, 2] int32.
        captured: [52] bool; all joints of ``joint_wxyz`` if ``None``.
    """
    path = clip_path(folder, clip_id)
    if captured is None:
        captured = np.arange(NUM_JOINTS) < joint_wxyz.shape[1]
    arrays: dict[str, NDArray[Any]] = {
        "root_m": root_m,
        "joint_wxyz": joint_wxyz[:, :NUM_BODY_JOINTS],
        "segments": segments,
    }
    arrays["captured"] = captured
    if joint_wxyz.shape[1] == NUM_JOINTS:
        arrays["finger_wxyz"] = joint_wxyz[:, NUM_BODY_JOINTS:]
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
    os.replace(partial, path)


def read_index(folder: Path) -> list[ClipEntry]:
    """Reads the index of a store.

    Args:
        folder: The store.

    Returns:
        Its entries.

    Raises:
        ConfigError: If there is no index, or it is of another format or inconsistent.
    """
    path = folder / INDEX_NAME
    try:
        if path.stat().st_size > MAX_INDEX_BYTES:
            raise _refuse(path, f"is larger than {MAX_INDEX_BYTES} bytes")
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _refuse(path, f"cannot be read ({error})") from error
    if not isinstance(document, dict) or document.get("format") != STORE_FORMAT:
        raise _refuse(path, f"is not of format {STORE_FORMAT}")
    records = document.get("clips")
    if not isinstance(records, list):
        raise _refuse(path, "has no list of clips")
    return [_entry(path, number, record) for number, record in enumerate(records)]


def write_index(folder: Path, entries: Sequence[ClipEntry]) -> None:
    """Writes the index, whole or not at all.

    Args:
        folder: The store.
        entries: Its clips.
    """
    document = {"format": STORE_FORMAT, "clips": [asdict(entry) for entry in entries]}
    partial = folder / f"{INDEX_NAME}.partial"
    partial.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(partial, folder / INDEX_NAME)


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


def _entry(path: Path, number: int, record: Any) -> ClipEntry:
    try:
        entry = ClipEntry(**record)
    except TypeError as error:
        raise _refuse(path, f"entry {number} has other fields than expected ({error})") from error
    labels = (entry.style, entry.partner_id, entry.performer, entry.format, entry.licence)
    texts = (entry.clip_id, entry.input_hash, *labels)
    counts = (entry.num_frames, entry.num_clean_frames)
    if not all(isinstance(text, str) for text in texts) or not all(type(count) is int for count in counts):
        raise _refuse(path, f"entry {number} has a field of the wrong type")
    if entry.split not in SPLITS or entry.pairing_class not in PAIRING_CLASSES:
        raise _refuse(path, f"entry {number} has split '{entry.split}' and class '{entry.pairing_class}'")
    if entry.tempo_bpm is not None and not isinstance(entry.tempo_bpm, int | float):
        raise _refuse(path, f"entry {number} has tempo '{entry.tempo_bpm}'")
    return entry


def _refuse(path: Path, message: str) -> ConfigError:
    return ConfigError("STORE_INVALID", f"'{path.name}' {message}.", _REMEDY)
