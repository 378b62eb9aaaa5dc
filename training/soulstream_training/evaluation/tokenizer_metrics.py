"""What a tokenizer loses of a motion, measured on feature rows: positions, their derivatives, contacts, the face.

Positions are in the world of the first row of a window of 150 frames, heading integrated from the rows themselves, the
root at zero: a tokenizer that turns too far pays for it. Not for models (``tokenizer_table``) or for moments of rest
(``tokenizer``).

Letters: T rows, D columns, J joints (22, or 52 with hands), S face shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.motion.representation import (
    BODY_DIM,
    BODY_JP,
    CONTACT,
    FACE_START,
    HANDS_JP,
    decode_joints,
)
from soulstream_engine.motion.skeleton import CONTACT_JOINTS, JOINT_INDEX, NUM_BODY_JOINTS, NUM_JOINTS

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

WINDOW = 150
"""Rows over which the heading is integrated. Source: the usual published way (``tokenizer.md``)."""

FRAMES_PER_TOKEN = 4

_WRISTS = np.repeat([JOINT_INDEX["left_wrist"], JOINT_INDEX["right_wrist"]], (NUM_JOINTS - NUM_BODY_JOINTS) // 2)

VertexOffsets = Callable[[F64], F64]
"""Vertex offsets [T, V, 3] in metres of differences of face weights [T, S]: vertices are linear in them."""


@dataclass
class Losses:
    """Sums over frames; ``means`` divides. Millimetres; speeds a frame, accelerations a frame squared.

    ``body`` mean joint distance, ``captured`` that of captured joints only, ``all`` of 52 joints, ``hands`` with each
    hand at its own wrist, ``fve`` norm of the vertex error of a face and ``vertex`` the mean distance of a vertex,
    ``face`` mean error of a face weight; ``velocity`` and ``acceleration`` of the body, ``boundary`` and ``inside``
    the velocity error at the seam of two tokens and within them; ``jerk`` and ``true_jerk``; ``slide`` and
    ``true_slide`` horizontal speed of planted feet in m/s.
    """

    body: list[float] = field(default_factory=list)
    captured: list[float] = field(default_factory=list)
    all: list[float] = field(default_factory=list)
    hands: list[float] = field(default_factory=list)
    face: list[float] = field(default_factory=list)
    fve: list[float] = field(default_factory=list)
    vertex: list[float] = field(default_factory=list)
    velocity: list[float] = field(default_factory=list)
    acceleration: list[float] = field(default_factory=list)
    boundary: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)
    jerk: list[float] = field(default_factory=list)
    true_jerk: list[float] = field(default_factory=list)
    slide: list[float] = field(default_factory=list)
    true_slide: list[float] = field(default_factory=list)

    def means(self) -> dict[str, float]:
        """Mean of each over all frames it was measured in; those that never were are left out."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: float(np.mean(found)) for name, found in values.items() if len(found)}


def joint_positions(rows: F32) -> F64:
    """Joints with the root at zero, in the world of the first row of each window of 150 rows.

    Args:
        rows: [T, D] raw features.

    Returns:
        [T, 22 or 52, 3] float64, metres.
    """
    values = rows.astype(np.float64)
    jp = values[:, BODY_JP]
    if values.shape[1] > BODY_DIM:
        jp = np.concatenate([jp, values[:, HANDS_JP]], axis=1)
    joints = jp.reshape(len(rows), -1, 3)
    joints[..., 1] -= values[:, 3:4]
    joints = np.concatenate([np.zeros_like(joints[:, :1]), joints], axis=1)
    for start in range(0, len(rows), WINDOW):
        piece = slice(start, start + WINDOW)
        ra = values[piece, 0]
        angle = -2.0 * (np.cumsum(ra) - ra)[:, None]
        x, z = joints[piece, :, 0], joints[piece, :, 2]
        joints[piece] = np.stack(
            [np.cos(angle) * x + np.sin(angle) * z, joints[piece, :, 1], np.cos(angle) * z - np.sin(angle) * x], axis=-1
        )
    return joints


