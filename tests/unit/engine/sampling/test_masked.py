from __future__ import annotations

from itertools import pairwise

import numpy as np

from soulstream_engine.sampling.masked import SamplerSettings, confidence_of, guided, plan_tokens
from soulstream_engine.sampling.schedule import masked_count, tick_noise

N, Q, K = 8, 3, 16


class Network:
    """Known logits for each level; remembers what it was shown."""

    def __init__(self, logits: np.ndarray) -> None:
        self.logits = logits  # [Q, 2, N, K]
        self.shown: list[tuple[int, np.ndarray, np.ndarray]] = []

    def mask(self, codes: np.ndarray, seen: np.ndarray) -> np.ndarray:
        self.shown.append((0, codes.copy(), seen.copy()))
        return self.logits[0]

    def residual(self, codes: np.ndarray, seen: np.ndarray, level: int) -> np.ndarray:
        self.shown.append((level, codes.copy(), seen.copy()))
        return self.logits[level]

    def plan(self, settings: SamplerSettings, seed: int = 0) -> np.ndarray:
        noise = tick_noise(seed, 0, iterations=settings.iterations, levels=Q, positions=N, num_codes=K)
        return plan_tokens(N, Q, K, noise, settings, self.mask, self.residual)


def flat_network() -> Network:
    return Network(np.zeros((Q, 2, N, K), np.float32))


def test_sure_logits_give_their_codes_at_every_level() -> None:
    wanted = np.random.default_rng(0).integers(K, size=(N, Q))
    logits = np.zeros((Q, 2, N, K), np.float32)
    for level in range(Q):
        logits[level, :, np.arange(N), wanted[:, level]] = 60.0
    assert np.array_equal(Network(logits).plan(SamplerSettings()), wanted)


def test_unmasking_follows_the_schedule_and_never_redraws_a_kept_code() -> None:
    network = flat_network()
    settings = SamplerSettings(iterations=6, keep_share=1.0)
    final = network.plan(settings)
    rounds = [(codes, seen) for level, codes, seen in network.shown if level == 0]
    assert len(rounds) == 6
    assert not rounds[0][1].any()
    for iteration, (codes, seen) in enumerate(rounds):
        is_open = seen[:, 0] == 0
        assert is_open.sum() == masked_count(iteration, 6, N)
        assert not seen[:, 1:].any()
        assert np.array_equal(codes[~is_open, 0], final[~is_open, 0])
    for (_, earlier), (_, later) in pairwise(rounds):
        assert (later[:, 0] >= earlier[:, 0]).all()


def test_the_least_sure_positions_stay_open() -> None:
    logits = np.zeros((Q, 2, N, K), np.float32)
    logits[0, :, np.arange(N), 0] = np.arange(N)[:, None] * 1.5  # from a guess to nearly sure
    network = Network(logits)
    network.plan(SamplerSettings(iterations=4))
    seen = [seen[:, 0] for level, _, seen in network.shown if level == 0][1]
    kept = N - masked_count(1, 4, N)
    assert kept >= 1
    assert seen.tolist() == [0.0] * (N - kept) + [1.0] * kept


def test_levels_come_in_order_and_see_only_coarser_ones() -> None:
    network = flat_network()
    final = network.plan(SamplerSettings(iterations=2))
    later = [(level, codes, seen) for level, codes, seen in network.shown if level]
    assert [level for level, _, _ in later] == [1, 2]
    for level, codes, seen in later:
        assert seen[:, :level].all()
        assert not seen[:, level:].any()
        assert np.array_equal(codes[:, :level], final[:, :level])


def test_guidance_of_one_is_the_conditional_half_bit_for_bit() -> None:
    both = np.random.default_rng(0).normal(size=(2, N, K)).astype(np.float32) * 100
    assert np.array_equal(guided(both, 1.0), both[0])
    assert np.allclose(guided(both, 2.0), 2 * both[0] - both[1], atol=1e-4)
    other_null = both.copy()
    other_null[1] += 1e3
    one = SamplerSettings(guidance=1.0, residual_guidance=1.0)
    first = Network(np.stack([both] * Q)).plan(one)
    assert np.array_equal(first, Network(np.stack([other_null] * Q)).plan(one))


def test_only_the_kept_share_is_drawn() -> None:
    generator = np.random.default_rng(1)
    logits = np.repeat(generator.normal(size=(Q, 1, N, K)).astype(np.float32) * 0.1, 2, axis=1)
    for seed in range(20):
        codes = Network(logits).plan(SamplerSettings(keep_share=3 / K, guidance=1.0), seed)
        for level in range(Q):
            chosen = logits[level, 0][np.arange(N), codes[:, level]]
            assert ((logits[level, 0] > chosen[:, None]).sum(1) < 3).all()


def test_confidence_is_the_probability_of_the_drawn_code() -> None:
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]], np.float32)) + 1000.0
    assert np.allclose(confidence_of(logits, np.array([1, 2])), [0.25, 0.7], atol=1e-4)


def test_seeds_give_other_codes() -> None:
    network = flat_network()
    settings = SamplerSettings(keep_share=1.0)
    assert np.array_equal(network.plan(settings, 1), network.plan(settings, 1))
    assert not np.array_equal(network.plan(settings, 1), network.plan(settings, 2))
