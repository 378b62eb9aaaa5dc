"""AIST++: the pickle comes back as a motion; what does not fit is refused."""

from __future__ import annotations

import os

import numpy as np
import pytest
from fakes.model_poses import FRAMES, assert_rotations, expected_rotations, path_m, rotvecs, write_pickle

from soulstream_engine.motion.skeleton import LEG_LENGTH_M
from soulstream_training.data.aist import read_aist
from soulstream_training.data.asf import MotionFileError


def write(tmp_path, **changes):
    document = {
        "smpl_poses": rotvecs(24).reshape(FRAMES, 72).astype(np.float32),
        "smpl_trans": (path_m() * 93.8).astype(np.float32),
        "smpl_scaling": np.array([93.8], np.float32),
        "smpl_loss": 1.25,
    }
    document.update(changes)
    document = {name: values for name, values in document.items() if values is not None}
    return write_pickle(tmp_path / "gBR_sBM_cAll_d04_mBR0_ch01.pkl", document, 5)


@pytest.mark.parametrize("shape", [(FRAMES, 72), (FRAMES, 24, 3)])
def test_motion_comes_back(tmp_path, shape):
    path = write(tmp_path, smpl_poses=rotvecs(24).reshape(shape))
    (motion,) = read_aist(path)
    assert motion.joint_wxyz.shape == (FRAMES, 22, 4)
    assert_rotations(motion.joint_wxyz, expected_rotations(rotvecs(24)[:, :22]))
    np.testing.assert_allclose(motion.root_m, path_m(), atol=1e-6)
    assert (motion.fps, motion.face, motion.face_space, motion.dancer) == (60.0, None, "", "")


def test_rate_and_leg_of_the_caller(tmp_path):
    (motion,) = read_aist(write(tmp_path), fps=30, leg_length_m=0.4)
    np.testing.assert_allclose(motion.root_m, path_m() * LEG_LENGTH_M / 0.4, atol=1e-5)
    assert motion.fps == 30


class Command:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"smpl_poses": np.full((FRAMES, 72), np.nan)}, r"ch01\.pkl: 'smpl_poses' is nan at \[0, 0\]; 504 values"),
        ({"smpl_poses": np.zeros((FRAMES, 66))}, r"shape \[7, 66\], expected \[T, 72\]"),
        ({"smpl_trans": np.zeros((FRAMES + 1, 3))}, r"'smpl_trans' has shape \[8, 3\], expected \[7, 3\]"),
        ({"smpl_scaling": np.array([0.0])}, r"'smpl_scaling' is 0, 0\.01 to 1000 is read"),
        ({"smpl_scaling": np.ones(2)}, r"'smpl_scaling' has shape \[2\], expected \[1\]"),
        ({"smpl_scaling": None}, r"lacks \['smpl_scaling'\].*folder motions"),
        ({"smpl_poses": Command()}, r"asks for 'posix\.system'"),
        ({"smpl_trans": np.full((FRAMES, 3), 1e6), "smpl_scaling": np.ones(1)}, "1000000 m from the origin"),
    ],
)
def test_refused_with_value_and_limit(tmp_path, changes, message):
    with pytest.raises(MotionFileError, match=message):
        read_aist(write(tmp_path, **changes))


def test_cut_files_are_refused(tmp_path):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(MotionFileError, match="is not a readable pickle"):
        read_aist(path)
