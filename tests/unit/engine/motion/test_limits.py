"""The last guards: whatever comes in, what goes out is finite, unit, smooth in sign and not too fast."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soulstream_engine.errors import InvariantError
from soulstream_engine.motion import limits, skeleton
from soulstream_engine.motion.floor import LOWEST_FOOT_M, floor_deficit_m
from soulstream_engine.motion.idle import idle_poses

HARD_LIMIT_M_S = 15.0


def _speed(root: np.ndarray, wxyz: np.ndarray) -> float:
    joints = skeleton.forward_kinematics(root, wxyz)
    return float(np.linalg.norm(np.diff(joints, axis=0), axis=-1).max()) * 30


def _idle(frames: int) -> tuple[np.ndarray, np.ndarray]:
    root, wxyz, _ = idle_poses(range(frames), (0, 0, 0), 0.0)
    return root.astype(np.float64), wxyz.astype(np.float64)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    share=st.sampled_from([0.02, 0.3, 1.0]),
    reach=st.sampled_from([0.0, 1.0, 1e6]),
    chunk=st.integers(1, 9),
)
def test_no_joint_is_ever_faster_than_15_m_s(seed: int, share: float, reach: float, chunk: int) -> None:
    rng = np.random.default_rng(seed)
    root, wxyz = _idle(12)
    jump = rng.random((12, 52)) < share
    wild = rng.normal(size=(12, 52, 4))
    wxyz[jump] = wild[jump]  # neither unit nor of one sign
    root += rng.normal(size=(12, 3)) * reach * (rng.random((12, 1)) < share)
    guard = limits.SpeedLimit()
    start = _idle(1)
    guard.apply(*start)
    parts = [guard.apply(root[at : at + chunk], wxyz[at : at + chunk]) for at in range(0, 12, chunk)]
    roots = np.concatenate([start[0], *(part[0] for part in parts)])
    poses = np.concatenate([start[1], *(part[1] for part in parts)])
    assert np.isfinite(roots).all() and np.isfinite(poses).all()
    np.testing.assert_allclose(np.linalg.norm(poses, axis=-1), 1, atol=1e-6)
    assert _speed(roots.astype(np.float32), poses.astype(np.float32)) < HARD_LIMIT_M_S
    assert (np.sum(poses[1:] * poses[:-1], axis=-1) >= 0).all()


def test_a_guarded_dancer_does_not_sink_on_the_way() -> None:
    """From standing to a low split pose in one frame, and back."""
    root, wxyz = _idle(40)
    low = np.zeros(4)
    low[[0, 1]] = np.cos(0.7), -np.sin(0.7)
    wxyz[5:20, [1, 2]] = low
    wxyz[5:20, [4, 5]] = [1, 0, 0, 0]
    root[5:20, 1] = 0.3
    root[:, 1] += floor_deficit_m(root, wxyz)
    out = limits.SpeedLimit().apply(root, wxyz)
    assert (floor_deficit_m(*out) < 0.005).all()
    np.testing.assert_allclose(out[0][-1], root[-1], atol=1e-6)  # it arrives


def test_motion_inside_the_limits_passes_unchanged() -> None:
    root, wxyz = _idle(90)
    out_root, out_wxyz = limits.SpeedLimit().apply(root, wxyz)
    np.testing.assert_array_equal(out_root, root)
    np.testing.assert_allclose(out_wxyz, wxyz, atol=1e-6)


def test_a_teleport_is_walked_at_the_speed_of_the_root() -> None:
    root, wxyz = _idle(60)
    root[10:, 0] += 2.0
    out_root, _ = limits.SpeedLimit().apply(root, wxyz)
    steps = np.linalg.norm(np.diff(out_root, axis=0), axis=-1) * 30
    assert steps.max() <= limits.MAX_ROOT_M_S + 1e-6
    np.testing.assert_allclose(out_root[25:], root[25:], atol=1e-6)


def test_chunked_equals_whole_also_when_limited() -> None:
    rng = np.random.default_rng(0)
    root, wxyz = _idle(30)
    wxyz[11, 13:22] = rng.normal(size=(9, 4))
    whole = limits.SpeedLimit().apply(root, wxyz)
    guard = limits.SpeedLimit()
    parts = [guard.apply(root[at : at + 4], wxyz[at : at + 4]) for at in range(0, 30, 4)]
    np.testing.assert_allclose(np.concatenate([part[0] for part in parts]), whole[0], atol=1e-9)
    np.testing.assert_allclose(np.concatenate([part[1] for part in parts]), whole[1], atol=1e-9)


def test_after_a_reset_the_dancer_may_be_anywhere_with_the_same_signs() -> None:
    root, wxyz = _idle(3)
    guard = limits.SpeedLimit()
    guard.apply(root, wxyz)
    guard.reset(wxyz[-1])
    out_root, out_wxyz = guard.apply(root + np.array([3.0, 0, 0]), -wxyz)
    np.testing.assert_allclose(out_root, root + np.array([3.0, 0, 0]))
    np.testing.assert_allclose(out_wxyz, wxyz, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_with_its_frame(bad: float) -> None:
    root, wxyz = _idle(4)
    wxyz[2, 7, 1] = bad
    with pytest.raises(InvariantError, match=r"joint_wxyz holds 1 non-finite values, first at frame 102") as error:
        limits.require_finite(100, root_m=root, joint_wxyz=wxyz)
    assert error.value.code == "POSE_NOT_FINITE" and error.value.hint


def test_lowest_foot_is_inside_the_promise() -> None:
    assert LOWEST_FOOT_M > -0.03 and limits.MAX_JOINT_M_S < HARD_LIMIT_M_S
