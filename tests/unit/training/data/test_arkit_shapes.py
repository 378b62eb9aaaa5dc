"""ARKit shapes as meshes: names, halves, OBJ files, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.face_model import obj_text

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.faces import ARKIT_INDEX
from soulstream_training.data import arkit_shapes as module
from soulstream_training.data.arkit_shapes import arkit_shapes, obj_vertices, read_template_folder

NEUTRAL = np.arange(12.0).reshape(4, 3)


def moved(amount):
    return NEUTRAL + amount


def test_names_are_apples_and_halves_are_added():
    meshes = {"tongueOut": 5, "browInnerUp_L": 1, "browInnerUp_R": 2, "eyeBlink_R": 3, "jawOpen": 4, "PupilDilate_L": 9}
    shapes = arkit_shapes(NEUTRAL, {name: moved(amount) for name, amount in meshes.items()})
    assert shapes.names == ("eyeBlinkRight", "jawOpen", "browInnerUp", "tongueOut")
    np.testing.assert_array_equal(shapes.offset_m[:, 0, 0], [3, 4, 3, 5])
    assert len(shapes.missing) == 48
    assert "eyeBlinkLeft" in shapes.missing


def test_offsets_add_up():
    shapes = arkit_shapes(NEUTRAL, {"jawOpen": moved(1.0), "eyeBlinkLeft": moved(10.0)})
    values = np.zeros((2, 52))
    values[1, [ARKIT_INDEX["jawOpen"], ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["mouthLeft"]]] = 0.5, 0.2, 1.0
    posed = shapes.part(slice(1, 3)).pose(values)
    np.testing.assert_allclose(posed, [NEUTRAL[1:3], NEUTRAL[1:3] + 2.5])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["smile"], "none of the 1 meshes has the name of an ARKit shape"),
        ([], "none of the 0 meshes"),
        (["eyeBlink_L", "eyeBlinkLeft"], "'eyeBlinkLeft' comes twice"),
        (["cheekPuff_L", "cheekPuffLeft"], "'cheekPuffLeft' comes twice"),
        (["cheekPuff_L"], "'cheekPuff' needs either one mesh or a left and a right one"),
        (["cheekPuff", "cheekPuff_L", "cheekPuff_R"], "'cheekPuff' needs either"),
    ],
)
def test_names_that_cannot_be_are_refused(names, message):
    with pytest.raises(ConfigError, match=message):
        arkit_shapes(NEUTRAL, {name: moved(1.0) for name in names})


def test_meshes_share_their_vertices():
    with pytest.raises(ConfigError, match="'jawOpen' has 3 vertices, the neutral face has 4"):
        arkit_shapes(NEUTRAL, {"jawOpen": NEUTRAL[:3]})


def test_only_vertices_are_read_of_an_obj():
    np.testing.assert_allclose(obj_vertices(obj_text(NEUTRAL).encode(), "x.obj"), NEUTRAL)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'x.obj' has no vertices"),
        ("v 1 2\nv 1 2 3 4\n", "'x.obj' has a vertex that is not three coordinates"),
        ("v 1 2 3 0.5 0.5 0.5\n", "not three coordinates"),
        ("v 1 2 three\n", "'x.obj' has a vertex that is not a number"),
        ("v 1 2 inf\n", "'x.obj' has a vertex that is not finite"),
        ("v 1 2 3\n" * 6, "has 6 vertices, 1 to 5 are allowed"),
        ("#" * 101, "is larger than 100 bytes"),
    ],
)
def test_broken_objs_are_refused(monkeypatch, text, message):
    monkeypatch.setattr(module, "MAX_VERTICES", 5)
    monkeypatch.setattr(module, "MAX_MESH_BYTES", 100)
    with pytest.raises(ConfigError, match=message):
        obj_vertices(text.encode(), "x.obj")


def test_a_folder_of_templates(tmp_path):
    (tmp_path / "jawOpen.obj").write_text(obj_text(moved(1.0)))
    (tmp_path / "notes.txt").write_text("not a mesh")
    shapes = read_template_folder(tmp_path, NEUTRAL)
    np.testing.assert_allclose(shapes.offset_m, np.ones((1, 4, 3)))
    (tmp_path / "neutral.obj").write_text(obj_text(moved(0.25)))
    shapes = read_template_folder(tmp_path, NEUTRAL)
    np.testing.assert_allclose(shapes.offset_m, np.full((1, 4, 3), 0.75))
    np.testing.assert_array_equal(shapes.neutral_m, NEUTRAL)


def test_folders_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds 0 OBJ files"):
        read_template_folder(tmp_path / "none", NEUTRAL)
    (tmp_path / "jawOpen.obj").write_text(obj_text(NEUTRAL[:2]))
    with pytest.raises(ConfigError, match="'jawOpen' has 2 vertices"):
        read_template_folder(tmp_path, NEUTRAL)
    (tmp_path / "neutral.obj").write_text(obj_text(NEUTRAL[:2]))
    with pytest.raises(ConfigError, match=r"'neutral\.obj' has 2 vertices, the model has 4"):
        read_template_folder(tmp_path, NEUTRAL)
