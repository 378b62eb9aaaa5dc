"""How well the tokenizer keeps the body: MPJPE in millimetres over whole clips.

MPJPE here: root-aligned, 22 joints with the root's zero included, mean over all frames. *Local*: in the heading frame
of each row. *World*: heading integrated from the reconstructed ``ra`` within windows of 150 frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from soulstream_engine.motion.representation import BODY_JP, BODY_JR, decode_pose
from soulstream_engine.motion.skeleton import forward_kinematics
from soulstream_training.data.kinematic_beats import kinematic_beats, mean_speed
from soulstream_training.evaluation.bas import beat_f1
from soulstream_training.losses.kinematics import chain_positions, pelvis_rotation, root_relative_joints
from soulstream_training.models.hrvq import FRAMES_PER_TOKEN, LOOK_AHEAD, Hrvq
from soulstream_training.recipes.motion_rows import clip_stretches, load_clips

WORLD_WINDOW = 150
ROOT_STEP = slice(1, 3)
"""Columns rx and rz: the step of the root in the heading frame, metres a frame."""


@dataclass(frozen=True)
class BodyErrors:
    """Frame means in millimetres.

    ``local_mm``, ``world_mm``, ``chain_mm`` (by forward kinematics of the decoded
    rotations), ``jerk_ratio`` (decoded over true mean jerk of root-aligned joints), ``travel_ratio`` (slope of the
    decoded against the true velocity of the root in its heading frame: 1 walks as far as the truth).
    """

    local_mm: float
    world_mm: float
    chain_mm: float
    jerk_ratio: float
    travel_ratio: float
    frames: int


@torch.no_grad()
def reconstruct(model: Hrvq, rows: NDArray[np.float32], levels: int | None = None) -> NDArray[np.float32]:
    """Encode and decode one stretch: [T, D] -> [T, D]; the edges are held so that every frame is covered."""
    frames = rows.shape[0]
    tail = (-(frames + LOOK_AHEAD)) % FRAMES_PER_TOKEN + LOOK_AHEAD
    head = 4 * FRAMES_PER_TOKEN
    padded = np.concatenate([np.repeat(rows[:1], head, 0), rows, np.repeat(rows[-1:], tail, 0)])
    used = model.config.levels if levels is None else levels
    normal, _ = model(torch.from_numpy(padded)[None], levels=used)
    real = (normal[0] * model.std + model.mean).numpy()
    return real[head + LOOK_AHEAD : head + LOOK_AHEAD + frames]


def _jerk(joints: torch.Tensor) -> float:
    return float(joints.diff(n=3, dim=0).norm(dim=-1).mean()) if joints.shape[0] > 3 else 0.0


def body_errors_mm(model: Hrvq, stretches: list[NDArray[np.float32]], levels: int | None = None) -> BodyErrors:
    """Errors over many stretches of rows [T, 263], weighted by frames."""
    local = world = chain = jerk = true_jerk = travel = true_travel = 0.0
    frames = 0
    for rows in stretches:
        made, real = torch.from_numpy(reconstruct(model, rows, levels)), torch.from_numpy(rows)
        joints_made = root_relative_joints(made[:, 3:4], made[:, BODY_JP])
        joints = root_relative_joints(real[:, 3:4], real[:, BODY_JP])
        local += float((joints_made - joints).norm(dim=-1).mean(1).sum())
        chained = chain_positions(pelvis_rotation(joints_made), made[:, BODY_JR])
        chain += float((chained - joints).norm(dim=-1).mean(1).sum())
        for start in range(0, rows.shape[0], WORLD_WINDOW):
            piece = slice(start, start + WORLD_WINDOW)
            turned = _turn(joints_made[piece], made[piece, 0]) - _turn(joints[piece], real[piece, 0])
            world += float(turned.norm(dim=-1).mean(1).sum())
        jerk += _jerk(joints_made) * rows.shape[0]
        true_jerk += _jerk(joints) * rows.shape[0]
        travel += float((made[:, ROOT_STEP] * real[:, ROOT_STEP]).sum())
        true_travel += float(real[:, ROOT_STEP].pow(2).sum())
        frames += rows.shape[0]
    scale = 1000.0 / max(frames, 1)
    ratios = (jerk / max(true_jerk, 1e-9), travel / max(true_travel, 1e-9))
    return BodyErrors(local * scale, world * scale, chain * scale, *ratios, frames)


@dataclass(frozen=True)
class RestsKept:
    """How well decoded motion keeps the time of the true one.

    ``f1`` of its kinematic beats against the true ones within 70 ms, ``density`` their number over the true one, and
    ``correlation`` of the smoothed mean speeds; means over stretches, weighted by frames.
    """

    f1: float
    density: float
    correlation: float


def rests_kept(model: Hrvq, stretches: list[NDArray[np.float32]], levels: int | None = None) -> RestsKept:
    """Kinematic beats of decoded motion, posed as the engine poses it, against those of the truth."""
    f1 = density = correlation = 0.0
    frames = 0
    for rows in stretches:
        made, real = (_posed(rows) for rows in (reconstruct(model, rows, levels), rows))
        made_s, real_s = kinematic_beats(made), kinematic_beats(real)
        f1 += beat_f1(real_s, made_s) * len(rows)
        density += len(made_s) / max(len(real_s), 1) * len(rows)
        paces = mean_speed(made), mean_speed(real)
        moves = min(float(pace.std()) for pace in paces) > 0.0
        correlation += float(np.corrcoef(*paces)[0, 1]) * len(rows) if moves else 0.0
        frames += len(rows)
    scale = 1.0 / max(frames, 1)
    return RestsKept(f1 * scale, density * scale, correlation * scale)


def _posed(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """World joints [T, 22, 3] by forward kinematics of the rotations."""
    root, joints, _, _ = decode_pose(rows)
    return np.asarray(forward_kinematics(root, joints), np.float32)


def _turn(joints: torch.Tensor, ra: torch.Tensor) -> torch.Tensor:
    """Heading frame to the world of the window's first row: joints [T, 22, 3], ra [T]."""
    angle = -2.0 * (torch.cumsum(ra, 0) - ra)
    cos, sin = torch.cos(angle)[:, None], torch.sin(angle)[:, None]
    x, y, z = joints.unbind(-1)
    return torch.stack([cos * x + sin * z, y, cos * z - sin * x], -1)


