"""What all readers of body-model motions share: shape and value checks, the up axis, the scale of the root path.

The joints of SMPL, SMPL-H and SMPL-X are ours, so their rotations are taken over as they are. Our rest offsets are our
own: only the root path is scaled, by the length of the legs. Letters: T frames, J joints (22 or 52).

The translation of these models is not quite the pelvis: a constant, the pelvis of the rest shape, is missing from it,
about (0, -0.3, 0) m. Without the licensed models it is not known; whatever finds the floor takes it out again, and two
dancers of one take are moved alike.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import LEG_LENGTH_M, NUM_BODY_JOINTS, NUM_JOINTS
from soulstream_training.data.amc import MAX_FRAMES
from soulstream_training.data.asf import FloatArray, refuse
from soulstream_training.data.recording import ModelMotion

Up = Literal["y", "z"]
"""Which axis of the file points up. With ``z``, the dancer of AMASS faces -Y before any turn."""

MIN_FRAMES = 2
FPS_RANGE = (1.0, 1000.0)
"""Frame rates accepted, as in the clip table."""

LEG_RANGE_M = (0.3, 1.5)
"""Hip to knee to ankle of a person, metres, a small child and a giant included (ours)."""

MAX_ROOT_M = 100.0
"""Farthest pelvis from the origin, metres; beyond, the file is in other units (ours)."""

MAX_ANGLE_RAD = 4 * math.pi
"""Longest rotation vector, radians; beyond, the file is in degrees (ours)."""

UNIT_TOLERANCE = 0.02
"""How far the length of a quaternion may be from one (ours; rounded to two digits it is off by 0.01)."""

_FROM_Z_UP = np.array([math.sqrt(0.5), -math.sqrt(0.5), 0.0, 0.0])


def checked(path: Path, name: str, values: NDArray[Any], shape: tuple[int | None, ...]) -> FloatArray:
    """Checks the shape and the values of an array.

    Args:
        path: File, for the error.
        name: Array, for the error.
        values: The array.
        shape: What it must be; ``None`` is the number of frames.

    Returns:
        The same as float64.

    Raises:
        MotionFileError: If the shape is another, there are too few or too many frames, or a value is not finite.
    """
    found = values.shape
    if len(found) != len(shape) or any(
        want is not None and want != got for want, got in zip(shape, found, strict=True)
    ):
        wanted = ", ".join("T" if want is None else str(want) for want in shape)
        raise refuse(
            path, 0, f"'{name}' has shape {list(found)}, expected [{wanted}].", "Check the format of the file."
        )
    for want, got in zip(shape, found, strict=True):
        if want is None and not MIN_FRAMES <= got <= MAX_FRAMES:
            raise refuse(path, 0, f"'{name}' has {got} frames, {MIN_FRAMES} to {MAX_FRAMES} are read.", "Cut it anew.")
    numbers = np.asarray(values, dtype=np.float64)
    bad = np.argwhere(~np.isfinite(numbers))
    if len(bad):
        where = bad[0].tolist()
        raise refuse(path, 0, f"'{name}' is {numbers[tuple(where)]} at {where}; {len(bad)} values are not finite.")
    return numbers


def from_rotvec(path: Path, name: str, rotvec: FloatArray) -> FloatArray:
    """Unit quaternions of axis-angle vectors.

    Args:
        path: File, for the error.
        name: Array, for the error.
        rotvec: [T, J * 3] float64, radians.

    Returns:
        [T, J, 4] float64.

    Raises:
        MotionFileError: If a vector is longer than two turns, as degrees are.
    """
    vectors = rotvec.reshape(len(rotvec), -1, 3)
    longest = float(np.linalg.norm(vectors, axis=-1).max(initial=0.0))
    if longest > MAX_ANGLE_RAD:
        message = f"'{name}' turns a joint by {longest:.1f} rad, {MAX_ANGLE_RAD:.1f} are allowed."
        raise refuse(path, 0, message, "Convert degrees to radians.")
    return np.asarray(Rotation.from_rotvec(vectors).as_quat(scalar_first=True))


def unit(path: Path, name: str, wxyz: FloatArray) -> FloatArray:
    """Normalises quaternions that are nearly so.

    Args:
        path: File, for the error.
        name: Array, for the error.
        wxyz: [T, J, 4] float64.

    Returns:
        [T, J, 4] float64, unit length.

    Raises:
        MotionFileError: If a length is farther from one than ``UNIT_TOLERANCE``.
    """
    length = np.linalg.norm(wxyz, axis=-1)
    worst = np.unravel_index(int(np.argmax(np.abs(length - 1))), length.shape)
    if abs(length[worst] - 1) > UNIT_TOLERANCE:
        frame, joint = (int(i) for i in worst)
        message = f"'{name}' has length {length[worst]:.3f} in frame {frame}, joint {joint}, expected 1."
        raise refuse(path, 0, message, "Store unit quaternions.")
    return np.asarray(rotations.normalize(wxyz))


def y_up(vectors: FloatArray, up: Up) -> FloatArray:
    """Turns positions so that Y points up.

    Args:
        vectors: [..., 3] float64 in the axes of the file.
        up: The axis of the file that points up.

    Returns:
        [..., 3] float64; from Z up, (x, y, z) becomes (x, z, -y).
    """
    return vectors if up == "y" else np.stack([vectors[..., 0], vectors[..., 2], -vectors[..., 1]], axis=-1)


def rate(path: Path, fps: float | None) -> float:
    """Checks a frame rate.

    Args:
        path: File, for the error.
        fps: Frames a second, or ``None`` if neither the file nor the caller says.

    Returns:
        The rate.

    Raises:
        MotionFileError: If there is none, or it is outside of ``FPS_RANGE``.
    """
    if fps is None:
        raise refuse(path, 0, "carries no frame rate.", "Give it: the clip table has a column true_fps.")
    low, high = FPS_RANGE
    if not (math.isfinite(fps) and low <= fps <= high):
        raise refuse(path, 0, f"runs at {fps} frames a second, {low:.0f} to {high:.0f} are read.", "Correct the rate.")
    return float(fps)


def model_motion(
    path: Path,
    root: FloatArray,
    joint_wxyz: FloatArray,
    *,
    fps: float | None,
    up: Up = "y",
    leg_length_m: float | None = None,
    face: FloatArray | None = None,
    face_space: str = "",
    dancer: str = "",
) -> ModelMotion:
    """Puts a body-model motion together: Y up, root path scaled to our legs, signs continuous, upright.

    Args:
        path: File, for the error.
        root: [T, 3] float64, pelvis in metres, axes of the file.
        joint_wxyz: [T, 22 or 52, 4] float64, parent-local unit rotations; joint 0 in the axes of the file.
        fps: Frames a second, ``None`` is refused.
        up: The axis of the file that points up.
        leg_length_m: Hip to knee to ankle of the dancer, metres. ``None`` keeps the path: the mean shapes of the SMPL
            family have legs of about 0.8 m, as ours.
        face: [T, F] float64 or ``None``.
        face_space: As in ``ModelMotion``.
        dancer: As in ``ModelMotion``.

    Returns:
        The motion.

    Raises:
        MotionFileError: If the parts differ in length, a length or rate is out of range, or the dancer lies or stands
            on the head throughout, which means another up axis.
    """
    if len(root) != len(joint_wxyz) or (face is not None and len(face) != len(root)):
        counts = f"{len(root)} positions, {len(joint_wxyz)} poses" + ("" if face is None else f", {len(face)} faces")
        raise refuse(path, 0, f"has {counts}, expected equal counts.")
    if joint_wxyz.shape[1] not in (NUM_BODY_JOINTS, NUM_JOINTS):
        raise refuse(path, 0, f"has {joint_wxyz.shape[1]} joints, expected {NUM_BODY_JOINTS} or {NUM_JOINTS}.")
    scale = 1.0 if leg_length_m is None else LEG_LENGTH_M / check_leg(path, leg_length_m)
    root_m = y_up(root, up) * scale
    farthest = float(np.abs(root_m).max())
    if farthest > MAX_ROOT_M:
        message = f"puts the pelvis {farthest:.0f} m from the origin, {MAX_ROOT_M:.0f} are allowed."
        raise refuse(path, 0, message, "Convert the positions to metres.")
    local = joint_wxyz.copy()
    if up == "z":
        local[:, 0] = rotations.multiply(_FROM_Z_UP, local[:, 0])
    _check_upright(path, local[:, 0], up)
    signed = np.asarray(rotations.continuous(local), dtype=np.float64)
    return ModelMotion(root_m, signed, rate(path, fps), face, face_space, dancer)


def check_leg(path: Path, leg_length: float) -> float:
    """Checks the length of a leg, which tells metres from other units.

    Args:
        path: File, for the error.
        leg_length: Hip to knee to ankle in the units of the file.

    Returns:
        The same.

    Raises:
        MotionFileError: If it is outside of ``LEG_RANGE_M``.
    """
    low, high = LEG_RANGE_M
    if not low <= leg_length <= high:
        message = f"has legs of {leg_length:.3g} from hip to ankle, {low} to {high} m are read."
        raise refuse(path, 0, message, "Convert the positions to metres.")
    return leg_length


def flame_face(expression: FloatArray, jaw: FloatArray | None) -> tuple[FloatArray | None, str]:
    """The face block of a motion from FLAME values.

    Args:
        expression: [T, up to 100] float64, expression coefficients; missing ones are zero.
        jaw: [T, 3] float64, jaw rotation vectors in radians, if known.

    Returns:
        [T, 103] and ``flame103`` with a jaw, [T, 100] and ``flame100`` without; ``None`` and an empty name if all
        values are zero, which means that no face was captured.
    """
    padded = np.zeros((len(expression), 100))
    padded[:, : expression.shape[1]] = expression
    values = padded if jaw is None else np.concatenate([padded, jaw], axis=1)
    return (values, "flame100" if jaw is None else "flame103") if values.any() else (None, "")


def as_frames(values: ArrayLike) -> NDArray[Any]:
    """Joint vectors [T, J, 3] laid flat as [T, J * 3]; anything else unchanged."""
    array = np.asarray(values)
    return array.reshape(len(array), -1) if array.ndim == 3 and array.shape[-1] == 3 else array


def _check_upright(path: Path, pelvis_wxyz: FloatArray, up: Up) -> None:
    """Refuses a pelvis whose own up lies along another axis on average; a dancer on the floor turns about."""
    mean = rotations.rotate(pelvis_wxyz, [0.0, 1.0, 0.0]).mean(axis=0)
    if mean[1] < -0.5 or (mean[1] < 0.3 and np.abs(mean).max() > 0.8):
        message = f"has a dancer whose mean up is {np.round(mean, 2).tolist()} when read with {up.upper()} up."
        raise refuse(path, 0, message, "Read the file with its other up axis, or turn it so that Y points up.")
