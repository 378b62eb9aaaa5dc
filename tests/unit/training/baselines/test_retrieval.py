"""Clip retrieval: which dance, in step with the song, and nothing of the future."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.beat_dancers import Figure, heard_rows, height_m, write_figures

from soulstream_engine.clock import FPS
from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.representation import decode_pose
from soulstream_engine.motion.skeleton import forward_kinematics
from soulstream_training.baselines.plain import BLEND_FRAMES
from soulstream_training.baselines.retrieval import DECIDE_FRAMES, RetrievalDancer
from soulstream_training.data.kinematic_beats import kinematic_beats
from soulstream_training.evaluation.bas import beat_f1, nearest_distance

SECONDS = 30
FRAMES = SECONDS * FPS
FIGURES = [
    Figure("low", timbre=-1.0),
    Figure("middle", timbre=0.0),
    Figure("high", timbre=1.0),
    Figure("other_split", split="test", timbre=0.3),
]


@pytest.fixture(scope="module")
def dancer(tmp_path_factory: pytest.TempPathFactory) -> RetrievalDancer:
    return made(tmp_path_factory.mktemp("gallery"), FIGURES)


def made(folder: Path, figures: list[Figure]) -> RetrievalDancer:
    write_figures(folder / "store", folder / "music", figures)
    return RetrievalDancer(folder / "store", folder / "music")


def joints_of(rows: np.ndarray) -> np.ndarray:
    return forward_kinematics(*decode_pose(rows)[:2])


def beats(bpm: float) -> np.ndarray:
    return np.arange(0.0, SECONDS, 60.0 / bpm)


def test_one_row_for_each_frame_and_a_decision_every_eight_seconds(dancer: RetrievalDancer) -> None:
    danced = dancer.dance(heard_rows(FRAMES + 7, 125.0), 0)
    assert danced.rows.shape == (FRAMES + 7, 263)
    assert danced.rows.dtype == np.float32
    assert np.isfinite(danced.rows).all()
    assert danced.edges.tolist() == [0, 240, 480, 720]
    assert dancer.wait_s == 0.0


def test_the_most_similar_music_is_danced_and_no_clip_twice_running(dancer: RetrievalDancer) -> None:
    danced = dancer.dance(heard_rows(FRAMES, 120.0, timbre=0.9), 0)
    shown = [danced.rows[edge + BLEND_FRAMES + 5, 3] for edge in danced.edges]
    assert shown == pytest.approx([height_m(2), height_m(1), height_m(2), height_m(1)], abs=1e-3)


def test_only_the_last_five_seconds_are_compared(dancer: RetrievalDancer) -> None:
    music = heard_rows(FRAMES, 120.0, timbre=1.0)
    music[: DECIDE_FRAMES - 150] = heard_rows(FRAMES, 120.0, timbre=0.0)[: DECIDE_FRAMES - 150]
    rows = dancer.dance(music, 0).rows
    assert rows[DECIDE_FRAMES - 1, 3] == pytest.approx(height_m(1), abs=1e-3)
    assert rows[DECIDE_FRAMES + BLEND_FRAMES, 3] == pytest.approx(height_m(2), abs=1e-3)


@pytest.mark.parametrize("last", [0, 100, 239, 240, 250, 700])
def test_nothing_later_is_heard(dancer: RetrievalDancer, last: int) -> None:
    music = heard_rows(FRAMES, 120.0)
    other = music.copy()
    other[last + 1 :] = heard_rows(FRAMES, 150.0, timbre=-1.0)[last + 1 :]
    rows, others = dancer.dance(music, 3).rows, dancer.dance(other, 3).rows
    np.testing.assert_array_equal(rows[: last + 1], others[: last + 1])
    assert not np.array_equal(rows, others)
    np.testing.assert_array_equal(dancer.dance(music[: last + 1], 3).rows, rows[: last + 1])


@pytest.mark.parametrize("bpm", [96.0, 133.0, 150.0])
def test_beats_of_the_dance_fall_on_the_beats_of_the_song(dancer: RetrievalDancer, bpm: float) -> None:
    rested = kinematic_beats(joints_of(dancer.dance(heard_rows(FRAMES, bpm), 0).rows))
    unwarped = kinematic_beats(joints_of(dancer.dance(heard_rows(FRAMES, bpm, confidence=0.2), 0).rows))
    assert beat_f1(beats(bpm), rested) > 0.9
    assert beat_f1(beats(bpm), unwarped) < 0.6


@pytest.mark.parametrize(("bpm", "danced_bpm"), [(200.0, 100.0), (75.0, 150.0)])
def test_a_far_tempo_is_danced_at_half_or_double(dancer: RetrievalDancer, bpm: float, danced_bpm: float) -> None:
    rested = kinematic_beats(joints_of(dancer.dance(heard_rows(FRAMES, bpm), 0).rows))
    assert 60.0 / np.median(np.diff(rested)) == pytest.approx(danced_bpm, rel=0.02)
    assert np.mean(nearest_distance(rested, beats(max(bpm, danced_bpm))) < 0.05) > 0.9


def test_without_trust_in_the_clock_the_motion_keeps_its_own_pace(dancer: RetrievalDancer) -> None:
    rested = kinematic_beats(joints_of(dancer.dance(heard_rows(FRAMES, 150.0, confidence=0.2), 0).rows))
    assert 60.0 / np.median(np.diff(rested)) == pytest.approx(120.0, rel=0.02)


def test_a_clock_that_locks_late_is_caught_up_with(dancer: RetrievalDancer) -> None:
    music = heard_rows(FRAMES, 130.0, confidence=0.0)
    music[100:] = heard_rows(FRAMES, 130.0)[100:]
    rested = kinematic_beats(joints_of(dancer.dance(music, 0).rows))
    after = beats(130.0)
    assert beat_f1(after[after > 5.0], rested[rested > 5.0]) > 0.9


def test_a_change_of_dance_is_no_jump(dancer: RetrievalDancer) -> None:
    for seed in range(4):
        danced = dancer.dance(heard_rows(FRAMES, 140.0), seed)
        steps = np.linalg.norm(np.diff(joints_of(danced.rows), axis=0), axis=-1).max(axis=1)
        near = np.zeros(len(steps), bool)
        for edge in danced.edges[1:]:
            near[edge - 2 : edge + BLEND_FRAMES + 2] = True
        assert steps[near].max() < 1.3 * steps[~near].max()


def test_the_seed_chooses_where_a_dance_is_entered(dancer: RetrievalDancer) -> None:
    music = heard_rows(FRAMES, 120.0)
    first, second = (dancer.dance(music, seed).rows for seed in (0, 1))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, dancer.dance(music, 0).rows)


def test_a_dance_that_ends_is_followed_by_another(tmp_path: Path) -> None:
    short = [Figure("one", seconds=6.0), Figure("two", seconds=6.0)]
    danced = made(tmp_path, short).dance(heard_rows(FRAMES, 120.0), 0)
    assert len(danced.rows) == FRAMES
    assert len(danced.edges) > 4
    assert np.diff(danced.edges).max() < 6 * FPS


def test_a_recording_without_known_beats_keeps_its_own_pace(tmp_path: Path) -> None:
    dancer = made(tmp_path, [Figure("real", pairing="real")])
    rested = kinematic_beats(joints_of(dancer.dance(heard_rows(FRAMES, 150.0), 0).rows))
    assert 60.0 / np.median(np.diff(rested)) == pytest.approx(120.0, rel=0.02)


def test_dances_under_five_seconds_are_no_gallery(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no rendering with 5 s of dance") as caught:
        made(tmp_path, [Figure("short", seconds=4.0)])
    assert caught.value.code == "GALLERY_EMPTY"
