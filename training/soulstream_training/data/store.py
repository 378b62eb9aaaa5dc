"""The motion store: one npz a clip and ``index.json``; what training reads instead of raw recordings.

Not for making it (``prepare.py``). Each npz holds plain arrays: ``root_m`` [N, 3], ``joint_wxyz`` [N, 22, 4],
``segments`` [S, 2], ``captured`` [52], ``finger_wxyz`` [N, 30, 4], ``face`` [N, F] and ``synthetic`` [N, 2]. Files are
only ever replaced whole, so any number of training processes may read them. While it is being made, ``journal.jsonl``
holds a line for every clip that is done and not in the index yet, so that a stop at any time repeats nothing.

Letters: ``N`` frames at 30 fps, ``S`` clean segments, ``F`` face values.
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
from soulstream_engine.motion.faces import ARKIT_NAMES, FACE_SPACES, face_dim
from soulstream_engine.motion.representation import encode_body
from soulstream_engine.motion.skeleton import NUM_BODY_JOINTS, NUM_JOINTS
from soulstream_training.data.clips import PAIRING_CLASSES, SPLITS

STORE_FORMAT = 3
"""Version of the layout on disk."""

INDEX_NAME = "index.json"
JOURNAL_NAME = "journal.jsonl"
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
        hands: ``captured``, or ``rule`` where they were made by one.
        face: The same of the face; ``none`` where nothing is known and no rule makes one.
        face_space: What the columns of the face are.
        music: Recording it was danced to, as in the clip table, or empty.
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
    hands: str = "rule"
    face: str = "rule"
    face_space: str = "arkit52"
    music: str = ""


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
) -> None:
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
    path = clip_path(folder, clip_id)
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


def append_journal(folder: Path, entry: ClipEntry) -> None:
    """Notes a clip that is done, before the index is written: one line, whatever the size of the set.

    Args:
        folder: The store.
        entry: Its line of the index.
    """
    with (folder / JOURNAL_NAME).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(entry)) + "\n")


def read_known(folder: Path) -> dict[str, ClipEntry]:
    """Every clip that is done: those of the index, and those that a stopped run noted after it.

    Args:
        folder: The store; it may be empty, or of an older format, whose clips are not known then.

    Returns:
        Entries by clip id.
    """
    try:
        known = {entry.clip_id: entry for entry in read_index(folder)}
    except ConfigError:
        known = {}
    path = folder / JOURNAL_NAME
    if path.is_file():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(keepends=True)):
            if line.endswith("\n"):  # the last line may be torn
                entry = _entry(path, number, json.loads(line))
                known[entry.clip_id] = entry
    return known


def close_journal(folder: Path) -> None:
    """Removes the journal, once the index says the same."""
    (folder / JOURNAL_NAME).unlink(missing_ok=True)


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
    labels = (entry.style, entry.partner_id, entry.performer, entry.format, entry.licence, entry.music)
    texts = (entry.clip_id, entry.input_hash, *labels, entry.hands, entry.face, entry.face_space)
    counts = (entry.num_frames, entry.num_clean_frames)
    if not all(isinstance(text, str) for text in texts) or not all(type(count) is int for count in counts):
        raise _refuse(path, f"entry {number} has a field of the wrong type")
    if entry.face_space not in FACE_SPACES:
        raise _refuse(path, f"entry {number} has face space '{entry.face_space}'")
    if entry.split not in SPLITS or entry.pairing_class not in PAIRING_CLASSES:
        raise _refuse(path, f"entry {number} has split '{entry.split}' and class '{entry.pairing_class}'")
    if entry.tempo_bpm is not None and not isinstance(entry.tempo_bpm, int | float):
        raise _refuse(path, f"entry {number} has tempo '{entry.tempo_bpm}'")
    return entry


def _refuse(path: Path, message: str) -> ConfigError:
    return ConfigError("STORE_INVALID", f"'{path.name}' {message}.", _REMEDY)
