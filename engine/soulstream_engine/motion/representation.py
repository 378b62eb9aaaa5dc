"""Poses to motion features and back: the meaning of every column of a motion row.

A clip of T frames gives T - 1 rows; the velocities of row t move frame t to frame t + 1. Rows are in *model order*
``[body 263 | hands 360 | face F]``; the paper's *canonical* order is a permutation of it. All lengths are metres, all
velocities metres per frame, relative to the heading frame of the row (the dancer faces +Z, left = +X, Y up).

The heading is the direction the dancer faces, smoothed over time, as a rotation about Y. ``ra`` is half of its change
per frame with opposite sign (a left turn is negative). The accumulated sum ``a`` of ``ra`` gives the rotation from the
world to the heading frame, ``(cos a, 0, sin a, 0)``; the heading itself is the yaw by ``-2 a``.

Source: the representation of "Music-Aligned Holistic 3D Dance Generation via Hierarchical Motion Modeling" (ICCV 2025),
which extends HumanML3D. Ours: real parent-local rotations (``local``), contacts scaled by the frame rate, and a first
frame that is turned by its smoothed heading instead of the raw one, so that ``ra`` does not jump in row 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soulstream_engine.motion import position_ik, rotations, skeleton
from soulstream_engine.motion.faces import face_dim
from soulstream_engine.motion.rotations import FloatArray
from soulstream_engine.motion.skeleton import CONTACT_JOINTS, NUM_BODY_JOINTS, NUM_JOINTS, REST_OFFSETS_M

RotSource = Literal["local", "ik"]
"""Meaning of the joint rotations: real parent-local ones, or the paper's rotations from positions."""

ContactRule = Literal["height", "hml3d"]
"""``height``: slow for the frame rate and near the floor; ``hml3d``: HumanML3D's constant and no height test."""

F32 = NDArray[np.float32]

BODY_DIM = 263
"""Columns of the body part; the same as HumanML3D's."""

HANDS_DIM = 360
"""Columns of the hands part."""

ROOT = slice(0, 4)
"""Columns ra, rx, rz, ry."""
BODY_JP = slice(4, 67)
"""Positions of joints 1..21, three each; height above the floor, X and Z relative to the root."""
BODY_JR = slice(67, 193)
"""Rotations of joints 1..21, six each (column 0, column 1)."""
BODY_JV = slice(193, 259)
"""Velocities of joints 0..21, three each."""
CONTACT = slice(259, 263)
"""Contacts of left ankle, left toe, right ankle, right toe: 0 or 1."""
HANDS = slice(263, 623)
"""All columns of the hands part."""
HANDS_JP = slice(263, 353)
"""Positions of joints 22..51, as ``BODY_JP``."""
HANDS_JR = slice(353, 533)
"""Rotations of joints 22..51, as ``BODY_JR``."""
HANDS_JV = slice(533, 623)
"""Velocities of joints 22..51, as ``BODY_JV``."""
FACE_START = 623
"""First column of the face part; its size depends on the face space."""

HEADING_SIGMA_FRAMES = 20.0
"""Width of the Gaussian that smooths the facing direction, frames. Source: HumanML3D."""

_HML3D_CONTACT_M2 = 0.002
_HML3D_FPS = 20.0
_ANKLE_CONTACT_M = 0.12
_TOE_CONTACT_M = 0.08


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of a motion row in model order for one face space (``flame100``: 723 columns, ``arkit52``: 675)."""

    face_space: str = "arkit52"

    @property
    def face_dim(self) -> int:
        """Columns of the face part."""
        return face_dim(self.face_space)

    @property
    def dim(self) -> int:
        """Columns of a whole row."""
        return FACE_START + self.face_dim

    @property
    def face(self) -> slice:
        """Columns of the face part."""
        return slice(FACE_START, self.dim)

    @property
    def parts(self) -> dict[str, slice]:
        """Columns of each part, in the order body, hands, face."""
        return {"body": slice(0, BODY_DIM), "hands": HANDS, "face": self.face}

    @property
    def groups(self) -> dict[str, slice]:
        """Columns that share one standard deviation when rows are normalised, in model order."""
        return {
            **{"ra": slice(0, 1), "rxz": slice(1, 3), "ry": slice(3, 4)},
            **{"body_jp": BODY_JP, "body_jr": BODY_JR, "body_jv": BODY_JV, "contact": CONTACT},
            **{"hands_jp": HANDS_JP, "hands_jr": HANDS_JR, "hands_jv": HANDS_JV, "face": self.face},
        }


def _canonical_columns() -> NDArray[np.intp]:
    blocks = (ROOT, BODY_JP, HANDS_JP, BODY_JR, HANDS_JR, BODY_JV, HANDS_JV, CONTACT)
    return np.concatenate([np.arange(block.start, block.stop) for block in blocks])


_MODEL_OF_CANONICAL = _canonical_columns()
_CANONICAL_OF_MODEL = np.argsort(_MODEL_OF_CANONICAL)


def to_canonical(rows: ArrayLike) -> F32:
    """Rows [..., 623 + F] from model order to the paper's order: root, jp, jr, jv of all joints, contacts, face."""
    return _permute(rows, _MODEL_OF_CANONICAL)


