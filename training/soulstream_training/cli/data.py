"""``soulstream-train data``: recordings to the motion store, and music for it."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from soulstream_engine.cli.output import console, print_json
from soulstream_engine.clock import monotonic_ns

from .common import DataOption, JsonOption, MusicOption, StoreOption, read_section
from .table import table

if TYPE_CHECKING:
    from soulstream_training.data.music_dataset import MusicSet

app = typer.Typer(no_args_is_help=True)
app.command()(table)
WorkersOption = typer.Option(os.cpu_count() or 1, min=1, help="Processes.", show_default="one a core")
DrumsOption = typer.Option(
    None, "--drums", help="Folder with the drum takes (groove-midi).", show_default="the data folder"
)


def peak_mb() -> int:
    """Largest memory that this process, or a worker of it, has had, in megabytes."""
    usage = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(max(usage) / 1024)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)


def _tell_music(made: MusicSet) -> None:
    """What music was made without, and the clips that got none because something failed, once each."""
    if made.note:
        console.print(made.note, markup=False)
    for clip_id, reason in {entry.clip_id: entry.reason for entry in reversed(made.failed)}.items():
        console.print(f"without music: {clip_id}: {reason}", markup=False)


@app.command()
def prepare(
    config: Path = typer.Argument(
        "training/configs/data_stage.toml", help="Which clips: a TOML file, see training/configs/data_*.toml."
    ),
    data: Path = DataOption,
    store: Path = StoreOption,
    music: Path = MusicOption,
    drums: Path | None = DrumsOption,
    workers: int = WorkersOption,
    with_music: bool = typer.Option(True, "--with-music/--motion-only", help="Make the recipe's renderings of music."),
    as_json: bool = JsonOption,
) -> None:
    """Read the recordings, bring them to our skeleton at 30 frames a second, and store them; resumes.

    A recording that cannot be used is left out with its reason, and the rest of the set goes on. Then music is made for
    what can be paired, if the recipe asks for renderings (about 2 s of two cores for each).

    Example:
      soulstream-train data prepare training/configs/data_open.toml --store .cache/open --music .cache/open_music --json
    """
    from soulstream_training.data.hand_library import hand_library
    from soulstream_training.data.music_dataset import build_music_dataset
    from soulstream_training.data.prepare import prepare as prepare_all
    from soulstream_training.data.recipe import DataRecipe
    from soulstream_training.data.summary import summarise

    started_ns = monotonic_ns()
    recipe = read_section(config, "", DataRecipe)
    with _progress() as progress:
        prepared = prepare_all(recipe, data, store, workers, progress)
    seconds = (monotonic_ns() - started_ns) / 1e9
    for item in prepared.left_out:
        console.print(f"left out: {item.clip_id}: {item.reason}", markup=False)
    for note in prepared.notes:
        console.print(note, markup=False)
    if hand_library(data).note:
        console.print(hand_library(data).note, markup=False)
    failed = 0
    if recipe.renderings and with_music:
        with _progress() as progress:
            made = build_music_dataset(store, data, music, recipe.renderings, workers, progress, drums)
        failed = len(made.failed)
        _tell_music(made)
    numbers = {
        "clips": len(prepared.entries),
        "left_out": len(prepared.left_out),
        "failed": failed,
        "seconds_taken": round(seconds, 1),
        "clips_per_s": round(prepared.read / seconds, 2),
        "peak_mb": peak_mb(),
    }
    numbers |= {"music_seconds": round((monotonic_ns() - started_ns) / 1e9 - seconds, 1)}
    numbers |= summarise(store, music, recipe)
    console.print(
        f"{numbers['clips']} clips, {numbers['minutes']} minutes, {numbers['windows']} windows, "
        f"{numbers['left_out']} left out, {numbers['leaks']} leaks"
    )
    if as_json:
        print_json(numbers)


@app.command()
def music(
    data: Path = DataOption,
    store: Path = StoreOption,
    out: Path = MusicOption,
    drums: Path | None = DrumsOption,
    renderings: int = typer.Option(12, min=1, help="Renderings of each clip, every second one for its mirror image."),
    test: bool = typer.Option(
        False, "--test", help="For the test split, which retrieval is measured on; name a folder of its own."
    ),
    workers: int = WorkersOption,
    as_json: bool = JsonOption,
) -> None:
    """Make music that fits the motion, and keep what the engine hears of it. Finished renderings are kept.

    A clip whose music fails is named with its reason, and the rest of the set goes on; the next run tries it again.

    Example:
      soulstream-train data music --test --store .cache/open --music .cache/open_test_music --renderings 6

    Needs FluidSynth with a General MIDI sound font, MMA and eSpeak (Debian: fluidsynth, fluid-soundfont-gm, mma,
    espeak-ng).
    """
    from soulstream_training.data.music_dataset import SPLITS, TEST_SPLIT, build_music_dataset
    from soulstream_training.data.summary import paired_hours, pairing_by_class

    with _progress() as progress:
        splits = (TEST_SPLIT,) if test else SPLITS
        made = build_music_dataset(store, data, out, renderings, workers, progress, drums, splits)
    _tell_music(made)
    paired = [entry for entry in made.renderings if entry.is_paired]
    numbers = {
        "renderings": len(made.renderings),
        "paired": len(paired),
        "failed": len(made.failed),
        "hours_paired": round(paired_hours(paired), 2),
        "styles": len({entry.music_style for entry in paired}),
        "negatives": len(made.negatives),
        "pairing": pairing_by_class(made.renderings),
    }
    console.print(f"{numbers['paired']} renderings, {numbers['hours_paired']} hours, {numbers['styles']} styles")
    if as_json:
        print_json(numbers)


@app.command()
def report(
    out: Path = typer.Option("report", "--out", help="Folder for index.html and report.pdf."),
    store: Path = StoreOption,
    music: Path = MusicOption,
    weights: Path | None = typer.Option(
        None, "--weights", help="Folder of a tokenizer's weights, to count its codes.", show_default="no codes"
    ),
    as_json: bool = JsonOption,
) -> None:
    """Describe a prepared set as a page and as a document to print: who dances, how, how well it was captured.

    Example:
      soulstream-train data report --store .cache/open --out report --weights training/checkpoints
    """
    from soulstream_training.data.report import write_report

    tokenizer = None
    if weights is not None:
        from soulstream_training.recipes.hrvq import load_hrvq

        tokenizer = load_hrvq(weights)
    with _progress() as progress:
        tasks: dict[str, TaskID] = {}

        def on_step(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        numbers = write_report(store, music if music.is_dir() else None, out, tokenizer=tokenizer, on_step=on_step)
    console.print(f"{numbers['html']} and {numbers['pdf']}", markup=False)
    if as_json:
        print_json(numbers)


@app.command()
def retarget(
    recording: Path = typer.Argument(help="BVH file."),
    joint_map: str = typer.Option(
        "", "--map", help="Joint map of its skeleton.", show_default="the one that fits best"
    ),
    out: Path = typer.Option("retargeted.npz", "--out", help="npz to write: root_m, joint_wxyz, captured, fps."),
    unit_cm: float = typer.Option(1.0, min=0.001, help="Centimetres of a unit of length in the file."),
    up_axis: str = typer.Option("Y", help="Axis that points up in the file: Y or Z."),
    rest_frame: int | None = typer.Option(None, help="Frame that stands upright.", show_default="the zero pose"),
) -> None:
    """Put one BVH on our skeleton at 30 frames a second.

    Example:
      soulstream-train data retarget dance.bvh --map mixamo --out dance.npz
    """
    import numpy as np

    from soulstream_engine.clock import FPS
    from soulstream_training.data.bvh import read_bvh
    from soulstream_training.data.named_retarget import retarget_named
    from soulstream_training.data.resample import to_frames
    from soulstream_training.data.sources import best_map

    with console.status("Reading and retargeting"):
        read = read_bvh(recording, unit_m=0.01 * unit_cm, up_axis=up_axis)
        found = best_map(read, joint_map)
        motion, captured = retarget_named(read, found, rest_frame=rest_frame)
        framed = to_frames(motion, read.fps)
    partial = out.with_suffix(".partial")
    with partial.open("wb") as stream:
        np.savez(stream, root_m=framed.root_m, joint_wxyz=framed.joint_wxyz, captured=captured, fps=np.int32(FPS))
    partial.replace(out)
    console.print(
        f"{out}: {len(framed.root_m)} frames by map {found.name}, {int(captured.sum())} joints captured", markup=False
    )
