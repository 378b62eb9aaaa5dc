"""The report of a judged table: three made-up dancers, one of them with a name that is HTML."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.named_figures import turned
from matplotlib.figure import Figure
from matplotlib.text import Text

from soulstream_engine.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.skeleton import PELVIS_REST_HEIGHT_M, forward_kinematics
from soulstream_training.data import programs
from soulstream_training.evaluation import judge_report
from soulstream_training.evaluation.dance_take import DanceTake
from soulstream_training.evaluation.intervals import Interval
from soulstream_training.evaluation.judge_charts import (
    Bars,
    interval_bars,
    offset_histograms,
    paths_from_above,
    stretch_features,
    variety,
)
from soulstream_training.evaluation.judge_report import JudgedTable, write_report
from soulstream_training.evaluation.judged_table import METRICS, beat_offsets, score_text
from soulstream_training.evaluation.systems import Song, SystemTakes

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="needs ffmpeg and ffprobe")

SECONDS, BEAT_S = 4.0, 0.5
CEILING, TAG = "real_a", "<b>x"
HEADINGS = [
    "Scores", "Who listens how", "Main scores", "Where in the beat they rest", "Paths on the floor",
    "How varied they dance", "Side by side", "What it was made with",
]  # fmt: skip


def dancing(seed: int, late_s: float = 0.0, seconds: float = SECONDS, walk_m: float = 0.2) -> np.ndarray:
    """Joints [T, 22, 3] of somebody who swings arms and legs and rests ``late_s`` after each beat."""
    size = np.random.default_rng(seed).uniform(0.6, 1.2, 4)
    time = np.arange(round(seconds * FPS)) / FPS
    swing = -np.cos(np.pi * (time - late_s) / BEAT_S)[:, None]
    pose = turned(
        len(time),
        pelvis=swing * [0, 20 * size[0], 4],
        left_shoulder=swing * [15, 20, 40 * size[1]] + [0, 0, -40],
        right_shoulder=swing * [15, -20, -40 * size[2]] + [0, 0, 40],
        left_hip=swing * [20 * size[3], 0, 0] + [-20, 0, 5],
        right_hip=swing * [-20, 0, 0] + [-20, 0, -5],
        left_knee=[30, 0, 0],
        right_knee=[30, 0, 0],
    )
    across = walk_m * np.sin(time) + 0.05 * swing[:, 0]
    root = np.stack([across, np.full(len(time), PELVIS_REST_HEIGHT_M - 0.06), 0.1 * time], axis=-1)
    return np.asarray(forward_kinematics(root, pose), np.float32)


def click_song(name: str) -> Song:
    samples = np.zeros(round(SECONDS * FPS) * SAMPLES_PER_FRAME, np.float32)
    beats_s = np.arange(0.0, SECONDS, BEAT_S)
    click = (0.6 * np.sin(np.arange(2400) / 8) * np.exp(-np.arange(2400) / 500)).astype(np.float32)
    for beat in beats_s:
        samples[round(beat * SAMPLE_RATE) :][:2400] += click
    return Song(name, samples, beats_s)


SONGS = [click_song("song_a"), click_song("song_b & co")]


def system(name: str, seed: int, songs: list[str], late_s: float = 0.0, **about: Any) -> SystemTakes:
    takes = [(DanceTake(song, dancing(seed + number, late_s)), SONGS[0].beats_s) for number, song in enumerate(songs)]
    return SystemTakes(name, takes, **({"wait_s": 0.0, "is_causal": True} | about))


def scores(**values: float) -> dict[str, Interval]:
    return {name: Interval(value, 0.9 * value, 1.2 * value) for name, value in values.items()}


@pytest.fixture(scope="module")
def table() -> JudgedTable:
    ours = [song.name for song in SONGS]
    return JudgedTable(
        systems=[
            system(CEILING, 0, ["take_1", "take_2"]),
            system(TAG, 10, ours, late_s=0.08, wait_s=0.5, note="A note & more."),
            system("other", 20, ours, late_s=0.2, is_causal=False),
        ],
        rows={
            CEILING: scores(bas=0.6, beat_f1=0.7, div_k=9.0, jerk=30.0, foot_slide=0.2),
            TAG: scores(bas=0.41, beat_f1=0.5, div_k=5.0, jerk=31.0, foot_slide=0.1, offset_ms=-3.0, fid_k=12.0),
            "other": scores(bas=0.33, beat_f1=0.6, div_k=8.0, jerk=12.0, foot_slide=0.3, offset_ms=20.0, oddity=1.0),
        },
        beat_p={"bas": 0.001, "beat_f1": 0.25},
        about={
            "commit": "0123abcd",
            "date": "2026-01-02",
            "songs": ours,
            "machine": "two cores",
            "weights": {"other": "/srv/somebody/weights/other.safetensors"},
            "configs": {"other": {"steps": 50}, TAG: "from = file:///srv/a/<i>.toml\nto C:\\Users\\me\\out.json"},
        },
        references={CEILING: "ceiling"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(table: JudgedTable, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = write_report(table, SONGS, tmp_path_factory.mktemp("page") / "new" / "report", films=0)
    return path.read_text(encoding="utf-8")


class _Reader(HTMLParser):
    """All tags of a page; tags that have to be closed are counted."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "source", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def files(self) -> set[str]:
        found = {attrs.get(key) for _, attrs in self.tags for key in ("src", "href", "poster")}
        return {name for name in found if name and not name.startswith("#")}


