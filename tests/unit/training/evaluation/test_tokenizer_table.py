"""The table of tokenizers, on untrained ones: every key is there, and empty sets are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fakes.motion_store import write_motion

from soulstream_engine.errors import ConfigError
from soulstream_training.evaluation.tokenizer_table import load_test_set, tokenizer_row
from soulstream_training.models.hrvq import Hrvq
from soulstream_training.models.hrvq_config import preset

KEYS = {
    *("all", "body", "hands", "face_weight", "body_style_mean", "body_worst_style", "styles", "jerk_ratio"),
    *("boundary_ratio", "slide_ratio", "velocity", "acceleration", "usage0", "usage_min", "perplexity", "usage"),
    *("perplexities", "bits_per_s", "ms_per_token", "levels"),
}


def model(kind: str) -> Hrvq:
    torch.manual_seed(0)
    return Hrvq(preset(kind, size="toy")).eval()


def test_a_row_has_every_key_and_every_level(tmp_path: Path) -> None:
    write_motion(tmp_path / "store")
    tests = load_test_set(tmp_path / "store")
    row = tokenizer_row(model("hrvq"), tests)
    assert row.keys() == KEYS
    assert list(row["levels"]) == ["1", "2", "3"]
    assert list(row["usage"]) == ["body", "hands", "face"]
    assert row["bits_per_s"] == 270.0, "3 parts, 3 levels, 4 bits, 7.5 tokens a second"
    assert row["ms_per_token"] > 0
    assert row["usage0"] == row["usage"]["body"][0]
    assert row["body_style_mean"] == row["body"], "one style"
    assert list(tokenizer_row(model("vq512"), tests)["levels"]) == ["1"]


def test_an_empty_split_is_refused_by_name(tmp_path: Path) -> None:
    write_motion(tmp_path / "store")
    with pytest.raises(ConfigError, match="split 'aux'"):
        load_test_set(tmp_path / "store", "aux")
