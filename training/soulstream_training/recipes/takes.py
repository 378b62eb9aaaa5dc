"""Material of the sampler: every rendering with the motion bent to it, motion without music, and sound without music.

A rendering for a mirror image is danced by the mirror image only.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from soulstream_engine.motion.mirror import MIRROR_JOINTS
from soulstream_engine.motion.representation import BODY_DIM, encode_body
from soulstream_training.data.drift import drifted_frames
from soulstream_training.data.music_index import (
    NEGATIVE_SHARE,
    MusicClip,
    load_music,
    load_negative,
    read_music_index,
    read_negatives,
)
from soulstream_training.data.store import Clip, load_store

from .bent_motion import MIN_ROWS, bent_rows, danced
from .motion_rows import Stretch, clip_stretches, column_weights
from .paired import F32, Take

UNPAIRED_SHARE = 0.15
"""Share of windows that show motion without music (class C and clips that fit no grid)."""

CAPPED_STYLE = "salsa"
CAPPED_SHARE = 0.75
"""Salsa is nine tenths of the paired motion; less than this would repeat the few other clips too often (ours)."""


def load_takes(store_dir: Path, music_dir: Path, split: str, drifts: int = 0) -> list[Take]:
    """All takes of one split, weighted.

    Args:
        store_dir: Prepared motion.
        music_dir: Renderings made for it.
        split: ``train`` or ``val``.
        drifts: Versions of each rendering whose motion leaves the beat and returns to it, beside the one on the beat.

    Returns:
        Takes with music, without, and with sound that is no music.
    """
    clips = {clip.entry.clip_id: clip for clip in load_store(store_dir, (split,))}
    entries = [entry for entry in read_music_index(music_dir) if entry.is_paired and entry.clip_id in clips]
    paired: list[tuple[str, Take]] = []
    for entry in entries:
        clip = clips[entry.clip_id]
        music = load_music(music_dir, entry)
        for version in range(1 + drifts):
            shown, trust = (music, None) if version == 0 else _drifted(music, version)
            paired += [(clip.entry.style, take) for take in _bent_takes(clip, shown, trust)]
    alone = [
        Take(rows, None, 1.0)
        for clip_id, clip in clips.items()
        if clip_id not in {entry.clip_id for entry in entries}
        for stretch in clip_stretches(clip, with_mirror=True, min_rows=MIN_ROWS)
        if len(rows := stretch.rows[danced(stretch.rows)]) >= MIN_ROWS
    ]
    negatives = [
        Take(encode_body(root_m, joint_wxyz), features, 1.0)
        for entry in read_negatives(music_dir)
        if entry.split == split
        for features, root_m, joint_wxyz in [load_negative(music_dir, entry)]
    ]
    return _weigh(paired, alone, negatives)


def bent_stretches(store_dir: Path, music_dir: Path, split: str) -> list[Stretch]:
    """The bent motion of every rendering of a split, without its music: what the tokenizer meets.

    Raises:
        ConfigError: If the index of the renderings cannot be read.
    """
    clips = {clip.entry.clip_id: clip for clip in load_store(store_dir, (split,))}
    found = []
    for entry in read_music_index(music_dir):
        if entry.is_paired and entry.clip_id in clips:
            clip = clips[entry.clip_id]
            captured = clip.captured[MIRROR_JOINTS] if entry.is_mirrored else clip.captured
            plain = Stretch(
                clip_id=entry.clip_id,
                style=clip.entry.style,
                split=split,
                is_mirrored=entry.is_mirrored,
                first_frame=0,
                rows=np.zeros((0, BODY_DIM), np.float32),
                is_bent=True,
                weight=column_weights(captured, BODY_DIM),
            )
            found += [replace(plain, rows=take.rows) for take in _bent_takes(clip, load_music(music_dir, entry))]
    return found


def _drifted(music: MusicClip, version: int) -> tuple[MusicClip, F32]:
    """The rendering with motion that drifts, and what of it is to be learned; the same version is always the same."""
    generator = np.random.default_rng([version, zlib.crc32(music.entry.name.encode())])
    frames, trust = drifted_frames(music.entry.num_frames, 60.0 / music.entry.bpm, generator)
    own = np.arange(music.entry.num_frames)
    lock = np.interp(frames, own, music.lock).astype(np.float32)
    return replace(music, source_frame=np.interp(frames, own, music.source_frame), lock=lock), trust


def _bent_takes(clip: Clip, music: MusicClip, trust: F32 | None = None) -> list[Take]:
    """The stretches of a rendering whose motion is clean throughout, mirrored where the rendering is."""
    return [
        Take(rows, music.features[heard], 1.0, music.lock[heard], None if trust is None else trust[heard])
        for heard, rows in bent_rows(clip, music)
    ]


def _weigh(paired: list[tuple[str, Take]], alone: list[Take], negatives: list[Take]) -> list[Take]:
    """Scale the weights so that the capped style, motion without music and sound without music keep to their shares."""
    capped = [take for style, take in paired if style == CAPPED_STYLE]
    other = [take for style, take in paired if style != CAPPED_STYLE]
    total = _mass(capped) + _mass(other)
    share = min(CAPPED_SHARE, _mass(capped) / total) if other else 1.0
    beside = UNPAIRED_SHARE * bool(alone) + NEGATIVE_SHARE * bool(negatives)
    return [
        *_scaled(capped, share * (1.0 - beside)),
        *_scaled(other, (1.0 - share) * (1.0 - beside)),
        *_scaled(alone, UNPAIRED_SHARE),
        *_scaled(negatives, NEGATIVE_SHARE),
    ]


def _mass(takes: list[Take]) -> float:
    return sum(take.weight * take.rows.shape[0] for take in takes)


def _scaled(takes: list[Take], mass: float) -> list[Take]:
    """Takes whose weights times frames sum to the mass."""
    factor = mass / max(_mass(takes), 1e-9)
    return [replace(take, weight=take.weight * factor) for take in takes]
