"""Opens an exported retrieval model without trusting it: a folder with ``mmr.json`` and the graphs of two encoders.

Both encoders give latents that are compared by cosine: ``music.onnx`` for the music that is playing
(``load_music_style``), ``motion.onnx`` for dances. As with a bundle, every file is read once, its size and
hash are compared, and only those bytes are used. Not for: writing the folder (``soulstream_export.mmr``), gradients
(``soulstream_training.recipes.mmr.load_mmr``), remembering rows (``sampling.music_style``).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from soulstream_engine.backends import open_backend
from soulstream_engine.bundle import read_document, read_verified
from soulstream_engine.errors import BundleError
from soulstream_engine.features.layout import FEATURE_NAMES
from soulstream_engine.manifest import FileEntry, StepSpec, TensorSpec
from soulstream_engine.onnx_guard import MAX_GRAPH_BYTES, check_graph
from soulstream_engine.sampling.music_style import MusicStyle
from soulstream_engine.sampling.schedule import F32

STYLE_MANIFEST_NAME = "mmr.json"
"""File name of the description inside the folder."""

STYLE_SCHEMA_VERSION = 1
"""Newest schema of it that this release reads."""

MAX_STYLE_MANIFEST_BYTES = 16 * 1024 * 1024
"""Longest description accepted, bytes. Source: ours; it names all recordings that were learned, 60 bytes each."""

MAX_FRAMES = 3600
"""Longest window accepted: 2 minutes. Source: ours; ours have 5 s."""

LATENT, WINDOWS = "latent", "windows"
"""Names of both graphs' output and of the dimension that they leave open."""

EncoderName = Literal["motion", "music"]
ENCODERS: tuple[EncoderName, ...] = get_args(EncoderName)
"""The two encoders: each is the name of its graph's input too, and of its file without ``.onnx``."""


class GraphFile(FileEntry):
    """One encoder's file; ``parity`` is the largest difference of unit latents between torch and ONNX Runtime."""

    bytes: int = Field(ge=1, le=MAX_GRAPH_BYTES)
    parity: float = Field(ge=0.0)


class StyleManifest(BaseModel):
    """What the encoders read and give, and what they learned from (``training`` ``data.guard``)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1]
    part: Literal["body", "whole"]
    licence: str = Field(min_length=1)
    step: NonNegativeInt
    fps: Literal[30]
    frames: int = Field(ge=1, le=MAX_FRAMES)
    width: PositiveInt
    motion_columns: PositiveInt
    feature_names: tuple[str, ...] = Field(min_length=1)
    motion: GraphFile
    music: GraphFile
    trained_on: dict[str, tuple[str, ...]]

    def graph_file(self, name: EncoderName) -> GraphFile:
        """What is said of the file of an encoder."""
        return self.motion if name == "motion" else self.music

    def signature(self, name: EncoderName, windows: int = 1) -> StepSpec:
        """Signature of an encoder for a number of windows at a time."""
        columns = self.motion_columns if name == "motion" else len(self.feature_names)
        return encoder_signature(name, (windows, self.frames, columns), self.width)


@dataclass(frozen=True, slots=True)
class StyleModel:
    """A verified folder, complete in memory: its description and the bytes of its graphs by encoder."""

    manifest: StyleManifest
    graphs: dict[EncoderName, bytes]
    path: Path


def encoder_signature(name: EncoderName, shape: tuple[int, int, int], width: int) -> StepSpec:
    """Signature of an encoder.

    Args:
        name: Of the encoder.
        shape: Windows, frames and columns of its input.
        width: Of the latent.
    """
    return StepSpec(
        name=name,
        file=f"{name}.onnx",
        sizes={WINDOWS: shape[0]},
        inputs=(TensorSpec(name=name, shape=shape),),
        outputs=(TensorSpec(name=LATENT, shape=(shape[0], width)),),
    )


def read_style_model(folder: str | Path) -> StyleModel:
    """Reads and verifies an exported retrieval model.

    Args:
        folder: Made by ``soulstream-export mmr``.

    Returns:
        Its description and graphs.

    Raises:
        BundleError: If the folder or a file is missing, is a link, was changed, is too large, comes from a newer
            release, has unknown or wrong fields (all listed at once), or holds a graph that is not self-contained.

    Source: ours.
    Live: not live.
    """
    path = Path(folder)
    if not path.is_dir():
        raise BundleError(
            "BUNDLE_MISSING",
            f"Retrieval model '{path}' is not a folder.",
            f"Name the folder that holds {STYLE_MANIFEST_NAME}, or make one with soulstream-export mmr.",
        )
    manifest = read_document(path, STYLE_MANIFEST_NAME, StyleManifest, STYLE_SCHEMA_VERSION, MAX_STYLE_MANIFEST_BYTES)
    graphs = {name: read_verified(path, f"{name}.onnx", manifest.graph_file(name)) for name in ENCODERS}
    for name, graph in graphs.items():
        check_graph(graph, f"{name}.onnx")
    return StyleModel(manifest, graphs, path)


def load_music_style(folder: str | Path) -> MusicStyle:
    """Opens the music encoder of an exported retrieval model, to hear what is playing.

    Args:
        folder: Made by ``soulstream-export mmr``.

    Returns:
        A memory of the last rows, empty, with the encoder behind it.

    Raises:
        BundleError: As ``read_style_model``; also if it was trained on other music features than this engine computes.
        BackendError: If the graph cannot be loaded or is not what the description says.

    Live: not live.
    """
    model = read_style_model(folder)
    manifest = model.manifest
    _check_features(model)
    step = open_backend().load(model.graphs["music"], "music", manifest.signature("music"))

    def encode(rows: F32) -> F32:
        return step.run({"music": rows})[LATENT]

    return MusicStyle(encode, manifest.frames, len(FEATURE_NAMES))


def _check_features(model: StyleModel) -> None:
    pairs = zip_longest(model.manifest.feature_names, FEATURE_NAMES, fillvalue="nothing")
    different = [(column, theirs, ours) for column, (theirs, ours) in enumerate(pairs) if theirs != ours]
    if different:
        column, theirs, ours = different[0]
        raise BundleError(
            "BUNDLE_FEATURES",
            f"Retrieval model '{model.path}' wants {len(model.manifest.feature_names)} music features and this engine "
            f"computes {len(FEATURE_NAMES)}; the first difference is column {column}: {theirs!r} against {ours!r}.",
            "Use one made for this version of soulstream, or train it again and export it with soulstream-export mmr.",
        )
