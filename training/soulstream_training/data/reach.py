"""Brings the hands of a transferred motion to where the recording has them, scaled to our limbs.

Rotations alone carry the directions of bones over, not where a hand ends up: trunks differ in shape and bend elsewhere,
and several joints of a source may make one of ours. So the spine below the chest is swung until the shoulders are where
they should be, then every arm bends and turns as a whole until its wrist is; a wrist is kept out of the floor. Chest,
hands and the plane of an elbow keep their orientation. All of it is a closed form of one pose, without memory, but for
lengths and averages of the whole motion. It goes to nothing where it would be ill-conditioned: an arm near full length
is turned but hardly bent.

Letters: ``T`` frames, ``J`` joints. Metres, ``wxyz``, Y up.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import JOINT_INDEX, NUM_BODY_JOINTS, PARENTS, REST_OFFSETS_M, SOLE_BELOW_FOOT_M
from soulstream_training.data.named_source import SIDES, NamedSource, unit
from soulstream_training.data.recording import FloatArray

MAX_SWING_RAD = float(np.radians(20.0))
"""Largest swing of the spine, approached softly (ours; CMU clips ask for 2 degrees in the middle, 3 to 16 at the 95th
percentile)."""

SOFT_BEND = 0.04
"""``1 - cos`` of the bend of an elbow, 16 degrees, at which half of an error of length is taken out (ours)."""

SHARPEST_BEND = 1.0 - float(np.cos(np.radians(150.0)))
"""``1 - cos`` of the bend beyond which an elbow is not bent further (ours, human range)."""

LOWEST_WRIST_M = 0.03
"""Height above the floor below which no wrist should be: half of a hand is thick (ours)."""

HIGHEST_LIFT_M = 0.15
"""Most that a wrist is lifted, approached softly: what is far below the feet is not on the floor (ours)."""

FLOOR_PERCENTILE = 20.0
"""Percentile of the heights of the lower toe base that is taken for standing (ours)."""

SOFT_LIFT_M = 0.01
"""Height over which the lift sets in (ours)."""

_ARM, _LEG = ("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")


@dataclass(frozen=True, slots=True)
class ScaledLimbs:
    """Where a recording has the joints of the limbs once these are as long as ours, [T, 2, 3] metres, left and right.

    The path of the hips is scaled by leg length; then the widths of hips and shoulders, the trunk from hips to
    shoulders and every bone of arms and legs, each by our length over its own. Trunks also differ in shape: where the
    shoulders sit in the chest on average is ours.
    """

    shoulder_m: FloatArray
    wrist_m: FloatArray
    ankle_m: FloatArray


def scaled_limbs(source: NamedSource, ours_m: NDArray[np.floating], chest_wxyz: NDArray[np.floating]) -> ScaledLimbs:
    """Scales a recording limb by limb.

    Args:
        source: The recording, T frames.
        ours_m: [T, J, 3] world positions of our joints.
        chest_wxyz: [T, 4] world rotations of our spine3.

    Returns:
        The joints of its limbs.
    """
    ours = {part: _sides(ours_m, part) for part in (*_ARM, *_LEG)}
    theirs = {part: np.stack([source.position_m(f"{side}_{part}") for side in SIDES], axis=1) for part in ours}
    trunk, our_trunk = (part["shoulder"].mean(axis=1) - part["hip"].mean(axis=1) for part in (theirs, ours))
    centre = source.hip_centre_m() * source.scale
    hip, shoulder = (_as_long_as(_halves(theirs[part]), _halves(ours[part])) for part in ("hip", "shoulder"))
    hip += centre[:, None]
    shoulder += (centre + _as_long_as(trunk, our_trunk))[:, None]
    chest = np.asarray(chest_wxyz, dtype=np.float64)[:, None]
    shape = np.asarray(rotations.rotate(rotations.conjugate(chest), ours["shoulder"] - shoulder)).mean(axis=0)
    shoulder += rotations.rotate(chest, shape)

    def end(begin: FloatArray, parts: tuple[str, ...]) -> FloatArray:
        """Far end of both limbs."""
        ends = begin.copy()
        for side in range(len(SIDES)):
            for above, below in pairwise(parts):
                length = _length(ours[below][:, side] - ours[above][:, side])
                ends[:, side] += unit(theirs[below][:, side] - theirs[above][:, side]) * length
        return ends

    return ScaledLimbs(shoulder, end(shoulder, _ARM), end(hip, _LEG))


def reach(source: NamedSource, root_m: FloatArray, world_wxyz: FloatArray) -> None:
    """Changes spine1, spine2, shoulders and elbows so that the wrists are where they should be.

    Args:
        source: The recording, T frames.
        root_m: [T, 3] pelvis.
        world_wxyz: [T, J, 4] world rotations with the bones' directions of the recording; changed in place.
    """
    spine1, spine2, spine3 = (JOINT_INDEX[name] for name in ("spine1", "spine2", "spine3"))
    ours_m = _positions(root_m, world_wxyz)
    aims = scaled_limbs(source, ours_m, world_wxyz[:, spine3])
    wanted = _above_floor(ours_m, aims.wrist_m)
    moved = np.zeros(3)
    if source.has("spine1") and source.has("spine2"):
        off = (aims.shoulder_m - _sides(ours_m, "shoulder")).mean(axis=1)
        swing, moved = _swing(ours_m[:, spine3] - ours_m[:, spine1], off)
        for joint in (spine1, spine2):
            world_wxyz[:, joint] = rotations.multiply(swing, world_wxyz[:, joint])
    for i, side in enumerate(SIDES):
        shoulder, elbow, wrist = (JOINT_INDEX[f"{side}_{part}"] for part in _ARM)
        off = wanted[:, i] - ours_m[:, wrist] - moved
        upper, fore = ours_m[:, elbow] - ours_m[:, shoulder], ours_m[:, wrist] - ours_m[:, elbow]
        turn, bend = _place_arm(upper, fore, upper + fore + off)
        world_wxyz[:, shoulder] = rotations.multiply(turn, world_wxyz[:, shoulder])
        world_wxyz[:, elbow] = rotations.multiply(rotations.multiply(turn, bend), world_wxyz[:, elbow])


def _above_floor(ours_m: FloatArray, wrist_m: FloatArray) -> FloatArray:
    """Wrists [T, 2, 3] lifted out of the floor, which is where the feet of our joints [T, J, 3] stand."""
    floor_m = np.percentile(_sides(ours_m, "foot")[..., 1].min(axis=1), FLOOR_PERCENTILE) - SOLE_BELOW_FOOT_M
    under = floor_m + LOWEST_WRIST_M - wrist_m[..., 1]
    lift = np.logaddexp(0.0, under / SOFT_LIFT_M) * SOFT_LIFT_M
    lifted = wrist_m.copy()
    lifted[..., 1] += HIGHEST_LIFT_M * np.tanh(lift / HIGHEST_LIFT_M)
    return lifted


def _swing(bone: FloatArray, off: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rotations [T, 4] that bring the end of bones [T, 3] nearer to where it is off to, and how far that moves it."""
    full = rotations.between(bone, bone + off)
    angle = rotations.angle_between(full, rotations.identity())
    share = np.tanh(angle / MAX_SWING_RAD) * MAX_SWING_RAD / np.maximum(angle, 1e-9)
    turn = np.asarray(rotations.slerp(rotations.identity(), full, np.where(angle > 1e-9, share, 0.0)), dtype=np.float64)
    return turn, np.asarray(rotations.rotate(turn, bone) - bone, dtype=np.float64)


