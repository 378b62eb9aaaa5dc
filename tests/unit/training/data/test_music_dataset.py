"""The music dataset: rows aligned with the bent motion, resumed without work, nothing for the test split."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import soulstream_engine.features
from soulstream_engine.clock import FPS
from soulstream_engine.errors import ConfigError
from soulstream_engine.features.layout import COLUMNS, NUM_FEATURES
from soulstream_engine.motion.skeleton import forward_kinematics
from soulstream_training.data import music_dataset, music_index, music_render, rendering
from soulstream_training.data.kinematic_beats import kinematic_beats
from soulstream_training.data.music_dataset import build_music_dataset, code_hash
from soulstream_training.data.music_index import load_music, load_negative, read_music_index, read_negatives
from soulstream_training.data.pairing import resample_motion
from soulstream_training.data.store import ClipEntry, load_store, read_index, save_clip, write_index

needs_tools = pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("fluidsynth", "mma", "espeak-ng"))
    or not any(font.is_file() for font in music_render.SOUND_FONTS),
    reason="needs fluidsynth, fluid-soundfont-gm, mma and espeak-ng",
)


def _entry(name: str, split: str, pairing_class: str, num_frames: int) -> ClipEntry:
    return ClipEntry(name, "hash", split, pairing_class, "lambada", 125.0, "", "someone", num_frames, num_frames)


def _store(folder: Path) -> Path:
    """Clips that step at 125 a minute: one for each of two splits and classes, and one that stands still."""
    folder.mkdir()
    frames = np.arange(240)
    steps = 2 * np.pi * frames / 30 * 125 / 60
    moving = np.stack([frames / 30 - 0.5 * np.sin(steps) / (2 * np.pi * 125 / 60), 0.9 + 0 * steps, 0 * steps], axis=1)
    identity = np.tile(np.array([1, 0, 0, 0], np.float32), (240, 22, 1))
    entries = []
    for name, split, pairing_class in (("a", "train", "A"), ("b", "test", "A"), ("c", "train", "C"), ("d", "val", "B")):
        root_m = moving.astype(np.float32) if name != "d" else np.zeros((240, 3), np.float32)
        save_clip(folder, name, root_m=root_m, joint_wxyz=identity, segments=np.array([[0, 240]], dtype=np.int32))
        entries.append(_entry(name, split, pairing_class, 240))
    write_index(folder, entries)
    return folder


@pytest.fixture
def no_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programmed drums only, so that no recorded takes are needed."""
    monkeypatch.setattr(music_dataset, "GrooveLibrary", lambda *_: None)
    monkeypatch.setattr(rendering, "ANY_STYLES", ("electronic",))
    monkeypatch.setattr(rendering, "styles_for", lambda _: ("electronic",))


@needs_tools
def test_rows_follow_the_bent_motion_and_a_second_run_makes_nothing(tmp_path: Path, no_takes: None) -> None:
    store, out = _store(tmp_path / "store"), tmp_path / "music"
    made = build_music_dataset(store, tmp_path, out, renderings=2)
    names = [(entry.name, entry.is_paired, entry.is_mirrored) for entry in made.renderings]
    assert names == [("a.0", True, False), ("d.0", False, False), ("a.1", True, True), ("d.1", False, True)]
    assert made.renderings == read_music_index(out)
    clip = load_store(store, ("train",))[0]
    for entry in made.renderings[::2]:
        music = load_music(out, entry)
        assert music.features.shape == (entry.num_frames, NUM_FEATURES)
        assert music.features.dtype == np.float32
        assert np.isfinite(music.features).all()
        root_m, joint_wxyz = resample_motion(clip.root_m, clip.joint_wxyz, music.source_frame)
        assert len(root_m) == entry.num_frames
        found_s = kinematic_beats(forward_kinematics(root_m, joint_wxyz))
        off_s = np.min(np.abs(found_s[:, None] - music.beats_s[None]), axis=1)
        assert np.median(off_s) < 0.02
        assert np.diff(music.beats_s) == pytest.approx(60 / entry.bpm, rel=1e-4), "within the drift of a sound card"
    first, second = (load_music(out, entry).features for entry in made.renderings[::2])
    assert not np.array_equal(first[:100], second[:100]), "the mirror image dances to music of its own"
    assert not list(out.glob("*.wav"))

    times = {path.name: path.stat().st_mtime_ns for path in out.glob("*.npz")}
    assert build_music_dataset(store, tmp_path, out, renderings=2) == made
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.npz")} == times


