"""The built-in track: 60 seconds of dance music, synthesised here, so that something dances right after installation.

Four sections with different tempo and energy (``SECTIONS``). Every sound is made once and reused at every hit, pitched
sounds read a one-cycle wave table; rendering takes well under a second. The same samples come out on every run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import SAMPLE_RATE

F32 = NDArray[np.float32]

DEMO_SECONDS = 60
"""Length of the track, seconds."""

BEATS_PER_BAR = 4
PEAK = 0.9
"""Largest absolute sample of the finished track."""


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of one tempo: ``bars`` of four beats at ``tempo_bpm``; the flags say which instruments play."""

    name: str
    tempo_bpm: float
    bars: int
    gain: float
    has_kick: bool
    has_lead: bool
    busy: int
    """How dense the percussion is: 0 light, 1 eighth-note hats, 2 sixteenths and open hats."""


SECTIONS = (
    Section("intro", 118.0, 8, 0.80, has_kick=True, has_lead=False, busy=0),
    Section("main", 128.0, 12, 1.00, has_kick=True, has_lead=True, busy=1),
    Section("break", 128.0, 4, 0.55, has_kick=False, has_lead=True, busy=0),
    Section("finale", 140.0, 8, 1.00, has_kick=True, has_lead=True, busy=2),
)
"""32 bars, 59.98 s in all."""

# D minor: i, VI, III, VII, as MIDI notes; one chord a bar. The lead picks from the pentatonic scale of the key.
_CHORDS = ((50, 57, 60, 65), (46, 58, 62, 65), (53, 57, 60, 65), (48, 55, 60, 64))
_BASS_STEPS = ((0, 0), (3, 0), (6, 12), (8, 0), (11, 0), (14, 7))  # (sixteenth in the bar, semitones above the root)
_LEAD_NOTES = (62, 65, 67, 69, 72, 74, 77)
_LEAD_A = ((0, 3, 3), (3, 4, 3), (6, 2, 2), (8, 3, 4), (12, 1, 3))  # (sixteenth, entry of _LEAD_NOTES, length)
_LEAD_B = ((0, 5, 3), (3, 4, 3), (6, 3, 2), (8, 4, 2), (10, 3, 2), (12, 2, 4))
_TABLE_SIZE = 4096


def demo_beats_s() -> NDArray[np.float64]:
    """Times of all beats of the track, seconds, rising [128]; the first is 0."""
    times: list[float] = []
    start_s = 0.0
    for section in SECTIONS:
        beat_s = 60.0 / section.tempo_bpm
        beats = section.bars * BEATS_PER_BAR
        times.extend(start_s + beat_s * beat for beat in range(beats))
        start_s += beat_s * beats
    return np.asarray(times)


