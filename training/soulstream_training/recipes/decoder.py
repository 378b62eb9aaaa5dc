"""Recipe of the tokenizer's decoder alone: the codes stay what they are, so a sampler trained on them stays valid.

For making the motion better that known codes stand for. Not for: the codes (``hrvq``).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from soulstream_training.data.guard import united
from soulstream_training.losses.tokenizer import TokenizerLossWeights, tokenizer_loss
from soulstream_training.models.hrvq import Hrvq
from soulstream_training.models.processes import own_share

from .checkpoint import save_weights
from .hrvq import (
    BEST_BY,
    WEIGHTS_NAME,
    HrvqRecipe,
    held_out_numbers,
    learned_apart,
    load_hrvq,
    material,
    trained_on,
)
from .loop import Loop, LoopConfig, bfloat16_pays
from .motion_rows import WindowSampler

FEWER_LEVELS = 0.6
"""Share of batches that show only a random number of levels: a sampler may draw fewer than there are (ours)."""


def train_decoder(recipe: HrvqRecipe, store: Path, music: Path, out: Path, weights_folder: Path) -> Hrvq:
    """Go on training the decoder of the tokenizer in ``weights_folder``; the result replaces it.

    Args:
        recipe: Settings of the tokenizer; its ``kind``, ``size`` and ``model`` are those of the weights.
        store: Prepared motion.
        music: Renderings made for it; not read without ``bent_motion``.
        out: Folder of the run.
        weights_folder: Weights of the tokenizer, read and replaced.

    Returns:
        The model with averaged weights, in evaluation mode.
    """
    torch.set_num_threads(recipe.threads)
    model = load_hrvq(weights_folder)
    for frozen in (model.encoders, model.quantizer):
        frozen.requires_grad_(False)
    train, held_out, bent_held_out = material(recipe, store, music)
    sampler = WindowSampler(train, recipe.frames, cap=recipe.cap)
    config = LoopConfig(
        steps=recipe.steps,
        rate=recipe.rate,
        minutes=recipe.minutes,
        validate_every=recipe.validate_every,
        save_every_s=recipe.save_every_s,
        bf16=recipe.bf16 and bfloat16_pays(),
    )
    learned = united(trained_on(weights_folder), learned_apart(store, recipe))
    description = {
        "model": model.config.to_json(),
        "recipe": recipe.model_dump(mode="json"),
        "trained_on": learned,
    }
    loop = Loop(model, out, config, recipe.seed, description)
    loss_weights = TokenizerLossWeights(**recipe.loss)

    def step(generator: torch.Generator, number: int) -> tuple[Tensor, dict[str, float]]:
        model.quantizer.eval()  # the loop puts everything into training mode; these codes must not move
        motion, worth = map(own_share, sampler.draw(recipe.batch, generator))
        levels = model.config.levels
        if torch.rand((), generator=generator) < FEWER_LEVELS:
            levels = int(torch.randint(1, levels + 1, (), generator=generator))
        with torch.no_grad():
            quantised = model.quantizer(model.encode(motion), levels=levels)
        made, _ = model.decoder(quantised.latents)
        with torch.autocast("cpu", enabled=False):  # bfloat16 kinematics err by millimetres
            return tokenizer_loss(model, motion, worth, made, quantised.commitment, loss_weights)

    loop.run(step, lambda: held_out_numbers(model, held_out, bent_held_out), BEST_BY)
    model.load_state_dict(loop.averaged)
    model.eval()
    if loop.is_main:
        save_weights(weights_folder, WEIGHTS_NAME, model.state_dict(), loop.step, description)
    return model
