"""ARKit weights to values of a FLAME-format model and back, by one matrix: ``values = weights @ W``.

Each row of W is the face of the model that comes closest to one ARKit shape at weight 1. Not for reading recordings
(``live_link_csv``) or models (``flame_model``, ``ict_model``).

Letters: ``T`` frames, ``S`` shapes that have a template, ``V`` vertices. Source: the paper's supplement C, as solved by
EMAGE (Liu et al., 2024); the way of solving is ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear
from scipy.spatial.transform import Rotation

from soulstream_engine.arrays import read_arrays
from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.faces import ARKIT_INDEX, ARKIT_NAMES
from soulstream_training.data.arkit_shapes import ArkitShapes
from soulstream_training.data.flame_model import NUM_EXPRESSIONS, NUM_JAW, NUM_VALUES, FlameModel

FloatArray = NDArray[np.float64]

RIDGE = 1e-4
"""Price of a squared value, in mm² of mean squared vertex error. Source: method specification, section 9."""

MAX_STEPS = 8
"""Gauss-Newton steps at most; shapes that move the jaw take three or four."""

_MM = 1000.0
_SETTLED = 1e-6  # share of the error that a further step must save
_BOX_SLACK = 1e-9
_NUDGE_RAD = 1e-5  # to both sides: the slope of the jaw is measured, because it turns
_MAX_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class ArkitFlame:
    """The matrix, with what is needed to undo it.

    Attributes:
        weights: [52, 103] float64, the matrix W; rows in Apple's order, a row of zeros for a shape without a template.
        metric: [103, 103] float64: for a small difference ``d`` of values, ``d @ metric @ d`` is the mean squared
            vertex distance in mm².
    """

    weights: FloatArray
    metric: FloatArray

    def to_flame(self, values: FloatArray) -> FloatArray:
        """Converts ARKit weights.

        Args:
            values: [T, 52] in Apple's order.

        Returns:
            [T, 103] float64: 100 expressions and the jaw's rotation vector in radians.
        """
        return np.asarray(values, dtype=np.float64) @ self.weights

    def to_arkit(self, values: FloatArray) -> FloatArray:
        """Finds the ARKit weights whose face comes closest.

        Closest on the vertices, with weights in 0..1: frames that need it are solved one by one, with these bounds.

        Args:
            values: [T, 103], or [T, 100] where nothing is known of the jaw.

        Returns:
            [T, 52] float64 in 0..1; 0 for shapes without a template.

        Raises:
            ValueError: If the rows have another width.
        """
        width = values.shape[1] if values.ndim == 2 else 0
        if width not in (NUM_EXPRESSIONS, NUM_VALUES):
            raise ValueError(f"face values have shape {values.shape}, expected [T, {NUM_EXPRESSIONS} or {NUM_VALUES}]")
        used = np.flatnonzero(self.weights.any(axis=1))
        strength, axes = np.linalg.eigh(self.metric[:width, :width])
        to_mm = axes * np.sqrt(np.maximum(strength, 0.0))
        effect = (self.weights[used, :width] @ to_mm).T
        wanted = np.asarray(values, dtype=np.float64) @ to_mm
        found = wanted @ np.linalg.pinv(effect).T
        outside = (found < -_BOX_SLACK).any(1) | (found > 1.0 + _BOX_SLACK).any(1)
        for frame in np.flatnonzero(outside):
            found[frame] = lsq_linear(effect, wanted[frame], bounds=(0.0, 1.0), method="bvls").x
        result = np.zeros((len(values), len(ARKIT_NAMES)))
        result[:, used] = np.clip(found, 0.0, 1.0)
        return result


@dataclass(frozen=True, slots=True)
class ShapeError:
    """How well one ARKit shape is kept. Distances are between vertices, in millimetres.

    Attributes:
        name: Its name.
        size_mm: Mean distance that the shape itself moves a vertex.
        residual_mm: Mean distance of the posed model to the template.
        worst_mm: Largest distance of the posed model to the template.
        round_trip_mm: Mean distance of the template to the ARKit mesh posed by the weights that came back.
    """

    name: str
    size_mm: float
    residual_mm: float
    worst_mm: float
    round_trip_mm: float


def fit_arkit_flame(
    model: FlameModel, shapes: ArkitShapes, on_shape: Callable[[str], None] = lambda _: None
) -> ArkitFlame:
    """Fits W: for each shape a linear fit of all values, then Gauss-Newton steps, because the jaw turns.

    Args:
        model: A model in the format of FLAME.
        shapes: ARKit shapes on the same vertices.
        on_shape: Called with each name when its shape is fitted.

    Returns:
        The matrix.

    Raises:
        ConfigError: If model and shapes have different vertices.
    """
    if shapes.neutral_m.shape != model.template_m.shape:
        raise ConfigError(
            "FACE_MESHES_INVALID",
            f"The model has {model.num_vertices} vertices, the ARKit shapes {len(shapes.neutral_m)}.",
            "Give ARKit shapes made for this model with --templates FOLDER.",
        )
    weights = np.zeros((len(ARKIT_NAMES), NUM_VALUES))
    rest = np.zeros(NUM_VALUES)
    slope = _slope(model, rest)
    metric = slope.T @ slope
    for name, offset in zip(shapes.names, shapes.offset_m, strict=True):
        target = model.template_m + offset
        start = np.linalg.solve(metric + RIDGE * np.eye(NUM_VALUES), slope.T @ _error(model, rest, target))
        weights[ARKIT_INDEX[name]] = _descend(model, target, np.asarray(start, dtype=np.float64))
        on_shape(name)
    return ArkitFlame(weights, metric)


def shape_errors(fit: ArkitFlame, model: FlameModel, shapes: ArkitShapes) -> tuple[ShapeError, ...]:
    """Measures what is lost on each shape alone, at weight 1.

    Args:
        fit: The matrix.
        model: The model it was fitted to.
        shapes: The shapes it was fitted to.

    Returns:
        One entry a shape, in Apple's order.
    """
    errors = []
    for name, offset in zip(shapes.names, shapes.offset_m, strict=True):
        weights = np.zeros((1, len(ARKIT_NAMES)))
        weights[0, ARKIT_INDEX[name]] = 1.0
        values = fit.to_flame(weights)
        residual = _distance_mm(model.pose(values)[0] - model.template_m, offset)
        back = _distance_mm(shapes.pose(fit.to_arkit(values))[0] - shapes.neutral_m, offset)
        size = _distance_mm(offset, np.zeros_like(offset))
        errors.append(
            ShapeError(name, float(size.mean()), float(residual.mean()), float(residual.max()), float(back.mean()))
        )
    return tuple(errors)


def save_arkit_flame(path: Path, fit: ArkitFlame) -> None:
    """Writes the matrix as npz (``weights`` [52, 103], ``metric`` [103, 103]), whole or not at all.

    Args:
        path: Where to.
        fit: The matrix.

    Raises:
        ConfigError: If the file cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as stream:
            np.savez(stream, weights=fit.weights, metric=fit.metric)
        os.replace(partial, path)
    except OSError as error:
        raise ConfigError(
            "FACE_MATRIX_UNWRITABLE", f"'{path}' cannot be written ({error}).", "Name a file in a folder that exists."
        ) from error


