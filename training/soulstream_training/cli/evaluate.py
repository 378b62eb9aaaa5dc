"""``soulstream-train eval``: the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from rich.progress import Progress
from rich.table import Table

from soulstream_engine.cli.output import console, print_json

from .common import DataOption, JsonOption, StoreOption, WeightsOption
from .eval_dance import dance
from .eval_retrieval import retrieval

app = typer.Typer(no_args_is_help=True)
app.command()(retrieval)
app.command()(dance)


@app.command()
def tokenizer(
    store: Path = StoreOption,
    weights: Path = WeightsOption,
    split: str = typer.Option("test", help="Split of the store."),
    all_kinds: bool = typer.Option(
        False, "--all", help="HRVQ, RVQ and VQ side by side, from the folder tokenizers of --weights."
    ),
    data: Path = DataOption,
    figures: Path | None = typer.Option(
        None, "--figures", help="With --all: folder for pictures and videos.", show_default="none"
    ),
    as_json: bool = JsonOption,
) -> None:
    """Body error of the tokenizer over whole clips, in millimetres, beside that of the mean pose.

    With --all, the table of the paper: every tokenizer on the same clips (store of data_open.toml), body, hands and
    face apart, by level and by style. Hands and face are made by rule there: what they lose says little.

    Example:
      soulstream-train eval tokenizer --all --store .cache/open --json
    """
    if all_kinds:
        _tokenizers(store, weights / "tokenizers", split, data, figures, as_json)
        return
    from soulstream_training.data.guard import check_apart
    from soulstream_training.data.store import read_index
    from soulstream_training.evaluation.tokenizer import evaluate_tokenizer
    from soulstream_training.recipes.hrvq import load_hrvq, trained_on

    check_apart(trained_on(weights), [e for e in read_index(store) if e.split == split], "The tokenizer")
    with console.status("Encoding and decoding"):
        numbers = evaluate_tokenizer(load_hrvq(weights), store, split)
    table = Table("measure", "value")
    for key, value in numbers.items():
        table.add_row(key, str(value))
    console.print(table)
    if as_json:
        print_json(numbers)


def _tokenizers(store: Path, weights: Path, split: str, data: Path, figures: Path | None, as_json: bool) -> None:
    from soulstream_training.data.guard import check_apart
    from soulstream_training.data.store import read_index
    from soulstream_training.evaluation.face import arkit_offsets
    from soulstream_training.evaluation.tokenizer_table import load_test_set, tokenizer_row
    from soulstream_training.recipes.hrvq import KINDS, load_hrvq, trained_on

    if figures is not None:
        from soulstream_training.evaluation.figure_drawing import find_encoder

        find_encoder()
    with console.status("Reading the clips") as status:
        tests = load_test_set(store, split)
        judged = [entry for entry in read_index(store) if entry.split == split]
        for known in KINDS:
            check_apart(trained_on(weights, known), judged, known)
        status.update("Reading the face")
        offsets = arkit_offsets(data) if (data / "ict-facekit").is_dir() else None
        if offsets is None:
            console.print(f"{data} has no ict-facekit: faces are measured by their weights, not by vertices.")
        models: dict[str, Any] = {kind: load_hrvq(weights, kind) for kind in KINDS}
        rows: dict[str, dict[str, Any]] = {}
        for kind, model in models.items():
            status.update(f"Measuring {kind}")
            rows[kind] = tokenizer_row(model, tests, offsets)
    measures = [
        *("all", "body", "body_style_mean", "body_worst_style", "hands", "face", "jerk_ratio", "boundary_ratio"),
        *("usage0", "usage_min", "perplexity", "bits_per_s", "ms_per_token", "others"),
    ]
    table = Table("millimetres", *rows)
    for name in measures:
        table.add_row(name, *(str(row.get(name, "")) for row in rows.values()))
    console.print(table)
    levels = Table("body by levels", *map(str, range(1, 7)))
    for name, row in rows.items():
        levels.add_row(name, *(str(row["levels"].get(str(level), "")) for level in range(1, 7)))
    console.print(levels)
    if figures is not None:
        from soulstream_training.evaluation.tokenizer_figures import write_tokenizer_results

        with Progress(console=console, transient=True) as bar:
            task = bar.add_task("Pictures", total=None)
            write_tokenizer_results(models, tests, rows, figures, lambda what: bar.update(task, description=what))
    if as_json:
        print_json(rows)


@app.command()
def beats(
    data: Path = DataOption,
    bundle: Path | None = typer.Option(None, "--bundle", help="Folder of a bundle.", show_default="the embedded one"),
    store: Path = StoreOption,
    use: str = typer.Option("test6", "--use", help="Tracks by their use: test6, test, val or tune (comma-separated)."),
    seeds: int = typer.Option(3, min=1, help="Dances of each track; the medians count."),
    seconds: float = typer.Option(0.0, min=0.0, help="Dance to the first seconds of a track only; 0 is all of it."),
    control: str = typer.Option(
        "none", help="Dance by random codes (must fail), or by the best of random plans: codes, plans or none."
    ),
    as_json: bool = JsonOption,
) -> None:
    """Does the dance keep the beat of real music? p < 0.05 on at least four of the six test6 tracks, or exit code 1.

    The beats are those of the track list alone. Each dance is compared with 100 random time shifts of itself.
    """
    from soulstream_training.evaluation.beats import evaluate_beats, read_tracks, real_density
    from soulstream_training.evaluation.dances import Control, bundle_renderer

    if control not in list(Control):
        raise typer.BadParameter(f"'{control}' is not one of {', '.join(Control)}.", param_hint="--control")

    tracks = read_tracks(data, use.split(","))
    render = bundle_renderer(bundle, control=Control(control), seconds=seconds)
    real = real_density(store)["per_beat"] if store.is_dir() else None
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(f"Dancing to {len(tracks)} tracks, {seeds} times each", total=len(tracks) * seeds)
        numbers = evaluate_beats(tracks, render, range(seeds), lambda *_: bar.advance(task))
    columns = ["bas", "shift_p", "f1", "density", "best_offset_ms"]
    if real is not None:
        numbers["real_density_per_beat"] = real
        for row in numbers["tracks"].values():
            row["density_to_real"] = row["density"] / real
        columns.insert(4, "density_to_real")
    table = Table("track", *columns)
    for name, row in numbers["tracks"].items():
        table.add_row(name, *(f"{row[column]:.3f}" for column in columns))
    console.print(table)
    needed = -(-2 * numbers["num_tracks"] // 3)
    passed = numbers["significant"] >= needed
    console.print(f"{numbers['significant']} of {numbers['num_tracks']} significant, {needed} needed")
    if as_json:
        print_json(numbers)
    if not passed:
        raise typer.Exit(1)
