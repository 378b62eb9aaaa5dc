"""The music dataset: rows aligned with the bent motion, resumed without work, nothing for the test split."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import soulstream_engine.features
from soulstream_engine.errors import ConfigError
from soulstream_engine.features.layout import NUM_FEATURES
from soulstream_engine.motion.skeleton import forward_kinematics
from soulstream_training.data import music_dataset, music_render
from soulstream_training.data.kinematic_beats import kinematic_beats
from soulstream_training.data.music_dataset import build_music_dataset, code_hash, load_music, read_music_index
from soulstream_training.data.pairing import resample_motion
from soulstream_training.data.store import ClipEntry, load_store, save_clip, write_index

needs_synthesiser = pytest.mark.skipif(
    shutil.which("fluidsynth") is None or not any(font.is_file() for font in music_render.SOUND_FONTS),
    reason="needs fluidsynth and fluid-soundfont-gm",
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
    monkeypatch.setattr(music_dataset, "ANY_STYLES", ("electronic",))


@needs_synthesiser
def test_rows_follow_the_bent_motion_and_a_second_run_makes_nothing(tmp_path: Path, no_takes: None) -> None:
    store, out = _store(tmp_path / "store"), tmp_path / "music"
    entries = build_music_dataset(store, tmp_path, out, renderings=1)
    assert [(entry.clip_id, entry.is_paired) for entry in entries] == [("a", True), ("d", False)]
    entry = entries[0]
    music = load_music(out, entry)
    assert music.features.shape == (entry.num_frames, NUM_FEATURES)
    assert music.features.dtype == np.float32
    assert np.isfinite(music.features).all()
    clip = load_store(store, ("train",))[0]
    root_m, joint_wxyz = resample_motion(clip.root_m, clip.joint_wxyz, music.source_frame)
    assert len(root_m) == entry.num_frames
    found_s = kinematic_beats(forward_kinematics(root_m, joint_wxyz))
    off_s = np.min(np.abs(found_s[:, None] - music.beats_s[None]), axis=1)
    assert np.median(off_s) < 0.02
    assert np.diff(music.beats_s) == pytest.approx(60 / entry.bpm)
    assert not list(out.glob("*.wav"))

    made = (out / "a.0.npz").stat().st_mtime_ns
    assert build_music_dataset(store, tmp_path, out, renderings=1) == entries
    assert (out / "a.0.npz").stat().st_mtime_ns == made


@needs_synthesiser
def test_nothing_to_do_and_bad_numbers(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    write_index(store, [])
    assert build_music_dataset(store, tmp_path, tmp_path / "music") == []
    with pytest.raises(ValueError, match="0 renderings"):
        build_music_dataset(store, tmp_path, tmp_path / "music", renderings=0)


def test_broken_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"music\.json"):
        read_music_index(tmp_path)
    (tmp_path / "music.json").write_text(json.dumps({"renderings": [{"name": "x"}]}), encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_music_index(tmp_path)
    entry = music_dataset.MusicEntry("x", "key", "a", "train", "A", 0, True, num_frames=5)
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
