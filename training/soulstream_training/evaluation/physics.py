"""How a dance moves as a body: feet on the floor, smoothness, seams of a plan, how far the limbs go.

From positions alone, so that systems without rotations are judged alike: the 22 joints of the body at 30 fps, Y up, the
floor at 0. Not for: whether a clip is good enough to learn from (``data.motion_quality``).

Letters: T frames, J joints (at least 22), E edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.motion import rotations
from soulstream_engine.motion.representation import contacts, heading_rad
from soulstream_engine.motion.skeleton import CONTACT_JOINTS, NUM_BODY_JOINTS
from soulstream_training.data.motion_quality import foot_slide
from soulstream_training.evaluation.dance_take import DanceTake

F64 = NDArray[np.float64]

SLIDING_M_S = 0.5
"""Horizontal speed above which a planted foot slides. Source: the skating ratio of GMD (Karunratanakul et al., 2023);
its contact rule is another one, so the ratios are not comparable."""

EDGE_FRAMES = 2
"""Frames on either side of a seam whose jerk belongs to it (ours)."""

RANGE_PERCENTILES = (1.0, 99.0)
"""Ends of the extent of a joint: a single broken frame does not widen it (ours)."""


@dataclass(frozen=True, slots=True)
class PhysicsRow:
    """Numbers of one dance; ``None`` where there is nothing to measure.

    Attributes:
        pfc: Physical foot contact, lower is better.
        foot_slide_m_s: Mean horizontal speed of planted feet.
        foot_slide_ratio: Share of planted foot steps that slide.
        planted_share: Share of foot steps that are planted; without it the two above cannot be read.
        jerk_mps3: Mean jerk, metres a second cubed.
        boundary_jerk_ratio: Jerk at the edges over that elsewhere; 1 where seams do not show.
        range_of_motion_m: Mean extent of a joint around the body.
    """

    pfc: float
    foot_slide_m_s: float | None
    foot_slide_ratio: float | None
    planted_share: float
    jerk_mps3: float
    boundary_jerk_ratio: float | None
    range_of_motion_m: float


def physics_row(take: DanceTake) -> PhysicsRow:
    """All numbers of a dance.

    Raises:
        ValueError: If an edge lies outside the dance.
    """
    return PhysicsRow(
        pfc=pfc(take.joints_m),
        foot_slide_m_s=foot_slide_m_s(take.joints_m),
        foot_slide_ratio=foot_slide_ratio(take.joints_m),
        planted_share=float(_planted(_body(take.joints_m)).mean()),
        jerk_mps3=jerk(take.joints_m),
        boundary_jerk_ratio=boundary_jerk_ratio(take.joints_m, take.edges),
        range_of_motion_m=range_of_motion(take.joints_m),
    )


def pfc(joints_m: NDArray[np.floating]) -> float:
    """Physical foot contact score: a body that accelerates while both feet slide has nothing to push against.

    ``1e4 * mean_t(|a_t| / max_t |a_t| * l_t * r_t)``, with ``a`` the acceleration of the pelvis whose vertical part is
    cut to what is not negative (falling needs no foot), and ``l``, ``r`` the horizontal movement in metres a frame of
    the slower of ankle and toe base, left and right, in the step that ends the acceleration.

    Args:
        joints_m: [T, J, 3] positions, T >= 4.

    Returns:
        Not negative, lower is better; 0 when the pelvis never accelerates. Because of the maximum in it, compare only
        dances of like length.

    Raises:
        ValueError: If the shape does not fit.

    Source: EDGE (Tseng et al., 2023), section 4, as in its ``eval/eval_pfc.py``: 30 fps, movement not divided by time.
    """
    joints = _body(joints_m)
    acceleration = np.diff(joints[:, 0], n=2, axis=0)  # a frame squared: the scale cancels
    acceleration[:, 1] = np.maximum(acceleration[:, 1], 0.0)
    size = np.linalg.norm(acceleration, axis=-1)
    if not size.max() > 0.0:
        return 0.0
    slower = _foot_steps_m(joints)[1:].reshape(-1, 2, 2).min(axis=-1)
    return float(1e4 * np.mean(size / size.max() * slower.prod(axis=-1)))


def foot_slide_m_s(joints_m: NDArray[np.floating]) -> float | None:
    """Mean horizontal speed of planted feet, by the contact rule ``height`` of ``motion.representation``.

    The rule calls a foot planted only below 0.9 m/s, so a faster slide lowers ``planted_share`` instead.

    Args:
        joints_m: [T, J, 3] positions, T >= 4.

    Returns:
        Metres a second; ``None`` when no foot is ever planted.

    Raises:
        ValueError: If the shape does not fit.
    """
    joints = _body(joints_m)
    planted = _planted(joints)
    return foot_slide(joints[:, list(CONTACT_JOINTS)], planted) if planted.any() else None


def foot_slide_ratio(joints_m: NDArray[np.floating]) -> float | None:
    """Share of the planted steps of ankles and toe bases that are faster than ``SLIDING_M_S``, contacts as above.

    Args:
        joints_m: [T, J, 3] positions, T >= 4.

    Returns:
        0..1; ``None`` when no foot is ever planted.

    Raises:
        ValueError: If the shape does not fit.
    """
    joints = _body(joints_m)
    planted = _planted(joints)
    return float((_foot_steps_m(joints) * FPS > SLIDING_M_S)[planted].mean()) if planted.any() else None


def jerk(joints_m: NDArray[np.floating]) -> float:
    """Mean size of the third difference of the 22 joints, the ``jitter_mps3`` of ``data.motion_quality``.

    Args:
        joints_m: [T, J, 3] positions, T >= 4.

    Returns:
        Metres a second cubed.

    Raises:
        ValueError: If the shape does not fit.
    """
    return float(_jerks(_body(joints_m)).mean())


def boundary_jerk_ratio(joints_m: NDArray[np.floating], edges: Sequence[int] | NDArray[np.int64]) -> float | None:
    """Mean jerk at the seams over the mean jerk elsewhere.

    The seam of an edge ``e`` lies between the frames ``e - 1`` and ``e``. A third difference belongs to it if its
    middle is at most ``EDGE_FRAMES`` away: these are all that span the seam, and one more on either side.

    Args:
        joints_m: [T, J, 3] positions, T >= 4.
        edges: [E] first frames of new windows; the beginning (0) and the end (T) of the dance are no seams.

    Returns:
        1 where seams do not show; ``None`` without seams, or if nothing, or only stillness, lies elsewhere.

    Raises:
        ValueError: If the shape does not fit or an edge lies outside the dance.
    """
    joints = _body(joints_m)
    first = np.asarray(edges, dtype=np.int64).reshape(-1)
    if ((first < 0) | (first > len(joints))).any():
        raise ValueError(f"edges {first.min()}..{first.max()} must lie within the {len(joints)} frames of the dance")
    seams = first[(first > 0) & (first < len(joints))] - 0.5
    jerks = _jerks(joints)
    middles = np.arange(len(jerks)) + 1.5
    near = (np.abs(middles[:, None] - seams) <= EDGE_FRAMES).any(axis=1)
    if not near.any() or near.all() or not jerks[~near].mean() > 0.0:
        return None
    return float(jerks[near].mean() / jerks[~near].mean())


def range_of_motion(joints_m: NDArray[np.floating]) -> float:
    """How much room the limbs take around the body: low for a dance that stiffens to its mean pose.

    Joints 1..21 are taken relative to the pelvis and turned by the smoothed heading, so neither travelling nor turning
    round counts. The extent of a joint is the diagonal of the box between ``RANGE_PERCENTILES`` of each axis over time.

    Args:
        joints_m: [T, J, 3] positions, T >= 4.

    Returns:
        Mean extent, metres. It grows with the length of a dance: compare dances of like length.

    Raises:
        ValueError: If the shape does not fit.
    """
    joints = _body(joints_m)
    to_heading = rotations.yaw(-heading_rad(joints))
    local = rotations.rotate(to_heading[:, None], joints[:, 1:] - joints[:, :1])
    low, high = np.percentile(local, RANGE_PERCENTILES, axis=0)
    return float(np.linalg.norm(high - low, axis=-1).mean())


def _body(joints_m: NDArray[np.floating]) -> F64:
    """[T, 22, 3] of positions that can be judged."""
    joints = np.asarray(joints_m, dtype=np.float64)
    if joints.ndim != 3 or len(joints) < 4 or joints.shape[1] < NUM_BODY_JOINTS or joints.shape[2] != 3:
        raise ValueError(f"positions must be [T >= 4, J >= {NUM_BODY_JOINTS}, 3], not {list(joints.shape)}")
    return joints[:, :NUM_BODY_JOINTS]


def _planted(joints: F64) -> NDArray[np.bool_]:
    """Contacts [T - 1, 4]."""
    return contacts(joints, FPS, "height") > 0.0


def _foot_steps_m(joints: F64) -> F64:
    """Horizontal movement [T - 1, 4] of left ankle, left toe base, right ankle, right toe base, metres a frame."""
    return np.linalg.norm(np.diff(joints[:, list(CONTACT_JOINTS)][..., [0, 2]], axis=0), axis=-1)


def _jerks(joints: F64) -> F64:
    """Mean over joints [T - 3] of the jerk between frames k and k + 3, m/s3."""
    return np.linalg.norm(np.diff(joints, n=3, axis=0), axis=-1).mean(axis=-1) * FPS**3
