"""Kinetic features: values worked out by hand, and that place and heading do not count."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.motion import rotations
from soulstream_training.evaluation.kinetic import NUM_KINETIC, body_at_60_fps, kinetic_features

TIMES_S = np.arange(300) / 30.0
STILL_M = np.random.default_rng(0).normal(size=(22, 3)) * 0.3


def _moved(offset_m: np.ndarray, joint: int | None = None) -> np.ndarray:
    """[300, 22, 3]: a still pose, all of it (or one joint) moved by [300, 3]."""
    joints = np.repeat(STILL_M[None], len(TIMES_S), axis=0)
    joints[:, slice(None) if joint is None else slice(joint, joint + 1)] += offset_m[:, None]
    return joints


def _dance(seed: int = 1) -> np.ndarray:
    generator = np.random.default_rng(seed)
    phase, rate = generator.uniform(0, 6, (22, 3)), generator.uniform(1, 8, (22, 3))
    return STILL_M + 0.2 * np.sin(rate * TIMES_S[:, None, None] + phase)


def test_constant_velocity_of_one_joint() -> None:
    velocity = np.array([0.3, 2.0, -0.4])
    values = kinetic_features(_moved(TIMES_S[:, None] * velocity, joint=20), published=False).reshape(22, 3)
    assert values[20] == pytest.approx([0.25, 4.0, 0.0], abs=1e-7)
    assert np.abs(np.delete(values, 20, axis=0)).max() < 1e-9


def test_constant_acceleration() -> None:
    fall = np.zeros((300, 3))
    fall[:, 1] = -0.5 * 9.81 * TIMES_S**2
    values = kinetic_features(_moved(fall), published=False).reshape(22, 3)
    assert values[:, 2] == pytest.approx(9.81, abs=1e-6)
    assert values[:, 0] == pytest.approx(0.0, abs=1e-9)


def test_vertical_oscillation_has_the_closed_form() -> None:
    size_m, omega, step_s = 0.1, 2.0 * np.pi * 1.5, 1.0 / 60.0
    bounce = np.zeros((300, 3))
    bounce[:, 1] = size_m * np.sin(omega * TIMES_S)
    values = kinetic_features(_moved(bounce), published=False).reshape(22, 3)
    mean_of_five = np.sin(2.5 * omega * step_s) / (5.0 * np.sin(0.5 * omega * step_s))
    difference = 2.0 * np.sin(0.5 * omega * step_s) / step_s
    speed = size_m * difference * mean_of_five
    assert values[:, 0] == pytest.approx(0.0, abs=1e-12)
    assert values[:, 1] == pytest.approx(speed**2 / 2.0, rel=0.01)
    assert values[:, 2] == pytest.approx(2.0 / np.pi * speed * difference, rel=0.01)


def test_published_acceleration_of_a_still_joint_is_its_distance_from_the_first_pelvis() -> None:
    values = kinetic_features(_moved(np.zeros((300, 3)))).reshape(22, 3)
    distance_m = np.linalg.norm(STILL_M - STILL_M[0], axis=-1)
    assert values[:, 2] == pytest.approx((60.0**2 - 60.0) * distance_m)
    assert np.abs(values[:, :2]).max() < 1e-12


def test_published_changes_the_acceleration_alone() -> None:
    published, true = (kinetic_features(_dance(), published=way).reshape(22, 3) for way in (True, False))
    assert np.array_equal(published[:, :2], true[:, :2])
    assert (np.abs(published[:, 2] - true[:, 2]) > 1.0).all()


@pytest.mark.parametrize("published", [True, False])
def test_place_and_heading_do_not_count(published: bool) -> None:
    joints = _dance()
    turned = rotations.rotate(rotations.yaw(1.1), joints) + np.array([3.0, 0.4, -7.0])
    expected = kinetic_features(joints, published)
    assert expected.shape == (NUM_KINETIC,)
    assert kinetic_features(turned, published) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_hands_are_ignored() -> None:
    joints = _dance()
    with_hands = np.concatenate([joints, np.random.default_rng(2).normal(size=(300, 30, 3))], axis=1)
    assert np.array_equal(kinetic_features(with_hands), kinetic_features(joints))


def test_given_frames_are_kept_and_those_between_lie_on_the_curve() -> None:
    joints = _dance()
    finer = body_at_60_fps(joints)
    assert finer.shape == (599, 22, 3)
    assert finer[::2] == pytest.approx(joints - joints[0, 0], abs=1e-12)
    generator = np.random.default_rng(1)
    phase, rate = generator.uniform(0, 6, (22, 3)), generator.uniform(1, 8, (22, 3))
    between = STILL_M + 0.2 * np.sin(rate * (TIMES_S[:-1] + 1 / 60)[:, None, None] + phase)
    assert finer[1::2] == pytest.approx(between - joints[0, 0], abs=1e-3)


def test_refused() -> None:
    with pytest.raises(ValueError, match=r"\[3, 22, 3\].*at least 4"):
        kinetic_features(np.zeros((3, 22, 3)))
    with pytest.raises(ValueError, match=r"\[30, 21, 3\]"):
        kinetic_features(np.zeros((30, 21, 3)))
    joints = _dance()
    joints[5, 3, 1] = np.nan
    with pytest.raises(ValueError, match="1 coordinates are not finite"):
        kinetic_features(joints)
