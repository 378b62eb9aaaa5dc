"""The diffusion system's network: what it starts from, hidden music, guidance, its task and its loss."""

from __future__ import annotations

import pytest
import torch

from soulstream_training.baselines.denoiser import NUM_STEPS, SHARES
from soulstream_training.baselines.diffusion import (
    FOLD,
    GUIDANCE,
    HIDDEN_SHARE,
    VELOCITY_WEIGHT,
    Denoiser,
    DenoiserSizes,
    draw_task,
    rows_loss,
    unfolded,
)


def _denoiser() -> Denoiser:
    torch.manual_seed(0)
    denoiser = Denoiser(6, 3, DenoiserSizes(width=16, layers=2, heads=2, hidden=32)).eval()
    torch.nn.init.normal_(denoiser.out.weight)
    return denoiser.requires_grad_(False)


def test_rows_do_not_jump_where_a_token_begins() -> None:
    tokens = torch.arange(4.0)[None, :, None].expand(1, 4, 2 * FOLD * 3)
    rows = unfolded(tokens)
    assert rows.shape == (1, 4 * FOLD, 3)
    torch.testing.assert_close(rows[:, FOLD:].diff(dim=1), torch.full((1, 3 * FOLD - 1, 3), 1 / FOLD))


def test_what_a_token_tells_is_in_the_order_of_the_frames() -> None:
    told = torch.arange(2.0 * FOLD)[:, None].expand(-1, 3)
    tokens = torch.stack([(told + FOLD * number).flatten() for number in range(4)])[None]
    torch.testing.assert_close(unfolded(tokens), torch.arange(4.0 * FOLD)[None, :, None].expand(1, -1, 3))


def test_a_fresh_denoiser_answers_the_mean() -> None:
    fresh = Denoiser(6, 3, DenoiserSizes(width=16, layers=1, heads=2, hidden=32))
    rows = fresh(torch.randn(2, 10, 6), torch.tensor([1, 900]), torch.randn(2, 10, 3), torch.tensor([True, False]))
    assert torch.equal(rows, torch.zeros(2, 10, 6))


def test_hidden_music_and_only_that_is_not_heard() -> None:
    denoiser, rows, time = _denoiser(), torch.randn(2, 20, 6), torch.tensor([500, 500])
    is_hidden = torch.tensor([True, False])
    one, other = (denoiser(rows, time, torch.randn(2, 20, 3), is_hidden) for _ in range(2))
    assert torch.equal(one[0], other[0])
    assert float((one[1] - other[1]).abs().max()) > 0.01


def test_the_step_of_noise_is_told() -> None:
    denoiser, rows, music = _denoiser(), torch.randn(1, 20, 6), torch.randn(1, 20, 3)
    one, other = (denoiser(rows, torch.tensor([time]), music, torch.tensor([False])) for time in (10, 990))
    assert float((one - other).abs().max()) > 0.01


def test_guidance_goes_beyond_what_the_music_says() -> None:
    denoiser, rows, music, time = _denoiser(), torch.randn(2, 20, 6), torch.randn(2, 20, 3), torch.tensor([9, 400])
    heard = denoiser(rows, time, music, torch.tensor([False, False]))
    unheard = denoiser(rows, time, music, torch.tensor([True, True]))
    torch.testing.assert_close(denoiser.guided(rows, time, music), unheard + GUIDANCE * (heard - unheard))


def test_tasks_are_of_all_steps_and_a_quarter_without_music() -> None:
    rows = torch.ones(4000, 1, 1)
    noisy, time, is_hidden = draw_task(rows, torch.Generator().manual_seed(0))
    assert int(time.min()) >= 1
    assert int(time.max()) <= NUM_STEPS
    assert float(time.float().mean()) == pytest.approx(NUM_STEPS / 2, rel=0.05)
    assert float(is_hidden.float().mean()) == pytest.approx(HIDDEN_SHARE, abs=0.03)
    noise = (noisy[:, 0, 0] - SHARES[time].sqrt()) / (1 - SHARES[time]).sqrt()
    assert float(noise.std()) == pytest.approx(1.0, abs=0.05)


def test_the_loss_weighs_rows_and_their_differences() -> None:
    rows = torch.zeros(1, 4, 2)
    assert float(rows_loss(rows + 3.0, rows)) == pytest.approx(9.0)
    ramp = torch.arange(4.0)[None, :, None].expand(1, 4, 2)
    assert float(rows_loss(ramp, rows)) == pytest.approx(14 / 4 + VELOCITY_WEIGHT)
