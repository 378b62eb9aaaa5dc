"""EDGE's idea: a transformer brings windows of dance back from noise while it hears their music.

Source: EDGE (Tseng et al. 2023). As there: clean rows are predicted, the step of noise scales and shifts every block
(FiLM), music is hidden now and then so that it can be amplified (classifier-free guidance), and long dances are windows
that overlap by half. Ours: few frames a token, music added to the tokens of its own frames, live features instead of
Jukebox's, neither kinematic nor foot loss.

Letters: B batch, T rows, D motion columns, F music columns, N tokens (T / 5), W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soulstream_engine.clock import FPS
from soulstream_engine.features.layout import NUM_FEATURES
from soulstream_engine.motion.representation import BODY_DIM
from soulstream_training.models.mmr import positions

from .common import F32, BaselineRecipe, Danced, Normalised, load_baseline, train_baseline
from .denoiser import NUM_STEPS, MakeWindow, add_noise, dance_in_windows, ddim

NAME = "diffusion"

WINDOW = 150
"""Rows of a window, 5 s. Source: EDGE."""

FOLD = 5
"""Frames of a token (ours): two cores train five times as many windows."""

HIDDEN_SHARE = 0.25
"""Share of windows whose music is hidden in training. Source: EDGE's code."""

GUIDANCE = 2.0
"""How far to go from a dance to no music towards, and beyond, the dance to this music. Source: EDGE's code."""

VELOCITY_WEIGHT = 2.964 / 0.636
"""Weight of the velocity loss if that of the rows is 1. Source: EDGE's code."""


@dataclass(frozen=True, slots=True)
class DenoiserSizes:
    """Sizes of a denoiser: ``width`` W, a multiple of twice its ``heads``; ``hidden`` of the feed-forward blocks."""

    width: int = 192
    layers: int = 4
    heads: int = 4
    hidden: int = 768
    dropout: float = 0.1


SIZES = DenoiserSizes()
"""Of the system (ours)."""


class FilmLayer(nn.Module):
    """Self-attention and feed-forward; the step of noise scales and shifts what each of them adds.

    Args:
        sizes: Sizes.
    """

    def __init__(self, sizes: DenoiserSizes) -> None:
        super().__init__()
        width = sizes.width
        self.attend_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend = nn.MultiheadAttention(width, sizes.heads, batch_first=True)
        self.feed = nn.Sequential(nn.Linear(width, sizes.hidden), nn.GELU(), nn.Linear(sizes.hidden, width))
        self.film = nn.Linear(width, 4 * width)
        self.drop = nn.Dropout(sizes.dropout)

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        """[B, N, W], [B, 1, W] -> [B, N, W]."""
        attend_scale, attend_shift, feed_scale, feed_shift = self.film(step).chunk(4, dim=-1)
        normal = self.attend_norm(x)
        attended, _ = self.attend(normal, normal, normal, need_weights=False)
        x = x + self.drop(attended) * (1 + attend_scale) + attend_shift
        return x + self.drop(self.feed(self.feed_norm(x))) * (1 + feed_scale) + feed_shift


class Denoiser(nn.Module):
    """Noisy rows and music in, clean rows out; all normalised. A fresh one answers the mean.

    Args:
        size: Columns of the rows.
        music_dim: F.
        sizes: Sizes.
    """

    steps: Tensor

    def __init__(self, size: int, music_dim: int, sizes: DenoiserSizes) -> None:
        super().__init__()
        width = sizes.width
        self.register_buffer("steps", positions(NUM_STEPS + 1, width), persistent=False)
        self.embed = nn.Linear(size * FOLD, width)
        self.hear = nn.Linear(music_dim * FOLD, width)
        self.unheard = nn.Parameter(torch.zeros(width))
        self.step = nn.Sequential(nn.Linear(width, width), nn.SiLU())
        self.layers = nn.ModuleList(FilmLayer(sizes) for _ in range(sizes.layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, 2 * size * FOLD)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, rows: Tensor, time: Tensor, music: Tensor, is_hidden: Tensor) -> Tensor:
        """Clean rows.

        Args:
            rows: [B, T, size], T a multiple of 5.
            time: [B] int, their steps of noise.
            music: [B, T, F].
            is_hidden: [B] bool, whether the music is not to be heard.

        Returns:
            [B, T, size] float32.
        """
        heard = torch.where(is_hidden[:, None, None], self.unheard, self.hear(_folded(music)))
        x = self.embed(_folded(rows)) + heard
        x = x + positions(x.shape[1], x.shape[2])
        step = self.step(self.steps[time])[:, None]
        for layer in self.layers:
            x = layer(x, step)
        return unfolded(self.out(self.norm(x)).float())

    def guided(self, rows: Tensor, time: Tensor, music: Tensor) -> Tensor:
        """Clean rows with the influence of the music amplified; as ``forward``, of one batch of twice the size."""
        is_hidden = torch.arange(2 * len(rows)) >= len(rows)
        both = self(rows.repeat(2, 1, 1), time.repeat(2), music.repeat(2, 1, 1), is_hidden)
        heard, unheard = both.chunk(2)
        return unheard + GUIDANCE * (heard - unheard)


