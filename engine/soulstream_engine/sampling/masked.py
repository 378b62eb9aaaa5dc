"""Draw the planned tokens of one tick: unmasking rounds for level 0, one pass for each further level.

Not for: keeping the stream (``window.py``) or running the network (a callable is passed in).
Source: MaskGIT-style sampling as in SoulNet (``method.md`` 5.4 and 5.5), with s / S rounds.

Letters: N planned positions (time x part), Q levels, K codes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .schedule import F32, TickNoise, draw, masked_count

Codes = NDArray[np.int64]

MaskScores = Callable[[Codes, F32], F32]
"""(codes [N, Q], level seen [N, Q]) -> logits of both halves [2, N, K]: conditional, then unconditional."""

ResidualScores = Callable[[Codes, F32, int], F32]
"""(codes [N, Q], level seen [N, Q], level to predict 1..Q-1) -> [2, N, K]."""


@dataclass(frozen=True, slots=True)
class SamplerSettings:
    """How a tick is drawn.

    ``iterations`` unmasking rounds; guidance scales 1 (conditional only) or more; ``keep_share`` of the codes that may
    be drawn; temperatures of the two stages; ``remembered`` committed tokens that are looked at (0: the whole
    context). A dancer who remembers little must listen: the phase of her steps no longer tells her where the beat is.
    """

    iterations: int = 6
    guidance: float = 2.0
    residual_guidance: float = 1.5
    keep_share: float = 0.1
    temperature: float = 1.0
    residual_temperature: float = 0.8
    remembered: int = 0


def guided(both: F32, scale: float) -> F32:
    """Classifier-free guidance: [2, N, K] -> [N, K] ``null + scale * (conditional - null)`` (exact at scale 1)."""
    if scale == 1.0:
        return np.asarray(both[0])
    return np.asarray(both[1] + np.float32(scale) * (both[0] - both[1]))


def confidence_of(logits: F32, codes: Codes) -> F32:
    """Probability of the drawn codes under the unfiltered guided logits: [N, K], [N] -> [N]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    weights = np.exp(shifted)
    chosen = np.take_along_axis(weights, codes[:, None], axis=1)[:, 0]
    return np.asarray(chosen / weights.sum(axis=1), dtype=np.float32)


def plan_tokens(
    num_positions: int,
    levels: int,
    num_codes: int,
    noise: TickNoise,
    settings: SamplerSettings,
    mask_scores: MaskScores,
    residual_scores: ResidualScores,
) -> Codes:
    """All codes of the planned positions.

    Args:
        num_positions: N.
        levels: Q.
        num_codes: K.
        noise: Draws of this tick.
        settings: See ``SamplerSettings``.
        mask_scores: Network of level 0.
        residual_scores: Network of the further levels.

    Returns:
        [N, Q] int64. A position that was kept in one round is never drawn again.
    """
    keep = max(1, round(settings.keep_share * num_codes))
    codes = np.zeros((num_positions, levels), dtype=np.int64)
    seen = np.zeros((num_positions, levels), dtype=np.float32)
    confidence = np.zeros(num_positions, dtype=np.float32)
    for iteration in range(settings.iterations):
        count = masked_count(iteration, settings.iterations, num_positions)
        open_positions = np.argsort(confidence, kind="stable")[:count]
        confidence[:] = np.inf
        seen[open_positions, 0] = 0.0
        logits = guided(mask_scores(codes, seen), settings.guidance)
        drawn = draw(logits, noise.mask[iteration], keep=keep, temperature=settings.temperature)
        codes[open_positions, 0] = drawn[open_positions]
        seen[open_positions, 0] = 1.0
        confidence[open_positions] = confidence_of(logits, drawn)[open_positions]
    for level in range(1, levels):
        logits = guided(residual_scores(codes, seen, level), settings.residual_guidance)
        codes[:, level] = draw(logits, noise.residual[level - 1], keep=keep, temperature=settings.residual_temperature)
        seen[:, level] = 1.0
    return codes
