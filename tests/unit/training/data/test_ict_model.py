"""The head model built from meshes: on a small head whose jaw is known, and on ICT-FaceKit itself."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
from fakes.face_model import obj_text
from scipy.spatial.transform import Rotation

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.faces import ARKIT_NAMES
from soulstream_training.data import ict_model
from soulstream_training.data.arkit_flame import fit_arkit_flame, shape_errors
from soulstream_training.data.arkit_shapes import ArkitShapes, arkit_shapes
from soulstream_training.data.ict_model import ARCHIVE, LOWER_TEETH, build_ict_model, read_ict_shapes

SKIN, TEETH = slice(0, 200), slice(200, 240)
JOINT = np.array([0.0, -0.01, 0.02])
OPENING = Rotation.from_rotvec([np.radians(25.0), 0.0, 0.0]).as_matrix()


@pytest.fixture(scope="module")
def small_head() -> tuple[ArkitShapes, np.ndarray]:
    """A head of random points; the jaw takes along what lies low, jawOpen does nothing else, mouthSmile no jaw."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.1, 0.1, (240, 3))
    points[TEETH] = rng.uniform(-0.02, 0.02, (40, 3)) + np.array([0.0, -0.04, 0.08])
    weight = np.clip(-points[:, 1] / 0.1, 0.0, 1.0)
    weight[TEETH] = 1.0
    rigid = (points - JOINT) @ (OPENING - np.eye(3)).T
    smile = rng.normal(0, 0.003, (240, 3))
    smile[TEETH] = 0.0
    meshes = {"jawOpen": points + weight[:, None] * rigid, "mouthSmile_L": points + smile}
    return arkit_shapes(points, meshes), weight[SKIN]


def test_joint_and_weights_of_the_jaw_are_found(small_head):
    shapes, weight = small_head
    model, face = build_ict_model(shapes, SKIN, TEETH)
    np.testing.assert_allclose(model.jaw_joint_m, JOINT, atol=1e-6)
    away = np.linalg.norm((face.neutral_m - JOINT)[:, 1:], axis=1) > 0.02  # near the axis nothing tells
    np.testing.assert_allclose(model.jaw_weight[away], weight[away], atol=0.02)
    assert face.neutral_m.shape == model.template_m.shape == (200, 3)
    values = np.zeros((1, 103))
    values[0, 100] = np.radians(25.0)
    opened = face.neutral_m + face.offset_m[face.names.index("jawOpen")]
    assert np.abs(model.pose(values)[0] - opened).max() < 2e-4


def test_few_shapes_lie_in_the_expressions_wholly(small_head):
    model, face = build_ict_model(small_head[0], SKIN, TEETH)
    used = model.expression_m.any(axis=(0, 1))
    assert used[:6].all()
    assert not used[12:].any()  # two shapes in six regions
    errors = {error.name: error for error in shape_errors(fit_arkit_flame(model, face), model, face)}
    assert errors["mouthSmileLeft"].worst_mm < 0.05
    assert errors["jawOpen"].worst_mm < 0.1


def test_expressions_are_orthogonal_and_the_strongest_come_first(small_head):
    model, _ = build_ict_model(small_head[0], SKIN, TEETH)
    columns = model.expression_m.reshape(-1, 100)
    gram = columns.T @ columns
    np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0.0, atol=1e-9 * gram.max())
    assert (np.diff(np.diag(gram)) <= 1e-12).all()


def test_a_head_without_a_jaw_is_refused(small_head):
    shapes, _ = small_head
    with pytest.raises(ConfigError, match="there is no jawOpen"):
        build_ict_model(arkit_shapes(shapes.neutral_m, {"jawLeft": shapes.neutral_m}), SKIN, TEETH)
    with pytest.raises(ConfigError, match="jawOpen turns no teeth"):
        build_ict_model(arkit_shapes(shapes.neutral_m, {"jawOpen": shapes.neutral_m + 0.01}), SKIN, TEETH)


def archive(tmp_path, files):
    path = tmp_path / ARCHIVE
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:xz", preset=0) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("./mouthLeft.obj")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return path


