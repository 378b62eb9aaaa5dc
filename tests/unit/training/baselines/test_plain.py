"""Systems that hear nothing: the waiting dancer, the shifted dance, and how motion is blended and looped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.beat_dancers import Figure, heard_rows, write_figures

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.floor import floor_deficit_m
from soulstream_engine.motion.idle import idle_poses
from soulstream_engine.motion.representation import BODY_JV, decode_joints, decode_pose, encode_body
from soulstream_engine.motion.skeleton import PELVIS_REST_HEIGHT_M, forward_kinematics
from soulstream_training.baselines.plain import (
    BLEND_FRAMES,
    IdleDancer,
    ShiftedDancer,
    cross_fade,
    looped,
    played,
)
from soulstream_training.data.store import body_rows, load_clip, read_index

MUSIC = heard_rows(700, 120.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    figures = [
        Figure("one"),
        Figure("two", bpm=100.0),
        Figure("three", bpm=140.0, pairing="B"),
        Figure("no_beat", pairing="C"),
        Figure("short", seconds=3.0),
        Figure("tested", split="test"),
    ]
    write_figures(folder / "store", folder / "music", figures)
    return folder / "store"


def joints_of(rows: np.ndarray) -> np.ndarray:
    return forward_kinematics(*decode_pose(rows)[:2])


def test_the_waiting_dancer_hardly_moves() -> None:
    danced = IdleDancer().dance(MUSIC, 0)
    assert danced.rows.shape == (700, 263)
    assert len(danced.edges) == 0
    joints = joints_of(danced.rows)
    assert np.linalg.norm(np.diff(joints, axis=0), axis=-1).max() * 30 < 0.2
    assert np.abs(joints[:, 0, [0, 2]]).max() < 0.1
    assert not np.array_equal(danced.rows, IdleDancer().dance(MUSIC, 1).rows)


def test_the_shifted_dance_is_a_real_one_but_for_its_blends(store: Path) -> None:
    clips = {entry.clip_id: body_rows(load_clip(store, entry))[0] for entry in read_index(store)}
    heights = set()
    for seed in range(8):
        danced = ShiftedDancer(store).dance(MUSIC, seed)
        assert danced.rows.shape == (700, 263)
        number = round((float(np.median(danced.rows[:, 3])) - PELVIS_REST_HEIGHT_M) / 0.01)
        real = clips[["one", "two", "three"][number]]
        heights.add(number)
        is_real = np.array([np.abs(real - row).max(axis=1).min() < 1e-5 for row in danced.rows])
        blended = (danced.edges[:, None] + np.arange(BLEND_FRAMES)).ravel()
        assert set(np.flatnonzero(~is_real)) <= set(blended)
    assert len(heights) > 1


def test_the_seed_chooses_clip_and_start_and_the_music_nothing(store: Path) -> None:
    dancer = ShiftedDancer(store)
    first, second = dancer.dance(MUSIC, 0), dancer.dance(MUSIC, 1)
    assert not np.array_equal(first.rows, second.rows)
    np.testing.assert_array_equal(first.rows, dancer.dance(np.zeros_like(MUSIC), 0).rows)


def test_nothing_to_dance_is_refused(tmp_path: Path) -> None:
    write_figures(tmp_path / "a", tmp_path / "a_music", [Figure("no_beat", pairing="C")])
    with pytest.raises(ConfigError, match="no clean dance of 5 s") as caught:
        ShiftedDancer(tmp_path / "a")
    assert caught.value.code == "DANCES_EMPTY"
    write_figures(tmp_path / "b", tmp_path / "b_music", [Figure("short", seconds=3.0)])
    with pytest.raises(ConfigError, match="no clean dance of 5 s"):
        ShiftedDancer(tmp_path / "b").dance(MUSIC, 0)


def test_a_loop_ends_in_its_beginning(store: Path) -> None:
    rows = body_rows(load_clip(store, read_index(store)[1]))[0][:200]
    danced = looped(rows, 50, 500)
    period = 200 - BLEND_FRAMES
    assert danced.edges.tolist() == [0, period - 50, 2 * period - 50]
    np.testing.assert_array_equal(danced.rows[:period], danced.rows[period : 2 * period])
    steps = np.linalg.norm(np.diff(joints_of(danced.rows), axis=0), axis=-1).max(axis=1)
    own = np.linalg.norm(np.diff(joints_of(rows), axis=0), axis=-1).max()
    assert steps.max() < 1.3 * own
    with pytest.raises(ValueError, match="29 rows cannot be looped, at least 30"):
        looped(rows[:29], 0, 10)


def test_motion_at_another_pace_goes_as_far(store: Path) -> None:
    rows = body_rows(load_clip(store, read_index(store)[0]))[0]
    at = np.arange(10.0, 300.0, 0.7)
    slow = played(rows, at, np.full(len(at), 0.7))
    own, other = decode_joints(rows[10:])[0], decode_joints(slow)[0]
    np.testing.assert_allclose(other[::10], own[: 7 * len(other[::10]) : 7], atol=1e-3)
    assert slow[50, BODY_JV].max() == pytest.approx(0.7 * rows[45, BODY_JV].max(), rel=0.01)


def test_a_cross_fade_lifts_feet_off_the_floor() -> None:
    standing = encode_body(*[poses[:, :22] if poses.ndim == 3 else poses for poses in idle(40)])[:BLEND_FRAMES]
    squat_root, squat_wxyz = idle(40)
    bent = np.sqrt(0.5).astype(np.float32)
    for joint, side in ((1, -1.0), (2, -1.0), (4, 1.0), (5, 1.0)):
        squat_wxyz[:, joint] = [bent, side * bent, 0.0, 0.0]
    squat_root[:, 1] += floor_deficit_m(squat_root, squat_wxyz)
    lowest = forward_kinematics(squat_root, squat_wxyz)[..., 1].min()
    squat_root[:, 1] -= lowest
    squatting = encode_body(squat_root, squat_wxyz[:, :22])[:BLEND_FRAMES]
    faded = cross_fade(standing, squatting)
    root, wxyz, contacts, _ = decode_pose(faded)
    assert floor_deficit_m(root, wxyz).max() < 1e-4
    np.testing.assert_allclose(decode_joints(faded)[0], forward_kinematics(root, wxyz), atol=1e-3)
    assert set(np.unique(contacts)) <= {0.0, 1.0}
    assert faded[0, 3] == pytest.approx(standing[0, 3], abs=0.02)
    assert faded[-1, 3] == pytest.approx(squatting[-1, 3], abs=0.02)


def idle(frames: int) -> tuple[np.ndarray, np.ndarray]:
    root, wxyz, _ = idle_poses(np.arange(frames), np.zeros(3), 0.0)
    return root, wxyz
