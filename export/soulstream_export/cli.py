"""``soulstream-export``: trained weights to what the engine runs."""

from __future__ import annotations

import sys
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from soulstream_engine.cli.output import console, print_json, say, show_error
from soulstream_engine.errors import ConfigError, SoulstreamError

if TYPE_CHECKING:
    from .bundle_writer import BundleFacts


class Part(StrEnum):
    """Whose motion a retrieval model knows."""

    BODY = "body"
    WHOLE = "whole"


app = typer.Typer(
    name="soulstream-export",
    help="Freeze trained weights into what the engine runs: a bundle to dance with, a retrieval model to judge with.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Freeze trained weights into what the engine runs: a bundle to dance with, a retrieval model to judge with."""


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


@app.command()
def mmr(
    out: Path = typer.Option(..., "--out", help="Folder of the graphs; replaced when everything has succeeded."),
    part: Part = typer.Option(Part.BODY, "--part", help="Whose motion the model knows; whole: hands and face too."),
    weights: Path = typer.Option("training/checkpoints", "--weights", help="Folder of the trained weights."),
    as_json: bool = typer.Option(False, "--json", help="Print one line of JSON last."),
) -> None:
    """Export the two encoders of a retrieval model, and check them against torch.

    Writes music.onnx and motion.onnx, which give latents to compare by cosine, and mmr.json, which says what they read,
    what they learned from, and how far they are from torch. The engine hears music with it (load_music_style).

    Examples:
      soulstream-export mmr --out mmr_body
      soulstream-export mmr --part whole --out mmr_whole --json
    """
    from soulstream_training.recipes.checkpoint import load_weights
    from soulstream_training.recipes.mmr import load_mmr, weights_name

    from .mmr import FRAMES, export_mmr

    model = load_mmr(weights, part.value)
    _, meta = load_weights(weights, weights_name(part.value))
    config = meta["config"]
    frames = config.get("recipe", {}).get("frames", FRAMES)
    with console.status("Exporting, then comparing with torch"):
        made = export_mmr(
            model,
            out,
            part=part.value,
            trained_on=config.get("trained_on", {}),
            step=meta["step"],
            frames=frames,
        )
    size, parity = made.motion.bytes + made.music.bytes, max(made.motion.parity, made.music.parity)
    say(f"{out}: {size / 1e6:.1f} MB, windows of {frames / made.fps:g} s, at most {parity:.0e} from torch")
    if as_json:
        print_json({"mmr": str(out), "part": made.part, "bytes": size, "frames": frames, "parity": parity})


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
