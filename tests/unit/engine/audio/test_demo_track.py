"""The built-in track is always the same music: in time, never silent, louder where it should be."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from soulstream_engine.audio.demo_track import DEMO_SECONDS, SECTIONS, demo_beats_s, render_demo_track
from soulstream_engine.clock import SAMPLE_RATE


@pytest.fixture(scope="module")
def track() -> NDArray[np.float32]:
    return render_demo_track()


def test_sixty_seconds_below_full_scale_and_the_same_every_time(track: NDArray[np.float32]) -> None:
    assert track.shape == (SAMPLE_RATE * DEMO_SECONDS,)
    assert track.dtype == np.float32
    assert 0.5 < np.abs(track).max() < 0.95
    assert np.array_equal(track, render_demo_track())


def test_rendering_is_quick() -> None:
    start = time.process_time()
    render_demo_track()
    assert time.process_time() - start < 1.0


def test_never_silent_for_long(track: NDArray[np.float32]) -> None:
    level = np.sqrt(np.mean(track.reshape(-1, SAMPLE_RATE // 10) ** 2, axis=1))
    assert level.min() > 0.01


def test_beats_follow_the_tempo_of_each_section() -> None:
    beats_s = demo_beats_s()
    start = 0
    for section in SECTIONS:
        num = section.bars * 4
        assert np.diff(beats_s[start : start + num]) == pytest.approx(60.0 / section.tempo_bpm)
        start += num
    assert start == len(beats_s)
    assert [section.tempo_bpm for section in SECTIONS] == [118.0, 128.0, 128.0, 140.0]


def test_the_drums_hit_on_the_beats(track: NDArray[np.float32]) -> None:
    hop = SAMPLE_RATE // 100
    bright = np.abs(np.diff(track, prepend=0.0)).reshape(-1, hop).mean(axis=1)
    rise = np.maximum(np.diff(bright, prepend=0.0), 0.0)
    on_beat = np.mean([rise[round(b * 100) : round(b * 100) + 3].max() for b in demo_beats_s()])
    between = np.mean([rise[round(b * 100) + 6 : round(b * 100) + 9].max() for b in demo_beats_s()])
    assert on_beat > 3.0 * between


def test_the_break_is_softer_than_what_surrounds_it(track: NDArray[np.float32]) -> None:
    levels, start_s = {}, 0.0
    for section in SECTIONS:
        end_s = start_s + section.bars * 240.0 / section.tempo_bpm
        part = track[int(start_s * SAMPLE_RATE) : int(end_s * SAMPLE_RATE)]
        levels[section.name] = 20 * np.log10(np.sqrt(np.mean(part**2)))
        start_s = end_s
    assert start_s == pytest.approx(DEMO_SECONDS, abs=0.05)
    assert levels["break"] < levels["main"] - 3.0
    assert levels["break"] < levels["finale"] - 3.0
    assert levels["intro"] < levels["main"] - 1.0
