"""``soulstream-export``: trained weights to what the engine runs."""

from __future__ import annotations

import sys
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from soulstream_engine.cli.output import console, print_json, say, show_error
from soulstream_engine.errors import ConfigError, SoulstreamError

if TYPE_CHECKING:
    from .bundle_writer import BundleFacts
    from .verify import Verified


class Part(StrEnum):
    """Whose motion a retrieval model knows."""

    BODY = "body"
    WHOLE = "whole"


class Sizes(StrEnum):
    """Sizes that have a name."""

    TOY = "toy"
    STAGE = "stage"
    PAPER = "paper"


class Target(StrEnum):
    """What ``quantise`` makes."""

    INT8_DYNAMIC = "int8-dynamic"
    INT8_STATIC = "int8-static"
    FP16 = "fp16"
    FP32 = "fp32"


EXTRA_PACKAGES = ("torch", "onnx", "onnxscript", "onnx_ir", "safetensors")
"""What the commands import beyond the engine; the extras ``export`` and ``train`` bring it."""

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
    random: Sizes | None = typer.Option(
        None, "--random", help="Networks of this size with random weights: for speed and compilation."
    ),
    planned: int = typer.Option(8, "--planned", min=1, max=64, help="With --random: tokens that a tick plans."),
    commit: int = typer.Option(2, "--commit", min=1, max=64, help="With --random: tokens that it commits."),
    as_json: bool = typer.Option(False, "--json", help="Print one line of JSON last."),
) -> None:
    """Export the four graphs, check them against torch, and write the bundle.

    Examples:
      soulstream-export bundle engine/soulstream_engine/bundles/default
      soulstream-export bundle paper_bundle --random paper
    """
    from .bundle_writer import write_bundle

    if random is not None:
        from .random_models import random_facts, random_networks

        if commit > planned:
            raise ConfigError(
                "COMMIT_OVER_PLANNED", f"--commit {commit} is more than --planned {planned}.", "Lower it."
            )
        tokenizer, mask, residual = random_networks(random.value, planned, commit)
        known = random_facts(random.value)
    else:
        from soulstream_training.recipes.hrvq import load_hrvq
        from soulstream_training.recipes.magm import load_magm

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


@app.command()
def verify(
    bundle: Path = typer.Argument(help="Folder of the bundle."),
    backend: list[str] = typer.Option(
        [], "--backend", help="Compare this one; may be repeated.", show_default="all that can run here"
    ),
    ticks: int = typer.Option(24, "--ticks", min=1, help="Length of the dance that is compared."),
    reference: Path | None = typer.Option(
        None, "--reference", help="Bundle whose weights torch takes; needed for int8.", show_default="the same bundle"
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one line of JSON last."),
) -> None:
    """Prove that every backend computes what torch computes, call by call of a real dance.

    A dance to the built-in track is danced in torch and written down. Each backend is given the same inputs and the
    same noise; scores, codes and motion must agree. Exit code 1 if one does not, breaks off, or none could be compared.

    Backends: onnxruntime, openvino, openvino-bf16, tensorrt, tensorrt-fp32, tensorrt-rtx, tensorrt-rtx-fp32.

    Examples:
      soulstream-export verify engine/soulstream_engine/bundles/default
      soulstream-export verify int8_bundle --reference engine/soulstream_engine/bundles/default --json
    """
    import torch

    from soulstream_engine.bundle import load_bundle

    from .verify import CANDIDATES, largest, reference_tape
    from .verify import verify as compare_all

    unknown = [name for name in backend if name not in CANDIDATES]
    if unknown:
        raise ConfigError(
            "BACKEND_UNKNOWN", f"--backend {unknown[0]!r} is not one of {', '.join(CANDIDATES)}.", "Name one of these."
        )
    torch.set_num_threads(1)
    model = load_bundle(bundle)
    with console.status("Dancing in torch") as status:
        tape = reference_tape(model, None if reference is None else load_bundle(reference), ticks)
        done = compare_all(model, tape, backend, lambda name: status.update(f"Comparing {name} with torch"))
    _show_parity(done)
    for name, why in done.absent.items():
        say(f"{name} was not compared: {why}")
    for name, why in done.failed.items():
        say(f"{name} failed: {why}", "bold red")
    if as_json:
        found_all = list(done.measured.values())
        exact = [found for found in found_all if found.arithmetic == "float32"] or found_all
        failed = {name: {"ok": False, "error": why} for name, why in done.failed.items()}
        print_json(
            {
                "model": model.manifest.model_id,
                "arithmetic": model.manifest.arithmetic,
                "ticks": tape.ticks,
                "max_abs_logit": largest(found.max_abs_logit for found in exact) if exact else None,
                "codes_equal": min((found.codes_equal for found in exact), default=None),
                "backends": {name: found.to_json() for name, found in done.measured.items()} | failed,
                "not_compared": done.absent,
                "ok": done.ok,
            }
        )
    if not done.ok:
        raise typer.Exit(1)


def _show_parity(done: Verified) -> None:
    """A table with every error beside its limit, and what broke off."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("backend", "arithmetic", "error", "measured", "limit", "", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name, found in done.measured.items():
        for number, check in enumerate(found.checks()):
            who = ("", "") if number else (name, found.arithmetic)
            verdict = "ok" if check.is_met else "[bold red]too much[/]"
            table.add_row(*who, check.what, check.measured, check.limit, verdict)
    for name in done.failed:
        table.add_row(name, "", "broke off", "", "", "[bold red]failed[/]")
    console.print(table)


@app.command()
def quantise(
    bundle: Path = typer.Argument(help="Folder of a bundle that computes in float32."),
    out: Path = typer.Argument(help="Folder of the new one; replaced when everything has succeeded."),
    to: Target = typer.Option(..., "--to", help="What it becomes; fp16 and fp32 are how weights are stored."),
    as_json: bool = typer.Option(False, "--json", help="Print one line of JSON last."),
) -> None:
    """Write a bundle in another arithmetic: int8, or FP32 with weights stored in two or four bytes.

    int8 dances differently: look at it, verify it with --reference, judge it (soulstream-train eval dance).

    Example:
      soulstream-export quantise engine/soulstream_engine/bundles/default int8_bundle --to int8-dynamic
    """
    from soulstream_engine.bundle import load_bundle

    from .quantise import quantise as convert

    model = load_bundle(bundle)
    with console.status("Converting"):
        written = convert(model, out, to.value)
    before, after = (sum(path.stat().st_size for path in folder.iterdir()) for folder in (model.path, written))
    say(f"{written}: {after / 1e6:.1f} MB, {after / before:.0%} of what it was made from")
    if as_json:
        print_json({"bundle": str(written), "to": to.value, "bytes": after, "share": after / before})


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
    """Entry point: a clear message and the documented exit code for every error of ours, and without the extras."""
    try:
        app()
    except SoulstreamError as error:
        _end_with(error)
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA_PACKAGES:
            raise
        remedy = "Run pip install 'soulstream[export,train]'."
        _end_with(ConfigError("EXTRA_MISSING", f"{package} cannot be imported: {error}.", remedy))


def _end_with(error: SoulstreamError) -> NoReturn:
    show_error(error)
    sys.exit(error.exit_code)
