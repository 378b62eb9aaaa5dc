from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from soulstream_engine.motion.representation import BODY_JP, encode_body
from soulstream_engine.motion.skeleton import PELVIS_REST_HEIGHT_M
from soulstream_training.losses.tokenizer import PACE_CHANGE, TokenizerLossWeights, aligned, tokenizer_loss
from soulstream_training.models.hrvq import LOOK_AHEAD, Hrvq, toy_config

NOTHING = TokenizerLossWeights(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
ANY = torch.tensor(2.0)
FRAMES = 24


@pytest.fixture(scope="module")
def model() -> Hrvq:
    torch.manual_seed(0)
    model = Hrvq(toy_config())
    model.mean.normal_()
    model.std.uniform_(0.5, 2.0)
    return model


@pytest.fixture(scope="module")
def motion() -> torch.Tensor:
    """Somebody who sways and turns, [1, FRAMES, 263]."""
    time = np.arange(FRAMES + 1) / 30
    root = np.stack([0.2 * np.sin(time), np.full_like(time, PELVIS_REST_HEIGHT_M), 0.1 * time], -1)
    pose = np.zeros((FRAMES + 1, 22, 4))
    pose[..., 0] = 1.0
    pose[:, 16, 0], pose[:, 16, 3] = np.cos(time), np.sin(time)
    return torch.from_numpy(encode_body(root, pose))[None]


def delayed(model: Hrvq, motion: torch.Tensor, change: torch.Tensor | float = 0.0) -> torch.Tensor:
    """What a decoder gives that is perfect but for its delay and ``change`` (raw units)."""
    late = torch.roll(motion + change, LOOK_AHEAD, 1)
    late[:, : 2 * LOOK_AHEAD] = 1e3  # its zero start shows in the first rows
    return (late - model.mean) / model.std


def worth(motion: torch.Tensor) -> torch.Tensor:
    """Every column was captured."""
    return torch.ones_like(motion[:, 0])


def numbers(
    model: Hrvq, motion: torch.Tensor, change: torch.Tensor | float, weights: TokenizerLossWeights
) -> tuple[float, dict[str, float]]:
    loss, found = tokenizer_loss(model, motion, worth(motion), delayed(model, motion, change), ANY, weights)
    return float(loss), found


def test_the_delay_is_undone_exactly(model: Hrvq, motion: torch.Tensor) -> None:
    normal = (motion - model.mean) / model.std
    made, target = aligned(delayed(model, motion), normal)
    assert made.shape == target.shape == (1, FRAMES - 2 * LOOK_AHEAD, 263)
    assert torch.allclose(made, target, atol=1e-5)
    assert torch.equal(target, normal[:, LOOK_AHEAD : FRAMES - LOOK_AHEAD])


def test_a_perfect_decoder_pays_for_commitment_only(model: Hrvq, motion: torch.Tensor) -> None:
    loss, found = numbers(model, motion, 0.0, TokenizerLossWeights(chain=0.0))
    assert loss == pytest.approx(0.02 * 2.0, abs=1e-3)
    assert found["mm"] < 0.01
    assert found["fk_mm"] < 0.2
    assert found["vel_mm"] < 0.01
    assert found["commit"] == 2.0


def test_joints_ten_centimetres_off_cost_one(model: Hrvq, motion: torch.Tensor) -> None:
    change = torch.zeros(263)
    change[BODY_JP.start : BODY_JP.stop : 3] = 0.1  # every joint but the root, along x
    loss, found = numbers(model, motion, change, replace(NOTHING, metric=1.0))
    plain, _ = numbers(model, motion, change, NOTHING)
    assert found["mm"] == pytest.approx(100 * 21 / 22, abs=0.01)
    assert loss - plain == pytest.approx(21 / 22, abs=1e-4)
    assert found["vel_mm"] < 0.01


def test_smooth_l1_is_in_units_of_deviations(model: Hrvq, motion: torch.Tensor) -> None:
    change = 0.5 * model.std
    loss, _ = numbers(model, motion, change, NOTHING)
    assert loss == pytest.approx(0.5 * 0.5**2, abs=1e-4)
    with_positions, _ = numbers(model, motion, change, replace(NOTHING, joint_positions=0.5))
    assert with_positions == pytest.approx(1.5 * 0.5 * 0.5**2, abs=1e-4)


def test_a_heading_that_drifts_is_seen(model: Hrvq, motion: torch.Tensor) -> None:
    change = torch.zeros(263)
    change[0] = 0.01  # rad a frame, half of the turn
    loss, found = numbers(model, motion, change, replace(NOTHING, heading=0.3))
    plain, _ = numbers(model, motion, change, NOTHING)
    rows = FRAMES - 2 * LOOK_AHEAD
    expected = 2 * 0.01 * (rows + 1) / 2  # mean of 1..rows
    assert found["heading_rad"] == pytest.approx(expected, rel=1e-3)
    assert loss - plain == pytest.approx(0.3 * expected, rel=1e-2)
    wobble = torch.zeros(FRAMES, 263)
    wobble[::2, 0], wobble[1::2, 0] = 0.01, -0.01
    assert numbers(model, motion, wobble, NOTHING)[1]["heading_rad"] < 0.15 * expected


def test_a_root_that_walks_less_far_costs_its_path_and_its_pace(model: Hrvq, motion: torch.Tensor) -> None:
    """What moves the root moves every joint, and only the path and the pace see it."""
    change = torch.zeros(FRAMES, 263)
    change[:, 2] = -0.5 * motion[0, :, 2]  # half of every step
    plain, found = numbers(model, motion, change, NOTHING)
    assert found["mm"] < 0.01
    rows = FRAMES - 2 * LOOK_AHEAD
    lost_m = 0.5 * float(motion[0, LOOK_AHEAD : LOOK_AHEAD + rows, 2].mean()) * (rows - 1) / 2
    assert found["path_m"] == pytest.approx(lost_m, rel=0.1)
    assert found["pace_m_s"] > 0.01
    weighted, _ = numbers(model, motion, change, replace(NOTHING, path=2.0))
    assert weighted - plain == pytest.approx(2.0 * found["path_m"], rel=1e-3)
    weighted, _ = numbers(model, motion, change, replace(NOTHING, pace=3.0))
    expected = 3.0 * (found["pace_m_s"] + PACE_CHANGE * found["pace_change"])
    assert weighted - plain == pytest.approx(expected, rel=1e-3)


def test_rotations_that_disagree_with_positions_are_seen(model: Hrvq, motion: torch.Tensor) -> None:
    change = torch.zeros(263)
    change[67 + 15 * 6 + 2] = 0.5  # left shoulder turned
    _, found = numbers(model, motion, change, NOTHING)
    assert found["mm"] < 0.01
    assert found["fk_mm"] > 5.0


def test_shaking_costs_speed_not_position(model: Hrvq, motion: torch.Tensor) -> None:
    shake = torch.zeros(FRAMES, 263)
    shake[::2, BODY_JP.start : BODY_JP.stop : 3] = 0.01
    _, found = numbers(model, motion, shake, NOTHING)
    assert found["mm"] == pytest.approx(5 * 21 / 22, rel=0.01)
    assert found["vel_mm"] == pytest.approx(10 * 21 / 22, rel=0.01)


def test_loss_reaches_the_reconstruction_everywhere_it_counts(model: Hrvq, motion: torch.Tensor) -> None:
    made = delayed(model, motion, 0.1).requires_grad_()
    loss, _ = tokenizer_loss(model, motion, worth(motion), made, ANY, TokenizerLossWeights())
    loss.backward()
    rows = made.grad[0].abs().sum(1) > 0
    assert rows.tolist() == [False] * (2 * LOOK_AHEAD) + [True] * (FRAMES - 2 * LOOK_AHEAD)
    assert torch.isfinite(made.grad).all()


def test_what_nobody_captured_costs_nothing(model: Hrvq, motion: torch.Tensor) -> None:
    change = torch.zeros(263)
    change[4 + 14 * 3 : 4 + 15 * 3] = 0.3  # position of the head
    change[67 + 14 * 6 : 67 + 15 * 6] = 0.3
    known = worth(motion)
    known[:, 4 + 14 * 3 : 4 + 15 * 3] = 0
    known[:, 67 + 14 * 6 : 67 + 15 * 6] = 0
    weights = TokenizerLossWeights(pace=0.0, path=0.0)
    made, right = delayed(model, motion, change), delayed(model, motion)
    ignored, _ = tokenizer_loss(model, motion, known, made, ANY, weights)
    best, _ = tokenizer_loss(model, motion, known, right, ANY, weights)
    asked, _ = tokenizer_loss(model, motion, worth(motion), made, ANY, weights)
    assert float(ignored) == pytest.approx(float(best), abs=1e-3)
    assert float(asked) > float(best) + 0.05


def test_planted_feet_that_slide_cost_their_speed(model: Hrvq, motion: torch.Tensor) -> None:
    still = motion.clone()
    still[..., :3] = 0.0
    still[:] = still[:, :1]
    still[..., 259:263] = 1.0
    slide = torch.zeros(263)
    slide[1] = 0.01  # the root goes a centimetre a frame
    apart = [numbers(model, still, slide, replace(NOTHING, contact=weight))[0] for weight in (0.0, 1.0)]
    assert apart[1] - apart[0] == pytest.approx(0.3, rel=1e-3)
