"""The lists of a motion store: its index, the clips that were rejected, and the journal of a run that was stopped.

While a store is being made, ``journal.jsonl`` holds a line for every clip that is done and not in the index yet, so
that a stop at any time repeats nothing; ``rejected.json`` lists the clips that were made and are not good enough, for
the same reason. Lists are only ever replaced whole. Not for the arrays of clips (``store``). Letters: none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.faces import FACE_SPACES
from soulstream_training.data.atomic import write_text
from soulstream_training.data.clips import PAIRING_CLASSES, SPLITS

STORE_FORMAT = 3
"""Version of the layout on disk."""

INDEX_NAME = "index.json"
JOURNAL_NAME = "journal.jsonl"
REJECTED_NAME = "rejected.json"
MAX_INDEX_BYTES = 128_000_000
"""Largest index read; ``clips.MAX_ROWS`` clips fit in."""

_REMEDY = "Run the preparation again into an empty folder."
_MISSING_REMEDY = "Run soulstream-train data prepare first, or name its store with --store."
_KNOWN_REMEDY = "Delete it to have every clip made again, or give another folder."


@dataclass(frozen=True, slots=True)
class ClipEntry:
    """What the index says about a clip.

    Attributes:
        clip_id: Unique name; the arrays are in ``<clip_id>.npz``.
        input_hash: Hash of everything the arrays were made from.
        split: ``train``, ``val``, ``test`` or ``aux``.
        pairing_class: ``A``, ``B``, ``C``, ``real`` or ``none``.
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
        recording: Hash of what the motion file holds and the number of the dancer, whatever it is called and however it
            was prepared; empty in a store from before there was one, as the next three.
        song: Hash of the music file, or empty without one.
        take: One name for all who dance together, or empty for who dances alone.
        size: Bytes of the npz; 0 if unknown.
        unused_face: Space of a captured face that is not in this set, because its face space is another; or empty.
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
    recording: str = ""
    song: str = ""
    take: str = ""
    size: int = 0
    unused_face: str = ""


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
    document = _document(path)
    if document is None:
        raise ConfigError("STORE_MISSING", f"'{folder}' holds no store: there is no {INDEX_NAME}.", _MISSING_REMEDY)
    return _listed(path, document)


def write_index(folder: Path, entries: Sequence[ClipEntry]) -> None:
    """Writes the index, whole or not at all.

    Args:
        folder: The store.
        entries: Its clips.
    """
    _write_list(folder / INDEX_NAME, entries)


def write_rejected(folder: Path, entries: Sequence[ClipEntry]) -> None:
    """Writes which clips were made and are not good enough, so that they are not made again; whole or not at all.

    Args:
        folder: The store.
        entries: The clips.
    """
    _write_list(folder / REJECTED_NAME, entries)


def append_journal(folder: Path, entry: ClipEntry) -> None:
    """Notes a clip that is done, before the index is written: one line, whatever the size of the set.

    Args:
        folder: The store.
        entry: Its line of the index.
    """
    with (folder / JOURNAL_NAME).open("a+b") as stream:
        if stream.seek(0, os.SEEK_END):
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":  # a stopped run left a torn line
                stream.write(b"\n")
        stream.write(json.dumps(asdict(entry)).encode() + b"\n")


def read_known(folder: Path) -> dict[str, ClipEntry]:
    """Every clip that is done: those of the index, those rejected, and those that a stopped run noted after them.

    Args:
        folder: The store; it may be empty, or of an older format, whose clips are not known then.

    Returns:
        Entries by clip id. Torn lines of the journal are passed over.

    Raises:
        ConfigError: If a list is too large, broken or of a newer format.
    """
    known: dict[str, ClipEntry] = {}
    for path in (folder / REJECTED_NAME, folder / INDEX_NAME):
        document = _document(path, _KNOWN_REMEDY)
        if document is not None and not _is_older(document):
            known |= {entry.clip_id: entry for entry in _listed(path, document, _KNOWN_REMEDY)}
    path = folder / JOURNAL_NAME
    if path.is_file():
        for number, line in enumerate(path.read_bytes().split(b"\n")):
            try:
                entry = _entry(path, number, json.loads(line))
            except (ValueError, RecursionError, ConfigError):  # torn, or of an older format
                continue
            known[entry.clip_id] = entry
    return known


def close_journal(folder: Path) -> None:
    """Removes the journal, once the index says the same."""
    (folder / JOURNAL_NAME).unlink(missing_ok=True)


def _document(path: Path, remedy: str = _REMEDY) -> dict[str, Any] | None:
    """What a list of clips says, not yet checked; ``None`` if there is no such file."""
    try:
        if path.stat().st_size > MAX_INDEX_BYTES:
            raise _refuse(path, f"is larger than {MAX_INDEX_BYTES} bytes", remedy)
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise _refuse(path, f"cannot be read ({error})", remedy) from error
    if not isinstance(document, dict):
        raise _refuse(path, "is not a list of clips", remedy)
    return document


def _is_older(document: dict[str, Any]) -> bool:
    number = document.get("format")
    return type(number) is int and number < STORE_FORMAT


def _listed(path: Path, document: dict[str, Any], remedy: str = _REMEDY) -> list[ClipEntry]:
    """The checked entries of a list."""
    if document.get("format") != STORE_FORMAT:
        raise _refuse(path, f"is not of format {STORE_FORMAT}", remedy)
    records = document.get("clips")
    if not isinstance(records, list):
        raise _refuse(path, "has no list of clips", remedy)
    return [_entry(path, number, record, remedy) for number, record in enumerate(records)]


def _write_list(path: Path, entries: Sequence[ClipEntry]) -> None:
    document = {"format": STORE_FORMAT, "clips": [asdict(entry) for entry in entries]}
    write_text(path, json.dumps(document, indent=1, sort_keys=True) + "\n")


def _entry(path: Path, number: int, record: Any, remedy: str = _REMEDY) -> ClipEntry:
    try:
        entry = ClipEntry(**record)
    except TypeError as error:
        raise _refuse(path, f"entry {number} has other fields than expected ({error})", remedy) from error
    labels = (entry.style, entry.partner_id, entry.performer, entry.format, entry.licence, entry.music)
    marks = (entry.recording, entry.song, entry.take, entry.unused_face)
    texts = (entry.clip_id, entry.input_hash, *labels, *marks, entry.hands, entry.face, entry.face_space)
    counts = (entry.num_frames, entry.num_clean_frames, entry.size)
    if not all(isinstance(text, str) for text in texts) or not all(type(count) is int for count in counts):
        raise _refuse(path, f"entry {number} has a field of the wrong type", remedy)
    if entry.face_space not in FACE_SPACES:
        raise _refuse(path, f"entry {number} has face space '{entry.face_space}'", remedy)
    if entry.split not in SPLITS or entry.pairing_class not in PAIRING_CLASSES:
        raise _refuse(path, f"entry {number} has split '{entry.split}' and class '{entry.pairing_class}'", remedy)
    if entry.tempo_bpm is not None and not isinstance(entry.tempo_bpm, int | float):
        raise _refuse(path, f"entry {number} has tempo '{entry.tempo_bpm}'", remedy)
    return entry


def _refuse(path: Path, message: str, remedy: str = _REMEDY) -> ConfigError:
    return ConfigError("STORE_INVALID", f"'{path.name}' {message}.", remedy)
