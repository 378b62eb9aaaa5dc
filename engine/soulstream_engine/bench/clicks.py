"""Clicks at moments that nobody can foresee, over steady music: what a listener who reacts must react to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soulstream_engine.audio.demo_track import BEATS_PER_BAR, SECTIONS, render_demo_track
from soulstream_engine.clock import SAMPLE_RATE
from soulstream_engine.frames import F32

FIRST_CLICK_S = 2.0
"""Music before the first click, seconds: the dancer dances. Ours."""

GAP_S = (1.0, 1.7)
"""Shortest and longest time between two clicks, seconds, all equally likely: longer than a reaction, and never on a
grid of beats or ticks. Ours."""

AFTER_LAST_S = 1.5
"""Music after the last click, seconds. Ours."""

LOUDNESS = 0.9
"""Peak of a click. The music has a tenth of what the built-in track has, so that a click is a surprise. Ours."""

_MUSIC_GAIN = 0.1
_CLICK_S = 0.1  # fading all the while


@dataclass(frozen=True, slots=True)
class ClickTrack:
    """Music and the clicks that go on top.

    ``music`` [N] float32 mono at 48 kHz; ``at`` first sample of each click, rising; ``click`` [M] float32.
    """

    music: F32
    at: tuple[int, ...]
    click: F32

    def sound(self, num_clicks: int | None = None) -> F32:
        """The music with its first ``num_clicks`` clicks, all unless said: [N] float32."""
        mixed = self.music.copy()
        for first in self.at[:num_clicks]:
            mixed[first : first + len(self.click)] += self.click
        return mixed


def steady_music() -> F32:
    """The main section of the built-in track, which has one tempo and can be looped: [N] float32, 48 kHz."""
    before_s = _length_s(0)
    first, length = round(before_s * SAMPLE_RATE), round(_length_s(1) * SAMPLE_RATE)
    return render_demo_track()[first : first + length]


def click_track(count: int, seed: int = 0, loudness: float = LOUDNESS) -> ClickTrack:
    """A track with ``count`` clicks.

    Args:
        count: 1 or more.
        seed: Of the moments; equal seeds give equal tracks.
        loudness: Peak of a click; 0 gives clicks that nobody can hear.
    """
    generator = np.random.default_rng(seed)
    times_s = FIRST_CLICK_S + np.concatenate([[0.0], np.cumsum(generator.uniform(*GAP_S, count - 1))])
    at = tuple(round(time * SAMPLE_RATE) for time in times_s + generator.uniform(0.0, GAP_S[0]))
    length = at[-1] + round(AFTER_LAST_S * SAMPLE_RATE)
    since_s = np.arange(round(_CLICK_S * SAMPLE_RATE)) / SAMPLE_RATE
    burst = generator.uniform(-1.0, 1.0, len(since_s)) * np.exp(-since_s / (_CLICK_S / 4.0))
    click = np.asarray(loudness * burst / np.abs(burst).max(), np.float32)
    return ClickTrack(np.resize(_MUSIC_GAIN * steady_music(), length).astype(np.float32), at, click)


def _length_s(section: int) -> float:
    """Seconds of a section of the built-in track."""
    return SECTIONS[section].bars * BEATS_PER_BAR * 60.0 / SECTIONS[section].tempo_bpm
