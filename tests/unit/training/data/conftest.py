"""A small Acclaim recording with the bone names of the CMU data base, written by the tests themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

LEG = (0.34202, -0.939693, 0.0)
HINGE = "-180 -30 -90 XYZ"
HINGE_RIGHT = "-180 30 90 XYZ"

# name, parent, direction of the left side, length in inches, axis, dof
CENTRE = (
    ("lowerback", "root", (0.0, 1.0, 0.0), 5.5, "0 0 0 XYZ", "rx ry rz"),
    ("upperback", "lowerback", (0.0, 1.0, 0.0), 5.5, "0 0 0 XYZ", "rx ry rz"),
    ("thorax", "upperback", (0.0, 1.0, 0.0), 5.5, "0 0 0 XYZ", "rx ry rz"),
    ("lowerneck", "thorax", (0.0, 1.0, 0.0), 4.0, "0 0 0 XYZ", "rx ry rz"),
    ("upperneck", "lowerneck", (0.0, 1.0, 0.0), 4.0, "0 0 0 XYZ", "rx ry rz"),
    ("head", "upperneck", (0.0, 1.0, 0.0), 4.0, "0 0 0 XYZ", "rx ry rz"),
)
SIDE = (
    ("hipjoint", "root", (0.6, -0.75, 0.28), 5.5, "0 0 0 XYZ", ""),
    ("femur", "hipjoint", LEG, 18.0, "0 0 20 XYZ", "rx ry rz"),
    ("tibia", "femur", LEG, 18.0, "0 0 20 XYZ", "rx"),
    ("foot", "tibia", (0.122263, -0.335914, 0.933924), 4.5, "-90 0 20 XYZ", "rx rz"),
    ("toes", "foot", (0.0, 0.0, 1.0), 2.0, "-90 0 20 XYZ", "rx"),
    ("clavicle", "thorax", (0.96, 0.2, 0.2), 9.0, "0 0 0 XYZ", "ry rz"),
    ("humerus", "clavicle", (1.0, 0.0, 0.0), 12.0, HINGE, "rx ry rz"),
    ("radius", "humerus", (1.0, 0.0, 0.0), 8.0, HINGE, "rx"),
    ("wrist", "radius", (1.0, 0.0, 0.0), 4.0, "0 90 90 XYZ", "ry"),
    ("hand", "wrist", (1.0, 0.0, 0.0), 2.0, "0 90 90 XYZ", "rx rz"),
    ("fingers", "hand", (1.0, 0.0, 0.0), 1.5, "0 90 90 XYZ", "rx"),
    ("thumb", "wrist", (0.7071, 0.0, 0.7071), 2.0, "-90 45 0 XYZ", "rx rz"),
)
MIRRORED_AXES = {
    HINGE: HINGE_RIGHT,
    "0 0 20 XYZ": "0 0 -20 XYZ",
    "-90 0 20 XYZ": "-90 0 -20 XYZ",
    "0 90 90 XYZ": "0 -90 -90 XYZ",
    "-90 45 0 XYZ": "-90 -45 0 XYZ",
}


def _bones() -> list[tuple[str, str, tuple[float, float, float], float, str, str]]:
    bones = list(CENTRE)
    for letter, sign in (("l", 1.0), ("r", -1.0)):
        for name, parent, (x, y, z), length, axis, dof in SIDE:
            above = parent if parent in ("root", "thorax") else letter + parent
            axis = axis if sign > 0 else MIRRORED_AXES.get(axis, axis)
            norm = (x * x + y * y + z * z) ** 0.5
            bones.append((letter + name, above, (sign * x / norm, y / norm, z / norm), length, axis, dof))
    return bones


def asf_text(scale: float = 1.0) -> str:
    """The skeleton; the length unit of 1 makes its numbers inches."""
    lines = [":version 1.10", ":name TEST", ":units", "mass 1.0", f"length {1 / scale}", "angle deg"]
    lines += [":root", "order TX TY TZ RX RY RZ", "axis XYZ", "position 0 0 0", "orientation 0 0 0", ":bonedata"]
    for number, (name, _, direction, length, axis, dof) in enumerate(_bones(), 1):
        lines += ["begin", f"id {number}", f"name {name}", "direction {} {} {}".format(*direction)]
        lines += [f"length {length}", f"axis {axis}", *([f"dof {dof}"] if dof else []), "end"]
    lines += [":hierarchy", "begin"]
    for parent in ("root", *(bone[0] for bone in _bones())):
        children = [bone[0] for bone in _bones() if bone[1] == parent]
        lines += [f"{parent} {' '.join(children)}"] if children else []
    return "\n".join([*lines, "end", ""])


def amc_text(num_frames: int, pose: Callable[[int], Mapping[str, str]] | None = None) -> str:
    """A motion standing still, but for what ``pose`` gives for a frame: bone name to its values."""
    lines = [":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(num_frames):
        special = pose(frame) if pose else {}
        lines += [str(frame + 1), f"root {special.get('root', '0 40 0 0 0 0')}"]
        for name, *_, dof in _bones():
            if dof:
                lines.append(f"{name} {special.get(name, ' '.join('0' for _ in dof.split()))}")
    return "\n".join([*lines, ""])


class Recording:
    """Writes recordings into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def skeleton(self, scale: float = 1.0, name: str = "1.asf") -> Path:
        path = self.folder / name
        path.write_text(asf_text(scale))
        return path

    def motion(
        self, num_frames: int, pose: Callable[[int], Mapping[str, str]] | None = None, name: str = "1.amc"
    ) -> Path:
        path = self.folder / name
        path.write_text(amc_text(num_frames, pose))
        return path


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording(tmp_path)
