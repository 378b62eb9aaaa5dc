"""Reaching: hands of a dancer with another build end up where they should, and nothing snaps or breaks for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes.named_figures import dance, record, turned

from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import (
    JOINT_INDEX,
    JOINT_NAMES,
    NUM_BODY_JOINTS,
    PELVIS_REST_HEIGHT_M,
    REST_OFFSETS_M,
    SOLE_BELOW_FOOT_M,
    forward_kinematics,
    global_rotations,
)
from soulstream_training.data import named_retarget
from soulstream_training.data.acclaim_recording import recording_of_acclaim
from soulstream_training.data.amc import read_amc
from soulstream_training.data.asf import forward_kinematics as pose_source
from soulstream_training.data.asf import read_asf
from soulstream_training.data.g1 import read_g1
from soulstream_training.data.joint_maps import find_map
from soulstream_training.data.motion_quality import end_effector_error_m
from soulstream_training.data.named_retarget import retarget_named
from soulstream_training.data.named_source import NamedSource
from soulstream_training.data.reach import _place_arm, reach
from soulstream_training.data.retarget import retarget, unfold_legs

ARM_M = np.linalg.norm(REST_OFFSETS_M[[JOINT_INDEX["left_elbow"], JOINT_INDEX["left_wrist"]]], axis=-1)
LOW_PIVOT = {"spine1": [0.0, 0.02, 0.0], "spine2": [0.0, 0.215, -0.01]}
WIDE = {"left_shoulder": [0.19, 0.02, -0.03], "right_shoulder": [-0.19, 0.02, -0.03]}
SWAY = np.sin(np.linspace(0, 2 * np.pi, 60))[:, None]


def built(joint_wxyz, offsets, root_m=None):
    """A recording of a dancer whose joints sit elsewhere: rest offsets [3] by name."""
    rest = REST_OFFSETS_M.astype(np.float64)
    for name, offset in offsets.items():
        rest[JOINT_INDEX[name]] = offset
    root = np.tile([0.0, PELVIS_REST_HEIGHT_M, 0.0], (len(joint_wxyz), 1)) if root_m is None else root_m
    return replace(
        record(joint_wxyz, root),
        position_m=forward_kinematics(root, joint_wxyz, rest),
        offsets_m=rest[:NUM_BODY_JOINTS],
    )


def transferred(recording, joint_map=None):
    return retarget_named(recording, joint_map or find_map("smplx", recording.names))[0]


def without_reaching(recording, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(named_retarget, "reach", lambda *_: None)
        return transferred(recording)


def error_of(recording, motion):
    return end_effector_error_m(recording, motion, find_map("smplx", recording.names))


def jerk(motion):
    return np.linalg.norm(np.diff(forward_kinematics(motion.root_m, motion.joint_wxyz), n=3, axis=0), axis=-1).mean()


@pytest.mark.parametrize(("offsets", "plain_m"), [(LOW_PIVOT, 0.02), (WIDE, 0.006), (LOW_PIVOT | WIDE, 0.02)])
def test_wrists_of_another_build_are_where_they_should_be(offsets, plain_m, monkeypatch):
    wxyz = dance()
    wxyz[:, JOINT_INDEX["spine1"]] = turned(60, spine1=SWAY * [5, 0, 15])[:, JOINT_INDEX["spine1"]]
    recording = built(wxyz, offsets)
    plain, motion = without_reaching(recording, monkeypatch), transferred(recording)
    before, after = error_of(recording, plain), error_of(recording, motion)
    assert before.wrist_p95_m > plain_m
    assert after.wrist_p95_m < 0.002
    assert after.ankle_p95_m == before.ankle_p95_m
    assert jerk(motion) < 1.05 * jerk(plain)


def test_chest_hands_and_legs_keep_their_orientation(monkeypatch):
    recording = built(dance(), LOW_PIVOT | WIDE)
    plain, motion = (
        global_rotations(each.joint_wxyz) for each in (without_reaching(recording, monkeypatch), transferred(recording))
    )
    off = np.degrees(rotations.angle_between(plain, motion).max(axis=0))
    moved = {name for name, angle in zip(JOINT_NAMES, off, strict=False) if angle > 1e-3}
    assert moved == {
        "spine1",
        "spine2",
        *(f"{side}_{part}" for side in ("left", "right") for part in ("shoulder", "elbow")),
    }
    assert off.max() < 20


def test_a_trunk_that_bends_lower_down_leans_as_far(monkeypatch):
    lean = turned(60, spine1=SWAY * [0, 0, 20])
    recording = built(lean, LOW_PIVOT)
    neck, hips = JOINT_INDEX["neck"], JOINT_INDEX["pelvis"]
    theirs = recording.position_m[:, neck, 0] - recording.position_m[:, hips, 0]

    def off_m(motion):
        ours = forward_kinematics(motion.root_m, motion.joint_wxyz)
        return np.abs(ours[:, neck, 0] - ours[:, hips, 0] - theirs).max()

    assert off_m(without_reaching(recording, monkeypatch)) > 0.025
    assert off_m(transferred(recording)) < 0.01


def test_joints_that_are_missing_are_not_bent():
    recording = built(dance(), LOW_PIVOT | WIDE)
    whole = find_map("smplx", recording.names)
    gone = {"spine1", "spine2"}
    joint_map = type(whole)(
        whole.name, {name: source for name, source in whole.sources.items() if name not in gone}, whole.missing | gone
    )
    motion = transferred(recording, joint_map)
    bent = rotations.angle_between(motion.joint_wxyz[:, [JOINT_INDEX[name] for name in gone]], rotations.identity())
    assert bent.max() < 1e-6
    assert error_of(recording, motion).wrist_p95_m < 0.01


def test_bones_without_length_do_no_harm():
    none = dict.fromkeys(("left_wrist", "right_elbow", "spine2", "spine3", "neck"), (0.0, 0.0, 0.0))
    middle = {f"{side}_{part}": (0.0, 0.0, 0.0) for side in ("left", "right") for part in ("collar", "shoulder", "hip")}
    for offsets in (none, middle, none | middle):
        recording = built(dance(), offsets)
        world = np.asarray(global_rotations(dance()), dtype=np.float64)
        reach(NamedSource(recording, find_map("smplx", recording.names)), np.zeros((60, 3)), world)
        np.testing.assert_allclose(np.linalg.norm(world, axis=-1), 1, atol=1e-9)


def arm_at(bend_deg, distance_m, sideways_m=0.0):
    """Where a wrist comes to lie and where it is wanted, from the shoulder, and the bend of the arm in degrees."""
    bend = np.radians(np.atleast_1d(np.asarray(bend_deg, dtype=np.float64)))
    upper = np.tile([ARM_M[0], 0.0, 0.0], (len(bend), 1))
    fore = ARM_M[1] * np.stack([np.cos(bend), 0 * bend, np.sin(bend)], axis=-1)
    reached = upper + fore
    length = np.linalg.norm(reached, axis=-1, keepdims=True)
    wanted = reached * (1 + np.asarray(distance_m) / length) + [0.0, sideways_m, 0.0]
    turn, more = _place_arm(upper, fore, wanted)
    new_fore = rotations.rotate(rotations.multiply(turn, more), fore)
    new_upper = rotations.rotate(turn, upper)
    cosine = np.sum(new_upper * new_fore, axis=-1) / np.prod(ARM_M)
    return new_upper + new_fore, wanted, np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.mark.parametrize(("bend_deg", "left_m"), [(120, 6e-4), (60, 2e-3), (30, 8e-3)])
@pytest.mark.parametrize("distance_m", [-0.02, 0.02])
def test_a_bent_arm_gets_longer_and_shorter(bend_deg, distance_m, left_m):
    wrist, wanted, _ = arm_at(bend_deg, distance_m, sideways_m=0.02)
    assert np.linalg.norm(wrist - wanted) < left_m


def test_a_straight_arm_is_turned_but_not_bent():
    for bend_deg in (0.0, 1e-7, 0.5):
        wrist, wanted, bend = arm_at(bend_deg, -0.03, sideways_m=0.05)
        assert np.isfinite(wrist).all()
        assert bend[0] < 2.0
        assert np.cross(wrist, wanted) == pytest.approx(0, abs=1e-9)


def test_an_elbow_never_bends_backwards_nor_past_its_end():
    for bend_deg, distance_m in ((5.0, 0.2), (40.0, 0.3), (140.0, -0.3), (165.0, -0.05)):
        _, _, bend = arm_at(bend_deg, distance_m)
        assert 0 <= bend[0] <= max(bend_deg, 150) + 1e-3
    # The elbow stays on its side of the line from shoulder to wrist.
    upper, fore = np.array([[0.29, 0, 0]]), np.array([[0.26, 0, 0.05]])
    turn, more = _place_arm(upper, fore, np.array([[0.6, 0, 0.05]]))
    across = np.cross(rotations.rotate(turn, upper), rotations.rotate(rotations.multiply(turn, more), fore))
    assert across[0, 1] < 0
    assert across[0, [0, 2]] == pytest.approx(0, abs=1e-12)


def test_nothing_snaps_on_the_way_through_full_length():
    # An arm that stretches and bends again, the wrist wanted 2 cm nearer than it is: at most 1.3 times as fast.
    swing = np.abs(np.linspace(-60, 60, 241))
    for distance_m in (-0.02, 0.02):
        _, _, bend = arm_at(swing, distance_m)
        assert np.abs(np.diff(bend)).max() < 2.2 * np.abs(np.diff(swing)).max()
    # And for one bend, what is wanted may change as it likes: a centimetre is worth ten degrees at most.
    for bend_deg in (0, 2, 10, 20, 45, 90):
        wanted_m = np.linspace(-0.05, 0.05, 101)
        _, _, bend = arm_at(np.full(101, bend_deg), wanted_m[:, None])
        assert np.abs(np.diff(bend)).max() / 0.1 < 10


def test_hands_on_the_floor_are_not_under_it(monkeypatch):
    # Squatting down until the palms touch the floor, by a dancer whose arms are 9 cm shorter than ours.
    down = np.clip(np.linspace(-0.5, 1, 60), 0, 1)[:, None]
    legs = {f"{side}_hip": down * [-128, 0, 0] for side in ("left", "right")}
    legs |= {f"{side}_knee": down * [136, 0, 0] for side in ("left", "right")}
    legs |= {f"{side}_ankle": down * [-68, 0, 0] for side in ("left", "right")}
    arms = {"left_shoulder": [0, -85, 0], "right_shoulder": [0, 85, 0]}
    arms |= {"left_elbow": [0, -20, 0], "right_elbow": [0, 20, 0]}
    squat = turned(60, pelvis=down * [60, 0, 0], spine1=down * [30, 0, 0], **legs, **arms)
    short = {"left_elbow": [0.2, 0, 0], "right_elbow": [-0.2, 0, 0]}
    feet = [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]]
    root = np.zeros((60, 3))
    root[:, 1] = SOLE_BELOW_FOOT_M - forward_kinematics(root, squat)[:, feet, 1].min(axis=1)
    recording = built(squat, short, root)
    hands = [JOINT_INDEX["left_wrist"], JOINT_INDEX["right_wrist"]]
    assert 0.0 < recording.position_m[:, hands, 1].min() < 0.1

    def lowest(motion):
        return forward_kinematics(motion.root_m, motion.joint_wxyz)[:, hands, 1].min()

    # The arms are nearly straight, so that only a part of the way is worth their bending.
    assert lowest(without_reaching(recording, monkeypatch)) < -0.03
    assert lowest(transferred(recording)) > -0.005


@pytest.mark.data
def test_wrists_of_the_worst_real_clips_stay_within_two_centimetres(shared_data):
    folder = shared_data / "cmu-mocap-amc"
    for clip in ("05_06", "05_16", "60_10"):
        skeleton = read_asf(folder / f"{clip[:2]}.asf")
        posed = unfold_legs(skeleton, pose_source(skeleton, read_amc(folder / f"{clip}.amc.gz", skeleton)[::4]))
        recording = recording_of_acclaim(skeleton, posed, 30.0)
        error = end_effector_error_m(recording, retarget(skeleton, posed), find_map("acclaim", recording.names))
        # Measured: 0.9, 0.2 and 0.2 cm; without reaching 6.8, 5.2 and 3.4.
        assert error.wrist_p95_m < 0.015, clip
    for clip in ("J_Dance2_Salsa", "J_Dance11_Gnarly"):
        path = shared_data / "g1-moves" / "dance" / clip / "retarget" / f"{clip}.csv.gz"
        recording = read_g1(path, shared_data / "g1-moves" / "g1_tree.json")
        joint_map = find_map("g1", recording.names)
        error = end_effector_error_m(recording, retarget_named(recording, joint_map)[0], joint_map)
        # Measured: 1.6 and 1.4 cm, straight arms; without reaching 2.4 and 2.7.
        assert error.wrist_p95_m < 0.02, clip
        assert error.ankle_p95_m < 0.02, clip
