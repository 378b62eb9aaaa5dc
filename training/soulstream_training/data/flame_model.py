"""A head model in the format of FLAME: expressions are added to a template, then the jaw turns it by linear blending.

What is read is the zero identity with neck and eyes at rest: 100 expression and 3 jaw values, the face of the paper.
FLAME itself is not ours to give away: its file is the user's. It comes as a pickle, which can run code when loaded, so
it is not read here. What is read is an npz of plain arrays under FLAME's own names (dense, float32 or float64), which
``numpy.savez`` makes of the loaded pickle where that is trusted; ``J_regressor`` is sparse there (``.toarray()``):

- ``v_template`` [V, 3], metres
- ``shapedirs`` [V, 3, 400] (300 identity, then 100 expression) or [V, 3, 100] (expression only)
- ``weights`` [V, 5]: skinning of root, neck, jaw, left eye, right eye
- ``J_regressor`` [5, V]
- ``posedirs`` [V, 3, 36], optional: corrections by the rotations of neck, jaw and eyes

Letters: ``T`` frames, ``V`` vertices, ``E`` = 100 expressions. Source: FLAME (Li et al., 2017), equations 1 to 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from soulstream_engine.arrays import read_arrays
from soulstream_engine.errors import ConfigError

FloatArray = NDArray[np.float64]

NUM_EXPRESSIONS = 100
NUM_JAW = 3
NUM_VALUES = NUM_EXPRESSIONS + NUM_JAW
"""Values of a face: expressions, then the rotation vector of the jaw in radians."""

_NUM_IDENTITY = 300
_NUM_JOINTS = 5
_JAW = 2
_JAW_CORRECTION = slice(9, 18)  # of the rotations of the joints 1 to 4, nine numbers each
_MAX_BYTES = 512_000_000
_WEIGHT_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class FlameModel:
    """A head that has expressions and a jaw.

    Attributes:
        template_m: [V, 3] float64, the face at rest, metres.
        expression_m: [V, 3, E] float64, what each expression adds at value 1.
        jaw_joint_m: [3] float64, the jaw's centre of rotation at rest.
        jaw_weight: [V] float64 in 0..1, how far a vertex follows the jaw.
        jaw_joint_shift_m: [3, E] float64, how expressions move the centre.
        jaw_correction_m: [V, 3, 9] float64, what is added per entry of (jaw rotation matrix - identity), row by row.
    """

    template_m: FloatArray
    expression_m: FloatArray
    jaw_joint_m: FloatArray
    jaw_weight: FloatArray
    jaw_joint_shift_m: FloatArray
    jaw_correction_m: FloatArray

    @property
    def num_vertices(self) -> int:
        """Number of vertices."""
        return len(self.template_m)

    def pose(self, values: FloatArray) -> FloatArray:
        """Poses the head.

        Args:
            values: [T, 103] expressions and jaw rotation vector, or [T, 100] with the jaw at rest.

        Returns:
            [T, V, 3] float64, metres.

        Raises:
            ValueError: If the rows have another width.
        """
        if values.ndim != 2 or values.shape[1] not in (NUM_EXPRESSIONS, NUM_VALUES):
            raise ValueError(f"face values have shape {values.shape}, expected [T, {NUM_EXPRESSIONS} or {NUM_VALUES}]")
        expression, jaw = values[:, :NUM_EXPRESSIONS], values[:, NUM_EXPRESSIONS:]
        shaped = self.template_m + (expression @ self.expression_m.reshape(-1, NUM_EXPRESSIONS).T).reshape(
            len(values), -1, 3
        )
        if jaw.shape[1] == 0:
            return shaped
        turn = Rotation.from_rotvec(jaw).as_matrix() - np.eye(3)
        joint = (self.jaw_joint_m + expression @ self.jaw_joint_shift_m.T)[:, None]
        shaped += (turn.reshape(-1, 9) @ self.jaw_correction_m.reshape(-1, 9).T).reshape(shaped.shape)
        return shaped + self.jaw_weight[:, None] * ((shaped - joint) @ turn.transpose(0, 2, 1))


def read_flame_model(path: Path) -> FlameModel:
    """Reads a model.

    Args:
        path: The npz this module describes.

    Returns:
        The model.

    Raises:
        ConfigError: If an array is missing, has another shape, or holds numbers that cannot be.
        BundleError: If the archive is broken or holds anything but plain arrays.
    """
    return flame_model(read_arrays(path, max_bytes=_MAX_BYTES), path.name)


def flame_model(arrays: Mapping[str, NDArray[Any]], label: str) -> FlameModel:
    """Makes a model of FLAME's arrays, wherever they come from; others than those needed are passed over.

    Args:
        arrays: Arrays by the names this module describes.
        label: What they come from, for the error.

    Returns:
        The model; every shape checked, every number finite.

    Raises:
        ConfigError: If an array is missing, has another shape, or holds numbers that cannot be.
    """
    vertices = len(arrays["v_template"]) if "v_template" in arrays and arrays["v_template"].ndim else 0
    template = _array(arrays, label, "v_template", (vertices, 3))
    shapes = (vertices, 3, _NUM_IDENTITY + NUM_EXPRESSIONS), (vertices, 3, NUM_EXPRESSIONS)
    expression = _array(arrays, label, "shapedirs", *shapes)[:, :, -NUM_EXPRESSIONS:]
    weight = _array(arrays, label, "weights", (vertices, _NUM_JOINTS))[:, _JAW]
    regressor = _array(arrays, label, "J_regressor", (_NUM_JOINTS, vertices))[_JAW]
    correction = np.zeros((vertices, 3, 9))
    if "posedirs" in arrays:
        correction = _array(arrays, label, "posedirs", (vertices, 3, 9 * (_NUM_JOINTS - 1)))[:, :, _JAW_CORRECTION]
    if weight.min() < -_WEIGHT_SLACK or weight.max() > 1.0 + _WEIGHT_SLACK:
        raise _refuse(label, f"has jaw weights of {weight.min():.3g} to {weight.max():.3g}, 0 to 1 are allowed")
    return FlameModel(
        template_m=template,
        expression_m=np.ascontiguousarray(expression),
        jaw_joint_m=regressor @ template,
        jaw_weight=weight,
        jaw_joint_shift_m=np.tensordot(regressor, expression, 1),
        jaw_correction_m=np.ascontiguousarray(correction),
    )


def _array(arrays: Mapping[str, NDArray[Any]], label: str, name: str, *shapes: tuple[int, ...]) -> FloatArray:
    array = arrays.get(name)
    if array is None or array.shape not in shapes or array.dtype.kind != "f" or 0 in array.shape:
        found = "nothing" if array is None else f"{array.dtype}{list(array.shape)}"
        expected = " or ".join(str(list(shape)) for shape in shapes)
        raise _refuse(label, f"holds {found} as '{name}', expected float{expected}")
    if not np.isfinite(array).all():
        raise _refuse(label, f"holds values in '{name}' that are not finite")
    return array.astype(np.float64)


def _refuse(label: str, message: str) -> ConfigError:
    return ConfigError(
        "FACE_MODEL_INVALID", f"'{label}' {message}.", "Convert the model as soulstream_training.data.flame_model says."
    )
