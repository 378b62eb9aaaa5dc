"""Examples without music: at their level, seeded, without a beat the clock would trust, with a dancer who waits."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest

from soulstream_engine.errors import ConfigError
from soulstream_engine.features.layout import COLUMNS, NUM_FEATURES
from soulstream_engine.motion.skeleton import CONTACT_JOINTS, SOLE_BELOW_FOOT_M, forward_kinematics
from soulstream_training.data.negatives import NEGATIVE_KINDS, find_speaker, make_negative, negative_example

RATE = 48_000
SPEECH = pytest.param("speech", marks=pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng"))
KINDS = [SPEECH if kind == "speech" else kind for kind in NEGATIVE_KINDS]


def _level_db(value: float) -> float:
    return 20.0 * math.log10(max(value, 1e-10))


@pytest.mark.parametrize("kind", KINDS)
def test_sound_is_finite_as_long_as_asked_and_at_its_level(kind: str) -> None:
    levels = []
    for seed in range(10):
        samples = make_negative(kind, 3.0, np.random.default_rng(seed))
        assert samples.dtype == np.float32
        assert samples.shape == (3 * RATE,)
        assert np.isfinite(samples).all()
        levels.append(_level_db(float(np.std(samples) if kind == "silence" else np.abs(samples).max())))
    if kind == "silence":
        assert -200.0 in levels  # digital silence
        hiss = [level for level in levels if level > -200.0]
        assert len(hiss) >= 3
        assert all(-70.1 < level < -54.9 for level in hiss)
    else:
        assert all(-20.1 < level < -0.9 for level in levels)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_one_sound_and_another_seed_another(kind: str) -> None:
    generators = [np.random.default_rng(seed) for seed in (3, 3, 4)]
    first, again, other = (make_negative(kind, 4.0, generator) for generator in generators)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", KINDS)
def test_the_beat_clock_does_not_trust_what_it_hears(kind: str) -> None:
    """Measured over 32 s each: silence 0; noise mean 0.02, 99th percentile 0.45; speech 0.02 and 0.22."""
    for seed in range(3):
        features, _, _ = negative_example(kind, 240, np.random.default_rng(seed))
        assert features.shape == (240, NUM_FEATURES)
        assert features.dtype == np.float32
        assert np.isfinite(features).all()
        assert (features[:, COLUMNS["heard"]] == 1.0).all()
        confidence = features[:, COLUMNS["confidence"]]
        assert confidence.mean() < 0.2
        if kind == "silence":
            assert confidence.max() == 0.0


def test_the_dancer_waits_with_the_feet_on_the_floor() -> None:
    _, root_m, joint_wxyz = negative_example("silence", 300, np.random.default_rng(0))
    assert (root_m.shape, joint_wxyz.shape) == ((300, 3), (300, 22, 4))
    assert (root_m.dtype, joint_wxyz.dtype) == (np.float32, np.float32)
    assert np.isfinite(root_m).all() and np.isfinite(joint_wxyz).all()
    assert np.linalg.norm(joint_wxyz, axis=-1) == pytest.approx(1.0, abs=1e-5)
    joints_m = forward_kinematics(root_m.astype(np.float64), joint_wxyz.astype(np.float64))
    feet_m = joints_m[:, list(CONTACT_JOINTS)]
    assert feet_m[:, [1, 3], 1] == pytest.approx(SOLE_BELOW_FOOT_M, abs=1e-4)
    assert np.ptp(feet_m, axis=0).max() < 1e-4
    speed = np.linalg.norm(np.diff(joints_m, axis=0), axis=-1) * 30.0
    assert 0.0 < speed.mean() < 0.3
    _, other_m, _ = negative_example("silence", 300, np.random.default_rng(1))
    assert np.abs(root_m - other_m).max() > 0.002


def test_unknown_kinds_and_no_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'music' of 2\.0 s: needs one of silence, noise, speech"):
        make_negative("music", 2.0, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"of 0\.0 s"):
        make_negative("noise", 0.0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="0 frames"):
        negative_example("noise", 0, np.random.default_rng(0))


def test_missing_speech_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="apt-get install espeak-ng"):
        find_speaker()
    with pytest.raises(ConfigError, match="apt-get install espeak-ng"):
        make_negative("speech", 1.0, np.random.default_rng(0))
