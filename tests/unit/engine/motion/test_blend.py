"""Seams, in-between frames and holds: nothing jumps, everything ends, and every frame says what it is."""

import numpy as np
import pytest

from soulstream_engine.frames import PoseFrame, Provenance
from soulstream_engine.motion import rotations, skeleton
from soulstream_engine.motion.blend import Seam, hold, interpolate
from soulstream_engine.motion.idle import idle_pose

FEET = list(skeleton.CONTACT_JOINTS)


def _idle(index: int, root: tuple[float, float, float] = (0, 0, 0), heading: float = 0.0) -> PoseFrame:
    root_m, wxyz, face = idle_pose(index, root, heading)
    return PoseFrame(index, root_m, wxyz, face, np.ones(4, np.float32), Provenance.IDLE)


def _crouch(index: int) -> PoseFrame:
    """Deep crouch, arms up, drifting sideways at 0.6 m/s."""
    wxyz = rotations.identity(52)
    for side in ("left", "right"):
        for part, angle in (("hip", -1.1), ("knee", 2.0), ("ankle", -0.9)):
            wxyz[skeleton.JOINT_INDEX[f"{side}_{part}"]] = rotations.from_axis_angle(np.array([1.0, 0, 0]), angle)
    wxyz[skeleton.JOINT_INDEX["left_shoulder"]] = rotations.from_axis_angle(np.array([0.0, 0, 1]), 1.2)
    root = np.array([0.02 * (index % 90), 0.0, 0.0], dtype=np.float32)
    joints = skeleton.forward_kinematics(root, wxyz)
    root[1] = 0.02 - joints[FEET, 1].min()
    return PoseFrame(index, root, wxyz, np.full(52, 0.5, np.float32), np.ones(4, np.float32), Provenance.GENERATED)


def _joints(frame: PoseFrame) -> np.ndarray:
    return skeleton.forward_kinematics(frame.root_m.astype(np.float64), frame.joint_wxyz.astype(np.float64))


def _run(seam: Seam, first: int, last: int) -> list[PoseFrame]:
    return [seam.apply(_idle(index)) for index in range(first, last)]


def test_a_seam_starts_at_the_shown_pose_and_ends_in_the_new_source() -> None:
    seam = Seam(duration_frames=12)
    shown = _crouch(99)
    seam.start(shown, _idle(100))
    assert seam.active
    frames = _run(seam, 100, 150)
    path = np.stack([_joints(frame) for frame in [shown, *frames]])
    assert np.abs(path[1] - path[0]).max() < 0.02
    np.testing.assert_array_equal(frames[-1].joint_wxyz, _idle(149).joint_wxyz)
    assert not seam.active
    states = [frame.provenance for frame in frames]
    blended = states.count(Provenance.BLENDED)
    assert 12 <= blended <= 30  # longer than 12 frames only because this offset is large
    assert states == [Provenance.BLENDED] * blended + [Provenance.IDLE] * (len(states) - blended)


def test_a_seam_is_smooth_slow_enough_and_stays_above_the_floor() -> None:
    seam = Seam()
    shown = _crouch(99)
    seam.start(shown, _idle(100))
    path = np.stack([_joints(frame) for frame in [shown, *_run(seam, 100, 150)]])
    speed = np.linalg.norm(np.diff(path, axis=0), axis=-1) * 30
    assert speed.max() < 12
    acceleration = np.linalg.norm(np.diff(path, n=2, axis=0), axis=-1) * 900
    assert acceleration.max() < 200
    assert path[:, FEET, 1].min() > -0.0101


def test_a_small_seam_takes_the_named_duration() -> None:
    seam = Seam(duration_frames=12)
    seam.start(_idle(9, root=(0.1, 0, 0)), _idle(10))
    frames = _run(seam, 10, 40)
    assert [frame.provenance for frame in frames].count(Provenance.BLENDED) == 11
    assert np.ptp([frame.root_m[0] for frame in frames[12:]]) < 0.02


def test_a_seam_keeps_the_velocity_when_the_neighbours_are_known() -> None:
    seam = Seam()
    seam.start(_crouch(99), _idle(100), shown_before=_crouch(98), incoming_after=_idle(101))
    first = seam.apply(_idle(100))
    step = first.root_m - _crouch(99).root_m
    np.testing.assert_allclose(step, [0.02, 0, 0], atol=0.004)


def test_a_seam_can_be_asked_for_any_frame_again() -> None:
    seam = Seam()
    seam.start(_crouch(99), _idle(100))
    first = seam.apply(_idle(105))
    seam.apply(_idle(103))
    again = seam.apply(_idle(105))
    np.testing.assert_array_equal(first.joint_wxyz, again.joint_wxyz)
    np.testing.assert_array_equal(first.root_m, again.root_m)


def test_without_a_seam_frames_pass_unchanged() -> None:
    seam, frame = Seam(), _idle(3)
    assert seam.apply(frame) is frame
    seam.start(_crouch(2), frame)
    seam.cancel()
    assert seam.apply(frame) is frame
    with pytest.raises(ValueError, match="not 0"):
        Seam(0)


def test_interpolation_hits_both_ends_and_the_middle() -> None:
    first, second = _crouch(10), _idle(11)
    assert interpolate(first, second, 0.0) is first
    np.testing.assert_allclose(_joints(interpolate(first, second, 1.0)), _joints(second), atol=1e-5)
    middle = interpolate(first, second, 0.5)
    np.testing.assert_allclose(middle.root_m, (first.root_m + second.root_m) / 2, atol=1e-6)
    turned = rotations.angle_between(first.joint_wxyz, middle.joint_wxyz)
    np.testing.assert_allclose(turned, rotations.angle_between(first.joint_wxyz, second.joint_wxyz) / 2, atol=1e-3)
    assert interpolate(first, second, 0.3).provenance is Provenance.GENERATED
    assert interpolate(first, second, 0.7).provenance is Provenance.IDLE
    with pytest.raises(ValueError, match=r"1\.5"):
        interpolate(first, second, 1.5)


def test_interpolation_takes_the_short_way_whatever_the_signs() -> None:
    first = _crouch(10)
    flipped = PoseFrame(11, first.root_m, -first.joint_wxyz, first.face, first.contacts, first.provenance)
    np.testing.assert_allclose(_joints(interpolate(first, flipped, 0.5)), _joints(first), atol=1e-5)


def test_a_held_dancer_slows_down_to_rest_within_150_ms() -> None:
    previous, last = _crouch(9), _crouch(10)
    held = [hold(last, previous, missing) for missing in range(1, 12)]
    assert [frame.index for frame in held] == list(range(11, 22))
    assert {frame.provenance for frame in held} == {Provenance.HELD}
    x = np.array([last.root_m[0], *(frame.root_m[0] for frame in held)])
    steps = np.diff(x)
    assert 0.012 < steps[0] < 0.02 and (np.diff(steps) <= 1e-6).all()
    np.testing.assert_allclose(steps[5:], 0, atol=1e-6)
    np.testing.assert_array_equal(hold(last, last, 3).root_m, last.root_m)


def test_a_falling_dancer_is_not_held_below_the_floor() -> None:
    last = _crouch(10)
    above = last.root_m + np.array([0, 0.1, 0], dtype=np.float32)
    previous = PoseFrame(9, above, last.joint_wxyz, last.face, last.contacts, last.provenance)
    for missing in range(1, 8):
        assert _joints(hold(last, previous, missing))[FEET, 1].min() > -0.0101
