"""The retrieval model's recipe: what it learns, chunks that change nothing, a teacher, and what is refused."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.motion_store import FRAMES, write_motion, write_music

from soulstream_engine.errors import ConfigError
from soulstream_training.evaluation.mmr_latents import cosine, cut_windows, encode, encode_windows
from soulstream_training.losses.mmr import MmrLossWeights
from soulstream_training.models.mmr import Mmr, MmrConfig
from soulstream_training.recipes.mmr import load_mmr, mmr_trained_on, train_mmr
from soulstream_training.recipes.mmr_pairs import PairSampler, load_pairs, shifted_music
from soulstream_training.recipes.mmr_recipe import MmrRecipe
from soulstream_training.recipes.mmr_step import batch_loss

HEAVY_DIM = 12


@pytest.fixture
def material(tmp_path: Path) -> tuple[Path, Path]:
    store, music = tmp_path / "store", tmp_path / "music"
    write_motion(store)
    write_music(music)
    return store, music


def _recipe(**changes: object) -> MmrRecipe:
    small = {"size": "toy", "steps": 30, "batch": 8, "frames": 60, "bf16": False, "rate": 3e-3, "warmup": 5}
    return MmrRecipe.model_validate(small | changes)


def _write_heavy(folder: Path, music: Path) -> Path:
    """Offline features that know the frame, which is all that there is to know of these dances."""
    folder.mkdir()
    phase = np.arange(FRAMES)[:, None] / 15 * np.arange(1, HEAVY_DIM + 1)
    for path in music.glob("*.npz"):
        np.save(folder / f"{path.stem}.npy", np.sin(phase).astype(np.float16))
    return folder


def test_it_learns_stops_and_goes_on(material: tuple[Path, Path], tmp_path: Path) -> None:
    store, music = material
    model = train_mmr(_recipe(), store, music, tmp_path / "run", tmp_path / "weights")
    again = train_mmr(_recipe(), store, music, tmp_path / "run")
    torch.testing.assert_close(again.state_dict(), model.state_dict())
    loaded = load_mmr(tmp_path / "weights")
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    motion = torch.randn(2, 60, 263, requires_grad=True)
    loaded.motion(motion).mu.square().sum().backward()
    assert float(motion.grad.abs().max()) > 0.0, "an alignment loss needs gradients through the frozen judge"
    assert mmr_trained_on(tmp_path / "weights")["recordings"] == ["clip_0"]


def test_dance_and_music_that_belong_together_are_closer_than_before(
    material: tuple[Path, Path], tmp_path: Path
) -> None:
    store, music = material
    windows = cut_windows(load_pairs(store, music, ("train",)), stride=20, frames=60)
    off_beat = [window.music_moved(0.5) for window in windows]
    model = train_mmr(_recipe(steps=80), store, music, tmp_path / "run")
    motion, heard = encode_windows(model, windows)
    moved = cosine(motion, encode(model.music, off_beat))
    assert float((cosine(motion, heard) - moved).mean()) > 0.1


@pytest.mark.parametrize("chunk", [3, 4])
def test_chunks_give_the_gradients_of_the_whole_batch(material: tuple[Path, Path], chunk: int) -> None:
    sampler = PairSampler(load_pairs(*material, ("train",)), 60)
    torch.manual_seed(0)
    whole = Mmr(MmrConfig(263, 50, width=32, layers=1, heads=2, hidden=32, fold=5, dropout=0.0)).train()
    cut = copy.deepcopy(whole)
    losses = []
    for model, recipe in ((whole, _recipe(rebuilt=0)), (cut, _recipe(rebuilt=0, chunk=chunk))):
        generator = torch.Generator().manual_seed(1)
        batch = sampler.draw(8, 60, 1, generator)
        loss, _ = batch_loss(model, batch, recipe, MmrLossWeights(), generator)
        loss.backward()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for one, other in zip(whole.parameters(), cut.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-7)


def test_a_live_encoder_learns_the_latents_of_an_offline_one(material: tuple[Path, Path], tmp_path: Path) -> None:
    store, music = material
    heavy = _write_heavy(tmp_path / "heavy", music)
    teacher = tmp_path / "teacher"
    train_mmr(_recipe(), store, music, tmp_path / "heavy_run", teacher, heavy=heavy)
    guide = load_mmr(teacher, heavy=True)
    assert guide.config.music_dim == HEAVY_DIM
    model = train_mmr(_recipe(steps=80, distil=10.0), store, music, tmp_path / "run", heavy=heavy, teacher=teacher)
    pairs = load_pairs(store, music, ("train",), heavy_dir=heavy)
    windows = cut_windows(pairs, stride=20, frames=60)
    wanted = encode(guide.music, [w.pair.heavy[w.heard : w.heard + w.frames] for w in windows])
    mine = encode(model.music, [window.music for window in windows])
    unrelated = encode(model.music, [window.music_moved(0.5) for window in windows])
    assert cosine(mine, wanted).mean() > 0.9
    assert cosine(mine, wanted).mean() > cosine(unrelated, wanted).mean()
    torch.testing.assert_close(model.motion.state_dict(), guide.motion.state_dict())


def test_windows_of_music_are_of_the_same_frames_as_those_of_the_dance(material: tuple[Path, Path]) -> None:
    pairs = load_pairs(*material, ("train",))
    assert [pair.entry.is_mirrored for pair in pairs] == [False, True]
    sampler = PairSampler(pairs, 60)
    batch = sampler.draw(16, 60, 2, torch.Generator().manual_seed(0))
    assert batch.motion.shape == (16, 60, 263)
    assert batch.shifted.shape == (2, 16, 60, 50)
    for music, song, start_s in zip(batch.music, batch.song, batch.start_s, strict=True):
        first = round(float(start_s) * 30)
        assert np.array_equal(music.numpy(), pairs[int(song)].music[first : first + 60])
    moved = shifted_music(pairs[0], 60, 60, 1.0)
    assert np.array_equal(moved, pairs[0].music[75:135]), "a beat at 120 a minute is 15 frames"
    assert np.array_equal(shifted_music(pairs[0], 0, 60, -0.5)[0], pairs[0].music[0])


def test_what_is_refused(material: tuple[Path, Path], tmp_path: Path) -> None:
    store, music = material
    with pytest.raises(ConfigError, match="no music for the splits test"):
        load_pairs(store, music, ("test",))
    heavy = _write_heavy(tmp_path / "heavy", music)
    np.save(heavy / "clip_0.0.npy", np.zeros((7, HEAVY_DIM), np.float32))
    with pytest.raises(ConfigError, match=r"clip_0.0.npy' holds \[7, 12\] float32, not \[260, H\]"):
        load_pairs(store, music, ("train",), heavy_dir=heavy)
    with pytest.raises(ConfigError, match="Name their folder"):
        train_mmr(_recipe(), store, music, tmp_path / "run", teacher=tmp_path)
    with pytest.raises(ConfigError, match="No stretch has 300 rows"):
        PairSampler(load_pairs(store, music, ("train",)), 300)
    for wrong, why in (({"frames": 62}, "multiple of"), ({"loss": {"kll": 1.0}}, "kll"), ({"model": {"w": 1}}, "w")):
        with pytest.raises(ValueError, match=why):
            _recipe(**wrong)
