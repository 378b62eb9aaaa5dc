"""MAGM: the music-aligned generative masked transformer, mask stage (level 0) and residual stage (levels 1..Q-1).

Both stages are one class. Planned tokens are seen partly (masked, or only their coarser levels), committed tokens
whole.
Source: SoulNet (``method.md`` 5) for the two stages; append-only context, relative time, part embedding and
frame-aligned music are ours (``architecture.md`` 4, ADR 3).

Letters: B batch, N positions (time x part), Q levels, K codes, W width, M music tokens, F features of a frame, L
blocks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .attention import Block, KeyValue, RelativeBias
from .hrvq import FRAMES_PER_TOKEN
from .window import HIDDEN, Geometry

EMBEDDING_DEVIATION = 0.05
"""Deviation of embeddings at the start; those without a codebook begin at 0.02, as in the paper."""


@dataclass(frozen=True)
class MagmConfig:
    """Shape of one stage. ``first_level`` 0 is the mask stage; 1 is the residual stage, which predicts 1..levels-1."""

    first_level: int = 0
    num_parts: int = 1
    levels: int = 6
    num_codes: int = 256
    num_features: int = 50
    width: int = 256
    layers: int = 4
    heads: int = 8
    hidden: int = 768
    dropout: float = 0.15
    context: int = 24
    planned: int = 8
    commit: int = 2
    fresh_past: int = 3

    @property
    def geometry(self) -> Geometry:
        """Sizes of a tick."""
        return Geometry(self.context, self.planned, self.commit, self.fresh_past)

    @property
    def levels_out(self) -> int:
        """How many levels this stage predicts."""
        return 1 if self.first_level == 0 else self.levels - 1

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary for a checkpoint's JSON."""
        return asdict(self)