def add_losses(
    losses: Losses,
    made: F32,
    real: F32,
    *,
    captured: NDArray[np.bool_] | None = None,
    offsets: VertexOffsets | None = None,
) -> None:
    """Measures one stretch.

    Args:
        losses: What is added to.
        made: [T, D] decoded rows.
        real: [T, D] true rows; row 0 begins a token.
        captured: [22] joints that were captured; all if ``None``.
        offsets: Of the face's vertices; without it the face is measured by its weights alone.

    Raises:
        ValueError: If the shapes differ or there are fewer than four rows.
    """
    if made.shape != real.shape or len(real) < FRAMES_PER_TOKEN:
        raise ValueError(f"rows of shapes {made.shape} and {real.shape} cannot be compared")
    ours, theirs = joint_positions(made), joint_positions(real)
    distance = 1000.0 * np.linalg.norm(ours - theirs, axis=-1)
    body = distance[:, :NUM_BODY_JOINTS]
    losses.body += body.mean(axis=1).tolist()
    known = np.ones(NUM_BODY_JOINTS, np.bool_) if captured is None else captured[:NUM_BODY_JOINTS]
    losses.captured += body[:, known].mean(axis=1).tolist()
    if ours.shape[1] == NUM_JOINTS:
        losses.all += distance.mean(axis=1).tolist()
        off = (ours - theirs)[:, NUM_BODY_JOINTS:] - (ours - theirs)[:, _WRISTS]
        losses.hands += (1000.0 * np.linalg.norm(off, axis=-1).mean(axis=1)).tolist()
        _add_face(losses, made[:, FACE_START:], real[:, FACE_START:], offsets)
    _add_derivatives(losses, ours[:, :NUM_BODY_JOINTS], theirs[:, :NUM_BODY_JOINTS])
    losses.slide += _slides(made, real).tolist()
    losses.true_slide += _slides(real, real).tolist()


def _add_face(losses: Losses, made: F32, real: F32, offsets: VertexOffsets | None) -> None:
    if not made.shape[1]:
        return
    error = made.astype(np.float64) - real
    losses.face += np.abs(error).mean(axis=1).tolist()
    if offsets is None:
        return
    for start in range(0, len(error), 32):
        square = ((1000.0 * offsets(error[start : start + 32])) ** 2).sum(axis=-1)
        losses.fve += np.sqrt(square.sum(axis=1)).tolist()
        losses.vertex += np.sqrt(square).mean(axis=1).tolist()


def _add_derivatives(losses: Losses, ours: F64, theirs: F64) -> None:
    """Windows are turned on their own, so nothing is taken across their seams."""
    for start in range(0, len(ours), WINDOW):
        a, b = 1000.0 * ours[start : start + WINDOW], 1000.0 * theirs[start : start + WINDOW]
        if len(a) < FRAMES_PER_TOKEN:
            continue
        velocity = np.linalg.norm(np.diff(a - b, axis=0), axis=-1).mean(axis=1)
        at_seam = (start + 1 + np.arange(len(velocity))) % FRAMES_PER_TOKEN == 0
        losses.velocity += velocity.tolist()
        losses.boundary += velocity[at_seam].tolist()
        losses.inside += velocity[~at_seam].tolist()
        losses.acceleration += np.linalg.norm(np.diff(a - b, n=2, axis=0), axis=-1).mean(axis=1).tolist()
        losses.jerk += np.linalg.norm(np.diff(a, n=3, axis=0), axis=-1).mean(axis=1).tolist()
        losses.true_jerk += np.linalg.norm(np.diff(b, n=3, axis=0), axis=-1).mean(axis=1).tolist()


def _slides(rows: F32, contacts: F32) -> F64:
    """Horizontal speed in m/s of every foot joint in every frame in which the true one is planted."""
    joints, _ = decode_joints(rows[:, :BODY_DIM])
    speed = np.linalg.norm(np.diff(joints[:, list(CONTACT_JOINTS)][..., [0, 2]], axis=0), axis=-1) * FPS
    return np.asarray(speed[contacts[:-1, CONTACT] > 0.5], dtype=np.float64)
