from __future__ import annotations

import numpy as np
from fakes.toy_network import SHAPE, ToyNetwork

from soulstream_engine.features.layout import NUM_FEATURES
from soulstream_engine.sampling.masked import SamplerSettings
from soulstream_engine.sampling.window import TokenWindow

SETTINGS = SamplerSettings(iterations=2, keep_share=1.0)
TOKENS = SHAPE.commit + SHAPE.fresh


def rows_of(first_token: int) -> np.ndarray:
    """Rows whose first column is the token time, as the fake network reads it."""
    rows = np.zeros((TOKENS, 4, NUM_FEATURES), np.float32)
    rows[..., 0] = first_token + np.arange(TOKENS)[:, None]
    return rows


def run_ticks(window: TokenWindow, count: int) -> list[np.ndarray]:
    everything = np.ones(TOKENS, dtype=np.bool_)
    committed = []
    for n in range(count):
        plans = window.plan(n, rows_of(n * SHAPE.commit), everything)
        assert plans.shape == (SHAPE.candidates, SHAPE.num_parts, SHAPE.planned, SHAPE.levels)
        chosen = plans[n % SHAPE.candidates]
        window.commit(chosen)
        committed.append(chosen[:, : SHAPE.commit].transpose(0, 2, 1))
    return committed


def test_committed_codes_enter_the_cache_once_and_in_order() -> None:
    network = ToyNetwork()
    committed = run_ticks(TokenWindow(SHAPE, network.run, 0, SETTINGS), 5)
    assert all(codes.shape == (SHAPE.num_parts, SHAPE.levels, SHAPE.commit) for codes in committed)
    stream = np.concatenate(committed, axis=2)[:, 0].T.ravel()  # time-major, parts inside
    for stage in ("mask", "residual"):
        starts = [call for call in network.named(stage) if call["committing"][0] == 1.0]
        assert len(starts) == 5
        for tick, call in enumerate(starts):
            filled = min(tick * SHAPE.commit, SHAPE.context)
            assert call["past_valid"].tolist() == [0.0] * (SHAPE.context - filled) + [1.0] * filled
            newest = stream[: tick * SHAPE.commit * SHAPE.num_parts][-filled * SHAPE.num_parts :] if filled else []
            past = call["past_k"][0, 0, 0, (SHAPE.context - filled) * SHAPE.num_parts :, 0]
            assert past.tolist() == list(newest)


def test_music_moves_from_the_fresh_part_into_the_bank() -> None:
    network = ToyNetwork()
    run_ticks(TokenWindow(SHAPE, network.run, 0, SETTINGS), 6)
    for tick, call in enumerate(call for call in network.named("mask") if call["committing"][0] == 1.0):
        newest = tick * SHAPE.commit + TOKENS - 1
        times = np.arange(newest - SHAPE.banked - SHAPE.fresh + 1, newest + 1)
        is_valid = call["music_valid"] > 0
        assert is_valid.tolist() == (times >= 0).tolist()
        assert call["music_k"][0, 0, 0, is_valid, 0].tolist() == times[is_valid].tolist()
        assert call["aligned"][0, :, 0].tolist() == times[-SHAPE.planned :].tolist()


def test_rows_that_do_not_exist_are_hidden() -> None:
    network = ToyNetwork()
    exists = np.arange(TOKENS) >= 3
    TokenWindow(SHAPE, network.run, 0, SETTINGS).plan(0, rows_of(0), exists)
    valid = network.named("mask")[0]["music_valid"]
    assert valid.tolist() == [0.0] * (SHAPE.banked - SHAPE.commit + 3) + [1.0] * (TOKENS - 3)


def test_every_call_of_a_tick_reads_the_same_memory() -> None:
    network = ToyNetwork()
    run_ticks(TokenWindow(SHAPE, network.run, 0, SETTINGS), 2)
    for stage, draws in (("mask", SETTINGS.iterations), ("residual", SHAPE.levels - 1)):
        calls = network.named(stage)
        assert len(calls) == 2 * (draws + 1)
        second_tick = calls[draws + 1 :]
        for name in ("past_k", "past_v", "past_valid", "music_k", "music_v", "music_valid", "aligned"):
            assert all(np.array_equal(call[name], second_tick[0][name]) for call in second_tick)
        assert [int(call["level"][0]) for call in second_tick[:-1]] == ([0, 0] if stage == "mask" else [0, 1])


def test_reset_forgets_everything_but_the_seed() -> None:
    network = ToyNetwork()
    window = TokenWindow(SHAPE, network.run, 0, SETTINGS)
    first = run_ticks(window, 3)
    window.reset()
    mark = len(network.calls)
    assert np.array_equal(run_ticks(window, 3)[0], first[0])
    call = next(inputs for name, inputs in network.calls[mark:] if name == "mask")
    assert not call["past_valid"].any()
    assert not call["past_k"].any()
    assert not call["music_valid"][: SHAPE.banked - SHAPE.commit].any()


def test_plans_of_a_tick_differ_and_are_drawn_in_one_call_each_round() -> None:
    network = ToyNetwork()
    plans = TokenWindow(SHAPE, network.run, 0, SETTINGS).plan(0, rows_of(0), np.ones(TOKENS, dtype=np.bool_))
    assert len({plan.tobytes() for plan in plans}) == SHAPE.candidates
    assert len(network.named("mask")) == SETTINGS.iterations
    first, *later = (call["codes"].shape for call in network.named("mask"))
    assert first == (1, SHAPE.positions, SHAPE.levels), "before the first draw all plans are one"
    assert set(later) == {(SHAPE.candidates, SHAPE.positions, SHAPE.levels)}
