"""Music for one motion clip: a piece on the clip's beat grid, played by FluidSynth, with a room and noise if wanted.

The grid decides where every note lies, so the tempo is exact (constant or following the dancer), and what FluidSynth
adds in delay is taken away. Not for: choosing the grid (``pairing``) or the features (``music_dataset``).

Letters: B beats, N samples.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import mido
import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

from soulstream_engine.clock import SAMPLE_RATE, SAMPLES_PER_FRAME
from soulstream_engine.errors import ConfigError
from soulstream_training.data import music_style
from soulstream_training.data.groove import BEATS_A_BAR, GrooveLibrary
from soulstream_training.data.music_style import DRUM_CHANNEL, STYLES, Note

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

SYNTH_DELAY_S = 0.0042
"""Time from a note in the file to a fifth of its peak in the sound: FluidSynth 2.3, kick, snare and hat of FluidR3.

Source: ours, measured by ``measure_delay`` (2.3 to 5.9 ms over 120 hits: the synthesiser starts notes every 1.3 ms).
"""

LEAD_IN_S = 12.0
"""Least music before the clip, so that the beat clock is locked when the clip begins."""

TAIL_S = 2.0

SOUND_FONTS = (Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"), Path("/usr/share/sounds/sf2/default-GM.sf2"))
"""Where Debian's package puts the sounds."""

_TICKS_A_SECOND = 19_200
_TICKS_A_BEAT = _TICKS_A_SECOND // 2  # at the 120 BPM every file says


@dataclass(frozen=True, slots=True)
class Piece:
    """What to render.

    ``beats_s`` [B] float64 beats of the clip, seconds from its first frame; ``duration_s`` of the clip; ``styles`` to
    draw from (names in ``music_style.STYLES``); ``energy`` 0..1 of the dance; ``seed``.
    """

    beats_s: F64
    duration_s: float
    styles: tuple[str, ...]
    energy: float
    seed: int


@dataclass(frozen=True, slots=True)
class Rendering:
    """Sound of a piece.

    ``samples`` [N] float32 mono at 48 kHz; the clip's first frame is at feature row ``first_row``; ``beats_s`` are all
    beats of the music, seconds from the clip's first frame (negative in the lead-in); ``style``, ``drums`` and
    ``effects`` tell what was drawn.
    """

    samples: F32
    first_row: int
    beats_s: F64
    style: str
    drums: str
    effects: str


def find_synthesiser() -> tuple[str, Path]:
    """FluidSynth's command and a General MIDI sound font.

    Returns:
        Path of the program and of the sound font.

    Raises:
        ConfigError: If one of them is not installed; names the Debian package.
    """
    program = shutil.which("fluidsynth")
    if program is None:
        raise ConfigError(
            "FLUIDSYNTH_MISSING",
            "The program fluidsynth, which plays the training music, is not installed.",
            "Install it: apt-get install fluidsynth fluid-soundfont-gm",
        )
    for font in SOUND_FONTS:
        if font.is_file():
            return program, font
    raise ConfigError(
        "SOUND_FONT_MISSING",
        f"No General MIDI sound font at {' or '.join(map(str, SOUND_FONTS))}.",
        "Install it: apt-get install fluid-soundfont-gm",
    )


def extend_grid(beats_s: NDArray[np.floating], start_s: float, end_s: float) -> F64:
    """A beat grid continued at both ends at the tempo it begins and ends with.

    Args:
        beats_s: [B] seconds, increasing, B >= 2.
        start_s: The first beat returned is the last one at or before this.
        end_s: The last beat returned is the first one at or after this.

    Returns:
        [B'] float64, seconds.

    Raises:
        ValueError: If there are fewer than two beats.
    """
    beats = np.asarray(beats_s, dtype=np.float64)
    if len(beats) < 2:
        raise ValueError(f"a grid of {len(beats)} beats has no tempo, at least 2 are needed")
    first = float(np.mean(np.diff(beats[:5])))
    last = float(np.mean(np.diff(beats[-5:])))
    before = max(int(np.ceil((beats[0] - start_s) / first - 1e-9)), 0)
    after = max(int(np.ceil((end_s - beats[-1]) / last - 1e-9)), 0)
    return np.concatenate(
        [beats[0] - first * np.arange(before, 0, -1), beats, beats[-1] + last * np.arange(1, after + 1)]
    )


