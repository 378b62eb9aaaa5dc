"""FineNet's idea: an expert for each part of the body, and a network that makes one dance of what they say.

Source: FineNet of FineDance (Li et al. 2023), which has experts of body and hands and a refinement network. Ours: where
there are no hands the parts are the lower body, with the root, and the upper. The experts are denoisers as in
``diffusion``, only narrower; neither sees the other. The refiner hears the music, reads both and corrects the whole
body once.

Letters: B batch, T rows, D motion columns, F music columns.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor

from soulstream_engine.features.layout import NUM_FEATURES
from soulstream_engine.motion.representation import BODY_DIM, BODY_JP, BODY_JR, BODY_JV, CONTACT, ROOT
from soulstream_engine.motion.skeleton import JOINT_NAMES, NUM_BODY_JOINTS

from .common import BaselineRecipe, Normalised, train_baseline
from .denoiser import ddim
from .diffusion import Denoiser, DenoiserSizes, WindowDancer, draw_task, rows_loss

NAME = "partwise"

SIZES = DenoiserSizes(width=128, layers=3, heads=4, hidden=512)
"""Of each expert and of the refiner (ours)."""

LOWER_JOINTS = frozenset(
    ("pelvis", *(f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle", "foot")))
)
"""Joints of the lower body; those of the upper are all others."""


def _columns_of(joints: Collection[str]) -> list[int]:
    """Columns of positions, rotations and velocities of joints, in the order of the row."""
    numbers = [number for number, name in enumerate(JOINT_NAMES[:NUM_BODY_JOINTS]) if name in joints]
    found: list[int] = []
    for block, width, first in ((BODY_JP, 3, 1), (BODY_JR, 6, 1), (BODY_JV, 3, 0)):
        for number in numbers:
            if number >= first:
                start = block.start + (number - first) * width
                found += range(start, start + width)
    return found


LOWER = [*range(ROOT.start, ROOT.stop), *_columns_of(LOWER_JOINTS), *range(CONTACT.start, CONTACT.stop)]
"""Columns of the lower body: with root and contacts."""

UPPER = [column for column in range(BODY_DIM) if column not in LOWER]
"""Columns of the upper body."""

_WHOLE = torch.tensor([*LOWER, *UPPER]).argsort()
"""Where each column of the body is, in the lower part followed by the upper."""


def joined(lower: Tensor, upper: Tensor) -> Tensor:
    """Columns of both parts, [..., len(LOWER)] and [..., len(UPPER)] -> [..., D] in the order of the row."""
    return torch.cat([lower, upper], dim=-1)[..., _WHOLE]


class Partwise(Normalised):
    """Experts of the lower and upper body, and the refiner.

    Args:
        sizes: Of each of the three.
        music_dim: F.
    """

    def __init__(self, sizes: DenoiserSizes = SIZES, music_dim: int = NUM_FEATURES) -> None:
        super().__init__(BODY_DIM, music_dim)
        self.lower = Denoiser(len(LOWER), music_dim, sizes)
        self.upper = Denoiser(len(UPPER), music_dim, sizes)
        self.refiner = Denoiser(BODY_DIM, music_dim, sizes)

    def refine(self, rows: Tensor, music: Tensor, is_hidden: Tensor) -> Tensor:
        """Rows [B, T, D] of the experts, corrected; a fresh refiner leaves them as they are.

        It is always told step 0: what it reads holds no noise, and at the end of a dance no step is left to tell.
        """
        return rows + self.refiner(rows, torch.zeros(len(rows), dtype=torch.long), music, is_hidden)

    def loss(self, motion: Tensor, music: Tensor, generator: torch.Generator) -> Tensor:
        """Losses of experts and refiner, added: motion [B, T, D] and music [B, T, F], raw.

        The refiner teaches the experts nothing: it reads what they say, without a gradient.
        """
        rows, heard = self.motion_in(motion), self.music_in(music)
        noisy, time, is_hidden = draw_task(rows, generator)
        lower = self.lower(noisy[..., LOWER], time, heard, is_hidden)
        upper = self.upper(noisy[..., UPPER], time, heard, is_hidden)
        refined = self.refine(joined(lower, upper).detach(), heard, is_hidden)
        experts = rows_loss(lower, rows[..., LOWER]) + rows_loss(upper, rows[..., UPPER])
        return experts + rows_loss(refined, rows)

    def make(self, music: Tensor, known: Tensor, generator: torch.Generator) -> Tensor:
        """A window; see ``MakeWindow``. Known rows are known to the experts, and kept by the refiner."""
        noise = torch.randn(*music.shape[:2], BODY_DIM, generator=generator)
        lower = ddim(lambda rows, time: self.lower.guided(rows, time, music), noise[..., LOWER], known[..., LOWER])
        upper = ddim(lambda rows, time: self.upper.guided(rows, time, music), noise[..., UPPER], known[..., UPPER])
        refined = self.refine(joined(lower, upper), music, torch.zeros(len(music), dtype=torch.bool))
        return torch.cat([known, refined[:, known.shape[1] :]], dim=1)


class PartwiseDancer(WindowDancer):
    """Dances by ``partwise.safetensors``; see ``WindowDancer``."""

    def __init__(self, weights: Path, sizes: DenoiserSizes = SIZES) -> None:
        network = Partwise(sizes)
        super().__init__(network, network.make, weights, NAME)


def train(
    recipe: BaselineRecipe, store: Path, music: Path, runs: Path, weights: Path, sizes: DenoiserSizes = SIZES
) -> None:
    """Trains it; see ``train_baseline``."""
    torch.manual_seed(recipe.seed)
    network = Partwise(sizes)
    train_baseline(NAME, network, network.loss, recipe, store, music, runs, weights)
