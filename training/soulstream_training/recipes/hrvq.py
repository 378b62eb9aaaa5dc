"""Recipe of the tokenizers: windows of motion in, weights out.

One recipe serves HRVQ and what it is compared with, on the same data, steps and optimiser: ``kind`` tells which.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor

from soulstream_engine.errors import ConfigError
from soulstream_training.data.guard import check_apart, learned_from
from soulstream_training.data.store import read_index
from soulstream_training.losses.tokenizer import TokenizerLossWeights, tokenizer_loss
from soulstream_training.models.hrvq import Hrvq
from soulstream_training.models.hrvq_config import MOTIONS, HrvqConfig, Size, preset
from soulstream_training.models.processes import own_share

from .checkpoint import load_weights, save_weights
from .loop import Loop, LoopConfig, bfloat16_pays
from .motion_rows import F32, RULE_WEIGHT, Stretch, WindowSampler, clip_stretches, load_clips, normalisation
from .recombine import recombined
from .settings import check_table
from .takes import bent_stretches

WEIGHTS_NAME = "hrvq"
"""Name of the weights of the tokenizer that the sampler speaks; each kind has a file of its own name."""

BEST_BY = "mpjpe_body_mm"
"""Number of the validation that says which weights to keep as the best."""

MIN_ROWS = 24
"""Shorter stretches are neither learned from nor measured on. Source: ours; less than a second."""

Kind = Literal["hrvq", "rvq", "rvq18", "vq512", "vq1024"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class HrvqRecipe(BaseModel):
    """Settings of a tokenizer's training (``training/configs/*.toml``); unknown keys are refused.

    ``kind`` and ``size`` name a preset (``models.hrvq_config``), ``face_space`` the columns: ``body`` alone, or body,
    hands and that face; ``model`` changes single fields. ``rule_weight`` is what hands and face made by rule are worth.
    ``formats`` are those of the recordings to learn from, all if empty; ``recombined`` pairs of clips lend each other
    their legs. ``bent_motion`` adds the motion that was bent to the renderings: the sampler learns its codes. Codes
    that starve are replaced until the share ``stop_resets_at`` of the steps, those of ``resets_to_the_end`` always.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = "hrvq"
    size: Size = "stage"
    face_space: str = "body"
    splits: tuple[str, ...] = ("train",)
    formats: tuple[str, ...] = ()
    recombined: int = Field(default=0, ge=0)
    cap: float = Field(default=0.5, gt=0.0, le=1.0)
    rule_weight: float = Field(default=RULE_WEIGHT, ge=0.0, le=1.0)
    steps: int = 9000
    minutes: float = 0.0
    batch: int = 16
    frames: int = 64
    rate: float = 1e-3
    warmup: int = Field(default=200, ge=1)
    seed: int = 3407
    stop_resets_at: float = 0.8
    resets_to_the_end: tuple[Literal["body", "hands", "face"], ...] = ()
    bent_motion: bool = True
    validate_every: int = 1000
    bf16: bool = True
    threads: int = 1
    save_every_s: float = 120.0
    model: dict[str, Any] = {}
    loss: dict[str, float] = {}

    @field_validator("frames")
    @classmethod
    def _check_frames(cls, value: int) -> int:
        if value < 24 or value % 4:
            raise ValueError(f"is {value}, must be a multiple of 4 and at least 24, or no moment of rest fits in")
        return value

    @field_validator("face_space")
    @classmethod
    def _check_face_space(cls, value: str) -> str:
        if value not in MOTIONS:
            raise ValueError(f"is '{value}', must be one of {', '.join(MOTIONS)}")
        return value

    @model_validator(mode="after")
    def _check_bent(self) -> HrvqRecipe:
        if self.bent_motion and self.face_space != "body":
            raise ValueError("bent_motion is of the body alone; set it to false for hands and face")
        return self

    @field_validator("model")
    @classmethod
    def _check_model(cls, value: dict[str, Any]) -> dict[str, Any]:
        return check_table(value, HrvqConfig)

    @field_validator("loss")
    @classmethod
    def _check_loss(cls, value: dict[str, float]) -> dict[str, float]:
        return check_table(value, TokenizerLossWeights)


