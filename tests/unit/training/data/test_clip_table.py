"""A table of a data set: what names say, what is left out, and a table that reads back."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import PurePosixPath

import pytest
from fakes.dance_folders import (
    FRAMES,
    cut,
    write_aist,
    write_bvh,
    write_columns,
    write_finedance,
    write_joints,
    write_music,
    write_phantom,
)

from soulstream_engine.errors import ConfigError
from soulstream_training.data import clip_table
from soulstream_training.data.clip_table import ENDINGS, build_table, write_table
from soulstream_training.data.clips import read_clips
from soulstream_training.data.readers import MODEL_FORMATS
from soulstream_training.data.splits import find_split_leaks

ALL = (1, 0, 0)


def plain(folder, *names):
    for seed, name in enumerate(names):
        write_joints(folder / f"{name}.npy", seed)


def joints(folder, **options):
    return build_table(folder, "joints", **{"fps": 30, "shares": ALL, **options})


def test_every_format_of_a_body_model_can_be_scanned():
    assert set(ENDINGS) == {*MODEL_FORMATS, "bvh"}


def test_an_aist_file_gives_genre_song_and_performer(tmp_path):
    write_aist(tmp_path / "motions" / "gBR_sBM_cAll_d04_mBR0_ch01.pkl", 0)
    write_music(tmp_path / "music", ["mBR0", "mBR1"], ".mp3")
    options = {"data_dir": tmp_path, "music_dir": tmp_path / "music", "shares": ALL}
    (row,) = build_table(tmp_path / "motions", "aist++", **options).rows
    assert (row.clip_id, row.style, row.performer) == ("gBR_sBM_cAll_d04_mBR0_ch01", "break", "d04")
    assert (row.true_fps, row.num_frames, row.dancer, row.partner_id) == (60.0, FRAMES, 0, "")
    assert (row.pairing_class, str(row.music)) == ("real", "music/mBR0.mp3")
    assert row.path == PurePosixPath("motions/gBR_sBM_cAll_d04_mBR0_ch01.pkl")


def test_motions_that_the_publisher_of_aist_ignores_are_left_out(tmp_path):
    for choreography in ("ch01", "ch02"):
        write_aist(tmp_path / "motions" / f"gBR_sBM_cAll_d04_mBR0_{choreography}.pkl", 0)
    (tmp_path / "ignore_list.txt").write_text("gBR_sBM_cAll_d04_mBR0_ch02\n")
    built = build_table(tmp_path / "motions", "aist++", shares=ALL)
    assert [row.clip_id for row in built.rows] == ["gBR_sBM_cAll_d04_mBR0_ch01"]
    assert "ignore_list.txt" in built.left_out[0][1]


@pytest.mark.parametrize(
    ("label", "genre"),
    [
        ({"style1": "Street", "style2": "Popping"}, "Popping"),
        ({"style1": "Street"}, "Street"),
        ({"style2": 7, "style1": " a \n b "}, "a b"),
        ({"style2": "\u0007"}, "unknown"),
        ([], "unknown"),
        ("{", "unknown"),
        (None, "unknown"),
    ],
)
def test_finedance_labels_give_the_genre(tmp_path, label, genre):
    write_finedance(tmp_path / "motion" / "001.npy", 0)
    if label is not None:
        (tmp_path / "label_json").mkdir()
        text = label if isinstance(label, str) else json.dumps(label)
        (tmp_path / "label_json" / "001.json").write_text(text)
    (row,) = build_table(tmp_path / "motion", "finedance", shares=ALL).rows
    assert (row.style, row.true_fps) == (genre, 30.0)


def test_folders_are_genres_if_there_are_several(tmp_path):
    plain(tmp_path, "jazz/a", "jazz/b")
    assert {row.style for row in joints(tmp_path).rows} == {"unknown"}
    plain(tmp_path, "jazz/a", "jazz/b", "hip hop/c")
    assert [row.style for row in joints(tmp_path).rows] == ["hip hop", "jazz", "jazz"]


def test_several_dancers_are_rows_that_name_each_other_in_a_ring(tmp_path):
    write_joints(tmp_path / "trio.npy", 0, 1, 2)
    write_music(tmp_path, ["trio"])
    rows = joints(tmp_path, music_dir=tmp_path).rows
    assert [(row.clip_id, row.dancer, row.partner_id) for row in rows] == [
        *(("trio.1", 1, "trio.2"), ("trio.2", 2, "trio.3"), ("trio.3", 3, "trio.1")),
    ]
    assert {str(row.path) for row in rows} == {"trio.npy"}
    assert {str(row.music) for row in rows} == {"trio.wav"}


def test_a_slice_is_paired_with_its_own_music_only(tmp_path):
    write_columns(tmp_path / "a_0000.npy", 0)
    write_columns(tmp_path / "a_0001.npy", 1)
    write_music(tmp_path, ["a", "a_0001"])
    options = {"fps": 60, "music_dir": tmp_path, "shares": ALL}
    first, second = build_table(tmp_path, "souldance322", **options).rows
    assert (first.pairing_class, first.music) == ("B", None)
    assert (second.pairing_class, str(second.music)) == ("real", "a_0001.wav")
    second = build_table(tmp_path, "souldance322", is_sliced=False, **options).rows[1]
    assert str(second.music) == "a_0001.wav"


def test_music_is_found_by_ending_and_by_folder_and_not_guessed(tmp_path):
    plain(tmp_path, "jazz/1", "soul/1", "soul/2", "soul/3")
    write_music(tmp_path / "music" / "jazz", ["1"])
    write_music(tmp_path / "music" / "soul", ["1", "3"])
    write_music(tmp_path / "music" / "house", ["3"])
    write_music(tmp_path / "music" / "x", ["2"], ".ogg")
    write_music(tmp_path / "music" / "x", ["2"], ".FLAC")
    write_music(tmp_path / "music" / "y", ["4"])
    plain(tmp_path, "jazz/1", "soul/1", "soul/2", "soul/3", "funk/3")
    found = {str(row.path): row.music and str(row.music) for row in joints(tmp_path, music_dir=tmp_path / "music").rows}
    assert found == {
        "funk/3.npy": None,
        "jazz/1.npy": "music/jazz/1.wav",
        "soul/1.npy": "music/soul/1.wav",
        "soul/2.npy": "music/x/2.FLAC",
        "soul/3.npy": "music/soul/3.wav",
    }


def test_ids_are_unique_whatever_the_files_are_called(tmp_path):
    names = ["jazz/a b", "jazz/a_b", "soul/x", "jazz/X", "duo", "duo.1", "été", ".hidden"]
    plain(tmp_path, *names)
    write_joints(tmp_path / "duo.npy", 10, 11)
    ids = [row.clip_id for row in joints(tmp_path).rows]
    assert sorted(ids) == ["duo-2.1", "duo-2.2", "duo.1", "jazz-X", "jazz-a_b", "jazz-a_b-2", "soul-x", "été"]


def test_the_same_content_is_kept_together(tmp_path):
    plain(tmp_path, *"abcdefgh")
    for name in "xy":
        write_joints(tmp_path / f"{name}.npy", 50)
    write_music(tmp_path, "abcdefgh")
    for name in "cd":
        (tmp_path / f"{name}.wav").write_bytes((tmp_path / "b.wav").read_bytes())
    built = joints(tmp_path, music_dir=tmp_path, shares=(1, 1, 1))
    split = {row.clip_id: row.split for row in built.rows}
    assert split["x"] == split["y"]
    assert split["b"] == split["c"] == split["d"]
    assert set(split.values()) == {"train", "val", "test"}
    assert find_split_leaks(built.items, split) == []


def test_damaged_files_are_left_out_with_their_reason(tmp_path):
    plain(tmp_path, "a", "b")
    cut(tmp_path / "b.npy")
    (tmp_path / "c.npy").write_bytes(b"")
    (tmp_path / "d.txt").write_text("no motion")
    calls = []
    built = joints(tmp_path, on_file=lambda done, total: calls.append((done, total)))
    assert [row.clip_id for row in built.rows] == ["a"]
    assert [path for path, _ in built.left_out] == ["b.npy", "c.npy"]
    assert "bytes" in built.left_out[0][1]
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_links_do_not_lead_out_of_the_folder(tmp_path):
    plain(tmp_path / "in", "a", "deep/b")
    plain(tmp_path / "out", "secret")
    (tmp_path / "in" / "link.npy").symlink_to(tmp_path / "out" / "secret.npy")
    (tmp_path / "in" / "again.npy").symlink_to(tmp_path / "in" / "a.npy")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "gone.npy").symlink_to(tmp_path / "in" / "nothing.npy")
    os.mkfifo(tmp_path / "in" / "pipe.npy")
    built = joints(tmp_path / "in")
    assert [str(row.path) for row in built.rows] == ["a.npy", "again.npy", "deep/b.npy"]
    assert built.left_out == (
        *(("gone.npy", "is no file"), ("link.npy", "is a link out of the folder"), ("pipe.npy", "is no file")),
    )


def test_names_that_a_table_cannot_hold_are_left_out(tmp_path):
    plain(tmp_path, "a")
    write_joints(tmp_path / "with\nline.npy", 1)
    os.rename(tmp_path / "with\nline.npy", os.fsencode(tmp_path) + b"/bad\xff\n.npy")
    write_joints(tmp_path / " blank.npy", 2)
    built = joints(tmp_path)
    assert [row.clip_id for row in built.rows] == ["a"]
    assert [path for path, _ in built.left_out] == [" blank.npy", r"bad\udcff\n.npy"]
    assert r"'bad\udcff\n.npy' is no name" in built.left_out[1][1]


def test_bvh_files_keep_their_unit_and_rate(tmp_path):
    write_bvh(tmp_path / "a.bvh", 0)
    (row,) = build_table(tmp_path, "bvh", shares=ALL, unit_cm=2.5, up_axis="Z").rows
    assert (row.unit_m, row.up_axis, row.num_frames) == (0.025, "Z", FRAMES)
    assert row.true_fps == pytest.approx(30.0, abs=0.01)
    (row,) = build_table(tmp_path, "bvh", shares=ALL, fps=24).rows
    assert row.true_fps == 24.0


def test_phantomdance_is_read_at_its_own_rate(tmp_path):
    write_phantom(tmp_path / "a.json", 0)
    (row,) = build_table(tmp_path, "phantomdance", shares=ALL).rows
    assert (row.true_fps, row.num_frames, row.style) == (30.0, FRAMES, "unknown")


def test_performers_apart_needs_names_that_tell_them(tmp_path):
    for seed, name in enumerate(["d04_mBR0", "d04_mBR1", "d05_mBR2", "d06_mBR3"]):
        write_aist(tmp_path / f"gBR_sBM_cAll_{name}_ch01.pkl", seed)
    built = build_table(tmp_path, "aist++", performers_apart=True)
    split = {row.clip_id[13:21]: row.split for row in built.rows}
    assert split["d04_mBR0"] == split["d04_mBR1"]
    assert len(set(split.values())) == 3
    plain(tmp_path / "own", "a")
    with pytest.raises(ConfigError, match=r"a\.npy: the name does not tell who dances"):
        joints(tmp_path / "own", performers_apart=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "amc+asf"}, "'amc\\+asf' is no format that a table can be made of"),
        ({"fps": None}, "Files of format 'joints' carry no frame rate"),
        ({"fps": 0.5}, "0.5 frames a second are outside of 1 to 1000"),
        ({"unit_cm": 0.0}, r"A unit of 0 cm \(0.001 to 1000\)"),
        ({"up_axis": "X"}, r"with X up \(Y or Z\) cannot be"),
        ({"music_dir": "nothing"}, "'nothing' is no folder"),
        ({"format": "phantomdance"}, r"holds no file of format 'phantomdance' \(\.json\)"),
        ({"shares": (8, 1, 1)}, "form 1 groups"),
        ({"shares": (1, 2)}, "The shares 1, 2 are not those of train, val, test"),
        ({"fps": 1000.0, "format": "joints-z-up"}, r"None of 1 files .* the first: a\.npy: has"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, options, message):
    plain(tmp_path, "a")
    settings = {"format": "joints", "fps": 30.0, "shares": ALL, **options}
    if isinstance(settings.get("music_dir"), str):
        settings["music_dir"] = type(tmp_path)(settings["music_dir"])
    with pytest.raises(ConfigError, match=message):
        build_table(tmp_path, settings.pop("format"), **settings)


def test_the_table_lies_above_recordings_and_music(tmp_path):
    plain(tmp_path / "motion", "a")
    write_music(tmp_path / "music", ["a"])
    with pytest.raises(ConfigError, match=r"music' is not inside '.*motion', where the table is to lie"):
        joints(tmp_path / "motion", music_dir=tmp_path / "music")
    (row,) = joints(tmp_path / "motion", music_dir=tmp_path / "music", data_dir=tmp_path).rows
    assert (str(row.path), str(row.music)) == ("motion/a.npy", "music/a.wav")


def test_too_many_files_and_clips_are_refused(tmp_path, monkeypatch):
    plain(tmp_path, "a", "b")
    write_joints(tmp_path / "c.npy", 3, 4, 5)
    monkeypatch.setattr(clip_table, "MAX_ROWS", 4)
    with pytest.raises(ConfigError, match="holds more than 4 clips"):
        joints(tmp_path)
    monkeypatch.setattr(clip_table, "MAX_FILES", 2)
    with pytest.raises(ConfigError, match="holds more than 2 files"):
        joints(tmp_path)


def test_a_written_table_reads_back_to_the_same_rows(tmp_path):
    plain(tmp_path, "a", "b,c", "été")
    rows = list(joints(tmp_path).rows)
    rows[0] = replace(rows[0], bad_frames=((3, 6), (9, 10)), tempo_bpm=93.75, true_fps=30000 / 1001, unit_m=0.05644444)
    rows[1] = replace(rows[1], style='say "hi", twice', licence="CC0", face=PurePosixPath("faces/b.csv"))
    write_table(tmp_path / "clips.csv", rows)
    table = read_clips(tmp_path / "clips.csv")
    assert table.refused == ()
    assert table.rows[1:] == tuple(rows[1:])
    assert replace(table.rows[0], unit_m=0.0) == replace(rows[0], unit_m=0.0)
    assert table.rows[0].unit_m == pytest.approx(0.05644444)
    assert [path.name for path in tmp_path.glob("*.partial")] == []
    with pytest.raises(ConfigError, match="cannot be written"):
        write_table(tmp_path / "nowhere" / "clips.csv", rows)


def test_a_bvh_whose_skeleton_cannot_be_used_is_left_out_by_its_joint(tmp_path):
    write_bvh(tmp_path / "good.bvh", 0)
    text = write_bvh(tmp_path / "arm.bvh", 0).read_text().splitlines()
    elbow = next(number for number, line in enumerate(text) if line.split() == ["JOINT", "left_elbow"])
    text[elbow + 2] = "OFFSET 0 0 0"
    (tmp_path / "arm.bvh").write_text("\n".join(text) + "\n")
    (tmp_path / "names.bvh").write_text((tmp_path / "good.bvh").read_text().replace("left_knee", "left_kn"))
    built = build_table(tmp_path, "bvh", shares=ALL)
    assert [row.clip_id for row in built.rows] == ["good"]
    reasons = dict(built.left_out)
    assert "'left_shoulder' to 'left_elbow'" in reasons["arm.bvh"]
    assert "No joint map fits" in reasons["names.bvh"]


def test_a_rate_written_with_few_decimals_is_the_whole_one(tmp_path):
    path = write_bvh(tmp_path / "a.bvh", 0)
    text = path.read_text()
    seconds = next(line for line in text.splitlines() if line.startswith("Frame Time:"))
    path.write_text(text.replace(seconds, "Frame Time: 0.0333333"))
    (row,) = build_table(tmp_path, "bvh", shares=ALL).rows
    assert row.true_fps == 30.0
