"""The networks as pure steps with fixed shapes: what becomes an ONNX graph.

``music``     rows of a tick -> music tokens, keys and values of both stages, for each half of the guidance
``mask``      one pass of the mask stage over the planned positions of all plans (also used to commit)
``residual``  one pass of the residual stage
``decoder``   plans and states -> motion rows of what is committed, pace of all that is planned, and states

Letters: C plans, N planned positions, P parts, Q levels, K codes, F features, Y layers, H heads, E head width, D motion
features. G halves: 2 with an unconditional one for the guidance, else 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soulstream_training.losses.kinematics import speed_of_rows
from soulstream_training.models.attention import KeyValue
from soulstream_training.models.hrvq import FRAMES_PER_TOKEN, Hrvq
from soulstream_training.models.magm import Magm
from soulstream_training.models.window import HIDDEN, layout

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
        committed = committing.expand(self.part.shape[0])
        halves, plans = past_k.shape[0], codes.shape[0]

        def for_all(value: Tensor) -> Tensor:
            """[G, ...] -> [G x C, ...]."""
            return value[:, None].expand(-1, plans, *value.shape[1:]).flatten(0, 1)

        x = stage.embed(
            codes[None].expand(halves, -1, -1, -1).flatten(0, 1),
            level_seen[None].expand(halves, -1, -1, -1).flatten(0, 1),
            self.part,
            committed,
            for_all(aligned[:, self.time]),
            level.expand(halves * plans),
        )
        parts = stage.config.num_parts
        unseen = (1.0 - past_valid).repeat_interleave(parts) * HIDDEN
        bias = stage.self_bias(self.distance) + committing * self.later
        bias = bias + torch.cat([unseen, unseen.new_zeros(self.part.shape[0])])
        music_bias = stage.music_bias(self.music_distance) + (1.0 - music_valid) * HIDDEN
        layers = range(stage.config.layers)
        hidden, new = stage.trunk(
            x,
            [(for_all(past_k[:, i]), for_all(past_v[:, i])) for i in layers],
            bias[None],
            [(for_all(music_k[:, i]), for_all(music_v[:, i])) for i in layers],
            music_bias[None],
        )
        logits = stage.logits(hidden, self.part, level.expand(halves * plans))
        if stage.config.levels_out == 1:
            logits = logits + 0.0 * level  # keeps the input, so that both stages have one signature
        logits = logits.view(halves, plans, *logits.shape[1:])

        def of_first(value: Tensor) -> Tensor:
            """[G x C, ...] -> [G, ...] of the first plan."""
            return value.view(halves, plans, *value.shape[1:])[:, 0]

        keys, values = _stacked([(of_first(key), of_first(value)) for key, value in new])
        return logits, keys, values


class DecoderStep(nn.Module):
    """Decode plans [C, P, planned, Q] from the same state, show what is committed and foresee the rest.

    Gives motion rows [C, 4 commit, D] (raw units) of the tokens to commit, speed [C, 4 planned] (m/s; column i is the
    mean joint speed from row i - 1 to row i) and the states after these tokens; the last state is the row before the
    first one.

    Args:
        tokenizer: The trained HRVQ.
        commit: Tokens that are committed.
        levels: Q; levels that the sampler draws, coarsest first. The finer ones count as nothing.
    """

    def __init__(self, tokenizer: Hrvq, commit: int, levels: int) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.decoder = tokenizer.decoder
        self.commit = commit
        self.register_buffer("tables", tokenizer.quantizer.tables[:, :levels])

    tables: Tensor

    def initial_states(self, plans: int) -> list[Tensor]:
        """States of ``plans`` plans at the start: zeros."""
        return [*self.decoder.initial_states(plans), self.tokenizer.mean.new_zeros(plans, 1, len(self.tokenizer.mean))]

    def forward(self, codes: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Look up, sum, decode, de-normalise, and see how fast the body moves."""
        num_parts, levels, num_codes, dim = self.tables.shape
        offset = torch.arange(num_parts * levels).view(num_parts, 1, levels) * num_codes
        chosen = self.tables.view(-1, dim)[codes + offset[None]]
        latents = chosen.sum(3).permute(0, 1, 3, 2).flatten(1, 2)
        *decoder_states, before = states
        normal, new = self.decoder(latents, decoder_states, keep=self.commit)
        rows = torch.cat([before, normal * self.tokenizer.std + self.tokenizer.mean], 1)
        motion = rows[:, 1 : 1 + FRAMES_PER_TOKEN * self.commit]
        return motion, speed_of_rows(rows), *new, motion[:, -1:]
