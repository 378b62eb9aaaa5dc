"""The foot lock: standing feet stand, free feet are left alone, nothing snaps, chunks equal the whole."""

import numpy as np
import pytest

from soulstream_engine.motion import rotations, skeleton
from soulstream_engine.motion.floor import LOWEST_FOOT_M
from soulstream_engine.motion.foot_lock import BUDGET_M, EASE_FRAMES, FootLockState, lock_feet
from soulstream_engine.motion.idle import idle_poses

FEET = list(skeleton.CONTACT_JOINTS)
Motion = tuple[np.ndarray, np.ndarray, np.ndarray]


def _standing(frames: int) -> Motion:
    root, wxyz, _ = idle_poses(range(frames), (0, 0, 0), 0.0)
    return root.astype(np.float64), wxyz[:, :22].astype(np.float64), np.ones((frames, 4))


def _skating(frames: int, speed_m_s: float) -> Motion:
    """Standing with both feet in contact while the path wobbles sideways under them."""
    root, wxyz, contacts = _standing(frames)
    root[:, 0] += speed_m_s / (2 * np.pi * 0.8) * np.sin(2 * np.pi * 0.8 * np.arange(frames) / 30)
    return root, wxyz, contacts


def _stepping(frames: int) -> Motion:
    """Marching on the spot with a drifting path: each foot is in contact half of the time."""
    root, wxyz, contacts = _standing(frames)
    phase = np.arange(frames) / 15 * np.pi
    for side, lifted in ((0, np.maximum(np.sin(phase), 0)), (1, np.maximum(-np.sin(phase), 0))):
        for joint, amount in ((1 + side, -0.9), (4 + side, 1.5), (7 + side, -0.6)):
            bend = rotations.from_axis_angle(np.array([1.0, 0, 0]), amount * lifted)
            wxyz[:, joint] = rotations.multiply(wxyz[:, joint], bend)
        contacts[:, 2 * side : 2 * side + 2] = (lifted < 0.05)[:, None]
    root[:, 2] += 0.25 * np.arange(frames) / 30
    return root, wxyz, contacts


def _joints(root: np.ndarray, wxyz: np.ndarray) -> np.ndarray:
    return skeleton.forward_kinematics(root, wxyz)


