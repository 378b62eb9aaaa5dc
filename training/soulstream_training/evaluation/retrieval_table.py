"""The retrieval table (the paper's Table 8): both directions, three protocols, every class of pairs apart.

Windows of five seconds that do not overlap, of songs that no model has heard. Not for: ranks (``retrieval``), what the
score reacts to (``retrieval_checks``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soulstream_training.models.mmr import Mmr
from soulstream_training.recipes.mmr_pairs import Pair

from .mmr_latents import PairWindow, cut_windows, encode_windows
from .retrieval import (
    DIRECTIONS,
    RetrievalScores,
    cosine_similarity,
    dissimilar,
    full_gallery,
    in_batches,
    permutation_p,
)

CLASSES = ("A", "B", "real")


def retrieval_rows(model: Mmr, pairs: Sequence[Pair], seed: int = 0) -> list[dict[str, Any]]:
    """The table.

    Args:
        model: In evaluation mode; reads live features.
        pairs: Of the split that is judged.
        seed: Of the batches and permutations.

    Returns:
        One dictionary for each direction, protocol and class that has at least two windows, with the scores, the number
        of ``windows`` and of ``songs``, and ``p``: how likely a random pairing of one window a song ranks as well
        (``None`` for a single song).
    """
    rows = []
    for kind in CLASSES:
        windows = cut_windows([pair for pair in pairs if pair.entry.pairing_class == kind])
        if len(windows) < 2:
            continue
        motion, music = encode_windows(model, windows)
        single = one_a_song(windows, seed)
        for direction in DIRECTIONS:
            similar = cosine_similarity(motion[single], music[single])
            asked = similar if direction == "d2m" else similar.T
            about = {
                "class": kind,
                "windows": len(windows),
                "songs": len(single),
                "p": round(permutation_p(asked, seed=seed), 4) if len(single) > 1 else None,
            }
            embedding = music_embedding(windows)
            for protocol, scores in (
                ("full", full_gallery(motion, music, direction)),
                ("batch32", in_batches(motion, music, direction, seed=seed)),
                ("dissimilar100", dissimilar(motion, music, direction, embedding=embedding)),
            ):
                rows.append({"direction": direction, "protocol": protocol} | about | _rounded(scores))
    return rows


def one_a_song(windows: Sequence[PairWindow], seed: int) -> NDArray[np.int64]:
    """Index of one window of each song, drawn: windows of one song are not independent."""
    order = np.random.default_rng(seed).permutation(len(windows))
    first = {windows[number].pair.song: number for number in order[::-1]}
    return np.array(sorted(first.values()), dtype=np.int64)


def music_embedding(windows: Sequence[PairWindow]) -> NDArray[np.float64]:
    """Music averaged over each window, columns of deviation 1: [N, F]."""
    mean = np.stack([window.music.mean(0) for window in windows]).astype(np.float64)
    return np.asarray((mean - mean.mean(0)) / np.maximum(mean.std(0), 1e-3))


def _rounded(scores: RetrievalScores) -> dict[str, Any]:
    return {name: value if isinstance(value, int) else round(value, 2) for name, value in asdict(scores).items()}
