"""A BVH file read by someone else's reader holds the same dance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pybvh
from soulstream_engine.motion.bvh import bvh_lines
from soulstream_engine.motion.skeleton import JOINT_NAMES, PARENTS, REST_OFFSETS_M, forward_kinematics


def random_take(frames: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    rotations = rng.normal(size=(frames, 52, 4)).astype(np.float32)
    rotations /= np.linalg.norm(rotations, axis=-1, keepdims=True)
    return rng.normal(size=(frames, 3)).astype(np.float32), rotations


def test_another_reader_finds_the_same_joint_positions(tmp_path: Path) -> None:
    root_m, joint_wxyz = random_take(300)
    path = tmp_path / "take.bvh"
    path.write_text("".join(bvh_lines(JOINT_NAMES, PARENTS, REST_OFFSETS_M, root_m, joint_wxyz, 30)))
    read = pybvh.read_bvh_file(path)
    assert list(read.joint_names) == sorted(JOINT_NAMES, key=list(read.joint_names).index)
    assert len(read.joint_names) == 52
    assert abs(read.frame_time - 1 / 30) < 1e-6
    found = read.joint_positions() / 100.0
    expected = forward_kinematics(root_m, joint_wxyz)[:, [JOINT_NAMES.index(name) for name in read.joint_names]]
    assert np.abs(found - expected).max() < 1e-4
