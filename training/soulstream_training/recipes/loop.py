"""The training loop that every recipe shares: schedule, averaged weights, progress, logs, checkpoints, exact resume.

Not for: anything a single model needs (that is its recipe) or several processes (the recipes run in one).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from soulstream_engine.clock import monotonic_ns

from .checkpoint import load_full, save_full

StepResult = tuple[Tensor, dict[str, float]]


@dataclass
class LoopConfig:
    """What the loop itself needs to know.

    ``steps`` total iterations; ``rate`` peak learning rate after ``warmup`` linear steps, then cosine to ``rate / 20``;
    ``average`` decay of the averaged weights; ``clip`` largest gradient norm; ``save_every_s`` seconds between
    checkpoints; ``validate_every`` iterations; ``minutes`` stops early (and keeps the schedule's end) when positive;
    ``bf16`` multiplies in bfloat16 (the recipes ask ``bfloat16_pays`` first).
    """

    steps: int
    rate: float
    warmup: int = 200
    average: float = 0.999
    weight_decay: float = 0.0
    clip: float = 1.0
    save_every_s: float = 120.0
    validate_every: int = 500
    minutes: float = 0.0
    bf16: bool = True


def bfloat16_pays() -> bool:
    """Whether this processor multiplies bfloat16 matrices faster than float32 ones (some take 400 times as long)."""
    fastest = {}
    for dtype in (torch.float32, torch.bfloat16):
        left = torch.ones(192, 192, dtype=dtype)
        times = []
        for _ in range(4):
            start_ns = monotonic_ns()
            torch.mm(left, left)
            times.append(monotonic_ns() - start_ns)
        fastest[dtype] = min(times)
    return fastest[torch.bfloat16] < fastest[torch.float32]


def learning_rate(step: int, config: LoopConfig) -> float:
    """Linear warm-up, then half a cosine down to a twentieth."""
    if step < config.warmup:
        return config.rate * (step + 1) / config.warmup
    share = min(1.0, (step - config.warmup) / max(1, config.steps - config.warmup))
    return config.rate * (0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * share)))


@dataclass
class Loop:
    """Runs a recipe's step until the end, resuming from ``folder`` when a checkpoint lies there.

    Args:
        model: What is trained.
        folder: Where checkpoints and logs go.
        config: See ``LoopConfig``.
        seed: Seed of the data generator and of torch.
        description: Plain dictionary stored with each checkpoint.
    """

    model: nn.Module
    folder: Path
    config: LoopConfig
    seed: int
    description: dict[str, Any]
    console: Console = field(default_factory=lambda: Console(stderr=True))

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.generator = torch.Generator().manual_seed(self.seed)
        self.averaged = {key: value.detach().clone() for key, value in self.model.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=self.config.rate,
            betas=(0.9, 0.99),
            weight_decay=self.config.weight_decay,
            fused=True,
        )
        self._parameters = list(self.model.named_parameters())
        self._buffers = {key: value for key, value in self.model.named_buffers() if key in self.averaged}
        self.step = 0
        if (self.folder / "last.json").is_file():
            self.step, _ = load_full(
                self.folder,
                model=self.model,
                averaged=self.averaged,
                optimizer=self.optimizer,
                generator=self.generator,
            )
            self.console.print(f"resuming {self.folder.name} at step {self.step}")

    def run(
        self,
        train_step: Callable[[torch.Generator, int], StepResult],
        validate: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        """Train to ``config.steps``.

        Args:
            train_step: Given the data generator and the step, returns the loss and numbers to log.
            validate: Returns numbers to log; called with the averaged weights in place, in evaluation mode.
        """
        writer = SummaryWriter(self.folder / "log")
        start_ns = last_save_ns = monotonic_ns()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(self.folder.name, total=self.config.steps, completed=self.step, note="")
            while self.step < self.config.steps:
                self._one(train_step, writer, progress, task)
                now_ns = monotonic_ns()
                if now_ns - last_save_ns > self.config.save_every_s * 1e9:
                    self.save()
                    last_save_ns = now_ns
                if validate is not None and self.step % self.config.validate_every == 0:
                    self._validate(validate, writer)
                if 0 < self.config.minutes * 60e9 < now_ns - start_ns:
                    self.console.print(f"stopping after {self.config.minutes} minutes at step {self.step}")
                    break
        self.save()
        if validate is not None:
            self._validate(validate, writer)
        writer.close()

    def _one(
        self,
        train_step: Callable[[torch.Generator, int], StepResult],
        writer: SummaryWriter,
        progress: Progress,
        task: Any,
    ) -> None:
        rate = learning_rate(self.step, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.config.bf16):
            loss, numbers = train_step(self.generator, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()
        decay = min(self.config.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            averaged = [self.averaged[key] for key, _ in self._parameters]
            torch._foreach_lerp_(averaged, [parameter for _, parameter in self._parameters], 1.0 - decay)
            for key, buffer in self._buffers.items():
                self.averaged[key].copy_(buffer)
        self.step += 1
        if self.step % 20 == 0:
            for name, number in numbers.items():
                writer.add_scalar(f"train/{name}", number, self.step)
            note = " ".join(f"{name} {number:.3f}" for name, number in list(numbers.items())[:4])
            progress.update(task, completed=self.step, note=note)
            if self.step % 500 == 0:
                self.console.print(f"step {self.step} {note} lr {rate:.1e}")

    def _validate(self, validate: Callable[[], dict[str, float]], writer: SummaryWriter) -> None:
        """Swap the averaged weights in, measure, swap back."""
        own = {key: value.detach().clone() for key, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.averaged)
        self.model.eval()
        with torch.no_grad():
            numbers = validate()
        self.model.load_state_dict(own)
        for name, number in numbers.items():
            writer.add_scalar(f"val/{name}", number, self.step)
        self.console.print(f"step {self.step} val " + " ".join(f"{k} {v:.4f}" for k, v in numbers.items()))

    def save(self) -> None:
        """Write the full checkpoint now."""
        save_full(
            self.folder,
            step=self.step,
            model=self.model,
            averaged=self.averaged,
            optimizer=self.optimizer,
            generator=self.generator,
            config=self.description,
        )
