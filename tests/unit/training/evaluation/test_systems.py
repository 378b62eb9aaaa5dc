"""The frame in which every system dances: songs, baselines, bundles, real dancers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes.beat_dancers import Figure, write_figures
from fakes.toy_bundle import beat_track, toy

from soulstream_engine.bundle import load_bundle
from soulstream_engine.clock import FPS, SAMPLE_RATE
from soulstream_engine.errors import ConfigError
from soulstream_engine.features.extractor import extract
from soulstream_engine.motion.faces import ARKIT_NAMES
from soulstream_engine.motion.idle import idle_poses
from soulstream_engine.motion.representation import encode
from soulstream_engine.runtime.render import render_song
from soulstream_training.baselines.common import Danced
from soulstream_training.baselines.plain import LEAST_FRAMES
from soulstream_training.data.kinematic_beats import kinematic_beats
from soulstream_training.evaluation import systems
from soulstream_training.evaluation.bas import beat_alignment
from soulstream_training.evaluation.dances import Control

HEADER = "id,path,mix_with,seconds,bpm,bpm_certainty,first_beat_s,genre,licence,notes,use\n"
SONG = systems.Song("song", beat_track(4.0), np.arange(0.0, 4.0, 0.5))


@dataclass
class Statue:
    """Dances rows that it was given."""

    rows: np.ndarray
    wait_s: float = 0.0
    heard: list[np.ndarray] = field(default_factory=list)

    def dance(self, music: np.ndarray, seed: int) -> Danced:
        self.heard.append(music)
        return Danced(self.rows, np.array([0, seed]))


def statue_rows(frames: int) -> np.ndarray:
    root, wxyz, face = idle_poses(np.arange(frames + 1), np.array([3.0, 0.0, -2.0]), 1.0)
    return encode(root, wxyz, face)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    soundfile.write(folder / "a.wav", beat_track(12.0), SAMPLE_RATE)
    soundfile.write(folder / "b.wav", np.full(3 * 44_100 + 100, 0.25), 44_100)
    soundfile.write(folder / "guitar.wav", np.full(SAMPLE_RATE, 0.5), SAMPLE_RATE)
    rows = (
        "a,a.wav,,12,120,sure,0.1,x,x,,test",
        "b,b.wav,guitar.wav,3,60,sure,2.25,x,x,,test6",
        "c,c.wav,,9,9,,0,,,,tune",
    )
    (folder / "music.csv").write_text(HEADER + "\n".join(rows) + "\n")
    return folder


def test_songs_are_the_beginnings_of_the_tracks_of_a_use(data_dir: Path) -> None:
    first, second = systems.test_songs(data_dir, ("test",), seconds=5.0)
    assert (first.name, second.name) == ("a", "b")
    assert first.seconds == 5.0
    assert first.samples == pytest.approx(beat_track(5.0), abs=1e-3)
    assert first.beats_s == pytest.approx(np.arange(0.1, 5.0, 0.5))
    assert second.seconds == pytest.approx(3.0)
    assert second.samples[10_000] == pytest.approx(0.75, abs=1e-3)
    assert second.samples[100_000] == pytest.approx(0.25, abs=1e-3)
    assert second.beats_s == pytest.approx([0.25, 1.25, 2.25])


def test_a_stretch_may_begin_later(data_dir: Path) -> None:
    song = systems.test_songs(data_dir, ("test",), seconds=2.5, start_s=0.5)[0]
    assert song.seconds == 2.5
    assert song.samples == pytest.approx(beat_track(3.0)[24_000:], abs=1e-3)
    assert song.beats_s == pytest.approx(np.arange(0.1, 2.5, 0.5))


def test_a_stretch_without_two_beats_is_refused(data_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"'b' has 1 beats in 30\.0 s from 2\.0 s on") as caught:
        systems.test_songs(data_dir, ("test",), start_s=2.0)
    assert caught.value.code == "STRETCH_TOO_SHORT"


def test_a_song_is_heard_once() -> None:
    assert SONG.rows is SONG.rows
    np.testing.assert_array_equal(SONG.rows, extract(SONG.samples))


def test_a_dance_begins_at_the_origin_facing_z() -> None:
    statue = Statue(statue_rows(120))
    take = systems.dance_to(statue, SONG, 7)
    assert statue.heard[0] is SONG.rows
    assert take.song == "song"
    assert take.joints_m.shape == (120, 52, 3)
    assert take.joints_m.dtype == np.float32
    assert take.joint_wxyz is not None
    assert take.joint_wxyz.shape == (120, 52, 4)
    assert take.face is not None
    np.testing.assert_array_equal(take.face, statue.rows[:, 623:])
    assert take.face.shape[1] == len(ARKIT_NAMES)
    assert take.edges.tolist() == [0, 7]
    assert np.abs(take.joints_m[0, 0, [0, 2]]).max() < 1e-6
    assert take.joints_m[0, 16, 0] - take.joints_m[0, 17, 0] > 0.3  # the left shoulder is at +X
    assert abs(take.joints_m[0, 16, 2] - take.joints_m[0, 17, 2]) < 0.05


def test_a_body_has_no_face_and_rows_must_be_as_many_as_heard() -> None:
    take = systems.dance_to(Statue(statue_rows(120)[:, :263]), SONG, 0)
    assert take.face is None
    assert take.joints_m.shape == (120, 22, 3)
    with pytest.raises(ValueError, match="119 rows were danced to the 120 of 'song'"):
        systems.dance_to(Statue(statue_rows(119)), SONG, 0)


def test_a_bundle_dances_as_it_is_sent(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = toy(tmp_path_factory.getbasetemp()).folder
    sent = render_song(SONG.samples, load_bundle(folder), 1)
    ours = systems.bundle_takes(folder, [SONG], seeds=(1, 2))
    take, beats_s = ours[0]
    np.testing.assert_array_equal(take.joints_m, sent.joints_m)
    assert take.face is not None
    assert beats_s is SONG.beats_s
    assert len(ours) == 2
    assert len(set(np.diff(take.edges)[1:])) == 1
    assert take.edges.max() < len(take.joints_m)
    random = systems.bundle_takes(folder, [SONG], seeds=(1,), control=Control.CODES)[0][0]
    assert random.joints_m.shape == take.joints_m.shape
    assert not np.array_equal(random.joints_m, take.joints_m)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("real")
    figures = [
        Figure("sure", split="test", bpm=118.0),
        Figure("also_sure", split="test", bpm=130.0),
        Figure("fits_somehow", split="test", pairing="B"),
        Figure("learned"),
        Figure("too_short", split="test", seconds=4.0),
    ]
    write_figures(folder / "store", folder / "music", figures)
    return folder / "store", folder / "music"


def test_real_dancers_fit_their_beats_and_moved_in_time_they_do_not(folders: tuple[Path, Path]) -> None:
    real = systems.real_takes(*folders, "test")
    assert [take.song for take, _ in real] == ["sure.0", "also_sure.0"]
    assert all(fit > 0.9 for fit in alignments(real))
    assert all(len(take.joints_m) >= LEAST_FRAMES for take, _ in real)
    chance = []
    for seed in range(6):
        shifted = systems.real_takes(*folders, "test", "real_shifted", seed=seed)
        for (take, beats_s), (other, same_s) in zip(real, shifted, strict=True):
            assert (take.song, take.joints_m.shape) == (other.song, other.joints_m.shape)
            np.testing.assert_array_equal(beats_s, same_s)
        chance += alignments(shifted)
    assert np.mean(chance) < 0.5


def alignments(takes: list[systems.Judged]) -> list[float]:
    return [beat_alignment(beats_s, kinematic_beats(take.joints_m)) for take, beats_s in takes]


def test_the_shift_is_two_seconds_or_more_and_the_seed_chooses_it(folders: tuple[Path, Path]) -> None:
    shifts = set()
    for seed in range(20):
        take = systems.real_takes(*folders, "test", "real_shifted", seed=seed)[0][0]
        begins, again = take.edges[:2]
        assert begins == 0
        assert 2 * FPS <= again <= len(take.joints_m) - 2 * FPS
        shifts.add(int(again))
    assert len(shifts) > 10


def test_no_real_dancer_is_said(folders: tuple[Path, Path]) -> None:
    store, music = folders
    write_figures(store.parent / "b", store.parent / "b_music", [Figure("fits_somehow", pairing="B")])
    with pytest.raises(ConfigError, match="no rendering of class A and five seconds for the split train") as caught:
        systems.real_takes(store.parent / "b", store.parent / "b_music", "train")
    assert caught.value.code == "REAL_EMPTY"
    with pytest.raises(ConfigError, match="no music for the splits val"):
        systems.real_takes(store, music, "val")
