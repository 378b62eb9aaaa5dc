"""What names of files say."""

from __future__ import annotations

import pytest

from soulstream_training.data.clip_names import NameFacts, one_line, parse_name, read_genre, read_ignored


@pytest.mark.parametrize(
    ("format", "is_sliced", "stem", "facts"),
    [
        (
            *("aist++", False, "gBR_sBM_cAll_d04_mBR0_ch01"),
            NameFacts("mBR0", "gBR_sBM_cAll_d04_mBR0_ch01", "break", "d04"),
        ),
        (
            *("aist++", False, "gJB_sFM_c01_d07_mJB3_ch12_slice5"),
            NameFacts("mJB3", "gJB_sFM_cAll_d07_mJB3_ch12", "ballet-jazz", "d07", True),
        ),
        ("aist++", False, "my_own", NameFacts("my_own", "my_own")),
        ("finedance", False, "001", NameFacts("001", "001")),
        ("finedance", False, "M001", NameFacts("001", "001")),
        ("finedance", False, "001z@005", NameFacts("001", "001", is_slice=True)),
        ("finedance", False, "warm_up", NameFacts("warm_up", "warm_up")),
        ("souldance322", True, "take_a_0012", NameFacts("take_a", "take_a", is_slice=True)),
        ("souldance322", True, "take_a_slice_12", NameFacts("take_a", "take_a", is_slice=True)),
        ("souldance322", True, "take_01_0012", NameFacts("take_01", "take_01", is_slice=True)),
        ("souldance322", True, "take12", NameFacts("take12", "take12")),
        ("souldance322", False, "take_a_0012", NameFacts("take_a_0012", "take_a_0012")),
        ("joints", False, "waltz_3", NameFacts("waltz_3", "waltz_3")),
        ("joints", True, "_" * 250 + "x", NameFacts("_" * 250 + "x", "_" * 250 + "x")),
    ],
)
def test_what_names_say(format, is_sliced, stem, facts):
    assert parse_name(stem, format, is_sliced=is_sliced) == facts


def test_texts_that_are_not_there_say_nothing(tmp_path):
    assert read_genre(tmp_path / "motion" / "001.npy", "001") == ""
    assert read_ignored(tmp_path) == frozenset()


def test_lists_in_the_folder_and_beside_it_count(tmp_path):
    (tmp_path / "motions").mkdir()
    (tmp_path / "ignore_list.txt").write_text("a\n\n b \n")
    (tmp_path / "motions" / "ignore_list.txt").write_text("c")
    assert read_ignored(tmp_path / "motions") == {"a", "b", "c"}


def test_texts_become_a_line():
    assert one_line(" hip \n hop ") == "hip hop"
    assert one_line("bell\a") == ""
    assert one_line("x" * 100) == "x" * 60
