"""Drum takes of the Groove MIDI data: played by people, exact in tempo.

Beat k of a take is at ``k * 60 / bpm``, which in its MIDI file is tick ``k * ticks_per_beat``, so a take can be put on
any beat grid by its tick counts alone. Not for: pitched instruments (``mma_band``).

Letters: H hits.
"""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np
from numpy.typing import NDArray

from soulstream_engine.errors import ConfigError

F64 = NDArray[np.float64]

_TO_GENERAL_MIDI = {22: 42, 26: 46, 58: 43, 40: 38, 50: 48, 47: 45, 52: 49, 55: 49, 57: 49, 59: 51}
"""Pads of the recording kit that General MIDI kits lack or place elsewhere."""

BEATS_A_BAR = 4

SPLITS = {"train": "train", "val": "validation", "test": "test"}
"""Split of the drum takes for each split of our clips."""


@dataclass(frozen=True, slots=True)
class DrumLoop:
    """Some bars of drums that repeat without a seam.

    ``beat`` [H] float64 position in beats, a little before 0 at the earliest; ``note`` [H] General MIDI drum;
    ``velocity`` [H] 1..127; ``name`` of the take it was cut from.
    """

    name: str
    num_beats: int
    beat: F64
    note: NDArray[np.int64]
    velocity: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Take:
    """One row of the list: where the take lies in the archive and how it is described."""

    member: str
    style: str
    bpm: float
    num_beats: float


def has_takes(data_dir: Path) -> bool:
    """Whether the drum takes are there: without them, bands play drums of their own."""
    return all(path.is_file() for path in _files_of(data_dir))


def _files_of(data_dir: Path) -> tuple[Path, Path]:
    """Archive and list of the takes."""
    return data_dir / "groove-midi" / "groove.tar.gz", data_dir / "groove-midi" / "info.csv"


class GrooveLibrary:
    """The takes in common time that are long enough to repeat.

    Args:
        data_dir: Folder of the shared data, with ``groove-midi/groove.tar.gz`` and ``groove-midi/info.csv``.
        split: Split of the clips that are to be danced, one of ``SPLITS``; no take is heard in two.

    Raises:
        ConfigError: If one of the two files is missing.
    """

    def __init__(self, data_dir: Path, split: str = "train") -> None:
        archive, table = _files_of(data_dir)
        for path in (archive, table):
            if not path.is_file():
                raise ConfigError(
                    "GROOVE_MISSING", f"Drum data {path} does not exist.", "Give the folder of the shared data."
                )
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self._takes = [
            _Take(
                member="groove/" + row["midi_filename"],
                style=row["style"].split("/")[0],
                bpm=float(row["bpm"]),
                num_beats=float(row["duration"]) * float(row["bpm"]) / 60.0,
            )
            for row in rows
            if row["beat_type"] == "beat" and row["time_signature"] == "4-4" and row["split"] == SPLITS[split]
        ]
        self._takes = [take for take in self._takes if take.num_beats >= 3 * BEATS_A_BAR]
        wanted = {take.member for take in self._takes}
        self._files: dict[str, bytes] = {}
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                handle = tar.extractfile(member) if member.name in wanted else None
                if handle is not None:
                    self._files[member.name] = handle.read()

    def choose(
        self, styles: Sequence[str], bpm: float, generator: np.random.Generator, *, tightness: float = 0.0
    ) -> DrumLoop:
        """A loop of a take of one of the styles, played near the tempo.

        Args:
            styles: Names of the first part of the style column, for example ``("latin", "afrocuban")``.
            bpm: Tempo the loop will be played at; takes within a third of an octave come first, then the nearest.
            generator: Source of chance.
            tightness: 0 keeps the player's timing, 1 puts every hit near a quarter of a beat on it.

        Returns:
            One, two, four or eight bars, centred on the beat: the player's median distance from the beat is taken away.
        """
        takes = [take for take in self._takes if take.style in styles and take.member in self._files] or self._takes
        distance = np.array([abs(np.log2(take.bpm / bpm)) for take in takes])
        near = np.flatnonzero(distance < 1 / 3)
        if len(near) < 3:
            near = np.argsort(distance, kind="stable")[:3]
        take = takes[int(generator.choice(near))]
        return _cut(take, read_hits(self._files[take.member]), generator, tightness)


def read_hits(midi: bytes) -> tuple[F64, NDArray[np.int64], NDArray[np.int64]]:
    """Drum hits of a MIDI file.

    Args:
        midi: The file.

    Returns:
        Positions [H] float64 in beats, General MIDI drums [H] and velocities [H], in order of time.
    """
    song = mido.MidiFile(file=io.BytesIO(midi))
    hits: list[tuple[float, int, int]] = []
    for track in song.tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type == "note_on" and message.velocity > 0:
                note = _TO_GENERAL_MIDI.get(message.note, message.note)
                hits.append((tick / song.ticks_per_beat, note, message.velocity))
    hits.sort()
    beat = np.array([hit[0] for hit in hits], dtype=np.float64)
    note = np.array([hit[1] for hit in hits], dtype=np.int64)
    velocity = np.array([hit[2] for hit in hits], dtype=np.int64)
    return beat, note, velocity


def _cut(
    take: _Take,
    hits: tuple[F64, NDArray[np.int64], NDArray[np.int64]],
    generator: np.random.Generator,
    tightness: float,
) -> DrumLoop:
    """Whole bars out of the middle of a take, never its first bar unless it is too short."""
    beat, note, velocity = hits
    num_bars = int(take.num_beats // BEATS_A_BAR)
    length = max(size for size in (1, 2, 4, 8) if size <= max(num_bars - 1, 1))
    first_bar = int(generator.integers(1, max(num_bars - length, 1) + 1)) if num_bars > length else 0
    near_beat = beat - np.round(2.0 * beat) / 2.0
    close = np.abs(near_beat) < 0.12
    if close.any():
        beat = beat - float(np.median(near_beat[close]))
    near_quarter = beat - np.round(4.0 * beat) / 4.0
    beat = beat - tightness * np.where(np.abs(near_quarter) < 0.08, near_quarter, 0.0)
    start = first_bar * BEATS_A_BAR
    num_beats = length * BEATS_A_BAR
    inside = (beat >= start - 0.12) & (beat < start + num_beats - 0.12)
    return DrumLoop(take.member, num_beats, beat[inside] - start, note[inside], velocity[inside])
