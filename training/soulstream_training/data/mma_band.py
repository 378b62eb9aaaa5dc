"""A band for a piece: the program MMA plays chords of ours in a style of its library, in beats.

MMA (Musical MIDI Accompaniment) is run in a folder of its own, on a song that is written anew for each piece: key,
chords, grooves and MMA's own chance all come from one generator. Its MIDI file counts 192 ticks a quarter note whatever
the tempo, so a piece fits any beat grid. Not for: which styles there are (``music_style``), sound (``music_render``).
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import mido
import numpy as np

from soulstream_training.data.groove import BEATS_A_BAR
from soulstream_training.data.music_style import CHORDS, DRUM_CHANNEL, Note, Style
from soulstream_training.data.programs import find_program, run_program

MIN_SECTION_BARS = 8
"""Bars of a section at least: one groove, one progression, and a fill in its last bar."""

FILL_SHARE = 0.7
OTHER_SHARE = 0.3
"""Shares of the sections that end in a fill, and that play the second of the piece's two progressions."""

ENERGY_SPREAD = 0.4
"""How far a groove may lie from the energy of the dance, in the range from the sparsest (0) to the densest (1)."""

QUIET, LOUD = 0.7, 1.15
"""Factors of the velocities at energy 0 and 1."""

MAX_BARS = 10_000
"""Bars that MMA may play. Its own limit of 500 guards against endless repeats, which our songs do not have."""

_VOICE_CHANNELS = tuple(channel for channel in range(16) if channel != DRUM_CHANNEL)


def find_mma() -> str:
    """Path of the program MMA.

    Returns:
        The path.

    Raises:
        ConfigError: If it is not installed; names the Debian package.
    """
    return find_program("mma", "which plays the accompaniment of the training music", code="MMA", packages="mma")


def accompany(
    style: Style, num_beats: int, bpm: float, generator: np.random.Generator, *, energy: float = 0.5
) -> tuple[list[Note], dict[int, int]]:
    """A piece of a style, in a key, progressions and grooves drawn for it.

    Args:
        style: One with grooves.
        num_beats: Length of the piece; it starts on the first beat of a bar.
        bpm: Tempo the piece will be danced at; music that is written in short note values has two quarters to a beat.
        generator: Source of chance; the same one gives the same piece.
        energy: 0..1; drives density and velocity.

    Returns:
        The notes, drums of the band (if it has any) included, and the General MIDI program of each other channel.

    Raises:
        ConfigError: If MMA is not installed or fails.
    """
    quarters = style.quarters_a_beat(bpm)
    num_bars = math.ceil(num_beats * quarters / BEATS_A_BAR)
    song = write_song(style, num_bars, bpm * quarters, generator, energy)
    with TemporaryDirectory() as folder:
        played, programs = read_notes(run_mma(song, Path(folder)))
    loudness = QUIET + (LOUD - QUIET) * energy
    notes: list[Note] = []
    for note in played:
        beat = note.beat / quarters
        if beat < num_beats:
            length = min(note.length / quarters, num_beats - beat)
            velocity = int(np.clip(round(note.velocity * loudness), 1, 127))
            notes.append(Note(beat, length, note.pitch, velocity, note.channel))
    return notes, programs


def write_song(style: Style, num_bars: int, tempo: float, generator: np.random.Generator, energy: float) -> str:
    """The song that MMA reads: sections with a groove each, one chord a bar, everything transposed to the key.

    Args:
        style: One with grooves.
        num_bars: Bars of four quarter notes.
        tempo: Quarter notes a minute; it changes nothing but the tempo that the file names.
        generator: Source of chance.
        energy: 0..1; chooses among the grooves.

    Returns:
        The text.
    """
    lines = [f"RndSeed {int(generator.integers(1, 2**31))}", f"Tempo {round(tempo)}", "KeySig C"]
    lines.append(f"Transpose {int(generator.integers(-5, 7))}")
    progressions = CHORDS[style.chords]
    drawn = [progressions[int(generator.integers(len(progressions)))].split() for _ in range(2)]
    last = len(style.grooves) - 1
    bar = 0
    while bar < num_bars:
        progression = drawn[int(generator.random() < OTHER_SHARE)]
        chords = progression * math.ceil(MIN_SECTION_BARS / len(progression))
        density = energy + float(generator.uniform(-ENERGY_SPREAD, ENERGY_SPREAD))
        has_fill = style.fill != "" and generator.random() < FILL_SHARE
        lines.append(f"Groove {style.grooves[int(np.clip(round(density * last), 0, last))]}")
        lines += [f"{bar + k + 1} {chord}" for k, chord in enumerate(chords)]
        if has_fill:
            lines.insert(-1, f"Groove {style.fill}")
        bar += len(chords)
    return "\n".join(lines) + "\n"


def run_mma(song: str, folder: Path) -> Path:
    """Runs MMA on a song. It reads no settings but ours and writes nothing outside the folder.

    Args:
        song: Text of the song.
        folder: For three files.

    Returns:
        The MIDI file.

    Raises:
        ConfigError: If MMA is not installed or fails; tells what it said last.
    """
    program = find_mma()
    source, settings, midi = folder / "song.mma", folder / "settings", folder / "song.mid"
    source.write_text(song, encoding="utf-8")
    settings.touch()
    command = [program, "-w", "-i", str(settings), "-m", str(MAX_BARS), "-f", str(midi), str(source)]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONHASHSEED": "0"}
    remedy = "Its library may be another one; 21.09 is known to work: apt-get install --reinstall mma"
    run_program(command, midi, code="MMA", remedy=remedy, folder=folder, environment=environment)
    return midi


def read_notes(midi: Path) -> tuple[list[Note], dict[int, int]]:
    """Notes of a MIDI file.

    Args:
        midi: The file.

    Returns:
        The notes in quarter notes from the start of the file, in order of time, and the General MIDI program of each
        channel but the drums'. A channel that changes its program becomes several.
    """
    song = mido.MidiFile(midi)
    program: dict[int, int] = defaultdict(int)
    voices: dict[tuple[int, int], int] = {}
    sounding: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    notes: list[Note] = []
    tick = 0
    for message in mido.merge_tracks(song.tracks):
        tick += message.time
        if message.type == "program_change":
            program[message.channel] = message.program
        elif message.type == "note_on" and message.velocity > 0:
            channel = DRUM_CHANNEL
            if message.channel != DRUM_CHANNEL:
                voice = (message.channel, program[message.channel])
                channel = voices.setdefault(voice, _VOICE_CHANNELS[len(voices) % len(_VOICE_CHANNELS)])
            sounding[message.channel, message.note].append((tick, message.velocity, channel))
        elif message.type in ("note_on", "note_off") and sounding[message.channel, message.note]:
            start, velocity, channel = sounding[message.channel, message.note].pop(0)
            beat, length = start / song.ticks_per_beat, max(tick - start, 1) / song.ticks_per_beat
            notes.append(Note(beat, length, message.note, velocity, channel))
    notes.sort(key=lambda note: (note.beat, note.channel, note.pitch))
    return notes, {channel: number for (_, number), channel in voices.items()}
