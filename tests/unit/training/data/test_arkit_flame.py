"""The matrix between ARKit and FLAME: found where it is known, undone, kept."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.face_model import flame_arrays, known_matrix, known_shapes

from soulstream_engine.errors import BundleError, ConfigError
from soulstream_engine.motion.faces import ARKIT_INDEX
from soulstream_training.data import arkit_flame as module
from soulstream_training.data.arkit_flame import (
    ArkitFlame,
    fit_arkit_flame,
    load_arkit_flame,
    save_arkit_flame,
    shape_errors,
)
from soulstream_training.data.arkit_shapes import ArkitShapes
from soulstream_training.data.flame_model import flame_model

MODEL = flame_model(flame_arrays(), "fake")
MATRIX = known_matrix()
SHAPES = known_shapes(MODEL, MATRIX)


@pytest.fixture(scope="module")
def fitted() -> ArkitFlame:
    return fit_arkit_flame(MODEL, SHAPES)


@pytest.fixture
def weights() -> np.ndarray:
    rng = np.random.default_rng(5)
    values = rng.random((40, 52)) * (rng.random((40, 52)) < 0.4)
    values[:, ARKIT_INDEX["tongueOut"]] = 0.0
    return values


def test_the_known_matrix_is_found(fitted):
    # The ridge pulls values down; measured 2.5e-4 at a largest value of 3.4.
    np.testing.assert_allclose(fitted.weights, MATRIX, atol=1e-3)
    assert np.degrees(fitted.weights[ARKIT_INDEX["jawOpen"], 100]) == pytest.approx(
        np.degrees(MATRIX[ARKIT_INDEX["jawOpen"], 100]), abs=0.01
    )


def test_a_linear_fit_alone_would_not_do(monkeypatch):
    jaw_open = ArkitShapes(("jawOpen",), SHAPES.neutral_m, SHAPES.offset_m[[SHAPES.names.index("jawOpen")]])
    monkeypatch.setattr(module, "MAX_STEPS", 0)
    (linear,) = shape_errors(fit_arkit_flame(MODEL, jaw_open), MODEL, jaw_open)
    monkeypatch.undo()
    (full,) = shape_errors(fit_arkit_flame(MODEL, jaw_open), MODEL, jaw_open)
    assert full.residual_mm < 0.01 < 0.3 < linear.residual_mm


def test_the_slope_is_that_of_the_posed_vertices():
    values = np.random.default_rng(6).normal(0, 0.3, 103)
    step = 1e-6
    for column in (0, 57, 99, 100, 102):
        ahead = values.copy()
        ahead[column] += step
        measured = (MODEL.pose(ahead[None])[0] - MODEL.pose(values[None])[0]).ravel() / step
        slope = module._slope(MODEL, values)[:, column] * np.sqrt(MODEL.num_vertices) / 1000.0
        np.testing.assert_allclose(slope, measured, atol=1e-6)


def test_errors_of_each_shape(fitted):
    errors = shape_errors(fitted, MODEL, SHAPES)
    assert [error.name for error in errors] == list(SHAPES.names)
    for error in errors:
        assert error.residual_mm <= error.worst_mm < 0.02, error
        assert error.round_trip_mm < 1e-6, error
        assert error.size_mm > 1.0, error


def test_errors_by_hand():
    """A matrix that does nothing leaves everything: the residual is the shape itself, and nothing comes back."""
    offset = np.zeros((1, 120, 3))
    offset[0, :, 1] = 0.002
    offset[0, 0, 1] = 0.05
    shapes = ArkitShapes(("jawOpen",), MODEL.template_m, offset)
    (error,) = shape_errors(ArkitFlame(np.zeros((52, 103)), np.eye(103)), MODEL, shapes)
    mean = (119 * 2.0 + 50.0) / 120
    assert (error.size_mm, error.residual_mm, error.round_trip_mm) == pytest.approx((mean, mean, mean))
    assert error.worst_mm == pytest.approx(50.0)


def test_weights_come_back(fitted, weights):
    np.testing.assert_allclose(fitted.to_arkit(fitted.to_flame(weights)), weights, atol=1e-8)


def test_weights_come_back_without_the_jaw(fitted, weights):
    """The paper's 100 values leave out the jaw: what is left of jawOpen must do."""
    np.testing.assert_allclose(fitted.to_arkit(fitted.to_flame(weights)[:, :100]), weights, atol=1e-8)


def test_faces_that_no_weights_make_get_the_nearest_within_bounds(fitted, weights):
    wanted = fitted.to_flame(weights) + np.random.default_rng(7).normal(0, 1.0, (40, 103))
    found = fitted.to_arkit(wanted)
    assert found.min() == 0.0
    assert found.max() <= 1.0
    distance = np.einsum("td,de,te->t", *(missing := wanted - fitted.to_flame(found), fitted.metric, missing))
    clipped = np.clip(wanted @ np.linalg.pinv(fitted.weights), 0.0, 1.0)
    missing = wanted - fitted.to_flame(clipped)
    assert (distance <= np.einsum("td,de,te->t", missing, fitted.metric, missing) + 1e-9).all()
    nudged = np.clip(found + np.random.default_rng(8).normal(0, 0.01, found.shape), 0.0, 1.0)
    missing = wanted - fitted.to_flame(nudged)
    assert (distance <= np.einsum("td,de,te->t", missing, fitted.metric, missing) + 1e-9).all()


def test_a_shape_without_a_template_stays_at_rest(fitted):
    weights = np.zeros((1, 52))
    weights[0, ARKIT_INDEX["tongueOut"]] = 1.0
    assert not fitted.to_flame(weights).any()
    assert not fitted.to_arkit(np.ones((3, 103)))[:, ARKIT_INDEX["tongueOut"]].any()


def test_other_widths_and_other_vertices_are_refused(fitted):
    with pytest.raises(ValueError, match=r"\(2, 52\), expected \[T, 100 or 103\]"):
        fitted.to_arkit(np.zeros((2, 52)))
    with pytest.raises(ConfigError, match=r"The model has 120 vertices, the ARKit shapes 60\."):
        fit_arkit_flame(MODEL, SHAPES.part(slice(0, 60)))


def test_the_matrix_is_kept(fitted, tmp_path):
    save_arkit_flame(tmp_path / "W.npz", fitted)
    loaded = load_arkit_flame(tmp_path / "W.npz")
    np.testing.assert_array_equal(loaded.weights, fitted.weights)
    np.testing.assert_array_equal(loaded.metric, fitted.metric)
    assert [path.name for path in tmp_path.iterdir()] == ["W.npz"]
    with pytest.raises(ConfigError, match="cannot be written"):
        save_arkit_flame(tmp_path / "none" / "W.npz", fitted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"weights": np.zeros((51, 103))},
            r"holds float64\[51, 103\] as 'weights', expected finite float64\[52, 103\]",
        ),
        ({"weights": np.full((52, 103), np.nan)}, "as 'weights', expected finite"),
        ({"metric": np.zeros((103, 103), np.float32)}, r"holds float32\[103, 103\] as 'metric'"),
        ({"metric": np.zeros(0)}, r"holds float64\[0\] as 'metric'"),
    ],
)
def test_other_files_are_refused(tmp_path, change, message):
    np.savez(tmp_path / "W.npz", **({"weights": np.zeros((52, 103)), "metric": np.eye(103)} | change))
    with pytest.raises(ConfigError, match=message):
        load_arkit_flame(tmp_path / "W.npz")


def test_no_file(tmp_path):
    with pytest.raises(BundleError, match="cannot be read"):
        load_arkit_flame(tmp_path / "W.npz")
