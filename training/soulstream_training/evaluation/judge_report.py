"""The report of a judged table: a folder with a page of HTML, its charts, and a film of the dancers with sound.

The page runs nothing and fetches nothing but the files beside it. All text is escaped, and absolute paths in it are cut
to their last part. Not for: measuring (``judge``), what a score means (``judged_table``), drawing (``judge_charts``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_training.data.report_blocks import clean
from soulstream_training.data.report_numbers import Step

from .figure_drawing import find_encoder
from .intervals import LEVEL, Interval
from .judge import USED_P
from .judge_charts import FILM_S, MOST_DANCERS, Bars, film_still, interval_bars, offset_histograms, paths_from_above
from .judge_charts import stretch_features, variety, write_film
from .judged_table import BETTER, GROUPS, MAIN_METRICS, METRICS, JudgedTable, metric_of, number_text
from .systems import Song, SystemTakes
from .tokenizer_charts import png_bytes

__all__ = ["JudgedTable", "write_report"]

INDEX_NAME = "index.html"
TITLE = "Dances, judged"

DPI = 140.0
"""Pixels an inch of the charts; the page shows them smaller."""

_BY_SYSTEM = ("commit", "weights", "configs")
_PATH = re.compile(r"(?:file://|(?<![\w:/.~…]))/(?:[\w.+@~-]+/)*([\w.+@~-]*)|\b[A-Za-z]:\\(?:[^\\\s]+\\)*([^\\\s]*)")

Dancers = Mapping[str, NDArray[np.float32]]
"""Joints [T, J, 3] by system."""


@dataclass(frozen=True, slots=True)
class _Chart:
    """A picture and its words; ``file`` is its name."""

    file: str
    title: str
    alt: str
    caption: str
    draw: Callable[[], Figure]


def write_report(
    table: JudgedTable, songs: Sequence[Song], out: Path, *, films: int = 1, on_step: Step | None = None
) -> Path:
    """Writes ``index.html``, its charts and films.

    Args:
        table: What was judged.
        songs: Music that the systems danced to.
        out: Folder of the report, made if missing; what is in it stays as it is if a drawing or a film fails.
        films: How many songs are filmed, the first that somebody danced to; 0 needs no ffmpeg.
        on_step: Told what is being done, the steps done and the steps there are.

    Returns:
        Path of the page.

    Raises:
        ConfigError: If a film is wanted and ffmpeg is missing or fails.
        OSError: If the report cannot be written.
    """
    if films:
        find_encoder()
    tell = on_step or (lambda what, done, num_steps: None)
    danced = [song for song in songs if _dancers(table, song)]
    charts, filmed, files = _charts(table, danced), danced[:films], {}
    num_steps = len(charts) + len(filmed)
    for number, chart in enumerate(charts):
        tell(f"Drawing {chart.title.lower()}", number, num_steps)
        files[chart.file] = png_bytes(chart.draw(), DPI)
    for number, song in enumerate(filmed):
        tell(f"Filming {song.name}", len(charts) + number, num_steps)
        files[f"film_{number + 1}.mp4"], files[f"film_{number + 1}.png"] = _film(_dancers(table, song), song)
    tell("Writing the page", num_steps, num_steps)
    files[INDEX_NAME] = _page(table, songs, charts, filmed).encode("utf-8", "replace")
    _write_all(out, files)
    return out / INDEX_NAME


def _write_all(out: Path, files: Mapping[str, bytes]) -> None:
    """Writes files beside their places, then moves all of them there, the page last."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        for name, content in files.items():
            (out / f"{name}.partial").write_bytes(content)
        for name in files:
            os.replace(out / f"{name}.partial", out / name)
    finally:
        for name in files:
            (out / f"{name}.partial").unlink(missing_ok=True)


def _dancers(table: JudgedTable, song: Song) -> Dancers:
    """The first dance of each system to a song."""
    found: dict[str, NDArray[np.float32]] = {}
    for system in table.systems:
        for take, _ in system.takes:
            if take.song == song.name:
                found.setdefault(system.name, take.joints_m)
    return found


