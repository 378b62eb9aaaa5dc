"""Everything the data report counts, from a motion store and the music made for it; plain numbers, no drawing.

Minutes are of clean motion. Energy is the mean speed of the 22 joints of the body. The store is read once, a clip at a
time. Not for: windows and the numbers of a run of the preparation (``summary``), limits (``motion_quality``).

Letters: N frames.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.representation import BODY_DIM, CONTACT
from soulstream_engine.motion.skeleton import forward_kinematics
from soulstream_training.data.clips import PAIRING_CLASSES, SPLITS
from soulstream_training.data.kinematic_beats import mean_speed
from soulstream_training.data.music_index import INDEX_NAME as MUSIC_INDEX_NAME
from soulstream_training.data.music_index import MusicEntry, read_music_index
from soulstream_training.data.report_codes import CodeLevel, CodeUsage
from soulstream_training.data.report_joints import JointRange, JointTurns
from soulstream_training.data.report_parts import PartCounts, PartNumbers
from soulstream_training.data.store import Clip, ClipEntry, body_rows, load_clip, read_index
from soulstream_training.data.summary import find_leaks, paired_hours

if TYPE_CHECKING:
    from soulstream_training.models.hrvq import Hrvq

Step = Callable[[str, int, int], None]
"""Progress: what is being done, how many steps of it are done, how many there are."""

LEFT_OUT_NAME = "left_out.json"
MAX_LEFT_OUT_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class Tally:
    """Clips that share a label.

    Attributes:
        name: The label.
        num_clips: Clips.
        minutes: Minutes of clean motion.
        num_kinds: Different other labels among them: styles of a performer, performers of a style or licence.
        energy_mps: Mean speed of the joints over the clean motion, metres a second.
    """

    name: str
    num_clips: int
    minutes: float
    num_kinds: int
    energy_mps: float


@dataclass(frozen=True, slots=True)
class ClipNumbers:
    """What is counted of a clip.

    Attributes:
        entry: Its line of the index.
        energy_mps: Mean speed of the joints over its clean segments, metres a second.
        contact_share: Share of frames in which left ankle, left toe, right ankle and right toe are planted.
    """

    entry: ClipEntry
    energy_mps: float
    contact_share: tuple[float, ...]

    @property
    def minutes(self) -> float:
        """Minutes of clean motion."""
        return self.entry.num_clean_frames / FPS / 60.0


@dataclass(frozen=True, slots=True)
class Pairing:
    """Music of a clip, over its paired renderings: medians of the p values, the share on the beat and the spread.

    ``bpm`` are the slowest and fastest music, beats a minute. All 0 where ``num_paired`` is, the p values 1; class
    ``real`` has a tempo only.
    """

    clip_id: str
    pairing_class: str
    num_renderings: int
    num_paired: int
    bpm: tuple[float, float]
    shift_p: float
    refit_p: float
    on_beat: float
    residual_ms: float


@dataclass(frozen=True, slots=True)
class ReportNumbers:
    """All numbers of a report.

    Attributes:
        clips: In the order of the store.
        joints: Joints 1..21 that were captured in at least one clean frame.
        parts: Hands and face.
        music: Renderings of these clips, those without a grid included; empty without music.
        codes: Levels of the tokenizer, part by part; empty without one.
        left_out: Clip and reason, or ``None`` if the store does not say what was left out.
        leaks: What lies in two splits although it must not.
    """

    clips: tuple[ClipNumbers, ...]
    joints: tuple[JointRange, ...]
    parts: tuple[PartNumbers, ...]
    music: tuple[MusicEntry, ...]
    codes: tuple[CodeLevel, ...]
    left_out: tuple[tuple[str, str], ...] | None
    leaks: tuple[str, ...]

    @property
    def minutes(self) -> float:
        """Minutes of clean motion."""
        return sum(clip.minutes for clip in self.clips)

    @property
    def hours_paired(self) -> float:
        """Hours of motion with music, mirror images included."""
        return paired_hours(self.music)

    @property
    def performers(self) -> list[Tally]:
        """By performer, the longest first; the kinds are styles."""
        return tally(self.clips, lambda entry: entry.performer, lambda entry: entry.style)

    @property
    def styles(self) -> list[Tally]:
        """By style, the longest first; the kinds are performers."""
        return tally(self.clips, lambda entry: entry.style, lambda entry: entry.performer)

    @property
    def licences(self) -> list[Tally]:
        """By licence id, the longest first; the kinds are performers."""
        return tally(self.clips, lambda entry: entry.licence, lambda entry: entry.performer)

    @property
    def splits_and_classes(self) -> dict[tuple[str, str], tuple[int, float]]:
        """Clips and minutes of each split and pairing class that occurs."""
        table = {}
        for split in SPLITS:
            for kind in PAIRING_CLASSES:
                found = [c for c in self.clips if (c.entry.split, c.entry.pairing_class) == (split, kind)]
                if found:
                    table[split, kind] = (len(found), sum(clip.minutes for clip in found))
        return table

    @property
    def pairings(self) -> list[Pairing]:
        """Clips that music was made for, in the order of the store."""
        by_clip: dict[str, list[MusicEntry]] = {clip.entry.clip_id: [] for clip in self.clips}
        for entry in self.music:
            by_clip[entry.clip_id].append(entry)
        return [_pairing(entries) for entries in by_clip.values() if entries]


def gather(
    store_dir: Path, music_dir: Path | None, tokenizer: Hrvq | None = None, on_step: Step | None = None
) -> ReportNumbers:
    """Reads a store and counts.

    Args:
        store_dir: Motion store; ``left_out.json`` beside its index is read if present.
        music_dir: Renderings made for it; nothing is said of music if ``None`` or if there are none.
        tokenizer: In evaluation mode; its codes are counted over the clean segments.
        on_step: Told after every clip.

    Returns:
        The numbers.

    Raises:
        ConfigError: If the store, the music's index or the list of what was left out cannot be read, or the tokenizer
            does not take body features.
        BundleError: If a clip's archive is broken.
        ValueError: If the tokenizer is in training mode.
    """
    entries = read_index(store_dir)
    known = {entry.clip_id for entry in entries}
    has_music = music_dir is not None and (music_dir / MUSIC_INDEX_NAME).is_file()
    music = [e for e in read_music_index(music_dir) if e.clip_id in known] if has_music and music_dir else []
    turns, parts = JointTurns(), PartCounts()
    usage = CodeUsage(tokenizer) if tokenizer is not None else None
    clips = []
    for number, entry in enumerate(entries):
        clip = load_clip(store_dir, entry)
        rows = body_rows(clip)
        clips.append(_clip_numbers(clip, rows))
        turns.add(clip)
        parts.add(clip)
        if usage is not None:
            usage.add(rows)
        if on_step is not None:
            on_step("Counting clips", number + 1, len(entries))
    return ReportNumbers(
        clips=tuple(clips),
        joints=tuple(turns.ranges()),
        parts=parts.numbers(),
        music=tuple(music),
        codes=tuple(usage.levels()) if usage is not None else (),
        left_out=read_left_out(store_dir),
        leaks=tuple(find_leaks(entries, music)),
    )


def tally(
    clips: Iterable[ClipNumbers], label: Callable[[ClipEntry], str], kind: Callable[[ClipEntry], str]
) -> list[Tally]:
    """Groups clips by a label.

    Args:
        clips: Clips.
        label: What they are grouped by.
        kind: What is counted within a group.

    Returns:
        The groups, most minutes first, then by name.
    """
    groups: dict[str, list[ClipNumbers]] = {}
    for clip in clips:
        groups.setdefault(label(clip.entry), []).append(clip)
    tallies = []
    for name, members in groups.items():
        minutes = sum(clip.minutes for clip in members)
        moved = sum(clip.energy_mps * clip.minutes for clip in members)
        kinds = len({kind(clip.entry) for clip in members})
        tallies.append(Tally(name, len(members), minutes, kinds, moved / minutes if minutes else 0.0))
    return sorted(tallies, key=lambda group: (-group.minutes, group.name))


def read_left_out(store_dir: Path) -> tuple[tuple[str, str], ...] | None:
    """What the preparation left out: ``{"left_out": [{"clip_id": ..., "reason": ...}]}`` in ``left_out.json``.

    Args:
        store_dir: Motion store.

    Returns:
        Clip and reason, in the order of the file; ``None`` if there is no such file.

    Raises:
        ConfigError: If the file is too large, cannot be read or holds something else.
    """
    path = store_dir / LEFT_OUT_NAME
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MAX_LEFT_OUT_BYTES:
            raise ValueError(f"it is larger than {MAX_LEFT_OUT_BYTES} bytes")
        records = json.loads(path.read_text(encoding="utf-8"))["left_out"]
        return tuple((str(record["clip_id"]), str(record["reason"])) for record in records)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        message = f"'{path.name}' cannot be read ({error})."
        raise ConfigError("LEFT_OUT_INVALID", message, "Run soulstream-train data prepare again.") from error


def _clip_numbers(clip: Clip, rows: Sequence[NDArray[np.float32]]) -> ClipNumbers:
    joints_m = forward_kinematics(clip.root_m, clip.joint_wxyz)
    speeds = np.concatenate([np.zeros(0), *(mean_speed(joints_m[a:b]) for a, b in clip.segments.tolist())])
    planted = np.concatenate([np.zeros((0, BODY_DIM)), *rows])[:, CONTACT]
    shares = planted.mean(axis=0) if len(planted) else np.zeros(planted.shape[1])
    return ClipNumbers(clip.entry, float(speeds.mean()) if len(speeds) else 0.0, tuple(shares.tolist()))


def _pairing(entries: Sequence[MusicEntry]) -> Pairing:
    paired = [entry for entry in entries if entry.is_paired]
    first = entries[0]
    if not paired:
        return Pairing(first.clip_id, first.pairing_class, len(entries), 0, (0.0, 0.0), 1.0, 1.0, 0.0, 0.0)
    bpm = [entry.bpm for entry in paired]
    return Pairing(
        clip_id=first.clip_id,
        pairing_class=first.pairing_class,
        num_renderings=len(entries),
        num_paired=len(paired),
        bpm=(min(bpm), max(bpm)),
        shift_p=float(np.median([entry.shift_p for entry in paired])),
        refit_p=float(np.median([entry.refit_p for entry in paired])),
        on_beat=float(np.median([entry.on_beat for entry in paired])),
        residual_ms=float(np.median([entry.residual_ms for entry in paired])),
    )
