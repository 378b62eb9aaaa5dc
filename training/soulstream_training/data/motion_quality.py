"""How good a clip is: numbers on a motion at 30 fps, and whether it is good enough to learn from.

All numbers come from positions, so that motion from any source can be judged, also such that has no rotations. Not for
repairing (``repair.py``) nor for models' motion (``evaluation``). Letters: ``N`` frames, ``J`` joints, ``B`` bones.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.motion.skeleton import (
    BONES,
    CONTACT_JOINTS,
    JOINT_INDEX,
    NUM_BODY_JOINTS,
    forward_kinematics,
    global_rotations,
)
from soulstream_training.data.joint_maps import JointMap
from soulstream_training.data.named_source import SIDES, NamedSource, unit
from soulstream_training.data.reach import scaled_limbs
from soulstream_training.data.recording import FloatArray, Recording
from soulstream_training.data.retarget import BodyMotion

SHARPEST_BEND_RAD = {"knee": np.radians(160.0), "elbow": np.radians(160.0), "neck": np.radians(110.0)}
"""Largest angle between the bones on either side of a joint (ours; a full squat bends the knee by about 150)."""

POINTED_RAD, FLEXED_RAD = float(np.radians(25.0)), float(np.radians(135.0))
"""Angle between shin and foot bone, 69 degrees standing: below the first the foot is pointed and does not show where
front is; nobody pulls the toes up to the second (ours)."""

WRONG_WAY = 0.35
"""Sine of the bend up to which a knee may bend away from the toes, 20 degrees: straight legs of recordings do. Found in
recordings where a foot was turned round by half a turn (ours)."""

_BODY_BONES = [bone for bone in BONES if bone[1] < NUM_BODY_JOINTS]


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What is measured of a clip; large is bad.

    Attributes:
        foot_slide_mps: Mean horizontal speed of feet while planted, metres a second; 0 without any contact.
        jitter_mps3: Mean jerk of the joints, metres a second cubed.
        bone_drift: Standard deviation over mean of the length of the bone that changes most.
        limit_share: Share of frames in which a knee, elbow, ankle or the neck is beyond what a human can do.
        floor_penetration_m: 99th percentile of how far the lowest joint is under the floor, metres.
    """

    foot_slide_mps: float
    jitter_mps3: float
    bone_drift: float
    limit_share: float
    floor_penetration_m: float


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """Largest value of each number of a report.

    Source: ours. The 65 CMU clips have, in the middle and at most, a slide of 0.14 and 0.23 m/s, a jerk of 93 and 510
    m/s3, limits passed in 0 and 6 % of the frames and nothing more than 1 cm under the floor.

    Attributes:
        foot_slide_mps: Metres a second.
        jitter_mps3: Metres a second cubed.
        bone_drift: Share of the length.
        limit_share: Share of frames.
        floor_penetration_m: Metres.
    """

    foot_slide_mps: float = 0.30
    jitter_mps3: float = 1000.0
    bone_drift: float = 0.05
    limit_share: float = 0.20
    floor_penetration_m: float = 0.06


def report_quality(joints_m: NDArray[np.floating], contacts: NDArray[np.generic]) -> QualityReport:
    """Measures a clip.

    Args:
        joints_m: [N, J, 3] world positions in metres at 30 fps, J at least 22 in our order, floor at y = 0, N >= 4.
        contacts: [N - 1 or N, 4] whether each of ``CONTACT_JOINTS`` is planted from this frame to the next, as in the
            rows of ``soulstream_engine.motion.representation``.

    Returns:
        The report.

    Raises:
        ValueError: If a shape does not fit or a position is not finite.
    """
    joints = np.asarray(joints_m, dtype=np.float64)
    if joints.ndim != 3 or len(joints) < 4 or joints.shape[1] < NUM_BODY_JOINTS or joints.shape[2] != 3:
        raise ValueError(f"positions must be [N >= 4, J >= {NUM_BODY_JOINTS}, 3], not {list(joints.shape)}")
    planted = np.asarray(contacts) > 0
    steps = len(joints) - 1
    if planted.shape not in ((steps, len(CONTACT_JOINTS)), (steps + 1, len(CONTACT_JOINTS))):
        raise ValueError(f"contacts must be [{steps}, {len(CONTACT_JOINTS)}], not {list(planted.shape)}")
    if not np.isfinite(joints).all():
        raise ValueError(f"{int((~np.isfinite(joints)).sum())} positions are not finite")
    lengths = np.stack([np.linalg.norm(joints[:, b] - joints[:, a], axis=-1) for a, b in _BODY_BONES], axis=-1)
    return QualityReport(
        foot_slide_mps=foot_slide(joints[:, list(CONTACT_JOINTS)], planted[:steps]),
        jitter_mps3=float(np.linalg.norm(np.diff(joints[:, :NUM_BODY_JOINTS], n=3, axis=0), axis=-1).mean()) * FPS**3,
        bone_drift=float(np.max(lengths.std(axis=0) / np.maximum(lengths.mean(axis=0), 1e-6))),
        limit_share=float(beyond_limits(joints).mean()),
        floor_penetration_m=float(np.percentile(np.maximum(-joints[..., 1].min(axis=1), 0.0), 99)),
    )


