"""The dancer's body: our own design, a few dozen rounded cones on the rest pose of the skeleton, in named parts.

Every part is one mesh in one colour whose vertices follow the bones. Sizes are metres; the figure is about 1.72 m tall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.motion.rotations import identity
from soulstream_engine.motion.skeleton import JOINT_INDEX, NUM_JOINTS, PELVIS_REST_HEIGHT_M, forward_kinematics
from soulstream_engine.preview.surface import Cone, Mesh, melt, skin_weights, surface

F32 = NDArray[np.float32]
Point = tuple[float, float, float]
Radii = tuple[float, float]

REST_JOINTS_M: F32 = forward_kinematics(
    np.array([0.0, PELVIS_REST_HEIGHT_M, 0.0], dtype=np.float32), identity(NUM_JOINTS)
).astype(np.float32)
"""World positions [52, 3] of the joints in the rest pose, metres."""

CORAL, INDIGO, SKIN, HAIR, WHITE, INK, LIPS = (
    (240, 84, 72),
    (52, 58, 128),
    (226, 158, 122),
    (58, 38, 48),
    (232, 232, 230),
    (36, 28, 36),
    (176, 66, 70),
)
"""Colours of the parts, sRGB (ours)."""

HEAD_SIZE = 1.1
"""The head is a little larger than life: it reads better from a distance."""

_FLAT = (1.0, 1.0, 0.74)  # a torso is wider than deep

_FINGER_RADII_MM = {
    "index": (9.4, 8.6, 7.8, 6.8),
    "middle": (9.8, 9.0, 8.0, 7.0),
    "ring": (9.2, 8.4, 7.6, 6.6),
    "pinky": (8.2, 7.4, 6.6, 5.8),
    "thumb": (13.0, 11.6, 10.2, 8.4),
}


@dataclass(frozen=True, slots=True)
class BodyPart:
    """One mesh of the dancer: ``bones`` [B] joint indices, ``weights`` [V, B] float32, ``color`` sRGB 0..255."""

    name: str
    mesh: Mesh
    bones: NDArray[np.intp]
    weights: F32
    color: tuple[int, int, int]


def build_body() -> list[BodyPart]:
    """All parts of the dancer in the rest pose. Takes about a second."""
    parts = [
        _part("top", _top(), CORAL, step_m=0.014),
        _part("trousers", _trousers(), INDIGO, step_m=0.014, softness_m=0.04),
        _part("head", _head(), SKIN, step_m=0.009),
        _part("hair", _hair(), HAIR, step_m=0.011),
        _part("brows", _brows(), INK, step_m=0.0025),
        _part("mouth", _mouth(), LIPS, step_m=0.0025),
        _part("left_eye", _eye(1), INK, step_m=0.003),
        _part("right_eye", _eye(-1), INK, step_m=0.003),
    ]
    for side in ("left", "right"):
        parts.append(_part(f"{side}_hand", _hand(side), SKIN, step_m=0.005, softness_m=0.005))
        parts.append(_part(f"{side}_shoe", _shoe(side), WHITE, step_m=0.010, softness_m=0.012))
    return parts


def _part(
    name: str, cones: list[Cone], color: tuple[int, int, int], *, step_m: float, softness_m: float = 0.018
) -> BodyPart:
    """Melt the cones, mesh the surface, and bind it to the bones."""
    ends = np.array([[c.start, c.end] for c in cones], dtype=np.float32)
    reach = [max(c.start_radius, c.end_radius) * max(c.squash) + c.blend_m / 2 + 2 * step_m for c in cones]
    margin = np.array(reach, dtype=np.float32)[:, None]
    low = (ends.min(axis=1) - margin).min(axis=0)
    high = (ends.max(axis=1) + margin).max(axis=0)
    mesh = surface(melt(cones), low.tolist(), high.tolist(), step_m)
    bones, weights = skin_weights(cones, mesh.vertices_m, softness_m)
    return BodyPart(name, mesh, bones, weights, color)


def _at(joint: str, x_mm: float = 0.0, y_mm: float = 0.0, z_mm: float = 0.0) -> Point:
    """A point relative to a joint of the rest pose, offset in millimetres; the result is metres."""
    x, y, z = (float(value) for value in REST_JOINTS_M[JOINT_INDEX[joint]])
    return x + x_mm / 1000, y + y_mm / 1000, z + z_mm / 1000


def _head_at(x_mm: float, y_mm: float, z_mm: float) -> Point:
    """A point relative to the head joint, in millimetres of a head of natural size."""
    return _at("head", HEAD_SIZE * x_mm, HEAD_SIZE * y_mm - 6, HEAD_SIZE * z_mm)


def _mix(first: Point, second: Point, share: float) -> Point:
    """The point at ``share`` of the way from ``first`` to ``second``."""
    x, y, z = (a + share * (b - a) for a, b in zip(first, second, strict=True))
    return x, y, z


def _cone(
    bone: str,
    start: Point,
    end: Point,
    radii_mm: Radii,
    blend_mm: float,
    squash: Point = (1.0, 1.0, 1.0),
) -> Cone:
    """A cone between two points, with its radii and softness in millimetres."""
    return Cone(start, end, radii_mm[0] / 1000, radii_mm[1] / 1000, JOINT_INDEX[bone], blend_mm / 1000, squash)


def _head_cone(start: Point, end: Point, radii_mm: Radii, blend_mm: float, squash: Point = (1.0, 1.0, 1.0)) -> Cone:
    """A cone of the head, measured in millimetres of a head of natural size."""
    radii = HEAD_SIZE * radii_mm[0], HEAD_SIZE * radii_mm[1]
    return _cone("head", _head_at(*start), _head_at(*end), radii, blend_mm, squash)


def _top() -> list[Cone]:
    """Torso and long sleeves."""
    cones = [
        _cone("pelvis", _at("pelvis", 0, 88, 12), _at("pelvis", 0, 100, 12), (105, 105), 50, _FLAT),
        _cone("spine1", _at("spine1", 0, -40, 12), _at("spine1", 0, 60, 12), (106, 102), 50, _FLAT),
        _cone("spine2", _at("spine2", 0, -50, 12), _at("spine2", 0, 40, 12), (104, 124), 50, _FLAT),
        _cone("spine3", _at("spine3", -35, -10, 8), _at("spine3", 35, -10, 8), (112, 112), 50, _FLAT),
        _cone("spine3", _at("spine3", 0, 40, 0), _at("neck", 0, 35, -2), (80, 56), 50, (1.0, 1.0, 0.85)),
    ]
    for side, sign in (("left", 1), ("right", -1)):
        collar, upper, lower = f"{side}_collar", f"{side}_shoulder", f"{side}_elbow"
        shoulder, elbow, wrist = _at(upper), _at(lower), _at(f"{side}_wrist")
        cones += [
            _cone("spine3", _at("spine3", 60 * sign, -22, 60), _at("spine3", 50 * sign, -15, 50), (46, 50), 40),
            _cone(collar, _at(collar, -10 * sign, -20), _mix(_at(collar), shoulder, 0.85), (50, 48), 60),
            _cone(upper, _mix(shoulder, elbow, 0.02), _mix(shoulder, elbow, 0.5), (53, 46), 35),
            _cone(upper, _mix(shoulder, elbow, 0.45), elbow, (46.5, 37), 12),
            _cone(lower, elbow, _mix(elbow, wrist, 0.3), (37, 38.5), 12),
            _cone(lower, _mix(elbow, wrist, 0.28), _mix(elbow, wrist, 0.93), (38.5, 30), 12),
        ]
    return cones


def _trousers() -> list[Cone]:
    """Hips and legs."""
    cones = [
        _cone("pelvis", _at("pelvis", -60, -16, 20), _at("pelvis", 60, -16, 20), (88, 88), 30, (1.0, 1.0, 0.88)),
        _cone("pelvis", _at("pelvis", 0, 0, 16), _at("pelvis", 0, 45, 16), (130, 124), 40, (1.0, 1.0, 0.76)),
    ]
    for side, sign in (("left", 1), ("right", -1)):
        thigh, shin = f"{side}_hip", f"{side}_knee"
        hip, knee, ankle = _at(thigh), _at(shin), _at(f"{side}_ankle")
        calf = _at(shin, 0, -126, -14)
        cones += [
            _cone("pelvis", _at(thigh, -8 * sign, 22, -72), _at(thigh, 0, -2, -68), (68, 60), 40),
            _cone(thigh, _at(thigh, 4 * sign, -10, -12), _mix(hip, knee, 0.5), (85, 70), 26),
            _cone(thigh, _mix(hip, knee, 0.45), knee, (71.5, 54), 12),
            _cone(shin, knee, calf, (53, 53), 12),
            _cone(shin, calf, _mix(knee, ankle, 0.94), (53, 42), 12),
        ]
    return cones


def _head() -> list[Cone]:
    """Neck, face, ears and a nose."""
    return [
        _cone("neck", _at("neck", 0, 0, -6), _at("head"), (52, 47), 30),
        _head_cone((0, 108, 4), (0, 85, 18), (100, 98), 30, (0.83, 1.0, 1.0)),
        _head_cone((0, 60, 30), (0, 14, 56), (80, 36), 30, (0.86, 1.0, 1.0)),
        _head_cone((0, 66, 110), (0, 46, 122), (7, 12), 20),
        _head_cone((84, 78, 4), (79, 48, 10), (20, 12), 12, (0.5, 1.0, 0.8)),
        _head_cone((-84, 78, 4), (-79, 48, 10), (20, 12), 12, (0.5, 1.0, 0.8)),
    ]


def _hair() -> list[Cone]:
    """A cap of hair with a knot on top."""
    return [
        _head_cone((0, 125, -10), (0, 95, -22), (101, 96), 30, (0.87, 1.0, 1.0)),
        _head_cone((0, 166, 34), (0, 150, -20), (62, 80), 30, (1.0, 0.8, 1.0)),
        _head_cone((0, 60, -50), (0, 20, -52), (70, 40), 30, (0.95, 1.0, 0.8)),
        _head_cone((0, 222, -66), (0, 234, -76), (46, 40), 20),
    ]


def _eye(sign: int) -> list[Cone]:
    """One eye; it is hidden for the time of a blink."""
    return [_head_cone((34 * sign, 81, 104), (34 * sign, 74, 103.5), (10, 10), 2, (1.0, 1.0, 0.6))]


def _brows() -> list[Cone]:
    """Two brows, enough to see where she looks."""
    return [_head_cone((23 * sign, 104, 111), (45 * sign, 105, 99.5), (4.6, 3.6), 2) for sign in (1, -1)]


def _mouth() -> list[Cone]:
    """A small mouth."""
    return [
        _head_cone((0, 20, 98.5), (14, 24, 97.5), (5, 3.5), 2),
        _head_cone((0, 20, 98.5), (-14, 24, 97.5), (5, 3.5), 2),
    ]


def _hand(side: str) -> list[Cone]:
    """Palm, four fingers and a thumb."""
    palm, sign = f"{side}_wrist", 1 if side == "left" else -1
    wrist = _at(palm)
    cones = [_cone(palm, _at(palm, -30 * sign), wrist, (25, 23.5), 9)]
    for finger, radii_mm in _FINGER_RADII_MM.items():
        bones = [f"{side}_{finger}{segment}" for segment in (1, 2, 3)]
        points = [_at(bone) for bone in bones]
        points.append(_mix(points[1], points[2], 1.9))  # the tip
        for i, bone in enumerate(bones):
            cones.append(_cone(bone, points[i], points[i + 1], (radii_mm[i], radii_mm[i + 1]), 4))
        ray = _mix(wrist, points[0], 0.15), _mix(wrist, points[0], 0.95)
        cones.append(_cone(palm, *ray, (20, 19 if finger == "thumb" else 14.5), 9))
    return cones


def _shoe(side: str) -> list[Cone]:
    """A trainer: heel and instep on the ankle, toes on the foot joint."""
    ankle, foot, sign = f"{side}_ankle", f"{side}_foot", 1 if side == "left" else -1
    ball = _at(foot, 6 * sign, 14, -10)
    return [
        _cone(ankle, _at(ankle, 0, 35, -4), _at(ankle, 0, -5, -4), (46, 45), 20),
        _cone(ankle, _at(ankle, 0, -16, -32), _at(ankle, 0, -18, 20), (40, 40), 30),
        _cone(ankle, _at(ankle, 0, -4, 20), _at(foot, 0, 18, -10), (43, 36), 30),
        _cone(ankle, _at(ankle, 0, -22, 0), ball, (34, 36), 20),
        _cone(foot, ball, _at(foot, 2 * sign, 8, 62), (37, 29), 20, (1.15, 1.0, 1.0)),
    ]
