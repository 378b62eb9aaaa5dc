"""``soulstream-train hrvq``, ``magm`` and ``mmr``: the recipes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer
from pydantic import ValidationError

from .common import MusicOption, RunsOption, StoreOption, WeightsOption, read_section

ConfigOption = typer.Option("training/configs/stage.toml", "--config", help="TOML file; see training/configs.")


class Stage(StrEnum):
    """Which network of the sampler."""

    mask = "mask"
    residual = "residual"


def hrvq(
    config: Path = ConfigOption,
    kind: str = typer.Option(
        "",
        help="hrvq, rvq, rvq18, vq512 or vq1024; their weights go to the folder tokenizers of --weights.",
        show_default="that of the config",
    ),
    store: Path = StoreOption,
    music: Path = MusicOption,
    runs: Path = RunsOption,
    weights: Path = WeightsOption,
) -> None:
    """Train a tokenizer (resumes a run in --runs; the averaged weights go to --weights).

    With --kind, one of the five that are compared: HRVQ, RVQ of 6 and of 18 levels, VQ of 512 and 1,024 codes.

    Example:
      soulstream-train hrvq --config training/configs/tokenizers.toml --kind rvq --store .cache/open
    """
    from soulstream_training.recipes.hrvq import HrvqRecipe, train_hrvq

    recipe = read_section(config, "hrvq", HrvqRecipe)
    if not kind:
        train_hrvq(recipe, store, music, runs / "hrvq", weights)
        return
    try:
        recipe = HrvqRecipe.model_validate(recipe.model_dump() | {"kind": kind})
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"], param_hint="--kind") from error
    train_hrvq(recipe, store, music, runs / f"tokenizer_{kind}", weights / "tokenizers")


def decoder(
    config: Path = ConfigOption,
    store: Path = StoreOption,
    music: Path = MusicOption,
    runs: Path = RunsOption,
    weights: Path = WeightsOption,
) -> None:
    """Go on training the decoder of the tokenizer in --weights; its codes, and the samplers trained on them, stay."""
    from soulstream_training.recipes.decoder import train_decoder
    from soulstream_training.recipes.hrvq import HrvqRecipe

    train_decoder(read_section(config, "decoder", HrvqRecipe), store, music, runs / "decoder", weights)


def magm(
    stage: Stage = typer.Argument(help="Level 0, or the levels after it."),
    config: Path = ConfigOption,
    store: Path = StoreOption,
    music: Path = MusicOption,
    runs: Path = RunsOption,
    weights: Path = WeightsOption,
    go_on: bool = typer.Option(False, "--continue", help="Start from the weights of this stage in --weights."),
) -> None:
    """Train one network of the sampler on the codes of the tokenizer in --weights."""
    import torch

    from soulstream_training.models.magm import MagmConfig
    from soulstream_training.recipes.hrvq import load_hrvq
    from soulstream_training.recipes.magm import MagmRecipe, train_magm
    from soulstream_training.recipes.paired import PairedSampler
    from soulstream_training.recipes.takes import load_takes

    recipe = read_section(config, "magm", MagmRecipe)
    torch.set_num_threads(recipe.threads)
    tokenizer = load_hrvq(weights)
    shape = {"levels": tokenizer.config.levels, "num_codes": tokenizer.config.num_codes}
    shape["num_parts"] = len(tokenizer.config.parts)
    recipe = recipe.model_copy(update={"model": shape | recipe.model})
    network = MagmConfig(**recipe.model)
    train, held_out = (
        PairedSampler(
            load_takes(store, music, split, recipe.drifts),
            tokenizer,
            network.geometry,
            recipe.clean,
            hide,
            network.levels,
        )
        for split, hide in (("train", recipe.hide_music), ("val", 0.0))
    )
    number = list(Stage).index(stage)
    train_magm(recipe, number, train, held_out, runs / f"magm_{stage.value}", weights, weights if go_on else None)


def mmr(
    config: Path = typer.Option("training/configs/mmr.toml", "--config", help="TOML file; see training/configs."),
    part: str = typer.Option("", help="body or whole (hands and face too).", show_default="that of the config"),
    store: Path = StoreOption,
    music: Path = MusicOption,
    runs: Path = RunsOption,
    weights: Path = WeightsOption,
    heavy: Path | None = typer.Option(
        None, "--heavy", help="Folder of offline features, NAME.npy [U, H] for each rendering.", show_default="none"
    ),
    teacher: Path | None = typer.Option(
        None, "--teacher", help="Weights of a model of offline features, to learn from.", show_default="none"
    ),
) -> None:
    """Train a retrieval model: one latent for music, one for dance, alike where they belong together.

    Examples:
      soulstream-train mmr --store .cache/open --music .cache/open_music
      soulstream-train mmr --part whole --store .cache/open --music .cache/open_music
      soulstream-train mmr --heavy jukebox --weights teacher; soulstream-train mmr --heavy jukebox --teacher teacher
    """
    from soulstream_training.recipes.mmr import train_mmr, weights_name
    from soulstream_training.recipes.mmr_recipe import MmrRecipe

    recipe = read_section(config, "mmr", MmrRecipe)
    if part:
        try:
            recipe = MmrRecipe.model_validate(recipe.model_dump() | {"part": part})
        except ValidationError as error:
            raise typer.BadParameter(error.errors()[0]["msg"], param_hint="--part") from error
    name = weights_name(recipe.part, heavy=heavy is not None and teacher is None)
    train_mmr(recipe, store, music, runs / name, weights, heavy, teacher)
