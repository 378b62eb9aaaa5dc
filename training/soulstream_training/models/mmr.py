"""MMR: one latent for a piece of music and one for a dance, close to each other where the two belong together.

Two encoders that become distributions (ACTOR, TEMOS) and a decoder of motion (``method.md`` 6.1). ``fold`` frames are
one token: 1 as published; 5 makes every layer five times cheaper and is what two cores can train. Not for: losses
(``losses.mmr``), the live form without torch (``soulstream_engine.sampling.music_style``).

Letters: B batch, T frames at 30 fps, D motion columns, F music columns, N tokens (T / fold), W width.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soulstream_engine.clock import FPS
from soulstream_engine.features.layout import COLUMNS, NUM_FEATURES
from soulstream_engine.motion.representation import BODY_JV
from soulstream_engine.motion.skeleton import NUM_BODY_JOINTS

FRONT_KERNEL = 9
"""Frames that the front looks at, 0.3 s (ours)."""

FRONT_FOLD = 5
"""Frames that the front sums up, a sixth of a second (ours)."""

USUAL_SPEED_M_S = 0.7
"""Mean speed of a joint in dance, and about its deviation (ours)."""

TIMBRE = ("mel", "chroma")
"""Columns of live music that tell one rendering from another, whatever the beat."""

RHYTHM = [
    column for name, columns in COLUMNS.items() if name not in TIMBRE for column in range(columns.start, columns.stop)
]
"""The other columns."""


@dataclass(frozen=True, slots=True)
class MmrConfig:
    """Sizes; the defaults are those of the published body model, which reads Jukebox's 4,800 columns.

    ``front``: channels of a front that hears the rhythm of windows of at most ``window`` frames (ours, ADR 11); 0:
    none, as published.

    Raises:
        ValueError: If a size does not fit another.
    """

    motion_dim: int = 263
    music_dim: int = 4800
    width: int = 256
    layers: int = 6
    heads: int = 4
    hidden: int = 1024
    dropout: float = 0.1
    fold: int = 1
    front: int = 0
    window: int = 150

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} is not a multiple of twice its {self.heads} heads")
        for name in ("motion_dim", "music_dim", "layers", "hidden", "fold"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be at least 1")
        for size in (self.fold, FRONT_FOLD):
            if self.window % size:
                raise ValueError(f"window {self.window} is not a multiple of {size}")

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary for the JSON beside the weights."""
        return asdict(self)


class Latent(NamedTuple):
    """A normal distribution: ``mu`` and ``logvar``, each [B, W]."""

    mu: Tensor
    logvar: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """[B, W] drawn with standard normal ``noise`` [B, W]."""
        return self.mu + torch.exp(0.5 * self.logvar) * noise


def positions(length: int, width: int) -> Tensor:
    """Sinusoidal positions [length, width] (Vaswani et al. 2017, 3.5)."""
    time = torch.arange(length, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10_000.0) / width))
    return torch.stack([torch.sin(time * rate), torch.cos(time * rate)], dim=-1).flatten(1)


def speeds(rows: Tensor) -> Tensor:
    """How fast each joint of the body is in motion rows [..., D], and all of them on average: [..., 23], about 1."""
    speed = rows[..., BODY_JV].unflatten(-1, (NUM_BODY_JOINTS, 3)).norm(dim=-1) * FPS
    return torch.cat([speed, speed.mean(-1, keepdim=True)], dim=-1) / USUAL_SPEED_M_S - 1.0


