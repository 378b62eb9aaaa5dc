"""Half-body recombination: the legs of one dance under the trunk, arms, hands and face of another.

More variety for a tokenizer, which has to know poses and not whether they belong together. Only at equal tempo, or
within a style, so that both halves keep one pace; never for a sampler, which would learn a dance that nobody danced.
Source: shared data notes.

Letters: N frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from soulstream_engine.motion.skeleton import JOINT_INDEX
from soulstream_training.data.store import Clip

SAME_TEMPO = 0.05
"""Tempi within this share of each other are equal. Source: ours."""

_LEG = ("hip", "knee", "ankle", "foot")
LEGS = [JOINT_INDEX["pelvis"], *(JOINT_INDEX[f"{side}_{joint}"] for side in ("left", "right") for joint in _LEG)]
"""Joints that are taken from the dance below: the root and the legs."""


def recombined(clips: Sequence[Clip], count: int, seed: int) -> list[Clip]:
    """Clips that nobody danced.

    Args:
        clips: Of one split.
        count: How many pairs to make; fewer where there are not as many.
        seed: Draws the pairs.

    Returns:
        The clips, of one segment each.
    """
    if not count:
        return []
    pairs = [(below, above) for below in clips for above in clips if below is not above and _fit(below, above)]
    picks = np.random.default_rng(seed).permutation(len(pairs))[:count]
    made = (recombine(*pairs[pick]) for pick in picks.tolist())
    return [clip for clip in made if clip is not None]


def recombine(below: Clip, above: Clip) -> Clip | None:
    """The legs of one clip under the rest of another, over the longest clean stretch that both have.

    Args:
        below: Gives root and legs.
        above: Gives trunk, arms, head, hands and face.

    Returns:
        A clip of one segment, or ``None`` if one of them has no clean stretch.
    """
    if not len(below.segments) or not len(above.segments):
        return None
    (low, low_stop), (high, high_stop) = _longest(below), _longest(above)
    size = min(low_stop - low, high_stop - high)
    lower, upper = slice(low, low + size), slice(high, high + size)
    joints = above.joint_wxyz[upper].copy()
    joints[:, LEGS] = below.joint_wxyz[lower][:, LEGS]
    captured = above.captured.copy()
    captured[LEGS] = below.captured[LEGS]
    return Clip(
        entry=replace(below.entry, clip_id=f"{below.entry.clip_id}+{above.entry.clip_id}", num_frames=size),
        root_m=below.root_m[lower],
        joint_wxyz=joints,
        segments=np.array([[0, size]], dtype=np.int32),
        captured=captured,
        finger_wxyz=above.finger_wxyz[upper],
        face=above.face[upper],
        synthetic=above.synthetic[upper],
    )


def _longest(clip: Clip) -> tuple[int, int]:
    start, stop = max(clip.segments.tolist(), key=lambda segment: segment[1] - segment[0])
    return int(start), int(stop)


def _fit(below: Clip, above: Clip) -> bool:
    """Whether two clips have one pace."""
    ours, theirs = below.entry.tempo_bpm, above.entry.tempo_bpm
    if ours and theirs:
        return abs(ours / theirs - 1.0) <= SAME_TEMPO
    return below.entry.style == above.entry.style