def to_model(rows: ArrayLike) -> F32:
    """Rows [..., 623 + F] from the paper's order to model order; the inverse of ``to_canonical``."""
    return _permute(rows, _CANONICAL_OF_MODEL)


def _permute(rows: ArrayLike, columns: NDArray[np.intp]) -> F32:
    values = np.asarray(rows, dtype=np.float32)
    if values.shape[-1] < FACE_START:
        raise ValueError(f"rows of both orders have at least {FACE_START} columns, not {values.shape[-1]}")
    return np.concatenate([values[..., columns], values[..., FACE_START:]], axis=-1)


@dataclass(frozen=True, slots=True)
class RootState:
    """Where the dancer stands between two chunks of rows: all that integration has to remember.

    ``angle`` is the accumulated ``ra`` in radians, wrapped to -pi..pi (the heading is ``-2 * angle``); ``x`` and ``z``
    are the pelvis on the floor, metres.
    """

    angle: float = 0.0
    x: float = 0.0
    z: float = 0.0


def heading_rad(joints_m: ArrayLike, *, sigma_frames: float = HEADING_SIGMA_FRAMES) -> NDArray[np.float64]:
    """Heading [T] in radians of world positions [T, J, 3]: 0 faces +Z, growing with a left turn, not wrapped.

    Args:
        joints_m: World positions, metres; J = 22 or 52.
        sigma_frames: Width of the smoothing over time; 0 gives the raw facing direction.
    """
    joints = np.asarray(joints_m, dtype=np.float64)
    across = joints[:, 2] - joints[:, 1] + joints[:, 17] - joints[:, 16]
    across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-9)
    forward = np.cross([0.0, 1.0, 0.0], across)
    if sigma_frames > 0:
        from scipy.ndimage import gaussian_filter1d  # slow to import and needed to encode only, never live

        forward = gaussian_filter1d(forward, sigma_frames, axis=0, mode="nearest")
    return np.unwrap(np.arctan2(forward[:, 0], forward[:, 2]))


def start_state(root_m: ArrayLike, joint_wxyz: ArrayLike) -> RootState:
    """The state from which the rows of a clip decode to where the clip really stood.

    Args:
        root_m: Pelvis positions [T, 3], metres.
        joint_wxyz: Parent-local rotations [T, J, 4]; J = 22 or 52.
    """
    root = np.asarray(root_m, dtype=np.float64)
    heading = heading_rad(skeleton.forward_kinematics(root, joint_wxyz))
    return RootState(_wrap(-float(heading[0]) / 2), float(root[0, 0]), float(root[0, 2]))


def encode(
    root_m: ArrayLike,
    joint_wxyz: ArrayLike,
    face: ArrayLike,
    *,
    rot_source: RotSource = "local",
    fps: float = 30,
    contact_rule: ContactRule = "height",
) -> F32:
    """Motion rows [T - 1, 623 + F] float32 in model order of a clip of T frames.

    Rows do not depend on where the clip starts or which way it faces. Heights count from the floor at Y = 0.

    Args:
        root_m: Pelvis positions [T, 3], metres.
        joint_wxyz: Parent-local unit rotations [T, 52, 4]; entry 0 is the pelvis in the world.
        face: Face coefficients [T, F]; F = 0 is allowed.
        rot_source: What the joint rotations mean.
        fps: Frames a second; scales the contact threshold of ``height``.
        contact_rule: How contacts are found.

    Raises:
        ValueError: If the shapes do not match or T < 2.
    """
    weights = np.asarray(face, dtype=np.float32)
    if np.shape(joint_wxyz)[1:] != (NUM_JOINTS, 4) or weights.ndim != 2 or len(weights) != len(np.asarray(root_m)):
        shapes = f"joints {np.shape(joint_wxyz)} and face {weights.shape}"
        raise ValueError(f"expected joints [T, {NUM_JOINTS}, 4] and face [T, F], not {shapes}")
    body, hands = _encode_joints(root_m, joint_wxyz, rot_source, fps, contact_rule)
    return np.concatenate([body, hands, weights[:-1]], axis=-1)


