"""SMPL-X as numbers: npz of BEAT2 and AMASS, the 322 columns, and what is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.model_poses import FRAMES, assert_rotations, expected_rotations, path_m, rotvecs, write_bomb
from scipy.spatial.transform import Rotation

from soulstream_engine.motion.skeleton import JOINT_INDEX, LEG_LENGTH_M
from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.smplx_npz import read_motionx, read_smplx_npz

SMPLX_OF_OURS = [*range(22), *range(25, 55)]


def beat2(**changes):
    """Arrays of a file of BEAT2: texts beside the numbers, and more shape values than we have."""
    arrays = {
        "poses": rotvecs(55).reshape(FRAMES, 165).astype(np.float32),
        "trans": path_m().astype(np.float32),
        "expressions": np.random.default_rng(1).normal(size=(FRAMES, 100)),
        "betas": np.zeros(300),
        "model": np.array("smplx2020"),
        "gender": np.array("neutral"),
        "mocap_frame_rate": np.array(30),
    }
    arrays.update(changes)
    return {name: values for name, values in arrays.items() if values is not None}


def write(tmp_path, **arrays):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    return path


def test_beat2_comes_back(tmp_path):
    (motion,) = read_smplx_npz(write(tmp_path, **beat2()))
    assert motion.joint_wxyz.shape == (FRAMES, 52, 4)
    assert_rotations(motion.joint_wxyz, expected_rotations(rotvecs(55)[:, SMPLX_OF_OURS]))
    np.testing.assert_allclose(motion.root_m, path_m(), atol=1e-6)
    assert (motion.fps, motion.dancer, motion.face_space) == (30.0, "", "flame103")
    np.testing.assert_allclose(motion.face[:, :100], beat2()["expressions"])
    np.testing.assert_allclose(motion.face[:, 100:], rotvecs(55)[:, 22], atol=1e-6)


def test_each_finger_lands_on_its_own_joint(tmp_path):
    poses = np.zeros((FRAMES, 55, 3))
    poses[:, 37, 0] = 0.5  # SMPL-X: left thumb1 follows index, middle, pinky and ring
    poses[:, 46, 1] = 0.7  # SMPL-X: right pinky1
    (motion,) = read_smplx_npz(write(tmp_path, **beat2(poses=poses.reshape(FRAMES, 165))))
    turned = np.flatnonzero(motion.joint_wxyz[0, :, 0] < 1 - 1e-9).tolist()
    assert turned == [JOINT_INDEX["left_thumb1"], JOINT_INDEX["right_pinky1"]]


def test_signs_are_continuous(tmp_path):
    poses = np.zeros((40, 55, 3))
    poses[:, 0, 1] = np.linspace(0, 9, 40)
    arrays = beat2(poses=poses.reshape(40, 165), trans=path_m(40), expressions=None)
    (motion,) = read_smplx_npz(write(tmp_path, **arrays))
    assert (np.sum(motion.joint_wxyz[1:] * motion.joint_wxyz[:-1], axis=-1) > 0.9).all()


def test_amass_is_stood_up(tmp_path):
    # In AMASS Z is up: the root rotation stands the model up, and the path runs in the plane of X and Y.
    upright = rotvecs(55)
    to_z_up = Rotation.from_euler("x", 90, degrees=True)
    stored = upright.copy()
    stored[:, 0] = (to_z_up * Rotation.from_rotvec(upright[:, 0])).as_rotvec()
    arrays = {
        "poses": stored.reshape(FRAMES, 165),
        "trans": to_z_up.apply(path_m()),
        "mocap_frame_rate": np.array(120.0),
        "markers_latent_vids": np.array({"LFHD": 3}, dtype=object),
        "gender": np.array("female"),
    }
    path = write(tmp_path, **arrays)
    (motion,) = read_smplx_npz(path, up="z")
    assert_rotations(motion.joint_wxyz, expected_rotations(upright[:, SMPLX_OF_OURS]))
    np.testing.assert_allclose(motion.root_m, path_m(), atol=1e-9)
    assert (motion.fps, motion.face) == (120.0, None)
    with pytest.raises(MotionFileError, match=r"mean up is \[.*\] when read with Y up.*other up axis"):
        read_smplx_npz(path)


@pytest.mark.parametrize(("columns", "joints"), [(156, 52), (72, 22), (66, 22)])
def test_fewer_columns(tmp_path, columns, joints):
    vectors = rotvecs(columns // 3)
    arrays = {"poses": vectors.reshape(FRAMES, columns), "trans": path_m(), "mocap_framerate": np.array(60.0)}
    (motion,) = read_smplx_npz(write(tmp_path, **arrays))
    assert_rotations(motion.joint_wxyz, expected_rotations(vectors[:, :joints]))
    assert motion.fps == 60.0


@pytest.mark.parametrize("style", ["smplx", "amass"])
def test_parts_give_the_same_as_the_whole(tmp_path, style):
    vectors = rotvecs(55)
    flat = vectors.reshape(FRAMES, 165)
    if style == "smplx":
        names = ("global_orient", "body_pose", "jaw_pose", "transl", "expression")
        hands = {"left_hand_pose": vectors[:, 25:40], "right_hand_pose": flat[:, 120:]}
    else:
        names = ("root_orient", "pose_body", "pose_jaw", "trans", "expressions")
        hands = {"pose_hand": flat[:, 75:]}
    parts = (flat[:, :3], flat[:, 3:66], flat[:, 66:69], path_m(), np.ones((FRAMES, 10)))
    path = write(tmp_path, **dict(zip(names, parts, strict=True)), **hands)
    (motion,) = read_smplx_npz(path, fps=30)
    assert_rotations(motion.joint_wxyz, expected_rotations(vectors[:, SMPLX_OF_OURS]))
    np.testing.assert_allclose(motion.face[0], [*[1] * 10, *[0] * 90, *vectors[0, 22]])


def test_without_hands_there_are_22_joints(tmp_path):
    flat = rotvecs(22).reshape(FRAMES, 66)
    path = write(tmp_path, global_orient=flat[:, :3], body_pose=flat[:, 3:], trans=path_m())
    (motion,) = read_smplx_npz(path, fps=30)
    assert motion.joint_wxyz.shape == (FRAMES, 22, 4)


def test_path_is_scaled_by_the_leg_and_the_rate_of_the_caller_wins(tmp_path):
    (motion,) = read_smplx_npz(write(tmp_path, **beat2()), leg_length_m=1.0, fps=60)
    np.testing.assert_allclose(motion.root_m, path_m() * LEG_LENGTH_M, atol=1e-6)
    assert motion.fps == 60


def test_mean_hand_is_added_to_the_fingers_only(tmp_path):
    mean = np.random.default_rng(2).normal(scale=0.2, size=(30, 3))
    (motion,) = read_smplx_npz(write(tmp_path, **beat2()), hand_mean_rotvec=mean)
    expected = rotvecs(55)[:, SMPLX_OF_OURS]
    expected[:, 22:] += mean
    assert_rotations(motion.joint_wxyz, expected_rotations(expected))


def test_a_face_of_zeros_is_none(tmp_path):
    poses = rotvecs(55)
    poses[:, 22] = 0
    arrays = beat2(poses=poses.reshape(FRAMES, 165), expressions=np.zeros((FRAMES, 100)))
    (motion,) = read_smplx_npz(write(tmp_path, **arrays))
    assert (motion.face, motion.face_space) == (None, "")


def with_nan(values):
    spoiled = np.array(values, dtype=np.float64)
    spoiled[3, 5] = np.nan
    return spoiled


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"poses": with_nan(np.zeros((FRAMES, 165)))}, r"a\.npz: 'poses' is nan at \[3, 5\]; 1 values are not finite"),
        ({"poses": np.zeros((FRAMES, 87))}, r"'poses' has shape \[7, 87\], expected \[T, 165, 156, 72, 66\]"),
        ({"poses": np.array([{}], dtype=object)}, "'poses' has type object"),
        ({"poses": np.full((FRAMES, 165), 45.0)}, r"turns a joint by 77\.9 rad, 12\.6 are allowed.*degrees"),
        ({"trans": path_m()[:-1]}, "6 positions, 7 poses, 7 faces, expected equal counts"),
        ({"trans": path_m() * 1000}, r"puts the pelvis 1000 m from the origin, 100 are allowed.*metres"),
        ({"trans": None}, r"lacks 'trans' or 'transl'; it has \['expressions', 'mocap_frame_rate', 'poses'\]"),
        ({"poses": None}, "lacks 'global_orient' or 'root_orient'"),
        ({"poses": np.zeros((1, 165)), "trans": path_m(1)}, "'trans' has 1 frames, 2 to 1000000 are read"),
        ({"expressions": np.zeros((FRAMES, 101))}, r"'expressions' has shape \[7, 101\]"),
        ({"mocap_frame_rate": np.array(0.0)}, r"runs at 0\.0 frames a second, 1 to 1000 are read"),
        ({"mocap_frame_rate": np.array([30, 60])}, r"has shape \[2\], expected one number"),
        ({"mocap_frame_rate": None}, "carries no frame rate"),
        (
            {"poses": np.tile([np.pi, 0, 0] + [0] * 162, (FRAMES, 1))},
            r"mean up is \[0\.0, -1\.0, .*\] when read with Y",
        ),
    ],
)
def test_refused_with_value_and_limit(tmp_path, changes, message):
    with pytest.raises(MotionFileError, match=message):
        read_smplx_npz(write(tmp_path, **beat2(**changes)))


def test_principal_components_of_hands_are_refused(tmp_path):
    flat = rotvecs(22).reshape(FRAMES, 66)
    hands = dict.fromkeys(("left_hand_pose", "right_hand_pose"), np.zeros((FRAMES, 12)))
    path = write(tmp_path, global_orient=flat[:, :3], body_pose=flat[:, 3:], trans=path_m(), **hands)
    with pytest.raises(MotionFileError, match=r"'left_hand_pose' has shape \[7, 12\], expected \[7, 45\]"):
        read_smplx_npz(path, fps=30)


@pytest.mark.parametrize("leg", [80.0, 0.0, float("nan")])
def test_legs_must_be_human(tmp_path, leg):
    with pytest.raises(MotionFileError, match=r"has legs of .* from hip to ankle, 0\.3 to 1\.5 m are read"):
        read_smplx_npz(write(tmp_path, **beat2()), leg_length_m=leg)


def test_bombs_and_cut_files_are_refused(tmp_path):
    with pytest.raises(MotionFileError, match=r"'poses' unpacks to .* times its size"):
        read_smplx_npz(write_bomb(tmp_path / "bomb.npz", "poses"))
    path = write(tmp_path, **beat2())
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(MotionFileError, match="not a readable npz archive"):
        read_smplx_npz(path)


def rows_322(seed=0):
    rows = np.random.default_rng(seed).normal(size=(FRAMES, 322))
    vectors = rotvecs(52, seed=seed)
    rows[:, :156] = vectors.reshape(FRAMES, 156)
    rows[:, 156:159] *= 0.1
    rows[:, 309:312] = path_m()
    return rows, vectors


def test_322_columns_come_back(tmp_path):
    rows, vectors = rows_322()
    np.save(tmp_path / "a.npy", rows)
    (motion,) = read_motionx(tmp_path / "a.npy", fps=30)
    assert_rotations(motion.joint_wxyz, expected_rotations(vectors))
    np.testing.assert_allclose(motion.root_m, path_m())
    assert motion.face_space == "flame103"
    np.testing.assert_allclose(motion.face[:, :50], rows[:, 159:209])
    assert not motion.face[:, 50:100].any()
    np.testing.assert_allclose(motion.face[:, 100:], rows[:, 156:159])
    (motion,) = read_motionx(tmp_path / "a.npy", fps=30, face_columns="face100")
    np.testing.assert_allclose(motion.face[:, :100], rows[:, 209:309])


def test_322_columns_of_two_dancers(tmp_path):
    np.savez(tmp_path / "a.npz", motion=np.stack([rows_322(0)[0], rows_322(1)[0]]), other=np.zeros(3))
    motions = read_motionx(tmp_path / "a.npz", fps=60)
    assert [motion.dancer for motion in motions] == ["1", "2"]
    assert_rotations(motions[1].joint_wxyz, expected_rotations(rows_322(1)[1]))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((FRAMES, 323)), r"shape \[7, 323\], expected \[T, 322\]"),
        (np.zeros((6, FRAMES, 322)), r"has 6 dancers \(shape \[6, 7, 322\]\), 1 to 5 are read"),
        (np.full((FRAMES, 322), np.inf), r"'motion' is inf at \[0, 0\]; 2254 values"),
        (np.array([{}], dtype=object), "type object"),
    ],
)
def test_other_322_are_refused(tmp_path, rows, message):
    np.save(tmp_path / "a.npy", rows)
    with pytest.raises(MotionFileError, match=message):
        read_motionx(tmp_path / "a.npy", fps=30)


def test_322_columns_need_a_rate(tmp_path):
    np.save(tmp_path / "a.npy", rows_322()[0])
    with pytest.raises(MotionFileError, match="carries no frame rate"):
        read_motionx(tmp_path / "a.npy")
