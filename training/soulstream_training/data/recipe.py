"""What a data set is made from: the settings of ``data prepare``, a TOML file."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from soulstream_training.data.motion_quality import QualityLimits


class ClipSettings(BaseModel):
    """What the table cannot say of a clip: ``joint_map`` of a BVH by name, ``rest_frame`` in which it stands."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    joint_map: str = ""
    rest_frame: int | None = None


class Quality(BaseModel):
    """Largest values of ``motion_quality.QualityReport`` over the clean segments of a clip; one over is left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    foot_slide_mps: float = QualityLimits().foot_slide_mps
    jitter_mps3: float = QualityLimits().jitter_mps3
    limit_share: float = QualityLimits().limit_share
    floor_penetration_m: float = QualityLimits().floor_penetration_m

    def limits(self) -> QualityLimits:
        """The same as ``motion_quality`` takes it; bone lengths are ours, so they cannot drift."""
        return QualityLimits(**self.model_dump())


class DataRecipe(BaseModel):
    """Settings of a data set; unknown keys are refused.

    ``table`` of the clips, in the data folder; ``formats`` and ``splits`` to take, all if empty; ``face_space`` of the
    set; ``renderings`` of music for each clip that can be paired, every second one for its mirror image (0: none);
    ``window_s`` and ``stride_s`` of the windows that are counted (EDGE's protocol); ``quality`` limits; ``clips``
    settings of single clips by their id.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: str = "clips.csv"
    formats: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    face_space: Literal["arkit52", "flame100", "flame103"] = "arkit52"
    renderings: int = Field(default=0, ge=0, le=100)
    window_s: float = 5.0
    stride_s: float = 0.5
    quality: Quality = Quality()
    clips: dict[str, ClipSettings] = {}