class Front(nn.Module):
    """Rhythm: moments in single frames and when they come, at once over the whole window.

    Speed is not linear in the columns of a frame, and what happens times when it happens is hard to find for a
    transformer: two convolutions and one matrix over the window find the beat in a tenth of the training (ADR 11).

    Args:
        size: Columns of a frame.
        config: Sizes.
    """

    def __init__(self, size: int, config: MmrConfig) -> None:
        super().__init__()
        channels = config.front
        self.find = nn.Conv1d(size, channels, FRONT_KERNEL, padding=FRONT_KERNEL // 2)
        self.fold = nn.Conv1d(channels, channels, FRONT_FOLD, stride=FRONT_FOLD)
        self.drop = nn.Dropout(config.dropout)
        self.order = nn.Linear(channels * (config.window // FRONT_FOLD), config.width)

    def forward(self, frames: Tensor, valid: Tensor | None) -> Tensor:
        """[B, T, size], [B, T] or ``None`` -> [B, W]; a shorter window uses the first places."""
        if valid is not None:
            frames = frames * valid[..., None]
        x = F.gelu(self.fold(F.gelu(self.find(frames.transpose(1, 2)))))
        if valid is not None:
            x = x * valid[:, None, ::FRONT_FOLD]
        line = self.drop(x.transpose(1, 2).flatten(1))
        return F.linear(line, self.order.weight[:, : line.shape[1]], self.order.bias)


class LatentEncoder(nn.Module):
    """Frames in, a distribution out: two learned tokens before the frames become its mean and log-variance.

    Args:
        size: Columns of a frame.
        config: Sizes.
        is_motion: Whether the frames are motion rows: a front then sees their speeds. Of live music features it sees
            all but the timbre, of any others nothing.
    """

    def __init__(self, size: int, config: MmrConfig, *, is_motion: bool = False) -> None:
        super().__init__()
        self.folded, self.is_motion = config.fold, is_motion
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))
        self.embed = nn.Linear(size * config.fold, config.width)
        self.tokens = nn.Parameter(torch.randn(2, config.width))
        self.drop = nn.Dropout(config.dropout)
        layer = nn.TransformerEncoderLayer(
            config.width, config.heads, config.hidden, config.dropout, activation="gelu", batch_first=True
        )
        self.trunk = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.front = None
        if config.front and (is_motion or size == NUM_FEATURES):
            self.front = Front(NUM_BODY_JOINTS + 1 if is_motion else len(RHYTHM), config)
            self.share = nn.Parameter(torch.zeros(config.width))  # the trunk joins in when it has learned something

    mean: Tensor
    std: Tensor

    def forward(self, frames: Tensor, valid: Tensor | None = None) -> Latent:
        """Encode.

        Args:
            frames: [B, T, size] float32, T a multiple of ``fold``.
            valid: [B, T] bool, true frames first; ``None``: all are.

        Returns:
            The distribution.
        """
        normal = (frames - self.mean) / self.std
        x = self.embed(normal.reshape(normal.shape[0], normal.shape[1] // self.folded, -1))
        x = torch.cat([self.tokens.expand(x.shape[0], -1, -1), x], dim=1)
        x = self.drop(x + positions(x.shape[1], x.shape[2]).to(x))
        padding = None
        if valid is not None:
            shown = valid.reshape(valid.shape[0], -1, self.folded).any(-1)
            padding = ~torch.cat([shown.new_ones(shown.shape[0], 2), shown], dim=1)
        x = self.trunk(x, src_key_padding_mask=padding)
        if self.front is None:
            return Latent(x[:, 0], x[:, 1])
        rhythm = self.front(speeds(frames) if self.is_motion else normal[..., RHYTHM], valid)
        return Latent(rhythm + self.share * x[:, 0], x[:, 1])


class MotionDecoder(nn.Module):
    """A latent in, normalised motion out: queries that are positions alone look at the one latent.

    Args:
        config: Sizes.
    """

    def __init__(self, config: MmrConfig) -> None:
        super().__init__()
        self.fold, self.width = config.fold, config.width
        layer = nn.TransformerDecoderLayer(
            config.width, config.heads, config.hidden, config.dropout, activation="gelu", batch_first=True
        )
        self.trunk = nn.TransformerDecoder(layer, config.layers)
        self.project = nn.Linear(config.width, config.motion_dim * config.fold)

    def forward(self, latent: Tensor, frames: int) -> Tensor:
        """[B, W] -> [B, frames, D]; ``frames`` a multiple of ``fold``."""
        queries = positions(frames // self.fold, self.width).to(latent).expand(len(latent), -1, -1)
        return self.project(self.trunk(queries, latent[:, None])).reshape(len(latent), frames, -1)


class Mmr(nn.Module):
    """The retrieval model: ``motion`` and ``music`` encoders and the ``decoder``.

    Args:
        config: Sizes.
    """

    def __init__(self, config: MmrConfig) -> None:
        super().__init__()
        self.config = config
        self.motion = LatentEncoder(config.motion_dim, config, is_motion=True)
        self.music = LatentEncoder(config.music_dim, config)
        self.decoder = MotionDecoder(config)

    def forward(self, motion: Tensor, music: Tensor) -> tuple[Tensor, Tensor]:
        """Latents to compare by cosine.

        Args:
            motion: [B, T, D] float32 motion rows.
            music: [B, T, F] float32 feature rows of the same frames.

        Returns:
            Means [B, W] of motion and of music.
        """
        return self.motion(motion).mu, self.music(music).mu
