"""``soulstream-train eval dance``: every system in one table."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from soulstream_engine.cli.output import console, print_json

from .common import DataOption, JsonOption, MusicOption, StoreOption, WeightsOption, read_section

if TYPE_CHECKING:
    from soulstream_training.evaluation.judge import Measured
    from soulstream_training.evaluation.judge_systems import JudgeConfig, Places
    from soulstream_training.evaluation.systems import Song, SystemTakes

SHOWN = {
    "bas": "BAS", "beat_f1": "F1", "shift_p": "p", "mmr_ms": "MS", "fid_k": "FIDk", "fid_g": "FIDg", "div_k": "Divk",
    "foot_slide": "slide", "jerk": "jerk",
}  # fmt: skip
"""What fits into a terminal."""


def dance(
    config: Path = typer.Argument(Path("training/configs/judge.toml"), help="TOML file; see training/configs."),
    data: Path = DataOption,
    store: Path = StoreOption,
    music: Path = MusicOption,
    test_music: Path = typer.Option(".cache/open_test_music", "--test-music", help="Made with data music --test."),
    weights: Path = WeightsOption,
    bundle: Path | None = typer.Option(None, "--bundle", help="Folder of a bundle.", show_default="the embedded one"),
    report: Path | None = typer.Option(None, "--report", help="Folder for a page with charts and a film."),
    only: str = typer.Option("", "--only", help="These systems of the config alone (comma-separated)."),
    quick: bool = typer.Option(False, "--quick", help="Two songs of ten seconds, one dance each: does all of it work?"),
    as_json: bool = JsonOption,
) -> None:
    """Put systems side by side: ours, baselines, dances of others, real dancers, and dancers who hear nothing.

    Every number has its 95 % interval over songs (--json, --report). A metric of the beat that cannot tell real dancers
    from the same dancers out of time and from one who waits (p < 0.01) is printed, but not used.

    Example:
      soulstream-train eval dance training/configs/judge.toml --store .cache/open --music .cache/open_music --json
    """
    import torch

    from soulstream_training.data.guard import check_apart
    from soulstream_training.data.store import read_index
    from soulstream_training.evaluation import systems as frame
    from soulstream_training.evaluation.judge import BEAT_METRICS, USED_P, chance_of, measure, table_row, to_json
    from soulstream_training.evaluation.judge_systems import CEILING, FLOOR, JudgeConfig, Places, takes_of
    from soulstream_training.recipes.mmr import load_mmr, mmr_trained_on

    settings = read_section(config, "judge", JudgeConfig)
    if only:
        names = tuple(dict.fromkeys((CEILING, FLOOR, *only.split(","))))
        settings = JudgeConfig.model_validate(settings.model_dump() | {"systems": names})
    if quick:
        settings = settings.model_copy(update={"seconds": 10.0, "seeds": settings.seeds[:1]})
    if report is not None:
        from soulstream_training.evaluation.figure_drawing import find_encoder

        find_encoder()
    torch.set_num_threads(1)
    places = Places(store, music, test_music, weights, bundle)
    mmr = load_mmr(weights)
    judged = [entry for entry in read_index(store) if entry.split == settings.split]
    check_apart(mmr_trained_on(weights), judged, "The retrieval model mmr_body")
    with console.status("Hearing the songs"):
        songs = frame.test_songs(data, settings.uses, settings.seconds)[: 2 if quick else None]
    measured: dict[str, Measured] = {}
    danced: list[SystemTakes] = []
    names = settings.names
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Systems", total=len(names))
        own = bar.add_task("")
        for name in names:
            bar.reset(own, description=f"{name} dances", total=len(songs))
            system = takes_of(name, settings, places, songs, lambda: bar.advance(own))
            bar.reset(own, description=f"{name} is judged", total=len(system.takes))
            measured[name] = measure(system, mmr, lambda: bar.advance(own))
            danced.append(system)
            bar.advance(task)
    rows = {name: table_row(found, measured[CEILING]) for name, found in measured.items()}
    floors = [measured[name] for name in (FLOOR, "idle") if name in measured]
    beat_p = {metric: max(chance_of(measured[CEILING], f, metric) for f in floors) for metric in BEAT_METRICS}
    _show(rows, beat_p, danced)
    about = _about(settings, places, songs, names)
    if report is not None:
        _report(rows, beat_p, danced, songs, about, report)
    if as_json:
        used = {metric: {"p": p, "used": p < USED_P} for metric, p in beat_p.items()}
        marks = {s.name: {"wait_s": s.wait_s, "is_causal": s.is_causal, "dances": len(s.takes)} for s in danced}
        print_json(
            {
                "systems": {name: to_json(row) for name, row in rows.items()},
                "beat_metrics": used,
                "conditions": marks,
                "about": about,
            }
        )


def _show(rows: dict[str, Any], beat_p: dict[str, float], danced: list[SystemTakes]) -> None:
    from soulstream_training.evaluation.judge import USED_P

    names = Column("system", no_wrap=True, min_width=max(map(len, rows)))
    table = Table(names, "wait", *SHOWN.values(), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    waits = {system.name: f"{system.wait_s:.2g}" for system in danced}
    for name, row in rows.items():
        cells = [_short(row[metric].value) if metric in row else "" for metric in SHOWN]
        table.add_row(name, waits[name], *cells)
    console.print(table)
    for metric, p in beat_p.items():
        if p >= USED_P:
            console.print(f"{metric} does not tell real dancers from the floors (p = {p:.3f}): not used.")


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) >= 5e-4 else "0"


def _report(
    rows: dict[str, Any],
    beat_p: dict[str, float],
    danced: list[SystemTakes],
    songs: list[Song],
    about: dict[str, Any],
    out: Path,
) -> None:
    from soulstream_training.evaluation.judge_report import write_report
    from soulstream_training.evaluation.judge_systems import REFERENCES
    from soulstream_training.evaluation.judged_table import JudgedTable

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("Report", total=None)
        table = JudgedTable(danced, rows, beat_p, about, REFERENCES)
        page = write_report(
            table,
            songs,
            out,
            on_step=lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
        )
    console.print(f"{page}")


def _about(settings: JudgeConfig, places: Places, songs: list[Song], names: tuple[str, ...]) -> dict[str, Any]:
    """What a reader needs to repeat the table."""
    import json

    about: dict[str, Any] = {
        "commit": _commit(),
        "songs": [song.name for song in songs],
        "seconds": settings.seconds,
        "seeds": list(settings.seeds),
        "configs": {},
    }
    for name in names:
        path = places.weights / "baselines" / f"{name}.json"
        if path.is_file():
            meta = json.loads(path.read_text(encoding="utf-8"))
            about["configs"][name] = {"step": meta["step"], "minutes": meta["config"].get("minutes")}
    return about


def _commit() -> str:
    """Commit of the code, or nothing where it is not in a repository."""
    git = shutil.which("git")
    if git is None:
        return ""
    command = [git, "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)  # noqa: S603 - our own
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
