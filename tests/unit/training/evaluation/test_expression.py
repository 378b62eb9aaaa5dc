"""Statistics of faces, by hand and on faces by rule."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.clock import FPS
from soulstream_engine.motion.blinks import SLOT_FRAMES, blink_faces
from soulstream_engine.motion.faces import ARKIT_INDEX
from soulstream_training.evaluation.expression import expression_statistics, num_blinks

SMILE = ARKIT_INDEX["mouthSmileLeft"]


def test_a_face_that_only_blinks_is_neutral_and_its_blinks_are_counted() -> None:
    frames = 50 * SLOT_FRAMES
    for seed in range(5):
        found = expression_statistics(blink_faces(seed, np.arange(frames)))
        assert found.blinks_a_minute == pytest.approx(60.0 * FPS / SLOT_FRAMES)  # one in each slot
        assert found.neutral_share == 1.0
        assert set(found.ranges) == {"eyeBlinkLeft", "eyeBlinkRight"}


def test_numbers_by_hand() -> None:
    face = np.zeros((4, 52), np.float32)
    face[:, SMILE] = [0.0, 0.2, 0.6, 0.6]
    face[:, ARKIT_INDEX["eyeLookUpLeft"]] = 0.5  # gaze is no expression, and does not move
    face[3, ARKIT_INDEX["jawOpen"]] = 0.04  # too little to count as used
    found = expression_statistics(face)
    assert found.ranges == {"mouthSmileLeft": pytest.approx(0.6)}
    assert found.num_used == 1
    assert found.mean_range == pytest.approx((0.6 + 0.04) / 52)
    assert found.neutral_share == pytest.approx(1 / 4)
    assert found.mean_change == pytest.approx((0.2 + 0.4 + 0.04) / 3 / 52)
    assert found.blinks_a_minute == 0.0


def test_a_still_face_has_no_numbers() -> None:
    found = expression_statistics(np.zeros((30, 52)))
    assert (found.ranges, found.mean_range, found.mean_change, found.neutral_share) == ({}, 0.0, 0.0, 1.0)


def test_what_counts_as_a_blink() -> None:
    assert num_blinks(np.array([0.0, 0.3, 1.0, 0.4, 0.0, 0.0, 0.7, 0.0])) == 2
    assert num_blinks(np.array([0.0, 0.6, 0.4, 0.6, 0.3, 0.7, 0.0])) == 1  # lids that tremble do not open
    assert num_blinks(np.array([0.0, 0.45, 0.0])) == 0
    assert num_blinks(np.array([1.0, 0.0, 0.0])) == 0  # began before the dance
    assert num_blinks(np.array([0.0, 1.0])) == 1
    asleep = np.zeros(60)
    asleep[10:26] = 1.0
    assert num_blinks(asleep) == 0
    assert num_blinks(np.append(asleep[:25], 0.0)) == 1  # half a second


def test_what_is_no_face_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not \[30, 100\]"):
        expression_statistics(np.zeros((30, 100)))
    with pytest.raises(ValueError, match=r"not \[1, 52\]"):
        expression_statistics(np.zeros((1, 52)))
    with pytest.raises(ValueError, match="1 face weights are not finite"):
        expression_statistics(np.where(np.eye(52) * np.arange(52) == 7, np.nan, 0.0))
