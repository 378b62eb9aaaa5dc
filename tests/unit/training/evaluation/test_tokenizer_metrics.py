"""The measures of the tokenizers, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.motion.representation import BODY_JP, CONTACT, FACE_START, HANDS_JP, encode
from soulstream_engine.motion.skeleton import PELVIS_REST_HEIGHT_M
from soulstream_training.evaluation.tokenizer_metrics import Losses, add_losses, joint_positions

FRAMES = 200


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Somebody who stands, whole body, [200, 675]."""
    root = np.tile([0.0, PELVIS_REST_HEIGHT_M, 0.0], (FRAMES + 1, 1))
    joints = np.zeros((FRAMES + 1, 52, 4))
    joints[..., 0] = 1.0
    return encode(root, joints, np.zeros((FRAMES + 1, 52)))


def losses(made: np.ndarray, real: np.ndarray, **more) -> dict[str, float]:
    found = Losses()
    add_losses(found, made.astype(np.float32), real, **more)
    return found.means()


def test_the_truth_loses_nothing(rows: np.ndarray) -> None:
    found = losses(rows, rows)
    assert all(found[name] == 0 for name in ("body", "all", "hands", "face", "velocity", "acceleration", "boundary"))


def test_one_joint_moved_by_22_mm_costs_one_millimetre(rows: np.ndarray) -> None:
    made = rows.copy()
    made[:, BODY_JP.start + 3 * 14] += 0.022  # the head, joint 15
    found = losses(made, rows)
    assert found["body"] == pytest.approx(1.0, abs=1e-3)
    assert found["all"] == pytest.approx(22 / 52, abs=1e-3)
    captured = np.ones(52, np.bool_)
    captured[15] = False
    assert losses(made, rows, captured=captured)["captured"] == pytest.approx(0.0, abs=1e-3)


def test_the_root_that_sinks_is_no_error_of_the_pose(rows: np.ndarray) -> None:
    made = rows.copy()
    made[:, 3] -= 0.1
    made[:, BODY_JP.start + 1 : BODY_JP.stop : 3] -= 0.1
    made[:, HANDS_JP.start + 1 : HANDS_JP.stop : 3] -= 0.1
    assert losses(made, rows)["all"] == pytest.approx(0.0, abs=1e-3)


def test_hands_are_measured_from_their_own_wrist(rows: np.ndarray) -> None:
    made = rows.copy()
    left = slice(HANDS_JP.start, HANDS_JP.start + 45)
    made[:, left] += 0.03
    made[:, BODY_JP.start + 3 * 19 : BODY_JP.start + 3 * 20] += 0.03  # left wrist, joint 20
    assert losses(made, rows)["hands"] == pytest.approx(0.0, abs=1e-3)
    made[:, HANDS_JP.start] += 0.03  # one of 30 finger joints
    assert losses(made, rows)["hands"] == pytest.approx(1.0, abs=1e-3)


def test_turning_too_far_adds_up_within_a_window_only(rows: np.ndarray) -> None:
    made = rows.copy()
    made[:, 0] += 0.001
    ours, theirs = joint_positions(made.astype(np.float32)), joint_positions(rows)
    off = np.linalg.norm(ours - theirs, axis=-1)[:, 16]
    assert off[0] == off[150] == 0
    reach = np.linalg.norm(theirs[0, 16, [0, 2]])
    assert off[149] == pytest.approx(2 * reach * np.sin(0.149), rel=1e-3), "half of the heading of 0.298 rad"


def test_a_jump_at_every_token_shows_at_the_seams_alone(rows: np.ndarray) -> None:
    made = rows.copy()
    made[:, BODY_JP.start] += 0.022 * (np.arange(FRAMES) // 4 % 2)
    found = losses(made, rows)
    assert found["inside"] == pytest.approx(0.0, abs=1e-3)
    assert found["boundary"] == pytest.approx(1.0, abs=1e-2)


def test_speed_acceleration_and_jerk_of_a_shake(rows: np.ndarray) -> None:
    made = rows.copy()
    made[:, BODY_JP.start] += 0.011 * (-1.0) ** np.arange(FRAMES)
    found = losses(made, rows)
    assert found["velocity"] == pytest.approx(1.0, abs=1e-2)
    assert found["acceleration"] == pytest.approx(2.0, abs=1e-2)
    assert found["jerk"] == pytest.approx(4.0, abs=1e-2)
    assert found["true_jerk"] == pytest.approx(0.0, abs=1e-3)


def test_feet_that_are_planted_and_slide(rows: np.ndarray) -> None:
    made = rows.copy()
    made[:, 1] += 0.01  # the root goes a centimetre a frame, and the body with it
    assert (rows[:, CONTACT] == 1).all()
    found = losses(made, rows)
    assert found["true_slide"] == pytest.approx(0.0, abs=1e-4)
    assert found["slide"] == pytest.approx(0.3, abs=1e-3)


def test_faces_by_weight_and_by_vertex(rows: np.ndarray) -> None:
    made = rows.copy()
    made[:, FACE_START + 3] += 0.52
    found = losses(made, rows, offsets=lambda error: error[:, 3, None, None] * np.ones((1, 4, 3)) / np.sqrt(3) / 100)
    assert found["face"] == pytest.approx(0.01, abs=1e-6)
    assert found["vertex"] == pytest.approx(5.2, abs=1e-3), "a centimetre at weight 1"
    assert found["fve"] == pytest.approx(10.4, abs=1e-3), "root of four vertices"


def test_other_shapes_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        losses(rows[:-1], rows)
