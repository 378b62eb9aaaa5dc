"""Puts an Acclaim motion on our skeleton (``soulstream_engine.motion.skeleton``), 22 body joints; fingers stay at rest.

Not local angles but *global* orientations are transferred: a joint of ours points where the bone of the source points.
For the legs, arms and feet this is relative to a T-pose built from the source's own bone directions and hinge axes;
trunk and head keep the source's zero pose, which is upright. The pelvis fits hips and lower spine. The root path is
scaled by the leg length; then the hands are brought to where they should be (``reach.py``).

Not for frame rates, filters and bad frames (``resample.py``). Letters: ``T`` frames. Metres, ``wxyz``, Y up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from soulstream_engine.clock import FPS
from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import (
    JOINT_INDEX,
    LEG_LENGTH_M,
    NUM_BODY_JOINTS,
    REST_OFFSETS_M,
    local_rotations,
)
from soulstream_training.data.acclaim_recording import recording_of_acclaim
from soulstream_training.data.asf import Bone, FloatArray, Posed, Skeleton
from soulstream_training.data.joint_maps import find_map
from soulstream_training.data.named_source import NamedSource
from soulstream_training.data.reach import reach

HEAD_LIMIT_RAD = np.radians(12.0)
"""Largest mean head rotation against the chest that is kept: head markers are often zeroed looking down (ours)."""

WRIST_MEAN_LIMITS_RAD = (np.radians(45.0), np.radians(15.0))
"""Largest mean twist and mean swing of a hand against its forearm: hand markers are often zeroed badly (ours)."""

WRIST_LIMITS_RAD = (np.radians(90.0), np.radians(65.0))
"""Largest twist and swing of a hand against its forearm; beyond, the source is wrong (ours, human range)."""

ANKLE_LIMITS_RAD = (float(np.radians(45.0)), float(np.radians(90.0)))
"""Furthest that toes are pulled up and pointed, from a foot square to the shin; beyond, the source is wrong. Source:
limits of the foot bone in the skeleton files of the CMU data base."""

UPSIDE_DOWN_RAD = float(np.radians(110.0))
"""A foot pitched further against the shin is upside down (ours)."""

FOLD_RAD = float(np.radians(80.0))
"""Bend of a knee, folded at a right angle, that is passed on the way into the fold and out of it (ours)."""

FOLD_NEAR_FRAMES, FOLD_BLEND_FRAMES = 3, 6
"""Frames between a fold and the foot being upside down, and frames on either side of a fold in which the foot is wrong.
Found in the CMU clips, at 60 and 120 frames a second alike (ours)."""

FOREARM_SHARE = 0.5
"""Share of the twist of the hand that the elbow joint carries, so that the skin at the wrist does not wring (ours)."""

_LEG = {"hip": "femur", "knee": "tibia", "ankle": "foot", "foot": "toes"}
_X, _, _Z = np.eye(3)
_HIP_CENTRE_M = REST_OFFSETS_M[[JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]].mean(axis=0).astype(np.float64)


@dataclass(frozen=True, slots=True)
class BodyMotion:
    """Motion of the body on our skeleton.

    Attributes:
        root_m: [T, 3] float64, pelvis position in metres.
        joint_wxyz: [T, 22, 4] float64, parent-local unit rotations; joint 0 is the pelvis in the world.
    """

    root_m: FloatArray
    joint_wxyz: FloatArray


def retarget(skeleton: Skeleton, posed: Posed) -> BodyMotion:
    """Transfers a posed Acclaim skeleton to ours.

    Args:
        skeleton: The source's skeleton, with the bone names of the CMU data base.
        posed: Its world poses, T frames.

    Returns:
        Motion of T frames at the source's rate; where its floor is, ``resample.py`` finds out.

    Raises:
        MotionFileError: If a bone is missing.
    """
    posed = unfold_legs(skeleton, posed)
    world = np.empty((len(posed.end_m), NUM_BODY_JOINTS, 4))
    source = _Source(skeleton, posed)
    # The Acclaim lower back starts at the root: its end is our spine1, so each spine joint carries the next bone up.
    chest, waist = source.world("thorax"), source.world("upperback")
    world[:, JOINT_INDEX["pelvis"]] = pelvis = source.pelvis()
    world[:, JOINT_INDEX["spine1"]] = waist
    world[:, JOINT_INDEX["spine2"]] = rotations.slerp(waist, chest, 0.5)
    world[:, JOINT_INDEX["spine3"]] = chest
    world[:, JOINT_INDEX["neck"]] = rotations.slerp(source.world("lowerneck"), source.world("upperneck"), 0.5)
    world[:, JOINT_INDEX["head"]] = steady_head(chest, source.world("head"))
    for side in ("left", "right"):
        leg = source.leg_frame(side)
        for joint, bone in _LEG.items():
            world[:, JOINT_INDEX[f"{side}_{joint}"]] = rotations.multiply(source.world(side[0] + bone), leg)
        soften_foot(world, side)
        arm = source.arm_frame(side)
        elbow = np.asarray(rotations.multiply(source.world(side[0] + "radius"), arm), dtype=np.float64)
        twist, swing = soft_wrist(_relative(elbow, source.world(side[0] + "hand")))
        forearm = rotations.multiply(elbow, _about_x(twist * FOREARM_SHARE))
        world[:, JOINT_INDEX[f"{side}_collar"]] = source.world(side[0] + "clavicle")
        world[:, JOINT_INDEX[f"{side}_shoulder"]] = rotations.multiply(source.world(side[0] + "humerus"), arm)
        world[:, JOINT_INDEX[f"{side}_elbow"]] = forearm
        hand = rotations.multiply(rotations.multiply(elbow, _about_x(twist)), swing)
        world[:, JOINT_INDEX[f"{side}_wrist"]] = hand

    # The pelvis is placed so that the middle of the hips, not the root marker, follows the scaled source.
    root_m = np.asarray(source.hip_centre_m() * source.scale - rotations.rotate(pelvis, _HIP_CENTRE_M))
    recording = recording_of_acclaim(skeleton, posed, fps=FPS)
    reach(NamedSource(recording, find_map("acclaim", recording.names)), root_m, world)
    return BodyMotion(root_m, np.asarray(local_rotations(world), dtype=np.float64))


def leg_length_m(skeleton: Skeleton) -> float:
    """Hip to knee to ankle, mean of both legs, in metres.

    Args:
        skeleton: A source skeleton.

    Returns:
        The length.

    Raises:
        MotionFileError: If a leg bone is missing.
    """
    bones = [skeleton.bones[skeleton.index(name)] for name in ("lfemur", "ltibia", "rfemur", "rtibia")]
    return sum(bone.length for bone in bones) / 2 * skeleton.unit_m


def unfold_legs(skeleton: Skeleton, posed: Posed) -> Posed:
    """Takes back half turns that were lost when the angles of knees and feet were recovered.

    Angles about several axes are only known up to half a turn about each; where one of the axes does not exist in the
    skeleton, its half turn is lost. Two forms are found in the recordings, each on some subjects only:

    - A foot is turned *and* pitched by more than a right angle: it points forwards, but with the sole up.
    - A knee that bends beyond a right angle is folded into less than one, with the foot upside down until it has come
      back. The true bend is what is missing to 180 degrees; with it the standing foot stays where it stood.

    Feet that are wrong in another way are left alone.

    Args:
        skeleton: Skeleton with the bone names of the CMU data base.
        posed: Its world poses, T frames.

    Returns:
        The poses, the same if nothing was lost.

    Raises:
        MotionFileError: If a leg bone is missing.
    """
    wxyz, end_m = posed.global_wxyz.copy(), posed.end_m.copy()
    for side in ("l", "r"):
        thigh, shin, foot, toes = (skeleton.index(side + bone) for bone in ("femur", "tibia", "foot", "toes"))
        hinge = _axis(skeleton.bones[shin], _X)
        across, along = (_axis(skeleton.bones[foot], axis) for axis in (_X, _Z))
        bend = _turn_about(hinge, _relative(wxyz[:, thigh], wxyz[:, shin]))
        ankle = _relative(wxyz[:, shin], wxyz[:, foot])
        rolled = _is_far(across, ankle) & _is_far(along, ankle)
        half = rotations.from_axis_angle(along, np.pi), rotations.from_axis_angle(across, np.pi)
        ankle[rolled] = rotations.multiply(rotations.multiply(half[0], ankle[rolled]), half[1])
        folds = _folds(bend, np.abs(_turn_about(across, ankle)) > UPSIDE_DOWN_RAD)
        if not folds and not rolled.any():
            continue
        toe = _relative(wxyz[:, foot], wxyz[:, toes])
        for start, stop in folds:
            more = rotations.from_axis_angle(hinge, np.pi - 2.0 * bend[start:stop])
            wxyz[start:stop, shin] = rotations.multiply(wxyz[start:stop, shin], more)
            ankle[start:stop] = rotations.multiply(half[1], ankle[start:stop])
        _bridge(ankle, [edge for fold in folds for edge in fold if 0 < edge < len(bend)])
        wxyz[:, foot] = rotations.multiply(wxyz[:, shin], ankle)
        wxyz[:, toes] = rotations.multiply(wxyz[:, foot], toe)
        for above, bone in ((thigh, shin), (shin, foot), (foot, toes)):
            reach_m = np.asarray(skeleton.bones[bone].direction) * skeleton.bones[bone].length * skeleton.unit_m
            end_m[:, bone] = end_m[:, above] + rotations.rotate(wxyz[:, bone], reach_m)
    return Posed(wxyz, end_m)


def _folds(bend_rad: FloatArray, is_upside_down: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open ranges in which a knee is folded: with the foot upside down, entered and left through a right angle."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_upside_down, [False]]).astype(np.int8))).reshape(-1, 2)
    folds = []
    for run in edges.tolist():
        inner = [edge for edge in run if 0 < edge < len(bend_rad)]
        tops = {edge: _top(bend_rad, edge) for edge in inner}
        if inner and all(bend_rad[top] > FOLD_RAD for top in tops.values()):
            start, stop = (tops.get(edge, edge) for edge in run)
            folds.append((start, stop))
    return folds


def _top(bend_rad: FloatArray, edge: int) -> int:
    """Frame near an edge at which a knee bends most."""
    start = max(0, edge - FOLD_NEAR_FRAMES)
    return start + int(np.argmax(bend_rad[start : edge + FOLD_NEAR_FRAMES]))


def _bridge(wxyz: FloatArray, edges: list[int]) -> None:
    """Interpolates rotations [T, 4] from ``FOLD_BLEND_FRAMES`` before every edge to as many after it."""
    near = np.zeros(len(wxyz) + 2, dtype=np.int8)
    for edge in edges:
        near[1 + max(0, edge - FOLD_BLEND_FRAMES) : 1 + min(len(wxyz), edge + FOLD_BLEND_FRAMES)] = 1
    for start, stop in np.flatnonzero(np.diff(near)).reshape(-1, 2).tolist():
        before, after = max(start - 1, 0), min(stop, len(wxyz) - 1)
        share = (np.arange(start, stop) - before) / max(after - before, 1)
        wxyz[start:stop] = rotations.slerp(wxyz[before], wxyz[after], share)


def _axis(bone: Bone, own: FloatArray) -> FloatArray:
    """An axis [3] of a bone's own frame, in which its angles are given, in its zero pose."""
    return np.asarray(Rotation.from_euler("xyz", bone.axis_deg, degrees=True).apply(own), dtype=np.float64)


