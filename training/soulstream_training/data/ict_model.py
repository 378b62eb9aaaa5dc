"""Builds a head model in the format of FLAME from the expression meshes of ICT-FaceKit, which anybody may use.

It stands in for FLAME in tests and in the demo. It is not FLAME: other vertices, other expressions, no identities.
Letters: ``S`` shapes, ``V`` vertices. Source of the meshes: ICT-FaceKit, Li et al. (2020), MIT licence.
"""

from __future__ import annotations

import lzma
import tarfile
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.errors import ConfigError
from soulstream_training.data.arkit_shapes import (
    MAX_MESH_BYTES,
    MAX_MESHES,
    ArkitShapes,
    arkit_shapes,
    obj_vertices,
)
from soulstream_training.data.flame_model import NUM_EXPRESSIONS, FlameModel

FloatArray = NDArray[np.float64]

ARCHIVE = Path("ict-facekit") / "FaceXModel_expressions_and_neutral.tar.xz"
"""The meshes inside the data folder."""

SKIN = slice(0, 11248)
"""Vertices of face, head and neck. Source: table of geometries of ICT-FaceKit."""

LOWER_TEETH = slice(19247, 21451)
"""Vertices of the lower teeth, which move as the jawbone does. Source: table of teeth of ICT-FaceKit."""

_NEUTRAL = "generic_neutral_mesh"
_UNIT_M = 0.01  # the meshes are in centimetres
_EDGE_M = 0.01  # width of the soft edge between two regions
_NEAR_JOINT_M = 0.001  # closer motion than this says nothing about how far a vertex follows the jaw
_USUAL_WEIGHT = 0.2  # standard deviation of the weight of a regional shape that makes an expression value of 1


def read_ict_shapes(data: Path) -> ArkitShapes:
    """Reads the ARKit shapes of ICT-FaceKit: all but tongueOut.

    Args:
        data: Folder of the shared data.

    Returns:
        51 shapes on all vertices, in metres.

    Raises:
        ConfigError: If the archive is missing, broken or not what it should be. Nothing is unpacked to disk.
    """
    path = data / ARCHIVE
    meshes: dict[str, FloatArray] = {}
    try:
        with tarfile.open(path, "r|xz") as tar:
            for number, member in enumerate(tar):
                name = PurePosixPath(member.name)
                if number >= MAX_MESHES or member.size > MAX_MESH_BYTES:
                    raise _refuse(path, f"has more than {MAX_MESHES} files, or one above {MAX_MESH_BYTES} bytes")
                stream = tar.extractfile(member) if member.isfile() and name.suffix == ".obj" else None
                if stream is not None:
                    meshes[name.stem] = obj_vertices(stream.read(), name.name) * _UNIT_M
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError) as error:
        raise _refuse(path, f"cannot be read ({error})") from error
    neutral = meshes.pop(_NEUTRAL, None)
    if neutral is None or len(neutral) < LOWER_TEETH.stop:
        raise _refuse(path, f"has no '{_NEUTRAL}.obj' with teeth ({LOWER_TEETH.stop} vertices or more)")
    return arkit_shapes(neutral, meshes)


def build_ict_model(
    shapes: ArkitShapes, skin: slice = SKIN, lower_teeth: slice = LOWER_TEETH
) -> tuple[FlameModel, ArkitShapes]:
    """Builds the model.

    The jaw: its turn in jawOpen is that of the lower teeth, its centre the point which that turn leaves in place, and
    a vertex follows it as far as its offset in jawOpen goes along. The expressions: what each shape does beyond
    turning the jaw, cut into six soft regions (two sides, three heights), and of these the 100 principal components.
    They span the shapes closely but not exactly, as those of FLAME do.

    Args:
        shapes: ARKit shapes on all vertices, jawOpen among them.
        skin: Vertices the model is made of.
        lower_teeth: Vertices that move with the jawbone.

    Returns:
        The model, and the shapes on its vertices.

    Raises:
        ConfigError: If there is no jawOpen, or it does not turn the lower teeth.

    Source: ours.
    """
    if "jawOpen" not in shapes.names:
        raise ConfigError("FACE_MESHES_INVALID", "Face meshes: there is no jawOpen.", "Use meshes with that shape.")
    teeth, face = shapes.part(lower_teeth), shapes.part(skin)
    opening = teeth.offset_m[shapes.names.index("jawOpen")]
    turn = _turn_about(teeth.neutral_m.mean(0), teeth.neutral_m, (teeth.neutral_m + opening).mean(0), opening)
    if np.trace(turn) > 3.0 - 1e-6:
        raise ConfigError("FACE_MESHES_INVALID", "Face meshes: jawOpen turns no teeth.", "Check the vertex ranges.")
    centre = teeth.neutral_m.mean(0)
    shift = centre + opening.mean(0) - turn @ centre
    joint = np.linalg.lstsq(np.eye(3) - turn, shift, rcond=1e-6)[0]
    weight = _jaw_weight(face, joint, turn)
    rest = np.stack(
        [
            _without_jaw(offset, face.neutral_m - joint, weight, _turn_about(joint, teeth.neutral_m, joint, moved))
            for offset, moved in zip(face.offset_m, teeth.offset_m, strict=True)
        ]
    )
    num_vertices = len(face.neutral_m)
    model = FlameModel(
        template_m=face.neutral_m,
        expression_m=_components(rest, _regions(rest, face.neutral_m)),
        jaw_joint_m=joint,
        jaw_weight=weight,
        jaw_joint_shift_m=np.zeros((3, NUM_EXPRESSIONS)),
        jaw_correction_m=np.zeros((num_vertices, 3, 9)),
    )
    return model, face


