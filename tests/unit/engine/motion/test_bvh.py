"""BVH takes: a reader of other people's making finds the same skeleton in the same poses."""

from pathlib import Path

import numpy as np
import pybvh
import pytest

from soulstream_engine.motion import skeleton
from soulstream_engine.motion.bvh import bvh_lines, write_bvh
from soulstream_engine.motion.idle import idle_poses


def _take(frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Idle that also turns round and round, with wild arms."""
    root, wxyz, _ = idle_poses(range(frames), (0.4, 0, -0.2), 0.5)
    rng = np.random.default_rng(3)
    wild = rng.normal(size=(frames, 52, 4))
    wxyz = wxyz.astype(np.float64)
    wxyz[:, 13:22] = (wild / np.linalg.norm(wild, axis=-1, keepdims=True))[:, 13:22]
    turn = np.arange(frames) * 0.3
    wxyz[:, 0] = np.stack([np.cos(turn / 2), 0 * turn, np.sin(turn / 2), 0 * turn], axis=-1)
    return root.astype(np.float64), wxyz


def test_pybvh_reads_back_the_same_joints(tmp_path: Path) -> None:
    root, wxyz = _take(600)  # more than one block of lines
    path = tmp_path / "take.bvh"
    with path.open("w") as stream:
        write_bvh(stream, root, wxyz)
    take = pybvh.read_bvh_file(path)
    order = [list(take.joint_names).index(name) for name in skeleton.JOINT_NAMES]
    theirs = np.asarray(take.joint_positions())[:, order]
    ours_cm = 100 * skeleton.forward_kinematics(root, wxyz)
    assert np.abs(theirs - ours_cm).max() < 1e-3
    assert take.fps == pytest.approx(30, abs=1e-4)


def test_angles_do_not_jump_where_the_dancer_turns() -> None:
    root, wxyz = _take(1100)
    lines = list(bvh_lines(root, wxyz))
    first = next(number for number, line in enumerate(lines) if line.startswith("Frame Time"))
    yaw = np.array([float(line.split()[5]) for line in lines[first + 1 :]])
    np.testing.assert_allclose(np.diff(yaw), np.degrees(0.3), atol=1e-3)


def test_the_header_is_what_readers_expect() -> None:
    root, wxyz = _take(2)
    lines = list(bvh_lines(root, wxyz, fps=60))
    assert lines[0] == "HIERARCHY" and lines[1] == "ROOT pelvis"
    assert lines[4].strip() == "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
    text = "\n".join(lines)
    assert text.count("{") == text.count("}") == 52 + text.count("End Site")
    assert text.count("End Site") == 13  # ten fingers, two feet, the head
    assert "Frames: 2" in lines and "Frame Time: 0.01666667" in lines


@pytest.mark.parametrize("broken", ["shape", "nan", "fps"])
def test_bad_takes_are_refused_before_anything_is_written(broken: str) -> None:
    root, wxyz = _take(3)
    if broken == "shape":
        wxyz = wxyz[:, :22]
    if broken == "nan":
        wxyz[1, 3, 0] = np.nan
    with pytest.raises(ValueError, match=r"52|finite|positive"):
        bvh_lines(root, wxyz, fps=0 if broken == "fps" else 30)
