"""``soulstream bench``: how late, how fast and how steady the dance is on this computer; compares two results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soulstream_engine.cli.output import console, print_json, say

if TYPE_CHECKING:
    from rich.progress import Progress

    from soulstream_engine.bench.options import BenchOptions

app = typer.Typer(rich_markup_mode="rich")


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    preset: Annotated[
        str | None, typer.Option(metavar="stage|paper", help="Which model is measured.", show_default="stage")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Another model.", show_default="the embedded one")
    ] = None,
    backend: Annotated[
        str, typer.Option(metavar="NAME", help="onnxruntime, openvino, tensorrt-rtx or tensorrt.")
    ] = "onnxruntime",
    dancers: Annotated[int, typer.Option(metavar="N", help="Measure N dancers together, too.")] = 1,
    ticks: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Ticks to measure.", show_default="1000")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=2.0, max=3600.0, help="Seconds of music in place of --ticks.")
    ] = None,
    tick_tokens: Annotated[
        int | None, typer.Option(min=1, help="Measure click to packet also with ticks of so many tokens.")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Measure the model quantised (made once; needs the extra export).")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A look at everything in half a minute.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the dance and of the clicks.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON last.")] = False,
) -> None:
    """Measure the way from a sound to the packet that answers it, and everything on it.

    Three to five minutes; --quick for a look. Let nothing else run meanwhile, and compare numbers of one computer only.

    Examples:
      soulstream bench
      soulstream bench --quick
      soulstream bench --json > before.json
      soulstream bench --tick-tokens 1
      soulstream bench --dancers 8
      soulstream bench --preset paper --int8
      soulstream bench --preset paper --backend openvino
      soulstream bench compare before.json after.json

    Live dancing needs the 99th percentile of the tick below half of its time: the rest is for everything else.
    """
    if context.invoked_subcommand is not None:
        return

    from soulstream_engine.bench.options import BenchOptions

    options = BenchOptions(
        preset=preset,
        bundle=bundle,
        backend=backend,
        dancers=dancers,
        num_ticks=ticks,
        seconds=seconds,
        tick_tokens=tick_tokens,
        seed=seed,
        is_int8=int8,
        is_quick=quick,
    )
    result = _measure(options)

    from soulstream_engine.bench.report import pictures, tables, verdict

    for table in tables(result):
        console.print(table)
    for line in pictures(result):
        say(line)
    say(verdict(result))
    if quick:
        say("A quick look: its 99th percentiles mean nothing.", "yellow")
    if as_json:
        print_json(result)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A.json", help="What bench --json printed.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="B.json", help="The same, later.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON last.")] = False,
) -> None:
    """Set two results side by side: the ratio B / A of every number that both have.

    It warns when the computers, models or backends differ.

    Examples:
      soulstream bench --json > before.json
      soulstream bench --json > after.json
      soulstream bench compare before.json after.json
    """
    from soulstream_engine.bench.compare import compare as compare_results
    from soulstream_engine.bench.compare import read_result
    from soulstream_engine.bench.report import comparison_table

    found = compare_results(read_result(first), read_result(second))
    console.print(comparison_table(found))
    for warning in found.warnings:
        say(f"Warning: {warning} Ratios say little.", "bold yellow")
    if as_json:
        print_json({"ratios": found.ratios, "warnings": list(found.warnings)})


def _measure(options: BenchOptions) -> dict[str, Any]:
    """Runs the benchmark behind a progress bar; where there is no terminal, behind one line a topic."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from soulstream_engine.bench.runner import run_bench

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        return run_bench(options, _Shown(progress))


class _Shown:
    """How far a benchmark is, on the console (``bench.runner.Show``)."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("Loading", total=1.0)

    def topic(self, text: str) -> None:
        if not console.is_terminal:
            say(text)
        self._progress.reset(self._task, description=text, total=1.0)

    def share(self, done: float) -> None:
        self._progress.update(self._task, completed=done)

    def note(self, text: str) -> None:
        say(text)
