"""Programmed electronic music of our own: drums, a bass line, chords and now and then a short tune.

Positions are in beats, exactly on the grid. Not for: music played by a band (``mma_band``).
"""

from __future__ import annotations

import numpy as np

from soulstream_training.data.groove import BEATS_A_BAR, DrumLoop
from soulstream_training.data.music_style import Note, repeat_drums

BASS_CHANNEL = 0
CHORD_CHANNEL = 1
LEAD_CHANNEL = 2

BASS_PROGRAMS = (38, 39, 87)
CHORD_PROGRAMS = (80, 81, 88, 90, 50, 62)
LEAD_PROGRAMS = (*CHORD_PROGRAMS, 65, 73)
"""General MIDI: synth basses; leads, pads and synth strings; these, saxophone and flute."""

SCALES = ((0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 5, 7, 9, 11))
MINOR_SHARE = 0.8

BASS = (
    tuple((k / 2, 0.45, 0 if k % 4 < 3 else 3) for k in range(8)),
    tuple((k + 0.5, 0.4, 0) for k in range(4)),
    tuple((k / 4, 0.2, 0 if k % 4 else 3) for k in range(16)),
)
"""Bars of bass: (beat, length, chord tone: 0 root, 1 third, 2 fifth, 3 octave)."""

CHORDS = (
    ((0.0, 3.9),),
    ((0.0, 0.4), (0.75, 0.4), (1.5, 0.4), (2.5, 0.4)),
    ((0.5, 0.3), (1.5, 0.3), (2.5, 0.3), (3.5, 0.3)),
)
"""Bars of chords: (beat, length)."""

PROGRESSIONS = ((0, 5, 2, 6), (0, 0, 5, 6), (0, 3, 5, 4))
"""Degrees of the scale, one a bar."""

KICK, SNARE, CLOSED_HAT, OPEN_HAT, CLAP = 36, 38, 42, 46, 39


def compose(
    num_beats: int, generator: np.random.Generator, *, energy: float = 0.5
) -> tuple[list[Note], dict[int, int]]:
    """A piece in a key, progression and patterns drawn for it.

    Args:
        num_beats: Length of the piece; it starts on the first beat of a bar.
        generator: Source of chance.
        energy: 0..1; drives velocity and density.

    Returns:
        The notes, drums included, and the General MIDI program of each other channel.
    """
    key = int(generator.integers(0, 12))
    scale = SCALES[int(generator.random() > MINOR_SHARE)]
    progression = PROGRESSIONS[int(generator.integers(len(PROGRESSIONS)))]
    bass = BASS[int(generator.integers(len(BASS)))]
    chords = CHORDS[int(generator.integers(len(CHORDS)))]
    has_lead = generator.random() < 0.25 + 0.4 * energy
    motif = [(float(beat), int(generator.integers(0, 7))) for beat in np.arange(0, 4, 0.5) if generator.random() < 0.5]
    programs = {
        BASS_CHANNEL: int(generator.choice(BASS_PROGRAMS)),
        CHORD_CHANNEL: int(generator.choice(CHORD_PROGRAMS)),
        LEAD_CHANNEL: int(generator.choice(LEAD_PROGRAMS)),
    }
    bass_velocity, chord_velocity = int(65 + 40 * energy), int(45 + 35 * energy)
    loudness = float(generator.uniform(0.85, 1.25))
    notes = repeat_drums(programmed_drums(generator, energy), num_beats, 0, loudness)

    def pitch_of(degree: int, base: int) -> int:
        return base + key + 12 * (degree // 7) + scale[degree % 7]

    def add(beat: float, length: float, pitch: int, velocity: int, channel: int) -> None:
        if beat < num_beats:
            loud = int(np.clip(velocity + generator.normal(0, 4), 1, 127))
            notes.append(Note(beat, min(length, num_beats - beat), pitch, loud, channel))

    for bar in range((num_beats + BEATS_A_BAR - 1) // BEATS_A_BAR):
        base = bar * BEATS_A_BAR
        degree = progression[bar % len(progression)]
        root = pitch_of(degree, 28)
        tones = (root, pitch_of(degree + 2, 28), pitch_of(degree + 4, 28), root + 12)
        for beat, length, tone in bass:
            add(base + beat, length, tones[tone], bass_velocity, BASS_CHANNEL)
        for beat, length in chords:
            for step in (0, 2, 4) if energy < 0.6 else (0, 2, 4, 6):
                add(base + beat, length, pitch_of(degree + step, 52), chord_velocity, CHORD_CHANNEL)
        if has_lead and bar % 4 in (1, 3):
            for beat, step in motif:
                add(base + beat, 0.45, pitch_of(degree + step, 64), chord_velocity + 10, LEAD_CHANNEL)
    return notes, programs


def programmed_drums(generator: np.random.Generator, energy: float) -> DrumLoop:
    """Two bars of programmed drums, exactly on the grid: kick on the beat, clap on two and four, hats between.

    Args:
        generator: Source of chance.
        energy: 0..1; more means more hats and louder hits.

    Returns:
        A loop of two bars.
    """
    loud = int(70 + 40 * energy)
    hits: list[tuple[float, int, int]] = []
    is_four_on_floor = generator.random() < 0.6
    hat_step = (0.25, 0.5)[int(generator.random() > energy)]
    for bar in range(2):
        base = bar * BEATS_A_BAR
        kicks = (0.0, 1.0, 2.0, 3.0) if is_four_on_floor else ((0.0, 1.5, 2.0), (0.0, 2.5, 2.0))[bar]
        hits += [(base + beat, KICK, loud) for beat in kicks]
        hits += [(base + beat, (SNARE, CLAP)[int(generator.random() < 0.4)], loud) for beat in (1.0, 3.0)]
        hits += [
            (base + step * hat_step, CLOSED_HAT, loud - (10 if (step * hat_step) % 1.0 else 25))
            for step in range(int(BEATS_A_BAR / hat_step))
        ]
        if generator.random() < 0.4:
            hits += [(base + beat + 0.5, OPEN_HAT, loud - 15) for beat in range(4)]
    hits.sort()
    beat, note, velocity = (np.array([hit[k] for hit in hits]) for k in range(3))
    return DrumLoop("programmed", 2 * BEATS_A_BAR, beat.astype(np.float64), note, velocity)
