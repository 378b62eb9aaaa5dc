"""Styles of music for a dance, and a bass and chord line of our own for each of them.

A style says which drum takes, kits, instruments, patterns and chord progressions go together; everything else (key,
instruments, pattern, swing) is drawn anew for each piece. Positions are in beats, so a piece fits any beat grid. Not
for: drums played by people (``groove``), sound (``music_render``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soulstream_training.data.groove import BEATS_A_BAR, DrumLoop

BASS_CHANNEL = 0
CHORD_CHANNEL = 1
LEAD_CHANNEL = 2
DRUM_CHANNEL = 9

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)

KICK, SNARE, CLOSED_HAT, OPEN_HAT, CLAP = 36, 38, 42, 46, 39


@dataclass(frozen=True, slots=True)
class Note:
    """One note: ``beat`` and ``length`` in beats, MIDI ``pitch``, ``velocity`` 1..127 and ``channel``."""

    beat: float
    length: float
    pitch: int
    velocity: int
    channel: int


@dataclass(frozen=True, slots=True)
class Style:
    """What belongs together in a kind of music.

    ``takes`` are styles of drum takes; an empty one means programmed drums. ``kits`` and the instruments are General
    MIDI programs. ``bass`` and ``chords`` list patterns over a bar: bass hits are (beat, length, chord tone 0 root,
    1 third, 2 fifth, 3 octave), chord hits are (beat, length). ``progressions`` are degrees of the scale, one a bar.
    ``swing`` is the range of the delay of the second eighth, in beats.
    """

    name: str
    takes: tuple[str, ...]
    kits: tuple[int, ...]
    bass_programs: tuple[int, ...]
    chord_programs: tuple[int, ...]
    bass: tuple[tuple[tuple[float, float, int], ...], ...]
    chords: tuple[tuple[tuple[float, float], ...], ...]
    progressions: tuple[tuple[int, ...], ...]
    is_minor: bool
    swing: tuple[float, float] = (0.0, 0.0)


_EIGHTHS = tuple((k / 2, 0.45, 0 if k % 4 < 3 else 3) for k in range(8))
_QUARTERS = tuple((float(k), 0.9, (0, 2, 1, 2)[k]) for k in range(4))
_OFFBEATS = tuple((k + 0.5, 0.4, 0) for k in range(4))

STYLES: dict[str, Style] = {
    style.name: style
    for style in (
        Style(
            "salsa",
            ("latin", "afrocuban"),
            (0, 8),
            (32, 33, 35),
            (0, 1, 11, 12),
            (
                ((0.0, 1.4, 0), (1.5, 1.4, 2), (3.0, 0.9, 3)),
                ((0.0, 0.9, 0), (1.5, 0.5, 2), (2.0, 0.9, 0), (3.0, 0.9, 2)),
            ),
            (
                ((0.0, 0.4), (1.0, 0.4), (1.5, 0.4), (2.5, 0.4), (3.5, 0.4)),
                ((0.5, 0.4), (1.0, 0.4), (2.0, 0.4), (3.0, 0.4)),
            ),
            ((0, 3, 4, 3), (0, 4, 4, 0), (0, 5, 1, 4)),
            True,
        ),
        Style(
            "samba",
            ("latin", "afrobeat", "highlife"),
            (0, 8),
            (32, 33),
            (24, 25, 4, 0),
            (((0.0, 0.7, 0), (0.75, 0.2, 2), (1.0, 0.7, 2), (1.75, 0.2, 0), (2.0, 0.7, 0), (3.0, 0.7, 2)),),
            (((0.0, 0.4), (0.75, 0.2), (1.5, 0.4), (2.5, 0.4), (3.0, 0.4)),),
            ((0, 5, 1, 4), (0, 3, 4, 0)),
            False,
        ),
        Style(
            "swing",
            ("jazz", "neworleans", "blues"),
            (0, 32),
            (32, 33),
            (0, 26, 16),
            (_QUARTERS, ((0.0, 0.9, 0), (1.0, 0.9, 1), (2.0, 0.9, 2), (3.0, 0.9, 3))),
            (((1.0, 0.3), (3.0, 0.3)), ((0.0, 0.5), (1.5, 0.3), (3.0, 0.3))),
            ((0, 5, 1, 4), (0, 0, 3, 4), (1, 4, 0, 5)),
            False,
            (0.08, 0.17),
        ),
        Style(
            "electronic",
            (),
            (24, 25),
            (38, 39, 87),
            (80, 81, 88, 90, 50, 62),
            (_EIGHTHS, _OFFBEATS, tuple((k / 4, 0.2, 0 if k % 4 else 3) for k in range(16))),
            (
                ((0.0, 3.9),),
                ((0.0, 0.4), (0.75, 0.4), (1.5, 0.4), (2.5, 0.4)),
                ((0.5, 0.3), (1.5, 0.3), (2.5, 0.3), (3.5, 0.3)),
            ),
            ((0, 5, 2, 6), (0, 0, 5, 6), (0, 3, 5, 4)),
            True,
        ),
        Style(
            "hiphop",
            ("hiphop", "soul", "funk"),
            (0, 8, 25),
            (33, 38, 36),
            (4, 5, 11, 26),
            (
                ((0.0, 1.2, 0), (1.75, 0.2, 0), (2.5, 0.9, 2)),
                ((0.0, 0.7, 0), (0.75, 0.7, 0), (2.0, 0.7, 0), (3.5, 0.4, 2)),
            ),
            (((0.0, 1.8), (2.5, 1.2)), ((1.0, 0.3), (3.0, 0.3))),
            ((0, 5, 3, 4), (0, 0, 5, 5), (1, 4, 0, 0)),
            True,
            (0.0, 0.06),
        ),
        Style(
            "rock",
            ("rock", "punk", "country"),
            (0, 8, 16),
            (33, 34),
            (27, 29, 30, 18),
            (_EIGHTHS, _QUARTERS, ((0.0, 1.4, 0), (1.5, 0.4, 0), (2.0, 0.9, 0), (3.0, 0.9, 2))),
            (((0.0, 1.9), (2.0, 1.9)), tuple((k / 2, 0.4) for k in range(8))),
            ((0, 4, 5, 3), (0, 3, 4, 3), (0, 5, 3, 4)),
            False,
        ),
        Style(
            "pop",
            ("pop", "dance", "gospel", "rock", "funk"),
            (0, 8, 24),
            (33, 38),
            (0, 4, 89, 48),
            (_EIGHTHS, ((0.0, 0.9, 0), (1.5, 0.4, 0), (2.0, 0.9, 0), (3.5, 0.4, 2)), _QUARTERS),
            (((0.0, 3.8),), ((0.0, 0.9), (1.0, 0.9), (2.0, 0.9), (3.0, 0.9)), ((0.0, 1.4), (1.5, 1.4), (3.0, 0.9))),
            ((0, 4, 5, 3), (5, 3, 0, 4), (0, 5, 3, 4)),
            False,
        ),
        Style(
            "ballad",
            ("soul", "pop", "gospel", "rock"),
            (0, 40),
            (32, 33, 35),
            (0, 48, 89, 46),
            (((0.0, 1.9, 0), (2.0, 1.9, 2)), ((0.0, 2.9, 0), (3.0, 0.9, 2))),
            (((0.0, 3.9),), tuple((float(k), 0.9) for k in range(4))),
            ((0, 5, 3, 4), (0, 2, 3, 4)),
            False,
        ),
    )
}

_BY_LABEL = {
    "salsa": ("salsa", "samba"),
    "charleston": ("swing",),
    "lambada": ("samba", "salsa"),
    "macarena": ("pop", "samba"),
    "animal": ("pop", "hiphop", "rock"),
    "chicken-dance": ("swing", "pop"),
    "russian": ("rock", "pop"),
    "breakdance": ("hiphop",),
    "modern-ballet": ("ballad",),
    "broadway": ("swing", "pop"),
    "jazzwalk": ("swing",),
    "westcoast": ("hiphop", "swing"),
    "spiraldance": ("ballad", "pop"),
}


def styles_for(label: str) -> tuple[str, ...]:
    """Styles that suit a motion clip.

    Args:
        label: Style column of the clip list.

    Returns:
        Names in ``STYLES``; the first fits best. Programmed electronic music fits everything and comes last.
    """
    return (*_BY_LABEL.get(label, ("pop", "hiphop")), "electronic")


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


def repeat_drums(loop: DrumLoop, num_beats: int, first_beat: int, loudness: float) -> list[Note]:
    """A drum loop over a whole piece.

    Args:
        loop: The loop.
        num_beats: Length of the piece.
        first_beat: Beat of the loop the piece starts with.
        loudness: Factor of the velocities.

    Returns:
        Notes on the drum channel, in beats from the start of the piece.
    """
    notes: list[Note] = []
    for base in range(-loop.num_beats, num_beats + loop.num_beats, loop.num_beats):
        for beat, pitch, velocity in zip(loop.beat, loop.note, loop.velocity, strict=True):
            at = base + float(beat) - first_beat
            if -0.01 <= at < num_beats:
                strength = int(np.clip(velocity * loudness, 1, 127))
                notes.append(Note(max(at, 0.0), 0.2, int(pitch), strength, DRUM_CHANNEL))
    return notes


def compose(
    style: Style, num_beats: int, generator: np.random.Generator, *, energy: float = 0.5
) -> tuple[list[Note], dict[int, int]]:
    """A bass line, chords and now and then a short tune, in a key, progression and pattern drawn for this piece.

    Args:
        style: What belongs together.
        num_beats: Length of the piece; it starts on the first beat of a bar.
        generator: Source of chance.
        energy: 0..1; drives velocity and density.

    Returns:
        The notes, and the General MIDI program of each channel used.
    """
    key = int(generator.integers(0, 12))
    scale = MINOR if style.is_minor != (generator.random() < 0.2) else MAJOR
    progression = style.progressions[int(generator.integers(len(style.progressions)))]
    bass = style.bass[int(generator.integers(len(style.bass)))]
    chords = style.chords[int(generator.integers(len(style.chords)))]
    swing = float(generator.uniform(*style.swing))
    has_lead = generator.random() < 0.25 + 0.4 * energy
    motif = [(float(beat), int(generator.integers(0, 7))) for beat in np.arange(0, 4, 0.5) if generator.random() < 0.5]
    programs = {
        BASS_CHANNEL: int(generator.choice(style.bass_programs)),
        CHORD_CHANNEL: int(generator.choice(style.chord_programs)),
        LEAD_CHANNEL: int(generator.choice((*style.chord_programs, 65, 73, 80))),
    }
    bass_velocity, chord_velocity = int(65 + 40 * energy), int(45 + 35 * energy)
    notes: list[Note] = []

    def pitch_of(degree: int, base: int) -> int:
        return base + key + 12 * (degree // 7) + scale[degree % 7]

    def add(beat: float, length: float, pitch: int, velocity: int, channel: int) -> None:
        at = beat + (swing if beat % 1.0 == 0.5 else 0.0)
        if at < num_beats:
            loud = int(np.clip(velocity + generator.normal(0, 4), 1, 127))
            notes.append(Note(at, min(length, num_beats - at), pitch, loud, channel))

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
