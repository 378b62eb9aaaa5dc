"""The manifest of a model bundle: what the model expects, what it gives, and what it was made from.

Model facts (skeleton, feature order, frame rate, window, levels) are not settings; they are read from here.
Not for: reading files (``bundle``), choosing a backend (``backends``).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

SCHEMA_VERSION = 1
"""Newest manifest schema this release reads."""

PartName = Literal["body", "hands", "face"]
DTypeName = Literal["float32", "float16", "float64", "int32", "int64", "uint8", "bool"]


class _Section(BaseModel):
    """Frozen, and an unknown key is an error: a misspelt number must never become a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Section):
    """Size and hash of one file of the bundle; ``bytes`` is checked before the file is read, the hash after."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: NonNegativeInt


class Representation(_Section):
    """How motion is written as numbers.

    ``feature_dims`` gives the width of each generated part; parts in ``not_generated`` come from rules (relaxed hands,
    blinks) and receivers may mask them.
    """

    parts: tuple[PartName, ...] = Field(min_length=1)
    rot_source: Literal["local", "ik"]
    face_space: Literal["flame100", "arkit52"]
    fps: Literal[30] = 30
    feature_dims: dict[PartName, PositiveInt]
    not_generated: tuple[PartName, ...] = ()

    @model_validator(mode="after")
    def _parts_agree(self) -> Representation:
        if set(self.parts) != set(self.feature_dims):
            raise ValueError(
                f"parts {list(self.parts)} and feature_dims {sorted(self.feature_dims)} must name the same parts"
            )
        if set(self.parts) & set(self.not_generated):
            raise ValueError(f"a part cannot be both generated {list(self.parts)} and not_generated")
        return self


class Features(_Section):
    """Music features in model order; must equal the order the engine computes."""

    names: tuple[str, ...] = Field(min_length=1)


class Tokenizer(_Section):
    """Residual tokenizer: ``levels`` codes out of ``codes`` for every ``frames_per_token`` frames of a part."""

    levels: PositiveInt
    codes: PositiveInt
    frames_per_token: PositiveInt
    look_ahead_frames: NonNegativeInt = 0


class Sampler(_Section):
    """Window and sampling numbers, in tokens unless the name says frames.

    A tick commits ``commit_tokens`` of the ``planned_tokens``; ``lead_frames`` is how far ahead of the music heard
    the first committed frame lies. ``fresh_past_tokens`` of heard music are computed anew each tick. ``keep_share`` of
    the codes may be drawn. The beat clock is moved by ``beat_offset_ms`` before the network sees it (measured on tuning
    music).
    """

    context_tokens: PositiveInt
    planned_tokens: PositiveInt
    commit_tokens: PositiveInt
    fresh_past_tokens: PositiveInt = 3
    lead_frames: NonNegativeInt = 0
    iterations: PositiveInt
    guidance: float = Field(default=1.0, ge=0.0, le=20.0)
    residual_guidance: float = Field(default=1.0, ge=0.0, le=20.0)
    temperature: PositiveFloat = 1.0
    residual_temperature: PositiveFloat = 1.0
    keep_share: float = Field(default=0.1, gt=0.0, le=1.0)
    beat_offset_ms: float = Field(default=0.0, ge=-250.0, le=250.0)

    @model_validator(mode="after")
    def _commit_fits(self) -> Sampler:
        if self.commit_tokens > self.planned_tokens:
            raise ValueError(f"commit_tokens {self.commit_tokens} must not exceed planned_tokens {self.planned_tokens}")
        return self


class TensorSpec(_Section):
    """One named tensor of a step: fixed shape, fixed dtype."""

    name: str = Field(min_length=1)
    shape: tuple[NonNegativeInt, ...]
    dtype: DTypeName = "float32"


class StateSpec(_Section):
    """A state: give output ``output`` of a run back as input ``input`` of the next. Starts at ``initial``."""

    input: str
    output: str
    initial: float = 0.0


class StepSpec(_Section):
    """Signature of one compiled step: a pure function ``(inputs, states) -> (outputs, states)``.

    States are listed among ``inputs`` and ``outputs`` too, so these two lists are the whole signature of the graph.
    ``sizes`` fixes dimensions that the graph leaves open, by name: one file may serve several steps.
    """

    name: str = Field(min_length=1)
    file: str
    sizes: dict[str, NonNegativeInt] = {}
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    states: tuple[StateSpec, ...] = ()

    @model_validator(mode="after")
    def _states_are_listed(self) -> StepSpec:
        inputs = {spec.name: spec for spec in self.inputs}
        outputs = {spec.name: spec for spec in self.outputs}
        for state in self.states:
            if state.input not in inputs or state.output not in outputs:
                raise ValueError(
                    f"state {state.input!r} -> {state.output!r} of step {self.name!r} is not in its signature"
                )
            before, after = inputs[state.input], outputs[state.output]
            if (before.shape, before.dtype) != (after.shape, after.dtype):
                raise ValueError(
                    f"state {state.input!r} of step {self.name!r} is {list(before.shape)} {before.dtype} going in "
                    f"and {list(after.shape)} {after.dtype} coming out"
                )
        return self


class Manifest(_Section):
    """Everything about a bundle except its weights.

    ``created_from`` is the training-data statement, ``notices`` the lines its licences require, ``metrics`` what was
    measured when the bundle was made (free names, numbers only). ``arithmetic`` is what its large products are computed
    in: ``int8`` graphs are another arithmetic of the same weights; how weights are stored does not count.
    """

    schema_version: Literal[1]
    model_id: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    created_from: str = Field(min_length=1)
    files: dict[str, FileEntry]
    representation: Representation
    features: Features
    tokenizer: Tokenizer
    sampler: Sampler
    steps: tuple[StepSpec, ...] = Field(min_length=1)
    metrics: dict[str, float] = Field(default_factory=dict)
    notices: tuple[str, ...] = ()
    arithmetic: Literal["float32", "int8"] = "float32"

    @model_validator(mode="after")
    def _steps_have_files(self) -> Manifest:
        names = [step.name for step in self.steps]
        if len(set(names)) != len(names):
            raise ValueError(f"step names must be unique, got {names}")
        for step in self.steps:
            if step.file not in self.files:
                raise ValueError(f"step {step.name!r} uses file {step.file!r}, which is not listed in files")
        return self

    def step(self, name: str) -> StepSpec:
        """Signature of a step.

        Raises:
            KeyError: If the manifest has no step of that name; the message lists those it has.
        """
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(f"no step {name!r}; the manifest has {[step.name for step in self.steps]}")
