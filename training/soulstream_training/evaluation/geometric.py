"""Geometric features of a dance: the share of time in which each of 32 relations of joints holds; for FID_g and Div_g.

Each relation is a yes or no for each frame ("right elbow bent"), measured in lengths of the dancer's own skeleton, so
size, place and heading do not matter. The kinds are those of Müller, Röder and Clausen (2005); relations and thresholds
are those of the table of 39 by Müller and Röder (2006) as we know it: written from memory of the public description,
checked neither against the printed table nor against the code in common use (fairmotion). Ours are the choice of 32,
the joints of SMPL-X that stand for theirs, the joint a velocity is taken against, "left foot behind" as the mirror of
"right foot behind", lengths taken from the dance itself, and what ``RELATIONS`` marks as ours. So values can be
compared within our tables, not with published ones. Not for: how fast joints move (``kinetic``), how two sets of dances
differ (``frechet``).

Letters: T frames at 30 fps, F frames at 60 fps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.motion.skeleton import JOINT_INDEX

from .kinetic import FRAME_S, body_at_60_fps

F64 = NDArray[np.float64]

PUBLISHED_FRAME_S = 1.0 / 120.0
"""Frame time of the published velocity tests: half the true one, so speeds count twice. Source: ``method.md`` 8.1."""

_TINY_M = 1e-9

Kind = Literal["offset", "plane", "angle", "height", "move", "front_move", "fast"]
Unit = Literal["humerus", "shoulders", "hips", "degrees"]


@dataclass(frozen=True, slots=True)
class Relation:
    """One yes-or-no relation: it holds while its measure lies in ``low``..``high``, both included.

    Measures by ``kind``, with the joints in order (``left = +X``, so normals follow the right-hand rule):

    ``offset``      (a, b, c, d): how far d lies from c in the direction from a to b.
    ``plane``       (a, b, c, d): how far d lies in front of the plane a, b, c, normal ``(b - a) x (c - a)``.
    ``angle``       (a, b, c, d): angle between the directions a to b and c to d; without d, between a to b and up.
    ``height``      (d): how far d is above the lowest joint of the same frame.
    ``move``        (a, b, c, d): velocity of d against c in the direction from a to b.
    ``front_move``  (a, b, c, d): velocity of d against a along the normal ``(b - a) x (c - a)``.
    ``fast``        (d): speed of d.

    Attributes:
        name: What holds, in words.
        kind: The measure.
        joints: Names in ``motion.skeleton``.
        low: Smallest value, in ``unit``; of velocities in ``unit`` a second.
        high: Largest value.
        unit: Length of the dancer: upper arm, distance of the shoulders or of the hips; or degrees.
    """

    name: str
    kind: Kind
    joints: tuple[str, ...]
    low: float
    high: float = np.inf
    unit: Unit = "humerus"


def _both(
    name: str, kind: Kind, joints: str, low: float, high: float = np.inf, unit: Unit = "humerus"
) -> tuple[Relation, Relation]:
    """The relation for the right and for the left, ``{s}`` being the side."""
    right, left = (
        Relation(f"{side} {name}", kind, tuple(joints.format(s=side).split()), low, high, unit)
        for side in ("right", "left")
    )
    return right, left


RELATIONS: tuple[Relation, ...] = (
    *_both("hand moves forwards", "front_move", "neck right_hip left_hip {s}_wrist", 1.8),
    # Ours: theirs is 0.2 above the neck, a joint that lies above the shoulders in SMPL and below them in our skeleton.
    *_both("hand above the shoulder", "offset", "spine3 neck {s}_shoulder {s}_wrist", 0.4),
    *_both("hand moves upwards", "move", "spine1 spine3 spine3 {s}_wrist", 1.8),
    *_both("elbow bent", "angle", "{s}_elbow {s}_shoulder {s}_elbow {s}_wrist", 0.0, 110.0, "degrees"),
    Relation(
        "hands far apart sideways",
        "offset",
        ("right_shoulder", "left_shoulder", "right_wrist", "left_wrist"),
        low=2.5,
        unit="shoulders",
    ),
    Relation("hands approach each other", "move", ("left_wrist", "right_wrist", "right_wrist", "left_wrist"), 1.4),
    *_both("hand leaves the pelvis", "move", "pelvis {s}_wrist pelvis {s}_wrist", 1.4),
    *_both("hand fast", "fast", "{s}_wrist", 2.5),
    Relation("right foot behind left leg", "plane", ("pelvis", "left_hip", "left_foot", "right_ankle"), 0.38),
    Relation("left foot behind right leg", "plane", ("pelvis", "right_foot", "right_hip", "left_ankle"), 0.38),
    *_both("foot raised", "height", "{s}_ankle", 1.2),
    Relation(
        "feet far apart sideways",
        "offset",
        ("right_hip", "left_hip", "right_ankle", "left_ankle"),
        low=2.1,
        unit="hips",
    ),
    *_both("knee bent", "angle", "{s}_knee {s}_hip {s}_knee {s}_ankle", 0.0, 110.0, "degrees"),
    *_both("foot fast", "fast", "{s}_ankle", 2.5),
    *_both("upper arm lifted", "angle", "neck pelvis {s}_shoulder {s}_elbow", 25.0, 180.0, "degrees"),
    *_both("thigh lifted", "angle", "neck pelvis {s}_hip {s}_knee", 50.0, 180.0, "degrees"),
    Relation("pelvis behind feet and neck", "plane", ("right_ankle", "neck", "left_ankle", "pelvis"), 0.5),
    Relation("spine horizontal", "angle", ("pelvis", "neck"), 70.0, 110.0, "degrees"),
    *_both("hand near the floor", "height", "{s}_wrist", 0.0, 1.2),
    Relation("pelvis fast", "fast", ("pelvis",), 2.3),
)
"""The 32 relations, in the order of the features."""


class _Poses:
    """Positions and velocities of all frames but the first, and the lengths of the skeleton."""

    def __init__(self, joints_m: F64, frame_s: float) -> None:
        self.joints_m = joints_m[1:]
        self.velocity = np.diff(joints_m, axis=0) / frame_s
        self.lengths_m: dict[str, float] = {
            "humerus": (self.length("left_shoulder", "left_elbow") + self.length("right_shoulder", "right_elbow")) / 2,
            "shoulders": self.length("left_shoulder", "right_shoulder"),
            "hips": self.length("left_hip", "right_hip"),
        }

    def at(self, joint: str) -> F64:
        return self.joints_m[:, JOINT_INDEX[joint]]

    def moving(self, joint: str) -> F64:
        return self.velocity[:, JOINT_INDEX[joint]]

    def length(self, first: str, last: str) -> float:
        return max(float(np.median(np.linalg.norm(self.at(last) - self.at(first), axis=-1))), _TINY_M)

    def along(self, first: str, last: str) -> F64:
        return _unit(self.at(last) - self.at(first))

    def normal(self, a: str, b: str, c: str) -> F64:
        return _unit(np.cross(self.at(b) - self.at(a), self.at(c) - self.at(a)))

    def offset(self, a: str, b: str, c: str, d: str) -> F64:
        return _dot(self.along(a, b), self.at(d) - self.at(c))

    def plane(self, a: str, b: str, c: str, d: str) -> F64:
        return _dot(self.normal(a, b, c), self.at(d) - self.at(a))

    def angle(self, a: str, b: str, c: str | None = None, d: str | None = None) -> F64:
        other = self.along(c, d) if c and d else np.array([0.0, 1.0, 0.0])
        return np.degrees(np.arccos(np.clip(_dot(self.along(a, b), other), -1.0, 1.0)))

    def height(self, d: str) -> F64:
        return self.at(d)[:, 1] - self.joints_m[..., 1].min(-1)

    def move(self, a: str, b: str, c: str, d: str) -> F64:
        return _dot(self.along(a, b), self.moving(d) - self.moving(c))

    def front_move(self, a: str, b: str, c: str, d: str) -> F64:
        return _dot(self.normal(a, b, c), self.moving(d) - self.moving(a))

    def fast(self, d: str) -> F64:
        return np.asarray(np.linalg.norm(self.moving(d), axis=-1), dtype=np.float64)

    def measure(self, relation: Relation) -> F64:
        """[F - 1] values of a relation in its unit."""
        kinds: dict[str, Callable[..., F64]] = {
            **{"offset": self.offset, "plane": self.plane, "angle": self.angle, "height": self.height},
            **{"move": self.move, "front_move": self.front_move, "fast": self.fast},
        }
        return kinds[relation.kind](*relation.joints) / self.lengths_m.get(relation.unit, 1.0)


def geometric_features(joints_m: NDArray[np.floating], published: bool = True) -> F64:
    """Share of the frames in which each of ``RELATIONS`` holds.

    Args:
        joints_m: [T, J, 3] world positions at 30 fps, metres, Y up, T >= 4, J >= 22.
        published: Whether velocities are taken over 1/120 s, as published; speeds then pass at half their threshold.
            ``False`` takes the true 1/60 s.

    Returns:
        [32] float64, 0..1.

    Raises:
        ValueError: If the shape is another, T is below 4, or a position is not finite.

    Source: Müller, Röder and Clausen (2005); Müller and Röder (2006); see the module for what is ours.
    """
    poses = _Poses(body_at_60_fps(joints_m), PUBLISHED_FRAME_S if published else FRAME_S)
    measures = [(relation, poses.measure(relation)) for relation in RELATIONS]
    return np.array([((at >= relation.low) & (at <= relation.high)).mean() for relation, at in measures])


def _dot(first: F64, second: F64) -> F64:
    return np.asarray((first * second).sum(-1), dtype=np.float64)


def _unit(vectors: F64) -> F64:
    """Vectors [F, 3] at length 1; a vanishing one stays near zero, so nothing lies beyond it."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), _TINY_M), dtype=np.float64)
