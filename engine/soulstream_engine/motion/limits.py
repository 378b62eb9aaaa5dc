"""Last guards before a pose leaves: finite numbers, unit rotations without sign flips, and no joint too fast.

Motion inside the limits passes unchanged. Letters: T frames, J joints (52).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.errors import InvariantError
from soulstream_engine.motion import rotations
from soulstream_engine.motion.floor import floor_deficit_m
from soulstream_engine.motion.skeleton import forward_kinematics

F64 = NDArray[np.float64]

MAX_JOINT_M_S = 14.0
"""Fastest a joint may move in the world, metres a second; the promise to receivers is 15 (ours)."""

MAX_ROOT_M_S = 6.0
"""Fastest the pelvis may move, metres a second: a sprinter's start (ours)."""

MAX_TURN_RAD_S = 35.0
"""Fastest a joint may turn relative to its parent, radians a second (ours; fast dance reaches about 25)."""

_STEP_M, _ROOT_STEP_M, _TURN_RAD = MAX_JOINT_M_S / FPS, MAX_ROOT_M_S / FPS, MAX_TURN_RAD_S / FPS


def require_finite(first_index: int, **arrays: ArrayLike) -> None:
    """Check that arrays of a chunk hold no NaN and no infinity.

    Args:
        first_index: Frame index of row 0, for the message.
        arrays: Arrays [T, ...] by name.

    Raises:
        InvariantError: ``POSE_NOT_FINITE`` with the array, the number of bad values and the first bad frame.
    """
    for name, array in arrays.items():
        values = np.asarray(array)
        good = np.isfinite(values)
        if not good.all():
            frame = first_index + int(np.argmin(good.reshape(len(values), -1).all(axis=1)))
            raise InvariantError(
                "POSE_NOT_FINITE",
                f"{name} holds {int((~good).sum())} non-finite values, first at frame {frame}; none are allowed.",
                "The chunk is dropped; if this repeats, restart with another bundle or backend.",
            )


def without_flips(joint_wxyz: ArrayLike, previous: ArrayLike | None) -> F64:
    """Unit rotations [T, J, 4] with signs that continue from a previous frame [J, 4] (if any) and from each other.

    The same rotations; only so that receivers which interpolate numbers do not take the long way round.
    """
    unit = np.asarray(rotations.normalize(np.asarray(joint_wxyz, dtype=np.float64)), dtype=np.float64)
    signed = np.asarray(rotations.continuous(unit), dtype=np.float64)
    if previous is not None and len(signed):
        flip = np.sum(signed[0] * np.asarray(previous), axis=-1, keepdims=True) < 0
        signed = signed * np.where(flip, -1.0, 1.0)
    return signed


class SpeedLimit:
    """Keeps every joint below ``MAX_JOINT_M_S``, the pelvis below ``MAX_ROOT_M_S``, turns below ``MAX_TURN_RAD_S``.

    A pose that asks for more is approached as fast as allowed; feet are kept off the underside of the floor meanwhile.
    Stateful: it compares with the last pose it gave.
    """

    def __init__(self) -> None:
        self._root_m: F64 | None = None
        self._joint_wxyz: F64 | None = None

    def reset(self, joint_wxyz: ArrayLike | None = None) -> None:
        """Forget the last pose: the next one may be anywhere.

        Args:
            joint_wxyz: Rotations [J, 4] whose signs the next pose continues, if any.
        """
        self._root_m = None
        self._joint_wxyz = None if joint_wxyz is None else np.array(joint_wxyz, dtype=np.float64)

    def apply(self, root_m: ArrayLike, joint_wxyz: ArrayLike) -> tuple[F64, F64]:
        """Limit a chunk of poses.

        Args:
            root_m: Pelvis positions [T, 3], metres, finite.
            joint_wxyz: Parent-local rotations [T, 52, 4], finite.

        Returns:
            Root [T, 3] and unit rotations [T, 52, 4], float64.

        Live: allocates; about 0.05 ms a frame in chunks of 8, 1 to 5 ms for a frame that is limited.
        """
        root = np.array(root_m, dtype=np.float64)
        wxyz = without_flips(joint_wxyz, self._joint_wxyz)
        if len(root) == 0:
            return root, wxyz
        if self._root_m is None or self._joint_wxyz is None:
            before_m, before_wxyz = root[:1], wxyz[:1]
        else:
            before_m, before_wxyz = self._root_m[None], self._joint_wxyz[None]
        if not _within(np.concatenate([before_m, root]), np.concatenate([before_wxyz, wxyz])):
            last = before_m[0], before_wxyz[0]
            for t in range(len(root)):
                last = root[t], wxyz[t] = _approach(*last, root[t], wxyz[t])
            wxyz = without_flips(wxyz, before_wxyz[0])
        self._root_m, self._joint_wxyz = root[-1].copy(), wxyz[-1].copy()
        return root, wxyz


def _within(root: F64, wxyz: F64) -> bool:
    """Whether all steps between consecutive poses are inside the limits."""
    cosine = np.abs(np.sum(wxyz[1:] * wxyz[:-1], axis=-1))
    if np.any(cosine < np.cos(_TURN_RAD / 2)) or np.any(_norm(np.diff(root, axis=0)) > _ROOT_STEP_M):
        return False
    joints = forward_kinematics(root, wxyz)
    return bool(np.all(_norm(np.diff(joints, axis=0)) <= _STEP_M))


def _approach(root: F64, wxyz: F64, wanted_root: F64, wanted_wxyz: F64) -> tuple[F64, F64]:
    """The pose nearest to the wanted one, on the way to it, that one step may reach."""
    if _within(np.stack([root, wanted_root]), np.stack([wxyz, wanted_wxyz])):
        return wanted_root, wanted_wxyz
    turn = np.asarray(rotations.angle_between(wxyz, wanted_wxyz))
    share = np.minimum(1.0, 0.999 * _TURN_RAD / np.maximum(turn, 1e-9))
    step = wanted_root - root
    root_share = min(1.0, 0.999 * _ROOT_STEP_M / max(float(_norm(step)), 1e-9))
    joints = forward_kinematics(root, wxyz)
    sunk = float(floor_deficit_m(root, wxyz))
    t = 1.0
    while t > 1e-6:
        new_wxyz = np.asarray(rotations.slerp(wxyz, wanted_wxyz, t * share), dtype=np.float64)
        new_root = root + t * root_share * step
        new_root[1] += max(float(floor_deficit_m(new_root, new_wxyz)) - sunk, 0.0)
        fastest = float(_norm(forward_kinematics(new_root, new_wxyz) - joints).max())
        if fastest <= _STEP_M:
            return new_root, new_wxyz
        t *= min(0.98 * _STEP_M / fastest, 0.9)
    return root, wxyz


def _norm(vectors: ArrayLike) -> F64:
    return np.asarray(np.linalg.norm(np.asarray(vectors, dtype=np.float64), axis=-1))
