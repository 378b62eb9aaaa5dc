"""Files of a made-up robot with the joint names of the Unitree G1, and motions of it as CSV text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

# name, parent, offset of the left side (X forward, Y left, Z up, metres), axis
_CENTRE = (
    ("pelvis", "", (0.0, 0.0, 0.0), None),
    ("waist_yaw", "pelvis", (0.0, 0.0, 0.0), "z"),
    ("waist_roll", "waist_yaw", (0.0, 0.0, 0.05), "x"),
    ("waist_pitch", "waist_roll", (0.0, 0.0, 0.0), "y"),
)
_SIDE = (
    ("hip_pitch", "pelvis", (0.0, 0.06, -0.1), "y"),
    ("hip_roll", "hip_pitch", (0.0, 0.05, -0.03), "x"),
    ("hip_yaw", "hip_roll", (0.0, 0.0, -0.1), "z"),
    ("knee", "hip_yaw", (0.0, 0.0, -0.2), "y"),
    ("ankle_pitch", "knee", (0.0, 0.0, -0.3), "y"),
    ("ankle_roll", "ankle_pitch", (0.0, 0.0, -0.02), "x"),
    ("shoulder_pitch", "waist_pitch", (0.0, 0.1, 0.25), "y"),
    ("shoulder_roll", "shoulder_pitch", (0.0, 0.04, 0.0), "x"),
    ("shoulder_yaw", "shoulder_roll", (0.0, 0.0, -0.1), "z"),
    ("elbow", "shoulder_yaw", (0.0, 0.0, -0.1), "y"),
    ("wrist_roll", "elbow", (0.1, 0.0, 0.0), "x"),
    ("wrist_pitch", "wrist_roll", (0.05, 0.0, 0.0), "y"),
    ("wrist_yaw", "wrist_pitch", (0.05, 0.0, 0.0), "z"),
)
FIXED = {"hip_roll": ("y", -0.2), "knee": ("y", 0.2)}


def tree() -> dict[str, Any]:
    """The table of bodies; zero pose: legs nearly straight, arms down, forearms forwards."""
    rows: list[tuple[str, str, tuple[float, ...], str | None]] = list(_CENTRE)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for name, parent, (x, y, z), axis in _SIDE:
            above = (
                parent if (parent, "", (0.0, 0.0, 0.0), None) in _CENTRE or "waist" in parent else f"{side}_{parent}"
            )
            rows.append((f"{side}_{name}", above, (x, sign * y, z), axis))
    names = [row[0] for row in rows]
    bodies = []
    for index, (name, parent, offset, axis) in enumerate(rows):
        fixed_axis, angle = FIXED.get(name.partition("_")[2], (None, 0.0))
        bodies.append(
            {
                **{"index": index, "name": name, "parent": names.index(parent) if parent else -1},
                **{"offset": list(offset), "axis": axis, "fixed_axis": fixed_axis, "fixed_angle": angle},
            }
        )
    return {"units": "m, rad", "up": "z", "forward": "x", "fps": 60, "bodies": bodies}


NAMES = tuple(body["name"] for body in tree()["bodies"])


def write_tree(folder: Path, table: dict[str, Any] | None = None) -> Path:
    path = folder / "tree.json"
    path.write_text(json.dumps(table or tree()))
    return path


def rows(num_frames: int = 1, **degrees: float | F64) -> F64:
    """Rows [T, 7 + bodies - 1] of a robot standing at the origin; joint angles by name in degrees."""
    values = np.zeros((num_frames, 6 + len(NAMES)))
    values[:, 2], values[:, 6] = 0.75, 1.0
    for name, angle in degrees.items():
        values[:, 6 + NAMES.index(name)] = np.radians(angle)
    return values


def write_rows(folder: Path, values: F64, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_text("".join(",".join(repr(float(value)) for value in row) + "\n" for row in values))
    return path
