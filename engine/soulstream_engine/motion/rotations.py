"""Named rotation functions on arrays of unit quaternions ``[..., 4]`` (``wxyz``), on top of scipy's ``Rotation``.

Right-handed, Y up, facing +Z; angles in radians. Leading dimensions broadcast. Results keep the floating type of the
inputs (at least float32); the arithmetic runs in float64. ``multiply(a, b)`` applies ``b`` first, then ``a``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

FloatArray = NDArray[np.floating[Any]]

_TINY = 1e-12


def _dtype(*arrays: ArrayLike) -> np.dtype[Any]:
    """Floating type of the result: that of the inputs, float32 at least."""
    found = np.result_type(*(np.asarray(array).dtype for array in arrays))
    return np.dtype(np.float64) if found.kind != "f" else np.result_type(found, np.float32)


def _rotation(wxyz: ArrayLike) -> Rotation:
    return Rotation.from_quat(np.asarray(wxyz, dtype=np.float64), scalar_first=True)


def _wxyz(rotation: Rotation, dtype: np.dtype[Any]) -> FloatArray:
    return np.asarray(rotation.as_quat(scalar_first=True), dtype=dtype)


def identity(*shape: int) -> NDArray[np.float32]:
    """Identity rotations [*shape, 4] float32."""
    wxyz = np.zeros((*shape, 4), dtype=np.float32)
    wxyz[..., 0] = 1.0
    return wxyz


def normalize(wxyz: ArrayLike) -> FloatArray:
    """Quaternions [..., 4] scaled to unit length; the sign is kept, a zero quaternion becomes the identity."""
    values = np.asarray(wxyz, dtype=np.float64)
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    unit = np.where(length > _TINY, values / np.maximum(length, _TINY), identity())
    return unit.astype(_dtype(wxyz))


def multiply(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Composition [..., 4] of two rotations [..., 4]: ``second`` is applied first, then ``first``."""
    a, b = np.broadcast_arrays(np.asarray(first), np.asarray(second))
    return _wxyz(_rotation(a) * _rotation(b), _dtype(first, second))


def conjugate(wxyz: ArrayLike) -> FloatArray:
    """Inverse rotations [..., 4] of unit quaternions [..., 4]."""
    values = np.array(wxyz, dtype=_dtype(wxyz))
    values[..., 1:] *= -1
    return values


def rotate(wxyz: ArrayLike, vectors: ArrayLike) -> FloatArray:
    """Vectors [..., 3] turned by rotations [..., 4]; leading dimensions broadcast."""
    matrices = _rotation(wxyz).as_matrix()
    turned = np.matmul(matrices, np.asarray(vectors, dtype=np.float64)[..., None])[..., 0]
    return np.asarray(turned, dtype=_dtype(wxyz, vectors))


def to_matrix(wxyz: ArrayLike) -> FloatArray:
    """Rotation matrices [..., 3, 3] (columns are the turned axes) of quaternions [..., 4]."""
    return np.asarray(_rotation(wxyz).as_matrix(), dtype=_dtype(wxyz))


def from_matrix(matrices: ArrayLike) -> FloatArray:
    """Quaternions [..., 4] of rotation matrices [..., 3, 3]; a slightly skewed matrix gives the nearest rotation."""
    return _wxyz(Rotation.from_matrix(np.asarray(matrices, dtype=np.float64)), _dtype(matrices))


def to_sixd(wxyz: ArrayLike) -> FloatArray:
    """Six numbers [..., 6] for each rotation [..., 4]: column 0, then column 1 of the rotation matrix."""
    matrices = to_matrix(wxyz)
    return np.concatenate([matrices[..., 0], matrices[..., 1]], axis=-1)


