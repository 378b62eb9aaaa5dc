"""The recipes learn: a few seconds of training on made-up material."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.motion_store import write_motion, write_music

from soulstream_engine.errors import ConfigError
from soulstream_engine.features.layout import NUM_FEATURES
from soulstream_training.models.hrvq import Hrvq, toy_config
from soulstream_training.models.magm import Magm, MagmConfig
from soulstream_training.models.window import Geometry, training_layout
from soulstream_training.recipes import hrvq as hrvq_module
from soulstream_training.recipes.decoder import train_decoder
from soulstream_training.recipes.hrvq import HrvqRecipe, load_hrvq, train_hrvq
from soulstream_training.recipes.magm import (
    MagmRecipe,
    frozen,
    load_magm,
    masked_positions,
    stage_loss,
    train_magm,
    validation_numbers,
)
from soulstream_training.recipes.paired import PairedSampler, Take

TOKENIZER = {"width": 32, "code_dim": 16, "num_codes": 16, "levels": 3, "dilations": (3, 1)}
STAGE = {"width": 32, "layers": 1, "heads": 2, "hidden": 64, "context": 8, "levels": 3, "num_codes": 16, "dropout": 0.0}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes") / "store"
    write_motion(folder)
    write_music(folder.parent / "music")
    return folder


def hrvq_recipe(**changes: object) -> HrvqRecipe:
    settings = {"steps": 3, "batch": 2, "frames": 32, "validate_every": 100, "model": TOKENIZER} | changes
    return HrvqRecipe.model_validate(settings)


def test_tokenizer_learns_and_its_weights_can_be_read_back(store: Path, tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []
    recipe = hrvq_recipe(steps=60, batch=8, rate=2e-2, bf16=False)
    with pytest.MonkeyPatch.context() as patch:
        original = hrvq_module.tokenizer_loss

        def remember(*arguments: object) -> object:
            loss, numbers = original(*arguments)  # type: ignore[arg-type]
            seen.append(numbers)
            return loss, numbers

        patch.setattr(hrvq_module, "tokenizer_loss", remember)
        model = train_hrvq(recipe, store, store.parent / "music", tmp_path / "run", tmp_path)
    assert np.mean([n["loss"] for n in seen[-5:]]) < 0.8 * np.mean([n["loss"] for n in seen[:5]])
    again = load_hrvq(tmp_path)
    motion = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 40, 263)).astype(np.float32))
    motion = motion * model.std + model.mean
    assert (again.tokenize(motion) == model.tokenize(motion)).float().mean() > 0.95


def test_a_seed_gives_one_tokenizer(store: Path, tmp_path: Path) -> None:
    states = []
    for number, seed in enumerate((1, 1, 2)):
        torch.manual_seed(100 + number)
        recipe = hrvq_recipe(seed=seed, bent_motion=False)
        states.append(train_hrvq(recipe, store, tmp_path / "no music", tmp_path / str(number)).state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert not torch.equal(states[0]["decoder.unfold.weight"], states[2]["decoder.unfold.weight"])


def test_metric_losses_are_computed_in_full_precision(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    autocast = []
    original = hrvq_module.tokenizer_loss

    def remember(*arguments: object) -> object:
        autocast.append(torch.is_autocast_enabled("cpu"))
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(hrvq_module, "tokenizer_loss", remember)
    train_hrvq(hrvq_recipe(bf16=True), store, store.parent / "music", tmp_path / "run")
    assert autocast == [False] * 3


def test_training_the_decoder_leaves_every_code_as_it_was(store: Path, tmp_path: Path) -> None:
    train_hrvq(hrvq_recipe(), store, store.parent / "music", tmp_path / "run", tmp_path)
    before = load_hrvq(tmp_path)
    train_decoder(hrvq_recipe(), store, store.parent / "music", tmp_path / "decoder", tmp_path)
    after = load_hrvq(tmp_path)
    changed = {
        name.split(".")[0]
        for name, value in before.state_dict().items()
        if not torch.equal(value, after.state_dict()[name])
    }
    assert changed == {"decoder"}


def music_and_dance(seed: int, frames: int = 320, announced: int = 24) -> Take:
    """A dance whose moods the music announces: nobody who listens has to guess, the steps so far tell nothing."""
    generator = np.random.default_rng(seed)
    mood = np.repeat(generator.choice([-2.0, 2.0], frames // 16 + 2), 16).astype(np.float32)
    music = np.zeros((frames, NUM_FEATURES), np.float32)
    music[:, :24] = mood[announced : frames + announced, None]
    music[:, -1] = 1.0
    return Take(np.repeat(mood[: frames - 1, None], 263, 1), music, 1.0)


@pytest.fixture(scope="module")
def samplers() -> tuple[PairedSampler, PairedSampler]:
    torch.manual_seed(0)
    tokenizer = Hrvq(toy_config()).eval()
    for level, book in enumerate(tokenizer.quantizer.books[0]):
        book.codes.normal_(std=0.3**level)
    geometry = MagmConfig(**STAGE).geometry  # type: ignore[arg-type]
    train = PairedSampler([music_and_dance(seed) for seed in range(6)], tokenizer, geometry, 8, 0.1)
    return train, PairedSampler([music_and_dance(99)], tokenizer, geometry, 8, 0.0)


def replace_codebooks(sampler: PairedSampler) -> PairedSampler:
    other = copy.copy(sampler)
    other.codebooks = sampler.codebooks + 1.0
    return other


@pytest.mark.parametrize("stage", [0, 1])
def test_sampler_learns_to_listen(samplers: tuple[PairedSampler, PairedSampler], tmp_path: Path, stage: int) -> None:
    recipe = MagmRecipe(
        steps=240,
        batch=8,
        blocks=2,
        clean=8,
        rate=5e-3,
        corrupt_context=1.0,
        validate_every=1000,
        save_every_s=1e9,
        bf16=False,
        model=STAGE,
    )
    model = train_magm(recipe, stage, *samplers, tmp_path / "run", tmp_path)
    numbers = validation_numbers(model, samplers[1], recipe)
    assert numbers["loss_heard"] < np.log(16) - 0.3
    if stage == 0:  # the finer levels follow from level 0 here
        assert numbers["loss_heard"] < numbers["loss_hidden"] - 0.1
    codebooks = samplers[0].codebooks
    again = load_magm(tmp_path, stage, codebooks)
    with pytest.raises(ConfigError, match="codes"):
        load_magm(tmp_path, stage, codebooks + 1.0)  # another tokenizer's codes mean other poses
    with pytest.raises(ConfigError, match="codes"):
        train_magm(recipe, stage, replace_codebooks(samplers[0]), samplers[1], tmp_path / "run")
    assert again.config == model.config
    assert torch.allclose(again.out_tables, model.out_tables, atol=1e-3)


@pytest.mark.parametrize("stage", [0, 1])
def test_more_blocks_than_ticks_are_as_many_as_there_are(
    samplers: tuple[PairedSampler, PairedSampler], stage: int
) -> None:
    recipe = MagmRecipe(blocks=50, clean=8, model=STAGE, bf16=False)
    generator = torch.Generator().manual_seed(0)
    model = Magm(MagmConfig(first_level=stage, **STAGE))  # type: ignore[arg-type]
    loss, _ = stage_loss(model, samplers[0], samplers[0].draw(2, generator), recipe, generator)
    assert torch.isfinite(loss)


@pytest.mark.parametrize("stage", [0, 1])
def test_what_is_not_to_be_learned_costs_nothing(samplers: tuple[PairedSampler, PairedSampler], stage: int) -> None:
    recipe = MagmRecipe(blocks=2, clean=8, model=STAGE, bf16=False)
    model = Magm(MagmConfig(first_level=stage, **STAGE))  # type: ignore[arg-type]

    def loss_with(trust: torch.Tensor) -> float:
        generator = torch.Generator().manual_seed(0)
        batch = replace(samplers[0].draw(2, generator), trust=trust)
        return stage_loss(model, samplers[0], batch, recipe, generator)[1]["loss"]

    length = samplers[0].length
    assert loss_with(torch.zeros(2, length)) == 0.0
    half = torch.ones(2, length)
    half[1] = 0.0
    assert loss_with(half) != loss_with(torch.ones(2, length)) > 0.0


def test_a_frozen_context_repeats_a_token_and_leaves_what_is_planned_alone() -> None:
    layout = training_layout(8, torch.tensor([2, 8]), Geometry(context=8, planned=4, commit=2), 2)
    shown = torch.arange(layout.time.shape[0])[None, :, None].expand(50, -1, 3).contiguous()
    assert torch.equal(frozen(shown, layout, 16, 0.0, torch.Generator()), shown)
    made = frozen(shown, layout, 16, 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(made[:, 16:], shown[:, 16:])
    changed = (made != shown).any(2)
    assert 10 < int(changed.any(1).sum()) < 40
    for row in np.flatnonzero(changed.any(1).numpy()):
        where = np.flatnonzero(changed[row].numpy())
        assert (np.diff(where) == 1).all()
        first = where[0] // 2 - 1  # the token, of two parts, that is repeated
        expected = [first * 2 + position % 2 for position in where]
        assert made[row, where, 0].tolist() == expected


def test_blocks_are_masked_in_the_order_of_time_or_anywhere() -> None:
    target, hidden = masked_positions(200, 3, 4, 2, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(target, hidden)  # nothing after the first masked token is ever shown, as in the sampler
    ordered = target.view(600, 4, 2)
    assert (ordered[..., 0] == ordered[..., 1]).all()
    tokens = ordered[..., 0].int()
    assert (tokens.diff(dim=1) >= 0).all()
    assert set(tokens.sum(1).tolist()) == {1, 2, 3, 4}
    target, hidden = masked_positions(200, 3, 4, 2, 0.0, torch.Generator().manual_seed(0))
    assert not hidden.any()
    anywhere = target.view(600, 8)
    assert anywhere.any(1).all()
    assert 0.5 < anywhere.float().mean() < 0.75
    assert (anywhere.int().diff(dim=1) < 0).any()
