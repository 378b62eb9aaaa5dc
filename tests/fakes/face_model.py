"""A small head in the format of FLAME whose matrix W is known, and meshes of it as OBJ files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.motion.faces import ARKIT_NAMES
from soulstream_training.data.arkit_shapes import ArkitShapes
from soulstream_training.data.flame_model import NUM_EXPRESSIONS, NUM_VALUES, FlameModel

VERTICES = 120
JAW = 2


def flame_arrays(seed: int = 0, vertices: int = VERTICES) -> dict[str, NDArray[np.float64]]:
    """Arrays under FLAME's names: a head of 20 cm, expressions of about 3 mm, corrections, a joint that shifts."""
    rng = np.random.default_rng(seed)
    shapedirs = rng.normal(0.0, 0.003, (vertices, 3, 300 + NUM_EXPRESSIONS))
    weights = np.zeros((vertices, 5))
    weights[:, JAW] = rng.random(vertices)
    weights[:, 0] = 1.0 - weights[:, JAW]
    regressor = np.zeros((5, vertices))
    regressor[:, :4] = 0.25
    return {
        "v_template": rng.uniform(-0.1, 0.1, (vertices, 3)),
        "shapedirs": shapedirs,
        "weights": weights,
        "J_regressor": regressor,
        "posedirs": rng.normal(0.0, 0.002, (vertices, 3, 36)),
    }


def known_matrix(seed: int = 1) -> NDArray[np.float64]:
    """W [52, 103] with a jaw that opens by 20 degrees in jawOpen and hardly moves otherwise; tongueOut is zero."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(0.0, 1.0, (len(ARKIT_NAMES), NUM_VALUES))
    matrix[:, NUM_EXPRESSIONS:] *= 0.02
    matrix[ARKIT_NAMES.index("jawOpen"), NUM_EXPRESSIONS] += np.radians(20.0)
    matrix[-1] = 0.0
    return matrix


def known_shapes(model: FlameModel, matrix: NDArray[np.float64]) -> ArkitShapes:
    """The ARKit shapes that this matrix describes exactly; tongueOut has none."""
    names = ARKIT_NAMES[:-1]
    offset = model.pose(matrix[: len(names)]) - model.template_m
    return ArkitShapes(names, model.template_m, offset)


def obj_text(vertices: NDArray[np.float64]) -> str:
    """A mesh as OBJ, with lines that have to be passed over."""
    lines = ["# a mesh", "mtllib none.mtl", *(f"v {x:.9f} {y:.9f} {z:.9f}" for x, y, z in vertices)]
    return "\n".join([*lines, "vt 0 0", "vn 0 0 1", "f 1/1 2/1 3/1", ""])
