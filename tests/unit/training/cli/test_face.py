"""``face fit`` with a model and shapes of one's own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fakes.face_model import flame_arrays, known_matrix, known_shapes, obj_text
from typer.testing import CliRunner

from soulstream_engine.errors import ConfigError
from soulstream_training.cli import face
from soulstream_training.data.arkit_flame import load_arkit_flame
from soulstream_training.data.flame_model import flame_model


@pytest.fixture
def own_model(tmp_path):
    arrays = flame_arrays()
    np.savez(tmp_path / "flame.npz", **arrays)
    model = flame_model(arrays, "fake")
    shapes = known_shapes(model, known_matrix())
    (tmp_path / "shapes").mkdir()
    for name, offset in zip(shapes.names, shapes.offset_m, strict=True):
        (tmp_path / "shapes" / f"{name}.obj").write_text(obj_text(model.template_m + offset))
    return ["--model", str(tmp_path / "flame.npz"), "--templates", str(tmp_path / "shapes")]


def test_every_shape_is_printed_and_the_matrix_kept(own_model, tmp_path):
    result = CliRunner().invoke(face.app, ["fit", *own_model, "--out", str(tmp_path / "W.npz"), "--json"])
    assert result.exit_code == 0, result.output
    numbers = json.loads(result.stdout.splitlines()[-1])
    assert len(numbers["shapes"]) == 51
    assert numbers["missing"] == ["tongueOut"]
    assert numbers["vertices"] == 120
    assert numbers["shapes"]["jawOpen"]["residual_mm"] < 0.01
    assert numbers["shapes"]["jawOpen"]["round_trip_mm"] < 1e-5
    np.testing.assert_allclose(load_arkit_flame(tmp_path / "W.npz").weights, known_matrix(), atol=1e-3)


def test_a_model_needs_its_own_shapes(own_model, tmp_path):
    result = CliRunner().invoke(face.app, ["fit", *own_model[:2]])
    assert result.exit_code == 2
    assert "--model and --templates go together" in result.output
    (tmp_path / "shapes" / "jawOpen.obj").write_text(obj_text(np.zeros((7, 3))))
    result = CliRunner().invoke(face.app, ["fit", *own_model])
    assert isinstance(result.exception, ConfigError)
    assert "has 7 vertices" in result.exception.message


def test_no_data(tmp_path):
    result = CliRunner().invoke(face.app, ["fit", "--data", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert "--data" in result.exception.hint
