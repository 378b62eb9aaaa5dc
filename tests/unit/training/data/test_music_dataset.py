"""The music dataset: rows aligned with the bent motion, resumed without work, nothing for the test split."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import soulstream_engine.features
from soulstream_engine.clock import FPS
from soulstream_engine.errors import ConfigError
from soulstream_engine.features.layout import COLUMNS, NUM_FEATURES
from soulstream_engine.motion.skeleton import forward_kinematics
from soulstream_training.cli.data import app
from soulstream_training.data import music_dataset, music_index, music_render, rendering
from soulstream_training.data.kinematic_beats import kinematic_beats
from soulstream_training.data.music_dataset import build_music_dataset, code_hash
from soulstream_training.data.music_index import (
    MusicEntry,
    load_music,
    load_negative,
    read_music_index,
    read_negatives,
)
from soulstream_training.data.pairing import resample_motion
from soulstream_training.data.store import ClipEntry, load_store, read_index, save_clip, write_index

needs_tools = pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("fluidsynth", "mma", "espeak-ng"))
    or not any(font.is_file() for font in music_render.SOUND_FONTS),
    reason="needs fluidsynth, fluid-soundfont-gm, mma and espeak-ng",
)

needs_speaker = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")


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


def _song(path: Path, seconds: float = 9.0, tone_hz: float = 1000.0) -> None:
    """Clicks at 120 a minute."""
    rate = 44_100
    time_s = np.arange(int(rate * seconds)) / rate
    clicks = np.sin(2 * np.pi * tone_hz * time_s) * np.exp(-40 * (time_s % 0.5))
    soundfile.write(path, np.stack([clicks, clicks], axis=1), rate)


def _danced_store(folder: Path, songs: dict[str, str]) -> Path:
    """Clips of the training split that were danced to recordings, and ``song.wav``."""
    _song(folder / "song.wav")
    store = _store(folder / "store")
    entries = [entry for entry in read_index(store) if entry.clip_id in songs]
    write_index(store, [replace(e, split="train", pairing_class="real", music=songs[e.clip_id]) for e in entries])
    return store


def _written(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npz")}


@pytest.fixture
def no_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programmed music only, which is quickly made."""
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
        made = music_render.render(piece, None)
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


@needs_speaker
def test_a_clip_keeps_the_recording_it_was_danced_to(tmp_path: Path) -> None:
    store = _danced_store(tmp_path, {"a": "song.wav"})
    made = build_music_dataset(store, tmp_path, tmp_path / "music", renderings=2)
    plain, recorded = (load_music(tmp_path / "music", entry) for entry in made.renderings)
    assert (plain.entry.num_frames, plain.entry.effects) == (240, "")
    np.testing.assert_array_equal(plain.source_frame, np.arange(240))
    assert 2.0 ** plain.features[200:, COLUMNS["tempo"]] == pytest.approx(1.0, abs=0.05), "120 a minute"
    confidence = plain.features[:, COLUMNS["confidence"]][:, 0]
    np.testing.assert_array_equal(plain.lock, confidence)
    assert (plain.lock[0], plain.lock[200:].min()) == (0.0, pytest.approx(1.0, abs=0.6)), "it is found as it is heard"
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
    samples = np.zeros(96_000, np.float32)
    samples[7] = np.nan
    soundfile.write(tmp_path / "holes.wav", samples, 48_000, subtype="FLOAT")
    with pytest.raises(ConfigError, match=r"'holes\.wav' holds 1 samples that are not finite"):
        rendering.read_music(tmp_path / "holes.wav")


def test_no_more_of_a_song_is_read_than_the_dance_takes(tmp_path: Path) -> None:
    _song(tmp_path / "song.wav", 60.0)
    assert len(rendering.read_music(tmp_path / "song.wav", 3.0)) == pytest.approx(3 * 48_000, abs=2)
    assert len(rendering.read_music(tmp_path / "song.wav")) == pytest.approx(60 * 48_000, abs=2)