class Magm(nn.Module):
    """One stage of the sampler's network.

    Args:
        config: Shape.
    """

    def __init__(self, config: MagmConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.register_buffer("feature_mean", torch.zeros(config.num_features))
        self.register_buffer("feature_std", torch.ones(config.num_features))
        self.code_tables = nn.Parameter(torch.randn(config.num_parts, config.levels, config.num_codes, width) * 0.02)
        self.mask_embedding = nn.Parameter(torch.randn(width) * 0.02)
        self.part_embedding = nn.Parameter(torch.randn(config.num_parts, width) * 0.02)
        self.role_embedding = nn.Parameter(torch.randn(2, width) * 0.02)
        self.level_embedding = nn.Parameter(torch.randn(config.levels_out, width) * 0.02)
        self.enter = nn.Linear(width, width)
        self.align = nn.Linear(width, width)
        self.null_music = nn.Parameter(torch.randn(width) * 0.02)
        self.music_encoder = nn.Sequential(
            nn.Linear(FRAMES_PER_TOKEN * config.num_features, width), nn.GELU(), nn.Linear(width, width)
        )
        self.music_norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            Block(width, config.heads, config.hidden, config.dropout) for _ in range(config.layers)
        )
        geometry = config.geometry
        self.self_bias = RelativeBias(config.heads, -(geometry.planned - 1), geometry.context + geometry.planned - 1)
        self.music_bias = RelativeBias(config.heads, -(geometry.planned - 1), geometry.context + geometry.planned - 1)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.out_tables = nn.Parameter(torch.randn(config.levels_out, config.num_parts, width, config.num_codes) * 0.02)
        self.out_bias = nn.Parameter(torch.zeros(config.levels_out, config.num_parts, config.num_codes))
        self.drop = nn.Dropout(config.dropout)

    feature_mean: Tensor
    feature_std: Tensor

    @torch.no_grad()
    def start_from_codebooks(self, tables: Tensor) -> None:
        """Begin with embeddings and outputs in which codes that decode alike look alike (ours).

        Args:
            tables: [P, Q, K, C] codes of the tokenizer. A random projection to W keeps their distances.
        """
        levels, width = self.config.levels, self.config.width
        if tables.shape[1] != levels:
            raise ValueError(f"{tables.shape[1]} levels of codes for a model of {levels}")
        projection = torch.randn(tables.shape[-1], width) / width**0.5
        wide = tables @ projection
        wide = EMBEDDING_DEVIATION * (wide - wide.mean((0, 1, 2))) / wide.std().clamp(min=1e-6)
        self.code_tables.copy_(wide)
        told = wide[:, self.config.first_level : self.config.first_level + self.config.levels_out]
        each = told.std((2, 3), keepdim=True).clamp(min=1e-6)  # finer levels have shorter codes, but equal odds
        self.out_tables.copy_((EMBEDDING_DEVIATION * told / each).permute(1, 0, 3, 2))

    def encode_music(self, rows: Tensor, keep: Tensor | None = None) -> Tensor:
        """Feature rows to music tokens.

        Args:
            rows: [B, M, 4, F] raw feature rows, four to a token.
            keep: [B] 1 keeps the music, 0 replaces it by the learned null token (condition dropout, guidance).

        Returns:
            [B, M, W].
        """
        normal = (rows - self.feature_mean) / self.feature_std
        tokens = self.music_norm(self.music_encoder(normal.flatten(2)))
        if keep is not None:
            tokens = torch.where(keep[:, None, None] > 0, tokens, self.null_music.expand_as(tokens))
        return tokens

    def music_key_values(self, tokens: Tensor) -> list[KeyValue]:
        """Keys and values of music tokens [B, M, W] for every block; computed once per token, then cached."""
        return [block.attend_music.project(tokens) for block in self.blocks]  # type: ignore[union-attr, operator]

    def embed(
        self, codes: Tensor, level_seen: Tensor, part: Tensor, committed: Tensor, aligned: Tensor, level: Tensor | None
    ) -> Tensor:
        """Input of the trunk.

        Args:
            codes: [B, N, Q] int64; where a level is not seen its code is ignored.
            level_seen: [B, N, Q] 1 for each level whose code may be looked at; none at all is a masked token.
            part: [N] int64 part of each position.
            committed: [N] 1 for a committed position, 0 for a planned one.
            aligned: [B, N, W] music token at each position's own time.
            level: [B] int64 index of the level to predict (0 is ``first_level``), or ``None`` for the first.

        Returns:
            [B, N, W].
        """
        width = self.config.width
        num_codes = self.config.num_codes
        offsets = torch.arange(self.config.levels, device=codes.device)[None, :] * num_codes
        offsets = offsets + part[:, None] * (num_codes * self.config.levels)
        looked_up = self.code_tables.reshape(-1, width)[codes + offsets[None]]
        total = (looked_up * level_seen[..., None]).sum(2)
        is_masked = 1.0 - level_seen.amax(2, keepdim=True)
        total = total + is_masked * self.mask_embedding
        role = self.role_embedding[0] + committed[:, None] * (self.role_embedding[1] - self.role_embedding[0])
        x = self.enter(total) + self.align(aligned) + self.part_embedding[part] + role
        if self.config.levels_out > 1:
            index = torch.zeros(codes.shape[0], dtype=torch.long) if level is None else level
            x = x + (1.0 - committed)[None, :, None] * self.level_embedding[index][:, None]
        return self.drop(x)

    def trunk(
        self, x: Tensor, past: list[KeyValue] | None, bias: Tensor, music: list[KeyValue], music_bias: Tensor
    ) -> tuple[Tensor, list[KeyValue]]:
        """Run the blocks: x [B, N, W], biases as in ``Block``; hidden states and each block's new keys and values."""
        new: list[KeyValue] = []
        for index, block in enumerate(self.blocks):
            x, pair = block(x, None if past is None else past[index], bias, music[index], music_bias)
            new.append(pair)
        return x, new

    def logits(self, hidden: Tensor, part: Tensor, level: Tensor | None) -> Tensor:
        """Scores of every code: hidden [B, N, W], part [N], level [B] or ``None`` -> [B, N, K] float32."""
        index = torch.zeros(hidden.shape[0], dtype=torch.long) if level is None else level
        features = self.head(hidden)
        if self.config.num_parts == 1:
            return (
                torch.bmm(features, self.out_tables[index, 0].to(features.dtype)) + self.out_bias[index, :1]
            ).float()
        table = self.out_tables[index][:, part].to(features.dtype)
        return (torch.einsum("bnw,bnwk->bnk", features, table) + self.out_bias[index][:, part]).float()

    @staticmethod
    def bias_from(table: RelativeBias, distance: Tensor, visible: Tensor) -> Tensor:
        """Relative bias plus mask: distance and visible [N, M] -> [1, H, N, M]."""
        hidden = torch.where(visible, 0.0, HIDDEN)
        return (table(distance) + hidden)[None]
