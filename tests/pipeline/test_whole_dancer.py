"""A bundle that makes hands and face dances them; one that makes the body alone leaves them to the rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.toy_bundle import beat_track

from soulstream_engine.bundle import load_bundle
from soulstream_engine.frames import PoseFrame, Provenance
from soulstream_engine.motion.blinks import blink_faces
from soulstream_engine.motion.hands import resting_hands
from soulstream_engine.runtime.dance import DanceStream

FINGERS = slice(22, None)


def danced(folder: Path, motion: str, not_generated: tuple[str, ...]) -> list[PoseFrame]:
    from soulstream_export.bundle_writer import write_bundle
    from soulstream_export.random_models import random_facts, random_networks

    networks = random_networks("toy", motion=motion)
    bundle = load_bundle(write_bundle(folder, *networks, random_facts("toy", not_generated)))
    frames = DanceStream(bundle, 0).push(beat_track(4))
    return [frame for frame in frames if frame.provenance is Provenance.GENERATED and frame.index > 30]


@pytest.mark.parametrize(("motion", "by_rule"), [("arkit52", ()), ("none", ("face",)), ("body", ("hands", "face"))])
def test_what_the_model_makes_is_shown_and_the_rest_is_by_rule(
    tmp_path: Path, motion: str, by_rule: tuple[str, ...]
) -> None:
    frames = danced(tmp_path / "bundle", motion, by_rule)
    assert len(frames) > 60
    indices = [frame.index for frame in frames]
    hands = np.stack([frame.joint_wxyz[FINGERS] for frame in frames])
    faces = np.stack([frame.face for frame in frames])
    assert {frame.not_generated for frame in frames} == {by_rule}
    assert np.isfinite(hands).all()
    assert np.abs(np.linalg.norm(hands, axis=-1) - 1).max() < 1e-4
    assert faces.min() >= 0
    assert faces.max() <= 1
    assert np.allclose(np.abs(np.sum(hands * resting_hands(indices), -1)), 1, atol=1e-4) == ("hands" in by_rule)
    assert np.allclose(faces, blink_faces(0, indices), atol=1e-6) == ("face" in by_rule)
