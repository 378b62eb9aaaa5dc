"""Face errors worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.face_model import flame_arrays

from soulstream_training.data.flame_model import flame_model
from soulstream_training.evaluation.face import value_errors, vertex_errors


def test_by_hand():
    """Two frames of two vertices: errors of 3 and 4 mm, whose norm is 5, then none and 12 mm."""
    true = np.zeros((2, 2, 3))
    made = true.copy()
    made[0, 0, 0], made[0, 1, 2], made[1, 1, 1] = 0.003, -0.004, 0.012
    errors = vertex_errors(made, true)
    assert errors.fve_mm == pytest.approx((5 + 12) / 2)
    assert errors.vertex_mm == pytest.approx((3 + 4 + 0 + 12) / 4)
    assert (errors.num_frames, errors.num_vertices) == (2, 2)


def test_the_norm_is_taken_frame_by_frame():
    """One norm over the whole batch, divided by the frames, would shrink with their number."""
    made = np.full((100, 4, 3), 0.001)
    assert vertex_errors(made, np.zeros_like(made)).fve_mm == pytest.approx(np.sqrt(12))


def test_all_vertices_off_by_one_distance():
    made = np.zeros((3, 25, 3))
    made[..., 1] = 0.002
    errors = vertex_errors(made, np.zeros_like(made))
    assert errors.vertex_mm == pytest.approx(2.0)
    assert errors.fve_mm == pytest.approx(2.0 * 5)


def test_values_are_compared_on_the_posed_vertices_in_the_expression_slots():
    model = flame_model(flame_arrays(), "fake")
    rng = np.random.default_rng(0)
    made, true = rng.normal(size=(2, 70, 103)) * 0.3  # more than one batch
    whole = vertex_errors(model.pose(made), model.pose(true))
    errors = value_errors(model, made, true)
    assert errors.fve_mm == pytest.approx(whole.fve_mm)
    assert errors.vertex_mm == pytest.approx(whole.vertex_mm)
    assert errors.num_frames == 70
    expression = np.zeros((1, 100))
    expression[0, 3] = 1.0
    expected = np.linalg.norm(model.expression_m[:, :, 3]) * 1000
    assert value_errors(model, expression, np.zeros((1, 103))).fve_mm == pytest.approx(expected)


def test_what_cannot_be_compared_is_refused():
    model = flame_model(flame_arrays(), "fake")
    with pytest.raises(ValueError, match=r"\(2, 5, 3\) cannot be compared with faces of shape \(2, 4, 3\)"):
        vertex_errors(np.zeros((2, 5, 3)), np.zeros((2, 4, 3)))
    with pytest.raises(ValueError, match="0 frames of 5 vertices have no error"):
        vertex_errors(np.zeros((0, 5, 3)), np.zeros((0, 5, 3)))
    with pytest.raises(ValueError, match="2 frames cannot be compared with 3"):
        value_errors(model, np.zeros((2, 103)), np.zeros((3, 103)))
    with pytest.raises(ValueError, match="0 frames"):
        value_errors(model, np.zeros((0, 103)), np.zeros((0, 103)))
