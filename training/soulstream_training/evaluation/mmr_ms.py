"""MMR-MS: how well a dance goes with its music second by second, by the latents of the retrieval model; less is better.

Latents are of unit length, because retrieval learns angles alone (ours; the released score takes them as they are, and
its numbers cannot be compared). Not for: which of many dances fits best (``retrieval``).

Letters: S segments of a second, T frames, D motion columns, F music columns, W width of a latent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_training.models.mmr import Mmr

from .mmr_latents import encode

F32 = NDArray[np.float32]

LEVEL, CHANGE = 0.7, 0.3
"""Weights of how far apart the latents are and of how differently they move (``method.md`` 8.1)."""


def mmr_ms(motion: NDArray[np.floating], music: NDArray[np.floating]) -> float:
    """Score of one dance (``method.md`` 8.1).

    Args:
        motion: [S, W] latents of its seconds.
        music: [S, W] latents of the same seconds of the music.

    Returns:
        ``sqrt(0.7 mean_t |z_t - m_t|^2 + 0.3 sum_t |(z_t - z_{t-1}) - (m_t - m_{t-1})|)``; 0 where they are the same.

    Raises:
        ValueError: If the shapes differ or there is no segment.
    """
    if motion.shape != music.shape or motion.ndim != 2 or len(motion) == 0:
        raise ValueError(f"motion {motion.shape} and music {music.shape} must be [S, W] alike, S at least 1")
    apart = np.asarray(motion, np.float64) - np.asarray(music, np.float64)
    level = float((apart**2).sum(1).mean())
    change = float(np.linalg.norm(np.diff(apart, axis=0), axis=1).sum())
    return float(np.sqrt(LEVEL * level + CHANGE * change))


def dance_ms(model: Mmr, rows: F32, music: F32) -> float:
    """Score of a dance and the music of its frames.

    Args:
        model: In evaluation mode; reads live features.
        rows: [T, D] motion rows, a second at least.
        music: [T, F] feature rows of the same frames.

    Raises:
        ValueError: If there is not a whole second, or the lengths differ.
    """
    if len(rows) != len(music) or len(rows) < FPS:
        raise ValueError(f"{len(rows)} motion rows and {len(music)} of music; equal numbers are needed, {FPS} at least")
    seconds = [slice(first, first + FPS) for first in range(0, len(rows) - FPS + 1, FPS)]
    motion = encode(model.motion, [rows[second] for second in seconds])
    heard = encode(model.music, [music[second] for second in seconds])
    return mmr_ms(_unit(motion), _unit(heard))


def _unit(latents: F32) -> F32:
    return np.asarray(latents / np.maximum(np.linalg.norm(latents, axis=1, keepdims=True), 1e-12), dtype=np.float32)
