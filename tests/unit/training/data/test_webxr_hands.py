"""Hands of WebXR: fingers of ours point where theirs do, and the text is data."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.hand_files import hand_places, webxr_text
from scipy.spatial.transform import Rotation

from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.webxr_hands import MAX_CHARACTERS, read_webxr_hand


def some_pose(seed=1):
    vectors = np.random.default_rng(seed).normal((0, 0, -0.5), 0.3, (15, 3))
    return Rotation.from_rotvec(vectors).as_quat(scalar_first=True)


def read(tmp_path, text):
    path = tmp_path / "hand.js"
    path.write_text(text, encoding="ascii")
    return read_webxr_hand(path)


@pytest.mark.parametrize("seed", range(3))
def test_fingers_point_where_theirs_do(tmp_path, seed):
    wanted = hand_places(some_pose(seed))
    found = hand_places(read(tmp_path, webxr_text(wanted)))
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-6, err_msg=name)


def test_a_hand_may_point_anywhere_and_be_of_another_size(tmp_path):
    places = hand_places(some_pose())
    same = read(tmp_path, webxr_text(places))
    larger = read(tmp_path, webxr_text({name: place * 1.3 + 0.2 for name, place in places.items()}))
    np.testing.assert_allclose(larger, same, atol=1e-6)


def test_a_flat_hand_is_our_rest_pose(tmp_path):
    rest = np.tile([1.0, 0, 0, 0], (15, 1))
    np.testing.assert_allclose(read(tmp_path, webxr_text(hand_places(rest))), rest, atol=1e-6)


def test_a_right_hand_is_refused(tmp_path):
    mirrored = {name: place * [-1, 1, 1] for name, place in hand_places(some_pose()).items()}
    with pytest.raises(MotionFileError, match="not a left hand"):
        read(tmp_path, webxr_text(mirrored))


def test_a_missing_joint_is_named(tmp_path):
    places = hand_places(some_pose())
    del places["ring-finger-tip"]
    with pytest.raises(MotionFileError, match="lacks 1 of 25 joints: ring-finger-tip"):
        read(tmp_path, webxr_text(places))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("'thumb-tip'", "'thumb-metacarpal'", "hand.js:6: joint 'thumb-metacarpal' appears twice"),
        ("1.0,]", "nan,]", "'nan' is not a finite number"),
        ("1.0,]", "]", "has 15 values"),
        ("1.0,]", "alert(1),]", "is not a finite number"),
    ],
)
def test_broken_text_is_refused_with_its_place(tmp_path, old, new, message):
    text = webxr_text(hand_places(some_pose()))
    with pytest.raises(MotionFileError) as caught:
        read(tmp_path, text.replace(old, new, 1))
    assert message in str(caught.value)


def test_a_text_that_is_too_long_is_refused(tmp_path):
    with pytest.raises(MotionFileError, match=f"the limit is {MAX_CHARACTERS}"):
        read(tmp_path, " " * (MAX_CHARACTERS + 1))
