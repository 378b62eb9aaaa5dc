from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from soulstream_training.recipes.loop import Loop, LoopConfig, learning_rate


class _StoppedError(Exception):
    """Stands for a lost machine."""


class Toy(nn.Module):
    """Weights, a buffer that training changes, and dropout: all that a continuation has to restore."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.count += 1
        return self.inner(x)


def make_loop(folder: Path, **changes: object) -> Loop:
    torch.manual_seed(11)
    config = LoopConfig(steps=6, rate=0.1, warmup=2, save_every_s=0.0, **changes)  # type: ignore[arg-type]
    return Loop(Toy(), folder, config, seed=5, description={})


def train(loop: Loop, stop_at: int | None = None) -> list[float]:
    losses = []

    def step(generator: torch.Generator, number: int) -> tuple[Tensor, dict[str, float]]:
        if number == stop_at:
            raise _StoppedError
        x = torch.randn(16, 4, generator=generator)
        loss = (loop.model(x) - x.sum(1, keepdim=True)).pow(2).mean()
        losses.append(float(loss.detach()))
        return loss, {"loss": losses[-1]}

    if stop_at is None:
        loop.run(step)
    else:
        with pytest.raises(_StoppedError):
            loop.run(step)
    return losses


@pytest.mark.parametrize("bf16", [False, True])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path: Path, bf16: bool) -> None:
    whole = make_loop(tmp_path / "whole", bf16=bf16)
    losses = train(whole)

    stopped = make_loop(tmp_path / "parts", bf16=bf16)
    first = train(stopped, stop_at=3)
    torch.manual_seed(1234)
    torch.rand(7)
    resumed = make_loop(tmp_path / "parts", bf16=bf16)
    assert resumed.step == 3
    assert first + train(resumed) == losses

    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key
        assert torch.equal(whole.averaged[key], resumed.averaged[key]), key
    assert torch.equal(whole.generator.get_state(), resumed.generator.get_state())
    ours, theirs = (loop.optimizer.state_dict()["state"] for loop in (whole, resumed))
    assert ours.keys() == theirs.keys()
    for index, entry in ours.items():
        for name, value in entry.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(theirs[index][name])), name


def test_a_finished_run_stays_as_it_is(tmp_path: Path) -> None:
    train(make_loop(tmp_path))
    again = make_loop(tmp_path)
    before = {key: value.clone() for key, value in again.model.state_dict().items()}
    assert train(again) == []
    assert all(torch.equal(value, before[key]) for key, value in again.model.state_dict().items())


def test_measuring_uses_the_averaged_weights_and_changes_nothing(tmp_path: Path) -> None:
    seen = []

    def loop_with(folder: Path, measure: bool) -> Loop:
        loop = make_loop(folder, validate_every=2)

        def validate() -> dict[str, float]:
            assert not loop.model.training
            for key, value in loop.model.state_dict().items():
                assert torch.equal(value, loop.averaged[key])
            seen.append(loop.step)
            return {"nothing": 0.0}

        def step(generator: torch.Generator, number: int) -> tuple[Tensor, dict[str, float]]:
            return loop.model(torch.randn(16, 4, generator=generator)).pow(2).mean(), {}

        loop.run(step, validate if measure else None)
        return loop

    measured, plain = loop_with(tmp_path / "a", True), loop_with(tmp_path / "b", False)
    assert seen == [2, 4, 6, 6]
    for key, value in plain.model.state_dict().items():
        assert torch.equal(value, measured.model.state_dict()[key])


def test_the_average_lags_behind_the_weights_and_copies_buffers(tmp_path: Path) -> None:
    loop = make_loop(tmp_path)
    start = loop.model.inner[0].weight.detach().clone()
    train(loop)
    now, mean = loop.model.inner[0].weight.detach(), loop.averaged["inner.0.weight"]
    assert (mean - start).norm() < (now - start).norm()
    assert float(loop.averaged["count"]) == 6.0


def test_rate_rises_linearly_then_falls_along_a_cosine() -> None:
    config = LoopConfig(steps=1000, rate=2.0, warmup=100)
    assert learning_rate(0, config) == pytest.approx(0.02)
    assert learning_rate(49, config) == pytest.approx(1.0)
    assert learning_rate(99, config) == pytest.approx(2.0)
    middle = 2.0 * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert learning_rate(550, config) == pytest.approx(middle)
    assert learning_rate(1000, config) == pytest.approx(0.1)
    assert learning_rate(5000, config) == pytest.approx(0.1)
    falling = [learning_rate(step, config) for step in range(100, 1000)]
    assert falling == sorted(falling, reverse=True)