def train_hrvq(recipe: HrvqRecipe, store: Path, music: Path, out: Path, weights_folder: Path | None = None) -> Hrvq:
    """Train (or go on training) the tokenizer.

    Args:
        recipe: Settings.
        store: Prepared motion.
        music: Renderings made for it; not read without ``bent_motion``.
        out: Folder of the run: full checkpoints and logs.
        weights_folder: Where the averaged weights go at the end; ``None`` writes none.

    Returns:
        The model with averaged weights, in evaluation mode.
    """
    torch.set_num_threads(recipe.threads)
    config = preset(recipe.kind, size=recipe.size, face_space=recipe.face_space, **recipe.model)
    loss_weights = TokenizerLossWeights(**recipe.loss)
    train, held_out, bent_held_out = material(recipe, store, music)
    torch.manual_seed(recipe.seed)
    model = Hrvq(config)
    mean, std = normalisation([stretch for stretch in train if not stretch.is_bent])
    model.mean.copy_(mean)
    model.std.copy_(std)
    sampler = WindowSampler(train, recipe.frames, cap=recipe.cap)
    loop = Loop(
        model,
        out,
        LoopConfig(
            steps=recipe.steps,
            rate=recipe.rate,
            warmup=recipe.warmup,
            minutes=recipe.minutes,
            validate_every=recipe.validate_every,
            save_every_s=recipe.save_every_s,
            bf16=recipe.bf16 and bfloat16_pays(),
        ),
        recipe.seed,
        {
            "model": config.to_json(),
            "recipe": recipe.model_dump(mode="json"),
            "loss": asdict(loss_weights),
            "trained_on": learned_apart(store, recipe),
        },
    )

    def step(generator: torch.Generator, number: int) -> tuple[Tensor, dict[str, float]]:
        if number >= recipe.stop_resets_at * recipe.steps:
            for number, part in enumerate(config.parts):
                if part not in recipe.resets_to_the_end:
                    model.quantizer.set_reset_below(0.0, number)
        motion, worth = map(own_share, sampler.draw(recipe.batch, generator))
        made, quantised = model(motion, generator)
        with torch.autocast("cpu", enabled=False):  # bfloat16 kinematics err by millimetres
            return tokenizer_loss(model, motion, worth, made, quantised.commitment, loss_weights)

    loop.run(step, lambda: held_out_numbers(model, held_out, bent_held_out), BEST_BY)
    model.load_state_dict(loop.averaged)
    model.eval()
    if weights_folder is not None and loop.is_main:
        save_weights(weights_folder, recipe.kind, model.state_dict(), loop.step, loop.description)
    return model


def material(recipe: HrvqRecipe, store: Path, music: Path) -> tuple[list[Stretch], list[F32], list[F32]]:
    """Stretches to learn from, held-out rows as danced, and held-out rows bent to their renderings."""
    stretches = partial(clip_stretches, min_rows=MIN_ROWS, columns=recipe.face_space, rule_weight=recipe.rule_weight)
    clips = [c for c in load_clips(store, recipe.splits) if not recipe.formats or c.entry.format in recipe.formats]
    train = [s for clip in clips for s in stretches(clip, with_mirror=True)]
    train += [
        stretch
        for clip in recombined(clips, recipe.recombined, recipe.seed)
        for stretch in stretches(clip, with_mirror=True)
    ]
    held_out = [s.rows for clip in load_clips(store, ("val",)) for s in stretches(clip, with_mirror=False)]
    for what, found in (("to learn from", train), ("of the validation split", held_out)):
        if not found:
            message = f"No clip {what} has a clean stretch of {MIN_ROWS} rows."
            raise ConfigError("STRETCHES_EMPTY", message, "Prepare longer clips.")
    if not recipe.bent_motion:
        return train, held_out, held_out
    bent = [stretch for split in recipe.splits for stretch in bent_stretches(store, music, split)]
    return train + bent, held_out, [s.rows for s in bent_stretches(store, music, "val")[::8]]


def learned_apart(store: Path, recipe: HrvqRecipe) -> dict[str, list[str]]:
    """What is learned from, for the weights' JSON; refuses a store in which it is also held out.

    Raises:
        ConfigError: If a recording, take or song of these splits is in the validation or test split too.
    """
    entries = read_index(store)
    learned = learned_from(
        entry
        for entry in entries
        if entry.split in recipe.splits and (not recipe.formats or entry.format in recipe.formats)
    )
    held_out = [entry for entry in entries if entry.split in ("val", "test") and entry.split not in recipe.splits]
    check_apart(learned, held_out, f"the tokenizer {recipe.kind}")
    return learned


def held_out_numbers(model: Hrvq, held_out: list[F32], bent_held_out: list[F32]) -> dict[str, float]:
    """What validation watches: joint error, travel of the root, and how well moments of rest are kept."""
    from soulstream_training.evaluation.tokenizer import body_errors_mm, rests_kept

    errors, kept = body_errors_mm(model, held_out), rests_kept(model, bent_held_out)
    return {
        "mpjpe_body_mm": errors.local_mm,
        "travel": errors.travel_ratio,
        "rests_f1": kept.f1,
        "pace": kept.correlation,
    }


def trained_on(folder: Path, kind: str = WEIGHTS_NAME) -> dict[str, list[str]]:
    """What the weights were trained on (``data.guard``); empty for those that do not say."""
    _, meta = load_weights(folder, kind)
    return dict(meta["config"].get("trained_on", {}))


def load_hrvq(folder: Path, kind: str = WEIGHTS_NAME) -> Hrvq:
    """A tokenizer from a weights checkpoint, in evaluation mode."""
    state, meta = load_weights(folder, kind)
    model = Hrvq(HrvqConfig.from_json(meta["config"]["model"]))
    model.load_state_dict(state)
    return model.eval()
