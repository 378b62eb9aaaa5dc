"""One way to read every format."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.model_poses import FRAMES, path_m, rotvecs

from soulstream_engine.errors import ConfigError
from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.readers import MODEL_FORMATS, read_model_motion


def write(tmp_path, name="a", frames=FRAMES, rate=30.0):
    path = tmp_path / f"{name}.npz"
    poses = rotvecs(55, frames).reshape(frames, 165)
    np.savez(path, poses=poses, trans=path_m(frames), mocap_frame_rate=np.array(rate))
    return path


def test_formats_are_read_by_name(tmp_path):
    (found,) = read_model_motion(write(tmp_path), "smplx")
    assert found.fps == 30.0
    (found,) = read_model_motion(write(tmp_path), "smplx", fps=60)
    assert found.fps == 60


def test_formats_differ_in_their_up_axis(tmp_path):
    with pytest.raises(MotionFileError, match="when read with Z up"):
        read_model_motion(write(tmp_path), "amass")


def test_unknown_formats_are_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'vrm' is no format .* Use one of smplx, amass, motionx322"):
        read_model_motion("a.vrm", "vrm")


@pytest.mark.parametrize("name", [name for name, kind in MODEL_FORMATS.items() if kind.needs_fps])
def test_formats_without_a_rate_say_so(tmp_path, name):
    values = np.concatenate([rotvecs(52).reshape(FRAMES, 156), np.zeros((FRAMES, 166))], axis=1)
    if name.startswith("joints"):
        rest = np.random.default_rng(0).normal(scale=0.3, size=(22, 3))
        rest[[1, 4, 7, 2, 5, 8]] = [
            [0.1, 0, 0],
            [0.1, -0.4, 0],
            [0.1, -0.8, 0],
            [-0.1, 0, 0],
            [-0.1, -0.4, 0],
            [-0.1, -0.8, 0],
        ]
        rest[[0, 3]] = [[0, 0.1, 0], [0, 0.3, 0]]
        rest = rest if name == "joints" else rest[:, [0, 2, 1]] * [1, -1, 1]
        values = np.tile(rest, (FRAMES, 1, 1))
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(MotionFileError, match="carries no frame rate"):
        read_model_motion(tmp_path / "a.npy", name)
    (found,) = read_model_motion(tmp_path / "a.npy", name, fps=60)
    assert found.fps == 60
