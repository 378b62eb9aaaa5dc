"""Recipe of the sampler's networks: windows of codes and music in, one stage of MAGM out.

One step shows clean tokens (the committed context) and several planned blocks at once, under the mask that streaming
uses (``models.window``). Mask stage: cross-entropy on masked positions: of most blocks everything from some token on,
as the sampler draws, of the others any, their number along a cosine. Residual stage: one level per
window, coarser levels given. Not supported here: alignment loss (needs the retrieval model), several processes.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, field_validator
from torch import Tensor
from torch.nn import functional as F

from soulstream_engine.errors import ConfigError
from soulstream_engine.features.layout import COLUMNS
from soulstream_training.models.magm import Magm, MagmConfig
from soulstream_training.models.quantizer import codes_id
from soulstream_training.models.window import (
    HIDDEN,
    Layout,
    music_distance,
    music_visible,
    self_distance,
    self_visible,
    training_layout,
)

from .checkpoint import load_weights, save_weights
from .loop import Loop, LoopConfig, bfloat16_pays
from .paired import Batch, PairedSampler
from .settings import check_table

STAGE_NAMES = ("magm_mask", "magm_residual")

IGNORED_DEVIATION = 1.0e4
"""Deviation given to features that a model must not look at: after normalisation nothing is left of them.

With a quarter of an hour of motion a model learns which rendering it hears by its timbre, and by it the clip; music it
has not heard then makes its predictions worse (LOG.md, 2026-11-22).
"""


class MagmRecipe(BaseModel):
    """Settings of one stage's training; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = 6000
    minutes: float = 0.0
    batch: int = 32
    blocks: int = 6
    clean: int = 32
    rate: float = 6e-4
    weight_decay: float = 0.01
    hide_music: float = 0.1
    random_code: float = 0.1
    still_masked: float = 0.88
    in_time_order: float = 0.7
    corrupt_context: float = 0.05
    freeze_context: float = 0.0
    ignore_features: tuple[str, ...] = ()
    average: float = 0.999
    drifts: int = 0
    short_context: float = 0.0
    seed: int = 3407
    validate_every: int = 500
    bf16: bool = True
    threads: int = 1
    save_every_s: float = 120.0
    model: dict[str, Any] = {}

    @field_validator("model")
    @classmethod
    def _check_model(cls, value: dict[str, Any]) -> dict[str, Any]:
        return check_table(value, MagmConfig, without=("first_level",))


def window_logits(
    model: Magm,
    sampler: PairedSampler,
    batch: Batch,
    codes: Tensor,
    seen: Tensor,
    layout: Layout,
    level: Tensor | None,
    remembered: int = 0,
) -> Tensor:
    """Logits of every position of a training layout.

    Args:
        model: One stage.
        sampler: For the geometry of music.
        batch: Music of the windows.
        codes: [B, N, Q] codes at each position of the layout.
        seen: [B, N, Q] which levels may be looked at.
        layout: Clean positions, then planned blocks.
        level: [B] index of the level to predict, or ``None``.
        remembered: Committed tokens that may be looked at; 0 is the whole context.

    Returns:
        [B, N, K].
    """
    geometry = sampler.geometry
    starts = sampler.tick_starts()
    bank_time = sampler.bank_times()
    fresh_offsets = torch.arange(-geometry.fresh_past, geometry.planned)
    fresh_time = (starts[:, None] + fresh_offsets[None]).flatten()
    fresh_start = starts.repeat_interleave(geometry.fresh)
    music = model.encode_music(torch.cat([batch.bank_rows, batch.fresh_rows.flatten(1, 2)], dim=1), batch.keep)
    tick = layout.start // geometry.commit
    own = bank_time.shape[0] + tick * geometry.fresh + geometry.fresh_past + (layout.time - layout.start)
    committed = (layout.block < 0).float()
    x = model.embed(codes, seen, layout.part, committed, music[:, own], level)
    memory = replace(geometry, context=remembered) if remembered else geometry
    bias = model.bias_from(model.self_bias, self_distance(layout, layout), self_visible(layout, layout, memory))
    music_bias = model.bias_from(
        model.music_bias,
        music_distance(layout, bank_time, fresh_time),
        music_visible(layout, bank_time, fresh_time, fresh_start, geometry),
    )
    valid = torch.cat([batch.bank_valid, batch.bank_valid.new_ones(len(batch.bank_valid), fresh_time.shape[0])], dim=1)
    music_bias = music_bias + (1.0 - valid[:, None, None, :]) * HIDDEN
    if torch.is_autocast_enabled("cpu"):  # once here, not in every block
        bias, music_bias = bias.bfloat16(), music_bias.bfloat16()
    hidden, _ = model.trunk(x, None, bias, model.music_key_values(music), music_bias)
    return model.logits(hidden, layout.part, level)


