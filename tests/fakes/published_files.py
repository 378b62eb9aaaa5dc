"""Dances in the files that other systems publish, written from motion that we know."""

from __future__ import annotations

import os

import numpy as np
from fakes.dance_folders import rotvec
from fakes.model_poses import write_pickle
from fakes.named_figures import dance, turned
from scipy.spatial.transform import Rotation

from soulstream_engine.cli.take_files import write_take
from soulstream_engine.frames import Provenance
from soulstream_engine.motion.bvh import bvh_lines
from soulstream_engine.motion.skeleton import (
    PARENTS,
    PELVIS_REST_HEIGHT_M,
    REST_OFFSETS_M,
    forward_kinematics,
)
from soulstream_engine.runtime.render import Take
from soulstream_training.data.resample import floor_height
from soulstream_training.evaluation.importers import read_dance

SECONDS = 4
FRAMES = 30 * SECONDS + 1
SPEED_MPS = 0.7
TO_Z_UP = Rotation.from_euler("x", 90, degrees=True)

EXACT_M = 2e-6
"""Files at 30 fps, most of them float32 (measured 3e-7 m)."""

FILTERED_M = 5e-4
"""Files at 60 fps: the low-pass moves this dance a little at its ends (measured 1.2e-4 m)."""

FILTERED_INSIDE_M = 5e-6
"""Files at 60 fps, half a second away from the ends (measured 1.4e-6 m)."""


def moving(fps=30, joints=22, frames=None):
    """A dancer who walks to her left as she dances: pelvis [T, 3], local rotations [T, J, 4]; the same at any rate."""
    count = (FRAMES - 1) * fps // 30 + 1
    time = np.arange(count) / fps
    root = np.stack([SPEED_MPS * time, np.full(count, PELVIS_REST_HEIGHT_M), 0.1 * np.sin(time)], axis=-1)
    return root[:frames], dance(count, joints)[:frames]


def kicking(fps=30, joints=22):
    """The right leg stays out in front of a dancer who stands and faces +Z."""
    root, _ = moving(fps, joints)
    return root * [0, 1, 0], turned(len(root), joints, right_hip=(-70.0, 0.0, 0.0))


def with_hands(positions):
    """Positions [T, 24, 3]: the hands of SMPL beyond the wrists."""
    wrists, elbows = positions[:, [20, 21]], positions[:, [18, 19]]
    return np.concatenate([positions[:, :22], wrists + 0.3 * (wrists - elbows)], axis=1)


def with_hand_turns(wxyz):
    return np.concatenate([wxyz, np.tile([0.8, 0.6, 0, 0], (len(wxyz), 2, 1))], axis=1)


def write_fact(path, root, wxyz, *, padding=0, noise=0.0):
    flat = with_hand_turns(wxyz).reshape(-1, 4)
    matrices = Rotation.from_quat(flat, scalar_first=True).as_matrix().reshape(len(root), -1)
    matrices = matrices * (1.0 + noise)
    np.save(path, np.concatenate([np.full((len(root), padding), 0.01), root, matrices], axis=1).astype(np.float32))
    return path


def smpl_positions(root, wxyz, scale=1.0):
    return (with_hands(forward_kinematics(root, wxyz)) * scale).astype(np.float32)


def write_bailando(path, root, wxyz, *, is_flat=False, scale=1.0):
    joints = smpl_positions(root, wxyz, scale)
    np.save(path, joints.reshape(len(joints), -1) if is_flat else joints)
    return path


def edge_document(root, wxyz, scale=1.0):
    root = root * scale
    positions = with_hands(forward_kinematics(root, wxyz, REST_OFFSETS_M * scale))
    pelvis = (TO_Z_UP * Rotation.from_quat(wxyz[:, 0], scalar_first=True)).as_quat(scalar_first=True)
    turns = with_hand_turns(np.concatenate([pelvis[:, None], wxyz[:, 1:]], axis=1))
    return {
        "smpl_poses": rotvec(turns).astype(np.float32),
        "smpl_trans": TO_Z_UP.apply(root).astype(np.float32),
        "full_pose": TO_Z_UP.apply(positions.reshape(-1, 3)).reshape(positions.shape).astype(np.float32),
    }


def write_edge(path, root, wxyz, **changes):
    document = {**edge_document(root, wxyz), **changes}
    return write_pickle(path, {name: values for name, values in document.items() if values is not None})


def write_finedance(path, root, wxyz, *, contacts=False):
    rows = Rotation.from_quat(wxyz.reshape(-1, 4), scalar_first=True).as_matrix()[:, :2].reshape(len(root), -1)
    columns = [np.ones((len(root), 4)), root, rows] if contacts else [root, rows]
    np.save(path, np.concatenate(columns, axis=1).astype(np.float32))
    return path


def write_finenet(path, root, wxyz):
    return write_pickle(path, {"smpl_poses": rotvec(wxyz).astype(np.float32), "smpl_trans": root.astype(np.float32)})


def write_aist(path, root, wxyz):
    document = {"smpl_poses": rotvec(with_hand_turns(wxyz)), "smpl_trans": root * 93.8}
    return write_pickle(path, {**document, "smpl_scaling": np.array([93.8])}, 5)


def write_bvh(path, root, wxyz, fps=30):
    path.write_text("\n".join(bvh_lines(root, wxyz, fps)) + "\n")
    return path


def own_take(root, wxyz, fps=30):
    joints = forward_kinematics(root, wxyz).astype(np.float32)
    face = np.random.default_rng(0).uniform(0, 1, (len(root), 52)).astype(np.float32)
    arrays = (joints, wxyz.astype(np.float32), root.astype(np.float32), PARENTS, REST_OFFSETS_M, face)
    return Take(*arrays, np.zeros((len(root), 4), np.float32), fps, (Provenance.GENERATED,) * len(root))


def write_npz(path, root, wxyz):
    write_take(own_take(root, wxyz), path)
    return path


# Format, ending, frames a second, joints, and what writes it.
CASES = {
    "fact 219": ("fact", ".npy", 60, 22, write_fact),
    "fact 225": ("fact", ".npy", 60, 22, lambda *args: write_fact(*args, padding=6)),
    "bailando": ("bailando", ".npy", 60, 22, write_bailando),
    "bailando flat": ("bailando", ".npy", 60, 22, lambda *args: write_bailando(*args, is_flat=True)),
    "edge": ("edge", ".pkl", 30, 22, write_edge),
    "finedance": ("finedance", ".npy", 30, 52, write_finedance),
    "finedance 319": ("finedance", ".npy", 30, 52, lambda *args: write_finedance(*args, contacts=True)),
    "finenet": ("finedance", ".pkl", 30, 52, write_finenet),
    "finenet body": ("finedance", ".pkl", 30, 22, write_finenet),
    "aist++": ("aist++", ".pkl", 60, 22, write_aist),
    "bvh": ("bvh", ".bvh", 30, 52, write_bvh),
    "bvh 60": ("bvh", ".bvh", 60, 52, lambda *args: write_bvh(*args, fps=60)),
    "take npz": ("take", ".npz", 30, 52, write_npz),
    "take bvh": ("take", ".bvh", 30, 52, write_bvh),
}


def back(tmp_path, case, motion=moving):
    """A motion written in a format and read again."""
    format, ending, fps, joints, write = CASES[case]
    return read_dance(write(tmp_path / f"mBR0{ending}", *motion(fps, joints)), format)


def on_floor(joints):
    return joints - [0, floor_height(joints), 0]


class Command:
    def __reduce__(self):
        return os.system, ("true",)
