"""Relaxed hands: mirrored, curled towards the palm, alive but slow."""

import numpy as np

from soulstream_engine.motion import hands, skeleton


def _finger_tips(wxyz: np.ndarray) -> np.ndarray:
    pose = np.zeros((skeleton.NUM_JOINTS, 4))
    pose[:, 0] = 1
    pose[22:] = wxyz
    return skeleton.forward_kinematics(np.zeros(3), pose)


def test_hands_mirror_each_other() -> None:
    joints = _finger_tips(hands.relaxed_hands())
    left, right = joints[22:37], joints[37:52]
    np.testing.assert_allclose(left * [-1, 1, 1], right, atol=1e-6)


def test_fingers_curl_towards_the_palm_and_little_finger_most() -> None:
    flat = _finger_tips(hands.relaxed_hands(0.0))
    curled = _finger_tips(hands.relaxed_hands())
    drop = {
        finger: flat[skeleton.JOINT_INDEX[f"left_{finger}3"], 1] - curled[skeleton.JOINT_INDEX[f"left_{finger}3"], 1]
        for finger in ("index", "middle", "ring", "pinky", "thumb")
    }
    assert min(drop.values()) > 0.003
    for finger in ("index", "middle", "ring"):
        assert 0.015 < drop[finger] < 0.06


def test_resting_hands_drift_slowly_and_depend_on_the_index_alone() -> None:
    run = hands.resting_hands(range(600))
    assert run.shape == (600, 30, 4) and run.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(run, axis=-1), 1, atol=1e-6)
    np.testing.assert_array_equal(run[123], hands.resting_hands([123])[0])
    per_frame_rad = 2 * np.arccos(np.clip(np.sum(run[1:] * run[:-1], axis=-1), -1, 1))
    assert 0 < per_frame_rad.max() < np.radians(0.5)
