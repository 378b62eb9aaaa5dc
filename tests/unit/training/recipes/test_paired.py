"""What a tick is shown of the music: in training and live the same, value for value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes.toy_network import ToyNetwork, feature_frame

from soulstream_engine.errors import ConfigError
from soulstream_engine.features.extrapolate import write_clock
from soulstream_engine.features.layout import COLUMNS, NUM_FEATURES
from soulstream_engine.frames import FeatureFrame
from soulstream_engine.sampling.dancer import Dancer, DancerSettings
from soulstream_engine.sampling.masked import SamplerSettings
from soulstream_engine.sampling.window import WindowShape
from soulstream_training.models.hrvq import Hrvq, toy_config
from soulstream_training.models.window import Geometry
from soulstream_training.recipes.paired import LEAD_TOKENS, PairedSampler, Take

GEOMETRY = Geometry(context=6, planned=4, commit=2, fresh_past=3)
CLEAN = 8
SHAPE = WindowShape(1, 1, 1, 3, 16, 6, 4, 2, 3, 1, 1, 2)


def music(num_frames: int, seed: int) -> np.ndarray:
    """Feature rows with a running beat."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(num_frames, NUM_FEATURES)).astype(np.float32)
    time_s = np.arange(num_frames) / 30
    write_clock(rows, time_s * 1.9 + seed, np.full(num_frames, 114.0), generator.uniform(0.2, 1.0, num_frames))
    rows[:, COLUMNS["heard"]] = 1.0
    return rows


def make_sampler(takes: list[Take], hide_music: float = 0.0) -> PairedSampler:
    torch.manual_seed(0)
    tokenizer = Hrvq(toy_config()).eval()
    for book in tokenizer.quantizer.books[0]:
        book.codes.normal_()
    return PairedSampler(takes, tokenizer, GEOMETRY, CLEAN, hide_music)


def motion(num_rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num_rows, 263)).astype(np.float32)


@pytest.mark.parametrize("lead_tokens", LEAD_TOKENS)
def test_a_tick_sees_live_what_it_saw_in_training(lead_tokens: int) -> None:
    rows = music(200, 0)
    sampler = make_sampler([Take(motion(199), rows, 1.0)])
    lead = lead_tokens * 4
    start = 40  # frame at which the window of training begins
    shown: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def remember(tick: int, seen: np.ndarray, valid: np.ndarray) -> np.ndarray:
        shown[start + (tick - 1) * 8] = (seen, valid)
        return np.zeros((SHAPE.candidates, 1, SHAPE.planned, SHAPE.levels), np.int64)

    network = ToyNetwork(SHAPE)
    dancer = Dancer(
        SHAPE, network.run, network.decoder_states(), DancerSettings(lead, 2), SamplerSettings(), 0, remember
    )
    frame = 0
    # The epoch begins one tick before the window; its first tick runs when the next frame has been heard.
    while frame + 2 + lead < start - 8:
        dancer.listen(_feature(frame, rows))
        frame += 1
    dancer.listen(_feature(frame, rows))
    assert dancer.start() == start - 8
    for later in range(frame + 1, 120):
        dancer.push(_feature(later, rows))

    first, clip = np.array([start]), np.array([0])
    fresh = sampler._fresh(first, np.array([lead_tokens]))[0]
    bank, bank_valid = sampler._bank(first, clip, np.array([True]))
    bank_times = sampler.bank_times().tolist()
    for number, tick_start in enumerate(sampler.tick_starts().tolist()):
        seen, valid = shown[start + tick_start * 4]
        assert np.array_equal(seen[GEOMETRY.commit :], fresh[number])
        assert valid.all()
        for slot in range(GEOMETRY.commit):
            token = tick_start - GEOMETRY.fresh_past - GEOMETRY.commit + slot
            assert np.array_equal(seen[slot], bank[0, bank_times.index(token)])
            assert bank_valid[0, bank_times.index(token)] == 1.0
    assert len(shown) >= len(sampler.tick_starts())


def _feature(index: int, rows: np.ndarray) -> FeatureFrame:
    return replace(feature_frame(index), values=rows[index])