def _is_far(axis: FloatArray, wxyz: FloatArray) -> NDArray[np.bool_]:
    """Whether rotations [T, 4] made of turns about this and a second axis turn by over 90 degrees about the second."""
    return np.asarray(wxyz[:, 0] ** 2 + (wxyz[:, 1:] @ axis) ** 2 < 0.5)


def _turn_about(axis: FloatArray, wxyz: FloatArray) -> FloatArray:
    """Angle [T] of rotations [T, 4] about an axis, -pi..pi."""
    angle = 2.0 * np.arctan2(wxyz[:, 1:] @ axis, wxyz[:, 0])
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)


class _Source:
    """The posed source with the rotations from our T-pose to its zero pose."""

    def __init__(self, skeleton: Skeleton, posed: Posed) -> None:
        self.skeleton = skeleton
        self.posed = posed
        self.scale = LEG_LENGTH_M / leg_length_m(skeleton)

    def world(self, bone: str) -> FloatArray:
        """World rotations [T, 4] of a bone relative to its zero pose."""
        return self.posed.global_wxyz[:, self.skeleton.index(bone)]

    def hip_centre_m(self) -> FloatArray:
        """Middle [T, 3] between the two hip joints, metres of the source."""
        ends = [self.skeleton.index(name) for name in ("lhipjoint", "rhipjoint")]
        return np.asarray(self.posed.end_m[:, ends].mean(axis=1))

    def pelvis(self) -> FloatArray:
        """World rotations [T, 4] of the pelvis: the root's, pitched so that hips and spine1 lie as in the source.

        Turning about the root's own X axis leaves the hip joints where they are.
        """
        root = self.world("root")
        spine_m = self.posed.end_m[:, self.skeleton.index("lowerback")] - self.hip_centre_m()
        theirs = rotations.rotate(rotations.conjugate(root), spine_m)
        ours = REST_OFFSETS_M[JOINT_INDEX["spine1"]] - _HIP_CENTRE_M
        pitch = np.arctan2(theirs[:, 2], theirs[:, 1]) - np.arctan2(ours[2], ours[1])
        return np.asarray(rotations.multiply(root, _about_x(np.asarray(pitch))))

    def leg_frame(self, side: str) -> FloatArray:
        """Rotation [4] from our straight leg to the source's spread zero leg; feet and toes share it.

        In the zero pose the foot is square to the shin and the sole flat, whatever the slope of the foot bone (heels),
        so the foot takes the shin's rotation and not its own bone direction.
        """
        return np.asarray(rotations.between([0.0, -1.0, 0.0], self._bone(side, "tibia").direction))

    def arm_frame(self, side: str) -> FloatArray:
        """Rotation [4] from our arm, whose elbow bends about the vertical, to the source's arm and elbow hinge."""
        bone = self._bone(side, "radius")
        along = np.asarray(bone.direction)
        hinge = _axis(bone, _X)
        hinge -= along * (hinge @ along)
        hinge /= np.linalg.norm(hinge)
        # Ours: along +-X, bending forward is a turn about -+Y.
        sign = 1.0 if side == "left" else -1.0
        ours = np.stack([[sign, 0, 0], [0, -sign, 0], [0, 0, -1.0]], axis=1)
        theirs = np.stack([along, hinge, np.cross(along, hinge)], axis=1)
        return np.asarray(rotations.from_matrix(theirs @ ours.T))

    def _bone(self, side: str, name: str) -> Bone:
        return self.skeleton.bones[self.skeleton.index(side[0] + name)]


