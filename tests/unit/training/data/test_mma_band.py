"""The band: every style plays, on the beat, from its seed alone, and failures say what to do."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mido
import numpy as np
import pytest

from soulstream_engine.errors import ConfigError
from soulstream_training.data.mma_band import accompany, find_mma, read_notes, run_mma, write_song
from soulstream_training.data.music_style import DRUM_CHANNEL, STYLES, Note

needs_mma = pytest.mark.skipif(shutil.which("mma") is None, reason="needs mma")

BAND_STYLES = sorted(name for name, style in STYLES.items() if style.grooves)

WITHOUT_DRUMS = {"ragtime", "gypsyjazz", "boogie"}
"""Bands of MMA without a drummer."""

HUMAN_BEATS = 0.06
"""Largest distance of a note from its place, in quarter notes; MMA plays the styles tested within 10 ticks of 192."""


@needs_mma
@pytest.mark.parametrize("name", BAND_STYLES)
def test_every_style_plays(name: str) -> None:
    style = STYLES[name]
    notes, programs = accompany(style, 33, style.slow, np.random.default_rng(1), energy=0.8)
    assert len(notes) > 60
    assert len({note.beat // 8 for note in notes}) >= 4
    assert (name in WITHOUT_DRUMS) != any(note.channel == DRUM_CHANNEL for note in notes)
    for note in notes:
        assert 0 <= note.beat < 33
        assert 0 < note.length <= 33 - note.beat
        assert 0 <= note.pitch <= 127
        assert 1 <= note.velocity <= 127
        assert note.channel == DRUM_CHANNEL or note.channel in programs


@needs_mma
@pytest.mark.parametrize("name", BAND_STYLES)
def test_every_groove_and_chord_is_known(name: str, tmp_path: Path) -> None:
    style = STYLES[name]
    grooves = [*style.grooves, *([style.fill] if style.fill else [])]
    song = write_song(style, 8, 120.0, np.random.default_rng(0), 0.5)
    lines = [line for line in song.splitlines() if not line.startswith("Groove")]
    lines[4:4] = [f"Groove {groove}\n{k + 1} C" for k, groove in enumerate(grooves)]
    notes, _ = read_notes(run_mma("\n".join(lines) + "\n", tmp_path))
    assert all(any(k * 4 <= note.beat < k * 4 + 4 for note in notes) for k in range(len(grooves)))


@needs_mma
@pytest.mark.parametrize(("name", "bpm", "kicks"), [("disco", 120.0, (0, 1, 2, 3)), ("march", 110.0, None)])
def test_hits_lie_on_the_beat(name: str, bpm: float, kicks: tuple[int, ...] | None) -> None:
    style = STYLES[name]
    notes, programs = accompany(style, 64, bpm, np.random.default_rng(3))
    assert style.quarters_a_beat(bpm) == (1 if kicks else 2)
    if kicks:
        kick = np.array([note.beat for note in notes if note.channel == DRUM_CHANNEL and note.pitch in (35, 36)])
        assert np.abs(kick - np.round(kick)).max() < HUMAN_BEATS
        assert abs(float(np.median(kick - np.round(kick)))) < 0.006
        assert set(np.round(kick).astype(int) % 4) == set(kicks)
        assert len(kick) >= 60
    else:
        tubas = {channel for channel, program in programs.items() if program == 58}
        bass = np.array([note.beat for note in notes if note.channel in tubas])
        assert len(bass) > 40
        assert np.abs(2 * bass - np.round(2 * bass)).max() < HUMAN_BEATS


@needs_mma
def test_a_seed_gives_one_piece_even_side_by_side() -> None:
    style = STYLES["salsa"]

    def play(seed: int) -> tuple[list[Note], dict[int, int]]:
        return accompany(style, 48, 150.0, np.random.default_rng(seed))

    with ThreadPoolExecutor(4) as pool:
        first, again, other, third = pool.map(play, (1, 1, 2, 3))
    assert first == again
    assert first[0] != other[0] != third[0]


def test_seeds_differ_in_key_chords_and_groove() -> None:
    style = STYLES["salsa"]
    songs = [write_song(style, 16, 180.0, np.random.default_rng(seed), 0.5) for seed in range(40)]
    for word in ("RndSeed", "Transpose", "Groove", "9 "):
        found = {next(line for line in song.splitlines() if line.startswith(word)) for song in songs}
        assert len(found) > 2, word
    assert songs[0] == write_song(style, 16, 180.0, np.random.default_rng(0), 0.5)
    bars = [line.split()[0] for line in songs[0].splitlines() if line[0].isdigit()]
    assert bars == [str(bar) for bar in range(1, len(bars) + 1)]
    assert len(bars) >= 16


@needs_mma
def test_energy_makes_music_denser_and_louder() -> None:
    style = STYLES["pop"]
    calm, wild = (
        [
            note
            for seed in range(3)
            for note in accompany(style, 64, 120.0, np.random.default_rng(seed), energy=energy)[0]
        ]
        for energy in (0.0, 1.0)
    )
    assert len(wild) > 1.1 * len(calm)
    assert np.mean([note.velocity for note in wild]) > 1.2 * np.mean([note.velocity for note in calm])


def test_missing_mma_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="mma, which plays the accompaniment") as told:
        find_mma()
    assert told.value.code == "MMA_MISSING"
    assert "apt-get install mma" in str(told.value)


@needs_mma
def test_what_mma_says_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mma ended with status 1: .*'NONSENSE' could not be found") as told:
        run_mma("Groove Nonsense\n1 C\n", tmp_path)
    assert told.value.code == "MMA_FAILED"


def test_a_channel_that_changes_its_instrument_becomes_two(tmp_path: Path) -> None:
    song = mido.MidiFile(ticks_per_beat=192)
    track = mido.MidiTrack()
    song.tracks.append(track)
    for program, start in ((5, 0), (7, 96)):
        track.append(mido.Message("program_change", program=program, channel=3, time=start))
        track.append(mido.Message("note_on", note=60, velocity=80, channel=3))
        track.append(mido.Message("note_on", note=60, velocity=0, channel=3, time=96))
    track.append(mido.Message("note_on", note=36, velocity=90, channel=9))
    track.append(mido.Message("note_off", note=36, channel=9, time=48))
    song.save(tmp_path / "song.mid")
    notes, programs = read_notes(tmp_path / "song.mid")
    assert sorted(programs.values()) == [5, 7]
    assert [(note.beat, note.length, note.pitch, note.velocity) for note in notes] == [
        (0.0, 0.5, 60, 80),
        (1.0, 0.5, 60, 80),
        (1.5, 0.25, 36, 90),
    ]
    assert [programs.get(note.channel) for note in notes] == [5, 7, None]
    assert notes[2].channel == DRUM_CHANNEL
