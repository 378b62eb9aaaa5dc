"""A retrieval model as a judge: what it is given can learn from it, it learns nothing itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fakes.toy_mmr import MOTION_COLUMNS, save_toy_mmr, toy_mmr

from soulstream_engine.errors import ConfigError
from soulstream_engine.features.layout import NUM_FEATURES
from soulstream_training.models.mmr import Mmr
from soulstream_training.recipes.mmr import load_mmr


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Mmr:
    folder = tmp_path_factory.mktemp("weights")
    save_toy_mmr(folder, toy_mmr())
    return load_mmr(folder)


def test_gradients_reach_every_frame_that_is_judged_and_nothing_of_the_judge(judge: Mmr) -> None:
    torch.manual_seed(0)
    motion = torch.randn(3, 150, MOTION_COLUMNS, requires_grad=True)
    music = torch.randn(3, 150, NUM_FEATURES, requires_grad=True)
    likeness = torch.nn.functional.cosine_similarity(*judge(motion, music))
    likeness.sum().backward()
    for given in (motion, music):
        assert given.grad is not None
        assert given.grad.isfinite().all()
        assert given.grad.abs().amax(dim=-1).min() > 0.0
    assert not judge.training
    assert not any(parameter.requires_grad for parameter in judge.parameters())
    assert all(parameter.grad is None for parameter in judge.parameters())


def test_a_step_along_the_gradient_makes_the_dance_fit_better(judge: Mmr) -> None:
    torch.manual_seed(1)
    motion = torch.randn(2, 150, MOTION_COLUMNS, requires_grad=True)
    music = torch.randn(2, 150, NUM_FEATURES)
    before = torch.nn.functional.cosine_similarity(*judge(motion, music))
    (gradient,) = torch.autograd.grad(before.sum(), motion)
    with torch.no_grad():
        after = torch.nn.functional.cosine_similarity(*judge(motion + 0.1 * gradient / gradient.std(), music))
    assert (after > before).all()


def test_the_judge_says_the_same_with_and_without_gradients(judge: Mmr) -> None:
    """Without gradients torch takes other kernels."""
    torch.manual_seed(2)
    motion, music = torch.randn(2, 150, MOTION_COLUMNS), torch.randn(2, 150, NUM_FEATURES)
    with torch.no_grad():
        without = judge(motion, music)
    for plain, tracked in zip(without, judge(motion.requires_grad_(), music.requires_grad_()), strict=True):
        assert torch.allclose(plain, tracked.detach(), atol=1e-5)  # measured 4e-7


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mmr_whole\.safetensors"):
        load_mmr(tmp_path, "whole")
