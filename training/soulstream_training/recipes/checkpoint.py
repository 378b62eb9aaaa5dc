"""Checkpoints without code: safetensors for arrays, JSON for everything else.

A *full* checkpoint resumes bit for bit (weights, averaged weights, optimiser, random states, step). A *weights*
checkpoint is what lasts: averaged weights in half precision, the step and the config.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from soulstream_engine.errors import ConfigError

_SIDE = ".partial"


def _write(folder: Path, name: str, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write a pair of files beside their names first, then rename: a crash leaves the old pair whole."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: value.detach().clone().contiguous() for key, value in tensors.items()}, folder / (name + _SIDE))
    (folder / (name + ".json" + _SIDE)).write_text(json.dumps(meta, indent=1))
    os.replace(folder / (name + _SIDE), folder / f"{name}.safetensors")
    os.replace(folder / (name + ".json" + _SIDE), folder / f"{name}.json")


def save_full(
    folder: Path,
    *,
    step: int,
    model: nn.Module,
    averaged: dict[str, Tensor],
    optimizer: Optimizer,
    generator: torch.Generator,
    config: dict[str, Any],
    extra: dict[str, Any] | None = None,
) -> None:
    """Write ``last.safetensors`` and ``last.json``: everything that a bit-exact continuation needs."""
    tensors = {f"model/{key}": value for key, value in model.state_dict().items()}
    tensors |= {f"averaged/{key}": value for key, value in averaged.items()}
    optimizer_state = optimizer.state_dict()
    for index, entry in optimizer_state["state"].items():
        tensors |= {f"optimizer/{index}/{key}": torch.as_tensor(value) for key, value in entry.items()}
    tensors["random/data"] = generator.get_state()
    tensors["random/global"] = torch.get_rng_state()
    _write(folder, "last", tensors, {"step": step, "config": config, "extra": extra or {}})


def load_full(
    folder: Path, *, model: nn.Module, averaged: dict[str, Tensor], optimizer: Optimizer, generator: torch.Generator
) -> tuple[int, dict[str, Any]]:
    """Restore what ``save_full`` wrote, in place.

    Returns:
        The step to go on from and the ``extra`` dictionary.

    Raises:
        ConfigError: If the checkpoint does not fit the model; missing and unexpected names are listed.
    """
    meta = json.loads((folder / "last.json").read_text())
    tensors = load_file(folder / "last.safetensors")
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        head, _, rest = key.partition("/")
        groups.setdefault(head, {})[rest] = value
    expected, found = model.state_dict(), groups["model"]
    shapes = [
        f"{name} is {list(found[name].shape)}, not {list(value.shape)}"
        for name, value in expected.items()
        if name in found and found[name].shape != value.shape
    ]
    if expected.keys() != found.keys() or shapes:
        raise ConfigError(
            "CHECKPOINT_MISMATCH",
            f"{folder / 'last.safetensors'} does not fit this model: missing {sorted(set(expected) - set(found))[:5]}, "
            f"unexpected {sorted(set(found) - set(expected))[:5]}, other sizes {shapes[:5]}.",
            "Train into another folder with --runs, or delete this one.",
        )
    model.load_state_dict(groups["model"])
    for key, value in groups["averaged"].items():
        averaged[key].copy_(value)
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in groups.get("optimizer", {}).items():
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    generator.set_state(groups["random"]["data"])
    torch.set_rng_state(groups["random"]["global"])
    return int(meta["step"]), meta["extra"]


def save_weights(folder: Path, name: str, model_state: dict[str, Tensor], step: int, config: dict[str, Any]) -> None:
    """Write ``NAME.safetensors`` (float tensors as float16) and ``NAME.json`` (step, config): what lasts."""
    half = {key: value.half() if value.is_floating_point() else value for key, value in model_state.items()}
    _write(folder, name, half, {"step": step, "config": config})


def load_weights(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what ``save_weights`` wrote: float32 state and the JSON.

    Raises:
        ConfigError: If the pair of files is not there.
    """
    path = folder / f"{name}.safetensors"
    if not path.is_file() or not (folder / f"{name}.json").is_file():
        raise ConfigError(
            "WEIGHTS_MISSING", f"No weights at {path}.", "Train first, or name the folder with --weights."
        )
    state = {key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()}
    return state, json.loads((folder / f"{name}.json").read_text())
