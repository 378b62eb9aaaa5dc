"""Settings of the retrieval model's training. Not for: the training itself (``mmr``)."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from soulstream_training.losses.mmr import MmrLossWeights, NegativeFilter
from soulstream_training.models.mmr import MmrConfig

from .settings import check_table

Part = Literal["body", "whole"]
PARTS: tuple[Part, ...] = get_args(Part)

Size = Literal["paper", "stage", "toy"]
SIZES: dict[str, dict[str, Any]] = {
    "paper": {},
    "stage": {"layers": 2, "hidden": 512, "fold": 10, "front": 64},
    "toy": {"width": 32, "layers": 1, "heads": 2, "hidden": 32, "fold": 10, "front": 8},
}

STEP_FRAMES = 10
"""Windows are a multiple of this; every size folds by it or by 1."""


class MmrRecipe(BaseModel):
    """Settings of a retrieval model's training (``training/configs/mmr*.toml``); unknown keys are refused.

    ``frames`` of a window; a share ``shorter`` of the batches has shorter windows, down to a second, so that short
    pieces can be compared (MMR-MS). ``chunk`` windows are encoded at a time, and again for their gradients, where
    memory does not hold the whole batch (0: all at once). ``shifted`` copies of each window's music, off its beat, are
    further negatives. ``hide_timbre`` is the chance that a window is heard without its timbre, so that the rest is
    learned too. ``rebuilt`` windows of a batch are made again from their latents (0: all). ``distil`` weighs the
    distance to the teacher's latents.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    part: Part = "body"
    face_space: str = "arkit52"
    size: Size = "stage"
    splits: tuple[str, ...] = ("train",)
    cap: float = Field(default=0.5, gt=0.0, le=1.0)
    steps: int = 2000
    minutes: float = 0.0
    batch: int = Field(default=128, ge=2)
    chunk: int = Field(default=0, ge=0)
    frames: int = 150
    shorter: float = Field(default=0.3, ge=0.0, le=1.0)
    rebuilt: int = Field(default=32, ge=0)
    shifted: int = Field(default=1, ge=0)
    negative_filter: NegativeFilter = "same_song"
    hide_timbre: float = Field(default=0.0, ge=0.0, le=1.0)
    distil: float = Field(default=1.0, ge=0.0)
    rate: float = 1e-4
    weight_decay: float = 0.01
    average: float = 0.995
    warmup: int = Field(default=100, ge=1)
    seed: int = 1234
    validate_every: int = 250
    bf16: bool = True
    threads: int = 1
    save_every_s: float = 120.0
    model: dict[str, Any] = {}
    loss: dict[str, float] = {}

    @property
    def columns(self) -> str:
        """Columns of the motion, as ``clip_stretches`` names them."""
        return "body" if self.part == "body" else self.face_space

    @field_validator("frames")
    @classmethod
    def _check_frames(cls, value: int) -> int:
        if value < 30 or value % STEP_FRAMES:
            raise ValueError(f"is {value}, must be a multiple of {STEP_FRAMES} and at least 30")
        return value

    @field_validator("model")
    @classmethod
    def _check_model(cls, value: dict[str, Any]) -> dict[str, Any]:
        return check_table(value, MmrConfig, without=("motion_dim", "music_dim"))

    @field_validator("loss")
    @classmethod
    def _check_loss(cls, value: dict[str, float]) -> dict[str, float]:
        return check_table(value, MmrLossWeights)