def _relative(base: FloatArray, other: FloatArray) -> FloatArray:
    """``base^-1 other``."""
    return np.asarray(rotations.multiply(rotations.conjugate(base), other))


def _about_x(angle_rad: FloatArray) -> FloatArray:
    return np.asarray(rotations.from_axis_angle(_X, angle_rad))


def _mean(wxyz: FloatArray) -> FloatArray:
    """Mean rotation [4] of rotations [T, 4]."""
    return np.asarray(Rotation.from_quat(wxyz, scalar_first=True).mean().as_quat(scalar_first=True))


def _shorten(wxyz: FloatArray, limit_rad: float) -> FloatArray:
    """The same rotation [4] with its angle limited."""
    vector = Rotation.from_quat(wxyz, scalar_first=True).as_rotvec()
    vector *= min(1.0, limit_rad / max(float(np.linalg.norm(vector)), 1e-12))
    return np.asarray(Rotation.from_rotvec(vector).as_quat(scalar_first=True))


def steady_head(chest: FloatArray, head: FloatArray) -> FloatArray:
    """Head rotations [T, 4] with the clip's mean against the chest limited: moving is kept, a wrong zero is not."""
    relative = _relative(chest, head)
    mean = _mean(relative)
    fix = rotations.multiply(rotations.conjugate(mean), _shorten(mean, float(HEAD_LIMIT_RAD)))
    return np.asarray(rotations.multiply(head, fix))


