"""A motion store and music for it: every dance rests exactly on the beats, and each clip is told by its height."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soulstream_engine.clock import FPS
from soulstream_engine.features.extrapolate import write_clock
from soulstream_engine.features.layout import COLUMNS, NUM_FEATURES
from soulstream_engine.motion.rotations import from_axis_angle
from soulstream_engine.motion.skeleton import PELVIS_REST_HEIGHT_M
from soulstream_training.data.music_index import MusicEntry, write_music_index
from soulstream_training.data.store import ClipEntry, save_clip, write_index


@dataclass(frozen=True)
class Figure:
    """A clip: somebody who sways and swings her arms from beat to beat; ``timbre`` is the level of its music."""

    clip_id: str
    split: str = "train"
    pairing: str = "A"
    bpm: float = 120.0
    timbre: float = 0.0
    seconds: float = 20.0


def height_m(number: int) -> float:
    """Height of the pelvis throughout clip ``number``."""
    return PELVIS_REST_HEIGHT_M + 0.01 * number


def write_figures(store: Path, music: Path, figures: Sequence[Figure]) -> None:
    """The clips, and one rendering for each that has a pairing class."""
    store.mkdir()
    music.mkdir()
    clips, renderings = [], []
    for number, figure in enumerate(figures):
        num_frames = round(figure.seconds * FPS)
        swing = np.cos(np.pi * np.arange(num_frames) / FPS * figure.bpm / 60)
        root = np.stack([0.2 * swing, np.full(num_frames, height_m(number)), 0.0 * swing], axis=-1)
        joints = np.zeros((num_frames, 22, 4))
        joints[..., 0] = 1.0
        for joint, axis, size in ((0, 1, 0.2), (16, 2, 0.5), (17, 2, -0.5), (18 + number % 2, 1, 0.6)):
            joints[:, joint] = from_axis_angle(np.eye(3)[axis], size * swing)
        save_clip(
            store, figure.clip_id, root_m=root.astype(np.float32), joint_wxyz=joints.astype(np.float32),
            segments=np.array([[0, num_frames]], np.int32),
        )  # fmt: skip
        clips.append(
            ClipEntry(
                figure.clip_id, figure.clip_id, figure.split, figure.pairing, "salsa", figure.bpm, "", "x", num_frames,
                num_frames,
            )
        )  # fmt: skip
        if figure.pairing == "none":
            continue
        name = f"{figure.clip_id}.0"
        beats_s = np.arange(0.0, figure.seconds, 60.0 / figure.bpm) if figure.pairing != "real" else np.zeros(0)
        np.savez(
            music / f"{name}.npz", features=heard_rows(num_frames, figure.bpm, figure.timbre),
            source_frame=np.arange(num_frames, dtype=np.float64), beats_s=beats_s, lock=np.ones(num_frames, np.float32),
        )  # fmt: skip
        paired = {"is_paired": True, "num_frames": num_frames, "bpm": figure.bpm}
        renderings.append(MusicEntry(name, "key", figure.clip_id, figure.split, figure.pairing, 0, **paired))
    write_index(store, clips)
    write_music_index(music, renderings, [])


def heard_rows(num_frames: int, bpm: float, timbre: float = 0.0, confidence: float = 1.0) -> np.ndarray:
    """Feature rows of music with a first beat at 0."""
    rows = np.random.default_rng(0).normal(timbre, 0.1, (num_frames, NUM_FEATURES)).astype(np.float32)
    phase = np.arange(num_frames) / FPS * bpm / 60
    write_clock(rows, phase, np.full(num_frames, bpm), np.full(num_frames, confidence))
    rows[:, COLUMNS["heard"]] = 1.0
    return rows