@needs_tools
def test_a_small_share_is_sound_without_music_and_somebody_who_waits(tmp_path: Path, no_takes: None) -> None:
    store, out = _store(tmp_path / "store"), tmp_path / "music"
    made = build_music_dataset(store, tmp_path, out, renderings=1)
    assert made.negatives == read_negatives(out)
    assert [entry.split for entry in made.negatives] == ["train"], "8 s of dance need one, and val has no dance"
    features, root_m, joint_wxyz = load_negative(out, made.negatives[0])
    assert len(features) == len(root_m) == len(joint_wxyz) == made.negatives[0].num_frames
    assert np.abs(np.diff(root_m, axis=0)).max() < 0.01


@needs_tools
def test_the_label_moves_with_the_latency_of_the_recording(tmp_path: Path, no_takes: None) -> None:
    """What the clock hears as a beat is where the moved beats say, however late the microphone is."""
    beats_s = np.arange(0.2, 20.0, 0.5)
    for seed in range(40):
        piece = music_render.Piece(beats_s, 20.0, ("electronic",), 0.5, seed)
        made = music_render.render(piece, None)  # type: ignore[arg-type]
        if made.heard.delay_s > 0.08:
            break
    assert made.heard.delay_s > 0.08
    frames = made.heard_frames(600)
    assert made.first_row / FPS >= made.clip_start_s + 0.08
    assert 0.0 <= frames[0] < 1.0
    assert np.diff(frames) == pytest.approx(1.0, abs=1e-4)
    rows = rendering.extract(made.heard.samples)[made.first_row :][: len(frames)]
    clock = rendering._clock_errors(rows, 120.0, made.heard_beats_s(beats_s))
    assert clock.tempo > 0.9
    assert abs(clock.bias_ms) < 25.0


def test_a_clip_keeps_the_recording_it_was_danced_to(tmp_path: Path) -> None:
    rate, seconds = 44_100, 9.0
    time_s = np.arange(int(rate * seconds)) / rate
    clicks = np.sin(2 * np.pi * 1000 * time_s) * np.exp(-40 * (time_s % 0.5))
    soundfile.write(tmp_path / "song.wav", np.stack([clicks, clicks], axis=1), rate)
    store = _store(tmp_path / "store")
    danced = [replace(e, pairing_class="real", music="song.wav") for e in read_index(store) if e.clip_id == "a"]
    write_index(store, danced)
    made = build_music_dataset(store, tmp_path, tmp_path / "music", renderings=2)
    plain, recorded = (load_music(tmp_path / "music", entry) for entry in made.renderings)
    assert (plain.entry.num_frames, plain.entry.effects) == (240, "")
    np.testing.assert_array_equal(plain.source_frame, np.arange(240))
    assert 2.0 ** plain.features[200:, COLUMNS["tempo"]] == pytest.approx(1.0, abs=0.05), "120 a minute"
    assert recorded.entry.is_mirrored
    assert recorded.source_frame.min() >= 0
    assert recorded.source_frame.max() <= 239


def test_a_recording_that_is_no_sound_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_bytes(b"RIFF but not really")
    with pytest.raises(ConfigError, match=r"'song\.wav' cannot be read"):
        rendering.read_music(tmp_path / "song.wav")
    soundfile.write(tmp_path / "short.wav", np.zeros(4_800), 48_000)
    with pytest.raises(ConfigError, match=r"lasts 0\.1 s, 1 to 1800 s"):
        rendering.read_music(tmp_path / "short.wav")


def test_nothing_to_do_and_bad_numbers(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    write_index(store, [])
    assert build_music_dataset(store, tmp_path, tmp_path / "music").renderings == []
    with pytest.raises(ValueError, match="0 renderings"):
        build_music_dataset(store, tmp_path, tmp_path / "music", renderings=0)


def test_broken_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"music\.json"):
        read_music_index(tmp_path)
    (tmp_path / "music.json").write_text(json.dumps({"renderings": [{"name": "x"}], "negatives": []}), encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_music_index(tmp_path)
    entry = music_index.MusicEntry("x", "key", "a", "train", "A", 0, True, num_frames=5)
    np.savez(tmp_path / "x.npz", features=np.zeros((4, NUM_FEATURES), np.float32))
    with pytest.raises(ConfigError, match=r"'x' holds \[4"):
        load_music(tmp_path, replace(entry, num_frames=5))


def test_key_covers_the_code_but_not_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "layout.py"
    source.write_text('"""Words."""\nX = 1\n', encoding="utf-8")
    monkeypatch.setattr(soulstream_engine.features, "__path__", [str(tmp_path)])
    first = code_hash()
    source.write_text('"""Other words."""\n# comment\nX = 1\n', encoding="utf-8")
    assert code_hash() == first
    source.write_text('"""Words."""\nX = 2\n', encoding="utf-8")
    assert code_hash() != first
