"""A motion store and music for it, made up: somebody swings arms and hips on the beat."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from soulstream_engine.clock import FPS
from soulstream_engine.features.extrapolate import write_clock
from soulstream_engine.features.layout import COLUMNS, NUM_FEATURES
from soulstream_engine.motion.rotations import from_axis_angle
from soulstream_engine.motion.skeleton import PELVIS_REST_HEIGHT_M
from soulstream_training.data.music_index import MusicEntry, NegativeEntry, write_music_index
from soulstream_training.data.store import ClipEntry, save_clip, write_index

FRAMES = 260
BPM = 120.0


def write_motion(store: Path) -> None:
    """Four clips of somebody swinging arms and hips on the beat, one of them without a tempo."""
    store.mkdir()
    entries = []
    for number, (split, pairing) in enumerate([("train", "A"), ("train", "C"), ("val", "A"), ("test", "A")]):
        beat = np.arange(FRAMES) / FPS * BPM / 60 * 2 * np.pi + number
        root = np.stack([0.1 * np.sin(beat / 2), PELVIS_REST_HEIGHT_M - 0.03 * (1 + np.cos(beat)), 0.0 * beat], -1)
        joints = np.zeros((FRAMES, 22, 4))
        joints[..., 0] = 1.0
        for joint, axis, size in ((0, 1, 0.3), (1, 0, 0.3), (2, 0, -0.3), (16, 2, 0.8), (17, 2, -0.8), (18, 1, 0.6)):
            joints[:, joint] = from_axis_angle(np.eye(3)[axis], size * np.sin(beat / 2 + joint))
        clip_id = f"clip_{number}"
        save_clip(
            store, clip_id, root_m=root.astype(np.float32), joint_wxyz=joints.astype(np.float32),
            segments=np.array([[0, FRAMES]], np.int32),
        )  # fmt: skip
        entries.append(
            ClipEntry(clip_id, clip_id, split, pairing, "salsa" if number else "disco", BPM, "", "x", FRAMES, FRAMES)
        )
    write_index(store, entries)


def write_music(folder: Path, *, with_negative: bool = False) -> None:
    """Two renderings for each paired clip, the second for its mirror image, as the rows that the engine had heard."""
    folder.mkdir()
    entries = []
    for clip_id, split in (("clip_0", "train"), ("clip_2", "val")):
        for rendering in range(2):
            name = f"{clip_id}.{rendering}"
            np.savez(
                folder / f"{name}.npz", features=_heard(len(entries)), source_frame=np.arange(FRAMES, dtype=np.float64),
                beats_s=np.arange(0, FRAMES / FPS, 60 / BPM), lock=np.ones(FRAMES, np.float32),
            )  # fmt: skip
            paired = {"is_paired": True, "is_mirrored": rendering == 1, "num_frames": FRAMES, "bpm": BPM}
            entries.append(MusicEntry(name, "key", clip_id, split, "A", rendering, **paired))
    negatives = []
    if with_negative:
        root = np.tile(np.array([0.0, PELVIS_REST_HEIGHT_M, 0.0], np.float32), (FRAMES, 1))
        joints = np.tile(np.array([1, 0, 0, 0], np.float32), (FRAMES, 22, 1))
        np.savez(folder / "silence.train.0.npz", features=_heard(99), root_m=root, joint_wxyz=joints)
        negatives.append(NegativeEntry("silence.train.0", "key", "silence", "train", FRAMES))
    write_music_index(folder, entries, negatives)


def _heard(seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(FRAMES, NUM_FEATURES)).astype(np.float32)
    write_clock(rows, np.arange(FRAMES) / FPS * BPM / 60, np.full(FRAMES, BPM), np.ones(FRAMES))
    rows[:, COLUMNS["heard"]] = 1.0
    return rows