def reject_reason(report: QualityReport, limits: QualityLimits | None = None) -> str | None:
    """Why a clip should not be learnt from.

    Args:
        report: Its report.
        limits: Largest values; the defaults if ``None``.

    Returns:
        The first number over its limit with both values, or ``None`` if all are within.
    """
    largest = limits or QualityLimits()
    for item in fields(QualityReport):
        value, limit = getattr(report, item.name), getattr(largest, item.name)
        if not value <= limit:
            return f"{item.name} is {value:.3g}, the limit is {limit:.3g}"
    return None


def beyond_limits(joints_m: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which frames hold a pose that no human can do. Elbows that bend backwards cannot be told from positions.

    Args:
        joints_m: [N, J, 3] world positions in metres, J at least 22 in our order.

    Returns:
        [N] true where a knee, elbow, ankle or the neck is beyond its limits.
    """
    beyond = np.zeros(len(joints_m), dtype=np.bool_)

    def bone(first: str, second: str) -> FloatArray:
        return unit(np.asarray(joints_m[:, JOINT_INDEX[second]] - joints_m[:, JOINT_INDEX[first]], dtype=np.float64))

    for side in SIDES:
        thigh, shin = bone(f"{side}_hip", f"{side}_knee"), bone(f"{side}_knee", f"{side}_ankle")
        foot = bone(f"{side}_ankle", f"{side}_foot")
        upper, lower = bone(f"{side}_shoulder", f"{side}_elbow"), bone(f"{side}_elbow", f"{side}_wrist")
        beyond |= _angle(thigh, shin) > SHARPEST_BEND_RAD["knee"]
        beyond |= _angle(upper, lower) > SHARPEST_BEND_RAD["elbow"]
        slope = _angle(shin, foot)
        beyond |= slope > FLEXED_RAD
        # Bent rightly, the thigh leans towards where the toes point, seen from the shin.
        toes = unit(foot - shin * np.sum(foot * shin, axis=-1, keepdims=True))
        beyond |= (np.sum(thigh * toes, axis=-1) < -WRONG_WAY) & (slope > POINTED_RAD)
    return beyond | (_angle(bone("spine2", "neck"), bone("neck", "head")) > SHARPEST_BEND_RAD["neck"])


@dataclass(frozen=True, slots=True)
class EndEffectorError:
    """Distances over both sides and all frames, metres.

    Attributes:
        wrist_median_m: Median of the wrists.
        wrist_p95_m: Their 95th percentile.
        ankle_median_m: Median of the ankles.
        ankle_p95_m: Their 95th percentile.
    """

    wrist_median_m: float
    wrist_p95_m: float
    ankle_median_m: float
    ankle_p95_m: float


def end_effector_error_m(recording: Recording, retargeted: BodyMotion, joint_map: JointMap) -> EndEffectorError:
    """How far wrists and ankles are from where the recording has them, scaled limb by limb (``reach.ScaledLimbs``).

    What is left is the error of orientations and of what ``reach`` could not or should not do: an arm at full length
    does not get longer, and a hand is kept out of the floor.

    Args:
        recording: What was retargeted, T frames.
        retargeted: What became of it, T frames at the same rate.
        joint_map: The map that was used.

    Returns:
        Median and 95th percentile of wrists and of ankles.
    """
    ours = forward_kinematics(retargeted.root_m, retargeted.joint_wxyz)
    chest = global_rotations(retargeted.joint_wxyz)[:, JOINT_INDEX["spine3"]]
    aims = scaled_limbs(NamedSource(recording, joint_map), ours, chest)
    numbers: list[float] = []
    for part, aim_m in (("wrist", aims.wrist_m), ("ankle", aims.ankle_m)):
        errors = np.linalg.norm(ours[:, [JOINT_INDEX[f"{side}_{part}"] for side in SIDES]] - aim_m, axis=-1)
        numbers += [float(np.median(errors)), float(np.percentile(errors, 95))]
    return EndEffectorError(*numbers)


def _angle(first: FloatArray, second: FloatArray) -> FloatArray:
    """Angles [N] between unit vectors [N, 3]."""
    return np.arccos(np.clip(np.sum(first * second, axis=-1), -1.0, 1.0))


def foot_slide(feet_m: FloatArray, planted: NDArray[np.bool_]) -> float:
    """Mean horizontal speed of feet in m/s: [N, 4, 3] metres at 30 fps, over the steps [N - 1, 4] that are planted."""
    speed = np.linalg.norm(np.diff(feet_m[..., [0, 2]], axis=0), axis=-1) * FPS
    return float(speed[planted].mean()) if planted.any() else 0.0
