"""FineDance: six numbers are two rows of a rotation; 315 and 319 columns give the same."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.model_poses import FRAMES, assert_rotations, expected_rotations, path_m, rotvecs, write_bomb

from soulstream_engine.motion.skeleton import LEG_LENGTH_M
from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.finedance import read_finedance


def rows(contacts=False):
    matrices = expected_rotations(rotvecs(52)).as_matrix()
    columns = [path_m(), matrices[:, :2, :].reshape(FRAMES, 312)]
    return np.concatenate([np.ones((FRAMES, 4)), *columns] if contacts else columns, axis=1)


def write(tmp_path, values):
    np.save(tmp_path / "001.npy", values)
    return tmp_path / "001.npy"


@pytest.mark.parametrize("contacts", [False, True])
def test_motion_comes_back(tmp_path, contacts):
    (motion,) = read_finedance(write(tmp_path, rows(contacts).astype(np.float32)))
    assert motion.joint_wxyz.shape == (FRAMES, 52, 4)
    assert_rotations(motion.joint_wxyz, expected_rotations(rotvecs(52)))
    np.testing.assert_allclose(motion.root_m, path_m(), atol=1e-6)
    assert (motion.fps, motion.face, motion.dancer) == (30.0, None, "")


def test_rate_and_leg_of_the_caller(tmp_path):
    (motion,) = read_finedance(write(tmp_path, rows()), fps=60, leg_length_m=0.4)
    np.testing.assert_allclose(motion.root_m, path_m() * LEG_LENGTH_M / 0.4)
    assert motion.fps == 60


def spoiled(frame, column, value):
    values = rows()
    values[frame, column] = value
    return values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (spoiled(2, 7, np.nan), r"001\.npy: 'motion' is nan at \[2, 7\]"),
        (spoiled(2, 3 + 6 * 5, 3.0), r"no rotation in frame 2, joint 5: off by .*, 0\.05 is allowed.*first two rows"),
        (rows()[:, :-1], r"has shape \[7, 314\], expected \[T, 315\] or \[T, 319\]"),
        (rows()[0], r"has shape \[315\]"),
        (rows()[:1], "has 1 frames, 2 to 1000000"),
        (np.array([{}], dtype=object), "has type object"),
    ],
)
def test_refused_with_value_and_limit(tmp_path, values, message):
    with pytest.raises(MotionFileError, match=message):
        read_finedance(write(tmp_path, values))


def test_cut_files_and_bombs_are_refused(tmp_path):
    path = write(tmp_path, rows())
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(MotionFileError, match=r"says float64\[7, 315\], 17640 bytes, and holds 17632"):
        read_finedance(path)
    with pytest.raises(MotionFileError, match="times its size"):
        read_finedance(write_bomb(tmp_path / "bomb.npz", "motion"))
