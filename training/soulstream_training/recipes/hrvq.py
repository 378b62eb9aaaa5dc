"""Recipe of the tokenizer: windows of motion in, HRVQ weights out.

Not supported here: hands and face (no recording has them yet), several processes.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, field_validator
from torch import Tensor

from soulstream_training.losses.tokenizer import TokenizerLossWeights, tokenizer_loss
from soulstream_training.models.hrvq import Hrvq, HrvqConfig

from .checkpoint import load_weights, save_weights
from .loop import Loop, LoopConfig, bfloat16_pays
from .motion_rows import F32, Stretch, WindowSampler, clip_stretches, load_clips, normalisation
from .settings import check_table
from .takes import bent_stretches

WEIGHTS_NAME = "hrvq"


class HrvqRecipe(BaseModel):
    """Settings of the tokenizer's training (``training/configs/*.toml``); unknown keys are refused.

    ``bent_motion`` adds the motion that was bent to the renderings: the sampler learns its codes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    splits: tuple[str, ...] = ("train",)
    steps: int = 9000
    minutes: float = 0.0
    batch: int = 16
    frames: int = 64
    rate: float = 1e-3
    seed: int = 3407
    stop_resets_at: float = 0.8
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
    config = HrvqConfig.from_json(recipe.model) if recipe.model else HrvqConfig()
    loss_weights = TokenizerLossWeights(**recipe.loss)
    train, held_out, bent_held_out = material(recipe, store, music)
    torch.manual_seed(recipe.seed)
    model = Hrvq(config)
    mean, std = normalisation([stretch for stretch in train if not stretch.is_bent])
    model.mean.copy_(mean)
    model.std.copy_(std)
    sampler = WindowSampler(train, recipe.frames)
    loop = Loop(
        model,
        out,
        LoopConfig(
            steps=recipe.steps,
            rate=recipe.rate,
            minutes=recipe.minutes,
            validate_every=recipe.validate_every,
            save_every_s=recipe.save_every_s,
            bf16=recipe.bf16 and bfloat16_pays(),
        ),
        recipe.seed,
        {"model": config.to_json(), "recipe": recipe.model_dump(mode="json"), "loss": asdict(loss_weights)},
    )

    def step(generator: torch.Generator, number: int) -> tuple[Tensor, dict[str, float]]:
        if number >= recipe.stop_resets_at * recipe.steps:
            model.quantizer.set_reset_below(0.0)
        motion = sampler.draw(recipe.batch, generator)
        made, quantised = model(motion, generator)
        with torch.autocast("cpu", enabled=False):  # bfloat16 kinematics err by millimetres
            return tokenizer_loss(model, motion, made, quantised.commitment, loss_weights)

    loop.run(step, lambda: held_out_numbers(model, held_out, bent_held_out))
    model.load_state_dict(loop.averaged)
    model.eval()
    if weights_folder is not None:
        save_weights(weights_folder, WEIGHTS_NAME, model.state_dict(), loop.step, {"model": config.to_json()})
    return model


def material(recipe: HrvqRecipe, store: Path, music: Path) -> tuple[list[Stretch], list[F32], list[F32]]:
    """Stretches to learn from, held-out rows as danced, and held-out rows bent to their renderings."""
    train = [
        s for clip in load_clips(store, recipe.splits) for s in clip_stretches(clip, with_mirror=True, min_rows=24)
    ]
    held_out = [
        s.rows for clip in load_clips(store, ("val",)) for s in clip_stretches(clip, with_mirror=False, min_rows=24)
    ]
    if not recipe.bent_motion:
        return train, held_out, held_out
    bent = [stretch for split in recipe.splits for stretch in bent_stretches(store, music, split)]
    return train + bent, held_out, [s.rows for s in bent_stretches(store, music, "val")[::8]]


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


def load_hrvq(folder: Path) -> Hrvq:
    """The tokenizer from a weights checkpoint, in evaluation mode."""
    state, meta = load_weights(folder, WEIGHTS_NAME)
    model = Hrvq(HrvqConfig.from_json(meta["config"]["model"]))
    model.load_state_dict(state)
    return model.eval()
