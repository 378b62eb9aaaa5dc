"""The report: its page stands alone and is escaped, its paper is a PDF, and a failed one leaves the old."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.motion_store import FRAMES, write_motion, write_music
from matplotlib.figure import Figure

from soulstream_training.data import report, report_pdf
from soulstream_training.data.music_index import INDEX_NAME
from soulstream_training.data.notices import MIT_TEXT, NOTICES, notices_for
from soulstream_training.data.report_blocks import Section, Table, Text, clean, shorten, to_html
from soulstream_training.data.report_figures import MAX_BARS, bar_charts, p_values
from soulstream_training.data.report_numbers import Tally, gather
from soulstream_training.data.report_pdf import to_pdf
from soulstream_training.data.report_poses import FEW, MANY, Poses, collect_poses, contact_sheet, most_unlike
from soulstream_training.data.report_sections import build_sections
from soulstream_training.data.report_text import text_width, wrap
from soulstream_training.data.store import read_index, write_index

ATTACK = "<script>alert('x')</script> & \"$\\frac{$"
VOID = {"meta", "img", "br", "hr", "link", "input", "col"}


class Page(HTMLParser):
    """Text, tags and attributes of a page; fails where tags do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def num_pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))


def made_up_set(folder: Path) -> tuple[Path, Path]:
    """The made-up store with labels that try to break out, a drum take of Groove, and a list of what was left out."""
    store, music = folder / "store", folder / "music"
    write_motion(store)
    write_music(music)
    labels = [("Ann Äxample", "disco", "CMU-MOCAP"), ("Ann Äxample", ATTACK, "MIT-ANIMATEDDRAWINGS")]
    labels += [("bob" * 30, "salsa", "MADE-UP-1.0"), ("", "salsa", "CC0-1.0")]
    entries = [
        replace(entry, performer=performer, style=style, licence=licence)
        for entry, (performer, style, licence) in zip(read_index(store), labels, strict=True)
    ]
    write_index(store, entries)
    index = json.loads((music / INDEX_NAME).read_text())
    for rendering in index["renderings"][:2]:
        rendering |= {"drums": "groove/drummer1/1", "shift_p": 0.0123, "refit_p": 0.345}
    (music / INDEX_NAME).write_text(json.dumps(index))
    left_out = [{"clip_id": "gone", "reason": ATTACK}, {"clip_id": "lost\ud800", "reason": "line\nline\x00"}]
    (store / "left_out.json").write_text(json.dumps({"left_out": left_out}))
    return store, music


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, bytes, list[tuple[str, int, int]]]:
    folder = tmp_path_factory.mktemp("report")
    store, music = made_up_set(folder)
    steps: list[tuple[str, int, int]] = []
    result = report.write_report(
        store, music, folder / "new" / "out", notices=("Thank <you>.",), on_step=lambda *step: steps.append(step)
    )
    html, pdf = Path(result["html"]), Path(result["pdf"])
    assert sorted(html.parent.iterdir()) == [html, pdf]
    return result, html.read_text(encoding="utf-8"), pdf.read_bytes(), steps


def test_key_numbers_are_those_counted_by_hand(made: tuple[dict[str, Any], str, bytes, Any]) -> None:
    result = made[0]
    assert (result["clips"], result["performers"], result["styles"]) == (4, 3, 3)
    assert result["minutes"] == round(4 * FRAMES / 1800, 2)
    assert result["hours_paired"] == round(2 * 2 * FRAMES / 108000, 2)
    assert (result["left_out"], result["leaks"]) == (2, 0)
    json.dumps(result)


def test_the_page_says_what_is_in_the_set(made: tuple[dict[str, Any], str, bytes, Any]) -> None:
    words = " ".join(Page(made[1]).words)
    for expected in ("Ann Äxample", "bob" * 30, "(none)", "disco", "salsa", f"{2 * FRAMES / 1800:.2f}"):
        assert expected in words
    for expected in ("0.012", "0.345", "clip_0", "gone", "line line", "Thank <you>."):
        assert expected in words
    assert "1 clip, 0.1 min" in words