def from_sixd(sixd: ArrayLike) -> FloatArray:
    """Quaternions [..., 4] of six numbers [..., 6], by Gram-Schmidt on column 0 then column 1.

    Anything a network writes is accepted: a vanishing or parallel column is replaced by an axis, never by NaN.
    """
    values = np.asarray(sixd, dtype=np.float64)
    x = _unit_or(values[..., :3], np.array([1.0, 0.0, 0.0]))
    second = values[..., 3:] - np.sum(values[..., 3:] * x, axis=-1, keepdims=True) * x
    y = _unit_or(second, _any_normal(x))
    matrices = np.stack([x, y, np.cross(x, y)], axis=-1)
    return _wxyz(Rotation.from_matrix(matrices, assume_valid=True), _dtype(sixd))


def slerp(start: ArrayLike, end: ArrayLike, t: ArrayLike) -> FloatArray:
    """Shortest-path interpolation [..., 4] from ``start`` [..., 4] (t = 0) to ``end`` [..., 4] (t = 1).

    Args:
        start: Unit quaternions [..., 4].
        end: Unit quaternions [..., 4].
        t: Fractions [...], broadcast against the leading dimensions.
    """
    a, b = np.broadcast_arrays(np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64))
    first = _rotation(a)
    turn = (first.inv() * _rotation(b)).as_rotvec()
    step = Rotation.from_rotvec(turn * np.asarray(t, dtype=np.float64)[..., None])
    return _wxyz(_rotation(np.broadcast_to(a, (*turn.shape[:-1], 4))) * step, _dtype(start, end))


def between(start: ArrayLike, end: ArrayLike) -> FloatArray:
    """Minimal rotations [..., 4] that turn directions ``start`` [..., 3] onto ``end`` [..., 3] (any length).

    Opposite directions give half a turn about an axis at right angles; a zero vector gives the identity.
    """
    u, v = np.broadcast_arrays(np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64))
    u, v = _unit_or(u, np.zeros(3)), _unit_or(v, np.zeros(3))
    real = 1.0 + np.sum(u * v, axis=-1, keepdims=True)
    opposite = real < 1e-9
    wxyz = np.concatenate([np.where(opposite, 0.0, real), np.where(opposite, _any_normal(u), np.cross(u, v))], axis=-1)
    return normalize(wxyz).astype(_dtype(start, end))


def from_axis_angle(axis: ArrayLike, angle_rad: ArrayLike) -> FloatArray:
    """Rotations [..., 4] about unit axes [..., 3] by angles [...] in radians (right-hand rule)."""
    half = np.asarray(angle_rad, dtype=np.float64)[..., None] / 2
    imaginary = np.asarray(axis, dtype=np.float64) * np.sin(half)
    real = np.broadcast_to(np.cos(half), (*imaginary.shape[:-1], 1))
    wxyz = np.concatenate([real, imaginary], axis=-1)
    return wxyz.astype(_dtype(axis, angle_rad))


def yaw(angle_rad: ArrayLike) -> FloatArray:
    """Rotations [..., 4] about +Y by angles [...] in radians; positive turns +Z towards +X, a left turn."""
    return from_axis_angle(np.array([0.0, 1.0, 0.0], dtype=np.float32), angle_rad)


def continuous(wxyz: ArrayLike) -> FloatArray:
    """The same rotations [T, ..., 4] with signs chosen so that neighbours in time lie in one hemisphere."""
    values = np.array(wxyz, dtype=_dtype(wxyz))
    if len(values) > 1:
        flips = np.where(np.sum(values[1:] * values[:-1], axis=-1) < 0, -1, 1)
        values[1:] *= np.cumprod(flips, axis=0)[..., None]
    return values


def angle_between(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Angles [...] in radians, 0..pi, between rotations [..., 4]."""
    a, b = np.broadcast_arrays(np.asarray(first), np.asarray(second))
    return np.asarray((_rotation(a).inv() * _rotation(b)).magnitude(), dtype=_dtype(first, second))


def _unit_or(vectors: NDArray[np.float64], fallback: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length > _TINY, vectors / np.maximum(length, _TINY), fallback)


def _any_normal(unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Some unit vector [..., 3] at right angles to each unit vector [..., 3]."""
    axis = np.eye(3)[np.argmin(np.abs(unit), axis=-1)]
    return _unit_or(np.cross(unit, axis), np.array([1.0, 0.0, 0.0]))
