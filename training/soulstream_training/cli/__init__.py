"""``soulstream-train``: from a data folder to trained, evaluated weights."""

from __future__ import annotations

import sys

import typer

from soulstream_engine.cli.output import show_error
from soulstream_engine.errors import SoulstreamError

from . import baseline, data, evaluate, face, retrieve, train

app = typer.Typer(
    name="soulstream-train",
    help="Train and judge the models. A whole run: data prepare, data music, hrvq, magm; then soulstream-export.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data", help="Turn recordings into material for training.")
app.add_typer(evaluate.app, name="eval", help="Measure what was trained.")
app.add_typer(face.app, name="face", help="ARKit faces to FLAME and back.")
app.command("hrvq")(train.hrvq)
app.command("decoder")(train.decoder)
app.command("magm")(train.magm)
app.command("mmr")(train.mmr)
app.command("baseline")(baseline.baseline)
app.command("retrieve")(retrieve.retrieve)


def main() -> None:
    """Entry point: a clear message and the documented exit code for every error of ours."""
    try:
        app()
    except SoulstreamError as error:
        show_error(error)
        sys.exit(error.exit_code)
