"""The random draws of a tick.

Letters: C plans drawn side by side, N planned positions, K codes, S rounds, Q levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TickNoise:
    """Every random draw of one tick: Gumbel noise ``mask`` [S, C, N, K] and ``residual`` [Q - 1, C, N, K] float32."""

    mask: F32
    residual: F32


def tick_noise(
    seed: int, tick: int, *, iterations: int, levels: int, candidates: int, positions: int, num_codes: int
) -> TickNoise:
    """Draws of tick number ``tick`` of a run with seed ``seed``; equal arguments give equal bytes.

    A counter-based generator keyed by both numbers: what was drawn before does not matter, so a change of the music
    changes nothing in the noise.

    Live: allocates.
    """
    generator = np.random.Generator(np.random.Philox(key=np.array([seed & 0xFFFFFFFFFFFFFFFF, tick], np.uint64)))
    rounds = iterations + levels - 1
    uniform = generator.random((rounds, candidates, positions, num_codes), dtype=np.float32)
    gumbel = -np.log(-np.log(np.clip(uniform, _SMALLEST, _LARGEST)))
    return TickNoise(gumbel[:iterations], gumbel[iterations:])


_SMALLEST, _LARGEST = np.float32(1e-30), np.float32(1.0 - 2.0**-24)


def draw(logits: F32, noise: F32, *, keep: int, temperature: float) -> NDArray[np.int64]:
    """One code per row from the ``keep`` best logits.

    Args:
        logits: [..., K] float32.
        noise: [..., K] Gumbel draws.
        keep: How many of the best codes may be drawn, 1..K.
        temperature: Divides the logits; small is greedy; must be positive.

    Returns:
        [...] int64 codes.
    """
    if keep < logits.shape[-1]:
        limit = np.partition(logits, -keep, axis=-1)[..., -keep, None]
        logits = np.where(logits >= limit, logits, -np.inf)
    return np.asarray(np.argmax(logits / temperature + noise, axis=-1), np.int64)
