"""``soulstream-train face``: ARKit faces to FLAME and back."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import typer
from rich.progress import Progress
from rich.table import Table

from soulstream_engine.cli.output import console, print_json

from .common import DataOption, JsonOption

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps ``fit`` a command of its own while it is the only one."""


@app.command()
def fit(
    data: Path = DataOption,
    model: Path | None = typer.Option(
        None, "--model", help="Your FLAME model as npz.", show_default="a model built from ICT-FaceKit"
    ),
    templates: Path | None = typer.Option(
        None, "--templates", help="With --model: folder of ARKit shapes for it (jawOpen.obj ...), in metres."
    ),
    out: Path | None = typer.Option(None, "--out", help="Keep the matrix here (npz).", show_default="not kept"),
    as_json: bool = JsonOption,
) -> None:
    """Fit the matrix W (52 x 103) from ARKit weights to FLAME values, and print what each shape loses.

    Residual: how far the posed model is from the ARKit shape. Round trip: how far the ARKit mesh is off when posed by
    the weights that come back from FLAME values. Both are means over all vertices.
    """
    from soulstream_training.data.arkit_flame import fit_arkit_flame, save_arkit_flame, shape_errors
    from soulstream_training.data.arkit_shapes import read_template_folder
    from soulstream_training.data.flame_model import read_flame_model
    from soulstream_training.data.ict_model import build_ict_model, read_ict_shapes

    if (model is None) != (templates is None):
        raise typer.BadParameter("--model and --templates go together: the shapes must have the model's vertices.")
    started = time.monotonic()
    with console.status("Reading the faces"):
        if model is not None and templates is not None:
            head = read_flame_model(model)
            shapes = read_template_folder(templates, head.template_m)
        else:
            head, shapes = build_ict_model(read_ict_shapes(data))
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("Fitting", total=len(shapes.names))
        matrix = fit_arkit_flame(head, shapes, lambda _: bar.advance(task))
    errors = shape_errors(matrix, head, shapes)
    if out is not None:
        save_arkit_flame(out, matrix)

    table = Table("shape", "moves mm", "residual mm", "worst mm", "round trip mm")
    for e in errors:
        numbers = (e.size_mm, e.residual_mm, e.worst_mm, e.round_trip_mm)
        table.add_row(e.name, *(f"{number:.3f}" for number in numbers))
    console.print(table)
    mean = sum(e.residual_mm for e in errors) / len(errors)
    console.print(f"{len(errors)} shapes on {head.num_vertices} vertices, mean residual {mean:.3f} mm")
    if shapes.missing:
        console.print(f"Without a template, and so without an effect: {', '.join(shapes.missing)}")
    if as_json:
        print_json(
            {
                "shapes": {e.name: {k: round(v, 6) for k, v in asdict(e).items() if k != "name"} for e in errors},
                "missing": shapes.missing,
                "vertices": head.num_vertices,
                "mean_residual_mm": mean,
                "seconds": round(time.monotonic() - started, 2),
            }
        )
