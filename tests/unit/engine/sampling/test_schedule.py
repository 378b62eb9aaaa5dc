from __future__ import annotations

import math

import numpy as np

from soulstream_engine.sampling.schedule import draw, tick_noise

SIZES = {"iterations": 3, "levels": 3, "candidates": 2, "positions": 4, "num_codes": 5}


def test_noise_depends_on_seed_and_tick_alone() -> None:
    first = tick_noise(7, 3, **SIZES)
    tick_noise(7, 2, **SIZES)
    np.random.default_rng(0).random(5)
    again = tick_noise(7, 3, **SIZES)
    assert np.array_equal(first.mask, again.mask)
    assert np.array_equal(first.residual, again.residual)
    assert first.mask.shape == (3, 2, 4, 5)
    assert first.residual.shape == (2, 2, 4, 5)
    assert not np.isclose(first.mask[:, 0], first.mask[:, 1]).any()
    assert first.mask.dtype == np.float32
    for other in (tick_noise(7, 4, **SIZES), tick_noise(8, 3, **SIZES)):
        assert not np.isclose(first.mask, other.mask).any()


def test_large_and_negative_seeds_are_told_apart() -> None:
    seeds = (0, -1, -2, 2**62, 2**63, 2**63 + 1, 2**64 - 3)
    drawn = {tick_noise(seed, 1, **SIZES).mask.tobytes() for seed in seeds}
    assert len(drawn) == len(seeds)
    assert tick_noise(2**63, 1, **SIZES).mask.tobytes() != tick_noise(2**63, 2, **SIZES).mask.tobytes()


def test_noise_is_gumbel() -> None:
    noise = tick_noise(0, 0, iterations=1, levels=1, candidates=1, positions=100, num_codes=400).mask
    assert abs(noise.mean() - 0.5772) < 0.03
    assert abs(noise.std() - math.pi / math.sqrt(6)) < 0.03


def test_only_the_best_codes_are_drawn() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(500, 16)).astype(np.float32)
    noise = generator.gumbel(size=(500, 16)).astype(np.float32)
    drawn = draw(logits, noise, keep=3, temperature=1.0)
    rank = (logits > logits[np.arange(500), drawn][:, None]).sum(1)
    assert set(rank) == {0, 1, 2}
    assert np.array_equal(draw(logits, noise, keep=1, temperature=1.0), logits.argmax(1))


def test_drawn_codes_follow_the_softmax() -> None:
    share = np.array([0.6, 0.3, 0.1])
    logits = np.broadcast_to(np.log(share), (20_000, 3)).astype(np.float32)
    noise = np.random.default_rng(0).gumbel(size=logits.shape).astype(np.float32)
    counts = np.bincount(draw(logits, noise, keep=3, temperature=1.0), minlength=3) / len(logits)
    assert np.allclose(counts, share, atol=0.015)
    greedy = np.bincount(draw(logits, noise, keep=3, temperature=0.05), minlength=3) / len(logits)
    assert greedy[0] > 0.99
