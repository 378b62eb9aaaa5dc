"""What both systems that dance in windows promise: they learn, and how they dance."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
import torch
from fakes.motion_store import write_motion, write_music

from soulstream_engine.features.layout import NUM_FEATURES
from soulstream_training.baselines import diffusion, partwise
from soulstream_training.baselines.common import BaselineRecipe, Dancer
from soulstream_training.baselines.denoiser import dance_in_windows
from soulstream_training.baselines.diffusion import DenoiserSizes, Diffusion, DiffusionDancer
from soulstream_training.baselines.partwise import Partwise, PartwiseDancer
from soulstream_training.recipes.checkpoint import save_weights
from soulstream_training.recipes.mmr_pairs import PairSampler, load_pairs

TINY = DenoiserSizes(width=64, layers=1, heads=2, hidden=128, dropout=0.0)
RATE = 1e-2
Network = Diffusion | Partwise


class System(NamedTuple):
    """A system, with its network of tiny size, trained on the toy store, and the dancer that reads its weights."""

    name: str
    network: Network
    losses: list[float]
    dancer: Dancer


def _fresh(name: str) -> Network:
    torch.manual_seed(0)
    return Diffusion(TINY) if name == "diffusion" else Partwise(TINY)


def _dancer(name: str, weights: Path) -> Dancer:
    return DiffusionDancer(weights, TINY) if name == "diffusion" else PartwiseDancer(weights, TINY)


def _learn(network: Network, sampler: PairSampler, steps: int = 40) -> list[float]:
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(steps):
        batch = sampler.draw(8, 60, 0, generator)
        loss = network.loss(batch.motion, batch.music, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    base = tmp_path_factory.mktemp("material")
    write_motion(base / "store")
    write_music(base / "music")
    return base / "store", base / "music"


@pytest.fixture(scope="module", params=["diffusion", "partwise"])
def system(
    request: pytest.FixtureRequest, material: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> System:
    network, weights = _fresh(request.param), tmp_path_factory.mktemp("weights")
    sampler = PairSampler(load_pairs(*material, ("train",)), 60)
    network.fit(sampler.pairs)
    losses = _learn(network, sampler)
    save_weights(weights, request.param, network.state_dict(), 40, {})
    return System(request.param, network, losses, _dancer(request.param, weights))


def _music(num_rows: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num_rows, NUM_FEATURES)).astype(np.float32)


def test_it_learns(system: System) -> None:
    assert np.mean(system.losses[-5:]) < 0.4 * np.mean(system.losses[:5])  # measured 0.12 and 0.11


@pytest.mark.parametrize("num_rows", [30, 149, 150, 151, 226, 400])
def test_it_dances_as_many_rows_as_there_are(system: System, num_rows: int) -> None:
    danced = system.dancer.dance(_music(num_rows), 1)
    assert danced.rows.shape == (num_rows, 263)
    assert danced.rows.dtype == np.float32
    assert np.isfinite(danced.rows).all()
    assert danced.edges.tolist() == list(range(150, num_rows, 75))


def test_a_seed_is_a_dance(system: System) -> None:
    music = _music(200)
    dances = [system.dancer.dance(music, seed).rows for seed in (1, 1, 2)]
    np.testing.assert_array_equal(dances[0], dances[1])
    assert np.abs(dances[0] - dances[2]).max() > 1e-3
    assert np.abs(dances[0][160:] - dances[2][160:]).max() > 1e-3


def test_music_that_it_has_not_waited_for_changes_nothing(system: System) -> None:
    wait = round(system.dancer.wait_s * 30)
    assert wait == 150
    music = _music(400)
    dance = system.dancer.dance(music, 1).rows
    for last in (0, 74, 100, 200):
        changed = music.copy()
        changed[last + wait + 1 :] = _music(len(music), 6)[last + wait + 1 :]
        other = system.dancer.dance(changed, 1).rows
        np.testing.assert_array_equal(other[: last + 1], dance[: last + 1])
        assert np.abs(other - dance).max() > 1e-4, "the music that it hears must matter"


def test_a_window_goes_on_where_the_last_one_stopped(system: System) -> None:
    network, generator = system.network.eval(), torch.Generator().manual_seed(0)
    music = network.music_in(torch.from_numpy(_music(225)))[None]
    with torch.no_grad():
        first = network.make(music[:, :150], torch.zeros(1, 0, 263), generator)
        second = network.make(music[:, 75:], first[:, 75:], generator)
    assert torch.equal(second[:, :75], first[:, 75:])


@pytest.mark.parametrize("name", ["diffusion", "partwise"])
def test_who_knows_one_pose_only_does_not_jump_at_edges(name: str) -> None:
    network, generator = _fresh(name), torch.Generator().manual_seed(0)
    pose = torch.randn(263, generator=generator).expand(8, 60, -1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    for _ in range(80):
        loss = network.loss(pose, torch.randn(8, 60, NUM_FEATURES, generator=generator), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    danced = dance_in_windows(network, network.make, _music(400), 1, 150)
    jumps = np.linalg.norm(np.diff(danced.rows, axis=0), axis=1)
    assert jumps[danced.edges - 1].max() < 2.0 * np.median(jumps)  # measured 1.13 and 1.03
    assert np.abs(danced.rows - pose[0, 0].numpy()).mean() < 0.05  # measured 0.009


@pytest.mark.parametrize("module", [diffusion, partwise])
def test_its_recipe_writes_weights_that_dance(module: ModuleType, material: tuple[Path, Path], tmp_path: Path) -> None:
    recipe = BaselineRecipe(minutes=1.0, schedule_steps=4, batch=4, frames=60)
    module.train(recipe, *material, tmp_path / "runs", tmp_path / "weights", TINY)
    dancer = _dancer(module.NAME, tmp_path / "weights")
    assert np.isfinite(dancer.dance(_music(60), 3).rows).all()
    assert (tmp_path / "weights" / f"{module.NAME}.json").is_file()
