"""Puts an Acclaim motion on our skeleton (``soulstream_engine.motion.skeleton``), 22 body joints; fingers stay at rest.

Not local angles but *global* orientations are transferred: a joint of ours points where the bone of the source points.
For the legs, arms and feet this is relative to a T-pose built from the source's own bone directions and hinge axes;
trunk and head keep the source's zero pose, which is upright. The pelvis fits hips and lower spine. The root path is
scaled by the leg length.

Not for frame rates, filters and bad frames (``resample.py``). Letters: ``T`` frames. Metres, ``wxyz``, Y up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import (
    JOINT_INDEX,
    LEG_LENGTH_M,
    NUM_BODY_JOINTS,
    REST_OFFSETS_M,
    local_rotations,
)
from soulstream_training.data.asf import Bone, FloatArray, Posed, Skeleton

HEAD_LIMIT_RAD = np.radians(12.0)
"""Largest mean head rotation against the chest that is kept: head markers are often zeroed looking down (ours)."""

WRIST_MEAN_LIMITS_RAD = (np.radians(45.0), np.radians(15.0))
"""Largest mean twist and mean swing of a hand against its forearm: hand markers are often zeroed badly (ours)."""

WRIST_LIMITS_RAD = (np.radians(90.0), np.radians(65.0))
"""Largest twist and swing of a hand against its forearm; beyond, the source is wrong (ours, human range)."""

FOREARM_SHARE = 0.5
"""Share of the twist of the hand that the elbow joint carries, so that the skin at the wrist does not wring (ours)."""

_LEG = {"hip": "femur", "knee": "tibia", "ankle": "foot", "foot": "toes"}
_X = np.array([1.0, 0.0, 0.0])
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
    root_m = source.hip_centre_m() * source.scale - rotations.rotate(pelvis, _HIP_CENTRE_M)
    return BodyMotion(np.asarray(root_m), np.asarray(local_rotations(world), dtype=np.float64))


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
        hinge = Rotation.from_euler("xyz", bone.axis_deg, degrees=True).apply(_X)
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
