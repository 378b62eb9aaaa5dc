"""The beat evaluation: which tracks, which reference beats, and what it counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soulstream_engine.errors import ConfigError
from soulstream_training.evaluation.beats import Track, evaluate_beats, read_tracks, reference_beats


def _track(path: Path, *, bpm: float = 120.0, first_beat_s: float = 0.3, mix_with: Path | None = None) -> Track:
    return Track(path.stem, path, mix_with, 30.0, bpm, first_beat_s, "tune")


def _dance(stops_s: np.ndarray, duration_s: float) -> np.ndarray:
    fine = np.arange(0.0, duration_s, 1 / 600)
    speed = 1.0 - sum(0.9 * np.exp(-0.5 * ((fine - stop) / 0.07) ** 2) for stop in stops_s)
    x = np.interp(np.arange(int(duration_s * 30)) / 30, fine, np.cumsum(speed) / 600)
    return np.broadcast_to(x[:, None, None], (len(x), 52, 3))


def test_reference_beats_start_at_the_first_one_after_zero() -> None:
    track = _track(Path("a.wav"), bpm=60.0, first_beat_s=2.25)
    assert reference_beats(track, 5.0) == pytest.approx([0.25, 1.25, 2.25, 3.25, 4.25])


def test_locked_dances_count_and_the_lateness_is_told(tmp_path: Path) -> None:
    tracks = [_track(tmp_path / "a.wav"), _track(tmp_path / "b.wav", bpm=140.0)]

    def render(path: Path, seed: int) -> np.ndarray:
        track = tracks[0] if path.stem == "a" else tracks[1]
        late_s = 0.0 if path.stem == "a" else 0.04
        return _dance(reference_beats(track, 30.0)[:-1] + late_s, 30.0)

    result = evaluate_beats(tracks, render, seeds=(0, 1, 2))
    assert result["num_tracks"] == 2
    assert result["significant"] == 1
    assert result["tracks"]["a"]["bas"] > 0.9
    assert result["tracks"]["b"]["best_offset_ms"] == pytest.approx(40.0, abs=6.0)
    assert len(result["tracks"]["a"]["seeds"]) == 3


def test_two_files_of_a_track_are_mixed_before_the_dance(tmp_path: Path) -> None:
    song, guitar = tmp_path / "song.wav", tmp_path / "guitar.wav"
    soundfile.write(song, np.full(4_800, 0.25), 48_000)
    soundfile.write(guitar, np.full(9_600, 0.5), 48_000)
    heard: list[np.ndarray] = []

    def render(path: Path, seed: int) -> np.ndarray:
        heard.append(soundfile.read(path)[0])
        return np.zeros((300, 52, 3))

    result = evaluate_beats([_track(song, mix_with=guitar)], render)
    assert heard[0][:4_700] == pytest.approx(0.75, abs=1e-3)
    assert heard[0][5_000:] == pytest.approx(0.5, abs=1e-3)
    assert result["tracks"]["song"]["shift_p"] == 1.0


def test_unknown_use_and_missing_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Unknown use"):
        read_tracks(tmp_path, ("train",))
    with pytest.raises(ConfigError, match=r"music\.csv"):
        read_tracks(tmp_path)


@pytest.mark.data
def test_the_six_test_tracks_are_the_default(shared_data: Path) -> None:
    tracks = read_tracks(shared_data)
    assert len(tracks) == 6
    assert sum(track.mix_with is not None for track in tracks) == 2
    assert len(read_tracks(shared_data, ("test",))) == 10
    assert all(track.path.is_file() for track in tracks)
