"""The head model: poses worked out by hand, and the file of its user."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.face_model import flame_arrays

from soulstream_engine.errors import BundleError, ConfigError
from soulstream_training.data.flame_model import FlameModel, flame_model, read_flame_model


def two_points(**changes):
    """A point that follows the jaw wholly and one that follows half; the centre of rotation is at y = 1."""
    parts = {
        "template_m": np.array([[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]),
        "expression_m": np.zeros((2, 3, 100)),
        "jaw_joint_m": np.array([0.0, 1.0, 0.0]),
        "jaw_weight": np.array([1.0, 0.5]),
        "jaw_joint_shift_m": np.zeros((3, 100)),
        "jaw_correction_m": np.zeros((2, 3, 9)),
    }
    return FlameModel(**(parts | changes))


def values(expression=0.0, jaw=(0.0, 0.0, 0.0)):
    row = np.zeros((1, 103))
    row[0, 0] = expression
    row[0, 100:] = jaw
    return row


QUARTER = (np.pi / 2, 0.0, 0.0)  # about x: z goes to -y


def test_at_rest_it_is_the_template():
    model = two_points()
    np.testing.assert_array_equal(model.pose(values())[0], model.template_m)
    np.testing.assert_array_equal(model.pose(values()[:, :100])[0], model.template_m)


def test_the_jaw_turns_about_its_joint_and_blends():
    posed = two_points().pose(values(jaw=QUARTER))[0]
    np.testing.assert_allclose(posed, [[0, 0, 0], [0, 0.5, 0.5]], atol=1e-12)


def test_expressions_are_added_before_the_jaw_turns():
    expression = np.zeros((2, 3, 100))
    expression[:, 2, 0] = 0.5
    posed = two_points(expression_m=expression).pose(values(2.0, QUARTER))[0]
    np.testing.assert_allclose(posed[0], [0, -1, 0], atol=1e-12)


def test_expressions_move_the_joint():
    shift = np.zeros((3, 100))
    shift[2, 0] = 1.0  # the joint arrives at the point: it stays where it is
    posed = two_points(jaw_joint_shift_m=shift).pose(values(1.0, QUARTER))[0]
    np.testing.assert_allclose(posed, [[0, 1, 1], [0, 1, 1]], atol=1e-12)


def test_corrections_follow_the_rotation_matrix_row_by_row():
    correction = np.zeros((2, 3, 9))
    correction[1, 0, 5] = 0.2  # entry (1, 2) of the matrix: -1 after a quarter turn
    posed = two_points(jaw_correction_m=correction).pose(values(jaw=QUARTER))[0]
    np.testing.assert_allclose(posed, [[0, 0, 0], [-0.2, 0.5, 0.5]], atol=1e-12)


def test_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 52\), expected \[T, 100 or 103\]"):
        two_points().pose(np.zeros((1, 52)))


def test_the_parts_of_flame_that_count(tmp_path):
    arrays = flame_arrays()
    np.savez(tmp_path / "flame.npz", kintree_table=np.zeros((2, 5), np.int64), **arrays)
    model = read_flame_model(tmp_path / "flame.npz")
    np.testing.assert_array_equal(model.expression_m, arrays["shapedirs"][:, :, 300:])
    np.testing.assert_array_equal(model.jaw_weight, arrays["weights"][:, 2])
    np.testing.assert_array_equal(model.jaw_correction_m, arrays["posedirs"][:, :, 9:18])
    np.testing.assert_allclose(model.jaw_joint_m, arrays["v_template"][:4].mean(0))
    np.testing.assert_allclose(model.jaw_joint_shift_m, model.expression_m[:4].mean(0))
    assert model.num_vertices == 120


def test_it_poses_as_blend_skinning_with_five_joints_does():
    """Against the sum over joints as it is written in the paper, every joint but the jaw at rest."""
    arrays = flame_arrays(3)
    model = flame_model(arrays, "x")
    row = np.random.default_rng(4).normal(0, 0.5, (1, 103))
    angle = np.linalg.norm(row[0, 100:])
    x, y, z = row[0, 100:] / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    shaped = arrays["v_template"] + arrays["shapedirs"][:, :, 300:] @ row[0, :100]
    joints = arrays["J_regressor"] @ shaped
    rotations = [np.eye(3)] * 2 + [turn] + [np.eye(3)] * 2
    pose_feature = np.concatenate([(rotation - np.eye(3)).ravel() for rotation in rotations[1:]])
    shaped = shaped + arrays["posedirs"] @ pose_feature
    expected = np.zeros_like(shaped)
    for joint, rotation, weight in zip(joints, rotations, arrays["weights"].T, strict=True):
        expected += weight[:, None] * ((shaped - joint) @ rotation.T + joint)
    np.testing.assert_allclose(model.pose(row)[0], expected, atol=1e-12)


def test_expressions_alone_and_no_corrections_will_do():
    arrays = flame_arrays()
    arrays["shapedirs"] = arrays["shapedirs"][:, :, 300:].astype(np.float32)
    del arrays["posedirs"]
    model = flame_model(arrays, "x")
    assert not model.jaw_correction_m.any()
    assert model.expression_m.dtype == np.float64


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("v_template", lambda a: a[:, :2], r"holds float64\[120, 2\] as 'v_template', expected float\[120, 3\]"),
        ("v_template", lambda a: a[:0], r"float64\[0, 3\] as 'v_template'"),
        ("shapedirs", lambda a: a[:, :, :350], r"expected float\[120, 3, 400\] or \[120, 3, 100\]"),
        ("weights", lambda a: a[:, :4], r"'weights', expected float\[120, 5\]"),
        ("weights", lambda a: a * 2, "jaw weights of 0"),
        ("J_regressor", lambda a: a[:, 1:], r"'J_regressor', expected float\[5, 120\]"),
        ("posedirs", lambda a: a[:, :, :27], r"'posedirs', expected float\[120, 3, 36\]"),
        ("posedirs", lambda a: a * np.nan, "holds values in 'posedirs' that are not finite"),
        ("J_regressor", lambda a: a.astype(np.int64), r"holds int64\[5, 120\]"),
    ],
)
def test_arrays_that_do_not_fit_are_named(name, change, message):
    arrays = flame_arrays()
    arrays[name] = change(arrays[name])
    with pytest.raises(ConfigError, match=message):
        flame_model(arrays, "flame.npz")


@pytest.mark.parametrize("name", ["v_template", "shapedirs", "weights", "J_regressor"])
def test_missing_arrays_are_named(name):
    arrays = flame_arrays()
    del arrays[name]
    with pytest.raises(ConfigError, match="'flame.npz' holds nothing as 'v_template'|holds nothing as '" + name):
        flame_model(arrays, "flame.npz")


def test_objects_are_never_loaded(tmp_path):
    np.savez(tmp_path / "flame.npz", v_template=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BundleError, match="has type object"):
        read_flame_model(tmp_path / "flame.npz")
