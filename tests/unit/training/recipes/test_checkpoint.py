from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from soulstream_engine.errors import ConfigError
from soulstream_training.recipes.checkpoint import load_full, load_weights, save_full, save_weights


def save(folder: Path, model: nn.Module) -> None:
    averaged = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters())
    save_full(
        folder, step=7, model=model, averaged=averaged, optimizer=optimizer, generator=torch.Generator(), config={},
        extra={"note": 1},
    )  # fmt: skip


def load(folder: Path, model: nn.Module) -> tuple[int, dict[str, object]]:
    averaged = {key: torch.zeros_like(value) for key, value in model.state_dict().items()}
    result = load_full(
        folder, model=model, averaged=averaged, optimizer=torch.optim.AdamW(model.parameters()),
        generator=torch.Generator(),
    )  # fmt: skip
    assert all(torch.equal(value, averaged[key]) for key, value in model.state_dict().items())
    return result


def test_full_checkpoint_round_trip(tmp_path: Path) -> None:
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    save(tmp_path, model)
    assert load(tmp_path, other) == (7, {"note": 1})
    assert torch.equal(model.weight, other.weight)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.json", "last.safetensors"]


def test_another_model_is_refused_with_the_names(tmp_path: Path) -> None:
    save(tmp_path, nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)))
    other = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.Linear(2, 2))
    before = other[0].weight.detach().clone()
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, other)
    assert "missing ['2.bias', '2.weight']" in caught.value.message
    assert "--runs" in caught.value.hint
    assert torch.equal(other[0].weight, before)


def test_another_width_is_refused_with_the_names(tmp_path: Path) -> None:
    save(tmp_path, nn.Linear(3, 2))
    with pytest.raises(ConfigError, match=r"weight.*\[2, 3\].*\[2, 5\]"):
        load(tmp_path, nn.Linear(5, 2))


def test_weights_round_trip_in_half_precision(tmp_path: Path) -> None:
    state = {"w": torch.randn(64, 64), "count": torch.tensor(3), "flag": torch.tensor(True)}
    save_weights(tmp_path, "toy", state, 12, {"model": {"width": 64}})
    found, meta = load_weights(tmp_path, "toy")
    assert meta == {"step": 12, "config": {"model": {"width": 64}}}
    assert found["w"].dtype == torch.float32
    assert torch.equal(found["w"], state["w"].half().float())
    assert torch.equal(found["count"], state["count"])
    assert torch.equal(found["flag"], state["flag"])
    size = (tmp_path / "toy.safetensors").stat().st_size
    assert size < 64 * 64 * 2 + 1000


def test_missing_weights_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No weights at"):
        load_weights(tmp_path, "hrvq")
    (tmp_path / "hrvq.json").write_text(json.dumps({}))
    with pytest.raises(ConfigError, match="No weights at"):
        load_weights(tmp_path, "hrvq")