def cells(page: str, name: str) -> dict[str, str]:
    """HTML of the cells of a system in the tables of scores, by the first words of their headings."""
    found: dict[str, str] = {}
    for head, body in re.findall(r"<caption>.*?</caption><thead>(.*?)</thead><tbody>(.*?)</tbody>", page, re.S):
        titles = re.findall(r"<th [^>]*>([^<]*)", head)
        for row in re.findall(r"<tr.*?</tr>", body, re.S):
            first, *others = re.findall(r"<t[dh].*?</t[dh]>", row, re.S)
            if f">{name} <" in first:
                found |= dict(zip((title.strip() for title in titles[1:]), others, strict=True))
    return found


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_all_parts_of_the_page_are_there(page: str) -> None:
    assert re.findall(r"<h2>(.*?)</h2>", page) == HEADINGS
    assert re.findall(r"<caption>(.*?)</caption>", page) == ["Time", "Space and diversity", "Body", "Other"]
    (first,) = re.findall(r"<header>.*?<p>(.*?)</p>", page, re.S)
    assert "2 systems danced to 2 songs of 4 s each, 4 dances in all" in first
    assert "real dancers whose tempo is sure (class A)" in first and "partly circular" in first
    assert "95 % interval" in first
    assert "No film was made." in page
    assert "<dt>Songs</dt><dd>song_a, song_b &amp; co</dd>" in page and "<dd>two cores</dd>" in page
    assert page.count("<td>0123abcd</td>") == 3
    assert "<pre>steps: 50</pre>" in page


def test_the_page_is_sound_and_stands_alone(page: str, table: JudgedTable, tmp_path: Path) -> None:
    reader = _Reader(page)
    assert not reader.open
    assert "script" not in {tag for tag, _ in reader.tags} and "http" not in page
    pictures = [attrs for tag, attrs in reader.tags if tag == "img"]
    assert [attrs["src"] for attrs in pictures] == ["bars.png", "beats.png", "paths.png", "variety.png"]
    assert all(len(attrs["alt"] or "") > 40 for attrs in pictures)
    assert f"{CEILING} 100 %" in (pictures[1]["alt"] or "")
    first, second = (write_report(table, SONGS, tmp_path / name, films=0) for name in "ab")
    names = sorted(path.name for path in first.parent.iterdir())
    assert names == sorted(reader.files() | {"index.html"})
    assert str(tmp_path) not in page
    for name in names:
        assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes()
        assert name == "index.html" or (first.parent / name).read_bytes().startswith(b"\x89PNG")


def test_the_best_of_those_who_compete_is_bold(page: str) -> None:
    ceiling, tag, other = (cells(page, name) for name in (CEILING, "&lt;b&gt;x", "other"))
    assert "<strong>0.410</strong> <small>0.369 to 0.492</small>" in tag["BAS"]
    assert "strong" in tag["Foot slide, m/s"] and "strong" in tag["FID kinetic"]
    assert "strong" in tag["Lateness, ms"]  # near 0 is better
    assert "strong" in other["Diversity kinetic"] and "strong" in tag["Jerk, m/s³"]  # near the real dancers is better
    assert not any("strong" in cell for cell in ceiling.values())
    both = [title for title in tag if ("strong" in tag[title]) == ("strong" in other[title])]
    assert both == ["Beat F1", "oddity"]
    assert ">\N{EN DASH}<" in ceiling["FID kinetic"]


def test_the_direction_of_a_score_is_told(page: str) -> None:
    for title, mark, meaning in (("BAS", "↑", "more is better"), ("Foot slide, m/s", "↓", "less is better")):
        assert f'{title} <span role="img" aria-label="{meaning}">{mark}</span>' in page
    assert 'Diversity kinetic <span role="img" aria-label="near the real dances is better">≈</span>' in page
    assert '<th scope="col" class="number">oddity</th>' in page


