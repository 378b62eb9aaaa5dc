"""Synthetic faces: lids, gaze, smile and accents within what real recordings show, and flagged as what they are."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.motion.faces import ARKIT_INDEX, ARKIT_NAMES
from soulstream_training.data.synthetic_face import (
    ATTACK_S,
    BLINK_S,
    LARGEST,
    STRONG,
    make_face,
)
from soulstream_training.data.synthetic_report import effective_dimension, report_face

FPS = 30.0
SPEECH = [
    *(name for name in ARKIT_NAMES if name.startswith(("jaw", "tongue", "mouthRoll", "mouthShrug", "mouthLower"))),
    *("mouthClose", "mouthFunnel", "mouthPucker", "mouthUpperUpLeft", "mouthUpperUpRight"),
]


def beats_of(seconds, bpm=120.0):
    beats = np.arange(0.3, seconds, 60.0 / bpm)
    return beats, np.where(np.arange(len(beats)) % 4 == 0, 1.0, np.where(np.arange(len(beats)) % 2 == 0, 0.7, 0.3))


def made(seconds=120.0, fps=FPS, seed=1, energy=0.6, strength=None):
    num_frames = round(seconds * fps)
    beats, strong = beats_of(seconds)
    strong = strong if strength is None else np.full(len(beats), strength)
    level = np.broadcast_to(np.asarray(energy, dtype=np.float64), num_frames)
    return make_face(num_frames, fps, beats, strong, level, np.random.default_rng(seed))[0]


def column(face, name):
    return face[:, ARKIT_INDEX[name]]


def blinks(face, fps):
    """Frames at which the lids are shut, and how long before and after they are half closed, seconds."""
    lid = column(face, "eyeBlinkLeft").astype(np.float64)
    closed = np.flatnonzero(np.diff((lid > 0.4).astype(int)) == 1) + 1
    found = []
    for first in closed.tolist():
        stop = first + int(np.argmax(lid[first:] <= 0.4)) if (lid[first:] <= 0.4).any() else len(lid)
        top = first + int(np.argmax(lid[first:stop]))
        half = lid[top] / 2
        before, after = top, top
        while before > 0 and lid[before] > half:
            before -= 1
        while after < len(lid) - 1 and lid[after] > half:
            after += 1
        found.append((top, (top - before) / fps, (after - top) / fps))
    return found


def test_every_frame_is_flagged_synthetic():
    beats, strength = beats_of(2.0)
    face, is_synthetic = make_face(60, FPS, beats, strength, np.zeros(60), np.random.default_rng(0))
    assert face.shape == (60, 52) and face.dtype == np.float32
    assert is_synthetic.shape == (60,) and is_synthetic.dtype == np.bool_ and is_synthetic.all()


def test_the_same_seed_gives_the_same_face_and_another_one_another():
    np.testing.assert_array_equal(made(seed=3), made(seed=3))
    assert np.abs(made(seed=3) - made(seed=4)).max() > 0.1


@pytest.mark.parametrize("seed", range(8))
def test_every_minute_has_ten_to_twenty_five_blinks(seed):
    shut = np.array([frame for frame, _, _ in blinks(made(300.0, seed=seed), FPS)]) / FPS
    counts = [np.count_nonzero((shut >= start) & (shut < start + 60)) for start in range(0, 241, 30)]
    assert min(counts) >= 10 and max(counts) <= 25


def test_blinks_are_short_and_close_faster_than_they_open():
    fps = 480.0
    found = blinks(made(40.0, fps=fps), fps)
    assert len(found) >= 6
    for _, closing_s, opening_s in found:
        whole_s = 2 * (closing_s + opening_s)  # half-way up and down a raised cosine
        assert BLINK_S[0] - 0.006 <= whole_s <= BLINK_S[1] + 0.006
        assert closing_s < 0.75 * opening_s


@pytest.mark.parametrize("seed", range(4))
def test_no_value_is_above_what_real_recordings_show(seed):
    face = made(seed=seed, energy=1.0, strength=1.0)
    assert face.min() >= 0.0
    assert (face <= LARGEST.astype(np.float32)).all()
    for name, limit in (("jawOpen", 0.30), ("mouthSmileLeft", 0.76), ("mouthSmileRight", 0.76), ("browInnerUp", 0.52)):
        assert column(face, name).max() <= np.float32(limit) == np.float32(LARGEST[ARKIT_INDEX[name]])


def test_the_mouth_does_not_speak():
    face = made(energy=1.0, strength=1.0)
    for name in SPEECH:
        assert column(face, name).max() == 0.0, name


def test_the_smile_follows_the_energy_and_is_nearly_the_same_on_both_sides():
    energy = np.repeat([0.1, 0.9, 0.2, 1.0], 900)
    face = made(energy=energy)
    left, right = column(face, "mouthSmileLeft"), column(face, "mouthSmileRight")
    assert left[energy > 0.5].mean() > left[energy < 0.5].mean() + 0.25
    assert np.abs(left - right).max() < 0.35 and np.corrcoef(left, right)[0, 1] > 0.9


def test_both_eyes_look_the_same_way():
    face = made()
    np.testing.assert_array_equal(column(face, "eyeLookOutLeft"), column(face, "eyeLookInRight"))
    np.testing.assert_array_equal(column(face, "eyeLookInLeft"), column(face, "eyeLookOutRight"))
    assert (column(face, "eyeLookOutLeft") * column(face, "eyeLookInLeft")).max() == 0.0
    assert (column(face, "eyeLookUpLeft") * column(face, "eyeLookDownLeft")).max() == 0.0
    across = column(face, "eyeLookOutLeft") - column(face, "eyeLookInLeft")
    assert np.mean(np.abs(np.diff(across)) < 1e-6) > 0.8  # held most of the time
    assert np.count_nonzero(np.abs(np.diff(across)) > 0.03) > 30  # and moved often


@pytest.mark.parametrize("seed", range(4))
def test_accents_fall_on_strong_beats(seed):
    beats, strength = beats_of(120.0)
    face = made(seed=seed)
    assert report_face(face, beats[strength >= STRONG], FPS).beat_coupling > 2.5  # measured 4.1 to 4.17 of at most 4.17
    assert report_face(face, np.arange(0.1, 118.0, 0.83), FPS).beat_coupling < 1.6


def test_without_strong_beats_there_are_no_accents():
    face = made(strength=STRONG - 0.01)
    assert column(face, "noseSneerLeft").max() == 0.0 and column(face, "eyeWideLeft").max() == 0.0


def test_an_accent_rises_within_its_attack_and_falls_slower():
    fps = 480.0
    sneer = column(made(30.0, fps=fps, energy=1.0, strength=1.0), "noseSneerLeft").astype(np.float64)
    tops = [
        at for at in range(100, len(sneer) - 600) if sneer[at] > 0.15 and sneer[at] == sneer[at - 99 : at + 99].max()
    ]
    rises = [at - int(np.flatnonzero(sneer[:at] <= sneer[at] / 2)[-1]) for at in tops]
    falls = [int(np.flatnonzero(sneer[at:] <= sneer[at] / 2)[0]) for at in tops]
    assert tops and max(rises) / fps == pytest.approx(ATTACK_S / 2, abs=0.003)
    assert min(falls) / fps > 0.1


@pytest.mark.parametrize("seed", range(4))
def test_nothing_jumps(seed):
    steps = np.abs(np.diff(made(seed=seed, energy=1.0, strength=1.0), axis=0)).max(axis=0)
    for name, step in zip(ARKIT_NAMES, steps, strict=True):
        lids, gaze = name.startswith("eyeBlink"), name.startswith("eyeLook")
        assert step <= (0.95 if lids else 0.45 if gaze else 0.36), name


@pytest.mark.parametrize("seed", range(4))
def test_the_face_moves_in_eight_to_sixteen_directions(seed):
    generator = np.random.default_rng(seed)
    energy = np.clip(0.5 + 0.4 * np.sin(np.arange(3600) / 200 + generator.uniform(0, 6)), 0, 1)
    face = made(seed=seed, energy=energy)
    dimension, participation = effective_dimension(face)
    print(f"95 % of the variance in {dimension} directions, participation ratio {participation:.1f}")  # noqa: T201
    assert 8 <= dimension <= 16  # measured 9 or 10; participation 4 to 6
    assert participation > 3.5


@pytest.mark.parametrize("num_frames", [0, 1, 5])
def test_short_tracks_are_made_too(num_frames):
    face, flags = make_face(num_frames, FPS, np.zeros(0), np.zeros(0), np.zeros(num_frames), np.random.default_rng(0))
    assert face.shape == (num_frames, 52) and len(flags) == num_frames


@pytest.mark.parametrize(
    ("beats", "strength", "energy", "message"),
    [
        ([0.5, 1.0], [1.0], np.zeros(10), "as many"),
        ([0.5], [1.0], np.zeros(9), "must have 10 values"),
        ([0.5, 0.5], [1.0, 1.0], np.zeros(10), "increase"),
        ([0.5], [1.5], np.zeros(10), r"strengths must lie in 0..1, not 1.5 to 1.5"),
        ([0.5], [1.0], np.full(10, -1.0), "energy must lie in 0..1"),
    ],
)
def test_what_does_not_fit_is_refused(beats, strength, energy, message):
    with pytest.raises(ValueError, match=message):
        make_face(10, FPS, np.array(beats), np.array(strength), energy, np.random.default_rng(0))
