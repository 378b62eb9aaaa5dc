"""The judged table: averages by song, sets of stretches, and metrics that have to prove themselves."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.motion.rotations import from_axis_angle
from soulstream_engine.motion.skeleton import PELVIS_REST_HEIGHT_M, forward_kinematics
from soulstream_training.evaluation.dance_take import DanceTake
from soulstream_training.evaluation.judge import Measured, chance_of, measure, table_row, to_json
from soulstream_training.evaluation.systems import SystemTakes

FRAMES = 300
BEATS_S = np.arange(0.0, 10.0, 0.5)


def dance(song: str, speed: float = 1.0, *, with_rotations: bool = True) -> DanceTake:
    swing = np.cos(2 * np.pi * np.arange(FRAMES) / 30 * speed)
    root = np.stack([0.1 * swing, np.full(FRAMES, PELVIS_REST_HEIGHT_M), 0.05 * swing], axis=-1)
    joints = np.zeros((FRAMES, 22, 4))
    joints[..., 0] = 1.0
    joints[:, 16] = from_axis_angle(np.array([0.0, 0.0, 1.0]), 0.6 * swing)
    positions = forward_kinematics(root, joints).astype(np.float32)
    return DanceTake(song, positions, joints.astype(np.float32) if with_rotations else None)


def system(name: str, *takes: DanceTake) -> SystemTakes:
    return SystemTakes(name, [(take, BEATS_S) for take in takes], 0.0, True)


def numbers(name: str, **bas: float) -> Measured:
    return Measured(name, {"bas": {song: [value] for song, value in bas.items()}}, {}, {})


def test_a_song_that_was_danced_to_more_often_weighs_no_more() -> None:
    slow, fast = dance("a", 0.5), dance("b", 2.0)
    found = measure(system("x", slow, slow, slow, fast))
    row = table_row(found, found)
    jerk = [found.numbers["jerk"][song][0] for song in "ab"]
    assert len(found.numbers["jerk"]["a"]) == 3
    assert row["jerk"].value == pytest.approx(np.mean(jerk))
    assert row["jerk"].low <= row["jerk"].value <= row["jerk"].high


def test_real_dances_are_at_no_distance_from_themselves_and_others_are() -> None:
    real = measure(system("real", dance("a"), dance("b", 1.3)))
    made = measure(system("made", dance("a", 2.5), dance("b", 2.7)))
    for short in "kg":
        assert table_row(real, real)[f"fid_{short}"].value < 1e-3
    assert table_row(made, real)["fid_k"].value > 1.0
    assert len(real.stretches["kinetic"]["a"]) == 2, "two stretches of five seconds"
    assert "latent" not in real.stretches


def test_multimodality_needs_two_dances_to_every_song() -> None:
    real = measure(system("real", dance("a"), dance("b", 1.3)))
    assert "multimodality" not in table_row(real, real)
    twice = measure(system("x", dance("a"), dance("a", 1.2), dance("b"), dance("b", 1.2)))
    assert table_row(twice, real)["multimodality"].value > 0.0
    same = measure(system("x", dance("a"), dance("a"), dance("b"), dance("b")))
    assert table_row(same, real)["multimodality"].value == pytest.approx(0.0, abs=1e-9)


def test_positions_alone_are_judged_by_what_positions_tell() -> None:
    found = measure(system("x", dance("a", with_rotations=False)))
    assert found.numbers.keys() >= {"bas", "jerk", "pfc", "foot_slide"}
    assert 0.0 < found.numbers["boundary_jerk"]["a"][0] < 2.0, "no seams: measured where nothing begins"
    assert "mmr_ms" not in found.numbers
    with pytest.raises(ValueError, match="'nobody' has no dance"):
        measure(system("nobody"))


def test_chance_is_paired_by_song_where_songs_are_the_same() -> None:
    songs = {f"s{n}": 0.1 * n for n in range(10)}
    ahead = {song: value + 0.01 for song, value in songs.items()}
    assert chance_of(numbers("real", **ahead), numbers("floor", **songs), "bas") < 0.005
    assert chance_of(numbers("real", **songs), numbers("floor", **ahead), "bas") > 0.99
    elsewhere = {f"t{n}": value for n, value in enumerate(songs.values())}
    assert chance_of(numbers("real", **ahead), numbers("floor", **elsewhere), "bas") > 0.2, "unpaired, it is nothing"
    far = {song: value - 5.0 for song, value in elsewhere.items()}
    assert chance_of(numbers("real", **ahead), numbers("floor", **far), "bas") < 0.001
    with pytest.raises(ValueError, match="'floor' for 0; both need one"):
        chance_of(numbers("real", **ahead), Measured("floor", {}, {}, {}), "bas")


def test_json_is_rounded_and_whole() -> None:
    real = measure(system("real", dance("a"), dance("b", 1.3)))
    found = to_json(table_row(real, real))
    assert found.keys() == table_row(real, real).keys()
    assert all(entry.keys() == {"value", "low", "high"} for entry in found.values())
