"""The clip table."""

from __future__ import annotations

import re

import pytest

from soulstream_engine.errors import ConfigError
from soulstream_training.data.clips import list_styles, read_clips

HEADER = "id,path,format,skeleton,true_fps,frames,split,pairing_class,tempo_bpm,partner_id,performer,style,bad_frames"


def table(tmp_path, *lines, header=HEADER):
    path = tmp_path / "clips.csv"
    path.write_text("\n".join([header, *lines, ""]))
    return path


def test_a_row_is_typed_and_its_bad_frames_half_open(tmp_path):
    row, other = read_clips(
        table(
            tmp_path,
            "a,m/a.amc.gz,amc+asf,m/a.asf,60,100,train,A,165,b,p,salsa,3-5;9;20-29",
            "b,m/b.bvh,bvh,,24,10,aux,none,,,p,dab,",
        )
    ).rows
    assert row.bad_frames == ((3, 6), (9, 10), (20, 30))
    assert (row.true_fps, row.num_frames, row.tempo_bpm, row.partner_id) == (60.0, 100, 165.0, "b")
    assert (other.skeleton, other.tempo_bpm, other.bad_frames) == (None, None, ())
    assert list_styles([row, other]) == ("dab", "salsa")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,m/a,f,,60,100,traim,B,,,p,s,", r"clips\.csv:2: split 'traim' is not one of train"),
        ("a,m/a,f,,0,100,train,B,,,p,s,", "true_fps '0' is outside"),
        ("a,m/a,f,,60,x,train,B,,,p,s,", "frames 'x' is not a number"),
        ("a,/etc/x,f,,60,100,train,B,,,p,s,", "path '/etc/x' must be a path inside"),
        ("a,../x,f,,60,100,train,B,,,p,s,", "must be a path inside"),
        ("../a,m/a,f,,60,100,train,B,,,p,s,", "id '../a' must be"),
        ("a,m/a,f,,60,100,train,A,nan,,p,s,", "tempo_bpm 'nan' is outside"),
        ("a,m/a,f,,60,100,train,A,,,p,s,", r"clips\.csv:2: tempo_bpm '' is needed by class A"),
        ("a,m/a,f,,60,100,train,B,,,p,s,90-100", "beyond 100 frames"),
        ("a,m/a,f,,60,100,train,B,,,p,s,9-5", "out of order"),
        ("a,m/a,f,,60,100,train,B,,,p,s,x", "ranges like"),
    ],
)
def test_a_wrong_line_is_refused_by_number_and_value_and_the_others_stay(tmp_path, line, message):
    found = read_clips(table(tmp_path, line, "b,m/b.bvh,bvh,,24,10,aux,none,,,p,dab,"))
    assert [row.clip_id for row in found.rows] == ["b"]
    ((name, reason),) = found.refused
    assert name == line.split(",")[0]
    assert re.search(message, reason)


def test_a_table_saved_with_a_byte_order_mark_is_read(tmp_path):
    path = table(tmp_path, "a,m/a,f,,60,100,train,B,,,p,s,")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [row.clip_id for row in read_clips(path).rows] == ["a"]


def test_an_id_twice_is_refused_once(tmp_path):
    line = "a,m/a,f,,60,100,train,B,,,p,s,"
    found = read_clips(table(tmp_path, line, line))
    assert [row.clip_id for row in found.rows] == ["a"]
    assert found.refused[0][1].startswith("clips.csv:3: id 'a' appears twice")


def test_a_line_that_ends_early_is_refused_by_its_number(tmp_path):
    found = read_clips(table(tmp_path, "a,m/a,f,,60", "b,m/b.bvh,bvh,,24,10,aux,none,,,p,dab,"))
    assert found.refused[0][0] == "a"
    assert "clips.csv:2: " in found.refused[0][1]


def test_dancer_music_and_face(tmp_path):
    header = f"{HEADER},dancer,music,face"
    lines = [
        "a,m/a,f,,60,100,train,real,,,p,s,,2,music/x.wav,face.csv",
        "b,m/a,f,,60,100,train,real,,,p,s,,,,",
        "c,m/a,f,,60,100,train,B,,,p,s,,6,,",
        "d,m/a,f,,60,100,train,B,,,p,s,,1,../x.wav,",
    ]
    found = read_clips(table(tmp_path, *lines, header=header))
    (row,) = found.rows
    assert (row.dancer, str(row.music), str(row.face)) == (2, "music/x.wav", "face.csv")
    reasons = " ".join(reason for _, reason in found.refused)
    assert "pairing_class 'real' needs the column music" in reasons
    assert "dancer '6' is outside 0 to 5" in reasons
    assert "music '../x.wav' must be a path inside" in reasons


def test_a_missing_column_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"lacks the columns \['bad_frames'\]"):
        read_clips(table(tmp_path, header=HEADER.removesuffix(",bad_frames")))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_clips(tmp_path / "none.csv")
