"""The GPT: it learns codes, its rows belong to its music, it hears no further than it says, other codes are refused."""

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
from soulstream_training.baselines.gpt import (
    COLUMNS,
    KIND,
    NAME,
    SETTLING,
    WINDOW,
    GptDancer,
    gpt_for,
    gpt_loss,
    rows_of,
    train_gpt,
)
from soulstream_training.evaluation.tokenizer import reconstruct
from soulstream_training.models.hrvq import LOOK_AHEAD, Hrvq, preset
from soulstream_training.recipes.checkpoint import save_weights
from soulstream_training.recipes.hrvq import load_hrvq
from soulstream_training.recipes.mmr_pairs import PairSampler, load_pairs

WIDTH = 24
FRAMES = 61
NUM_CODES = 64


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("material")
    write_motion(folder / "store")
    write_music(folder / "music")
    return folder / "store", folder / "music"


@pytest.fixture(scope="module")
def tokenizers(material: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer that has learned nothing, but whose codes are those that the dance would be given."""
    return _save_tokenizer(tmp_path_factory.mktemp("tokenizers"), load_pairs(*material, ("train",), COLUMNS)[0].rows)


@pytest.fixture(scope="module")
def dancer(tokenizers: Path, tmp_path_factory: pytest.TempPathFactory) -> GptDancer:
    """Random weights that are sure of what they draw, and of what they hear."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    network = gpt_for(load_hrvq(tokenizers, KIND), WIDTH)
    network.head[1].weight.data.mul_(10.0)
    save_weights(folder, NAME, network.state_dict(), 0, {})
    return GptDancer(folder, tokenizers, width=WIDTH)


def _save_tokenizer(folder: Path, rows: np.ndarray) -> Path:
    torch.manual_seed(0)
    model = Hrvq(preset(KIND, size="toy", face_space=COLUMNS, num_codes=NUM_CODES))
    with torch.no_grad():
        latents = model.encode(torch.from_numpy(rows[: len(rows) // 4 * 4])[None])[0][0].T
    model.quantizer.books[0][0].start_from(latents, torch.Generator().manual_seed(0))
    save_weights(folder, KIND, model.state_dict(), 0, {"model": model.config.to_json()})
    return folder


def _rows(frames: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(frames, 675)).astype(np.float32)


def _music(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, NUM_FEATURES)).astype(np.float32)


def test_it_learns(material: tuple[Path, Path], tokenizers: Path) -> None:
    torch.set_num_threads(1)  # as training does: small steps on two busy cores wait for each other
    sampler = PairSampler(load_pairs(*material, ("train",), COLUMNS), FRAMES, COLUMNS)
    tokenizer = load_hrvq(tokenizers, KIND)
    network = gpt_for(tokenizer, WIDTH)
    network.fit(sampler.pairs)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(40):
        batch = sampler.draw(8, FRAMES, 0, generator)
        loss = gpt_loss(network, tokenizer, batch.motion, batch.music, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_it_goes_on_from_where_it_was_and_its_weights_dance(
    material: tuple[Path, Path], tokenizers: Path, tmp_path: Path
) -> None:
    recipe = BaselineRecipe(schedule_steps=3, batch=4, frames=FRAMES)
    first, again = tmp_path / "first", tmp_path / "again"
    train_gpt(recipe, *material, tmp_path / "runs", first, tokenizers, WIDTH)
    train_gpt(recipe, *material, tmp_path / "runs", again, tokenizers, WIDTH)
    assert (first / f"{NAME}.safetensors").read_bytes() == (again / f"{NAME}.safetensors").read_bytes()
    network = gpt_for(load_hrvq(tokenizers, KIND), WIDTH)
    assert load_baseline(network, first, NAME)["step"] == 3
    assert not torch.equal(network.music_mean, torch.zeros(NUM_FEATURES))
    assert not any("quantizer" in name or "decoder" in name for name in network.state_dict())
    assert np.isfinite(GptDancer(first, tokenizers, width=WIDTH).dance(_music(90), 0).rows).all()


def test_weights_and_runs_of_other_codes_are_refused(
    material: tuple[Path, Path], tokenizers: Path, tmp_path: Path
) -> None:
    recipe = BaselineRecipe(schedule_steps=1, batch=2, frames=FRAMES)
    weights, runs = tmp_path / "weights", tmp_path / "runs"
    train_gpt(recipe, *material, runs, weights, tokenizers, WIDTH)
    mine, others = gpt_for(load_hrvq(tokenizers, KIND)).codes, _save_tokenizer(weights / "tokenizers", _rows(200))
    message = f"'gpt' was trained on codes {mine}, the tokenizer has {gpt_for(load_hrvq(others, KIND)).codes}"
    with pytest.raises(ConfigError, match=message):
        GptDancer(weights, width=WIDTH)
    with pytest.raises(ConfigError, match=message):
        train_gpt(recipe, *material, runs, weights, others, WIDTH)


@pytest.mark.parametrize("frames", [1, 4, 6, 7, 4 * WINDOW + 21])
def test_it_dances_every_frame(dancer: GptDancer, frames: int) -> None:
    danced = dancer.dance(_music(frames), seed=1)
    assert danced.rows.shape == (frames, 675)
    assert danced.rows.dtype == np.float32
    assert np.isfinite(danced.rows).all()
    assert len(danced.edges) == 0


def test_the_seed_tells_the_dance(dancer: GptDancer) -> None:
    music = _music(60)
    assert np.array_equal(dancer.dance(music, 3).rows, dancer.dance(music, 3).rows)
    assert not np.array_equal(dancer.dance(music, 3).rows, dancer.dance(music, 4).rows)


@pytest.mark.parametrize("frame", [*range(40, 45), 4 * WINDOW + 2])
def test_it_hears_no_later_than_it_says(dancer: GptDancer, frame: int) -> None:
    frames = frame + 40
    music, other = _music(frames), _music(frames)
    wait = round(dancer.wait_s * FPS)
    assert wait == 5
    other[frame + wait + 1 :] = _music(frames, seed=1)[frame + wait + 1 :]
    rows, changed = dancer.dance(music, 0).rows, dancer.dance(other, 0).rows
    assert np.array_equal(rows[: frame + 1], changed[: frame + 1])
    assert not np.array_equal(rows[frame + 1 : frame + 21], changed[frame + 1 : frame + 21]), "it hears what comes"


def test_rows_are_those_of_the_frames_that_gave_the_codes(tokenizers: Path) -> None:
    tokenizer = load_hrvq(tokenizers, KIND)
    rows = _rows(50)
    lead, tail = np.repeat(rows[:1], 4 * SETTLING, 0), np.repeat(rows[-1:], 2 * LOOK_AHEAD - 2, 0)
    codes = tokenizer.tokenize(torch.from_numpy(np.concatenate([lead, rows, tail]))[None])[0, 0, :, 0]
    with torch.no_grad():
        made = rows_of(tokenizer, codes, len(rows))
    np.testing.assert_allclose(made, reconstruct(tokenizer, rows), atol=1e-5)


def test_codes_are_read_one_late_and_music_in_time(dancer: GptDancer) -> None:
    """Changing what token 5 is, or sounds like, changes the odds from token 6, or 5, on."""
    network = dancer.network
    codes, music = torch.arange(9)[None], torch.from_numpy(_music(40))[None]
    with torch.no_grad():
        scores = network(codes, music)[0]
        other_codes, other_music = codes.clone(), music.clone()
        other_codes[0, 5] = 40
        other_music[0, 20:24] += 1.0
        by_code = (network(other_codes, music)[0] != scores).any(1)
        by_music = (network(codes, other_music)[0] != scores).any(1)
    assert by_code.tolist() == [False] * 6 + [True] * 4
    assert by_music.tolist() == [False] * 5 + [True] * 5
