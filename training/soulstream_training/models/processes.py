"""One batch for all processes that train together: each works on its own rows, the codebooks hear of all of them.

On one process, and wherever nobody set up a process group, every function hands back what it was given. Not for:
gradients (DDP averages them, ``recipes.loop``).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributed as dist

from soulstream_engine.errors import ConfigError


def num_processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def own_share(rows: Tensor) -> Tensor:
    """The rows of this process, of rows that every process drew alike: [B, ...] -> [B / W, ...], in rank order.

    Raises:
        ConfigError: If the rows cannot be shared out evenly.
    """
    shares = num_processes()
    if shares == 1:
        return rows
    if len(rows) % shares:
        raise ConfigError(
            "BATCH_UNEVEN",
            f"A batch of {len(rows)} cannot be shared out evenly to {shares} processes.",
            f"Set batch to a multiple of {shares}, or start fewer processes with --num_processes.",
        )
    return rows.chunk(shares)[dist.get_rank()]


def gathered(own: Tensor) -> Tensor:
    """The rows of all processes, in rank order: [N, ...] -> [W * N, ...]. Every process must call it."""
    shares = num_processes()
    if shares == 1:
        return own
    everyone = [torch.empty_like(own) for _ in range(shares)]
    dist.all_gather(everyone, own.contiguous())
    return torch.cat(everyone)
