"""Loss of the tokenizer: normalised features, and the same motion in millimetres.

Terms (``tokenizer.md`` 2 to 5, ``method.md`` 4.4): SmoothL1 of everything, extra SmoothL1 of the joint positions,
metric distance of joints by ``jp`` and (ours) by forward kinematics of ``jr``, drift of the integrated heading and
path, velocity, and pace: the smoothed mean speed of the body in the world, whose minima are the moments of rest that a
dance keeps time with (ADR 7); commitment. Pace alone would make the root stand still, because what a root gets wrong
moves every joint: the path keeps it going.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from soulstream_engine.clock import FPS
from soulstream_engine.motion.representation import BODY_DIM, BODY_JP, BODY_JR, CONTACT, HANDS_JP, ROOT
from soulstream_engine.motion.skeleton import CONTACT_JOINTS
from soulstream_training.models.hrvq import LOOK_AHEAD, Hrvq

from .kinematics import chain_positions, pace, pelvis_rotation, root_relative_joints, speed, world_joints

HUNDRED_MM = 10.0
"""Metric distances are weighed in units of 100 mm."""

PACE_CHANGE = 10.0
"""Weight of the change of pace per frame against the pace: where the change is zero, there is the rest (ours)."""


@dataclass(frozen=True)
class TokenizerLossWeights:
    """Weight of each term; 0 switches it off. Distances are in units of 100 mm, headings in rad, pace in m/s.

    ``path`` weighs the distance, in metres, of where the root has got to since the start of the window; ``contact`` the
    speed, in m/s, of feet that are truly planted.
    """

    joint_positions: float = 0.5
    metric: float = 1.0
    chain: float = 0.5
    heading: float = 0.3
    path: float = 1.0
    velocity: float = 0.5
    pace: float = 1.0
    contact: float = 0.0
    commitment: float = 0.02


def aligned(reconstruction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Undo the decoder's delay and drop the frames that its zero start and its missing end touch: [B, T - 4, D]."""
    edge = 2 * LOOK_AHEAD
    return reconstruction[:, edge:], target[:, LOOK_AHEAD : target.shape[1] - LOOK_AHEAD]


def tokenizer_loss(
    model: Hrvq,
    motion: Tensor,
    worth: Tensor,
    reconstruction: Tensor,
    commitment: Tensor,
    weights: TokenizerLossWeights,
) -> tuple[Tensor, dict[str, float]]:
    """Loss of one batch.

    Args:
        model: For its normalisation.
        motion: [B, T, D] raw features; the body part comes first.
        worth: [B, D] what each column is worth: 0 where nobody captured it, little where a rule made it.
        reconstruction: [B, T, D] normalised output of ``model``, delayed by ``LOOK_AHEAD``.
        commitment: Scalar, from the quantiser.
        weights: Weight of each term.

    Returns:
        Scalar loss and the numbers to log (``mm`` is the body MPJPE of this batch in millimetres).
    """
    made, target = aligned(reconstruction.float(), (motion - model.mean) / model.std)
    error = F.smooth_l1_loss(made, target, reduction="none")
    loss = _worthwhile(error, worth)
    loss = loss + weights.joint_positions * _worthwhile(error[..., BODY_JP], worth[..., BODY_JP])
    if made.shape[-1] > BODY_DIM:
        loss = loss + weights.joint_positions * _worthwhile(error[..., HANDS_JP], worth[..., HANDS_JP])
    joint_worth = torch.cat([torch.ones_like(worth[:, :1]), worth[:, BODY_JP][:, ::3]], dim=1)  # the root and 21 more
    real_made, real = made * model.std + model.mean, target * model.std + model.mean
    joints_made = root_relative_joints(real_made[..., 3:4], real_made[..., BODY_JP])
    joints = root_relative_joints(real[..., 3:4], real[..., BODY_JP])
    distance = (joints_made - joints).norm(dim=-1)
    chained = chain_positions(pelvis_rotation(joints_made), real_made[..., BODY_JR])
    chain_distance = (chained - joints).norm(dim=-1)
    speed_error = (joints_made.diff(dim=1) - joints.diff(dim=1)).norm(dim=-1)
    world_made, world = world_joints(real_made[..., ROOT], chained), world_joints(real[..., ROOT], joints)
    path_error = (world_made[:, :, 0] - world[:, :, 0]).norm(dim=-1)
    pace_error, change_error = _pace_errors(world_made, world)
    heading_error = 2.0 * torch.cumsum(real_made[..., 0] - real[..., 0], dim=1).abs()
    loss = loss + weights.metric * HUNDRED_MM * _worthwhile(distance, joint_worth)
    loss = loss + weights.chain * HUNDRED_MM * _worthwhile(chain_distance, joint_worth)
    loss = loss + weights.velocity * HUNDRED_MM * _worthwhile(speed_error, joint_worth)
    loss = loss + weights.pace * (pace_error + PACE_CHANGE * change_error)
    loss = loss + weights.heading * heading_error.mean() + weights.path * path_error.mean()
    if weights.contact > 0.0:
        loss = loss + weights.contact * _slide(world_made, real[..., CONTACT], worth[:, CONTACT])
    loss = loss + weights.commitment * commitment
    numbers = {
        "loss": float(loss.detach()),
        "mm": 1000.0 * float(distance.detach().mean()),
        "fk_mm": 1000.0 * float(chain_distance.detach().mean()),
        "vel_mm": 1000.0 * float(speed_error.detach().mean()),
        "pace_m_s": float(pace_error.detach()),
        "pace_change": float(change_error.detach()),
        "heading_rad": float(heading_error.detach().mean()),
        "path_m": float(path_error.detach().mean()),
        "commit": float(commitment.detach()),
    }
    return loss, numbers


def _worthwhile(error: Tensor, worth: Tensor) -> Tensor:
    """Mean of errors [B, T, C] over what they are worth [B, C]."""
    return (error * worth[:, None]).sum() / (worth.sum() * error.shape[1]).clamp(min=1.0)


def _slide(world: Tensor, contacts: Tensor, worth: Tensor) -> Tensor:
    """Mean speed in m/s of planted feet: joints [B, T, 22, 3], contacts [B, T, 4] and their worth [B, 4]."""
    feet = world[:, :, list(CONTACT_JOINTS)].diff(dim=1).norm(dim=-1) * FPS
    planted = (contacts[:, :-1] > 0.5) * worth[:, None]
    return (feet * planted).sum() / planted.sum().clamp(min=1.0)


def _pace_errors(made: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Mean error of the pace and of its change from frame to frame; joints in the world [B, T, 22, 3]."""
    pace_made, pace_real = pace(speed(made)), pace(speed(real))
    return (pace_made - pace_real).abs().mean(), (pace_made.diff(dim=1) - pace_real.diff(dim=1)).abs().mean()