def masked_positions(
    size: int, blocks: int, planned: int, parts: int, in_time_order: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """What is to be predicted in each planned block, and where nothing of it may be shown: [size, blocks x N] bool.

    A share of the blocks is masked from some token on, as the sampler meets them when it draws in the order of time:
    nothing of that is shown. In the others any positions are chosen, their number along a cosine (MaskGIT), and a few
    of them are shown, true or false, so that the network also looks at what it is given.
    """
    per_block = planned * parts
    uniform = torch.rand(size, blocks, 1, generator=generator)
    count = (torch.cos(0.5 * math.pi * uniform) * per_block).round().clamp(min=1)
    rank = torch.rand(size, blocks, per_block, generator=generator).argsort(-1).argsort(-1)
    tail = torch.arange(per_block) // parts >= (uniform * planned).floor()
    ordered = torch.rand(size, blocks, 1, generator=generator) < in_time_order
    target = torch.where(ordered, tail, rank < count)
    return target.flatten(1), (target & ordered).flatten(1)


def frozen(shown: Tensor, layout: Layout, clean: int, share: float, generator: torch.Generator) -> Tensor:
    """Let the context of some windows stand still for a while: a dancer who got stuck must learn to go on.

    Args:
        shown: [B, N, Q] codes.
        layout: Their positions, time-major; clean ones first.
        clean: How many of them are clean.
        share: Share of the windows.
        generator: Randomness.

    Returns:
        [B, N, Q]; in those windows a stretch of clean tokens repeats the token before it.

    Source: ours (LOG.md, 2026-11-27).
    """
    if share == 0.0:
        return shown
    size, tokens = shown.shape[0], int(layout.time[clean - 1]) + 1
    first = torch.randint(tokens, (size, 1), generator=generator)
    length = torch.randint(2, tokens + 1, (size, 1), generator=generator)
    length = torch.where(torch.rand(size, 1, generator=generator) < share, length, 0)
    time = layout.time[:clean][None]
    stands = (time > first) & (time <= first + length)
    parts = clean // tokens
    source = torch.where(stands, first * parts + layout.part[:clean], torch.arange(clean))
    still = shown[:, :clean].gather(1, source[..., None].expand(-1, -1, shown.shape[2]))
    return torch.cat([still, shown[:, clean:]], dim=1)


def _flatten(codes: Tensor, layout: Layout) -> Tensor:
    """True codes [B, L, P, Q] at the positions of a layout: [B, N, Q]."""
    return codes[:, layout.time, layout.part]


def stage_loss(
    model: Magm, sampler: PairedSampler, batch: Batch, recipe: MagmRecipe, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy of one batch: see the module. Returns the loss and numbers to log."""
    config = model.config
    geometry = sampler.geometry
    size, parts = batch.codes.shape[0], config.num_parts
    order = torch.randperm(recipe.clean // geometry.commit + 1, generator=generator)[: recipe.blocks]
    blocks = order.shape[0]
    layout = training_layout(recipe.clean, order * geometry.commit, geometry, parts)
    clean = recipe.clean * parts
    truth = _flatten(batch.codes, layout)
    shown = truth.clone()
    positions = truth.shape[1]
    noise = torch.randint(config.num_codes, truth.shape, generator=generator)
    spoil = torch.rand(size, positions, 1, generator=generator) < recipe.corrupt_context
    spoil[:, clean:] = False
    shown = torch.where(spoil, noise, shown)
    shown = frozen(shown, layout, clean, recipe.freeze_context, generator)
    seen = torch.ones(size, positions, config.levels)
    level: Tensor | None = None
    if config.first_level == 0:
        target, hidden = masked_positions(size, blocks, geometry.planned, parts, recipe.in_time_order, generator)
        dice = torch.rand(target.shape, generator=generator)
        is_random = target & ~hidden & (dice < recipe.random_code)
        masked_below = recipe.random_code + (1.0 - recipe.random_code) * recipe.still_masked
        is_masked = hidden | (target & ~is_random & (dice < masked_below))
        shown[:, clean:, 0] = torch.where(is_random, noise[:, clean:, 0], shown[:, clean:, 0])
        seen[:, clean:, 1:] = 0.0
        seen[:, clean:, 0] = (~is_masked).float()
        answer = truth[:, clean:, 0]
    else:
        u = torch.rand(size, generator=generator)
        level = ((1.0 - torch.cos(0.5 * math.pi * u)) * (config.levels - 2)).round().long()
        seen[:, clean:] = (torch.arange(config.levels)[None, None] <= level[:, None, None]).float()
        target = torch.ones(size, positions - clean, dtype=torch.bool)
        answer = truth[:, clean:].gather(2, (level + 1)[:, None, None].expand(-1, positions - clean, 1))[..., 0]
    remembered = 0
    if torch.rand((), generator=generator) < recipe.short_context:
        remembered = geometry.commit * int(torch.randint(1, 5, (), generator=generator))
    logits = window_logits(model, sampler, batch, shown, seen, layout, level, remembered)[:, clean:]
    losses = F.cross_entropy(logits.flatten(0, 1), answer.flatten(), reduction="none").view_as(answer)
    counted = target * batch.trust[:, layout.time[clean:]]
    total = counted.sum().clamp(min=1.0)
    loss = (losses * counted).sum() / total
    right = ((logits.argmax(-1) == answer) * counted).sum() / total
    return loss, {"loss": float(loss.detach()), "right": float(right)}


def train_magm(
    recipe: MagmRecipe,
    stage: int,
    train: PairedSampler,
    held_out: PairedSampler,
    out: Path,
    weights_folder: Path | None = None,
    start_from: Path | None = None,
) -> Magm:
    """Train (or go on training) one stage.

    Args:
        recipe: Settings.
        stage: 0 mask, 1 residual.
        train: Windows to learn from.
        held_out: Windows to measure on.
        out: Folder of the run.
        weights_folder: Where the averaged weights go; ``None`` writes none.
        start_from: Folder of weights to go on from (a new optimiser, a new warm-up); ``None`` starts afresh.

    Returns:
        The model with averaged weights, in evaluation mode.
    """
    torch.set_num_threads(recipe.threads)
    recipe = recipe.model_copy(update={"bf16": recipe.bf16 and bfloat16_pays()})
    shape = {"num_features": train.features.shape[1]} | recipe.model
    config = MagmConfig(first_level=stage, **shape)
    codes = codes_id(train.codebooks)
    _check_codes(out / "last.json", codes, "Remove the folder of the run: its codes are gone.")
    torch.manual_seed(recipe.seed + stage)
    model = Magm(config)
    model.start_from_codebooks(train.codebooks)
    mean, deviation = train.feature_statistics()
    if start_from is not None:
        model = load_magm(start_from, stage, train.codebooks)
    for name in recipe.ignore_features:
        deviation[COLUMNS[name]] = IGNORED_DEVIATION
    model.feature_mean.copy_(mean)
    model.feature_std.copy_(deviation)
    loop = Loop(
        model,
        out,
        LoopConfig(
            steps=recipe.steps,
            rate=recipe.rate,
            average=recipe.average,
            weight_decay=recipe.weight_decay,
            minutes=recipe.minutes,
            validate_every=recipe.validate_every,
            save_every_s=recipe.save_every_s,
            bf16=recipe.bf16,
        ),
        recipe.seed + stage,
        {"model": config.to_json(), "recipe": recipe.model_dump(mode="json"), "codes": codes},
    )

    def step(generator: torch.Generator, number: int) -> tuple[Tensor, dict[str, float]]:
        return stage_loss(model, train, train.draw(recipe.batch, generator), recipe, generator)

    def validate() -> dict[str, float]:
        return validation_numbers(model, held_out, recipe)

    loop.run(step, validate, "loss_heard")
    model.load_state_dict(loop.averaged)
    model.eval()
    if weights_folder is not None and loop.is_main:
        about = {"model": config.to_json(), "codes": codes}
        save_weights(weights_folder, STAGE_NAMES[stage], model.state_dict(), loop.step, about)
    return model


def validation_numbers(model: Magm, held_out: PairedSampler, recipe: MagmRecipe) -> dict[str, float]:
    """Loss on fixed held-out windows with their music, and with the music hidden: the gap is what it hears."""
    numbers = {}
    for name in ("heard", "hidden"):
        generator = torch.Generator().manual_seed(1)
        total = 0.0
        for _ in range(4):
            batch = held_out.draw(recipe.batch, generator)
            if name == "hidden":
                batch.keep.zero_()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.bf16):
                total += stage_loss(model, held_out, batch, recipe, generator)[1]["loss"] / 4
        numbers[f"loss_{name}"] = total
    return numbers


def load_magm(folder: Path, stage: int, codebooks: Tensor) -> Magm:
    """One stage from a weights checkpoint, in evaluation mode.

    Args:
        folder: Weights that last.
        stage: 0 mask, 1 residual.
        codebooks: [P, Q, K, C] of the tokenizer it is to be used with; further levels than its own do not matter.

    Raises:
        ConfigError: If it was trained on other codes.
    """
    state, meta = load_weights(folder, STAGE_NAMES[stage])
    model = Magm(MagmConfig(**meta["config"]["model"]))
    path = folder / f"{STAGE_NAMES[stage]}.json"
    _check_codes(path, codes_id(codebooks[:, : model.config.levels]), "Train both stages of the sampler again.")
    model.load_state_dict(state)
    return model.eval()


def _check_codes(path: Path, codes: str, remedy: str) -> None:
    """Refuse a checkpoint (its JSON, if there is one) that was trained on the codes of another tokenizer."""
    if not path.is_file():
        return
    found = json.loads(path.read_text(encoding="utf-8"))["config"].get("codes")
    if found != codes:
        raise ConfigError(
            "CODES_CHANGED", f"'{path.name}' was trained on codes {found}, the tokenizer has {codes}.", remedy
        )
