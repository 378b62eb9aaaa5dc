"""Retargeting: the character stands upright, limbs point where the source's point, whatever its size."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import JOINT_INDEX, forward_kinematics, global_rotations
from soulstream_training.data.amc import read_amc
from soulstream_training.data.asf import forward_kinematics as pose_source
from soulstream_training.data.asf import read_asf
from soulstream_training.data.motion_quality import beyond_limits
from soulstream_training.data.resample import to_frames
from soulstream_training.data.retarget import leg_length_m, retarget, unfold_legs


def transferred(recording, pose, scale=1.0):
    skeleton = read_asf(recording.skeleton(scale))
    frames = pose if callable(pose) else lambda _: pose
    return retarget(skeleton, pose_source(skeleton, read_amc(recording.motion(40, frames), skeleton)))


def joint_of(motion, name, frame=0):
    return forward_kinematics(motion.root_m, motion.joint_wxyz)[frame, JOINT_INDEX[name]]


def turn(motion, name, frame=0):
    return global_rotations(motion.joint_wxyz)[frame, JOINT_INDEX[name]]


def test_the_zero_pose_stands_upright_with_flat_feet_and_level_head(recording):
    motion = transferred(recording, {})
    for name in ("spine1", "spine3", "neck", "head", "left_wrist", "right_wrist", "left_collar"):
        np.testing.assert_allclose(rotations.rotate(turn(motion, name), [0, 1, 0]), [0, 1, 0], atol=0.02, err_msg=name)
    # The source's zero pose spreads the legs by 20 degrees, the feet with them.
    for side, sign in (("left", 1), ("right", -1)):
        shin = joint_of(motion, f"{side}_ankle") - joint_of(motion, f"{side}_knee")
        np.testing.assert_allclose(shin / np.linalg.norm(shin), [0.34202 * sign, -0.939693, 0], atol=1e-4)
        np.testing.assert_allclose(rotations.rotate(turn(motion, f"{side}_ankle"), [0, 0, 1]), [0, 0, 1], atol=1e-5)
    assert joint_of(motion, "left_wrist")[0] > joint_of(motion, "left_elbow")[0] > joint_of(motion, "left_shoulder")[0]


def test_a_rotated_humerus_raises_the_arm(recording):
    # The hinge frame of the humerus: a turn about its z axis lifts or drops the arm sideways.
    up = transferred(recording, {"lclavicle": "0 60"})
    assert joint_of(up, "left_wrist")[1] - joint_of(up, "left_collar")[1] > 0.5
    lifted = [transferred(recording, {"lhumerus": f"0 0 {angle}"}) for angle in (80, -80)]
    heights = [joint_of(motion, "left_wrist")[1] - joint_of(motion, "left_shoulder")[1] for motion in lifted]
    assert max(heights) > 0.4
    assert min(heights) < -0.4
    still = transferred(recording, {})
    np.testing.assert_allclose(joint_of(lifted[0], "right_wrist"), joint_of(still, "right_wrist"), atol=1e-6)


def test_the_elbow_is_a_hinge_that_bends_forwards(recording):
    still = transferred(recording, {})
    for bone, side in (("lradius", "left"), ("rradius", "right")):
        motion = transferred(recording, {bone: "90"})
        elbow = JOINT_INDEX[f"{side}_elbow"]
        bend = rotations.multiply(motion.joint_wxyz[0, elbow], rotations.conjugate(still.joint_wxyz[0, elbow]))
        np.testing.assert_allclose(np.abs(bend), [np.sqrt(0.5), 0, np.sqrt(0.5), 0], atol=1e-3)
        # In the source the hinge is turned up by 30 degrees: the hand goes forwards and up.
        hand = joint_of(motion, f"{side}_wrist") - joint_of(motion, f"{side}_elbow")
        assert hand[2] > 0.2
        assert hand[1] > 0.1


def test_the_knee_bends_backwards(recording):
    motion = transferred(recording, {"ltibia": "90"})
    shin = joint_of(motion, "left_ankle") - joint_of(motion, "left_knee")
    assert shin[2] < -0.4
    np.testing.assert_allclose(
        motion.joint_wxyz[0, JOINT_INDEX["left_knee"]], [np.sqrt(0.5), np.sqrt(0.5), 0, 0], atol=1e-4
    )


def test_size_does_not_matter_and_paths_scale_with_the_legs(recording):
    def walk(frame):
        return {"root": f"{frame} 40 0 0 {frame} 0", "lfemur": f"{frame} 0 0"}

    small, large = transferred(recording, walk), transferred(recording, walk, scale=2.0)
    np.testing.assert_allclose(small.joint_wxyz, large.joint_wxyz, atol=1e-9)
    np.testing.assert_allclose(small.root_m, large.root_m, atol=1e-9)
    step = small.root_m[20] - small.root_m[19]
    assert step[0] == pytest.approx(0.80 / 36, rel=0.05)
    assert leg_length_m(read_asf(recording.skeleton())) == pytest.approx(36 * 0.0254)


def test_feet_follow_the_scaled_source(recording):
    def squat(frame):
        return {"root": f"0 40 0 0 {3 * frame} 0", "lfemur": f"{-frame} 0 0", "ltibia": f"{2 * frame}"}

    skeleton = read_asf(recording.skeleton())
    source = pose_source(skeleton, read_amc(recording.motion(40, squat), skeleton))
    motion = retarget(skeleton, source)
    ours = forward_kinematics(motion.root_m, motion.joint_wxyz)[:, JOINT_INDEX["left_ankle"]]
    theirs = source.end_m[:, skeleton.index("ltibia")] * 0.80 / leg_length_m(skeleton)
    assert np.linalg.norm(ours - theirs, axis=1).max() < 0.03


def test_a_wrong_zero_of_the_head_is_removed_but_its_motion_kept(recording):
    def nod(frame):
        return {"head": f"{40 + 10 * (-1) ** frame} 0 0"}

    motion = transferred(recording, nod)
    pitch = [np.degrees(np.arcsin(-rotations.rotate(turn(motion, "head", k), [0, 0, 1])[1])) for k in (0, 1)]
    assert np.mean(pitch) == pytest.approx(12, abs=1.5)
    assert pitch[0] - pitch[1] == pytest.approx(20, abs=0.5)


def test_impossible_wrists_are_kept_in_the_human_range(recording):
    def twirl(frame):
        return {"lwrist": f"{9 * frame}", "lhand": f"{5 * frame} {4 * frame}"}

    motion = transferred(recording, twirl)
    wrist = motion.joint_wxyz[:, JOINT_INDEX["left_wrist"]]
    assert np.degrees(rotations.angle_between(wrist, rotations.identity())).max() < 115
    assert np.isfinite(wrist).all()


def fold(knee, foot, turned_out):
    """A leg as some solvers give it: the bend folded at a right angle, the foot half a turn on."""
    return (180 - knee, foot - 180, -turned_out) if knee > 90 else (knee, foot, turned_out)


def squatting(frames, folded):
    """Values of a leg that bends to 150 degrees and back twice."""

    def pose(frame):
        knee = 75 - 75 * np.cos(frame / frames * 4 * np.pi)
        leg = knee, -0.2 * knee, 12.0
        knee, foot, out = fold(*leg) if folded else leg
        return {"ltibia": f"{knee}", "lfoot": f"{foot} {out}", "lfemur": f"{-0.6 * leg[0]} 5 3", "ltoes": "10"}

    return pose


def posed(recording, pose, frames=40):
    skeleton = read_asf(recording.skeleton())
    return skeleton, pose_source(skeleton, read_amc(recording.motion(frames, pose), skeleton))


def test_a_knee_that_was_folded_at_a_right_angle_is_unfolded(recording):
    skeleton, folded = posed(recording, squatting(240, folded=True), 240)
    _, true = posed(recording, squatting(240, folded=False), 240)
    names = [skeleton.index(name) for name in ("lfemur", "ltibia", "lfoot", "ltoes")]
    off_m = np.linalg.norm(folded.end_m[:, names] - true.end_m[:, names], axis=-1).max(axis=0)
    assert off_m[1] > 0.5
    found = unfold_legs(skeleton, folded)
    off_m = np.linalg.norm(found.end_m[:, names] - true.end_m[:, names], axis=-1).max(axis=0)
    assert off_m.max() < 0.012  # one frame at the fold may count to either side
    assert rotations.angle_between(found.global_wxyz, true.global_wxyz).max() < np.radians(2)
    again = unfold_legs(skeleton, found)
    np.testing.assert_array_equal(again.end_m, found.end_m)


def test_legs_without_a_fold_are_left_alone(recording):
    skeleton, true = posed(recording, squatting(240, folded=False), 240)
    np.testing.assert_array_equal(unfold_legs(skeleton, true).end_m, true.end_m)

    def lost_foot(frame):
        return {"ltibia": "40", "lfoot": f"{150 if 10 < frame < 30 else 0} 0"}

    skeleton, wrong = posed(recording, lost_foot)  # upside down, but its knee is nowhere near a right angle
    np.testing.assert_array_equal(unfold_legs(skeleton, wrong).end_m, wrong.end_m)


def test_a_foot_with_two_half_turns_too_many_is_turned_back(recording):
    skeleton, wrong = posed(recording, lambda frame: {"lfoot": "138 -156" if frame > 20 else "-42 24"})
    _, true = posed(recording, lambda _: {"lfoot": "-42 24"})
    assert rotations.angle_between(wrong.global_wxyz, true.global_wxyz).max() > np.radians(90)
    found = unfold_legs(skeleton, wrong)
    assert rotations.angle_between(found.global_wxyz, true.global_wxyz).max() < 1e-6
    np.testing.assert_allclose(found.end_m, true.end_m, atol=1e-9)


def test_impossible_feet_are_kept_in_the_human_range(recording):
    def pitch_of(motion):
        ankle = motion.joint_wxyz[:, JOINT_INDEX["left_ankle"]]
        return (np.degrees(2 * np.arctan2(ankle[:, 1], ankle[:, 0])) + 180) % 360 - 180

    for angle in (-45, -20, 0, 60, 89):  # toes up, toes down
        assert pitch_of(transferred(recording, {"lfoot": f"{angle} 20"})) == pytest.approx(angle, abs=0.5)
    slow = transferred(recording, lambda frame: {"lfoot": f"{-9 * frame} 10", "ltibia": "30", "ltoes": f"{frame}"})
    pitch = pitch_of(slow)
    assert pitch.min() > -45.5
    assert pitch.max() < 90.5
    # All the way round, nothing jumps, not even where up becomes down.
    assert np.degrees(rotations.angle_between(slow.joint_wxyz[1:], slow.joint_wxyz[:-1])).max() < 20
    toes = slow.joint_wxyz[:, JOINT_INDEX["left_foot"]]
    assert np.degrees(rotations.angle_between(toes, rotations.identity())) == pytest.approx(np.arange(40), abs=1e-3)


@pytest.mark.data
def test_standing_feet_of_real_squats_stay_where_they_stand(shared_data):
    skeleton = read_asf(shared_data / "cmu-mocap-amc" / "90.asf")
    source = pose_source(skeleton, read_amc(shared_data / "cmu-mocap-amc" / "90_30.amc.gz", skeleton))
    found = unfold_legs(skeleton, source)
    landing = slice(496, 545)  # the dancer drops into a squat

    def travel_m(poses):
        return np.ptp(poses.end_m[landing, skeleton.index("rtibia")][:, [0, 2]], axis=0).max()

    assert travel_m(source) > 0.7
    assert travel_m(found) < 0.1
    framed = to_frames(retarget(skeleton, source), 120)
    share = beyond_limits(forward_kinematics(framed.root_m, framed.joint_wxyz)).mean()
    assert share < 0.08  # 0.43 as recorded


@pytest.mark.data
def test_a_salsa_dancer_of_the_real_data_stands_on_the_floor_and_keeps_her_paths(shared_data):
    folder = shared_data / "cmu-mocap-amc"
    skeleton = read_asf(folder / "60.asf")
    source = pose_source(skeleton, read_amc(folder / "60_03.amc.gz", skeleton))
    motion = retarget(skeleton, source)
    framed = to_frames(motion, 60)
    joints_m = forward_kinematics(framed.root_m, framed.joint_wxyz)
    scale = 0.80 / leg_length_m(skeleton)
    theirs = source.end_m[::2] * scale
    theirs[..., 1] += np.median(joints_m[:, JOINT_INDEX["left_hip"], 1]) - np.median(
        theirs[:, skeleton.index("lhipjoint"), 1]
    )
    for bone, joint, limit in (
        ("ltibia", "left_ankle", 0.02),
        ("lfoot", "left_foot", 0.03),
        ("upperneck", "head", 0.03),
    ):
        error = np.linalg.norm(theirs[:, skeleton.index(bone)] - joints_m[:, JOINT_INDEX[joint]], axis=-1)
        assert error.mean() < limit, joint
    toes = joints_m[:, [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]], 1]
    assert toes.min() > -0.02
    assert 0.01 < np.median(toes.min(axis=1)) < 0.03
    up = rotations.rotate(global_rotations(framed.joint_wxyz)[:, JOINT_INDEX["head"]], [0, 1, 0])
    assert np.median(up[:, 1]) > 0.95
