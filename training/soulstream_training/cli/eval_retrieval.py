"""``soulstream-train eval retrieval``: the retrieval table, and what the score reacts to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from soulstream_engine.cli.output import console, print_json

from .common import JsonOption, StoreOption, WeightsOption


def retrieval(
    store: Path = StoreOption,
    music: Path = typer.Option(".cache/open_test_music", "--music", help="Music made with data music --test."),
    weights: Path = WeightsOption,
    part: str = typer.Option("body", help="body or whole."),
    split: str = typer.Option("test", help="Split of the store."),
    as_json: bool = JsonOption,
) -> None:
    """Which dance belongs to which music: R@k and median rank, both ways, beside chance (the paper's Table 8).

    Pairs of class A (tempo known), B (beats only) and real recordings are apart. Galleries: all windows of a class
    (full), batches of 32, and 100 windows whose music is unlike. Then what the score reacts to.

    Examples:
      soulstream-train data music --test --store .cache/open --music .cache/open_test_music --renderings 6
      soulstream-train eval retrieval --store .cache/open --music .cache/open_test_music --json
    """
    import torch

    from soulstream_training.data.guard import check_apart
    from soulstream_training.data.store import read_index
    from soulstream_training.evaluation.mmr_latents import cut_windows
    from soulstream_training.evaluation.retrieval_checks import class_a_drop, ms_scores, sensitivity
    from soulstream_training.evaluation.retrieval_table import CLASSES, retrieval_rows
    from soulstream_training.recipes.mmr import load_mmr, mmr_columns, mmr_trained_on
    from soulstream_training.recipes.mmr_pairs import load_pairs
    from soulstream_training.recipes.mmr_recipe import PARTS

    if part not in PARTS:
        raise typer.BadParameter(f"'{part}' is not one of {', '.join(PARTS)}.", param_hint="--part")
    torch.set_num_threads(1)  # threads wait for each other: eight times slower on two busy cores
    model = load_mmr(weights, part)
    judged = [entry for entry in read_index(store) if entry.split == split]
    check_apart(mmr_trained_on(weights, part), judged, f"The retrieval model mmr_{part}")
    with console.status("Reading the pairs") as status:
        pairs = load_pairs(store, music, (split,), mmr_columns(weights, part))
        status.update("Ranking")
        rows = retrieval_rows(model, pairs)
        status.update("Shifting the music")
        checks: dict[str, list[dict[str, Any]]] = {}
        ms: dict[str, dict[str, float]] = {}
        drop = None
        for kind in CLASSES:
            windows = cut_windows([pair for pair in pairs if pair.entry.pairing_class == kind])
            if len(windows) > 1 and kind != "real":
                checks[kind], ms[kind] = sensitivity(model, windows), ms_scores(model, windows)
                drop = class_a_drop(model, windows) if kind == "A" else drop
    _show(rows, checks, ms)
    if as_json:
        print_json({"rows": rows, "half_beat_drop": drop, "checks": checks, "mmr_ms": ms})


def _show(rows: list[dict[str, Any]], checks: dict[str, list[dict[str, Any]]], ms: dict[str, dict[str, float]]) -> None:
    heads = ["class", "asks", "among", "size", "chance", "R@1", "R@2", "R@3", "R@5", "R@10", "MedR", "p"]
    names = ["class", "direction", "protocol", "gallery", "chance_r1", "r1", "r2", "r3", "r5", "r10", "medr", "p"]
    table = Table(*heads, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for row in rows:
        table.add_row(
            *(f"{row[name]:.3g}" if isinstance(row[name], float) and name != "p" else str(row[name]) for name in names)
        )
    console.print("Percent. m2d: music asks for a dance; d2m: a dance asks for music.")
    console.print(table)
    missing = sorted({"A", "B", "real"} - {row["class"] for row in rows})
    if missing:
        console.print(f"No pairs of class {', '.join(missing)} in this split.")
    for kind, found in checks.items():
        table = Table("check", "windows", "true score", "changed", "share that fell", title=f"Class {kind}")
        for row in found:
            table.add_row(*(str(row.get(name, "")) for name in ("check", "windows", "score", "changed", "drop")))
        console.print(table)
        scores = ", ".join(f"{name.replace('_', ' ')} {score:.3f}" for name, score in ms[kind].items())
        console.print(f"MMR-MS of class {kind}, less is better: {scores}")
