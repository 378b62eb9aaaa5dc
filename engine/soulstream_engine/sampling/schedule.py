"""How many tokens stay masked after each unmasking round, and the random draws of a tick.

Letters: N planned positions, K codes, S iterations, Q levels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def masked_count(iteration: int, iterations: int, positions: int) -> int:
    """Positions that are (re-)drawn in one unmasking round.

    Args:
        iteration: Round, 0-based, ``0 <= iteration < iterations``.
        iterations: Rounds in a tick, at least 1.
        positions: Planned positions, at least 1.

    Returns:
        ``positions`` in round 0, then fewer along a cosine, at least 1.

    Raises:
        ValueError: If ``iteration`` is outside its range.

    Source: cosine schedule of MaskGIT (Chang et al., 2022), with s / S so that no round is wasted (``method.md`` 12.4).
    Live: pure, no allocation.
    """
    if not 0 <= iteration < iterations:
        raise ValueError(f"iteration {iteration} is not in 0..{iterations - 1}")
    return max(1, round(math.cos(math.pi * iteration / (2 * iterations)) * positions))


@dataclass(frozen=True, slots=True)
class TickNoise:
    """Every random draw of one tick: Gumbel noise ``mask`` [S, N, K] and ``residual`` [Q - 1, N, K] float32."""

    mask: F32
    residual: F32


def tick_noise(seed: int, tick: int, *, iterations: int, levels: int, positions: int, num_codes: int) -> TickNoise:
    """Draws of tick number ``tick`` of a run with seed ``seed``; equal arguments give equal bytes.

    A counter-based generator keyed by both numbers: what was drawn before does not matter, so a change of the music
    changes nothing in the noise.

    Live: allocates.
    """
    generator = np.random.Generator(np.random.Philox(key=np.array([seed & 0xFFFFFFFFFFFFFFFF, tick], np.uint64)))
    rounds = iterations + levels - 1
    gumbel = generator.gumbel(size=(rounds, positions, num_codes)).astype(np.float32)
    return TickNoise(gumbel[:iterations], gumbel[iterations:])


def draw(logits: F32, noise: F32, *, keep: int, temperature: float) -> NDArray[np.int64]:
    """One code per row from the ``keep`` best logits.

    Args:
        logits: [N, K] float32.
        noise: [N, K] Gumbel draws.
        keep: How many of the best codes may be drawn, 1..K.
        temperature: Divides the logits; small is greedy; must be positive.

    Returns:
        [N] int64 codes.
    """
    if keep < logits.shape[1]:
        limit = np.partition(logits, -keep, axis=1)[:, -keep, None]
        logits = np.where(logits >= limit, logits, -np.inf)
    return np.asarray(np.argmax(logits / temperature + noise, axis=1), np.int64)
