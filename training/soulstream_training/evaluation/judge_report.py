"""The report of a judged table: a folder with a page of HTML, its charts, and films of the dancers with sound.

Nothing is written before everything is made. Not for: measuring (``judge``), what a score means (``judged_table``),
drawing (``judge_charts``), the words (``judge_page``).

Letters: T frames, J joints.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_training.data.report_numbers import Step

from .figure_drawing import find_encoder
from .intervals import LEVEL
from .judge_charts import (
    FILM_S,
    MOST_DANCERS,
    Bars,
    film_still,
    interval_bars,
    offset_histograms,
    paths_from_above,
    stretch_features,
    variety,
    write_film,
)
from .judge_page import Shown, to_page
from .judged_table import BETTER, MAIN_METRICS, JudgedTable, metric_of, score_text
from .systems import Song
from .tokenizer_charts import png_bytes

__all__ = ["JudgedTable", "write_report"]

INDEX_NAME = "index.html"

DPI = 140.0
"""Pixels an inch of the charts; the page shows them smaller."""

Dancers = Mapping[str, NDArray[np.float32]]
"""Joints [T, J, 3] by system."""

_Chart = tuple[Shown, Callable[[], Figure]]
"""A picture of the page, and what draws it."""


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
    charts, filmed = _charts(table, danced), danced[:films]
    num_steps, files, shown = len(charts) + len(filmed), {}, []
    for number, (chart, draw) in enumerate(charts):
        tell(f"Drawing {chart.file}", number, num_steps)
        files[chart.file] = png_bytes(draw(), DPI)
    for number, song in enumerate(filmed, 1):
        tell(f"Filming {song.name}", len(charts) + number - 1, num_steps)
        film = _film(number, song, _dancers(table, song), table.references)
        shown.append(film[0])
        files[f"film_{number}.mp4"], files[f"film_{number}.png"] = film[1:]
    page = to_page(table, songs, [chart for chart, _ in charts], shown)
    tell("Writing the page", num_steps, num_steps)
    _write_all(out, {**files, INDEX_NAME: page.encode("utf-8", "replace")})
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


def _film(number: int, song: Song, dancers: Dancers, references: Collection[str]) -> tuple[Shown, bytes, bytes]:
    """A film, in which those who compete come first if there are too many, and its middle picture."""
    num_frames = min(round(min(FILM_S, song.seconds) * FPS), *(len(joints) for joints in dancers.values()))
    first = sorted(dancers, key=lambda name: name in references)[:MOST_DANCERS]
    shown = {name: joints[:num_frames] for name, joints in dancers.items() if name in first}
    left_out = [name for name in dancers if name not in first]
    caption = f"The first {num_frames / FPS:.0f} s of {song.name}, each dancer before a camera of its own."
    if left_out:
        caption += f" Not shown: {', '.join(left_out)}."
    alt = f"Film with sound of figures that dance side by side to {song.name}: {', '.join(shown)}"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        write_film(path, shown, song.samples)
        film = Shown(f"film_{number}.mp4", f"Film of {song.name}", alt, caption)
        return film, path.read_bytes(), film_still(shown, num_frames // 2)


def _charts(table: JudgedTable, danced: Sequence[Song]) -> list[_Chart]:
    charts: list[_Chart] = []
    references = list(table.references)
    panels = [_panel(table, name) for name in MAIN_METRICS if any(name in table.rows[s] for s in table.names)]
    if panels:
        alt = "Bars of the main scores of each system with their intervals; the numbers are those of the tables above"
        caption = (
            f"Line on a bar: {100 * LEVEL:.0f} % interval. Dashed: the ceiling. Grey: ceiling and floor. Pale: not "
            "used. Arrow: the bar goes on beyond the panel."
        )
        picture = Shown("bars.png", "Main scores", alt, caption)
        charts.append((picture, partial(interval_bars, panels, table.names, references)))
    alt = f"Histograms; of the rests, so many are within an eighth of a beat from a beat: {_on_beat(table)}"
    caption = (
        "How far each rest of the body is from the nearest beat of the music. Dashed: chance. Who keeps time has a "
        "peak, at 0 on the beat or at ½ off the beat; who hears nothing is flat."
    )
    picture = Shown("beats.png", "Where in the beat they rest", alt, caption)
    charts.append((picture, partial(offset_histograms, table.offsets, references)))
    if danced:
        name = danced[0].name
        alt = f"The path of each system on the floor, to {name}, seen from above"
        caption = (
            f"Path of the pelvis to {name}, seen from above with the audience below, from the white dot to the dark "
            "one."
        )
        picture = Shown("paths.png", "Paths on the floor", alt, caption)
        charts.append((picture, partial(paths_from_above, _dancers(table, danced[0]), references)))
    alt = "Points of the dances of each system among those of real dances; how far they spread is how varied they are"
    caption = (
        "Kinetic features of stretches of five seconds, in the plane in which real dances (pale) differ most. The "
        "frame is as wide as these are; beyond it distances are logarithmic."
    )
    features = {
        system.name: np.stack([found for take, _ in system.takes for found in stretch_features(take.joints_m)])
        for system in table.systems
    }
    picture = Shown("variety.png", "How varied they dance", alt, caption)
    charts.append((picture, partial(variety, features, table.named("ceiling"), references)))
    return charts


def _panel(table: JudgedTable, name: str) -> Bars:
    metric = metric_of(name)
    values = {system: table.rows[system][name] for system in table.names if name in table.rows[system]}
    title = f"{metric.title} {BETTER[metric.better][0]}"
    return Bars(title, values, table.goal(name), table.is_used(name), lambda score: score_text(score)[0])


def _on_beat(table: JudgedTable) -> str:
    parts = [
        f"{name} {100.0 * float(np.mean(np.abs(found) < 0.125)):.0f} %"
        for name, found in table.offsets.items()
        if len(found)
    ]
    return ", ".join(parts)
