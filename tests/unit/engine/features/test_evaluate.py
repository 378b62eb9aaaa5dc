"""Scores of the beat clock: what counts as right, what is forgiven, and the clock on real tracks."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from soulstream_engine.audio.decode import load_audio
from soulstream_engine.clock import FPS, SAMPLE_RATE
from soulstream_engine.features.evaluate import score_track, summarise
from soulstream_engine.features.extractor import extract
from soulstream_engine.features.extrapolate import write_clock
from soulstream_engine.features.layout import NUM_FEATURES


def clock_rows(bpm: float, first_beat_s: float, seconds: float = 20.0) -> NDArray[np.float32]:
    count = int(seconds * FPS)
    rows = np.zeros((count, NUM_FEATURES), np.float32)
    phase = (np.arange(count) / FPS - first_beat_s) * bpm / 60.0
    write_clock(rows, phase, np.full(count, bpm), np.ones(count))
    return rows


def test_a_perfect_clock_has_no_error() -> None:
    score = score_track(clock_rows(127.0, 0.2), 127.0, 0.2)
    assert score.tempo_ok_8s
    assert score.tempo_ok_15s
    assert score.within() == 1.0
    assert np.abs(score.phase_s).max() < 1e-4
    assert score.on_beat == 1.0


def test_a_late_clock_has_a_negative_error() -> None:
    score = score_track(clock_rows(127.0, 0.23), 127.0, 0.2)
    np.testing.assert_allclose(score.phase_s, -0.03, atol=1e-4)


def test_half_beats_are_forgiven_and_counted() -> None:
    score = score_track(clock_rows(120.0, 0.25), 120.0, 0.0)
    assert score.within() == 1.0
    assert score.on_beat == 0.0


def test_a_wrong_tempo_is_a_miss_even_where_the_phase_fits() -> None:
    score = score_track(clock_rows(60.0, 0.0), 120.0, 0.0)
    assert not score.tempo_ok_8s
    assert score.within() == 0.0
    total = summarise([score, score_track(clock_rows(120.0, 0.0), 120.0, 0.0)])
    assert total["tempo_ok_8s"] == 1
    assert total["phase_ok"] == 0.5
    assert total["phase_ok_right_tempo"] == 1.0


def test_a_short_track_is_refused() -> None:
    with pytest.raises(ValueError, match=r"8\.0 s"):
        score_track(clock_rows(120.0, 0.0, seconds=8.0), 120.0, 0.0)


@pytest.mark.data
@pytest.mark.parametrize("name", ["rrootage_stg_b", "val-and-rick_ground", "tumiki-fighters_panic_on_meadow"])
def test_real_tracks_are_followed(shared_data: Path, name: str) -> None:
    with (shared_data / "music.csv").open(newline="", encoding="utf-8") as lines:
        track = next(row for row in csv.DictReader(lines) if row["id"] == name)
    samples = load_audio(shared_data / track["path"])[: 20 * SAMPLE_RATE]
    score = score_track(extract(samples), float(track["bpm"]), float(track["first_beat_s"]))
    assert score.tempo_ok_8s
    assert score.within() > 0.95
