"""Body kinematics on tensors: what the metric losses need of the skeleton. Float32, differentiable.

Letters: ... any leading dimensions, J the 22 body joints.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from soulstream_engine.clock import FPS
from soulstream_engine.motion.representation import BODY_JP, BODY_JR, ROOT
from soulstream_engine.motion.rests import SMOOTHING_S
from soulstream_engine.motion.skeleton import NUM_BODY_JOINTS, PARENTS, REST_OFFSETS_M


def root_relative_joints(ry: Tensor, jp: Tensor) -> Tensor:
    """Joint positions relative to the pelvis, in the heading frame.

    Args:
        ry: [..., 1] root height, metres.
        jp: [..., 63] positions of joints 1..21 as in the features (heading frame, height kept).

    Returns:
        [..., 22, 3] metres, joint 0 at zero.
    """
    joints = jp.unflatten(-1, (NUM_BODY_JOINTS - 1, 3))
    lowered = torch.stack([joints[..., 0], joints[..., 1] - ry, joints[..., 2]], dim=-1)
    return torch.cat([torch.zeros_like(lowered[..., :1, :]), lowered], dim=-2)


def matrices_from_sixd(sixd: Tensor) -> Tensor:
    """First two columns -> rotation matrices: [..., 6] -> [..., 3, 3] (Gram-Schmidt; Zhou et al. 2019)."""
    first = F.normalize(sixd[..., :3], dim=-1)
    second = sixd[..., 3:] - (first * sixd[..., 3:]).sum(-1, keepdim=True) * first
    second = F.normalize(second, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


def _frame(left_hip: Tensor, right_hip: Tensor, spine: Tensor) -> Tensor:
    """Orthonormal frame from three points around the pelvis: [..., 3] each -> [..., 3, 3]."""
    across = F.normalize(left_hip - right_hip, dim=-1)
    up = spine - 0.5 * (left_hip + right_hip)
    up = F.normalize(up - (across * up).sum(-1, keepdim=True) * across, dim=-1)
    return torch.stack([across, up, torch.linalg.cross(across, up)], dim=-1)


_OFFSETS = torch.from_numpy(np.asarray(REST_OFFSETS_M[:NUM_BODY_JOINTS], dtype=np.float32))
_REST_FRAME = _frame(_OFFSETS[1], _OFFSETS[2], _OFFSETS[3])


def pelvis_rotation(joints: Tensor) -> Tensor:
    """Pelvis rotation in the frame of the joints, from joints 1, 2, 3: [..., 22, 3] -> [..., 3, 3]."""
    return _frame(joints[..., 1, :], joints[..., 2, :], joints[..., 3, :]) @ _REST_FRAME.T


def _generations() -> list[tuple[list[int], list[int]]]:
    """Joints at each distance from the pelvis, and the places of their parents in the generation before."""
    found, above = [], [0]
    while below := [joint for joint in range(1, NUM_BODY_JOINTS) if int(PARENTS[joint]) in above]:
        found.append((below, [above.index(int(PARENTS[joint])) for joint in below]))
        above = below
    return found


_GENERATIONS = _generations()
_IN_ORDER = np.argsort([0, *(joint for joints, _ in _GENERATIONS for joint in joints)]).tolist()


def chain_positions(pelvis: Tensor, jr: Tensor) -> Tensor:
    """Forward kinematics of parent-local rotations.

    Args:
        pelvis: [..., 3, 3] rotation of the pelvis.
        jr: [..., 126] 6-D rotations of joints 1..21, relative to their parents.

    Returns:
        [..., 22, 3] metres relative to the pelvis.
    """
    local = matrices_from_sixd(jr.unflatten(-1, (NUM_BODY_JOINTS - 1, 6))).movedim((-2, -1), (0, 1))
    # Rows and columns of the matrices come first: sums over them are then sums of long vectors, which is far faster.
    rotation, position = pelvis[..., None, :, :].movedim((-2, -1), (0, 1)), torch.zeros_like(pelvis[None, ..., :1, 0])
    position = position.expand(3, *position.shape[1:])
    positions = [position]
    for joints, parents in _GENERATIONS:
        above = rotation[..., parents]
        offset = _OFFSETS[joints].T.reshape(3, *[1] * (jr.dim() - 1), len(joints))
        position = position[..., parents] + (above * offset).sum(1)
        turn = local[..., [joint - 1 for joint in joints]]
        rotation = (above[:, :, None] * turn[None]).sum(1)
        positions.append(position)
    return torch.cat(positions, dim=-1)[..., _IN_ORDER].movedim(0, -1)


def world_joints(root: Tensor, joints: Tensor) -> Tensor:
    """Joints in the world of the first row: the root columns integrated as the engine does.

    Args:
        root: [B, T, 4] ra, rx, rz (per frame) and ry (metres), raw.
        joints: [B, T, J, 3] metres relative to the pelvis, in the heading frame of each row.

    Returns:
        [B, T, J, 3] metres.
    """
    turned = torch.cumsum(root[..., 0], dim=1)
    angle = -2.0 * F.pad(turned[:, :-1], (1, 0))
    step = _yawed(torch.stack([root[..., 1], torch.zeros_like(root[..., 1]), root[..., 2]], -1), -2.0 * turned)
    path = F.pad(torch.cumsum(step[:, :-1], dim=1), (0, 0, 1, 0))
    path = torch.stack([path[..., 0], root[..., 3], path[..., 2]], -1)
    return path[..., None, :] + _yawed(joints, angle[..., None])


def _yawed(vector: Tensor, angle: Tensor) -> Tensor:
    """Rotate [..., 3] about +Y by [...] radians."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    x, y, z = vector.unbind(-1)
    return torch.stack([cos * x + sin * z, y, cos * z - sin * x], -1)


def speed(joints: Tensor, fps: float = FPS) -> Tensor:
    """Mean speed of the joints between frames: world positions [B, T, J, 3] in metres -> [B, T - 1] m/s."""
    return fps * joints.diff(dim=1).norm(dim=-1).mean(-1)


def speed_of_rows(rows: Tensor) -> Tensor:
    """Mean speed of the body as the engine poses it: raw motion rows [B, T, D], body first -> [B, T - 1] m/s."""
    joints = root_relative_joints(rows[..., 3:4], rows[..., BODY_JP])
    return speed(world_joints(rows[..., ROOT], chain_positions(pelvis_rotation(joints), rows[..., BODY_JR])))


def pace(speeds: Tensor, fps: float = FPS, smoothing_s: float = SMOOTHING_S) -> Tensor:
    """Smoothed speed, whose minima are the moments of rest; without the ends that smoothing lacks.

    Args:
        speeds: [B, T] m/s.
        fps: Frames a second.
        smoothing_s: Sigma of the Gaussian, seconds.

    Returns:
        [B, T - 2 R] m/s, R = three sigmas in frames.
    """
    reach = round(3.0 * smoothing_s * fps)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=speeds.device) / (smoothing_s * fps)) ** 2)
    return F.conv1d(speeds[:, None], (taps / taps.sum())[None, None])[:, 0]