def encode_body(
    root_m: ArrayLike,
    joint_wxyz: ArrayLike,
    *,
    rot_source: RotSource = "local",
    fps: float = 30,
    contact_rule: ContactRule = "height",
) -> F32:
    """Body columns [T - 1, 263] float32 of a clip; as ``encode``, with ``joint_wxyz`` [T, 22 or 52, 4].

    Raises:
        ValueError: If the shapes do not match or T < 2.
    """
    body_wxyz = np.asarray(joint_wxyz)[:, :NUM_BODY_JOINTS]
    return _encode_joints(root_m, body_wxyz, rot_source, fps, contact_rule)[0]


def _encode_joints(
    root_m: ArrayLike, joint_wxyz: ArrayLike, rot_source: RotSource, fps: float, contact_rule: ContactRule
) -> tuple[F32, F32]:
    """Body rows [T - 1, 263] and hands rows [T - 1, 360] (or [T - 1, 0] of a body) of a clip."""
    root, local = np.asarray(root_m, dtype=np.float64), np.asarray(joint_wxyz, dtype=np.float64)
    if root.ndim != 2 or len(root) < 2 or root.shape[1] != 3 or local.shape[:1] != root.shape[:1]:
        raise ValueError(f"expected root [T, 3] and rotations [T, J, 4] with T >= 2, not {root.shape}, {local.shape}")
    joints = skeleton.forward_kinematics(root, local)
    heading = heading_rad(joints)
    joints = rotations.rotate(rotations.yaw(-heading[0]), joints - root[0] * [1.0, 0.0, 1.0])
    to_local = rotations.yaw(heading[0] - heading)
    moved = joints[1:] - joints[:-1]
    relative = joints[:-1] - joints[:-1, :1] * [1.0, 0.0, 1.0]
    turn = np.arcsin(np.clip(rotations.multiply(to_local[1:], rotations.conjugate(to_local[:-1])), -1, 1))[:, 2]
    travel = rotations.rotate(to_local[1:], moved[:, 0])
    jp = rotations.rotate(to_local[:-1, None], relative[:, 1:])
    jv = rotations.rotate(to_local[:-1, None], moved)
    solved = local if rot_source == "local" else position_ik.solve(joints, to_local)
    jr = rotations.to_sixd(solved[:-1, 1:])
    planted = contacts(joints, fps, contact_rule)
    split = NUM_BODY_JOINTS
    body = [turn[:, None], travel[:, ::2], joints[:-1, 0, 1:2], jp[:, : split - 1], jr[:, : split - 1], jv[:, :split]]
    hands = [jp[:, split - 1 :], jr[:, split - 1 :], jv[:, split:]]
    return _flat([*body, planted]), _flat(hands)


def _flat(blocks: Sequence[FloatArray]) -> F32:
    sizes = [int(np.prod(block.shape[1:])) for block in blocks]
    columns = [block.reshape(len(block), size) for block, size in zip(blocks, sizes, strict=True)]
    return np.concatenate(columns, axis=-1).astype(np.float32)


def contacts(joints: FloatArray, fps: float, rule: ContactRule) -> NDArray[np.float64]:
    """Which foot joints stand on the floor, as a row says it.

    Args:
        joints: [T, J, 3] world positions, metres.
        fps: Frames a second.
        rule: See ``ContactRule``.

    Returns:
        [T - 1, 4] 0 or 1: left ankle, left toe, right ankle, right toe (``method.md`` 2.3).
    """
    feet = joints[:, CONTACT_JOINTS]
    moved = np.sum((feet[1:] - feet[:-1]) ** 2, axis=-1)
    if rule == "hml3d":
        return np.asarray(moved < _HML3D_CONTACT_M2, dtype=np.float64)
    limits = [_ANKLE_CONTACT_M, _TOE_CONTACT_M, _ANKLE_CONTACT_M, _TOE_CONTACT_M]
    slow = moved < _HML3D_CONTACT_M2 * (_HML3D_FPS / fps) ** 2
    return np.asarray(slow & (feet[:-1, :, 1] < limits), dtype=np.float64)


def integrate_root(rows: ArrayLike, state: RootState | None = None) -> tuple[F32, F32, RootState]:
    """Root path of rows [T, >= 4]: chunk after chunk gives the same as all rows at once.

    Args:
        rows: Motion rows in either order, not normalised.
        state: Where the last chunk ended; ``None`` starts at the origin facing +Z.

    Returns:
        Pelvis positions [T, 3] float32 in metres, headings [T, 4] float32 (from heading frame to world), and the
        state for the row after the last.
    """
    ra, rx, rz, ry = np.asarray(rows, dtype=np.float64)[:, ROOT].T
    start = state or RootState()
    angle = np.cumsum(np.concatenate([[start.angle], ra]))
    heading = rotations.yaw(-2 * angle)
    steps = rotations.rotate(heading[1:], np.stack([rx, np.zeros_like(rx), rz], axis=-1))
    x = np.cumsum(np.concatenate([[start.x], steps[:, 0]]))
    z = np.cumsum(np.concatenate([[start.z], steps[:, 2]]))
    root = np.stack([x[:-1], ry, z[:-1]], axis=-1)
    end = RootState(_wrap(float(angle[-1])), float(x[-1]), float(z[-1]))
    return root.astype(np.float32), heading[:-1].astype(np.float32), end


