"""The networks as pure steps with fixed shapes: what becomes an ONNX graph.

``music``     rows of a tick -> music tokens, keys and values of both stages, for both halves of the guidance
``mask``      one pass of the mask stage over the planned positions (also used to commit)
``residual``  one pass of the residual stage
``decoder``   committed codes and states -> motion rows and states

Letters: N planned positions, Q levels, K codes, F features, Y layers, H heads, E head width, D motion features. A
leading 2 is the conditional and the unconditional half of the guidance.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soulstream_training.models.attention import KeyValue
from soulstream_training.models.hrvq import Hrvq
from soulstream_training.models.magm import Magm
from soulstream_training.models.window import HIDDEN, layout

STAGES = ("mask", "residual")


def _stacked(pairs: list[KeyValue]) -> tuple[Tensor, Tensor]:
    """Per-block pairs [2, H, M, E] -> keys and values [2, Y, H, M, E]."""
    return torch.stack([pair[0] for pair in pairs], 1), torch.stack([pair[1] for pair in pairs], 1)


class MusicStep(nn.Module):
    """Feature rows [commit + fresh, 4, F] -> for each stage tokens [2, M, W], keys and values [2, Y, H, M, E].

    Args:
        mask: Mask stage.
        residual: Residual stage.
    """

    def __init__(self, mask: Magm, residual: Magm) -> None:
        super().__init__()
        self.stages = nn.ModuleList([mask, residual])
        self.register_buffer("keep", torch.tensor([1.0, 0.0]))

    keep: Tensor

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Outputs in the order tokens, keys, values of the mask stage, then of the residual stage."""
        outputs: list[Tensor] = []
        for stage in self.stages:
            tokens = stage.encode_music(rows[None].expand(2, -1, -1, -1), self.keep)  # type: ignore[operator]
            keys, values = _stacked(stage.music_key_values(tokens))  # type: ignore[operator]
            outputs += [tokens, keys, values]
        return tuple(outputs)


class StageStep(nn.Module):
    """One pass of one stage over the planned positions, reading the caches.

    Args:
        stage: The network.
    """

    def __init__(self, stage: Magm) -> None:
        super().__init__()
        self.stage = stage
        geometry = stage.config.geometry
        parts = stage.config.num_parts
        planned = layout(
            torch.arange(geometry.planned), torch.zeros(geometry.planned, dtype=torch.long),
            torch.zeros(geometry.planned, dtype=torch.long), parts,
        )  # fmt: skip
        past_time = torch.arange(-geometry.context, 0).repeat_interleave(parts)
        music_time = torch.arange(-geometry.context, geometry.planned)
        distance = planned.time[:, None] - torch.cat([past_time, planned.time])[None]
        later = (planned.time[None] > planned.time[:, None]).float() * HIDDEN
        self.register_buffer("part", planned.part)
        self.register_buffer("time", planned.time)
        self.register_buffer("distance", distance)
        self.register_buffer("music_distance", planned.time[:, None] - music_time[None])
        self.register_buffer("later", torch.cat([torch.zeros(len(later), len(past_time)), later], 1))

    part: Tensor
    time: Tensor
    distance: Tensor
    music_distance: Tensor
    later: Tensor

    def forward(
        self,
        codes: Tensor,
        level_seen: Tensor,
        level: Tensor,
        committing: Tensor,
        past_k: Tensor,
        past_v: Tensor,
        past_valid: Tensor,
        music_k: Tensor,
        music_v: Tensor,
        music_valid: Tensor,
        aligned: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run the stage.

        Args:
            codes: [1, N, Q] int64.
            level_seen: [1, N, Q] float32, 1 where a code may be looked at.
            level: [1] int64 index of the level to predict (0 is the stage's first).
            committing: [1] float32, 1 to treat the positions as committed (causal, for the cache).
            past_k: [2, Y, H, context x P, E] keys of committed positions, newest last.
            past_v: Values, the same shape.
            past_valid: [context] float32, 0 for slots before the start.
            music_k: [2, Y, H, banked + fresh, E].
            music_v: Values, the same shape.
            music_valid: [banked + fresh] float32.
            aligned: [2, planned, W] music tokens at the planned times.

        Returns:
            Logits [2, N, K]; new keys and values [2, Y, H, N, E].
        """
        stage = self.stage
        committed = committing.expand(self.part.shape[0])
        x = stage.embed(
            codes.expand(2, -1, -1),
            level_seen.expand(2, -1, -1),
            self.part,
            committed,
            aligned[:, self.time],
            level.expand(2),
        )
        parts = stage.config.num_parts
        unseen = (1.0 - past_valid).repeat_interleave(parts) * HIDDEN
        bias = stage.self_bias(self.distance) + committing * self.later
        bias = bias + torch.cat([unseen, unseen.new_zeros(self.part.shape[0])])
        music_bias = stage.music_bias(self.music_distance) + (1.0 - music_valid) * HIDDEN
        layers = range(stage.config.layers)
        hidden, new = stage.trunk(
            x,
            [(past_k[:, i], past_v[:, i]) for i in layers],
            bias[None],
            [(music_k[:, i], music_v[:, i]) for i in layers],
            music_bias[None],
        )
        keys, values = _stacked(new)
        return stage.logits(hidden, self.part, level.expand(2)), keys, values


class DecoderStep(nn.Module):
    """Committed codes [1, P, commit, Q] and states -> motion rows [1, 4 commit, D] (raw units) and the next states.

    Args:
        tokenizer: The trained HRVQ.
    """

    def __init__(self, tokenizer: Hrvq) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.decoder = tokenizer.decoder
        self.register_buffer("tables", tokenizer.quantizer.tables)

    tables: Tensor

    def forward(self, codes: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Look up, sum, decode, de-normalise."""
        num_parts, levels, num_codes, dim = self.tables.shape
        offset = torch.arange(num_parts * levels).view(num_parts, 1, levels) * num_codes
        chosen = self.tables.view(-1, dim)[codes + offset[None]]
        latents = chosen.sum(3).permute(0, 1, 3, 2).flatten(1, 2)
        normal, new = self.decoder(latents, list(states))
        return (normal * self.tokenizer.std + self.tokenizer.mean, *new)