def test_a_beat_score_that_is_not_used_is_grey(page: str) -> None:
    assert re.search(r'<th scope="col" class="number unused">Beat F1 .*?<small>p = 0.25, not used</small></th>', page)
    assert re.search(r'<th scope="col" class="number">BAS .*?<small>p = 0.001</small></th>', page)
    for name in (CEILING, "&lt;b&gt;x", "other"):
        assert [title for title, cell in cells(page, name).items() if "unused" in cell] == ["Beat F1"]


def test_what_a_listener_waits_is_told(page: str) -> None:
    assert '<th scope="row">&lt;b&gt;x <small>causal, 0.5 s</small></th>' in page
    assert '<th scope="row">other <small>offline</small></th>' in page
    assert f'<tr class="reference"><th scope="row">{CEILING} <small>ceiling</small></th>' in page
    assert re.search(
        r">&lt;b&gt;x</th><td>causal</td><td[^>]*>0.50 s</td><td[^>]*>2</td><td[^>]*>2</td><td>A note", page
    )


def test_text_is_escaped_and_folders_are_cut(page: str) -> None:
    assert TAG not in page and "<i>" not in page
    assert "A note &amp; more." in page
    assert "…/other.safetensors" in page and "…/out.json" in page
    for secret in ("/home", "somebody", "file:", "srv", "Users"):
        assert secret not in page


def test_one_song_has_no_interval(table: JudgedTable, tmp_path: Path) -> None:
    alone = replace(table, systems=[replace(s, takes=s.takes[:1]) for s in table.systems])
    page = write_report(alone, SONGS[:1], tmp_path, films=0).read_text(encoding="utf-8")
    assert "0.410</strong> <small>one song</small>" in cells(page, "&lt;b&gt;x")["BAS"]
    assert "danced to 1 song of 4 s each, 2 dances in all" in page


def test_songs_that_nobody_danced_to_have_no_paths(table: JudgedTable, tmp_path: Path) -> None:
    page = write_report(table, [click_song("silence")], tmp_path, films=0).read_text(encoding="utf-8")
    assert "Paths on the floor" not in page and "No film was made." in page


@needs_ffmpeg
def test_the_film_has_sound(table: JudgedTable, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    page = write_report(table, SONGS, tmp_path, on_step=lambda *step: steps.append(step))
    film = tmp_path / "film_1.mp4"
    command = ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(film)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    video, audio = sorted(found["streams"], key=lambda stream: stream["codec_type"], reverse=True)
    assert (video["codec_name"], video["pix_fmt"], video["width"], video["height"]) == ("h264", "yuv420p", 640, 336)
    assert audio["codec_name"] == "aac"
    assert float(video["duration"]) == pytest.approx(SECONDS, abs=0.05)
    assert float(audio["duration"]) == pytest.approx(SECONDS, abs=0.05)
    assert film.stat().st_size < 3_000_000
    assert _loudness(film) > 0.1
    reader = _Reader(page.read_text(encoding="utf-8"))
    assert {"film_1.mp4", "film_1.png"} < reader.files()
    assert all((tmp_path / name).is_file() for name in reader.files())
    (shown,) = [attrs for tag, attrs in reader.tags if tag == "video"]
    assert shown["aria-label"] == f"Film with sound of figures that dance side by side to song_a: {TAG}, other"
    assert [step[1:] for step in steps] == [(number, 5) for number in range(6)]
    assert steps[4][0] == "Filming song_a"


def _loudness(film: Path) -> float:
    command = ["ffmpeg", "-loglevel", "error", "-i", str(film), "-f", "f32le", "-ac", "1", "pipe:"]
    return float(
        np.abs(np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)).max()
    )


