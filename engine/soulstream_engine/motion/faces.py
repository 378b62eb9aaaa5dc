"""Named spaces of the face block: ARKit's 52 blend shapes, or 100 FLAME expression coefficients as in the paper."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FACE_SPACES: dict[str, int] = {"flame100": 100, "arkit52": 52}
"""Size of the face block of a motion row by the name of its space."""

ARKIT_NAMES: tuple[str, ...] = (
    *("eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft"),
    *("eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight"),
    *("eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel"),
    *("mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft"),
    *("mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight"),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight"),
    *("mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft"),
    *("browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft"),
    *("cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut"),
)
"""ARKit blend shapes in Apple's order; each weight lies in 0..1."""

ARKIT_INDEX: dict[str, int] = {name: index for index, name in enumerate(ARKIT_NAMES)}
"""Column of each blend shape in the ``arkit52`` block."""


def _mirrored(name: str) -> str:
    if name.endswith("Left"):
        return name.removesuffix("Left") + "Right"
    return name.removesuffix("Right") + "Left" if name.endswith("Right") else name


_ARKIT_MIRROR: NDArray[np.intp] = np.array([ARKIT_INDEX[_mirrored(name)] for name in ARKIT_NAMES], dtype=np.intp)


def face_dim(space: str) -> int:
    """Number of coefficients of a face space.

    Raises:
        ValueError: If the space is not one of ``FACE_SPACES``.
    """
    if space not in FACE_SPACES:
        raise ValueError(f"face space {space!r} is not one of {', '.join(FACE_SPACES)}")
    return FACE_SPACES[space]


def mirror_arkit(face: ArrayLike) -> NDArray[np.float32]:
    """Weights [..., 52] float32 with left and right exchanged.

    Looking in and out stay what they are, because they are named relative to the eye.
    """
    return np.asarray(face, dtype=np.float32)[..., _ARKIT_MIRROR]
