"""The networks as pure steps with fixed shapes: what becomes an ONNX graph.

``music``     rows of a tick -> music tokens, keys and values of both stages, for each half of the guidance
``mask``      one pass of the mask stage over the planned positions of all plans (also used to commit)
``residual``  one pass of the residual stage
``decoder``   plans and states -> motion rows and pace of all that is planned, and states after what is committed

Letters: C plans, N planned positions, P parts, Q levels, K codes, F features, Y layers, H heads, E head width, D motion
features. G halves: 2 with an unconditional one for the guidance, else 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soulstream_training.losses.kinematics import speed_of_rows
from soulstream_training.models.attention import KeyValue
from soulstream_training.models.hrvq import FRAMES_PER_TOKEN, Hrvq
from soulstream_training.models.magm import Magm
from soulstream_training.models.window import HIDDEN, layout

from .cached_attention import Sides, run_block

STAGES = ("mask", "residual")


def _stacked(pairs: list[KeyValue]) -> tuple[Tensor, Tensor]:
    """Per-block pairs [G, H, M, E] -> keys and values [G, Y, H, M, E]."""
    return torch.stack([pair[0] for pair in pairs], 1), torch.stack([pair[1] for pair in pairs], 1)


class MusicStep(nn.Module):
    """Feature rows [commit + fresh, 4, F] -> for each stage tokens [G, M, W], keys and values [G, Y, H, M, E].

    Args:
        mask: Mask stage.
        residual: Residual stage.
        halves: G.
    """

    def __init__(self, mask: Magm, residual: Magm, halves: int = 2) -> None:
        super().__init__()
        self.stages = nn.ModuleList([mask, residual])
        self.register_buffer("keep", torch.tensor([1.0, 0.0])[:halves])

    keep: Tensor

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Outputs in the order tokens, keys, values of the mask stage, then of the residual stage."""
        outputs: list[Tensor] = []
        for stage in self.stages:
            heard = rows[None].expand(self.keep.shape[0], -1, -1, -1)
            tokens = stage.encode_music(heard, self.keep)  # type: ignore[operator]
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
            codes: [C, N, Q] int64.
            level_seen: [C, N, Q] float32, 1 where a code may be looked at.
            level: [1] int64 index of the level to predict (0 is the stage's first).
            committing: [1] float32, 1 to treat the positions as committed (causal, for the cache).
            past_k: [G, Y, H, context x P, E] keys of committed positions, newest last.
            past_v: Values, the same shape.
            past_valid: [context] float32, 0 for slots before the start.
            music_k: [G, Y, H, banked + fresh, E].
            music_v: Values, the same shape.
            music_valid: [banked + fresh] float32.
            aligned: [G, planned, W] music tokens at the planned times.

        Returns:
            Logits [G, C, N, K]; new keys and values [G, Y, H, N, E] of the first plan.
        """
        stage = self.stage
        sides = Sides(past_k.shape[0], codes.shape[0], self.part.shape[0])
        x = self._embed(codes, level_seen, level, committing, aligned, sides)
        unseen = (1.0 - past_valid).repeat_interleave(stage.config.num_parts) * HIDDEN
        bias = stage.self_bias(self.distance) + committing * self.later
        bias = bias + torch.cat([unseen, unseen.new_zeros(sides.positions)])
        # not (1 - valid) * HIDDEN: OpenVINO would add HIDDEN to the bias first, and the sum keeps three digits of it
        music_bias = stage.music_bias(self.music_distance) + torch.where(music_valid > 0.0, 0.0, HIDDEN)
        keys, values = [], []
        for i, block in enumerate(stage.blocks):
            past, music = (past_k[:, i], past_v[:, i]), (music_k[:, i], music_v[:, i])
            x, key, value = run_block(block, x, sides, past, bias, music, music_bias)  # type: ignore[arg-type]
            keys.append(key)
            values.append(value)
        logits = self._logits(x, level, sides)
        return logits, torch.stack(keys, 1), torch.stack(values, 1)

    def _embed(
        self, codes: Tensor, level_seen: Tensor, level: Tensor, committing: Tensor, aligned: Tensor, sides: Sides
    ) -> Tensor:
        """Rows [G x C x N, W]: ``Magm.embed`` of every plan, the parts that plans or halves share computed once."""
        stage, config = self.stage, self.stage.config
        offsets = torch.arange(config.levels) + self.part[:, None] * config.levels
        looked_up = F.embedding(codes + offsets * config.num_codes, stage.code_tables.flatten(0, 2))
        total = (looked_up * level_seen[..., None]).sum(2)
        total = total + (1.0 - level_seen.amax(2, keepdim=True)) * stage.mask_embedding
        role = stage.role_embedding[0] + committing * (stage.role_embedding[1] - stage.role_embedding[0])
        shared = stage.part_embedding[self.part] + role
        if config.levels_out > 1:
            shared = shared + (1.0 - committing) * F.embedding(level, stage.level_embedding)
        heard = stage.align(aligned)[:, self.time] + shared
        entered: Tensor = stage.enter(total.flatten(0, 1))
        rows: Tensor = (entered.view(1, *total.shape) + heard[:, None]).flatten(0, 2)
        return rows

    def _logits(self, x: Tensor, level: Tensor, sides: Sides) -> Tensor:
        """Scores [G, C, N, K] of rows [G x C x N, W]: ``Magm.logits``."""
        stage, config = self.stage, self.stage.config
        features: Tensor = stage.head(x).view(-1, config.num_parts, x.shape[-1]).transpose(0, 1)
        scores = features @ stage.out_tables[level][0] + stage.out_bias[level][0][:, None]
        return scores.transpose(0, 1).reshape(sides.halves, sides.plans, sides.positions, config.num_codes)


class DecoderStep(nn.Module):
    """Decode plans [C, P, planned, Q] from the same state, foresee all of them and remember what is committed.

    Gives motion rows [C, 4 planned, D] (raw units), speed [C, 4 planned] (m/s; column i is the mean joint speed from
    row i - 1 to row i) and the states after the first ``kept`` [1] int64 tokens, which are committed; the last state is
    the row before the first one.

    Args:
        tokenizer: The trained HRVQ.
        levels: Q; levels that the sampler draws, coarsest first. The finer ones count as nothing.
    """

    def __init__(self, tokenizer: Hrvq, levels: int) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.decoder = tokenizer.decoder
        self.register_buffer("tables", tokenizer.quantizer.tables[:, :levels])

    tables: Tensor

    def initial_states(self, plans: int) -> list[Tensor]:
        """States of ``plans`` plans at the start: zeros."""
        return [*self.decoder.initial_states(plans), self.tokenizer.mean.new_zeros(plans, 1, len(self.tokenizer.mean))]

    def forward(self, codes: Tensor, kept: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Look up, sum, decode, de-normalise, and see how fast the body moves."""
        num_parts, levels, num_codes, dim = self.tables.shape
        offset = torch.arange(num_parts * levels).view(num_parts, 1, levels) * num_codes
        chosen = self.tables.view(-1, dim)[codes + offset[None]]
        latents = chosen.sum(3).permute(0, 1, 3, 2).flatten(1, 2)
        *decoder_states, before = states
        normal, new = self.decoder(latents, decoder_states, keep=kept)
        rows = torch.cat([before, normal * self.tokenizer.std + self.tokenizer.mean], 1)
        return rows[:, 1:], speed_of_rows(rows), *new, rows.index_select(1, FRAMES_PER_TOKEN * kept)