def _folded(rows: Tensor) -> Tensor:
    """[B, T, C] -> [B, T / 5, 5 C]."""
    return rows.reshape(rows.shape[0], rows.shape[1] // FOLD, -1)


def unfolded(tokens: Tensor) -> Tensor:
    """[B, N, 10 C] -> [B, 5 N, C]: each token tells its own frames and the next five, and the next takes over slowly.

    Without that rows jump wherever a token begins (ours).
    """
    own, ahead = tokens.unflatten(-1, (2, FOLD, -1)).unbind(2)
    before = torch.cat([own[:, :1], ahead[:, :-1]], dim=1)
    share = ((torch.arange(FOLD) + 0.5) / FOLD)[:, None]
    return (share * own + (1 - share) * before).flatten(1, 2)


def draw_task(rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """What a denoiser has to do in a step of training.

    Args:
        rows: [B, T, D] clean.
        generator: Of all randomness.

    Returns:
        Noisy rows [B, T, D], their steps [B] int from 1, and whether the music is hidden, [B] bool.
    """
    time = torch.randint(1, NUM_STEPS + 1, (len(rows),), generator=generator)
    noisy = add_noise(rows, time, torch.randn(rows.shape, generator=generator))
    return noisy, time, torch.rand(len(rows), generator=generator) < HIDDEN_SHARE


def rows_loss(made: Tensor, rows: Tensor) -> Tensor:
    """Squared error of rows [B, T, D] and of their differences from frame to frame, weighted."""
    return F.mse_loss(made, rows) + VELOCITY_WEIGHT * F.mse_loss(made.diff(dim=1), rows.diff(dim=1))


class Diffusion(Normalised):
    """The system's network: one denoiser of the whole body.

    Args:
        sizes: Sizes.
        music_dim: F.
    """

    def __init__(self, sizes: DenoiserSizes = SIZES, music_dim: int = NUM_FEATURES) -> None:
        super().__init__(BODY_DIM, music_dim)
        self.denoiser = Denoiser(BODY_DIM, music_dim, sizes)

    def loss(self, motion: Tensor, music: Tensor, generator: torch.Generator) -> Tensor:
        """Loss of a batch: motion [B, T, D] and music [B, T, F], raw."""
        rows = self.motion_in(motion)
        noisy, time, is_hidden = draw_task(rows, generator)
        return rows_loss(self.denoiser(noisy, time, self.music_in(music), is_hidden), rows)

    def make(self, music: Tensor, known: Tensor, generator: torch.Generator) -> Tensor:
        """A window; see ``MakeWindow``."""
        noise = torch.randn(*music.shape[:2], BODY_DIM, generator=generator)
        return ddim(lambda rows, time: self.denoiser.guided(rows, time, music), noise, known)


class WindowDancer:
    """Dances in windows of 5 s.

    Args:
        network: Fresh, of the sizes it was trained with.
        make: Its way to make a window.
        weights: Folder with ``NAME.safetensors``.
        name: Of the system.

    Raises:
        ConfigError: If there are no weights.
    """

    wait_s: float = WINDOW / FPS

    def __init__(self, network: Normalised, make: MakeWindow, weights: Path, name: str) -> None:
        self.network, self.make = network, make
        load_baseline(network, weights, name)

    def dance(self, music: F32, seed: int) -> Danced:
        """See ``Dancer``; music [T, 50]."""
        return dance_in_windows(self.network, self.make, music, seed, WINDOW)


class DiffusionDancer(WindowDancer):
    """Dances by ``diffusion.safetensors``; see ``WindowDancer``."""

    def __init__(self, weights: Path, sizes: DenoiserSizes = SIZES) -> None:
        network = Diffusion(sizes)
        super().__init__(network, network.make, weights, NAME)


def train(
    recipe: BaselineRecipe, store: Path, music: Path, runs: Path, weights: Path, sizes: DenoiserSizes = SIZES
) -> None:
    """Trains it; see ``train_baseline``."""
    torch.manual_seed(recipe.seed)
    network = Diffusion(sizes)
    train_baseline(NAME, network, network.loss, recipe, store, music, runs, weights)
