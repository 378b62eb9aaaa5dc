"""A retrieval model to two graphs that say where music and motion lie, and a JSON that says what they are.

Of the distributions only the means are kept; normalising is inside the graphs, so they read rows as they are. Not for:
the decoder, which only training needs.

Letters: N windows, T frames, S columns, W width.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from soulstream_engine.backends.onnx_runtime import OnnxRuntimeBackend
from soulstream_engine.bundle import sha256_of
from soulstream_engine.errors import BackendError, ConfigError
from soulstream_engine.features.layout import FEATURE_NAMES
from soulstream_engine.style_model import (
    ENCODERS,
    LATENT,
    STYLE_MANIFEST_NAME,
    WINDOWS,
    EncoderName,
    GraphFile,
    StyleManifest,
    encoder_signature,
    read_style_model,
)
from soulstream_training.models.mmr import LatentEncoder, Mmr

from .graph import export_graph, round_to_half, with_half_weights
from .whole_folder import refuse_other_folder, write_whole

FRAMES = 150
"""Frames of a window, 5 s: those of training."""

PARITY_TOLERANCE = 1e-4
"""Largest difference between torch and ONNX Runtime, of latents of unit length (measured 8e-8; 1e-4 with positions in
float16, six layers deep)."""

CHECKED_WINDOWS = (1, 8)
"""Windows at a time in the comparison with torch: one, as live, and several."""


class MeanLatent(nn.Module):
    """Rows [N, T, S] -> means of their latents [N, W].

    Args:
        encoder: Of music or motion.
    """

    def __init__(self, encoder: LatentEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, rows: Tensor) -> Tensor:
        """Encode whole windows."""
        mean: Tensor = self.encoder(rows).mu
        return mean


def export_mmr(
    model: Mmr,
    out: Path,
    *,
    part: Literal["body", "whole"],
    trained_on: Mapping[str, Sequence[str]],
    step: int,
    licence: str = "GPL-3.0-or-later",
    frames: int = FRAMES,
) -> StyleManifest:
    """Export, verify and write the encoders.

    Args:
        model: Trained on live music features; left as it is. What is exported has its weights rounded to float16, as
            weights checkpoints have.
        out: Folder; replaced as a whole when everything has succeeded.
        part: Whose motion it knows.
        trained_on: What it learned from, as its weights' JSON says.
        step: Of training.
        licence: Of the weights.
        frames: T, fixed in the graphs.

    Returns:
        What ``mmr.json`` says, measured parity included.

    Raises:
        BackendError: If ONNX Runtime does not give what torch gives.
        ConfigError: If ``out`` holds other files, the model reads other music features, or ``frames`` does not fit it.
    """
    refuse_other_folder(out, STYLE_MANIFEST_NAME, "retrieval model")
    config = model.config
    if config.music_dim != len(FEATURE_NAMES):
        raise ConfigError(
            "MMR_FEATURES",
            f"The music encoder reads {config.music_dim} columns; the engine hears {len(FEATURE_NAMES)} features.",
            "Export a model of live features; one of offline features can teach it (soulstream-train mmr --teacher).",
        )
    if frames < 1 or frames % config.fold:
        raise ConfigError(
            "MMR_FRAMES", f"A window of {frames} frames is no multiple of {config.fold}.", "Take the one of training."
        )
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    round_to_half(frozen)
    encoders: dict[EncoderName, LatentEncoder] = {"motion": frozen.motion, "music": frozen.music}
    files: dict[str, bytes] = {}
    entries: dict[EncoderName, GraphFile] = {}
    for name in ENCODERS:
        module = MeanLatent(encoders[name])
        example = random_rows(encoders[name], max(CHECKED_WINDOWS), frames)
        graph = export_graph(module, (example,), [name], [LATENT], {name: WINDOWS})
        data = with_half_weights(graph, exact=True).SerializeToString()
        parity = latent_parity(name, encoders[name], data, frames, config.width)
        files[f"{name}.onnx"] = data
        entries[name] = GraphFile(sha256=sha256_of(data), bytes=len(data), parity=parity)
    manifest = StyleManifest(
        schema_version=1,
        part=part,
        licence=licence,
        step=step,
        fps=30,
        frames=frames,
        width=config.width,
        motion_columns=config.motion_dim,
        feature_names=tuple(FEATURE_NAMES),
        motion=entries["motion"],
        music=entries["music"],
        trained_on={kind: tuple(keys) for kind, keys in trained_on.items()},
    )
    files[STYLE_MANIFEST_NAME] = (manifest.model_dump_json(indent=1) + "\n").encode("utf-8")
    write_whole(out, files, read_style_model)
    return manifest


def random_rows(encoder: LatentEncoder, windows: int, frames: int, seed: int = 0) -> Tensor:
    """Rows [windows, frames, S] with the mean and deviation of what the encoder learned from."""
    size = (windows, frames, len(encoder.mean))
    return encoder.mean + encoder.std * torch.randn(size, generator=torch.Generator().manual_seed(seed))


def latent_parity(name: EncoderName, encoder: LatentEncoder, graph: bytes, frames: int, width: int) -> float:
    """Largest difference between torch and ONNX Runtime, of latents of unit length, on random rows.

    Args:
        name: Of the encoder.
        encoder: What torch computes.
        graph: What ONNX Runtime computes.
        frames: T.
        width: W.

    Returns:
        The difference, at most ``PARITY_TOLERANCE``.

    Raises:
        BackendError: If it is larger, or not a number.
    """
    differences = []
    for windows in CHECKED_WINDOWS:
        rows = random_rows(encoder, windows, frames, seed=windows)
        with torch.no_grad():
            expected = encoder(rows).mu.numpy()
        signature = encoder_signature(name, (windows, frames, rows.shape[2]), width)
        found = OnnxRuntimeBackend().load(graph, name, signature).run({name: rows.numpy()})[LATENT]
        differences.append(np.abs(_unit(found) - _unit(expected)).max())
    worst = float(np.max(differences))
    if not worst <= PARITY_TOLERANCE:
        raise BackendError(
            "PARITY",
            f"Encoder {name!r} differs by {worst:.2e} between torch and ONNX Runtime, limit {PARITY_TOLERANCE}.",
            "Do not use this model; compare the graphs layer by layer.",
        )
    return worst


def _unit(latents: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = latents / np.linalg.norm(latents, axis=-1, keepdims=True)
    return unit