def play(notes: list[Note], programs: dict[int, int], times_s: NDArray[np.floating], folder: Path) -> F32:
    """Sound of notes on a grid.

    Args:
        notes: Positions in beats of the grid.
        programs: General MIDI program of each channel.
        times_s: [B] time of each beat, seconds from the start of the sound, first one not negative.
        folder: For two temporary files.

    Returns:
        [N] float32 mono at 48 kHz, FluidSynth's delay taken away, at its own level.

    Raises:
        ConfigError: If FluidSynth is not installed or fails.
    """
    index = np.arange(len(times_s), dtype=np.float64)
    events: list[tuple[int, int, mido.Message]] = []
    for note in notes:
        start, stop = np.interp([note.beat, note.beat + note.length], index, times_s)
        on = mido.Message("note_on", note=note.pitch, velocity=note.velocity, channel=note.channel)
        off = mido.Message("note_off", note=note.pitch, channel=note.channel)
        ticks = [max(round((float(at) - SYNTH_DELAY_S) * _TICKS_A_SECOND), 0) for at in (start, stop)]
        events += [(ticks[0], 1, on), (max(ticks[1], ticks[0] + 1), 0, off)]
    events.sort(key=lambda event: event[:2])
    song = mido.MidiFile(type=0, ticks_per_beat=_TICKS_A_BEAT)
    track = mido.MidiTrack()
    song.tracks.append(track)
    for channel, program in programs.items():
        track.append(mido.Message("program_change", program=program, channel=channel))
    last = 0
    for tick, _, message in events:
        track.append(message.copy(time=tick - last))
        last = tick
    song.save(folder / "piece.mid")
    return _synthesise(folder / "piece.mid", folder / "piece.wav")


