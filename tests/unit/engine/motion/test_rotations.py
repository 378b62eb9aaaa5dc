"""Conventions and the awkward inputs: opposite directions, zero vectors, broken network output."""

import numpy as np
import pytest

from soulstream_engine.motion import rotations


def test_left_turn_is_positive_yaw_from_z_to_x():
    np.testing.assert_allclose(rotations.rotate(rotations.yaw(np.pi / 2), [0, 0, 1]), [1, 0, 0], atol=1e-6)


def test_multiply_applies_the_second_first():
    turn, tip = rotations.yaw(np.pi / 2), rotations.from_axis_angle([1, 0, 0], np.pi / 2)
    np.testing.assert_allclose(rotations.rotate(rotations.multiply(turn, tip), [0, 1, 0]), [1, 0, 0], atol=1e-6)


def test_sixd_is_column_zero_then_column_one():
    quarter = rotations.from_axis_angle([0, 0, 1], np.pi / 2)
    np.testing.assert_allclose(rotations.to_sixd(quarter), [0, 1, 0, -1, 0, 0], atol=1e-6)


@pytest.mark.parametrize("sixd", [[0] * 6, [1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 2, 0], [1e-20] * 6])
def test_from_sixd_always_gives_a_rotation(sixd):
    wxyz = rotations.from_sixd(np.array(sixd, dtype=np.float32))
    assert np.linalg.norm(wxyz) == pytest.approx(1, abs=1e-6)


def test_between_opposite_and_zero_vectors():
    half = rotations.between([0, 1, 0], [0, -3, 0])
    np.testing.assert_allclose(rotations.rotate(half, [0, 1, 0]), [0, -1, 0], atol=1e-6)
    np.testing.assert_allclose(rotations.between([0, 0, 0], [0, 1, 0]), [1, 0, 0, 0], atol=1e-6)


def test_slerp_takes_the_short_way_and_meets_both_ends():
    start, end = rotations.yaw(0.2), -rotations.yaw(1.0)
    got = rotations.slerp(start, end, np.array([0, 0.5, 1]))
    expected = rotations.yaw(np.array([0.2, 0.6, 1.0]))
    assert rotations.angle_between(got, expected).max() < 1e-6


def test_continuous_removes_sign_flips_but_keeps_rotations():
    smooth = rotations.yaw(np.linspace(0, 9, 40))[:, None]
    flipped = smooth * np.where(np.arange(40) % 3 == 0, -1, 1)[:, None, None]
    fixed = rotations.continuous(flipped)
    np.testing.assert_allclose(fixed, -smooth, atol=1e-7)


def test_normalize_turns_zero_into_identity():
    np.testing.assert_array_equal(rotations.normalize([[0, 0, 0, 0], [0, 0, 2, 0]]), [[1, 0, 0, 0], [0, 0, 1, 0]])


def test_float32_in_float32_out():
    wxyz = rotations.identity(3)
    vectors = np.ones((3, 3), dtype=np.float32)
    results = [rotations.multiply(wxyz, wxyz), rotations.rotate(wxyz, vectors), rotations.to_sixd(wxyz)]
    results += [rotations.slerp(wxyz, wxyz, 0.5), rotations.between(vectors, vectors), rotations.conjugate(wxyz)]
    assert {result.dtype for result in results} == {np.dtype(np.float32)}
