"""Dances of other systems: one dance written in every file format comes back as that dance; what is wrong is named."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from fakes.dance_folders import cut, rotvec
from fakes.model_poses import write_pickle
from fakes.named_figures import dance, turned
from scipy.spatial.transform import Rotation

from soulstream_engine.cli.take_files import write_take
from soulstream_engine.errors import ConfigError
from soulstream_engine.frames import Provenance
from soulstream_engine.motion.bvh import bvh_lines
from soulstream_engine.motion.skeleton import (
    JOINT_INDEX,
    LEG_LENGTH_M,
    PARENTS,
    PELVIS_REST_HEIGHT_M,
    REST_OFFSETS_M,
    forward_kinematics,
)
from soulstream_engine.runtime.render import Take
from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.position_fit import leg_length
from soulstream_training.data.resample import floor_height
from soulstream_training.evaluation.importers import FORMATS, read_dance, read_folder, song_name

SECONDS = 4
FRAMES = 30 * SECONDS + 1
SPEED_MPS = 0.7
TO_Z_UP = Rotation.from_euler("x", 90, degrees=True)

EXACT_M = 2e-6
"""Files at 30 fps, most of them float32 (measured 3e-7 m)."""

FILTERED_M = 5e-4
"""Files at 60 fps: the low-pass moves this dance a little at its ends (measured 1.2e-4 m)."""

FILTERED_INSIDE_M = 5e-6
"""Files at 60 fps, half a second away from the ends (measured 1.4e-6 m)."""


def moving(fps=30, joints=22, frames=None):
    """A dancer who walks to her left as she dances: pelvis [T, 3], local rotations [T, J, 4]; the same at any rate."""
    count = (FRAMES - 1) * fps // 30 + 1
    time = np.arange(count) / fps
    root = np.stack([SPEED_MPS * time, np.full(count, PELVIS_REST_HEIGHT_M), 0.1 * np.sin(time)], axis=-1)
    return root[:frames], dance(count, joints)[:frames]


def kicking(fps=30, joints=22):
    """The right leg stays out in front of a dancer who stands and faces +Z."""
    root, _ = moving(fps, joints)
    return root * [0, 1, 0], turned(len(root), joints, right_hip=(-70.0, 0.0, 0.0))


def with_hands(positions):
    """Positions [T, 24, 3]: the hands of SMPL beyond the wrists."""
    wrists, elbows = positions[:, [20, 21]], positions[:, [18, 19]]
    return np.concatenate([positions[:, :22], wrists + 0.3 * (wrists - elbows)], axis=1)


def with_hand_turns(wxyz):
    return np.concatenate([wxyz, np.tile([0.8, 0.6, 0, 0], (len(wxyz), 2, 1))], axis=1)


def write_fact(path, root, wxyz, *, padding=0, noise=0.0):
    flat = with_hand_turns(wxyz).reshape(-1, 4)
    matrices = Rotation.from_quat(flat, scalar_first=True).as_matrix().reshape(len(root), -1)
    matrices = matrices * (1.0 + noise)
    np.save(path, np.concatenate([np.full((len(root), padding), 0.01), root, matrices], axis=1).astype(np.float32))
    return path


def smpl_positions(root, wxyz, scale=1.0):
    return (with_hands(forward_kinematics(root, wxyz)) * scale).astype(np.float32)


def write_bailando(path, root, wxyz, *, is_flat=False, scale=1.0):
    joints = smpl_positions(root, wxyz, scale)
    np.save(path, joints.reshape(len(joints), -1) if is_flat else joints)
    return path


def edge_document(root, wxyz, scale=1.0):
    root = root * scale
    positions = with_hands(forward_kinematics(root, wxyz, REST_OFFSETS_M * scale))
    pelvis = (TO_Z_UP * Rotation.from_quat(wxyz[:, 0], scalar_first=True)).as_quat(scalar_first=True)
    turns = with_hand_turns(np.concatenate([pelvis[:, None], wxyz[:, 1:]], axis=1))
    return {
        "smpl_poses": rotvec(turns).astype(np.float32),
        "smpl_trans": TO_Z_UP.apply(root).astype(np.float32),
        "full_pose": TO_Z_UP.apply(positions.reshape(-1, 3)).reshape(positions.shape).astype(np.float32),
    }


def write_edge(path, root, wxyz, **changes):
    document = {**edge_document(root, wxyz), **changes}
    return write_pickle(path, {name: values for name, values in document.items() if values is not None})


def write_finedance(path, root, wxyz, *, contacts=False):
    rows = Rotation.from_quat(wxyz.reshape(-1, 4), scalar_first=True).as_matrix()[:, :2].reshape(len(root), -1)
    columns = [np.ones((len(root), 4)), root, rows] if contacts else [root, rows]
    np.save(path, np.concatenate(columns, axis=1).astype(np.float32))
    return path


def write_finenet(path, root, wxyz):
    return write_pickle(path, {"smpl_poses": rotvec(wxyz).astype(np.float32), "smpl_trans": root.astype(np.float32)})


def write_aist(path, root, wxyz):
    document = {"smpl_poses": rotvec(with_hand_turns(wxyz)), "smpl_trans": root * 93.8}
    return write_pickle(path, {**document, "smpl_scaling": np.array([93.8])}, 5)


def write_bvh(path, root, wxyz, fps=30):
    path.write_text("\n".join(bvh_lines(root, wxyz, fps)) + "\n")
    return path


def own_take(root, wxyz, fps=30):
    joints = forward_kinematics(root, wxyz).astype(np.float32)
    face = np.random.default_rng(0).uniform(0, 1, (len(root), 52)).astype(np.float32)
    arrays = (joints, wxyz.astype(np.float32), root.astype(np.float32), PARENTS, REST_OFFSETS_M, face)
    return Take(*arrays, np.zeros((len(root), 4), np.float32), fps, (Provenance.GENERATED,) * len(root))


def write_npz(path, root, wxyz):
    write_take(own_take(root, wxyz), path)
    return path


# Format, ending, frames a second, joints, and what writes it.
CASES = {
    "fact 219": ("fact", ".npy", 60, 22, write_fact),
    "fact 225": ("fact", ".npy", 60, 22, lambda *args: write_fact(*args, padding=6)),
    "bailando": ("bailando", ".npy", 60, 22, write_bailando),
    "bailando flat": ("bailando", ".npy", 60, 22, lambda *args: write_bailando(*args, is_flat=True)),
    "edge": ("edge", ".pkl", 30, 22, write_edge),
    "finedance": ("finedance", ".npy", 30, 52, write_finedance),
    "finedance 319": ("finedance", ".npy", 30, 52, lambda *args: write_finedance(*args, contacts=True)),
    "finenet": ("finedance", ".pkl", 30, 52, write_finenet),
    "finenet body": ("finedance", ".pkl", 30, 22, write_finenet),
    "aist++": ("aist++", ".pkl", 60, 22, write_aist),
    "bvh": ("bvh", ".bvh", 30, 52, write_bvh),
    "bvh 60": ("bvh", ".bvh", 60, 52, lambda *args: write_bvh(*args, fps=60)),
    "take npz": ("take", ".npz", 30, 52, write_npz),
    "take bvh": ("take", ".bvh", 30, 52, write_bvh),
}


def back(tmp_path, case, motion=moving):
    """A motion written in a format and read again."""
    format, ending, fps, joints, write = CASES[case]
    return read_dance(write(tmp_path / f"mBR0{ending}", *motion(fps, joints)), format)


def on_floor(joints):
    return joints - [0, floor_height(joints), 0]


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


class Command:
    def __reduce__(self):
        return os.system, ("true",)


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
