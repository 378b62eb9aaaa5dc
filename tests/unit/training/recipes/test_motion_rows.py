from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.motion_store import FRAMES, write_motion

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.mirror import mirror_rows
from soulstream_engine.motion.representation import BODY_JP, BODY_JR, BODY_JV, CONTACT
from soulstream_training.recipes.motion_rows import (
    RULE_WEIGHT,
    Stretch,
    WindowSampler,
    clip_stretches,
    load_clips,
    normalisation,
)


def stretch(rows: int, first: float, style: str = "disco") -> Stretch:
    """Rows that say which they are: ``first``, ``first + 1``, ..."""
    values = np.repeat((first + np.arange(rows, dtype=np.float32))[:, None], 263, 1)
    return Stretch("clip", style, "train", False, 0, values)


def draw(sampler: WindowSampler, count: int) -> np.ndarray:
    return sampler.draw(count, torch.Generator().manual_seed(0))[0][..., 0].numpy()


def test_windows_never_cross_from_one_stretch_to_another() -> None:
    sampler = WindowSampler([stretch(20, 0), stretch(5, 500), stretch(16, 1000)], frames=16)
    windows = draw(sampler, 300)
    assert (np.diff(windows, axis=1) == 1).all()
    assert set(windows[:, 0]) == {0.0, 1.0, 2.0, 3.0, 4.0, 1000.0}


def test_one_style_is_held_to_its_share() -> None:
    sampler = WindowSampler([stretch(1000, 0, "salsa"), stretch(100, 5000)], frames=16)
    assert 0.44 < (draw(sampler, 2000)[:, 0] < 5000).mean() < 0.56
    rare = WindowSampler([stretch(30, 0, "salsa"), stretch(1000, 5000)], frames=16)
    assert (draw(rare, 2000)[:, 0] < 5000).mean() < 0.05
    alone = WindowSampler([stretch(100, 0, "salsa")], frames=16)
    assert draw(alone, 10).shape == (10, 16)


def test_too_short_material_is_refused() -> None:
    with pytest.raises(ConfigError, match="No stretch has 64 rows"):
        WindowSampler([stretch(63, 0)], frames=64)


def test_columns_of_a_group_share_one_deviation_and_root_and_contacts_weigh_more() -> None:
    generator = np.random.default_rng(0)
    rows = (generator.normal(size=(5000, 263)) * 2.0 + 3.0).astype(np.float32)
    rows[:, 4] *= 10.0
    mean, deviation = normalisation([Stretch("clip", "x", "train", False, 0, rows)])
    assert torch.allclose(mean, torch.from_numpy(rows.mean(0)), atol=1e-3)
    for group in (BODY_JP, BODY_JR, BODY_JV, CONTACT, slice(1, 3)):
        assert len(deviation[group].unique()) == 1
    assert float(deviation[BODY_JR][0]) == pytest.approx(2.0, rel=0.02)
    for light in (slice(0, 1), slice(1, 3), slice(3, 4), CONTACT):
        assert float(deviation[light][0]) == pytest.approx(2.0 / 5, rel=0.02)


def test_columns_that_never_change_do_not_divide_by_zero() -> None:
    _, deviation = normalisation([Stretch("clip", "x", "train", False, 0, np.ones((50, 263), np.float32))])
    assert (deviation > 0).all()


def test_stretches_of_a_store_come_with_their_mirror_image(tmp_path: Path) -> None:
    write_motion(tmp_path / "store")
    clips = load_clips(tmp_path / "store", ("train",))
    assert [clip.entry.clip_id for clip in clips] == ["clip_0", "clip_1"]
    plain, mirrored = clip_stretches(clips[0], with_mirror=True, min_rows=24)
    assert plain.rows.shape == (FRAMES - 1, 263)
    assert (plain.is_mirrored, mirrored.is_mirrored) == (False, True)
    assert np.array_equal(mirrored.rows, mirror_rows(plain.rows))
    assert clip_stretches(clips[0], with_mirror=True, min_rows=FRAMES) == []
    with pytest.raises(ConfigError, match="No clips"):
        load_clips(tmp_path / "store", ("aux",))


def test_what_nobody_captured_is_worth_nothing_and_what_a_rule_made_is_worth_little(tmp_path: Path) -> None:
    write_motion(tmp_path / "store")
    clip = load_clips(tmp_path / "store", ("train",))[0]
    captured = clip.captured.copy()
    captured[[10, 15]] = False  # left foot, head
    synthetic = np.ones((FRAMES, 2), np.bool_)
    synthetic[100:, 1] = False
    pieces = clip_stretches(
        replace(clip, captured=captured, synthetic=synthetic), with_mirror=True, min_rows=24, columns="arkit52"
    )
    assert [(s.first_frame, s.is_mirrored) for s in pieces] == [(0, False), (0, True), (100, False), (100, True)]
    first, mirrored, later, _ = pieces
    assert first.rows.shape == (99, 675)
    assert (first.weight[CONTACT] == [1, 0, 1, 1]).all()
    assert (mirrored.weight[CONTACT] == [1, 1, 1, 0]).all()
    joints = first.weight[BODY_JP].reshape(21, 3)
    assert set(np.flatnonzero(joints[:, 0] == 0) + 1) == {10, 15}
    assert (first.weight[263:] == np.float32(RULE_WEIGHT)).all()
    assert (later.weight[623:] == 1).all()
    sampler = WindowSampler(pieces, 16)
    rows, worth = sampler.draw(8, torch.Generator().manual_seed(0))
    assert (rows.shape, worth.shape) == ((8, 16, 675), (8, 675))
    assert {float(value) for value in worth[:, 630]} == {np.float32(RULE_WEIGHT), 1.0}


def test_statistics_look_only_at_what_was_captured() -> None:
    known, unknown = stretch(50, 0), stretch(50, 1e6)
    weight = np.ones(263, np.float32)
    weight[4:67] = 0
    mean, _ = normalisation([known, replace(unknown, weight=weight)])
    assert float(mean[4]) == pytest.approx(24.5)
    assert float(mean[70]) > 1e5


def test_a_flame_face_has_no_mirror_image_and_another_space_is_refused(tmp_path: Path) -> None:
    write_motion(tmp_path / "store")
    clip = load_clips(tmp_path / "store", ("train",))[0]
    flame = replace(
        clip,
        entry=replace(clip.entry, face_space="flame100"),
        face=np.ones((FRAMES, 100), np.float32),
        synthetic=np.zeros((FRAMES, 2), np.bool_),
    )
    plain, mirrored = clip_stretches(flame, with_mirror=True, min_rows=24, columns="flame100")
    assert plain.rows.shape == mirrored.rows.shape == (FRAMES - 1, 723)
    assert (plain.weight[623:] == 1).all()
    assert (mirrored.weight[623:] == 0).all()
    np.testing.assert_array_equal(mirrored.rows[:, :623], mirror_rows(plain.rows[:, :623]))
    hands, _ = clip_stretches(flame, with_mirror=True, min_rows=24, columns="none")
    assert hands.rows.shape == (FRAMES - 1, 623)
    with pytest.raises(ConfigError, match=r"'clip_0' has a face of the space 'flame100'.*'arkit52'"):
        clip_stretches(flame, with_mirror=True, min_rows=24, columns="arkit52")
