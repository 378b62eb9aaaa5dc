"""What the readers give: a captured motion before anything of ours was done to it.

Two kinds. A ``Recording`` is somebody's own skeleton, to be put on ours by a named map (``named_retarget``). A
``ModelMotion`` already is on the body model whose joints ours are (SMPL, SMPL-H, SMPL-X), so nothing is to be mapped.
Not for: reading (one file a format) or frame rates (``resample``).

Letters: T frames at the source's rate, J joints of the source, F face values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recording:
    """A motion on the skeleton it was captured with. Right-handed, Y up, metres.

    Attributes:
        names: J joint names, parents before children.
        parents: [J] int32, -1 for the root.
        offsets_m: [J, 3] float64, each joint from its parent in the zero pose, world axes; the root's is zero.
        global_wxyz: [T, J, 4] float64, world rotation of each joint relative to the zero pose.
        position_m: [T, J, 3] float64, world positions.
        fps: Frames a second as the file says (the clip table may know better).
    """

    names: tuple[str, ...]
    parents: NDArray[np.int32]
    offsets_m: FloatArray
    global_wxyz: FloatArray
    position_m: FloatArray
    fps: float


@dataclass(frozen=True, slots=True)
class ModelMotion:
    """A motion of a body model with the joints of ``soulstream_engine.motion.skeleton``. Right-handed, Y up, metres.

    Attributes:
        root_m: [T, 3] float64, position of the pelvis joint.
        joint_wxyz: [T, 22 or 52, 4] float64, parent-local unit rotations; joint 0 is the pelvis in the world.
        fps: Frames a second as the file says.
        face: [T, F] float64 or ``None``.
        face_space: ``flame100``, ``flame103`` or ``arkit52``; empty without a face.
        dancer: Which of several dancers of a take, or empty.
    """

    root_m: FloatArray
    joint_wxyz: FloatArray
    fps: float
    face: FloatArray | None = None
    face_space: str = ""
    dancer: str = ""