def test_the_page_has_the_notice_of_every_licence(made: tuple[dict[str, Any], str, bytes, Any]) -> None:
    words = " ".join(Page(made[1]).words)
    for licence_id in ("CMU-MOCAP", "MIT-ANIMATEDDRAWINGS", "CC-BY-4.0-GROOVE"):
        assert NOTICES[licence_id].text in words
    assert MIT_TEXT in words
    assert "MADE-UP-1.0" in words
    assert "No notice is known for this id" in words


def test_text_is_escaped_and_the_page_stands_alone(made: tuple[dict[str, Any], str, bytes, Any]) -> None:
    page = Page(made[1])
    assert "script" not in page.tags
    assert " ".join(ATTACK.split()) in " ".join(page.words)
    assert "<script" not in made[1]
    sources = [value for name, value in page.attributes if name == "src"]
    assert sources
    assert all(source.startswith(("data:image/png;base64,", "data:image/svg+xml;base64,")) for source in sources)
    assert all(value.startswith("#") for name, value in page.attributes if name == "href")
    assert "@media print" in made[1]


def test_the_paper_is_a_pdf_of_several_pages(made: tuple[dict[str, Any], str, bytes, Any]) -> None:
    assert made[2].startswith(b"%PDF")
    assert num_pages(made[2]) > 1


def test_a_clip_with_a_recording_of_its_own_has_no_p_values(tmp_path: Path) -> None:
    store, music = made_up_set(tmp_path)
    write_index(store, [replace(entry, pairing_class="real") for entry in read_index(store)])
    index = json.loads((music / INDEX_NAME).read_text())
    for rendering in index["renderings"]:
        rendering |= {"pairing_class": "real", "shift_p": 1.0, "refit_p": 1.0}
    (music / INDEX_NAME).write_text(json.dumps(index))
    numbers = gather(store, music)
    found = next(section for section in build_sections(numbers, ()) if section.title == "Pairing with music")
    classes, clips = (block for block in found.blocks if isinstance(block, Table))
    assert classes.rows[0][0] == "real"
    assert classes.rows[0][-3:] == ("-", "-", "-")
    assert clips.rows[0][3:] == ("120 to 120", "-", "-", "-", "-")
    figure = Figure()
    p_values(numbers.music).draw(figure)
    assert figure.axes[1].get_legend() is None


def test_progress_reaches_its_end(made: tuple[dict[str, Any], str, bytes, list[tuple[str, int, int]]]) -> None:
    steps = made[3]
    assert [step for step in steps if step[0] == "Counting clips"][-1] == ("Counting clips", 4, 4)
    assert [step for step in steps if step[0] == "Choosing poses"][-1] == ("Choosing poses", 3, 3)
    _, done, total = steps[-1]
    assert done == total


@pytest.mark.parametrize("where", ["drawing", "writing"])
def test_a_failed_report_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    write_motion(tmp_path / "store")
    old = {"index.html": b"old page", "report.pdf": b"old paper"}
    out = tmp_path / "out"
    out.mkdir()
    for name, content in old.items():
        (out / name).write_bytes(content)

    def fail(*_: Any) -> bytes:
        raise OSError("no space left on device")

    monkeypatch.setattr(report, "to_html", lambda *_: "new page")
    monkeypatch.setattr(report, "to_pdf", fail if where == "drawing" else lambda *_: b"new paper")
    if where == "writing":
        write = Path.write_bytes
        monkeypatch.setattr(Path, "write_bytes", lambda p, d: fail() if "report.pdf" in p.name else write(p, d))
    with pytest.raises(OSError, match="no space left"):
        report.write_report(tmp_path / "store", None, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == old


def test_an_empty_store_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    write_index(tmp_path / "store", [])
    result = report.write_report(tmp_path / "store", None, tmp_path / "out")
    words = " ".join(Page(Path(result["html"]).read_text(encoding="utf-8")).words)
    assert (result["clips"], result["left_out"]) == (0, None)
    assert "No music was made" in words
    assert "does not say what was left out" in words


def test_the_same_report_gives_the_same_bytes() -> None:
    tallies = [Tally(f"name {number}", number, number / 7, 1, 0.5) for number in range(3)]
    sections = [Section("Bars", (*bar_charts(tallies, "styles", "performers"), Text("Words.")))]
    for write in (to_html, to_pdf):
        assert write("Report", [("clips", "3")], sections) == write("Report", [("clips", "3")], sections)  # type: ignore[operator]


def test_many_labels_go_on_in_the_next_picture() -> None:
    tallies = [Tally(str(number), 1, 1.0, 1, 0.5) for number in range(2 * MAX_BARS + 1)]
    pictures = bar_charts(tallies, "styles", "performers")
    assert len(pictures) == 3
    assert f"51 to {2 * MAX_BARS + 1} of {2 * MAX_BARS + 1}" in pictures[-1].caption
    assert max(picture.height_in for picture in pictures) < 9.5


def test_a_long_table_is_cut_on_paper_and_whole_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_pdf, "MAX_TABLE_ROWS", 60)
    rows = tuple((f"clip_{number}", "a reason " * 12) for number in range(200))
    section = Section("Left out", (Table(("clip", "reason"), rows, (1.0, 3.0)),))
    assert Page(to_html("Report", [], [section])).tags.count("tr") == len(rows) + 1
    assert num_pages(to_pdf("Report", [], [section])) == 3


