"""The face spaces have the sizes and names receivers expect."""

import numpy as np
import pytest

from soulstream_engine.motion import faces


def test_sizes():
    assert faces.face_dim("flame100") == 100
    assert faces.face_dim("arkit52") == len(faces.ARKIT_NAMES) == len(set(faces.ARKIT_NAMES)) == 52
    with pytest.raises(ValueError, match="'vrm' is not one of flame100, arkit52"):
        faces.face_dim("vrm")


def test_apple_order_at_known_places():
    places = {0: "eyeBlinkLeft", 7: "eyeBlinkRight", 17: "jawOpen", 43: "browInnerUp", 51: "tongueOut"}
    assert {index: faces.ARKIT_NAMES[index] for index in places} == places


def test_mirror_exchanges_sides_only():
    face = np.arange(52, dtype=np.float32)
    mirrored = faces.mirror_arkit(face)
    assert mirrored[faces.ARKIT_INDEX["mouthSmileLeft"]] == face[faces.ARKIT_INDEX["mouthSmileRight"]]
    assert mirrored[faces.ARKIT_INDEX["jawOpen"]] == face[faces.ARKIT_INDEX["jawOpen"]]
    np.testing.assert_array_equal(faces.mirror_arkit(mirrored), face)