def load_arkit_flame(path: Path) -> ArkitFlame:
    """Reads what ``save_arkit_flame`` wrote.

    Args:
        path: The npz.

    Returns:
        The matrix.

    Raises:
        ConfigError: If an array is missing, has another shape or holds numbers that are not finite.
        BundleError: If the archive is broken or holds anything but plain arrays.
    """
    arrays = read_arrays(path, max_bytes=_MAX_BYTES)
    for name, rows in (("weights", len(ARKIT_NAMES)), ("metric", NUM_VALUES)):
        array = arrays.get(name, np.zeros(0))
        if array.shape != (rows, NUM_VALUES) or array.dtype != np.float64 or not np.isfinite(array).all():
            raise ConfigError(
                "FACE_MATRIX_INVALID",
                f"'{path.name}' holds {array.dtype}{list(array.shape)} as '{name}', expected finite "
                f"float64[{rows}, {NUM_VALUES}].",
                "Fit it again with soulstream-train face fit --out.",
            )
    return ArkitFlame(arrays["weights"], arrays["metric"])


def _descend(model: FlameModel, target_m: FloatArray, start: FloatArray) -> FloatArray:
    """Values [103] that bring the model closest to a mesh, by Gauss-Newton steps while they help."""
    best, best_cost = np.zeros(NUM_VALUES), np.inf
    values = start
    for _ in range(MAX_STEPS + 1):
        error = _error(model, values, target_m)
        cost = float(error @ error + RIDGE * (values @ values))
        if cost < best_cost:
            gain, best, best_cost = best_cost - cost, values, cost
        else:
            break
        if gain < _SETTLED * cost:
            break
        slope = _slope(model, values)
        values = values + np.linalg.solve(
            slope.T @ slope + RIDGE * np.eye(NUM_VALUES), slope.T @ error - RIDGE * values
        )
    return best


def _error(model: FlameModel, values: FloatArray, target_m: FloatArray) -> FloatArray:
    """Missing way to the target [3V], in mm over the root of V: its square is the mean squared distance."""
    missing = target_m - model.pose(values[None])[0]
    return missing.ravel() * (_MM / np.sqrt(len(target_m)))


def _slope(model: FlameModel, values: FloatArray) -> FloatArray:
    """How the posed vertices change with each value [3V, 103], in the unit of ``_error``."""
    turn = Rotation.from_rotvec(values[NUM_EXPRESSIONS:]).as_matrix() - np.eye(3)
    slope = np.empty((model.num_vertices, 3, NUM_VALUES))
    expressions = slope[:, :, :NUM_EXPRESSIONS]  # filled in place: it is large
    np.matmul(turn, model.expression_m - model.jaw_joint_shift_m, out=expressions)
    expressions *= model.jaw_weight[:, None, None]
    expressions += model.expression_m
    nudges = np.zeros((NUM_JAW, NUM_VALUES))
    nudges[:, NUM_EXPRESSIONS:] = np.eye(NUM_JAW) * _NUDGE_RAD
    ends = model.pose(values + np.concatenate([nudges, -nudges]))
    slope[:, :, NUM_EXPRESSIONS:] = np.moveaxis((ends[:NUM_JAW] - ends[NUM_JAW:]) / (2 * _NUDGE_RAD), 0, -1)
    slope *= _MM / np.sqrt(model.num_vertices)
    return slope.reshape(-1, NUM_VALUES)


def _distance_mm(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.norm(a - b, axis=1) * _MM)
