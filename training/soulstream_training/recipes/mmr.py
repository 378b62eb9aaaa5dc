"""Recipe of the retrieval model: windows of dance and music in, MMR out (``method.md`` 6).

``mmr_body`` knows the body's 263 columns, ``mmr_whole`` hands and face too. With offline features (a folder of npy) the
music encoder reads those; with a teacher that was trained on such features, the live encoder learns to give its
latents. Not supported here: several processes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soulstream_engine.errors import ConfigError
from soulstream_training.data.guard import check_apart, learned_from, united
from soulstream_training.data.store import read_index
from soulstream_training.losses.mmr import MmrLossWeights
from soulstream_training.models.mmr import Mmr, MmrConfig

from .checkpoint import load_weights, save_weights
from .loop import Loop, LoopConfig, bfloat16_pays
from .mmr_pairs import PairSampler, as_stretch, load_pairs
from .mmr_recipe import SIZES, STEP_FRAMES, MmrRecipe
from .mmr_step import batch_loss
from .motion_rows import normalisation


def weights_name(part: str, *, heavy: bool = False) -> str:
    """Name of the weights of a retrieval model; ``heavy``: its music encoder reads offline features."""
    return f"mmr_{part}_heavy" if heavy else f"mmr_{part}"


def train_mmr(
    recipe: MmrRecipe,
    store: Path,
    music: Path,
    out: Path,
    weights_folder: Path | None = None,
    heavy: Path | None = None,
    teacher: Path | None = None,
) -> Mmr:
    """Train (or go on training) a retrieval model.

    Args:
        recipe: Settings.
        store: Prepared motion.
        music: Renderings made for it, of the splits ``train`` and ``val``.
        out: Folder of the run.
        weights_folder: Where the averaged weights go; ``None`` writes none.
        heavy: Folder with offline features of the renderings; without a teacher the music encoder reads these.
        teacher: Folder of the weights of a model that reads ``heavy``; the live encoder learns its latents.

    Returns:
        The model with averaged weights, in evaluation mode.

    Raises:
        ConfigError: If there is nothing to learn from, a teacher has no offline features to read, or several processes
            were started.
    """
    if teacher is not None and heavy is None:
        raise ConfigError("HEAVY_FEATURES", "A teacher reads offline features.", "Name their folder too.")
    torch.set_num_threads(recipe.threads)
    recipe = recipe.model_copy(update={"bf16": recipe.bf16 and bfloat16_pays()})
    reads_heavy = heavy is not None and teacher is None
    pairs = load_pairs(store, music, recipe.splits, recipe.columns, heavy)
    train = PairSampler(pairs, recipe.frames, recipe.columns, cap=recipe.cap)
    held_out = PairSampler(load_pairs(store, music, ("val",), recipe.columns, heavy), recipe.frames, recipe.columns)
    torch.manual_seed(recipe.seed)
    guide = None if teacher is None else load_mmr(teacher, recipe.part, heavy=True)
    model = _fresh_model(recipe, train, reads_heavy, guide)
    if guide is not None:
        model.motion.load_state_dict(guide.motion.state_dict())
        model.motion.requires_grad_(False)
    weights = MmrLossWeights(**recipe.loss)
    entries = [entry for entry in read_index(store) if entry.split in recipe.splits]
    known = {pair.entry.clip_id for pair in train.pairs}
    learned = learned_from(entry for entry in entries if entry.clip_id in known)
    if teacher is not None:
        learned = united(learned, mmr_trained_on(teacher, recipe.part, heavy=True))
    check_apart(learned, [e for e in read_index(store) if e.split in ("val", "test")], weights_name(recipe.part))
    loop = Loop(
        model,
        out,
        LoopConfig(
            steps=recipe.steps,
            rate=recipe.rate,
            warmup=recipe.warmup,
            average=recipe.average,
            weight_decay=recipe.weight_decay,
            minutes=recipe.minutes,
            validate_every=recipe.validate_every,
            save_every_s=recipe.save_every_s,
            bf16=recipe.bf16,
        ),
        recipe.seed,
        {"model": model.config.to_json(), "recipe": recipe.model_dump(mode="json"), "trained_on": learned},
    )

    if loop.accelerator.num_processes > 1:
        raise ConfigError("ONE_PROCESS", "The retrieval model trains in one process.", "Start it without accelerate.")

    def step(generator: torch.Generator, number: int) -> tuple[Tensor, dict[str, float]]:
        frames = recipe.frames
        if torch.rand((), generator=generator) < recipe.shorter:
            frames = STEP_FRAMES * int(torch.randint(30 // STEP_FRAMES, frames // STEP_FRAMES, (), generator=generator))
        batch = train.draw(recipe.batch, frames, recipe.shifted, generator)
        return batch_loss(model, batch, recipe, weights, generator, guide)

    from soulstream_training.evaluation.mmr_validation import held_out_numbers

    loop.run(step, lambda: held_out_numbers(model, held_out.pairs, reads_heavy), "loss")
    model.load_state_dict(loop.averaged)
    model.eval()
    if weights_folder is not None:
        name = weights_name(recipe.part, heavy=reads_heavy)
        save_weights(weights_folder, name, model.state_dict(), loop.step, loop.description)
    return model


def _fresh_model(recipe: MmrRecipe, train: PairSampler, reads_heavy: bool, guide: Mmr | None) -> Mmr:
    """A model with the statistics of what it is to learn from; of the sizes of its teacher, if it has one."""
    music = [pair.heavy if reads_heavy and pair.heavy is not None else pair.music for pair in train.pairs]
    shape: dict[str, Any] = SIZES[recipe.size] | recipe.model
    if guide is not None:
        shape = {name: value for name, value in guide.config.to_json().items() if not name.endswith("_dim")}
    model = Mmr(MmrConfig(motion_dim=train.pairs[0].rows.shape[1], music_dim=music[0].shape[1], **shape))
    mean, std = normalisation(map(as_stretch, train.pairs), feature_weight=1.0)
    model.motion.mean.copy_(mean)
    model.motion.std.copy_(std)
    rows = np.concatenate(music)
    model.music.mean.copy_(torch.from_numpy(rows.mean(0)))
    model.music.std.copy_(torch.from_numpy(np.maximum(rows.std(0), 0.1)))
    return model


def load_mmr(folder: Path, part: str = "body", *, heavy: bool = False) -> Mmr:
    """A retrieval model from a weights checkpoint, frozen, in evaluation mode.

    Gradients flow through it to what it is given, but not into it: it is a judge (``method.md`` 7).

    Raises:
        ConfigError: If there are no such weights.
    """
    state, meta = load_weights(folder, weights_name(part, heavy=heavy))
    model = Mmr(MmrConfig(**meta["config"]["model"]))
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


def mmr_trained_on(folder: Path, part: str = "body", *, heavy: bool = False) -> dict[str, list[str]]:
    """What the weights were trained on (``data.guard``)."""
    _, meta = load_weights(folder, weights_name(part, heavy=heavy))
    return dict(meta["config"].get("trained_on", {}))


def mmr_columns(folder: Path, part: str = "body") -> str:
    """Columns of the motion that the weights read, as ``load_pairs`` takes them."""
    _, meta = load_weights(folder, weights_name(part))
    return MmrRecipe(**meta["config"]["recipe"]).columns