def render_demo_track() -> F32:
    """Renders the track.

    Returns:
        Samples [48000 * 60] float32, mono, peak ``PEAK``, the same every time.
    """
    length = SAMPLE_RATE * DEMO_SECONDS
    drums, music = np.zeros(length, np.float32), np.zeros(length, np.float32)
    duck = np.ones(length, np.float32)
    start_s = 0.0
    for number, section in enumerate(SECTIONS):
        for bar in range(section.bars):
            bar_s = start_s + bar * BEATS_PER_BAR * 60.0 / section.tempo_bpm
            is_last_bar = bar == section.bars - 1
            _add_drums(drums, duck, section, bar, bar_s, fill=is_last_bar and number < len(SECTIONS) - 1)
            _add_music(music, section, bar, bar_s)
        start_s += section.bars * BEATS_PER_BAR * 60.0 / section.tempo_bpm
    _echo(music, delay=int(0.349 * SAMPLE_RATE), gain=0.22)
    music *= duck
    music += drums
    np.tanh(music, out=music)
    music *= np.float32(PEAK / max(float(np.abs(music).max()), 1e-6))
    fade = int(0.005 * SAMPLE_RATE)
    music[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return music


def _add_drums(drums: F32, duck: F32, section: Section, bar: int, bar_s: float, *, fill: bool) -> None:
    sixteenth_s = 15.0 / section.tempo_bpm
    for step in range(16):
        at = round((bar_s + step * sixteenth_s) * SAMPLE_RATE)
        accent = section.gain
        if step % 4 == 0:
            if section.has_kick:
                _add(drums, _kick(), at, 0.95 * accent)
                _multiply(duck, _duck_shape(), at)
            else:
                _add(drums, _rim(), at, 0.45 * accent)
        if step in (4, 12) and (section.has_kick or bar % 2 == 1):
            _add(drums, _clap(), at, (0.62 if section.has_kick else 0.3) * accent)
        if step % 4 == 2:
            _add(drums, _hat(0.16 if section.busy else 0.06), at, 0.34 * accent)
        elif section.busy == 1 and step % 2 == 0:
            _add(drums, _hat(0.045), at, 0.16 * accent)
        elif section.busy == 2:
            _add(drums, _hat(0.04), at, (0.2 if step % 2 == 0 else 0.12) * accent)
        if fill and step >= 12:
            _add(drums, _snare(), at, (0.3 + 0.1 * (step - 12)) * max(accent, 0.8))
    if bar == 0:
        _add(drums, _crash(), round(bar_s * SAMPLE_RATE), 0.4 * section.gain)


def _add_music(music: F32, section: Section, bar: int, bar_s: float) -> None:
    sixteenth_s = 15.0 / section.tempo_bpm
    chord = _CHORDS[bar % len(_CHORDS)]
    start = round(bar_s * SAMPLE_RATE)
    bar_samples = round(16 * sixteenth_s * SAMPLE_RATE)
    pad_gain = 0.16 if section.has_kick else 0.26
    for note in chord:
        _add(music, _pad(note, bar_samples), start, pad_gain * section.gain)
    for step in (2, 6, 10, 14) if section.busy else (6, 14):
        for note in chord[1:]:
            stab = _pluck(note + 12, round(2 * sixteenth_s * SAMPLE_RATE))
            _add(music, stab, start + round(step * sixteenth_s * SAMPLE_RATE), 0.09 * section.gain)
    bass_root = 38 + (chord[0] - 38) % 12
    for step, semitones in _BASS_STEPS if section.has_kick else _BASS_STEPS[:1]:
        length = round((2.5 if section.has_kick else 12.0) * sixteenth_s * SAMPLE_RATE)
        tone = _bass(bass_root + semitones - 12, length)
        _add(music, tone, start + round(step * sixteenth_s * SAMPLE_RATE), 0.5 * section.gain)
    if section.has_lead:
        for step, degree, steps in _LEAD_A if bar % 4 in (0, 2) else _LEAD_B:
            tone = _lead(_LEAD_NOTES[degree], round(steps * sixteenth_s * SAMPLE_RATE))
            _add(music, tone, start + round(step * sixteenth_s * SAMPLE_RATE), 0.2 * section.gain)


def _add(track: F32, sound: F32, at: int, gain: float) -> None:
    stop = min(at + len(sound), len(track))
    track[at:stop] += sound[: stop - at] * np.float32(gain)


def _multiply(track: F32, shape: F32, at: int) -> None:
    stop = min(at + len(shape), len(track))
    track[at:stop] *= shape[: stop - at]


def _echo(track: F32, delay: int, gain: float) -> None:
    """Two repeats, each softer."""
    dry = track.copy()
    track[delay:] += dry[:-delay] * np.float32(gain)
    track[2 * delay :] += dry[: -2 * delay] * np.float32(gain * gain)


def _seconds(length_s: float) -> F32:
    return np.arange(int(length_s * SAMPLE_RATE), dtype=np.float32) / np.float32(SAMPLE_RATE)


def _noise(length: int, seed: int) -> F32:
    return np.random.default_rng(seed).standard_normal(length, dtype=np.float32)


def _high_pass(sound: F32, corner_hz: float) -> F32:
    """First-order high-pass of a short sound, done in the frequency domain."""
    ratio = np.fft.rfftfreq(len(sound), 1.0 / SAMPLE_RATE) / corner_hz
    return np.fft.irfft(np.fft.rfft(sound) * ratio / np.sqrt(1.0 + ratio * ratio), len(sound)).astype(np.float32)


@cache
def _kick() -> F32:
    t = _seconds(0.32)
    phase = 2.0 * np.pi * (48.0 * t + (150.0 / 34.0) * (1.0 - np.exp(-34.0 * t)))
    body = np.sin(phase) * np.exp(-9.0 * t)
    click = _high_pass(_noise(len(t), 1), 2500.0) * np.exp(-320.0 * t) * 0.3
    return np.asarray((body + click) * np.minimum(1.0, t * 2000.0), np.float32)


@cache
def _duck_shape() -> F32:
    t = _seconds(0.30)
    return np.asarray(1.0 - 0.55 * np.exp(-11.0 * t) * np.minimum(1.0, (0.30 - t) * 12.0), np.float32)


@cache
def _clap() -> F32:
    t = _seconds(0.24)
    bursts = sum(np.where(t >= d, np.exp(-170.0 * np.maximum(t - d, 0.0)), 0.0) for d in (0.0, 0.009, 0.019))
    tail = np.where(t >= 0.028, np.exp(-19.0 * np.maximum(t - 0.028, 0.0)), 0.0)
    return np.asarray(_high_pass(_noise(len(t), 2), 1100.0) * (0.5 * bursts + 0.45 * tail) * 0.8, np.float32)


@cache
def _snare() -> F32:
    t = _seconds(0.16)
    body = np.sin(2.0 * np.pi * 190.0 * t) * np.exp(-28.0 * t)
    return np.asarray(0.6 * body + 0.45 * _high_pass(_noise(len(t), 3), 1500.0) * np.exp(-24.0 * t), np.float32)


@cache
def _rim() -> F32:
    t = _seconds(0.09)
    tone = np.sin(2.0 * np.pi * 820.0 * t) + 0.6 * np.sin(2.0 * np.pi * 1240.0 * t)
    return np.asarray(tone * np.exp(-75.0 * t), np.float32)


@cache
def _hat(decay_s: float) -> F32:
    t = _seconds(decay_s * 2.0)
    return np.asarray(_high_pass(_noise(len(t), 4), 7000.0) * np.exp(-t * (3.0 / decay_s)) * 0.9, np.float32)


@cache
def _crash() -> F32:
    t = _seconds(1.6)
    return np.asarray(_high_pass(_noise(len(t), 5), 4500.0) * np.exp(-2.6 * t) * 0.6, np.float32)


@cache
def _wave_table(partials: int, roll_off: float) -> F32:
    """One cycle of a sum of sine partials with amplitude 1 / n ** roll_off, peak 1."""
    phase = 2.0 * np.pi * np.arange(_TABLE_SIZE) / _TABLE_SIZE
    wave = sum(np.sin(n * phase) / n**roll_off for n in range(1, partials + 1))
    return np.asarray(wave / np.abs(wave).max(), np.float32)


def _tone(note: float, length: int, partials: int, roll_off: float) -> F32:
    """A steady tone [length] of a MIDI note (69 = 440 Hz)."""
    step = 440.0 * 2.0 ** ((note - 69.0) / 12.0) * _TABLE_SIZE / SAMPLE_RATE
    index = (np.arange(length, dtype=np.float64) * step).astype(np.int64) & (_TABLE_SIZE - 1)
    return np.asarray(np.take(_wave_table(partials, roll_off), index), np.float32)


def _edges(length: int, rise_s: float, fall_s: float) -> F32:
    """Envelope [length] that rises and falls linearly at its ends."""
    t = np.arange(length, dtype=np.float32) / np.float32(SAMPLE_RATE)
    rise, fall = t / np.float32(rise_s), (t[::-1]) / np.float32(fall_s)
    return np.asarray(np.minimum(np.float32(1.0), np.minimum(rise, fall)), np.float32)


@cache
def _pad(note: int, length: int) -> F32:
    sound = _tone(note - 0.07, length, 7, 1.3) + _tone(note + 0.06, length, 7, 1.3)
    return np.asarray(sound * _edges(length, 0.06, 0.05) * np.float32(0.5), np.float32)


@cache
def _pluck(note: int, length: int) -> F32:
    t = np.arange(length, dtype=np.float32) / np.float32(SAMPLE_RATE)
    return np.asarray(
        _tone(note, length, 9, 1.1) * np.exp(np.float32(-14.0) * t) * _edges(length, 0.003, 0.02), np.float32
    )


@cache
def _bass(note: int, length: int) -> F32:
    t = np.arange(length, dtype=np.float32) / np.float32(SAMPLE_RATE)
    bright, round_ = _tone(note, length, 12, 1.0), _tone(note, length, 2, 1.6)
    bite = np.exp(np.float32(-12.0) * t)
    return np.asarray(
        (bright * bite * np.float32(0.6) + round_ * np.float32(0.7)) * _edges(length, 0.004, 0.03), np.float32
    )


@cache
def _lead(note: int, length: int) -> F32:
    t = np.arange(length, dtype=np.float32) / np.float32(SAMPLE_RATE)
    sound = _tone(note - 0.05, length, 10, 1.15) + _tone(note + 0.05, length, 10, 1.15)
    return np.asarray(sound * np.exp(np.float32(-3.0) * t) * _edges(length, 0.006, 0.03) * np.float32(0.6), np.float32)
