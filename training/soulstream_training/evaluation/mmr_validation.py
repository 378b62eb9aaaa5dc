"""What a retrieval model's training watches: retrieval in small batches of held-out windows, and the half-beat test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from soulstream_training.models.mmr import Mmr
from soulstream_training.recipes.mmr_pairs import Pair

from .mmr_latents import cut_windows, encode_windows, half_beat_drop
from .retrieval import BATCH_SIZE, DIRECTIONS, cosine_similarity, in_batches

MAX_WINDOWS = 384
"""A validation takes seconds, not minutes (ours)."""
TEMPERATURE = 0.1
"""Of the loss (``losses.mmr``)."""


def held_out_numbers(model: Mmr, pairs: Sequence[Pair], reads_heavy: bool = False) -> dict[str, float]:
    """R@1 in percent and MedR in batches of 32, the half-beat test, and an InfoNCE loss to choose weights by.

    Args:
        model: In evaluation mode, gradients off.
        pairs: Held out.
        reads_heavy: Whether the music encoder reads offline features.
    """
    windows = cut_windows(pairs)
    windows = [
        windows[number] for number in np.linspace(0, len(windows) - 1, min(len(windows), MAX_WINDOWS)).astype(int)
    ]
    motion, music = encode_windows(model, windows, reads_heavy=reads_heavy)
    found: dict[str, float] = {}
    for direction in DIRECTIONS:
        scores = in_batches(motion, music, direction, seed=0)
        found |= {f"r1_{direction}": scores.r1, f"medr_{direction}": scores.medr}
    logits = cosine_similarity(motion, music) / TEMPERATURE
    order = np.random.default_rng(0).permutation(len(logits))
    batches = [logits[np.ix_(part, part)] for part in np.array_split(order, max(1, len(order) // BATCH_SIZE))]
    losses = [np.log(np.exp(part).sum(axis)) - np.diag(part) for part in batches for axis in (0, 1)]
    drop = 0.0 if reads_heavy else half_beat_drop(model, windows, motion, music)
    return {
        "loss": float(np.mean(np.concatenate(losses))),
        **found,
        "half_beat_drop": drop,
    }
