from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from soulstream_engine.sampling.masked import SamplerSettings, guided, plan_tokens
from soulstream_engine.sampling.schedule import tick_noise

C, N, P, Q, K = 2, 8, 2, 3, 16


class Network:
    """Known logits for each level; remembers what it was shown."""

    def __init__(self, logits: np.ndarray) -> None:
        self.logits = logits  # [Q, G, C, N, K]
        self.shown: list[tuple[int, np.ndarray, np.ndarray]] = []

    def mask(self, codes: np.ndarray, seen: np.ndarray) -> np.ndarray:
        self.shown.append((0, codes.copy(), seen.copy()))
        return self.logits[0][:, : len(codes)]

    def residual(self, codes: np.ndarray, seen: np.ndarray, level: int) -> np.ndarray:
        self.shown.append((level, codes.copy(), seen.copy()))
        return self.logits[level]

    def plan(self, settings: SamplerSettings, seed: int = 0) -> np.ndarray:
        sizes = {"iterations": settings.iterations, "levels": Q, "candidates": C, "positions": N, "num_codes": K}
        return plan_tokens((C, N, Q), P, K, tick_noise(seed, 0, **sizes), settings, self.mask, self.residual)


def flat_network() -> Network:
    return Network(np.zeros((Q, 1, C, N, K), np.float32))


def test_sure_logits_give_their_codes_at_every_level_of_every_plan() -> None:
    wanted = np.random.default_rng(0).integers(K, size=(C, N, Q))
    wanted[:, :P, 0] = wanted[0, :P, 0]  # before the first draw all plans are one, and so are their scores
    logits = np.zeros((Q, 1, C, N, K), np.float32)
    for plan, position, level in np.ndindex(C, N, Q):
        logits[level, 0, plan, position, wanted[plan, position, level]] = 60.0
    assert np.array_equal(Network(logits).plan(SamplerSettings()), wanted)


@pytest.mark.parametrize("iterations", [1, 3, 4, 9])
def test_tokens_are_drawn_in_the_order_of_time_and_the_last_round_draws_the_rest(iterations: int) -> None:
    network = flat_network()
    final = network.plan(SamplerSettings(iterations=iterations, keep_share=1.0))
    rounds = [(codes, seen) for level, codes, seen in network.shown if level == 0]
    assert len(rounds) == min(iterations, N // P)
    for number, (codes, seen) in enumerate(rounds):
        drawn = number * P  # all parts of a token in one round
        assert seen[:, :drawn, 0].all()
        assert not seen[:, drawn:].any()
        assert not seen[..., 1:].any()
        assert len(codes) == (C if number else 1), "what all plans share is scored once"
        assert np.array_equal(codes[:, :drawn, 0], final[: len(codes), :drawn, 0]), "a kept code was drawn again"
    for (_, earlier), (_, later) in pairwise(rounds):
        assert (later >= earlier).all()


def test_a_later_token_depends_on_the_ones_before_it() -> None:
    class Echo(Network):
        def mask(self, codes: np.ndarray, seen: np.ndarray) -> np.ndarray:
            logits = np.zeros((1, len(codes), N, K), np.float32)
            before = (codes[:, :-P, 0] + 1) % K
            np.put_along_axis(logits[0, :, P:], before[..., None], 60.0 * seen[:, :-P, :1], axis=2)
            return logits

    codes = Echo(np.zeros((Q, 1, C, N, K), np.float32)).plan(SamplerSettings(iterations=N, keep_share=1.0))[..., 0]
    assert np.array_equal(codes[:, P:], (codes[:, :-P] + 1) % K)
    assert not np.array_equal(codes[0], codes[1])


def test_levels_come_in_order_and_see_only_coarser_ones() -> None:
    network = flat_network()
    final = network.plan(SamplerSettings(iterations=2))
    later = [(level, codes, seen) for level, codes, seen in network.shown if level]
    assert [level for level, _, _ in later] == [1, 2]
    for level, codes, seen in later:
        assert seen[..., :level].all()
        assert not seen[..., level:].any()
        assert np.array_equal(codes[..., :level], final[..., :level])


def test_guidance_of_one_is_the_conditional_half_bit_for_bit() -> None:
    halves = np.random.default_rng(0).normal(size=(2, C, N, K)).astype(np.float32) * 100
    assert np.array_equal(guided(halves, 1.0), halves[0])
    assert np.array_equal(guided(halves[:1], 1.0), halves[0])
    assert np.allclose(guided(halves, 2.0), 2 * halves[0] - halves[1], atol=1e-4)
    other_null = halves.copy()
    other_null[1] += 1e3
    first = Network(np.stack([halves] * Q)).plan(SamplerSettings())
    assert np.array_equal(first, Network(np.stack([other_null] * Q)).plan(SamplerSettings()))


def test_only_the_kept_share_is_drawn() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(Q, 1, C, N, K)).astype(np.float32) * 0.1
    logits[0, :, :, :P] = logits[0, :, :1, :P]
    for seed in range(20):
        codes = Network(logits).plan(SamplerSettings(keep_share=3 / K), seed)
        for level in range(Q):
            chosen = np.take_along_axis(logits[level, 0], codes[..., level, None], axis=2)
            assert ((logits[level, 0] > chosen).sum(2) < 3).all()


def test_seeds_give_other_codes() -> None:
    network = flat_network()
    settings = SamplerSettings(keep_share=1.0)
    assert np.array_equal(network.plan(settings, 1), network.plan(settings, 1))
    assert not np.array_equal(network.plan(settings, 1), network.plan(settings, 2))
