"""Leaky comb tempogram: how well does the music of the last seconds repeat at a tempo, its fractions and its bar.

Autocorrelations of the onset strengths up to four beats, scored by learned weights for 137 tempi. It decides what a
one-beat model cannot see (3:2, 4:3). Not for: phase. Source of every number: ours; the weights were learned by
conditional logit from drum recordings only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.features.layout import NUM_GROUPS
from soulstream_engine.features.onsets import STEP_RATE

NUM_LAGS = 440
"""Lags 0..4.39 s in steps of 10 ms."""

MEMORY_S = 6.0
_DECAY = float(np.exp(-1.0 / (MEMORY_S * STEP_RATE)))

TEMPI: NDArray[np.float64] = np.asarray(55.0 * 1.01 ** np.arange(137), dtype=np.float64)
"""Candidate tempi, beats a minute, 1 % apart."""

_SAME_BAND: tuple[tuple[float, float], ...] = (
    (1 / 4, -4.7), (1 / 3, 2.4), (1 / 2, -3.6), (2 / 3, 5.8), (3 / 4, 6.6), (1.0, 3.4), (5 / 4, -1.7), (4 / 3, -2.8),
    (3 / 2, 0.9), (2.0, 6.5), (5 / 2, 2.8), (3.0, -1.8), (4.0, 6.6),
)  # fmt: skip
_LOW_TO_MID: tuple[tuple[float, float], ...] = ((1 / 4, 3.0), (1 / 2, 2.6), (1.0, -0.9), (2.0, -1.2))
_LOW_TO_HIGH: tuple[tuple[float, float], ...] = ((1 / 4, 3.8), (1 / 2, 5.3), (1.0, 5.5), (2.0, 2.9))

_RING = 1024


def _comb(weights: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    """Score matrix [tempi, lags]: weight times linear interpolation at each multiple of the beat."""
    comb = np.zeros((len(TEMPI), NUM_LAGS))
    beat = 60.0 * STEP_RATE / TEMPI
    rows = np.arange(len(TEMPI))
    for multiple, weight in weights:
        lag = multiple * beat
        low = np.floor(lag).astype(np.intp)
        share = lag - low
        comb[rows, low] += weight * (1.0 - share)
        comb[rows, low + 1] += weight * share
    return comb


class Tempogram:
    """Running autocorrelations of the four onset strengths; ``scores`` rates every candidate tempo."""

    def __init__(self) -> None:
        # rows of products: 0..3 the groups with themselves; 4, 5 low x mid-high and back; 6, 7 low x high and back
        self._left = np.array([0, 1, 2, 3, 0, 2, 0, 3])
        self._right = np.array([0, 1, 2, 3, 2, 0, 3, 0])
        self._products = np.zeros((len(self._left), NUM_LAGS))
        # newest first: column ``_head + l`` is l steps ago; onsets in rows 0..3, their energies in rows 4..7
        self._history = np.zeros((2 * NUM_GROUPS, _RING))
        self._head = _RING - NUM_LAGS
        self._energy = np.zeros(NUM_GROUPS)
        comb = np.concatenate([_comb(_SAME_BAND), _comb(_LOW_TO_MID), _comb(_LOW_TO_HIGH)], axis=1)
        self._comb = comb.astype(np.float32)
        octaves = np.log2(TEMPI / 125.0)
        self._prior = 2.7 * octaves - 6.8 * octaves**2 / 2.0

    def step(self, onsets: NDArray[np.float64]) -> None:
        """Add one 10 ms step.

        Args:
            onsets: [4] standardised onset strengths (flux over 53 ms).
        """
        if self._head == 0:
            keep = NUM_LAGS - 1
            self._history[:, -keep:] = self._history[:, :keep].copy()
            self._head = _RING - keep
        self._head -= 1
        self._energy *= _DECAY
        self._energy += onsets * onsets
        self._history[:NUM_GROUPS, self._head] = onsets
        self._history[NUM_GROUPS:, self._head] = self._energy
        recent = self._history[:NUM_GROUPS, self._head : self._head + NUM_LAGS]
        self._products *= _DECAY
        self._products += onsets[self._left, None] * recent[self._right]

    def scores(self) -> NDArray[np.float64]:
        """Log probability [tempi] (log softmax of the scores)."""
        energy = self._history[NUM_GROUPS:, self._head : self._head + NUM_LAGS]
        scale = (energy[self._left, :1] + 1.0) * (energy[self._right] + 1.0)
        level = self._products / np.sqrt(scale)
        stacked = np.concatenate([level[:4].mean(axis=0), 0.5 * (level[4] + level[5]), 0.5 * (level[6] + level[7])])
        score = self._comb @ stacked.astype(np.float32) + self._prior
        score -= score.max()
        return np.asarray(score - np.log(np.exp(score).sum()), dtype=np.float64)
