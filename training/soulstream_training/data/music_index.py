"""The music folder: one npz a rendering and ``music.json``; what training reads.

Each rendering holds ``features`` [U, F] float32, row n for frame n of the bent clip; ``source_frame`` [U] float64, the
frame of the store's clip shown there (``pairing.resample_motion(root_m, joint_wxyz, source_frame)`` makes the motion);
``beats_s`` [B] float64 seconds from frame 0; ``lock`` [U] float32 0..1, how well the motion around a frame meets the
beats, or, of a recording that was danced to, how far the beat clock trusts itself. A negative, sound without music,
holds ``features`` and the idle motion that belongs to it, ``root_m`` [U, 3] and ``joint_wxyz`` [U, 22, 4].

While music is being made, ``music.jsonl`` holds a line for everything that is done and not in the index yet; it is read
along with it. Not for making renderings (``music_dataset``).

Letters: U frames at 30 fps, F features, B beats.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.bundle import read_arrays
from soulstream_engine.errors import ConfigError
from soulstream_engine.features.layout import NUM_FEATURES
from soulstream_engine.motion.skeleton import NUM_BODY_JOINTS
from soulstream_training.data.atomic import write_text

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

INDEX_NAME = "music.json"
JOURNAL_NAME = "music.jsonl"
MAX_BYTES = 64_000_000

NEGATIVE_SHARE = 0.07
"""Share of sounds without music. Source: shared data notes, 5 to 10 %."""

_T = TypeVar("_T")
_REMEDY = "Make the music again into an empty folder."


@dataclass(frozen=True, slots=True)
class MusicEntry:
    """One rendering of one clip.

    ``name`` of the npz without its ending; ``key`` hash of clip, labels, seed and code; ``is_paired`` false: there is
    no npz and the clip trains without music, because no grid was accepted or, where there is a ``reason``, because it
    failed; a paired one has a ``reason`` where its song ends before the dance. ``is_mirrored`` true: the music was made
    for the mirror image of the clip. ``size`` of the npz in bytes. ``bpm`` of the music, ``speed`` of the motion. From
    the fit: ``shift_p refit_p on_beat residual_ms offset_ms concentration density``. From the sound: ``music_style``,
    ``drums`` and ``effects``. From the beat clock: ``clock_ms`` median and ``clock_p90_ms`` 90th percentile of its
    absolute half-beat error, ``clock_bias_ms`` its median (positive: the clock is late), ``clock_tempo`` share of rows
    within 3 % of the tempo, ``clock_ratio`` median tempo heard over the true one. Class ``real`` has neither numbers of
    a fit nor of the clock: nobody knows its beats.
    """

    name: str
    key: str
    clip_id: str
    split: str
    pairing_class: str
    rendering: int
    is_paired: bool
    is_mirrored: bool = False
    num_frames: int = 0
    bpm: float = 0.0
    speed: float = 1.0
    shift_p: float = 1.0
    refit_p: float = 1.0
    on_beat: float = 0.0
    residual_ms: float = 0.0
    offset_ms: float = 0.0
    concentration: float = 0.0
    density: float = 0.0
    music_style: str = ""
    drums: str = ""
    effects: str = ""
    clock_ms: float = 0.0
    clock_p90_ms: float = 0.0
    clock_bias_ms: float = 0.0
    clock_tempo: float = 0.0
    clock_ratio: float = 0.0
    size: int = 0
    reason: str = ""

    @property
    def is_failed(self) -> bool:
        """Whether something went wrong, which the next run tries again."""
        return not self.is_paired and self.reason != ""


@dataclass(frozen=True, slots=True)
class NegativeEntry:
    """Sound without music: ``name`` and ``size`` of the npz, ``key`` hash of the code, ``kind``, ``split``, length."""

    name: str
    key: str
    kind: str
    split: str
    num_frames: int
    size: int = 0


@dataclass(frozen=True, slots=True)
class MusicClip:
    """A rendering in memory: ``features`` [U, F], ``source_frame`` [U], ``beats_s`` [B] and ``lock`` [U]."""

    entry: MusicEntry
    features: F32
    source_frame: F64
    beats_s: F64
    lock: F32


def read_music_index(folder: Path) -> list[MusicEntry]:
    """Reads the index of a music folder.

    Args:
        folder: Made by ``build_music_dataset``.

    Returns:
        Its entries, those without music included.

    Raises:
        ConfigError: If it is missing or cannot be read.
    """
    return _records(folder, "renderings", MusicEntry)


def read_negatives(folder: Path) -> list[NegativeEntry]:
    """Reads the list of the sounds without music.

    Args:
        folder: Made by ``build_music_dataset``.

    Returns:
        Its entries.

    Raises:
        ConfigError: If the index is missing or cannot be read.
    """
    return _records(folder, "negatives", NegativeEntry)


def load_music(folder: Path, entry: MusicEntry) -> MusicClip:
    """Loads one rendering.

    Args:
        folder: Made by ``build_music_dataset``.
        entry: A line of its index with ``is_paired`` true.

    Returns:
        The rendering, shapes checked.

    Raises:
        ConfigError: If the arrays do not fit the index or the features of this version.
        BundleError: If the archive is broken.
    """
    arrays = _arrays(
        folder,
        entry.name,
        {
            "features": (entry.num_frames, NUM_FEATURES),
            "source_frame": (entry.num_frames,),
            "lock": (entry.num_frames,),
            "beats_s": (-1,),
        },
    )
    return MusicClip(entry, arrays["features"], arrays["source_frame"], arrays["beats_s"], arrays["lock"])


def load_negative(folder: Path, entry: NegativeEntry) -> tuple[F32, F32, F32]:
    """Loads a sound without music.

    Args:
        folder: Made by ``build_music_dataset``.
        entry: A line of its index.

    Returns:
        ``features`` [U, F], and the idle motion ``root_m`` [U, 3] and ``joint_wxyz`` [U, 22, 4].

    Raises:
        ConfigError: If the arrays do not fit the index or the features of this version.
        BundleError: If the archive is broken.
    """
    size = entry.num_frames
    shapes = {
        "features": (size, NUM_FEATURES),
        "root_m": (size, 3),
        "joint_wxyz": (size, NUM_BODY_JOINTS, 4),
    }
    arrays = _arrays(folder, entry.name, shapes)
    return arrays["features"], arrays["root_m"], arrays["joint_wxyz"]


def write_music_index(folder: Path, entries: Sequence[MusicEntry], negatives: Sequence[NegativeEntry]) -> None:
    """Writes the index, whole or not at all, and ends the journal.

    Args:
        folder: The music folder.
        entries: Its renderings.
        negatives: Its sounds without music.
    """
    document = {
        "renderings": [asdict(entry) for entry in entries],
        "negatives": [asdict(entry) for entry in negatives],
    }
    write_text(folder / INDEX_NAME, json.dumps(document, indent=1, sort_keys=True) + "\n")
    (folder / JOURNAL_NAME).unlink(missing_ok=True)


def note_done(folder: Path, entry: MusicEntry | NegativeEntry) -> None:
    """Notes what is done, before the index is written: one line, whatever the size of the set.

    Args:
        folder: The music folder, with an index.
        entry: What is done.
    """
    kind = "renderings" if isinstance(entry, MusicEntry) else "negatives"
    with (folder / JOURNAL_NAME).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({kind: asdict(entry)}) + "\n")


def _records(folder: Path, kind: str, make: Callable[..., _T]) -> list[_T]:
    path, journal = folder / INDEX_NAME, folder / JOURNAL_NAME
    try:
        lines = journal.read_text(encoding="utf-8").splitlines(keepends=True) if journal.is_file() else []
        noted = [json.loads(line) for line in lines if line.endswith("\n")]  # the last line may be torn
        records = json.loads(path.read_text(encoding="utf-8"))[kind]
        records += [record[kind] for record in noted if kind in record]
        return list({record["name"]: make(**record) for record in records}.values())
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError("MUSIC_INVALID", f"'{path.name}' cannot be read ({error}).", _REMEDY) from error


def _arrays(folder: Path, name: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    """Arrays of an npz with the shapes asked for; -1 stands for any size."""
    arrays = read_arrays(folder / f"{name}.npz", max_bytes=MAX_BYTES)
    for key, shape in shapes.items():
        found = arrays[key].shape if key in arrays else None
        if (
            found is None
            or len(found) != len(shape)
            or any(s not in (-1, f) for s, f in zip(shape, found, strict=True))
        ):
            holds = "nothing" if found is None else list(found)
            raise ConfigError("MUSIC_INVALID", f"'{name}' holds {holds} as '{key}', not {list(shape)}.", _REMEDY)
    return arrays
