"""A tiny retrieval model with random weights, and its encoders exported by the real exporter.

Exporting takes some seconds, so it is done once per run and shared.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from soulstream_engine.features.layout import NUM_FEATURES

if TYPE_CHECKING:
    from soulstream_training.models.mmr import Mmr

MOTION_COLUMNS = 263
TRAINED_ON = {"recordings": ["0123456789abcdef"], "takes": [], "songs": ["fedcba9876543210"]}
STEP = 12


class ToyStyle(NamedTuple):
    """A model in evaluation mode (with weights that float16 holds) and the folder made of it."""

    model: Mmr
    folder: Path


def toy_mmr(music_dim: int = NUM_FEATURES) -> Mmr:
    """A random model in evaluation mode whose statistics are not those of its first day."""
    import torch

    from soulstream_export.graph import round_to_half
    from soulstream_training.models.mmr import Mmr, MmrConfig
    from soulstream_training.recipes.mmr_recipe import SIZES

    torch.manual_seed(7)
    model = Mmr(MmrConfig(motion_dim=MOTION_COLUMNS, music_dim=music_dim, **SIZES["toy"])).eval()
    for encoder in (model.motion, model.music):
        encoder.mean.normal_()
        encoder.std.uniform_(0.1, 2.0)
        if encoder.front is not None:
            torch.nn.init.constant_(encoder.share, 0.5)
    round_to_half(model)
    return model


def save_toy_mmr(folder: Path, model: Mmr, **recipe: Any) -> None:
    """Weights of ``model`` as training writes them."""
    from soulstream_training.recipes.checkpoint import save_weights

    description = {"model": model.config.to_json(), "recipe": recipe, "trained_on": TRAINED_ON}
    save_weights(folder, "mmr_body", model.state_dict(), STEP, description)


@cache
def toy_style(base: Path) -> ToyStyle:
    """The model and its folder, made on the first call.

    Args:
        base: Folder that lasts as long as the tests run.
    """
    from soulstream_export.mmr import export_mmr

    model, folder = toy_mmr(), base / "toy_mmr"
    export_mmr(model, folder, part="body", trained_on=TRAINED_ON, step=STEP)
    return ToyStyle(model, folder)
