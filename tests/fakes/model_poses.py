"""Made-up motions of body models as numbers, and files to hold them: pickles, bombs, damaged archives."""

from __future__ import annotations

import pickle  # noqa: TID251 - writes the fixtures; what reads them is under test
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

FRAMES = 7


def rotvecs(num_joints: int, frames: int = FRAMES, seed: int = 0) -> NDArray[np.float64]:
    """Rotation vectors [T, J, 3] of an upright dancer: random joints, the pelvis turning about Y."""
    vectors = np.random.default_rng(seed).normal(scale=0.4, size=(frames, num_joints, 3))
    vectors[:, 0] = np.stack([0.1 * np.ones(frames), np.linspace(0, 2, frames), np.zeros(frames)], axis=-1)
    return vectors


def path_m(frames: int = FRAMES) -> NDArray[np.float64]:
    """Positions [T, 3] in metres of a pelvis that walks."""
    time = np.linspace(0, 1, frames)
    return np.stack([time, 0.9 + 0.05 * np.sin(9 * time), -0.5 * time], axis=-1)


def assert_rotations(found_wxyz: Any, expected: Rotation, tolerance_rad: float = 1e-5) -> None:
    """Compares quaternions [T, J, 4] with rotations, whatever their signs."""
    found = Rotation.from_quat(np.asarray(found_wxyz).reshape(-1, 4), scalar_first=True)
    assert len(found) == len(expected)
    assert (found.inv() * expected).magnitude().max() < tolerance_rad


def expected_rotations(vectors: NDArray[np.float64]) -> Rotation:
    """Rotations of vectors [T, J, 3], flat."""
    return Rotation.from_rotvec(vectors.reshape(-1, 3))


def write_pickle(path: Path, document: Any, protocol: int = 4, *, numpy_major: int = 2) -> Path:
    """Writes a pickle; with ``numpy_major`` 1 the module names are those of numpy 1 (protocols 0 to 2 only)."""
    data = pickle.dumps(document, protocol)
    path.write_bytes(data.replace(b"numpy._core", b"numpy.core") if numpy_major == 1 else data)
    return path


def write_bomb(path: Path, name: str) -> Path:
    """An npz with one array of zeros that unpacks to a thousand times its size."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(f"{name}.npy", "w") as stream:
        np.lib.format.write_array(stream, np.zeros((100_000, 165), np.float32))
    return path