def _wrap(angle: float) -> float:
    """The same angle in -pi..pi."""
    return math.remainder(angle, 2 * math.pi)


def decode_joints(rows: ArrayLike, state: RootState | None = None) -> tuple[F32, RootState]:
    """World positions from the position columns alone.

    Args:
        rows: Rows [T, 263] of the body, or [T, 623 or more] in model order, not normalised.
        state: Where the last chunk ended; ``None`` starts at the origin facing +Z.

    Returns:
        Positions [T, 22 or 52, 3] float32 in metres, and the next state.

    Raises:
        ValueError: If the number of columns fits neither.
    """
    values = _checked(rows)
    root, heading, state = integrate_root(values, state)
    turned = rotations.rotate(heading[:, None], _local_positions(values))
    joints = np.concatenate([np.zeros_like(root)[:, None], turned], axis=1) + (root * [1.0, 0.0, 1.0])[:, None]
    joints[:, 0] = root
    return joints.astype(np.float32), state


def decode_pose(rows: ArrayLike, state: RootState | None = None) -> tuple[F32, F32, F32, RootState]:
    """Poses of rows with ``local`` rotations, for whoever drives a character.

    The pelvis rotation is in no column: it is the rotation that best lays the rest positions of the hips and spine1
    over the decoded ones.

    Args:
        rows: Rows [T, 263] of the body, or [T, 623 or more] in model order, not normalised.
        state: Where the last chunk ended; ``None`` starts at the origin facing +Z.

    Returns:
        Pelvis positions [T, 3] in metres, parent-local unit rotations [T, 22 or 52, 4], contacts [T, 4] in 0..1 (all
        float32), and the next state.

    Raises:
        ValueError: If the number of columns fits neither.
    """
    values = _checked(rows)
    root, heading, state = integrate_root(values, state)
    pelvis = rotations.multiply(heading, _fit_pelvis(_local_positions(values), values[:, 3]))
    local = decode_rotations(values)
    joint_wxyz = np.concatenate([pelvis[:, None].astype(np.float32), local], axis=1)
    return root, joint_wxyz, np.clip(values[:, CONTACT], 0, 1).astype(np.float32), state


def decode_rotations(rows: ArrayLike) -> F32:
    """Unit rotations [T, 21 or 51, 4] float32 of joints 1.. as encoded; always valid, whatever a network wrote.

    Raises:
        ValueError: If the rows have neither 263 nor at least 623 columns.
    """
    values = _checked(rows)
    sixd = values[:, BODY_JR] if values.shape[1] == BODY_DIM else np.hstack([values[:, BODY_JR], values[:, HANDS_JR]])
    return rotations.from_sixd(sixd.reshape(len(values), -1, 6)).astype(np.float32)


def decode_joints_ik(rows: ArrayLike, state: RootState | None = None) -> tuple[F32, RootState]:
    """World positions [T, 22 or 52, 3] in metres from rows with ``ik`` rotations, and the next state.

    Start from the default state: the paper's rotations depend on the heading since the first frame of the clip.

    Raises:
        ValueError: If the rows have neither 263 nor at least 623 columns.
    """
    root, heading, state = integrate_root(rows, state)
    bones = np.concatenate([rotations.conjugate(heading)[:, None], decode_rotations(rows)], axis=1)
    return position_ik.forward_kinematics(root, bones).astype(np.float32), state


def _checked(rows: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(rows, dtype=np.float64)
    if values.ndim != 2 or not (values.shape[1] == BODY_DIM or values.shape[1] >= FACE_START):
        raise ValueError(f"rows are [T, {BODY_DIM}] or [T, {FACE_START} + face], not {values.shape}")
    return values


def _local_positions(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions [T, 21 or 51, 3] of joints 1.. in the heading frame, root X and Z removed."""
    jp = values[:, BODY_JP] if values.shape[1] == BODY_DIM else np.hstack([values[:, BODY_JP], values[:, HANDS_JP]])
    return jp.reshape(len(values), -1, 3)


def _fit_pelvis(local_m: NDArray[np.float64], root_height_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pelvis rotations [T, 4] in the heading frame by a least-squares rigid fit of joints 1, 2, 3 (Kabsch)."""
    measured = local_m[:, :3] - root_height_m[:, None, None] * [0.0, 1.0, 0.0]
    rest = REST_OFFSETS_M[1:4].astype(np.float64)
    u, _, vt = np.linalg.svd(np.einsum("tji,jk->tik", measured, rest))
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    return np.asarray(rotations.from_matrix(u @ vt), dtype=np.float64)
