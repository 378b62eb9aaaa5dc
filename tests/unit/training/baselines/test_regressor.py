"""The regressor: it learns, starts from nothing, and hears two seconds ahead and no more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.motion_store import write_motion, write_music

from soulstream_engine.clock import FPS
from soulstream_engine.errors import ConfigError
from soulstream_engine.features.layout import NUM_FEATURES
from soulstream_training.baselines.common import BaselineRecipe, load_baseline
from soulstream_training.baselines.regressor import (
    EMPTY_SHARE,
    NAME,
    SEEN,
    Regressor,
    RegressorDancer,
    on_the_way_in,
    regressor_loss,
    train_regressor,
)
from soulstream_training.recipes.checkpoint import save_weights
from soulstream_training.recipes.mmr_pairs import PairSampler, load_pairs

WIDTH = 24
FRAMES = 120


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("material")
    write_motion(folder / "store")
    write_music(folder / "music")
    return folder / "store", folder / "music"


@pytest.fixture(scope="module")
def dancer(tmp_path_factory: pytest.TempPathFactory) -> RegressorDancer:
    """Random weights that hear well."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    network = Regressor(width=WIDTH)
    network.motion_mean.normal_()
    save_weights(folder, NAME, network.state_dict(), 0, {})
    return RegressorDancer(folder, WIDTH)


def _music(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, NUM_FEATURES)).astype(np.float32)


def test_it_learns(material: tuple[Path, Path]) -> None:
    torch.set_num_threads(1)  # as training does: small steps on two busy cores wait for each other
    sampler = PairSampler(load_pairs(*material, ("train",)), FRAMES)
    torch.manual_seed(0)
    network = Regressor(width=WIDTH)
    network.fit(sampler.pairs)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-2)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(80):
        batch = sampler.draw(8, FRAMES, 0, generator)
        loss = regressor_loss(network, batch.motion, batch.music, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_it_goes_on_from_where_it_was_and_its_weights_dance(material: tuple[Path, Path], tmp_path: Path) -> None:
    recipe = BaselineRecipe(schedule_steps=3, batch=4, frames=FRAMES)
    first, again = tmp_path / "first", tmp_path / "again"
    train_regressor(recipe, *material, tmp_path / "runs", first, WIDTH)
    train_regressor(recipe, *material, tmp_path / "runs", again, WIDTH)
    assert (first / f"{NAME}.safetensors").read_bytes() == (again / f"{NAME}.safetensors").read_bytes()
    network = Regressor(width=WIDTH)
    about = load_baseline(network, first, NAME)
    assert about["step"] == 3
    assert about["config"]["trained_on"]["recordings"]
    assert not torch.equal(network.motion_mean, torch.zeros(263))
    assert np.isfinite(RegressorDancer(first, WIDTH).dance(_music(90), 0).rows).all()


@pytest.mark.parametrize("frames", [1, 4, 61, 150])
def test_it_dances_every_frame(dancer: RegressorDancer, frames: int) -> None:
    danced = dancer.dance(_music(frames), seed=1)
    assert danced.rows.shape == (frames, 263)
    assert danced.rows.dtype == np.float32
    assert np.isfinite(danced.rows).all()
    assert len(danced.edges) == 0


def test_it_dances_alike_each_time(dancer: RegressorDancer) -> None:
    music = _music(60)
    assert np.array_equal(dancer.dance(music, 3).rows, dancer.dance(music, 3).rows)


@pytest.mark.parametrize("frame", [0, 37, 60, 62])
def test_it_hears_no_later_than_it_says(dancer: RegressorDancer, frame: int) -> None:
    music, other = _music(150), _music(150)
    wait = round(dancer.wait_s * FPS)
    assert wait == 60
    other[frame + wait + 1 :] = _music(150, seed=1)[frame + wait + 1 :]
    rows, changed = dancer.dance(music, 0).rows, dancer.dance(other, 0).rows
    assert np.array_equal(rows[: frame + 1], changed[: frame + 1])
    assert not np.array_equal(rows[frame + 1 : frame + 6], changed[frame + 1 : frame + 6]), "it hears what comes"


def test_it_reads_what_it_has_danced(dancer: RegressorDancer) -> None:
    music = np.zeros((12, NUM_FEATURES), np.float32)
    rows = dancer.dance(music, 0).rows
    assert not np.allclose(rows[:4], rows[4:8]), "the music is the same, what was seen is not"


def test_some_windows_show_only_their_last_rows_as_at_the_beginning_of_a_dance() -> None:
    seen = on_the_way_in(torch.ones(4000, SEEN, 2), torch.Generator().manual_seed(0))
    there = seen[..., 0].sum(1)
    assert torch.equal(seen, (torch.arange(SEEN) >= SEEN - there[:, None]).float()[..., None].expand(-1, -1, 2))
    assert set(there.tolist()) == set(range(0, SEEN + 1, 4))
    assert float((there < SEEN).float().mean()) == pytest.approx(EMPTY_SHARE, abs=0.03)


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"regressor\.safetensors"):
        RegressorDancer(tmp_path)
