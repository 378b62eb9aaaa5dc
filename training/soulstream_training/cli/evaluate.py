"""``soulstream-train eval``: the numbers."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from .common import DataOption, JsonOption, StoreOption, WeightsOption, print_json

app = typer.Typer(no_args_is_help=True)
console = Console(stderr=True)


@app.command()
def tokenizer(
    store: Path = StoreOption,
    weights: Path = WeightsOption,
    split: str = typer.Option("test", help="Split of the store."),
    as_json: bool = JsonOption,
) -> None:
    """Body error of the tokenizer over whole clips, in millimetres, beside that of the mean pose."""
    from ..evaluation.tokenizer import evaluate_tokenizer
    from ..recipes.hrvq import load_hrvq

    with console.status("Encoding and decoding"):
        numbers = evaluate_tokenizer(load_hrvq(weights), store, split)
    table = Table("measure", "value")
    for key, value in numbers.items():
        table.add_row(key, str(value))
    console.print(table)
    if as_json:
        print_json(numbers)
