"""The clip table."""

from __future__ import annotations

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
    )
    assert row.bad_frames == ((3, 6), (9, 10), (20, 30))
    assert (row.true_fps, row.num_frames, row.tempo_bpm, row.partner_id) == (60.0, 100, 165.0, "b")
    assert (other.skeleton, other.tempo_bpm, other.bad_frames) == (None, None, ())
    assert list_styles([row, other]) == ("dab", "salsa")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,m/a,f,,60,100,traim,A,,,p,s,", r"clips\.csv:2: split 'traim' is not one of train"),
        ("a,m/a,f,,0,100,train,A,,,p,s,", "true_fps '0' is outside"),
        ("a,m/a,f,,60,x,train,A,,,p,s,", "frames 'x' is not a number"),
        ("a,/etc/x,f,,60,100,train,A,,,p,s,", "path '/etc/x' must be a path inside"),
        ("a,../x,f,,60,100,train,A,,,p,s,", "must be a path inside"),
        ("../a,m/a,f,,60,100,train,A,,,p,s,", "id '../a' must be"),
        ("a,m/a,f,,60,100,train,A,nan,,p,s,", "tempo_bpm 'nan' is outside"),
        ("a,m/a,f,,60,100,train,A,,,p,s,90-100", "beyond 100 frames"),
        ("a,m/a,f,,60,100,train,A,,,p,s,9-5", "out of order"),
        ("a,m/a,f,,60,100,train,A,,,p,s,x", "ranges like"),
    ],
)
def test_wrong_values_are_named(tmp_path, line, message):
    with pytest.raises(ConfigError, match=message):
        read_clips(table(tmp_path, line))


def test_an_id_twice_a_missing_column_and_a_missing_file_are_refused(tmp_path):
    line = "a,m/a,f,,60,100,train,A,,,p,s,"
    with pytest.raises(ConfigError, match="'a' appears twice"):
        read_clips(table(tmp_path, line, line))
    with pytest.raises(ConfigError, match=r"lacks the columns \['bad_frames'\]"):
        read_clips(table(tmp_path, header=HEADER.removesuffix(",bad_frames")))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_clips(tmp_path / "none.csv")
