"""Smooth shapes from few numbers: rounded cones melted together, and the mesh of their surface.

Letters: V vertices, F faces, P points, C cones. Metres throughout. Computed once, when the page starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Field = Callable[[F32], F32]

_GRADIENT_STEP_M = 1e-3
_PROJECTION_ROUNDS = 3
_INFLUENCES = 4  # bones that may move one vertex, as everywhere in computer graphics


@dataclass(frozen=True, slots=True)
class Cone:
    """A rounded cone from ``start`` [3] with radius ``start_radius`` to ``end`` [3] with ``end_radius``.

    ``squash`` [3] stretches it along x, y, z about its axis: (1, 1, 0.7) is flatter from front to back.
    ``bone`` is the joint that carries it. ``blend_m`` is how softly it melts into the cones before it.
    """

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    start_radius: float
    end_radius: float
    bone: int
    blend_m: float
    squash: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def distance(self, points: F32) -> F32:
        """Signed distance [P] in metres (approximate where squashed), negative inside, of ``points`` [P, 3]."""
        squash = np.asarray(self.squash, dtype=np.float32)
        start = np.asarray(self.start, dtype=np.float32) / squash
        axis = np.asarray(self.end, dtype=np.float32) / squash - start
        offset = points / squash - start
        along = np.clip(offset @ axis / max(float(axis @ axis), 1e-12), 0.0, 1.0).astype(np.float32)
        radius = self.start_radius + along * (self.end_radius - self.start_radius)
        nearest = offset - along[:, None] * axis
        return np.asarray((np.sqrt((nearest * nearest).sum(axis=1)) - radius) * squash.min(), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Mesh:
    """Triangles: ``vertices_m`` [V, 3] float32, ``faces`` [F, 3] uint32, counter-clockwise from outside."""

    vertices_m: F32
    faces: NDArray[np.uint32]


def melt(cones: Sequence[Cone]) -> Field:
    """Distance field of the union of ``cones``, rounded where they meet."""

    def field(points: F32) -> F32:
        total = cones[0].distance(points)
        for cone in cones[1:]:
            other = cone.distance(points)
            overlap = np.maximum(cone.blend_m - np.abs(total - other), 0.0) / cone.blend_m
            total = np.minimum(total, other) - overlap * overlap * (cone.blend_m / 4)
        return total

    return field


def skin_weights(cones: Sequence[Cone], vertices_m: F32, softness_m: float) -> tuple[NDArray[np.intp], F32]:
    """How much each bone carries each vertex.

    Returns:
        The bones [B] (joint indices) and weights [V, B], at most four of a row above zero; rows sum to one.
        Near a joint the weights pass from one bone
        to the next over about ``softness_m``.
    """
    bones = sorted({cone.bone for cone in cones})
    distance = np.full((len(vertices_m), len(bones)), np.inf, dtype=np.float32)
    for cone in cones:
        column = bones.index(cone.bone)
        distance[:, column] = np.minimum(distance[:, column], cone.distance(vertices_m))
    weights = np.exp(-(distance - distance.min(axis=1, keepdims=True)) / softness_m)
    if len(bones) > _INFLUENCES:
        rest = np.argpartition(weights, -_INFLUENCES, axis=1)[:, :-_INFLUENCES]
        np.put_along_axis(weights, rest, 0.0, axis=1)
    return np.asarray(bones, dtype=np.intp), weights / weights.sum(axis=1, keepdims=True)


def surface(field: Field, low_m: Sequence[float], high_m: Sequence[float], step_m: float) -> Mesh:
    """Mesh of the zero level of a distance field inside a box, by surface nets with the vertices drawn onto it.

    Args:
        field: Distances [P] of points [P, 3].
        low_m: Lowest corner of the box [3]; the surface must lie inside.
        high_m: Highest corner [3].
        step_m: Size of a cell.
    """
    low = np.asarray(low_m, dtype=np.float32)
    shape = np.ceil((np.asarray(high_m) - low) / step_m).astype(int) + 2
    corners = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    values = field((low + step_m * corners.reshape(-1, 3)).astype(np.float32)).reshape(shape)
    cells, vertices = _cell_vertices(values)
    number = np.full(shape, -1, dtype=np.int64)
    number[tuple(cells.T)] = np.arange(len(cells))
    mesh = Mesh((low + step_m * vertices).astype(np.float32), _faces(values < 0, number))
    return Mesh(_project(field, mesh.vertices_m), mesh.faces)


def _cell_vertices(values: F32) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cells [M, 3] that the surface crosses, and the mean of its crossings with their edges [M, 3], in cells."""
    offsets = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    stacked = np.stack([values[i : i - 1 or None, j : j - 1 or None, k : k - 1 or None] for i, j, k in offsets], -1)
    inside = stacked < 0
    cells = np.argwhere(inside.any(axis=-1) & ~inside.all(axis=-1))
    corner = stacked[tuple(cells.T)].astype(np.float64)
    total = np.zeros((len(cells), 3))
    count = np.zeros((len(cells), 1))
    for a in range(8):
        for b in range(a + 1, 8):
            if np.abs(offsets[a] - offsets[b]).sum() != 1:
                continue
            crossed = ((corner[:, a] < 0) != (corner[:, b] < 0))[:, None]
            span = np.where(crossed[:, 0], corner[:, a] - corner[:, b], 1.0)
            point = offsets[a] + (corner[:, a] / span)[:, None] * (offsets[b] - offsets[a])
            total += np.where(crossed, point, 0.0)
            count += crossed
    return cells, cells + total / count


def _faces(inside: NDArray[np.bool_], number: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Two triangles around each grid edge whose ends lie on different sides."""
    quads: list[NDArray[np.int64]] = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        here = np.moveaxis(inside, (axis, u, v), (0, 1, 2))
        cells = np.moveaxis(number, (axis, u, v), (0, 1, 2))
        edge = here[:-1, 1:, 1:] != here[1:, 1:, 1:]
        around = [cells[:-1, :-1, :-1], cells[:-1, 1:, :-1], cells[:-1, 1:, 1:], cells[:-1, :-1, 1:]]
        quad = np.stack([part[edge] for part in around], axis=-1)
        leaves = here[:-1, 1:, 1:][edge]
        quads.append(np.where(leaves[:, None], quad, quad[:, ::-1]))
    quad = np.concatenate(quads)
    return np.concatenate([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]]).astype(np.uint32)


def _project(field: Field, vertices_m: F32) -> F32:
    """Vertices moved along the gradient onto the surface."""
    points = vertices_m
    for _ in range(_PROJECTION_ROUNDS):
        gradient = np.empty_like(points)
        for axis in range(3):
            step = np.zeros(3, dtype=np.float32)
            step[axis] = _GRADIENT_STEP_M
            gradient[:, axis] = (field(points + step) - field(points - step)) / (2 * _GRADIENT_STEP_M)
        length = np.maximum((gradient * gradient).sum(axis=1, keepdims=True), 1e-2)
        points = points - field(points)[:, None] * gradient / length
    return points