def test_those_who_compete_come_first_into_a_full_film(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    filmed: list[list[str]] = []

    def write(path: Path, dancers: dict[str, np.ndarray], samples: np.ndarray) -> None:
        filmed.append(list(dancers))
        path.write_bytes(b"film")

    monkeypatch.setattr(judge_report, "find_encoder", lambda: "ffmpeg")
    monkeypatch.setattr(judge_report, "write_film", write)
    names = ["idle", *(f"s{number}" for number in range(7)), "random_codes"]
    systems = [system(name, 0, ["song_a"]) for name in names]
    table = JudgedTable(systems, {name: scores(bas=0.4) for name in names}, {}, {})
    page = write_report(table, SONGS, tmp_path).read_text(encoding="utf-8")
    assert filmed == [names[:8]]
    assert "Not shown: random_codes." in page


def test_a_drawing_that_fails_leaves_what_was_there(
    table: JudgedTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Figure:
        raise RuntimeError("no ink")

    monkeypatch.setattr(judge_report, "variety", fail)
    (tmp_path / "index.html").write_text("the old one")
    for folder in (tmp_path, tmp_path / "new"):
        with pytest.raises(RuntimeError, match="no ink"):
            write_report(table, SONGS, folder, films=0)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert (tmp_path / "index.html").read_text() == "the old one"


def test_a_missing_encoder_is_found_before_the_work_begins(
    table: JudgedTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="ffmpeg"):
        write_report(table, SONGS, tmp_path / "out", on_step=pytest.fail)
    assert not (tmp_path / "out").exists()


def test_a_table_that_does_not_fit_is_refused(table: JudgedTable) -> None:
    with pytest.raises(ValueError, match="0 systems"):
        replace(table, systems=[])
    with pytest.raises(ValueError, match=r"\['other', 'other'\] come twice"):
        replace(table, systems=[*table.systems, table.systems[-1]])
    with pytest.raises(ValueError, match=r"2 systems, of which \['new'\]"):
        replace(table, systems=[table.systems[0], system("new", 0, ["song_a"])])


def test_what_is_used_and_what_is_best(table: JudgedTable) -> None:
    assert table.is_used("bas") and table.is_used("pfc")
    assert not table.is_used("beat_f1") and not table.is_used("shift_p")  # nobody tested it
    assert table.goal("div_k") == 9.0 and table.goal("fid_k") is None
    assert table.best("beat_f1") == set() == table.best("oddity")
    tied = replace(table, rows=table.rows | {"other": table.rows[TAG]})
    assert tied.best("bas") == {TAG, "other"}


def test_where_in_the_beat_a_dance_rests(table: JudgedTable) -> None:
    offsets = beat_offsets(DanceTake("song", dancing(0, late_s=0.1)), SONGS[0].beats_s)
    assert len(offsets) == 7
    assert np.median(offsets) == pytest.approx(0.1 / BEAT_S, abs=0.05)
    assert [len(found) for found in table.offsets.values()] == pytest.approx([14, 14, 14], abs=2)


def test_numbers_have_three_digits() -> None:
    assert score_text(Interval(0.4123, 0.3, 1.25)) == ("0.412", "0.300", "1.250")
    assert score_text(Interval(12345.6, 9000.0, 20000.0)) == ("12,346", "9,000", "20,000")
    assert score_text(Interval(0.0, -2.0, 4.0)) == ("0.000", "-2.000", "4.000")
    assert score_text(Interval(0.0, 0.0, 0.0)) == ("0.0", "0.0", "0.0")


def test_every_score_has_a_group_and_a_direction() -> None:
    assert all(metric.title and metric.meaning and metric.better for metric in METRICS.values())


def test_a_bar_off_the_scale_is_marked() -> None:
    values = {name: Interval(value, value, value) for name, value in zip("abcde", (1, 2, 3, 2, 500), strict=True)}
    figure = interval_bars([Bars("FID", values, None, True, lambda s: f"{s.value:.0f}")], list(values), [])
    assert "500 →" in words(figure) and "3" in words(figure)
    assert figure.axes[0].get_xlim()[1] < 10.0


def test_a_path_off_the_scale_is_cut_off() -> None:
    dancers = {str(number): dancing(number, walk_m=20.0 if number == 3 else 0.5) for number in range(4)}
    figure = paths_from_above(dancers)
    assert [text.endswith("(cut off)") for text in words(figure) if " deep" in text] == [False, False, False, True]
    spans = {float(np.ptp(axes.get_xlim())) for axes in figure.axes}
    assert max(spans) == pytest.approx(min(spans))


def test_names_are_no_formulas_and_silence_has_no_rests() -> None:
    figure = offset_histograms({"$x$": np.zeros(3), "nobody": np.zeros(0)}, [])
    assert {"$x$", "3 rests", "nobody", "0 rests"} <= set(words(figure))


@pytest.mark.parametrize("real", [["a"], []])
def test_the_plane_of_few_dances_can_be_drawn(real: list[str]) -> None:
    features = {"a": np.stack(stretch_features(dancing(0))), "b": np.stack(stretch_features(dancing(1, seconds=11.0)))}
    assert [len(found) for found in features.values()] == [1, 2]
    assert "2 stretches" in words(variety(features, real, real))
