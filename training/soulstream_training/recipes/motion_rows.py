"""Motion rows for training: every clean stretch of every clip, and its mirror image, as body features.

Letters: T rows, D 263 body features.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion import representation
from soulstream_engine.motion.mirror import mirror_rows
from soulstream_training.data.store import Clip, load_store

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Stretch:
    """One clean stretch of a clip: ``rows`` [T, D] float32; ``first_frame`` of the clip at row 0.

    ``is_bent`` tells that it was bent in time to fit music.
    """

    clip_id: str
    style: str
    split: str
    is_mirrored: bool
    first_frame: int
    rows: F32
    is_bent: bool = False


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


def clip_stretches(clip: Clip, *, with_mirror: bool, min_rows: int) -> list[Stretch]:
    """Features of the clean stretches of one clip that have at least ``min_rows`` rows."""
    found = []
    entry = clip.entry
    for first, last in clip.segments.tolist():
        if last - first <= min_rows:
            continue
        rows = representation.encode_body(clip.root_m[first:last], clip.joint_wxyz[first:last])
        found.append(Stretch(entry.clip_id, entry.style, entry.split, False, first, rows))
        if with_mirror:
            found.append(Stretch(entry.clip_id, entry.style, entry.split, True, first, mirror_rows(rows)))
    return found


def normalisation(stretches: Iterable[Stretch], feature_weight: float = 5.0) -> tuple[Tensor, Tensor]:
    """Mean per column and standard deviation averaged over each group of columns.

    The deviations of ra, rx/rz, ry and the contacts are divided by ``feature_weight`` so that these columns weigh more
    (``method.md`` 2.5).

    Returns:
        Mean and deviation, [D] float32.
    """
    rows = np.concatenate([stretch.rows for stretch in stretches])
    mean, deviation = rows.mean(0), rows.std(0)
    light = (slice(0, 1), slice(1, 3), slice(3, 4), representation.CONTACT)
    heavy = (representation.BODY_JP, representation.BODY_JR, representation.BODY_JV)
    for group in (*light, *heavy):
        deviation[group] = max(float(deviation[group].mean()), 1e-4)
    for group in light:
        deviation[group] /= feature_weight
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
        starts, weights, offset = [], [], 0
        for stretch in usable:
            count = stretch.rows.shape[0] - frames + 1
            starts.append(torch.arange(offset, offset + count))
            weights.append(torch.full((count,), float(stretch.style == capped_style)))
            offset += stretch.rows.shape[0]
        self.frames = frames
        self.starts = torch.cat(starts)
        capped = torch.cat(weights)
        share = float(capped.mean())
        inside = min(cap, share) / max(share, 1e-9)
        outside = (1.0 - min(cap, share)) / max(1.0 - share, 1e-9)
        self.weights = torch.where(capped > 0, inside, outside).double()
        self.cumulative = torch.cumsum(self.weights, 0)

    def draw(self, batch: int, generator: torch.Generator) -> Tensor:
        """[batch, frames, D] float32."""
        target = torch.rand(batch, generator=generator, dtype=torch.double) * self.cumulative[-1]
        picks = torch.searchsorted(self.cumulative, target).clamp(max=self.starts.shape[0] - 1)
        index = self.starts[picks][:, None] + torch.arange(self.frames)[None]
        return self.rows[index]
