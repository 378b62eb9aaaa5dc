"""Pairing: motion with a pulse is bent onto its grid, motion without one is refused, bending keeps the motion."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.motion.rotations import yaw
from soulstream_training.data.kinematic_beats import kinematic_beats
from soulstream_training.data.pairing import (
    MAX_WARP,
    find_grid,
    fit_grid,
    longest_chain,
    resample_motion,
)

BPM = 100.0


def _dance(stops_s: np.ndarray, depth: np.ndarray | float = 0.6) -> np.ndarray:
    """[T, 22, 3] joints whose speed swings, slowest at the given times; ends after the last of them."""
    duration_s = 1.5 * stops_s[-1] - 0.5 * stops_s[-2]
    fine = np.arange(0.0, duration_s, 1 / 600)
    ends_s = np.concatenate([[2 * stops_s[0] - stops_s[1]], stops_s, [2 * stops_s[-1] - stops_s[-2]]])
    turn = np.interp(fine, ends_s, np.arange(len(ends_s)))
    depths = np.concatenate([[0.6], np.broadcast_to(depth, stops_s.shape), [0.6]])
    speed = 1.0 - depths[np.round(turn).astype(int)] * np.cos(2 * np.pi * turn)
    x = np.interp(np.arange(int(duration_s * 30)) / 30, fine, np.cumsum(speed) / 600)
    joints = np.zeros((len(x), 22, 3), np.float32)
    joints[..., 0] = x[:, None]
    return joints


def _uneven_dance(seed: int = 0) -> np.ndarray:
    """Rests at every beat of 100 a minute, each off by up to 25 ms."""
    generator = np.random.default_rng(seed)
    stops_s = 0.4 + np.arange(38) * 60 / BPM + generator.uniform(-0.025, 0.025, 38)
    return _dance(stops_s)


def test_uneven_rests_end_up_on_the_beats() -> None:
    joints_m = _uneven_dance()
    fit = fit_grid("clip", "A", joints_m, BPM, accent=0.0)
    before = np.std(kinematic_beats(joints_m) * BPM / 60 % 1.0)
    assert fit.is_accepted
    assert fit.on_beat > 0.95
    assert fit.residual_ms < 0.6 * 600 * before
    assert fit.residual_ms < 7.0
    assert abs(fit.offset_ms) < 3.0
    assert fit.density == pytest.approx(1.0, abs=0.1)
    assert np.diff(fit.beats_s) == pytest.approx(60 / BPM)
    assert fit.lock.shape == fit.source_frame.shape
    assert fit.lock[60:-60].min() > 0.8


def test_bending_and_speed_stay_within_their_limits() -> None:
    joints_m = _uneven_dance()
    fit = fit_grid("clip", "A", joints_m, BPM, 0.9, accent=0.2)
    rate = np.diff(fit.source_frame)
    assert rate.min() > 0.9 * (1 - 0.2) * (1 - MAX_WARP - 0.1)
    assert rate.max() < 0.9 * (1 + 0.2) * (1 + MAX_WARP + 0.1)
    assert fit.source_frame[0] == pytest.approx(0.0, abs=1.0)
    assert fit.source_frame[-1] <= len(joints_m) - 1
    assert len(fit.source_frame) == pytest.approx(len(joints_m) / 0.9, abs=3)
    assert np.diff(fit.beats_s) == pytest.approx(60 / BPM / 0.9)


def test_rests_off_the_beat_are_hurried_through_and_none_is_added() -> None:
    # Rests on every second beat, and weaker ones that fall on none.
    on_s = 0.4 + np.arange(0, 40, 2) * 60 / BPM
    off_s = on_s[:-1] + 1.37 * 60 / BPM
    depth = np.full(len(on_s) + len(off_s), 0.6)
    depth[1::2] = 0.15
    joints_m = _dance(np.sort(np.concatenate([on_s, off_s])), depth)
    plain = fit_grid("clip", "B", joints_m, BPM, accent=0.0)
    accented = fit_grid("clip", "B", joints_m, BPM, accent=0.3)
    assert plain.density > 0.9
    assert accented.density < 0.6
    assert accented.concentration > plain.concentration + 0.2


def test_tempo_is_found_and_stays_in_the_range() -> None:
    fit = find_grid("clip", "B", None, _uneven_dance(), range_bpm=(90.0, 125.0), speeds=(1.0,), accent=0.0)
    assert fit is not None
    assert fit.bpm == pytest.approx(BPM, rel=0.08)
    assert fit.on_beat > 0.9
    assert find_grid("clip", "A", BPM, _uneven_dance(), range_bpm=(110.0, 120.0), speeds=(1.0,)) is None


def test_still_motion_is_refused_and_a_missing_tempo_is_an_error() -> None:
    still = np.zeros((300, 22, 3), np.float32)
    assert not fit_grid("clip", "B", still, BPM).is_accepted
    assert find_grid("clip", "B", None, still, range_bpm=(90.0, 120.0), speeds=(1.0,)) is None
    with pytest.raises(ValueError, match="needs a tempo"):
        find_grid("clip", "A", None, still, range_bpm=(90.0, 120.0), speeds=(1.0,))


def test_refitted_grids_tell_a_true_tempo_from_a_made_one() -> None:
    # Rests every one or two beats that never drift, against rests at gaps of any length.
    generator = np.random.default_rng(2)
    true_s = 0.5 + np.cumsum(generator.integers(1, 3, 24)) * 0.6
    made_s = 0.5 + np.cumsum(generator.uniform(0.5, 1.4, 24))
    true = fit_grid("clip", "B", _dance(true_s), BPM, accent=0.0, refit_tries=20)
    made = fit_grid("clip", "B", _dance(made_s), BPM, accent=0.0, refit_tries=20)
    assert true.refit_p < 0.05
    assert made.refit_p > 0.05


def test_chain_skips_what_fits_no_beat() -> None:
    events_s = np.array([0.0, 0.6, 0.93, 1.2, 1.8, 3.0])
    score, chosen, beats = longest_chain(events_s, 0.6)
    assert chosen.tolist() == [0, 1, 3, 4, 5]
    assert beats.tolist() == [0, 1, 2, 3, 5]
    assert score == pytest.approx(4.0)
    assert longest_chain(np.zeros(0), 0.6)[0] == 0.0


def test_resampling_keeps_the_path_and_unit_rotations() -> None:
    frames = np.arange(61, dtype=np.float32)
    root_m = np.stack([frames / 30, 0 * frames, 0 * frames], axis=1)
    joint_wxyz = np.asarray(yaw(frames[:, None] * 0.02 * np.ones((1, 22))), np.float32)
    root, joints = resample_motion(root_m, joint_wxyz, 1.25)
    assert root.shape == (49, 3)
    assert joints.shape == (49, 22, 4)
    assert root[:, 0] == pytest.approx(np.arange(49) * 1.25 / 30, abs=1e-6)
    assert np.linalg.norm(joints, axis=-1) == pytest.approx(1.0, abs=1e-6)
    assert joints[10, 0] == pytest.approx(np.asarray(yaw(np.array(12.5 * 0.02))), abs=1e-5)
    same, turned = resample_motion(root_m, joint_wxyz, np.arange(61, dtype=np.float64))
    assert same == pytest.approx(root_m, abs=1e-6)
    assert turned == pytest.approx(joint_wxyz, abs=1e-6)


def test_resampling_refuses_nonsense() -> None:
    root_m, joint_wxyz = np.zeros((5, 3), np.float32), np.tile(np.array([1, 0, 0, 0], np.float32), (5, 22, 1))
    with pytest.raises(ValueError, match="-1 is not positive"):
        resample_motion(root_m, joint_wxyz, -1)
    with pytest.raises(ValueError, match="outside of 0 to 4"):
        resample_motion(root_m, joint_wxyz, np.array([0.0, 4.5]))
