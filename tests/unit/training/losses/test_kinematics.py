from __future__ import annotations

import numpy as np
import torch

from soulstream_engine.motion import representation, rotations
from soulstream_engine.motion.skeleton import forward_kinematics
from soulstream_training.data.kinematic_beats import mean_speed
from soulstream_training.losses.kinematics import (
    chain_positions,
    matrices_from_sixd,
    pace,
    pelvis_rotation,
    root_relative_joints,
    speed,
    world_joints,
)


def random_pose(count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return rotations.normalize(generator.normal(size=(count, 22, 4)) + np.array([1.5, 0, 0, 0]))


def as_columns(pose: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rotations.to_sixd(pose[:, 1:]).reshape(len(pose), 126).astype(np.float32))


def test_chain_equals_the_engines_forward_kinematics() -> None:
    pose = random_pose(50)
    pelvis = torch.from_numpy(rotations.to_matrix(pose[:, 0]).astype(np.float32))
    made = chain_positions(pelvis, as_columns(pose)).numpy()
    assert np.abs(made - forward_kinematics(np.zeros((50, 3)), pose)).max() < 1e-5


def test_pelvis_rotation_is_recovered_from_its_three_neighbours() -> None:
    pose = random_pose(50)
    joints = torch.from_numpy(forward_kinematics(np.zeros((50, 3)), pose).astype(np.float32))
    assert np.abs(pelvis_rotation(joints).numpy() - rotations.to_matrix(pose[:, 0])).max() < 1e-4


def test_sixd_of_any_size_gives_rotations() -> None:
    sixd = torch.randn(100, 6) * torch.rand(100, 1) * 10
    matrices = matrices_from_sixd(sixd)
    identity = torch.eye(3).expand(100, 3, 3)
    assert torch.allclose(matrices @ matrices.mT, identity, atol=1e-4)
    assert torch.allclose(torch.linalg.det(matrices), torch.ones(100), atol=1e-4)
    exact = rotations.from_sixd(sixd.numpy())
    assert np.allclose(rotations.to_matrix(exact), matrices.numpy(), atol=1e-4)


def test_features_of_a_pose_give_its_joints_both_ways() -> None:
    pose = random_pose(1).repeat(40, 0)
    root = np.full((40, 3), [1.0, 1.1, -2.0])
    rows = torch.from_numpy(representation.encode_body(root, pose))
    by_position = root_relative_joints(rows[:, 3:4], rows[:, representation.BODY_JP])
    assert not by_position[:, 0].any()
    by_chain = chain_positions(pelvis_rotation(by_position), rows[:, representation.BODY_JR])
    assert torch.allclose(by_position, by_chain, atol=1e-4)


def test_chain_passes_gradient_to_every_rotation_that_moves_a_joint() -> None:
    columns = as_columns(random_pose(1)).requires_grad_()
    chain_positions(torch.eye(3)[None], columns).pow(2).sum().backward()
    moved = columns.grad.reshape(21, 6).abs().sum(1) > 0
    leaves = {10, 11, 15, 20, 21}
    assert {joint + 1 for joint in torch.nonzero(~moved)[:, 0].tolist()} == leaves


def walk(frames: int = 60) -> torch.Tensor:
    """[T - 1, 263] rows of somebody who walks a curve and swings an arm."""
    time = np.arange(frames) / 30
    root = np.stack([np.sin(time), 1.0 + 0.05 * np.cos(5 * time), time], -1)
    pose = np.zeros((frames, 22, 4))
    pose[..., 0] = 1.0
    pose[:, 0] = rotations.yaw(0.8 * np.sin(time))
    pose[:, 16] = rotations.from_axis_angle(np.array([0.0, 0.0, 1.0]), np.sin(6 * time))
    return torch.from_numpy(representation.encode_body(root, pose))


def test_joints_in_the_world_and_their_pace_are_those_of_the_engine() -> None:
    rows = walk()
    local = root_relative_joints(rows[:, 3:4], rows[:, representation.BODY_JP])
    made = world_joints(rows[None, :, :4], local[None])
    engine, _ = representation.decode_joints(rows.numpy())
    assert np.abs(made[0].numpy() - engine[:, :22]).max() < 1e-4
    smooth = pace(speed(made))[0].numpy()
    edge = (len(rows) - 1 - len(smooth)) // 2
    assert np.abs(smooth - mean_speed(engine)[edge:-edge]).max() < 2e-3


def test_pace_passes_gradient_to_root_and_joints() -> None:
    rows = walk().requires_grad_()
    local = root_relative_joints(rows[:, 3:4], rows[:, representation.BODY_JP])
    pace(speed(world_joints(rows[None, :, :4], local[None]))).sum().backward()
    assert rows.grad is not None
    assert (rows.grad[:, :4].abs().sum(0) > 0).all()
    assert torch.isfinite(rows.grad).all()