def test_codes_of_a_window_are_those_of_its_own_frames() -> None:
    rows = motion(300)
    sampler = make_sampler([Take(rows, music(301, 0), 1.0)])
    batch = sampler.draw(16, torch.Generator().manual_seed(0))
    assert batch.codes.shape == (16, CLEAN + GEOMETRY.planned, 1, 3)
    newest_features = batch.bank_rows[:, -1, -1].numpy()
    for row in range(16):
        # The music says at which frame the window lies: the codes must be those of that frame's motion.
        last = int(np.flatnonzero((sampler.features == newest_features[row]).all(1))[0])
        start = last + 1 - (CLEAN - GEOMETRY.fresh_past) * 4
        phase = start % 4
        whole = sampler.codes[0][phase][start // 4 :][: CLEAN + GEOMETRY.planned]
        assert torch.equal(batch.codes[row], whole)


def test_nothing_after_the_last_heard_row_reaches_a_tick() -> None:
    rows = music(200, 0)
    sampler = make_sampler([Take(motion(199), rows, 1.0)])
    first, leads = np.array([60]), np.array([2])
    before = sampler._fresh(first, leads)
    for number, tick_start in enumerate(sampler.tick_starts().tolist()):
        last_heard = 60 + tick_start * 4 - 8 - 1
        sampler.features = rows.copy()
        sampler.features[last_heard + 1 :] = 99.0
        assert np.array_equal(sampler._fresh(first, leads)[0, number], before[0, number])
        sampler.features[last_heard] += 1.0
        assert not np.array_equal(sampler._fresh(first, leads)[0, number], before[0, number])


def test_music_before_the_clip_does_not_exist() -> None:
    two = [Take(motion(199, n), music(200, n), 1.0) for n in range(2)]
    sampler = make_sampler(two)
    first, clip = np.array([200 + sampler.first_row]), np.array([200])
    _, valid = sampler._bank(first, clip, np.array([True]))
    is_before = sampler.bank_times().numpy() * 4 + sampler.first_row < 0
    assert is_before.any()
    assert np.array_equal(valid[0] == 0, is_before)


def test_a_restart_remembers_no_older_music() -> None:
    sampler = make_sampler([Take(motion(199), music(200, 0), 1.0)])
    _, valid = sampler._bank(np.array([100]), np.array([0]), np.array([False]))
    first_shown = -GEOMETRY.fresh_past - GEOMETRY.commit  # by the first tick after the restart
    assert np.array_equal(valid[0] == 1, sampler.bank_times().numpy() >= first_shown)


def test_motion_without_music_is_shown_without_music() -> None:
    takes = [Take(motion(199), music(200, 0), 0.5), Take(motion(299, 1), None, 0.5)]
    batch = make_sampler(takes).draw(64, torch.Generator().manual_seed(0))
    assert 0.2 < float(batch.keep.mean()) < 0.8
    hidden = make_sampler(takes[:1], hide_music=0.5).draw(200, torch.Generator().manual_seed(0))
    assert 0.35 < float(hidden.keep.mean()) < 0.65
    assert make_sampler(takes[:1]).draw(64, torch.Generator().manual_seed(0)).keep.all()


def test_equal_generators_draw_equal_windows() -> None:
    sampler = make_sampler([Take(motion(199), music(200, 0), 1.0)])
    first, again = (sampler.draw(8, torch.Generator().manual_seed(5)) for _ in range(2))
    torch.manual_seed(99)
    for name in ("codes", "trust", "bank_rows", "bank_valid", "fresh_rows", "keep"):
        assert torch.equal(getattr(first, name), getattr(again, name))


def test_takes_that_are_too_short_or_silent_are_refused_with_the_length_needed() -> None:
    with pytest.raises(ConfigError, match="No take has"):
        make_sampler([Take(motion(20), music(21, 0), 1.0)])
    with pytest.raises(ConfigError, match="music"):
        make_sampler([Take(motion(199), None, 1.0)])


def test_every_start_of_a_take_can_be_drawn_and_fits() -> None:
    need = make_sampler([Take(motion(199), music(200, 0), 1.0)])
    rows = need.first_row + (need.length + 1) * 4
    for extra in range(5):
        sampler = make_sampler([Take(motion(rows + extra), music(rows + extra + 1, 0), 1.0)])
        batch = sampler.draw(64, torch.Generator().manual_seed(0))
        assert batch.codes.shape[1] == need.length
        assert len({tuple(row) for row in batch.bank_rows[:, -1, -1].tolist()}) == extra + 1


def test_windows_where_motion_meets_the_beats_are_drawn_more_often() -> None:
    frames = 400
    lock = np.zeros(frames, np.float32)
    lock[frames // 2 :] = 1.0
    sampler = make_sampler([Take(motion(frames - 1), music(frames, 0), 1.0, lock)])
    batch = sampler.draw(200, torch.Generator().manual_seed(0))
    newest = batch.bank_rows[:, -1, -1].numpy()
    frame = np.array([np.flatnonzero((sampler.features == row).all(1))[0] for row in newest])
    assert (frame > frames // 2).mean() > 0.8


def test_tokens_that_are_not_to_be_learned_say_so() -> None:
    frames = 300
    trust = np.ones(frames, np.float32)
    trust[150] = 0.0
    batch = make_sampler([Take(motion(frames - 1), music(frames, 0), 1.0, None, trust)]).draw(
        64, torch.Generator().manual_seed(0)
    )
    assert set(batch.trust.sum(1).tolist()) == {CLEAN + GEOMETRY.planned - 1.0, CLEAN + GEOMETRY.planned + 0.0}
    everything = make_sampler([Take(motion(199), music(200, 0), 1.0)]).draw(8, torch.Generator().manual_seed(0))
    assert everything.trust.all()
