"""BVH: whatever the order of channels, read back is what was written; anything wrong is named with its line."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pytest
from fakes.named_figures import bvh_text, dance
from scipy.spatial.transform import Rotation

from soulstream_engine.motion.bvh import bvh_lines
from soulstream_engine.motion.skeleton import JOINT_INDEX, NUM_JOINTS, forward_kinematics, global_rotations
from soulstream_training.data import bvh
from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.bvh import read_bvh

NAMES = ("hips", "spine", "arm", "leg")
PARENTS = (-1, 0, 1, 0)
OFFSETS = np.array([[0.0, 90.0, 0.0], [1.0, 20.0, -2.0], [15.0, 3.0, 1.0], [8.0, -5.0, 0.5]])
MOVED = ("Xposition", "Yposition", "Zposition")


def channels(order: str) -> tuple[str, ...]:
    return tuple(f"{axis}rotation" for axis in order)


def written(tmp_path, text=None, name="a.bvh"):
    path = tmp_path / name
    path.write_text(text or small())
    return path


def small(num_frames=3, orders=("ZXY", "XYZ", "YZX", "ZYX")):
    listed = [MOVED + channels(orders[0]), *(channels(order) for order in orders[1:])]
    values = np.random.default_rng(1).uniform(-170, 170, (num_frames, sum(map(len, listed))))
    return bvh_text(NAMES, PARENTS, OFFSETS, listed, values, tips={2: (5.0, 0.0, 0.0), 3: (0.0, -40.0, 0.0)})


def test_any_order_of_channels_gives_the_motion_that_was_written(tmp_path):
    rng = np.random.default_rng(0)
    turns = [Rotation.random(20, random_state=seed) for seed in range(4)]
    root = rng.normal(0, 50, (20, 3))
    for orders in (("ZXY", "XYZ", "YZX", "ZYX"), ("YXZ", "ZXY", "XZY", "XYZ")):
        listed = [channels(orders[0])[:2] + MOVED + channels(orders[0])[2:], *(channels(order) for order in orders[1:])]
        angles = [turn.as_euler(order, degrees=True) for turn, order in zip(turns, orders, strict=True)]
        values = np.concatenate([angles[0][:, :2], root, angles[0][:, 2:], *angles[1:]], axis=1)
        tips = {2: (5.0, 0.0, 0.0)}
        path = written(tmp_path, bvh_text(NAMES, PARENTS, OFFSETS, listed, values, tips=tips))
        recording = read_bvh(path, unit_m=0.01, up_axis="Y")
        spine = turns[0] * turns[1]
        arm_m = (root + turns[0].apply(OFFSETS[1]) + spine.apply(OFFSETS[2])) * 0.01
        assert recording.names == ("hips", "spine", "arm", "arm_end", "leg")
        assert recording.parents.tolist() == [-1, 0, 1, 2, 0]
        assert recording.fps == pytest.approx(30)
        np.testing.assert_allclose(recording.position_m[:, 2], arm_m, atol=1e-6)
        tip_m = arm_m + (spine * turns[2]).apply([0.05, 0.0, 0.0])
        np.testing.assert_allclose(recording.position_m[:, 3], tip_m, atol=1e-6)
        world = Rotation.from_quat(recording.global_wxyz[:, 2], scalar_first=True)
        assert (world.inv() * spine * turns[2]).magnitude().max() < 1e-6
        np.testing.assert_allclose(recording.offsets_m[[0, 2]], [[0, 0, 0], OFFSETS[2] * 0.01], atol=1e-12)


def test_our_own_export_reads_back_within_its_decimals(tmp_path):
    wxyz = dance(20, NUM_JOINTS)
    root = np.cumsum(np.full((20, 3), 0.02), axis=0)
    path = written(tmp_path, "\n".join(bvh_lines(root, wxyz)) + "\n")
    recording = read_bvh(path, unit_m=0.01, up_axis="Y")
    ours = [recording.names.index(name) for name in JOINT_INDEX]
    np.testing.assert_allclose(recording.position_m[:, ours], forward_kinematics(root, wxyz), atol=2e-5)
    same = np.abs(np.sum(recording.global_wxyz[:, ours] * global_rotations(wxyz), axis=-1))
    assert same.min() > 1 - 1e-9


def test_z_up_is_laid_back_and_left_stays_left(tmp_path):
    listed = [MOVED + channels("ZXY"), (), (), ()]
    values = np.array([[1.0, 2.0, 3.0, 90.0, 0.0, 0.0]])
    path = written(tmp_path, bvh_text(NAMES, PARENTS, OFFSETS, listed, values))
    recording = read_bvh(path, unit_m=1.0, up_axis="Z")
    np.testing.assert_allclose(recording.position_m[0, 0], [1.0, 3.0, -2.0])
    # A quarter turn about the file's up axis is one about ours.
    np.testing.assert_allclose(recording.global_wxyz[0, 0], [np.sqrt(0.5), 0, np.sqrt(0.5), 0], atol=1e-12)
    np.testing.assert_allclose(recording.offsets_m[1], [1.0, -2.0, -20.0])
    np.testing.assert_allclose(recording.position_m[0, 1] - recording.position_m[0, 0], [-20.0, -2.0, -1.0])


def test_position_channels_of_any_joint_stand_in_for_its_offset(tmp_path):
    listed = [(), ("Yposition", "Xrotation"), (), ()]
    path = written(tmp_path, bvh_text(NAMES, PARENTS, OFFSETS, listed, np.array([[7.0, 0.0]])))
    recording = read_bvh(path, unit_m=1.0, up_axis="Y")
    np.testing.assert_allclose(recording.position_m[0, 0], OFFSETS[0])
    np.testing.assert_allclose(recording.position_m[0, 1] - OFFSETS[0], [1.0, 7.0, -2.0])


def test_packed_and_plain_are_the_same(tmp_path):
    plain = written(tmp_path)
    packed = tmp_path / "a.bvh.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    one, two = (read_bvh(path, unit_m=0.01, up_axis="Y") for path in (plain, packed))
    assert (one.position_m == two.position_m).all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("HIERARCHY", "HIERARCHIE", r"a\.bvh:1: starts with 'HIERARCHIE'"),
        ("JOINT arm", "JOINT spine", r"a\.bvh:\d+: joint 'spine' appears twice"),
        ("JOINT arm", "JOINT spine_end", None),
        ("JOINT arm", "JOINT two words", r"has 3 words"),
        ("JOINT arm", "ROOT arm", r"'ROOT arm' is out of place"),
        ("End Site", "End Effector", r"'End Effector' should be 'End Site'"),
        ("ROOT hips\n{", "ROOT hips", r"'OFFSET 0.0 90.0 0.0' stands where \{ should"),
        ("OFFSET 0.0 90.0 0.0", "OFFSET 0.0 nan 0.0", r"a\.bvh:4: 'nan' is not a finite number"),
        ("OFFSET 0.0 90.0 0.0", "OFFSET 0.0 90.0", r"a\.bvh:4: has 2 values"),
        ("OFFSET 0.0 90.0 0.0\n", "", r"joint 'hips' lacks OFFSET"),
        ("OFFSET 0.0 90.0 0.0\n", "OFFSET 0.0 90.0 0.0\nOFFSET 0 0 0\n", r"a\.bvh:5: joint 'hips' has a second OFFSET"),
        ("CHANNELS 6", "CHANNELS 5", r"a\.bvh:5: names 6 channels, the count says 5"),
        ("CHANNELS 3 Xrotation", "CHANNELS 3 Yrotation", r"must be distinct ones"),
        ("CHANNELS 3 Xrotation", "CHANNELS 3 Wrotation", r"must be distinct ones"),
        ("CHANNELS 3 Xrotation", "SCALES 3 Xrotation", r"unknown key 'SCALES'"),
        ("MOTION\n", "}\nMOTION\n", r"'\}' stands outside of all joints"),
        ("}\nMOTION\n", "MOTION\n", r"MOTION comes after 6 joints, 1 not closed"),
        ("Frames: 3", "Frames: 0", r"0 frames are outside 1 to"),
        ("Frames: 3", "Frames: many", r"should be 'Frames:'"),
        ("Frames: 3", "Frames: 2", r"goes on after the 2 frames"),
        ("Frames: 3", "Frames: 4", r"ends after 3 of 4 frames: the file is cut off"),
        ("Frame Time: ", "Frame Rate: ", r"should be 'Frame Time:'"),
        ("Frame Time: 0.0", "Frame Time: -0.0", r"Frame Time -0\.0\d+ is outside 0.001 to 1.0 seconds"),
    ],
)
def test_deviations_are_refused_by_line_and_value(tmp_path, old, new, message):
    text = small()
    assert old in text
    path = written(tmp_path, text.replace(old, new, 1))
    if message is None:  # an End Site's name may be taken as long as nothing else claims it
        assert "spine_end" in read_bvh(path, unit_m=1.0, up_axis="Y").names
        return
    with pytest.raises(MotionFileError, match=message):
        read_bvh(path, unit_m=1.0, up_axis="Y")


def test_bad_frames_are_refused_by_line(tmp_path):
    lines = small().splitlines()
    row = lines[-2].split()
    for words, message in (
        (row[:-1], rf"a\.bvh:{len(lines) - 1}: has 14 values"),
        ([*row, "1.0"], rf"a\.bvh:{len(lines) - 1}: has 16 values"),
        (["nan", *row[1:]], rf"a\.bvh:{len(lines) - 1}: 'nan' is not a finite number"),
        (["1e999", *row[1:]], rf"a\.bvh:{len(lines) - 1}: '1e999' is not a finite number"),
    ):
        path = written(tmp_path, "\n".join([*lines[:-2], " ".join(words), lines[-1], ""]))
        with pytest.raises(MotionFileError, match=message):
            read_bvh(path, unit_m=1.0, up_axis="Y")


@pytest.mark.parametrize("value", ["1e300", "-1e160", "1e20", "1000001"])
def test_values_no_recording_has_are_refused_by_line(tmp_path, value):
    lines = small().splitlines()
    row = lines[-2].split()
    motion = "\n".join([*lines[:-2], " ".join([value, *row[1:]]), lines[-1], ""])
    with pytest.raises(MotionFileError, match=rf"a\.bvh:{len(lines) - 1}: '{value}' is beyond 1000000"):
        read_bvh(written(tmp_path, motion), unit_m=0.01, up_axis="Y")
    with pytest.raises(MotionFileError, match=rf"a\.bvh:4: '{value}' is beyond 1000000"):
        read_bvh(written(tmp_path, small().replace("0.0 90.0 0.0", f"0.0 {value} 0.0", 1)), unit_m=0.01, up_axis="Y")


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    lines = small().splitlines()
    for count in range(len(lines)):
        with pytest.raises(MotionFileError, match=r"a\.bvh:?\d*: .*\."):
            read_bvh(written(tmp_path, "\n".join(lines[:count]) or " "), unit_m=1.0, up_axis="Y")


def test_axis_and_unit_must_be_known(tmp_path):
    path = written(tmp_path)
    with pytest.raises(MotionFileError, match=re.escape("up axis 'X' is not one of Y, Z")):
        read_bvh(path, unit_m=1.0, up_axis="X")
    with pytest.raises(ValueError, match="positive, not 0"):
        read_bvh(path, unit_m=0, up_axis="Y")


def test_joints_depth_and_frames_are_capped(tmp_path, monkeypatch):
    path = written(tmp_path)
    for name, value, message in (
        ("MAX_BONES", 3, "more than 3 joints"),
        ("MAX_DEPTH", 2, "joint 'arm' is more than 2 joints deep"),
        ("MAX_FRAMES", 2, "3 frames are outside 1 to 2"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(bvh, name, value)
            with pytest.raises(MotionFileError, match=message):
                read_bvh(path, unit_m=1.0, up_axis="Y")


@pytest.mark.data
def test_the_shared_files_of_each_kind_read_with_bones_of_constant_length(shared_data):
    for name, unit_m, up_axis in (
        ("animated-drawings/cmu1/jumping_jacks.bvh", 0.0564444, "Y"),
        ("animated-drawings/fair1/dab.bvh", 0.0385, "Z"),
        ("mesh2motion-cc0/bvh/bow.bvh", 0.01, "Y"),
    ):
        recording = read_bvh(shared_data / name, unit_m=unit_m, up_axis=up_axis)
        bones = recording.position_m[:, 1:] - recording.position_m[:, recording.parents[1:]]
        lengths = np.linalg.norm(recording.offsets_m[1:], axis=-1)
        np.testing.assert_allclose(np.linalg.norm(bones, axis=-1), np.broadcast_to(lengths, bones.shape[:2]), atol=1e-9)
        assert 1.2 < np.ptp(recording.position_m[0, :, 1]) < 2.2, name
