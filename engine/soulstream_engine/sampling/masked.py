"""Draw the planned tokens of one tick: level 0 in the order of time, then one pass for each further level.

A round shows the network what is drawn so far and masks everything later; the next token (all its parts) is kept, and
the last round keeps all that is left. Several plans are drawn side by side; which one is danced is not decided here
(``foresight``). Not for: keeping the stream (``window``) or running the network (a callable is passed in).
Source: masked transformer and residual stage of SoulNet (``method.md`` 5); order of time instead of confidence, ours
(ADR 8).

Letters: C plans, N planned positions (time x part, time-major), P parts, Q levels, K codes. G is 2 when the scores come
with an unconditional half for the guidance, else 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .schedule import F32, TickNoise, draw

Codes = NDArray[np.int64]

MaskScores = Callable[[Codes, F32], F32]
"""(codes [C, N, Q], level seen [C, N, Q]) -> logits [G, C, N, K]: conditional, then unconditional; also for C = 1."""

ResidualScores = Callable[[Codes, F32, int], F32]
"""(codes [C, N, Q], level seen [C, N, Q], level to predict 1..Q-1) -> [G, C, N, K]."""


@dataclass(frozen=True, slots=True)
class SamplerSettings:
    """How a tick is drawn.

    ``iterations`` rounds of level 0: the tokens before the last round are drawn one by one; guidance scales 1
    (conditional only) or more; ``keep_share`` of the codes that may be drawn; temperatures of the two stages.
    """

    iterations: int = 6
    guidance: float = 1.0
    residual_guidance: float = 1.0
    keep_share: float = 0.1
    temperature: float = 1.0
    residual_temperature: float = 0.8


def guided(halves: F32, scale: float) -> F32:
    """Classifier-free guidance: [G, ...] -> [...] ``null + scale * (conditional - null)`` (exact at scale 1)."""
    if scale == 1.0:
        return np.asarray(halves[0])
    return np.asarray(halves[1] + np.float32(scale) * (halves[0] - halves[1]))


def plan_tokens(
    shape: tuple[int, int, int],
    num_parts: int,
    num_codes: int,
    noise: TickNoise,
    settings: SamplerSettings,
    mask_scores: MaskScores,
    residual_scores: ResidualScores,
) -> Codes:
    """All codes of the planned positions, for every plan.

    Args:
        shape: C, N and Q.
        num_parts: P.
        num_codes: K.
        noise: Draws of this tick.
        settings: See ``SamplerSettings``.
        mask_scores: Network of level 0.
        residual_scores: Network of the further levels.

    Returns:
        [C, N, Q] int64. A position that was kept in one round is never drawn again.
    """
    _, positions, levels = shape
    keep = max(1, round(settings.keep_share * num_codes))
    codes = np.zeros(shape, dtype=np.int64)
    seen = np.zeros(shape, dtype=np.float32)
    rounds = min(settings.iterations, positions // num_parts)
    for number in range(rounds):
        first = number * num_parts
        different = slice(None) if number else slice(1)  # before the first draw all plans are one
        logits = guided(mask_scores(codes[different], seen[different]), settings.guidance)[:, first:]
        drawn = draw(logits, noise.mask[number][:, first:], keep=keep, temperature=settings.temperature)
        codes[:, first:, 0] = drawn
        seen[:, : first + num_parts if number < rounds - 1 else positions, 0] = 1.0
    for level in range(1, levels):
        logits = guided(residual_scores(codes, seen, level), settings.residual_guidance)
        drawn = draw(logits, noise.residual[level - 1], keep=keep, temperature=settings.residual_temperature)
        codes[..., level] = drawn
        seen[..., level] = 1.0
    return codes
