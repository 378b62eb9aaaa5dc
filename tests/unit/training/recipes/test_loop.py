from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from soulstream_engine.errors import ConfigError
from soulstream_training.recipes import loop as loop_module
from soulstream_training.recipes.checkpoint import load_weights
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


class Measured:
    """Trains with made-up validation numbers, one every second step; remembers what was measured."""

    def __init__(self, numbers: list[float]) -> None:
        self.numbers = iter(numbers)
        self.weights: list[Tensor] = []

    def train(self, loop: Loop, stop_at: int | None = None) -> None:
        def step(generator: torch.Generator, number: int) -> tuple[Tensor, dict[str, float]]:
            if number == stop_at:
                raise _StoppedError
            return loop.model(torch.randn(16, 4, generator=generator)).pow(2).mean(), {}

        def validate() -> dict[str, float]:
            self.weights.append(loop.averaged["inner.0.weight"].clone())
            return {"other": -1.0, "error": next(self.numbers)}

        loop.run(step, validate, "error")


def test_the_best_weights_outlive_worse_ones(tmp_path: Path) -> None:
    run = Measured([5.0, 3.0, 4.0, math.nan])
    run.train(make_loop(tmp_path, validate_every=2))
    state, meta = load_weights(tmp_path, "best")
    assert meta == {"step": 4, "config": {"measured": {"other": -1.0, "error": 3.0}}}
    assert torch.equal(state["inner.0.weight"], run.weights[1].half().float())
    assert json.loads((tmp_path / "last.json").read_text())["step"] == 6
    assert all(not torch.equal(left, right) for left, right in pairwise(run.weights[:3]))


@pytest.mark.parametrize(("measured", "step"), [(4.0, 2), (2.5, 4)])
def test_a_resumed_run_knows_what_it_has_to_beat(tmp_path: Path, measured: float, step: int) -> None:
    with pytest.raises(_StoppedError):
        Measured([3.0]).train(make_loop(tmp_path, validate_every=2), stop_at=3)
    Measured([measured, measured, measured]).train(make_loop(tmp_path, validate_every=2))
    best = load_weights(tmp_path, "best")[1]
    assert best["step"] == step
    assert best["config"]["measured"]["error"] == min(measured, 3.0)


def test_a_run_of_which_nothing_is_best_keeps_the_last_alone(tmp_path: Path) -> None:
    train(make_loop(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.json", "last.safetensors", "log"]


def test_a_run_stops_when_its_minutes_are_over(tmp_path: Path) -> None:
    assert len(train(make_loop(tmp_path, minutes=1e-9))) == 1
    assert json.loads((tmp_path / "last.json").read_text())["step"] == 1


class _ApartAccelerator:
    """Two processes of which the other has already done three steps, and finds that bfloat16 pays."""

    num_processes, is_main_process = 2, True

    def __init__(self, **_: object) -> None:
        self.ahead = torch.tensor([[3, 1]])

    def gather(self, own: Tensor) -> Tensor:
        return torch.cat([own, own + self.ahead])


def test_processes_that_do_not_see_the_same_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "Accelerator", _ApartAccelerator)
    with pytest.raises(ConfigError, match="at steps 0, 3") as caught:
        make_loop(tmp_path)
    assert "--runs" in caught.value.hint


def test_the_first_process_says_whether_bfloat16_pays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Together(_ApartAccelerator):
        def gather(self, own: Tensor) -> Tensor:
            return torch.cat([torch.tensor([[0, 0]]), own])

    monkeypatch.setattr(loop_module, "Accelerator", Together)
    assert make_loop(tmp_path, bf16=True).config.bf16 is False


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