@needs_speaker
@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_song_is_told_and_the_others_get_their_music(tmp_path: Path, workers: int) -> None:
    (tmp_path / "bad.wav").write_bytes(b"RIFF but not really")
    store, out = _danced_store(tmp_path, {"a": "song.wav", "c": "bad.wav"}), tmp_path / "music"
    made = build_music_dataset(store, tmp_path, out, renderings=1, workers=workers)
    assert [(entry.name, entry.is_paired) for entry in made.renderings] == [("a.0", True), ("c.0", False)]
    assert [entry.clip_id for entry in made.failed] == ["c"]
    assert "'bad.wav' cannot be read" in made.failed[0].reason
    _song(tmp_path / "bad.wav")
    assert build_music_dataset(store, tmp_path, out, renderings=1).failed == []


@needs_speaker
def test_the_command_names_each_clip_without_music_once(tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"RIFF but not really")
    store = _danced_store(tmp_path, {"a": "song.wav", "c": "bad.wav"})
    folders = ["--data", str(tmp_path), "--store", str(store), "--music", str(tmp_path / "music")]
    result = CliRunner().invoke(app, ["music", *folders, "--renderings", "2", "--workers", "1", "--json"])
    assert result.exit_code == 0, result.output
    assert result.output.count("without music: c: 'bad.wav' cannot be read") == 1
    numbers = json.loads(result.output.strip().splitlines()[-1])
    assert (numbers["renderings"], numbers["paired"], numbers["failed"]) == (4, 2, 2)


@needs_tools
def test_a_clip_of_class_a_without_a_tempo_is_told(tmp_path: Path, no_takes: None) -> None:
    store = _store(tmp_path / "store")
    write_index(store, [replace(entry, tempo_bpm=None) for entry in read_index(store) if entry.clip_id == "a"])
    (failed,) = build_music_dataset(store, tmp_path, tmp_path / "music", renderings=1).failed
    assert "'a' is of class A and has no tempo" in failed.reason


@needs_speaker
def test_a_song_shorter_than_the_dance_is_told(tmp_path: Path) -> None:
    store = _danced_store(tmp_path, {"a": "short.wav"})
    _song(tmp_path / "short.wav", 4.0)
    (entry,) = build_music_dataset(store, tmp_path, tmp_path / "music", renderings=1).renderings
    assert (entry.is_paired, entry.num_frames) == (True, 120)
    assert entry.reason == "song ends after 120 of 240 frames"
    assert not entry.is_failed


@needs_speaker
@pytest.mark.parametrize("label", ["split", "style", "tempo_bpm", "song", "pairing_class"])
def test_changed_labels_and_songs_make_music_anew(tmp_path: Path, no_takes: None, label: str) -> None:
    if label == "pairing_class" and needs_tools.args[0]:
        pytest.skip("needs fluidsynth")
    store, out = _danced_store(tmp_path, {"a": "song.wav"}), tmp_path / "music"
    before = build_music_dataset(store, tmp_path, out, renderings=1).renderings[0]
    assert build_music_dataset(store, tmp_path, out, renderings=1).renderings[0] == before
    if label == "song":
        _song(tmp_path / "song.wav", tone_hz=300.0)
    else:
        new = {"split": "val", "style": "salsa", "tempo_bpm": 99.0, "pairing_class": "B"}[label]
        write_index(store, [replace(entry, **{label: new}) for entry in read_index(store)])
    after = build_music_dataset(store, tmp_path, out, renderings=1).renderings[0]
    assert after.key != before.key
    assert after.split == read_index(store)[0].split


@needs_speaker
@pytest.mark.parametrize("name", ["a.0", "silence.train.0"])
def test_a_torn_file_is_made_again(tmp_path: Path, name: str) -> None:
    store, out = _danced_store(tmp_path, {"a": "song.wav"}), tmp_path / "music"
    made = build_music_dataset(store, tmp_path, out, renderings=1)
    whole = (out / f"{name}.npz").read_bytes()
    sizes = {entry.name: entry.size for entry in (*made.renderings, *made.negatives)}
    assert sizes[name] == len(whole)
    (out / f"{name}.npz").write_bytes(whole[:1000])
    assert build_music_dataset(store, tmp_path, out, renderings=1) == made
    assert (out / f"{name}.npz").read_bytes()[:4] == whole[:4]
    assert len((out / f"{name}.npz").read_bytes()) == len(whole)


