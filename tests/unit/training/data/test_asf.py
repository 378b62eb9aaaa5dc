"""Skeleton files: what is read, how it is posed, and what is refused with file, line and value."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from soulstream_engine.errors import ConfigError
from soulstream_training.data import asf
from soulstream_training.data.amc import read_amc
from soulstream_training.data.asf import MotionFileError, forward_kinematics, read_asf


def test_bones_come_parents_first_in_metres(recording):
    skeleton = read_asf(recording.skeleton())
    assert skeleton.bones[0].name == "root"
    assert all(bone.parent < i for i, bone in enumerate(skeleton.bones))
    assert skeleton.unit_m == pytest.approx(0.0254)
    assert skeleton.bones[skeleton.index("lradius")].parent == skeleton.index("lhumerus")


def test_unknown_bone_is_named(recording):
    with pytest.raises(MotionFileError, match="'tail'"):
        read_asf(recording.skeleton()).index("tail")


def posed(recording, pose):
    skeleton = read_asf(recording.skeleton())
    result = forward_kinematics(skeleton, read_amc(recording.motion(1, lambda _: pose), skeleton))
    return lambda name: result.end_m[0, skeleton.index(name)]


def test_zero_pose_is_a_t_pose(recording):
    end = posed(recording, {})
    assert end("lhand")[0] > 0.6
    assert end("lhand")[1] == pytest.approx(end("lhumerus")[1])
    np.testing.assert_allclose(end("rhand"), end("lhand") * [-1, 1, 1], atol=1e-4)


def test_rotated_clavicle_raises_the_arm(recording):
    # A turn of 90 degrees about the world's z, the axis of the clavicle being the world's.
    end = posed(recording, {"lclavicle": "0 90"})
    assert end("lhand")[1] - end("thorax")[1] > 0.8
    assert abs(end("lhand")[0]) < 0.06


def test_joint_angles_are_about_the_axis_of_the_bone(recording):
    # The tibia's own x axis is turned 20 degrees, in the plane of the leg: bending the knee lifts the foot backwards.
    straight, bent = posed(recording, {}), posed(recording, {"ltibia": "90"})
    moved = bent("ltibia") - bent("lfemur")
    np.testing.assert_allclose(moved, [0, 0, -18 * 0.0254], atol=1e-4)
    np.testing.assert_allclose(bent("lfemur"), straight("lfemur"), atol=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (":units", ":colours", r"1\.asf:3: unknown section ':colours'"),
        ("axis XYZ", "axis ZYX", r"root axis \['ZYX'\]"),
        ("angle deg", "angle rad", "'rad'"),
        ("id 2", "weight 2", "unknown bone key 'weight'"),
        ("name upperback", "name lowerback", "'lowerback' appears twice"),
        ("length 18.0", "length nan", "'nan' is not a finite number"),
        ("length 18.0", "length -18.0", "-18.0 is negative"),
        ("dof rx ry rz", "dof tx", "rx ry rz"),
        ("direction 0.0 1.0 0.0", "direction 0.0 3.0 0.0", "has length 3.0000"),
        ("lfemur ltibia", "lfemur ltail", "'ltail' is not in :bonedata"),
        ("\nend\n:hierarchy", "\n:hierarchy\nx", "'x' outside of begin"),
    ],
)
def test_deviations_are_refused_with_their_value(recording, old, new, message):
    path = recording.skeleton()
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(MotionFileError, match=message):
        read_asf(path)


def test_cut_off_skeleton_is_refused(recording):
    path = recording.skeleton()
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(MotionFileError, match="cut off"):
        read_asf(path)


def test_bone_count_is_capped(recording):
    path = recording.skeleton()
    bone = "begin\nname b{}\ndirection 0 1 0\nlength 1\naxis 0 0 0 XYZ\nend\n"
    many = "".join(bone.format(i) for i in range(600))
    path.write_text(path.read_text().replace(":hierarchy", many + ":hierarchy"))
    with pytest.raises(ConfigError, match="more than 512 bones"):
        read_asf(path)


def test_size_is_capped_before_parsing_even_when_packed(recording, monkeypatch):
    monkeypatch.setattr(asf, "MAX_FILE_BYTES", 1000)
    path = recording.folder / "big.asf.gz"
    path.write_bytes(gzip.compress(b"#" * 1_000_000))
    with pytest.raises(MotionFileError, match="larger than 1000 bytes"):
        read_asf(path)


def test_missing_file_is_named(recording):
    with pytest.raises(MotionFileError, match=r"nowhere\.asf"):
        read_asf(recording.folder / "nowhere.asf")
