"""Files of the data sets in their own shapes and names, all made up: a dancer who moves smoothly, seconds long."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from fakes.model_poses import write_pickle
from fakes.named_figures import dance
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from soulstream_engine.motion.bvh import bvh_lines
from soulstream_engine.motion.skeleton import (
    NUM_BODY_JOINTS,
    NUM_JOINTS,
    PELVIS_REST_HEIGHT_M,
    forward_kinematics,
    global_rotations,
)
from soulstream_training.data.phantom import BONE_NAMES

F64 = NDArray[np.float64]
FRAMES = 90


def poses(seed: int, joints: int = NUM_BODY_JOINTS, frames: int = FRAMES) -> tuple[F64, F64]:
    """Pelvis [T, 3] in metres and local rotations [T, J, 4]; another seed, another place and a slower dance."""
    wxyz = dance(2 * frames + seed, joints)[:frames]
    root = np.tile([0.1 * seed, PELVIS_REST_HEIGHT_M, 0.0], (frames, 1))
    return root, wxyz


def rotvec(wxyz: F64) -> F64:
    """Rotation vectors [T, J * 3] of rotations [T, J, 4]."""
    flat = Rotation.from_quat(wxyz.reshape(-1, 4), scalar_first=True).as_rotvec()
    return flat.reshape(len(wxyz), -1)


def write_aist(path: Path, seed: int) -> Path:
    root, wxyz = poses(seed)
    body = np.concatenate([rotvec(wxyz), np.zeros((len(wxyz), 6))], axis=1)
    content = {"smpl_poses": body, "smpl_trans": root * 93.8, "smpl_scaling": np.array([93.8])}
    return write_pickle(_made(path), content, 5)


def write_finedance(path: Path, seed: int) -> Path:
    root, wxyz = poses(seed, NUM_JOINTS)
    matrices = Rotation.from_quat(wxyz.reshape(-1, 4), scalar_first=True).as_matrix()
    values = np.concatenate([root, matrices[:, :2].reshape(len(root), -1)], axis=1)
    np.save(_made(path), values.astype(np.float32))
    return path


def write_columns(path: Path, *seeds: int) -> Path:
    """The 322 columns: [T, 322] of one dancer, [P, T, 322] of several."""
    dancers = []
    for seed in seeds:
        root, wxyz = poses(seed, NUM_JOINTS)
        values = np.zeros((len(root), 322))
        values[:, :156], values[:, 309:312] = rotvec(wxyz), root
        dancers.append(values)
    np.save(_made(path), dancers[0] if len(dancers) == 1 else np.stack(dancers))
    return path


def write_phantom(path: Path, seed: int) -> Path:
    root, wxyz = poses(seed)
    world = np.asarray(global_rotations(wxyz))
    world = np.concatenate([world, world[:, [20, 21]]], axis=1)  # hands turn with the wrists
    content = {
        "bone_name": list(BONE_NAMES),
        "root_positions": (root * [-1, 1, 1]).tolist(),
        "rotations": (world[..., [1, 2, 3, 0]] * [1, -1, -1, 1]).tolist(),
    }
    _made(path).write_text(json.dumps(content))
    return path


def write_joints(path: Path, *seeds: int) -> Path:
    """Positions [T, 22, 3] of one dancer, [P, T, 22, 3] of several."""
    dancers = [np.asarray(forward_kinematics(*poses(seed))) for seed in seeds]
    np.save(_made(path), dancers[0] if len(dancers) == 1 else np.stack(dancers))
    return path


def write_bvh(path: Path, seed: int) -> Path:
    _made(path).write_text("\n".join(bvh_lines(*poses(seed, NUM_JOINTS))) + "\n")
    return path


def write_music(folder: Path, names: Sequence[str], ending: str = ".wav") -> None:
    """A short tone a name, each another."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        tone = 0.1 * np.sin(np.arange(1600) * (0.05 + 0.01 * number))
        soundfile.write(folder / f"{name}{ending}", tone, 16000)


def cut(path: Path) -> Path:
    """Takes off the end of a file."""
    path.write_bytes(path.read_bytes()[:-50])
    return path


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
