"""The dancer's body is closed, rests on the floor, and bends where she bends."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.motion.skeleton import JOINT_INDEX
from soulstream_engine.preview.body import REST_JOINTS_M, BodyPart, build_body
from soulstream_engine.preview.surface import Cone, melt, surface


@pytest.fixture(scope="module")
def body() -> dict[str, BodyPart]:
    return {part.name: part for part in build_body()}


def volume_m3(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, i]].astype(np.float64) for i in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def test_a_ball_has_the_volume_of_a_ball() -> None:
    mesh = surface(melt([Cone((0.1, 0, 0), (0.1, 0, 0), 0.1, 0.1, 0, 0.01)]), (-0.1, -0.2, -0.2), (0.3, 0.2, 0.2), 0.01)
    assert volume_m3(mesh.vertices_m, mesh.faces) == pytest.approx(4 / 3 * np.pi * 0.1**3, rel=0.02)
    assert np.linalg.norm(mesh.vertices_m - [0.1, 0, 0], axis=1) == pytest.approx(0.1, abs=1e-4)


def test_every_part_is_closed_and_turned_outwards(body: dict[str, BodyPart]) -> None:
    for part in body.values():
        faces = part.mesh.faces.astype(np.int64)
        edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        forward = np.sort(edges[:, 0] * 1_000_000 + edges[:, 1])
        backward = np.sort(edges[:, 1] * 1_000_000 + edges[:, 0])
        assert (forward == backward).all(), f"{part.name} has a hole"
        assert volume_m3(part.mesh.vertices_m, part.mesh.faces) > 0, f"{part.name} is inside out"


def test_sizes_of_a_person(body: dict[str, BodyPart]) -> None:
    everything = np.concatenate([part.mesh.vertices_m for part in body.values()])
    assert -0.02 < everything[:, 1].min() < 0.01
    assert 1.6 < everything[:, 1].max() < 1.85
    assert everything[:, 0].max() == pytest.approx(-everything[:, 0].min(), abs=0.01)
    assert sum(len(part.mesh.faces) for part in body.values()) < 80_000  # browsers without a GPU keep up


def test_weights_sum_to_one_and_at_most_four_bones_move_a_vertex(body: dict[str, BodyPart]) -> None:
    for part in body.values():
        assert part.weights.sum(axis=1) == pytest.approx(1, abs=1e-5)
        assert ((part.weights > 0).sum(axis=1) <= 4).all()


def test_the_middle_of_a_limb_follows_its_own_bone(body: dict[str, BodyPart]) -> None:
    for name, bone, child in (("top", "left_elbow", "left_wrist"), ("trousers", "right_hip", "right_knee")):
        part = body[name]
        middle = (REST_JOINTS_M[JOINT_INDEX[bone]] + REST_JOINTS_M[JOINT_INDEX[child]]) / 2
        nearest = np.argmin(np.linalg.norm(part.mesh.vertices_m - middle, axis=1))
        assert part.weights[nearest, part.bones.tolist().index(JOINT_INDEX[bone])] > 0.9
