"""Attention of many plans over one shared cache: what ``models.attention`` computes, without copying the cache.

All plans ask the same committed keys, so their queries are laid side by side: one product for each head instead of one
for each plan and head. Rows are flat [G x C x N, W] wherever a layer does not care who they belong to.

Letters: G halves, C plans, N planned positions, M cached positions, H heads, E head width, W width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from soulstream_training.models.attention import Attention, Block


@dataclass(frozen=True)
class Sides:
    """Sizes of the rows: ``halves`` G, ``plans`` C, ``positions`` N."""

    halves: int
    plans: int
    positions: int

    def heads_of(self, rows: Tensor, heads: int) -> Tensor:
        """Flat rows [G x C x N, W] -> [G, H, C x N, E]."""
        asked = self.plans * self.positions
        return rows.view(self.halves, asked, heads, rows.shape[-1] // heads).transpose(1, 2)

    def apart(self, rows: Tensor) -> Tensor:
        """[G, H, C x N, E] -> [G, H, C, N, E]."""
        halves, heads, _, width = rows.shape
        return rows.view(halves, heads, self.plans, self.positions, width)


def run_block(
    block: Block,
    x: Tensor,
    sides: Sides,
    past: tuple[Tensor, Tensor],
    bias: Tensor,
    music: tuple[Tensor, Tensor],
    music_bias: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """One transformer block.

    Args:
        block: Its weights.
        x: Rows [G x C x N, W].
        sides: How the rows are laid out.
        past: Cached keys and values [G, H, M, E], the same for all plans.
        bias: [H, N, M + N] for the cached and the plan's own positions.
        music: Keys and values of the music [G, H, music, E].
        music_bias: [H, N, music].

    Returns:
        Rows [G x C x N, W]; keys and values of the first plan's positions [G, H, N, E].
    """
    normal = block.norm_self(x)
    attention = block.attend_self
    asked = _scaled_queries(attention, normal, sides)
    key, value = (
        sides.apart(sides.heads_of(rows, attention.heads)) for rows in attention.key_value(normal).chunk(2, dim=-1)
    )
    cached = sides.apart(asked @ past[0].transpose(-1, -2))
    own = sides.apart(asked) @ key.transpose(-1, -2)
    weights = torch.softmax(torch.cat([cached, own], -1) + bias[:, None], -1)
    split = past[0].shape[2]
    heard = weights[..., :split].flatten(2, 3) @ past[1] + (weights[..., split:] @ value).flatten(2, 3)
    x = x + attention.out(_rows(heard))
    x = x + _hear(block.attend_music, block.norm_music(x), sides, music, music_bias)
    return x + block.feed(block.norm_feed(x)), key[:, :, 0], value[:, :, 0]


def _hear(attention: Attention, rows: Tensor, sides: Sides, music: tuple[Tensor, Tensor], bias: Tensor) -> Tensor:
    """Attention to the music alone: rows [G x C x N, W] -> the same."""
    scores = sides.apart(_scaled_queries(attention, rows, sides) @ music[0].transpose(-1, -2))
    weights = torch.softmax(scores + bias[:, None], -1).flatten(2, 3)
    heard: Tensor = attention.out(_rows(weights @ music[1]))
    return heard


def _scaled_queries(attention: Attention, rows: Tensor, sides: Sides) -> Tensor:
    """[G x C x N, W] -> [G, H, C x N, E], divided by the root of E."""
    width = rows.shape[-1] // attention.heads
    return sides.heads_of(attention.query(rows) * width**-0.5, attention.heads)


def _rows(heard: Tensor) -> Tensor:
    """[G, H, C x N, E] -> rows [G x C x N, W]."""
    return heard.transpose(1, 2).flatten(2).flatten(0, 1)
