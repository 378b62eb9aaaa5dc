"""Regressor: a transformer that reads motion and music and says how the motion goes on; nothing is drawn at random.

The motion of two seconds and the music of four, half of it still to come, give the next 20 rows. All of them are
learned, the first four are danced, and then it reads what it has danced. It starts from the mean row, which is zeros to
the network; in a share of the windows it learns from, so much of the motion is zeros as it finds on its way in.
Source: FACT, "AI Choreographer: Music Conditioned 3D Dance Generation with AIST++" (Li et al., ICCV 2021), for the
task and its sizes; the blocks are those of our sampler.

Letters: B batch, T frames, D motion columns, F music columns, W width, N tokens of four frames.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soulstream_engine.clock import FPS
from soulstream_training.models.attention import Block, RelativeBias
from soulstream_training.models.hrvq import FRAMES_PER_TOKEN

from .common import F32, BaselineRecipe, Danced, Normalised, load_baseline, train_baseline

NAME = "regressor"
SEEN = 60
"""Rows of motion that are read: two seconds. Source: FACT, 120 frames at 60 fps."""
AHEAD = 60
"""Rows of music that are read from the first row on that is danced next. Source: FACT, four seconds, two of them ahead.
"""
TOLD = 20
"""Rows that are predicted. Source: FACT, 20."""
WIDTH = 192
EMPTY_SHARE = 0.2
"""Windows of training in which motion is missing (ours)."""


class Regressor(Normalised):
    """Motion seen and music in, motion to come out.

    Args:
        motion_dim: D.
        music_dim: F.
        width: W.
        layers: Blocks.
        heads: Of attention; must divide W.
        dropout: Of the residual branches.
    """

    def __init__(
        self,
        motion_dim: int = 263,
        music_dim: int = 50,
        width: int = WIDTH,
        layers: int = 4,
        heads: int = 6,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(motion_dim, music_dim)
        self.read = nn.Linear(FRAMES_PER_TOKEN * motion_dim, width)
        self.hear = nn.Linear(FRAMES_PER_TOKEN * music_dim, width)
        self.asked = nn.Parameter(torch.randn(TOLD // FRAMES_PER_TOKEN, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, 3 * width, dropout) for _ in range(layers))
        motion, music = (SEEN + TOLD) // FRAMES_PER_TOKEN, (SEEN + AHEAD) // FRAMES_PER_TOKEN
        self.self_bias = RelativeBias(heads, 1 - motion, motion - 1)
        self.music_bias = RelativeBias(heads, 1 - music, motion - 1)
        self.write = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, FRAMES_PER_TOKEN * motion_dim))

    def forward(self, seen: Tensor, music: Tensor) -> Tensor:
        """The rows that follow.

        Args:
            seen: [B, SEEN, D] rows as the network reads them; zeros where there is no motion.
            music: [B, SEEN + AHEAD, F] feature rows, the first of them at the first row seen.

        Returns:
            [B, TOLD, D], as the network writes them.
        """
        heard = self.hear(_folded(self.music_in(music)))
        x = torch.cat([self.read(_folded(seen)), self.asked.expand(len(seen), -1, -1)], dim=1)
        x = x + heard[:, : x.shape[1]]  # the music at a token's own time
        time, music_time = torch.arange(x.shape[1]), torch.arange(heard.shape[1])
        bias = self.self_bias(time[:, None] - time)[None]
        music_bias = self.music_bias(time[:, None] - music_time)[None]
        for block in self.blocks:
            x, _ = block(x, None, bias, block.attend_music.project(heard), music_bias)  # type: ignore[union-attr, operator]
        told = self.write(x[:, -len(self.asked) :])
        return told.unflatten(2, (FRAMES_PER_TOKEN, -1)).flatten(1, 2)


def _folded(rows: Tensor) -> Tensor:
    """Rows [B, T, C] as tokens [B, T / 4, 4 C]."""
    return rows.unflatten(1, (-1, FRAMES_PER_TOKEN)).flatten(2)


def on_the_way_in(seen: Tensor, generator: torch.Generator) -> Tensor:
    """Motion [B, SEEN, D] of which, in a share of the windows, nothing or only the last tokens are there."""
    tokens = SEEN // FRAMES_PER_TOKEN
    there = torch.randint(tokens, (len(seen), 1), generator=generator)
    is_whole = torch.rand(len(seen), 1, generator=generator) >= EMPTY_SHARE
    age = tokens - torch.arange(SEEN) // FRAMES_PER_TOKEN  # the last token has age 1
    return seen * (is_whole | (age <= there))[..., None]


def regressor_loss(network: Regressor, motion: Tensor, music: Tensor, generator: torch.Generator) -> Tensor:
    """SmoothL1 of the rows that follow, in normalised units.

    Args:
        network: In training.
        motion: [B, T, D] rows, T at least 120, of which the first 80 are used.
        music: [B, T, F] feature rows of the same frames.
        generator: Randomness.

    Returns:
        Scalar.
    """
    normal = network.motion_in(motion)
    told = network(on_the_way_in(normal[:, :SEEN], generator), music[:, : SEEN + AHEAD])
    return F.smooth_l1_loss(told.float(), normal[:, SEEN : SEEN + TOLD])


class RegressorDancer:
    """Dances with trained weights.

    Args:
        weights: Folder with ``regressor.safetensors``.
        width: W of the network that was trained.

    Raises:
        ConfigError: If there are no weights.
    """

    wait_s: float = AHEAD / FPS

    def __init__(self, weights: Path, width: int = WIDTH) -> None:
        self.network = Regressor(width=width)
        load_baseline(self.network, weights, NAME)

    @torch.no_grad()
    def dance(self, music: F32, seed: int) -> Danced:
        """Dances to ``music`` [T, F], the same whatever the ``seed``.

        Before its beginning and after its end, music is taken to stay as it is there.
        """
        frames = len(music)
        heard = torch.from_numpy(music[np.clip(np.arange(-SEEN, frames + AHEAD), 0, frames - 1)])
        seen = torch.zeros(1, SEEN, len(self.network.motion_mean))
        danced = []
        for first in range(0, frames, FRAMES_PER_TOKEN):
            told = self.network(seen, heard[None, first : first + SEEN + AHEAD])
            danced.append(told[0, :FRAMES_PER_TOKEN])
            seen = torch.cat([seen[:, FRAMES_PER_TOKEN:], told[:, :FRAMES_PER_TOKEN]], dim=1)
        return Danced(self.network.motion_out(torch.cat(danced)[:frames]).numpy())


def train_regressor(
    recipe: BaselineRecipe, store: Path, music: Path, runs: Path, weights: Path, width: int = WIDTH
) -> None:
    """Trains the regressor and writes ``regressor.*`` under ``weights``.

    Args:
        recipe: Settings; ``frames`` at least 120.
        store: Prepared motion.
        music: Renderings made for it.
        runs: Folder of full checkpoints; a run there is resumed.
        weights: Where the averaged weights go.
        width: W.

    Raises:
        ConfigError: If there is nothing to learn from, or it is tested on too.
    """
    torch.manual_seed(recipe.seed)
    network = Regressor(width=width)

    def loss(motion: Tensor, heard: Tensor, generator: torch.Generator) -> Tensor:
        return regressor_loss(network, motion, heard, generator)

    train_baseline(NAME, network, loss, recipe, store, music, runs, weights)
