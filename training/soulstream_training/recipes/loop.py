"""The training loop that every recipe shares: schedule, averaged weights, progress, logs, checkpoints, exact resume.

It runs on one process or on as many as ``accelerate launch`` starts. All of them seed alike and draw the same batch; a
recipe that can takes each process's share of it (``models.processes.own_share``), DDP averages the gradients, and so
the weights are the same everywhere. The first process alone measures, logs and writes; the others wait for it.

Not for: anything a single model needs (that is its recipe), or GPUs (the recipes run on CPUs).
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs  # type: ignore[import-untyped]
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from soulstream_engine.clock import monotonic_ns
from soulstream_engine.errors import ConfigError

from .checkpoint import load_full, save_full, save_weights

StepResult = tuple[Tensor, dict[str, float]]
TrainStep = Callable[[torch.Generator, int], StepResult]
BEST_NAME = "best"
"""Name of the averaged weights that measured best, in the folder of the run."""
LOG_EVERY = 20
"""Steps between two entries of the log."""


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


class _Step(nn.Module):
    """A recipe's step as one module: DDP sees the loss, whichever parts of the model the step has called."""

    def __init__(self, model: nn.Module, train_step: TrainStep) -> None:
        super().__init__()
        self.model = model
        self.train_step = train_step

    def forward(self, generator: torch.Generator, number: int) -> StepResult:
        return self.train_step(generator, number)


