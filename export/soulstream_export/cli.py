"""``soulstream-export``: trained weights to a bundle."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from soulstream_engine.cli.output import console, print_json, say, show_error
from soulstream_engine.errors import ConfigError, SoulstreamError

if TYPE_CHECKING:
    from .bundle_writer import BundleFacts

app = typer.Typer(
    name="soulstream-export",
    help="Freeze trained weights into a bundle that the engine plays.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Freeze trained weights into a bundle that the engine plays."""


@app.command()
def bundle(
    out: Path = typer.Argument(help="Folder of the bundle; replaced when everything has succeeded."),
    weights: Path = typer.Option("training/checkpoints", "--weights", help="Folder of the trained weights."),
    facts: Path = typer.Option("training/configs/bundle.toml", "--facts", help="What the networks cannot know."),
    as_json: bool = typer.Option(False, "--json", help="Print one line of JSON last."),
) -> None:
    """Export the four graphs, check them against torch, and write the bundle.

    Example:
      soulstream-export bundle engine/soulstream_engine/bundles/default
    """
    from soulstream_training.recipes.hrvq import load_hrvq
    from soulstream_training.recipes.magm import load_magm

    from .bundle_writer import write_bundle

    tokenizer = load_hrvq(weights)
    mask, residual = (load_magm(weights, stage, tokenizer.quantizer.tables) for stage in (0, 1))
    known = read_facts(facts)
    with console.status("Exporting, then comparing with torch"):
        written = write_bundle(out, tokenizer, mask, residual, known)
    size = sum(path.stat().st_size for path in written.iterdir())
    say(f"{written}: {size / 1e6:.1f} MB, {known.model_id}")
    if as_json:
        print_json({"bundle": str(written), "bytes": size, "model": known.model_id})


def read_facts(path: Path) -> BundleFacts:
    """``BundleFacts`` from a TOML file.

    Raises:
        ConfigError: If the file cannot be read or has other keys.
    """
    from .bundle_writer import BundleFacts

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        document["notices"] = tuple(document["notices"])
        texts = document.pop("documents", {})
        document["documents"] = {name: (path.parent / file).read_text("utf-8") for name, file in texts.items()}
        facts = BundleFacts(**document)
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ConfigError(
            "FACTS_UNREADABLE", f"'{path}' cannot be read: {error}.", "See training/configs/bundle.toml."
        ) from error
    return facts


def main() -> None:
    """Entry point: a clear message and the documented exit code for every error of ours."""
    try:
        app()
    except SoulstreamError as error:
        show_error(error)
        sys.exit(error.exit_code)
