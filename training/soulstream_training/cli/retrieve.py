"""``soulstream-train retrieve``: the dances that go with a piece of music, and those that do not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from soulstream_engine.cli.output import console, print_json, say

from .common import JsonOption, StoreOption, WeightsOption

if TYPE_CHECKING:
    from soulstream_training.data.guard import Learned
    from soulstream_training.evaluation.retrieve import Dance

MOST_SHOWN = 20
"""Most dances of a kind; the picture has a row for each."""

SETTLED_S = 8.0
"""Music that the beat clock needs before it is sure of the beat (ours)."""


def retrieve(
    song: Path = typer.Argument(help="Piece of music: wav, flac, ogg or mp3."),
    store: Path = StoreOption,
    weights: Path = WeightsOption,
    part: str = typer.Option("body", help="body or whole (hands and face too)."),
    splits: str = typer.Option("train,val,test,aux", help="Splits of the store to choose from (comma-separated)."),
    at: float | None = typer.Option(
        None, "--at", help="Second of the piece where the five that ask begin.", show_default="the middle five"
    ),
    best: int = typer.Option(5, min=1, max=MOST_SHOWN, help="Dances that go best with it."),
    worst: int = typer.Option(3, min=0, max=MOST_SHOWN, help="Dances that go worst with it."),
    out: Path = typer.Option("retrieved.png", "--out", help="Picture to write (png)."),
    as_json: bool = JsonOption,
) -> None:
    """Find the dances that go best, and worst, with five seconds of music, and draw them.

    A clip counts by its five seconds of dance that go best with the music. Nothing is judged: clips that the model
    learned from are found too.

    Example:
      soulstream-train retrieve song.mp3 --at 60 --store .cache/open --out found.png
    """
    import torch

    from soulstream_training.data.clips import SPLITS
    from soulstream_training.data.rendering import read_music
    from soulstream_training.data.store import read_index
    from soulstream_training.evaluation.retrieve import both_ends, find_dances, hear
    from soulstream_training.evaluation.retrieve_picture import retrieval_picture
    from soulstream_training.evaluation.tokenizer_charts import png_bytes
    from soulstream_training.recipes.mmr import load_mmr, mmr_trained_on
    from soulstream_training.recipes.mmr_recipe import PARTS

    chosen = splits.split(",")
    if part not in PARTS:
        raise typer.BadParameter(f"'{part}' is not one of {', '.join(PARTS)}.", param_hint="--part")
    if unknown := [name for name in chosen if name not in SPLITS]:
        raise typer.BadParameter(f"'{unknown[0]}' is not one of {', '.join(SPLITS)}.", param_hint="--splits")
    if out.suffix.lower() != ".png" or not out.parent.is_dir() or out.is_dir():
        raise typer.BadParameter(f"'{out}' is not a png in a folder that is there.", param_hint="--out")
    torch.set_num_threads(1)  # threads wait for each other: eight times slower on two busy cores
    model, learned = load_mmr(weights, part), mmr_trained_on(weights, part)
    entries = [entry for entry in read_index(store) if entry.split in chosen]
    with console.status(f"Hearing {song.name}"):
        query = hear(read_music(song), at)
    if query.start_s < SETTLED_S:
        say(f"Only {query.start_s:.1f} s of music come before; the beat clock needs about {SETTLED_S:.0f} s.", "yellow")
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(f"Comparing {len(entries)} clips", total=len(entries))
        dances = find_dances(model, query, store, entries, lambda: bar.advance(task))
    ends = both_ends(dances, best, worst)
    with console.status("Drawing"):
        out.write_bytes(png_bytes(retrieval_picture(song.name, query, *ends, len(dances))))
    console.print(_table(*ends))
    say(f"{out}: {song.name} from {query.start_s:.1f} s, {len(dances)} dances to choose from")
    if as_json:
        numbers = {"song": str(song), "at_s": round(query.start_s, 3), "dances": len(dances), "picture": str(out)}
        shown = {
            name: [_to_json(dance, learned) for dance in end] for name, end in zip(("best", "worst"), ends, strict=True)
        }
        print_json(numbers | shown)


def _table(best: list[Dance], worst: list[Dance]) -> Table:
    table = Table("rank", "clip", "style", "second", "score")
    for end in (best, worst):
        for dance in end:
            style = Text(dance.entry.style)  # a label is no markup
            table.add_row(str(dance.rank), dance.entry.clip_id, style, f"{dance.start_s:.1f}", f"{dance.score:.3f}")
        table.add_section()
    return table


def _to_json(dance: Dance, learned: Learned) -> dict[str, Any]:
    from soulstream_training.data.guard import knows

    entry = dance.entry
    return {
        "rank": dance.rank,
        "clip": entry.clip_id,
        "style": entry.style,
        "split": entry.split,
        "learned": knows(learned, entry),
        "second": round(dance.start_s, 3),
        "score": round(dance.score, 6),
    }
