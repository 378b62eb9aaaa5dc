"""Diffusion without a network: the schedule, noise, the way back, and windows that overlap."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from soulstream_training.baselines.common import Normalised
from soulstream_training.baselines.denoiser import NUM_STEPS, SHARES, add_noise, clean_shares, dance_in_windows, ddim

NONE = torch.zeros(2, 0, 4)


def test_the_schedule_is_the_cosine_and_falls_from_all_to_nothing() -> None:
    shares = clean_shares(10)
    first, last = (math.cos(math.pi / 2 * (time + 0.008) / 1.008) ** 2 for time in (0.0, 0.5))
    assert float(shares[5]) == pytest.approx(last / first, rel=1e-6)
    assert shares[0] == 1.0
    assert (SHARES.diff() < 0).all()
    assert 0.0 < float(SHARES[-1]) < 1e-4
    assert len(SHARES) == NUM_STEPS + 1


@pytest.mark.parametrize("time", [0, 1, 400, NUM_STEPS])
def test_noisy_rows_have_the_mean_and_variance_of_the_closed_form(time: int) -> None:
    noise = torch.randn(1, 500, 200, generator=torch.Generator().manual_seed(0))
    noisy = add_noise(torch.full_like(noise, 3.0), torch.tensor([time]), noise)
    share = float(SHARES[time])
    assert float(noisy.mean()) == pytest.approx(3.0 * math.sqrt(share), abs=0.01)  # measured 0.0025
    assert float(noisy.var()) == pytest.approx(1.0 - share, abs=0.01)  # measured 0.0025


def test_every_window_of_a_batch_has_its_own_step() -> None:
    noisy = add_noise(torch.ones(2, 3, 1), torch.tensor([0, 500]), torch.zeros(2, 3, 1))
    torch.testing.assert_close(noisy[0], torch.ones(3, 1))
    torch.testing.assert_close(noisy[1], SHARES[500].sqrt().expand(3, 1))


@pytest.mark.parametrize("num_steps", [1, 7, 30, NUM_STEPS])
def test_a_perfect_denoiser_is_asked_downwards_and_believed(num_steps: int) -> None:
    clean, noise = torch.randn(2, 6, 4), torch.randn(2, 6, 4)
    asked: list[int] = []

    def perfect(rows: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        asked.append(int(time[0]))
        torch.testing.assert_close(rows, _between(clean, noise, asked[0], asked[-1]), atol=1e-3, rtol=0)
        return clean

    assert torch.equal(ddim(perfect, noise, NONE, num_steps), clean)
    assert asked[0] == NUM_STEPS
    assert len(asked) == num_steps
    assert asked == sorted(set(asked), reverse=True)


def _between(clean: torch.Tensor, noise: torch.Tensor, first: int, now: int) -> torch.Tensor:
    """Where the straight walk from ``noise`` at step ``first`` to ``clean`` is at step ``now``."""
    direction = (noise - SHARES[first].sqrt() * clean) / (1 - SHARES[first]).sqrt()
    return SHARES[now].sqrt() * clean + (1 - SHARES[now]).sqrt() * direction


def test_rows_of_one_normal_distribution_come_back_with_its_mean_and_spread() -> None:
    mean, spread = 2.0, 0.5

    def best(rows: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        share = SHARES[time][:, None, None]
        gain = spread**2 * share.sqrt() / (spread**2 * share + 1 - share)
        return mean + gain * (rows - share.sqrt() * mean)

    made = ddim(best, torch.randn(1, 200, 100, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 0, 100), 200)
    assert float(made.mean()) == pytest.approx(mean, abs=0.01)  # measured 0.0013
    assert float(made.std()) == pytest.approx(spread, abs=0.01)  # measured 0.0034; 0.025 in 30 steps


def test_known_rows_are_shown_as_noisy_as_the_others_and_kept_to_the_bit() -> None:
    known, noise = torch.randn(2, 3, 4), torch.randn(2, 6, 4)

    def wrong(rows: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        assert torch.equal(rows[:, :3], add_noise(known, time, noise[:, :3]))
        return torch.full_like(rows, 5.0)

    made = ddim(wrong, noise, known)
    assert torch.equal(made[:, :3], known)
    assert torch.equal(made[:, 3:], torch.full_like(noise[:, 3:], 5.0))


@pytest.mark.parametrize(("num_rows", "edges"), [(3, []), (10, []), (11, [10]), (15, [10]), (16, [10, 15])])
def test_each_window_begins_with_the_rows_the_last_one_ended_with(num_rows: int, edges: list[int]) -> None:
    network = Normalised(2, 1)
    network.motion_std.fill_(2.0)
    network.music_mean.fill_(100.0)
    music = np.arange(num_rows, dtype=np.float32)[:, None] + 100.0
    calls: list[tuple[torch.Tensor, torch.Tensor]] = []

    def echo(heard: torch.Tensor, known: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        calls.append((heard, known))
        return torch.cat([known, heard[:, known.shape[1] :].expand(-1, -1, 2)], dim=1)

    danced = dance_in_windows(network, echo, music, 0, 10)
    np.testing.assert_array_equal(danced.rows, 2.0 * (music - 100.0).repeat(2, axis=1))
    assert danced.edges.tolist() == edges
    assert len(calls) == 1 + len(edges)
    for number, (heard, known) in enumerate(calls):
        expected = np.minimum(np.arange(5 * number, 5 * number + 10), num_rows - 1)
        assert heard[0, :, 0].tolist() == expected.tolist()
        assert known.shape == (1, 5 if number else 0, 2)