def _locked(motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    root, wxyz, _ = lock_feet(*motion, FootLockState())
    return root, wxyz


def _slide_mm(joints: np.ndarray, contacts: np.ndarray) -> np.ndarray:
    moved = np.linalg.norm(np.diff(joints[:, FEET][..., [0, 2]], axis=0), axis=-1) * 1000
    return moved[(contacts[1:] > 0.5) & (contacts[:-1] > 0.5)]


@pytest.mark.parametrize("make", [lambda: _skating(120, 0.4), lambda: _stepping(120)])
def test_feet_in_contact_stop_sliding(make: object) -> None:
    motion = make()  # type: ignore[operator]
    before = _slide_mm(_joints(*motion[:2]), motion[2])
    after = _slide_mm(_joints(*_locked(motion)), motion[2])
    assert before.mean() > 5
    assert after.mean() < 0.2 * before.mean()


def test_standing_still_is_left_alone() -> None:
    motion = _standing(60)
    root, wxyz = _locked(motion)
    np.testing.assert_allclose(_joints(root, wxyz), _joints(*motion[:2]), atol=1e-3)


def test_feet_without_contact_are_left_alone() -> None:
    root, wxyz, contacts = _skating(60, 0.5)
    out_root, out_wxyz = _locked((root, wxyz, contacts * 0.3))
    np.testing.assert_array_equal(out_root, root)
    np.testing.assert_array_equal(out_wxyz, wxyz)


def test_one_frame_of_contact_is_not_enough() -> None:
    root, wxyz, contacts = _skating(60, 0.5)
    contacts[:] = 0
    contacts[::3] = 1
    np.testing.assert_array_equal(_locked((root, wxyz, contacts))[1], wxyz)


def _pelvis_to_foot_change_m(out: np.ndarray, raw: np.ndarray) -> np.ndarray:
    return np.linalg.norm((out[:, 7] - out[:, 0]) - (raw[:, 7] - raw[:, 0]), axis=-1)


def test_a_pin_has_a_budget_and_nothing_snaps() -> None:
    root, wxyz, contacts = _standing(90)
    root[:, 0] += 0.9 * np.maximum(np.arange(90) - 20, 0) / 30  # contact is wrong all the time
    out, raw = _joints(*_locked((root, wxyz, contacts))), _joints(root, wxyz)
    assert _pelvis_to_foot_change_m(out, raw).max() < BUDGET_M + 0.01
    assert np.linalg.norm(np.diff(out[:, FEET], axis=0), axis=-1).max() < 0.05


def test_after_a_jump_the_foot_is_free_at_once() -> None:
    root, wxyz, contacts = _standing(40)
    root[20:, 0] += 0.5
    out, raw = _joints(*_locked((root, wxyz, contacts))), _joints(root, wxyz)
    assert _pelvis_to_foot_change_m(out, raw).max() < 0.01


def test_a_lifted_foot_eases_back_to_the_motion() -> None:
    root, wxyz, contacts = _skating(60, 0.6)
    contacts[30:] = 0
    out, raw = _joints(*_locked((root, wxyz, contacts))), _joints(root, wxyz)
    change = _pelvis_to_foot_change_m(out, raw)
    assert change[29] > 0.02
    assert np.abs(np.diff(change[28:40])).max() < 2 * change[29] / EASE_FRAMES
    assert change[30 + EASE_FRAMES :].max() < 1e-6


def test_the_foot_keeps_its_orientation() -> None:
    motion = _skating(60, 0.5)
    before, after = skeleton.global_rotations(motion[1]), skeleton.global_rotations(_locked(motion)[1])
    for joint in FEET:
        np.testing.assert_allclose(rotations.angle_between(before[:, joint], after[:, joint]), 0, atol=1e-5)


def test_knees_do_not_overstretch_and_stay_in_front() -> None:
    root, wxyz, contacts = _skating(120, 0.5)
    root[:, 1] += 0.02 * np.sin(np.arange(120) / 5)  # legs almost straight at the top
    out = _joints(*_locked((root, wxyz, contacts)))
    raw = _joints(root, wxyz)
    for hip, knee, ankle in ((1, 4, 7), (2, 5, 8)):
        reach = np.linalg.norm(out[:, hip] - out[:, ankle], axis=-1) / skeleton.LEG_LENGTH_M
        before = np.linalg.norm(raw[:, hip] - raw[:, ankle], axis=-1) / skeleton.LEG_LENGTH_M
        assert (reach <= np.maximum(before, 0.9975)).all()
        assert (out[:, knee, 2] > (out[:, hip, 2] + out[:, ankle, 2]) / 2).all()


@pytest.mark.parametrize("depth_m", [0.03, 0.15])
def test_feet_never_sink_and_the_dancer_is_lifted_without_a_jerk(depth_m: float) -> None:
    root, wxyz, contacts = _standing(120)
    root[30:, 1] -= depth_m * np.minimum(np.arange(90) / 15, 1)
    out_root, out_wxyz = _locked((root, wxyz, contacts * 0))
    assert _joints(out_root, out_wxyz)[:, FEET, 1].min() > LOWEST_FOOT_M - 1e-6
    lift = (out_root - root)[:, 1]
    assert np.abs(np.diff(lift, n=2)).max() * 900 < 5  # metres a second squared
    assert lift[-1] > 0.5 * (depth_m - 0.03)


def test_chunked_equals_whole() -> None:
    root, wxyz, contacts = _stepping(100)
    root[:, 1] -= 0.03
    whole = _locked((root, wxyz, contacts))
    state, parts, at = FootLockState(), [], 0
    for size in (1, 8, 3, 8, 20, 8, 52):
        piece = slice(at, at + size)
        *pose, state = lock_feet(root[piece], wxyz[piece], contacts[piece], state)
        parts.append(pose)
        at += size
    np.testing.assert_allclose(np.concatenate([part[0] for part in parts]), whole[0], atol=1e-9)
    np.testing.assert_allclose(np.concatenate([part[1] for part in parts]), whole[1], atol=1e-9)


def test_the_given_state_is_not_changed() -> None:
    root, wxyz, contacts = _skating(40, 0.5)
    *_, state = lock_feet(root[:20], wxyz[:20], contacts[:20], FootLockState())
    first = lock_feet(root[20:], wxyz[20:], contacts[20:], state)
    again = lock_feet(root[20:], wxyz[20:], contacts[20:], state)
    np.testing.assert_array_equal(first[1], again[1])


def test_hands_do_not_belong_here() -> None:
    with pytest.raises(ValueError, match="22 joints, not 52"):
        lock_feet(np.zeros((1, 3)), rotations.identity(1, 52), np.zeros((1, 4)), FootLockState())