@needs_speaker
def test_a_folder_with_the_music_of_another_store_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "music"
    store = _danced_store(tmp_path, {"a": "song.wav", "c": "song.wav"})
    build_music_dataset(store, tmp_path, out, renderings=1)
    both, before = read_index(store), _written(out)
    write_index(store, [replace(both[0], clip_id="other")])
    with pytest.raises(ConfigError, match=r"of 2 clips, of which '.*store' has none \(a \.\.\.\).*--music") as told:
        build_music_dataset(store, tmp_path, out, renderings=1)
    assert told.value.code == "MUSIC_FOLDER_TAKEN"
    with pytest.raises(ConfigError, match="holds a motion store"):
        build_music_dataset(store, tmp_path, store, renderings=1)
    write_index(store, both[:1])
    assert [entry.name for entry in build_music_dataset(store, tmp_path, out, renderings=1).renderings] == ["a.0"]
    assert [entry.name for entry in read_music_index(out)] == ["a.0", "c.0"], "what another store may need stays"
    assert _written(out) == before


@needs_speaker
def test_fewer_renderings_keep_the_others_and_lost_files_go(tmp_path: Path) -> None:
    store, out = _danced_store(tmp_path, {"a": "song.wav"}), tmp_path / "music"
    build_music_dataset(store, tmp_path, out, renderings=2)
    before = _written(out)
    for name in ("gone.3.npz", "a.1.npz.partial"):
        (out / name).write_bytes(b"torn")
    (out / "notes.npz").write_bytes(b"not ours")
    made = build_music_dataset(store, tmp_path, out, renderings=1)
    assert [entry.name for entry in made.renderings] == ["a.0", "a.1"]
    assert made.renderings == read_music_index(out)
    (out / "notes.npz").unlink()
    assert _written(out) == before
    assert not list(out.glob("*.partial"))


@needs_speaker
def test_a_stopped_run_keeps_what_it_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, out = _danced_store(tmp_path, {"a": "song.wav"}), tmp_path / "music"
    done = music_dataset.note_done

    def stop_after_one(folder: Path, entry: MusicEntry) -> None:
        done(folder, entry)
        raise KeyboardInterrupt

    monkeypatch.setattr(music_dataset, "note_done", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        build_music_dataset(store, tmp_path, out, renderings=2)
    assert [entry.name for entry in read_music_index(out)] == ["a.0"]
    first = _written(out)
    with (out / "music.jsonl").open("a") as stream:
        stream.write('{"renderings": {"name": "a.1", "ke')
    monkeypatch.setattr(music_dataset, "note_done", done)
    made = build_music_dataset(store, tmp_path, out, renderings=2)
    assert made.renderings == read_music_index(out)
    assert _written(out)["a.0.npz"] == first["a.0.npz"]
    assert not (out / "music.jsonl").exists()


@needs_tools
def test_without_drum_takes_bands_play_their_own(tmp_path: Path, no_takes: None) -> None:
    store, out = _store(tmp_path / "store"), tmp_path / "music"
    made = build_music_dataset(store, tmp_path / "data", out, renderings=1, drums_dir=tmp_path / "drums")
    assert made.renderings[0].is_paired
    assert made.renderings[0].drums == ""
    assert made.note == f"No drum takes in {tmp_path / 'drums'}: bands play their own drums."


def test_programs_are_asked_for_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = _danced_store(tmp_path, {"a": "song.wav"})
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="apt-get install espeak-ng"):
        build_music_dataset(store, tmp_path, tmp_path / "music", renderings=1)
    assert not (tmp_path / "music").exists()


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


@needs_tools
def test_music_of_the_test_split_has_a_folder_of_its_own(tmp_path: Path, no_takes: None) -> None:
    store, out = _store(tmp_path / "store"), tmp_path / "music"
    write_index(store, [replace(entry, split="test") for entry in read_index(store)])
    made = build_music_dataset(store, tmp_path, out, renderings=1, splits=("test",))
    assert {entry.split for entry in made.renderings} == {"test"}
    assert {entry.split for entry in made.negatives} == {"test"}
    before = _written(out)
    with pytest.raises(ConfigError, match="would hold music of the splits test, train, val"):
        build_music_dataset(store, tmp_path, out, renderings=1)
    assert _written(out) == before