def _place_arm(upper: FloatArray, fore: FloatArray, wanted: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Turn [T, 4] of a whole arm and bend [T, 4] of its forearm, done first, that bring the wrist to a point.

    The elbow bends in the plane it is bent in: about ``upper x fore``, by an angle that is zero where that is.

    Args:
        upper: [T, 3] from shoulder to elbow.
        fore: [T, 3] from elbow to wrist.
        wanted: [T, 3] from shoulder to where the wrist should be.
    """
    lengths = np.linalg.norm(upper, axis=-1) * np.linalg.norm(fore, axis=-1)
    across = np.cross(upper, fore) / lengths[:, None]
    sine, cosine = np.linalg.norm(across, axis=-1), np.sum(upper * fore, axis=-1) / lengths
    bend = 1.0 - cosine
    # The square of the distance of the wrist is linear in the cosine of the bend.
    missing = (np.sum((upper + fore) ** 2, axis=-1) - np.sum(wanted**2, axis=-1)) / (2.0 * lengths)
    relative = missing / (bend + SOFT_BEND)
    factor = np.where(relative > -0.5, 1.0 + relative, 0.25 / np.maximum(-relative, 0.5))
    bent = np.minimum(bend * factor, np.maximum(bend, SHARPEST_BEND))
    more = np.arccos(np.clip(1.0 - bent, -1.0, 1.0)) - np.arctan2(sine, cosine)
    axis = across / np.maximum(sine, 1e-9)[:, None]
    turn_fore = rotations.from_axis_angle(axis, np.where(sine > 1e-9, more, 0.0))
    turn = rotations.between(upper + rotations.rotate(turn_fore, fore), wanted)
    return np.asarray(turn), np.asarray(turn_fore)


def _positions(root_m: FloatArray, world_wxyz: FloatArray) -> FloatArray:
    """World positions [T, 22, 3] of the body."""
    placed = np.empty((len(root_m), NUM_BODY_JOINTS, 3))
    placed[:, 0] = root_m
    for joint in range(1, NUM_BODY_JOINTS):
        parent = int(PARENTS[joint])
        placed[:, joint] = placed[:, parent] + rotations.rotate(world_wxyz[:, parent], REST_OFFSETS_M[joint])
    return placed


def _sides(joints_m: NDArray[np.floating], part: str) -> FloatArray:
    """Left and right joint [T, 2, 3]."""
    return np.asarray(joints_m[:, [JOINT_INDEX[f"{side}_{part}"] for side in SIDES]], dtype=np.float64)


def _halves(girdle_m: FloatArray) -> FloatArray:
    """Left and right joint [T, 2, 3] as seen from the middle between them."""
    return np.asarray(girdle_m - girdle_m.mean(axis=1, keepdims=True))


def _as_long_as(theirs: FloatArray, ours: FloatArray) -> FloatArray:
    """Vectors [T, ..., 3] made as long as others, in the middle of all frames."""
    return np.asarray(theirs * (_length(ours) / max(_length(theirs), 1e-9)))


def _length(vectors: FloatArray) -> float:
    """Median length of vectors [..., 3]."""
    return float(np.median(np.linalg.norm(vectors, axis=-1)))