def _film(dancers: Dancers, song: Song) -> tuple[bytes, bytes]:
    """A film and its middle picture."""
    num_frames = min(round(min(FILM_S, song.seconds) * FPS), *(len(joints) for joints in dancers.values()))
    shown = {name: joints[:num_frames] for name, joints in list(dancers.items())[:MOST_DANCERS]}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        write_film(path, shown, song.samples)
        return path.read_bytes(), film_still(shown, num_frames // 2)


def _charts(table: JudgedTable, danced: Sequence[Song]) -> list[_Chart]:
    panels = []
    for name in MAIN_METRICS:
        values = {system: row[name] for system, row in table.rows.items() if name in row}
        if values:
            metric = metric_of(name)
            title = f"{metric.title} {BETTER[metric.better][0]}"
            panels.append(Bars(title, values, table.goal(name), table.is_used(name), _value))
    real, others = table.named("ceiling"), list(table.references)
    charts = [
        _Chart(
            "bars.png", "Scores with their intervals", "Bars of the main scores of each system, as in the table above",
            f"Line on a bar: {100 * LEVEL:.0f} % interval. Dashed: the ceiling. Grey: ceiling and floor; pale: not used.",
            partial(interval_bars, panels, table.names, others),
        ),
        _Chart(
            "beats.png", "Where in the beat the dancers rest",
            f"Histograms for each system; share of the rests within an eighth of a beat: {_on_beat(table)}",
            "How far each rest of the body is from the nearest beat of the music. Dashed: what chance gives. A dancer in "
            "time has a peak, at 0 on the beat, at ½ off the beat; one who does not hear is flat.",
            partial(offset_histograms, table.offsets, others),
        ),
    ]  # fmt: skip
    if not panels:
        charts = charts[1:]
    if danced:
        words = f"to {danced[0].name}, seen from above"
        caption = "Path of the pelvis, audience below, squares of a metre; from the white dot to the dark one."
        draw = partial(paths_from_above, _dancers(table, danced[0]), others)
        charts.append(_Chart("paths.png", f"Paths {words}", f"Path on the floor of each system {words}", caption, draw))
    features = {
        s.name: np.stack([f for take, _ in s.takes for f in stretch_features(take.joints_m)]) for s in table.systems
    }
    caption = (
        "Kinetic features of five-second stretches, in the plane in which real dances (pale) differ most. The frame is as "
        "wide as they are; outside of it distances are logarithmic."
    )
    alt = "Points of each system among those of real dances; how wide they spread is the diversity of the table"
    charts.append(
        _Chart("variety.png", "How varied the dances are", alt, caption, partial(variety, features, real, others))
    )
    return charts


def _on_beat(table: JudgedTable) -> str:
    shares = {
        name: float(np.mean(np.abs(found) < 0.125)) if len(found) else 0.0 for name, found in table.offsets.items()
    }
    return ", ".join(f"{name} {100.0 * share:.0f} %" for name, share in shares.items())


def _value(score: Interval) -> str:
    return number_text(score.value, score)


def _text(words: object) -> str:
    """Text for the page: escaped, in one line, without folders."""
    return escape(clean(_pathless(str(words))))


def _pathless(words: str) -> str:
    return _PATH.sub(lambda found: f"…/{found[1] or found[2] or ''}", words)


def _page(table: JudgedTable, songs: Sequence[Song], charts: Sequence[_Chart], filmed: Sequence[Song]) -> str:
    sections = [("Scores", _scores(table)), ("Who listens how", _listeners(table))]
    sections += [
        (
            chart.title,
            f'<figure><img src="{chart.file}" alt="{_text(chart.alt)}"><figcaption>{_text(chart.caption)}</figcaption></figure>',
        )
        for chart in charts
    ]
    sections.append(
        (
            "Side by side",
            "".join(_film_html(table, song, n + 1) for n, song in enumerate(filmed)) or "<p>No film was made.</p>",
        )
    )
    sections.append(("What it was made with", _origins(table)))
    links = "".join(f'<li><a href="#s{n}">{_text(title)}</a></li>' for n, (title, _) in enumerate(sections))
    body = "\n".join(
        f'<section id="s{n}"><h2>{_text(title)}</h2>{html}</section>' for n, (title, html) in enumerate(sections)
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{TITLE}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_CSS}</style>\n</head>\n<body>\n<header><h1>{TITLE}</h1>{_introduction(table, songs)}</header>\n"
        f'<nav aria-label="Contents"><ol>{links}</ol></nav>\n<main>\n{body}\n</main>\n</body>\n</html>\n'
    )
