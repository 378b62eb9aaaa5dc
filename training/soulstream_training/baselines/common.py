"""What every baseline has in common: how it dances, and what it learns from.

Letters: B batch, T frames at 30 fps, D motion columns (263, the body), F music columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from soulstream_training.data.guard import Learned, check_apart, learned_from, united
from soulstream_training.data.store import read_index
from soulstream_training.recipes.checkpoint import load_weights, save_weights
from soulstream_training.recipes.loop import Loop, LoopConfig, bfloat16_pays
from soulstream_training.recipes.mmr_pairs import Pair, PairSampler, as_stretch, load_pairs
from soulstream_training.recipes.motion_rows import normalisation

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Danced:
    """A dance: ``rows`` [T, D] float32 motion rows, and ``edges``, frames at which a new window or plan began."""

    rows: F32
    edges: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


class Dancer(Protocol):
    """A system that dances to feature rows."""

    @property
    def wait_s(self) -> float:
        """Seconds of music that must have been heard behind the frame that is danced: what a listener waits for."""
        ...

    def dance(self, music: F32, seed: int) -> Danced:
        """Dances to ``music`` [T, F]; at frame t nothing later than ``t + wait_s`` may be looked at."""
        ...


@dataclass(frozen=True, slots=True)
class BaselineRecipe:
    """Settings of a baseline's training.

    ``minutes`` of training; ``schedule_steps`` over which the rate falls; ``frames`` of a window.
    """

    minutes: float = 12.0
    schedule_steps: int = 2000
    batch: int = 32
    frames: int = 150
    rate: float = 5e-4
    weight_decay: float = 0.02
    seed: int = 3407
    threads: int = 1


class Normalised(nn.Module):
    """Base of the networks: statistics of motion and music.

    Args:
        motion_dim: D.
        music_dim: F.
    """

    motion_mean: Tensor
    motion_std: Tensor
    music_mean: Tensor
    music_std: Tensor

    def __init__(self, motion_dim: int = 263, music_dim: int = 50) -> None:
        super().__init__()
        for name, size in (("motion", motion_dim), ("music", music_dim)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))

    def fit(self, pairs: list[Pair]) -> None:
        """Takes the statistics of what is to be learned."""
        mean, std = normalisation(map(as_stretch, pairs), feature_weight=1.0)
        self.motion_mean.copy_(mean)
        self.motion_std.copy_(std)
        music = np.concatenate([pair.music for pair in pairs])
        self.music_mean.copy_(torch.from_numpy(music.mean(0)))
        self.music_std.copy_(torch.from_numpy(np.maximum(music.std(0), 0.1)))

    def motion_in(self, rows: Tensor) -> Tensor:
        """Motion rows [..., D] as the network reads them."""
        return (rows - self.motion_mean) / self.motion_std

    def motion_out(self, normal: Tensor) -> Tensor:
        """What the network writes, as motion rows [..., D]."""
        return normal * self.motion_std + self.motion_mean

    def music_in(self, music: Tensor) -> Tensor:
        """Feature rows [..., F] as the network reads them."""
        return (music - self.music_mean) / self.music_std


LossOf = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""Loss of a batch: motion [B, T, D] and music [B, T, F], raw."""


def train_baseline(
    name: str,
    network: Normalised,
    loss_of: LossOf,
    recipe: BaselineRecipe,
    store: Path,
    music: Path,
    runs: Path,
    weights: Path,
    columns: str = "body",
    learned_before: Learned | None = None,
) -> None:
    """Trains a baseline for its minutes and writes ``NAME.safetensors`` and ``NAME.json`` under ``weights``.

    Args:
        name: Of the system.
        network: Fresh; its statistics are taken here.
        loss_of: Loss of a batch.
        recipe: Settings.
        store: Prepared motion.
        music: Renderings made for it; the split ``train`` is learned.
        runs: Folder of full checkpoints; a run there is resumed.
        weights: Where the averaged weights go.
        columns: Of the motion.
        learned_before: What weights that the system is built on were trained on.

    Raises:
        ConfigError: If there is nothing to learn from, or it is tested on too.
    """
    torch.set_num_threads(recipe.threads)
    sampler = PairSampler(load_pairs(store, music, ("train",), columns), recipe.frames, columns)
    network.fit(sampler.pairs)
    entries = read_index(store)
    learned = united(learned_from(entry for entry in entries if entry.split == "train"), learned_before or {})
    check_apart(learned, [entry for entry in entries if entry.split in ("val", "test")], name)
    description: dict[str, Any] = {"minutes": recipe.minutes, "trained_on": learned}
    loop = Loop(
        network,
        runs / f"baseline_{name}",
        LoopConfig(
            steps=recipe.schedule_steps,
            rate=recipe.rate,
            minutes=recipe.minutes,
            weight_decay=recipe.weight_decay,
            average=0.995,
            bf16=bfloat16_pays(),
        ),
        recipe.seed,
        description,
    )

    def step(generator: torch.Generator, number: int) -> tuple[Tensor, dict[str, float]]:
        batch = sampler.draw(recipe.batch, recipe.frames, 0, generator)
        loss = loss_of(batch.motion, batch.music, generator)
        return loss, {"loss": float(loss.detach())}

    loop.run(step)
    network.load_state_dict(loop.averaged)
    save_weights(weights, name, network.state_dict(), loop.step, description)


def load_baseline(network: Normalised, weights: Path, name: str) -> dict[str, Any]:
    """Fills a network with the weights of a baseline, in evaluation mode.

    Returns:
        The JSON beside the weights.

    Raises:
        ConfigError: If there are none.
    """
    state, meta = load_weights(weights, name)
    network.load_state_dict(state)
    network.eval().requires_grad_(False)
    return meta