def evaluate_tokenizer(model: Hrvq, store: Path, split: str = "test") -> dict[str, Any]:
    """The numbers of ``soulstream-train eval tokenizer`` for one split of the store.

    Returns:
        ``mpjpe_body_mm`` (local heading, all levels), ``mean_pose_body_mm``, the same by forward kinematics and in
        world heading, the curve over levels, the mean over styles, the jerk ratio, and how well moments of rest are
        kept (``RestsKept``).
    """
    by_style: dict[str, list[NDArray[np.float32]]] = {}
    for clip in load_clips(store, (split,)):
        for stretch in clip_stretches(clip, with_mirror=False, min_rows=24):
            by_style.setdefault(stretch.style, []).append(stretch.rows)
    rows = [piece for pieces in by_style.values() for piece in pieces]
    everything, kept = body_errors_mm(model, rows), rests_kept(model, rows)
    levels = {str(n): round(body_errors_mm(model, rows, n).local_mm, 2) for n in range(1, model.config.levels + 1)}
    styles = {style: round(body_errors_mm(model, pieces).local_mm, 2) for style, pieces in sorted(by_style.items())}
    train = [
        s.rows for clip in load_clips(store, ("train",)) for s in clip_stretches(clip, with_mirror=True, min_rows=24)
    ]
    stacked = torch.from_numpy(np.concatenate(train))
    mean_pose = root_relative_joints(stacked[:, 3:4], stacked[:, BODY_JP]).mean(0)
    truth = torch.from_numpy(np.concatenate(rows))
    joints = root_relative_joints(truth[:, 3:4], truth[:, BODY_JP])
    return {
        "split": split,
        "frames": everything.frames,
        "mpjpe_body_mm": round(everything.local_mm, 2),
        "mean_pose_body_mm": round(1000.0 * float((joints - mean_pose).norm(dim=-1).mean()), 2),
        "mpjpe_body_world150_mm": round(everything.world_mm, 2),
        "mpjpe_body_fk_mm": round(everything.chain_mm, 2),
        "jerk_ratio": round(everything.jerk_ratio, 2),
        "travel_ratio": round(everything.travel_ratio, 3),
        "rests_f1": round(kept.f1, 3),
        "rests_density": round(kept.density, 3),
        "pace_correlation": round(kept.correlation, 3),
        "levels_mm": levels,
        "styles_mm": styles,
        "style_mean_mm": round(float(np.mean(list(styles.values()))), 2),
    }
