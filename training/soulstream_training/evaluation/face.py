"""How far a face is off: FVE and the mean vertex error, on the vertices of a FLAME-format model.

Two FVEs are comparable only on the same vertices: the sum-norm grows with the root of their number.
Letters: ``N`` frames, ``V`` vertices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soulstream_training.data.flame_model import FlameModel

FloatArray = NDArray[np.float64]

_MM = 1000.0
_FRAMES_AT_ONCE = 32  # bounds the memory: a frame of FLAME has 120 kB


@dataclass(frozen=True, slots=True)
class FaceErrors:
    """Frame means, in millimetres.

    Attributes:
        fve_mm: Frobenius norm of the vertex error of a frame, mean over frames.
        vertex_mm: Distance of a vertex, mean over vertices and frames.
        num_frames: Frames compared.
        num_vertices: Vertices compared.
    """

    fve_mm: float
    vertex_mm: float
    num_frames: int
    num_vertices: int


def vertex_errors(made_m: FloatArray, true_m: FloatArray) -> FaceErrors:
    """Compares faces vertex by vertex.

    Args:
        made_m: [N, V, 3], metres.
        true_m: [N, V, 3], metres.

    Returns:
        The errors.

    Raises:
        ValueError: If the shapes differ, or there is no frame or no vertex.

    Source: FVE of the paper's supplement, equation 11, with the norm taken frame by frame as it is written there.
    """
    if made_m.shape != true_m.shape:
        raise ValueError(f"faces of shape {made_m.shape} cannot be compared with faces of shape {true_m.shape}")
    return _mean_errors([(made_m, true_m)])


def value_errors(model: FlameModel, made: FloatArray, true: FloatArray) -> FaceErrors:
    """Compares face values on the vertices of a model, in the expression slots.

    Args:
        model: The model.
        made: [N, 100 or 103] expressions and, if known, the jaw's rotation vector.
        true: [N, 100 or 103].

    Returns:
        The errors.

    Raises:
        ValueError: If the numbers of frames differ or are zero, or the rows have another width.
    """
    if len(made) != len(true):
        raise ValueError(f"{len(made)} frames cannot be compared with {len(true)}")
    starts = range(0, len(made), _FRAMES_AT_ONCE)
    pieces = ((model.pose(made[i : i + _FRAMES_AT_ONCE]), model.pose(true[i : i + _FRAMES_AT_ONCE])) for i in starts)
    return _mean_errors(pieces)


def arkit_offsets(data: Path) -> Callable[[FloatArray], FloatArray]:
    """How far weights of the ``arkit52`` space move the vertices of the FLAME-format model built from ICT-FaceKit.

    Args:
        data: Folder of the shared data.

    Returns:
        A function from differences of weights [T, 52] to offsets [T, V, 3] in metres.

    Raises:
        ConfigError: If the meshes are missing or broken.
    """
    from soulstream_training.data.ict_model import build_ict_model, read_ict_shapes

    _, shapes = build_ict_model(read_ict_shapes(data))
    return lambda error: shapes.pose(error) - shapes.neutral_m


def _mean_errors(pieces: Iterable[tuple[FloatArray, FloatArray]]) -> FaceErrors:
    norms = distances = 0.0
    frames = vertices = 0
    for made, true in pieces:
        square = ((made - true) ** 2).sum(2) * _MM**2
        norms += float(np.sqrt(square.sum(1)).sum())
        distances += float(np.sqrt(square).sum())
        frames, vertices = frames + square.shape[0], square.shape[1]
    if frames == 0 or vertices == 0:
        raise ValueError(f"{frames} frames of {vertices} vertices have no error")
    return FaceErrors(norms / frames, distances / (frames * vertices), frames, vertices)
