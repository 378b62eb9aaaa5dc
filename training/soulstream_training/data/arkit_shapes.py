"""ARKit blend shapes as meshes: one template a shape, all on one topology, as offsets from a neutral face.

Not for weights over time (``live_link_csv``) or the model they are fitted to (``flame_model``, ``arkit_flame``).
Letters: ``S`` shapes, ``V`` vertices. Right-handed, Y up, metres, the face looks along +Z, its left side is +X.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.faces import ARKIT_INDEX, ARKIT_NAMES

FloatArray = NDArray[np.float64]

MAX_MESH_BYTES = 16_000_000
"""Largest mesh file read, bytes. Source: ours; those of ICT-FaceKit have 2.6 million."""

MAX_VERTICES = 200_000
MAX_MESHES = 256

NEUTRAL_NAME = "neutral"
"""Name of the mesh without expression in a folder of templates."""

_REMEDY = "Use meshes that share the vertices of the neutral face, named by ARKit shape."


@dataclass(frozen=True, slots=True)
class ArkitShapes:
    """Templates of ARKit shapes at weight 1.

    Attributes:
        names: S names of ``ARKIT_NAMES``, in Apple's order.
        neutral_m: [V, 3] float64, the face without expression, metres.
        offset_m: [S, V, 3] float64, what each shape adds to it, metres.
    """

    names: tuple[str, ...]
    neutral_m: FloatArray
    offset_m: FloatArray

    @property
    def missing(self) -> tuple[str, ...]:
        """ARKit shapes without a template, in Apple's order."""
        return tuple(name for name in ARKIT_NAMES if name not in self.names)

    def part(self, vertices: slice) -> ArkitShapes:
        """The same shapes on some of the vertices.

        Args:
            vertices: Which.

        Returns:
            The shapes there.
        """
        return ArkitShapes(self.names, self.neutral_m[vertices], self.offset_m[:, vertices])

    def pose(self, values: FloatArray) -> FloatArray:
        """Poses the mesh as ARKit means it: offsets add up.

        Args:
            values: [T, 52] weights in Apple's order; those of missing shapes have no effect.

        Returns:
            [T, V, 3] float64, metres.
        """
        weights = values[:, [ARKIT_INDEX[name] for name in self.names]]
        return self.neutral_m + np.tensordot(weights, self.offset_m, 1)


def arkit_shapes(neutral_m: FloatArray, meshes_m: Mapping[str, FloatArray]) -> ArkitShapes:
    """Names meshes as Apple does.

    ``_L`` and ``_R`` mean ``Left`` and ``Right``. Halves of a shape that ARKit does not split (browInnerUp, cheekPuff)
    are added up. Meshes that are no ARKit shape are left out.

    Args:
        neutral_m: [V, 3], metres.
        meshes_m: [V, 3] by name, metres.

    Returns:
        The shapes found, in Apple's order.

    Raises:
        ConfigError: If a mesh has other vertices than the neutral face, a shape comes twice, half of one is missing,
            or there are none at all.
    """
    offsets: dict[str, FloatArray] = {}
    halves: dict[str, dict[str, FloatArray]] = {}
    for name, mesh in meshes_m.items():
        if mesh.shape != neutral_m.shape:
            raise _refuse(f"mesh '{name[:60]}' has {len(mesh)} vertices, the neutral face has {len(neutral_m)}")
        full = name[:-2] + {"_L": "Left", "_R": "Right"}[name[-2:]] if name.endswith(("_L", "_R")) else name
        whole = full.removesuffix("Left").removesuffix("Right")
        if full in offsets or full in halves.get(whole, ()):
            raise _refuse(f"shape '{full}' comes twice")
        if full in ARKIT_INDEX:
            offsets[full] = mesh - neutral_m
        elif whole in ARKIT_INDEX:
            halves.setdefault(whole, {})[full] = mesh - neutral_m
    for whole, parts in halves.items():
        if whole in offsets or len(parts) != 2:
            raise _refuse(f"shape '{whole}' needs either one mesh or a left and a right one")
        offsets[whole] = sum(parts.values(), start=np.zeros_like(neutral_m))
    names = tuple(name for name in ARKIT_NAMES if name in offsets)
    if not names:
        raise _refuse(f"none of the {len(meshes_m)} meshes has the name of an ARKit shape")
    return ArkitShapes(names, neutral_m, np.stack([offsets[name] for name in names]))


def read_template_folder(folder: Path, neutral_m: FloatArray) -> ArkitShapes:
    """Reads ARKit shapes made for somebody's model: one OBJ file a shape, named by it (``jawOpen.obj``), in metres.

    Args:
        folder: The folder; ``neutral.obj``, if there is one, is the face the shapes are offsets from.
        neutral_m: [V, 3] vertices of the model in rest, used without ``neutral.obj``.

    Returns:
        The shapes; ``neutral_m`` is the model's in any case.

    Raises:
        ConfigError: If a file is broken or too large, or the meshes do not fit each other or the model.
    """
    paths = sorted(folder.glob("*.obj"))
    if not 0 < len(paths) <= MAX_MESHES:
        raise _refuse(f"folder '{folder}' holds {len(paths)} OBJ files, 1 to {MAX_MESHES} are expected")
    meshes: dict[str, FloatArray] = {}
    for path in paths:
        try:
            with path.open("rb") as stream:
                meshes[path.stem] = obj_vertices(stream.read(MAX_MESH_BYTES + 1), path.name)
        except OSError as error:
            raise _refuse(f"'{path.name}' cannot be read ({error})") from error
    base = meshes.pop(NEUTRAL_NAME, neutral_m)
    if base.shape != neutral_m.shape:
        raise _refuse(f"'{NEUTRAL_NAME}.obj' has {len(base)} vertices, the model has {len(neutral_m)}")
    shapes = arkit_shapes(base, meshes)
    return ArkitShapes(shapes.names, neutral_m, shapes.offset_m)


def obj_vertices(content: bytes, label: str) -> FloatArray:
    """Vertex positions of a Wavefront OBJ file; everything else in it is passed over.

    Args:
        content: The file.
        label: Its name, for the error.

    Returns:
        [V, 3] float64, file units.

    Raises:
        ConfigError: If it is too large, has no vertices or too many, or one is not three finite numbers.
    """
    if len(content) > MAX_MESH_BYTES:
        raise _refuse(f"'{label}' is larger than {MAX_MESH_BYTES} bytes")
    lines = list(islice((line for line in content.splitlines() if line.startswith(b"v ")), MAX_VERTICES + 1))
    if not 0 < len(lines) <= MAX_VERTICES:
        raise _refuse(f"'{label}' has {len(lines) or 'no'} vertices, 1 to {MAX_VERTICES} are allowed")
    words = b" ".join(lines).split()
    if len(words) != 4 * len(lines) or set(words[::4]) != {b"v"}:
        raise _refuse(f"'{label}' has a vertex that is not three coordinates")
    try:
        vertices = np.array([list(map(float, words[axis::4])) for axis in (1, 2, 3)]).T
    except ValueError as error:
        raise _refuse(f"'{label}' has a vertex that is not a number ({error})") from error
    if not np.isfinite(vertices).all():
        raise _refuse(f"'{label}' has a vertex that is not finite")
    return vertices


def _refuse(message: str) -> ConfigError:
    return ConfigError("FACE_MESHES_INVALID", f"Face meshes: {message}.", _REMEDY)