def test_lines_are_no_wider_than_asked() -> None:
    text = "a word and " + "averyveryverylongwordwithoutanyspace" * 3 + " end"
    lines = wrap(text, 100.0, 8.0)
    assert all(text_width(line, 8.0) <= 100.0 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert wrap("", 100.0, 8.0) == [""]


def test_text_is_cleaned_of_what_cannot_be_printed() -> None:
    assert clean(" a\n\tb\x00c\ud800 ") == "a b c?"
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefg", 6) == "abcde…"
    assert shorten(" \n", 6) == "(none)"


def test_poses_are_chosen_to_differ() -> None:
    points = np.zeros((5, 2, 3))
    points[:, 0, 0] = [0.0, 0.1, 1.0, 1.1, 5.0]
    assert most_unlike(points, 3).tolist() == [3, 4, 0]
    assert most_unlike(np.zeros((4, 2, 3)), 3).tolist() == [0]


def test_poses_face_the_viewer(tmp_path: Path) -> None:
    write_motion(tmp_path / "store")
    found = collect_poses(tmp_path / "store", read_index(tmp_path / "store"))
    assert [poses.label.split("  ")[0] for poses in found] == ["salsa", "disco"]
    for poses in found:
        across = poses.points_m[:, 1] + poses.points_m[:, 16] - poses.points_m[:, 2] - poses.points_m[:, 17]
        np.testing.assert_allclose(across[:, 2], 0.0, atol=1e-5)
        assert (across[:, 0] > 0.0).all()
        np.testing.assert_allclose(poses.points_m[:, 0, [0, 2]], 0.0, atol=1e-6)


def test_short_styles_share_a_row_and_a_long_one_has_its_own() -> None:
    points = np.zeros((MANY, 28, 3))
    points[:, 5, 1] = np.linspace(1.0, 9.0, MANY)
    captured = np.ones((MANY, 28), np.bool_)
    short, long = Poses("short", points[:FEW], captured[:FEW]), Poses("long", points, captured)
    pictures = contact_sheet([short, long, short, short, short])
    assert [picture.alt for picture in pictures] == [
        "Poses of short",
        "Poses of long",
        "Poses of short and short",
        "Poses of short",
    ]
    assert all(0.5 < picture.height_in < 3.0 for picture in pictures)


def test_every_licence_gets_a_notice_once_and_in_order() -> None:
    found = notices_for(["CC0-1.0", "", "CMU-MOCAP", "CC0-1.0"])
    assert [notice.licence_id for notice in found] == ["", "CC0-1.0", "CMU-MOCAP"]
    assert "without a licence id" in found[0].source


@pytest.mark.data
def test_every_licence_of_the_shared_tables_has_a_notice(shared_data: Path) -> None:
    for table in ("clips.csv", "music.csv"):
        with (shared_data / table).open(newline="", encoding="utf-8") as stream:
            assert {row["licence"] for row in csv.DictReader(stream)} <= set(NOTICES)
