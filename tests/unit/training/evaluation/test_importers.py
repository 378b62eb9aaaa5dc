"""Dances of other systems: one dance written in every file format comes back as that dance; what is wrong is named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fakes.dance_folders import cut
from fakes.model_poses import write_pickle
from fakes.published_files import (
    CASES,
    EXACT_M,
    FILTERED_INSIDE_M,
    FILTERED_M,
    FRAMES,
    SPEED_MPS,
    Command,
    back,
    edge_document,
    kicking,
    moving,
    on_floor,
    own_take,
    smpl_positions,
    write_aist,
    write_bailando,
    write_bvh,
    write_edge,
    write_fact,
    write_npz,
)

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.skeleton import (
    JOINT_INDEX,
    LEG_LENGTH_M,
    forward_kinematics,
)
from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.position_fit import leg_length
from soulstream_training.evaluation.importers import FORMATS, read_dance, read_folder, song_name


@pytest.mark.parametrize("case", CASES)
def test_the_same_dance_comes_back(tmp_path, case):
    format, _, fps, joints, _ = CASES[case]
    found = back(tmp_path, case)
    root, wxyz = moving(30, joints)
    expected = forward_kinematics(root, wxyz)
    expected = expected if format == "take" else on_floor(expected)
    assert found.song == "mBR0"
    assert found.joints_m.shape == (FRAMES, joints, 3)  # 60 fps became 30
    assert found.joints_m.dtype == np.float32
    inside = slice(15, -15) if fps > 30 else slice(None)
    tolerance = FILTERED_INSIDE_M if fps > 30 else EXACT_M
    np.testing.assert_allclose(found.joints_m[inside], expected[inside], atol=tolerance)
    np.testing.assert_allclose(found.joints_m, expected, atol=FILTERED_M if fps > 30 else tolerance)
    speed = np.diff(found.joints_m[inside, 0], axis=0)[:, 0].mean() * 30
    assert speed == pytest.approx(SPEED_MPS, abs=1e-3)
    assert (found.face is not None) == (case == "take npz")
    assert len(found.edges) == 0


@pytest.mark.parametrize("case", CASES)
def test_right_leg_forward_stays_so_and_up_stays_up(tmp_path, case):
    joints = back(tmp_path, case, kicking).joints_m
    right, left, head, pelvis = (JOINT_INDEX[name] for name in ("right_foot", "left_foot", "head", "pelvis"))
    assert (joints[:, right, 2] - joints[:, left, 2] > 0.6).all()
    assert (joints[:, right, 0] < joints[:, left, 0]).all()  # left = +X
    assert (joints[:, head, 1] - joints[:, pelvis, 1] > 0.4).all()
    np.testing.assert_allclose(joints[:, left, 1], 0.02, atol=1e-3)  # on the floor


@pytest.mark.parametrize("case", CASES)
def test_rotations_pose_the_joints(tmp_path, case):
    found = back(tmp_path, case)
    if CASES[case][0] == "bailando":
        assert found.joint_wxyz is None
        return
    np.testing.assert_allclose(np.linalg.norm(found.joint_wxyz, axis=-1), 1.0, atol=1e-5)
    posed = forward_kinematics(found.joints_m[:, 0], found.joint_wxyz)
    np.testing.assert_allclose(posed, found.joints_m, atol=1e-5)
    assert (np.sum(found.joint_wxyz[1:] * found.joint_wxyz[:-1], axis=-1) > 0).all()


def test_faults_at_30_fps_are_not_repaired(tmp_path):
    root, wxyz = moving()
    wxyz[50, JOINT_INDEX["left_knee"]] = [0.0, 1.0, 0.0, 0.0]  # flips for a frame
    root[70, 1] -= 0.3  # through the floor
    found = read_dance(write_edge(tmp_path / "a.pkl", root, wxyz), "edge")
    np.testing.assert_allclose(found.joints_m, on_floor(forward_kinematics(root, wxyz)), atol=EXACT_M)


@pytest.mark.parametrize("write", [write_fact, write_bailando])
def test_what_30_fps_cannot_show_is_not_folded_into_what_they_can(tmp_path, write):
    root, wxyz = moving(60)
    shaken = root + 0.02 * np.sin(2 * np.pi * 27.0 * np.arange(len(root)) / 60)[:, None] * [0, 1, 0]
    format = "fact" if write is write_fact else "bailando"
    found = read_dance(write(tmp_path / "a.npy", shaken, wxyz), format)
    calm = read_dance(write(tmp_path / "b.npy", root, wxyz), format)
    assert np.abs(np.diff(found.joints_m - calm.joints_m, axis=0))[15:-15].max() < 1e-3


def test_formats_are_those_that_are_tried():
    assert set(FORMATS) == {case[0] for case in CASES.values()}


def test_face_of_our_takes_is_kept(tmp_path):
    np.testing.assert_array_equal(back(tmp_path, "take npz").face, own_take(*moving(30, 52)).face)


def test_matrices_that_are_nearly_rotations_are_made_so(tmp_path):
    found = read_dance(write_fact(tmp_path / "a.npy", *moving(60), noise=-0.2), "fact")
    np.testing.assert_allclose(found.joints_m, back(tmp_path, "fact 219").joints_m, atol=1e-5)


@pytest.mark.parametrize("scale", [0.8, 1.1])
def test_positions_are_scaled_as_a_whole_to_our_legs(tmp_path, scale):
    found = read_dance(write_bailando(tmp_path / "a.npy", *moving(60), scale=scale), "bailando")
    assert leg_length(found.joints_m) == pytest.approx(LEG_LENGTH_M, abs=1e-3)
    np.testing.assert_allclose(found.joints_m, back(tmp_path, "bailando").joints_m, atol=1e-5)


@pytest.mark.parametrize("scale", [0.8, 1.1])
def test_path_of_edge_is_scaled_by_the_legs_of_its_positions(tmp_path, scale):
    path = write_pickle(tmp_path / "a.pkl", edge_document(*moving(), scale=scale))
    np.testing.assert_allclose(read_dance(path, "edge").joints_m, back(tmp_path, "edge").joints_m, atol=1e-5)


def test_edge_without_positions_keeps_its_path(tmp_path):
    found = read_dance(write_edge(tmp_path / "a.pkl", *moving(), full_pose=None), "edge")
    np.testing.assert_allclose(found.joints_m, back(tmp_path, "edge").joints_m, atol=1e-5)


@pytest.mark.parametrize("key", ["pred_position", "dance_array", "joints"])
@pytest.mark.parametrize("ending", [".json", ".npz", ".pkl"])
def test_positions_under_a_key(tmp_path, key, ending):
    joints = smpl_positions(*moving(60))
    joints = joints.reshape(len(joints), 72)
    path = tmp_path / f"a{ending}"
    document = {key: joints, "other": np.zeros(3)}
    if ending == ".json":
        path.write_text(json.dumps({name: values.tolist() for name, values in document.items()}))
    elif ending == ".npz":
        np.savez(path, **document)
    else:
        write_pickle(path, document)
    np.testing.assert_allclose(
        read_dance(path, "bailando").joints_m, back(tmp_path, "bailando").joints_m, rtol=0, atol=1e-5
    )


def test_bailandos_own_dictionary_in_an_array(tmp_path):
    path = tmp_path / "gBR_sBM_cAll_d04_mBR0_ch02.json.pkl.npy"
    np.save(path, {"pred_position": smpl_positions(*moving(60)).reshape(-1, 72)})
    np.testing.assert_allclose(read_dance(path, "bailando").joints_m, back(tmp_path, "bailando").joints_m, atol=1e-6)
    np.save(path, {"pred_position": Command()})
    with pytest.raises(MotionFileError, match=r"asks for 'posix\.system'"):
        read_dance(path, "bailando")


def test_rate_of_the_caller_counts(tmp_path):
    path = write_fact(tmp_path / "a.npy", *moving())
    found = read_dance(path, "fact", fps=30)
    assert len(found.joints_m) == FRAMES
    speed = np.diff(found.joints_m[:, 0], axis=0)[:, 0].mean() * 30
    assert speed == pytest.approx(SPEED_MPS, abs=1e-4)
    assert len(read_dance(path, "fact", fps=24).joints_m) == 151  # 5 s and the first frame


@pytest.mark.parametrize(
    ("name", "format", "song"),
    [
        ("gBR_sBM_cAll_d04_mBR0_ch02_mPO1.npy", "fact", "mPO1"),  # begun with a dance to mBR0, danced to mPO1
        ("gBR_sBM_cAll_d04_mBR0_ch02.json.pkl.npy", "bailando", "mBR0"),
        ("test_mBR0.pkl", "edge", "mBR0"),
        ("1_0_gKR_sBM_cAll_d30_mKR2_ch02_slice6.pkl", "edge", "mKR2"),
        ("test_my song.pkl", "edge", "my song"),
        ("test_063.pkl", "finedance", "063"),
        ("M063.npy", "finedance", "063"),
        ("063z@005.npy", "finedance", "063"),
        ("gBR_sBM_cAll_d04_mBR0_ch01.pkl", "aist++", "mBR0"),
        ("mBR0_seed3.npz", "take", "mBR0"),
        ("test_063.npz", "take", "test_063"),
        ("filmBR0x.v2.npz", "take", "filmBR0x.v2"),
        ("mBR10.bvh.gz", "bvh", "mBR10"),
    ],
)
def test_song_is_in_the_name(tmp_path, name, format, song):
    assert song_name(tmp_path / name, format) == song


def test_song_of_the_caller_counts(tmp_path):
    assert read_dance(write_fact(tmp_path / "mBR0.npy", *moving(60)), "fact", song="other").song == "other"


def test_folder_is_read_in_order_of_names(tmp_path):
    for name in ("x_mPO1.npz", "x_mBR0.npz", "b.npz"):
        write_npz(tmp_path / name, *moving(30, 52, frames=40))
    write_bvh(tmp_path / "c.bvh", *moving(30, 52, frames=50))
    (tmp_path / "features.npz").mkdir()
    assert [found.song for found in read_folder(tmp_path, "take")] == ["b", "mBR0", "mPO1"]
    assert [found.song for found in read_folder(tmp_path, "take", "x_*")] == ["mBR0", "mPO1"]
    assert [len(found.joints_m) for found in read_folder(tmp_path, "take", pattern="*.bvh")] == [50]


def test_ignored_motions_of_aist_are_left_out(tmp_path):
    names = [f"gBR_sBM_cAll_d04_mBR{song}_ch01" for song in range(3)]
    for name in names:
        write_aist(tmp_path / f"{name}.pkl", *moving(60))
    (tmp_path / "ignore_list.txt").write_text(f"{names[1]}\n")
    assert [found.song for found in read_folder(tmp_path, "aist++")] == ["mBR0", "mBR2"]


def test_one_bad_file_of_a_folder_is_an_error(tmp_path):
    write_fact(tmp_path / "a.npy", *moving(60))
    cut(write_fact(tmp_path / "b.npy", *moving(60)))
    with pytest.raises(MotionFileError, match=r"^b\.npy: "):
        read_folder(tmp_path, "fact")


def test_empty_folders_and_unknown_formats_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"has no file '\*\.pkl' to read as edge"):
        read_folder(tmp_path, "edge")
    for read in (read_dance, read_folder):
        with pytest.raises(ConfigError, match=r"'vrm' is no format of dances\. Use one of fact, bailando, edge"):
            read(tmp_path / "a.vrm", "vrm")
