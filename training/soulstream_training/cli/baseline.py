"""``soulstream-train baseline``: the systems to compare with."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

from .common import MusicOption, RunsOption, StoreOption, WeightsOption


class Name(StrEnum):
    """Baselines that learn."""

    regressor = "regressor"
    gpt = "gpt"
    diffusion = "diffusion"
    partwise = "partwise"


def baseline(
    name: Name = typer.Argument(help="Which; the others need no training."),
    minutes: float = typer.Option(30.0, min=0.0, help="Time to train; give all of them the same."),
    steps: int = typer.Option(3000, min=1, help="Steps over which the rate falls, and the most there are."),
    store: Path = StoreOption,
    music: Path = MusicOption,
    runs: Path = RunsOption,
    weights: Path = WeightsOption,
) -> None:
    """Train a small system of another kind on the same windows, to compare ours with (resumes a run in --runs).

    Example:
      soulstream-train baseline diffusion --minutes 30 --store .cache/open --music .cache/open_music
    """
    from soulstream_training.baselines.common import BaselineRecipe

    recipe = BaselineRecipe(minutes=minutes, schedule_steps=steps)
    out = weights / "baselines"
    if name == Name.regressor:
        from soulstream_training.baselines.regressor import train_regressor

        train_regressor(recipe, store, music, runs, out)
    elif name == Name.gpt:
        from soulstream_training.baselines.gpt import train_gpt

        train_gpt(recipe, store, music, runs, out, weights / "tokenizers")
    elif name == Name.diffusion:
        from soulstream_training.baselines import diffusion

        diffusion.train(recipe, store, music, runs, out)
    else:
        from soulstream_training.baselines import partwise

        partwise.train(recipe, store, music, runs, out)
