"""Does the dance keep the beat of real music? Scores over the test tracks, against beats known without our own clock.

The reference beats come from ``bpm`` and ``first_beat_s`` of the track list alone. The tracks to calibrate with
(``tune``, ``val``) give the lateness of the dance, which is what to correct. Not for: a single score (``bas``).

Letters: T frames, J joints.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from soulstream_engine.audio.decode import load_audio
from soulstream_engine.clock import FPS, SAMPLE_RATE
from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.skeleton import forward_kinematics
from soulstream_training.data.kinematic_beats import kinematic_beats
from soulstream_training.data.store import load_store
from soulstream_training.evaluation.bas import BeatScore, score_beats

F64 = NDArray[np.float64]

USES = ("test6", "test", "val", "tune")
SIGNIFICANT_P = 0.05
TABLE_NAME = "music.csv"

Render = Callable[[Path, int], NDArray[np.floating]]
"""From a sound file and a seed to the joints of the dance, [T, J, 3] metres at 30 fps, frame 0 at the first sample."""


@dataclass(frozen=True, slots=True)
class Track:
    """One track of the list.

    ``path`` of the sound; ``mix_with`` of a second one to be added, or ``None``; ``bpm`` and ``first_beat_s`` place its
    beats; ``use`` is one of ``USES``.
    """

    track_id: str
    path: Path
    mix_with: Path | None
    seconds: float
    bpm: float
    first_beat_s: float
    use: str


def read_tracks(data_dir: Path, uses: Sequence[str] = ("test6",)) -> list[Track]:
    """Tracks of the list that may be used for a purpose.

    Args:
        data_dir: Shared data, with ``music.csv``.
        uses: Values of the column ``use``; ``test`` includes ``test6``.

    Returns:
        The tracks in the order of the list.

    Raises:
        ConfigError: If the list is missing, a value is not a number or a use is unknown.
    """
    unknown = sorted(set(uses) - set(USES))
    if unknown:
        raise ConfigError("TRACK_USE_UNKNOWN", f"Unknown use {unknown} of tracks.", f"Choose from {', '.join(USES)}.")
    wanted = {*uses, "test6"} if "test" in uses else set(uses)
    try:
        with (data_dir / TABLE_NAME).open(newline="", encoding="utf-8") as file:
            return [_track(data_dir, row) for row in csv.DictReader(file) if row["use"] in wanted]
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError(
            "TRACK_LIST_INVALID", f"The track list {TABLE_NAME} cannot be read ({error}).", "Check the data folder."
        ) from error


def _track(data_dir: Path, row: dict[str, str]) -> Track:
    return Track(
        track_id=row["id"],
        path=data_dir / row["path"],
        mix_with=data_dir / row["mix_with"] if row["mix_with"] else None,
        seconds=float(row["seconds"]),
        bpm=float(row["bpm"]),
        first_beat_s=float(row["first_beat_s"]),
        use=row["use"],
    )


def reference_beats(track: Track, duration_s: float) -> F64:
    """Beats of a track from its tempo and first beat.

    Args:
        track: The track.
        duration_s: End of the beats, seconds.

    Returns:
        [B] float64, seconds, the first one not before 0.
    """
    beat_s = 60.0 / track.bpm
    first = -int(np.floor(track.first_beat_s / beat_s + 1e-9))
    beats = track.first_beat_s + beat_s * np.arange(first, int(np.ceil(duration_s / beat_s)) + 1)
    return beats[(beats >= 0.0) & (beats < duration_s)].astype(np.float64)


def evaluate_beats(
    tracks: Sequence[Track],
    render: Render,
    seeds: Sequence[int] = (0,),
    on_score: Callable[[str, int, BeatScore], None] | None = None,
) -> dict[str, Any]:
    """Lets the model dance to every track and scores the dances.

    Args:
        tracks: From ``read_tracks``.
        render: Makes the dance; called once for every track and seed.
        seeds: Seeds of the dances; the scores of a track are the medians over them.
        on_score: Called after every dance, for progress.

    Returns:
        ``{"tracks": {id: {"bas", "reverse", "shift_p", "f1", "density", "median_offset_ms", "best_offset_ms",
        "seeds"}}, "num_tracks", "significant", "median_offset_ms", "best_offset_ms"}``: ``significant`` counts tracks
        with ``shift_p`` below 0.05; the offsets over all tracks are medians in ms, positive when the dance is late.

    Raises:
        ValueError: If there are no tracks or no seeds.
        AudioError: If a track cannot be read.
    """
    if not tracks or not seeds:
        raise ValueError(f"{len(tracks)} tracks and {len(seeds)} seeds: at least one of each is needed")
    results: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        for track in tracks:
            path = track_sound(track, Path(folder))
            scores = []
            for seed in seeds:
                joints_m = render(path, seed)
                duration_s = len(joints_m) / FPS
                beats_s = reference_beats(track, duration_s)
                scores.append(score_beats(beats_s, kinematic_beats(joints_m), duration_s, seed=seed))
                if on_score is not None:
                    on_score(track.track_id, seed, scores[-1])
            results[track.track_id] = _summary(scores)
    return {
        "tracks": results,
        "num_tracks": len(results),
        "significant": sum(result["shift_p"] < SIGNIFICANT_P for result in results.values()),
        "median_offset_ms": float(np.median([result["median_offset_ms"] for result in results.values()])),
        "best_offset_ms": float(np.median([result["best_offset_ms"] for result in results.values()])),
    }


def _summary(scores: Sequence[BeatScore]) -> dict[str, Any]:
    """Medians over the seeds, and the p value of each."""
    names = ("bas", "reverse", "shift_p", "f1", "density", "median_offset_ms", "best_offset_ms")
    summary: dict[str, Any] = {name: float(np.median([asdict(score)[name] for score in scores])) for name in names}
    summary["seeds"] = [score.shift_p for score in scores]
    return summary


def track_sound(track: Track, folder: Path) -> Path:
    """File of a track; a mix of two is written first.

    Args:
        track: The track.
        folder: Where a mix is written.

    Raises:
        AudioError: If a sound of a mix cannot be read.
    """
    if track.mix_with is None:
        return track.path
    song, other = load_audio(track.path), load_audio(track.mix_with)
    mix = np.zeros(max(len(song), len(other)), np.float32)
    mix[: len(song)] += song
    mix[: len(other)] += other
    mix /= max(1.0, float(np.abs(mix).max()))
    path = folder / f"{track.track_id}.wav"
    soundfile.write(path, mix, SAMPLE_RATE, subtype="PCM_16")
    return path


def real_density(store_dir: Path, splits: Sequence[str] = ("train", "val", "test")) -> dict[str, float]:
    """How often real dancers come to rest, to compare generated density with.

    Args:
        store_dir: Motion store.
        splits: Splits of the clips.

    Returns:
        ``per_minute``: kinematic beats a minute over all clips of class A and B; ``per_beat``: over the clips whose
        tempo is sure (class A), a beat of the clip list's tempo.

    Raises:
        ConfigError: If the store is missing or has no such clips.
    """
    num_beats = minutes = sure_beats = music_beats = 0.0
    for clip in load_store(store_dir, splits):
        if clip.entry.pairing_class not in ("A", "B"):
            continue
        count = len(kinematic_beats(forward_kinematics(clip.root_m, clip.joint_wxyz)))
        length = clip.entry.num_frames / FPS / 60.0
        num_beats, minutes = num_beats + count, minutes + length
        if clip.entry.pairing_class == "A" and clip.entry.tempo_bpm is not None:
            sure_beats, music_beats = sure_beats + count, music_beats + length * clip.entry.tempo_bpm
    if not minutes or not music_beats:
        raise ConfigError("STORE_EMPTY", "The store has no clips of class A and B.", "Run the preparation.")
    return {"per_minute": num_beats / minutes, "per_beat": sure_beats / music_beats}
