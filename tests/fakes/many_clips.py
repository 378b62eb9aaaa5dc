"""A data set of any size, made up: ``python tests/fakes/many_clips.py 1000 FOLDER`` writes it for the preparation.

For measuring how the preparation grows with a set: its rate and the memory of its workers.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from soulstream_engine.motion.bvh import bvh_lines
from soulstream_engine.motion.rotations import from_axis_angle
from soulstream_engine.motion.skeleton import PELVIS_REST_HEIGHT_M

FPS = 60
SECONDS = 10
COLUMNS = "id,path,format,skeleton,true_fps,frames,split,pairing_class,tempo_bpm,partner_id,performer,style,bad_frames"


def write_many(folder: Path, count: int, seconds: float = SECONDS) -> None:
    """Writes ``count`` BVH clips of somebody swinging, all different, and their table."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [COLUMNS]
    frames = round(FPS * seconds)
    for number in range(count):
        beat = np.arange(frames) / FPS * (1.5 + 0.01 * (number % 100)) * 2 * np.pi + number
        root_m = np.stack([0.1 * np.sin(beat / 2), PELVIS_REST_HEIGHT_M - 0.03 * (1 + np.cos(beat)), 0.0 * beat], -1)
        joints = np.zeros((frames, 52, 4))
        joints[..., 0] = 1.0
        for joint, axis, size in ((1, 0, 0.3), (2, 0, -0.3), (16, 2, 0.8), (17, 2, -0.8), (18, 1, 0.6)):
            joints[:, joint] = from_axis_angle(np.eye(3)[axis], size * np.sin(beat / 2 + joint))
        name = f"clip_{number:05}"
        (folder / f"{name}.bvh").write_text("\n".join(bvh_lines(root_m, joints, FPS)) + "\n")
        split = ("train", "train", "train", "val", "test")[number % 5]
        lines.append(f"{name},{name}.bvh,bvh,,{FPS},{frames},{split},B,,,p{number % 7},s{number % 5},")
    (folder / "clips.csv").write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    write_many(Path(sys.argv[2]), int(sys.argv[1]))
