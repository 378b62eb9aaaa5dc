"""Rendered music: on the beat, seeded, long enough before the clip, and clear about what is missing."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import mido
import numpy as np
import pytest

from soulstream_engine.errors import ConfigError
from soulstream_training.data import music_render, programs
from soulstream_training.data.groove import GrooveLibrary, has_takes, read_hits
from soulstream_training.data.music_render import (
    Piece,
    arrange,
    extend_grid,
    find_synthesiser,
    measure_delay,
    render,
)
from soulstream_training.data.music_style import DRUM_CHANNEL, STYLES, Note

needs_synthesiser = pytest.mark.skipif(
    shutil.which("fluidsynth") is None or not any(font.is_file() for font in music_render.SOUND_FONTS),
    reason="needs fluidsynth and fluid-soundfont-gm",
)
needs_mma = pytest.mark.skipif(shutil.which("mma") is None, reason="needs mma")


def _drum_file(num_beats: int = 16) -> bytes:
    song = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack()
    song.tracks.append(track)
    for beat in range(num_beats):
        track.append(mido.Message("note_on", note=36 if beat % 2 == 0 else 40, velocity=90, channel=9, time=14))
        track.append(mido.Message("note_off", note=36, channel=9, time=466))
    stream = io.BytesIO()
    song.save(file=stream)
    return stream.getvalue()


@pytest.fixture
def library(tmp_path: Path) -> GrooveLibrary:
    """A library of one take: a hit on every beat, each 14 ticks (0.03 beats) late."""
    folder = tmp_path / "groove-midi"
    folder.mkdir()
    header = "drummer,session,id,style,bpm,beat_type,time_signature,midi_filename,audio_filename,duration,split\n"
    row = "d1,s,1,latin/x,120,beat,4-4,d1/1.mid,,8.0,train\n"
    other = "d2,s,2,latin/x,120,beat,4-4,d2/2.mid,,8.0,validation\n"
    (folder / "info.csv").write_text(header + row + other, encoding="utf-8")
    with tarfile.open(folder / "groove.tar.gz", "w:gz") as tar:
        for name in ("groove/d1/1.mid", "groove/d2/2.mid"):
            info = tarfile.TarInfo(name)
            info.size = len(_drum_file())
            tar.addfile(info, io.BytesIO(_drum_file()))
    return GrooveLibrary(tmp_path)


def test_no_drum_take_is_heard_in_two_splits(library: GrooveLibrary, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    assert "d1/1" in library.choose(("latin",), 120.0, generator).name
    assert "d2/2" in GrooveLibrary(tmp_path, "val").choose(("latin",), 120.0, generator).name


def test_drum_takes_are_centred_on_the_beat(library: GrooveLibrary) -> None:
    beat, note, _ = read_hits(_drum_file())
    assert beat[:3] == pytest.approx([14 / 480, 1 + 14 / 480, 2 + 14 / 480])
    assert note[:2].tolist() == [36, 38]
    loop = library.choose(("latin",), 110.0, np.random.default_rng(0))
    assert loop.num_beats in (4, 8)
    assert loop.beat == pytest.approx(np.arange(loop.num_beats), abs=1e-6)


def test_grid_continues_at_the_tempo_of_its_ends() -> None:
    grid = extend_grid(np.array([1.0, 1.5, 2.0, 2.5, 3.0]), -0.2, 4.1)
    assert grid == pytest.approx([-0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5])
    with pytest.raises(ValueError, match="grid of 1 beats"):
        extend_grid(np.array([1.0]), 0.0, 2.0)


def test_missing_synthesiser_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="apt-get install fluidsynth fluid-soundfont-gm"):
        find_synthesiser()


def test_missing_drums_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"groove\.tar\.gz does not exist"):
        GrooveLibrary(tmp_path)


@needs_synthesiser
@pytest.mark.parametrize("drum", [36, 38, 42])
def test_drum_hits_sound_on_the_beat(drum: int) -> None:
    delay_ms = 1000 * measure_delay(drum, 12)
    assert abs(np.median(delay_ms)) < 3.0
    assert np.abs(delay_ms).max() < 4.0


@needs_synthesiser
@needs_mma
def test_rendering_leads_in_and_repeats_from_its_seed(library: GrooveLibrary) -> None:
    piece = Piece(np.arange(0.21, 5.0, 0.5), 5.0, ("salsa", "electronic"), 0.5, seed=7)
    first, again = render(piece, library), render(piece, library)
    assert np.array_equal(first.heard.samples, again.heard.samples)
    assert first.clip_start_s >= 12.0
    assert len(first.heard.samples) / 48_000 >= first.clip_start_s + 5.0 + 2.0 - 0.001
    assert np.diff(first.beats_s) == pytest.approx(0.5)
    assert (first.beats_s - 0.21) / 0.5 == pytest.approx(np.round((first.beats_s - 0.21) / 0.5), abs=1e-6)
    other = render(Piece(piece.beats_s, 5.0, piece.styles, 0.5, seed=8), library)
    assert not np.array_equal(first.heard.samples[:100_000], other.heard.samples[:100_000])


@needs_mma
def test_drums_are_the_bands_or_a_take(library: GrooveLibrary) -> None:
    def drums(name: str) -> set[str]:
        made = set()
        for seed in range(8):
            notes, programs, take = arrange(STYLES[name], 8, 120.0, np.random.default_rng(seed), library)
            hits = [note for note in notes if note.channel == DRUM_CHANNEL]
            assert hits
            assert programs[DRUM_CHANNEL] in STYLES[name].kits
            if take:
                assert {note.pitch for note in hits} == {36, 38}
            made.add(take)
        return made

    assert drums("mambo") == {"", "groove/d1/1.mid"}
    assert drums("boogie") == {"groove/d1/1.mid"}
    assert drums("hiphop") == {"groove/d1/1.mid"}
    assert drums("march") == drums("electronic") == {""}


@needs_synthesiser
@needs_mma
@pytest.mark.parametrize("styles", [("hiphop", "pop"), ("boogie",), ("mambo",)])
def test_without_takes_every_piece_has_drums_of_its_own(
    styles: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[bool] = []

    def listen(notes: list[Note], *rest: object) -> np.ndarray:
        played.append(any(note.channel == DRUM_CHANNEL for note in notes))
        return np.zeros(48_000, np.float32)

    monkeypatch.setattr(music_render, "play", listen)
    for seed in range(3):
        made = render(Piece(np.arange(0.2, 5.0, 0.5), 5.0, styles, 0.5, seed), None)
        assert made.drums == ""
        assert made.style == {"hiphop": "pop", "boogie": "electronic", "mambo": "mambo"}[styles[0]]
    assert played == [True] * 3


def test_takes_are_there_or_not(library: GrooveLibrary, tmp_path: Path) -> None:
    assert has_takes(tmp_path)
    (tmp_path / "groove-midi" / "info.csv").unlink()
    assert not has_takes(tmp_path)


def test_a_program_that_does_not_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "TIMEOUT_S", 0.2)
    with pytest.raises(ConfigError, match="sleep did not end within 0 s and was stopped") as told:
        programs.run_program(["/bin/sleep", "30"], tmp_path / "x", code="SLEEP", remedy="Wake it.")
    assert (told.value.code, told.value.hint) == ("SLEEP_TIMEOUT", "Run it again; if it stays so: Wake it.")
    with pytest.raises(ConfigError, match="false ended with status 1") as told:
        programs.run_program(["/bin/false"], tmp_path / "x", code="FALSE", remedy="Tell the truth.")
    assert told.value.code == "FALSE_FAILED"
