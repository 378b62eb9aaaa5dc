"""One rendering: a clip bent onto a grid, music made for it and recorded, and what the engine hears of it.

The whole recording goes through the feature code, so the clock's real errors are in the rows; the recording's latency
and the drift of its clock move the motion along. The sound itself is thrown away. A clip that was danced to a recording
of its own keeps its motion as it is. Not for: which renderings there are (``music_dataset``), sound (``music_render``),
grids (``pairing``).

Letters: U frames at 30 fps, F features, B beats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from soulstream_engine.clock import FPS, SAMPLE_RATE
from soulstream_engine.errors import ConfigError
from soulstream_engine.features.extractor import extract
from soulstream_engine.features.layout import COLUMNS, REFERENCE_BPM
from soulstream_engine.motion.skeleton import forward_kinematics
from soulstream_training.data.atomic import write_npz
from soulstream_training.data.groove import GrooveLibrary
from soulstream_training.data.kinematic_beats import mean_speed
from soulstream_training.data.microphone import record
from soulstream_training.data.music_index import MusicEntry
from soulstream_training.data.music_render import TAIL_S, Piece, render
from soulstream_training.data.music_style import styles_for
from soulstream_training.data.pairing import BeatFit, find_grid
from soulstream_training.data.store import Clip

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

FAST_BPM = (112.0, 168.0)
SLOW_BPM = (84.0, 118.0)
"""Tempi of the two kinds of renderings; together they cover the music people dance to."""

SPEED_RANGE = (0.8, 1.15)
NUM_SPEEDS = 2
ACCENT_RANGE = (0.25, 0.4)

ANY_STYLES = ("electronic", "rock", "pop")
"""Styles of every third rendering, whatever the dance is called: most music it will meet is not of its own kind."""

SURE = 0.1
"""Confidence over which what the beat clock says is taken for its word."""

MAX_ATTEMPTS = 3
KEEP_MISHEARD = 0.15
"""A rendering whose tempo the beat clock gets wrong is played anew with other music, but for this share, and the third
attempt is kept whatever it is: the live clock errs on about one track in twenty, and training should know that, not
much more."""

MAX_MUSIC_S = 1_800.0
"""Longest recording of a dance that is opened; no more of it is read than the dance takes."""


@dataclass(frozen=True, slots=True)
class _Made:
    """Arrays of a rendering, see ``music_index``."""

    features: F32
    source_frame: F64
    beats_s: F64
    lock: F32


def make_rendering(
    entry: MusicEntry, clip: Clip, library: GrooveLibrary | None, out_dir: Path, generator: np.random.Generator
) -> MusicEntry:
    """Bends a clip onto a grid, makes music for it and writes what is heard of it.

    Args:
        entry: Which rendering; its numbers are filled in.
        clip: The clip.
        library: Drum takes; without them, bands play drums of their own.
        out_dir: Folder of the npz.
        generator: Draws everything.

    Returns:
        The entry; ``is_paired`` false, and no npz, where no grid is accepted or it has not two beats.

    Raises:
        ConfigError: If FluidSynth or MMA is missing or fails, or a clip of class A has no tempo.
    """
    fit = fit_rendering(clip, entry.rendering, generator)
    if fit is None or len(fit.beats_s) < 2:
        return entry
    joints_m = forward_kinematics(clip.root_m, clip.joint_wxyz)
    energy = float(np.clip((mean_speed(joints_m).mean() * fit.speed - 0.2) / 1.0, 0.0, 1.0))
    num_frames = len(fit.source_frame)
    styles = styles_for(clip.entry.style) if entry.rendering % 3 else ANY_STYLES
    for _ in range(MAX_ATTEMPTS):
        piece = Piece(fit.beats_s, num_frames / FPS, styles, energy, int(generator.integers(2**48)))
        rendering = render(piece, library)
        heard_frame = rendering.heard_frames(num_frames)
        first = rendering.first_row
        rows = extract(rendering.heard.samples)[first : first + len(heard_frame)]
        beats_s = rendering.heard_beats_s(fit.beats_s)
        clock = _clock_errors(rows, fit.bpm * fit.speed, beats_s)
        if clock.is_usable or generator.random() < KEEP_MISHEARD:
            break
    own = np.arange(num_frames)
    made = _Made(
        rows,
        np.interp(heard_frame, own, fit.source_frame),
        beats_s,
        np.interp(heard_frame, own, fit.lock).astype(np.float32),
    )
    return replace(
        _clocked(entry, clock, len(rows)),
        size=_write(out_dir, entry.name, made),
        bpm=fit.bpm * fit.speed,
        speed=fit.speed,
        shift_p=fit.shift_p,
        refit_p=fit.refit_p,
        on_beat=fit.on_beat,
        residual_ms=fit.residual_ms,
        offset_ms=fit.offset_ms,
        concentration=fit.concentration,
        density=fit.density,
        music_style=rendering.style,
        drums=rendering.drums,
        effects=rendering.heard.effects,
    )


def make_real(entry: MusicEntry, clip: Clip, music: Path, out_dir: Path, generator: np.random.Generator) -> MusicEntry:
    """Writes what is heard of the recording that a clip was danced to; every rendering but the first by a microphone.

    The music begins with the dance, so the beat clock is not settled yet: ``lock`` is its own confidence.

    Args:
        entry: Which rendering; its numbers are filled in.
        clip: The clip, frame 0 at the start of the recording.
        music: The recording.
        out_dir: Folder of the npz.
        generator: Draws the microphone.

    Returns:
        The entry; its tempo is what the beat clock hears where it is sure, for nobody says it, and its ``clock_``
        numbers stay 0, for there are no beats to measure them against. A song that ends before the dance is told in
        ``reason``.

    Raises:
        ConfigError: If the recording cannot be read or is shorter than a second, or nothing of the dance is left.
    """
    num_frames = len(clip.root_m)
    samples = read_music(music, num_frames / FPS + TAIL_S)
    num_heard = min(math.ceil(len(samples) / SAMPLE_RATE * FPS), num_frames)
    effects, frame = "", np.arange(num_frames, dtype=np.float64)
    if entry.rendering:
        heard = record(samples, generator)
        samples, effects = heard.samples, heard.effects
        frame = heard.played_s(np.arange(num_frames) / FPS) * FPS
    rows = extract(samples)[:num_frames]
    first = int(np.searchsorted(frame, 0.0))
    stop = min(int(np.searchsorted(frame, num_frames - 1.0, side="right")), len(rows))
    rows, frame = rows[first:stop], frame[first:stop]
    if len(rows) < 2:
        message = f"A dance of {num_frames} frames leaves {len(rows)} frames of '{music.name}'; 2 are needed."
        raise ConfigError("DANCE_TOO_SHORT", message, "Leave the clip out of the table.")
    lock = np.clip(rows[:, COLUMNS["confidence"]][:, 0], 0.0, 1.0).astype(np.float32)
    sure = lock > SURE if (lock > SURE).any() else np.ones(len(lock), np.bool_)
    return replace(
        entry,
        is_paired=True,
        num_frames=len(rows),
        size=_write(out_dir, entry.name, _Made(rows, frame, np.zeros(0), lock)),
        bpm=REFERENCE_BPM * 2.0 ** float(np.median(rows[sure, COLUMNS["tempo"]])),
        effects=effects,
        reason=f"song ends after {num_heard} of {num_frames} frames" if num_heard < num_frames else "",
    )


def read_music(path: Path, longest_s: float = MAX_MUSIC_S) -> F32:
    """A recording as the engine hears it.

    Args:
        path: File that libsndfile reads (wav, flac, ogg, mp3).
        longest_s: What lies behind it is not read.

    Returns:
        [N] float32 mono at 48 kHz.

    Raises:
        ConfigError: If it cannot be read, holds values that are not finite, is shorter than a second or longer than
            half an hour.
    """
    try:
        with soundfile.SoundFile(path) as file:
            seconds, rate = file.frames / file.samplerate, file.samplerate
            if not 1.0 <= seconds <= MAX_MUSIC_S:
                message = f"'{path.name}' lasts {seconds:.1f} s, 1 to {MAX_MUSIC_S:.0f} s are read."
                raise ConfigError("MUSIC_LENGTH", message, "Cut the recording to the dance.")
            samples = file.read(math.ceil(longest_s * rate), dtype="float32", always_2d=True).mean(axis=1)
    except (OSError, soundfile.LibsndfileError) as error:
        raise ConfigError(
            "MUSIC_UNREADABLE", f"'{path.name}' cannot be read ({error}).", "Give a sound file."
        ) from error
    if not np.isfinite(samples).all():
        message = f"'{path.name}' holds {int((~np.isfinite(samples)).sum())} samples that are not finite."
        raise ConfigError("MUSIC_NOT_FINITE", message, "Export the recording again.")
    if rate != SAMPLE_RATE:
        samples = soxr.resample(samples, rate, SAMPLE_RATE)
    return np.asarray(samples, dtype=np.float32)


def _write(out_dir: Path, name: str, made: _Made) -> int:
    return write_npz(
        out_dir / f"{name}.npz",
        features=made.features,
        source_frame=made.source_frame,
        beats_s=made.beats_s,
        lock=made.lock,
    )


def _clocked(entry: MusicEntry, clock: _Clock, num_frames: int) -> MusicEntry:
    return replace(
        entry,
        is_paired=True,
        num_frames=num_frames,
        clock_ms=clock.median_ms,
        clock_p90_ms=clock.p90_ms,
        clock_bias_ms=clock.bias_ms,
        clock_tempo=clock.tempo,
        clock_ratio=clock.ratio,
    )


def fit_rendering(clip: Clip, rendering: int, generator: np.random.Generator) -> BeatFit | None:
    """Grid, speed and accent of a rendering; every third one takes slow music, the others fast, where the clip allows.

    Args:
        clip: A clip of class A or B.
        rendering: Number of the rendering.
        generator: Source of chance.

    Returns:
        The fit, or ``None`` when no grid is accepted.

    Raises:
        ConfigError: If a clip of class A has no tempo.
    """
    if clip.entry.pairing_class == "A" and clip.entry.tempo_bpm is None:
        message = f"'{clip.entry.clip_id}' is of class A and has no tempo."
        raise ConfigError("TEMPO_MISSING", message, "Give its tempo_bpm in the clip table, or make it class B.")
    joints_m = np.asarray(forward_kinematics(clip.root_m, clip.joint_wxyz), dtype=np.float32)
    ranges = (FAST_BPM, SLOW_BPM) if rendering % 3 != 1 else (SLOW_BPM, FAST_BPM)
    low, high = np.log(SPEED_RANGE)
    speeds = np.exp(generator.uniform(float(low), float(high), NUM_SPEEDS)).tolist()
    accent = float(generator.uniform(*ACCENT_RANGE))
    for range_bpm in ranges:
        entry = clip.entry
        fit = find_grid(
            entry.clip_id,
            entry.pairing_class,
            entry.tempo_bpm,
            joints_m,
            range_bpm=range_bpm,
            speeds=speeds,
            accent=accent,
        )
        if fit is not None:
            return fit
    return None


@dataclass(frozen=True, slots=True)
class _Clock:
    """How the beat clock did on a rendering; see ``MusicEntry``."""

    median_ms: float
    p90_ms: float
    bias_ms: float
    tempo: float
    ratio: float

    @property
    def is_usable(self) -> bool:
        """Whether the tempo is right or doubled or halved: the half-beat is then right too."""
        return self.tempo > 0.5 or min(abs(self.ratio - 2.0), abs(self.ratio - 0.5)) < 0.03


def _clock_errors(rows: F32, bpm: float, beats_s: F64) -> _Clock:
    """Errors of the clock against the grid, modulo half a beat, in rows that are sure and have the right tempo."""
    times_s = np.arange(len(rows)) / FPS
    ratio = REFERENCE_BPM * 2.0 ** rows[:, COLUMNS["tempo"]][:, 0].astype(np.float64) / bpm
    sine, cosine = rows[:, COLUMNS["beat2"]].T.astype(np.float64)
    sure = (np.hypot(sine, cosine) > SURE) & (np.abs(ratio - 1.0) < 0.03)
    if not sure.any() or len(beats_s) == 0:
        return _Clock(0.0, 0.0, 0.0, 0.0, float(np.median(ratio)))
    half_turns = 2.0 * (times_s - beats_s[0]) * bpm / 60.0
    error = (half_turns - np.arctan2(sine, cosine) / (2.0 * np.pi) + 0.5) % 1.0 - 0.5
    error_ms = 1000.0 * error[sure] * 30.0 / bpm
    size = np.abs(error_ms)
    return _Clock(
        median_ms=float(np.median(size)),
        p90_ms=float(np.percentile(size, 90)),
        bias_ms=float(np.median(error_ms)),
        tempo=float(np.mean(sure)),
        ratio=float(np.median(ratio)),
    )
