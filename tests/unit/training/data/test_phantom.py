"""PhantomDance: Unity's world rotations come back as ours; JSON that is too deep, too large or not exact is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fakes.model_poses import FRAMES, assert_rotations, expected_rotations, path_m, rotvecs
from scipy.spatial.transform import Rotation

from soulstream_engine.motion.skeleton import LEG_LENGTH_M, PARENTS, forward_kinematics
from soulstream_training.data import phantom
from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.phantom import BONE_NAMES, read_phantom

MIRROR = np.diag([-1.0, 1.0, 1.0])


def unity_world(vectors):
    """World rotations [T, 24, 4] xyzw in Unity's axes of parent-local rotation vectors [T, 22, 3] in ours."""
    parents = [*PARENTS[:22].tolist(), 20, 21]
    world = []
    for joint, parent in enumerate(parents):
        local = Rotation.from_rotvec(vectors[:, joint] if joint < 22 else np.zeros((len(vectors), 3)))
        world.append(world[parent] * local if parent >= 0 else local)
    mirrored = [Rotation.from_matrix(MIRROR @ turn.as_matrix() @ MIRROR).as_quat() for turn in world]
    return np.stack(mirrored, axis=1)


def document(**changes):
    content = {
        "bone_name": list(BONE_NAMES),
        "root_positions": (path_m() @ MIRROR).tolist(),
        "rotations": unity_world(rotvecs(22)).tolist(),
    }
    content.update(changes)
    return {key: value for key, value in content.items() if value is not None}


def write(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_names_of_the_bones():
    assert BONE_NAMES[:4] == ("Pelvis", "L_Hip", "R_Hip", "Spine1")
    assert BONE_NAMES[12:16] == ("Neck", "L_Collar", "R_Collar", "Head")
    assert BONE_NAMES[20:] == ("L_Wrist", "R_Wrist", "L_Hand", "R_Hand")


def test_motion_comes_back(tmp_path):
    (motion,) = read_phantom(write(tmp_path, document()))
    assert motion.joint_wxyz.shape == (FRAMES, 22, 4)
    assert_rotations(motion.joint_wxyz, expected_rotations(rotvecs(22)))
    np.testing.assert_allclose(motion.root_m, path_m(), atol=1e-9)
    assert (motion.fps, motion.face, motion.dancer) == (30.0, None, "")


def test_left_stays_left(tmp_path):
    # In Unity a dancer facing +Z has the left arm along -X and lifts it by a turn of -90 degrees about Z.
    rotations = np.zeros((2, 24, 4))
    rotations[..., 3] = 1.0
    for bone in ("L_Shoulder", "L_Elbow", "L_Wrist", "L_Hand"):
        rotations[:, BONE_NAMES.index(bone)] = Rotation.from_euler("z", -90, degrees=True).as_quat()
    content = document(rotations=rotations.tolist(), root_positions=[[0.0, 1.0, 0.0], [-0.1, 1.0, 0.0]])
    (motion,) = read_phantom(write(tmp_path, content))
    joints = forward_kinematics(motion.root_m, motion.joint_wxyz)
    assert joints[0, 20, 1] > joints[0, 16, 1] + 0.5
    assert joints[0, 21, 0] < -0.5
    assert motion.root_m[1, 0] == pytest.approx(0.1)


def test_bones_may_come_in_any_order(tmp_path):
    order = np.random.default_rng(3).permutation(24)
    content = document(
        bone_name=[BONE_NAMES[i] for i in order], rotations=unity_world(rotvecs(22))[:, order].tolist(), extra=1
    )
    (motion,) = read_phantom(write(tmp_path, content), fps=60, leg_length_m=0.4)
    assert_rotations(motion.joint_wxyz, expected_rotations(rotvecs(22)))
    np.testing.assert_allclose(motion.root_m, path_m() * LEG_LENGTH_M / 0.4)
    assert motion.fps == 60


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bone_name": [*BONE_NAMES[:-1], "Tail"]}, r"a\.json: 'bone_name' is .*'Tail'.*, expected the 24 bones"),
        ({"bone_name": {}}, "'bone_name' is dict"),
        ({"bone_name": [[]] * 24}, "'bone_name' is"),
        ({"rotations": None}, r"holds a dict without \['rotations'\]"),
        ({"root_positions": path_m()[:-1].tolist()}, r"'rotations' has shape \[7, 24, 4\], expected \[6, 24, 4\]"),
        ({"root_positions": [[0, 1, 0], [0, 1]]}, "'root_positions' is not a regular list of numbers"),
        ({"root_positions": [["0", "1", "0"]] * FRAMES}, "'root_positions' holds <U1, expected numbers"),
        ({"root_positions": [[10**30, 0, 0]] * FRAMES}, "'root_positions' holds object"),
        (
            {"rotations": (unity_world(rotvecs(22)) * 2).tolist()},
            r"has length 2\.000 in frame \d, joint \d+, expected 1",
        ),
        ({"rotations": 3}, r"'rotations' has shape \[\]"),
    ],
)
def test_refused_with_value_and_limit(tmp_path, changes, message):
    with pytest.raises(MotionFileError, match=message):
        read_phantom(write(tmp_path, document(**changes)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000 + "]" * 100_000, "is nested too deeply, three levels are needed"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "is nested too deeply"),
        ('{"rotations": NaN}', "NaN is not a number"),
        ('{"rotations": [-Infinity]}', "-Infinity is not a number"),
        ('{"rotations": 1, "rotations": 2}', "a key appears twice"),
        ('{"rotations": [' + "9" * 5000 + "]}", "is not valid JSON"),
        ("[1, 2]", r"holds a list without \['bone_name', 'root_positions', 'rotations'\]"),
        ("7", "holds a int without"),
        ("", "is not valid JSON"),
    ],
)
def test_other_json_is_refused(tmp_path, text, message):
    with pytest.raises(MotionFileError, match=message):
        read_phantom(write(tmp_path, text))


def test_infinite_numbers_are_refused(tmp_path):
    text = json.dumps(document()).replace("0.9,", "1e999,", 1)
    with pytest.raises(MotionFileError, match=r"'root_positions' is inf at \[0, 1\]"):
        read_phantom(write(tmp_path, text))


def test_cut_and_large_files_are_refused(tmp_path, monkeypatch):
    path = write(tmp_path, json.dumps(document())[:-20])
    with pytest.raises(MotionFileError, match="is not valid JSON"):
        read_phantom(path)
    monkeypatch.setattr(phantom, "MAX_LISTS", 50)
    with pytest.raises(MotionFileError, match=r"has \d+ lists, 50 are allowed"):
        read_phantom(path)
    monkeypatch.setattr(phantom, "MAX_JSON_BYTES", 100)
    with pytest.raises(MotionFileError, match="is larger than 100 bytes"):
        read_phantom(path)
    path.write_bytes(b'{"\xff": 1}')
    with pytest.raises(MotionFileError, match="is not valid JSON"):
        read_phantom(path)
    with pytest.raises(MotionFileError, match="cannot be read"):
        read_phantom(tmp_path / "nothing.json")
