"""The robot's files: axes and order of the angles, spikes taken out, anything wrong named with its line."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from fakes.g1_files import NAMES, rows, tree, write_rows, write_tree
from scipy.spatial.transform import Rotation

from soulstream_engine.arrays import read_arrays
from soulstream_engine.motion import rotations
from soulstream_training.data import g1
from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.g1 import read_g1, without_spikes


def read(tmp_path, values):
    return read_g1(write_rows(tmp_path, values), write_tree(tmp_path))


def place(recording, name):
    return recording.position_m[:, recording.names.index(name)]


def world(recording, name):
    return recording.global_wxyz[:, recording.names.index(name)]


def test_zero_pose_faces_forwards_with_left_on_the_left(tmp_path):
    recording = read(tmp_path, rows(2))
    assert recording.names == NAMES
    assert recording.fps == 60
    np.testing.assert_allclose(recording.global_wxyz, np.broadcast_to([1.0, 0, 0, 0], (2, len(NAMES), 4)), atol=1e-12)
    np.testing.assert_allclose(place(recording, "pelvis")[0], [0, 0.75, 0], atol=1e-12)
    assert place(recording, "left_knee")[0, 0] == pytest.approx(0.11)
    assert place(recording, "right_knee")[0, 0] == pytest.approx(-0.11)
    forearm = place(recording, "left_wrist_pitch") - place(recording, "left_elbow")
    np.testing.assert_allclose(forearm[0], [0, 0, 0.15], atol=1e-12)
    from_parents = recording.position_m[0] - recording.position_m[0, recording.parents]
    np.testing.assert_allclose(recording.offsets_m[1:], from_parents[1:], atol=1e-12)


def test_angles_turn_about_their_axes_in_the_order_of_the_bodies(tmp_path):
    angles = {"left_hip_pitch": 20.0, "left_hip_roll": 15.0, "left_hip_yaw": -30.0, "left_knee": 40.0}
    values = rows(1, **angles)
    values[0, :3] = [1.0, 2.0, 0.8]
    values[0, 3:7] = Rotation.from_euler("z", 90, degrees=True).as_quat()  # xyzw
    recording = read(tmp_path, values)
    turn = Rotation.from_euler("z", 90, degrees=True)
    point = np.array([1.0, 2.0, 0.8])
    table = {body["name"]: body for body in tree()["bodies"]}
    for name, angle in angles.items():
        point = point + turn.apply(table[name]["offset"])
        fixed = Rotation.from_euler(table[name]["fixed_axis"] or "x", table[name]["fixed_angle"])
        turn = turn * fixed * Rotation.from_euler(table[name]["axis"], angle, degrees=True)
    point = point + turn.apply([0, 0, -0.3])
    np.testing.assert_allclose(place(recording, "left_ankle_pitch")[0], point[[1, 2, 0]], atol=1e-12)
    # A quarter turn to the left about the robot's up axis is one about ours.
    np.testing.assert_allclose(rotations.rotate(world(recording, "pelvis")[0], [0, 0, 1]), [1, 0, 0], atol=1e-12)


def test_a_spike_goes_and_motion_stays(tmp_path):
    t = np.arange(60) / 60
    angle = 60 * np.sin(2 * np.pi * t)
    spiked = angle.copy()
    spiked[30] += 80
    values = rows(60, left_elbow=spiked, right_elbow=angle)
    recording = read(tmp_path, values)
    still = read(tmp_path, rows(60, left_elbow=angle, right_elbow=angle))
    off = rotations.angle_between(world(recording, "left_elbow"), world(still, "left_elbow"))
    assert np.degrees(off.max()) < 13  # the median of a slope is off by up to two frames
    assert (np.degrees(off) > 0.01).sum() <= 2 * g1.SPIKE_REACH + 3
    np.testing.assert_allclose(world(recording, "right_elbow"), world(still, "right_elbow"), atol=1e-12)


def test_a_lasting_step_and_the_first_and_last_frames_survive_the_median():
    step = np.repeat([[0.0], [1.0]], 10, axis=0)
    np.testing.assert_array_equal(without_spikes(step, 60.0), step)
    edge = np.zeros((10, 1))
    edge[0], edge[-1] = 1.0, 1.0
    assert np.abs(without_spikes(edge, 60.0)[1:-1]).max() == 0
    np.testing.assert_array_equal(without_spikes(np.full((2, 1), 0.5), 60.0), np.full((2, 1), 0.5))


def test_packed_and_plain_are_the_same(tmp_path):
    plain = write_rows(tmp_path, rows(3, left_knee=10.0))
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    one, two = (read_g1(path, write_tree(tmp_path)) for path in (plain, packed))
    assert (one.position_m == two.position_m).all()


def test_wrong_rows_are_refused_by_line(tmp_path):
    good = write_rows(tmp_path, rows(3)).read_text().splitlines()
    columns = len(good[1].split(","))
    for line, message in (
        (good[1] + ",0.0", rf"a\.csv:2: has {columns + 1} values .* expected {columns}"),
        (good[1].rpartition(",")[0], rf"a\.csv:2: has {columns - 1} values"),
        (good[1].replace("0.75", "nan"), r"a\.csv:2: 'nan' is not a finite number"),
        (good[1].replace("1.0", "0.5"), r"a\.csv:2: the root's quaternion has length 0\.5000, expected 1"),
        ("", r"a\.csv:2: has 1 values"),
        ("x,y,z", r"a\.csv:2: has 3 values"),
    ):
        path = tmp_path / "a.csv"
        path.write_text("\n".join([good[0], line, good[2], ""]))
        with pytest.raises(MotionFileError, match=message):
            read_g1(path, write_tree(tmp_path))


def test_no_frames_and_too_many_are_refused(tmp_path, monkeypatch):
    with pytest.raises(MotionFileError, match=r"a\.csv: has no frames"):
        read(tmp_path, rows(0))
    monkeypatch.setattr(g1, "MAX_FRAMES", 2)
    with pytest.raises(MotionFileError, match=r"a\.csv:3: has more than 2 frames"):
        read(tmp_path, rows(3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.pop("bodies"), "KeyError: 'bodies'"),
        (lambda table: table.update(up="y"), "must be 'm, rad', z, x"),
        (lambda table: table.update(bodies=[]), "has 0 bodies"),
        (lambda table: table["bodies"][3].update(parent=5), "body 3 'waist_pitch' has index 3 and parent 5"),
        (lambda table: table["bodies"][3].update(axis="w"), "body 3 'waist_pitch' has the axis w"),
        (lambda table: table["bodies"][3].update(offset=[0, 0]), "body 3 'waist_pitch' has offset"),
        (lambda table: table["bodies"][3].update(fixed_angle=float("inf")), "expected finite numbers"),
        (lambda table: table["bodies"][3].update(name="pelvis"), "names a body twice"),
    ],
)
def test_a_wrong_tree_is_refused(tmp_path, change, message):
    table = tree()
    change(table)
    with pytest.raises(MotionFileError, match=message):
        read_g1(write_rows(tmp_path, rows(1)), write_tree(tmp_path, table))


def test_a_tree_that_is_no_table_is_refused(tmp_path):
    for text in ("{", "[]", "3"):
        path = tmp_path / "tree.json"
        path.write_text(text)
        with pytest.raises(MotionFileError, match=r"tree\.json: is not a table of bodies"):
            g1.read_tree(path)


@pytest.mark.data
def test_kinematics_agree_with_the_publishers_own(shared_data, monkeypatch):
    monkeypatch.setattr(g1, "SPIKE_RAD_S", np.inf)  # theirs are not filtered
    folder = shared_data / "g1-moves"
    # Tolerances: measured 0.81 and 0.11 mm, as the data's own notes say.
    for name, limit_m in (("B_WiggleDance", 0.0009), ("J_Dance2_Salsa", 0.0002)):
        recording = read_g1(folder / "dance" / name / "retarget" / f"{name}.csv.gz", folder / "g1_tree.json")
        theirs = read_arrays(folder / f"{name}.npz")["body_pos_w"].astype(np.float64)[..., [1, 2, 0]]
        error = np.linalg.norm(recording.position_m[: len(theirs)] - theirs, axis=-1)
        assert len(recording.position_m) == len(theirs) + 1
        assert error.max() < limit_m
