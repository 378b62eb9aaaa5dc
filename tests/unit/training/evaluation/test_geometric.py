"""Geometric features: each relation is switched on by a pose or a movement built for it, and off at rest."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import JOINT_INDEX, JOINT_NAMES, forward_kinematics
from soulstream_training.evaluation.geometric import RELATIONS, geometric_features

NAMES = [relation.name for relation in RELATIONS]
AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
ARMS_DOWN = {"left_shoulder": ("z", -85), "right_shoulder": ("z", 85)}
HUMERUS_M = 0.2889
Turns = dict[str, tuple[str, float]]


def _pose(turns: Turns, arms_down: bool = True) -> np.ndarray:
    """[22, 3]: the rest pose, arms down unless told, joints turned about an axis by degrees."""
    local = rotations.identity(22)
    for joint, (axis, degrees) in ({**ARMS_DOWN, **turns} if arms_down else turns).items():
        local[JOINT_INDEX[joint]] = rotations.from_axis_angle(np.array(AXES[axis]), np.radians(degrees))
    return forward_kinematics(np.array([0.0, 0.953, 0.0]), local).astype(np.float64)


def _held(turns: Turns, arms_down: bool = True) -> np.ndarray:
    return np.repeat(_pose(turns, arms_down)[None], 30, axis=0)


def _moving(joints: tuple[str, ...], velocity: tuple[float, float, float]) -> np.ndarray:
    """[30, 22, 3]: the pose with arms down while some joints drift at a velocity in m/s, through where they were."""
    made = _held({})
    drift = (np.arange(30) - 15)[:, None, None] / 30.0 * np.array(velocity)
    made[:, [JOINT_INDEX[joint] for joint in joints]] += drift
    return made


def _on(joints_m: np.ndarray) -> set[str]:
    """Names of the relations that hold in more than half of the frames, at true speeds."""
    return {
        name for name, share in zip(NAMES, geometric_features(joints_m, published=False), strict=True) if share > 0.5
    }


def _mirrored(joints_m: np.ndarray) -> np.ndarray:
    partner = [
        JOINT_INDEX[name.replace("left", "*").replace("right", "left").replace("*", "right")]
        for name in JOINT_NAMES[:22]
    ]
    return joints_m[:, partner] * np.array([-1.0, 1.0, 1.0])


def _swapped(names: set[str]) -> set[str]:
    return {name.replace("left", "*").replace("right", "left").replace("*", "right") for name in names}


def test_there_are_32_of_different_names_and_joints_that_exist() -> None:
    assert len(NAMES) == len(set(NAMES)) == 32
    assert all(JOINT_INDEX[joint] < 22 for relation in RELATIONS for joint in relation.joints)


def test_nothing_holds_while_standing_with_arms_down() -> None:
    assert _on(_held({})) == set()


ARM_UP: Turns = {"right_shoulder": ("z", -80)}
BOW: Turns = {"pelvis": ("x", 90), "left_hip": ("x", -90), "right_hip": ("x", -90)}
POSES: list[tuple[str, Turns, set[str]]] = [
    ("arm up", ARM_UP, {"right hand above the shoulder", "right upper arm lifted"}),
    ("elbow", {"left_elbow": ("y", -100)}, {"left elbow bent"}),
    ("arm forward", {"left_shoulder": ("y", -90)}, {"left upper arm lifted"}),
    ("leg back", {"right_hip": ("x", 40)}, {"right foot behind left leg"}),
    ("other leg back", {"left_hip": ("x", 40)}, {"left foot behind right leg"}),
    ("knee", {"left_knee": ("x", 100)}, {"left knee bent", "left foot raised", "left foot behind right leg"}),
    (
        "straight kick",
        {"right_hip": ("x", -80)},
        {"right thigh lifted", "right foot raised", "left foot behind right leg"},
    ),
    ("straddle", {"left_hip": ("z", 25), "right_hip": ("z", -25)}, {"feet far apart sideways"}),
    ("bow", BOW, {"spine horizontal"}),
]


@pytest.mark.parametrize(("turns", "expected"), [case[1:] for case in POSES], ids=[case[0] for case in POSES])
def test_poses(turns: Turns, expected: set[str]) -> None:
    found = _on(_held(turns))
    assert expected <= found
    assert _on(_mirrored(_held(turns))) == _swapped(found)


def test_small_poses_switch_on_their_relation_alone() -> None:
    for name, turns, expected in POSES[:6]:
        assert _on(_held(turns)) == expected, name


def test_t_pose_is_wide_with_both_arms_lifted() -> None:
    expected = {"hands far apart sideways", "right upper arm lifted", "left upper arm lifted"}
    assert _on(_held({}, arms_down=False)) == expected


def test_bend_to_the_floor_lowers_the_hands_and_moves_the_pelvis_back() -> None:
    reach: Turns = {"left_shoulder": ("y", -90), "right_shoulder": ("y", 90)}
    found = _on(_held(BOW | reach))
    assert {"right hand near the floor", "left hand near the floor", "pelvis behind feet and neck"} <= found


MOVES: list[tuple[str, tuple[str, ...], tuple[float, float, float], set[str]]] = [
    ("forwards", ("right_wrist",), (0, 0, 0.6), {"right hand moves forwards"}),
    ("upwards", ("left_wrist",), (0, 0.6, 0), {"left hand moves upwards"}),
    ("to the other", ("right_wrist",), (0.5, 0, 0), {"hands approach each other"}),
    ("away", ("left_wrist",), (0.6, 0, 0), {"left hand leaves the pelvis"}),
    ("fast hand", ("right_wrist",), (0, 0, -0.75), {"right hand fast"}),
    ("fast foot", ("left_ankle",), (0, 0, 0.75), {"left foot fast"}),
]


@pytest.mark.parametrize(
    ("joints", "velocity", "expected"), [case[1:] for case in MOVES], ids=[case[0] for case in MOVES]
)
def test_movements(joints: tuple[str, ...], velocity: tuple[float, float, float], expected: set[str]) -> None:
    made = _moving(joints, velocity)
    assert _on(made) == expected
    assert _on(_mirrored(made)) == _swapped(expected)


def test_walking_body_is_fast_but_its_hands_do_not_move_against_it() -> None:
    found = _on(_moving(tuple(JOINT_NAMES[:22]), (0.0, 0.0, 0.8)))
    assert found == {"pelvis fast", "right hand fast", "left hand fast", "right foot fast", "left foot fast"}


def test_published_speeds_count_twice() -> None:
    made = _moving(("right_wrist",), (0.0, 0.0, -0.6 * 2.5 * HUMERUS_M))
    row = NAMES.index("right hand fast")
    assert geometric_features(made)[row] == 1.0
    assert geometric_features(made, published=False)[row] == 0.0


def test_feature_is_the_share_of_frames() -> None:
    made = np.concatenate([_held({}), _held(ARM_UP)])
    assert geometric_features(made)[NAMES.index("right hand above the shoulder")] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("published", [True, False])
def test_place_heading_and_size_do_not_count(published: bool) -> None:
    generator = np.random.default_rng(4)
    sway = 0.3 * np.sin(
        generator.uniform(1, 9, (22, 3)) * np.arange(90)[:, None, None] / 30 + generator.uniform(0, 6, 3)
    )
    joints = _pose({"left_knee": ("x", 60)}) + sway
    expected = geometric_features(joints, published)
    turned = rotations.rotate(rotations.yaw(2.0), joints) + np.array([5.0, 1.0, -3.0])
    assert np.count_nonzero((expected > 0.0) & (expected < 1.0)) > 12
    assert geometric_features(turned, published) == pytest.approx(expected)
    assert geometric_features(1.3 * joints, published) == pytest.approx(expected)


def test_collapsed_skeleton_gives_numbers() -> None:
    assert np.isfinite(geometric_features(np.zeros((30, 22, 3)))).all()
