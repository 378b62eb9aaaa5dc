"""The frame in which every system dances: the same songs, from the first sample, to joints that are judged alike.

A system is a baseline (``baselines.common.Dancer``), a bundle through the live stream, or real dancers on music that
was made to fit them: the ceiling, and the same dancers out of time, its floor. Not for: scores.

Letters: N samples, T frames, F music columns, D motion columns (263, or 623 and a face), B beats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.audio.decode import load_audio
from soulstream_engine.bundle import load_bundle
from soulstream_engine.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from soulstream_engine.errors import ConfigError
from soulstream_engine.features.extractor import extract
from soulstream_engine.motion.representation import FACE_START, decode_pose
from soulstream_engine.motion.skeleton import forward_kinematics
from soulstream_engine.runtime.dance import DanceStream
from soulstream_engine.runtime.render import render_song
from soulstream_training.baselines.common import Danced, Dancer
from soulstream_training.baselines.plain import BLEND_FRAMES, LEAST_FRAMES, looped
from soulstream_training.recipes.mmr_pairs import load_pairs

from .beats import read_tracks, reference_beats, track_sound
from .dance_take import DanceTake
from .dances import Control, random_plans

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

LEAST_SHIFT_S = 2.0
"""Least time, either way round, by which a real dance is moved away from its music (ours)."""

RealKind = Literal["real", "real_shifted"]

Judged = tuple[DanceTake, F64]
"""A dance, and the beats [B] of its song in seconds from its first frame."""


@dataclass(frozen=True, eq=False)
class Song:
    """Music to dance to: ``samples`` [N] float32 mono at 48 kHz, whole frames, and its ``beats_s`` [B] seconds."""

    name: str
    samples: F32
    beats_s: F64

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.samples) / SAMPLE_RATE

    @cached_property
    def rows(self) -> F32:
        """Feature rows [T, F], as a listener hears them who comes in at the first sample."""
        return extract(self.samples)


@dataclass(frozen=True, slots=True)
class SystemTakes:
    """All dances of a system.

    Attributes:
        name: Of the system.
        takes: Each dance with the beats of its song.
        wait_s: Music that must have been heard behind the frame that is danced, seconds.
        is_causal: Whether nothing later than ``wait_s`` is looked at; false where the whole song is.
        note: What a reader must know of it.
    """

    name: str
    takes: list[Judged]
    wait_s: float
    is_causal: bool
    note: str = ""


def test_songs(
    data_dir: Path, uses: Sequence[str] = ("test",), seconds: float = 30.0, start_s: float = 0.0
) -> list[Song]:
    """A stretch of each track of the list.

    Args:
        data_dir: Shared data, with ``music.csv``.
        uses: Values of the column ``use``; ``test`` includes ``test6``.
        seconds: Length, or less where a track ends before.
        start_s: Where in the track it begins.

    Returns:
        The songs in the order of the list, with beats from tempo and first beat alone.

    Raises:
        ConfigError: If the list cannot be read, or a track has not two beats in the stretch.
        AudioError: If a track cannot be read.
    """
    songs = []
    first, num_frames = round(start_s * FPS), round(seconds * FPS)
    with TemporaryDirectory() as folder:
        for track in read_tracks(data_dir, uses):
            samples = load_audio(track_sound(track, Path(folder)))[first * SAMPLES_PER_FRAME :]
            num_heard = min(num_frames, len(samples) // SAMPLES_PER_FRAME)
            beats_s = reference_beats(track, (first + num_heard) / FPS) - first / FPS
            beats_s = beats_s[beats_s >= 0.0]
            if len(beats_s) < 2:
                raise ConfigError(
                    "STRETCH_TOO_SHORT",
                    f"'{track.track_id}' has {len(beats_s)} beats in {seconds:.1f} s from {start_s:.1f} s on.",
                    "Choose a longer stretch, or one that begins earlier.",
                )
            songs.append(Song(track.track_id, samples[: num_heard * SAMPLES_PER_FRAME].copy(), beats_s))
    return songs


def dance_to(dancer: Dancer, song: Song, seed: int) -> DanceTake:
    """Lets a baseline dance to a song, from the origin, facing +Z.

    Raises:
        ValueError: If it does not dance one frame for each feature row.
    """
    danced = dancer.dance(song.rows, seed)
    if len(danced.rows) != len(song.rows):
        raise ValueError(f"{len(danced.rows)} rows were danced to the {len(song.rows)} of '{song.name}'")
    return take_of_rows(song.name, danced, song.rows)


def take_of_rows(song: str, danced: Danced, music: F32) -> DanceTake:
    """Poses the skeleton by motion rows, from the origin, facing +Z.

    Args:
        song: Its name.
        danced: Rows [T, 263] of the body, or [T, 623 or more]; a face is what lies behind 623.
        music: [T, F] feature rows of the same frames.
    """
    root_m, joint_wxyz, _, _ = decode_pose(danced.rows)
    joints_m = np.asarray(forward_kinematics(root_m, joint_wxyz), np.float32)
    face = danced.rows[:, FACE_START:] if danced.rows.shape[1] > FACE_START else None
    return DanceTake(song, joints_m, joint_wxyz, face, music, danced.edges)


def bundle_takes(
    path: Path | None, songs: Sequence[Song], seeds: Sequence[int] = (0,), control: Control = Control.NONE
) -> list[Judged]:
    """Dances of a bundle as they would be sent: through the live stream, feet and limits included.

    Args:
        path: Bundle folder; ``None`` is the embedded one.
        songs: What to dance to.
        seeds: A dance to each song for each of them.
        control: ``CODES`` dances by random codes that hear nothing.

    Returns:
        The dances, songs first; ``edges`` are the first frames of what a tick committed.

    Raises:
        BundleError: If the bundle cannot be loaded.
        BackendError: If its network fails.
    """
    bundle = load_bundle(path)
    takes = []
    for song in songs:
        for seed in seeds:
            stream = DanceStream(bundle, seed, plan_source=random_plans(bundle, seed, control))
            stream.keep_chunks()
            take = render_song(song.samples, bundle, seed, stream=stream)
            starts = np.array([chunk.start_index for chunk in stream.chunks or []], np.int64)
            edges = starts[starts < len(take.joints_m)]
            music = song.rows[: len(take.joints_m)]
            takes.append((DanceTake(song.name, take.joints_m, take.joint_wxyz, take.face, music, edges), song.beats_s))
    return takes


def real_takes(store: Path, music: Path, split: str, kind: RealKind = "real", seed: int = 0) -> list[Judged]:
    """Real dancers whose tempo is sure (class A), on the music that was rendered to fit them.

    Args:
        store: Prepared motion.
        music: Renderings made for it.
        split: Of the store.
        kind: ``real``; or ``real_shifted``, the same dances moved in time by a random amount of 2 s or more, what
            leaves at the end coming in at the beginning through a blend, with the music left where it is.
        seed: Of the shifts.

    Returns:
        A dance for each clean stretch of five seconds or more of each rendering, with the beats of the rendering.

    Raises:
        ConfigError: If the folders do not fit or there is no such dance.
    """
    generator = np.random.default_rng(seed)
    takes = []
    for pair in load_pairs(store, music, (split,)):
        beats_s = pair.beats_s - pair.first / FPS
        beats_s = beats_s[(beats_s >= 0.0) & (beats_s < len(pair.rows) / FPS)]
        if pair.entry.pairing_class != "A" or len(pair.rows) < LEAST_FRAMES or len(beats_s) < 2:
            continue
        danced = Danced(pair.rows)
        if kind == "real_shifted":
            least, most = round(LEAST_SHIFT_S * FPS), len(pair.rows) - BLEND_FRAMES - round(LEAST_SHIFT_S * FPS)
            danced = looped(pair.rows, int(generator.integers(least, most + 1)), len(pair.rows))
        heard = pair.music[pair.first : pair.first + len(pair.rows)]
        takes.append((take_of_rows(pair.song, danced, heard), beats_s))
    if not takes:
        raise ConfigError(
            "REAL_EMPTY",
            f"'{music}' has no rendering of class A and five seconds for the split {split}.",
            "Run soulstream-train data music; with --test for the test split.",
        )
    return takes
