"""Attention blocks that read a cache: self-attention over committed and planned tokens, cross-attention to music.

Distances, not positions, tell when things happen: every score gets a learned bias for (query time - key time), so
cached keys and values never have to be recomputed and a stream may run for ever (relative bias as in T5, Raffel et al.
2020).

Letters: B batch, N query positions, M key positions, H heads, E head width, W model width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KeyValue = tuple[Tensor, Tensor]
"""Keys and values, each [B, H, M, E]."""


class RelativeBias(nn.Module):
    """Learned bias per head for the distance between two tokens, clamped to a range.

    Args:
        heads: H.
        earliest: Smallest distance told apart (negative: the key lies in the query's future).
        latest: Largest distance told apart.
    """

    def __init__(self, heads: int, earliest: int, latest: int) -> None:
        super().__init__()
        self.earliest = earliest
        self.latest = latest
        self.table = nn.Parameter(torch.zeros(latest - earliest + 1, heads))

    def forward(self, distance: Tensor) -> Tensor:
        """Integer distances [N, M] (query minus key, tokens) -> bias [H, N, M]."""
        return self.table[distance.clamp(self.earliest, self.latest) - self.earliest].permute(2, 0, 1)


class Attention(nn.Module):
    """Multi-head attention whose keys and values may come from a cache.

    Args:
        width: W.
        heads: H; must divide W.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of {heads} heads")
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def project(self, x: Tensor) -> KeyValue:
        """[B, M, W] -> keys and values [B, H, M, E]."""
        key, value = self.key_value(x).chunk(2, dim=-1)
        return self._split(key), self._split(value)

    def _split(self, x: Tensor) -> Tensor:
        batch, steps, width = x.shape
        return x.view(batch, steps, self.heads, width // self.heads).transpose(1, 2)

    def forward(self, x: Tensor, key_value: KeyValue, bias: Tensor) -> Tensor:
        """Attend.

        Args:
            x: [B, N, W] queries.
            key_value: Keys and values [B, H, M, E].
            bias: Added to the scores, [B or 1, H, N, M]; -inf where a query may not look.

        Returns:
            [B, N, W].
        """
        key, value = key_value
        out = F.scaled_dot_product_attention(self._split(self.query(x)), key, value, attn_mask=bias)
        return self.out(out.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm transformer block: self-attention, music cross-attention, feed-forward.

    Args:
        width: W.
        heads: H.
        hidden: Width of the feed-forward part.
        dropout: Dropout of the residual branches (dropping attention weights costs 40 % of a step on a CPU).
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm_self = nn.LayerNorm(width)
        self.attend_self = Attention(width, heads)
        self.norm_music = nn.LayerNorm(width)
        self.attend_music = Attention(width, heads)
        self.norm_feed = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.drop = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, past: KeyValue | None, bias: Tensor, music: KeyValue, music_bias: Tensor
    ) -> tuple[Tensor, KeyValue]:
        """One block.

        Args:
            x: [B, N, W] the positions computed now.
            past: Cached keys and values of committed positions (placed before the new ones), or ``None``.
            bias: [B or 1, H, N, M] for past and new positions together.
            music: Keys and values of the music tokens for this block.
            music_bias: [B or 1, H, N, music tokens].

        Returns:
            [B, N, W] and the keys and values of the new positions, to be cached when they are committed.
        """
        normal = self.norm_self(x)
        new = self.attend_self.project(normal)
        keys = new if past is None else (torch.cat([past[0], new[0]], 2), torch.cat([past[1], new[1]], 2))
        x = x + self.drop(self.attend_self(normal, keys, bias))
        x = x + self.drop(self.attend_music(self.norm_music(x), music, music_bias))
        return x + self.drop(self.feed(self.norm_feed(x))), new