def _synthesise(midi: Path, wav: Path) -> F32:
    """Runs FluidSynth without its own reverb and chorus and reads what it wrote."""
    program, font = find_synthesiser()
    command = [program, "-n", "-i", "-q", "-g", "0.5", "-R", "0", "-C", "0", "-r", str(SAMPLE_RATE)]
    command += ["-O", "float", "-T", "wav", "-F", str(wav), str(font), str(midi)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    if result.returncode != 0 or not wav.is_file():
        raise ConfigError(
            "FLUIDSYNTH_FAILED",
            f"fluidsynth ended with status {result.returncode}: {result.stderr.strip()[-200:]}",
            "Install it anew: apt-get install --reinstall fluidsynth fluid-soundfont-gm",
        )
    samples, _ = soundfile.read(wav, dtype="float32", always_2d=True)
    mono: F32 = samples.mean(axis=1, dtype=np.float32)
    return mono


def measure_delay(drum: int, num_hits: int = 24) -> F64:
    """Delay of drum hits in the sound against their beats, what ``play`` takes away included.

    Args:
        drum: General MIDI drum.
        num_hits: Hits, 0.4137 s apart.

    Returns:
        [num_hits] float64, seconds from the beat to a fifth of the hit's peak.

    Raises:
        ConfigError: If FluidSynth is not installed or fails.
    """
    times_s = 1.0 + 0.4137 * np.arange(num_hits + 1)
    notes = [Note(float(k), 0.2, drum, 110, DRUM_CHANNEL) for k in range(num_hits)]
    with TemporaryDirectory() as folder:
        sound = np.abs(play(notes, {DRUM_CHANNEL: 0}, times_s, Path(folder)))
    delays = np.empty(num_hits)
    for k in range(num_hits):
        start = int((times_s[k] - 0.05) * SAMPLE_RATE)
        hit = sound[start : start + int(0.2 * SAMPLE_RATE)]
        delays[k] = (start + int(np.argmax(hit > 0.2 * hit.max()))) / SAMPLE_RATE - times_s[k]
    return delays


def render(piece: Piece, library: GrooveLibrary) -> Rendering:
    """A rendering of a piece: drums, bass and chords on the grid, then loudness, room, band limit and noise.

    Args:
        piece: What to render; the same seed gives the same samples.
        library: Drum takes.

    Returns:
        The sound, at least 12 s before the clip to 2 s after it.

    Raises:
        ConfigError: If FluidSynth is not installed or fails.
        ValueError: If the grid has fewer than two beats.
    """
    generator = np.random.default_rng(piece.seed)
    name = piece.styles[0] if generator.random() < 0.6 else str(generator.choice(piece.styles))
    style = STYLES[name]
    first_row = round((LEAD_IN_S + generator.uniform(0.1, 3.0)) * SAMPLE_RATE / SAMPLES_PER_FRAME)
    clip_start_s = first_row * SAMPLES_PER_FRAME / SAMPLE_RATE
    extended = extend_grid(piece.beats_s, 0.05 - clip_start_s, piece.duration_s + TAIL_S) + clip_start_s
    grid = extended[extended >= 0.05].astype(np.float64)
    bpm = 60.0 / float(np.median(np.diff(grid)))
    num_beats = len(grid) - 1
    notes, programs = music_style.compose(style, num_beats, generator, energy=piece.energy)
    if style.takes:
        loop = library.choose(style.takes, bpm, generator, tightness=float(generator.choice((0.0, 0.5, 1.0))))
    else:
        loop = music_style.programmed_drums(generator, piece.energy)
    first_beat = int(generator.integers(0, loop.num_beats // BEATS_A_BAR)) * BEATS_A_BAR
    notes += music_style.repeat_drums(loop, num_beats, first_beat, float(generator.uniform(0.85, 1.25)))
    programs[DRUM_CHANNEL] = int(generator.choice(style.kits))
    with TemporaryDirectory() as folder:
        samples = play(notes, programs, grid, Path(folder))
    num_samples = round((clip_start_s + piece.duration_s + TAIL_S) * SAMPLE_RATE)
    samples = np.pad(samples, (0, max(num_samples - len(samples), 0)))[:num_samples]
    samples, effects = degrade(samples, generator)
    return Rendering(samples, first_row, grid - clip_start_s, name, loop.name, effects)


def degrade(samples: F32, generator: np.random.Generator) -> tuple[F32, str]:
    """Level of a microphone or line, and for about half of the pieces a room, a band limit or noise.

    Args:
        samples: [N] float32 at 48 kHz.
        generator: Source of chance.

    Returns:
        [N] float32 with its peak between -20 and -1 dBFS, and the names of the effects.

    Source: ours; noise 5 to 30 dB below the music.
    """
    sound = samples.astype(np.float64)
    effects: list[str] = []
    if generator.random() < 0.3:
        sound = _room(sound, generator)
        effects.append("room")
    if generator.random() < 0.25:
        band = (float(generator.uniform(60, 250)), float(generator.uniform(4_000, 10_000)))
        sound = sosfilt(butter(2, band, btype="bandpass", fs=SAMPLE_RATE, output="sos"), sound)
        effects.append("band")
    if generator.random() < 0.3:
        noise = generator.standard_normal(len(sound))
        noise = sosfilt(butter(1, float(generator.uniform(800, 8_000)), fs=SAMPLE_RATE, output="sos"), noise)
        snr_db = float(generator.uniform(5, 30))
        power = float(np.mean(sound**2)) / max(float(np.mean(noise**2)), 1e-12)
        sound = sound + noise * np.sqrt(power) * 10.0 ** (-snr_db / 20.0)
        effects.append(f"noise{snr_db:.0f}")
    peak_db = float(generator.uniform(-20, -1))
    sound = sound * (10.0 ** (peak_db / 20.0) / max(float(np.abs(sound).max()), 1e-9))
    return sound.astype(np.float32), "+".join(effects)


def _room(sound: F64, generator: np.random.Generator) -> F64:
    """A small room: the direct sound first, so that beats stay where they are, then a decaying tail."""
    decay_s = float(generator.uniform(0.12, 0.4))
    length = int(decay_s * SAMPLE_RATE)
    tail = generator.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    tail[: int(0.004 * SAMPLE_RATE)] = 0.0
    tail *= float(generator.uniform(0.2, 0.6)) / max(float(np.sqrt(np.sum(tail**2))), 1e-9)
    tail[0] = 1.0
    wet: F64 = fftconvolve(sound, tail)[: len(sound)]
    return wet