def _twist_swing(relative: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Splits rotations [..., 4] into a twist about X [...] (done first from the parent's side) and a swing [..., 4]."""
    twist = 2.0 * np.arctan2(relative[..., 1], relative[..., 0])
    twist = (twist + np.pi) % (2 * np.pi) - np.pi
    swing = rotations.multiply(rotations.conjugate(_about_x(twist)), relative)
    return twist, np.asarray(swing)


def soften_foot(world_wxyz: FloatArray, side: str) -> None:
    """Keeps a foot, and the toes with it, in the human range of the ankle; world rotations [T, J, 4], in place."""
    shin, foot, toes = (JOINT_INDEX[f"{side}_{joint}"] for joint in ("knee", "ankle", "foot"))
    old = world_wxyz[:, foot].copy()
    pitch, _ = _twist_swing(_relative(world_wxyz[:, shin], old))
    pulled, pointed = (_fold(np.abs(pitch), limit) for limit in ANKLE_LIMITS_RAD)
    kept = np.where(pitch < 0, -pulled, pointed)
    world_wxyz[:, foot] = rotations.multiply(old, _about_x(kept - pitch))
    world_wxyz[:, toes] = rotations.multiply(world_wxyz[:, foot], _relative(old, world_wxyz[:, toes]))


def _fold(angle_rad: FloatArray, limit: float) -> FloatArray:
    """Angles 0..pi unchanged up to the limit, then falling to 0 at half a turn, where the sign is arbitrary."""
    return np.where(angle_rad <= limit, angle_rad, limit * (np.pi - angle_rad) / (np.pi - limit))


def soft_wrist(relative: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Twist [T] and swing [T, 4] of a hand against its forearm, zero error removed and kept in the human range."""
    mean_twist, mean_swing = _twist_swing(_mean(relative))
    kept_twist = np.clip(mean_twist, -WRIST_MEAN_LIMITS_RAD[0], WRIST_MEAN_LIMITS_RAD[0])
    kept = rotations.multiply(_about_x(kept_twist), _shorten(mean_swing, float(WRIST_MEAN_LIMITS_RAD[1])))
    centred = _relative(np.broadcast_to(_mean(relative), relative.shape), relative)
    twist, swing = _twist_swing(np.asarray(rotations.multiply(np.broadcast_to(kept, centred.shape), centred)))
    twist = np.sign(twist) * _fold(np.abs(twist), WRIST_LIMITS_RAD[0])
    vector = Rotation.from_quat(swing, scalar_first=True).as_rotvec()
    angle = np.linalg.norm(vector, axis=-1, keepdims=True)
    vector *= _fold(angle, WRIST_LIMITS_RAD[1]) / np.maximum(angle, 1e-9)
    return twist, np.asarray(Rotation.from_rotvec(vector).as_quat(scalar_first=True))
