"""``soulstream-train data``: recordings to the motion store, and music for it."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from soulstream_engine.cli.output import print_json

from .common import DataOption, JsonOption, MusicOption, StoreOption

app = typer.Typer(no_args_is_help=True)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True))


@app.command()
def prepare(
    data: Path = DataOption,
    store: Path = StoreOption,
    workers: int = typer.Option(2, min=1, help="Processes."),
    as_json: bool = JsonOption,
) -> None:
    """Read the recordings, bring them to our skeleton at 30 frames a second, and store them; resumes."""
    from soulstream_training.data.prepare import prepare_cmu

    with _progress() as progress:
        entries = prepare_cmu(data, store, workers, progress)
    if as_json:
        print_json({"clips": len(entries), "minutes": round(sum(e.num_frames for e in entries) / 1800, 1)})


@app.command()
def music(
    data: Path = DataOption,
    store: Path = StoreOption,
    out: Path = MusicOption,
    renderings: int = typer.Option(6, min=1, help="Renderings of each clip."),
    workers: int = typer.Option(2, min=1, help="Processes."),
    as_json: bool = JsonOption,
) -> None:
    """Render music that fits the motion, and keep what the engine hears of it. Finished renderings are kept.

    Needs FluidSynth and a General MIDI sound font (Debian: fluidsynth, fluid-soundfont-gm).
    """
    from soulstream_training.data.music_dataset import build_music_dataset

    with _progress() as progress:
        entries = build_music_dataset(store, data, out, renderings, workers, progress)
    paired = [entry for entry in entries if entry.is_paired]
    if as_json:
        minutes = round(sum(e.num_frames for e in paired) / 1800, 1)
        print_json({"renderings": len(entries), "paired": len(paired), "minutes": minutes})
