"""The sampler's network: streaming tick by tick, through its cache, gives what training's one big forward gives."""

from __future__ import annotations

import pytest
import torch

from soulstream_export.steps import MusicStep, StageStep
from soulstream_training.models.magm import Magm, MagmConfig
from soulstream_training.models.window import training_layout
from soulstream_training.recipes.magm import window_logits
from soulstream_training.recipes.paired import Batch, PairedSampler

TOLERANCE = 1e-5  # measured 1e-6


class _Geometry(PairedSampler):
    """Only the geometry of windows: no material."""

    def __init__(self, config: MagmConfig, clean: int) -> None:
        self.geometry, self.clean = config.geometry, clean


@pytest.mark.parametrize("first_level", [0, 1])
@pytest.mark.parametrize("parts", [1, 3])
def test_ticks_through_the_cache_equal_one_training_forward(first_level: int, parts: int) -> None:
    torch.manual_seed(first_level)
    config = MagmConfig(
        first_level=first_level, num_parts=parts, levels=3, num_codes=11, num_features=5, width=32, layers=3, heads=4,
        hidden=48, context=6, planned=4, commit=2, fresh_past=1,
    )  # fmt: skip
    model = Magm(config).eval()
    with torch.no_grad():
        for bias in (model.self_bias, model.music_bias):
            bias.table.normal_()
    geometry, clean = config.geometry, 12
    sampler = _Geometry(config, clean)
    starts = sampler.tick_starts()
    tokens = clean + geometry.planned
    codes = torch.randint(config.num_codes, (1, tokens, parts, config.levels))
    bank = torch.randn(1, sampler.bank_times().shape[0], 4, config.num_features)
    fresh = torch.randn(1, starts.shape[0], geometry.fresh, 4, config.num_features)
    # What has left the fresh part must be the same music that the bank holds.
    bank_valid = torch.ones(1, bank.shape[1])
    bank_valid[:, :2] = 0.0
    batch = Batch(codes, torch.ones(codes.shape[:2]), bank, bank_valid, fresh, torch.ones(1))

    block_starts = torch.tensor([0, 4, 8, 12])
    layout = training_layout(clean, block_starts, geometry, parts)
    truth = codes[:, layout.time, layout.part]
    level = torch.tensor([min(1, config.levels_out - 1)])
    seen = torch.ones_like(truth, dtype=torch.float32)
    planned = layout.block >= 0
    seen[:, planned] = 0.0
    seen[:, planned, 0] = (torch.arange(int(planned.sum())) % 2).float()
    offline = window_logits(model, sampler, batch, truth, seen, layout, level)

    step, music_step = StageStep(model), MusicStep(model, model)
    width = config.width // config.heads
    past = torch.zeros(2, 2, config.layers, config.heads, geometry.context * parts, width)
    past_valid = torch.zeros(geometry.context)
    for index, start in enumerate(starts.tolist()):
        # Bank slots of this tick: token times start - context .. start - fresh_past - 1.
        slots = torch.arange(start - geometry.context, start - geometry.fresh_past) + geometry.context
        rows = torch.cat([bank[0, slots], fresh[0, index]])
        music_tokens, music_k, music_v = music_step(rows)[:3]
        music_valid = torch.cat([bank_valid[0, slots], torch.ones(geometry.fresh)])
        aligned = music_tokens[:, -geometry.planned :]
        here = codes[0, start : start + geometry.planned].reshape(1, -1, config.levels)
        common = (past[0], past[1], past_valid, music_k, music_v, music_valid, aligned)
        for block, block_start in enumerate(block_starts.tolist()):
            if block_start == start:
                where = layout.block == block
                logits, _, _ = step(here, seen[:, where], level, torch.zeros(1), *common)
                assert torch.allclose(logits[0], offline[:, where], atol=TOLERANCE)
        _, new_k, new_v = step(here, torch.ones_like(here, dtype=torch.float32), level, torch.ones(1), *common)
        count = geometry.commit * parts
        past = torch.stack(
            [
                torch.cat([past[0][..., count:, :], new_k[..., :count, :]], -2),
                torch.cat([past[1][..., count:, :], new_v[..., :count, :]], -2),
            ]
        )
        past_valid = torch.cat([past_valid[geometry.commit :], torch.ones(geometry.commit)])


def test_committed_tokens_do_not_see_the_future() -> None:
    layout = training_layout(8, torch.tensor([2, 6]), MagmConfig().geometry, 2)
    from soulstream_training.models.window import self_visible

    visible = self_visible(layout, layout, MagmConfig().geometry)
    clean = layout.block < 0
    later = layout.time[None, :] > layout.time[:, None]
    assert not (visible & clean[:, None] & later).any()
    assert not (visible & clean[:, None] & ~clean[None, :]).any()
    other_block = layout.block[:, None] != layout.block[None, :]
    assert not (visible & ~clean[:, None] & ~clean[None, :] & other_block).any()
