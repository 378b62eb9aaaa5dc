"""Files of other systems that cannot be judged are refused with what was found and what is needed."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.dance_folders import rotvec
from fakes.published_files import (
    CASES,
    FRAMES,
    Command,
    moving,
    own_take,
    smpl_positions,
    with_hand_turns,
    write_bvh,
    write_edge,
)

from soulstream_engine.motion.skeleton import (
    LEG_LENGTH_M,
)
from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.position_fit import leg_length
from soulstream_training.evaluation.importers import read_dance


def spoiled(values, place, value):
    values = np.array(values)
    values[place] = value
    return values


POSITIONS = smpl_positions(*moving(60))


@pytest.mark.parametrize(
    ("format", "values", "message"),
    [
        ("fact", np.zeros((90, 220)), r"has shape \[90, 220\], expected \[T, 219\] or \[T, 225\]"),
        ("fact", np.zeros(219), r"has shape \[219\], expected"),
        ("fact", np.zeros((90, 219)), r"off a rotation by 1\.00 in the median, 0\.5 is allowed"),
        ("fact", spoiled(np.zeros((90, 225)), (3, 10), np.nan), r"'motion' is nan at \[3, 10\]; 1 values"),
        ("fact", np.zeros((1, 219)), "has 1 frames, 2 to"),
        ("fact", np.array([{}], dtype=object), "has type object"),
        ("bailando", POSITIONS[:, :22], r"has shape \[241, 22, 3\], expected \[T, 24, 3\] or \[T, 72\]"),
        ("bailando", spoiled(POSITIONS, (5, 6, 1), np.inf), r"'joints' is inf at \[5, 6, 1\]"),
        ("bailando", POSITIONS * 100, "has legs of 80 from hip to ankle, 0.3 to 1.5 m are read"),
        ("bailando", POSITIONS[..., [0, 2, 1]] * [1, -1, 1], "mean up is .* when read with Y up"),
        ("bailando", POSITIONS[:58], "has 29 frames at 30 a second, at least 30 are judged"),
        ("finedance", np.zeros((90, 314)), r"has shape \[90, 314\], expected \[T, 315\] or \[T, 319\]"),
    ],
)
def test_wrong_arrays_are_refused_with_value_and_limit(tmp_path, format, values, message):
    np.save(tmp_path / "mBR0.npy", values)
    with pytest.raises(MotionFileError, match=rf"^mBR0\.npy: .*{message}"):
        read_dance(tmp_path / "mBR0.npy", format)


@pytest.mark.parametrize(
    ("format", "changes", "message"),
    [
        ("edge", {"smpl_poses": Command()}, r"asks for 'posix\.system'; only plain numpy arrays"),
        ("edge", {"note": Command()}, r"asks for 'posix\.system'"),
        ("edge", {"smpl_trans": None}, r"lacks \['smpl_trans'\]; it has \['full_pose', 'smpl_poses'\]"),
        ("edge", {"smpl_poses": np.zeros((FRAMES, 66))}, r"'smpl_poses' has shape \[121, 66\], expected \[T, 72\]"),
        ("edge", {"smpl_poses": np.float32(0)}, r"'smpl_poses' has shape \[\], expected \[T, 72\]"),
        ("edge", {"smpl_poses": np.full((FRAMES, 72), np.nan)}, r"'smpl_poses' is nan at \[0, 0\]; 8712 values"),
        ("edge", {"smpl_trans": np.zeros((5, 3))}, r"'smpl_trans' has shape \[5, 3\], expected \[121, 3\]"),
        ("edge", {"full_pose": np.zeros((FRAMES, 22, 3))}, r"'full_pose' has shape \[121, 22, 3\], expected \[121, 24"),
        ("edge", {"full_pose": np.zeros((FRAMES, 24, 3))}, "has legs of 0 from hip to ankle"),
        ("finedance", {}, r"'smpl_poses' has shape \[121, 72\], expected \[T, 156\] or \[T, 66\]"),
        ("bailando", {}, r"has \['full_pose', 'smpl_poses', 'smpl_trans'\], expected one of pred_position"),
        ("aist++", {}, r"lacks \['smpl_scaling'\]"),
    ],
)
def test_wrong_pickles_are_refused_with_value_and_limit(tmp_path, format, changes, message):
    path = write_edge(tmp_path / "mBR0.pkl", *moving(), **changes)
    with pytest.raises(MotionFileError, match=rf"^mBR0\.pkl: .*{message}"):
        read_dance(path, format)


def test_edge_that_is_not_z_up_is_refused(tmp_path):
    root, wxyz = moving()
    path = write_edge(tmp_path / "a.pkl", root, wxyz, smpl_poses=rotvec(with_hand_turns(wxyz)))
    with pytest.raises(MotionFileError, match=r"^a\.pkl: .* when read with Z up"):
        read_dance(path, "edge")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "holds a list, expected keys and values"),
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ('{"other": 1}', r"has \['other'\], expected one of pred_position"),
        ('{"joints": [[1], [1, 2]]}', "'joints' is not a regular list of numbers"),
        ('{"joints": ["a"]}', "'joints' holds <U1, expected numbers"),
        ('{"joints": [NaN]}', r"has shape \[1\], expected \[T, 24, 3\]"),
    ],
)
def test_wrong_json_is_refused(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(MotionFileError, match=rf"^a\.json: {message}"):
        read_dance(tmp_path / "a.json", "bailando")


def write_arrays(path, **changes):
    take = own_take(*moving(30, 52))
    arrays = {"joints_m": take.joints_m, "joint_wxyz": take.joint_wxyz, "face": take.face, "fps": np.int32(30)}
    arrays.update(changes)
    np.savez(path, **{name: values for name, values in arrays.items() if values is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joint_wxyz": None, "fps": None}, r"lacks \['joint_wxyz', 'fps'\]; it has \['face', 'joints_m'\]"),
        ({"joints_m": np.zeros((FRAMES, 22, 3))}, r"'joints_m' has shape \[121, 22, 3\], expected \[T, 52, 3\]"),
        ({"joints_m": np.full((FRAMES, 52, 3), np.nan)}, r"'joints_m' is nan at \[0, 0, 0\]"),
        ({"joint_wxyz": np.zeros((FRAMES, 52, 4))}, "'joint_wxyz' has length 0.000 in frame 0"),
        ({"face": np.zeros((7, 52))}, r"'face' has shape \[7, 52\], expected \[121, 52\]"),
        ({"face": np.float32(1)}, r"'face' has shape \[\]"),
        ({"fps": np.int32(60)}, "runs at 60 frames a second, takes run at 30"),
        ({"fps": np.float32(np.nan)}, r"'fps' is nan at \[0\]"),
    ],
)
def test_wrong_takes_are_refused(tmp_path, changes, message):
    with pytest.raises(MotionFileError, match=rf"^a\.npz: {message}"):
        read_dance(write_arrays(tmp_path / "a.npz", **changes), "take")


def test_takes_without_a_face(tmp_path):
    assert read_dance(write_arrays(tmp_path / "a.npz", face=None), "take").face is None


def test_takes_of_other_figures_are_for_the_format_bvh(tmp_path):
    path = write_bvh(tmp_path / "a.bvh", *moving(30, 52))
    path.write_text(path.read_text().replace("OFFSET 0.000000 -38.180000 0.000000", "OFFSET 0 -45 0"))
    with pytest.raises(MotionFileError, match=r"^a\.bvh: has .* or bones of other lengths.*format bvh"):
        read_dance(path, "take")
    found = read_dance(path, "bvh")
    assert leg_length(found.joints_m) == pytest.approx(LEG_LENGTH_M, abs=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("left_hip", "thigh", "No joint map fits a recording"),
        ("OFFSET 0.000000 11.710000", "OFFSET 300 11.710000", "The trunk of the reference pose leans by"),
    ],
)
def test_errors_that_name_no_file_get_its_name(tmp_path, old, new, message):
    path = write_bvh(tmp_path / "a.bvh", *moving(30, 52))
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(MotionFileError, match=rf"^a\.bvh: {message}"):
        read_dance(path, "bvh")


@pytest.mark.parametrize("fps", [15.0, 0.0, np.nan])
@pytest.mark.parametrize("case", ["fact 219", "bailando", "bvh", "take bvh"])
def test_rates_that_make_no_sense_are_refused(tmp_path, case, fps):
    format, ending, _, joints, write = CASES[case]
    path = write(tmp_path / f"a{ending}", *moving(30, joints))
    with pytest.raises(MotionFileError, match=r"^a\..*: runs at (15\.0|15|0\.0|nan) frames a second"):
        read_dance(path, format, fps=fps)
