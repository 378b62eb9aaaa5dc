"""Who may look at whom: the geometry of a tick, as index tensors shared by training and streaming.

A *tick* starts at token time ``k0`` (a multiple of ``commit``). It plans ``planned`` tokens from ``k0`` on, looking at
the ``context`` committed tokens before ``k0``, and commits the first ``commit`` of them. Music is seen as tokens of
the same four frames: up to ``k0 - fresh_past - 1`` from a cache that only grows, the last ``fresh_past`` and the
coming ``planned`` anew each tick, because what is not heard yet is extrapolated from the tick's own present.

Training lays several ticks into one sequence: clean tokens (each with the view of the tick that committed it) and
planned blocks. The masks below make that equal to streaming, token for token. Source: ours (ADR 3), after block
diffusion.

Letters: N query positions, M key positions, P parts. A position is (time, part), time-major.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

HIDDEN = -1.0e4
"""Bias of a key that may not be seen: zero weight in FP32, no overflow in FP16."""


@dataclass(frozen=True)
class Geometry:
    """Sizes of a tick, in tokens: see the module."""

    context: int = 24
    planned: int = 8
    commit: int = 2
    fresh_past: int = 3

    @property
    def fresh(self) -> int:
        """Music tokens computed anew each tick."""
        return self.fresh_past + self.planned

    @property
    def banked(self) -> int:
        """Music tokens read from the cache each tick."""
        return self.context - self.fresh_past

    @property
    def music(self) -> int:
        """Music tokens a tick sees: banked, then fresh."""
        return self.banked + self.fresh


@dataclass(frozen=True)
class Layout:
    """Positions of one forward: ``time``, ``start`` (the ``k0`` of its tick), ``block`` (-1 clean, else which)."""

    time: Tensor
    start: Tensor
    block: Tensor
    part: Tensor


def layout(times: Tensor, starts: Tensor, blocks: Tensor, num_parts: int) -> Layout:
    """Repeat token times over the parts (time-major)."""
    parts = torch.arange(num_parts).repeat(times.shape[0])
    time, start, block = (value.repeat_interleave(num_parts) for value in (times, starts, blocks))
    return Layout(time, start, block, parts)


def training_layout(clean: int, block_starts: Tensor, geometry: Geometry, num_parts: int) -> Layout:
    """Clean tokens 0..clean-1 followed by one planned block for each start (multiples of ``commit``)."""
    times = [torch.arange(clean)]
    starts = [torch.arange(clean) // geometry.commit * geometry.commit]
    blocks = [torch.full((clean,), -1)]
    for index, start in enumerate(block_starts.tolist()):
        times.append(start + torch.arange(geometry.planned))
        starts.append(torch.full((geometry.planned,), start))
        blocks.append(torch.full((geometry.planned,), index))
    return layout(torch.cat(times), torch.cat(starts), torch.cat(blocks), num_parts)


def self_distance(queries: Layout, keys: Layout) -> Tensor:
    """Query time minus key time, tokens: [N, M] int64."""
    return queries.time[:, None] - keys.time[None, :]


def self_visible(queries: Layout, keys: Layout, geometry: Geometry) -> Tensor:
    """Whether a query may look at a key: [N, M] bool (see the module)."""
    query_time, key_time = queries.time[:, None], keys.time[None, :]
    start = queries.start[:, None]
    clean_key = keys.block[None, :] < 0
    recent = key_time >= start - geometry.context
    causal = torch.where(queries.block[:, None] < 0, key_time <= query_time, key_time < start)
    same_block = (queries.block[:, None] >= 0) & (queries.block[:, None] == keys.block[None, :])
    return torch.where(clean_key, recent & causal, same_block)


def music_distance(queries: Layout, bank_time: Tensor, fresh_time: Tensor) -> Tensor:
    """Query time minus music time for [bank, fresh] keys: [N, M] int64."""
    return queries.time[:, None] - torch.cat([bank_time, fresh_time])[None, :]


def music_visible(
    queries: Layout, bank_time: Tensor, fresh_time: Tensor, fresh_start: Tensor, geometry: Geometry
) -> Tensor:
    """Which music a query may hear: the bank before its tick's fresh part, and its own tick's fresh tokens."""
    start = queries.start[:, None]
    bank = (bank_time[None] >= start - geometry.context) & (bank_time[None] < start - geometry.fresh_past)
    fresh = (fresh_start[None] == start).expand(queries.time.shape[0], fresh_time.shape[0])
    return torch.cat([bank, fresh], dim=1)