@pytest.fixture
def few_teeth(monkeypatch):
    monkeypatch.setattr(ict_model, "LOWER_TEETH", slice(1, 2))


def test_meshes_are_read_in_metres_and_links_are_not_followed(tmp_path, few_teeth):
    neutral = np.arange(6.0).reshape(2, 3)
    files = {"./generic_neutral_mesh.obj": neutral, "./jawOpen.obj": neutral + 3.0, "../../eyeBlink_L.obj": neutral}
    archive(tmp_path, {name: obj_text(mesh).encode() for name, mesh in files.items()} | {"./a.json": b"{}"})
    shapes = read_ict_shapes(tmp_path)
    assert shapes.names == ("eyeBlinkLeft", "jawOpen")
    np.testing.assert_allclose(shapes.offset_m[1], np.full((2, 3), 0.03))
    assert not list(tmp_path.rglob("*.obj"))  # nothing is unpacked


def test_archives_that_cannot_be_used_are_refused(tmp_path, few_teeth):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_ict_shapes(tmp_path)
    mesh = obj_text(np.ones((2, 3))).encode()
    path = archive(tmp_path, {"./jawOpen.obj": mesh})
    with pytest.raises(ConfigError, match=r"has no 'generic_neutral_mesh\.obj'"):
        read_ict_shapes(tmp_path)
    archive(tmp_path, {"./generic_neutral_mesh.obj": obj_text(np.ones((1, 3))).encode()})
    with pytest.raises(ConfigError, match="with teeth"):
        read_ict_shapes(tmp_path)
    archive(tmp_path, {f"./{i}.json": b"" for i in range(257)})
    with pytest.raises(ConfigError, match="more than 256 files"):
        read_ict_shapes(tmp_path)
    archive(tmp_path, {"./generic_neutral_mesh.obj": mesh, "./jawOpen.obj": mesh * 200})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="cannot be read"):
        read_ict_shapes(tmp_path)
    path.write_bytes(b"not an archive")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_ict_shapes(tmp_path)


def test_a_large_file_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(ict_model, "MAX_MESH_BYTES", 1000)
    archive(tmp_path, {"./jawOpen.obj": bytes(1001)})
    with pytest.raises(ConfigError, match="one above 1000 bytes"):
        read_ict_shapes(tmp_path)


FITTED = ("eyeBlinkLeft", "eyeBlinkRight", "jawOpen", "mouthClose", "mouthSmileLeft", "browInnerUp", "cheekPuff")


@pytest.mark.data
def test_the_real_meshes(shared_data):
    shapes = read_ict_shapes(shared_data)
    assert shapes.names == ARKIT_NAMES[:-1]
    assert shapes.missing == ("tongueOut",)
    teeth = shapes.part(LOWER_TEETH)
    still = [name for name, offset in zip(shapes.names, teeth.offset_m, strict=True) if np.abs(offset).max() < 1e-3]
    assert len(still) == 47  # only the four jaw shapes move the lower teeth
    model, face = build_ict_model(shapes)
    assert model.num_vertices == 11248
    assert model.expression_m.any(axis=(0, 1)).all()
    assert abs(model.jaw_joint_m[0]) < 1e-6
    assert 0.05 < (model.jaw_weight > 0.5).mean() < 0.15  # measured 0.080

    some = [face.names.index(name) for name in FITTED]
    face = ArkitShapes(FITTED, face.neutral_m, face.offset_m[some])
    matrix = fit_arkit_flame(model, face)
    jaw = np.degrees(matrix.weights[:, 100:])
    assert jaw[ARKIT_NAMES.index("jawOpen"), 0] == pytest.approx(25.3, abs=0.2)
    assert np.abs(jaw[ARKIT_NAMES.index("mouthClose")]).max() < 0.5
    for error in shape_errors(matrix, model, face):
        assert error.residual_mm < 0.1, error  # measured at most 0.068
        assert error.residual_mm < 0.15 * error.size_mm, error  # measured at most 0.133 (browInnerUp)
        assert error.round_trip_mm < 1e-6, error
