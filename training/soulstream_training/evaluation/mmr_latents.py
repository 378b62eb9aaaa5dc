"""Windows of pairs as latents, and how the score of a window falls when its music is moved off the beat.

Not for: ranks (``retrieval``), the table (``retrieval_table``).

Letters: N windows, T frames, D motion columns, F music columns, W width of a latent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from soulstream_training.models.mmr import LatentEncoder, Mmr
from soulstream_training.recipes.mmr_pairs import Pair, shifted_music

F32 = NDArray[np.float32]

WINDOW_FRAMES = 150
"""Five seconds (``method.md`` 6.3)."""

CHUNK = 64


@dataclass(frozen=True, slots=True)
class PairWindow:
    """``frames`` of a pair from row ``start`` on."""

    pair: Pair
    start: int
    frames: int = WINDOW_FRAMES

    @property
    def heard(self) -> int:
        """Music row at the window's first frame."""
        return self.pair.first + self.start

    @property
    def motion(self) -> F32:
        """[T, D]."""
        return self.pair.rows[self.start : self.start + self.frames]

    @property
    def music(self) -> F32:
        """[T, F]."""
        return self.pair.music[self.heard : self.heard + self.frames]

    def music_moved(self, beats: float) -> F32:
        """[T, F] of the same rendering, ``beats`` later."""
        return shifted_music(self.pair, self.heard, self.frames, beats)


def cut_windows(pairs: Iterable[Pair], stride: int = WINDOW_FRAMES, frames: int = WINDOW_FRAMES) -> list[PairWindow]:
    """All whole windows of every pair, ``stride`` frames apart; without a stride of their own they do not overlap."""
    return [
        PairWindow(pair, start, frames) for pair in pairs for start in range(0, len(pair.rows) - frames + 1, stride)
    ]


def encode(encoder: LatentEncoder, rows: Sequence[F32]) -> F32:
    """Means [N, W] of windows of equal length."""
    with torch.no_grad():
        parts = [
            encoder(torch.from_numpy(np.stack(rows[first : first + CHUNK]))).mu for first in range(0, len(rows), CHUNK)
        ]
    return torch.cat(parts).float().numpy()


def encode_windows(model: Mmr, windows: Sequence[PairWindow], *, reads_heavy: bool = False) -> tuple[F32, F32]:
    """Latents of motion and music, [N, W] each.

    Args:
        model: In evaluation mode.
        windows: At least one.
        reads_heavy: Whether the music encoder reads the pairs' offline features.
    """
    music = [_heavy(window) if reads_heavy else window.music for window in windows]
    return encode(model.motion, [window.motion for window in windows]), encode(model.music, music)


def _heavy(window: PairWindow) -> F32:
    if window.pair.heavy is None:
        raise ValueError(f"'{window.pair.entry.name}' has no offline features; name their folder")
    return window.pair.heavy[window.heard : window.heard + window.frames]


def cosine(left: F32, right: F32) -> F32:
    """Cosine of each row with the row beside it, [N]."""
    size = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
    return np.asarray((left * right).sum(-1) / np.maximum(size, 1e-12), dtype=np.float32)


def half_beat_drop(model: Mmr, windows: Sequence[PairWindow], motion: F32, music: F32) -> float:
    """Share of windows whose score falls when the music is moved by half a beat, earlier and later.

    Args:
        model: In evaluation mode; its music encoder reads live features.
        windows: N windows.
        motion: Their latents [N, W].
        music: Their latents [N, W].

    Returns:
        0..1; each direction counts for half a window.
    """
    true = cosine(motion, music)
    moved = [
        cosine(motion, encode(model.music, [window.music_moved(beats) for window in windows])) for beats in (-0.5, 0.5)
    ]
    return float(np.mean([other < true for other in moved]))
