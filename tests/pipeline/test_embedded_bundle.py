"""What the embedded model promises: sound poses, hands and face by rule and marked so, and no data but weights."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.audio.demo_track import render_demo_track
from soulstream_engine.bundle import Bundle, default_bundle_path, load_bundle
from soulstream_engine.clock import SAMPLE_RATE
from soulstream_engine.frames import Provenance
from soulstream_engine.motion.soundness import soundness
from soulstream_engine.runtime.render import Take, render_song

SECONDS = 20


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle()


@pytest.fixture(scope="module")
def take(bundle: Bundle) -> Take:
    return render_song(render_demo_track()[: SECONDS * SAMPLE_RATE], bundle, seed=3)


def test_every_frame_is_sound(take: Take) -> None:
    checks = soundness(take.joints_m, take.root_m, take.joint_wxyz)
    assert checks.is_finite
    assert checks.norm_error < 1e-4
    assert checks.lowest_foot_m > -0.03
    assert checks.fastest_joint_m_s < 15.0
    assert checks.pose_error_m < 0.001


def test_hips_tilt(take: Take) -> None:
    checks = soundness(take.joints_m, take.root_m, take.joint_wxyz)
    assert checks.pelvis_pitch_deg[1] - checks.pelvis_pitch_deg[0] > 3.0
    assert checks.pelvis_roll_deg[1] - checks.pelvis_roll_deg[0] > 3.0


def test_she_dances_soon_and_keeps_dancing(take: Take) -> None:
    after = take.provenance[2 * 30 :]
    assert after.count(Provenance.GENERATED) >= 0.99 * len(after)
    travelled = np.linalg.norm(np.diff(take.joints_m[2 * 30 :], axis=0), axis=-1).mean() * 30
    assert 0.2 < travelled < 3.0  # metres a second, mean over joints: neither frozen nor thrashing


def test_hands_and_face_are_marked_as_not_generated(bundle: Bundle, take: Take) -> None:
    assert set(bundle.manifest.representation.not_generated) == {"hands", "face"}
    assert take.not_generated == ("hands", "face")


def test_bundle_is_small_and_says_where_it_comes_from(bundle: Bundle) -> None:
    size = sum(path.stat().st_size for path in default_bundle_path().iterdir())
    assert size <= 25_000_000
    assert any("mocap.cs.cmu.edu" in notice for notice in bundle.manifest.notices)
    assert any("Groove MIDI" in notice for notice in bundle.manifest.notices)
    assert {path.suffix for path in default_bundle_path().iterdir()} <= {".onnx", ".json", ".md"}
