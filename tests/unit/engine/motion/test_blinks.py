"""Blinks: as often and as long as people blink, closing faster than opening, the same for the same seed."""

import numpy as np
import pytest

from soulstream_engine.motion.blinks import blink_face, blink_faces
from soulstream_engine.motion.faces import ARKIT_NAMES

LEFT, RIGHT = ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")
MINUTE = 30 * 60


def _closed_frames(seed: int, minutes: int = 1, start: int = 0) -> np.ndarray:
    lids = blink_faces(seed, np.arange(start, start + minutes * MINUTE))[:, LEFT]
    return np.flatnonzero(lids > 0.999) + start


@pytest.mark.parametrize("seed", [0, 1, 7, -5, 2**63])
def test_every_minute_has_ten_to_twenty_five_blinks(seed: int) -> None:
    closed = _closed_frames(seed, minutes=30)
    assert np.histogram(closed, bins=30, range=(0, 30 * MINUTE))[0].min() >= 10
    assert np.histogram(closed, bins=30, range=(0, 30 * MINUTE))[0].max() <= 25
    assert np.diff(closed).min() > 9  # never two in one, and not like a metronome:
    assert np.diff(closed).std() > 15


def test_a_blink_takes_a_tenth_to_a_seventh_of_a_second_and_closes_faster() -> None:
    fine = np.arange(0, 10 * MINUTE, 0.05)
    lids = blink_faces(3, fine)[:, LEFT]
    edges = np.flatnonzero(np.diff((lids > 1e-4).astype(int)))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        peak = begin + int(np.argmax(lids[begin : end + 1]))
        assert 0.1 <= (end - begin) * 0.05 / 30 <= 0.155
        assert peak - begin < end - peak
        assert lids[peak] > 0.999


def test_both_lids_move_together_and_nothing_else_moves() -> None:
    faces = blink_faces(5, range(MINUTE))
    assert faces.shape == (MINUTE, 52) and faces.dtype == np.float32
    np.testing.assert_array_equal(faces[:, LEFT], faces[:, RIGHT])
    assert faces.min() == 0 and faces.max() <= 1
    others = np.delete(faces, [LEFT, RIGHT], axis=1)
    assert not others.any()


def test_blinks_depend_on_seed_and_index_alone() -> None:
    closed = int(_closed_frames(11, start=100_000)[0])
    np.testing.assert_array_equal(blink_face(11, closed), blink_faces(11, [closed - 1, closed])[1])
    assert list(_closed_frames(11)) != list(_closed_frames(12))
