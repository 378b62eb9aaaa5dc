"""What a prepared set holds, in numbers: minutes, windows, hours with music, foot slide, and leaks between splits.

Letters: none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from soulstream_engine.clock import FPS
from soulstream_training.data.music_index import INDEX_NAME, MusicEntry, read_music_index
from soulstream_training.data.recipe import DataRecipe
from soulstream_training.data.store import ClipEntry, load_clip, read_index


def summarise(store_dir: Path, music_dir: Path, recipe: DataRecipe) -> dict[str, Any]:
    """Numbers of a set.

    Args:
        store_dir: Motion store.
        music_dir: Renderings made for it; there need not be any.
        recipe: For the length of windows.

    Returns:
        ``minutes`` of clean motion, ``windows`` of ``window_s`` every ``stride_s`` in it, ``hours_paired`` of motion
        with music after augmentation, counted without overlap; ``slide_ratio``, the foot slide over that of the
        recordings, weighted by frames; ``pairing`` of each class: clips that were
        to be paired, those for which a grid was found and those treated as class C, with the medians of the p values;
        ``leaks``, and what they are in ``leaking``.
    """
    entries = read_index(store_dir)
    music = read_music_index(music_dir) if (music_dir / INDEX_NAME).is_file() else []
    music = [entry for entry in music if entry.clip_id in {clip.clip_id for clip in entries}]
    leaking = find_leaks(entries, music)
    slid = [entry for entry in entries if entry.source_slide_mps > 0.0]
    weight = np.array([entry.num_clean_frames for entry in slid], dtype=np.float64)
    theirs = float(weight @ [entry.source_slide_mps for entry in slid])
    return {
        "minutes": round(sum(entry.num_clean_frames for entry in entries) / FPS / 60.0, 2),
        "windows": sum(count_windows(store_dir, entry, recipe) for entry in entries),
        "hours_paired": round(paired_hours(music), 2),
        "slide_ratio": round(float(weight @ [entry.foot_slide_mps for entry in slid]) / theirs, 3) if theirs else None,
        "pairing": pairing_by_class(music),
        "leaks": len(leaking),
        "leaking": leaking,
    }


def pairing_by_class(music: Sequence[MusicEntry]) -> dict[str, dict[str, float]]:
    """What became of the clips of each class that were to be paired.

    Args:
        music: Renderings.

    Returns:
        For each class ``clips``, those ``paired`` at least once, the others ``as_c``, and over the paired renderings
        the medians ``shift_p`` (against shifted grids), ``refit_p`` (against clips with like intervals) and the share
        ``refit_below_5`` of renderings whose ``refit_p`` is at most 0.05.
    """
    found: dict[str, dict[str, float]] = {}
    for kind in sorted({entry.pairing_class for entry in music}):
        of_kind = [entry for entry in music if entry.pairing_class == kind]
        paired = [entry for entry in of_kind if entry.is_paired]
        clips, with_music = {e.clip_id for e in of_kind}, {e.clip_id for e in paired}
        shift, refit = np.array([e.shift_p for e in paired]), np.array([e.refit_p for e in paired])
        found[kind] = {"clips": len(clips), "paired": len(with_music), "as_c": len(clips - with_music)}
        if paired and kind != "real":
            found[kind] |= {
                "shift_p": round(float(np.median(shift)), 3),
                "refit_p": round(float(np.median(refit)), 3),
                "refit_below_5": round(float(np.mean(refit <= 0.05)), 3),
            }
    return found


def count_windows(store_dir: Path, entry: ClipEntry, recipe: DataRecipe) -> int:
    """Windows in the clean segments of a clip. Source: EDGE's slices, 5 s every 0.5 s."""
    length, stride = round(recipe.window_s * FPS), max(1, round(recipe.stride_s * FPS))
    segments = load_clip(store_dir, entry).segments
    return sum(max(0, (stop - start - length) // stride + 1) for start, stop in segments.tolist())


def paired_hours(music: Iterable[MusicEntry]) -> float:
    """Hours of motion with music: every rendering is danced once."""
    return sum(entry.num_frames for entry in music if entry.is_paired) / FPS / 3600.0


def find_leaks(entries: Sequence[ClipEntry], music: Sequence[MusicEntry] = ()) -> list[str]:
    """What lies in two splits although it must not.

    Args:
        entries: Clips.
        music: Renderings.

    Returns:
        A line each: takes whose dancers are in different splits, recordings that are in two, songs that are danced to
        in two, renderings in another split than their clip, and drum takes that are heard in two splits.
    """
    split = {entry.clip_id: entry.split for entry in entries}
    leaks = []
    for entry in entries:
        other = split.get(entry.partner_id)
        if other is not None and other != entry.split and not entry.take:
            leaks.append(f"take: {entry.clip_id} is in {entry.split}, its partner {entry.partner_id} in {other}")
    for kind, keys in {
        "take": [entry.take for entry in entries],
        "recording": [entry.recording or entry.input_hash for entry in entries],
        "song": [entry.song or entry.music for entry in entries],
    }.items():
        shared = zip(keys, entries, strict=True)
        leaks += _in_two(kind, ((key, entry.split, entry.clip_id) for key, entry in shared if key))
    for rendering in music:
        if rendering.split != split[rendering.clip_id]:
            where = split[rendering.clip_id]
            leaks.append(f"rendering: {rendering.name} is in {rendering.split}, its clip in {where}")
    heard = ((piece.drums, piece.split, piece.name) for piece in music if piece.is_paired and piece.drums)
    return leaks + _in_two("drum take", heard)


def _in_two(kind: str, items: Iterable[tuple[str, str, str]]) -> list[str]:
    """Things (key, split, name) whose key occurs in more than one split."""
    seen: dict[str, dict[str, str]] = defaultdict(dict)
    for key, split, name in items:
        seen[key].setdefault(split, name)
    return [
        f"{kind}: " + ", ".join(f"{name} in {split}" for split, name in sorted(where.items()))
        for where in seen.values()
        if len(where) > 1
    ]
