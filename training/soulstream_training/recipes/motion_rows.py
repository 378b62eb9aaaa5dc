"""Motion rows for training: every clean stretch of every clip, and its mirror image, as features.

Rows hold the body alone, or body, hands and face in model order. With each stretch goes a weight for every column: 0
where a joint was not captured, little where a rule made hands or face.

Letters: T rows, D features (263 of the body, 675 with hands and an ``arkit52`` face), S stretches.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion import representation
from soulstream_engine.motion.faces import FACE_SPACES
from soulstream_engine.motion.mirror import MIRROR_JOINTS, mirror_rows
from soulstream_engine.motion.skeleton import CONTACT_JOINTS, NUM_BODY_JOINTS
from soulstream_training.data.store import Clip, load_store

F32 = NDArray[np.float32]

MIRRORED_FACES = ("arkit52",)
"""Face spaces whose mirror image is known."""

RULE_WEIGHT = 0.1
"""Worth of hands and face that were made by rule. Source: ours; a rule is easy to learn and worth no more."""


@dataclass(frozen=True)
class Stretch:
    """One clean stretch of a clip: ``rows`` [T, D] float32; ``first_frame`` of the clip at row 0.

    ``weight`` [D] float32 tells how much each column is worth, ``None`` that all were captured; ``is_bent`` that it was
    bent in time to fit music.
    """

    clip_id: str
    style: str
    split: str
    is_mirrored: bool
    first_frame: int
    rows: F32
    is_bent: bool = False
    weight: F32 | None = None


def load_clips(folder: Path, splits: tuple[str, ...]) -> list[Clip]:
    """Clips of the prepared store that belong to the splits.

    Raises:
        ConfigError: If there are none.
    """
    clips = load_store(folder, splits)
    if not clips:
        raise ConfigError(
            "STORE_EMPTY", f"No clips of {splits} in {folder}.", "Run soulstream-train data prepare first."
        )
    return clips


def clip_stretches(
    clip: Clip, *, with_mirror: bool, min_rows: int, columns: str = "body", rule_weight: float = RULE_WEIGHT
) -> list[Stretch]:
    """Features of the clean stretches of one clip that have at least ``min_rows`` rows.

    Args:
        clip: Of the store.
        with_mirror: Whether each stretch is followed by its mirror image.
        min_rows: Shorter stretches are left out.
        columns: ``body`` alone, body and hands (``none``), or these and a face of that space.
        rule_weight: What a frame of hands or face is worth that nobody captured.

    Returns:
        The stretches; a clip is also cut where hands or face change from captured to made by rule. A face whose mirror
        image is not known (FLAME's) is worth nothing in a mirror image.

    Raises:
        ConfigError: If the clip's face is of another space.
    """
    found = []
    entry = clip.entry
    whole = columns != "body"
    check_face_space(clip, columns)
    for first, last in _pieces(clip, whole):
        if last - first <= min_rows:
            continue
        frames = slice(first, last)
        if whole:
            joints = np.concatenate([clip.joint_wxyz[frames], clip.finger_wxyz[frames]], axis=1)
            face = clip.face[frames] if columns in FACE_SPACES else np.zeros((last - first, 0), np.float32)
            rows = representation.encode(clip.root_m[frames], joints, face)
        else:
            rows = representation.encode_body(clip.root_m[frames], clip.joint_wxyz[frames])
        parts = np.where(clip.synthetic[first], rule_weight, 1.0)
        weight = column_weights(clip.captured, rows.shape[1], *parts.tolist())
        plain = Stretch(entry.clip_id, entry.style, entry.split, False, first, rows, weight=weight)
        found.append(plain)
        if with_mirror:
            hands, face_worth = parts.tolist()
            other = column_weights(
                clip.captured[MIRROR_JOINTS], rows.shape[1], hands, face_worth * (columns in MIRRORED_FACES)
            )
            found.append(replace(plain, is_mirrored=True, rows=mirrored(rows, columns), weight=other))
    return found


def check_face_space(clip: Clip, columns: str) -> None:
    """Refuses a clip whose face cannot fill the columns that are asked for.

    Raises:
        ConfigError: If the clip's face is of another space.
    """
    entry = clip.entry
    if columns in FACE_SPACES and entry.face_space != columns:
        raise ConfigError(
            "FACE_SPACE",
            f"'{entry.clip_id}' has a face of the space '{entry.face_space}', the recipe asks for '{columns}'.",
            "Set face_space alike in both recipes.",
        )


def mirrored(rows: F32, columns: str) -> F32:
    """Mirror image of rows [T, D] (``columns`` as in ``clip_stretches``); a face that has none is left as it is."""
    if columns in ("body", *MIRRORED_FACES):
        return mirror_rows(rows)
    split = representation.FACE_START
    return np.concatenate([mirror_rows(rows[:, :split]), rows[:, split:]], axis=1)


def _pieces(clip: Clip, whole: bool) -> list[tuple[int, int]]:
    """Half-open ranges of frames that are clean and alike in what was captured."""
    changes = np.flatnonzero(np.diff(clip.synthetic, axis=0).any(axis=1)) + 1 if whole else np.zeros(0, int)
    pieces: list[tuple[int, int]] = []
    for first, last in clip.segments.tolist():
        edges = [first, *changes[(changes > first) & (changes < last)].tolist(), last]
        pieces += itertools.pairwise(edges)
    return pieces


def column_weights(captured: NDArray[np.bool_], num_columns: int, hands: float = 1.0, face: float = 1.0) -> F32:
    """What each column of a row is worth.

    Args:
        captured: [52] which joints were captured; those of the hands are weighed by ``hands`` alone.
        num_columns: D, 263 or at least 623.
        hands: Worth of the hands.
        face: Worth of the face.

    Returns:
        [D] float32.
    """
    weight = np.ones(num_columns, dtype=np.float32)
    body = captured[:NUM_BODY_JOINTS].astype(np.float32)
    weight[representation.BODY_JP] = np.repeat(body[1:], 3)
    weight[representation.BODY_JR] = np.repeat(body[1:], 6)
    weight[representation.BODY_JV] = np.repeat(body, 3)
    weight[representation.CONTACT] = body[list(CONTACT_JOINTS)]
    if num_columns > representation.BODY_DIM:
        weight[representation.HANDS] = hands
        weight[representation.FACE_START :] = face
    return weight


def normalisation(stretches: Iterable[Stretch], feature_weight: float = 5.0) -> tuple[Tensor, Tensor]:
    """Mean per column and standard deviation averaged over each group of columns.

    Columns that are worth nothing in a stretch are not looked at there. The deviations of ra, rx/rz, ry and the
    contacts are divided by ``feature_weight`` so that these columns weigh more (``method.md`` 2.5).

    Returns:
        Mean and deviation, [D] float32.
    """
    stretches = list(stretches)
    if not stretches:
        raise ConfigError("STRETCHES_EMPTY", "No clip has a stretch to learn from.", "Prepare longer clips.")
    size = stretches[0].rows.shape[1]
    count, total, square = np.zeros(size), np.zeros(size), np.zeros(size)
    for stretch in stretches:
        known = np.ones(size) if stretch.weight is None else stretch.weight > 0
        rows = stretch.rows.astype(np.float64)
        count, total, square = count + known * len(rows), total + known * rows.sum(0), square + known * (rows**2).sum(0)
    mean = total / np.maximum(count, 1)
    deviation = np.sqrt(np.maximum(square / np.maximum(count, 1) - mean**2, 0.0))
    layout = representation.Layout()
    for name, group in layout.groups.items():
        columns = slice(group.start, min(group.stop, size) if name != "face" else size)
        if columns.start >= size:
            continue
        deviation[columns] = max(float(deviation[columns].mean()), 1e-4)
        if name in ("ra", "rxz", "ry", "contact"):
            deviation[columns] /= feature_weight
    return torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(deviation.astype(np.float32))


class WindowSampler:
    """Draws windows of motion, every start equally likely within a style, one style held to at most a share.

    Args:
        stretches: Where windows come from.
        frames: Rows in a window.
        capped_style: Style whose share is limited.
        cap: Largest share of windows of that style: CMU alone has 12.7 minutes of salsa in 15.6, and a third would show
            the rest nine times as often.
    """

    def __init__(self, stretches: list[Stretch], frames: int, capped_style: str = "salsa", cap: float = 0.5) -> None:
        usable = [stretch for stretch in stretches if stretch.rows.shape[0] >= frames]
        if not usable:
            raise ConfigError("WINDOWS_EMPTY", f"No stretch has {frames} rows.", "Use shorter windows.")
        self.rows = torch.from_numpy(np.concatenate([stretch.rows for stretch in usable]))
        ones = np.ones(self.rows.shape[1], np.float32)
        self.worth = torch.from_numpy(np.stack([ones if s.weight is None else s.weight for s in usable]))
        starts, weights, owners, offset = [], [], [], 0
        for number, stretch in enumerate(usable):
            count = stretch.rows.shape[0] - frames + 1
            starts.append(torch.arange(offset, offset + count))
            owners.append(torch.full((count,), number))
            weights.append(torch.full((count,), float(stretch.style == capped_style)))
            offset += stretch.rows.shape[0]
        self.frames = frames
        self.starts, self.owners = torch.cat(starts), torch.cat(owners)
        capped = torch.cat(weights)
        share = float(capped.mean())
        inside = min(cap, share) / max(share, 1e-9)
        outside = (1.0 - min(cap, share)) / max(1.0 - share, 1e-9)
        self.weights = torch.where(capped > 0, inside, outside).double()
        self.cumulative = torch.cumsum(self.weights, 0)

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Rows [batch, frames, D] float32, and what their columns are worth [batch, D]."""
        target = torch.rand(batch, generator=generator, dtype=torch.double) * self.cumulative[-1]
        picks = torch.searchsorted(self.cumulative, target).clamp(max=self.starts.shape[0] - 1)
        index = self.starts[picks][:, None] + torch.arange(self.frames)[None]
        return self.rows[index], self.worth[self.owners[picks]]