def _turn_about(centre: FloatArray, points: FloatArray, new_centre: FloatArray, offset: FloatArray) -> FloatArray:
    """Rotation [3, 3] that brings points about a centre closest to where they went about the new one (Kabsch)."""
    left, _, right = np.linalg.svd((points - centre).T @ (points + offset - new_centre))
    sign = np.sign(np.linalg.det(left @ right))
    return (left * np.array([1.0, 1.0, sign]) @ right).T


def _jaw_weight(face: ArkitShapes, joint: FloatArray, turn: FloatArray) -> FloatArray:
    """How far each vertex follows the jaw [V]: its offset in jawOpen, projected on that of the jawbone."""
    offset = face.offset_m[face.names.index("jawOpen")]
    rigid = (face.neutral_m - joint) @ (turn - np.eye(3)).T
    along = (offset * rigid).sum(1) / ((rigid**2).sum(1) + _NEAR_JOINT_M**2)
    return np.asarray(np.clip(along, 0.0, 1.0))


def _without_jaw(offset: FloatArray, arm: FloatArray, weight: FloatArray, turn: FloatArray) -> FloatArray:
    """What must be added to the face before the jaw turns, so that the offset comes out [V, 3]."""
    blend = np.eye(3) + weight[:, None, None] * (turn - np.eye(3))
    rest = offset - weight[:, None] * (arm @ (turn - np.eye(3)).T)
    return np.asarray(np.linalg.solve(blend, rest[:, :, None])[:, :, 0], dtype=np.float64)


def _regions(rest: FloatArray, neutral_m: FloatArray) -> FloatArray:
    """Weights of six regions [6, V] that add up to 1; the heights are cut so that each third has as much motion."""
    motion = (rest**2).sum(2)
    motion /= np.maximum(motion.sum(1, keepdims=True), 1e-12)
    order = np.argsort(neutral_m[:, 1], kind="stable")
    share = np.cumsum(motion.sum(0)[order]) / max(motion.sum(), 1e-12)
    cuts = neutral_m[order, 1][np.searchsorted(share, [1 / 3, 2 / 3]).clip(max=len(order) - 1)]
    left, high, higher = (_soft_step(neutral_m[:, axis] - cut) for axis, cut in ((0, 0.0), (1, cuts[0]), (1, cuts[1])))
    return np.stack(
        [side * height for side in (left, 1 - left) for height in (1 - high, high - high * higher, high * higher)]
    )


def _soft_step(distance_m: FloatArray) -> FloatArray:
    return np.asarray(0.5 + 0.5 * np.tanh(distance_m / _EDGE_M))


def _components(rest: FloatArray, regions: FloatArray) -> FloatArray:
    """Principal components [V, 3, 100] of the regional shapes, strongest first; unused ones are zero."""
    fields = (rest[:, None] * regions[None, :, :, None]).reshape(len(rest) * len(regions), -1)
    strength, mixture = np.linalg.eigh(fields @ fields.T)
    strongest = np.argsort(strength)[::-1][:NUM_EXPRESSIONS]
    strongest = strongest[strength[strongest] > 1e-9 * strength.max()]
    found = fields.T @ mixture[:, strongest] * _USUAL_WEIGHT
    found *= np.where(found[np.abs(found).argmax(0), np.arange(found.shape[1])] < 0, -1.0, 1.0)
    basis = np.zeros((fields.shape[1], NUM_EXPRESSIONS))
    basis[:, : found.shape[1]] = found
    return basis.reshape(-1, 3, NUM_EXPRESSIONS)


def _refuse(path: Path, message: str) -> ConfigError:
    return ConfigError("FACE_MESHES_INVALID", f"'{path}' {message}.", "Give the folder of the shared data with --data.")
