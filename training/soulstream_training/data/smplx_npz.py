"""Reads SMPL-X motions as numbers: npz by name (BEAT2, AMASS) and the 322 columns of Motion-X and SoulDance.

Rotation vectors in radians, metres. The fingers come in the order index, middle, pinky, ring, thumb, which is ours.
Shape (``betas``) is not used: it says how long the legs are only together with the licensed body model; whoever has it
gives ``leg_length_m``. Not for SMPL pickles (``aist``). Letters: T frames, P dancers.

BEAT2 is played with a body model that adds the mean hand to the fingers, AMASS with one that does not (the flag
``flat_hand_mean``). The mean hand is part of the licensed model: give it as ``hand_mean_rotvec``, or the fingers of
BEAT2 are flatter than captured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soulstream_training.data.asf import FloatArray, refuse
from soulstream_training.data.body_model import Up, as_frames, checked, flame_face, from_rotvec, model_motion
from soulstream_training.data.dancers import split_dancers
from soulstream_training.data.npy_guard import read_npz, read_single
from soulstream_training.data.recording import ModelMotion

FaceColumns = Literal["expression50", "face100"]
"""Which of the 322 columns are the face: 159:209 as in Motion-X, or 209:309 as in the features of SoulDance."""

MOTIONX_DIM = 322
MAX_EXPRESSION = 100
"""Expression coefficients kept; more are refused. Source: BEAT2 has 100."""

_BODY, _HANDS = 66, 90
# Columns of the jaw and of the hands by the number of pose columns: SMPL-X, SMPL-H, SMPL (its hands are one joint each
# and dropped), body alone.
_LAYOUTS: dict[int, tuple[slice | None, slice | None]] = {
    165: (slice(66, 69), slice(75, 165)),
    156: (None, slice(66, 156)),
    72: (None, None),
    66: (None, None),
}
_RATES = ("mocap_frame_rate", "mocap_framerate")
_TRANS = ("trans", "transl")
_ROOT = ("global_orient", "root_orient")
_BODY_POSE = ("body_pose", "pose_body")
_JAW = ("jaw_pose", "pose_jaw")
_EXPRESSION = ("expressions", "expression")
_SIDES = ("left_hand_pose", "right_hand_pose")
_WANTED = ("poses", "pose_hand", *_RATES, *_TRANS, *_ROOT, *_BODY_POSE, *_JAW, *_EXPRESSION, *_SIDES)


def read_smplx_npz(
    path: Path,
    *,
    fps: float | None = None,
    up: Up = "y",
    leg_length_m: float | None = None,
    hand_mean_rotvec: ArrayLike | None = None,
) -> list[ModelMotion]:
    """Reads one npz: ``poses`` [T, 165, 156, 72 or 66], or the same in parts, with ``trans`` [T, 3].

    Args:
        path: ``.npz``. Parts are ``global_orient``, ``body_pose`` and optionally ``left_hand_pose``,
            ``right_hand_pose`` and ``jaw_pose``, or the names of AMASS (``root_orient``, ``pose_body``, ``pose_hand``).
        fps: Frames a second; ``None`` takes the file's.
        up: The axis that points up: ``y`` in BEAT2, ``z`` in AMASS.
        leg_length_m: Hip to knee to ankle of the dancer, metres, to scale the path; ``None`` keeps it.
        hand_mean_rotvec: [30, 3] or [90] rotation vectors added to the fingers, left hand first.

    Returns:
        One motion: 52 joints, or 22 if the file has no fingers; with a face if it has expressions.

    Raises:
        MotionFileError: If the file is damaged, lacks a part, has another shape or values that are not finite.
        ValueError: If the mean hand does not have 90 numbers.
    """
    arrays = read_npz(path, _WANTED)
    trans = checked(path, "trans", _required(path, arrays, _TRANS), (None, 3))
    body, hands, jaw = _poses(path, arrays) if "poses" in arrays else _parts(path, arrays)
    face, face_space = _face(path, arrays, jaw)
    return [
        model_motion(
            path,
            trans,
            _joints(path, body, hands, hand_mean_rotvec),
            fps=_rate(path, arrays) if fps is None else fps,
            up=up,
            leg_length_m=leg_length_m,
            face=face,
            face_space=face_space,
        )
    ]


def read_motionx(
    path: Path,
    *,
    fps: float | None = None,
    up: Up = "y",
    leg_length_m: float | None = None,
    face_columns: FaceColumns = "expression50",
) -> list[ModelMotion]:
    """Reads the 322 columns of Motion-X: root 0:3, body 3:66, hands 66:156, jaw 156:159, face, trans 309:312, shape.

    Args:
        path: ``.npy``, or ``.npz`` with one array (or one called ``motion``): [T, 322], or [P, T, 322] of dancers.
        fps: Frames a second; the file carries none, so it must be given.
        up: The axis that points up.
        leg_length_m: Hip to knee to ankle of the dancers, metres, to scale the path; ``None`` keeps it.
        face_columns: Which columns are the face.

    Returns:
        One motion a dancer, 52 joints.

    Raises:
        MotionFileError: If the file is damaged, has another shape, values that are not finite or no rate was given.
    """
    motions = []
    for dancer, values in split_dancers(path, read_single(path, ("motion",)), 2):
        rows = checked(path, "motion", values, (None, MOTIONX_DIM))
        columns = slice(159, 209) if face_columns == "expression50" else slice(209, 309)
        face, face_space = flame_face(rows[:, columns], rows[:, 156:159])
        motions.append(
            model_motion(
                path,
                rows[:, 309:312],
                _joints(path, rows[:, :_BODY], rows[:, _BODY : _BODY + _HANDS], None),
                fps=fps,
                up=up,
                leg_length_m=leg_length_m,
                face=face,
                face_space=face_space,
                dancer=dancer,
            )
        )
    return motions


def _find(arrays: dict[str, NDArray[Any]], names: tuple[str, ...]) -> NDArray[Any] | None:
    return next((arrays[name] for name in names if name in arrays), None)


def _required(path: Path, arrays: dict[str, NDArray[Any]], names: tuple[str, ...]) -> NDArray[Any]:
    found = _find(arrays, names)
    if found is None:
        wanted = " or ".join(f"'{name}'" for name in names)
        raise refuse(path, 0, f"lacks {wanted}; it has {sorted(arrays)}.", "Check the format of the file.")
    return found


def _poses(path: Path, arrays: dict[str, NDArray[Any]]) -> tuple[FloatArray, FloatArray | None, FloatArray | None]:
    """Body [T, 66], hands [T, 90] and jaw [T, 3] out of one array."""
    values = as_frames(arrays["poses"])
    width = values.shape[-1] if values.ndim == 2 else -1
    if width not in _LAYOUTS:
        message = f"'poses' has shape {list(values.shape)}, expected [T, {', '.join(map(str, _LAYOUTS))}]."
        raise refuse(path, 0, message, "Store full rotation vectors, not principal components.")
    poses = checked(path, "poses", values, (None, width))
    jaw, hands = _LAYOUTS[width]
    return poses[:, :_BODY], None if hands is None else poses[:, hands], None if jaw is None else poses[:, jaw]


def _parts(path: Path, arrays: dict[str, NDArray[Any]]) -> tuple[FloatArray, FloatArray | None, FloatArray | None]:
    """The same out of one array a part."""
    root = checked(path, "global_orient", as_frames(_required(path, arrays, _ROOT)), (None, 3))
    body = checked(path, "body_pose", as_frames(_required(path, arrays, _BODY_POSE)), (len(root), 63))
    jaw = _find(arrays, _JAW)
    hands = None
    if "pose_hand" in arrays:
        hands = checked(path, "pose_hand", as_frames(arrays["pose_hand"]), (len(root), _HANDS))
    elif any(side in arrays for side in _SIDES):
        both = [checked(path, side, as_frames(_required(path, arrays, (side,))), (len(root), 45)) for side in _SIDES]
        hands = np.concatenate(both, axis=1)
    return (
        np.concatenate([root, body], axis=1),
        hands,
        None if jaw is None else checked(path, "jaw_pose", as_frames(jaw), (len(root), 3)),
    )


def _joints(path: Path, body: FloatArray, hands: FloatArray | None, hand_mean: ArrayLike | None) -> FloatArray:
    """Rotations [T, 22 or 52, 4] of the body [T, 66] and the hands [T, 90]."""
    if hands is None:
        return from_rotvec(path, "poses", body)
    mean = np.zeros(_HANDS) if hand_mean is None else np.asarray(hand_mean, dtype=np.float64).reshape(_HANDS)
    return from_rotvec(path, "poses", np.concatenate([body, hands + mean], axis=1))


def _face(path: Path, arrays: dict[str, NDArray[Any]], jaw: FloatArray | None) -> tuple[FloatArray | None, str]:
    expression = _find(arrays, _EXPRESSION)
    if expression is None:
        return None, ""
    width = expression.shape[-1] if expression.ndim == 2 else -1
    if not 1 <= width <= MAX_EXPRESSION:
        raise refuse(path, 0, f"'expressions' has shape {list(expression.shape)}, expected [T, 1 to {MAX_EXPRESSION}].")
    return flame_face(checked(path, "expressions", expression, (None, width)), jaw)


def _rate(path: Path, arrays: dict[str, NDArray[Any]]) -> float | None:
    value = _find(arrays, _RATES)
    if value is not None and value.size != 1:
        raise refuse(path, 0, f"'mocap_frame_rate' has shape {list(value.shape)}, expected one number.")
    return None if value is None else float(value.reshape(-1)[0])
