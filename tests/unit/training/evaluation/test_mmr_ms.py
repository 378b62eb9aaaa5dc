"""MMR-MS against hand-computed cases."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.toy_mmr import toy_mmr

from soulstream_training.evaluation.mmr_ms import dance_ms, mmr_ms


def test_by_hand() -> None:
    motion = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    music = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert mmr_ms(motion, motion) == 0.0
    level = (0 + 2 + 0) / 3
    change = np.sqrt(2) + np.sqrt(2)
    assert mmr_ms(motion, music) == pytest.approx(np.sqrt(0.7 * level + 0.3 * change))
    assert mmr_ms(motion[:1], -motion[:1]) == pytest.approx(np.sqrt(0.7 * 4))


def test_only_whole_seconds_count() -> None:
    model = toy_mmr()
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((95, model.config.motion_dim)).astype(np.float32)
    music = generator.standard_normal((95, model.config.music_dim)).astype(np.float32)
    score = dance_ms(model, rows, music)
    assert score > 0.0
    assert dance_ms(model, rows[:90], music[:90]) == pytest.approx(score)
    assert dance_ms(model, rows[:60], music[:60]) != pytest.approx(score)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and music \(3, 3\)"):
        mmr_ms(np.zeros((2, 3)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="20 motion rows and 20 of music"):
        dance_ms(toy_mmr(), np.zeros((20, 263), np.float32), np.zeros((20, 50), np.float32))
