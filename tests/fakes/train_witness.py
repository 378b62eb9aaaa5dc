"""A tokenizer's training that is looked at from inside: every process writes down its losses and its codebooks.

``accelerate launch ... train_witness.py STORE OUT`` trains once in one go, and once stopped and resumed; one process
may call ``trained`` itself.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from soulstream_training.models.hrvq import Hrvq
from soulstream_training.models.processes import num_processes
from soulstream_training.recipes import hrvq as hrvq_module
from soulstream_training.recipes.hrvq import HrvqRecipe, train_hrvq

STEPS = 12
STOP_AT = 7


class StoppedError(Exception):
    """Stands for a lost machine."""


def recipe() -> HrvqRecipe:
    """A toy by the paper's rules, which draw codes and redraw unused ones at random; half the batches skip levels."""
    rules = {"reset_rule": "redraw", "reset_below": 1.0, "temperature": 0.5, "quantiser_dropout": 0.5}
    shape = {"width": 32, "code_dim": 16, "num_codes": 16, "levels": 3, "dilations": (3, 1)}
    settings = {"steps": STEPS, "batch": 8, "frames": 32, "rate": 1e-2, "bf16": False, "save_every_s": 0.0}
    return HrvqRecipe.model_validate(settings | {"validate_every": 4, "bent_motion": False, "model": rules | shape})


def trained(store: Path, out: Path, stop_at: int | None = None) -> tuple[list[float], Tensor]:
    """Train in ``out``, or go on there: the loss of every step on this process's share, and the codebooks at the end.

    Raises:
        StoppedError: In the middle of step ``stop_at``.
    """
    losses: list[float] = []
    models: list[Hrvq] = []
    original = hrvq_module.tokenizer_loss

    def watched(model: Hrvq, *rest: object) -> tuple[Tensor, dict[str, float]]:
        if len(losses) == stop_at:
            raise StoppedError
        loss, numbers = original(model, *rest)  # type: ignore[arg-type]
        losses.append(numbers["loss"])
        models.append(model)
        return loss, numbers

    hrvq_module.tokenizer_loss = watched
    try:
        model = train_hrvq(recipe(), store, store.parent, out)
    finally:
        hrvq_module.tokenizer_loss = original
    return losses, model.quantizer.tables


def main() -> None:
    """What every process does."""
    store, out = Path(sys.argv[1]), Path(sys.argv[2])
    losses, tables = trained(store, out / "whole")
    with suppress(StoppedError):
        trained(store, out / "parts", STOP_AT)
    torch.rand(7)
    rest, _ = trained(store, out / "parts")
    rank = torch.distributed.get_rank()
    seen = {"processes": num_processes(), "losses": losses, "rest": rest}
    (out / f"rank{rank}.json").write_text(json.dumps(seen))
    save_file({"tables": tables}, out / f"rank{rank}.safetensors")


if __name__ == "__main__":
    main()
