"""A recording seen through a joint map: where the joints of ours are in it and how they turn from its reference.

The *reference* is the recording's zero pose or one of its frames, turned about the vertical so that it faces +Z like
our rest pose. Not for what our joints make of it (``named_retarget``). Letters: ``T`` frames, ``J`` joints of the
source. Metres of the source, ``wxyz``, Y up.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import JOINT_INDEX, LEG_LENGTH_M, REST_OFFSETS_M
from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.bvh import TIP_SUFFIX
from soulstream_training.data.joint_maps import JointMap
from soulstream_training.data.recording import FloatArray, Recording

UPRIGHT_LIMIT_RAD = np.radians(45.0)
"""A reference whose trunk leans more is not upright (ours)."""

ASYMMETRY_RAD = np.radians(3.0)
"""Hips and shoulders that are turned by less than this are straight: bodies are not symmetric (ours)."""

MIN_BONE_M = 1e-4
"""A bone of a limb whose median length is less has no direction (ours)."""

SIDES = ("left", "right")

_LEG, _ARM = (("hip", "knee"), ("knee", "ankle")), (("shoulder", "elbow"), ("elbow", "wrist"))
_KNUCKLES = ("index1", "middle1", "pinky1")
_PAIRS = ("hip", "shoulder")
_SPINE = ("pelvis", "spine1", "spine2", "spine3", "neck")
_X, _Y, _Z = np.eye(3)
_HIPS = [JOINT_INDEX[f"{side}_hip"] for side in SIDES]

HIP_CENTRE_M: FloatArray = REST_OFFSETS_M[_HIPS].mean(axis=0).astype(np.float64)
"""Middle between our hip joints [3], from the pelvis."""

_SPINE1_M = REST_OFFSETS_M[JOINT_INDEX["spine1"]] - HIP_CENTRE_M


class NamedSource:
    """Answers by the names of our joints.

    Whether the reference will do is found out when it is first needed; positions do not need it.

    Args:
        recording: The recording, T frames.
        joint_map: Map fitted to its joints.
        rest_frame: Frame to be the reference; the zero pose if ``None``.

    Attributes:
        num_frames: T.
        scale: Our leg length over the source's.

    Raises:
        MotionFileError: If a bone of a leg has no length.
        ConfigError: If there is no such frame; later, if the reference is not upright.
    """

    def __init__(self, recording: Recording, joint_map: JointMap, rest_frame: int | None = None) -> None:
        self.num_frames = len(recording.position_m)
        self._recording = recording
        self._sources = joint_map.sources
        self._index = {name: i for i, name in enumerate(recording.names)}
        self._rest_wxyz, self._rest_m = self._reference(rest_frame)
        for side in SIDES:
            for above, below in _LEG:
                self._check_bone(f"{side}_{above}", f"{side}_{below}")
        self.scale = LEG_LENGTH_M / self._leg_length_m()

    def check_arms(self) -> None:
        """Refuses arms whose bones mostly have no length, and hands whose knuckles lie in one place.

        Raises:
            MotionFileError: If there are such; it names the joints.
        """
        for side in SIDES:
            bones = [(f"{side}_{above}", f"{side}_{below}") for above, below in _ARM]
            index, middle, pinky = knuckles = [f"{side}_{name}" for name in _KNUCKLES]
            if all(map(self.has, knuckles)):
                bones += [(f"{side}_wrist", middle), (pinky, index)]
            for above, below in bones:
                self._check_bone(above, below)

    def has(self, joint: str) -> bool:
        """Whether the recording has this joint of ours."""
        return joint in self._sources

    def rotation(self, joint: str) -> FloatArray:
        """World rotations [T, 4] from the reference; in the reference itself it is the way the source faces there."""
        source = self._sources[joint]
        turn = self._turn(source.rotation)
        if source.toward:
            turn = np.asarray(rotations.slerp(turn, self._turn(source.toward), source.share))
        return turn

    def position_m(self, joint: str) -> FloatArray:
        """World positions [T, 3]."""
        return self._recording.position_m[:, self._index[self._sources[joint].position]]

    def tip_m(self, joint: str) -> FloatArray | None:
        """World positions [T, 3] of where the joint's last bone ends, if the recording says so."""
        index = self._index.get(self._sources[joint].rotation + TIP_SUFFIX)
        return None if index is None else self._recording.position_m[:, index]

    def rest_direction(self, joint: str, direction: FloatArray) -> FloatArray:
        """Unit direction [3] in the reference of something that turns with a joint: mean of world directions [T, 3]."""
        return unit(np.asarray(rotations.rotate(rotations.conjugate(self.rotation(joint)), direction)).mean(axis=0))

    def hip_centre_m(self) -> FloatArray:
        """Middle [T, 3] between the hip joints."""
        return np.asarray(self.position_m("left_hip") + self.position_m("right_hip")) / 2

    def pelvis(self) -> FloatArray:
        """World rotations [T, 4] of our pelvis: the source's, pitched until hips and lower spine lie as they do there.

        Turning about the pelvis' own X axis leaves the hip joints where they are. The lower spine is the point of the
        source's spine that is as high above the hips as our spine1.
        """
        turn = self.rotation("pelvis")
        lateral = self.rest_direction("pelvis", self.position_m("left_hip") - self.position_m("right_hip"))
        if lateral @ _X < np.cos(ASYMMETRY_RAD):  # the reference does not stand square
            turn = np.asarray(rotations.multiply(turn, rotations.between(_X, lateral)), dtype=np.float64)
        first, second, share = self._lumbar
        point = self.position_m(first) * (1.0 - share) + self.position_m(second) * share
        theirs = rotations.rotate(rotations.conjugate(turn), point - self.hip_centre_m())
        pitch = np.arctan2(theirs[:, 2], theirs[:, 1]) - np.arctan2(_SPINE1_M[2], _SPINE1_M[1])
        return np.asarray(rotations.multiply(turn, about_x(pitch)), dtype=np.float64)

    def _turn(self, name: str) -> FloatArray:
        index = self._index[name]
        fix = rotations.multiply(rotations.conjugate(self._rest_wxyz[index]), self._facing)
        return np.asarray(rotations.multiply(self._recording.global_wxyz[:, index], fix), dtype=np.float64)

    def _reference(self, rest_frame: int | None) -> tuple[FloatArray, FloatArray]:
        """World rotations [J, 4] and positions [J, 3] of the reference."""
        recording = self._recording
        if rest_frame is not None:
            if not 0 <= rest_frame < self.num_frames:
                raise ConfigError(
                    "REST_FRAME_MISSING",
                    f"Rest frame {rest_frame} is not among the {self.num_frames} frames of the recording.",
                    f"Choose one from 0 to {self.num_frames - 1}.",
                )
            return recording.global_wxyz[rest_frame], recording.position_m[rest_frame]
        positions = recording.offsets_m.copy()
        for joint, parent in enumerate(recording.parents.tolist()):
            if parent >= 0:
                positions[joint] += positions[parent]
        return rotations.identity(len(positions)).astype(np.float64), positions

    def _at_rest_m(self, *joints: str) -> FloatArray:
        """Mean position [3] of joints in the reference, before it is turned to face +Z."""
        return np.asarray(self._rest_m[[self._index[self._sources[joint].position] for joint in joints]].mean(axis=0))

    @cached_property
    def _facing(self) -> FloatArray:
        """Rotation [4] about the vertical from +Z to where the reference faces."""
        trunk = self._at_rest_m("left_shoulder", "right_shoulder") - self._at_rest_m("left_hip", "right_hip")
        lean = np.arccos(np.clip(unit(trunk) @ _Y, -1.0, 1.0))
        lateral = sum(unit(self._at_rest_m(f"left_{part}") - self._at_rest_m(f"right_{part}")) for part in _PAIRS)
        forward = np.cross(np.asarray(lateral), _Y)
        if lean > UPRIGHT_LIMIT_RAD or not np.linalg.norm(forward) > 0.1:
            raise ConfigError(
                "REST_POSE_NOT_UPRIGHT",
                f"The trunk of the reference pose leans by {np.degrees(lean):.0f} degrees, "
                f"the limit is {np.degrees(UPRIGHT_LIMIT_RAD):.0f}.",
                "Check the up axis, or name a rest frame in which the dancer stands upright.",
            )
        heading = float(np.arctan2(forward[0], forward[2]))
        quarter = np.pi / 2 * round(heading / (np.pi / 2))
        if abs(heading - quarter) < ASYMMETRY_RAD:
            heading = quarter
        return np.asarray(rotations.yaw(heading), dtype=np.float64)

    def _leg_length_m(self) -> float:
        """Hip to knee to ankle, mean of both legs, median of all frames."""
        length = 0.0
        for side in SIDES:
            hip, knee, ankle = (self.position_m(f"{side}_{part}") for part in ("hip", "knee", "ankle"))
            length += float(sum(np.median(np.linalg.norm(bone, axis=-1)) for bone in (knee - hip, ankle - knee))) / 2
        return length

    def _check_bone(self, above: str, below: str) -> None:
        bone = self.position_m(below) - self.position_m(above)
        length = float(np.median(np.linalg.norm(bone, axis=-1)))
        if not length > MIN_BONE_M:
            names = " to ".join(f"'{self._sources[joint].position}'" for joint in (above, below))
            raise MotionFileError(
                "BONE_WITHOUT_LENGTH",
                f"From joint {names} the recording has {length:.2g} m, at least {MIN_BONE_M} are needed.",
                "Correct the skeleton of the file, or the unit in the clip table.",
            )

    @cached_property
    def _lumbar(self) -> tuple[str, str, float]:
        """Two joints of the spine, and how far from the first to the second our spine1 is in the reference."""
        joints = [joint for joint in _SPINE if self.has(joint)]
        above = np.array([self._at_rest_m(joint)[1] for joint in joints]) - self._at_rest_m("left_hip", "right_hip")[1]
        wanted = float(_SPINE1_M[1]) / self.scale
        for first, second, low, high in zip(joints, joints[1:], above, above[1:], strict=False):
            if high > max(low, wanted):
                return first, second, float(max(0.0, wanted - low) / (high - low))
        return joints[-1], joints[-1], 0.0


def unit(vectors: FloatArray) -> FloatArray:
    """Vectors [..., 3] of length 1; a zero vector stays zero.

    Args:
        vectors: [..., 3].

    Returns:
        [..., 3].
    """
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def about_x(angle_rad: FloatArray) -> FloatArray:
    """Rotations about X.

    Args:
        angle_rad: [...] radians.

    Returns:
        [..., 4].
    """
    return np.asarray(rotations.from_axis_angle(_X, angle_rad), dtype=np.float64)
