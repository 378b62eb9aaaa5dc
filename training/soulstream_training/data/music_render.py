"""Music for one motion clip: a piece on the clip's beat grid, played by FluidSynth and recorded by a microphone.

The grid decides where every note lies, so the tempo is exact (constant or following the dancer), and what FluidSynth
adds in delay is taken away. Not for: choosing the grid (``pairing``) or the features (``rendering``).

Letters: B beats, N samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import mido
import numpy as np
import soundfile
from numpy.typing import NDArray

from soulstream_engine.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from soulstream_engine.errors import ConfigError
from soulstream_training.data import electronic
from soulstream_training.data.groove import BEATS_A_BAR, GrooveLibrary
from soulstream_training.data.microphone import Heard, record
from soulstream_training.data.mma_band import accompany
from soulstream_training.data.music_style import DRUM_CHANNEL, Note, Style, draw_style, repeat_drums
from soulstream_training.data.programs import find_program, run_program

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

SYNTH_DELAY_S = 0.0042
"""Time from a note in the file to a fifth of its peak in the sound: FluidSynth 2.3, kick, snare and hat of FluidR3.

Source: ours, measured by ``measure_delay`` (2.3 to 5.9 ms over 120 hits: the synthesiser starts notes every 1.3 ms).
"""

LEAD_IN_S = 12.0
"""Least sound before the clip, so that the beat clock has settled when the clip begins."""

TAIL_S = 2.0

TAKES_SHARE = 0.5
"""Share of the pieces with drums of the Groove MIDI data, where the band has a drummer and there are takes that fit."""

PROGRAMMED = ("electronic",)
"""Style with drums of its own in every piece, where there are no takes for those that need one."""

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
    """Sound of a piece, as a microphone heard it.

    ``heard`` is the recording; the clip's first frame was played at ``clip_start_s`` of the piece; ``beats_s`` are all
    beats of the music, seconds from the clip's first frame as played (negative in the lead-in); ``style`` was
    drawn, and so was the take ``drums``, empty where the band has drums of its own.
    """

    heard: Heard
    clip_start_s: float
    beats_s: F64
    style: str
    drums: str

    @property
    def first_row(self) -> int:
        """First feature row at or after the clip's first frame was heard."""
        return int(np.ceil(self.heard.heard_s(self.clip_start_s) * FPS - 1e-6))

    def heard_frames(self, num_frames: int) -> F64:
        """Which frame of the clip, fractional, belongs to each feature row from ``first_row`` on: the moved label.

        Args:
            num_frames: Frames of the clip.

        Returns:
            [U] float64 in 0..num_frames - 1.
        """
        rows = np.arange(self.first_row, self.first_row + num_frames)
        frames = (self.heard.played_s(rows / FPS) - self.clip_start_s) * FPS
        return np.maximum(frames[frames <= num_frames - 1], 0.0)

    def heard_beats_s(self, beats_s: F64) -> F64:
        """Beats [B] of the clip, seconds from its first frame as played, in seconds from ``first_row``."""
        return self.heard.heard_s(self.clip_start_s + beats_s) - self.first_row / FPS


def find_synthesiser() -> tuple[str, Path]:
    """FluidSynth's command and a General MIDI sound font.

    Returns:
        Path of the program and of the sound font.

    Raises:
        ConfigError: If one of them is not installed; names the Debian package.
    """
    packages = "fluidsynth fluid-soundfont-gm"
    program = find_program("fluidsynth", "which plays the training music", code="FLUIDSYNTH", packages=packages)
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
    remedy = "Install it anew: apt-get install --reinstall fluidsynth fluid-soundfont-gm"
    run_program(command, wav, code="FLUIDSYNTH", remedy=remedy)
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


def arrange(
    style: Style,
    num_beats: int,
    bpm: float,
    generator: np.random.Generator,
    library: GrooveLibrary | None,
    *,
    energy: float = 0.5,
) -> tuple[list[Note], dict[int, int], str]:
    """A piece of a style: a band with drums of its own or of a take, or programmed music.

    Args:
        style: The style.
        num_beats: Length of the piece.
        bpm: Tempo it will be danced at.
        generator: Source of chance.
        library: Drum takes; without them a band has its own drums or none.
        energy: 0..1 of the dance; drives density and velocity.

    Returns:
        The notes in beats, the General MIDI program of each channel, and the name of the take, empty if there is none.

    Raises:
        ConfigError: If MMA is not installed or fails.
    """
    if style.grooves:
        notes, programs = accompany(style, num_beats, bpm, generator, energy=energy)
    else:
        notes, programs = electronic.compose(num_beats, generator, energy=energy)
    programs[DRUM_CHANNEL] = int(generator.choice(style.kits))
    is_drummed = not _needs_take(style, notes)
    if not style.takes or library is None or (is_drummed and generator.random() >= TAKES_SHARE):
        return notes, programs, ""
    loop = library.choose(style.takes, bpm, generator, tightness=float(generator.choice((0.0, 0.5, 1.0))))
    first_beat = int(generator.integers(0, loop.num_beats // BEATS_A_BAR)) * BEATS_A_BAR
    notes = [note for note in notes if note.channel != DRUM_CHANNEL]
    notes += repeat_drums(loop, num_beats, first_beat, float(generator.uniform(0.85, 1.25)))
    return notes, programs, loop.name


def _needs_take(style: Style, notes: list[Note]) -> bool:
    """Whether the piece has no drums unless a take is put under it."""
    has_own = style.has_drummer and any(note.channel == DRUM_CHANNEL for note in notes)
    return bool(style.takes) and not has_own


def render(piece: Piece, library: GrooveLibrary | None) -> Rendering:
    """A rendering of a piece: drums, bass and chords on the grid, as a microphone hears them.

    Args:
        piece: What to render; the same seed gives the same samples.
        library: Drum takes; without them, styles that need one give way to the others of the piece.

    Returns:
        The sound, at least 12 s before the clip to 2 s after it.

    Raises:
        ConfigError: If FluidSynth or MMA is not installed or fails.
        ValueError: If the grid has fewer than two beats.
    """
    generator = np.random.default_rng(piece.seed)
    first_row = round((LEAD_IN_S + generator.uniform(0.1, 3.0)) * SAMPLE_RATE / SAMPLES_PER_FRAME)
    clip_start_s = first_row * SAMPLES_PER_FRAME / SAMPLE_RATE
    extended = extend_grid(piece.beats_s, 0.05 - clip_start_s, piece.duration_s + TAIL_S) + clip_start_s
    grid = extended[extended >= 0.05].astype(np.float64)
    bpm = 60.0 / float(np.median(np.diff(grid)))
    num_beats = len(grid) - 1
    styles = piece.styles
    while True:
        style = draw_style(styles, bpm, generator)
        notes, programs, drums = arrange(style, num_beats, bpm, generator, library, energy=piece.energy)
        if library is not None or not _needs_take(style, notes):
            break
        styles = tuple(name for name in styles if name != style.name) or PROGRAMMED
    with TemporaryDirectory() as folder:
        samples = play(notes, programs, grid, Path(folder))
    num_samples = round((clip_start_s + piece.duration_s + TAIL_S) * SAMPLE_RATE)
    samples = np.pad(samples, (0, max(num_samples - len(samples), 0)))[:num_samples]
    return Rendering(record(samples, generator), clip_start_s, grid - clip_start_s, style.name, drums)
