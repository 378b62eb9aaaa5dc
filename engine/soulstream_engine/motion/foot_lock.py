"""Feet that stand still while they carry weight, and never sink into the floor: a streaming foot lock.

A foot in contact for two frames is pinned (horizontally) where it was shown first, and its leg is solved to it (two
bones, hip to ankle). A pin has a budget: when the motion wants to be elsewhere it creeps, at the end of the budget it
is dragged along, and after a jump it lets go; a foot that was let go eases back. The body follows its pins slowly, so
that a path that slides under standing feet is corrected and not fought. The state is explicit: chunks give the same as
the whole. Letters: T frames; leg 0 is left, leg 1 right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from soulstream_engine.motion import rotations
from soulstream_engine.motion.floor import LOWEST_FOOT_M
from soulstream_engine.motion.leg_ik import LEG_JOINTS, MAX_REACH, SHANK_M, THIGH_M, place_knee
from soulstream_engine.motion.skeleton import NUM_BODY_JOINTS, forward_kinematics

F64 = NDArray[np.float64]

PIN_ABOVE = 0.5
"""Contact above which a foot carries weight. Ours."""

LET_GO_BELOW = 0.35
"""Contact below which a pinned foot is let go; lower than ``PIN_ABOVE`` so that a wavering contact does not flicker."""

FRAMES_TO_PIN = 2
"""Frames of contact before a foot is pinned. Ours."""

BUDGET_M = 0.08
"""Largest distance between pin and motion, metres; twice as much at once is a jump and lets go (ours)."""

EASE_FRAMES = 5
"""Frames in which a foot that was let go returns to the motion (ours)."""

_CREEP_FROM_M = 0.05  # from this distance on a pin follows the motion slowly
_CREEP_RATE = 0.03  # least share of the distance beyond that is given up each frame
_PIN_AGAIN_M = 0.03  # a foot that still eases back is pinned again only when it is this close to the motion
_LIFT_RISE, _LIFT_FALL = 0.12, 0.03  # low-pass rates a frame of the lift of the whole dancer
_FOLLOW_RATE = 0.15  # share of the mean pin offset by which the body follows, a frame
_FOLLOW_SMOOTH = 0.3  # low-pass rate of that following
_FORGET_RATE = 0.003  # share of the correction of the path that is given up, a frame
_SOFT_REACH = 0.02  # last share of the leg over which it straightens ever more slowly
_STRAIGHT_M = THIGH_M + SHANK_M
_HORIZONTAL = np.array(
    [1.0, 0.0, 1.0]
)  # a landing foot is in contact before it is down: heights are left to the motion


@dataclass(frozen=True, slots=True)
class _Leg:
    """What is remembered of one foot. Points are [2, 3]: ankle, toe base."""

    frames_in_contact: int = 0
    pinned: tuple[float, float] | None = None  # weights of ankle and toe base in the pinned point
    pin_m: F64 = field(default_factory=lambda: np.zeros(3))
    shown_m: F64 | None = None
    offset_m: F64 = field(default_factory=lambda: np.zeros(3))
    let_go_m: F64 = field(default_factory=lambda: np.zeros(3))
    frames_eased: int = EASE_FRAMES


@dataclass(frozen=True, slots=True)
class FootLockState:
    """State of the foot lock between two chunks; the default is a dancer who was never seen."""

    lift_m: float = 0.0
    path_m: F64 = field(default_factory=lambda: np.zeros(3))
    path_rate_m: F64 = field(default_factory=lambda: np.zeros(3))
    legs: tuple[_Leg, _Leg] = field(default_factory=lambda: (_Leg(), _Leg()))


def lock_feet(
    root_m: ArrayLike, joint_wxyz: ArrayLike, contacts: ArrayLike, state: FootLockState
) -> tuple[F64, F64, FootLockState]:
    """Pin feet in contact and keep all feet on or above the floor.

    Args:
        root_m: Pelvis positions [T, 3], metres.
        joint_wxyz: Parent-local unit rotations of the body [T, 22, 4].
        contacts: Contact [T, 4] of left ankle, left toe base, right ankle, right toe base; 0..1, not limited.
        state: State after the frame before; ``FootLockState()`` at a start.

    Returns:
        Root [T, 3] and rotations [T, 22, 4] float64, and the state after the last frame. Hips, knees and ankles change;
        the orientation of the feet in the world does not. No ankle or toe base is lower than ``LOWEST_FOOT_M``.

    Raises:
        ValueError: If the pose has other than 22 joints.

    Live: allocates; about 0.1 ms a frame in chunks of 8.
    """
    root = np.array(root_m, dtype=np.float64)
    wxyz = np.array(joint_wxyz, dtype=np.float64)
    if wxyz.shape[-2] != NUM_BODY_JOINTS:
        raise ValueError(f"the foot lock takes {NUM_BODY_JOINTS} joints, not {wxyz.shape[-2]}")
    legs_m = np.asarray(forward_kinematics(root, wxyz)[:, LEG_JOINTS], dtype=np.float64)
    lift, path, rate, offsets = state.lift_m, state.path_m, state.path_rate_m, np.zeros((len(root), 2, 3))
    legs = list(state.legs)
    under = np.maximum(LOWEST_FOOT_M - legs_m[:, :, 2:, 1].min(axis=(1, 2)), 0.0)
    in_contact = np.asarray(contacts, dtype=np.float64).reshape(-1, 2, 2)
    for t in range(len(root)):
        lift += (under[t] - lift) * (_LIFT_RISE if under[t] > lift else _LIFT_FALL)
        pins = [leg.offset_m for leg in legs if leg.pinned]
        wanted = _FOLLOW_RATE * np.sum(pins, axis=0) / len(pins) if pins else np.zeros(3)
        rate = rate + _FOLLOW_SMOOTH * (wanted * _HORIZONTAL - rate)
        path = path * (1 - _FORGET_RATE) + rate
        root[t] += path + np.array([0.0, lift, 0.0])
        legs_m[t] += path + np.array([0.0, lift, 0.0])
        for side in (0, 1):
            legs[side] = _next(legs[side], legs_m[t, side], in_contact[t, side])
            offsets[t, side] = legs[side].offset_m
    if np.any(offsets):
        wxyz = _move_ankles(wxyz, legs_m, offsets)
    return root, wxyz, FootLockState(lift, path, rate, (legs[0], legs[1]))


def _next(leg: _Leg, leg_m: F64, contact: F64) -> _Leg:
    """The foot one frame later: whether it is pinned, and by how much it is moved away from the motion."""
    foot_m = leg_m[2:]
    needed = LET_GO_BELOW if leg.pinned else PIN_ABOVE
    touching = (float(contact[0] > needed), float(contact[1] > needed))
    leg = replace(leg, frames_in_contact=leg.frames_in_contact + 1 if any(touching) else 0)
    if leg.pinned and not any(touching):
        leg = _let_go(leg)
    elif leg.pinned != touching and leg.frames_in_contact >= FRAMES_TO_PIN and (leg.pinned or _close(leg)):
        leg = _pin(leg, touching)

    if leg.pinned:
        moved = _point(foot_m, leg.pinned)
        away = (leg.pin_m - moved) * _HORIZONTAL
        distance = math.sqrt(float(away @ away))
        if distance > 2 * BUDGET_M:
            leg = _let_go(leg)
        else:
            if distance > _CREEP_FROM_M:
                away *= _crept(distance) / distance
            leg = replace(leg, pin_m=moved + away, offset_m=away)
    if not leg.pinned:
        eased = min(leg.frames_eased + 1, EASE_FRAMES)
        left = 1 - eased / EASE_FRAMES
        leg = replace(leg, frames_eased=eased, offset_m=leg.let_go_m * (left * left * (3 - 2 * left)))
    offset = _reachable(leg_m, _above_floor(foot_m, leg.offset_m))
    return replace(leg, offset_m=offset, shown_m=foot_m + offset)


def _pin(leg: _Leg, weights: tuple[float, float]) -> _Leg:
    """Pin the foot where it was shown a frame ago (it was in contact there already)."""
    if leg.shown_m is None:
        return leg
    return replace(leg, pinned=weights, pin_m=_point(leg.shown_m, weights))


def _crept(distance_m: float) -> float:
    """Distance between pin and motion after a frame of creep: slow at first, never beyond the budget."""
    room = BUDGET_M - _CREEP_FROM_M
    excess = room * (1 - math.exp((_CREEP_FROM_M - distance_m) / room))
    return _CREEP_FROM_M + (1 - _CREEP_RATE) * excess


def _let_go(leg: _Leg) -> _Leg:
    return replace(leg, pinned=None, frames_in_contact=0, let_go_m=leg.offset_m, frames_eased=0)


def _close(leg: _Leg) -> bool:
    return float(leg.offset_m @ leg.offset_m) < _PIN_AGAIN_M**2


def _point(foot_m: F64, weights: tuple[float, float]) -> F64:
    ankle, toe = weights
    return np.asarray((ankle * foot_m[0] + toe * foot_m[1]) / (ankle + toe))


def _above_floor(foot_m: F64, offset_m: F64) -> F64:
    short = LOWEST_FOOT_M - min(foot_m[0, 1], foot_m[1, 1]) - offset_m[1]
    return np.asarray(offset_m + np.array([0.0, max(float(short), 0.0), 0.0]))


def _reachable(leg_m: F64, offset_m: F64) -> F64:
    """The offset, shortened where the leg would have to be straighter than ``MAX_REACH`` (or than it already is)."""
    before = leg_m[2] - leg_m[0]
    wanted = before + offset_m
    distance, already = math.sqrt(float(wanted @ wanted)), math.sqrt(float(before @ before))
    soft = _SOFT_REACH * _STRAIGHT_M
    straight = MAX_REACH * _STRAIGHT_M - soft
    if distance <= max(straight, already):
        return offset_m
    limited = max(straight + soft * (1 - math.exp((straight - distance) / soft)), already)
    return np.asarray(wanted * (limited / distance) - before)


def _move_ankles(wxyz: F64, legs_m: F64, offsets: F64) -> F64:
    """Rotations [T, 22, 4] with each ankle moved by an offset [T, 2, 3] and the feet turned as before."""
    hips, knees, ankles = LEG_JOINTS[:, 0], LEG_JOINTS[:, 1], LEG_JOINTS[:, 2]
    hip_m, knee_m, ankle_m = legs_m[:, :, 0], legs_m[:, :, 1], legs_m[:, :, 2]
    pelvis = _rotation(np.broadcast_to(wxyz[:, :1], (len(wxyz), 2, 4)))
    hip = pelvis * _rotation(wxyz[:, hips])
    knee = hip * _rotation(wxyz[:, knees])
    ankle = knee * _rotation(wxyz[:, ankles])
    target_m = ankle_m + offsets
    swing = rotations.between(ankle_m - hip_m, target_m - hip_m)
    # The knee keeps its direction; a straight leg bends forward, about the knee's own hinge.
    bend = knee_m - (hip_m + ankle_m) / 2
    straightness = np.exp(-np.sum((bend / 0.03) ** 2, axis=-1, keepdims=True))
    forward = rotations.rotate(swing, bend + 0.02 * straightness * hip.as_matrix()[..., 2])
    new_knee_m, new_ankle_m = place_knee(hip_m, target_m, forward, max_reach=1.0)
    new_hip = _rotation(rotations.between(knee_m - hip_m, new_knee_m - hip_m)) * hip
    new_knee = _rotation(rotations.between(ankle_m - knee_m, new_ankle_m - new_knee_m)) * knee
    out = wxyz.copy()
    moved = np.any(offsets != 0.0, axis=-1, keepdims=True)
    out[:, hips] = np.where(moved, (pelvis.inv() * new_hip).as_quat(scalar_first=True), wxyz[:, hips])
    out[:, knees] = np.where(moved, (new_hip.inv() * new_knee).as_quat(scalar_first=True), wxyz[:, knees])
    out[:, ankles] = np.where(moved, (new_knee.inv() * ankle).as_quat(scalar_first=True), wxyz[:, ankles])
    return out


def _rotation(wxyz: ArrayLike) -> Rotation:
    return Rotation.from_quat(np.asarray(wxyz, dtype=np.float64), scalar_first=True)
