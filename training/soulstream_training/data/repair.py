"""Repairs tracking errors of a body motion at its source rate: known bad ranges and rotations that flip and flip back.

Optical tracking labels a marker wrongly now and then; a bone then turns by up to half a turn in one frame, and back
some frames later. A flip is looked for limb by limb, so that a bad wrist does not cost the legs. Letters: ``T`` frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import JOINT_INDEX
from soulstream_training.data.retarget import BodyMotion

FLIP_SPEED_DEG = 3000.0
"""Degrees a second above which a joint is taken to have flipped (ours; a flicked wrist stays below 2000)."""

FLIP_GAP_S = 0.4
"""Flips of one limb up to this far apart belong to one error (ours)."""

MARGIN_S = 0.025
"""Widening of a bad range on either side (ours)."""

LONGEST_REPAIR_S = {"pop": 0.1, "flip": 0.45}
"""Longest range that interpolation makes whole: known pops, flips found here. Longer ones count as bad (ours)."""


@dataclass(frozen=True, slots=True)
class _Limb:
    """Joints that are repaired together when one of the triggers flips; some are not worth leaving frames out for."""

    triggers: tuple[str, ...]
    repaired: tuple[str, ...]
    moves_root: bool = False
    is_needed: bool = True


def _both_sides(triggers: str, repaired: str, *, is_needed: bool = True) -> tuple[_Limb, ...]:
    return tuple(
        _Limb(
            tuple(f"{side}_{joint}" for joint in triggers.split()),
            tuple(f"{side}_{joint}" for joint in repaired.split()),
            is_needed=is_needed,
        )
        for side in ("left", "right")
    )


_SPINE = ("pelvis", "spine1", "spine2", "spine3")
_LIMBS = (
    _Limb(_SPINE, (*_SPINE, "left_hip", "right_hip"), moves_root=True),
    _Limb(("neck", "head"), ("neck", "head"), is_needed=False),
    *_both_sides("hip knee", "hip knee ankle foot"),
    *_both_sides("ankle foot", "ankle foot"),
    *_both_sides("collar shoulder", "collar shoulder elbow wrist"),
    *_both_sides("elbow wrist", "elbow wrist", is_needed=False),
)

Ranges = list[tuple[int, int]]


def repair(
    motion: BodyMotion, source_fps: float, bad_frames: tuple[tuple[int, int], ...] = ()
) -> tuple[BodyMotion, NDArray[np.bool_]]:
    """Bridges bad ranges and flips by interpolation.

    Args:
        motion: Motion of T frames.
        source_fps: Its rate.
        bad_frames: Half-open ranges known to be bad in all joints.

    Returns:
        The motion without jumps and with continuous quaternion signs, and [T] which of its frames can be trusted: not
        those inside a bridge too long to be plausible.
    """
    num_frames = len(motion.root_m)
    margin = max(1, round(MARGIN_S * source_fps))
    fixed = BodyMotion(motion.root_m.copy(), motion.joint_wxyz.copy())
    is_good = np.ones(num_frames, dtype=np.bool_)

    def bridge(ranges: Ranges, joints: list[int], *, moves_root: bool, longest_s: float) -> None:
        for start, stop in _widen(ranges, margin, num_frames):
            _interpolate(fixed.joint_wxyz, start, stop, joints)
            if moves_root:
                _interpolate_root(fixed.root_m, start, stop)
            if stop - start - 2 * margin > longest_s * source_fps:
                is_good[start:stop] = False

    everything = list(range(motion.joint_wxyz.shape[1]))
    bridge(list(bad_frames), everything, moves_root=True, longest_s=LONGEST_REPAIR_S["pop"])
    for limb in _LIMBS:
        flips = find_flips(fixed.joint_wxyz[:, [JOINT_INDEX[name] for name in limb.triggers]], source_fps)
        longest_s = LONGEST_REPAIR_S["flip"] if limb.is_needed else np.inf
        bridge(flips, [JOINT_INDEX[name] for name in limb.repaired], moves_root=limb.moves_root, longest_s=longest_s)
    return BodyMotion(fixed.root_m, np.asarray(rotations.continuous(fixed.joint_wxyz))), is_good


def find_flips(joint_wxyz: NDArray[np.floating], source_fps: float) -> Ranges:
    """Finds ranges in which some joint turns faster than any body.

    Args:
        joint_wxyz: [T, J, 4] unit rotations of the joints of one limb.
        source_fps: Rate in frames a second.

    Returns:
        Half-open ranges from the frame after the first flip to the frame before the last; a lone flip gives the two
        frames around it.
    """
    cosine = np.abs(np.sum(joint_wxyz[1:] * joint_wxyz[:-1], axis=-1)).min(axis=-1)
    # Rotations further apart than a third of a turn in one frame are a flip at any rate.
    limit_rad = min(np.radians(FLIP_SPEED_DEG) / source_fps, 2 * np.pi / 3)
    ranges: Ranges = []
    for step in np.flatnonzero(cosine < np.cos(limit_rad / 2)).tolist():
        if ranges and step - ranges[-1][1] <= FLIP_GAP_S * source_fps:
            ranges[-1] = (ranges[-1][0], step + 1)
        else:
            ranges.append((step, step + 2))
    return ranges


def _widen(ranges: Ranges, margin: int, num_frames: int) -> Ranges:
    """Ranges grown on both sides; those that then touch are joined."""
    merged: Ranges = []
    for start, stop in sorted((max(0, start - margin), min(num_frames, stop + margin)) for start, stop in ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _neighbours(start: int, stop: int, num_frames: int) -> tuple[int, int] | None:
    """Good frames on either side, the same one twice at an end of the clip, none if everything is bad."""
    before = start - 1 if start > 0 else stop
    after = stop if stop < num_frames else start - 1
    return (before, after) if 0 <= before < num_frames and 0 <= after < num_frames else None


def _interpolate(joint_wxyz: NDArray[np.floating], start: int, stop: int, joints: list[int]) -> None:
    ends = _neighbours(start, stop, len(joint_wxyz))
    if ends is None:
        return
    t = (np.arange(start, stop) - (start - 1)) / (stop - start + 1)
    first, last = (joint_wxyz[end][joints] for end in ends)
    joint_wxyz[start:stop, joints] = rotations.slerp(first, last, t[:, None])


def _interpolate_root(root_m: NDArray[np.floating], start: int, stop: int) -> None:
    ends = _neighbours(start, stop, len(root_m))
    if ends is None:
        return
    t = (np.arange(start, stop) - (start - 1)) / (stop - start + 1)
    root_m[start:stop] = root_m[ends[0]] + (root_m[ends[1]] - root_m[ends[0]]) * t[:, None]