@dataclass
class Loop:
    """Runs a recipe's step until the end, resuming from ``folder`` when a checkpoint lies there.

    ``last.*`` there resumes bit for bit; ``best.*`` are the averaged weights that measured best.

    Args:
        model: What is trained.
        folder: Where checkpoints and logs go.
        config: See ``LoopConfig``.
        seed: Seed of the data generator and of torch.
        description: Plain dictionary stored with each checkpoint.

    Raises:
        ConfigError: If the processes do not find the same checkpoint.
    """

    model: nn.Module
    folder: Path
    config: LoopConfig
    seed: int
    description: dict[str, Any]
    console: Console = field(default_factory=lambda: Console(stderr=True))

    def __post_init__(self) -> None:
        self.accelerator = Accelerator(
            cpu=True,
            mixed_precision="no",  # the steps choose their own precision
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)],
        )
        self.console.quiet = not self.is_main
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
        self.best: float | None = None
        if (self.folder / "last.json").is_file():
            self.step, extra = load_full(
                self.folder,
                model=self.model,
                averaged=self.averaged,
                optimizer=self.optimizer,
                generator=self.generator,
            )
            self._check_data()
            self.best = extra.get(BEST_NAME)
            self.console.print(f"resuming {self.folder.name} at step {self.step}")
        self._agree()

    def _check_data(self) -> None:
        """Refuses to go on with a run of other data: its weights would say that they never saw the first."""
        before = json.loads((self.folder / "last.json").read_text())["config"].get("trained_on")
        now = self.description.get("trained_on")
        if before is not None and before != now:
            raise ConfigError(
                "RUN_OF_OTHER_DATA",
                f"The run in '{self.folder}' learned from other clips than those of this store.",
                "Name another folder with --runs, or the store it began with.",
            )

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files."""
        return self.accelerator.is_main_process

    def _agree(self) -> None:
        """All processes go on from one step, in the precision that pays on the first."""
        if self.accelerator.num_processes == 1:
            return
        own = torch.tensor([[self.step, int(self.config.bf16)]])
        steps, bf16 = self.accelerator.gather(own).T.tolist()
        self.config = replace(self.config, bf16=bool(bf16[0]))
        if len(set(steps)) > 1:
            raise ConfigError(
                "RUNS_NOT_SHARED",
                f"The processes found '{self.folder}' at steps {', '.join(map(str, steps))}.",
                "Put --runs where every machine sees the same files.",
            )
        self.console.print(f"training on {len(steps)} processes")

    def run(
        self,
        train_step: TrainStep,
        validate: Callable[[], dict[str, float]] | None = None,
        best_by: str | None = None,
    ) -> None:
        """Train to ``config.steps``.

        Args:
            train_step: Given the data generator and the step, returns the loss and numbers to log.
            validate: Returns numbers to log; called with the averaged weights in place, in evaluation mode, on the
                first process.
            best_by: Which of these numbers, the lower the better, says that weights are worth keeping as ``best.*``.
        """
        with warnings.catch_warnings():  # accelerate spells an option of DDP in a way that is going out of use
            warnings.filterwarnings("ignore", message=".*broadcast_buffers", category=FutureWarning)
            # without device_placement, which would put copies in the places of the buffers that are averaged
            wrapped = self.accelerator.prepare_model(_Step(self.model, train_step), device_placement=False)
        writer = SummaryWriter(self.folder / "log") if self.is_main else None
        start_ns = last_save_ns = monotonic_ns()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console, disable=not self.is_main) as progress:
            task = progress.add_task(self.folder.name, total=self.config.steps, completed=self.step, note="")
            while self.step < self.config.steps:
                self._one(wrapped, writer, progress, task)
                now_ns = monotonic_ns()
                if now_ns - last_save_ns > self.config.save_every_s * 1e9:
                    self.save()
                    last_save_ns = now_ns
                if validate is not None and self.step % self.config.validate_every == 0:
                    self._validate(validate, best_by, writer)
                if self.config.minutes > 0 and self._any(now_ns - start_ns > self.config.minutes * 60e9):
                    self.console.print(f"stopping after {self.config.minutes} minutes at step {self.step}")
                    break
        self.save()
        if validate is not None:
            self._validate(validate, best_by, writer)
        if writer is not None:
            writer.close()
        self.accelerator.wait_for_everyone()

    def _any(self, own: bool) -> bool:
        """Whether any process says so; clocks differ."""
        if own:
            self.accelerator.set_trigger()
        return self.accelerator.check_trigger()

    def _one(self, wrapped: nn.Module, writer: SummaryWriter | None, progress: Progress, task: Any) -> None:
        rate = learning_rate(self.step, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.config.bf16):
            loss, numbers = wrapped(self.generator, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()
        decay = min(self.config.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            averaged = [self.averaged[key] for key, _ in self._parameters]
            torch._foreach_lerp_(averaged, [parameter for _, parameter in self._parameters], 1.0 - decay)
            for key, buffer in self._buffers.items():
                self.averaged[key].copy_(buffer)
        self.step += 1
        if self.step % LOG_EVERY == 0:
            mean = self.accelerator.reduce(torch.tensor(list(numbers.values()), dtype=torch.float64), "mean")
            numbers = dict(zip(numbers, mean.tolist(), strict=True))
            _log(writer, "train", numbers, self.step)
            note = " ".join(f"{name} {number:.3f}" for name, number in list(numbers.items())[:4])
            progress.update(task, completed=self.step, note=note)
            if self.step % 500 == 0:
                self.console.print(f"step {self.step} {note} lr {rate:.1e}")

    def _validate(
        self, validate: Callable[[], dict[str, float]], best_by: str | None, writer: SummaryWriter | None
    ) -> None:
        """Swap the averaged weights in, measure, swap back; keep them if they are the best so far."""
        if not self.is_main:
            return
        own = {key: value.detach().clone() for key, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.averaged)
        self.model.eval()
        with torch.no_grad():
            numbers = validate()
        self.model.load_state_dict(own)
        _log(writer, "val", numbers, self.step)
        self.console.print(f"step {self.step} val " + " ".join(f"{k} {v:.4f}" for k, v in numbers.items()))
        if best_by is not None and numbers[best_by] < (math.inf if self.best is None else self.best):
            self.best = numbers[best_by]
            save_weights(self.folder, BEST_NAME, self.averaged, self.step, self.description | {"measured": numbers})
            self.save()  # so that a continuation knows what it has to beat

    def save(self) -> None:
        """Write the full checkpoint now (the first process does)."""
        if not self.is_main:
            return
        save_full(
            self.folder,
            step=self.step,
            model=self.model,
            averaged=self.averaged,
            optimizer=self.optimizer,
            generator=self.generator,
            config=self.description,
            extra={BEST_NAME: self.best},
        )


def _log(writer: SummaryWriter | None, group: str, numbers: dict[str, float], step: int) -> None:
    """Write numbers for TensorBoard, where there is a log."""
    if writer is not None:
        for name, number in numbers.items():
            writer.add_scalar(f"{group}/{name}", number, step)
